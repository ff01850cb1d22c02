/* SPDX-License-Identifier: MIT */
/* Write-backs of LRU caches of every size, in one pass. A cache of c entries writes an id back when it evicts it dirty.
 * Between two accesses at stack distance d an id is evicted from the caches with c < d; of these it was dirty in those
 * that had kept it since its last write. */
#ifndef QUIRE_MRC_DIRTY_H
#define QUIRE_MRC_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

struct mrc_dirty;
struct mrc_dirty *mrc_dirty_new(void);
void mrc_dirty_free(struct mrc_dirty *m);
void mrc_dirty_access(struct mrc_dirty *m, uint64_t id, bool write);
/* Write-backs by evictions in caches of size[0..n) entries, ascending. What is dirty in a cache at the end stays there.
 */
void mrc_dirty_writebacks(struct mrc_dirty *m, const uint64_t *size, uint64_t n, uint64_t *writebacks);

#endif

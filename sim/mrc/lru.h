/* SPDX-License-Identifier: MIT */
/* Exact LRU stack distances (Mattson, Gecsei, Slutz, Traiger 1970), hence the miss counts of every cache size, in one
 * pass. About 30 ns an access and 50 bytes a distinct id, whatever the length of the trace. */
#ifndef QUIRE_MRC_LRU_H
#define QUIRE_MRC_LRU_H

#include "sim/base/ckpt.h"
#include "sim/base/rng.h"

#include <stdint.h>

struct mrc_lru;

struct mrc_lru *mrc_lru_new(void);
void mrc_lru_free(struct mrc_lru *m);

/* Accesses n ids in order. Any 64-bit value is an id. More than 2^31 distinct ones are a CHECK failure. */
void mrc_lru_feed(struct mrc_lru *m, const uint64_t *ids, uint64_t n);
/* The same, and the stack distance of each access: 1 = the id accessed last, 0 = never seen before. An access hits in
 * every cache of at least that many entries. */
void mrc_lru_feed_distances(struct mrc_lru *m, const uint64_t *ids, uint64_t n, uint32_t *distance);

/* The stack distances alone: nothing is counted. */
void mrc_lru_distances(struct mrc_lru *m, const uint64_t *ids, uint64_t n, uint32_t *distance);

uint64_t mrc_lru_accesses(const struct mrc_lru *m);
uint64_t mrc_lru_distinct(const struct mrc_lru *m);
/* Accesses with stack distance d (1..distinct; 0 elsewhere). */
uint64_t mrc_lru_hits_at(const struct mrc_lru *m, uint64_t d);
/* The stack distance that an access to id would have now; 0 if it was never seen. */
uint64_t mrc_lru_depth(struct mrc_lru *m, uint64_t id);

/* Which ids a sample holds: those whose key is below a limit. The key is spread evenly over [0, 2^32) and does not
 * depend on where the id lies in a table. */
static inline uint32_t mrc_sample_key(uint64_t id, uint64_t odd)
{
    return (uint32_t)((hash64(id) * odd) >> 32);
}
/* For sampling: forgets every id whose key is limit or more, as if it had never been accessed; counts stay. Returns how
 * many ids that were. */
uint64_t mrc_lru_drop(struct mrc_lru *m, uint64_t odd, uint64_t limit);

/* Forgets all but the n ids accessed last. An access to a forgotten one is like one to a new one; counts stay. */
void mrc_lru_trim(struct mrc_lru *m, uint64_t n);
/* A copy of the stack, which has counted nothing yet. */
struct mrc_lru *mrc_lru_copy(const struct mrc_lru *m);

/* A histogram of distances that was taken out of its mrc_lru. */
struct mrc_hits {
    uint64_t accesses, n;
    uint32_t *low, *high; /* [distance], n each; high may be NULL. Distance 0 = never seen before */
};
static inline uint64_t mrc_hits_at(const struct mrc_hits *h, uint64_t d)
{
    return d < h->n ? h->low[d] + (h->high ? (uint64_t)h->high[d] << 32 : 0) : 0;
}
/* Moves the counts into *h (its arrays are to be freed); m starts to count anew but keeps its stack. */
void mrc_lru_take_hits(struct mrc_lru *m, struct mrc_hits *h);

/* Misses of caches of size[0..n) entries, ascending. */
void mrc_lru_misses(const struct mrc_lru *m, const uint64_t *size, uint64_t n, uint64_t *misses);

/* Everything, for a checkpoint. */
void mrc_lru_state(struct mrc_lru *m, struct ckpt *c);

#endif

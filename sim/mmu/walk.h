/* SPDX-License-Identifier: MIT */
/* Inside sim/mmu only: the page walk. */
#ifndef QUIRE_MMU_WALK_H
#define QUIRE_MMU_WALK_H

#include "sim/mmu/mmu.h"

/* Walks guest tables and EPT for gva, sets A and D bits, fills TLBs and paging-structure caches. On MMU_OK r->value
 * holds the TLB value and r->done_ps the end of the walk. */
enum mmu_status mmu_walk(struct mmu *m, const struct mmu_space *s, uint64_t gva, enum cache_op op, ps_t t,
                         struct mmu_result *r);

/* Enters a translation in the second-level and the L1 TLB that the access uses; defined in mmu.c. */
void tlb_fill(struct mmu *m, const struct mmu_space *s, uint64_t gva, enum cache_op op, uint32_t level, uint64_t value);

#endif

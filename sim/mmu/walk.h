/* SPDX-License-Identifier: MIT */
/* Inside sim/mmu only: the page walk. */
#ifndef QUIRE_MMU_WALK_H
#define QUIRE_MMU_WALK_H

#include "sim/mmu/mmu.h"

/* Walks guest tables and EPT for gva, sets A and D bits, fills TLBs and paging-structure caches. is_cached: a TLB has
 * the page, with too few rights. On MMU_OK r->value holds the TLB value and r->done_ps the end of the walk. */
enum mmu_status mmu_walk(struct mmu *m, const struct mmu_space *s, uint64_t gva, enum cache_op op, ps_t t,
                         bool is_cached, struct mmu_result *r);

/* Enters a translation in the second-level and the L1 TLB that the access uses; defined in mmu.c. may_exist: one of
 * them may have the page. */
void tlb_fill(struct mmu *m, const struct mmu_space *s, uint64_t gva, enum cache_op op, uint32_t level, uint64_t value,
              bool may_exist);

static inline uint64_t psc_key(uint64_t addr, uint32_t table_level, uint32_t asid)
{
    return addr >> LEVEL_SHIFT(table_level + 1) << 16 | asid;
}
/* A page fault of a real kernel's tables drops what was cached of the address in its space (SDM volume 3, 4.10.4.1):
 * when the instruction is made again, it sees the tables as they are. */
void mmu_drop_faulting(struct mmu *m, uint32_t asid, uint64_t gva);

#endif

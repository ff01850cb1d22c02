/* SPDX-License-Identifier: MIT */
/* Host prefetching for a known future access. A random access costs the simulator a chain of host cache misses: guest
 * table entry, nested table entry, cache sets. A replayed batch knows its addresses ahead, so the links of the chain
 * are asked for in three steps, a few accesses apart; each step may read what the one before has fetched.
 *
 * Nothing simulated is read for a decision or changed: with these calls removed every result is the same. A hint may be
 * stale; the pages it points to are never returned to the system while the machine lives, so a stale read is harmless.
 */
#ifndef QUIRE_MMU_LOOKAHEAD_H
#define QUIRE_MMU_LOOKAHEAD_H

#include "sim/mmu/mmu.h"

#define AHEAD_GUEST  18u /* how many accesses ahead each step runs */
#define AHEAD_NESTED 12u
#define AHEAD_DATA   6u

static inline const struct mmu_hint *hint_find(const struct mmu_hint *hints, uint64_t addr, uint32_t asid)
{
    const struct mmu_hint *h = &hints[(addr >> 21) & (MMU_HINTS - 1)];
    return h->key == (addr >> 21 << 16 | asid) ? h : NULL;
}

/* Step 1: the guest's last-level entry. */
static inline void ahead_guest(const struct mmu *m, const struct mmu_space *s, uint64_t gva)
{
    const struct mmu_hint *h = hint_find(m->guest_hint, gva, s->asid);
    if (!h)
        return;
    __builtin_prefetch(&h->words[gva >> PAGE_SHIFT & 511]);
    cache_lookahead(m->caches, m->core, (h->table_hpa + (gva >> PAGE_SHIFT & 511) * 8) >> LINE_SHIFT);
}

/* Guest-physical page of gva as the hint has it, and the hint of its nested table. */
static inline const struct mmu_hint *ahead_gpa(const struct mmu *m, const struct mmu_space *s, uint64_t gva,
                                               uint64_t *gpa)
{
    const struct mmu_hint *h = hint_find(m->guest_hint, gva, s->asid);
    if (!h)
        return NULL;
    *gpa = h->words[gva >> PAGE_SHIFT & 511] & PTE_FRAME;
    return hint_find(m->ept_hint, *gpa, s->asid & 0xff00);
}

/* Step 2: the nested last-level entry. */
static inline void ahead_nested(const struct mmu *m, const struct mmu_space *s, uint64_t gva)
{
    uint64_t gpa;
    const struct mmu_hint *h = ahead_gpa(m, s, gva, &gpa);
    if (!h || !h->words)
        return;
    __builtin_prefetch(&h->words[gpa >> PAGE_SHIFT & 511]);
    cache_lookahead(m->caches, m->core, (h->table_hpa + (gpa >> PAGE_SHIFT & 511) * 8) >> LINE_SHIFT);
}

/* Step 3: the cache sets of the line itself. */
static inline void ahead_data(const struct mmu *m, const struct mmu_space *s, uint64_t gva)
{
    uint64_t gpa;
    const struct mmu_hint *h = ahead_gpa(m, s, gva, &gpa);
    if (!h)
        return;
    uint64_t page =
        h->words ? h->words[gpa >> PAGE_SHIFT & 511] & EPT_FRAME : h->table_hpa | (gpa & (2 * MIB - PAGE_BYTES));
    cache_lookahead(m->caches, m->core, (page | (gva & (PAGE_BYTES - 1))) >> LINE_SHIFT);
}

#endif

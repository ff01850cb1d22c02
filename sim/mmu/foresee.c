/* SPDX-License-Identifier: MIT */
#include "sim/mmu/walk.h"

/* Value of the entry of a TLB, its LRU order left alone; 0 if absent. */
static uint64_t tlb_peek(const struct tlb *t, uint64_t gva, uint32_t level, uint32_t asid)
{
    uint64_t set = gva >> LEVEL_SHIFT(level) & t->set_mask;
    uint32_t match = t->is_used ? tlb_match(t, set, tlb_key(gva, level, asid)) : 0;
    return match ? t->value[set * t->stride + (uint32_t)__builtin_ctz(match)] : 0;
}

/* Address of the lowest cached table for addr, its level in *level; 0 if none is. */
static uint64_t table_peek(const struct psc *psc, uint64_t addr, uint32_t asid, uint32_t *level)
{
    for (uint32_t l = 0; l < PSC_KINDS; l++) {
        const struct psc *p = &psc[l];
        uint64_t key = psc_key(addr, l, asid), at = ((key >> 16) & p->set_mask) * PSC_WAYS;
        for (uint32_t w = 0; p->is_used && w < PSC_WAYS; w++)
            if (p->key[at + w] == key) {
                *level = l;
                return p->table[at + w] & PTE_FRAME;
            }
    }
    return 0;
}

/* The mapping may have changed since, so that an address may be any. */
static bool exists(const struct mem *m, uint64_t hpa)
{
    return hpa >> 30 < m->n_gib && m->chunk[hpa >> 21];
}

/* The look goes on when the entry at hpa is in the host's caches. */
static void await_entry(const struct mmu *m, struct mmu_sight *f, enum mmu_sight_state state, uint64_t hpa)
{
    f->state = state;
    f->at = hpa;
    frame_foresee64(m->mem, hpa);
    cache_foresee(m->caches, m->core, hpa >> LINE_SHIFT);
}

static void await_data(const struct mmu *m, struct mmu_sight *f, uint64_t hpa)
{
    f->state = SIGHT_DONE;
    f->at = hpa;
    cache_foresee(m->caches, m->core, hpa >> LINE_SHIFT);
}

/* Host-physical address that gpa has, or 0. An entry of the last level is waited for in *f; with f = NULL it is read at
 * once: those of the guest's tables are few and near. */
static uint64_t nested_peek(const struct mmu *m, const struct mmu_space *s, struct mmu_sight *f, uint64_t gpa)
{
    uint32_t level;
    uint64_t table = table_peek(m->ept_psc, gpa, s->asid & 0xff00, &level);
    for (; table && exists(m->mem, table); level--) {
        uint64_t at = table + (gpa >> LEVEL_SHIFT(level) & 511) * 8, mask = (1ull << LEVEL_SHIFT(level)) - 1;
        if (level == 0 && f) {
            f->gpa = gpa;
            await_entry(m, f, SIGHT_NESTED_ENTRY, at);
            return 0;
        }
        uint64_t entry = frame_load64(m->mem, at);
        if (level == 0 || entry & EPT_LEAF)
            return (entry & EPT_FRAME & ~mask) | (gpa & mask);
        table = entry & EPT_FRAME;
    }
    return 0;
}

/* gpa is where the guest's tables say that the data is. */
static void look_at_data(const struct mmu *m, const struct mmu_space *s, struct mmu_sight *f, uint64_t gpa)
{
    uint64_t hpa = s->ept ? nested_peek(m, s, f, gpa) : gpa;
    if (hpa)
        await_data(m, f, hpa);
}

static void look_at_tables(const struct mmu *m, const struct mmu_space *s, struct mmu_sight *f)
{
    uint32_t level;
    uint64_t table = table_peek(m->guest_psc, f->gva, s->asid, &level);
    for (; table && exists(m->mem, table); level--) {
        uint64_t at = table + (f->gva >> LEVEL_SHIFT(level) & 511) * 8;
        if (level == 0) {
            await_entry(m, f, SIGHT_ENTRY, at);
            return;
        }
        uint64_t entry = frame_load64(m->mem, at), mask = (1ull << LEVEL_SHIFT(level)) - 1;
        if (!(entry & PTE_P))
            return;
        if (entry & PTE_PS) {
            look_at_data(m, s, f, (entry & PTE_FRAME & ~mask) | (f->gva & mask));
            return;
        }
        table = s->ept ? nested_peek(m, s, NULL, entry & PTE_FRAME) : entry & PTE_FRAME;
    }
}

void mmu_foresee(const struct mmu *m, const struct mmu_space *s, uint64_t gva, struct mmu_sight *f)
{
    uint64_t v;
    *f = (struct mmu_sight){.gva = gva, .state = SIGHT_DONE};
    /* What the L1 TLB alone holds is seldom worth a second look. */
    if ((v = tlb_peek(&m->stlb, gva, LEVEL_4K, s->asid)))
        await_data(m, f, (v & PTE_FRAME) | (gva & (PAGE_BYTES - 1)));
    else
        look_at_tables(m, s, f);
}

void mmu_foresee_on(const struct mmu *m, const struct mmu_space *s, struct mmu_sight *f)
{
    if (f->state == SIGHT_DONE || !exists(m->mem, f->at))
        return;
    uint64_t entry = frame_load64(m->mem, f->at);
    if (f->state == SIGHT_ENTRY)
        look_at_data(m, s, f, (entry & PTE_FRAME) | (f->gva & (PAGE_BYTES - 1)));
    else
        await_data(m, f, (entry & EPT_FRAME) | (f->gpa & (PAGE_BYTES - 1)));
}

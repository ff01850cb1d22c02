/* SPDX-License-Identifier: MIT */
#include "sim/mmu/walk.h"

#include <string.h>

#define LARGE 1ull /* in struct mmu_near: `to` is a large page's piece, not a table */

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

static bool is_large(uint64_t entry, uint32_t level)
{
    return level && entry & PTE_PS; /* bit 7 in both kinds of tables */
}
_Static_assert(PTE_PS == EPT_LEAF, "one test for guest and nested entries");

/* The piece of 2 MiB around addr of a large page. */
static uint64_t piece_of(uint64_t entry, uint32_t level, uint64_t addr)
{
    uint64_t mask = (1ull << LEVEL_SHIFT(level)) - 1, piece = (1ull << LEVEL_SHIFT(LEVEL_2M)) - 1;
    return ((entry & PTE_FRAME & ~mask) | (addr & mask & ~piece)) | LARGE;
}

/* What maps the 2 MiB around gpa: a last table's host-physical address, or the piece itself with LARGE; 0: unknown. */
static uint64_t nested_find(const struct mmu *m, const struct mmu_space *s, uint64_t gpa)
{
    uint32_t level;
    uint64_t table = table_peek(m->ept_psc, gpa, s->asid & 0xff00, &level);
    for (; table && exists(m->mem, table); level--) {
        if (level == 0)
            return table;
        uint64_t entry = frame_load64(m->mem, table + (gpa >> LEVEL_SHIFT(level) & 511) * 8);
        if (is_large(entry, level))
            return piece_of(entry, level, gpa);
        table = entry & EPT_FRAME;
    }
    return 0;
}

/* Host-physical address of a guest's table; its nested entry is one of few and read at once. */
static uint64_t table_address(const struct mmu *m, const struct mmu_space *s, uint64_t gpa)
{
    uint64_t to = s->ept ? nested_find(m, s, gpa) : gpa;
    if (!s->ept || !to)
        return to;
    if (to & LARGE)
        return (to & ~LARGE) | (gpa & ((1ull << LEVEL_SHIFT(LEVEL_2M)) - 1));
    return frame_load64(m->mem, to + (gpa >> PAGE_SHIFT & 511) * 8) & EPT_FRAME;
}

/* The same as nested_find() for gva: a host-physical table, or a guest-physical piece. */
static uint64_t guest_find(const struct mmu *m, const struct mmu_space *s, uint64_t gva)
{
    uint32_t level;
    uint64_t table = table_peek(m->guest_psc, gva, s->asid, &level);
    for (; table && exists(m->mem, table); level--) {
        if (level == 0)
            return table;
        uint64_t entry = frame_load64(m->mem, table + (gva >> LEVEL_SHIFT(level) & 511) * 8);
        if (!(entry & PTE_P))
            return 0;
        if (is_large(entry, level))
            return piece_of(entry, level, gva);
        table = table_address(m, s, entry & PTE_FRAME);
    }
    return 0;
}

typedef uint64_t find_fn(const struct mmu *m, const struct mmu_space *s, uint64_t addr);

/* find()'s answer, remembered. */
static inline uint64_t near(struct mmu_near *n, const struct mmu *m, const struct mmu_space *s, uint64_t addr,
                            uint32_t asid, find_fn *find)
{
    uint64_t key = psc_key(addr, 0, asid);
    n += (key >> 16) % MMU_NEAR;
    if (n->key != key)
        *n = (struct mmu_near){key, find(m, s, addr)};
    return n->to;
}

/* The look goes on when the entry at hpa is in the host's caches. */
static void await_entry(const struct mmu *m, struct mmu_sight *f, enum mmu_sight_state state, uint64_t hpa)
{
    if (!exists(m->mem, hpa))
        return;
    f->state = state;
    f->at = hpa;
    frame_foresee64(m->mem, hpa);
    cache_foresee(m->caches, m->core, hpa >> LINE_SHIFT);
}

static void await_data(const struct mmu *m, struct mmu_sight *f, uint64_t hpa)
{
    f->at = hpa;
    cache_foresee(m->caches, m->core, hpa >> LINE_SHIFT);
}

/* gpa is where the guest's tables say that the data is. */
static void look_at_data(const struct mmu *m, const struct mmu_space *s, struct mmu_foresight *l, struct mmu_sight *f,
                         uint64_t gpa)
{
    if (!s->ept) {
        await_data(m, f, gpa);
        return;
    }
    uint64_t to = near(l->nested, m, s, gpa, s->asid & 0xff00, nested_find);
    f->gpa = gpa;
    if (to & LARGE)
        await_data(m, f, (to & ~LARGE) | (gpa & ((1ull << LEVEL_SHIFT(LEVEL_2M)) - 1)));
    else if (to)
        await_entry(m, f, SIGHT_NESTED_ENTRY, to + (gpa >> PAGE_SHIFT & 511) * 8);
}

void mmu_foresight_reset(struct mmu_foresight *l, bool tlb_helps)
{
    memset(l, 0, sizeof *l);
    l->tlb_helps = tlb_helps;
}

/* Is gva in the page that the TLB was asked for last, or in another that it has? What the L1 TLB alone holds is seldom
 * worth a second question. */
static inline bool page_known(const struct mmu *m, const struct mmu_space *s, struct mmu_foresight *l, uint64_t gva)
{
    uint64_t page = gva >> PAGE_SHIFT << 16 | s->asid;
    if (l->page == page)
        return true;
    uint64_t v = tlb_peek(&m->stlb, gva, LEVEL_4K, s->asid);
    if (v) {
        l->page = page;
        l->frame = v & PTE_FRAME;
    }
    return v;
}

void mmu_foresee(const struct mmu *m, const struct mmu_space *s, struct mmu_foresight *l, uint32_t i, uint64_t gva)
{
    struct mmu_sight *f = &l->sight[i % MMU_SIGHTS];
    *f = (struct mmu_sight){.gva = gva, .state = SIGHT_DONE};
    if (l->tlb_helps && page_known(m, s, l, gva)) {
        await_data(m, f, l->frame | (gva & (PAGE_BYTES - 1)));
        return;
    }
    uint64_t to = near(l->guest, m, s, gva, s->asid, guest_find);
    if (to & LARGE)
        look_at_data(m, s, l, f, (to & ~LARGE) | (gva & ((1ull << LEVEL_SHIFT(LEVEL_2M)) - 1)));
    else if (to)
        await_entry(m, f, SIGHT_ENTRY, to + (gva >> PAGE_SHIFT & 511) * 8);
}

void mmu_foresee_on(const struct mmu *m, const struct mmu_space *s, struct mmu_foresight *l, uint32_t i)
{
    struct mmu_sight *f = &l->sight[i % MMU_SIGHTS];
    if (f->state == SIGHT_DONE || !exists(m->mem, f->at))
        return;
    enum mmu_sight_state was = f->state;
    uint64_t entry = frame_load64(m->mem, f->at);
    f->state = SIGHT_DONE;
    if (was == SIGHT_ENTRY)
        look_at_data(m, s, l, f, (entry & PTE_FRAME) | (f->gva & (PAGE_BYTES - 1)));
    else
        await_data(m, f, (entry & EPT_FRAME) | (f->gpa & (PAGE_BYTES - 1)));
}

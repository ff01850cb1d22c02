/* SPDX-License-Identifier: MIT */
/* TLBs and paging-structure caches; the walk itself is in walk.c. */
#include "sim/mmu/mmu.h"

#include "sim/mmu/walk.h"

#include <stdlib.h>
#include <string.h>

#define K(field) offsetof(struct mmu_conf, field)
/* Defaults: Skylake-SP / Cascade Lake, InstLatx64 (numbers.md rows 5-8); paging-structure caches are of the order that
 * RevAnC measured (row 10). */
const struct conf_key mmu_keys[] = {
    {"dtlb_4k", CONF_UINT, K(dtlb_4k), "64", 1, 4096, NULL, "L1 data TLB entries for 4 KiB pages"},
    {"dtlb_4k_ways", CONF_UINT, K(dtlb_4k_ways), "4", 1, 16, NULL, "its ways"},
    {"dtlb_2m", CONF_UINT, K(dtlb_2m), "32", 1, 4096, NULL, "L1 data TLB entries for 2 MiB pages"},
    {"dtlb_2m_ways", CONF_UINT, K(dtlb_2m_ways), "4", 1, 16, NULL, "its ways"},
    {"dtlb_1g", CONF_UINT, K(dtlb_1g), "4", 1, 4096, NULL, "L1 data TLB entries for 1 GiB pages"},
    {"dtlb_1g_ways", CONF_UINT, K(dtlb_1g_ways), "4", 1, 16, NULL, "its ways"},
    {"itlb_4k", CONF_UINT, K(itlb_4k), "64", 1, 4096, NULL, "L1 instruction TLB entries for 4 KiB pages, a thread"},
    {"itlb_4k_ways", CONF_UINT, K(itlb_4k_ways), "8", 1, 16, NULL, "its ways"},
    {"itlb_2m", CONF_UINT, K(itlb_2m), "8", 1, 4096, NULL, "L1 instruction TLB entries for 2 MiB pages"},
    {"itlb_2m_ways", CONF_UINT, K(itlb_2m_ways), "8", 1, 16, NULL, "its ways"},
    {"stlb", CONF_UINT, K(stlb), "1536", 1, 1 << 16, NULL, "second-level TLB entries, shared by 4 KiB and 2 MiB pages"},
    {"stlb_ways", CONF_UINT, K(stlb_ways), "12", 1, 16, NULL, "its ways"},
    {"stlb_1g", CONF_UINT, K(stlb_1g), "16", 1, 4096, NULL, "second-level TLB entries for 1 GiB pages"},
    {"stlb_1g_ways", CONF_UINT, K(stlb_1g_ways), "4", 1, 16, NULL, "its ways"},
    {"stlb_cycles", CONF_UINT, K(stlb_cycles), "9", 0, 1000, NULL,
     "L1 TLB miss that hits the second level, in core cycles"},
    {"walk_cycles", CONF_UINT, K(walk_cycles), "18", 0, 1000, NULL,
     "from a miss of all TLBs to the walk's first reference, in core cycles (InstLatx64: 10 to 35 in all if it hits)"},
    {"invlpg_cycles", CONF_UINT, K(invlpg_cycles), "250", 0, 100000, NULL,
     "INVLPG, in core cycles (N. Amit, LKML: about 250)"},
    {"page_fracturing", CONF_BOOL, K(fracturing), "true", 0, 0, NULL,
     "INVLPG drops all of a VM's translations when one of its large pages was cached in pieces (N. Amit, 2018)"},
    {"paging_structure_caches", CONF_BOOL, K(psc_on), "true", 0, 0, NULL, "walks start from cached table addresses"},
    {"pde_cache", CONF_UINT, K(psc_pde), "32", PSC_WAYS, 4096, NULL, "entries that lead to a last-level table"},
    {"pdpte_cache", CONF_UINT, K(psc_pdpte), "4", PSC_WAYS, 4096, NULL, "entries that lead to a page directory"},
    {"pml4_cache", CONF_UINT, K(psc_pml4), "4", PSC_WAYS, 4096, NULL,
     "entries that lead to a page-directory-pointer table"},
    {0},
};
#undef K

const struct stat_desc mmu_stat_desc[] = {
    {"dtlb_misses", STAT_COUNT, "1", "data translations that missed the L1 TLB"},
    {"itlb_misses", STAT_COUNT, "1", "fetch translations that missed the L1 TLB"},
    {"stlb_hits", STAT_COUNT, "1", "of those, found in the second-level TLB (DTLB_LOAD_MISSES.STLB_HIT)"},
    {"walks", STAT_COUNT, "1", "page walks (DTLB_LOAD_MISSES.MISS_CAUSES_A_WALK and kin)"},
    {"walk_refs", STAT_COUNT, "1", "table entries read by walks, guest's and nested"},
    {"walk_ps", STAT_COUNT, "ps", "time in walks (WALK_DURATION)"},
    {"guest_faults", STAT_COUNT, "1", "walks that ended in a guest page fault"},
    {"ept_violations", STAT_COUNT, "1", "walks that ended in an EPT violation"},
    {"invalidations", STAT_COUNT, "1", "INVEPT, INVVPID and INVLPG"},
    {"fracture_flushes", STAT_COUNT, "1", "INVLPG that dropped everything, as a large page was cached in pieces"},
    {"pml_logged", STAT_COUNT, "pages", "pages written to the page-modification log"},
};
STATS_COMPLETE(struct mmu_stats, mmu_stat_desc);

static int tlb_init(struct tlb *t, const char *name, uint64_t entries, uint64_t ways, struct diag *d)
{
    uint64_t sets = entries / ways;
    if (sets == 0 || (sets & (sets - 1)) || sets * ways != entries)
        return fail(d, "machine.tlb.%s: %llu entries in %llu ways do not give a power of two of sets", name,
                    (unsigned long long)entries, (unsigned long long)ways);
    *t = (struct tlb){.set_mask = sets - 1, .ways = (uint32_t)ways, .stride = (uint32_t)(ways + 1) & ~1u};
    t->key = xaligned(64, sets * t->stride * sizeof *t->key);
    t->value = xaligned(64, sets * t->stride * sizeof *t->value);
    t->lru = xaligned(64, sets * sizeof *t->lru);
    for (uint64_t i = 0; i < sets; i++)
        t->lru[i] = LRU_INIT;
    return 0;
}

static void tlb_fini(struct tlb *t)
{
    free(t->key);
    free(t->value);
    free(t->lru);
}

static int psc_init(struct psc *p, const char *name, uint64_t entries, struct diag *d)
{
    uint64_t sets = entries / PSC_WAYS;
    if (sets * PSC_WAYS != entries || (sets & (sets - 1)))
        return fail(d, "machine.tlb.%s: %llu entries, expected %u times a power of two", name,
                    (unsigned long long)entries, PSC_WAYS);
    *p = (struct psc){.set_mask = (uint32_t)sets - 1};
    p->key = xcalloc(entries, sizeof *p->key);
    p->table = xcalloc(entries, sizeof *p->table);
    p->lru = xcalloc(sets, sizeof *p->lru);
    for (uint64_t i = 0; i < sets; i++)
        p->lru[i] = LRU_INIT;
    return 0;
}

static void psc_fini(struct psc *p)
{
    free(p->key);
    free(p->table);
    free(p->lru);
}

int mmu_init(struct mmu *m, const struct mmu_conf *k, struct caches *caches, struct mem *mem, uint32_t core,
             uint64_t core_hz, struct diag *d)
{
    *m = (struct mmu){.conf = *k, .caches = caches, .mem = mem, .core = core};
    m->stlb_ps = k->stlb_cycles * PS_PER_S / core_hz;
    m->walk_start_ps = k->walk_cycles * PS_PER_S / core_hz;
    if (tlb_init(&m->dtlb_4k, "dtlb_4k", k->dtlb_4k, k->dtlb_4k_ways, d) ||
        tlb_init(&m->dtlb_2m, "dtlb_2m", k->dtlb_2m, k->dtlb_2m_ways, d) ||
        tlb_init(&m->dtlb_1g, "dtlb_1g", k->dtlb_1g, k->dtlb_1g_ways, d) ||
        tlb_init(&m->itlb_4k, "itlb_4k", k->itlb_4k, k->itlb_4k_ways, d) ||
        tlb_init(&m->itlb_2m, "itlb_2m", k->itlb_2m, k->itlb_2m_ways, d) ||
        tlb_init(&m->stlb, "stlb", k->stlb, k->stlb_ways, d) ||
        tlb_init(&m->stlb_1g, "stlb_1g", k->stlb_1g, k->stlb_1g_ways, d))
        return -1;
    for (int side = 0; side < 2; side++) {
        struct psc *p = side ? m->ept_psc : m->guest_psc;
        if (psc_init(&p[0], "pde_cache", k->psc_pde, d) || psc_init(&p[1], "pdpte_cache", k->psc_pdpte, d) ||
            psc_init(&p[2], "pml4_cache", k->psc_pml4, d))
            return -1;
    }
    return 0;
}

void mmu_fini(struct mmu *m)
{
    struct tlb *t[] = {&m->dtlb_4k, &m->dtlb_2m, &m->dtlb_1g, &m->itlb_4k, &m->itlb_2m, &m->stlb, &m->stlb_1g};
    for (size_t i = 0; i < N_ELEMS(t); i++)
        tlb_fini(t[i]);
    for (uint32_t i = 0; i < PSC_KINDS; i++) {
        psc_fini(&m->guest_psc[i]);
        psc_fini(&m->ept_psc[i]);
    }
}

/* may_exist: the set may have the page already, with too few rights. */
static inline void tlb_insert(struct tlb *t, uint64_t gva, uint32_t level, uint32_t asid, uint64_t value,
                              bool may_exist)
{
    uint64_t set = gva >> LEVEL_SHIFT(level) & t->set_mask, key = tlb_key(gva, level, asid);
    uint32_t match = may_exist ? tlb_match(t, set, key) : 0;
    uint32_t way = match ? (uint32_t)__builtin_ctz(match) : lru_victim(t->lru[set], t->ways);
    t->key[set * t->stride + way] = key;
    t->value[set * t->stride + way] = value;
    t->lru[set] = match ? lru_touch(t->lru[set], way) : lru_renew(t->lru[set], t->ways);
    t->is_used = true;
}

void tlb_fill(struct mmu *m, const struct mmu_space *s, uint64_t gva, enum cache_op op, uint32_t level, uint64_t value,
              bool may_exist)
{
    bool fetch = op == CACHE_FETCH;
    uint32_t asid = s->asid;
    if (level == LEVEL_1G)
        tlb_insert(&m->stlb_1g, gva, level, asid, value, may_exist);
    else
        tlb_insert(&m->stlb, gva, level, asid, value, may_exist);
    /* There is no instruction TLB for 1 GiB pages: such a fetch takes a 2 MiB piece. */
    if (fetch)
        tlb_insert(level ? &m->itlb_2m : &m->itlb_4k, gva, level ? LEVEL_2M : LEVEL_4K, asid, value, may_exist);
    else
        tlb_insert(level == LEVEL_4K   ? &m->dtlb_4k
                   : level == LEVEL_2M ? &m->dtlb_2m
                                       : &m->dtlb_1g,
                   gva, level, asid, value, may_exist);
}

/* Bits that an entry must have for the access. */
static inline uint64_t needed(uint32_t rights, enum cache_op op)
{
    if (op == CACHE_FETCH)
        return TLB_EXEC | (rights & MMU_USER) | (!(rights & MMU_USER) && rights & MMU_SMEP ? TLB_SUPERVISOR : 0);
    return (op == CACHE_WRITE ? TLB_WRITE : 0) | (rights & (MMU_USER | MMU_NO_USER));
}

/* Value of a usable entry in the array at that level, else 0; *seen is not 0 if there is an entry at all. */
static inline uint64_t probe(struct tlb *t, uint64_t gva, uint32_t level, uint32_t asid, uint64_t need, uint64_t *seen)
{
    uint64_t v = t->is_used ? tlb_lookup(t, gva, level, asid) : 0;
    *seen |= v;
    return (v & need) == need ? v : 0;
}

static enum mmu_status found(struct mmu_result *r, uint64_t gva, uint64_t value, ps_t t)
{
    uint64_t mask = (1ull << LEVEL_SHIFT(value >> TLB_LEVEL_SHIFT & 3)) - 1;
    r->value = value;
    r->hpa = (value & PTE_FRAME & ~mask) | (gva & mask);
    r->done_ps = t;
    return MMU_OK;
}

static uint64_t probe_l1(struct mmu *m, uint64_t gva, uint32_t asid, bool fetch, uint64_t need, uint64_t *seen)
{
    uint64_t v;
    if (fetch)
        return (v = probe(&m->itlb_4k, gva, LEVEL_4K, asid, need, seen))
                   ? v
                   : probe(&m->itlb_2m, gva, LEVEL_2M, asid, need, seen);
    /* The 4 KiB array was looked up by mmu_translate. */
    return (v = probe(&m->dtlb_2m, gva, LEVEL_2M, asid, need, seen))
               ? v
               : probe(&m->dtlb_1g, gva, LEVEL_1G, asid, need, seen);
}

enum mmu_status mmu_translate_slow(struct mmu *m, const struct mmu_space *s, uint64_t gva, enum cache_op op, ps_t t,
                                   struct mmu_result *r)
{
    bool fetch = op == CACHE_FETCH;
    uint64_t need = needed(s->rights, op), seen = r->value, v = probe_l1(m, gva, s->asid, fetch, need, &seen);
    if (v)
        return found(r, gva, v, t);
    m->stats.dtlb_misses += !fetch;
    m->stats.itlb_misses += fetch;
    t += m->stlb_ps;
    if ((v = probe(&m->stlb, gva, LEVEL_4K, s->asid, need, &seen)) ||
        ((m->dtlb_2m.is_used || m->itlb_2m.is_used) && (v = probe(&m->stlb, gva, LEVEL_2M, s->asid, need, &seen))) ||
        (v = probe(&m->stlb_1g, gva, LEVEL_1G, s->asid, need, &seen))) {
        uint32_t level = v >> TLB_LEVEL_SHIFT & 3;
        m->stats.stlb_hits++;
        if (fetch)
            tlb_insert(level ? &m->itlb_2m : &m->itlb_4k, gva, level ? LEVEL_2M : LEVEL_4K, s->asid, v, true);
        else
            tlb_insert(level == LEVEL_4K   ? &m->dtlb_4k
                       : level == LEVEL_2M ? &m->dtlb_2m
                                           : &m->dtlb_1g,
                       gva, level, s->asid, v, true);
        return found(r, gva, v, t);
    }
    enum mmu_status status = mmu_walk(m, s, gva, op, t, seen != 0, r);
    return status == MMU_OK ? found(r, gva, r->value, r->done_ps) : status;
}

/* Drops every key that matches want under mask. */
static void drop_keys(uint64_t *key, uint64_t *lru, uint64_t sets, uint32_t ways, uint32_t stride, uint64_t mask,
                      uint64_t want)
{
    for (uint64_t i = 0; i < sets; i++)
        for (uint32_t w = 0; w < ways; w++)
            if (key[i * stride + w] && (key[i * stride + w] & mask) == want) {
                key[i * stride + w] = 0;
                lru[i] = lru_retire(lru[i], w, ways);
            }
}

/* Drops what matches in the arrays: linear and combined mappings; and, if nested, what leads to the VM's nested tables.
 */
static void flush_matching(struct mmu *m, uint64_t mask, uint64_t want, bool nested)
{
    struct tlb *t[] = {&m->dtlb_4k, &m->dtlb_2m, &m->dtlb_1g, &m->itlb_4k, &m->itlb_2m, &m->stlb, &m->stlb_1g};
    for (size_t i = 0; i < N_ELEMS(t); i++)
        if (t[i]->is_used)
            drop_keys(t[i]->key, t[i]->lru, t[i]->set_mask + 1, t[i]->ways, t[i]->stride, mask, want);
    for (uint32_t i = 0; i < PSC_KINDS; i++) {
        struct psc *p[2] = {&m->guest_psc[i], &m->ept_psc[i]};
        for (int side = 0; side < 1 + nested; side++)
            drop_keys(p[side]->key, p[side]->lru, p[side]->set_mask + 1, PSC_WAYS, PSC_WAYS, mask, want);
    }
}

void mmu_flush_vm(struct mmu *m, uint32_t vm)
{
    m->stats.invalidations++;
    if (vm == UINT32_MAX) {
        flush_matching(m, 0, 0, true);
        memset(m->fractured, 0, sizeof m->fractured);
    } else {
        flush_matching(m, 0xff00, (uint64_t)(vm + 1) << 8, true);
        m->fractured[(vm + 1) >> 6 & 3] &= ~(1ull << ((vm + 1) & 63));
    }
}

void mmu_flush_space(struct mmu *m, uint32_t asid)
{
    m->stats.invalidations++;
    flush_matching(m, 0xffff, asid, false);
}

/* The entry of one page in each array. */
static void drop_page(struct mmu *m, uint32_t asid, uint64_t gva)
{
    struct tlb *t[] = {&m->dtlb_4k, &m->dtlb_2m, &m->dtlb_1g, &m->itlb_4k,
                       &m->itlb_2m, &m->stlb,    &m->stlb,    &m->stlb_1g};
    static const uint32_t level[] = {0, 1, 2, 0, 1, 0, 1, 2};
    for (size_t i = 0; i < N_ELEMS(t); i++) {
        uint64_t set = gva >> LEVEL_SHIFT(level[i]) & t[i]->set_mask, at = set * t[i]->stride;
        drop_keys(&t[i]->key[at], &t[i]->lru[set], 1, t[i]->ways, t[i]->stride, ~0ull, tlb_key(gva, level[i], asid));
    }
}

/* What the array holds of the 1 GiB around gva, in pages of that level. */
static void drop_gib(struct tlb *t, uint32_t level, uint32_t asid, uint64_t gva)
{
    uint64_t mask = ~0ull << (17 + LEVEL_SHIFT(LEVEL_1G) - LEVEL_SHIFT(level)) | ((1ull << 17) - 1);
    drop_keys(t->key, t->lru, t->set_mask + 1, t->ways, t->stride, mask, tlb_key(gva, level, asid) & mask);
}

/* Every piece of the 1 GiB around gva: what a large guest page there may have left, whatever its size was. */
static void drop_pieces(struct mmu *m, uint32_t asid, uint64_t gva)
{
    struct tlb *t[] = {&m->dtlb_4k, &m->dtlb_2m, &m->itlb_4k, &m->itlb_2m, &m->stlb, &m->stlb};
    static const uint32_t level[] = {0, 1, 0, 1, 0, 1};
    for (size_t i = 0; i < N_ELEMS(t); i++)
        drop_gib(t[i], level[i], asid, gva);
}

/* INVLPG drops all paging-structure entries of the space with the page (SDM volume 3, 4.10.4.1). */
void mmu_flush_page(struct mmu *m, uint32_t asid, uint64_t gva)
{
    bool fractured = m->fractured[asid >> 14 & 3] >> (asid >> 8 & 63) & 1;
    m->stats.invalidations++;
    if (fractured && m->conf.fracturing) {
        m->stats.fracture_flushes++;
        flush_matching(m, 0xff00, asid & 0xff00, false);
        m->fractured[asid >> 14 & 3] &= ~(1ull << (asid >> 8 & 63));
        return;
    }
    drop_page(m, asid, gva);
    if (fractured)
        drop_pieces(m, asid, gva);
    else if (m->stlb_1g.is_used) /* instruction fetches take 1 GiB pages in 2 MiB pieces */
        drop_gib(&m->itlb_2m, LEVEL_2M, asid, gva);
    for (uint32_t i = 0; i < PSC_KINDS; i++) {
        struct psc *p = &m->guest_psc[i];
        drop_keys(p->key, p->lru, p->set_mask + 1, PSC_WAYS, PSC_WAYS, 0xffff, asid);
    }
}

void mmu_drop_faulting(struct mmu *m, uint32_t asid, uint64_t gva)
{
    drop_page(m, asid, gva);
    for (uint32_t i = 0; i < PSC_KINDS; i++) {
        struct psc *p = &m->guest_psc[i];
        drop_keys(p->key, p->lru, p->set_mask + 1, PSC_WAYS, PSC_WAYS, ~0ull, psc_key(gva, i, asid));
    }
}

/* ---- checkpoints ---- */

static void tlb_state(struct tlb *t, struct ckpt *c)
{
    uint64_t sets = t->set_mask + 1;
    ckpt_bytes(c, t->key, sets * t->stride * sizeof *t->key);
    ckpt_bytes(c, t->value, sets * t->stride * sizeof *t->value);
    ckpt_bytes(c, t->lru, sets * sizeof *t->lru);
    CKPT(c, t->is_used);
}

static void psc_state(struct psc *p, struct ckpt *c)
{
    uint64_t sets = p->set_mask + 1ull;
    ckpt_bytes(c, p->key, sets * PSC_WAYS * sizeof *p->key);
    ckpt_bytes(c, p->table, sets * PSC_WAYS * sizeof *p->table);
    ckpt_bytes(c, p->lru, sets * sizeof *p->lru);
    CKPT(c, p->is_used);
}

void mmu_state(struct mmu *m, struct ckpt *c)
{
    struct tlb *t[] = {&m->dtlb_4k, &m->dtlb_2m, &m->dtlb_1g, &m->itlb_4k, &m->itlb_2m, &m->stlb, &m->stlb_1g};
    for (size_t i = 0; i < N_ELEMS(t); i++)
        tlb_state(t[i], c);
    for (uint32_t i = 0; i < PSC_KINDS; i++) {
        psc_state(&m->guest_psc[i], c);
        psc_state(&m->ept_psc[i], c);
    }
    CKPT(c, m->fractured);
    CKPT(c, m->stats);
}

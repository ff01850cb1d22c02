/* SPDX-License-Identifier: MIT */
#include "sim/mmu/walk.h"

/* Error code of a page fault (SDM volume 3, 4.7). */
#define PF_PRESENT  1u
#define PF_WRITE    2u
#define PF_USER     4u
#define PF_RESERVED 8u
#define PF_FETCH    16u

/* What a walk has found, for the paging-structure caches: entered when the walk completes. At most one entry for each
 * guest level and five for each of the nested walks. */
#define MAX_FILLS 40u
struct fill {
    struct psc *psc;
    uint64_t key, table;
};

/* Rights of a guest translation, as bits of its entries: W and U where all levels have them, NX where one has. Stored
 * with the address of a table in the paging-structure caches (SDM volume 3, 4.10.3). */
#define TABLE_RIGHTS (PTE_W | PTE_U | PTE_NX)
static inline uint64_t both_rights(uint64_t above, uint64_t entry)
{
    return (above & entry & (PTE_W | PTE_U)) | ((above | entry) & PTE_NX);
}

struct walk {
    struct mmu *m;
    const struct mmu_space *s;
    struct mmu_result *r;
    uint64_t refs;
    ps_t t;
    uint32_t n_fills;
    struct fill fill[MAX_FILLS];
};

static uint64_t *psc_set(const struct psc *p, uint64_t key, uint64_t *set)
{
    *set = (key >> 16) & p->set_mask;
    return &p->key[*set * PSC_WAYS];
}

/* Address of the cached table of that level (0 = last) for addr, with what leads to it (TABLE_RIGHTS), or 0. */
static inline uint64_t psc_lookup(struct psc *psc, uint64_t addr, uint32_t table_level, uint32_t asid)
{
    struct psc *p = &psc[table_level];
    if (!p->is_used)
        return 0;
    uint64_t key = psc_key(addr, table_level, asid), set, *keys = psc_set(p, key, &set);
    uint32_t newest = (uint32_t)p->lru[set] & 15;
    if (keys[newest] == key) /* mostly, for the upper levels have few tables */
        return p->table[set * PSC_WAYS + newest];
    for (uint32_t w = 0; w < PSC_WAYS; w++)
        if (keys[w] == key) {
            p->lru[set] = lru_touch(p->lru[set], w);
            return p->table[set * PSC_WAYS + w];
        }
    return 0;
}

static void psc_insert(struct psc *p, uint64_t key, uint64_t table)
{
    uint64_t set, *keys = psc_set(p, key, &set);
    uint32_t way = lru_victim(p->lru[set], PSC_WAYS);
    for (uint32_t w = 0; w < PSC_WAYS; w++)
        if (keys[w] == key)
            way = w;
    p->is_used = true;
    keys[way] = key;
    p->table[set * PSC_WAYS + way] = table;
    p->lru[set] = lru_touch(p->lru[set], way);
}

static inline void note_fill(struct walk *w, struct psc *psc, uint64_t addr, uint32_t table_level, uint64_t table)
{
    if (w->m->conf.psc_on && table_level < PSC_KINDS && w->n_fills < MAX_FILLS)
        w->fill[w->n_fills++] = (struct fill){&psc[table_level], psc_key(addr, table_level, w->s->asid), table};
}

/* A table entry is read through the caches: the time it takes. Its value is frame_load64's. */
static inline void time_entry(struct walk *w, uint64_t hpa)
{
    w->refs++;
    w->t = cache_access(w->m->caches, w->m->core, hpa >> LINE_SHIFT, CACHE_READ, w->t);
}

/* Sets bits of an entry: a locked store to a line that the walk has just read. */
static void set_bits(struct walk *w, uint64_t hpa, uint64_t entry)
{
    w->t = cache_access(w->m->caches, w->m->core, hpa >> LINE_SHIFT, CACHE_WRITE, w->t);
    frame_store64(w->m->mem, hpa, entry);
}

static enum mmu_status violation(struct walk *w, uint64_t gpa, uint32_t access, bool is_table)
{
    w->r->gpa = is_table ? gpa & ~(uint64_t)(PAGE_BYTES - 1) : gpa; /* a policy asks about the table, not the entry */
    w->r->access = access;
    w->r->is_table = is_table;
    w->m->stats.ept_violations++;
    return MMU_EPT_VIOLATION;
}

/* Notes a page that becomes dirty in the page-modification log. */
static enum mmu_status log_dirty(struct walk *w, uint64_t gpa)
{
    struct pml *pml = w->s->pml;
    if (pml->n == PML_ENTRIES)
        return MMU_PML_FULL;
    pml->gpa[pml->n++] = gpa & ~(uint64_t)(PAGE_BYTES - 1);
    w->m->stats.pml_logged++;
    return MMU_OK;
}

static enum mmu_status leaf_bits(struct walk *w, uint64_t hpa, uint64_t *entry, uint64_t gpa, uint32_t access)
{
    uint64_t want = EPT_A | (access & EPT_W ? EPT_D : 0);
    if (likely((*entry & want) == want))
        return MMU_OK;
    if (access & EPT_W && !(*entry & EPT_D) && w->s->pml && log_dirty(w, gpa) != MMU_OK) {
        w->r->gpa = gpa;
        return MMU_PML_FULL;
    }
    *entry |= want;
    set_bits(w, hpa, *entry);
    return MMU_OK;
}

/* The leaf entry's translation of gpa, and the level of the leaf. */
struct nested {
    uint64_t hpa, entry;
    uint32_t level;
};

/* What the walk or the access looks at next: the host fetches it while the simulated one is timed. */
static inline void foresee(const struct walk *w, uint64_t hpa, bool is_table)
{
    if (w->m->is_foreseen)
        return;
    if (is_table)
        frame_foresee64(w->m->mem, hpa);
    cache_foresee(w->m->caches, w->m->core, hpa >> LINE_SHIFT);
}

/* Guest-physical to host-physical. With accessed and dirty flags on, reads of guest tables count as writes (SDM volume
 * 3, 29.3.3.2), hence access for them is R|W. */
static enum mmu_status nested_walk(struct walk *w, uint64_t gpa, uint32_t access, bool is_table, struct nested *out)
{
    const struct ept *ept = w->s->ept;
    uint32_t level = ept->levels - 1, asid = w->s->asid & 0xff00;
    uint64_t table = ept->root;
    if (unlikely(gpa >> LEVEL_SHIFT(ept->levels)))
        return violation(w, gpa, access, is_table);
    if (w->m->conf.psc_on)
        for (uint32_t l = 0; l < PSC_KINDS && l < level; l++) {
            uint64_t cached = psc_lookup(w->m->ept_psc, gpa, l, asid);
            if (cached) {
                table = cached;
                level = l;
                break;
            }
        }
    for (;; level--) {
        uint64_t at = table + (gpa >> LEVEL_SHIFT(level) & 511) * 8, entry = frame_load64(w->m->mem, at);
        if (unlikely((entry & access) != access)) {
            time_entry(w, at);
            return violation(w, gpa, access, is_table);
        }
        if (level == 0 || entry & EPT_LEAF) {
            uint64_t mask = (1ull << LEVEL_SHIFT(level)) - 1;
            out->hpa = (entry & EPT_FRAME & ~mask) | (gpa & mask);
            out->level = level;
            foresee(w, out->hpa, is_table);
            time_entry(w, at);
            enum mmu_status status = leaf_bits(w, at, &entry, gpa, access);
            out->entry = entry;
            return status;
        }
        time_entry(w, at);
        table = entry & EPT_FRAME;
        if (w->m->conf.psc_on && level - 1 < PSC_KINDS && w->n_fills < MAX_FILLS)
            w->fill[w->n_fills++] = (struct fill){&w->m->ept_psc[level - 1], psc_key(gpa, level - 1, asid), table};
    }
}

/* code: X86's error code (SDM volume 3, 4.7) without what the access itself says. */
static enum mmu_status guest_fault(struct walk *w, enum cache_op op, uint32_t code)
{
    uint32_t rights = w->s->rights;
    bool is_fetch_told = op == CACHE_FETCH && (!(rights & MMU_PAGING) || rights & (MMU_NXE | MMU_SMEP));
    w->r->access = op == CACHE_WRITE ? EPT_W : op == CACHE_FETCH ? EPT_X : EPT_R;
    w->m->fault_code =
        code | (op == CACHE_WRITE ? PF_WRITE : 0) | (rights & MMU_USER ? PF_USER : 0) | (is_fetch_told ? PF_FETCH : 0);
    w->m->stats.guest_faults++;
    return MMU_GUEST_FAULT;
}

/* Reserved bits of a present entry (SDM volume 3, tables 4-14 to 4-20): above the physical address, PS where there are
 * no such pages, the low address bits of a large page, NX without EFER.NXE. */
static bool is_reserved(const struct walk *w, uint64_t entry, uint32_t level)
{
    uint64_t reserved = PTE_FRAME & ~((1ull << HPA_BITS) - 1);
    if (!(w->s->rights & MMU_NXE))
        reserved |= PTE_NX;
    if (level > LEVEL_1G)
        reserved |= PTE_PS;
    else if (level && entry & PTE_PS)
        reserved |= ((1ull << LEVEL_SHIFT(level)) - 1) & ~0x1fffull; /* bit 12 is PAT */
    return entry & reserved;
}

/* May the access be made where all levels together allow so much (SDM volume 3, 4.6.1)? */
static bool is_allowed(const struct walk *w, uint64_t rights, enum cache_op op)
{
    uint32_t who = w->s->rights;
    bool is_user_page = rights & PTE_U;
    if (who & MMU_USER && !is_user_page)
        return false;
    if (op == CACHE_FETCH)
        return !(rights & PTE_NX) && !(is_user_page && !(who & MMU_USER) && who & MMU_SMEP);
    if (who & MMU_NO_USER && is_user_page)
        return false;
    return op != CACHE_WRITE || rights & PTE_W || !(who & (MMU_USER | MMU_WP));
}

/* What an entry says to the access: 0: go on, or a fault's code. rights: of this entry and all above. */
static inline enum mmu_status judge(struct walk *w, uint64_t entry, uint32_t level, bool is_leaf, uint64_t rights,
                                    enum cache_op op)
{
    if (unlikely(!(entry & PTE_P)))
        return guest_fault(w, op, 0);
    if (likely(!(w->s->rights & MMU_PAGING))) {
        if (unlikely((op == CACHE_WRITE && !(entry & PTE_W)) || (op == CACHE_FETCH && entry & PTE_NX)))
            return guest_fault(w, op, PF_PRESENT);
        return MMU_OK;
    }
    if (is_reserved(w, entry, level))
        return guest_fault(w, op, PF_PRESENT | PF_RESERVED);
    return is_leaf && !is_allowed(w, rights, op) ? guest_fault(w, op, PF_PRESENT) : MMU_OK;
}

/* Native: where the machine's own memory lies. */
static enum mmu_status native_place(struct walk *w, uint64_t gpa, uint32_t access, bool is_table, struct nested *out)
{
    struct ept_leaf leaf;
    if (!ept_find(w->s->map, gpa, &leaf)) {
        w->r->gpa = gpa;
        w->r->access = access;
        w->r->is_table = is_table;
        return MMU_EPT_VIOLATION; /* not one of the hardware: whoever has the map is asked */
    }
    out->hpa = (leaf.entry & EPT_FRAME) + (gpa - leaf.gpa);
    out->level = leaf.level;
    return MMU_OK;
}

/* Host address of an entry of a guest table. */
static inline enum mmu_status entry_address(struct walk *w, uint64_t gpa, uint64_t *hpa)
{
    struct nested n;
    if (!w->s->ept && !w->s->map) {
        *hpa = gpa;
        return MMU_OK;
    }
    enum mmu_status status =
        w->s->ept ? nested_walk(w, gpa, EPT_R | EPT_W, true, &n) : native_place(w, gpa, EPT_R | EPT_W, true, &n);
    *hpa = n.hpa;
    return status;
}

/* A guest's translation of gva: the leaf entry with the rights of all levels (TABLE_RIGHTS) in place of its own. */
struct guest {
    uint64_t leaf;
    uint32_t level;
};

static enum mmu_status guest_walk(struct walk *w, uint64_t gva, enum cache_op op, struct guest *g)
{
    const struct mmu_space *s = w->s;
    uint32_t level = s->levels - 1;
    uint64_t table = 0, table_gpa = s->cr3, rights = PTE_W | PTE_U;
    if (unlikely(!s->levels)) {
        *g = (struct guest){(gva >> LEVEL_SHIFT(LEVEL_1G) << LEVEL_SHIFT(LEVEL_1G)) | rights | PTE_D, LEVEL_1G};
        return MMU_OK;
    }
    if (w->m->conf.psc_on)
        for (uint32_t l = 0; l < PSC_KINDS && l < level && !table; l++)
            if ((table = psc_lookup(w->m->guest_psc, gva, l, s->asid)))
                level = l;
    bool was_cached = table != 0;
    if (was_cached) {
        rights = table & TABLE_RIGHTS;
        table &= ~TABLE_RIGHTS;
    }
    for (;; level--) {
        uint64_t offset = (gva >> LEVEL_SHIFT(level) & 511) * 8, at = table + offset, above = rights;
        enum mmu_status status = table ? MMU_OK : entry_address(w, table_gpa + offset, &at);
        if (status != MMU_OK)
            return status;
        uint64_t entry = frame_load64(w->m->mem, at);
        time_entry(w, at);
        bool is_leaf = level == 0 || (entry & PTE_PS && level <= LEVEL_1G);
        rights = both_rights(above, entry);
        if (unlikely((status = judge(w, entry, level, is_leaf, rights, op)) != MMU_OK))
            return status;
        if (level != s->levels - 1 && !was_cached) /* what came from the cache is there, and was touched */
            note_fill(w, w->m->guest_psc, gva, level, (at - offset) | above);
        was_cached = false;
        uint64_t want = PTE_A | (uint64_t)(is_leaf & (op == CACHE_WRITE)) * PTE_D;
        if (unlikely((entry & want) != want))
            set_bits(w, at, entry |= want);
        if (is_leaf) {
            *g = (struct guest){s->rights & MMU_PAGING ? (entry & ~TABLE_RIGHTS) | rights : entry, level};
            return MMU_OK;
        }
        table_gpa = entry & PTE_FRAME;
        table = 0;
    }
}

static enum mmu_status walk_both(struct walk *w, uint64_t gva, enum cache_op op, uint32_t *level)
{
    uint64_t mask;
    struct guest g = {0};
    struct nested n = {.level = LEVEL_1G, .entry = EPT_RWX | EPT_D};
    static const uint8_t access_of[] = {[CACHE_READ] = EPT_R, [CACHE_WRITE] = EPT_R | EPT_W, [CACHE_FETCH] = EPT_X};
    uint32_t access = access_of[op];
    enum mmu_status status = guest_walk(w, gva, op, &g);
    if (status != MMU_OK)
        return status;
    uint64_t leaf = g.leaf;
    *level = g.level;
    mask = (1ull << LEVEL_SHIFT(*level)) - 1;
    w->r->gpa = (leaf & PTE_FRAME & ~mask) | (gva & mask);
    n.hpa = w->r->gpa;
    if (w->s->ept && (status = nested_walk(w, w->r->gpa, access, false, &n)) != MMU_OK)
        return status;
    if (unlikely(w->s->map) && (status = native_place(w, w->r->gpa, access, false, &n)) != MMU_OK)
        return status;
    /* The TLB holds the smaller of the two page sizes. */
    if (unlikely(n.level < *level)) {
        *level = n.level;
        if (w->s->levels)
            w->m->fractured[w->s->asid >> 14 & 3] |= 1ull << (w->s->asid >> 8 & 63);
    }
    mask = (1ull << LEVEL_SHIFT(*level)) - 1;
    bool writable = leaf & PTE_W && leaf & PTE_D && n.entry & EPT_W && n.entry & EPT_D;
    bool is_pmem = mem_region_at(w->m->mem, n.hpa)->kind == MEM_PMEM;
    w->r->value = (n.hpa & ~mask) | (writable ? TLB_WRITE : 0) | (!(leaf & PTE_NX) && n.entry & EPT_X ? TLB_EXEC : 0) |
                  (is_pmem ? TLB_PMEM : 0) | (leaf & PTE_U ? TLB_USER : TLB_SUPERVISOR) |
                  (uint64_t)*level << TLB_LEVEL_SHIFT;
    return MMU_OK;
}

enum mmu_status mmu_walk(struct mmu *m, const struct mmu_space *s, uint64_t gva, enum cache_op op, ps_t t,
                         bool is_cached, struct mmu_result *r)
{
    struct walk w;
    uint32_t level = 0;
    w.m = m;
    w.s = s;
    w.r = r;
    w.refs = 0;
    w.t = t + m->walk_start_ps;
    w.n_fills = 0;
    enum mmu_status status = walk_both(&w, gva, op, &level);
    m->stats.walks++;
    m->stats.walk_refs += w.refs;
    m->stats.walk_ps += w.t - t;
    r->done_ps = w.t;
    if (status == MMU_GUEST_FAULT && s->rights & MMU_PAGING)
        mmu_drop_faulting(m, s->asid, gva);
    if (status != MMU_OK)
        return status;
    for (uint32_t i = 0; i < w.n_fills; i++)
        psc_insert(w.fill[i].psc, w.fill[i].key, w.fill[i].table);
    tlb_fill(m, s, gva, op, level, r->value, is_cached);
    return MMU_OK;
}

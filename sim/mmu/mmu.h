/* SPDX-License-Identifier: MIT */
/* Address translation of one core: L1 and L2 TLBs tagged by address space, paging-structure caches, and the
 * two-dimensional walk over guest tables and EPT. Every table reference of a walk is an access to the core's caches.
 *
 * Paging-structure caches, as in the SDM (volume 3, 29.4): combined entries (guest-virtual prefix to the host address
 * of the next guest table) and guest-physical ones (guest-physical prefix to the next EPT table). A walk fills them
 * when it completes, so a cold walk makes all of its references: 24 for four guest levels over four EPT levels. */
#ifndef QUIRE_MMU_MMU_H
#define QUIRE_MMU_MMU_H

#include "sim/base/conf.h"
#include "sim/base/lru.h"
#include "sim/base/stats.h"
#include "sim/base/types.h"
#include "sim/cache/cache.h"
#include "sim/mmu/ept.h"

/* Guest page-table entry bits (SDM volume 3, 4.5). */
#define PTE_P     1ull
#define PTE_W     2ull
#define PTE_U     4ull
#define PTE_A     32ull
#define PTE_D     64ull
#define PTE_PS    128ull
#define PTE_NX    (1ull << 63)
#define PTE_FRAME 0x000ffffffffff000ull

struct mmu_conf {
    uint64_t dtlb_4k, dtlb_4k_ways, dtlb_2m, dtlb_2m_ways, dtlb_1g, dtlb_1g_ways;
    uint64_t itlb_4k, itlb_4k_ways, itlb_2m, itlb_2m_ways;
    uint64_t stlb, stlb_ways, stlb_1g, stlb_1g_ways, stlb_cycles;
    uint64_t walk_cycles;                  /* before a walk's first reference */
    uint64_t invlpg_cycles;                /* what INVLPG of a guest costs: charged by the caller */
    uint64_t fracturing;                   /* INVLPG flushes all once a large guest page was cached in pieces */
    uint64_t psc_on;                       /* paging-structure caches */
    uint64_t psc_pde, psc_pdpte, psc_pml4; /* entries; PML5 entries share with PML4 */
};
extern const struct conf_key mmu_keys[];

struct mmu_stats {
    uint64_t dtlb_misses, itlb_misses, stlb_hits, walks, walk_refs, walk_ps;
    uint64_t guest_faults, ept_violations, invalidations, fracture_flushes, pml_logged;
};
extern const struct stat_desc mmu_stat_desc[];
#define MMU_N_STATS (sizeof(struct mmu_stats) / sizeof(uint64_t))

/* One TLB array. Key: page number << 17 | is 2 MiB << 16 | asid; 0 is free. */
struct tlb {
    uint64_t *key, *value, *lru;
    uint64_t set_mask;
    uint32_t ways, stride;
    bool is_used; /* something was ever inserted */
};

/* Value of a TLB entry and of a translation: host page address | these bits. */
#define TLB_WRITE       1ull /* writable, and D is set in both tables */
#define TLB_EXEC        2ull
#define TLB_PMEM        4ull /* persistent memory behind it */
#define TLB_LEVEL_SHIFT 4
#define TLB_USER        64ull  /* a user's page: U is set at all levels of the guest's tables */
#define TLB_SUPERVISOR  128ull /* the opposite */

#define PSC_WAYS  4u
#define PSC_KINDS 3u /* next table is a PT, a PD, a PDPT (or PML4) */
struct psc {
    uint64_t *key; /* prefix << 16 | asid; 0 is free */
    uint64_t *table;
    uint64_t *lru;
    uint32_t set_mask;
    bool is_used; /* something was ever inserted */
};

#define PML_ENTRIES 512u
struct pml {
    uint32_t n;
    uint64_t gpa[PML_ENTRIES];
};

/* An address space as a core sees it. */
struct mmu_space {
    struct ept *ept; /* NULL: native, guest-physical addresses are host-physical, or as map has it */
    struct ept *map; /* native: where the machine's memory lies in the host's. It is no table of the machine: to look
                      * costs nothing, and marks nothing. NULL: at its own addresses */
    struct mem *mem;
    struct pml *pml; /* NULL: no page-modification log */
    uint64_t cr3;    /* guest-physical address of the top table */
    uint32_t levels; /* 4 or 5; 0: paging is off, addresses are guest-physical */
    uint32_t asid;   /* VM number + 1 << 8 | space; 1..65535 */
    uint32_t
        rights; /* MMU_*: whose access it is, and what is checked; 0: P, W and NX alone, as the light guest has it */
};

/* Rights of an access (SDM volume 3, 4.6). */
#define MMU_PAGING  1u   /* the guest's tables are a real kernel's: everything below holds, also reserved bits */
#define MMU_WP      2u   /* CR0.WP: a supervisor's write needs W too */
#define MMU_NXE     4u   /* EFER.NXE; without it NX is a reserved bit */
#define MMU_SMEP    8u   /* CR4.SMEP */
#define MMU_USER    64u  /* at CPL 3; is TLB_USER: what an entry must have */
#define MMU_NO_USER 128u /* a supervisor's data access where SMAP forbids user pages; is TLB_SUPERVISOR */

enum mmu_status { MMU_OK, MMU_GUEST_FAULT, MMU_EPT_VIOLATION, MMU_PML_FULL };

struct mmu_result {
    uint64_t hpa;    /* of the byte asked for */
    uint64_t value;  /* TLB_* bits and the page's host address */
    uint64_t gpa;    /* EPT violation: where; also set after a walk */
    uint32_t access; /* EPT violation: EPT_R, EPT_W, EPT_X wanted */
    bool is_table;   /* EPT violation while reading a guest table */
    ps_t done_ps;
};

struct mmu {
    struct mmu_conf conf;
    struct caches *caches;
    struct mem *mem;
    uint32_t core;
    ps_t stlb_ps, walk_start_ps;
    struct tlb dtlb_4k, dtlb_2m, dtlb_1g, itlb_4k, itlb_2m, stlb, stlb_1g;
    struct psc guest_psc[PSC_KINDS], ept_psc[PSC_KINDS];
    uint32_t fault_code;   /* of the last MMU_GUEST_FAULT: the page fault's error code (SDM volume 3, 4.7) */
    bool is_foreseen;      /* somebody looks ahead (mmu_foresee): walks need not */
    uint64_t fractured[4]; /* bit asid >> 8: a large page of that VM was cached in pieces since the last full flush */
    struct mmu_stats stats;
};

int mmu_init(struct mmu *m, const struct mmu_conf *conf, struct caches *caches, struct mem *mem, uint32_t core,
             uint64_t core_hz, struct diag *d);
void mmu_fini(struct mmu *m);

static inline uint64_t tlb_key(uint64_t gva, uint32_t level, uint32_t asid)
{
    return gva >> LEVEL_SHIFT(level) << 17 | (uint64_t)(level == LEVEL_2M) << 16 | asid;
}

/* Way mask of key in its set. */
static inline uint32_t tlb_match(const struct tlb *t, uint64_t set, uint64_t key)
{
    uint32_t mask = 0;
#ifdef __AVX2__
    if (t->stride % 4 == 0) {
        const __m256i *q = (const __m256i *)(const void *)&t->key[set * t->stride];
        const __m256i all = _mm256_set1_epi64x((long long)key);
        for (uint32_t i = 0; i < t->stride / 4; i++)
            mask |= (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(q[i], all))) << 4 * i;
        return mask;
    }
#endif
    const __m128i *p = (const __m128i *)(const void *)&t->key[set * t->stride];
    const __m128i want = _mm_set1_epi64x((long long)key);
    for (uint32_t i = 0; i < t->stride / 2; i++)
        mask |= (uint32_t)_mm_movemask_pd(_mm_castsi128_pd(_mm_cmpeq_epi64(p[i], want))) << 2 * i;
    return mask;
}

/* The entry's value, made the most recently used; 0 if absent. */
static inline uint64_t tlb_lookup(struct tlb *t, uint64_t gva, uint32_t level, uint32_t asid)
{
    uint64_t set = gva >> LEVEL_SHIFT(level) & t->set_mask;
    uint32_t match = tlb_match(t, set, tlb_key(gva, level, asid));
    if (!match)
        return 0;
    uint32_t way = (uint32_t)__builtin_ctz(match);
    t->lru[set] = lru_touch(t->lru[set], way);
    return t->value[set * t->stride + way];
}

/* r->value: the L1 TLB's entry for the page if it has one that does not suffice, else 0. */
enum mmu_status mmu_translate_slow(struct mmu *m, const struct mmu_space *s, uint64_t gva, enum cache_op op, ps_t t,
                                   struct mmu_result *r);

/* Translates gva for an access that starts at t. On MMU_OK hpa, value and done_ps are set. A hit costs no time of its
 * own: the L1 TLB is looked up with the L1 cache. */
static inline enum mmu_status mmu_translate(struct mmu *m, const struct mmu_space *s, uint64_t gva, enum cache_op op,
                                            ps_t t, struct mmu_result *r)
{
    if (likely(op != CACHE_FETCH)) {
        uint64_t v = tlb_lookup(&m->dtlb_4k, gva, LEVEL_4K, s->asid);
        if (likely(v && (op == CACHE_READ || v & TLB_WRITE) && !(~v & s->rights & (MMU_USER | MMU_NO_USER)))) {
            r->value = v;
            r->hpa = (v & PTE_FRAME) | (gva & (PAGE_BYTES - 1));
            r->done_ps = t;
            return MMU_OK;
        }
        r->value = v;
    } else {
        r->value = 0;
    }
    return mmu_translate_slow(m, s, gva, op, t, r);
}

/* What the simulated machine does next is often known (a trace), and then the host need not wait for its own memory:
 * its caches are asked early for what the walk of a future access and its cache miss will look at. Nothing simulated is
 * read or changed but tags and tables; a wrong guess costs host time only.
 *
 * A look at access i goes by steps, each behind what the host has to fetch before: mmu_foresee() asks for the entry of
 * the guest's last table (or, where the TLB or a large page says the address, for the data's), mmu_foresee_on() goes on
 * from it, and once more where the nested pages are small. i counts accesses; MMU_SIGHTS looks may be under way. */
#define MMU_SIGHTS 16u
#define MMU_NEAR   512u
enum mmu_sight_state { SIGHT_DONE, SIGHT_ENTRY, SIGHT_NESTED_ENTRY };
struct mmu_sight {
    uint64_t gva, gpa;
    uint64_t at; /* host-physical address of what was asked for last: an entry, in the end the data; 0: nothing */
    enum mmu_sight_state state;
};
/* What maps 2 MiB, remembered; old after a change of the tables, which costs time only. */
struct mmu_near {
    uint64_t key, to;
};
struct mmu_foresight {
    bool tlb_helps;       /* it is worth asking */
    uint64_t page, frame; /* the last page that it knew, and its host-physical address */
    struct mmu_sight sight[MMU_SIGHTS];
    struct mmu_near guest[MMU_NEAR], nested[MMU_NEAR];
};
/* Somebody looks ahead, from now on or no longer: walks and caches need not ask the host's caches themselves. */
static inline void mmu_set_foreseen(struct mmu *m, bool is_foreseen)
{
    m->is_foreseen = is_foreseen;
    m->caches->core[m->core].is_foreseen = is_foreseen;
}
/* Forgets everything. */
void mmu_foresight_reset(struct mmu_foresight *l, bool tlb_helps);
void mmu_foresee(const struct mmu *m, const struct mmu_space *s, struct mmu_foresight *l, uint32_t i, uint64_t gva);
void mmu_foresee_on(const struct mmu *m, const struct mmu_space *s, struct mmu_foresight *l, uint32_t i);

/* Invalidations; their cost is the caller's to charge.
 * INVEPT of one VM: all translations of all its spaces, and what is cached of its nested tables; everything with
 * vm = ~0. */
void mmu_flush_vm(struct mmu *m, uint32_t vm);
/* INVVPID of one space, or a write of CR3: its translations; what is cached of the nested tables stays (SDM volume 3,
 * 29.4.3.1). */
void mmu_flush_space(struct mmu *m, uint32_t asid);
/* INVLPG, or INVVPID of one address. If the VM has large pages that the TLB holds in pieces, the processor does not
 * know how many pieces there are and drops all translations of the VM instead (N. Amit, "Page fracturing", 2018:
 * measured on Intel, any address). */
void mmu_flush_page(struct mmu *m, uint32_t asid, uint64_t gva);

/* TLBs, paging-structure caches and counters, for a checkpoint. */
void mmu_state(struct mmu *m, struct ckpt *c);

#endif

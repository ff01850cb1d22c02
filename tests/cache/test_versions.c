/* SPDX-License-Identifier: MIT */
/* Tiny caches of two sockets against a dictionary of who may hold a line, and line versions that must never be lost. */
#include "sim/base/rng.h"
#include "sim/machine/machine.h"

#include <criterion/criterion.h>

#define CORES 6
#define LINES 96

struct rig {
    struct mem *mem;
    struct numa numa;
    struct caches caches;
    uint64_t line[LINES];  /* half of them on each node */
    uint32_t may[LINES];   /* cores that may hold it */
    uint32_t owner[LINES]; /* the only core that wrote it since others read it, or CORES */
};

static void rig_init(struct rig *r, bool retains)
{
    struct machine_conf c;
    struct diag d = {0};
    *r = (struct rig){0};
    cr_assert_eq(machine_bind(NULL, &c, &d), 0);
    c.numa.n_nodes = 2;
    c.numa.dram_bytes = GIB;
    c.imc.n_imcs = 1;
    c.imc.n_channels = 2;
    c.imc.wpq_entries = 4;
    c.pmem.kind = NVDIMM_N;
    c.pmem.size_bytes = GIB;
    c.cache.l1i_bytes = c.cache.l1d_bytes = 256;
    c.cache.l1i_ways = c.cache.l1d_ways = 2;
    c.cache.l2_bytes = 1024;
    c.cache.l2_ways = 4;
    c.cache.llc_slices = 2;
    c.cache.llc_slice_bytes = 768;
    c.cache.llc_ways = 3;
    c.cache.clwb_retains = retains;
    r->mem = mem_new();
    /* The smallest sizes lie below what a machine file may ask for: set here, past the tables. */
    cr_assert_eq(numa_init(&r->numa, &c.numa, &c.imc, &c.pmem, &c.cxl, &c.cxl_imc, r->mem, &d), 0, "%s", d.text);
    cr_assert_eq(caches_init(&r->caches, &c.cache, &r->numa, CORES / 2, c.core.hz, &d), 0, "%s", d.text);
    for (uint32_t i = 0; i < LINES; i++) {
        struct mem_region *region = mem_find_region(r->mem, i & 1, MEM_PMEM);
        if (i < 2 || i % 16 < 2)
            r->line[i] = mem_alloc(r->mem, region, 0, FRAME_GUEST, 0, i) << (PAGE_SHIFT - LINE_SHIFT);
        else
            r->line[i] = r->line[i - 2] + 1;
        r->owner[i] = CORES;
    }
}

static void rig_fini(struct rig *r)
{
    caches_fini(&r->caches);
    numa_fini(&r->numa);
    mem_free(r->mem);
}

static struct pmem_page *page_of(struct rig *r, uint64_t line)
{
    return frame_pmem(r->mem, line >> (PAGE_SHIFT - LINE_SHIFT));
}

/* State of the line in a core by its raw tags: the stronger of L1D and L2; 0 if it is in neither. */
static uint32_t held(const struct rig *r, uint32_t core, uint64_t line)
{
    const struct pcache *level[2] = {&r->caches.core[core].l1d, &r->caches.core[core].l2};
    uint32_t state = 0;
    for (int k = 0; k < 2; k++)
        for (uint32_t w = 0; w < level[k]->ways; w++) {
            uint64_t tag = level[k]->tag[(line & level[k]->set_mask) * level[k]->stride + w];
            if (tag & 4 && tag >> 3 == line && (tag & 3) > state)
                state = tag & 3;
        }
    return state;
}

static void check_line(const struct rig *r, uint32_t i)
{
    uint32_t holders = 0, strong = 0;
    for (uint32_t k = 0; k < CORES; k++) {
        uint32_t state = held(r, k, r->line[i]);
        cr_assert(!state || r->may[i] >> k & 1, "core %u holds line %u that it gave up", k, i);
        cr_assert(state != LINE_MODIFIED || r->owner[i] == k, "core %u is dirty without a store", k);
        holders += state != 0;
        strong += state >= LINE_EXCLUSIVE;
    }
    cr_assert(!strong || holders == 1, "line %u: %u hold it, %u of them alone", i, holders, strong);
}

static uint32_t newest_kept(struct rig *r, uint64_t line, ps_t t)
{
    const struct mem_region *region = mem_region_at(r->mem, line << LINE_SHIFT);
    uint32_t queued =
        imc_queued_version(&r->numa.node[region->node], region, line - (region->base >> LINE_SHIFT), t, true);
    uint32_t media = page_of(r, line)->media[line & 63];
    return queued > media ? queued : media;
}

static void access_one(struct rig *r, uint32_t core, uint32_t i, uint32_t kind, ps_t *t)
{
    uint64_t line = r->line[i];
    if (kind < 2) {
        page_of(r, line)->cur[line & 63]++;
        *t = cache_access(&r->caches, core, line, CACHE_WRITE, *t);
        r->may[i] = 1u << core;
        r->owner[i] = core;
        cr_assert_eq(held(r, core, line), LINE_MODIFIED);
    } else {
        *t = cache_access(&r->caches, core, line, kind == 2 ? CACHE_FETCH : CACHE_READ, *t);
        r->may[i] |= 1u << core;
        if (r->owner[i] != core)
            r->owner[i] = CORES;
        cr_assert(held(r, core, line));
    }
}

/* A core that reads another's dirty line leaves the LLC responsible; reading it back alone brings the dirt along. */
static void allow_inherited(struct rig *r, uint32_t core, uint32_t i)
{
    if (held(r, core, r->line[i]) == LINE_MODIFIED)
        r->owner[i] = core;
}

static void flush_one(struct rig *r, uint32_t core, uint32_t i, uint32_t kind, ps_t *t)
{
    uint64_t line = r->line[i];
    if (kind == 7) {
        page_of(r, line)->cur[line & 63]++;
        *t = cache_ntstore(&r->caches, core, line, *t);
    } else {
        *t = cache_flush(&r->caches, core, line, (enum flush_op)(kind % 3), *t);
    }
    if (kind == 7 || kind % 3 != FLUSH_CLWB || !r->caches.conf.clwb_retains)
        r->may[i] = 0;
    r->owner[i] = CORES;
    cr_assert_eq(newest_kept(r, line, *t), page_of(r, line)->cur[line & 63], "a flushed line is the controller's");
}

static void run(uint64_t seed, bool retains, uint32_t n)
{
    struct rig r;
    struct rng rng;
    struct diag d = {0};
    ps_t t = 0;
    rig_init(&r, retains);
    rng_init(&rng, seed, "coherence");
    for (uint32_t k = 0; k < n; k++) {
        uint32_t core = (uint32_t)rng_below(&rng, CORES), i = (uint32_t)rng_below(&rng, k & 1 ? LINES : 12);
        uint32_t kind = (uint32_t)rng_below(&rng, 16);
        if (kind < 4 || kind > 7) {
            access_one(&r, core, i, kind < 4 ? kind : 3, &t);
            if (kind >= 2)
                allow_inherited(&r, core, i);
        } else {
            flush_one(&r, core, i, kind, &t);
        }
        check_line(&r, i);
        if (k % 64 == 0)
            cr_assert_eq(caches_verify(&r.caches, &d), 0, "%s", d.text);
    }
    cache_write_back_all(&r.caches, t);
    for (uint32_t i = 0; i < LINES; i++) {
        cr_assert_eq(newest_kept(&r, r.line[i], UINT64_MAX), page_of(&r, r.line[i])->cur[r.line[i] & 63],
                     "seed %lu: line %u lost its last store", (unsigned long)seed, i);
        for (uint32_t k = 0; k < CORES; k++)
            cr_assert_eq(held(&r, k, r.line[i]), 0);
    }
    rig_fini(&r);
}

Test(versions, no_store_is_lost)
{
    for (uint64_t seed = 0; seed < 100; seed++)
        run(seed, seed & 1, 2000);
}

Test(versions, a_long_run)
{
    run(1000, false, 200000);
    run(1001, true, 200000);
}

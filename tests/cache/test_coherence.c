/* SPDX-License-Identifier: MIT */
/* Random operations of six cores on two sockets with caches of a few lines: the protocol's invariants hold at every
 * step, each core sees its own hits, and no dirty line is ever lost: persistent lines carry versions, so a write-back
 * that is forgotten, or made with an old version, shows. */
#include "sim/base/rng.h"
#include "sim/machine/machine.h"

#include <criterion/criterion.h>

#define LINES 192u

struct rig {
    struct mem *mem;
    struct numa numa;
    struct caches caches;
    uint64_t first_line; /* of the persistent region of node 0 */
};

static void rig_init_at(struct rig *r, bool clwb_retains, bool has_directory)
{
    struct machine_conf c;
    struct diag d = {0};
    cr_assert_eq(machine_bind(NULL, &c, &d), 0);
    c.numa.n_nodes = 2;
    c.numa.dram_bytes = GIB;
    c.pmem.kind = NVDIMM_OPTANE;
    c.pmem.size_bytes = GIB;
    c.cache.l1d_bytes = c.cache.l1i_bytes = 4096;
    c.cache.l1d_ways = c.cache.l1i_ways = 8;
    c.cache.l2_bytes = 8192;
    c.cache.l2_ways = 16;
    c.cache.llc_slices = 1;
    c.cache.llc_slice_bytes = 4096 * 11 * LINE_BYTES;
    c.cache.clwb_retains = clwb_retains;
    c.numa.has_directory = has_directory;
    r->mem = mem_new();
    cr_assert_eq(numa_init(&r->numa, &c.numa, &c.imc, &c.pmem, &c.cxl, &c.cxl_imc, r->mem, &d), 0, "%s", d.text);
    cr_assert_eq(caches_init(&r->caches, &c.cache, &r->numa, 3, c.core.hz, &d), 0, "%s", d.text);
    struct mem_region *pm = mem_find_region(r->mem, 0, MEM_PMEM);
    uint64_t mfn = mem_alloc(r->mem, pm, LEVEL_2M, FRAME_GUEST, 0, 0);
    r->first_line = mfn << (PAGE_SHIFT - LINE_SHIFT);
}

static void rig_init(struct rig *r, bool clwb_retains)
{
    rig_init_at(r, clwb_retains, false);
}

static void rig_fini(struct rig *r)
{
    caches_fini(&r->caches);
    numa_fini(&r->numa);
    mem_free(r->mem);
}

/* Lines that share few sets, so that everything is evicted often. */
static uint64_t line_of(const struct rig *r, uint64_t i)
{
    return r->first_line + i % 24 * 4096 / 24 + i / 24 * 512;
}

static uint32_t *version(const struct rig *r, uint64_t line)
{
    return &frame_pmem(r->mem, line >> 6)->cur[line & 63];
}

static uint32_t safe_version(const struct rig *r, uint64_t line)
{
    const struct mem_region *reg = mem_region_at(r->mem, line << LINE_SHIFT);
    uint32_t queued = imc_queued_version(&r->numa.node[0], reg, line - (reg->base >> LINE_SHIFT), UINT64_MAX, true);
    uint32_t media = frame_pmem(r->mem, line >> 6)->media[line & 63];
    return queued > media ? queued : media;
}

/* Whatever socket 1 holds of socket 0's lines, the memory directory knows. */
static void check_directory(const struct rig *r, uint32_t op)
{
    const struct caches *c = &r->caches;
    const struct llc *l = &c->llc[1];
    for (uint32_t i = 3; i < 6; i++)
        for (uint64_t k = 0; k < (c->core[i].l2.set_mask + 1) * c->core[i].l2.stride; k++) {
            uint64_t tag = c->core[i].l2.tag[k];
            cr_assert(!(tag & 4) || directory_has(&r->numa.directory, tag >> 3), "op %u: in core %u", op, i);
        }
    for (uint64_t s = 0; s < 1ull << l->slice_set_bits; s++)
        for (uint32_t w = 0; w < l->ways; w++) {
            uint32_t tag = ((const uint32_t *)(const void *)(l->sets + (s << l->set_shift)))[w];
            uint64_t line = (uint64_t)(tag >> 3) << l->slice_set_bits | s;
            cr_assert(!(tag & 4) || directory_has(&r->numa.directory, line), "op %u: in the LLC", op);
        }
}

static void storm(bool clwb_retains, bool has_directory, uint64_t seed)
{
    struct rig r;
    struct rng rng;
    struct diag d = {0};
    ps_t t = 0;
    rig_init_at(&r, clwb_retains, has_directory);
    rng_init(&rng, seed, "storm");
    for (uint32_t i = 0; i < 150000; i++) {
        uint32_t core = (uint32_t)rng_below(&rng, 6), what = (uint32_t)rng_below(&rng, 16);
        uint64_t line = line_of(&r, rng_below(&rng, LINES));
        ps_t done;
        t += 1000;
        if (what < 7) {
            done = cache_access(&r.caches, core, line, CACHE_READ, t);
        } else if (what < 12) {
            ++*version(&r, line);
            done = cache_access(&r.caches, core, line, CACHE_WRITE, t);
        } else if (what == 12) {
            done = cache_access(&r.caches, core, line, CACHE_FETCH, t);
        } else if (what == 13) {
            ++*version(&r, line);
            done = cache_ntstore(&r.caches, core, line, t);
            cr_assert_eq(safe_version(&r, line), *version(&r, line), "a non-temporal store reached the controller");
        } else {
            done = cache_flush(&r.caches, core, line, what == 14 ? FLUSH_CLWB : FLUSH_CLFLUSHOPT, t);
            cr_assert_eq(safe_version(&r, line), *version(&r, line), "op %u: a flushed line is safe", i);
        }
        cr_assert(done >= t);
        if (what < 13) { /* the next access of the same kind hits the L1 */
            ps_t again;
            cr_assert(cache_l1_hit(&r.caches, core, line, what == 12 ? CACHE_FETCH : CACHE_READ, t, &again));
            cr_assert_eq(again, t + r.caches.l1_ps);
        }
        if (i % 64 == 0)
            cr_assert_eq(caches_verify(&r.caches, &d), 0, "op %u: %s", i, d.text);
        if (has_directory && i % 64 == 0)
            check_directory(&r, i);
    }
    cr_assert(!has_directory || r.numa.stats[0].directory_writes > 1000);
    cache_write_back_all(&r.caches, t);
    imc_power_fail(&r.numa.node[0], UINT64_MAX, true);
    for (uint64_t i = 0; i < LINES; i++) {
        uint64_t line = line_of(&r, i);
        cr_assert_eq(frame_pmem(r.mem, line >> 6)->media[line & 63], *version(&r, line), "line %lu lost a write",
                     (unsigned long)i);
    }
    rig_fini(&r);
}

Test(coherence, nothing_is_lost_clwb_invalidates)
{
    storm(false, false, 1);
}

Test(coherence, nothing_is_lost_clwb_retains)
{
    storm(true, false, 2);
}

Test(coherence, the_memory_directory_knows_what_other_sockets_hold)
{
    storm(false, true, 3);
    storm(true, true, 4);
}

/* Unloaded latencies are the sums of their stages. */
Test(latency, unloaded)
{
    struct rig r;
    rig_init(&r, false);
    uint64_t dram = 600 * 64, far = (mem_find_region(r.mem, 1, MEM_DRAM)->base >> LINE_SHIFT) + 640;
    const struct imc_conf *k = &r.numa.node[0].conf;
    const struct dram_conf *m = &k->dram;
    ps_t row_closed = m->t_rcd_ps + m->t_cl_ps + 4 * m->t_ck_ps + k->front_ps, t = PS_PER_MS / 8;
    ps_t near = cache_access(&r.caches, 0, dram, CACHE_READ, t) - t - r.caches.llc_ps - row_closed;
    cr_expect(near < m->t_ck_ps, "to the next memory clock: %lu ps", (unsigned long)near);
    cr_expect_eq(cache_access(&r.caches, 0, dram, CACHE_READ, 2 * t) - 2 * t, r.caches.l1_ps);
    cr_expect_eq(cache_access(&r.caches, 1, dram, CACHE_READ, 3 * t) - 3 * t, r.caches.llc_ps + r.caches.snoop_ps);
    ps_t away = cache_access(&r.caches, 0, far, CACHE_READ, 4 * t) - 4 * t - r.caches.llc_ps - row_closed;
    away -= 2 * r.numa.conf.hop_ps + r.numa.line_ps + r.numa.message_ps;
    cr_expect(away < m->t_ck_ps, "to the next memory clock: %lu ps", (unsigned long)away);
    rig_fini(&r);
}

/* While one core is alone its L2 stands in for the snoop filter. Whenever the second one joins, the filter has to know
 * what the first holds: shared lines are shared, written ones are written back, and a flush reaches every copy. */
Test(coherence, a_core_that_joins_later_finds_what_the_first_one_holds)
{
    for (uint64_t n = 0; n <= LINES; n += 8) {
        struct rig r;
        struct diag d = {0};
        rig_init(&r, false);
        uint64_t in_l2 = 0, seen;
        ps_t t = 0;
        for (uint64_t i = 0; i < n; i++)
            t = cache_access(&r.caches, 0, line_of(&r, i), i & 1 ? CACHE_WRITE : CACHE_READ, t);
        const struct pcache *l2 = &r.caches.core[0].l2;
        uint64_t held[LINES];
        for (uint64_t k = 0; k < (l2->set_mask + 1) * l2->stride; k++)
            if (l2->tag[k] & 4)
                held[in_l2++] = l2->tag[k] >> 3;
        cr_assert((in_l2 > 0) == (n > 0) && in_l2 <= 128);
        for (uint64_t i = 0; i < in_l2; i++)
            t = cache_access(&r.caches, 1, held[i], i & 2 ? CACHE_WRITE : CACHE_READ, t);
        seen = r.caches.core[1].stats.snoop_hits;
        cr_assert_eq(seen, in_l2, "%llu lines, %llu found", (unsigned long long)in_l2, (unsigned long long)seen);
        cr_assert_eq(caches_verify(&r.caches, &d), 0, "%s", d.text);
        rig_fini(&r);
    }
}

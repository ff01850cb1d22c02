/* SPDX-License-Identifier: MIT */
/* Prefetchers: which lines each of them brings, against closed forms and a brute-force model of a page; what waits for
 * data on its way; every prefetched line ends as used, lost or still there, also under coherence traffic. */
#include "sim/base/rng.h"
#include "sim/cache/llc.h"
#include "sim/cache/prefetch.h"
#include "sim/machine/machine.h"

#include <criterion/criterion.h>

#define PAGE 64u

struct rig {
    struct mem *mem;
    struct numa numa;
    struct caches caches;
    uint64_t first_line;
    ps_t t;
};

static struct machine_conf defaults(void)
{
    struct machine_conf c;
    struct diag d = {0};
    cr_assert_eq(machine_bind(NULL, &c, &d), 0);
    c.numa.dram_bytes = GIB;
    return c;
}

static void rig_init(struct rig *r, const struct machine_conf *c)
{
    struct diag d = {0};
    r->mem = mem_new();
    r->t = PS_PER_US;
    cr_assert_eq(numa_init(&r->numa, &c->numa, &c->imc, &c->pmem, &c->cxl, &c->cxl_imc, r->mem, &d), 0, "%s", d.text);
    cr_assert_eq(caches_init(&r->caches, &c->cache, &r->numa, 3, c->core.hz, &d), 0, "%s", d.text);
    r->first_line = 1 << 20;
}

static void rig_fini(struct rig *r)
{
    caches_fini(&r->caches);
    numa_fini(&r->numa);
    mem_free(r->mem);
}

/* An access long after all before it; answers how long it took. */
static ps_t touch(struct rig *r, uint64_t line)
{
    r->t += 10 * PS_PER_US;
    return cache_access(&r->caches, 0, r->first_line + line, CACHE_READ, r->t) - r->t;
}

static bool holds(const struct rig *r, uint64_t line)
{
    return core_holds(&r->caches.core[0], r->first_line + line);
}

static uint32_t n_held(const struct rig *r)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < 3 * PAGE; i++)
        n += holds(r, i);
    return n;
}

/* Access i of a stream has brought all up to min(1 + 2 i, i + 20, end of the page), in either direction. */
Test(prefetch, streamer_runs_ahead)
{
    for (int down = 0; down < 2; down++) {
        struct machine_conf c = defaults();
        struct rig r;
        c.cache.prefetch_stream = 1;
        rig_init(&r, &c);
        for (uint32_t i = 0; i < PAGE; i++) {
            ps_t took = touch(&r, PAGE + (down ? PAGE - 1 - i : i));
            uint32_t ahead = min_u64(i ? min_u64(1 + 2 * i, i + 20) : 0, PAGE - 1);
            for (uint32_t k = 0; k < PAGE; k++)
                cr_assert_eq(holds(&r, PAGE + (down ? PAGE - 1 - k : k)), k <= ahead, "access %u, line %u", i, k);
            cr_assert_eq(n_held(&r), ahead + 1, "no page but this one");
            if (i > 1)
                cr_assert_eq(took, r.caches.l2_ps, "access %u hits the L2", i);
        }
        const struct core_cache_stats *s = &r.caches.core[0].stats;
        cr_expect_eq(s->prefetches, PAGE - 2);
        cr_expect_eq(s->prefetch_useful, PAGE - 2);
        cr_expect_eq(s->prefetch_late + s->prefetch_useless + s->prefetch_dropped, 0);
        rig_fini(&r);
    }
}

/* What one page's accesses bring, from the description, over a plain set of lines. */
struct model {
    bool held[PAGE];
    int32_t last, direction, frontier;
};

static void model_touch(struct model *m, int32_t at, int32_t ahead, int32_t requests)
{
    int32_t step = at > m->last ? 1 : at < m->last ? -1 : m->direction;
    m->held[at] = true;
    if (m->last < 0) {
        m->last = at;
        return;
    }
    if (step != m->direction || (step > 0 ? m->frontier < at : m->frontier > at))
        m->frontier = at; /* the farthest line asked for */
    m->direction = step;
    m->last = at;
    for (int32_t n = 0; step && n < requests; n++) {
        int32_t line = m->frontier + step;
        if (line < 0 || line >= (int32_t)PAGE || (line - at) * step > ahead)
            break;
        m->held[m->frontier = line] = true;
    }
}

Test(prefetch, streamer_against_a_model)
{
    for (uint32_t seed = 0; seed < 200; seed++) {
        struct machine_conf c = defaults();
        struct rig r;
        struct rng rng;
        struct model m = {.last = -1};
        rng_init(&rng, seed, "stream");
        c.cache.prefetch_stream = 1;
        c.cache.prefetch_ahead = 1 + rng_below(&rng, 20);
        c.cache.prefetch_requests = 1 + rng_below(&rng, 4);
        c.cache.llc_slices = 1;
        rig_init(&r, &c);
        int32_t at = (int32_t)rng_below(&rng, PAGE), drift = rng_below(&rng, 2) ? 1 : -1;
        for (int i = 0; i < 12; i++) {
            /* Only a request that misses the L1 is seen: a new line each time. */
            touch(&r, PAGE + (uint32_t)at);
            model_touch(&m, at, (int32_t)c.cache.prefetch_ahead, (int32_t)c.cache.prefetch_requests);
            for (uint32_t k = 0; k < PAGE; k++)
                cr_assert_eq(holds(&r, PAGE + k), m.held[k], "seed %u, access %d to %d, line %u", seed, i, at, k);
            int32_t to = at;
            for (int tries = 0; tries < 40 && core_holds_l1(&r.caches.core[0], r.first_line + PAGE + (uint32_t)to);
                 tries++) {
                to = at + drift * (int32_t)(1 + rng_below(&rng, 3)) - (rng_below(&rng, 5) == 0 ? 4 * drift : 0);
                to = to < 0 ? 0 : to >= (int32_t)PAGE ? (int32_t)PAGE - 1 : to;
            }
            if (core_holds_l1(&r.caches.core[0], r.first_line + PAGE + (uint32_t)to))
                break;
            at = to;
        }
        rig_fini(&r);
    }
}

Test(prefetch, adjacent_line)
{
    struct machine_conf c = defaults();
    struct rig r;
    c.cache.prefetch_adjacent = 1;
    rig_init(&r, &c);
    touch(&r, 7);
    cr_expect(holds(&r, 6) && n_held(&r) == 2);
    cr_expect_eq(touch(&r, 6), r.caches.l2_ps);
    cr_expect_eq(n_held(&r), 2, "a hit brings nothing");
    touch(&r, 20);
    cr_expect(holds(&r, 21) && n_held(&r) == 4);
    rig_fini(&r);
}

Test(prefetch, next_line_and_stride)
{
    struct machine_conf c = defaults();
    struct rig r;
    c.cache.prefetch_next = 1;
    rig_init(&r, &c);
    touch(&r, 10);
    cr_expect_eq(n_held(&r), 1);
    touch(&r, 11);
    cr_expect(holds(&r, 12) && n_held(&r) == 3);
    cr_expect_eq(touch(&r, 12), r.caches.l1_ps, "it is in the L1");
    touch(&r, PAGE - 2);
    touch(&r, PAGE - 1);
    cr_expect_not(holds(&r, PAGE), "not beyond the page");
    rig_fini(&r);
    c.cache.prefetch_next = 0;
    c.cache.prefetch_stride = 1;
    rig_init(&r, &c);
    touch(&r, 3);
    touch(&r, 8);
    cr_expect_eq(n_held(&r), 2);
    touch(&r, 13);
    cr_expect(holds(&r, 18) && n_held(&r) == 4);
    cr_expect_eq(touch(&r, 18), r.caches.l1_ps);
    cr_expect_eq(r.caches.core[0].stats.l1_prefetch_useful, 1);
    touch(&r, 17);
    cr_expect_eq(n_held(&r), 6, "the stride went on to 23, a step of -1 is new");
    rig_fini(&r);
}

/* Asked for before its data is there, a prefetched line is waited for as long as the prefetch takes. */
Test(prefetch, late_lines_are_waited_for)
{
    struct machine_conf c = defaults();
    struct rig r;
    c.cache.prefetch_adjacent = 1;
    rig_init(&r, &c);
    ps_t t = r.t, first = cache_access(&r.caches, 0, r.first_line, CACHE_READ, t),
         second = cache_access(&r.caches, 0, r.first_line + 1, CACHE_READ, t + 1000);
    cr_expect(second >= first, "it was asked for behind the first");
    cr_expect(second > t + 1000 + r.caches.l2_ps);
    cr_expect_eq(r.caches.core[0].stats.prefetch_late, 1);
    rig_fini(&r);
}

/* With a queue of two, two of the other requests are made. */
Test(prefetch, queue_is_bounded)
{
    struct machine_conf c = defaults();
    struct rig r;
    c.cache.prefetch_stream = 1;
    c.cache.prefetch_requests = 8;
    c.cache.prefetch_queue = 2;
    rig_init(&r, &c);
    cache_access(&r.caches, 0, r.first_line, CACHE_READ, r.t);
    cache_access(&r.caches, 0, r.first_line + 1, CACHE_READ, r.t);
    cr_expect_eq(n_held(&r), 4);
    cr_expect_eq(r.caches.core[0].stats.prefetch_dropped, 1);
    rig_fini(&r);
}

/* Three cores, caches of a few lines, every prefetcher and every operation: the protocol holds, and every prefetched
 * line was used, was lost, or is there. */
Test(prefetch, protocol_and_conservation)
{
    struct machine_conf c = defaults();
    struct rig r;
    struct rng rng;
    struct diag d = {0};
    c.cache.l1d_bytes = c.cache.l1i_bytes = 4096;
    c.cache.l2_bytes = 16384;
    c.cache.llc_slices = 1;
    c.cache.llc_slice_bytes = 4096 * 11 * LINE_BYTES;
    c.cache.prefetch_next = c.cache.prefetch_stride = c.cache.prefetch_adjacent = c.cache.prefetch_stream = 1;
    rig_init(&r, &c);
    rng_init(&rng, 1, "prefetch");
    uint64_t at[3] = {0};
    for (uint32_t i = 0; i < 60000; i++) {
        uint32_t core = (uint32_t)rng_below(&rng, 3), what = (uint32_t)rng_below(&rng, 20);
        at[core] = rng_below(&rng, 4) ? at[core] + 1 : rng_below(&rng, 1024);
        uint64_t line = r.first_line + at[core] % 1024;
        r.t += 20000;
        if (what == 0)
            cache_flush(&r.caches, core, line, FLUSH_CLFLUSHOPT, r.t);
        else if (what == 1)
            cache_ntstore(&r.caches, core, line, r.t);
        else
            cr_assert_gt(cache_access(&r.caches, core, line,
                                      what < 6   ? CACHE_WRITE
                                      : what < 8 ? CACHE_FETCH
                                                 : CACHE_READ,
                                      r.t),
                         r.t);
        if (i % 100 == 0)
            cr_assert_eq(caches_verify(&r.caches, &d), 0, "%s", d.text);
    }
    for (uint32_t i = 0; i < 3; i++) {
        const struct core_cache *p = &r.caches.core[i];
        const struct core_cache_stats *s = &p->stats;
        cr_expect(s->prefetches > 1000 && s->prefetch_useful > 100 && s->prefetch_useless > 100);
        cr_expect_eq(s->prefetches, s->prefetch_useful + s->prefetch_useless + p->prefetch->unused.n);
        cr_expect_eq(s->l1d_misses + s->l1i_misses, s->l2_hits + s->l2_misses);
        cr_expect_eq(s->l2_misses + s->prefetches, s->llc_hits + s->llc_misses + s->snoop_hits);
    }
    rig_fini(&r);
}

/* SPDX-License-Identifier: MIT */
/* Policy mrc-damon on the golden machine: regions, counts, and the curve where it can be known. */
#define quire_policy_entry mrc_damon_entry
#include "policies/mrc-damon.c"

#include "tests/policies/recency.h"

#define SAMPLE_PS 1000000ull

static struct golden *damon_on(uint64_t n_pages, const char *samples, const char *min, const char *max,
                               const char *counter)
{
    struct golden *g = golden_new(mrc_damon_entry(), n_pages);
    golden_set(g, "sample", "1us");
    golden_set(g, "samples", samples);
    golden_set(g, "min_regions", min);
    golden_set(g, "max_regions", max);
    golden_set(g, "counter", counter);
    cr_assert_eq(golden_start(g), QUIRE_OK);
    return g;
}

static struct vm *the_vm(struct golden *g)
{
    return ((struct damon *)g->self)->vm[0];
}

static void end(struct golden *g)
{
    golden_event(g, (struct quire_vm_event){.what = QUIRE_VM_DESTROYED});
}

/* The regions lie side by side over all of the memory, no more than max of them; counts are at most the intervals. */
static void check_regions(struct golden *g)
{
    const struct damon *s = g->self;
    const struct vm *v = the_vm(g);
    uint64_t at = 0, limit = v->m / s->min + 1;
    cr_assert(v->n_regions >= 1 && v->n_regions <= s->max, "%u regions", v->n_regions);
    cr_assert_leq(v->n_checks, s->n);
    for (uint32_t i = 0; i < v->n_regions; i++) {
        const struct region *r = &v->region[i];
        cr_assert_eq(r->first, at, "region %u begins at %lu, expected %lu", i, r->first, at);
        cr_assert(r->pages > 0 && r->pages <= limit, "%lu pages", r->pages);
        cr_assert(r->sample >= r->first && r->sample < r->first + r->pages, "the page under watch is in its region");
        cr_assert(r->seen >= 0 && r->seen <= v->n_checks, "%f of %u", r->seen, v->n_checks);
        at += r->pages;
    }
    cr_assert_eq(at, v->m);
}

Test(policy_mrc_damon, regions_partition_the_memory)
{
    static const char *const shape[][3] = {{"20", "10", "1000"}, {"5", "1", "7"}, {"2", "3", "3"},
                                           {"7", "16", "100"},   {"1", "1", "1"}, {"20", "100", "200"}};
    for (uint32_t k = 0; k < sizeof shape / sizeof shape[0]; k++) {
        struct golden *g = damon_on(3000, shape[k][0], shape[k][1], shape[k][2], "true");
        uint64_t state = k + 1;
        for (uint32_t t = 0; t < 600; t++) {
            for (uint32_t i = 0; i < 50; i++)
                golden_access(g, (t / 200 * 700 + recency_page(&state, 1500)) % 3000, QUIRE_ACCESS_READ);
            golden_run(g, g->now + SAMPLE_PS);
            check_regions(g);
        }
        uint32_t most = (uint32_t)((struct damon *)g->self)->max;
        end(g);
        cr_assert_leq(golden_counter(g, "peak_regions"), most);
        cr_assert_leq(golden_counter(g, "checked_pages"), 600ull * most);
        cr_assert_eq(golden_counter(g, "aggregations"),
                     600 / (unsigned)atoi(shape[k][0]) + (600 % atoi(shape[k][0]) > 0));
        golden_free(g);
    }
}

Test(policy_mrc_damon, a_region_that_is_always_used_is_seen_in_every_interval)
{
    struct golden *g = damon_on(1000, "20", "10", "10", "false");
    for (uint32_t p = 0; p < 1000; p++)
        golden_access(g, p, QUIRE_ACCESS_READ);
    for (uint32_t t = 0; t < 19; t++) {
        for (uint32_t p = 0; p < 300; p++)
            golden_access(g, p, QUIRE_ACCESS_READ);
        golden_run(g, g->now + SAMPLE_PS);
    }
    const struct vm *v = the_vm(g);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(v->region[i].seen, i < 3 ? 19 : 1, "region %u: %f", i, v->region[i].seen);
    golden_free(g);
}

/* A region a page and one interval an aggregation: nothing is sampled any more, and the sets are seen as they are. */
Test(policy_mrc_damon, with_a_region_a_page_it_is_a_scan)
{
    static const char *const counter[] = {"false", "true"};
    for (uint32_t k = 0; k < 6; k++) {
        struct golden *g = damon_on(R_PAGES, "1", "128", "128", counter[k % 2]);
        struct recency *r = calloc(1, sizeof *r);
        uint64_t state = k;
        for (uint32_t t = 0; t < 250; t++) {
            uint32_t n = 1 + recency_random(&state, 40);
            for (uint32_t i = 0; i < n; i++) {
                uint32_t page = recency_page(&state, t % 100 < 50 ? R_PAGES : 30);
                golden_access(g, page, QUIRE_ACCESS_READ);
                recency_use(r, page);
            }
            golden_run(g, g->now + SAMPLE_PS);
            recency_end(r, k % 2 ? n : 0);
        }
        cr_assert_eq(the_vm(g)->n_regions, R_PAGES);
        end(g);
        cr_assert_gt(recency_check(r, g), 40);
        cr_assert_eq(golden_counter(g, "cold_accesses"), (uint64_t)r->cold);
        golden_free(g);
        free(r);
    }
}

/* The number of uses that the formula books is the number that was sampled: first and next ones together are
 * n * u * p. */
Test(policy_mrc_damon, uses_are_conserved)
{
    struct golden *g = damon_on(400, "20", "4", "4", "false");
    struct vm *v = the_vm(g);
    uint64_t state = 9;
    for (uint32_t p = 0; p < 400; p++)
        golden_access(g, p, QUIRE_ACCESS_READ);
    golden_run(g, g->now + 20 * SAMPLE_PS);
    for (uint32_t round = 0; round < 20; round++) {
        double expect = 0, before = v->total;
        for (uint32_t t = 0; t < 19; t++) {
            for (uint32_t i = 0; i < 80; i++)
                golden_access(g, recency_page(&state, 400), QUIRE_ACCESS_READ);
            golden_run(g, g->now + SAMPLE_PS);
        }
        check(g->self, v);
        cr_assert_eq(v->n_checks, 20);
        for (uint32_t i = 0; i < v->n_regions; i++)
            expect += v->region[i].seen * (double)v->region[i].pages;
        aggregate(g->self, v);
        cr_assert_float_eq(v->total - before, expect, 1e-6 * expect + 1e-9, "%f, expected %f", v->total - before,
                           expect);
        double hits = 0, at = 0;
        for (uint64_t d = 0; d <= v->reach; d++)
            hits += at += v->rise[d];
        cr_assert_float_eq(hits + (double)v->n_cold, v->total, 1e-6 * v->total);
    }
    golden_free(g);
}

Test(policy_mrc_damon, its_price_is_that_of_its_regions)
{
    struct golden *g = damon_on(4000, "20", "10", "100", "true");
    for (uint32_t p = 0; p < 4000; p++)
        golden_access(g, p, QUIRE_ACCESS_READ);
    uint64_t before = g->n_looks;
    for (uint32_t t = 0; t < 200; t++) {
        for (uint32_t p = 0; p < 4000; p += 3)
            golden_access(g, p, QUIRE_ACCESS_READ);
        golden_run(g, g->now + SAMPLE_PS);
    }
    cr_assert_leq(g->n_looks - before, 200ull * 100 * 3);
    cr_assert_eq(g->n_faults, 0);
    golden_free(g);
}

Test(policy_mrc_damon, it_refuses_what_cannot_be)
{
    struct golden *g = golden_new(mrc_damon_entry(), 10);
    golden_set(g, "min_regions", "20");
    golden_set(g, "max_regions", "10");
    cr_assert_lt(golden_start(g), 0);
    golden_free(g);
    g = golden_new(mrc_damon_entry(), 10);
    g->roles_taken_by_others = QUIRE_ROLE_TRACE;
    cr_assert_lt(golden_start(g), 0);
    golden_free(g);
}

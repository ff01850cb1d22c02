/* SPDX-License-Identifier: MIT */
/* Policy mrc-bits on the golden machine, against sets that are kept by brute force. */
#define quire_policy_entry mrc_bits_entry
#include "policies/mrc-bits.c"

#include "tests/policies/recency.h"

#define PERIOD_PS 1000000ull

static struct golden *bits_on(uint64_t n_pages, const char *sees, const char *counter)
{
    struct golden *g = golden_new(mrc_bits_entry(), n_pages);
    golden_set(g, "see", sees);
    golden_set(g, "counter", counter);
    golden_set(g, "period", "1us");
    cr_assert_eq(golden_start(g), QUIRE_OK);
    return g;
}

static void end(struct golden *g)
{
    golden_event(g, (struct quire_vm_event){.what = QUIRE_VM_DESTROYED});
}

/* Mattson's stack, searched from the top. */
struct stack {
    uint32_t n, page[R_PAGES];
    uint64_t hits[R_PAGES + 1], cold;
};

static void stack_access(struct stack *st, uint32_t page)
{
    uint32_t i = 0;
    while (i < st->n && st->page[i] != page)
        i++;
    if (i < st->n)
        st->hits[i + 1]++;
    else
        st->cold++, st->n++;
    memmove(&st->page[1], &st->page[0], i * sizeof st->page[0]);
    st->page[0] = page;
}

Test(policy_mrc_bits, one_access_a_period_is_mattson)
{
    static const char *const counter[] = {"false", "true"};
    for (uint32_t k = 0; k < 2; k++) {
        struct golden *g = bits_on(100, "accessed", counter[k]);
        struct stack *st = calloc(1, sizeof *st);
        uint64_t state = 5 + k;
        for (uint32_t i = 0; i < 3000; i++) {
            uint32_t page = i % 3 ? recency_page(&state, 100) : i / 3 % 60;
            golden_access(g, page, QUIRE_ACCESS_READ);
            stack_access(st, page);
            golden_run(g, g->now + PERIOD_PS);
        }
        end(g);
        uint32_t n = 0;
        for (uint32_t i = 0; i < g->n_points; i++) {
            const struct g_entry *e = &g->point[i];
            uint64_t misses = st->cold;
            for (uint32_t d = (uint32_t)e->x + 1; d <= R_PAGES; d++)
                misses += st->hits[d];
            double expect = strcmp(e->name, "miss_ratio") == 0 ? (double)misses / 3000 : 3000;
            cr_assert_eq(e->y, expect, "at %.0f pages: %.17g, expected %.17g", e->x, e->y, expect);
            n++;
        }
        cr_assert_gt(n, 40);
        cr_assert_eq(golden_counter(g, "cold_accesses"), st->cold);
        cr_assert_eq(golden_counter(g, "seen_pages"), 3000);
        cr_assert_eq(g->n_faults, 0, "no exits");
        golden_free(g);
        free(st);
    }
}

/* Random numbers of reads and writes a period, pages that lose their frames; each way of seeing against its own sets.
 */
static void against_sets(const char *sees, const char *counter, uint64_t seed)
{
    struct golden *g = bits_on(R_PAGES, sees, counter);
    struct recency *r = calloc(1, sizeof *r);
    bool only_writes = strcmp(sees, "accessed") != 0, counts = strcmp(counter, "true") == 0;
    uint64_t state = seed;
    for (uint32_t t = 0; t < 300; t++) {
        uint32_t n = recency_random(&state, 40), counted = 0;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t page = recency_page(&state, t % 100 < 50 ? R_PAGES : 30), kind = recency_random(&state, 3);
            bool is_write = kind == 0;
            if (recency_random(&state, 60) == 0 && g->page[page].mapped) {
                g->page[page] = (struct g_page){0};
                golden_event(g, (struct quire_vm_event){.what = QUIRE_VM_UNMAPPED, .gpa = (uint64_t)page << 12});
                recency_drop(r, page);
                continue;
            }
            golden_access(g, page, is_write ? QUIRE_ACCESS_WRITE : kind == 1 ? QUIRE_ACCESS_READ : QUIRE_ACCESS_EXEC);
            if (is_write || !only_writes) {
                recency_use(r, page);
                counted++;
            }
        }
        golden_run(g, g->now + PERIOD_PS);
        recency_end(r, counts ? counted : 0);
    }
    end(g);
    cr_assert_gt(recency_check(r, g), 40);
    cr_assert_eq(golden_counter(g, "seen_pages"), r->n_seen, "what is seen is what was used");
    cr_assert_eq(golden_counter(g, "cold_accesses"), (uint64_t)r->cold);
    cr_assert_eq(g->n_log, 0, "the log is drained");
    cr_assert_eq(g->pml, strcmp(sees, "log") == 0);
    cr_assert_leq(g->n_flushes, 300);
    golden_free(g);
    free(r);
}

Test(policy_mrc_bits, every_way_of_seeing_is_the_sets_that_were_used)
{
    static const char *const sees[] = {"accessed", "dirty", "log"};
    static const char *const counter[] = {"false", "true"};
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t k = 0; k < 2; k++)
            for (uint64_t seed = 1; seed <= 3; seed++)
                against_sets(sees[i], counter[k], seed);
}

Test(policy_mrc_bits, log_reads_what_was_written_and_scans_read_all)
{
    uint64_t looks[2];
    for (uint32_t k = 0; k < 2; k++) {
        struct golden *g = bits_on(4000, k ? "log" : "dirty", "false");
        for (uint32_t p = 0; p < 4000; p++)
            golden_access(g, p, QUIRE_ACCESS_READ);
        for (uint32_t t = 0; t < 50; t++) {
            golden_access(g, t, QUIRE_ACCESS_WRITE);
            golden_run(g, g->now + PERIOD_PS);
        }
        looks[k] = g->n_looks;
        cr_assert_eq(g->n_flushes, 50);
        golden_free(g);
    }
    cr_assert_geq(looks[0], 50 * 4000);
    cr_assert_leq(looks[1], 2 * 50);
}

Test(policy_mrc_bits, working_sets_of_different_lengths_have_a_slope)
{
    struct bits s = {.bursts = 2};
    struct vm v = {.scale = {{320, 30, 2}, {120, 30, 3}, {10, 5, 1}}};
    double x[BURSTS_MAX + 3], y[BURSTS_MAX + 3];
    cr_assert_eq(shape(&s, &v, x, y), 5);
    const double at[] = {0, 2.5, 7.5, 12.5, 15}, ratio[] = {1, 0.5, 5.0 / 30, 5.0 / 120, 5.0 / 120};
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_float_eq(x[i], at[i], 1e-12);
        cr_assert_float_eq(y[i], ratio[i], 1e-12);
    }
    v.hidden = 1000;
    v.rise = calloc(2, sizeof *v.rise);
    v.near = calloc(2, sizeof *v.near);
    double *hits = explain(&s, &v), sum = 0;
    for (uint32_t d = 0; d <= v.reach; d++)
        sum += hits[d];
    cr_assert_float_eq(sum, 1000, 1e-9);
    /* Half way to the first point in the logarithm of 1 + size half of the way to its miss ratio is gone. */
    double gone = 0;
    for (uint32_t d = 1; d <= 7; d++)
        gone += hits[d];
    double here = 0.5 + (5.0 / 30 - 0.5) * (log(8) - log(3.5)) / (log(8.5) - log(3.5));
    cr_assert_float_eq(gone, 1000 * (1 - here) / (1 - 5.0 / 120), 1e-9);
    free(hits);
    free(v.rise);
    free(v.near);
}

/* Long looks of 1024 us, short ones of 64 and 256 us; every access is in the curve, and the curve is nearer to the
 * truth. */
Test(policy_mrc_bits, bursts_show_what_long_looks_hide)
{
    static const char *const bursts[] = {"0", "2"};
    double error[2] = {0};
    for (uint32_t k = 0; k < 2; k++) {
        struct golden *g = golden_new(mrc_bits_entry(), R_PAGES);
        struct stack *st = calloc(1, sizeof *st);
        uint64_t state = 11;
        golden_set(g, "period", "1024us");
        golden_set(g, "bursts", bursts[k]);
        cr_assert_eq(golden_start(g), QUIRE_OK);
        for (uint32_t i = 0; i < 13440; i++) { /* ten rounds, an access each 1 us: in turn, with some noise */
            uint32_t page = recency_random(&state, 4) ? i % 40 : recency_random(&state, R_PAGES);
            golden_access(g, page, QUIRE_ACCESS_READ);
            stack_access(st, page);
            golden_run(g, g->now + 1000000);
        }
        cr_assert_eq(((struct bits *)g->self)->vm[0]->period, k ? 30 : 13);
        end(g);
        double last = 1;
        for (uint32_t i = 0; i < g->n_points; i++) {
            const struct g_entry *e = &g->point[i];
            if (strcmp(e->name, "miss_ratio") != 0) {
                cr_assert_float_eq(e->y, 13440, 1e-6);
                continue;
            }
            uint64_t misses = st->cold;
            for (uint32_t d = (uint32_t)e->x + 1; d <= R_PAGES; d++)
                misses += st->hits[d];
            error[k] += fabs(e->y - (double)misses / 13440);
            cr_assert(e->y <= last + 1e-12 && e->y >= 0, "a curve never rises");
            last = e->y;
        }
        cr_assert_leq(last, 0.05);
        golden_free(g);
        free(st);
    }
    cr_assert_lt(error[1], 0.8 * error[0], "%f, without %f", error[1], error[0]);
}

Test(policy_mrc_bits, epochs_halve_the_past)
{
    struct golden *g = golden_new(mrc_bits_entry(), 64);
    golden_set(g, "period", "1us");
    golden_set(g, "epoch", "100us");
    cr_assert_eq(golden_start(g), QUIRE_OK);
    for (uint32_t i = 0; i < 200; i++) {
        golden_access(g, i % 64, QUIRE_ACCESS_READ);
        golden_run(g, g->now + PERIOD_PS);
    }
    const struct vm *v = ((struct bits *)g->self)->vm[0];
    cr_assert_float_eq(v->total, (100.0 / 2 + 100) / 2, 1e-9);
    cr_assert_float_eq(v->cold, 64.0 / 4, 1e-9);
    cr_assert_str_eq(g->point[0].label, "vm observed epoch 0");
    golden_free(g);
}

Test(policy_mrc_bits, it_watches_alone)
{
    struct golden *g = golden_new(mrc_bits_entry(), 10);
    g->roles_taken_by_others = QUIRE_ROLE_TRACE;
    cr_assert_lt(golden_start(g), 0);
    golden_free(g);
}

/* SPDX-License-Identifier: MIT */
/* Policy mrc on the golden machine, against a stack that is searched by brute force. */
#define quire_policy_entry mrc_entry
#include "policies/mrc.c"

#include "tests/policies/golden.h"

#include <criterion/criterion.h>

struct stack {
    uint32_t n;
    uint32_t page[G_PAGES]; /* most recently used first */
    uint64_t hits[G_PAGES]; /* by distance, 0 = the same page again */
    uint64_t cold;
};

static void stack_remove(struct stack *st, uint32_t at)
{
    memmove(&st->page[at], &st->page[at + 1], (st->n - at - 1) * sizeof st->page[0]);
    st->n--;
}

static uint32_t stack_find(const struct stack *st, uint32_t page)
{
    uint32_t i = 0;
    while (i < st->n && st->page[i] != page)
        i++;
    return i;
}

static void stack_access(struct stack *st, uint32_t page)
{
    uint32_t i = stack_find(st, page);
    if (i < st->n) {
        st->hits[i]++;
        stack_remove(st, i);
    } else {
        st->cold++;
    }
    memmove(&st->page[1], &st->page[0], st->n * sizeof st->page[0]);
    st->page[0] = page;
    st->n++;
}

static uint64_t stack_misses(const struct stack *st, uint64_t size)
{
    uint64_t misses = st->cold;
    for (uint64_t i = size; i < G_PAGES; i++)
        misses += st->hits[i];
    return misses;
}

static uint64_t rand_state = 1;
static uint32_t rnd(uint32_t n)
{
    rand_state = rand_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((rand_state >> 33) % n);
}

/* Four shapes: uniform, skewed, a loop with noise, phases. */
static uint32_t next_page(uint32_t shape, uint32_t i, uint32_t m)
{
    switch (shape) {
    case 0:
        return rnd(m);
    case 1:
        return rnd(rnd(rnd(m) + 1) + 1);
    case 2:
        return rnd(8) ? i % (m / 2) : rnd(m);
    default:
        return (i / 500 * 37 + rnd(m / 8)) % m;
    }
}

static struct vm *the_vm(struct golden *g)
{
    return ((struct mrc *)g->self)->vm[0];
}

/* The list and its groups agree with each other and with the brute-force stack. */
static void check_groups(struct golden *g, const struct stack *st)
{
    struct vm *v = the_vm(g);
    uint32_t slot = v->page[v->k].next, at = 0;
    for (uint32_t i = 0; i < v->n_groups; i++) {
        struct group *gr = &v->group[i];
        cr_assert(gr->n == gr->size || at + gr->n == st->n, "a group is full or the last that has pages");
        for (uint64_t n = 0; n < gr->n; n++, slot = v->page[slot].next, at++) {
            cr_assert_eq(slot, st->page[at]);
            cr_assert_eq(v->page[slot].group, i);
            if (n + 1 == gr->n)
                cr_assert_eq(gr->last, slot);
        }
    }
    cr_assert_eq(at, st->n);
    cr_assert_eq(slot, v->k);
}

static void end(struct golden *g)
{
    golden_event(g, (struct quire_vm_event){.what = QUIRE_VM_DESTROYED});
}

static struct golden *mrc_on(uint64_t n_pages, const char *pages, const char *delay, const char *first,
                             const char *growth)
{
    struct golden *g = golden_new(mrc_entry(), n_pages);
    golden_set(g, "pages", pages);
    golden_set(g, "delay", delay);
    golden_set(g, "group_pages", first);
    golden_set(g, "group_growth", growth);
    cr_assert_eq(golden_start(g), QUIRE_OK);
    return g;
}

static uint32_t check_curve(const struct golden *g, const struct stack *st)
{
    uint32_t n = 0;
    double last = 1e300;
    for (uint32_t i = 0; i < g->n_points; i++) {
        const struct g_entry *e = &g->point[i];
        cr_assert(e->x >= 0 && e->y >= 0);
        if (strcmp(e->name, "mrc_observed_misses") != 0)
            continue;
        cr_assert(e->y <= last, "a curve never rises");
        last = e->y;
        cr_assert_eq((uint64_t)e->y, stack_misses(st, (uint64_t)e->x), "at %.0f pages", e->x);
        n++;
    }
    return n;
}

Test(policy_mrc, all_pages_and_no_window_is_mattson)
{
    static const char *const groups[][2] = {{"1", "0%"}, {"7", "0%"}, {"1", "12.5%"}, {"3", "100%"}, {"1000", "0%"}};
    for (uint32_t s = 0; s < 4; s++)
        for (uint32_t k = 0; k < sizeof groups / sizeof groups[0]; k++) {
            struct golden *g = mrc_on(300, "0", "0ms", groups[k][0], groups[k][1]);
            struct stack *st = calloc(1, sizeof *st);
            for (uint32_t i = 0; i < 4000; i++) {
                uint32_t page = next_page(s, i, 300);
                golden_access(g, page, i % 3 ? QUIRE_ACCESS_READ : QUIRE_ACCESS_WRITE);
                stack_access(st, page);
                if (i % 97 == 0)
                    check_groups(g, st);
            }
            cr_assert_eq(the_vm(g)->accesses, 4000);
            end(g);
            cr_assert(check_curve(g, st) >= 2);
            cr_assert_eq(golden_counter(g, "faults"), 4000);
            cr_assert_eq(golden_counter(g, "cold_accesses"), st->cold);
            golden_free(g);
            free(st);
        }
}

Test(policy_mrc, pages_that_lose_their_frame_leave_the_list)
{
    static const char *const growth[] = {"0%", "50%"};
    for (uint32_t k = 0; k < 2; k++) {
        struct golden *g = mrc_on(120, "0", "0ms", k ? "1" : "5", growth[k]);
        struct stack *st = calloc(1, sizeof *st);
        for (uint32_t i = 0; i < 6000; i++) {
            uint32_t page = next_page(1, i, 120);
            if (rnd(5) == 0 && g->page[page].mapped) {
                uint32_t at = stack_find(st, page);
                g->page[page] = (struct g_page){0};
                golden_event(g, (struct quire_vm_event){.what = QUIRE_VM_UNMAPPED, .gpa = (uint64_t)page << 12});
                stack_remove(st, at);
            } else {
                golden_access(g, page, QUIRE_ACCESS_READ);
                stack_access(st, page);
            }
            check_groups(g, st);
        }
        end(g);
        check_curve(g, st);
        golden_free(g);
        free(st);
    }
}

Test(policy_mrc, the_page_walker_is_not_the_workload)
{
    struct golden *g = mrc_on(10, "0", "0ms", "1", "0%");
    golden_access(g, 3, QUIRE_ACCESS_READ);
    golden_access(g, 3, QUIRE_ACCESS_READ | QUIRE_ACCESS_WALK);
    golden_access(g, 4, QUIRE_ACCESS_WRITE);
    golden_access(g, 3, QUIRE_ACCESS_READ);
    end(g);
    cr_assert_eq(golden_counter(g, "cold_accesses"), 2);
    cr_assert_eq(golden_counter(g, "walker_faults"), 1);
    cr_assert_eq(golden_counter(g, "faults"), 4);
    golden_free(g);
}

Test(policy_mrc, a_sample_is_exactly_k_pages)
{
    for (uint64_t m = 2; m < 700; m = m * 3 / 2 + 1) {
        struct vm v = {.m = m, .k = 1, .key = m * 77};
        while (1ull << 2 * v.half_bits < m)
            v.half_bits++;
        uint8_t seen[2000] = {0};
        for (uint64_t x = 0; x < m; x++) {
            uint64_t y = permute(&v, x, 0);
            cr_assert(y < m && !seen[y]);
            seen[y] = 1;
            cr_assert_eq(permute(&v, y, 1), x);
        }
    }
}

Test(policy_mrc, a_page_is_untraced_for_the_delay_and_not_much_longer)
{
    struct golden *g = mrc_on(64, "0", "8ms", "4", "0%");
    uint64_t since[64] = {0}, seen = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t page = rnd(64);
        golden_run(g, g->now + 10000000); /* 10 us an access */
        bool was_traced = !g->page[page].mapped || g->page[page].trace;
        uint64_t before = g->n_faults;
        golden_access(g, page, QUIRE_ACCESS_READ);
        seen += was_traced;
        cr_assert_eq(g->n_faults - before, was_traced);
        if (was_traced)
            since[page] = g->now;
        for (uint32_t p = 0; p < 64; p++) {
            if (!g->page[p].mapped)
                continue;
            cr_assert_eq(g->page[p].trace == 0, the_vm(g)->page[p].wait != 0, "untraced <=> on the wheel");
            if (g->page[p].trace == 0)
                cr_assert(g->now - since[p] <= 9000100000ull);
            else
                cr_assert(since[p] == 0 || g->now - since[p] >= 8000000000ull);
        }
    }
    uint64_t sum = the_vm(g)->cold;
    for (uint32_t i = 0; i < the_vm(g)->n_groups; i++)
        sum += the_vm(g)->group[i].hits;
    cr_assert_eq(sum, seen);
    cr_assert(seen < 20000 / 4, "most accesses cost nothing");
    end(g);
    cr_assert(golden_counter(g, "shootdowns") > 0);
    golden_free(g);
}

/* With the counter every access is in the curve; those that were not seen are below the number of untraced pages. */
Test(policy_mrc, the_counter_tells_of_what_was_not_seen)
{
    static const char *const counter[] = {"false", "true"};
    double total[2], beyond[2];
    for (uint32_t k = 0; k < 2; k++) {
        struct golden *g = golden_new(mrc_entry(), 200);
        golden_set(g, "delay", "1ms");
        golden_set(g, "counter", counter[k]);
        cr_assert_eq(golden_start(g), QUIRE_OK);
        rand_state = 3;
        for (uint32_t i = 0; i < 30000; i++) {
            golden_run(g, g->now + 10000000);
            golden_access(g, next_page(1, i, 200), QUIRE_ACCESS_READ);
        }
        const struct vm *v = the_vm(g);
        uint64_t near = v->untraced_sum / (v->ticks ? v->ticks : 1) + 1;
        end(g);
        double last = 1e300;
        total[k] = beyond[k] = 0;
        for (uint32_t i = 0; i < g->n_points; i++) {
            const struct g_entry *e = &g->point[i];
            if (strcmp(e->name, "mrc_observed_misses") != 0)
                continue;
            cr_assert(e->y <= last, "a curve never rises");
            last = e->y;
            total[k] = e->x == 0 ? e->y : total[k];
            beyond[k] += e->x > (double)near ? e->y : 0;
        }
        if (k == 0)
            cr_assert_eq(total[0], golden_counter(g, "faults"));
        golden_free(g);
    }
    cr_assert_float_eq(total[1], 30000, 1e-6);
    cr_assert(total[0] < 15000);
    cr_assert_gt(beyond[1], 0);
}

Test(policy_mrc, a_sample_estimates_the_curve)
{
    struct golden *g = mrc_on(4000, "1000", "0ms", "10", "0%");
    struct stack *st = calloc(1, sizeof *st);
    for (uint32_t i = 0; i < 60000; i++) {
        uint32_t page = next_page(1, i, 4000);
        golden_access(g, page, QUIRE_ACCESS_READ);
        stack_access(st, page);
    }
    end(g);
    cr_assert_eq(the_vm(g), NULL);
    double error = 0, n = 0;
    for (uint32_t i = 0; i < g->n_points; i++)
        if (strcmp(g->point[i].name, "miss_ratio") == 0) {
            double d = g->point[i].y - (double)stack_misses(st, (uint64_t)g->point[i].x) / 60000;
            error += d < 0 ? -d : d;
            n++;
        }
    cr_assert(n == 101 && error / n < 0.03, "mean error %f over %.0f points", error / n, n);
    golden_free(g);
    free(st);
}

Test(policy_mrc, epochs_halve_the_past_and_begin_a_new_sample)
{
    struct golden *g = golden_new(mrc_entry(), 2000);
    golden_set(g, "pages", "500");
    golden_set(g, "delay", "0ms");
    golden_set(g, "epoch", "1ms");
    golden_set(g, "resample", "true");
    cr_assert_eq(golden_start(g), QUIRE_OK);
    for (uint32_t i = 0; i < 2000; i++)
        golden_access(g, i, QUIRE_ACCESS_READ);
    uint64_t key = the_vm(g)->key;
    cr_assert_eq(the_vm(g)->cold, 500);
    golden_run(g, 1000000000);
    cr_assert_eq(the_vm(g)->curve_cold, 250);
    cr_assert_neq(the_vm(g)->key, key);
    for (uint32_t i = 0; i < 2000; i++)
        golden_access(g, i, QUIRE_ACCESS_READ);
    cr_assert_eq(the_vm(g)->late, 500, "all were mapped before the new sample");
    cr_assert_eq(the_vm(g)->cold, 500);
    golden_free(g);
}

Test(policy_mrc, the_trace_role_has_one_owner)
{
    struct golden *g = golden_new(mrc_entry(), 10);
    g->roles_taken_by_others = QUIRE_ROLE_TRACE;
    cr_assert_lt(golden_start(g), 0);
    golden_free(g);
}

/* SPDX-License-Identifier: MIT */
/* Policy numa-hot-first on the golden machine: every page arrives, methods change on the listed conditions only, and an
 * order by true counts is never beaten. */
#define quire_policy_entry numa_entry
#include "policies/numa-hot-first.c"

#include "tests/policies/golden.h"

#include <criterion/criterion.h>
#include <math.h>

#define MS 1000000000ull

static void vcpu_moves(struct golden *g, uint32_t vcpu, uint32_t node)
{
    golden_event(g, (struct quire_vm_event){.what = QUIRE_VM_VCPU_MOVED, .vcpu = vcpu, .node = node});
}

/* n mapped pages on node 0, one vCPU there. */
static struct golden *numa_on(uint64_t n, const char *order, const char *heuristic)
{
    struct golden *g = golden_new(numa_entry(), n);
    golden_set(g, "order", order);
    golden_set(g, "heuristic", heuristic);
    golden_set(g, "period", "1ms");
    golden_set(g, "settle", "1ms");
    golden_set(g, "batch", "1");
    for (uint64_t i = 0; i < n; i++)
        g->page[i].mapped = true;
    return g;
}

static void start(struct golden *g)
{
    cr_assert_eq(golden_start(g), QUIRE_OK);
    vcpu_moves(g, 0, 0);
    golden_run(g, 3 * MS);
    cr_assert_eq(g->n_moves, 0, "all is where it belongs");
    vcpu_moves(g, 0, 1);
}

static uint64_t n_local(const struct golden *g, uint32_t node)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < g->n_pages; i++)
        n += g->page[i].node == node;
    return n;
}

static const struct g_entry *find_mark(const struct golden *g, const char *name, uint32_t nth)
{
    for (uint32_t i = 0; i < g->n_marks; i++)
        if (strcmp(g->mark[i].name, name) == 0 && nth-- == 0)
            return &g->mark[i];
    return NULL;
}

static uint64_t method_2_reason(const struct golden *g)
{
    const struct g_entry *e = find_mark(g, "method_2", 0);
    cr_assert_not_null(e);
    return e->b;
}

/* Accesses page p every (p + 1) quarter milliseconds until `until`: low pages are the hot ones. */
static void work(struct golden *g, uint64_t until)
{
    for (uint64_t step = g->now / (MS / 4); g->now < until; step++) {
        golden_run(g, g->now + MS / 4);
        for (uint64_t p = 0; p < g->n_pages; p++)
            if (step % (p + 1) == 0)
                golden_access(g, p, QUIRE_ACCESS_READ);
    }
}

Test(policy_numa, all_pages_arrive_in_every_order_and_by_every_heuristic)
{
    static const char *const runs[][2] = {{"sequential", "h1"}, {"random", "h1"}, {"oracle", "h1"}, {"hot", "h1"},
                                          {"hot", "h2"},        {"hot", "h3"},    {"hot", "h4"}};
    for (uint32_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        struct golden *g = numa_on(200, runs[i][0], runs[i][1]);
        golden_set(g, "least", "1");
        start(g);
        work(g, 100 * MS);
        cr_assert_eq(n_local(g, 1), 200, "%s %s", runs[i][0], runs[i][1]);
        cr_assert_eq(g->n_moves, 200, "each page moves once");
        cr_assert_eq(g->oracle_used, i == 2, "only the oracle order asks the oracle");
        cr_assert_eq(g->roles & QUIRE_ROLE_TRACE, i == 5 ? QUIRE_ROLE_TRACE : 0);
        cr_assert_eq(find_mark(g, "plan_ends", 0)->b, EMPTY);
        for (uint64_t p = 0; p < 200; p++)
            cr_assert_eq(g->page[p].trace, 0);
        golden_free(g);
    }
}

Test(policy_numa, none_moves_nothing)
{
    struct golden *g = numa_on(50, "none", "h1");
    start(g);
    work(g, 50 * MS);
    cr_assert_eq(g->n_moves, 0);
    golden_free(g);
}

Test(policy_numa, hot_pages_go_first)
{
    static const char *const h[] = {"h1", "h2", "h3", "h4"};
    for (uint32_t i = 0; i < 4; i++) {
        struct golden *g = numa_on(400, "hot", h[i]);
        golden_set(g, "sample", "400");
        golden_set(g, "rounds", "1");
        golden_set(g, "least", "1");
        start(g);
        work(g, 200 * MS);
        uint64_t first = 0, found = find_mark(g, "priority_pages", 0)->b;
        for (uint64_t k = 0; k < 12; k++)
            first += g->move_queue[k] >> 12 < 24;
        cr_assert(found >= 3 && found < 250, "%s found %lu", h[i], found);
        cr_assert(first >= 3 && first >= (found < 12 ? found / 2 : 6), "%s: %lu of the first 12 are hot", h[i], first);
        golden_free(g);
    }
}

/* A stationary access pattern, all orders of n pages: none serves more accesses locally, after any number of moves. */
Test(policy_numa, the_order_of_true_counts_is_optimal)
{
    enum { N = 6 };
    static const uint64_t counts[][N] = {{5, 1, 4, 2, 9, 3}, {1, 1, 1, 1, 1, 1}, {7, 0, 7, 0, 1, 2}};
    for (uint32_t c = 0; c < 3; c++) {
        struct golden *g = numa_on(N, "oracle", "h1");
        cr_assert_eq(golden_start(g), QUIRE_OK);
        for (uint32_t i = 0; i < N; i++)
            g->page[i].count = counts[c][i];
        vcpu_moves(g, 0, 1);
        golden_run(g, 50 * MS);
        cr_assert_eq(g->n_moves, N);
        for (uint32_t set = 0; set < 1u << N; set++) { /* any set of k pages against the first k moved */
            uint32_t k = (uint32_t)__builtin_popcount(set);
            uint64_t any = 0, ours = 0;
            for (uint32_t i = 0; i < N; i++) {
                any += set >> i & 1 ? counts[c][i] : 0;
                ours += i < k ? counts[c][g->move_queue[i] >> 12] : 0;
            }
            cr_assert_geq(ours, any);
        }
        golden_free(g);
    }
}

/* With exact scores (h2, every page looked at each time) hot-first is the order of the counts too. */
Test(policy_numa, the_queue_of_h2_is_sorted_by_use_then_address)
{
    struct golden *g = numa_on(64, "hot", "h2");
    golden_set(g, "scans", "8");
    golden_set(g, "rounds", "1");
    golden_set(g, "least", "1");
    start(g);
    golden_run(g, g->now + 3 * MS / 2); /* settled; the A bits are clear */
    uint32_t used[64] = {0};
    uint64_t rand = 5;
    for (uint32_t scan = 0; scan < 8; scan++) {
        for (uint32_t p = 0; p < 64; p++) {
            rand = rand * 6364136223846793005ull + 1;
            if ((rand >> 33) % 64 < p) {
                golden_access(g, p, QUIRE_ACCESS_WRITE);
                used[p]++;
            }
        }
        golden_run(g, g->now + MS);
    }
    golden_run(g, g->now + 50 * MS);
    cr_assert_eq(g->n_moves, 64);
    for (uint32_t i = 1; i < 64; i++) {
        uint64_t a = g->move_queue[i - 1] >> 12, b = g->move_queue[i] >> 12;
        cr_assert(used[a] > used[b] || (used[a] == used[b] && a < b), "%lu before %lu", a, b);
    }
    golden_free(g);
}

Test(policy_numa, method_1_ends_after_its_rounds)
{
    struct golden *g = numa_on(500, "hot", "h1");
    golden_set(g, "rounds", "3");
    golden_set(g, "least", "1");
    start(g);
    work(g, 200 * MS);
    cr_assert_eq(method_2_reason(g), ROUNDS);
    cr_assert_not_null(find_mark(g, "priority_pages", 2));
    cr_assert_null(find_mark(g, "priority_pages", 3));
    golden_free(g);
}

Test(policy_numa, method_1_ends_when_it_finds_too_few)
{
    for (uint64_t n_used = 9; n_used <= 10; n_used++) {
        struct golden *g = numa_on(500, "hot", "h1");
        golden_set(g, "least", "10");
        start(g);
        golden_run(g, g->now + 3 * MS / 2);
        for (uint64_t p = 0; p < n_used; p++)
            golden_access(g, 7 * p, QUIRE_ACCESS_READ);
        golden_run(g, g->now + 100 * MS);
        cr_assert_eq(method_2_reason(g), FEW);
        cr_assert_eq(find_mark(g, "priority_pages", 1) == NULL, n_used == 9, "exactly `least` is enough");
        golden_free(g);
    }
}

Test(policy_numa, method_1_ends_after_its_time)
{
    struct golden *g = numa_on(500, "hot", "h1");
    golden_set(g, "rounds", "1000");
    golden_set(g, "least", "0");
    golden_set(g, "limit", "5ms");
    start(g);
    golden_run(g, g->now + 100 * MS);
    cr_assert_eq(method_2_reason(g), TIME);
    const struct g_entry *begins = find_mark(g, "plan_begins", 0), *ends = find_mark(g, "method_2", 0);
    cr_assert_eq(ends->now - begins->now, 5 * MS);
    golden_free(g);
}

Test(policy_numa, method_1_ends_when_nothing_is_left)
{
    struct golden *g = numa_on(30, "hot", "h1");
    golden_set(g, "least", "1");
    start(g);
    golden_run(g, g->now + 3 * MS / 2);
    for (uint64_t p = 0; p < 30; p++)
        golden_access(g, p, QUIRE_ACCESS_READ);
    golden_run(g, g->now + 20 * MS);
    cr_assert_eq(method_2_reason(g), EMPTY);
    cr_assert_eq(n_local(g, 1), 30);
    golden_free(g);
}

Test(policy_numa, a_plan_turns_round_when_the_vcpus_do)
{
    struct golden *g = numa_on(1000, "sequential", "h1");
    golden_set(g, "batch", "64");
    start(g);
    golden_run(g, g->now + MS + 300 * 1000000ull);
    uint64_t moved = n_local(g, 1);
    cr_assert(moved > 100 && moved < 900);
    vcpu_moves(g, 0, 0);
    cr_assert_eq(find_mark(g, "plan_ends", 0)->b, AWAY);
    golden_run(g, g->now + 100 * MS);
    cr_assert_eq(n_local(g, 0), 1000);
    golden_free(g);
}

Test(policy_numa, a_quick_there_and_back_moves_nothing)
{
    struct golden *g = numa_on(100, "sequential", "h1");
    start(g);
    golden_run(g, g->now + MS / 2);
    vcpu_moves(g, 0, 0);
    golden_run(g, g->now + 50 * MS);
    cr_assert_eq(g->n_moves, 0);
    golden_free(g);
}

Test(policy_numa, most_vcpus_decide)
{
    struct golden *g = numa_on(100, "sequential", "h1");
    cr_assert_eq(golden_start(g), QUIRE_OK);
    for (uint32_t i = 0; i < 4; i++)
        vcpu_moves(g, i, 0);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(n_local(g, 1), 0);
        vcpu_moves(g, i, 1);
        golden_run(g, g->now + 20 * MS);
    }
    cr_assert_eq(n_local(g, 1), 100);
    golden_free(g);
}

Test(policy_numa, pinned_pages_stay_and_a_full_node_ends_the_plan)
{
    struct golden *g = numa_on(100, "sequential", "h1");
    g->page[5].pinned = g->page[50].pinned = true;
    g->free[1] = 40;
    start(g);
    golden_run(g, g->now + 50 * MS);
    cr_assert_eq(n_local(g, 1), 40);
    cr_assert_eq(g->free[0], G_PAGES + 40);
    cr_assert_eq(find_mark(g, "plan_ends", 0)->b, FULL);
    cr_assert_eq(g->page[5].node, 0);
    cr_assert_eq(g->n_moves, 41, "nothing is asked for after the refusal");
    golden_free(g);
}

/* ---- skewed use -------------------------------------------------------------------------------------------------- */

enum { N_ZIPF = 4000 };

/* Cumulated weights of ranks 0..n under Zipf 0.99. */
static void weigh(double *sum)
{
    for (uint32_t i = 0; i < N_ZIPF; i++)
        sum[i] = (i ? sum[i - 1] : 0) + pow(i + 1, -0.99);
}

/* Accesses n pages drawn by Zipf; the page of rank r is r * 1237 mod N_ZIPF. */
static void use(struct golden *g, const double *sum, uint32_t n, uint64_t *rand)
{
    for (; n > 0; n--) {
        *rand = *rand * 6364136223846793005ull + 1442695040888963407ull;
        double u = (double)(*rand >> 11) * 0x1p-53 * sum[N_ZIPF - 1];
        uint32_t lo = 0, hi = N_ZIPF - 1;
        while (lo < hi) {
            uint32_t mid = (lo + hi) / 2;
            if (sum[mid] < u)
                lo = mid + 1;
            else
                hi = mid;
        }
        golden_access(g, lo * 1237ull % N_ZIPF, QUIRE_ACCESS_READ);
    }
}

/* How far the local share falls below the analytic curve, sum[n] / sum[N], at the worst number of moves n. */
static double shortfall(const char *order, const char *heuristic)
{
    static double sum[N_ZIPF];
    static uint32_t rank_of[N_ZIPF];
    uint64_t rand = 3;
    double worst = 0, ours = 0;
    struct golden *g = numa_on(N_ZIPF, order, heuristic);
    golden_set(g, "scans", "64");
    golden_set(g, "rounds", "1");
    golden_set(g, "sample", "4000");
    weigh(sum);
    use(g, sum, 1000000, &rand);
    start(g);
    golden_run(g, g->now + 3 * MS / 2);
    for (uint32_t scan = 0; scan < 64; scan++, golden_run(g, g->now + MS))
        use(g, sum, 200, &rand);
    golden_run(g, g->now + 100 * MS);
    cr_assert_eq(g->n_moves, N_ZIPF);
    for (uint32_t r = 0; r < N_ZIPF; r++)
        rank_of[r * 1237ull % N_ZIPF] = r;
    for (uint32_t n = 0; n < N_ZIPF; n++) {
        ours += pow(rank_of[g->move_queue[n] >> 12] + 1, -0.99);
        worst = fmax(worst, (sum[n] - ours) / sum[N_ZIPF - 1]);
    }
    golden_free(g);
    return worst;
}

Test(policy_numa, the_local_share_follows_the_analytic_curve)
{
    double oracle = shortfall("oracle", "h1"), h2 = shortfall("hot", "h2"), h1 = shortfall("hot", "h1");
    double sequential = shortfall("sequential", "h1"), random = shortfall("random", "h1");
    cr_assert(oracle < 0.01, "true counts: %f", oracle);
    cr_assert(h2 < 0.05, "64 looks: %f", h2);
    cr_assert(h2 < h1 && h1 < sequential && h1 < random, "%f %f %f %f", h2, h1, sequential, random);
    cr_assert(sequential > 0.4 && random > 0.4);
}

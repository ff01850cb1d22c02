/* SPDX-License-Identifier: MIT */
/* Tiers and NUMA nodes against memories kept as arrays of pages. */
#include "sim/base/rng.h"
#include "sim/mrc/lru.h"
#include "sim/mrc/node.h"
#include "sim/mrc/tier.h"
#include "sim/mrc/unit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64

/* Pages of a tier, the newest first. */
struct tier {
    uint64_t page[MOST + 1];
    uint64_t n, hits, demoted;
};

static bool take_out(struct tier *t, uint64_t page)
{
    for (uint64_t i = 0; i < t->n; i++) {
        if (t->page[i] != page)
            continue;
        memmove(&t->page[i], &t->page[i + 1], (t->n - i - 1) * sizeof *t->page);
        t->n--;
        return true;
    }
    return false;
}

/* An access: the page moves to the top of the first tier; every tier that is then too full passes its last page down.
 */
static void access_tiers(struct tier *t, uint32_t n, const uint64_t *units, uint64_t page)
{
    for (uint32_t k = 0; k < n; k++) {
        if (take_out(&t[k], page)) {
            t[k].hits++;
            break;
        }
    }
    for (uint32_t k = 0; k < n; k++) {
        memmove(&t[k].page[1], &t[k].page[0], t[k].n * sizeof page);
        t[k].page[0] = page;
        if (++t[k].n <= units[k])
            return;
        page = t[k].page[--t[k].n];
        t[k].demoted++;
    }
}

static char *printed(const struct mrc_tiers *t, struct mrc_lru *m)
{
    char *text;
    size_t len;
    uint64_t misses[MRC_MAX_TIERS];
    FILE *f = open_memstream(&text, &len);
    mrc_lru_misses(m, t->depth, t->n, misses);
    mrc_tiers_print(t, misses, mrc_lru_accesses(m), mrc_lru_distinct(m), f);
    fclose(f);
    return text;
}

Test(tiers, hits_and_demotions_equal_a_memory_of_arrays)
{
    struct rng r;
    struct diag d = {0};
    rng_init(&r, 31, "tiers");
    for (int round = 0; round < 200; round++) {
        struct tier memory[3] = {0};
        struct mrc_tiers t;
        char sizes[64], *line;
        snprintf(sizes, sizeof sizes, "%lu,%lu,%lu", 1 + rng_below(&r, 12), 1 + rng_below(&r, 12),
                 1 + rng_below(&r, 12));
        cr_assert_eq(mrc_tiers_parse(sizes, "10,20,30,1000", 4096, &t, &d), 0, "%s", d.text);
        struct mrc_lru *m = mrc_lru_new();
        uint64_t n = 1 + rng_below(&r, 400), universe = 1 + rng_below(&r, 50), hits = 0, demoted = 0;
        for (uint64_t i = 0; i < n; i++) {
            uint64_t page = rng_below(&r, 1 + rng_below(&r, universe));
            access_tiers(memory, 3, t.units, page);
            mrc_lru_feed(m, &page, 1);
        }
        char *text = printed(&t, m), *at = text;
        double sum_ns = 0;
        cr_assert_str_eq(strsep(&at, "\n"), "tier,units,accesses,share,demoted,latency_ns");
        for (uint32_t k = 0; k < 3; k++) {
            unsigned long tier, units, got, down;
            line = strsep(&at, "\n");
            cr_assert_eq(sscanf(line, "%lu,%lu,%lu,%*f,%lu,", &tier, &units, &got, &down), 4, "%s", line);
            cr_assert(tier == k + 1 && units == t.units[k] && got == memory[k].hits && down == memory[k].demoted,
                      "round %d: %s, expected %lu hits, %lu demoted", round, line, memory[k].hits, memory[k].demoted);
            hits += got;
            demoted += down;
            sum_ns += 10.0 * (k + 1) * (double)got;
        }
        char want[200];
        snprintf(want, sizeof want, "none,0,%lu,%.9f,0,1000.000\nall,%lu,%lu,1.000000000,%lu,%.3f\n", n - hits,
                 (double)(n - hits) / (double)n, t.depth[2], n, demoted,
                 (sum_ns + 1000.0 * (double)(n - hits)) / (double)n);
        cr_assert_str_eq(at, want);
        free(text);
        mrc_lru_free(m);
    }
}

Test(tiers, sizes_and_latencies)
{
    struct mrc_tiers t;
    struct diag d = {0};
    cr_assert_eq(mrc_tiers_parse("16GiB,3MiB,7", NULL, 4096, &t, &d), 0, "%s", d.text);
    cr_assert(t.n == 3 && t.units[0] == 4u << 20 && t.units[1] == 768 && t.units[2] == 7 && !t.has_latency);
    cr_assert_eq(t.depth[2], (4u << 20) + 775);
    cr_assert(mrc_tiers_parse(NULL, NULL, 4096, &t, &d) == 0 && t.n == 0);
    static const struct {
        const char *sizes, *latencies;
        uint64_t unit_bytes;
    } bad[] = {{"", NULL, 4096},
               {"0", NULL, 4096},
               {"1,", NULL, 4096},
               {"1KB", NULL, 4096},
               {"1KiB", NULL, 4096},
               {"-1", NULL, 4096},
               {"1MiB", NULL, 0},
               {"99999999TiB", NULL, 4096},
               {"1,2,3,4,5,6,7,8,9", 0, 1},
               {"4", "1", 4096},
               {"4", "1,2,3", 4096},
               {"4", "1,x", 4096},
               {"4", "1,-2", 4096},
               {"4", "1,nan", 4096},
               {NULL, "1,2", 4096},
               {"18446744073709551615,1", 0, 1},
               {"4", "1,", 4096}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        d = (struct diag){0};
        cr_assert_eq(mrc_tiers_parse(bad[i].sizes, bad[i].latencies, bad[i].unit_bytes, &t, &d), -1, "%s %s",
                     bad[i].sizes, bad[i].latencies);
        cr_assert_eq(d.n_errors, 1);
    }
}

/* Each node's own LRU list, searched from the front. */
struct home {
    uint64_t page[MOST];
    uint64_t n, hits[MOST + 1], accesses, remote;
};

static void access_home(struct home *h, uint64_t page)
{
    uint64_t at = 0;
    while (at < h->n && h->page[at] != page)
        at++;
    h->accesses++;
    h->hits[at < h->n ? at + 1 : 0]++;
    h->n += at == h->n;
    memmove(&h->page[1], &h->page[0], at * sizeof page);
    h->page[0] = page;
}

static void compare_nodes(struct mrc_nodes *m, const struct home *home, uint32_t n_nodes)
{
    for (uint32_t k = 0; k < n_nodes; k++) {
        struct mrc_lru *lru = mrc_nodes_stack(m, k);
        cr_assert_eq(mrc_lru_accesses(lru), home[k].accesses);
        cr_assert_eq(mrc_lru_distinct(lru), home[k].n);
        cr_assert_eq(mrc_nodes_remote(m, k), home[k].remote);
        for (uint64_t d = 1; d <= home[k].n; d++)
            cr_assert_eq(mrc_lru_hits_at(lru, d), home[k].hits[d], "node %u distance %lu", k, d);
    }
}

Test(nodes, curves_equal_lists)
{
    static const char *const places[] = {"first-touch", "interleave", "0x5000,40960"};
    struct rng r;
    struct diag d = {0};
    rng_init(&r, 32, "nodes");
    for (int round = 0; round < 90; round++) {
        struct mrc_placement p;
        struct home home[3] = {0};
        int owner[MOST];
        cr_assert_eq(mrc_placement_parse(places[round % 3], 3, &p, &d), 0, "%s", d.text);
        struct mrc_nodes *m = mrc_nodes_new(&p);
        memset(owner, -1, sizeof owner);
        for (int i = 0; i < 1500; i++) {
            uint64_t page = rng_below(&r, 1 + rng_below(&r, MOST - 1));
            uint32_t vcpu = (uint32_t)rng_below(&r, 7), from = vcpu % 3;
            if (owner[page] < 0)
                owner[page] = round % 3 == 0   ? (int)from
                              : round % 3 == 1 ? (int)(page % 3)
                                               : (page >= 5) + (page >= 10); /* 0x5000 and 40960 by page */
            access_home(&home[owner[page]], page);
            home[owner[page]].remote += from != (uint32_t)owner[page];
            mrc_nodes_access(m, vcpu, page, page << 12);
        }
        compare_nodes(m, home, 3);
        mrc_nodes_free(m);
    }
}

Test(nodes, placements_that_are_none)
{
    static const struct {
        const char *text;
        uint64_t nodes;
    } bad[] = {{"first-touch", 0}, {"first-touch", 65}, {"random", 2}, {"4096", 3},
               {"1,2,3", 3},       {"2,1", 3},          {"0", 2},      {"1,", 3}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mrc_placement p;
        struct diag d = {0};
        cr_assert_eq(mrc_placement_parse(bad[i].text, bad[i].nodes, &p, &d), -1, "%s", bad[i].text);
        cr_assert_eq(d.n_errors, 1);
    }
}

Test(nodes, the_largest_id_has_a_home_too)
{
    struct mrc_placement p = {.n_nodes = 2, .kind = MRC_FIRST_TOUCH};
    struct mrc_nodes *m = mrc_nodes_new(&p);
    mrc_nodes_access(m, 1, UINT64_MAX, 0);
    mrc_nodes_access(m, 0, UINT64_MAX, 0);
    cr_assert_eq(mrc_lru_hits_at(mrc_nodes_stack(m, 1), 1), 1);
    cr_assert_eq(mrc_nodes_remote(m, 1), 1);
    cr_assert_eq(mrc_lru_accesses(mrc_nodes_stack(m, 0)), 0);
    mrc_nodes_free(m);
}

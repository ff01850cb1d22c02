/* SPDX-License-Identifier: MIT */
/* Exact stack distances against a list that is searched from the front, and against closed forms. */
#include "sim/base/rng.h"
#include "sim/mrc/axis.h"
#include "sim/mrc/curve.h"
#include "sim/mrc/lru.h"
#include "sim/mrc/seen.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* The oracle: an LRU list as an array, most recent first. */
struct stack {
    uint64_t *id;
    uint32_t n;
};

static uint32_t stack_access(struct stack *s, uint64_t id)
{
    uint32_t i = 0;
    while (i < s->n && s->id[i] != id)
        i++;
    bool found = i < s->n;
    if (!found)
        i = s->n++;
    memmove(s->id + 1, s->id, i * sizeof *s->id);
    s->id[0] = id;
    return found ? i + 1 : 0;
}

/* Feeds n ids made by draw in parts of odd sizes and compares every distance and every count. */
static void check_against_stack(uint64_t seed, uint64_t n, uint64_t universe,
                                uint64_t (*draw)(struct rng *, uint64_t, uint64_t))
{
    struct rng r;
    rng_init(&r, seed, "ids");
    uint64_t *ids = malloc(n * sizeof *ids), *hits = calloc(universe + 1, sizeof *hits);
    uint32_t *want = malloc(n * sizeof *want), *got = malloc(n * sizeof *got);
    struct stack s = {malloc((universe + 1) * sizeof *s.id), 0};
    struct mrc_lru *m = mrc_lru_new();
    for (uint64_t i = 0; i < n; i++) {
        ids[i] = draw(&r, i, universe);
        want[i] = stack_access(&s, ids[i]);
        hits[want[i]]++;
    }
    for (uint64_t at = 0, part; at < n; at += part) {
        part = 1 + rng_below(&r, 300);
        part = part < n - at ? part : n - at;
        mrc_lru_feed_distances(m, ids + at, part, got + at);
    }
    for (uint64_t i = 0; i < n; i++)
        cr_assert_eq(got[i], want[i], "access %lu: distance %u, expected %u", i, got[i], want[i]);
    cr_assert_eq(mrc_lru_accesses(m), n);
    cr_assert_eq(mrc_lru_distinct(m), s.n);
    uint64_t misses = n;
    for (uint64_t d = 1; d <= s.n; d++) {
        uint64_t one;
        cr_assert_eq(mrc_lru_hits_at(m, d), hits[d]);
        misses -= hits[d];
        mrc_lru_misses(m, &d, 1, &one);
        cr_assert_eq(one, misses);
    }
    mrc_lru_free(m);
    free(ids);
    free(hits);
    free(want);
    free(got);
    free(s.id);
}

static uint64_t draw_uniform(struct rng *r, uint64_t i, uint64_t universe)
{
    (void)i;
    return rng_below(r, universe) << 20;
}
static uint64_t draw_skewed(struct rng *r, uint64_t i, uint64_t universe)
{
    (void)i;
    double u = rng_unit(r);
    return (uint64_t)(u * u * u * (double)universe) * 0x10001;
}
static uint64_t draw_loop(struct rng *r, uint64_t i, uint64_t universe)
{
    (void)r;
    return i % universe;
}
static uint64_t draw_growing(struct rng *r, uint64_t i, uint64_t universe)
{
    uint64_t known = i / 40 + 1;
    return rng_below(r, known < universe ? known : universe) - 5; /* ~0 and 0 are among the ids */
}

Test(lru, random_traces_equal_the_stack)
{
    check_against_stack(1, 200000, 3, draw_uniform);
    check_against_stack(2, 200000, 700, draw_uniform);
    check_against_stack(3, 150000, 4000, draw_skewed);
    check_against_stack(4, 150000, 1000, draw_loop);
    check_against_stack(5, 150000, 3500, draw_growing);
    check_against_stack(6, 1, 1, draw_loop);
}

Test(lru, a_loop_has_one_distance)
{
    struct mrc_lru *m = mrc_lru_new();
    const uint64_t n = 300000, rounds = 5;
    for (uint64_t r = 0; r < rounds; r++) {
        for (uint64_t i = 0; i < n; i++)
            mrc_lru_feed(m, &i, 1);
    }
    cr_assert_eq(mrc_lru_distinct(m), n);
    cr_assert_eq(mrc_lru_hits_at(m, n), n * (rounds - 1));
    const uint64_t size[] = {1, n - 1, n, n + 1};
    uint64_t misses[4];
    mrc_lru_misses(m, size, 4, misses);
    cr_assert_eq(misses[0], n * rounds);
    cr_assert_eq(misses[1], n * rounds);
    cr_assert_eq(misses[2], n);
    cr_assert_eq(misses[3], n);
    mrc_lru_free(m);
}

/* Distances that cross every level of the axis: a block of 2^22 ids, then some of them again, backwards. */
Test(lru, wide_axis)
{
    struct mrc_lru *m = mrc_lru_new();
    const uint64_t n = 1u << 22;
    uint64_t *ids = malloc(n * sizeof *ids);
    for (uint64_t i = 0; i < n; i++)
        ids[i] = i;
    mrc_lru_feed(m, ids, n);
    for (uint64_t k = 0; k < 5000; k++) { /* the j-th one from the end, k before it moved to the front */
        uint64_t id = n - 1 - k * 800;
        uint32_t d;
        mrc_lru_feed_distances(m, &id, 1, &d);
        cr_assert_eq(d, k * 800 + 1, "k %lu distance %u", k, d);
    }
    free(ids);
    mrc_lru_free(m);
}

/* After trimming to the newest n, deeper ids are as if never seen; the others keep their distances. A copy goes on by
 * itself. */
Test(lru, trimmed_and_copied_stacks)
{
    struct rng r;
    rng_init(&r, 8, "trim");
    for (int round = 0; round < 50; round++) {
        uint64_t universe = 2 + rng_below(&r, 600), keep = rng_below(&r, 700);
        struct stack s = {malloc((universe + 1) * sizeof *s.id), 0};
        struct mrc_lru *m = mrc_lru_new();
        for (uint64_t i = 0, id; i < 3000; i++) {
            id = rng_below(&r, universe);
            stack_access(&s, id);
            mrc_lru_feed(m, &id, 1);
        }
        mrc_lru_trim(m, keep);
        s.n = s.n < keep ? s.n : (uint32_t)keep;
        struct mrc_lru *twin = mrc_lru_copy(m);
        cr_assert_eq(mrc_lru_accesses(twin), 0);
        for (uint64_t i = 0, id; i < 2000; i++) {
            uint32_t d, other;
            id = rng_below(&r, universe);
            mrc_lru_feed_distances(m, &id, 1, &d);
            mrc_lru_feed_distances(twin, &id, 1, &other);
            uint32_t want = stack_access(&s, id);
            cr_assert(d == want && other == want, "access %lu: %u and %u, expected %u", i, d, other, want);
        }
        cr_assert_eq(mrc_lru_distinct(m), s.n);
        mrc_lru_free(m);
        mrc_lru_free(twin);
        free(s.id);
    }
}

Test(seen, counts_distinct_ids)
{
    struct mrc_seen *s = calloc(1, sizeof *s);
    uint64_t next = 0;
    const uint64_t many[] = {1000, 100000, 3000000, 20000000};
    for (int i = 0; i < 4; i++) {
        for (; next < many[i]; next++)
            mrc_seen_add(s, hash64(next * 3));
        double e = mrc_seen_count(s) / (double)many[i] - 1;
        cr_assert(e > -0.0015 && e < 0.0015, "%lu ids: off by %f", many[i], e);
    }
    memset(s->word, 0xff, sizeof s->word);
    cr_assert_eq(mrc_seen_count(s), 0);
    free(s);
}

Test(axis, rank_counts_set_bits)
{
    struct axis a;
    struct rng r;
    rng_init(&r, 7, "axis");
    const uint64_t n = 1u << 22;
    uint8_t *set = calloc(n, 1);
    axis_init(&a, n, 1000);
    memset(set, 1, 1000);
    while (a.end < n)
        set[a.end] = 1, axis_push(&a);
    for (int round = 0; round < 4; round++) {
        for (uint64_t i = 0; i < n / 4; i++) {
            uint64_t t = rng_below(&r, n);
            if (set[t])
                set[t] = 0, axis_clear(&a, t);
        }
        uint64_t before = 0;
        for (uint64_t t = 0; t < n; t++) {
            if ((t & 511) < 3 || (t & 511) > 509)
                cr_assert_eq(axis_rank(&a, t), before, "instant %lu", t);
            before += set[t];
        }
        cr_assert_eq(a.n_set, before);
    }
    axis_free(&a);
    free(set);
}

Test(sizes, automatic_list)
{
    const uint64_t more[] = {67,  70,  73,  76,  79,  83,  87,  91,  95,  99, 103,
                             108, 112, 117, 123, 128, 134, 140, 146, 152, 159};
    uint64_t *s, n = mrc_sizes_auto(401, &s);
    for (uint64_t i = 0; i < 64; i++)
        cr_assert_eq(s[i], i + 1);
    for (uint64_t i = 0; i < sizeof more / sizeof more[0]; i++)
        cr_assert_eq(s[64 + i], more[i], "%lu", s[64 + i]);
    cr_assert_eq(s[n - 1], 401);
    free(s);
    n = mrc_sizes_auto(3, &s);
    cr_assert_eq(n, 3);
    free(s);
    n = mrc_sizes_auto(0, &s);
    cr_assert_eq(n, 0);
    free(s);
}

Test(sizes, given_list)
{
    struct diag d = {0};
    uint64_t *s, n;
    cr_assert_eq(mrc_sizes_parse("8,4,4,100", &s, &n, &d), 0);
    cr_assert(n == 3 && s[0] == 4 && s[1] == 8 && s[2] == 100);
    free(s);
    cr_assert_eq(mrc_sizes_parse("auto", &s, &n, &d), 0);
    cr_assert_null(s);
    const char *bad[] = {"", "0", "4,", ",4", "4,x", "4 ,5", "-1", "99999999999999999999", "4,0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        d = (struct diag){0};
        cr_assert_eq(mrc_sizes_parse(bad[i], &s, &n, &d), -1, "'%s'", bad[i]);
        cr_assert_eq(d.n_errors, 1);
    }
}

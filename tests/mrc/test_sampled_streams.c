/* SPDX-License-Identifier: MIT */
/* The sampled curve on streams made to be hard for it: steep steps, working sets that shift, phases, a few hot ids. The
 * exact curve judges. */
#include "sim/base/rng.h"
#include "sim/base/zipf.h"
#include "sim/mrc/curve.h"
#include "sim/mrc/lru.h"
#include "sim/mrc/sampled.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

struct feeder {
    struct mrc_lru *exact;
    struct mrc_sampled *sampled;
    struct rng rng;
    struct zipf zipf; /* 0.9 over 600,000 */
    uint64_t id[1024];
    uint32_t n;
};

static void put(struct feeder *f, uint64_t id)
{
    f->id[f->n++] = id;
    if (f->n < 1024)
        return;
    mrc_lru_feed(f->exact, f->id, f->n);
    mrc_sampled_feed(f->sampled, f->id, f->n);
    f->n = 0;
}

/* n accesses of a loop over ids of their own. */
static void loop(struct feeder *f, uint64_t family, uint64_t ids, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        put(f, (family << 40) + i % ids);
}

static void zipf(struct feeder *f, uint64_t family, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        put(f, (family << 40) ^ hash64(zipf_draw(&f->zipf, &f->rng)));
}

static bool with_chance(struct feeder *f, double p)
{
    return rng_unit(&f->rng) < p;
}

static void loop_just_too_large(struct feeder *f)
{
    loop(f, 0, 66000, 500000);
}
static void loop_large(struct feeder *f)
{
    loop(f, 0, 1000000, 3000000);
}
static void two_loops(struct feeder *f)
{
    loop(f, 0, 120000, 1000000);
    loop(f, 1, 350000, 2000000);
}
static void loops_of_many_sizes(struct feeder *f)
{
    for (uint32_t k = 0; k < 6; k++)
        loop(f, k, 12000ull << k, 500000);
}
static void loop_among_zipf(struct feeder *f)
{
    for (uint64_t i = 0; i < 3000000; i++)
        put(f, with_chance(f, 0.5) ? i % 300000 : hash64(zipf_draw(&f->zipf, &f->rng)));
}
static void small_loop_among_strangers(struct feeder *f)
{
    for (uint64_t i = 0, k = 0; i < 3000000; i++)
        put(f, with_chance(f, 0.9) ? k++ % 6000 : (1ull << 40) + rng_below(&f->rng, 5000000));
}
static void middling_loop_among_a_scan(struct feeder *f)
{
    for (uint64_t i = 0, k = 0; i < 3000000; i++)
        put(f, with_chance(f, 0.9) ? k++ % 20000 : (1ull << 40) + i);
}
static void scan_then_small_loop(struct feeder *f)
{
    loop(f, 0, 1500000, 1500000);
    loop(f, 1, 5000, 1500000);
}
static void sequence_then_chance(struct feeder *f)
{
    loop(f, 0, 1000000, 1000000);
    for (uint64_t i = 0; i < 2000000; i++)
        put(f, rng_below(&f->rng, 1000000));
}
static void one_hot_id(struct feeder *f)
{
    for (uint64_t i = 0; i < 3000000; i++)
        put(f, with_chance(f, 0.5) ? 7 : rng_below(&f->rng, 1000000));
}
static void tiny_set_and_a_loop(struct feeder *f)
{
    for (uint64_t i = 0, k = 0; i < 3000000; i++)
        put(f, with_chance(f, 0.8) ? rng_below(&f->rng, 300) : (1ull << 40) + k++ % 200000);
}
static void sliding_set(struct feeder *f)
{
    for (uint64_t i = 0; i < 3000000; i++)
        put(f, i / 10 + rng_below(&f->rng, 80000));
}
static void shifting_sets(struct feeder *f)
{
    for (uint64_t i = 0; i < 3000000; i++)
        put(f, (i / 500000 << 32) + rng_below(&f->rng, 60000 + i / 500000 * 20000));
}
static void shifting_zipf(struct feeder *f)
{
    for (uint64_t phase = 0; phase < 4; phase++)
        zipf(f, phase / 2, 800000);
}
static void extents(struct feeder *f)
{
    for (uint32_t i = 0; i < 24000; i++) {
        uint64_t first = 64 * rng_below(&f->rng, with_chance(f, 0.3) ? 4000 : 1000000);
        for (uint64_t k = 0, n = 8 + rng_below(&f->rng, 249); k < n; k++)
            put(f, first + k);
    }
}
static void saw(struct feeder *f)
{
    for (uint32_t round = 0; round < 5; round++) {
        for (uint64_t i = 0; i < 300000; i++)
            put(f, i);
        for (uint64_t i = 300000; i-- > 0;)
            put(f, i);
    }
}
static void loops_in_a_loop(struct feeder *f)
{
    for (uint64_t i = 0; i < 4000000; i++)
        put(f, i / 50000 % 40 * 10000 + i % 10000);
}
static void matrix(struct feeder *f)
{
    for (uint64_t i = 0; i < 1500000; i++)
        put(f, i % 250000);
    for (uint64_t i = 0; i < 1500000; i++)
        put(f, i % 500 * 500 + i / 500 % 500);
}

static const struct {
    const char *name;
    void (*feed)(struct feeder *f);
} streams[] = {{"loop_just_too_large", loop_just_too_large},
               {"loop_large", loop_large},
               {"two_loops", two_loops},
               {"loops_of_many_sizes", loops_of_many_sizes},
               {"loop_among_zipf", loop_among_zipf},
               {"small_loop_among_strangers", small_loop_among_strangers},
               {"middling_loop_among_a_scan", middling_loop_among_a_scan},
               {"scan_then_small_loop", scan_then_small_loop},
               {"sequence_then_chance", sequence_then_chance},
               {"one_hot_id", one_hot_id},
               {"tiny_set_and_a_loop", tiny_set_and_a_loop},
               {"sliding_set", sliding_set},
               {"shifting_sets", shifting_sets},
               {"shifting_zipf", shifting_zipf},
               {"extents", extents},
               {"saw", saw},
               {"loops_in_a_loop", loops_in_a_loop},
               {"matrix", matrix}};

static void judge(struct feeder *f, const char *name)
{
    uint64_t distinct = mrc_lru_distinct(f->exact), *size, n = mrc_sizes_auto(distinct, &size);
    uint64_t *want = malloc(n * sizeof *want), worst = 0;
    double *got = malloc(n * sizeof *got), mean = 0, most = 0, accesses = (double)mrc_lru_accesses(f->exact);
    double counted = (double)mrc_sampled_distinct(f->sampled);
    cr_assert_lt(mrc_sampled_rate(f->sampled), 1, "%s: everything was followed", name);
    cr_assert_lt(fabs(counted - (double)distinct), 0.002 * (double)distinct, "%s: %f distinct, expected %lu", name,
                 counted, distinct);
    mrc_lru_misses(f->exact, size, n, want);
    mrc_sampled_misses(f->sampled, size, n, got);
    for (uint64_t i = 0; i < n; i++) {
        double e = fabs(got[i] - (double)want[i]) / accesses;
        mean += e / (double)n;
        worst = e > most ? size[i] : worst;
        most = e > most ? e : most;
    }
    cr_expect(mean < 0.005 && most < 0.05, "%s: mean error %f, most %f at size %lu", name, mean, most, worst);
    free(size);
    free(want);
    free(got);
}

Test(sampled_streams, errors_stay_in_their_band)
{
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct mrc_sampled_options o = mrc_sampled_defaults(0.01, 1);
        struct feeder f = {.exact = mrc_lru_new(), .sampled = mrc_sampled_new(&o)};
        rng_init(&f.rng, i, "streams");
        zipf_init(&f.zipf, 600000, 0.9);
        streams[i].feed(&f);
        judge(&f, streams[i].name);
        mrc_lru_free(f.exact);
        mrc_sampled_free(f.sampled);
    }
}

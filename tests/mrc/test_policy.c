/* SPDX-License-Identifier: MIT */
/* Policies against published misses and against caches written down naively; sampling against the exact curve. */
#include "sim/base/rng.h"
#include "sim/mrc/lru.h"
#include "sim/mrc/policy.h"
#include "sim/mrc/sampled.h"
#include "sim/mrc/unit.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* OPT on tiny traces by looking ahead from every miss. */
static uint64_t naive_opt(const uint64_t *ids, uint32_t n, uint32_t size)
{
    uint64_t cache[8], misses = 0;
    uint32_t used = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = 0, victim = 0, farthest = 0;
        while (at < used && cache[at] != ids[i])
            at++;
        if (at < used)
            continue;
        misses++;
        for (uint32_t c = 0; used == size && c < size; c++) {
            uint32_t next = i + 1;
            while (next < n && ids[next] != cache[c])
                next++;
            if (next > farthest)
                farthest = next, victim = c;
        }
        cache[used < size ? used++ : victim] = ids[i];
    }
    return misses;
}

/* FIFO and CLOCK as an array that is shifted; CLOCK gives a referenced oldest entry another round. */
static uint64_t naive_queue(const uint64_t *ids, uint32_t n, uint32_t size, bool second_chance)
{
    uint64_t queue[8], misses = 0;
    bool bit[8];
    uint32_t used = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = 0;
        while (at < used && queue[at] != ids[i])
            at++;
        if (at < used) {
            bit[at] = second_chance;
            continue;
        }
        misses++;
        while (used == size) {
            uint64_t oldest = queue[0];
            bool again = bit[0];
            memmove(queue, queue + 1, (used - 1) * sizeof *queue);
            memmove(bit, bit + 1, (used - 1) * sizeof *bit);
            used--;
            if (again)
                queue[used] = oldest, bit[used++] = false;
        }
        queue[used] = ids[i];
        bit[used++] = false;
    }
    return misses;
}

Test(policy, tiny_traces_equal_naive_caches)
{
    struct diag d = {0};
    struct rng r;
    rng_init(&r, 3, "policy");
    for (int round = 0; round < 3000; round++) {
        uint64_t ids[60];
        uint32_t n = 1 + (uint32_t)rng_below(&r, 60);
        for (uint32_t i = 0; i < n; i++)
            ids[i] = rng_below(&r, 12) - 3;
        struct mrc_sequence *s = mrc_sequence_new();
        mrc_sequence_feed(s, ids, n / 2);
        mrc_sequence_feed(s, ids + n / 2, n - n / 2);
        for (uint64_t size = 1; size <= 7; size++) {
            uint64_t got, opt;
            mrc_sequence_misses(s, mrc_policy_named("opt", &d), &size, 1, &opt);
            cr_assert_eq(opt, naive_opt(ids, n, (uint32_t)size));
            mrc_sequence_misses(s, mrc_policy_named("fifo", &d), &size, 1, &got);
            cr_assert_eq(got, naive_queue(ids, n, (uint32_t)size, false));
            mrc_sequence_misses(s, mrc_policy_named("clock", &d), &size, 1, &got);
            cr_assert_eq(got, naive_queue(ids, n, (uint32_t)size, true));
            for (uint32_t p = 0; mrc_policy_at(p); p++) { /* nothing beats OPT, and everyone misses each id once */
                mrc_sequence_misses(s, mrc_policy_at(p), &size, 1, &got);
                cr_assert(got >= opt && got >= mrc_sequence_distinct(s) && got <= n, "%s", mrc_policy_at(p)->name);
            }
        }
        mrc_sequence_free(s);
    }
    cr_assert_null(mrc_policy_named("best", &d));
    cr_assert_eq(d.n_errors, 1);
}

/* A hot set, known as such, with a scan running through it: what S3-FIFO and ARC are for. */
Test(policy, scan_resistance)
{
    struct diag d = {0};
    struct mrc_sequence *s = mrc_sequence_new();
    uint64_t next = 1000, misses[3];
    for (int i = 0; i < 200000; i++) {
        uint64_t id = i >= 200 && i % 2 ? next++ : (uint64_t)(i / 2) % 80;
        mrc_sequence_feed(s, &id, 1);
    }
    const uint64_t size = 100;
    const char *const names[] = {"fifo", "s3fifo", "arc"};
    for (int i = 0; i < 3; i++)
        mrc_sequence_misses(s, mrc_policy_named(names[i], &d), &size, 1, &misses[i]);
    cr_assert_gt(misses[0], 190000);
    cr_assert_lt(misses[1], 110000);
    cr_assert_lt(misses[2], 110000);
    mrc_sequence_free(s);
}

/* A loop that does not fit: LRU and FIFO miss every time, LIRS keeps a part of it, nearly as well as OPT. */
Test(policy, lirs_keeps_a_part_of_a_loop)
{
    struct diag d = {0};
    struct mrc_sequence *s = mrc_sequence_new();
    uint64_t lirs, opt, fifo;
    for (int i = 0; i < 200000; i++) {
        uint64_t id = (uint64_t)i % 1000;
        mrc_sequence_feed(s, &id, 1);
    }
    const uint64_t size = 500;
    mrc_sequence_misses(s, mrc_policy_named("fifo", &d), &size, 1, &fifo);
    mrc_sequence_misses(s, mrc_policy_named("opt", &d), &size, 1, &opt);
    mrc_sequence_misses(s, mrc_policy_named("lirs", &d), &size, 1, &lirs);
    cr_assert_eq(fifo, 200000);
    cr_assert_lt(lirs, opt + opt / 50);
    mrc_sequence_free(s);
}

struct trace {
    char name[32], file[64], format[16];
    enum mrc_unit_kind unit;
};

static const struct trace traces[] = {
    {"cloudPhysicsIO", "block/cloudPhysicsIO.vscsi.xz", "vscsi", MRC_OBJECT},
    {"spec2000_gcc", "mem/spec2000_gcc.trace.gz", "ls", MRC_PAGE},
    {"spec2000_mcf", "mem/spec2000_mcf.trace.gz", "ls", MRC_PAGE},
    {"spec2000_swim", "mem/spec2000_swim.trace.gz", "ls", MRC_PAGE},
    {"lirs_2_pools", "page/lirs_2_pools.trace.gz", "ids", MRC_OBJECT},
    {"lirs_sprite", "page/lirs_sprite.trace.gz", "ids", MRC_OBJECT},
    {"lirs_multi3", "page/lirs_multi3.trace.gz", "ids", MRC_OBJECT},
    {"lirs_loop", "page/lirs_loop.trace.gz", "ids", MRC_OBJECT},
    {"arc_OLTP_4k", "block/arc_OLTP.lis.zst", "lis", MRC_PAGE},
    {"arc_P3_4k", "block/arc_P3.lis.zst", "lis", MRC_PAGE},
    {"spec2006_gobmk", "mem/spec2006_445.gobmk.gz", "ramulator-cpu", MRC_PAGE},
    {"spec2006_h264ref", "mem/spec2006_464.h264ref.gz", "ramulator-cpu", MRC_PAGE},
    {"mqsim_wsrch-small", "block/mqsim_wsrch-small.trace.xz", "mqsim", MRC_PAGE},
    {"gen_redis_pw", "gen/redis.pw.xz", "pw", MRC_PAGE},
    {"gen_python_pw", "gen/python.pw.xz", "pw", MRC_PAGE},
};
#define N_TRACES (sizeof traces / sizeof traces[0])

static void shared_path(char *path, size_t n, const char *file)
{
    const char *src = getenv("SRCDIR");
    snprintf(path, n, "%s/../shared/traces/%s", src ? src : ".", file);
}

typedef void feed_fn(void *to, const uint64_t *ids, uint64_t n);

static void feed_file(const struct trace *t, feed_fn *feed, void *to)
{
    char path[512];
    shared_path(path, sizeof path, t->file);
    struct diag d = {0};
    struct trace_reader *r = trace_open(path, &(struct trace_options){.format = t->format}, &d);
    cr_assert_not_null(r, "%s", d.text);
    struct mrc_unit u = {.kind = t->unit, .shift = 12};
    struct trace_rec rec[1024];
    uint64_t ids[1024];
    int n;
    uint32_t k;
    while ((n = trace_read(r, rec, 1024, &d)) > 0) {
        mrc_unit_records(&u, rec, (uint32_t)n);
        while ((k = mrc_unit_ids(&u, ids, NULL, 1024)) > 0)
            feed(to, ids, k);
    }
    cr_assert_eq(n, 0, "%s", d.text);
    trace_close(r);
}

static void feed_sequence(void *to, const uint64_t *ids, uint64_t n)
{
    mrc_sequence_feed(to, ids, n);
}

Test(policy, published_misses)
{
    char path[512], line[256];
    shared_path(path, sizeof path, "reference/policies_exact.csv");
    FILE *f = fopen(path, "r");
    if (!f)
        cr_skip_test("%s is not here", path);
    struct mrc_sequence *s = NULL;
    char current[64] = "";
    uint32_t rows = 0;
    while (fgets(line, sizeof line, f)) {
        char name[64], policy[16];
        unsigned long size, accesses, misses;
        if (sscanf(line, "%63[^,],%15[A-Z],%lu,%lu,%lu", name, policy, &size, &accesses, &misses) != 5)
            continue;
        if (strcmp(name, current) != 0) {
            size_t t = 0;
            while (t < N_TRACES && strcmp(traces[t].name, name) != 0)
                t++;
            cr_assert_lt(t, N_TRACES, "%s", name);
            mrc_sequence_free(s);
            s = mrc_sequence_new();
            feed_file(&traces[t], feed_sequence, s);
            strcpy(current, name);
        }
        for (char *p = policy; *p; p++)
            *p = (char)(*p | 0x20);
        struct diag d = {0};
        uint64_t got, one = size;
        mrc_sequence_misses(s, mrc_policy_named(policy, &d), &one, 1, &got);
        cr_assert_eq(mrc_sequence_accesses(s), accesses);
        cr_assert_eq(got, misses, "%s %s %lu: %lu misses, expected %lu", name, policy, size, got, misses);
        rows++;
    }
    cr_assert_eq(rows, 297);
    mrc_sequence_free(s);
    fclose(f);
}

struct both {
    struct mrc_lru *exact;
    struct mrc_sampled *sampled;
};

static void feed_both(void *to, const uint64_t *ids, uint64_t n)
{
    struct both *b = to;
    mrc_lru_feed(b->exact, ids, n);
    mrc_sampled_feed(b->sampled, ids, n);
}

/* Mean and largest absolute error of a sampled curve over every `auto` size. */
static void sampling_error(struct both *b, double *mean, double *most)
{
    uint64_t distinct = mrc_lru_distinct(b->exact), n = 0, *size = malloc((distinct + 1) * sizeof *size);
    for (uint64_t s = 1; s <= distinct; s += s < 64 ? 1 : s / 24)
        size[n++] = s;
    uint64_t *want = malloc(n * sizeof *want);
    double *got = malloc(n * sizeof *got), accesses = (double)mrc_lru_accesses(b->exact);
    mrc_lru_misses(b->exact, size, n, want);
    mrc_sampled_misses(b->sampled, size, n, got);
    *mean = *most = 0;
    for (uint64_t i = 0; i < n; i++) {
        double e = fabs(got[i] - (double)want[i]) / accesses;
        *mean += e / (double)n;
        *most = e > *most ? e : *most;
    }
    free(size);
    free(want);
    free(got);
}

static void skewed(struct both *b, uint64_t n, uint64_t universe)
{
    struct rng r;
    rng_init(&r, 12, "sample");
    for (uint64_t i = 0; i < n; i++) {
        double u = rng_unit(&r);
        uint64_t id = (uint64_t)(u * u * u * u * (double)universe);
        feed_both(b, &id, 1);
    }
}

Test(sampled, error_bounds_on_a_skewed_trace)
{
    const uint32_t least[] = {1u << 16, 20000, 5000};
    for (int i = 0; i < 3; i++) {
        struct mrc_sampled_options o = mrc_sampled_defaults(0.01, (uint64_t)i);
        o.least = least[i];
        struct both b = {mrc_lru_new(), mrc_sampled_new(&o)};
        skewed(&b, 3000000, 600000);
        double mean, most;
        cr_assert_lt(mrc_sampled_rate(b.sampled), 0.3);
        double distinct = (double)mrc_lru_distinct(b.exact);
        cr_assert_lt(fabs((double)mrc_sampled_distinct(b.sampled) - distinct), 0.05 * distinct);
        sampling_error(&b, &mean, &most);
        cr_assert(mean < 0.005 && most < 0.05, "mean %f most %f", mean, most);
        mrc_lru_free(b.exact);
        mrc_sampled_free(b.sampled);
    }
}

Test(sampled, small_sets_are_exact)
{
    struct mrc_sampled_options o = mrc_sampled_defaults(0.001, 9);
    struct both b = {mrc_lru_new(), mrc_sampled_new(&o)};
    skewed(&b, 300000, 50000);
    double mean, most;
    sampling_error(&b, &mean, &most);
    cr_assert_eq(most, 0);
    mrc_lru_free(b.exact);
    mrc_sampled_free(b.sampled);
}

Test(sampled, never_more_ids_than_allowed)
{
    struct mrc_sampled_options o = mrc_sampled_defaults(0.5, 1);
    o.least = 100;
    o.most = 1000;
    struct mrc_sampled *s = mrc_sampled_new(&o);
    for (uint64_t i = 0; i < 2000000; i++)
        mrc_sampled_feed(s, &i, 1);
    cr_assert_lt(mrc_sampled_rate(s), 0.001);
    cr_assert_lt(fabs((double)mrc_sampled_distinct(s) - 2e6), 2e5);
    const uint64_t size = 1000;
    double misses;
    mrc_sampled_misses(s, &size, 1, &misses);
    cr_assert_lt(fabs(misses - 2e6), 1e3);
    mrc_sampled_free(s);
}

Test(sampled, reference_traces)
{
    char path[512];
    shared_path(path, sizeof path, "block/arc_P3.lis.zst");
    if (access(path, R_OK) != 0)
        cr_skip_test("%s is not here", path);
    static const struct trace big[] = {{"", "block/arc_P3.lis.zst", "lis", MRC_BLOCK},
                                       {"", "block/arc_OLTP.lis.zst", "lis", MRC_BLOCK},
                                       {"", "block/arc_P6.lis.zst", "lis", MRC_PAGE},
                                       {"", "gen/xz.pw.xz", "pw", MRC_PAGE}};
    for (int i = 0; i < 4; i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct mrc_sampled_options o = mrc_sampled_defaults(0.01, seed);
            struct both b = {mrc_lru_new(), mrc_sampled_new(&o)};
            feed_file(&big[i], feed_both, &b);
            double mean, most;
            sampling_error(&b, &mean, &most);
            cr_assert(mean < 0.005 && most < 0.05, "%s seed %lu: mean %f most %f", big[i].file, seed, mean, most);
            mrc_lru_free(b.exact);
            mrc_sampled_free(b.sampled);
        }
    }
}

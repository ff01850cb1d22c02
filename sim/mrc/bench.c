/* SPDX-License-Identifier: MIT */
#include "sim/mrc/bench.h"

#include "sim/base/diag.h"
#include "sim/base/zipf.h"
#include "sim/mrc/lru.h"
#include "sim/mrc/sampled.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ACCESSES 25000000u
#define IDS      1000000u
#define NOTE     "Zipf 0.9, 25 M accesses over 1 M ids"

static uint64_t *zipf_ids(uint64_t n)
{
    struct zipf z;
    struct rng r;
    zipf_init(&z, IDS, 0.9);
    rng_init(&r, 1, "bench_mrc");
    uint64_t *ids = xmalloc(n * sizeof *ids);
    for (uint64_t i = 0; i < n; i++)
        ids[i] = hash64(zipf_draw(&z, &r)); /* ids without structure */
    return ids;
}

typedef void work_fn(const uint64_t *ids, uint64_t n);

static void exact_once(const uint64_t *ids, uint64_t n)
{
    struct mrc_lru *m = mrc_lru_new();
    mrc_lru_feed(m, ids, n);
    mrc_lru_free(m);
}

static void sampled_once(const uint64_t *ids, uint64_t n)
{
    struct mrc_sampled_options o = mrc_sampled_defaults(0.01, 1);
    struct mrc_sampled *s = mrc_sampled_new(&o);
    mrc_sampled_feed(s, ids, n);
    mrc_sampled_free(s);
}

static double peak_kib(void)
{
    struct rusage u;
    CHECK(getrusage(RUSAGE_SELF, &u) == 0);
    return (double)u.ru_maxrss;
}

/* Peak memory that work adds, in bytes: in a child, whose peak begins at what is resident now. -1 if it cannot tell. */
static double added_bytes(work_fn *work, const uint64_t *ids, uint64_t n)
{
    int fd[2];
    double bytes = -1;
    if (pipe(fd) != 0)
        return -1;
    malloc_trim(0); /* so that freed memory is not used again unseen */
    pid_t pid = fork();
    if (pid == 0) {
        double before = peak_kib();
        work(ids, n);
        double added = (peak_kib() - before) * 1024;
        _exit(write(fd[1], &added, sizeof added) != sizeof added);
    }
    close(fd[1]);
    if (pid < 0 || read(fd[0], &bytes, sizeof bytes) != sizeof bytes)
        bytes = -1;
    close(fd[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return bytes;
}

static double rate(work_fn *work, const uint64_t *ids, uint64_t n)
{
    double t = bench_user_s();
    work(ids, n);
    t = bench_user_s() - t;
    return (double)n / t / 1e6;
}

/* Largest absolute error of the sampled miss ratio over 16 sizes an octave. */
static double sampling_error(const uint64_t *ids, uint64_t n, double *mean)
{
    struct mrc_lru *m = mrc_lru_new();
    struct mrc_sampled_options o = mrc_sampled_defaults(0.01, 1);
    struct mrc_sampled *s = mrc_sampled_new(&o);
    mrc_lru_feed(m, ids, n);
    mrc_sampled_feed(s, ids, n);
    double most = 0, sum = 0, points = 0;
    for (double size = 1; size < IDS; size *= 1.044) {
        uint64_t one = (uint64_t)size, exact;
        double estimate;
        mrc_lru_misses(m, &one, 1, &exact);
        mrc_sampled_misses(s, &one, 1, &estimate);
        double e = fabs(estimate - (double)exact) / (double)n;
        most = e > most ? e : most;
        sum += e;
        points++;
    }
    *mean = sum / points;
    mrc_lru_free(m);
    mrc_sampled_free(s);
    return most;
}

int bench_mrc(struct bench *b)
{
    uint64_t n = (uint64_t)(ACCESSES * (b->scale > 0 && b->scale < 1 ? b->scale : 1));
    uint64_t *ids = zipf_ids(n);
    double mean, most;
    bench_add(b, "mrc.exact", rate(exact_once, ids, n), "M accesses/s", NOTE);
    bench_add(b, "mrc.sampled", rate(sampled_once, ids, n), "M accesses/s", NOTE ", rate 0.01");
    struct mrc_lru *m = mrc_lru_new();
    mrc_lru_feed(m, ids, n);
    double distinct = (double)mrc_lru_distinct(m);
    mrc_lru_free(m);
    bench_add(b, "mrc.exact_memory", added_bytes(exact_once, ids, n) / distinct, "bytes/id", "peak, a distinct id");
    bench_add(b, "mrc.sampled_memory", added_bytes(sampled_once, ids, n) / 1048576, "MiB", "peak");
    most = sampling_error(ids, n, &mean);
    bench_add(b, "mrc.sampled_mean_error", mean, "miss ratio", "against the exact curve");
    bench_add(b, "mrc.sampled_max_error", most, "miss ratio", "against the exact curve");
    free(ids);
    return 0;
}

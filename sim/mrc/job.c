/* SPDX-License-Identifier: MIT */
#include "sim/mrc/job.h"

#include "sim/mrc/lru.h"
#include "sim/mrc/policy.h"
#include "sim/mrc/sampled.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH     1024
#define MAX_SEEDS 64u

/* What the ids are fed to; exactly one of the three is there. */
struct sinks {
    struct mrc_lru *lru;
    struct mrc_sampled *sampled[MAX_SEEDS];
    uint32_t n_seeds;
    struct mrc_sequence *sequence;
    const struct mrc_policy *policy;
};

static int sinks_open(const struct mrc_job *job, struct sinks *s, struct diag *d)
{
    *s = (struct sinks){0};
    if (strcmp(job->policy, "lru") != 0) {
        if (job->method != MRC_EXACT)
            return fail(d, "method sampled is for policy lru, found policy '%s'", job->policy);
        s->policy = mrc_policy_named(job->policy, d);
        s->sequence = s->policy ? mrc_sequence_new() : NULL;
        return s->policy ? 0 : -1;
    }
    if (job->method == MRC_EXACT) {
        s->lru = mrc_lru_new();
        return 0;
    }
    if (!(job->rate > 0 && job->rate <= 1))
        return fail(d, "rate %g: expected a number above 0 and at most 1", job->rate);
    if (job->n_seeds == 0 || job->n_seeds > MAX_SEEDS)
        return fail(d, "%u seeds: expected 1 to %u", job->n_seeds, MAX_SEEDS);
    for (; s->n_seeds < job->n_seeds; s->n_seeds++) {
        struct mrc_sampled_options o = mrc_sampled_defaults(job->rate, s->n_seeds + 1);
        s->sampled[s->n_seeds] = mrc_sampled_new(&o);
    }
    return 0;
}

static void sinks_close(struct sinks *s)
{
    mrc_lru_free(s->lru);
    mrc_sequence_free(s->sequence);
    for (uint32_t i = 0; i < s->n_seeds; i++)
        mrc_sampled_free(s->sampled[i]);
}

static void feed(struct sinks *s, const uint64_t *ids, uint32_t n)
{
    if (s->lru)
        mrc_lru_feed(s->lru, ids, n);
    if (s->sequence)
        mrc_sequence_feed(s->sequence, ids, n);
    for (uint32_t i = 0; i < s->n_seeds; i++)
        mrc_sampled_feed(s->sampled[i], ids, n);
}

static int read_trace(const struct mrc_job *job, struct sinks *s, struct diag *d)
{
    struct trace_reader *r = trace_open(job->path, &job->trace, d);
    if (!r)
        return -1;
    struct mrc_unit u = {.kind = job->unit, .shift = job->shift};
    struct trace_rec rec[BATCH];
    uint64_t ids[BATCH];
    uint32_t k, batches = 0;
    int n;
    while ((n = trace_read(r, rec, BATCH, d)) > 0) {
        mrc_unit_records(&u, rec, (uint32_t)n);
        while ((k = mrc_unit_ids(&u, ids, NULL, BATCH)) > 0)
            feed(s, ids, k);
        if (job->progress && (++batches & 1023) == 0)
            job->progress(job->progress_ctx, trace_bytes_done(r), trace_bytes_total(r));
    }
    mrc_unit_free(&u);
    trace_close(r);
    return n;
}

static void exact_points(struct sinks *s, struct mrc_curve *c)
{
    c->misses = xmalloc((c->n + 1) * sizeof *c->misses);
    if (s->lru)
        mrc_lru_misses(s->lru, c->size, c->n, c->misses);
    else
        mrc_sequence_misses(s->sequence, s->policy, c->size, c->n, c->misses);
}

/* Mean over the seeds, rounded to whole misses, and its standard error. */
static void sampled_points(struct sinks *s, struct mrc_curve *c)
{
    double *one = xmalloc((c->n + 1) * sizeof *one), *sum = xcalloc(c->n + 1, sizeof *sum);
    double *squares = xcalloc(c->n + 1, sizeof *squares), k = s->n_seeds;
    c->misses = xmalloc((c->n + 1) * sizeof *c->misses);
    c->error = s->n_seeds > 1 ? xmalloc(c->n * sizeof *c->error) : NULL;
    for (uint32_t i = 0; i < s->n_seeds; i++) {
        mrc_sampled_misses(s->sampled[i], c->size, c->n, one);
        for (uint64_t p = 0; p < c->n; p++) {
            sum[p] += one[p];
            squares[p] += one[p] * one[p];
        }
    }
    for (uint64_t p = 0; p < c->n; p++) {
        double mean = sum[p] / k, variance = s->n_seeds > 1 ? (squares[p] - sum[p] * mean) / (k - 1) : 0;
        c->misses[p] = (uint64_t)(mean + 0.5);
        if (c->error)
            c->error[p] = sqrt((variance > 0 ? variance : 0) / k);
    }
    free(one);
    free(sum);
    free(squares);
}

static void totals(struct sinks *s, struct mrc_curve *c)
{
    if (s->lru) {
        c->accesses = mrc_lru_accesses(s->lru);
        c->distinct = mrc_lru_distinct(s->lru);
    } else if (s->sequence) {
        c->accesses = mrc_sequence_accesses(s->sequence);
        c->distinct = mrc_sequence_distinct(s->sequence);
    } else {
        c->accesses = mrc_sampled_accesses(s->sampled[0]);
        for (uint32_t i = 0; i < s->n_seeds; i++)
            c->distinct += mrc_sampled_distinct(s->sampled[i]);
        c->distinct /= s->n_seeds;
    }
}

int mrc_job_run(const struct mrc_job *job, struct mrc_curve *c, struct diag *d)
{
    struct sinks s;
    *c = (struct mrc_curve){0};
    int rc = sinks_open(job, &s, d);
    if (rc == 0)
        rc = mrc_sizes_parse(job->sizes, &c->size, &c->n, d);
    if (rc == 0)
        rc = read_trace(job, &s, d);
    if (rc == 0) {
        totals(&s, c);
        if (!c->size)
            c->n = mrc_sizes_auto(c->distinct, &c->size);
        if (s.n_seeds)
            sampled_points(&s, c);
        else
            exact_points(&s, c);
    } else {
        mrc_curve_free(c);
    }
    sinks_close(&s);
    return rc;
}

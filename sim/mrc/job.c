/* SPDX-License-Identifier: MIT */
#include "sim/mrc/job.h"

#include "sim/mrc/dirty.h"
#include "sim/mrc/lru.h"
#include "sim/mrc/policy.h"
#include "sim/mrc/sampled.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH     1024
#define MAX_SEEDS 64u

/* What the ids are fed to: one of lru, sampled and sequence, and what else was asked for. */
struct sinks {
    struct mrc_lru *lru;
    struct mrc_sampled *sampled[MAX_SEEDS];
    uint32_t n_seeds;
    struct mrc_sequence *sequence;
    const struct mrc_policy *policy;
    struct mrc_dirty *dirty;
    uint64_t now;     /* by the job's clock */
    uint64_t window;  /* of the last access */
    uint64_t *before; /* misses at the epochs' sizes when the window began */
    uint64_t accesses_before;
};

static int sinks_open(const struct mrc_job *job, struct sinks *s, struct diag *d)
{
    *s = (struct sinks){0};
    if ((job->wss || job->epochs || job->heat_grain) && job->window == 0)
        return fail(d, "windows need a length above 0");
    if ((job->dirty || job->epochs) && (job->method != MRC_EXACT || strcmp(job->policy, "lru") != 0))
        return fail(d, "write-backs and epochs are for method exact and policy lru");
    if (job->placement.n_nodes && (job->method != MRC_EXACT || strcmp(job->policy, "lru") != 0))
        return fail(d, "curves per node are for method exact and policy lru");
    if (job->tiers.n && strcmp(job->policy, "lru") != 0)
        return fail(d, "tiers are for policy lru");
    s->dirty = job->dirty ? mrc_dirty_new() : NULL;
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
    mrc_dirty_free(s->dirty);
    free(s->before);
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

/* The curve since the window began. */
static void close_epoch(struct sinks *s, struct mrc_results *res)
{
    uint64_t n = res->n_epoch_sizes, accesses = mrc_lru_accesses(s->lru);
    uint64_t *now = xmalloc((n + 1) * sizeof *now);
    mrc_lru_misses(s->lru, res->epoch_size, n, now);
    if (res->n_epochs == res->epoch_cap) {
        res->epoch_cap = res->epoch_cap ? 2 * res->epoch_cap : 64;
        res->epoch = xrealloc(res->epoch, res->epoch_cap * sizeof *res->epoch);
    }
    struct mrc_epoch *e = &res->epoch[res->n_epochs++];
    *e = (struct mrc_epoch){s->window, accesses - s->accesses_before, xmalloc((n + 1) * sizeof *now)};
    for (uint64_t i = 0; i < n; i++)
        e->misses[i] = now[i] - s->before[i];
    free(s->before);
    s->before = now;
    s->accesses_before = accesses;
}

static uint64_t advance(struct sinks *s, const struct mrc_job *job, const struct trace_rec *rec, uint64_t start_ns)
{
    if (job->clock == MRC_BY_NS)
        s->now = rec->time_ns > start_ns + s->now ? rec->time_ns - start_ns : s->now;
    else if (job->clock == MRC_BY_INSTRUCTIONS)
        s->now += rec->kind <= TRACE_FLUSH_HINT ? rec->arg : 0;
    return s->now / job->window;
}

/* Feeds record by record: for the analyses that want to know when, or what kind. */
static int feed_slowly(struct sinks *s, const struct mrc_job *job, struct mrc_unit *u, const struct trace_rec *rec,
                       uint32_t n, uint64_t start_ns, struct mrc_results *res, struct diag *d)
{
    uint64_t ids[BATCH];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k;
        uint64_t window = job->window ? advance(s, job, &rec[i], start_ns) : 0;
        if (window >> 31)
            return fail(d, "%s: more than 2^31 windows", job->path);
        bool write =
            trace_is_write(rec[i].kind) || rec[i].kind == TRACE_BLOCK_WRITE || rec[i].kind == TRACE_OBJECT_WRITE;
        if (job->epochs && window != s->window)
            close_epoch(s, res);
        s->window = window;
        mrc_unit_records(u, &rec[i], 1);
        while ((k = mrc_unit_ids(u, ids, NULL, BATCH)) > 0) {
            feed(s, ids, k);
            for (uint32_t j = 0; j < k && job->wss; j++)
                mrc_wss_access(res->wss, window, ids[j], write);
            for (uint32_t j = 0; j < k && res->heat; j++)
                mrc_heat_access(res->heat, window, ids[j]);
            for (uint32_t j = 0; j < k && job->dirty; j++)
                mrc_dirty_access(s->dirty, ids[j], write);
            for (uint32_t j = 0; j < k && res->nodes; j++)
                mrc_nodes_access(res->nodes, rec[i].vcpu, ids[j], mrc_unit_address(u, ids[j]));
        }
        s->now += job->clock == MRC_BY_RECORDS;
    }
    return 0;
}

static int read_trace(const struct mrc_job *job, struct sinks *s, struct mrc_results *res, struct diag *d)
{
    struct trace_reader *r = trace_open(job->path, &job->trace, d);
    if (!r)
        return -1;
    struct mrc_unit u = {.kind = job->unit, .shift = job->shift};
    struct trace_rec rec[BATCH];
    uint64_t ids[BATCH], start_ns = 0;
    uint32_t k, batches = 0;
    const bool slowly = job->wss || job->epochs || job->dirty || job->heat_grain || job->placement.n_nodes;
    int n = 1;
    if (job->clock == MRC_BY_NS && job->window && !trace_info(r)->has_time)
        n = fail(d, "%s: windows of time were asked for, but this trace has no times", job->path);
    while (n > 0 && (n = trace_read(r, rec, BATCH, d)) > 0) {
        if (batches == 0)
            start_ns = rec[0].time_ns;
        if (slowly && feed_slowly(s, job, &u, rec, (uint32_t)n, start_ns, res, d) != 0)
            n = -1;
        mrc_unit_records(&u, rec, slowly ? 0 : (uint32_t)n);
        while (!slowly && (k = mrc_unit_ids(&u, ids, NULL, BATCH)) > 0)
            feed(s, ids, k);
        if ((++batches & 1023) == 0 && job->progress)
            job->progress(job->progress_ctx, "reading", trace_bytes_done(r), trace_bytes_total(r));
    }
    if (n == 0 && job->epochs && mrc_lru_accesses(s->lru) > s->accesses_before)
        close_epoch(s, res);
    mrc_unit_free(&u);
    trace_close(r);
    return n;
}

static void exact_points(const struct mrc_job *job, struct sinks *s, struct mrc_curve *c)
{
    c->misses = xmalloc((c->n + 1) * sizeof *c->misses);
    if (s->lru)
        mrc_lru_misses(s->lru, c->size, c->n, c->misses);
    for (uint64_t i = 0; i < c->n && s->sequence; i++) {
        mrc_sequence_misses(s->sequence, s->policy, &c->size[i], 1, &c->misses[i]);
        if (job->progress)
            job->progress(job->progress_ctx, "simulating", i + 1, c->n);
    }
    if (s->dirty) {
        c->writebacks = xmalloc((c->n + 1) * sizeof *c->writebacks);
        mrc_dirty_writebacks(s->dirty, c->size, c->n, c->writebacks);
    }
}

/* Misses of LRU caches as deep as the tiers: of the exact stack, or the mean over the samples. */
static void tier_points(struct sinks *s, const struct mrc_tiers *t, uint64_t *misses)
{
    double one[MRC_MAX_TIERS], sum[MRC_MAX_TIERS] = {0};
    if (s->lru)
        mrc_lru_misses(s->lru, t->depth, t->n, misses);
    for (uint32_t k = 0; k < s->n_seeds; k++) {
        mrc_sampled_misses(s->sampled[k], t->depth, t->n, one);
        for (uint32_t i = 0; i < t->n; i++)
            misses[i] = (uint64_t)((sum[i] += one[i]) / s->n_seeds + 0.5);
    }
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

/* The epochs' sizes must be known before the first access: those given, or powers of two. */
static void prepare(const struct mrc_job *job, struct sinks *s, struct mrc_results *res)
{
    const struct mrc_curve *c = &res->curve;
    res->wss = job->wss ? mrc_wss_new() : NULL;
    res->heat = job->heat_grain ? mrc_heat_new(job->heat_grain) : NULL;
    res->nodes = job->placement.n_nodes ? mrc_nodes_new(&job->placement) : NULL;
    res->auto_sizes = !c->size;
    res->tiers = job->tiers;
    if (!job->epochs)
        return;
    res->n_epoch_sizes = c->size ? c->n : 32;
    res->epoch_size = xmalloc((res->n_epoch_sizes + 1) * sizeof *res->epoch_size);
    for (uint64_t i = 0; i < res->n_epoch_sizes; i++)
        res->epoch_size[i] = c->size ? c->size[i] : 1ull << i;
    s->before = xcalloc(res->n_epoch_sizes + 1, sizeof *s->before);
}

int mrc_job_run(const struct mrc_job *job, struct mrc_results *res, struct diag *d)
{
    struct sinks s;
    *res = (struct mrc_results){0};
    struct mrc_curve *c = &res->curve;
    int rc = sinks_open(job, &s, d);
    if (rc == 0)
        rc = mrc_sizes_parse(job->sizes, &c->size, &c->n, d);
    if (rc == 0) {
        prepare(job, &s, res);
        rc = read_trace(job, &s, res, d);
    }
    if (rc == 0) {
        totals(&s, c);
        if (!c->size)
            c->n = mrc_sizes_auto(c->distinct, &c->size);
        if (s.n_seeds)
            sampled_points(&s, c);
        else
            exact_points(job, &s, c);
        tier_points(&s, &job->tiers, res->tier_misses);
    } else {
        mrc_results_free(res);
    }
    sinks_close(&s);
    return rc;
}

void mrc_results_free(struct mrc_results *res)
{
    mrc_curve_free(&res->curve);
    mrc_wss_free(res->wss);
    mrc_heat_free(res->heat);
    mrc_nodes_free(res->nodes);
    for (uint64_t i = 0; i < res->n_epochs; i++)
        free(res->epoch[i].misses);
    free(res->epoch);
    free(res->epoch_size);
    *res = (struct mrc_results){0};
}

void mrc_results_print_nodes(const struct mrc_results *res, FILE *f)
{
    mrc_nodes_print(res->nodes, res->auto_sizes ? NULL : res->curve.size, res->curve.n, f);
}

void mrc_wss_print(const struct mrc_wss *w, FILE *f)
{
    const struct mrc_wss_window *k;
    uint64_t n = mrc_wss_windows(w, &k);
    fputs("window,accesses,distinct,written\n", f);
    for (uint64_t i = 0; i < n; i++)
        fprintf(f, "%llu,%llu,%llu,%llu\n", (unsigned long long)i, (unsigned long long)k[i].accesses,
                (unsigned long long)k[i].distinct, (unsigned long long)k[i].written);
}

void mrc_epochs_print(const struct mrc_results *res, FILE *f)
{
    fputs("window,size,misses,accesses,miss_ratio\n", f);
    for (uint64_t e = 0; e < res->n_epochs; e++) {
        const struct mrc_epoch *k = &res->epoch[e];
        for (uint64_t i = 0; i < res->n_epoch_sizes && k->accesses > 0; i++) {
            if (i > 0 && res->epoch_size[i - 1] >= res->curve.distinct)
                break; /* larger caches miss no less */
            fprintf(f, "%llu,%llu,%llu,%llu,%.9f\n", (unsigned long long)k->window,
                    (unsigned long long)res->epoch_size[i], (unsigned long long)k->misses[i],
                    (unsigned long long)k->accesses, (double)k->misses[i] / (double)k->accesses);
        }
    }
}

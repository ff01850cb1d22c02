/* SPDX-License-Identifier: MIT */
#include "sim/mrc/sampled.h"

#include "sim/base/diag.h"
#include "sim/mrc/head.h"
#include "sim/mrc/lru.h"

#include <stdlib.h>
#include <string.h>

#define BATCH      512
#define MAX_EPOCHS 34 /* a rate can be halved 32 times before the threshold is 0 */
#define ALL        (1ull << 32)

/* The accesses made under one threshold. */
struct epoch {
    uint64_t limit;    /* of the sample's keys; ALL = everything */
    uint64_t accesses; /* made, sampled or not */
    struct mrc_hits hits;
    struct mrc_head_counts head;
};

struct mrc_sampled {
    struct mrc_sampled_options opt;
    uint64_t odd; /* picks the sample together with limit */
    uint64_t limit, limit_least;
    struct mrc_lru *lru; /* of the sample */
    struct mrc_head *head;
    struct epoch epoch[MAX_EPOCHS];
    uint32_t n_epochs; /* closed ones */
    uint64_t accesses, epoch_accesses;
    uint64_t batch[2 * BATCH];
    uint32_t n_batch;
    bool ended;
};

struct mrc_sampled_options mrc_sampled_defaults(double rate, uint64_t seed)
{
    return (struct mrc_sampled_options){.rate = rate, .least = 1u << 16, .most = 1u << 17, .seed = seed, .head = true};
}

struct mrc_sampled *mrc_sampled_new(const struct mrc_sampled_options *opt)
{
    CHECK(opt->rate > 0 && opt->rate <= 1 && opt->most > 0);
    struct mrc_sampled *s = xcalloc(1, sizeof *s);
    s->opt = *opt;
    s->odd = hash64(opt->seed) | 1;
    s->limit_least = (uint64_t)(opt->rate * (double)ALL);
    s->limit_least = s->limit_least ? s->limit_least : 1;
    s->limit = opt->least ? ALL : s->limit_least;
    s->lru = mrc_lru_new();
    s->head = opt->head ? mrc_head_new() : NULL;
    return s;
}

void mrc_sampled_free(struct mrc_sampled *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->n_epochs; i++) {
        free(s->epoch[i].hits.low);
        free(s->epoch[i].hits.high);
    }
    mrc_lru_free(s->lru);
    mrc_head_free(s->head);
    free(s);
}

/* Puts the counts made under the threshold so far aside. */
static void close_epoch(struct mrc_sampled *s)
{
    CHECK(s->n_epochs < MAX_EPOCHS);
    struct epoch *e = &s->epoch[s->n_epochs++];
    e->limit = s->limit;
    e->accesses = s->epoch_accesses;
    mrc_lru_take_hits(s->lru, &e->hits);
    if (s->head)
        mrc_head_take(s->head, &e->head);
    s->epoch_accesses = 0;
}

/* Lowers the threshold while more ids are followed than may be. */
static void lower(struct mrc_sampled *s)
{
    for (;;) {
        uint64_t followed = mrc_lru_distinct(s->lru), limit = s->limit;
        if (followed > s->opt.most)
            limit /= 2;
        else if (followed > s->opt.least && limit > s->limit_least)
            limit = limit / 2 > s->limit_least ? limit / 2 : s->limit_least;
        if (limit == s->limit || limit == 0)
            return;
        close_epoch(s);
        s->limit = limit;
        mrc_lru_drop(s->lru, s->odd, limit);
    }
}

static void flush(struct mrc_sampled *s)
{
    mrc_lru_feed(s->lru, s->batch, s->n_batch);
    s->n_batch = 0;
    if (mrc_lru_distinct(s->lru) > (s->limit > s->limit_least ? s->opt.least : s->opt.most))
        lower(s);
}

void mrc_sampled_feed(struct mrc_sampled *s, const uint64_t *ids, uint64_t n)
{
    CHECK(!s->ended);
    while (n > 0) {
        uint32_t part = n < BATCH ? (uint32_t)n : BATCH, k = s->n_batch;
        if (s->limit == ALL) {
            memcpy(s->batch + k, ids, part * sizeof *ids);
            k += part;
        } else {
            const uint64_t odd = s->odd, limit = s->limit;
            for (uint32_t i = 0; i < part; i++) {
                s->batch[k] = ids[i];
                k += mrc_sample_key(ids[i], odd) < limit;
            }
            if (s->head)
                mrc_head_feed(s->head, ids, part);
        }
        s->n_batch = k;
        s->epoch_accesses += part;
        s->accesses += part;
        ids += part;
        n -= part;
        if (k >= BATCH)
            flush(s);
    }
}

uint64_t mrc_sampled_accesses(const struct mrc_sampled *s)
{
    return s->accesses;
}

double mrc_sampled_rate(const struct mrc_sampled *s)
{
    return (double)s->limit / (double)ALL;
}

uint64_t mrc_sampled_distinct(struct mrc_sampled *s)
{
    flush(s);
    return (uint64_t)((double)mrc_lru_distinct(s->lru) / mrc_sampled_rate(s) + 0.5);
}

/* Adds to misses[i] what an epoch contributes: the accesses whose distance is above size[i]. The k-th sampled distance
 * stands for true distances from (k - 1) / rate + 1 to k / rate + 1, spread evenly; exact at rate 1. Returns the
 * epoch's total weight. */
static double add_tail(const struct epoch *e, const uint64_t *size, uint64_t n, double *misses)
{
    const double scale = (double)ALL / (double)e->limit;
    double left = 0; /* accesses with sampled distance > k, cold ones included */
    for (uint64_t d = 0; d < e->hits.n; d++)
        left += (double)mrc_hits_at(&e->hits, d);
    const double total = left;
    uint64_t k = 0;
    for (uint64_t i = 0; i < n; i++) {
        double at = e->limit == ALL ? (double)size[i] : ((double)size[i] - 1) / scale;
        while ((double)(k + 1) <= at && k + 1 < e->hits.n)
            left -= (double)mrc_hits_at(&e->hits, ++k);
        double part = at - (double)k;
        double next = part > 0 && part < 1 ? part * (double)mrc_hits_at(&e->hits, k + 1) : 0;
        misses[i] = left - next;
    }
    return total;
}

/* The epoch's misses: the head's share as far as it reaches, beyond it the sample's, joined so that they meet. */
static void add_epoch(const struct epoch *e, const uint64_t *size, uint64_t n, double *misses, double *scratch)
{
    double total = add_tail(e, size, n, scratch);
    if (e->limit == ALL) { /* integers, and they stay that */
        for (uint64_t i = 0; i < n; i++)
            misses[i] += scratch[i];
        return;
    }
    double weight = (double)ALL / (double)e->limit;
    double reach = 0, head_ratio = 1, tail_at_reach = total;
    if (e->head.measured > 0) {
        const uint64_t edge = MRC_HEAD_REACH;
        reach = (double)edge;
        head_ratio = mrc_head_ratio(&e->head, edge);
        add_tail(e, &edge, 1, &tail_at_reach);
    }
    for (uint64_t i = 0; i < n; i++) {
        double share;
        if ((double)size[i] <= reach)
            share = mrc_head_ratio(&e->head, size[i]);
        else
            share = tail_at_reach > 0 ? head_ratio * scratch[i] / tail_at_reach : 0;
        if (reach == 0) { /* no head: what the sample has too few of are accesses of short distances */
            double count = scratch[i] * weight;
            share = e->accesses ? count / (double)e->accesses : 0;
            share = share < 1 ? share : 1;
        }
        misses[i] += share * (double)e->accesses;
    }
}

void mrc_sampled_misses(struct mrc_sampled *s, const uint64_t *size, uint64_t n, double *misses)
{
    double *scratch = xmalloc((n + 1) * sizeof *scratch);
    if (!s->ended) {
        flush(s);
        close_epoch(s);
        s->ended = true;
    }
    memset(misses, 0, n * sizeof *misses);
    for (uint32_t i = 0; i < s->n_epochs; i++)
        add_epoch(&s->epoch[i], size, n, misses, scratch);
    free(scratch);
}

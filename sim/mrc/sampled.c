/* SPDX-License-Identifier: MIT */
#include "sim/mrc/sampled.h"

#include "sim/base/diag.h"
#include "sim/mrc/head.h"
#include "sim/mrc/lru.h"
#include "sim/mrc/seen.h"

#include <stdlib.h>
#include <string.h>

#define BATCH      512
#define MAX_EPOCHS 34 /* a rate can be halved 32 times before the threshold is 0 */
#define ALL        (1ull << 32)
#define SLACK      0.001 /* three standard errors of the number of distinct ids */

/* The accesses made under one threshold. */
struct epoch {
    uint64_t limit;    /* of the sample's keys; ALL = everything */
    uint64_t accesses; /* made, sampled or not */
    double scale;      /* distinct ids for one that is sampled */
    struct mrc_hits hits;
};

struct mrc_sampled {
    struct mrc_sampled_options opt;
    uint64_t odd; /* picks the sample together with limit */
    uint64_t limit, limit_least;
    struct mrc_lru *lru; /* of the sample */
    struct mrc_head *head;
    struct mrc_seen *seen;
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
    s->seen = opt->head ? xcalloc(1, sizeof *s->seen) : NULL;
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
    free(s->seen);
    free(s);
}

/* Distinct ids for one of the sample. Those counted over those sampled is better than the inverse of the rate: it holds
 * for all of them at once, so a loop over all ids has its true length. SLACK keeps that from being above the truth. */
static double scale_now(const struct mrc_sampled *s)
{
    double by_rate = (double)ALL / (double)s->limit, sampled = (double)mrc_lru_distinct(s->lru);
    double seen = s->seen && s->limit < ALL && sampled > 0 ? mrc_seen_count(s->seen) : 0;
    return seen > 0 ? seen * (1 - SLACK) / sampled : by_rate;
}

/* Gives back the room of the distances that were never seen. */
static void trim(struct mrc_hits *h)
{
    while (h->n > 1 && mrc_hits_at(h, h->n - 1) == 0)
        h->n--;
    h->low = xrealloc(h->low, h->n * sizeof *h->low);
    if (h->high)
        h->high = xrealloc(h->high, h->n * sizeof *h->high);
}

/* Puts the counts made under the threshold so far aside. */
static void close_epoch(struct mrc_sampled *s)
{
    CHECK(s->n_epochs < MAX_EPOCHS);
    struct epoch *e = &s->epoch[s->n_epochs++];
    e->limit = s->limit;
    e->accesses = s->epoch_accesses;
    e->scale = scale_now(s);
    mrc_lru_take_hits(s->lru, &e->hits);
    trim(&e->hits);
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
        if (s->opt.head && !s->head)
            s->head = mrc_head_new(s->lru);
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

/* Appends the sampled ones of the ids to the batch, which has k; returns how many it has then. */
static uint32_t filter(struct mrc_sampled *s, const uint64_t *ids, uint32_t n, uint32_t k)
{
    const uint64_t odd = s->odd, limit = s->limit;
    struct mrc_seen *seen = s->seen;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t hash = hash64(ids[i]);
        s->batch[k] = ids[i];
        k += (uint32_t)((hash * odd) >> 32) < limit;
        if (seen)
            mrc_seen_add(seen, hash);
    }
    return k;
}

void mrc_sampled_feed(struct mrc_sampled *s, const uint64_t *ids, uint64_t n)
{
    CHECK(!s->ended);
    while (n > 0) {
        uint32_t part = n < BATCH ? (uint32_t)n : BATCH, k = s->n_batch;
        if (s->limit == ALL) {
            memcpy(s->batch + k, ids, part * sizeof *ids);
            k += part;
            for (uint32_t i = 0; s->seen && i < part; i++)
                mrc_seen_add(s->seen, hash64(ids[i]));
        } else {
            k = filter(s, ids, part, k);
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
    double seen = s->seen && s->limit < ALL ? mrc_seen_count(s->seen) : 0;
    return (uint64_t)((seen > 0 ? seen : (double)mrc_lru_distinct(s->lru) / mrc_sampled_rate(s)) + 0.5);
}

/* Adds to misses[i] what an epoch contributes: the accesses whose distance is above size[i]. The k-th sampled distance
 * stands for true distances from (k - 1) / rate + 1 to k / rate + 1, spread evenly; exact at rate 1. Returns the
 * epoch's total weight. */
static double add_tail(const struct epoch *e, const uint64_t *size, uint64_t n, double *misses)
{
    const double scale = e->scale;
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

/* Adds up the epochs whose ids were sampled, each with the weight of its rate; returns their total weight. */
static double add_tails(const struct mrc_sampled *s, const uint64_t *size, uint64_t n, double *misses)
{
    double *one = xmalloc((n + 1) * sizeof *one), total = 0;
    memset(misses, 0, n * sizeof *misses);
    for (uint32_t i = 0; i < s->n_epochs; i++) {
        const struct epoch *e = &s->epoch[i];
        if (e->limit == ALL)
            continue;
        double weight = e->scale;
        total += weight * add_tail(e, size, n, one);
        for (uint64_t p = 0; p < n; p++)
            misses[p] += weight * one[p];
    }
    free(one);
    return total;
}

/* Variance of the number of accesses beyond distance `reach` that the sample estimates. An id at distance d makes at
 * most one access in d; whether it is sampled decides over all of them. */
static double tail_variance(const struct mrc_sampled *s, uint64_t reach, double accesses)
{
    double sum = 0;
    for (uint32_t i = 0; i < s->n_epochs; i++) {
        const struct epoch *e = &s->epoch[i];
        for (uint64_t k = (uint64_t)((double)reach / e->scale) + 1; e->limit < ALL && k < e->hits.n; k++)
            sum += e->scale * (e->scale - 1) * (double)mrc_hits_at(&e->hits, k) * accesses / ((double)k * e->scale);
    }
    return sum;
}

/* The share beyond the head's reach is known twice: from stretches of the trace, all ids, and from the sample, the
 * whole trace. Weighs the two by their variances, and the head's hits become that many more or fewer. */
static void weigh(const struct mrc_sampled *s, double *head, uint64_t reach, double variance, double accesses,
                  double at_reach)
{
    double share = at_reach / accesses < 1 ? at_reach / accesses : 1;
    double other = tail_variance(s, reach, accesses) / (accesses * accesses), hits = 1 - head[reach];
    if (variance == 0 || hits <= 0)
        return;
    double better = (head[reach] * other + share * variance) / (other + variance);
    for (uint64_t d = 0; d <= reach; d++)
        head[d] = 1 - (1 - head[d]) * (1 - better) / hits;
}

/* Adds the misses of the accesses of which a sample was followed, `accesses` of them: as far as the head reaches they
 * are its share, beyond it the sample's, joined so that they meet. */
static void add_sampled(struct mrc_sampled *s, uint64_t accesses, const uint64_t *size, uint64_t n, double *misses)
{
    double *tail = xmalloc((n + 1) * sizeof *tail), *head = xmalloc((MRC_HEAD_REACH + 1) * sizeof *head), variance;
    uint64_t reach = s->head ? mrc_head_survival(s->head, head, &variance) : 0;
    double at_reach = add_tails(s, size, n, tail);
    if (reach > 0) {
        add_tails(s, &reach, 1, &at_reach);
        weigh(s, head, reach, variance, (double)accesses, at_reach);
    }
    /* Without a head: what the sample has too few or too many of are accesses of short distances. */
    const double joined = reach > 0 ? head[reach] * (double)accesses : at_reach;
    for (uint64_t i = 0; i < n; i++) {
        double m = size[i] <= reach ? head[size[i]] * (double)accesses : at_reach > 0 ? joined * tail[i] / at_reach : 0;
        misses[i] += m < (double)accesses ? m : (double)accesses;
    }
    free(tail);
    free(head);
}

void mrc_sampled_misses(struct mrc_sampled *s, const uint64_t *size, uint64_t n, double *misses)
{
    uint64_t sampled = 0;
    if (!s->ended) {
        flush(s);
        close_epoch(s);
        s->ended = true;
    }
    memset(misses, 0, n * sizeof *misses);
    for (uint32_t i = 0; i < s->n_epochs; i++) {
        if (s->epoch[i].limit == ALL)
            add_tail(&s->epoch[i], size, n, misses); /* integers, and they stay that */
        else
            sampled += s->epoch[i].accesses;
    }
    if (sampled > 0)
        add_sampled(s, sampled, size, n, misses);
}

/* SPDX-License-Identifier: MIT */
#include "sim/mrc/head.h"

#include "sim/base/diag.h"
#include "sim/mrc/lru.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STRETCH        65536u   /* accesses */
#define WHOLE          1000000u /* accesses that are followed before the first gap */
#define ERROR_WANTED   0.002    /* standard error that the gaps aim at: of the shares beyond the marks */
#define ERROR_ANYWHERE 0.012    /* ... and of the share beyond any distance: a step is in one place only */
#define GAP_MOST       10.0 /* stretches passed over after each one: less than a tenth is followed in the long run */
#define MOST_DISTINCT  (2 * MRC_HEAD_REACH) /* ids held; then all but the newest MRC_HEAD_REACH are forgotten */
#define LEAST_AT_RISK  256u /* accesses of a stretch: it says nothing of distances that fewer may have */
#define LEAST_SUPPORT  0.25 /* of the accesses beyond d must be in stretches that say how many exceed d + 1 */
#define N_MARKS        4

/* Distances that stand for the curve as a whole. */
static const uint32_t marks[N_MARKS] = {64, 1024, 8192, MRC_HEAD_REACH};

struct mrc_head {
    struct mrc_lru *lru;                                           /* NULL in a gap */
    uint64_t followed;                                             /* in all */
    uint64_t stretch;                                              /* followed in this stretch */
    uint64_t before;                                               /* accesses passed over before it */
    uint64_t gap;                                                  /* accesses still to pass over */
    uint64_t n_stretches;                                          /* closed */
    uint32_t hits[MRC_HEAD_REACH + 1], beyond[MRC_HEAD_REACH + 1]; /* of this stretch: [distance], [ids held then] */
    /* Each stretch has a curve of its own, so that one with few long distances lends its time to no other. */
    double accesses;       /* that the stretches stand for */
    double unseen_squares; /* of the accesses that a stretch stands for and did not follow */
    double sum[MRC_HEAD_REACH + 1], squares[MRC_HEAD_REACH + 1]; /* [d]: of the shares beyond d, one a stretch */
    double before_step[MRC_HEAD_REACH + 1], after_step[MRC_HEAD_REACH + 1]; /* [d]: of the stretches that know distance
                                                                               d, accesses beyond d - 1 and beyond d */
};

struct mrc_head *mrc_head_new(const struct mrc_lru *stack)
{
    struct mrc_head *h = xcalloc(1, sizeof *h);
    h->lru = mrc_lru_copy(stack);
    return h;
}

void mrc_head_free(struct mrc_head *h)
{
    if (h)
        mrc_lru_free(h->lru);
    free(h);
}

/* Variance of the share beyond d from stretch to stretch. */
static double spread(const struct mrc_head *h, uint64_t d)
{
    double n = (double)h->n_stretches, mean = h->sum[d] / n,
           v = n > 1 ? (h->squares[d] - h->sum[d] * mean) / (n - 1) : 0;
    return v > 0 ? v : 0;
}

/* The share of the trace that may be passed over, so that the error of the shares beyond d is `wanted`: the error is
 * that share of the one of the stretches' mean. */
static double may_pass(const struct mrc_head *h, double most_spread, double wanted)
{
    double error = sqrt(most_spread / (double)h->n_stretches);
    return error > wanted ? wanted / error : 1;
}

/* A gap as long as the stretches so far allow: those that differ much have short ones between them until there are
 * many. Gaps vary by half, so that no loop of the trace keeps step with them. */
static uint64_t next_gap(const struct mrc_head *h)
{
    double at_marks = 0, anywhere = 0;
    if (h->followed < WHOLE)
        return 0;
    for (uint32_t i = 0; i < N_MARKS; i++)
        at_marks = fmax(at_marks, spread(h, marks[i]));
    for (uint64_t d = 1; d <= MRC_HEAD_REACH; d++)
        anywhere = fmax(anywhere, spread(h, d));
    double share = fmin(may_pass(h, at_marks, ERROR_WANTED), may_pass(h, anywhere, ERROR_ANYWHERE));
    double gap = share < GAP_MOST / (1 + GAP_MOST) ? share / (1 - share) : GAP_MOST;
    double jitter = 0.5 + (double)(hash64(h->n_stretches) >> 32) / (double)(1ull << 32);
    return gap < 0.25 ? 0 : (uint64_t)(gap * STRETCH * jitter);
}

/* Adds the stretch's curve. It stands for half of the gap on either side of it, too. Without a gap the next one goes on
 * with its stack. */
static void end_stretch(struct mrc_head *h)
{
    if (h->stretch == 0)
        return;
    h->gap = next_gap(h);
    double weight = (double)h->stretch + (double)(h->before + h->gap) / 2, alive = 1;
    uint64_t at_risk = h->stretch - h->beyond[0];
    for (uint64_t d = 1; d <= MRC_HEAD_REACH; d++) {
        if (at_risk >= LEAST_AT_RISK) {
            h->before_step[d] += alive * weight;
            alive *= 1 - (double)h->hits[d] / (double)at_risk;
            h->after_step[d] += alive * weight;
            at_risk -= h->hits[d] + h->beyond[d];
        }
        h->sum[d] += alive;
        h->squares[d] += alive * alive;
    }
    h->accesses += weight;
    h->unseen_squares += (weight - (double)h->stretch) * (weight - (double)h->stretch);
    memset(h->hits, 0, sizeof h->hits);
    memset(h->beyond, 0, sizeof h->beyond);
    if (h->gap > 0) {
        mrc_lru_free(h->lru);
        h->lru = NULL;
    }
    h->before = h->gap;
    h->stretch = 0;
    h->n_stretches++;
}

void mrc_head_feed(struct mrc_head *h, const uint64_t *ids, uint32_t n)
{
    uint32_t distance[MRC_HEAD_FEED];
    CHECK(n <= MRC_HEAD_FEED);
    if (h->gap > 0) {
        h->gap = h->gap > n ? h->gap - n : 0;
        return;
    }
    if (!h->lru)
        h->lru = mrc_lru_new();
    uint64_t held = mrc_lru_distinct(h->lru);
    mrc_lru_distances(h->lru, ids, n, distance);
    for (uint32_t i = 0; i < n; i++) {
        if (distance[i] > 0 && distance[i] <= MRC_HEAD_REACH)
            h->hits[distance[i]]++;
        else
            h->beyond[held < MRC_HEAD_REACH ? held : MRC_HEAD_REACH]++;
        held += distance[i] == 0;
    }
    h->followed += n;
    h->stretch += n;
    if (held > MOST_DISTINCT)
        mrc_lru_trim(h->lru, MRC_HEAD_REACH);
    if (h->stretch >= STRETCH)
        end_stretch(h);
}

uint64_t mrc_head_survival(struct mrc_head *h, double *survival, double *variance)
{
    end_stretch(h);
    survival[0] = 1;
    *variance = 0;
    if (h->accesses == 0)
        return 0;
    *variance = spread(h, MRC_HEAD_REACH) * h->unseen_squares / (h->accesses * h->accesses);
    for (uint64_t d = 1; d <= MRC_HEAD_REACH; d++) {
        if (h->before_step[d] < LEAST_SUPPORT * h->accesses * survival[d - 1])
            return d - 1;
        survival[d] = h->before_step[d] > 0 ? survival[d - 1] * h->after_step[d] / h->before_step[d] : 0;
    }
    return MRC_HEAD_REACH;
}

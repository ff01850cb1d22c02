/* SPDX-License-Identifier: MIT */
/* What periods that are seen as sets of pages tell of stack distances, by brute force over all sets ever seen: a page
 * of set t that was last in set l has a distance between 1 + |the union of the sets between| and |the union of l .. t|,
 * and its hit is spread evenly. Nothing here is shared with the policies. */
#ifndef TESTS_POLICIES_RECENCY_H
#define TESTS_POLICIES_RECENCY_H

#include "tests/policies/golden.h"

#include <criterion/criterion.h>
#include <math.h>

#define R_PAGES 128u
#define R_SETS  1024u

struct recency {
    bool in[R_SETS][R_PAGES];
    uint32_t n_sets; /* complete ones; in[n_sets] is being filled */
    double hits[R_PAGES + 1], cold, total;
    uint64_t n_seen;
};

static inline void recency_use(struct recency *r, uint32_t page)
{
    r->in[r->n_sets][page] = true;
}

static inline uint32_t recency_union(const struct recency *r, uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    for (uint32_t p = 0; p < R_PAGES; p++) {
        bool any = false;
        for (uint32_t t = from; t < to; t++)
            any |= r->in[t][p];
        n += any;
    }
    return n;
}

/* The period ends. hidden: accesses beyond one a page, spread over 1 .. the pages of the period as 1 / distance. */
static inline void recency_end(struct recency *r, uint32_t accesses)
{
    uint32_t t = r->n_sets, n = recency_union(r, t, t + 1);
    for (uint32_t p = 0; p < R_PAGES; p++) {
        uint32_t l = t;
        if (!r->in[t][p])
            continue;
        while (l > 0 && !r->in[l - 1][p])
            l--;
        r->total++;
        if (l == 0) {
            r->cold++;
            continue;
        }
        uint32_t low = 1 + recency_union(r, l, t), high = recency_union(r, l - 1, t + 1);
        for (uint32_t d = low; d <= high; d++)
            r->hits[d] += 1.0 / (high - low + 1);
    }
    double sum = 0, hidden = accesses > n ? accesses - n : 0;
    for (uint32_t d = 1; d <= n; d++)
        sum += 1.0 / d;
    for (uint32_t d = 1; d <= n; d++)
        r->hits[d] += hidden / sum / d;
    r->total += n ? hidden : 0;
    r->n_seen += n;
    r->n_sets++;
    cr_assert_lt(r->n_sets, R_SETS);
}

/* The page lost its frame: it was never there. */
static inline void recency_drop(struct recency *r, uint32_t page)
{
    for (uint32_t t = 0; t <= r->n_sets; t++)
        r->in[t][page] = false;
}

/* Every point of the curve that the policy left behind is the model's; answers how many there are. */
static inline uint32_t recency_check(const struct recency *r, const struct golden *g)
{
    uint32_t n = 0;
    double last = 1;
    for (uint32_t i = 0; i < g->n_points; i++) {
        const struct g_entry *e = &g->point[i];
        if (strcmp(e->name, "mrc_observed_misses") == 0) {
            cr_assert_float_eq(e->y, r->total, 1e-6 * r->total + 1e-9, "total %f, expected %f", e->y, r->total);
            continue;
        }
        double misses = r->cold;
        for (uint32_t d = (uint32_t)e->x + 1; d <= R_PAGES; d++)
            misses += r->hits[d];
        cr_assert_float_eq(e->y, misses / r->total, 1e-9, "at %.0f pages: %.12f, expected %.12f", e->x, e->y,
                           misses / r->total);
        cr_assert(e->y <= last + 1e-12, "a curve never rises");
        last = e->y;
        n++;
    }
    return n;
}

/* A small random stream of skewed pages. */
static inline uint32_t recency_random(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((*state >> 33) % n);
}
static inline uint32_t recency_page(uint64_t *state, uint32_t n)
{
    return recency_random(state, recency_random(state, n) + 1);
}

#endif

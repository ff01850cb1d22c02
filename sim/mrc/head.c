/* SPDX-License-Identifier: MIT */
#include "sim/mrc/head.h"

#include "sim/base/diag.h"
#include "sim/mrc/lru.h"

#include <stdlib.h>
#include <string.h>

#define WHOLE_FEEDS   1000000u /* accesses that are followed without a gap */
#define STRETCH_FEEDS 16384u   /* counted in a stretch after that */
#define GAP           20u      /* of the accesses, about one in this many + 1 is counted then */
#define MOST_DISTINCT 32768u   /* in a stretch, before it is begun anew */

struct mrc_head {
    struct mrc_lru *lru; /* NULL in a gap */
    uint64_t followed;   /* in all */
    uint64_t stretch;    /* counted in this stretch */
    uint64_t gap;        /* accesses still to pass over */
    struct mrc_head_counts counts;
};

struct mrc_head *mrc_head_new(void)
{
    return xcalloc(1, sizeof(struct mrc_head));
}

void mrc_head_free(struct mrc_head *h)
{
    if (h)
        mrc_lru_free(h->lru);
    free(h);
}

static void end_stretch(struct mrc_head *h)
{
    mrc_lru_free(h->lru);
    h->lru = NULL;
    h->gap = h->followed < WHOLE_FEEDS ? 0 : h->stretch * GAP;
    h->stretch = 0;
}

void mrc_head_feed(struct mrc_head *h, const uint64_t *ids, uint32_t n)
{
    uint32_t distance[512];
    CHECK(n <= 512);
    if (h->gap > 0) {
        h->gap = h->gap > n ? h->gap - n : 0;
        return;
    }
    if (!h->lru)
        h->lru = mrc_lru_new();
    bool warm = mrc_lru_distinct(h->lru) >= MRC_HEAD_REACH;
    mrc_lru_feed_distances(h->lru, ids, n, distance);
    h->followed += n;
    if (!warm)
        return;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t d = distance[i] <= MRC_HEAD_REACH ? distance[i] : 0;
        h->counts.hits[d]++;
    }
    h->counts.measured += n;
    h->stretch += n;
    bool full = mrc_lru_distinct(h->lru) > MOST_DISTINCT;
    if (full || (h->followed >= WHOLE_FEEDS && h->stretch >= STRETCH_FEEDS))
        end_stretch(h);
}

void mrc_head_take(struct mrc_head *h, struct mrc_head_counts *c)
{
    *c = h->counts;
    memset(&h->counts, 0, sizeof h->counts);
}

double mrc_head_ratio(const struct mrc_head_counts *c, uint64_t size)
{
    uint64_t hits = 0;
    for (uint64_t d = 1; d <= size && d <= MRC_HEAD_REACH; d++)
        hits += c->hits[d];
    return c->measured ? 1 - (double)hits / (double)c->measured : 1;
}

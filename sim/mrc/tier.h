/* SPDX-License-Identifier: MIT */
/* Memory in tiers, fastest first, that hold one LRU stack between them: an access brings its page to the top of the
 * first tier, and each tier that is full passes its oldest page down. So the stack distance says where an access finds
 * its page, and one curve gives the hits of all tiers. */
#ifndef QUIRE_MRC_TIER_H
#define QUIRE_MRC_TIER_H

#include "sim/base/diag.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define MRC_MAX_TIERS 8

struct mrc_tiers {
    uint32_t n;
    uint64_t units[MRC_MAX_TIERS];        /* capacity of each */
    uint64_t depth[MRC_MAX_TIERS];        /* its capacity and that of the tiers above it, added up */
    bool has_latency;                     /* then: */
    double latency_ns[MRC_MAX_TIERS + 1]; /* of an access to each, and to none of them */
};

/* sizes: "16GiB,64GiB" (a plain number counts units) or NULL for no tiers; latencies: nanoseconds, one a tier and one
 * for what is in none, or NULL. unit_bytes: of one unit; 0 if units have no size. -1 after fail(). */
int mrc_tiers_parse(const char *sizes, const char *latencies, uint64_t unit_bytes, struct mrc_tiers *t, struct diag *d);

/* "tier,units,accesses,share,demoted" and, with latencies, ",latency_ns"; a line a tier from 1 on, one for what is in
 * none, one for all. misses[i] are those of an LRU cache of t->depth[i] units. demoted: pages passed down. */
void mrc_tiers_print(const struct mrc_tiers *t, const uint64_t *misses, uint64_t accesses, uint64_t distinct, FILE *f);

#endif

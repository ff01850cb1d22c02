/* SPDX-License-Identifier: MIT */
/* LRU miss counts from a sample of the ids, in bounded memory whatever the length of the trace.
 *
 * An id is sampled if a hash of it is below a threshold, so all of its accesses are seen or none is (Waldspurger, Park,
 * Garthwaite, Ahmad, "Efficient MRC construction with SHARDS", FAST 2015). The threshold begins at "all ids" and is
 * halved as ids accumulate, so a small working set is exact; the accesses made under each threshold are counted apart,
 * each with the weight and the scale of its own rate. Distances too short for the sample to tell are taken from
 * stretches of the trace in which every id is followed (the head). */
#ifndef QUIRE_MRC_SAMPLED_H
#define QUIRE_MRC_SAMPLED_H

#include <stdbool.h>
#include <stdint.h>

struct mrc_sampled_options {
    double rate;    /* in (0, 1]: the rate is not lowered below this before `most` ids are followed */
    uint32_t least; /* ids followed before the rate is lowered at all; 0 = 1: a fixed rate from the start */
    uint32_t most;  /* ids followed at most: the rate falls as far as it takes */
    uint64_t seed;  /* picks the sample */
    bool head;      /* follow every id in stretches of the trace */
};
/* rate as given, and what else quire uses by itself: 16 MiB at most. */
struct mrc_sampled_options mrc_sampled_defaults(double rate, uint64_t seed);

struct mrc_sampled;
struct mrc_sampled *mrc_sampled_new(const struct mrc_sampled_options *opt);
void mrc_sampled_free(struct mrc_sampled *s);
void mrc_sampled_feed(struct mrc_sampled *s, const uint64_t *ids, uint64_t n);

uint64_t mrc_sampled_accesses(const struct mrc_sampled *s);
/* Estimate of the number of distinct ids; exact as long as the rate is 1. */
uint64_t mrc_sampled_distinct(struct mrc_sampled *s);
/* The rate now. */
double mrc_sampled_rate(const struct mrc_sampled *s);
/* Estimated misses of caches of size[0..n) entries, ascending; ends what has been fed (no feeding after it). */
void mrc_sampled_misses(struct mrc_sampled *s, const uint64_t *size, uint64_t n, double *misses);

#endif

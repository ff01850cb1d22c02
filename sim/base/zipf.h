/* SPDX-License-Identifier: MIT */
/* Draws from a Zipf distribution in constant time and space, by rejection-inversion: W. Hoermann and G. Derflinger,
 * "Rejection-inversion to generate variates from monotone discrete distributions", ACM TOMACS 6(3), 1996. */
#ifndef QUIRE_BASE_ZIPF_H
#define QUIRE_BASE_ZIPF_H

#include "sim/base/rng.h"

#include <stdint.h>

struct zipf {
    uint64_t n;
    double skew, h_first, h_last, cut;
};

/* Ranks 0..n-1 (n >= 1), rank k with probability proportional to 1 / (k + 1)^skew, skew >= 0. Nothing to free. */
void zipf_init(struct zipf *z, uint64_t n, double skew);
uint64_t zipf_draw(const struct zipf *z, struct rng *r);

#endif

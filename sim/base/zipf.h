/* SPDX-License-Identifier: MIT */
/* Draws from a Zipf distribution in constant time (Walker's alias method, built as Vose does). */
#ifndef QUIRE_BASE_ZIPF_H
#define QUIRE_BASE_ZIPF_H

#include "sim/base/rng.h"

#include <stdint.h>

struct zipf;

/* Ranks 0..n-1 (1 <= n <= 2^31), rank k with probability proportional to 1 / (k + 1)^skew. 12 bytes a rank. */
struct zipf *zipf_new(uint32_t n, double skew);
void zipf_free(struct zipf *z);
uint32_t zipf_draw(const struct zipf *z, struct rng *r);

#endif

/* SPDX-License-Identifier: MIT */
/* Log-linear histogram: 16 bins an octave, so a quantile is at most 1/16 too high. Fixed size, no allocation. */
#ifndef QUIRE_BASE_HIST_H
#define QUIRE_BASE_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 4
#define HIST_BINS     ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
    uint64_t n, sum, min, max; /* min is meaningless while n is 0 */
    uint64_t bin[HIST_BINS];
};

static inline uint32_t hist_bin(uint64_t v)
{
    if (v < (1u << HIST_SUB_BITS))
        return (uint32_t)v;
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(v) - HIST_SUB_BITS;
    return ((shift + 1) << HIST_SUB_BITS) + (uint32_t)((v >> shift) & ((1u << HIST_SUB_BITS) - 1));
}

static inline void hist_add(struct hist *h, uint64_t v)
{
    h->min = h->n == 0 || v < h->min ? v : h->min;
    h->max = v > h->max ? v : h->max;
    h->n++;
    h->sum += v;
    h->bin[hist_bin(v)]++;
}

/* Smallest bin top that at least permille/1000 of the values do not exceed, never above max; 0 when empty. */
uint64_t hist_quantile(const struct hist *h, uint32_t permille);

#endif

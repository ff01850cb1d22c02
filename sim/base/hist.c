/* SPDX-License-Identifier: MIT */
#include "sim/base/hist.h"

/* The largest value that falls into bin b. */
static uint64_t bin_top(uint32_t b)
{
    uint32_t sub = b & ((1u << HIST_SUB_BITS) - 1), octave = b >> HIST_SUB_BITS;
    if (octave == 0)
        return sub;
    return ((((uint64_t)1 << HIST_SUB_BITS) + sub + 1) << (octave - 1)) - 1;
}

uint64_t hist_quantile(const struct hist *h, uint32_t permille)
{
    uint64_t want = (uint64_t)(((unsigned __int128)h->n * permille + 999) / 1000), seen = 0;
    if (h->n == 0)
        return 0;
    if (want == 0)
        return h->min;
    for (uint32_t b = 0; b < HIST_BINS; b++) {
        seen += h->bin[b];
        if (seen >= want)
            return bin_top(b) < h->max ? bin_top(b) : h->max;
    }
    return h->max;
}

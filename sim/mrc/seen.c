/* SPDX-License-Identifier: MIT */
#include "sim/mrc/seen.h"

#include <math.h>

double mrc_seen_count(const struct mrc_seen *s)
{
    const double bits = (double)(1u << MRC_SEEN_SHIFT);
    uint64_t set = 0;
    for (uint32_t i = 0; i < sizeof s->word / sizeof s->word[0]; i++)
        set += (uint64_t)__builtin_popcountll(s->word[i]);
    double clear = bits - (double)set;
    return clear > bits / 64 ? bits * log(bits / clear) : 0;
}

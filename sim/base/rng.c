/* SPDX-License-Identifier: MIT */
#include "sim/base/rng.h"

void rng_init(struct rng *r, uint64_t seed, const char *name)
{
    uint64_t h = hash64(seed);
    for (; *name; name++)
        h = hash64(h ^ (uint8_t)*name);
    for (int i = 0; i < 4; i++)
        r->s[i] = h = hash64(h);
}

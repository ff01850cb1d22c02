/* SPDX-License-Identifier: MIT */
/* Inside sim/mrc: how many distinct ids were there, from one bit each in a table of fixed size (linear counting: Whang,
 * Vander-Zanden, Taylor, "A linear-time probabilistic counting algorithm for database applications", 1990). The
 * standard error is 0.03 % up to 10 M ids, 0.06 % at 30 M. */
#ifndef QUIRE_MRC_SEEN_H
#define QUIRE_MRC_SEEN_H

#include <stdint.h>

#define MRC_SEEN_SHIFT 23 /* log2 of the bits: 1 MiB */

struct mrc_seen {
    uint64_t word[1u << (MRC_SEEN_SHIFT - 6)];
};

/* Notes the id with this hash (sim/base/rng.h, hash64). */
static inline void mrc_seen_add(struct mrc_seen *s, uint64_t hash)
{
    s->word[hash >> (64 - MRC_SEEN_SHIFT + 6)] |= 1ull << ((hash >> (64 - MRC_SEEN_SHIFT)) & 63);
}

/* The number of distinct ids noted; 0 if there were too many to tell (about 35 M). */
double mrc_seen_count(const struct mrc_seen *s);

#endif

/* SPDX-License-Identifier: MIT */
/* Inside sim/mrc: the short end of the curve from stretches of the trace in which every id is followed. A stretch
 * begins with an empty stack; once it has seen MRC_HEAD_REACH distinct ids, every distance up to that is known exactly
 * and is counted. */
#ifndef QUIRE_MRC_HEAD_H
#define QUIRE_MRC_HEAD_H

#include <stdint.h>

#define MRC_HEAD_REACH 4096u

struct mrc_head_counts {
    uint64_t measured;                 /* accesses counted */
    uint64_t hits[MRC_HEAD_REACH + 1]; /* [distance] */
};

struct mrc_head;
struct mrc_head *mrc_head_new(void);
void mrc_head_free(struct mrc_head *h);
void mrc_head_feed(struct mrc_head *h, const uint64_t *ids, uint32_t n);
/* Moves the counts to *c and starts them anew; the stretch goes on. */
void mrc_head_take(struct mrc_head *h, struct mrc_head_counts *c);
/* Miss ratio of a cache of size <= MRC_HEAD_REACH entries; 1 if nothing was counted. */
double mrc_head_ratio(const struct mrc_head_counts *c, uint64_t size);

#endif

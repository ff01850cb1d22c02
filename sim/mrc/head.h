/* SPDX-License-Identifier: MIT */
/* Inside sim/mrc: the short end of the curve from stretches of the trace in which every id is followed.
 *
 * A stretch begins with an empty stack. While that holds c ids, an access to one of them has a known distance and any
 * other one a distance above c: a censored observation. Both count, by the product-limit estimator (Kaplan, Meier,
 * "Nonparametric estimation from incomplete observations", 1958), so nothing is spent on filling the stack. A stretch
 * stands for the accesses since the one before it, however many of them it follows. */
#ifndef QUIRE_MRC_HEAD_H
#define QUIRE_MRC_HEAD_H

#include "sim/mrc/lru.h"

#define MRC_HEAD_REACH 32768u /* no distance above this is told from another */
#define MRC_HEAD_FEED  512u   /* most ids of one call */

struct mrc_head;
/* The first stretch begins with the ids of stack, which is copied. */
struct mrc_head *mrc_head_new(const struct mrc_lru *stack);
void mrc_head_free(struct mrc_head *h);
void mrc_head_feed(struct mrc_head *h, const uint64_t *ids, uint32_t n);

/* Fills survival[0..MRC_HEAD_REACH]: the share of accesses with a distance above d. Returns the largest d for which the
 * stretches say enough; 0 if nothing was fed. *variance is that of the shares beyond long distances, estimated from how
 * the stretches differ; 0 if everything was followed. No feeding after it. */
uint64_t mrc_head_survival(struct mrc_head *h, double *survival, double *variance);

#endif

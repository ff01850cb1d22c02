/* SPDX-License-Identifier: MIT */
/* Memory for several virtual machines whose curves are known: who gets how much. */
#ifndef QUIRE_MRC_SPLIT_H
#define QUIRE_MRC_SPLIT_H

#include "sim/mrc/curve.h"

enum mrc_split_method {
    MRC_SPLIT_GREEDY,  /* grain after grain to whoever gains most from the next one */
    MRC_SPLIT_HULL,    /* the same on the lower convex hulls of the curves, which sees past plateaus */
    MRC_SPLIT_OPTIMUM, /* least misses in all, by dynamic programming over grains: exact */
};

/* Reads a curve as mrc_curve_print writes it. -1 after fail() with file and line. */
int mrc_curve_read(const char *path, struct mrc_curve *c, struct diag *d);
/* Misses of a cache of size entries: those of the largest point not above it; all accesses below the first. */
uint64_t mrc_curve_misses_at(const struct mrc_curve *c, uint64_t size);

/* Splits n_grains grains of grain entries each among n curves; grains[i] is what curve i gets, in grains; they add up
 * to n_grains. Ties go to the lower index. -1 after fail() (an optimum over more than 2^14 grains). */
int mrc_split(const struct mrc_curve *curve, uint32_t n, uint64_t grain, uint64_t n_grains,
              enum mrc_split_method method, uint64_t *grains, struct diag *d);

#endif

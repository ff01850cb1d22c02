/* SPDX-License-Identifier: MIT */
/* A miss-rate curve: misses at each of a list of cache sizes, and its CSV form. */
#ifndef QUIRE_MRC_CURVE_H
#define QUIRE_MRC_CURVE_H

#include "sim/base/diag.h"

#include <stdio.h>
#include <stdint.h>

struct mrc_curve {
    uint64_t accesses, distinct;
    uint64_t n;           /* points */
    uint64_t *size;       /* ascending, in units */
    uint64_t *misses;     /* at size[i] */
    uint64_t *writebacks; /* at size[i], or NULL */
    double *error;        /* standard error of misses[i]; NULL for exact curves */
};

void mrc_curve_free(struct mrc_curve *c);

/* The sizes of `auto`: 1..64, then 64 * 2^(k/16) rounded, up to and with the number of distinct ids. *size is to be
 * freed; returns how many. None for distinct 0. */
uint64_t mrc_sizes_auto(uint64_t distinct, uint64_t **size);
/* "auto" or "N,N,..." of positive numbers, which are sorted and freed of duplicates. For auto *size is NULL and *n 0.
 * -1 after fail(). */
int mrc_sizes_parse(const char *text, uint64_t **size, uint64_t *n, struct diag *d);

/* "size,misses,accesses,miss_ratio" and a line a point; the ratio has nine decimals. With errors there is a fifth
 * column, "miss_ratio_error". */
void mrc_curve_print(const struct mrc_curve *c, FILE *f);

#endif

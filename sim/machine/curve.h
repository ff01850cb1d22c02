/* SPDX-License-Identifier: MIT */
/* Curves of a run: reading its series.csv back, how far apart two of its curves are, and how far the miss-ratio curve
 * that a policy saw is from the true one. */
#ifndef QUIRE_MACHINE_CURVE_H
#define QUIRE_MACHINE_CURVE_H

#include "sim/base/diag.h"
#include "sim/machine/result.h"
#include "sim/mrc/lru.h"

#include <stdbool.h>
#include <stdint.h>

struct curve_point {
    const char *series, *label, *x_name;
    double x, y;
};

struct curves {
    char *text; /* the file; the points' names lie in it */
    struct curve_point *point;
    uint32_t n;
};

int curves_read(struct curves *c, const char *path, struct diag *d);
/* The same of a result that was not written. */
int curves_of(struct curves *c, const struct result *r, struct diag *d);
void curves_free(struct curves *c);

/* The largest |a - b| over the x of curve a that lie within curve b, b interpolated linearly; *at is that x. False if
 * either curve is missing or they do not overlap. Both curves must have their points in rising x. */
bool curves_gap(const struct curves *c, const char *series, const char *a, const char *b, double *gap, double *at);

/* One curve as it is made. All zero at first. */
struct curve_line {
    double *x, *y; /* rising x */
    uint32_t n, cap;
};
void curve_line_add(struct curve_line *l, double x, double y);
void curve_line_free(struct curve_line *l);
/* Linear between the points, the outermost value beyond them; n > 0. */
double curve_line_at(const struct curve_line *l, double x);

/* |seen - true| miss ratio over the sizes 1..distinct ids. */
struct curve_error {
    double mean, max;
    uint64_t max_at; /* the smallest size with it */
};
/* False if either curve is empty. */
bool curve_judge(const struct curve_line *seen, const struct mrc_lru *truth, struct curve_error *e);

void curve_line_state(struct curve_line *l, struct ckpt *c);

#endif

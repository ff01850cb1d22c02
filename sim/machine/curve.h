/* SPDX-License-Identifier: MIT */
/* Reading a run's series.csv back: its points, and how far apart two curves are. */
#ifndef QUIRE_MACHINE_CURVE_H
#define QUIRE_MACHINE_CURVE_H

#include "sim/base/diag.h"

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
void curves_free(struct curves *c);

/* The largest |a - b| over the x of curve a that lie within curve b, b interpolated linearly; *at is that x. False if
 * either curve is missing or they do not overlap. Both curves must have their points in rising x. */
bool curves_gap(const struct curves *c, const char *series, const char *a, const char *b, double *gap, double *at);

#endif

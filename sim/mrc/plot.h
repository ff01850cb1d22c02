/* SPDX-License-Identifier: MIT */
/* A curve drawn with characters: miss ratio over the logarithm of the cache size. */
#ifndef QUIRE_MRC_PLOT_H
#define QUIRE_MRC_PLOT_H

#include "sim/mrc/curve.h"

void mrc_plot(const struct mrc_curve *c, FILE *f);

#endif

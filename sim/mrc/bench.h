/* SPDX-License-Identifier: MIT */
/* Host speed of the miss-rate curves. */
#ifndef QUIRE_MRC_BENCH_H
#define QUIRE_MRC_BENCH_H

#include "sim/base/bench.h"

/* Rows "mrc.*". Always 0. */
int bench_mrc(struct bench *b);

#endif

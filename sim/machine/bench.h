/* SPDX-License-Identifier: MIT */
#ifndef QUIRE_MACHINE_BENCH_H
#define QUIRE_MACHINE_BENCH_H

#include "sim/base/bench.h"

/* Adds the rows of `quire bench replay`. -1 if a machine could not be built. */
int bench_replay(struct bench *b);

#endif

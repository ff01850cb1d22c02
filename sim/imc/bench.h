/* SPDX-License-Identifier: MIT */
#ifndef QUIRE_IMC_BENCH_H
#define QUIRE_IMC_BENCH_H

#include "sim/base/bench.h"

/* Adds the rows of `quire bench imc`: requests a second that the controllers of one node answer. -1: they could not be
 * built. */
int bench_imc(struct bench *b);

#endif

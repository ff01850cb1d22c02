/* SPDX-License-Identifier: MIT */
/* Host speed of reading traces. */
#ifndef QUIRE_TRACE_BENCH_H
#define QUIRE_TRACE_BENCH_H

#include "sim/base/bench.h"

/* Rows "trace.*". 0, or -1 when no temporary file can be written (one line on what failed is the row's note). */
int bench_trace(struct bench *b);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef QUIRE_CLI_BENCH_CPU_H
#define QUIRE_CLI_BENCH_CPU_H

#include "sim/base/bench.h"

/* Million instructions a second of the programs in workloads/ under each timing model, on the default machine with EPT,
 * and against qemu-x86_64 where that is installed. Needs the programs that `make` builds. */
int bench_cpu(struct bench *b);
/* Micro-benchmarks on the host and under the timing models, and what is in another order than on the host. */
int bench_timing(struct bench *b);
/* A program of workloads/, beside quire in a build folder or where it is installed; NULL: not there. The caller frees.
 */
char *bench_program_path(const char *name);

#endif

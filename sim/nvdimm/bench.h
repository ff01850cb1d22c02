/* SPDX-License-Identifier: MIT */
#ifndef QUIRE_NVDIMM_BENCH_H
#define QUIRE_NVDIMM_BENCH_H

#include "sim/base/bench.h"

/* Requests a second to one Optane-class module, by pattern and footprint. 0 or -1. */
int bench_nvdimm(struct bench *b);

#endif

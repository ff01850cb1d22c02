/* SPDX-License-Identifier: MIT */
/* What the benchmarks of persistent modules share; inside sim/machine only. */
#ifndef QUIRE_MACHINE_VALIDATE_PMEM_H
#define QUIRE_MACHINE_VALIDATE_PMEM_H

#include "sim/machine/validate.h"

/* One module: a machine with a single channel, the form of a non-interleaved namespace. */
enum place { ONE_DIMM, INTERLEAVED, REMOTE };

/* n threads of node 0 over persistent memory, thread_bytes for each; NULL after an error line. */
struct probe *pmem_probe(struct validate *v, uint32_t n, enum place place, uint64_t thread_bytes);
/* All threads access units of that size in that mode (enum probe_mode, or what a step makes of it). */
void pmem_threads(struct probe *p, uint64_t unit, enum probe_mode mode);
/* What the next access would wait for is waited for now, so that it leaves when its turn comes: one that is asked for
 * ahead of the other cores' clocks would hold up theirs. */
int pmem_in_turn(struct probe_thread *t, struct vcpu *v, probe_step *step);
/* Counters of all modules of the region's node. */
struct nvdimm_stats pmem_modules(const struct probe *p);

struct flow {
    double rate, ewr; /* GB/s; effective write ratio: bytes written by bytes of the media */
};
/* Once the threads have run for a while: what they move, and what the modules make of it. */
struct flow pmem_flow(struct validate *v, struct probe *p, probe_step *step);

#endif

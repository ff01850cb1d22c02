/* SPDX-License-Identifier: MIT */
/* Looking at programs while they run: a line an instruction, a profile by function, memory without touching it. */
#ifndef QUIRE_GUEST_EXEC_DEBUG_H
#define QUIRE_GUEST_EXEC_DEBUG_H

#include "sim/guest/exec.h"

struct exec_debug;

/* x->conf.trace_insn and x->conf.profile name files ("-": standard error). NULL in *out when neither is given. -1 with
 * d set if one cannot be written. */
int exec_debug_new(struct exec *x, struct exec_debug **out, struct diag *d);
/* Writes what there is to write; frees. */
int exec_debug_finish(struct exec_debug *g, struct diag *d);
void exec_debug_abort(struct exec_debug *g);

/* How many instructions may run before exec_debug_ran() has to be called. */
uint64_t exec_debug_stride(const struct exec_debug *g);
/* The processor is about to run, has run. */
void exec_debug_runs(struct exec_debug *g, struct exec_cpu *c);
void exec_debug_ran(struct exec_debug *g, struct exec_cpu *c);

/* At most n bytes of the memory of the processor's thread, without an access: no time passes, nothing is mapped. How
 * many there are up to the first page that is not mapped. */
uint64_t exec_peek(struct exec_cpu *c, uint64_t gva, void *buf, uint64_t n);
/* The function at an address of the processor's thread, as "name+0x12" or "". */
void exec_name_of(const struct exec_cpu *c, uint64_t address, char *out, size_t n);

#endif

/* SPDX-License-Identifier: MIT */
/* Inside programs in a VM: what the bus, the scheduler and the processes share. */
#ifndef QUIRE_GUEST_EXEC_INT_H
#define QUIRE_GUEST_EXEC_INT_H

#include "sim/guest/exec.h"

/* exec_bus.c */
extern const struct x86_bus exec_bus;
/* What is left in the buffers of non-temporal stores leaves. */
void exec_drain_wc(struct exec_cpu *c);
/* The vCPU may run on another CPU than before: the processor has that one's clock and caches. */
void exec_follow(struct exec_cpu *c);
/* Hits of model warm since the last call go where the other accesses are counted. */
void exec_count_warm(struct exec_cpu *c);
int exec_page_fault(struct vcpu *v, uint64_t gva, uint32_t access, struct diag *d);
/* One record of the trace that is written, if one is. */
void exec_note(struct exec_cpu *c, uint32_t kind, uint64_t addr, uint32_t size);

/* exec_sched.c */
/* Instructions that may still run; 0: no limit; UINT64_MAX: none. */
uint64_t exec_allowance(const struct exec *x);
int exec_run(struct vcpu *v, ps_t until_ps, struct diag *d);
void thread_ready(struct thread *t);
/* The processor has no thread any more; the thread keeps its registers. */
void exec_switch_out(struct exec_cpu *c);

/* exec_state.c */
void exec_state(struct vm *vm, struct ckpt *c);

#endif

/* SPDX-License-Identifier: MIT */
/* The Linux personality of programs in a VM: loading a static ELF, system calls, signals. */
#ifndef QUIRE_GUEST_LINUX_H
#define QUIRE_GUEST_LINUX_H

#include "sim/guest/exec.h"

#include <stdio.h>

/* The personality's state of the whole VM (x->os): files, root. -1 with d set. */
int linux_init(struct exec *x, struct diag *d);
void linux_fini(struct exec *x);

/* Loads x->conf.program into p (whose space is initialised and empty), builds its stack, sets up p->os. regs become
 * those of its first thread; v is the vCPU that pays. A thread does not exist yet: exec_fill() writes the bytes. Also
 * execve's way: then p->os exists, and argv comes from there. -1: bad program, one clear line in d. */
int linux_load(struct process *p, struct vcpu *v, struct x86_state *regs, struct diag *d);

/* SYSCALL by the running thread: number in RAX, arguments in RDI RSI RDX R10 R8 R9. Sets RAX, or makes the thread wait,
 * or ends it. */
void linux_syscall(struct thread *t);

/* A fault or trap of the running thread (thread_cpu(t)->x86.fault; INT3 too): a signal for its handler, or the end of
 * the process with a report on standard error. */
void linux_fault(struct thread *t, const struct x86_fault *f);
/* An instruction that the processor does not know: as SIGILL, and named in the report. */
void linux_unsupported(struct thread *t, const uint8_t *bytes, uint32_t n);
/* Before a thread goes on: pending signals. May end it. */
void linux_resume(struct thread *t);

/* A thread begins: t->os. */
void linux_thread_start(struct thread *t);
/* The thread is over: wakes who waits for its clear_child_tid, frees t->os. */
void linux_thread_end(struct thread *t);
/* The process is over: closes files, frees p->os, tells the parent. */
void linux_process_end(struct process *p);

/* What the run has to say at its end, on standard error: unknown system calls and how often. */
void linux_report(struct exec *x, FILE *to);

/* Everything of the VM, its processes and its threads, which exist, for a checkpoint. */
void linux_state(struct exec *x, struct ckpt *c);
/* After one that could not be read: p->os goes, without a word to anybody. */
void linux_forget(struct process *p);

#endif

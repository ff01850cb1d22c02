/* SPDX-License-Identifier: MIT */
/* A stub of gdb's remote protocol for programs in a VM ("Debugging with GDB", appendix E): registers, memory, software
 * breakpoints, single steps, threads, interrupts. While gdb has control no simulated time passes. */
#ifndef QUIRE_GUEST_EXEC_GDB_H
#define QUIRE_GUEST_EXEC_GDB_H

#include "sim/guest/exec.h"

struct exec_gdb;

/* Waits for gdb at where: a port of 127.0.0.1, or "unix:PATH". NULL with d set. */
struct exec_gdb *exec_gdb_new(struct exec *x, const char *where, struct diag *d);
/* The program has ended with x->status; the connection is closed. */
void exec_gdb_free(struct exec_gdb *g);

/* The processor is about to run: its breakpoints are set; at most how many instructions it may run (0: no limit). */
uint64_t exec_gdb_runs(struct exec_gdb *g, struct exec_cpu *c);
/* It has run and stopped so, before anything is done about it. gdb may take control here. */
void exec_gdb_ran(struct exec_gdb *g, struct exec_cpu *c, enum x86_stop stop);

#endif

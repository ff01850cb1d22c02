/* SPDX-License-Identifier: MIT */
/* A VM without the simulator's own kernel in it: a program for the bare machine, or a kernel, that starts by the PVH
 * protocol (Xen, docs/misc/pvh.pandoc), on processors in system mode. This is its platform: a local APIC a vCPU, a
 * serial port, a clock chip, and ports to end the run.
 *
 * Guest-physical memory: RAM from 0, with a hole for devices from 3 to 4 GiB (what lies above is moved behind it); the
 * persistent region; its flush hint. The memory map of the boot protocol says so.
 *
 * Ports: COM1 at 3f8; the clock chip at 70, 71; f4 ends the run with the value written as its status; resets by 64 (fe)
 * and cf9 (6, e) end it with 0. Others read as ones. */
#ifndef QUIRE_GUEST_BARE_H
#define QUIRE_GUEST_BARE_H

#include "sim/guest/elf.h"
#include "sim/guest/exec.h"

#define BARE_HOLE_GPA (3 * GIB) /* of devices */
#define BARE_HOLE_END (4 * GIB)
#define BARE_MAX_CPUS 255u /* xAPIC ids; ff is everybody */

struct bare;

/* What is to be done about a program: 0: it is none of this kind (or cannot be read: whoever loads it says so); 1: it
 * is, *image is to be given to bare_new(); -1: it is, but conf asks for what does not apply. */
int bare_find(const struct exec_conf *conf, const struct vm_setup *setup, struct elf **image, struct diag *d);
/* Guest-physical memory that the VM needs so that `bytes` are usable around the hole. */
uint64_t bare_vm_bytes(uint64_t bytes, uint64_t pmem_bytes);

/* The platform of x->vm. Takes the image over. Before the processors are made. */
struct bare *bare_new(struct exec *x, struct elf *image, uint64_t ram_bytes);
/* The processor of vCPU i, made by x86_cpu_init() with bare_bus, becomes a whole one. */
void bare_cpu_init(struct bare *b, struct exec_cpu *c);
/* The run is over: what it printed goes out; who ended by waiting for ever is told. */
void bare_finish(struct bare *b);
void bare_free(struct bare *b);

/* Where it is, for a checkpoint (bare_state.c). */
void bare_state(struct bare *b, struct ckpt *c);

/* As guest_ops.run, page_fault, device. */
int bare_run(struct vcpu *v, ps_t until_ps, struct diag *d);
int bare_page_fault(struct exec_cpu *c, uint64_t gva);
int bare_device(struct exec_cpu *c, uint64_t gpa, bool is_table, struct diag *d);

extern const struct x86_bus bare_bus;

/* For looking without touching: exec_peek() and exec_name_of() of such a VM. */
uint64_t bare_peek(struct exec_cpu *c, uint64_t gva, void *buf, uint64_t n);
uint64_t bare_peek_physical(struct exec_cpu *c, uint64_t gpa, void *buf, uint64_t n);
/* Writes past all rights, also code. Bytes written: what has no memory yet ends it. */
uint64_t bare_poke(struct exec_cpu *c, uint64_t at, bool is_physical, const void *bytes, uint64_t n);
/* What the vCPU does, in words. */
const char *bare_what(const struct exec_cpu *c);
const struct elf_symbol *bare_symbol(const struct exec_cpu *c, uint64_t address, uint64_t *offset);
/* The processor neither runs nor could at once: it waits for an interrupt, or to be started. */
bool bare_is_idle(const struct exec_cpu *c);

#endif

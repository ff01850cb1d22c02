/* SPDX-License-Identifier: MIT */
/* Inside the processor: system mode. For sim/cpu/x86_*.c only. */
#ifndef QUIRE_CPU_X86_SYS_H
#define QUIRE_CPU_X86_SYS_H

#include "sim/cpu/x86_int.h"

extern const struct x86_form x86_control_forms[], x86_segment_forms[], x86_deliver_forms[], x86_port_forms[],
    x86_legacy_forms[], x86_xsave_forms[];

/* ---- descriptors (SDM volume 3, 3.4.5); attributes are bits 40..55, as in struct x86_segment ---- */

#define X86_DESC_ACCESSED   1u
#define X86_DESC_WRITABLE   2u /* data; code: readable */
#define X86_DESC_CONFORMING 4u /* code; data: expand down */
#define X86_DESC_CODE       8u
#define X86_DESC_TYPE       15u
#define X86_DESC_S          16u /* code or data, not a system segment */
#define X86_DESC_DPL(a)     ((a) >> 5 & 3u)
#define X86_DESC_P          128u
#define X86_DESC_L          0x2000u
#define X86_DESC_DB         0x4000u
#define X86_DESC_G          0x8000u
/* Not in a descriptor: bit 8 of attributes, of the limit's place: the register holds a null selector. */
#define X86_DESC_UNUSABLE 0x100u

struct x86_descriptor {
    uint64_t raw[2]; /* the second half: of system segments in long mode */
    uint64_t at;     /* where it lies */
    struct x86_segment seg;
};

/* ---- x86_mode.c ---- */

/* What follows from the state is made anew: mode, rights, views, bases. Nothing is flushed. */
void x86_refresh(struct x86_cpu *cpu);
/* The same where only cpl, AC, CR0.WP, SMAP or is_implicit may have changed. */
void x86_refresh_rights(struct x86_cpu *cpu);
/* The processor's own accesses (SDM volume 3, 4.6.1: implicit supervisor-mode). */
void x86_begin_implicit(struct x86_cpu *cpu);
void x86_end_implicit(struct x86_cpu *cpu);
/* The same as a load and a store: false leaves cpu->fault. */
bool x86_load_system(struct x86_cpu *cpu, uint64_t gva, void *buf, uint32_t len);
bool x86_store_system(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len);
/* The guest dropped translations: here and, by the bus, in the simulated TLBs. */
void x86_drop(struct x86_cpu *cpu, enum x86_tlb_drop what, uint64_t gva, uint32_t pcid);
/* Something waits that the next block must look at: an interrupt that may come, a trap. */
bool x86_has_event(const struct x86_cpu *cpu);
/* After a change of IF, TF, the line: every block enters slowly from now on if it has to. */
void x86_watch_events(struct x86_cpu *cpu);

static inline bool x86_is_long(const struct x86_cpu *cpu)
{
    return cpu->state.efer & X86_EFER_LMA;
}
static inline bool x86_is_64bit(const struct x86_cpu *cpu)
{
    return (cpu->context & X86_MODE_BITS) == X86_MODE_64;
}
static inline bool x86_is_real(const struct x86_cpu *cpu)
{
    return !(cpu->state.cr0 & X86_CR0_PE);
}
static inline bool x86_is_canonical(uint64_t gva)
{
    return (uint64_t)((int64_t)(gva << 16) >> 16) == gva;
}
static inline uint32_t x86_iopl(const struct x86_cpu *cpu)
{
    return (cpu->state.other_flags & X86_IOPL) >> 12;
}
/* The address behind the instruction, linear. */
static inline uint64_t x86_behind(const struct x86_cpu *cpu, const struct x86_op *op)
{
    return cpu->block->rip + op->at + op->len;
}
/* A linear address of code as the guest sees it: without the base of CS. In 64-bit mode that base is 0. */
static inline uint64_t x86_offset(const struct x86_cpu *cpu, uint64_t rip)
{
    return (rip - (cpu->context >> 8)) & cpu->linear;
}
/* Goes on behind an operation that ended its block and may have changed what the next one needs. */
const struct x86_op *x86_done(struct x86_cpu *cpu, const struct x86_op *op);
/* cpu->fault = that fault, of the operation or of the processor; false, for the caller to return. */
bool x86_refuse(struct x86_cpu *cpu, enum x86_vector vector, uint32_t code);

#endif

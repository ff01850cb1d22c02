/* SPDX-License-Identifier: MIT */
/* Inside the processor: system mode. For sim/cpu/x86_*.c only. */
#ifndef QUIRE_CPU_X86_SYS_H
#define QUIRE_CPU_X86_SYS_H

#include "sim/cpu/x86_int.h"

extern const struct x86_form x86_control_forms[], x86_msr_forms[], x86_far_forms[], x86_deliver_forms[],
    x86_port_forms[], x86_xsave_forms[], x86_guarded_forms[];
/* All of them; ended by NULL; searched before the others in system mode. */
extern const struct x86_form *const x86_system_tables[];
/* In code of 32 and 16 bits, before any other table. */
extern const struct x86_form x86_legacy_forms[], x86_bcd_forms[];
enum x86_legacy {
    X86_LEGACY_CALL,
    X86_LEGACY_CALL_INDIRECT,
    X86_LEGACY_JMP_INDIRECT,
    X86_LEGACY_RET,
    X86_LEGACY_PUSH,
    X86_LEGACY_POP,
    X86_LEGACY_N
};
extern x86_fn *const x86_legacy_branch[X86_LEGACY_N];

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

/* ---- x86_segment.c; false: cpu->fault is set. ext: bit 0 of error codes, an event of outside ---- */

struct x86_segment x86_unpack_segment(uint16_t selector, uint64_t raw);
/* The descriptor, from its table; outside the table: the vector with the selector. */
bool x86_read_descriptor(struct x86_cpu *cpu, uint16_t selector, enum x86_vector vector, uint32_t ext,
                         struct x86_descriptor *d);
/* Sets bits of its type (accessed, busy) in the table and in d. */
bool x86_mark_descriptor(struct x86_cpu *cpu, struct x86_descriptor *d, uint32_t type_bits);
/* MOV, POP, LxS of ES, SS, DS, FS, GS. */
bool x86_load_segment(struct x86_cpu *cpu, enum x86_seg seg, uint16_t selector);
/* Of the new stack at cpl; the vector is that of a selector that will not do. */
bool x86_check_stack_segment(struct x86_cpu *cpu, uint16_t selector, uint32_t cpl, enum x86_vector vector, uint32_t ext,
                             struct x86_descriptor *d);
/* It is a code segment that the mode can have; neither privilege nor presence. */
bool x86_check_code_segment(struct x86_cpu *cpu, uint16_t selector, uint32_t ext, struct x86_descriptor *d);
/* After a return outwards: data segments that the new level may not have become null. */
void x86_hide_segments(struct x86_cpu *cpu);
/* CS and CPL, and what follows from them. */
void x86_put_code_segment(struct x86_cpu *cpu, struct x86_segment seg, uint32_t cpl);
/* Linear address of offset in a code segment. */
bool x86_target(struct x86_cpu *cpu, const struct x86_segment *cs, uint64_t offset, uint32_t ext, uint64_t *rip);

/* Where a far transfer goes. */
struct x86_far {
    struct x86_segment cs;
    uint64_t rip; /* linear */
    uint32_t cpl;
};
/* Of JMP and CALL: a code segment; of RET and IRET; the stack that those find with it. */
bool x86_far_target(struct x86_cpu *cpu, uint16_t selector, uint64_t offset, struct x86_far *f);
bool x86_return_target(struct x86_cpu *cpu, uint16_t selector, uint64_t offset, struct x86_far *f);
bool x86_return_stack(struct x86_cpu *cpu, uint16_t selector, const struct x86_far *f, struct x86_segment *ss);

/* ---- x86_legacy.c: the stack as the mode has it ---- */

bool x86_push(struct x86_cpu *cpu, const struct x86_op *op, uint64_t v, uint32_t n);
/* n bytes, so many above the top; the stack pointer stays. */
bool x86_peek(struct x86_cpu *cpu, const struct x86_op *op, uint32_t above, uint32_t n, uint64_t *v);
void x86_move_stack(struct x86_cpu *cpu, int64_t bytes);

/* ---- x86_deliver.c ---- */

struct x86_event {
    uint8_t vector;
    bool is_soft;     /* INT n, INT3, INTO: the gate's DPL counts */
    bool is_external; /* EXT of error codes: an exception or an interrupt */
    bool is_fault;    /* RF is set in the image of the flags */
    bool has_code;
    uint32_t code;
    uint64_t rip; /* linear: where the handler returns to */
};
/* Enters the handler. False: it could not, and cpu->fault says why; nothing of the state has changed. */
bool x86_deliver(struct x86_cpu *cpu, const struct x86_event *e);
/* The run has ended with cpu->stop and, of a fault, cpu->fault; system mode. True: it goes on at state.rip. */
bool x86_go_on(struct x86_cpu *cpu);

/* ---- picked by the decoder: x86_control.c, x86_far.c, x86_legacy.c ---- */

X86_OP(load_seg);       /* ends its block: SS */
X86_OP(load_seg_plain); /* does not */
X86_OP(push_seg);
X86_OP(pop_seg);
X86_OP(jmp_far);
X86_OP(call_far);
X86_OP(ret_far);
X86_OP(popf_system);
X86_OP(no_sse); /* #NM or #UD by CR0 and CR4 */
X86_OP(mov_to_cr);
X86_OP(mov_from_cr);
X86_OP(mov_to_dr);
X86_OP(mov_from_dr);
/* SGDT, SIDT, SLDT, STR, SMSW are #GP here: CR4.UMIP. */
bool x86_is_hidden(const struct x86_cpu *cpu);

/* ---- x86_step.c ---- */

#define X86_DR6_BS (1u << 14) /* single step */

struct x86_undo *x86_undo_new(void);
/* Do instructions run one at a time: TF, breakpoints, unmasked SSE exceptions? */
bool x86_steps(const struct x86_cpu *cpu);
/* Before a block: *take becomes 1 where they do. False: a breakpoint, in cpu->fault. */
bool x86_step(struct x86_cpu *cpu, const struct x86_block *b, uint32_t *take);
/* A run begins: whatever ended the last one was no SSE instruction's exception. */
void x86_disarm(struct x86_cpu *cpu);
/* Did the last instruction raise an unmasked SSE exception? Then it is undone, and the exception in cpu->fault. */
bool x86_sse_faulted(struct x86_cpu *cpu);
/* Data breakpoints: on the page of gva; an access that may hit some. */
bool x86_watches_page(const struct x86_cpu *cpu, uint64_t gva);
void x86_watched(struct x86_cpu *cpu, uint64_t gva, uint32_t len, bool is_write);
X86_OP(ldmxcsr);
X86_OP(fxrstor);
X86_OP(xrstor);
X86_OP(ldmxcsr_system);
X86_OP(fxrstor_system);
X86_OP(xrstor_system);

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
    return (rip - (cpu->context >> X86_MODE_SHIFT)) & cpu->linear;
}
/* Goes on behind an operation that ended its block and may have changed what the next one needs. The handlers of system
 * mode return the next operation to the loop, by this or x86_find(): addresses of their locals escape, so that a call
 * of it would keep its frame. */
const struct x86_op *x86_done(struct x86_cpu *cpu, const struct x86_op *op);
/* cpu->fault = that fault, of the operation or of the processor; false, for the caller to return. */
bool x86_refuse(struct x86_cpu *cpu, enum x86_vector vector, uint32_t code);
/* The same without an error code. */
bool x86_refuse_plain(struct x86_cpu *cpu, enum x86_vector vector);

#endif

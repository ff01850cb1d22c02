/* SPDX-License-Identifier: MIT */
/* Inside the processor: what the x87 and MMX handlers share. The decoder puts an x87 instruction's opcode into op->imm:
 * bits 0..7 ModRM, 8..10 the low bits of the opcode D8..DF, 16: the operand size is 16 bits.
 *
 * state.x87.tw holds 0 (in use) or 3 (empty) a register; the other tags are made when an environment is stored. */
#ifndef QUIRE_CPU_X86_FPU_H
#define QUIRE_CPU_X86_FPU_H

#include "sim/cpu/x86_code.h"

#include <Zydis/Mnemonic.h>

extern const struct x86_form x86_fpu_forms[], x86_fpu_move_forms[], x86_fpu_state_forms[], x86_fpu_math_forms[],
    x86_mmx_forms[];

/* Status word (SDM volume 1, 8.1.3). */
#define FSW_IE  0x0001u
#define FSW_DE  0x0002u
#define FSW_ZE  0x0004u
#define FSW_UE  0x0010u
#define FSW_PE  0x0020u
#define FSW_ALL 0x003fu
#define FSW_SF  0x0040u
#define FSW_ES  0x0080u
#define FSW_C0  0x0100u
#define FSW_C1  0x0200u
#define FSW_C2  0x0400u
#define FSW_C3  0x4000u
#define FSW_B   0x8000u
#define FSW_TOP 0x3800u
/* Exceptions found before the operation: unmasked, they keep operands and stack as they were. */
#define FSW_EARLY (FSW_IE | FSW_DE | FSW_ZE)

#define CR0_EM 4u
#define CR0_TS 8u

static inline uint32_t fpu_physical(const struct x86_x87 *f, uint32_t i)
{
    return ((f->sw >> 11) + i) & 7;
}
static inline union x86_fpr *fpu_st(struct x86_x87 *f, uint32_t i)
{
    return &f->r[fpu_physical(f, i)];
}
static inline bool fpu_is_empty(const struct x86_x87 *f, uint32_t i)
{
    return f->tw >> 2 * fpu_physical(f, i) & 1;
}
static inline void fpu_tag(struct x86_x87 *f, uint32_t i, bool is_empty)
{
    uint32_t at = 2 * fpu_physical(f, i);
    f->tw = (uint16_t)((f->tw & ~(3u << at)) | (is_empty ? 3u << at : 0));
}
static inline void fpu_turn(struct x86_x87 *f, uint32_t by)
{
    f->sw = (uint16_t)((f->sw & ~FSW_TOP) | ((f->sw + (by << 11)) & FSW_TOP));
}
static inline void fpu_pop(struct x86_x87 *f)
{
    fpu_tag(f, 0, true);
    fpu_turn(f, 1);
}
static inline void fpu_set(struct x86_x87 *f, uint32_t i, const union x86_fpr *v)
{
    memcpy(fpu_st(f, i), v, 10);
    fpu_tag(f, i, false);
}
static inline union x86_fpr fpu_indefinite(void)
{
    return (union x86_fpr){.u16 = {0, 0, 0, 0xc000, 0xffff}};
}
/* ES and B follow from the flags and their masks. */
static inline void fpu_summarize(struct x86_x87 *f)
{
    f->sw = (uint16_t)((f->sw & ~(FSW_ES | FSW_B)) | (f->sw & ~f->cw & FSW_ALL ? FSW_ES | FSW_B : 0));
}
/* Takes exceptions and condition bits (in which) over. False: an unmasked exception forbids the result. */
static inline bool fpu_flags(struct x86_x87 *f, uint32_t sw, uint32_t which)
{
    f->sw = (uint16_t)((f->sw & ~which) | (sw & (which | FSW_ALL | FSW_SF)));
    fpu_summarize(f);
    return !(sw & ~(uint32_t)f->cw & FSW_EARLY);
}

/* False: the instruction faults (#NM, or #MF of an earlier one); leave with x86_stop(). */
bool fpu_begin(struct x86_cpu *cpu);
/* The same for MMX. */
bool fpu_begin_mmx(struct x86_cpu *cpu);

#endif

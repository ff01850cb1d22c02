/* SPDX-License-Identifier: MIT */
/* Inside the processor: the handlers of integer instructions, as tables that sim/cpu/x86_pick.c picks from. */
#ifndef QUIRE_CPU_X86_INT_H
#define QUIRE_CPU_X86_INT_H

#include "sim/cpu/x86_code.h"

/* Two-operand forms: destination, source; R register, M memory, I immediate. */
enum x86_form_kind { X86_RR, X86_RI, X86_RM, X86_MR, X86_MI, X86_N_KINDS };
enum x86_alu_op { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST, ALU_N };
enum x86_unary_op { UNARY_INC, UNARY_DEC, UNARY_NEG, UNARY_NOT, UNARY_N };
enum x86_shift_op { SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAR, SHIFT_N };
enum x86_widen { WIDEN_ZX8, WIDEN_ZX16, WIDEN_SX8, WIDEN_SX16, WIDEN_SX32, WIDEN_N };

/* Sizes are log2 of bytes. Last index of x86_alu: 1 = flags are not wanted. */
extern x86_fn *const x86_alu[ALU_N][X86_N_KINDS][4][2];
extern x86_fn *const x86_unary[UNARY_N][2][4]; /* [1]: memory */
extern x86_fn *const x86_mov[X86_N_KINDS][4];
extern x86_fn *const x86_mov_base[2][4];       /* load, store with base + displacement only */
extern x86_fn *const x86_widen[WIDEN_N][2][4]; /* [1]: from memory; size of the destination */
extern x86_fn *const x86_shift[SHIFT_N];       /* any form and size */
extern x86_fn *const x86_shift_imm[3][2];      /* SHL SHR SAR of a register by a constant, 32 and 64 bits */
extern x86_fn *const x86_jcc[16], *const x86_setcc[16][2], *const x86_cmov[16][2];
/* CMP and TEST with a conditional jump: NULL where there is none. */
extern x86_fn *const x86_cmp_jcc[X86_N_KINDS][4][16], *const x86_test_jcc[X86_N_KINDS][4][16];

X86_OP(xchg);
X86_OP(movsxd16);
X86_OP(mul);
X86_OP(imul);
X86_OP(div);
X86_OP(idiv);
X86_OP(shld);
X86_OP(shrd);
X86_OP(mov_imm64);
X86_OP(lea);
X86_OP(lea_fast);
X86_OP(jmp);
X86_OP(jmp_indirect);
X86_OP(call);
X86_OP(call_indirect);
X86_OP(ret);
X86_OP(end); /* not an instruction: the block goes on at link.rip[0] */
X86_OP(push_reg);
X86_OP(pop_reg);
X86_OP(mov_from_seg);
X86_OP(mov_to_seg);
X86_OP(ud);
X86_OP(too_long);
X86_OP(unsupported);
X86_OP(privileged); /* #GP in user mode */

/* Everything else, by mnemonic: x86_int.c, x86_bits.c, x86_string.c, x86_system.c. */
extern const struct x86_form x86_int_forms[], x86_bits_forms[], x86_string_forms[], x86_system_forms[];

#define FL_OF 0x0001u
#define FL_CF 0x0100u
#define FL_PF 0x0400u
#define FL_AF 0x1000u
#define FL_ZF 0x4000u
#define FL_SF 0x8000u

/* Condition 0..15 of ax_flags (SDM volume 1, appendix B). cc is a constant where speed matters. */
static inline bool x86_condition(uint32_t f, uint32_t cc)
{
    bool r = false;
    switch (cc >> 1) {
    case 0:
        r = f & FL_OF;
        break;
    case 1:
        r = f & FL_CF;
        break;
    case 2:
        r = f & FL_ZF;
        break;
    case 3:
        r = f & (FL_CF | FL_ZF);
        break;
    case 4:
        r = f & FL_SF;
        break;
    case 5:
        r = f & FL_PF;
        break;
    case 6:
        r = (f >> 15 ^ f) & 1;
        break;
    default:
        r = ((f >> 15 ^ f) & 1) || f & FL_ZF;
        break;
    }
    return r ^ (cc & 1);
}

/* The low n bytes of v, zero-extended and sign-extended. */
static inline uint64_t x86_cut(uint64_t v, uint32_t n)
{
    return n == 8 ? v : v & ((1ull << n * 8) - 1);
}
static inline int64_t x86_extend(uint64_t v, uint32_t n)
{
    uint32_t s = 64 - n * 8;
    return (int64_t)(v << s) >> s;
}

/* SF ZF PF of a result of n bytes, as in ax_flags. */
static inline uint32_t x86_szp(uint64_t v, uint32_t n)
{
    uint32_t bits = n * 8;
    uint64_t cut = n == 8 ? v : v & ((1ull << bits) - 1);
    return (cut ? 0 : FL_ZF) | ((cut >> (bits - 1)) ? FL_SF : 0) |
           (__builtin_parity((unsigned)(cut & 0xff)) ? 0 : FL_PF) | 0x200u;
}

/* The operand that is register dst or memory (an instruction with one r/m operand, or with it first): its value. */
static inline bool x86_get_rm(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n, bool for_write, uint64_t *v)
{
    *v = 0;
    if (op->flags & X86F_MEM) {
        struct x86_value r = x86_load_value(cpu, op, x86_address(cpu, op), n, for_write);
        *v = r.v;
        return r.ok;
    }
    memcpy(v, (const uint8_t *)cpu->state.gpr + op->dst, n);
    return true;
}
/* Writes it; the registers of its address are unchanged since. */
static inline bool x86_put_rm(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n, uint64_t v)
{
    if (op->flags & X86F_MEM)
        return x86_store_value(cpu, op, x86_address(cpu, op), v, n);
    x86_put_gpr(cpu, op->dst, n, v);
    return true;
}

#endif

/* SPDX-License-Identifier: MIT */
/* What 64-bit mode has dropped: decimal adjustments, BOUND, ARPL, SALC, and ENTER with the frames of enclosing
 * procedures (SDM volume 2). Flags that are undefined keep their values, or follow AL. */
#include "sim/cpu/x86_sys.h"

#include <Zydis/Mnemonic.h>

#define AL (*(uint8_t *)&cpu->state.gpr[X86_RAX])
#define AH (*((uint8_t *)&cpu->state.gpr[X86_RAX] + 1))

static void put_flags(struct x86_cpu *cpu, uint32_t keep, uint32_t set)
{
    cpu->state.ax_flags = (uint16_t)((cpu->state.ax_flags & keep) | set);
}

/* DAA and DAS: the digits of AL after an addition or subtraction of two digits each. */
static const struct x86_op *adjust_packed(struct x86_cpu *cpu, const struct x86_op *op, bool is_sub)
{
    uint32_t f = cpu->state.ax_flags, old = AL, by = 0, set = 0;
    if ((old & 15) > 9 || f & FL_AF) {
        by = 6;
        set = FL_AF | (is_sub && old < 6 ? FL_CF : 0) | (f & FL_CF);
    }
    if (old > 0x99 || f & FL_CF) {
        by += 0x60;
        set |= FL_CF;
    } else if (!is_sub) {
        set &= ~FL_CF;
    }
    AL = (uint8_t)(is_sub ? old - by : old + by);
    put_flags(cpu, FL_OF, set | x86_szp(AL, 1));
    return x86_next(op);
}
static X86_OP(daa)
{
    return adjust_packed(cpu, op, false);
}
static X86_OP(das)
{
    return adjust_packed(cpu, op, true);
}

/* AAA and AAS: one digit in AL, the carry goes into AH. */
static const struct x86_op *adjust_digit(struct x86_cpu *cpu, const struct x86_op *op, bool is_sub)
{
    uint32_t f = cpu->state.ax_flags, ax = (uint32_t)cpu->state.gpr[X86_RAX] & 0xffff, set = 0;
    if ((ax & 15) > 9 || f & FL_AF) {
        ax = is_sub ? ax - 0x106 : ax + 0x106;
        set = FL_AF | FL_CF;
    }
    x86_put_gpr(cpu, 8 * X86_RAX, 2, ax & 0xff0f);
    put_flags(cpu, (uint16_t) ~(FL_AF | FL_CF), set);
    return x86_next(op);
}
static X86_OP(aaa)
{
    return adjust_digit(cpu, op, false);
}
static X86_OP(aas)
{
    return adjust_digit(cpu, op, true);
}

static X86_OP(aam)
{
    uint32_t base = (uint32_t)op->imm & 0xff, al = AL;
    if (!base)
        return x86_raise(cpu, op, X86_DE);
    AH = (uint8_t)(al / base);
    AL = (uint8_t)(al % base);
    put_flags(cpu, 0, x86_szp(AL, 1));
    return x86_next(op);
}
static X86_OP(aad)
{
    AL = (uint8_t)(AL + AH * ((uint32_t)op->imm & 0xff));
    AH = 0;
    put_flags(cpu, 0, x86_szp(AL, 1));
    return x86_next(op);
}

static X86_OP(salc)
{
    AL = cpu->state.ax_flags & FL_CF ? 0xff : 0;
    return x86_next(op);
}

/* Two bounds in memory, signed, both inside. */
static X86_OP(bound)
{
    uint32_t n = op->imm == 16 ? 2 : 4;
    uint64_t gva = x86_address(cpu, op), lower = 0, upper = 0;
    if (!x86_load(cpu, op, gva, &lower, n) || !x86_load(cpu, op, gva + n, &upper, n))
        return x86_stop(cpu, op);
    int64_t v = x86_extend(X86_REG(cpu, op->dst, uint64_t), n);
    if (v < x86_extend(lower, n) || v > x86_extend(upper, n))
        return x86_raise(cpu, op, X86_BR);
    return x86_next(op);
}

/* The selector's RPL becomes at least the other's. */
static X86_OP(arpl)
{
    uint64_t v;
    uint32_t other = ((const uint8_t *)cpu->state.gpr)[op->src] & 3u;
    if (x86_is_real(cpu))
        return x86_raise(cpu, op, X86_UD);
    if (!x86_get_rm(cpu, op, 2, true, &v))
        return x86_stop(cpu, op);
    bool is_less = (v & 3) < other;
    if (is_less && !x86_put_rm(cpu, op, 2, (v & ~3ull) | other))
        return x86_stop(cpu, op);
    put_flags(cpu, (uint16_t)~FL_ZF, is_less ? FL_ZF : 0);
    return x86_next(op);
}

static X86_OP(enter_legacy)
{
    uint64_t *g = cpu->state.gpr, rsp = g[X86_RSP], mask = cpu->context & X86_MODE_STACK ? UINT32_MAX : 0xffff, v;
    uint32_t n = op->size, levels = op->shift & 31u;
    bool ok = x86_push(cpu, op, g[X86_RBP], n);
    uint64_t frame = g[X86_RSP];
    for (uint32_t i = 1; ok && i < levels; i++) {
        uint32_t above = (uint32_t)((g[X86_RBP] - (uint64_t)i * n - g[X86_RSP]) & mask);
        ok = x86_peek(cpu, op, above, n, &v) && x86_push(cpu, op, v, n);
    }
    ok = ok && (!levels || x86_push(cpu, op, frame, n));
    x86_move_stack(cpu, -(int64_t)((uint32_t)op->imm & 0xffff));
    if (!ok || !x86_peek(cpu, op, 0, n, &v)) {
        g[X86_RSP] = rsp;
        return x86_stop(cpu, op);
    }
    x86_put_gpr(cpu, 8 * X86_RBP, n, frame);
    return x86_next(op);
}

#define F(name, fn)                                                                                                    \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##name, x86_op_##fn, 0                                                                          \
    }
const struct x86_form x86_bcd_forms[] = {
    F(DAA, daa),  F(DAS, das),   F(AAA, aaa),     F(AAS, aas),   F(AAM, aam),
    F(AAD, aad),  F(SALC, salc), F(BOUND, bound), F(ARPL, arpl), F(ENTER, enter_legacy),
    {0, NULL, 0},
};

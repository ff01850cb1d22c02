/* SPDX-License-Identifier: MIT */
/* PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM, by their definition (SDM volume 2, 4.1). */
#include "sim/cpu/x86_sse.h"

/* Element i of a vector of bytes or words, signed or not. */
static int32_t element(const union x86_xmm *v, uint32_t i, uint32_t imm)
{
    switch (imm & 3) {
    case 0:
        return v->u8[i];
    case 1:
        return v->u16[i];
    case 2:
        return v->s8[i];
    default:
        return v->s16[i];
    }
}

static uint32_t implicit_length(const union x86_xmm *v, uint32_t n, uint32_t imm)
{
    uint32_t i = 0;
    while (i < n && element(v, i, imm))
        i++;
    return i;
}

static uint32_t explicit_length(uint64_t reg, bool is_wide, uint32_t n)
{
    int64_t v = is_wide ? (int64_t)reg : (int32_t)reg;
    uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    return size < n ? (uint32_t)size : n;
}

/* Does element j of b belong to what a says? */
static bool matches(const union x86_xmm *a, uint32_t len_a, const union x86_xmm *b, uint32_t len_b, uint32_t j,
                    uint32_t n, uint32_t imm)
{
    switch (imm >> 2 & 3) {
    case 0: /* any of the set a */
        for (uint32_t i = 0; i < len_a && j < len_b; i++)
            if (element(a, i, imm) == element(b, j, imm))
                return true;
        return false;
    case 1: /* in one of a's ranges */
        for (uint32_t i = 0; i + 1 < len_a && j < len_b; i += 2)
            if (element(b, j, imm) >= element(a, i, imm) && element(b, j, imm) <= element(a, i + 1, imm))
                return true;
        return false;
    case 2: /* equal at the same place; both ended is equal too */
        if (j >= len_a || j >= len_b)
            return j >= len_a && j >= len_b;
        return element(a, j, imm) == element(b, j, imm);
    default: /* a, as far as it goes, begins here */
        for (uint32_t i = 0; i < len_a && j + i < n; i++)
            if (j + i >= len_b || element(a, i, imm) != element(b, j + i, imm))
                return false;
        return true;
    }
}

static uint32_t compare(const union x86_xmm *a, uint32_t len_a, const union x86_xmm *b, uint32_t len_b, uint32_t n,
                        uint32_t imm)
{
    uint32_t r = 0;
    for (uint32_t j = 0; j < n; j++)
        r |= (uint32_t)matches(a, len_a, b, len_b, j, n, imm) << j;
    uint32_t all = (1u << n) - 1, valid = (1u << len_b) - 1;
    if ((imm >> 4 & 3) == 1)
        r ^= all;
    else if ((imm >> 4 & 3) == 3)
        r ^= valid;
    return r & all;
}

static void put_index(struct x86_cpu *cpu, uint32_t r, uint32_t n, uint32_t imm)
{
    uint32_t index = !r ? n : imm & 64 ? 31u - (uint32_t)__builtin_clz(r) : (uint32_t)__builtin_ctz(r);
    cpu->state.gpr[X86_RCX] = index;
}

static void put_mask(struct x86_cpu *cpu, uint32_t r, uint32_t n, uint32_t imm)
{
    union x86_xmm m = {.u64 = {r, 0}};
    for (uint32_t i = 0; i < n && imm & 64; i++) {
        if (n == 16)
            m.u8[i] = r >> i & 1 ? 0xff : 0;
        else
            m.u16[i] = r >> i & 1 ? 0xffff : 0;
    }
    cpu->state.xmm[0] = m;
}

static const struct x86_op *run(struct x86_cpu *cpu, const struct x86_op *op, bool is_explicit, bool to_mask)
{
    union x86_xmm b, a = cpu->state.xmm[op->dst];
    uint32_t imm = (uint32_t)op->imm & 0xff, n = imm & 1 ? 8 : 16, len_a, len_b;
    if (!x86_src128(cpu, op, false, &b.i))
        return x86_stop(cpu, op);
    if (is_explicit) {
        len_a = explicit_length(cpu->state.gpr[X86_RAX], op->flags & X86F_REXW, n);
        len_b = explicit_length(cpu->state.gpr[X86_RDX], op->flags & X86F_REXW, n);
    } else {
        len_a = implicit_length(&a, n, imm);
        len_b = implicit_length(&b, n, imm);
    }
    uint32_t r = compare(&a, len_a, &b, len_b, n, imm);
    if (to_mask)
        put_mask(cpu, r, n, imm);
    else
        put_index(cpu, r, n, imm);
    x86_put_flags(cpu, (r ? X86_CF : 0) | (len_b < n ? X86_ZF : 0) | (len_a < n ? X86_SF : 0) | (r & 1 ? X86_OF : 0));
    return x86_next(op);
}

#define VARIANT(name, is_explicit, to_mask)                                                                            \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        return run(cpu, op, is_explicit, to_mask);                                                                     \
    }
VARIANT(pcmpestri, true, false)
VARIANT(pcmpestrm, true, true)
VARIANT(pcmpistri, false, false)
VARIANT(pcmpistrm, false, true)

const struct x86_form x86_sse_string_forms[] = {
    {ZYDIS_MNEMONIC_PCMPESTRI, x86_op_pcmpestri, 0},
    {ZYDIS_MNEMONIC_PCMPESTRM, x86_op_pcmpestrm, 0},
    {ZYDIS_MNEMONIC_PCMPISTRI, x86_op_pcmpistri, 0},
    {ZYDIS_MNEMONIC_PCMPISTRM, x86_op_pcmpistrm, 0},
    {0, NULL, 0},
};

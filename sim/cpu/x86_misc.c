/* SPDX-License-Identifier: MIT */
/* Exchanges, the stack, flags, sign extensions, counted loops. Locked instructions are the plain ones: nobody comes in
 * between. */
#include "sim/cpu/x86_int.h"

#include <Zydis/Mnemonic.h>

#define R(off, T) X86_REG(cpu, off, T)

/* ---- exchanges ---- */

X86_OP(xchg)
{
    uint64_t a;
    uint32_t n = op->size;
    if (op->flags & X86F_MEM && !(op->flags & X86F_MEM_DST)) { /* XCHG r, m is the same as XCHG m, r */
        struct x86_op other = *op;
        other.flags |= X86F_MEM_DST;
        other.src = op->dst;
        if (!x86_get_rm(cpu, &other, n, true, &a) || !x86_put_rm(cpu, &other, n, R(other.src, uint64_t)))
            return x86_stop(cpu, op);
        x86_put_gpr(cpu, op->dst, n, a);
        return x86_next(op);
    }
    uint64_t b = R(op->src, uint64_t);
    if (!x86_get_rm(cpu, op, n, true, &a) || !x86_put_rm(cpu, op, n, n == 1 ? R(op->src, uint8_t) : b))
        return x86_stop(cpu, op);
    x86_put_gpr(cpu, op->src, n, a);
    return x86_next(op);
}

/* Flags of a - b. */
static uint16_t cmp_flags(uint64_t a, uint64_t b, uint32_t n)
{
    uint64_t r = x86_cut(a - b, n);
    uint32_t top = n * 8 - 1;
    uint32_t f = x86_szp(r, n) | (x86_cut(a, n) < x86_cut(b, n) ? FL_CF : 0) | ((a ^ b ^ r) & 16 ? FL_AF : 0);
    return (uint16_t)(f | (uint32_t)(((a ^ b) & (a ^ r)) >> top & 1));
}

static uint16_t add_flags(uint64_t a, uint64_t b, uint32_t n)
{
    uint64_t r = x86_cut(a + b, n);
    uint32_t top = n * 8 - 1;
    uint32_t f = x86_szp(r, n) | (r < x86_cut(a, n) ? FL_CF : 0) | ((a ^ b ^ r) & 16 ? FL_AF : 0);
    return (uint16_t)(f | (uint32_t)((~(a ^ b) & (a ^ r)) >> top & 1));
}

X86_OP(cmpxchg)
{
    uint64_t old;
    uint32_t n = op->size;
    if (!x86_get_rm(cpu, op, n, true, &old))
        return x86_stop(cpu, op);
    uint64_t acc = x86_cut(cpu->state.gpr[X86_RAX], n);
    bool is_equal = acc == old;
    uint64_t v = is_equal ? (n == 1 ? R(op->src, uint8_t) : R(op->src, uint64_t)) : old;
    /* Memory is written either way; a register that differs keeps all its bits. */
    if ((is_equal || op->flags & X86F_MEM) && !x86_put_rm(cpu, op, n, v))
        return x86_stop(cpu, op);
    if (!is_equal)
        x86_put_gpr(cpu, 0, n, old);
    cpu->state.ax_flags = cmp_flags(acc, old, n);
    return x86_next(op);
}

/* CMPXCHG8B and 16B: half is 4 or 8. */
static const struct x86_op *cmpxchg_pair(struct x86_cpu *cpu, const struct x86_op *op, uint32_t half)
{
    uint64_t gva = x86_address(cpu, op), old[2] = {0, 0}, *g = cpu->state.gpr;
    if (half == 8 && gva & 15) {
        x86_unaligned(cpu);
        return x86_stop(cpu, op);
    }
    if (!x86_probe_write(cpu, op, gva, 2 * half) || !x86_load(cpu, op, gva, &old[0], half) ||
        !x86_load(cpu, op, gva + half, &old[1], half))
        return x86_stop(cpu, op);
    bool is_equal = old[0] == x86_cut(g[X86_RAX], half) && old[1] == x86_cut(g[X86_RDX], half);
    uint64_t new[2] = {is_equal ? g[X86_RBX] : old[0], is_equal ? g[X86_RCX] : old[1]};
    if (half == 4)
        new[0] = (uint32_t) new[0] | new[1] << 32;
    if (!x86_store(cpu, op, gva, new, 2 * half))
        return x86_stop(cpu, op);
    if (!is_equal) {
        x86_put_gpr(cpu, 8 * X86_RAX, half, old[0]);
        x86_put_gpr(cpu, 8 * X86_RDX, half, old[1]);
    }
    cpu->state.ax_flags = (uint16_t)((cpu->state.ax_flags & ~FL_ZF) | (is_equal ? FL_ZF : 0));
    return x86_next(op);
}
X86_OP(cmpxchg8b)
{
    return cmpxchg_pair(cpu, op, op->flags & X86F_REXW ? 8 : 4);
}
X86_OP(cmpxchg16b)
{
    return cmpxchg_pair(cpu, op, 8);
}

X86_OP(xadd)
{
    uint64_t a;
    uint32_t n = op->size;
    if (!x86_get_rm(cpu, op, n, true, &a))
        return x86_stop(cpu, op);
    uint64_t b = n == 1 ? R(op->src, uint8_t) : x86_cut(R(op->src, uint64_t), n);
    if (op->flags & X86F_MEM) {
        if (!x86_put_rm(cpu, op, n, a + b))
            return x86_stop(cpu, op);
        x86_put_gpr(cpu, op->src, n, a);
    } else {
        x86_put_gpr(cpu, op->src, n, a);
        x86_put_gpr(cpu, op->dst, n, a + b);
    }
    cpu->state.ax_flags = add_flags(a, b, n);
    return x86_next(op);
}

X86_OP(bswap)
{
    uint64_t v = R(op->dst, uint64_t);
    /* Of a 16-bit register the result is undefined; processors give 0. */
    v = op->size == 8 ? __builtin_bswap64(v) : op->size == 4 ? __builtin_bswap32((uint32_t)v) : 0;
    x86_put_gpr(cpu, op->dst, op->size, v);
    return x86_next(op);
}

X86_OP(movbe)
{
    uint64_t v = op->flags & X86F_MEM_DST ? R(op->src, uint64_t) : 0, gva = x86_address(cpu, op);
    uint32_t n = op->size;
    if (!(op->flags & X86F_MEM_DST) && !x86_load(cpu, op, gva, &v, n))
        return x86_stop(cpu, op);
    v = __builtin_bswap64(v) >> (64 - n * 8);
    if (!(op->flags & X86F_MEM_DST))
        x86_put_gpr(cpu, op->dst, n, v);
    else if (!x86_store(cpu, op, gva, &v, n))
        return x86_stop(cpu, op);
    return x86_next(op);
}

X86_OP(movnti)
{
    uint64_t v = R(op->src, uint64_t);
    if (!x86_store_nt(cpu, op, x86_address(cpu, op), &v, op->size))
        return x86_stop(cpu, op);
    return x86_next(op);
}

/* ---- the stack ---- */

static bool push(struct x86_cpu *cpu, const struct x86_op *op, uint64_t v, uint32_t n)
{
    uint64_t gva = cpu->state.gpr[X86_RSP] - n;
    if (!x86_store(cpu, op, gva, &v, n))
        return false;
    cpu->state.gpr[X86_RSP] = gva;
    return true;
}

X86_OP(push)
{
    uint64_t v = (uint64_t)(int64_t)op->imm;
    if (!(op->flags & X86F_IMM) && !x86_get_rm(cpu, op, op->size, false, &v))
        return x86_stop(cpu, op);
    if (!push(cpu, op, v, op->size))
        return x86_stop(cpu, op);
    return x86_next(op);
}

/* The address of a memory destination is computed after RSP has moved. */
X86_OP(pop)
{
    uint64_t v = 0, rsp = cpu->state.gpr[X86_RSP];
    if (!x86_load(cpu, op, rsp, &v, op->size))
        return x86_stop(cpu, op);
    cpu->state.gpr[X86_RSP] = rsp + op->size;
    if (!x86_put_rm(cpu, op, op->size, v)) {
        cpu->state.gpr[X86_RSP] = rsp;
        return x86_stop(cpu, op);
    }
    return x86_next(op);
}

X86_OP(pushf)
{
    if (!push(cpu, op, x86_rflags(cpu) & ~(uint64_t)X86_RF, op->size))
        return x86_stop(cpu, op);
    return x86_next(op);
}

X86_OP(popf)
{
    uint64_t v = 0, old = x86_rflags(cpu);
    if (!x86_load(cpu, op, cpu->state.gpr[X86_RSP], &v, op->size))
        return x86_stop(cpu, op);
    cpu->state.gpr[X86_RSP] += op->size;
    uint64_t change = X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_TF | X86_DF | X86_OF | X86_NT;
    if (op->size > 2)
        change |= X86_AC | X86_ID;
    if (cpu->state.cpl == 0)
        change |= X86_IOPL;
    if (cpu->state.cpl <= (old & X86_IOPL) >> 12)
        change |= X86_IF;
    x86_set_rflags(cpu, (old & ~change & ~(uint64_t)X86_RF) | (v & change));
    return x86_next(op);
}

X86_OP(enter)
{
    uint64_t *g = cpu->state.gpr, rsp = g[X86_RSP], rbp = g[X86_RBP], v = rbp;
    uint32_t n = op->size, level = op->shift & 31, bytes = (uint32_t)op->imm & 0xffff;
    if (!push(cpu, op, v, n))
        return x86_stop(cpu, op);
    uint64_t frame = g[X86_RSP];
    bool ok = true;
    for (uint32_t i = 1; ok && i < level; i++) {
        v = 0;
        ok = x86_load(cpu, op, rbp - i * n, &v, n) && push(cpu, op, v, n);
    }
    ok = ok && (!level || push(cpu, op, frame, n));
    uint64_t top = g[X86_RSP] - bytes;
    ok = ok && x86_probe_write(cpu, op, top, n); /* the new top must be writable */
    g[X86_RSP] = ok ? top : rsp;
    if (!ok)
        return x86_stop(cpu, op);
    x86_put_gpr(cpu, 8 * X86_RBP, n, frame);
    return x86_next(op);
}

X86_OP(leave)
{
    uint64_t v = 0, rbp = cpu->state.gpr[X86_RBP];
    if (!x86_load(cpu, op, rbp, &v, op->size))
        return x86_stop(cpu, op);
    cpu->state.gpr[X86_RSP] = rbp + op->size;
    x86_put_gpr(cpu, 8 * X86_RBP, op->size, v);
    return x86_next(op);
}

/* ---- flags and sign extensions ---- */

#define SET_FLAGS(name, expr)                                                                                          \
    X86_OP(name)                                                                                                       \
    {                                                                                                                  \
        uint32_t f = cpu->state.ax_flags;                                                                              \
        cpu->state.ax_flags = (uint16_t)(expr);                                                                        \
        return x86_next(op);                                                                                           \
    }
SET_FLAGS(clc, f & ~FL_CF)
SET_FLAGS(stc, f | FL_CF)
SET_FLAGS(cmc, f ^ FL_CF)
SET_FLAGS(sahf, (f & 1u) | (R(1, uint8_t) & 0xd5u) << 8 | 0x200u)
X86_OP(lahf)
{
    R(1, uint8_t) = (uint8_t)(cpu->state.ax_flags >> 8);
    return x86_next(op);
}
X86_OP(cld)
{
    cpu->state.other_flags &= ~X86_DF;
    return x86_next(op);
}
X86_OP(std)
{
    cpu->state.other_flags |= X86_DF;
    return x86_next(op);
}

#define WIDEN_ACC(name, from, to)                                                                                      \
    X86_OP(name)                                                                                                       \
    {                                                                                                                  \
        x86_put_gpr(cpu, 0, to, (uint64_t)x86_extend(cpu->state.gpr[X86_RAX], from));                                  \
        return x86_next(op);                                                                                           \
    }
WIDEN_ACC(cbw, 1, 2)
WIDEN_ACC(cwde, 2, 4)
WIDEN_ACC(cdqe, 4, 8)
#define SIGN_TO_DX(name, n)                                                                                            \
    X86_OP(name)                                                                                                       \
    {                                                                                                                  \
        x86_put_gpr(cpu, 8 * X86_RDX, n, (uint64_t)(x86_extend(cpu->state.gpr[X86_RAX], n) >> 63));                    \
        return x86_next(op);                                                                                           \
    }
SIGN_TO_DX(cwd, 2)
SIGN_TO_DX(cdq, 4)
SIGN_TO_DX(cqo, 8)

/* AL = the byte at [RBX + AL]; the decoder gives the operand without its index. */
X86_OP(xlat)
{
    uint64_t gva = cpu->state.gpr[X86_RBX] + R(0, uint8_t);
    uint8_t v;
    gva = ((gva & x86_address_mask(op)) + x86_seg_base(cpu, op)) & cpu->linear;
    if (!x86_load(cpu, op, gva, &v, 1))
        return x86_stop(cpu, op);
    R(0, uint8_t) = v;
    return x86_next(op);
}

/* MOVSXD r16: the processors read 32 bits. */
X86_OP(movsxd16)
{
    uint64_t v;
    if (!x86_src_gpr(cpu, op, op->size, &v))
        return x86_stop(cpu, op);
    x86_put_gpr(cpu, op->dst, 2, v);
    return x86_next(op);
}

X86_OP(nop)
{
    return x86_next(op);
}

/* ---- counted loops ---- */

X86_OP(jrcxz)
{
    return x86_go(cpu, op, (cpu->state.gpr[X86_RCX] & x86_address_mask(op)) != 0);
}
static inline bool count_down(struct x86_cpu *cpu, const struct x86_op *op)
{
    uint64_t *rcx = &cpu->state.gpr[X86_RCX], mask = x86_address_mask(op);
    *rcx = x86_narrowed(*rcx, *rcx - 1, mask);
    return *rcx & mask;
}
X86_OP(loop)
{
    return x86_go(cpu, op, !count_down(cpu, op));
}
X86_OP(loope)
{
    return x86_go(cpu, op, !(count_down(cpu, op) && cpu->state.ax_flags & FL_ZF));
}
X86_OP(loopne)
{
    return x86_go(cpu, op, !(count_down(cpu, op) && !(cpu->state.ax_flags & FL_ZF)));
}

#define F(name, fn, need)                                                                                              \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##name, x86_op_##fn, need                                                                       \
    }
const struct x86_form x86_int_forms[] = {
    F(MUL, mul, 0),
    F(IMUL, imul, 0),
    F(DIV, div, 0),
    F(IDIV, idiv, 0),
    F(SHLD, shld, 0),
    F(SHRD, shrd, 0),
    F(XCHG, xchg, 0),
    F(CMPXCHG, cmpxchg, 0),
    F(CMPXCHG8B, cmpxchg8b, 0),
    F(CMPXCHG16B, cmpxchg16b, 0),
    F(XADD, xadd, 0),
    F(BSWAP, bswap, 0),
    F(MOVBE, movbe, 0),
    F(MOVNTI, movnti, 0),
    F(PUSH, push, 0),
    F(POP, pop, 0),
    F(PUSHF, pushf, 0),
    F(PUSHFQ, pushf, 0),
    F(POPF, popf, 0),
    F(POPFQ, popf, 0),
    F(ENTER, enter, 0),
    F(LEAVE, leave, 0),
    F(CLC, clc, 0),
    F(STC, stc, 0),
    F(CMC, cmc, 0),
    F(CLD, cld, 0),
    F(STD, std, 0),
    F(LAHF, lahf, 0),
    F(SAHF, sahf, 0),
    F(CBW, cbw, 0),
    F(CWDE, cwde, 0),
    F(CDQE, cdqe, 0),
    F(CWD, cwd, 0),
    F(CDQ, cdq, 0),
    F(CQO, cqo, 0),
    F(XLAT, xlat, 0),
    F(NOP, nop, 0),
    F(ENDBR64, nop, 0),
    F(ENDBR32, nop, 0),
    F(PREFETCHT0, nop, 0),
    F(PREFETCHT1, nop, 0),
    F(PREFETCHT2, nop, 0),
    F(PREFETCHNTA, nop, 0),
    F(PREFETCH, nop, 0),
    F(PREFETCHW, nop, 0),
    F(PREFETCHWT1, nop, 0),
    F(JRCXZ, jrcxz, X86N_END),
    F(JECXZ, jrcxz, X86N_END),
    F(JCXZ, jrcxz, X86N_END),
    F(LOOP, loop, X86N_END),
    F(LOOPE, loope, X86N_END),
    F(LOOPNE, loopne, X86N_END),
    {0, NULL, 0},
};

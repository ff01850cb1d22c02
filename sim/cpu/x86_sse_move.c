/* SPDX-License-Identifier: MIT */
/* SSE moves: registers, memory, parts of registers. */
#include "sim/cpu/x86_sse.h"

#define XMM(n) (cpu->state.xmm[n])

static X86_OP(mov_load_any)
{
    if (!(op->flags & X86F_MEM))
        X(op->dst) = X(op->src);
    else if (!x86_load(cpu, op, x86_address(cpu, op), &X(op->dst), 16))
        return x86_stop(cpu, op);
    return x86_next(op);
}
static X86_OP(mov_load_aligned)
{
    if (!x86_src128(cpu, op, true, &X(op->dst)))
        return x86_stop(cpu, op);
    return x86_next(op);
}
static X86_OP(mov_store_any)
{
    if (!x86_store(cpu, op, x86_address(cpu, op), &X(op->src), 16))
        return x86_stop(cpu, op);
    return x86_next(op);
}
static X86_OP(mov_store_aligned)
{
    uint64_t gva = x86_address(cpu, op);
    if ((gva & 15 && !x86_unaligned(cpu)) || !x86_store(cpu, op, gva, &X(op->src), 16))
        return x86_stop(cpu, op);
    return x86_next(op);
}
static X86_OP(mov_store_nt)
{
    uint64_t gva = x86_address(cpu, op);
    if ((gva & 15 && !x86_unaligned(cpu)) || !x86_store_nt(cpu, op, gva, &X(op->src), 16))
        return x86_stop(cpu, op);
    return x86_next(op);
}

/* MOVSS, MOVSD: a load clears the rest, a register move keeps it. */
static const struct x86_op *scalar(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    if (op->flags & X86F_MEM_DST) {
        if (!x86_store(cpu, op, x86_address(cpu, op), &X(op->src), n))
            return x86_stop(cpu, op);
    } else if (op->flags & X86F_MEM) {
        uint64_t v = 0;
        if (!x86_load(cpu, op, x86_address(cpu, op), &v, n))
            return x86_stop(cpu, op);
        X(op->dst) = _mm_cvtsi64_si128((int64_t)v);
    } else {
        memcpy(&XMM(op->dst), &XMM(op->src), n);
    }
    return x86_next(op);
}
static X86_OP(movss)
{
    return scalar(cpu, op, 4);
}
static X86_OP(movsd_xmm)
{
    return scalar(cpu, op, 8);
}

/* MOVD and MOVQ to an XMM register clear the rest. */
static X86_OP(movd_to_xmm)
{
    uint64_t v = 0;
    uint32_t n = op->flags & X86F_REXW ? 8 : 4;
    if (!x86_src_gpr(cpu, op, n, &v))
        return x86_stop(cpu, op);
    X(op->dst) = _mm_cvtsi64_si128((int64_t)v);
    return x86_next(op);
}
static X86_OP(movd_from_xmm)
{
    uint64_t v = XMM(op->src).u64[0];
    uint32_t n = op->flags & X86F_REXW ? 8 : 4;
    if (!(op->flags & X86F_MEM))
        x86_put_gpr(cpu, op->dst, n, v);
    else if (!x86_store(cpu, op, x86_address(cpu, op), &v, n))
        return x86_stop(cpu, op);
    return x86_next(op);
}
/* MOVQ between XMM registers, or XMM and memory. */
static X86_OP(movq)
{
    uint64_t v;
    if (op->flags & X86F_MEM_DST) {
        if (!x86_store(cpu, op, x86_address(cpu, op), &X(op->src), 8))
            return x86_stop(cpu, op);
        return x86_next(op);
    }
    if (!x86_src_xmm_low(cpu, op, 8, &v))
        return x86_stop(cpu, op);
    X(op->dst) = _mm_cvtsi64_si128((int64_t)v);
    return x86_next(op);
}
static X86_OP(movq_from_xmm)
{
    X86_REG(cpu, op->dst, uint64_t) = XMM(op->src).u64[0];
    return x86_next(op);
}
static X86_OP(movq_to_xmm)
{
    X(op->dst) = _mm_cvtsi64_si128((int64_t)X86_REG(cpu, op->src, uint64_t));
    return x86_next(op);
}

/* MOVLPS, MOVHPS and their PD twins: half a register from or to memory. */
static const struct x86_op *half(struct x86_cpu *cpu, const struct x86_op *op, uint32_t which)
{
    uint64_t gva = x86_address(cpu, op);
    bool ok = op->flags & X86F_MEM_DST ? x86_store(cpu, op, gva, &XMM(op->src).u64[which], 8)
                                       : x86_load(cpu, op, gva, &XMM(op->dst).u64[which], 8);
    return ok ? x86_next(op) : x86_stop(cpu, op);
}
static X86_OP(movlps)
{
    return half(cpu, op, 0);
}
static X86_OP(movhps)
{
    return half(cpu, op, 1);
}
static X86_OP(movhlps)
{
    XMM(op->dst).u64[0] = XMM(op->src).u64[1];
    return x86_next(op);
}
static X86_OP(movlhps)
{
    XMM(op->dst).u64[1] = XMM(op->src).u64[0];
    return x86_next(op);
}
static X86_OP(movddup)
{
    uint64_t v;
    if (!x86_src_xmm_low(cpu, op, 8, &v))
        return x86_stop(cpu, op);
    X(op->dst) = _mm_set1_epi64x((int64_t)v);
    return x86_next(op);
}
static X86_OP(movsldup)
{
    __m128i b;
    if (!x86_src128(cpu, op, true, &b))
        return x86_stop(cpu, op);
    X(op->dst) = _mm_shuffle_epi32(b, 0xa0);
    return x86_next(op);
}
static X86_OP(movshdup)
{
    __m128i b;
    if (!x86_src128(cpu, op, true, &b))
        return x86_stop(cpu, op);
    X(op->dst) = _mm_shuffle_epi32(b, 0xf5);
    return x86_next(op);
}

#define MASK(name, expr)                                                                                               \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        X86_REG(cpu, op->dst, uint64_t) = (uint32_t)(expr);                                                            \
        return x86_next(op);                                                                                           \
    }
MASK(pmovmskb, _mm_movemask_epi8(X(op->src)))
MASK(movmskps, _mm_movemask_ps(XMM(op->src).ps))
MASK(movmskpd, _mm_movemask_pd(XMM(op->src).pd))

/* Bytes whose mask's top bit is set go to [RDI], the others are left alone. */
static X86_OP(maskmovdqu)
{
    uint64_t gva = cpu->state.gpr[X86_RDI];
    gva = ((gva & x86_address_mask(op)) + x86_seg_base(cpu, op)) & cpu->linear;
    uint8_t bytes[16];
    uint32_t mask = (uint32_t)_mm_movemask_epi8(X(op->src));
    /* Whether a mask of zeros faults is left open: it does, as on the processors that were tried. */
    if (!x86_probe_write(cpu, op, gva, 16) || !x86_load(cpu, op, gva, bytes, 16))
        return x86_stop(cpu, op);
    if (!mask)
        return x86_next(op);
    for (uint32_t i = 0; i < 16; i++)
        if (mask >> i & 1)
            bytes[i] = XMM(op->dst).u8[i];
    if (!x86_store_nt(cpu, op, gva, bytes, 16))
        return x86_stop(cpu, op);
    return x86_next(op);
}

/* PEXTRx, EXTRACTPS: lane imm of n bytes to a general register, zero-extended, or to memory. */
static const struct x86_op *extract(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    uint64_t v = 0;
    memcpy(&v, &XMM(op->src).u8[((uint32_t)op->imm & (16 / n - 1)) * n], n);
    if (!(op->flags & X86F_MEM))
        X86_REG(cpu, op->dst, uint64_t) = v;
    else if (!x86_store(cpu, op, x86_address(cpu, op), &v, n))
        return x86_stop(cpu, op);
    return x86_next(op);
}
static const struct x86_op *insert(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    uint64_t v;
    if (!x86_src_gpr(cpu, op, n, &v))
        return x86_stop(cpu, op);
    memcpy(&XMM(op->dst).u8[((uint32_t)op->imm & (16 / n - 1)) * n], &v, n);
    return x86_next(op);
}
#define LANE(name, kind, n)                                                                                            \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        return kind(cpu, op, n);                                                                                       \
    }
LANE(pextrb, extract, 1)
LANE(pextrw, extract, 2)
LANE(pextrd, extract, 4)
LANE(pextrq, extract, 8)
LANE(pinsrb, insert, 1)
LANE(pinsrw, insert, 2)
LANE(pinsrd, insert, 4)
LANE(pinsrq, insert, 8)

static X86_OP(insertps)
{
    uint32_t imm = (uint32_t)op->imm, v = 0;
    if (op->flags & X86F_MEM) {
        if (!x86_load(cpu, op, x86_address(cpu, op), &v, 4))
            return x86_stop(cpu, op);
    } else {
        v = XMM(op->src).u32[imm >> 6 & 3];
    }
    XMM(op->dst).u32[imm >> 4 & 3] = v;
    for (uint32_t i = 0; i < 4; i++)
        if (imm >> i & 1)
            XMM(op->dst).u32[i] = 0;
    return x86_next(op);
}

#define F(mnemonic, name, need)                                                                                        \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##mnemonic, x86_op_##name, need                                                                 \
    }
#define LOADS_STORES(mnemonic, load, store) F(mnemonic, store, X86N_MEM_DST), F(mnemonic, load, X86N_DST_XMM)
const struct x86_form x86_sse_move_forms[] = {
    LOADS_STORES(MOVAPS, mov_load_aligned, mov_store_aligned),
    LOADS_STORES(MOVAPD, mov_load_aligned, mov_store_aligned),
    LOADS_STORES(MOVDQA, mov_load_aligned, mov_store_aligned),
    LOADS_STORES(MOVUPS, mov_load_any, mov_store_any),
    LOADS_STORES(MOVUPD, mov_load_any, mov_store_any),
    LOADS_STORES(MOVDQU, mov_load_any, mov_store_any),
    F(LDDQU, mov_load_any, 0),
    F(MOVNTDQA, mov_load_aligned, 0),
    F(MOVNTDQ, mov_store_nt, 0),
    F(MOVNTPS, mov_store_nt, 0),
    F(MOVNTPD, mov_store_nt, 0),
    F(MOVSS, movss, 0),
    F(MOVSD, movsd_xmm, X86N_DST_XMM),
    F(MOVSD, movsd_xmm, X86N_SRC_XMM),
    F(MOVD, movd_to_xmm, X86N_DST_XMM),
    F(MOVD, movd_from_xmm, X86N_SRC_XMM),
    F(MOVQ, movq, X86N_DST_XMM | X86N_SRC_XMM),
    F(MOVQ, movq, X86N_DST_XMM | X86N_MEM),
    F(MOVQ, movq, X86N_SRC_XMM | X86N_MEM_DST),
    F(MOVQ, movq_to_xmm, X86N_DST_XMM | X86N_REG),
    F(MOVQ, movq_from_xmm, X86N_SRC_XMM | X86N_REG),
    F(MOVLPS, movlps, 0),
    F(MOVLPD, movlps, 0),
    F(MOVHPS, movhps, 0),
    F(MOVHPD, movhps, 0),
    F(MOVHLPS, movhlps, 0),
    F(MOVLHPS, movlhps, 0),
    F(MOVDDUP, movddup, 0),
    F(MOVSLDUP, movsldup, 0),
    F(MOVSHDUP, movshdup, 0),
    F(PMOVMSKB, pmovmskb, X86N_SRC_XMM),
    F(MOVMSKPS, movmskps, 0),
    F(MOVMSKPD, movmskpd, 0),
    F(MASKMOVDQU, maskmovdqu, 0),
    F(PEXTRB, pextrb, 0),
    F(PEXTRW, pextrw, X86N_SRC_XMM),
    F(PEXTRD, pextrd, 0),
    F(PEXTRQ, pextrq, 0),
    F(EXTRACTPS, pextrd, 0),
    F(PINSRB, pinsrb, 0),
    F(PINSRW, pinsrw, X86N_DST_XMM),
    F(PINSRD, pinsrd, 0),
    F(PINSRQ, pinsrq, 0),
    F(INSERTPS, insertps, 0),
    {0, NULL, 0},
};

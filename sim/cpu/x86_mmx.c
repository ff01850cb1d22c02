/* SPDX-License-Identifier: MIT */
/* MMX, and what SSE added to it: the host's SSE instruction on the low half of a vector. Every MMX instruction makes
 * all x87 registers valid with TOP 0; one that writes a register sets its upper 16 bits (SDM volume 1, 9.6). */
#include "sim/cpu/x86_fpu.h"

#include <smmintrin.h>

#define MM(n) (cpu->state.x87.r[n].mm)

static inline void touch(struct x86_cpu *cpu)
{
    cpu->state.x87.sw &= (uint16_t)~FSW_TOP;
    cpu->state.x87.tw = 0;
}
static inline const struct x86_op *put(struct x86_cpu *cpu, const struct x86_op *op, uint64_t v)
{
    MM(op->dst) = v;
    cpu->state.x87.r[op->dst].u16[4] = 0xffff;
    touch(cpu);
    return x86_next(op);
}
static inline __m128i wide(uint64_t v)
{
    return _mm_cvtsi64_si128((int64_t)v);
}
static inline uint64_t low(__m128i v)
{
    return (uint64_t)_mm_cvtsi128_si64(v);
}
static inline uint64_t high(__m128i v)
{
    return low(_mm_srli_si128(v, 8));
}

/* ---- dst = f(dst, source) ---- */

#define BINARY(name, expr)                                                                                             \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        uint64_t source;                                                                                               \
        if (!fpu_begin_mmx(cpu) || !x86_src_mmx(cpu, op, &source))                                                     \
            return x86_stop(cpu, op);                                                                                  \
        __m128i a = wide(MM(op->dst)), b = wide(source);                                                               \
        (void)a, (void)b;                                                                                              \
        return put(cpu, op, expr);                                                                                     \
    }
/* Both operands side by side, for what packs or adds neighbours. */
#define PAIR _mm_unpacklo_epi64(a, b)
#define BINARIES(F)                                                                                                    \
    F(PADDB, paddb, low(_mm_add_epi8(a, b)))                                                                           \
    F(PADDW, paddw, low(_mm_add_epi16(a, b)))                                                                          \
    F(PADDD, paddd, low(_mm_add_epi32(a, b)))                                                                          \
    F(PADDQ, paddq, low(_mm_add_epi64(a, b)))                                                                          \
    F(PADDSB, paddsb, low(_mm_adds_epi8(a, b)))                                                                        \
    F(PADDSW, paddsw, low(_mm_adds_epi16(a, b)))                                                                       \
    F(PADDUSB, paddusb, low(_mm_adds_epu8(a, b)))                                                                      \
    F(PADDUSW, paddusw, low(_mm_adds_epu16(a, b)))                                                                     \
    F(PSUBB, psubb, low(_mm_sub_epi8(a, b)))                                                                           \
    F(PSUBW, psubw, low(_mm_sub_epi16(a, b)))                                                                          \
    F(PSUBD, psubd, low(_mm_sub_epi32(a, b)))                                                                          \
    F(PSUBQ, psubq, low(_mm_sub_epi64(a, b)))                                                                          \
    F(PSUBSB, psubsb, low(_mm_subs_epi8(a, b)))                                                                        \
    F(PSUBSW, psubsw, low(_mm_subs_epi16(a, b)))                                                                       \
    F(PSUBUSB, psubusb, low(_mm_subs_epu8(a, b)))                                                                      \
    F(PSUBUSW, psubusw, low(_mm_subs_epu16(a, b)))                                                                     \
    F(PMULLW, pmullw, low(_mm_mullo_epi16(a, b)))                                                                      \
    F(PMULHW, pmulhw, low(_mm_mulhi_epi16(a, b)))                                                                      \
    F(PMULHUW, pmulhuw, low(_mm_mulhi_epu16(a, b)))                                                                    \
    F(PMULUDQ, pmuludq, low(_mm_mul_epu32(a, b)))                                                                      \
    F(PMULHRSW, pmulhrsw, low(_mm_mulhrs_epi16(a, b)))                                                                 \
    F(PMADDWD, pmaddwd, low(_mm_madd_epi16(a, b)))                                                                     \
    F(PMADDUBSW, pmaddubsw, low(_mm_maddubs_epi16(a, b)))                                                              \
    F(PSADBW, psadbw, low(_mm_sad_epu8(a, b)))                                                                         \
    F(PAVGB, pavgb, low(_mm_avg_epu8(a, b)))                                                                           \
    F(PAVGW, pavgw, low(_mm_avg_epu16(a, b)))                                                                          \
    F(PAND, pand, low(_mm_and_si128(a, b)))                                                                            \
    F(PANDN, pandn, low(_mm_andnot_si128(a, b)))                                                                       \
    F(POR, por, low(_mm_or_si128(a, b)))                                                                               \
    F(PXOR, pxor, low(_mm_xor_si128(a, b)))                                                                            \
    F(PCMPEQB, pcmpeqb, low(_mm_cmpeq_epi8(a, b)))                                                                     \
    F(PCMPEQW, pcmpeqw, low(_mm_cmpeq_epi16(a, b)))                                                                    \
    F(PCMPEQD, pcmpeqd, low(_mm_cmpeq_epi32(a, b)))                                                                    \
    F(PCMPGTB, pcmpgtb, low(_mm_cmpgt_epi8(a, b)))                                                                     \
    F(PCMPGTW, pcmpgtw, low(_mm_cmpgt_epi16(a, b)))                                                                    \
    F(PCMPGTD, pcmpgtd, low(_mm_cmpgt_epi32(a, b)))                                                                    \
    F(PMINUB, pminub, low(_mm_min_epu8(a, b)))                                                                         \
    F(PMINSW, pminsw, low(_mm_min_epi16(a, b)))                                                                        \
    F(PMAXUB, pmaxub, low(_mm_max_epu8(a, b)))                                                                         \
    F(PMAXSW, pmaxsw, low(_mm_max_epi16(a, b)))                                                                        \
    F(PACKSSWB, packsswb, low(_mm_packs_epi16(PAIR, a)))                                                               \
    F(PACKSSDW, packssdw, low(_mm_packs_epi32(PAIR, a)))                                                               \
    F(PACKUSWB, packuswb, low(_mm_packus_epi16(PAIR, a)))                                                              \
    F(PUNPCKHBW, punpckhbw, high(_mm_unpacklo_epi8(a, b)))                                                             \
    F(PUNPCKHWD, punpckhwd, high(_mm_unpacklo_epi16(a, b)))                                                            \
    F(PUNPCKHDQ, punpckhdq, high(_mm_unpacklo_epi32(a, b)))                                                            \
    F(PSHUFB, pshufb, low(_mm_shuffle_epi8(a, _mm_and_si128(b, _mm_set1_epi8((char)0x87)))))                           \
    F(PSIGNB, psignb, low(_mm_sign_epi8(a, b)))                                                                        \
    F(PSIGNW, psignw, low(_mm_sign_epi16(a, b)))                                                                       \
    F(PSIGND, psignd, low(_mm_sign_epi32(a, b)))                                                                       \
    F(PHADDW, phaddw, low(_mm_hadd_epi16(PAIR, a)))                                                                    \
    F(PHADDD, phaddd, low(_mm_hadd_epi32(PAIR, a)))                                                                    \
    F(PHADDSW, phaddsw, low(_mm_hadds_epi16(PAIR, a)))                                                                 \
    F(PHSUBW, phsubw, low(_mm_hsub_epi16(PAIR, a)))                                                                    \
    F(PHSUBD, phsubd, low(_mm_hsub_epi32(PAIR, a)))                                                                    \
    F(PHSUBSW, phsubsw, low(_mm_hsubs_epi16(PAIR, a)))                                                                 \
    F(PABSB, pabsb, low(_mm_abs_epi8(b)))                                                                              \
    F(PABSW, pabsw, low(_mm_abs_epi16(b)))                                                                             \
    F(PABSD, pabsd, low(_mm_abs_epi32(b)))                                                                             \
    F(PALIGNR, palignr, align_right(PAIR, (uint32_t)op->imm & 0xff))                                                   \
    F(PSHUFW, pshufw, shuffle(source, (uint32_t)op->imm))
/* The count is the source's 64 bits, or the immediate. */
#define SHIFTS(F)                                                                                                      \
    F(PSLLW, psllw, low(_mm_sll_epi16(a, b)))                                                                          \
    F(PSLLD, pslld, low(_mm_sll_epi32(a, b)))                                                                          \
    F(PSLLQ, psllq, low(_mm_sll_epi64(a, b)))                                                                          \
    F(PSRLW, psrlw, low(_mm_srl_epi16(a, b)))                                                                          \
    F(PSRLD, psrld, low(_mm_srl_epi32(a, b)))                                                                          \
    F(PSRLQ, psrlq, low(_mm_srl_epi64(a, b)))                                                                          \
    F(PSRAW, psraw, low(_mm_sra_epi16(a, b)))                                                                          \
    F(PSRAD, psrad, low(_mm_sra_epi32(a, b)))
/* These read only 4 bytes of memory. */
#define LOW_UNPACKS(F)                                                                                                 \
    F(PUNPCKLBW, punpcklbw, low(_mm_unpacklo_epi8(a, b)))                                                              \
    F(PUNPCKLWD, punpcklwd, low(_mm_unpacklo_epi16(a, b)))                                                             \
    F(PUNPCKLDQ, punpckldq, low(_mm_unpacklo_epi32(a, b)))

/* Bytes n.. of the pair, whose low half is the first operand: the manual's order is the other way round. */
static uint64_t align_right(__m128i pair, uint32_t n)
{
    uint64_t first = low(pair), second = high(pair); /* of 16 bytes, second is the lower half */
    if (n >= 16)
        return 0;
    if (n >= 8)
        return first >> (n - 8) * 8;
    return n ? second >> n * 8 | first << (64 - n * 8) : second;
}
static uint64_t shuffle(uint64_t v, uint32_t imm)
{
    uint64_t r = 0;
    for (uint32_t i = 0; i < 4; i++)
        r |= (v >> (imm >> 2 * i & 3) * 16 & 0xffff) << 16 * i;
    return r;
}

#define DEFINE(mnemonic, name, expr) BINARY(name, expr)
BINARIES(DEFINE)
#define SHIFT(mnemonic, name, expr)                                                                                    \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        uint64_t source = (uint32_t)op->imm & 0xff;                                                                    \
        if (!fpu_begin_mmx(cpu) || (!(op->flags & X86F_IMM) && !x86_src_mmx(cpu, op, &source)))                        \
            return x86_stop(cpu, op);                                                                                  \
        __m128i a = wide(MM(op->dst)), b = wide(source);                                                               \
        return put(cpu, op, expr);                                                                                     \
    }
SHIFTS(SHIFT)
#define LOW_UNPACK(mnemonic, name, expr)                                                                               \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        uint64_t source = op->flags & X86F_MEM ? 0 : MM(op->src);                                                      \
        if (!fpu_begin_mmx(cpu) || (op->flags & X86F_MEM && !x86_load(cpu, op, x86_address(cpu, op), &source, 4)))     \
            return x86_stop(cpu, op);                                                                                  \
        __m128i a = wide(MM(op->dst)), b = wide(source);                                                               \
        return put(cpu, op, expr);                                                                                     \
    }
LOW_UNPACKS(LOW_UNPACK)

/* ---- moves ---- */

static X86_OP(movd_to_mm)
{
    uint64_t v;
    if (!fpu_begin_mmx(cpu) || !x86_src_gpr(cpu, op, op->flags & X86F_REXW ? 8 : 4, &v))
        return x86_stop(cpu, op);
    return put(cpu, op, v);
}
static X86_OP(movd_from_mm)
{
    uint64_t v = MM(op->src);
    uint32_t n = op->flags & X86F_REXW ? 8 : 4;
    if (!fpu_begin_mmx(cpu))
        return x86_stop(cpu, op);
    if (!(op->flags & X86F_MEM))
        x86_put_gpr(cpu, op->dst, n, v);
    else if (!x86_store(cpu, op, x86_address(cpu, op), &v, n))
        return x86_stop(cpu, op);
    touch(cpu);
    return x86_next(op);
}
static X86_OP(movq_to_mm)
{
    uint64_t v;
    if (!fpu_begin_mmx(cpu) || !x86_src_mmx(cpu, op, &v))
        return x86_stop(cpu, op);
    return put(cpu, op, v);
}
static X86_OP(movq_store)
{
    if (!fpu_begin_mmx(cpu) || !x86_store(cpu, op, x86_address(cpu, op), &MM(op->src), 8))
        return x86_stop(cpu, op);
    touch(cpu);
    return x86_next(op);
}
static X86_OP(movntq)
{
    if (!fpu_begin_mmx(cpu) || !x86_store_nt(cpu, op, x86_address(cpu, op), &MM(op->src), 8))
        return x86_stop(cpu, op);
    touch(cpu);
    return x86_next(op);
}
static X86_OP(movq2dq)
{
    if (!fpu_begin_mmx(cpu))
        return x86_stop(cpu, op);
    cpu->state.xmm[op->dst].i = wide(MM(op->src));
    touch(cpu);
    return x86_next(op);
}
static X86_OP(movdq2q)
{
    return fpu_begin_mmx(cpu) ? put(cpu, op, cpu->state.xmm[op->src].u64[0]) : x86_stop(cpu, op);
}
static X86_OP(pmovmskb)
{
    if (!fpu_begin_mmx(cpu))
        return x86_stop(cpu, op);
    X86_REG(cpu, op->dst, uint64_t) = (uint32_t)_mm_movemask_epi8(wide(MM(op->src)));
    touch(cpu);
    return x86_next(op);
}
static X86_OP(pextrw)
{
    if (!fpu_begin_mmx(cpu))
        return x86_stop(cpu, op);
    X86_REG(cpu, op->dst, uint64_t) = MM(op->src) >> (op->imm & 3) * 16 & 0xffff;
    touch(cpu);
    return x86_next(op);
}
static X86_OP(pinsrw)
{
    uint64_t v, at = (uint64_t)(op->imm & 3) * 16;
    if (!fpu_begin_mmx(cpu) || !x86_src_gpr(cpu, op, 2, &v))
        return x86_stop(cpu, op);
    return put(cpu, op, (MM(op->dst) & ~(0xffffull << at)) | v << at);
}
/* Bytes whose mask's top bit is set go to [RDI], the others are left alone. */
static X86_OP(maskmovq)
{
    uint64_t gva = cpu->state.gpr[X86_RDI], old, mask = 0;
    gva = ((gva & x86_address_mask(op)) + x86_seg_base(cpu, op)) & cpu->linear;
    if (!fpu_begin_mmx(cpu) || !x86_probe_write(cpu, op, gva, 8) || !x86_load(cpu, op, gva, &old, 8))
        return x86_stop(cpu, op);
    for (uint32_t i = 0; i < 64; i += 8)
        if (MM(op->src) >> (i + 7) & 1)
            mask |= 0xffull << i;
    uint64_t now = (old & ~mask) | (MM(op->dst) & mask);
    if (mask && !x86_store_nt(cpu, op, gva, &now, 8))
        return x86_stop(cpu, op);
    touch(cpu);
    return x86_next(op);
}
static X86_OP(emms)
{
    if (!fpu_begin_mmx(cpu))
        return x86_stop(cpu, op);
    touch(cpu);
    cpu->state.x87.tw = 0xffff;
    return x86_next(op);
}

/* ---- conversions, under the guest's MXCSR ---- */

#define OPAQUE(v) __asm__ volatile("" : "+x"(v))
static X86_OP(cvtpi2ps)
{
    uint64_t v;
    __m128 a = cpu->state.xmm[op->dst].ps;
    if (!fpu_begin_mmx(cpu) || !x86_src_mmx(cpu, op, &v))
        return x86_stop(cpu, op);
    __m128i b = wide(v);
    OPAQUE(b);
    cpu->state.xmm[op->dst].ps = _mm_movelh_ps(_mm_cvtepi32_ps(b), _mm_movehl_ps(a, a));
    touch(cpu);
    return x86_next(op);
}
/* From memory it does not touch the x87 state (SDM volume 2, CVTPI2PD). */
static X86_OP(cvtpi2pd)
{
    uint64_t v;
    if ((!(op->flags & X86F_MEM) && !fpu_begin_mmx(cpu)) || !x86_src_mmx(cpu, op, &v))
        return x86_stop(cpu, op);
    cpu->state.xmm[op->dst].pd = _mm_cvtepi32_pd(wide(v));
    if (!(op->flags & X86F_MEM))
        touch(cpu);
    return x86_next(op);
}
#define FROM_PS(name, call)                                                                                            \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        uint64_t v;                                                                                                    \
        if (!fpu_begin_mmx(cpu) || !x86_src_xmm_low(cpu, op, 8, &v))                                                   \
            return x86_stop(cpu, op);                                                                                  \
        union x86_xmm b = {.i = wide(v)};                                                                              \
        OPAQUE(b.ps);                                                                                                  \
        return put(cpu, op, low(call(b.ps)));                                                                          \
    }
#define FROM_PD(name, call)                                                                                            \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        union x86_xmm b;                                                                                               \
        if (!fpu_begin_mmx(cpu) || !x86_src128(cpu, op, true, &b.i))                                                   \
            return x86_stop(cpu, op);                                                                                  \
        OPAQUE(b.pd);                                                                                                  \
        return put(cpu, op, low(call(b.pd)));                                                                          \
    }
FROM_PS(cvtps2pi, _mm_cvtps_epi32)
FROM_PS(cvttps2pi, _mm_cvttps_epi32)
FROM_PD(cvtpd2pi, _mm_cvtpd_epi32)
FROM_PD(cvttpd2pi, _mm_cvttpd_epi32)

/* clang-format off */
#define ROW(mnemonic, name, expr) {ZYDIS_MNEMONIC_##mnemonic, x86_op_##name, X86N_DST_MMX},
#define F(mnemonic, name, need)   {ZYDIS_MNEMONIC_##mnemonic, x86_op_##name, need},
const struct x86_form x86_mmx_forms[] = {
    BINARIES(ROW) SHIFTS(ROW) LOW_UNPACKS(ROW)
    F(MOVD, movd_to_mm, X86N_DST_MMX) F(MOVD, movd_from_mm, X86N_SRC_MMX)
    F(MOVQ, movq_to_mm, X86N_DST_MMX | X86N_MEM) F(MOVQ, movq_to_mm, X86N_DST_MMX | X86N_SRC_MMX)
    F(MOVQ, movq_store, X86N_SRC_MMX | X86N_MEM_DST)
    F(MOVQ, movd_to_mm, X86N_DST_MMX) F(MOVQ, movd_from_mm, X86N_SRC_MMX)
    F(MOVNTQ, movntq, 0) F(MOVQ2DQ, movq2dq, 0) F(MOVDQ2Q, movdq2q, 0) F(PMOVMSKB, pmovmskb, X86N_SRC_MMX)
    F(PEXTRW, pextrw, X86N_SRC_MMX) F(PINSRW, pinsrw, X86N_DST_MMX) F(MASKMOVQ, maskmovq, 0) F(EMMS, emms, 0)
    F(CVTPI2PS, cvtpi2ps, 0) F(CVTPI2PD, cvtpi2pd, 0) F(CVTPS2PI, cvtps2pi, 0) F(CVTTPS2PI, cvttps2pi, 0)
    F(CVTPD2PI, cvtpd2pi, 0) F(CVTTPD2PI, cvttpd2pi, 0)
    {0, NULL, 0},
};
/* clang-format on */

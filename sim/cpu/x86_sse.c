/* SPDX-License-Identifier: MIT */
/* SSE..SSE4.2 on integers: the host's own instruction (all of them are in x86-64-v2) on the guest's registers. */
#include "sim/cpu/x86_sse.h"

/* ---- dst = f(dst, source); memory must be aligned ---- */

#define BINARY(name, call)                                                                                             \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        __m128i b, a = X(op->dst);                                                                                     \
        if (!x86_src128(cpu, op, true, &b))                                                                            \
            return x86_stop(cpu, op);                                                                                  \
        X(op->dst) = call(a, b);                                                                                       \
        return x86_next(op);                                                                                           \
    }
#define UNARY(name, call)                                                                                              \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        __m128i b;                                                                                                     \
        if (!x86_src128(cpu, op, true, &b))                                                                            \
            return x86_stop(cpu, op);                                                                                  \
        X(op->dst) = call(b);                                                                                          \
        return x86_next(op);                                                                                           \
    }
/* The count of a shift: an immediate byte, or the low 64 bits of the source. */
#define SHIFT(name, call)                                                                                              \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        __m128i b = _mm_cvtsi32_si128(op->imm & 0xff);                                                                 \
        if (!(op->flags & X86F_IMM) && !x86_src128(cpu, op, true, &b))                                                 \
            return x86_stop(cpu, op);                                                                                  \
        X(op->dst) = call(X(op->dst), b);                                                                              \
        return x86_next(op);                                                                                           \
    }
/* Sign and zero extensions read n bytes, which need not be aligned. */
#define EXTEND(name, call, n)                                                                                          \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        uint64_t v;                                                                                                    \
        if (!x86_src_xmm_low(cpu, op, n, &v))                                                                          \
            return x86_stop(cpu, op);                                                                                  \
        X(op->dst) = call(_mm_cvtsi64_si128((int64_t)v));                                                              \
        return x86_next(op);                                                                                           \
    }

#define BINARIES(F)                                                                                                    \
    F(PADDB, paddb, _mm_add_epi8)                                                                                      \
    F(PADDW, paddw, _mm_add_epi16)                                                                                     \
    F(PADDD, paddd, _mm_add_epi32)                                                                                     \
    F(PADDQ, paddq, _mm_add_epi64)                                                                                     \
    F(PADDSB, paddsb, _mm_adds_epi8)                                                                                   \
    F(PADDSW, paddsw, _mm_adds_epi16)                                                                                  \
    F(PADDUSB, paddusb, _mm_adds_epu8)                                                                                 \
    F(PADDUSW, paddusw, _mm_adds_epu16)                                                                                \
    F(PSUBB, psubb, _mm_sub_epi8)                                                                                      \
    F(PSUBW, psubw, _mm_sub_epi16)                                                                                     \
    F(PSUBD, psubd, _mm_sub_epi32)                                                                                     \
    F(PSUBQ, psubq, _mm_sub_epi64)                                                                                     \
    F(PSUBSB, psubsb, _mm_subs_epi8)                                                                                   \
    F(PSUBSW, psubsw, _mm_subs_epi16)                                                                                  \
    F(PSUBUSB, psubusb, _mm_subs_epu8)                                                                                 \
    F(PSUBUSW, psubusw, _mm_subs_epu16)                                                                                \
    F(PMULLW, pmullw, _mm_mullo_epi16)                                                                                 \
    F(PMULHW, pmulhw, _mm_mulhi_epi16)                                                                                 \
    F(PMULHUW, pmulhuw, _mm_mulhi_epu16)                                                                               \
    F(PMULUDQ, pmuludq, _mm_mul_epu32)                                                                                 \
    F(PMULDQ, pmuldq, _mm_mul_epi32)                                                                                   \
    F(PMULLD, pmulld, _mm_mullo_epi32)                                                                                 \
    F(PMULHRSW, pmulhrsw, _mm_mulhrs_epi16)                                                                            \
    F(PMADDWD, pmaddwd, _mm_madd_epi16)                                                                                \
    F(PMADDUBSW, pmaddubsw, _mm_maddubs_epi16)                                                                         \
    F(PSADBW, psadbw, _mm_sad_epu8)                                                                                    \
    F(PAVGB, pavgb, _mm_avg_epu8)                                                                                      \
    F(PAVGW, pavgw, _mm_avg_epu16)                                                                                     \
    F(PAND, pand, _mm_and_si128)                                                                                       \
    F(ANDPS, andps, _mm_and_si128)                                                                                     \
    F(ANDPD, andpd, _mm_and_si128)                                                                                     \
    F(PANDN, pandn, _mm_andnot_si128)                                                                                  \
    F(ANDNPS, andnps, _mm_andnot_si128)                                                                                \
    F(ANDNPD, andnpd, _mm_andnot_si128)                                                                                \
    F(POR, por, _mm_or_si128)                                                                                          \
    F(ORPS, orps, _mm_or_si128)                                                                                        \
    F(ORPD, orpd, _mm_or_si128)                                                                                        \
    F(PXOR, pxor, _mm_xor_si128)                                                                                       \
    F(XORPS, xorps, _mm_xor_si128)                                                                                     \
    F(XORPD, xorpd, _mm_xor_si128)                                                                                     \
    F(PCMPEQB, pcmpeqb, _mm_cmpeq_epi8)                                                                                \
    F(PCMPEQW, pcmpeqw, _mm_cmpeq_epi16)                                                                               \
    F(PCMPEQD, pcmpeqd, _mm_cmpeq_epi32)                                                                               \
    F(PCMPEQQ, pcmpeqq, _mm_cmpeq_epi64)                                                                               \
    F(PCMPGTB, pcmpgtb, _mm_cmpgt_epi8)                                                                                \
    F(PCMPGTW, pcmpgtw, _mm_cmpgt_epi16)                                                                               \
    F(PCMPGTD, pcmpgtd, _mm_cmpgt_epi32)                                                                               \
    F(PCMPGTQ, pcmpgtq, _mm_cmpgt_epi64)                                                                               \
    F(PMINUB, pminub, _mm_min_epu8)                                                                                    \
    F(PMINSB, pminsb, _mm_min_epi8)                                                                                    \
    F(PMINUW, pminuw, _mm_min_epu16)                                                                                   \
    F(PMINSW, pminsw, _mm_min_epi16)                                                                                   \
    F(PMINUD, pminud, _mm_min_epu32)                                                                                   \
    F(PMINSD, pminsd, _mm_min_epi32)                                                                                   \
    F(PMAXUB, pmaxub, _mm_max_epu8)                                                                                    \
    F(PMAXSB, pmaxsb, _mm_max_epi8)                                                                                    \
    F(PMAXUW, pmaxuw, _mm_max_epu16)                                                                                   \
    F(PMAXSW, pmaxsw, _mm_max_epi16)                                                                                   \
    F(PMAXUD, pmaxud, _mm_max_epu32)                                                                                   \
    F(PMAXSD, pmaxsd, _mm_max_epi32)                                                                                   \
    F(PACKSSWB, packsswb, _mm_packs_epi16)                                                                             \
    F(PACKSSDW, packssdw, _mm_packs_epi32)                                                                             \
    F(PACKUSWB, packuswb, _mm_packus_epi16)                                                                            \
    F(PACKUSDW, packusdw, _mm_packus_epi32)                                                                            \
    F(PUNPCKLBW, punpcklbw, _mm_unpacklo_epi8)                                                                         \
    F(PUNPCKLWD, punpcklwd, _mm_unpacklo_epi16)                                                                        \
    F(PUNPCKLDQ, punpckldq, _mm_unpacklo_epi32)                                                                        \
    F(PUNPCKLQDQ, punpcklqdq, _mm_unpacklo_epi64)                                                                      \
    F(PUNPCKHBW, punpckhbw, _mm_unpackhi_epi8)                                                                         \
    F(PUNPCKHWD, punpckhwd, _mm_unpackhi_epi16)                                                                        \
    F(PUNPCKHDQ, punpckhdq, _mm_unpackhi_epi32)                                                                        \
    F(PUNPCKHQDQ, punpckhqdq, _mm_unpackhi_epi64)                                                                      \
    F(UNPCKLPS, unpcklps, _mm_unpacklo_epi32)                                                                          \
    F(UNPCKHPS, unpckhps, _mm_unpackhi_epi32)                                                                          \
    F(UNPCKLPD, unpcklpd, _mm_unpacklo_epi64)                                                                          \
    F(UNPCKHPD, unpckhpd, _mm_unpackhi_epi64)                                                                          \
    F(PSHUFB, pshufb, _mm_shuffle_epi8)                                                                                \
    F(PSIGNB, psignb, _mm_sign_epi8)                                                                                   \
    F(PSIGNW, psignw, _mm_sign_epi16)                                                                                  \
    F(PSIGND, psignd, _mm_sign_epi32)                                                                                  \
    F(PHADDW, phaddw, _mm_hadd_epi16)                                                                                  \
    F(PHADDD, phaddd, _mm_hadd_epi32)                                                                                  \
    F(PHADDSW, phaddsw, _mm_hadds_epi16)                                                                               \
    F(PHSUBW, phsubw, _mm_hsub_epi16)                                                                                  \
    F(PHSUBD, phsubd, _mm_hsub_epi32)                                                                                  \
    F(PHSUBSW, phsubsw, _mm_hsubs_epi16)
#define UNARIES(F)                                                                                                     \
    F(PABSB, pabsb, _mm_abs_epi8)                                                                                      \
    F(PABSW, pabsw, _mm_abs_epi16)                                                                                     \
    F(PABSD, pabsd, _mm_abs_epi32)                                                                                     \
    F(PHMINPOSUW, phminposuw, _mm_minpos_epu16)
#define SHIFTS(F)                                                                                                      \
    F(PSLLW, psllw, _mm_sll_epi16)                                                                                     \
    F(PSLLD, pslld, _mm_sll_epi32)                                                                                     \
    F(PSLLQ, psllq, _mm_sll_epi64)                                                                                     \
    F(PSRLW, psrlw, _mm_srl_epi16)                                                                                     \
    F(PSRLD, psrld, _mm_srl_epi32)                                                                                     \
    F(PSRLQ, psrlq, _mm_srl_epi64)                                                                                     \
    F(PSRAW, psraw, _mm_sra_epi16)                                                                                     \
    F(PSRAD, psrad, _mm_sra_epi32)
#define EXTENDS(F)                                                                                                     \
    F(PMOVSXBW, pmovsxbw, _mm_cvtepi8_epi16, 8)                                                                        \
    F(PMOVSXBD, pmovsxbd, _mm_cvtepi8_epi32, 4)                                                                        \
    F(PMOVSXBQ, pmovsxbq, _mm_cvtepi8_epi64, 2)                                                                        \
    F(PMOVSXWD, pmovsxwd, _mm_cvtepi16_epi32, 8)                                                                       \
    F(PMOVSXWQ, pmovsxwq, _mm_cvtepi16_epi64, 4)                                                                       \
    F(PMOVSXDQ, pmovsxdq, _mm_cvtepi32_epi64, 8)                                                                       \
    F(PMOVZXBW, pmovzxbw, _mm_cvtepu8_epi16, 8)                                                                        \
    F(PMOVZXBD, pmovzxbd, _mm_cvtepu8_epi32, 4)                                                                        \
    F(PMOVZXBQ, pmovzxbq, _mm_cvtepu8_epi64, 2)                                                                        \
    F(PMOVZXWD, pmovzxwd, _mm_cvtepu16_epi32, 8)                                                                       \
    F(PMOVZXWQ, pmovzxwq, _mm_cvtepu16_epi64, 4)                                                                       \
    F(PMOVZXDQ, pmovzxdq, _mm_cvtepu32_epi64, 8)

#define DEFINE_BINARY(mnemonic, name, call)    BINARY(name, call)
#define DEFINE_UNARY(mnemonic, name, call)     UNARY(name, call)
#define DEFINE_SHIFT(mnemonic, name, call)     SHIFT(name, call)
#define DEFINE_EXTEND(mnemonic, name, call, n) EXTEND(name, call, n)
BINARIES(DEFINE_BINARY)
UNARIES(DEFINE_UNARY)
SHIFTS(DEFINE_SHIFT)
EXTENDS(DEFINE_EXTEND)

/* ---- with an immediate: by bytes, since an intrinsic wants a constant ---- */

/* Lanes of n bytes each, chosen by two bits of imm apiece; the first half from a, the second from b. */
static inline union x86_xmm shuffle4(const union x86_xmm *a, const union x86_xmm *b, uint32_t imm)
{
    union x86_xmm r;
    r.u32[0] = a->u32[imm & 3];
    r.u32[1] = a->u32[imm >> 2 & 3];
    r.u32[2] = b->u32[imm >> 4 & 3];
    r.u32[3] = b->u32[imm >> 6 & 3];
    return r;
}
static union x86_xmm shuffle_words(const union x86_xmm *a, uint32_t first, uint32_t imm)
{
    union x86_xmm r = *a;
    for (uint32_t i = 0; i < 4; i++)
        r.u16[first + i] = a->u16[first + (imm >> 2 * i & 3)];
    return r;
}
/* Bytes imm.. of the 32 bytes high:low; beyond them, zero. */
static union x86_xmm align_right(const union x86_xmm *high, const union x86_xmm *low, uint32_t imm)
{
    uint8_t all[48] = {0};
    union x86_xmm r;
    memcpy(all, low, 16);
    memcpy(all + 16, high, 16);
    memcpy(&r, all + (imm > 32 ? 32 : imm), 16);
    return r;
}
static union x86_xmm sums(const union x86_xmm *a, const union x86_xmm *b, uint32_t imm)
{
    uint32_t at_a = (imm >> 2 & 1) * 4, at_b = (imm & 3) * 4;
    union x86_xmm r;
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t sum = 0;
        for (uint32_t k = 0; k < 4; k++)
            sum += (uint32_t)abs(a->u8[at_a + i + k] - b->u8[at_b + k]);
        r.u16[i] = (uint16_t)sum;
    }
    return r;
}
static union x86_xmm blend(const union x86_xmm *a, const union x86_xmm *b, uint32_t lanes, uint32_t imm)
{
    union x86_xmm r = *a;
    uint32_t n = 16 / lanes;
    for (uint32_t i = 0; i < lanes; i++)
        if (imm >> i & 1)
            memcpy(&r.u8[i * n], &b->u8[i * n], n);
    return r;
}

#define BY_IMM(name, expr)                                                                                             \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        union x86_xmm b;                                                                                               \
        const union x86_xmm *a = &cpu->state.xmm[op->dst];                                                             \
        uint32_t imm = (uint32_t)op->imm & 0xff;                                                                       \
        if (!x86_src128(cpu, op, true, &b.i))                                                                          \
            return x86_stop(cpu, op);                                                                                  \
        union x86_xmm r = expr;                                                                                        \
        cpu->state.xmm[op->dst] = r;                                                                                   \
        (void)a, (void)imm;                                                                                            \
        return x86_next(op);                                                                                           \
    }
BY_IMM(pshufd, shuffle4(&b, &b, imm))
BY_IMM(shufps, shuffle4(a, &b, imm))
BY_IMM(pshuflw, shuffle_words(&b, 0, imm))
BY_IMM(pshufhw, shuffle_words(&b, 4, imm))
BY_IMM(palignr, align_right(a, &b, imm))
BY_IMM(mpsadbw, sums(a, &b, imm))
BY_IMM(pblendw, blend(a, &b, 8, imm))
BY_IMM(blendps, blend(a, &b, 4, imm))
BY_IMM(blendpd, blend(a, &b, 2, imm))
BY_IMM(shufpd, ((union x86_xmm){.u64 = {a->u64[imm & 1], b.u64[imm >> 1 & 1]}}))
/* By the top bit of each lane of XMM0. */
BY_IMM(pblendvb, ((union x86_xmm){.i = _mm_blendv_epi8(a->i, b.i, X(0))}))
BY_IMM(blendvps, ((union x86_xmm){.ps = _mm_blendv_ps(a->ps, b.ps, cpu->state.xmm[0].ps)}))
BY_IMM(blendvpd, ((union x86_xmm){.pd = _mm_blendv_pd(a->pd, b.pd, cpu->state.xmm[0].pd)}))

static X86_OP(pslldq)
{
    union x86_xmm zero = {.u64 = {0, 0}}, *a = &cpu->state.xmm[op->dst];
    uint32_t n = (uint32_t)op->imm & 0xff;
    *a = align_right(a, &zero, n > 15 ? 0 : 16 - n);
    return x86_next(op);
}
static X86_OP(psrldq)
{
    union x86_xmm zero = {.u64 = {0, 0}}, *a = &cpu->state.xmm[op->dst];
    *a = align_right(&zero, a, (uint32_t)op->imm & 0xff);
    return x86_next(op);
}

static X86_OP(ptest)
{
    __m128i a = X(op->dst), b;
    if (!x86_src128(cpu, op, true, &b))
        return x86_stop(cpu, op);
    x86_put_flags(cpu, (_mm_testz_si128(a, b) ? X86_ZF : 0) | (_mm_testc_si128(a, b) ? X86_CF : 0));
    return x86_next(op);
}

#define F2(mnemonic, name, call)    {ZYDIS_MNEMONIC_##mnemonic, x86_op_##name, X86N_DST_XMM},
#define F3(mnemonic, name, call, n) {ZYDIS_MNEMONIC_##mnemonic, x86_op_##name, X86N_DST_XMM},
#define F1(mnemonic, name)                                                                                             \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##mnemonic, x86_op_##name, X86N_DST_XMM                                                         \
    }
const struct x86_form x86_sse_forms[] = {
    BINARIES(F2) UNARIES(F2) SHIFTS(F2) EXTENDS(F3) F1(PSHUFD, pshufd),
    F1(SHUFPS, shufps),
    F1(SHUFPD, shufpd),
    F1(PSHUFLW, pshuflw),
    F1(PSHUFHW, pshufhw),
    F1(PALIGNR, palignr),
    F1(MPSADBW, mpsadbw),
    F1(PBLENDW, pblendw),
    F1(BLENDPS, blendps),
    F1(BLENDPD, blendpd),
    F1(PBLENDVB, pblendvb),
    F1(BLENDVPS, blendvps),
    F1(BLENDVPD, blendvpd),
    F1(PSLLDQ, pslldq),
    F1(PSRLDQ, psrldq),
    F1(PTEST, ptest),
    {0, NULL, 0},
};

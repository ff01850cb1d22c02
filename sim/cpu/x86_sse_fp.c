/* SPDX-License-Identifier: MIT */
/* SSE floating point: the host's own instruction under the guest's MXCSR (sim/cpu/x86_fp.c). */
#include "sim/cpu/x86_sse.h"
#include "sim/cpu/x86_sys.h"

#define XMM(n) (cpu->state.xmm[n])

/* The compiler knows nothing of MXCSR: values pass through here so that it neither folds nor moves an operation. */
#define OPAQUE(v) __asm__ volatile("" : "+x"(v))

/* ---- dst = f(dst, source) ---- */

#define PACKED(name, T, field, call)                                                                                   \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        union x86_xmm b;                                                                                               \
        T a = XMM(op->dst).field;                                                                                      \
        if (!x86_src128(cpu, op, true, &b.i))                                                                          \
            return x86_stop(cpu, op);                                                                                  \
        OPAQUE(a);                                                                                                     \
        XMM(op->dst).field = call(a, b.field);                                                                         \
        return x86_next(op);                                                                                           \
    }
/* The low lane; memory need not be aligned. */
#define SCALAR(name, T, field, n, call)                                                                                \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        uint64_t v;                                                                                                    \
        T a = XMM(op->dst).field;                                                                                      \
        if (!x86_src_xmm_low(cpu, op, n, &v))                                                                          \
            return x86_stop(cpu, op);                                                                                  \
        union x86_xmm b = {.i = _mm_cvtsi64_si128((int64_t)v)};                                                        \
        OPAQUE(a);                                                                                                     \
        XMM(op->dst).field = call(a, b.field);                                                                         \
        return x86_next(op);                                                                                           \
    }
#define ALL_FOUR(name, call)                                                                                           \
    PACKED(name##ps, __m128, ps, call##_ps)                                                                            \
    PACKED(name##pd, __m128d, pd, call##_pd)                                                                           \
    SCALAR(name##ss, __m128, ps, 4, call##_ss)                                                                         \
    SCALAR(name##sd, __m128d, pd, 8, call##_sd)
ALL_FOUR(add, _mm_add)
ALL_FOUR(sub, _mm_sub)
ALL_FOUR(mul, _mm_mul)
ALL_FOUR(div, _mm_div)
ALL_FOUR(min, _mm_min)
ALL_FOUR(max, _mm_max)
PACKED(haddps, __m128, ps, _mm_hadd_ps)
PACKED(haddpd, __m128d, pd, _mm_hadd_pd)
PACKED(hsubps, __m128, ps, _mm_hsub_ps)
PACKED(hsubpd, __m128d, pd, _mm_hsub_pd)
PACKED(addsubps, __m128, ps, _mm_addsub_ps)
PACKED(addsubpd, __m128d, pd, _mm_addsub_pd)

#define SECOND_SQRT_PS(a, b) ((void)(a), _mm_sqrt_ps(b))
#define SECOND_SQRT_PD(a, b) ((void)(a), _mm_sqrt_pd(b))
#define SECOND_SQRT_SS(a, b) _mm_move_ss(a, _mm_sqrt_ss(b))
PACKED(sqrtps, __m128, ps, SECOND_SQRT_PS)
PACKED(sqrtpd, __m128d, pd, SECOND_SQRT_PD)
SCALAR(sqrtss, __m128, ps, 4, SECOND_SQRT_SS)
SCALAR(sqrtsd, __m128d, pd, 8, _mm_sqrt_sd)

/* ---- comparisons ---- */

#define COMPARE(a, b, kind)                                                                                            \
    (imm == 0   ? _mm_cmpeq_##kind(a, b)                                                                               \
     : imm == 1 ? _mm_cmplt_##kind(a, b)                                                                               \
     : imm == 2 ? _mm_cmple_##kind(a, b)                                                                               \
     : imm == 3 ? _mm_cmpunord_##kind(a, b)                                                                            \
     : imm == 4 ? _mm_cmpneq_##kind(a, b)                                                                              \
     : imm == 5 ? _mm_cmpnlt_##kind(a, b)                                                                              \
     : imm == 6 ? _mm_cmpnle_##kind(a, b)                                                                              \
                : _mm_cmpord_##kind(a, b))
#define COMPARE_PS(a, b) COMPARE(a, b, ps)
#define COMPARE_PD(a, b) COMPARE(a, b, pd)
#define COMPARE_SS(a, b) COMPARE(a, b, ss)
#define COMPARE_SD(a, b) COMPARE(a, b, sd)
#define imm              ((uint32_t)op->imm & 7)
PACKED(cmpps, __m128, ps, COMPARE_PS)
PACKED(cmppd, __m128d, pd, COMPARE_PD)
SCALAR(cmpss, __m128, ps, 4, COMPARE_SS)
SCALAR(cmpsd_xmm, __m128d, pd, 8, COMPARE_SD)
#undef imm

/* The host's flags are the guest's: unordered is ZF PF CF; OF, AF, SF are cleared. */
#define ORDER(name, insn, T, field, n)                                                                                 \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        uint64_t v;                                                                                                    \
        uint16_t f;                                                                                                    \
        T a = XMM(op->dst).field;                                                                                      \
        if (!x86_src_xmm_low(cpu, op, n, &v))                                                                          \
            return x86_stop(cpu, op);                                                                                  \
        union x86_xmm b = {.i = _mm_cvtsi64_si128((int64_t)v)};                                                        \
        __asm__ volatile(insn " %2, %1\n\tlahf\n\tseto %%al" : "=&a"(f) : "x"(a), "x"(b.field) : "cc");                \
        cpu->state.ax_flags = f;                                                                                       \
        return x86_next(op);                                                                                           \
    }
ORDER(comiss, "comiss", __m128, ps, 4)
ORDER(ucomiss, "ucomiss", __m128, ps, 4)
ORDER(comisd, "comisd", __m128d, pd, 8)
ORDER(ucomisd, "ucomisd", __m128d, pd, 8)

/* ---- conversions ---- */

/* From an integer of 4 or 8 bytes. */
#define FROM_INT(name, T, field, call32, call64)                                                                       \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        uint64_t v;                                                                                                    \
        T a = XMM(op->dst).field;                                                                                      \
        uint32_t n = op->flags & X86F_REXW ? 8 : 4;                                                                    \
        if (!x86_src_gpr(cpu, op, n, &v))                                                                              \
            return x86_stop(cpu, op);                                                                                  \
        OPAQUE(a);                                                                                                     \
        XMM(op->dst).field = n == 8 ? call64(a, (int64_t)v) : call32(a, (int32_t)v);                                   \
        return x86_next(op);                                                                                           \
    }
FROM_INT(cvtsi2ss, __m128, ps, _mm_cvtsi32_ss, _mm_cvtsi64_ss)
FROM_INT(cvtsi2sd, __m128d, pd, _mm_cvtsi32_sd, _mm_cvtsi64_sd)

#define TO_INT(name, T, field, n, call32, call64)                                                                      \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        uint64_t v;                                                                                                    \
        if (!x86_src_xmm_low(cpu, op, n, &v))                                                                          \
            return x86_stop(cpu, op);                                                                                  \
        union x86_xmm b = {.i = _mm_cvtsi64_si128((int64_t)v)};                                                        \
        T x = b.field;                                                                                                 \
        OPAQUE(x);                                                                                                     \
        if (op->flags & X86F_REXW)                                                                                     \
            X86_REG(cpu, op->dst, uint64_t) = (uint64_t)call64(x);                                                     \
        else                                                                                                           \
            X86_REG(cpu, op->dst, uint64_t) = (uint32_t)call32(x);                                                     \
        return x86_next(op);                                                                                           \
    }
TO_INT(cvtss2si, __m128, ps, 4, _mm_cvtss_si32, _mm_cvtss_si64)
TO_INT(cvttss2si, __m128, ps, 4, _mm_cvttss_si32, _mm_cvttss_si64)
TO_INT(cvtsd2si, __m128d, pd, 8, _mm_cvtsd_si32, _mm_cvtsd_si64)
TO_INT(cvttsd2si, __m128d, pd, 8, _mm_cvttsd_si32, _mm_cvttsd_si64)

#define CONVERT_SS2SD(a, b) _mm_cvtss_sd(a, _mm_castpd_ps(b))
#define CONVERT_SD2SS(a, b) _mm_cvtsd_ss(a, _mm_castps_pd(b))
SCALAR(cvtss2sd, __m128d, pd, 4, CONVERT_SS2SD)
SCALAR(cvtsd2ss, __m128, ps, 8, CONVERT_SD2SS)

#define CONVERT(name, from, to, call)                                                                                  \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        union x86_xmm b;                                                                                               \
        if (!x86_src128(cpu, op, true, &b.i))                                                                          \
            return x86_stop(cpu, op);                                                                                  \
        OPAQUE(b.from);                                                                                                \
        XMM(op->dst).to = call(b.from);                                                                                \
        return x86_next(op);                                                                                           \
    }
/* These read 8 bytes only. */
#define CONVERT_LOW(name, from, to, call)                                                                              \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        uint64_t v;                                                                                                    \
        if (!x86_src_xmm_low(cpu, op, 8, &v))                                                                          \
            return x86_stop(cpu, op);                                                                                  \
        union x86_xmm b = {.i = _mm_cvtsi64_si128((int64_t)v)};                                                        \
        OPAQUE(b.from);                                                                                                \
        XMM(op->dst).to = call(b.from);                                                                                \
        return x86_next(op);                                                                                           \
    }
CONVERT(cvtdq2ps, i, ps, _mm_cvtepi32_ps)
CONVERT(cvtps2dq, ps, i, _mm_cvtps_epi32)
CONVERT(cvttps2dq, ps, i, _mm_cvttps_epi32)
CONVERT(cvtpd2dq, pd, i, _mm_cvtpd_epi32)
CONVERT(cvttpd2dq, pd, i, _mm_cvttpd_epi32)
CONVERT(cvtpd2ps, pd, ps, _mm_cvtpd_ps)
CONVERT_LOW(cvtdq2pd, i, pd, _mm_cvtepi32_pd)
CONVERT_LOW(cvtps2pd, ps, pd, _mm_cvtps_pd)

/* ---- rounding, dot products: an intrinsic for each value of the immediate ---- */

#define MODES(call, ...)                                                                                               \
    switch (op->imm & 15) {                                                                                            \
    case 0:                                                                                                            \
        r = call(__VA_ARGS__, 0);                                                                                      \
        break;                                                                                                         \
    case 1:                                                                                                            \
        r = call(__VA_ARGS__, 1);                                                                                      \
        break;                                                                                                         \
    case 2:                                                                                                            \
        r = call(__VA_ARGS__, 2);                                                                                      \
        break;                                                                                                         \
    case 3:                                                                                                            \
        r = call(__VA_ARGS__, 3);                                                                                      \
        break;                                                                                                         \
    case 8:                                                                                                            \
        r = call(__VA_ARGS__, 8);                                                                                      \
        break;                                                                                                         \
    case 9:                                                                                                            \
        r = call(__VA_ARGS__, 9);                                                                                      \
        break;                                                                                                         \
    case 10:                                                                                                           \
        r = call(__VA_ARGS__, 10);                                                                                     \
        break;                                                                                                         \
    case 11:                                                                                                           \
        r = call(__VA_ARGS__, 11);                                                                                     \
        break;                                                                                                         \
    case 4:                                                                                                            \
    case 5:                                                                                                            \
    case 6:                                                                                                            \
    case 7:                                                                                                            \
        r = call(__VA_ARGS__, 4);                                                                                      \
        break;                                                                                                         \
    default:                                                                                                           \
        r = call(__VA_ARGS__, 12);                                                                                     \
        break;                                                                                                         \
    }
#define ROUND_PACKED(name, T, field, call)                                                                             \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        union x86_xmm b;                                                                                               \
        T r;                                                                                                           \
        if (!x86_src128(cpu, op, true, &b.i))                                                                          \
            return x86_stop(cpu, op);                                                                                  \
        OPAQUE(b.field);                                                                                               \
        MODES(call, b.field)                                                                                           \
        XMM(op->dst).field = r;                                                                                        \
        return x86_next(op);                                                                                           \
    }
#define ROUND_SCALAR(name, T, field, n, call)                                                                          \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        uint64_t v;                                                                                                    \
        T r;                                                                                                           \
        if (!x86_src_xmm_low(cpu, op, n, &v))                                                                          \
            return x86_stop(cpu, op);                                                                                  \
        union x86_xmm b = {.i = _mm_cvtsi64_si128((int64_t)v)};                                                        \
        OPAQUE(b.field);                                                                                               \
        MODES(call, XMM(op->dst).field, b.field)                                                                       \
        XMM(op->dst).field = r;                                                                                        \
        return x86_next(op);                                                                                           \
    }
ROUND_PACKED(roundps, __m128, ps, _mm_round_ps)
ROUND_PACKED(roundpd, __m128d, pd, _mm_round_pd)
ROUND_SCALAR(roundss, __m128, ps, 4, _mm_round_ss)
ROUND_SCALAR(roundsd, __m128d, pd, 8, _mm_round_sd)

/* DPPS adds in the order ((1 + 2) + (3 + 4)); lanes that are not asked for count as +0. */
static X86_OP(dpps)
{
    union x86_xmm b, p, zero = {.u64 = {0, 0}};
    if (!x86_src128(cpu, op, true, &b.i))
        return x86_stop(cpu, op);
    __m128i in = _mm_cmpgt_epi32(_mm_and_si128(_mm_set1_epi32(op->imm >> 4), _mm_setr_epi32(1, 2, 4, 8)), zero.i);
    __m128i out = _mm_cmpgt_epi32(_mm_and_si128(_mm_set1_epi32(op->imm), _mm_setr_epi32(1, 2, 4, 8)), zero.i);
    __m128 a = _mm_and_ps(XMM(op->dst).ps, _mm_castsi128_ps(in));
    b.i = _mm_and_si128(b.i, in);
    OPAQUE(a);
    p.ps = _mm_mul_ps(a, b.ps);
    p.ps = _mm_hadd_ps(p.ps, p.ps);
    p.ps = _mm_hadd_ps(p.ps, p.ps);
    XMM(op->dst).i = _mm_and_si128(p.i, out);
    return x86_next(op);
}
static X86_OP(dppd)
{
    union x86_xmm b, p;
    if (!x86_src128(cpu, op, true, &b.i))
        return x86_stop(cpu, op);
    __m128i in = _mm_set_epi64x(-(int64_t)(op->imm >> 5 & 1), -(int64_t)(op->imm >> 4 & 1));
    __m128i out = _mm_set_epi64x(-(int64_t)(op->imm >> 1 & 1), -(int64_t)(op->imm & 1));
    __m128d a = _mm_and_pd(XMM(op->dst).pd, _mm_castsi128_pd(in));
    b.i = _mm_and_si128(b.i, in);
    OPAQUE(a);
    p.pd = _mm_mul_pd(a, b.pd);
    p.pd = _mm_hadd_pd(p.pd, p.pd);
    XMM(op->dst).i = _mm_and_si128(p.i, out);
    return x86_next(op);
}

/* ---- approximations: 12 bits of the exact value, the same on every host; no exception is signalled ---- */

static float cut12(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7f800000) != 0x7f800000)
        u = (u + 0x400) & 0xfffff800;
    memcpy(&x, &u, 4);
    return x;
}
static bool is_tiny(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    return !(u & 0x7f800000);
}
static float approximate(float x, bool is_root)
{
    if (is_tiny(x)) /* denormals count as zero */
        x = __builtin_copysignf(0, x);
    if (is_root) {
        union x86_xmm r = {.ps = _mm_div_ss(_mm_set_ss(1), _mm_sqrt_ss(_mm_set_ss(x)))};
        return cut12(r.f32[0]);
    }
    float r = cut12(1 / x);
    return is_tiny(r) ? __builtin_copysignf(0, r) : r;
}
static const struct x86_op *approximations(struct x86_cpu *cpu, const struct x86_op *op, uint32_t lanes, bool is_root)
{
    union x86_xmm b;
    uint64_t low;
    uint32_t mxcsr = _mm_getcsr();
    if (lanes == 4 ? !x86_src128(cpu, op, true, &b.i) : !x86_src_xmm_low(cpu, op, 4, &low))
        return x86_stop(cpu, op);
    if (lanes == 1)
        b.u64[0] = low;
    _mm_setcsr(0x1f80);
    for (uint32_t i = 0; i < lanes; i++)
        XMM(op->dst).f32[i] = approximate(b.f32[i], is_root);
    _mm_setcsr(mxcsr);
    return x86_next(op);
}
static X86_OP(rcpps)
{
    return approximations(cpu, op, 4, false);
}
static X86_OP(rcpss)
{
    return approximations(cpu, op, 1, false);
}
static X86_OP(rsqrtps)
{
    return approximations(cpu, op, 4, true);
}
static X86_OP(rsqrtss)
{
    return approximations(cpu, op, 1, true);
}

/* ---- MXCSR ---- */

static X86_OP(stmxcsr)
{
    uint32_t v = cpu->state.mxcsr | (_mm_getcsr() & 0x3f);
    cpu->state.mxcsr = v;
    if (!x86_store(cpu, op, x86_address(cpu, op), &v, 4))
        return x86_stop(cpu, op);
    return x86_next(op);
}
X86_OP(ldmxcsr)
{
    uint32_t v;
    if (!x86_load(cpu, op, x86_address(cpu, op), &v, 4))
        return x86_stop(cpu, op);
    if (v & 0xffff0000)
        return x86_raise(cpu, op, X86_GP);
    cpu->state.mxcsr = v;
    _mm_setcsr(v | 0x1f80);
    return x86_next(op);
}

#define F(mnemonic, name, need)                                                                                        \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##mnemonic, x86_op_##name, need                                                                 \
    }
#define FOUR(MNEMONIC, name)                                                                                           \
    F(MNEMONIC##PS, name##ps, 0), F(MNEMONIC##PD, name##pd, 0), F(MNEMONIC##SS, name##ss, 0),                          \
        F(MNEMONIC##SD, name##sd, 0)
const struct x86_form x86_sse_fp_forms[] = {
    FOUR(ADD, add),
    FOUR(SUB, sub),
    FOUR(MUL, mul),
    FOUR(DIV, div),
    FOUR(MIN, min),
    FOUR(MAX, max),
    FOUR(SQRT, sqrt),
    FOUR(ROUND, round),
    F(HADDPS, haddps, 0),
    F(HADDPD, haddpd, 0),
    F(HSUBPS, hsubps, 0),
    F(HSUBPD, hsubpd, 0),
    F(ADDSUBPS, addsubps, 0),
    F(ADDSUBPD, addsubpd, 0),
    F(CMPPS, cmpps, 0),
    F(CMPPD, cmppd, 0),
    F(CMPSS, cmpss, 0),
    F(CMPSD, cmpsd_xmm, X86N_DST_XMM),
    F(COMISS, comiss, 0),
    F(UCOMISS, ucomiss, 0),
    F(COMISD, comisd, 0),
    F(UCOMISD, ucomisd, 0),
    F(CVTSI2SS, cvtsi2ss, 0),
    F(CVTSI2SD, cvtsi2sd, 0),
    F(CVTSS2SI, cvtss2si, 0),
    F(CVTTSS2SI, cvttss2si, 0),
    F(CVTSD2SI, cvtsd2si, 0),
    F(CVTTSD2SI, cvttsd2si, 0),
    F(CVTSS2SD, cvtss2sd, 0),
    F(CVTSD2SS, cvtsd2ss, 0),
    F(CVTDQ2PS, cvtdq2ps, 0),
    F(CVTPS2DQ, cvtps2dq, 0),
    F(CVTTPS2DQ, cvttps2dq, 0),
    F(CVTPD2DQ, cvtpd2dq, 0),
    F(CVTTPD2DQ, cvttpd2dq, 0),
    F(CVTPD2PS, cvtpd2ps, 0),
    F(CVTDQ2PD, cvtdq2pd, 0),
    F(CVTPS2PD, cvtps2pd, 0),
    F(DPPS, dpps, 0),
    F(DPPD, dppd, 0),
    F(RCPPS, rcpps, 0),
    F(RCPSS, rcpss, 0),
    F(RSQRTPS, rsqrtps, 0),
    F(RSQRTSS, rsqrtss, 0),
    F(STMXCSR, stmxcsr, 0),
    F(LDMXCSR, ldmxcsr, 0),
    {0, NULL, 0},
};

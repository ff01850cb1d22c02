/* SPDX-License-Identifier: MIT */
/* x87 transcendental functions. The host's own differ by maker in the last bit, so ordinary operands are computed here
 * in 113-bit arithmetic by series and rounded to nearest, once; zeros, infinities and NaNs, whose results the manual
 * states, are left to the host. Arguments of the circular functions are reduced by the 66-bit pi of SDM volume 1,
 * 8.3.8. */
#include "sim/cpu/x86_fpu.h"

#include <xmmintrin.h>

typedef __float128 f128;

/* Decimal expansions to 40 digits: OEIS A002162, A000796. */
#define LN2 0.6931471805599453094172321214581765680755Q
#define PI  3.1415926535897932384626433832795028841972Q
/* C90FDAA22168C234C hexadecimal, scaled so that it is pi. */
#define PI66  ((f128)0xc90fdaa22168c234 * 0x1p-62Q + (f128)0xc * 0x1p-66Q)
#define SQRT2 1.4142135623730950488016887242096980785697Q

/* e^t - 1, |t| <= ln 2. */
static f128 expm1_series(f128 t)
{
    f128 term = t, sum = 0;
    for (uint32_t k = 2; k < 34; k++) {
        sum += term;
        term = term * t / (f128)k;
    }
    return sum + term;
}

/* ln of (1 + s) / (1 - s), |s| < 0.18. */
static f128 log_series(f128 s)
{
    f128 square = s * s, power = s, sum = 0;
    for (uint32_t k = 1; k < 52; k += 2) {
        sum += power / (f128)k;
        power *= square;
    }
    return 2 * sum;
}

/* log2 of a positive normal or denormal number. */
static f128 log2_of(long double x)
{
    union x86_fpr u = {.f = x};
    int32_t e = (u.u16[4] & 0x7fff) - 16383;
    uint64_t m = u.mm;
    if (e == -16383)
        e++;
    while (!(m >> 63)) {
        m <<= 1;
        e--;
    }
    f128 v = (f128)m * 0x1p-63Q;
    if (v > SQRT2) {
        v /= 2;
        e++;
    }
    return (f128)e + log_series((v - 1) / (v + 1)) / LN2;
}

/* Square root by Newton's rule from the 64-bit one. */
static f128 root(f128 x)
{
    f128 r = (f128)__builtin_sqrtl((long double)x);
    return (r + x / r) / 2;
}

/* Arc tangent of t in [0, 1]: halved three times, then the series. */
static f128 atan_unit(f128 t)
{
    for (uint32_t i = 0; i < 3; i++)
        t = t / (1 + root(1 + t * t));
    f128 square = t * t, power = t, sum = 0;
    for (uint32_t k = 1; k < 52; k += 2) {
        sum += power / (f128)(int32_t)(k & 2 ? -(int32_t)k : (int32_t)k);
        power *= square;
    }
    return 8 * sum;
}
static f128 atan2_of(f128 y, f128 x)
{
    f128 ay = y < 0 ? -y : y, ax = x < 0 ? -x : x, r;
    if (ay <= ax)
        r = atan_unit(ay / ax);
    else
        r = PI / 2 - atan_unit(ax / ay);
    if (x < 0)
        r = PI - r;
    return y < 0 ? -r : r;
}

/* Sine and cosine of x, |x| < 2^63. */
static void sin_cos(f128 x, f128 *s, f128 *c)
{
    f128 quarter = PI66 / 2, n = x / quarter;
    int64_t k = (int64_t)(n < 0 ? n - 0.5Q : n + 0.5Q);
    f128 t = x - (f128)k * (f128)0xc90fdaa22168c234 * 0x1p-63Q - (f128)k * (f128)0xc * 0x1p-67Q;
    f128 sine = 0, cosine = 0, term = 1;
    for (uint32_t i = 1; i < 34; i += 2) {
        cosine += term;
        term = term * t / (f128)i;
        sine += term;
        term = -term * t / (f128)(i + 1);
    }
    *s = k & 1 ? cosine : sine;
    *c = k & 1 ? sine : cosine;
    if (k & 2)
        *s = -*s;
    if ((k + 1) & 2)
        *c = -*c;
}

/* ---- operands and results ---- */

enum kind { ORDINARY, DENORMAL, OTHER };
static enum kind kind_of(const union x86_fpr *v)
{
    uint32_t e = v->u16[4] & 0x7fff;
    if (!e)
        return v->mm ? DENORMAL : OTHER;
    return e == 0x7fff || !(v->mm >> 63) ? OTHER : ORDINARY;
}

/* v rounded into r: the status word. */
static uint16_t rounded(f128 v, union x86_fpr *r)
{
    r->f = (long double)v;
    f128 back = (f128)r->f;
    uint32_t e = r->u16[4] & 0x7fff;
    f128 size = v < 0 ? -v : v, size_back = back < 0 ? -back : back;
    return (uint16_t)((back != v ? FSW_PE : 0) | (size_back > size ? FSW_C1 : 0) | (e == 0 && back != v ? FSW_UE : 0) |
                      (e == 0x7fff ? 8u | FSW_PE : 0));
}

#define HOST(name, insn, after)                                                                                        \
    static uint16_t name(const union x86_fpr *st0, const union x86_fpr *st1, union x86_fpr *r)                         \
    {                                                                                                                  \
        typedef uint8_t t80[10];                                                                                       \
        uint16_t sw;                                                                                                   \
        __asm__ volatile("fnclex\n\tfldt %3\n\tfldt %2\n\t" insn "\n\tfnstsw %1\n\tfnclex\n\tfstpt %0\n\t" after       \
                         : "=m"(*(t80 *)r->u8), "=m"(sw)                                                               \
                         : "m"(*(const t80 *)st0->u8), "m"(*(const t80 *)st1->u8)                                      \
                         : "st", "st(1)", "memory");                                                                   \
        return sw;                                                                                                     \
    }
HOST(host_f2xm1, "f2xm1", "fstp %%st(0)")
HOST(host_fyl2x, "fyl2x", "")
HOST(host_fyl2xp1, "fyl2xp1", "")
HOST(host_fpatan, "fpatan", "")
HOST(host_fsin, "fsin", "fstp %%st(0)")
HOST(host_fcos, "fcos", "fstp %%st(0)")

typedef uint16_t host_fn(const union x86_fpr *st0, const union x86_fpr *st1, union x86_fpr *r);

/* The calculations want round-to-nearest; their own flags are nobody's. */
#define CALCULATE(statement)                                                                                           \
    do {                                                                                                               \
        uint32_t mxcsr = _mm_getcsr();                                                                                 \
        _mm_setcsr(0x1f80);                                                                                            \
        statement;                                                                                                     \
        _mm_setcsr(mxcsr);                                                                                             \
    } while (0)

static const struct x86_op *finish(struct x86_cpu *cpu, const struct x86_op *op)
{
    cpu->state.x87.fip = cpu->block->rip + op->at;
    return x86_next(op);
}

static X86_OP(f2xm1)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr r = fpu_indefinite(), *x = fpu_st(f, 0);
    uint16_t sw = FSW_IE | FSW_SF;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    if (!fpu_is_empty(f, 0)) {
        enum kind kind = kind_of(x);
        if (kind == ORDINARY && (x->f > 1 || x->f < -1)) { /* undefined: unchanged */
            r = *x;
            sw = 0;
        } else if (kind == ORDINARY) {
            CALCULATE(sw = rounded(expm1_series((f128)x->f * LN2), &r));
        } else {
            sw = host_f2xm1(x, x, &r);
        }
    }
    if (fpu_flags(f, sw, FSW_C1))
        fpu_set(f, 0, &r);
    return finish(cpu, op);
}

static uint16_t yl2x(const union x86_fpr *x, const union x86_fpr *y, union x86_fpr *r)
{
    uint16_t sw = 0;
    if (kind_of(x) == OTHER || kind_of(y) == OTHER || x->u16[4] & 0x8000 || x->f == 1)
        return host_fyl2x(x, y, r);
    CALCULATE(sw = rounded((f128)y->f * log2_of(x->f), r));
    return sw | (kind_of(x) == DENORMAL || kind_of(y) == DENORMAL ? FSW_DE : 0);
}
/* ST0 within 1 - sqrt(2) / 2 of zero; beyond, the manual leaves the result open. */
static uint16_t yl2xp1(const union x86_fpr *x, const union x86_fpr *y, union x86_fpr *r)
{
    uint16_t sw = 0;
    if (kind_of(x) != ORDINARY || kind_of(y) != ORDINARY || (x->u16[4] & 0x7fff) > 16382)
        return host_fyl2xp1(x, y, r);
    CALCULATE(sw = rounded((f128)y->f * log_series((f128)x->f / (2 + (f128)x->f)) / LN2, r));
    return sw;
}
static uint16_t patan(const union x86_fpr *x, const union x86_fpr *y, union x86_fpr *r)
{
    uint16_t sw = 0;
    if (kind_of(x) == OTHER || kind_of(y) == OTHER)
        return host_fpatan(x, y, r);
    CALCULATE(sw = rounded(atan2_of((f128)y->f, (f128)x->f), r));
    return sw | (kind_of(x) == DENORMAL || kind_of(y) == DENORMAL ? FSW_DE : 0);
}
/* ST1 = fn(ST0, ST1), and pop. */
static const struct x86_op *two(struct x86_cpu *cpu, const struct x86_op *op, host_fn *fn)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr r = fpu_indefinite();
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    bool is_empty = fpu_is_empty(f, 0) || fpu_is_empty(f, 1);
    uint16_t sw = is_empty ? FSW_IE | FSW_SF : fn(fpu_st(f, 0), fpu_st(f, 1), &r);
    if (fpu_flags(f, sw, FSW_C1)) {
        fpu_set(f, 1, &r);
        fpu_pop(f);
    }
    return finish(cpu, op);
}
static X86_OP(fyl2x)
{
    return two(cpu, op, yl2x);
}
static X86_OP(fyl2xp1)
{
    return two(cpu, op, yl2xp1);
}
static X86_OP(fpatan)
{
    return two(cpu, op, patan);
}

/* Sine into s and cosine into c; C2: out of range, nothing was done. */
static uint16_t circle(const union x86_fpr *x, union x86_fpr *s, union x86_fpr *c, uint16_t *sw_c)
{
    f128 sine, cosine;
    uint16_t sw = 0;
    *sw_c = 0;
    if (kind_of(x) != ORDINARY || (x->u16[4] & 0x7fff) >= 16383 + 63) {
        *sw_c = host_fcos(x, x, c);
        return host_fsin(x, x, s);
    }
    CALCULATE({
        sin_cos((f128)x->f, &sine, &cosine);
        sw = rounded(sine, s);
        *sw_c = rounded(cosine, c) | FSW_PE;
    });
    return sw | FSW_PE;
}
static const struct x86_op *one_of_circle(struct x86_cpu *cpu, const struct x86_op *op, bool is_sine)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr s = fpu_indefinite(), c = s;
    uint16_t sw = FSW_IE | FSW_SF, sw_c = sw;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    if (!fpu_is_empty(f, 0))
        sw = circle(fpu_st(f, 0), &s, &c, &sw_c);
    if (!is_sine)
        sw = sw_c;
    if (fpu_flags(f, sw, FSW_C1 | FSW_C2) && !(sw & FSW_C2))
        fpu_set(f, 0, is_sine ? &s : &c);
    return finish(cpu, op);
}
static X86_OP(fsin)
{
    return one_of_circle(cpu, op, true);
}
static X86_OP(fcos)
{
    return one_of_circle(cpu, op, false);
}

/* FSINCOS leaves the sine and pushes the cosine, FPTAN leaves the tangent and pushes 1. */
static const struct x86_op *pushing(struct x86_cpu *cpu, const struct x86_op *op, bool is_tangent)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr s = fpu_indefinite(), c = s, one = {.f = 1};
    uint16_t sw = FSW_IE | FSW_SF, sw_c = sw;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    bool is_empty = fpu_is_empty(f, 0);
    if (!is_empty && !fpu_is_empty(f, 7))
        sw = FSW_IE | FSW_SF | FSW_C1;
    else if (!is_empty)
        sw = circle(fpu_st(f, 0), &s, &c, &sw_c);
    if (!(sw & (FSW_IE | FSW_C2))) {
        if (is_tangent && kind_of(&s) == ORDINARY) {
            f128 sine, cosine;
            const union x86_fpr *x = fpu_st(f, 0);
            CALCULATE(sin_cos((f128)x->f, &sine, &cosine); sw = rounded(sine / cosine, &s) | FSW_PE);
        }
        if (is_tangent && (s.u16[4] & 0x7fff) != 0x7fff)
            c = one;
        else if (!is_tangent)
            sw = (uint16_t)((sw & ~FSW_C1) | sw_c);
    }
    if (fpu_flags(f, sw, FSW_C1 | FSW_C2) && !(sw & FSW_C2)) {
        fpu_set(f, 0, &s);
        fpu_turn(f, 7);
        fpu_set(f, 0, &c);
    }
    return finish(cpu, op);
}
static X86_OP(fsincos)
{
    return pushing(cpu, op, false);
}
static X86_OP(fptan)
{
    return pushing(cpu, op, true);
}

/* clang-format off */
#define F(mnemonic, name) {ZYDIS_MNEMONIC_##mnemonic, x86_op_##name, 0},
const struct x86_form x86_fpu_math_forms[] = {
    F(F2XM1, f2xm1) F(FYL2X, fyl2x) F(FYL2XP1, fyl2xp1) F(FPATAN, fpatan) F(FSIN, fsin) F(FCOS, fcos)
        F(FSINCOS, fsincos) F(FPTAN, fptan){0, NULL, 0},
};
/* clang-format on */

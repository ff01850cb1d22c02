/* SPDX-License-Identifier: MIT */
/* x87 arithmetic and comparisons. */
#include "sim/cpu/x86_fpu_host.h"

/* ---- host operations: r = a op b under cw; the status word is returned ---- */

#define HOST(name, T, before, insn, after)                                                                             \
    static uint16_t name(const union x86_fpr *a, const void *b, uint16_t cw, union x86_fpr *r)                         \
    {                                                                                                                  \
        uint16_t sw, host = FPU_HOST_CW;                                                                               \
        __asm__ volatile(                                                                                              \
            "fnclex\n\t" before "fldt %[a]\n\tfldcw %[cw]\n\t" insn                                                    \
            "\n\tfnstsw %[sw]\n\tfnclex\n\tfldcw %[host]\n\tfstpt %[r]\n\t" after                                      \
            : [sw] "=m"(sw), [r] "=m"(*(fpu_bytes10 *)r->u8)                                                           \
            : [a] "m"(*(const fpu_bytes10 *)a->u8), [b] "m"(*(const T *)b), [cw] "m"(cw), [host] "m"(host)             \
            : "st", "st(1)", "memory");                                                                                \
        return sw;                                                                                                     \
    }
#define BELOW "fldt %[b]\n\t"
#define DROP  "fstp %%st(0)\n\t"
#define ARITHMETIC(insn)                                                                                               \
    HOST(insn##_st, fpu_bytes10, BELOW, #insn " %%st(1), %%st", DROP)                                                  \
    HOST(insn##_m32, float, "", #insn "s %[b]", "")                                                                    \
    HOST(insn##_m64, double, "", #insn "l %[b]", "")
ARITHMETIC(fadd)
ARITHMETIC(fmul)
ARITHMETIC(fsub)
ARITHMETIC(fsubr)
ARITHMETIC(fdiv)
ARITHMETIC(fdivr)
HOST(fcom_st, fpu_bytes10, BELOW, "fcom %%st(1)", DROP)
HOST(fcom_m32, float, "", "fcoms %[b]", "")
HOST(fcom_m64, double, "", "fcoml %[b]", "")
HOST(host_fucom, fpu_bytes10, BELOW, "fucom %%st(1)", DROP)
HOST(host_fprem, fpu_bytes10, BELOW, "fprem", DROP)
HOST(host_fprem1, fpu_bytes10, BELOW, "fprem1", DROP)
HOST(host_fscale, fpu_bytes10, BELOW, "fscale", DROP)
HOST(host_fsqrt, fpu_bytes10, "", "fsqrt", "")
HOST(host_frndint, fpu_bytes10, "", "frndint", "")
HOST(host_ftst, fpu_bytes10, "", "ftst", "")

/* By the reg field of ModRM; 2 and 3 are comparisons. */
static fpu_host_fn *const by_st[] = {fadd_st, fmul_st, fcom_st, fcom_st, fsub_st, fsubr_st, fdiv_st, fdivr_st};
static fpu_host_fn *const by_m32[] = {fadd_m32, fmul_m32, fcom_m32, fcom_m32, fsub_m32, fsubr_m32, fdiv_m32, fdivr_m32};
static fpu_host_fn *const by_m64[] = {fadd_m64, fmul_m64, fcom_m64, fcom_m64, fsub_m64, fsubr_m64, fdiv_m64, fdivr_m64};

/* ---- before and after ---- */

static bool faults(struct x86_cpu *cpu, enum x86_vector vector)
{
    cpu->stop = X86_STOP_FAULT;
    cpu->fault = (struct x86_fault){.vector = (uint8_t)vector};
    return false;
}
bool fpu_begin(struct x86_cpu *cpu)
{
    if (unlikely(cpu->state.cr0 & (CR0_EM | CR0_TS)))
        return faults(cpu, X86_NM);
    return likely(!(cpu->state.x87.sw & FSW_ES)) || faults(cpu, X86_MF);
}
bool fpu_begin_mmx(struct x86_cpu *cpu)
{
    if (unlikely(cpu->state.cr0 & CR0_EM))
        return faults(cpu, X86_UD);
    return fpu_begin(cpu);
}

/* ---- arithmetic and comparisons ---- */

/* ST0 op the other operand, which is in memory or ST(i). False: a fault. */
static bool operate(struct x86_cpu *cpu, const struct x86_op *op, union x86_fpr *r, uint16_t *sw)
{
    static const uint8_t n_bytes[] = {4, 0, 4, 0, 8, 0, 2, 0};
    struct x86_x87 *f = &cpu->state.x87;
    uint32_t other_st = FPU_MODRM(op) == 0xe9 && FPU_GROUP(op) == 2 ? 1 : FPU_RM(op), group = FPU_GROUP(op);
    union x86_fpr b, wide;
    const void *other = &b;
    fpu_host_fn *fn = by_st[FPU_FIELD(op)];
    bool is_empty = fpu_is_empty(f, 0);
    if (!FPU_IS_MEM(op)) {
        other = fpu_st(f, other_st);
        is_empty |= fpu_is_empty(f, other_st);
    } else {
        if (!fpu_source(cpu, op, n_bytes[group], &b))
            return false;
        if (group == 0 || group == 4) {
            fn = (group == 0 ? by_m32 : by_m64)[FPU_FIELD(op)];
        } else {
            fpu_load_int(&b, n_bytes[group], &wide);
            other = &wide;
        }
    }
    *sw = is_empty ? fpu_underflow(r) : fn(fpu_st(f, 0), other, f->cw, r);
    return true;
}

static X86_OP(arithmetic)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr r;
    uint16_t sw;
    if (!fpu_begin(cpu) || !operate(cpu, op, &r, &sw))
        return x86_stop(cpu, op);
    if (fpu_flags(f, sw, FSW_C1)) {
        fpu_set(f, !FPU_IS_MEM(op) && FPU_GROUP(op) >= 4 ? FPU_RM(op) : 0, &r);
        if (!FPU_IS_MEM(op) && FPU_GROUP(op) == 6)
            fpu_pop(f);
    }
    return fpu_done(cpu, op);
}

/* How many registers a comparison pops. */
static uint32_t n_pops(const struct x86_op *op)
{
    uint32_t g = FPU_GROUP(op), field = FPU_FIELD(op);
    if (FPU_IS_MEM(op) || g == 0 || g == 4)
        return field == 3;
    if (g == 2)
        return 2; /* FUCOMPP */
    if (g == 6)
        return field == 3 ? 2 : 1; /* FCOMPP; FCOMP at DE D0 */
    if (g == 7)
        return 1; /* FCOMIP, FUCOMIP */
    return g == 5 && field == 5;
}
/* fn: between registers; NULL: as operate() does. */
static const struct x86_op *compare(struct x86_cpu *cpu, const struct x86_op *op, fpu_host_fn *fn, bool to_flags)
{
    struct x86_x87 *f = &cpu->state.x87;
    uint32_t other = FPU_GROUP(op) == 2 ? 1 : FPU_RM(op);
    union x86_fpr r;
    uint16_t sw;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    if (fn)
        sw = fpu_is_empty(f, 0) || fpu_is_empty(f, other) ? fpu_underflow(&r)
                                                          : fn(fpu_st(f, 0), fpu_st(f, other), f->cw, &r);
    else if (!operate(cpu, op, &r, &sw))
        return x86_stop(cpu, op);
    if (sw & FSW_SF)
        sw |= FSW_C0 | FSW_C2 | FSW_C3; /* unordered */
    sw &= (uint16_t)~FSW_C1;
    uint32_t which = to_flags ? (sw & FSW_SF ? FSW_C1 : 0) : FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3;
    if (to_flags)
        x86_put_flags(cpu, (sw & FSW_C0 ? X86_CF : 0) | (sw & FSW_C2 ? X86_PF : 0) | (sw & FSW_C3 ? X86_ZF : 0));
    if (fpu_flags(f, sw & (which | FSW_ALL | FSW_SF), which)) {
        for (uint32_t i = n_pops(op); i; i--)
            fpu_pop(f);
    }
    return fpu_done(cpu, op);
}
static X86_OP(fcom)
{
    return compare(cpu, op, FPU_IS_MEM(op) ? NULL : fcom_st, false);
}
static X86_OP(fucom)
{
    return compare(cpu, op, host_fucom, false);
}
static X86_OP(fcomi)
{
    return compare(cpu, op, fcom_st, true);
}
static X86_OP(fucomi)
{
    return compare(cpu, op, host_fucom, true);
}
static X86_OP(ftst)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr r;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    uint32_t sw = fpu_is_empty(f, 0) ? fpu_underflow(&r) | FSW_C0 | FSW_C2 | FSW_C3
                                     : host_ftst(fpu_st(f, 0), fpu_st(f, 0), f->cw, &r);
    sw &= ~FSW_C1;
    fpu_flags(f, sw, FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3);
    return fpu_done(cpu, op);
}
static X86_OP(fxam)
{
    struct x86_x87 *f = &cpu->state.x87;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    const union x86_fpr *v = fpu_st(f, 0);
    uint32_t e = v->u16[4] & 0x7fff, c = FSW_C2; /* normal */
    if (fpu_is_empty(f, 0))
        c = FSW_C3 | FSW_C0;
    else if (!e)
        c = v->mm ? FSW_C3 | FSW_C2 : FSW_C3;
    else if (!(v->mm >> 63))
        c = 0; /* unsupported */
    else if (e == 0x7fff)
        c = v->mm << 1 ? FSW_C0 : FSW_C2 | FSW_C0;
    fpu_flags(f, c | (v->u16[4] & 0x8000 ? FSW_C1 : 0), FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3);
    return fpu_done(cpu, op);
}

/* ST0 = fn(ST0, ST1); which: the condition bits that it sets. */
static const struct x86_op *in_place(struct x86_cpu *cpu, const struct x86_op *op, fpu_host_fn *fn, bool is_binary,
                                     uint32_t which)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr r;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    bool is_empty = fpu_is_empty(f, 0) || (is_binary && fpu_is_empty(f, 1));
    uint16_t sw = is_empty ? fpu_underflow(&r) : fn(fpu_st(f, 0), fpu_st(f, 1), f->cw, &r);
    /* No quotient: its bits stay as they were, and nothing is left to reduce. */
    bool is_open = sw & FSW_IE || sw & ~(uint32_t)f->cw & FSW_EARLY || ((r.u16[4] & 0x7fff) == 0x7fff && r.mm << 1);
    if (is_open)
        which &= FSW_C1 | FSW_C2;
    if (fpu_flags(f, is_open ? sw & ~FSW_C2 : sw, which))
        fpu_set(f, 0, &r);
    return fpu_done(cpu, op);
}
#define IN_PLACE(name, is_binary, which)                                                                               \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        return in_place(cpu, op, host_##name, is_binary, which);                                                       \
    }
IN_PLACE(fsqrt, false, FSW_C1)
IN_PLACE(frndint, false, FSW_C1)
IN_PLACE(fscale, true, FSW_C1)
IN_PLACE(fprem, true, FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3)
IN_PLACE(fprem1, true, FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3)

/* FABS, FCHS: the sign only. */
static X86_OP(sign)
{
    struct x86_x87 *f = &cpu->state.x87;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    union x86_fpr r = *fpu_st(f, 0);
    r.u16[4] = FPU_MODRM(op) == 0xe1 ? r.u16[4] & 0x7fff : r.u16[4] ^ 0x8000;
    if (fpu_flags(f, fpu_is_empty(f, 0) ? fpu_underflow(&r) : 0, FSW_C1))
        fpu_set(f, 0, &r);
    return fpu_done(cpu, op);
}
static X86_OP(fxtract)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr e, s;
    uint16_t sw, host = FPU_HOST_CW;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    if (fpu_is_empty(f, 0)) {
        sw = fpu_underflow(&s);
        e = s;
    } else if (!fpu_is_empty(f, 7)) {
        sw = fpu_underflow(&s) | FSW_C1;
        e = s;
    } else {
        __asm__ volatile("fnclex\n\tfldt %3\n\tfxtract\n\tfnstsw %2\n\tfnclex\n\tfldcw %4\n\tfstpt %0\n\tfstpt %1"
                         : "=m"(*(fpu_bytes10 *)s.u8), "=m"(*(fpu_bytes10 *)e.u8), "=m"(sw)
                         : "m"(*(fpu_bytes10 *)fpu_st(f, 0)->u8), "m"(host)
                         : "st", "st(1)", "memory");
    }
    if (fpu_flags(f, sw, FSW_C1)) {
        fpu_set(f, 0, &e);
        fpu_turn(f, 7);
        fpu_set(f, 0, &s);
    }
    return fpu_done(cpu, op);
}

/* clang-format off */
#define F(mnemonic, name) {ZYDIS_MNEMONIC_##mnemonic, x86_op_##name, 0},
const struct x86_form x86_fpu_forms[] = {
    F(FADD, arithmetic) F(FADDP, arithmetic) F(FIADD, arithmetic) F(FMUL, arithmetic) F(FMULP, arithmetic)
    F(FIMUL, arithmetic) F(FSUB, arithmetic) F(FSUBP, arithmetic) F(FISUB, arithmetic) F(FSUBR, arithmetic)
    F(FSUBRP, arithmetic) F(FISUBR, arithmetic) F(FDIV, arithmetic) F(FDIVP, arithmetic) F(FIDIV, arithmetic)
    F(FDIVR, arithmetic) F(FDIVRP, arithmetic) F(FIDIVR, arithmetic)
    F(FCOM, fcom) F(FCOMP, fcom) F(FCOMPP, fcom) F(FICOM, fcom) F(FICOMP, fcom)
    F(FUCOM, fucom) F(FUCOMP, fucom) F(FUCOMPP, fucom)
    F(FCOMI, fcomi) F(FCOMIP, fcomi) F(FUCOMI, fucomi) F(FUCOMIP, fucomi)
    F(FTST, ftst) F(FXAM, fxam) F(FSQRT, fsqrt) F(FRNDINT, frndint) F(FSCALE, fscale) F(FPREM, fprem)
    F(FPREM1, fprem1) F(FABS, sign) F(FCHS, sign) F(FXTRACT, fxtract)
    {0, NULL, 0},
};
/* clang-format on */

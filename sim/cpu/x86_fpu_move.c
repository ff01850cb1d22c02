/* SPDX-License-Identifier: MIT */
/* x87 loads and stores, and what only moves registers: exchanges, conditional moves, the top of the stack. */
#include "sim/cpu/x86_fpu_host.h"

/* Loads and stores, with all exceptions masked: the caller sees which the guest has not masked. */
#define LOAD(name, T, insn)                                                                                            \
    static uint16_t name(const union x86_fpr *a, const void *b, uint16_t cw, union x86_fpr *r)                         \
    {                                                                                                                  \
        uint16_t sw, host = FPU_HOST_CW, masked = cw | FSW_ALL;                                                        \
        (void)a;                                                                                                       \
        __asm__ volatile("fnclex\n\tfldcw %[cw]\n\t" insn "\n\tfnstsw %[sw]\n\tfnclex\n\tfldcw %[host]\n\tfstpt %[r]"  \
                         : [sw] "=m"(sw), [r] "=m"(*(fpu_bytes10 *)r->u8)                                              \
                         : [b] "m"(*(const T *)b), [cw] "m"(masked), [host] "m"(host)                                  \
                         : "st", "memory");                                                                            \
        return sw;                                                                                                     \
    }
LOAD(load_m32, float, "flds %[b]")
LOAD(load_m64, double, "fldl %[b]")
LOAD(load_m80, fpu_bytes10, "fldt %[b]")
LOAD(load_i16, int16_t, "filds %[b]")
LOAD(load_i32, int32_t, "fildl %[b]")
LOAD(load_i64, int64_t, "fildll %[b]")
LOAD(load_bcd, fpu_bytes10, "fbld %[b]")
LOAD(load_1, uint8_t, "fld1")
LOAD(load_l2t, uint8_t, "fldl2t")
LOAD(load_l2e, uint8_t, "fldl2e")
LOAD(load_pi, uint8_t, "fldpi")
LOAD(load_lg2, uint8_t, "fldlg2")
LOAD(load_ln2, uint8_t, "fldln2")
LOAD(load_z, uint8_t, "fldz")

void fpu_load_int(const void *b, uint32_t n, union x86_fpr *r)
{
    (n == 2 ? load_i16 : load_i32)(NULL, b, FPU_HOST_CW, r);
}

#define STORE(name, T, insn)                                                                                           \
    static uint16_t name(const union x86_fpr *a, const void *b, uint16_t cw, union x86_fpr *r)                         \
    {                                                                                                                  \
        uint16_t sw, host = FPU_HOST_CW, masked = cw | FSW_ALL;                                                        \
        (void)b;                                                                                                       \
        __asm__ volatile("fnclex\n\tfldt %[a]\n\tfldcw %[cw]\n\t" insn                                                 \
                         " %[r]\n\tfnstsw %[sw]\n\tfnclex\n\tfldcw %[host]"                                            \
                         : [sw] "=m"(sw), [r] "=m"(*(T *)r->u8)                                                        \
                         : [a] "m"(*(const fpu_bytes10 *)a->u8), [cw] "m"(masked), [host] "m"(host)                    \
                         : "st", "memory");                                                                            \
        return sw;                                                                                                     \
    }
STORE(store_m32, uint32_t, "fstps")
STORE(store_m64, uint64_t, "fstpl")
STORE(store_m80, fpu_bytes10, "fstpt")
STORE(store_i16, uint16_t, "fistps")
STORE(store_i32, uint32_t, "fistpl")
STORE(store_i64, uint64_t, "fistpll")
STORE(trunc_i16, uint16_t, "fisttps")
STORE(trunc_i32, uint32_t, "fisttpl")
STORE(trunc_i64, uint64_t, "fisttpll")
STORE(store_bcd, fpu_bytes10, "fbstp")

/* ---- loads and stores ---- */

static void push(struct x86_x87 *f, uint32_t sw, const union x86_fpr *v)
{
    union x86_fpr bad = fpu_indefinite();
    if (!fpu_is_empty(f, 7) && !(sw & FSW_SF)) {
        sw = FSW_IE | FSW_SF | FSW_C1;
        v = &bad;
    }
    /* A denormal is loaded even where that exception is not masked, as on the processors that were tried. */
    if (!fpu_flags(f, sw, FSW_C1) && sw & ~(uint32_t)f->cw & FSW_EARLY & ~FSW_DE)
        return;
    fpu_turn(f, 7);
    fpu_set(f, 0, v);
}
static const struct x86_op *load(struct x86_cpu *cpu, const struct x86_op *op, fpu_host_fn *fn, uint32_t n)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr b = {.u16 = {0}}, r;
    if (!fpu_begin(cpu) || (n && !fpu_source(cpu, op, n, &b)))
        return x86_stop(cpu, op);
    push(f, fn(NULL, &b, f->cw, &r) & ~FSW_C1, &r);
    return fpu_done(cpu, op);
}
static X86_OP(fld)
{
    struct x86_x87 *f = &cpu->state.x87;
    if (FPU_IS_MEM(op)) {
        if (FPU_GROUP(op) == 3)
            return load(cpu, op, load_m80, 10);
        return FPU_GROUP(op) == 1 ? load(cpu, op, load_m32, 4) : load(cpu, op, load_m64, 8);
    }
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    union x86_fpr r = *fpu_st(f, FPU_RM(op));
    push(f, fpu_is_empty(f, FPU_RM(op)) ? fpu_underflow(&r) : 0, &r);
    return fpu_done(cpu, op);
}
static X86_OP(fild)
{
    if (FPU_GROUP(op) == 3)
        return load(cpu, op, load_i32, 4);
    return FPU_FIELD(op) == 0 ? load(cpu, op, load_i16, 2) : load(cpu, op, load_i64, 8);
}
static X86_OP(fbld)
{
    return load(cpu, op, load_bcd, 10);
}
static X86_OP(constant)
{
    static fpu_host_fn *const fn[] = {load_1, load_l2t, load_l2e, load_pi, load_lg2, load_ln2, load_z, load_z};
    return load(cpu, op, fn[FPU_RM(op)], 0);
}

static bool is_tiny(fpu_host_fn *fn, const union x86_fpr *r)
{
    return (fn == store_m32 && !(r->u16[1] & 0x7f80)) || (fn == store_m64 && !(r->u16[3] & 0x7ff0));
}
static const struct x86_op *store(struct x86_cpu *cpu, const struct x86_op *op, fpu_host_fn *fn, uint32_t n, bool pops)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr bad, r;
    uint64_t gva = x86_address(cpu, op);
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    bool is_empty = fpu_is_empty(f, 0);
    uint16_t sw = is_empty ? fpu_underflow(&bad) : 0;
    uint16_t stored = fn(is_empty ? &bad : fpu_st(f, 0), NULL, f->cw, &r);
    if (!is_empty)
        sw = stored;
    if (!(sw & FSW_EARLY) && is_tiny(fn, &r) && (fpu_st(f, 0)->mm || fpu_st(f, 0)->u16[4] & 0x7fff))
        sw |= f->cw & FSW_UE ? 0 : FSW_UE; /* unmasked, an exact result signals it too */
    /* Unmasked, only an inexact result is stored. */
    if (sw & ~(uint32_t)f->cw & FSW_ALL & ~FSW_PE) {
        if (!x86_probe_write(cpu, op, gva, n))
            return x86_stop(cpu, op);
        fpu_flags(f, sw & ~(FSW_C1 | FSW_PE), FSW_C1);
    } else {
        if (!x86_store(cpu, op, gva, &r, n))
            return x86_stop(cpu, op);
        fpu_flags(f, sw, FSW_C1);
        if (pops)
            fpu_pop(f);
    }
    return fpu_done(cpu, op);
}
static X86_OP(fst)
{
    struct x86_x87 *f = &cpu->state.x87;
    bool pops = FPU_FIELD(op) == 3 || FPU_FIELD(op) == 7 || (!FPU_IS_MEM(op) && FPU_GROUP(op) == 7);
    if (FPU_IS_MEM(op)) {
        if (FPU_GROUP(op) == 3)
            return store(cpu, op, store_m80, 10, true);
        return FPU_GROUP(op) == 1 ? store(cpu, op, store_m32, 4, pops) : store(cpu, op, store_m64, 8, pops);
    }
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    union x86_fpr r = *fpu_st(f, 0);
    if (fpu_flags(f, fpu_is_empty(f, 0) ? fpu_underflow(&r) : 0, FSW_C1)) {
        fpu_set(f, FPU_RM(op), &r);
        if (pops)
            fpu_pop(f);
    }
    return fpu_done(cpu, op);
}
/* As FSTP ST(i), but an empty register is no exception. */
static X86_OP(fstpnce)
{
    struct x86_x87 *f = &cpu->state.x87;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    union x86_fpr r = *fpu_st(f, 0);
    fpu_flags(f, 0, FSW_C1);
    if (!fpu_is_empty(f, 0))
        fpu_set(f, FPU_RM(op), &r);
    fpu_pop(f);
    return fpu_done(cpu, op);
}
static X86_OP(fist)
{
    if (FPU_GROUP(op) == 3)
        return store(cpu, op, store_i32, 4, FPU_FIELD(op) == 3);
    return FPU_FIELD(op) == 7 ? store(cpu, op, store_i64, 8, true) : store(cpu, op, store_i16, 2, FPU_FIELD(op) == 3);
}
static X86_OP(fisttp)
{
    if (FPU_GROUP(op) == 3)
        return store(cpu, op, trunc_i32, 4, true);
    return FPU_GROUP(op) == 5 ? store(cpu, op, trunc_i64, 8, true) : store(cpu, op, trunc_i16, 2, true);
}
static X86_OP(fbstp)
{
    return store(cpu, op, store_bcd, 10, true);
}

/* ---- the stack ---- */

static X86_OP(fxch)
{
    struct x86_x87 *f = &cpu->state.x87;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    bool e0 = fpu_is_empty(f, 0), e1 = fpu_is_empty(f, FPU_RM(op));
    union x86_fpr a = e0 ? fpu_indefinite() : *fpu_st(f, 0), b = e1 ? fpu_indefinite() : *fpu_st(f, FPU_RM(op));
    if (fpu_flags(f, e0 || e1 ? FSW_IE | FSW_SF : 0, FSW_C1)) {
        fpu_set(f, 0, &b);
        fpu_set(f, FPU_RM(op), &a);
    }
    return fpu_done(cpu, op);
}
/* By opcode DA or DB and reg: B, E, BE, U, and their opposites. */
static X86_OP(fcmov)
{
    static const uint8_t when[] = {X86_CF, X86_ZF, X86_CF | X86_ZF, X86_PF};
    struct x86_x87 *f = &cpu->state.x87;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    bool is_empty = fpu_is_empty(f, 0) || fpu_is_empty(f, FPU_RM(op));
    bool moves = (x86_get_flags(cpu) & when[FPU_FIELD(op) & 3]) != 0;
    moves ^= FPU_GROUP(op) == 3;
    union x86_fpr r = *fpu_st(f, FPU_RM(op));
    if (fpu_flags(f, is_empty ? fpu_underflow(&r) : 0, is_empty ? FSW_C1 : 0) && (moves || is_empty))
        fpu_set(f, 0, &r);
    return fpu_done(cpu, op);
}
static X86_OP(turn)
{
    struct x86_x87 *f = &cpu->state.x87;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    fpu_turn(f, FPU_MODRM(op) == 0xf6 ? 7 : 1);
    fpu_flags(f, 0, FSW_C1);
    return fpu_done(cpu, op);
}
static X86_OP(ffree)
{
    struct x86_x87 *f = &cpu->state.x87;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    fpu_tag(f, FPU_RM(op), true);
    fpu_flags(f, 0, FSW_C1);
    if (FPU_GROUP(op) == 7)
        fpu_pop(f);
    return fpu_done(cpu, op);
}
static X86_OP(fnop)
{
    return fpu_begin(cpu) ? x86_next(op) : x86_stop(cpu, op);
}

/* clang-format off */
#define F(mnemonic, name) {ZYDIS_MNEMONIC_##mnemonic, x86_op_##name, 0},
const struct x86_form x86_fpu_move_forms[] = {
    F(FLD, fld) F(FILD, fild) F(FBLD, fbld) F(FLD1, constant) F(FLDL2T, constant) F(FLDL2E, constant)
    F(FLDPI, constant) F(FLDLG2, constant) F(FLDLN2, constant) F(FLDZ, constant)
    F(FST, fst) F(FSTP, fst) F(FSTPNCE, fstpnce) F(FIST, fist) F(FISTP, fist) F(FISTTP, fisttp) F(FBSTP, fbstp)
    F(FXCH, fxch) F(FCMOVB, fcmov) F(FCMOVE, fcmov) F(FCMOVBE, fcmov) F(FCMOVU, fcmov) F(FCMOVNB, fcmov)
    F(FCMOVNE, fcmov) F(FCMOVNBE, fcmov) F(FCMOVNU, fcmov)
    F(FINCSTP, turn) F(FDECSTP, turn) F(FFREE, ffree) F(FFREEP, ffree) F(FNOP, fnop)
    {0, NULL, 0},
};
/* clang-format on */

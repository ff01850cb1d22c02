/* SPDX-License-Identifier: MIT */
/* x87 arithmetic, loads, stores and comparisons: the host's own instruction under the guest's control word, on an
 * otherwise empty host stack. Unmasked exceptions do not reach the host: its flags are cleared before the next waiting
 * instruction. */
#include "sim/cpu/x86_fpu.h"

#define HOST_CW 0x37f /* of a C program: System V ABI, AMD64, 3.2.1 */

/* ---- host operations: r = a op b under cw; the status word is returned ---- */

typedef uint8_t bytes10[10];
typedef uint16_t host_fn(const union x86_fpr *a, const void *b, uint16_t cw, union x86_fpr *r);

#define HOST(name, T, before, insn, after)                                                                             \
    static uint16_t name(const union x86_fpr *a, const void *b, uint16_t cw, union x86_fpr *r)                         \
    {                                                                                                                  \
        uint16_t sw, host = HOST_CW;                                                                                   \
        __asm__ volatile("fnclex\n\t" before "fldt %[a]\n\tfldcw %[cw]\n\t" insn                                       \
                         "\n\tfnstsw %[sw]\n\tfnclex\n\tfldcw %[host]\n\tfstpt %[r]\n\t" after                         \
                         : [sw] "=m"(sw), [r] "=m"(*(bytes10 *)r->u8)                                                  \
                         : [a] "m"(*(const bytes10 *)a->u8), [b] "m"(*(const T *)b), [cw] "m"(cw), [host] "m"(host)    \
                         : "st", "st(1)", "memory");                                                                   \
        return sw;                                                                                                     \
    }
#define BELOW "fldt %[b]\n\t"
#define DROP  "fstp %%st(0)\n\t"
#define ARITHMETIC(insn)                                                                                               \
    HOST(insn##_st, bytes10, BELOW, #insn " %%st(1), %%st", DROP)                                                      \
    HOST(insn##_m32, float, "", #insn "s %[b]", "")                                                                    \
    HOST(insn##_m64, double, "", #insn "l %[b]", "")
ARITHMETIC(fadd)
ARITHMETIC(fmul)
ARITHMETIC(fsub)
ARITHMETIC(fsubr)
ARITHMETIC(fdiv)
ARITHMETIC(fdivr)
HOST(fcom_st, bytes10, BELOW, "fcom %%st(1)", DROP)
HOST(fcom_m32, float, "", "fcoms %[b]", "")
HOST(fcom_m64, double, "", "fcoml %[b]", "")
HOST(host_fucom, bytes10, BELOW, "fucom %%st(1)", DROP)
HOST(host_fprem, bytes10, BELOW, "fprem", DROP)
HOST(host_fprem1, bytes10, BELOW, "fprem1", DROP)
HOST(host_fscale, bytes10, BELOW, "fscale", DROP)
HOST(host_fsqrt, bytes10, "", "fsqrt", "")
HOST(host_frndint, bytes10, "", "frndint", "")
HOST(host_ftst, bytes10, "", "ftst", "")

/* By the reg field of ModRM; 2 and 3 are comparisons. */
static host_fn *const by_st[] = {fadd_st, fmul_st, fcom_st, fcom_st, fsub_st, fsubr_st, fdiv_st, fdivr_st};
static host_fn *const by_m32[] = {fadd_m32, fmul_m32, fcom_m32, fcom_m32, fsub_m32, fsubr_m32, fdiv_m32, fdivr_m32};
static host_fn *const by_m64[] = {fadd_m64, fmul_m64, fcom_m64, fcom_m64, fsub_m64, fsubr_m64, fdiv_m64, fdivr_m64};

/* Loads and stores, with all exceptions masked: the caller sees which the guest has not masked. */
#define LOAD(name, T, insn)                                                                                            \
    static uint16_t name(const union x86_fpr *a, const void *b, uint16_t cw, union x86_fpr *r)                         \
    {                                                                                                                  \
        uint16_t sw, host = HOST_CW, masked = cw | FSW_ALL;                                                            \
        (void)a;                                                                                                       \
        __asm__ volatile("fnclex\n\tfldcw %[cw]\n\t" insn "\n\tfnstsw %[sw]\n\tfnclex\n\tfldcw %[host]\n\tfstpt %[r]"  \
                         : [sw] "=m"(sw), [r] "=m"(*(bytes10 *)r->u8)                                                  \
                         : [b] "m"(*(const T *)b), [cw] "m"(masked), [host] "m"(host)                                  \
                         : "st", "memory");                                                                            \
        return sw;                                                                                                     \
    }
LOAD(load_m32, float, "flds %[b]")
LOAD(load_m64, double, "fldl %[b]")
LOAD(load_m80, bytes10, "fldt %[b]")
LOAD(load_i16, int16_t, "filds %[b]")
LOAD(load_i32, int32_t, "fildl %[b]")
LOAD(load_i64, int64_t, "fildll %[b]")
LOAD(load_bcd, bytes10, "fbld %[b]")
LOAD(load_1, uint8_t, "fld1")
LOAD(load_l2t, uint8_t, "fldl2t")
LOAD(load_l2e, uint8_t, "fldl2e")
LOAD(load_pi, uint8_t, "fldpi")
LOAD(load_lg2, uint8_t, "fldlg2")
LOAD(load_ln2, uint8_t, "fldln2")
LOAD(load_z, uint8_t, "fldz")

#define STORE(name, T, insn)                                                                                           \
    static uint16_t name(const union x86_fpr *a, const void *b, uint16_t cw, union x86_fpr *r)                         \
    {                                                                                                                  \
        uint16_t sw, host = HOST_CW, masked = cw | FSW_ALL;                                                            \
        (void)b;                                                                                                       \
        __asm__ volatile("fnclex\n\tfldt %[a]\n\tfldcw %[cw]\n\t" insn                                                 \
                         " %[r]\n\tfnstsw %[sw]\n\tfnclex\n\tfldcw %[host]"                                            \
                         : [sw] "=m"(sw), [r] "=m"(*(T *)r->u8)                                                        \
                         : [a] "m"(*(const bytes10 *)a->u8), [cw] "m"(masked), [host] "m"(host)                        \
                         : "st", "memory");                                                                            \
        return sw;                                                                                                     \
    }
STORE(store_m32, uint32_t, "fstps")
STORE(store_m64, uint64_t, "fstpl")
STORE(store_m80, bytes10, "fstpt")
STORE(store_i16, uint16_t, "fistps")
STORE(store_i32, uint32_t, "fistpl")
STORE(store_i64, uint64_t, "fistpll")
STORE(trunc_i16, uint16_t, "fisttps")
STORE(trunc_i32, uint32_t, "fisttpl")
STORE(trunc_i64, uint64_t, "fisttpll")
STORE(store_bcd, bytes10, "fbstp")

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

#define MODRM(op)  ((uint32_t)(op)->imm & 0xff)
#define GROUP(op)  ((uint32_t)(op)->imm >> 8 & 7) /* opcode - D8 */
#define FIELD(op)  (MODRM(op) >> 3 & 7)
#define RM(op)     (MODRM(op) & 7)
#define IS_MEM(op) ((op)->flags & X86F_MEM)

/* The instruction is done: its pointers stay for FNSTENV; its opcode too, after an unmasked exception. */
static const struct x86_op *done(struct x86_cpu *cpu, const struct x86_op *op)
{
    struct x86_x87 *f = &cpu->state.x87;
    f->fip = cpu->block->rip + op->at;
    if (IS_MEM(op))
        f->fdp = x86_address(cpu, op);
    if (unlikely(f->sw & FSW_ES))
        f->fop = (uint16_t)(op->imm & 0x7ff);
    return x86_next(op);
}

/* The result of an empty register. */
static uint16_t underflow(union x86_fpr *r)
{
    *r = fpu_indefinite();
    return FSW_IE | FSW_SF;
}

static bool source(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n, void *v)
{
    return x86_load(cpu, op, x86_address(cpu, op), v, n);
}

/* ---- arithmetic and comparisons ---- */

/* ST0 op the other operand, which is in memory or ST(i). False: a fault. */
static bool operate(struct x86_cpu *cpu, const struct x86_op *op, union x86_fpr *r, uint16_t *sw)
{
    static const uint8_t n_bytes[] = {4, 0, 4, 0, 8, 0, 2, 0};
    struct x86_x87 *f = &cpu->state.x87;
    uint32_t other_st = MODRM(op) == 0xe9 && GROUP(op) == 2 ? 1 : RM(op), group = GROUP(op);
    union x86_fpr b, wide;
    const void *other = &b;
    host_fn *fn = by_st[FIELD(op)];
    bool is_empty = fpu_is_empty(f, 0);
    if (!IS_MEM(op)) {
        other = fpu_st(f, other_st);
        is_empty |= fpu_is_empty(f, other_st);
    } else {
        if (!source(cpu, op, n_bytes[group], &b))
            return false;
        if (group == 0 || group == 4) {
            fn = (group == 0 ? by_m32 : by_m64)[FIELD(op)];
        } else {
            (group == 2 ? load_i32 : load_i16)(NULL, &b, HOST_CW, &wide);
            other = &wide;
        }
    }
    *sw = is_empty ? underflow(r) : fn(fpu_st(f, 0), other, f->cw, r);
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
        fpu_set(f, !IS_MEM(op) && GROUP(op) >= 4 ? RM(op) : 0, &r);
        if (!IS_MEM(op) && GROUP(op) == 6)
            fpu_pop(f);
    }
    return done(cpu, op);
}

/* How many registers a comparison pops. */
static uint32_t n_pops(const struct x86_op *op)
{
    uint32_t g = GROUP(op), field = FIELD(op);
    if (IS_MEM(op) || g == 0 || g == 4)
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
static const struct x86_op *compare(struct x86_cpu *cpu, const struct x86_op *op, host_fn *fn, bool to_flags)
{
    struct x86_x87 *f = &cpu->state.x87;
    uint32_t other = GROUP(op) == 2 ? 1 : RM(op);
    union x86_fpr r;
    uint16_t sw;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    if (fn)
        sw = fpu_is_empty(f, 0) || fpu_is_empty(f, other) ? underflow(&r)
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
    return done(cpu, op);
}
static X86_OP(fcom)
{
    return compare(cpu, op, IS_MEM(op) ? NULL : fcom_st, false);
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
    uint32_t sw = fpu_is_empty(f, 0) ? underflow(&r) | FSW_C0 | FSW_C2 | FSW_C3
                                     : host_ftst(fpu_st(f, 0), fpu_st(f, 0), f->cw, &r);
    sw &= ~FSW_C1;
    fpu_flags(f, sw, FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3);
    return done(cpu, op);
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
    return done(cpu, op);
}

/* ST0 = fn(ST0, ST1); which: the condition bits that it sets. */
static const struct x86_op *in_place(struct x86_cpu *cpu, const struct x86_op *op, host_fn *fn, bool is_binary,
                                     uint32_t which)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr r;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    bool is_empty = fpu_is_empty(f, 0) || (is_binary && fpu_is_empty(f, 1));
    uint16_t sw = is_empty ? underflow(&r) : fn(fpu_st(f, 0), fpu_st(f, 1), f->cw, &r);
    /* No quotient: its bits stay as they were, and nothing is left to reduce. */
    bool is_open = sw & FSW_IE || sw & ~(uint32_t)f->cw & FSW_EARLY || ((r.u16[4] & 0x7fff) == 0x7fff && r.mm << 1);
    if (is_open)
        which &= FSW_C1 | FSW_C2;
    if (fpu_flags(f, is_open ? sw & ~FSW_C2 : sw, which))
        fpu_set(f, 0, &r);
    return done(cpu, op);
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
    r.u16[4] = MODRM(op) == 0xe1 ? r.u16[4] & 0x7fff : r.u16[4] ^ 0x8000;
    if (fpu_flags(f, fpu_is_empty(f, 0) ? underflow(&r) : 0, FSW_C1))
        fpu_set(f, 0, &r);
    return done(cpu, op);
}
static X86_OP(fxtract)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr e, s;
    uint16_t sw, host = HOST_CW;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    if (fpu_is_empty(f, 0)) {
        sw = underflow(&s);
        e = s;
    } else if (!fpu_is_empty(f, 7)) {
        sw = underflow(&s) | FSW_C1;
        e = s;
    } else {
        __asm__ volatile("fnclex\n\tfldt %3\n\tfxtract\n\tfnstsw %2\n\tfnclex\n\tfldcw %4\n\tfstpt %0\n\tfstpt %1"
                         : "=m"(*(bytes10 *)s.u8), "=m"(*(bytes10 *)e.u8), "=m"(sw)
                         : "m"(*(bytes10 *)fpu_st(f, 0)->u8), "m"(host)
                         : "st", "st(1)", "memory");
    }
    if (fpu_flags(f, sw, FSW_C1)) {
        fpu_set(f, 0, &e);
        fpu_turn(f, 7);
        fpu_set(f, 0, &s);
    }
    return done(cpu, op);
}

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
static const struct x86_op *load(struct x86_cpu *cpu, const struct x86_op *op, host_fn *fn, uint32_t n)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr b = {.u16 = {0}}, r;
    if (!fpu_begin(cpu) || (n && !source(cpu, op, n, &b)))
        return x86_stop(cpu, op);
    push(f, fn(NULL, &b, f->cw, &r) & ~FSW_C1, &r);
    return done(cpu, op);
}
static X86_OP(fld)
{
    struct x86_x87 *f = &cpu->state.x87;
    if (IS_MEM(op)) {
        if (GROUP(op) == 3)
            return load(cpu, op, load_m80, 10);
        return GROUP(op) == 1 ? load(cpu, op, load_m32, 4) : load(cpu, op, load_m64, 8);
    }
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    union x86_fpr r = *fpu_st(f, RM(op));
    push(f, fpu_is_empty(f, RM(op)) ? underflow(&r) : 0, &r);
    return done(cpu, op);
}
static X86_OP(fild)
{
    if (GROUP(op) == 3)
        return load(cpu, op, load_i32, 4);
    return FIELD(op) == 0 ? load(cpu, op, load_i16, 2) : load(cpu, op, load_i64, 8);
}
static X86_OP(fbld)
{
    return load(cpu, op, load_bcd, 10);
}
static X86_OP(constant)
{
    static host_fn *const fn[] = {load_1, load_l2t, load_l2e, load_pi, load_lg2, load_ln2, load_z, load_z};
    return load(cpu, op, fn[RM(op)], 0);
}

static bool is_tiny(host_fn *fn, const union x86_fpr *r)
{
    return (fn == store_m32 && !(r->u16[1] & 0x7f80)) || (fn == store_m64 && !(r->u16[3] & 0x7ff0));
}
static const struct x86_op *store(struct x86_cpu *cpu, const struct x86_op *op, host_fn *fn, uint32_t n, bool pops)
{
    struct x86_x87 *f = &cpu->state.x87;
    union x86_fpr bad, r;
    uint64_t gva = x86_address(cpu, op);
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    bool is_empty = fpu_is_empty(f, 0);
    uint16_t sw = is_empty ? underflow(&bad) : 0;
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
    return done(cpu, op);
}
static X86_OP(fst)
{
    struct x86_x87 *f = &cpu->state.x87;
    bool pops = FIELD(op) == 3 || FIELD(op) == 7 || (!IS_MEM(op) && GROUP(op) == 7);
    if (IS_MEM(op)) {
        if (GROUP(op) == 3)
            return store(cpu, op, store_m80, 10, true);
        return GROUP(op) == 1 ? store(cpu, op, store_m32, 4, pops) : store(cpu, op, store_m64, 8, pops);
    }
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    union x86_fpr r = *fpu_st(f, 0);
    if (fpu_flags(f, fpu_is_empty(f, 0) ? underflow(&r) : 0, FSW_C1)) {
        fpu_set(f, RM(op), &r);
        if (pops)
            fpu_pop(f);
    }
    return done(cpu, op);
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
        fpu_set(f, RM(op), &r);
    fpu_pop(f);
    return done(cpu, op);
}
static X86_OP(fist)
{
    if (GROUP(op) == 3)
        return store(cpu, op, store_i32, 4, FIELD(op) == 3);
    return FIELD(op) == 7 ? store(cpu, op, store_i64, 8, true) : store(cpu, op, store_i16, 2, FIELD(op) == 3);
}
static X86_OP(fisttp)
{
    if (GROUP(op) == 3)
        return store(cpu, op, trunc_i32, 4, true);
    return GROUP(op) == 5 ? store(cpu, op, trunc_i64, 8, true) : store(cpu, op, trunc_i16, 2, true);
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
    bool e0 = fpu_is_empty(f, 0), e1 = fpu_is_empty(f, RM(op));
    union x86_fpr a = e0 ? fpu_indefinite() : *fpu_st(f, 0), b = e1 ? fpu_indefinite() : *fpu_st(f, RM(op));
    if (fpu_flags(f, e0 || e1 ? FSW_IE | FSW_SF : 0, FSW_C1)) {
        fpu_set(f, 0, &b);
        fpu_set(f, RM(op), &a);
    }
    return done(cpu, op);
}
/* By opcode DA or DB and reg: B, E, BE, U, and their opposites. */
static X86_OP(fcmov)
{
    static const uint8_t when[] = {X86_CF, X86_ZF, X86_CF | X86_ZF, X86_PF};
    struct x86_x87 *f = &cpu->state.x87;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    bool is_empty = fpu_is_empty(f, 0) || fpu_is_empty(f, RM(op));
    bool moves = (x86_get_flags(cpu) & when[FIELD(op) & 3]) != 0;
    moves ^= GROUP(op) == 3;
    union x86_fpr r = *fpu_st(f, RM(op));
    if (fpu_flags(f, is_empty ? underflow(&r) : 0, is_empty ? FSW_C1 : 0) && (moves || is_empty))
        fpu_set(f, 0, &r);
    return done(cpu, op);
}
static X86_OP(turn)
{
    struct x86_x87 *f = &cpu->state.x87;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    fpu_turn(f, MODRM(op) == 0xf6 ? 7 : 1);
    fpu_flags(f, 0, FSW_C1);
    return done(cpu, op);
}
static X86_OP(ffree)
{
    struct x86_x87 *f = &cpu->state.x87;
    if (!fpu_begin(cpu))
        return x86_stop(cpu, op);
    fpu_tag(f, RM(op), true);
    fpu_flags(f, 0, FSW_C1);
    if (GROUP(op) == 7)
        fpu_pop(f);
    return done(cpu, op);
}
static X86_OP(fnop)
{
    return fpu_begin(cpu) ? x86_next(op) : x86_stop(cpu, op);
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
    F(FLD, fld) F(FILD, fild) F(FBLD, fbld) F(FLD1, constant) F(FLDL2T, constant) F(FLDL2E, constant)
    F(FLDPI, constant) F(FLDLG2, constant) F(FLDLN2, constant) F(FLDZ, constant)
    F(FST, fst) F(FSTP, fst) F(FSTPNCE, fstpnce) F(FIST, fist) F(FISTP, fist) F(FISTTP, fisttp) F(FBSTP, fbstp)
    F(FXCH, fxch) F(FCMOVB, fcmov) F(FCMOVE, fcmov) F(FCMOVBE, fcmov) F(FCMOVU, fcmov) F(FCMOVNB, fcmov)
    F(FCMOVNE, fcmov) F(FCMOVNBE, fcmov) F(FCMOVNU, fcmov)
    F(FINCSTP, turn) F(FDECSTP, turn) F(FFREE, ffree) F(FFREEP, ffree) F(FNOP, fnop)
    {0, NULL, 0},
};
/* clang-format on */

/* SPDX-License-Identifier: MIT */
/* x87 control, and storing and loading its state: FNSTENV, FNSAVE, FXSAVE and their opposites (SDM volume 1, 8.1.10 and
 * 10.5.1). The selectors FCS and FDS are stored as 0, as on processors that deprecate them. */
#include "sim/cpu/x86_fpu.h"
#include "sim/cpu/x86_sys.h"

#include <xmmintrin.h>

#define IS_16BIT(op) ((op)->imm >> 16 & 1)
#define MXCSR_MASK   0xffffu /* writable bits of MXCSR: all sixteen */

/* Non-waiting instructions fault only if the x87 is not there. */
static bool is_off(const struct x86_cpu *cpu)
{
    return cpu->state.cr0 & (CR0_EM | CR0_TS);
}

/* The tag word with zero and special values told apart. */
static uint16_t full_tags(const struct x86_x87 *f)
{
    uint32_t tw = 0;
    for (uint32_t i = 0; i < 8; i++) {
        const union x86_fpr *r = &f->r[i];
        uint32_t e = r->u16[4] & 0x7fff, tag = 0;
        if (f->tw >> 2 * i & 1)
            tag = 3;
        else if (!e && !r->mm)
            tag = 1;
        else if (!e || e == 0x7fff || !(r->mm >> 63))
            tag = 2;
        tw |= tag << 2 * i;
    }
    return (uint16_t)tw;
}
/* Only empty or not is kept. */
static uint16_t kept_tags(uint32_t tw)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < 8; i++)
        if ((tw >> 2 * i & 3) == 3)
            kept |= 3u << 2 * i;
    return (uint16_t)kept;
}

static void put16(uint8_t *p, uint32_t v)
{
    uint16_t w = (uint16_t)v;
    memcpy(p, &w, 2);
}
static uint16_t get16(const uint8_t *p)
{
    uint16_t w;
    memcpy(&w, p, 2);
    return w;
}

/* The environment of 14 or 28 bytes. Returns its length. */
static uint32_t environment(const struct x86_x87 *f, bool is_16bit, uint8_t *p)
{
    uint32_t fip = (uint32_t)f->fip, fdp = (uint32_t)f->fdp;
    if (is_16bit) {
        const uint16_t e[7] = {f->cw, f->sw, full_tags(f), (uint16_t)fip, 0, (uint16_t)fdp, 0};
        memcpy(p, e, sizeof e);
        return sizeof e;
    }
    const uint32_t e[7] = {0xffff0000u | f->cw,
                           0xffff0000u | f->sw,
                           0xffff0000u | full_tags(f),
                           fip,
                           (uint32_t)(f->fop & 0x7ff) << 16,
                           fdp,
                           0xffff0000u};
    memcpy(p, e, sizeof e);
    return sizeof e;
}
static void set_environment(struct x86_x87 *f, bool is_16bit, const uint8_t *p)
{
    uint32_t step = is_16bit ? 2 : 4, fip = 0, fdp = 0;
    f->cw = (get16(p) & 0x1f3f) | 0x40;
    f->sw = get16(p + step);
    f->tw = kept_tags(get16(p + 2 * step));
    memcpy(&fip, p + 3 * step, step);
    memcpy(&fdp, p + 5 * step, step);
    f->fip = fip;
    f->fdp = fdp;
    f->fop = is_16bit ? 0 : get16(p + 18) & 0x7ff;
    fpu_summarize(f);
}

static void init(struct x86_x87 *f)
{
    f->cw = 0x37f;
    f->sw = f->fop = 0;
    f->tw = 0xffff;
    f->fip = f->fdp = 0;
}

static X86_OP(fninit)
{
    if (is_off(cpu))
        return x86_raise(cpu, op, X86_NM);
    init(&cpu->state.x87);
    return x86_next(op);
}
static X86_OP(fnclex)
{
    if (is_off(cpu))
        return x86_raise(cpu, op, X86_NM);
    cpu->state.x87.sw &= (uint16_t) ~(FSW_ALL | FSW_SF | FSW_ES | FSW_B);
    return x86_next(op);
}
/* FWAIT looks at TS only together with MP. */
static X86_OP(fwait)
{
    if ((cpu->state.cr0 & (CR0_TS | 2)) == (CR0_TS | 2))
        return x86_raise(cpu, op, X86_NM);
    if (cpu->state.x87.sw & FSW_ES)
        return x86_raise(cpu, op, X86_MF);
    return x86_next(op);
}
static X86_OP(fnstcw)
{
    if (is_off(cpu))
        return x86_raise(cpu, op, X86_NM);
    if (!x86_store(cpu, op, x86_address(cpu, op), &cpu->state.x87.cw, 2))
        return x86_stop(cpu, op);
    return x86_next(op);
}
static X86_OP(fnstsw)
{
    if (is_off(cpu))
        return x86_raise(cpu, op, X86_NM);
    if (!(op->flags & X86F_MEM))
        x86_put_gpr(cpu, 8 * X86_RAX, 2, cpu->state.x87.sw);
    else if (!x86_store(cpu, op, x86_address(cpu, op), &cpu->state.x87.sw, 2))
        return x86_stop(cpu, op);
    return x86_next(op);
}
static X86_OP(fldcw)
{
    uint16_t cw;
    if (!fpu_begin(cpu) || !x86_load(cpu, op, x86_address(cpu, op), &cw, 2))
        return x86_stop(cpu, op);
    cpu->state.x87.cw = (cw & 0x1f3f) | 0x40;
    fpu_summarize(&cpu->state.x87);
    return x86_next(op);
}
/* Masks all exceptions behind itself. */
static X86_OP(fnstenv)
{
    uint8_t image[28];
    if (is_off(cpu))
        return x86_raise(cpu, op, X86_NM);
    uint32_t n = environment(&cpu->state.x87, IS_16BIT(op), image);
    if (!x86_store(cpu, op, x86_address(cpu, op), image, n))
        return x86_stop(cpu, op);
    cpu->state.x87.cw |= FSW_ALL;
    fpu_summarize(&cpu->state.x87);
    return x86_next(op);
}
static X86_OP(fldenv)
{
    uint8_t image[28];
    if (!fpu_begin(cpu) || !x86_load(cpu, op, x86_address(cpu, op), image, IS_16BIT(op) ? 14 : 28))
        return x86_stop(cpu, op);
    set_environment(&cpu->state.x87, IS_16BIT(op), image);
    return x86_next(op);
}
static X86_OP(fnsave)
{
    struct x86_x87 *f = &cpu->state.x87;
    uint8_t image[108];
    if (is_off(cpu))
        return x86_raise(cpu, op, X86_NM);
    uint32_t n = environment(f, IS_16BIT(op), image);
    for (uint32_t i = 0; i < 8; i++)
        memcpy(image + n + 10 * i, fpu_st(f, i), 10);
    if (!x86_store(cpu, op, x86_address(cpu, op), image, n + 80))
        return x86_stop(cpu, op);
    init(f);
    return x86_next(op);
}
static X86_OP(frstor)
{
    struct x86_x87 *f = &cpu->state.x87;
    uint8_t image[108];
    uint32_t n = IS_16BIT(op) ? 14 : 28;
    if (!fpu_begin(cpu) || !x86_load(cpu, op, x86_address(cpu, op), image, n + 80))
        return x86_stop(cpu, op);
    set_environment(f, IS_16BIT(op), image);
    for (uint32_t i = 0; i < 8; i++)
        memcpy(fpu_st(f, i), image + n + 10 * i, 10);
    return x86_next(op);
}

/* ---- FXSAVE: bytes 416..511 are software's ---- */

void x86_fx_save(const struct x86_state *s, bool is_64bit, uint8_t image[X86_FX_BYTES])
{
    struct x86_x87 f = s->x87;
    uint32_t mask = MXCSR_MASK;
    memset(image, 0, X86_FX_BYTES);
    put16(image, f.cw);
    put16(image + 2, f.sw);
    for (uint32_t i = 0; i < 8; i++)
        image[4] |= (uint8_t)((~f.tw >> 2 * i & 1) << i);
    put16(image + 6, f.fop);
    memcpy(image + 8, &f.fip, is_64bit ? 8 : 4);
    memcpy(image + 16, &f.fdp, is_64bit ? 8 : 4);
    memcpy(image + 24, &s->mxcsr, 4);
    memcpy(image + 28, &mask, 4);
    for (uint32_t i = 0; i < 8; i++)
        memcpy(image + 32 + 16 * i, fpu_st(&f, i), 10);
    memcpy(image + 160, s->xmm, sizeof s->xmm);
}

int x86_fx_load(struct x86_state *s, bool is_64bit, const uint8_t image[X86_FX_BYTES])
{
    struct x86_x87 *f = &s->x87;
    uint32_t mxcsr;
    memcpy(&mxcsr, image + 24, 4);
    if (mxcsr & ~MXCSR_MASK)
        return -1;
    f->cw = (get16(image) & 0x1f3f) | 0x40;
    f->sw = get16(image + 2);
    f->tw = 0;
    for (uint32_t i = 0; i < 8; i++)
        f->tw |= (uint16_t)((image[4] >> i & 1 ? 0 : 3u) << 2 * i);
    f->fop = get16(image + 6) & 0x7ff;
    f->fip = f->fdp = 0;
    memcpy(&f->fip, image + 8, is_64bit ? 8 : 4);
    memcpy(&f->fdp, image + 16, is_64bit ? 8 : 4);
    fpu_summarize(f);
    for (uint32_t i = 0; i < 8; i++)
        memcpy(fpu_st(f, i), image + 32 + 16 * i, 10);
    memcpy(s->xmm, image + 160, sizeof s->xmm);
    s->mxcsr = mxcsr;
    return 0;
}

static X86_OP(fxsave)
{
    uint8_t image[X86_FX_BYTES];
    uint64_t gva = x86_address(cpu, op);
    if (is_off(cpu))
        return x86_raise(cpu, op, X86_NM);
    if (gva & 15)
        return x86_raise(cpu, op, X86_GP);
    cpu->state.mxcsr |= _mm_getcsr() & 0x3f;
    x86_fx_save(&cpu->state, op->flags & X86F_REXW, image);
    if (!x86_probe_write(cpu, op, gva, 512) || !x86_store(cpu, op, gva, image, X86_FX_BYTES))
        return x86_stop(cpu, op);
    return x86_next(op);
}
X86_OP(fxrstor)
{
    uint8_t image[512];
    uint64_t gva = x86_address(cpu, op);
    if (is_off(cpu))
        return x86_raise(cpu, op, X86_NM);
    if (gva & 15)
        return x86_raise(cpu, op, X86_GP);
    if (!x86_load(cpu, op, gva, image, 512))
        return x86_stop(cpu, op);
    if (x86_fx_load(&cpu->state, op->flags & X86F_REXW, image))
        return x86_raise(cpu, op, X86_GP);
    _mm_setcsr(cpu->state.mxcsr | 0x1f80);
    return x86_next(op);
}

/* clang-format off */
#define F(mnemonic, name) {ZYDIS_MNEMONIC_##mnemonic, x86_op_##name, 0},
const struct x86_form x86_fpu_state_forms[] = {
    F(FNINIT, fninit) F(FNCLEX, fnclex) F(FWAIT, fwait) F(FNSTCW, fnstcw) F(FNSTSW, fnstsw) F(FLDCW, fldcw)
        F(FNSTENV, fnstenv) F(FLDENV, fldenv) F(FNSAVE, fnsave) F(FRSTOR, frstor) F(FXSAVE, fxsave) F(FXSAVE64, fxsave)
            F(FXRSTOR, fxrstor) F(FXRSTOR64, fxrstor){0, NULL, 0},
};
/* clang-format on */

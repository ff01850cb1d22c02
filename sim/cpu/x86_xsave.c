/* SPDX-License-Identifier: MIT */
/* System mode: XSAVE, XRSTOR, XGETBV, XSETBV of x87 and SSE state in the standard form (SDM volume 1, 13.4 to 13.8).
 * Every component counts as in use. */
#include "sim/cpu/x86_sys.h"

#include <Zydis/Mnemonic.h>
#include <xmmintrin.h>

#define HAS_X87 1u
#define HAS_SSE 2u
#define LEGACY  512u /* bytes before the header */
#define HEADER  64u
#define MASKS   0x1f80u

/* Where the components lie in the legacy region: control words and registers (SDM volume 1, table 10-2). */
static const struct {
    uint16_t at, bytes;
    uint8_t component;
} parts[] = {{0, 24, HAS_X87}, {24, 8, HAS_SSE}, {32, 128, HAS_X87}, {160, 256, HAS_SSE}};

/* False: cpu->fault is set. */
static bool begin(struct x86_cpu *cpu, uint64_t gva)
{
    if (!(cpu->state.cr4 & X86_CR4_OSXSAVE))
        return x86_refuse_plain(cpu, X86_UD);
    if (cpu->state.cr0 & X86_CR0_TS)
        return x86_refuse_plain(cpu, X86_NM);
    return !(gva & 63) || x86_refuse(cpu, X86_GP, 0);
}

static uint32_t requested(const struct x86_cpu *cpu)
{
    return (uint32_t)cpu->state.gpr[X86_RAX] & (uint32_t)cpu->state.xcr0;
}

static X86_OP(xsave)
{
    uint8_t image[X86_FX_BYTES];
    uint64_t gva = x86_address(cpu, op), bv;
    uint32_t want = requested(cpu);
    if (!begin(cpu, gva) || !x86_probe_write(cpu, op, gva, LEGACY) || !x86_probe_write(cpu, op, gva + LEGACY, HEADER) ||
        !x86_load(cpu, op, gva + LEGACY, &bv, 8))
        return x86_stop(cpu, op);
    cpu->state.mxcsr |= _mm_getcsr() & 0x3f;
    x86_fx_save(&cpu->state, op->flags & X86F_REXW, image);
    for (uint32_t i = 0; i < N_ELEMS(parts); i++)
        if (want & parts[i].component && !x86_store(cpu, op, gva + parts[i].at, image + parts[i].at, parts[i].bytes))
            return x86_stop(cpu, op);
    bv |= want;
    if (!x86_store(cpu, op, gva + LEGACY, &bv, 8))
        return x86_stop(cpu, op);
    return x86_next(op);
}

/* Takes over what is wanted: from memory, or as it is after reset. MXCSR always comes from memory. */
static bool restore(struct x86_cpu *cpu, bool is_64bit, const uint8_t *from, uint32_t want, uint64_t bv)
{
    uint8_t image[X86_FX_BYTES];
    struct x86_state s = cpu->state;
    s.mxcsr |= _mm_getcsr() & 0x3f;
    x86_fx_save(&s, is_64bit, image);
    for (uint32_t i = 0; i < N_ELEMS(parts); i++) {
        uint32_t c = parts[i].component;
        bool is_mxcsr = parts[i].at == 24;
        if (want & c && (bv & c || is_mxcsr))
            memcpy(image + parts[i].at, from + parts[i].at, parts[i].bytes);
        else if (want & c)
            memset(image + parts[i].at, 0, parts[i].bytes);
    }
    if (want & ~bv & HAS_X87) {
        const uint16_t cw = 0x37f;
        memcpy(image, &cw, 2);
    }
    if (x86_fx_load(&cpu->state, is_64bit, image))
        return x86_refuse(cpu, X86_GP, 0);
    _mm_setcsr(cpu->state.mxcsr | MASKS);
    return true;
}

X86_OP(xrstor)
{
    uint8_t image[LEGACY + HEADER];
    uint64_t gva = x86_address(cpu, op), header[3];
    if (!begin(cpu, gva) || !x86_load(cpu, op, gva, image, LEGACY) ||
        !x86_load(cpu, op, gva + LEGACY, image + LEGACY, HEADER))
        return x86_stop(cpu, op);
    memcpy(header, image + LEGACY, sizeof header);
    if (header[0] & ~cpu->state.xcr0 || header[1] || header[2])
        return x86_raise(cpu, op, X86_GP);
    if (!restore(cpu, op->flags & X86F_REXW, image, requested(cpu), header[0]))
        return x86_stop(cpu, op);
    return x86_next(op);
}

static X86_OP(xgetbv)
{
    uint64_t *g = cpu->state.gpr;
    if (!(cpu->state.cr4 & X86_CR4_OSXSAVE))
        return x86_raise(cpu, op, X86_UD);
    if ((uint32_t)g[X86_RCX])
        return x86_raise(cpu, op, X86_GP);
    g[X86_RAX] = (uint32_t)cpu->state.xcr0;
    g[X86_RDX] = cpu->state.xcr0 >> 32;
    return x86_next(op);
}

static X86_OP(xsetbv)
{
    const uint64_t *g = cpu->state.gpr;
    uint64_t v = (uint64_t)(uint32_t)g[X86_RDX] << 32 | (uint32_t)g[X86_RAX];
    if (!(cpu->state.cr4 & X86_CR4_OSXSAVE))
        return x86_raise(cpu, op, X86_UD);
    if (cpu->state.cpl || (uint32_t)g[X86_RCX] || !(v & HAS_X87) || v & ~(uint64_t)(HAS_X87 | HAS_SSE))
        return x86_raise(cpu, op, X86_GP);
    cpu->state.xcr0 = v;
    return x86_next(op);
}

#define F(name, fn, need)                                                                                              \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##name, x86_op_##fn, need                                                                       \
    }
const struct x86_form x86_xsave_forms[] = {
    F(XSAVE, xsave, 0),
    F(XSAVE64, xsave, 0),
    F(XRSTOR, xrstor_system, X86N_END),
    F(XRSTOR64, xrstor_system, X86N_END),
    F(XGETBV, xgetbv, 0),
    F(XSETBV, xsetbv, 0),
    {0, NULL, 0},
};

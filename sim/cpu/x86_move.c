/* SPDX-License-Identifier: MIT */
/* MOV, MOVZX, MOVSX, MOVSXD, LEA, CMOVcc, SETcc, shifts of a register by a constant. */
#include "sim/cpu/x86_alu.h"

#define HANDLER(name) static const struct x86_op *name(struct x86_cpu *cpu, const struct x86_op *op)

/* ---- MOV ---- */

#define MOV_FORMS(T)                                                                                                   \
    HANDLER(mov_rr_##T)                                                                                                \
    {                                                                                                                  \
        PUT(op->dst, T, R(op->src, T));                                                                                \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(mov_ri_##T)                                                                                                \
    {                                                                                                                  \
        PUT(op->dst, T, (T)(int64_t)op->imm);                                                                          \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(mov_rm_##T)                                                                                                \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(T, v, p, gva, false);                                                                              \
        PUT(op->dst, T, v);                                                                                            \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(mov_mr_##T)                                                                                                \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        uint8_t *p = x86_host(cpu, gva, sizeof(T), true);                                                              \
        X86_STORE_AT(T, p, gva, R(op->src, T));                                                                        \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(mov_mi_##T)                                                                                                \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        uint8_t *p = x86_host(cpu, gva, sizeof(T), true);                                                              \
        X86_STORE_AT(T, p, gva, (T)(int64_t)op->imm);                                                                  \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(load_base_##T)                                                                                             \
    {                                                                                                                  \
        uint64_t gva = cpu->state.gpr[op->base] + (uint64_t)op->disp;                                                  \
        X86_LOAD_AT(T, v, p, gva, false);                                                                              \
        PUT(op->dst, T, v);                                                                                            \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(store_base_##T)                                                                                            \
    {                                                                                                                  \
        uint64_t gva = cpu->state.gpr[op->base] + (uint64_t)op->disp;                                                  \
        uint8_t *p = x86_host(cpu, gva, sizeof(T), true);                                                              \
        X86_STORE_AT(T, p, gva, R(op->src, T));                                                                        \
        return X86_NEXT;                                                                                               \
    }
MOV_FORMS(uint8_t)
MOV_FORMS(uint16_t)
MOV_FORMS(uint32_t)
MOV_FORMS(uint64_t)

#define ROW(name)                                                                                                      \
    {                                                                                                                  \
        name##_uint8_t, name##_uint16_t, name##_uint32_t, name##_uint64_t                                              \
    }
x86_fn *const x86_mov[X86_N_KINDS][4] = {ROW(mov_rr), ROW(mov_ri), ROW(mov_rm), ROW(mov_mr), ROW(mov_mi)};
x86_fn *const x86_mov_base[2][4] = {ROW(load_base), ROW(store_base)};

X86_OP(mov_imm64)
{
    R(op->dst, uint64_t) = (uint64_t)op->disp;
    return X86_NEXT;
}

X86_OP(lea_fast)
{
    const uint64_t *r = cpu->state.gpr;
    R(op->dst, uint64_t) = r[op->base] + (r[op->index] << op->shift) + (uint64_t)op->disp;
    return X86_NEXT;
}

X86_OP(lea)
{
    x86_put_gpr(cpu, op->dst, op->size, x86_address(cpu, op));
    return X86_NEXT;
}

/* ---- widening ---- */

#define WIDEN(name, FROM, TO)                                                                                          \
    HANDLER(name##_r_##TO)                                                                                             \
    {                                                                                                                  \
        PUT(op->dst, TO, (TO)R(op->src, FROM));                                                                        \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(name##_m_##TO)                                                                                             \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(FROM, v, p, gva, false);                                                                           \
        PUT(op->dst, TO, (TO)v);                                                                                       \
        return X86_NEXT;                                                                                               \
    }
WIDEN(zx8, uint8_t, uint16_t)
WIDEN(zx8, uint8_t, uint32_t)
WIDEN(zx8, uint8_t, uint64_t)
WIDEN(zx16, uint16_t, uint32_t)
WIDEN(zx16, uint16_t, uint64_t)
WIDEN(sx8, int8_t, int16_t)
WIDEN(sx8, int8_t, int32_t)
WIDEN(sx8, int8_t, int64_t)
WIDEN(sx16, int16_t, int32_t)
WIDEN(sx16, int16_t, int64_t)
WIDEN(sx32, int32_t, int64_t)

x86_fn *const x86_widen[WIDEN_N][2][4] = {
    [WIDEN_ZX8] = {{NULL, zx8_r_uint16_t, zx8_r_uint32_t, zx8_r_uint64_t},
                   {NULL, zx8_m_uint16_t, zx8_m_uint32_t, zx8_m_uint64_t}},
    [WIDEN_ZX16] = {{NULL, NULL, zx16_r_uint32_t, zx16_r_uint64_t}, {NULL, NULL, zx16_m_uint32_t, zx16_m_uint64_t}},
    [WIDEN_SX8] = {{NULL, sx8_r_int16_t, sx8_r_int32_t, sx8_r_int64_t},
                   {NULL, sx8_m_int16_t, sx8_m_int32_t, sx8_m_int64_t}},
    [WIDEN_SX16] = {{NULL, NULL, sx16_r_int32_t, sx16_r_int64_t}, {NULL, NULL, sx16_m_int32_t, sx16_m_int64_t}},
    [WIDEN_SX32] = {{NULL, NULL, NULL, sx32_r_int64_t}, {NULL, NULL, NULL, sx32_m_int64_t}},
};

/* ---- by condition ---- */

#define ALL_CC(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define BY_CC(cc)                                                                                                      \
    HANDLER(set_r_##cc)                                                                                                \
    {                                                                                                                  \
        R(op->dst, uint8_t) = x86_condition(cpu->state.ax_flags, cc);                                                  \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(set_m_##cc)                                                                                                \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        uint8_t *p = x86_host(cpu, gva, 1, true);                                                                      \
        X86_STORE_AT(uint8_t, p, gva, x86_condition(cpu->state.ax_flags, cc));                                         \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(cmov_r_##cc)                                                                                               \
    {                                                                                                                  \
        bool is_met = x86_condition(cpu->state.ax_flags, cc);                                                          \
        uint64_t v = R(is_met ? op->src : op->dst, uint64_t);                                                          \
        x86_put_by_size(cpu, op->dst, op->size, v);                                                                    \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(cmov_m_##cc)                                                                                               \
    {                                                                                                                  \
        struct x86_value v = x86_load_value(cpu, op, x86_address(cpu, op), op->size, false);                           \
        if (!v.ok)                                                                                                     \
            return x86_stop(cpu, op);                                                                                  \
        bool is_met = x86_condition(cpu->state.ax_flags, cc);                                                          \
        x86_put_by_size(cpu, op->dst, op->size, is_met ? v.v : R(op->dst, uint64_t));                                  \
        return X86_NEXT;                                                                                               \
    }

static inline void x86_put_by_size(struct x86_cpu *cpu, uint32_t off, uint32_t n, uint64_t v)
{
    if (n == 8)
        R(off, uint64_t) = v;
    else if (n == 4)
        R(off, uint64_t) = (uint32_t)v;
    else
        R(off, uint16_t) = (uint16_t)v;
}

ALL_CC(BY_CC)
#define SET(cc)  {set_r_##cc, set_m_##cc},
#define CMOV(cc) {cmov_r_##cc, cmov_m_##cc},
x86_fn *const x86_setcc[16][2] = {ALL_CC(SET)};
x86_fn *const x86_cmov[16][2] = {ALL_CC(CMOV)};

/* ---- shifts of a register by a constant 1..size-1 ---- */

/* OF is defined for a count of 1 only; the formulas are those of that case. */
#define SHIFT_IMM(name, T, S, result, carry, overflow)                                                                 \
    HANDLER(name##_##T)                                                                                                \
    {                                                                                                                  \
        T a = R(op->dst, T);                                                                                           \
        uint32_t n = (uint32_t)op->imm, top = sizeof(T) * 8 - 1;                                                       \
        T r = (T)(result);                                                                                             \
        uint32_t c = (uint32_t)(carry)&1u;                                                                             \
        uint32_t o = (uint32_t)(overflow)&1u;                                                                          \
        cpu->state.ax_flags = (uint16_t)(x86_szp(r, sizeof(T)) | c << 8 | o);                                          \
        PUT(op->dst, T, r);                                                                                            \
        return X86_NEXT;                                                                                               \
    }
#define SHIFTS(T, S)                                                                                                   \
    SHIFT_IMM(shl, T, S, a << n, a >> (top + 1 - n), (r >> top) ^ c)                                                   \
    SHIFT_IMM(shr, T, S, a >> n, a >> (n - 1), (r >> top) ^ (r >> (top - 1)))                                          \
    SHIFT_IMM(sar, T, S, (S)a >> n, a >> (n - 1), (top & 0))
SHIFTS(uint32_t, int32_t)
SHIFTS(uint64_t, int64_t)

x86_fn *const x86_shift_imm[3][2] = {
    {shl_uint32_t, shl_uint64_t}, {shr_uint32_t, shr_uint64_t}, {sar_uint32_t, sar_uint64_t}};

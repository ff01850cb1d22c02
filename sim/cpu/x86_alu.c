/* SPDX-License-Identifier: MIT */
/* ADD OR ADC SBB AND SUB XOR CMP TEST and INC DEC NEG NOT: a handler for every form and size. The host's own
 * instruction computes the flags; a second set of handlers leaves them alone. */
#include "sim/cpu/x86_alu.h"

/* ---- two operands: with flags (F), without (N) ---- */

#define HANDLER(name) static const struct x86_op *name(struct x86_cpu *cpu, const struct x86_op *op)

/* FLAGS and PLAIN compute a from a and b; the first leaves f. */
#define F_arith(insn, expr, T)                                                                                         \
    X86_HOST_ARITH(insn, a, b, f);                                                                                     \
    cpu->state.ax_flags = f
#define F_logic(insn, expr, T)                                                                                         \
    X86_HOST_ARITH(insn, a, b, f);                                                                                     \
    cpu->state.ax_flags = f & (uint16_t)~FL_AF
#define F_carry(insn, expr, T)                                                                                         \
    X86_HOST_CARRY(insn, a, b, f);                                                                                     \
    cpu->state.ax_flags = f
#define N_any(insn, expr, T)                                                                                           \
    (void)f;                                                                                                           \
    a = (T)(expr)

#define WRITING(name, suffix, CALC, insn, expr, T)                                                                     \
    HANDLER(name##_rr_##T##suffix)                                                                                     \
    {                                                                                                                  \
        T a = R(op->dst, T), b = R(op->src, T);                                                                        \
        uint16_t f = cpu->state.ax_flags;                                                                              \
        CALC(insn, expr, T);                                                                                           \
        PUT(op->dst, T, a);                                                                                            \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(name##_ri_##T##suffix)                                                                                     \
    {                                                                                                                  \
        T a = R(op->dst, T), b = (T)(int64_t)op->imm;                                                                  \
        uint16_t f = cpu->state.ax_flags;                                                                              \
        CALC(insn, expr, T);                                                                                           \
        PUT(op->dst, T, a);                                                                                            \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(name##_rm_##T##suffix)                                                                                     \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(T, b, p, gva, false);                                                                              \
        T a = R(op->dst, T);                                                                                           \
        uint16_t f = cpu->state.ax_flags;                                                                              \
        CALC(insn, expr, T);                                                                                           \
        PUT(op->dst, T, a);                                                                                            \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(name##_mr_##T##suffix)                                                                                     \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(T, a, p, gva, true);                                                                               \
        T b = R(op->src, T);                                                                                           \
        uint16_t f = cpu->state.ax_flags, before = f;                                                                  \
        CALC(insn, expr, T);                                                                                           \
        X86_STORE_OR(T, p, gva, a, cpu->state.ax_flags = before);                                                      \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(name##_mi_##T##suffix)                                                                                     \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(T, a, p, gva, true);                                                                               \
        T b = (T)(int64_t)op->imm;                                                                                     \
        uint16_t f = cpu->state.ax_flags, before = f;                                                                  \
        CALC(insn, expr, T);                                                                                           \
        X86_STORE_OR(T, p, gva, a, cpu->state.ax_flags = before);                                                      \
        return X86_NEXT;                                                                                               \
    }

#define COMPARING(name, CALC, insn, T)                                                                                 \
    HANDLER(name##_rr_##T)                                                                                             \
    {                                                                                                                  \
        T a = R(op->dst, T), b = R(op->src, T);                                                                        \
        uint16_t f;                                                                                                    \
        CALC(insn, 0, T);                                                                                              \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(name##_ri_##T)                                                                                             \
    {                                                                                                                  \
        T a = R(op->dst, T), b = (T)(int64_t)op->imm;                                                                  \
        uint16_t f;                                                                                                    \
        CALC(insn, 0, T);                                                                                              \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(name##_rm_##T)                                                                                             \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(T, b, p, gva, false);                                                                              \
        T a = R(op->dst, T);                                                                                           \
        uint16_t f;                                                                                                    \
        CALC(insn, 0, T);                                                                                              \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(name##_mr_##T)                                                                                             \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(T, a, p, gva, false);                                                                              \
        T b = R(op->src, T);                                                                                           \
        uint16_t f;                                                                                                    \
        CALC(insn, 0, T);                                                                                              \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(name##_mi_##T)                                                                                             \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(T, a, p, gva, false);                                                                              \
        T b = (T)(int64_t)op->imm;                                                                                     \
        uint16_t f;                                                                                                    \
        CALC(insn, 0, T);                                                                                              \
        return X86_NEXT;                                                                                               \
    }

#define SIZES(X, ...) X(__VA_ARGS__, uint8_t) X(__VA_ARGS__, uint16_t) X(__VA_ARGS__, uint32_t) X(__VA_ARGS__, uint64_t)
#define ALU(name, kind, insn, expr)                                                                                    \
    SIZES(WRITING, name, _f, F_##kind, insn, expr)                                                                     \
    SIZES(WRITING, name, _n, N_any, insn, expr)

#define CARRY (before_carry(cpu))
static inline unsigned before_carry(const struct x86_cpu *cpu)
{
    return cpu->state.ax_flags >> 8 & 1u;
}

ALU(add, arith, "add", a + b)
ALU(or, logic, "or", a | b)
ALU(adc, carry, "adc", a + b + CARRY)
ALU(sbb, carry, "sbb", a - b - CARRY)
ALU(and, logic, "and", a &b)
ALU(sub, arith, "sub", a - b)
ALU(xor, logic, "xor", a ^ b)
SIZES(COMPARING, cmp, F_arith, "cmp")
SIZES(COMPARING, test, F_logic, "test")

#define PAIR(name, form, T)                                                                                            \
    {                                                                                                                  \
        name##_##form##_##T##_f, name##_##form##_##T##_n                                                               \
    }
#define ROW(name, form)                                                                                                \
    {                                                                                                                  \
        PAIR(name, form, uint8_t), PAIR(name, form, uint16_t), PAIR(name, form, uint32_t), PAIR(name, form, uint64_t)  \
    }
#define TABLE(name)                                                                                                    \
    {                                                                                                                  \
        ROW(name, rr), ROW(name, ri), ROW(name, rm), ROW(name, mr), ROW(name, mi)                                      \
    }
#define ONE(name, form)                                                                                                \
    {                                                                                                                  \
        {name##_##form##_uint8_t, NULL}, {name##_##form##_uint16_t, NULL}, {name##_##form##_uint32_t, NULL},           \
        {                                                                                                              \
            name##_##form##_uint64_t, NULL                                                                             \
        }                                                                                                              \
    }
#define COMPARE_TABLE(name)                                                                                            \
    {                                                                                                                  \
        ONE(name, rr), ONE(name, ri), ONE(name, rm), ONE(name, mr), ONE(name, mi)                                      \
    }

x86_fn *const x86_alu[ALU_N][X86_N_KINDS][4][2] = {
    TABLE(add), TABLE(or),  TABLE(adc),         TABLE(sbb),          TABLE(and),
    TABLE(sub), TABLE(xor), COMPARE_TABLE(cmp), COMPARE_TABLE(test),
};

/* ---- one operand ---- */

#define UNARY_BODY(insn, T)                                                                                            \
    uint16_t f = cpu->state.ax_flags;                                                                                  \
    X86_HOST_UNARY(insn, a, f)
#define UNARY_FORMS(name, insn, T)                                                                                     \
    HANDLER(name##_r_##T)                                                                                              \
    {                                                                                                                  \
        T a = R(op->dst, T);                                                                                           \
        UNARY_BODY(insn, T);                                                                                           \
        cpu->state.ax_flags = f;                                                                                       \
        PUT(op->dst, T, a);                                                                                            \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(name##_m_##T)                                                                                              \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(T, a, p, gva, true);                                                                               \
        UNARY_BODY(insn, T);                                                                                           \
        X86_STORE_AT(T, p, gva, a);                                                                                    \
        cpu->state.ax_flags = f;                                                                                       \
        return X86_NEXT;                                                                                               \
    }
#define NOT_FORMS(name, T)                                                                                             \
    HANDLER(name##_r_##T)                                                                                              \
    {                                                                                                                  \
        PUT(op->dst, T, (T)~R(op->dst, T));                                                                            \
        return X86_NEXT;                                                                                               \
    }                                                                                                                  \
    HANDLER(name##_m_##T)                                                                                              \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(T, a, p, gva, true);                                                                               \
        X86_STORE_AT(T, p, gva, (T)~a);                                                                                \
        return X86_NEXT;                                                                                               \
    }
SIZES(UNARY_FORMS, inc, "inc")
SIZES(UNARY_FORMS, dec, "dec")
SIZES(UNARY_FORMS, neg, "neg")
SIZES(NOT_FORMS, not )

#define UNARY_ROW(name, form)                                                                                          \
    {                                                                                                                  \
        name##_##form##_uint8_t, name##_##form##_uint16_t, name##_##form##_uint32_t, name##_##form##_uint64_t          \
    }
#define UNARY_TABLE(name)                                                                                              \
    {                                                                                                                  \
        UNARY_ROW(name, r), UNARY_ROW(name, m)                                                                         \
    }
x86_fn *const x86_unary[UNARY_N][2][4] = {UNARY_TABLE(inc), UNARY_TABLE(dec), UNARY_TABLE(neg), UNARY_TABLE(not )};

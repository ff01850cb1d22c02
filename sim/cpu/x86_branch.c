/* SPDX-License-Identifier: MIT */
/* What leaves a block: jumps, calls, returns, a comparison fused with the jump behind it; PUSH and POP of a register.
 */
#include "sim/cpu/x86_alu.h"

#define HANDLER(name) static const struct x86_op *name(struct x86_cpu *cpu, const struct x86_op *op)

X86_OP(end)
{
    return x86_go(cpu, op, 0);
}

X86_OP(jmp)
{
    return x86_go(cpu, op, 0);
}

static inline const struct x86_link *link_of(const struct x86_op *op)
{
    return (const struct x86_link *)(const void *)(op + 1);
}

static inline bool is_canonical(uint64_t gva)
{
    return (uint64_t)((int64_t)(gva << 16) >> 16) == gva;
}

/* ---- conditional jumps ---- */

#define ALL_CC(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define JCC(cc)                                                                                                        \
    HANDLER(jcc_##cc)                                                                                                  \
    {                                                                                                                  \
        if (x86_condition(cpu->state.ax_flags, cc))                                                                    \
            return x86_go(cpu, op, 0);                                                                                 \
        return x86_go(cpu, op, 1);                                                                                     \
    }
ALL_CC(JCC)
#define NAME(cc) jcc_##cc,
x86_fn *const x86_jcc[16] = {ALL_CC(NAME)};

/* The comparison itself, not its flags, decides; the flags are left as CMP and TEST do. */
#define CMP_2(T, S)   (a < b)
#define CMP_4(T, S)   (a == b)
#define CMP_6(T, S)   (a <= b)
#define CMP_8(T, S)   ((S)(T)(a - b) < 0)
#define CMP_12(T, S)  ((S)a < (S)b)
#define CMP_14(T, S)  ((S)a <= (S)b)
#define TEST_2(T, S)  (false)
#define TEST_4(T, S)  ((a & b) == 0)
#define TEST_6(T, S)  ((a & b) == 0)
#define TEST_8(T, S)  ((S)(a & b) < 0)
#define TEST_12(T, S) ((S)(a & b) < 0)
#define TEST_14(T, S) ((S)(a & b) <= 0)

#define DECIDE(cc)                                                                                                     \
    if (cc)                                                                                                            \
        return x86_go(cpu, op, 0);                                                                                     \
    return x86_go(cpu, op, 1)
#define FLAGS_CMP(T)                                                                                                   \
    T r = a;                                                                                                           \
    uint16_t f;                                                                                                        \
    X86_HOST_ARITH("cmp", r, b, f);                                                                                    \
    cpu->state.ax_flags = f
#define FLAGS_TEST(T)                                                                                                  \
    T r = a;                                                                                                           \
    uint16_t f;                                                                                                        \
    X86_HOST_ARITH("test", r, b, f);                                                                                   \
    cpu->state.ax_flags = f & (uint16_t)~FL_AF
#define FUSED_RR(op_name, FLAGS, cc, not_cc, cond, T)                                                                  \
    HANDLER(op_name##_rr_##cc##_##T)                                                                                   \
    {                                                                                                                  \
        T a = R(op->dst, T), b = R(op->src, T);                                                                        \
        FLAGS(T);                                                                                                      \
        DECIDE(cond);                                                                                                  \
    }                                                                                                                  \
    HANDLER(op_name##_rr_##not_cc##_##T)                                                                               \
    {                                                                                                                  \
        T a = R(op->dst, T), b = R(op->src, T);                                                                        \
        FLAGS(T);                                                                                                      \
        DECIDE(!(cond));                                                                                               \
    }
#define FUSED_RI(op_name, FLAGS, cc, not_cc, cond, T)                                                                  \
    HANDLER(op_name##_ri_##cc##_##T)                                                                                   \
    {                                                                                                                  \
        T a = R(op->dst, T), b = (T)(int64_t)op->imm;                                                                  \
        FLAGS(T);                                                                                                      \
        DECIDE(cond);                                                                                                  \
    }                                                                                                                  \
    HANDLER(op_name##_ri_##not_cc##_##T)                                                                               \
    {                                                                                                                  \
        T a = R(op->dst, T), b = (T)(int64_t)op->imm;                                                                  \
        FLAGS(T);                                                                                                      \
        DECIDE(!(cond));                                                                                               \
    }
#define FUSED_MEM(op_name, form, first, second, value, FLAGS, cc, not_cc, cond, T)                                     \
    HANDLER(op_name##_##form##_##cc##_##T)                                                                             \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(T, first, p, gva, false);                                                                          \
        T second = value;                                                                                              \
        FLAGS(T);                                                                                                      \
        DECIDE(cond);                                                                                                  \
    }                                                                                                                  \
    HANDLER(op_name##_##form##_##not_cc##_##T)                                                                         \
    {                                                                                                                  \
        uint64_t gva = x86_address(cpu, op);                                                                           \
        X86_LOAD_AT(T, first, p, gva, false);                                                                          \
        T second = value;                                                                                              \
        FLAGS(T);                                                                                                      \
        DECIDE(!(cond));                                                                                               \
    }

#define PAIRS(X, CC, T, S)                                                                                             \
    X(2, 3, CC##_2(T, S), T)                                                                                           \
    X(4, 5, CC##_4(T, S), T)                                                                                           \
    X(6, 7, CC##_6(T, S), T) X(8, 9, CC##_8(T, S), T) X(12, 13, CC##_12(T, S), T) X(14, 15, CC##_14(T, S), T)
#define ALL_SIZES(X, CC)                                                                                               \
    PAIRS(X, CC, uint8_t, int8_t)                                                                                      \
    PAIRS(X, CC, uint32_t, int32_t)                                                                                    \
    PAIRS(X, CC, uint64_t, int64_t)

#define CMP_RR(cc, nc, cond, T)  FUSED_RR(cmp, FLAGS_CMP, cc, nc, cond, T)
#define CMP_RI(cc, nc, cond, T)  FUSED_RI(cmp, FLAGS_CMP, cc, nc, cond, T)
#define CMP_RM(cc, nc, cond, T)  FUSED_MEM(cmp, rm, b, a, R(op->dst, T), FLAGS_CMP, cc, nc, cond, T)
#define CMP_MR(cc, nc, cond, T)  FUSED_MEM(cmp, mr, a, b, R(op->src, T), FLAGS_CMP, cc, nc, cond, T)
#define CMP_MI(cc, nc, cond, T)  FUSED_MEM(cmp, mi, a, b, (T)(int64_t)op->imm, FLAGS_CMP, cc, nc, cond, T)
#define TEST_RR(cc, nc, cond, T) FUSED_RR(test, FLAGS_TEST, cc, nc, cond, T)
#define TEST_RI(cc, nc, cond, T) FUSED_RI(test, FLAGS_TEST, cc, nc, cond, T)
#define TEST_MI(cc, nc, cond, T) FUSED_MEM(test, mi, a, b, (T)(int64_t)op->imm, FLAGS_TEST, cc, nc, cond, T)
ALL_SIZES(CMP_RR, CMP)
ALL_SIZES(CMP_RI, CMP)
ALL_SIZES(CMP_RM, CMP)
ALL_SIZES(CMP_MR, CMP)
ALL_SIZES(CMP_MI, CMP)
ALL_SIZES(TEST_RR, TEST)
ALL_SIZES(TEST_RI, TEST)
ALL_SIZES(TEST_MI, TEST)

#define AT(name, cc, T) [cc] = name##_##cc##_##T
#define LINE(name, T)                                                                                                  \
    {                                                                                                                  \
        AT(name, 2, T), AT(name, 3, T), AT(name, 4, T), AT(name, 5, T), AT(name, 6, T), AT(name, 7, T),                \
            AT(name, 8, T), AT(name, 9, T), AT(name, 12, T), AT(name, 13, T), AT(name, 14, T), AT(name, 15, T)         \
    }
#define FORM(name)                                                                                                     \
    {                                                                                                                  \
        [0] = LINE(name, uint8_t), [2] = LINE(name, uint32_t), [3] = LINE(name, uint64_t)                              \
    }
x86_fn *const x86_cmp_jcc[X86_N_KINDS][4][16] = {[X86_RR] = FORM(cmp_rr),
                                                 [X86_RI] = FORM(cmp_ri),
                                                 [X86_RM] = FORM(cmp_rm),
                                                 [X86_MR] = FORM(cmp_mr),
                                                 [X86_MI] = FORM(cmp_mi)};
x86_fn *const x86_test_jcc[X86_N_KINDS][4][16] = {
    [X86_RR] = FORM(test_rr), [X86_RI] = FORM(test_ri), [X86_MI] = FORM(test_mi)};

/* ---- the stack ---- */

X86_OP(push_reg)
{
    uint64_t gva = cpu->state.gpr[X86_RSP] - 8;
    uint8_t *p = x86_host(cpu, gva, 8, true);
    X86_STORE_AT(uint64_t, p, gva, R(op->dst, uint64_t));
    cpu->state.gpr[X86_RSP] = gva;
    return X86_NEXT;
}

X86_OP(pop_reg)
{
    uint64_t gva = cpu->state.gpr[X86_RSP];
    X86_LOAD_AT(uint64_t, v, p, gva, false);
    cpu->state.gpr[X86_RSP] = gva + 8;
    R(op->dst, uint64_t) = v;
    return X86_NEXT;
}

/* ---- calls and indirect jumps ---- */

X86_OP(call)
{
    uint64_t gva = cpu->state.gpr[X86_RSP] - 8;
    uint8_t *p = x86_host(cpu, gva, 8, true);
    X86_STORE_AT(uint64_t, p, gva, link_of(op)->rip[1]);
    cpu->state.gpr[X86_RSP] = gva;
    return x86_go(cpu, op, 0);
}

X86_OP(ret)
{
    uint64_t gva = cpu->state.gpr[X86_RSP];
    X86_LOAD_AT(uint64_t, rip, p, gva, false);
    if (unlikely(!is_canonical(rip)))
        return x86_raise(cpu, op, X86_GP);
    cpu->state.gpr[X86_RSP] = gva + 8 + (op->imm & 0xffff);
    return x86_goto(cpu, rip);
}

X86_OP(jmp_indirect)
{
    if (op->flags & X86F_MEM) {
        uint64_t gva = x86_address(cpu, op);
        X86_LOAD_AT(uint64_t, rip, p, gva, false);
        if (unlikely(!is_canonical(rip)))
            return x86_raise(cpu, op, X86_GP);
        return x86_goto(cpu, rip);
    }
    uint64_t to = R(op->dst, uint64_t);
    if (unlikely(!is_canonical(to)))
        return x86_raise(cpu, op, X86_GP);
    return x86_goto(cpu, to);
}

X86_OP(call_indirect)
{
    uint64_t rsp = cpu->state.gpr[X86_RSP] - 8, to = 0;
    if (op->flags & X86F_MEM) {
        uint64_t gva = x86_address(cpu, op);
        X86_LOAD_AT(uint64_t, rip, p, gva, false);
        to = rip;
    } else {
        to = R(op->dst, uint64_t);
    }
    if (unlikely(!is_canonical(to)))
        return x86_raise(cpu, op, X86_GP);
    uint8_t *q = x86_host(cpu, rsp, 8, true);
    X86_STORE_AT(uint64_t, q, rsp, link_of(op)->rip[1]);
    cpu->state.gpr[X86_RSP] = rsp;
    return x86_goto(cpu, to);
}

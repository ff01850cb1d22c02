/* SPDX-License-Identifier: MIT */
/* Multiplication, division, shifts and rotates of any form and size. */
#include "sim/cpu/x86_int.h"

#define R(off, T) X86_REG(cpu, off, T)

static inline void put_acc(struct x86_cpu *cpu, uint32_t n, uint64_t lo, uint64_t hi)
{
    if (n == 1) {
        X86_REG(cpu, 0, uint16_t) = (uint16_t)((lo & 0xff) | hi << 8);
    } else {
        x86_put_gpr(cpu, 0, n, lo);
        x86_put_gpr(cpu, 8 * X86_RDX, n, hi);
    }
}

/* ---- multiplication ---- */

/* CF = OF = the result did not fit; SF ZF PF are undefined and follow the low half, AF is cleared. */
static void mul_flags(struct x86_cpu *cpu, uint64_t lo, uint32_t n, bool is_over)
{
    cpu->state.ax_flags = (uint16_t)(x86_szp(lo, n) | (is_over ? FL_CF | FL_OF : 0));
}

X86_OP(mul)
{
    uint64_t b;
    uint32_t n = op->size;
    if (!x86_get_rm(cpu, op, n, false, &b))
        return x86_stop(cpu, op);
    unsigned __int128 r = (unsigned __int128)x86_cut(cpu->state.gpr[X86_RAX], n) * b;
    uint64_t lo = x86_cut((uint64_t)r, n), hi = x86_cut((uint64_t)(r >> n * 8), n);
    put_acc(cpu, n, lo, hi);
    mul_flags(cpu, lo, n, hi != 0);
    return x86_next(op);
}

X86_OP(imul1)
{
    uint64_t b;
    uint32_t n = op->size;
    if (!x86_get_rm(cpu, op, n, false, &b))
        return x86_stop(cpu, op);
    __int128 r = (__int128)x86_extend(cpu->state.gpr[X86_RAX], n) * x86_extend(b, n);
    uint64_t lo = x86_cut((uint64_t)r, n), hi = x86_cut((uint64_t)(r >> n * 8), n);
    put_acc(cpu, n, lo, hi);
    mul_flags(cpu, lo, n, r != x86_extend(lo, n));
    return x86_next(op);
}

/* dst = a * b, n bytes. */
static inline void imul_to(struct x86_cpu *cpu, const struct x86_op *op, uint64_t a, uint64_t b)
{
    uint32_t n = op->size;
    int64_t lo;
    bool is_over = __builtin_mul_overflow(x86_extend(a, n), x86_extend(b, n), &lo);
    is_over |= n < 8 && lo != x86_extend((uint64_t)lo, n);
    x86_put_gpr(cpu, op->dst, n, (uint64_t)lo);
    mul_flags(cpu, (uint64_t)lo, n, is_over);
}

X86_OP(imul2)
{
    uint64_t b;
    if (!x86_src_gpr(cpu, op, op->size, &b))
        return x86_stop(cpu, op);
    imul_to(cpu, op, R(op->dst, uint64_t), b);
    return x86_next(op);
}

X86_OP(imul3)
{
    uint64_t a;
    if (!x86_src_gpr(cpu, op, op->size, &a))
        return x86_stop(cpu, op);
    imul_to(cpu, op, a, (uint64_t)(int64_t)op->imm);
    return x86_next(op);
}

/* The forms that compilers use most: registers of 64 and 32 bits. */
#define IMUL_REG(T, S)                                                                                                 \
    static inline void imul_reg_##T(struct x86_cpu *cpu, const struct x86_op *op)                                      \
    {                                                                                                                  \
        S r, a = (S)R(op->src, T), b = op->flags & X86F_IMM ? (S)op->imm : (S)R(op->dst, T);                           \
        bool is_over = __builtin_mul_overflow(a, b, &r);                                                               \
        R(op->dst, uint64_t) = (T)r;                                                                                   \
        cpu->state.ax_flags = (uint16_t)(x86_szp((T)r, sizeof(T)) | (is_over ? FL_CF | FL_OF : 0));                    \
    }
IMUL_REG(uint64_t, int64_t)
IMUL_REG(uint32_t, int32_t)

X86_OP(imul)
{
    if (likely(!(op->flags & (X86F_MEM | X86F_MEM_DST)) && op->src != X86_NO_REG && op->size >= 4)) {
        if (op->size == 8)
            imul_reg_uint64_t(cpu, op);
        else
            imul_reg_uint32_t(cpu, op);
        return X86_NEXT;
    }
    /* One, two or three operands. */
    if (op->flags & X86F_MEM_DST || (op->src == X86_NO_REG && !(op->flags & X86F_MEM)))
        return x86_op_imul1(cpu, op);
    return op->flags & X86F_IMM ? x86_op_imul3(cpu, op) : x86_op_imul2(cpu, op);
}

/* ---- division: #DE when the quotient does not fit; the flags are undefined and stay ---- */

X86_OP(div)
{
    uint64_t d;
    uint32_t n = op->size;
    if (likely(n == 8 && !(op->flags & X86F_MEM) && !cpu->state.gpr[X86_RDX] && (d = R(op->dst, uint64_t)))) {
        uint64_t a = cpu->state.gpr[X86_RAX];
        cpu->state.gpr[X86_RAX] = a / d;
        cpu->state.gpr[X86_RDX] = a % d;
        return X86_NEXT;
    }
    if (!x86_get_rm(cpu, op, n, false, &d))
        return x86_stop(cpu, op);
    uint64_t lo = x86_cut(cpu->state.gpr[X86_RAX], n), hi = x86_cut(cpu->state.gpr[X86_RDX], n);
    if (n == 1) {
        hi = lo = R(0, uint16_t);
        hi >>= 8;
        lo &= 0xff;
    }
    if (hi >= d)
        return x86_raise(cpu, op, X86_DE);
    if (n == 8 && hi) {
        unsigned __int128 a = (unsigned __int128)hi << 64 | lo;
        put_acc(cpu, n, (uint64_t)(a / d), (uint64_t)(a % d));
    } else {
        uint64_t a = n == 8 ? lo : hi << n * 8 | lo;
        put_acc(cpu, n, a / d, a % d);
    }
    return x86_next(op);
}

X86_OP(idiv)
{
    uint64_t v;
    uint32_t n = op->size;
    if (!x86_get_rm(cpu, op, n, false, &v))
        return x86_stop(cpu, op);
    __int128 d = x86_extend(v, n), a = (int16_t)R(0, uint16_t);
    if (n > 1)
        a = (__int128)((unsigned __int128)(__int128)x86_extend(cpu->state.gpr[X86_RDX], n) << n * 8 |
                       x86_cut(cpu->state.gpr[X86_RAX], n));
    if (d == 0 || (d == -1 && a == (__int128)((unsigned __int128)1 << 127)))
        return x86_raise(cpu, op, X86_DE);
    __int128 q = a / d, r = a % d;
    if (q != x86_extend((uint64_t)q, n))
        return x86_raise(cpu, op, X86_DE);
    put_acc(cpu, n, x86_cut((uint64_t)q, n), x86_cut((uint64_t)r, n));
    return x86_next(op);
}

/* ---- shifts and rotates ---- */

struct shifted {
    uint64_t v;
    uint32_t carry, overflow;
};

static uint32_t top_bit(uint64_t v, uint32_t bits)
{
    return (uint32_t)(v >> (bits - 1)) & 1u;
}

static struct shifted shift_by(uint32_t kind, uint64_t a, uint32_t bits, uint32_t n)
{
    struct shifted s = {0};
    if (kind == SHIFT_SHL) {
        s.v = x86_cut(a << n, bits / 8);
        s.carry = n <= bits ? (uint32_t)(a >> (bits - n)) & 1u : 0;
        s.overflow = top_bit(s.v, bits) ^ s.carry;
    } else if (kind == SHIFT_SHR) {
        s.v = a >> n;
        s.carry = (uint32_t)(a >> (n - 1)) & 1u;
        s.overflow = top_bit(s.v, bits) ^ top_bit(s.v << 1, bits);
    } else {
        int64_t x = x86_extend(a, bits / 8);
        s.v = x86_cut((uint64_t)(x >> n), bits / 8);
        s.carry = (uint32_t)(x >> (n - 1)) & 1u;
    }
    return s;
}

static struct shifted rotate_by(uint32_t kind, uint64_t a, uint32_t bits, uint32_t n)
{
    struct shifted s = {.v = a};
    n %= bits;
    if (n && kind == SHIFT_ROR)
        n = bits - n;
    if (n)
        s.v = x86_cut(a << n | a >> (bits - n), bits / 8);
    if (kind == SHIFT_ROL) {
        s.carry = (uint32_t)s.v & 1u;
        s.overflow = top_bit(s.v, bits) ^ s.carry;
    } else {
        s.carry = top_bit(s.v, bits);
        s.overflow = s.carry ^ top_bit(s.v << 1, bits);
    }
    return s;
}

/* Rotates through carry: the bits + 1 wide value carry:a. */
static struct shifted rotate_carry(uint32_t kind, uint64_t a, uint32_t bits, uint32_t n, uint32_t carry)
{
    unsigned __int128 wide = (unsigned __int128)carry << bits | a, mask = ((unsigned __int128)1 << (bits + 1)) - 1;
    n %= bits + 1;
    if (n && kind == SHIFT_RCR)
        n = bits + 1 - n;
    if (n)
        wide = (wide << n | wide >> (bits + 1 - n)) & mask;
    struct shifted s = {.v = x86_cut((uint64_t)wide, bits / 8), .carry = (uint32_t)(wide >> bits) & 1u};
    s.overflow = top_bit(s.v, bits) ^ (kind == SHIFT_RCL ? s.carry : top_bit(s.v << 1, bits));
    return s;
}

static const struct x86_op *shift(struct x86_cpu *cpu, const struct x86_op *op, uint32_t kind)
{
    uint64_t a;
    uint32_t n = op->size, bits = n * 8, f = cpu->state.ax_flags;
    uint32_t count = (op->src == X86_NO_REG ? (uint32_t)op->imm : R(op->src, uint8_t)) & (n == 8 ? 63u : 31u);
    if (!x86_get_rm(cpu, op, n, true, &a))
        return x86_stop(cpu, op);
    struct shifted s = {.v = a};
    if (count) {
        s = kind >= SHIFT_SHL                        ? shift_by(kind, a, bits, count)
            : kind == SHIFT_RCL || kind == SHIFT_RCR ? rotate_carry(kind, a, bits, count, f >> 8 & 1u)
                                                     : rotate_by(kind, a, bits, count);
        f = kind >= SHIFT_SHL ? x86_szp(s.v, n) : f & ~(FL_CF | FL_OF);
        f |= s.carry << 8 | s.overflow;
    }
    if (!x86_put_rm(cpu, op, n, s.v))
        return x86_stop(cpu, op);
    cpu->state.ax_flags = (uint16_t)f;
    return x86_next(op);
}

#define SHIFT(name, kind)                                                                                              \
    X86_OP(name)                                                                                                       \
    {                                                                                                                  \
        return shift(cpu, op, kind);                                                                                   \
    }
SHIFT(rol, SHIFT_ROL)
SHIFT(ror, SHIFT_ROR)
SHIFT(rcl, SHIFT_RCL)
SHIFT(rcr, SHIFT_RCR)
SHIFT(shl, SHIFT_SHL)
SHIFT(shr, SHIFT_SHR)
SHIFT(sar, SHIFT_SAR)
x86_fn *const x86_shift[SHIFT_N] = {x86_op_rol, x86_op_ror, x86_op_rcl, x86_op_rcr, x86_op_shl, x86_op_shr, x86_op_sar};

/* SHLD and SHRD; a count above the operand's width (16 bits only) is undefined: the source is shifted in again. */
static const struct x86_op *shift_double(struct x86_cpu *cpu, const struct x86_op *op, bool left)
{
    uint64_t a;
    uint32_t n = op->size, bits = n * 8;
    uint32_t count = (op->flags & X86F_IMM ? (uint32_t)op->imm : R(8 * X86_RCX, uint8_t)) & (n == 8 ? 63u : 31u);
    if (!x86_get_rm(cpu, op, n, true, &a))
        return x86_stop(cpu, op);
    uint64_t b = x86_cut(R(op->src, uint64_t), n), r = a;
    uint32_t f = cpu->state.ax_flags, carry;
    if (count) {
        if (left) {
            unsigned __int128 wide = (unsigned __int128)a << bits | b;
            wide = bits == 16 ? wide << 16 | a : wide;
            uint32_t total = bits == 16 ? 48 : 2 * bits;
            r = x86_cut((uint64_t)(wide >> (total - bits - count)), n);
            carry = (uint32_t)(wide >> (total - count)) & 1u;
        } else {
            unsigned __int128 wide = (unsigned __int128)b << bits | a;
            wide |= bits == 16 ? (unsigned __int128)a << 32 : 0;
            r = x86_cut((uint64_t)(wide >> count), n);
            carry = (uint32_t)(wide >> (count - 1)) & 1u;
        }
        f = x86_szp(r, n) | carry << 8 | (top_bit(r, bits) ^ top_bit(a, bits));
    }
    if (!x86_put_rm(cpu, op, n, r))
        return x86_stop(cpu, op);
    cpu->state.ax_flags = (uint16_t)f;
    return x86_next(op);
}
X86_OP(shld)
{
    return shift_double(cpu, op, true);
}
X86_OP(shrd)
{
    return shift_double(cpu, op, false);
}

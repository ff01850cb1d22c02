/* SPDX-License-Identifier: MIT */
/* Bit tests, bit scans, counts, CRC32, and the additions with two carry chains. */
#include "sim/cpu/x86_int.h"

#include <Zydis/Mnemonic.h>
#include <nmmintrin.h>

#define R(off, T) X86_REG(cpu, off, T)

/* ---- BT BTS BTR BTC ---- */

enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

static uint64_t with_bit(uint64_t v, uint32_t bit, enum bit_op kind)
{
    uint64_t m = 1ull << bit;
    return kind == BIT_SET ? v | m : kind == BIT_RESET ? v & ~m : kind == BIT_COMPLEMENT ? v ^ m : v;
}

static const struct x86_op *bit(struct x86_cpu *cpu, const struct x86_op *op, enum bit_op kind)
{
    uint32_t n = op->size, bits = n * 8;
    int64_t at = op->flags & X86F_IMM ? op->imm : x86_extend(R(op->src, uint64_t), n);
    uint32_t in = (uint32_t)at & (bits - 1);
    uint64_t v = 0, gva = 0;
    if (op->flags & X86F_MEM) {
        /* A register counts bits from the operand's address, both ways. */
        gva = x86_address(cpu, op);
        if (!(op->flags & X86F_IMM)) {
            uint64_t off = (uint64_t)((at >> __builtin_ctz(bits)) * (int64_t)n);
            struct x86_op there = *op;
            there.disp += (int64_t)off;
            gva = x86_address(cpu, &there);
        }
        struct x86_value r = x86_load_value(cpu, op, gva, n, kind != BIT_TEST);
        if (!r.ok)
            return x86_stop(cpu, op);
        v = r.v;
        if (kind != BIT_TEST && !x86_store_value(cpu, op, gva, with_bit(v, in, kind), n))
            return x86_stop(cpu, op);
    } else {
        v = R(op->dst, uint64_t);
        if (kind != BIT_TEST)
            x86_put_gpr(cpu, op->dst, n, with_bit(v, in, kind));
    }
    cpu->state.ax_flags = (uint16_t)((cpu->state.ax_flags & ~FL_CF) | (uint32_t)(v >> in & 1) << 8);
    return x86_next(op);
}
#define BIT(name, kind)                                                                                                \
    X86_OP(name)                                                                                                       \
    {                                                                                                                  \
        return bit(cpu, op, kind);                                                                                     \
    }
BIT(bt, BIT_TEST)
BIT(bts, BIT_SET)
BIT(btr, BIT_RESET)
BIT(btc, BIT_COMPLEMENT)

/* ---- scans and counts ---- */

/* BSF, BSR: of 0 only ZF is set, the register keeps its value (as processors do). Other flags are undefined: they are
 * those of the result. */
static const struct x86_op *scan(struct x86_cpu *cpu, const struct x86_op *op, bool forward)
{
    uint64_t v;
    if (!x86_src_gpr(cpu, op, op->size, &v))
        return x86_stop(cpu, op);
    uint32_t f = cpu->state.ax_flags & ~FL_ZF;
    if (!v) {
        f |= FL_ZF;
    } else {
        x86_put_gpr(cpu, op->dst, op->size, (uint64_t)(forward ? __builtin_ctzll(v) : 63 - __builtin_clzll(v)));
    }
    cpu->state.ax_flags = (uint16_t)f;
    return x86_next(op);
}
X86_OP(bsf)
{
    return scan(cpu, op, true);
}
X86_OP(bsr)
{
    return scan(cpu, op, false);
}

/* TZCNT, LZCNT: CF = the source is 0, ZF = the result is 0. */
static const struct x86_op *count_zeros(struct x86_cpu *cpu, const struct x86_op *op, bool trailing)
{
    uint64_t v;
    uint32_t bits = op->size * 8u;
    if (!x86_src_gpr(cpu, op, op->size, &v))
        return x86_stop(cpu, op);
    uint32_t n = !v ? bits : trailing ? (uint32_t)__builtin_ctzll(v) : (uint32_t)__builtin_clzll(v) - (64 - bits);
    x86_put_gpr(cpu, op->dst, op->size, n);
    cpu->state.ax_flags = (uint16_t)((cpu->state.ax_flags & ~(FL_CF | FL_ZF)) | (v ? 0 : FL_CF) | (n ? 0 : FL_ZF));
    return x86_next(op);
}
X86_OP(tzcnt)
{
    return count_zeros(cpu, op, true);
}
X86_OP(lzcnt)
{
    return count_zeros(cpu, op, false);
}

X86_OP(popcnt)
{
    uint64_t v;
    if (!x86_src_gpr(cpu, op, op->size, &v))
        return x86_stop(cpu, op);
    x86_put_gpr(cpu, op->dst, op->size, (uint64_t)__builtin_popcountll(v));
    cpu->state.ax_flags = (uint16_t)(0x200u | (v ? 0 : FL_ZF));
    return x86_next(op);
}

X86_OP(crc32)
{
    uint64_t v;
    uint32_t n = op->size, crc = R(op->dst, uint32_t);
    if (!x86_src_gpr(cpu, op, n, &v))
        return x86_stop(cpu, op);
    switch (n) {
    case 1:
        crc = _mm_crc32_u8(crc, (uint8_t)v);
        break;
    case 2:
        crc = _mm_crc32_u16(crc, (uint16_t)v);
        break;
    case 4:
        crc = _mm_crc32_u32(crc, (uint32_t)v);
        break;
    default:
        crc = (uint32_t)_mm_crc32_u64(crc, v);
        break;
    }
    R(op->dst, uint64_t) = crc;
    return x86_next(op);
}

/* ADCX and ADOX: an addition whose carry is CF, or OF, alone. */
static const struct x86_op *add_chain(struct x86_cpu *cpu, const struct x86_op *op, uint32_t flag)
{
    uint64_t v;
    uint32_t n = op->size;
    if (!x86_src_gpr(cpu, op, n, &v))
        return x86_stop(cpu, op);
    unsigned __int128 r = (unsigned __int128)x86_cut(R(op->dst, uint64_t), n) + v + !!(cpu->state.ax_flags & flag);
    x86_put_gpr(cpu, op->dst, n, (uint64_t)r);
    cpu->state.ax_flags = (uint16_t)((cpu->state.ax_flags & ~flag) | (r >> n * 8 ? flag : 0));
    return x86_next(op);
}
X86_OP(adcx)
{
    return add_chain(cpu, op, FL_CF);
}
X86_OP(adox)
{
    return add_chain(cpu, op, FL_OF);
}

#define F(name, fn)                                                                                                    \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##name, x86_op_##fn, 0                                                                          \
    }
const struct x86_form x86_bits_forms[] = {
    F(BT, bt),       F(BTS, bts),       F(BTR, btr),     F(BTC, btc),   F(BSF, bsf),   F(BSR, bsr),  F(TZCNT, tzcnt),
    F(LZCNT, lzcnt), F(POPCNT, popcnt), F(CRC32, crc32), F(ADCX, adcx), F(ADOX, adox), {0, NULL, 0},
};

/* SPDX-License-Identifier: MIT */
/* System mode: IN, OUT, INS, OUTS, with the permission map of the TSS (SDM volume 1, 19.5). */
#include "sim/cpu/x86_sys.h"

#include <Zydis/Mnemonic.h>

#define TSS_MAP 102u /* offset of the map's offset, in TSSs of 64 and 32 bits alike */
#define TSS_32  8u   /* type bit: not a 16-bit TSS */

/* May this level use the ports? False: cpu->fault is set. */
static bool is_permitted(struct x86_cpu *cpu, uint32_t port, uint32_t n)
{
    const struct x86_segment *tr = &cpu->state.tr;
    uint16_t map = 0, bits = 0;
    if (x86_is_real(cpu) || cpu->state.cpl <= x86_iopl(cpu))
        return true;
    if (!(tr->attributes & TSS_32) || tr->limit < TSS_MAP + 1)
        return x86_refuse(cpu, X86_GP, 0);
    if (!x86_load_system(cpu, tr->base + TSS_MAP, &map, 2))
        return false;
    uint32_t at = map + port / 8;
    if (at + 1 > tr->limit) /* two bytes are read always */
        return x86_refuse(cpu, X86_GP, 0);
    if (!x86_load_system(cpu, tr->base + at, &bits, 2))
        return false;
    return !(bits >> (port & 7) & ((1u << n) - 1)) || x86_refuse(cpu, X86_GP, 0);
}

static bool stopped(struct x86_cpu *cpu)
{
    cpu->stop = X86_STOP_BUS;
    return false;
}

static bool read_port(struct x86_cpu *cpu, const struct x86_op *op, uint32_t port, uint32_t n, uint32_t *v)
{
    *v = UINT32_MAX;
    x86_clock(cpu, op);
    return !cpu->bus->port_in || cpu->bus->port_in(cpu, (uint16_t)port, n, v) == X86_BUS_OK || stopped(cpu);
}

static bool write_port(struct x86_cpu *cpu, const struct x86_op *op, uint32_t port, uint32_t n, uint32_t v)
{
    x86_clock(cpu, op);
    v &= (uint32_t)x86_cut(UINT64_MAX, n);
    return !cpu->bus->port_out || cpu->bus->port_out(cpu, (uint16_t)port, n, v) == X86_BUS_OK || stopped(cpu);
}

static inline uint32_t port_of(const struct x86_cpu *cpu, const struct x86_op *op)
{
    return op->flags & X86F_IMM ? (uint32_t)op->imm & 0xff : (uint32_t)cpu->state.gpr[X86_RDX] & 0xffff;
}

static X86_OP(in)
{
    uint32_t v;
    if (!cpu->is_system)
        return x86_op_privileged(cpu, op);
    uint32_t port = port_of(cpu, op);
    if (!is_permitted(cpu, port, op->size) || !read_port(cpu, op, port, op->size, &v))
        return x86_stop(cpu, op);
    x86_put_gpr(cpu, 8 * X86_RAX, op->size, v);
    return x86_done(cpu, op);
}

static X86_OP(out)
{
    if (!cpu->is_system)
        return x86_op_privileged(cpu, op);
    uint32_t port = port_of(cpu, op), n = op->size;
    if (!is_permitted(cpu, port, n) || !write_port(cpu, op, port, n, (uint32_t)cpu->state.gpr[X86_RAX]))
        return x86_stop(cpu, op);
    return x86_done(cpu, op);
}

/* ---- strings: an element at a time; a fault leaves the registers at the element that faulted ---- */

struct ports {
    uint64_t mask;
    int64_t step;
    bool is_repeated;
};

static struct ports ports_of(const struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    struct ports p = {.mask = x86_address_mask(op), .is_repeated = op->flags & (X86F_REP | X86F_REPNE)};
    p.step = cpu->state.other_flags & X86_DF ? -(int64_t)n : (int64_t)n;
    return p;
}

static bool is_left(const struct x86_cpu *cpu, const struct ports *p)
{
    return !p->is_repeated || cpu->state.gpr[X86_RCX] & p->mask;
}

/* One element is done. True: that was the last. */
static bool advance(struct x86_cpu *cpu, const struct ports *p, enum x86_reg pointer)
{
    uint64_t *g = cpu->state.gpr;
    g[pointer] = x86_narrowed(g[pointer], g[pointer] + (uint64_t)p->step, p->mask);
    if (!p->is_repeated)
        return true;
    g[X86_RCX] = x86_narrowed(g[X86_RCX], g[X86_RCX] - 1, p->mask);
    return !(g[X86_RCX] & p->mask);
}

static const struct x86_op *ins(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    uint32_t v, port = (uint32_t)cpu->state.gpr[X86_RDX] & 0xffff;
    if (!cpu->is_system)
        return x86_op_privileged(cpu, op);
    struct ports p = ports_of(cpu, op, n);
    if (!is_permitted(cpu, port, n))
        return x86_stop(cpu, op);
    while (is_left(cpu, &p)) {
        uint64_t gva = ((cpu->state.gpr[X86_RDI] & p.mask) + cpu->state.gpr[X86_ES_BASE]) & cpu->linear;
        if (!x86_probe_write(cpu, op, gva, n) || !read_port(cpu, op, port, n, &v) || !x86_store(cpu, op, gva, &v, n))
            return x86_stop(cpu, op);
        if (advance(cpu, &p, X86_RDI))
            break;
    }
    return x86_done(cpu, op);
}

static const struct x86_op *outs(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    uint32_t v, port = (uint32_t)cpu->state.gpr[X86_RDX] & 0xffff;
    if (!cpu->is_system)
        return x86_op_privileged(cpu, op);
    struct ports p = ports_of(cpu, op, n);
    if (!is_permitted(cpu, port, n))
        return x86_stop(cpu, op);
    while (is_left(cpu, &p)) {
        uint64_t gva = ((cpu->state.gpr[X86_RSI] & p.mask) + x86_seg_base(cpu, op)) & cpu->linear;
        v = 0;
        if (!x86_load(cpu, op, gva, &v, n) || !write_port(cpu, op, port, n, v))
            return x86_stop(cpu, op);
        if (advance(cpu, &p, X86_RSI))
            break;
    }
    return x86_done(cpu, op);
}

#define SIZES(name)                                                                                                    \
    static X86_OP(name##b)                                                                                             \
    {                                                                                                                  \
        return name(cpu, op, 1);                                                                                       \
    }                                                                                                                  \
    static X86_OP(name##w)                                                                                             \
    {                                                                                                                  \
        return name(cpu, op, 2);                                                                                       \
    }                                                                                                                  \
    static X86_OP(name##d)                                                                                             \
    {                                                                                                                  \
        return name(cpu, op, 4);                                                                                       \
    }
SIZES(ins)
SIZES(outs)

#define F(name, fn)                                                                                                    \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##name, x86_op_##fn, X86N_END                                                                   \
    }
const struct x86_form x86_port_forms[] = {
    F(IN, in),       F(OUT, out),     F(INSB, insb),   F(INSW, insw), F(INSD, insd),
    F(OUTSB, outsb), F(OUTSW, outsw), F(OUTSD, outsd), {0, NULL, 0},
};

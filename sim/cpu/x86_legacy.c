/* SPDX-License-Identifier: MIT */
/* Code of 32 and 16 bits: segmented addresses, the stack, near branches; and the stack as far transfers of any mode see
 * it. Of segments, base, limit and presence count in an access; that a code segment cannot be written does not. */
#include "sim/cpu/x86_sys.h"

#include <Zydis/Mnemonic.h>

#define R(off, T) X86_REG(cpu, off, T)

/* An address that faults wherever it is used: #SS through the stack segment, else #GP. */
#define OUTSIDE (1ull << 63)

/* ---- segmented addresses ---- */

static bool is_inside(const struct x86_segment *s, uint64_t offset, uint32_t n)
{
    uint64_t last = offset + (n ? n - 1 : 0), top = s->attributes & X86_DESC_DB ? UINT32_MAX : 0xffff;
    if (s->attributes & X86_DESC_UNUSABLE)
        return false;
    bool is_down = !(s->attributes & X86_DESC_CODE) && s->attributes & X86_DESC_CONFORMING;
    return is_down ? offset > s->limit && last <= top : last <= s->limit;
}

/* The segment whose base the addend is; NULL: none. */
static const struct x86_segment *segment_of(const struct x86_cpu *cpu, uint32_t addend)
{
    if (addend == X86_ZERO)
        return NULL;
    uint32_t i = addend == X86_FS_BASE ? X86_FS : addend == X86_GS_BASE ? X86_GS : addend - X86_ES_BASE;
    return &cpu->state.seg[i];
}

uint64_t x86_narrow_address(const struct x86_cpu *cpu, const struct x86_op *op, uint64_t offset)
{
    uint32_t seg = x86_seg(op);
    offset &= x86_address_mask(op);
    if (cpu->linear == UINT64_MAX)
        return offset + cpu->state.gpr[seg];
    const struct x86_segment *s = segment_of(cpu, seg);
    if (!s)
        return offset;
    return is_inside(s, offset, op->size) ? (offset + cpu->state.gpr[seg]) & cpu->linear : OUTSIDE;
}

/* ---- the stack ---- */

static uint64_t stack_mask(const struct x86_cpu *cpu)
{
    return x86_is_64bit(cpu) ? UINT64_MAX : cpu->context & X86_MODE_STACK ? UINT32_MAX : 0xffff;
}

static uint64_t stack_address(const struct x86_cpu *cpu, uint64_t sp, uint32_t n)
{
    const struct x86_segment *ss = &cpu->state.seg[X86_SS];
    if (x86_is_64bit(cpu))
        return sp;
    return is_inside(ss, sp, n) ? (ss->base + sp) & UINT32_MAX : OUTSIDE;
}

void x86_move_stack(struct x86_cpu *cpu, int64_t bytes)
{
    uint64_t *rsp = &cpu->state.gpr[X86_RSP];
    *rsp = x86_narrowed(*rsp, *rsp + (uint64_t)bytes, stack_mask(cpu));
}

bool x86_push(struct x86_cpu *cpu, const struct x86_op *op, uint64_t v, uint32_t n)
{
    uint64_t sp = (cpu->state.gpr[X86_RSP] - n) & stack_mask(cpu), at = stack_address(cpu, sp, n);
    if (at == OUTSIDE)
        return x86_refuse(cpu, X86_SS_FAULT, 0);
    if (!x86_store(cpu, op, at, &v, n))
        return false;
    x86_move_stack(cpu, -(int64_t)n);
    return true;
}

bool x86_peek(struct x86_cpu *cpu, const struct x86_op *op, uint32_t above, uint32_t n, uint64_t *v)
{
    uint64_t sp = (cpu->state.gpr[X86_RSP] + above) & stack_mask(cpu), at = stack_address(cpu, sp, n);
    *v = 0;
    if (at == OUTSIDE)
        return x86_refuse(cpu, X86_SS_FAULT, 0);
    return x86_load(cpu, op, at, v, n);
}

static X86_OP(push_legacy)
{
    uint64_t v = (uint64_t)(int64_t)op->imm;
    if (!(op->flags & X86F_IMM) && !x86_get_rm(cpu, op, op->size, false, &v))
        return x86_stop(cpu, op);
    if (!x86_push(cpu, op, v, op->size))
        return x86_stop(cpu, op);
    return x86_next(op);
}

/* The address of a memory destination is computed after the stack pointer has moved. */
static X86_OP(pop_legacy)
{
    uint64_t v, rsp = cpu->state.gpr[X86_RSP];
    if (!x86_peek(cpu, op, 0, op->size, &v))
        return x86_stop(cpu, op);
    x86_move_stack(cpu, op->size);
    if (!x86_put_rm(cpu, op, op->size, v)) {
        cpu->state.gpr[X86_RSP] = rsp;
        return x86_stop(cpu, op);
    }
    return x86_next(op);
}

static X86_OP(pusha)
{
    const uint64_t *g = cpu->state.gpr, rsp = g[X86_RSP];
    for (uint32_t i = 0; i < 8; i++)
        if (!x86_push(cpu, op, i == X86_RSP ? rsp : g[i], op->size)) {
            cpu->state.gpr[X86_RSP] = rsp;
            return x86_stop(cpu, op);
        }
    return x86_next(op);
}
static X86_OP(popa)
{
    uint64_t v[8];
    for (uint32_t i = 0; i < 8; i++)
        if (!x86_peek(cpu, op, i * op->size, op->size, &v[i]))
            return x86_stop(cpu, op);
    for (uint32_t i = 0; i < 8; i++)
        if (7 - i != X86_RSP)
            x86_put_gpr(cpu, 8 * (7 - i), op->size, v[i]);
    x86_move_stack(cpu, 8 * op->size);
    return x86_next(op);
}

static X86_OP(leave_legacy)
{
    uint64_t *g = cpu->state.gpr, rsp = g[X86_RSP], v;
    g[X86_RSP] = x86_narrowed(rsp, g[X86_RBP], stack_mask(cpu));
    if (!x86_peek(cpu, op, 0, op->size, &v)) {
        g[X86_RSP] = rsp;
        return x86_stop(cpu, op);
    }
    x86_move_stack(cpu, op->size);
    x86_put_gpr(cpu, 8 * X86_RBP, op->size, v);
    return x86_next(op);
}

/* ---- flags; POPF of every mode, for what it may change that the next instruction must see ---- */

static X86_OP(pushf_legacy)
{
    if (!x86_push(cpu, op, x86_rflags(cpu) & ~(uint64_t)X86_RF, op->size))
        return x86_stop(cpu, op);
    return x86_next(op);
}
X86_OP(popf_system)
{
    uint64_t v, old = x86_rflags(cpu);
    if (!x86_peek(cpu, op, 0, op->size, &v))
        return x86_stop(cpu, op);
    x86_move_stack(cpu, op->size);
    uint64_t change = X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_TF | X86_DF | X86_OF | X86_NT;
    change |= op->size > 2 ? X86_AC | X86_ID : 0;
    change |= cpu->state.cpl == 0 ? X86_IOPL : 0;
    change |= cpu->state.cpl <= x86_iopl(cpu) ? X86_IF : 0;
    x86_set_rflags(cpu, (old & ~change & ~(uint64_t)X86_RF) | (v & change));
    x86_refresh_rights(cpu);
    x86_watch_events(cpu);
    return x86_done(cpu, op);
}

/* ---- near branches: offsets in CS, cut to the operand size ---- */

static const struct x86_op *branch(struct x86_cpu *cpu, const struct x86_op *op, uint64_t offset)
{
    offset = x86_cut(offset, op->size);
    if (offset > cpu->state.seg[X86_CS].limit)
        return x86_raise(cpu, op, X86_GP);
    return x86_find(cpu, (offset + (cpu->context >> X86_MODE_SHIFT)) & UINT32_MAX);
}
static inline const struct x86_link *link_of(const struct x86_op *op)
{
    return (const struct x86_link *)(const void *)(op + 1);
}

static X86_OP(call_legacy)
{
    if (!x86_push(cpu, op, x86_offset(cpu, link_of(op)->rip[1]), op->size))
        return x86_stop(cpu, op);
    return x86_go(cpu, op, 0);
}
static X86_OP(call_indirect_legacy)
{
    uint64_t to;
    if (!x86_get_rm(cpu, op, op->size, false, &to) ||
        !x86_push(cpu, op, x86_offset(cpu, link_of(op)->rip[1]), op->size))
        return x86_stop(cpu, op);
    return branch(cpu, op, to);
}
static X86_OP(jmp_indirect_legacy)
{
    uint64_t to;
    if (!x86_get_rm(cpu, op, op->size, false, &to))
        return x86_stop(cpu, op);
    return branch(cpu, op, to);
}
static X86_OP(ret_legacy)
{
    uint64_t to;
    if (!x86_peek(cpu, op, 0, op->size, &to))
        return x86_stop(cpu, op);
    x86_move_stack(cpu, op->size + ((uint32_t)op->imm & 0xffff));
    return branch(cpu, op, to);
}

x86_fn *const x86_legacy_branch[X86_LEGACY_N] = {[X86_LEGACY_CALL] = x86_op_call_legacy,
                                                 [X86_LEGACY_CALL_INDIRECT] = x86_op_call_indirect_legacy,
                                                 [X86_LEGACY_JMP_INDIRECT] = x86_op_jmp_indirect_legacy,
                                                 [X86_LEGACY_RET] = x86_op_ret_legacy,
                                                 [X86_LEGACY_PUSH] = x86_op_push_legacy,
                                                 [X86_LEGACY_POP] = x86_op_pop_legacy};

#define F(name, fn)                                                                                                    \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##name, x86_op_##fn, 0                                                                          \
    }
const struct x86_form x86_legacy_forms[] = {
    F(PUSHA, pusha),        F(PUSHAD, pusha),        F(POPA, popa),          F(POPAD, popa),
    F(PUSHF, pushf_legacy), F(PUSHFD, pushf_legacy), F(LEAVE, leave_legacy), {0, NULL, 0},
};

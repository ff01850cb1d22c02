/* SPDX-License-Identifier: MIT */
/* System mode: tables of descriptors and their registers, segment registers moved, far jumps, calls and returns (SDM
 * volume 2). Call gates, task gates and task switches are not there: #GP, as for any selector that names no code. */
#include "sim/cpu/x86_sys.h"

#include <Zydis/Mnemonic.h>

#define R(off, T) X86_REG(cpu, off, T)

/* The decoder leaves the operand size in imm, where there is no immediate. */

/* System descriptor types (SDM volume 3, table 3-2). */
#define TYPE_LDT    2u
#define TYPE_TSS_16 1u
#define TYPE_TSS    9u
#define TYPE_BUSY   2u

/* ---- GDTR, IDTR ---- */

static const struct x86_op *load_table(struct x86_cpu *cpu, const struct x86_op *op, uint64_t *base, uint16_t *limit)
{
    uint8_t image[10] = {0};
    uint64_t at = 0, gva = x86_address(cpu, op);
    uint32_t n = x86_is_64bit(cpu) ? 8 : 4;
    if (cpu->state.cpl)
        return x86_raise(cpu, op, X86_GP);
    if (!x86_load(cpu, op, gva, image, 2 + n))
        return x86_stop(cpu, op);
    memcpy(&at, image + 2, n);
    if (n == 4 && op->imm == 16) /* 24 bits */
        at &= 0xffffff;
    if (!x86_is_canonical(at))
        return x86_raise(cpu, op, X86_GP);
    *base = at;
    memcpy(limit, image, 2);
    return x86_done(cpu, op);
}
static X86_OP(lgdt)
{
    return load_table(cpu, op, &cpu->state.gdt_base, &cpu->state.gdt_limit);
}
static X86_OP(lidt)
{
    return load_table(cpu, op, &cpu->state.idt_base, &cpu->state.idt_limit);
}

static const struct x86_op *store_table(struct x86_cpu *cpu, const struct x86_op *op, uint64_t base, uint16_t limit)
{
    uint8_t image[10];
    if (x86_is_hidden(cpu))
        return x86_raise(cpu, op, X86_GP);
    memcpy(image, &limit, 2);
    memcpy(image + 2, &base, 8);
    if (!x86_store(cpu, op, x86_address(cpu, op), image, x86_is_64bit(cpu) ? 10 : 6))
        return x86_stop(cpu, op);
    return x86_next(op);
}
static X86_OP(sgdt)
{
    return store_table(cpu, op, cpu->state.gdt_base, cpu->state.gdt_limit);
}
static X86_OP(sidt)
{
    return store_table(cpu, op, cpu->state.idt_base, cpu->state.idt_limit);
}

/* ---- LDTR, TR ---- */

static X86_OP(lldt)
{
    struct x86_descriptor d;
    uint64_t v;
    if (x86_is_real(cpu))
        return x86_raise(cpu, op, X86_UD);
    if (cpu->state.cpl)
        return x86_raise(cpu, op, X86_GP);
    if (!x86_get_rm(cpu, op, 2, false, &v))
        return x86_stop(cpu, op);
    if (!(v & ~3ull)) {
        cpu->state.ldtr = (struct x86_segment){.selector = (uint16_t)v, .attributes = X86_DESC_UNUSABLE};
        return x86_next(op);
    }
    uint32_t code = (uint32_t)v & ~3u;
    if (v & 4)
        return x86_raise_code(cpu, op, X86_GP, code);
    if (!x86_read_descriptor(cpu, (uint16_t)v, X86_GP, 0, &d))
        return x86_stop(cpu, op);
    if ((d.seg.attributes & (X86_DESC_S | X86_DESC_TYPE)) != TYPE_LDT)
        return x86_raise_code(cpu, op, X86_GP, code);
    if (!(d.seg.attributes & X86_DESC_P))
        return x86_raise_code(cpu, op, X86_NP, code);
    cpu->state.ldtr = d.seg;
    return x86_next(op);
}

static X86_OP(ltr)
{
    struct x86_descriptor d;
    uint64_t v;
    if (x86_is_real(cpu))
        return x86_raise(cpu, op, X86_UD);
    if (cpu->state.cpl)
        return x86_raise(cpu, op, X86_GP);
    if (!x86_get_rm(cpu, op, 2, false, &v))
        return x86_stop(cpu, op);
    uint32_t code = (uint32_t)v & ~3u;
    if (!code || v & 4)
        return x86_raise_code(cpu, op, X86_GP, code);
    if (!x86_read_descriptor(cpu, (uint16_t)v, X86_GP, 0, &d))
        return x86_stop(cpu, op);
    uint32_t type = d.seg.attributes & (X86_DESC_S | X86_DESC_TYPE);
    if (type != TYPE_TSS && (type != TYPE_TSS_16 || x86_is_long(cpu)))
        return x86_raise_code(cpu, op, X86_GP, code);
    if (!(d.seg.attributes & X86_DESC_P))
        return x86_raise_code(cpu, op, X86_NP, code);
    if (!x86_mark_descriptor(cpu, &d, TYPE_BUSY))
        return x86_stop(cpu, op);
    cpu->state.tr = d.seg;
    return x86_next(op);
}

static const struct x86_op *store_selector(struct x86_cpu *cpu, const struct x86_op *op, uint16_t selector)
{
    if (x86_is_real(cpu))
        return x86_raise(cpu, op, X86_UD);
    if (x86_is_hidden(cpu))
        return x86_raise(cpu, op, X86_GP);
    if (!x86_put_rm(cpu, op, op->flags & X86F_MEM ? 2 : op->size, selector))
        return x86_stop(cpu, op);
    return x86_next(op);
}
static X86_OP(sldt)
{
    return store_selector(cpu, op, cpu->state.ldtr.selector);
}
static X86_OP(str)
{
    return store_selector(cpu, op, cpu->state.tr.selector);
}

/* ---- LAR, LSL, VERR, VERW: questions about a selector, answered in ZF ---- */

/* Types of system segments that LAR and LSL know, in long mode and elsewhere. */
#define LAR_LONG   (1u << 2 | 1u << 9 | 1u << 11 | 1u << 12)
#define LAR_LEGACY (LAR_LONG | 1u << 1 | 1u << 3 | 1u << 4 | 1u << 5)
#define LSL_LONG   (1u << 2 | 1u << 9 | 1u << 11)
#define LSL_LEGACY (LSL_LONG | 1u << 1 | 1u << 3)

enum answer { NO, YES, FAULT };

/* The descriptor, if there is one. */
static enum answer look_up(struct x86_cpu *cpu, uint16_t selector, struct x86_descriptor *d)
{
    struct x86_fault kept = cpu->fault;
    if (!(selector & ~3u))
        return NO;
    if (x86_read_descriptor(cpu, selector, X86_GP, 0, d))
        return YES;
    if (cpu->stop != X86_STOP_FAULT || cpu->fault.vector != X86_GP)
        return FAULT;
    cpu->fault = kept;
    return NO;
}

static bool is_visible(const struct x86_cpu *cpu, const struct x86_descriptor *d)
{
    uint32_t a = d->seg.attributes, dpl = X86_DESC_DPL(a), rpl = d->seg.selector & 3u;
    bool is_conforming = a & X86_DESC_S && a & X86_DESC_CODE && a & X86_DESC_CONFORMING;
    return is_conforming || (cpu->state.cpl <= dpl && rpl <= dpl);
}

static const struct x86_op *answer(struct x86_cpu *cpu, const struct x86_op *op, bool is_yes)
{
    cpu->state.ax_flags = (uint16_t)((cpu->state.ax_flags & ~FL_ZF) | (is_yes ? FL_ZF : 0));
    return x86_next(op);
}

/* LAR: bits 8..23 of the descriptor's upper half; LSL: the limit in bytes. */
static const struct x86_op *load_part(struct x86_cpu *cpu, const struct x86_op *op, uint32_t types, bool is_limit)
{
    struct x86_descriptor d;
    uint64_t selector = 0;
    if (x86_is_real(cpu))
        return x86_raise(cpu, op, X86_UD);
    if (!x86_src_gpr(cpu, op, 2, &selector))
        return x86_stop(cpu, op);
    enum answer a = look_up(cpu, (uint16_t)selector, &d);
    if (a == FAULT)
        return x86_stop(cpu, op);
    bool is_known = a == YES && (d.seg.attributes & X86_DESC_S || types >> (d.seg.attributes & X86_DESC_TYPE) & 1);
    if (!is_known || !is_visible(cpu, &d))
        return answer(cpu, op, false);
    uint32_t n = op->flags & X86F_REXW ? 8 : op->imm == 16 ? 2 : 4;
    x86_put_gpr(cpu, op->dst, n, is_limit ? d.seg.limit : d.raw[0] >> 32 & 0xf0ff00);
    return answer(cpu, op, true);
}
static X86_OP(lar)
{
    return load_part(cpu, op, x86_is_long(cpu) ? LAR_LONG : LAR_LEGACY, false);
}
static X86_OP(lsl)
{
    return load_part(cpu, op, x86_is_long(cpu) ? LSL_LONG : LSL_LEGACY, true);
}

static const struct x86_op *verify(struct x86_cpu *cpu, const struct x86_op *op, bool is_write)
{
    struct x86_descriptor d;
    uint64_t selector;
    if (x86_is_real(cpu))
        return x86_raise(cpu, op, X86_UD);
    if (!x86_get_rm(cpu, op, 2, false, &selector))
        return x86_stop(cpu, op);
    enum answer a = look_up(cpu, (uint16_t)selector, &d);
    if (a == FAULT)
        return x86_stop(cpu, op);
    if (a == NO || !(d.seg.attributes & X86_DESC_S) || !is_visible(cpu, &d))
        return answer(cpu, op, false);
    bool is_code = d.seg.attributes & X86_DESC_CODE, bit = d.seg.attributes & X86_DESC_WRITABLE;
    return answer(cpu, op, is_write ? !is_code && bit : !is_code || bit);
}
static X86_OP(verr)
{
    return verify(cpu, op, false);
}
static X86_OP(verw)
{
    return verify(cpu, op, true);
}

/* ---- segment registers ---- */

/* Behind a load of SS no interrupt comes before the next instruction. */
static void shadow(struct x86_cpu *cpu, const struct x86_op *op, uint32_t seg)
{
    if (seg != X86_SS)
        return;
    cpu->state.shadow_rip = x86_behind(cpu, op);
    x86_watch_events(cpu);
}

static bool load_seg(struct x86_cpu *cpu, const struct x86_op *op)
{
    struct x86_value v = {0, 1};
    if (op->flags & X86F_MEM)
        v = x86_load_value(cpu, op, x86_address(cpu, op), 2, false);
    else
        v.v = R(op->src, uint16_t);
    if (!v.ok)
        return false;
    return op->dst == X86_CS ? x86_refuse_plain(cpu, X86_UD) : x86_load_segment(cpu, op->dst, (uint16_t)v.v);
}

X86_OP(load_seg)
{
    if (!load_seg(cpu, op))
        return x86_stop(cpu, op);
    shadow(cpu, op, op->dst);
    return x86_done(cpu, op);
}
X86_OP(load_seg_plain)
{
    if (!load_seg(cpu, op))
        return x86_stop(cpu, op);
    return x86_next(op);
}

X86_OP(push_seg)
{
    if (!x86_push(cpu, op, cpu->state.seg[op->dst].selector, op->size))
        return x86_stop(cpu, op);
    return x86_next(op);
}
X86_OP(pop_seg)
{
    uint64_t v;
    if (!x86_peek(cpu, op, 0, op->size, &v) || !x86_load_segment(cpu, op->dst, (uint16_t)v))
        return x86_stop(cpu, op);
    x86_move_stack(cpu, op->size);
    shadow(cpu, op, op->dst);
    return x86_done(cpu, op);
}

static const struct x86_op *load_far_pointer(struct x86_cpu *cpu, const struct x86_op *op, enum x86_seg seg)
{
    uint32_t n = op->flags & X86F_REXW ? 8 : op->imm == 16 ? 2 : 4;
    uint64_t gva = x86_address(cpu, op), offset = 0;
    uint16_t selector;
    if (!x86_load(cpu, op, gva, &offset, n) || !x86_load(cpu, op, gva + n, &selector, 2) ||
        !x86_load_segment(cpu, seg, selector))
        return x86_stop(cpu, op);
    x86_put_gpr(cpu, op->dst, n, offset);
    return x86_done(cpu, op);
}
#define LOAD_FAR(name, seg)                                                                                            \
    static X86_OP(name)                                                                                                \
    {                                                                                                                  \
        return load_far_pointer(cpu, op, seg);                                                                         \
    }
LOAD_FAR(les, X86_ES)
LOAD_FAR(lds, X86_DS)
LOAD_FAR(lss, X86_SS)
LOAD_FAR(lfs, X86_FS)
LOAD_FAR(lgs, X86_GS)

/* ---- far transfers; the decoder leaves an immediate pointer as selector << 32 | offset in disp ---- */

static bool far_pointer(struct x86_cpu *cpu, const struct x86_op *op, uint64_t *offset, uint16_t *selector)
{
    uint32_t n = op->size;
    *offset = 0;
    if (!(op->flags & X86F_MEM)) {
        *offset = (uint32_t)op->disp;
        *selector = (uint16_t)(op->disp >> 32);
        return true;
    }
    uint64_t gva = x86_address(cpu, op);
    return x86_load(cpu, op, gva, offset, n) && x86_load(cpu, op, gva + n, selector, 2);
}

X86_OP(jmp_far)
{
    struct x86_far f;
    uint64_t offset;
    uint16_t selector;
    if (!far_pointer(cpu, op, &offset, &selector) || !x86_far_target(cpu, selector, offset, &f))
        return x86_stop(cpu, op);
    x86_put_code_segment(cpu, f.cs, f.cpl);
    return x86_find(cpu, f.rip);
}

X86_OP(call_far)
{
    struct x86_far f;
    uint64_t offset, rsp = cpu->state.gpr[X86_RSP], next = x86_offset(cpu, x86_behind(cpu, op));
    uint16_t selector, cs = cpu->state.seg[X86_CS].selector;
    if (!far_pointer(cpu, op, &offset, &selector) || !x86_far_target(cpu, selector, offset, &f))
        return x86_stop(cpu, op);
    if (!x86_push(cpu, op, cs, op->size) || !x86_push(cpu, op, next, op->size)) {
        cpu->state.gpr[X86_RSP] = rsp;
        return x86_stop(cpu, op);
    }
    x86_put_code_segment(cpu, f.cs, f.cpl);
    return x86_find(cpu, f.rip);
}

/* RET, in size bytes each: offset, selector; to an outer level also the stack, behind the parameters of both. */
X86_OP(ret_far)
{
    struct x86_far f;
    struct x86_segment ss = {0};
    uint64_t offset, selector, sp = 0, stack = 0;
    uint32_t n = op->size, drop = (uint32_t)op->imm & 0xffff;
    if (!x86_peek(cpu, op, 0, n, &offset) || !x86_peek(cpu, op, n, n, &selector) ||
        !x86_return_target(cpu, (uint16_t)selector, offset, &f))
        return x86_stop(cpu, op);
    bool is_outer = f.cpl > cpu->state.cpl;
    if (is_outer && (!x86_peek(cpu, op, 2 * n + drop, n, &sp) || !x86_peek(cpu, op, 3 * n + drop, n, &stack) ||
                     !x86_return_stack(cpu, (uint16_t)stack, &f, &ss)))
        return x86_stop(cpu, op);
    if (!is_outer) {
        x86_move_stack(cpu, 2 * n + drop);
        x86_put_code_segment(cpu, f.cs, f.cpl);
        return x86_find(cpu, f.rip);
    }
    cpu->state.seg[X86_SS] = ss;
    cpu->state.gpr[X86_RSP] = sp;
    x86_put_code_segment(cpu, f.cs, f.cpl);
    x86_move_stack(cpu, drop);
    x86_hide_segments(cpu);
    return x86_find(cpu, f.rip);
}

#define F(name, fn, need)                                                                                              \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##name, x86_op_##fn, need                                                                       \
    }
const struct x86_form x86_far_forms[] = {
    F(LGDT, lgdt, X86N_END), F(LIDT, lidt, X86N_END), F(SGDT, sgdt, 0),
    F(SIDT, sidt, 0),        F(LLDT, lldt, 0),        F(LTR, ltr, 0),
    F(SLDT, sldt, 0),        F(STR, str, 0),          F(LAR, lar, 0),
    F(LSL, lsl, 0),          F(VERR, verr, 0),        F(VERW, verw, 0),
    F(LES, les, X86N_END),   F(LDS, lds, X86N_END),   F(LSS, lss, X86N_END),
    F(LFS, lfs, X86N_END),   F(LGS, lgs, X86N_END),   {0, NULL, 0},
};

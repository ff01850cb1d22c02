/* SPDX-License-Identifier: MIT */
/* The handler of a decoded instruction: by family, form and size where a mnemonic has a family, else by the tables of
 * sim/cpu/x86_tables.c. System mode, and code of 32 and 16 bits, look into tables of their own first. */
#include "sim/cpu/x86_pick.h"

#include "sim/cpu/x86_sys.h"

/* ---- mnemonics that have handlers by form and size ---- */

enum family {
    OTHER,
    ALU,
    UNARY,
    SHIFT,
    MOVE,
    WIDEN_ZERO,
    WIDEN_SIGN,
    LEA,
    JCC,
    SETCC,
    CMOV,
    JMP,
    CALL,
    RET,
    PUSH,
    POP
};
struct pick {
    uint8_t family, arg;
};
#define M(name, family, arg) [ZYDIS_MNEMONIC_##name] = {family, arg}
#define CC(prefix, family)                                                                                             \
    M(prefix##O, family, 0), M(prefix##NO, family, 1), M(prefix##B, family, 2), M(prefix##NB, family, 3),              \
        M(prefix##Z, family, 4), M(prefix##NZ, family, 5), M(prefix##BE, family, 6), M(prefix##NBE, family, 7),        \
        M(prefix##S, family, 8), M(prefix##NS, family, 9), M(prefix##P, family, 10), M(prefix##NP, family, 11),        \
        M(prefix##L, family, 12), M(prefix##NL, family, 13), M(prefix##LE, family, 14), M(prefix##NLE, family, 15)
static const struct pick picks[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
    M(ADD, ALU, ALU_ADD),
    M(OR, ALU, ALU_OR),
    M(ADC, ALU, ALU_ADC),
    M(SBB, ALU, ALU_SBB),
    M(AND, ALU, ALU_AND),
    M(SUB, ALU, ALU_SUB),
    M(XOR, ALU, ALU_XOR),
    M(CMP, ALU, ALU_CMP),
    M(TEST, ALU, ALU_TEST),
    M(INC, UNARY, UNARY_INC),
    M(DEC, UNARY, UNARY_DEC),
    M(NEG, UNARY, UNARY_NEG),
    M(NOT, UNARY, UNARY_NOT),
    M(ROL, SHIFT, SHIFT_ROL),
    M(ROR, SHIFT, SHIFT_ROR),
    M(RCL, SHIFT, SHIFT_RCL),
    M(RCR, SHIFT, SHIFT_RCR),
    M(SHL, SHIFT, SHIFT_SHL),
    M(SHR, SHIFT, SHIFT_SHR),
    M(SAR, SHIFT, SHIFT_SAR),
    M(MOV, MOVE, 0),
    M(MOVZX, WIDEN_ZERO, 0),
    M(MOVSX, WIDEN_SIGN, 0),
    M(MOVSXD, WIDEN_SIGN, 0),
    M(LEA, LEA, 0),
    M(JMP, JMP, 0),
    M(CALL, CALL, 0),
    M(RET, RET, 0),
    M(PUSH, PUSH, 0),
    M(POP, POP, 0),
    CC(J, JCC),
    CC(SET, SETCC),
    CC(CMOV, CMOV),
};
#undef CC
#undef M

static uint32_t log2_size(uint32_t bytes)
{
    return (uint32_t)__builtin_ctz(bytes | 8);
}

static enum x86_form_kind kind_of(const struct x86_op *op)
{
    if (op->flags & X86F_MEM_DST)
        return op->src == X86_NO_REG ? X86_MI : X86_MR;
    if (op->flags & X86F_MEM)
        return X86_RM;
    return op->src == X86_NO_REG ? X86_RI : X86_RR;
}

/* ---- user programs ---- */

static bool is_seg_or_control(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o)
{
    for (uint32_t i = 0; i < in->operand_count_visible; i++)
        if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER && !x86_is_gpr(o[i].reg.value))
            return true;
    return false;
}

static x86_fn *pick_mov(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, struct x86_op *op)
{
    enum x86_form_kind kind = kind_of(op);
    if (kind == X86_RI && op->size == 8 && o[1].imm.value.s != (int64_t)op->imm) {
        op->disp = o[1].imm.value.s;
        return x86_op_mov_imm64;
    }
    if (kind == X86_RM)
        op->flags |= X86F_LOAD;
    bool simple = op->index == X86_ZERO && op->seg == X86_ZERO && in->address_width == 64;
    if (simple && kind == X86_RM)
        return x86_mov_base[0][log2_size(op->size)];
    if (simple && kind == X86_MR)
        return x86_mov_base[1][log2_size(op->size)];
    return x86_mov[kind][log2_size(op->size)];
}

static x86_fn *pick_widen(const ZydisDecodedOperand *o, struct x86_op *op, bool is_signed)
{
    uint32_t from = o[1].size / 8, to = o[0].size / 8;
    bool mem = op->flags & X86F_MEM;
    if (mem)
        op->flags |= X86F_LOAD;
    if (from > to)
        return x86_op_movsxd16;
    if (from == to) /* MOVSXD without REX.W */
        return x86_mov[mem ? X86_RM : X86_RR][log2_size(to)];
    uint32_t kind = from == 1 ? WIDEN_ZX8 : WIDEN_ZX16;
    if (is_signed)
        kind = from == 1 ? WIDEN_SX8 : from == 2 ? WIDEN_SX16 : WIDEN_SX32;
    return x86_widen[kind][mem][log2_size(to)];
}

static x86_fn *pick_shift(struct x86_op *op, uint32_t arg)
{
    bool by_constant = op->src == X86_NO_REG;
    uint32_t count = (uint32_t)op->imm & (op->size == 8 ? 63 : 31);
    if (arg >= SHIFT_SHL && by_constant && !(op->flags & X86F_MEM) && op->size >= 4 && count) {
        op->imm = (int32_t)count;
        return x86_shift_imm[arg - SHIFT_SHL][op->size == 8];
    }
    return x86_shift[arg];
}

static x86_fn *pick_alu(struct x86_op *op, uint32_t arg, struct x86_note *note)
{
    enum x86_form_kind kind = kind_of(op);
    bool pure = !(op->flags & X86F_MEM), reads = arg == ALU_ADC || arg == ALU_SBB;
    note->no_flags = arg >= ALU_CMP ? NULL : x86_alu[arg][kind][log2_size(op->size)][1];
    note->writes_all = pure && !reads;
    note->is_silent = pure && !reads;
    note->alu = arg >= ALU_CMP ? (uint8_t)arg : ALU_N;
    if (kind == X86_RM && arg < ALU_CMP)
        op->flags |= X86F_LOAD;
    return x86_alu[arg][kind][log2_size(op->size)][0];
}

/* Rows of a table of handlers: the first whose needs are met. */
static const struct x86_form *find_form(const struct x86_form *table, uint16_t mnemonic, const struct x86_op *op)
{
    for (; table->fn; table++) {
        if (table->mnemonic != mnemonic)
            continue;
        uint32_t have = (op->flags & X86F_MEM ? X86N_MEM : X86N_REG) | (op->flags & X86F_MEM_DST ? X86N_MEM_DST : 0) |
                        (op->flags & X86F_DST_XMM ? X86N_DST_XMM : 0) | (op->flags & X86F_DST_MMX ? X86N_DST_MMX : 0) |
                        (op->flags & X86F_SRC_XMM ? X86N_SRC_XMM : 0) | (op->flags & X86F_SRC_MMX ? X86N_SRC_MMX : 0) |
                        (op->flags & (X86F_DST_XMM | X86F_SRC_XMM) ? 0 : X86N_NO_XMM) | X86N_END;
        if (!(table->need & ~have))
            return table;
    }
    return NULL;
}

static x86_fn *pick_other(const ZydisDecodedInstruction *in, struct x86_op *op)
{
    for (uint32_t i = 0; x86_tables[i]; i++) {
        const struct x86_form *f = find_form(x86_tables[i], (uint16_t)in->mnemonic, op);
        if (f) {
            if (f->need & X86N_END)
                op->flags |= X86F_END;
            return f->fn;
        }
    }
    op->flags |= X86F_END;
    return x86_op_unsupported;
}

static x86_fn *pick_branch(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, struct x86_op *op,
                           const struct pick *p)
{
    op->flags |= X86F_END;
    if (p->family == JCC)
        return x86_jcc[p->arg];
    if (p->family == RET || p->family == CALL)
        op->flags |= X86F_STACK;
    if (p->family == RET)
        return in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? x86_op_unsupported : x86_op_ret;
    if (in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return x86_op_unsupported;
    op->size = 8;
    if (o[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return p->family == CALL ? x86_op_call : x86_op_jmp;
    return p->family == CALL ? x86_op_call_indirect : x86_op_jmp_indirect;
}

static x86_fn *pick_stack(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, struct x86_op *op,
                          uint32_t family)
{
    op->size = (uint8_t)(in->operand_width / 8);
    op->flags |= X86F_STACK;
    if (family == POP)
        op->flags |= X86F_LOAD;
    if (op->size == 8 && o[0].type == ZYDIS_OPERAND_TYPE_REGISTER && x86_is_gpr(o[0].reg.value))
        return family == PUSH ? x86_op_push_reg : x86_op_pop_reg;
    return NULL;
}

/* MOV, PUSH, POP of segment, control and debug registers. */
static x86_fn *pick_special(const ZydisDecodedOperand *o, struct x86_op *op, uint32_t family)
{
    if (family == MOVE) {
        for (uint32_t i = 0; i < 2; i++)
            if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                ZydisRegisterGetClass(o[i].reg.value) == ZYDIS_REGCLASS_SEGMENT)
                return i ? x86_op_mov_from_seg : x86_op_mov_to_seg;
        op->flags |= X86F_END;
        return x86_op_privileged;
    }
    op->flags |= X86F_END;
    return x86_op_unsupported;
}

static x86_fn *pick_user(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, struct x86_op *op,
                         struct x86_note *note)
{
    const struct pick *p = &picks[in->mnemonic];
    bool mem = op->flags & X86F_MEM;
    uint32_t size = log2_size(op->size);
    x86_fn *fn = NULL;
    if (p->family != OTHER && p->family != JMP && p->family != CALL && p->family != JCC && p->family != RET &&
        is_seg_or_control(in, o))
        return pick_special(o, op, p->family);
    switch (p->family) {
    case ALU:
        return pick_alu(op, p->arg, note);
    case UNARY:
        note->is_silent = !mem && p->arg == UNARY_NOT;
        return x86_unary[p->arg][mem][size];
    case SHIFT:
        return pick_shift(op, p->arg);
    case MOVE:
        note->is_silent = !mem;
        return pick_mov(in, o, op);
    case WIDEN_ZERO:
    case WIDEN_SIGN:
        note->is_silent = !mem;
        return pick_widen(o, op, p->family == WIDEN_SIGN);
    case LEA:
        note->is_silent = true;
        op->size = (uint8_t)(o[0].size / 8);
        op->seg = X86_ZERO | (op->seg & X86_SEG16);
        op->flags &= (uint16_t)~X86F_MEM;
        return op->size == 8 && in->address_width == 64 ? x86_op_lea_fast : x86_op_lea;
    case SETCC:
        return x86_setcc[p->arg][mem];
    case CMOV:
        if (mem)
            op->flags |= X86F_LOAD;
        return x86_cmov[p->arg][mem];
    case JCC:
    case JMP:
    case CALL:
    case RET:
        return pick_branch(in, o, op, p);
    case PUSH:
    case POP:
        fn = pick_stack(in, o, op, p->family);
        break;
    default:
        break;
    }
    return fn ? fn : pick_other(in, op);
}

/* ---- system mode, and code of 32 and 16 bits ---- */

static x86_fn *pick_control(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, struct x86_op *op,
                            uint32_t family)
{
    ZydisRegisterClass c[2] = {ZYDIS_REGCLASS_INVALID, ZYDIS_REGCLASS_INVALID};
    for (uint32_t i = 0; i < (family == MOVE ? 2 : 1); i++)
        if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
            c[i] = ZydisRegisterGetClass(o[i].reg.value);
    if (c[1] == ZYDIS_REGCLASS_SEGMENT)
        return x86_op_mov_from_seg;
    if (family != MOVE)
        op->size = (uint8_t)(in->operand_width / 8);
    if (family == PUSH)
        return x86_op_push_seg;
    if (family == MOVE && c[0] == ZYDIS_REGCLASS_SEGMENT && op->dst != X86_SS)
        return x86_op_load_seg_plain;
    op->flags |= X86F_END;
    if (c[0] == ZYDIS_REGCLASS_SEGMENT)
        return family == MOVE ? x86_op_load_seg : x86_op_pop_seg;
    if (c[0] == ZYDIS_REGCLASS_CONTROL || c[1] == ZYDIS_REGCLASS_CONTROL)
        return c[0] == ZYDIS_REGCLASS_CONTROL ? x86_op_mov_to_cr : x86_op_mov_from_cr;
    return c[0] == ZYDIS_REGCLASS_DEBUG ? x86_op_mov_to_dr : x86_op_mov_from_dr;
}

static x86_fn *pick_far(const ZydisDecodedInstruction *in, struct x86_op *op, uint32_t family)
{
    op->flags |= X86F_END;
    op->size = (uint8_t)(in->operand_width / 8);
    return family == CALL ? x86_op_call_far : family == RET ? x86_op_ret_far : x86_op_jmp_far;
}

/* Near branches and the stack outside 64-bit mode; NULL: as in 64-bit mode. */
static x86_fn *pick_legacy(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, struct x86_op *op,
                           uint32_t family)
{
    bool is_direct = in->operand_count_visible && o[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    uint32_t which = X86_LEGACY_N;
    if (family == CALL)
        which = is_direct ? X86_LEGACY_CALL : X86_LEGACY_CALL_INDIRECT;
    else if (family == JMP && !is_direct)
        which = X86_LEGACY_JMP_INDIRECT;
    else if (family == RET)
        which = X86_LEGACY_RET;
    else if (family == PUSH || family == POP)
        which = family == PUSH ? X86_LEGACY_PUSH : X86_LEGACY_POP;
    if (which == X86_LEGACY_N) {
        const struct x86_form *f = find_form(x86_legacy_forms, (uint16_t)in->mnemonic, op);
        f = f ? f : find_form(x86_bcd_forms, (uint16_t)in->mnemonic, op);
        if (f && !(op->flags & X86F_IMM))
            op->imm = in->operand_width;
        if (f)
            op->size = (uint8_t)(in->operand_width / 8);
        return f ? f->fn : NULL;
    }
    op->size = (uint8_t)(in->operand_width / 8);
    op->flags |= X86F_STACK | (which <= X86_LEGACY_RET ? X86F_END : 0);
    return x86_legacy_branch[which];
}

/* What no CPUID bit claims is no instruction. */
static bool is_claimed(const ZydisDecodedInstruction *in)
{
    return in->meta.isa_ext == ZYDIS_ISA_EXT_BASE || in->meta.isa_ext == ZYDIS_ISA_EXT_LONGMODE ||
           in->meta.isa_ext == ZYDIS_ISA_EXT_X87;
}

static bool is_sse(const ZydisDecodedInstruction *in, const struct x86_op *op)
{
    return op->flags & (X86F_DST_XMM | X86F_SRC_XMM) || in->mnemonic == ZYDIS_MNEMONIC_LDMXCSR ||
           in->mnemonic == ZYDIS_MNEMONIC_STMXCSR;
}

/* What differs from a user program's 64-bit code; NULL: nothing. */
static x86_fn *pick_system(uint32_t mode, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o,
                           struct x86_op *op)
{
    uint32_t family = picks[in->mnemonic].family;
    x86_fn *fn = NULL;
    if (mode & X86_MODE_NO_SSE && is_sse(in, op))
        return x86_op_no_sse;
    if ((family == JMP || family == CALL || family == RET) && in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return pick_far(in, op, family);
    if ((family == MOVE || family == PUSH || family == POP) && is_seg_or_control(in, o))
        return pick_control(in, o, op, family);
    for (uint32_t i = 0; x86_system_tables[i]; i++) {
        const struct x86_form *f = find_form(x86_system_tables[i], (uint16_t)in->mnemonic, op);
        if (!f)
            continue;
        op->flags |= f->need & X86N_END ? X86F_END : 0;
        if (!(op->flags & X86F_IMM)) /* x86_far.c */
            op->imm = in->operand_width;
        if (in->mnemonic == ZYDIS_MNEMONIC_OUT)
            op->size = (uint8_t)(o[1].size / 8);
        return f->fn;
    }
    if ((mode & X86_MODE_BITS) != X86_MODE_64)
        fn = pick_legacy(in, o, op, family);
    return fn;
}

/* F3 41 90 is PAUSE to Zydis, and XCHG R8, RAX to a processor. */
static x86_fn *pick_xchg(const ZydisDecodedInstruction *in, struct x86_op *op)
{
    op->dst = 8 * X86_R8;
    op->src = 8 * X86_RAX;
    op->size = in->raw.rex.W ? 8 : in->operand_width == 16 ? 2 : 4;
    op->flags &= (uint16_t)~X86F_END;
    return x86_op_xchg;
}

x86_fn *x86_pick(uint32_t mode, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, struct x86_op *op,
                 struct x86_note *note)
{
    x86_fn *fn = NULL;
    *note = (struct x86_note){.alu = ALU_N};
    if (mode & X86_MODE_SYSTEM)
        fn = pick_system(mode, in, o, op);
    if (!fn)
        fn = pick_user(in, o, op, note);
    if (mode & X86_MODE_SYSTEM && fn == x86_op_unsupported && !is_claimed(in))
        fn = x86_op_ud;
    return in->mnemonic == ZYDIS_MNEMONIC_PAUSE && in->raw.rex.B ? pick_xchg(in, op) : fn;
}

/* ---- fusing ---- */

int x86_pick_condition(const ZydisDecodedInstruction *in)
{
    const struct pick *p = &picks[in->mnemonic];
    return p->family == JCC ? p->arg : -1;
}

x86_fn *x86_pick_fused(const struct x86_op *cmp, const struct x86_note *note, uint32_t cc)
{
    if (note->alu != ALU_CMP && note->alu != ALU_TEST)
        return NULL;
    return (note->alu == ALU_CMP ? x86_cmp_jcc : x86_test_jcc)[kind_of(cmp)][log2_size(cmp->size)][cc];
}

/* SPDX-License-Identifier: MIT */
/* From instruction bytes to operations: Zydis decodes, handlers are picked by mnemonic, form and size, flags that
 * nobody can see are not computed, and a comparison is fused with the jump behind it. */
#include "sim/cpu/x86_sys.h"
#include "sim/cpu/x86_use.h"

#include <Zydis/Zydis.h>

#include <string.h>

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

/* ---- operands ---- */

static uint8_t gpr_offset(ZydisRegister r)
{
    if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
        return (uint8_t)((r - ZYDIS_REGISTER_AL) * 8);
    if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
        return (uint8_t)((r - ZYDIS_REGISTER_AH) * 8 + 1);
    if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
        return (uint8_t)((r - ZYDIS_REGISTER_SPL + 4) * 8);
    return (uint8_t)(ZydisRegisterGetId(r) * 8);
}

static bool is_gpr(ZydisRegister r)
{
    ZydisRegisterClass c = ZydisRegisterGetClass(r);
    return c == ZYDIS_REGCLASS_GPR8 || c == ZYDIS_REGCLASS_GPR16 || c == ZYDIS_REGCLASS_GPR32 ||
           c == ZYDIS_REGCLASS_GPR64;
}

static uint8_t reg_number(ZydisRegister r)
{
    return is_gpr(r) ? gpr_offset(r) : (uint8_t)ZydisRegisterGetId(r);
}

static uint16_t vector_flag(ZydisRegister r, uint16_t xmm, uint16_t mmx)
{
    ZydisRegisterClass c = ZydisRegisterGetClass(r);
    return c == ZYDIS_REGCLASS_XMM ? xmm : c == ZYDIS_REGCLASS_MMX ? mmx : 0;
}

static uint8_t address_reg(ZydisRegister r)
{
    return r == ZYDIS_REGISTER_NONE || r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP
               ? X86_ZERO
               : (uint8_t)ZydisRegisterGetId(r);
}

/* What to add to an offset in that segment. */
static uint8_t seg_addend(uint32_t mode, ZydisRegister seg)
{
    if (seg == ZYDIS_REGISTER_FS || seg == ZYDIS_REGISTER_GS)
        return seg == ZYDIS_REGISTER_FS ? X86_FS_BASE : X86_GS_BASE;
    if ((mode & X86_MODE_BITS) == X86_MODE_64 || seg == ZYDIS_REGISTER_NONE)
        return X86_ZERO;
    return (uint8_t)(X86_ES_BASE + ZydisRegisterGetId(seg));
}

/* The segment of an operand that is not visible: what a prefix says, or DS. */
static uint8_t hidden_seg(uint32_t mode, const ZydisDecodedInstruction *in)
{
    static const struct {
        ZydisInstructionAttributes prefix;
        ZydisRegister seg;
    } prefixes[] = {{ZYDIS_ATTRIB_HAS_SEGMENT_ES, ZYDIS_REGISTER_ES},
                    {ZYDIS_ATTRIB_HAS_SEGMENT_CS, ZYDIS_REGISTER_CS},
                    {ZYDIS_ATTRIB_HAS_SEGMENT_SS, ZYDIS_REGISTER_SS},
                    {ZYDIS_ATTRIB_HAS_SEGMENT_FS, ZYDIS_REGISTER_FS},
                    {ZYDIS_ATTRIB_HAS_SEGMENT_GS, ZYDIS_REGISTER_GS}};
    for (uint32_t i = 0; i < N_ELEMS(prefixes); i++)
        if (in->attributes & prefixes[i].prefix)
            return seg_addend(mode, prefixes[i].seg);
    return seg_addend(mode, ZYDIS_REGISTER_DS);
}

static void memory_operand(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, uint32_t mode, uint64_t rip,
                           struct x86_op *op)
{
    op->flags |= X86F_MEM;
    op->base = address_reg(o->mem.base);
    op->index = address_reg(o->mem.index);
    op->shift = o->mem.scale ? (uint8_t)__builtin_ctz(o->mem.scale) : 0;
    op->disp = o->mem.disp.value;
    if (in->attributes & ZYDIS_ATTRIB_HAS_SIB && in->raw.modrm.mod == 0 && in->raw.sib.base == 5) {
        /* No base: Zydis 4.0 takes one where REX.B and a 32-bit address meet. */
        op->base = X86_ZERO;
        op->disp = in->raw.disp.value;
    }
    if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP)
        op->disp += (int64_t)(rip + in->length);
    op->seg = seg_addend(mode, o->mem.segment);
    if (o->mem.base == ZYDIS_REGISTER_RSP || o->mem.base == ZYDIS_REGISTER_ESP || o->mem.base == ZYDIS_REGISTER_RBP ||
        o->mem.base == ZYDIS_REGISTER_EBP)
        if (op->seg == X86_ZERO)
            op->flags |= X86F_STACK;
    if (op->seg == X86_SS_BASE)
        op->flags |= X86F_STACK;
}

/* Sorts the visible operands into the operation. */
static void operands(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, uint32_t mode, uint64_t rip,
                     struct x86_op *op)
{
    op->dst = op->src = X86_NO_REG;
    op->base = op->index = op->seg = X86_ZERO;
    for (uint32_t i = 0; i < in->operand_count_visible; i++) {
        switch (o[i].type) {
        case ZYDIS_OPERAND_TYPE_REGISTER:
            if (i == 0) {
                op->dst = reg_number(o[i].reg.value);
                op->flags |= vector_flag(o[i].reg.value, X86F_DST_XMM, X86F_DST_MMX);
            } else if (op->src == X86_NO_REG) {
                op->src = reg_number(o[i].reg.value);
                op->flags |= vector_flag(o[i].reg.value, X86F_SRC_XMM, X86F_SRC_MMX);
            }
            break;
        case ZYDIS_OPERAND_TYPE_MEMORY:
            if (op->flags & X86F_MEM)
                break;
            memory_operand(in, &o[i], mode, rip, op);
            if (i == 0)
                op->flags |= X86F_MEM_DST;
            op->size = (uint8_t)(o[i].size > 2040 ? 255 : o[i].size / 8);
            break;
        case ZYDIS_OPERAND_TYPE_IMMEDIATE:
            if (op->flags & X86F_IMM)
                op->shift = (uint8_t)o[i].imm.value.u;
            else
                op->imm = (int32_t)o[i].imm.value.s;
            op->flags |= X86F_IMM;
            break;
        case ZYDIS_OPERAND_TYPE_POINTER: /* of a far jump or call: x86_far.c */
            op->disp = (int64_t)((uint64_t)o[i].ptr.segment << 32 | o[i].ptr.offset);
            break;
        default:
            break;
        }
    }
    if (in->meta.category == ZYDIS_CATEGORY_STRINGOP || in->meta.category == ZYDIS_CATEGORY_IOSTRINGOP ||
        (!(op->flags & X86F_MEM) && (mode & X86_MODE_BITS) != X86_MODE_64))
        op->seg = hidden_seg(mode, in);
    if (in->mnemonic == ZYDIS_MNEMONIC_CRC32)
        op->size = (uint8_t)(o[1].size / 8);
    else if (!(op->flags & X86F_MEM))
        op->size =
            (uint8_t)((in->operand_count_visible && o[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ? o[0].size
                                                                                              : in->operand_width) /
                      8);
    if (in->address_width == 16)
        op->seg |= X86_SEG16;
}

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

/* ---- picking handlers ---- */

/* What the builder wants to know of an operation beyond the operation. */
struct note {
    x86_fn *no_flags; /* the handler to use where nobody sees the flags */
    bool writes_all;  /* sets all arithmetic flags, and cannot fault */
    bool is_silent;   /* cannot fault, reads no flags */
    uint8_t alu;      /* ALU_CMP and ALU_TEST: may be fused; else ALU_N */
};

struct build {
    struct x86_block *b;
    uint32_t n; /* operations so far */
    bool is_ended;
    uint64_t rip; /* of the instruction at hand */
    uint32_t mode;
    struct note note[X86_BLOCK_OPS];
    struct x86_use use[X86_BLOCK_INSNS];
};

static bool is_seg_or_control(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o)
{
    for (uint32_t i = 0; i < in->operand_count_visible; i++)
        if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER && !is_gpr(o[i].reg.value))
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

static x86_fn *pick_alu(struct x86_op *op, uint32_t arg, struct note *note)
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
    if (op->size == 8 && o[0].type == ZYDIS_OPERAND_TYPE_REGISTER && is_gpr(o[0].reg.value))
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

static x86_fn *pick(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, struct x86_op *op,
                    struct note *note)
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

/* ---- building a block ---- */

/* The operation before is a comparison that the jump op can swallow. */
static bool fuse(struct build *w, const struct x86_op *op, uint32_t cc)
{
    if (w->n < 2)
        return false;
    struct x86_op *cmp = &w->b->op[w->n - 1];
    const struct note *note = &w->note[w->n - 1];
    if (note->alu != ALU_CMP && note->alu != ALU_TEST)
        return false;
    x86_fn *fn = (note->alu == ALU_CMP ? x86_cmp_jcc : x86_test_jcc)[kind_of(cmp)][log2_size(cmp->size)][cc];
    if (!fn)
        return false;
    cmp->fn = fn;
    cmp->len = (uint8_t)(cmp->len + op->len);
    cmp->flags |= X86F_FUSED | X86F_END;
    return true;
}

/* Flags that are overwritten before anybody can see them are not computed. */
static void prune_flags(struct build *w)
{
    bool dead = false;
    for (uint32_t i = w->n; i-- > 1;) {
        const struct note *note = &w->note[i];
        if (dead && note->no_flags)
            w->b->op[i].fn = note->no_flags;
        dead = note->writes_all || (dead && note->is_silent);
    }
}

static uint16_t prefix_flags(const ZydisDecodedInstruction *in)
{
    uint16_t f = 0;
    if (in->attributes & ZYDIS_ATTRIB_HAS_LOCK)
        f |= X86F_LOCK;
    if (in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
        f |= X86F_REP;
    if (in->attributes & ZYDIS_ATTRIB_HAS_REPNE)
        f |= X86F_REPNE;
    if (in->raw.rex.W)
        f |= X86F_REXW;
    if (in->address_width < 64)
        f |= X86F_ADDR32;
    return f;
}

/* The last operation leaves the block: where to follows it. */
static void end(struct build *w, uint64_t taken, uint64_t next)
{
    struct x86_link link = {{NULL, NULL}, {taken, next}};
    memcpy(&w->b->op[w->n], &link, sizeof link);
    w->is_ended = true;
}

/* Outside 64-bit mode the offset in CS is cut to the operand size. */
static uint64_t cut_target(const struct build *w, const ZydisDecodedInstruction *in, uint64_t target)
{
    uint64_t cs = w->b->context >> X86_MODE_SHIFT;
    if ((w->mode & X86_MODE_BITS) == X86_MODE_64)
        return target;
    return (cs + ((target - cs) & (in->operand_width == 16 ? 0xffff : UINT32_MAX))) & UINT32_MAX;
}

static void add_insn(struct build *w, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o)
{
    struct x86_block *b = w->b;
    struct x86_op *op = &b->op[w->n];
    struct note *note = &w->note[w->n];
    *note = (struct note){.alu = ALU_N};
    *op = (struct x86_op){.len = in->length, .at = b->n_bytes, .ordinal = b->n_insns, .flags = prefix_flags(in)};
    operands(in, o, w->mode, w->rip, op);
    if (in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (in->opcode & 0xf8) == 0xd8) /* x86_fpu.h */
        op->imm = (in->opcode & 7) << 8 | in->raw.modrm.mod << 6 | in->raw.modrm.reg << 3 | in->raw.modrm.rm |
                  (in->operand_width == 16) << 16;
    if (w->mode & X86_MODE_SYSTEM)
        op->fn = pick_system(w->mode, in, o, op);
    if (!op->fn)
        op->fn = pick(in, o, op, note);
    if (w->mode & X86_MODE_SYSTEM && op->fn == x86_op_unsupported && !is_claimed(in))
        op->fn = x86_op_ud;
    if (in->mnemonic == ZYDIS_MNEMONIC_PAUSE && in->raw.rex.B) { /* F3 41 90 is XCHG R8, RAX */
        op->fn = x86_op_xchg;
        op->dst = 8 * X86_R8;
        op->src = 8 * X86_RAX;
        op->size = in->raw.rex.W ? 8 : in->operand_width == 16 ? 2 : 4;
        op->flags &= (uint16_t)~X86F_END;
    }
    x86_use_of(in, o, &w->use[b->n_insns]);
    uint64_t next = w->rip + in->length, target = next;
    for (uint32_t i = 0; i < in->operand_count_visible; i++)
        if (o[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && o[i].imm.is_relative)
            target = cut_target(w, in, next + (uint64_t)o[i].imm.value.s);
    if (picks[in->mnemonic].family != JCC || !fuse(w, op, picks[in->mnemonic].arg))
        w->n++;
    b->n_insns++;
    b->n_bytes = (uint16_t)(b->n_bytes + in->length);
    w->rip = next;
    if (b->op[w->n - 1].flags & X86F_END)
        end(w, target, next);
}

/* Bytes that are no instruction: an operation that says so when it is reached. */
static void add_bad(struct build *w, x86_fn *fn)
{
    struct x86_block *b = w->b;
    w->note[w->n] = (struct note){.alu = ALU_N};
    w->use[b->n_insns] = (struct x86_use){.cycles = 1};
    b->op[w->n++] = (struct x86_op){
        .fn = fn, .len = 1, .at = b->n_bytes, .ordinal = b->n_insns, .flags = X86F_END, .dst = X86_NO_REG};
    b->n_insns++;
    b->n_bytes++;
    end(w, 0, 0);
}

/* Nothing ended the block: it goes on at the next instruction. */
static void add_end(struct build *w)
{
    struct x86_block *b = w->b;
    w->note[w->n] = (struct note){.alu = ALU_N};
    b->op[w->n++] = (struct x86_op){.fn = x86_op_end, .at = b->n_bytes, .ordinal = b->n_insns, .flags = X86F_END};
    end(w, w->rip, w->rip);
}

static void decoder_of(uint32_t mode, ZydisDecoder *decoder)
{
    ZydisStackWidth stack = mode & X86_MODE_STACK ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16;
    ZyanStatus status;
    switch (mode & X86_MODE_BITS) {
    case X86_MODE_32:
        status = ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_32, stack);
        break;
    case X86_MODE_16:
        status = ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_16, stack);
        break;
    default:
        status = ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        break;
    }
    CHECK(ZYAN_SUCCESS(status));
}

uint32_t x86_decode_block(struct x86_block *b, const uint8_t *bytes, uint32_t n_bytes, uint32_t n_here,
                          uint32_t max_insns)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction in;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    struct build w = {.b = b, .n = 1, .rip = b->rip, .mode = b->context & ((1u << X86_MODE_SHIFT) - 1)};
    decoder_of(w.mode, &decoder);
    b->n_insns = b->n_bytes = 0;
    w.note[0] = (struct note){.alu = ALU_N};
    while (!w.is_ended && b->n_insns < max_insns && b->n_bytes < n_here) {
        ZyanStatus status = ZydisDecoderDecodeFull(&decoder, bytes + b->n_bytes, n_bytes - b->n_bytes, &in, o);
        if (status == ZYDIS_STATUS_NO_MORE_DATA) {
            if (b->n_insns)
                break;
            return 0;
        }
        if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
            add_bad(&w, x86_op_too_long);
        else if (!ZYAN_SUCCESS(status))
            add_bad(&w, x86_op_ud);
        else if (b->n_insns && b->n_bytes + in.length > n_here)
            break;
        else
            add_insn(&w, &in, o);
    }
    if (!w.is_ended)
        add_end(&w);
    prune_flags(&w);
    b->n_ops = (uint16_t)w.n;
    memcpy(&b->op[w.n + 1], w.use, b->n_insns * sizeof w.use[0]);
    b->op[0] = (struct x86_op){.fn = x86_enter, .imm = b->n_insns};
    return b->n_bytes;
}

/* SPDX-License-Identifier: MIT */
/* From instruction bytes to blocks of operations: Zydis decodes, x86_pick.c chooses handlers; flags that nobody can see
 * are not computed, and a comparison is fused with the jump behind it. */
#include "sim/cpu/x86_pick.h"
#include "sim/cpu/x86_sys.h"
#include "sim/cpu/x86_use.h"

#include <string.h>

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

static uint8_t reg_number(ZydisRegister r)
{
    return x86_is_gpr(r) ? gpr_offset(r) : (uint8_t)ZydisRegisterGetId(r);
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

/* ---- building a block ---- */

struct build {
    struct x86_block *b;
    uint32_t n; /* operations so far */
    bool is_ended;
    uint64_t rip; /* of the instruction at hand */
    uint32_t mode;
    struct x86_note note[X86_BLOCK_OPS];
    struct x86_use use[X86_BLOCK_INSNS];
};

/* The operation before is a comparison that the jump op can swallow. */
static bool fuse(struct build *w, const struct x86_op *op, uint32_t cc)
{
    if (w->n < 2)
        return false;
    struct x86_op *cmp = &w->b->op[w->n - 1];
    x86_fn *fn = x86_pick_fused(cmp, &w->note[w->n - 1], cc);
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
        const struct x86_note *note = &w->note[i];
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
    *op = (struct x86_op){.len = in->length, .at = b->n_bytes, .ordinal = b->n_insns, .flags = prefix_flags(in)};
    operands(in, o, w->mode, w->rip, op);
    if (in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (in->opcode & 0xf8) == 0xd8) /* x86_fpu.h */
        op->imm = (in->opcode & 7) << 8 | in->raw.modrm.mod << 6 | in->raw.modrm.reg << 3 | in->raw.modrm.rm |
                  (in->operand_width == 16) << 16;
    op->fn = x86_pick(w->mode, in, o, op, &w->note[w->n]);
    x86_use_of(in, o, &w->use[b->n_insns]);
    uint64_t next = w->rip + in->length, target = next;
    for (uint32_t i = 0; i < in->operand_count_visible; i++)
        if (o[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && o[i].imm.is_relative)
            target = cut_target(w, in, next + (uint64_t)o[i].imm.value.s);
    int cc = x86_pick_condition(in);
    if (cc < 0 || !fuse(w, op, (uint32_t)cc))
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
    w->note[w->n] = (struct x86_note){.alu = ALU_N};
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
    w->note[w->n] = (struct x86_note){.alu = ALU_N};
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
    w.note[0] = (struct x86_note){.alu = ALU_N};
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

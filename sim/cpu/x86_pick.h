/* SPDX-License-Identifier: MIT */
/* Inside the processor: which handler carries out a decoded instruction. x86_decode.c alone includes this. */
#ifndef QUIRE_CPU_X86_PICK_H
#define QUIRE_CPU_X86_PICK_H

#include "sim/cpu/x86_int.h"

#include <Zydis/Zydis.h>

/* What the builder of a block wants to know of an operation beyond the operation. */
struct x86_note {
    x86_fn *no_flags; /* the handler to use where nobody sees the flags */
    bool writes_all;  /* sets all arithmetic flags, and cannot fault */
    bool is_silent;   /* cannot fault, reads no flags */
    uint8_t alu;      /* ALU_CMP and ALU_TEST: may be fused; else ALU_N */
};

static inline bool x86_is_gpr(ZydisRegister r)
{
    ZydisRegisterClass c = ZydisRegisterGetClass(r);
    return c == ZYDIS_REGCLASS_GPR8 || c == ZYDIS_REGCLASS_GPR16 || c == ZYDIS_REGCLASS_GPR32 ||
           c == ZYDIS_REGCLASS_GPR64;
}

/* The handler of an instruction whose operands are in op; never NULL. Sets what the handler needs of op (its size and
 * flags, immediates and registers that no operand shows), and the note. mode: as in x86_block.context. */
x86_fn *x86_pick(uint32_t mode, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, struct x86_op *op,
                 struct x86_note *note);
/* Condition 0..15 of a conditional jump; -1: it is none. */
int x86_pick_condition(const ZydisDecodedInstruction *in);
/* The handler of operation cmp with a jump on condition cc behind it; NULL: there is none. */
x86_fn *x86_pick_fused(const struct x86_op *cmp, const struct x86_note *note, uint32_t cc);

#endif

/* SPDX-License-Identifier: MIT */
/* Inside the processor: x87 instructions as the host's own under the guest's control word, on an otherwise empty host
 * stack. Unmasked exceptions do not reach the host: its flags are cleared before the next waiting instruction.
 * x86_fpu.c and x86_fpu_move.c include this. */
#ifndef QUIRE_CPU_X86_FPU_HOST_H
#define QUIRE_CPU_X86_FPU_HOST_H

#include "sim/cpu/x86_fpu.h"

#define FPU_HOST_CW 0x37f /* of a C program: System V ABI, AMD64, 3.2.1 */

/* A host operation: r = a op b under cw; the status word is returned. */
typedef uint8_t fpu_bytes10[10];
typedef uint16_t fpu_host_fn(const union x86_fpr *a, const void *b, uint16_t cw, union x86_fpr *r);

/* x86_fpu_move.c: r = the signed integer of n bytes, 2 or 4, at b. */
void fpu_load_int(const void *b, uint32_t n, union x86_fpr *r);

/* Parts of an instruction: see x86_fpu.h. */
#define FPU_MODRM(op)  ((uint32_t)(op)->imm & 0xff)
#define FPU_GROUP(op)  ((uint32_t)(op)->imm >> 8 & 7) /* opcode - D8 */
#define FPU_FIELD(op)  (FPU_MODRM(op) >> 3 & 7)
#define FPU_RM(op)     (FPU_MODRM(op) & 7)
#define FPU_IS_MEM(op) ((op)->flags & X86F_MEM)

/* The instruction is done: its pointers stay for FNSTENV; its opcode too, after an unmasked exception. */
static inline const struct x86_op *fpu_done(struct x86_cpu *cpu, const struct x86_op *op)
{
    struct x86_x87 *f = &cpu->state.x87;
    f->fip = cpu->block->rip + op->at;
    if (FPU_IS_MEM(op))
        f->fdp = x86_address(cpu, op);
    if (unlikely(f->sw & FSW_ES))
        f->fop = (uint16_t)(op->imm & 0x7ff);
    return x86_next(op);
}

/* The result of an empty register. */
static inline uint16_t fpu_underflow(union x86_fpr *r)
{
    *r = fpu_indefinite();
    return FSW_IE | FSW_SF;
}

/* Reads n bytes of the memory operand. False: a fault. */
static inline bool fpu_source(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n, void *v)
{
    return x86_load(cpu, op, x86_address(cpu, op), v, n);
}

#endif

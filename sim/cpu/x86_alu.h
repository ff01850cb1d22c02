/* SPDX-License-Identifier: MIT */
/* Inside the processor: macros of the handlers that exist by form and size. */
#ifndef QUIRE_CPU_X86_ALU_H
#define QUIRE_CPU_X86_ALU_H

#include "sim/cpu/x86_int.h"

/* General register at a byte offset, as a T. Writing 32 bits clears the upper half. */
#define R(off, T) X86_REG(cpu, off, T)
#define PUT(off, T, v)                                                                                                 \
    do {                                                                                                               \
        if (sizeof(T) == 4)                                                                                            \
            R(off, uint64_t) = (uint32_t)(v);                                                                          \
        else                                                                                                           \
            R(off, T) = (T)(v);                                                                                        \
    } while (0)

/* a = a INSN b on the host; f becomes ax_flags. All flags of these instructions are defined, or cleared by the caller,
 * so that the result does not depend on the host. */
#define X86_HOST_ARITH(insn, a, b, f) __asm__(insn " %2, %1\n\tlahf\n\tseto %%al" : "=&a"(f), "+q"(a) : "qm"(b) : "cc")
/* The same with the carry of f coming in. */
#define X86_HOST_CARRY(insn, a, b, f)                                                                                  \
    __asm__("btw $8, %w0\n\t" insn " %2, %1\n\tlahf\n\tseto %%al" : "+&a"(f), "+q"(a) : "qm"(b) : "cc")
#define X86_HOST_UNARY(insn, a, f)                                                                                     \
    __asm__("btw $8, %w0\n\t" insn " %1\n\tlahf\n\tseto %%al" : "+&a"(f), "+q"(a) : : "cc")

/* As X86_STORE_AT, with something to undo before the fault. */
#define X86_STORE_OR(T, p, gva, v, undo)                                                                               \
    do {                                                                                                               \
        if (likely(p)) {                                                                                               \
            __builtin_memcpy(p, &(T){v}, sizeof(T));                                                                   \
        } else if (!x86_store_value(cpu, op, gva, (uint64_t)(v), sizeof(T))) {                                         \
            undo;                                                                                                      \
            return x86_stop(cpu, op);                                                                                  \
        }                                                                                                              \
    } while (0)

#endif

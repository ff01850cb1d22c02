/* SPDX-License-Identifier: MIT */
/* Inside the processor: decoded operations, and what their handlers may use. For sim/cpu/x86_*.c only.
 *
 * A handler does one operation and returns the next one to run: x86_next(op), or x86_stop(cpu, op) after a fault. It
 * may instead tail-call its successor (X86_TAIL), which is faster and right only where no address of a local escapes.
 * The run loop is `while (op) op = op->fn(cpu, op);`, so both kinds mix.
 *
 *   X86_OP(paddb)
 *   {
 *       __m128i b;
 *       if (!x86_src128(cpu, op, true, &b))
 *           return x86_stop(cpu, op);
 *       cpu->state.xmm[op->dst].i = _mm_add_epi8(cpu->state.xmm[op->dst].i, b);
 *       return x86_next(op);
 *   }
 *
 * and a row {ZYDIS_MNEMONIC_PADDB, x86_op_paddb, 0} in a table of such rows, ended by one whose fn is NULL, which
 * sim/cpu/x86_tables.c names. */
#ifndef QUIRE_CPU_X86_OP_H
#define QUIRE_CPU_X86_OP_H

#include "sim/cpu/x86.h"

#include <string.h>
#include <xmmintrin.h>

typedef const struct x86_op *x86_fn(struct x86_cpu *cpu, const struct x86_op *op);

/* How code decodes. */
#define X86_MODE_BITS   3u /* 0: 64-bit mode; 1: 32, 2: 16 bits */
#define X86_MODE_64     0u
#define X86_MODE_32     1u
#define X86_MODE_16     2u
#define X86_MODE_STACK  4u  /* outside 64-bit mode: the stack pointer is ESP, not SP */
#define X86_MODE_SYSTEM 8u  /* cpu->is_system */
#define X86_MODE_NO_SSE 16u /* SSE instructions fault: CR0.TS, CR0.EM, not CR4.OSFXSR */
#define X86_MODE_SHIFT  8u  /* the base of CS begins here */

/* One decoded operation. Of the visible operands, the first is dst if it is a register; the next register is src; one
 * memory operand and one immediate (sign-extended; the second one of two is in shift's place of ENTER only) may follow.
 */
struct x86_op {
    x86_fn *fn;
    int64_t disp; /* memory: displacement, for RIP-relative the address; MOV r64, imm64: the immediate */
    int32_t imm;
    uint8_t base, index, shift, seg; /* memory: enum x86_reg each; address = base + (index << shift) + disp + seg */
    /* General registers: byte offset into state.gpr (8 * number, + 1 for AH..BH). XMM, MMX, ST, segment, control
     * registers: their number. X86_NO_REG: there is none. */
    uint8_t dst, src;
    uint8_t size;         /* bytes: of the memory operand if there is one, else of the first operand */
    uint8_t len;          /* of the instruction */
    uint16_t at : 10;     /* its offset from the start of the block */
    uint16_t ordinal : 6; /* instructions before it in the block */
    uint16_t flags;       /* X86F_* */
};
_Static_assert(sizeof(struct x86_op) == 32, "two operations a host line");

#define X86_NO_REG 0xff

#define X86F_MEM     1u /* there is a memory operand */
#define X86F_MEM_DST 2u /* it is the first operand */
#define X86F_ADDR32  4u /* address size 32, or 16 with X86_SEG16: the sum of base, index, disp is cut */
#define X86F_LOCK    8u
#define X86F_REP     16u  /* F3 */
#define X86F_REPNE   32u  /* F2 */
#define X86F_REXW    64u  /* operand size 64 by REX.W (FXSAVE64, PCMPESTRI with 64-bit lengths...) */
#define X86F_DST_XMM 128u /* dst is an XMM register (to tell MMX from XMM forms: X86F_DST_MMX) */
#define X86F_DST_MMX 256u
#define X86F_SRC_XMM 512u
#define X86F_SRC_MMX 1024u
#define X86F_STACK   2048u  /* the address is relative to SS: non-canonical is #SS, not #GP */
#define X86F_LOAD    4096u  /* writes what it loaded into the general register dst (for the timing models) */
#define X86F_FUSED   8192u  /* two instructions */
#define X86F_END     16384u /* last of its block */
#define X86F_IMM     32768u /* there is an immediate */

#define X86_OP(name)                                                                                                   \
    const struct x86_op *x86_op_##name(struct x86_cpu *cpu __attribute__((unused)), const struct x86_op *op)

/* A row of a table of handlers: the operation of a mnemonic. */
struct x86_form {
    uint16_t mnemonic; /* ZydisMnemonic */
    x86_fn *fn;
    uint16_t need; /* X86N_*: which operands this row is for; rows are tried in order */
};
#define X86N_MEM     1u /* with a memory operand */
#define X86N_REG     2u /* without */
#define X86N_MEM_DST 4u /* the first operand is memory */
#define X86N_DST_XMM 8u /* dst is an XMM register */
#define X86N_DST_MMX 16u
#define X86N_SRC_XMM 32u
#define X86N_SRC_MMX 64u
#define X86N_END     128u                         /* the block ends behind it; the handler does not return x86_next() */
#define X86N_NO_XMM  256u                         /* neither dst nor src is one */
extern const struct x86_form *const x86_tables[]; /* x86_tables.c, ended by NULL */

/* Called when x86_run() begins and ends: the host's MXCSR may hold the guest's in between (and does at every bus member
 * that is called). */
void x86_fp_enter(struct x86_cpu *cpu);
void x86_fp_leave(struct x86_cpu *cpu);
/* Around a bus member: what the simulator computes in floating point does not show in the guest's flags. */
static inline uint32_t x86_fp_keep(void)
{
    return _mm_getcsr();
}
static inline void x86_fp_give(uint32_t mxcsr)
{
    if (unlikely(_mm_getcsr() != mxcsr))
        _mm_setcsr(mxcsr);
}
/* The same on the hot path of the timed models, only where it would raise an unmasked exception: there PE may come up
 * by itself. */
static inline void x86_fp_give_armed(const struct x86_cpu *cpu)
{
    if (unlikely(cpu->kept_mxcsr))
        _mm_setcsr(cpu->kept_mxcsr);
}
/* FNINIT, and MXCSR = 1f80. */
void x86_fp_reset(struct x86_cpu *cpu);

static inline const struct x86_op *x86_next(const struct x86_op *op)
{
    return op + 1;
}
/* Set by the build at -O2 and above, where compilers turn such calls into jumps; without, and under sanitizers, a call
 * would keep its frame, and every handler returns to the loop instead. */
#ifdef X86_TAIL_CALLS
#define X86_TAIL(cpu, op) ((op)->fn((cpu), (op)))
#else
#define X86_TAIL(cpu, op) (op)
#endif

/* The operation did not happen: cpu->fault (or cpu->stop) says why. Ends the run. */
const struct x86_op *x86_stop(struct x86_cpu *cpu, const struct x86_op *op);
/* Raises a fault of this operation and stops. The error code is 0 for the vectors that have one. */
const struct x86_op *x86_raise(struct x86_cpu *cpu, const struct x86_op *op, enum x86_vector vector);
const struct x86_op *x86_raise_code(struct x86_cpu *cpu, const struct x86_op *op, enum x86_vector vector,
                                    uint32_t code);

/* ---- operands ---- */

/* AH..BH are not aligned for a wider type. */
#define X86_REG(cpu, offset, type)                                                                                     \
    (((struct { type v; } __attribute__((packed)) *)(void *)((uint8_t *)(cpu)->state.gpr + (offset)))->v)

/* Operations with X86F_ADDR32: bit 7 of seg says that the address size is 16. */
#define X86_SEG16 0x80u
static inline uint32_t x86_seg(const struct x86_op *op)
{
    return op->seg & (X86_SEG16 - 1);
}
static inline uint64_t x86_seg_base(const struct x86_cpu *cpu, const struct x86_op *op)
{
    return cpu->state.gpr[x86_seg(op)];
}
/* Bits of an offset; and of pointers and counters in registers. */
static inline uint64_t x86_address_mask(const struct x86_op *op)
{
    return likely(!(op->flags & X86F_ADDR32)) ? UINT64_MAX : op->seg & X86_SEG16 ? 0xffff : UINT32_MAX;
}
/* A register of that width takes a value: 32 bits clear the upper half, 16 keep the rest. */
static inline uint64_t x86_narrowed(uint64_t old, uint64_t v, uint64_t mask)
{
    return mask == 0xffff ? (old & ~mask) | (v & mask) : v & mask;
}
/* The same where the address size is 32 or 16, with the segment's limit outside 64-bit mode. */
uint64_t x86_narrow_address(const struct x86_cpu *cpu, const struct x86_op *op, uint64_t offset);

/* Linear address of the memory operand. */
static inline uint64_t x86_address(const struct x86_cpu *cpu, const struct x86_op *op)
{
    const uint64_t *r = cpu->state.gpr;
    uint64_t a = r[op->base] + (r[op->index] << op->shift) + (uint64_t)op->disp;
    if (unlikely(op->flags & X86F_ADDR32))
        return x86_narrow_address(cpu, op, a);
    return a + r[op->seg];
}

/* Where the bytes [gva, gva + size) are if the software TLB allows it directly; else NULL. */
static inline uint8_t *x86_host(const struct x86_cpu *cpu, uint64_t gva, uint32_t size, bool write)
{
    const struct x86_tlb_entry *e = &cpu->tlb[gva >> PAGE_SHIFT & (X86_TLB_ENTRIES - 1)];
    uint64_t page = (gva + size - 1) & ~(uint64_t)(PAGE_BYTES - 1);
    return likely((write ? e->write : e->read) == page) ? (uint8_t *)(gva + e->addend) : NULL;
}

/* Any access of 1..512 bytes at gva, across pages too. False: it faults or stops, and nothing was written; leave with
 * x86_stop(). */
bool x86_load_slow(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, void *buf, uint32_t len);
bool x86_store_slow(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, const void *buf, uint32_t len);
/* Is a store of these bytes allowed? False as above. For instructions that store in parts, or load and then store. */
bool x86_probe_write(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, uint32_t len);

static inline bool x86_load(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, void *buf, uint32_t len)
{
    const uint8_t *p = x86_host(cpu, gva, len, false);
    if (unlikely(!p))
        return x86_load_slow(cpu, op, gva, buf, len);
    memcpy(buf, p, len);
    return true;
}
static inline bool x86_store(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, const void *buf, uint32_t len)
{
    uint8_t *p = x86_host(cpu, gva, len, true);
    if (unlikely(!p))
        return x86_store_slow(cpu, op, gva, buf, len);
    memcpy(p, buf, len);
    return true;
}
/* As a store, bypassing the caches (MOVNTDQ, MOVNTPS, MOVNTI, MASKMOVDQU). */
bool x86_store_nt(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, const void *buf, uint32_t len);
/* CLFLUSH, CLFLUSHOPT, CLWB; op is an enum flush_op. Fences. */
bool x86_flush_line(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, uint32_t flush_op);
void x86_fence(struct x86_cpu *cpu, const struct x86_op *op, bool loads_too);

/* A 16-byte operand that must be aligned is not: #GP(0) is in cpu->fault. Returns false. */
bool x86_unaligned(struct x86_cpu *cpu);

/* The source operand, XMM register or 16 bytes of memory. aligned: #GP unless memory is on a 16-byte boundary. */
static inline bool x86_src128(struct x86_cpu *cpu, const struct x86_op *op, bool aligned, __m128i *v)
{
    if (!(op->flags & X86F_MEM)) {
        *v = cpu->state.xmm[op->src].i;
        return true;
    }
    uint64_t gva = x86_address(cpu, op);
    if (aligned && unlikely(gva & 15))
        return x86_unaligned(cpu);
    return x86_load(cpu, op, gva, v, 16);
}
/* A source of n <= 8 bytes, zero-extended: low bytes of an XMM register or memory. */
static inline bool x86_src_xmm_low(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n, uint64_t *v)
{
    *v = 0;
    if (op->flags & X86F_MEM)
        return x86_load(cpu, op, x86_address(cpu, op), v, n);
    memcpy(v, &cpu->state.xmm[op->src], n);
    return true;
}
/* The same where the register form is an MMX register. */
static inline bool x86_src_mmx(struct x86_cpu *cpu, const struct x86_op *op, uint64_t *v)
{
    if (op->flags & X86F_MEM)
        return x86_load(cpu, op, x86_address(cpu, op), v, 8);
    *v = cpu->state.x87.r[op->src].mm;
    return true;
}
/* The same where the register form is a general register; n is 1, 2, 4 or 8. */
static inline bool x86_src_gpr(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n, uint64_t *v)
{
    *v = 0;
    if (op->flags & X86F_MEM)
        return x86_load(cpu, op, x86_address(cpu, op), v, n);
    memcpy(v, (const uint8_t *)cpu->state.gpr + op->src, n);
    return true;
}
/* Writes a general register as an instruction of operand size n does: 4 zero-extends, 1 and 2 keep the rest. */
static inline void x86_put_gpr(struct x86_cpu *cpu, uint32_t offset, uint32_t n, uint64_t v)
{
    if (n == 4)
        X86_REG(cpu, offset, uint64_t) = (uint32_t)v;
    else
        memcpy((uint8_t *)cpu->state.gpr + offset, &v, n);
}

/* Sets the arithmetic flags: rflags bits CF PF AF ZF SF OF. */
static inline void x86_put_flags(struct x86_cpu *cpu, uint32_t rflags)
{
    cpu->state.ax_flags = (uint16_t)((rflags & 0xd5u) << 8 | 0x200u | (rflags >> 11 & 1u));
}
static inline uint32_t x86_get_flags(const struct x86_cpu *cpu)
{
    uint32_t f = cpu->state.ax_flags;
    return (f >> 8 & 0xd5u) | (f & 1u) << 11;
}

#endif

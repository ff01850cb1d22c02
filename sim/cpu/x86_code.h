/* SPDX-License-Identifier: MIT */
/* Inside the processor: blocks of decoded operations, how they are found, built and dropped. */
#ifndef QUIRE_CPU_X86_CODE_H
#define QUIRE_CPU_X86_CODE_H

#include "sim/base/map.h"
#include "sim/cpu/x86_op.h"
#include "sim/cpu/x86_window.h"

#define X86_BLOCK_INSNS 48u  /* most instructions of a block: fits x86_op.ordinal */
#define X86_BLOCK_BYTES 768u /* most bytes: fits x86_op.at */
#define X86_BLOCK_OPS   (X86_BLOCK_INSNS + 4u)

/* Operations of a block: op[0] enters it (disp: the block, imm: its instructions), the last one leaves it and is
 * followed by a struct x86_link, which n_ops does not count, and that by a struct x86_use an instruction. */
struct x86_block {
    uint64_t rip;
    uint64_t context; /* as cpu->context */
    uint64_t hpa;     /* of its first byte */
    uint64_t hpa2;    /* page of its last byte if that is another page, else 0 */
    struct x86_block *hash_next;
    struct x86_block *page_next[2]; /* of the same first, second page */
    uint16_t n_ops, n_insns, n_bytes;
    uint16_t serial_cycles;  /* of instructions that nothing overlaps: locked ones, LFENCE */
    uint16_t carried_cycles; /* of a loop that is this block: what one round waits for the one before, without memory */
    bool is_dead;
    uint8_t last_kind; /* enum x86_use_kind of the last instruction */
    struct x86_op op[];
};

/* Where a block's last operation leads: 0 = taken, 1 = not taken or the return address. */
struct x86_link {
    const struct x86_op *to[2]; /* NULL: not known, or on another page */
    uint64_t rip[2];
};
_Static_assert(sizeof(struct x86_link) == sizeof(struct x86_op), "a link takes the place of an operation");

/* A page that decoded code came from. */
struct x86_code_page {
    uint64_t hpa;
    uint64_t lines; /* bit i: line i holds code */
    struct x86_block *blocks;
    struct x86_code_page *next;
};

#define X86_HASH      65536u
#define X86_PAGE_HASH 4096u
struct x86_code {
    uint64_t epoch; /* moves when what processors remember may be wrong */
    struct x86_block **hash;
    struct x86_code_page **pages;
    uint8_t *arena;
    uint64_t arena_bytes, arena_used;
    struct x86_block *scratch; /* a block cut short, run once */
    uint64_t n_builds, n_invalidations, n_resets;
};

static inline uint32_t x86_jump_slot(uint64_t rip)
{
    return (uint32_t)(rip ^ rip >> 11) & (X86_JUMP_ENTRIES - 1);
}

/* First operation at rip, decoded if need be; NULL after a fault or stop (cpu->state.rip is rip then). */
const struct x86_op *x86_find(struct x86_cpu *cpu, uint64_t rip);
/* The same past the jump cache. */
const struct x86_op *x86_find_slow(struct x86_cpu *cpu, uint64_t rip);
/* A block of at most n instructions at rip, to be run once. */
const struct x86_op *x86_find_short(struct x86_cpu *cpu, uint64_t rip, uint32_t n);
struct x86_code_page *x86_code_page(const struct x86_code *code, uint64_t hpa);
bool x86_code_on_page(const struct x86_code *code, uint64_t hpa);

/* Bytes that it takes in the arena. */
static inline uint64_t x86_block_bytes(const struct x86_block *b)
{
    return (sizeof *b + (b->n_ops + 1u) * sizeof b->op[0] + b->n_insns * sizeof(struct x86_use) + 63) & ~63ull;
}
#define X86_BLOCK_MAX                                                                                                  \
    (sizeof(struct x86_block) + X86_BLOCK_OPS * sizeof(struct x86_op) + X86_BLOCK_INSNS * sizeof(struct x86_use))

/* For checkpoints: the page's entry, made if need be, without telling processors. */
struct x86_code_page *x86_code_watch(struct x86_code *code, uint64_t hpa);
/* The block at rip, decoded again from memory into b and entered into the store. -1: its bytes are not there. */
int x86_block_again(struct x86_code *code, struct x86_block *b, const struct x86_memory *m, uint64_t rip,
                    uint64_t context, uint64_t hpa, uint64_t hpa2);
/* A dropped block to which something still leads. */
void x86_block_tombstone(struct x86_block *b, uint64_t rip);

/* x86_decode.c: fills b from the bytes at its rip: n_bytes readable ones, of which n_here are on the first page. At
 * most max_insns. Returns how many bytes of code it took; 0: the first instruction needs more bytes than there are. */
uint32_t x86_decode_block(struct x86_block *b, const uint8_t *bytes, uint32_t n_bytes, uint32_t n_here,
                          uint32_t max_insns);

/* x86_run.c */
const struct x86_op *x86_enter(struct x86_cpu *cpu, const struct x86_op *op);
const struct x86_op *x86_dead(struct x86_cpu *cpu, const struct x86_op *op);
const struct x86_op *x86_dead_enter(struct x86_cpu *cpu, const struct x86_op *op);
/* From the next block on, every block enters by its slow way. */
void x86_enter_slowly(struct x86_cpu *cpu);
/* The operation is done and ends the run: rip is behind it. */
const struct x86_op *x86_leave_after(struct x86_cpu *cpu, const struct x86_op *op, enum x86_stop why);
const struct x86_op *x86_link_slow(struct x86_cpu *cpu, struct x86_link *l, uint32_t way);
/* The instructions before op are given to the core model (timed models). */
void x86_issue(struct x86_cpu *cpu, const struct x86_op *op);
/* The core's clock is brought up to op, for who reads it. */
void x86_clock(struct x86_cpu *cpu, const struct x86_op *op);

/* x86_mem.c */
/* Exec translation of the page of rip; NULL after a fault or stop. */
bool x86_exec_page(struct x86_cpu *cpu, uint64_t rip, struct x86_page *page);
void x86_drop_write(struct x86_cpu *cpu, uint64_t hpa);
/* Where the block at rip starts, for the jumps of this privilege. */
void x86_remember(struct x86_cpu *cpu, uint64_t rip, const struct x86_op *op);
struct x86_view *x86_view_new(void);
/* From now on accesses are of that privilege, code is of cpu->context. */
void x86_view_enter(struct x86_cpu *cpu, uint32_t privilege);

/* A value by value: so that handlers that use it can still tail-call. */
struct x86_value {
    uint64_t v;
    uint64_t ok;
};
struct x86_value x86_load_value(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, uint32_t n, bool for_write);
bool x86_store_value(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, uint64_t v, uint32_t n);

static inline const struct x86_op *x86_go(struct x86_cpu *cpu, const struct x86_op *op, uint32_t way)
{
    struct x86_link *l = (struct x86_link *)(uintptr_t)(op + 1);
    const struct x86_op *to = l->to[way];
    if (likely(to))
        return X86_TAIL(cpu, to);
    const struct x86_jump *j = &cpu->jump[x86_jump_slot(l->rip[way])];
    if (likely(j->rip == l->rip[way]))
        return X86_TAIL(cpu, j->op);
    return x86_link_slow(cpu, l, way);
}
static inline const struct x86_op *x86_goto(struct x86_cpu *cpu, uint64_t rip)
{
    const struct x86_jump *j = &cpu->jump[x86_jump_slot(rip)];
    if (likely(j->rip == rip))
        return X86_TAIL(cpu, j->op);
    return x86_find(cpu, rip);
}
#define X86_NEXT X86_TAIL(cpu, op + 1)

/* Reads a T at gva into var; the page allows writing if w. Leaves p, the host address or NULL. */
#define X86_LOAD_AT(T, var, p, gva, w)                                                                                 \
    T var;                                                                                                             \
    uint8_t *p = x86_host(cpu, gva, sizeof(T), w);                                                                     \
    if (likely(p)) {                                                                                                   \
        __builtin_memcpy(&var, p, sizeof var);                                                                         \
    } else {                                                                                                           \
        struct x86_value got = x86_load_value(cpu, op, gva, sizeof(T), w);                                             \
        if (!got.ok)                                                                                                   \
            return x86_stop(cpu, op);                                                                                  \
        var = (T)got.v;                                                                                                \
    }
#define X86_STORE_AT(T, p, gva, v)                                                                                     \
    do {                                                                                                               \
        if (likely(p))                                                                                                 \
            __builtin_memcpy(p, &(T){v}, sizeof(T));                                                                   \
        else if (!x86_store_value(cpu, op, gva, (uint64_t)(v), sizeof(T)))                                             \
            return x86_stop(cpu, op);                                                                                  \
    } while (0)

#endif

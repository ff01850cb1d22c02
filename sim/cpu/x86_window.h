/* SPDX-License-Identifier: MIT */
/* Timing model `window`: instructions are dispatched in order, a few a cycle, wait for their registers, execute in any
 * order within the reorder buffer and retire in order; a mispredicted branch holds dispatch back. Memory accesses start
 * when their address is known; the caches, controllers, miss buffers and the store buffer are those of sim/cpu/core.h.
 */
#ifndef QUIRE_CPU_X86_WINDOW_H
#define QUIRE_CPU_X86_WINDOW_H

#include "sim/base/stats.h"
#include "sim/base/types.h"
#include "sim/cpu/core.h"

struct x86_cpu;
struct x86_op;
struct x86_block;

/* Names of what depends on what: bits 0..15 general registers, 16 flags, 17..32 XMM, 33 x87 and MMX. */
#define X86_USE_FLAGS 16u
#define X86_USE_XMM   17u
#define X86_USE_FPU   33u
#define X86_N_USES    34u

enum x86_use_kind {
    X86_USE_PLAIN,
    X86_USE_JUMP,
    X86_USE_BRANCH,
    X86_USE_CALL,
    X86_USE_RETURN,
    X86_USE_INDIRECT,
    X86_USE_INDIRECT_CALL
};

/* What an instruction of a block needs and makes, for this model only. */
struct x86_use {
    uint64_t reads; /* of them address: those of the memory operand's address */
    uint64_t address;
    uint64_t writes;
    uint8_t cycles;  /* from its operands to its result, without memory */
    uint8_t kind;    /* enum x86_use_kind */
    bool serialises; /* waits for everything before, and holds everything behind */
};

struct x86_window_stats {
    uint64_t branches, mispredicts, rob_stall_ps, load_queue_stall_ps;
};
extern const struct stat_desc x86_window_stat_desc[];
#define X86_WINDOW_N_STATS (sizeof(struct x86_window_stats) / sizeof(uint64_t))

#define X86_WINDOW_ROB      CORE_MAX_ROB
#define X86_WINDOW_COUNTERS 16384u
#define X86_WINDOW_TARGETS  1024u
#define X86_WINDOW_RETURNS  16u

struct x86_window {
    uint64_t width, rob, load_queue, mispredict_cycles, history_branches; /* of struct core_conf */
    const struct x86_block *block;                                        /* whose instructions are at hand */
    uint32_t next;                                                        /* first of them that is not finished */
    bool is_open;               /* instruction `next` has begun: a memory access is under way */
    ps_t open_ps, open_done_ps; /* when it could start; when its data is there */
    ps_t dispatch_fs;           /* when the next instruction may be dispatched, in femtoseconds */
    ps_t retire_ps;             /* when the youngest finished instruction retires */
    ps_t outside_ps;            /* exits and the kernel's page faults that dispatch has waited for */
    ps_t branch_ps;             /* when the last branch is resolved */
    ps_t ready_ps[X86_N_USES];
    uint64_t n, n_loads;                                  /* instructions, loads so far */
    ps_t rob_ps[X86_WINDOW_ROB], load_ps[X86_WINDOW_ROB]; /* retirement of the last ones, by number */
    uint64_t history;
    uint8_t counter[X86_WINDOW_COUNTERS]; /* two bits: >= 2 is taken */
    uint64_t target[X86_WINDOW_TARGETS];
    uint64_t returns[X86_WINDOW_RETURNS];
    uint32_t n_returns;
    struct x86_window_stats stats;
};

/* Made by x86_set_timing() for a timed model, and freed with the processor. */
struct x86_window *x86_window_new(const struct core_conf *conf);

/* The block at hand is finished; the core's clock is that of the front end. */
void x86_window_settle(struct x86_cpu *cpu);
/* Block b begins; the last one's branch went to it. */
void x86_window_enter(struct x86_cpu *cpu, const struct x86_block *b);
/* The block at hand is left before its instruction n (its end: n_insns or more). */
void x86_window_leave(struct x86_cpu *cpu, uint32_t n);
/* Model `block`: fills in what the decoded instructions of b cost by themselves. */
void x86_block_cost(struct x86_block *b);
/* Model `block`: b begins; was the last one's branch to it foreseen? */
bool x86_block_foreseen(struct x86_cpu *cpu, const struct x86_block *b);

/* An instruction line was fetched: a miss starves the front end. */
void x86_window_fetched(struct x86_cpu *cpu);
/* Instruction op begins to access memory, or to read the clock: the core's clock is when it can. */
void x86_window_access(struct x86_cpu *cpu, const struct x86_op *op);
/* A load, or a store, of it is done as the core's clock and last_load_ps say. */
void x86_window_loaded(struct x86_cpu *cpu);
void x86_window_stored(struct x86_cpu *cpu);
/* The core's clock was moved by a fence or a drain: nothing is dispatched before. */
void x86_window_resume(struct x86_cpu *cpu);

#endif

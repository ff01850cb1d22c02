/* SPDX-License-Identifier: MIT */
#include "sim/cpu/x86_window.h"

#include "sim/base/diag.h"
#include "sim/base/stats.h"
#include "sim/cpu/x86_code.h"

const struct stat_desc x86_window_stat_desc[] = {
    {"branches", STAT_COUNT, "instructions", "conditional and indirect branches and returns (BR_INST_RETIRED)"},
    {"mispredicts", STAT_COUNT, "instructions", "of them mispredicted (BR_MISP_RETIRED)"},
    {"rob_stall_ps", STAT_COUNT, "ps", "dispatch waited for the reorder buffer"},
    {"load_queue_stall_ps", STAT_COUNT, "ps", "dispatch waited for the load queue"},
};
STATS_COMPLETE(struct x86_window_stats, x86_window_stat_desc);

struct x86_window *x86_window_new(const struct core_conf *conf)
{
    struct x86_window *w = xcalloc(1, sizeof *w);
    w->width = conf->width;
    w->rob = conf->rob;
    w->load_queue = conf->load_queue;
    w->mispredict_cycles = conf->mispredict_cycles;
    w->history_branches = conf->branch_history;
    for (uint32_t i = 0; i < X86_WINDOW_COUNTERS; i++)
        w->counter[i] = 1;
    return w;
}

static inline const struct x86_use *use_of(const struct x86_block *b, uint32_t i)
{
    return &((const struct x86_use *)(const void *)(b->op + b->n_ops + 1))[i];
}

static inline ps_t latest(const struct x86_window *w, uint64_t mask)
{
    ps_t t = 0;
    for (; mask; mask &= mask - 1)
        t = max_u64(t, w->ready_ps[__builtin_ctzll(mask)]);
    return t;
}

static inline void hold(struct x86_window *w, ps_t until_ps)
{
    w->dispatch_fs = max_u64(w->dispatch_fs, until_ps * 1000);
}

/* What left the guest, or went into its kernel, began and ended with nothing under way: the clock is as it left it. */
static inline void come_back(struct x86_cpu *cpu)
{
    struct x86_window *w = cpu->window;
    ps_t outside = cpu->core->stats.exit_ps + cpu->kernel_ps;
    if (likely(outside == w->outside_ps))
        return;
    w->outside_ps = outside;
    hold(w, cpu->core->now_ps);
}

/* The next instruction is dispatched: when. */
static ps_t dispatch(struct x86_cpu *cpu, const struct x86_use *u, bool is_load)
{
    struct x86_window *w = cpu->window;
    ps_t now = w->dispatch_fs / 1000;
    ps_t room = w->n >= w->rob ? w->rob_ps[(w->n - w->rob) & (X86_WINDOW_ROB - 1)] : 0;
    if (room > now) {
        w->stats.rob_stall_ps += room - now;
        hold(w, room);
        now = room;
    }
    if (is_load) {
        room = w->n_loads >= w->load_queue ? w->load_ps[(w->n_loads - w->load_queue) & (X86_WINDOW_ROB - 1)] : 0;
        if (room > now) {
            w->stats.load_queue_stall_ps += room - now;
            hold(w, room);
        }
    }
    if (u->serialises)
        hold(w, w->retire_ps);
    now = w->dispatch_fs / 1000;
    w->dispatch_fs += cpu->core->cycle_ps * 1000 / w->width;
    return now;
}

/* Instruction u has its result at done_ps. */
static void complete(struct x86_cpu *cpu, const struct x86_use *u, ps_t done_ps, bool was_load)
{
    struct x86_window *w = cpu->window;
    for (uint64_t m = u->writes; m; m &= m - 1)
        w->ready_ps[__builtin_ctzll(m)] = done_ps;
    w->retire_ps = max_u64(w->retire_ps, done_ps);
    w->rob_ps[w->n++ & (X86_WINDOW_ROB - 1)] = w->retire_ps;
    if (was_load)
        w->load_ps[w->n_loads++ & (X86_WINDOW_ROB - 1)] = w->retire_ps;
    if (u->kind != X86_USE_PLAIN)
        w->branch_ps = done_ps;
    if (u->serialises)
        hold(w, done_ps);
    cpu->core->stats.instructions++;
}

/* Instructions of the block before n are finished. */
static void finish(struct x86_cpu *cpu, uint32_t n)
{
    struct x86_window *w = cpu->window;
    for (; w->block && w->next < n; w->next++) {
        const struct x86_use *u = use_of(w->block, w->next);
        ps_t work = u->cycles * cpu->core->cycle_ps;
        if (w->is_open) {
            ps_t data = max_u64(w->open_done_ps, latest(w, u->reads & ~u->address));
            complete(cpu, u, data + (u->reads & ~u->address || u->cycles > 1 ? work : 0), true);
            w->is_open = false;
        } else {
            ps_t start = max_u64(dispatch(cpu, u, false), latest(w, u->reads));
            complete(cpu, u, start + work, false);
        }
    }
}

void x86_window_access(struct x86_cpu *cpu, const struct x86_op *op)
{
    struct x86_window *w = cpu->window;
    come_back(cpu);
    finish(cpu, op->ordinal);
    if (!w->block || w->next > op->ordinal)
        return;
    if (!w->is_open) {
        const struct x86_use *u = use_of(w->block, op->ordinal);
        w->open_ps = max_u64(dispatch(cpu, u, true), latest(w, u->address));
        w->open_done_ps = w->open_ps;
        w->is_open = true;
    } else {
        w->open_ps += cpu->core->cycle_ps / 2; /* a string instruction: two accesses a cycle */
    }
    cpu->core->now_ps = w->open_ps;
}

void x86_window_loaded(struct x86_cpu *cpu)
{
    struct x86_window *w = cpu->window;
    w->open_done_ps = max_u64(w->open_done_ps, cpu->core->last_load_ps);
    w->open_ps = max_u64(w->open_ps, cpu->core->now_ps); /* a string instruction's next access comes behind it */
}

void x86_window_stored(struct x86_cpu *cpu)
{
    struct x86_window *w = cpu->window;
    w->open_done_ps = max_u64(w->open_done_ps, w->open_ps + cpu->core->cycle_ps);
    if (cpu->core->now_ps > w->open_ps) /* the store buffer was full: nothing behind it is allocated */
        hold(w, cpu->core->now_ps);
    w->open_ps = max_u64(w->open_ps, cpu->core->now_ps);
}

void x86_window_settle(struct x86_cpu *cpu)
{
    struct x86_window *w = cpu->window;
    come_back(cpu);
    if (w->block)
        finish(cpu, w->block->n_insns);
    hold(w, w->block ? 0 : cpu->core->now_ps);
    cpu->core->now_ps = w->dispatch_fs / 1000;
}

void x86_window_leave(struct x86_cpu *cpu, uint32_t n)
{
    struct x86_window *w = cpu->window;
    come_back(cpu);
    if (!w->block)
        return;
    finish(cpu, n < w->block->n_insns ? n : w->block->n_insns);
    w->block = NULL;
    w->is_open = false;
    cpu->core->now_ps = w->dispatch_fs / 1000;
}

void x86_window_fetched(struct x86_cpu *cpu)
{
    /* What an L1 or L2 hit takes is hidden by the fetch queue. */
    if (cpu->core->last_load_ps > cpu->core->now_ps + 16 * cpu->core->cycle_ps)
        hold(cpu->window, cpu->core->last_load_ps);
}

void x86_window_resume(struct x86_cpu *cpu)
{
    struct x86_window *w = cpu->window;
    hold(w, cpu->core->now_ps);
    if (w->is_open)
        w->open_done_ps = max_u64(w->open_done_ps, cpu->core->now_ps);
}

/* ---- what a block costs by itself ---- */

/* The longest way from register r at the block's begin to the same register at its end, in cycles; 0: there is none. */
static uint32_t way_round(const struct x86_block *b, uint32_t r)
{
    int32_t at[X86_N_USES]; /* since r was there; -1: does not depend on it */
    for (uint32_t i = 0; i < X86_N_USES; i++)
        at[i] = i == r ? 0 : -1;
    for (uint32_t i = 0; i < b->n_insns; i++) {
        const struct x86_use *u = use_of(b, i);
        int32_t from = -1;
        for (uint64_t m = u->reads; m; m &= m - 1)
            from = at[__builtin_ctzll(m)] > from ? at[__builtin_ctzll(m)] : from;
        for (uint64_t m = u->writes; m; m &= m - 1)
            at[__builtin_ctzll(m)] = from < 0 ? -1 : from + u->cycles;
    }
    return at[r] > 0 ? (uint32_t)at[r] : 0;
}

void x86_block_cost(struct x86_block *b)
{
    const struct x86_link *l = (const struct x86_link *)(const void *)(b->op + b->n_ops);
    uint32_t longest = 0, serial = 0;
    b->last_kind = b->n_insns ? use_of(b, b->n_insns - 1u)->kind : X86_USE_PLAIN;
    for (uint32_t i = 0; i < b->n_insns; i++)
        serial += use_of(b, i)->serialises && use_of(b, i)->cycles > 1 ? use_of(b, i)->cycles : 0;
    b->serial_cycles = (uint16_t)serial; /* at most 48 times 255 */
    if (b->n_ops == 0 || l->rip[0] != b->rip || use_of(b, b->n_insns - 1u)->kind != X86_USE_BRANCH)
        return;
    for (uint32_t r = 0; r < X86_N_USES; r++) {
        uint32_t n = way_round(b, r);
        longest = n > longest ? n : longest;
    }
    b->carried_cycles = (uint16_t)longest;
}

/* ---- branches ---- */

static inline uint32_t mix(uint64_t rip)
{
    return (uint32_t)(rip ^ rip >> 7 ^ rip >> 17);
}

static bool predict_branch(struct x86_window *w, uint64_t rip, bool is_taken)
{
    uint64_t past = w->history & ((1ull << w->history_branches) - 1);
    uint8_t *c = &w->counter[(mix(rip) ^ (uint32_t)past << 2) & (X86_WINDOW_COUNTERS - 1)];
    bool guess = *c >= 2;
    *c = (uint8_t)(is_taken ? (*c < 3 ? *c + 1 : 3) : (*c ? *c - 1 : 0));
    w->history = w->history << 1 | is_taken;
    return guess == is_taken;
}

static bool predict_target(struct x86_window *w, uint64_t rip, uint64_t to)
{
    uint64_t *t = &w->target[mix(rip) & (X86_WINDOW_TARGETS - 1)];
    bool is_right = *t == to;
    *t = to;
    return is_right;
}

/* The block's last instruction went to rip: was that foreseen? */
static bool predicted(struct x86_window *w, const struct x86_block *b, uint64_t to)
{
    uint64_t next = b->rip + b->n_bytes, at = next - 1;
    if (likely(b->last_kind == X86_USE_BRANCH)) {
        w->stats.branches++;
        return predict_branch(w, at, to != next);
    }
    switch (b->last_kind) {
    case X86_USE_CALL:
        w->returns[w->n_returns++ % X86_WINDOW_RETURNS] = next;
        return true;
    case X86_USE_INDIRECT_CALL:
        w->returns[w->n_returns++ % X86_WINDOW_RETURNS] = next;
        w->stats.branches++;
        return predict_target(w, at, to);
    case X86_USE_RETURN:
        w->stats.branches++;
        return w->n_returns && w->returns[--w->n_returns % X86_WINDOW_RETURNS] == to;
    case X86_USE_INDIRECT:
        w->stats.branches++;
        return predict_target(w, at, to);
    default:
        return true;
    }
}

bool x86_block_foreseen(struct x86_cpu *cpu, const struct x86_block *b)
{
    struct x86_window *w = cpu->window;
    const struct x86_block *last = w->block;
    w->block = b;
    if (!last || predicted(w, last, b->rip))
        return true;
    w->stats.mispredicts++;
    return false;
}

void x86_window_enter(struct x86_cpu *cpu, const struct x86_block *b)
{
    struct x86_window *w = cpu->window;
    const struct x86_block *last = w->block;
    x86_window_settle(cpu);
    if (last && !predicted(w, last, b->rip)) {
        w->stats.mispredicts++;
        hold(w, w->branch_ps + w->mispredict_cycles * cpu->core->cycle_ps);
        cpu->core->now_ps = w->dispatch_fs / 1000;
    }
    w->block = b;
    w->next = 0;
    w->is_open = false;
}

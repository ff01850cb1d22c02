/* SPDX-License-Identifier: MIT */
/* The run loop: entering and leaving blocks, budgets, faults; making a processor. */
#include "sim/base/diag.h"
#include "sim/cpu/x86_sys.h"
#include "sim/cpu/x86_warm.h"
#include "sim/cpu/x86_window.h"

#include <stdlib.h>
#include <string.h>

#define BIAS      (INT64_C(1) << 62)
#define UNLIMITED (INT64_C(1) << 60)

void x86_cpu_init(struct x86_cpu *cpu, struct x86_code *code, const struct x86_bus *bus, void *bus_ctx,
                  struct core *core)
{
    memset(cpu, 0, sizeof *cpu);
    cpu->code = code;
    cpu->bus = bus;
    cpu->bus_ctx = bus_ctx;
    cpu->core = core;
    cpu->tsc_hz = 2400000000;
    cpu->n_cpus = 1;
    cpu->code_epoch = code->epoch;
    cpu->linear = UINT64_MAX;
    cpu->state.shadow_rip = cpu->state.resume_rip = UINT64_MAX;
    cpu->view[X86_USER] = x86_view_new();
    x86_view_enter(cpu, X86_USER);
    x86_tlb_flush(cpu);
    struct x86_state *s = &cpu->state;
    s->cpl = 3;
    s->cr0 = 0x80050033; /* PG AM WP NE ET MP PE, as Linux sets it */
    s->cr4 = 0x6b0;      /* OSXMMEXCPT OSFXSR PGE MCE PAE PSE */
    s->efer = 0xd01;     /* NXE LMA LME SCE */
    s->xcr0 = 3;
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
    s->pat = 0x0007040600070406; /* SDM volume 3, 11.12.4 */
    s->seg[X86_CS] = (struct x86_segment){.selector = 0x33, .attributes = 0xa0fb, .limit = UINT32_MAX};
    s->seg[X86_SS] = (struct x86_segment){.selector = 0x2b, .attributes = 0xc0f3, .limit = UINT32_MAX};
    x86_set_rflags(cpu, X86_IF | 2);
    x86_fp_reset(cpu);
}

void x86_cpu_fini(struct x86_cpu *cpu)
{
    for (uint32_t i = 0; i < X86_N_PRIVILEGES; i++)
        free(cpu->view[i]);
    free(cpu->undo);
    free(cpu->window);
    free(cpu->warm);
    memset(cpu, 0, sizeof *cpu);
}

void x86_set_timing(struct x86_cpu *cpu, enum x86_timing timing)
{
    CHECK_MSG(timing != X86_WINDOW || cpu->core, "the window model needs a core");
    if (timing != X86_FUNCTIONAL && cpu->core && !cpu->window)
        cpu->window = x86_window_new(&cpu->core->conf);
    if (timing == X86_WARM && !cpu->warm)
        x86_warm_caches(cpu, NULL, NULL);
    cpu->timing = timing;
    memset(cpu->ready_ps, 0, sizeof cpu->ready_ps);
    x86_tlb_flush(cpu);
}

uint64_t x86_rflags(const struct x86_cpu *cpu)
{
    return x86_get_flags(cpu) | cpu->state.other_flags | 2;
}

void x86_set_rflags(struct x86_cpu *cpu, uint64_t rflags)
{
    const uint32_t arithmetic = X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_OF;
    const uint32_t defined = X86_TF | X86_IF | X86_DF | X86_IOPL | X86_NT | X86_RF | X86_AC | X86_ID;
    x86_put_flags(cpu, (uint32_t)rflags & arithmetic);
    cpu->state.other_flags = (uint32_t)rflags & defined;
}

uint64_t x86_tsc(struct x86_cpu *cpu)
{
    if (!cpu->core)
        return cpu->instructions + (uint64_t)(cpu->granted - cpu->budget - cpu->bias) + (uint64_t)cpu->state.tsc_adjust;
    return (uint64_t)((unsigned __int128)cpu->core->now_ps * cpu->tsc_hz / PS_PER_S) + (uint64_t)cpu->state.tsc_adjust;
}

void x86_enter_slowly(struct x86_cpu *cpu)
{
    if (!cpu->bias) {
        cpu->bias = BIAS;
        cpu->budget -= BIAS;
    }
}

void x86_stop_soon(struct x86_cpu *cpu)
{
    cpu->stop_wanted = true;
    x86_enter_slowly(cpu);
}

/* ---- the core model ---- */

/* Instructions of the running block up to n are issued. */
static void issue_up_to(struct x86_cpu *cpu, uint32_t n)
{
    if (cpu->core && n > cpu->n_issued) {
        core_issue_at(cpu->core, n - cpu->n_issued, cpu->insn_fs);
        cpu->n_issued = n;
        core_retire(cpu->core);
    }
}

void x86_issue(struct x86_cpu *cpu, const struct x86_op *op)
{
    if (op && cpu->timing == X86_WARM)
        x86_clock(cpu, op);
    else if (op && cpu->timing == X86_WINDOW)
        x86_window_access(cpu, op);
    else if (op)
        issue_up_to(cpu, op->ordinal + 1u);
}

static inline bool is_counted(const struct x86_cpu *cpu)
{
    return cpu->timing == X86_FUNCTIONAL || cpu->timing == X86_WARM;
}

static inline uint64_t forward_fs(const struct x86_cpu *cpu)
{
    return cpu->forward_fs ? cpu->forward_fs : cpu->core->instruction_fs;
}

/* The clock of the functional model and of warming counts instructions: so many of this run are done. */
static void clock_up_to(struct x86_cpu *cpu, int64_t done)
{
    if (cpu->core && done > cpu->n_clocked)
        core_issue_at(cpu->core, (uint64_t)(done - cpu->n_clocked), forward_fs(cpu));
    cpu->n_clocked = done;
}

void x86_clock(struct x86_cpu *cpu, const struct x86_op *op)
{
    if (!is_counted(cpu))
        x86_issue(cpu, op);
    else
        clock_up_to(cpu, cpu->granted - cpu->budget - cpu->bias - cpu->block->n_insns + op->ordinal + 1);
}

/* Model `block`: what a block costs is the larger of its instructions at the core's rate and the chain that a loop
 * carries from round to round; a branch that was not foreseen costs on top. */
static void begin_block(struct x86_cpu *cpu, const struct x86_block *b)
{
    struct core *c = cpu->core;
    cpu->n_issued = 0;
    cpu->n_pending = b->n_insns;
    if (!c)
        return;
    cpu->insn_fs = c->instruction_fs;
    if (b->carried_cycles)
        cpu->insn_fs = max_u64(cpu->insn_fs, b->carried_cycles * c->cycle_ps * 1000 / b->n_insns);
    if (b->serial_cycles)
        cpu->insn_fs += b->serial_cycles * c->cycle_ps * 1000 / b->n_insns;
    if (!x86_block_foreseen(cpu, b))
        c->now_ps += cpu->window->mispredict_cycles * c->cycle_ps;
}

/* A timed block begins: what is left of the last one issues, and the lines of the new one are fetched. */
static enum x86_bus_status timed_entry(struct x86_cpu *cpu, const struct x86_block *b)
{
    if (cpu->timing == X86_WARM)
        return x86_warm_enter(cpu, b);
    if (cpu->timing == X86_WINDOW) {
        x86_window_enter(cpu, b);
    } else {
        issue_up_to(cpu, cpu->n_pending);
        begin_block(cpu, b);
    }
    if (!cpu->bus->fetch)
        return X86_BUS_OK;
    uint64_t last = (b->rip + b->n_bytes - 1) >> LINE_SHIFT;
    for (uint64_t line = b->rip >> LINE_SHIFT; line <= last; line++) {
        if (line == cpu->last_fetch)
            continue;
        enum x86_bus_status status = cpu->bus->fetch(cpu, line << LINE_SHIFT);
        x86_fp_give_armed(cpu);
        if (status != X86_BUS_OK)
            return status;
        if (cpu->timing == X86_WINDOW)
            x86_window_fetched(cpu);
        cpu->last_fetch = line;
    }
    return X86_BUS_OK;
}

/* ---- entering and leaving blocks ---- */

static const struct x86_op *leave(struct x86_cpu *cpu, uint64_t rip, enum x86_stop why)
{
    cpu->state.rip = rip;
    cpu->stop = why;
    return NULL;
}

static bool has_breakpoint(const struct x86_cpu *cpu, uint64_t from, uint64_t to, uint64_t *at)
{
    *at = UINT64_MAX;
    for (uint32_t i = 0; i < cpu->n_breakpoints; i++)
        if (cpu->breakpoints[i] >= from && cpu->breakpoints[i] < to && cpu->breakpoints[i] < *at)
            *at = cpu->breakpoints[i];
    return *at != UINT64_MAX;
}

/* Instructions of the block before the one at address at. */
static uint32_t insns_before(const struct x86_block *b, uint64_t at)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i < b->n_ops && b->rip + b->op[i].at < at && b->op[i].len; i++)
        n = b->op[i].ordinal + 1u;
    return n;
}

/* System mode: something waits, or instructions run one at a time. */
static inline bool has_to_look(const struct x86_cpu *cpu)
{
    return cpu->is_system && (x86_has_event(cpu) || x86_steps(cpu));
}

/* Must every block enter by its slow way? */
static bool must_enter_slowly(const struct x86_cpu *cpu)
{
    return cpu->timing != X86_FUNCTIONAL || cpu->n_breakpoints || cpu->stop_wanted || has_to_look(cpu);
}

/* System mode, before a block: false if something is to be delivered first, an event or cpu->fault; else *take is how
 * many of its instructions may run: one in the shadow of STI, and one at a time where that is asked for. */
static bool look_at_events(struct x86_cpu *cpu, const struct x86_block *b, uint32_t *take)
{
    struct x86_state *s = &cpu->state;
    bool is_shadow = b->rip == s->shadow_rip, is_due = x86_has_event(cpu);
    if (is_due && (!is_shadow || s->trap_dr6)) {
        cpu->is_event = true;
        leave(cpu, b->rip, X86_STOP_BUDGET);
        return false;
    }
    s->shadow_rip = UINT64_MAX;
    if (is_due)
        *take = 1;
    return x86_step(cpu, b, take);
}

/* The budget is negative: it is used up, or every block enters here. */
static __attribute__((noinline)) const struct x86_op *enter_slow(struct x86_cpu *cpu, const struct x86_op *op)
{
    const struct x86_block *b = cpu->block;
    int64_t left = cpu->budget + op->imm + cpu->bias;
    uint32_t take = b->n_insns;
    uint64_t at;
    if (cpu->timing == X86_WINDOW)
        x86_window_settle(cpu);
    if (cpu->timing != X86_FUNCTIONAL && cpu->core && cpu->until_ps && cpu->core->now_ps >= cpu->until_ps)
        left = 0;
    cpu->budget += op->imm;
    if (cpu->is_system && x86_sse_faulted(cpu))
        return NULL;
    if (left <= 0 || cpu->stop_wanted)
        return leave(cpu, b->rip, X86_STOP_BUDGET);
    if (cpu->is_system && !look_at_events(cpu, b, &take))
        return NULL;
    if (left < take)
        take = (uint32_t)left;
    if (cpu->n_breakpoints && has_breakpoint(cpu, b->rip, b->rip + b->n_bytes, &at)) {
        if (at == b->rip && cpu->past_breakpoint != at) {
            cpu->state.trap_dr6 = 0;
            return leave(cpu, at, X86_STOP_BREAKPOINT);
        }
        uint32_t before = at == b->rip ? 1 : insns_before(b, at);
        take = before && before < take ? before : take;
    }
    cpu->past_breakpoint = UINT64_MAX;
    if (take < b->n_insns) {
        op = x86_find_short(cpu, b->rip, take);
        if (!op)
            return NULL;
        b = cpu->block = cpu->code->scratch;
    }
    cpu->budget -= b->n_insns;
    if (cpu->timing != X86_FUNCTIONAL) {
        enum x86_bus_status status = timed_entry(cpu, b);
        if (status != X86_BUS_OK) {
            cpu->stop = status == X86_BUS_FAULT ? X86_STOP_FAULT : X86_STOP_BUS;
            return x86_stop(cpu, op + 1);
        }
    }
    if (cpu->bias && !must_enter_slowly(cpu)) {
        cpu->budget += cpu->bias;
        cpu->bias = 0;
    }
    return op + 1;
}

/* Model warm, with budget left. */
static __attribute__((noinline)) const struct x86_op *enter_warm(struct x86_cpu *cpu, const struct x86_op *op)
{
    enum x86_bus_status status = x86_warm_enter(cpu, cpu->block);
    if (unlikely(status != X86_BUS_OK)) {
        cpu->stop = status == X86_BUS_FAULT ? X86_STOP_FAULT : X86_STOP_BUS;
        return x86_stop(cpu, op + 1);
    }
    return X86_NEXT;
}

const struct x86_op *x86_enter(struct x86_cpu *cpu, const struct x86_op *op)
{
    cpu->block = (struct x86_block *)(uintptr_t)op->disp;
    cpu->budget -= op->imm;
    if (unlikely(cpu->budget < 0)) {
        if (cpu->timing == X86_WARM && cpu->budget + cpu->bias >= 0 && !cpu->stop_wanted && !cpu->n_breakpoints &&
            !has_to_look(cpu))
            return enter_warm(cpu, op);
        return enter_slow(cpu, op);
    }
    return X86_NEXT;
}

/* Gives back what the running block has not executed: everything from op on. */
static void give_back(struct x86_cpu *cpu, const struct x86_op *op)
{
    cpu->budget += cpu->block->n_insns - op->ordinal;
    if (cpu->timing == X86_WINDOW) {
        x86_window_leave(cpu, op->ordinal);
    } else if (cpu->timing == X86_BLOCK) {
        issue_up_to(cpu, op->ordinal);
        cpu->n_pending = cpu->n_issued;
    }
}

const struct x86_op *x86_dead(struct x86_cpu *cpu, const struct x86_op *op)
{
    uint64_t rip = cpu->block->rip + op->at;
    give_back(cpu, op);
    return x86_find_slow(cpu, rip);
}

const struct x86_op *x86_dead_enter(struct x86_cpu *cpu, const struct x86_op *op)
{
    return x86_find_slow(cpu, ((const struct x86_block *)(uintptr_t)op->disp)->rip);
}

const struct x86_op *x86_stop(struct x86_cpu *cpu, const struct x86_op *op)
{
    if (op) {
        cpu->state.rip = cpu->block->rip + op->at;
        give_back(cpu, op);
    }
    cpu->fault.rip = cpu->state.rip;
    cpu->state.trap_dr6 = 0;
    return NULL;
}

const struct x86_op *x86_raise(struct x86_cpu *cpu, const struct x86_op *op, enum x86_vector vector)
{
    /* SDM volume 3, 6.15: the vectors that push an error code. */
    const uint32_t with_code = 1u << X86_DF_FAULT | 1u << X86_TS | 1u << X86_NP | 1u << X86_SS_FAULT | 1u << X86_GP |
                               1u << X86_PF_FAULT | 1u << X86_AC_FAULT;
    cpu->fault = (struct x86_fault){.vector = (uint8_t)vector, .has_error_code = with_code >> vector & 1};
    cpu->stop = X86_STOP_FAULT;
    return x86_stop(cpu, op);
}

const struct x86_op *x86_raise_code(struct x86_cpu *cpu, const struct x86_op *op, enum x86_vector vector, uint32_t code)
{
    cpu->fault = (struct x86_fault){.vector = (uint8_t)vector, .has_error_code = true, .error_code = code};
    cpu->stop = X86_STOP_FAULT;
    return x86_stop(cpu, op);
}

const struct x86_op *x86_leave_after(struct x86_cpu *cpu, const struct x86_op *op, enum x86_stop why)
{
    return leave(cpu, cpu->block->rip + op->at + op->len, why);
}

const struct x86_op *x86_link_slow(struct x86_cpu *cpu, struct x86_link *l, uint32_t way)
{
    const struct x86_block *from = cpu->block;
    uint64_t epoch = cpu->code->n_resets;
    const struct x86_op *to = x86_find(cpu, l->rip[way]);
    if (!to || epoch != cpu->code->n_resets || from == cpu->code->scratch)
        return to;
    /* On the same page the mapping is the one by which the block itself was found. */
    const struct x86_block *b = (const struct x86_block *)(uintptr_t)to->disp;
    if (b->rip >> PAGE_SHIFT == from->rip >> PAGE_SHIFT && !b->hpa2 && !from->hpa2)
        l->to[way] = to;
    return to;
}

/* ---- running ---- */

/* Instructions that fit until until_ps of a clock that only counts them. */
static int64_t functional_budget(const struct x86_cpu *cpu, ps_t until_ps)
{
    const struct core *c = cpu->core;
    if (until_ps <= c->now_ps)
        return 0;
    uint64_t fs = forward_fs(cpu);
    return (int64_t)(((unsigned __int128)(until_ps - c->now_ps) * 1000 + fs - 1) / fs);
}

void x86_time_moved(struct x86_cpu *cpu)
{
    if (!is_counted(cpu) || !cpu->until_ps || !cpu->core || !cpu->granted)
        return;
    int64_t most = cpu->n_clocked + functional_budget(cpu, cpu->until_ps);
    int64_t over = cpu->granted - (most > 1 ? most : 1);
    if (over > 0) { /* what the run was given and what is left shrink alike: their difference is what was done */
        cpu->granted -= over;
        cpu->budget -= over;
    }
}

enum x86_stop x86_run(struct x86_cpu *cpu, uint64_t max_instructions, ps_t until_ps)
{
    if (cpu->code_epoch != cpu->code->epoch) {
        x86_tlb_flush(cpu);
        cpu->code_epoch = cpu->code->epoch;
    }
    cpu->granted = max_instructions && max_instructions < UNLIMITED ? (int64_t)max_instructions : UNLIMITED;
    cpu->until_ps = until_ps;
    if (is_counted(cpu) && until_ps && cpu->core) {
        int64_t n = functional_budget(cpu, until_ps);
        cpu->granted = n < cpu->granted ? n : cpu->granted;
    }
    cpu->stop_wanted = false;
    cpu->past_breakpoint = cpu->state.rip;
    cpu->is_event = false;
    if (cpu->is_system)
        x86_disarm(cpu);
    cpu->bias = must_enter_slowly(cpu) ? BIAS : 0;
    cpu->budget = cpu->granted - cpu->bias;
    cpu->n_clocked = 0;
    x86_fp_enter(cpu);
    do {
        const struct x86_op *op = x86_find(cpu, cpu->state.rip);
        while (op)
            op = op->fn(cpu, op);
    } while (cpu->is_system && x86_go_on(cpu));
    x86_fp_leave(cpu);
    if (cpu->timing == X86_WINDOW) {
        x86_window_leave(cpu, UINT32_MAX);
    } else if (is_counted(cpu)) {
        clock_up_to(cpu, cpu->granted - cpu->budget - cpu->bias);
    } else {
        issue_up_to(cpu, cpu->n_pending);
    }
    if (cpu->window)
        cpu->window->block = NULL; /* it may be gone before the next run */
    cpu->n_issued = cpu->n_pending = 0;
    cpu->instructions += (uint64_t)(cpu->granted - cpu->budget - cpu->bias);
    cpu->granted = cpu->budget = cpu->bias = 0;
    return cpu->stop;
}

/* SPDX-License-Identifier: MIT */
/* Threads on vCPUs: who runs, who waits, who is woken. */
#include "sim/guest/bare.h"
#include "sim/guest/exec_debug.h"
#include "sim/guest/exec_gdb.h"
#include "sim/guest/exec_int.h"
#include "sim/guest/linux.h"

#include <stdlib.h>
#include <string.h>

/* ---- queues ---- */

/* A vCPU without a thread goes on when there is one again, not before now. */
static void rouse(struct exec *x, ps_t now)
{
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++) {
        struct vcpu *v = &x->vm->vcpu[i];
        if (!v->is_done || x->cpu[i].thread)
            continue;
        struct core *core = &vcpu_cpu(v)->core;
        core->now_ps = max_u64(core->now_ps, now);
        v->is_done = false;
        return;
    }
}

void thread_ready(struct thread *t)
{
    struct exec *x = t->process->x;
    t->state = THREAD_READY;
    t->next = NULL;
    if (x->ready_tail)
        x->ready_tail->next = t;
    else
        x->ready_head = t;
    x->ready_tail = t;
    rouse(x, x->hv->now_ps);
}

static struct thread *take_ready(struct exec *x)
{
    struct thread *t = x->ready_head;
    if (t && !(x->ready_head = t->next))
        x->ready_tail = NULL;
    return t;
}

static void forget_ready(struct exec *x, const struct thread *t)
{
    struct thread **at = &x->ready_head, *last = NULL;
    while (*at && *at != t) {
        last = *at;
        at = &(*at)->next;
    }
    if (!*at)
        return;
    *at = t->next;
    if (x->ready_tail == t)
        x->ready_tail = last;
}

/* ---- waiting ---- */

static void wake(struct thread *t, int64_t result)
{
    if (t->will_retry)
        t->saved.rip -= 2; /* SYSCALL is two bytes; RAX still has its number */
    else
        t->saved.gpr[X86_RAX] = (uint64_t)result;
    thread_ready(t);
}

static void wait_for(struct thread *t, uint64_t key, ps_t until_ps)
{
    struct exec *x = t->process->x;
    struct exec_cpu *c = thread_cpu(t);
    t->wait_key = key;
    t->ticket = x->next_ticket++;
    t->wake_ps = until_ps;
    x->first_wake_ps = min_u64(x->first_wake_ps, until_ps);
    exec_switch_out(c);
    t->state = THREAD_WAITING;
}

void thread_wait(struct thread *t, uint64_t key, ps_t until_ps, int64_t on_wake, int64_t on_timeout)
{
    t->will_retry = false;
    t->on_wake = on_wake;
    t->on_timeout = on_timeout;
    wait_for(t, key, until_ps);
}

void thread_wait_retry(struct thread *t, uint64_t key, ps_t until_ps)
{
    t->will_retry = true;
    wait_for(t, key, until_ps);
}

/* Who has waited longest for key. */
static struct thread *oldest(const struct exec *x, uint64_t key)
{
    struct thread *first = NULL;
    for (uint32_t i = 0; i < x->n_threads; i++) {
        struct thread *t = x->thread[i];
        if (t->state == THREAD_WAITING && t->wait_key == key && (!first || t->ticket < first->ticket))
            first = t;
    }
    return first;
}

uint32_t exec_wake(struct exec *x, uint64_t key, uint32_t n)
{
    uint32_t woken = 0;
    struct thread *t;
    for (; woken < n && (t = oldest(x, key)); woken++)
        wake(t, t->on_wake);
    return woken;
}

uint32_t exec_requeue(struct exec *x, uint64_t key, uint32_t n, uint64_t to)
{
    uint32_t moved = 0;
    struct thread *t;
    for (; moved < n && (t = oldest(x, key)); moved++)
        t->wait_key = to;
    return moved;
}

void thread_interrupt(struct thread *t, int64_t result, bool may_retry)
{
    if (t->state != THREAD_WAITING)
        return;
    t->will_retry &= may_retry;
    wake(t, result);
}

/* Timeouts up to now, the earliest first. */
static void wake_due(struct exec *x, ps_t now)
{
    while (x->first_wake_ps <= now) {
        struct thread *due = NULL;
        for (uint32_t i = 0; i < x->n_threads; i++) {
            struct thread *t = x->thread[i];
            if (t->state == THREAD_WAITING && (!due || t->wake_ps < due->wake_ps))
                due = t;
        }
        x->first_wake_ps = due ? due->wake_ps : UINT64_MAX;
        if (due && due->wake_ps <= now && due->wake_ps != UINT64_MAX) {
            x->hv->now_ps = max_u64(due->wake_ps, x->hv->now_ps);
            wake(due, due->on_timeout);
            x->first_wake_ps = 0; /* look again */
        }
    }
}

void thread_yield(struct thread *t)
{
    struct exec_cpu *c = thread_cpu(t);
    if (t->process->x->ready_head)
        c->slice_end_ps = 0;
}

/* ---- switching ---- */

void exec_switch_out(struct exec_cpu *c)
{
    struct thread *t = c->thread;
    if (!t)
        return;
    exec_drain_wc(c);
    t->saved = c->x86.state;
    t->state = THREAD_READY;
    t->vcpu = NULL;
    c->thread = NULL;
}

static void enter_space(struct exec_cpu *c, struct space *s)
{
    c->space = s;
    c->v->space.cr3 = s->cr3;
    c->v->space.asid = s->asid;
    x86_tlb_flush(&c->x86);
}

static void switch_in(struct exec_cpu *c, struct thread *t)
{
    struct core *core = &vcpu_cpu(c->v)->core;
    t->state = THREAD_RUNNING;
    t->vcpu = c->v;
    c->thread = t;
    c->x86.state = t->saved;
    if (c->space != &t->process->space || c->v->space.cr3 != t->process->space.cr3)
        enter_space(c, &t->process->space);
    c->slice_end_ps = core->now_ps + c->x->conf.slice_ps;
    if (c->last_tid != t->tid) {
        core->now_ps += c->x->conf.switch_cycles * core->cycle_ps;
        c->x->stats.switches++;
    }
    c->last_tid = t->tid;
}

void thread_space_changed(struct thread *t)
{
    enter_space(thread_cpu(t), &t->process->space);
}

/* ---- ends ---- */

static void forget_thread(struct thread *t)
{
    struct exec *x = t->process->x;
    uint32_t i = 0;
    while (x->thread[i] != t)
        i++;
    memmove(&x->thread[i], &x->thread[i + 1], (--x->n_threads - i) * sizeof *x->thread);
    if (t->state == THREAD_READY)
        forget_ready(x, t);
    free(t);
}

void thread_end(struct thread *t, int32_t status)
{
    struct process *p = t->process;
    struct vcpu *v = t->vcpu;
    if (p->n_threads == 1) {
        process_end(p, status, v);
        return;
    }
    linux_thread_end(t);
    if (t->state == THREAD_RUNNING) {
        exec_switch_out(thread_cpu(t));
        t->state = THREAD_DONE;
    }
    p->n_threads--;
    forget_thread(t);
}

void process_end(struct process *p, int32_t status, struct vcpu *v)
{
    struct exec *x = p->x;
    for (uint32_t i = x->n_threads; i-- > 0;) {
        struct thread *t = x->thread[i];
        if (t->process != p)
            continue;
        linux_thread_end(t);
        if (t->state == THREAD_RUNNING) {
            exec_switch_out(thread_cpu(t));
            t->state = THREAD_DONE;
        }
        forget_thread(t);
    }
    p->n_threads = 0;
    p->status = status;
    p->is_dead = true;
    linux_process_end(p);
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++)
        if (x->cpu[i].space == &p->space)
            x->cpu[i].space = NULL;
    space_fini(&p->space, v);
    if (p->pid == 1) {
        x->is_over = true;
        x->status = status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
    }
}

/* ---- running ---- */

/* Makes the first process, on the first vCPU that runs. */
static int load(struct exec *x, struct vcpu *v, struct diag *d)
{
    struct process *p = process_new(x, 0);
    struct x86_state regs = x->cpu[0].x86.state;
    x->is_loaded = true;
    if (linux_init(x, d) || space_init(&p->space, &x->pool, v, process_asid(p), d) || linux_load(p, v, &regs, d))
        return -1;
    thread_new(p, &regs);
    return 0;
}

/* No thread is ready. The vCPU stands still until one is; the last one that does lets time pass to the next timeout. */
static int idle(struct exec *x, struct exec_cpu *c, ps_t until_ps, struct diag *d)
{
    struct core *core = &vcpu_cpu(c->v)->core;
    bool is_last = true;
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++)
        is_last &= &x->cpu[i] == c || x->vm->vcpu[i].is_done;
    if (!is_last) {
        c->v->is_done = true;
        return 0;
    }
    if (x->first_wake_ps == UINT64_MAX)
        return fail(d, "vm %s: all %u threads of its programs wait, and nothing can wake them", x->vm->name,
                    x->n_threads);
    core_wait(core, min_u64(x->first_wake_ps, until_ps));
    return 0;
}

/* What ended x86_run(). */
static int stopped(struct exec_cpu *c, enum x86_stop stop, struct diag *d)
{
    struct exec *x = c->x;
    struct thread *t = c->thread;
    struct core *core = &vcpu_cpu(c->v)->core;
    x->hv->now_ps = core->now_ps;
    switch (stop) {
    case X86_STOP_SYSCALL:
        x->stats.syscalls++;
        core->now_ps += x->conf.syscall_cycles * core->cycle_ps;
        linux_syscall(t);
        break;
    case X86_STOP_FAULT:
    case X86_STOP_INT: {
        struct x86_fault f = c->x86.fault;
        linux_fault(t, &f);
        break;
    }
    case X86_STOP_UNSUPPORTED:
        linux_unsupported(t, c->x86.unsupported, c->x86.n_unsupported);
        break;
    case X86_STOP_PAUSE:
        thread_yield(t);
        break;
    case X86_STOP_BUS:
        return x->hv->is_down ? 0 : d->n_errors ? -1 : fail(d, "vm %s: a policy stopped an access", x->vm->name);
    default:
        break;
    }
    return 0;
}

uint64_t exec_allowance(const struct exec *x)
{
    uint64_t done = 0;
    if (!x->conf.max_instructions)
        return 0;
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++)
        done += x->cpu[i].x86.instructions;
    return done < x->conf.max_instructions ? x->conf.max_instructions - done : UINT64_MAX;
}

/* One stretch of the thread on the processor. */
static int step(struct exec_cpu *c, ps_t until_ps, struct diag *d)
{
    struct exec *x = c->x;
    if (x->code_changed) {
        x86_code_reset(x->code);
        x->code_changed = false;
    }
    uint64_t allowed = exec_allowance(x);
    if (allowed == UINT64_MAX) {
        x->is_over = true;
        x->status = 124; /* as timeout(1) */
        return 0;
    }
    until_ps = min_u64(until_ps, x->first_wake_ps);
    c->x86.stop_at_pause = x->ready_head != NULL;
    if (x->ready_head)
        until_ps = min_u64(until_ps, c->slice_end_ps);
    linux_resume(c->thread);
    if (!c->thread)
        return 0;
    if (x->debug) {
        uint64_t stride = exec_debug_stride(x->debug);
        allowed = allowed ? min_u64(allowed, stride) : stride;
        exec_debug_runs(x->debug, c);
    }
    if (x->gdb) {
        uint64_t stride = exec_gdb_runs(x->gdb, c);
        allowed = !allowed || (stride && stride < allowed) ? stride : allowed;
        if (x->is_over)
            return 0;
    }
    allowed = pace_runs(x->pace, c, allowed, &until_ps);
    exec_follow(c);
    enum x86_stop stop = x86_run(&c->x86, allowed, until_ps);
    pace_ran(x->pace, c);
    exec_count_warm(c);
    if (x->debug)
        exec_debug_ran(x->debug, c);
    if (x->gdb)
        exec_gdb_ran(x->gdb, c, stop);
    return stopped(c, stop, d);
}

int exec_run(struct vcpu *v, ps_t until_ps, struct diag *d)
{
    struct exec *x = v->vm->guest;
    struct exec_cpu *c = &x->cpu[v->index];
    struct core *core = &vcpu_cpu(v)->core;
    if (x->bare)
        return bare_run(v, until_ps, d);
    if (!x->is_loaded && load(x, v, d))
        return -1;
    while (!x->is_over && core->now_ps < until_ps && !x->hv->is_down) {
        wake_due(x, core->now_ps);
        if (c->thread && x->ready_head && core->now_ps >= c->slice_end_ps) {
            struct thread *t = c->thread;
            exec_switch_out(c);
            thread_ready(t);
        }
        if (!c->thread && x->ready_head)
            switch_in(c, take_ready(x));
        if (c->thread ? step(c, until_ps, d) : idle(x, c, until_ps, d))
            return -1;
        if (v->is_done)
            return 0;
    }
    if (x->is_over)
        v->is_done = true;
    return 0;
}

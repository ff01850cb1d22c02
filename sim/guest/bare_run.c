/* SPDX-License-Identifier: MIT */
/* vCPUs of a bare machine: running, halting, being started, interrupts between them, how it ends. */
#include "sim/guest/bare_int.h"
#include "sim/guest/exec_debug.h"
#include "sim/guest/exec_gdb.h"

#include <stdlib.h>
#include <string.h>

/* ---- who may run ---- */

/* Something is there that ends a HLT. */
static bool is_woken(const struct exec_cpu *c)
{
    const struct x86_state *s = &c->x86.state;
    return (s->is_nmi_pending && !s->is_nmi_blocked) || (c->x86.is_interrupt && x86_rflags(&c->x86) & X86_IF);
}

bool bare_is_idle(const struct exec_cpu *c)
{
    const struct bare_cpu *bc = bare_cpu_of(c);
    return bc->state == BARE_WAITS_START || (bc->state == BARE_HALTS && !is_woken(c));
}

/* When the timer wakes it; never if it may not. */
static ps_t timer_ps(const struct exec_cpu *c)
{
    return x86_rflags(&c->x86) & X86_IF ? bare_cpu_of(c)->apic.due_ps : UINT64_MAX;
}

static bool is_idle_vcpu(const struct vcpu *v)
{
    const struct exec *x = v->vm->ops == &exec_ops ? v->vm->guest : NULL;
    return v->is_done || (x && x->bare && bare_is_idle(&x->cpu[v->index]));
}

/* Another vCPU of its CPU has something to do. */
static bool is_shared(const struct exec_cpu *c)
{
    const struct cpu *cpu = vcpu_cpu(c->v);
    for (uint32_t i = 0; i < cpu->n_vcpus; i++)
        if (cpu->vcpu[i] != c->v && !is_idle_vcpu(cpu->vcpu[i]))
            return true;
    return false;
}

/* The earliest timer of the others that idle on its CPU. */
static ps_t next_timer_ps(const struct exec_cpu *c)
{
    const struct cpu *cpu = vcpu_cpu(c->v);
    ps_t next = UINT64_MAX;
    for (uint32_t i = 0; i < cpu->n_vcpus; i++) {
        const struct vcpu *v = cpu->vcpu[i];
        if (v != c->v && !v->is_done)
            next = min_u64(next, timer_ps(&((struct exec *)v->vm->guest)->cpu[v->index]));
    }
    return next;
}

/* It has been sent something at that time. */
static void rouse(struct exec_cpu *c, ps_t now)
{
    struct core *core = &vcpu_cpu(c->v)->core;
    if (!c->v->is_done)
        return;
    if (!is_shared(c))
        core->now_ps = max_u64(core->now_ps, now);
    c->v->is_done = false;
    hv_not_alone(c->x->hv, now);
}

/* ---- interrupts between processors ---- */

static void take_init(struct exec_cpu *c)
{
    struct bare_cpu *bc = bare_cpu_of(c);
    bc->is_init = false;
    x86_reset(&c->x86);
    apic_reset(&bc->apic);
    bc->state = BARE_WAITS_START;
    bare_update(c);
}

static void deliver(struct exec_cpu *from, struct exec_cpu *to, const struct apic_ipi *ipi, ps_t now)
{
    struct bare_cpu *bc = bare_cpu_of(to);
    switch (ipi->delivery) {
    case APIC_FIXED:
    case APIC_LOWEST:
        (ipi->is_level ? apic_accept_level : apic_accept)(&bc->apic, ipi->vector);
        bare_update(to);
        break;
    case APIC_NMI:
        x86_nmi(&to->x86);
        break;
    case APIC_INIT: /* not in the middle of its own instruction */
        bc->is_init = true;
        if (to->x86.granted)
            x86_stop_soon(&to->x86);
        break;
    case APIC_STARTUP:
        if (bc->is_init && to->x86.granted) /* its own INIT is not done yet */
            return;
        if (bc->is_init)
            take_init(to);
        if (bc->state != BARE_WAITS_START)
            return;
        x86_sipi(&to->x86, ipi->vector);
        bc->state = BARE_RUNS;
        bc->is_moved = true;
        break;
    default: /* SMI: there is no system-management mode; ExtINT comes from a PIC, which is not there */
        return;
    }
    if (to->v->is_done)
        x86_stop_soon(&from->x86); /* and gives it the chance to run */
    rouse(to, now);
}

static bool is_addressed(const struct exec_cpu *from, const struct exec_cpu *to, const struct apic_ipi *ipi)
{
    switch (ipi->shorthand) {
    case APIC_TO_SELF:
        return to == from;
    case APIC_TO_ALL:
        return true;
    case APIC_TO_OTHERS:
        return to != from;
    default:
        return apic_matches(&bare_cpu_of(to)->apic, ipi);
    }
}

/* Of those addressed, the one with the lowest priority, the first of equals. */
static struct exec_cpu *lowest(const struct exec_cpu *from, const struct apic_ipi *ipi)
{
    struct exec *x = from->x;
    struct exec_cpu *best = NULL;
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++) {
        struct exec_cpu *to = &x->cpu[i];
        if (is_addressed(from, to, ipi) &&
            (!best || apic_ppr(&bare_cpu_of(to)->apic) < apic_ppr(&bare_cpu_of(best)->apic)))
            best = to;
    }
    return best;
}

void bare_send(void *ctx, const struct apic_ipi *ipi)
{
    struct exec_cpu *from = ctx;
    struct exec *x = from->x;
    ps_t now = vcpu_cpu(from->v)->core.now_ps;
    if (ipi->delivery == APIC_LOWEST) {
        struct exec_cpu *to = lowest(from, ipi);
        if (to)
            deliver(from, to, ipi, now);
        return;
    }
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++)
        if (is_addressed(from, &x->cpu[i], ipi))
            deliver(from, &x->cpu[i], ipi, now);
}

void bare_send_line(void *ctx, const struct apic_ipi *ipi)
{
    bare_send(((struct bare *)ctx)->acting, ipi);
}

void bare_ended(void *ctx, uint8_t vector)
{
    struct exec_cpu *c = ctx;
    c->x->bare->acting = c;
    ioapic_end(&c->x->bare->ioapic, vector);
}

void bare_lines(struct exec_cpu *c)
{
    struct bare *b = c->x->bare;
    struct exec_cpu *boot = &c->x->cpu[0];
    b->acting = c;
    pic_set(&b->pic, BARE_UART_LINE, uart_interrupts(&b->uart));
    ioapic_set(&b->ioapic, BARE_UART_LINE, uart_interrupts(&b->uart));
    bare_update(boot);
    if (boot != c && boot->v->is_done && is_woken(boot)) {
        x86_stop_soon(&c->x86);
        rouse(boot, vcpu_cpu(c->v)->core.now_ps);
    }
}

/* ---- the end ---- */

void bare_end(struct bare *b, int32_t status)
{
    b->x->is_over = true;
    b->x->status = status;
}

/* Why it cannot go on, with registers and the function. */
static void report(struct exec_cpu *c, const char *why)
{
    static const char *const regs[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    const struct x86_state *s = &c->x86.state;
    char name[128];
    bare_end(c->x->bare, 1);
    if (!c->x->conf.console)
        return;
    bare_flush_console(c->x->bare);
    exec_name_of(c, s->rip, name, sizeof name);
    fprintf(stderr, "quire: %s: vCPU %u: %s, at %04x:%llx%s%s%s\n", c->x->bare->image->path, c->v->index, why,
            s->seg[X86_CS].selector, (unsigned long long)(s->rip - s->seg[X86_CS].base), *name ? " (" : "", name,
            *name ? ")" : "");
    for (uint32_t i = 0; i < N_ELEMS(regs); i++)
        fprintf(stderr, "  %-3s %016llx%s", regs[i], (unsigned long long)s->gpr[i], i % 4 == 3 ? "\n" : "");
    fprintf(stderr, "  rflags %llx cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx\n",
            (unsigned long long)x86_rflags(&c->x86), (unsigned long long)s->cr0, (unsigned long long)s->cr2,
            (unsigned long long)s->cr3, (unsigned long long)s->cr4, (unsigned long long)s->efer);
}

static void report_shutdown(struct exec_cpu *c)
{
    const struct x86_fault *f = &c->x86.fault;
    char why[128];
    snprintf(why, sizeof why, "shutdown (triple fault): the last fault was vector %u, error code %x, address %llx",
             f->vector, f->error_code, (unsigned long long)f->cr2);
    report(c, why);
}

static void report_unsupported(struct exec_cpu *c)
{
    char why[96];
    int n = snprintf(why, sizeof why, "an instruction or a mode that is not there:");
    for (uint32_t i = 0; i < c->x86.n_unsupported && n < (int)sizeof why - 4; i++)
        n += snprintf(why + n, sizeof why - (size_t)n, " %02x", c->x86.unsupported[i]);
    report(c, why);
}

/* All vCPUs wait, and nothing can wake them: the first one has ended with interrupts off, or waits in vain. */
void bare_finish(struct bare *b)
{
    struct exec *x = b->x;
    bool all_done = x->is_loaded && !x->is_over && !x->hv->is_down;
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++)
        all_done &= x->vm->vcpu[i].is_done;
    if (all_done) {
        if (x86_rflags(&x->cpu[0].x86) & X86_IF || b->cpu[0].state == BARE_WAITS_START)
            report(&x->cpu[0], "all vCPUs wait, and nothing can wake them");
        else
            bare_end(b, 0);
    }
    bare_flush_console(b);
}

/* ---- running ---- */

static int stopped(struct exec_cpu *c, enum x86_stop stop, struct diag *d)
{
    struct exec *x = c->x;
    x->hv->now_ps = vcpu_cpu(c->v)->core.now_ps;
    switch (stop) {
    case X86_STOP_HLT:
        bare_cpu_of(c)->state = BARE_HALTS;
        bare_leave(c);
        break;
    case X86_STOP_SHUTDOWN:
        report_shutdown(c);
        break;
    case X86_STOP_UNSUPPORTED:
        report_unsupported(c);
        break;
    case X86_STOP_BUS:
        return x->hv->is_down || x->is_over ? 0
               : d->n_errors                ? -1
                                            : fail(d, "vm %s: a policy stopped an access", x->vm->name);
    default:
        break;
    }
    return 0;
}

static int step(struct exec_cpu *c, ps_t until_ps, struct diag *d)
{
    struct exec *x = c->x;
    if (x->code_changed) {
        x86_code_reset(x->code);
        x->code_changed = false;
    }
    uint64_t allowed = exec_allowance(x);
    if (allowed == UINT64_MAX) {
        bare_end(x->bare, 124); /* as timeout(1) */
        return 0;
    }
    until_ps = min_u64(until_ps, bare_cpu_of(c)->apic.due_ps);
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

/* It halts. True: look again, its time has come; false: the CPU is others', or nothing happens until until_ps. */
static bool rest(struct exec_cpu *c, ps_t until_ps)
{
    struct core *core = &vcpu_cpu(c->v)->core;
    ps_t due = timer_ps(c), to;
    if (due == UINT64_MAX) {
        c->v->is_done = true; /* until somebody sends it something */
        return false;
    }
    if (is_shared(c))
        return false;
    to = min_u64(min_u64(due, next_timer_ps(c)), until_ps);
    core->now_ps = max_u64(core->now_ps, to);
    return due <= core->now_ps;
}

int bare_run(struct vcpu *v, ps_t until_ps, struct diag *d)
{
    struct exec *x = v->vm->guest;
    struct exec_cpu *c = &x->cpu[v->index];
    struct bare_cpu *bc = bare_cpu_of(c);
    struct core *core = &vcpu_cpu(v)->core;
    if (!x->is_loaded && bare_load(x->bare, v, d))
        return -1;
    while (!x->is_over && core->now_ps < (until_ps = min_u64(until_ps, x->hv->until_ps)) && !x->hv->is_down) {
        if (bc->is_init)
            take_init(c);
        struct apic_clock t = bare_clock(c);
        apic_advance(&bc->apic, &t);
        bare_update(c);
        if (bc->state == BARE_WAITS_START) {
            v->is_done = true;
            return 0;
        }
        if (bc->state == BARE_HALTS && is_woken(c))
            bc->state = BARE_RUNS;
        if (bc->state == BARE_HALTS) {
            if (!rest(c, until_ps))
                return 0;
        } else if (step(c, until_ps, d)) {
            return -1;
        }
    }
    if (x->is_over)
        v->is_done = true;
    return 0;
}

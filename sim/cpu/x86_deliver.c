/* SPDX-License-Identifier: MIT */
/* System mode: exceptions and interrupts through the IDT or the interrupt vectors, and IRET back (SDM volume 3, 6.12 to
 * 6.15; volume 2, INT n and IRET). Task gates and virtual-8086 mode are not there. */
#include "sim/base/diag.h"
#include "sim/cpu/x86_sys.h"
#include "sim/cpu/x86_window.h"

#include <Zydis/Mnemonic.h>

#include <string.h>

/* Gate types (SDM volume 3, table 3-2). */
#define GATE_INTERRUPT_16 6u
#define GATE_INTERRUPT    14u
#define GATE_IS_TRAP      1u
#define GATE_IS_32        8u
#define TSS_IS_32         8u

/* Flags that a handler begins without. */
#define CLEARED (X86_TF | X86_NT | X86_RF | X86_VM)

/* ---- the gate ---- */

struct gate {
    uint16_t selector;
    uint64_t offset;
    uint32_t type, ist;
};

static bool read_gate(struct x86_cpu *cpu, const struct x86_event *e, struct gate *g)
{
    bool is_long = x86_is_long(cpu);
    uint32_t size = is_long ? 16 : 8, at = e->vector * size, ext = e->is_external;
    uint32_t code = e->vector * 8u | 2 | ext;
    uint64_t raw[2] = {0, 0};
    if (at + size - 1 > cpu->state.idt_limit)
        return x86_refuse(cpu, X86_GP, code);
    if (!x86_load_system(cpu, cpu->state.idt_base + at, raw, size))
        return false;
    *g = (struct gate){.selector = (uint16_t)(raw[0] >> 16),
                       .offset = (raw[0] & 0xffff) | (raw[0] >> 32 & 0xffff0000) | raw[1] << 32,
                       .type = raw[0] >> 40 & 31,
                       .ist = is_long ? raw[0] >> 32 & 7 : 0};
    bool is_16 = !is_long && (g->type & ~GATE_IS_TRAP) == GATE_INTERRUPT_16;
    if ((g->type & ~GATE_IS_TRAP) != GATE_INTERRUPT && !is_16)
        return x86_refuse(cpu, X86_GP, code);
    if (e->is_soft && (raw[0] >> 45 & 3) < cpu->state.cpl)
        return x86_refuse(cpu, X86_GP, code);
    if (!(raw[0] >> 47 & 1))
        return x86_refuse(cpu, X86_NP, code);
    if (is_16)
        g->offset &= 0xffff;
    return true;
}

/* The handler's code segment; its level. */
static bool gate_segment(struct x86_cpu *cpu, const struct gate *g, uint32_t ext, struct x86_far *f)
{
    struct x86_descriptor d;
    uint32_t cpl = cpu->state.cpl, code = (g->selector & ~3u) | ext;
    if (!x86_check_code_segment(cpu, g->selector, ext, &d))
        return false;
    uint32_t a = d.seg.attributes, dpl = X86_DESC_DPL(a);
    if (dpl > cpl || (x86_is_long(cpu) && !(a & X86_DESC_L)))
        return x86_refuse(cpu, X86_GP, code);
    if (!(a & X86_DESC_P))
        return x86_refuse(cpu, X86_NP, code);
    f->cs = d.seg;
    f->cpl = a & X86_DESC_CONFORMING ? cpl : dpl;
    return x86_target(cpu, &f->cs, g->offset, ext, &f->rip) && x86_mark_descriptor(cpu, &d, X86_DESC_ACCESSED);
}

/* ---- the stack ---- */

struct stack {
    struct x86_segment ss;
    uint64_t sp;
    bool is_switched;
};

static bool read_tss(struct x86_cpu *cpu, uint32_t at, void *buf, uint32_t n, uint32_t ext)
{
    if (at + n - 1 > cpu->state.tr.limit)
        return x86_refuse(cpu, X86_TS, (cpu->state.tr.selector & ~3u) | ext);
    return x86_load_system(cpu, cpu->state.tr.base + at, buf, n);
}

/* 64-bit TSS: RSP0..2 at 4, IST1..7 at 36 (SDM volume 3, 8.7). */
static bool long_stack(struct x86_cpu *cpu, const struct gate *g, uint32_t cpl, uint32_t ext, struct stack *k)
{
    bool is_inner = cpl < cpu->state.cpl;
    *k = (struct stack){cpu->state.seg[X86_SS], cpu->state.gpr[X86_RSP], is_inner};
    if (g->ist || is_inner) {
        if (!read_tss(cpu, g->ist ? 36 + 8 * (g->ist - 1) : 4 + 8 * cpl, &k->sp, 8, ext))
            return false;
        if (!x86_is_canonical(k->sp))
            return x86_refuse(cpu, X86_SS_FAULT, ext);
    }
    if (is_inner)
        k->ss = (struct x86_segment){.selector = (uint16_t)cpl, .attributes = X86_DESC_UNUSABLE};
    k->sp &= ~15ull;
    return true;
}

/* 32-bit TSS: ESP0 at 4, SS0 at 8, and so on; 16-bit: SP0 at 2, SS0 at 4. */
static bool legacy_stack(struct x86_cpu *cpu, uint32_t cpl, uint32_t ext, struct stack *k)
{
    struct x86_descriptor d;
    uint16_t selector = 0;
    *k = (struct stack){cpu->state.seg[X86_SS], cpu->state.gpr[X86_RSP], cpl < cpu->state.cpl};
    if (!k->is_switched)
        return true;
    bool is_32 = cpu->state.tr.attributes & TSS_IS_32;
    k->sp = 0;
    if (!read_tss(cpu, is_32 ? 4 + 8 * cpl : 2 + 4 * cpl, &k->sp, is_32 ? 4 : 2, ext) ||
        !read_tss(cpu, is_32 ? 8 + 8 * cpl : 4 + 4 * cpl, &selector, 2, ext) ||
        !x86_check_stack_segment(cpu, selector, cpl, X86_TS, ext, &d))
        return false;
    k->ss = d.seg;
    return true;
}

/* Writes n values of some bytes each below the top of the stack, the first one topmost. */
static bool push_all(struct x86_cpu *cpu, struct stack *k, uint32_t cpl, const uint64_t *v, uint32_t n, uint32_t bytes)
{
    uint8_t image[64];
    bool is_long = x86_is_long(cpu);
    uint64_t mask = is_long ? UINT64_MAX : k->ss.attributes & X86_DESC_DB ? UINT32_MAX : 0xffff;
    uint64_t sp = (k->sp - (uint64_t)n * bytes) & mask, at = is_long ? sp : (uint32_t)(k->ss.base + sp);
    for (uint32_t i = 0; i < n; i++)
        memcpy(image + (n - 1 - i) * bytes, &v[i], bytes);
    bool ok = cpl == 3 ? x86_store(cpu, NULL, at, image, n * bytes) : x86_store_system(cpu, at, image, n * bytes);
    k->sp = is_long ? sp : (k->sp & ~mask) | sp;
    return ok;
}

/* ---- delivery ---- */

static void enter_handler(struct x86_cpu *cpu, const struct x86_far *f, const struct stack *k, uint32_t cleared)
{
    struct x86_state *s = &cpu->state;
    s->seg[X86_SS] = k->ss;
    s->gpr[X86_RSP] = k->sp;
    s->rip = f->rip;
    s->other_flags &= ~cleared;
    s->trap_dr6 = 0;
    s->shadow_rip = UINT64_MAX;
    x86_put_code_segment(cpu, f->cs, f->cpl);
}

/* Real mode: four bytes a vector, FLAGS, CS and IP on the stack. */
static bool deliver_real(struct x86_cpu *cpu, const struct x86_event *e)
{
    struct x86_state *s = &cpu->state;
    struct x86_far f = {.cs = s->seg[X86_CS]};
    struct stack k = {.ss = s->seg[X86_SS], .sp = s->gpr[X86_RSP]};
    uint16_t to[2];
    if (e->vector * 4u + 3 > s->idt_limit)
        return x86_refuse(cpu, X86_GP, e->vector * 8u | 2 | e->is_external);
    if (!x86_load_system(cpu, s->idt_base + e->vector * 4u, to, sizeof to))
        return false;
    const uint64_t frame[] = {x86_rflags(cpu), s->seg[X86_CS].selector, x86_offset(cpu, e->rip)};
    f.cs.selector = to[1];
    f.cs.base = (uint64_t)to[1] << 4;
    f.rip = f.cs.base + to[0];
    if (!push_all(cpu, &k, 0, frame, 3, 2))
        return false;
    enter_handler(cpu, &f, &k, X86_IF | X86_TF | X86_RF | X86_AC);
    return true;
}

bool x86_deliver(struct x86_cpu *cpu, const struct x86_event *e)
{
    struct x86_state *s = &cpu->state;
    struct gate g = {0};
    struct x86_far f;
    struct stack k;
    uint64_t frame[6];
    uint32_t n = 0, ext = e->is_external, bytes = 8;
    if (x86_is_real(cpu))
        return deliver_real(cpu, e);
    if (!read_gate(cpu, e, &g) || !gate_segment(cpu, &g, ext, &f))
        return false;
    if (x86_is_long(cpu) ? !long_stack(cpu, &g, f.cpl, ext, &k) : !legacy_stack(cpu, f.cpl, ext, &k))
        return false;
    if (!x86_is_long(cpu))
        bytes = g.type & GATE_IS_32 ? 4 : 2;
    if (x86_is_long(cpu) || k.is_switched) {
        frame[n++] = s->seg[X86_SS].selector;
        frame[n++] = s->gpr[X86_RSP];
    }
    frame[n++] = x86_rflags(cpu) | (e->is_fault ? X86_RF : 0);
    frame[n++] = s->seg[X86_CS].selector;
    frame[n++] = x86_offset(cpu, e->rip);
    if (e->has_code)
        frame[n++] = e->code;
    if (!push_all(cpu, &k, f.cpl, frame, n, bytes))
        return false;
    enter_handler(cpu, &f, &k, CLEARED | (g.type & GATE_IS_TRAP ? 0 : X86_IF));
    return true;
}

/* ---- exceptions on the way to a handler (SDM volume 3, table 6-5) ---- */

static bool is_contributory(uint32_t vector)
{
    return vector == X86_DE || (vector >= X86_TS && vector <= X86_GP);
}

static bool makes_double(uint32_t first, uint32_t second)
{
    return (is_contributory(first) && is_contributory(second)) ||
           (first == X86_PF_FAULT && (second == X86_PF_FAULT || is_contributory(second)));
}

/* Delivers cpu->fault, or what comes of it. */
static bool deliver_fault(struct x86_cpu *cpu, bool is_trap)
{
    uint64_t rip = cpu->state.rip;
    int before = -1;
    for (;;) {
        const struct x86_fault *f = &cpu->fault;
        if (f->vector == X86_PF_FAULT)
            cpu->state.cr2 = f->cr2;
        if (before == X86_DF_FAULT) {
            cpu->stop = X86_STOP_SHUTDOWN;
            return false;
        }
        struct x86_event e = {.vector = f->vector,
                              .is_external = true,
                              .is_fault = !is_trap,
                              .has_code = f->has_error_code,
                              .code = f->error_code,
                              .rip = rip};
        if (before >= 0 && makes_double((uint32_t)before, f->vector))
            e = (struct x86_event){
                .vector = X86_DF_FAULT, .is_external = true, .has_code = true, .rip = rip, .is_fault = false};
        before = e.vector;
        if (x86_is_real(cpu))
            e.has_code = false;
        if (x86_deliver(cpu, &e))
            return true;
        if (cpu->stop != X86_STOP_FAULT)
            return false;
    }
}

/* The trap behind a single step, a non-maskable interrupt, an external one: in this order (SDM volume 3, 6.9). */
static bool deliver_event(struct x86_cpu *cpu)
{
    struct x86_state *s = &cpu->state;
    struct x86_event e = {.is_external = true, .rip = s->rip};
    if (s->trap_dr6) {
        s->dr[6] |= s->trap_dr6;
        cpu->fault = (struct x86_fault){.vector = X86_DB, .rip = s->rip};
        return deliver_fault(cpu, true);
    }
    if (s->is_nmi_pending && !s->is_nmi_blocked) {
        s->is_nmi_pending = false;
        s->is_nmi_blocked = true;
        e.vector = X86_NMI;
    } else {
        int vector = cpu->bus->interrupt ? cpu->bus->interrupt(cpu) : -1;
        if (vector < 0)
            return true;
        e.vector = (uint8_t)vector;
    }
    if (x86_deliver(cpu, &e))
        return true;
    return cpu->stop == X86_STOP_FAULT && deliver_fault(cpu, false);
}

/* Timed models: a handler begins when everything before it has retired. */
static void retire_all(struct x86_cpu *cpu)
{
    if (!cpu->core || (cpu->timing != X86_BLOCK && cpu->timing != X86_WINDOW))
        return;
    core_wait(cpu->core, cpu->core->last_load_ps);
    if (cpu->timing == X86_WINDOW)
        x86_window_resume(cpu);
}

bool x86_go_on(struct x86_cpu *cpu)
{
    bool is_event = cpu->is_event, goes_on;
    cpu->is_event = false;
    if (!is_event && cpu->stop != X86_STOP_FAULT)
        return false;
    if (cpu->budget + cpu->bias <= 0) { /* a fetch behind the last instruction: it faults again in the next run */
        cpu->stop = X86_STOP_BUDGET;
        return false;
    }
    retire_all(cpu);
    goes_on = is_event ? deliver_event(cpu) : deliver_fault(cpu, false);
    cpu->budget--;
    x86_watch_events(cpu);
    return goes_on;
}

/* ---- INT ---- */

static const struct x86_op *soft_interrupt(struct x86_cpu *cpu, const struct x86_op *op, uint32_t vector, bool is_soft)
{
    uint64_t next = x86_behind(cpu, op);
    if (!cpu->is_system) {
        cpu->fault = (struct x86_fault){.vector = (uint8_t)vector, .rip = next};
        return x86_leave_after(cpu, op, X86_STOP_INT);
    }
    struct x86_event e = {.vector = (uint8_t)vector, .is_soft = is_soft, .rip = next};
    if (!x86_deliver(cpu, &e))
        return x86_stop(cpu, op);
    return x86_find(cpu, cpu->state.rip);
}
static X86_OP(int3)
{
    return soft_interrupt(cpu, op, X86_BP, true);
}
static X86_OP(int1)
{
    return soft_interrupt(cpu, op, X86_DB, false);
}
static X86_OP(int_n)
{
    return soft_interrupt(cpu, op, (uint32_t)op->imm & 0xff, true);
}
static X86_OP(into)
{
    if (cpu->state.ax_flags & FL_OF)
        return soft_interrupt(cpu, op, X86_OF_TRAP, true);
    return x86_done(cpu, op);
}

/* ---- IRET ---- */

struct returned {
    struct x86_far far;
    struct x86_segment ss;
    uint64_t sp, flags;
    bool has_stack;
};

/* n values from the stack. */
static bool pop_all(struct x86_cpu *cpu, const struct x86_op *op, uint64_t *v, uint32_t n, uint32_t bytes)
{
    uint8_t image[40];
    bool is_64bit = x86_is_64bit(cpu);
    uint64_t mask = is_64bit ? UINT64_MAX : cpu->context & X86_MODE_STACK ? UINT32_MAX : 0xffff;
    uint64_t at = (cpu->state.gpr[X86_RSP] & mask) + (is_64bit ? 0 : cpu->state.seg[X86_SS].base);
    if (!x86_load(cpu, op, at & cpu->linear, image, n * bytes))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        v[i] = 0;
        memcpy(&v[i], image + i * bytes, bytes);
    }
    return true;
}

static bool read_return(struct x86_cpu *cpu, const struct x86_op *op, struct returned *r)
{
    uint64_t v[5];
    uint32_t n = op->size;
    if (!pop_all(cpu, op, v, 3, n) || !x86_return_target(cpu, (uint16_t)v[1], v[0], &r->far))
        return false;
    r->flags = v[2];
    r->has_stack = !x86_is_real(cpu) && (x86_is_64bit(cpu) || r->far.cpl > cpu->state.cpl);
    if (!r->has_stack)
        return true;
    if (!pop_all(cpu, op, v, 5, n) || !x86_return_stack(cpu, (uint16_t)v[4], &r->far, &r->ss))
        return false;
    r->sp = v[3];
    return true;
}

/* Flags that a return at this level may change. */
static uint32_t returnable(const struct x86_cpu *cpu, uint32_t n)
{
    uint32_t m = X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_TF | X86_DF | X86_OF | X86_NT;
    m |= n > 2 ? X86_RF | X86_AC | X86_ID : 0;
    m |= cpu->state.cpl == 0 ? X86_IOPL : 0;
    return m | (cpu->state.cpl <= x86_iopl(cpu) || x86_is_real(cpu) ? X86_IF : 0);
}

static X86_OP(iret)
{
    struct x86_state *s = &cpu->state;
    struct returned r = {0};
    uint32_t n = op->size, mask;
    if (!cpu->is_system)
        return x86_op_unsupported(cpu, op);
    if (!x86_is_real(cpu) && s->other_flags & X86_NT) {
        if (!x86_is_long(cpu)) /* a nested task */
            return x86_op_unsupported(cpu, op);
        return x86_raise(cpu, op, X86_GP);
    }
    if (!read_return(cpu, op, &r))
        return x86_stop(cpu, op);
    bool is_outer = r.far.cpl > s->cpl;
    mask = returnable(cpu, n);
    if (r.has_stack) {
        s->seg[X86_SS] = r.ss;
        s->gpr[X86_RSP] = r.sp;
    } else {
        x86_put_gpr(cpu, 8 * X86_RSP, cpu->context & X86_MODE_STACK ? 4 : 2, s->gpr[X86_RSP] + 3u * n);
    }
    x86_set_rflags(cpu, (x86_rflags(cpu) & ~(uint64_t)mask & ~(uint64_t)X86_RF) | (r.flags & mask & ~(uint64_t)X86_RF));
    s->is_nmi_blocked = false;
    s->resume_rip = r.flags & mask & X86_RF ? r.far.rip : UINT64_MAX;
    x86_put_code_segment(cpu, r.far.cs, r.far.cpl);
    if (is_outer)
        x86_hide_segments(cpu);
    x86_watch_events(cpu);
    return x86_find(cpu, r.far.rip);
}

#define F(name, fn)                                                                                                    \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##name, x86_op_##fn, X86N_END                                                                   \
    }
const struct x86_form x86_deliver_forms[] = {
    F(INT3, int3), F(INT1, int1),  F(INT, int_n),  F(INTO, into),
    F(IRET, iret), F(IRETD, iret), F(IRETQ, iret), {0, NULL, 0},
};

/* SPDX-License-Identifier: MIT */
#include "sim/guest/exec_gdb.h"

#include "sim/guest/bare.h"
#include "sim/guest/exec_debug.h"
#include "sim/guest/exec_int.h"
#include "sim/guest/gdb_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_BREAKPOINTS 64u
/* Instructions between two looks at whether gdb wants to interrupt. */
#define STRIDE 1000000u

struct exec_gdb {
    struct exec *x;
    struct gdb_link link; /* when it is gone the program runs on */
    uint32_t n_breakpoints;
    uint64_t breakpoint[MAX_BREAKPOINTS];
    uint32_t step_tid;  /* that is single-stepped; 0: none */
    uint32_t tid;       /* that register packets are about */
    uint32_t shown_tid; /* gdb has seen it stop at shown_rip: the breakpoint there is passed once */
    uint64_t shown_rip;
    bool has_begun;
    bool is_physical; /* memory packets have guest-physical addresses */
};

static void hang_up(struct exec_gdb *g)
{
    gdb_hang_up(&g->link);
    g->n_breakpoints = 0;
    g->step_tid = 0;
}

/* ---- registers, in the order of gdb's amd64 description ---- */

static const uint8_t order[16] = {X86_RAX, X86_RBX, X86_RCX, X86_RDX, X86_RSI, X86_RDI, X86_RBP, X86_RSP,
                                  X86_R8,  X86_R9,  X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15};

/* What gdb calls a thread: one of a program's, or a vCPU of a bare machine, numbered from 1. */
struct subject {
    struct thread *thread; /* NULL: a vCPU */
    struct exec_cpu *cpu;  /* that it runs on, or any that is in its process's memory; NULL: there is none */
    struct x86_state *regs;
};

static uint32_t n_subjects(const struct exec *x)
{
    return x->bare ? x->vm->n_vcpus : x->n_threads;
}

static uint32_t tid_of(const struct exec *x, uint32_t i)
{
    return x->bare ? i + 1 : x->thread[i]->tid;
}

static uint32_t tid_on(const struct exec_cpu *c)
{
    return c->x->bare ? c->v->index + 1 : c->thread->tid;
}

static struct exec_cpu *cpu_of(struct thread *t)
{
    const struct exec *x = t->process->x;
    if (t->state == THREAD_RUNNING)
        return thread_cpu(t);
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++)
        if (x->cpu[i].space == &t->process->space)
            return &x->cpu[i];
    return NULL;
}

static bool has_subject(const struct exec *x, uint32_t tid)
{
    for (uint32_t i = 0; i < n_subjects(x); i++)
        if (tid_of(x, i) == tid)
            return true;
    return false;
}

/* The one with that number, else the first. False: there is none. */
static bool subject_at(const struct exec *x, uint32_t tid, struct subject *s)
{
    uint32_t n = 0;
    if (!n_subjects(x))
        return false;
    for (uint32_t i = 0; i < n_subjects(x); i++)
        if (tid_of(x, i) == tid)
            n = i;
    if (x->bare) {
        *s = (struct subject){.cpu = &x->cpu[n], .regs = &x->cpu[n].x86.state};
        return true;
    }
    struct thread *t = x->thread[n];
    *s = (struct subject){.thread = t, .cpu = cpu_of(t), .regs = thread_regs(t)};
    return true;
}

static uint32_t flags_of(const struct x86_state *regs)
{
    struct x86_cpu fake = {.state = *regs};
    return (uint32_t)x86_rflags(&fake);
}

static void read_registers(struct exec_gdb *g)
{
    struct subject who;
    char *to = g->link.out;
    if (!subject_at(g->x, g->tid, &who)) {
        gdb_reply(&g->link, "E01");
        return;
    }
    const struct x86_state *s = who.regs;
    uint32_t flags = flags_of(s), zero[8] = {0};
    for (uint32_t i = 0; i < 16; i++)
        to = gdb_put_hex(to, &s->gpr[order[i]], 8);
    to = gdb_put_hex(to, &s->rip, 8);
    to = gdb_put_hex(to, &flags, 4);
    const uint32_t segs[6] = {s->seg[X86_CS].selector, s->seg[X86_SS].selector, s->seg[X86_DS].selector,
                              s->seg[X86_ES].selector, s->seg[X86_FS].selector, s->seg[X86_GS].selector};
    to = gdb_put_hex(to, segs, sizeof segs);
    uint32_t top = s->x87.sw >> 11 & 7;
    for (uint32_t i = 0; i < 8; i++)
        to = gdb_put_hex(to, &s->x87.r[(top + i) & 7], 10);
    zero[0] = s->x87.cw;
    zero[1] = s->x87.sw;
    zero[2] = s->x87.tw;
    to = gdb_put_hex(to, zero, sizeof zero);
    to = gdb_put_hex(to, s->xmm, sizeof s->xmm);
    gdb_put_hex(to, &s->mxcsr, 4);
    gdb_reply(&g->link, g->link.out);
}

/* P n=value: general registers, the program counter, the flags. */
static void write_register(struct exec_gdb *g)
{
    struct subject who;
    unsigned n;
    uint64_t value = 0;
    const char *eq = strchr(g->link.in, '=');
    size_t len;
    if (!subject_at(g->x, g->tid, &who) || !eq || sscanf(g->link.in + 1, "%x", &n) != 1 || n > 17 ||
        (len = gdb_take_hex(eq + 1, (uint8_t *)&value, 8)) != (n == 17 ? 4 : 8)) {
        gdb_reply(&g->link, "E01");
        return;
    }
    if (n == 17) {
        struct x86_cpu fake = {.state = *who.regs};
        x86_set_rflags(&fake, value);
        who.regs->ax_flags = fake.state.ax_flags;
        who.regs->other_flags = fake.state.other_flags;
    } else if (n == 16) {
        who.regs->rip = value;
    } else {
        who.regs->gpr[order[n]] = value;
    }
    if (g->x->bare) /* AC and privilege go together */
        x86_changed(&who.cpu->x86);
    gdb_reply(&g->link, "OK");
}

/* ---- memory ---- */

static void read_memory(struct exec_gdb *g)
{
    unsigned long long at, n;
    uint8_t bytes[GDB_PACKET / 2];
    struct subject who;
    if (sscanf(g->link.in + 1, "%llx,%llx", &at, &n) != 2 || !subject_at(g->x, g->tid, &who) || !who.cpu) {
        gdb_reply(&g->link, "E01");
        return;
    }
    n = min_u64(n, sizeof bytes);
    uint64_t got = g->is_physical ? bare_peek_physical(who.cpu, at, bytes, n) : exec_peek(who.cpu, at, bytes, n);
    gdb_put_hex(g->link.out, bytes, got);
    gdb_reply(&g->link, got || !n ? g->link.out : "E0e");
}

static bool put_memory(const struct exec_gdb *g, const struct subject *who, uint64_t at, const uint8_t *bytes,
                       uint64_t n)
{
    struct diag d = {0};
    if (g->x->bare)
        return bare_poke(who->cpu, at, g->is_physical, bytes, n) == n;
    struct vcpu *v = who->thread->vcpu ? who->thread->vcpu : &g->x->vm->vcpu[0];
    return exec_fill(who->thread->process, v, at, bytes, n, &d) == 0;
}

static void write_memory(struct exec_gdb *g)
{
    unsigned long long at, n;
    uint8_t bytes[GDB_PACKET / 2];
    const char *colon = strchr(g->link.in, ':');
    struct subject who;
    bool fine = subject_at(g->x, g->tid, &who) && colon && sscanf(g->link.in + 1, "%llx,%llx", &at, &n) == 2 &&
                n <= sizeof bytes && gdb_take_hex(colon + 1, bytes, n) == n;
    gdb_reply(&g->link, fine && put_memory(g, &who, at, bytes, n) ? "OK" : "E0e");
}

/* ---- breakpoints ---- */

static void breakpoint(struct exec_gdb *g)
{
    unsigned long long at;
    uint32_t i = 0;
    if (g->link.in[1] != '0' && g->link.in[1] != '1') { /* watchpoints: gdb steps instead */
        gdb_reply(&g->link, "");
        return;
    }
    if (sscanf(g->link.in + 2, ",%llx", &at) != 1) {
        gdb_reply(&g->link, "E01");
        return;
    }
    while (i < g->n_breakpoints && g->breakpoint[i] != at)
        i++;
    if (g->link.in[0] == 'z' && i < g->n_breakpoints)
        g->breakpoint[i] = g->breakpoint[--g->n_breakpoints];
    else if (g->link.in[0] == 'Z' && i == g->n_breakpoints) {
        if (i == MAX_BREAKPOINTS) {
            gdb_reply(&g->link, "E1c");
            return;
        }
        g->breakpoint[g->n_breakpoints++] = at;
    }
    gdb_reply(&g->link, "OK");
}

/* ---- queries ---- */

static void list_threads(struct exec_gdb *g)
{
    char *to = g->link.out;
    *to++ = 'm';
    for (uint32_t i = 0; i < n_subjects(g->x) && to < g->link.out + GDB_PACKET; i++)
        to += sprintf(to, "%s%x", i ? "," : "", tid_of(g->x, i));
    gdb_reply(&g->link, g->link.out);
}

/* What `info threads` says of a vCPU. */
static void describe(struct exec_gdb *g, uint32_t tid)
{
    struct subject who;
    char text[64];
    if (!g->x->bare || !has_subject(g->x, tid) || !subject_at(g->x, tid, &who)) {
        gdb_reply(&g->link, "");
        return;
    }
    int n = snprintf(text, sizeof text, "vCPU %u, %s", who.cpu->v->index, bare_what(who.cpu));
    gdb_put_hex(g->link.out, text, (size_t)n);
    gdb_reply(&g->link, g->link.out);
}

/* `monitor physical on`, `monitor physical off`: whose addresses the memory packets of a bare machine have. */
static void monitor(struct exec_gdb *g, const char *hex)
{
    uint8_t word[32] = {0};
    char text[64];
    gdb_take_hex(hex, word, sizeof word - 1);
    bool is_on = strcmp((char *)word, "physical on") == 0;
    if (g->x->bare && (is_on || strcmp((char *)word, "physical off") == 0))
        g->is_physical = is_on;
    int n = snprintf(text, sizeof text, "%s\n",
                     !g->x->bare      ? "there are no monitor commands for programs"
                     : g->is_physical ? "memory is guest-physical"
                                      : "memory is virtual (monitor physical on|off)");
    gdb_put_hex(g->link.out, text, (size_t)n);
    gdb_reply(&g->link, g->link.out);
}

static void query(struct exec_gdb *g)
{
    if (strncmp(g->link.in, "qSupported", 10) == 0)
        gdb_reply(&g->link, "PacketSize=1000;swbreak+;vContSupported+");
    else if (strcmp(g->link.in, "qfThreadInfo") == 0)
        list_threads(g);
    else if (strcmp(g->link.in, "qsThreadInfo") == 0)
        gdb_reply(&g->link, "l");
    else if (strncmp(g->link.in, "qThreadExtraInfo,", 17) == 0)
        describe(g, (uint32_t)strtol(g->link.in + 17, NULL, 16));
    else if (strncmp(g->link.in, "qRcmd,", 6) == 0)
        monitor(g, g->link.in + 6);
    else if (strncmp(g->link.in, "qAttached", 9) == 0)
        gdb_reply(&g->link, "0");
    else if (strcmp(g->link.in, "qC") == 0) {
        snprintf(g->link.out, sizeof g->link.out, "QC%x", g->tid);
        gdb_reply(&g->link, g->link.out);
    } else
        gdb_reply(&g->link, "");
}

static void select_thread(struct exec_gdb *g)
{
    long tid = strtol(g->link.in + 2, NULL, 16);
    if (tid > 0)
        g->tid = (uint32_t)tid;
    gdb_reply(&g->link, "OK");
}

/* c, s, vCont;...: true if the program goes on. */
static bool go_on(struct exec_gdb *g)
{
    const char *p = g->link.in;
    if (strcmp(p, "vCont?") == 0) {
        gdb_reply(&g->link, "vCont;c;C;s;S");
        return false;
    }
    if (strncmp(p, "vCont;", 6) == 0)
        p += 6;
    g->step_tid = 0;
    if (*p == 's' || *p == 'S') {
        const char *colon = strchr(p, ':');
        long tid = colon ? strtol(colon + 1, NULL, 16) : 0;
        g->step_tid = tid > 0 ? (uint32_t)tid : g->tid;
    }
    return true;
}

/* gdb has control until it lets the program go on. */
static void serve(struct exec_gdb *g)
{
    while (gdb_receive(&g->link)) {
        switch (g->link.in[0]) {
        case '?':
            snprintf(g->link.out, sizeof g->link.out, "T%02xthread:%x;", SIGTRAP, g->tid);
            gdb_reply(&g->link, g->link.out);
            break;
        case 'g':
            read_registers(g);
            break;
        case 'P':
            write_register(g);
            break;
        case 'm':
            read_memory(g);
            break;
        case 'M':
            write_memory(g);
            break;
        case 'Z':
        case 'z':
            breakpoint(g);
            break;
        case 'q':
            query(g);
            break;
        case 'H':
            select_thread(g);
            break;
        case 'T':
            gdb_reply(&g->link, has_subject(g->x, (uint32_t)strtol(g->link.in + 1, NULL, 16)) ? "OK" : "E01");
            break;
        case 'c':
        case 's':
        case 'C':
        case 'S':
            if (go_on(g))
                return;
            break;
        case 'v':
            if (strncmp(g->link.in, "vCont", 5) != 0)
                gdb_reply(&g->link, "");
            else if (go_on(g))
                return;
            break;
        case 'D':
            gdb_reply(&g->link, "OK");
            hang_up(g);
            return;
        case 'k':
            g->x->is_over = true;
            g->x->status = 128 + SIGKILL;
            hang_up(g);
            return;
        default:
            gdb_reply(&g->link, "");
        }
    }
}

static void stopped_by(struct exec_gdb *g, const struct exec_cpu *c, int signal, const char *why)
{
    g->tid = g->shown_tid = tid_on(c);
    g->shown_rip = c->x86.state.rip;
    g->step_tid = 0;
    snprintf(g->link.out, sizeof g->link.out, "T%02xthread:%x;%s", signal, g->tid, why);
    gdb_reply(&g->link, g->link.out);
    serve(g);
}

/* ---- around a run ---- */

static bool wants_interrupt(struct exec_gdb *g)
{
    struct pollfd p = {.fd = g->link.fd, .events = POLLIN};
    return g->link.fd >= 0 && poll(&p, 1, 0) > 0 && gdb_byte(&g->link) == 3;
}

/* A run passes a breakpoint where it begins: it may have ended there for another reason than the breakpoint. */
static bool is_at_breakpoint(const struct exec_gdb *g, const struct exec_cpu *c)
{
    uint64_t rip = c->x86.state.rip;
    if (g->shown_tid == tid_on(c) && g->shown_rip == rip)
        return false;
    for (uint32_t i = 0; i < g->n_breakpoints; i++)
        if (g->breakpoint[i] == rip)
            return true;
    return false;
}

uint64_t exec_gdb_runs(struct exec_gdb *g, struct exec_cpu *c)
{
    uint32_t tid = tid_on(c);
    if (g->link.fd >= 0 && !g->has_begun) { /* before the first instruction */
        g->has_begun = true;
        g->tid = tid;
        serve(g);
    } else if (g->link.fd >= 0 && is_at_breakpoint(g, c)) {
        stopped_by(g, c, SIGTRAP, "swbreak:;");
    }
    if (g->shown_tid == tid)
        g->shown_tid = 0;
    if (g->link.fd < 0)
        hang_up(g);
    c->x86.breakpoints = g->breakpoint;
    c->x86.n_breakpoints = g->n_breakpoints;
    if (g->link.fd < 0)
        return 0;
    return g->step_tid == tid ? 1 : STRIDE;
}

static int signal_of(const struct x86_fault *f)
{
    return f->vector == X86_DE || f->vector == X86_MF ? SIGFPE : f->vector == X86_UD ? SIGILL : SIGSEGV;
}

void exec_gdb_ran(struct exec_gdb *g, struct exec_cpu *c, enum x86_stop stop)
{
    if (g->link.fd < 0)
        return;
    if (stop == X86_STOP_BREAKPOINT)
        stopped_by(g, c, SIGTRAP, "swbreak:;");
    else if (stop == X86_STOP_FAULT || stop == X86_STOP_SHUTDOWN)
        stopped_by(g, c, signal_of(&c->x86.fault), "");
    else if (stop == X86_STOP_UNSUPPORTED && g->x->bare)
        stopped_by(g, c, SIGILL, "");
    else if (g->step_tid == tid_on(c))
        stopped_by(g, c, SIGTRAP, "");
    else if (wants_interrupt(g))
        stopped_by(g, c, SIGINT, "");
}

/* ---- the connection ---- */

struct exec_gdb *exec_gdb_new(struct exec *x, const char *where, struct diag *d)
{
    int at = gdb_listen(where, d), one = 1;
    if (at < 0)
        return NULL;
    dprintf(STDERR_FILENO, "quire: waiting for gdb: target remote %s%s\n", strchr(where, ':') ? "" : ":",
            strchr(where, ':') ? where + 5 : where);
    struct exec_gdb *g = xcalloc(1, sizeof *g);
    g->x = x;
    g->link.fd = accept(at, NULL, NULL);
    close(at);
    if (strncmp(where, "unix:", 5) == 0)
        unlink(where + 5);
    if (g->link.fd < 0) {
        fail(d, "--gdb: %s: %s", where, strerror(errno));
        free(g);
        return NULL;
    }
    setsockopt(g->link.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return g;
}

void exec_gdb_free(struct exec_gdb *g)
{
    if (g->link.fd >= 0) {
        snprintf(g->link.out, sizeof g->link.out, "W%02x", (unsigned)g->x->status & 0xff);
        gdb_reply(&g->link, g->link.out);
    }
    /* What gdb has sent is read: closing before would take the last packet back. */
    struct pollfd p = {.fd = g->link.fd, .events = POLLIN};
    if (g->link.fd >= 0)
        shutdown(g->link.fd, SHUT_WR);
    while (g->link.fd >= 0 && poll(&p, 1, 1000) > 0 && gdb_byte(&g->link) >= 0)
        ;
    hang_up(g);
    free(g);
}

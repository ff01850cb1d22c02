/* SPDX-License-Identifier: MIT */
#include "sim/guest/exec_gdb.h"

#include "sim/guest/exec_debug.h"
#include "sim/guest/exec_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PACKET          4096u
#define MAX_BREAKPOINTS 64u
/* Instructions between two looks at whether gdb wants to interrupt. */
#define STRIDE 1000000u

struct exec_gdb {
    struct exec *x;
    int fd; /* -1: gdb is gone, the program runs on */
    uint32_t n_breakpoints;
    uint64_t breakpoint[MAX_BREAKPOINTS];
    uint32_t step_tid; /* that is single-stepped; 0: none */
    uint32_t tid;      /* that register packets are about */
    bool has_begun;
    char in[PACKET];
    char out[2 * PACKET];
};

/* ---- packets ---- */

static void hang_up(struct exec_gdb *g)
{
    if (g->fd >= 0)
        close(g->fd);
    g->fd = -1;
    g->n_breakpoints = 0;
    g->step_tid = 0;
}

static int read_byte(struct exec_gdb *g)
{
    uint8_t c;
    ssize_t n = g->fd < 0 ? 0 : read(g->fd, &c, 1);
    if (n == 1)
        return c;
    hang_up(g);
    return -1;
}

static void write_all(struct exec_gdb *g, const char *p, size_t n)
{
    while (n && g->fd >= 0) {
        ssize_t put = send(g->fd, p, n, MSG_NOSIGNAL);
        if (put <= 0) {
            hang_up(g);
            return;
        }
        p += put;
        n -= (size_t)put;
    }
}

/* The next packet's text into g->in. False: the connection has ended. */
static bool receive(struct exec_gdb *g)
{
    for (;;) {
        int c = read_byte(g);
        if (c < 0)
            return false;
        if (c == 3) { /* interrupt: gdb has control already */
            continue;
        }
        if (c != '$')
            continue;
        size_t n = 0;
        while ((c = read_byte(g)) >= 0 && c != '#')
            if (n + 1 < sizeof g->in)
                g->in[n++] = (char)c;
        g->in[n] = 0;
        if (read_byte(g) < 0 || read_byte(g) < 0) /* the sum: the transport does not lose bytes */
            return false;
        write_all(g, "+", 1);
        return true;
    }
}

static void reply(struct exec_gdb *g, const char *text)
{
    uint8_t sum = 0;
    char tail[4];
    for (const char *p = text; *p; p++)
        sum = (uint8_t)(sum + (uint8_t)*p);
    snprintf(tail, sizeof tail, "#%02x", sum);
    write_all(g, "$", 1);
    write_all(g, text, strlen(text));
    write_all(g, tail, 3);
}

static char *put_hex(char *to, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to += sprintf(to, "%02x", ((const uint8_t *)bytes)[i]);
    return to;
}

static size_t take_hex(const char *p, uint8_t *to, size_t max)
{
    size_t n = 0;
    unsigned byte;
    while (n < max && sscanf(p + 2 * n, "%2x", &byte) == 1 && p[2 * n + 1])
        to[n++] = (uint8_t)byte;
    return n;
}

/* ---- registers, in the order of gdb's amd64 description ---- */

static const uint8_t order[16] = {X86_RAX, X86_RBX, X86_RCX, X86_RDX, X86_RSI, X86_RDI, X86_RBP, X86_RSP,
                                  X86_R8,  X86_R9,  X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15};

static struct thread *thread_at(const struct exec *x, uint32_t tid)
{
    for (uint32_t i = 0; i < x->n_threads; i++)
        if (x->thread[i]->tid == tid)
            return x->thread[i];
    return x->n_threads ? x->thread[0] : NULL;
}

static uint32_t flags_of(struct thread *t)
{
    struct x86_cpu fake = {.state = *thread_regs(t)};
    return (uint32_t)x86_rflags(&fake);
}

static void read_registers(struct exec_gdb *g)
{
    struct thread *t = thread_at(g->x, g->tid);
    char *to = g->out;
    if (!t) {
        reply(g, "E01");
        return;
    }
    const struct x86_state *s = thread_regs(t);
    uint32_t flags = flags_of(t), zero[8] = {0};
    for (uint32_t i = 0; i < 16; i++)
        to = put_hex(to, &s->gpr[order[i]], 8);
    to = put_hex(to, &s->rip, 8);
    to = put_hex(to, &flags, 4);
    const uint32_t segs[6] = {s->seg[X86_CS].selector, s->seg[X86_SS].selector, s->seg[X86_DS].selector,
                              s->seg[X86_ES].selector, s->seg[X86_FS].selector, s->seg[X86_GS].selector};
    to = put_hex(to, segs, sizeof segs);
    uint32_t top = s->x87.sw >> 11 & 7;
    for (uint32_t i = 0; i < 8; i++)
        to = put_hex(to, &s->x87.r[(top + i) & 7], 10);
    zero[0] = s->x87.cw;
    zero[1] = s->x87.sw;
    zero[2] = s->x87.tw;
    to = put_hex(to, zero, sizeof zero);
    to = put_hex(to, s->xmm, sizeof s->xmm);
    put_hex(to, &s->mxcsr, 4);
    reply(g, g->out);
}

/* P n=value: general registers and the program counter. */
static void write_register(struct exec_gdb *g)
{
    struct thread *t = thread_at(g->x, g->tid);
    unsigned n;
    uint64_t value = 0;
    const char *eq = strchr(g->in, '=');
    if (!t || !eq || sscanf(g->in + 1, "%x", &n) != 1 || n > 16 || take_hex(eq + 1, (uint8_t *)&value, 8) != 8) {
        reply(g, "E01");
        return;
    }
    struct x86_state *s = thread_regs(t);
    if (n == 16)
        s->rip = value;
    else
        s->gpr[order[n]] = value;
    reply(g, "OK");
}

/* ---- memory ---- */

/* The processor that the thread runs on, or any that is in its process's memory. */
static struct exec_cpu *cpu_of(struct exec_gdb *g)
{
    struct thread *t = thread_at(g->x, g->tid);
    if (t && t->state == THREAD_RUNNING)
        return thread_cpu(t);
    for (uint32_t i = 0; i < g->x->vm->n_vcpus; i++)
        if (t && g->x->cpu[i].space == &t->process->space)
            return &g->x->cpu[i];
    return NULL;
}

static void read_memory(struct exec_gdb *g)
{
    unsigned long long at, n;
    uint8_t bytes[PACKET / 2];
    struct exec_cpu *c = cpu_of(g);
    if (sscanf(g->in + 1, "%llx,%llx", &at, &n) != 2 || !c) {
        reply(g, "E01");
        return;
    }
    uint64_t got = exec_peek(c, at, bytes, min_u64(n, sizeof bytes));
    put_hex(g->out, bytes, got);
    reply(g, got || !n ? g->out : "E0e");
}

static void write_memory(struct exec_gdb *g)
{
    unsigned long long at, n;
    uint8_t bytes[PACKET / 2];
    struct diag d = {0};
    const char *colon = strchr(g->in, ':');
    struct thread *t = thread_at(g->x, g->tid);
    bool fine = t && colon && sscanf(g->in + 1, "%llx,%llx", &at, &n) == 2 && n <= sizeof bytes &&
                take_hex(colon + 1, bytes, n) == n;
    struct vcpu *v = t && t->vcpu ? t->vcpu : &g->x->vm->vcpu[0];
    reply(g, fine && exec_fill(t->process, v, at, bytes, n, &d) == 0 ? "OK" : "E0e");
}

/* ---- breakpoints ---- */

static void breakpoint(struct exec_gdb *g)
{
    unsigned long long at;
    uint32_t i = 0;
    if (g->in[1] != '0' && g->in[1] != '1') { /* watchpoints: gdb steps instead */
        reply(g, "");
        return;
    }
    if (sscanf(g->in + 2, ",%llx", &at) != 1) {
        reply(g, "E01");
        return;
    }
    while (i < g->n_breakpoints && g->breakpoint[i] != at)
        i++;
    if (g->in[0] == 'z' && i < g->n_breakpoints)
        g->breakpoint[i] = g->breakpoint[--g->n_breakpoints];
    else if (g->in[0] == 'Z' && i == g->n_breakpoints) {
        if (i == MAX_BREAKPOINTS) {
            reply(g, "E1c");
            return;
        }
        g->breakpoint[g->n_breakpoints++] = at;
    }
    reply(g, "OK");
}

/* ---- queries ---- */

static void list_threads(struct exec_gdb *g)
{
    char *to = g->out;
    *to++ = 'm';
    for (uint32_t i = 0; i < g->x->n_threads && to < g->out + PACKET; i++)
        to += sprintf(to, "%s%x", i ? "," : "", g->x->thread[i]->tid);
    reply(g, g->out);
}

static void query(struct exec_gdb *g)
{
    if (strncmp(g->in, "qSupported", 10) == 0)
        reply(g, "PacketSize=1000;swbreak+;vContSupported+");
    else if (strcmp(g->in, "qfThreadInfo") == 0)
        list_threads(g);
    else if (strcmp(g->in, "qsThreadInfo") == 0)
        reply(g, "l");
    else if (strncmp(g->in, "qAttached", 9) == 0)
        reply(g, "0");
    else if (strcmp(g->in, "qC") == 0) {
        snprintf(g->out, sizeof g->out, "QC%x", g->tid);
        reply(g, g->out);
    } else
        reply(g, "");
}

static void select_thread(struct exec_gdb *g)
{
    long tid = strtol(g->in + 2, NULL, 16);
    if (tid > 0)
        g->tid = (uint32_t)tid;
    reply(g, "OK");
}

/* c, s, vCont;...: true if the program goes on. */
static bool go_on(struct exec_gdb *g)
{
    const char *p = g->in;
    if (strcmp(p, "vCont?") == 0) {
        reply(g, "vCont;c;C;s;S");
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
    while (receive(g)) {
        switch (g->in[0]) {
        case '?':
            snprintf(g->out, sizeof g->out, "T%02xthread:%x;", SIGTRAP, g->tid);
            reply(g, g->out);
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
            reply(g, thread_at(g->x, (uint32_t)strtol(g->in + 1, NULL, 16)) ? "OK" : "E01");
            break;
        case 'c':
        case 's':
        case 'C':
        case 'S':
            if (go_on(g))
                return;
            break;
        case 'v':
            if (strncmp(g->in, "vCont", 5) != 0)
                reply(g, "");
            else if (go_on(g))
                return;
            break;
        case 'D':
            reply(g, "OK");
            hang_up(g);
            return;
        case 'k':
            g->x->is_over = true;
            g->x->status = 128 + SIGKILL;
            hang_up(g);
            return;
        default:
            reply(g, "");
        }
    }
}

static void stopped_by(struct exec_gdb *g, const struct thread *t, int signal, const char *why)
{
    g->tid = t->tid;
    g->step_tid = 0;
    snprintf(g->out, sizeof g->out, "T%02xthread:%x;%s", signal, t->tid, why);
    reply(g, g->out);
    serve(g);
}

/* ---- around a run ---- */

static bool wants_interrupt(struct exec_gdb *g)
{
    struct pollfd p = {.fd = g->fd, .events = POLLIN};
    return g->fd >= 0 && poll(&p, 1, 0) > 0 && read_byte(g) == 3;
}

uint64_t exec_gdb_runs(struct exec_gdb *g, struct exec_cpu *c)
{
    if (g->fd >= 0 && !g->has_begun) { /* before the first instruction */
        g->has_begun = true;
        g->tid = c->thread->tid;
        serve(g);
    }
    c->x86.breakpoints = g->breakpoint;
    c->x86.n_breakpoints = g->n_breakpoints;
    if (g->fd < 0)
        return 0;
    return g->step_tid == c->thread->tid ? 1 : STRIDE;
}

void exec_gdb_ran(struct exec_gdb *g, struct exec_cpu *c, enum x86_stop stop)
{
    struct thread *t = c->thread;
    if (g->fd < 0)
        return;
    if (stop == X86_STOP_BREAKPOINT)
        stopped_by(g, t, SIGTRAP, "swbreak:;");
    else if (stop == X86_STOP_FAULT)
        stopped_by(g, t,
                   c->x86.fault.vector == X86_DE || c->x86.fault.vector == X86_MF ? SIGFPE
                   : c->x86.fault.vector == X86_UD                                ? SIGILL
                                                                                  : SIGSEGV,
                   "");
    else if (g->step_tid == t->tid)
        stopped_by(g, t, SIGTRAP, "");
    else if (wants_interrupt(g))
        stopped_by(g, t, SIGINT, "");
}

/* ---- the connection ---- */

static int listen_at(const char *where, struct diag *d)
{
    int fd, one = 1, bad;
    if (strncmp(where, "unix:", 5) == 0) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        if (strlen(where + 5) >= sizeof a.sun_path)
            return fail(d, "--gdb: %s is too long for a socket", where);
        memcpy(a.sun_path, where + 5, strlen(where + 5));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bad = fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof a);
    } else {
        char *end;
        unsigned long port = strtoul(where, &end, 10);
        if (*end || port == 0 || port > 65535)
            return fail(d, "--gdb: found '%s', expected a port or unix:PATH", where);
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0)
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        bad = fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof a);
    }
    if (!bad && listen(fd, 1) == 0)
        return fd;
    fail(d, "--gdb: %s: %s", where, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

struct exec_gdb *exec_gdb_new(struct exec *x, const char *where, struct diag *d)
{
    int at = listen_at(where, d), one = 1;
    if (at < 0)
        return NULL;
    dprintf(STDERR_FILENO, "quire: waiting for gdb: target remote %s%s\n", strchr(where, ':') ? "" : ":",
            strchr(where, ':') ? where + 5 : where);
    struct exec_gdb *g = xcalloc(1, sizeof *g);
    g->x = x;
    g->fd = accept(at, NULL, NULL);
    close(at);
    if (strncmp(where, "unix:", 5) == 0)
        unlink(where + 5);
    if (g->fd < 0) {
        fail(d, "--gdb: %s: %s", where, strerror(errno));
        free(g);
        return NULL;
    }
    setsockopt(g->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return g;
}

void exec_gdb_free(struct exec_gdb *g)
{
    if (g->fd >= 0) {
        snprintf(g->out, sizeof g->out, "W%02x", (unsigned)g->x->status & 0xff);
        reply(g, g->out);
    }
    /* What gdb has sent is read: closing before would take the last packet back. */
    struct pollfd p = {.fd = g->fd, .events = POLLIN};
    if (g->fd >= 0)
        shutdown(g->fd, SHUT_WR);
    while (g->fd >= 0 && poll(&p, 1, 1000) > 0 && read_byte(g) >= 0)
        ;
    hang_up(g);
    free(g);
}

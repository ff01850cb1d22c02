/* SPDX-License-Identifier: MIT */
/* Signals: actions, masks, frames on the program's stack as Linux lays them out for x86-64, and the report of a program
 * that one ends. */
#include "sim/guest/linux_int.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIT(signal)      (1ull << ((signal)-1))
#define ALWAYS           (BIT(SIGKILL) | BIT(SIGSTOP)) /* neither blocked nor caught */
#define ALTSTACK_MIN     2048u                         /* MINSIGSTKSZ of its ABI */
#define HANDLER_RESTORER 0x04000000u                   /* SA_RESTORER */

/* ---- the frame (Linux, arch/x86/include/uapi/asm/{sigcontext,ucontext,siginfo}.h) ---- */

struct sigcontext_64 {
    uint64_t gpr[16]; /* in register_order */
    uint64_t ip, flags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
};
struct signal_frame {
    uint64_t pretcode;
    struct {
        uint64_t flags, link;
        uint64_t stack_sp, stack_flags, stack_size;
        struct sigcontext_64 regs;
        uint64_t mask;
    } uc;
    struct {
        int32_t signo, error, code, pad;
        uint64_t address;
        uint64_t rest[13];
    } info;
};
_Static_assert(sizeof(((struct signal_frame *)0)->info) == 128, "siginfo is 128 bytes");

static const uint8_t register_order[] = {X86_R8,  X86_R9,  X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
                                         X86_RDI, X86_RSI, X86_RBP, X86_RBX, X86_RDX, X86_RAX, X86_RCX, X86_RSP};

/* A signal on its way to a handler. */
struct delivery {
    int signal, code;
    uint64_t address, error_code, trap;
};

static bool on_altstack(const struct linux_thread *os, uint64_t sp)
{
    return sp - os->altstack - 1 < os->altstack_bytes; /* its end is on it, for stacks grow downwards */
}

static void fill_frame(struct thread *t, const struct x86_state *s, const struct delivery *d, uint64_t fpstate,
                       struct signal_frame *f)
{
    const struct linux_thread *os = t->os;
    const struct action *act = &os_of(t)->action[d->signal];
    *f = (struct signal_frame){.pretcode = act->restorer};
    for (uint32_t i = 0; i < N_ELEMS(register_order); i++)
        f->uc.regs.gpr[i] = s->gpr[register_order[i]];
    f->uc.stack_sp = os->altstack;
    f->uc.stack_size = os->altstack_bytes;
    f->uc.stack_flags = os->altstack_bytes ? 0 : SS_DISABLE;
    f->uc.regs.ip = s->rip;
    f->uc.regs.flags = x86_rflags(&thread_cpu(t)->x86);
    f->uc.regs.cs = s->seg[X86_CS].selector;
    f->uc.regs.ss = s->seg[X86_SS].selector;
    f->uc.regs.err = d->error_code;
    f->uc.regs.trapno = d->trap;
    f->uc.regs.cr2 = d->address;
    f->uc.regs.oldmask = f->uc.mask = os->has_saved_blocked ? os->saved_blocked : os->blocked;
    f->uc.regs.fpstate = fpstate;
    f->info.signo = d->signal;
    f->info.code = d->code;
    f->info.address = d->address;
}

/* A handler begins with the floating-point state of a new program (Linux, handle_signal()): what faulted in the old one
 * does not fault again. */
static void reset_fp(struct x86_state *s)
{
    s->mxcsr = 0x1f80;
    s->x87 = (struct x86_x87){.cw = 0x37f, .tw = 0xffff};
    memset(s->xmm, 0, sizeof s->xmm);
}

/* The handler runs next. -1: there is no stack for it. */
static int enter_handler(struct thread *t, const struct delivery *d)
{
    struct x86_state *s = thread_regs(t);
    struct linux_thread *os = t->os;
    const struct action *act = &os_of(t)->action[d->signal];
    uint8_t fx[512] = {0};
    struct signal_frame f;
    uint64_t sp = s->gpr[X86_RSP] - 128; /* the red zone stays */
    if (act->flags & SA_ONSTACK && os->altstack_bytes && !on_altstack(os, s->gpr[X86_RSP]))
        sp = os->altstack + os->altstack_bytes;
    uint64_t fpstate = (sp - sizeof fx) & ~63ull, at = ((fpstate - sizeof f) & ~15ull) - 8;
    x86_fx_save(s, true, fx);
    fill_frame(t, s, d, fpstate, &f);
    if (exec_copy_out(t, fpstate, fx, sizeof fx) || exec_copy_out(t, at, &f, sizeof f))
        return -1;
    reset_fp(s);
    s->gpr[X86_RSP] = at;
    s->gpr[X86_RDI] = (uint64_t)d->signal;
    s->gpr[X86_RSI] = at + offsetof(struct signal_frame, info);
    s->gpr[X86_RDX] = at + offsetof(struct signal_frame, uc);
    s->gpr[X86_RAX] = 0;
    s->rip = act->handler;
    x86_set_rflags(&thread_cpu(t)->x86, x86_rflags(&thread_cpu(t)->x86) & ~(uint64_t)(X86_DF | X86_TF | X86_RF));
    os->has_saved_blocked = false;
    os->blocked |= act->mask | (act->flags & SA_NODEFER ? 0 : BIT(d->signal));
    os->blocked &= ~ALWAYS;
    if (act->flags & SA_RESETHAND)
        os_of(t)->action[d->signal] = (struct action){0};
    t->process->x->stats.signals++;
    return 0;
}

static int64_t sys_rt_sigreturn(struct thread *t, const uint64_t a[6])
{
    struct x86_state *s = thread_regs(t);
    struct linux_thread *os = t->os;
    struct signal_frame f;
    uint8_t fx[512];
    (void)a;
    /* The handler's RET took pretcode off the stack. */
    bool bad = exec_copy_in(t, s->gpr[X86_RSP] - 8, &f, sizeof f) ||
               (f.uc.regs.fpstate && (exec_copy_in(t, f.uc.regs.fpstate, fx, sizeof fx) || x86_fx_load(s, true, fx)));
    if (bad || f.uc.regs.ip >= SPACE_TOP) {
        process_end(t->process, SIGSEGV, t->vcpu);
        return SYS_NONE;
    }
    for (uint32_t i = 0; i < N_ELEMS(register_order); i++)
        s->gpr[register_order[i]] = f.uc.regs.gpr[i];
    s->rip = f.uc.regs.ip;
    x86_set_rflags(&thread_cpu(t)->x86, f.uc.regs.flags | X86_IF);
    os->blocked = f.uc.mask & ~ALWAYS;
    return SYS_NONE;
}

/* ---- ends ---- */

static const char *const names[] = {
    [SIGHUP] = "SIGHUP",   [SIGINT] = "SIGINT",   [SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL",   [SIGTRAP] = "SIGTRAP",
    [SIGABRT] = "SIGABRT", [SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",   [SIGKILL] = "SIGKILL", [SIGUSR1] = "SIGUSR1",
    [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2", [SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM", [SIGTERM] = "SIGTERM"};

static void put_place(FILE *f, const struct elf *e, const char *what, uint64_t address)
{
    uint64_t offset = 0;
    const struct elf_symbol *s = elf_symbol_at(e, address, &offset);
    fprintf(f, "quire:   %s %016llx", what, (unsigned long long)address);
    if (s)
        fprintf(f, "  %s+0x%llx", s->name, (unsigned long long)offset);
    fputc('\n', f);
}

/* What a kernel's log would say, on the program's standard error: where, registers, who called. */
static void report_end(struct thread *t, const struct delivery *d, const char *why)
{
    static const char *const regs[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    const struct x86_state *s = thread_regs(t);
    const struct linux_process *os = os_of(t);
    const char *name = d->signal < (int)N_ELEMS(names) ? names[d->signal] : NULL;
    if (!t->process->x->conf.console)
        return;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    fprintf(f, "quire: %s (process %u, thread %u) ends by signal %d%s%s: %s\n", os->name, t->process->pid, t->tid,
            d->signal, name ? " " : "", name ? name : "", why);
    put_place(f, os->image, "rip", s->rip);
    for (uint32_t i = 0; i < 16; i++)
        fprintf(f, "%s%-3s %016llx%s", i % 4 ? "  " : "quire:   ", regs[i], (unsigned long long)s->gpr[i],
                i % 4 == 3 ? "\n" : "");
    uint64_t frame = s->gpr[X86_RBP], link[2];
    for (uint32_t i = 0; i < 8 && frame && exec_copy_in(t, frame, link, sizeof link) == 0; i++) {
        put_place(f, os->image, "from", link[1]);
        if (link[0] <= frame)
            break;
        frame = link[0];
    }
    fclose(f);
    for (size_t at = 0; at < len;) {
        ssize_t n = write(STDERR_FILENO, text + at, len - at);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    free(text);
}

static bool is_ignored_by_default(int signal)
{
    return signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH || signal == SIGSTOP ||
           signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

static bool is_ignored(const struct linux_process *os, int signal)
{
    uint64_t handler = os->action[signal].handler;
    return handler == 1 || (handler == 0 && is_ignored_by_default(signal));
}

/* To its handler, or the process ends. */
static void deliver(struct thread *t, const struct delivery *d, const char *why)
{
    struct linux_process *os = os_of(t);
    uint64_t handler = os->action[d->signal].handler;
    if (handler > 1 && enter_handler(t, d) == 0)
        return;
    struct delivery end = *d;
    if (handler > 1) {
        end.signal = SIGSEGV;
        why = "no stack for its signal handler";
    }
    if (why)
        report_end(t, &end, why);
    process_end(t->process, end.signal, t->vcpu);
}

void signal_thread(struct thread *t, int signal)
{
    struct linux_thread *os = t->os;
    struct linux_process *p = os_of(t);
    if (is_ignored(p, signal))
        return;
    os->pending |= BIT(signal);
    if (!(os->blocked & BIT(signal)))
        thread_interrupt(t, -EINTR, p->action[signal].flags & SA_RESTART);
}

void signal_process(struct process *p, int signal)
{
    struct exec *x = p->x;
    struct thread *to = NULL;
    for (uint32_t i = 0; i < x->n_threads; i++) {
        struct thread *t = x->thread[i];
        const struct linux_thread *os = t->os;
        if (t->process == p && os && (!to || !(os->blocked & BIT(signal)))) {
            to = t;
            if (!(os->blocked & BIT(signal)))
                break;
        }
    }
    if (to)
        signal_thread(to, signal);
}

void linux_resume(struct thread *t)
{
    struct linux_thread *os = t->os;
    uint64_t due = os->pending & ~os->blocked;
    if (likely(!due))
        return;
    int signal = __builtin_ctzll(due) + 1;
    os->pending &= ~BIT(signal);
    struct delivery d = {.signal = signal, .code = SI_USER};
    static const char why[] = "sent to it, and it has no handler";
    deliver(t, &d, signal == SIGPIPE || signal == SIGTERM || signal == SIGKILL || signal == SIGINT ? NULL : why);
}

/* ---- faults ---- */

/* si_code of a floating-point exception; raised: its unmasked flags, alike in both status words (Linux,
 * fpu__exception_code()). */
static int fp_code(uint32_t raised)
{
    return raised & 1      ? FPE_FLTINV
           : raised & 4    ? FPE_FLTDIV
           : raised & 8    ? FPE_FLTOVF
           : raised & 0x12 ? FPE_FLTUND
           : raised & 0x20 ? FPE_FLTRES
                           : 0;
}

void linux_fault(struct thread *t, const struct x86_fault *f)
{
    static const struct {
        uint8_t vector;
        int signal, code;
        const char *why;
    } map[] = {
        {X86_DE, SIGFPE, FPE_INTDIV, "division by zero or overflow"},
        {X86_DB, SIGTRAP, TRAP_TRACE, "debug trap"},
        {X86_BP, SIGTRAP, SI_KERNEL, "breakpoint instruction"},
        {X86_UD, SIGILL, ILL_ILLOPN, "invalid instruction"},
        {X86_MF, SIGFPE, FPE_FLTINV, "x87 exception"},
        {X86_XM, SIGFPE, FPE_FLTINV, "SSE exception"},
        {X86_AC_FAULT, SIGBUS, BUS_ADRALN, "unaligned access"},
        {X86_SS_FAULT, SIGBUS, SI_KERNEL, "stack address that is not canonical"},
    };
    struct linux_thread *os = t->os;
    struct delivery d = {.signal = SIGSEGV, .code = SI_KERNEL, .error_code = f->error_code, .trap = f->vector};
    const char *why = "general protection";
    char text[96];
    for (uint32_t i = 0; i < N_ELEMS(map); i++)
        if (map[i].vector == f->vector) {
            d.signal = map[i].signal;
            d.code = map[i].code;
            why = map[i].why;
        }
    if (f->vector == X86_PF_FAULT) {
        d.address = f->cr2;
        d.code = space_at(&t->process->space, f->cr2) ? SEGV_ACCERR : SEGV_MAPERR;
        snprintf(text, sizeof text, "%s of %llx, %s",
                 f->error_code & X86_PFEC_I   ? "execution"
                 : f->error_code & X86_PFEC_W ? "write"
                                              : "read",
                 (unsigned long long)f->cr2,
                 space_at(&t->process->space, f->cr2) ? "which may not be" : "where nothing is mapped");
        why = text;
    } else if (f->vector != X86_BP) {
        const struct x86_state *s = thread_regs(t);
        if (f->vector == X86_MF)
            d.code = fp_code(s->x87.sw & ~(uint32_t)s->x87.cw);
        else if (f->vector == X86_XM)
            d.code = fp_code(s->mxcsr & ~(s->mxcsr >> 7));
        d.address = f->vector == X86_GP ? 0 : thread_regs(t)->rip;
    }
    if (os->blocked & BIT(d.signal)) /* a blocked fault cannot wait */
        os_of(t)->action[d.signal] = (struct action){0};
    deliver(t, &d, why);
}

void linux_unsupported(struct thread *t, const uint8_t *bytes, uint32_t n)
{
    struct delivery d = {.signal = SIGILL, .code = ILL_ILLOPN, .address = thread_regs(t)->rip};
    char why[96];
    int len = snprintf(why, sizeof why, "an instruction that quire does not have:");
    for (uint32_t i = 0; i < n && len < (int)sizeof why - 4; i++)
        len += snprintf(why + len, sizeof why - (size_t)len, " %02x", bytes[i]);
    deliver(t, &d, why);
}

/* ---- system calls ---- */

void signals_reset(struct linux_process *os)
{
    for (uint32_t i = 0; i < N_SIGNALS; i++)
        if (os->action[i].handler != 1)
            os->action[i] = (struct action){0};
}

static int64_t sys_rt_sigaction(struct thread *t, const uint64_t a[6])
{
    struct linux_process *os = os_of(t);
    struct action act;
    if (a[0] == 0 || a[0] >= N_SIGNALS)
        return -EINVAL;
    struct action *old = &os->action[a[0]];
    if (a[1] && exec_copy_in(t, a[1], &act, sizeof act))
        return -EFAULT;
    if (a[2] && exec_copy_out(t, a[2], old, sizeof *old))
        return -EFAULT;
    if (!a[1])
        return 0;
    if (BIT(a[0]) & ALWAYS)
        return -EINVAL;
    *old = act;
    return 0;
}

static int64_t sys_rt_sigprocmask(struct thread *t, const uint64_t a[6])
{
    struct linux_thread *os = t->os;
    uint64_t set, old = os->blocked;
    if (a[1]) {
        if (exec_copy_in(t, a[1], &set, sizeof set))
            return -EFAULT;
        if (a[0] > SIG_SETMASK)
            return -EINVAL;
        os->blocked = a[0] == SIG_BLOCK ? old | set : a[0] == SIG_UNBLOCK ? old & ~set : set;
        os->blocked &= ~ALWAYS;
    }
    return a[2] && exec_copy_out(t, a[2], &old, sizeof old) ? -EFAULT : 0;
}

static int64_t sys_rt_sigpending(struct thread *t, const uint64_t a[6])
{
    const struct linux_thread *os = t->os;
    return exec_copy_out(t, a[0], &os->pending, 8) ? -EFAULT : 0;
}

/* A key that nobody wakes: only a signal ends the wait. */
static int64_t wait_for_signal(struct thread *t)
{
    thread_wait(t, 7ull << 61 | t->tid, UINT64_MAX, -EINTR, -EINTR);
    return SYS_NONE;
}

static int64_t sys_rt_sigsuspend(struct thread *t, const uint64_t a[6])
{
    struct linux_thread *os = t->os;
    uint64_t set;
    if (exec_copy_in(t, a[0], &set, sizeof set))
        return -EFAULT;
    os->saved_blocked = os->blocked;
    os->has_saved_blocked = true;
    os->blocked = set & ~ALWAYS;
    return os->pending & ~os->blocked ? -EINTR : wait_for_signal(t);
}

static int64_t sys_pause(struct thread *t, const uint64_t a[6])
{
    (void)a;
    return wait_for_signal(t);
}

static int64_t sys_sigaltstack(struct thread *t, const uint64_t a[6])
{
    struct linux_thread *os = t->os;
    bool is_on = on_altstack(os, thread_regs(t)->gpr[X86_RSP]);
    uint64_t s[3], old[3] = {os->altstack,
                             !os->altstack_bytes ? SS_DISABLE
                             : is_on             ? SS_ONSTACK
                                                 : 0,
                             os->altstack_bytes};
    if (a[1] && exec_copy_out(t, a[1], old, sizeof old))
        return -EFAULT;
    if (!a[0])
        return 0;
    if (exec_copy_in(t, a[0], s, sizeof s))
        return -EFAULT;
    uint32_t flags = (uint32_t)s[1];
    if (is_on)
        return -EPERM;
    if (flags & ~(uint32_t)(SS_DISABLE | SS_ONSTACK))
        return -EINVAL;
    if (!(flags & SS_DISABLE) && s[2] < ALTSTACK_MIN)
        return -ENOMEM;
    os->altstack = flags & SS_DISABLE ? 0 : s[0];
    os->altstack_bytes = flags & SS_DISABLE ? 0 : s[2];
    return 0;
}

static int64_t send(struct exec *x, struct process *p, struct thread *t, uint64_t signal)
{
    (void)x;
    if (signal >= N_SIGNALS)
        return -EINVAL;
    if (!p && !t)
        return -ESRCH;
    if (signal && t)
        signal_thread(t, (int)signal);
    else if (signal && !p->is_dead)
        signal_process(p, (int)signal);
    return 0;
}

static int64_t sys_kill(struct thread *t, const uint64_t a[6])
{
    struct exec *x = t->process->x;
    int32_t pid = (int32_t)a[0];
    return send(x, pid > 0 ? process_find(x, (uint32_t)pid) : t->process, NULL, a[1]);
}

static struct thread *thread_find(const struct exec *x, uint64_t tid)
{
    for (uint32_t i = 0; i < x->n_threads; i++)
        if (x->thread[i]->tid == tid)
            return x->thread[i];
    return NULL;
}

static int64_t sys_tkill(struct thread *t, const uint64_t a[6])
{
    struct exec *x = t->process->x;
    return send(x, NULL, thread_find(x, a[0]), a[1]);
}
static int64_t sys_tgkill(struct thread *t, const uint64_t a[6])
{
    struct exec *x = t->process->x;
    struct thread *to = thread_find(x, a[1]);
    return send(x, NULL, to && to->process->pid == a[0] ? to : NULL, a[2]);
}

const struct syscall linux_signal_calls[] = {
    {13, "rt_sigaction", sys_rt_sigaction},
    {14, "rt_sigprocmask", sys_rt_sigprocmask},
    {15, "rt_sigreturn", sys_rt_sigreturn},
    {34, "pause", sys_pause},
    {62, "kill", sys_kill},
    {127, "rt_sigpending", sys_rt_sigpending},
    {130, "rt_sigsuspend", sys_rt_sigsuspend},
    {131, "sigaltstack", sys_sigaltstack},
    {200, "tkill", sys_tkill},
    {234, "tgkill", sys_tgkill},
    {0, NULL, NULL},
};

/* SPDX-License-Identifier: MIT */
/* Signals on an alternate stack: an overflowing stack, faults of all kinds, nested and masked handlers, registers that
 * a handler changes, floating-point registers across one. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
static sigjmp_buf back;
static volatile sig_atomic_t depth, count;
static char *alt;
static size_t alt_n = 65536;
static int on_alt(void)
{
    char c;
    return (uintptr_t)&c >= (uintptr_t)alt && (uintptr_t)&c < (uintptr_t)alt + alt_n;
}
static void segv(int s, siginfo_t *i, void *u)
{
    ucontext_t *c = u;
    printf("segv sig %d code %d on_alt %d ss_flags %d err %llx trap %lld\n", s, i->si_code, on_alt(),
           c->uc_stack.ss_flags, (long long)c->uc_mcontext.gregs[REG_ERR] & 0x16,
           (long long)c->uc_mcontext.gregs[REG_TRAPNO]);
    siglongjmp(back, 1);
}
static int __attribute__((noinline)) overflow(int n)
{
    volatile char a[4096];
    a[0] = (char)n;
    return n > 100000000 ? 0 : overflow(n + 1) + a[0];
}
static void nested(int s, siginfo_t *i, void *u)
{
    (void)i;
    (void)u;
    sigset_t m;
    sigprocmask(SIG_BLOCK, NULL, &m);
    depth++;
    count++;
    printf("enter %d depth %d blocked usr1 %d usr2 %d\n", s, (int)depth, sigismember(&m, SIGUSR1),
           sigismember(&m, SIGUSR2));
    if (count < 4)
        raise(s == SIGUSR1 ? SIGUSR2 : SIGUSR1);
    printf("leave %d\n", s);
    depth--;
}
static void once(int s)
{
    printf("once %d\n", s);
}
static void skip(int s, siginfo_t *i, void *u)
{
    ucontext_t *c = u;
    printf("ill %d code %d addr ok %d\n", s, i->si_code,
           (uintptr_t)i->si_addr == (uintptr_t)c->uc_mcontext.gregs[REG_RIP]);
    c->uc_mcontext.gregs[REG_RIP] += 2;
    c->uc_mcontext.gregs[REG_RAX] = 77;
}
static void xmm(int s)
{
    (void)s;
    double z[2] = {1, 2};
    __asm__ volatile("movupd %0, %%xmm3; movupd %0,%%xmm9; fninit; fld1; fldpi" ::"m"(z) : "xmm3", "xmm9");
}
int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    alt = mmap(NULL, alt_n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t st = {.ss_sp = alt, .ss_size = alt_n}, old;
    printf("alt %d\n", sigaltstack(&st, &old));
    printf("old flags %d\n", old.ss_flags);
    stack_t small = {.ss_sp = alt, .ss_size = 100};
    int small_is = sigaltstack(&small, NULL);
    printf("small %d %d\n", small_is, errno);
    struct sigaction a = {.sa_sigaction = segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &a, NULL);
    sigaction(SIGBUS, &a, NULL);
    if (!sigsetjmp(back, 1))
        overflow(0);
    if (!sigsetjmp(back, 1))
        overflow(0);
    if (!sigsetjmp(back, 1))
        *(volatile int *)8 = 1;
    if (!sigsetjmp(back, 1))
        ((void (*)(void))(uintptr_t)0x10)();
    if (!sigsetjmp(back, 1))
        *(volatile int *)0x8000000000000000 = 1;
    char *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!sigsetjmp(back, 1))
        ro[5] = 1;
    if (!sigsetjmp(back, 1))
        ((void (*)(void))(void *)alt)();
    if (!sigsetjmp(back, 1))
        __asm__ volatile("hlt");
    struct sigaction n = {.sa_sigaction = nested, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &n, NULL);
    sigaction(SIGUSR2, &n, NULL);
    raise(SIGUSR1);
    count = 0;
    n.sa_flags |= SA_NODEFER | SA_ONSTACK;
    sigaction(SIGUSR1, &n, NULL);
    sigaction(SIGUSR2, &n, NULL);
    raise(SIGUSR2);
    struct sigaction o = {.sa_handler = once, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGHUP, &o, NULL);
    raise(SIGHUP);
    struct sigaction now;
    sigaction(SIGHUP, NULL, &now);
    printf("reset %d\n", now.sa_handler == SIG_DFL);
    struct sigaction k = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &k, NULL);
    int r;
    __asm__ volatile("ud2" : "=a"(r)::"memory");
    printf("rax %d\n", r);
    struct sigaction x = {.sa_handler = xmm};
    sigaction(SIGUSR1, &x, NULL);
    double in[2] = {3.5, 4.5}, out[2];
    long double ld;
    __asm__ volatile("movupd %2,%%xmm3; movupd %2,%%xmm9; fldpi; fldl2e; mov $39,%%eax; syscall; mov %%eax,%%edi; mov "
                     "$10,%%esi; mov $62,%%eax; syscall; addpd %%xmm9,%%xmm3; movupd %%xmm3,%0; faddp; fstpt %1"
                     : "=m"(out), "=m"(ld)
                     : "m"(in)
                     : "rax", "rcx", "r11", "rdi", "rsi", "xmm3", "xmm9", "memory");
    printf("fp %g %g %.10Lg\n", out[0], out[1], ld);
    pid_t c = fork();
    if (!c) {
        signal(SIGTERM, SIG_DFL);
        kill(getpid(), SIGTERM);
        _exit(3);
    }
    int ws;
    waitpid(c, &ws, 0);
    printf("child sig %d\n", WTERMSIG(ws));
    c = fork();
    if (!c) {
        signal(SIGSEGV, SIG_DFL);
        *(volatile int *)0 = 1;
        _exit(3);
    }
    waitpid(c, &ws, 0);
    printf("child exited %d status %d\n", WIFEXITED(ws), WEXITSTATUS(ws));
    int kill_is = sigaction(SIGKILL, &o, NULL);
    printf("sigaction kill %d %d\n", kill_is, errno);
    st.ss_flags = SS_DISABLE;
    printf("dis %d\n", sigaltstack(&st, NULL));
    sigaltstack(NULL, &old);
    printf("flags %d\n", old.ss_flags);
    abort();
}

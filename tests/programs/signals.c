/* SPDX-License-Identifier: MIT */
/* Signals as programs use them: a handler that repairs a fault, one on its own stack, setjmp out of one, masks, a pipe
 * without a reader, children and their statuses. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static char *page;
static volatile int hits, codes;
static sigjmp_buf back;

static void repair(int sig, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    hits++;
    codes += info->si_code;
    if ((char *)info->si_addr != page + 5 || sig != SIGSEGV || !(u->uc_mcontext.gregs[REG_ERR] & 2))
        _exit(99);
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void leap(int sig)
{
    siglongjmp(back, sig);
}

static void count(int sig)
{
    hits += sig;
}

static char stack[65536];
static volatile int was_on_stack;
static void on_stack(int sig)
{
    char here;
    was_on_stack = &here > stack && &here < stack + sizeof stack && sig;
}

int main(void)
{
    struct sigaction a = {.sa_sigaction = repair, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &a, NULL);
    page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[5] = 7;
    printf("repaired: %d, %d faults, code %d\n", page[5], hits, codes);

    signal(SIGFPE, leap);
    int sig = sigsetjmp(back, 1);
    if (!sig) {
        volatile int zero = 0;
        printf("%d\n", 1 / zero);
    }
    printf("leapt out of %d\n", sig);

    stack_t alt = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alt, NULL);
    a = (struct sigaction){.sa_handler = on_stack, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR2, &a, NULL);
    raise(SIGUSR2);
    printf("own stack: %d\n", was_on_stack != 0);

    sigset_t set, old;
    hits = 0;
    signal(SIGUSR1, count);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    printf("blocked: %d", hits);
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf(", then %d\n", hits);

    int fd[2], status;
    signal(SIGPIPE, SIG_IGN);
    if (pipe(fd))
        return 1;
    close(fd[0]);
    ssize_t n = write(fd[1], "x", 1);
    printf("pipe: %zd %s\n", n, strerror(errno));
    fflush(stdout);

    pid_t child = fork();
    if (child == 0) {
        page[5] = 8;
        _exit(page[5]);
    }
    waitpid(child, &status, 0);
    printf("child: %d, exit %d, ours is still %d\n", WIFEXITED(status), WEXITSTATUS(status), page[5]);
    child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        abort();
    }
    waitpid(child, &status, 0);
    printf("child: signalled %d by %d\n", WIFSIGNALED(status), WTERMSIG(status));
    return 3;
}

/* SPDX-License-Identifier: MIT */
/* What a program asks and says about itself and the machine: numbers, names, limits, processors; and the calls that
 * have no effect here. */
#include "sim/guest/linux_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>

static int64_t sys_getpid(struct thread *t, const uint64_t a[6])
{
    (void)a;
    return t->process->pid;
}
static int64_t sys_gettid(struct thread *t, const uint64_t a[6])
{
    (void)a;
    return t->tid;
}
static int64_t sys_getppid(struct thread *t, const uint64_t a[6])
{
    (void)a;
    return t->process->parent_pid;
}
static int64_t sys_getuid(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    return 1000;
}
static int64_t sys_nothing(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    return 0;
}
static int64_t sys_getresuid(struct thread *t, const uint64_t a[6])
{
    const uint32_t id = 1000;
    for (uint32_t i = 0; i < 3; i++)
        if (exec_copy_out(t, a[i], &id, sizeof id))
            return -EFAULT;
    return 0;
}

static int64_t sys_arch_prctl(struct thread *t, const uint64_t a[6])
{
    enum { SET_GS = 0x1001, SET_FS, GET_FS, GET_GS }; /* asm/prctl.h */
    uint64_t *base = &thread_regs(t)->gpr[a[0] == SET_FS || a[0] == GET_FS ? X86_FS_BASE : X86_GS_BASE];
    switch (a[0]) {
    case SET_FS:
    case SET_GS:
        if (a[1] >= SPACE_TOP)
            return -EPERM;
        *base = a[1];
        return 0;
    case GET_FS:
    case GET_GS:
        return exec_copy_out(t, a[1], base, 8) ? -EFAULT : 0;
    default:
        return -EINVAL;
    }
}

/* A call that a real kernel refuses (EINVAL): quire's own mark, by which a program changes the timing model. */
#define PR_QUIRE_TIMING 0x51554952u /* "QUIR" */

static int64_t set_timing(struct thread *t, uint64_t timing)
{
    if (timing >= X86_N_TIMINGS)
        return -EINVAL;
    return pace_mark(t->process->x->pace, (enum x86_timing)timing) ? -EBUSY : 0;
}

static int64_t sys_prctl(struct thread *t, const uint64_t a[6])
{
    struct linux_process *os = os_of(t);
    switch (a[0]) {
    case 15: /* PR_SET_NAME */
        return exec_str_in(t, a[1], os->name, sizeof os->name) == -1 ? -EFAULT : 0;
    case 16: /* PR_GET_NAME */
        return exec_copy_out(t, a[1], os->name, sizeof os->name) ? -EFAULT : 0;
    case PR_QUIRE_TIMING:
        return set_timing(t, a[1]);
    default:
        return -EINVAL;
    }
}

static int64_t sys_uname(struct thread *t, const uint64_t a[6])
{
    const struct utsname u = {.sysname = "Linux",
                              .nodename = "quire",
                              .release = "6.1.0",
                              .version = "#1",
                              .machine = "x86_64",
                              .domainname = "(none)"};
    return exec_copy_out(t, a[0], &u, sizeof u) ? -EFAULT : 0;
}

static int64_t sys_sysinfo(struct thread *t, const uint64_t a[6])
{
    const struct exec *x = t->process->x;
    uint64_t s[14] = {thread_now_ps(t) / PS_PER_S, 0, 0, 0, x->vm->bytes};
    uint64_t used = 0;
    for (uint32_t i = 0; i < x->n_processes; i++)
        used += x->process[i]->space.n_pages << PAGE_SHIFT;
    s[5] = x->vm->bytes - min_u64(used, x->vm->bytes);
    s[10] = x->n_processes; /* procs is 16 bits wide, the rest is padding */
    s[13] = 1;              /* mem_unit */
    return exec_copy_out(t, a[0], s, sizeof s) ? -EFAULT : 0;
}

static int64_t limit_out(struct thread *t, uint64_t resource, uint64_t gva)
{
    uint64_t limit[2] = {RLIM_INFINITY, RLIM_INFINITY};
    if (resource == RLIMIT_STACK)
        limit[0] = SPACE_STACK_BYTES;
    if (resource == RLIMIT_NOFILE)
        limit[0] = limit[1] = MAX_FILES;
    if (resource == RLIMIT_CORE)
        limit[0] = 0;
    return gva && exec_copy_out(t, gva, limit, sizeof limit) ? -EFAULT : 0;
}
static int64_t sys_getrlimit(struct thread *t, const uint64_t a[6])
{
    return limit_out(t, a[0], a[1]);
}
static int64_t sys_prlimit64(struct thread *t, const uint64_t a[6])
{
    return limit_out(t, a[1], a[3]);
}

static int64_t sys_sched_getaffinity(struct thread *t, const uint64_t a[6])
{
    uint64_t mask[4] = {0};
    uint32_t n = t->process->x->vm->n_vcpus;
    for (uint32_t i = 0; i < n; i++)
        mask[i / 64] |= 1ull << (i % 64);
    uint64_t bytes = (n + 63) / 64 * 8;
    if (a[1] < bytes)
        return -EINVAL;
    return exec_copy_out(t, a[2], mask, bytes) ? -EFAULT : (int64_t)bytes;
}

static int64_t sys_getcpu(struct thread *t, const uint64_t a[6])
{
    uint32_t cpu = t->vcpu->index, node = vcpu_cpu(t->vcpu)->node;
    return (a[0] && exec_copy_out(t, a[0], &cpu, 4)) || (a[1] && exec_copy_out(t, a[1], &node, 4)) ? -EFAULT : 0;
}

static int64_t sys_getrandom(struct thread *t, const uint64_t a[6])
{
    uint64_t n = min_u64(a[1], 65536);
    uint8_t *buf = xmalloc(n + 1);
    for (uint64_t i = 0; i < n; i++)
        buf[i] = (uint8_t)rng_next(&vm_of(t)->random);
    int64_t bad = exec_copy_out(t, a[0], buf, n);
    free(buf);
    return bad ? -EFAULT : (int64_t)n;
}

/* Programs ask for them and do without: known to be absent, so not worth a line in the report. */
static int64_t sys_absent(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    return -ENOSYS;
}

const struct syscall linux_ask_calls[] = {
    {39, "getpid", sys_getpid},
    {63, "uname", sys_uname},
    {97, "getrlimit", sys_getrlimit},
    {99, "sysinfo", sys_sysinfo},
    {102, "getuid", sys_getuid},
    {104, "getgid", sys_getuid},
    {105, "setuid", sys_nothing},
    {106, "setgid", sys_nothing},
    {107, "geteuid", sys_getuid},
    {108, "getegid", sys_getuid},
    {109, "setpgid", sys_nothing},
    {110, "getppid", sys_getppid},
    {111, "getpgrp", sys_getpid},
    {112, "setsid", sys_getpid},
    {115, "getgroups", sys_nothing},
    {116, "setgroups", sys_nothing},
    {117, "setresuid", sys_nothing},
    {118, "getresuid", sys_getresuid},
    {119, "setresgid", sys_nothing},
    {120, "getresgid", sys_getresuid},
    {121, "getpgid", sys_getpid},
    {124, "getsid", sys_getpid},
    {140, "getpriority", sys_nothing},
    {141, "setpriority", sys_nothing},
    {157, "prctl", sys_prctl},
    {158, "arch_prctl", sys_arch_prctl},
    {160, "setrlimit", sys_nothing},
    {162, "sync", sys_nothing},
    {186, "gettid", sys_gettid},
    {203, "sched_setaffinity", sys_nothing},
    {204, "sched_getaffinity", sys_sched_getaffinity},
    {273, "set_robust_list", sys_nothing},
    {302, "prlimit64", sys_prlimit64},
    {309, "getcpu", sys_getcpu},
    {318, "getrandom", sys_getrandom},
    {324, "membarrier", sys_nothing},
    {332, "statx", sys_absent},
    {334, "rseq", sys_absent},
    {435, "clone3", sys_absent},
    {0, NULL, NULL},
};

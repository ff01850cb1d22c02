/* SPDX-License-Identifier: MIT */
/* System calls on processes, threads and futexes. */
#include "sim/guest/linux_int.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- keys: user addresses are below 2^47, process numbers below 2^14 or so ---- */

uint64_t futex_key(const struct thread *t, uint64_t gva)
{
    return (uint64_t)t->process->pid << 47 | gva;
}
uint64_t wait_key(const struct process *p)
{
    return 3ull << 62 | p->pid;
}
uint64_t vfork_key(const struct process *child)
{
    return 5ull << 61 | child->pid;
}

/* ---- futex ---- */

static int64_t futex_wait(struct thread *t, const uint64_t a[6], bool is_absolute)
{
    uint32_t value;
    ps_t until = UINT64_MAX;
    if (exec_copy_in(t, a[0], &value, sizeof value))
        return -EFAULT;
    if (value != (uint32_t)a[2])
        return -EAGAIN;
    if (a[3]) {
        bool is_wall = a[1] & FUTEX_CLOCK_REALTIME;
        int64_t bad =
            is_absolute ? abstime_in(t, a[3], is_wall, &until) : timespec_in(t, a[3], thread_now_ps(t), &until);
        if (bad)
            return bad;
        if (until <= thread_now_ps(t))
            return -ETIMEDOUT;
    }
    thread_wait(t, futex_key(t, a[0]), until, 0, -ETIMEDOUT);
    return SYS_NONE;
}

static int64_t sys_futex(struct thread *t, const uint64_t a[6])
{
    struct exec *x = t->process->x;
    uint64_t key = futex_key(t, a[0]);
    uint32_t value, n = (uint32_t)a[2] > INT32_MAX ? INT32_MAX : (uint32_t)a[2];
    if (a[0] & 3)
        return -EINVAL;
    switch (a[1] & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
        return futex_wait(t, a, false);
    case FUTEX_WAIT_BITSET:
        return a[5] ? futex_wait(t, a, true) : -EINVAL;
    case FUTEX_WAKE:
        return exec_wake(x, key, n);
    case FUTEX_WAKE_BITSET: /* who has another bit looks and waits again */
        return exec_wake(x, key, (uint32_t)a[5] == FUTEX_BITSET_MATCH_ANY ? n : INT32_MAX);
    case FUTEX_CMP_REQUEUE:
        if (exec_copy_in(t, a[0], &value, sizeof value))
            return -EFAULT;
        if (value != (uint32_t)a[5])
            return -EAGAIN;
        /* fall through */
    case FUTEX_REQUEUE: {
        uint32_t woken = exec_wake(x, key, n);
        return woken + exec_requeue(x, key, (uint32_t)a[3], futex_key(t, a[4]));
    }
    default:
        return -ENOSYS;
    }
}

/* ---- clone, fork ---- */

static struct linux_process *copy_process_os(const struct linux_process *from, bool shares_files)
{
    struct linux_process *os = xmalloc(sizeof *os);
    *os = *from;
    os->files = shares_files ? from->files : files_copy(from->files);
    if (shares_files)
        os->files->refs++;
    os->cwd = xstrdup(from->cwd);
    os->exe = xstrdup(from->exe);
    os->image->refs++;
    os->mapping = NULL; /* the parent writes shared mappings back */
    os->n_mappings = 0;
    return os;
}

/* Registers of what is born: those of its maker, with 0 as the result. */
static struct x86_state child_regs(struct thread *t, uint64_t stack, uint64_t flags, uint64_t tls)
{
    struct x86_state regs = *thread_regs(t);
    regs.gpr[X86_RAX] = 0;
    if (stack)
        regs.gpr[X86_RSP] = stack;
    if (flags & CLONE_SETTLS)
        regs.gpr[X86_FS_BASE] = tls;
    return regs;
}

static struct process *fork_process(struct thread *t, uint64_t flags)
{
    struct process *parent = t->process, *p = process_new(parent->x, parent->pid);
    uint32_t asid = process_asid(p);
    if (!asid || space_copy(&p->space, &parent->space, t->vcpu, asid, p->x->diag)) {
        space_fini(&p->space, t->vcpu);
        process_free(p);
        return NULL;
    }
    p->os = copy_process_os(parent->os, flags & CLONE_FILES);
    return p;
}

static int64_t make_thread(struct thread *t, uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t child_tid,
                           uint64_t tls)
{
    struct process *p = t->process;
    bool is_thread = flags & CLONE_THREAD;
    struct x86_state regs = child_regs(t, stack, flags, tls);
    if (is_thread && !(flags & CLONE_VM))
        return -EINVAL;
    if (!is_thread && !(p = fork_process(t, flags)))
        return -EAGAIN;
    struct thread *born = thread_new(p, &regs);
    struct linux_thread *os = born->os;
    uint32_t tid = born->tid;
    os->blocked = ((const struct linux_thread *)t->os)->blocked;
    if (flags & CLONE_CHILD_CLEARTID)
        os->clear_child_tid = child_tid;
    if (flags & CLONE_PARENT_SETTID && exec_copy_out(t, parent_tid, &tid, sizeof tid))
        return -EFAULT;
    if (flags & CLONE_CHILD_SETTID && exec_fill(p, t->vcpu, child_tid, &tid, sizeof tid, p->x->diag))
        return -EFAULT;
    if (flags & CLONE_VFORK && !is_thread) {
        ((struct linux_process *)p->os)->is_vfork = true;
        thread_wait(t, vfork_key(p), UINT64_MAX, tid, tid);
        return SYS_NONE;
    }
    return tid;
}

static int64_t sys_clone(struct thread *t, const uint64_t a[6])
{
    return make_thread(t, a[0], a[1], a[2], a[3], a[4]);
}
static int64_t sys_fork(struct thread *t, const uint64_t a[6])
{
    (void)a;
    return make_thread(t, SIGCHLD, 0, 0, 0, 0);
}
static int64_t sys_vfork(struct thread *t, const uint64_t a[6])
{
    (void)a;
    return make_thread(t, SIGCHLD | CLONE_VFORK | CLONE_VM, 0, 0, 0, 0);
}

static int64_t sys_set_tid_address(struct thread *t, const uint64_t a[6])
{
    ((struct linux_thread *)t->os)->clear_child_tid = a[0];
    return t->tid;
}

static int64_t sys_sched_yield(struct thread *t, const uint64_t a[6])
{
    (void)a;
    thread_yield(t);
    return 0;
}

/* ---- ends ---- */

static int64_t sys_exit(struct thread *t, const uint64_t a[6])
{
    if (t->process->n_threads == 1)
        mappings_write_back(t, 0, SPACE_TOP);
    thread_end(t, (int32_t)(a[0] & 0xff) << 8);
    return SYS_NONE;
}

static int64_t sys_exit_group(struct thread *t, const uint64_t a[6])
{
    mappings_write_back(t, 0, SPACE_TOP);
    process_end(t->process, (int32_t)(a[0] & 0xff) << 8, t->vcpu);
    return SYS_NONE;
}

static int64_t sys_wait4(struct thread *t, const uint64_t a[6])
{
    struct exec *x = t->process->x;
    int32_t pid = (int32_t)a[0];
    bool has_child = false;
    for (uint32_t i = 0; i < x->n_processes; i++) {
        struct process *p = x->process[i];
        if (p->parent_pid != t->process->pid || (pid > 0 && p->pid != (uint32_t)pid))
            continue;
        has_child = true;
        if (!p->is_dead)
            continue;
        struct rusage none = {0};
        uint32_t found = p->pid;
        if ((a[1] && exec_copy_out(t, a[1], &p->status, 4)) || (a[3] && exec_copy_out(t, a[3], &none, sizeof none)))
            return -EFAULT;
        process_free(p);
        return found;
    }
    if (!has_child)
        return -ECHILD;
    if (a[2] & WNOHANG)
        return 0;
    thread_wait_retry(t, wait_key(t->process), UINT64_MAX);
    return SYS_NONE;
}

const struct syscall linux_process_calls[] = {
    {24, "sched_yield", sys_sched_yield},
    {56, "clone", sys_clone},
    {57, "fork", sys_fork},
    {58, "vfork", sys_vfork},
    {60, "exit", sys_exit},
    {61, "wait4", sys_wait4},
    {202, "futex", sys_futex},
    {218, "set_tid_address", sys_set_tid_address},
    {231, "exit_group", sys_exit_group},
    {0, NULL, NULL},
};

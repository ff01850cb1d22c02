/* SPDX-License-Identifier: MIT */
/* System calls on processes, threads and futexes, and what a program asks about the machine. */
#include "sim/guest/linux_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Programs ask for them and do without: known to be absent, so not worth a line in the report. */
static int64_t sys_absent(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    return -ENOSYS;
}

/* ---- execve ---- */

#define MAX_WORDS      4096u
#define MAX_WORD_BYTES (128 * KIB)

/* A vector of strings from the guest; free() each and it. NULL with *error. */
static char **words_in(struct thread *t, uint64_t gva, uint32_t *n, int64_t *error)
{
    char **word = xcalloc(MAX_WORDS + 1, sizeof *word), *buf = xmalloc(MAX_WORD_BYTES);
    *n = 0;
    *error = 0;
    for (uint64_t p = 0; gva && !*error; gva += 8) {
        if (exec_copy_in(t, gva, &p, sizeof p))
            *error = -EFAULT;
        if (*error || !p)
            break;
        int64_t len = *n == MAX_WORDS ? -2 : exec_str_in(t, p, buf, MAX_WORD_BYTES);
        if (len < 0)
            *error = len == -1 ? -EFAULT : -E2BIG;
        else
            word[(*n)++] = xstrdup(buf);
    }
    free(buf);
    return word;
}

static void free_words(char **word)
{
    for (uint32_t i = 0; word && word[i]; i++)
        free(word[i]);
    free(word);
}

static void put_first(char ***words, uint32_t *n, const char *word)
{
    *words = xrealloc(*words, (*n + 2ul) * sizeof **words);
    memmove(*words + 1, *words, (*n + 1ul) * sizeof **words);
    **words = xstrdup(word);
    ++*n;
}

static int64_t read_program(struct thread *t, const char *path, uint8_t **bytes, uint64_t *n)
{
    struct stat st;
    int fd = path_open(t, AT_FDCWD, path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    int64_t bad = fstat(fd, &st) ? -errno : !S_ISREG(st.st_mode) || !(st.st_mode & 0111) ? -EACCES : 0;
    if (!bad) {
        *bytes = xmalloc((size_t)st.st_size + 1);
        ssize_t got = read(fd, *bytes, (size_t)st.st_size);
        *n = got > 0 ? (uint64_t)got : 0;
        (*bytes)[*n] = 0;
    }
    close(fd);
    return bad;
}

/* The image that path names. A script names its interpreter, whose words come before the script's. */
static int64_t find_image(struct thread *t, char path[4096], char ***argv, uint32_t *argc, struct elf **image)
{
    struct diag quiet = {0};
    for (uint32_t depth = 0; depth < 5; depth++) {
        uint8_t *bytes = NULL;
        uint64_t n = 0;
        if (strcmp(path, "/proc/self/exe") == 0 || strcmp(path, os_of(t)->exe) == 0) {
            *image = os_of(t)->image;
            (*image)->refs++;
            return 0;
        }
        int64_t bad = read_program(t, path, &bytes, &n);
        if (bad)
            return bad;
        if (n < 3 || bytes[0] != '#' || bytes[1] != '!') {
            *image = elf_from_memory(path, bytes, n, &quiet);
            free(bytes);
            return *image ? 0 : -ENOEXEC;
        }
        bytes[min_u64(n, 255)] = 0;
        char *line = (char *)bytes + 2, *arg;
        line[strcspn(line, "\n")] = 0;
        line += strspn(line, " \t");
        arg = line + strcspn(line, " \t");
        if (*arg)
            *arg++ = 0;
        arg += strspn(arg, " \t");
        if (*argc) { /* the script's own name takes the place of the first word */
            free((*argv)[0]);
            (*argv)[0] = xstrdup(path);
        }
        if (*arg)
            put_first(argv, argc, arg);
        put_first(argv, argc, line);
        snprintf(path, 4096, "%s", line);
        free(bytes);
    }
    return -ELOOP;
}

/* Nothing is left of the old program: it cannot come back. */
static int64_t replace(struct thread *t, struct elf *image, const char *exe, char **argv, uint32_t argc, char **envp,
                       uint32_t envc)
{
    struct process *p = t->process;
    struct exec *x = p->x;
    struct linux_process *os = p->os;
    struct linux_thread *thread_os = t->os;
    struct diag d = {0};
    uint32_t asid = p->space.asid;
    mappings_write_back(t, 0, SPACE_TOP);
    for (uint32_t i = x->n_threads; i-- > 0;)
        if (x->thread[i]->process == p && x->thread[i] != t)
            thread_end(x->thread[i], 0);
    files_close_by_exec(x, os->files);
    signals_reset(os);
    linux_set_image(p, image, exe);
    space_fini(&p->space, t->vcpu);
    int bad = space_init(&p->space, &x->pool, t->vcpu, asid, &d) ||
              linux_image(p, t->vcpu, image, argv, argc, envp, envc, thread_regs(t), &d);
    if (os->is_vfork) {
        os->is_vfork = false;
        exec_wake(x, vfork_key(p), UINT32_MAX);
    }
    if (bad) {
        process_end(p, SIGKILL, t->vcpu);
        return SYS_NONE;
    }
    if (thread_os)
        thread_os->clear_child_tid = thread_os->altstack_bytes = 0;
    thread_space_changed(t);
    return SYS_NONE;
}

static int64_t sys_execve(struct thread *t, const uint64_t a[6])
{
    char path[4096];
    int64_t bad = path_in(t, a[0], path);
    uint32_t argc, envc;
    struct elf *image = NULL;
    if (bad)
        return bad;
    char **argv = words_in(t, a[1], &argc, &bad), **envp = NULL;
    if (!bad)
        envp = words_in(t, a[2], &envc, &bad);
    if (!bad)
        bad = find_image(t, path, &argv, &argc, &image);
    if (!bad) {
        char *exe = strcmp(path, "/proc/self/exe") == 0 ? xstrdup(os_of(t)->exe) : path_absolute(t, AT_FDCWD, path);
        bad = replace(t, image, exe, argv, argc, envp, envc);
        free(exe);
    }
    free_words(argv);
    free_words(envp);
    return bad;
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

/* ---- who and where ---- */

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

static int64_t sys_set_tid_address(struct thread *t, const uint64_t a[6])
{
    ((struct linux_thread *)t->os)->clear_child_tid = a[0];
    return t->tid;
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

static int64_t sys_sched_yield(struct thread *t, const uint64_t a[6])
{
    (void)a;
    thread_yield(t);
    return 0;
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

const struct syscall linux_process_calls[] = {
    {24, "sched_yield", sys_sched_yield},
    {39, "getpid", sys_getpid},
    {56, "clone", sys_clone},
    {57, "fork", sys_fork},
    {58, "vfork", sys_vfork},
    {59, "execve", sys_execve},
    {60, "exit", sys_exit},
    {61, "wait4", sys_wait4},
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
    {202, "futex", sys_futex},
    {203, "sched_setaffinity", sys_nothing},
    {204, "sched_getaffinity", sys_sched_getaffinity},
    {218, "set_tid_address", sys_set_tid_address},
    {231, "exit_group", sys_exit_group},
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

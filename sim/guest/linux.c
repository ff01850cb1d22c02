/* SPDX-License-Identifier: MIT */
/* The Linux personality: loading an image, its first stack, dispatching system calls, the report at the end. */
#include "sim/guest/linux_int.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIE_BASE        0x555555554000ull /* where Linux puts static-PIE programs without randomisation */
#define STACK_FIRST     (128 * KIB)       /* mapped at once; more as it grows */
#define MAX_STACK_WORDS 65536u

/* ---- dispatch ---- */

static const struct syscall *const areas[] = {linux_file_calls, linux_path_calls,    linux_change_calls,
                                              linux_mem_calls,  linux_process_calls, linux_execve_calls,
                                              linux_ask_calls,  linux_time_calls,    linux_signal_calls};

static const struct syscall *call_of(uint64_t number)
{
    for (uint32_t i = 0; i < N_ELEMS(areas); i++)
        for (const struct syscall *s = areas[i]; s->name; s++)
            if (s->number == number)
                return s;
    return NULL;
}

void linux_syscall(struct thread *t)
{
    struct x86_state *regs = thread_regs(t);
    struct exec *x = t->process->x;
    struct linux_vm *vm = x->os;
    uint64_t number = regs->gpr[X86_RAX];
    const uint64_t a[6] = {regs->gpr[X86_RDI], regs->gpr[X86_RSI], regs->gpr[X86_RDX],
                           regs->gpr[X86_R10], regs->gpr[X86_R8],  regs->gpr[X86_R9]};
    const struct syscall *s = number < N_ELEMS(vm->calls) ? vm->calls[number] : NULL;
    if (!s) {
        vm->unknown[min_u64(number, N_ELEMS(vm->unknown) - 1)]++;
        x->stats.unknown_syscalls++;
        regs->gpr[X86_RAX] = (uint64_t)-ENOSYS;
        return;
    }
    int64_t result = s->fn(t, a);
    if (result != SYS_NONE)
        regs->gpr[X86_RAX] = (uint64_t)result;
}

void linux_report(struct exec *x, FILE *to)
{
    const struct linux_vm *vm = x->os;
    for (uint32_t i = 0; vm && i < N_ELEMS(vm->unknown); i++)
        if (vm->unknown[i])
            fprintf(to, "quire: system call %u%s is not implemented; it was made %llu times and returned ENOSYS\n", i,
                    i == N_ELEMS(vm->unknown) - 1 ? " or above" : "", (unsigned long long)vm->unknown[i]);
}

/* ---- images ---- */

/* A first stack, built downwards in host memory, then copied to the guest. */
struct stack {
    uint64_t top, at; /* guest addresses: end, lowest byte written so far */
    uint8_t *bytes;   /* of [top - STACK_FIRST, top) */
};

static uint64_t put(struct stack *s, const void *bytes, uint64_t n)
{
    if (s->at - n < s->top - STACK_FIRST)
        return 0;
    s->at -= n;
    memcpy(s->bytes + (s->at - (s->top - STACK_FIRST)), bytes, n);
    return s->at;
}

static uint64_t *put_words(struct stack *s, uint64_t *to, char **words, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        *to++ = put(s, words[i], strlen(words[i]) + 1);
    *to++ = 0;
    return to;
}

static int build_stack(struct process *p, struct vcpu *v, const struct elf *e, char **argv, uint32_t argc, char **envp,
                       uint32_t envc, uint64_t *rsp, struct diag *d)
{
    struct linux_vm *vm = p->x->os;
    uint64_t random[2] = {rng_next(&vm->random), rng_next(&vm->random)};
    struct stack s = {.top = SPACE_TOP - PAGE_BYTES, .at = SPACE_TOP - PAGE_BYTES - 8};
    struct region r = {
        .start = s.top - STACK_FIRST, .end = s.top, .kind = REGION_STACK, .prot = SPACE_READ | SPACE_WRITE};
    if (argc + envc > 4096 || space_map(&p->space, v, &r))
        return fail(d, "%s: found %u arguments and environment words, expected at most 4096", e->path, argc + envc);
    s.bytes = xcalloc(1, STACK_FIRST);
    uint64_t *words = xcalloc(argc + envc + 64ul, sizeof *words), *to = words;
    uint64_t execfn = put(&s, os_exe(p), strlen(os_exe(p)) + 1), platform = put(&s, "x86_64", 7);
    uint64_t seed = put(&s, random, sizeof random);
    *to++ = argc;
    to = put_words(&s, to, argv, argc);
    to = put_words(&s, to, envp, envc);
    const uint64_t aux[][2] = {
        {AT_PHDR, e->phdr_vaddr ? e->base + e->phdr_vaddr : 0},
        {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PHNUM, e->n_phdr},
        {AT_PAGESZ, PAGE_BYTES},
        {AT_BASE, 0},
        {AT_FLAGS, 0},
        {AT_ENTRY, e->base + e->entry},
        {AT_UID, 1000},
        {AT_EUID, 1000},
        {AT_GID, 1000},
        {AT_EGID, 1000},
        {AT_SECURE, 0},
        {AT_CLKTCK, 100},
        {AT_HWCAP, x86_cpuid_1_edx()},
        {AT_RANDOM, seed},
        {AT_EXECFN, execfn},
        {AT_PLATFORM, platform},
        {AT_NULL, 0},
    };
    memcpy(to, aux, sizeof aux);
    uint64_t bytes = (uint64_t)((uint8_t *)to - (uint8_t *)words) + sizeof aux;
    s.at = ((s.at - bytes) & ~15ull) + bytes;
    bool fits = execfn && seed && platform && words[argc] && put(&s, words, bytes);
    int bad = fits ? exec_fill(p, v, s.at, s.bytes + (s.at - (s.top - STACK_FIRST)), s.top - s.at, d)
                   : fail(d, "%s: its arguments and environment do not fit into %llu bytes of stack", e->path,
                          (unsigned long long)STACK_FIRST);
    *rsp = s.at;
    free(words);
    free(s.bytes);
    return bad;
}

static int map_segments(struct process *p, struct vcpu *v, const struct elf *e, struct diag *d)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < e->n_segments; i++) {
        const struct elf_segment *s = &e->segment[i];
        struct region r = {
            .start = (e->base + s->vaddr) & ~(PAGE_BYTES - 1ull),
            .end = (e->base + s->vaddr + s->mem_bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ull),
            .kind = REGION_IMAGE,
            .prot = (uint8_t)((s->read ? SPACE_READ : 0) | (s->write ? SPACE_WRITE : 0) | (s->exec ? SPACE_EXEC : 0)),
        };
        if (r.start < end)
            return fail(d, "%s: segment at %llx: found it on a page of the one before", e->path,
                        (unsigned long long)s->vaddr);
        if (space_map(&p->space, v, &r))
            return fail(d, "%s: segment at %llx: found it outside user addresses, expected it from 4096 on", e->path,
                        (unsigned long long)s->vaddr);
        if (exec_fill(p, v, e->base + s->vaddr, e->file + s->offset, s->file_bytes, d))
            return -1;
        end = r.end;
    }
    p->space.brk_start = p->space.brk = end;
    return 0;
}

int linux_image(struct process *p, struct vcpu *v, struct elf *e, char **argv, uint32_t argc, char **envp,
                uint32_t envc, struct x86_state *regs, struct diag *d)
{
    uint64_t rsp = 0;
    e->base = e->is_pie ? PIE_BASE : 0;
    if (e->pvh_entry)
        return fail(d, "%s: found a PVH note: a kernel or bare-metal program, expected a Linux program", e->path);
    if (map_segments(p, v, e, d) || build_stack(p, v, e, argv, argc, envp, envc, &rsp, d))
        return -1;
    struct x86_cpu fresh;
    x86_cpu_init(&fresh, p->x->code, &exec_bus, NULL, NULL);
    *regs = fresh.state;
    x86_cpu_fini(&fresh);
    regs->rip = e->base + e->entry;
    regs->gpr[X86_RSP] = rsp;
    return 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void linux_set_image(struct process *p, struct elf *e, const char *exe)
{
    struct linux_process *os = p->os;
    elf_free(os->image);
    os->image = e;
    free(os->exe);
    os->exe = xstrdup(exe);
    snprintf(os->name, sizeof os->name, "%s", base_name(exe));
}

const char *os_exe(const struct process *p)
{
    return ((const struct linux_process *)p->os)->exe;
}

int linux_load(struct process *p, struct vcpu *v, struct x86_state *regs, struct diag *d)
{
    struct exec *x = p->x;
    struct linux_process *os = p->os = xcalloc(1, sizeof *os);
    os->files = files_new(x->conf.console);
    os->cwd = xstrdup("/");
    os->umask = 022;
    struct elf *e = elf_open(x->conf.program, d);
    if (!e)
        return -1;
    const char *name = x->conf.program;
    char *exe = xasprintf("%s%s", name[0] == '/' ? "" : "/", strncmp(name, "./", 2) ? name : name + 2);
    linux_set_image(p, e, exe);
    free(exe);
    uint32_t argc, envc;
    char **args = exec_words(x->conf.args, &argc), **env = exec_words(x->conf.env, &envc);
    char **argv = xcalloc(argc + 2ul, sizeof *argv);
    argv[0] = (char *)(uintptr_t)x->conf.program;
    memcpy(argv + 1, args, argc * sizeof *argv);
    int bad = linux_image(p, v, e, argv, argc + 1, env, envc, regs, d);
    free(argv);
    free(args);
    free(env);
    return bad;
}

/* ---- the whole VM ---- */

int linux_init(struct exec *x, struct diag *d)
{
    struct linux_vm *vm = x->os = xcalloc(1, sizeof *vm);
    const char *root = x->conf.root[0] ? x->conf.root : ".";
    for (uint32_t i = 0; i < N_ELEMS(vm->calls); i++)
        vm->calls[i] = call_of(i);
    rng_init(&vm->random, x->conf.seed, "linux");
    vm->is_read_only = !x->conf.root[0];
    vm->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (vm->root < 0)
        return fail(d, "%s: cannot be the program's root folder: %s", root, strerror(errno));
    return 0;
}

void linux_fini(struct exec *x)
{
    struct linux_vm *vm = x->os;
    if (vm->root >= 0)
        close(vm->root);
    free(vm);
    x->os = NULL;
}

void linux_thread_start(struct thread *t)
{
    t->os = xcalloc(1, sizeof(struct linux_thread));
}

void linux_thread_end(struct thread *t)
{
    struct linux_thread *os = t->os;
    uint32_t zero = 0;
    if (os && os->clear_child_tid && t->state == THREAD_RUNNING) {
        exec_copy_out(t, os->clear_child_tid, &zero, sizeof zero);
        exec_wake(t->process->x, futex_key(t, os->clear_child_tid), 1);
    }
    free(os);
    t->os = NULL;
}

void linux_process_end(struct process *p)
{
    struct linux_process *os = p->os;
    struct exec *x = p->x;
    if (os) {
        files_drop(x, os->files);
        elf_free(os->image);
        free(os->mapping);
        free(os->cwd);
        free(os->exe);
        free(os);
        p->os = NULL;
    }
    struct process *parent = process_find(x, p->parent_pid);
    if (parent && !parent->is_dead) {
        exec_wake(x, wait_key(parent), UINT32_MAX);
        exec_wake(x, vfork_key(p), UINT32_MAX);
        signal_process(parent, SIGCHLD);
    }
}

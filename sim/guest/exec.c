/* SPDX-License-Identifier: MIT */
#include "sim/guest/bare.h"
#include "sim/guest/exec_debug.h"
#include "sim/guest/exec_gdb.h"
#include "sim/guest/exec_int.h"
#include "sim/guest/linux.h"

#include <stdlib.h>
#include <string.h>

const struct stat_desc exec_stat_desc[] = {
    {"instructions", STAT_COUNT, "1", "instructions retired"},
    {"syscalls", STAT_COUNT, "1", "system calls"},
    {"unknown_syscalls", STAT_COUNT, "1", "system calls that are not implemented"},
    {"page_faults", STAT_COUNT, "1", "page faults of programs"},
    {"signals", STAT_COUNT, "1", "signals delivered to programs"},
    {"switches", STAT_COUNT, "1", "threads switched in"},
    {"threads", STAT_COUNT, "1", "threads started"},
    {"processes", STAT_COUNT, "1", "processes started"},
    {"output_bytes", STAT_COUNT, "bytes", "written to standard output and standard error"},
};
STATS_COMPLETE(struct exec_stats, exec_stat_desc);

/* ---- processes and threads ---- */

struct process *process_new(struct exec *x, uint32_t parent_pid)
{
    struct process *p = xcalloc(1, sizeof *p);
    p->x = x;
    p->pid = ++x->next_id;
    p->parent_pid = parent_pid;
    x->process = xrealloc(x->process, (x->n_processes + 1) * sizeof(struct process *));
    x->process[x->n_processes++] = p;
    x->stats.processes++;
    return p;
}

struct process *process_find(struct exec *x, uint32_t pid)
{
    for (uint32_t i = 0; i < x->n_processes; i++)
        if (x->process[i]->pid == pid)
            return x->process[i];
    return NULL;
}

uint32_t process_asid(const struct process *p)
{
    const struct exec *x = p->x;
    uint32_t base = (x->vm->index + 1) << 8;
    for (uint32_t i = 0; i < 256; i++) {
        bool is_used = false;
        for (uint32_t k = 0; k < x->n_processes; k++)
            is_used |= x->process[k]->space.asid == (base | i);
        if (!is_used)
            return base | i;
    }
    return 0;
}

void process_free(struct process *p)
{
    struct exec *x = p->x;
    uint32_t i = 0;
    while (x->process[i] != p)
        i++;
    memmove(&x->process[i], &x->process[i + 1], (--x->n_processes - i) * sizeof(struct process *));
    free(p);
}

struct thread *thread_new(struct process *p, const struct x86_state *regs)
{
    struct exec *x = p->x;
    struct thread *t = xcalloc(1, sizeof *t);
    t->process = p;
    t->tid = p->n_threads++ == 0 ? p->pid : ++x->next_id;
    t->saved = *regs;
    x->thread = xrealloc(x->thread, (x->n_threads + 1) * sizeof(struct thread *));
    x->thread[x->n_threads++] = t;
    x->stats.threads++;
    linux_thread_start(t);
    thread_ready(t);
    return t;
}

/* ---- what the hypervisor and the address space tell ---- */

/* Frames may be others now: direct pointers and decoded code of them are worth nothing. */
static void flushed(struct vm *vm)
{
    struct exec *x = vm->guest;
    x86_tlb_flush_all(x->code);
    x->code_changed = true;
    for (uint32_t i = 0; i < vm->n_vcpus; i++) {
        x86_tlb_flush(&x->cpu[i].x86);
        if (x->cpu[i].x86.granted)
            x86_stop_soon(&x->cpu[i].x86);
    }
}

static void changed(struct vm *vm, const struct space *s, uint64_t gva)
{
    struct exec *x = vm->guest;
    for (uint32_t i = 0; i < vm->n_vcpus; i++)
        if (x->cpu[i].space == s)
            x86_tlb_flush_page(&x->cpu[i].x86, gva);
}

static void freed(struct vm *vm, uint64_t hpa)
{
    struct exec *x = vm->guest;
    x86_code_written(x->code, hpa, PAGE_BYTES);
}

static int device(struct vcpu *v, uint64_t gpa, bool is_table, struct diag *d)
{
    struct exec *x = v->vm->guest;
    return x->bare ? bare_device(&x->cpu[v->index], gpa, is_table, d) : 0;
}

const struct guest_ops exec_ops = {
    .page_fault = exec_page_fault, .device = device, .run = exec_run, .flushed = flushed, .state = exec_state};

/* ---- set-up ---- */

static void cpu_new(struct exec *x, uint32_t i)
{
    struct exec_cpu *c = &x->cpu[i];
    struct vcpu *v = &x->vm->vcpu[i];
    c->x = x;
    c->v = v;
    c->stored_page = UINT64_MAX;
    for (uint32_t k = 0; k < EXEC_WC; k++)
        c->wc[k].line = UINT64_MAX;
    v->guest = c;
    v->space.levels = 4;
    if (x->conf.is_native) {
        v->space.map = x->bare ? v->space.ept : NULL;
        v->space.ept = NULL;
    }
    x86_cpu_init(&c->x86, x->code, x->bare ? &bare_bus : &exec_bus, c, &vcpu_cpu(v)->core);
    c->x86.id = i;
    c->x86.n_cpus = x->vm->n_vcpus;
    c->x86.tsc_hz = vcpu_cpu(v)->core.conf.hz;
    if (x->bare)
        bare_cpu_init(x->bare, c);
    x86_set_timing(&c->x86, x->conf.pace.timing);
}

static int open_record(struct exec *x, const struct vm_setup *setup, struct diag *d)
{
    char meta[64];
    snprintf(meta, sizeof meta, "source=exec\nvcpus=%u\n", setup->n_vcpus);
    struct trace_writer_options opt = {.n_vcpus = setup->n_vcpus, .meta = meta};
    x->record = trace_writer_new(x->conf.record, &opt, d);
    return x->record ? 0 : -1;
}

static void copy_texts(struct exec_conf *c)
{
    const char **text[] = {&c->program, &c->args,       &c->env,     &c->root, &c->record,
                           &c->initrd,  &c->trace_insn, &c->profile, &c->gdb};
    for (uint32_t i = 0; i < N_ELEMS(text); i++)
        *text[i] = xstrdup(*text[i] ? *text[i] : "");
}

static void free_texts(const struct exec_conf *c)
{
    const char *text[] = {c->program, c->args,       c->env,     c->root, c->record,
                          c->initrd,  c->trace_insn, c->profile, c->gdb};
    for (uint32_t i = 0; i < N_ELEMS(text); i++)
        free((char *)(uintptr_t)text[i]);
}

char **exec_words(const char *text, uint32_t *n)
{
    size_t most = strlen(text) / 2 + 2;
    char **word = xmalloc(most * sizeof *word + strlen(text) + 2), *to = (char *)(word + most);
    *n = 0;
    while (*text == ' ')
        text++;
    while (*text) {
        word[(*n)++] = to;
        for (; *text && *text != ' '; text++)
            *to++ = *text == '\\' && text[1] ? *++text : *text;
        *to++ = 0;
        while (*text == ' ')
            text++;
    }
    word[*n] = NULL;
    return word;
}

struct exec *exec_new(struct hv *hv, const struct vm_setup *setup, const struct exec_conf *conf, struct diag *d)
{
    struct elf *image = NULL;
    if (bare_find(conf, setup, &image, d) < 0)
        return NULL;
    struct exec *x = xcalloc(1, sizeof *x);
    struct vm_setup s = *setup;
    uint32_t before = hv->n_vms;
    x->conf = *conf;
    copy_texts(&x->conf);
    x->hv = hv;
    x->diag = d;
    x->first_wake_ps = UINT64_MAX;
    s.ops = &exec_ops;
    s.guest = x;
    if (image)
        s.bytes = bare_vm_bytes(setup->bytes, setup->pmem_bytes);
    if (image && conf->is_native)
        s.backing = LEVEL_1G; /* in one piece, as far as the host's memory goes */
    x->vm = hv_vm_new(hv, &s, d);
    if (!x->vm) {
        elf_free(image);
        if (hv->n_vms == before) /* else the machine owns what there is, and frees it */
            exec_free(x);
        return NULL;
    }
    x->vm->is_native = conf->is_native && !image;
    pool_init(&x->pool, x->vm);
    x->pool.changed = changed;
    x->pool.freed = freed;
    x->code = x86_code_new(0);
    if (image)
        x->bare = bare_new(x, image, setup->bytes);
    x->cpu = xcalloc(s.n_vcpus, sizeof *x->cpu);
    for (uint32_t i = 0; i < s.n_vcpus; i++)
        cpu_new(x, i);
    return !(x->pace = pace_new(x, &conf->pace, d)) || (conf->record[0] && open_record(x, setup, d)) ||
                   exec_debug_new(x, &x->debug, d) || (conf->gdb[0] && !(x->gdb = exec_gdb_new(x, conf->gdb, d)))
               ? NULL
               : x;
}

int exec_finish(struct exec *x, struct diag *d)
{
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++)
        x->stats.instructions += x->cpu[i].x86.instructions;
    if (x->bare)
        bare_finish(x->bare);
    if (x->conf.console && x->os)
        linux_report(x, stderr);
    int bad = x->record ? trace_writer_finish(x->record, d) : 0;
    x->record = NULL;
    bad |= pace_finish(x->pace, d);
    bad |= x->debug ? exec_debug_finish(x->debug, d) : 0;
    x->debug = NULL;
    return bad;
}

void exec_free(struct exec *x)
{
    if (x->record)
        trace_writer_abort(x->record);
    if (x->debug)
        exec_debug_abort(x->debug);
    if (x->pace)
        pace_free(x->pace);
    if (x->gdb)
        exec_gdb_free(x->gdb);
    x->record = NULL; /* threads that end below write no more */
    x->debug = NULL;
    x->gdb = NULL;
    for (uint32_t i = 0; i < x->n_processes; i++)
        if (!x->process[i]->is_dead)
            process_end(x->process[i], 0, &x->vm->vcpu[0]);
    while (x->n_processes)
        process_free(x->process[0]);
    if (x->os)
        linux_fini(x);
    if (x->bare)
        bare_free(x->bare);
    for (uint32_t i = 0; x->cpu && i < x->vm->n_vcpus; i++)
        x86_cpu_fini(&x->cpu[i].x86);
    free(x->cpu);
    if (x->code)
        x86_code_free(x->code);
    pool_fini(&x->pool);
    free_texts(&x->conf);
    free(x->process);
    free(x->thread);
    free(x);
}

/* SPDX-License-Identifier: MIT */
/* Programs in a VM, in a checkpoint: processes, threads, who runs where; sim/guest/linux_state.c has what the
 * personality keeps. */
#include "sim/cpu/x86_warm.h"
#include "sim/guest/bare.h"
#include "sim/guest/exec_int.h"
#include "sim/guest/linux.h"
#include "sim/guest/pace.h"

#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 65536u

/* ---- memory of the host, as the processors need it ---- */

static uint8_t *host_page(void *ctx, uint64_t hpa)
{
    struct mem *mem = ctx;
    const struct frame *f = hpa >> 30 < mem->n_gib ? frame_peek(mem, hpa >> PAGE_SHIFT) : NULL;
    return f && (f->content & 7) == CONTENT_BYTES ? frame_bytes(mem, hpa >> PAGE_SHIFT) : NULL;
}

static bool host_bytes(void *ctx, uint64_t hpa, void *buf, uint32_t n)
{
    struct mem *mem = ctx;
    if (hpa >> 30 >= mem->n_gib || !frame_peek(mem, hpa >> PAGE_SHIFT))
        return false;
    frame_read(mem, hpa, buf, n);
    return true;
}

/* ---- processes and threads ---- */

static uint64_t process_index(const struct exec *x, const struct process *p)
{
    uint64_t i = 0;
    while (i < x->n_processes && x->process[i] != p)
        i++;
    return i;
}

static uint64_t thread_index(const struct exec *x, const struct thread *t)
{
    uint64_t i = 0;
    while (i < x->n_threads && x->thread[i] != t)
        i++;
    return i;
}

static void processes_state(struct exec *x, struct ckpt *c)
{
    uint64_t n = ckpt_count(c, x->n_processes, MAX_THREADS);
    if (ckpt_is_loading(c))
        x->process = xrealloc(x->process, (n + 1) * sizeof(struct process *));
    for (uint64_t i = 0; i < n && !ckpt_failed(c); i++) {
        if (ckpt_is_loading(c)) {
            x->process[x->n_processes++] = xcalloc(1, sizeof(struct process));
            x->process[i]->x = x;
            x->process[i]->space.pool = &x->pool;
        }
        struct process *p = x->process[i];
        CKPT_STRUCT(c, p, CKPT_KEEP(struct process, x), CKPT_KEEP(struct process, os),
                    CKPT_KEEP(struct process, space.pool), CKPT_KEEP(struct process, space.region));
        uint64_t regions = p->space.n_regions, cap = regions;
        ckpt_array(c, &p->space.region, &regions, &cap, sizeof *p->space.region, 1u << 24);
        if (ckpt_is_loading(c)) {
            p->space.n_regions = (uint32_t)regions;
            p->space.cap_regions = (uint32_t)cap;
        }
    }
}

/* An index of a list of n things, n standing for none. */
static uint64_t index_state(struct ckpt *c, uint64_t i, uint64_t n)
{
    return ckpt_count(c, i, n);
}

static void thread_state(struct exec *x, struct thread *t, struct ckpt *c)
{
    CKPT_STRUCT(c, t, CKPT_KEEP(struct thread, process), CKPT_KEEP(struct thread, vcpu), CKPT_KEEP(struct thread, os),
                CKPT_KEEP(struct thread, next));
    uint64_t process = index_state(c, ckpt_is_loading(c) ? 0 : process_index(x, t->process), x->n_processes);
    uint64_t vcpu = index_state(c, t->vcpu ? t->vcpu->index : x->vm->n_vcpus, x->vm->n_vcpus);
    if (!ckpt_is_loading(c))
        return;
    t->vcpu = vcpu < x->vm->n_vcpus ? &x->vm->vcpu[vcpu] : NULL;
    if (process == x->n_processes || (t->state == THREAD_RUNNING && !t->vcpu))
        ckpt_fail(c, "thread %u belongs to no process, or runs nowhere", t->tid);
    else
        t->process = x->process[process];
}

static void threads_state(struct exec *x, struct ckpt *c)
{
    uint64_t n = ckpt_count(c, x->n_threads, MAX_THREADS);
    if (ckpt_is_loading(c))
        x->thread = xrealloc(x->thread, (n + 1) * sizeof(struct thread *));
    for (uint64_t i = 0; i < n && !ckpt_failed(c); i++) {
        if (ckpt_is_loading(c)) {
            x->thread[x->n_threads++] = xcalloc(1, sizeof(struct thread));
            linux_thread_start(x->thread[i]);
        }
        thread_state(x, x->thread[i], c);
    }
    /* The ready queue, from its head. */
    struct thread *t = x->ready_head;
    for (uint64_t left = x->n_threads + 1ull; left && !ckpt_failed(c); left--) {
        uint64_t i = index_state(c, t ? thread_index(x, t) : x->n_threads, x->n_threads);
        if (i == x->n_threads)
            break;
        if (ckpt_is_loading(c)) {
            *(x->ready_tail ? &x->ready_tail->next : &x->ready_head) = x->thread[i];
            x->ready_tail = x->thread[i];
        } else {
            t = t->next;
        }
    }
}

static void cpu_state(struct exec *x, struct exec_cpu *e, struct ckpt *c)
{
    uint64_t thread = index_state(c, e->thread ? thread_index(x, e->thread) : x->n_threads, x->n_threads), space = 0;
    while (space < x->n_processes && e->space != &x->process[space]->space)
        space++;
    space = index_state(c, space, x->n_processes);
    e->thread = thread < x->n_threads ? x->thread[thread] : NULL;
    e->space = space < x->n_processes ? &x->process[space]->space : NULL;
    CKPT(c, e->slice_end_ps);
    CKPT(c, e->last_tid);
    CKPT(c, e->has_faulted);
    CKPT(c, e->stored_page);
    CKPT(c, e->stored_hpa);
    CKPT(c, e->recorded);
    CKPT(c, e->wc);
    CKPT(c, e->wc_next);
}

static void pool_state(struct page_pool *p, struct ckpt *c)
{
    CKPT(c, p->next_gpa);
    CKPT(c, p->table_gpa);
    CKPT(c, p->table_end);
    ckpt_array(c, &p->free_gpa, &p->n_free, &p->cap_free, sizeof *p->free_gpa, 1ull << 36);
    ckpt_map(c, &p->shared);
}

/* What was read so far is nonsense: nothing of it is left that an end of a process would follow. */
static void forget_all(struct exec *x)
{
    for (uint32_t i = 0; i < x->n_threads; i++) {
        free(x->thread[i]->os);
        free(x->thread[i]);
    }
    x->n_threads = 0;
    x->ready_head = x->ready_tail = NULL;
    for (uint32_t i = 0; i < x->n_processes; i++) {
        linux_forget(x->process[i]);
        free(x->process[i]->space.region);
        x->process[i]->is_dead = true;
    }
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++) {
        x->cpu[i].thread = NULL;
        x->cpu[i].space = NULL;
    }
}

/* The core whose caches model warm looks into. */
static void warm_caches_state(struct exec_cpu *e, struct ckpt *c)
{
    struct caches *caches = e->x->hv->caches;
    struct x86_warm *w = e->x86.warm;
    uint64_t core = 0;
    while (core < caches->n_cores && (!w || w->l1d != &caches->core[core].l1d))
        core++;
    core = index_state(c, core, caches->n_cores);
    if (!w || core == caches->n_cores)
        return;
    w->l1d = &caches->core[core].l1d;
    w->l1i = &caches->core[core].l1i;
}

static void cpus_state(struct exec *x, struct ckpt *c)
{
    struct x86_memory m = {x->hv->mem, host_page, host_bytes};
    struct x86_cpu **cpu = xcalloc(x->vm->n_vcpus, sizeof(struct x86_cpu *));
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++) {
        cpu[i] = &x->cpu[i].x86;
        cpu_state(x, &x->cpu[i], c);
    }
    x86_state_all(x->code, cpu, x->vm->n_vcpus, &m, c);
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++)
        warm_caches_state(&x->cpu[i], c);
    free(cpu);
}

void exec_state(struct vm *vm, struct ckpt *c)
{
    struct exec *x = vm->guest;
    struct diag d = {0};
    if (x->record || x->debug || x->gdb)
        ckpt_fail(c, "vm %s cannot be checkpointed: found record, trace_insn, profile or gdb, expected none of them",
                  vm->name);
    ckpt_section(c, "programs");
    pool_state(&x->pool, c);
    CKPT(c, x->next_id);
    CKPT(c, x->next_ticket);
    CKPT(c, x->first_wake_ps);
    CKPT(c, x->is_loaded);
    CKPT(c, x->is_over);
    CKPT(c, x->code_changed);
    CKPT(c, x->status);
    CKPT(c, x->stats);
    if (x->bare)
        bare_state(x->bare, c);
    bool has_linux = x->is_loaded && !x->bare;
    if (ckpt_is_loading(c) && has_linux && linux_init(x, &d))
        ckpt_fail(c, "%s", d.text);
    if (x->pace)
        pace_state(x->pace, c);
    ckpt_section(c, "threads");
    processes_state(x, c);
    threads_state(x, c);
    if (has_linux && !ckpt_failed(c))
        linux_state(x, c);
    cpus_state(x, c);
    if (ckpt_is_loading(c) && ckpt_failed(c))
        forget_all(x);
}

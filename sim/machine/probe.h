/* SPDX-License-Identifier: MIT */
/* Micro-benchmarks inside a simulated machine: vCPUs that run a step function in a closed loop over a region of memory,
 * through the same translation, caches and controllers as every guest. `quire validate` is built of them.
 *
 * A probe is a machine of its own. Native: page tables in host memory and no nested walk, as the published
 * measurements were made on bare metal. Nested: the same tables in guest memory, over EPT. */
#ifndef QUIRE_MACHINE_PROBE_H
#define QUIRE_MACHINE_PROBE_H

#include "sim/base/rng.h"
#include "sim/machine/machine.h"

#define PROBE_GVA 0x10000000000ull /* where the region begins */

struct probe_setup {
    uint32_t n_threads;  /* thread i on CPU i of cpu_node; 0: one */
    uint32_t cpu_node;   /* node whose CPUs run the threads */
    uint32_t mem_node;   /* node of the region */
    uint32_t kind;       /* enum mem_kind of the region */
    uint64_t bytes;      /* of the region as the threads see it */
    uint64_t phys_bytes; /* memory behind it, repeated if smaller; 0: as many as bytes */
    uint32_t page_level; /* of the pages that map it, and of its backing when native */
    bool is_nested;      /* over EPT */
    uint32_t ept_level;  /* nested: largest page of the EPT */
    uint32_t levels;     /* of the page tables; 0: 4 */
};

struct probe_thread;
/* Does one operation. -1: error. */
typedef int probe_step(struct probe_thread *t, struct vcpu *v);

struct probe_thread {
    struct probe *p;
    uint32_t index;
    probe_step *step;
    uint64_t i, end;      /* operations done; where the thread stops (~0: never) */
    uint64_t base, bytes; /* the thread's part of the region: offset, length */
    uint64_t unit, gap;   /* the step's own: access size, stride, ... */
    uint64_t at;          /* step_random: offset of the unit under way */
    uint64_t mode;
    uint64_t done_bytes; /* counted by the step */
    ps_t took_ps;        /* summed by steps that time themselves */
    ps_t *log;           /* time of each operation, room for all of a run; NULL: off */
    uint64_t n_log;
    struct rng rng;
};

struct probe {
    struct machine *m;
    struct vm *vm;
    struct probe_setup setup;
    struct probe_thread *thread;
    uint64_t cr3;
    const void *ctx; /* a step's own */
    uint64_t *block; /* pages of phys_bytes, by index */
    uint64_t n_blocks;
};

/* NULL after an error line. The caller frees with probe_free. */
struct probe *probe_new(const struct machine_conf *conf, const struct probe_setup *s, struct diag *d);
/* The same for setup->n_threads threads with a part of thread_bytes each (setup->bytes is computed), on 1 GiB pages;
 * several are not in step and take turns every quantum_ps. */
struct probe *probe_streams(const struct machine_conf *conf, struct probe_setup setup, uint64_t thread_bytes,
                            ps_t quantum_ps, struct diag *d);
void probe_free(struct probe *p);

/* Every thread makes n operations of the given step; threads start together. Answers the time from the start to the end
 * of the last one's last operation (its data there, its stores out of the buffer). 0 after an error in d. */
ps_t probe_run(struct probe *p, probe_step *step, uint64_t n, struct diag *d);
/* All threads run for warm_ps, then for window_ps: bytes that they moved in the window (done_bytes), in GB/s. */
double probe_bandwidth(struct probe *p, probe_step *step, ps_t warm_ps, ps_t window_ps, struct diag *d);

/* Native: the threads' socket has read these bytes of the region before, as its memory directory has it. A benchmark
 * that goes over its memory many times sets each line's bit only once. */
void probe_read_before(struct probe *p, uint64_t offset, uint64_t bytes);

static inline struct core *probe_core(struct probe *p, uint32_t thread)
{
    return &vcpu_cpu(&p->vm->vcpu[thread])->core;
}
/* Drops every translation and cached line of thread 0's CPU: a cold start. */
void probe_forget_translations(struct probe *p);

/* ---- steps ---- */

/* Address of unit i in a pseudo-random order that visits every one of the (bytes / unit) units once; their number is a
 * power of two. */
uint64_t probe_shuffled(const struct probe_thread *t, uint64_t i);

/* Dependent load of one line: unit bytes apart, in address order / shuffled. */
int step_chase_linear(struct probe_thread *t, struct vcpu *v);
int step_chase_shuffled(struct probe_thread *t, struct vcpu *v);
/* One line of accesses of unit bytes: a load, a store, a non-temporal store, a store with CLWB. Line by line, so that
 * threads interleave. Units are sequential over the thread's part, or uniformly random in it. */
enum probe_mode { PROBE_LOAD, PROBE_STORE, PROBE_NTSTORE, PROBE_CLWB };
int probe_line(struct vcpu *v, uint64_t gva, enum probe_mode mode);
int step_stream(struct probe_thread *t, struct vcpu *v);
int step_random(struct probe_thread *t, struct vcpu *v);
/* step_stream with an SFENCE behind each unit. */
int step_fenced(struct probe_thread *t, struct vcpu *v);
/* A whole unit and its SFENCE, timed: took_ps and log get the time of each. For a thread alone. */
int step_persist(struct probe_thread *t, struct vcpu *v);

#endif

/* SPDX-License-Identifier: MIT */
/* What runs in a VM that has no kernel of its own: a light guest-OS model (page tables, page faults, address spaces,
 * flushes of persistent memory) under a player of records, which come from a trace or from a generator. */
#ifndef QUIRE_GUEST_GUEST_H
#define QUIRE_GUEST_GUEST_H

#include "sim/base/conf.h"
#include "sim/base/rng.h"
#include "sim/hv/hv.h"
#include "sim/trace/trace.h"

/* The keys of a vm section. Every field is 8 bytes wide: conf_bind fills it. */
struct vm_conf {
    uint64_t memory_bytes, pmem_bytes, vcpus, node, memory_node, pmem_node;
    uint64_t backing;     /* largest leaf level of the nested tables */
    uint64_t guest_pages; /* level of the guest's own pages: 0 or 1 */
    uint64_t guest_levels;
    uint64_t fault_cycles; /* the guest kernel's page fault handler */
    const char *trace;     /* file to play; "" = generator */
    const char *generator; /* name; "" = trace */
    const char *format;    /* of a trace without a signature; "" = by content */
    uint64_t accesses;     /* generator: records each vCPU makes; trace: at most that many (0 = all) */
    uint64_t footprint_bytes, write_ppm, zipf_ppm, append_bytes, think;
    uint64_t init; /* generator: every page is written once first, in address order */
    uint64_t move_at_ps, move_to_node;
    const char *program; /* static x86-64 ELF to run; "" = records */
    const char *args;    /* its words, separated by spaces; a backslash makes the next character part of a word */
    const char *initrd;  /* of a kernel: its initial file system; "" = none */
    const char *env, *root, *record, *trace_insn, *profile, *gdb;
    uint64_t timing; /* enum x86_timing */
    const char *timing_at, *sample_file;
    uint64_t sample, sample_head, sample_interval, sample_lead, sample_warming, sample_period, sample_confidence,
        sample_error;
    uint64_t native, console;
    uint64_t syscall_cycles, switch_cycles, slice_ps, max_instructions;
};
extern const struct conf_key vm_keys[];

#define PLAYER_BATCH 4096u

/* Where records come from. Fills out; number, 0 at the end, -1 error. */
typedef int source_fn(void *state, struct trace_rec *out, uint32_t max, struct diag *d);

struct generator; /* sim/guest/generate.c */

struct player {
    source_fn *next;
    void *state;
    uint32_t only_vcpu; /* of a trace's records; ~0: all */
    bool is_dependent;  /* every load needs the one before */
    uint32_t n, at;
    uint64_t n_fetched;       /* records taken from the source so far */
    uint64_t ignored_records; /* kinds that a memory system has nothing to do with: block and object requests, marks */
    struct trace_rec rec[PLAYER_BATCH];
    /* The host's look ahead at records to come; pays where many of them miss the simulated caches. */
    bool looks_ahead;
    uint64_t l2_misses, walks; /* of the vCPU's CPU when the batch began */
    struct mmu_foresight foresight;
};

/* One VM's kernel. */
struct guest {
    struct vm_conf conf;           /* its strings are valid while the VM is made only */
    uint64_t next_gpa;             /* data pages */
    uint64_t table_gpa, table_end; /* page-table pages come from 2 MiB blocks of their own */
    uint32_t n_spaces;
    uint64_t space_id[256], space_cr3[256];
    struct player **player; /* one a vCPU */
};

/* Name table of generators for help texts: entry i, or NULL. */
const char *generator_name(uint32_t i);
const char *generator_help(uint32_t i);

/* Builds a VM from its section: the guest, its source of records, its vCPUs. where begins error messages. */
struct vm *guest_new(struct hv *hv, const char *name, const struct vm_conf *conf, const char *where, struct diag *d);
void guest_free(struct vm *vm);
/* The VM's programs, or NULL: it plays records. */
struct exec *guest_exec(const struct vm *vm);

/* ---- inside sim/guest ---- */
extern const struct guest_ops guest_ops;
struct generator *generator_new(const char *name, const struct vm_conf *conf, uint64_t seed, uint32_t vm, uint32_t vcpu,
                                const char *where, struct diag *d);
int generator_next(void *state, struct trace_rec *out, uint32_t max, struct diag *d);
bool generator_is_dependent(const struct generator *g);
int player_run(struct vcpu *v, ps_t until_ps, struct diag *d);
/* The guest switches the vCPU to the address space of that id, made if it is new. */
int guest_space(struct vcpu *v, uint64_t id, struct diag *d);

/* Where a generator is. */
void generator_state(struct generator *g, struct ckpt *c);
/* Where a player is; a trace is read again up to there. */
void player_state(struct vcpu *v, struct ckpt *c);

#endif

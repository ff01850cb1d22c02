/* SPDX-License-Identifier: MIT */
/* Programs in a VM: processes, their threads on the VM's vCPUs, and the processor's bus to the simulated memory. What a
 * system call or a fault means is the personality's (sim/guest/linux.h).
 *
 * Threads are scheduled in a fixed order: a ready one goes to the vCPU that has been idle, else to the tail of one
 * queue; a vCPU takes the head when its thread waits, ends, or has had a slice while others are ready. */
#ifndef QUIRE_GUEST_EXEC_H
#define QUIRE_GUEST_EXEC_H

#include "sim/base/diag.h"
#include "sim/cpu/x86.h"
#include "sim/guest/pace.h"
#include "sim/guest/space.h"
#include "sim/hv/hv.h"
#include "sim/trace/trace.h"

struct bare;
struct exec;
struct thread;

enum thread_state { THREAD_READY, THREAD_RUNNING, THREAD_WAITING, THREAD_DONE };

struct process {
    struct exec *x;
    uint32_t pid, parent_pid;
    struct space space;
    void *os; /* the personality's: files, signal actions, image */
    uint32_t n_threads;
    bool is_dead;   /* no thread is left; status is to be fetched by the parent */
    int32_t status; /* as wait4 gives it: exit code << 8, or a signal */
};

struct thread {
    struct process *process;
    uint32_t tid;
    enum thread_state state;
    struct vcpu *vcpu;      /* RUNNING: where */
    struct x86_state saved; /* not RUNNING: its registers */
    void *os;               /* the personality's: signal mask, clear_child_tid */
    struct thread *next;    /* in the ready queue */
    /* WAITING: */
    uint64_t ticket;             /* order among those that wait */
    uint64_t wait_key;           /* what exec_wake names; 0: only time */
    ps_t wake_ps;                /* UINT64_MAX: no timeout */
    bool will_retry;             /* woken, the system call is made again; else it returns */
    int64_t on_wake, on_timeout; /* what it returns in RAX */
};

/* The wall clock when a run begins: 2026-01-01 00:00:00 UTC. */
#define EXEC_EPOCH_S 1767225600ull

struct exec_conf {
    const char *program; /* path on the host */
    const char *args;    /* words after it, separated by spaces; "" = none */
    char **argv;         /* or these: argc words with the program's name first; NULL: args */
    uint32_t argc;
    const char *root;                 /* of the guest's files on the host; "" = the current directory, read only */
    const char *env;                  /* NAME=VALUE words, separated by spaces */
    const char *gdb;                  /* where to wait for gdb (sim/guest/exec_gdb.h); "" = not */
    const char *trace_insn, *profile; /* files to write, "-" = standard error, "" = none (sim/guest/exec_debug.h) */
    const char *record;               /* trace to write; "" = none */
    const char *initrd;               /* a kernel's initial file system; "" = none */
    struct pace_conf pace;
    bool is_native; /* no EPT: the host's memory is the program's */
    bool console;   /* the program's standard streams are the simulator's; else they are counted and dropped */
    uint64_t seed;
    uint64_t fault_cycles, syscall_cycles,
        switch_cycles;         /* the guest kernel's page fault, system call, thread switch */
    ps_t slice_ps;             /* longest run of a thread while others are ready */
    uint64_t max_instructions; /* 0: no limit */
};

struct exec_stats {
    uint64_t instructions, syscalls, unknown_syscalls, page_faults, signals, switches, threads, processes;
    uint64_t output_bytes;
};
extern const struct stat_desc exec_stat_desc[];
#define EXEC_N_STATS (sizeof(struct exec_stats) / sizeof(uint64_t))

/* Lines of non-temporal stores that are being filled, a processor (SDM volume 1, 11.6; 12 fill buffers do it). */
#define EXEC_WC 12u
struct exec_wc {
    uint64_t line; /* gva >> 6; UINT64_MAX: free */
    uint64_t mask; /* bytes that are there */
};

/* A vCPU's processor. */
struct exec_cpu {
    struct x86_cpu x86;
    struct exec *x;
    struct vcpu *v;
    struct thread *thread; /* that runs on it, or NULL */
    struct space *space;   /* that the processor's translations are of */
    ps_t slice_end_ps;
    uint32_t last_tid;
    bool has_faulted;     /* the last access: x86.fault says how */
    uint64_t stored_page; /* of the last store through the bus, and where it went; UINT64_MAX: asked already */
    uint64_t stored_hpa;
    uint64_t recorded; /* instructions when the last record was written */
    struct exec_wc wc[EXEC_WC];
    uint32_t wc_next;
};

struct exec {
    struct exec_conf conf;
    struct hv *hv;
    struct vm *vm;
    struct page_pool pool;
    struct x86_code *code;
    struct exec_cpu *cpu; /* one a vCPU */
    struct thread *ready_head, *ready_tail;
    struct process **process; /* all, also dead ones that were not waited for */
    uint32_t n_processes;
    struct thread **thread; /* live ones */
    uint32_t n_threads, next_id;
    uint64_t next_ticket;
    struct pace *pace;
    struct trace_writer *record;
    struct exec_debug *debug; /* NULL: nobody looks */
    struct exec_gdb *gdb;     /* NULL: nobody debugs */
    ps_t first_wake_ps;       /* no thread's timeout is before that */
    bool is_loaded;
    bool is_over;      /* the first process has ended */
    bool code_changed; /* memory moved under decoded code: it goes before the next run */
    int32_t status;    /* exit status of quire exec: 0..255, 128 + signal */
    void *os;          /* the personality's */
    struct bare *bare; /* NULL: programs; else the platform of a bare machine (sim/guest/bare.h) */
    struct diag *diag;
    struct exec_stats stats;
};

/* ---- for the personality ---- */

static inline struct exec_cpu *thread_cpu(const struct thread *t)
{
    return &t->process->x->cpu[t->vcpu->index];
}
/* Registers of a thread, wherever they are. */
static inline struct x86_state *thread_regs(struct thread *t)
{
    return t->state == THREAD_RUNNING ? &thread_cpu(t)->x86.state : &t->saved;
}
/* The simulated clock of a running thread. */
static inline ps_t thread_now_ps(const struct thread *t)
{
    return vcpu_cpu(t->vcpu)->core.now_ps;
}

/* Bytes of the program's memory, as its kernel reads and writes them (in the timed models at the price of the
 * accesses). t is running, and the memory is its process's. -1: part of it is not mapped, or not writable for copy_out;
 * bytes before that have been copied. */
int exec_copy_in(struct thread *t, uint64_t gva, void *buf, uint64_t len);
int exec_copy_out(struct thread *t, uint64_t gva, const void *buf, uint64_t len);
/* Writes past the pages' rights, for loading an image and mapping files; pages that are missing are mapped. v pays. -1
 * with d set: no region there, or no memory. */
int exec_fill(struct process *p, struct vcpu *v, uint64_t gva, const void *buf, uint64_t len, struct diag *d);
/* A string with its end into buf of cap bytes. Its length; -1: not mapped; -2: longer than cap - 1. */
int64_t exec_str_in(struct thread *t, uint64_t gva, char *buf, uint64_t cap);

/* A new process without threads or memory; space_init or space_copy is the caller's. */
struct process *process_new(struct exec *x, uint32_t parent_pid);
struct process *process_find(struct exec *x, uint32_t pid);
/* Ends all threads of a process, frees its space; of the first process: ends the run. status as wait4 gives it. */
void process_end(struct process *p, int32_t status, struct vcpu *v);
/* An address-space tag that no live process has; 0 if all 256 are taken. */
uint32_t process_asid(const struct process *p);
/* Forgets a dead process. */
void process_free(struct process *p);
/* A thread with a copy of regs, ready to run. Its tid is the pid for the first of a process. */
struct thread *thread_new(struct process *p, const struct x86_state *regs);
/* The thread's address space is another now (execve): its processor's translations are dropped. */
void thread_space_changed(struct thread *t);
/* Ends one thread and frees it; the process ends with the last one, with status. */
void thread_end(struct thread *t, int32_t status);
/* The running thread waits until exec_wake() names its key, or until_ps (UINT64_MAX: for ever). */
void thread_wait(struct thread *t, uint64_t key, ps_t until_ps, int64_t on_wake, int64_t on_timeout);
/* The same; when woken or in time, its system call is made again (its instruction is run again). */
void thread_wait_retry(struct thread *t, uint64_t key, ps_t until_ps);
/* Wakes at most n threads that wait for key, oldest first. Returns how many. */
uint32_t exec_wake(struct exec *x, uint64_t key, uint32_t n);
/* Moves at most n threads that wait for key to wait for another. */
uint32_t exec_requeue(struct exec *x, uint64_t key, uint32_t n, uint64_t to);
/* A waiting thread goes on at once (a signal): its system call returns result, or, if it may and is one that is made
 * again when woken, is made again. */
void thread_interrupt(struct thread *t, int64_t result, bool may_retry);
/* Gives the rest of its slice away. */
void thread_yield(struct thread *t);

/* ---- for the command and the machine ---- */

extern const struct guest_ops exec_ops;
/* A VM that runs a program; it is loaded when the first vCPU runs. setup->ops and guest are set here. NULL with d set;
 * the VM may exist all the same, and owns the struct exec then. */
struct exec *exec_new(struct hv *hv, const struct vm_setup *setup, const struct exec_conf *conf, struct diag *d);
/* Everything has run: counters are summed up, the trace is completed. */
int exec_finish(struct exec *x, struct diag *d);
void exec_free(struct exec *x);
/* Splits text into words. The array ends with NULL and is one allocation with its words: free() it. */
char **exec_words(const char *text, uint32_t *n);

#endif

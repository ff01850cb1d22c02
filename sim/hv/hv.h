/* SPDX-License-Identifier: MIT */
/* The hypervisor: VMs and vCPUs on the host's CPUs, exits and what they cost, nested faults, shootdowns, page moves,
 * flush hints, power failures, and the plugins that decide. A guest (sim/guest) drives its vCPUs through hv_access()
 * and kin.
 *
 * Time: each CPU has its own clock (cpu->core.now_ps). hv_run() lets the CPUs run in index order, a quantum at a time;
 * timers and page moves happen between quanta, in the order of the event heap. Work of the hypervisor is charged to the
 * CPU that does it. */
#ifndef QUIRE_HV_HV_H
#define QUIRE_HV_HV_H

#include "sim/base/ckpt.h"
#include "sim/base/conf.h"
#include "sim/base/heap.h"
#include "sim/base/hist.h"
#include "sim/base/map.h"
#include "sim/base/stats.h"
#include "sim/base/types.h"
#include "sim/cache/cache.h"
#include "sim/cpu/core.h"
#include "sim/hv/plugin.h"
#include "sim/mem/mem.h"
#include "sim/mmu/mmu.h"
#include "sim/numa/numa.h"

struct hv;
struct vm;
struct vcpu;

struct hv_conf {
    uint64_t cores;                              /* a node */
    uint64_t ept_levels;                         /* 4 or 5 */
    uint64_t quantum_ps;                         /* largest skew between CPUs */
    uint64_t exit_cycles;                        /* exit and entry, handled in the hypervisor's kernel */
    uint64_t violation_cycles;                   /* handling of an EPT violation on top: walk, lock, table edit */
    uint64_t hypercall_cycles;                   /* exit and entry of a hypercall */
    uint64_t cpuid_cycles;                       /* the same of CPUID */
    uint64_t port_out_cycles, port_in_cycles;    /* port I/O answered in the hypervisor's kernel */
    uint64_t user_exit_cycles;                   /* a trip to the user-space part and back, on top of the exit */
    uint64_t emulate_cycles;                     /* decode and emulate one instruction */
    uint64_t leaf_read_cycles, leaf_edit_cycles; /* software walk to a leaf; locked update of one */
    uint64_t invept_cycles;
    uint64_t counter_cycles;                 /* reading one performance counter */
    uint64_t shootdown_ps, shootdown_cpu_ps; /* sender's cost: base, and each CPU interrupted */
    uint64_t ipi_cycles;                     /* cost to a CPU that is interrupted for a shootdown */
    uint64_t power_fail;                     /* enum power_outcome */
    uint64_t holdup;                         /* enum power_holdup: what limits the flush of eADR */
    uint64_t holdup_uj, holdup_mw;           /* energy, and power drawn from it */
    uint64_t holdup_ps;                      /* or the time itself */
};
extern const struct conf_key hv_keys[];

enum power_outcome { POWER_ADR, POWER_ADR_FAILS, POWER_EADR };
enum power_holdup { HOLDUP_UNLIMITED, HOLDUP_ENERGY, HOLDUP_TIME };

/* What a power failure left, and what it cost. */
struct power_stats {
    uint64_t queued_lines, queued_lost; /* persistent lines in the WPQs and on their way into them */
    uint64_t dirty_lines, dirty_lost;   /* persistent lines that only the caches had */
    uint64_t volatile_lines;            /* dirty lines of DRAM, which nobody saves */
    uint64_t flush_ps, flush_uj;        /* from the failure until the last line that made it was on the media */
    uint64_t saved_bytes;               /* of all NVDIMM-Ns, in their flash */
    uint64_t unsaved_lines;             /* lines on their media for which a supercapacitor did not last */
    uint64_t save_ps, restore_ps;       /* modules save and restore themselves at the same time */
};
extern const struct stat_desc power_stat_desc[];
#define POWER_N_STATS (sizeof(struct power_stats) / sizeof(uint64_t))

struct hv_stats {
    uint64_t exits, ept_violations, trace_faults, hint_faults, pml_full_exits, emulated, hypercalls;
    uint64_t cpuid_exits, port_exits, user_exits;
    uint64_t shootdowns, shootdown_ipis, timers;
    uint64_t moves, move_retries, move_failures, moved_bytes;
};
extern const struct stat_desc hv_stat_desc[];
#define HV_N_STATS (sizeof(struct hv_stats) / sizeof(uint64_t))

struct vm_stats {
    uint64_t accesses, reads, writes, fetches;
    uint64_t local_accesses, remote_accesses; /* node of the frame against node of the CPU */
    uint64_t exits, guest_faults, flushes, hint_stores;
    uint64_t pages_mapped; /* 4 KiB pages that have a frame */
};
extern const struct stat_desc vm_stat_desc[];
#define VM_N_STATS (sizeof(struct vm_stats) / sizeof(uint64_t))

/* What a guest has to do; sim/guest implements it. */
struct guest_ops {
    /* Page fault at gva. 0 after mending it; 1: the access does not happen (the program gets the fault); -1 to stop the
     * vCPU with d set. */
    int (*page_fault)(struct vcpu *v, uint64_t gva, uint32_t access, struct diag *d);
    /* An access to guest-physical memory that has no frame: 0: give it one; 1: a device is there, which the guest asks
     * itself: the access does not happen; -1 to stop the vCPU with d set. is_table: of a page-table entry. NULL: 0. */
    int (*device)(struct vcpu *v, uint64_t gpa, bool is_table, struct diag *d);
    /* Runs the vCPU until its CPU's clock reaches until_ps or it has nothing more to do (then v->is_done). -1: error.
     */
    int (*run)(struct vcpu *v, ps_t until_ps, struct diag *d);
    /* Translations of the VM were dropped everywhere: frames may be others now. NULL: the guest keeps none. */
    void (*flushed)(struct vm *vm);
    /* The guest's part of a checkpoint, with all its vCPUs; memory has been read before. */
    void (*state)(struct vm *vm, struct ckpt *c);
    /* run() may be told to stop anywhere without any effect on what follows. */
    bool stops_unseen;
};

#define HINT_UNLISTED 0u /* the guest's NFIT has no hint: it believes that ADR suffices */

/* A persistent region of a VM: a virtual NVDIMM. */
struct vm_region {
    uint64_t gpa, bytes;
    uint64_t hint_gpa;  /* page of its own, above all memory */
    uint32_t hint_mode; /* QUIRE_HINT_*; QUIRE_HINT_NONE without a policy */
    uint32_t host_node;
    uint64_t controllers; /* mask of the host's controllers behind it */
};
#define VM_MAX_REGIONS 8u

/* Golden model G3 of one VM's persistent lines: what flushes and fences promise. For check = true. */
struct durable {
    struct map fenced; /* host line -> version that a later SFENCE made safe under ADR */
    struct map hinted; /* host line -> version that a later flush hint made safe without ADR */
};

#define HV_NODE_ANY UINT32_MAX

struct vm {
    struct hv *hv;
    char *name;
    uint32_t index;
    uint64_t bytes;       /* guest-physical RAM, from 0 */
    uint64_t top_gpa;     /* end of everything: RAM, persistent regions, hint pages */
    uint32_t node;        /* where its table pages and, by default, its memory go */
    uint32_t memory_node; /* node that backs its memory while it has room; HV_NODE_ANY: that of the vCPU */
    uint32_t backing;     /* largest leaf level that the hypervisor uses */
    bool is_native;       /* no EPT under its vCPUs: guest-physical addresses are the host's */
    struct ept ept;
    struct pml *pml;   /* NULL while off */
    uint64_t *pml_log; /* pages taken out of a full log, not yet drained by the policy */
    uint64_t n_pml_log;
    uint32_t n_regions;
    struct vm_region region[VM_MAX_REGIONS];
    const struct guest_ops *ops;
    void *guest; /* sim/guest's state of the VM */
    uint32_t n_vcpus;
    struct vcpu *vcpu;
    struct hist flush_ps; /* a guest's flush: from its first instruction to the last */
    struct durable durable;
    uint64_t *page_accesses; /* golden access counts by guest page (G4), NULL: off */
    uint64_t n_page_accesses;
    struct vm_stats stats;
    struct vm_stats last_sample; /* at the last point of the local-share curve */
};

struct vcpu {
    struct vm *vm;
    uint32_t index;
    uint32_t cpu; /* of the host */
    struct mmu_space space;
    void *guest; /* sim/guest's state of the vCPU */
    bool is_done;
    struct map flushed; /* G3: host line -> version when its last flush retired, not yet fenced by this vCPU */
};

struct cpu {
    struct mmu mmu;
    struct core core;
    uint32_t node;
    uint32_t n_vcpus, cap_vcpus;
    struct vcpu **vcpu; /* that run here, in order of placement; they take turns a quantum each */
    uint32_t turn;
    ps_t hook_ps; /* inside a hook: the CPU's time as the hook's charges move it */
};

/* Called for every access that completes, in order, in batches: guest page numbers. For the true curve and golden
 * counts. */
typedef void hv_tap_fn(void *ctx, uint32_t vm, const uint64_t *gpn, uint32_t n);

struct hv_move; /* sim/hv/move.c */
/* A store hit a write-protected page that is on the move: the copy will be made again. */
bool move_was_written(struct hv *hv, struct vm *vm, uint64_t gpa);

struct hv {
    struct hv_conf conf;
    struct mem *mem;
    struct numa *numa;
    struct caches *caches;
    uint32_t n_cpus;
    struct cpu *cpu;
    uint32_t n_vms;
    struct vm **vm;
    struct plugin_host *plugins;
    struct heap events; /* timers, moves, samples, power: (time, kind, id) */
    ps_t now_ps;        /* of the event or exit being handled */
    ps_t until_ps;      /* end of the quantum that runs */
    bool check;         /* golden models on; invariants are tested at every event */
    bool golden_counts;
    struct hv_move *move;
    hv_tap_fn *tap;
    void *tap_ctx;
    uint32_t n_tap;
    uint32_t tap_vm;
    uint64_t tap_buf[1024];
    uint64_t crash_at;      /* persistence event index at which the power fails; ~0: never */
    uint64_t n_pmem_events; /* stores, flushes, fences and hints to persistent memory so far */
    bool is_down;           /* the power has failed: nothing runs any more */
    ps_t down_ps;           /* time of the last persistence event: when the power failed, if it did */
    uint64_t seed;
    void (*series)(void *ctx, const char *name, const char *label, const char *x_name, double x, double y);
    void (*taint)(void *ctx, const char *word);
    /* What happened from ts on for dur (0: at once), for events.json; pid 0: the machine, 1..: a VM; tid: CPU or node.
     * NULL: nobody wants to know. */
    void (*event)(void *ctx, const char *category, const char *name, uint32_t pid, uint32_t tid, ps_t ts, ps_t dur);
    void *out_ctx;
    /* Called between two quanta when the earliest clock has reached save_at; moves save_at on. Anything but 0 ends
     * the run and is what hv_run() answers. */
    int (*save)(void *ctx, struct diag *d);
    ps_t save_at; /* ~0: never */
    void *save_ctx;
    ps_t sample_ps;    /* period of the local-share curve; 0: off */
    struct diag *diag; /* errors met in the middle of a run */
    struct hv_stats stats;
    struct power_stats power; /* all 0 while the power is there */
};

/* ---- set-up ---- */
int hv_init(struct hv *hv, const struct hv_conf *conf, struct mem *mem, struct numa *numa, struct caches *caches,
            const struct core_conf *core, const struct mmu_conf *mmu, struct diag *d);
void hv_fini(struct hv *hv);

struct vm_setup {
    const char *name;
    uint64_t bytes, pmem_bytes;
    uint32_t n_vcpus, node, pmem_node, backing;
    const struct guest_ops *ops;
    void *guest;
};
/* Makes a VM with its EPT and, if pmem_bytes, one persistent region; vCPU i goes to CPU i of its node, round robin. */
struct vm *hv_vm_new(struct hv *hv, const struct vm_setup *s, struct diag *d);
/* Announces the VM and its vCPUs to the plugins; after the guest has set itself up. */
void hv_vm_start(struct vm *vm);

/* Runs until every vCPU is done, or end_ps (0: no end). -1: error. */
int hv_run(struct hv *hv, ps_t end_ps, struct diag *d);
/* A vCPU that ran alone, and therefore long, has given another something to do at that time: its quantum ends early. It
 * leaves guest_ops.run when its clock has reached hv->until_ps. */
void hv_not_alone(struct hv *hv, ps_t now);
/* Sends what the plugins still expect at the end, settles all queues. */
void hv_finish(struct hv *hv);

/* Where every guest maps its persistent regions and their hint pages. */
#define GUEST_PMEM_GVA 0x600000000000ull
#define GUEST_HINT_GVA 0x6f0000000000ull

/* ---- what a vCPU does ---- */
/* One access within one line. -1: the vCPU cannot go on (v->vm->hv->diag says why). */
int hv_access(struct vcpu *v, uint64_t gva, enum cache_op op, bool dependent);
/* The same, with the host-physical address that it reached; untouched when the access did not happen. */
int hv_touch(struct vcpu *v, uint64_t gva, enum cache_op op, uint64_t *hpa);
/* The same without a core that waits for it: translation, caches and memory see the access at the CPU's clock, which
 * stands still; but it is never more than a microsecond behind what memory promises, so that no backlog grows that a
 * core would not have let grow. No bytes, no persistent memory. */
int hv_warm(struct vcpu *v, uint64_t gva, enum cache_op op, uint64_t *hpa);
/* n accesses more that changed nothing but counters. */
void hv_count(struct vcpu *v, enum cache_op op, bool is_local, uint64_t n);
/* A load and a store that carry their bytes, within one line. */
int hv_load(struct vcpu *v, uint64_t gva, void *buf, uint32_t len);
int hv_store(struct vcpu *v, uint64_t gva, const void *data, uint32_t len);
/* The same, with the host-physical address that it reached. */
int hv_store_at(struct vcpu *v, uint64_t gva, const void *data, uint32_t len, uint64_t *hpa);
int hv_flush_line(struct vcpu *v, uint64_t gva, enum flush_op op);
/* Bytes of a non-temporal store within one line, which wait in a buffer of the core until hv_ntstore() of the line.
 * Memory has them at once. */
int hv_nt_bytes(struct vcpu *v, uint64_t gva, const void *data, uint32_t len, uint64_t *hpa);
/* A non-temporal store of a whole line; data (64 bytes) may be NULL. */
int hv_ntstore(struct vcpu *v, uint64_t gva, const void *data);
void hv_fence(struct vcpu *v, bool loads_too);
/* The guest's nvdimm_flush() of one persistent region. */
int hv_guest_flush(struct vcpu *v, uint32_t region);
/* Guest-physical word, as the guest's kernel reads or writes its page tables: priced, faults in what is missing. */
int hv_phys_store64(struct vcpu *v, uint64_t gpa, uint64_t value);
uint64_t hv_phys_load64(const struct vm *vm, uint64_t gpa);

/* An instruction that always leaves the guest, answered at once: charges the exit, counts it. */
enum hv_exit {
    HV_EXIT_CPUID,
    HV_EXIT_HYPERCALL,
    HV_EXIT_PORT_OUT, /* a device in the hypervisor's kernel */
    HV_EXIT_PORT_IN,
    HV_EXIT_USER, /* a device in the user-space part */
    HV_N_EXITS
};
void hv_exit(struct vcpu *v, enum hv_exit why);
/* Invalidations by the guest: of one page, and of all pages (a write of CR3) of the running space. INVLPG costs its
 * cycles and does not leave the guest. */
void hv_invlpg(struct vcpu *v, uint64_t gva);
void hv_flush_space(struct vcpu *v);

/* Moves a vCPU to another CPU. */
void hv_vcpu_move(struct vcpu *v, uint32_t cpu);

static inline struct cpu *vcpu_cpu(const struct vcpu *v)
{
    return &v->vm->hv->cpu[v->cpu];
}
/* Cycles of hypervisor work on a CPU. */
void hv_charge(struct hv *hv, uint32_t cpu, uint64_t cycles);

/* ---- inside sim/hv ---- */
enum event_kind { EVENT_TIMER, EVENT_MOVE, EVENT_SAMPLE, EVENT_VCPU_MOVE };
extern const struct plugin_ops hv_plugin_ops;
/* Host-physical address behind gpa, with a frame faulted in if needed; ~0 on error. */
uint64_t hv_back(struct vcpu *v, uint64_t gpa, uint32_t access);
/* Invalidates the VM's translations on all CPUs that run it, from CPU cpu. */
void hv_shootdown(struct hv *hv, struct vm *vm, uint32_t cpu);
void hv_pmem_event(struct hv *hv, ps_t t);
/* The guest stops at `at`, and its CPU spends that many cycles in the hypervisor. */
void hv_leave_guest(struct vcpu *v, ps_t at, uint64_t cycles);
/* The translation of gva did not succeed at once: faults and exits until it does. 0: *r is good; 1: the access is to be
 * skipped; -1: error. */
int hv_resolve(struct vcpu *v, uint64_t gva, enum cache_op op, enum mmu_status status, struct mmu_result *r);
/* The built-in default for a flush that no policy answers: every controller behind the region. Answers when all have
 * drained. */
ps_t hv_drain_region(struct vcpu *v, uint32_t region);
/* Puts the hint page of a region into the given QUIRE_HINT_* mode. */
int32_t hv_hint_mode(struct hv *hv, uint32_t cpu, struct vm *vm, uint32_t region, uint32_t mode);

/* sim/hv/move.c */
/* A store hit a write-protected page that is on the move: the copy will be made again. */
bool move_was_written(struct hv *hv, struct vm *vm, uint64_t gpa);
int32_t move_queue(struct hv *hv, uint32_t cpu, uint32_t vm, const uint64_t *gpa, uint32_t n, uint32_t node,
                   uint64_t rate);
uint32_t move_pending(const struct hv *hv);
void move_step(struct hv *hv, ps_t now);
void move_fini(struct hv *hv);

/* sim/hv/durable.c: golden model G3 and power. Reports to hv->diag. */
void durable_flush(struct vcpu *v, uint64_t line);
void durable_fence(struct vcpu *v);
void durable_hint(struct vm *vm, uint32_t region, ps_t done_ps);
void durable_fini(struct vm *vm);
/* Version of a line that would survive a power failure at t. */
uint32_t durable_version(const struct hv *hv, uint64_t line, ps_t t, bool adr);
/* Whether everything that was promised is there after a power failure at t. */
int durable_judge(const struct hv *hv, ps_t t, enum power_outcome outcome, struct diag *d);

/* sim/hv/power.c */
/* The power fails at t with the given outcome, and caches and WPQs do what they would (hv->power says what came of it);
 * then the image is judged: 0 if every promise was kept. Of eADR that ran out of energy nothing is asked but what it
 * had on the media before.
 *
 * eADR flushes in a fixed order. Each channel first drains its WPQ, then takes the lines that the caches give up in the
 * order of cache_drain(), one after the other at the module's own pace; all channels at once. What is on the media when
 * the energy ends is there, the rest is lost. A budget of nothing is ADR's failure.
 *
 * NVDIMM-Ns then save their content on supercapacitors of their own; what those do not last for is lost after all, and
 * no promise of the memory system. */
int hv_power_fail(struct hv *hv, ps_t t, enum power_outcome outcome, struct diag *d);
/* The power is back: persistent memory is what its media kept. VMs do not come back. */
void hv_power_up(struct hv *hv);
/* Golden invariants of the whole state: frames, EPT, caches. */
int hv_verify(const struct hv *hv, struct diag *d);

/* sim/hv/state.c: the whole host with its VMs, guests and policies, between two quanta. The same machine with the same
 * VMs and policies has been built. */
void hv_state(struct hv *hv, struct ckpt *c);
void move_state(struct hv *hv, struct ckpt *c);

#endif

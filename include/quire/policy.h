/* SPDX-License-Identifier: MIT */
/* The policy plugin ABI, version 1.2: all that a memory-management policy may include.
 *
 * A policy is a shared object that exports quire_policy_entry(). The host calls it once; the policy answers with its
 * name, its options, the roles and capabilities it wants and its hooks. From then on the host calls hooks in one total
 * order of simulated time; a hook calls services. Everything a service does is priced by the simulated machine.
 *
 * Compatibility. Structs begin with their own size and only ever grow at the end; a reader uses a field only if the
 * writer's size covers it. All types have a fixed width; there are no enums, bit-fields or pointers into guest memory.
 * A plugin built against 1.x loads in every host 1.y: a newer plugin must check the size of what it is handed.
 *
 * Rules. No threads, no host time, no host randomness, no output. Every handle carries a generation: a stale one is
 * answered with QUIRE_E_STALE. Every argument is checked: a bad one is an error code. A hook that answers nonsense, or
 * goes on calling services beyond its budget, gets its policy ejected: the built-in default takes over, the result says
 * why, and no hook but fini is called any more.
 */
#ifndef QUIRE_POLICY_H
#define QUIRE_POLICY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QUIRE_ABI_MAJOR 1u
#define QUIRE_ABI_MINOR 2u

/* True if a struct that came from the other side covers the field. */
#define QUIRE_HAS(ptr, field) ((ptr)->size >= offsetof(__typeof__(*(ptr)), field) + sizeof((ptr)->field))

/* ---- results ---------------------------------------------------------------------------------------------------- */
/* Calls return 0 or a positive count on success, else one of these. */
#define QUIRE_OK        0
#define QUIRE_E_INVAL   (-1) /* an argument is out of its range */
#define QUIRE_E_STALE   (-2) /* the handle's generation has passed */
#define QUIRE_E_NOENT   (-3) /* no such page, VM, option or name */
#define QUIRE_E_NOMEM   (-4) /* no free frame on the node asked for */
#define QUIRE_E_BUSY    (-5) /* the page is pinned, or already on the move */
#define QUIRE_E_DENIED  (-6) /* the role or capability was not granted */
#define QUIRE_E_BUDGET  (-7) /* the hook's budget of service calls is used up */
#define QUIRE_E_ALREADY (-8) /* nothing to do: it is so already */

/* ---- handles ---------------------------------------------------------------------------------------------------- */
typedef uint64_t quire_vm;    /* index in bits 0..31, generation in bits 32..63 */
typedef uint64_t quire_frame; /* host frame number in bits 0..39, generation in bits 40..63 */
typedef uint64_t quire_timer; /* 0 is never a timer */

#define QUIRE_NODE_ANY 0xffffffffu

/* ---- roles and capabilities ------------------------------------------------------------------------------------- */
/* A role has one owner, which takes it by claim() in init; observers, which take none, are without limit. */
#define QUIRE_ROLE_PLACEMENT (1ull << 0) /* decides the node of a page at its first touch */
#define QUIRE_ROLE_TRACE     (1ull << 1) /* sets one-shot EPT traces */
#define QUIRE_ROLE_NUMA      (1ull << 2) /* moves pages between nodes */
#define QUIRE_ROLE_PMEM      (1ull << 3) /* virtual flush hints */

#define QUIRE_CAP_ORACLE (1ull << 0) /* fetching quire.oracle/1 stamps oracle = true into every result of the run */

/* ---- options ---------------------------------------------------------------------------------------------------- */
#define QUIRE_OPT_BOOL  1u /* number 0 or 1 */
#define QUIRE_OPT_UINT  2u
#define QUIRE_OPT_SIZE  3u /* bytes, written "64KiB" */
#define QUIRE_OPT_TIME  4u /* picoseconds, written "10ms" */
#define QUIRE_OPT_RATIO 5u /* parts per million, written "10%" */
#define QUIRE_OPT_WORD  6u /* number = index into words */
#define QUIRE_OPT_RATE  7u /* bytes per second, written "1GB/s" */

struct quire_option {
    uint32_t size;            /* sizeof(struct quire_option) */
    uint32_t type;            /* QUIRE_OPT_* */
    const char *name;         /* snake_case */
    const char *def;          /* default, as a config file would write it */
    uint64_t min, max;        /* range of the number; max 0: no limit */
    const char *const *words; /* QUIRE_OPT_WORD: NULL-terminated; else NULL */
    const char *help;         /* one sentence */
};

/* ---- what hooks are told ---------------------------------------------------------------------------------------- */
#define QUIRE_VM_CREATED    1u /* before its first instruction; its persistent regions exist */
#define QUIRE_VM_DESTROYED  2u /* also at the end of the run; services still answer for it; its last event */
#define QUIRE_VM_VCPU_MOVED 3u /* vcpu now runs on cpu of node; also when it is placed for the first time */
#define QUIRE_VM_MAPPED     4u /* gpa got a frame; the access that asked for it runs after the hook */
#define QUIRE_VM_UNMAPPED   5u /* gpa lost its frame (balloon, swap, hot-unplug): its trace is gone */
#define QUIRE_VM_PHASE      6u /* the workload passed a mark; value = its number */
/* The VM is about to run on another host, or NVDIMMs were plugged or unplugged: value = hint_controllers() from now on.
 * Comes before the first instruction under the new conditions. */
#define QUIRE_VM_HOST_CHANGED 7u

struct quire_vm_event {
    uint32_t size;
    uint32_t what; /* QUIRE_VM_* */
    quire_vm vm;
    uint64_t now_ps;
    uint32_t vcpu, cpu, node;
    uint32_t level; /* 0 = 4 KiB, 1 = 2 MiB, 2 = 1 GiB */
    uint64_t gpa;   /* byte address of the page's first byte */
    uint64_t value;
};

#define QUIRE_ACCESS_READ  1u
#define QUIRE_ACCESS_WRITE 2u
#define QUIRE_ACCESS_EXEC  4u
#define QUIRE_ACCESS_WALK  8u /* told, never asked for: the page walker read or marked a guest page-table entry */

/* Why the hardware (or the hypervisor's page tables) stopped the access. */
#define QUIRE_FAULT_TRACE   1u /* a one-shot trace of this policy fired; still armed while the hook runs */
#define QUIRE_FAULT_HINT    2u /* a store to a virtual flush hint page */
#define QUIRE_FAULT_MISSING 3u /* no frame yet: a placement owner names the node */

struct quire_fault {
    uint32_t size;
    uint32_t why;    /* QUIRE_FAULT_* */
    uint32_t access; /* QUIRE_ACCESS_* bits of the access */
    uint32_t level;  /* leaf level of the page */
    quire_vm vm;
    uint32_t vcpu;
    uint32_t cpu;
    uint64_t gpa; /* of the access */
    uint64_t now_ps;
    uint32_t region; /* QUIRE_FAULT_HINT: persistent region of the VM, 0.. */
    uint32_t reserved;
};

#define QUIRE_VERDICT_DEFAULT 0u /* the built-in default decides */
#define QUIRE_VERDICT_RESUME  1u /* disarm the trace and run the instruction again */
#define QUIRE_VERDICT_SKIP    2u /* a hint store is done: go on behind the instruction */
#define QUIRE_VERDICT_STOP    3u /* stop the VM: an error */
/* The hypervisor carries out this one access by its instruction emulator and leaves the trace armed, so that the very
 * next access faults too. Costs the emulation on top of the exit. An access of the page walker cannot be emulated:
 * there it is RESUME. */
#define QUIRE_VERDICT_EMULATE 4u

struct quire_verdict {
    uint32_t size;
    uint32_t what; /* QUIRE_VERDICT_* */
    uint32_t node; /* QUIRE_FAULT_MISSING: where to put the page; QUIRE_NODE_ANY = the vCPU's own node */
    uint32_t reserved;
    uint64_t until_ps; /* SKIP: the vCPU goes on no earlier than this (a drain it waits for); 0: at once */
};

/* Completion of a page move that was queued by quire.frame/1 move(). */
struct quire_done {
    uint32_t size;
    int32_t result; /* QUIRE_OK or QUIRE_E_* */
    quire_vm vm;
    uint64_t gpa;
    uint32_t from_node, to_node;
    uint32_t retries; /* times the copy was begun again because the page was written meanwhile */
    uint32_t reserved;
    uint64_t now_ps;
};

/* The guest asked for a flush of its persistent memory by hypercall (QUIRE_HINT_HYPERCALL). */
struct quire_flush {
    uint32_t size;
    uint32_t vcpu;
    quire_vm vm;
    uint32_t cpu;
    uint32_t region; /* persistent region of the VM, 0.. */
    uint64_t now_ps;
};

#define QUIRE_POWER_FAIL 1u /* AC and battery are gone at now_ps; only the persistence domain survives */

struct quire_power {
    uint32_t size;
    uint32_t what;
    uint64_t now_ps;
};

/* A checkpoint is written, or read back into an instance that init has just made with the same options on the same
 * machine. What services gave (timers, handles of VMs) stays valid: it is saved as it is. No service may be called. */
struct quire_state {
    uint32_t size;
    uint32_t is_loading; /* 1: the bytes are set, 0: they are taken */
    void (*bytes)(const struct quire_state *s, void *p, uint64_t n);
    /* n as it was saved; more than max is damage, answered by 0. */
    uint64_t (*count)(const struct quire_state *s, uint64_t n, uint64_t max);
};

/* ---- hooks: NULL means the built-in default ------------------------------------------------------------------------
 */
struct quire_hooks {
    uint32_t size;
    uint32_t reserved;
    void (*fini)(void *self); /* releases the instance; no service is there any more */
    void (*vm_event)(void *self, const struct quire_vm_event *e);
    /* Synchronous: the vCPU waits. out is preset to QUIRE_VERDICT_DEFAULT. */
    void (*fault)(void *self, const struct quire_fault *f, struct quire_verdict *out);
    void (*timer)(void *self, quire_timer timer, uint64_t cookie, uint64_t now_ps);
    void (*done)(void *self, const struct quire_done *d);
    /* Answers when the flush is complete, in ps; the vCPU waits until then. */
    uint64_t (*flush)(void *self, const struct quire_flush *f);
    void (*power)(void *self, const struct quire_power *p);
    /* Since 1.2. Passes everything that init would not make again through s. 0, or QUIRE_E_* if it cannot. A policy
     * without it (NULL) makes its run one that cannot be checkpointed. */
    int32_t (*state)(void *self, const struct quire_state *s);
};

/* ---- services ------------------------------------------------------------------------------------------------------
 */
/* A service is fetched by its id ("quire.ept/1"); NULL if the host does not have it or did not grant it. The first
 * argument of every call is the service itself. */

/* "quire.core/1" */
struct quire_core {
    uint32_t size;
    uint32_t n_nodes; /* NUMA nodes of the host; those without CPUs are memory-only */
    uint64_t (*now_ps)(const struct quire_core *c);
    /* Uniform in [0, n), n > 0, from the policy's random stream of that name. */
    uint64_t (*random)(const struct quire_core *c, const char *stream, uint64_t n);
    /* Calls hooks.timer at now + delay_ps, then every period_ps (0: once). The hook's work is charged to cpu; where it
     * takes longer than the period, the times that it missed are left out. */
    quire_timer (*timer_start)(const struct quire_core *c, uint64_t delay_ps, uint64_t period_ps, uint32_t cpu,
                               uint64_t cookie);
    int32_t (*timer_stop)(const struct quire_core *c, quire_timer t);
    /* The policy's own computing: cycles of the CPU the hook runs on. */
    void (*charge)(const struct quire_core *c, uint64_t cycles);
    /* A named counter of the policy, shown as policy.NAME.<name>; the name carries its unit (moves, faults,
     * copied_bytes). */
    void (*count)(const struct quire_core *c, const char *name, uint64_t add);
    /* One sample of a named histogram; shown as <name>_p50, _p99, _max with the unit before it: sample("flush_ns", ..).
     */
    void (*sample)(const struct quire_core *c, const char *name, uint64_t value);
    /* One point of a named curve in the run's series.csv: x and y with their names and units ("time_us",
     * "local_ratio"). */
    void (*series)(const struct quire_core *c, const char *name, const char *label, const char *x_name, double x,
                   double y);
    /* The value of one of the policy's own options as a number (see QUIRE_OPT_*). */
    uint64_t (*option)(const struct quire_core *c, const char *name);
    /* The VM's title in the experiment file, for labels; "" for a stale handle. Valid as long as the VM. */
    const char *(*vm_name)(const struct quire_core *c, quire_vm vm);
    /* Appends to the hash-chained decision log; what and the numbers identify the decision. */
    void (*mark)(const struct quire_core *c, const char *what, uint64_t a, uint64_t b);
};

/* "quire.ept/1": the VM's nested page tables. Pages are named by guest-physical byte address. */
#define QUIRE_LEVEL_4K 0u
#define QUIRE_LEVEL_2M 1u
#define QUIRE_LEVEL_1G 2u

/* State of one leaf, as scan() and query() return it: arrays of it cross the border, so it has no size and stays as it
 * is. */
#define QUIRE_LEAF_MAPPED   1u  /* a frame is behind it */
#define QUIRE_LEAF_ACCESSED 2u  /* A bit before it was cleared */
#define QUIRE_LEAF_DIRTY    4u  /* D bit before it was cleared */
#define QUIRE_LEAF_TRACED   8u  /* a one-shot trace is armed */
#define QUIRE_LEAF_PINNED   16u /* may not move */
#define QUIRE_LEAF_PMEM     32u /* persistent memory */

#define QUIRE_LEAF_SOFT_SHIFT 8

struct quire_leaf {
    uint64_t gpa; /* first byte of the page */
    quire_frame frame;
    uint32_t node;
    uint16_t level;
    uint16_t bits; /* QUIRE_LEAF_*; the 6 software bits from QUIRE_LEAF_SOFT_SHIFT on */
};

#define QUIRE_SCAN_CLEAR_A 1u
#define QUIRE_SCAN_CLEAR_D 2u

struct quire_ept {
    uint32_t size;
    uint32_t reserved;
    /* Guest-physical bytes of the VM, persistent regions included. */
    uint64_t (*vm_bytes)(const struct quire_ept *s, quire_vm vm);
    /* Mapped leaves from gpa *cursor on, at most max; *cursor moves behind the last one looked at, ~0 at the end. flags
     * QUIRE_SCAN_CLEAR_* clear A/D bits with one atomic update a leaf; the TLBs keep stale bits until flush(). Returns
     * the number of leaves. Cost: one cached read a leaf, one locked update where bits were cleared. */
    int32_t (*scan)(const struct quire_ept *s, quire_vm vm, uint64_t *cursor, uint32_t flags, struct quire_leaf *out,
                    uint32_t max);
    int32_t (*query)(const struct quire_ept *s, quire_vm vm, uint64_t gpa, struct quire_leaf *out);
    /* Arms a one-shot trace on the leaves that cover gpa[0..n), whatever their size: the next access of the kinds in
     * access (READ, WRITE, EXEC) faults with QUIRE_FAULT_TRACE; access 0 disarms. A vCPU that has the translation in
     * its TLB sees it after the next flush(). Returns how many leaves are as asked now; pages without a frame are
     * left out. Needs QUIRE_ROLE_TRACE. */
    int32_t (*trace)(const struct quire_ept *s, quire_vm vm, const uint64_t *gpa, uint32_t n, uint32_t access);
    /* Invalidates the VM's translations on every CPU that runs it: one batched shootdown for all edits so far. */
    int32_t (*flush)(const struct quire_ept *s, quire_vm vm);
    /* Replaces the large leaf that covers gpa by leaves one level smaller. */
    int32_t (*split)(const struct quire_ept *s, quire_vm vm, uint64_t gpa);
    /* The reverse, if the frames are contiguous, aligned and alike in their permissions. */
    int32_t (*merge)(const struct quire_ept *s, quire_vm vm, uint64_t gpa);
    /* Software bits (6) of the leaf; kept across moves, shown in quire_leaf.bits. */
    int32_t (*soft_set)(const struct quire_ept *s, quire_vm vm, uint64_t gpa, uint32_t bits);
    /* Turns the page-modification log on or off; a full log (512 entries) costs an exit. drain() returns logged pages.
     */
    int32_t (*pml)(const struct quire_ept *s, quire_vm vm, uint32_t on);
    int32_t (*pml_drain)(const struct quire_ept *s, quire_vm vm, uint64_t *gpa, uint32_t max);
};

/* "quire.frame/1": host frames and their moves between nodes. */
struct quire_frames {
    uint32_t size;
    uint32_t reserved;
    uint64_t (*free_pages)(const struct quire_frames *s, uint32_t node);
    /* Needs QUIRE_ROLE_NUMA. Queues moves of the leaves that cover gpa[0..n) to node; the machine copies each
     * (write-protect, copy, recheck, switch leaf, shootdown a batch, free), at most rate_bytes_per_s (0: as fast as it
     * goes). Returns how many it took, from the first on: the queue is bounded. Each one taken is answered by exactly
     * one hooks.done, moved or not. */
    int32_t (*move)(const struct quire_frames *s, quire_vm vm, const uint64_t *gpa, uint32_t n, uint32_t node,
                    uint64_t rate_bytes_per_s);
    /* Moves queued and not yet done. */
    uint32_t (*moving)(const struct quire_frames *s);
    int32_t (*pin)(const struct quire_frames *s, quire_vm vm, uint64_t gpa);
    int32_t (*unpin)(const struct quire_frames *s, quire_vm vm, uint64_t gpa);
};

/* "quire.pmem/1": flush hints and the persistence domain. */
#define QUIRE_HINT_TRAP      1u /* listed; write-protected: a store faults with QUIRE_FAULT_HINT */
#define QUIRE_HINT_OPEN      2u /* listed; a writable page that nothing is behind: a store costs a store */
#define QUIRE_HINT_NONE      3u /* not listed: the guest believes that ADR suffices and never flushes */
#define QUIRE_HINT_HYPERCALL 4u /* not listed; the guest flushes by hypercall, as with a virtio-pmem device */

struct quire_pmem {
    uint32_t size;
    uint32_t n_controllers; /* memory controllers of the host, at most 64 */
    /* Controllers that have a physical flush hint address, as a mask; 0 on a host without hints. */
    uint64_t (*hint_controllers)(const struct quire_pmem *s);
    uint32_t (*n_regions)(const struct quire_pmem *s, quire_vm vm);
    /* Controllers that back persistent region r of the VM now, as a mask. */
    uint64_t (*backing)(const struct quire_pmem *s, quire_vm vm, uint32_t region);
    /* How the guest flushes the region. TRAP and OPEN list one unused guest-physical page in its NFIT: pinned, never
     * shared, swapped or merged, the same on every host. Needs QUIRE_ROLE_PMEM, like hint_write. The guest itself sees
     * NONE and HYPERCALL only when it boots.
     */
    int32_t (*hint_mode)(const struct quire_pmem *s, quire_vm vm, uint32_t region, uint32_t mode);
    /* The sequence sfence; one uncached write a controller of the mask, in parallel; sfence, begun at start_ps (now, or
     * later: 0 means now). *done_ps is when the last of these controllers has drained what is queued now, or start_ps
     * if that is later. */
    int32_t (*hint_write)(const struct quire_pmem *s, uint64_t mask, uint64_t start_ps, uint64_t *done_ps);
    /* When the controller will have drained what is queued now, given the hint writes already issued. */
    uint64_t (*drained_ps)(const struct quire_pmem *s, uint32_t controller);
};

/* "quire.pmu/1", since 1.1: performance counters of the CPUs. */
struct quire_pmu {
    uint32_t size;
    uint32_t reserved;
    /* Memory accesses of the kinds in access (READ: loads, WRITE: stores, EXEC: fetched lines) that the VM's vCPUs have
     * retired since it began; 0 for other kinds. Accesses of the page walker and of the hypervisor are not counted.
     * Cost: one counter read for each kind and vCPU. */
    uint64_t (*retired)(const struct quire_pmu *s, quire_vm vm, uint32_t access);
};

/* "quire.oracle/1": what no hardware shows. Needs QUIRE_CAP_ORACLE. */
struct quire_oracle {
    uint32_t size;
    uint32_t reserved;
    /* Accesses of the page since the VM began, as the golden access log has them. */
    uint64_t (*accesses)(const struct quire_oracle *s, quire_vm vm, uint64_t gpa);
    /* Pages of the VM in the order of their golden access count, most used first; returns how many were written. */
    int32_t (*hottest)(const struct quire_oracle *s, quire_vm vm, uint64_t *gpa, uint32_t max);
};

/* ---- the handshake --------------------------------------------------------------------------------------------------
 */
struct quire_host {
    uint32_t size;
    uint32_t abi_major, abi_minor;
    uint32_t reserved;
    const void *(*service)(const struct quire_host *h, const char *id);
    /* In init: takes roles, out of those that quire_policy.roles names. QUIRE_E_BUSY if another policy has one. */
    int32_t (*claim)(const struct quire_host *h, uint64_t roles);
};

struct quire_policy {
    uint32_t size;                 /* sizeof(struct quire_policy) of the plugin's header */
    uint32_t abi_major, abi_minor; /* what the plugin was built against */
    uint32_t n_options;
    const char *name; /* as in `policy "name" { }` */
    const char *help; /* one paragraph */
    uint64_t roles;   /* QUIRE_ROLE_* it may claim */
    uint64_t caps;    /* QUIRE_CAP_* it may use */
    const struct quire_option *options;
    const struct quire_hooks *hooks;
    /* Makes one instance. Services and options are available. 0, or QUIRE_E_* to refuse, *why (NULL before) then says
     * why. fini is called for whatever was stored in *self, also after a refusal. */
    int32_t (*init)(const struct quire_host *h, void **self, const char **why);
    /* 32 lower-case hex digits that stand for everything the plugin was built from, so that the same source gives the
     * same run id under every compiler; NULL: the digest of the file stands for it. */
    const char *source_id;
};

/* The one exported symbol: fills nothing, returns a struct that stays valid until the library is closed. */
#define QUIRE_POLICY_ENTRY "quire_policy_entry"
typedef const struct quire_policy *quire_policy_entry_fn(void);
__attribute__((visibility("default"))) const struct quire_policy *quire_policy_entry(void);

/* ---- shorthand for plugins written in C ---------------------------------------------------------------------------
 */
/* One line of an option table: QUIRE_OPTION(TIME, "delay", "10ms", "how long ..."); .min, .max and .words may follow.
 */
#define QUIRE_OPTION(type_, name_, def_, help_, ...)                                                                   \
    {                                                                                                                  \
        .size = sizeof(struct quire_option), .type = QUIRE_OPT_##type_, .name = (name_), .def = (def_),                \
        .help = (help_), ##__VA_ARGS__                                                                                 \
    }
#define QUIRE_OPTIONS(array) .options = (array), .n_options = sizeof(array) / sizeof((array)[0])
/* Defined by a build that hashes the sources. */
#ifndef QUIRE_SOURCE_ID
#define QUIRE_SOURCE_ID NULL
#endif
/* An array from malloc of n bytes, in hooks.state: reading, the old one is freed and a new one made. */
static inline void quire_state_memory(const struct quire_state *s, void *pp, uint64_t n)
{
    void **p = (void **)pp;
    if (s->is_loading) {
        free(*p);
        *p = calloc(n ? n : 1, 1);
    }
    if (n)
        s->bytes(s, *p, n);
}
/* An array of n pointers to things of size bytes, where NULL is none (one a VM, say), in hooks.state: reading, the
 * array and its things are made anew, zeroed; then one() does the same for what is in each. */
static inline void quire_state_things(const struct quire_state *s, void *pp, uint32_t *n, uint64_t size, void *self,
                                      void (*one)(void *self, void *thing, const struct quire_state *s))
{
    void ***thing = (void ***)pp;
    *n = (uint32_t)s->count(s, *n, 1u << 16);
    if (s->is_loading)
        *thing = (void **)calloc(*n + 1ull, sizeof **thing);
    for (uint32_t i = 0; i < *n; i++) {
        uint64_t is_there = s->count(s, (*thing)[i] != NULL, 1);
        if (s->is_loading && is_there)
            (*thing)[i] = calloc(1, size);
        if (is_there)
            one(self, (*thing)[i], s);
    }
}
/* The whole plugin: QUIRE_POLICY(.name = "x", .help = "...", .hooks = &hooks, .init = init, ...) */
#define QUIRE_POLICY(...)                                                                                              \
    static const struct quire_policy quire_this_policy = {.size = sizeof(struct quire_policy),                         \
                                                          .abi_major = QUIRE_ABI_MAJOR,                                \
                                                          .abi_minor = QUIRE_ABI_MINOR,                                \
                                                          .source_id = QUIRE_SOURCE_ID,                                \
                                                          __VA_ARGS__};                                                \
    const struct quire_policy *quire_policy_entry(void)                                                                \
    {                                                                                                                  \
        return &quire_this_policy;                                                                                     \
    }

#ifdef __cplusplus
}
#endif
#endif

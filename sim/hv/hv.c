/* SPDX-License-Identifier: MIT */
/* Set-up, time and scheduling; accesses are in access.c. */
#include "sim/hv/hv.h"

#include <stdlib.h>
#include <string.h>

static const char *const outcomes[] = {"adr", "adr-fails", "eadr", NULL};
static const char *const holdups[] = {"unlimited", "energy", "time", NULL};

#define K(field) offsetof(struct hv_conf, field)
/* Exit costs: kvm-unit-tests vmexit on a Skylake-class server, Linux b7ffc44d5b2e (numbers.md rows 24, 25); INVEPT of
 * the order of INVLPG (row 31); shootdowns as systems.md section 0 proposes. The others are knobs without a published
 * number. */
const struct conf_key hv_keys[] = {
    {"cores", CONF_UINT, K(cores), "4", 1, 32, NULL, "cores of each node"},
    {"ept_levels", CONF_UINT, K(ept_levels), "4", 4, 5, NULL, "levels of the nested page tables"},
    {"quantum", CONF_TIME, K(quantum_ps), "1us", 1000, 0, NULL, "largest skew between the clocks of two CPUs"},
    {"exit_cycles", CONF_UINT, K(exit_cycles), "1350", 0, 0, NULL, "exit and entry handled in the kernel (row 24)"},
    {"violation_cycles", CONF_UINT, K(violation_cycles), "600", 0, 0, NULL,
     "handling of an EPT violation, on top (a knob: row 33)"},
    {"hypercall_cycles", CONF_UINT, K(hypercall_cycles), "1190", 0, 0, NULL,
     "exit and entry of a hypercall (row 24: vmcall)"},
    {"cpuid_cycles", CONF_UINT, K(cpuid_cycles), "1300", 0, 0, NULL, "exit and entry of CPUID (row 24)"},
    {"port_out_cycles", CONF_UINT, K(port_out_cycles), "1395", 0, 0, NULL,
     "write of a port that the kernel answers (row 24: outl_to_kernel)"},
    {"port_in_cycles", CONF_UINT, K(port_in_cycles), "2385", 0, 0, NULL,
     "read of a port that the kernel answers (row 24: inl_from_kernel)"},
    {"user_exit_cycles", CONF_UINT, K(user_exit_cycles), "5000", 0, 0, NULL,
     "trip to the user-space part and back, on top of an exit (row 25)"},
    {"emulate_cycles", CONF_UINT, K(emulate_cycles), "2000", 0, 0, NULL, "decode and emulate one instruction (a knob)"},
    {"leaf_read_cycles", CONF_UINT, K(leaf_read_cycles), "20", 0, 0, NULL, "reading one leaf in software (a knob)"},
    {"leaf_edit_cycles", CONF_UINT, K(leaf_edit_cycles), "60", 0, 0, NULL, "locked update of one leaf (a knob)"},
    {"invept_cycles", CONF_UINT, K(invept_cycles), "250", 0, 0, NULL,
     "INVEPT on one CPU (row 31: the order of INVLPG)"},
    {"counter_cycles", CONF_UINT, K(counter_cycles), "30", 0, 0, NULL,
     "reading one performance counter (a knob: the order of RDTSC)"},
    {"shootdown", CONF_TIME, K(shootdown_ps), "2us", 0, 0, NULL, "sender's cost of a shootdown of other CPUs"},
    {"shootdown_cpu", CONF_TIME, K(shootdown_cpu_ps), "500ns", 0, 0, NULL, "and for each CPU interrupted"},
    {"ipi_cycles", CONF_UINT, K(ipi_cycles), "1500", 0, 0, NULL, "cost to a CPU that is interrupted"},
    {"power_fail", CONF_CHOICE, K(power_fail), "adr", 0, 0, outcomes,
     "what a power failure leaves: WPQs drained, lost, or caches too"},
    {"holdup", CONF_CHOICE, K(holdup), "unlimited", 0, 0, holdups,
     "what ends the flush of eADR: nothing, an energy, or a time; lines that are not on the media by then are lost"},
    {"holdup_energy", CONF_ENERGY, K(holdup_uj), "550mJ", 0, 0, NULL,
     "energy of the hold-up (row 71: what eADR takes on a server, Alshboul et al., HPCA'21)"},
    {"holdup_power", CONF_POWER, K(holdup_mw), "305W", 1, 0, NULL,
     "power drawn from it during the flush (row 71: 550 mJ in 1.8 ms)"},
    {"holdup_time", CONF_TIME, K(holdup_ps), "1.8ms", 0, 0, NULL, "time of the hold-up (row 71)"},
    {0},
};
#undef K

const struct stat_desc hv_stat_desc[] = {
    {"exits", STAT_COUNT, "1", "VM exits of all kinds"},
    {"ept_violations", STAT_COUNT, "1", "exits by an EPT violation"},
    {"trace_faults", STAT_COUNT, "1", "of those, a one-shot trace that fired"},
    {"hint_faults", STAT_COUNT, "1", "of those, a store to a trapped flush hint"},
    {"pml_full_exits", STAT_COUNT, "1", "exits by a full page-modification log"},
    {"emulated", STAT_COUNT, "1", "accesses carried out by the instruction emulator"},
    {"hypercalls", STAT_COUNT, "1", "hypercalls"},
    {"cpuid_exits", STAT_COUNT, "1", "exits by CPUID"},
    {"port_exits", STAT_COUNT, "1", "exits by port I/O that the kernel answered"},
    {"user_exits", STAT_COUNT, "1", "exits that the user-space part answered"},
    {"shootdowns", STAT_COUNT, "1", "batched TLB shootdowns"},
    {"shootdown_ipis", STAT_COUNT, "1", "CPUs interrupted for them"},
    {"timers", STAT_COUNT, "1", "policy timers that fired"},
    {"moves", STAT_COUNT, "pages", "pages (of any size) moved to another node"},
    {"move_retries", STAT_COUNT, "1", "copies made again because the page was written meanwhile"},
    {"move_failures", STAT_COUNT, "pages", "moves that ended without one"},
    {"moved_bytes", STAT_COUNT, "bytes", "bytes copied by moves that succeeded"},
};
STATS_COMPLETE(struct hv_stats, hv_stat_desc);

const struct stat_desc vm_stat_desc[] = {
    {"accesses", STAT_COUNT, "1", "memory accesses of the guest, a line each"},
    {"reads", STAT_COUNT, "1", "loads"},
    {"writes", STAT_COUNT, "1", "stores"},
    {"fetches", STAT_COUNT, "1", "instruction fetches"},
    {"local_accesses", STAT_COUNT, "1", "accesses to pages on the node of the vCPU"},
    {"remote_accesses", STAT_COUNT, "1", "accesses to pages on other nodes"},
    {"exits", STAT_COUNT, "1", "exits of the VM's vCPUs"},
    {"guest_faults", STAT_COUNT, "1", "page faults that the guest's kernel served"},
    {"flushes", STAT_COUNT, "1", "flushes of persistent regions that the guest asked for"},
    {"hint_stores", STAT_COUNT, "1", "stores to virtual flush hints"},
    {"pages_mapped", STAT_LEVEL, "pages", "4 KiB pages with a frame"},
};
STATS_COMPLETE(struct vm_stats, vm_stat_desc);

int hv_init(struct hv *hv, const struct hv_conf *conf, struct mem *mem, struct numa *numa, struct caches *caches,
            const struct core_conf *core, const struct mmu_conf *mmu, struct diag *d)
{
    *hv = (struct hv){.conf = *conf,
                      .mem = mem,
                      .numa = numa,
                      .caches = caches,
                      .crash_at = UINT64_MAX,
                      .save_at = UINT64_MAX,
                      .diag = d};
    hv->n_cpus = caches->n_cores;
    hv->cpu = xaligned(64, hv->n_cpus * sizeof *hv->cpu);
    for (uint32_t i = 0; i < hv->n_cpus; i++) {
        struct cpu *cpu = &hv->cpu[i];
        cpu->node = caches->core[i].socket;
        core_init(&cpu->core, core);
        if (mmu_init(&cpu->mmu, mmu, caches, mem, i, core->hz, d))
            return -1;
    }
    return 0;
}

static void vm_free(struct vm *vm)
{
    for (uint32_t i = 0; i < vm->n_vcpus; i++)
        map_free(&vm->vcpu[i].flushed);
    durable_fini(vm);
    ept_fini(&vm->ept);
    free(vm->vcpu);
    free(vm->pml);
    free(vm->pml_log);
    free(vm->page_accesses);
    free(vm->name);
    free(vm);
}

void hv_fini(struct hv *hv)
{
    for (uint32_t i = 0; i < hv->n_vms; i++)
        vm_free(hv->vm[i]);
    for (uint32_t i = 0; hv->cpu && i < hv->n_cpus; i++) {
        mmu_fini(&hv->cpu[i].mmu);
        free(hv->cpu[i].vcpu);
    }
    move_fini(hv);
    heap_free(&hv->events);
    free(hv->vm);
    free(hv->cpu);
}

/* ---- VMs ---- */

static void place(struct hv *hv, struct vcpu *v, uint32_t cpu)
{
    struct cpu *c = &hv->cpu[cpu];
    if (c->n_vcpus == c->cap_vcpus) {
        c->cap_vcpus = c->cap_vcpus ? c->cap_vcpus * 2 : 4;
        c->vcpu = xrealloc(c->vcpu, c->cap_vcpus * sizeof *c->vcpu);
    }
    c->vcpu[c->n_vcpus++] = v;
    v->cpu = cpu;
}

/* Backs a persistent region with contiguous frames of its node, by the largest pages that fit. */
static int region_map(struct vm *vm, struct vm_region *r, struct diag *d)
{
    struct hv *hv = vm->hv;
    struct mem_region *from = mem_find_region(hv->mem, r->host_node, MEM_PMEM);
    if (!from)
        return fail(d, "vm %s: node %u of the machine has no persistent memory", vm->name, r->host_node);
    for (uint64_t at = 0; at < r->bytes;) {
        uint32_t level = r->bytes - at >= GIB && (r->gpa + at) % GIB == 0 ? LEVEL_1G : LEVEL_2M;
        uint64_t mfn = mem_alloc(hv->mem, from, level, FRAME_GUEST, vm->index, (r->gpa + at) >> PAGE_SHIFT);
        if (mfn == MFN_NONE || ept_map(&vm->ept, r->gpa + at, mfn, level, EPT_RWX))
            return fail(d, "vm %s: %llu bytes of persistent memory asked for, node %u has no more than %llu free",
                        vm->name, (unsigned long long)r->bytes, r->host_node,
                        (unsigned long long)(from->free_pages << PAGE_SHIFT));
        at += 1ull << LEVEL_SHIFT(level);
    }
    const struct imc_conf *imc = &hv->numa->node[r->host_node].conf;
    r->controllers = ((1ull << imc->n_imcs) - 1) << (r->host_node * imc->n_imcs);
    return 0;
}

struct vm *hv_vm_new(struct hv *hv, const struct vm_setup *s, struct diag *d)
{
    uint32_t nodes = hv->numa->n_cpu_nodes;
    if (s->node >= nodes || s->pmem_node >= nodes) {
        fail(d, "vm %s: found node %u, the machine has %u with CPUs", s->name,
             s->node >= nodes ? s->node : s->pmem_node, nodes);
        return NULL;
    }
    struct vm *vm = xcalloc(1, sizeof *vm);
    vm->hv = hv;
    vm->name = xstrdup(s->name);
    vm->index = hv->n_vms;
    vm->bytes = vm->top_gpa = s->bytes;
    vm->node = s->node;
    vm->memory_node = HV_NODE_ANY;
    vm->backing = s->backing;
    vm->ops = s->ops;
    vm->guest = s->guest;
    hv->vm = xrealloc(hv->vm, (hv->n_vms + 1) * sizeof *hv->vm);
    hv->vm[hv->n_vms++] = vm;
    if (hv->n_vms > 254) {
        fail(d, "vm %s: more than 254 VMs", s->name);
        return NULL;
    }
    if (ept_init(&vm->ept, hv->mem, mem_find_region(hv->mem, s->node, MEM_DRAM), (uint32_t)hv->conf.ept_levels,
                 vm->index)) {
        fail(d, "vm %s: node %u has no free memory", s->name, s->node);
        return NULL;
    }
    if (s->pmem_bytes) {
        struct vm_region *r = &vm->region[vm->n_regions++];
        *r = (struct vm_region){.gpa = (s->bytes + GIB - 1) / GIB * GIB,
                                .bytes = (s->pmem_bytes + 2 * MIB - 1) / (2 * MIB) * (2 * MIB),
                                .host_node = s->pmem_node,
                                .hint_mode = QUIRE_HINT_NONE};
        r->hint_gpa = r->gpa + r->bytes;
        vm->top_gpa = r->hint_gpa + PAGE_BYTES;
        if (region_map(vm, r, d))
            return NULL;
    }
    vm->n_vcpus = s->n_vcpus;
    vm->vcpu = xcalloc(s->n_vcpus, sizeof *vm->vcpu);
    for (uint32_t i = 0; i < s->n_vcpus; i++) {
        struct vcpu *v = &vm->vcpu[i];
        v->vm = vm;
        v->index = i;
        v->space = (struct mmu_space){.ept = &vm->ept, .mem = hv->mem, .levels = 4, .asid = (vm->index + 1) << 8};
        place(hv, v, s->node * (uint32_t)hv->conf.cores + i % (uint32_t)hv->conf.cores);
    }
    return vm;
}

static void tell(struct vm *vm, uint32_t what, const struct vcpu *v, uint64_t value)
{
    struct hv *hv = vm->hv;
    if (!hv->plugins)
        return;
    uint32_t cpu = v ? v->cpu : vm->vcpu[0].cpu;
    hv->now_ps = hv->cpu[cpu].core.now_ps;
    plugin_host_event(
        hv->plugins, vm->index, cpu,
        (struct quire_vm_event){
            .what = what, .vcpu = v ? v->index : 0, .cpu = cpu, .node = hv->cpu[cpu].node, .value = value});
}

void hv_vm_start(struct vm *vm)
{
    if (vm->hv->plugins)
        plugin_host_vm_new(vm->hv->plugins, vm->index, vm->name);
    tell(vm, QUIRE_VM_CREATED, NULL, 0);
    for (uint32_t i = 0; i < vm->n_vcpus; i++)
        tell(vm, QUIRE_VM_VCPU_MOVED, &vm->vcpu[i], 0);
    if (vm->hv->sample_ps)
        heap_push(&vm->hv->events, vm->hv->sample_ps, EVENT_SAMPLE, vm->index);
}

void hv_vcpu_move(struct vcpu *v, uint32_t cpu)
{
    struct hv *hv = v->vm->hv;
    struct cpu *from = &hv->cpu[v->cpu];
    uint32_t i = 0;
    while (from->vcpu[i] != v)
        i++;
    memmove(&from->vcpu[i], &from->vcpu[i + 1], (--from->n_vcpus - i) * sizeof *from->vcpu);
    core_drain(&from->core);
    mmu_flush_vm(&from->mmu, v->vm->index);
    place(hv, v, cpu);
    hv->cpu[cpu].core.now_ps = max_u64(hv->cpu[cpu].core.now_ps, from->core.now_ps);
    tell(v->vm, QUIRE_VM_VCPU_MOVED, v, 0);
}

/* ---- costs ---- */

void hv_charge(struct hv *hv, uint32_t cpu, uint64_t cycles)
{
    struct core *c = &hv->cpu[cpu].core;
    c->now_ps += cycles * c->cycle_ps;
    c->stats.exit_ps += cycles * c->cycle_ps;
}

void hv_shootdown(struct hv *hv, struct vm *vm, uint32_t cpu)
{
    uint32_t others = 0;
    hv->stats.shootdowns++;
    if (vm->ops->flushed)
        vm->ops->flushed(vm);
    for (uint32_t i = 0; i < hv->n_cpus; i++) {
        struct cpu *c = &hv->cpu[i];
        bool runs = false;
        for (uint32_t k = 0; k < c->n_vcpus; k++)
            runs |= c->vcpu[k]->vm == vm;
        if (!runs)
            continue;
        mmu_flush_vm(&c->mmu, vm->index);
        if (i != cpu) {
            others++;
            hv_charge(hv, i, hv->conf.ipi_cycles + hv->conf.invept_cycles);
        }
    }
    hv_charge(hv, cpu, hv->conf.invept_cycles);
    if (others) {
        struct core *c = &hv->cpu[cpu].core;
        ps_t wait = hv->conf.shootdown_ps + others * hv->conf.shootdown_cpu_ps;
        c->now_ps += wait;
        c->stats.exit_ps += wait;
        hv->stats.shootdown_ipis += others;
    }
}

/* ---- time ---- */

static bool is_runnable(const struct cpu *c)
{
    for (uint32_t i = 0; i < c->n_vcpus; i++)
        if (!c->vcpu[i]->is_done)
            return true;
    return false;
}

/* The earliest clock of a CPU that has something to run; ~0 if none has. */
static ps_t earliest(const struct hv *hv)
{
    ps_t t = UINT64_MAX;
    for (uint32_t i = 0; i < hv->n_cpus; i++)
        if (hv->cpu[i].n_vcpus && is_runnable(&hv->cpu[i]))
            t = min_u64(t, hv->cpu[i].core.now_ps);
    return t;
}

/* One vCPU in all has something to run: there is nobody whose clock it could run away from. */
static bool runs_alone(const struct hv *hv)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < hv->n_cpus && n < 2; i++)
        for (uint32_t k = 0; k < hv->cpu[i].n_vcpus; k++)
            n += !hv->cpu[i].vcpu[k]->is_done;
    return n < 2;
}

/* A vCPU that runs alone and would not notice that its quantum is shorter. */
static bool stops_unseen(const struct hv *hv)
{
    bool unseen = true;
    for (uint32_t i = 0; i < hv->n_vms; i++)
        unseen &= hv->vm[i]->ops->stops_unseen;
    return unseen && runs_alone(hv);
}

static void sample(struct hv *hv, struct vm *vm, ps_t at)
{
    uint64_t local = vm->stats.local_accesses - vm->last_sample.local_accesses;
    uint64_t remote = vm->stats.remote_accesses - vm->last_sample.remote_accesses;
    vm->last_sample = vm->stats;
    if (local + remote && hv->series)
        hv->series(hv->out_ctx, "local_ratio", vm->name, "time_ms", (double)at / PS_PER_MS,
                   (double)local / (double)(local + remote));
    heap_push(&hv->events, at + hv->sample_ps, EVENT_SAMPLE, vm->index);
}

static void handle(struct hv *hv, const struct heap_item *e)
{
    hv->now_ps = e->at_ps;
    switch (e->kind) {
    case EVENT_TIMER:
        hv->stats.timers++;
        plugin_host_timer(hv->plugins, e->id);
        break;
    case EVENT_MOVE:
        move_step(hv, e->at_ps);
        break;
    case EVENT_SAMPLE:
        sample(hv, hv->vm[e->id], e->at_ps);
        break;
    case EVENT_VCPU_MOVE: { /* id: VM in the upper half, node in the lower */
        struct vm *vm = hv->vm[e->id >> 32];
        uint32_t cores = (uint32_t)hv->conf.cores, node = (uint32_t)e->id;
        for (uint32_t i = 0; i < vm->n_vcpus; i++)
            hv_vcpu_move(&vm->vcpu[i], node * cores + i % cores);
        if (hv->event)
            hv->event(hv->out_ctx, "vcpu", "vCPUs move", vm->index + 1, node, e->at_ps, 0);
        break;
    }
    default:
        CHECK(!"unknown event");
    }
}

/* Turns without time passing after which a simulation is stuck: a guest either moves its clock or is done. */
#define WATCHDOG_TURNS 65536u

/* Where requests pile up on a core that does not go on. */
static const char *fullest_queue(const struct core *c)
{
    if ((ps_t)c->busy_ps[0] > c->now_ps)
        return "its miss buffers are full";
    if (c->store_n >= c->conf.store_buffer && c->store_ps[c->store_head] > c->now_ps)
        return "its store buffer is full";
    if (c->nt_n >= c->conf.nt_buffers)
        return "its non-temporal stores wait";
    return c->miss_n && c->miss[c->miss_head].done_ps > c->now_ps
               ? "its loads wait"
               : "none of its queues holds it up: its guest does nothing";
}

/* One quantum of a CPU: its vCPUs take turns. */
static int run_cpu(const struct hv *hv, struct cpu *c, struct diag *d)
{
    uint32_t idle_turns = 0;
    ps_t last = c->core.now_ps;
    while (c->core.now_ps < hv->until_ps && is_runnable(c)) {
        struct vcpu *v = c->vcpu[c->turn++ % c->n_vcpus];
        idle_turns = c->core.now_ps > last ? 0 : idle_turns + 1;
        last = c->core.now_ps;
        if (idle_turns > WATCHDOG_TURNS)
            return fail(d, "watchdog: vm %s, vCPU %u stands still at %llu ps: %s", v->vm->name, v->index,
                        (unsigned long long)last, fullest_queue(&c->core));
        if (!v->is_done && v->vm->ops->run(v, hv->until_ps, d))
            return -1;
        if (v->vm->hv->is_down)
            break;
    }
    return 0;
}

void hv_not_alone(struct hv *hv, ps_t now)
{
    hv->until_ps = min_u64(hv->until_ps, (now / hv->conf.quantum_ps + 1) * hv->conf.quantum_ps);
}

/* The quantum of a vCPU that runs alone: what a quantum costs the simulator does not count, and checkpoints wait for no
 * more than that. */
#define ALONE_PS (50 * PS_PER_US)

int hv_run(struct hv *hv, ps_t end_ps, struct diag *d)
{
    uint32_t errors = d->n_errors;
    for (;;) {
        ps_t now = earliest(hv);
        if (now == UINT64_MAX || (end_ps && now >= end_ps) || hv->is_down)
            return 0;
        while (unlikely(now >= hv->save_at)) {
            int end = hv->save(hv->save_ctx, d);
            if (end)
                return end;
        }
        while (hv->events.n && hv->events.item[0].at_ps <= now) {
            struct heap_item e = heap_pop(&hv->events);
            handle(hv, &e);
        }
        now = earliest(hv);
        ps_t quantum = runs_alone(hv) ? max_u64(hv->conf.quantum_ps, ALONE_PS) : hv->conf.quantum_ps;
        ps_t until = (now / quantum + 1) * quantum;
        if (end_ps)
            until = min_u64(until, max_u64(end_ps, now + 1));
        if (hv->events.n)
            until = min_u64(until, max_u64(hv->events.item[0].at_ps, now + 1));
        if (hv->save_at != UINT64_MAX && stops_unseen(hv))
            until = min_u64(until, max_u64(hv->save_at, now + 1));
        hv->until_ps = until;
        for (uint32_t i = 0; i < hv->n_cpus && !hv->is_down; i++)
            if (hv->cpu[i].n_vcpus && hv->cpu[i].core.now_ps < hv->until_ps && run_cpu(hv, &hv->cpu[i], d))
                return -1;
        if (d->n_errors != errors)
            return -1;
    }
}

void hv_finish(struct hv *hv)
{
    ps_t last = 0;
    for (uint32_t i = 0; i < hv->n_cpus; i++)
        if (hv->cpu[i].n_vcpus) {
            core_drain(&hv->cpu[i].core);
            last = max_u64(last, hv->cpu[i].core.now_ps);
        }
    hv->now_ps = max_u64(hv->now_ps, last);
    if (hv->tap && hv->n_tap)
        hv->tap(hv->tap_ctx, hv->tap_vm, hv->tap_buf, hv->n_tap);
    hv->n_tap = 0;
    for (uint32_t i = 0; hv->plugins && i < hv->n_vms; i++)
        plugin_host_vm_gone(hv->plugins, i);
}

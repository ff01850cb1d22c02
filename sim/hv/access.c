/* SPDX-License-Identifier: MIT */
/* What happens when a vCPU touches memory: the hot path, and the exits that interrupt it. */
#include "sim/hv/hv.h"

#include <string.h>

/* ---- nested faults ---- */

static int32_t out_of_memory(struct vm *vm, uint32_t node)
{
    return fail(vm->hv->diag, "vm %s: no free frame on node %u or any other (%llu pages of the VM are mapped)",
                vm->name, node, (unsigned long long)vm->stats.pages_mapped);
}

/* A frame block of the largest level up to want that the VM's layout and the node allow. */
static uint64_t alloc_backing(struct vm *vm, uint64_t gpa, uint32_t node, uint32_t *level)
{
    struct hv *hv = vm->hv;
    for (uint32_t l = vm->backing + 1; l-- > 0;) {
        uint64_t size = 1ull << LEVEL_SHIFT(l), base = gpa & ~(size - 1);
        struct ept_leaf other;
        if (base + size > vm->bytes || (l && ept_next(&vm->ept, base, base + size, &other)))
            continue;
        uint64_t mfn =
            mem_alloc(hv->mem, mem_find_region(hv->mem, node, MEM_DRAM), l, FRAME_GUEST, vm->index, base >> PAGE_SHIFT);
        if (mfn != MFN_NONE) {
            *level = l;
            return mfn;
        }
    }
    return MFN_NONE;
}

/* Gives gpa a frame: on the node that the placement policy names, else the VM's or the CPU's, else the next one that
 * has room. */
static int back_missing(struct vcpu *v, uint64_t gpa, uint32_t access)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    uint32_t node = vm->memory_node == HV_NODE_ANY ? vcpu_cpu(v)->node : vm->memory_node, level = 0;
    uint64_t mfn = MFN_NONE;
    struct quire_verdict verdict = {.size = sizeof verdict, .node = QUIRE_NODE_ANY};
    if (gpa >= vm->bytes)
        return fail(hv->diag, "vm %s: access to guest-physical %llx, its memory ends at %llx", vm->name,
                    (unsigned long long)gpa, (unsigned long long)vm->bytes);
    bool is_asked = hv->plugins && v->space.ept; /* a native machine has nobody below it */
    if (is_asked &&
        plugin_host_fault(
            hv->plugins, vm->index,
            (struct quire_fault){
                .why = QUIRE_FAULT_MISSING, .access = access, .vcpu = v->index, .cpu = v->cpu, .gpa = gpa},
            &verdict) &&
        verdict.node != QUIRE_NODE_ANY)
        node = verdict.node;
    for (uint32_t i = 0; mfn == MFN_NONE && i < hv->numa->n_nodes; i++)
        mfn = alloc_backing(vm, gpa, (node + i) % hv->numa->n_nodes, &level);
    if (mfn == MFN_NONE)
        return out_of_memory(vm, node);
    uint64_t base = gpa >> LEVEL_SHIFT(level) << LEVEL_SHIFT(level);
    if (ept_map(&vm->ept, base, mfn, level, EPT_RWX))
        return out_of_memory(vm, vm->node);
    vm->stats.pages_mapped += 1ull << 9 * level;
    if (v->space.ept)
        hv_charge(hv, v->cpu, hv->conf.leaf_edit_cycles);
    if (is_asked) {
        hv->now_ps = vcpu_cpu(v)->core.now_ps;
        plugin_host_event(hv->plugins, vm->index, v->cpu,
                          (struct quire_vm_event){.what = QUIRE_VM_MAPPED,
                                                  .vcpu = v->index,
                                                  .cpu = v->cpu,
                                                  .node = mem_region_at(hv->mem, mfn << PAGE_SHIFT)->node,
                                                  .level = level,
                                                  .gpa = base});
    }
    return 0;
}

uint64_t hv_back(struct vcpu *v, uint64_t gpa, uint32_t access)
{
    struct ept_leaf leaf;
    if (!v->space.ept && !v->space.map)
        return gpa;
    if (!ept_find(&v->vm->ept, gpa, &leaf) && (back_missing(v, gpa, access) || !ept_find(&v->vm->ept, gpa, &leaf)))
        return UINT64_MAX;
    return (leaf.entry & EPT_FRAME) + (gpa & ((1ull << LEVEL_SHIFT(leaf.level)) - 1));
}

/* ---- exits ---- */

/* What the caller does after an exit. */
enum after { AFTER_RETRY, AFTER_SKIP, AFTER_EMULATE, AFTER_STOP };

void hv_leave_guest(struct vcpu *v, ps_t at, uint64_t cycles)
{
    struct hv *hv = v->vm->hv;
    struct core *c = &vcpu_cpu(v)->core;
    core_wait(c, at);
    hv->stats.exits++;
    v->vm->stats.exits++;
    hv_charge(hv, v->cpu, cycles);
    hv->now_ps = c->now_ps;
}

static enum after after_verdict(struct vcpu *v, const struct quire_verdict *verdict)
{
    struct core *c = &vcpu_cpu(v)->core;
    if (verdict->until_ps > c->now_ps) {
        c->stats.exit_ps += verdict->until_ps - c->now_ps;
        c->now_ps = verdict->until_ps;
    }
    switch (verdict->what) {
    case QUIRE_VERDICT_SKIP:
        return AFTER_SKIP;
    case QUIRE_VERDICT_EMULATE:
        return AFTER_EMULATE;
    case QUIRE_VERDICT_STOP:
        fail(v->vm->hv->diag, "vm %s: its policy stopped it", v->vm->name);
        return AFTER_STOP;
    default:
        return AFTER_RETRY;
    }
}

static enum after trace_fault(struct vcpu *v, struct ept_leaf *leaf, struct quire_fault f)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    struct quire_verdict verdict = {.size = sizeof verdict};
    hv->stats.trace_faults++;
    f.why = QUIRE_FAULT_TRACE;
    f.level = leaf->level;
    enum after after = AFTER_RETRY;
    if (hv->plugins && plugin_host_fault(hv->plugins, vm->index, f, &verdict))
        after = after_verdict(v, &verdict);
    if (after == AFTER_EMULATE && !(f.access & QUIRE_ACCESS_WALK))
        return after;
    /* The hook may have edited the leaf: read it again, and disarm what is still armed. */
    if (ept_find(&vm->ept, f.gpa, leaf) && leaf->entry & EPT_TRACED) {
        leaf->entry = ept_disarm(leaf->entry);
        ept_write(&vm->ept, leaf);
        hv_charge(hv, v->cpu, hv->conf.leaf_edit_cycles);
    }
    return after == AFTER_STOP ? after : AFTER_RETRY;
}

/* The built-in default for a flush that no policy answers: every controller behind the region. Answers when all have
 * drained. */
static ps_t drain_region(struct vcpu *v, uint32_t region)
{
    struct hv *hv = v->vm->hv;
    ps_t done = hv->now_ps;
    uint64_t mask = v->vm->region[region].controllers & hv_plugin_ops.hint_controllers(hv);
    if (mask)
        hv_plugin_ops.hint_write(hv, v->cpu, mask, hv->now_ps, &done);
    return done;
}

static enum after hint_fault(struct vcpu *v, uint32_t region, struct quire_fault f)
{
    struct hv *hv = v->vm->hv;
    struct quire_verdict verdict = {.size = sizeof verdict};
    hv->stats.hint_faults++;
    f.why = QUIRE_FAULT_HINT;
    f.region = region;
    if (hv->plugins && plugin_host_fault(hv->plugins, v->vm->index, f, &verdict))
        return after_verdict(v, &verdict);
    verdict.what = QUIRE_VERDICT_SKIP;
    verdict.until_ps = drain_region(v, region);
    return after_verdict(v, &verdict);
}

/* A guest asks its devices itself, behind an access that the hypervisor has to decode and carry out. */
static int device_at(struct vcpu *v, const struct mmu_result *r)
{
    struct hv *hv = v->vm->hv;
    int found = v->vm->ops->device ? v->vm->ops->device(v, r->gpa, r->is_table, hv->diag) : 0;
    if (found > 0) {
        hv->stats.emulated++;
        hv_charge(hv, v->cpu, hv->conf.emulate_cycles);
    }
    return found;
}

/* A native machine's memory gets its place in the host's; nobody is left, and nobody pays. */
static enum after place_native(struct vcpu *v, const struct mmu_result *r)
{
    const struct guest_ops *ops = v->vm->ops;
    int device = ops->device ? ops->device(v, r->gpa, r->is_table, v->vm->hv->diag) : 0;
    if (device)
        return device < 0 ? AFTER_STOP : AFTER_SKIP;
    return back_missing(v, r->gpa, r->access) ? AFTER_STOP : AFTER_RETRY;
}

static enum after violation(struct vcpu *v, const struct mmu_result *r)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    struct ept_leaf leaf;
    if (!v->space.ept)
        return place_native(v, r);
    hv_leave_guest(v, r->done_ps, hv->conf.exit_cycles + hv->conf.violation_cycles);
    hv->stats.ept_violations++;
    struct quire_fault f = {
        .access = (r->access & EPT_R ? QUIRE_ACCESS_READ : 0) | (r->access & EPT_W ? QUIRE_ACCESS_WRITE : 0) |
                  (r->access & EPT_X ? QUIRE_ACCESS_EXEC : 0) | (r->is_table ? QUIRE_ACCESS_WALK : 0),
        .vcpu = v->index,
        .cpu = v->cpu,
        .gpa = r->gpa,
    };
    if (!ept_find(&vm->ept, r->gpa, &leaf)) {
        int device = device_at(v, r);
        if (device)
            return device < 0 ? AFTER_STOP : AFTER_SKIP;
        return back_missing(v, r->gpa, f.access) ? AFTER_STOP : AFTER_RETRY;
    }
    for (uint32_t i = 0; i < vm->n_regions; i++)
        if (r->gpa >> PAGE_SHIFT == vm->region[i].hint_gpa >> PAGE_SHIFT && r->access & EPT_W)
            return hint_fault(v, i, f);
    if (leaf.entry & EPT_TRACED && (ept_true_rights(leaf.entry) & r->access) == r->access)
        return trace_fault(v, &leaf, f);
    if (r->access & EPT_W && move_was_written(hv, vm, r->gpa))
        return AFTER_RETRY;
    fail(hv->diag, "vm %s: access %u to guest-physical %llx, which allows %u", vm->name, r->access,
         (unsigned long long)r->gpa, (uint32_t)ept_true_rights(leaf.entry));
    return AFTER_STOP;
}

static enum after pml_full(struct vcpu *v, const struct mmu_result *r)
{
    struct vm *vm = v->vm;
    hv_leave_guest(v, r->done_ps, vm->hv->conf.exit_cycles + PML_ENTRIES * vm->hv->conf.leaf_read_cycles);
    vm->hv->stats.pml_full_exits++;
    vm->pml_log = xrealloc(vm->pml_log, (vm->n_pml_log + vm->pml->n) * sizeof *vm->pml_log);
    memcpy(vm->pml_log + vm->n_pml_log, vm->pml->gpa, vm->pml->n * sizeof *vm->pml_log);
    vm->n_pml_log += vm->pml->n;
    vm->pml->n = 0;
    return AFTER_RETRY;
}

/* The instruction emulator translates in software, past any trace: guest tables first, then EPT. */
static uint64_t emulated_address(struct vcpu *v, uint64_t gva, uint64_t *value)
{
    const struct vm *vm = v->vm;
    uint64_t table = v->space.cr3;
    for (uint32_t level = v->space.levels ? v->space.levels - 1 : LEVEL_1G;; level--) {
        uint64_t entry = v->space.levels ? hv_phys_load64(vm, table + (gva >> LEVEL_SHIFT(level) & 511) * 8)
                                         : (gva & PTE_FRAME) | PTE_PS; /* paging is off */
        if (level == 0 || (entry & PTE_PS && level <= LEVEL_1G)) {
            uint64_t mask = (1ull << LEVEL_SHIFT(level)) - 1, gpa = (entry & PTE_FRAME & ~mask) | (gva & mask);
            uint64_t hpa = hv_back(v, gpa, EPT_R);
            *value = hpa != UINT64_MAX && mem_region_at(vm->hv->mem, hpa)->kind == MEM_PMEM ? TLB_PMEM : 0;
            return hpa;
        }
        table = entry & PTE_FRAME;
    }
}

/* The translation did not succeed at once: faults and exits until it does. 0: r is good; 1: skip the access; -1: stop.
 */
static __attribute__((noinline)) int resolve(struct vcpu *v, uint64_t gva, enum cache_op op, enum mmu_status status,
                                             struct mmu_result *r)
{
    struct vm *vm = v->vm;
    struct cpu *cpu = vcpu_cpu(v);
    for (uint32_t tries = 0; tries < 256; tries++) {
        enum after after = AFTER_RETRY;
        int stop;
        switch (status) {
        case MMU_OK:
            return 0;
        case MMU_GUEST_FAULT:
            core_wait(&cpu->core, r->done_ps);
            vm->stats.guest_faults++;
            if ((stop = vm->ops->page_fault(v, gva, r->access, vm->hv->diag)))
                return stop;
            break;
        case MMU_EPT_VIOLATION:
            after = violation(v, r);
            break;
        case MMU_PML_FULL:
            after = pml_full(v, r);
            break;
        }
        if (after == AFTER_STOP)
            return -1;
        if (after == AFTER_SKIP)
            return 1;
        if (after == AFTER_EMULATE) {
            vm->hv->stats.emulated++;
            hv_charge(vm->hv, v->cpu, vm->hv->conf.emulate_cycles);
            r->hpa = emulated_address(v, gva, &r->value);
            r->done_ps = cpu->core.now_ps;
            return r->hpa == UINT64_MAX ? -1 : 0;
        }
        status = mmu_translate(&cpu->mmu, &v->space, gva, op, cpu->core.now_ps, r);
    }
    return fail(vm->hv->diag, "vm %s: the access to %llx faults for ever", vm->name, (unsigned long long)gva);
}

/* ---- accesses ---- */

/* A crash comes after all events so far, also those of a CPU whose clock is ahead: its time is the latest of them. */
void hv_pmem_event(struct hv *hv, ps_t t)
{
    hv->down_ps = max_u64(hv->down_ps, t);
    if (hv->n_pmem_events++ == hv->crash_at)
        hv->is_down = true;
}

/* A store to persistent memory has retired: its line has a new version, and bytes if it brought any. */
static void pmem_stored(struct vcpu *v, uint64_t hpa, const void *data, uint32_t len)
{
    struct hv *hv = v->vm->hv;
    frame_pmem(hv->mem, hpa >> PAGE_SHIFT)->cur[hpa >> LINE_SHIFT & 63]++;
    if (data)
        frame_write(hv->mem, hpa, data, len);
    hv_pmem_event(hv, vcpu_cpu(v)->core.now_ps);
}

static void golden(struct vcpu *v, uint64_t gpn)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    if (vm->page_accesses && gpn < vm->n_page_accesses)
        vm->page_accesses[gpn]++;
    if (!hv->tap)
        return;
    if (hv->n_tap == N_ELEMS(hv->tap_buf) || (hv->n_tap && hv->tap_vm != vm->index)) {
        hv->tap(hv->tap_ctx, hv->tap_vm, hv->tap_buf, hv->n_tap);
        hv->n_tap = 0;
    }
    hv->tap_vm = vm->index;
    hv->tap_buf[hv->n_tap++] = gpn;
}

/* load, data: bytes that the access carries, or NULL; at: where the host-physical address goes, or NULL. */
static inline __attribute__((always_inline)) int access_line(struct vcpu *v, uint64_t gva, enum cache_op op,
                                                             bool dependent, void *load, const void *data, uint32_t len,
                                                             uint64_t *at)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    struct cpu *cpu = &hv->cpu[v->cpu];
    struct core *core = &cpu->core;
    struct mmu_result r;
    core_retire(core);
    if (dependent)
        core_wait(core, core->last_load_ps);
    enum mmu_status status = mmu_translate(&cpu->mmu, &v->space, gva, op, core->now_ps, &r);
    if (unlikely(status != MMU_OK)) {
        int stop = resolve(v, gva, op, status, &r);
        if (stop)
            return stop < 0 ? -1 : 0;
    }
    ps_t done, asked = r.done_ps;
    uint64_t line = r.hpa >> LINE_SHIFT;
    if (!cache_l1_hit(hv->caches, v->cpu, line, op, asked, &done)) {
        core_need_buffer(core);
        asked = max_u64(asked, core->now_ps);
        if (op == CACHE_WRITE)
            asked = core_asked_ps(core, asked);
        done = cache_l1_miss(hv->caches, v->cpu, line, op, asked);
    }
    core->stats.accesses++;
    vm->stats.accesses++;
    if (likely(mem_region_at(hv->mem, r.hpa)->node == cpu->node))
        vm->stats.local_accesses++;
    else
        vm->stats.remote_accesses++;
    if (op == CACHE_WRITE) {
        vm->stats.writes++;
        if (done > asked + hv->caches->l2_ps)
            core_store_miss(core, asked, done);
        else
            core_store(core, done);
        if (unlikely(r.value & TLB_PMEM))
            pmem_stored(v, r.hpa, data, len);
        else if (data)
            frame_write(hv->mem, r.hpa, data, len);
    } else {
        vm->stats.reads += op == CACHE_READ;
        vm->stats.fetches += op == CACHE_FETCH;
        core_load(core, done, hv->caches->l1_ps);
        if (load)
            frame_read(hv->mem, r.hpa, load, len);
    }
    if (at)
        *at = r.hpa;
    if (unlikely(hv->golden_counts))
        golden(v, owner_gfn(frame_at(hv->mem, r.hpa >> PAGE_SHIFT)->owner));
    return 0;
}

int hv_access(struct vcpu *v, uint64_t gva, enum cache_op op, bool dependent)
{
    return access_line(v, gva, op, dependent, NULL, NULL, 0, NULL);
}

int hv_touch(struct vcpu *v, uint64_t gva, enum cache_op op, uint64_t *hpa)
{
    return access_line(v, gva, op, false, NULL, NULL, 0, hpa);
}

int hv_warm(struct vcpu *v, uint64_t gva, enum cache_op op, uint64_t *hpa)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    struct cpu *cpu = &hv->cpu[v->cpu];
    struct mmu_result r;
    enum mmu_status status = mmu_translate(&cpu->mmu, &v->space, gva, op, cpu->core.now_ps, &r);
    if (unlikely(status != MMU_OK)) {
        int stop = resolve(v, gva, op, status, &r);
        if (stop)
            return stop < 0 ? -1 : 0;
    }
    frame_foresee64(hv->mem, r.hpa);
    ps_t done = cache_access(hv->caches, v->cpu, r.hpa >> LINE_SHIFT, op, r.done_ps);
    if (unlikely(done > cpu->core.now_ps + PS_PER_US))
        core_wait(&cpu->core, done - PS_PER_US);
    bool is_local = mem_region_at(hv->mem, r.hpa)->node == cpu->node;
    hv_count(v, op, is_local, 1);
    *hpa = r.hpa;
    if (unlikely(hv->golden_counts))
        golden(v, owner_gfn(frame_at(hv->mem, r.hpa >> PAGE_SHIFT)->owner));
    return 0;
}

void hv_count(struct vcpu *v, enum cache_op op, bool is_local, uint64_t n)
{
    struct vm_stats *s = &v->vm->stats;
    vcpu_cpu(v)->core.stats.accesses += n;
    s->accesses += n;
    *(is_local ? &s->local_accesses : &s->remote_accesses) += n;
    *(op == CACHE_WRITE ? &s->writes : op == CACHE_FETCH ? &s->fetches : &s->reads) += n;
}

int hv_load(struct vcpu *v, uint64_t gva, void *buf, uint32_t len)
{
    return access_line(v, gva, CACHE_READ, false, buf, NULL, len, NULL);
}

int hv_store(struct vcpu *v, uint64_t gva, const void *data, uint32_t len)
{
    return access_line(v, gva, CACHE_WRITE, false, NULL, data, len, NULL);
}

int hv_store_at(struct vcpu *v, uint64_t gva, const void *data, uint32_t len, uint64_t *hpa)
{
    return access_line(v, gva, CACHE_WRITE, false, NULL, data, len, hpa);
}

/* ---- persistence ---- */

/* Host address of gva for an operation that needs the right to write only where it stores. 1: nothing to do. */
static int translate(struct vcpu *v, uint64_t gva, enum cache_op op, struct mmu_result *r)
{
    struct cpu *cpu = vcpu_cpu(v);
    core_retire(&cpu->core);
    enum mmu_status status = mmu_translate(&cpu->mmu, &v->space, gva, op, cpu->core.now_ps, r);
    return status == MMU_OK ? 0 : resolve(v, gva, op, status, r);
}

/* How long a flush holds the head of the store buffer. */
static ps_t flush_hold(const struct core *core, enum flush_op op, bool was_dirty, bool is_pmem)
{
    if (op == FLUSH_CLFLUSH)
        return core->conf.clflush_ps;
    if (op == FLUSH_CLFLUSHOPT)
        return core->conf.clflushopt_ps;
    return !was_dirty ? 0 : is_pmem ? core->conf.clwb_pmem_ps : core->conf.clwb_ps;
}

int hv_flush_line(struct vcpu *v, uint64_t gva, enum flush_op op)
{
    struct hv *hv = v->vm->hv;
    struct core *core = &vcpu_cpu(v)->core;
    const uint64_t *write_backs = &hv->caches->core[v->cpu].stats.flush_writebacks, before = *write_backs;
    struct mmu_result r;
    int stop = translate(v, gva, CACHE_READ, &r);
    if (stop)
        return stop < 0 ? -1 : 0;
    core->now_ps += core->conf.flush_cycles * core->cycle_ps;
    /* A flush is ordered behind older stores to its line (SDM volume 1, 11.4.4). */
    ps_t start = max_u64(max_u64(r.done_ps, core->stores_done_ps), core_posted_room_ps(&core->flush_posted));
    core_near_flush(core, start);
    ps_t *asked_ps = &hv->numa->node[mem_region_at(hv->mem, r.hpa)->node].asked_ps;
    *asked_ps = core->now_ps;
    ps_t done = cache_flush(hv->caches, v->cpu, r.hpa >> LINE_SHIFT, op, start);
    *asked_ps = 0;
    core->flushes_done_ps = max_u64(core->flushes_done_ps, done);
    if (*write_backs != before)
        core_posted(&core->flush_posted, done, core->conf.flush_posted);
    ps_t hold = flush_hold(core, op, *write_backs != before, r.value & TLB_PMEM);
    if (hold)
        core_store_held(core, start + hold, hold);
    if (op == FLUSH_CLFLUSH) /* ordered with every other store and CLFLUSH */
        core_wait(core, max_u64(done, core->stores_done_ps));
    if (r.value & TLB_PMEM) {
        durable_flush(v, r.hpa >> LINE_SHIFT);
        hv_pmem_event(hv, core->now_ps);
    }
    return 0;
}

int hv_nt_bytes(struct vcpu *v, uint64_t gva, const void *data, uint32_t len, uint64_t *hpa)
{
    struct mmu_result r;
    int stop = translate(v, gva, CACHE_WRITE, &r);
    if (stop)
        return stop < 0 ? -1 : 0;
    frame_write(v->vm->hv->mem, r.hpa, data, len);
    *hpa = r.hpa;
    return 0;
}

int hv_ntstore(struct vcpu *v, uint64_t gva, const void *data)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    struct cpu *cpu = vcpu_cpu(v);
    struct mmu_result r;
    int stop = translate(v, gva, CACHE_WRITE, &r);
    if (stop)
        return stop < 0 ? -1 : 0;
    uint64_t line = r.hpa >> LINE_SHIFT;
    bool is_local = mem_region_at(hv->mem, r.hpa)->node == cpu->node, is_pmem = r.value & TLB_PMEM;
    cpu->core.stats.accesses++;
    vm->stats.accesses++;
    vm->stats.writes++;
    vm->stats.local_accesses += is_local;
    vm->stats.remote_accesses += !is_local;
    if (is_pmem)
        frame_pmem(hv->mem, r.hpa >> PAGE_SHIFT)->cur[line & 63]++;
    if (data)
        frame_write(hv->mem, r.hpa & ~(uint64_t)(LINE_BYTES - 1), data, LINE_BYTES);
    core_need_nt(&cpu->core);
    core_wait(&cpu->core, core_posted_room_ps(&cpu->core.nt_posted));
    r.done_ps = max_u64(max_u64(r.done_ps, cpu->core.now_ps), cpu->core.nt_after_ps);
    if (is_pmem)
        r.done_ps = max_u64(r.done_ps, cpu->core.nt_ps + cpu->core.conf.nt_pmem_ps);
    ps_t done = cache_ntstore(hv->caches, v->cpu, line, r.done_ps);
    core_store(&cpu->core, r.done_ps);
    /* A line that waits for a write-pending queue does so outside of the core's write-combining buffers. */
    ps_t left = done - numa_answer_ps(hv->numa, cpu->node, line);
    if (is_pmem && is_local)
        left = min_u64(left, r.done_ps + hv->caches->llc_ps + hv->caches->conf.ntstore_back_ps);
    core_nt(&cpu->core, r.done_ps, left, done);
    core_posted(&cpu->core.nt_posted, done, cpu->core.conf.nt_posted);
    cpu->core.flushes_done_ps = max_u64(cpu->core.flushes_done_ps, done);
    if (unlikely(hv->golden_counts))
        golden(v, owner_gfn(frame_at(hv->mem, r.hpa >> PAGE_SHIFT)->owner));
    if (is_pmem) {
        durable_flush(v, line);
        hv_pmem_event(hv, cpu->core.now_ps);
    }
    return 0;
}

void hv_fence(struct vcpu *v, bool loads_too)
{
    struct hv *hv = v->vm->hv;
    struct core *core = &vcpu_cpu(v)->core;
    core_sfence(core, loads_too);
    if (v->vm->n_regions) {
        durable_fence(v);
        hv_pmem_event(hv, core->now_ps);
    }
}

static int hint_hypercall(struct vcpu *v, uint32_t region)
{
    struct hv *hv = v->vm->hv;
    struct core *core = &vcpu_cpu(v)->core;
    ps_t done = 0;
    hv_exit(v, HV_EXIT_HYPERCALL);
    if (hv->plugins &&
        plugin_host_flush(hv->plugins, v->vm->index,
                          (struct quire_flush){.vcpu = v->index, .cpu = v->cpu, .region = region}, &done))
        core_wait(core, done);
    else
        core_wait(core, drain_region(v, region));
    return 0;
}

int hv_guest_flush(struct vcpu *v, uint32_t region)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    struct core *core = &vcpu_cpu(v)->core;
    const struct vm_region *r = &vm->region[region];
    uint32_t mode = r->hint_mode;
    ps_t start = core->now_ps;
    uint64_t one = 1;
    vm->stats.flushes++;
    hv_fence(v, false);
    if (hv->is_down)
        return 0;
    if (mode == QUIRE_HINT_HYPERCALL) {
        hint_hypercall(v, region);
    } else if (mode == QUIRE_HINT_TRAP || mode == QUIRE_HINT_OPEN) {
        vm->stats.hint_stores++;
        if (hv_store(v, GUEST_HINT_GVA + region * PAGE_BYTES, &one, sizeof one))
            return -1;
    }
    core_sfence(core, false);
    hist_add(&vm->flush_ps, core->now_ps - start);
    if (mode != QUIRE_HINT_NONE && hv->numa->node[r->host_node].conf.hints)
        durable_hint(vm, region, core->now_ps);
    hv_pmem_event(hv, core->now_ps);
    return 0;
}

/* ---- the guest kernel's own accesses ---- */

uint64_t hv_phys_load64(const struct vm *vm, uint64_t gpa)
{
    struct ept_leaf leaf;
    if (vm->is_native)
        return frame_load64(vm->hv->mem, gpa);
    if (!ept_find(&vm->ept, gpa, &leaf))
        return 0;
    return frame_load64(vm->hv->mem, (leaf.entry & EPT_FRAME) + (gpa & ((1ull << LEVEL_SHIFT(leaf.level)) - 1)));
}

int hv_phys_store64(struct vcpu *v, uint64_t gpa, uint64_t value)
{
    struct hv *hv = v->vm->hv;
    struct core *core = &vcpu_cpu(v)->core;
    uint64_t hpa = hv_back(v, gpa, EPT_W);
    if (hpa == UINT64_MAX)
        return -1;
    core_store(core, cache_access(hv->caches, v->cpu, hpa >> LINE_SHIFT, CACHE_WRITE, core->now_ps));
    frame_store64(hv->mem, hpa, value);
    return 0;
}

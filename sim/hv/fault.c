/* SPDX-License-Identifier: MIT */
/* What interrupts an access: nested faults that find a frame, EPT violations that ask a policy, guest page faults, a
 * full page-modification log; and the exits that they cost. */
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

ps_t hv_drain_region(struct vcpu *v, uint32_t region)
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
    verdict.until_ps = hv_drain_region(v, region);
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

int hv_resolve(struct vcpu *v, uint64_t gva, enum cache_op op, enum mmu_status status, struct mmu_result *r)
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

/* SPDX-License-Identifier: MIT */
/* The host in a checkpoint. */
#include "sim/hv/hv.h"

#include <stdlib.h>

/* Which vCPUs run on a CPU, in their order. */
static void placement_state(struct hv *hv, struct cpu *cpu, struct ckpt *c)
{
    uint32_t n = (uint32_t)ckpt_count(c, cpu->n_vcpus, 1u << 16);
    if (n > cpu->cap_vcpus) {
        cpu->cap_vcpus = n;
        cpu->vcpu = xrealloc(cpu->vcpu, n * sizeof(struct vcpu *));
    }
    for (uint32_t i = 0; i < n && !ckpt_failed(c); i++) {
        const struct vcpu *was = ckpt_is_loading(c) ? NULL : cpu->vcpu[i];
        uint64_t vm = ckpt_count(c, was ? was->vm->index : 0, hv->n_vms - 1);
        uint64_t at = ckpt_count(c, was ? was->index : 0, hv->vm[vm]->n_vcpus - 1);
        cpu->vcpu[i] = &hv->vm[vm]->vcpu[at];
        cpu->vcpu[i]->cpu = (uint32_t)(cpu - hv->cpu);
    }
    cpu->n_vcpus = ckpt_failed(c) ? 0 : n;
}

static void cpu_state(struct hv *hv, struct cpu *cpu, struct ckpt *c)
{
    mmu_state(&cpu->mmu, c);
    CKPT(c, cpu->core);
    CKPT(c, cpu->turn);
    CKPT(c, cpu->hook_ps);
    placement_state(hv, cpu, c);
}

static void pml_state(struct vm *vm, struct ckpt *c)
{
    bool is_on = vm->pml != NULL;
    CKPT(c, is_on);
    if (ckpt_is_loading(c)) {
        free(vm->pml);
        vm->pml = is_on ? xcalloc(1, sizeof *vm->pml) : NULL;
    }
    if (is_on)
        CKPT(c, *vm->pml);
    if (is_on && vm->pml->n > PML_ENTRIES) {
        vm->pml->n = 0;
        ckpt_fail(c, "vm %s: a page-modification log of too many entries", vm->name);
    }
    ckpt_array(c, &vm->pml_log, &vm->n_pml_log, NULL, sizeof *vm->pml_log, 1ull << 36);
}

static void vcpu_state(struct vcpu *v, struct ckpt *c)
{
    CKPT(c, v->space.cr3);
    CKPT(c, v->space.levels);
    CKPT(c, v->space.asid);
    CKPT(c, v->is_done);
    ckpt_map(c, &v->flushed);
    v->space.pml = v->vm->pml;
}

static void vm_state(struct vm *vm, struct ckpt *c)
{
    ckpt_section(c, "vm");
    ckpt_same(c, vm->n_vcpus, "vCPUs");
    ckpt_same(c, vm->n_regions, "persistent regions");
    CKPT_STRUCT(c, &vm->ept, CKPT_KEEP(struct ept, mem), CKPT_KEEP(struct ept, tables));
    pml_state(vm, c);
    CKPT(c, vm->region);
    CKPT(c, vm->flush_ps);
    ckpt_map(c, &vm->durable.fenced);
    ckpt_map(c, &vm->durable.hinted);
    ckpt_same(c, vm->n_page_accesses, "counted pages");
    ckpt_bytes(c, vm->page_accesses, vm->n_page_accesses * sizeof *vm->page_accesses);
    CKPT(c, vm->stats);
    CKPT(c, vm->last_sample);
    for (uint32_t i = 0; i < vm->n_vcpus; i++)
        vcpu_state(&vm->vcpu[i], c);
    vm->ops->state(vm, c);
}

static void hv_own_state(struct hv *hv, struct ckpt *c)
{
    ckpt_section(c, "hypervisor");
    ckpt_heap(c, &hv->events);
    CKPT(c, hv->now_ps);
    CKPT(c, hv->n_tap);
    CKPT(c, hv->tap_vm);
    CKPT(c, hv->tap_buf);
    CKPT(c, hv->n_pmem_events);
    CKPT(c, hv->is_down);
    CKPT(c, hv->down_ps);
    CKPT(c, hv->stats);
    CKPT(c, hv->power);
    if (hv->n_tap > N_ELEMS(hv->tap_buf)) {
        hv->n_tap = 0;
        ckpt_fail(c, "section 'hypervisor': more accesses than its buffer holds");
    }
    move_state(hv, c);
}

void hv_state(struct hv *hv, struct ckpt *c)
{
    mem_state(hv->mem, c);
    numa_state(hv->numa, c);
    caches_state(hv->caches, c);
    ckpt_section(c, "cpus");
    ckpt_same(c, hv->n_cpus, "CPUs");
    ckpt_same(c, hv->n_vms, "VMs");
    for (uint32_t i = 0; i < hv->n_cpus; i++)
        cpu_state(hv, &hv->cpu[i], c);
    for (uint32_t i = 0; i < hv->n_vms; i++)
        vm_state(hv->vm[i], c);
    hv_own_state(hv, c);
    if (hv->plugins)
        plugin_host_state(hv->plugins, c);
}

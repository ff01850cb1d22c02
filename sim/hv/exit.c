/* SPDX-License-Identifier: MIT */
/* What instructions of a guest cost that leave it every time, and its own invalidations. */
#include "sim/hv/hv.h"

static const struct exit_kind {
    size_t cycles, more_cycles; /* offsets in struct hv_conf; more_cycles 0: none */
    size_t count;               /* offset in struct hv_stats */
} kinds[HV_N_EXITS] = {
    [HV_EXIT_CPUID] = {offsetof(struct hv_conf, cpuid_cycles), 0, offsetof(struct hv_stats, cpuid_exits)},
    [HV_EXIT_HYPERCALL] = {offsetof(struct hv_conf, hypercall_cycles), 0, offsetof(struct hv_stats, hypercalls)},
    [HV_EXIT_PORT_OUT] = {offsetof(struct hv_conf, port_out_cycles), 0, offsetof(struct hv_stats, port_exits)},
    [HV_EXIT_PORT_IN] = {offsetof(struct hv_conf, port_in_cycles), 0, offsetof(struct hv_stats, port_exits)},
    [HV_EXIT_USER] = {offsetof(struct hv_conf, exit_cycles), offsetof(struct hv_conf, user_exit_cycles),
                      offsetof(struct hv_stats, user_exits)},
};

static uint64_t cycles_at(const struct hv *hv, size_t offset)
{
    return *(const uint64_t *)(const void *)((const char *)&hv->conf + offset);
}

void hv_exit(struct vcpu *v, enum hv_exit why)
{
    struct hv *hv = v->vm->hv;
    const struct exit_kind *k = &kinds[why];
    uint64_t cycles = cycles_at(hv, k->cycles) + (k->more_cycles ? cycles_at(hv, k->more_cycles) : 0);
    hv_leave_guest(v, vcpu_cpu(v)->core.now_ps, cycles);
    ++*(uint64_t *)(void *)((char *)&hv->stats + k->count);
}

void hv_invlpg(struct vcpu *v, uint64_t gva)
{
    struct cpu *cpu = vcpu_cpu(v);
    mmu_flush_page(&cpu->mmu, v->space.asid, gva);
    cpu->core.now_ps += cpu->mmu.conf.invlpg_cycles * cpu->core.cycle_ps;
}

void hv_flush_space(struct vcpu *v)
{
    mmu_flush_space(&vcpu_cpu(v)->mmu, v->space.asid);
}

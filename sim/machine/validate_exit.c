/* SPDX-License-Identifier: MIT */
/* What leaving the guest costs, what an invalidation costs and drops, and how much the paging-structure caches hold. */
#include "sim/machine/validate.h"

/* ---- exits ---- */

static int step_exit(struct probe_thread *t, struct vcpu *v)
{
    hv_exit(v, (enum hv_exit)t->mode);
    return 0;
}

static int step_invlpg(struct probe_thread *t, struct vcpu *v)
{
    hv_invlpg(v, PROBE_GVA + t->bytes);
    return 0;
}

static double step_cycles(struct validate *v, struct probe *p, probe_step *step, uint64_t n)
{
    return (double)probe_run(p, step, n, v->d) / (double)probe_core(p, 0)->cycle_ps / (double)n;
}

int measure_exits(struct validate *v)
{
    static const char *const keys[HV_N_EXITS] = {"24.cpuid", "24.vmcall", "24.outl", "24.inl", "25.inl"};
    struct probe_setup s = {.bytes = MIB, .page_level = LEVEL_4K, .is_nested = true, .ept_level = LEVEL_4K};
    struct probe *p = probe_new(&v->conf, &s, v->d);
    if (!p)
        return -1;
    for (uint32_t i = 0; i < HV_N_EXITS; i++) {
        p->thread[0].mode = i;
        validate_put(v, keys[i], step_cycles(v, p, step_exit, 100));
    }
    probe_free(p);
    return 0;
}

/* ---- invalidation ---- */

#define N_KEPT 32u

/* Walks that touching N_KEPT pages again takes after one page behind them was invalidated, as a share of them. */
static int lost(struct validate *v, const char *key, uint32_t page_level, uint32_t ept_level)
{
    struct probe_setup s = {.bytes = 4 * MIB, .page_level = page_level, .is_nested = true, .ept_level = ept_level};
    struct probe *p = probe_new(&v->conf, &s, v->d);
    if (!p)
        return -1;
    struct probe_thread *t = &p->thread[0];
    const uint64_t *walks = &vcpu_cpu(&p->vm->vcpu[0])->mmu.stats.walks;
    t->unit = PAGE_BYTES;
    probe_run(p, step_chase_linear, N_KEPT, v->d);
    t->bytes = 2 * MIB;
    probe_run(p, step_invlpg, 1, v->d);
    t->bytes = s.bytes;
    t->i = 0;
    uint64_t before = *walks;
    probe_run(p, step_chase_linear, N_KEPT, v->d);
    validate_put(v, key, (double)(*walks - before) / N_KEPT);
    probe_free(p);
    return 0;
}

int measure_invlpg(struct validate *v)
{
    struct probe_setup s = {.bytes = MIB, .page_level = LEVEL_4K, .is_nested = true, .ept_level = LEVEL_4K};
    struct probe *p = probe_new(&v->conf, &s, v->d);
    if (!p)
        return -1;
    p->thread[0].bytes = 0;
    validate_put(v, "31.invlpg", step_cycles(v, p, step_invlpg, 100));
    probe_free(p);
    return lost(v, "32.4k4k", LEVEL_4K, LEVEL_4K) || lost(v, "32.4k2m", LEVEL_4K, LEVEL_2M) ||
                   lost(v, "32.2m2m", LEVEL_2M, LEVEL_2M) || lost(v, "32.2m4k", LEVEL_2M, LEVEL_4K)
               ? -1
               : 0;
}

/* ---- paging-structure caches ---- */

/* Access i goes to table i % bytes, and in it to an entry that no TLB holds any more. */
static int step_tables(struct probe_thread *t, struct vcpu *v)
{
    return hv_access(v, PROBE_GVA + (t->i % t->bytes << 9 | (t->i / t->bytes & 511)) * t->gap, CACHE_READ, false);
}

/* The largest n for which walks that take turns between n last tables read nothing but their leaf. */
static int tables_that_fit(struct validate *v, const char *key, uint32_t level, uint64_t max)
{
    uint64_t page = 1ull << LEVEL_SHIFT(level), low = 0, high = max + 1;
    struct probe_setup s = {.bytes = (max + 1) * page << 9, .phys_bytes = page, .page_level = level};
    struct probe *p = probe_new(&v->conf, &s, v->d);
    if (!p)
        return -1;
    struct probe_thread *t = &p->thread[0];
    const struct mmu_stats *m = &vcpu_cpu(&p->vm->vcpu[0])->mmu.stats;
    t->gap = page;
    while (high - low > 1) {
        t->bytes = (low + high) / 2;
        t->i = 0;
        probe_run(p, step_tables, 512 * t->bytes, v->d);
        uint64_t more = m->walk_refs - m->walks;
        probe_run(p, step_tables, 512 * t->bytes, v->d);
        if (m->walk_refs - m->walks == more)
            low = t->bytes;
        else
            high = t->bytes;
    }
    validate_put(v, key, (double)low);
    probe_free(p);
    return 0;
}

int measure_walk_caches(struct validate *v)
{
    return tables_that_fit(v, "10.pde", LEVEL_4K, 63) || tables_that_fit(v, "10.pdpte", LEVEL_2M, 15) ? -1 : 0;
}

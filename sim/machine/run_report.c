/* SPDX-License-Identifier: MIT */
/* What a run leaves: counters, ratios, curves, events and the verdicts of its policies. */
#include "sim/guest/exec.h"
#include "sim/machine/curve.h"
#include "sim/machine/machine.h"
#include "sim/machine/program.h"
#include "sim/machine/run_int.h"
#include "sim/mrc/lru.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void report_player(struct run *r, const struct guest *g, const char *path)
{
    uint64_t ignored = 0;
    for (uint32_t i = 0; i < g->conf.vcpus; i++)
        ignored += g->player[i]->ignored_records;
    char *key = xasprintf("%s.ignored_records", path);
    result_set(r->out, key, ignored);
    free(key);
}

static void report_vm(struct run *r, const struct vm *vm)
{
    char *path = xasprintf("vm.%s", vm->name), *key;
    stats_walk(path, vm_stat_desc, VM_N_STATS, &vm->stats, result_stat, r->out);
    if (guest_exec(vm))
        program_report(r->out, guest_exec(vm), path);
    else
        report_player(r, vm->guest, path);
    key = xasprintf("%s.table_pages", path);
    result_set(r->out, key, vm->ept.n_tables);
    free(key);
    if (vm->n_regions) {
        key = xasprintf("%s.flush_ns", path);
        result_hist(r->out, key, &vm->flush_ps, PS_PER_NS);
        free(key);
    }
    key = xasprintf("%s.local_ratio", path);
    result_quotient(r->out, key, vm->stats.local_accesses, vm->stats.local_accesses + vm->stats.remote_accesses);
    free(key);
    free(path);
}

ps_t run_end(const struct hv *hv)
{
    ps_t end = 0;
    for (uint32_t i = 0; i < hv->n_cpus; i++)
        end = max_u64(end, hv->cpu[i].core.now_ps);
    return end;
}

/* The frame in which the events of the run stand: its VMs, and the power if it failed. */
static void report_events(struct run *r)
{
    const struct hv *hv = &r->m->hv;
    for (uint32_t i = 0; i < hv->n_vms; i++)
        result_event(r->out, "vm", hv->vm[i]->name, i + 1, 0, 0, run_end(hv), "vcpus", hv->vm[i]->n_vcpus);
    if (hv->is_down)
        result_event(r->out, "power", "the power fails", 0, 0, hv->down_ps, 0, NULL, 0);
}

static void report_cpus(struct run *r)
{
    struct hv *hv = &r->m->hv;
    for (uint32_t i = 0; i < hv->n_cpus; i++) {
        const struct cpu *c = &hv->cpu[i];
        if (c->core.now_ps == 0)
            continue; /* a CPU that never did anything: all its counters are 0 */
        char *path = xasprintf("cpu%u", i);
        stats_walk(path, core_stat_desc, CORE_N_STATS, &c->core.stats, result_stat, r->out);
        stats_walk(path, mmu_stat_desc, MMU_N_STATS, &c->mmu.stats, result_stat, r->out);
        stats_walk(path, core_cache_stat_desc, CORE_CACHE_N_STATS, &hv->caches->core[i].stats, result_stat, r->out);
        free(path);
    }
    result_set(r->out, "time_ps", run_end(hv));
    result_ratio(r->out, "l1d_miss_ratio", "cpu*.l1d_misses", "cpu*.l1d_hits + cpu*.l1d_misses");
    result_ratio(r->out, "llc_miss_ratio", "cpu*.llc_misses", "cpu*.l1d_hits + cpu*.l1d_misses");
    result_ratio(r->out, "walk_refs_a_walk_ratio", "cpu*.walk_refs", "cpu*.walks");
}

static void report_node(struct run *r, uint32_t i)
{
    struct numa *numa = &r->m->numa;
    struct node_imc *n = &numa->node[i];
    if (n->curve.curve)
        result_taint(r->out, "curve");
    char *path = xasprintf("node%u", i);
    stats_walk(path, node_stat_desc, NODE_N_STATS, &numa->stats[i], result_stat, r->out);
    free(path);
    if (i < numa->n_cpu_nodes) {
        path = xasprintf("node%u.llc", i);
        stats_walk(path, llc_stat_desc, LLC_N_STATS, &r->m->caches.llc[i].stats, result_stat, r->out);
        free(path);
    }
    for (uint32_t k = 0; k < n->conf.n_imcs; k++) {
        path = xasprintf("node%u.imc%u", i, k);
        stats_walk(path, imc_stat_desc, IMC_N_STATS, &n->imc[k], result_stat, r->out);
        free(path);
    }
    for (uint32_t k = 0; k < n->n_chans; k++) {
        uint32_t per = (uint32_t)n->conf.n_channels;
        path = xasprintf("node%u.imc%u.ch%u", i, k / per, k % per);
        stats_walk(path, chan_stat_desc, CHAN_N_STATS, &n->chan[k].stats, result_stat, r->out);
        stats_walk(path, dram_stat_desc, DRAM_N_STATS, &n->chan[k].dram.stats, result_stat, r->out);
        free(path);
        if (n->chan[k].module.conf.kind != NVDIMM_OPTANE)
            continue;
        path = xasprintf("node%u.imc%u.ch%u.pmem", i, k / per, k % per);
        stats_walk(path, nvdimm_stat_desc, NVDIMM_N_STATS, &n->chan[k].module.stats, result_stat, r->out);
        free(path);
    }
    for (uint32_t k = 0; k < numa->n_nodes; k++)
        if (numa->next_hop[i][k] == k && i != k) {
            path = xasprintf("link%u-%u", i, k);
            stats_walk(path, link_stat_desc, LINK_N_STATS, &numa->link[i][k].stats, result_stat, r->out);
            free(path);
        }
}

/* How far the curve that a policy saw is from the true one, over all sizes. */
static void report_curve_error(struct run *r, uint32_t vm)
{
    struct curve_error e;
    const char *name = r->m->hv.vm[vm]->name;
    if (!curve_judge(&r->seen[vm], r->curve[vm], &e))
        return;
    char *key = xasprintf("vm.%s.curve_error_ratio", name);
    result_quotient(r->out, key, (uint64_t)llround(e.mean * 1e9), 1000000000);
    free(key);
    key = xasprintf("vm.%s.curve_error_max_ratio", name);
    result_quotient(r->out, key, (uint64_t)llround(e.max * 1e9), 1000000000);
    free(key);
    key = xasprintf("vm.%s.curve_error_max_at_pages", name);
    result_set(r->out, key, e.max_at);
    free(key);
}

/* The true curve at every size up to 4096 pages and then at 256 sizes an octave. */
static void report_curve(struct run *r, uint32_t vm)
{
    const struct mrc_lru *c = r->curve[vm];
    uint64_t distinct = mrc_lru_distinct(c), all = mrc_lru_accesses(c), hits = 0, d = 0;
    char *label = xasprintf("%s true", r->m->hv.vm[vm]->name), *key;
    for (uint64_t size = 1; all; size = size < 4096 ? size + 1 : size + (1ull << (63 - __builtin_clzll(size) - 8))) {
        size = min_u64(size, distinct);
        while (d < size)
            hits += mrc_lru_hits_at(c, ++d);
        result_point(r->out, "miss_ratio", label, "pages", (double)size, (double)(all - hits) / (double)all);
        if (size == distinct)
            break;
    }
    free(label);
    key = xasprintf("vm.%s.distinct_pages", r->m->hv.vm[vm]->name);
    result_set(r->out, key, distinct);
    free(key);
    report_curve_error(r, vm);
}

static void on_count(void *ctx, const char *key, uint64_t value)
{
    result_set(ctx, key, value);
}
static void on_hist(void *ctx, const char *key, const struct hist *h)
{
    result_hist(ctx, key, h, 1);
}
static void on_text(void *ctx, const char *key, const char *text)
{
    result_text(ctx, key, text);
}

/* What the power failure left, if there was one. */
static void report_power(struct run *r)
{
    if (r->m->hv.is_down)
        stats_walk("power", power_stat_desc, POWER_N_STATS, &r->m->hv.power, result_stat, r->out);
}

static void report_policies(struct run *r)
{
    struct plugin_visitor v = {.ctx = r->out, .count = on_count, .hist = on_hist, .text = on_text};
    char chain[PLUGIN_DIGEST_LEN];
    plugin_host_visit(r->m->hv.plugins, &v);
    plugin_host_chain(r->m->hv.plugins, chain);
    result_text(r->out, "decisions_chain", chain);
    result_set(r->out, "decisions", plugin_host_decisions(r->m->hv.plugins));
}

/* Share of its vCPUs' time that each VM lost to the hypervisor. */
static void report_overhead(struct run *r)
{
    const struct hv *hv = &r->m->hv;
    uint64_t lost = 0, all = 0;
    for (uint32_t i = 0; i < hv->n_cpus; i++)
        if (hv->cpu[i].n_vcpus) {
            lost += hv->cpu[i].core.stats.exit_ps;
            all += hv->cpu[i].core.now_ps;
        }
    result_quotient(r->out, "overhead_ratio", lost, all);
    if (r->baseline_ps) {
        ps_t end = run_end(hv);
        result_set(r->out, "baseline_time_ps", r->baseline_ps);
        result_quotient(r->out, "slowdown_percent", end > r->baseline_ps ? 100 * (end - r->baseline_ps) : 0,
                        r->baseline_ps);
    }
    stats_walk("hypervisor", hv_stat_desc, HV_N_STATS, &hv->stats, result_stat, r->out);
    result_set(r->out, "pmem_events", hv->n_pmem_events);
}

/* Memory that followed a measured curve marks the result. */
static void report_curve_mode(struct run *r)
{
    const struct numa *numa = &r->m->numa;
    for (uint32_t i = 0; i < numa->n_nodes; i++) {
        const struct mem_curve *c = numa->node[i].curve.curve;
        if (!c)
            continue;
        char *key = xasprintf("node%u.memory_curve", i);
        result_text(r->out, key, c->name);
        free(key);
        result_taint(r->out, "memory-curve");
    }
}

void run_report(struct run *r)
{
    result_text(r->out, "timing", "block");
    report_curve_mode(r);
    report_cpus(r);
    report_events(r);
    report_overhead(r);
    for (uint32_t i = 0; i < r->m->numa.n_nodes; i++)
        report_node(r, i);
    for (uint32_t i = 0; i < r->n_vms; i++) {
        report_vm(r, r->m->hv.vm[i]);
        if (r->curve)
            report_curve(r, i);
    }
    report_power(r);
    report_policies(r);
}

/* SPDX-License-Identifier: MIT */
/* The power fails: what caches and write-pending queues still bring to the media. */
#include "sim/hv/hv.h"

const struct stat_desc power_stat_desc[] = {
    {"queued_lines", STAT_LEVEL, "lines", "persistent lines in the write-pending queues, or on their way into them"},
    {"queued_lost", STAT_LEVEL, "lines", "of these, lost"},
    {"dirty_lines", STAT_LEVEL, "lines", "persistent lines that only the caches had"},
    {"dirty_lost", STAT_LEVEL, "lines", "of these, lost"},
    {"volatile_lines", STAT_LEVEL, "lines", "dirty lines of DRAM in the caches, which nobody saves"},
    {"flush_ps", STAT_LEVEL, "ps", "from the failure until the last line that made it was on the media"},
    {"flush_uj", STAT_LEVEL, "uJ", "energy drawn for that, at holdup_power"},
    {"saved_bytes", STAT_LEVEL, "bytes", "content that NVDIMM-Ns saved to their flash"},
    {"unsaved_lines", STAT_LEVEL, "lines", "lines on their media for which a supercapacitor did not last"},
    {"save_ps", STAT_LEVEL, "ps", "time of that save"},
    {"restore_ps", STAT_LEVEL, "ps", "time of restoring it when the power is back"},
};
STATS_COMPLETE(struct power_stats, power_stat_desc);

/* The caches as they are emptied. */
struct flush {
    struct hv *hv;
    ps_t t, end_ps, last_ps;
    uint64_t too_late; /* lines that were sent but are not on the media by end_ps */
};

static bool is_persistent(const struct hv *hv, uint64_t line)
{
    return mem_region_at(hv->mem, line << LINE_SHIFT)->kind == MEM_PMEM;
}

static void flush_line(void *ctx, uint32_t socket, uint64_t line)
{
    struct flush *f = ctx;
    struct power_stats *p = &f->hv->power;
    (void)socket;
    if (!is_persistent(f->hv, line)) {
        p->volatile_lines++;
        return;
    }
    ps_t done = numa_hold_up(f->hv->numa, line, f->t, f->end_ps);
    p->dirty_lines++;
    p->dirty_lost += done > f->end_ps;
    f->too_late += done > f->end_ps && done != UINT64_MAX;
    if (done <= f->end_ps)
        f->last_ps = max_u64(f->last_ps, done);
}

static void lose_line(void *ctx, uint32_t socket, uint64_t line)
{
    struct flush *f = ctx;
    struct power_stats *p = &f->hv->power;
    (void)socket;
    if (is_persistent(f->hv, line))
        p->dirty_lines++, p->dirty_lost++;
    else
        p->volatile_lines++;
}

/* When the flush of eADR ends for want of energy; a microjoule at a milliwatt lasts a millisecond. */
static ps_t end_of_energy(const struct hv_conf *c, ps_t t)
{
    unsigned __int128 lasts = UINT64_MAX;
    if (c->holdup == HOLDUP_ENERGY)
        lasts = (unsigned __int128)c->holdup_uj * PS_PER_MS / c->holdup_mw;
    else if (c->holdup == HOLDUP_TIME)
        lasts = c->holdup_ps;
    return lasts > UINT64_MAX - t ? UINT64_MAX : t + (ps_t)lasts;
}

/* Takes down the queues; when the last of their lines that made it was on the media. */
static ps_t drain_queues(struct hv *hv, ps_t end_ps, bool adr, uint64_t *lost)
{
    ps_t last = 0;
    for (uint32_t i = 0; i < hv->numa->n_nodes; i++) {
        struct node_imc *n = &hv->numa->node[i];
        last = max_u64(last, imc_last_ps(n, end_ps, adr));
        *lost += imc_power_fail(n, end_ps, adr);
    }
    return last;
}

static void count_energy(struct hv *hv, ps_t last_ps, ps_t t)
{
    hv->power.flush_ps = last_ps > t ? last_ps - t : 0;
    hv->power.flush_uj = (uint64_t)((unsigned __int128)hv->power.flush_ps * hv->conf.holdup_mw / PS_PER_MS);
}

static void back_up(struct hv *hv)
{
    struct power_stats *p = &hv->power;
    for (uint32_t i = 0; i < hv->numa->n_cpu_nodes; i++) {
        struct node_imc *n = &hv->numa->node[i];
        const struct nvdimm_conf *c = &n->chan[0].module.conf;
        if (c->kind != NVDIMM_N)
            continue;
        struct nvdimm_backup b = nvdimm_backup(c);
        p->saved_bytes += b.saved_bytes * n->n_chans;
        p->save_ps = max_u64(p->save_ps, b.save_ps);
        p->restore_ps = max_u64(p->restore_ps, b.restore_ps);
        p->unsaved_lines += imc_back_up(n, mem_find_region(hv->mem, i, MEM_PMEM), &b);
    }
}

void hv_power_up(struct hv *hv)
{
    pmem_power_up(hv->mem);
}

int hv_power_fail(struct hv *hv, ps_t t, enum power_outcome outcome, struct diag *d)
{
    bool is_eadr = outcome == POWER_EADR;
    struct flush f = {.hv = hv, .t = t, .end_ps = is_eadr ? end_of_energy(&hv->conf, t) : t};
    hv->now_ps = t;
    hv->power = (struct power_stats){0};
    if (hv->plugins)
        plugin_host_power(hv->plugins, QUIRE_POWER_FAIL);
    for (uint32_t i = 0; i < hv->numa->n_nodes; i++)
        hv->power.queued_lines += imc_queued(&hv->numa->node[i], t);
    cache_drain(hv->caches, is_eadr ? flush_line : lose_line, &f);
    ps_t last = drain_queues(hv, f.end_ps, outcome == POWER_ADR, &hv->power.queued_lost);
    hv->power.queued_lost -= f.too_late;
    count_energy(hv, max_u64(last, f.last_ps), t);
    if (is_eadr && hv->power.queued_lost + hv->power.dirty_lost)
        outcome = POWER_ADR_FAILS;
    int bad = durable_judge(hv, t, outcome, d);
    back_up(hv);
    return bad;
}

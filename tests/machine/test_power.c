/* SPDX-License-Identifier: MIT */
/* eADR with an energy that ends: the image that a power failure leaves, line by line, against a model that reads the
 * tags and queues of a twin machine just before the failure, walks the dirty lines in the documented order and lets
 * each channel's module take one after the other. */
#include "sim/base/rng.h"
#include "sim/imc/imc_int.h"
#include "sim/machine/conserve.h"
#include "sim/machine/machine.h"
#include "sim/machine/run.h"

#include <criterion/criterion.h>
#include <string.h>

#define LINES 1500u

struct rig {
    struct machine *m;
    struct machine_conf conf;
    uint64_t line[LINES];
    ps_t t; /* when the power fails */
};

/* Two sockets of three cores with caches of a few lines; lines of both nodes' modules and of DRAM. */
static void rig_build(struct rig *r, enum nvdimm_kind kind, ps_t supercap_ps)
{
    struct diag d = {0};
    struct rng rng;
    *r = (struct rig){0};
    cr_assert_eq(machine_bind(NULL, &r->conf, &d), 0);
    struct machine_conf *c = &r->conf;
    c->numa.n_nodes = 2;
    c->numa.dram_bytes = c->pmem.size_bytes = GIB;
    c->pmem.kind = kind;
    c->pmem.supercap = supercap_ps ? SUPERCAP_TIME : SUPERCAP_ENOUGH;
    c->pmem.supercap_ps = supercap_ps;
    c->imc.wpq_entries = 8;
    c->cache.l1d_bytes = c->cache.l1i_bytes = 4096;
    c->cache.l2_bytes = 16384;
    c->cache.llc_slices = 1;
    c->cache.llc_slice_bytes = 4096 * 11 * LINE_BYTES;
    c->hv.cores = 3;
    cr_assert((r->m = machine_new(c, &d)), "%s", d.text);
    uint64_t first[3];
    for (uint32_t i = 0; i < 3; i++) {
        struct mem_region *reg = mem_find_region(r->m->mem, i & 1, i == 2 ? MEM_DRAM : MEM_PMEM);
        first[i] = mem_alloc(r->m->mem, reg, LEVEL_2M, FRAME_GUEST, 0, 0) << (PAGE_SHIFT - LINE_SHIFT);
    }
    rng_init(&rng, 7, "power");
    for (uint32_t i = 0; i < LINES; i++)
        r->line[i] = first[i % 8 == 7 ? 2 : i & 1] + i / 3 * 5 + i % 3;
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t line = r->line[rng_below(&rng, LINES)];
        uint32_t core = (uint32_t)rng_below(&rng, 6), what = (uint32_t)rng_below(&rng, 32);
        bool is_pmem = mem_region_at(r->m->mem, line << LINE_SHIFT)->kind == MEM_PMEM;
        if (is_pmem && what != 0 && what < 20) {
            uint32_t version = ++frame_pmem(r->m->mem, line >> 6)->cur[line & 63];
            frame_write(r->m->mem, line << LINE_SHIFT, &version, sizeof version);
        }
        if (what == 0)
            cache_flush(&r->m->caches, core, line, FLUSH_CLWB, r->t);
        else if (what == 1)
            cache_ntstore(&r->m->caches, core, line, r->t);
        else
            cache_access(&r->m->caches, core, line, what < 20 ? CACHE_WRITE : CACHE_READ, r->t);
        r->t += rng_below(&rng, 20) * PS_PER_NS;
    }
}

static void rig_init(struct rig *r, enum nvdimm_kind kind)
{
    rig_build(r, kind, 0);
}

static void rig_fini(struct rig *r)
{
    machine_free(r->m);
}

/* ---- the model ---- */

struct model {
    struct rig r; /* a twin: its modules say how long a line takes */
    uint64_t dirty[LINES];
    uint32_t n_dirty;
    uint32_t media[LINES];
    uint64_t queued_lost, dirty_lost;
    ps_t last_ps;
};

static uint32_t index_of(const struct rig *r, uint64_t line)
{
    for (uint32_t i = 0; i < LINES; i++)
        if (r->line[i] == line)
            return i;
    cr_assert_fail("line %lx is none of the test's", (unsigned long)line);
    return 0;
}

static bool holds_modified(const struct pcache *p, uint64_t line)
{
    for (uint64_t k = 0; k < (p->set_mask + 1) * p->stride; k++)
        if (p->tag[k] == (line << 3 | 4 | LINE_MODIFIED))
            return true;
    return false;
}

/* The LLC's copy of the line in a socket is dirty. */
static bool llc_modified(const struct llc *l, uint64_t line)
{
    for (uint64_t i = 0; i < (uint64_t)l->slices << l->slice_set_bits; i++)
        for (uint32_t w = 0; w < l->ways; w++) {
            uint32_t tag = ((const uint32_t *)(const void *)(l->sets + (i << l->set_shift)))[w];
            if ((tag & 7) == (4 | LINE_MODIFIED) && (uint64_t)(tag >> 3) << l->slice_set_bits == (line & ~4095ull) &&
                (line & 4095) == i % 4096)
                return true;
        }
    return false;
}

static bool socket_modified(const struct caches *c, uint32_t socket, uint64_t line)
{
    bool dirty = llc_modified(&c->llc[socket], line);
    for (uint32_t i = 0; i < c->n_cores; i++)
        if (c->core[i].socket == socket)
            dirty |= holds_modified(&c->core[i].l2, line) || holds_modified(&c->core[i].l1d, line);
    return dirty;
}

static void note(struct model *m, uint64_t line)
{
    if (mem_region_at(m->r.m->mem, line << LINE_SHIFT)->kind != MEM_PMEM)
        return;
    for (uint32_t i = 0; i < m->n_dirty; i++)
        if (m->dirty[i] == line)
            return;
    m->dirty[m->n_dirty++] = line;
}

/* Cores by index, their L2s by set and way; then the LLCs by set and way. */
static void list_dirty(struct model *m)
{
    const struct caches *c = &m->r.m->caches;
    for (uint32_t i = 0; i < c->n_cores; i++)
        for (uint64_t k = 0; k < (c->core[i].l2.set_mask + 1) * c->core[i].l2.stride; k++) {
            uint64_t tag = c->core[i].l2.tag[k];
            if (tag && socket_modified(c, c->core[i].socket, tag >> 3))
                note(m, tag >> 3);
        }
    for (uint32_t s = 0; s < 2; s++)
        for (uint64_t i = 0; i < 4096; i++)
            for (uint32_t w = 0; w < c->llc[s].ways; w++) {
                uint32_t tag = ((const uint32_t *)(const void *)(c->llc[s].sets + (i << c->llc[s].set_shift)))[w];
                if ((tag & 7) == (4 | LINE_MODIFIED))
                    note(m, (uint64_t)(tag >> 3) << 12 | i);
            }
}

static void model_run(struct model *m, enum nvdimm_kind kind, ps_t budget_ps)
{
    rig_init(&m->r, kind);
    struct mem *mem = m->r.m->mem;
    ps_t end = m->r.t + budget_ps;
    m->n_dirty = 0;
    m->queued_lost = m->dirty_lost = m->last_ps = 0;
    list_dirty(m);
    for (uint32_t i = 0; i < 2; i++)
        imc_settle(&m->r.m->numa.node[i], m->r.t);
    for (uint32_t i = 0; i < LINES; i++)
        if (mem_region_at(mem, m->r.line[i] << LINE_SHIFT)->kind == MEM_PMEM)
            m->media[i] = frame_pmem(mem, m->r.line[i] >> 6)->media[m->r.line[i] & 63];
    for (uint32_t i = 0; i < 2; i++) {
        struct node_imc *n = &m->r.m->numa.node[i];
        const struct mem_region *reg = mem_find_region(mem, i, MEM_PMEM);
        ps_t free[64];
        for (uint32_t k = 0; k < n->n_chans; k++) {
            struct channel *c = &n->chan[k];
            free[k] = m->r.t;
            for (uint32_t q = 0; q < c->wpq_n; q++) {
                const struct wpq_entry *e = wpq_at(n, c, q);
                uint32_t *media = &m->media[index_of(&m->r, e->line)];
                free[k] = e->media_ps;
                m->queued_lost += free[k] > end;
                if (free[k] <= end) {
                    *media = e->version > *media ? e->version : *media; /* an older one never replaces it */
                    m->last_ps = max_u64(m->last_ps, free[k]);
                }
            }
        }
        for (uint32_t q = 0; q < m->n_dirty; q++) {
            uint64_t line = m->dirty[q], chan_line, base = reg->base >> LINE_SHIFT;
            if (line < base || line - base >= reg->bytes >> LINE_SHIFT)
                continue;
            uint32_t k = imc_channel(n, MEM_PMEM, line - base, &chan_line);
            if (free[k] <= end) {
                ps_t comes = free[k]; /* when the one before it is done */
                free[k] += n->conf.wpq_transfer_ps;
                if (kind == NVDIMM_OPTANE)
                    free[k] = max_u64(free[k], nvdimm_write(&n->chan[k].module, line, comes, comes));
            }
            m->dirty_lost += free[k] > end;
            if (free[k] <= end) {
                m->media[index_of(&m->r, line)] = frame_pmem(mem, line >> 6)->cur[line & 63];
                m->last_ps = max_u64(m->last_ps, free[k]);
            }
        }
    }
}

/* ---- */

static uint32_t media_of(const struct rig *r, uint32_t i)
{
    if (mem_region_at(r->m->mem, r->line[i] << LINE_SHIFT)->kind != MEM_PMEM)
        return 0;
    const struct pmem_page *p = frame_pmem(r->m->mem, r->line[i] >> 6);
    uint32_t version = p->media[r->line[i] & 63], bytes = 0;
    if (p->media_bytes)
        memcpy(&bytes, p->media_bytes + (r->line[i] & 63) * LINE_BYTES, sizeof bytes);
    cr_assert_eq(bytes, version, "line %u: the bytes of version %u, not %u", i, bytes, version);
    return version;
}

static void fail_power(struct rig *r, enum nvdimm_kind kind, enum power_outcome outcome, enum power_holdup holdup,
                       ps_t budget_ps)
{
    struct diag d = {0};
    rig_init(r, kind);
    r->m->hv.conf.holdup = holdup;
    r->m->hv.conf.holdup_ps = budget_ps;
    cr_assert_eq(hv_power_fail(&r->m->hv, r->t, outcome, &d), 0, "%s", d.text);
    cr_assert_eq(machine_conserves(r->m, &d), 0, "%s", d.text);
}

static void against_model(enum nvdimm_kind kind, ps_t whole_ps)
{
    static struct rig r;
    static struct model m;
    static uint32_t before[LINES];
    uint64_t lost_before = UINT64_MAX;
    memset(before, 0, sizeof before);
    for (uint32_t step = 0; step <= 12; step++) {
        ps_t budget = step == 0 ? 0 : whole_ps * step / 11;
        model_run(&m, kind, budget);
        fail_power(&r, kind, POWER_EADR, HOLDUP_TIME, budget);
        const struct power_stats *p = &r.m->hv.power;
        for (uint32_t i = 0; i < LINES; i++) {
            cr_assert_eq(media_of(&r, i), m.media[i], "budget %lu ps: line %u is there in version %u, not %u",
                         (unsigned long)budget, i, media_of(&r, i), m.media[i]);
            cr_assert_geq(m.media[i], before[i], "more energy, an older line");
            before[i] = m.media[i];
        }
        cr_assert_eq(p->dirty_lines, m.n_dirty);
        cr_assert_eq(p->dirty_lost, m.dirty_lost);
        cr_assert_eq(p->queued_lost, m.queued_lost);
        cr_assert_eq(p->flush_ps, m.last_ps ? m.last_ps - m.r.t : 0);
        cr_assert_leq(p->dirty_lost + p->queued_lost, lost_before);
        lost_before = p->dirty_lost + p->queued_lost;
        if (step == 6)
            cr_assert(lost_before > 10 && m.n_dirty - m.dirty_lost > 10, "the middle says something: %lu of %u lost",
                      (unsigned long)lost_before, m.n_dirty);
        rig_fini(&m.r);
        rig_fini(&r);
    }
    cr_assert_eq(lost_before, 0, "%lu lines lost with time to spare", (unsigned long)lost_before);
}

static ps_t unlimited_flush(enum nvdimm_kind kind)
{
    struct rig r;
    fail_power(&r, kind, POWER_EADR, HOLDUP_UNLIMITED, 0);
    for (uint32_t i = 0; i < LINES; i++)
        if (mem_region_at(r.m->mem, r.line[i] << LINE_SHIFT)->kind == MEM_PMEM)
            cr_assert_eq(media_of(&r, i), frame_pmem(r.m->mem, r.line[i] >> 6)->cur[r.line[i] & 63]);
    ps_t took = r.m->hv.power.flush_ps;
    cr_assert(took > 0 && r.m->hv.power.dirty_lines > 100 && r.m->hv.power.volatile_lines > 10);
    rig_fini(&r);
    return took;
}

Test(holdup, image_of_dram_modules)
{
    against_model(NVDIMM_N, unlimited_flush(NVDIMM_N));
}
Test(holdup, image_of_optane_modules)
{
    against_model(NVDIMM_OPTANE, unlimited_flush(NVDIMM_OPTANE));
}

Test(holdup, nothing_is_the_failure_of_adr)
{
    struct rig none, adr_fails;
    fail_power(&none, NVDIMM_OPTANE, POWER_EADR, HOLDUP_TIME, 0);
    fail_power(&adr_fails, NVDIMM_OPTANE, POWER_ADR_FAILS, HOLDUP_UNLIMITED, 0);
    for (uint32_t i = 0; i < LINES; i++)
        cr_assert_eq(media_of(&none, i), media_of(&adr_fails, i));
    cr_assert(none.m->hv.power.queued_lost > 0);
    cr_assert_eq(none.m->hv.power.queued_lost, adr_fails.m->hv.power.queued_lost);
    cr_assert_eq(none.m->hv.power.dirty_lost, adr_fails.m->hv.power.dirty_lost);
    rig_fini(&none);
    rig_fini(&adr_fails);
}

/* 550 mJ at 305 W last 1.8033 ms; so do 305 uJ at 305 mW a second. */
Test(holdup, energy_and_power_are_a_time)
{
    const struct {
        uint64_t uj, mw;
        ps_t ps;
    } c[] = {{550000, 305000, 550000ull * PS_PER_MS / 305000}, {305, 305, PS_PER_MS}, {0, 1, 0}};
    for (uint32_t i = 0; i < N_ELEMS(c); i++) {
        struct rig by_energy, by_time;
        struct diag d = {0};
        rig_init(&by_energy, NVDIMM_OPTANE);
        by_energy.m->hv.conf.holdup = HOLDUP_ENERGY;
        by_energy.m->hv.conf.holdup_uj = c[i].uj;
        by_energy.m->hv.conf.holdup_mw = c[i].mw;
        cr_assert_eq(hv_power_fail(&by_energy.m->hv, by_energy.t, POWER_EADR, &d), 0, "%s", d.text);
        fail_power(&by_time, NVDIMM_OPTANE, POWER_EADR, HOLDUP_TIME, c[i].ps);
        cr_assert_eq(by_energy.m->hv.power.dirty_lost, by_time.m->hv.power.dirty_lost);
        cr_assert_eq(by_energy.m->hv.power.flush_uj, by_energy.m->hv.power.flush_ps * c[i].mw / PS_PER_MS,
                     "energy is power by time");
        cr_assert_leq(by_energy.m->hv.power.flush_uj, c[i].uj);
        rig_fini(&by_energy);
        rig_fini(&by_time);
    }
}

/* ---- NVDIMM-N ---- */

/* Byte of its module that a persistent line begins at, by the textbook: blocks of 4 KiB, six modules in turn. */
static uint64_t module_byte(const struct rig *r, uint64_t line)
{
    const struct mem_region *reg = mem_region_at(r->m->mem, line << LINE_SHIFT);
    uint64_t at = (line << LINE_SHIFT) - reg->base;
    return at / 4096 / 6 * 4096 + at % 4096;
}

/* Modules that save `saved` bytes before their supercapacitors are empty. */
static uint64_t back_up_of(uint64_t saved)
{
    struct rig whole, r;
    struct diag d = {0};
    uint64_t unsaved = 0;
    fail_power(&whole, NVDIMM_N, POWER_ADR, HOLDUP_UNLIMITED, 0);
    cr_assert_eq(whole.m->hv.power.unsaved_lines, 0);
    cr_assert_eq(whole.m->hv.power.saved_bytes, 12 * GIB);
    cr_assert_eq(whole.m->hv.power.save_ps, GIB * 4000);
    cr_assert_eq(whole.m->hv.power.restore_ps, GIB * 20000 / 9);
    rig_build(&r, NVDIMM_N, saved * 4000); /* 250 MB/s: 4 ns a byte */
    cr_assert_eq(hv_power_fail(&r.m->hv, r.t, POWER_ADR, &d), 0, "%s", d.text);
    for (uint32_t i = 0; i < LINES; i++) {
        if (mem_region_at(r.m->mem, r.line[i] << LINE_SHIFT)->kind != MEM_PMEM)
            continue;
        bool is_saved = module_byte(&r, r.line[i]) + LINE_BYTES <= saved;
        cr_assert_eq(media_of(&r, i), is_saved ? media_of(&whole, i) : 0, "line %u, byte %lu of its module", i,
                     (unsigned long)module_byte(&r, r.line[i]));
        unsaved += !is_saved && media_of(&whole, i);
    }
    cr_assert_eq(r.m->hv.power.unsaved_lines, unsaved);
    cr_assert_eq(r.m->hv.power.saved_bytes, saved / LINE_BYTES * LINE_BYTES * 12);
    cr_assert_eq(r.m->hv.power.save_ps, saved * 4000);
    hv_power_up(&r.m->hv);
    for (uint32_t i = 0; i < LINES; i++) {
        uint32_t bytes;
        frame_read(r.m->mem, r.line[i] << LINE_SHIFT, &bytes, sizeof bytes);
        if (mem_region_at(r.m->mem, r.line[i] << LINE_SHIFT)->kind != MEM_PMEM)
            continue;
        cr_assert_eq(frame_pmem(r.m->mem, r.line[i] >> 6)->cur[r.line[i] & 63], media_of(&r, i));
        cr_assert_eq(bytes, media_of(&r, i), "line %u: what is read when the power is back", i);
    }
    rig_fini(&whole);
    rig_fini(&r);
    return unsaved;
}

Test(nvdimm_n, a_small_supercapacitor_loses_the_tail)
{
    uint64_t none = back_up_of(64 * KIB), most = back_up_of(4 * KIB + 700);
    cr_assert(none < most, "%lu and %lu lines lost", (unsigned long)none, (unsigned long)most);
    cr_assert(most > 50);
}

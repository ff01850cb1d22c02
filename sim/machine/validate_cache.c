/* SPDX-License-Identifier: MIT */
/* Caches, TLBs, walks, exits, flushes and fences: one thread, small regions. */
#include "sim/machine/validate.h"

static struct probe *probe_one(struct validate *v, uint64_t bytes, uint64_t phys_bytes, uint32_t level)
{
    struct probe_setup s = {.bytes = bytes, .phys_bytes = phys_bytes, .page_level = level};
    return probe_new(&v->conf, &s, v->d);
}

static double cycles(struct probe *p, ps_t t)
{
    return (double)t / (double)probe_core(p, 0)->cycle_ps;
}

/* Mean load-to-use time of a chase over n units of the given distance, in cycles, after two passes of warming. */
static double chase_cycles(struct validate *v, struct probe *p, uint64_t bytes, uint64_t unit)
{
    struct probe_thread *t = &p->thread[0];
    uint64_t n = bytes / unit;
    t->bytes = bytes;
    t->unit = unit;
    probe_run(p, step_chase_shuffled, 2 * n, v->d);
    return cycles(p, probe_run(p, step_chase_shuffled, n, v->d)) / (double)n;
}

int measure_cache_latency(struct validate *v)
{
    struct probe *p = probe_one(v, GIB, 0, LEVEL_1G);
    if (!p)
        return -1;
    validate_put(v, "1.l1", chase_cycles(v, p, 16 * KIB, LINE_BYTES));
    validate_put(v, "2.l2", chase_cycles(v, p, 512 * KIB, LINE_BYTES));
    validate_put(v, "3.l3", chase_cycles(v, p, 8 * MIB, LINE_BYTES));
    probe_free(p);
    return 0;
}

/* ---- geometry: how many addresses fit ---- */

static int step_touch(struct probe_thread *t, struct vcpu *v)
{
    core_issue(&vcpu_cpu(v)->core, 1);
    return hv_access(v, PROBE_GVA + t->i % t->bytes * t->gap, t->mode, false);
}

/* The largest n up to max for which n addresses, stride bytes apart, touched in turn, count no event after the first
 * rounds. The structures replace by (pseudo) LRU, so one too many misses always: bisection. */
static uint64_t how_many_fit(struct validate *v, struct probe *p, uint32_t op, uint64_t stride, uint64_t max,
                             const uint64_t *event)
{
    struct probe_thread *t = &p->thread[0];
    uint64_t low = 0, high = max + 1;
    t->mode = op;
    t->gap = stride;
    while (high - low > 1) {
        t->bytes = (low + high) / 2;
        t->i = 0;
        probe_run(p, step_touch, 4 * t->bytes, v->d);
        uint64_t before = *event;
        probe_run(p, step_touch, 4 * t->bytes, v->d);
        if (*event == before)
            low = t->bytes;
        else
            high = t->bytes;
    }
    return low;
}

/* The LLC takes what the L2s throw out; when more than it holds has streamed through, it is full: what went in and did
 * not come out is its size. */
static double llc_bytes(struct validate *v, struct probe *p)
{
    struct probe_thread *t = &p->thread[0];
    uint64_t lines = GIB / LINE_BYTES, fit = v->conf.cache.llc_slices * v->conf.cache.llc_slice_bytes / LINE_BYTES;
    const struct llc_stats *s = &p->m->caches.llc[0].stats;
    const uint64_t *up = &p->m->caches.core[0].stats.llc_hits;
    t->bytes = lines;
    t->gap = LINE_BYTES;
    t->mode = CACHE_READ;
    t->i = 0;
    uint64_t fills = s->fills, evictions = s->evictions, hits = *up;
    probe_run(p, step_touch, min_u64(4 * fit, lines), v->d);
    return (double)((s->fills - fills) - (s->evictions - evictions) - (*up - hits)) * LINE_BYTES;
}

int measure_cache_geometry(struct validate *v)
{
    struct probe *p = probe_one(v, GIB, 0, LEVEL_1G);
    if (!p)
        return -1;
    const struct core_cache_stats *s = &p->m->caches.core[0].stats;
    validate_put(v, "4.llc", llc_bytes(v, p) / (double)v->conf.hv.cores / KIB);
    validate_put(v, "4.l1d", (double)how_many_fit(v, p, CACHE_READ, LINE_BYTES, 2048, &s->l1d_misses) / 16);
    validate_put(v, "4.l1d.ways", (double)how_many_fit(v, p, CACHE_READ, MIB, 64, &s->l1d_misses));
    validate_put(v, "4.l1i", (double)how_many_fit(v, p, CACHE_FETCH, LINE_BYTES, 2048, &s->l1i_misses) / 16);
    validate_put(v, "4.l1i.ways", (double)how_many_fit(v, p, CACHE_FETCH, MIB, 64, &s->l1i_misses));
    validate_put(v, "4.l2", (double)how_many_fit(v, p, CACHE_READ, LINE_BYTES, 65536, &s->l2_misses) / 16);
    validate_put(v, "4.l2.ways", (double)how_many_fit(v, p, CACHE_READ, MIB, 64, &s->l2_misses));
    probe_free(p);
    return 0;
}

/* Entries and ways of one TLB: pages in a row, and pages 256 apart, which fall into one set. All of them map one page,
 * so that no cache is in the way. */
static int tlb_shape(struct validate *v, uint32_t level, uint32_t op, bool second, uint64_t max, const char *entries,
                     const char *ways)
{
    uint64_t page = 1ull << LEVEL_SHIFT(level), apart = level == LEVEL_1G ? 4 : 256;
    struct probe *p = probe_one(v, max_u64(max + 1, ways ? 17 * apart : 0) * page, page, level);
    if (!p)
        return -1;
    const struct mmu_stats *s = &vcpu_cpu(&p->vm->vcpu[0])->mmu.stats;
    const uint64_t *event = second ? &s->walks : op == CACHE_FETCH ? &s->itlb_misses : &s->dtlb_misses;
    validate_put(v, entries, (double)how_many_fit(v, p, op, page, max, event));
    if (ways)
        validate_put(v, ways, (double)how_many_fit(v, p, op, apart * page, 16, event));
    probe_free(p);
    return 0;
}

int measure_tlb_geometry(struct validate *v)
{
    return tlb_shape(v, LEVEL_4K, CACHE_READ, false, 256, "5.4k", "5.4k.ways") ||
                   tlb_shape(v, LEVEL_2M, CACHE_READ, false, 128, "5.2m", "5.2m.ways") ||
                   tlb_shape(v, LEVEL_1G, CACHE_READ, false, 20, "5.1g", NULL) ||
                   tlb_shape(v, LEVEL_4K, CACHE_FETCH, false, 256, "6.4k", "6.4k.ways") ||
                   tlb_shape(v, LEVEL_2M, CACHE_FETCH, false, 64, "6.2m", NULL) ||
                   tlb_shape(v, LEVEL_4K, CACHE_READ, true, 4096, "7.4k", "7.4k.ways") ||
                   tlb_shape(v, LEVEL_1G, CACHE_READ, true, 63, "7.1g", "7.1g.ways")
               ? -1
               : 0;
}

int measure_tlb_latency(struct validate *v)
{
    struct probe *p = probe_one(v, 8 * MIB, 0, LEVEL_4K), *huge = probe_one(v, GIB, 0, LEVEL_1G);
    if (p && huge) {
        validate_put(v, "8.stlb",
                     chase_cycles(v, p, 512 * KIB, PAGE_BYTES) - chase_cycles(v, huge, 512 * KIB, PAGE_BYTES));
        validate_put(v, "9.walk", chase_cycles(v, p, 8 * MIB, PAGE_BYTES) - chase_cycles(v, p, 4 * MIB, PAGE_BYTES));
    }
    probe_free(p);
    probe_free(huge);
    return p && huge ? 0 : -1;
}

/* ---- walks ---- */

static const struct walk_row {
    const char *key;
    bool is_nested;
    uint32_t levels, ept_levels, page_level, ept_level;
} walk_rows[] = {
    {"22.4", false, 4, 4, LEVEL_4K, LEVEL_4K},   {"22.5", false, 5, 4, LEVEL_4K, LEVEL_4K},
    {"23.4x4", true, 4, 4, LEVEL_4K, LEVEL_4K},  {"23.5x5", true, 5, 5, LEVEL_4K, LEVEL_4K},
    {"23.4k2m", true, 4, 4, LEVEL_4K, LEVEL_2M}, {"23.2m2m", true, 4, 4, LEVEL_2M, LEVEL_2M},
    {"23.1g1g", true, 4, 4, LEVEL_1G, LEVEL_1G},
};

/* Table references of one access with nothing cached. */
int measure_walks(struct validate *v)
{
    for (size_t i = 0; i < N_ELEMS(walk_rows); i++) {
        const struct walk_row *w = &walk_rows[i];
        struct machine_conf conf = v->conf;
        struct probe_setup s = {.bytes = 1ull << LEVEL_SHIFT(w->page_level),
                                .page_level = w->page_level,
                                .is_nested = w->is_nested,
                                .ept_level = w->ept_level,
                                .levels = w->levels};
        conf.hv.ept_levels = w->ept_levels;
        struct probe *p = probe_new(&conf, &s, v->d);
        if (!p)
            return -1;
        const struct mmu_stats *m = &vcpu_cpu(&p->vm->vcpu[0])->mmu.stats;
        probe_run(p, step_chase_linear, 1, v->d); /* A and D bits are set from here on */
        probe_forget_translations(p);
        uint64_t before = m->walk_refs;
        p->thread[0].i = 0;
        probe_run(p, step_chase_linear, 1, v->d);
        validate_put(v, w->key, (double)(m->walk_refs - before));
        probe_free(p);
    }
    return 0;
}

/* ---- exits ---- */

/* Takes the frames of up to max guest pages that were never written (tables were) away again. */
static uint64_t unmap_untouched(struct probe *p, uint64_t max)
{
    struct mem *mem = p->m->mem;
    struct ept_leaf leaf;
    uint64_t n = 0;
    for (uint64_t gpa = 2 * MIB; n < max && ept_next(&p->vm->ept, gpa, p->vm->bytes, &leaf);
         gpa = leaf.gpa + PAGE_BYTES)
        if (frame_at(mem, ept_mfn(leaf.entry))->content == 0) {
            mem_release(mem, ept_unmap(&p->vm->ept, &leaf), leaf.level);
            n++;
        }
    return n;
}

/* A touch of a guest page without a frame: from the access to its completion. */
int measure_violation(struct validate *v)
{
    struct probe_setup s = {.bytes = MIB, .page_level = LEVEL_4K, .is_nested = true, .ept_level = LEVEL_4K};
    struct probe *p = probe_new(&v->conf, &s, v->d);
    if (!p)
        return -1;
    uint64_t pages = MIB / PAGE_BYTES;
    const uint64_t *violations = &p->m->hv.stats.ept_violations;
    p->thread[0].unit = PAGE_BYTES;
    probe_run(p, step_chase_linear, pages, v->d);
    unmap_untouched(p, pages);
    probe_forget_translations(p);
    uint64_t before = *violations;
    ps_t took = probe_run(p, step_chase_linear, pages, v->d);
    if (*violations > before)
        validate_put(v, "33.violation", cycles(p, took) / (double)(*violations - before));
    probe_free(p);
    return 0;
}

/* ---- flushes and fences ---- */

static int step_flush_line(struct probe_thread *t, struct vcpu *v)
{
    return hv_flush_line(v, PROBE_GVA, (enum flush_op)t->mode);
}

static int step_fence(struct probe_thread *t, struct vcpu *v)
{
    hv_fence(v, t->mode != 0);
    return 0;
}

/* Throughput of one instruction on a clean line, in ps. */
static double flush_ps(struct validate *v, struct probe *p, enum flush_op op)
{
    p->thread[0].mode = op;
    probe_run(p, step_chase_linear, 1, v->d);
    probe_run(p, step_flush_line, 1000, v->d);
    return (double)probe_run(p, step_flush_line, 1000, v->d) / 1000;
}

int measure_flush(struct validate *v)
{
    struct probe *p = probe_one(v, 2 * MIB, 0, LEVEL_2M);
    if (!p)
        return -1;
    validate_put(v, "37.clflush", flush_ps(v, p, FLUSH_CLFLUSH) / 1000);
    validate_put(v, "38.clflushopt", flush_ps(v, p, FLUSH_CLFLUSHOPT) / 1000);
    validate_put(v, "39.clwb", flush_ps(v, p, FLUSH_CLWB) / (double)probe_core(p, 0)->cycle_ps);
    probe_free(p);
    return 0;
}

int measure_fence(struct validate *v)
{
    struct probe *p = probe_one(v, 2 * MIB, 0, LEVEL_2M);
    if (!p)
        return -1;
    p->thread[0].mode = 0;
    validate_put(v, "40.sfence", cycles(p, probe_run(p, step_fence, 1000, v->d)) / 1000);
    p->thread[0].mode = 1;
    validate_put(v, "40.mfence", cycles(p, probe_run(p, step_fence, 1000, v->d)) / 1000);
    probe_free(p);
    return 0;
}

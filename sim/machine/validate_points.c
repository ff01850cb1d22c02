/* SPDX-License-Identifier: MIT */
/* Published points, simulated: each in a machine of its own, by the same steps as the rows. */
#include "sim/machine/points.h"
#include "sim/machine/validate_pmem.h"

#include <stdlib.h>

/* ---- bandwidth ---- */

static bool is_flushed(const struct published_point *t)
{
    return t->op >= POINT_CLWB;
}

static enum flush_op flush_of(const struct published_point *t)
{
    return t->op == POINT_CLFLUSH ? FLUSH_CLFLUSH : t->op == POINT_CLFLUSHOPT ? FLUSH_CLFLUSHOPT : FLUSH_CLWB;
}

static enum probe_mode mode_of(const struct published_point *t)
{
    return t->op == POINT_LOAD ? PROBE_LOAD : t->op == POINT_NTSTORE ? PROBE_NTSTORE : PROBE_STORE;
}

/* Where the next access goes: t->at. */
static void next_access(struct probe_thread *t, const struct published_point *pt)
{
    uint64_t stride = pt->stride_bytes ? pt->stride_bytes : pt->access_bytes;
    if (pt->pattern == POINT_RANDOM)
        t->at = t->base + rng_below(&t->rng, t->bytes / pt->access_bytes) * pt->access_bytes;
    else
        t->at = t->base + t->gap++ % ((t->bytes - pt->access_bytes) / stride + 1) * stride;
}

/* One line is stored or loaded; or flushed, when a window of stores has been made: windows take turns of both, line by
 * line, so that threads interleave. t->mode: how far the access is, in such steps. */
static int one_line(struct probe_thread *t, struct vcpu *v, const struct published_point *pt)
{
    uint64_t window = max_u64(pt->flush_bytes, LINE_BYTES) / LINE_BYTES, lines = pt->access_bytes / LINE_BYTES;
    uint64_t first = t->mode / (2 * window) * window, in = t->mode % (2 * window), n = min_u64(window, lines - first);
    if (!is_flushed(pt)) {
        first = t->mode;
        in = 0;
        n = 1;
    }
    uint64_t gva = PROBE_GVA + t->at + (first + in % n) * LINE_BYTES;
    t->mode = first + in % n + 1 == lines && (in >= n || !is_flushed(pt)) ? 0 : t->mode + 1;
    if (in >= n && hv_flush_line(v, gva, flush_of(pt)))
        return -1;
    if (in < n && probe_line(v, gva, mode_of(pt)))
        return -1;
    if (is_flushed(pt) && in < n)
        return window == 1 ? one_line(t, v, pt) : 0;
    t->done_bytes += LINE_BYTES;
    if (pt->fence_bytes && (t->unit += LINE_BYTES) >= pt->fence_bytes) {
        hv_fence(v, pt->op == POINT_LOAD);
        t->unit = 0;
    }
    return 0;
}

static int step_point(struct probe_thread *t, struct vcpu *v)
{
    if (t->mode == 0)
        next_access(t, t->p->ctx);
    return one_line(t, v, t->p->ctx);
}

static int step_point_in_turn(struct probe_thread *t, struct vcpu *v)
{
    return pmem_in_turn(t, v, step_point);
}

static bool is_pmem(const struct published_point *t)
{
    return t->medium == POINT_PMEM || t->medium == POINT_PMEM_ONE;
}

static uint32_t node_of(const struct published_point *t, const struct machine_conf *conf)
{
    return t->medium == POINT_CXL ? (uint32_t)conf->numa.n_nodes : t->place == POINT_REMOTE;
}

static void machine_of(const struct published_point *t, const struct validate *v, struct machine_conf *conf)
{
    *conf = v->conf;
    conf->cache.prefetch_next = conf->cache.prefetch_stride = conf->cache.prefetch_adjacent =
        conf->cache.prefetch_stream = t->prefetch;
    if (t->medium == POINT_PMEM_ONE)
        conf->imc.n_imcs = conf->imc.n_channels = 1;
}

static struct probe *probe_of(struct published_point *t, struct validate *v)
{
    struct machine_conf conf;
    machine_of(t, v, &conf);
    struct probe_setup s = {
        .n_threads = (uint32_t)t->threads, .mem_node = node_of(t, &conf), .kind = is_pmem(t) ? MEM_PMEM : MEM_DRAM};
    ps_t quantum = is_pmem(t) ? 5 * PS_PER_NS : PS_PER_NS;
    struct probe *p = probe_streams(&conf, s, t->region_bytes, t->threads > 1 ? quantum : conf.hv.quantum_ps, v->d);
    if (!p)
        return NULL;
    p->ctx = t;
    /* t->gap: number of the next access, t->mode: how far it is, t->unit: bytes since the last fence. */
    for (uint32_t i = 0; i < t->threads; i++) {
        struct probe_thread *th = &p->thread[i];
        th->unit = 0;
        th->gap = t->threads > 1 ? th->i : 0;
    }
    if (t->place == POINT_REMOTE)
        probe_read_before(p, 0, t->threads * t->region_bytes);
    return p;
}

/* Lines of each thread that fill the caches, so that every line that comes evicts one that was stored. Twice and a half
 * their number: of random lines some sets get few. */
static uint64_t warm_lines(const struct published_point *t, const struct cache_conf *c)
{
    return (c->llc_slices * c->llc_slice_bytes + t->threads * c->l2_bytes) / LINE_BYTES * 5 / 2 / t->threads;
}

static int measure_flow(struct published_point *t, struct validate *v)
{
    struct probe *p = probe_of(t, v);
    if (!p)
        return -1;
    if (t->op == POINT_STORE)
        probe_run(p, step_point, warm_lines(t, &v->conf.cache), v->d);
    if (is_pmem(t)) {
        struct flow f = pmem_flow(v, p, step_point_in_turn);
        t->simulated = t->quantity == POINT_EWR ? f.ewr : f.rate;
    } else {
        t->simulated = probe_bandwidth(p, step_point, 10 * PS_PER_US, 30 * PS_PER_US, v->d);
    }
    probe_free(p);
    return v->d->n_errors ? -1 : 0;
}

/* ---- latency ---- */

/* A whole access and its fence, timed, with its lines in the cache before and nothing left of the last one. */
static int step_persist_point(struct probe_thread *t, struct vcpu *v)
{
    const struct published_point *pt = t->p->ctx;
    struct core *core = &vcpu_cpu(v)->core;
    int bad = 0;
    next_access(t, pt);
    for (uint64_t at = 0; at < pt->access_bytes && !bad; at += LINE_BYTES)
        bad = hv_access(v, PROBE_GVA + t->at + at, CACHE_READ, true);
    hv_fence(v, true);
    core->now_ps += PS_PER_US;
    ps_t start = core->now_ps;
    do
        bad = one_line(t, v, pt);
    while (t->mode && !bad);
    hv_fence(v, false);
    t->took_ps += core->now_ps - start;
    return bad;
}

static int step_chase(struct probe_thread *t, struct vcpu *v)
{
    const struct published_point *pt = t->p->ctx;
    return pt->pattern == POINT_RANDOM ? step_chase_shuffled(t, v) : step_chase_linear(t, v);
}

static int measure_latency(struct published_point *t, struct validate *v)
{
    const uint64_t n = t->op == POINT_LOAD ? 20000 : 2000;
    probe_step *step = t->op == POINT_LOAD ? step_chase : step_persist_point;
    struct probe *p = probe_of(t, v);
    if (!p)
        return -1;
    if (t->op == POINT_LOAD)
        p->thread[0].unit = t->stride_bytes ? t->stride_bytes : t->access_bytes;
    probe_run(p, step, n, v->d);
    p->thread[0].took_ps = 0;
    ps_t took = probe_run(p, step, n, v->d);
    t->simulated =
        (double)(t->op == POINT_LOAD ? took : p->thread[0].took_ps) / 1000 / (double)n - (double)t->less_ps / 1000;
    probe_free(p);
    return v->d->n_errors ? -1 : 0;
}

/* The curve that a point of loaded latency lies on; measured once for all points on it. */
static int measure_loaded(struct points *p, uint32_t first, struct validate *v)
{
    const struct published_point *of = &p->point[first];
    struct machine_conf before = v->conf;
    struct loaded_curve c;
    machine_of(of, v, &v->conf);
    int bad = validate_loaded_curve(v, node_of(of, &v->conf), (uint32_t)(of->reads_ppm / 1000), &c);
    v->conf = before;
    for (uint32_t i = first; i < p->n && !bad; i++) {
        struct published_point *t = &p->point[i];
        if (t->at_rate && t->medium == of->medium && t->place == of->place && t->reads_ppm == of->reads_ppm &&
            t->prefetch == of->prefetch) {
            double ns = validate_at_rate(&c, (double)t->at_rate / 1e9);
            t->is_measured = ns > 0;
            t->simulated = ns > 0 ? ns - (double)t->less_ps / 1000 : 0;
            t->is_done = true;
        }
    }
    return bad;
}

int points_run(struct points *p, struct validate *v)
{
    for (uint32_t i = 0; i < p->n; i++) {
        struct published_point *t = &p->point[i];
        if (v->progress)
            v->progress(v->ctx, i, p->n);
        if (t->is_done)
            continue;
        if (t->at_rate) {
            if (measure_loaded(p, i, v))
                return -1;
            continue;
        }
        if (t->quantity == POINT_NS ? measure_latency(t, v) : measure_flow(t, v))
            return -1;
        t->is_measured = t->is_done = true;
    }
    return 0;
}

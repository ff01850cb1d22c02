/* SPDX-License-Identifier: MIT */
/* DRAM, links and CXL: idle latencies, peaks over threads, the loaded-latency curve. Threads are cores of one socket;
 * prefetchers are off, as in the measurements. */
#include "sim/machine/validate.h"

#define THREAD_BYTES (64 * MIB) /* of its own for each thread: more than its share of the LLC */

/* A probe over DRAM of mem_node by n threads of node 0, each with a part of its own. */
static struct probe *probe_threads(struct validate *v, uint32_t n, uint32_t mem_node)
{
    struct probe_setup s = {.n_threads = n, .mem_node = mem_node};
    /* Queues see the threads interleaved. */
    struct probe *p = probe_streams(&v->conf, s, THREAD_BYTES, PS_PER_NS, v->d);
    if (p && mem_node)
        probe_read_before(p, 0, n * THREAD_BYTES);
    return p;
}

/* Mean time of a dependent load over the whole region of mem_node, in ns. */
static double chase_ns(struct validate *v, uint32_t mem_node, uint64_t bytes, uint32_t level, probe_step *step)
{
    struct probe_setup s = {.mem_node = mem_node, .bytes = bytes, .page_level = level};
    struct probe *p = probe_new(&v->conf, &s, v->d);
    uint64_t n = 20000;
    if (!p)
        return 0;
    probe_run(p, step, n, v->d);
    double ns = (double)probe_run(p, step, n, v->d) / 1000 / (double)n;
    probe_free(p);
    return ns;
}

int measure_dram_idle(struct validate *v)
{
    /* Random: the pages (2 MiB, as a kernel maps a device or a heap) are four times what the TLB reaches. */
    double sequential = chase_ns(v, 0, GIB, LEVEL_2M, step_chase_linear);
    double random = chase_ns(v, 0, 8 * GIB, LEVEL_2M, step_chase_shuffled);
    double huge = chase_ns(v, 0, GIB, LEVEL_1G, step_chase_shuffled);
    validate_put(v, "11.seq", sequential);
    validate_put(v, "11.random", random);
    validate_put(v, "12.idle", huge);
    validate_put(v, "13.idle", huge);
    return v->d->n_errors ? -1 : 0;
}

static double bandwidth(struct validate *v, uint32_t threads, uint32_t mem_node, enum probe_mode mode)
{
    struct probe *p = probe_threads(v, threads, mem_node);
    if (!p)
        return 0;
    for (uint32_t i = 0; i < threads; i++) {
        p->thread[i].unit = 256;
        p->thread[i].mode = mode;
    }
    double rate = probe_bandwidth(p, step_stream, 10 * PS_PER_US, 30 * PS_PER_US, v->d);
    probe_free(p);
    return rate;
}

int measure_dram_threads(struct validate *v)
{
    static const struct {
        enum probe_mode mode;
        const char *line;
    } curves[] = {{PROBE_LOAD, "Read"}, {PROBE_NTSTORE, "Write(ntstore)"}, {PROBE_CLWB, "Write(clwb)"}};
    static const uint32_t threads[] = {1, 4, 8, 12, 16, 20, 24};
    for (size_t c = 0; c < N_ELEMS(curves); c++)
        for (size_t i = 0; i < N_ELEMS(threads) && threads[i] <= v->conf.hv.cores; i++) {
            char key[40];
            double rate = bandwidth(v, threads[i], 0, curves[c].mode);
            validate_point(v, "dram-threads", curves[c].line, threads[i], rate);
            snprintf(key, sizeof key, "17.%u.%u", (uint32_t)curves[c].mode, threads[i]);
            validate_put(v, key, rate);
            snprintf(key, sizeof key, "15.%u.%u", (uint32_t)curves[c].mode, threads[i]);
            validate_put(v, key, rate);
        }
    return v->d->n_errors ? -1 : 0;
}

/* Channels times the rate of a data bus. */
int measure_dram_peak(struct validate *v)
{
    double channel = (double)LINE_BYTES / (4.0 * (double)v->conf.imc.dram.t_ck_ps) * 1000; /* burst of 8, two a clock */
    validate_put(v, "16.channel", channel);
    validate_put(v, "16.node", channel * (double)(v->conf.imc.n_imcs * v->conf.imc.n_channels));
    return 0;
}

/* ---- loaded latency ---- */

/* Traffic: `unit` of 1000 accesses are stores, which read their line and later write it back; gap instructions between
 * two accesses set the load. What the next access would wait for is waited for now, so that it leaves when its turn
 * comes: one that is asked for ahead of the other cores' clocks would hold up theirs. */
static int step_traffic(struct probe_thread *t, struct vcpu *v)
{
    bool is_store = t->i * t->unit % 1000 < t->unit;
    uint64_t offset = t->base + t->i * LINE_BYTES % t->bytes;
    struct core *core = &vcpu_cpu(v)->core;
    if (hv_access(v, PROBE_GVA + offset, is_store ? CACHE_WRITE : CACHE_READ, false))
        return -1;
    core_issue(core, 1 + t->gap);
    core_retire(core);
    core_need_buffer(core);
    return 0;
}

static int step_loaded(struct probe_thread *t, struct vcpu *v)
{
    if (t->index)
        return step_traffic(t, v);
    ps_t before = vcpu_cpu(v)->core.now_ps;
    if (step_chase_shuffled(t, v))
        return -1;
    core_wait(&vcpu_cpu(v)->core, vcpu_cpu(v)->core.last_load_ps);
    t->took_ps += vcpu_cpu(v)->core.now_ps - before;
    t->mode++;
    return 0;
}

static const uint64_t gaps[] = {0, 10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 150, 200, 250, 350, 500, 900, 2000, 8000};
#define N_GAPS (sizeof gaps / sizeof gaps[0])

struct loaded {
    double rate, ns;
};

/* Lines that the controllers of the region's node have moved: what a bandwidth counter sees. */
static uint64_t lines_moved(const struct probe *p)
{
    const struct node_imc *n = &p->m->numa.node[p->setup.mem_node];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n->n_chans; i++)
        sum += n->chan[i].stats.reads + n->chan[i].stats.writes;
    return sum;
}

#define LOADED_WINDOW_PS (300 * PS_PER_US)

static struct loaded loaded_point(struct validate *v, struct probe *p, uint64_t gap, ps_t warm_ps)
{
    struct probe_thread *chase = &p->thread[0];
    for (uint32_t i = 1; i < p->setup.n_threads; i++)
        p->thread[i].gap = gap;
    probe_bandwidth(p, step_loaded, warm_ps, PS_PER_US, v->d);
    chase->took_ps = chase->mode = 0;
    uint64_t before = lines_moved(p);
    probe_bandwidth(p, step_loaded, 0, LOADED_WINDOW_PS, v->d);
    struct loaded l = {.rate = (double)((lines_moved(p) - before) * LINE_BYTES) * 1000 / (double)LOADED_WINDOW_PS};
    l.ns = chase->mode ? (double)chase->took_ps / 1000 / (double)chase->mode : 0;
    return l;
}

/* Latency where the curve crosses a bandwidth, by interpolation between the points around it. */
static double at_rate(const struct loaded *l, uint32_t n, double rate)
{
    for (uint32_t i = 1; i < n; i++)
        if (l[i - 1].rate <= rate && l[i].rate >= rate)
            return l[i - 1].ns + (l[i].ns - l[i - 1].ns) * (rate - l[i - 1].rate) / (l[i].rate - l[i - 1].rate);
    return 0;
}

/* Not measured if the curve does not get that far. */
static void put_at_rate(struct validate *v, const char *key, const struct loaded *l, double rate, double minus_ns)
{
    double ns = at_rate(l, N_GAPS, rate);
    if (ns > 0)
        validate_put(v, key, ns - minus_ns);
}

struct curve_kind {
    const char *plot, *line; /* NULL: not drawn */
    uint32_t reads;          /* of a thousand lines */
    double minus_ns;         /* drawn without so much */
    bool is_alone;           /* no published line of that name */
};

/* n points of the curve of a node, by falling gaps. */
static int loaded_curve(struct validate *v, uint32_t mem_node, const struct curve_kind *k, struct loaded *l,
                        const uint64_t *gap, uint32_t n)
{
    struct probe *p = probe_threads(v, (uint32_t)v->conf.hv.cores, mem_node);
    if (!p)
        return -1;
    p->thread[0].unit = LINE_BYTES;
    for (uint32_t i = 1; i < p->setup.n_threads; i++)
        p->thread[i].unit = 1000 * (1000 - k->reads) / k->reads; /* s stores of an access make s/(1+s) writes */
    /* Until the caches are full of lines, and dirty ones leave them, there are no writes. */
    loaded_point(v, p, 0, PS_PER_MS);
    for (uint32_t i = 0; i < n; i++) {
        l[i] = loaded_point(v, p, gap[n - 1 - i], 5 * PS_PER_US);
        if (!k->plot)
            continue;
        if (k->is_alone)
            validate_point_alone(v, k->plot, k->line, l[i].rate, l[i].ns - k->minus_ns);
        else
            validate_point(v, k->plot, k->line, l[i].rate, l[i].ns - k->minus_ns);
    }
    probe_free(p);
    return v->d->n_errors ? -1 : 0;
}

int validate_loaded_curve(struct validate *v, uint32_t mem_node, uint32_t reads, struct loaded_curve *c)
{
    struct loaded l[N_GAPS];
    _Static_assert(N_GAPS == LOADED_POINTS, "a point a gap");
    if (loaded_curve(v, mem_node, &(struct curve_kind){.reads = reads}, l, gaps, N_GAPS))
        return -1;
    for (uint32_t i = 0; i < N_GAPS; i++) {
        c->rate[i] = l[i].rate;
        c->ns[i] = l[i].ns;
    }
    return 0;
}

double validate_at_rate(const struct loaded_curve *c, double rate)
{
    struct loaded l[LOADED_POINTS];
    for (uint32_t i = 0; i < LOADED_POINTS; i++)
        l[i] = (struct loaded){c->rate[i], c->ns[i]};
    return rate < l[0].rate ? l[0].ns : at_rate(l, LOADED_POINTS, rate);
}

static double largest(const struct loaded *l, uint32_t n)
{
    double peak = 0;
    for (uint32_t i = 0; i < n; i++)
        peak = l[i].rate > peak ? l[i].rate : peak;
    return peak;
}

static int dram_loaded(struct validate *v, bool is_curve)
{
    /* Keys of the simulated channels, and of curve mode. */
    static const struct {
        const char *key[2];
        double rate;
    } at[] = {{{"14.16", "14.curve.16"}, 16.0},
              {{"14.34", "14.curve.34"}, 34.5},
              {{"14.51", "14.curve.51"}, 51.6},
              {{"14.69", "14.curve.69"}, 69.9},
              {{"14.79", "14.curve.79"}, 79.6}};
    const struct curve_kind kind = {"dram-loaded", is_curve ? "curve mode" : "78% reads", 780, 0, is_curve};
    struct loaded l[N_ELEMS(gaps)];
    if (loaded_curve(v, 0, &kind, l, gaps, N_ELEMS(gaps)))
        return -1;
    for (size_t i = 0; i < N_ELEMS(at); i++)
        put_at_rate(v, at[i].key[is_curve], l, at[i].rate, 0);
    validate_put(v, is_curve ? "14.curve.peak" : "14.peak", largest(l, N_ELEMS(l)));
    if (!is_curve) {
        validate_put(v, "14.saturated", l[N_ELEMS(l) - 1].ns);
        validate_put(v, "15.mess", largest(l, N_ELEMS(l)));
    }
    return 0;
}

int measure_dram_loaded(struct validate *v)
{
    return dram_loaded(v, false);
}

/* The same with the node's DRAM in curve mode. */
int measure_dram_curve(struct validate *v)
{
    uint64_t before = v->conf.imc.curve;
    v->conf.imc.curve = MEM_CURVE_SKYLAKE_DDR4;
    int bad = dram_loaded(v, true);
    v->conf.imc.curve = before;
    return bad;
}

int measure_dram_remote(struct validate *v)
{
    struct loaded l[3];
    static const uint64_t some[] = {0, 200, 8000};
    if (v->conf.numa.n_nodes < 2)
        return 0;
    validate_put(v, "18.remote", chase_ns(v, 1, GIB, LEVEL_1G, step_chase_shuffled));
    if (loaded_curve(v, 1, &(struct curve_kind){"dram-remote", "78% reads", 780, 0, false}, l, some, N_ELEMS(some)))
        return -1;
    validate_put(v, "20.mess", largest(l, N_ELEMS(l)));
    validate_put(v, "20.read", bandwidth(v, 16, 1, PROBE_LOAD));
    validate_put(v, "20.nt", bandwidth(v, 16, 1, PROBE_NTSTORE));
    return 0;
}

/* ---- CXL ---- */

/* The curve is given at the host's interface: without the way through the caches. */
static int cxl_curve(struct validate *v, bool is_curve)
{
    static const struct {
        const char *key[2];
        double rate;
    } at[] = {{{"73.18", "73.curve.18"}, 18.28}, {{"73.30", "73.curve.30"}, 30.46}, {{"73.40", "73.curve.40"}, 39.97}};
    double on_die = (double)v->conf.cache.llc_cycles * 1e9 / (double)v->conf.core.hz;
    const struct curve_kind kind = {"cxl-loaded", is_curve ? "curve mode" : "60% reads", 600, on_die, is_curve};
    struct loaded l[N_ELEMS(gaps)];
    if (loaded_curve(v, (uint32_t)v->conf.numa.n_nodes, &kind, l, gaps, N_ELEMS(gaps)))
        return -1;
    for (size_t i = 0; i < N_ELEMS(at); i++)
        put_at_rate(v, at[i].key[is_curve], l, at[i].rate, on_die);
    validate_put(v, is_curve ? "73.curve.peak" : "73.peak", largest(l, N_ELEMS(l)));
    return 0;
}

int measure_cxl_curve(struct validate *v)
{
    uint64_t before = v->conf.cxl_imc.curve;
    if (!v->conf.cxl.devices)
        return fail(v->d, "validate: the machine claims rows of CXL and has no expander");
    v->conf.cxl_imc.curve = MEM_CURVE_CXL_EXPANDER;
    int bad = cxl_curve(v, true);
    v->conf.cxl_imc.curve = before;
    return bad;
}

int measure_cxl(struct validate *v)
{
    /* Distances of four devices' ports, one way: experiments/machines/cxl-host.conf. */
    static const struct {
        const char *key;
        ps_t port_ps;
    } devices[] = {
        {"72.a", 46 * PS_PER_NS}, {"72.b", 58 * PS_PER_NS}, {"72.c", 74 * PS_PER_NS}, {"72.d", 136 * PS_PER_NS}};
    uint32_t node = (uint32_t)v->conf.numa.n_nodes;
    struct machine_conf conf = v->conf;
    if (!conf.cxl.devices)
        return fail(v->d, "validate: the machine claims rows of CXL and has no expander");
    double on_die = (double)conf.cache.llc_cycles * 1e9 / (double)conf.core.hz;
    double local = chase_ns(v, 0, GIB, LEVEL_1G, step_chase_shuffled);
    validate_put(v, "73.idle", chase_ns(v, node, GIB, LEVEL_1G, step_chase_shuffled) - on_die);
    int bad = cxl_curve(v, false);
    for (size_t i = 0; i < N_ELEMS(devices) && !bad; i++) {
        v->conf.cxl.port_ps = devices[i].port_ps;
        validate_put(v, devices[i].key, chase_ns(v, node, GIB, LEVEL_1G, step_chase_shuffled) - local);
    }
    v->conf = conf;
    return bad;
}

/* An NVDIMM-N in the DRAM's place: the same chase. */
int measure_nvdimm_n(struct validate *v)
{
    struct machine_conf conf = v->conf;
    double ns[2];
    conf.pmem.kind = NVDIMM_N;
    for (uint32_t i = 0; i < 2; i++) {
        struct probe_setup s = {.kind = i ? MEM_PMEM : MEM_DRAM, .bytes = GIB, .page_level = LEVEL_1G};
        conf.imc.pmem_interleave_bytes = conf.imc.interleave_bytes;
        struct probe *p = probe_new(&conf, &s, v->d);
        if (!p)
            return -1;
        probe_run(p, step_chase_shuffled, 20000, v->d);
        ns[i] = (double)probe_run(p, step_chase_shuffled, 20000, v->d);
        probe_free(p);
    }
    validate_put(v, "67.ratio", ns[1] / ns[0]);
    return 0;
}

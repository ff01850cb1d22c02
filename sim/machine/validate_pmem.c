/* SPDX-License-Identifier: MIT */
/* Optane-class modules: latencies, buffers seen from outside, the overwrite tail. */
#include "sim/machine/validate_pmem.h"

#include <stdlib.h>
#include <string.h>

struct probe *pmem_probe(struct validate *v, uint32_t n, enum place place, uint64_t thread_bytes)
{
    struct machine_conf conf = v->conf;
    conf.hv.quantum_ps = n > 1 ? 5 * PS_PER_NS : conf.hv.quantum_ps;
    if (place == ONE_DIMM)
        conf.imc.n_imcs = conf.imc.n_channels = 1;
    struct probe_setup s = {.n_threads = n, .mem_node = place == REMOTE, .kind = MEM_PMEM};
    return probe_streams(&conf, s, thread_bytes, conf.hv.quantum_ps, v->d);
}

void pmem_threads(struct probe *p, uint64_t unit, enum probe_mode mode)
{
    for (uint32_t i = 0; i < p->setup.n_threads; i++) {
        p->thread[i].unit = unit;
        p->thread[i].mode = mode;
    }
}

struct nvdimm_stats pmem_modules(const struct probe *p)
{
    struct nvdimm_stats sum = {0};
    const struct node_imc *n = &p->m->numa.node[p->setup.mem_node];
    for (uint32_t c = 0; c < n->n_chans; c++)
        stats_add(nvdimm_stat_desc, NVDIMM_N_STATS, &sum, &n->chan[c].module.stats);
    return sum;
}

/* ---- latency ---- */

int measure_pmem_idle(struct validate *v)
{
    static const char *const key[] = {"41.seq", "41.random"};
    static probe_step *const step[] = {step_chase_linear, step_chase_shuffled};
    for (int i = 0; i < 2; i++) {
        /* Larger than the caches, and within reach of the modules' address translation. */
        struct probe *p = pmem_probe(v, 1, INTERLEAVED, 64 * MIB);
        if (!p)
            return -1;
        probe_run(p, step[i], 20000, v->d);
        validate_put(v, key[i], (double)probe_run(p, step[i], 20000, v->d) / 1000 / 20000);
        probe_free(p);
    }
    return 0;
}

/* Lines in the cache first, as the measurement's loop leaves them; then write, flush, fence: timed. */
static int step_cached_persist(struct probe_thread *t, struct vcpu *v)
{
    uint64_t offset = t->base + t->i % (t->bytes / t->unit) * t->unit;
    for (uint64_t at = 0; at < t->unit; at += LINE_BYTES)
        if (hv_access(v, PROBE_GVA + offset + at, CACHE_READ, true))
            return -1;
    hv_fence(v, true);
    vcpu_cpu(v)->core.now_ps += PS_PER_US; /* nothing of the last one is left */
    return step_persist(t, v);
}

static double persist_ns(struct validate *v, uint32_t kind, uint64_t unit, enum probe_mode mode)
{
    struct probe_setup s = {.kind = kind, .bytes = GIB, .page_level = LEVEL_1G};
    struct probe *p = probe_new(&v->conf, &s, v->d);
    uint64_t n = 2000;
    if (!p)
        return 0;
    pmem_threads(p, unit, mode);
    p->thread[0].bytes = 64 * MIB;
    probe_run(p, step_cached_persist, n, v->d);
    p->thread[0].took_ps = 0;
    probe_run(p, step_cached_persist, n, v->d);
    double ns = (double)p->thread[0].took_ps / 1000 / (double)n;
    probe_free(p);
    return ns;
}

/* What the loop around a timed write costs: two RDTSC, each behind an LFENCE, and an MFENCE (InstLatx64: 25, 4.25 and
 * 33.25 cycles). The best case of row 42 is without it. */
static double timer_ns(const struct validate *v)
{
    return (2 * (25 + 4.25) + 33.25) * 1e9 / (double)v->conf.core.hz;
}

int measure_pmem_persist(struct validate *v)
{
    static const uint32_t sizes[] = {64, 128, 256, 512, 1024, 2048, 4096};
    double nt[N_ELEMS(sizes)], clwb[N_ELEMS(sizes)];
    uint64_t crossover = 0;
    for (size_t i = 0; i < N_ELEMS(sizes); i++) {
        char key[32];
        nt[i] = persist_ns(v, MEM_PMEM, sizes[i], PROBE_NTSTORE) + timer_ns(v);
        clwb[i] = persist_ns(v, MEM_PMEM, sizes[i], PROBE_CLWB) + timer_ns(v);
        snprintf(key, sizeof key, "43.nt.%u", sizes[i]);
        validate_put(v, key, nt[i]);
        snprintf(key, sizeof key, "43.clwb.%u", sizes[i]);
        validate_put(v, key, clwb[i]);
        validate_point(v, "persist-size", "ntstore", sizes[i], nt[i]);
        validate_point(v, "persist-size", "store+clwb", sizes[i], clwb[i]);
        if (!crossover && nt[i] < clwb[i])
            crossover = sizes[i];
    }
    validate_put(v, "43.cross", (double)crossover);
    nt[0] -= timer_ns(v);
    clwb[0] -= timer_ns(v);
    double dram_nt = persist_ns(v, MEM_DRAM, 64, PROBE_NTSTORE), dram_clwb = persist_ns(v, MEM_DRAM, 64, PROBE_CLWB);
    validate_put(v, "42.nt", nt[0]);
    validate_put(v, "42.clwb", clwb[0]);
    validate_put(v, "42.dram.nt", dram_nt);
    validate_put(v, "42.dram.clwb", dram_clwb);
    validate_put(v, "42.gap", nt[0] - dram_nt > clwb[0] - dram_clwb ? nt[0] - dram_nt : clwb[0] - dram_clwb);
    return v->d->n_errors ? -1 : 0;
}

/* ---- buffers by region ---- */

/* A pass: every line of the region by a non-temporal store in shuffled order, MFENCE. */
static int step_write_pass(struct probe_thread *t, struct vcpu *v)
{
    for (uint64_t i = 0; i < t->bytes / t->unit; i++) {
        core_issue(&vcpu_cpu(v)->core, 1);
        if (hv_ntstore(v, PROBE_GVA + probe_shuffled(t, i), NULL))
            return -1;
    }
    hv_fence(v, true);
    return 0;
}

/* The same, then every line read by a chase; took_ps sums the reading. */
static int step_read_after_write(struct probe_thread *t, struct vcpu *v)
{
    struct core *core = &vcpu_cpu(v)->core;
    if (step_write_pass(t, v))
        return -1;
    ps_t start = core->now_ps;
    for (uint64_t i = 0; i < t->bytes / t->unit; i++)
        if (hv_access(v, PROBE_GVA + probe_shuffled(t, i), CACHE_READ, true))
            return -1;
    core_drain(core);
    t->took_ps += core->now_ps - start;
    return 0;
}

#define REGIONS 21u /* 64 B to 64 MiB */

/* Largest region up to which ns stays within a factor of what it is at `from`; from 0: of the smallest of all. */
static double knee(const double *ns, uint64_t from, double factor)
{
    double level = ns[0];
    uint32_t last = 0;
    for (uint32_t i = 1; i < REGIONS; i++)
        level = from ? ((64ull << i) == from ? ns[i] : level) : (ns[i] < level ? ns[i] : level);
    for (uint32_t i = 0; i < REGIONS; i++)
        if (ns[i] <= level * factor)
            last = i;
    return (double)(64ull << last);
}

/* Smallest region that is within a factor of the fastest. */
static double plateau(const double *ns, double factor)
{
    double level = ns[0];
    uint32_t i = 0;
    for (uint32_t k = 1; k < REGIONS; k++)
        level = ns[k] < level ? ns[k] : level;
    while (ns[i] > level * factor)
        i++;
    return (double)(64ull << i);
}

static void measure_region(struct validate *v, struct probe *p, uint64_t bytes, double *write_ns, double *read_ns)
{
    struct probe_thread *t = &p->thread[0];
    uint64_t lines = bytes / LINE_BYTES, passes = lines < 16384 ? 16384 / lines : 1;
    double per = 1000.0 * (double)lines * (double)passes;
    char key[32];
    t->bytes = bytes;
    if (passes > 1)
        probe_run(p, step_write_pass, passes / 2, v->d);
    double write = (double)probe_run(p, step_write_pass, passes, v->d) / per;
    t->took_ps = 0;
    probe_run(p, step_read_after_write, passes, v->d);
    double read = (double)t->took_ps / per;
    *write_ns = write;
    *read_ns = read;
    validate_point(v, "pmem-region-read", "read", (double)bytes, read);
    validate_point(v, "pmem-region-write", "write", (double)bytes, write);
    snprintf(key, sizeof key, "44.%llu", (unsigned long long)bytes);
    validate_put(v, key, read);
    snprintf(key, sizeof key, "46.%llu", (unsigned long long)bytes);
    validate_put(v, key, write);
}

int measure_pmem_regions(struct validate *v)
{
    struct probe *p = pmem_probe(v, 1, ONE_DIMM, GIB);
    if (!p)
        return -1;
    double write_ns[REGIONS], read_ns[REGIONS];
    for (uint32_t i = 0; i < REGIONS; i++)
        measure_region(v, p, 64ull << i, &write_ns[i], &read_ns[i]);
    validate_put(v, "47.wpq", plateau(write_ns, 1.25));
    validate_put(v, "47.lsq", knee(write_ns, 0, 1.25));
    validate_put(v, "47.xpbuffer", knee(read_ns, 4 * KIB, 1.1));
    validate_put(v, "47.ait", knee(read_ns, MIB, 1.05));
    probe_free(p);
    return v->d->n_errors ? -1 : 0;
}

/* Writes the first half of every XPLine of the region, then the second halves; write amplification is media bytes over
 * bytes written. */
static int step_halves(struct probe_thread *t, struct vcpu *v)
{
    uint64_t n = t->bytes / 256, at = t->i % n * 256 + (t->i / n % 2) * 128;
    if (hv_ntstore(v, PROBE_GVA + at, NULL) || hv_ntstore(v, PROBE_GVA + at + 64, NULL))
        return -1;
    hv_fence(v, false);
    return 0;
}

int measure_pmem_amplification(struct validate *v)
{
    static const uint32_t kib[] = {4, 8, 16, 18, 20, 24, 32, 64, 128, 256, 1024};
    for (size_t i = 0; i < N_ELEMS(kib); i++) {
        struct probe *p = pmem_probe(v, 1, ONE_DIMM, GIB);
        if (!p)
            return -1;
        char key[32];
        uint64_t n = kib[i] * KIB / 128, rounds = n < 8192 ? 8192 / n : 1;
        p->thread[0].bytes = kib[i] * KIB;
        probe_run(p, step_halves, 2 * n, v->d);
        struct nvdimm_stats before = pmem_modules(p);
        probe_run(p, step_halves, rounds * n, v->d);
        struct nvdimm_stats after = pmem_modules(p);
        double wa = (double)(after.media_writes - before.media_writes) * 256 / (double)(rounds * n * 128);
        validate_point(v, "pmem-amplification", "WriteAmp", kib[i] * 1024.0, wa);
        snprintf(key, sizeof key, "48.%u", kib[i]);
        validate_put(v, key, wa);
        probe_free(p);
    }
    return 0;
}

/* ---- tail ---- */

#define TAIL_WRITES 300000u

static int by_time(const void *a, const void *b)
{
    ps_t x = *(const ps_t *)a, y = *(const ps_t *)b;
    return (x > y) - (x < y);
}

/* Mean distance in writes between stalls: operations that take more than 20 times the median. */
static double stall_period(const ps_t *log, uint64_t n, ps_t median)
{
    uint64_t first = 0, last = 0, stalls = 0;
    for (uint64_t i = 0; i < n; i++)
        if (log[i] > 20 * median) {
            first = stalls++ ? first : i;
            last = i;
        }
    return stalls > 1 ? (double)(last - first) / (double)(stalls - 1) : 0;
}

/* Writes of 256 bytes with a fence each, over and over a hot region; their times, the shortest first. */
static int tail_at(struct validate *v, uint64_t base, uint64_t region, ps_t *log)
{
    struct probe *p = pmem_probe(v, 1, ONE_DIMM, GIB);
    if (!p)
        return -1;
    struct probe_thread *t = &p->thread[0];
    pmem_threads(p, 256, PROBE_NTSTORE);
    t->base = base;
    t->bytes = region;
    t->log = log;
    probe_run(p, step_persist, TAIL_WRITES, v->d);
    if (region == 256 && base == 0) {
        ps_t *sorted = xcalloc(TAIL_WRITES, sizeof *sorted);
        memcpy(sorted, log, TAIL_WRITES * sizeof *sorted);
        qsort(sorted, TAIL_WRITES, sizeof *sorted, by_time);
        validate_put(v, "61.median", (double)sorted[TAIL_WRITES / 2] / 1000 + timer_ns(v));
        validate_put(v, "61.stall", (double)sorted[TAIL_WRITES - 4] / 1e6);
        validate_put(v, "61.period", stall_period(log, TAIL_WRITES, sorted[TAIL_WRITES / 2]));
        free(sorted);
    }
    qsort(log, TAIL_WRITES, sizeof *log, by_time);
    probe_free(p);
    return 0;
}

/* Where the measured regions began is not known: the mean of one that begins with a block that wear levelling moves and
 * one that begins in the middle. */
static int tail_of(struct validate *v, uint64_t region, ps_t *log)
{
    double tail = 0;
    char key[32];
    for (uint64_t base = 0; base <= 32 * KIB; base += 32 * KIB) {
        if (tail_at(v, base, region, log))
            return -1;
        tail += ((double)log[TAIL_WRITES - 1 - TAIL_WRITES / 100000] / 1000 + timer_ns(v)) / 1000 / 2;
    }
    snprintf(key, sizeof key, "60.%llu", (unsigned long long)region);
    validate_put(v, key, tail);
    validate_point(v, "pmem-tail", "99.999%", (double)region, tail);
    return 0;
}

int measure_pmem_tail(struct validate *v)
{
    static const uint32_t regions[] = {256, 4 * KIB, 16 * KIB, 64 * KIB, 128 * KIB, MIB};
    ps_t *log = xcalloc(TAIL_WRITES, sizeof *log);
    int bad = 0;
    for (size_t i = 0; i < N_ELEMS(regions) && !bad; i++)
        bad = tail_of(v, regions[i], log);
    if (!bad)
        validate_put(v, "60.max", (double)log[TAIL_WRITES - 1] / 1e6);
    free(log);
    return bad;
}

/* SPDX-License-Identifier: MIT */
/* Reads and writes of persistent memory together, on the own socket and from the other one (row 62).
 *
 * The figures are by all signs those of a load generator of the processor's maker (docs/validate.md): its mixes are of
 * lines that memory reads and writes, so that a store counts twice, once for the line that it asks for and once for its
 * eviction; only its all-write traffic stores around the caches. It leaves the prefetchers on while it measures
 * bandwidth; the host's other rows are measured with prefetchers off.
 *
 * Threads begin together, at the beginnings of buffers that begin on huge pages and on the same module: streams that
 * meet at a module that holds them up stay together, streams that begin apart meet late or never. How well they stay
 * together hangs on how their lines leave the LLC, so on the distance of the buffers: the mean of a few. */
#include "sim/machine/validate_pmem.h"

#define BUFFER_BYTES (128 * MIB) /* of a thread, at least: more than the caches hold */
#define DISTANCES    3u
#define WINDOW_PS    (800 * PS_PER_US)

/* One line: of every `mode` lines that are asked for, the last one is stored to. */
static int step_mixed(struct probe_thread *t, struct vcpu *v)
{
    bool is_store = t->i % t->mode == t->mode - 1;
    uint64_t line = t->i % (t->bytes / LINE_BYTES);
    t->done_bytes += is_store ? 2 * LINE_BYTES : LINE_BYTES;
    core_issue(&vcpu_cpu(v)->core, 1);
    return hv_access(v, PROBE_GVA + t->base + line * LINE_BYTES, is_store ? CACHE_WRITE : CACHE_READ, false);
}

static int step_mixed_in_turn(struct probe_thread *t, struct vcpu *v)
{
    return pmem_in_turn(t, v, step_mixed);
}

static int step_stream_in_turn(struct probe_thread *t, struct vcpu *v)
{
    return pmem_in_turn(t, v, step_stream);
}

/* As many lines as fill the caches a quarter more than once, so that they evict what the threads stored. */
static uint64_t warm_lines(const struct validate *v, uint32_t threads)
{
    const struct cache_conf *c = &v->conf.cache;
    return (c->llc_slices * c->llc_slice_bytes + threads * c->l2_bytes) / LINE_BYTES * 5 / 4 / threads;
}

/* What buffers are a multiple of: huge pages, and rounds of the modules. */
static uint64_t whole_bytes(const struct validate *v)
{
    uint64_t round = v->conf.imc.n_imcs * v->conf.imc.n_channels * v->conf.imc.pmem_interleave_bytes, n = round;
    while (n % (2 * MIB))
        n += round;
    return n;
}

/* GB/s; every: lines that are asked for, of which one is stored to. 0: loads only, ONLY_NT: non-temporal stores. */
#define ONLY_NT UINT64_MAX
static double traffic(struct validate *v, uint32_t threads, enum place place, uint64_t every, uint64_t bytes)
{
    struct probe *p = pmem_probe(v, threads, place, bytes);
    bool is_mix = every && every != ONLY_NT;
    if (!p)
        return 0;
    pmem_threads(p, LINE_BYTES, is_mix ? every : every == ONLY_NT ? PROBE_NTSTORE : PROBE_LOAD);
    for (uint32_t i = 0; i < threads; i++) {
        p->thread[i].i = 0;
        /* Lines that are only loaded have been loaded before. */
        for (uint64_t at = 0; at < bytes && every != ONLY_NT; at += LINE_BYTES)
            if (!is_mix || at / LINE_BYTES % every != every - 1)
                probe_read_before(p, i * bytes + at, LINE_BYTES);
    }
    if (is_mix)
        probe_run(p, step_mixed, warm_lines(v, threads), v->d);
    double rate =
        probe_bandwidth(p, is_mix ? step_mixed_in_turn : step_stream_in_turn, 200 * PS_PER_US, WINDOW_PS, v->d);
    probe_free(p);
    return rate;
}

static double mean_traffic(struct validate *v, uint32_t threads, enum place place, uint64_t every)
{
    uint64_t whole = whole_bytes(v), bytes = (BUFFER_BYTES + whole - 1) / whole * whole;
    uint32_t n = threads > 1 ? DISTANCES : 1;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += traffic(v, threads, place, every, bytes + i * whole);
    return sum / n;
}

int measure_pmem_numa(struct validate *v)
{
    static const struct {
        const char *name;
        uint64_t every;
    } mixes[] = {{"r", 0}, {"2to1", 2}, {"1to1", 1}, {"w", ONLY_NT}};
    static const uint32_t threads[] = {1, 4};
    struct cache_conf *c = &v->conf.cache, before = *c;
    double four_local = 0, four_remote = 0;
    if (v->conf.numa.n_nodes < 2)
        return 0;
    c->prefetch_next = c->prefetch_stride = c->prefetch_adjacent = c->prefetch_stream = 1;
    for (size_t m = 0; m < N_ELEMS(mixes); m++)
        for (size_t i = 0; i < N_ELEMS(threads); i++) {
            char key[32];
            double local = mean_traffic(v, threads[i], INTERLEAVED, mixes[m].every);
            double remote = mean_traffic(v, threads[i], REMOTE, mixes[m].every);
            snprintf(key, sizeof key, "62.%s.%u.local", mixes[m].name, threads[i]);
            validate_put(v, key, local);
            snprintf(key, sizeof key, "62.%s.%u.remote", mixes[m].name, threads[i]);
            validate_put(v, key, remote);
            if (threads[i] == 4 && mixes[m].every == 1) {
                four_local = local;
                four_remote = remote;
            }
        }
    *c = before;
    validate_put(v, "62.collapse", four_remote > 0 ? four_local / four_remote : 0);
    return v->d->n_errors ? -1 : 0;
}

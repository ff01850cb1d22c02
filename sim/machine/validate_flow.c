/* SPDX-License-Identifier: MIT */
/* Optane-class modules: effective write ratio, bandwidth over threads, sizes, interleaving and mixes. */
#include "sim/machine/validate_pmem.h"

#define THREAD_BYTES (16 * MIB)

int pmem_in_turn(struct probe_thread *t, struct vcpu *v, probe_step *step)
{
    struct core *core = &vcpu_cpu(v)->core;
    if (step(t, v))
        return -1;
    core_retire(core);
    core_need_buffer(core);
    core_need_nt(core);
    core_wait(core, core_posted_room_ps(&core->nt_posted));
    core_near_flush(core, max_u64(core->stores_done_ps, core_posted_room_ps(&core->flush_posted)));
    return 0;
}

static int step_random_in_turn(struct probe_thread *t, struct vcpu *v)
{
    return pmem_in_turn(t, v, step_random);
}

static int step_stream_in_turn(struct probe_thread *t, struct vcpu *v)
{
    return pmem_in_turn(t, v, step_stream);
}

static int step_fenced_in_turn(struct probe_thread *t, struct vcpu *v)
{
    return pmem_in_turn(t, v, step_fenced);
}

struct flow pmem_flow(struct validate *v, struct probe *p, probe_step *step)
{
    struct flow f = {0};
    probe_bandwidth(p, step, 60 * PS_PER_US, PS_PER_US, v->d);
    struct nvdimm_stats before = pmem_modules(p);
    f.rate = probe_bandwidth(p, step, 60 * PS_PER_US, 200 * PS_PER_US, v->d);
    struct nvdimm_stats after = pmem_modules(p);
    uint64_t media = after.media_writes - before.media_writes;
    f.ewr = media ? (double)(after.writes - before.writes) * LINE_BYTES / (double)(media * 256) : 0;
    return f;
}

/* One run; `round` moves the threads' streams against each other. */
static struct flow flow_of(struct validate *v, uint32_t threads, enum place place, uint64_t unit, enum probe_mode mode,
                           probe_step *step, uint32_t round)
{
    struct flow f = {0};
    struct probe *p = pmem_probe(v, threads, place, THREAD_BYTES);
    if (!p)
        return f;
    pmem_threads(p, unit, mode);
    for (uint32_t i = 0; i < threads; i++)
        p->thread[i].i += round * rng_below(&p->thread[i].rng, THREAD_BYTES);
    f = pmem_flow(v, p, step);
    probe_free(p);
    return f;
}

/* Several streams gather at one module or do not: the mean of several runs. */
static struct flow flow(struct validate *v, uint32_t threads, enum place place, uint64_t unit, enum probe_mode mode,
                        probe_step *step)
{
    uint32_t rounds = threads < 4 ? 1 : threads < 8 ? 4 : threads < 16 ? 2 : 12;
    struct flow sum = {0};
    for (uint32_t i = 0; i < rounds; i++) {
        struct flow f = flow_of(v, threads, place, unit, mode, step, i);
        sum.rate += f.rate / rounds;
        sum.ewr += f.ewr / rounds;
    }
    return sum;
}

int measure_pmem_ewr(struct validate *v)
{
    static const uint32_t threads[] = {1, 4, 8, 12};
    validate_put(v, "49.64", flow(v, 1, ONE_DIMM, 64, PROBE_NTSTORE, step_random_in_turn).ewr);
    validate_put(v, "49.128", flow(v, 1, ONE_DIMM, 128, PROBE_NTSTORE, step_random_in_turn).ewr);
    validate_put(v, "49.256", flow(v, 1, ONE_DIMM, 256, PROBE_NTSTORE, step_random_in_turn).ewr);
    validate_put(v, "50.64", flow(v, 1, ONE_DIMM, 64, PROBE_NTSTORE, step_stream_in_turn).ewr);
    for (size_t i = 0; i < N_ELEMS(threads); i++) {
        char key[32];
        snprintf(key, sizeof key, "52.%u", threads[i]);
        validate_put(v, key, flow(v, threads[i], ONE_DIMM, 256, PROBE_NTSTORE, step_random_in_turn).ewr);
    }
    return v->d->n_errors ? -1 : 0;
}

/* Plain stores: lines reach the module in the order in which the LLC throws them out. */
int measure_pmem_ewr_store(struct validate *v)
{
    struct probe *p = pmem_probe(v, 1, ONE_DIMM, 256 * MIB);
    if (!p)
        return -1;
    uint64_t cached = v->conf.cache.llc_slices * v->conf.cache.llc_slice_bytes + v->conf.cache.l2_bytes;
    pmem_threads(p, 256, PROBE_STORE);
    probe_run(p, step_random_in_turn, cached / LINE_BYTES * 3 / 2, v->d);
    struct nvdimm_stats before = pmem_modules(p);
    probe_run(p, step_random_in_turn, 80000, v->d);
    struct nvdimm_stats after = pmem_modules(p);
    validate_put(v, "51.store",
                 (double)(after.writes - before.writes) / 4 / (double)(after.media_writes - before.media_writes));
    probe_free(p);
    return 0;
}

static const struct {
    enum probe_mode mode;
    const char *line, *key;
} kinds[] = {
    {PROBE_LOAD, "Read", "read"}, {PROBE_NTSTORE, "Write(ntstore)", "nt"}, {PROBE_CLWB, "Write(clwb)", "clwb"}};

/* Bandwidth over threads, 256-byte accesses, a sequential stream each. */
static int over_threads(struct validate *v, enum place place, uint32_t row, const char *plot)
{
    static const uint32_t threads[] = {1, 2, 4, 8, 12, 16, 24};
    for (size_t k = 0; k < N_ELEMS(kinds); k++)
        for (size_t i = 0; i < N_ELEMS(threads) && threads[i] <= v->conf.hv.cores; i++) {
            double rate = flow(v, threads[i], place, 256, kinds[k].mode, step_stream_in_turn).rate;
            char key[32];
            validate_point(v, plot, kinds[k].line, threads[i], rate);
            snprintf(key, sizeof key, "%u.%s.%u", row, kinds[k].key, threads[i]);
            validate_put(v, key, rate);
            snprintf(key, sizeof key, "53.%s.%u", kinds[k].key, threads[i]);
            if (place == ONE_DIMM)
                validate_put(v, key, rate);
        }
    return v->d->n_errors ? -1 : 0;
}

int measure_pmem_one_dimm(struct validate *v)
{
    return over_threads(v, ONE_DIMM, 54, "pmem-threads-one");
}

int measure_pmem_six_dimms(struct validate *v)
{
    return over_threads(v, INTERLEAVED, 55, "pmem-threads-six");
}

/* Random accesses of a size; threads as in the measurement: read, ntstore, clwb. */
static int over_sizes(struct validate *v, enum place place, const uint32_t threads[3], const uint32_t *sizes,
                      uint32_t n, uint32_t row, const char *plot)
{
    for (size_t k = 0; k < N_ELEMS(kinds); k++)
        for (uint32_t i = 0; i < n; i++) {
            double rate = flow(v, threads[k], place, sizes[i], kinds[k].mode, step_random_in_turn).rate;
            char key[32];
            validate_point(v, plot, kinds[k].line, sizes[i], rate);
            snprintf(key, sizeof key, "%u.%s.%u", row, kinds[k].key, sizes[i]);
            validate_put(v, key, rate);
        }
    return v->d->n_errors ? -1 : 0;
}

int measure_pmem_sizes(struct validate *v)
{
    static const uint32_t threads[3] = {4, 1, 2}, sizes[] = {64, 128, 256, 1024, 4096};
    return over_sizes(v, ONE_DIMM, threads, sizes, N_ELEMS(sizes), 56, "pmem-sizes-one");
}

int measure_pmem_interleave(struct validate *v)
{
    static const uint32_t threads[3] = {16, 4, 12},
                          sizes[] = {64, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536};
    return over_sizes(v, INTERLEAVED, threads, sizes, N_ELEMS(sizes), 57, "pmem-sizes-six");
}

int measure_pmem_random(struct validate *v)
{
    validate_put(v, "65.64", flow(v, 1, ONE_DIMM, 64, PROBE_LOAD, step_random_in_turn).rate);
    validate_put(v, "65.256", flow(v, 1, ONE_DIMM, 256, PROBE_LOAD, step_random_in_turn).rate);
    validate_put(v, "65.4096", flow(v, 1, ONE_DIMM, 4096, PROBE_LOAD, step_random_in_turn).rate);
    return v->d->n_errors ? -1 : 0;
}

/* Six threads, each a sequential stream with a fence behind every access of that size. */
int measure_pmem_flush_bandwidth(struct validate *v)
{
    static const uint32_t sizes[] = {64, 256, 512, 1024, 4096};
    for (size_t i = 0; i < N_ELEMS(sizes); i++) {
        char key[32];
        for (size_t k = 1; k < N_ELEMS(kinds); k++) {
            double rate = flow(v, 6, INTERLEAVED, sizes[i], kinds[k].mode, step_fenced_in_turn).rate;
            snprintf(key, sizeof key, "58.%s.%u", kinds[k].key, sizes[i]);
            validate_put(v, key, rate);
            validate_point(v, "flush-bandwidth", k == 1 ? "ntstore" : "store+clwb", sizes[i], rate);
        }
    }
    return v->d->n_errors ? -1 : 0;
}

int measure_pmem_fence_interval(struct validate *v)
{
    static const uint32_t sizes[] = {64, 128, 256, 512, 1024, 4096, 16384, 65536};
    for (size_t i = 0; i < N_ELEMS(sizes); i++) {
        char key[32];
        for (size_t k = 1; k < N_ELEMS(kinds); k++) {
            double rate = flow(v, 1, ONE_DIMM, sizes[i], kinds[k].mode, step_fenced_in_turn).rate;
            snprintf(key, sizeof key, "59.%s.%u", kinds[k].key, sizes[i]);
            validate_put(v, key, rate);
            validate_point(v, "fence-interval", k == 1 ? "ntstore" : "clwb(every 64B)", sizes[i], rate);
        }
    }
    return v->d->n_errors ? -1 : 0;
}

/* ---- reads and writes together ---- */

/* Some threads read, the others write: 64 bytes, random, each in its part. */
static double readers_and_writers(struct validate *v, uint32_t readers, uint32_t writers)
{
    struct probe *p = pmem_probe(v, readers + writers, INTERLEAVED, THREAD_BYTES);
    if (!p)
        return 0;
    pmem_threads(p, LINE_BYTES, PROBE_LOAD);
    for (uint32_t i = 0; i < writers; i++)
        p->thread[readers + i].mode = PROBE_NTSTORE;
    double rate = probe_bandwidth(p, step_random_in_turn, 60 * PS_PER_US, 600 * PS_PER_US, v->d);
    probe_free(p);
    return rate;
}

int measure_pmem_mixed(struct validate *v)
{
    validate_put(v, "64.read", readers_and_writers(v, 16, 0));
    validate_put(v, "64.half", readers_and_writers(v, 8, 8));
    validate_put(v, "64.write", readers_and_writers(v, 0, 16));
    return v->d->n_errors ? -1 : 0;
}

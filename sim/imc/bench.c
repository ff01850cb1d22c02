/* SPDX-License-Identifier: MIT */
/* How fast the controllers of one node answer on this host: requests straight to them, without cores and caches. */
#include "sim/imc/bench.h"

#include "sim/base/diag.h"
#include "sim/base/rng.h"
#include "sim/imc/imc.h"

struct row {
    const char *name, *note;
    ps_t step_ps;    /* between two requests */
    bool is_random;  /* else a stream */
    uint32_t writes; /* of 16 requests */
    uint64_t curve;  /* index into mem_curve_names */
    uint64_t level;  /* enum dram_level */
};

static const struct row rows[] = {
    {"imc.random", "random reads of 32 GiB at 6.4 GB/s, six channels of DDR4-2666", 10000, true, 0, 0, DRAM_COMMAND},
    {"imc.random.busy", "the same at 64 GB/s", 1000, true, 0, 0, DRAM_COMMAND},
    {"imc.random.mixed", "the same, a quarter of them writes", 1000, true, 4, 0, DRAM_COMMAND},
    {"imc.stream", "a stream of reads at 64 GB/s", 1000, false, 0, 0, DRAM_COMMAND},
    {"imc.stream.mixed", "the same, a quarter of them writes", 1000, false, 4, 0, DRAM_COMMAND},
    {"imc.bank", "random, a quarter of them writes, timing bank", 1000, true, 4, 0, DRAM_BANK},
    {"imc.curve", "random reads, curve mode", 1000, true, 0, 1, DRAM_COMMAND},
};

static void bench_row(struct bench *b, const struct row *r, struct node_imc *n, const struct mem_region *region)
{
    enum { CHUNK = 4096 };
    uint64_t lines = region->bytes / LINE_BYTES, chunks = (uint64_t)(1500 * b->scale) + 1, line[CHUNK], next = 0;
    struct rng rng;
    ps_t t = PS_PER_US;
    double took = 0;
    rng_init(&rng, 1, r->name);
    for (uint64_t c = 0; c < chunks; c++) {
        for (uint32_t i = 0; i < CHUNK; i++)
            line[i] = r->is_random ? rng_below(&rng, lines) : next++ % lines;
        double start = bench_user_s();
        for (uint32_t i = 0; i < CHUNK; i++, t += r->step_ps)
            if (i % 16 < r->writes)
                imc_write(n, region, line[i], t);
            else
                imc_read(n, region, line[i], t);
        took += bench_user_s() - start;
    }
    bench_add(b, r->name, (double)(chunks * CHUNK) / (took > 0 ? took : 1e-9) / 1e6, "M requests/s", r->note);
}

int bench_imc(struct bench *b)
{
    struct diag d = {0};
    struct imc_conf conf;
    static const struct nvdimm_conf none = {.kind = NVDIMM_NONE};
    if (conf_bind(NULL, imc_keys, &conf, &d))
        return -1;
    for (size_t i = 0; i < N_ELEMS(rows); i++) {
        struct mem *mem = mem_new();
        struct node_imc n;
        conf.curve = rows[i].curve;
        conf.dram.level = rows[i].level;
        if (mem_add_region(mem, 0, MEM_DRAM, 32 * GIB, &d) || imc_init(&n, &conf, &none, mem, &d)) {
            mem_free(mem);
            return -1;
        }
        bench_row(b, &rows[i], &n, &mem->region[0]);
        imc_fini(&n);
        mem_free(mem);
    }
    return 0;
}

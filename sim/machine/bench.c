/* SPDX-License-Identifier: MIT */
/* How fast the whole access path runs on this host: one vCPU, one thread, user time; building the machine and mapping
 * the footprint are not counted. */
#include "sim/machine/bench.h"

#include "sim/machine/machine.h"

#include <stdlib.h>
#include <string.h>

struct row {
    const char *name, *note;
    const char *workload;
    uint64_t footprint, backing, accesses, dram;
};

static const struct row rows[] = {
    {"replay.stream.1MiB", "a load or store a line (25 % stores), 4 KiB pages on 2 MiB nested pages", "stream", MIB,
     LEVEL_2M, 20000000, DRAM_BANK},
    {"replay.stream.8MiB", "the same over 8 MiB", "stream", 8 * MIB, LEVEL_2M, 20000000, DRAM_BANK},
    {"replay.random.1GiB", "uniform 8-byte accesses, 4 KiB pages on 2 MiB nested pages", "random", GIB, LEVEL_2M,
     8000000, DRAM_BANK},
    {"replay.random.1GiB.command", "the same with every DRAM command timed (dram_timing = command)", "random", GIB,
     LEVEL_2M, 4000000, DRAM_COMMAND},
    {"replay.random.1GiB.4k", "the same on 4 KiB nested pages", "random", GIB, LEVEL_4K, 8000000, DRAM_BANK},
    {"replay.zipf.1GiB", "pages by Zipf 0.99, 4 KiB pages on 2 MiB nested pages", "zipf", GIB, LEVEL_2M, 8000000,
     DRAM_BANK},
};

/* Runs the VM until it has made n accesses in all. */
static int run_to(struct machine *m, struct vm *vm, uint64_t n, struct diag *d)
{
    while (vm->stats.accesses < n && !vm->vcpu[0].is_done)
        if (hv_run(&m->hv, m->hv.cpu[0].core.now_ps + PS_PER_MS, d))
            return -1;
    return 0;
}

static int bench_row(struct bench *b, const struct row *r)
{
    struct diag d = {0};
    struct machine_conf mc;
    struct vm_conf v;
    /* The footprint is touched once first: page faults are not the steady state. */
    uint64_t warm = r->footprint / LINE_BYTES * 2, n = (uint64_t)((double)r->accesses * b->scale);
    if (machine_bind(NULL, &mc, &d))
        return -1;
    mc.imc.dram.level = r->dram;
    char *text = xasprintf("generator = \"%s\"\nmemory = \"4GiB\"\nfootprint = \"%lluB\"\naccesses = %llu\n",
                           r->workload, (unsigned long long)r->footprint, (unsigned long long)(warm + n));
    const struct conf_schema schema = {.name = "", .keys = vm_keys};
    struct conf *conf = conf_parse(text, strlen(text), "bench", ".", &schema, &d);
    int bad = !conf || conf_bind(conf_root(conf), vm_keys, &v, &d);
    struct machine *m = bad ? NULL : machine_new(&mc, &d);
    struct vm *vm = NULL;
    v.backing = r->backing;
    if (m && (vm = guest_new(&m->hv, "bench", &v, "bench", &d)) && run_to(m, vm, warm, &d) == 0) {
        uint64_t before = vm->stats.accesses;
        double start = bench_user_s();
        bad = run_to(m, vm, UINT64_MAX, &d);
        double took = bench_user_s() - start;
        bench_add(b, r->name, (double)(vm->stats.accesses - before) / took / 1e6, "M accesses/s", r->note);
    }
    bad |= !vm || d.n_errors;
    machine_free(m);
    conf_free(conf);
    free(text);
    return bad ? -1 : 0;
}

int bench_replay(struct bench *b)
{
    for (size_t i = 0; i < N_ELEMS(rows); i++)
        if (bench_row(b, &rows[i]))
            return -1;
    return 0;
}

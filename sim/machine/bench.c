/* SPDX-License-Identifier: MIT */
/* How fast the whole access path runs on this host: one vCPU, one thread, user time; building the machine, mapping the
 * footprint and filling the caches are not counted. Every row is measured in rounds, all rows in turn, and the best
 * round counts: what else the host does slows a round, nothing speeds one up. */
#include "sim/machine/bench.h"

#include "sim/machine/conserve.h"
#include "sim/machine/machine.h"

#include <stdlib.h>
#include <string.h>

#define N_ROUNDS 3u

struct row {
    const char *name, *note;
    const char *workload;
    uint64_t footprint, backing, dram;
    uint64_t warm, accesses; /* before the first round; in a round */
};

/* Warm-up: a stream passes twice; uniform accesses touch each of the 2^18 pages 16 times on average, so that 1 in 9
 * million is missed. */
static const struct row rows[] = {
    {"replay.stream.1MiB", "a load or store a line (25 % stores), 4 KiB pages on 2 MiB nested pages", "stream", MIB,
     LEVEL_2M, DRAM_BANK, 2 * MIB / LINE_BYTES, 8000000},
    {"replay.stream.8MiB", "the same over 8 MiB", "stream", 8 * MIB, LEVEL_2M, DRAM_BANK, 16 * MIB / LINE_BYTES,
     6000000},
    {"replay.random.1GiB", "uniform 8-byte accesses, 4 KiB pages on 2 MiB nested pages", "random", GIB, LEVEL_2M,
     DRAM_BANK, 16 << 18, 2500000},
    {"replay.random.1GiB.command", "the same with every DRAM command timed (dram_timing = command)", "random", GIB,
     LEVEL_2M, DRAM_COMMAND, 16 << 18, 1500000},
    {"replay.random.1GiB.4k", "the same on 4 KiB nested pages", "random", GIB, LEVEL_4K, DRAM_BANK, 16 << 18, 2000000},
    {"replay.zipf.1GiB", "pages by Zipf 0.99, 4 KiB pages on 2 MiB nested pages", "zipf", GIB, LEVEL_2M, DRAM_BANK,
     16 << 18, 2500000},
};
#define N_ROWS N_ELEMS(rows)

/* A row under measurement. */
struct lane {
    struct conf *conf;
    struct machine *m;
    struct vm *vm;
    double best; /* accesses a second */
};

/* Runs the VM until it has made n accesses in all. */
static int run_to(struct lane *l, uint64_t n, struct diag *d)
{
    struct hv *hv = &l->m->hv;
    while (l->vm->stats.accesses < n && !l->vm->vcpu[0].is_done)
        if (hv_run(hv, hv->cpu[0].core.now_ps + 100 * PS_PER_US, d))
            return -1;
    return 0;
}

static int lane_open(struct lane *l, const struct row *r, uint64_t accesses, struct diag *d)
{
    struct machine_conf mc;
    struct vm_conf v;
    if (machine_bind(NULL, &mc, d))
        return -1;
    mc.imc.dram.level = r->dram;
    char *text = xasprintf("generator = \"%s\"\nmemory = \"4GiB\"\nfootprint = \"%lluB\"\naccesses = %llu\n",
                           r->workload, (unsigned long long)r->footprint,
                           (unsigned long long)(r->warm + (accesses + accesses / 4 + 1000000) * N_ROUNDS));
    const struct conf_schema schema = {.name = "", .keys = vm_keys};
    l->conf = conf_parse(text, strlen(text), "bench", ".", &schema, d);
    free(text);
    if (!l->conf || conf_bind(conf_root(l->conf), vm_keys, &v, d))
        return -1;
    v.backing = r->backing;
    l->m = machine_new(&mc, d);
    l->vm = l->m ? guest_new(&l->m->hv, "bench", &v, "bench", d) : NULL;
    return l->vm ? run_to(l, r->warm, d) : -1;
}

static int lane_round(struct lane *l, uint64_t accesses, struct diag *d)
{
    uint64_t before = l->vm->stats.accesses;
    double start = bench_user_s();
    if (run_to(l, before + accesses, d))
        return -1;
    double took = bench_user_s() - start, speed = (double)(l->vm->stats.accesses - before) / took;
    l->best = speed > l->best ? speed : l->best;
    return 0;
}

static void lane_close(struct lane *l)
{
    struct diag fault = {0};
    CHECK_MSG(!l->m || machine_conserves(l->m, &fault) == 0, "%s", fault.text);
    machine_free(l->m);
    conf_free(l->conf);
}

int bench_replay(struct bench *b)
{
    struct diag d = {0};
    struct lane lane[N_ROWS] = {0};
    int bad = 0;
    for (size_t i = 0; i < N_ROWS && !bad; i++)
        bad = lane_open(&lane[i], &rows[i], (uint64_t)((double)rows[i].accesses * b->scale), &d);
    for (uint32_t round = 0; round < N_ROUNDS && !bad; round++)
        for (size_t i = 0; i < N_ROWS && !bad; i++)
            bad = lane_round(&lane[i], (uint64_t)((double)rows[i].accesses * b->scale), &d);
    for (size_t i = 0; i < N_ROWS; i++) {
        if (!bad)
            bench_add(b, rows[i].name, lane[i].best / 1e6, "M accesses/s", rows[i].note);
        lane_close(&lane[i]);
    }
    return bad || d.n_errors ? -1 : 0;
}

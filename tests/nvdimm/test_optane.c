/* SPDX-License-Identifier: MIT */
/* The Optane-class module alone, against what was measured on real ones (numbers.md; the measured latencies contain
 * about 76 ns of core and controller, which is added here), and against small independent models. */
#include "sim/base/diag.h"
#include "sim/base/rng.h"
#include "sim/machine/machine.h"
#include "sim/nvdimm/nvdimm.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#define HOST_NS 76.0 /* core, caches and controller of a read: FAST'20's 169 ns less the module's 96 */

static void module_up(struct nvdimm *n)
{
    struct machine_conf c;
    struct diag d = {0};
    cr_assert_eq(machine_bind(NULL, &c, &d), 0);
    c.pmem.kind = NVDIMM_OPTANE;
    nvdimm_init(n, &c.pmem, nvdimm_door_new(2 * (uint32_t)c.imc.pmem_lines));
}

static void module_down(struct nvdimm *n)
{
    free(n->door);
    nvdimm_fini(n);
}

/* A random cycle over n elements (Sattolo's shuffle). */
static uint64_t *chase(uint64_t n)
{
    uint64_t *next = xcalloc(n, sizeof *next), rand = 7;
    for (uint64_t i = 0; i < n; i++)
        next[i] = i;
    for (uint64_t i = n - 1; i > 0; i--) {
        rand = rand * 6364136223846793005ull + 1442695040888963407ull;
        uint64_t k = (rand >> 33) % i, t = next[i];
        next[i] = next[k];
        next[k] = t;
    }
    return next;
}

/* Nanoseconds a line of a pointer chase over a region, seen by a core. */
static double read_ns(uint64_t region, uint64_t *next)
{
    struct nvdimm n;
    module_up(&n);
    uint64_t lines = region / 64, steps = lines < 200000 ? 400000 : 2 * lines, at = 0;
    ps_t t = 0, start = 0;
    for (uint64_t i = 0; i < 2 * steps; i++, at = next[at]) {
        if (i == steps)
            start = t;
        t = nvdimm_read(&n, at, t) + (ps_t)(HOST_NS * 1000);
    }
    module_down(&n);
    return (double)(t - start) / (double)steps / 1000;
}

/* Rows 44 and 47: every measured point within 8 %; the knees follow. */
Test(optane, pointer_chase_by_region)
{
    static const struct {
        uint64_t region;
        double ns;
    } row[] = {{4096, 179},     {16384, 179},    {65536, 276},    {131072, 296},   {MIB, 310},
               {16 * MIB, 313}, {24 * MIB, 333}, {32 * MIB, 344}, {128 * MIB, 375}};
    for (size_t i = 0; i < N_ELEMS(row); i++) {
        uint64_t *next = chase(row[i].region / 64);
        double ns = read_ns(row[i].region, next);
        cr_expect(fabs(ns / row[i].ns - 1) < 0.08, "%lu KiB: %.1f ns, measured %.1f",
                  (unsigned long)row[i].region / 1024, ns, row[i].ns);
        free(next);
    }
}

/* Row 41, sequential: dependent loads, one after the other. */
Test(optane, sequential_loads)
{
    struct nvdimm n;
    module_up(&n);
    ps_t t = 0;
    for (uint64_t i = 0; i < 100000; i++)
        t = nvdimm_read(&n, i, t) + (ps_t)(HOST_NS * 1000);
    double ns = (double)t / 100000 / 1000;
    cr_assert(fabs(ns / 169.4 - 1) < 0.1, "%.1f", ns);
    module_down(&n);
}

/* Row 46 from 512 bytes on: writes in a random order, as fast as they are taken; nanoseconds a line. */
Test(optane, write_cost_by_region)
{
    static const struct {
        uint64_t region;
        double ns;
    } row[] = {{512, 28}, {4096, 28}, {8192, 43}, {16384, 60}, {65536, 95}, {131072, 102}, {MIB, 110}, {64 * MIB, 110}};
    for (size_t i = 0; i < N_ELEMS(row); i++) {
        struct nvdimm n;
        module_up(&n);
        uint64_t *next = chase(row[i].region / 64), at = 0;
        n.conf.wear_writes = 0;
        ps_t t = 0;
        for (uint64_t k = 0; k < 300000; k++, at = next[at])
            t = nvdimm_write(&n, at, t, t);
        double ns = (double)t / 300000 / 1000;
        cr_expect(fabs(ns / row[i].ns - 1) < 0.12, "%lu bytes: %.1f ns, measured %.1f", (unsigned long)row[i].region,
                  ns, row[i].ns);
        free(next);
        module_down(&n);
    }
}

/* Row 48: the first halves of all XPLines of a region are written, then the second halves. */
Test(optane, write_amplification_by_region)
{
    static const struct {
        uint64_t region;
        double wa;
    } row[] = {{4096, 1.034},  {16384, 1.036}, {18432, 1.039}, {20480, 1.359},
               {24576, 1.608}, {32768, 1.820}, {65536, 2.034}, {MIB, 2.08}};
    for (size_t i = 0; i < N_ELEMS(row); i++) {
        struct nvdimm n;
        module_up(&n);
        uint64_t lines = row[i].region / 64, rounds = 40000000 / row[i].region;
        ps_t t = 0;
        for (uint64_t r = 0; r < rounds; r++)
            for (uint64_t half = 0; half < 2; half++)
                for (uint64_t x = 0; x < lines; x += 4)
                    for (uint64_t k = 0; k < 2; k++, t += 67500) /* with a fence, 135 ns (row 43) */
                        t = nvdimm_write(&n, x + 2 * half + k, t, t);
        double wa = (double)n.stats.media_writes * 4 / (double)n.stats.writes;
        cr_expect(fabs(wa / row[i].wa - 1) < (row[i].region == 20480 ? 0.15 : 0.065), /* at the knee */
                  "%lu bytes: %.3f, measured %.3f", (unsigned long)row[i].region, wa, row[i].wa);
        module_down(&n);
    }
}

static double ewr(const struct nvdimm *n)
{
    return (double)n->stats.writes / (double)n->stats.media_writes / 4;
}

/* Rows 49, 50, 53 and 56: effective write ratio and bandwidth of random and sequential writes of 64 to 256 bytes. */
Test(optane, effective_write_ratio_and_bandwidth)
{
    static const struct {
        uint32_t lines;
        bool random;
        double ewr, rate;
    } row[] = {{1, true, 0.245, 0.555}, {2, true, 0.489, 1.10}, {4, true, 0.980, 2.21}, {1, false, 0.984, 2.22}};
    for (size_t i = 0; i < N_ELEMS(row); i++) {
        struct nvdimm n;
        module_up(&n);
        uint64_t rand = 5, count = 400000 / row[i].lines, at = 0;
        ps_t t = 0;
        for (uint64_t k = 0; k < count; k++) {
            rand = rand * 6364136223846793005ull + 1442695040888963407ull;
            at = row[i].random ? (rand >> 30) * row[i].lines : at + row[i].lines;
            for (uint32_t l = 0; l < row[i].lines; l++)
                t = nvdimm_write(&n, at + l, t, t);
        }
        double rate = (double)n.stats.writes * 64 * 1000 / (double)t;
        cr_expect(fabs(ewr(&n) - row[i].ewr) <= 0.021, "row %zu: EWR %.3f, measured %.3f", i, ewr(&n), row[i].ewr);
        cr_expect(fabs(rate / row[i].rate - 1) < 0.05, "row %zu: %.3f GB/s, measured %.3f", i, rate, row[i].rate);
        module_down(&n);
    }
}

/* Row 53: 256-byte random reads with enough of them in flight. */
Test(optane, read_bandwidth)
{
    struct nvdimm n;
    module_up(&n);
    ps_t slot[12] = {0}, end = 0;
    uint64_t rand = 5;
    for (uint64_t k = 0; k < 100000; k++) {
        rand = rand * 6364136223846793005ull + 1442695040888963407ull;
        ps_t t = slot[k % 12], done = t;
        for (uint64_t l = 0; l < 4; l++)
            done = max_u64(done, nvdimm_read(&n, (rand >> 40) * 4 + l, t) + (ps_t)(HOST_NS * 1000));
        slot[k % 12] = done;
        end = max_u64(end, done);
    }
    double rate = (double)n.stats.reads * 64 * 1000 / (double)end;
    cr_assert(fabs(rate / 6.5 - 1) < 0.05, "%.3f GB/s", rate);
    cr_assert(n.stats.media_reads > 99500 && n.stats.media_reads < 100500, "each XPLine is read once");
    module_down(&n);
}

/* Rows 60 and 61: one XPLine written over and over stalls every 14,000 writes; hot sets of 128 KiB never do. */
Test(optane, wear_levelling_stalls_small_hot_sets)
{
    static const uint64_t hot[] = {256, 16384, 65536, 131072, 1 << 20};
    for (size_t i = 0; i < N_ELEMS(hot); i++) {
        struct nvdimm n;
        module_up(&n);
        ps_t t = 0, worst = 0, before;
        for (uint64_t k = 0; k < 200000; k++) {
            uint64_t at = k * 256 % hot[i] / 64;
            before = t;
            for (uint64_t l = 0; l < 4; l++)
                t = nvdimm_write(&n, at + l, t, t);
            worst = max_u64(worst, t - before);
        }
        if (hot[i] <= 65536)
            cr_expect(worst > 50 * PS_PER_US && worst < 57 * PS_PER_US && n.stats.wear_moves == 14,
                      "%lu bytes: %lu moves, %lu ps", (unsigned long)hot[i], (unsigned long)n.stats.wear_moves,
                      (unsigned long)worst);
        else
            cr_expect(n.stats.wear_moves == 0 && worst < PS_PER_US, "%lu bytes", (unsigned long)hot[i]);
        module_down(&n);
    }
}

/* Whatever comes, in whatever order of time: answers are never early, time never runs backwards in the pipeline, the
 * queue keeps its bound, and the lines written are the lines that the media or a buffer has. */
Test(optane, random_requests_are_conserved)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct nvdimm n;
        module_up(&n);
        struct rng r;
        ps_t t = 0;
        rng_init(&r, seed, "test");
        for (uint64_t k = 0; k < 30000; k++) {
            uint64_t line = rng_below(&r, seed & 1 ? 512 : 1 << 20);
            ps_t now = t + rng_below(&r, 50000) - (t > 100000 ? rng_below(&r, 100000) : 0), pipe = n.pipe_free_ps;
            ps_t ahead = rng_below(&r, 4) ? 0 : rng_below(&r, 2000000); /* some are asked for ahead of time */
            ps_t done = rng_below(&r, 2) ? nvdimm_write(&n, line, now, now + ahead) : nvdimm_read(&n, line, now);
            cr_assert(done >= now && n.pipe_free_ps >= pipe);
            t = max_u64(t, now);
        }
        uint64_t queued = 0;
        for (uint32_t g = n.order.head; g != UINT32_MAX; g = n.group[g].link[LSQ_ORDER].next)
            queued += (uint64_t)__builtin_popcount(n.group[g].mask & XPLINE_WHOLE);
        cr_assert(n.stats.queue_peak <= n.conf.queue_lines && queued <= n.conf.queue_lines);
        cr_assert(n.door->n_inside <= n.door->room && n.door->n_inside == n.writes.n);
        cr_assert_eq(n.n_lines + n.writes.n + n.door->n + n.coming.n, n.stats.writes, "every line is somewhere");
        cr_assert_eq(n.stats.requests - n.stats.write_buffer_hits,
                     n.stats.media_writes - n.stats.wear_copies + n.write_buffer.n);
        module_down(&n);
    }
}

/* SPDX-License-Identifier: MIT */
/* Timing "bank" of a DDR4 channel: latencies written out by hand, the bus, write batches. */
#include "sim/base/diag.h"
#include "sim/base/rng.h"
#include "sim/imc/imc.h"

#include <criterion/criterion.h>

static struct dram d;
static ps_t ck;

static void up(void)
{
    struct imc_conf c;
    struct diag diag = {0};
    cr_assert_eq(conf_bind(NULL, imc_keys, &c, &diag), 0);
    cr_assert_eq(c.dram.level, DRAM_BANK, "the default");
    dram_init(&d, &c.dram, 0, 1);
    ck = d.t.ck_ps;
}

/* A line of the given bank and row that is not the first one found. */
static uint64_t line_in(uint32_t bank, uint32_t row)
{
    for (uint64_t line = 0;; line++) {
        struct dram_place p = dram_locate(&d, line, NULL);
        if (p.bank == bank && p.row == row)
            return line;
    }
}

Test(dram_bank, closed_hit_and_conflict)
{
    up();
    ps_t t = 10000 * ck, hit = (d.t.cl + d.t.burst) * ck;
    cr_expect_eq(dram_read(&d, line_in(3, 0), t) - t, hit + d.t.rcd * ck, "closed");
    t += 10000 * ck;
    cr_expect_eq(dram_read(&d, line_in(3, 0), t) - t, hit, "open");
    t += 10000 * ck;
    cr_expect_eq(dram_read(&d, line_in(3, 1), t) - t, hit + (d.t.rcd + d.t.rp) * ck, "another row");
    /* A third row at the same instant: its precharge waits for tRAS of the second. */
    cr_expect_eq(dram_read(&d, line_in(3, 2), t) - t, hit + (d.t.rp + d.t.ras + d.t.rp + d.t.rcd) * ck, "tRAS");
    cr_expect_eq(d.stats.row_hits, 1);
    cr_expect_eq(d.stats.row_conflicts, 2);
}

Test(dram_bank, bus_peak_is_a_line_a_burst)
{
    up();
    ps_t last = 0, first = dram_read(&d, 0, 0);
    for (uint64_t i = 1; i < 128; i++)
        last = dram_read(&d, i, 0);
    cr_expect_eq(last - first, 127 * d.t.burst * ck);
}

/* Whatever the order: no two bursts share the bus, nothing is faster than a row hit, writes are conserved. */
Test(dram_bank, bursts_never_overlap)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng r;
        uint64_t writes = 0, t = 1;
        ps_t last = 0;
        up();
        rng_init(&r, seed, "test");
        for (uint32_t i = 0; i < 20000; i++) {
            t += rng_below(&r, 4000);
            if (rng_below(&r, 3) == 0) {
                cr_assert(dram_write(&d, rng_below(&r, 1 << 20), t) >= t);
                writes++;
                continue;
            }
            ps_t done = dram_read(&d, rng_below(&r, 1 << 20), t);
            cr_assert(done >= t + (d.t.cl + d.t.burst) * ck && done >= last + d.t.burst * ck);
            last = done;
        }
        cr_assert_eq(d.stats.drained + d.simple.n_writes, writes);
    }
}

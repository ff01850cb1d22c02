/* SPDX-License-Identifier: MIT */
/* Controllers: interleaving, bank and bus timing, the write-pending queue against a replay of its own promises. */
#include "sim/base/rng.h"
#include "sim/imc/imc_int.h"
#include "sim/machine/machine.h"

#include <criterion/criterion.h>

static struct mem *mem;
static struct node_imc node;
static struct mem_region *dram, *pmem;

static void up(uint64_t imcs, uint64_t channels, uint64_t interleave, uint64_t wpq)
{
    struct machine_conf c;
    struct diag d = {0};
    cr_assert_eq(machine_bind(NULL, &c, &d), 0);
    c.imc.dram.level = DRAM_COMMAND;
    c.imc.n_imcs = imcs;
    c.imc.n_channels = channels;
    c.imc.interleave_bytes = c.imc.pmem_interleave_bytes = interleave;
    c.imc.wpq_entries = wpq;
    c.pmem.kind = NVDIMM_OPTANE;
    mem = mem_new();
    cr_assert_eq(mem_add_region(mem, 0, MEM_DRAM, GIB, &d), 0);
    cr_assert_eq(mem_add_region(mem, 0, MEM_PMEM, GIB, &d), 0);
    cr_assert_neq(mem_alloc(mem, &mem->region[1], LEVEL_2M, FRAME_GUEST, 0, 0), MFN_NONE);
    dram = &mem->region[0];
    pmem = &mem->region[1];
    cr_assert_eq(imc_init(&node, &c.imc, &c.pmem, mem, &d), 0, "%s", d.text);
}

static void down(void)
{
    imc_fini(&node);
    mem_free(mem);
}

Test(imc, interleaving_is_a_bijection)
{
    for (uint64_t imcs = 1; imcs <= 8; imcs++)
        for (uint64_t channels = 1; channels <= 4; channels++)
            for (uint64_t interleave = 64; interleave <= 4096; interleave *= 8) {
                up(imcs, channels, interleave, 4);
                uint64_t count[32] = {0}, lines = 64 * imcs * channels * 4;
                for (uint64_t i = 0; i < lines; i++) {
                    uint64_t at;
                    uint32_t c = imc_channel(&node, MEM_DRAM, i, &at);
                    cr_assert(c < imcs * channels);
                    cr_assert_eq(imc_offset(&node, MEM_DRAM, c, at), i);
                    count[c]++;
                }
                for (uint64_t c = 0; c < imcs * channels; c++)
                    cr_assert_eq(count[c], lines / imcs / channels, "every channel has its share");
                down();
            }
}

Test(imc, a_read_is_front_and_channel)
{
    up(1, 1, 4096, 4);
    const struct dram_conf *k = &node.conf.dram;
    ps_t t = 100 * PS_PER_US / k->t_ck_ps * k->t_ck_ps, closed = k->t_rcd_ps + k->t_cl_ps + 4 * k->t_ck_ps;
    cr_expect_eq(imc_read(&node, dram, 0, t) - t, closed + node.conf.front_ps);
    down();
}

/* Entries that the fullest WPQ holds at t. */
static uint32_t most_queued_at(ps_t t)
{
    uint32_t most = 0;
    for (uint32_t c = 0; c < node.n_chans; c++) {
        const struct channel *ch = &node.chan[c];
        uint32_t n = 0;
        for (uint32_t i = 0; i < ch->wpq_n; i++) {
            const struct wpq_entry *e = wpq_at(&node, ch, i);
            n += e->accept_ps <= t && t < e->media_ps;
        }
        most = n > most ? n : most;
    }
    return most;
}

/* Random writes and hints: occupancy is bounded; acceptance and drain times are what decides a power failure at any
 * time, and a hint answers when all that was queued before is durable without ADR. */
Test(wpq, keeps_its_promises)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng;
        ps_t t = 1, accept[64] = {0};
        uint32_t v[64] = {0};
        up(2, 2, 256, 3);
        rng_init(&rng, seed, "wpq");
        for (uint32_t i = 0; i < 400; i++) {
            uint64_t k = rng_below(&rng, 64), line = (pmem->base >> LINE_SHIFT) + k;
            t += rng_below(&rng, 50000);
            v[k] = ++frame_pmem(mem, line >> 6)->cur[line & 63];
            accept[k] = imc_write(&node, pmem, k, t);
            cr_assert(accept[k] >= t);
            cr_assert(most_queued_at(accept[k]) <= 3);
            if (accept[k] > t) {
                const struct pmem_page *p = frame_pmem(mem, line >> 6);
                cr_assert(imc_queued_version(&node, pmem, k, accept[k] - 1, true) < v[k], "it still waits for room");
                cr_assert(p->media[line & 63] < v[k], "and is not on the media");
            }
            cr_assert(imc_queued_version(&node, pmem, k, accept[k], true) == v[k], "accepted is safe under ADR");
            if (rng_below(&rng, 8) == 0) {
                ps_t done = 0;
                for (uint32_t m = 0; m < 2; m++)
                    done = max_u64(done, imc_hint_write(&node, m, max_u64(t, accept[k])));
                for (uint64_t x = 0; x < 64; x++) {
                    uint32_t media = frame_pmem(mem, (line - k + x) >> 6)->media[(line - k + x) & 63];
                    cr_assert(max_u64(media, imc_queued_version(&node, pmem, x, done, false)) == v[x],
                              "line %lu after a hint", (unsigned long)x);
                }
            }
        }
        ps_t end = max_u64(imc_drained_ps(&node, 0), imc_drained_ps(&node, 1));
        imc_power_fail(&node, end, false);
        for (uint64_t x = 0; x < 64; x++)
            cr_assert_eq(frame_pmem(mem, (pmem->base >> PAGE_SHIFT))->media[x], v[x], "drained is durable without ADR");
        down();
    }
}

/* A failure before the drain loses what is queued, and nothing else; with ADR it loses nothing. */
Test(wpq, power_failure_with_and_without_adr)
{
    for (int adr = 0; adr < 2; adr++) {
        up(1, 1, 4096, 64);
        for (uint64_t k = 0; k < 16; k++) {
            frame_pmem(mem, pmem->base >> PAGE_SHIFT)->cur[k] = 1;
            imc_write(&node, pmem, k, 0);
        }
        ps_t half = imc_drained_ps(&node, 0) / 2;
        uint32_t survived = 0;
        imc_power_fail(&node, half, adr);
        for (uint64_t k = 0; k < 16; k++)
            survived += frame_pmem(mem, pmem->base >> PAGE_SHIFT)->media[k];
        if (adr)
            cr_expect_eq(survived, 16);
        else
            cr_expect(survived > 0 && survived < 16, "%u", survived);
        down();
    }
}

/* ---- what the channels of a node share ---- */

/* Whether a read of an idle channel at t waits for a refresh. */
static bool refreshes(uint32_t chan, ps_t t)
{
    struct dram *d = &node.chan[chan].dram;
    ps_t idle = (d->t.rcd + d->t.cl + d->t.burst + 1) * d->t.ck_ps;
    return dram_read(d, 0, t) - t > idle;
}

/* The channels of a controller refresh together, those of another at another time. */
Test(imc, channels_of_a_controller_refresh_together)
{
    up(2, 3, 256, 4);
    uint32_t n = 0;
    for (ps_t t = 10 * PS_PER_US; t < 60 * PS_PER_US; t += 200 * PS_PER_NS) {
        bool waits[6];
        for (uint32_t c = 0; c < 6; c++)
            waits[c] = refreshes(c, t);
        cr_assert(waits[1] == waits[0] && waits[2] == waits[0] && waits[4] == waits[3] && waits[5] == waits[3]);
        cr_assert(!waits[0] || !waits[3]);
        n += waits[0];
    }
    cr_expect(n >= 6 && n <= 3 * 7, "%u of 250 reads wait: six or seven refreshes of 350 ns", n);
    down();
}

/* Writes of any order enter the node at its rate; one that is asked for earlier than those before is not held up. */
Test(imc, a_node_takes_writes_at_a_rate)
{
    struct rng r;
    rng_init(&r, 1, "writes");
    up(2, 3, 256, 4);
    ps_t t = 10 * PS_PER_US, last = t;
    uint64_t n = 20000;
    for (uint64_t i = 0; i < n; i++)
        last =
            max_u64(last, imc_write(&node, dram, rng_below(&r, GIB / LINE_BYTES), max_u64(t, last - 500 * PS_PER_NS)));
    double rate = (double)(n * LINE_BYTES) * 1000 / (double)(last - t), most = (double)node.conf.write_rate / 1e9;
    cr_expect(rate < most * 1.01 && rate > most * 0.9, "%.1f GB/s of %.1f", rate, most);
    cr_expect_eq(imc_write(&node, dram, 0, t), t, "the past has room");
    down();
}

/* SPDX-License-Identifier: MIT */
#include "sim/imc/imc_int.h"

#include <stdlib.h>
#include <string.h>

/* DDR4-2666V (CL19) of 8 Gb x8 chips, two ranks a channel; times by JESD79-4B's tables of speed bins and core timings,
 * some given in clocks there and in nanoseconds of 0.75 here. The queue sizes are of the order that public descriptions
 * of server controllers give; they are knobs. Calibrated: front (idle latency), the watermarks and page_timeout (loaded
 * latency), the queue of writes (peak of non-temporal stores). */
#define K(field) offsetof(struct imc_conf, field)
const struct conf_key imc_keys[] = {
    {"controllers", CONF_UINT, K(n_imcs), "2", 1, 8, NULL, "memory controllers a node"},
    {"channels", CONF_UINT, K(n_channels), "3", 1, 8, NULL, "channels a controller"},
    {"interleave", CONF_SIZE, K(interleave_bytes), "256B", 64, 1 << 20, NULL,
     "consecutive bytes of DRAM on one channel"},
    {"pmem_interleave", CONF_SIZE, K(pmem_interleave_bytes), "4KiB", 64, 1 << 20, NULL,
     "consecutive bytes of persistent memory on one module (FAST'20: 4 KiB)"},
    {"front", CONF_TIME, K(front_ps), "3ns", 0, 0, NULL,
     "controller and on-die path of a read, both ways, beyond the last-level cache (calibrated: idle latency of Mess)"},
    {"curve", CONF_CHOICE, K(curve), "none", 0, 0, mem_curve_names,
     "DRAM follows a measured curve of latency over bandwidth instead of being simulated; the result says so"},
    {"curve_offset", CONF_TIME, K(curve_offset_ps), "23ns", 0, PS_PER_MS, NULL,
     "share of the curve's latency that is simulated elsewhere: between core and controller"},
    {"dram_timing", CONF_CHOICE, K(dram.level), "bank", 0, 0, dram_level_names,
     "bank: rows, banks and the bus, fast; command: every command by the data sheet, with gaps filled and refresh"},
    {"ranks", CONF_UINT, K(dram.ranks), "2", 1, DRAM_MAX_RANKS, NULL, "ranks a channel"},
    {"banks", CONF_UINT, K(dram.banks), "32", 1, DRAM_MAX_BANKS, NULL, "banks a channel, all ranks (two ranks of 16)"},
    {"row", CONF_SIZE, K(dram.row_bytes), "8KiB", 64, 1 << 20, NULL, "row buffer of a bank over all chips of a rank"},
    {"page_timeout", CONF_TIME, K(dram.page_ps), "50ns", 0, PS_PER_MS, NULL,
     "an open row not used for so long is closed; 0us: closed at once"},
    {"t_ck", CONF_TIME, K(dram.t_ck_ps), "750ps", 100, 10000, NULL,
     "memory clock; a line takes four: 64 B at 21.33 GB/s (DDR4-2666)"},
    {"t_cl", CONF_TIME, K(dram.t_cl_ps), "14.25ns", 0, PS_PER_US, NULL, "read to first data (CL19)"},
    {"t_cwl", CONF_TIME, K(dram.t_cwl_ps), "10.5ns", 0, PS_PER_US, NULL, "write to first data (CWL14)"},
    {"t_rcd", CONF_TIME, K(dram.t_rcd_ps), "14.25ns", 0, PS_PER_US, NULL, "activate to column command (19 clocks)"},
    {"t_rp", CONF_TIME, K(dram.t_rp_ps), "14.25ns", 0, PS_PER_US, NULL, "precharge (19 clocks)"},
    {"t_ras", CONF_TIME, K(dram.t_ras_ps), "32ns", 0, PS_PER_US, NULL, "activate to precharge"},
    {"t_rtp", CONF_TIME, K(dram.t_rtp_ps), "7.5ns", 0, PS_PER_US, NULL, "read to precharge"},
    {"t_wr", CONF_TIME, K(dram.t_wr_ps), "15ns", 0, PS_PER_US, NULL, "end of write data to precharge"},
    {"t_wtr", CONF_TIME, K(dram.t_wtr_ps), "7.5ns", 0, PS_PER_US, NULL,
     "end of write data to read of the same rank (tWTR_L, taken for all its bank groups)"},
    {"t_ccd_l", CONF_TIME, K(dram.t_ccd_l_ps), "5ns", 0, PS_PER_US, NULL,
     "between column commands of a bank group (of different ones: four clocks)"},
    {"t_rrd_s", CONF_TIME, K(dram.t_rrd_s_ps), "3ns", 0, PS_PER_US, NULL, "between activates of different bank groups"},
    {"t_rrd_l", CONF_TIME, K(dram.t_rrd_l_ps), "4.9ns", 0, PS_PER_US, NULL, "between activates of a bank group"},
    {"t_faw", CONF_TIME, K(dram.t_faw_ps), "21ns", 0, PS_PER_US, NULL, "no more than four activates of a rank in it"},
    {"t_rank", CONF_TIME, K(dram.t_rank_ps), "1.5ns", 0, PS_PER_US, NULL,
     "gap on the data bus between bursts of two ranks (two clocks, for the preamble)"},
    {"t_refi", CONF_TIME, K(dram.t_refi_ps), "7.8us", 0, PS_PER_MS, NULL, "refresh period; 0us: no refresh"},
    {"refresh", CONF_CHOICE, K(dram.refresh), "rank", 0, 0, dram_refresh_names,
     "all banks of a rank at once, or same-bank (DDR5): a quarter of them, each every t_refi, while the others go on"},
    {"t_rfc", CONF_TIME, K(dram.t_rfc_ps), "350ns", 0, PS_PER_US, NULL, "duration of a refresh (8 Gb)"},
    {"write_queue", CONF_UINT, K(dram.write_queue), "56", 1, DRAM_MAX_WRITES, NULL, "DRAM write queue slots a channel"},
    {"write_high", CONF_UINT, K(dram.write_high), "32", 1, DRAM_MAX_WRITES, NULL,
     "occupancy that starts a write batch"},
    {"write_low", CONF_UINT, K(dram.write_low), "16", 0, DRAM_MAX_WRITES, NULL,
     "occupancy at which a write batch ends"},
    {"write_rate", CONF_RATE, K(write_rate), "81GB/s", 0, 0, NULL,
     "lines of DRAM that a node's controllers take, all together; 0B/s: any (calibrated: 76.8 GB/s of non-temporal "
     "stores of 24 cores, in any order: OptaneStudy)"},
    {"wpq_entries", CONF_UINT, K(wpq_entries), "64", 1, 4096, NULL,
     "write-pending queue entries for persistent lines, a channel"},
    {"pmem_lines", CONF_UINT, K(pmem_lines), "26", 1, 1024, NULL,
     "lines that a controller has taken up for its persistent modules, in order, and as many again for each channel; "
     "those that wait outside are taken in no order (calibrated: bandwidth of one module over threads)"},
    {"wpq_accept", CONF_TIME, K(wpq_accept_ps), "3ns", 0, PS_PER_US, NULL,
     "a persistent line is taken so much later than one of DRAM (OptaneStudy: 3.5 ns of a non-temporal store, 5 ns of "
     "a CLWB; calibrated: fences every 256 B)"},
    {"wpq_transfer", CONF_TIME, K(wpq_transfer_ps), "5ns", 1, 0, NULL, "channel time to hand one line to the module"},
    {"flush_hints", CONF_BOOL, K(hints), "true", 0, 0, NULL,
     "the firmware describes a flush hint address for each controller"},
    {"hint_write", CONF_TIME, K(hint_ps), "100ns", 0, 0, NULL,
     "uncached write to a flush hint address, without the drain"},
    {0},
};
#undef K

const struct stat_desc chan_stat_desc[] = {
    {"reads", STAT_COUNT, "lines", "line reads (CAS_COUNT.RD)"},
    {"writes", STAT_COUNT, "lines", "line writes (CAS_COUNT.WR)"},
    {"wpq_inserts", STAT_COUNT, "lines", "persistent lines that took a WPQ entry (WPQ_INSERTS)"},
    {"wpq_full", STAT_COUNT, "lines", "persistent lines that waited for a WPQ entry (WPQ_CYCLES_FULL)"},
    {"wpq_peak", STAT_PEAK, "entries", "largest WPQ occupancy"},
};
STATS_COMPLETE(struct chan_stats, chan_stat_desc);

const struct stat_desc dram_stat_desc[] = {
    {"row_hits", STAT_COUNT, "lines", "reads and writes that found their row open"},
    {"row_misses", STAT_COUNT, "lines", "reads and writes that activated a row (ACT_COUNT)"},
    {"row_conflicts", STAT_COUNT, "lines", "of these, those for which another row was closed (PRE_COUNT.PAGE_MISS)"},
    {"write_drains", STAT_COUNT, "batches", "write batches (WRITE MAJOR MODE entered)"},
    {"drained", STAT_COUNT, "lines", "line writes that have left the write queue"},
    {"late", STAT_COUNT, "lines",
     "reads too far behind the channel's time to be placed, answered as by an idle channel"},
};
STATS_COMPLETE(struct dram_stats, dram_stat_desc);

const struct stat_desc imc_stat_desc[] = {
    {"hint_writes", STAT_COUNT, "1", "stores to the controller's flush hint address"},
    {"hint_wait_ps", STAT_COUNT, "ps", "time those stores waited for the drain"},
};
STATS_COMPLETE(struct imc_stats, imc_stat_desc);

static bool is_pow2(uint64_t v)
{
    return v && (v & (v - 1)) == 0;
}

int imc_init(struct node_imc *n, const struct imc_conf *conf, const struct nvdimm_conf *pmem, struct mem *mem,
             struct diag *d)
{
    const char *wrong = dram_conf_error(&conf->dram);
    if (wrong)
        return fail(d, "machine.imc: %s", wrong);
    if (!is_pow2(conf->interleave_bytes) || !is_pow2(conf->pmem_interleave_bytes))
        return fail(d, "machine.imc: interleave and pmem_interleave have to be powers of two");
    *n = (struct node_imc){.conf = *conf, .mem = mem, .n_chans = (uint32_t)(conf->n_imcs * conf->n_channels)};
    n->per_chan = UINT64_MAX / n->n_chans + 1;
    if (conf->write_rate)
        n->pace.burst_ps = PS_PER_S * IMC_PACED * LINE_BYTES / conf->write_rate;
    curve_init(&n->curve, conf->curve, conf->curve_offset_ps);
    n->chan = xaligned(64, n->n_chans * sizeof *n->chan);
    n->imc = xcalloc(conf->n_imcs, sizeof *n->imc);
    n->door = xcalloc(conf->n_imcs, sizeof *n->door);
    for (uint32_t c = 0; c < n->n_chans; c++) {
        dram_init(&n->chan[c].dram, &conf->dram, c / (uint32_t)conf->n_channels, (uint32_t)conf->n_imcs);
        if (c % conf->n_channels == 0)
            n->door[c / conf->n_channels] = nvdimm_door_new((uint32_t)(conf->pmem_lines * (1 + conf->n_channels)));
        nvdimm_init(&n->chan[c].module, pmem, n->door[c / conf->n_channels]);
        if (pmem->kind == NVDIMM_NONE)
            continue;
        n->chan[c].wpq = xcalloc(imc_wpq_ring(conf), sizeof(struct wpq_entry));
        n->chan[c].wpq_order = xcalloc(imc_wpq_ring(conf), sizeof(uint16_t));
        for (uint32_t i = 0; i < imc_wpq_ring(conf); i++)
            n->chan[c].wpq_order[i] = (uint16_t)i;
    }
    return 0;
}

void imc_fini(struct node_imc *n)
{
    for (uint32_t c = 0; c < n->n_chans; c++) {
        nvdimm_fini(&n->chan[c].module);
        free(n->chan[c].wpq);
        free(n->chan[c].wpq_order);
    }
    for (uint64_t i = 0; i < n->conf.n_imcs; i++)
        free(n->door[i]);
    free(n->door);
    free(n->chan);
    free(n->imc);
}

static uint32_t block_shift(const struct node_imc *n, enum mem_kind kind)
{
    uint64_t bytes = kind == MEM_PMEM ? n->conf.pmem_interleave_bytes : n->conf.interleave_bytes;
    return (uint32_t)__builtin_ctzll(bytes) - LINE_SHIFT;
}

/* Channels alternate between the controllers, so that neighbouring blocks use different ones. */
static uint32_t alternate(const struct node_imc *n, uint32_t way)
{
    uint32_t imcs = (uint32_t)n->conf.n_imcs, chans = (uint32_t)n->conf.n_channels;
    return way % imcs * chans + way / imcs;
}

/* block / n_chans: exact below 2^58, with at most 64 channels. */
static inline uint64_t divide(const struct node_imc *n, uint64_t block)
{
    return n->n_chans == 1 ? block : (uint64_t)((unsigned __int128)block * n->per_chan >> 64);
}

uint32_t imc_channel(const struct node_imc *n, enum mem_kind kind, uint64_t offset_lines, uint64_t *chan_line)
{
    uint32_t shift = block_shift(n, kind);
    uint64_t block = offset_lines >> shift, row = divide(n, block);
    *chan_line = row << shift | (offset_lines & ((1ull << shift) - 1));
    return alternate(n, (uint32_t)(block - row * n->n_chans));
}

uint64_t imc_offset(const struct node_imc *n, enum mem_kind kind, uint32_t chan, uint64_t chan_line)
{
    uint32_t shift = block_shift(n, kind), chans = (uint32_t)n->conf.n_channels;
    uint64_t way = (uint64_t)(chan % chans) * n->conf.n_imcs + chan / chans;
    uint64_t block = (chan_line >> shift) * n->n_chans + way;
    return block << shift | (chan_line & ((1ull << shift) - 1));
}

/* Lines of an NVDIMM-N lie in rows of their own, above those of the DRAM. */
#define PMEM_ROWS (1ull << 40)

ps_t imc_read(struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t)
{
    uint64_t chan_line;
    struct channel *c = &n->chan[imc_channel(n, r->kind, offset_lines, &chan_line)];
    c->stats.reads++;
    if (r->kind == MEM_PMEM && c->module.conf.kind == NVDIMM_OPTANE)
        return nvdimm_read(&c->module, (r->base >> LINE_SHIFT) + offset_lines, t) + n->conf.front_ps;
    if (unlikely(n->curve.curve != NULL) && r->kind == MEM_DRAM)
        return curve_access(&n->curve, t);
    return dram_read(&c->dram, r->kind == MEM_PMEM ? chan_line | PMEM_ROWS : chan_line, t) + n->conf.front_ps;
}

ps_t imc_hold_up(struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t, ps_t end_ps)
{
    uint64_t chan_line;
    struct channel *c = &n->chan[imc_channel(n, r->kind, offset_lines, &chan_line)];
    if (c->wpq_bus_free_ps > end_ps)
        return UINT64_MAX;
    t = max_u64(t, c->wpq_bus_free_ps); /* one after the other, behind all that is queued */
    c->stats.writes++;
    wpq_push(n, c, (r->base >> LINE_SHIFT) + offset_lines, t);
    return c->wpq_bus_free_ps;
}

uint64_t imc_back_up(struct node_imc *n, const struct mem_region *r, const struct nvdimm_backup *b)
{
    uint64_t end = (r->base + r->bytes) >> PAGE_SHIFT, saved_lines = b->saved_bytes >> LINE_SHIFT, lost = 0;
    uint64_t first = r->base >> LINE_SHIFT, chan_line;
    if (saved_lines == r->bytes / n->n_chans >> LINE_SHIFT)
        return 0;
    for (uint64_t mfn = pmem_next(n->mem, r->base >> PAGE_SHIFT, end); mfn < end; mfn = pmem_next(n->mem, mfn + 1, end))
        for (uint64_t line = mfn << (PAGE_SHIFT - LINE_SHIFT), k = 0; k < PAGE_BYTES / LINE_BYTES; k++, line++) {
            imc_channel(n, MEM_PMEM, line - first, &chan_line);
            lost += chan_line >= saved_lines && pmem_media_lose(n->mem, line);
        }
    return lost;
}

uint64_t imc_queued(struct node_imc *n, ps_t t)
{
    uint64_t lines = 0;
    imc_settle(n, t);
    for (uint32_t c = 0; c < n->n_chans; c++)
        lines += n->chan[c].wpq_n;
    return lines;
}

/* When a write that comes at t is on its way into a channel: IMC_PACED of them take their time, unless the first of
 * these came from a core whose clock is ahead. */
static ps_t paced(struct write_pace *p, ps_t t)
{
    uint64_t i = p->n++ % IMC_PACED;
    ps_t came = t;
    if (p->came_ps[i] <= t)
        t = max_u64(t, p->taken_ps[i] + p->burst_ps);
    p->came_ps[i] = came;
    p->taken_ps[i] = t;
    return t;
}

ps_t imc_write(struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t)
{
    uint64_t chan_line;
    struct channel *c = &n->chan[imc_channel(n, r->kind, offset_lines, &chan_line)];
    c->stats.writes++;
    if (r->kind == MEM_PMEM)
        return wpq_push(n, c, (r->base >> LINE_SHIFT) + offset_lines, t);
    if (unlikely(n->curve.curve != NULL)) {
        curve_access(&n->curve, t);
        return t;
    }
    return dram_write(&c->dram, chan_line, paced(&n->pace, t));
}

static void chan_state(struct node_imc *n, struct channel *ch, struct ckpt *c)
{
    CKPT_STRUCT(c, &ch->dram, CKPT_KEEP(struct dram, log), CKPT_KEEP(struct dram, log_ctx));
    if (ch->wpq) {
        ckpt_bytes(c, ch->wpq, imc_wpq_ring(&n->conf) * sizeof *ch->wpq);
        ckpt_bytes(c, ch->wpq_order, imc_wpq_ring(&n->conf) * sizeof *ch->wpq_order);
    }
    CKPT(c, ch->wpq_head);
    CKPT(c, ch->wpq_n);
    CKPT(c, ch->wpq_bus_free_ps);
    CKPT(c, ch->stats);
    nvdimm_state(&ch->module, c);
}

void imc_state(struct node_imc *n, struct ckpt *c)
{
    ckpt_section(c, "imc");
    ckpt_same(c, n->n_chans, "channels");
    CKPT(c, n->pace);
    CKPT_STRUCT(c, &n->curve, CKPT_KEEP(struct curve_state, curve));
    ckpt_bytes(c, n->imc, n->conf.n_imcs * sizeof *n->imc);
    for (uint64_t i = 0; i < n->conf.n_imcs && n->chan[0].wpq; i++)
        nvdimm_door_state(n->door[i], c);
    for (uint32_t i = 0; i < n->n_chans; i++)
        chan_state(n, &n->chan[i], c);
}

/* SPDX-License-Identifier: MIT */
#include "sim/imc/imc_int.h"

#include <stdlib.h>
#include <string.h>

/* DDR4-2666 CL19: 19 clocks of 0.75 ns for tCL, tRCD and tRP, four for a burst of eight, tRAS 32 ns (JESD79-4). The
 * queue sizes are of the order that public descriptions of server controllers give; they are knobs. */
#define K(field) offsetof(struct imc_conf, field)
const struct conf_key imc_keys[] = {
    {"controllers", CONF_UINT, K(n_imcs), "2", 1, 8, NULL, "memory controllers a node"},
    {"channels", CONF_UINT, K(n_channels), "3", 1, 8, NULL, "channels a controller"},
    {"interleave", CONF_SIZE, K(interleave_bytes), "256B", 64, 1 << 20, NULL,
     "consecutive bytes of DRAM on one channel"},
    {"pmem_interleave", CONF_SIZE, K(pmem_interleave_bytes), "4KiB", 64, 1 << 20, NULL,
     "consecutive bytes of persistent memory on one module (FAST'20: 4 KiB)"},
    {"front", CONF_TIME, K(front_ps), "25ns", 0, 0, NULL, "controller and on-die path of a read, both ways"},
    {"banks", CONF_UINT, K(banks), "32", 1, IMC_MAX_BANKS, NULL, "banks a channel, all ranks (two ranks of 16)"},
    {"row", CONF_SIZE, K(row_bytes), "8KiB", 64, 1 << 20, NULL, "row buffer of a bank over all chips of a rank"},
    {"t_rcd", CONF_TIME, K(t_rcd_ps), "14.25ns", 0, 0, NULL, "activate to read (DDR4-2666 CL19)"},
    {"t_rp", CONF_TIME, K(t_rp_ps), "14.25ns", 0, 0, NULL, "precharge (DDR4-2666 CL19)"},
    {"t_cl", CONF_TIME, K(t_cl_ps), "14.25ns", 0, 0, NULL, "read to first data (DDR4-2666 CL19)"},
    {"t_burst", CONF_TIME, K(t_burst_ps), "3ns", 1, 0, NULL, "one line on the data bus: 64 B at 21.33 GB/s"},
    {"t_ras", CONF_TIME, K(t_ras_ps), "32ns", 0, 0, NULL, "activate to precharge (JESD79-4)"},
    {"t_turn", CONF_TIME, K(t_turn_ps), "11.25ns", 0, 0, NULL,
     "bus turn-around of a write batch, both ways (tWTR and CAS gap)"},
    {"write_queue", CONF_UINT, K(write_queue), "48", 1, 1024, NULL, "DRAM write queue slots a channel"},
    {"write_high", CONF_UINT, K(write_high), "36", 1, 1024, NULL, "occupancy that starts a write batch"},
    {"write_low", CONF_UINT, K(write_low), "12", 0, 1024, NULL, "occupancy at which a write batch ends"},
    {"wpq_entries", CONF_UINT, K(wpq_entries), "64", 1, 4096, NULL,
     "write-pending queue entries for persistent lines, a channel"},
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
    {"row_hits", STAT_COUNT, "lines", "reads that found their row open"},
    {"row_misses", STAT_COUNT, "lines", "reads that activated a row"},
    {"write_drains", STAT_COUNT, "batches", "write batches (WRITE MAJOR MODE entered)"},
    {"wpq_inserts", STAT_COUNT, "lines", "persistent lines that took a WPQ entry (WPQ_INSERTS)"},
    {"wpq_merges", STAT_COUNT, "lines", "persistent lines that joined an entry not yet sent"},
    {"wpq_full", STAT_COUNT, "lines", "persistent lines that waited for a WPQ entry (WPQ_CYCLES_FULL)"},
    {"wpq_peak", STAT_PEAK, "entries", "largest WPQ occupancy"},
};
STATS_COMPLETE(struct chan_stats, chan_stat_desc);

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
    if (!is_pow2(conf->banks) || !is_pow2(conf->row_bytes) || !is_pow2(conf->interleave_bytes) ||
        !is_pow2(conf->pmem_interleave_bytes))
        return fail(d, "machine.imc: banks, row, interleave and pmem_interleave have to be powers of two");
    if (conf->write_low >= conf->write_high || conf->write_high > conf->write_queue)
        return fail(d, "machine.imc: expected write_low < write_high <= write_queue, found %llu, %llu, %llu",
                    (unsigned long long)conf->write_low, (unsigned long long)conf->write_high,
                    (unsigned long long)conf->write_queue);
    *n = (struct node_imc){.conf = *conf, .mem = mem, .n_chans = (uint32_t)(conf->n_imcs * conf->n_channels)};
    n->row_shift = (uint32_t)__builtin_ctzll(conf->row_bytes) - LINE_SHIFT;
    n->bank_mask = (uint32_t)conf->banks - 1;
    n->bank_shift = (uint32_t)__builtin_ctzll(conf->banks);
    n->chan = xaligned(64, n->n_chans * sizeof *n->chan);
    n->imc = xcalloc(conf->n_imcs, sizeof *n->imc);
    for (uint32_t c = 0; c < n->n_chans; c++) {
        memset(n->chan[c].open_row, 0xff, sizeof n->chan[c].open_row);
        nvdimm_init(&n->chan[c].module, pmem);
        if (pmem->kind != NVDIMM_NONE)
            n->chan[c].wpq = xcalloc(conf->wpq_entries, sizeof(struct wpq_entry));
    }
    return 0;
}

void imc_fini(struct node_imc *n)
{
    for (uint32_t c = 0; c < n->n_chans; c++) {
        nvdimm_fini(&n->chan[c].module);
        free(n->chan[c].wpq);
    }
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

uint32_t imc_channel(const struct node_imc *n, enum mem_kind kind, uint64_t offset_lines, uint64_t *chan_line)
{
    uint32_t shift = block_shift(n, kind);
    uint64_t block = offset_lines >> shift, row = block / n->n_chans;
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

ps_t imc_read(struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t)
{
    uint64_t chan_line;
    struct channel *c = &n->chan[imc_channel(n, r->kind, offset_lines, &chan_line)];
    c->stats.reads++;
    if (r->kind == MEM_PMEM && c->module.conf.kind == NVDIMM_OPTANE)
        return nvdimm_read(&c->module, (r->base >> LINE_SHIFT) + offset_lines, t) + n->conf.front_ps;
    return dram_line(n, c, chan_line, t) + n->conf.front_ps;
}

ps_t imc_write(struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t)
{
    uint64_t chan_line;
    struct channel *c = &n->chan[imc_channel(n, r->kind, offset_lines, &chan_line)];
    c->stats.writes++;
    if (r->kind == MEM_PMEM)
        return wpq_push(n, c, (r->base >> LINE_SHIFT) + offset_lines, t);
    return dram_write(n, c, t);
}

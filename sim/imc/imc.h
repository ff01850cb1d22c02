/* SPDX-License-Identifier: MIT */
/* Memory controllers. A node has n_imcs controllers of n_channels channels each; a channel has DDR4 ranks, and in a
 * machine with persistent memory one module behind a bounded write-pending queue (WPQ).
 *
 * Latency is returned: every request names the time at which it arrives and is answered with the time at which it is
 * done, from what banks, bus and queues have promised already. sim/imc/dram.h says how a channel of DDR4 does that.
 *
 * Persistence: a write-back of a persistent line is safe under ADR once the WPQ has taken it (the accept time), and
 * safe without ADR once it has left the WPQ (the media time). A flush hint write completes when everything that entered
 * the controller's WPQs before it has left them. */
#ifndef QUIRE_IMC_IMC_H
#define QUIRE_IMC_IMC_H

#include "sim/base/conf.h"
#include "sim/base/hist.h"
#include "sim/base/stats.h"
#include "sim/base/types.h"
#include "sim/imc/curve.h"
#include "sim/imc/dram.h"
#include "sim/mem/mem.h"
#include "sim/nvdimm/nvdimm.h"

struct imc_conf {
    uint64_t n_imcs;           /* controllers a node */
    uint64_t n_channels;       /* channels a controller */
    uint64_t interleave_bytes; /* consecutive bytes of DRAM on one channel */
    uint64_t pmem_interleave_bytes;
    uint64_t write_rate; /* bytes/s that all of them take from caches and cores; 0: any */
    uint64_t front_ps;   /* controller pipeline and on-die path of a read, both ways */
    uint64_t curve;      /* index into mem_curve_names; 0: the channels are simulated */
    uint64_t curve_offset_ps;
    struct dram_conf dram;
    uint64_t wpq_entries;     /* persistent writes a channel */
    uint64_t pmem_lines;      /* taken up by a controller for its modules, and as many for each channel */
    uint64_t wpq_accept_ps;   /* a persistent line is taken so much later than one of DRAM */
    uint64_t wpq_transfer_ps; /* channel time to send one line to the module */
    uint64_t hints;           /* 1: the host describes flush hint addresses */
    uint64_t hint_ps;         /* uncached write to a hint address, without the drain */
};
extern const struct conf_key imc_keys[];

struct chan_stats {
    uint64_t reads, writes;
    uint64_t wpq_inserts, wpq_full, wpq_peak;
};
extern const struct stat_desc chan_stat_desc[];
#define CHAN_N_STATS (sizeof(struct chan_stats) / sizeof(uint64_t))
extern const struct stat_desc dram_stat_desc[];
#define DRAM_N_STATS (sizeof(struct dram_stats) / sizeof(uint64_t))

struct imc_stats {
    uint64_t hint_writes, hint_wait_ps;
};
extern const struct stat_desc imc_stat_desc[];
#define IMC_N_STATS (sizeof(struct imc_stats) / sizeof(uint64_t))

struct wpq_entry {
    uint64_t line;
    ps_t arrive_ps, accept_ps, start_ps, media_ps; /* start: when the module may begin to take it */
    uint32_t version;
    bool has_data;
    uint8_t data[LINE_BYTES];
};

struct channel {
    struct dram dram;
    struct wpq_entry *wpq; /* all that is not on the media yet; NULL without a persistent module */
    uint16_t *wpq_order;   /* ring: slots of wpq in the order of arrival, then those that are free */
    uint32_t wpq_head, wpq_n;
    ps_t wpq_bus_free_ps;
    struct nvdimm module;
    struct chan_stats stats;
};

/* The way of writes into a node's controllers: the last ones, by number. */
#define IMC_PACED 64u
struct write_pace {
    ps_t burst_ps; /* what IMC_PACED writes take; 0: any number at once */
    uint64_t n;
    ps_t came_ps[IMC_PACED], taken_ps[IMC_PACED];
};

/* The controllers of one node. */
struct node_imc {
    struct imc_conf conf;
    struct mem *mem;
    uint32_t n_chans;  /* n_imcs * n_channels */
    uint64_t per_chan; /* 2^64 / n_chans, rounded up: division by multiplication */
    struct write_pace pace;
    struct curve_state curve; /* of its DRAM */
    struct channel *chan;
    struct imc_stats *imc;     /* n_imcs of them */
    struct nvdimm_door **door; /* of each controller: what waits for its modules */
    ps_t asked_ps;             /* a write under way that was asked for earlier than it comes: when; else 0 */
};

/* mem is where lines of persistent regions become durable. */
int imc_init(struct node_imc *n, const struct imc_conf *conf, const struct nvdimm_conf *pmem, struct mem *mem,
             struct diag *d);
void imc_fini(struct node_imc *n);

/* Channel of a line, from its offset in lines inside the region: a bijection of (channel, line in the channel). */
uint32_t imc_channel(const struct node_imc *n, enum mem_kind kind, uint64_t offset_lines, uint64_t *chan_line);
/* The inverse of imc_channel. */
uint64_t imc_offset(const struct node_imc *n, enum mem_kind kind, uint32_t chan, uint64_t chan_line);

/* Read of a line: when its data is back at the node. offset_lines is relative to region r. */
ps_t imc_read(struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t);
/* Write-back or non-temporal store: when the controller has taken it. */
ps_t imc_write(struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t);

/* When the WPQ entry of a persistent line has room, if one is still waiting at t; else t. */
ps_t imc_accepted_ps(const struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t);

/* A store to a flush hint address of controller imc at t: when all persistent writes that its WPQs took before t are on
 * media. */
ps_t imc_hint_write(struct node_imc *n, uint32_t imc, ps_t t);
/* The same instant without a write: for combining and for tests. */
ps_t imc_drained_ps(const struct node_imc *n, uint32_t imc);

/* Newest version of the line that the WPQs would still bring to the media if power failed at t; 0 if none. adr: entries
 * accepted by t count, else only those that have left the queue by t. */
uint32_t imc_queued_version(const struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t,
                            bool adr);

/* Moves to the media what has left the WPQs by t. */
void imc_settle(struct node_imc *n, ps_t t);
/* Power fails at t. adr: the WPQs are drained by hold-up energy; else what has not left them by t is lost. How many
 * lines were lost. */
uint64_t imc_power_fail(struct node_imc *n, ps_t t, bool adr);
/* Lines in the WPQs and waiting for them that are not on the media at t. */
uint64_t imc_queued(struct node_imc *n, ps_t t);
/* When the last of the lines that imc_power_fail(t, adr) will save is on the media; 0 if there is none. */
ps_t imc_last_ps(const struct node_imc *n, ps_t t, bool adr);
/* A dirty persistent line that the caches give up after a power failure at t, behind everything that its channel took
 * before: when the media has it. With power until end_ps only: a later answer means that imc_power_fail(end_ps) will
 * lose it; UINT64_MAX: the channel has more than it can do already, and the line was not sent. */
ps_t imc_hold_up(struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t, ps_t end_ps);

/* The NVDIMM-Ns of a node back themselves up after a power failure; lines (if the media had them) that the energy did
 * not last for. r: the node's persistent region. */
uint64_t imc_back_up(struct node_imc *n, const struct mem_region *r, const struct nvdimm_backup *b);

/* Entries that a channel's write-pending queue can hold, with those that wait for room. */
uint64_t imc_wpq_places(const struct node_imc *n);

/* Queues, banks, modules and counters, for a checkpoint. */
void imc_state(struct node_imc *n, struct ckpt *c);

#endif

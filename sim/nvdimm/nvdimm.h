/* SPDX-License-Identifier: MIT */
/* One persistent module behind a channel. An Optane-class module moves 256-byte XPLines: reads pass a small read
 * buffer, writes gather in a write-combining buffer (XPBuffer) whose eviction writes the media. An NVDIMM-N is DRAM
 * with a backup and has no timing of its own (numbers.md row 67): the controller times it as a DRAM bank. */
#ifndef QUIRE_NVDIMM_NVDIMM_H
#define QUIRE_NVDIMM_NVDIMM_H

#include "sim/base/conf.h"
#include "sim/base/stats.h"
#include "sim/base/types.h"

enum nvdimm_kind { NVDIMM_NONE, NVDIMM_N, NVDIMM_OPTANE };

#define XPLINE_SHIFT 8 /* 256 bytes */

/* Every field is 8 bytes wide: conf_bind fills it. */
struct nvdimm_conf {
    uint64_t kind;          /* enum nvdimm_kind */
    uint64_t size_bytes;    /* of one module */
    uint64_t read_hit_ps;   /* module's share of a read that hits the read buffer */
    uint64_t read_media_ps; /* module's share of a read that goes to the media */
    uint64_t read_rate;     /* media read bandwidth, bytes/s */
    uint64_t write_rate;    /* media write bandwidth, bytes/s */
    uint64_t read_buffer;   /* XPLines */
    uint64_t write_buffer;  /* XPLines */
};
extern const struct conf_key nvdimm_keys[];

struct nvdimm_stats {
    uint64_t reads, writes;             /* 64-byte requests */
    uint64_t media_reads, media_writes; /* 256-byte XPLines */
    uint64_t read_buffer_hits, write_buffer_hits;
    uint64_t partial_evictions; /* XPLines written back with some lines missing: read-modify-write */
};
extern const struct stat_desc nvdimm_stat_desc[];
#define NVDIMM_N_STATS (sizeof(struct nvdimm_stats) / sizeof(uint64_t))

struct xpbuffer_slot {
    uint64_t xpline; /* ~0: free */
    ps_t free_ps;    /* when its last eviction has left for the media */
    uint32_t mask;   /* which of the four lines were written */
};

struct nvdimm {
    struct nvdimm_conf conf;
    ps_t xpline_read_ps, xpline_write_ps; /* media time of one XPLine */
    ps_t media_read_free_ps, media_write_free_ps;
    uint64_t *read_tag; /* FIFO of XPLines */
    uint32_t read_at;
    struct xpbuffer_slot *slot; /* FIFO: the oldest XPLine is evicted first */
    uint32_t slot_at;
    struct nvdimm_stats stats;
};

void nvdimm_init(struct nvdimm *n, const struct nvdimm_conf *conf);
void nvdimm_fini(struct nvdimm *n);
/* A read of a line (host line number) that reaches the module at t: when its data leaves. */
ps_t nvdimm_read(struct nvdimm *n, uint64_t line, ps_t t);
/* A write that the controller could send at t: when the module has taken it (its buffers are power-safe). */
ps_t nvdimm_write(struct nvdimm *n, uint64_t line, ps_t t);

#endif

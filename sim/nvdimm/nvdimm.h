/* SPDX-License-Identifier: MIT */
/* One persistent module behind a channel. An NVDIMM-N is DRAM with a backup and has no timing of its own (numbers.md
 * row 67): the controller times it as a DRAM bank. An Optane-class module is built from these parts, after what Yang et
 * al. (FAST'20), Wang et al. (LENS, MICRO'20) and Xiang et al. (EuroSys'22) found by measuring it:
 *
 *   load/store queue   64 lines that gather the lines of one 256-byte XPLine into one request. A line that is written
 *                      again starts another request. It is a ring: lines that left with an older neighbour keep their
 *                      place until all before them are gone. Complete XPLines leave when the pipeline is free; when
 *                      the ring is full the oldest leaves, complete or not.
 *   pipeline           takes one XPLine request after the other, at the media's write rate, whether whole or partial:
 *                      that is why 64-byte random writes reach a quarter of the bandwidth.
 *   XPBuffer           partial XPLines wait here for the rest. Whole ones go to the media; a victim, drawn at random,
 *                      is read, merged and written back.
 *   read buffer        XPLines read from the media, random replacement; a run of XPLines in ascending order fetches the
 *                      next one ahead, within 4 KiB.
 *   AIT buffer         translations of 4 KiB granules; a read outside of it pays for one more media access.
 *   wear levelling     a 64 KiB block that takes most of the writes for long is moved, which stalls the pipeline.
 *
 * Everything is O(1) a request. Requests may come a little out of time order; queues then answer as if the earlier call
 * had come first. */
#ifndef QUIRE_NVDIMM_NVDIMM_H
#define QUIRE_NVDIMM_NVDIMM_H

#include "sim/base/conf.h"
#include "sim/base/stats.h"
#include "sim/base/types.h"
#include "sim/nvdimm/assoc.h"

enum nvdimm_kind { NVDIMM_NONE, NVDIMM_N, NVDIMM_OPTANE };
enum nvdimm_supercap { SUPERCAP_ENOUGH, SUPERCAP_TIME };

#define XPLINE_SHIFT 8 /* 256 bytes */
#define XPLINE_WHOLE 15u

/* Every field is 8 bytes wide: conf_bind fills it. */
struct nvdimm_conf {
    uint64_t kind;          /* enum nvdimm_kind */
    uint64_t size_bytes;    /* of one module */
    uint64_t read_hit_ps;   /* module's share of a read that hits one of its buffers */
    uint64_t read_media_ps; /* module's share of a read that goes to the media */
    uint64_t ait_miss_ps;   /* and more if its translation is not buffered */
    uint64_t read_rate;     /* media read bandwidth, bytes/s */
    uint64_t write_rate;    /* media write bandwidth, bytes/s */
    uint64_t queue_lines;   /* load/store queue, lines */
    uint64_t read_buffer;   /* XPLines */
    uint64_t write_buffer;  /* XPLines */
    uint64_t ait_buffer;    /* 4 KiB granules */
    uint64_t wear_writes;   /* XPLine requests to one block that move it; 0: never */
    uint64_t wear_window;   /* XPLine requests to the module after which a block is counted anew */
    uint64_t wear_stall_ps; /* how long a move stops the pipeline */
    /* NVDIMM-N */
    uint64_t save_rate, restore_rate; /* of its flash, bytes/s */
    uint64_t supercap;                /* enum nvdimm_supercap */
    uint64_t supercap_ps;             /* how long it lasts */
};
extern const struct conf_key nvdimm_keys[];

struct nvdimm_stats {
    uint64_t reads, writes;             /* 64-byte requests */
    uint64_t media_reads, media_writes; /* 256-byte XPLines */
    uint64_t read_buffer_hits, write_buffer_hits, prefetches;
    uint64_t ait_misses;
    uint64_t requests;          /* XPLine requests that the load/store queue made of the writes */
    uint64_t partial_evictions; /* XPLines written back with some lines missing: read-modify-write */
    uint64_t queue_full;        /* writes that waited for room in the load/store queue */
    uint64_t queue_peak;
    uint64_t wear_moves;
};
extern const struct stat_desc nvdimm_stat_desc[];
#define NVDIMM_N_STATS (sizeof(struct nvdimm_stats) / sizeof(uint64_t))

/* Lines of one XPLine in the load/store queue. */
struct lsq_group {
    uint64_t xpline;
    uint64_t first; /* number of its first line in the order of arrival */
    ps_t ready_ps;  /* when it was complete, or closed because a line was written again; ~0: it still gathers */
    ps_t free_ps;   /* when the pipeline has taken it; ~0: it was not told to yet */
    uint32_t mask;  /* which of the four lines */
    struct {
        uint32_t next, prev;
    } link[2];
};
enum { LSQ_ORDER, LSQ_STATE };
struct lsq_list {
    uint32_t head, tail;
};

struct wear_count {
    uint64_t block, since, writes; /* since: number of the module's XPLine request */
};
#define WEAR_COUNTS  256u
#define READ_STREAMS 16u

struct nvdimm {
    struct nvdimm_conf conf;
    ps_t xpline_read_ps, xpline_write_ps; /* media time of one XPLine */
    ps_t media_read_free_ps, pipe_free_ps;
    /* Load/store queue. order: all groups, by the time of their first lines. By state: ready, those that no longer
     * gather; sent, those that the pipeline takes, in its order; unused. */
    struct lsq_group *group;
    struct lsq_list order, ready, sent, unused;
    struct assoc gathering; /* XPLine -> slot of slot_group */
    uint32_t *slot_group;
    uint64_t n_lines; /* that ever arrived */
    struct assoc read_buffer;
    ps_t *read_ready_ps; /* when the XPLine is in the read buffer */
    struct assoc write_buffer;
    uint8_t *write_mask; /* lines of the XPLine that the XPBuffer has */
    struct assoc ait;
    uint64_t stream[READ_STREAMS]; /* last XPLine read, by 4 KiB granule */
    struct wear_count wear[WEAR_COUNTS];
    struct nvdimm_stats stats;
};

void nvdimm_init(struct nvdimm *n, const struct nvdimm_conf *conf);
void nvdimm_fini(struct nvdimm *n);
/* A read of a line (host line number) that reaches the module at t: when its data leaves. */
ps_t nvdimm_read(struct nvdimm *n, uint64_t line, ps_t t);
/* A write that the controller could send at t: when the module has taken it (its buffers are power-safe). */
ps_t nvdimm_write(struct nvdimm *n, uint64_t line, ps_t t);

/* What an NVDIMM-N brings to its flash on its supercapacitor after the power has failed: the module from its first byte
 * on, at save_rate, until it is whole or the supercapacitor is empty; the rest is lost. When the power is back it is
 * restored at restore_rate. */
struct nvdimm_backup {
    uint64_t saved_bytes;
    ps_t save_ps, restore_ps;
};
struct nvdimm_backup nvdimm_backup(const struct nvdimm_conf *conf);
void nvdimm_state(struct nvdimm *n, struct ckpt *c);

#endif

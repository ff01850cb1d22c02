/* SPDX-License-Identifier: MIT */
/* One persistent module behind a channel. An NVDIMM-N is DRAM with a backup and has no timing of its own (numbers.md
 * row 67): the controller times it as a DRAM bank. An Optane-class module is built from these parts, after what Yang et
 * al. (FAST'20), Wang et al. (LENS, MICRO'20) and Xiang et al. (EuroSys'22) found by measuring it:
 *
 *   front              lines that wait for the module. Beyond what the controller's write-pending queues hold they are
 *                      in the queues of the LLC slices and the mesh, and which of them comes next is a matter of
 * chance: many streams arrive with the lines of their XPLines torn apart, and that is what makes a module slower with
 * more threads. load/store queue   64 lines that gather the lines of one 256-byte XPLine into one request. A line that
 * is written again starts another request. It is a ring: lines that left with an older neighbour keep their place until
 * all before them are gone. Complete XPLines leave when the pipeline is free; when the ring is full and a line waits
 * the oldest leaves, complete or not. pipeline           takes one XPLine request after the other and looks its
 * translation up. XPBuffer           partial XPLines wait here for the rest. Whole ones go to the media; a victim,
 * drawn at random, is read, merged and written back. read buffer        XPLines read from the media, first in, first
 * out; behind a run of XPLines in ascending order the next one is fetched ahead, within 4 KiB, while the media is free.
 *   AIT buffer         translations of 4 KiB granules; a read outside of it pays for one more media access.
 *   media              one XPLine after the other. Writes come in batches; reads that arrived meanwhile go between two
 *                      batches.
 *   wear levelling     a 64 KiB block that takes most of the writes for long is moved, which stalls the pipeline; and
 *                      every so many writes one XPLine is copied elsewhere.
 *
 * Answers are promises: what waits is worked off when the next request tells how late it is. A line that waits in front
 * of a busy module is promised the time that as many lines ahead of it take on average.
 *
 * Flushes are asked for ahead of time: a write that names a time beyond the latest reads' waits until time has come
 * there.
 *
 * Everything is O(1) a request. Requests may come a little out of time order; queues then answer as if the earlier call
 * had come first. */
#ifndef QUIRE_NVDIMM_NVDIMM_H
#define QUIRE_NVDIMM_NVDIMM_H

#include "sim/base/conf.h"
#include "sim/base/heap.h"
#include "sim/base/stats.h"
#include "sim/base/types.h"
#include "sim/nvdimm/assoc.h"

enum nvdimm_kind { NVDIMM_NONE, NVDIMM_N, NVDIMM_OPTANE };
enum nvdimm_supercap { SUPERCAP_ENOUGH, SUPERCAP_TIME };

#define XPLINE_SHIFT 8 /* 256 bytes */
#define XPLINE_WHOLE 15u
#define XPLINE_READ  16u /* beside the mask of lines: the read buffer has the others */

/* Every field is 8 bytes wide: conf_bind fills it. */
struct nvdimm_conf {
    uint64_t kind;          /* enum nvdimm_kind */
    uint64_t size_bytes;    /* of one module */
    uint64_t read_hit_ps;   /* module's share of a read that hits one of its buffers */
    uint64_t read_media_ps; /* module's share of a read that goes to the media */
    uint64_t ait_miss_ps;   /* and more if its translation is not buffered */
    uint64_t read_rate;     /* media read bandwidth, bytes/s */
    uint64_t write_rate;    /* media write bandwidth, bytes/s */
    uint64_t request_ps;    /* pipeline time of one XPLine request */
    uint64_t write_batch;   /* XPLines that the media writes in a row */
    uint64_t queue_lines;   /* load/store queue, lines */
    uint64_t read_buffer;   /* XPLines */
    uint64_t write_buffer;  /* XPLines */
    uint64_t ait_buffer;    /* 4 KiB granules */
    uint64_t wear_writes;   /* XPLine requests to one block that move it; 0: never */
    uint64_t wear_window;   /* XPLine requests to the module after which a block is counted anew */
    uint64_t wear_stall_ps; /* how long a move stops the pipeline */
    uint64_t wear_copy;     /* media writes to one that copies an XPLine elsewhere; 0: never */
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
    uint64_t reads_waited; /* reads that waited for room in the load/store queue */
    uint64_t wear_moves;
    uint64_t wear_copies; /* among the media writes */
};
extern const struct stat_desc nvdimm_stat_desc[];
#define NVDIMM_N_STATS (sizeof(struct nvdimm_stats) / sizeof(uint64_t))

/* Lines of one XPLine in the load/store queue. */
struct lsq_group {
    uint64_t xpline;
    uint64_t first;   /* number of its first line in the order of arrival */
    ps_t ready_ps;    /* when it was complete, or closed because a line was written again */
    uint32_t mask;    /* which of the four lines */
    uint32_t gathers; /* 1: it may still take lines */
    struct {
        uint32_t next, prev;
    } link[2];
};
enum { LSQ_ORDER, LSQ_STATE };
struct lsq_list {
    uint32_t head, tail;
};

/* Lines that wait in front of the load/store queue. */
#define FRONT_LINES 1024u
struct front {
    uint64_t line[FRONT_LINES], order[FRONT_LINES], n_ever; /* order of arrival: of reads */
    uint32_t n, head;
    ps_t since_ps; /* since when the next one waits */
    ps_t last_ps;  /* when the last one went in: of writes; of reads, until when the media was busy then */
    ps_t each_ps;  /* time between two that go in, a moving mean */
};

/* The write-pending queues of one controller, which all its modules share: `room` lines that wait for their modules.
 * Others wait outside and are let in as places become free, in no order: a module that is slow holds up the rest. */
#define DOOR_MODULES 8u
struct nvdimm_door {
    struct nvdimm *module[DOOR_MODULES];
    uint32_t n_modules, room, n_inside, n;
    uint64_t line[FRONT_LINES]; /* that wait outside */
    uint8_t to[FRONT_LINES];    /* their modules */
    uint64_t seq[FRONT_LINES], n_ever;
    uint64_t random;
    ps_t last_ps, each_ps; /* when the last one was let in; the mean time between two */
};

struct wear_count {
    uint64_t block, since, writes; /* since: number of the module's XPLine request */
};
#define WEAR_COUNTS  256u
#define READ_STREAMS 16u
#define READ_QUEUE   46u

/* XPLine and how many before it were read in ascending order. */
struct read_stream {
    uint64_t last, length;
};

struct nvdimm {
    struct nvdimm_conf conf;
    ps_t xpline_read_ps, xpline_write_ps; /* media time of one XPLine */
    struct nvdimm_door *door;
    uint32_t door_index;
    uint64_t random;
    struct front writes, reads;
    struct heap coming;  /* writes that will be there at a time that has not come */
    ps_t coming_last_ps; /* the latest of them */
    /* Load/store queue. order: all groups, by the time of their first lines. By state: ready, those that no longer
     * gather; unused. */
    struct lsq_group *group;
    struct lsq_list order, ready, unused;
    struct assoc gathering; /* XPLine -> slot of slot_group */
    uint32_t *slot_group;
    uint64_t n_lines; /* that ever arrived */
    /* Pipeline. Blocked: the request that it holds waits for room in the next batch. */
    ps_t pipe_free_ps;
    bool is_blocked, is_pressed;
    ps_t blocked_write_ps; /* media time of that request */
    /* Media: when it can take a read; the batch that gathers. */
    ps_t media_free_ps, batch_end_ps, batch_ready_ps, batch_ps;
    uint32_t batch_n;
    uint64_t copy_n; /* media writes since the last copy */
    struct assoc read_buffer;
    ps_t *read_ready_ps;                     /* when the XPLine is in the read buffer */
    ps_t read_leaves_ps[READ_QUEUE];         /* reads in the load/store queue: when they leave it, a ring */
    uint32_t read_next;                      /* oldest of them */
    struct read_stream stream[READ_STREAMS]; /* by 4 KiB granule */
    struct assoc write_buffer;
    uint8_t *write_mask; /* lines of the XPLine that the XPBuffer has */
    struct assoc ait;
    struct wear_count wear[WEAR_COUNTS];
    struct nvdimm_stats stats;
};

/* The door is that of its controller, and may be shared; the caller frees it after the last of its modules. The module
 * stays where it is. */
void nvdimm_init(struct nvdimm *n, const struct nvdimm_conf *conf, struct nvdimm_door *door);
/* room: lines inside, at least 1. */
struct nvdimm_door *nvdimm_door_new(uint32_t room);
void nvdimm_fini(struct nvdimm *n);
/* A read of a line (host line number) that reaches the module at t: when its data leaves. */
ps_t nvdimm_read(struct nvdimm *n, uint64_t line, ps_t t);
/* A write, asked for now, that waits for the module from t on: when the module has taken it (its buffers are
 * power-safe). */
ps_t nvdimm_write(struct nvdimm *n, uint64_t line, ps_t now, ps_t t);

/* What an NVDIMM-N brings to its flash on its supercapacitor after the power has failed: the module from its first byte
 * on, at save_rate, until it is whole or the supercapacitor is empty; the rest is lost. When the power is back it is
 * restored at restore_rate. */
struct nvdimm_backup {
    uint64_t saved_bytes;
    ps_t save_ps, restore_ps;
};
struct nvdimm_backup nvdimm_backup(const struct nvdimm_conf *conf);
/* For a checkpoint. The door's is its own. */
void nvdimm_state(struct nvdimm *n, struct ckpt *c);
void nvdimm_door_state(struct nvdimm_door *door, struct ckpt *c);

#endif

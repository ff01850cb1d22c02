/* SPDX-License-Identifier: MIT */
#include "sim/nvdimm/nvdimm_int.h"

#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"none", "nvdimm-n", "optane", NULL};
static const char *const supercaps[] = {"enough", "time", NULL};

/* Defaults: one 256 GB Optane DC module of the first generation. Calibrated on numbers.md rows 41 (idle latencies; the
 * core's and controller's share of about 76 ns is taken off), 53 (bandwidths), 44 (an AIT miss), 48 (XPBuffer) and 61
 * (wear); the other buffer sizes are those that LENS names. The rest is prediction. */
#define K(field) offsetof(struct nvdimm_conf, field)
const struct conf_key nvdimm_keys[] = {
    {"kind", CONF_CHOICE, K(kind), "none", 0, 0, kinds, "persistent module of each channel"},
    {"size", CONF_SIZE, K(size_bytes), "256GiB", GIB, 0, NULL, "capacity of one module"},
    {"read_hit", CONF_TIME, K(read_hit_ps), "96ns", 0, 0, NULL,
     "module's share of a read that hits one of its buffers (FAST'20: 169 ns end to end)"},
    {"read_media", CONF_TIME, K(read_media_ps), "227ns", 0, 0, NULL,
     "module's share of a read from the media (FAST'20: 305 ns end to end)"},
    {"ait_miss", CONF_TIME, K(ait_miss_ps), "66ns", 0, 0, NULL,
     "more for a read whose translation is not buffered (LENS: 379 against 313 ns)"},
    {"read_rate", CONF_RATE, K(read_rate), "6.5GB/s", 1000000, 0, NULL, "media read bandwidth of one module (FAST'20)"},
    {"write_rate", CONF_RATE, K(write_rate), "2.27GB/s", 1000000, 0, NULL,
     "media write bandwidth of one module, with its own copies (FAST'20: 2.22 GB/s at an effective write ratio of "
     ".98)"},
    {"request", CONF_TIME, K(request_ps), "118.2ns", 0, PS_PER_MS, NULL,
     "pipeline time of one XPLine request: its translation comes from the module's DRAM (LENS, as ait_miss)"},
    {"write_batch", CONF_UINT, K(write_batch), "3", 1, 64, NULL, "XPLines that the media writes in a row"},
    {"queue", CONF_UINT, K(queue_lines), "64", 4, 4096, NULL, "load/store queue in lines (4 KiB, LENS)"},
    {"read_buffer", CONF_UINT, K(read_buffer), "65", 1, 1 << 20, NULL,
     "read buffer in 256-byte XPLines: the 16 KiB of LENS and EuroSys'22, and one (calibrated: reads of 24 threads)"},
    {"write_buffer", CONF_UINT, K(write_buffer), "41", 1, 1 << 20, NULL,
     "XPBuffer in 256-byte XPLines: with the queue it holds the 18 KiB behind which OptaneStudy's write amplification "
     "rises"},
    {"ait_buffer", CONF_UINT, K(ait_buffer), "4096", 1, 1 << 24, NULL,
     "address-indirection buffer in 4 KiB granules (16 MiB, LENS)"},
    {"wear_writes", CONF_UINT, K(wear_writes), "14000", 0, 0, NULL,
     "256-byte writes to one 64 KiB block that make the module move it (VANS' overwrite samples); 0: never"},
    {"wear_window", CONF_UINT, K(wear_window), "20000", 1, 0, NULL,
     "256-byte writes to the module after which a block is counted anew (the tail ends between hot sets of 64 and 128 "
     "KiB)"},
    {"wear_stall", CONF_TIME, K(wear_stall_ps), "52us", 0, 0, NULL, "how long a move stops writes (the same samples)"},
    {"wear_copy", CONF_UINT, K(wear_copy), "64", 0, 0, NULL,
     "media writes to one that copies an XPLine elsewhere (an effective write ratio of .98: OptaneStudy); 0: never"},
    {"save_rate", CONF_RATE, K(save_rate), "250MB/s", 1000000, 0, NULL,
     "nvdimm-n: flash bandwidth of the save after a power failure (row 68: tens of seconds for 8 GB)"},
    {"restore_rate", CONF_RATE, K(restore_rate), "450MB/s", 1000000, 0, NULL,
     "nvdimm-n: flash bandwidth when the power is back (row 68: a bit over half of the save's time)"},
    {"supercap", CONF_CHOICE, K(supercap), "enough", 0, 0, supercaps,
     "nvdimm-n: what its supercapacitor lasts for: the whole save, or a time; the module's tail is lost then"},
    {"supercap_time", CONF_TIME, K(supercap_ps), "40s", 0, 0, NULL, "that time (a knob: 8 GiB take 34 s at save_rate)"},
    {0},
};
#undef K

const struct stat_desc nvdimm_stat_desc[] = {
    {"reads", STAT_COUNT, "requests", "64-byte reads that reached the module"},
    {"writes", STAT_COUNT, "requests", "64-byte writes that reached the module"},
    {"media_reads", STAT_COUNT, "xplines", "256-byte reads of the media"},
    {"media_writes", STAT_COUNT, "xplines", "256-byte writes of the media"},
    {"read_buffer_hits", STAT_COUNT, "requests", "reads served by one of the module's buffers"},
    {"write_buffer_hits", STAT_COUNT, "requests", "XPLine requests that joined an XPLine already buffered"},
    {"prefetches", STAT_COUNT, "xplines", "media reads ahead of an ascending run"},
    {"ait_misses", STAT_COUNT, "xplines", "media reads whose translation was not buffered"},
    {"requests", STAT_COUNT, "xplines", "XPLine requests that the load/store queue made of the writes"},
    {"partial_evictions", STAT_COUNT, "xplines", "evicted XPLines that needed a read-modify-write"},
    {"queue_full", STAT_COUNT, "requests", "writes that waited for room in the load/store queue"},
    {"queue_peak", STAT_PEAK, "lines", "largest occupancy of the load/store queue"},
    {"reads_waited", STAT_COUNT, "requests", "reads that waited for room in the load/store queue"},
    {"wear_moves", STAT_COUNT, "blocks", "64 KiB blocks moved by wear levelling"},
    {"wear_copies", STAT_COUNT, "xplines", "media writes that copied an XPLine elsewhere"},
};
STATS_COMPLETE(struct nvdimm_stats, nvdimm_stat_desc);

#define READ_RUN 1u /* XPLines before this one that make a run */

void nvdimm_init(struct nvdimm *n, const struct nvdimm_conf *conf, struct nvdimm_door *door)
{
    *n = (struct nvdimm){.conf = *conf, .random = 1};
    if (conf->kind != NVDIMM_OPTANE)
        return;
    n->xpline_read_ps = PS_PER_S * 256 / conf->read_rate;
    n->xpline_write_ps = PS_PER_S * 256 / conf->write_rate;
    CHECK(door->n_modules < DOOR_MODULES);
    n->door = door;
    n->door_index = door->n_modules;
    door->module[door->n_modules++] = n;
    nvdimm_writes_init(n);
    assoc_init(&n->read_buffer, (uint32_t)conf->read_buffer);
    n->read_ready_ps = xcalloc(conf->read_buffer, sizeof *n->read_ready_ps);
    n->reads.each_ps = n->xpline_read_ps / 4;
    assoc_init(&n->ait, (uint32_t)conf->ait_buffer);
    memset(n->stream, 0xff, sizeof n->stream);
}

void nvdimm_fini(struct nvdimm *n)
{
    if (n->conf.kind != NVDIMM_OPTANE)
        return;
    nvdimm_writes_fini(n);
    assoc_fini(&n->read_buffer);
    assoc_fini(&n->ait);
    free(n->read_ready_ps);
}

struct nvdimm_door *nvdimm_door_new(uint32_t room)
{
    struct nvdimm_door *door = xcalloc(1, sizeof *door);
    door->room = room;
    door->random = 1;
    return door;
}

bool nvdimm_translated(struct nvdimm *n, uint64_t xpline)
{
    uint64_t granule = xpline >> (PAGE_SHIFT - XPLINE_SHIFT);
    if (assoc_find(&n->ait, granule) != ASSOC_NONE)
        return true;
    if (n->ait.n == n->ait.cap)
        assoc_remove(&n->ait, assoc_victim(&n->ait));
    assoc_insert(&n->ait, granule);
    n->stats.ait_misses++;
    return false;
}

/* ---- reads ---- */

/* The XPLine is brought into the read buffer; answers when it is there. */
static ps_t fetch(struct nvdimm *n, uint64_t xpline, ps_t t)
{
    struct assoc *a = &n->read_buffer;
    ps_t start = max_u64(t, n->media_free_ps);
    ps_t ready = start + n->conf.read_media_ps + (nvdimm_translated(n, xpline) ? 0 : n->conf.ait_miss_ps);
    n->media_free_ps = start + n->xpline_read_ps;
    n->stats.media_reads++;
    if (a->n == a->cap) { /* the older of two that are drawn goes */
        uint32_t victim = assoc_victim(a), other = assoc_victim(a);
        assoc_remove(a, n->read_ready_ps[other] < n->read_ready_ps[victim] ? other : victim);
    }
    n->read_ready_ps[assoc_insert(a, xpline)] = ready;
    return ready;
}

/* Notes the XPLine that was read; behind a run in ascending order the next one is fetched ahead. */
static void run_ahead(struct nvdimm *n, uint64_t xpline, ps_t t)
{
    uint64_t granule = xpline >> (PAGE_SHIFT - XPLINE_SHIFT);
    struct read_stream *s = &n->stream[granule % READ_STREAMS];
    if (s->last == xpline)
        return;
    s->length = s->last + 1 == xpline ? s->length + 1 : 0;
    s->last = xpline;
    if (s->length >= READ_RUN && (xpline + 1) >> (PAGE_SHIFT - XPLINE_SHIFT) == granule &&
        n->media_free_ps <= t + n->xpline_read_ps && assoc_find(&n->read_buffer, xpline + 1) == ASSOC_NONE) {
        n->stats.prefetches++;
        fetch(n, xpline + 1, t);
    }
}

/* A read that is in the load/store queue at t: when its data leaves the module. */
static ps_t serve(struct nvdimm *n, uint64_t line, ps_t t)
{
    uint64_t xpline = line >> (XPLINE_SHIFT - LINE_SHIFT);
    uint32_t slot = assoc_find(&n->read_buffer, xpline);
    ps_t done = t + n->conf.read_hit_ps;
    if (slot != ASSOC_NONE) {
        n->stats.read_buffer_hits++;
        done = max_u64(done, n->read_ready_ps[slot]);
    } else if (nvdimm_holds(n, xpline, 1u << (line & 3))) {
        n->stats.read_buffer_hits++;
    } else {
        done = fetch(n, xpline, t);
    }
    /* It leaves the queue when the media begins with it. */
    n->read_leaves_ps[n->read_next] = max_u64(t, done - min_u64(done, n->conf.read_media_ps));
    n->read_next = (n->read_next + 1) % READ_QUEUE;
    run_ahead(n, xpline, t);
    return done;
}

/* When the next read that waits enters the load/store queue. */
static ps_t read_event_ps(const struct nvdimm *n)
{
    return n->reads.n ? max_u64(n->reads.since_ps, n->read_leaves_ps[n->read_next]) : NEVER;
}

static void read_event(struct nvdimm *n)
{
    ps_t t = read_event_ps(n);
    serve(n, front_draw(n, &n->reads), t);
    mean_add(&n->reads.each_ps, n->media_free_ps - min_u64(n->media_free_ps, n->reads.last_ps), n->xpline_read_ps);
    n->reads.last_ps = n->media_free_ps;
    n->reads.since_ps = t;
}

/* When the module does its next thing on its own. */
static ps_t event_ps(const struct nvdimm *n)
{
    ps_t coming = n->coming.n ? n->coming.item[0].at_ps : NEVER;
    return min_u64(coming, min_u64(read_event_ps(n), nvdimm_write_event_ps(n)));
}

static void event(struct nvdimm *n, ps_t t)
{
    if (nvdimm_write_event_ps(n) == t)
        nvdimm_write_event(n);
    else if (read_event_ps(n) == t)
        read_event(n);
    else
        nvdimm_arrive(n, heap_pop(&n->coming).id, t);
}

/* The modules behind a door, until t. Every event takes a line or a request out of a queue. */
static void run_all(struct nvdimm_door *door, ps_t t)
{
    for (;;) {
        ps_t first;
        struct nvdimm *n = nvdimm_first(door, event_ps, &first);
        if (!n || first > t)
            return;
        event(n, first);
    }
}

void nvdimm_run(struct nvdimm *n, ps_t t)
{
    while (!n->door->n_inside) { /* nothing waits: each module is on its own */
        ps_t first = event_ps(n);
        if (first > t || first == NEVER)
            return;
        event(n, first);
    }
    run_all(n->door, t);
}

ps_t nvdimm_read(struct nvdimm *n, uint64_t line, ps_t t)
{
    struct front *f = &n->reads;
    n->stats.reads++;
    nvdimm_run(n, t);
    if (!f->n && n->read_leaves_ps[n->read_next] <= t) {
        ps_t done = serve(n, line, t);
        f->last_ps = n->media_free_ps;
        return done;
    }
    n->stats.reads_waited++;
    while (f->n == FRONT_LINES)
        read_event(n);
    if (!f->n)
        f->since_ps = t;
    f->order[f->n] = f->n_ever++;
    f->line[f->n++] = line;
    return t + (READ_QUEUE + f->n) * f->each_ps + n->conf.read_media_ps;
}

/* ---- NVDIMM-N ---- */

static ps_t transfer_ps(uint64_t bytes, uint64_t rate)
{
    return (ps_t)((unsigned __int128)bytes * PS_PER_S / rate);
}

struct nvdimm_backup nvdimm_backup(const struct nvdimm_conf *conf)
{
    struct nvdimm_backup b = {.saved_bytes = conf->size_bytes,
                              .save_ps = transfer_ps(conf->size_bytes, conf->save_rate)};
    if (conf->supercap == SUPERCAP_TIME && conf->supercap_ps < b.save_ps) {
        unsigned __int128 bytes = (unsigned __int128)conf->supercap_ps * conf->save_rate / PS_PER_S;
        b.saved_bytes = (uint64_t)bytes & ~(uint64_t)(LINE_BYTES - 1);
        b.save_ps = conf->supercap_ps;
    }
    b.restore_ps = transfer_ps(b.saved_bytes, conf->restore_rate);
    return b;
}

/* ---- checkpoints ---- */

void nvdimm_door_state(struct nvdimm_door *door, struct ckpt *c)
{
    ckpt_same(c, door->n_modules, "modules of a controller");
    ckpt_same(c, door->room, "lines of a controller");
    CKPT(c, door->n_inside);
    CKPT(c, door->n);
    CKPT(c, door->line);
    CKPT(c, door->to);
    CKPT(c, door->random);
    CKPT(c, door->last_ps);
    CKPT(c, door->each_ps);
}

void nvdimm_state(struct nvdimm *n, struct ckpt *c)
{
    static const struct assoc none;
    struct assoc *a[] = {&n->gathering, &n->read_buffer, &n->write_buffer, &n->ait}, kept[N_ELEMS(a)];
    struct heap coming = n->coming;
    uint64_t groups = n->conf.queue_lines + 1;
    for (size_t i = 0; i < N_ELEMS(a); i++) {
        kept[i] = *a[i];
        *a[i] = none;
    }
    n->coming = (struct heap){0};
    CKPT_STRUCT(c, n, CKPT_KEEP(struct nvdimm, door), CKPT_KEEP(struct nvdimm, group),
                CKPT_KEEP(struct nvdimm, slot_group), CKPT_KEEP(struct nvdimm, read_ready_ps),
                CKPT_KEEP(struct nvdimm, write_mask));
    for (size_t i = 0; i < N_ELEMS(a); i++)
        *a[i] = kept[i];
    n->coming = coming;
    if (n->conf.kind != NVDIMM_OPTANE)
        return;
    ckpt_heap(c, &n->coming);
    for (size_t i = 0; i < N_ELEMS(a); i++)
        assoc_state(a[i], c);
    ckpt_bytes(c, n->group, groups * sizeof *n->group);
    ckpt_bytes(c, n->slot_group, groups * sizeof *n->slot_group);
    ckpt_bytes(c, n->read_ready_ps, n->conf.read_buffer * sizeof *n->read_ready_ps);
    ckpt_bytes(c, n->write_mask, n->conf.write_buffer * sizeof *n->write_mask);
}

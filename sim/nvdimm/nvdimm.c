/* SPDX-License-Identifier: MIT */
#include "sim/nvdimm/nvdimm.h"

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
    {"write_rate", CONF_RATE, K(write_rate), "2.22GB/s", 1000000, 0, NULL,
     "media write bandwidth of one module (FAST'20)"},
    {"queue", CONF_UINT, K(queue_lines), "64", 4, 4096, NULL, "load/store queue in lines (4 KiB, LENS)"},
    {"read_buffer", CONF_UINT, K(read_buffer), "64", 1, 1 << 20, NULL,
     "read buffer in 256-byte XPLines (16 KiB, LENS and EuroSys'22)"},
    {"write_buffer", CONF_UINT, K(write_buffer), "40", 1, 1 << 20, NULL,
     "XPBuffer in 256-byte XPLines: with the queue it holds the 18 KiB behind which OptaneStudy's write amplification "
     "rises"},
    {"ait_buffer", CONF_UINT, K(ait_buffer), "4096", 1, 1 << 24, NULL,
     "address-indirection buffer in 4 KiB granules (16 MiB, LENS)"},
    {"wear_writes", CONF_UINT, K(wear_writes), "14000", 0, 0, NULL,
     "256-byte writes to one 64 KiB block that make the module move it (VANS' overwrite samples); 0: never"},
    {"wear_window", CONF_UINT, K(wear_window), "20000", 1, 0, NULL,
     "256-byte writes to the module after which a block is counted anew (the tail ends between hot sets of 64 and "
     "128 KiB)"},
    {"wear_stall", CONF_TIME, K(wear_stall_ps), "52us", 0, 0, NULL, "how long a move stops writes (the same samples)"},
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
    {"wear_moves", STAT_COUNT, "blocks", "64 KiB blocks moved by wear levelling"},
};
STATS_COMPLETE(struct nvdimm_stats, nvdimm_stat_desc);

/* ---- lists of groups ---- */

#define NIL UINT32_MAX

static void list_push(struct nvdimm *n, struct lsq_list *l, uint32_t g, int link)
{
    n->group[g].link[link].next = NIL;
    n->group[g].link[link].prev = l->tail;
    if (l->tail == NIL)
        l->head = g;
    else
        n->group[l->tail].link[link].next = g;
    l->tail = g;
}

static void list_drop(struct nvdimm *n, struct lsq_list *l, uint32_t g, int link)
{
    uint32_t next = n->group[g].link[link].next, prev = n->group[g].link[link].prev;
    *(prev == NIL ? &l->head : &n->group[prev].link[link].next) = next;
    *(next == NIL ? &l->tail : &n->group[next].link[link].prev) = prev;
}

static uint32_t list_pop(struct nvdimm *n, struct lsq_list *l, int link)
{
    uint32_t g = l->head;
    list_drop(n, l, g, link);
    return g;
}

void nvdimm_init(struct nvdimm *n, const struct nvdimm_conf *conf)
{
    uint32_t groups = (uint32_t)conf->queue_lines + 1;
    *n = (struct nvdimm){.conf = *conf};
    if (conf->kind != NVDIMM_OPTANE)
        return;
    n->xpline_read_ps = PS_PER_S * 256 / conf->read_rate;
    n->xpline_write_ps = PS_PER_S * 256 / conf->write_rate;
    n->order = n->ready = n->sent = n->unused = (struct lsq_list){NIL, NIL};
    n->group = xcalloc(groups, sizeof *n->group);
    for (uint32_t g = 0; g < groups; g++)
        list_push(n, &n->unused, g, LSQ_STATE);
    assoc_init(&n->gathering, groups);
    n->slot_group = xcalloc(groups, sizeof *n->slot_group);
    assoc_init(&n->read_buffer, (uint32_t)conf->read_buffer);
    n->read_ready_ps = xcalloc(conf->read_buffer, sizeof *n->read_ready_ps);
    assoc_init(&n->write_buffer, (uint32_t)conf->write_buffer);
    n->write_mask = xcalloc(conf->write_buffer, sizeof *n->write_mask);
    assoc_init(&n->ait, (uint32_t)conf->ait_buffer);
    memset(n->stream, 0xff, sizeof n->stream);
}

void nvdimm_fini(struct nvdimm *n)
{
    if (n->conf.kind != NVDIMM_OPTANE)
        return;
    struct assoc *a[] = {&n->gathering, &n->read_buffer, &n->write_buffer, &n->ait};
    for (size_t i = 0; i < N_ELEMS(a); i++)
        assoc_fini(a[i]);
    free(n->group);
    free(n->slot_group);
    free(n->read_ready_ps);
    free(n->write_mask);
}

/* ---- media ---- */

/* A media read that may start at t; answers when it starts. */
static ps_t media_read(struct nvdimm *n, ps_t t)
{
    ps_t start = max_u64(t, n->media_read_free_ps);
    n->media_read_free_ps = start + n->xpline_read_ps;
    n->stats.media_reads++;
    return start;
}

/* Slot for a key that is not there; a random victim makes room. */
static uint32_t assoc_fill(struct assoc *a, uint64_t key)
{
    if (a->n == a->cap)
        assoc_remove(a, assoc_victim(a));
    return assoc_insert(a, key);
}

/* Looks the translation of an XPLine up and enters it; true if it was there. */
static bool translated(struct nvdimm *n, uint64_t xpline)
{
    uint64_t granule = xpline >> (PAGE_SHIFT - XPLINE_SHIFT);
    if (assoc_find(&n->ait, granule) != ASSOC_NONE)
        return true;
    assoc_fill(&n->ait, granule);
    n->stats.ait_misses++;
    return false;
}

/* Counts an XPLine request; true if its block has to move. */
static bool wears(struct nvdimm *n, uint64_t xpline)
{
    uint64_t block = xpline >> (16 - XPLINE_SHIFT), now = n->stats.requests;
    struct wear_count *c = &n->wear[block % WEAR_COUNTS];
    if (c->block != block || now - c->since >= n->conf.wear_window)
        *c = (struct wear_count){.block = block, .since = now};
    if (++c->writes < n->conf.wear_writes || !n->conf.wear_writes)
        return false;
    *c = (struct wear_count){.block = block, .since = now};
    n->stats.wear_moves++;
    return true;
}

/* ---- writes ---- */

/* An XPLine request enters the XPBuffer. */
static void write_buffer_put(struct nvdimm *n, uint64_t xpline, uint32_t mask, ps_t t)
{
    struct assoc *a = &n->write_buffer;
    uint32_t slot = assoc_find(a, xpline);
    if (slot != ASSOC_NONE) {
        n->stats.write_buffer_hits++;
        mask |= n->write_mask[slot];
    }
    if (mask == XPLINE_WHOLE) {
        if (slot != ASSOC_NONE)
            assoc_remove(a, slot);
        n->stats.media_writes++;
        return;
    }
    if (slot == ASSOC_NONE) {
        if (a->n == a->cap) {
            assoc_remove(a, assoc_victim(a));
            n->stats.partial_evictions++;
            n->stats.media_writes++;
            media_read(n, t);
        }
        slot = assoc_insert(a, xpline);
    }
    n->write_mask[slot] = (uint8_t)mask;
}

/* The group no longer gathers. */
static void close_group(struct nvdimm *n, uint32_t slot, ps_t t)
{
    uint32_t g = n->slot_group[slot];
    assoc_remove(&n->gathering, slot);
    n->group[g].ready_ps = t;
    list_push(n, &n->ready, g, LSQ_STATE);
}

/* The pipeline takes a group at t or as soon as it is free. */
static void send(struct nvdimm *n, uint32_t g, ps_t t)
{
    struct lsq_group *group = &n->group[g];
    ps_t start = max_u64(t, n->pipe_free_ps);
    if (group->ready_ps == UINT64_MAX)
        close_group(n, assoc_find(&n->gathering, group->xpline), t);
    list_drop(n, &n->ready, g, LSQ_STATE);
    n->stats.requests++;
    if (unlikely(wears(n, group->xpline)))
        start += n->conf.wear_stall_ps;
    n->pipe_free_ps = group->free_ps = start + n->xpline_write_ps;
    write_buffer_put(n, group->xpline, group->mask, start);
    translated(n, group->xpline);
    list_push(n, &n->sent, g, LSQ_STATE);
}

/* Groups that the pipeline has taken by t leave the queue. */
static void leave(struct nvdimm *n, ps_t t)
{
    while (n->sent.head != NIL && n->group[n->sent.head].free_ps <= t) {
        uint32_t g = list_pop(n, &n->sent, LSQ_STATE);
        list_drop(n, &n->order, g, LSQ_ORDER);
        list_push(n, &n->unused, g, LSQ_STATE);
    }
}

/* Lines in the ring, with the places that wait for older ones to go. */
static uint64_t occupancy(const struct nvdimm *n)
{
    return n->order.head == NIL ? 0 : n->n_lines - n->group[n->order.head].first;
}

/* What the pipeline did on its own until t. */
static void settle(struct nvdimm *n, ps_t t)
{
    while (n->ready.head != NIL && n->pipe_free_ps <= t)
        send(n, n->ready.head, n->group[n->ready.head].ready_ps);
    leave(n, t);
}

/* Room for one more line: the time at which there is. */
static ps_t make_room(struct nvdimm *n, ps_t t)
{
    if (occupancy(n) < n->conf.queue_lines)
        return t;
    n->stats.queue_full++;
    uint32_t oldest = n->order.head;
    if (n->group[oldest].free_ps == UINT64_MAX)
        send(n, oldest, t);
    t = max_u64(t, n->group[oldest].free_ps);
    leave(n, t);
    return t;
}

ps_t nvdimm_write(struct nvdimm *n, uint64_t line, ps_t t)
{
    uint64_t xpline = line >> (XPLINE_SHIFT - LINE_SHIFT);
    uint32_t bit = 1u << (line & 3), slot, g;
    n->stats.writes++;
    settle(n, t);
    t = make_room(n, t);
    slot = assoc_find(&n->gathering, xpline);
    if (slot != ASSOC_NONE && n->group[n->slot_group[slot]].mask & bit) {
        close_group(n, slot, t); /* written again: another request */
        slot = ASSOC_NONE;
    }
    if (slot == ASSOC_NONE) {
        g = list_pop(n, &n->unused, LSQ_STATE);
        n->group[g] =
            (struct lsq_group){.xpline = xpline, .first = n->n_lines, .ready_ps = UINT64_MAX, .free_ps = UINT64_MAX};
        list_push(n, &n->order, g, LSQ_ORDER);
        slot = assoc_insert(&n->gathering, xpline);
        n->slot_group[slot] = g;
    }
    g = n->slot_group[slot];
    n->group[g].mask |= bit;
    n->n_lines++;
    n->stats.queue_peak = max_u64(n->stats.queue_peak, occupancy(n));
    if (n->group[g].mask == XPLINE_WHOLE)
        close_group(n, slot, t);
    settle(n, t);
    return t;
}

/* ---- reads ---- */

/* The XPLine is brought into the read buffer; answers when it is there. */
static ps_t fetch(struct nvdimm *n, uint64_t xpline, ps_t t)
{
    ps_t latency = n->conf.read_media_ps + (translated(n, xpline) ? 0 : n->conf.ait_miss_ps);
    ps_t ready = media_read(n, t) + latency;
    n->read_ready_ps[assoc_fill(&n->read_buffer, xpline)] = ready;
    return ready;
}

/* Whether the lines of mask wait to be written. Lines that were written while the read buffer had their XPLine are
 * current there. */
static bool holds(const struct nvdimm *n, uint64_t xpline, uint32_t mask)
{
    uint32_t slot = assoc_find(&n->write_buffer, xpline), held = slot == ASSOC_NONE ? 0 : n->write_mask[slot];
    slot = assoc_find(&n->gathering, xpline);
    held |= slot == ASSOC_NONE ? 0 : n->group[n->slot_group[slot]].mask;
    return (held & mask) == mask;
}

/* Notes the XPLine that was read; behind an ascending pair the next one is fetched ahead. */
static void run_ahead(struct nvdimm *n, uint64_t xpline, ps_t t)
{
    uint64_t granule = xpline >> (PAGE_SHIFT - XPLINE_SHIFT), *last = &n->stream[granule % READ_STREAMS];
    bool runs = *last + 1 == xpline;
    if (*last == xpline)
        return;
    *last = xpline;
    if (runs && (xpline + 1) >> (PAGE_SHIFT - XPLINE_SHIFT) == granule &&
        assoc_find(&n->read_buffer, xpline + 1) == ASSOC_NONE) {
        n->stats.prefetches++;
        fetch(n, xpline + 1, t);
    }
}

ps_t nvdimm_read(struct nvdimm *n, uint64_t line, ps_t t)
{
    uint64_t xpline = line >> (XPLINE_SHIFT - LINE_SHIFT);
    uint32_t slot = assoc_find(&n->read_buffer, xpline);
    ps_t done = t + n->conf.read_hit_ps;
    n->stats.reads++;
    if (slot != ASSOC_NONE) {
        n->stats.read_buffer_hits++;
        done = max_u64(done, n->read_ready_ps[slot]);
    } else if (holds(n, xpline, 1u << (line & 3))) {
        n->stats.read_buffer_hits++;
    } else {
        done = fetch(n, xpline, t);
    }
    run_ahead(n, xpline, t);
    return done;
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

void nvdimm_state(struct nvdimm *n, struct ckpt *c)
{
    static const struct assoc none;
    struct assoc *a[] = {&n->gathering, &n->read_buffer, &n->write_buffer, &n->ait}, kept[N_ELEMS(a)];
    uint64_t groups = n->conf.queue_lines + 1;
    for (size_t i = 0; i < N_ELEMS(a); i++) {
        kept[i] = *a[i];
        *a[i] = none;
    }
    CKPT_STRUCT(c, n, CKPT_KEEP(struct nvdimm, group), CKPT_KEEP(struct nvdimm, slot_group),
                CKPT_KEEP(struct nvdimm, read_ready_ps), CKPT_KEEP(struct nvdimm, write_mask));
    for (size_t i = 0; i < N_ELEMS(a); i++)
        *a[i] = kept[i];
    if (n->conf.kind != NVDIMM_OPTANE)
        return;
    for (size_t i = 0; i < N_ELEMS(a); i++)
        assoc_state(a[i], c);
    ckpt_bytes(c, n->group, groups * sizeof *n->group);
    ckpt_bytes(c, n->slot_group, groups * sizeof *n->slot_group);
    ckpt_bytes(c, n->read_ready_ps, n->conf.read_buffer * sizeof *n->read_ready_ps);
    ckpt_bytes(c, n->write_mask, n->conf.write_buffer * sizeof *n->write_mask);
}

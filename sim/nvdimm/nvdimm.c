/* SPDX-License-Identifier: MIT */
#include "sim/nvdimm/nvdimm.h"

#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"none", "nvdimm-n", "optane", NULL};

/* Defaults: idle latencies and bandwidths of one Optane DC module, Yang et al., "An Empirical Guide to the Behavior and
 * Use of Scalable Persistent Memory" (FAST'20): 169 ns sequential and 305 ns random seen by the core, 6.6 and 2.3 GB/s;
 * the core's and controller's share (about 80 ns) is taken off. Buffers: Xiang et al. (EuroSys'22). */
const struct conf_key nvdimm_keys[] = {
    {"kind", CONF_CHOICE, offsetof(struct nvdimm_conf, kind), "none", 0, 0, kinds, "persistent module of each channel"},
    {"size", CONF_SIZE, offsetof(struct nvdimm_conf, size_bytes), "256GiB", GIB, 0, NULL, "capacity of one module"},
    {"read_hit", CONF_TIME, offsetof(struct nvdimm_conf, read_hit_ps), "96ns", 0, 0, NULL,
     "module's share of a read that hits its read buffer (FAST'20: 169 ns end to end)"},
    {"read_media", CONF_TIME, offsetof(struct nvdimm_conf, read_media_ps), "232ns", 0, 0, NULL,
     "module's share of a read from the media (FAST'20: 305 ns end to end)"},
    {"read_rate", CONF_RATE, offsetof(struct nvdimm_conf, read_rate), "6.6GB/s", 1000000, 0, NULL,
     "media read bandwidth of one module (FAST'20)"},
    {"write_rate", CONF_RATE, offsetof(struct nvdimm_conf, write_rate), "2.3GB/s", 1000000, 0, NULL,
     "media write bandwidth of one module (FAST'20)"},
    {"read_buffer", CONF_UINT, offsetof(struct nvdimm_conf, read_buffer), "64", 1, 4096, NULL,
     "read buffer in 256-byte XPLines (16 KiB, EuroSys'22)"},
    {"write_buffer", CONF_UINT, offsetof(struct nvdimm_conf, write_buffer), "64", 1, 4096, NULL,
     "write-combining buffer in 256-byte XPLines (16 KiB, FAST'20 section 3.3)"},
    {0},
};

const struct stat_desc nvdimm_stat_desc[] = {
    {"reads", STAT_COUNT, "requests", "64-byte reads that reached the module"},
    {"writes", STAT_COUNT, "requests", "64-byte writes that reached the module"},
    {"media_reads", STAT_COUNT, "xplines", "256-byte reads of the media"},
    {"media_writes", STAT_COUNT, "xplines", "256-byte writes of the media"},
    {"read_buffer_hits", STAT_COUNT, "requests", "reads served by the read buffer or the write-combining buffer"},
    {"write_buffer_hits", STAT_COUNT, "requests", "writes that joined an XPLine already buffered"},
    {"partial_evictions", STAT_COUNT, "xplines", "evicted XPLines that needed a read-modify-write"},
};
STATS_COMPLETE(struct nvdimm_stats, nvdimm_stat_desc);

void nvdimm_init(struct nvdimm *n, const struct nvdimm_conf *conf)
{
    *n = (struct nvdimm){.conf = *conf};
    n->xpline_read_ps = PS_PER_S * 256 / conf->read_rate;
    n->xpline_write_ps = PS_PER_S * 256 / conf->write_rate;
    n->read_tag = xmalloc(conf->read_buffer * sizeof *n->read_tag);
    memset(n->read_tag, 0xff, conf->read_buffer * sizeof *n->read_tag);
    n->slot = xcalloc(conf->write_buffer, sizeof *n->slot);
    for (uint64_t i = 0; i < conf->write_buffer; i++)
        n->slot[i].xpline = UINT64_MAX;
}

void nvdimm_fini(struct nvdimm *n)
{
    free(n->read_tag);
    free(n->slot);
}

static struct xpbuffer_slot *find_slot(struct nvdimm *n, uint64_t xpline)
{
    for (uint64_t i = 0; i < n->conf.write_buffer; i++)
        if (n->slot[i].xpline == xpline)
            return &n->slot[i];
    return NULL;
}

static bool in_read_buffer(const struct nvdimm *n, uint64_t xpline)
{
    for (uint64_t i = 0; i < n->conf.read_buffer; i++)
        if (n->read_tag[i] == xpline)
            return true;
    return false;
}

static ps_t media_read(struct nvdimm *n, ps_t t)
{
    ps_t start = max_u64(t, n->media_read_free_ps);
    n->media_read_free_ps = start + n->xpline_read_ps;
    n->stats.media_reads++;
    return start;
}

ps_t nvdimm_read(struct nvdimm *n, uint64_t line, ps_t t)
{
    uint64_t xpline = line >> (XPLINE_SHIFT - LINE_SHIFT);
    n->stats.reads++;
    if (in_read_buffer(n, xpline) || find_slot(n, xpline)) {
        n->stats.read_buffer_hits++;
        return t + n->conf.read_hit_ps;
    }
    n->read_tag[n->read_at] = xpline;
    n->read_at = n->read_at + 1 == n->conf.read_buffer ? 0 : n->read_at + 1;
    return media_read(n, t) + n->conf.read_media_ps;
}

/* Sends the slot's XPLine to the media at t; a partial one is read first. */
static void evict(struct nvdimm *n, struct xpbuffer_slot *s, ps_t t)
{
    if (s->xpline == UINT64_MAX)
        return;
    if (s->mask != 15) {
        n->stats.partial_evictions++;
        t = media_read(n, t) + n->xpline_read_ps;
    }
    n->media_write_free_ps = max_u64(n->media_write_free_ps, t) + n->xpline_write_ps;
    n->stats.media_writes++;
    s->free_ps = n->media_write_free_ps;
}

ps_t nvdimm_write(struct nvdimm *n, uint64_t line, ps_t t)
{
    uint64_t xpline = line >> (XPLINE_SHIFT - LINE_SHIFT);
    struct xpbuffer_slot *s = find_slot(n, xpline);
    n->stats.writes++;
    if (s) {
        n->stats.write_buffer_hits++;
    } else {
        s = &n->slot[n->slot_at];
        n->slot_at = n->slot_at + 1 == n->conf.write_buffer ? 0 : n->slot_at + 1;
        evict(n, s, t);
        s->xpline = xpline;
        s->mask = 0;
    }
    s->mask |= 1u << (line & 3);
    /* The slot takes data as soon as its previous XPLine has left; the media works on while others fill. */
    return max_u64(t, s->free_ps);
}

/* SPDX-License-Identifier: MIT */
/* The private caches, and what a core sees; the shared level is in llc.c. */
#include "sim/cache/cache.h"

#include "sim/cache/llc.h"
#include "sim/cache/prefetch.h"

#include <stdlib.h>

#define K(field) offsetof(struct cache_conf, field)
/* Defaults: Skylake-SP / Cascade Lake. Geometry: InstLatx64; latencies: InstLatx64 "NewMemLat" (numbers.md rows 1-4).
 */
const struct conf_key cache_keys[] = {
    {"l1i_size", CONF_SIZE, K(l1i_bytes), "32KiB", 4096, 1 << 20, NULL, "L1 instruction cache of a core"},
    {"l1i_ways", CONF_UINT, K(l1i_ways), "8", 1, 16, NULL, "its ways"},
    {"l1d_size", CONF_SIZE, K(l1d_bytes), "32KiB", 4096, 1 << 20, NULL, "L1 data cache of a core"},
    {"l1d_ways", CONF_UINT, K(l1d_ways), "8", 1, 16, NULL, "its ways"},
    {"l1_cycles", CONF_UINT, K(l1_cycles), "4", 1, 1000, NULL, "L1 load-to-use latency in core cycles"},
    {"l2_size", CONF_SIZE, K(l2_bytes), "1MiB", 4096, 1 << 28, NULL, "L2 cache of a core, inclusive of its L1s"},
    {"l2_ways", CONF_UINT, K(l2_ways), "16", 1, 16, NULL, "its ways"},
    {"l2_cycles", CONF_UINT, K(l2_cycles), "14", 1, 1000, NULL, "L2 load-to-use latency in core cycles"},
    {"llc_slices", CONF_UINT, K(llc_slices), "24", 1, 64, NULL, "slices of a socket's last-level cache"},
    {"llc_slice", CONF_SIZE, K(llc_slice_bytes), "1408KiB", 4096, 1 << 26, NULL, "size of a slice (1.375 MiB)"},
    {"llc_ways", CONF_UINT, K(llc_ways), "11", 1, 16, NULL, "its ways"},
    {"llc_cycles", CONF_UINT, K(llc_cycles), "68", 1, 10000, NULL,
     "LLC load-to-use latency in core cycles (InstLatx64: 69 to 78 by pattern on a mesh of six)"},
    {"snoop_cycles", CONF_UINT, K(snoop_cycles), "40", 0, 10000, NULL,
     "asking another core of the socket, in core cycles"},
    {"flush_back", CONF_TIME, K(flush_back_ps), "28ns", 0, PS_PER_US, NULL,
     "a controller's answer to a write-back by a flush, on its way to the core (OptaneStudy: 57.3 ns in all, DRAM)"},
    {"ntstore_back", CONF_TIME, K(ntstore_back_ps), "55ns", 0, PS_PER_US, NULL,
     "the same of a non-temporal store, which asks for the line first (OptaneStudy: 86.9 ns in all, DRAM)"},
    {"prefetch_next_line", CONF_BOOL, K(prefetch_next), "false", 0, 0, NULL,
     "L1: accesses to a line and the one behind it bring the next"},
    {"prefetch_stride", CONF_BOOL, K(prefetch_stride), "false", 0, 0, NULL,
     "L1: two equal steps within a page bring the line a third ahead"},
    {"prefetch_adjacent", CONF_BOOL, K(prefetch_adjacent), "false", 0, 0, NULL,
     "L2: a miss brings the other line of its 128 bytes too"},
    {"prefetch_stream", CONF_BOOL, K(prefetch_stream), "false", 0, 0, NULL,
     "L2: streamer, ahead of ascending or descending accesses to a 4 KiB page"},
    {"prefetch_ahead", CONF_UINT, K(prefetch_ahead), "20", 1, 63, NULL,
     "lines that the streamer runs ahead of the access (Intel optimisation manual)"},
    {"prefetch_requests", CONF_UINT, K(prefetch_requests), "2", 1, 63, NULL,
     "requests that the streamer makes at an access (Intel optimisation manual)"},
    {"prefetch_queue", CONF_UINT, K(prefetch_queue), "32", 1, PREFETCH_MAX_QUEUE, NULL,
     "prefetches of a core under way; more are dropped (a knob: the order of the L2's request queue)"},
    {"clwb_retains", CONF_BOOL, K(clwb_retains), "false", 0, 0, NULL,
     "CLWB keeps the line cached (Ice Lake on); false: it is invalidated, as on Cascade Lake"},
    {0},
};
#undef K

const struct stat_desc core_cache_stat_desc[] = {
    {"l1d_hits", STAT_COUNT, "lines", "data accesses that hit the L1D"},
    {"l1d_misses", STAT_COUNT, "lines", "data accesses that missed the L1D"},
    {"l1i_hits", STAT_COUNT, "lines", "fetches that hit the L1I"},
    {"l1i_misses", STAT_COUNT, "lines", "fetches that missed the L1I"},
    {"l2_hits", STAT_COUNT, "lines", "requests that hit the L2"},
    {"l2_misses", STAT_COUNT, "lines", "requests that missed the L2"},
    {"l2_writebacks", STAT_COUNT, "lines", "dirty lines that left the L2 for the LLC"},
    {"llc_hits", STAT_COUNT, "lines", "L2 misses served by the socket's LLC"},
    {"llc_misses", STAT_COUNT, "lines", "L2 misses that left the socket's caches"},
    {"snoop_hits", STAT_COUNT, "lines", "L2 misses served by another core of the socket"},
    {"upgrades", STAT_COUNT, "lines", "stores to a line held shared"},
    {"back_invalidations", STAT_COUNT, "lines", "lines lost to another core's store or flush"},
    {"flushes", STAT_COUNT, "lines", "CLFLUSH, CLFLUSHOPT and CLWB"},
    {"flush_writebacks", STAT_COUNT, "lines", "flushes that found the line dirty"},
    {"ntstores", STAT_COUNT, "lines", "non-temporal stores of a line"},
    {"prefetches", STAT_COUNT, "lines", "lines that the prefetchers brought into the L2"},
    {"prefetch_useful", STAT_COUNT, "lines", "of those, asked for later"},
    {"prefetch_late", STAT_COUNT, "1", "accesses to prefetched lines whose data was still on its way"},
    {"prefetch_useless", STAT_COUNT, "lines", "lines brought into the L2 that left it unused"},
    {"prefetch_dropped", STAT_COUNT, "1", "prefetches not made because too many were under way"},
    {"l1_prefetches", STAT_COUNT, "lines", "lines that the prefetchers brought to the L1"},
    {"l1_prefetch_useful", STAT_COUNT, "lines", "of those, used there"},
};
STATS_COMPLETE(struct core_cache_stats, core_cache_stat_desc);

static int pcache_init(struct pcache *p, const char *name, uint64_t bytes, uint64_t ways, struct diag *d)
{
    uint64_t sets = bytes / LINE_BYTES / ways;
    if (sets == 0 || (sets & (sets - 1)) || sets * ways * LINE_BYTES != bytes)
        return fail(d, "machine.cache.%s: %llu bytes in %llu ways do not give a power of two of sets", name,
                    (unsigned long long)bytes, (unsigned long long)ways);
    *p = (struct pcache){.set_mask = sets - 1, .ways = (uint32_t)ways, .stride = (uint32_t)(ways + 3) & ~3u};
    p->tag = xhuge(sets * p->stride * sizeof *p->tag);
    p->lru = xaligned(64, sets * sizeof *p->lru);
    for (uint64_t i = 0; i < sets; i++)
        p->lru[i] = LRU_INIT;
    return 0;
}

int caches_init(struct caches *c, const struct cache_conf *conf, struct numa *numa, uint32_t cores_a_socket,
                uint64_t core_hz, struct diag *d)
{
    *c = (struct caches){.conf = *conf, .numa = numa, .cores_a_socket = cores_a_socket, .n_sockets = numa->n_cpu_nodes};
    if (cores_a_socket == 0 || cores_a_socket > 32)
        return fail(d, "machine.cores: %u cores a node, expected 1 to 32", cores_a_socket);
    c->l1_ps = conf->l1_cycles * PS_PER_S / core_hz;
    c->l2_ps = conf->l2_cycles * PS_PER_S / core_hz;
    c->llc_ps = conf->llc_cycles * PS_PER_S / core_hz;
    c->snoop_ps = conf->snoop_cycles * PS_PER_S / core_hz;
    c->n_cores = c->n_sockets * cores_a_socket;
    c->core = xaligned(64, c->n_cores * sizeof *c->core);
    c->llc = xcalloc(c->n_sockets, sizeof *c->llc);
    c->snoop = xcalloc(c->n_sockets, sizeof *c->snoop);
    for (uint32_t i = 0; i < c->n_cores; i++) {
        struct core_cache *p = &c->core[i];
        p->socket = i / cores_a_socket;
        p->bit = i % cores_a_socket;
        if (pcache_init(&p->l1d, "l1d_size", conf->l1d_bytes, conf->l1d_ways, d) ||
            pcache_init(&p->l1i, "l1i_size", conf->l1i_bytes, conf->l1i_ways, d) ||
            pcache_init(&p->l2, "l2_size", conf->l2_bytes, conf->l2_ways, d))
            return -1;
        p->prefetch = prefetcher_new(conf);
    }
    for (uint32_t s = 0; s < c->n_sockets; s++)
        if (llc_init(&c->llc[s], conf, numa->mem->n_gib << (30 - LINE_SHIFT), d))
            return -1;
    return 0;
}

static void pcache_fini(struct pcache *p)
{
    free(p->tag);
    free(p->lru);
}

void caches_fini(struct caches *c)
{
    for (uint32_t i = 0; c->core && i < c->n_cores; i++) {
        pcache_fini(&c->core[i].l1d);
        pcache_fini(&c->core[i].l1i);
        pcache_fini(&c->core[i].l2);
        prefetcher_free(c->core[i].prefetch);
    }
    for (uint32_t s = 0; c->llc && s < c->n_sockets; s++)
        llc_fini(&c->llc[s]);
    for (uint32_t s = 0; c->snoop && s < c->n_sockets; s++)
        snoop_fini(&c->snoop[s]);
    free(c->snoop);
    free(c->core);
    free(c->llc);
}

/* Address of the line's tag word, or NULL. */
static inline uint64_t *pcache_find(const struct pcache *p, uint64_t line)
{
    uint64_t *set = &p->tag[(line & p->set_mask) * p->stride];
    uint32_t way = pcache_way(set, p->stride, line << 3 | 7);
    return way == UINT32_MAX ? NULL : &set[way];
}

static void pcache_drop(struct pcache *p, uint64_t line, uint64_t *tag)
{
    uint64_t set = line & p->set_mask;
    p->lru[set] = lru_retire(p->lru[set], (uint32_t)(tag - &p->tag[set * p->stride]), p->ways);
    *tag = 0;
}

/* Takes the line out of a core's caches; true if it was dirty. */
bool core_invalidate(struct core_cache *p, uint64_t line)
{
    uint64_t *l2 = pcache_find(&p->l2, line), *tag;
    bool dirty = false;
    if (!l2)
        return false;
    dirty = (*l2 & 3) == LINE_MODIFIED;
    pcache_drop(&p->l2, line, l2);
    if (unlikely(p->prefetch))
        prefetch_gone(p, line);
    if ((tag = pcache_find(&p->l1d, line)))
        pcache_drop(&p->l1d, line, tag);
    if (p->stats.l1i_misses && (tag = pcache_find(&p->l1i, line)))
        pcache_drop(&p->l1i, line, tag);
    return dirty;
}

bool core_holds(const struct core_cache *p, uint64_t line)
{
    return pcache_find(&p->l2, line) != NULL;
}

bool core_holds_l1(const struct core_cache *p, uint64_t line)
{
    return pcache_find(&p->l1d, line) != NULL;
}

/* Leaves the line in a core's caches with another state; true if it was dirty. */
bool core_downgrade(struct core_cache *p, uint64_t line, uint32_t state)
{
    uint64_t *l2 = pcache_find(&p->l2, line), *l1;
    bool dirty = false;
    if (l2) {
        dirty = (*l2 & 3) == LINE_MODIFIED;
        *l2 = (*l2 & ~3ull) | ((*l2 & 3) == LINE_SHARED ? LINE_SHARED : state);
    }
    if ((l1 = pcache_find(&p->l1d, line)))
        *l1 = (*l1 & ~3ull) | ((*l1 & 3) == LINE_SHARED ? LINE_SHARED : state);
    return dirty;
}

/* The L2's LRU line makes room; inclusion takes it out of the L1s; it goes to the LLC. */
static inline __attribute__((always_inline)) void l2_evict(struct caches *c, struct core_cache *p, uint64_t tag, ps_t t)
{
    uint64_t line = tag >> 3, *l1 = pcache_find(&p->l1d, line);
    uint32_t state = tag & 3;
    if (l1)
        pcache_drop(&p->l1d, line, l1);
    if (p->stats.l1i_misses && (l1 = pcache_find(&p->l1i, line)))
        pcache_drop(&p->l1i, line, l1);
    p->stats.l2_writebacks += state == LINE_MODIFIED;
    if (unlikely(p->prefetch))
        prefetch_gone(p, line);
    llc_take_victim(c, p, line, state, t);
}

static inline void l1_install(struct pcache *l1, uint64_t line, uint32_t state)
{
    uint64_t set = line & l1->set_mask, *tags = &l1->tag[set * l1->stride];
    uint32_t way = lru_victim(l1->lru[set], l1->ways);
    tags[way] = line << 3 | 4 | state;
    l1->lru[set] = lru_renew(l1->lru[set], l1->ways);
}

void cache_foresee(const struct caches *c, uint32_t core, uint64_t line)
{
    const struct core_cache *p = &c->core[core];
    const struct pcache *l2 = &p->l2;
    uint64_t set = line & l2->set_mask, victim = l2->tag[set * l2->stride + lru_victim(l2->lru[set], l2->ways)];
    llc_prefetch(c, p->socket, line, victim >> 3);
}

/* Brings a line that the L2 does not hold into it; t is when the L2 knew. */
static inline __attribute__((always_inline)) ps_t l2_fill(struct caches *c, uint32_t core, uint64_t line, bool write,
                                                          ps_t t, uint32_t *state)
{
    struct core_cache *p = &c->core[core];
    struct pcache *l2 = &p->l2;
    uint64_t set = line & l2->set_mask, *tags = &l2->tag[set * l2->stride];
    uint32_t way = lru_victim(l2->lru[set], l2->ways);
    uint64_t victim = tags[way];
    if (!p->is_foreseen)
        llc_prefetch(c, p->socket, line, victim >> 3);
    ps_t asked_ps = t;
    t = llc_request(c, core, line, write, t, state);
    if (victim & 4) {
        c->numa->asked_ps = asked_ps;
        l2_evict(c, p, victim, t);
        c->numa->asked_ps = 0;
    }
    tags[way] = line << 3 | 4 | *state;
    l2->lru[set] = lru_renew(l2->lru[set], l2->ways);
    return t;
}

/* A store to a line that this core holds shared: everybody else gives it up. */
static ps_t upgrade(struct caches *c, uint32_t core, uint64_t line, ps_t t)
{
    c->core[core].stats.upgrades++;
    return llc_claim(c, core, line, t);
}

static inline __attribute__((always_inline)) ps_t demand(struct caches *c, uint32_t core, uint64_t line,
                                                         enum cache_op op, ps_t t)
{
    struct core_cache *p = &c->core[core];
    struct pcache *l2 = &p->l2, *l1 = op == CACHE_FETCH ? &p->l1i : &p->l1d;
    uint64_t set = line & l2->set_mask, *tags = &l2->tag[set * l2->stride];
    uint32_t way = pcache_way(tags, l2->stride, line << 3 | 7), state;
    p->stats.l1d_misses += op != CACHE_FETCH;
    p->stats.l1i_misses += op == CACHE_FETCH;
    if (likely(way != UINT32_MAX)) {
        p->stats.l2_hits++;
        if (op == CACHE_WRITE && (tags[way] & 3) == LINE_SHARED)
            t = upgrade(c, core, line, t);
        /* No branch: the host cannot know which accesses are stores. */
        tags[way] |= (uint64_t)(op == CACHE_WRITE) * LINE_MODIFIED;
        state = tags[way] & 3;
        t += c->l2_ps;
        l2->lru[set] = lru_touch(l2->lru[set], way);
    } else {
        p->stats.l2_misses++;
        t = l2_fill(c, core, line, op == CACHE_WRITE, t + c->l2_ps, &state);
    }
    l1_install(l1, line, state);
    return t;
}

ps_t cache_l1_miss(struct caches *c, uint32_t core, uint64_t line, enum cache_op op, ps_t t)
{
    if (unlikely(c->core[core].prefetch))
        return prefetch_access(c, core, line, op, t);
    return demand(c, core, line, op, t);
}

ps_t cache_demand(struct caches *c, uint32_t core, uint64_t line, enum cache_op op, ps_t t)
{
    return demand(c, core, line, op, t);
}

ps_t cache_bring(struct caches *c, uint32_t core, uint64_t line, ps_t t)
{
    uint32_t state;
    return l2_fill(c, core, line, false, t + c->l2_ps, &state);
}

ps_t cache_first_store(struct caches *c, uint32_t core, uint64_t line, uint64_t *l1_tag, ps_t t)
{
    uint64_t *l2 = pcache_find(&c->core[core].l2, line);
    ps_t done = t + c->l1_ps;
    CHECK(l2);
    if ((*l2 & 3) == LINE_SHARED)
        done = upgrade(c, core, line, t);
    *l2 |= LINE_MODIFIED;
    *l1_tag |= LINE_MODIFIED;
    return done;
}

ps_t cache_flush(struct caches *c, uint32_t core, uint64_t line, enum flush_op op, ps_t t)
{
    struct core_cache *p = &c->core[core];
    bool keep = op == FLUSH_CLWB && c->conf.clwb_retains, dirty = false;
    uint32_t holder = 0;
    p->stats.flushes++;
    for (uint32_t s = 0; s < c->n_sockets; s++)
        if (llc_clean(c, s, line, keep)) {
            dirty = true;
            holder = s;
        }
    if (!dirty) /* an evicted copy may still be on its way into the controller */
        return numa_accepted_ps(c->numa, line, t + c->l1_ps);
    p->stats.flush_writebacks++;
    t = numa_write(c->numa, p->socket, line, t + c->llc_ps) + c->conf.flush_back_ps;
    if (keep)
        numa_kept(c->numa, holder, line);
    return t;
}

bool cache_holds(const struct caches *c, uint32_t core, uint64_t line)
{
    return core_holds(&c->core[core], line);
}

ps_t cache_ntstore(struct caches *c, uint32_t core, uint64_t line, ps_t t)
{
    struct core_cache *p = &c->core[core];
    p->stats.ntstores++;
    for (uint32_t s = 0; s < c->n_sockets; s++)
        llc_clean(c, s, line, false);
    t = numa_claim(c->numa, p->socket, line, t + c->llc_ps);
    return numa_write(c->numa, p->socket, line, t) + c->conf.ntstore_back_ps;
}

void cache_drain(struct caches *c, cache_drain_fn *dirty, void *ctx)
{
    for (uint32_t i = 0; i < c->n_cores; i++) {
        struct pcache *l2 = &c->core[i].l2;
        for (uint64_t k = 0; k < (l2->set_mask + 1) * l2->stride; k++) {
            uint64_t tag = l2->tag[k]; /* cleaning drops it */
            if (tag & 4 && llc_clean(c, c->core[i].socket, tag >> 3, false))
                dirty(ctx, c->core[i].socket, tag >> 3);
        }
    }
    for (uint32_t s = 0; s < c->n_sockets; s++)
        llc_drain(c, s, dirty, ctx);
}

struct write_back {
    struct caches *c;
    ps_t t;
};

static void write_back(void *ctx, uint32_t socket, uint64_t line)
{
    const struct write_back *w = ctx;
    numa_write(w->c->numa, socket, line, w->t);
}

void cache_write_back_all(struct caches *c, ps_t t)
{
    cache_drain(c, write_back, &(struct write_back){c, t});
}

static int verify_core(const struct caches *c, const struct core_cache *p, struct diag *d)
{
    const struct pcache *l1[2] = {&p->l1d, &p->l1i};
    for (int i = 0; i < 2; i++)
        for (uint64_t k = 0; k < (l1[i]->set_mask + 1) * l1[i]->stride; k++)
            if (l1[i]->tag[k] & 4 && !pcache_find(&p->l2, l1[i]->tag[k] >> 3))
                return fail(d, "cache: line %llx is in an L1 of core %u.%u but not in its L2",
                            (unsigned long long)l1[i]->tag[k] >> 3, p->socket, p->bit);
    for (uint64_t k = 0; k < (p->l2.set_mask + 1) * p->l2.stride; k++) {
        uint64_t tag = p->l2.tag[k], *l1d = tag & 4 ? pcache_find(&p->l1d, tag >> 3) : NULL;
        if (l1d && *l1d != tag)
            return fail(d, "cache: core %u.%u holds line %llx in state %u in its L1, in state %u in its L2", p->socket,
                        p->bit, (unsigned long long)tag >> 3, (uint32_t)(*l1d & 3), (uint32_t)(tag & 3));
        if (tag & 4 && llc_verify_line(c, p, tag >> 3, tag & 3, d))
            return -1;
    }
    return 0;
}

int caches_verify(const struct caches *c, struct diag *d)
{
    for (uint32_t i = 0; i < c->n_cores; i++)
        if (verify_core(c, &c->core[i], d))
            return -1;
    return 0;
}

/* ---- checkpoints ---- */

static void pcache_state(struct pcache *p, struct ckpt *k)
{
    ckpt_bytes(k, p->tag, (p->set_mask + 1) * p->stride * sizeof *p->tag);
    ckpt_bytes(k, p->lru, (p->set_mask + 1) * sizeof *p->lru);
}

void caches_state(struct caches *c, struct ckpt *k)
{
    ckpt_section(k, "caches");
    ckpt_same(k, c->n_cores, "cores");
    for (uint32_t i = 0; i < c->n_cores; i++) {
        struct core_cache *p = &c->core[i];
        pcache_state(&p->l1d, k);
        pcache_state(&p->l1i, k);
        pcache_state(&p->l2, k);
        if (p->prefetch)
            prefetcher_state(p->prefetch, k);
        CKPT(k, p->stats);
    }
    for (uint32_t s = 0; s < c->n_sockets; s++) {
        llc_state(&c->llc[s], k);
        snoop_state(c, &c->snoop[s], k);
    }
}

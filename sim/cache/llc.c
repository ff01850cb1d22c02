/* SPDX-License-Identifier: MIT */
#include "sim/cache/llc.h"

#include <stdlib.h>

const struct stat_desc llc_stat_desc[] = {
    {"fills", STAT_COUNT, "lines", "L2 victims taken in"},
    {"evictions", STAT_COUNT, "lines", "lines that made room"},
    {"writebacks", STAT_COUNT, "lines", "dirty lines written to memory"},
    {"snoop_evictions", STAT_COUNT, "lines", "snoop filter entries that made room: their lines leave the cores"},
};
STATS_COMPLETE(struct llc_stats, llc_stat_desc);

int llc_init(struct llc *l, const struct cache_conf *conf, uint64_t max_line, struct diag *d)
{
    uint64_t sets = conf->llc_slice_bytes / LINE_BYTES / conf->llc_ways;
    if (sets == 0 || (sets & (sets - 1)) || sets * conf->llc_ways * LINE_BYTES != conf->llc_slice_bytes)
        return fail(d, "machine.cache.llc_slice: %llu bytes in %llu ways do not give a power of two of sets",
                    (unsigned long long)conf->llc_slice_bytes, (unsigned long long)conf->llc_ways);
    *l = (struct llc){
        .ways = (uint32_t)conf->llc_ways,
        .snoop_ways = (uint32_t)conf->snoop_ways,
        .data_stride = (uint32_t)(conf->llc_ways + 3) & ~3u,
        .snoop_stride = (uint32_t)(conf->snoop_ways + 1) & ~1u,
        .slices = (uint32_t)conf->llc_slices,
        .slice_set_bits = (uint32_t)__builtin_ctzll(sets),
    };
    if ((max_line - 1) >> l->slice_set_bits >= 1ull << 29)
        return fail(d, "machine.cache.llc_slice: %llu sets are too few for the machine's memory (29-bit tags)",
                    (unsigned long long)sets);
    l->lru_at = l->data_stride * 4;
    l->snoop_at = (l->lru_at + 16 + 63) & ~63u;
    l->set_bytes = (l->snoop_at + l->snoop_stride * 8 + 63) & ~63u;
    l->sets = xaligned(64, sets * l->slices * l->set_bytes);
    for (uint64_t i = 0; i < sets * l->slices; i++) {
        uint64_t *lru = (uint64_t *)(void *)(l->sets + i * l->set_bytes + l->lru_at);
        lru[0] = lru[1] = LRU_INIT;
    }
    return 0;
}

void llc_fini(struct llc *l)
{
    free(l->sets);
}

/* ---- one set ---- */

static uint32_t *data_tags(uint8_t *set)
{
    return (uint32_t *)(void *)set;
}
static uint64_t *lru_words(const struct llc *l, uint8_t *set) /* [0] data, [1] snoop filter */
{
    return (uint64_t *)(void *)(set + l->lru_at);
}
static uint64_t *snoop_tags(const struct llc *l, uint8_t *set)
{
    return (uint64_t *)(void *)(set + l->snoop_at);
}
static uint32_t tag_key(const struct llc *l, uint64_t line)
{
    return (uint32_t)(line >> l->slice_set_bits) << 3 | 4;
}

static uint32_t *data_find(const struct llc *l, uint8_t *set, uint64_t line)
{
    const __m128i *p = (const __m128i *)(const void *)set;
    const __m128i want = _mm_set1_epi32((int)(tag_key(l, line) | 3)), state = _mm_set1_epi32(3);
    uint32_t mask = 0;
    for (uint32_t i = 0; i < l->data_stride / 4; i++) {
        __m128i eq = _mm_cmpeq_epi32(_mm_or_si128(p[i], state), want);
        mask |= (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(eq)) << 4 * i;
    }
    return mask ? data_tags(set) + __builtin_ctz(mask) : NULL;
}

static uint64_t *snoop_find(const struct llc *l, uint8_t *set, uint64_t line)
{
    const __m128i *p = (const __m128i *)(const void *)(set + l->snoop_at);
    const __m128i want = _mm_set1_epi64x(tag_key(l, line)), low = _mm_set1_epi64x(0xffffffff);
    uint32_t mask = 0;
    for (uint32_t i = 0; i < l->snoop_stride / 2; i++) {
        __m128i eq = _mm_cmpeq_epi64(_mm_and_si128(p[i], low), want);
        mask |= (uint32_t)_mm_movemask_pd(_mm_castsi128_pd(eq)) << 2 * i;
    }
    return mask ? snoop_tags(l, set) + __builtin_ctz(mask) : NULL;
}

static void data_drop(const struct llc *l, uint8_t *set, uint32_t *tag)
{
    uint64_t *lru = lru_words(l, set);
    lru[0] = lru_retire(lru[0], (uint32_t)(tag - data_tags(set)), l->ways);
    *tag = 0;
}

static void snoop_drop(const struct llc *l, uint8_t *set, uint64_t *entry)
{
    uint64_t *lru = lru_words(l, set);
    lru[1] = lru_retire(lru[1], (uint32_t)(entry - snoop_tags(l, set)), l->snoop_ways);
    *entry = 0;
}

/* The line number that a tag of this set stands for: the tag and the set index are the whole line; the slice is a hash.
 */
static uint64_t tag_line(const struct llc *l, const uint8_t *set, uint32_t tag)
{
    uint64_t index = (uint64_t)(set - l->sets) / l->set_bytes;
    return (uint64_t)(tag >> 3) << l->slice_set_bits | (index & ((1ull << l->slice_set_bits) - 1));
}

/* Puts a line into the data array; the victim goes to memory if it is dirty. */
static void data_fill(struct caches *c, uint32_t socket, uint8_t *set, uint64_t line, uint32_t state, ps_t t)
{
    struct llc *l = &c->llc[socket];
    uint64_t *lru = lru_words(l, set);
    uint32_t *hit = data_find(l, set, line), way = lru_victim(lru[0], l->ways);
    if (hit) { /* already there: only its state may rise to modified */
        *hit |= state == LINE_MODIFIED ? LINE_MODIFIED : 0;
        return;
    }
    uint32_t *tag = &data_tags(set)[way];
    if (*tag & 4) {
        l->stats.evictions++;
        if ((*tag & 3) == LINE_MODIFIED) {
            l->stats.writebacks++;
            numa_write(c->numa, socket, tag_line(l, set, *tag), t);
        }
    }
    l->stats.fills++;
    *tag = tag_key(l, line) | state;
    lru[0] = lru_touch(lru[0], way);
}

/* ---- cores of a socket ---- */

static bool invalidate_sharers(struct caches *c, uint32_t socket, uint32_t sharers, uint64_t line)
{
    bool dirty = false;
    for (; sharers; sharers &= sharers - 1) {
        struct core_cache *p = &c->core[socket * c->cores_a_socket + (uint32_t)__builtin_ctz(sharers)];
        dirty |= core_invalidate(p, line);
        p->stats.back_invalidations++;
    }
    return dirty;
}

static bool downgrade_sharers(struct caches *c, uint32_t socket, uint32_t sharers, uint64_t line, uint32_t state)
{
    bool dirty = false;
    for (; sharers; sharers &= sharers - 1)
        dirty |= core_downgrade(&c->core[socket * c->cores_a_socket + (uint32_t)__builtin_ctz(sharers)], line, state);
    return dirty;
}

/* Notes that the core now holds the line; a snoop filter entry that makes room takes its line out of the cores. */
static void snoop_add(struct caches *c, const struct core_cache *p, uint8_t *set, uint64_t line, ps_t t)
{
    struct llc *l = &c->llc[p->socket];
    uint64_t *lru = lru_words(l, set), *entry = snoop_find(l, set, line);
    uint32_t way;
    if (entry) {
        way = (uint32_t)(entry - snoop_tags(l, set));
    } else {
        way = lru_victim(lru[1], l->snoop_ways);
        entry = &snoop_tags(l, set)[way];
        if (*entry & 4) {
            uint64_t old = tag_line(l, set, (uint32_t)*entry);
            l->stats.snoop_evictions++;
            if (invalidate_sharers(c, p->socket, (uint32_t)(*entry >> 32), old))
                data_fill(c, p->socket, set, old, LINE_MODIFIED, t);
        }
        *entry = tag_key(l, line);
    }
    *entry |= 1ull << (32 + p->bit);
    lru[1] = lru_touch(lru[1], way);
}

/* ---- between sockets ---- */

struct snoop_result {
    bool found, dirty;
    ps_t reply_ps; /* when the farthest socket that had it has answered */
};

/* Asks every other socket that has ever cached anything; write: they give the line up, else they keep it shared. */
static struct snoop_result snoop_others(struct caches *c, uint32_t socket, uint64_t line, bool write, ps_t t)
{
    struct snoop_result r = {.reply_ps = t};
    for (uint32_t s = 0; s < c->n_sockets; s++) {
        struct llc *l = &c->llc[s];
        if (s == socket || !l->is_active)
            continue;
        uint8_t *set = llc_set(l, line);
        uint64_t *entry = snoop_find(l, set, line);
        uint32_t *tag = data_find(l, set, line), sharers = entry ? (uint32_t)(*entry >> 32) : 0;
        if (!entry && !tag)
            continue;
        r.found = true;
        r.reply_ps = max_u64(r.reply_ps, t + numa_round_trip(c->numa, socket, s) + c->llc_ps);
        r.dirty |= tag && (*tag & 3) == LINE_MODIFIED;
        if (write) {
            r.dirty |= invalidate_sharers(c, s, sharers, line);
            if (entry)
                snoop_drop(l, set, entry);
            if (tag)
                data_drop(l, set, tag);
        } else {
            r.dirty |= downgrade_sharers(c, s, sharers, line, LINE_SHARED);
            if (tag)
                *tag = (*tag & ~3u) | LINE_SHARED;
        }
    }
    return r;
}

/* The line is in no cache of the socket. A dirty copy elsewhere is written home and forwarded (MESI has no owned
 * state). */
static ps_t miss(struct caches *c, uint32_t socket, uint64_t line, bool write, ps_t t, uint32_t *state)
{
    struct snoop_result r = snoop_others(c, socket, line, write, t);
    *state = write ? LINE_MODIFIED : r.found ? LINE_SHARED : LINE_EXCLUSIVE;
    if (r.dirty)
        numa_write(c->numa, socket, line, r.reply_ps);
    return r.found ? r.reply_ps : numa_read(c->numa, socket, line, t);
}

/* Another core of the socket has the line. */
static ps_t from_sharers(struct caches *c, const struct core_cache *p, uint8_t *set, uint64_t *entry, uint64_t line,
                         bool write, ps_t t, uint32_t *state)
{
    struct llc *l = &c->llc[p->socket];
    uint32_t sharers = (uint32_t)(*entry >> 32), *tag = data_find(l, set, line);
    t += c->snoop_ps;
    if (write) {
        invalidate_sharers(c, p->socket, sharers, line);
        *entry &= 0xffffffff;
        if (tag)
            data_drop(l, set, tag);
        *state = LINE_MODIFIED;
        return snoop_others(c, p->socket, line, true, t).reply_ps;
    }
    /* A dirty line becomes shared by the cores and dirty in the LLC, which stays responsible for memory. */
    if (downgrade_sharers(c, p->socket, sharers, line, LINE_SHARED))
        data_fill(c, p->socket, set, line, LINE_MODIFIED, t);
    *state = LINE_SHARED;
    return t;
}

ps_t llc_request(struct caches *c, uint32_t core, uint64_t line, bool write, ps_t t, uint32_t *state)
{
    struct core_cache *p = &c->core[core];
    struct llc *l = &c->llc[p->socket];
    uint8_t *set = llc_set(l, line);
    uint64_t *entry = snoop_find(l, set, line);
    uint32_t *tag;
    l->is_active = true;
    t += c->llc_ps - c->l2_ps;
    if (entry) {
        p->stats.snoop_hits++;
        t = from_sharers(c, p, set, entry, line, write, t, state);
    } else if ((tag = data_find(l, set, line))) {
        /* The line moves up: the LLC holds what no core of the socket holds. */
        p->stats.llc_hits++;
        *state = *tag & 3;
        data_drop(l, set, tag);
        if (write && *state == LINE_SHARED)
            t = snoop_others(c, p->socket, line, true, t).reply_ps;
        *state = write ? LINE_MODIFIED : *state;
    } else {
        p->stats.llc_misses++;
        t = miss(c, p->socket, line, write, t, state);
    }
    snoop_add(c, p, set, line, t);
    return t;
}

ps_t llc_claim(struct caches *c, uint32_t core, uint64_t line, ps_t t)
{
    struct core_cache *p = &c->core[core];
    struct llc *l = &c->llc[p->socket];
    uint8_t *set = llc_set(l, line);
    uint64_t *entry = snoop_find(l, set, line);
    uint32_t *tag = data_find(l, set, line), me = 1u << p->bit;
    CHECK(entry);
    t += c->llc_ps;
    if ((uint32_t)(*entry >> 32) & ~me) {
        invalidate_sharers(c, p->socket, (uint32_t)(*entry >> 32) & ~me, line);
        *entry = (*entry & 0xffffffff) | (uint64_t)me << 32;
        t += c->snoop_ps;
    }
    if (tag)
        data_drop(l, set, tag);
    return snoop_others(c, p->socket, line, true, t).reply_ps;
}

void llc_take_victim(struct caches *c, struct core_cache *p, uint64_t line, uint32_t state, ps_t t)
{
    struct llc *l = &c->llc[p->socket];
    uint8_t *set = llc_set(l, line);
    uint64_t *entry = snoop_find(l, set, line);
    CHECK(entry);
    *entry &= ~(1ull << (32 + p->bit));
    if (*entry >> 32 == 0)
        snoop_drop(l, set, entry);
    else if (state != LINE_MODIFIED)
        return; /* other cores still hold it */
    data_fill(c, p->socket, set, line, state, t);
}

bool llc_clean(struct caches *c, uint32_t socket, uint64_t line, bool keep)
{
    struct llc *l = &c->llc[socket];
    if (!l->is_active)
        return false;
    uint8_t *set = llc_set(l, line);
    uint64_t *entry = snoop_find(l, set, line);
    uint32_t *tag = data_find(l, set, line), sharers = entry ? (uint32_t)(*entry >> 32) : 0;
    bool dirty = tag && (*tag & 3) == LINE_MODIFIED;
    if (keep) {
        if (dirty)
            *tag = (*tag & ~3u) | (entry ? LINE_SHARED : LINE_EXCLUSIVE);
        return downgrade_sharers(c, socket, sharers, line, LINE_EXCLUSIVE) || dirty;
    }
    dirty |= invalidate_sharers(c, socket, sharers, line);
    if (entry)
        snoop_drop(l, set, entry);
    if (tag)
        data_drop(l, set, tag);
    return dirty;
}

void llc_write_back_all(struct caches *c, uint32_t socket, ps_t t)
{
    struct llc *l = &c->llc[socket];
    for (uint64_t i = 0; i < (uint64_t)l->slices << l->slice_set_bits; i++) {
        uint8_t *set = l->sets + i * l->set_bytes;
        for (uint32_t w = 0; w < l->ways; w++) {
            uint32_t *tag = &data_tags(set)[w];
            if ((*tag & 7) == (4 | LINE_MODIFIED))
                numa_write(c->numa, socket, tag_line(l, set, *tag), t);
            if (*tag & 4)
                data_drop(l, set, tag);
        }
    }
}

int llc_verify_line(const struct caches *c, const struct core_cache *p, uint64_t line, uint64_t state, struct diag *d)
{
    uint32_t holders = 0;
    for (uint32_t s = 0; s < c->n_sockets; s++) {
        const struct llc *l = &c->llc[s];
        uint8_t *set = llc_set(l, line);
        const uint64_t *entry = snoop_find(l, set, line);
        const uint32_t *tag = data_find(l, set, line);
        uint32_t sharers = entry ? (uint32_t)(*entry >> 32) : 0;
        if (s == p->socket && !(sharers >> p->bit & 1))
            return fail(d, "cache: core %u.%u holds line %llx, its snoop filter does not know", p->socket, p->bit,
                        (unsigned long long)line);
        holders += (uint32_t)__builtin_popcount(sharers) + (tag != NULL);
    }
    if (state != LINE_SHARED && holders != 1)
        return fail(d, "cache: core %u.%u holds line %llx alone, but %u places hold it", p->socket, p->bit,
                    (unsigned long long)line, holders);
    return 0;
}

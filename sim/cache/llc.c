/* SPDX-License-Identifier: MIT */
#include "sim/cache/llc.h"

#include <stdlib.h>

const struct stat_desc llc_stat_desc[] = {
    {"fills", STAT_COUNT, "lines", "L2 victims taken in"},
    {"evictions", STAT_COUNT, "lines", "lines that made room"},
    {"writebacks", STAT_COUNT, "lines", "dirty lines written to memory"},
};
STATS_COMPLETE(struct llc_stats, llc_stat_desc);

static uint32_t *data_tags(uint8_t *set)
{
    return (uint32_t *)(void *)set;
}
static uint64_t *lru_word(const struct llc *l, uint8_t *set)
{
    return (uint64_t *)(void *)(set + l->lru_at);
}

int llc_init(struct llc *l, const struct cache_conf *conf, uint64_t max_line, struct diag *d)
{
    uint64_t sets = conf->llc_slice_bytes / LINE_BYTES / conf->llc_ways;
    if (sets == 0 || (sets & (sets - 1)) || sets * conf->llc_ways * LINE_BYTES != conf->llc_slice_bytes)
        return fail(d, "machine.cache.llc_slice: %llu bytes in %llu ways do not give a power of two of sets",
                    (unsigned long long)conf->llc_slice_bytes, (unsigned long long)conf->llc_ways);
    *l = (struct llc){
        .ways = (uint32_t)conf->llc_ways,
        .stride = (uint32_t)(conf->llc_ways + 3) & ~3u,
        .slices = (uint32_t)conf->llc_slices,
        .slice_set_bits = (uint32_t)__builtin_ctzll(sets),
    };
    if ((max_line - 1) >> l->slice_set_bits >= 1ull << 29)
        return fail(d, "machine.cache.llc_slice: %llu sets are too few for the machine's memory (29-bit tags)",
                    (unsigned long long)sets);
    l->lru_at = l->stride * 4;
    l->set_shift = l->lru_at + 8 <= 64 ? 6 : 7;
    l->sets = xhuge(sets * l->slices << l->set_shift);
    for (uint64_t i = 0; i < sets * l->slices; i++)
        *lru_word(l, l->sets + (i << l->set_shift)) = LRU_INIT;
    return 0;
}

void llc_fini(struct llc *l)
{
    free(l->sets);
}

/* ---- snoop filter ---- */

/* Where the cores of the socket that hold the line are noted, with room to change it; found = false if none does. */
struct sharers {
    struct snoop_bucket *bucket;
    uint32_t way; /* SNOOP_WAYS: in the spill map */
    uint32_t cores;
};

static inline struct sharers snoop_find(const struct caches *c, uint32_t socket, uint64_t line)
{
    const struct snoop_filter *f = &c->snoop[socket];
    if (!f->bucket)
        return (struct sharers){.cores = f->sole && core_holds(f->sole, line) ? 1u << f->sole->bit : 0};
    struct snoop_bucket *b = snoop_bucket(f, line);
    for (uint32_t w = 0; w < SNOOP_WAYS; w++)
        if (b->line[w] == line + 1)
            return (struct sharers){b, w, b->sharers[w]};
    const uint64_t *cores = unlikely(b->n_spilled) ? map_get(&f->spill, line) : NULL;
    return (struct sharers){b, SNOOP_WAYS, cores ? (uint32_t)*cores : 0};
}

/* ---- one set ---- */

static uint32_t tag_key(const struct llc *l, uint64_t line)
{
    return (uint32_t)(line >> l->slice_set_bits) << 3 | 4;
}

/* Four tags make a step; 12 (11 ways) and 16 are the usual lengths. */
static inline uint32_t *data_find(const struct llc *l, uint8_t *set, uint64_t line)
{
    const __m128i *p = (const __m128i *)(const void *)set;
    const __m128i want = _mm_set1_epi32((int)(tag_key(l, line) | 3)), state = _mm_set1_epi32(3);
    __m128i a = _mm_cmpeq_epi32(_mm_or_si128(p[0], state), want), b = _mm_setzero_si128(), c = b, d = b;
    if (l->stride > 4)
        b = _mm_cmpeq_epi32(_mm_or_si128(p[1], state), want);
    if (l->stride > 8)
        c = _mm_cmpeq_epi32(_mm_or_si128(p[2], state), want);
    if (l->stride > 12)
        d = _mm_cmpeq_epi32(_mm_or_si128(p[3], state), want);
    uint32_t mask = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)));
    return mask ? data_tags(set) + __builtin_ctz(mask) : NULL;
}

static void data_drop(const struct llc *l, uint8_t *set, uint32_t *tag)
{
    uint64_t *lru = lru_word(l, set);
    *lru = lru_retire(*lru, (uint32_t)(tag - data_tags(set)), l->ways);
    *tag = 0;
}

/* The line number that a tag of this set stands for: the tag and the set index are the whole line; the slice is a hash.
 */
static uint64_t tag_line(const struct llc *l, const uint8_t *set, uint32_t tag)
{
    uint64_t index = (uint64_t)(set - l->sets) >> l->set_shift;
    return (uint64_t)(tag >> 3) << l->slice_set_bits | (index & ((1ull << l->slice_set_bits) - 1));
}

/* A dirty line leaves the LLC; cores of the socket may still share it. */
static void write_back(struct caches *c, uint32_t socket, uint64_t line, ps_t t)
{
    bool may_stay = c->numa->directory.n_lines;
    numa_write(c->numa, socket, line, t);
    if (unlikely(may_stay) && snoop_find(c, socket, line).cores)
        numa_kept(c->numa, socket, line);
}

/* Puts a line into the data array; the victim goes to memory if it is dirty. */
static void data_fill(struct caches *c, uint32_t socket, uint8_t *set, uint64_t line, uint32_t state, bool is_alone,
                      ps_t t)
{
    struct llc *l = &c->llc[socket];
    uint64_t *lru = lru_word(l, set);
    uint32_t way = lru_victim(*lru, l->ways);
    /* Only a line that is shared, or becomes so, can be here already: what a core holds alone the LLC gave up. */
    uint32_t *hit = is_alone ? NULL : data_find(l, set, line);
    if (hit) { /* already there: only its state may rise to modified */
        *hit |= state == LINE_MODIFIED ? LINE_MODIFIED : 0;
        return;
    }
    uint32_t *tag = &data_tags(set)[way];
    l->stats.evictions += *tag >> 2 & 1;
    if ((*tag & 7) == (4 | LINE_MODIFIED)) {
        l->stats.writebacks++;
        write_back(c, socket, tag_line(l, set, *tag), t);
    }
    l->stats.fills++;
    *tag = tag_key(l, line) | state;
    *lru = lru_renew(*lru, l->ways);
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

/* ---- changes of the snoop filter ---- */

static bool snoop_put(struct snoop_filter *f, uint64_t line, uint32_t cores)
{
    struct snoop_bucket *b = snoop_bucket(f, line);
    for (uint32_t w = 0; w < SNOOP_WAYS; w++)
        if (b->line[w] == 0) {
            b->line[w] = line + 1;
            b->sharers[w] = cores;
            return true;
        }
    return false;
}

static void snoop_insert(struct snoop_filter *f, uint64_t line, uint32_t cores)
{
    if (snoop_put(f, line, cores))
        return;
    *map_put(&f->spill, line) = cores;
    snoop_bucket(f, line)->n_spilled++;
}

/* Doubles the table; the spilled lines get another chance. */
static void snoop_grow(struct snoop_filter *f)
{
    struct snoop_filter old = *f;
    f->n_buckets = old.n_buckets ? old.n_buckets * 2 : 1024;
    f->bucket = xhuge(f->n_buckets * sizeof *f->bucket);
    f->spill = (struct map){0};
    for (uint64_t i = 0; i < old.n_buckets; i++)
        for (uint32_t w = 0; w < SNOOP_WAYS; w++)
            if (old.bucket[i].line[w])
                snoop_insert(f, old.bucket[i].line[w] - 1, old.bucket[i].sharers[w]);
    for (uint64_t i = 0; old.spill.n && i <= old.spill.mask; i++)
        if (old.spill.key[i] != UINT64_MAX)
            snoop_insert(f, old.spill.key[i], (uint32_t)old.spill.val[i]);
    map_free(&old.spill);
    free(old.bucket);
}

/* A core is about to cache a line for the first time since the filter had no table: if it is not the only one, the
 * table is made from what the first one holds. */
static void snoop_join(struct snoop_filter *f, struct core_cache *p)
{
    if (!f->sole) {
        f->sole = p;
        return;
    }
    const struct pcache *l2 = &f->sole->l2;
    snoop_grow(f);
    for (uint64_t i = 0; i < (l2->set_mask + 1) * l2->stride; i++) {
        if (!(l2->tag[i] & 4))
            continue;
        if (f->n_lines++ >= 2 * f->n_buckets)
            snoop_grow(f);
        snoop_insert(f, l2->tag[i] >> 3, 1u << f->sole->bit);
    }
}

/* The line's sharers become cores; 0 removes it. s is what snoop_find said of this line, and nothing changed since. */
static void snoop_table_set(struct snoop_filter *f, const struct sharers *s, uint64_t line, uint32_t cores)
{
    if (s->cores == 0 && cores) {
        if (f->n_lines++ >= 2 * f->n_buckets)
            snoop_grow(f);
        snoop_insert(f, line, cores);
    } else if (s->way < SNOOP_WAYS) {
        s->bucket->sharers[s->way] = cores;
        if (cores == 0)
            s->bucket->line[s->way] = 0;
        f->n_lines -= cores == 0;
    } else if (s->cores && cores) {
        *map_put(&f->spill, line) = cores;
    } else if (s->cores) {
        map_del(&f->spill, line);
        s->bucket->n_spilled--;
        f->n_lines--;
    }
}

/* Without a table the L2 of the sole core is the filter, and changes with it. */
static inline void snoop_set(struct snoop_filter *f, const struct sharers *s, uint64_t line, uint32_t cores)
{
    if (f->bucket)
        snoop_table_set(f, s, line, cores);
}

void snoop_fini(struct snoop_filter *f)
{
    map_free(&f->spill);
    free(f->bucket);
}

/* ---- between sockets ---- */

struct snoop_result {
    bool found, dirty;
    ps_t reply_ps; /* when the farthest socket that had it has answered */
};

static __attribute__((noinline)) struct snoop_result snoop_sockets(struct caches *c, uint32_t socket, uint64_t line,
                                                                   bool write, ps_t t)
{
    struct snoop_result r = {.reply_ps = t};
    for (uint32_t s = 0; s < c->n_sockets; s++) {
        struct llc *l = &c->llc[s];
        if (s == socket || !c->snoop[s].sole)
            continue;
        uint8_t *set = llc_set(l, line);
        uint32_t *tag = data_find(l, set, line);
        struct sharers sharers = snoop_find(c, s, line);
        if (!sharers.cores && !tag)
            continue;
        r.found = true;
        r.reply_ps = max_u64(r.reply_ps, t + numa_round_trip(c->numa, socket, s) + c->llc_ps);
        r.dirty |= tag && (*tag & 3) == LINE_MODIFIED;
        if (write) {
            r.dirty |= invalidate_sharers(c, s, sharers.cores, line);
            snoop_set(&c->snoop[s], &sharers, line, 0);
            if (tag)
                data_drop(l, set, tag);
        } else {
            r.dirty |= downgrade_sharers(c, s, sharers.cores, line, LINE_SHARED);
            if (tag)
                *tag = (*tag & ~3u) | LINE_SHARED;
        }
    }
    return r;
}

/* Asks every other socket that has ever cached anything; write: they give the line up, else they keep it shared. */
static inline struct snoop_result snoop_others(struct caches *c, uint32_t socket, uint64_t line, bool write, ps_t t)
{
    if (c->n_sockets == 1)
        return (struct snoop_result){.reply_ps = t};
    return snoop_sockets(c, socket, line, write, t);
}

/* The line is in no cache of the socket. A dirty copy elsewhere is written home and forwarded (MESI has no owned
 * state). */
static ps_t miss(struct caches *c, uint32_t socket, uint64_t line, bool write, ps_t t, uint32_t *state)
{
    struct snoop_result r = snoop_others(c, socket, line, write, t);
    *state = write ? LINE_MODIFIED : r.found ? LINE_SHARED : LINE_EXCLUSIVE;
    if (likely(!r.found))
        return numa_read(c->numa, socket, line, t);
    if (r.dirty)
        numa_write(c->numa, socket, line, r.reply_ps);
    numa_passed(c->numa, socket, line, !write, r.dirty, r.reply_ps);
    return r.reply_ps;
}

/* Another core of the socket has the line. */
static ps_t from_sharers(struct caches *c, const struct core_cache *p, uint8_t *set, struct sharers *sharers,
                         uint64_t line, bool write, ps_t t, uint32_t *state)
{
    struct llc *l = &c->llc[p->socket];
    uint32_t *tag = data_find(l, set, line);
    t += c->snoop_ps;
    if (write) {
        invalidate_sharers(c, p->socket, sharers->cores, line);
        snoop_set(&c->snoop[p->socket], sharers, line, 1u << p->bit);
        if (tag)
            data_drop(l, set, tag);
        *state = LINE_MODIFIED;
        return snoop_others(c, p->socket, line, true, t).reply_ps;
    }
    /* A dirty line becomes shared by the cores and dirty in the LLC, which stays responsible for memory. */
    if (downgrade_sharers(c, p->socket, sharers->cores, line, LINE_SHARED))
        data_fill(c, p->socket, set, line, LINE_MODIFIED, false, t);
    snoop_set(&c->snoop[p->socket], sharers, line, sharers->cores | 1u << p->bit);
    *state = LINE_SHARED;
    return t;
}

ps_t llc_request(struct caches *c, uint32_t core, uint64_t line, bool write, ps_t t, uint32_t *state)
{
    struct core_cache *p = &c->core[core];
    struct llc *l = &c->llc[p->socket];
    struct snoop_filter *f = &c->snoop[p->socket];
    uint8_t *set = llc_set(l, line);
    if (unlikely(!f->bucket && f->sole != p))
        snoop_join(f, p);
    /* A line that missed the L2 of the sole core is in no core. */
    struct sharers sharers = f->bucket ? snoop_find(c, p->socket, line) : (struct sharers){0};
    uint32_t *tag;
    t += c->llc_ps - c->l2_ps;
    if (sharers.cores) {
        p->stats.snoop_hits++;
        return from_sharers(c, p, set, &sharers, line, write, t, state);
    }
    if ((tag = data_find(l, set, line))) {
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
    snoop_set(&c->snoop[p->socket], &sharers, line, 1u << p->bit);
    return t;
}

ps_t llc_claim(struct caches *c, uint32_t core, uint64_t line, ps_t t)
{
    struct core_cache *p = &c->core[core];
    struct llc *l = &c->llc[p->socket];
    uint8_t *set = llc_set(l, line);
    struct sharers sharers = snoop_find(c, p->socket, line);
    uint32_t *tag = data_find(l, set, line), me = 1u << p->bit;
    CHECK(sharers.cores & me);
    t += c->llc_ps;
    if (sharers.cores & ~me) {
        invalidate_sharers(c, p->socket, sharers.cores & ~me, line);
        snoop_set(&c->snoop[p->socket], &sharers, line, me);
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
    if (c->snoop[p->socket].bucket) {
        struct sharers sharers = snoop_find(c, p->socket, line);
        uint32_t others = sharers.cores & ~(1u << p->bit);
        CHECK(sharers.cores != others);
        snoop_set(&c->snoop[p->socket], &sharers, line, others);
        if (others && state != LINE_MODIFIED)
            return; /* other cores still hold it */
    }
    data_fill(c, p->socket, set, line, state, state != LINE_SHARED, t);
}

bool llc_clean(struct caches *c, uint32_t socket, uint64_t line, bool keep)
{
    struct llc *l = &c->llc[socket];
    if (!c->snoop[socket].sole)
        return false;
    uint8_t *set = llc_set(l, line);
    uint32_t *tag = data_find(l, set, line);
    struct sharers sharers = snoop_find(c, socket, line);
    bool dirty = tag && (*tag & 3) == LINE_MODIFIED;
    if (keep) {
        if (dirty)
            *tag = (*tag & ~3u) | (sharers.cores ? LINE_SHARED : LINE_EXCLUSIVE);
        return downgrade_sharers(c, socket, sharers.cores, line, LINE_EXCLUSIVE) || dirty;
    }
    dirty |= invalidate_sharers(c, socket, sharers.cores, line);
    snoop_set(&c->snoop[socket], &sharers, line, 0);
    if (tag)
        data_drop(l, set, tag);
    return dirty;
}

void llc_drain(struct caches *c, uint32_t socket, cache_drain_fn *dirty, void *ctx)
{
    struct llc *l = &c->llc[socket];
    for (uint64_t i = 0; i < (uint64_t)l->slices << l->slice_set_bits; i++) {
        uint8_t *set = l->sets + (i << l->set_shift);
        for (uint32_t w = 0; w < l->ways; w++) {
            uint32_t *tag = &data_tags(set)[w];
            if ((*tag & 7) == (4 | LINE_MODIFIED))
                dirty(ctx, socket, tag_line(l, set, *tag));
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
        const uint32_t *tag = data_find(l, set, line);
        uint32_t sharers = snoop_find(c, s, line).cores;
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

/* ---- checkpoints ---- */

void llc_state(struct llc *l, struct ckpt *k)
{
    ckpt_bytes(k, l->sets, (uint64_t)l->slices << l->slice_set_bits << l->set_shift);
    CKPT(k, l->stats);
}

void snoop_state(struct caches *c, struct snoop_filter *f, struct ckpt *k)
{
    uint64_t sole = ckpt_count(k, f->sole ? (uint64_t)(f->sole - c->core) + 1 : 0, c->n_cores);
    f->sole = sole ? &c->core[sole - 1] : NULL;
    uint64_t n = ckpt_count(k, f->n_buckets, 1ull << 32);
    if (n & (n - 1)) {
        ckpt_fail(k, "section 'caches': a directory of %llu buckets", (unsigned long long)n);
        return;
    }
    if (ckpt_is_loading(k)) {
        free(f->bucket);
        f->bucket = n ? xhuge(n * sizeof *f->bucket) : NULL;
        f->n_buckets = n;
    }
    ckpt_bytes(k, f->bucket, n * sizeof *f->bucket);
    CKPT(k, f->n_lines);
    ckpt_map(k, &f->spill);
}

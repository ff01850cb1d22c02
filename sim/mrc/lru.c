/* SPDX-License-Identifier: MIT */
/* A hash table says when an id was last accessed; the time axis says how many distinct ids were accessed since. When
 * the axis is full, the instants in use are renumbered without gaps. Work is done in blocks so that the cache misses of
 * the table overlap. */
#include "sim/mrc/lru.h"

#include "sim/base/diag.h"
#include "sim/base/rng.h"
#include "sim/mrc/axis.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK         64  /* accesses handled together */
#define WAYS          5   /* ids in a bucket */
#define FIRST_BUCKETS 256 /* of an empty table */
#define AXIS_SPREAD   8   /* instants an axis has for each distinct id: renumbering is rare */
#define AXIS_LEAST    (1u << 16)
#define MAX_DISTINCT  (1ull << 31)

struct bucket {
    uint64_t id[WAYS];
    uint32_t time[WAYS]; /* instant + 1; 0 = empty */
    uint32_t spare;
};
_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

struct mrc_lru {
    struct bucket *bucket;
    uint64_t n_buckets, room; /* ids that may still be added before the table grows */
    struct axis axis;
    uint64_t accesses;
    uint32_t *hits; /* [distance], low 32 bits */
    uint64_t n_hits;
    uint32_t *hits_high; /* bits 32 and up, NULL until one of them is needed */
};

static uint64_t home_of(const struct mrc_lru *m, uint64_t hash)
{
    return (uint64_t)(((unsigned __int128)hash * m->n_buckets) >> 64);
}

/* The id's entry; an empty one, in which the id is entered, if it is new. Returns the address of its time. */
static inline __attribute__((always_inline)) uint32_t *find(struct mrc_lru *m, uint64_t id, uint64_t home)
{
    for (uint64_t b = home;; b = b + 1 == m->n_buckets ? 0 : b + 1) {
        struct bucket *k = &m->bucket[b];
        uint32_t match = 0, used = 0;
        for (uint32_t w = 0; w < WAYS; w++) {
            match |= (uint32_t)(k->id[w] == id) << w;
            used |= (uint32_t)(k->time[w] != 0) << w;
        }
        match &= used;
        if (__builtin_expect(match != 0, 1))
            return &k->time[__builtin_ctz(match)];
        if (used != (1u << WAYS) - 1) {
            uint32_t w = (uint32_t)__builtin_ctz(~used);
            k->id[w] = id;
            return &k->time[w];
        }
    }
}

/* Blocks of accesses: first the table (all misses on it overlap), then the axis. */
static void block(struct mrc_lru *m, const uint64_t *ids, uint32_t n, uint32_t *distance)
{
    uint64_t home[BLOCK];
    uint32_t last[BLOCK];
    struct axis a = m->axis;
    for (uint32_t i = 0; i < n; i++) {
        home[i] = home_of(m, hash64(ids[i]));
        host_prefetch(&m->bucket[home[i]]);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *time = find(m, ids[i], home[i]);
        last[i] = *time;
        *time = (uint32_t)(a.end + i + 1);
        host_prefetch(&a.bits[last[i] >> 6]);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (__builtin_expect(last[i] == 0, 0)) {
            distance[i] = 0;
            m->room--;
        } else {
            distance[i] = (uint32_t)(a.n_set - axis_rank(&a, last[i] - 1));
            axis_clear(&a, last[i] - 1);
        }
        axis_push(&a);
    }
    m->axis = a;
}

static uint64_t room_of(uint64_t n_buckets)
{
    return n_buckets * WAYS / 5 * 4;
}

struct mrc_lru *mrc_lru_new(void)
{
    struct mrc_lru *m = xcalloc(1, sizeof *m);
    m->n_buckets = FIRST_BUCKETS;
    m->room = room_of(m->n_buckets);
    m->bucket = xaligned(64, m->n_buckets * sizeof *m->bucket);
    m->n_hits = FIRST_BUCKETS * WAYS;
    m->hits = xcalloc(m->n_hits, sizeof *m->hits);
    axis_init(&m->axis, AXIS_LEAST, 0);
    return m;
}

void mrc_lru_free(struct mrc_lru *m)
{
    if (!m)
        return;
    axis_free(&m->axis);
    free(m->bucket);
    free(m->hits);
    free(m->hits_high);
    free(m);
}

/* Half as many buckets again. An id's home is in the order of the hashes, so both tables are walked front to back. */
static void grow_table(struct mrc_lru *m)
{
    struct bucket *old = m->bucket;
    uint64_t n_old = m->n_buckets;
    m->n_buckets = n_old + n_old / 2;
    m->bucket = xaligned(64, m->n_buckets * sizeof *m->bucket);
    for (uint64_t b = 0; b < n_old; b++) {
        for (uint32_t w = 0; w < WAYS && old[b].time[w]; w++)
            *find(m, old[b].id[w], home_of(m, hash64(old[b].id[w]))) = old[b].time[w];
    }
    free(old);
    m->room += room_of(m->n_buckets) - room_of(n_old);
}

/* Distances up to n have a counter. */
static void grow_hits(struct mrc_lru *m, uint64_t n)
{
    if (n < m->n_hits)
        return;
    uint64_t more = n + n / 4 + 1;
    m->hits = xrealloc(m->hits, more * sizeof *m->hits);
    memset(m->hits + m->n_hits, 0, (more - m->n_hits) * sizeof *m->hits);
    if (m->hits_high) {
        m->hits_high = xrealloc(m->hits_high, more * sizeof *m->hits_high);
        memset(m->hits_high + m->n_hits, 0, (more - m->n_hits) * sizeof *m->hits_high);
    }
    m->n_hits = more;
}

/* Renumbers the instants in use 0, 1, 2, ... */
static void compact(struct mrc_lru *m)
{
    for (uint64_t b = 0; b < m->n_buckets; b++) {
        struct bucket *k = &m->bucket[b];
        for (uint32_t w = 0; w < WAYS && k->time[w]; w++)
            k->time[w] = (uint32_t)axis_rank(&m->axis, k->time[w] - 1) + 1;
    }
    uint64_t n_set = m->axis.n_set, n_bits = n_set * AXIS_SPREAD;
    CHECK_MSG(n_set < MAX_DISTINCT, "a trace of more than 2^31 distinct ids");
    if (n_bits < AXIS_LEAST)
        n_bits = AXIS_LEAST;
    if (n_bits > UINT32_MAX - BLOCK)
        n_bits = UINT32_MAX - BLOCK;
    axis_free(&m->axis);
    axis_init(&m->axis, n_bits, n_set);
}

static void carry(struct mrc_lru *m, uint32_t d)
{
    if (!m->hits_high)
        m->hits_high = xcalloc(m->n_hits, sizeof *m->hits_high);
    m->hits_high[d]++;
}

void mrc_lru_distances(struct mrc_lru *m, const uint64_t *ids, uint64_t n, uint32_t *distance)
{
    while (n > 0) {
        uint32_t part = n < BLOCK ? (uint32_t)n : BLOCK;
        if (m->room < BLOCK)
            grow_table(m);
        if (m->axis.end + BLOCK > m->axis.n_bits)
            compact(m);
        block(m, ids, part, distance);
        ids += part;
        distance += part;
        n -= part;
    }
}

void mrc_lru_feed_distances(struct mrc_lru *m, const uint64_t *ids, uint64_t n, uint32_t *distance)
{
    mrc_lru_distances(m, ids, n, distance);
    grow_hits(m, m->axis.n_set);
    for (uint64_t i = 0; i < n; i++) {
        if (__builtin_expect(++m->hits[distance[i]] == 0, 0))
            carry(m, distance[i]);
    }
    m->accesses += n;
}

void mrc_lru_feed(struct mrc_lru *m, const uint64_t *ids, uint64_t n)
{
    uint32_t distance[8 * BLOCK];
    while (n > 0) {
        uint64_t part = n < 8 * BLOCK ? n : 8 * BLOCK;
        mrc_lru_feed_distances(m, ids, part, distance);
        ids += part;
        n -= part;
    }
}

uint64_t mrc_lru_depth(struct mrc_lru *m, uint64_t id)
{
    for (uint64_t b = home_of(m, hash64(id));; b = b + 1 == m->n_buckets ? 0 : b + 1) {
        const struct bucket *k = &m->bucket[b];
        for (uint32_t w = 0; w < WAYS; w++) {
            if (!k->time[w])
                return 0;
            if (k->id[w] == id)
                return m->axis.n_set - axis_rank(&m->axis, k->time[w] - 1);
        }
    }
}

/* Forgets the ids whose key is limit or more, and those last accessed before instant first. */
static uint64_t forget(struct mrc_lru *m, uint64_t odd, uint64_t limit, uint64_t first)
{
    struct bucket *old = m->bucket;
    uint64_t dropped = 0;
    m->bucket = xaligned(64, m->n_buckets * sizeof *m->bucket);
    for (uint64_t b = 0; b < m->n_buckets; b++) {
        for (uint32_t w = 0; w < WAYS && old[b].time[w]; w++) {
            uint64_t id = old[b].id[w];
            if (mrc_sample_key(id, odd) < limit && old[b].time[w] > first) {
                *find(m, id, home_of(m, hash64(id))) = old[b].time[w];
                continue;
            }
            axis_clear(&m->axis, old[b].time[w] - 1);
            dropped++;
        }
    }
    free(old);
    m->room += dropped;
    return dropped;
}

uint64_t mrc_lru_drop(struct mrc_lru *m, uint64_t odd, uint64_t limit)
{
    return forget(m, odd, limit, 0);
}

void mrc_lru_trim(struct mrc_lru *m, uint64_t n)
{
    if (n >= m->axis.n_set)
        return;
    uint64_t low = 0,
             high = m->axis.end - 1; /* the first instant with n_set - n set ones before it is in [low, high] */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (axis_rank(&m->axis, middle) >= m->axis.n_set - n)
            high = middle;
        else
            low = middle + 1;
    }
    forget(m, 1, UINT64_MAX, low);
}

struct mrc_lru *mrc_lru_copy(const struct mrc_lru *m)
{
    struct mrc_lru *to = xcalloc(1, sizeof *to);
    *to = (struct mrc_lru){.n_buckets = m->n_buckets, .room = m->room, .n_hits = m->n_hits};
    to->bucket = xaligned(64, m->n_buckets * sizeof *m->bucket);
    memcpy(to->bucket, m->bucket, m->n_buckets * sizeof *m->bucket);
    to->hits = xcalloc(m->n_hits, sizeof *to->hits);
    axis_copy(&to->axis, &m->axis);
    return to;
}

void mrc_lru_take_hits(struct mrc_lru *m, struct mrc_hits *h)
{
    *h = (struct mrc_hits){m->accesses, m->n_hits, m->hits, m->hits_high};
    m->accesses = 0;
    m->hits = xcalloc(m->n_hits, sizeof *m->hits);
    m->hits_high = NULL;
}

uint64_t mrc_lru_accesses(const struct mrc_lru *m)
{
    return m->accesses;
}

uint64_t mrc_lru_distinct(const struct mrc_lru *m)
{
    return m->axis.n_set;
}

uint64_t mrc_lru_hits_at(const struct mrc_lru *m, uint64_t d)
{
    const struct mrc_hits h = {m->accesses, m->n_hits, m->hits, m->hits_high};
    return d == 0 ? 0 : mrc_hits_at(&h, d);
}

void mrc_lru_misses(const struct mrc_lru *m, const uint64_t *size, uint64_t n, uint64_t *misses)
{
    uint64_t left = m->accesses, d = 0;
    for (uint64_t i = 0; i < n; i++) {
        CHECK(i == 0 || size[i] >= size[i - 1]);
        while (d < size[i] && d < m->axis.n_set)
            left -= mrc_lru_hits_at(m, ++d);
        misses[i] = left;
    }
}

void mrc_lru_state(struct mrc_lru *m, struct ckpt *c)
{
    uint64_t n = ckpt_count(c, m->n_buckets, 1ull << 32), n_hits, n_high;
    if (ckpt_is_loading(c)) {
        free(m->bucket);
        m->n_buckets = n;
        m->bucket = xaligned(64, (n + 1) * sizeof *m->bucket);
    }
    ckpt_bytes(c, m->bucket, n * sizeof *m->bucket);
    CKPT(c, m->room);
    CKPT(c, m->accesses);
    axis_state(&m->axis, c);
    n_hits = m->n_hits;
    ckpt_array(c, &m->hits, &n_hits, NULL, sizeof *m->hits, 1ull << 32);
    n_high = m->hits_high ? n_hits : 0;
    ckpt_array(c, &m->hits_high, &n_high, NULL, sizeof *m->hits_high, n_hits);
    m->n_hits = n_hits;
}

/* SPDX-License-Identifier: MIT */
/* The cache hierarchy: for each core L1I, L1D and an inclusive L2; for each socket a last-level cache (LLC) that takes
 * the L2's victims (non-inclusive, as Skylake-SP's) in slices chosen by an address hash, and beside each LLC set the
 * snoop filter that knows which cores hold a line. MESI within and between sockets; sockets snoop each other at a miss.
 *
 * Caches hold no bytes: the coherent bytes of a line live in its frame, and a write-back captures them (sim/imc). What
 * the tags decide is when that happens, and what it costs.
 *
 * Every call names the time at which the request starts and is answered with the time at which it is done.
 */
#ifndef QUIRE_CACHE_CACHE_H
#define QUIRE_CACHE_CACHE_H

#include "sim/base/conf.h"
#include "sim/base/lru.h"
#include "sim/base/map.h"
#include "sim/base/stats.h"
#include "sim/base/types.h"
#include "sim/numa/numa.h"

#include <immintrin.h>

/* State of a line in a private cache; the low two bits of its tag word. L1D and L2 agree on it, so that a line can
 * leave the L1 without a word. */
enum { LINE_SHARED = 1, LINE_EXCLUSIVE = 2, LINE_MODIFIED = 3 };

struct cache_conf {
    uint64_t l1i_bytes, l1i_ways, l1d_bytes, l1d_ways, l1_cycles;
    uint64_t l2_bytes, l2_ways, l2_cycles;
    uint64_t llc_slices, llc_slice_bytes, llc_ways, llc_cycles;
    uint64_t snoop_cycles;                   /* asking another core of the socket */
    uint64_t flush_back_ps, ntstore_back_ps; /* the controller's answer on its way to the core */
    uint64_t prefetch_next, prefetch_stride, prefetch_adjacent, prefetch_stream;
    uint64_t prefetch_ahead, prefetch_requests, prefetch_queue;
    uint64_t clwb_retains; /* 1: CLWB leaves the line in the cache, 0: it is invalidated as on Cascade Lake */
};
extern const struct conf_key cache_keys[];

struct core_cache_stats {
    uint64_t l1d_hits, l1d_misses, l1i_hits, l1i_misses;
    uint64_t l2_hits, l2_misses, l2_writebacks;
    uint64_t llc_hits, llc_misses;
    uint64_t snoop_hits, upgrades, back_invalidations;
    uint64_t flushes, flush_writebacks, ntstores;
    uint64_t prefetches, prefetch_useful, prefetch_late, prefetch_useless, prefetch_dropped;
    uint64_t l1_prefetches, l1_prefetch_useful;
};
extern const struct stat_desc core_cache_stat_desc[];
#define CORE_CACHE_N_STATS (sizeof(struct core_cache_stats) / sizeof(uint64_t))

struct llc_stats {
    uint64_t fills, evictions, writebacks;
};
extern const struct stat_desc llc_stat_desc[];
#define LLC_N_STATS (sizeof(struct llc_stats) / sizeof(uint64_t))

/* A private set-associative cache. Tag word: line << 3 | 4 | state; 0 = invalid. stride = ways rounded up to 4. */
struct pcache {
    uint64_t *tag;
    uint64_t *lru;
    uint64_t set_mask;
    uint32_t ways, stride;
};

/* LLC of a socket. A set is one or two host cache lines: 32-bit tags, line >> slice_set_bits << 3 | 4 | state (so at
 * most 29 bits of tag), then the LRU word. */
struct llc {
    uint8_t *sets;
    uint32_t set_shift; /* log2 of its bytes */
    uint32_t lru_at;    /* byte offset in a set */
    uint32_t ways, stride;
    uint32_t slices, slice_set_bits;
    struct llc_stats stats;
};

/* Snoop filter of a socket: which of its cores hold a line. It is exact and never full (a real one covers about 1.5
 * times the L2s), so it is a hash table that grows with the lines held, not with the machine: small enough to stay in
 * the host's caches. A bucket is one host cache line.
 *
 * While a single core of the socket has cached anything, its inclusive L2 says all that the filter would: there is no
 * table yet. It is made when a second core joins. */
#define SNOOP_WAYS 5u
struct snoop_bucket {
    uint64_t line[SNOOP_WAYS];    /* line number + 1; 0: free */
    uint32_t sharers[SNOOP_WAYS]; /* bit i = core i of the socket */
    uint32_t n_spilled;           /* lines of this bucket that did not fit and are in spill */
};
struct snoop_filter {
    struct core_cache *sole;     /* the only core that has cached anything so far, or NULL */
    struct snoop_bucket *bucket; /* NULL until a second core caches something */
    uint64_t n_buckets;          /* a power of two */
    uint64_t n_lines;
    struct map spill; /* line -> sharers */
};

struct prefetcher; /* sim/cache/prefetch.h */

struct core_cache {
    struct pcache l1d, l1i, l2;
    struct prefetcher *prefetch; /* NULL: off */
    uint32_t socket;
    uint32_t bit;     /* in the snoop filter's sharers */
    bool is_foreseen; /* somebody looks ahead (cache_foresee): a miss need not ask the host's caches */
    struct core_cache_stats stats;
};

struct caches {
    struct cache_conf conf;
    struct numa *numa;
    ps_t l1_ps, l2_ps, llc_ps, snoop_ps;
    uint32_t n_cores, cores_a_socket, n_sockets;
    struct core_cache *core;
    struct llc *llc;
    struct snoop_filter *snoop;
};

int caches_init(struct caches *c, const struct cache_conf *conf, struct numa *numa, uint32_t cores_a_socket,
                uint64_t core_hz, struct diag *d);
void caches_fini(struct caches *c);

enum cache_op { CACHE_READ, CACHE_WRITE, CACHE_FETCH };

/* Eight words: 64-bit lanes narrowed twice give two equal bytes a word; every second bit is kept. */
static inline uint32_t match8(const __m128i *p, __m128i want, __m128i state)
{
    __m128i a = _mm_cmpeq_epi64(_mm_or_si128(p[0], state), want), b = _mm_cmpeq_epi64(_mm_or_si128(p[1], state), want);
    __m128i c = _mm_cmpeq_epi64(_mm_or_si128(p[2], state), want), d = _mm_cmpeq_epi64(_mm_or_si128(p[3], state), want);
    __m128i bytes = _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
    return (uint32_t)_mm_movemask_epi8(bytes); /* two bits a word */
}

/* Way of the match, or ~0. A line is in a set at most once. */
static inline uint32_t pcache_way(const uint64_t *set, uint32_t stride, uint64_t key)
{
    const __m128i *p = (const __m128i *)(const void *)set;
    const __m128i want = _mm_set1_epi64x((long long)key), state = _mm_set1_epi64x(3);
    if (stride == 8) {
        uint32_t m = match8(p, want, state);
        return m ? (uint32_t)__builtin_ctz(m) / 2 : UINT32_MAX;
    }
    if (stride == 16) {
        uint32_t m = match8(p, want, state) | match8(p + 4, want, state) << 16;
        return m ? (uint32_t)__builtin_ctz(m) / 2 : UINT32_MAX;
    }
    for (uint32_t i = 0; i < stride; i++)
        if ((set[i] | 3) == key)
            return i;
    return UINT32_MAX;
}

ps_t cache_l1_miss(struct caches *c, uint32_t core, uint64_t line, enum cache_op op, ps_t t);
/* The first store to a line that the L1 holds: it becomes modified there and in the L2, and everybody else gives it up
 * if it was shared. Answers when it is written. */
ps_t cache_first_store(struct caches *c, uint32_t core, uint64_t line, uint64_t *l1_tag, ps_t t);

/* Looks the line up in the L1; on a hit *done_ps is set and the LRU order and state are updated. */
static inline bool cache_l1_hit(struct caches *c, uint32_t core, uint64_t line, enum cache_op op, ps_t t, ps_t *done_ps)
{
    struct core_cache *p = &c->core[core];
    struct pcache *l1 = op == CACHE_FETCH ? &p->l1i : &p->l1d;
    uint64_t set = line & l1->set_mask, *tags = &l1->tag[set * l1->stride];
    uint32_t way = pcache_way(tags, l1->stride, line << 3 | 7);
    if (unlikely(way == UINT32_MAX))
        return false;
    l1->lru[set] = lru_touch(l1->lru[set], way);
    *done_ps = t + c->l1_ps;
    if (op == CACHE_WRITE && unlikely((tags[way] & 3) != LINE_MODIFIED))
        *done_ps = cache_first_store(c, core, line, &tags[way], t);
    p->stats.l1d_hits += op != CACHE_FETCH;
    p->stats.l1i_hits += op == CACHE_FETCH;
    return true;
}

/* An access to the line is near and will probably miss the L1: the host fetches what that will look at. */
void cache_foresee(const struct caches *c, uint32_t core, uint64_t line);

/* One access of a core to a line. */
static inline ps_t cache_access(struct caches *c, uint32_t core, uint64_t line, enum cache_op op, ps_t t)
{
    ps_t done;
    return cache_l1_hit(c, core, line, op, t, &done) ? done : cache_l1_miss(c, core, line, op, t);
}

enum flush_op { FLUSH_CLFLUSH, FLUSH_CLFLUSHOPT, FLUSH_CLWB };
/* Writes the line back if it is dirty anywhere; answers when the controller has taken it (t + L1 latency if nothing was
 * dirty and no earlier write-back still waits for room). All but a retaining CLWB also remove it from every cache. */
ps_t cache_flush(struct caches *c, uint32_t core, uint64_t line, enum flush_op op, ps_t t);
/* Whether the core's own caches hold the line. */
bool cache_holds(const struct caches *c, uint32_t core, uint64_t line);
/* A whole line that bypasses the caches; copies of it are dropped. Answers when the controller has taken it. */
ps_t cache_ntstore(struct caches *c, uint32_t core, uint64_t line, ps_t t);
/* Empties all caches and names every line that was dirty, once: the cores in order of their index, each its L2 by set
 * and way; then the sockets' last-level caches, by slice, set and way. */
typedef void cache_drain_fn(void *ctx, uint32_t socket, uint64_t line);
void cache_drain(struct caches *c, cache_drain_fn *dirty, void *ctx);
/* Writes every dirty line back and empties all caches (WBINVD on all cores). */
void cache_write_back_all(struct caches *c, ps_t t);

/* Checks the protocol's invariants over all tags: L1 within L2; every private line in its snoop filter; a modified or
 * exclusive line in one place only. For check = true. */
int caches_verify(const struct caches *c, struct diag *d);

/* Tags, directories, prefetchers and counters, for a checkpoint. */
void caches_state(struct caches *c, struct ckpt *k);

#endif

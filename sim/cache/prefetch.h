/* SPDX-License-Identifier: MIT */
/* Hardware prefetchers of one core, after Intel's optimisation manual (248966, 2.4.5.4 of Sandy Bridge, unchanged in
 * kind since): two that fill the L1 (next line, stride) and two that fill the L2 (the other line of a 128-byte pair;
 * the streamer, which runs ahead of ascending or descending accesses to a 4 KiB page). Traces carry no instruction
 * addresses, so the stride prefetcher tells its streams apart by page.
 *
 * Prefetches are reads like any other: they take the LLC's place, the controllers' time and the links' bandwidth. A
 * prefetched line is in the tags at once; who asks for it before its data is there waits for it. Lines that the L1's
 * prefetchers fetched wait in a small buffer until they are used, and take a place in the L1 then. */
#ifndef QUIRE_CACHE_PREFETCH_H
#define QUIRE_CACHE_PREFETCH_H

#include "sim/cache/cache.h"

#define PREFETCH_TRACKS    32u /* pages followed at a time (optimisation manual: 32 streams) */
#define PREFETCH_NEAR      16u /* lines fetched for the L1, not yet used */
#define PREFETCH_RECENT    4u  /* accesses that the next-line prefetcher looks back */
#define PREFETCH_MAX_QUEUE 64u

/* What is known of the accesses to one page. Offsets are lines in the page. */
struct prefetch_track {
    uint64_t page; /* + 1; 0: free */
    uint64_t used; /* the younger the larger */
    int32_t last, stride, repeats;
    int32_t direction; /* of the streamer: -1, 1, or 0 while unknown */
    int32_t next;      /* the streamer's next line */
};

struct prefetcher {
    struct prefetch_track track[PREFETCH_TRACKS];
    uint64_t clock; /* of `used` */
    uint64_t recent[PREFETCH_RECENT];
    uint32_t n_recent, n_near, n_queue;
    struct {
        uint64_t line; /* + 1; 0: free */
        ps_t ready_ps;
    } near[PREFETCH_NEAR];
    ps_t queue_ps[PREFETCH_MAX_QUEUE]; /* when the requests under way are done, in no order */
    struct map unused;                 /* lines fetched into the L2 and not yet asked for -> when their data is there */
};

/* NULL if the configuration has all of them off. */
struct prefetcher *prefetcher_new(const struct cache_conf *conf);
void prefetcher_free(struct prefetcher *f);

/* A request that missed the L1, of a core that has prefetchers. */
ps_t prefetch_access(struct caches *c, uint32_t core, uint64_t line, enum cache_op op, ps_t t);
/* The line has left the core's L2. */
void prefetch_gone(struct core_cache *p, uint64_t line);

/* In cache.c: the request as it is without prefetchers; a line that the L2 does not hold is brought into it. */
ps_t cache_demand(struct caches *c, uint32_t core, uint64_t line, enum cache_op op, ps_t t);
ps_t cache_bring(struct caches *c, uint32_t core, uint64_t line, ps_t t);

void prefetcher_state(struct prefetcher *f, struct ckpt *k);

#endif

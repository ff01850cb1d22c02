/* SPDX-License-Identifier: MIT */
/* Inside sim/cache only: the last-level cache with its snoop filter, and the protocol between sockets. */
#ifndef QUIRE_CACHE_LLC_H
#define QUIRE_CACHE_LLC_H

#include "sim/cache/cache.h"

/* max_line: one past the largest line number of the machine; tags have to hold it. */
int llc_init(struct llc *l, const struct cache_conf *conf, uint64_t max_line, struct diag *d);
void llc_fini(struct llc *l);
void snoop_fini(struct snoop_filter *f);

/* A core's L2 missed the line: brings it in and answers when it is there. *state is what the core may hold it in. */
ps_t llc_request(struct caches *c, uint32_t core, uint64_t line, bool write, ps_t t, uint32_t *state);
/* A core that holds the line shared wants to write it: all other copies go. */
ps_t llc_claim(struct caches *c, uint32_t core, uint64_t line, ps_t t);
/* The line leaves a core's L2 in the given state. */
void llc_take_victim(struct caches *c, struct core_cache *p, uint64_t line, uint32_t state, ps_t t);
/* Removes the line from a socket (keep: leaves it clean); true if it was dirty there. */
bool llc_clean(struct caches *c, uint32_t socket, uint64_t line, bool keep);
/* The last-level cache's part of cache_drain(). */
void llc_drain(struct caches *c, uint32_t socket, cache_drain_fn *dirty, void *ctx);
int llc_verify_line(const struct caches *c, const struct core_cache *p, uint64_t line, uint64_t state, struct diag *d);

/* Slice by a multiplicative hash of the address above the set index; set within the slice by the low bits. */
static inline uint8_t *llc_set(const struct llc *l, uint64_t line)
{
    uint64_t set = line & ((1ull << l->slice_set_bits) - 1);
    uint64_t slice = ((line * 0x9e3779b97f4a7c15ull) >> 32) * l->slices >> 32;
    return l->sets + (((slice << l->slice_set_bits) | set) << l->set_shift);
}

static inline struct snoop_bucket *snoop_bucket(const struct snoop_filter *f, uint64_t line)
{
    return &f->bucket[(line * 0x9e3779b97f4a7c15ull) >> 20 & (f->n_buckets - 1)];
}

/* A line will miss the L2, and victim makes room for it there: the host is asked at once for all that both look at, so
 * that it waits for memory once. */
static inline void llc_prefetch(const struct caches *c, uint32_t socket, uint64_t line, uint64_t victim)
{
    const struct snoop_filter *f = &c->snoop[socket];
    host_prefetch(llc_set(&c->llc[socket], line));
    host_prefetch(llc_set(&c->llc[socket], victim));
    if (f->bucket) {
        host_prefetch(snoop_bucket(f, line));
        host_prefetch(snoop_bucket(f, victim));
    }
}

/* One core, defined in cache.c. */
bool core_invalidate(struct core_cache *p, uint64_t line);
bool core_downgrade(struct core_cache *p, uint64_t line, uint32_t state);
bool core_holds(const struct core_cache *p, uint64_t line);
bool core_holds_l1(const struct core_cache *p, uint64_t line); /* as data */

void llc_state(struct llc *l, struct ckpt *k);
void snoop_state(struct caches *c, struct snoop_filter *f, struct ckpt *k);

#endif

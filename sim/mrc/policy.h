/* SPDX-License-Identifier: MIT */
/* Exact miss counts of replacement policies that have no stack property: one simulated cache a size. */
#ifndef QUIRE_MRC_POLICY_H
#define QUIRE_MRC_POLICY_H

#include "sim/base/diag.h"

#include <stdint.h>

/* A policy simulates a cache of a number of entries over dense ids 0..n_ids-1 (OPT also sees the future). */
struct mrc_policy {
    const char *name; /* "fifo" */
    const char *help; /* one line */
    /* Misses of a cache of size entries (>= 1) for n accesses of dense ids below n_ids. next[i] is the position of the
     * next access to id[i], n if there is none. */
    uint64_t (*misses)(uint64_t size, const uint32_t *id, const uint64_t *next, uint64_t n, uint32_t n_ids);
    bool needs_next;
};

/* Entry i of the table, or NULL past the end. */
const struct mrc_policy *mrc_policy_at(uint32_t i);
/* NULL after fail(). */
const struct mrc_policy *mrc_policy_named(const char *name, struct diag *d);

/* A trace held in memory as dense ids, 4 bytes an access (12 once `next` is asked for). */
struct mrc_sequence;
struct mrc_sequence *mrc_sequence_new(void);
void mrc_sequence_free(struct mrc_sequence *s);
/* Appends n ids. At most 2^32 - 1 distinct ones. */
void mrc_sequence_feed(struct mrc_sequence *s, const uint64_t *ids, uint64_t n);
uint64_t mrc_sequence_accesses(const struct mrc_sequence *s);
uint64_t mrc_sequence_distinct(const struct mrc_sequence *s);
/* Misses of caches of size[0..n) entries under a policy. */
void mrc_sequence_misses(struct mrc_sequence *s, const struct mrc_policy *p, const uint64_t *size, uint64_t n,
                         uint64_t *misses);

#endif

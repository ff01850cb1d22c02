/* SPDX-License-Identifier: MIT */
#include "sim/mrc/node.h"

#include "sim/base/map.h"
#include "sim/mrc/curve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256 /* ids collected for a stack, which works on many at once */

struct node {
    struct mrc_lru *lru;
    uint64_t remote;
    uint64_t id[BATCH];
    uint32_t n;
};

struct mrc_nodes {
    struct mrc_placement place;
    struct map home;   /* first touch: id -> node */
    uint64_t max_home; /* of the id that the map cannot hold, + 1 */
    struct node *node;
};

static int parse_starts(const char *text, struct mrc_placement *p, struct diag *d)
{
    uint32_t n = 1;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        uint64_t v = strtoull(at, &end, 0);
        if (*at < '0' || *at > '9' || errno || (*end && *end != ',') || n >= p->n_nodes || v <= p->start[n - 1])
            return fail(d, "--place: found '%.40s', expected first-touch, interleave or %u ascending addresses", at,
                        p->n_nodes - 1);
        p->start[n++] = v;
        at = end;
        if (!*at)
            break;
    }
    if (n != p->n_nodes)
        return fail(d, "--place: found %u addresses, expected %u: where each node but the first begins", n - 1,
                    p->n_nodes - 1);
    return 0;
}

int mrc_placement_parse(const char *text, uint64_t n_nodes, struct mrc_placement *p, struct diag *d)
{
    *p = (struct mrc_placement){.n_nodes = (uint32_t)n_nodes};
    if (n_nodes == 0 || n_nodes > MRC_MAX_NODES)
        return fail(d, "--nodes: found %llu, expected 1 to %u", (unsigned long long)n_nodes, MRC_MAX_NODES);
    p->kind = MRC_FIRST_TOUCH;
    if (strcmp(text, "first-touch") == 0)
        return 0;
    p->kind = MRC_INTERLEAVE;
    if (strcmp(text, "interleave") == 0)
        return 0;
    p->kind = MRC_RANGES;
    return parse_starts(text, p, d);
}

struct mrc_nodes *mrc_nodes_new(const struct mrc_placement *p)
{
    struct mrc_nodes *m = xcalloc(1, sizeof *m);
    m->place = *p;
    m->node = xcalloc(p->n_nodes, sizeof *m->node);
    for (uint32_t i = 0; i < p->n_nodes; i++)
        m->node[i].lru = mrc_lru_new();
    return m;
}

void mrc_nodes_free(struct mrc_nodes *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->place.n_nodes; i++)
        mrc_lru_free(m->node[i].lru);
    free(m->node);
    map_free(&m->home);
    free(m);
}

static uint32_t home_of(struct mrc_nodes *m, uint32_t from, uint64_t id, uint64_t addr)
{
    if (m->place.kind == MRC_INTERLEAVE)
        return (uint32_t)(id % m->place.n_nodes);
    if (m->place.kind == MRC_RANGES) {
        uint32_t k = m->place.n_nodes - 1;
        while (k > 0 && addr < m->place.start[k])
            k--;
        return k;
    }
    uint64_t *home = id == UINT64_MAX ? &m->max_home : map_put(&m->home, id);
    if (*home == 0)
        *home = from + 1;
    return (uint32_t)*home - 1;
}

static void flush(struct node *k)
{
    mrc_lru_feed(k->lru, k->id, k->n);
    k->n = 0;
}

void mrc_nodes_access(struct mrc_nodes *m, uint32_t vcpu, uint64_t id, uint64_t addr)
{
    uint32_t from = vcpu % m->place.n_nodes, home = home_of(m, from, id, addr);
    struct node *k = &m->node[home];
    k->remote += from != home;
    k->id[k->n++] = id;
    if (k->n == BATCH)
        flush(k);
}

struct mrc_lru *mrc_nodes_stack(struct mrc_nodes *m, uint32_t node)
{
    CHECK(node < m->place.n_nodes);
    flush(&m->node[node]);
    return m->node[node].lru;
}

uint64_t mrc_nodes_remote(const struct mrc_nodes *m, uint32_t node)
{
    return m->node[node].remote;
}

static void print_node(struct mrc_nodes *m, uint32_t node, const uint64_t *size, uint64_t n, FILE *f)
{
    struct mrc_lru *lru = mrc_nodes_stack(m, node);
    uint64_t *all = NULL, *misses, accesses = mrc_lru_accesses(lru);
    if (!size) {
        n = mrc_sizes_auto(mrc_lru_distinct(lru), &all);
        size = all;
    }
    misses = xmalloc((n + 1) * sizeof *misses);
    mrc_lru_misses(lru, size, n, misses);
    for (uint64_t i = 0; i < n; i++)
        fprintf(f, "%u,%llu,%llu,%llu,%.9f,%llu\n", node, (unsigned long long)size[i], (unsigned long long)misses[i],
                (unsigned long long)accesses, accesses ? (double)misses[i] / (double)accesses : 0,
                (unsigned long long)m->node[node].remote);
    free(misses);
    free(all);
}

void mrc_nodes_print(struct mrc_nodes *m, const uint64_t *size, uint64_t n, FILE *f)
{
    fputs("node,size,misses,accesses,miss_ratio,remote\n", f);
    for (uint32_t i = 0; i < m->place.n_nodes; i++)
        print_node(m, i, size, n, f);
}

/* SPDX-License-Identifier: MIT */
/* Curves per NUMA node: every id has a home node by a placement rule, and each node an LRU stack of the ids at home
 * there. vCPU v runs on node v modulo the number of nodes. */
#ifndef QUIRE_MRC_NODE_H
#define QUIRE_MRC_NODE_H

#include "sim/base/diag.h"
#include "sim/mrc/lru.h"

#include <stdint.h>
#include <stdio.h>

#define MRC_MAX_NODES 64

enum mrc_place_kind {
    MRC_FIRST_TOUCH, /* the node of the vCPU that accesses an id first */
    MRC_INTERLEAVE,  /* id modulo nodes */
    MRC_RANGES       /* node k: addresses from start[k] on; below start[1]: node 0 */
};

struct mrc_placement {
    uint32_t n_nodes; /* 0 = no curves per node */
    enum mrc_place_kind kind;
    uint64_t start[MRC_MAX_NODES]; /* ascending, [1..n_nodes) */
};
/* text: "first-touch", "interleave", or "ADDR,ADDR,..." with the first address of every node but the first. -1 after
 * fail(). */
int mrc_placement_parse(const char *text, uint64_t n_nodes, struct mrc_placement *p, struct diag *d);

struct mrc_nodes;
struct mrc_nodes *mrc_nodes_new(const struct mrc_placement *p);
void mrc_nodes_free(struct mrc_nodes *m);
/* An access by a vCPU to the id whose first byte is at addr. */
void mrc_nodes_access(struct mrc_nodes *m, uint32_t vcpu, uint64_t id, uint64_t addr);
/* The stack of a node; accesses and distinct ids are its own. Ends what was fed to it. */
struct mrc_lru *mrc_nodes_stack(struct mrc_nodes *m, uint32_t node);
/* Of the accesses to a node those by vCPUs of other nodes. */
uint64_t mrc_nodes_remote(const struct mrc_nodes *m, uint32_t node);
/* "node,size,misses,accesses,miss_ratio,remote" and a line for each size of each node. size NULL: the sizes of auto. */
void mrc_nodes_print(struct mrc_nodes *m, const uint64_t *size, uint64_t n, FILE *f);

#endif

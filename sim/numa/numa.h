/* SPDX-License-Identifier: MIT */
/* NUMA nodes and the links between them. A request to another node pays the link latency of every hop both ways, and
 * the bandwidth of each link on the way for the direction in which the 64 bytes travel. */
#ifndef QUIRE_NUMA_NUMA_H
#define QUIRE_NUMA_NUMA_H

#include "sim/base/conf.h"
#include "sim/base/stats.h"
#include "sim/base/types.h"
#include "sim/imc/imc.h"
#include "sim/mem/mem.h"

#define NUMA_MAX_NODES 16u

enum numa_topology { NUMA_FULL, NUMA_RING, NUMA_CUBE };

struct numa_conf {
    uint64_t n_nodes;
    uint64_t dram_bytes; /* a node */
    uint64_t topology;   /* enum numa_topology */
    uint64_t hop_ps;     /* one hop, one way */
    uint64_t link_rate;  /* bytes/s of one link, one direction */
};
extern const struct conf_key numa_keys[];

struct link_stats {
    uint64_t lines; /* 64-byte transfers */
    uint64_t wait_ps;
};
extern const struct stat_desc link_stat_desc[];
#define LINK_N_STATS (sizeof(struct link_stats) / sizeof(uint64_t))

struct node_stats {
    uint64_t local_reads, remote_reads, local_writes, remote_writes; /* by the node whose CPU asked */
};
extern const struct stat_desc node_stat_desc[];
#define NODE_N_STATS (sizeof(struct node_stats) / sizeof(uint64_t))

struct numa_link {
    ps_t free_ps;
    struct link_stats stats;
};

struct numa {
    struct numa_conf conf;
    struct mem *mem;
    uint32_t n_nodes;
    ps_t line_ps; /* 64 bytes on a link */
    uint8_t next_hop[NUMA_MAX_NODES][NUMA_MAX_NODES];
    uint8_t hops[NUMA_MAX_NODES][NUMA_MAX_NODES];
    struct numa_link link[NUMA_MAX_NODES][NUMA_MAX_NODES];
    struct node_imc node[NUMA_MAX_NODES];
    struct node_stats stats[NUMA_MAX_NODES];
};

/* Builds nodes, their memory regions (DRAM, then persistent memory) and their controllers. */
int numa_init(struct numa *n, const struct numa_conf *conf, const struct imc_conf *imc, const struct nvdimm_conf *pmem,
              struct mem *mem, struct diag *d);
void numa_fini(struct numa *n);

/* Distance as ACPI's SLIT gives it: 10 local, 10 + 11 a hop. */
uint32_t numa_distance(const struct numa *n, uint32_t from, uint32_t to);

/* A line is read or written by a CPU of node from at t; answers when the data is there, or when the controller took it.
 */
ps_t numa_read(struct numa *n, uint32_t from, uint64_t line, ps_t t);
ps_t numa_write(struct numa *n, uint32_t from, uint64_t line, ps_t t);
/* When the controller has taken an earlier write of the line that may still wait for room at t; t if none waits. */
ps_t numa_accepted_ps(const struct numa *n, uint64_t line, ps_t t);
/* One message without data to another node and back (a snoop, an interrupt). */
static inline ps_t numa_round_trip(const struct numa *n, uint32_t from, uint32_t to)
{
    return 2 * n->hops[from][to] * n->conf.hop_ps;
}

#endif

/* SPDX-License-Identifier: MIT */
/* NUMA nodes and the links between them. A request to another node pays the latency of every hop both ways, and the
 * bandwidth of each link on the way: a message one way, the 64 bytes the other.
 *
 * Nodes 0 .. n_cpu_nodes - 1 have CPUs and memory; CXL expanders follow as nodes with memory only, linked to their host
 * node. */
#ifndef QUIRE_NUMA_NUMA_H
#define QUIRE_NUMA_NUMA_H

#include "sim/base/conf.h"
#include "sim/base/stats.h"
#include "sim/base/types.h"
#include "sim/imc/imc.h"
#include "sim/mem/mem.h"
#include "sim/numa/cxl.h"
#include "sim/numa/directory.h"
#include "sim/numa/link.h"

#define NUMA_MAX_NODES 16u

enum numa_topology { NUMA_FULL, NUMA_RING, NUMA_CUBE };

struct numa_conf {
    uint64_t n_nodes;    /* with CPUs */
    uint64_t dram_bytes; /* a node */
    uint64_t topology;   /* enum numa_topology */
    uint64_t hop_ps;     /* one hop, one way */
    uint64_t links;      /* in parallel between two nodes that are linked */
    uint64_t link_rate;  /* bytes/s of one link, one direction, raw */
    uint64_t link_header_bytes;
    uint64_t interleave; /* 1: DRAM is interleaved over the nodes */
    uint64_t interleave_bytes;
    uint64_t has_directory;    /* 1: homes keep a memory directory (sim/numa/directory.h) */
    uint64_t directory_places; /* of a home */
    uint64_t directory_claims; /* that a home remembers until their data come */
};
extern const struct conf_key numa_keys[];

struct node_stats {
    uint64_t local_reads, remote_reads, local_writes, remote_writes; /* by the node whose CPU asked */
    uint64_t directory_writes, directory_snoops, directory_waits;    /* by the home */
};
extern const struct stat_desc node_stat_desc[];
#define NODE_N_STATS (sizeof(struct node_stats) / sizeof(uint64_t))

struct numa {
    struct numa_conf conf;
    struct mem *mem;
    uint32_t n_nodes, n_cpu_nodes;
    struct cxl_conf cxl;
    uint32_t interleave_shift; /* lines of a block, as a power of two */
    ps_t line_ps, message_ps;  /* a line, a message on a link between CPU nodes */
    uint8_t next_hop[NUMA_MAX_NODES][NUMA_MAX_NODES];
    uint8_t hops[NUMA_MAX_NODES][NUMA_MAX_NODES];
    struct numa_link link[NUMA_MAX_NODES][NUMA_MAX_NODES];
    struct node_imc node[NUMA_MAX_NODES];
    struct cxl_queue queue[CXL_MAX_DEVICES];
    struct mem_directory directory;
    struct directory_places places[NUMA_MAX_NODES], claims[NUMA_MAX_NODES];
    ps_t *claimed_ps; /* the entry of the claim whose data come next, or NULL */
    ps_t asked_ps;    /* a write under way makes room for a line that was asked for then; else 0 */
    struct node_stats stats[NUMA_MAX_NODES];
    struct {
        uint64_t reads, writes, claims;
    } sent[NUMA_MAX_NODES][NUMA_MAX_NODES]; /* requests between two nodes: what the links have to have carried */
};

/* Builds nodes, their memory regions (DRAM, then persistent memory) and their controllers; then the expanders. */
int numa_init(struct numa *n, const struct numa_conf *conf, const struct imc_conf *imc, const struct nvdimm_conf *pmem,
              const struct cxl_conf *cxl, const struct imc_conf *cxl_imc, struct mem *mem, struct diag *d);
void numa_fini(struct numa *n);

/* Node whose memory holds the line, and where in a region of that node; r is the region of its address. With
 * interleave, blocks of all nodes' DRAM alternate between the nodes: a bijection. */
static inline uint32_t numa_home(const struct numa *n, const struct mem_region *r, uint64_t line, uint64_t *offset)
{
    *offset = line - (r->base >> LINE_SHIFT);
    if (likely(!n->conf.interleave) || r->kind != MEM_DRAM || r->node >= n->n_cpu_nodes)
        return r->node;
    uint64_t block = *offset >> n->interleave_shift, in = *offset & ((1ull << n->interleave_shift) - 1);
    uint64_t blocks = n->conf.dram_bytes >> (LINE_SHIFT + n->interleave_shift);
    *offset = (block / n->n_cpu_nodes + r->node * (blocks / n->n_cpu_nodes)) << n->interleave_shift | in;
    return (uint32_t)((block + r->node) % n->n_cpu_nodes);
}

/* Distance as ACPI's SLIT gives it: 10 local, 10 + 11 a hop. */
uint32_t numa_distance(const struct numa *n, uint32_t from, uint32_t to);

/* A line is read or written by a CPU of node from at t; answers when the data is there, or when the controller took it.
 */
ps_t numa_read(struct numa *n, uint32_t from, uint64_t line, ps_t t);
ps_t numa_write(struct numa *n, uint32_t from, uint64_t line, ps_t t);
/* The line went to socket `to` out of another one's caches at t. is_kept: another socket than its home holds it now;
 * is_written: it was written home on the way, and its directory bit with it. */
void numa_passed(struct numa *n, uint32_t to, uint64_t line, bool is_kept, bool is_written, ps_t t);
/* A socket has written the line home and still holds it: its directory bit went with it. */
void numa_kept(struct numa *n, uint32_t socket, uint64_t line);
/* Ownership of a whole line without its data, for a non-temporal store: a message to the line's home node and one back.
 * Where CPUs and memory are of one node, or the memory is an expander's, there is nobody to ask. */
ps_t numa_claim(struct numa *n, uint32_t from, uint64_t line, ps_t t);
/* How long the answer to such a store is on its way between sockets: its buffer in the core is free so much earlier. */
ps_t numa_answer_ps(const struct numa *n, uint32_t from, uint64_t line);
/* When the controller has taken an earlier write of the line that may still wait for room at t; t if none waits. */
ps_t numa_accepted_ps(const struct numa *n, uint64_t line, ps_t t);
/* A dirty persistent line that leaves the caches after a power failure at t, as imc_hold_up(). The links, faster than
 * any module, hold nobody up. */
ps_t numa_hold_up(struct numa *n, uint64_t line, ps_t t, ps_t end_ps);
/* One message without data to another node and back (a snoop, an interrupt). */
static inline ps_t numa_round_trip(const struct numa *n, uint32_t from, uint32_t to)
{
    return 2ull * n->hops[from][to] * n->conf.hop_ps;
}

/* Links, controllers and counters of all nodes, for a checkpoint. */
void numa_state(struct numa *n, struct ckpt *c);

#endif

/* SPDX-License-Identifier: MIT */
#include "sim/numa/numa.h"

#include <string.h>

static const char *const topologies[] = {"full", "ring", "cube", NULL};

#define K(field) offsetof(struct numa_conf, field)
const struct conf_key numa_keys[] = {
    {"nodes", CONF_UINT, K(n_nodes), "1", 1, NUMA_MAX_NODES, NULL,
     "NUMA nodes, each with CPUs, a last-level cache and memory"},
    {"dram", CONF_SIZE, K(dram_bytes), "16GiB", GIB, 0, NULL, "DRAM of each node"},
    {"topology", CONF_CHOICE, K(topology), "full", 0, 0, topologies,
     "links: between all nodes, a ring, or a hypercube"},
    {"hop", CONF_TIME, K(hop_ps), "33ns", 0, 0, NULL,
     "one hop, one way (remote 132.6 less local 66 ns idle, halved: Mess, MICRO'24)"},
    {"link_rate", CONF_RATE, K(link_rate), "35.2GB/s", 1000000, 0, NULL,
     "one link, one direction (Mess, MICRO'24: remote peak)"},
    {0},
};
#undef K

const struct stat_desc link_stat_desc[] = {
    {"lines", STAT_COUNT, "lines", "64-byte transfers over the link"},
    {"wait_ps", STAT_COUNT, "ps", "time that transfers waited for the link"},
};
STATS_COMPLETE(struct link_stats, link_stat_desc);

const struct stat_desc node_stat_desc[] = {
    {"local_reads", STAT_COUNT, "lines", "lines that the node's CPUs read from its own memory"},
    {"remote_reads", STAT_COUNT, "lines", "lines that the node's CPUs read from other nodes"},
    {"local_writes", STAT_COUNT, "lines", "lines that the node's CPUs wrote to its own memory"},
    {"remote_writes", STAT_COUNT, "lines", "lines that the node's CPUs wrote to other nodes"},
};
STATS_COMPLETE(struct node_stats, node_stat_desc);

static bool linked(const struct numa *n, uint32_t a, uint32_t b)
{
    uint32_t nodes = n->n_nodes;
    switch (n->conf.topology) {
    case NUMA_RING:
        return (a + 1) % nodes == b || (b + 1) % nodes == a;
    case NUMA_CUBE:
        return __builtin_popcount(a ^ b) == 1;
    default:
        return a != b;
    }
}

/* Hop counts by relaxation until nothing changes; of equally short ways the lowest neighbour is taken. */
static void find_ways(struct numa *n)
{
    memset(n->hops, 0xff, sizeof n->hops);
    for (uint32_t a = 0; a < n->n_nodes; a++)
        n->hops[a][a] = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t a = 0; a < n->n_nodes; a++)
            for (uint32_t b = 0; b < n->n_nodes; b++)
                for (uint32_t via = 0; via < n->n_nodes; via++)
                    if (linked(n, a, via) && n->hops[via][b] != 0xff && n->hops[via][b] + 1 < n->hops[a][b]) {
                        n->hops[a][b] = n->hops[via][b] + 1;
                        n->next_hop[a][b] = (uint8_t)via;
                        changed = true;
                    }
    }
}

int numa_init(struct numa *n, const struct numa_conf *conf, const struct imc_conf *imc, const struct nvdimm_conf *pmem,
              struct mem *mem, struct diag *d)
{
    *n = (struct numa){.conf = *conf, .mem = mem, .n_nodes = (uint32_t)conf->n_nodes};
    if (conf->topology == NUMA_CUBE && (n->n_nodes & (n->n_nodes - 1)))
        return fail(d, "machine.numa: topology cube needs a power of two of nodes, found %u", n->n_nodes);
    n->line_ps = PS_PER_S * LINE_BYTES / conf->link_rate;
    find_ways(n);
    for (uint32_t i = 0; i < n->n_nodes; i++) {
        uint64_t pmem_bytes = pmem->size_bytes * imc->n_imcs * imc->n_channels;
        if (mem_add_region(mem, i, MEM_DRAM, conf->dram_bytes, d) ||
            (pmem->kind != NVDIMM_NONE && mem_add_region(mem, i, MEM_PMEM, pmem_bytes, d)) ||
            imc_init(&n->node[i], imc, pmem, mem, d)) {
            n->n_nodes = i;
            return -1;
        }
    }
    return 0;
}

void numa_fini(struct numa *n)
{
    for (uint32_t i = 0; i < n->n_nodes; i++)
        imc_fini(&n->node[i]);
}

uint32_t numa_distance(const struct numa *n, uint32_t from, uint32_t to)
{
    return 10 + 11u * n->hops[from][to];
}

/* The line travels from node a to node b, one link after the other. */
static ps_t travel(struct numa *n, uint32_t a, uint32_t b, ps_t t)
{
    while (a != b) {
        uint32_t next = n->next_hop[a][b];
        struct numa_link *l = &n->link[a][next];
        ps_t start = max_u64(t, l->free_ps);
        l->stats.lines++;
        l->stats.wait_ps += start - t;
        l->free_ps = start + n->line_ps;
        t = start + n->line_ps + n->conf.hop_ps;
        a = next;
    }
    return t;
}

ps_t numa_read(struct numa *n, uint32_t from, uint64_t line, ps_t t)
{
    const struct mem_region *r = mem_region_at(n->mem, line << LINE_SHIFT);
    uint64_t offset = line - (r->base >> LINE_SHIFT);
    if (likely(r->node == from)) {
        n->stats[from].local_reads++;
        return imc_read(&n->node[from], r, offset, t);
    }
    n->stats[from].remote_reads++;
    t = imc_read(&n->node[r->node], r, offset, t + n->hops[from][r->node] * n->conf.hop_ps);
    return travel(n, r->node, from, t);
}

ps_t numa_write(struct numa *n, uint32_t from, uint64_t line, ps_t t)
{
    const struct mem_region *r = mem_region_at(n->mem, line << LINE_SHIFT);
    uint64_t offset = line - (r->base >> LINE_SHIFT);
    if (likely(r->node == from)) {
        n->stats[from].local_writes++;
        return imc_write(&n->node[from], r, offset, t);
    }
    n->stats[from].remote_writes++;
    t = imc_write(&n->node[r->node], r, offset, travel(n, from, r->node, t));
    return t + n->hops[from][r->node] * n->conf.hop_ps;
}

ps_t numa_accepted_ps(const struct numa *n, uint64_t line, ps_t t)
{
    const struct mem_region *r = mem_region_at(n->mem, line << LINE_SHIFT);
    if (r->kind != MEM_PMEM)
        return t;
    return imc_accepted_ps(&n->node[r->node], r, line - (r->base >> LINE_SHIFT), t);
}

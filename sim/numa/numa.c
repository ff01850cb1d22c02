/* SPDX-License-Identifier: MIT */
#include "sim/numa/numa.h"

#include <string.h>

static const char *const topologies[] = {"full", "ring", "cube", NULL};

#define K(field) offsetof(struct numa_conf, field)
const struct conf_key numa_keys[] = {
    {"nodes", CONF_UINT, K(n_nodes), "1", 1, NUMA_MAX_NODES - CXL_MAX_DEVICES, NULL,
     "NUMA nodes, each with CPUs, a last-level cache and memory"},
    {"dram", CONF_SIZE, K(dram_bytes), "16GiB", GIB, 0, NULL, "DRAM of each node"},
    {"topology", CONF_CHOICE, K(topology), "full", 0, 0, topologies,
     "links: between all nodes, a ring, or a hypercube"},
    {"hop", CONF_TIME, K(hop_ps), "33ns", 0, 0, NULL,
     "one hop, one way (remote 132.6 less local 66 ns idle, halved: Mess, MICRO'24)"},
    {"links", CONF_UINT, K(links), "2", 1, 8, NULL, "parallel links between two nodes that are linked"},
    {"link_rate", CONF_RATE, K(link_rate), "20.8GB/s", 1000000, 0, NULL,
     "one link, one direction, raw (UPI at 10.4 GT/s: Intel ARK)"},
    {"link_header", CONF_SIZE, K(link_header_bytes), "8B", 1, 1024, NULL,
     "a message; a line has it too (UPI: a header slot and eight data slots of 8 bytes, in three flits)"},
    {"interleave_nodes", CONF_BOOL, K(interleave), "false", 0, 0, NULL,
     "blocks of DRAM alternate between the nodes, as the firmware's node interleaving does"},
    {"interleave_block", CONF_SIZE, K(interleave_bytes), "4KiB", 64, 1 << 30, NULL, "size of such a block"},
    {"memory_directory", CONF_BOOL, K(has_directory), "false", 0, 0, NULL,
     "memory keeps a bit a line that says that another socket may hold it; changing it writes the line"},
    {"directory_places", CONF_UINT, K(directory_places), "43", 1, DIRECTORY_MAX_PLACES, NULL,
     "lines whose bit a node sets at a time, each from the request until the controller takes the write (calibrated: "
     "mixes of loads and stores of one and of four remote threads, OptaneStudy)"},
    {"directory_claims", CONF_UINT, K(directory_claims), "8", 1, DIRECTORY_MAX_PLACES, NULL,
     "lines claimed by other sockets' non-temporal stores that a node notes elsewhere than in their bits "
     "(calibrated: four remote threads, OptaneStudy)"},
    {0},
};
#undef K

#define K(field) offsetof(struct cxl_conf, field)
const struct conf_key cxl_keys[] = {
    {"devices", CONF_UINT, K(devices), "0", 0, CXL_MAX_DEVICES, NULL, "expanders: nodes with memory and without CPUs"},
    {"size", CONF_SIZE, K(size_bytes), "16GiB", GIB, 0, NULL, "memory of each"},
    {"host", CONF_UINT, K(host), "0", 0, NUMA_MAX_NODES, NULL, "node to whose port they are attached"},
    {"port", CONF_TIME, K(port_ps), "31ns", 0, PS_PER_MS, NULL,
     "host port, link and device port, one way (calibrated: idle latency of a vendor's model, Mess, MICRO'24)"},
    {"rate", CONF_RATE, K(rate), "32GB/s", 1000000, 0, NULL,
     "link, one direction, raw (eight lanes of PCIe 5.0: 32 GT/s)"},
    {"header", CONF_SIZE, K(header_bytes), "8B", 1, 1024, NULL,
     "a message; a line has it too (CXL 2.0: slots of 16 bytes in flits of 68, two headers share one)"},
    {"queue", CONF_UINT, K(queue), "256", 1, CXL_MAX_QUEUE, NULL, "requests in the device"},
    {0},
};
#undef K

const struct stat_desc node_stat_desc[] = {
    {"local_reads", STAT_COUNT, "lines", "lines that the node's CPUs read from its own memory"},
    {"remote_reads", STAT_COUNT, "lines", "lines that the node's CPUs read from other nodes"},
    {"local_writes", STAT_COUNT, "lines", "lines that the node's CPUs wrote to its own memory"},
    {"remote_writes", STAT_COUNT, "lines", "lines that the node's CPUs wrote to other nodes"},
    {"directory_writes", STAT_COUNT, "lines",
     "lines of the node's memory written for nothing but their directory bit (DIR_UPDATE)"},
    {"directory_snoops", STAT_COUNT, "1", "reads by the node of its own memory that asked other sockets for the bit"},
    {"directory_waits", STAT_COUNT, "1",
     "reads by other sockets that waited because the node was setting too many bits"},
};
STATS_COMPLETE(struct node_stats, node_stat_desc);

static bool linked(const struct numa *n, uint32_t a, uint32_t b)
{
    uint32_t nodes = n->n_cpu_nodes;
    if (a >= nodes || b >= nodes)
        return (a < nodes && a == n->cxl.host) || (b < nodes && b == n->cxl.host);
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

static int check(const struct numa *n, struct diag *d)
{
    if (n->conf.topology == NUMA_CUBE && (n->n_cpu_nodes & (n->n_cpu_nodes - 1)))
        return fail(d, "machine.numa: topology cube needs a power of two of nodes, found %u", n->n_cpu_nodes);
    if (n->cxl.devices && n->cxl.host >= n->n_cpu_nodes)
        return fail(d, "machine.cxl: host: found node %llu, the machine has %u with CPUs",
                    (unsigned long long)n->cxl.host, n->n_cpu_nodes);
    uint64_t block = n->conf.interleave_bytes;
    if (n->conf.interleave && ((block & (block - 1)) || n->conf.dram_bytes % (block * n->n_cpu_nodes)))
        return fail(d,
                    "machine.numa: interleave_block: expected a power of two of which each node holds a multiple of %u",
                    n->n_cpu_nodes);
    return 0;
}

static void make_links(struct numa *n)
{
    for (uint32_t a = 0; a < n->n_nodes; a++)
        for (uint32_t b = 0; b < n->n_nodes; b++) {
            bool is_cxl = a >= n->n_cpu_nodes || b >= n->n_cpu_nodes;
            if (linked(n, a, b))
                link_init(&n->link[a][b], is_cxl ? n->cxl.rate : n->conf.links * n->conf.link_rate,
                          is_cxl ? n->cxl.header_bytes : n->conf.link_header_bytes);
        }
}

/* Regions and controllers of a node; pmem NULL: none. */
static int make_node(struct numa *n, uint32_t i, uint64_t dram_bytes, const struct imc_conf *imc,
                     const struct nvdimm_conf *pmem, struct diag *d)
{
    static const struct nvdimm_conf none = {.kind = NVDIMM_NONE};
    uint64_t pmem_bytes = pmem ? pmem->size_bytes * imc->n_imcs * imc->n_channels : 0;
    if (mem_add_region(n->mem, i, MEM_DRAM, dram_bytes, d) ||
        (pmem && pmem->kind != NVDIMM_NONE && mem_add_region(n->mem, i, MEM_PMEM, pmem_bytes, d)))
        return -1;
    return imc_init(&n->node[i], imc, pmem ? pmem : &none, n->mem, d);
}

int numa_init(struct numa *n, const struct numa_conf *conf, const struct imc_conf *imc, const struct nvdimm_conf *pmem,
              const struct cxl_conf *cxl, const struct imc_conf *cxl_imc, struct mem *mem, struct diag *d)
{
    *n = (struct numa){.conf = *conf, .cxl = *cxl, .mem = mem, .n_cpu_nodes = (uint32_t)conf->n_nodes};
    if (check(n, d))
        return -1;
    n->n_nodes = n->n_cpu_nodes + (uint32_t)cxl->devices;
    n->interleave_shift = (uint32_t)__builtin_ctzll(conf->interleave_bytes) - LINE_SHIFT;
    n->line_ps = PS_PER_S * (LINE_BYTES + conf->link_header_bytes) / (conf->links * conf->link_rate);
    n->message_ps = PS_PER_S * conf->link_header_bytes / (conf->links * conf->link_rate);
    find_ways(n);
    make_links(n);
    for (uint32_t i = 0; i < n->n_nodes; i++) {
        bool is_cxl = i >= n->n_cpu_nodes;
        if (is_cxl)
            n->queue[i - n->n_cpu_nodes].slots = cxl->queue;
        if (make_node(n, i, is_cxl ? cxl->size_bytes : conf->dram_bytes, is_cxl ? cxl_imc : imc, is_cxl ? NULL : pmem,
                      d)) {
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
    directory_fini(&n->directory);
}

uint32_t numa_distance(const struct numa *n, uint32_t from, uint32_t to)
{
    return 10 + 11u * n->hops[from][to];
}

static ps_t hop_ps(const struct numa *n, uint32_t a, uint32_t b)
{
    return a >= n->n_cpu_nodes || b >= n->n_cpu_nodes ? n->cxl.port_ps : n->conf.hop_ps;
}

/* A line or a message travels from node a to node b, one link after the other. */
static ps_t travel(struct numa *n, uint32_t a, uint32_t b, bool is_line, ps_t t)
{
    while (a != b) {
        uint32_t next = n->next_hop[a][b];
        t = link_send(&n->link[a][next], is_line, t) + hop_ps(n, a, next);
        a = next;
    }
    return t;
}

/* The line at its home node, which the request reaches at t. */
static ps_t at_home(struct numa *n, uint32_t home, const struct mem_region *r, uint64_t offset, bool is_write, ps_t t)
{
    struct node_imc *imc = &n->node[home];
    if (likely(home < n->n_cpu_nodes))
        return is_write ? imc_write(imc, r, offset, t) : imc_read(imc, r, offset, t);
    struct cxl_queue *q = &n->queue[home - n->n_cpu_nodes];
    ps_t slot = cxl_slot(q, t), done = is_write ? imc_write(imc, r, offset, slot) : imc_read(imc, r, offset, slot);
    cxl_done(q, t, done);
    return done;
}

/* ---- memory directory ---- */

/* The bit of a line at its home changes with nothing else: the line is written. Answers when the controller took it. */
static ps_t directory_write(struct numa *n, uint32_t home, const struct mem_region *r, uint64_t offset, ps_t t)
{
    n->stats[home].directory_writes++;
    return imc_write(&n->node[home], r, offset, t);
}

/* A line leaves its home for another socket, which asks for it there at t: when its data does. The line is written with
 * its bit once it has been read, and nobody but the place waits for that. */
static ps_t leave_home(struct numa *n, uint32_t home, const struct mem_region *r, uint64_t offset, uint64_t line,
                       ps_t t)
{
    struct node_imc *imc = &n->node[home];
    ps_t came = t, *free_ps = directory_place(&n->places[home], (uint32_t)n->conf.directory_places, &t);
    n->stats[home].directory_waits += t > came;
    ps_t ready = imc_read(imc, r, offset, t);
    if (directory_set(&n->directory, line)) {
        imc->asked_ps = t;
        *free_ps = max_u64(ready, directory_write(n, home, r, offset, ready));
        imc->asked_ps = 0;
    }
    return ready;
}

/* Another socket claims a line at t, to write it whole. Its bit need not be set if the home can remember that until the
 * data come, which would clear it: in its I/O directory cache (uncore performance monitoring guide 336274, event
 * IODC_ALLOC, and IODCFULL for claims that it has no room for; how many it holds is not published). */
static void note_claim(struct numa *n, uint32_t home, const struct mem_region *r, uint64_t offset, ps_t t)
{
    ps_t room_ps = t, *entry = directory_place(&n->claims[home], (uint32_t)n->conf.directory_claims, &room_ps);
    if (room_ps == t)
        n->claimed_ps = entry;
    else
        directory_write(n, home, r, offset, t);
}

/* The home reads a line, asked for at t, that no other socket has, although its bit says that one might: when that is
 * known. */
static __attribute__((noinline)) ps_t home_asks(struct numa *n, uint32_t home, const struct mem_region *r,
                                                uint64_t offset, uint64_t line, ps_t t)
{
    uint32_t hops = 0;
    if (!directory_clear(&n->directory, line))
        return t;
    for (uint32_t s = 0; s < n->n_cpu_nodes; s++)
        hops = n->hops[home][s] > hops ? n->hops[home][s] : hops;
    n->stats[home].directory_snoops++;
    directory_write(n, home, r, offset, t);
    return t + 2ull * hops * n->conf.hop_ps;
}

void numa_kept(struct numa *n, uint32_t socket, uint64_t line)
{
    uint64_t offset;
    uint32_t home = numa_home(n, mem_region_at(n->mem, line << LINE_SHIFT), line, &offset);
    if (n->conf.has_directory && home != socket && home < n->n_cpu_nodes)
        directory_set(&n->directory, line);
}

void numa_passed(struct numa *n, uint32_t to, uint64_t line, bool is_kept, bool is_written, ps_t t)
{
    const struct mem_region *r = mem_region_at(n->mem, line << LINE_SHIFT);
    uint64_t offset;
    uint32_t home = numa_home(n, r, line, &offset);
    if (!n->conf.has_directory || home >= n->n_cpu_nodes || (home == to && !is_kept))
        return;
    if (directory_set(&n->directory, line) && !is_written)
        directory_write(n, home, r, offset, t);
}

/* ---- requests ---- */

ps_t numa_read(struct numa *n, uint32_t from, uint64_t line, ps_t t)
{
    const struct mem_region *r = mem_region_at(n->mem, line << LINE_SHIFT);
    uint64_t offset;
    uint32_t home = numa_home(n, r, line, &offset);
    if (likely(home == from)) {
        n->stats[from].local_reads++;
        ps_t done = imc_read(&n->node[from], r, offset, t);
        return likely(!n->directory.n_lines) ? done : max_u64(done, home_asks(n, home, r, offset, line, t));
    }
    n->stats[from].remote_reads++;
    n->sent[from][home].reads++;
    t = travel(n, from, home, false, t);
    t = n->conf.has_directory && home < n->n_cpu_nodes ? leave_home(n, home, r, offset, line, t)
                                                       : at_home(n, home, r, offset, false, t);
    return travel(n, home, from, true, t);
}

ps_t numa_write(struct numa *n, uint32_t from, uint64_t line, ps_t t)
{
    const struct mem_region *r = mem_region_at(n->mem, line << LINE_SHIFT);
    uint64_t offset;
    uint32_t home = numa_home(n, r, line, &offset);
    if (unlikely(n->directory.n_lines))
        directory_clear(&n->directory, line);
    if (unlikely(n->asked_ps && r->kind == MEM_PMEM))
        t = n->asked_ps;
    if (likely(home == from)) {
        n->stats[from].local_writes++;
        return imc_write(&n->node[from], r, offset, t);
    }
    n->stats[from].remote_writes++;
    n->sent[from][home].writes++;
    t = travel(n, from, home, true, t);
    if (n->claimed_ps) {
        *n->claimed_ps = t;
        n->claimed_ps = NULL;
    }
    return travel(n, home, from, false, at_home(n, home, r, offset, true, t));
}

ps_t numa_hold_up(struct numa *n, uint64_t line, ps_t t, ps_t end_ps)
{
    const struct mem_region *r = mem_region_at(n->mem, line << LINE_SHIFT);
    ps_t done = imc_hold_up(&n->node[r->node], r, line - (r->base >> LINE_SHIFT), t, end_ps);
    n->stats[r->node].local_writes += done != UINT64_MAX;
    return done;
}

ps_t numa_claim(struct numa *n, uint32_t from, uint64_t line, ps_t t)
{
    const struct mem_region *r = mem_region_at(n->mem, line << LINE_SHIFT);
    uint64_t offset;
    uint32_t home = numa_home(n, r, line, &offset);
    if (likely(home == from || home >= n->n_cpu_nodes))
        return t;
    n->sent[from][home].claims++;
    t = travel(n, from, home, false, t);
    if (n->conf.has_directory)
        note_claim(n, home, r, offset, t);
    return travel(n, home, from, false, t);
}

ps_t numa_answer_ps(const struct numa *n, uint32_t from, uint64_t line)
{
    uint64_t offset;
    uint32_t home = numa_home(n, mem_region_at(n->mem, line << LINE_SHIFT), line, &offset);
    return likely(home == from || home >= n->n_cpu_nodes) ? 0 : n->hops[home][from] * n->conf.hop_ps;
}

ps_t numa_accepted_ps(const struct numa *n, uint64_t line, ps_t t)
{
    const struct mem_region *r = mem_region_at(n->mem, line << LINE_SHIFT);
    if (r->kind != MEM_PMEM)
        return t;
    return imc_accepted_ps(&n->node[r->node], r, line - (r->base >> LINE_SHIFT), t);
}

void numa_state(struct numa *n, struct ckpt *c)
{
    ckpt_section(c, "numa");
    ckpt_same(c, n->n_nodes, "nodes");
    CKPT(c, n->link);
    CKPT(c, n->queue);
    CKPT(c, n->stats);
    CKPT(c, n->sent);
    CKPT(c, n->places);
    CKPT(c, n->claims);
    directory_state(&n->directory, c);
    for (uint32_t i = 0; i < n->n_nodes; i++)
        imc_state(&n->node[i], c);
}

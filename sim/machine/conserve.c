/* SPDX-License-Identifier: MIT */
#include "sim/machine/conserve.h"

/* in and out of the queue called where.what agree. */
static int agree(const char *where, uint32_t i, const char *what, uint64_t in, uint64_t out, struct diag *d)
{
    if (in == out)
        return 0;
    return fail(d, "conservation: %s%u: %s: %llu came in, %llu went out or wait", where, i, what,
                (unsigned long long)in, (unsigned long long)out);
}

static int fits(const char *where, uint32_t i, const char *what, uint64_t n, uint64_t places, struct diag *d)
{
    if (n <= places)
        return 0;
    return fail(d, "conservation: %s%u: %s: %llu entries in %llu places", where, i, what, (unsigned long long)n,
                (unsigned long long)places);
}

static int core_conserves(const struct machine *m, uint32_t i, struct diag *d)
{
    const struct core *c = &m->hv.cpu[i].core;
    const struct core_cache_stats *s = &m->caches.core[i].stats;
    return fits("cpu", i, "outstanding loads", c->miss_n, CORE_MAX_MISSES, d) ||
                   fits("cpu", i, "non-temporal stores", c->nt_n, c->conf.nt_buffers, d) ||
                   fits("cpu", i, "store buffer", c->store_n, c->conf.store_buffer, d) ||
                   agree("cpu", i, "requests to the L2", s->l1d_misses + s->l1i_misses, s->l2_hits + s->l2_misses, d) ||
                   agree("cpu", i, "requests to the LLC", s->l2_misses + s->prefetches,
                         s->llc_hits + s->llc_misses + s->snoop_hits, d)
               ? -1
               : 0;
}

static int channel_conserves(const struct node_imc *n, uint32_t k, uint32_t where, struct diag *d)
{
    const struct channel *c = &n->chan[k];
    const struct chan_stats *s = &c->stats;
    if (c->wpq && fits("channel", where, "write-pending queue", c->wpq_n, imc_wpq_places(n), d))
        return -1;
    if (!n->curve.curve && agree("channel", where, "DRAM write queue", s->writes - s->wpq_inserts,
                                 c->dram.stats.drained + dram_waiting(&c->dram), d))
        return -1;
    if (c->module.conf.kind == NVDIMM_OPTANE)
        return agree("channel", where, "write-pending queue to module", s->wpq_inserts, c->module.stats.writes, d);
    return 0;
}

static int numa_conserves(const struct machine *m, struct diag *d)
{
    uint64_t reads = 0, writes = 0, chan_reads = 0, chan_writes = 0;
    uint32_t where = 0;
    for (uint32_t i = 0; i < m->numa.n_nodes; i++) {
        const struct node_stats *s = &m->numa.stats[i];
        const struct node_imc *n = &m->numa.node[i];
        reads += s->local_reads + s->remote_reads;
        writes += s->local_writes + s->remote_writes + s->directory_writes;
        for (uint32_t k = 0; k < n->n_chans; k++, where++) {
            chan_reads += n->chan[k].stats.reads;
            chan_writes += n->chan[k].stats.writes;
            if (channel_conserves(n, k, where, d))
                return -1;
        }
    }
    return agree("nodes 0..", m->numa.n_nodes - 1, "reads over links to channels", reads, chan_reads, d) ||
                   agree("nodes 0..", m->numa.n_nodes - 1, "writes over links to channels", writes, chan_writes, d)
               ? -1
               : 0;
}

/* Every request between two nodes crosses each link of its way, and its answer those back. */
static int links_conserve(const struct numa *n, struct diag *d)
{
    uint64_t lines = 0, messages = 0, carried_lines = 0, carried_messages = 0;
    for (uint32_t a = 0; a < n->n_nodes; a++)
        for (uint32_t b = 0; b < n->n_nodes; b++) {
            uint64_t accesses = n->sent[a][b].reads + n->sent[a][b].writes;
            lines += accesses * n->hops[a][b];
            messages += (accesses + 2 * n->sent[a][b].claims) * n->hops[a][b];
            carried_lines += n->link[a][b].stats.lines;
            carried_messages += n->link[a][b].stats.messages;
        }
    for (uint32_t i = n->n_cpu_nodes; i < n->n_nodes; i++) {
        uint64_t requests = 0;
        for (uint32_t a = 0; a < n->n_cpu_nodes; a++)
            requests += n->sent[a][i].reads + n->sent[a][i].writes;
        if (agree("expander ", i - n->n_cpu_nodes, "device queue", requests, n->queue[i - n->n_cpu_nodes].n, d))
            return -1;
    }
    return agree("nodes 0..", n->n_nodes - 1, "lines on links", lines, carried_lines, d) ||
                   agree("nodes 0..", n->n_nodes - 1, "messages on links", messages, carried_messages, d)
               ? -1
               : 0;
}

int machine_conserves(const struct machine *m, struct diag *d)
{
    for (uint32_t i = 0; i < m->hv.n_cpus; i++)
        if (core_conserves(m, i, d))
            return -1;
    for (uint32_t i = 0; i < m->hv.n_vms; i++) {
        const struct vm_stats *s = &m->hv.vm[i]->stats;
        if (agree("vm ", i, "accesses by kind", s->accesses, s->reads + s->writes + s->fetches, d) ||
            agree("vm ", i, "accesses by node", s->accesses, s->local_accesses + s->remote_accesses, d))
            return -1;
    }
    return numa_conserves(m, d) || links_conserve(&m->numa, d) ? -1 : 0;
}

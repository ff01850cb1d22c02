/* SPDX-License-Identifier: MIT */
#include "sim/machine/nfit.h"

#include <ctype.h>
#include <string.h>

uint64_t machine_hint_address(const struct machine *m, uint32_t node, uint32_t controller)
{
    const struct mem_region *last = &m->mem->region[m->mem->n_regions - 1];
    return last->base + last->bytes + (node * m->conf.imc.n_imcs + controller) * PAGE_BYTES;
}

/* The modules of one node: one a channel, of one range. n: modules so far, on all nodes. */
static void add_modules(const struct machine *m, struct nfit *t, uint32_t node, const struct mem_region *r, uint32_t *n)
{
    const struct node_imc *imc = &m->numa.node[node];
    const struct nvdimm_conf *pmem = &m->conf.pmem;
    for (uint32_t chan = 0; chan < imc->n_chans; chan++) {
        uint32_t controller = chan / (uint32_t)imc->conf.n_channels, channel = chan % (uint32_t)imc->conf.n_channels;
        uint32_t handle = nfit_handle((struct nfit_place){node, controller, channel, 0});
        uint16_t number = (uint16_t)++ * n;
        bool alone = imc->n_chans == 1;
        nfit_add_region(t, &(struct nfit_region){.handle = handle,
                                                 .physical_id = number,
                                                 .range = (uint16_t)(node + 1),
                                                 .control = number,
                                                 .interleave = alone ? 0 : 1,
                                                 .ways = (uint16_t)imc->n_chans,
                                                 .bytes = r->bytes / imc->n_chans,
                                                 .offset = imc_offset(imc, MEM_PMEM, chan, 0) << LINE_SHIFT});
        nfit_add_control(t, number, pmem->kind == NVDIMM_N ? NFIT_ENERGY_BACKED : NFIT_PERSISTENT, number);
        if (imc->conf.hints)
            nfit_add_hint(t, handle, machine_hint_address(m, node, controller));
    }
}

static uint32_t saved(const struct hv_conf *c)
{
    static const uint32_t by_outcome[] = {
        [POWER_ADR] = NFIT_SAVES_QUEUES,
        [POWER_ADR_FAILS] = 0,
        [POWER_EADR] = NFIT_SAVES_QUEUES | NFIT_SAVES_CACHES,
    };
    return by_outcome[c->power_fail];
}

int machine_nfit(const struct machine *m, struct nfit *t, struct diag *d)
{
    char id[9] = {0};
    uint32_t n = 0;
    if (m->conf.pmem.kind == NVDIMM_NONE)
        return fail(d, "machine %s: found no persistent modules, expected machine.pmem.kind nvdimm-n or optane",
                    m->conf.name);
    for (uint32_t i = 0; i < 8 && m->conf.name[i]; i++)
        id[i] = (char)toupper((unsigned char)m->conf.name[i]);
    nfit_init(t, id);
    nfit_add_capabilities(t, saved(&m->conf.hv));
    if (m->conf.imc.n_imcs * m->conf.imc.n_channels > 1)
        nfit_add_interleave(t, 1, (uint32_t)m->conf.imc.pmem_interleave_bytes,
                            (uint32_t)(m->conf.imc.n_imcs * m->conf.imc.n_channels));
    for (uint32_t i = 0; i < m->numa.n_cpu_nodes; i++) {
        const struct mem_region *r = mem_find_region(m->mem, i, MEM_PMEM);
        nfit_add_range(
            t, &(struct nfit_range){.index = (uint16_t)(i + 1), .domain = i, .base = r->base, .bytes = r->bytes});
        add_modules(m, t, i, r, &n);
    }
    nfit_finish(t);
    return 0;
}

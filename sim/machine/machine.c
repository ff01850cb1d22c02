/* SPDX-License-Identifier: MIT */
#include "sim/machine/machine.h"

#include <stdlib.h>

struct identity {
    const char *name, *claims;
};
const struct conf_key machine_keys[] = {
    {"name", CONF_STRING, offsetof(struct identity, name), "default", 0, 0, NULL,
     "what the machine is called in reports"},
    {"claims", CONF_STRING, offsetof(struct identity, claims), "1-100", 0, 0, NULL,
     "rows of published measurements that `quire validate` holds the machine to (docs/validate.md): 1-11 15 17"},
    {0},
};

const struct conf_schema machine_sections[] = {
    {.name = "core", .keys = core_keys, .help = "timing of a core"},
    {.name = "cache", .keys = cache_keys, .help = "private caches, last-level cache, snoop filter, flushes"},
    {.name = "tlb", .keys = mmu_keys, .help = "TLBs and paging-structure caches"},
    {.name = "numa", .keys = numa_keys, .help = "nodes, their DRAM, the links between them"},
    {.name = "imc", .keys = imc_keys, .help = "memory controllers, DDR4 channels, write-pending queues, flush hints"},
    {.name = "pmem", .keys = nvdimm_keys, .help = "persistent modules, one a channel"},
    {.name = "cxl", .keys = cxl_keys, .help = "CXL.mem expanders: nodes with memory and without CPUs"},
    {.name = "cxl_imc", .keys = imc_keys, .help = "the memory controllers inside an expander, as in imc"},
    {.name = "hypervisor",
     .keys = hv_keys,
     .help = "cores, nested paging, costs of exits and shootdowns, power failures"},
    {0},
};

int machine_bind(const struct conf_section *s, struct machine_conf *c, struct diag *d)
{
    struct identity id = {0};
    const struct {
        const char *section;
        const struct conf_key *keys;
        void *to;
    } part[] = {
        {"core", core_keys, &c->core}, {"cache", cache_keys, &c->cache},   {"tlb", mmu_keys, &c->mmu},
        {"numa", numa_keys, &c->numa}, {"imc", imc_keys, &c->imc},         {"pmem", nvdimm_keys, &c->pmem},
        {"cxl", cxl_keys, &c->cxl},    {"cxl_imc", imc_keys, &c->cxl_imc}, {"hypervisor", hv_keys, &c->hv},
    };
    int bad = conf_bind(s, machine_keys, &id, d);
    c->name = id.name;
    c->claims = id.claims;
    for (size_t i = 0; i < N_ELEMS(part); i++)
        bad |= conf_bind(s ? conf_find(s, part[i].section, NULL) : NULL, part[i].keys, part[i].to, d);
    return bad ? -1 : 0;
}

struct machine *machine_new(const struct machine_conf *c, struct diag *d)
{
    struct machine *m = xcalloc(1, sizeof *m);
    m->conf = *c;
    m->mem = mem_new();
    if (numa_init(&m->numa, &c->numa, &c->imc, &c->pmem, &c->cxl, &c->cxl_imc, m->mem, d) ||
        caches_init(&m->caches, &c->cache, &m->numa, (uint32_t)c->hv.cores, c->core.hz, d) ||
        hv_init(&m->hv, &c->hv, m->mem, &m->numa, &m->caches, &c->core, &c->mmu, d)) {
        machine_free(m);
        return NULL;
    }
    return m;
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->hv.n_vms; i++)
        guest_free(m->hv.vm[i]);
    hv_fini(&m->hv);
    caches_fini(&m->caches);
    numa_fini(&m->numa);
    mem_free(m->mem);
    free(m);
}

/* SPDX-License-Identifier: MIT */
/* A simulated host built from the `machine` section of a configuration. */
#ifndef QUIRE_MACHINE_MACHINE_H
#define QUIRE_MACHINE_MACHINE_H

#include "sim/base/conf.h"
#include "sim/guest/guest.h"
#include "sim/hv/hv.h"

struct machine_conf {
    struct hv_conf hv;
    struct core_conf core;
    struct cache_conf cache;
    struct mmu_conf mmu;
    struct numa_conf numa;
    struct imc_conf imc;
    struct cxl_conf cxl;
    struct imc_conf cxl_imc;
    struct nvdimm_conf pmem;
    const char *name;   /* owned by the configuration, as claims */
    const char *claims; /* rows of published measurements it is held to; owned by the configuration */
};

/* Sections inside `machine`, and the keys of `machine` itself. */
extern const struct conf_schema machine_sections[];
extern const struct conf_key machine_keys[];

struct machine {
    struct machine_conf conf;
    struct mem *mem;
    struct numa numa;
    struct caches caches;
    struct hv hv;
};

/* Reads the section (NULL: all defaults) into conf. */
int machine_bind(const struct conf_section *s, struct machine_conf *conf, struct diag *d);
struct machine *machine_new(const struct machine_conf *conf, struct diag *d);
/* VMs built by guest_new are freed too. */
void machine_free(struct machine *m);

#endif

/* SPDX-License-Identifier: MIT */
/* The NFIT that the firmware of a simulated host gives its kernel, and the host's memory map. */
#ifndef QUIRE_MACHINE_NFIT_H
#define QUIRE_MACHINE_NFIT_H

#include "sim/machine/machine.h"
#include "sim/nvdimm/nfit.h"

/* Page of the flush hint of a controller: above all memory, one page each, nodes and controllers in order. All modules
 * of a controller have the same one, for a store to it drains the controller. */
uint64_t machine_hint_address(const struct machine *m, uint32_t node, uint32_t controller);

/* The whole table; the caller frees it (nfit_fini). -1 if the machine has no persistent modules. Power failures: the
 * capabilities say what machine.hypervisor.power_fail saves. */
int machine_nfit(const struct machine *m, struct nfit *t, struct diag *d);

#endif

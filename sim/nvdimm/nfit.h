/* SPDX-License-Identifier: MIT */
/* The bytes of ACPI's NVDIMM Firmware Interface Table (ACPI 6.4, section 5.2.25): where persistent memory lies, which
 * modules are behind it and how they interleave, where their flush hints are, and what the platform saves when the
 * power fails. A host's table is built by sim/machine/nfit.c; a guest's has the same parts.
 *
 * nfit_init(), then the parts in any order, then nfit_finish(), which fills in length and checksum. */
#ifndef QUIRE_NVDIMM_NFIT_H
#define QUIRE_NVDIMM_NFIT_H

#include <stdint.h>

struct nfit {
    uint8_t *bytes; /* owned; little-endian */
    uint32_t n, cap;
};

/* table_id: at most 8 characters, the OEM table id. */
void nfit_init(struct nfit *t, const char *table_id);
void nfit_fini(struct nfit *t);

/* A range of system-physical addresses with persistent memory, write-back cached. index: from 1. */
struct nfit_range {
    uint16_t index;
    uint32_t domain; /* proximity domain: the node */
    uint64_t base, bytes;
};
void nfit_add_range(struct nfit *t, const struct nfit_range *r);

/* Handle of a module (_ADR of its ACPI object): where it is plugged in. Each field is below 16. */
struct nfit_place {
    uint32_t socket, controller, channel, slot;
};
uint32_t nfit_handle(struct nfit_place p);

/* A module's part of a range: bytes from physical address 0 of the module on, of which the first is at offset in the
 * range. interleave: index of the interleave table, 0 with ways == 1. */
struct nfit_region {
    uint32_t handle;
    uint16_t physical_id; /* SMBIOS handle of the module */
    uint16_t range, control, interleave, ways;
    uint64_t bytes, offset;
};
void nfit_add_region(struct nfit *t, const struct nfit_region *r);

/* Modules take turns: `block` bytes of each of `ways`. */
void nfit_add_interleave(struct nfit *t, uint16_t index, uint32_t block, uint32_t ways);

/* Region format interface codes (JEDEC, as the table uses them): byte-addressable, with stored energy (NVDIMM-N) or
 * without. */
enum { NFIT_ENERGY_BACKED = 0x0101, NFIT_PERSISTENT = 0x0301 };
/* The control region of one module; no block windows. */
void nfit_add_control(struct nfit *t, uint16_t index, uint16_t interface, uint32_t serial);

/* A module's flush hint address. */
void nfit_add_hint(struct nfit *t, uint32_t handle, uint64_t address);

/* What is saved when the power fails: the caches, the memory controllers' queues. */
enum { NFIT_SAVES_CACHES = 1, NFIT_SAVES_QUEUES = 2 };
void nfit_add_capabilities(struct nfit *t, uint32_t capabilities);

void nfit_finish(struct nfit *t);

#endif

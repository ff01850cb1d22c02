/* SPDX-License-Identifier: MIT */
#include "sim/nvdimm/nfit.h"

#include "sim/base/diag.h"

#include <stdlib.h>
#include <string.h>

/* Types of the table's parts (ACPI 6.4, table 5.129 on). */
enum { RANGE = 0, REGION = 1, INTERLEAVE = 2, CONTROL = 4, HINT = 6, CAPABILITIES = 7 };

#define HEADER_BYTES     40u /* ACPI's header of 36, and 4 reserved */
#define LENGTH_AT        4u
#define CHECKSUM_AT      9u
#define DOMAIN_VALID     2u
#define MEMORY_WB        0x8u    /* EFI_MEMORY_WB (UEFI 2.8, 7.2) */
#define MEMORY_NV        0x8000u /* EFI_MEMORY_NV */
#define INTERLEAVE_LINES 2u      /* described; an even number keeps the next part aligned to 8 bytes */

/* 66f0d379-b4f3-4074-ac43-0d3318b78cdb, "byte-addressable persistent memory", as it stands in the table. */
static const uint8_t persistent_memory[16] = {0x79, 0xd3, 0xf0, 0x66, 0xf3, 0xb4, 0x74, 0x40,
                                              0xac, 0x43, 0x0d, 0x33, 0x18, 0xb7, 0x8c, 0xdb};

static void put(struct nfit *t, uint64_t value, uint32_t bytes)
{
    if (t->n + bytes > t->cap) {
        t->cap = t->cap ? t->cap * 2 : 1024;
        t->bytes = xrealloc(t->bytes, t->cap);
    }
    for (uint32_t i = 0; i < bytes; i++)
        t->bytes[t->n++] = i < 8 ? (uint8_t)(value >> 8 * i) : 0;
}

static void put_text(struct nfit *t, const char *text, uint32_t bytes)
{
    size_t len = strlen(text);
    for (uint32_t i = 0; i < bytes; i++)
        put(t, i < len ? (uint8_t)text[i] : ' ', 1);
}

static void put_head(struct nfit *t, uint32_t type, uint32_t bytes)
{
    put(t, type, 2);
    put(t, bytes, 2);
}

void nfit_init(struct nfit *t, const char *table_id)
{
    *t = (struct nfit){0};
    put_text(t, "NFIT", 4);
    put(t, 0, 4); /* length: nfit_finish() */
    put(t, 1, 1); /* revision */
    put(t, 0, 1); /* checksum */
    put_text(t, "QUIRE", 6);
    put_text(t, table_id, 8);
    put(t, 1, 4);
    put_text(t, "QUIR", 4);
    put(t, 1, 4);
    put(t, 0, 4);
    CHECK(t->n == HEADER_BYTES);
}

void nfit_fini(struct nfit *t)
{
    free(t->bytes);
    *t = (struct nfit){0};
}

void nfit_add_range(struct nfit *t, const struct nfit_range *r)
{
    put_head(t, RANGE, 56);
    put(t, r->index, 2);
    put(t, DOMAIN_VALID, 2);
    put(t, 0, 4);
    put(t, r->domain, 4);
    for (uint32_t i = 0; i < sizeof persistent_memory; i++)
        put(t, persistent_memory[i], 1);
    put(t, r->base, 8);
    put(t, r->bytes, 8);
    put(t, MEMORY_WB | MEMORY_NV, 8);
}

uint32_t nfit_handle(struct nfit_place p)
{
    CHECK((p.socket | p.controller | p.channel | p.slot) < 16);
    return p.socket << 12 | p.controller << 8 | p.channel << 4 | p.slot;
}

void nfit_add_region(struct nfit *t, const struct nfit_region *r)
{
    put_head(t, REGION, 48);
    put(t, r->handle, 4);
    put(t, r->physical_id, 2);
    put(t, 0, 2); /* region of the module */
    put(t, r->range, 2);
    put(t, r->control, 2);
    put(t, r->bytes, 8);
    put(t, r->offset, 8);
    put(t, 0, 8); /* physical address in the module */
    put(t, r->interleave, 2);
    put(t, r->ways, 2);
    put(t, 0, 2); /* state: no save or restore has failed, armed */
    put(t, 0, 2);
}

/* Line i of the described ones lies offset i * block from the region's first byte; all of them repeat every
 * INTERLEAVE_LINES * ways lines. */
void nfit_add_interleave(struct nfit *t, uint16_t index, uint32_t block, uint32_t ways)
{
    put_head(t, INTERLEAVE, 16 + 4 * INTERLEAVE_LINES);
    put(t, index, 2);
    put(t, 0, 2);
    put(t, INTERLEAVE_LINES, 4);
    put(t, block, 4);
    for (uint32_t i = 0; i < INTERLEAVE_LINES; i++)
        put(t, i * ways, 4);
}

void nfit_add_control(struct nfit *t, uint16_t index, uint16_t interface, uint32_t serial)
{
    put_head(t, CONTROL, 32);
    put(t, index, 2);
    put(t, 0, 12); /* vendor, device, revision, and of the subsystem: of no maker */
    put(t, 0, 1);  /* manufacturing place and date are not valid */
    put(t, 0, 1);
    put(t, 0, 2);
    put(t, 0, 2);
    put(t, serial, 4);
    put(t, interface, 2);
    put(t, 0, 2); /* block windows; without them the part ends here */
}

void nfit_add_hint(struct nfit *t, uint32_t handle, uint64_t address)
{
    put_head(t, HINT, 24);
    put(t, handle, 4);
    put(t, 1, 2);
    put(t, 0, 6);
    put(t, address, 8);
}

void nfit_add_capabilities(struct nfit *t, uint32_t capabilities)
{
    put_head(t, CAPABILITIES, 16);
    put(t, 1, 1); /* highest bit that says something */
    put(t, 0, 3);
    put(t, capabilities, 4);
    put(t, 0, 4);
}

void nfit_finish(struct nfit *t)
{
    uint8_t sum = 0;
    for (uint32_t i = 0; i < 4; i++)
        t->bytes[LENGTH_AT + i] = (uint8_t)(t->n >> 8 * i);
    t->bytes[CHECKSUM_AT] = 0;
    for (uint32_t i = 0; i < t->n; i++)
        sum = (uint8_t)(sum + t->bytes[i]);
    t->bytes[CHECKSUM_AT] = (uint8_t)(256 - sum);
}

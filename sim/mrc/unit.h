/* SPDX-License-Identifier: MIT */
/* What a curve counts: turns records into the ids of pages, lines, blocks or objects. */
#ifndef QUIRE_MRC_UNIT_H
#define QUIRE_MRC_UNIT_H

#include "sim/base/map.h"
#include "sim/trace/trace.h"

#include <stdbool.h>
#include <stdint.h>

enum mrc_unit_kind {
    MRC_PAGE,   /* every page an access, a disk request or a sampled region touches, in ascending order */
    MRC_BLOCK,  /* every 512-byte block of it */
    MRC_OBJECT, /* one id a record: the object, the first block of a disk request, the address of an access */
};

#define MRC_BLOCK_BYTES 512

/* Zero-initialise, then set kind and shift. Requests for objects count as one id in every unit. */
struct mrc_unit {
    enum mrc_unit_kind kind;
    uint8_t shift; /* log2 of the page size: 12, 21 or 30; unused by the other kinds */
    /* below: private */
    struct map spaces;             /* address space -> number in order of appearance */
    uint64_t space[QTR_MAX_VCPUS]; /* what a vCPU's current space adds to its ids */
    const struct trace_rec *rec, *rec_end;
    uint64_t next, left; /* of the record in hand: next id, ids left */
};

/* Name ("page", "block", "object") -> kind. -1 after fail(). */
int mrc_unit_parse(const char *name, enum mrc_unit_kind *kind, struct diag *d);
void mrc_unit_free(struct mrc_unit *u);

/* Hands over n records, to be turned into ids by calls of mrc_unit_ids; they must live until it returns 0. */
void mrc_unit_records(struct mrc_unit *u, const struct trace_rec *rec, uint32_t n);
/* The next ids, up to max; 0 when the records are used up. source (may be NULL) receives for each id the record it came
 * from. Records that touch no memory, blocks or objects give none. */
uint32_t mrc_unit_ids(struct mrc_unit *u, uint64_t *ids, const struct trace_rec **source, uint32_t max);

/* The address of an id's first byte: on its disk if it came from there, the object's number for objects. */
uint64_t mrc_unit_address(const struct mrc_unit *u, uint64_t id);

#endif

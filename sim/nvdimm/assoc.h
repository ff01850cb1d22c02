/* SPDX-License-Identifier: MIT */
/* A fully associative buffer with random replacement, as small on-module SRAMs behave: up to cap keys, each in a slot
 * whose number stays the same while the key is there, so that the owner keeps its payload in arrays of its own. Every
 * operation is O(1). Replacement draws from a fixed sequence: the same requests give the same victims. */
#ifndef QUIRE_NVDIMM_ASSOC_H
#define QUIRE_NVDIMM_ASSOC_H

#include "sim/base/ckpt.h"
#include "sim/base/types.h"

#define ASSOC_NONE UINT32_MAX

struct assoc {
    uint64_t *key;         /* by slot */
    uint32_t *table;       /* open addressing: slot + 1, 0 is free */
    uint32_t *free_slot;   /* stack of slots without a key */
    uint32_t cap, n, mask; /* slots, keys, table size - 1 */
    uint64_t random;
};

/* cap: 1 to 2^24. */
void assoc_init(struct assoc *a, uint32_t cap);
void assoc_fini(struct assoc *a);
/* Slot of the key, or ASSOC_NONE. */
uint32_t assoc_find(const struct assoc *a, uint64_t key);
/* Slot for a key that is not there, if one is free; else ASSOC_NONE: the owner takes a victim and removes it first. */
uint32_t assoc_insert(struct assoc *a, uint64_t key);
void assoc_remove(struct assoc *a, uint32_t slot);
/* A slot that holds a key, drawn at random; the buffer has to be full. */
uint32_t assoc_victim(struct assoc *a);

/* Its keys, for a checkpoint. */
void assoc_state(struct assoc *a, struct ckpt *c);

#endif

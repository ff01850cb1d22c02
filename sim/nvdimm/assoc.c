/* SPDX-License-Identifier: MIT */
#include "sim/nvdimm/assoc.h"

#include "sim/base/diag.h"

#include <stdlib.h>

static uint32_t home(const struct assoc *a, uint64_t key)
{
    return (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 32) & a->mask;
}

void assoc_init(struct assoc *a, uint32_t cap)
{
    uint32_t size = 4;
    while (size < 2 * cap)
        size *= 2;
    *a = (struct assoc){.cap = cap, .mask = size - 1, .random = 1};
    a->key = xcalloc(cap, sizeof *a->key);
    a->table = xcalloc(size, sizeof *a->table);
    a->free_slot = xcalloc(cap, sizeof *a->free_slot);
    for (uint32_t i = 0; i < cap; i++)
        a->free_slot[i] = cap - 1 - i;
}

void assoc_fini(struct assoc *a)
{
    free(a->key);
    free(a->table);
    free(a->free_slot);
}

uint32_t assoc_find(const struct assoc *a, uint64_t key)
{
    for (uint32_t i = home(a, key);; i = (i + 1) & a->mask) {
        uint32_t slot = a->table[i] - 1;
        if (slot == ASSOC_NONE || a->key[slot] == key)
            return slot;
    }
}

uint32_t assoc_insert(struct assoc *a, uint64_t key)
{
    if (a->n == a->cap)
        return ASSOC_NONE;
    uint32_t slot = a->free_slot[a->cap - 1 - a->n++], i = home(a, key);
    while (a->table[i])
        i = (i + 1) & a->mask;
    a->key[slot] = key;
    a->table[i] = slot + 1;
    return slot;
}

/* Closes the gap that the removed entry leaves in its run of the table. */
void assoc_remove(struct assoc *a, uint32_t slot)
{
    uint32_t gap = home(a, a->key[slot]);
    while (a->table[gap] != slot + 1)
        gap = (gap + 1) & a->mask;
    for (uint32_t i = (gap + 1) & a->mask; a->table[i]; i = (i + 1) & a->mask) {
        uint32_t want = home(a, a->key[a->table[i] - 1]);
        if (((i - want) & a->mask) >= ((i - gap) & a->mask)) {
            a->table[gap] = a->table[i];
            gap = i;
        }
    }
    a->table[gap] = 0;
    a->free_slot[a->cap - a->n--] = slot;
}

uint32_t assoc_victim(struct assoc *a)
{
    a->random = a->random * 6364136223846793005ull + 1442695040888963407ull; /* Knuth's MMIX generator */
    return (uint32_t)((a->random >> 32) * a->cap >> 32);
}

void assoc_state(struct assoc *a, struct ckpt *c)
{
    ckpt_same(c, a->cap, "places of a buffer");
    CKPT(c, a->n);
    CKPT(c, a->random);
    ckpt_bytes(c, a->key, a->cap * sizeof *a->key);
    ckpt_bytes(c, a->table, (a->mask + 1ull) * sizeof *a->table);
    ckpt_bytes(c, a->free_slot, a->cap * sizeof *a->free_slot);
}

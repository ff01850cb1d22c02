/* SPDX-License-Identifier: MIT */
/* Event heap: the earliest time first; at the same time, in the order of insertion. */
#ifndef QUIRE_BASE_HEAP_H
#define QUIRE_BASE_HEAP_H

#include "sim/base/types.h"

struct heap_item {
    ps_t at_ps;
    uint64_t order; /* running number of the insertion */
    uint32_t kind;
    uint64_t id;
};

struct heap {
    struct heap_item *item;
    uint64_t n, cap, next_order;
};

void heap_push(struct heap *h, ps_t at_ps, uint32_t kind, uint64_t id);
/* Takes the first item; h->n must not be 0. */
struct heap_item heap_pop(struct heap *h);
void heap_free(struct heap *h);

#endif

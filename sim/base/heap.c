/* SPDX-License-Identifier: MIT */
#include "sim/base/heap.h"

#include "sim/base/diag.h"

#include <stdlib.h>

static bool before(const struct heap_item *a, const struct heap_item *b)
{
    return a->at_ps != b->at_ps ? a->at_ps < b->at_ps : a->order < b->order;
}

void heap_push(struct heap *h, ps_t at_ps, uint32_t kind, uint64_t id)
{
    struct heap_item it = {at_ps, h->next_order++, kind, id};
    if (h->n == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 64;
        h->item = xrealloc(h->item, h->cap * sizeof *h->item);
    }
    uint64_t i = h->n++;
    for (; i && before(&it, &h->item[(i - 1) / 2]); i = (i - 1) / 2)
        h->item[i] = h->item[(i - 1) / 2];
    h->item[i] = it;
}

struct heap_item heap_pop(struct heap *h)
{
    CHECK(h->n);
    struct heap_item first = h->item[0], last = h->item[--h->n];
    uint64_t i = 0;
    for (uint64_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && before(&h->item[child + 1], &h->item[child]))
            child++;
        if (!before(&h->item[child], &last))
            break;
        h->item[i] = h->item[child];
    }
    if (h->n)
        h->item[i] = last;
    return first;
}

void heap_free(struct heap *h)
{
    free(h->item);
    *h = (struct heap){0};
}

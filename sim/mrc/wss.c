/* SPDX-License-Identifier: MIT */
#include "sim/mrc/wss.h"

#include "sim/base/diag.h"
#include "sim/base/map.h"

#include <stdlib.h>
#include <string.h>

struct mrc_wss {
    struct map last;     /* id -> last window touched + 1, and << 32 the last one written + 1 */
    uint64_t max_last;   /* of the id that the map cannot hold */
    uint64_t cached_id;  /* the id accessed last, and where its entry is: most accesses repeat */
    uint64_t *cached_at; /* NULL = none */
    struct mrc_wss_window *list;
    uint64_t n, cap;
};

struct mrc_wss *mrc_wss_new(void)
{
    return xcalloc(1, sizeof(struct mrc_wss));
}

void mrc_wss_free(struct mrc_wss *w)
{
    if (!w)
        return;
    map_free(&w->last);
    free(w->list);
    free(w);
}

static struct mrc_wss_window *window_at(struct mrc_wss *w, uint64_t window)
{
    CHECK(window < 1u << 31);
    if (window >= w->cap) {
        uint64_t more = window + window / 2 + 64;
        w->list = xrealloc(w->list, more * sizeof *w->list);
        memset(w->list + w->cap, 0, (more - w->cap) * sizeof *w->list);
        w->cap = more;
    }
    if (window >= w->n)
        w->n = window + 1;
    return &w->list[window];
}

static uint64_t *entry_of(struct mrc_wss *w, uint64_t id)
{
    if (w->cached_at && w->cached_id == id)
        return w->cached_at;
    w->cached_id = id;
    w->cached_at = id == UINT64_MAX ? &w->max_last : map_put(&w->last, id);
    return w->cached_at;
}

void mrc_wss_access(struct mrc_wss *w, uint64_t window, uint64_t id, bool write)
{
    struct mrc_wss_window *k = window_at(w, window);
    uint64_t *entry = entry_of(w, id), touched = *entry & UINT32_MAX, written = *entry >> 32;
    k->accesses++;
    if (touched != window + 1)
        k->distinct++;
    if (write && written != window + 1) {
        k->written++;
        written = window + 1;
    }
    *entry = written << 32 | (window + 1);
}

uint64_t mrc_wss_windows(const struct mrc_wss *w, const struct mrc_wss_window **list)
{
    *list = w->list;
    return w->n;
}

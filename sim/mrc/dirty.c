/* SPDX-License-Identifier: MIT */
#include "sim/mrc/dirty.h"

#include "sim/base/diag.h"
#include "sim/base/map.h"
#include "sim/mrc/lru.h"

#include <stdlib.h>
#include <string.h>

struct mrc_dirty {
    struct mrc_lru *lru;
    struct map kept;   /* id -> smallest cache that has kept it since its last write; 0 = never written */
    uint64_t max_kept; /* of the id that the map cannot hold */
    int64_t *step;     /* [c]: write-backs of a cache of c entries less those of one of c - 1 */
    uint64_t n_step;
};

struct mrc_dirty *mrc_dirty_new(void)
{
    struct mrc_dirty *m = xcalloc(1, sizeof *m);
    m->lru = mrc_lru_new();
    return m;
}

void mrc_dirty_free(struct mrc_dirty *m)
{
    if (!m)
        return;
    mrc_lru_free(m->lru);
    map_free(&m->kept);
    free(m->step);
    free(m);
}

/* Caches of from..to-1 entries write back once. */
static void add_range(struct mrc_dirty *m, uint64_t from, uint64_t to)
{
    if (to >= m->n_step) {
        uint64_t more = to + to / 2 + 64;
        m->step = xrealloc(m->step, more * sizeof *m->step);
        memset(m->step + m->n_step, 0, (more - m->n_step) * sizeof *m->step);
        m->n_step = more;
    }
    m->step[from]++;
    m->step[to]--;
}

void mrc_dirty_access(struct mrc_dirty *m, uint64_t id, bool write)
{
    uint32_t d;
    mrc_lru_feed_distances(m->lru, &id, 1, &d);
    uint64_t *kept = id == UINT64_MAX ? &m->max_kept : map_put(&m->kept, id);
    if (*kept && *kept < d) {
        add_range(m, *kept, d);
        *kept = d;
    }
    if (write)
        *kept = 1;
}

/* Ids that were evicted dirty and not accessed again count too: they lie deeper in the stack than the cache reaches. */
void mrc_dirty_writebacks(struct mrc_dirty *m, const uint64_t *size, uint64_t n, uint64_t *writebacks)
{
    int64_t *total = xcalloc(n + 1, sizeof *total), sum = 0;
    uint64_t c = 0;
    for (uint64_t i = 0; i < n; i++) {
        for (; c <= size[i] && c < m->n_step; c++)
            sum += m->step[c];
        total[i] = sum;
    }
    for (uint64_t s = 0; m->kept.key && s <= m->kept.mask; s++) {
        if (m->kept.key[s] == UINT64_MAX || !m->kept.val[s])
            continue;
        uint64_t depth = mrc_lru_depth(m->lru, m->kept.key[s]);
        for (uint64_t i = 0; i < n; i++)
            total[i] += size[i] >= m->kept.val[s] && size[i] < depth;
    }
    uint64_t depth = m->max_kept ? mrc_lru_depth(m->lru, UINT64_MAX) : 0;
    for (uint64_t i = 0; i < n; i++) {
        total[i] += m->max_kept && size[i] >= m->max_kept && size[i] < depth;
        writebacks[i] = (uint64_t)total[i];
    }
    free(total);
}

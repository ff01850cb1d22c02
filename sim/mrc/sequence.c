/* SPDX-License-Identifier: MIT */
#include "sim/base/map.h"
#include "sim/mrc/policy.h"

#include <stdlib.h>
#include <string.h>

struct mrc_sequence {
    struct map dense; /* id -> number in order of appearance */
    bool has_max;     /* the id that the map cannot hold has appeared */
    uint32_t max_number, n_ids;
    uint32_t *id;
    uint64_t n, cap;
    uint64_t *next; /* NULL until asked for */
};

struct mrc_sequence *mrc_sequence_new(void)
{
    return xcalloc(1, sizeof(struct mrc_sequence));
}

void mrc_sequence_free(struct mrc_sequence *s)
{
    if (!s)
        return;
    map_free(&s->dense);
    free(s->id);
    free(s->next);
    free(s);
}

static uint32_t dense(struct mrc_sequence *s, uint64_t id)
{
    if (id == UINT64_MAX) {
        if (!s->has_max)
            s->max_number = s->n_ids++;
        s->has_max = true;
        return s->max_number;
    }
    uint64_t before = s->dense.n, *number = map_put(&s->dense, id);
    if (s->dense.n > before) {
        CHECK_MSG(s->n_ids < UINT32_MAX, "a trace of 2^32 distinct ids");
        *number = s->n_ids++;
    }
    return (uint32_t)*number;
}

void mrc_sequence_feed(struct mrc_sequence *s, const uint64_t *ids, uint64_t n)
{
    if (s->n + n > s->cap) {
        s->cap = (s->n + n) + (s->n + n) / 2;
        s->id = xrealloc(s->id, s->cap * sizeof *s->id);
    }
    for (uint64_t i = 0; i < n; i++)
        s->id[s->n++] = dense(s, ids[i]);
    free(s->next);
    s->next = NULL;
}

uint64_t mrc_sequence_accesses(const struct mrc_sequence *s)
{
    return s->n;
}

uint64_t mrc_sequence_distinct(const struct mrc_sequence *s)
{
    return s->n_ids;
}

static void find_next(struct mrc_sequence *s)
{
    uint64_t *seen = xmalloc((s->n_ids + 1ull) * sizeof *seen);
    s->next = xmalloc((s->n + 1) * sizeof *s->next);
    for (uint32_t i = 0; i < s->n_ids; i++)
        seen[i] = s->n;
    for (uint64_t i = s->n; i-- > 0;) {
        s->next[i] = seen[s->id[i]];
        seen[s->id[i]] = i;
    }
    free(seen);
}

void mrc_sequence_misses(struct mrc_sequence *s, const struct mrc_policy *p, const uint64_t *size, uint64_t n,
                         uint64_t *misses)
{
    if (p->needs_next && !s->next)
        find_next(s);
    for (uint64_t i = 0; i < n; i++)
        misses[i] = size[i] >= s->n_ids ? s->n_ids : p->misses(size[i], s->id, s->next, s->n, s->n_ids);
}

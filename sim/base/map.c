/* SPDX-License-Identifier: MIT */
#include "sim/base/map.h"

#include "sim/base/diag.h"
#include "sim/base/rng.h"

#include <stdlib.h>
#include <string.h>

#define EMPTY UINT64_MAX

void map_free(struct map *m)
{
    free(m->key);
    free(m->val);
    *m = (struct map){0};
}

static uint64_t slot_of(const struct map *m, uint64_t key)
{
    uint64_t i = hash64(key) & m->mask;
    while (m->key[i] != EMPTY && m->key[i] != key)
        i = (i + 1) & m->mask;
    return i;
}

uint64_t *map_get(const struct map *m, uint64_t key)
{
    if (m->n == 0)
        return NULL;
    uint64_t i = slot_of(m, key);
    return m->key[i] == key ? &m->val[i] : NULL;
}

static void map_grow(struct map *m)
{
    struct map old = *m;
    uint64_t slots = old.key ? (old.mask + 1) * 2 : 16;
    m->key = xmalloc(slots * sizeof *m->key);
    m->val = xcalloc(slots, sizeof *m->val);
    memset(m->key, 0xff, slots * sizeof *m->key);
    m->mask = slots - 1;
    for (uint64_t i = 0; old.key && i <= old.mask; i++) {
        if (old.key[i] == EMPTY)
            continue;
        uint64_t to = slot_of(m, old.key[i]);
        m->key[to] = old.key[i];
        m->val[to] = old.val[i];
    }
    free(old.key);
    free(old.val);
}

uint64_t *map_put(struct map *m, uint64_t key)
{
    CHECK(key != EMPTY);
    if (!m->key || (m->n + 1) * 4 > (m->mask + 1) * 3)
        map_grow(m);
    uint64_t i = slot_of(m, key);
    if (m->key[i] == EMPTY) {
        m->key[i] = key;
        m->val[i] = 0;
        m->n++;
    }
    return &m->val[i];
}

bool map_del(struct map *m, uint64_t key)
{
    if (m->n == 0)
        return false;
    uint64_t hole = slot_of(m, key);
    if (m->key[hole] != key)
        return false;
    /* Close the gap: an entry may move back if its home slot does not lie between the gap and itself. */
    for (uint64_t i = (hole + 1) & m->mask; m->key[i] != EMPTY; i = (i + 1) & m->mask) {
        uint64_t home = hash64(m->key[i]) & m->mask;
        if (((i - home) & m->mask) < ((i - hole) & m->mask))
            continue;
        m->key[hole] = m->key[i];
        m->val[hole] = m->val[i];
        hole = i;
    }
    m->key[hole] = EMPTY;
    m->n--;
    return true;
}

/* SPDX-License-Identifier: MIT */
/* Hash map from uint64_t to uint64_t: open addressing, linear probing, removal by shifting back. For side tables, not
 * for the access path. The key ~0 is not allowed. Iteration order depends only on the sequence of operations. */
#ifndef QUIRE_BASE_MAP_H
#define QUIRE_BASE_MAP_H

#include <stdbool.h>
#include <stdint.h>

struct map {
    uint64_t *key; /* ~0 = empty */
    uint64_t *val;
    uint64_t n, mask; /* entries; slots - 1 (0 before the first insertion) */
};

void map_free(struct map *m);
/* Address of key's value, or NULL. Valid until the next insertion or removal. */
uint64_t *map_get(const struct map *m, uint64_t key);
/* Address of key's value, inserted as 0 if it was absent. */
uint64_t *map_put(struct map *m, uint64_t key);
/* True if key was there. */
bool map_del(struct map *m, uint64_t key);

#endif

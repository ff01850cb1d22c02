/* SPDX-License-Identifier: MIT */
#include "sim/base/stats.h"

void stats_walk(const char *path, const struct stat_desc *table, size_t n, const void *values, stats_visit_fn *visit,
                void *ctx)
{
    const uint64_t *v = values;
    for (size_t i = 0; i < n; i++)
        visit(ctx, path, &table[i], v[i]);
}

void stats_add(const struct stat_desc *table, size_t n, void *dst, const void *src)
{
    uint64_t *d = dst;
    const uint64_t *s = src;
    for (size_t i = 0; i < n; i++) {
        if (table[i].kind == STAT_PEAK)
            d[i] = s[i] > d[i] ? s[i] : d[i];
        else
            d[i] += s[i];
    }
}

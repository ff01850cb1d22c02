/* SPDX-License-Identifier: MIT */
/* Statistics: plain uint64_t fields in a component's struct (`s->wpq_inserts++` in the hot path) and a const table that
 * describes each. STATS_COMPLETE makes a field without a description a compile error. */
#ifndef QUIRE_BASE_STATS_H
#define QUIRE_BASE_STATS_H

#include <stddef.h>
#include <stdint.h>

enum stat_kind {
    STAT_COUNT, /* only grows; runs add up */
    STAT_PEAK,  /* the largest value seen */
    STAT_LEVEL, /* the value at the end */
};

struct stat_desc {
    const char *name; /* snake_case, unit in the name where it has one: "busy_ps", "wpq_inserts" */
    enum stat_kind kind;
    const char *unit; /* "1", "ps", "bytes", "lines", "pages" */
    const char *help; /* one sentence; names the real machine's counter where there is one */
};

/* Every struct of statistics holds nothing but uint64_t, in the order of its table. */
#define STATS_COMPLETE(type, table)                                                                                    \
    _Static_assert(sizeof(type) == sizeof(uint64_t) * (sizeof(table) / sizeof((table)[0])),                            \
                   "every counter of " #type " needs a description")

/* Receives one statistic: path is the instance ("node0.imc1.ch2"), desc->name the leaf. */
typedef void stats_visit_fn(void *ctx, const char *path, const struct stat_desc *desc, uint64_t value);

/* Calls visit for all n counters that start at values. */
void stats_walk(const char *path, const struct stat_desc *table, size_t n, const void *values, stats_visit_fn *visit,
                void *ctx);

/* Adds n counters of src to dst (STAT_PEAK takes the larger). */
void stats_add(const struct stat_desc *table, size_t n, void *dst, const void *src);

#endif

/* SPDX-License-Identifier: MIT */
#include "sim/mrc/split.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MOST_GRAINS (1u << 14) /* of an optimum: its time grows with the square */

static int add_point(struct mrc_curve *c, uint64_t size, uint64_t misses)
{
    if ((c->n > 0 && (size <= c->size[c->n - 1] || misses > c->misses[c->n - 1])) || misses > c->accesses)
        return -1;
    if ((c->n & (c->n - 1)) == 0) {
        uint64_t cap = c->n ? 2 * c->n : 1;
        c->size = xrealloc(c->size, cap * sizeof *c->size);
        c->misses = xrealloc(c->misses, cap * sizeof *c->misses);
    }
    c->size[c->n] = size;
    c->misses[c->n++] = misses;
    return 0;
}

/* The number at *p, which moves past it and the comma after it. False if there is none below 2^64. */
static bool take_number(const char **p, uint64_t *v)
{
    char *end;
    errno = 0;
    *v = strtoull(*p, &end, 10);
    bool good = **p >= '0' && **p <= '9' && errno == 0 && (*end == ',' || *end == '\r' || *end == 0);
    *p = *end == ',' ? end + 1 : end;
    return good;
}

int mrc_curve_read(const char *path, struct mrc_curve *c, struct diag *d)
{
    char line[256];
    unsigned number = 0;
    int rc = 0;
    *c = (struct mrc_curve){0};
    FILE *f = fopen(path, "re");
    if (!f)
        return fail(d, "%s: cannot open: %s", path, strerror(errno));
    while (rc == 0 && fgets(line, sizeof line, f)) {
        uint64_t size, misses, accesses;
        const char *at = line;
        line[strcspn(line, "\n")] = 0;
        if (++number == 1) {
            if (strncmp(line, "size,misses,accesses,miss_ratio", 31) != 0)
                rc = fail(d, "%s:1: found '%.60s', expected size,misses,accesses,miss_ratio", path, line);
            continue;
        }
        if (!take_number(&at, &size) || !take_number(&at, &misses) || !take_number(&at, &accesses) ||
            (c->n && accesses != c->accesses))
            rc = -1;
        c->accesses = rc == 0 ? accesses : 0;
        if (rc != 0 || add_point(c, size, misses) != 0)
            rc = fail(d, "%s:%u: found '%.60s', expected the next point: a larger size with no more misses", path,
                      number, line);
    }
    fclose(f);
    if (rc == 0 && c->n == 0)
        rc = fail(d, "%s:%u: found no points, expected at least one", path, number);
    if (rc != 0)
        mrc_curve_free(c);
    return rc;
}

uint64_t mrc_curve_misses_at(const struct mrc_curve *c, uint64_t size)
{
    uint64_t low = 0, high = c->n; /* points [0, low) are not above size */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (c->size[middle] <= size)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? c->misses[low - 1] : c->accesses;
}

/* Misses by grains: [0..n_grains]. */
static double *tabulate(const struct mrc_curve *c, uint64_t grain, uint64_t n_grains)
{
    double *m = xmalloc((n_grains + 1) * sizeof *m);
    for (uint64_t g = 0; g <= n_grains; g++)
        m[g] = (double)mrc_curve_misses_at(c, g * grain);
    return m;
}

/* Replaces a table by its lower convex hull. */
static void make_hull(double *m, uint64_t n_grains)
{
    uint64_t *corner = xmalloc((n_grains + 1) * sizeof *corner), k = 0;
    for (uint64_t g = 0; g <= n_grains; g++) {
        while (k >= 2) {
            uint64_t a = corner[k - 2], b = corner[k - 1];
            if ((m[b] - m[a]) * (double)(g - b) < (m[g] - m[b]) * (double)(b - a))
                break;
            k--;
        }
        corner[k++] = g;
    }
    for (uint64_t i = 0; i + 1 < k; i++) {
        uint64_t a = corner[i], b = corner[i + 1];
        double step = (m[b] - m[a]) / (double)(b - a), from = m[a];
        for (uint64_t g = a + 1; g < b; g++)
            m[g] = from + step * (double)(g - a);
    }
    free(corner);
}

static void by_gain(double **table, uint32_t n, uint64_t n_grains, uint64_t *grains)
{
    for (uint64_t given = 0; given < n_grains; given++) {
        uint32_t best = 0;
        double most = -1;
        for (uint32_t i = 0; i < n; i++) {
            double gain = table[i][grains[i]] - table[i][grains[i] + 1];
            if (gain > most) {
                most = gain;
                best = i;
            }
        }
        grains[best]++;
    }
}

/* least[g]: fewest misses of the curves so far with g grains; choice[i][g]: what curve i takes of them. */
static void optimum(double **table, uint32_t n, uint64_t n_grains, uint64_t *grains)
{
    double *least = xcalloc(n_grains + 1, sizeof *least), *next = xmalloc((n_grains + 1) * sizeof *next);
    uint16_t *choice = xmalloc((size_t)n * (n_grains + 1) * sizeof *choice);
    memcpy(least, table[0], (n_grains + 1) * sizeof *least);
    for (uint64_t g = 0; g <= n_grains; g++)
        choice[g] = (uint16_t)g;
    for (uint32_t i = 1; i < n; i++) {
        for (uint64_t g = 0; g <= n_grains; g++) {
            uint64_t best = 0;
            for (uint64_t take = 1; take <= g; take++) {
                if (least[g - take] + table[i][take] < least[g - best] + table[i][best])
                    best = take;
            }
            next[g] = least[g - best] + table[i][best];
            choice[i * (n_grains + 1) + g] = (uint16_t)best;
        }
        memcpy(least, next, (n_grains + 1) * sizeof *least);
    }
    uint64_t left = n_grains;
    for (uint32_t i = n; i-- > 0;) {
        grains[i] = choice[i * (n_grains + 1) + left];
        left -= grains[i];
    }
    free(least);
    free(next);
    free(choice);
}

int mrc_split(const struct mrc_curve *curve, uint32_t n, uint64_t grain, uint64_t n_grains,
              enum mrc_split_method method, uint64_t *grains, struct diag *d)
{
    CHECK(n > 0 && grain > 0);
    if (n_grains > (method == MRC_SPLIT_OPTIMUM ? MOST_GRAINS : 1u << 24))
        return fail(d, "%llu grains are too many for this method, expected at most %u: take larger grains",
                    (unsigned long long)n_grains, method == MRC_SPLIT_OPTIMUM ? MOST_GRAINS : 1u << 24);
    double **table = xmalloc(n * sizeof *table);
    memset(grains, 0, n * sizeof *grains);
    for (uint32_t i = 0; i < n; i++) {
        table[i] = tabulate(&curve[i], grain, n_grains + 1);
        if (method == MRC_SPLIT_HULL)
            make_hull(table[i], n_grains + 1);
    }
    if (method == MRC_SPLIT_OPTIMUM)
        optimum(table, n, n_grains, grains);
    else
        by_gain(table, n, n_grains, grains);
    for (uint32_t i = 0; i < n; i++)
        free(table[i]);
    free(table);
    return 0;
}

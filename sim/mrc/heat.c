/* SPDX-License-Identifier: MIT */
#include "sim/mrc/heat.h"

#include "sim/base/diag.h"
#include "sim/base/map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 64, ROWS = 20 };

struct mrc_heat {
    uint64_t grain, window;
    struct map slot; /* region -> its cell's number in this window + 1 */
    struct mrc_heat_cell *cell;
    uint64_t n, cap, first; /* cells in all; the first one of the window in hand */
};

struct mrc_heat *mrc_heat_new(uint64_t grain)
{
    CHECK(grain > 0);
    struct mrc_heat *h = xcalloc(1, sizeof *h);
    h->grain = grain;
    return h;
}

void mrc_heat_free(struct mrc_heat *h)
{
    if (!h)
        return;
    map_free(&h->slot);
    free(h->cell);
    free(h);
}

static int by_region(const void *a, const void *b)
{
    const struct mrc_heat_cell *x = a, *y = b;
    return (x->region > y->region) - (x->region < y->region);
}

static void end_window(struct mrc_heat *h)
{
    if (h->n > h->first)
        qsort(h->cell + h->first, h->n - h->first, sizeof *h->cell, by_region);
    h->first = h->n;
    map_free(&h->slot);
}

void mrc_heat_access(struct mrc_heat *h, uint64_t window, uint64_t id)
{
    if (window != h->window) {
        end_window(h);
        h->window = window;
    }
    uint64_t region = id / h->grain * h->grain;
    uint64_t *slot =
        map_put(&h->slot, region == UINT64_MAX ? region - 1 : region); /* grain 1 may reach the map's bound */
    if (!*slot) {
        if (h->n == h->cap) {
            h->cap = h->cap ? 2 * h->cap : 1024;
            h->cell = xrealloc(h->cell, h->cap * sizeof *h->cell);
        }
        h->cell[h->n++] = (struct mrc_heat_cell){window, region, 0};
        *slot = h->n;
    }
    h->cell[*slot - 1].accesses++;
}

uint64_t mrc_heat_cells(struct mrc_heat *h, const struct mrc_heat_cell **cell)
{
    end_window(h);
    *cell = h->cell;
    return h->n;
}

void mrc_heat_print(struct mrc_heat *h, FILE *f)
{
    const struct mrc_heat_cell *c;
    uint64_t n = mrc_heat_cells(h, &c);
    fputs("window,region,accesses\n", f);
    for (uint64_t i = 0; i < n; i++)
        fprintf(f, "%llu,%llu,%llu\n", (unsigned long long)c[i].window, (unsigned long long)c[i].region,
                (unsigned long long)c[i].accesses);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The distinct regions, ascending; the caller frees. */
static uint64_t *regions_of(const struct mrc_heat *h, uint64_t *n)
{
    uint64_t *r = xmalloc((h->n + 1) * sizeof *r), k = 0;
    for (uint64_t i = 0; i < h->n; i++)
        r[i] = h->cell[i].region;
    qsort(r, h->n, sizeof *r, compare_u64);
    for (uint64_t i = 0; i < h->n; i++) {
        if (i == 0 || r[i] != r[k - 1])
            r[k++] = r[i];
    }
    *n = k;
    return r;
}

void mrc_heat_plot(struct mrc_heat *h, FILE *f)
{
    static const char shade[] = " .:-=+*#%@";
    double sum[ROWS][COLUMNS] = {{0}}, most = 0;
    uint64_t n_regions, *region = regions_of(h, &n_regions), windows = h->window + 1;
    uint64_t columns = windows < COLUMNS ? windows : COLUMNS, rows = n_regions < ROWS ? n_regions : ROWS;
    end_window(h);
    for (uint64_t i = 0; i < h->n; i++) {
        const uint64_t *at = bsearch(&h->cell[i].region, region, n_regions, sizeof *region, compare_u64);
        uint64_t row = (uint64_t)(at - region) * rows / n_regions, column = h->cell[i].window * columns / windows;
        sum[row][column] += (double)h->cell[i].accesses;
        most = sum[row][column] > most ? sum[row][column] : most;
    }
    fprintf(f, "region (of %llu ids; %llu touched)\n", (unsigned long long)h->grain, (unsigned long long)n_regions);
    for (uint64_t row = rows; row-- > 0;) {
        uint64_t first = (row * n_regions + rows - 1) / rows;
        fprintf(f, "%14llx |", (unsigned long long)region[first]);
        for (uint64_t column = 0; column < columns; column++) {
            double level = sum[row][column] > 0 ? 1 + 8 * log1p(sum[row][column]) / log1p(most) : 0;
            fputc(shade[(int)(level + 0.5)], f);
        }
        fputs("|\n", f);
    }
    fprintf(f, "%16swindow 0 to %llu; each shade a factor, @ = %.0f accesses\n", "", (unsigned long long)windows - 1,
            most);
    free(region);
}

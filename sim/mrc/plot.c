/* SPDX-License-Identifier: MIT */
#include "sim/mrc/plot.h"

#include <math.h>
#include <string.h>

enum { COLUMNS = 64, ROWS = 20, DOTS_X = 2 * COLUMNS, DOTS_Y = 4 * ROWS };

/* Misses at size, from the nearest point at or below it (curves fall in steps). */
static double ratio_at(const struct mrc_curve *c, double size)
{
    uint64_t low = 0, high = c->n;
    while (low + 1 < high) {
        uint64_t middle = low + (high - low) / 2;
        if ((double)c->size[middle] <= size)
            low = middle;
        else
            high = middle;
    }
    return c->accesses ? (double)c->misses[low] / (double)c->accesses : 0;
}

/* A braille character with the dots of one cell; UTF-8. */
static void put_cell(uint8_t dots, FILE *f)
{
    fprintf(f, "%c%c%c", 0xe2, 0xa0 | dots >> 6, 0x80 | (dots & 63));
}

static void fill(const struct mrc_curve *c, uint8_t cell[ROWS][COLUMNS])
{
    static const uint8_t bit[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    double first = log((double)c->size[0]), span = log((double)c->size[c->n - 1]) - first;
    int last = -1;
    for (int x = 0; x < DOTS_X; x++) {
        double size = exp(first + span * x / (DOTS_X - 1)) * (1 + 1e-12);
        int y = (int)((1 - ratio_at(c, size)) * (DOTS_Y - 1) + 0.5);
        int from = last < 0 || last > y ? y : last;
        for (int dot = from; dot <= y; dot++)
            cell[dot / 4][x / 2] |= bit[dot % 4][x % 2];
        last = y;
    }
}

void mrc_plot(const struct mrc_curve *c, FILE *f)
{
    uint8_t cell[ROWS][COLUMNS] = {0};
    if (c->n == 0) {
        fputs("no accesses\n", f);
        return;
    }
    fill(c, cell);
    fputs("miss ratio\n", f);
    for (int row = 0; row < ROWS; row++) {
        if (row % 5 == 0 || row == ROWS - 1)
            fprintf(f, "%5.2f |", 1 - (row == ROWS - 1 ? 1.0 : (double)row / ROWS));
        else
            fputs("      |", f);
        for (int x = 0; x < COLUMNS; x++) {
            if (cell[row][x])
                put_cell(cell[row][x], f);
            else
                fputc(' ', f);
        }
        fputc('\n', f);
    }
    fputs("      +", f);
    for (int x = 0; x < COLUMNS; x++)
        fputc('-', f);
    char left[32], middle[32], right[32];
    double first = (double)c->size[0], most = (double)c->size[c->n - 1];
    snprintf(left, sizeof left, "%.0f", first);
    snprintf(middle, sizeof middle, "%.0f", sqrt(first * most));
    snprintf(right, sizeof right, "%.0f", most);
    int gap = COLUMNS / 2 - (int)strlen(left) - (int)strlen(middle) / 2;
    int gap2 = COLUMNS - COLUMNS / 2 - (int)(strlen(middle) + 1) / 2 - (int)strlen(right);
    fprintf(f, "\n       %s%*s%s%*s%s\n       cache size (units, logarithmic); %llu accesses, %llu distinct\n", left,
            gap, "", middle, gap2, "", right, (unsigned long long)c->accesses, (unsigned long long)c->distinct);
}

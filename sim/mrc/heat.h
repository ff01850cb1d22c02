/* SPDX-License-Identifier: MIT */
/* Heat over time: how often each region of ids was accessed in each window. */
#ifndef QUIRE_MRC_HEAT_H
#define QUIRE_MRC_HEAT_H

#include <stdint.h>
#include <stdio.h>

struct mrc_heat_cell {
    uint64_t window, region, accesses;
};

struct mrc_heat;
/* A region is grain (> 0) consecutive ids; its name is its first id. */
struct mrc_heat *mrc_heat_new(uint64_t grain);
void mrc_heat_free(struct mrc_heat *h);
/* One access in window number window, which must not fall from call to call. */
void mrc_heat_access(struct mrc_heat *h, uint64_t window, uint64_t id);
/* The cells that are not 0, by window and then by region; *cell is owned by h. Ends the window in hand. */
uint64_t mrc_heat_cells(struct mrc_heat *h, const struct mrc_heat_cell **cell);
/* "window,region,accesses" and a line a cell. */
void mrc_heat_print(struct mrc_heat *h, FILE *f);
/* The same drawn with characters: time to the right, regions that were ever touched upwards, in the order of their ids
 * and without the gaps between them. */
void mrc_heat_plot(struct mrc_heat *h, FILE *f);

#endif

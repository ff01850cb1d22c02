/* SPDX-License-Identifier: MIT */
/* The results of a study as one table: a row a point, in the order of the sweep; a column a key, sorted. As a file:
 *     wpq,seed,run,flush_n,flush_p99_ns,...
 * the columns before "run" are the sweeps. A cell holds an exact integer, a decimal, a text, or nothing. */
#ifndef QUIRE_MACHINE_GRID_H
#define QUIRE_MACHINE_GRID_H

#include "sim/machine/experiment.h"

struct grid_row {
    char id[33];
    char **label; /* one a sweep */
    char **cell;  /* one a column; "" where the run has no such key */
};

struct grid {
    char *study; /* "" if the file is one experiment */
    uint32_t n_axes, n_cols, n_rows;
    char **axis, **col;
    struct grid_row *row;
};

/* Reads the finished runs of a study. A run that is missing is an error. NULL after one error line. */
struct grid *grid_load(const struct study *s, const char *out, struct diag *d);
void grid_free(struct grid *g);

int grid_write(const struct grid *g, const char *path, struct diag *d);
/* NULL after one error line with the line number. */
struct grid *grid_read(const char *path, const char *study, struct diag *d);

/* Index of a column, or of a sweep, by name; -1 if there is none. */
int grid_col(const struct grid *g, const char *name);
int grid_axis(const struct grid *g, const char *name);
/* The number in a cell: false if it holds none. */
bool grid_number(const char *cell, double *value);

/* One key of a result.json, in file order: *value as written, a text without its quotes and escapes, null as "". p
 * begins as the file's text and is moved on. 1, 0 at the end, -1 if it is not a result.json. */
int result_json_next(char **p, char **key, char **value, bool *is_text);
/* The whole file in fresh memory, or NULL after one error line. */
char *read_whole(const char *path, size_t *len, struct diag *d);

#endif

/* SPDX-License-Identifier: MIT */
/* What a plot section asks for, and the points it shows.
 *   plot "flush" { x = "wpq"  y = "vm.log.flush_p99_ns"  group = "design" }      from the results: x is a sweep
 *   plot "price" { against = "slowdown_percent"  y = "error_ratio"  group = "method" }      both from the results
 *   plot "share" { series = "local_ratio"  group = "order" }                     curves of the runs' series.csv
 * Every value of the sweeps in group (and every y, or every label of the series) is a line of its own; over the sweep
 * called "seed" the median is drawn, with bars from the smallest to the largest; runs that differ in another sweep must
 * be told apart by group or picked by where. */
#ifndef QUIRE_MACHINE_PLOT_H
#define QUIRE_MACHINE_PLOT_H

#include "sim/machine/experiment.h"
#include "sim/machine/grid.h"

enum plot_kind { PLOT_LINE, PLOT_SCATTER, PLOT_BARS };

struct plot {
    const char *name; /* the section's title */
    const char *x, *against, *series, *title, *xlabel, *ylabel, *caption, *xmax, *ymin, *ymax;
    const struct conf_list *y, *group, *where;
    uint64_t kind, logx, logy, is_wide;
};

struct plot_point {
    double x, mid, low, high; /* median, smallest, largest over the seeds */
};

struct plot_line {
    char *name; /* for the legend; "" if it is the only one */
    struct plot_point *point;
    uint32_t n;
};

struct plot_data {
    struct plot_line *line;
    uint32_t n;
    char *xlabel, *ylabel;
    char **tick; /* names of x = 0, 1, ... where the sweep's values are no numbers; else NULL */
    uint32_t n_ticks;
    double *tick_at; /* numeric values of a sweep of at most 10 values, to be labelled; NULL for curves */
    bool has_bars;   /* some low differs from its high */
};

/* Finds every mistake in a study's plot sections that shows without results. 0, or -1 after reporting all. */
int plot_check(const struct study *s, struct diag *d);
/* Reads a section that plot_check has passed. */
void plot_read(const struct conf_section *sec, struct plot *p);
/* Collects what the plot shows. -1 after one error line. */
int plot_collect(const struct plot *p, const struct study *s, const struct grid *g, const char *out,
                 struct plot_data *data, struct diag *d);
void plot_data_free(struct plot_data *data);

/* "vm.log.flush_p99_ns" as an axis label, "flush p99 (ns)". The caller frees. */
char *plot_key_label(const char *key);
/* Whether a key's unit is the picosecond. */
bool plot_key_is_ps(const char *key);
/* The label of such a key in the largest unit of which largest_ps has at least one; *unit_ps is that unit. The caller
 * frees. */
char *plot_time_label(const char *key, double largest_ps, double *unit_ps);
/* The value of a sweep as people write it: "50us" is "50 µs", what is no number with a unit stays. The caller frees. */
char *plot_value_label(const char *value);

#endif

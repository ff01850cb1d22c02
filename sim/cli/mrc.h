/* SPDX-License-Identifier: MIT */
/* Inside sim/cli: the further verbs of quire mrc, and its observed curves. */
#ifndef QUIRE_CLI_MRC_H
#define QUIRE_CLI_MRC_H

#include "sim/mrc/curve.h"

#include <jansson.h>

int cmd_mrc_draw(int argc, char **argv);
int cmd_mrc_split(int argc, char **argv);

/* What is to be watched, and how. NULL where an option was not given. */
struct mrc_observe {
    const char *path, *format;
    const char *observe; /* "trace", "ad", "pml" or "damon", then perhaps ":k=v,..." with options of the policy */
    const char *machine; /* NULL: the defaults */
    const char *memory;  /* of the VM; NULL: what the trace needs */
    const char *sizes;   /* "auto" or "N,N,..." */
    uint64_t limit;      /* records; 0: all */
};

/* How well the policy saw, and what that cost. */
struct mrc_price {
    const char *policy;
    double error, error_max; /* of the miss ratio, over all sizes: mean and largest */
    uint64_t error_max_at;   /* pages */
    uint64_t time_ps, baseline_ps, exits;
    double slowdown_percent; /* against the run without the policy */
};

/* Fills *curve (to be freed with mrc_curve_free, also after an error) and *price. -1 after fail(). */
int mrc_observe(const struct mrc_observe *o, struct mrc_curve *curve, struct mrc_price *price, struct diag *d);
void mrc_price_print(const struct mrc_price *p, FILE *f);
json_t *mrc_price_json(const struct mrc_price *p);

#endif

/* SPDX-License-Identifier: MIT */
/* Running the points of an experiment: one process a point, at most `jobs` at a time, results in
 *     OUT/experiment.conf          what was run, resolved
 *     OUT/runs/<run id>/           one finished run (sim/machine/result.h)
 * A point whose run directory exists is not run again. Whatever kills this process, or fills the disk, costs only the
 * runs that were not finished. */
#ifndef QUIRE_MACHINE_SWEEP_H
#define QUIRE_MACHINE_SWEEP_H

#include "sim/machine/experiment.h"

struct sweep_progress {
    uint32_t n_points, n_done, n_skipped, n_failed; /* n_done includes skipped and failed ones */
};

struct sweep_options {
    const char *out;
    uint32_t jobs;    /* >= 1 */
    const char *only; /* run id of the one point to run; NULL: all */
    /* Called when a point ends and about five times a second in between; may be NULL. */
    void (*progress)(void *ctx, const struct sweep_progress *p);
    void *ctx;
};

enum sweep_end {
    SWEEP_DONE = 0,
    SWEEP_BAD = 2,     /* a point refused its input, or a result could not be written: reported */
    SWEEP_FAULT = 3,   /* a point died: reported */
    SWEEP_SIGNAL = 64, /* + the number of the signal that asked to stop; its children are gone */
};

/* Runs what is missing. Returns a sweep_end. d gets one line (or more) for every point that failed; points after it are
 * still run, except when the disk is full. */
int sweep_run(const struct experiment *e, const struct sweep_options *opt, struct sweep_progress *p, struct diag *d);

/* The folder of a point's run. The caller frees. */
char *sweep_run_dir(const char *out, const char *id);

#endif

/* SPDX-License-Identifier: MIT */
/* From a trace file to curves: one pass over the trace feeds every analysis that was asked for. */
#ifndef QUIRE_MRC_JOB_H
#define QUIRE_MRC_JOB_H

#include "sim/mrc/curve.h"
#include "sim/mrc/unit.h"

enum mrc_method { MRC_EXACT, MRC_SAMPLED };

struct mrc_job {
    const char *path; /* "-" = standard input */
    struct trace_options trace;
    enum mrc_unit_kind unit;
    uint8_t shift; /* log2 of the page size */
    enum mrc_method method;
    const char *policy; /* "lru", or a name of sim/mrc/policy.h (exact only) */
    double rate;        /* sampled only */
    uint32_t n_seeds;   /* sampled only: >= 2 gives mean and standard error over seeds 1.. in one pass */
    const char *sizes;  /* "auto" or "N,N,..." */
    /* Called now and then while reading; may be NULL. total_bytes is 0 for a pipe. */
    void (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void *progress_ctx;
};

/* Fills *c, which mrc_curve_free empties. -1 after fail(). */
int mrc_job_run(const struct mrc_job *job, struct mrc_curve *c, struct diag *d);

#endif

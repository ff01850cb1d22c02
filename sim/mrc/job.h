/* SPDX-License-Identifier: MIT */
/* From a trace file to curves: one pass over the trace feeds every analysis that was asked for. */
#ifndef QUIRE_MRC_JOB_H
#define QUIRE_MRC_JOB_H

#include "sim/mrc/curve.h"
#include "sim/mrc/heat.h"
#include "sim/mrc/node.h"
#include "sim/mrc/tier.h"
#include "sim/mrc/unit.h"
#include "sim/mrc/wss.h"

enum mrc_method { MRC_EXACT, MRC_SAMPLED };
enum mrc_clock { MRC_BY_RECORDS, MRC_BY_INSTRUCTIONS, MRC_BY_NS };

struct mrc_job {
    const char *path; /* "-" = standard input */
    struct trace_options trace;
    enum mrc_unit_kind unit;
    uint8_t shift; /* log2 of the page size */
    enum mrc_method method;
    const char *policy;             /* "lru", or a name of sim/mrc/policy.h (exact only) */
    double rate;                    /* sampled only */
    uint32_t n_seeds;               /* sampled only: >= 2 gives mean and standard error over seeds 1.. in one pass */
    const char *sizes;              /* "auto" or "N,N,..." */
    bool dirty;                     /* write-backs too (exact lru only) */
    bool wss;                       /* working sets of each window */
    bool epochs;                    /* the curve of each window (exact lru only) */
    uint64_t heat_grain;            /* ids of a region of the heat map; 0 = none is wanted */
    struct mrc_tiers tiers;         /* n 0 = none are wanted (lru only) */
    struct mrc_placement placement; /* n_nodes 0 = no curves per node are wanted (exact lru only) */
    enum mrc_clock clock;
    uint64_t window; /* length of a window by that clock; > 0 if wss, epochs or heat */
    /* Called now and then; may be NULL. what: "reading" (bytes; total 0 for a pipe) or "simulating" (caches). */
    void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
    void *progress_ctx;
};

struct mrc_epoch {
    uint64_t window, accesses;
    uint64_t *misses; /* at the sizes of the list of epochs */
};

struct mrc_results {
    struct mrc_curve curve;
    struct mrc_wss *wss;                 /* NULL if not asked for */
    struct mrc_heat *heat;               /* NULL if not asked for */
    struct mrc_nodes *nodes;             /* NULL if not asked for */
    struct mrc_tiers tiers;              /* as asked for */
    uint64_t tier_misses[MRC_MAX_TIERS]; /* of LRU caches as deep as they are */
    bool auto_sizes;                     /* the curve's sizes are those of auto */
    struct mrc_epoch *epoch;
    uint64_t n_epochs, epoch_cap;
    uint64_t *epoch_size; /* the sizes given, or powers of two for auto */
    uint64_t n_epoch_sizes;
};

/* Fills *res, which mrc_results_free empties. -1 after fail(). */
int mrc_job_run(const struct mrc_job *job, struct mrc_results *res, struct diag *d);
void mrc_results_free(struct mrc_results *res);

/* The table of the nodes, as node.h has it. */
void mrc_results_print_nodes(const struct mrc_results *res, FILE *f);
/* "window,accesses,distinct,written" and a line a window. */
void mrc_wss_print(const struct mrc_wss *w, FILE *f);
/* "window,size,misses,accesses,miss_ratio" and a line for each size of each window. */
void mrc_epochs_print(const struct mrc_results *res, FILE *f);

#endif

/* SPDX-License-Identifier: MIT */
/* Validation: micro-benchmarks inside the simulated machine, beside published measurements. A figure is one published
 * number with its accepted band; a row is all figures of one quantity, and is in band when each of them is. */
#ifndef QUIRE_MACHINE_VALIDATE_H
#define QUIRE_MACHINE_VALIDATE_H

#include "sim/machine/probe.h"

#include <stdio.h>

struct validate;
/* Measures the figures that name it and hands them to validate_put. -1 after an error in v->d. */
typedef int validate_fn(struct validate *v);

/* What the model's parameters have to do with the figure. */
enum figure_use {
    PREDICTED,
    GIVEN,     /* a documented property that is a parameter itself: the benchmark shows that the model behaves so */
    CALIBRATED /* a parameter was chosen so that this number comes out */
};

struct figure {
    uint32_t row;      /* of the table of published measurements (docs/validate.md) */
    const char *key;   /* "17.read.1": unique; begins with the row */
    const char *group; /* "cache", "translation", "exit", "flush", "dram", "optane", "cxl" */
    const char *what;  /* the quantity */
    const char *unit;  /* "ns", "cycles", "GB/s", "1" */
    double published;  /* the number, or the middle of a published range */
    double low, high;  /* accepted: [low, high] */
    char confidence;   /* 'A' architectural, exact; 'D' raw measurement; 'S' primary text; 'R' recalled
                        * from a publication */
    enum figure_use use;
    validate_fn *measure;
    const char *source;
};
extern const struct figure validate_figures[];
extern const uint32_t validate_n_figures;

/* A curve for a picture: simulated points; the published ones come from results/hardware/<name>.csv. */
struct validate_curve {
    const char *plot, *line; /* static strings; `line` is the column of the published table */
    double *x, *y;
    uint32_t n;
    bool is_alone; /* no column of that name is published */
};

struct validate {
    struct machine_conf conf;
    struct diag *d;
    double *value; /* by figure */
    bool *has_value;
    struct validate_curve *curve;
    uint32_t n_curves;
    /* Called before each measurement with its group, how many are done and how many there are; may be NULL. */
    void (*progress)(void *ctx, uint32_t done, uint32_t total);
    void *ctx;
};

void validate_init(struct validate *v, const struct machine_conf *conf, struct diag *d);
void validate_free(struct validate *v);

/* Whether the machine's `claims` ("1-11 15.mess 17") name the figure. */
bool validate_claims(const char *claims, const struct figure *f);
/* Whether a word of the command line (row, group, or key) names the figure. */
bool validate_names(const struct figure *f, const char *word);
/* Runs every benchmark that a selected figure needs. selected: by figure. -1: error in v->d. */
int validate_run(struct validate *v, const bool *selected);

/* How far the simulated value is from the published one in units of the band on that side: <= 1 is in band. */
double validate_off(const struct figure *f, double simulated);

/* Draws every curve that was measured: DIR/<plot>.svg and .png, with data and script beside them; published points from
 * the tables in table_dir, the style from style_file. */
int validate_draw(const struct validate *v, const char *table_dir, const char *style_file, const char *dir,
                  struct diag *d);

/* ---- for the benchmarks ---- */
void validate_put(struct validate *v, const char *key, double value);
void validate_point(struct validate *v, const char *plot, const char *line, double x, double y);
/* The same of a curve without published points of its own. */
void validate_point_alone(struct validate *v, const char *plot, const char *line, double x, double y);

/* Latency of loads over bandwidth, from an idle node to all its CPUs' traffic, by rising bandwidth as far as it rises.
 */
#define LOADED_POINTS 19u
struct loaded_curve {
    double rate[LOADED_POINTS], ns[LOADED_POINTS]; /* GB/s, ns */
};
/* reads: of a thousand lines that memory moves. */
int validate_loaded_curve(struct validate *v, uint32_t mem_node, uint32_t reads, struct loaded_curve *c);
/* Latency at a bandwidth, GB/s, interpolated; 0: the curve does not get there. */
double validate_at_rate(const struct loaded_curve *c, double rate);

validate_fn measure_cache_latency, measure_cache_geometry, measure_tlb_geometry, measure_tlb_latency;
validate_fn measure_walks, measure_walk_caches, measure_exits, measure_invlpg, measure_violation, measure_flush,
    measure_fence;
validate_fn measure_dram_idle, measure_dram_peak, measure_dram_threads, measure_dram_loaded, measure_dram_curve,
    measure_cxl_curve, measure_dram_remote, measure_cxl;
validate_fn measure_pmem_idle, measure_pmem_persist, measure_pmem_regions, measure_pmem_amplification;
validate_fn measure_pmem_ewr, measure_pmem_ewr_store, measure_pmem_one_dimm, measure_pmem_six_dimms;
validate_fn measure_pmem_sizes, measure_pmem_interleave, measure_pmem_flush_bandwidth, measure_pmem_fence_interval;
validate_fn measure_pmem_tail, measure_pmem_numa, measure_pmem_mixed, measure_pmem_random, measure_nvdimm_n,
    measure_holdup, measure_backup;

#endif

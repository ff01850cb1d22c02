/* SPDX-License-Identifier: MIT */
/* An experiment file as a list of runs: a claim, one or several studies, each the cartesian product of its sweeps.
 *
 *   claim = "A deeper WPQ stops paying beyond 16 entries"
 *   sweep "wpq"    { key = "machine.imc.wpq_entries"  values = {"4", "8", "16"} }
 *   sweep "design" { key = {"policy.vfha.design", "policy.vfha.combine"}       keys that move together:
 *                    values = {"vfha | true", "none | false"}  labels = {"hints", "none"} }
 *   study "numa"   { ... }   a file may hold several studies, each with sections and keys of its own; what stands
 *                            outside of them is shared, and a study's own key wins
 *
 * A point is a configuration without claim, sweeps, expects and plots. Its run id is the XXH3-128 of the build id, its
 * canonical text and the digests of its input files, so it names the result. */
#ifndef QUIRE_MACHINE_EXPERIMENT_H
#define QUIRE_MACHINE_EXPERIMENT_H

#include "sim/base/conf.h"
#include "sim/machine/result.h"

/* The keys of a sweep, expect and plot section, and of the top level. */
extern const struct conf_key sweep_keys[];
extern const struct conf_key expect_keys[];
extern const struct conf_key plot_keys[];

/* Rows for the one schema of experiment files: these keys and these sections beside those of the machine. */
#define EXPERIMENT_KEYS                                                                                                \
    {                                                                                                                  \
        .name = "claim", .type = CONF_STRING, .def = "", .help = "what the experiment shows, in one sentence"          \
    }
#define EXPERIMENT_SECTIONS                                                                                            \
    {.name = "sweep", .keys = sweep_keys, .titled = true, .help = "values of one key, or of keys that move together"}, \
        {.name = "expect",                                                                                             \
         .keys = expect_keys,                                                                                          \
         .titled = true,                                                                                               \
         .repeats = true,                                                                                              \
         .help = "what is judged; the title is its kind"},                                                             \
    {                                                                                                                  \
        .name = "plot", .keys = plot_keys, .titled = true, .help = "a picture that quire report draws"                 \
    }

/* What can run a point, and what an experiment file may say. */
struct experiment_ops {
    const struct conf_schema
        *schema; /* of the file; its sections may include "study", with the same keys and sections */
    const char *build_id;
    /* Everything that can be found wrong without running. May be NULL. */
    int (*check)(const struct conf *point, struct diag *d);
    /* Digests of the files the point reads. May be NULL. */
    int (*inputs)(const struct conf *point, struct run_inputs *in, struct diag *d);
    int (*run)(const struct conf *point, struct result *out, struct diag *d);
};

struct axis {
    const char *name;
    const char *where; /* "file:line: sweep NAME" */
    uint32_t n_keys, n_values;
    const char *const *key;
    const char **label; /* n_values */
    char **value;       /* n_values x n_keys */
};

struct point {
    char id[33];
    uint32_t *at; /* an index into each axis */
};

struct study {
    const char *name; /* "" if the file is one experiment */
    struct conf *conf;
    struct axis *axis;
    uint32_t n_axes, n_points;
    struct point *point; /* the last sweep of the file varies fastest */
};

struct experiment {
    struct conf *conf; /* the whole file */
    const char *claim;
    struct study *study;
    uint32_t n_studies;
    const struct experiment_ops *ops;
};

#define EXPERIMENT_MAX_POINTS 100000u

/* Reads the file, applies set[0..n) ("key=value"; without "study." in front, to every study that knows the key; if none
 * does, an error), lays out all points and checks each. dir: what the file's relative names are relative to, NULL its
 * own folder. NULL after reporting every error. */
struct experiment *experiment_load(const char *path, const char *dir, const char *const *set, uint32_t n_set,
                                   const struct experiment_ops *ops, struct diag *d);
void experiment_free(struct experiment *e);
/* The whole file with --set and defaults resolved; reading it gives the same studies. The caller frees. */
char *experiment_print(const struct experiment *e);
/* Studies, sweeps, expects and plots of a file whose runs are done: no points are laid out, nothing is checked. */
struct experiment *experiment_load_plan(const char *path, const struct experiment_ops *ops, struct diag *d);

/* The configuration of one point; the caller frees. It has been checked: NULL is possible only while loading. */
struct conf *study_point_conf(const struct study *s, const struct point *p, struct diag *d);
/* Everything but the result that a run directory needs. The caller frees config and the inputs. */
int point_manifest(const struct experiment *e, const struct conf *conf, struct manifest *m, struct run_inputs *in,
                   char id[33], struct diag *d);
/* "wpq=4 seed=1" into buf; "" without sweeps. */
void point_label(const struct study *s, const struct point *p, char *buf, size_t size);
/* Index of the axis of that name, or -1. */
int study_axis(const struct study *s, const char *name);

#endif

/* SPDX-License-Identifier: MIT */
/* One run: a resolved configuration becomes a machine with VMs and policies, runs, and fills a result. */
#ifndef QUIRE_MACHINE_RUN_H
#define QUIRE_MACHINE_RUN_H

#include "sim/base/ckpt.h"
#include "sim/base/conf.h"
#include "sim/base/types.h"
#include "sim/machine/experiment.h"
#include "sim/machine/result.h"

/* The schema of an experiment file: what this file runs and what sim/machine/experiment.h judges. */
extern const struct conf_schema experiment_schema;

/* What `quire run` and its kin need. */
extern const struct experiment_ops run_ops;

/* 0, or -1 after fail(). */
int run_point(const struct conf *conf, struct result *out, struct diag *d);

/* Checkpoints to be written on the way: at the first end of a quantum at or after each time. */
struct run_checkpoint {
    ps_t at_ps;
    const char *path;
};
struct run_checkpoints {
    const struct run_checkpoint *at; /* in any order of times */
    uint32_t n;
    bool stop; /* the run ends with the last one */
};
#define RUN_STOPPED         1
#define RUN_MAX_CHECKPOINTS 64u
/* "2ms:FILE" into *to; origin begins the error line. */
int run_checkpoint_read(const char *text, const char *origin, struct run_checkpoint *to, struct diag *d);
/* A run that writes them. One whose time comes after the end is an error. RUN_STOPPED, without a result: it was to end
 * with the last one. */
int run_point_saving(const struct conf *conf, const struct run_checkpoints *save, struct result *out, struct diag *d);

/* What a checkpoint begins with. */
struct run_resume {
    char *build_id;
    char *config; /* canonical text of the configuration */
    char *dir;    /* that relative names in it are relative to */
    ps_t at_ps;
    struct run_inputs inputs;
    struct ckpt *ckpt;
};
/* Opens one, reads that. -1 with one error line. */
int run_resume_open(const char *path, struct run_resume *r, struct diag *d);
void run_resume_close(struct run_resume *r);
/* Goes on from there; conf is r->config, read in r->dir. The inputs have to be the same files by content. */
int run_resume_point(const struct conf *conf, struct run_resume *r, const struct run_checkpoints *save,
                     struct result *out, struct diag *d);

#endif

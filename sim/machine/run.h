/* SPDX-License-Identifier: MIT */
/* One run: a resolved configuration becomes a machine with VMs and policies, runs, and fills a result. */
#ifndef QUIRE_MACHINE_RUN_H
#define QUIRE_MACHINE_RUN_H

#include "sim/base/conf.h"
#include "sim/machine/experiment.h"
#include "sim/machine/result.h"

/* The schema of an experiment file: what this file runs and what sim/machine/experiment.h judges. */
extern const struct conf_schema experiment_schema;

/* What `quire run` and its kin need. */
extern const struct experiment_ops run_ops;

/* 0, or -1 after fail(). */
int run_point(const struct conf *conf, struct result *out, struct diag *d);

#endif

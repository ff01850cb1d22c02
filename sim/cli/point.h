/* SPDX-License-Identifier: MIT */
/* What the commands that make one run out of their options share. */
#ifndef QUIRE_CLI_POINT_H
#define QUIRE_CLI_POINT_H

#include "sim/base/conf.h"
#include "sim/cli/args.h"
#include "sim/machine/result.h"
#include "sim/machine/run.h"

#include <stdio.h>

/* "name:k=v,k=v" as a policy section of an experiment file. */
void point_add_policy(FILE *f, const char *spec);
/* "KEY=VALUE" of --set. */
int point_set(struct conf *conf, const char *text, struct diag *d);
/* The result as a run directory below out, whose name goes to standard error. */
int point_write(const struct conf *conf, const struct result *r, const char *out, struct diag *d);

/* What --checkpoint and --stop ask for. at has RUN_MAX_CHECKPOINTS places. */
int point_checkpoints(const struct sets *texts, bool stop, struct run_checkpoint *at, struct run_checkpoints *save,
                      struct diag *d);

#endif

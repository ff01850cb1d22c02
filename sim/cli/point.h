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

/* Text inside the quotes of an experiment file. */
void point_put_text(FILE *f, const char *text);
/* Whether --out can be a folder for results, before a run takes its time. "" is none. Makes nothing. */
int point_check_out(const char *out, struct diag *d);
/* The experiment that the command line became has a name of its own in messages, and lines that nobody wrote: takes
 * "NAME:LINE: [vm.x] key" back to "--key". */
void point_plain(const char *name, struct diag *d);

/* What --checkpoint and --stop ask for. at has RUN_MAX_CHECKPOINTS places. */
int point_checkpoints(const struct sets *texts, bool stop, struct run_checkpoint *at, struct run_checkpoints *save,
                      struct diag *d);

#endif

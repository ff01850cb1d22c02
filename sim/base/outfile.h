/* SPDX-License-Identifier: MIT */
/* Output files that are whole or absent: written under a temporary name beside the final one, flushed to disk, renamed.
 * A process that dies leaves the old file and at most a "NAME.tmp-PID". What is no regular file (a device, a pipe) is
 * written to as it is, and never replaced. */
#ifndef QUIRE_BASE_OUTFILE_H
#define QUIRE_BASE_OUTFILE_H

#include "sim/base/diag.h"

#include <stdio.h>

struct outfile {
    FILE *f;          /* write to it; errors are kept and reported by out_commit */
    char *path, *tmp; /* tmp: NULL for what is no regular file */
};

/* 0, or -1 with one error line naming path. */
int out_open(struct outfile *o, const char *path, struct diag *d);
/* Flushes, syncs and renames. 0, or -1 with one error line; then the file at path is what it was before. Either way o
 * is closed. */
int out_commit(struct outfile *o, struct diag *d);
/* Gives up; nothing is left. Safe after a failed out_open and after out_commit. */
void out_abort(struct outfile *o);

/* Flushes and syncs f and closes it. 0, or the errno of the first thing that failed. */
int out_close_synced(FILE *f);
/* Syncs a folder, so that renames in it last. 0, or an errno. */
int out_sync_dir(const char *dir);
/* Makes dir and its parents. 0, or -1 with one error line. */
int out_mkdirs(const char *dir, struct diag *d);

#endif

/* SPDX-License-Identifier: MIT */
/* Where the files that come with quire lie. */
#ifndef QUIRE_CLI_FIND_H
#define QUIRE_CLI_FIND_H

#include "sim/base/diag.h"

/* A machine file by name ("cascade-lake-2s") or by path (anything with a '/' or ".conf"): looked for in
 * ./experiments/machines, in ../experiments/machines beside the running program, and where it was installed. The caller
 * frees; NULL after fail(). */
char *find_machine(const char *name, struct diag *d);

#endif

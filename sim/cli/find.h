/* SPDX-License-Identifier: MIT */
/* Where the files that come with quire lie. */
#ifndef QUIRE_CLI_FIND_H
#define QUIRE_CLI_FIND_H

#include "sim/base/diag.h"

#include <stdbool.h>

/* A file that ships, as an absolute path: tree names it in the source tree (looked for below the current folder, and
 * below the folder above the running program), installed below the installed data. The caller frees; NULL after fail().
 */
char *find_file(const char *tree, const char *installed, struct diag *d);
/* A machine file by name ("cascade-lake-2s") or by path (anything with a '/' or ".conf"). */
char *find_machine(const char *name, struct diag *d);
/* Whether find_machine would find it. */
bool is_machine(const char *name);

#endif

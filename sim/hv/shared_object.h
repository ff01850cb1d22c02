/* SPDX-License-Identifier: MIT */
/* Whether a file can be given to the dynamic linker at all. */
#ifndef QUIRE_HV_SHARED_OBJECT_H
#define QUIRE_HV_SHARED_OBJECT_H

#include "sim/base/diag.h"

/* The dynamic linker maps what the headers say without comparing it with the size of the file, and dies of what is cut
 * off. 0 if path is a whole shared object for x86-64, else -1 after one error line that begins with where, or with the
 * path if where is "". */
int shared_object_check(const char *path, const char *where, struct diag *d);

#endif

/* SPDX-License-Identifier: MIT */
/* --set KEY=VALUE, which may be given many times. */
#ifndef QUIRE_CLI_SETS_H
#define QUIRE_CLI_SETS_H

#include "sim/base/diag.h"

#include <stdint.h>

struct sets {
    const char *text[64]; /* "KEY=VALUE" */
    uint32_t n;
};

/* Takes every --set out of argv, before the option table sees the rest. -1 after fail(). */
int take_sets(int *argc, char **argv, struct sets *s, struct diag *d);

#endif

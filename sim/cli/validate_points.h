/* SPDX-License-Identifier: MIT */
/* quire validate --points. */
#ifndef QUIRE_CLI_VALIDATE_POINTS_H
#define QUIRE_CLI_VALIDATE_POINTS_H

#include "sim/machine/machine.h"

/* Simulates the points of a table and prints them; the exit code. machine: its name, for the last line. */
int validate_points(const struct machine_conf *mc, const char *machine, const char *path, bool json, struct diag *d);
/* Shows a struct meter how far it is: for struct validate's progress. */
void validate_progress(void *meter, uint32_t done, uint32_t total);

#endif

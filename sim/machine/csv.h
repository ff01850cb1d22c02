/* SPDX-License-Identifier: MIT */
/* Comma-separated text, quoted as RFC 4180 says. */
#ifndef QUIRE_MACHINE_CSV_H
#define QUIRE_MACHINE_CSV_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Writes one field, with a comma before it unless it is the first of its line. */
void csv_put(FILE *f, const char *s, bool first);
/* The fields of the line at *p, unquoted in place; *p moves to the next line. The caller frees the array. */
char **csv_line(char **p, uint32_t *n);

#endif

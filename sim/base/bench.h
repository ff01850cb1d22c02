/* SPDX-License-Identifier: MIT */
/* Host-speed measurements. A benchmark body adds rows; the command line prints them. Nothing here enters a result. */
#ifndef QUIRE_BASE_BENCH_H
#define QUIRE_BASE_BENCH_H

#include <stdint.h>

struct bench_row {
    char name[64]; /* "mrc.exact.zipf" */
    char unit[32]; /* "M accesses/s", "bytes/page" */
    double value;
    char note[96]; /* what was run; may be empty */
};

struct bench {
    struct bench_row *rows;
    uint32_t n_rows, cap;
    double scale; /* 1 = full length; less shortens the runs */
};

/* Adds a row; copies its texts, cut to the field. */
void bench_add(struct bench *b, const char *name, double value, const char *unit, const char *note);
void bench_free(struct bench *b);
/* User time of the calling thread in seconds. */
double bench_user_s(void);

#endif

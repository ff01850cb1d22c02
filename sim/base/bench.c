/* SPDX-License-Identifier: MIT */
#include "sim/base/bench.h"

#include "sim/base/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

void bench_add(struct bench *b, const char *name, double value, const char *unit, const char *note)
{
    if (b->n_rows == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 16;
        b->rows = xrealloc(b->rows, b->cap * sizeof *b->rows);
    }
    struct bench_row *r = &b->rows[b->n_rows++];
    r->value = value;
    snprintf(r->name, sizeof r->name, "%s", name);
    snprintf(r->unit, sizeof r->unit, "%s", unit);
    snprintf(r->note, sizeof r->note, "%s", note);
}

void bench_free(struct bench *b)
{
    free(b->rows);
    *b = (struct bench){0};
}

double bench_user_s(void)
{
    struct rusage u;
    CHECK(getrusage(RUSAGE_THREAD, &u) == 0);
    return (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec * 1e-6;
}

/* SPDX-License-Identifier: MIT */
/* Inside of expectations: what expect.c, which reads them, tells expect_judge.c, which judges. */
#ifndef QUIRE_MACHINE_EXPECT_INT_H
#define QUIRE_MACHINE_EXPECT_INT_H

#include "sim/machine/expect.h"

/* One expect section as it is written: expect_keys bind it. */
struct expect {
    const char *of, *per, *over, *to, *at, *base, *min, *max, *value, *source, *series;
    const struct conf_list *order, *where;
    uint64_t is_down, is_strict, tolerance_ppm, within_ppm;
};

enum expect_kind_id {
    EXPECT_MONOTONE,
    EXPECT_RANK,
    EXPECT_RATIO,
    EXPECT_RANGE,
    EXPECT_BAND,
    EXPECT_EQUAL,
    EXPECT_KNEE,
    EXPECT_MATCH,
    EXPECT_N_KINDS
};

enum { NEEDS_OVER = 1, NEEDS_BAND = 2, NEEDS_MAX = 4, NEEDS_ORDER = 8, FOLDS_SEED = 16 };
struct expect_kind {
    const char *name;
    enum expect_kind_id kind;
    uint32_t flags;
    const char *says; /* the middle of the statement */
};

/* The kind of that name, or NULL. */
const struct expect_kind *expect_kind(const char *name);
/* "sweep=value": the axis, and the value in *label; -1 if there is no such sweep. */
int expect_filter(const struct study *s, const char *text, const char **label);
/* "flush_p99_ns goes one way (down) along wpq". The caller frees. */
char *expect_statement(const struct expect_kind *k, const struct expect *x);

#endif

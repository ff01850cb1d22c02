/* SPDX-License-Identifier: MIT */
/* Two sets of results beside each other. Three classes of numbers are kept apart:
 *   exact  integers and words of a run: they are the same or they differ
 *   band   ratios, numbers with a fraction and points of curves: they differ by more than the tolerance or not
 *   host   rates of `quire bench --json`: how fast the simulator is on some host; worse by more than the tolerance or
 * not What only B has is news, not a regression; what only A has is one. */
#ifndef QUIRE_MACHINE_COMPARE_H
#define QUIRE_MACHINE_COMPARE_H

#include "sim/base/diag.h"

#include <stdint.h>
#include <stdio.h>

enum compare_class { COMPARE_EXACT, COMPARE_BAND, COMPARE_HOST, COMPARE_CLASSES };
extern const char *const compare_class_names[];

struct compare_count {
    uint64_t same, differ, missing, added; /* missing: only A has it; added: only B has it */
};

struct comparison {
    double tolerance;   /* of A's value, for the classes band and host */
    uint32_t max_shown; /* differences listed, per pair of files */
    FILE *to;           /* where they are listed, one a line */
    struct compare_count n[COMPARE_CLASSES];
};

/* a and b: two run directories, two folders of `quire run --out`, or two files of `quire bench --json`. Runs of a sweep
 * are paired by the values of their sweeps, not by run id, so that results of two builds can be compared. 0, or -1
 * after fail(). */
int compare_results(const char *a, const char *b, struct comparison *c, struct diag *d);

/* Differences and things missing, over all classes. */
uint64_t compare_regressions(const struct comparison *c);

#endif

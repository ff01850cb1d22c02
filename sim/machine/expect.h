/* SPDX-License-Identifier: MIT */
/* What an experiment claims, judged on its results. The title of an expect section is its kind:
 *   monotone  of never turns against direction along the sweep over, beyond tolerance (strict: always moves)
 *   rank      of orders the values of the sweep over as order says, the lowest first (direction = down: the highest)
 *   ratio     of at the value `at` of the sweep over, divided by of at `base`, is in [min, max]; or of / to in each run
 *   range     of is in [min, max] in each run
 *   band      of is within `within` of the published number `value` in each run; source says where it was published
 *   equal     of is the same to the last digit for all values of the sweep over
 *   knee      of along the sweep over bends farthest from its chord at a value in [min, max]
 *   match     the curves `of` and `to` (labels) of a run's series differ nowhere by more than max
 * `per` divides of by a second key first. `where` = {"sweep=value"} picks runs. Where a sweep runs over, the median of
 * the sweep called "seed" is taken, and every combination of the other sweeps must hold by itself. */
#ifndef QUIRE_MACHINE_EXPECT_H
#define QUIRE_MACHINE_EXPECT_H

#include "sim/machine/experiment.h"
#include "sim/machine/grid.h"

enum verdict_word { VERDICT_TRUE, VERDICT_FALSE, VERDICT_UNJUDGED };
extern const char *const verdict_words[]; /* "true", "false", "unjudged" */

struct verdict {
    char *study, *kind;
    char *what;   /* the statement: "flush_p99_ns falls along wpq" */
    char *detail; /* the numbers that decided, or why it cannot be judged */
    enum verdict_word word;
};

struct verdicts {
    struct verdict *item;
    uint32_t n, n_false, n_unjudged;
};

/* Finds every mistake in a study's expect sections that shows without results. 0, or -1 after reporting all. */
int expect_check(const struct study *s, struct diag *d);
/* Judges all of a study's expectations on its grid and appends. out: for the curves of the runs. */
void expect_judge(const struct study *s, const struct grid *g, const char *out, struct verdicts *v);
int verdicts_write(const struct verdicts *v, const char *claim, const char *path, struct diag *d);
void verdicts_free(struct verdicts *v);

#endif

/* SPDX-License-Identifier: MIT */
/* Sampling: from the intervals that were run in detail to rates of the whole program with confidence intervals
 * (Wunderlich, Wenisch, Falsafi, Hoe: "SMARTS", ISCA 2003). Nothing here knows how the intervals were run.
 *
 * A rate is a sum over a sum, R = sum a_i / sum b_i over n intervals (cycles over instructions, misses over
 * instructions, mispredictions over branches). An interval stands for the instructions from its begin to the next
 * one's, so its counts are first multiplied by that over its own instructions; with one vCPU all have the same factor,
 * with several they are as long as the vCPUs' quanta make them. The standard error is that of a ratio (Cochran,
 * "Sampling Techniques", 3rd ed., 6.4): s / (mean(b) sqrt(n)) with s^2 = sum (a_i - R b_i)^2 / (n - 1); with equal b_i
 * that is the mean's. The half width of the interval is t(confidence, n - 1) times that.
 *
 * The head of a program, its start-up, is like nothing that follows, and short: hardly any interval ever lies in it. So
 * it is measured whole, as a stratum of its own without error (Cochran, 5.3): sums are the head's plus what the
 * intervals say of the rest. */
#ifndef QUIRE_GUEST_SAMPLE_H
#define QUIRE_GUEST_SAMPLE_H

#include "sim/base/types.h"

/* What is counted in an interval. */
enum sample_count {
    SAMPLE_INSTRUCTIONS,
    SAMPLE_USER_PS, /* the program's own time: without the guest kernel, exits, waiting, long string instructions */
    SAMPLE_STALL_PS,
    SAMPLE_FENCE_PS,
    SAMPLE_L1D_MISSES,
    SAMPLE_LLC_MISSES,
    SAMPLE_DTLB_MISSES,
    SAMPLE_WALKS,
    SAMPLE_WALK_PS,
    SAMPLE_BRANCHES,
    SAMPLE_MISPREDICTS,
    SAMPLE_N
};
extern const char *const sample_count_names[SAMPLE_N];

struct sample_interval {
    uint64_t at; /* instructions of the VM before it */
    ps_t at_ps;
    uint64_t stands_for;  /* instructions from its begin to the next one's */
    uint64_t n[SAMPLE_N]; /* differences: may be "negative" where work of before ends in it */
};

struct sample_rate {
    const char *name;
    enum sample_count num, den;
    uint32_t times;   /* num is multiplied by that */
    bool in_cycles;   /* num is time, shown in cycles of the core */
    const char *help; /* one line */
};
extern const struct sample_rate sample_rates[];
#define SAMPLE_CPI     0u
#define SAMPLE_N_RATES 8u

/* Fewer intervals than that say too little of their own variance (the usual rule of thumb for the central limit
 * theorem). */
#define SAMPLE_FEW 30u

struct sample_estimate {
    uint32_t n;       /* intervals */
    double mean;      /* R, of the whole program */
    double half;      /* half width of the confidence interval; 0 with n < 2, which has none */
    double variation; /* half width of one interval's worth, over t and R: 1 / sqrt(n) of it is what n leave */
};

struct sample {
    struct sample_interval head; /* n all 0: there is none */
    const struct sample_interval *interval;
    uint32_t n_intervals;
    uint64_t instructions; /* of the whole program; 0: what the head and the intervals stand for */
    ps_t cycle_ps;         /* of the core */
};

/* t such that a Student variate of so many degrees of freedom (>= 1) lies in [-t, t] with that probability, which is in
 * (0, 1). */
double sample_t(double confidence, uint32_t freedom);
struct sample_estimate sample_estimate(const struct sample *s, const struct sample_rate *r, double confidence);
/* Second step of SMARTS: how many intervals bring the half width down to error * R, if they vary as these n did. 0 if
 * these do not say (n < 2, or R is 0). */
uint64_t sample_needed(const struct sample_estimate *e, double confidence, double error);

#endif

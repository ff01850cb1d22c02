/* SPDX-License-Identifier: MIT */
/* Which timing model runs when: one for the whole program; another from an instruction on (`timing_at`); another when
 * the program says so (pace_mark); or, in a sampled run, in turns: warming, the detailed model for a while so that its
 * queues fill, the detailed model measured, and again.
 *
 * The clock never jumps: what a switch changes is how it goes on. While warming it moves at the rate that the intervals
 * so far measured, corrected for what was not known before. One vCPU switches exactly at its instruction; several
 * switch at one simulated time, the latest of their clocks when the number of instructions was reached, each at the end
 * of the block that crosses it. */
#ifndef QUIRE_GUEST_PACE_H
#define QUIRE_GUEST_PACE_H

#include "sim/cpu/x86.h"
#include "sim/guest/sample.h"

struct exec;
struct exec_cpu;
struct pace;

struct pace_conf {
    enum x86_timing timing; /* at the begin; sampled: of the intervals */
    const char *timing_at;  /* "INSTRUCTIONS:MODEL INSTRUCTIONS:MODEL ...", ascending; "" = none */
    bool is_sampled;
    /* Instructions of all vCPUs; warming 0: all between the intervals. */
    uint64_t head, interval, lead, warming, period;
    uint64_t confidence_ppm, error_ppm;
    const char *file; /* CSV, a line an interval; "" = none */
};

struct pace_stats {
    uint64_t functional, block, window, warm; /* in the order of enum x86_timing */
    uint64_t user_ps, string_ps;
};
extern const struct stat_desc pace_stat_desc[];
#define PACE_N_STATS (sizeof(struct pace_stats) / sizeof(uint64_t))

/* NULL with d set: bad keys, or a file that cannot be written. */
struct pace *pace_new(struct exec *x, const struct pace_conf *conf, struct diag *d);
/* The file is written. The intervals stay until pace_free(). */
int pace_finish(struct pace *p, struct diag *d);
void pace_free(struct pace *p);

/* Before x86_run(): the model is set. Returns how many instructions it may run (at most allowed; 0: no limit);
 * *until_ps may come nearer. After it: what it did is counted. */
uint64_t pace_runs(struct pace *p, struct exec_cpu *c, uint64_t allowed, ps_t *until_ps);
void pace_ran(struct pace *p, struct exec_cpu *c);
/* The program wants another model from now on. -1: the run is sampled, and knows better. */
int pace_mark(struct pace *p, enum x86_timing timing);

const struct pace_stats *pace_stats(const struct pace *p);
/* What a sampled run has measured; after pace_finish(). */
struct sample pace_sample(const struct pace *p);
const char *timing_name(enum x86_timing timing);
/* Index of the model called so (n bytes), or -1. */
int timing_by_name(const char *name, size_t n);

/* Where it is, for a checkpoint. */
void pace_state(struct pace *p, struct ckpt *c);

#endif

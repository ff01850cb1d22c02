/* SPDX-License-Identifier: MIT */
/* A run in progress: what run.c and run_report.c share. Nobody else includes this. */
#ifndef QUIRE_MACHINE_RUN_INT_H
#define QUIRE_MACHINE_RUN_INT_H

#include "sim/machine/machine.h"
#include "sim/machine/run.h"

struct run_conf {
    uint64_t seed, check, duration_ps, sample_ps, true_curve, baseline, crash_at;
    const char *policy_path;
};

#define MAX_POLICIES 16u

struct run {
    struct run_conf conf;
    struct machine *m;
    struct result *out;
    struct plugin *plugin[MAX_POLICIES];
    uint32_t n_plugins;
    struct mrc_lru **curve; /* one a VM, or NULL */
    uint32_t n_vms;
    struct curve_line *seen; /* one a VM: the curve that a policy saw, if one did; NULL without true curves */
    bool is_baseline;        /* without policies, for its time only */
    ps_t baseline_ps;        /* how long the run takes without policies; 0: not known */
    const struct conf *point;
    struct ckpt *from;                     /* to begin with, or NULL */
    const struct run_checkpoint **save_at; /* still to be written, by their times */
    uint32_t n_saves;
    bool stop_saved; /* ends with the last of them */
};

/* The latest clock of a CPU. */
ps_t run_end(const struct hv *hv);
/* Puts everything that the run left into r->out. */
void run_report(struct run *r);

#endif

/* SPDX-License-Identifier: MIT */
/* The conformance kit: runs a policy on a small machine of plain arrays, in which everything is instantly correct, and
 * judges how it behaves. Behind `quire policy check`, and the plugin host's own tests. */
#ifndef QUIRE_HV_PLUGIN_KIT_H
#define QUIRE_HV_PLUGIN_KIT_H

#include "sim/hv/plugin.h"

/* What one run of the kit's workload left behind. */
struct kit_run {
    char chain[PLUGIN_DIGEST_LEN];
    uint64_t n_decisions, n_faults, n_moves, n_hint_writes, n_points;
    uint64_t hook_calls, refused_calls;
    bool has_tainted, has_refused;
    char ejected[200];   /* why; "" if it was not */
    char uncharged[100]; /* hooks that used services without ever charging */
    char refusal[300];   /* why init refused */
};

/* One VM of two vCPUs and 512 pages with two persistent regions on a host of two nodes and four controllers, for 200
 * ms: first touches, skewed reads and writes, hint stores, flush hypercalls; vCPUs move to the other node and back;
 * another host without hints and back; pages that lose their frames; the end. claimed: roles that somebody else owns.
 */
void kit_run(const struct plugin *p, const struct plugin_values *v, uint64_t claimed, uint64_t budget,
             struct kit_run *out);

/* The same; every so many of its 10,000 steps the policy's state is written to a checkpoint and read into a new
 * instance, which goes on (0: never). */
void kit_run_restarted(const struct plugin *p, const struct plugin_values *v, uint64_t claimed, uint64_t budget,
                       uint32_t restart_every, struct kit_run *out);

/* One line of the verdict. */
struct kit_line {
    const char *check; /* what was tried */
    bool has_passed;
    char detail[300]; /* what was seen; may be empty */
};
#define KIT_MAX_LINES 16u
/* Tries everything; returns the number of lines. */
uint32_t kit_check(const struct plugin *p, struct kit_line *lines);

#endif

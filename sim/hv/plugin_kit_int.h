/* SPDX-License-Identifier: MIT */
/* Inside of the conformance kit: the machine of plain arrays that a policy runs on. plugin_kit.c, which drives it, and
 * plugin_kit_host.c, which answers the policy, include this. */
#ifndef QUIRE_HV_PLUGIN_KIT_INT_H
#define QUIRE_HV_PLUGIN_KIT_INT_H

#include "sim/base/rng.h"
#include "sim/hv/plugin_kit.h"

#define KIT_PAGES       512u
#define KIT_CONTROLLERS 4u
#define KIT_REGIONS     2u
#define KIT_MOVE_PS     (2 * PS_PER_US) /* from one page's move to the next one's */

struct kit_page {
    bool is_mapped, is_accessed, is_dirty, is_pinned, is_moving;
    uint32_t node, trace, soft;
    uint64_t count;
};

struct kit_due {
    ps_t at;
    uint64_t id;
};

struct kit {
    struct plugin_host *host;
    struct kit_run *out;
    const struct plugin_host_conf *conf;
    const struct plugin *plugin;
    const struct plugin_values *values;
    uint32_t restart_every; /* steps after which the policy goes through a checkpoint; 0: never */
    struct rng rng;
    ps_t now;
    struct kit_page page[KIT_PAGES];
    struct kit_due *due;
    uint32_t n_due, cap_due;
    uint64_t n_events;         /* timers and moves so far */
    uint64_t queue[KIT_PAGES]; /* moves under way, in order */
    uint32_t queue_node[KIT_PAGES], n_queue;
    ps_t move_done;
    uint64_t hints, backing[KIT_REGIONS];
    uint32_t mode[KIT_REGIONS], node_of_vcpu[2];
    ps_t drained[KIT_CONTROLLERS];
    bool has_pml;
    uint64_t log[KIT_PAGES]; /* pages that became dirty while the log was on */
    uint32_t n_log;
    uint64_t retired[3]; /* reads, writes, fetches */
};

/* The services of the machine; the context is a struct kit. */
extern const struct plugin_ops kit_ops;

#endif

/* SPDX-License-Identifier: MIT */
/* What the files of the plugin host share. */
#ifndef QUIRE_HV_PLUGIN_INT_H
#define QUIRE_HV_PLUGIN_INT_H

#include "sim/base/rng.h"
#include "sim/hv/plugin.h"

#include <setjmp.h>
#include <xxhash.h>

#define PLUGIN_MAX_NAMES  64u        /* counters, histograms and random streams of one policy, each */
#define PLUGIN_NAME_LEN   41u        /* with the final 0 */
#define PLUGIN_MAX_BATCH  (1u << 20) /* pages a service call */
#define PLUGIN_MAX_TIMERS (1u << 16)
#define PLUGIN_MIN_DELAY  PS_PER_NS    /* timers come no sooner and no more often */
#define PLUGIN_MAX_TIME   (1ull << 62) /* ps, about 53 days */
#define PLUGIN_MAX_CHARGE (1ull << 36) /* cycles a call */

enum plugin_hook { HOOK_INIT, HOOK_EVENT, HOOK_FAULT, HOOK_TIMER, HOOK_DONE, HOOK_FLUSH, HOOK_POWER, N_HOOKS };

struct plugin_name {
    char name[PLUGIN_NAME_LEN];
};

/* One instance of a plugin. Its service tables are here, so that a service knows who calls it. */
struct policy {
    struct plugin_host *host;
    const struct plugin *plugin;
    struct plugin_values values;
    uint32_t index;
    void *self;
    uint64_t roles; /* owned */
    bool is_ejected;
    char reason[200];

    struct quire_host quire_host;
    struct quire_core core;
    struct quire_ept ept;
    struct quire_frames frames;
    struct quire_pmem pmem;
    struct quire_pmu pmu;
    struct quire_oracle oracle;

    uint64_t hook_calls, service_calls, refused_calls, charged_cycles, uncharged_hooks;
    uint32_t worked, charged; /* hooks (bit = enum plugin_hook) that ever used services; that ever charged */
    uint32_t n_counters, n_hists, n_streams;
    struct plugin_name counter_name[PLUGIN_MAX_NAMES], hist_name[PLUGIN_MAX_NAMES], stream_name[PLUGIN_MAX_NAMES];
    uint64_t counter[PLUGIN_MAX_NAMES];
    struct hist *hist[PLUGIN_MAX_NAMES];
    struct rng stream[PLUGIN_MAX_NAMES];
};

struct plugin_vm {
    bool is_alive;
    uint32_t generation;
    char *name;
};

struct plugin_timer {
    struct policy *owner; /* NULL: free */
    uint32_t generation, cpu;
    ps_t at_ps, period_ps;
    ps_t delay_ps; /* of one that fires once and was started in the timer hook that runs; else 0 */
    uint64_t cookie;
};

struct plugin_host {
    struct plugin_host_conf conf;
    const struct plugin_ops *ops;
    void *machine;
    uint32_t n_policies, n_vms, n_timers, cap_timers;
    struct policy **policy;
    struct plugin_vm *vm;
    struct plugin_timer *timer;

    /* The hook call under way; NULL between calls. */
    struct policy *current;
    enum plugin_hook hook;
    uint32_t cpu;
    uint64_t calls;   /* services used by it */
    uint32_t n_fresh; /* timers with a delay_ps */
    bool has_worked, has_charged;
    jmp_buf out; /* back to the host, when a hook has to be abandoned */

    XXH128_hash_t chain;
    uint64_t n_decisions;
};

/* The policy that a service table belongs to. */
#define PLUGIN_OWNER(s, member) ((struct policy *)(void *)((char *)(uintptr_t)(s)-offsetof(struct policy, member)))

/* Fill in the service tables of a policy: all of them, which includes quire.core/1. */
void plugin_services_init(struct policy *p);
void plugin_core_init(struct policy *p);

/* Begins a service call: 0 if the policy may go on, else the error to answer. works: more than book-keeping. */
int32_t plugin_enter(struct policy *p, bool works);
/* Counts a refused call and returns code. */
int32_t plugin_refuse(struct policy *p, int32_t code);
/* Leaves the hook that is under way, never to return to it. */
_Noreturn void plugin_abandon(struct policy *p);

/* Ejects the policy; the first reason stays. */
void plugin_eject(struct policy *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends one decision to the chain and returns result. */
int32_t plugin_decide(struct policy *p, const char *what, uint64_t a, uint64_t b, int32_t result);
/* Handle of a VM, and back: index, or -1 for a stale or unknown one. */
quire_vm plugin_vm_handle(const struct plugin_host *h, uint32_t vm);
int64_t plugin_vm_index(const struct plugin_host *h, quire_vm vm);

#endif

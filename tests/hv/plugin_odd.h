/* SPDX-License-Identifier: MIT */
/* A policy whose parts the tests replace: hooks, options, the policy itself; reset() puts good ones in place. Each file
 * that includes this has one of its own. */
#ifndef QUIRE_TESTS_HV_PLUGIN_ODD_H
#define QUIRE_TESTS_HV_PLUGIN_ODD_H

#include "sim/hv/plugin_kit.h"

#include <criterion/criterion.h>
#include <string.h>

struct odd {
    const struct quire_core *core;
    const struct quire_ept *ept;
    const struct quire_frames *frames;
    const struct quire_pmem *pmem;
    const struct quire_pmu *pmu;
    quire_vm vm;
    uint64_t n_events, n_faults, n_timers;
};

static struct odd odd;
static bool fini_was_called;

static inline int32_t good_init(const struct quire_host *h, void **self, const char **why)
{
    (void)why;
    memset(&odd, 0, sizeof odd);
    *self = &odd;
    odd.core = h->service(h, "quire.core/1");
    odd.ept = h->service(h, "quire.ept/1");
    odd.frames = h->service(h, "quire.frame/1");
    odd.pmem = h->service(h, "quire.pmem/1");
    odd.pmu = h->service(h, "quire.pmu/1");
    return h->claim(h, QUIRE_ROLE_TRACE | QUIRE_ROLE_NUMA | QUIRE_ROLE_PMEM | QUIRE_ROLE_PLACEMENT);
}
static inline void good_fini(void *self)
{
    (void)self;
    fini_was_called = true;
    odd.core->count(odd.core, "late", 1); /* no service any more: ignored */
}
static inline void good_event(void *self, const struct quire_vm_event *e)
{
    struct odd *o = self;
    o->vm = e->vm;
    o->n_events++;
    if (e->what == QUIRE_VM_MAPPED)
        o->ept->trace(o->ept, e->vm, &e->gpa, 1, QUIRE_ACCESS_READ | QUIRE_ACCESS_WRITE);
}
static inline void good_fault(void *self, const struct quire_fault *f, struct quire_verdict *out)
{
    struct odd *o = self;
    o->n_faults++;
    out->what = f->why == QUIRE_FAULT_HINT ? QUIRE_VERDICT_SKIP : QUIRE_VERDICT_RESUME;
}

static const char *const words[] = {"a", "b", NULL};
static struct quire_option options[3];
static struct quire_hooks hooks;
static struct quire_policy policy;

static inline const struct quire_policy *entry(void)
{
    return &policy;
}
/* The parts as they should be. */
static inline void reset(void)
{
    const struct quire_option good[] = {
        QUIRE_OPTION(UINT, "count", "3", "a number", .min = 1, .max = 9),
        QUIRE_OPTION(WORD, "word", "b", "a word", .words = words),
        QUIRE_OPTION(TIME, "delay", "10us", "a time"),
    };
    memcpy(options, good, sizeof good);
    hooks = (struct quire_hooks){.size = sizeof hooks, .fini = good_fini, .vm_event = good_event, .fault = good_fault};
    policy = (struct quire_policy){.size = sizeof policy, .abi_major = 1, .abi_minor = 0, .name = "odd"};
    policy.n_options = 3;
    policy.options = options;
    policy.help = "odd";
    policy.roles = ~0ull;
    policy.hooks = &hooks;
    policy.init = good_init;
    fini_was_called = false;
}

static inline struct plugin *adopt(void)
{
    struct diag d = {0};
    struct plugin *p = plugin_adopt(entry, "odd.so", &d);
    cr_assert_not_null(p, "%s", d.text);
    return p;
}

static inline struct kit_run run_kit(uint64_t claimed, uint64_t budget)
{
    struct diag d = {0};
    struct plugin *p = adopt();
    struct plugin_values v;
    struct kit_run run;
    cr_assert_eq(plugin_bind(p, NULL, NULL, &v, &d), 0, "%s", d.text);
    kit_run(p, &v, claimed, budget, &run);
    plugin_close(p);
    return run;
}

#endif

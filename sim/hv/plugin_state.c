/* SPDX-License-Identifier: MIT */
/* Policies in a checkpoint. */
#include "sim/hv/plugin_int.h"

#include <stdlib.h>
#include <string.h>

#define MAX_VMS 4096u

/* What a policy's hook is handed. */
struct state_service {
    struct quire_state s; /* first */
    struct ckpt *c;
};

static void bytes(const struct quire_state *s, void *p, uint64_t n)
{
    ckpt_bytes(((const struct state_service *)(const void *)s)->c, p, n);
}

static uint64_t count(const struct quire_state *s, uint64_t n, uint64_t max)
{
    return ckpt_count(((const struct state_service *)(const void *)s)->c, n, max);
}

static void self_state(struct policy *p, struct ckpt *c)
{
    const char *name = p->plugin->policy.name;
    struct state_service s = {{sizeof s.s, ckpt_is_loading(c), bytes, count}, c};
    if (p->is_ejected)
        return; /* no hook of it is called any more */
    if (!QUIRE_HAS(&p->plugin->hooks, state) || !p->plugin->hooks.state) {
        ckpt_fail(c, "policy %s cannot be checkpointed: it has no hook `state`", name);
        return;
    }
    int32_t bad = p->plugin->hooks.state(p->self, &s.s);
    if (bad)
        ckpt_fail(c, "policy %s: its hook `state` answered %d", name, bad);
}

static void policy_state(struct policy *p, struct ckpt *c)
{
    char name[PLUGIN_NAME_LEN + 7] = "";
    snprintf(name, sizeof name, "policy %s", p->plugin->policy.name);
    ckpt_section(c, name);
    CKPT(c, p->roles);
    CKPT(c, p->is_ejected);
    CKPT(c, p->reason);
    CKPT(c, p->hook_calls);
    CKPT(c, p->service_calls);
    CKPT(c, p->refused_calls);
    CKPT(c, p->charged_cycles);
    CKPT(c, p->uncharged_hooks);
    CKPT(c, p->worked);
    CKPT(c, p->charged);
    uint32_t had = p->n_hists;
    p->n_counters = (uint32_t)ckpt_count(c, p->n_counters, PLUGIN_MAX_NAMES);
    p->n_hists = (uint32_t)ckpt_count(c, p->n_hists, PLUGIN_MAX_NAMES);
    p->n_streams = (uint32_t)ckpt_count(c, p->n_streams, PLUGIN_MAX_NAMES);
    CKPT(c, p->counter_name);
    CKPT(c, p->hist_name);
    CKPT(c, p->stream_name);
    CKPT(c, p->counter);
    CKPT(c, p->stream);
    for (uint32_t i = p->n_hists; i < had; i++) {
        free(p->hist[i]);
        p->hist[i] = NULL;
    }
    for (uint32_t i = 0; i < p->n_hists; i++) {
        if (!p->hist[i])
            p->hist[i] = xcalloc(1, sizeof *p->hist[i]);
        CKPT(c, *p->hist[i]);
    }
    self_state(p, c);
}

static void timer_state(struct plugin_host *h, struct plugin_timer *t, struct ckpt *c)
{
    uint64_t owner = ckpt_count(c, t->owner ? t->owner->index + 1ull : 0, h->n_policies);
    struct plugin_timer flat = *t;
    flat.owner = NULL;
    CKPT(c, flat);
    *t = flat;
    t->owner = owner ? h->policy[owner - 1] : NULL;
}

void plugin_host_state(struct plugin_host *h, struct ckpt *c)
{
    ckpt_section(c, "policies");
    ckpt_same(c, h->n_policies, "policies");
    CKPT(c, h->chain);
    CKPT(c, h->n_decisions);
    uint64_t n = ckpt_count(c, h->n_vms, MAX_VMS);
    if (ckpt_is_loading(c)) {
        for (uint32_t i = 0; i < h->n_vms; i++)
            free(h->vm[i].name);
        h->vm = xrealloc(h->vm, (n + 1) * sizeof *h->vm);
        memset(h->vm, 0, (n + 1) * sizeof *h->vm);
        h->n_vms = (uint32_t)n;
    }
    for (uint32_t i = 0; i < h->n_vms; i++) {
        CKPT(c, h->vm[i].is_alive);
        CKPT(c, h->vm[i].generation);
        ckpt_text(c, &h->vm[i].name);
    }
    n = ckpt_count(c, h->n_timers, PLUGIN_MAX_TIMERS);
    if (ckpt_is_loading(c)) {
        h->n_timers = h->cap_timers = (uint32_t)n;
        h->timer = xrealloc(h->timer, (n + 1) * sizeof *h->timer);
        memset(h->timer, 0, (n + 1) * sizeof *h->timer);
    }
    for (uint32_t i = 0; i < h->n_timers; i++)
        timer_state(h, &h->timer[i], c);
    for (uint32_t i = 0; i < h->n_policies; i++)
        policy_state(h->policy[i], c);
}

/* SPDX-License-Identifier: MIT */
/* The service quire.core/1: time, timers, random streams, counters, curves, decisions. And what every service call
 * begins with: the hook's budget. */
#include "sim/hv/plugin_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OWNER(s)   PLUGIN_OWNER(s, core)
#define OPS(p)     ((p)->host->ops)
#define MACHINE(p) ((p)->host->machine)

/* ---- what all calls begin with ----------------------------------------------------------------------------------- */

int32_t plugin_refuse(struct policy *p, int32_t code)
{
    p->refused_calls++;
    return code;
}

void plugin_abandon(struct policy *p)
{
    longjmp(p->host->out, 1);
}

int32_t plugin_enter(struct policy *p, bool works)
{
    struct plugin_host *h = p->host;
    if (h->current != p)
        return QUIRE_E_DENIED; /* from fini, or through another policy's table */
    h->calls++;
    h->has_worked |= works;
    if (p->is_ejected)
        plugin_abandon(p);
    if (h->calls > 2 * h->conf.budget) {
        plugin_eject(p, "more than %llu service calls", (unsigned long long)(2 * h->conf.budget));
        plugin_abandon(p);
    }
    return h->calls > h->conf.budget ? plugin_refuse(p, QUIRE_E_BUDGET) : QUIRE_OK;
}

/* ---- quire.core/1 ------------------------------------------------------------------------------------------------ */

static bool is_key(const char *s)
{
    size_t n = s == NULL ? 0 : strnlen(s, PLUGIN_NAME_LEN);
    return n > 0 && n < PLUGIN_NAME_LEN && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == n && s[0] != '_';
}

/* Length of a histogram's name without its unit; 0 if it has none. */
static size_t base_len(const char *name)
{
    const char *unit = strrchr(name, '_');
    return unit == NULL ? 0 : (size_t)(unit - name);
}

/* True if the keys of a histogram, base_n, base_p50_unit and so on, could meet another name's keys. */
static bool meets(const char *hist, const char *other)
{
    size_t n = base_len(hist);
    return strncmp(hist, other, n) == 0 && other[n] == '_';
}

static bool is_free(const struct policy *p, const char *name, bool is_hist)
{
    static const char *const reserved[] = {"hook_calls", "service_calls", "refused_calls", "charged_cycles",
                                           "uncharged_hooks"};
    if (is_hist && base_len(name) == 0)
        return false;
    for (uint32_t i = 0; i < N_ELEMS(reserved); i++)
        if (strcmp(name, reserved[i]) == 0 || (is_hist && meets(name, reserved[i])))
            return false;
    for (uint32_t i = 0; i < p->n_hists; i++)
        if (meets(p->hist_name[i].name, name) || (is_hist && meets(name, p->hist_name[i].name)))
            return false;
    for (uint32_t i = 0; i < p->n_counters && is_hist; i++)
        if (meets(name, p->counter_name[i].name))
            return false;
    return true;
}

/* Index of name in a list of at most PLUGIN_MAX_NAMES, appended if it is new (*is_new). Bad names eject. */
static uint32_t intern(struct policy *p, struct plugin_name *list, uint32_t *n, const char *name, bool *is_new)
{
    *is_new = false;
    for (uint32_t i = 0; name != NULL && i < *n; i++)
        if (strcmp(list[i].name, name) == 0)
            return i;
    if (!is_key(name))
        plugin_eject(p, "a name that is not [a-z0-9][a-z0-9_]* of at most %u characters", PLUGIN_NAME_LEN - 1);
    else if (list != p->stream_name && !is_free(p, name, list == p->hist_name))
        plugin_eject(p, "counter or histogram %s: its result keys are taken, or it has no unit", name);
    else if (*n == PLUGIN_MAX_NAMES)
        plugin_eject(p, "more than %u names", PLUGIN_MAX_NAMES);
    if (p->is_ejected)
        plugin_abandon(p);
    *is_new = true;
    memcpy(list[*n].name, name, strlen(name) + 1);
    return (*n)++;
}

static uint64_t core_now(const struct quire_core *c)
{
    struct policy *p = OWNER(c);
    return OPS(p)->now_ps(MACHINE(p));
}

static uint64_t core_random(const struct quire_core *c, const char *name, uint64_t n)
{
    struct policy *p = OWNER(c);
    bool is_new;
    if (plugin_enter(p, false) < 0 || n == 0)
        return 0;
    uint32_t i = intern(p, p->stream_name, &p->n_streams, name, &is_new);
    if (is_new) {
        char stream[128];
        snprintf(stream, sizeof stream, "policy.%s.%s", p->plugin->policy.name, name);
        rng_init(&p->stream[i], p->host->conf.seed, stream);
    }
    return rng_below(&p->stream[i], n);
}

/* A free slot of the timer table, or n_timers if all are taken for good. */
static uint32_t timer_slot(struct plugin_host *h)
{
    for (uint32_t i = 0; i < h->n_timers; i++)
        if (h->timer[i].owner == NULL)
            return i;
    if (h->n_timers == h->cap_timers && h->cap_timers < PLUGIN_MAX_TIMERS) {
        h->cap_timers = h->cap_timers ? 2 * h->cap_timers : 16;
        h->timer = xrealloc(h->timer, h->cap_timers * sizeof *h->timer);
        memset(&h->timer[h->n_timers], 0, (h->cap_timers - h->n_timers) * sizeof *h->timer);
    }
    return h->n_timers < h->cap_timers ? h->n_timers++ : h->n_timers;
}

static quire_timer core_timer_start(const struct quire_core *c, uint64_t delay_ps, uint64_t period_ps, uint32_t cpu,
                                    uint64_t cookie)
{
    struct policy *p = OWNER(c);
    struct plugin_host *h = p->host;
    if (plugin_enter(p, false) < 0)
        return 0;
    if (delay_ps > PLUGIN_MAX_TIME || period_ps > PLUGIN_MAX_TIME || cpu >= h->conf.n_cpus)
        return plugin_refuse(p, QUIRE_E_INVAL), 0;
    uint32_t i = timer_slot(h);
    if (i == h->n_timers)
        return plugin_refuse(p, QUIRE_E_NOMEM), 0;
    uint32_t generation = h->timer[i].generation + 1;
    h->timer[i] = (struct plugin_timer){.owner = p, .generation = generation, .cpu = cpu, .cookie = cookie};
    h->timer[i].at_ps = core_now(c) + max_u64(delay_ps, PLUGIN_MIN_DELAY);
    h->timer[i].period_ps = period_ps ? max_u64(period_ps, PLUGIN_MIN_DELAY) : 0;
    if (h->hook == HOOK_TIMER && !period_ps) {
        h->timer[i].delay_ps = h->timer[i].at_ps - core_now(c);
        h->n_fresh++;
    }
    quire_timer id = i | (uint64_t)generation << 32;
    h->ops->timer_at(h->machine, h->timer[i].at_ps, id);
    plugin_decide(p, "timer_start", delay_ps, period_ps, 0);
    return id;
}

static int32_t core_timer_stop(const struct quire_core *c, quire_timer t)
{
    struct policy *p = OWNER(c);
    uint32_t i = (uint32_t)t;
    int32_t r = plugin_enter(p, false);
    if (r < 0)
        return r;
    if (i >= p->host->n_timers || p->host->timer[i].generation != t >> 32 || p->host->timer[i].owner != p)
        return plugin_refuse(p, QUIRE_E_STALE);
    p->host->timer[i].owner = NULL;
    return plugin_decide(p, "timer_stop", t, 0, QUIRE_OK);
}

static void core_charge(const struct quire_core *c, uint64_t cycles)
{
    struct policy *p = OWNER(c);
    if (plugin_enter(p, false) < 0)
        return;
    if (cycles > PLUGIN_MAX_CHARGE) {
        plugin_eject(p, "charge of %llu cycles", (unsigned long long)cycles);
        plugin_abandon(p);
    }
    p->host->has_charged |= cycles > 0;
    p->charged_cycles += cycles;
    OPS(p)->charge(MACHINE(p), p->host->cpu, cycles);
}

static void core_count(const struct quire_core *c, const char *name, uint64_t add)
{
    struct policy *p = OWNER(c);
    bool is_new;
    if (plugin_enter(p, false) == QUIRE_OK)
        p->counter[intern(p, p->counter_name, &p->n_counters, name, &is_new)] += add;
}

static void core_sample(const struct quire_core *c, const char *name, uint64_t value)
{
    struct policy *p = OWNER(c);
    bool is_new;
    if (plugin_enter(p, false) < 0)
        return;
    uint32_t i = intern(p, p->hist_name, &p->n_hists, name, &is_new);
    if (is_new)
        p->hist[i] = xcalloc(1, sizeof(struct hist));
    hist_add(p->hist[i], value);
}

/* Printable, no comma, no quote, at most 95 characters. */
static bool is_label(const char *s)
{
    size_t n = s == NULL ? 96 : strnlen(s, 96);
    for (size_t i = 0; i < n && n < 96; i++)
        if (s[i] < ' ' || s[i] > '~' || s[i] == ',' || s[i] == '"')
            return false;
    return n < 96;
}

static void core_series(const struct quire_core *c, const char *name, const char *label, const char *x_name, double x,
                        double y)
{
    struct policy *p = OWNER(c);
    if (plugin_enter(p, false) < 0)
        return;
    if (!is_key(name) || !is_key(x_name) || !is_label(label) || !isfinite(x) || !isfinite(y)) {
        plugin_eject(p, "series() with a bad name or label, or a number that is not finite");
        plugin_abandon(p);
    }
    OPS(p)->series(MACHINE(p), name, label, x_name, x, y);
}

static uint64_t core_option(const struct quire_core *c, const char *name)
{
    struct policy *p = OWNER(c);
    if (plugin_enter(p, false) < 0)
        return 0;
    for (uint32_t i = 0; name != NULL && i < p->plugin->n_options; i++)
        if (strcmp(p->plugin->option[i].name, name) == 0)
            return p->values.value[i];
    plugin_eject(p, "option %.40s is not in its own table", name ? name : "NULL");
    plugin_abandon(p);
}

static const char *core_vm_name(const struct quire_core *c, quire_vm vm)
{
    struct policy *p = OWNER(c);
    int64_t i = plugin_vm_index(p->host, vm);
    return plugin_enter(p, false) < 0 || i < 0 ? "" : p->host->vm[i].name;
}

static void core_mark(const struct quire_core *c, const char *what, uint64_t a, uint64_t b)
{
    struct policy *p = OWNER(c);
    if (plugin_enter(p, false) < 0)
        return;
    if (!is_key(what)) {
        plugin_eject(p, "mark() with a bad name");
        plugin_abandon(p);
    }
    plugin_decide(p, what, a, b, 0);
}

void plugin_core_init(struct policy *p)
{
    p->core = (struct quire_core){.size = sizeof p->core,
                                  .n_nodes = p->host->conf.n_nodes,
                                  .now_ps = core_now,
                                  .random = core_random,
                                  .timer_start = core_timer_start,
                                  .timer_stop = core_timer_stop,
                                  .charge = core_charge,
                                  .count = core_count,
                                  .sample = core_sample,
                                  .series = core_series,
                                  .option = core_option,
                                  .vm_name = core_vm_name,
                                  .mark = core_mark};
}

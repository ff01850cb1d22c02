/* SPDX-License-Identifier: MIT */
/* What `quire policy check` tries with a policy, one line of verdict each. */
#include "sim/hv/plugin_kit.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_BUDGET 48u /* service calls a hook: enough for init and little else */

struct report {
    const struct plugin *plugin;
    struct plugin_values defaults;
    struct kit_run first; /* with default options */
    struct kit_line *line;
    uint32_t n;
};

static void add(struct report *r, const char *check, bool has_passed, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void add(struct report *r, const char *check, bool has_passed, const char *fmt, ...)
{
    va_list ap;
    CHECK(r->n < KIT_MAX_LINES);
    struct kit_line *l = &r->line[r->n++];
    l->check = check;
    l->has_passed = has_passed;
    va_start(ap, fmt);
    vsnprintf(l->detail, sizeof l->detail, fmt, ap);
    va_end(ap);
}

static bool is_well(const struct kit_run *run)
{
    return !run->has_refused && run->ejected[0] == 0;
}

static const char *trouble(const struct kit_run *run)
{
    return run->has_refused ? run->refusal : run->ejected;
}

static void check_defaults(struct report *r)
{
    kit_run(r->plugin, &r->defaults, 0, 0, &r->first);
    if (is_well(&r->first))
        add(r, "runs with default options", true, "%llu hook calls, %llu decisions",
            (unsigned long long)r->first.hook_calls, (unsigned long long)r->first.n_decisions);
    else
        add(r, "runs with default options", false, "%s", trouble(&r->first));
    add(r, "its service calls are accepted", r->first.refused_calls == 0, "%llu were answered with an error",
        (unsigned long long)r->first.refused_calls);
    add(r, "charges for its work", r->first.uncharged[0] == 0, "%s%s", r->first.uncharged[0] ? "never in " : "",
        r->first.uncharged);
    add(r, "needs no oracle by default", !r->first.has_tainted, "%s", r->first.has_tainted ? "it asks for one" : "");
}

/* Every option at its ends, and every word: it may refuse, but not misbehave. */
static void check_options(struct report *r)
{
    uint32_t n_runs = 0, n_refused = 0;
    for (uint32_t i = 0; i < r->plugin->n_options; i++) {
        const struct conf_key *key = &r->plugin->option[i];
        uint64_t n_words = 0;
        while (key->choices != NULL && key->choices[n_words] != NULL)
            n_words++;
        uint64_t top = key->type == CONF_BOOL ? 1 : n_words ? n_words - 1 : key->max ? key->max : 1ull << 32;
        uint64_t step = n_words ? 1 : top > key->min ? top - key->min : 1;
        for (uint64_t value = key->min; value <= top; value += step, n_runs++) {
            struct plugin_values v = r->defaults;
            struct kit_run run;
            v.value[i] = value;
            kit_run(r->plugin, &v, 0, 0, &run);
            n_refused += run.has_refused;
            if (run.ejected[0] != 0) {
                char *text = conf_number(key, value);
                add(r, "runs with every option at its ends", false, "%s = %s: %s", key->name, text, run.ejected);
                free(text);
                return;
            }
        }
    }
    add(r, "runs with every option at its ends", true, "%u runs, %u refused by it", n_runs, n_refused);
}

/* After all those runs in the same process: nothing was kept. */
static void check_repeat(struct report *r)
{
    struct kit_run again;
    kit_run(r->plugin, &r->defaults, 0, 0, &again);
    add(r, "decides the same in every run", strcmp(again.chain, r->first.chain) == 0, "%s then %s", r->first.chain,
        again.chain);
}

/* In the middle of the run another instance goes on with what the first one saved. */
static void check_state(struct report *r)
{
    static const char *const check = "goes on from a checkpoint";
    struct kit_run run;
    if (!QUIRE_HAS(&r->plugin->hooks, state) || !r->plugin->hooks.state) {
        add(r, check, true, "it has no hook `state`: runs with it cannot be checkpointed");
        return;
    }
    kit_run_restarted(r->plugin, &r->defaults, 0, 0, 997, &run);
    bool is_same = is_well(&run) == is_well(&r->first) && strcmp(run.chain, r->first.chain) == 0;
    add(r, check, is_same, "%s", is_well(&run) ? is_same ? "ten times" : "it decides otherwise" : trouble(&run));
}

static void check_roles(struct report *r)
{
    struct kit_run run;
    if (r->plugin->policy.roles == 0) {
        add(r, "refuses when its roles are taken", true, "it claims none");
        return;
    }
    kit_run(r->plugin, &r->defaults, r->plugin->policy.roles, 0, &run);
    bool has_reason = run.has_refused && strstr(run.refusal, "does not say why") == NULL;
    add(r, "refuses when its roles are taken", has_reason, "%s",
        run.has_refused ? run.refusal : "it goes on without them");
}

static void check_budget(struct report *r)
{
    struct kit_run run;
    kit_run(r->plugin, &r->defaults, 0, SHORT_BUDGET, &run);
    add(r, "stops when its budget is used up", is_well(&run), "%s", trouble(&run));
}

uint32_t kit_check(const struct plugin *p, struct kit_line *lines)
{
    struct report r = {.plugin = p, .line = lines};
    struct diag d = {0};
    int bound = plugin_bind(p, NULL, NULL, &r.defaults, &d);
    add(&r, "speaks the policy ABI", bound == 0, "built for %u.%u, here %u.%u", p->policy.abi_major,
        p->policy.abi_minor, QUIRE_ABI_MAJOR, QUIRE_ABI_MINOR);
    check_defaults(&r);
    check_roles(&r);
    check_budget(&r);
    check_options(&r);
    check_repeat(&r);
    check_state(&r);
    return r.n;
}

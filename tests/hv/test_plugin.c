/* SPDX-License-Identifier: MIT */
/* The plugin host against plugins that lie, misbehave and refuse: each is answered with one clear line, or ejected, and
 * the machine goes on. */
#include "sim/hv/plugin_kit.h"

#include <criterion/criterion.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a policy whose parts the tests replace ---------------------------------------------------------------------- */

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

static int32_t good_init(const struct quire_host *h, void **self, const char **why)
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
static void good_fini(void *self)
{
    (void)self;
    fini_was_called = true;
    odd.core->count(odd.core, "late", 1); /* no service any more: ignored */
}
static void good_event(void *self, const struct quire_vm_event *e)
{
    struct odd *o = self;
    o->vm = e->vm;
    o->n_events++;
    if (e->what == QUIRE_VM_MAPPED)
        o->ept->trace(o->ept, e->vm, &e->gpa, 1, QUIRE_ACCESS_READ | QUIRE_ACCESS_WRITE);
}
static void good_fault(void *self, const struct quire_fault *f, struct quire_verdict *out)
{
    struct odd *o = self;
    o->n_faults++;
    out->what = f->why == QUIRE_FAULT_HINT ? QUIRE_VERDICT_SKIP : QUIRE_VERDICT_RESUME;
}

static const char *const words[] = {"a", "b", NULL};
static struct quire_option options[3];
static struct quire_hooks hooks;
static struct quire_policy policy;

static const struct quire_policy *entry(void)
{
    return &policy;
}
static const struct quire_policy *entry_null(void)
{
    return NULL;
}

/* The parts as they should be. */
static void reset(void)
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

static void expect_refused(const char *text)
{
    struct diag d = {0};
    cr_assert_null(plugin_adopt(entry, "odd.so", &d));
    cr_assert_eq(d.n_errors, 1, "%s", d.text);
    cr_assert(strstr(d.text, text) != NULL, "found: %s, expected: %s", d.text, text);
    cr_assert(strchr(d.text, '\n') == NULL);
    reset();
}

static struct plugin *adopt(void)
{
    struct diag d = {0};
    struct plugin *p = plugin_adopt(entry, "odd.so", &d);
    cr_assert_not_null(p, "%s", d.text);
    return p;
}

static struct kit_run run_kit(uint64_t claimed, uint64_t budget)
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

static void expect_ejected(const char *text)
{
    struct kit_run run = run_kit(0, 0);
    cr_assert(strstr(run.ejected, text) != NULL, "found: \"%s\", expected: %s", run.ejected, text);
    cr_assert(fini_was_called);
    reset();
}

/* ---- the handshake ----------------------------------------------------------------------------------------------- */

Test(plugin, a_good_one_runs, .init = reset)
{
    struct kit_run run = run_kit(0, 0);
    cr_assert_str_eq(run.ejected, "");
    cr_assert(!run.has_refused && odd.n_events > 100 && odd.n_faults > 100);
    cr_assert(fini_was_called);
    cr_assert_eq(run.refused_calls, 0);
    cr_assert_str_eq(run.uncharged, "vm_event", "it traced pages and never charged");
}

Test(plugin, bad_structs_are_refused_in_one_line, .init = reset)
{
    struct diag d = {0};
    cr_assert_null(plugin_adopt(entry_null, "odd.so", &d));
    cr_assert_str_eq(d.text, "built in: odd.so: quire_policy_entry() answered NULL");
    policy.abi_major = 2;
    expect_refused("found policy ABI 2.0, expected 1.x");
    policy.abi_major = 0;
    expect_refused("found policy ABI 0.0, expected 1.x");
    policy.size = 40;
    expect_refused("struct quire_policy: found 40 bytes, expected at least");
    policy.size = 1u << 20;
    expect_refused("struct quire_policy: found 1048576 bytes");
    policy.name = "No Name";
    expect_refused("no valid policy name");
    policy.name = NULL;
    expect_refused("no valid policy name");
    policy.init = NULL;
    expect_refused("found no init function");
    policy.hooks = NULL;
    expect_refused("found no hooks");
    hooks.size = 4;
    expect_refused("struct quire_hooks: found 4 bytes");
}

Test(plugin, bad_options_are_refused_in_one_line, .init = reset)
{
    policy.n_options = 1000;
    expect_refused("found 1000 options");
    policy.options = NULL;
    expect_refused("found 3 options, expected a table");
    options[0].size = 8;
    expect_refused("struct quire_option: found 8 bytes");
    options[1].size = 4000;
    expect_refused("option 1: found a struct of 4000 bytes");
    options[1].name = "Bad";
    expect_refused("option 1: found no valid name");
    options[2].name = "count";
    expect_refused("option count is there twice");
    options[0].type = 99;
    expect_refused("option count: found type 99");
    options[1].words = NULL;
    expect_refused("option word: default, help, or list of words");
    options[2].def = "10";
    expect_refused("default of option delay: ");
    options[0].def = "77";
    expect_refused("default of option count: ");
}

Test(plugin, the_digest_is_the_source_id_if_there_is_one, .init = reset)
{
    policy.source_id = "0123456789abcdef0123456789abcdef";
    struct plugin *p = adopt();
    cr_assert_str_eq(p->digest, policy.source_id);
    plugin_close(p);
    policy.source_id = "short";
    expect_refused("found a malformed source_id");
    policy.source_id = "0123456789ABCDEF0123456789abcdef";
    expect_refused("found a malformed source_id");
    policy.source_id = "0123456789abcdef0123456789abcdef0";
    expect_refused("found a malformed source_id");
}

/* A plugin of a later 1.x has larger structs and a higher minor; an earlier one had fewer hooks. */
Test(plugin, larger_and_smaller_structs_of_the_same_major_load, .init = reset)
{
    static struct {
        struct quire_option o;
        uint64_t more[3];
    } wide[3];
    static struct {
        struct quire_hooks h;
        void (*newer)(void *self);
    } wide_hooks;
    for (uint32_t i = 0; i < 3; i++) {
        wide[i].o = options[i];
        wide[i].o.size = sizeof wide[i];
    }
    wide_hooks.h = hooks;
    wide_hooks.h.size = sizeof wide_hooks;
    policy.options = &wide[0].o;
    policy.hooks = &wide_hooks.h;
    policy.abi_minor = 7;
    policy.size = sizeof policy + 64; /* nothing beyond the host's own struct is read */
    struct plugin *p = adopt();
    cr_assert_eq(p->n_options, 3);
    cr_assert_str_eq(p->option[2].name, "delay");
    plugin_close(p);
    reset();
    hooks.size = offsetof(struct quire_hooks, fault); /* only fini and vm_event: fault is not read */
    struct kit_run run = run_kit(0, 0);
    cr_assert(odd.n_events > 0 && odd.n_faults == 0);
    cr_assert_str_eq(run.ejected, "");
}

Test(plugin, all_hooks_may_be_null, .init = reset)
{
    hooks = (struct quire_hooks){.size = sizeof hooks};
    struct kit_run run = run_kit(0, 0);
    cr_assert_str_eq(run.ejected, "");
    cr_assert_eq(run.hook_calls, 1, "init");
}

/* ---- options of a run -------------------------------------------------------------------------------------------- */

Test(plugin, options_are_checked_like_config_keys, .init = reset)
{
    struct diag d = {0};
    struct plugin *p = adopt();
    struct plugin_values v;
    cr_assert_eq(plugin_bind(p, NULL, NULL, &v, &d), 0);
    cr_assert_eq(v.value[0], 3);
    cr_assert_eq(v.value[1], 1);
    cr_assert_eq(v.value[2], 10 * PS_PER_US);
    cr_assert_eq(plugin_set(p, "delay", "2ms", "--policy odd:", &v, &d), 0);
    cr_assert_eq(v.value[2], 2 * PS_PER_MS);
    cr_assert_eq(plugin_set(p, "delya", "2ms", "--policy odd:", &v, &d), -1);
    cr_assert_str_eq(d.text, "--policy odd: delya: found no such option of policy odd; did you mean delay?");
    cr_assert_eq(plugin_set(p, "delay", "2", "x", &v, &d), -1);
    cr_assert_eq(plugin_set(p, "count", "10", "x", &v, &d), -1);
    cr_assert_eq(plugin_set(p, "word", "c", "x", &v, &d), -1);
    cr_assert_eq(d.n_errors, 4);
    plugin_close(p);
}

static const struct conf_key policy_own[] = {{.name = "file", .type = CONF_STRING, .def = "", .help = "the plugin"},
                                             {0}};
static const struct conf_schema policy_root[] = {
    {.name = "policy", .keys = policy_own, .titled = true, .open = true, .help = "a policy"}, {0}};

Test(plugin, a_config_section_is_bound_and_every_error_reported, .init = reset)
{
    static const char good[] = "policy \"odd\" { file = \"x\" count = 5 word = \"a\" }\n";
    static const char bad[] = "policy \"odd\" {\n count = 50\n delay = 1\n wrod = \"a\"\n}\n";
    const struct conf_schema root = {.name = "", .subs = policy_root};
    struct diag d = {0};
    struct plugin *p = adopt();
    struct plugin_values v;
    struct conf *c = conf_parse(good, sizeof good - 1, "x.conf", ".", &root, &d);
    cr_assert_not_null(c, "%s", d.text);
    cr_assert_eq(plugin_bind(p, conf_find(conf_root(c), "policy", "odd"), policy_own, &v, &d), 0, "%s", d.text);
    cr_assert_eq(v.value[0], 5);
    cr_assert_eq(v.value[1], 0);
    cr_assert_eq(v.value[2], 10 * PS_PER_US);
    conf_free(c);
    c = conf_parse(bad, sizeof bad - 1, "x.conf", ".", &root, &d);
    cr_assert_not_null(c, "%s", d.text);
    cr_assert_eq(plugin_bind(p, conf_find(conf_root(c), "policy", "odd"), policy_own, &v, &d), -1);
    cr_assert_eq(d.n_errors, 3, "%s", d.text);
    cr_assert(strstr(d.text, "x.conf:2") && strstr(d.text, "x.conf:3") && strstr(d.text, "x.conf:4"), "%s", d.text);
    conf_free(c);
    plugin_close(p);
}

/* ---- refusal ----------------------------------------------------------------------------------------------------- */

static int32_t refusing_init(const struct quire_host *h, void **self, const char **why)
{
    (void)h;
    *self = &odd;
    odd.core = h->service(h, "quire.core/1");
    *why = "the moon is full";
    return QUIRE_E_INVAL;
}

Test(plugin, a_refusal_is_told_and_cleaned_up, .init = reset)
{
    policy.init = refusing_init;
    struct kit_run run = run_kit(0, 0);
    cr_assert(run.has_refused && fini_was_called);
    cr_assert_str_eq(run.refusal, "check: policy odd refuses: the moon is full");
}

Test(plugin, a_role_has_one_owner, .init = reset)
{
    for (uint32_t bit = 0; bit < 4; bit++) {
        reset();
        cr_assert(run_kit(1ull << bit, 0).has_refused, "%s", plugin_role_name(bit));
    }
    reset();
    policy.roles = QUIRE_ROLE_TRACE; /* it claims more than it declares */
    cr_assert(run_kit(0, 0).has_refused);
}

/* ---- hostile arguments ------------------------------------------------------------------------------------------- */

static int32_t answers[64];
static uint32_t n_answers;
#define TRY(expr) (answers[n_answers++] = (int32_t)(expr))

static void hostile_event(void *self, const struct quire_vm_event *e)
{
    struct odd *o = self;
    struct quire_leaf leaf;
    uint64_t cursor = 0, gpa = 4096, far = 1ull << 40, done, end = ~0ull;
    quire_vm stale[] = {e->vm + 1, e->vm + (1ull << 32), 0, ~0ull};
    if (e->what != QUIRE_VM_CREATED)
        return;
    for (uint32_t i = 0; i < 4; i++) {
        TRY(o->ept->flush(o->ept, stale[i]));
        TRY(o->ept->scan(o->ept, stale[i], &cursor, 0, &leaf, 1));
        TRY(o->ept->query(o->ept, stale[i], 0, &leaf));
        TRY(o->frames->move(o->frames, stale[i], &gpa, 1, 0, 0));
        TRY(o->pmem->hint_mode(o->pmem, stale[i], 0, QUIRE_HINT_TRAP));
        cr_assert_str_eq(o->core->vm_name(o->core, stale[i]), "");
        cr_assert_eq(o->ept->vm_bytes(o->ept, stale[i]), 0);
        cr_assert_eq(o->pmu->retired(o->pmu, stale[i], QUIRE_ACCESS_READ), 0);
    }
    for (uint32_t i = 0; i < n_answers; i++)
        cr_assert_eq(answers[i], QUIRE_E_STALE, "%u", i);
    n_answers = 0;
    TRY(o->ept->scan(o->ept, e->vm, NULL, 0, &leaf, 1));
    TRY(o->ept->scan(o->ept, e->vm, &cursor, 0, NULL, 1));
    TRY(o->ept->scan(o->ept, e->vm, &cursor, 4, &leaf, 1));
    TRY(o->ept->scan(o->ept, e->vm, &cursor, 0, &leaf, 0));
    TRY(o->ept->query(o->ept, e->vm, far, &leaf));
    TRY(o->ept->query(o->ept, e->vm, 0, NULL));
    TRY(o->ept->trace(o->ept, e->vm, &far, 1, 1));
    TRY(o->ept->trace(o->ept, e->vm, NULL, 1, 1));
    TRY(o->ept->trace(o->ept, e->vm, &gpa, 1, QUIRE_ACCESS_WALK));
    TRY(o->ept->trace(o->ept, e->vm, &gpa, ~0u, 1));
    TRY(o->ept->soft_set(o->ept, e->vm, gpa, 64));
    TRY(o->ept->split(o->ept, e->vm, ~0ull));
    TRY(o->frames->move(o->frames, e->vm, &gpa, 1, 99, 0));
    TRY(o->frames->move(o->frames, e->vm, &far, 1, 0, 0));
    TRY(o->frames->pin(o->frames, e->vm, far));
    TRY(o->pmem->hint_mode(o->pmem, e->vm, 99, QUIRE_HINT_TRAP));
    TRY(o->pmem->hint_mode(o->pmem, e->vm, 0, 0));
    TRY(o->pmem->hint_mode(o->pmem, e->vm, 0, 77));
    TRY(o->pmem->hint_write(o->pmem, ~0ull, 0, &done));
    TRY(o->pmem->hint_write(o->pmem, 1, 0, NULL));
    TRY(o->pmem->hint_write(o->pmem, 1, ~0ull, &done));
    for (uint32_t i = 0; i < n_answers; i++)
        cr_assert_eq(answers[i], QUIRE_E_INVAL, "%u: %d", i, answers[i]);
    cr_assert_eq(o->ept->scan(o->ept, e->vm, &end, 0, &leaf, 1), 0);
    cr_assert_eq(o->core->timer_stop(o->core, 12345), QUIRE_E_STALE);
    cr_assert_eq(o->core->timer_start(o->core, ~0ull, 0, 0, 0), 0);
    cr_assert_eq(o->core->timer_start(o->core, 1, 0, 99, 0), 0);
    cr_assert_eq(o->core->random(o->core, "x", 0), 0);
    cr_assert_eq(o->frames->free_pages(o->frames, 99), 0);
    cr_assert_eq(o->pmem->backing(o->pmem, e->vm, 99), 0);
    cr_assert_geq(o->pmem->drained_ps(o->pmem, 99), 0);
    o->n_timers = 1;
}

Test(plugin, hostile_arguments_are_answered_with_errors, .init = reset)
{
    n_answers = 0;
    hooks.vm_event = hostile_event;
    struct kit_run run = run_kit(0, 0);
    cr_assert_str_eq(run.ejected, "");
    cr_assert_eq(odd.n_timers, 1);
    cr_assert(run.refused_calls > 40);
}

static void counting_event(void *self, const struct quire_vm_event *e)
{
    struct odd *o = self;
    uint64_t reads = o->pmu->retired(o->pmu, e->vm, QUIRE_ACCESS_READ);
    uint64_t writes = o->pmu->retired(o->pmu, e->vm, QUIRE_ACCESS_WRITE);
    cr_assert_eq(o->pmu->retired(o->pmu, e->vm, QUIRE_ACCESS_READ | QUIRE_ACCESS_WRITE), reads + writes);
    cr_assert_eq(o->pmu->retired(o->pmu, e->vm, QUIRE_ACCESS_EXEC | QUIRE_ACCESS_WALK | ~15u), 0);
    o->n_faults = reads;
    o->n_timers = writes;
}

/* The kit's workload writes in every third of its 10000 steps; what its page walker does is not counted. */
Test(plugin, counters_count_what_retires, .init = reset)
{
    hooks.vm_event = counting_event;
    struct kit_run run = run_kit(0, 0);
    cr_assert_str_eq(run.ejected, "");
    cr_assert_eq(odd.n_timers, 3334);
    cr_assert_eq(odd.n_faults, 6666);
}

static int32_t observer_init(const struct quire_host *h, void **self, const char **why)
{
    (void)good_init(h, self, why);
    return QUIRE_OK;
}

static void observer_event(void *self, const struct quire_vm_event *e)
{
    struct odd *o = self;
    struct quire_leaf leaf;
    uint64_t cursor = 0, gpa = 0, done;
    if (e->what != QUIRE_VM_CREATED)
        return;
    cr_assert_eq(o->ept->trace(o->ept, e->vm, &gpa, 1, 1), QUIRE_E_DENIED);
    cr_assert_eq(o->ept->flush(o->ept, e->vm), QUIRE_E_DENIED);
    cr_assert_eq(o->ept->split(o->ept, e->vm, 0), QUIRE_E_DENIED);
    cr_assert_eq(o->ept->scan(o->ept, e->vm, &cursor, QUIRE_SCAN_CLEAR_A, &leaf, 1), QUIRE_E_DENIED);
    cr_assert_geq(o->ept->scan(o->ept, e->vm, &cursor, 0, &leaf, 1), 0);
    cr_assert_eq(o->frames->move(o->frames, e->vm, &gpa, 1, 1, 0), QUIRE_E_DENIED);
    cr_assert_eq(o->frames->pin(o->frames, e->vm, 0), QUIRE_E_DENIED);
    cr_assert_eq(o->pmem->hint_mode(o->pmem, e->vm, 0, QUIRE_HINT_TRAP), QUIRE_E_DENIED);
    cr_assert_eq(o->pmem->hint_write(o->pmem, 1, 0, &done), QUIRE_E_DENIED);
    o->n_timers = 1;
}

Test(plugin, who_owns_no_role_only_looks, .init = reset)
{
    policy.roles = 0;
    policy.init = observer_init;
    hooks.vm_event = observer_event;
    struct kit_run run = run_kit(~0ull & 15, 0);
    cr_assert(!run.has_refused && run.ejected[0] == 0 && odd.n_timers == 1, "%s%s", run.refusal, run.ejected);
    cr_assert_eq(odd.n_faults, 0);
}

/* ---- ejection ---------------------------------------------------------------------------------------------------- */

static struct quire_verdict bad_verdict;
static uint32_t bad_why;
static void bad_fault(void *self, const struct quire_fault *f, struct quire_verdict *out)
{
    good_fault(self, f, out);
    if (f->why == bad_why)
        *out = bad_verdict;
}

static void expect_bad_verdict(uint32_t why, struct quire_verdict v, const char *text)
{
    bad_why = why;
    bad_verdict = v;
    bad_verdict.size = sizeof v;
    hooks.fault = bad_fault;
    expect_ejected(text);
}

static void trapping_event(void *self, const struct quire_vm_event *e)
{
    struct odd *o = self;
    good_event(self, e);
    if (e->what == QUIRE_VM_CREATED)
        o->pmem->hint_mode(o->pmem, e->vm, 0, QUIRE_HINT_TRAP);
}

Test(plugin, nonsense_verdicts_eject, .init = reset)
{
    expect_bad_verdict(QUIRE_FAULT_TRACE, (struct quire_verdict){.what = 9}, "fault hook: verdict 9");
    expect_bad_verdict(QUIRE_FAULT_TRACE, (struct quire_verdict){.what = QUIRE_VERDICT_SKIP}, "verdict SKIP");
    expect_bad_verdict(QUIRE_FAULT_MISSING, (struct quire_verdict){.what = QUIRE_VERDICT_EMULATE}, "verdict EMULATE");
    expect_bad_verdict(QUIRE_FAULT_MISSING, (struct quire_verdict){.what = QUIRE_VERDICT_RESUME, .node = 5}, "node 5");
    hooks.vm_event = trapping_event;
    expect_bad_verdict(QUIRE_FAULT_HINT, (struct quire_verdict){.what = QUIRE_VERDICT_SKIP, .until_ps = 1}, "until_ps");
    hooks.vm_event = trapping_event;
    expect_bad_verdict(QUIRE_FAULT_HINT, (struct quire_verdict){.what = QUIRE_VERDICT_RESUME}, "for ever");
}

static uint64_t early_flush(void *self, const struct quire_flush *f)
{
    (void)self;
    return f->now_ps - 1;
}
static void hypercall_event(void *self, const struct quire_vm_event *e)
{
    struct odd *o = self;
    if (e->what == QUIRE_VM_CREATED)
        o->pmem->hint_mode(o->pmem, e->vm, 0, QUIRE_HINT_HYPERCALL);
}

Test(plugin, a_flush_that_ends_before_it_began_ejects, .init = reset)
{
    hooks.vm_event = hypercall_event;
    hooks.flush = early_flush;
    expect_ejected("flush hook: answer");
}

static uint32_t misdeed;
static void sinful_event(void *self, const struct quire_vm_event *e)
{
    struct odd *o = self;
    const struct quire_core *c = o->core;
    char name[8] = "m0";
    if (e->what != QUIRE_VM_MAPPED)
        return;
    if (misdeed == 0)
        c->option(c, "nope");
    else if (misdeed == 1)
        c->count(c, "Bad Name", 1);
    else if (misdeed == 2)
        c->count(c, "hook_calls", 1);
    else if (misdeed == 3)
        c->sample(c, "nounit", 1);
    else if (misdeed == 4)
        c->series(c, "s", "a,b", "x", 0, 0);
    else if (misdeed == 5)
        c->series(c, "s", "a", "x", 0, 0.0 / (c->n_nodes - 2.0));
    else if (misdeed == 6)
        c->charge(c, ~0ull);
    else if (misdeed == 7)
        c->mark(c, NULL, 0, 0);
    else if (misdeed == 8)
        for (uint32_t i = 0; i < 100; i++, name[1] = (char)('0' + i / 10), name[2] = (char)('0' + i % 10))
            c->count(c, name, 1);
    else if (misdeed == 9)
        c->sample(c, "wait_ns", 1), c->count(c, "wait_max_ns", 1);
    else
        while (o->n_timers < 1ull << 40) /* for ever */
            o->ept->flush(o->ept, e->vm), o->n_timers++;
    o->n_timers = 1ull << 50; /* the hook is never come back to */
}

Test(plugin, breaking_a_rule_abandons_the_hook_and_ejects, .init = reset)
{
    static const char *const why[] = {"option nope",
                                      "a name that is not",
                                      "counter or histogram hook_calls",
                                      "counter or histogram nounit",
                                      "series()",
                                      "series()",
                                      "charge of",
                                      "mark()",
                                      "more than 64 names",
                                      "counter or histogram wait_max_ns",
                                      "more than 2097152 service calls"};
    for (misdeed = 0; misdeed < sizeof why / sizeof why[0]; misdeed++) {
        hooks.vm_event = sinful_event;
        struct kit_run run = run_kit(0, 0);
        cr_assert(strstr(run.ejected, why[misdeed]) != NULL, "%u: %s", misdeed, run.ejected);
        cr_assert_lt(odd.n_timers, 1ull << 50, "%u", misdeed);
        cr_assert(fini_was_called);
        reset();
    }
}

static uint64_t n_timer_calls, last_timer_ps;
static void breeding_timer(void *self, quire_timer t, uint64_t cookie, uint64_t now_ps)
{
    struct odd *o = self;
    (void)t, (void)cookie;
    cr_assert_geq(now_ps, last_timer_ps + PS_PER_NS, "a delay of 0 is a nanosecond");
    last_timer_ps = now_ps;
    if (++n_timer_calls < 5)
        o->core->timer_start(o->core, 0, 0, 0, 0);
}
static void breeding_event(void *self, const struct quire_vm_event *e)
{
    struct odd *o = self;
    if (e->what == QUIRE_VM_CREATED) {
        o->core->timer_start(o->core, 0, 0, 0, 0);
        cr_assert_eq(o->core->timer_stop(o->core, o->core->timer_start(o->core, 5, 5, 0, 0)), QUIRE_OK);
    }
}

Test(plugin, timers_come_when_due_and_not_when_stopped, .init = reset)
{
    n_timer_calls = last_timer_ps = 0;
    hooks.vm_event = breeding_event;
    hooks.timer = breeding_timer;
    cr_assert_str_eq(run_kit(0, 0).ejected, "");
    cr_assert_eq(n_timer_calls, 5);
}

static void swarming_event(void *self, const struct quire_vm_event *e)
{
    struct odd *o = self;
    for (uint32_t i = 0; i < 1000 && e->what == QUIRE_VM_CREATED; i++)
        cr_assert_neq(o->core->timer_start(o->core, i, 1, 0, i), 0);
}
static void counting_timer(void *self, quire_timer t, uint64_t cookie, uint64_t now_ps)
{
    (void)self, (void)t, (void)cookie, (void)now_ps;
    n_timer_calls++;
}

Test(plugin, a_swarm_of_timers_ends, .init = reset)
{
    n_timer_calls = 0;
    hooks.vm_event = swarming_event;
    hooks.timer = counting_timer;
    cr_assert_str_eq(run_kit(0, 0).ejected, "");
    cr_assert(n_timer_calls > 10000 && n_timer_calls < 1000000, "%lu", n_timer_calls);
}

/* ---- decisions --------------------------------------------------------------------------------------------------- */

Test(plugin, the_chain_tells_runs_apart_and_alike, .init = reset)
{
    struct kit_run a = run_kit(0, 0), b = run_kit(0, 0);
    cr_assert_str_eq(a.chain, b.chain);
    cr_assert(a.n_decisions > 1000);
    bad_why = QUIRE_FAULT_TRACE;
    bad_verdict = (struct quire_verdict){.size = sizeof bad_verdict, .what = QUIRE_VERDICT_EMULATE};
    hooks.fault = bad_fault;
    cr_assert_str_neq(run_kit(0, 0).chain, a.chain);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void expect_no_plugin(const char *name, const char *search, const char *text)
{
    struct diag d = {0};
    cr_assert_null(plugin_open(name, search, "x.conf:3: [policy.x]", &d));
    cr_assert_eq(d.n_errors, 1);
    cr_assert_eq(strncmp(d.text, "x.conf:3: [policy.x]: ", 22), 0, "%s", d.text);
    cr_assert(strstr(d.text, text) != NULL, "%s", d.text);
}

/* A shared object that is certainly there and certainly no policy. */
static int find_libc(struct dl_phdr_info *info, size_t size, void *out)
{
    (void)size;
    if (strstr(info->dlpi_name, "/libc.so") != NULL && *(char **)out == NULL)
        *(char **)out = xstrdup(info->dlpi_name);
    return 0;
}

Test(plugin, files_that_are_no_plugins_are_named)
{
    char dir[] = "/tmp/quire-plugin-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    char *text = xasprintf("%s/text.so", dir), *torn = xasprintf("%s/torn.so", dir);
    FILE *f = fopen(text, "w");
    fputs("not a plugin\n", f);
    fclose(f);
    f = fopen(torn, "w");
    fputs("\177ELF and no more", f);
    fclose(f);
    expect_no_plugin("nowhere", "", "found no nowhere.so in any of ");
    expect_no_plugin("/nowhere/x.so", "", "cannot open /nowhere/x.so");
    expect_no_plugin("text", dir, "found no ELF file, expected a shared object");
    expect_no_plugin("torn", dir, "cut off in its header");
    char *libc = NULL;
    dl_iterate_phdr(find_libc, &libc);
    cr_assert_not_null(libc);
    expect_no_plugin(libc, "", "found no symbol quire_policy_entry, expected a quire policy");
    free(libc);
    unlink(text);
    unlink(torn);
    rmdir(dir);
    free(text);
    free(torn);
}

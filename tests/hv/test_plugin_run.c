/* SPDX-License-Identifier: MIT */
/* The plugin host against plugins that misbehave while they run: each is answered with an error, or ejected, and the
 * machine goes on. */
#include "tests/hv/plugin_odd.h"

static void expect_ejected(const char *text)
{
    struct kit_run run = run_kit(0, 0);
    cr_assert(strstr(run.ejected, text) != NULL, "found: \"%s\", expected: %s", run.ejected, text);
    cr_assert(fini_was_called);
    reset();
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

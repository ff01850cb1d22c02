/* SPDX-License-Identifier: MIT */
/* What the nested page tables of the real machine show of each period is what the golden tap saw in it; and the judge
 * of observed curves. */
#include "sim/machine/curve.h"
#include "sim/machine/machine.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 8192u

/* ---- a policy that looks each period, beside the tap ------------------------------------------------------------- */
struct watch {
    const struct quire_core *core;
    const struct quire_ept *ept;
    struct hv *hv;
    bool by_log;
    uint8_t used[PAGES], seen[PAGES]; /* of this period: by the tap, by the policy */
    uint8_t was_used[PAGES];          /* ever, by the tap */
    uint8_t was_other[PAGES];         /* ever seen in a period in which the tap had no access to it */
    uint64_t n_periods, n_seen;
};
static struct watch watch; /* the plugin's init has no argument of ours */

static void on_accesses(void *ctx, uint32_t vm, const uint64_t *gpn, uint32_t n)
{
    struct watch *w = ctx;
    (void)vm;
    for (uint32_t i = 0; i < n; i++) {
        cr_assert_lt(gpn[i], PAGES);
        w->used[gpn[i]] = w->was_used[gpn[i]] = 1;
    }
}

static void look(struct watch *w, quire_vm vm)
{
    struct quire_leaf leaf[64];
    uint64_t gpa[64], cursor = 0;
    for (int32_t n; w->by_log && (n = w->ept->pml_drain(w->ept, vm, gpa, 64)) > 0;)
        for (int32_t i = 0; i < n; i++) {
            uint64_t at = gpa[i];
            cr_assert_eq(w->ept->scan(w->ept, vm, &at, QUIRE_SCAN_CLEAR_D, leaf, 1), 1);
            cr_assert_eq(leaf[0].gpa, gpa[i]);
            cr_assert(leaf[0].bits & QUIRE_LEAF_DIRTY, "what is logged is dirty");
            cr_assert(!w->seen[gpa[i] >> 12], "a page is logged once a period");
            w->seen[gpa[i] >> 12] = 1;
        }
    for (int32_t n; !w->by_log && (n = w->ept->scan(w->ept, vm, &cursor, QUIRE_SCAN_CLEAR_A, leaf, 64)) > 0;)
        for (int32_t i = 0; i < n; i++)
            w->seen[leaf[i].gpa >> 12] = (leaf[i].bits & QUIRE_LEAF_ACCESSED) != 0;
    w->ept->flush(w->ept, vm);
}

static void watch_timer(void *self, quire_timer t, uint64_t vm, uint64_t now_ps)
{
    struct watch *w = self;
    (void)t, (void)now_ps;
    if (w->hv->n_tap)
        w->hv->tap(w->hv->tap_ctx, w->hv->tap_vm, w->hv->tap_buf, w->hv->n_tap);
    w->hv->n_tap = 0;
    look(w, vm);
    for (uint32_t i = 0; i < PAGES; i++) {
        cr_assert(!w->used[i] || w->seen[i], "period %lu: page %u was used and not seen", w->n_periods, i);
        w->was_other[i] |= w->seen[i] && !w->used[i];
        w->n_seen += w->seen[i];
    }
    memset(w->used, 0, sizeof w->used);
    memset(w->seen, 0, sizeof w->seen);
    w->n_periods++;
    w->core->charge(w->core, 1000);
}

static void watch_event(void *self, const struct quire_vm_event *e)
{
    struct watch *w = self;
    if (e->what != QUIRE_VM_CREATED)
        return;
    if (w->by_log)
        cr_assert_eq(w->ept->pml(w->ept, e->vm, 1), QUIRE_OK);
    w->core->timer_start(w->core, 30 * PS_PER_US, 30 * PS_PER_US, 0, e->vm);
}

static int32_t watch_init(const struct quire_host *h, void **self, const char **why)
{
    (void)why;
    *self = &watch;
    watch.core = h->service(h, "quire.core/1");
    watch.ept = h->service(h, "quire.ept/1");
    return h->claim(h, QUIRE_ROLE_TRACE);
}

static const struct quire_policy *watch_entry(void)
{
    static const struct quire_hooks hooks = {.size = sizeof hooks, .vm_event = watch_event, .timer = watch_timer};
    static const struct quire_policy policy = {.size = sizeof policy,
                                               .abi_major = QUIRE_ABI_MAJOR,
                                               .abi_minor = QUIRE_ABI_MINOR,
                                               .name = "watch",
                                               .help = "",
                                               .roles = QUIRE_ROLE_TRACE,
                                               .hooks = &hooks,
                                               .init = watch_init};
    return &policy;
}

/* Runs a generator on two vCPUs; answers how often the log was full before its period ended. */
static uint64_t run(const char *generator, uint64_t write_ppm, bool by_log)
{
    struct diag d = {0};
    struct machine_conf mc;
    struct vm_conf vc;
    struct plugin_values none = {{0}};
    cr_assert_eq(machine_bind(NULL, &mc, &d), 0);
    struct machine *m = machine_new(&mc, &d);
    cr_assert_not_null(m, "%s", d.text);
    struct plugin *p = plugin_adopt(watch_entry, "watch", &d);
    const struct plugin_host_conf hc = {.n_nodes = m->numa.n_nodes, .n_cpus = m->hv.n_cpus, .n_controllers = 1};
    memset(&watch, 0, sizeof watch);
    watch.hv = &m->hv;
    watch.by_log = by_log;
    m->hv.plugins = plugin_host_new(&hc, &hv_plugin_ops, &m->hv);
    cr_assert_eq(plugin_host_add(m->hv.plugins, p, &none, "test", &d), 0, "%s", d.text);
    m->hv.golden_counts = true;
    m->hv.tap = on_accesses;
    m->hv.tap_ctx = &watch;
    m->hv.diag = &d;
    cr_assert_eq(conf_bind(NULL, vm_keys, &vc, &d), 0);
    vc.generator = generator;
    vc.memory_bytes = (uint64_t)PAGES << PAGE_SHIFT;
    vc.footprint_bytes = 1000 << PAGE_SHIFT;
    vc.accesses = 60000;
    vc.write_ppm = write_ppm;
    vc.vcpus = 2;
    vc.backing = LEVEL_4K;
    struct vm *vm = guest_new(&m->hv, "vm", &vc, "test", &d);
    cr_assert_not_null(vm, "%s", d.text);
    hv_vm_start(vm);
    cr_assert_eq(hv_run(&m->hv, 0, &d), 0, "%s", d.text);
    cr_assert_gt(watch.n_periods, 20);
    cr_assert_gt(watch.n_seen, 500);
    /* What was seen without an access of the workload is the walker's: pages that it never uses itself. */
    uint32_t n_others = 0;
    for (uint32_t i = 0; i < PAGES; i++) {
        cr_assert(!(watch.was_other[i] && watch.was_used[i]), "page %u was seen and not used", i);
        n_others += watch.was_other[i];
    }
    cr_assert(n_others > 0 && n_others <= 8, "%u page-table pages", n_others);
    uint64_t n_full = m->hv.stats.pml_full_exits;
    plugin_host_free(m->hv.plugins);
    machine_free(m);
    plugin_close(p);
    return n_full;
}

Test(observed, logged_pages_of_a_period_are_those_written_in_it)
{
    cr_assert_gt(run("zipf", 1000000, true) + run("random", 1000000, true) + run("stream", 1000000, true), 0);
}

Test(observed, accessed_bits_of_a_period_are_those_of_the_pages_used_in_it)
{
    cr_assert_eq(run("zipf", 250000, false) + run("random", 250000, false) + run("phase", 250000, false), 0);
}

/* ---- the judge --------------------------------------------------------------------------------------------------- */
Test(observed, a_curve_is_linear_between_its_points)
{
    struct curve_line l = {0};
    curve_line_add(&l, 0, 1);
    curve_line_add(&l, 4, 0.5);
    curve_line_add(&l, 8, 0);
    cr_assert_float_eq(curve_line_at(&l, -1), 1, 1e-12);
    cr_assert_float_eq(curve_line_at(&l, 0), 1, 1e-12);
    cr_assert_float_eq(curve_line_at(&l, 1), 0.875, 1e-12);
    cr_assert_float_eq(curve_line_at(&l, 4), 0.5, 1e-12);
    cr_assert_float_eq(curve_line_at(&l, 6), 0.25, 1e-12);
    cr_assert_float_eq(curve_line_at(&l, 100), 0, 1e-12);
    curve_line_free(&l);
}

Test(observed, the_error_is_the_mean_over_all_sizes)
{
    /* 1 2 1 2 3: cold, cold, distance 2, distance 2, cold: misses 5, 3, 3 of 5 at sizes 1, 2, 3. */
    const uint64_t ids[] = {1, 2, 1, 2, 3};
    struct mrc_lru *truth = mrc_lru_new();
    struct curve_line l = {0};
    struct curve_error e;
    cr_assert(!curve_judge(&l, truth, &e));
    mrc_lru_feed(truth, ids, 5);
    cr_assert(!curve_judge(&l, truth, &e));
    curve_line_add(&l, 1, 1);
    curve_line_add(&l, 3, 0.6);
    cr_assert(curve_judge(&l, truth, &e));
    cr_assert_float_eq(e.mean, (0 + 0.2 + 0) / 3, 1e-12);
    cr_assert_float_eq(e.max, 0.2, 1e-12);
    cr_assert_eq(e.max_at, 2);
    curve_line_free(&l);
    curve_line_add(&l, 0, 0);
    cr_assert(curve_judge(&l, truth, &e));
    cr_assert_float_eq(e.mean, (1 + 0.6 + 0.6) / 3, 1e-12);
    cr_assert_eq(e.max_at, 1);
    curve_line_free(&l);
    mrc_lru_free(truth);
}

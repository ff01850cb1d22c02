/* SPDX-License-Identifier: MIT */
/* The share of local accesses while a VM's memory follows its vCPU, on the real machine: with a perfect ranking and
 * Zipf accesses, after the n most used of N pages have moved it is H(n) / H(N), H being the sum of the Zipf weights.
 * The share is what the simulated CPU counted; the ranking is the oracle's; the judge is the formula. */
#include "sim/machine/experiment.h"
#include "sim/machine/machine.h"
#include "sim/machine/run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PAGES  2048u
#define SKEW   0.99
#define STEP   (20 * PS_PER_US)
#define WINDOW 100u /* steps that make one point of the curve */

static const char text[] =
    "machine { numa { nodes = 2 dram = \"1GiB\" } hypervisor { cores = 2 } }\n"
    "vm \"kv\" { generator = \"zipf\" zipf = \"99%%\" footprint = \"8MiB\" memory = \"64MiB\" backing = \"4KiB\"\n"
    "          init = true think = 20 accesses = 100000000 move_at = \"20ms\" move_to_node = 1 }\n"
    "policy \"numa-hot-first\" { %s rate = \"200MB/s\" }\n";

struct rig {
    struct conf *conf;
    struct machine *m;
    struct plugin *plugin;
    struct vm *vm;
};

static void start(struct rig *r, const char *order)
{
    struct diag d = {0};
    struct machine_conf mc;
    struct vm_conf vc;
    struct plugin_values values;
    const char *build = getenv("BUILD");
    char *all = xasprintf(text, order), *path = xasprintf("%s/policies", build ? build : ".");
    r->conf = conf_parse(all, strlen(all), "test", ".", &experiment_schema, &d);
    cr_assert(r->conf, "%s", d.text);
    const struct conf_section *root = conf_root(r->conf), *policy = conf_find(root, "policy", NULL);
    cr_assert_eq(machine_bind(conf_find(root, "machine", NULL), &mc, &d), 0, "%s", d.text);
    r->m = machine_new(&mc, &d);
    cr_assert(r->m, "%s", d.text);
    struct hv *hv = &r->m->hv;
    struct plugin_host_conf host = {.n_nodes = 2, .n_cpus = hv->n_cpus, .n_controllers = 4, .seed = 1};
    hv->plugins = plugin_host_new(&host, &hv_plugin_ops, hv);
    hv->golden_counts = true;
    r->plugin = plugin_open("numa-hot-first", path, "test", &d);
    cr_assert(r->plugin, "%s", d.text);
    cr_assert_eq(plugin_bind(r->plugin, policy, NULL, &values, &d), 0, "%s", d.text);
    cr_assert_eq(plugin_host_add(hv->plugins, r->plugin, &values, "test", &d), 0, "%s", d.text);
    cr_assert_eq(conf_bind(conf_find(root, "vm", NULL), vm_keys, &vc, &d), 0, "%s", d.text);
    r->vm = guest_new(hv, "kv", &vc, "test", &d);
    cr_assert(r->vm, "%s", d.text);
    r->vm->n_page_accesses = r->vm->top_gpa >> PAGE_SHIFT;
    r->vm->page_accesses = xcalloc(r->vm->n_page_accesses, sizeof(uint64_t));
    hv_vm_start(r->vm);
    free(all);
    free(path);
}

static void stop(struct rig *r)
{
    plugin_host_free(r->m->hv.plugins);
    machine_free(r->m);
    plugin_close(r->plugin);
    conf_free(r->conf);
}

/* Largest distance of a window's local share from the formula; *moved is how many pages moved in all. */
static double worst_distance(const char *order, uint64_t *moved)
{
    static double share[PAGES + 1];
    struct rig r;
    struct diag d = {0};
    double worst = 0, expected = 0;
    uint64_t all = 0, local = 0, last_all = 0, last_local = 0, last_moves = 0;
    for (uint32_t n = 0; n < PAGES; n++)
        share[n + 1] = share[n] + pow(n + 1, -SKEW);
    start(&r, order);
    const struct hv *hv = &r.m->hv;
    ps_t t = 20 * PS_PER_MS;
    cr_assert_eq(hv_run(&r.m->hv, t, &d), 0, "%s", d.text);
    last_all = r.vm->stats.accesses;
    last_local = r.vm->stats.local_accesses;
    for (uint32_t step = 1; hv->stats.moves < PAGES && step < 200 * WINDOW; step++) {
        cr_assert_eq(hv_run(&r.m->hv, t += STEP, &d), 0, "%s", d.text);
        uint64_t accesses = r.vm->stats.accesses - last_all, moves = hv->stats.moves;
        expected += (double)accesses * (share[last_moves] + share[moves < PAGES ? moves : PAGES]) / 2 / share[PAGES];
        all += accesses;
        local += r.vm->stats.local_accesses - last_local;
        last_all = r.vm->stats.accesses;
        last_local = r.vm->stats.local_accesses;
        last_moves = moves < PAGES ? moves : PAGES;
        if (step % WINDOW)
            continue;
        worst = fmax(worst, fabs(expected - (double)local) / (double)all);
        expected = 0;
        all = local = 0;
    }
    *moved = hv->stats.moves;
    stop(&r);
    return worst;
}

Test(numa_curve, true_counts_follow_the_analytic_curve_within_one_point)
{
    uint64_t moved;
    double worst = worst_distance("order = oracle", &moved);
    cr_assert(moved >= PAGES, "%llu pages moved", (unsigned long long)moved);
    cr_assert(worst < 0.01, "%f", worst);
}

/* The judge can say no. */
Test(numa_curve, address_order_is_far_off)
{
    uint64_t moved;
    double worst = worst_distance("order = sequential", &moved);
    cr_assert(worst > 0.4, "%f", worst);
}

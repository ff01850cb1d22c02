/* SPDX-License-Identifier: MIT */
/* Whole runs on the real machine with real policies, judged by oracles: promises of persistence at every crash point,
 * exits counted, the observed curve against the true one, page moves, determinism. Policies are the .so files that were
 * built. */
#include "sim/machine/run.h"

#include "sim/machine/machine.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static char *policies(void)
{
    const char *build = getenv("BUILD");
    return xasprintf("policy_path = \"%s/policies\"\n", build ? build : ".");
}

/* Runs the text; NULL and the errors in d if it fails. */
static struct result *run(const char *text, const char *set, struct diag *d)
{
    char *where = policies(), *all = xasprintf("%s%s", where, text);
    struct conf *conf = conf_parse(all, strlen(all), "test", ".", &experiment_schema, d);
    struct result *r = result_new();
    cr_assert(conf, "%s", d->text);
    char *copy = xstrdup(set), *save = NULL;
    for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
        char *eq = strchr(s, '=');
        *eq = 0;
        cr_assert_eq(conf_set(conf, s, eq + 1, "test", d), 0, "%s", d->text);
    }
    if (run_point(conf, r, d)) {
        result_free(r);
        r = NULL;
    }
    conf_free(conf);
    free(copy);
    free(all);
    free(where);
    return r;
}

static uint64_t value(const struct result *r, const char *key)
{
    uint64_t v = 0;
    cr_assert(result_get(r, key, &v), "no key %s", key);
    return v;
}

static uint64_t run_value(const char *text, const char *set, const char *key)
{
    struct diag d = {0};
    struct result *r = run(text, set, &d);
    cr_assert(r, "%s: %s", set, d.text);
    uint64_t v = value(r, key);
    result_free(r);
    return v;
}

/* Two vCPUs append records of three lines over two controllers. */
static const char log_append[] =
    "check = true\n"
    "machine { imc { controllers = 2 channels = 1 pmem_interleave = \"256B\" wpq_entries = 4 } pmem { kind = "
    "\"optane\" size = \"1GiB\" }"
    " numa { nodes = 1 dram = \"1GiB\" } hypervisor { cores = 2 } cache { llc_slices = 2 } }\n"
    "vm \"log\" { generator = \"log-append\" pmem = \"4MiB\" append = \"192B\" accesses = 6 vcpus = 2 memory = "
    "\"16MiB\" }\n"
    "policy \"vfha\" { }\n";

Test(pmem, every_crash_keeps_every_promise)
{
    uint64_t events = run_value(log_append, "", "pmem_events");
    cr_assert(events > 50, "only %lu events", (unsigned long)events);
    static const char *const outcomes[] = {"adr-fails", "adr", "eadr"};
    for (size_t o = 0; o < 3; o++)
        for (int combine = 0; combine < 2; combine++)
            for (uint64_t k = 1; k <= events; k++) {
                struct diag d = {0};
                char *set = xasprintf("crash_at=%lu machine.hypervisor.power_fail=%s policy.vfha.combine=%s",
                                      (unsigned long)k, outcomes[o], combine ? "true" : "false");
                struct result *r = run(log_append, set, &d);
                cr_assert(r, "%s: %s", set, d.text);
                result_free(r);
                free(set);
            }
}

/* The judge can say no: the queue is slow and deep, hints are described, but the policy lets the stores pass. */
Test(pmem, a_hint_that_drains_nothing_is_caught)
{
    struct machine_conf mc;
    struct diag d = {0};
    const char *conf_text = "machine { imc { controllers = 1 channels = 1 wpq_transfer = \"5us\" } "
                            "pmem { kind = \"optane\" size = \"1GiB\" } "
                            "numa { dram = \"1GiB\" } hypervisor { cores = 1 } }";
    struct conf *conf = conf_parse(conf_text, strlen(conf_text), "test", ".", &experiment_schema, &d);
    cr_assert(conf && machine_bind(conf_find(conf_root(conf), "machine", NULL), &mc, &d) == 0, "%s", d.text);
    struct machine *m = machine_new(&mc, &d);
    cr_assert(m, "%s", d.text);
    m->hv.check = true;
    const struct vm_conf v = {.memory_bytes = 16 * MIB,
                              .pmem_bytes = 4 * MIB,
                              .vcpus = 1,
                              .guest_levels = 4,
                              .trace = "",
                              .generator = "log-append",
                              .program = "",
                              .format = "",
                              .accesses = 50,
                              .footprint_bytes = MIB,
                              .append_bytes = 1024};
    struct vm *vm = guest_new(&m->hv, "log", &v, "test", &d);
    cr_assert(vm, "%s", d.text);
    hv_vm_start(vm);
    cr_assert_eq(hv_hint_mode(&m->hv, 0, vm, 0, QUIRE_HINT_OPEN), 0);
    cr_expect_eq(hv_run(&m->hv, 0, &d), -1);
    cr_expect(strstr(d.text, "golden model G3"), "found: %s", d.text);
    machine_free(m);
    conf_free(conf);
}

Test(pmem, exits_equal_flushes_with_hints_and_none_without)
{
    cr_expect_eq(run_value(log_append, "", "hypervisor.hint_faults"), 12);
    cr_expect_eq(run_value(log_append, "", "vm.log.flushes"), 12);
    cr_expect_eq(run_value(log_append, "machine.imc.flush_hints=false", "hypervisor.hint_faults"), 0);
    cr_expect_eq(
        run_value(log_append, "machine.imc.flush_hints=false policy.vfha.design=always-trap", "hypervisor.hint_faults"),
        12);
    cr_expect_eq(run_value(log_append, "policy.vfha.design=none", "hypervisor.hint_faults"), 0);
    cr_expect_eq(run_value(log_append, "policy.vfha.design=hypercall", "hypervisor.hypercalls"), 12);
}

/* Each uncombined trap writes every controller of S(v) once and no other: two nodes, the region on node 1. */
Test(pmem, a_trap_writes_exactly_the_backing_controllers)
{
    struct diag d = {0};
    struct result *r = run(log_append, "machine.numa.nodes=2 vm.log.pmem_node=1", &d);
    cr_assert(r, "%s", d.text);
    cr_expect_eq(value(r, "node0.imc0.hint_writes"), 0);
    cr_expect_eq(value(r, "node0.imc1.hint_writes"), 0);
    cr_expect_eq(value(r, "node1.imc0.hint_writes"), 12);
    cr_expect_eq(value(r, "node1.imc1.hint_writes"), 12);
    result_free(r);
}

static const char curve[] =
    "true_curve = true\n"
    "machine { numa { dram = \"1GiB\" } hypervisor { cores = 1 } cache { llc_slices = 2 } }\n"
    "vm \"a\" { generator = \"zipf\" footprint = \"512KiB\" accesses = 20000 memory = \"8MiB\" backing = \"4KiB\" }\n"
    "policy \"mrc\" { pages = 0 delay = \"0us\" }\n";

/* Points of a series in the result's series.csv, by label. */
static double point(const char *csv, const char *series, const char *label, double x)
{
    char *key = xasprintf("%s,%s,pages,%.0f,", series, label, x);
    const char *at = strstr(csv, key);
    free(key);
    return at ? atof(strchr(strstr(at, ",pages,") + 7, ',') + 1) : -1;
}

/* All pages traced, no untraced window: the observed miss counts are Mattson's, integer for integer, at every group
 * edge. */
Test(mrc, observed_equals_true_integer_for_integer)
{
    static const char *const groups[] = {"policy.mrc.group_pages=1 policy.mrc.group_growth=0%",
                                         "policy.mrc.group_pages=7",
                                         "policy.mrc.group_pages=1 policy.mrc.group_growth=50%"};
    for (size_t g = 0; g < N_ELEMS(groups); g++) {
        struct diag d = {0};
        struct result *r = run(curve, groups[g], &d);
        cr_assert(r, "%s", d.text);
        char dir[] = "/tmp/quire-oracle-XXXXXX";
        cr_assert(mkdtemp(dir));
        struct run_inputs in = {0};
        const struct manifest m = {
            .run_id = "0123456789abcdef0123456789abcdef", .build_id = "t", .config = "", .inputs = &in};
        cr_assert_eq(result_write(r, &m, dir, &d), 0, "%s", d.text);
        char *path = xasprintf("%s/%s/series.csv", dir, m.run_id), *csv = xcalloc(1, 1 << 22);
        FILE *f = fopen(path, "r");
        cr_assert(f && fread(csv, 1, (1 << 22) - 1, f) > 0);
        fclose(f);
        uint64_t all = value(r, "vm.a.accesses"), distinct = value(r, "vm.a.distinct_pages");
        uint32_t compared = 0;
        for (uint64_t size = 1; size < distinct; size++) {
            double misses = point(csv, "mrc_observed_misses", "a observed", (double)size);
            if (misses < 0)
                continue;
            double ratio = point(csv, "miss_ratio", "a true", (double)size);
            cr_assert_eq((uint64_t)(ratio * (double)all + 0.5), (uint64_t)misses, "%s: at %lu pages", groups[g],
                         (unsigned long)size);
            compared++;
        }
        cr_expect(compared > 5, "%u sizes", compared);
        cr_expect_eq(value(r, "hypervisor.trace_faults") - value(r, "policy.mrc.walker_faults"),
                     all - distinct + distinct);
        char *rm = xasprintf("rm -rf %s", dir);
        cr_expect_eq(system(rm), 0);
        free(rm);
        free(path);
        free(csv);
        result_free(r);
    }
}

static const char moves[] =
    "check = true\n"
    "machine { numa { nodes = 2 dram = \"1GiB\" } hypervisor { cores = 2 } cache { llc_slices = 2 } }\n"
    "vm \"kv\" { generator = \"zipf\" footprint = \"4MiB\" init = true accesses = 3000000 memory = \"64MiB\" backing = "
    "\"4KiB\" move_at = \"1ms\""
    " move_to_node = 1 writes = \"50%\" }\n"
    "policy \"numa-hot-first\" { period = \"50us\" scans = 4 settle = \"50us\" }\n";

/* check = true verifies at the end that every page has one frame, its own, and that the node totals conserve. */
Test(numa, every_order_moves_all_pages_and_keeps_one_frame_each)
{
    static const char *const orders[] = {"hot", "sequential", "random", "oracle"};
    for (size_t i = 0; i < 4; i++) {
        struct diag d = {0};
        char *set = xasprintf("policy.numa-hot-first.order=%s", orders[i]);
        struct result *r = run(moves, set, &d);
        cr_assert(r, "%s: %s", set, d.text);
        cr_expect_eq(value(r, "hypervisor.moves"), value(r, "policy.numa-hot-first.moves"));
        cr_expect(value(r, "hypervisor.moves") >= 700, "%s moved %lu", orders[i],
                  (unsigned long)value(r, "hypervisor.moves"));
        cr_expect_eq(value(r, "hypervisor.moved_bytes"), value(r, "hypervisor.moves") * PAGE_BYTES);
        result_free(r);
        free(set);
    }
    cr_expect_eq(run_value(moves, "policy.numa-hot-first.order=none", "hypervisor.moves"), 0);
}

static char *printed(const char *text, const char *set)
{
    struct diag d = {0};
    struct result *r = run(text, set, &d);
    char *out = NULL;
    size_t len;
    cr_assert(r, "%s", d.text);
    FILE *f = open_memstream(&out, &len);
    result_print(r, f);
    fclose(f);
    result_free(r);
    return out;
}

Test(run, twice_gives_the_same_bytes)
{
    static const char *const texts[] = {log_append, curve, moves};
    for (size_t i = 0; i < 3; i++) {
        char *a = printed(texts[i], ""), *b = printed(texts[i], "");
        cr_expect_str_eq(a, b);
        free(a);
        free(b);
    }
    char *a = printed(curve, "seed=1"), *b = printed(curve, "seed=2");
    cr_expect_str_neq(a, b, "the seed matters");
    free(a);
    free(b);
}

Test(run, bad_input_is_one_line)
{
    static const char *const cases[][2] = {
        {"vm \"a\" { generator = \"zpf\" }", "did you mean 'zipf'?), expected one of stream"},
        {"vm \"a\" { }", "found none of trace, generator and program, expected one"},
        {"vm \"a\" { trace = \"/nonexistent\" }", "/nonexistent"},
        {"vm \"a\" { generator = \"zipf\" node = 9 }", "the machine has 1"},
        {"vm \"a\" { generator = \"random\" memory = \"4MiB\" footprint = \"1GiB\" }", "has used all"},
        {"vm \"a\" { generator = \"log-append\" pmem = \"1GiB\" }", "no persistent memory"},
        {"policy \"nosuch\" { }\nvm \"a\" { generator = \"zipf\" }", "nosuch.so"},
        {"seed = 1", "no vm section"},
    };
    for (size_t i = 0; i < N_ELEMS(cases); i++) {
        struct diag d = {0};
        cr_expect_null(run(cases[i][0], "", &d), "%s", cases[i][0]);
        cr_expect(strstr(d.text, cases[i][1]), "%s: found '%s'", cases[i][0], d.text);
        cr_expect(!strchr(d.text, '\n'), "%s: %s", cases[i][0], d.text);
    }
}

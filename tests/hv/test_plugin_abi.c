/* SPDX-License-Identifier: MIT */
/* The plugin binary that was kept from the first release loads, behaves and is still the same file. */
#include "sim/hv/plugin_kit.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct plugin *open_first(void)
{
    const char *srcdir = getenv("SRCDIR");
    char *path = xasprintf("%s/tests/abi/first.so", srcdir ? srcdir : ".");
    struct diag d = {0};
    struct plugin *p = plugin_open(path, "", "test", &d);
    cr_assert_not_null(p, "%s", d.text);
    free(path);
    return p;
}

Test(plugin_abi, the_first_plugin_still_loads)
{
    struct plugin *p = open_first();
    cr_assert_str_eq(p->digest, "120f284abcd53f82bba3db6f0b98c676", "it must never be rebuilt");
    cr_assert_str_eq(p->policy.name, "first");
    cr_assert_eq(p->policy.abi_major, 1);
    cr_assert_eq(p->policy.abi_minor, 0);
    cr_assert_eq(p->n_options, 2);
    cr_assert_str_eq(p->option[0].name, "step");
    plugin_close(p);
}

Test(plugin_abi, the_first_plugin_still_behaves)
{
    struct plugin *p = open_first();
    struct kit_line line[KIT_MAX_LINES];
    uint32_t n = kit_check(p, line);
    cr_assert_geq(n, 9);
    for (uint32_t i = 0; i < n; i++)
        cr_assert(line[i].has_passed, "%s: %s", line[i].check, line[i].detail);
    plugin_close(p);
}

Test(plugin_abi, the_first_plugin_still_does_something_with_every_service)
{
    struct plugin *p = open_first();
    struct diag d = {0};
    struct plugin_values v;
    struct kit_run run;
    cr_assert_eq(plugin_bind(p, NULL, NULL, &v, &d), 0);
    kit_run(p, &v, 0, 0, &run);
    cr_assert(run.n_faults > 500 && run.n_moves > 50 && run.n_hint_writes > 500 && run.n_points == 1,
              "%lu faults, %lu moves, %lu hint writes, %lu points", run.n_faults, run.n_moves, run.n_hint_writes,
              run.n_points);
    v.value[1] = 1; /* hypercall */
    kit_run(p, &v, 0, 0, &run);
    cr_assert_gt(run.n_hint_writes, 500);
    plugin_close(p);
}

/* SPDX-License-Identifier: MIT */
/* quire compare: do two sets of results say the same? */
#include "sim/machine/compare.h"

#include "sim/base/types.h"
#include "sim/cli/args.h"
#include "sim/cli/commands.h"

#include <jansson.h>
#include <stdio.h>

static void print_table(const struct comparison *c)
{
    printf("%-6s %10s %10s %10s %10s\n", "class", "same", "differ", "missing", "added");
    for (int i = 0; i < COMPARE_CLASSES; i++) {
        const struct compare_count *n = &c->n[i];
        if (n->same + n->differ + n->missing + n->added)
            printf("%-6s %10llu %10llu %10llu %10llu\n", compare_class_names[i], (unsigned long long)n->same,
                   (unsigned long long)n->differ, (unsigned long long)n->missing, (unsigned long long)n->added);
    }
}

static void print_json(const struct comparison *c)
{
    json_t *root = json_object();
    for (int i = 0; i < COMPARE_CLASSES; i++) {
        const struct compare_count *n = &c->n[i];
        json_object_set_new(root, compare_class_names[i],
                            json_pack("{s:I, s:I, s:I, s:I}", "same", (json_int_t)n->same, "differ",
                                      (json_int_t)n->differ, "missing", (json_int_t)n->missing, "added",
                                      (json_int_t)n->added));
    }
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

int cmd_compare(int argc, char **argv)
{
    struct comparison c = {.max_shown = 10};
    uint64_t shown = 10;
    bool json = false;
    const struct arg table[] = {
        {"tolerance", 't', "F", ARG_REAL, &c.tolerance,
         "relative difference that ratios, curves and host speed may have [0]"},
        {"show", 0, "N", ARG_UINT, &shown, "differences listed for each table [10]"},
        {"json", 0, NULL, ARG_FLAG, &json, "print the counts as JSON, the differences on standard error"},
        {0},
    };
    const struct args about = {
        "quire compare A B [OPTION]...",
        "Compares the results B with the results A: two runs, two folders of quire run --out, or two files of\n"
        "quire bench --json. Integers and words must be the same; ratios and curves, and host speeds that got\n"
        "worse, may differ by the tolerance.",
        table,
        "Example:\n"
        "  quire run tests/e2e/same.conf --out out/same && quire compare results/same out/same",
        "0 the same, 1 something differs or is missing from B, 2 bad usage or input, 3 fault in quire itself."};
    const char *word[2];
    struct diag d = {0};
    int n = args_parse(&about, argc, argv, word, 2, &d);
    if (n == ARGS_HELP)
        return EXIT_DONE;
    if (n >= 0 && n != 2)
        n = fail(&d, "compare: found %d result%s, expected two: A and B", n, n == 1 ? "" : "s");
    if (n == 2 && !(c.tolerance >= 0 && c.tolerance < 1))
        n = fail(&d, "--tolerance: expected a number from 0 to below 1");
    if (n != 2)
        return args_complain(&d);
    c.to = json ? stderr : stdout;
    c.max_shown = shown > UINT32_MAX ? UINT32_MAX : (uint32_t)shown;
    if (compare_results(word[0], word[1], &c, &d) != 0)
        return args_complain(&d);
    if (json)
        print_json(&c);
    else
        print_table(&c);
    return compare_regressions(&c) ? EXIT_JUDGED_FALSE : EXIT_DONE;
}

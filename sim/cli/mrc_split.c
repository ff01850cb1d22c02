/* SPDX-License-Identifier: MIT */
/* quire mrc split: memory for several machines from their curves. */
#include "sim/cli/args.h"
#include "sim/cli/mrc.h"
#include "sim/mrc/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CURVES 64

static int method_named(const char *name, enum mrc_split_method *method, struct diag *d)
{
    static const char *const names[] = {
        [MRC_SPLIT_GREEDY] = "greedy", [MRC_SPLIT_HULL] = "hull", [MRC_SPLIT_OPTIMUM] = "optimum"};
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            *method = (enum mrc_split_method)i;
            return 0;
        }
    }
    return fail(d, "--method: found '%s', expected greedy, hull or optimum", name);
}

static void print_rows(const char *const *path, const struct mrc_curve *c, uint32_t n, uint64_t grain,
                       const uint64_t *grains)
{
    unsigned long long units = 0, misses = 0, accesses = 0;
    puts("curve,units,misses,accesses,miss_ratio");
    for (uint32_t i = 0; i < n; i++) {
        unsigned long long u = grains[i] * grain, m = mrc_curve_misses_at(&c[i], u), a = c[i].accesses;
        printf("%s,%llu,%llu,%llu,%.9f\n", path[i], u, m, a, a ? (double)m / (double)a : 0);
        units += u;
        misses += m;
        accesses += a;
    }
    printf("all,%llu,%llu,%llu,%.9f\n", units, misses, accesses, accesses ? (double)misses / (double)accesses : 0);
}

static int run(const char *const *path, int n, uint64_t total, uint64_t grain, const char *name, struct diag *d)
{
    struct mrc_curve curve[MAX_CURVES] = {0};
    uint64_t grains[MAX_CURVES];
    enum mrc_split_method method = MRC_SPLIT_OPTIMUM;
    if (total == 0 || grain == 0 || grain > total)
        return fail(d, "--total and --grain: found %llu and %llu units, expected a total of at least one grain",
                    (unsigned long long)total, (unsigned long long)grain);
    int rc = method_named(name, &method, d), read = 0;
    while (rc == 0 && read < n && (rc = mrc_curve_read(path[read], &curve[read], d)) == 0)
        read++;
    if (rc == 0)
        rc = mrc_split(curve, (uint32_t)n, grain, total / grain, method, grains, d);
    if (rc == 0)
        print_rows(path, curve, (uint32_t)n, grain, grains);
    if (rc == 0 && fflush(stdout) != 0)
        rc = fail(d, "standard output cannot be written");
    for (int i = 0; i < read; i++)
        mrc_curve_free(&curve[i]);
    return rc;
}

int cmd_mrc_split(int argc, char **argv)
{
    uint64_t total = 0, grain = 1;
    const char *method = "optimum";
    const struct arg table[] = {
        {"total", 't', "N", ARG_UINT, &total, "units to give out"},
        {"grain", 'g', "N", ARG_UINT, &grain, "units that are given at once (default 1)"},
        {"method", 'm', "M", ARG_STRING, &method, "greedy, hull or optimum (default optimum)"},
        {0},
    };
    const struct args args = {"quire mrc split CURVE.csv... --total N [option]...",
                              "Splits memory among machines whose curves quire mrc wrote.", table,
                              "greedy gives each grain to whoever gains most from it; hull does so on the curves'\n"
                              "convex hulls; optimum is exact, for up to 16384 grains. Example:\n"
                              "  quire mrc traces/redis-accesses.qtr -o redis.csv\n"
                              "  quire mrc traces/python-pages.qtr -o python.csv\n"
                              "  quire mrc split redis.csv python.csv --total 400",
                              NULL};
    struct diag d = {0};
    const char *path[MAX_CURVES];
    int n = args_parse(&args, argc, argv, path, MAX_CURVES, &d);
    if (n == ARGS_HELP)
        return EXIT_DONE;
    if (n == 0)
        fail(&d, "no curve was named; usage: %s", args.usage);
    return n > 0 && run(path, n, total, grain, method, &d) == 0 ? EXIT_DONE : args_complain(&d);
}

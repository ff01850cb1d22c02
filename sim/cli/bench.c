/* SPDX-License-Identifier: MIT */
/* quire bench: host speed of the simulator. */
#include "sim/base/bench.h"

#include "sim/cli/args.h"
#include "sim/cli/bench_cpu.h"
#include "sim/cli/commands.h"
#include "sim/base/types.h"
#include "sim/imc/bench.h"
#include "sim/machine/bench.h"
#include "sim/mrc/bench.h"
#include "sim/nvdimm/bench.h"
#include "sim/trace/bench.h"

#include <jansson.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(struct bench *b);
} benches[] = {
    {"replay", bench_replay}, {"mrc", bench_mrc}, {"trace", bench_trace},   {"imc", bench_imc},
    {"nvdimm", bench_nvdimm}, {"cpu", bench_cpu}, {"timing", bench_timing},
};

static void print_table(const struct bench *b)
{
    for (uint32_t i = 0; i < b->n_rows; i++)
        printf("%-28s %10.*f %-14s %s\n", b->rows[i].name, b->rows[i].value < 0.1 ? 5 : 2, b->rows[i].value,
               b->rows[i].unit, b->rows[i].note);
}

static void print_json(const struct bench *b)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < b->n_rows; i++)
        json_array_append_new(rows, json_pack("{s:s, s:f, s:s, s:s}", "name", b->rows[i].name, "value",
                                              b->rows[i].value, "unit", b->rows[i].unit, "note", b->rows[i].note));
    json_dumpf(rows, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(rows);
}

static int wanted(const char *name, const char **word, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(word[i], name) == 0)
            return 1;
    return n == 0;
}

int cmd_bench(int argc, char **argv)
{
    bool json = false;
    double scale = 1;
    const struct arg table[] = {
        {"scale", 0, "X", ARG_REAL, &scale, "length of the runs; below 1 is faster and noisier [1]"},
        {"json", 0, NULL, ARG_FLAG, &json, "print JSON"},
        {0},
    };
    const struct args a = {
        "quire bench [replay|mrc|trace|imc|nvdimm|cpu|timing]... [OPTION]...",
        "Measures how fast the simulator runs on this host, in user time of one thread: all of it, or the\n"
        "parts named. Numbers of `--json` can be held against older ones (quire compare).",
        table,
        "Examples:\n"
        "  quire bench mrc --scale 0.1\n"
        "  quire bench trace --scale 0.1 --json > bench.json",
        NULL};
    const char *word[8];
    struct diag d = {0};
    int n = args_parse(&a, argc, argv, word, 8, &d);
    if (n == ARGS_HELP)
        return EXIT_DONE;
    for (int i = 0; i < n; i++) {
        size_t k = 0;
        while (k < N_ELEMS(benches) && strcmp(benches[k].name, word[i]) != 0)
            k++;
        if (k == N_ELEMS(benches))
            n = fail(&d, "bench: found '%s', expected replay, mrc, trace, imc, nvdimm, cpu or timing", word[i]);
    }
    if (n < 0 || !(scale > 0)) {
        if (n >= 0)
            fail(&d, "--scale: expected a number above 0");
        return args_complain(&d);
    }
    struct bench b = {.scale = scale};
    int bad = 0;
    for (size_t i = 0; i < N_ELEMS(benches); i++)
        if (wanted(benches[i].name, word, n))
            bad |= benches[i].run(&b);
    if (json)
        print_json(&b);
    else
        print_table(&b);
    bench_free(&b);
    return bad ? EXIT_FAULT : EXIT_DONE;
}

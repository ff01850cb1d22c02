/* SPDX-License-Identifier: MIT */
/* quire run: an experiment file becomes runs, tables and verdicts. */
#include "sim/base/outfile.h"
#include "sim/base/types.h"
#include "sim/cli/args.h"
#include "sim/cli/commands.h"
#include "sim/cli/point.h"
#include "sim/machine/expect.h"
#include "sim/machine/run.h"
#include "sim/machine/sweep.h"
#include "sim/trace/trace.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run_args {
    const char *out, *point, *base;
    struct sets set, checkpoint;
    uint64_t jobs;
    bool check_config, help_keys;
};

static void on_progress(void *ctx, const struct sweep_progress *p)
{
    meter_show(ctx, p->n_done, p->n_points);
}

static int check_config(const struct experiment *e)
{
    for (uint32_t i = 0; i < e->n_studies; i++) {
        const struct study *s = &e->study[i];
        printf("%s%s%u points\n", s->name, s->name[0] ? ": " : "", s->n_points);
        for (uint32_t k = 0; k < s->n_points; k++) {
            char label[512];
            point_label(s, &s->point[k], label, sizeof label);
            printf("  %s  %s\n", s->point[k].id, label);
        }
    }
    return EXIT_DONE;
}

/* The table of each study and all verdicts. */
static int judge(const struct experiment *e, const char *out, struct verdicts *v, struct diag *d)
{
    for (uint32_t i = 0; i < e->n_studies; i++) {
        const struct study *s = &e->study[i];
        struct grid *g = grid_load(s, out, d);
        char *path = xasprintf("%s/%s%sresults.csv", out, s->name, s->name[0] ? "-" : "");
        int bad = !g || grid_write(g, path, d);
        if (!bad)
            expect_judge(s, g, out, v);
        free(path);
        grid_free(g);
        if (bad)
            return -1;
    }
    char *path = xasprintf("%s/verdict.json", out);
    int bad = verdicts_write(v, e->claim, path, d);
    free(path);
    return bad;
}

static void print_verdicts(const struct verdicts *v)
{
    for (uint32_t i = 0; i < v->n; i++) {
        const struct verdict *x = &v->item[i];
        printf("%-8s  %s%s%s: %s\n", verdict_words[x->word], x->study, x->study[0] ? ": " : "", x->what, x->detail);
    }
}

static int finish(const struct experiment *e, const char *out, const struct sweep_progress *p, struct diag *d)
{
    struct verdicts v = {0};
    if (judge(e, out, &v, d)) {
        verdicts_free(&v);
        return args_complain(d);
    }
    print_verdicts(&v);
    printf("%u runs in %s (%u were there already); %u of %u expectations hold\n", p->n_points, out, p->n_skipped,
           v.n - v.n_false - v.n_unjudged, v.n);
    int code = v.n_false || v.n_unjudged ? EXIT_JUDGED_FALSE : EXIT_DONE;
    verdicts_free(&v);
    return code;
}

static int run_all(const struct experiment *e, const struct run_args *a, struct diag *d)
{
    struct meter meter = {.what = "running"};
    struct sweep_progress p = {0};
    const struct sweep_options opt = {.out = a->out,
                                      .jobs = (uint32_t)a->jobs,
                                      .only = a->point[0] ? a->point : NULL,
                                      .progress = on_progress,
                                      .ctx = &meter};
    int end = sweep_run(e, &opt, &p, d);
    meter_end(&meter);
    if (end >= SWEEP_SIGNAL) {
        fprintf(stderr, "quire: stopped; the same command goes on where it was\n");
        signal(end - SWEEP_SIGNAL, SIG_DFL);
        raise(end - SWEEP_SIGNAL);
    }
    if (end != SWEEP_DONE) {
        args_complain(d);
        return end;
    }
    if (opt.only && !p.n_points) {
        fail(d, "--point: found %s, which is no run of this experiment (quire run --check-config lists them)",
             opt.only);
        return args_complain(d);
    }
    return opt.only ? EXIT_DONE : finish(e, a->out, &p, d);
}

static struct conf *find_point(const struct experiment *e, const char *id, struct diag *d)
{
    for (uint32_t i = 0; i < e->n_studies; i++)
        for (uint32_t k = 0; k < e->study[i].n_points; k++)
            if (strcmp(e->study[i].point[k].id, id) == 0)
                return study_point_conf(&e->study[i], &e->study[i].point[k], d);
    fail(d, "--checkpoint: found --point '%s', expected a run of this experiment (quire run --check-config lists them)",
         id);
    return NULL;
}

/* One point, with checkpoints on the way. */
static int run_saving(const struct experiment *e, const struct run_args *a, struct diag *d)
{
    struct run_checkpoint at[RUN_MAX_CHECKPOINTS];
    struct run_checkpoints save;
    if (point_checkpoints(&a->checkpoint, false, at, &save, d))
        return args_complain(d);
    struct conf *conf = find_point(e, a->point, d);
    struct result *r = result_new();
    int bad = !conf || out_mkdirs(a->out, d) || run_point_saving(conf, &save, r, d) || point_write(conf, r, a->out, d);
    result_free(r);
    conf_free(conf);
    return bad ? args_complain(d) : EXIT_DONE;
}

/* A natural mistake. */
static bool is_trace(const char *path)
{
    size_t n = strlen(path);
    const struct trace_options opt = {0};
    struct diag ignored = {0};
    struct trace_reader *r = n > 5 && strcmp(path + n - 5, ".conf") == 0 ? NULL : trace_open(path, &opt, &ignored);
    trace_close(r);
    return r != NULL;
}

int cmd_run(int argc, char **argv)
{
    struct run_args a = {.out = "", .point = "", .base = "", .jobs = 1};
    const char *engine = "local";
    const struct arg table[] = {
        {"out", 'o', "DIR", ARG_STRING, &a.out, "where results go [out/NAME of the file]"},
        {"jobs", 'j', "N", ARG_UINT, &a.jobs, "points run at the same time [1]"},
        {"set", 0, "KEY=VALUE", ARG_SETS, &a.set, "overrides a key; may be given many times"},
        {"point", 0, "ID", ARG_STRING, &a.point, "run only the point of that run id"},
        {"checkpoint", 0, "TIME:FILE", ARG_SETS, &a.checkpoint,
         "with --point: write its whole state then, for quire resume; may be given many times"},
        {"base", 0, "DIR", ARG_STRING, &a.base, "what file names in the experiment are relative to [its own folder]"},
        {"check-config", 0, NULL, ARG_FLAG, &a.check_config, "find what is wrong, list the points, run nothing"},
        {"engine", 0, "local", ARG_STRING, &engine, "where points run: on this machine [local]"},
        {"keys", 0, NULL, ARG_FLAG, &a.help_keys, "print every key of an experiment file with its unit and default"},
        {0},
    };
    const struct args about = {
        "quire run EXPERIMENT.conf [OPTION]...",
        "Runs every point of an experiment that has no result yet, then judges its expectations.\n"
        "docs/experiments.md is the language of the file.",
        table,
        "Examples:\n"
        "  quire run experiments/quickstart.conf --out out/quickstart -j2\n"
        "  quire run experiments/hold-up.conf --set seed=2\n"
        "  quire run experiments/hold-up.conf --check-config",
        "0 all expectations hold, 1 one does not, 2 bad usage or input, 3 fault in quire itself."};
    struct diag d = {0};
    const char *word[1];
    int n = args_parse(&about, argc, argv, word, 1, &d);
    if (n == ARGS_HELP)
        return EXIT_DONE;
    if (n >= 0 && a.help_keys) {
        char *text = conf_help(&experiment_schema, "");
        fputs(text, stdout);
        free(text);
        return EXIT_DONE;
    }
    if (n == 0)
        fail(&d, "run: found no experiment file (quire run --help)");
    if (n > 0 && (a.jobs == 0 || a.jobs > 1024))
        n = fail(&d, "--jobs: found %llu, expected 1 to 1024", (unsigned long long)a.jobs);
    if (n > 0 && strcmp(engine, "local") != 0)
        n = fail(&d, "--engine: found '%s', expected local", engine);
    if (n > 0 && a.checkpoint.n && !a.point[0])
        n = fail(&d, "--checkpoint: found no --point, expected the run to save (quire run --check-config lists them)");
    if (n > 0 && is_trace(word[0]))
        n = fail(&d, "%s: found a trace, expected an experiment file; quire replay runs a trace", word[0]);
    struct experiment *e =
        n > 0 ? experiment_load(word[0], a.base[0] ? a.base : NULL, a.set.text, a.set.n, &run_ops, &d) : NULL;
    if (!e)
        return args_complain(&d);
    char *out = NULL;
    if (!a.out[0]) {
        const char *base = strrchr(word[0], '/') ? strrchr(word[0], '/') + 1 : word[0];
        a.out = out = xasprintf("out/%.*s", (int)strcspn(base, "."), base);
    }
    int code = a.check_config ? check_config(e) : a.checkpoint.n ? run_saving(e, &a, &d) : run_all(e, &a, &d);
    experiment_free(e);
    free(out);
    return code;
}

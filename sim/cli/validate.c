/* SPDX-License-Identifier: MIT */
/* quire validate: simulated beside published. */
#include "sim/machine/validate.h"

#include "sim/cli/args.h"
#include "sim/cli/commands.h"
#include "sim/cli/find.h"
#include "sim/cli/validate_points.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const uses[] = {"predicted", "given", "calibrated"};

struct tally {
    uint32_t rows, rows_in, rows_far, rows_calibrated, figures, figures_in, unmeasured;
};

/* What is said of one figure. */
static const char *verdict(const struct validate *v, uint32_t i)
{
    if (!v->has_value[i])
        return "not measured";
    double off = validate_off(&validate_figures[i], v->value[i]);
    return off <= 1 + 1e-9 ? "ok" : off <= 2 ? "MISS" : "FAR";
}

static void count_row(const struct validate *v, const bool *selected, uint32_t row, struct tally *t)
{
    double worst = 0;
    bool calibrated = false, any = false;
    for (uint32_t i = 0; i < validate_n_figures; i++) {
        const struct figure *f = &validate_figures[i];
        if (!selected[i] || f->row != row)
            continue;
        any = true;
        calibrated |= f->use == CALIBRATED;
        double off = v->has_value[i] ? validate_off(f, v->value[i]) : 99;
        worst = off > worst ? off : worst;
        t->figures++;
        t->figures_in += off <= 1 + 1e-9;
        t->unmeasured += !v->has_value[i];
    }
    t->rows += any;
    t->rows_in += any && worst <= 1 + 1e-9;
    t->rows_far += any && worst > 2;
    t->rows_calibrated += any && calibrated;
}

static struct tally count(const struct validate *v, const bool *selected)
{
    struct tally t = {0};
    for (uint32_t row = 1; row <= 100; row++)
        count_row(v, selected, row, &t);
    return t;
}

/* The accepted interval as a reader says it. */
static void band_text(const struct figure *f, char *buf, size_t size)
{
    double up = f->high - f->published, down = f->published - f->low;
    if (up == 0 && down == 0)
        snprintf(buf, size, "exact");
    else if (isinf(f->high))
        snprintf(buf, size, ">= %.4g", f->low);
    else if (isinf(f->low))
        snprintf(buf, size, "<= %.4g", f->high);
    else if (fabs(up - down) < 1e-6 * f->published &&
             fabs(up / f->published * 1000 - round(up / f->published * 1000)) < 1e-6)
        snprintf(buf, size, "+-%.3g%%", up / f->published * 100);
    else
        snprintf(buf, size, "%.4g..%.4g", f->low, f->high);
}

static void print_table(const struct validate *v, const bool *selected, const char *machine)
{
    struct tally t = count(v, selected);
    printf("%-4s %-52s %10s %10s %-7s %8s %-14s %c %-10s %s\n", "row", "quantity", "simulated", "published", "unit",
           "error", "band", 'c', "parameter", "verdict");
    for (uint32_t i = 0; i < validate_n_figures; i++) {
        const struct figure *f = &validate_figures[i];
        char band[40], error[24] = "";
        if (!selected[i])
            continue;
        band_text(f, band, sizeof band);
        if (v->has_value[i] && f->published != 0)
            snprintf(error, sizeof error, "%+.1f%%", (v->value[i] / f->published - 1) * 100);
        printf("%-4u %-52s %10.4g %10.4g %-7s %8s %-14s %c %-10s %s\n", f->row, f->what, v->value[i], f->published,
               f->unit, error, band, f->confidence, uses[f->use], verdict(v, i));
    }
    printf("\n%s: %u of %u rows in band (%.0f %%), %u beyond twice their band; %u of %u figures in band; %u rows "
           "calibrated (%.0f %%)\n",
           machine, t.rows_in, t.rows, t.rows ? 100.0 * t.rows_in / t.rows : 0, t.rows_far, t.figures_in, t.figures,
           t.rows_calibrated, t.rows ? 100.0 * t.rows_calibrated / t.rows : 0);
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static void print_json(const struct validate *v, const bool *selected, const char *machine)
{
    json_t *rows = json_array();
    struct tally t = count(v, selected);
    for (uint32_t i = 0; i < validate_n_figures; i++) {
        const struct figure *f = &validate_figures[i];
        if (selected[i])
            json_array_append_new(
                rows, json_pack("{s:i, s:s, s:s, s:s, s:s, s:o, s:f, s:o, s:o, s:s#, s:s, s:s, s:s}", "row",
                                (int)f->row, "key", f->key, "group", f->group, "quantity", f->what, "unit", f->unit,
                                "simulated", v->has_value[i] ? number(v->value[i]) : json_null(), "published",
                                f->published, "low", number(f->low), "high", number(f->high), "confidence",
                                &f->confidence, 1, "use", uses[f->use], "verdict", verdict(v, i), "source", f->source));
    }
    json_t *top =
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:o}", "machine", machine, "rows", (int)t.rows, "rows_in_band",
                  (int)t.rows_in, "rows_beyond_twice", (int)t.rows_far, "rows_calibrated", (int)t.rows_calibrated,
                  "figures", (int)t.figures, "figures_in_band", (int)t.figures_in, "figure", rows);
    json_dumpf(top, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(top);
}

static bool names_figures(const char *word)
{
    for (uint32_t i = 0; i < validate_n_figures; i++)
        if (validate_names(&validate_figures[i], word))
            return true;
    return false;
}

/* A word that names a machine is taken for --machine. Returns how many words are left, or -1 after fail(). */
static int take_machine(const char **word, int n, const char **machine, struct diag *d)
{
    int left = 0;
    for (int k = 0; k < n; k++) {
        if (names_figures(word[k]) || !is_machine(word[k]))
            word[left++] = word[k];
        else if (*machine)
            return fail(d, "validate: found the machines %s and %s, expected one", *machine, word[k]);
        else
            *machine = word[k];
    }
    return left;
}

/* What the words and the machine's claims pick. */
static int select_figures(const char *claims, const char **word, int n, bool *selected, struct diag *d)
{
    int bad = 0;
    bool any = false;
    for (int k = 0; k < n; k++) {
        if (!names_figures(word[k]))
            bad = fail(d,
                       "validate: found '%s', expected a row (17), a figure (17.1.4), a machine, or one of cache, "
                       "translation, exit, flush, dram, optane, nvdimm, cxl",
                       word[k]);
    }
    for (uint32_t i = 0; i < validate_n_figures; i++) {
        selected[i] = n == 0;
        for (int k = 0; k < n; k++)
            selected[i] |= validate_names(&validate_figures[i], word[k]);
        selected[i] &= validate_claims(claims, &validate_figures[i]);
        any |= selected[i];
    }
    if (!bad && !any)
        bad = fail(d, "validate: found no row that is asked for and that the machine claims, expected some of \"%s\"",
                   claims);
    return bad;
}

void validate_progress(void *meter, uint32_t done, uint32_t total)
{
    meter_show(meter, done, total);
}

static int draw(const struct validate *v, const char *dir, struct diag *d)
{
    char *style = find_file("tools/report/style.gp", "report/style.gp", d);
    char *table = style ? find_file("results/hardware/README.md", "hardware/README.md", d) : NULL;
    int bad = -1;
    if (table) {
        *strrchr(table, '/') = 0;
        bad = validate_draw(v, table, style, dir, d);
    }
    free(style);
    free(table);
    return bad;
}

static int validate_rows(const struct machine_conf *mc, const char *machine, const char *plot_dir, bool json,
                         const char **word, int n, struct diag *d)
{
    struct meter meter = {.what = "measuring"};
    bool *selected = xcalloc(validate_n_figures, sizeof *selected);
    int code = EXIT_BAD_INPUT;
    if (select_figures(mc->claims, word, n, selected, d) == 0) {
        struct validate v;
        validate_init(&v, mc, d);
        v.progress = validate_progress;
        v.ctx = &meter;
        int bad = validate_run(&v, selected);
        meter_end(&meter);
        if (!bad && plot_dir)
            bad = draw(&v, plot_dir, d);
        if (!bad) {
            struct tally t = count(&v, selected);
            (json ? print_json : print_table)(&v, selected, machine);
            code = t.rows_in == t.rows ? EXIT_DONE : EXIT_JUDGED_FALSE;
        }
        validate_free(&v);
    }
    free(selected);
    return code;
}

struct options {
    const char *machine, *plot_dir, *points;
    bool json;
};

static int validate(const struct options *o, const char **word, int n, struct diag *d)
{
    static const struct conf_schema schema[] = {
        {.name = "machine", .keys = machine_keys, .subs = machine_sections, .help = "a host"}, {0}};
    const struct conf_schema root = {.name = "", .subs = schema};
    const char *machine = o->machine ? o->machine : "cascade-lake-2s";
    struct machine_conf mc;
    char *path = find_machine(machine, d);
    struct conf *conf = path ? conf_read(path, &root, d) : NULL;
    int code = EXIT_BAD_INPUT;
    if (conf && machine_bind(conf_find(conf_root(conf), "machine", NULL), &mc, d) == 0)
        code = o->points ? validate_points(&mc, machine, o->points, o->json, d)
                         : validate_rows(&mc, machine, o->plot_dir, o->json, word, n, d);
    free(path);
    conf_free(conf);
    return code;
}

int cmd_validate(int argc, char **argv)
{
    struct options o = {0};
    const char *word[64];
    const struct arg table[] = {
        {"machine", 0, "NAME", ARG_STRING, &o.machine, "machine file, by name or path [cascade-lake-2s]"},
        {"plot", 0, "DIR", ARG_STRING, &o.plot_dir, "draw each measured curve over the published one"},
        {"points", 0, "FILE", ARG_STRING, &o.points, "measure the points of a table of one's own instead of rows"},
        {"json", 0, NULL, ARG_FLAG, &o.json, "print JSON"},
        {0},
    };
    const struct args a = {
        "quire validate [MACHINE] [NAME]... [OPTION]...",
        "Runs micro-benchmarks inside a simulated machine and prints what they measure beside published\n"
        "measurements: every row that the machine file claims, or those named: a row (17), a group (cache,\n"
        "translation, exit, flush, dram, optane, nvdimm, cxl). All of them take about a minute.\n"
        "docs/validate.md says where the numbers are from.",
        table,
        "Examples:\n"
        "  quire validate\n"
        "  quire validate cache 41 42\n"
        "  quire validate nvdimm-n-2s nvdimm",
        "0 every row in band, 1 one is not, 2 bad usage or input, 3 fault in quire itself."};
    struct diag d = {0};
    int n = args_parse(&a, argc, argv, word, N_ELEMS(word), &d);
    if (n == ARGS_HELP)
        return EXIT_DONE;
    if (n > 0)
        n = take_machine(word, n, &o.machine, &d);
    if (n >= 0 && o.points && (n || o.plot_dir))
        n = fail(&d, "validate: found %s beside --points, expected no more than a machine", n ? word[0] : "--plot");
    int code = n < 0 ? EXIT_BAD_INPUT : validate(&o, word, n, &d);
    return code == EXIT_BAD_INPUT ? args_complain(&d) : code;
}

/* SPDX-License-Identifier: MIT */
/* quire mrc --method observed: the trace runs in a VM of a simulated machine, once without and once with a policy that
 * watches its pages; the curve is the one that the policy saw. */
#include "sim/cli/find.h"
#include "sim/cli/point.h"
#include "sim/cli/mrc.h"
#include "sim/machine/curve.h"
#include "sim/machine/run.h"
#include "sim/mrc/job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VM "vm0"

/* The ways of looking, by the policies that have them. */
static const struct {
    const char *name, *policy, *option;
} ways[] = {
    {"trace", "mrc", NULL},
    {"ad", "mrc-bits", "see = \"accessed\""},
    {"pml", "mrc-bits", "see = \"log\""},
    {"damon", "mrc-damon", NULL},
};

/* Index of the way that spec begins with; -1 after fail(). */
static int way_of(const char *spec, struct diag *d)
{
    size_t n = strcspn(spec, ":");
    for (size_t i = 0; i < N_ELEMS(ways); i++)
        if (strlen(ways[i].name) == n && strncmp(ways[i].name, spec, n) == 0)
            return (int)i;
    return fail(d, "--observe: found '%.*s', expected trace, ad, pml or damon", (int)n, spec);
}

/* Text between quotes of a configuration. */
static void quote(FILE *f, const char *s, size_t n)
{
    fputc('"', f);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"' || s[i] == '\\')
            fputc('\\', f);
        fputc(s[i], f);
    }
    fputc('"', f);
}

/* "ad:period=1ms,counter=false" as a policy section. */
static void add_policy(FILE *f, int way, const char *spec)
{
    fprintf(f, "policy \"%s\" {\n", ways[way].policy);
    if (ways[way].option)
        fprintf(f, "  %s\n", ways[way].option);
    for (const char *p = spec + strcspn(spec, ":"); *p;) {
        size_t len = strcspn(++p, ","), key = strcspn(p, "=,");
        fprintf(f, "  %.*s = ", (int)key, p);
        quote(f, p + key + (len > key), len > key ? len - key - 1 : 0);
        fputc('\n', f);
        p += len;
    }
    fputs("}\n", f);
}

static char *experiment_text(const struct mrc_observe *o, int way, const char *machine, uint64_t memory_bytes)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    if (machine) {
        fputs("include(", f);
        quote(f, machine, strlen(machine));
        fputs(")\n", f);
    }
    fputs("true_curve = true\nbaseline = true\nvm \"" VM "\" {\n  trace = ", f);
    quote(f, o->path, strlen(o->path));
    fputs("\n  format = ", f);
    quote(f, o->format ? o->format : "", o->format ? strlen(o->format) : 0);
    fputs("\n  memory = ", f);
    if (o->memory)
        quote(f, o->memory, strlen(o->memory));
    else
        fprintf(f, "\"%lluB\"", (unsigned long long)memory_bytes);
    fprintf(f, "\n  backing = \"4KiB\"\n  accesses = %llu\n}\n", (unsigned long long)o->limit);
    add_policy(f, way, o->observe);
    fclose(f);
    return text;
}

/* Room for every page of the trace, and for as many page-table pages in the sparsest case (three levels below the
 * root), whole 2 MiB. */
static int memory_for(const struct mrc_observe *o, uint64_t *bytes, struct diag *d)
{
    struct mrc_job job = {.path = o->path,
                          .trace = {.format = o->format, .limit = o->limit},
                          .unit = MRC_PAGE,
                          .shift = PAGE_SHIFT,
                          .policy = "lru",
                          .sizes = "1"};
    struct mrc_results res = {0};
    int rc = o->memory ? 0 : mrc_job_run(&job, &res, d);
    *bytes = (4 * res.curve.distinct * PAGE_BYTES + 16 * MIB) / (2 * MIB) * (2 * MIB);
    mrc_results_free(&res);
    return rc;
}

/* The observed curve at the sizes that were asked for. */
static int read_curve(const struct result *r, const char *sizes, struct mrc_curve *curve, struct diag *d)
{
    struct curves all;
    struct curve_line seen = {0};
    double total = 0;
    int rc = curves_of(&all, r, d);
    for (uint32_t i = 0; rc == 0 && i < all.n; i++) {
        const struct curve_point *p = &all.point[i];
        if (strcmp(p->label, VM " observed") != 0)
            continue;
        if (strcmp(p->series, "miss_ratio") == 0)
            curve_line_add(&seen, p->x, p->y);
        else if (p->x == 0)
            total = p->y;
    }
    if (rc == 0 && (!seen.n || total < 0.5))
        rc = fail(d, "--observe: the policy saw no access, expected an interval shorter than the run, and no epochs");
    if (rc == 0)
        rc = mrc_sizes_parse(sizes, &curve->size, &curve->n, d);
    result_get(r, "vm." VM ".distinct_pages", &curve->distinct);
    if (rc == 0 && !curve->size)
        curve->n = mrc_sizes_auto(curve->distinct, &curve->size);
    curve->accesses = (uint64_t)llround(total);
    curve->misses = xcalloc(curve->n + 1, sizeof *curve->misses);
    for (uint64_t i = 0; rc == 0 && i < curve->n; i++)
        curve->misses[i] = (uint64_t)llround(curve_line_at(&seen, (double)curve->size[i]) * total);
    curve_line_free(&seen);
    curves_free(&all);
    return rc;
}

static void read_price(const struct result *r, struct mrc_price *p)
{
    result_get(r, "time_ps", &p->time_ps);
    result_get(r, "baseline_time_ps", &p->baseline_ps);
    result_get(r, "hypervisor.exits", &p->exits);
    result_get(r, "vm." VM ".curve_error_max_at_pages", &p->error_max_at);
    result_get_ratio(r, "vm." VM ".curve_error_ratio", &p->error);
    result_get_ratio(r, "vm." VM ".curve_error_max_ratio", &p->error_max);
    result_get_ratio(r, "slowdown_percent", &p->slowdown_percent);
}

int mrc_observe(const struct mrc_observe *o, struct mrc_curve *curve, struct mrc_price *price, struct diag *d)
{
    uint64_t memory_bytes = 0;
    int way = way_of(o->observe, d);
    if (way < 0)
        return -1;
    if (strcmp(o->path, "-") == 0)
        return fail(d, "--method observed: found standard input, expected a file: the trace runs more than once");
    char *machine = o->machine ? find_machine(o->machine, d) : NULL;
    if ((o->machine && !machine) || memory_for(o, &memory_bytes, d)) {
        free(machine);
        return -1;
    }
    char *text = experiment_text(o, way, machine, memory_bytes);
    struct conf *conf = conf_parse(text, strlen(text), "--observe", ".", &experiment_schema, d);
    struct result *r = result_new();
    int rc = !conf || run_point(conf, r, d) || read_curve(r, o->sizes, curve, d) ? -1 : 0;
    if (rc == 0)
        read_price(r, price);
    point_plain("--observe", d);
    price->policy = ways[way].policy;
    result_free(r);
    conf_free(conf);
    free(text);
    free(machine);
    return rc;
}

void mrc_price_print(const struct mrc_price *p, FILE *f)
{
    fprintf(f,
            "seen by policy %s: mean error %.4f of the true curve, at most %.4f (at %llu pages); slowdown %.4g %%, "
            "%llu exits\n",
            p->policy, p->error, p->error_max, (unsigned long long)p->error_max_at, p->slowdown_percent,
            (unsigned long long)p->exits);
}

json_t *mrc_price_json(const struct mrc_price *p)
{
    return json_pack("{s:s, s:f, s:f, s:I, s:f, s:I, s:I, s:I}", "policy", p->policy, "curve_error_ratio", p->error,
                     "curve_error_max_ratio", p->error_max, "curve_error_max_at_pages", (json_int_t)p->error_max_at,
                     "slowdown_percent", p->slowdown_percent, "time_ps", (json_int_t)p->time_ps, "baseline_time_ps",
                     (json_int_t)p->baseline_ps, "exits", (json_int_t)p->exits);
}

/* SPDX-License-Identifier: MIT */
/* quire validate --points: a table of published points beside simulated ones, and how the deviations are distributed.
 */
#include "sim/cli/validate_points.h"

#include "sim/cli/args.h"
#include "sim/machine/points.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The word or size of a column, for a table; the caller frees. "" for the column's default. */
static char *cell(const struct published_point *t, const struct conf_key *key)
{
    uint64_t value = *(const uint64_t *)((const char *)t + key->offset);
    char *text = conf_number(key, value);
    if (key->def && key->type != CONF_CHOICE && strcmp(text, key->def) == 0)
        *text = 0;
    return text;
}

static const struct conf_key *column(const char *name)
{
    const struct conf_key *key = point_columns;
    while (strcmp(key->name, name) != 0)
        key++;
    return key;
}

static const char *verdict(const struct published_point *t)
{
    return !t->is_measured ? "not reached" : !t->band_ppm ? "" : point_ok(t) ? "ok" : "MISS";
}

/* "ntstore sequential 256B, stride 1KiB, fence 256B". */
static void what(const struct published_point *t, char *buf, size_t size)
{
    static const char *const more[] = {"stride", "flush", "fence", "region", "prefetch", "reads", "at", "less"};
    char *op = cell(t, column("op")), *pattern = cell(t, column("pattern")),
         *access = conf_number(column("access"), t->access_bytes);
    size_t len = (size_t)snprintf(buf, size, "%s %s %s", op, pattern, access);
    for (size_t i = 0; i < N_ELEMS(more) && len < size; i++) {
        char *text = cell(t, column(more[i]));
        if (*text)
            len += (size_t)snprintf(buf + len, size - len, ", %s %s", more[i], text);
        free(text);
    }
    free(op);
    free(pattern);
    free(access);
}

/* Points of one medium, place, operation, pattern and quantity: what a line of the summary is about. */
static bool is_kin(const struct published_point *t, const void *ctx)
{
    const struct published_point *of = ctx;
    return t->medium == of->medium && t->place == of->place && t->op == of->op && t->pattern == of->pattern &&
           t->quantity == of->quantity;
}

static void print_spread(const char *name, const struct spread *s)
{
    printf("%-44s %6u %8.3f %7.1f%% %7.1f%% %7.0f%% %7.0f%% %7.0f%%\n", name, s->n, s->ratio, s->median * 100,
           s->p90 * 100, s->within[0] * 100, s->within[1] * 100, s->within[2] * 100);
}

static void print_summary(const struct points *p)
{
    printf("\n%-44s %6s %8s %8s %8s %8s %8s %8s\n", "deviation of", "points", "ratio", "median", "p90", "in 10%",
           "in 20%", "in 30%");
    for (uint32_t i = 0; i < p->n; i++) {
        const struct published_point *t = &p->point[i];
        uint32_t k = 0;
        while (!is_kin(&p->point[k], t))
            k++;
        if (k < i)
            continue;
        struct spread s = points_spread(p, is_kin, t);
        char *medium = cell(t, column("medium")), *place = cell(t, column("place")), *op = cell(t, column("op")),
             *pattern = cell(t, column("pattern")), *quantity = cell(t, column("quantity"));
        char *name = xasprintf("%s %s %s %s, %s", medium, place, op, pattern, quantity);
        print_spread(name, &s);
        free(medium);
        free(place);
        free(op);
        free(pattern);
        free(quantity);
        free(name);
    }
    struct spread all = points_spread(p, NULL, NULL);
    print_spread("all", &all);
}

static void print_table(const struct points *p, const char *machine)
{
    uint32_t judged = 0, in = 0;
    if (p->source)
        printf("%s\n", p->source);
    printf("%-5s %-8s %-6s %7s  %-52s %10s %10s %-5s %8s %7s %s\n", "line", "medium", "place", "threads", "what",
           "simulated", "published", "unit", "error", "band", "verdict");
    for (uint32_t i = 0; i < p->n; i++) {
        const struct published_point *t = &p->point[i];
        char text[160], error[24] = "";
        what(t, text, sizeof text);
        char *medium = cell(t, column("medium")), *place = cell(t, column("place")), *band = cell(t, column("band")),
             *quantity = cell(t, column("quantity"));
        if (t->is_measured)
            snprintf(error, sizeof error, "%+.1f%%", (t->simulated / t->published - 1) * 100);
        printf("%-5u %-8s %-6s %7llu  %-52s %10.4g %10.4g %-5s %8s %7s %s\n", t->line, medium, place,
               (unsigned long long)t->threads, text, t->simulated, t->published, quantity, error, band, verdict(t));
        judged += t->band_ppm > 0;
        in += t->band_ppm && point_ok(t);
        free(medium);
        free(place);
        free(band);
        free(quantity);
    }
    print_summary(p);
    printf("\n%s: ", machine);
    if (judged)
        printf("%u of %u judged points in band; ", in, judged);
    if (p->median_ppm)
        printf("median at most %.3g%%; ", (double)p->median_ppm / 1e4);
    if (p->p90_ppm)
        printf("90th percentile at most %.3g%%; ", (double)p->p90_ppm / 1e4);
    printf("%s\n", !judged && !p->median_ppm && !p->p90_ppm ? "nothing is judged" : points_hold(p) ? "ok" : "MISS");
}

static json_t *json_spread(const struct spread *s)
{
    return json_pack("{s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "points", (int)s->n, "ratio", s->ratio, "median", s->median,
                     "p90", s->p90, "within_10", s->within[0], "within_20", s->within[1], "within_30", s->within[2]);
}

static void print_json(const struct points *p, const char *machine)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < p->n; i++) {
        const struct published_point *t = &p->point[i];
        json_t *one = json_pack("{s:i, s:f, s:o, s:s}", "line", (int)t->line, "published", t->published, "simulated",
                                t->is_measured ? json_real(t->simulated) : json_null(), "verdict", verdict(t));
        for (const struct conf_key *key = point_columns; key->name; key++) {
            char *text = conf_number(key, *(const uint64_t *)((const char *)t + key->offset));
            json_object_set_new(one, key->name, json_string(text));
            free(text);
        }
        json_array_append_new(list, one);
    }
    struct spread all = points_spread(p, NULL, NULL);
    json_t *top = json_pack("{s:s, s:o, s:b, s:o}", "machine", machine, "deviation", json_spread(&all), "holds",
                            (int)points_hold(p), "point", list);
    json_object_set_new(top, "source", p->source ? json_string(p->source) : json_null());
    json_dumpf(top, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(top);
}

int validate_points(const struct machine_conf *mc, const char *machine, const char *path, bool json, struct diag *d)
{
    struct points p;
    struct validate v;
    struct meter meter = {.what = "measuring"};
    int code = EXIT_BAD_INPUT;
    validate_init(&v, mc, d);
    v.progress = validate_progress;
    v.ctx = &meter;
    int bad = points_read(&p, path, d) || points_fit(&p, path, mc, d) || points_run(&p, &v);
    meter_end(&meter);
    if (!bad) {
        (json ? print_json : print_table)(&p, machine);
        code = points_hold(&p) ? EXIT_DONE : EXIT_JUDGED_FALSE;
    }
    validate_free(&v);
    points_free(&p);
    return code;
}

/* SPDX-License-Identifier: MIT */
/* Expectations as text: their keys and kinds, mistakes in them, what they say, and verdicts as a file. */
#include "sim/machine/expect_int.h"

#include "sim/base/outfile.h"
#include "sim/base/types.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

const char *const verdict_words[] = {"true", "false", "unjudged"};

static const char *const directions[] = {"up", "down", NULL};

#define FIELD(name) .offset = offsetof(struct expect, name)
const struct conf_key expect_keys[] = {
    {.name = "of", .type = CONF_STRING, FIELD(of), .help = "the key that is judged; for match the label of a curve"},
    {.name = "per", .type = CONF_STRING, FIELD(per), .def = "", .help = "a key by which of is divided first"},
    {.name = "over", .type = CONF_STRING, FIELD(over), .def = "", .help = "the sweep along which it is judged"},
    {.name = "direction",
     .type = CONF_CHOICE,
     FIELD(is_down),
     .def = "up",
     .choices = directions,
     .help = "where it goes"},
    {.name = "strict", .type = CONF_BOOL, FIELD(is_strict), .def = "false", .help = "equal neighbours are false"},
    {.name = "tolerance", .type = CONF_RATIO, FIELD(tolerance_ppm), .def = "0%", .help = "of each step's first value"},
    {.name = "order", .type = CONF_LIST, FIELD(order), .def = "", .help = "values of the sweep over, in rank"},
    {.name = "at", .type = CONF_STRING, FIELD(at), .def = "", .help = "value of the sweep over above the line"},
    {.name = "base", .type = CONF_STRING, FIELD(base), .def = "", .help = "value of the sweep over below the line"},
    {.name = "to", .type = CONF_STRING, FIELD(to), .def = "", .help = "a second key; for match the other curve"},
    {.name = "min", .type = CONF_STRING, FIELD(min), .def = "", .help = "lowest number that is true"},
    {.name = "max", .type = CONF_STRING, FIELD(max), .def = "", .help = "highest number that is true"},
    {.name = "value", .type = CONF_STRING, FIELD(value), .def = "", .help = "the published number"},
    {.name = "within", .type = CONF_RATIO, FIELD(within_ppm), .def = "10%", .help = "of the published number"},
    {.name = "source", .type = CONF_STRING, FIELD(source), .def = "", .help = "where it was published"},
    {.name = "series", .type = CONF_STRING, FIELD(series), .def = "", .help = "the series that holds both curves"},
    {.name = "where", .type = CONF_LIST, FIELD(where), .def = "", .help = "sweep=value, the runs that are judged"},
    {0},
};

static const struct expect_kind kinds[] = {
    {"monotone", EXPECT_MONOTONE, NEEDS_OVER | FOLDS_SEED, "goes one way"},
    {"rank", EXPECT_RANK, NEEDS_OVER | NEEDS_ORDER | FOLDS_SEED, "ranks"},
    {"ratio", EXPECT_RATIO, NEEDS_BAND | FOLDS_SEED, "has a ratio"},
    {"range", EXPECT_RANGE, NEEDS_BAND, "is"},
    {"band", EXPECT_BAND, 0, "is near"},
    {"equal", EXPECT_EQUAL, NEEDS_OVER, "is equal"},
    {"knee", EXPECT_KNEE, NEEDS_OVER | NEEDS_BAND | FOLDS_SEED, "bends"},
    {"match", EXPECT_MATCH, NEEDS_MAX, "matches"},
};

const struct expect_kind *expect_kind(const char *name)
{
    for (size_t i = 0; i < N_ELEMS(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

int expect_filter(const struct study *s, const char *text, const char **label)
{
    char name[80];
    const char *eq = strchr(text, '=');
    if (!eq || eq - text >= (ptrdiff_t)sizeof name)
        return -1;
    snprintf(name, sizeof name, "%.*s", (int)(eq - text), text);
    *label = eq + 1;
    return study_axis(s, name);
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */
static bool is_label(const struct axis *a, const char *label)
{
    for (uint32_t i = 0; i < a->n_values; i++)
        if (strcmp(a->label[i], label) == 0)
            return true;
    return false;
}

static int need_label(const struct study *s, int axis, const char *where, const char *key, const char *label,
                      struct diag *d)
{
    if (axis < 0 || is_label(&s->axis[axis], label))
        return 0;
    return fail(d, "%s %s: found \"%s\", expected a value of the sweep %s", where, key, label, s->axis[axis].name);
}

static int need_number(const char *where, const char *key, const char *text, bool must, struct diag *d)
{
    double v;
    if ((!*text && !must) || grid_number(text, &v))
        return 0;
    return fail(d, "%s %s: found \"%s\", expected a number", where, key, text);
}

static int check_labels(const struct study *s, const struct expect *x, int over, const char *where, struct diag *d)
{
    int rc = 0;
    for (uint32_t i = 0; i < x->order->n; i++)
        rc |= need_label(s, over, where, "order", x->order->item[i], d);
    if (*x->at || *x->base) {
        rc |= need_label(s, over, where, "at", x->at, d);
        rc |= need_label(s, over, where, "base", x->base, d);
    }
    for (uint32_t i = 0; i < x->where->n; i++) {
        const char *label = "";
        int axis = expect_filter(s, x->where->item[i], &label);
        rc |= axis < 0 ? fail(d, "%s where: found \"%s\", expected sweep=value", where, x->where->item[i])
                       : need_label(s, axis, where, "where", label, d);
    }
    return rc;
}

static int check_one(const struct study *s, const struct conf_section *sec, struct diag *d)
{
    struct expect x;
    const struct expect_kind *k = expect_kind(conf_title(sec));
    char where[700];
    snprintf(where, sizeof where, "%s: [expect.%s]", conf_where(sec), conf_title(sec));
    if (!k)
        return fail(d, "%s: found an unknown kind, expected monotone, rank, ratio, range, band, equal, knee or match",
                    where);
    if (conf_bind(sec, expect_keys, &x, d) != 0)
        return -1;
    int rc = 0, over = study_axis(s, x.over);
    if (over < 0 && (*x.over || k->flags & NEEDS_OVER))
        rc |= fail(d, "%s over: found \"%s\", expected the title of a sweep", where, x.over);
    if (k->flags & NEEDS_BAND && !*x.min && !*x.max)
        rc |= fail(d, "%s: found neither min nor max, expected at least one", where);
    if (k->flags & NEEDS_ORDER && x.order->n < 2)
        rc |= fail(d, "%s order: found %u, expected two or more values of the sweep", where, x.order->n);
    if (k->kind == EXPECT_RATIO && (over >= 0 ? !*x.at || !*x.base : !*x.to))
        rc |= fail(d, "%s: found half a ratio, expected over, at and base, or to", where);
    if (k->kind == EXPECT_MATCH && (!*x.series || !*x.to))
        rc |= fail(d, "%s: found no series or to, expected both", where);
    if (k->kind == EXPECT_BAND && !*x.source)
        rc |= fail(d, "%s source: found nothing, expected where the number was published", where);
    rc |= need_number(where, "min", x.min, false, d);
    rc |= need_number(where, "max", x.max, k->flags & NEEDS_MAX, d);
    rc |= need_number(where, "value", x.value, k->kind == EXPECT_BAND, d);
    return rc | check_labels(s, &x, over, where, d);
}

int expect_check(const struct study *s, struct diag *d)
{
    int rc = 0;
    for (const struct conf_section *sec = conf_find(conf_root(s->conf), "expect", NULL); sec; sec = conf_next(sec))
        rc |= check_one(s, sec, d);
    return rc;
}

/* ---- saying ------------------------------------------------------------------------------------------------------ */
static void add_list(FILE *f, const char *lead, const struct conf_list *list, const char *sep)
{
    for (uint32_t i = 0; i < list->n; i++)
        fprintf(f, "%s%s", i ? sep : lead, list->item[i]);
}

char *expect_statement(const struct expect_kind *k, const struct expect *x)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    CHECK(f);
    fprintf(f, "%s%s%s ", x->of, *x->per ? " per " : "", x->per);
    if (k->kind == EXPECT_MONOTONE)
        fprintf(f, "%s%s along %s", x->is_strict ? "strictly " : "", x->is_down ? "falls" : "rises", x->over);
    else if (k->kind == EXPECT_RANK)
        add_list(f, x->is_down ? "ranks, highest first: " : "ranks, lowest first: ", x->order, ", ");
    else if (k->kind == EXPECT_RATIO && *x->over)
        fprintf(f, "at %s over %s at %s", x->at, x->of, x->base);
    else if (k->kind == EXPECT_MATCH)
        fprintf(f, "matches %s in %s", x->to, x->series);
    else if (k->kind == EXPECT_BAND)
        fprintf(f, "is within %g%% of %s (%s)", (double)x->within_ppm / 1e4, x->value, x->source);
    else if (k->kind == EXPECT_RANGE)
        fputs("is ", f);
    else
        fprintf(f, "%s%s%s%s%s", k->says, *x->to ? " to " : "", x->to, *x->over ? " along " : "", x->over);
    const char *comma = k->kind == EXPECT_RANGE ? "" : ", ";
    if (*x->min)
        fprintf(f, "%sat least %s", comma, x->min);
    if (*x->max)
        fprintf(f, "%sat most %s", *x->min ? ", " : comma, x->max);
    add_list(f, " where ", x->where, ", ");
    CHECK(fclose(f) == 0);
    return text;
}

void verdicts_free(struct verdicts *v)
{
    for (uint32_t i = 0; i < v->n; i++) {
        free(v->item[i].study);
        free(v->item[i].kind);
        free(v->item[i].what);
        free(v->item[i].detail);
    }
    free(v->item);
    *v = (struct verdicts){0};
}

int verdicts_write(const struct verdicts *v, const char *claim, const char *path, struct diag *d)
{
    struct outfile o;
    json_t *list = json_array(), *root = json_object();
    for (uint32_t i = 0; i < v->n; i++) {
        const struct verdict *w = &v->item[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "study", w->study, "kind", w->kind, "what",
                                              w->what, "detail", w->detail, "verdict", verdict_words[w->word]));
    }
    json_object_set_new(root, "claim", json_string(claim));
    json_object_set_new(root, "verdicts", list);
    int rc = out_open(&o, path, d);
    if (rc == 0) {
        json_dumpf(root, o.f, JSON_INDENT(2) | JSON_SORT_KEYS);
        fputc('\n', o.f);
        rc = out_commit(&o, d);
    }
    json_decref(root);
    return rc;
}

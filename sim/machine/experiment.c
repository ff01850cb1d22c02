/* SPDX-License-Identifier: MIT */
#include "sim/machine/experiment.h"

#include "sim/base/types.h"
#include "sim/machine/expect.h"
#include "sim/machine/plot.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct sweep_section {
    const struct conf_list *key, *values, *labels;
};

const struct conf_key sweep_keys[] = {
    {.name = "key",
     .type = CONF_LIST,
     .offset = offsetof(struct sweep_section, key),
     .help = "path of the key, or several that move together"},
    {.name = "values",
     .type = CONF_LIST,
     .offset = offsetof(struct sweep_section, values),
     .help = "what it is set to; for several keys \"a | b\""},
    {.name = "labels",
     .type = CONF_LIST,
     .offset = offsetof(struct sweep_section, labels),
     .def = "",
     .help = "names of the values in tables and pictures"},
    {0},
};

/* What a point does not hold: it says nothing about the run itself. */
static const char *const not_in_points[] = {"claim", "sweep", "expect", "plot", "study"};

/* ---- axes -------------------------------------------------------------------------------------------------------- */
static bool is_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n > 0 && n <= 64 && !s[n];
}

static char *trimmed(const char *p, size_t len)
{
    while (len && (*p == ' ' || *p == '\t')) {
        p++;
        len--;
    }
    while (len && (p[len - 1] == ' ' || p[len - 1] == '\t'))
        len--;
    return xasprintf("%.*s", (int)len, p);
}

/* "a | b" into one text a key. -1 if it has another number of parts. */
static int split_value(const char *text, uint32_t n, char **out)
{
    uint32_t i = 0;
    for (const char *p = text; i < n; i++) {
        size_t len = n == 1 ? strlen(p) : strcspn(p, "|");
        out[i] = trimmed(p, len);
        p += len;
        if (!*p)
            return i + 1 == n ? 0 : -1;
        p++;
    }
    return -1;
}

static int add_axis(struct study *s, const struct conf_section *sec, struct diag *d)
{
    struct sweep_section w;
    const char *name = conf_title(sec);
    char where[700];
    snprintf(where, sizeof where, "%s: [sweep.%s]", conf_where(sec), name);
    if (conf_bind(sec, sweep_keys, &w, d) != 0)
        return -1;
    if (!is_name(name) || strcmp(name, "run") == 0)
        return fail(d, "%s: found the title \"%.60s\", expected a word of letters, digits, - and _ (not run)", where,
                    name);
    if (!w.key->n || !w.values->n)
        return fail(d, "%s %s: found an empty list, expected at least one", where, w.key->n ? "values" : "key");
    if (w.labels->n && w.labels->n != w.values->n)
        return fail(d, "%s labels: found %u, expected one a value: %u", where, w.labels->n, w.values->n);
    s->axis = xrealloc(s->axis, (s->n_axes + 1) * sizeof *s->axis);
    struct axis *a = &s->axis[s->n_axes++];
    *a = (struct axis){
        .name = name, .where = xstrdup(where), .n_keys = w.key->n, .n_values = w.values->n, .key = w.key->item};
    a->label = xcalloc(a->n_values, sizeof *a->label);
    a->value = xcalloc((size_t)a->n_values * a->n_keys, sizeof *a->value);
    for (uint32_t i = 0; i < a->n_values; i++) {
        a->label[i] = w.labels->n ? w.labels->item[i] : w.values->item[i];
        if (split_value(w.values->item[i], a->n_keys, &a->value[(size_t)i * a->n_keys]) != 0)
            return fail(d, "%s values: found \"%.100s\", expected %u values with | between them", where,
                        w.values->item[i], a->n_keys);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(a->label[i], a->label[j]) == 0)
                return fail(d, "%s: found \"%.60s\" twice, expected values (or labels) that differ", where,
                            a->label[i]);
    }
    return 0;
}

static int read_axes(struct study *s, struct diag *d)
{
    int rc = 0;
    const struct conf_section *sec = conf_find(conf_root(s->conf), "sweep", NULL);
    for (; sec; sec = conf_next(sec))
        rc |= add_axis(s, sec, d);
    return rc;
}

int study_axis(const struct study *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_axes; i++)
        if (strcmp(s->axis[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* ---- points ------------------------------------------------------------------------------------------------------ */
struct conf *study_point_conf(const struct study *s, const struct point *p, struct diag *d)
{
    struct conf *c = conf_copy(s->conf);
    int rc = 0;
    for (size_t i = 0; i < N_ELEMS(not_in_points); i++)
        conf_drop(c, not_in_points[i]);
    for (uint32_t i = 0; i < s->n_axes; i++) {
        const struct axis *a = &s->axis[i];
        for (uint32_t k = 0; k < a->n_keys; k++)
            rc |= conf_set(c, a->key[k], a->value[(size_t)p->at[i] * a->n_keys + k], a->where, d);
    }
    if (rc == 0 && conf_check(c, d) == 0)
        return c;
    conf_free(c);
    return NULL;
}

void point_label(const struct study *s, const struct point *p, char *buf, size_t size)
{
    size_t len = 0;
    buf[0] = 0;
    for (uint32_t i = 0; i < s->n_axes && len < size; i++)
        len += (size_t)snprintf(buf + len, size - len, "%s%s=%s", i ? " " : "", s->axis[i].name,
                                s->axis[i].label[p->at[i]]);
}

static int compare_inputs(const void *a, const void *b)
{
    const struct run_input *x = a, *y = b;
    int c = strcmp(x->kind, y->kind);
    c = c ? c : strcmp(x->name, y->name);
    return c ? c : strcmp(x->digest, y->digest);
}

static void run_id(const struct manifest *m, char id[33])
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    CHECK(f);
    fprintf(f, "quire-run-1\n%s\n%s", m->build_id, m->config);
    for (uint32_t i = 0; i < m->inputs->n; i++)
        fprintf(f, "%s %s %s\n", m->inputs->item[i].kind, m->inputs->item[i].name, m->inputs->item[i].digest);
    CHECK(fclose(f) == 0);
    XXH128_hash_t h = XXH3_128bits(text, size);
    snprintf(id, 33, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
    free(text);
}

int point_manifest(const struct experiment *e, const struct conf *conf, struct manifest *m, struct run_inputs *in,
                   char id[33], struct diag *d)
{
    static const struct conf_key seed_key[] = {{.name = "seed", .type = CONF_UINT, .def = "1"}, {0}};
    uint64_t seed;
    *in = (struct run_inputs){0};
    if (conf_bind(conf_root(conf), seed_key, &seed, d) != 0)
        return -1;
    if (e->ops->inputs && e->ops->inputs(conf, in, d) != 0) {
        run_inputs_free(in);
        return -1;
    }
    if (in->n)
        qsort(in->item, in->n, sizeof *in->item, compare_inputs);
    *m = (struct manifest){
        .run_id = id, .build_id = e->ops->build_id, .config = conf_print(conf), .inputs = in, .seed = seed};
    run_id(m, id);
    return 0;
}

static int lay_out_point(const struct experiment *e, struct study *s, struct point *p, struct diag *d)
{
    struct conf *c = study_point_conf(s, p, d);
    struct manifest m = {0};
    struct run_inputs in = {0};
    if (!c)
        return -1;
    int rc = e->ops->check ? e->ops->check(c, d) : 0;
    if (rc == 0)
        rc = point_manifest(e, c, &m, &in, p->id, d);
    free((char *)m.config);
    run_inputs_free(&in);
    conf_free(c);
    return rc;
}

/* All points, the last axis fastest. An error of one value would come again in every point: stop at the first. */
static int lay_out(const struct experiment *e, struct study *s, struct diag *d)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < s->n_axes; i++) {
        n *= s->axis[i].n_values;
        if (n > EXPERIMENT_MAX_POINTS)
            return fail(d, "%s: found more than %u points, expected fewer", conf_where(conf_root(s->conf)),
                        EXPERIMENT_MAX_POINTS);
    }
    s->point = xcalloc(n, sizeof *s->point);
    s->n_points = (uint32_t)n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t rest = i;
        s->point[i].at = xcalloc(s->n_axes + 1, sizeof *s->point[i].at);
        for (uint32_t a = s->n_axes; a-- > 0; rest /= s->axis[a].n_values)
            s->point[i].at[a] = rest % s->axis[a].n_values;
        if (lay_out_point(e, s, &s->point[i], d) != 0)
            return -1;
    }
    return 0;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */
static int set_in_studies(struct experiment *e, const char *key, const char *value, struct diag *d)
{
    struct diag first = {0};
    bool done = false;
    for (uint32_t i = 0; i < e->n_studies; i++) {
        struct diag one = {0};
        struct conf *copy = conf_copy(e->study[i].conf);
        if (conf_set(copy, key, value, "--set", &one) == 0) {
            CHECK(conf_set(e->study[i].conf, key, value, "--set", NULL) == 0);
            done = true;
        } else if (!first.n_errors) {
            first = one;
        }
        conf_free(copy);
    }
    return done ? 0 : fail(d, "%s", first.text);
}

static int apply_sets(struct experiment *e, const char *const *set, uint32_t n_set, bool to_file, struct diag *d)
{
    int rc = 0;
    for (uint32_t i = 0; i < n_set; i++) {
        const char *eq = strchr(set[i], '=');
        bool names_study = strncmp(set[i], "study.", 6) == 0;
        if (!eq || eq == set[i]) {
            rc |= to_file ? fail(d, "--set: found \"%.100s\", expected KEY=VALUE", set[i]) : 0;
            continue;
        }
        char *key = xasprintf("%.*s", (int)(eq - set[i]), set[i]);
        if (to_file && names_study)
            rc |= conf_set(e->conf, key, eq + 1, "--set", d);
        else if (!to_file && !names_study)
            rc |= set_in_studies(e, key, eq + 1, d);
        free(key);
    }
    return rc;
}

static int make_studies(struct experiment *e, struct diag *d)
{
    const struct conf_section *root = conf_root(e->conf), *sec = conf_find(root, "study", NULL);
    if (!sec) {
        e->study = xcalloc(1, sizeof *e->study);
        e->study[e->n_studies++] = (struct study){.name = "", .conf = conf_copy(e->conf)};
    }
    for (; sec; sec = conf_next(sec)) {
        const char *name = conf_title(sec);
        if (!is_name(name) || strcmp(name, "runs") == 0)
            return fail(d,
                        "%s: [study] found the title \"%.60s\", expected a word of letters, digits, - and _ (not runs)",
                        conf_where(sec), name);
        e->study = xrealloc(e->study, (e->n_studies + 1) * sizeof *e->study);
        e->study[e->n_studies++] = (struct study){.name = name, .conf = conf_subtree(e->conf, sec)};
    }
    return 0;
}

static void study_free(struct study *s)
{
    for (uint32_t i = 0; i < s->n_axes; i++) {
        struct axis *a = &s->axis[i];
        for (size_t v = 0; v < (size_t)a->n_values * a->n_keys; v++)
            free(a->value[v]);
        free(a->value);
        free(a->label);
        free((char *)a->where);
    }
    for (uint32_t i = 0; i < s->n_points; i++)
        free(s->point[i].at);
    free(s->axis);
    free(s->point);
    conf_free(s->conf);
}

void experiment_free(struct experiment *e)
{
    if (!e)
        return;
    for (uint32_t i = 0; i < e->n_studies; i++)
        study_free(&e->study[i]);
    free(e->study);
    conf_free(e->conf);
    free(e);
}

static struct experiment *load(const char *path, const struct experiment_ops *ops, struct diag *d)
{
    static const struct conf_key claim_key[] = {{.name = "claim", .type = CONF_STRING, .def = ""}, {0}};
    struct conf *c = conf_read(path, ops->schema, d);
    if (!c)
        return NULL;
    struct experiment *e = xcalloc(1, sizeof *e);
    e->ops = ops;
    e->conf = c;
    CHECK(conf_bind(conf_root(c), claim_key, &e->claim, d) == 0);
    return e;
}

/* Titles become parts of result keys ("vm.log.accesses"). Open sections name plugins, perhaps by path. */
static int check_titles(const struct study *s, const struct conf_schema *schema, struct diag *d)
{
    int rc = 0;
    for (const struct conf_schema *k = schema->subs; k && k->name; k++) {
        const struct conf_section *sec = k->titled && !k->open ? conf_find(conf_root(s->conf), k->name, NULL) : NULL;
        for (; sec; sec = conf_next(sec))
            if (!is_name(conf_title(sec)))
                rc = fail(d, "%s: [%s] found the title \"%.60s\", expected a word of letters, digits, - and _",
                          conf_where(sec), k->name, conf_title(sec));
    }
    return rc;
}

/* Sweeps, and the expects and plots that speak of them. */
static int read_study(struct study *s, const struct conf_schema *schema, struct diag *d)
{
    if (check_titles(s, schema, d) != 0 || read_axes(s, d) != 0)
        return -1;
    int rc = expect_check(s, d);
    return rc | plot_check(s, d);
}

struct experiment *experiment_load_plan(const char *path, const struct experiment_ops *ops, struct diag *d)
{
    struct experiment *e = load(path, ops, d);
    int rc = e ? make_studies(e, d) : -1;
    for (uint32_t i = 0; rc == 0 && i < e->n_studies; i++)
        rc = read_study(&e->study[i], ops->schema, d);
    if (rc == 0)
        return e;
    experiment_free(e);
    return NULL;
}

struct experiment *experiment_load(const char *path, const char *dir, const char *const *set, uint32_t n_set,
                                   const struct experiment_ops *ops, struct diag *d)
{
    struct experiment *e = load(path, ops, d);
    if (!e)
        return NULL;
    if (dir)
        conf_set_dir(e->conf, dir);
    int rc = apply_sets(e, set, n_set, true, d);
    rc |= make_studies(e, d);
    rc |= rc ? 0 : apply_sets(e, set, n_set, false, d);
    for (uint32_t i = 0; i < e->n_studies; i++)
        rc |= read_study(&e->study[i], ops->schema, d);
    for (uint32_t i = 0; rc == 0 && i < e->n_studies; i++)
        rc |= lay_out(e, &e->study[i], d);
    if (rc == 0)
        return e;
    experiment_free(e);
    return NULL;
}

char *experiment_print(const struct experiment *e)
{
    if (e->n_studies == 1 && !*e->study[0].name)
        return conf_print(e->study[0].conf);
    struct conf *shared = conf_copy(e->conf);
    for (size_t i = 1; i < N_ELEMS(not_in_points); i++)
        conf_drop(shared, not_in_points[i]);
    char *text = conf_print(shared);
    for (uint32_t i = 0; i < e->n_studies; i++) {
        char *body = conf_print(e->study[i].conf);
        char *longer = xasprintf("%sstudy \"%s\" {\n%s}\n", text, e->study[i].name, body);
        free(text);
        free(body);
        text = longer;
    }
    conf_free(shared);
    return text;
}

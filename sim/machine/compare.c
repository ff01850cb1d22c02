/* SPDX-License-Identifier: MIT */
#include "sim/machine/compare.h"

#include "sim/machine/curve.h"
#include "sim/machine/grid.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const compare_class_names[] = {"exact", "band", "host"};

/* One pair of files at work. */
struct pair {
    struct comparison *c;
    const char *where; /* in front of each line: study and sweep values, or "" */
    uint32_t *n_shown;
};

uint64_t compare_regressions(const struct comparison *c)
{
    uint64_t n = 0;
    for (int i = 0; i < COMPARE_CLASSES; i++)
        n += c->n[i].differ + c->n[i].missing;
    return n;
}

/* ---- one value --------------------------------------------------------------------------------------------------- */
static void __attribute__((format(printf, 2, 3))) show(const struct pair *p, const char *fmt, ...)
{
    va_list ap;
    if (++*p->n_shown > p->c->max_shown)
        return;
    fprintf(p->c->to, "%s%s", p->where, *p->where ? ": " : "");
    va_start(ap, fmt);
    vfprintf(p->c->to, fmt, ap);
    va_end(ap);
    fputc('\n', p->c->to);
}

static enum compare_class class_of(const char *a, const char *b)
{
    double ignored;
    bool is_fraction = strpbrk(a, ".e") || strpbrk(b, ".e");
    return is_fraction && grid_number(a, &ignored) && grid_number(b, &ignored) ? COMPARE_BAND : COMPARE_EXACT;
}

static bool is_near(const struct comparison *c, double a, double b)
{
    return fabs(b - a) <= c->tolerance * fabs(a);
}

static void compare_values(const struct pair *p, const char *key, const char *a, const char *b)
{
    enum compare_class k = class_of(a, b);
    double x = 0, y = 0;
    bool is_number = grid_number(a, &x) && grid_number(b, &y);
    bool same = strcmp(a, b) == 0 || (k == COMPARE_BAND && is_near(p->c, x, y));
    p->c->n[k].same += same;
    p->c->n[k].differ += !same;
    if (same)
        return;
    if (is_number && x == 0)
        show(p, "%s (%s): %s, was %s", key, compare_class_names[k], b, a);
    else if (is_number)
        show(p, "%s (%s): %s, was %s (%+.3g%%)", key, compare_class_names[k], b, a, (y - x) / fabs(x) * 100);
    else
        show(p, "%s (%s): \"%s\", was \"%s\"", key, compare_class_names[k], b, a);
}

static void missing(const struct pair *p, enum compare_class k, const char *what)
{
    p->c->n[k].missing++;
    show(p, "%s (%s): is missing", what, compare_class_names[k]);
}

/* ---- curves ------------------------------------------------------------------------------------------------------ */
static bool same_place(const struct curve_point *a, const struct curve_point *b)
{
    return a->x == b->x && strcmp(a->series, b->series) == 0 && strcmp(a->label, b->label) == 0 &&
           strcmp(a->x_name, b->x_name) == 0;
}

static void compare_points(const struct pair *p, const struct curves *a, const struct curves *b)
{
    struct compare_count *n = &p->c->n[COMPARE_BAND];
    for (uint32_t i = 0; i < a->n; i++) {
        const struct curve_point *x = &a->point[i], *y = i < b->n ? &b->point[i] : NULL;
        if (!y || !same_place(x, y)) {
            n->missing += a->n - i;
            show(p, "%s %s at %g (band): the point is missing, and %u after it", x->series, x->label, x->x,
                 a->n - i - 1);
            return;
        }
        bool same = x->y == y->y || is_near(p->c, x->y, y->y);
        n->same += same;
        n->differ += !same;
        if (!same)
            show(p, "%s %s at %g (band): %.9g, was %.9g", x->series, x->label, x->x, y->y, x->y);
    }
    n->added += b->n - a->n;
}

/* The curves of two runs; neither having any is fine. */
static int compare_series(const struct pair *p, const char *a, const char *b, struct diag *d)
{
    char *pa = xasprintf("%s/series.csv", a), *pb = xasprintf("%s/series.csv", b);
    struct curves ca = {0}, cb = {0};
    struct stat st;
    int rc = 0;
    if (stat(pa, &st) == 0 && stat(pb, &st) == 0) {
        rc = curves_read(&ca, pa, d) != 0 || curves_read(&cb, pb, d) != 0 ? -1 : 0;
        if (rc == 0)
            compare_points(p, &ca, &cb);
    }
    curves_free(&ca);
    curves_free(&cb);
    free(pa);
    free(pb);
    return rc;
}

/* ---- one run ----------------------------------------------------------------------------------------------------- */
/* A result.json being read. */
struct cursor {
    char *text, *p, *key, *value;
    int state; /* 1: key and value hold; 0: at the end; -1: broken */
};

static void advance(struct cursor *k)
{
    bool is_text;
    k->state = result_json_next(&k->p, &k->key, &k->value, &is_text);
}

static int open_result(struct cursor *k, const char *dir, struct diag *d)
{
    size_t len;
    char *path = xasprintf("%s/result.json", dir);
    k->text = k->p = read_whole(path, &len, d);
    free(path);
    if (!k->text)
        return -1;
    advance(k);
    return 0;
}

/* Both files have their keys sorted. */
static void merge_results(const struct pair *p, struct cursor *a, struct cursor *b)
{
    while (a->state == 1 || b->state == 1) {
        int order = a->state != 1 ? 1 : b->state != 1 ? -1 : strcmp(a->key, b->key);
        if (order == 0)
            compare_values(p, a->key, a->value, b->value);
        else if (order < 0)
            missing(p, class_of(a->value, a->value), a->key);
        else
            p->c->n[class_of(b->value, b->value)].added++;
        if (order <= 0)
            advance(a);
        if (order >= 0)
            advance(b);
    }
}

static int compare_runs(const char *a, const char *b, struct comparison *c, struct diag *d)
{
    uint32_t n_shown = 0;
    struct pair p = {c, "", &n_shown};
    struct cursor ka = {0}, kb = {0};
    int rc = open_result(&ka, a, d) | open_result(&kb, b, d);
    if (rc == 0) {
        merge_results(&p, &ka, &kb);
        if (ka.state < 0 || kb.state < 0)
            rc = fail(d, "%s/result.json: found no key and value, expected the result of a run", ka.state < 0 ? a : b);
    }
    free(ka.text);
    free(kb.text);
    return rc == 0 ? compare_series(&p, a, b, d) : -1;
}

/* ---- one table --------------------------------------------------------------------------------------------------- */
static bool same_axes(const struct grid *a, const struct grid *b)
{
    for (uint32_t i = 0; i < a->n_axes; i++)
        if (grid_axis(b, a->axis[i]) < 0)
            return false;
    return a->n_axes == b->n_axes;
}

static const struct grid_row *find_row(const struct grid *a, const struct grid_row *r, const struct grid *b)
{
    for (uint32_t i = 0; i < b->n_rows; i++) {
        bool same = true;
        for (uint32_t k = 0; same && k < a->n_axes; k++)
            same = strcmp(r->label[k], b->row[i].label[grid_axis(b, a->axis[k])]) == 0;
        if (same)
            return &b->row[i];
    }
    return NULL;
}

static void row_name(const struct grid *g, const struct grid_row *r, char *buf, size_t size)
{
    size_t len = (size_t)snprintf(buf, size, "%s", g->study);
    for (uint32_t i = 0; i < g->n_axes && len < size; i++)
        len += (size_t)snprintf(buf + len, size - len, "%s%s=%s", len ? " " : "", g->axis[i], r->label[i]);
}

static int compare_rows(const struct pair *p, const struct grid *a, const struct grid_row *x, const struct grid *b,
                        const struct grid_row *y, const char *dirs[2], struct diag *d)
{
    for (uint32_t i = 0; i < a->n_cols; i++) {
        int col = grid_col(b, a->col[i]);
        if (col < 0 || (!*y->cell[col] && *x->cell[i]))
            missing(p, class_of(x->cell[i], x->cell[i]), a->col[i]);
        else
            compare_values(p, a->col[i], x->cell[i], y->cell[col]);
    }
    char *ra = xasprintf("%s/runs/%s", dirs[0], x->id), *rb = xasprintf("%s/runs/%s", dirs[1], y->id);
    int rc = compare_series(p, ra, rb, d);
    free(ra);
    free(rb);
    return rc;
}

static int compare_grids(const struct grid *a, const struct grid *b, const char *dirs[2], struct comparison *c,
                         struct diag *d)
{
    uint32_t n_shown = 0;
    char where[400];
    if (!same_axes(a, b))
        return fail(d, "%s and %s: the sweeps of study \"%s\" have different names, expected the same", dirs[0],
                    dirs[1], a->study);
    for (uint32_t i = 0; i < a->n_rows; i++) {
        const struct grid_row *x = &a->row[i], *y = find_row(a, x, b);
        row_name(a, x, where, sizeof where);
        struct pair p = {c, where, &n_shown};
        if (!y)
            missing(&p, COMPARE_EXACT, "the run");
        else if (compare_rows(&p, a, x, b, y, dirs, d) != 0)
            return -1;
    }
    for (uint32_t i = 0; i < b->n_rows; i++)
        c->n[COMPARE_EXACT].added += !find_row(b, &b->row[i], a);
    for (uint32_t i = 0; i < b->n_cols; i++)
        c->n[COMPARE_EXACT].added += grid_col(a, b->col[i]) < 0;
    if (n_shown > c->max_shown)
        fprintf(c->to, "%s%s... and %u more\n", a->study, *a->study ? ": " : "", n_shown - c->max_shown);
    return 0;
}

static int is_table(const struct dirent *e)
{
    static const char end[] = "results.csv";
    size_t n = strlen(e->d_name);
    return n >= strlen(end) && strcmp(e->d_name + n - strlen(end), end) == 0;
}

/* "numa-results.csv" in both folders. */
static int compare_table(const char *dirs[2], const char *file, struct comparison *c, struct diag *d)
{
    struct stat st;
    size_t n = strlen(file) - strlen("results.csv");
    char *study = xasprintf("%.*s", n ? (int)n - 1 : 0, file);
    char *pa = xasprintf("%s/%s", dirs[0], file), *pb = xasprintf("%s/%s", dirs[1], file);
    int rc = 0;
    if (stat(pb, &st) != 0) {
        c->n[COMPARE_EXACT].missing++;
        fprintf(c->to, "%s (exact): is missing\n", file);
    } else {
        struct grid *a = grid_read(pa, study, d), *b = a ? grid_read(pb, study, d) : NULL;
        rc = a && b ? compare_grids(a, b, dirs, c, d) : -1;
        grid_free(a);
        grid_free(b);
    }
    free(study);
    free(pa);
    free(pb);
    return rc;
}

static int compare_folders(const char *a, const char *b, struct comparison *c, struct diag *d)
{
    const char *dirs[2] = {a, b};
    struct dirent **list = NULL;
    int n = scandir(a, &list, is_table, alphasort), rc = 0;
    if (n <= 0)
        rc = fail(d, "%s: found no result.json and no results.csv, expected a run or a folder of quire run", a);
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = compare_table(dirs, list[i]->d_name, c, d);
        free(list[i]);
    }
    free(list);
    return rc;
}

/* ---- host speed -------------------------------------------------------------------------------------------------- */
static json_t *read_bench(const char *path, struct diag *d)
{
    json_error_t err;
    json_t *rows = json_load_file(path, 0, &err);
    if (!rows)
        fail(d, "%s:%d: %s", path, err.line, err.text);
    else if (json_is_array(rows))
        return rows;
    else
        fail(d, "%s: found no list, expected the rows of quire bench --json", path);
    json_decref(rows);
    return NULL;
}

static json_t *find_bench(json_t *rows, const char *name)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *n = json_string_value(json_object_get(row, "name"));
        if (n && strcmp(n, name) == 0)
            return row;
    }
    return NULL;
}

/* A rate ("M accesses/s") must not fall, anything else ("bytes/page") must not rise. */
static void compare_speed(const struct pair *p, const char *name, json_t *a, json_t *b)
{
    double x = json_number_value(json_object_get(a, "value")), y = json_number_value(json_object_get(b, "value"));
    const char *unit = json_string_value(json_object_get(a, "unit"));
    size_t n = unit ? strlen(unit) : 0;
    bool is_rate = n >= 2 && strcmp(unit + n - 2, "/s") == 0;
    bool is_worse = is_rate ? y < x * (1 - p->c->tolerance) : y > x * (1 + p->c->tolerance);
    p->c->n[COMPARE_HOST].same += !is_worse;
    p->c->n[COMPARE_HOST].differ += is_worse;
    if (is_worse)
        show(p, "%s (host): %.6g %s, was %.6g", name, y, unit ? unit : "", x);
}

static int compare_benches(const char *a, const char *b, struct comparison *c, struct diag *d)
{
    uint32_t n_shown = 0;
    struct pair p = {c, "", &n_shown};
    json_t *x = read_bench(a, d), *y = x ? read_bench(b, d) : NULL, *row;
    size_t i;
    for (i = 0; y && i < json_array_size(x); i++) {
        row = json_array_get(x, i);
        const char *name = json_string_value(json_object_get(row, "name"));
        json_t *other = name ? find_bench(y, name) : NULL;
        if (other)
            compare_speed(&p, name, row, other);
        else
            missing(&p, COMPARE_HOST, name ? name : "a row without a name");
    }
    int rc = x && y ? 0 : -1;
    json_decref(x);
    json_decref(y);
    return rc;
}

/* ---- which of them ----------------------------------------------------------------------------------------------- */
enum what { WHAT_NOTHING, WHAT_BENCH, WHAT_RUN, WHAT_FOLDER };

static enum what what_is(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return WHAT_NOTHING;
    if (!S_ISDIR(st.st_mode))
        return WHAT_BENCH;
    char *result = xasprintf("%s/result.json", path);
    bool is_run = stat(result, &st) == 0;
    free(result);
    return is_run ? WHAT_RUN : WHAT_FOLDER;
}

int compare_results(const char *a, const char *b, struct comparison *c, struct diag *d)
{
    static int (*const compare[])(const char *, const char *, struct comparison *, struct diag *) = {
        [WHAT_BENCH] = compare_benches, [WHAT_RUN] = compare_runs, [WHAT_FOLDER] = compare_folders};
    static const char *const names[] = {"nothing", "a file", "a run", "a folder of runs"};
    enum what x = what_is(a), y = what_is(b);
    if (x == WHAT_NOTHING || y == WHAT_NOTHING)
        return fail(d, "%s: found nothing there, expected results", x == WHAT_NOTHING ? a : b);
    if (x != y)
        return fail(d, "%s is %s, %s is %s: expected two of a kind", a, names[x], b, names[y]);
    return compare[x](a, b, c, d);
}

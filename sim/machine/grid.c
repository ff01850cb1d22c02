/* SPDX-License-Identifier: MIT */
#include "sim/machine/grid.h"

#include "sim/base/outfile.h"
#include "sim/machine/csv.h"
#include "sim/machine/sweep.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- result.json ------------------------------------------------------------------------------------------------- */
char *read_whole(const char *path, size_t *len, struct diag *d)
{
    FILE *f = fopen(path, "re");
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
        fail(d, "%s: cannot be read: %s", path, f ? "not a plain file" : strerror(errno));
        if (f)
            fclose(f);
        return NULL;
    }
    char *text = xmalloc((size_t)st.st_size + 1);
    *len = fread(text, 1, (size_t)st.st_size, f);
    text[*len] = 0;
    fclose(f);
    return text;
}

static int hex4(const char *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", *at = p[i] ? strchr(digits, p[i] | 32) : NULL;
        if (!at)
            return -1;
        v = v << 4 | (int)(at - digits);
    }
    return v;
}

/* A JSON string at *p, unescaped in place; *p moves past it. NULL if it is none. */
static char *json_string(char **p)
{
    char *from = *p, *start = from + 1, *to = start;
    if (*from++ != '"')
        return NULL;
    while (*from && *from != '"') {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        int c = from[1] == 'u' ? hex4(from + 2) : from[1];
        if (c <= 0 || c > 127)
            return NULL;
        *to++ = (char)c;
        from += from[1] == 'u' ? 6 : 2;
    }
    if (!*from)
        return NULL;
    *to = 0;
    *p = from + 1;
    return start;
}

int result_json_next(char **p, char **key, char **value, bool *is_text)
{
    *p += strspn(*p, "{,\n ");
    if (**p == '}')
        return 0;
    *key = json_string(p);
    if (!*key || strncmp(*p, ": ", 2) != 0)
        return -1;
    *p += 2;
    *is_text = **p == '"';
    if (*is_text) {
        *value = json_string(p);
        return *value ? 1 : -1;
    }
    *value = *p;
    *p += strcspn(*p, ",\n");
    if (!**p)
        return -1;
    *(*p)++ = 0;
    if (strcmp(*value, "null") == 0)
        **value = 0;
    return 1;
}

/* ---- building ---------------------------------------------------------------------------------------------------- */
struct pair {
    char *key, *value;
};

struct run_values {
    char *text; /* the file; pairs point into it */
    struct pair *pair;
    uint32_t n;
};

static int load_run(const char *out, const char *id, struct run_values *v, struct diag *d)
{
    size_t len;
    bool is_text;
    char *dir = sweep_run_dir(out, id), *path = xasprintf("%s/result.json", dir);
    uint32_t cap = 0;
    int rc = -1;
    *v = (struct run_values){.text = read_whole(path, &len, d)};
    char *p = v->text;
    for (struct pair one; p && (rc = result_json_next(&p, &one.key, &one.value, &is_text)) == 1;) {
        if (v->n == cap)
            v->pair = xrealloc(v->pair, (cap = cap ? 2 * cap : 256) * sizeof *v->pair);
        v->pair[v->n++] = one;
    }
    if (v->text && rc != 0)
        fail(d, "%s: byte %zu: found no key and value, expected the result of a run", path, (size_t)(p - v->text));
    free(path);
    free(dir);
    return rc;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The union of all keys, sorted. */
static void collect_columns(struct grid *g, const struct run_values *v, uint32_t n)
{
    uint32_t total = 0, k = 0;
    for (uint32_t i = 0; i < n; i++)
        total += v[i].n;
    char **all = xcalloc(total + 1, sizeof *all);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < v[i].n; j++)
            all[k++] = v[i].pair[j].key;
    qsort(all, total, sizeof *all, compare_strings);
    g->col = xcalloc(total + 1, sizeof *g->col);
    for (uint32_t i = 0; i < total; i++)
        if (i == 0 || strcmp(all[i], all[i - 1]) != 0)
            g->col[g->n_cols++] = xstrdup(all[i]);
    free(all);
}

static void fill_row(struct grid *g, const struct study *s, const struct point *p, const struct run_values *v)
{
    struct grid_row *row = &g->row[g->n_rows++];
    uint32_t j = 0;
    memcpy(row->id, p->id, sizeof row->id);
    row->label = xcalloc(g->n_axes + 1, sizeof *row->label);
    row->cell = xcalloc(g->n_cols + 1, sizeof *row->cell);
    for (uint32_t i = 0; i < g->n_axes; i++)
        row->label[i] = xstrdup(s->axis[i].label[p->at[i]]);
    for (uint32_t i = 0; i < g->n_cols; i++) { /* both are sorted */
        bool has = j < v->n && strcmp(v->pair[j].key, g->col[i]) == 0;
        row->cell[i] = xstrdup(has ? v->pair[j].value : "");
        j += has;
    }
}

struct grid *grid_load(const struct study *s, const char *out, struct diag *d)
{
    struct run_values *v = xcalloc(s->n_points + 1, sizeof *v);
    struct grid *g = xcalloc(1, sizeof *g);
    int rc = 0;
    g->study = xstrdup(s->name);
    g->n_axes = s->n_axes;
    g->axis = xcalloc(g->n_axes + 1, sizeof *g->axis);
    for (uint32_t i = 0; i < s->n_axes; i++)
        g->axis[i] = xstrdup(s->axis[i].name);
    for (uint32_t i = 0; rc == 0 && i < s->n_points; i++)
        rc = load_run(out, s->point[i].id, &v[i], d);
    if (rc == 0) {
        collect_columns(g, v, s->n_points);
        g->row = xcalloc(s->n_points + 1, sizeof *g->row);
        for (uint32_t i = 0; i < s->n_points; i++)
            fill_row(g, s, &s->point[i], &v[i]);
    }
    for (uint32_t i = 0; i < s->n_points; i++) {
        free(v[i].pair);
        free(v[i].text);
    }
    free(v);
    if (rc == 0)
        return g;
    grid_free(g);
    return NULL;
}

static void free_strings(char **p, uint32_t n)
{
    for (uint32_t i = 0; p && i < n; i++)
        free(p[i]);
    free(p);
}

void grid_free(struct grid *g)
{
    if (!g)
        return;
    for (uint32_t i = 0; i < g->n_rows; i++) {
        free_strings(g->row[i].label, g->n_axes);
        free_strings(g->row[i].cell, g->n_cols);
    }
    free(g->row);
    free_strings(g->axis, g->n_axes);
    free_strings(g->col, g->n_cols);
    free(g->study);
    free(g);
}

/* ---- CSV --------------------------------------------------------------------------------------------------------- */
int grid_write(const struct grid *g, const char *path, struct diag *d)
{
    struct outfile o;
    if (out_open(&o, path, d) != 0)
        return -1;
    for (uint32_t i = 0; i < g->n_axes; i++)
        csv_put(o.f, g->axis[i], i == 0);
    csv_put(o.f, "run", g->n_axes == 0);
    for (uint32_t i = 0; i < g->n_cols; i++)
        csv_put(o.f, g->col[i], false);
    fputc('\n', o.f);
    for (uint32_t r = 0; r < g->n_rows; r++) {
        for (uint32_t i = 0; i < g->n_axes; i++)
            csv_put(o.f, g->row[r].label[i], i == 0);
        csv_put(o.f, g->row[r].id, g->n_axes == 0);
        for (uint32_t i = 0; i < g->n_cols; i++)
            csv_put(o.f, g->row[r].cell[i], false);
        fputc('\n', o.f);
    }
    return out_commit(&o, d);
}

static int read_header(struct grid *g, char **p, const char *path, struct diag *d)
{
    uint32_t n, run = 0;
    char **head = csv_line(p, &n);
    while (run < n && strcmp(head[run], "run") != 0)
        run++;
    if (run == n) {
        free(head);
        return fail(d, "%s:1: found no column \"run\", expected the results of a sweep", path);
    }
    g->n_axes = run;
    g->n_cols = n - run - 1;
    g->axis = xcalloc(g->n_axes + 1, sizeof *g->axis);
    g->col = xcalloc(g->n_cols + 1, sizeof *g->col);
    for (uint32_t i = 0; i < n; i++)
        if (i != run)
            *(i < run ? &g->axis[i] : &g->col[i - run - 1]) = xstrdup(head[i]);
    free(head);
    return 0;
}

static int read_row(struct grid *g, char **p, const char *path, struct diag *d)
{
    uint32_t n;
    char **field = csv_line(p, &n);
    if (n != g->n_axes + 1 + g->n_cols) {
        free(field);
        return fail(d, "%s:%u: found %u fields, expected %u", path, g->n_rows + 2, n, g->n_axes + 1 + g->n_cols);
    }
    g->row = xrealloc(g->row, (g->n_rows + 1) * sizeof *g->row);
    struct grid_row *row = &g->row[g->n_rows++];
    *row = (struct grid_row){.label = xcalloc(g->n_axes + 1, sizeof *row->label),
                             .cell = xcalloc(g->n_cols + 1, sizeof *row->cell)};
    snprintf(row->id, sizeof row->id, "%s", field[g->n_axes]);
    for (uint32_t i = 0; i < g->n_axes; i++)
        row->label[i] = xstrdup(field[i]);
    for (uint32_t i = 0; i < g->n_cols; i++)
        row->cell[i] = xstrdup(field[g->n_axes + 1 + i]);
    free(field);
    return 0;
}

struct grid *grid_read(const char *path, const char *study, struct diag *d)
{
    size_t len;
    char *text = read_whole(path, &len, d), *p = text;
    if (!text)
        return NULL;
    struct grid *g = xcalloc(1, sizeof *g);
    g->study = xstrdup(study);
    int rc = read_header(g, &p, path, d);
    while (rc == 0 && *p)
        rc = read_row(g, &p, path, d);
    free(text);
    if (rc == 0 && !g->n_rows)
        rc = fail(d, "%s: found no rows below the heading, expected one a run", path);
    if (rc == 0)
        return g;
    grid_free(g);
    return NULL;
}

/* ---- looking up -------------------------------------------------------------------------------------------------- */
static int find_string(char *const *list, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0)
            return (int)i;
    return -1;
}

int grid_col(const struct grid *g, const char *name)
{
    return find_string(g->col, g->n_cols, name);
}

int grid_axis(const struct grid *g, const char *name)
{
    return find_string(g->axis, g->n_axes, name);
}

bool grid_number(const char *cell, double *value)
{
    char *end;
    if (!*cell || *cell == ' ')
        return false;
    *value = strtod(cell, &end);
    return !*end && isfinite(*value);
}

/* SPDX-License-Identifier: MIT */
#include "sim/machine/plot.h"

#include "sim/base/types.h"
#include "sim/machine/curve.h"
#include "sim/machine/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const plot_kinds[] = {"line", "scatter", "bars", NULL};

#define FIELD(name) .offset = offsetof(struct plot, name)
const struct conf_key plot_keys[] = {
    {.name = "x", .type = CONF_STRING, FIELD(x), .def = "", .help = "the sweep along the horizontal axis"},
    {.name = "against",
     .type = CONF_STRING,
     FIELD(against),
     .def = "",
     .help = "a key of the results along the horizontal axis, instead of a sweep"},
    {.name = "y", .type = CONF_LIST, FIELD(y), .def = "", .help = "the key, or keys, that are drawn"},
    {.name = "series", .type = CONF_STRING, FIELD(series), .def = "", .help = "draw this series of the runs instead"},
    {.name = "group", .type = CONF_LIST, FIELD(group), .def = "", .help = "sweeps whose values are lines of their own"},
    {.name = "where",
     .type = CONF_LIST,
     FIELD(where),
     .def = "",
     .help = "sweep=value (or label=value), what is drawn"},
    {.name = "kind", .type = CONF_CHOICE, FIELD(kind), .def = "line", .choices = plot_kinds, .help = "how it is drawn"},
    {.name = "logx", .type = CONF_BOOL, FIELD(logx), .def = "false", .help = "logarithmic horizontal axis"},
    {.name = "logy", .type = CONF_BOOL, FIELD(logy), .def = "false", .help = "logarithmic vertical axis"},
    {.name = "wide", .type = CONF_BOOL, FIELD(is_wide), .def = "false", .help = "17 cm wide, not 8.5"},
    {.name = "xmax", .type = CONF_STRING, FIELD(xmax), .def = "", .help = "where the horizontal axis ends"},
    {.name = "ymin", .type = CONF_STRING, FIELD(ymin), .def = "", .help = "where the vertical axis begins"},
    {.name = "ymax", .type = CONF_STRING, FIELD(ymax), .def = "", .help = "where the vertical axis ends"},
    {.name = "xlabel", .type = CONF_STRING, FIELD(xlabel), .def = "", .help = "with its unit; empty: from the key"},
    {.name = "ylabel", .type = CONF_STRING, FIELD(ylabel), .def = "", .help = "with its unit; empty: from the key"},
    {.name = "title", .type = CONF_STRING, FIELD(title), .def = "", .help = "heading of the picture's paragraph"},
    {.name = "caption", .type = CONF_STRING, FIELD(caption), .def = "", .help = "what the picture shows"},
    {0},
};

void plot_read(const struct conf_section *sec, struct plot *p)
{
    CHECK(conf_bind(sec, plot_keys, p, NULL) == 0);
    p->name = conf_title(sec);
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */
static bool is_file_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n > 0 && n <= 64 && !s[n];
}

/* "sweep=value" into a name and a value; NULL if it has no '='. */
static const char *filter_value(const char *text, char name[80])
{
    const char *eq = strchr(text, '=');
    snprintf(name, 80, "%.*s", eq ? (int)(eq - text) : 0, text);
    return eq ? eq + 1 : NULL;
}

static int check_range(const char *where, const char *key, const char *text, struct diag *d)
{
    double v;
    return !*text || grid_number(text, &v) ? 0 : fail(d, "%s %s: found \"%s\", expected a number", where, key, text);
}

static int check_one(const struct study *s, const struct conf_section *sec, struct diag *d)
{
    struct plot p;
    char where[700], name[80];
    int rc = 0;
    snprintf(where, sizeof where, "%s: [plot.%s]", conf_where(sec), conf_title(sec));
    if (conf_bind(sec, plot_keys, &p, d) != 0)
        return -1;
    if (!is_file_name(conf_title(sec)))
        rc |= fail(d, "%s: found the title \"%.60s\", expected a word of letters, digits, - and _", where,
                   conf_title(sec));
    if (*p.against && (*p.x || *p.series || p.kind == PLOT_BARS))
        rc |= fail(d, "%s against: found it beside x, series or bars, expected one of them", where);
    if (!*p.series && !*p.against && study_axis(s, p.x) < 0)
        rc |= fail(d, "%s x: found \"%s\", expected the title of a sweep", where, p.x);
    if (*p.series ? p.y->n || *p.x : !p.y->n)
        rc |= fail(d, "%s y: found %s, expected x and y, or series", where,
                   *p.series ? "x or y beside series" : "nothing");
    for (uint32_t i = 0; i < p.group->n; i++)
        if (study_axis(s, p.group->item[i]) < 0)
            rc |= fail(d, "%s group: found \"%s\", expected the title of a sweep", where, p.group->item[i]);
    for (uint32_t i = 0; i < p.where->n; i++) {
        bool ok = filter_value(p.where->item[i], name) != NULL;
        if (!ok || (study_axis(s, name) < 0 && !(*p.series && strcmp(name, "label") == 0)))
            rc |= fail(d, "%s where: found \"%s\", expected sweep=value", where, p.where->item[i]);
    }
    rc |= check_range(where, "xmax", p.xmax, d);
    rc |= check_range(where, "ymin", p.ymin, d);
    return rc | check_range(where, "ymax", p.ymax, d);
}

int plot_check(const struct study *s, struct diag *d)
{
    int rc = 0;
    for (const struct conf_section *sec = conf_find(conf_root(s->conf), "plot", NULL); sec; sec = conf_next(sec))
        rc |= check_one(s, sec, d);
    return rc;
}

/* ---- collecting -------------------------------------------------------------------------------------------------- */
struct collector {
    const struct plot *p;
    const struct study *s;
    const struct grid *g;
    struct plot_data *data;
    struct sample {
        uint32_t line;
        double x, y;
    } * sample;
    size_t n, cap;
};

static void add_sample(struct collector *c, const char *name, double x, double y)
{
    uint32_t i = 0;
    struct plot_data *data = c->data;
    while (i < data->n && strcmp(data->line[i].name, name) != 0)
        i++;
    if (i == data->n) {
        data->line = xrealloc(data->line, (data->n + 1) * sizeof *data->line);
        data->line[data->n++] = (struct plot_line){.name = xstrdup(name)};
    }
    if (c->n == c->cap)
        c->sample = xrealloc(c->sample, (c->cap = c->cap ? 2 * c->cap : 256) * sizeof *c->sample);
    c->sample[c->n++] = (struct sample){i, x, y};
}

static int compare_samples(const void *a, const void *b)
{
    const struct sample *p = a, *q = b;
    if (p->line != q->line)
        return p->line < q->line ? -1 : 1;
    if (p->x != q->x)
        return p->x < q->x ? -1 : 1;
    return (p->y > q->y) - (p->y < q->y);
}

/* Samples of one line and one x become a point. */
static void fold_samples(struct collector *c)
{
    if (c->n)
        qsort(c->sample, c->n, sizeof *c->sample, compare_samples);
    for (size_t i = 0, j; i < c->n; i = j) {
        const struct sample *first = &c->sample[i];
        for (j = i + 1; j < c->n && c->sample[j].line == first->line && c->sample[j].x == first->x; j++)
            ;
        struct plot_line *line = &c->data->line[first->line];
        size_t n = j - i;
        double mid = n % 2 ? first[n / 2].y : (first[n / 2 - 1].y + first[n / 2].y) / 2;
        line->point = xrealloc(line->point, (line->n + 1) * sizeof *line->point);
        line->point[line->n++] = (struct plot_point){first->x, mid, first->y, c->sample[j - 1].y};
        c->data->has_bars |= first->y != c->sample[j - 1].y;
    }
    free(c->sample);
}

static bool is_shown(const struct collector *c, const struct grid_row *r)
{
    char name[80];
    for (uint32_t i = 0; i < c->p->where->n; i++) {
        const char *value = filter_value(c->p->where->item[i], name);
        int a = grid_axis(c->g, name);
        if (a >= 0 && strcmp(r->label[a], value) != 0)
            return false;
    }
    return true;
}

static bool is_label_shown(const struct plot *p, const char *label)
{
    bool any = false;
    char name[80];
    for (uint32_t i = 0; i < p->where->n; i++) {
        const char *value = filter_value(p->where->item[i], name);
        if (strcmp(name, "label") != 0)
            continue;
        if (strcmp(value, label) == 0)
            return true;
        any = true;
    }
    return !any;
}

/* "100us" says nothing in a legend without the name of its sweep. */
static bool is_bare_number(const char *label)
{
    return label[0] >= '0' && label[0] <= '9';
}

/* "vfha, combined": the values of the group sweeps, and what tells apart several keys or labels. */
static void line_name(const struct collector *c, const struct grid_row *r, const char *extra, char *buf, size_t size)
{
    size_t len = 0;
    buf[0] = 0;
    for (uint32_t i = 0; i < c->p->group->n && len < size; i++) {
        int a = grid_axis(c->g, c->p->group->item[i]);
        if (a < 0)
            continue;
        char *value = plot_value_label(r->label[a]);
        bool bare = is_bare_number(value);
        len += (size_t)snprintf(buf + len, size - len, "%s%s%s%s", len ? ", " : "", bare ? c->g->axis[a] : "",
                                bare ? " " : "", value);
        free(value);
    }
    if (*extra && len < size)
        snprintf(buf + len, size - len, "%s%s", len ? ", " : "", extra);
}

static int no_key(const struct collector *c, const char *what, const char *key, struct diag *d)
{
    const char *near = conf_nearest(key, (const char *const *)c->g->col, c->g->n_cols);
    return fail(d, "[plot.%s] %s: found \"%s\", which no run has, expected a key of the results%s%s", c->p->name, what,
                key, near ? ", perhaps " : "", near ? near : "");
}

/* One key of the results against another. */
static int collect_against(struct collector *c, struct diag *d)
{
    char name[200];
    int x_col = grid_col(c->g, c->p->against);
    if (x_col < 0)
        return no_key(c, "against", c->p->against, d);
    for (uint32_t k = 0; k < c->p->y->n; k++) {
        int col = grid_col(c->g, c->p->y->item[k]);
        if (col < 0)
            return no_key(c, "y", c->p->y->item[k], d);
        char *extra = c->p->y->n > 1 ? plot_key_label(c->p->y->item[k]) : xstrdup("");
        for (uint32_t i = 0; i < c->g->n_rows; i++) {
            const struct grid_row *r = &c->g->row[i];
            double x, y;
            if (!is_shown(c, r) || !grid_number(r->cell[x_col], &x) || !grid_number(r->cell[col], &y))
                continue;
            line_name(c, r, extra, name, sizeof name);
            add_sample(c, name, x, y);
        }
        free(extra);
    }
    return 0;
}

static int collect_results(struct collector *c, struct diag *d)
{
    char name[200];
    int axis = grid_axis(c->g, c->p->x);
    CHECK(axis >= 0);
    const struct axis *a = &c->s->axis[axis];
    struct plot_data *data = c->data;
    double ignored;
    bool is_numeric = true;
    for (uint32_t v = 0; v < a->n_values; v++)
        is_numeric &= grid_number(a->label[v], &ignored);
    data->n_ticks = is_numeric && a->n_values > 10 && c->p->kind != PLOT_BARS ? 0 : a->n_values;
    data->tick = xcalloc(data->n_ticks + 1, sizeof *data->tick);
    data->tick_at = xcalloc(data->n_ticks + 1, sizeof *data->tick_at);
    for (uint32_t v = 0; v < data->n_ticks; v++) {
        data->tick[v] = plot_value_label(a->label[v]);
        data->tick_at[v] = v;
        if (is_numeric && c->p->kind != PLOT_BARS)
            grid_number(a->label[v], &data->tick_at[v]);
    }
    for (uint32_t k = 0; k < c->p->y->n; k++) {
        int col = grid_col(c->g, c->p->y->item[k]);
        if (col < 0)
            return no_key(c, "y", c->p->y->item[k], d);
        char *extra = c->p->y->n > 1 ? plot_key_label(c->p->y->item[k]) : xstrdup("");
        for (uint32_t i = 0; i < c->g->n_rows; i++) {
            const struct grid_row *r = &c->g->row[i];
            double x = 0, y;
            if (!is_shown(c, r) || !grid_number(r->cell[col], &y))
                continue;
            for (uint32_t v = 0; v < a->n_values; v++)
                if (strcmp(a->label[v], r->label[axis]) == 0)
                    x = v;
            if (is_numeric && c->p->kind != PLOT_BARS)
                grid_number(r->label[axis], &x);
            line_name(c, r, extra, name, sizeof name);
            add_sample(c, name, x, y);
        }
        free(extra);
    }
    return 0;
}

static int collect_curves(struct collector *c, const char *out, struct diag *d)
{
    int rc = 0;
    char name[200];
    for (uint32_t i = 0; rc == 0 && i < c->g->n_rows; i++) {
        const struct grid_row *r = &c->g->row[i];
        if (!is_shown(c, r))
            continue;
        struct curves curves = {0};
        char *dir = sweep_run_dir(out, r->id), *path = xasprintf("%s/series.csv", dir);
        rc = curves_read(&curves, path, d);
        for (uint32_t k = 0; rc == 0 && k < curves.n; k++) {
            const struct curve_point *pt = &curves.point[k];
            if (strcmp(pt->series, c->p->series) != 0 || !is_label_shown(c->p, pt->label))
                continue;
            if (!c->data->xlabel)
                c->data->xlabel = plot_key_label(pt->x_name);
            line_name(c, r, pt->label, name, sizeof name);
            add_sample(c, name, pt->x, pt->y);
        }
        curves_free(&curves);
        free(path);
        free(dir);
    }
    return rc;
}

static void drop_line(struct plot_data *data, uint32_t i)
{
    free(data->line[i].name);
    free(data->line[i].point);
    memmove(&data->line[i], &data->line[i + 1], (--data->n - i) * sizeof *data->line);
}

static bool same_points(const struct plot_line *a, const struct plot_line *b)
{
    return a->n == b->n && memcmp(a->point, b->point, a->n * sizeof *a->point) == 0;
}

/* A curve that is the same in every group is drawn once, under its label alone. */
static void fold_twins(struct plot_data *data)
{
    for (uint32_t i = 0; i < data->n; i++) {
        const char *label = strstr(data->line[i].name, ", ");
        bool twin = false;
        for (uint32_t j = data->n; label && --j > i;) {
            const char *other = strstr(data->line[j].name, ", ");
            if (other && strcmp(label, other) == 0 && same_points(&data->line[i], &data->line[j])) {
                drop_line(data, j);
                twin = true;
            }
        }
        if (twin)
            memmove(data->line[i].name, label + 2, strlen(label + 2) + 1);
    }
}

/* What all names end with says nothing either. */
static void cut_common_end(struct plot_data *data)
{
    const char *end = data->n > 1 ? strrchr(data->line[0].name, ',') : NULL;
    for (uint32_t i = 0; end && i < data->n; i++) {
        size_t n = strlen(data->line[i].name), m = strlen(end);
        if (n <= m || strcmp(data->line[i].name + n - m, end) != 0)
            return;
    }
    size_t m = end ? strlen(end) : 0;
    for (uint32_t i = data->n; m && i-- > 0;)
        data->line[i].name[strlen(data->line[i].name) - m] = 0;
}

/* The label part of a line's name: what follows the values of the sweeps. */
static char *label_part(char *name)
{
    char *part = name;
    for (char *comma = name; (comma = strstr(comma, ", ")) != NULL; part = comma)
        comma += 2;
    return part;
}

/* "redis true" and "redis observed" differ in their last word only: the first, which names the VM, is left out. */
static void drop_common_word(struct plot_data *data)
{
    size_t n = strcspn(label_part(data->line[0].name), " ");
    for (uint32_t i = 0; i < data->n; i++) {
        const char *part = label_part(data->line[i].name);
        if (part[n] != ' ' || strncmp(part, label_part(data->line[0].name), n) != 0)
            return;
    }
    for (uint32_t i = data->n; i-- > 0;) {
        char *part = label_part(data->line[i].name);
        memmove(part, part + n + 1, strlen(part + n + 1) + 1);
    }
}

/* One line needs no legend; a part that all names share says nothing. */
static void simplify_names(struct plot_data *data)
{
    if (data->n == 1)
        data->line[0].name[0] = 0;
    for (bool again = data->n > 1; again;) {
        const char *first = data->line[0].name, *comma = strstr(first, ", ");
        again = comma != NULL;
        for (uint32_t i = 1; again && i < data->n; i++)
            again = strncmp(data->line[i].name, first, (size_t)(comma - first) + 2) == 0;
        for (uint32_t i = data->n; again && i-- > 0;) {
            char *name = data->line[i].name;
            size_t skip = (size_t)(comma - first) + 2;
            memmove(name, name + skip, strlen(name + skip) + 1);
        }
    }
}

/* The key of a sweep of one, the name of a sweep over several. */
static char *x_label(const struct plot *p, const struct study *s)
{
    if (*p->xlabel || *p->against)
        return *p->xlabel ? xstrdup(p->xlabel) : plot_key_label(p->against);
    const struct axis *a = &s->axis[study_axis(s, p->x)];
    return plot_key_label(a->n_keys > 1 ? a->name : a->key[0]);
}

/* Picoseconds are what results hold, not what people read: an axis that is not labelled by hand gets the unit that
 * suits its largest number. Returns the label. */
static char *scale_times(const struct plot *p, struct plot_data *data)
{
    double largest = 0, unit_ps;
    bool is_time = !*p->ymax && (!*p->ymin || strcmp(p->ymin, "0") == 0);
    for (uint32_t i = 0; i < p->y->n; i++)
        is_time &= plot_key_is_ps(p->y->item[i]);
    if (!is_time || *p->series)
        return plot_key_label(*p->series ? p->series : p->y->item[0]);
    for (uint32_t i = 0; i < data->n; i++)
        for (uint32_t k = 0; k < data->line[i].n; k++)
            largest = fmax(largest, data->line[i].point[k].high);
    char *label = plot_time_label(p->y->item[0], largest, &unit_ps);
    for (uint32_t i = 0; i < data->n; i++)
        for (uint32_t k = 0; k < data->line[i].n; k++) {
            struct plot_point *pt = &data->line[i].point[k];
            *pt = (struct plot_point){pt->x, pt->mid / unit_ps, pt->low / unit_ps, pt->high / unit_ps};
        }
    return label;
}

int plot_collect(const struct plot *p, const struct study *s, const struct grid *g, const char *out,
                 struct plot_data *data, struct diag *d)
{
    struct collector c = {.p = p, .s = s, .g = g, .data = data};
    *data = (struct plot_data){0};
    int rc = *p->series ? collect_curves(&c, out, d) : *p->against ? collect_against(&c, d) : collect_results(&c, d);
    fold_samples(&c);
    if (rc == 0 && !data->n)
        rc = fail(d, "[plot.%s]: found no points to draw, expected some", p->name);
    if (rc != 0) {
        plot_data_free(data);
        return -1;
    }
    if (*p->series) {
        fold_twins(data);
        cut_common_end(data);
    }
    if (*p->series && data->n > 1)
        drop_common_word(data);
    simplify_names(data);
    if (*p->xlabel || !data->xlabel) {
        free(data->xlabel);
        data->xlabel = x_label(p, s);
    }
    data->ylabel = *p->ylabel ? xstrdup(p->ylabel) : scale_times(p, data);
    return 0;
}

void plot_data_free(struct plot_data *data)
{
    for (uint32_t i = 0; i < data->n; i++) {
        free(data->line[i].name);
        free(data->line[i].point);
    }
    for (uint32_t i = 0; i < data->n_ticks; i++)
        free(data->tick[i]);
    free(data->line);
    free(data->tick);
    free(data->tick_at);
    free(data->xlabel);
    free(data->ylabel);
    *data = (struct plot_data){0};
}

/* SPDX-License-Identifier: MIT */
/* Judging an experiment's results: rows of its grid in groups, the comparison that each kind of expectation asks for,
 * and the numbers that decided. */
#include "sim/machine/curve.h"
#include "sim/machine/expect_int.h"
#include "sim/machine/sweep.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* One expectation at work. */
struct court {
    const struct study *s;
    const struct grid *g;
    const char *out;
    const struct expect *x;
    int over, seed;  /* indices of axes, or -1 */
    double min, max; /* infinite where not given */
    enum verdict_word word;
    char detail[400]; /* of the first thing that is false, else of the closest one */
    double margin;    /* of the closest one so far; smaller is closer */
    uint32_t n_judged;
};

/* ---- deciding ---------------------------------------------------------------------------------------------------- */
static void __attribute__((format(printf, 2, 3))) unjudged(struct court *c, const char *fmt, ...)
{
    if (c->word == VERDICT_UNJUDGED)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->detail, sizeof c->detail, fmt, ap);
    va_end(ap);
    c->word = VERDICT_UNJUDGED;
}

/* One comparison: what it was, whether it holds, and by how much (any measure that grows with safety). */
static void __attribute__((format(printf, 4, 5)))
decide(struct court *c, bool holds, double margin, const char *fmt, ...)
{
    bool keep = c->word == VERDICT_TRUE && (!holds || !c->n_judged || margin < c->margin);
    c->n_judged++;
    if (!keep)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->detail, sizeof c->detail, fmt, ap);
    va_end(ap);
    c->margin = margin;
    c->word = holds ? VERDICT_TRUE : VERDICT_FALSE;
}

static void decide_in_range(struct court *c, double v, const char *what, const char *group)
{
    double low = v - c->min, high = c->max - v;
    decide(c, low >= 0 && high >= 0, low < high ? low : high, "%s = %.6g%s%s", what, v, *group ? " at " : "", group);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */
static bool is_used(const struct court *c, const struct grid_row *r)
{
    for (uint32_t i = 0; i < c->x->where->n; i++) {
        const char *label;
        int a = expect_filter(c->s, c->x->where->item[i], &label);
        if (a >= 0 && strcmp(r->label[a], label) != 0)
            return false;
    }
    return true;
}

/* The two rows differ at most in the sweep over (and in the seed, if it is folded). */
static bool same_group(const struct court *c, const struct grid_row *a, const struct grid_row *b, bool fold_seed)
{
    for (uint32_t i = 0; i < c->g->n_axes; i++)
        if ((int)i != c->over && !(fold_seed && (int)i == c->seed) && strcmp(a->label[i], b->label[i]) != 0)
            return false;
    return true;
}

static bool is_first_of_group(const struct court *c, const struct grid_row *r, bool fold_seed)
{
    for (const struct grid_row *o = c->g->row; o < r; o++)
        if (is_used(c, o) && same_group(c, o, r, fold_seed))
            return false;
    return is_used(c, r);
}

static void group_name(const struct court *c, const struct grid_row *r, bool fold_seed, char *buf, size_t size)
{
    size_t len = 0;
    buf[0] = 0;
    for (uint32_t i = 0; i < c->g->n_axes && len < size; i++)
        if ((int)i != c->over && !(fold_seed && (int)i == c->seed))
            len += (size_t)snprintf(buf + len, size - len, "%s%s=%s", len ? " " : "", c->g->axis[i], r->label[i]);
}

static bool key_value(struct court *c, const struct grid_row *r, const char *key, double *v)
{
    int col = grid_col(c->g, key);
    if (col < 0) {
        const char *near = conf_nearest(key, (const char *const *)c->g->col, c->g->n_cols);
        unjudged(c, "no run has the key %s%s%s", key, near ? ", the nearest is " : "", near ? near : "");
        return false;
    }
    if (grid_number(r->cell[col], v))
        return true;
    unjudged(c, "run %s has no number under %s", r->id, key);
    return false;
}

static bool row_value(struct court *c, const struct grid_row *r, double *v)
{
    double per;
    if (!key_value(c, r, c->x->of, v))
        return false;
    if (!*c->x->per)
        return true;
    if (!key_value(c, r, c->x->per, &per))
        return false;
    *v /= per;
    if (isfinite(*v))
        return true;
    unjudged(c, "run %s has 0 under %s", r->id, c->x->per);
    return false;
}

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Median over the seeds of group rep where the sweep over has that label. */
static bool median_at(struct court *c, const struct grid_row *rep, const char *label, double *v)
{
    double *list = xcalloc(c->g->n_rows, sizeof *list);
    uint32_t n = 0;
    bool ok = true;
    for (uint32_t i = 0; ok && i < c->g->n_rows; i++) {
        const struct grid_row *r = &c->g->row[i];
        if (is_used(c, r) && same_group(c, r, rep, true) && strcmp(r->label[c->over], label) == 0)
            ok = row_value(c, r, &list[n++]);
    }
    if (ok && n) {
        qsort(list, n, sizeof *list, compare_doubles);
        *v = n % 2 ? list[n / 2] : (list[n / 2 - 1] + list[n / 2]) / 2;
    } else if (ok) {
        unjudged(c, "no run has %s=%s", c->g->axis[c->over], label);
    }
    free(list);
    return ok && n;
}

/* ---- the kinds --------------------------------------------------------------------------------------------------- */
static void step(struct court *c, const char *from, const char *to, double a, double b, const char *group)
{
    double slack = fabs(a) * (double)c->x->tolerance_ppm / 1e6, gain = c->x->is_down ? a - b : b - a;
    bool holds = c->x->is_strict ? gain > 0 : gain >= -slack;
    decide(c, holds, gain, "%.6g at %s, %.6g at %s%s%s", a, from, b, to, *group ? ", " : "", group);
}

static void judge_chain(struct court *c, const struct grid_row *rep, const char *const *labels, uint32_t n,
                        const char *group)
{
    double last = 0, v;
    for (uint32_t i = 0; i < n && median_at(c, rep, labels[i], &v); i++) {
        if (i > 0)
            step(c, labels[i - 1], labels[i], last, v, group);
        last = v;
    }
}

static bool is_label_used(const struct court *c, const char *label)
{
    for (uint32_t i = 0; i < c->g->n_rows; i++)
        if (is_used(c, &c->g->row[i]) && strcmp(c->g->row[i].label[c->over], label) == 0)
            return true;
    return false;
}

/* The labels of the sweep over that `where` leaves. The caller frees the array. */
static const char **used_labels(const struct court *c, uint32_t *n)
{
    const struct axis *a = &c->s->axis[c->over];
    const char **list = xcalloc(a->n_values, sizeof *list);
    *n = 0;
    for (uint32_t i = 0; i < a->n_values; i++)
        if (is_label_used(c, a->label[i]))
            list[(*n)++] = a->label[i];
    return list;
}

static void judge_monotone(struct court *c, const struct grid_row *rep, const char *group)
{
    uint32_t n;
    const char **labels = used_labels(c, &n);
    judge_chain(c, rep, labels, n, group);
    free(labels);
}

static void judge_rank(struct court *c, const struct grid_row *rep, const char *group)
{
    judge_chain(c, rep, c->x->order->item, c->x->order->n, group);
}

static void judge_ratio(struct court *c, const struct grid_row *rep, const char *group)
{
    double above, below;
    bool ok = c->over >= 0 ? median_at(c, rep, c->x->at, &above) && median_at(c, rep, c->x->base, &below)
                           : row_value(c, rep, &above) && key_value(c, rep, c->x->to, &below);
    if (ok && below == 0)
        unjudged(c, "the number below the line is 0%s%s", *group ? " at " : "", group);
    else if (ok)
        decide_in_range(c, above / below, "ratio", group);
}

static void judge_range(struct court *c, const struct grid_row *rep, const char *group)
{
    double v;
    if (row_value(c, rep, &v))
        decide_in_range(c, v, c->x->of, group);
}

static void judge_band(struct court *c, const struct grid_row *rep, const char *group)
{
    double v, published = strtod(c->x->value, NULL), room = fabs(published) * (double)c->x->within_ppm / 1e6;
    if (!row_value(c, rep, &v))
        return;
    decide(c, fabs(v - published) <= room, room - fabs(v - published), "%.6g, published %.6g%s%s", v, published,
           *group ? ", at " : "", group);
}

static void judge_equal(struct court *c, const struct grid_row *rep, const char *group)
{
    int col = grid_col(c->g, c->x->of);
    double ignored;
    if (col < 0) {
        key_value(c, rep, c->x->of, &ignored);
        return;
    }
    for (const struct grid_row *r = rep + 1; r < c->g->row + c->g->n_rows; r++)
        if (is_used(c, r) && same_group(c, r, rep, false))
            decide(c, strcmp(r->cell[col], rep->cell[col]) == 0, 0, "%.60s at %s, %.60s at %s%s%s", rep->cell[col],
                   rep->label[c->over], r->cell[col], r->label[c->over], *group ? ", " : "", group);
}

/* The bend of a curve as the point farthest from the straight line between its ends, both axes scaled to [0, 1]. */
static void judge_knee(struct court *c, const struct grid_row *rep, const char *group)
{
    uint32_t n, best = 0;
    const char **labels = used_labels(c, &n);
    double *x = xcalloc(n + 1, sizeof *x), *y = xcalloc(n + 1, sizeof *y), far = -1;
    bool ok = n >= 3;
    if (!ok)
        unjudged(c, "a knee needs three values of %s", c->x->over);
    for (uint32_t i = 0; ok && i < n; i++) {
        ok = grid_number(labels[i], &x[i]) && median_at(c, rep, labels[i], &y[i]);
        if (!ok)
            unjudged(c, "the value %s of %s is no number", labels[i], c->x->over);
    }
    for (uint32_t i = 0; ok && i < n; i++) {
        double dx = x[n - 1] - x[0], dy = y[n - 1] - y[0];
        double dist = dy == 0 ? 0 : fabs((x[i] - x[0]) / dx - (y[i] - y[0]) / dy);
        if (dist > far) {
            far = dist;
            best = i;
        }
    }
    if (ok)
        decide_in_range(c, x[best], "knee", group);
    free(x);
    free(y);
    free(labels);
}

static void judge_match(struct court *c, const struct grid_row *rep, const char *group)
{
    struct curves curves = {0};
    struct diag d = {0};
    char *dir = sweep_run_dir(c->out, rep->id), *path = xasprintf("%s/series.csv", dir);
    double at, gap;
    if (curves_read(&curves, path, &d) != 0)
        unjudged(c, "%s", d.text);
    else if (!curves_gap(&curves, c->x->series, c->x->of, c->x->to, &gap, &at))
        unjudged(c, "run %s has no curves %s and %s over the same %s", rep->id, c->x->of, c->x->to, c->x->series);
    else
        decide(c, gap <= c->max, c->max - gap, "farthest apart by %.6g at %.6g%s%s", gap, at, *group ? ", " : "",
               group);
    curves_free(&curves);
    free(path);
    free(dir);
}

typedef void judge_fn(struct court *c, const struct grid_row *rep, const char *group);
static judge_fn *const judges[EXPECT_N_KINDS] = {
    [EXPECT_MONOTONE] = judge_monotone, [EXPECT_RANK] = judge_rank,   [EXPECT_RATIO] = judge_ratio,
    [EXPECT_RANGE] = judge_range,       [EXPECT_BAND] = judge_band,   [EXPECT_EQUAL] = judge_equal,
    [EXPECT_KNEE] = judge_knee,         [EXPECT_MATCH] = judge_match,
};

/* ---- the verdict ------------------------------------------------------------------------------------------------- */
static void judge_one(struct court *c, const struct expect_kind *k)
{
    char group[300];
    bool fold = k->flags & FOLDS_SEED && c->over >= 0;
    c->min = *c->x->min ? strtod(c->x->min, NULL) : -INFINITY;
    c->max = *c->x->max ? strtod(c->x->max, NULL) : INFINITY;
    for (uint32_t i = 0; i < c->g->n_rows && c->word != VERDICT_UNJUDGED; i++) {
        const struct grid_row *r = &c->g->row[i];
        if (!is_first_of_group(c, r, fold))
            continue;
        group_name(c, r, fold, group, sizeof group);
        judges[k->kind](c, r, group);
    }
    if (!c->n_judged)
        unjudged(c, "no two results to compare");
}

void expect_judge(const struct study *s, const struct grid *g, const char *out, struct verdicts *v)
{
    for (const struct conf_section *sec = conf_find(conf_root(s->conf), "expect", NULL); sec; sec = conf_next(sec)) {
        const struct expect_kind *k = expect_kind(conf_title(sec));
        struct expect x;
        struct court c = {.s = s, .g = g, .out = out, .x = &x, .word = VERDICT_TRUE, .seed = grid_axis(g, "seed")};
        CHECK(k && conf_bind(sec, expect_keys, &x, NULL) == 0);
        c.over = grid_axis(g, x.over);
        judge_one(&c, k);
        v->item = xrealloc(v->item, (v->n + 1) * sizeof *v->item);
        v->item[v->n++] =
            (struct verdict){xstrdup(s->name), xstrdup(k->name), expect_statement(k, &x), xstrdup(c.detail), c.word};
        v->n_false += c.word == VERDICT_FALSE;
        v->n_unjudged += c.word == VERDICT_UNJUDGED;
    }
}

/* SPDX-License-Identifier: MIT */
#include "sim/machine/curve.h"

#include "sim/machine/csv.h"
#include "sim/machine/grid.h"
#include "sim/machine/result_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Splits lines of text, which the points keep pointing into. */
static int parse(struct curves *c, char *p, const char *path, struct diag *d)
{
    uint32_t cap = 0;
    while (*p) {
        uint32_t n;
        char **field = csv_line(&p, &n);
        struct curve_point pt = {0};
        bool ok = n == 5 && grid_number(field[3], &pt.x) && grid_number(field[4], &pt.y);
        if (ok) {
            pt.series = field[0];
            pt.label = field[1];
            pt.x_name = field[2];
            if (c->n == cap)
                c->point = xrealloc(c->point, (cap = cap ? 2 * cap : 256) * sizeof *c->point);
            c->point[c->n++] = pt;
        }
        free(field);
        if (!ok)
            return fail(d, "%s:%u: found no point, expected series,label,x_name,x,value", path, c->n + 2);
    }
    return 0;
}

int curves_read(struct curves *c, const char *path, struct diag *d)
{
    static const char header[] = "series,label,x_name,x,value\n";
    size_t len;
    *c = (struct curves){.text = read_whole(path, &len, d)};
    if (!c->text)
        return -1;
    if (strncmp(c->text, header, strlen(header)) != 0)
        return fail(d, "%s:1: found another header, expected series,label,x_name,x,value", path);
    return parse(c, c->text + strlen(header), path, d);
}

int curves_of(struct curves *c, const struct result *r, struct diag *d)
{
    *c = (struct curves){.text = xstrdup(r->series.p ? r->series.p : "")};
    return parse(c, c->text, "series", d);
}

void curves_free(struct curves *c)
{
    free(c->point);
    free(c->text);
    *c = (struct curves){0};
}

static bool is_on(const struct curve_point *p, const char *series, const char *label)
{
    return strcmp(p->series, series) == 0 && strcmp(p->label, label) == 0;
}

/* Curve b at x. False outside of it. */
static bool value_at(const struct curves *c, const char *series, const char *label, double x, double *y)
{
    const struct curve_point *left = NULL;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct curve_point *p = &c->point[i];
        if (!is_on(p, series, label))
            continue;
        if (p->x == x) {
            *y = p->y;
            return true;
        }
        if (left && left->x < x && x < p->x) {
            *y = left->y + (p->y - left->y) * (x - left->x) / (p->x - left->x);
            return true;
        }
        left = p;
    }
    return false;
}

bool curves_gap(const struct curves *c, const char *series, const char *a, const char *b, double *gap, double *at)
{
    bool found = false;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct curve_point *p = &c->point[i];
        double y;
        if (!is_on(p, series, a) || !value_at(c, series, b, p->x, &y))
            continue;
        if (!found || fabs(p->y - y) > *gap) {
            *gap = fabs(p->y - y);
            *at = p->x;
        }
        found = true;
    }
    return found;
}

/* ---- the curve that a policy saw against the true one ------------------------------------------------------------ */
void curve_line_add(struct curve_line *l, double x, double y)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 64;
        l->x = xrealloc(l->x, l->cap * sizeof *l->x);
        l->y = xrealloc(l->y, l->cap * sizeof *l->y);
    }
    l->x[l->n] = x;
    l->y[l->n++] = y;
}

void curve_line_free(struct curve_line *l)
{
    free(l->x);
    free(l->y);
    *l = (struct curve_line){0};
}

double curve_line_at(const struct curve_line *l, double x)
{
    uint32_t low = 0, high = l->n; /* first point behind x */
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (l->x[mid] <= x)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0 || low == l->n)
        return l->y[low ? l->n - 1 : 0];
    double share = (x - l->x[low - 1]) / (l->x[low] - l->x[low - 1]);
    return l->y[low - 1] + (l->y[low] - l->y[low - 1]) * share;
}

bool curve_judge(const struct curve_line *seen, const struct mrc_lru *truth, struct curve_error *e)
{
    uint64_t all = mrc_lru_accesses(truth), distinct = mrc_lru_distinct(truth), hits = 0;
    *e = (struct curve_error){0};
    if (!seen->n || !distinct)
        return false;
    for (uint64_t size = 1; size <= distinct; size++) {
        hits += mrc_lru_hits_at(truth, size);
        double gap = fabs(curve_line_at(seen, (double)size) - (double)(all - hits) / (double)all);
        e->mean += gap;
        if (gap > e->max) {
            e->max = gap;
            e->max_at = size;
        }
    }
    e->mean /= (double)distinct;
    return true;
}

void curve_line_state(struct curve_line *l, struct ckpt *c)
{
    uint64_t n = l->n, same = n, cap = l->cap;
    ckpt_array(c, &l->x, &n, &cap, sizeof *l->x, UINT32_MAX);
    ckpt_array(c, &l->y, &same, NULL, sizeof *l->y, n);
    if (same != n)
        ckpt_fail(c, "a curve of %llu x and %llu y", (unsigned long long)n, (unsigned long long)same);
    l->n = (uint32_t)same;
    if (ckpt_is_loading(c))
        l->cap = (uint32_t)cap;
}

/* SPDX-License-Identifier: MIT */
#include "sim/machine/curve.h"

#include "sim/machine/csv.h"
#include "sim/machine/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int curves_read(struct curves *c, const char *path, struct diag *d)
{
    static const char header[] = "series,label,x_name,x,value\n";
    size_t len;
    uint32_t cap = 0;
    *c = (struct curves){.text = read_whole(path, &len, d)};
    if (!c->text)
        return -1;
    char *p = c->text;
    if (strncmp(p, header, strlen(header)) != 0)
        return fail(d, "%s:1: found another header, expected series,label,x_name,x,value", path);
    p += strlen(header);
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

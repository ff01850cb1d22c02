/* SPDX-License-Identifier: MIT */
#include "sim/machine/validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void validate_init(struct validate *v, const struct machine_conf *conf, struct diag *d)
{
    *v = (struct validate){.conf = *conf, .d = d};
    v->value = xcalloc(validate_n_figures, sizeof *v->value);
    v->has_value = xcalloc(validate_n_figures, sizeof *v->has_value);
}

void validate_free(struct validate *v)
{
    for (uint32_t i = 0; i < v->n_curves; i++) {
        free(v->curve[i].x);
        free(v->curve[i].y);
    }
    free(v->curve);
    free(v->value);
    free(v->has_value);
}

void validate_put(struct validate *v, const char *key, double value)
{
    for (uint32_t i = 0; i < validate_n_figures; i++)
        if (strcmp(validate_figures[i].key, key) == 0) {
            v->value[i] = value;
            v->has_value[i] = true;
        }
}

static struct validate_curve *add_point(struct validate *v, const char *plot, const char *line, double x, double y)
{
    uint32_t i = 0;
    while (i < v->n_curves && (strcmp(v->curve[i].plot, plot) != 0 || strcmp(v->curve[i].line, line) != 0))
        i++;
    if (i == v->n_curves) {
        v->curve = xrealloc(v->curve, (i + 1) * sizeof *v->curve);
        v->curve[v->n_curves++] = (struct validate_curve){.plot = plot, .line = line};
    }
    struct validate_curve *c = &v->curve[i];
    c->x = xrealloc(c->x, (c->n + 1) * sizeof *c->x);
    c->y = xrealloc(c->y, (c->n + 1) * sizeof *c->y);
    c->x[c->n] = x;
    c->y[c->n++] = y;
    return c;
}

void validate_point(struct validate *v, const char *plot, const char *line, double x, double y)
{
    add_point(v, plot, line, x, y);
}

void validate_point_alone(struct validate *v, const char *plot, const char *line, double x, double y)
{
    add_point(v, plot, line, x, y)->is_alone = true;
}

bool validate_names(const struct figure *f, const char *word)
{
    size_t len = strlen(word);
    return strcmp(word, f->group) == 0 || (strncmp(f->key, word, len) == 0 && (!f->key[len] || f->key[len] == '.'));
}

/* One word of the claims: "17", "1-11" (rows), "15.mess" (a figure, or all that begin so). */
static bool claim_holds(const char *word, const struct figure *f)
{
    char *end;
    unsigned long first = strtoul(word, &end, 10), last = first;
    if (*end == '.')
        return validate_names(f, word);
    if (*end == '-')
        last = strtoul(end + 1, &end, 10);
    return f->row >= first && f->row <= last;
}

bool validate_claims(const char *claims, const struct figure *f)
{
    char word[32];
    for (int used; sscanf(claims, " %31[^ ]%n", word, &used) == 1; claims += used)
        if (claim_holds(word, f))
            return true;
    return false;
}

int validate_run(struct validate *v, const bool *selected)
{
    uint32_t total = 0, done = 0;
    validate_fn **todo = xcalloc(validate_n_figures, sizeof *todo);
    int bad = 0;
    for (uint32_t i = 0; i < validate_n_figures; i++) {
        uint32_t k = 0;
        while (k < total && todo[k] != validate_figures[i].measure)
            k++;
        if (selected[i] && k == total)
            todo[total++] = validate_figures[i].measure;
    }
    for (; done < total && !bad; done++) {
        if (v->progress)
            v->progress(v->ctx, done, total);
        bad = todo[done](v);
    }
    free(todo);
    return bad || v->d->n_errors ? -1 : 0;
}

double validate_off(const struct figure *f, double simulated)
{
    double band = simulated > f->published ? f->high - f->published : f->published - f->low;
    double off = simulated > f->published ? simulated - f->published : f->published - simulated;
    if (simulated >= f->low && simulated <= f->high)
        return band > 0 ? off / band : 0;
    return band > 0 ? off / band : 99;
}

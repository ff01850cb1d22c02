/* SPDX-License-Identifier: MIT */
#include "sim/cli/args.h"

#include "sim/base/conf.h"
#include "sim/base/types.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The option that the n characters of name were probably meant to be, or NULL. */
static const char *nearest(const struct args *a, const char *name, size_t n)
{
    const char *known[64];
    char typed[32];
    uint32_t n_known = 0;
    if (n == 0 || n >= sizeof typed)
        return NULL;
    memcpy(typed, name, n);
    typed[n] = 0;
    for (const struct arg *t = a->table; t->name && n_known < 63; t++)
        known[n_known++] = t->name;
    known[n_known++] = "help";
    return conf_nearest(typed, known, n_known);
}

static void print_help(const struct args *a)
{
    printf("usage: %s\n\n%s\n\noptions:\n", a->usage, a->about);
    for (const struct arg *t = a->table; t->name; t++) {
        char left[64], letter[8] = "    ";
        if (t->letter)
            snprintf(letter, sizeof letter, "-%c, ", t->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, t->name, t->value ? " " : "", t->value ? t->value : "");
        printf("  %-28s %s\n", left, t->help);
    }
    printf("  %-28s %s\n", "-h, --help", "this text");
    if (a->after)
        printf("\n%s\n", a->after);
    printf("\nExit code: %s\n", a->exits ? a->exits : "0 done, 2 bad usage or input, 3 fault in quire itself.");
}

static int set_value(const struct arg *t, const char *value, struct diag *d)
{
    char *end = NULL;
    errno = 0;
    switch (t->kind) {
    case ARG_STRING:
        *(const char **)t->to = value;
        return 0;
    case ARG_SETS: {
        struct sets *s = t->to;
        if (s->n == N_ELEMS(s->text))
            return fail(d, "--%s: more than %zu of them", t->name, N_ELEMS(s->text));
        s->text[s->n++] = value;
        return 0;
    }
    case ARG_UINT: {
        unsigned long long v = strtoull(value, &end, 10);
        if (*value < '0' || *value > '9' || *end || errno)
            return fail(d, "--%s: found '%s', expected a number", t->name, value);
        *(uint64_t *)t->to = v;
        return 0;
    }
    case ARG_REAL: {
        double v = strtod(value, &end);
        if (end == value || *end || errno || !isfinite(v))
            return fail(d, "--%s: found '%s', expected a number", t->name, value);
        *(double *)t->to = v;
        return 0;
    }
    default:
        *(bool *)t->to = true;
        return 0;
    }
}

static const struct arg *option_named(const struct args *a, const char *word, size_t n)
{
    for (const struct arg *t = a->table; t->name; t++) {
        if (strlen(t->name) == n && memcmp(t->name, word, n) == 0)
            return t;
    }
    return NULL;
}

static const struct arg *option_lettered(const struct args *a, char letter)
{
    for (const struct arg *t = a->table; t->name; t++) {
        if (t->letter == letter)
            return t;
    }
    return NULL;
}

/* One option at argv[*i]; *i moves on if its value is the next word. */
static int take_option(const struct args *a, int argc, char **argv, int *i, struct diag *d)
{
    const char *word = argv[*i], *value = NULL;
    const struct arg *t;
    if (word[1] == '-') {
        const char *name = word + 2;
        size_t n = strcspn(name, "=");
        value = name[n] ? name + n + 1 : NULL;
        t = option_named(a, name, n);
        if (!t) {
            const char *near = nearest(a, name, n);
            return fail(d, "unknown option '%s'%s%s%s", word, near ? ", did you mean --" : "", near ? near : "",
                        near ? "?" : "");
        }
    } else {
        t = option_lettered(a, word[1]);
        if (!t)
            return fail(d, "unknown option '%s'", word);
        value = word[2] ? word + 2 : NULL;
    }
    if (t->kind == ARG_FLAG)
        return value ? fail(d, "option --%s takes no value, found '%s'", t->name, value) : set_value(t, "", d);
    if (!value && ++*i < argc)
        value = argv[*i];
    return value ? set_value(t, value, d) : fail(d, "option --%s needs a value: %s", t->name, t->value);
}

static int parse(const struct args *a, int argc, char **argv, const char **word, int max, bool word_ends,
                 struct diag *d)
{
    int n = 0;
    bool options = true;
    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            print_help(a);
            return ARGS_HELP;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            if (take_option(a, argc, argv, &i, d) != 0)
                return -1;
        } else if (n == max) {
            return fail(d, "found '%s' after the last word expected; usage: %s", argv[i], a->usage);
        } else {
            word[n++] = argv[i];
            options = options && !word_ends;
        }
    }
    return n;
}

int args_parse(const struct args *a, int argc, char **argv, const char **word, int max, struct diag *d)
{
    return parse(a, argc, argv, word, max, false, d);
}

int args_parse_program(const struct args *a, int argc, char **argv, const char **word, int max, struct diag *d)
{
    return parse(a, argc, argv, word, max, true, d);
}

int args_complain(const struct diag *d)
{
    fflush(stdout);
    const char *p = d->text;
    while (*p) {
        size_t n = strcspn(p, "\n");
        fprintf(stderr, "quire: %.*s\n", (int)n, p);
        p += n + (p[n] != 0);
    }
    return EXIT_BAD_INPUT;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void meter_show(struct meter *m, uint64_t done, uint64_t total)
{
    double now = now_s();
    if (m->started_s == 0) {
        m->started_s = now;
        m->shown_s = now + 0.75;
    }
    if (now < m->shown_s + 0.25 || !isatty(STDERR_FILENO))
        return;
    m->shown_s = now;
    m->on_screen = true;
    double spent = now - m->started_s;
    if (total > 0 && done > 0)
        fprintf(stderr, "\r%s: %3.0f %%, %.0f s to go   ", m->what, 100.0 * (double)done / (double)total,
                spent * (double)(total - done) / (double)done);
    else
        fprintf(stderr, "\r%s: %.0f MiB   ", m->what, (double)done / 1048576);
}

void meter_end(struct meter *m)
{
    if (m->on_screen)
        fputs("\r\033[K", stderr);
    m->on_screen = false;
}

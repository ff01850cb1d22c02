/* SPDX-License-Identifier: MIT */
/* A configuration as text: the canonical form that config.conf holds, and the help of a schema. */
#include "sim/base/conf_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_quoted(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if (*s == '\n' || *s == '\t')
            fputs(*s == '\n' ? "\\n" : "\\t", f);
        else
            fputc(*s, f);
    }
    fputc('"', f);
}

static void print_list(FILE *f, const struct conf_list *list)
{
    fputc('{', f);
    for (uint32_t i = 0; i < list->n; i++) {
        fputs(i ? ", " : "", f);
        print_quoted(f, list->item[i]);
    }
    fputc('}', f);
}

static void print_value(FILE *f, const struct conf_key *k, const char *text)
{
    uint64_t v;
    if (k->type == CONF_STRING || k->type == CONF_PATH || conf_value(k, text, "", &v, NULL) != 0) {
        print_quoted(f, text);
        return;
    }
    char *s = conf_number(k, v);
    if (k->type == CONF_UINT || k->type == CONF_BOOL)
        fputs(s, f);
    else
        print_quoted(f, s);
    free(s);
}

static void print_key(FILE *f, const struct conf_section *s, const struct conf_key *k, int depth)
{
    const struct conf_entry *e = s ? conf_entry(s, k->name) : NULL;
    if (!e && !k->def)
        return;
    fprintf(f, "%*s%s = ", 4 * depth, "", k->name);
    if (k->type == CONF_LIST)
        print_list(f, e ? &e->list : &(struct conf_list){0, NULL});
    else
        print_value(f, k, e && e->text ? e->text : k->def ? k->def : "");
    fputc('\n', f);
}

static int compare_entries(const void *a, const void *b)
{
    const struct conf_entry *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Keys of an open section that its schema does not know, sorted. */
static void print_open(FILE *f, const struct conf_section *s, int depth)
{
    size_t n = 0, cap = 0;
    const struct conf_entry **list = NULL;
    for (const struct conf_entry *e = s->entries; e; e = e->next) {
        if (e->is_hidden || e->key)
            continue;
        if (n == cap)
            list = xrealloc(list, (cap = cap ? 2 * cap : 8) * sizeof *list);
        list[n++] = e;
    }
    if (n)
        qsort(list, n, sizeof *list, compare_entries);
    for (size_t i = 0; i < n; i++) {
        fprintf(f, "%*s%s = ", 4 * depth, "", list[i]->name);
        if (list[i]->text)
            print_quoted(f, list[i]->text);
        else
            print_list(f, &list[i]->list);
        fputc('\n', f);
    }
    free(list);
}

static bool needs_a_key(const struct conf_schema *s)
{
    for (const struct conf_key *k = s->keys; k && k->name; k++)
        if (!k->def)
            return true;
    return false;
}

static void print_body(FILE *f, const struct conf_schema *schema, const struct conf_section *s, int depth);

static void print_one(FILE *f, const struct conf_schema *schema, const struct conf_section *s, int depth)
{
    fprintf(f, "%*s%s ", 4 * depth, "", schema->name);
    if (schema->titled) {
        print_quoted(f, s->title);
        fputc(' ', f);
    }
    fputs("{\n", f);
    print_body(f, schema, s, depth + 1);
    fprintf(f, "%*s}\n", 4 * depth, "");
}

static void print_body(FILE *f, const struct conf_schema *schema, const struct conf_section *s, int depth)
{
    for (const struct conf_key *k = schema->keys; k && k->name; k++)
        print_key(f, s, k, depth);
    if (s)
        print_open(f, s, depth);
    for (const struct conf_schema *k = schema->subs; k && k->name; k++) {
        bool found = false;
        for (const struct conf_section *c = s ? s->first : NULL; c; c = c->next) {
            if (c->schema == k) {
                print_one(f, k, c, depth);
                found = true;
            }
        }
        if (!found && !k->titled && !k->optional && !needs_a_key(k))
            print_one(f, k, NULL, depth);
    }
}

char *conf_print(const struct conf *c)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    CHECK(f);
    print_body(f, c->root->schema, c->root, 0);
    CHECK(fclose(f) == 0);
    return text;
}

static const char *const type_help[] = {
    [CONF_BOOL] = "true|false",
    [CONF_UINT] = "number",
    [CONF_SIZE] = "size (B KiB MiB GiB TiB)",
    [CONF_TIME] = "time (ps ns us ms s)",
    [CONF_FREQ] = "frequency (Hz kHz MHz GHz)",
    [CONF_RATE] = "rate (B/s kB/s MB/s GB/s)",
    [CONF_ENERGY] = "energy (uJ mJ J)",
    [CONF_POWER] = "power (mW W kW)",
    [CONF_RATIO] = "ratio (%)",
    [CONF_STRING] = "text",
    [CONF_CHOICE] = "",
    [CONF_LIST] = "list",
    [CONF_PATH] = "file",
};

static void help_key(FILE *f, const struct conf_key *k, int depth)
{
    fprintf(f, "%*s%s: %s", 4 * depth, "", k->name, type_help[k->type]);
    for (uint32_t i = 0; k->type == CONF_CHOICE && k->choices[i]; i++)
        fprintf(f, "%s%s", i ? "|" : "", k->choices[i]);
    bool is_number = k->type != CONF_BOOL && k->type != CONF_CHOICE && k->type != CONF_STRING && k->type != CONF_LIST &&
                     k->type != CONF_PATH;
    if (is_number && (k->min || k->max)) {
        char *lo = conf_number(k, k->min), *hi = k->max ? conf_number(k, k->max) : NULL;
        fprintf(f, hi ? ", %s to %s" : ", at least %s", lo, hi);
        free(lo);
        free(hi);
    }
    if (k->def)
        fprintf(f, ", default %s%s%s", *k->def ? "" : "\"", k->def, *k->def ? "" : "\"");
    else
        fputs(", must be given", f);
    fprintf(f, "\n%*s%s\n", 4 * depth + 4, "", k->help ? k->help : "");
}

static void help_section(FILE *f, const struct conf_schema *s, int depth)
{
    for (const struct conf_key *k = s->keys; k && k->name; k++)
        help_key(f, k, depth);
    for (const struct conf_schema *k = s->subs; k && k->name; k++) {
        fprintf(f, "%*s%s%s { }%s\n", 4 * depth, "", k->name, k->titled ? " \"title\"" : "", k->open ? " (open)" : "");
        if (k->help)
            fprintf(f, "%*s%s\n", 4 * depth + 4, "", k->help);
        help_section(f, k, depth + 1);
    }
}

char *conf_help(const struct conf_schema *root, const char *path)
{
    char name[128];
    while (*path) {
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        root = conf_find_sub(root, name);
        if (!root)
            return NULL;
        path += n + (path[n] == '.');
    }
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    CHECK(f);
    help_section(f, root, 0);
    CHECK(fclose(f) == 0);
    return text;
}

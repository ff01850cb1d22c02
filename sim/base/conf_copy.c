/* SPDX-License-Identifier: MIT */
/* Copies of a configuration, and changes by path: what a sweep does to it. */
#include "sim/base/conf_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void copy_entry(struct conf_section *to, const struct conf_entry *e, const struct conf_key *key)
{
    struct conf *c = to->conf;
    struct conf_entry *n = conf_add_entry(to, e->name, key);
    n->text = e->text ? conf_strdup(c, e->text, strlen(e->text)) : NULL;
    n->where = conf_strdup(c, e->where, strlen(e->where));
    n->file = e->file;
    n->list.n = e->list.n;
    const char **item = conf_alloc(c, e->list.n * sizeof *item);
    for (uint32_t i = 0; i < e->list.n; i++)
        item[i] = conf_strdup(c, e->list.item[i], strlen(e->list.item[i]));
    n->list.item = item;
}

/* Adds what from has and to lacks: to keeps its own keys, sections that are in both merge. */
static void merge_section(struct conf_section *to, const struct conf_section *from, const char *except)
{
    for (const struct conf_entry *e = from->entries; e; e = e->next) {
        const struct conf_key *key = conf_find_key(to->schema, e->name);
        if (!e->is_hidden && !conf_entry(to, e->name) && (key || to->schema->open))
            copy_entry(to, e, key);
    }
    for (const struct conf_section *s = from->first; s; s = s->next) {
        const struct conf_schema *schema = conf_find_sub(to->schema, s->schema->name);
        if (!schema || (except && strcmp(s->schema->name, except) == 0))
            continue;
        struct conf_section *old = NULL;
        if (!schema->repeats)
            old = (struct conf_section *)conf_find(to, s->schema->name, s->title);
        merge_section(old ? old : conf_add_section(to, schema, s->title, s->where), s, NULL);
    }
}

static struct conf *copy_files(const struct conf *c, const struct conf_schema *root)
{
    struct conf *n = conf_new(root, c->dir);
    n->root->where = conf_strdup(n, c->root->where, strlen(c->root->where));
    return n;
}

struct conf *conf_copy(const struct conf *c)
{
    struct conf *n = copy_files(c, c->root->schema);
    merge_section(n->root, c->root, NULL);
    return n;
}

struct conf *conf_subtree(const struct conf *c, const struct conf_section *s)
{
    struct conf *n = copy_files(c, s->schema);
    n->root->where = conf_strdup(n, s->where, strlen(s->where));
    merge_section(n->root, s, NULL);
    merge_section(n->root, c->root, s->schema->name);
    return n;
}

/* The child of s that path begins with; *rest is what follows its name, title and dot. NULL after an error. */
static struct conf_section *child_by_path(struct conf_section *s, const char *path, size_t name_len, const char *origin,
                                          const char **rest, struct diag *d)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)name_len, path);
    const struct conf_schema *schema = conf_find_sub(s->schema, name);
    if (!schema) {
        conf_unknown(s, origin, name, true, d);
        return NULL;
    }
    *rest = path + name_len + 1;
    if (!schema->titled) {
        struct conf_section *k = (struct conf_section *)conf_find(s, name, NULL);
        return k ? k : conf_add_section(s, schema, "", origin);
    }
    struct conf_section *best = NULL;
    size_t best_len = 0;
    for (struct conf_section *k = s->first; k; k = k->next) {
        size_t n = strlen(k->title);
        if (k->schema == schema && (!best || n > best_len) && strncmp(*rest, k->title, n) == 0 && (*rest)[n] == '.') {
            best = k;
            best_len = n;
        }
    }
    if (!best) {
        fail(d, "%s: %s: found no section %s of that title, expected one of those in the file", origin, path, name);
        return NULL;
    }
    *rest += best_len + 1;
    return best;
}

/* "{a, b}" or "a, b" into a list; blanks around an item do not count. */
static struct conf_list split_list(struct conf *c, const char *text)
{
    struct conf_list list = {0, NULL};
    size_t len = strlen(text);
    if (len >= 2 && text[0] == '{' && text[len - 1] == '}') {
        text++;
        len -= 2;
    }
    const char **item = conf_alloc(c, (len + 1) * sizeof *item), *end = text + len;
    if (strspn(text, " \t") >= len)
        return list;
    for (const char *p = text; p <= end; p++) {
        const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end, *next = stop;
        while (p < stop && (*p == ' ' || *p == '\t'))
            p++;
        while (stop > p && (stop[-1] == ' ' || stop[-1] == '\t'))
            stop--;
        item[list.n++] = conf_strdup(c, p, (size_t)(stop - p));
        p = next;
    }
    list.item = item;
    return list;
}

static bool has_control(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 32 && *s != '\t' && *s != '\n') || *s == 127)
            return true;
    return false;
}

static bool is_name(const char *s)
{
    return *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == 0;
}

int conf_set(struct conf *c, const char *path, const char *value, const char *origin, struct diag *d)
{
    struct conf_section *s = c->root;
    const char *key = path;
    if (has_control(path) || has_control(value))
        return fail(d, "%s: found a control character, expected text", origin);
    for (const char *dot; (dot = strchr(key, '.')) != NULL;) {
        s = child_by_path(s, key, (size_t)(dot - key), origin, &key, d);
        if (!s)
            return -1;
    }
    const struct conf_key *k = conf_find_key(s->schema, key);
    if (!k && (!s->schema->open || !is_name(key)))
        return conf_unknown(s, origin, key, false, d);
    for (struct conf_entry *e = s->entries; e; e = e->next)
        e->is_hidden |= strcmp(e->name, key) == 0;
    struct conf_entry *e = conf_add_entry(s, key, k);
    e->where = conf_strdup(c, origin, strlen(origin));
    e->file = CONF_FILE_SET;
    if (k && k->type == CONF_LIST)
        e->list = split_list(c, value);
    else
        e->text = conf_strdup(c, value, strlen(value));
    return conf_check_entry(s, e, d);
}

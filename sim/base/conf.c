/* SPDX-License-Identifier: MIT */
/* The tree of a configuration: memory, lookup, binding, setting by path, copying. Reading text: conf_read.c; single
 * values: conf_value.c; printing: conf_print.c. */
#include "sim/base/conf_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conf_chunk {
    struct conf_chunk *next;
    size_t used, size;
    _Alignas(16) char data[];
};

void *conf_alloc(struct conf *c, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (!c->chunks || c->chunks->size - c->chunks->used < size) {
        size_t want = size > 8000 ? size : 8000;
        struct conf_chunk *k = xcalloc(1, sizeof *k + want);
        k->size = want;
        k->next = c->chunks;
        c->chunks = k;
    }
    void *p = c->chunks->data + c->chunks->used;
    c->chunks->used += size;
    return p;
}

const char *conf_strdup(struct conf *c, const char *s, size_t len)
{
    char *p = conf_alloc(c, len + 1);
    memcpy(p, s, len);
    return p;
}

static const char *dup_text(struct conf *c, const char *s)
{
    return s ? conf_strdup(c, s, strlen(s)) : NULL;
}

struct conf *conf_new(const struct conf_schema *root, const char *dir)
{
    struct conf *c = xcalloc(1, sizeof *c);
    c->dir = dup_text(c, dir);
    c->root = conf_alloc(c, sizeof *c->root);
    *c->root = (struct conf_section){.conf = c, .schema = root, .title = "", .where = "defaults"};
    c->root->tail = &c->root->first;
    c->root->entries_tail = &c->root->entries;
    return c;
}

void conf_free(struct conf *c)
{
    if (!c)
        return;
    for (struct conf_chunk *k = c->chunks, *next; k; k = next) {
        next = k->next;
        free(k);
    }
    free(c->files);
    free(c);
}

struct conf_section *conf_add_section(struct conf_section *parent, const struct conf_schema *schema, const char *title,
                                      const char *where)
{
    struct conf *c = parent->conf;
    struct conf_section *s = conf_alloc(c, sizeof *s);
    *s = (struct conf_section){.conf = c, .parent = parent, .schema = schema, .tail = &s->first};
    s->title = dup_text(c, title);
    s->where = dup_text(c, where);
    s->entries_tail = &s->entries;
    *parent->tail = s;
    parent->tail = &s->next;
    return s;
}

struct conf_entry *conf_add_entry(struct conf_section *s, const char *name, const struct conf_key *key)
{
    struct conf_entry *e = conf_alloc(s->conf, sizeof *e);
    e->name = dup_text(s->conf, name);
    e->key = key;
    *s->entries_tail = e;
    s->entries_tail = &e->next;
    return e;
}

struct conf_entry *conf_entry(const struct conf_section *s, const char *name)
{
    for (struct conf_entry *e = s->entries; e; e = e->next)
        if (!e->is_hidden && strcmp(e->name, name) == 0)
            return e;
    return NULL;
}

const struct conf_key *conf_find_key(const struct conf_schema *s, const char *name)
{
    for (const struct conf_key *k = s->keys; k && k->name; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

const struct conf_schema *conf_find_sub(const struct conf_schema *s, const char *name)
{
    for (const struct conf_schema *k = s->subs; k && k->name; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

void conf_section_path(const struct conf_section *s, char *buf, size_t size)
{
    if (!s->parent) {
        snprintf(buf, size, "top level");
        return;
    }
    size_t len = 0;
    if (s->parent->parent) {
        conf_section_path(s->parent, buf, size);
        len = strlen(buf);
    }
    snprintf(buf + len, size - len, "%s%s%s%s", len ? "." : "", s->schema->name, *s->title ? "." : "", s->title);
}

const struct conf_section *conf_root(const struct conf *c)
{
    return c->root;
}

const struct conf_section *conf_find(const struct conf_section *s, const char *name, const char *title)
{
    for (const struct conf_section *k = s ? s->first : NULL; k; k = k->next)
        if (strcmp(k->schema->name, name) == 0 && (!title || strcmp(k->title, title) == 0))
            return k;
    return NULL;
}

const struct conf_section *conf_next(const struct conf_section *s)
{
    for (const struct conf_section *k = s->next; k; k = k->next)
        if (k->schema == s->schema)
            return k;
    return NULL;
}

const char *conf_title(const struct conf_section *s)
{
    return s->title;
}

const char *conf_where(const struct conf_section *s)
{
    return s->where;
}

const char *conf_dir(const struct conf *c)
{
    return c->dir;
}

void conf_set_dir(struct conf *c, const char *dir)
{
    c->dir = dup_text(c, dir);
}

char *conf_file(const struct conf *c, const char *name)
{
    if (name[0] == '/' || !*c->dir)
        return xstrdup(name);
    size_t n = strlen(c->dir);
    return xasprintf("%s%s%s", c->dir, c->dir[n - 1] == '/' ? "" : "/", name);
}

static void message_prefix(const struct conf_section *s, const char *where, char *buf, size_t size)
{
    char path[256];
    conf_section_path(s, path, sizeof path);
    snprintf(buf, size, "%s: [%s]", where, path);
}

int conf_check_entry(const struct conf_section *s, const struct conf_entry *e, struct diag *d)
{
    char where[600];
    uint64_t scratch;
    message_prefix(s, e->where, where, sizeof where);
    if (!e->key || e->key->type == CONF_LIST)
        return 0;
    if (!e->text)
        return fail(d, "%s %s: found a list, expected one value", where, e->name);
    return conf_value(e->key, e->text, where, &scratch, d);
}

int conf_unknown(const struct conf_section *s, const char *where, const char *name, bool is_section, struct diag *d)
{
    char prefix[600];
    const char *words[128];
    uint32_t n = 0;
    message_prefix(s, where, prefix, sizeof prefix);
    for (const struct conf_key *k = s->schema->keys; !is_section && k && k->name && n < 128; k++)
        words[n++] = k->name;
    for (const struct conf_schema *k = s->schema->subs; k && k->name && n < 128; k++)
        words[n++] = k->name;
    const char *near = conf_nearest(name, words, n), *what = is_section ? "section" : "key";
    if (near && strcmp(near, name) == 0)
        return fail(d, "%s %s: found a value, expected a section with keys of its own", prefix, name);
    if (near)
        return fail(d, "%s %s: found an unknown %s, expected perhaps %s", prefix, name, what, near);
    char known[400] = "nothing here";
    size_t len = 0;
    for (uint32_t i = 0; i < n && len < sizeof known - 80; i++)
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%.60s", i ? ", " : "one of ", words[i]);
    return fail(d, "%s %s: found an unknown %s, expected %s", prefix, name, what, known);
}

/* What conf_bind stores for one key; the field is 8 bytes. */
static int bind_key(const struct conf_section *s, const struct conf_key *k, void *field, struct diag *d)
{
    static const struct conf_list empty = {0, NULL};
    const struct conf_entry *e = s ? conf_entry(s, k->name) : NULL;
    char where[600];
    if (s)
        message_prefix(s, e ? e->where : s->where, where, sizeof where);
    else
        snprintf(where, sizeof where, "defaults");
    if (!e && !k->def)
        return fail(d, "%s %s: found nothing, expected this key to be given (%s)", where, k->name, k->help);
    if (k->type == CONF_LIST) {
        const struct conf_list *list = e ? &e->list : &empty;
        CHECK(e || !*k->def);
        memcpy(field, &list, sizeof list);
        return 0;
    }
    if (e && !e->text)
        return fail(d, "%s %s: found a list, expected one value", where, k->name);
    return conf_value(k, e ? e->text : k->def, where, field, d);
}

int conf_bind(const struct conf_section *s, const struct conf_key *keys, void *out, struct diag *d)
{
    int rc = 0;
    for (const struct conf_key *k = keys; k && k->name; k++)
        rc |= bind_key(s, k, (char *)out + k->offset, d);
    return rc;
}

bool conf_item(const struct conf_section *s, uint32_t index, const char **key, const char **value, const char **where)
{
    char buf[600];
    for (const struct conf_entry *e = s->entries; e; e = e->next) {
        if (e->is_hidden || index-- > 0)
            continue;
        *key = e->name;
        if (value)
            *value = e->text;
        if (where) {
            message_prefix(s, e->where, buf, sizeof buf);
            *where = dup_text(s->conf, buf);
        }
        return true;
    }
    return false;
}

/* The entry that a path ("cache.l1d_size", relative to s) names, and its section; NULL if no file gives it. */
static const struct conf_entry *entry_at(const struct conf_section *s, const char *path, size_t len,
                                         const struct conf_section **in)
{
    char word[128];
    for (const char *dot; s && (dot = memchr(path, '.', len)) != NULL; path = dot + 1) {
        snprintf(word, sizeof word, "%.*s", (int)(dot - path), path);
        s = conf_find(s, word, NULL);
        len -= (size_t)(dot + 1 - path);
    }
    snprintf(word, sizeof word, "%.*s", (int)len, path);
    *in = s;
    return s ? conf_entry(s, word) : NULL;
}

void conf_blame(const struct conf_section *s, uint32_t since, struct diag *d)
{
    struct diag was = *d;
    const char *first = was.text + since + (was.text[since] == '\n');
    d->text[d->len = since] = 0;
    char own[256], where[600];
    conf_section_path(s, own, sizeof own);
    for (const char *line = first, *end; *line; line = end + (*end != 0)) {
        size_t n = strlen(own), len = strcspn(line, "\n"), key = strcspn(line, ":\n");
        const struct conf_section *in = NULL;
        const struct conf_entry *e = NULL;
        end = line + len;
        d->n_errors--;
        if (key > n && strncmp(line, own, n) == 0 && line[n] == '.')
            e = entry_at(s, line + n + 1, key - n - 1, &in);
        if (e) {
            message_prefix(in, e->where, where, sizeof where);
            fail(d, "%s %s%.*s", where, e->name, (int)(len - key), line + key);
        } else if (strncmp(line, s->where, strlen(s->where)) == 0) {
            fail(d, "%.*s", (int)len, line);
        } else {
            fail(d, "%s: %.*s", s->where, (int)len, line);
        }
    }
}

static int check_section(const struct conf_section *s, struct diag *d)
{
    int rc = 0;
    char where[600];
    for (const struct conf_key *k = s->schema->keys; k && k->name; k++) {
        if (k->def || conf_entry(s, k->name))
            continue;
        message_prefix(s, s->where, where, sizeof where);
        rc = fail(d, "%s %s: found nothing, expected this key to be given (%s)", where, k->name, k->help);
    }
    for (const struct conf_section *k = s->first; k; k = k->next)
        rc |= check_section(k, d);
    return rc;
}

int conf_check(const struct conf *c, struct diag *d)
{
    return check_section(c->root, d);
}

void conf_drop(struct conf *c, const char *name)
{
    struct conf_section **link = &c->root->first;
    for (struct conf_entry *e = c->root->entries; e; e = e->next)
        e->is_hidden |= strcmp(e->name, name) == 0;
    while (*link) {
        if (strcmp((*link)->schema->name, name) == 0)
            *link = (*link)->next;
        else
            link = &(*link)->next;
    }
    c->root->tail = link;
}

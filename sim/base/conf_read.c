/* SPDX-License-Identifier: MIT */
/* Reading configuration text: sections, keys, includes; then which of several values of a key counts. */
#include "sim/base/conf_int.h"
#include "sim/base/conf_lex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* One file being read. */
struct reader {
    struct conf *c;
    struct lexer lex;
    uint32_t file;              /* index into conf.files */
    const char *dir;            /* folder of this file, for its includes; "" is the current one */
    const struct reader *outer; /* the file that includes this one */
    dev_t dev;                  /* identity of the file, for cycles; 0, 0 for text from memory */
    ino_t ino;
    bool cut_short; /* the innermost of the sections without an end is reported */
};

/* ---- statements -------------------------------------------------------------------------------------------------- */
static void read_body(struct reader *r, struct conf_section *s, uint32_t open_line);
static void read_file(struct conf *c, struct conf_section *s, const struct reader *outer, const char *path,
                      const char *prefix, const char *where, struct diag *d, bool *failed);

static const char *where_at(struct conf *c, const char *file, uint32_t line)
{
    char buf[600];
    snprintf(buf, sizeof buf, "%.500s:%u", file, line);
    return conf_strdup(c, buf, strlen(buf));
}

static const char *where_now(struct reader *r, uint32_t line)
{
    return where_at(r->c, r->lex.file, line);
}

/* The folder part of a path, with its slash; "" if it has none. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return xasprintf("%.*s", slash ? (int)(slash - path) + 1 : 0, path);
}

/* A CONF_PATH of an included file, made relative to the top file. */
static const char *rebase(struct reader *r, const char *text)
{
    const char *prefix = r->c->files[r->file].prefix;
    if (text[0] == '/' || !*prefix || !*text)
        return text;
    char *joined = xasprintf("%s%s", prefix, text);
    const char *kept = conf_strdup(r->c, joined, strlen(joined));
    free(joined);
    return kept;
}

/* The items of a list up to '}', from the token after '{'. False after a reported error. */
static bool read_items(struct reader *r, struct conf_list *list, uint32_t line)
{
    const char **item = NULL;
    size_t cap = 0;
    char buf[80];
    while (!lex_at(&r->lex, '}')) {
        if (list->n && lex_at(&r->lex, ','))
            lex_next(&r->lex);
        else if (list->n)
            break;
        if (!lex_at_value(&r->lex))
            break;
        if (list->n == cap)
            item = xrealloc(item, (cap = cap ? 2 * cap : 16) * sizeof *item);
        item[list->n++] = conf_strdup(r->c, r->lex.text, strlen(r->lex.text));
        lex_next(&r->lex);
    }
    if (list->n) {
        const char **kept = conf_alloc(r->c, list->n * sizeof *kept);
        memcpy(kept, item, list->n * sizeof *kept);
        list->item = kept;
    }
    free(item);
    if (lex_at(&r->lex, '}'))
        return true;
    if (r->lex.tok == TOK_END)
        lex_error(&r->lex, line, "found an unclosed list, expected }");
    else if (r->lex.tok != TOK_ERROR)
        LEX_ERROR(&r->lex, "found %s in a list, expected a value, ',' or }", lex_found(&r->lex, buf));
    return false;
}

/* After an error in a list: past its '}' if that is on the same line. */
static void leave_list(struct reader *r)
{
    uint32_t line = r->lex.tok_line;
    while (r->lex.tok != TOK_END && r->lex.tok_line == line && !lex_at(&r->lex, '}'))
        lex_next(&r->lex);
    if (lex_at(&r->lex, '}') && r->lex.tok_line == line)
        lex_next(&r->lex);
}

static void stop_reading(struct reader *r)
{
    r->lex.p = r->lex.end;
    r->cut_short = true;
    lex_next(&r->lex);
}

/* A name that is known, but not as what it is used for. */
static void misplaced(struct reader *r, const struct conf_section *s, const char *where, const char *name,
                      const char *was, const char *expected)
{
    char path[256];
    conf_section_path(s, path, sizeof path);
    fail(r->lex.d, "%s: [%s] %s: found %s, expected %s", where, path, name, was, expected);
}

/* `= value` after a name; the entry is kept only if the section knows the key. */
static void read_value(struct reader *r, struct conf_section *s, const char *name, uint32_t line)
{
    char buf[80];
    const char *text = NULL;
    struct conf_list list = {0, NULL};
    lex_next(&r->lex);
    if (lex_at_value(&r->lex)) {
        text = conf_strdup(r->c, r->lex.text, strlen(r->lex.text));
    } else if (lex_at(&r->lex, '{')) {
        lex_next(&r->lex);
        if (!read_items(r, &list, line)) {
            leave_list(r);
            return;
        }
    } else {
        if (r->lex.tok != TOK_ERROR)
            LEX_ERROR(&r->lex, "found %s after %.60s =, expected a value", lex_found(&r->lex, buf), name);
        lex_resync(&r->lex);
        return;
    }
    lex_next(&r->lex);
    const struct conf_key *k = conf_find_key(s->schema, name);
    const char *where = where_now(r, line);
    if (!k && !s->schema->open) {
        r->lex.failed = true;
        if (conf_find_sub(s->schema, name))
            misplaced(r, s, where, name, "a value", "a section: { ... }");
        else
            conf_unknown(s, where, name, false, r->lex.d);
        return;
    }
    if (++s->n_entries > CONF_MAX_ENTRIES) {
        lex_error(&r->lex, line, "found more than %u keys in one section, expected fewer", CONF_MAX_ENTRIES);
        stop_reading(r);
        return;
    }
    struct conf_entry *e = conf_add_entry(s, name, k);
    e->where = where;
    e->file = r->file;
    e->text = text && k && k->type == CONF_PATH ? rebase(r, text) : text;
    e->list = list;
    if (k && k->type == CONF_LIST && text) {
        const char **one = conf_alloc(r->c, sizeof *one);
        *one = text;
        e->list = (struct conf_list){1, one};
        e->text = NULL;
    }
    if (conf_check_entry(s, e, r->lex.d) != 0)
        r->lex.failed = true;
}

/* Passes over the body of a section that nobody knows. */
static void skip_body(struct reader *r)
{
    uint32_t depth = 1;
    while (depth && r->lex.tok != TOK_END) {
        lex_next(&r->lex);
        depth += lex_at(&r->lex, '{');
        depth -= lex_at(&r->lex, '}');
    }
    lex_next(&r->lex);
}

/* `{ ... }` or `"title" { ... }` after a name. */
static void read_section(struct reader *r, struct conf_section *s, const char *name, uint32_t line)
{
    char buf[80];
    const struct conf_schema *schema = conf_find_sub(s->schema, name);
    const char *where = where_now(r, line), *title = "";
    bool has_title = r->lex.tok == TOK_STRING;
    if (has_title) {
        title = conf_strdup(r->c, r->lex.text, strlen(r->lex.text));
        lex_next(&r->lex);
    }
    if (!lex_at(&r->lex, '{')) {
        if (r->lex.tok != TOK_ERROR)
            LEX_ERROR(&r->lex, "found %s after %.60s, expected { or = and a value", lex_found(&r->lex, buf), name);
        lex_resync(&r->lex);
        return;
    }
    if (!schema || schema->titled != has_title) {
        r->lex.failed = true;
        if (!schema && conf_find_key(s->schema, name))
            misplaced(r, s, where, name, "a section", "a value: = ...");
        else if (!schema)
            conf_unknown(s, where, name, true, r->lex.d);
        else if (has_title)
            misplaced(r, s, where, name, "a title", "a section without one");
        else
            misplaced(r, s, where, name, "no title", "a section with one: \"name\" { ... }");
        skip_body(r);
        return;
    }
    if (++s->n_children > CONF_MAX_ENTRIES) {
        lex_error(&r->lex, line, "found more than %u sections in one section, expected fewer", CONF_MAX_ENTRIES);
        stop_reading(r);
        return;
    }
    struct conf_section *sub = schema->repeats ? NULL : (struct conf_section *)conf_find(s, name, title);
    if (!sub)
        sub = conf_add_section(s, schema, title, where);
    lex_next(&r->lex);
    read_body(r, sub, line);
}

static void read_include(struct reader *r, struct conf_section *s, uint32_t line)
{
    char buf[80];
    const char *file = NULL;
    if (lex_at(&r->lex, '(') && lex_next(&r->lex) == TOK_STRING) {
        file = conf_strdup(r->c, r->lex.text, strlen(r->lex.text));
        lex_next(&r->lex);
    }
    if (!file || !lex_at(&r->lex, ')')) {
        if (r->lex.tok != TOK_ERROR)
            LEX_ERROR(&r->lex, "found %s, expected include(\"file\")", lex_found(&r->lex, buf));
        lex_resync(&r->lex);
        return;
    }
    lex_next(&r->lex);
    bool absolute = file[0] == '/';
    char *folder = folder_of(file);
    char *path = xasprintf("%s%s", absolute ? "" : r->dir, file);
    char *prefix = xasprintf("%s%s", absolute ? "" : r->c->files[r->file].prefix, folder);
    read_file(r->c, s, r, path, prefix, where_now(r, line), r->lex.d, &r->lex.failed);
    free(prefix);
    free(path);
    free(folder);
}

/* Keys and sections up to the closing brace (open_line > 0) or the end of the file. */
static void read_body(struct reader *r, struct conf_section *s, uint32_t open_line)
{
    char buf[80];
    for (;;) {
        if (r->lex.tok == TOK_END) {
            if (open_line && !r->cut_short)
                lex_error(&r->lex, open_line, "found no end of section %s, expected }", s->schema->name);
            r->cut_short = true;
            return;
        }
        if (lex_at(&r->lex, '}')) {
            if (!open_line)
                LEX_ERROR(&r->lex, "found '}' that closes nothing, expected a key or a section");
            lex_next(&r->lex);
            if (open_line)
                return;
            continue;
        }
        if (r->lex.tok != TOK_WORD) {
            if (r->lex.tok != TOK_ERROR)
                LEX_ERROR(&r->lex, "found %s, expected a key or a section", lex_found(&r->lex, buf));
            lex_resync(&r->lex);
            continue;
        }
        uint32_t line = r->lex.tok_line;
        const char *name = conf_strdup(r->c, r->lex.text, strlen(r->lex.text));
        lex_next(&r->lex);
        if (lex_at(&r->lex, '='))
            read_value(r, s, name, line);
        else if (strcmp(name, "include") == 0)
            read_include(r, s, line);
        else
            read_section(r, s, name, line);
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */
static int add_file(struct conf *c, const char *name, const char *prefix, const struct reader *outer)
{
    c->files = xrealloc(c->files, (c->n_files + 1) * sizeof *c->files);
    c->files[c->n_files] = (struct conf_filename){
        .name = conf_strdup(c, name, strlen(name)),
        .prefix = conf_strdup(c, prefix, strlen(prefix)),
        .parent = outer ? outer->file : c->n_files,
    };
    return (int)c->n_files++;
}

static bool is_cycle(const struct reader *outer, const struct stat *st)
{
    for (; outer; outer = outer->outer)
        if (outer->ino == st->st_ino && outer->dev == st->st_dev && outer->ino)
            return true;
    return false;
}

/* The whole file as fresh memory, or NULL after an error. */
static char *slurp(FILE *f, const char *path, const char *where, size_t *len, struct diag *d)
{
    char *text = xmalloc(CONF_MAX_FILE_BYTES + 1);
    *len = fread(text, 1, CONF_MAX_FILE_BYTES + 1, f);
    if (ferror(f))
        fail(d, "%s%s: cannot be read: %s", where, path, strerror(errno));
    else if (*len > CONF_MAX_FILE_BYTES)
        fail(d, "%s%s: found more than %u bytes, expected a configuration file", where, path, CONF_MAX_FILE_BYTES);
    else
        return text;
    free(text);
    return NULL;
}

static void read_text(struct reader *r, struct conf_section *s, const char *text, size_t len, struct diag *d)
{
    r->lex = (struct lexer){.d = d, .file = r->c->files[r->file].name, .p = text, .end = text + len, .line = 1};
    lex_next(&r->lex);
    read_body(r, s, 0);
    free(r->lex.text);
}

static void read_file(struct conf *c, struct conf_section *s, const struct reader *outer, const char *path,
                      const char *prefix, const char *where, struct diag *d, bool *failed)
{
    struct stat st;
    char lead[640] = "", *text = NULL;
    size_t len = 0;
    if (outer)
        snprintf(lead, sizeof lead, "%s: include: ", where);
    FILE *f = c->n_files < CONF_MAX_FILES ? fopen(path, "re") : NULL;
    if (c->n_files >= CONF_MAX_FILES)
        fail(d, "%sfound more than %u inclusions, expected fewer", lead, CONF_MAX_FILES);
    else if (!f || fstat(fileno(f), &st) != 0)
        fail(d, "%s%s: cannot be opened: %s", lead, path, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        fail(d, "%s%s: found a folder, expected a configuration file", lead, path);
    else if (is_cycle(outer, &st))
        fail(d, "%s%s: found a file that includes itself, expected no cycle", lead, path);
    else
        text = slurp(f, path, lead, &len, d);
    if (f)
        fclose(f);
    const char *zero = text ? memchr(text, 0, len) : NULL;
    if (zero) {
        fail(d, "%s%s: byte %zu: found 0, which no text has, expected a configuration file", lead, path,
             (size_t)(zero - text));
        free(text);
        text = NULL;
    }
    if (!text) {
        *failed = true;
        return;
    }
    char *dir = folder_of(path);
    struct reader r = {.c = c, .dir = dir, .outer = outer, .dev = st.st_dev, .ino = st.st_ino};
    r.file = (uint32_t)add_file(c, path, prefix, outer);
    read_text(&r, s, text, len, d);
    *failed |= r.lex.failed;
    free(dir);
    free(text);
}

/* ---- which value counts ------------------------------------------------------------------------------------------ */
/* True if file a includes file b, directly or not. */
static bool includes(const struct conf *c, uint32_t a, uint32_t b)
{
    while (c->files[b].parent != b) {
        b = c->files[b].parent;
        if (a == b)
            return true;
    }
    return false;
}

static void hide_overridden(struct conf_section *s)
{
    for (struct conf_entry *e = s->entries; e; e = e->next)
        for (struct conf_entry *o = s->entries; o && !e->is_hidden; o = o->next)
            e->is_hidden = strcmp(o->name, e->name) == 0 && includes(s->conf, o->file, e->file);
}

static void resolve_section(struct conf_section *s, struct diag *d, bool *failed)
{
    char path[256];
    conf_section_path(s, path, sizeof path);
    hide_overridden(s);
    for (struct conf_entry *e = s->entries; e; e = e->next) {
        for (struct conf_entry *o = e->next; o && !e->is_hidden; o = o->next) {
            if (o->is_hidden || strcmp(o->name, e->name) != 0)
                continue;
            fail(d, "%s: [%s] %s: found a second time, expected once (first at %s)", o->where, path, o->name, e->where);
            o->is_hidden = true;
            *failed = true;
        }
    }
    for (struct conf_section *k = s->first; k; k = k->next)
        resolve_section(k, d, failed);
}

static struct conf *finish(struct conf *c, bool failed, struct diag *d)
{
    resolve_section(c->root, d, &failed);
    if (!failed)
        return c;
    conf_free(c);
    return NULL;
}

struct conf *conf_read(const char *path, const struct conf_schema *root, struct diag *d)
{
    bool failed = false;
    char *dir = folder_of(path);
    struct conf *c = conf_new(root, dir);
    char *where = xasprintf("%s:1", path);
    c->root->where = conf_strdup(c, where, strlen(where));
    free(where);
    free(dir);
    read_file(c, c->root, NULL, path, "", "", d, &failed);
    return finish(c, failed, d);
}

struct conf *conf_parse(const char *text, size_t len, const char *name, const char *dir, const struct conf_schema *root,
                        struct diag *d)
{
    struct conf *c = conf_new(root, dir);
    char *slashed = xasprintf("%s%s", dir, *dir && dir[strlen(dir) - 1] != '/' ? "/" : "");
    struct reader r = {.c = c, .dir = slashed};
    r.file = (uint32_t)add_file(c, name, "", NULL);
    c->root->where = where_at(c, name, 1);
    read_text(&r, c->root, text, len, d);
    free(slashed);
    return finish(c, r.lex.failed, d);
}

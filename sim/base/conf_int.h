/* SPDX-License-Identifier: MIT */
/* Inside of the configuration language: what its files share. Nobody else includes this. */
#ifndef QUIRE_BASE_CONF_INT_H
#define QUIRE_BASE_CONF_INT_H

#include "sim/base/conf.h"

#include <stddef.h>

#define CONF_MAX_FILE_BYTES (1u << 20)
#define CONF_MAX_ENTRIES    4000u /* keys, and appearances of sections, in one section */
#define CONF_MAX_FILES      256u  /* inclusions of one configuration, counted each time */

struct conf_entry {
    struct conf_entry *next;
    const char *name;
    const struct conf_key *key; /* NULL in an open section */
    const char *text;           /* a scalar as written, without quotes; NULL: a list */
    struct conf_list list;
    const char *where; /* "file.conf:12" */
    uint32_t file;     /* index into conf.files, or CONF_FILE_SET */
    bool is_hidden;    /* overridden, or one side of a reported conflict */
};
#define CONF_FILE_SET UINT32_MAX /* the entry comes from conf_set */

struct conf_section {
    struct conf *conf;
    struct conf_section *parent, *next, *first, **tail; /* next: sibling; first/tail: children, in file order */
    const struct conf_schema *schema;
    const char *title; /* "" if untitled */
    const char *where;
    struct conf_entry *entries, **entries_tail;
    uint32_t n_entries, n_children; /* read from files so far, for the limit */
};

struct conf_filename {
    const char *name;   /* as shown in messages */
    const char *prefix; /* folder relative to the top file's: "" or "machines/" */
    uint32_t parent;    /* the file that includes it; its own index for the top file */
};

struct conf_chunk; /* of the arena below */

struct conf {
    struct conf_section *root;
    const char *dir;
    struct conf_filename *files;
    uint32_t n_files;
    struct conf_chunk *chunks;
};

/* Memory that lives as long as the conf. conf_alloc zeroes; alignment 16. */
void *conf_alloc(struct conf *c, size_t size);
const char *conf_strdup(struct conf *c, const char *s, size_t len);

struct conf *conf_new(const struct conf_schema *root, const char *dir);
struct conf_section *conf_add_section(struct conf_section *parent, const struct conf_schema *schema, const char *title,
                                      const char *where);
struct conf_entry *conf_add_entry(struct conf_section *s, const char *name, const struct conf_key *key);
/* The visible entry of that name, or NULL. */
struct conf_entry *conf_entry(const struct conf_section *s, const char *name);

const struct conf_key *conf_find_key(const struct conf_schema *s, const char *name);
const struct conf_schema *conf_find_sub(const struct conf_schema *s, const char *name);
/* "machine.imc", "vm.log", "top level" into buf. */
void conf_section_path(const struct conf_section *s, char *buf, size_t size);
/* Checks one entry's value; where and section are put in front of an error. */
int conf_check_entry(const struct conf_section *s, const struct conf_entry *e, struct diag *d);
/* Reports that s knows no key or section of that name, with the nearest one it knows. */
int conf_unknown(const struct conf_section *s, const char *where, const char *name, bool is_section, struct diag *d);

#endif

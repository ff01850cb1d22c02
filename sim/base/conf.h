/* SPDX-License-Identifier: MIT */
/* The configuration language: a tree of sections and `key = "value"` lines, read by one table-driven reader. A
 * component brings a table of the keys it understands (struct conf_key); the reader checks names, units, ranges and
 * duplicates and reports every error with file and line.
 *
 *   # comment            // comment            C comments too
 *   include("machines/cascade-lake-2s.conf")   relative to the including file, at any place where a key may stand;
 *                                              a file that includes itself is an error
 *   seed = 1                                   a bare word or number, or "a quoted string" with \" \\ \n \t
 *   machine { imc { wpq_entries = 64 } }       sections nest; a section given twice merges
 *   vm "log" { memory = "4GiB" }               a titled section
 *   values = {"4", "8", "16"}                  a list; a single value is a list of one
 *
 * A key given twice in one file is an error; a key of the including file overrides an included one, wherever the two
 * stand; two files of which neither includes the other may not both give it.
 *
 * Errors read `file:line: [section] key: found ..., expected ...`, with the nearest known name for an unknown one. */
#ifndef QUIRE_BASE_CONF_H
#define QUIRE_BASE_CONF_H

#include "sim/base/diag.h"

#include <stdbool.h>
#include <stdint.h>

/* What a key holds, how it is written, and how it is stored: every field that conf_bind fills is 8 bytes wide. */
enum conf_type {
    CONF_BOOL,   /* true|false                               uint64_t 0 or 1 */
    CONF_UINT,   /* 42 or 0x2a, no unit                      uint64_t */
    CONF_SIZE,   /* "4GiB": B, KiB, MiB, GiB, TiB needed     uint64_t bytes */
    CONF_TIME,   /* "1.5us": ps, ns, us, ms, s needed        uint64_t ps; a fraction must come out whole */
    CONF_FREQ,   /* "2.4GHz": Hz, kHz, MHz, GHz needed       uint64_t Hz */
    CONF_RATE,   /* "2.2GB/s": B/s, kB/s, MB/s, GB/s (powers of ten) needed   uint64_t bytes per second */
    CONF_ENERGY, /* "550mJ": uJ, mJ, J needed                uint64_t microjoules */
    CONF_POWER,  /* "305W": mW, W, kW needed                 uint64_t milliwatts */
    CONF_RATIO,  /* "12.5%": % needed                        uint64_t parts per million */
    CONF_STRING, /* "text"                                   const char *, owned by the struct conf */
    CONF_CHOICE, /* one word of choices                      uint64_t index into choices */
    CONF_LIST,   /* {"a", "b"} or one value                  const struct conf_list *; default "" (empty) or NULL */
    CONF_PATH,   /* a file, relative to the file naming it   const char *, relative to the top file: see conf_file */
};

struct conf_list {
    uint32_t n;
    const char *const *item;
};

/* One key. An array of them ends with name == NULL. */
struct conf_key {
    const char *name;
    enum conf_type type;
    uint32_t offset;            /* of the 8-byte field in the bound struct */
    const char *def;            /* default as it would be written in a file; NULL: the key must be given */
    uint64_t min, max;          /* allowed range of the stored number; max 0 means no limit */
    const char *const *choices; /* CONF_CHOICE: the words, NULL-terminated */
    const char *help;           /* one sentence; the source of the default where it is a measured number */
};

/* A section that may appear. An array of them ends with name == NULL. */
struct conf_schema {
    const char *name;
    const struct conf_key *keys;    /* NULL: no keys of its own */
    const struct conf_schema *subs; /* NULL: no sections inside */
    bool titled;                    /* vm "log" { }: may appear many times, once a title */
    bool open;                      /* any key is allowed; whoever reads the section checks it (policy options) */
    const char *help;
    bool repeats;  /* with titled: every appearance is a section of its own, also under the same title */
    bool optional; /* absent means "not there", so conf_print leaves it out; else absent means "all defaults" */
};

struct conf;         /* a whole configuration; owns everything read from it */
struct conf_section; /* one section of it, in file order */

/* Reads a file and all its includes, checked against root (whose name is ignored). NULL after reporting every error. */
struct conf *conf_read(const char *path, const struct conf_schema *root, struct diag *d);
/* The same from memory; name stands for the file in messages; includes are relative to dir. */
struct conf *conf_parse(const char *text, size_t len, const char *name, const char *dir, const struct conf_schema *root,
                        struct diag *d);
void conf_free(struct conf *c);
/* A deep copy, so that a sweep's points can be set apart. */
struct conf *conf_copy(const struct conf *c);
/* A configuration whose top level is section s, checked against s's own schema; what the top level of c says outside
 * the sections called like s, and s does not, is taken over (a study inherits what its file shares). */
struct conf *conf_subtree(const struct conf *c, const struct conf_section *s);
/* Removes the top-level key or all top-level sections of that name. */
void conf_drop(struct conf *c, const char *name);
/* Every key without a default that a present section does not give. 0, or -1 after reporting all of them. */
int conf_check(const struct conf *c, struct diag *d);

/* The folder of the top file ("" for the current one): CONF_PATH values are relative to it. */
const char *conf_dir(const struct conf *c);
/* Changes it: a resolved config is read away from the folder it was written for. */
void conf_set_dir(struct conf *c, const char *dir);
/* The name by which a CONF_PATH value (or another relative name) can be opened. The caller frees. */
char *conf_file(const struct conf *c, const char *name);

/* Sets one key by its path, "machine.imc.wpq_entries" or "vm.log.memory", overriding the files (origin: "--set" or
 * "sweep wpq", for messages). A list is written "{4, 8}" or "4, 8". A key that the schema does not know is an error; a
 * titled section must exist already. */
int conf_set(struct conf *c, const char *path, const char *value, const char *origin, struct diag *d);

const struct conf_section *conf_root(const struct conf *c);
/* First section called name (title NULL: any) inside s; NULL if absent. */
const struct conf_section *conf_find(const struct conf_section *s, const char *name, const char *title);
/* Next section of the same name after s; NULL at the end. */
const struct conf_section *conf_next(const struct conf_section *s);
const char *conf_title(const struct conf_section *s); /* "" if untitled */
/* "file.conf:12", where the section began; "defaults" for one that no file holds. */
const char *conf_where(const struct conf_section *s);

/* Fills the struct out from section s (NULL: defaults only) by the table keys. 0, or -1 after reporting every error.
 * Strings and lists stay owned by the conf, or are the table's own. */
int conf_bind(const struct conf_section *s, const struct conf_key *keys, void *out, struct diag *d);

/* Key/value pairs of a section, in file order; value is the text without quotes (a list: NULL); where, for messages, is
 * "file.conf:12: [policy.vfha]". False at the end. value and where may be NULL. */
bool conf_item(const struct conf_section *s, uint32_t index, const char **key, const char **value, const char **where);

/* Says where the mistakes stand that d got since it was since bytes long, all of them found in what section s says. A
 * line that begins with the path of a key below s, as in "machine.cache.l1d_size: ..." for the section machine, gets
 * that key's place if a file gives the key; other lines get the place of s, unless they begin with it. */
void conf_blame(const struct conf_section *s, uint32_t since, struct diag *d);

/* Reads one value as a key of the given type (not CONF_LIST) would: `4GiB` for CONF_SIZE; a string is not copied. 0, or
 * -1 with one error: "<where> <key>: found ..., expected ...", so where is "file.conf:12: [section]" or "--policy:". */
int conf_value(const struct conf_key *key, const char *text, const char *where, void *field, struct diag *d);
/* The canonical text of a stored number (not a string, path or list), without quotes. The caller frees. */
char *conf_number(const struct conf_key *key, uint64_t value);

/* The whole configuration with all defaults resolved, in schema order, canonical units: reading it again gives the same
 * bytes. The caller frees. */
char *conf_print(const struct conf *c);

/* Keys, units, ranges, defaults and help of a schema below path ("machine.imc"; "" for the top), as text for --help.
 * NULL if there is no such section. The caller frees. */
char *conf_help(const struct conf_schema *root, const char *path);

/* The word of the list (n words) nearest to s by edit distance, if it is near enough to be a typo; else NULL. */
const char *conf_nearest(const char *s, const char *const *words, uint32_t n);

#endif

/* SPDX-License-Identifier: MIT */
/* Options of a subcommand: a const table, from which come the parsing, the help text and the messages. */
#ifndef QUIRE_CLI_ARGS_H
#define QUIRE_CLI_ARGS_H

#include "sim/base/diag.h"

#include <stdbool.h>
#include <stdint.h>

enum { EXIT_DONE = 0, EXIT_JUDGED_FALSE = 1, EXIT_BAD_INPUT = 2, EXIT_FAULT = 3 };

enum arg_kind {
    ARG_FLAG,   /* bool *, becomes true; takes no value */
    ARG_STRING, /* const char ** */
    ARG_SETS,   /* struct sets *: may be given many times */
    ARG_UINT,   /* uint64_t *, decimal */
    ARG_REAL    /* double * */
};

struct sets {
    const char *text[64]; /* "KEY=VALUE" */
    uint32_t n;
};

struct arg {
    const char *name;  /* long name without the dashes; NULL ends the table */
    char letter;       /* short name or 0 */
    const char *value; /* what stands for the value in the help; NULL for flags */
    enum arg_kind kind;
    void *to;
    const char *help; /* one line */
};

struct args {
    const char *usage; /* "quire mrc TRACE [option]..." */
    const char *about; /* paragraph for --help, ends without newline */
    const struct arg *table;
    const char
        *after; /* text after the options, or NULL: lines "  quire ..." are examples, and run by tests/e2e/docs.sh */
    const char *exits; /* exit codes, or NULL for 0, 2 and 3 as everywhere */
};

#define ARGS_HELP (-2) /* --help was asked for and printed */

/* Parses argv[1..argc): options may stand anywhere, "--" ends them. Puts up to max other words into word[]. Returns how
 * many, ARGS_HELP, or -1 after fail() (unknown option with the nearest name, missing or malformed value, too many
 * words). */
int args_parse(const struct args *a, int argc, char **argv, const char **word, int max, struct diag *d);

/* The same; options end at the first other word: what follows belongs to the program that it names. */
int args_parse_program(const struct args *a, int argc, char **argv, const char **word, int max, struct diag *d);

/* Prints the lines of d to standard error, each after "quire: "; returns EXIT_BAD_INPUT. */
int args_complain(const struct diag *d);

/* Progress on standard error while something takes long: silent unless that is a terminal. Zero-initialise. */
struct meter {
    const char *what; /* "reading" */
    double started_s, shown_s;
    bool on_screen;
};
/* Shows done of total (0 = unknown) at most four times a second, after the first second. */
void meter_show(struct meter *m, uint64_t done, uint64_t total);
/* Takes the line off the screen. */
void meter_end(struct meter *m);

#endif

/* SPDX-License-Identifier: MIT */
/* Inside of the configuration language: tokens of one text, with their lines, and errors about them. conf_read.c alone
 * includes this. */
#ifndef QUIRE_BASE_CONF_LEX_H
#define QUIRE_BASE_CONF_LEX_H

#include "sim/base/diag.h"
#include "sim/base/types.h"

enum token { TOK_END, TOK_WORD, TOK_STRING, TOK_PUNCT, TOK_ERROR };

/* Set d, file, p, end and line = 1, the rest zero; then lex_next goes to the first token. The owner frees text. */
struct lexer {
    struct diag *d;
    const char *file;    /* name in messages */
    const char *p, *end; /* what is not read yet */
    uint32_t line;       /* of p, from 1 */
    enum token tok;      /* the current token */
    uint32_t tok_line;
    char *text; /* its text: words and strings unescaped, punctuation as one character; stays until the next one */
    size_t text_cap;
    bool failed; /* an error was reported; others who report about this file set it, too */
};

/* Goes to the next token. What can be none is reported; it ends its line and gives TOK_ERROR. */
enum token lex_next(struct lexer *x);
/* The current token is that punctuation: one of {}(),= */
bool lex_at(const struct lexer *x, char c);
/* It is a word or a string. */
bool lex_at_value(const struct lexer *x);
/* What stands at the current token, for messages; the text may be in buf. */
const char *lex_found(const struct lexer *x, char buf[80]);
/* After an error: on to the first token of a later line, or the '}' that closes the section. */
void lex_resync(struct lexer *x);

/* Reports "file:line: ..." and sets failed. */
void lex_error(struct lexer *x, uint32_t line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define LEX_ERROR(x, ...) lex_error((x), (x)->tok_line, __VA_ARGS__)

#endif

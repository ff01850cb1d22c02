/* SPDX-License-Identifier: MIT */
/* From the text of a configuration file to tokens: blanks, comments, strings, words, and what is none of them. */
#include "sim/base/conf_lex.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void lex_error(struct lexer *x, uint32_t line, const char *fmt, ...)
{
    char msg[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    fail(x->d, "%s:%u: %s", x->file, line, msg);
    x->failed = true;
}

/* A token that cannot be read ends its line, so that a line gives one error. */
static enum token bad_token(struct lexer *x)
{
    while (x->p < x->end && *x->p != '\n')
        x->p++;
    return TOK_ERROR;
}

/* Blanks and comments. False at an unclosed comment. */
static bool skip_blank(struct lexer *x)
{
    while (x->p < x->end) {
        char c = *x->p;
        if (c == '\n') {
            x->line++;
            x->p++;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            x->p++;
        } else if (c == '#' || (c == '/' && x->end - x->p > 1 && x->p[1] == '/')) {
            while (x->p < x->end && *x->p != '\n')
                x->p++;
        } else if (c == '/' && x->end - x->p > 1 && x->p[1] == '*') {
            uint32_t start = x->line;
            for (x->p += 2; x->end - x->p > 1 && !(x->p[0] == '*' && x->p[1] == '/'); x->p++)
                x->line += *x->p == '\n';
            if (x->end - x->p <= 1) {
                lex_error(x, start, "found an unclosed comment, expected */");
                x->p = x->end;
                return false;
            }
            x->p += 2;
        } else {
            break;
        }
    }
    return true;
}

static void put_char(struct lexer *x, size_t *n, char c)
{
    if (*n + 1 >= x->text_cap)
        x->text = xrealloc(x->text, x->text_cap = x->text_cap ? 2 * x->text_cap : 64);
    x->text[(*n)++] = c;
    x->text[*n] = 0;
}

static enum token read_string(struct lexer *x)
{
    size_t n = 0;
    put_char(x, &n, 0);
    for (n = 0, x->text[0] = 0, x->p++; x->p < x->end && *x->p != '"'; x->p++) {
        char c = *x->p;
        if (c == '\n')
            break;
        if (c == '\\') {
            static const char from[] = "\"\\nt", to[] = "\"\\\n\t";
            const char *e = x->end - x->p > 1 && x->p[1] ? strchr(from, x->p[1]) : NULL;
            if (!e) {
                LEX_ERROR(x, "found an unknown escape in a string, expected \\\" \\\\ \\n or \\t");
                return bad_token(x);
            }
            c = to[e - from];
            x->p++;
        } else if (((unsigned char)c < 32 && c != '\t') || c == 127) {
            LEX_ERROR(x, "found a control character (0x%02x) in a string, expected text", (unsigned char)c);
            return bad_token(x);
        }
        put_char(x, &n, c);
    }
    if (x->p == x->end || *x->p != '"') {
        LEX_ERROR(x, "found an unclosed string, expected \" on the same line");
        return bad_token(x);
    }
    x->p++;
    return TOK_STRING;
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("_.%/:+-", c));
}

enum token lex_next(struct lexer *x)
{
    bool ok = skip_blank(x);
    size_t n = 0;
    x->tok_line = x->line;
    if (!ok)
        return x->tok = TOK_ERROR;
    if (x->p == x->end)
        return x->tok = TOK_END;
    if (*x->p == '"')
        return x->tok = read_string(x);
    if (is_word_char(*x->p)) {
        while (x->p < x->end && is_word_char(*x->p))
            put_char(x, &n, *x->p++);
        return x->tok = TOK_WORD;
    }
    if (!*x->p || !strchr("{}(),=", *x->p)) {
        unsigned char c = (unsigned char)*x->p++;
        if (c > 32 && c < 127)
            LEX_ERROR(x, "found '%c', expected a name, a value or one of { } = ,", c);
        else
            LEX_ERROR(x, "found the byte 0x%02x, expected text", c);
        return x->tok = bad_token(x);
    }
    put_char(x, &n, *x->p++);
    return x->tok = TOK_PUNCT;
}

bool lex_at(const struct lexer *x, char c)
{
    return x->tok == TOK_PUNCT && x->text[0] == c;
}

bool lex_at_value(const struct lexer *x)
{
    return x->tok == TOK_WORD || x->tok == TOK_STRING;
}

const char *lex_found(const struct lexer *x, char buf[80])
{
    if (x->tok == TOK_END)
        return "the end of the file";
    snprintf(buf, 80, x->tok == TOK_PUNCT ? "'%.60s'" : "\"%.60s\"", x->text);
    return buf;
}

void lex_resync(struct lexer *x)
{
    uint32_t line = x->tok_line, depth = 0;
    while (x->tok != TOK_END) {
        if (depth == 0 && (lex_at(x, '}') || (x->tok_line > line && x->tok != TOK_ERROR)))
            return;
        depth += lex_at(x, '{');
        depth -= lex_at(x, '}') && depth > 0;
        lex_next(x);
    }
}

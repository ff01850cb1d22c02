/* SPDX-License-Identifier: MIT */
/* Inside sim/trace: fast reading and writing of numbers in lines. All readers return false on anything unexpected,
 * overflow included, and leave the place undefined then. */
#ifndef QUIRE_TRACE_TEXT_H
#define QUIRE_TRACE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

struct text {
    const uint8_t *at, *end;
};

static inline bool text_done(const struct text *t)
{
    return t->at == t->end;
}

static inline bool text_char(struct text *t, char c)
{
    if (t->at == t->end || *t->at != (uint8_t)c)
        return false;
    t->at++;
    return true;
}

/* Passes over blanks; true if there was at least one. */
static inline bool text_blanks(struct text *t)
{
    const uint8_t *from = t->at;
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t'))
        t->at++;
    return t->at > from;
}

static inline bool text_dec(struct text *t, uint64_t *v)
{
    const uint8_t *p = t->at;
    uint64_t x = 0;
    while (p < t->end && (uint8_t)(*p - '0') < 10) {
        uint64_t digit = (uint64_t)(*p++ - '0');
        if (x > (UINT64_MAX - digit) / 10)
            return false;
        x = x * 10 + digit;
    }
    bool any = p > t->at;
    t->at = p;
    *v = x;
    return any;
}

static inline int text_hex_digit(uint8_t c)
{
    if ((uint8_t)(c - '0') < 10)
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hexadecimal without 0x. */
static inline bool text_hex(struct text *t, uint64_t *v)
{
    const uint8_t *p = t->at;
    uint64_t x = 0;
    int digit;
    while (p < t->end && (digit = text_hex_digit(*p)) >= 0) {
        if (x >> 60)
            return false;
        x = x << 4 | (uint64_t)digit;
        p++;
    }
    bool any = p > t->at;
    t->at = p;
    *v = x;
    return any;
}

/* Hexadecimal with 0x. */
static inline bool text_0x(struct text *t, uint64_t *v)
{
    return text_char(t, '0') && (text_char(t, 'x') || text_char(t, 'X')) && text_hex(t, v);
}

/* Writers: return the place after the last digit. */
static inline char *text_put_hex(char *p, uint64_t v, int least_digits)
{
    int digits = v ? (67 - __builtin_clzll(v)) / 4 : 1;
    if (digits < least_digits)
        digits = least_digits;
    for (int i = digits; i-- > 0;)
        *p++ = "0123456789abcdef"[(v >> (4 * i)) & 15];
    return p;
}

static inline char *text_put_dec(char *p, uint64_t v)
{
    char digits[20];
    int n = 0;
    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    while (n)
        *p++ = digits[--n];
    return p;
}

#endif

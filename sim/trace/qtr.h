/* SPDX-License-Identifier: MIT */
/* Inside sim/trace: the columns of the native format (include/quire/trace.h), coding and decoding. */
#ifndef QUIRE_TRACE_QTR_H
#define QUIRE_TRACE_QTR_H

#include <quire/trace.h>

#include <stdbool.h>
#include <stdint.h>

enum { QTR_CLASS, QTR_ADDR, QTR_ARG, QTR_TIME, QTR_TEXT, QTR_N_COLUMNS };
enum { QTR_PLAIN = 0, QTR_ZLIB = 1, QTR_ZSTD = 2 };
enum { QTR_ZERO = 0, QTR_FIXED = 1, QTR_TAGGED = 2 };

#define QTR_PAD 8 /* readable bytes that every column buffer has past its end */

struct qtr_column {
    uint8_t storage, coding, shift;
    uint8_t width[4];
    uint32_t raw_bytes, stored_bytes;
};

static inline uint64_t qtr_zigzag(uint64_t d)
{
    return (d << 1) ^ -(d >> 63);
}
static inline uint64_t qtr_unzigzag(uint64_t z)
{
    return (z >> 1) ^ -(z & 1);
}
static inline uint64_t qtr_mask(uint32_t width)
{
    return width == 8 ? UINT64_MAX : (1ull << (8 * width)) - 1;
}
static inline uint32_t qtr_tag_bytes(uint32_t n)
{
    return (n + 3) / 4;
}

/* Chooses coding and widths for n values and writes the raw column to out (QTR_MAX_COLUMN + QTR_PAD bytes); fills c but
 * for its storage. Values must already be shifted. */
void qtr_encode(const uint64_t *values, uint32_t n, uint8_t *out, struct qtr_column *c);

/* True if raw (c->raw_bytes long) is a well-formed column of n values. */
bool qtr_column_fits(const struct qtr_column *c, const uint8_t *raw, uint32_t n);

/* A place in a column. */
struct qtr_cursor {
    const uint8_t *tags, *value;
    uint32_t at; /* values taken so far */
    uint8_t coding, shift;
    uint8_t width[4];
    uint64_t mask[4];
};
void qtr_cursor_start(struct qtr_cursor *k, const struct qtr_column *c, const uint8_t *raw, uint32_t n);

/* The next value, unshifted as stored. coding must be k->coding: a constant where speed matters. */
static inline uint64_t qtr_next(struct qtr_cursor *k, uint32_t i, uint8_t coding)
{
    uint64_t v;
    if (coding == QTR_ZERO)
        return 0;
    __builtin_memcpy(&v, k->value, 8);
    uint32_t tag = coding == QTR_TAGGED ? (k->tags[i >> 2] >> ((i & 3) * 2)) & 3 : 0;
    k->value += k->width[tag];
    return v & k->mask[tag];
}

#endif

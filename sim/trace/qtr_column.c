/* SPDX-License-Identifier: MIT */
#include "sim/trace/qtr.h"

#include <string.h>

static uint32_t bytes_needed(uint64_t v)
{
    return v ? (71 - (uint32_t)__builtin_clzll(v)) / 8 : 0;
}

/* Bytes of the values alone when each goes into the smallest of the four widths that holds it. */
static uint64_t tagged_cost(const uint32_t count[9], const uint8_t width[4])
{
    uint64_t sum = 0;
    uint32_t w = 0;
    for (uint32_t b = 0; b <= 8; b++) {
        while (w < 3 && width[w] < b)
            w++;
        sum += (uint64_t)count[b] * width[w];
    }
    return sum;
}

/* The four widths, ascending, the last one `most`, with the least cost. */
static uint64_t best_widths(const uint32_t count[9], uint32_t most, uint8_t best[4])
{
    uint64_t least = UINT64_MAX;
    for (uint8_t a = 0; a <= most; a++) {
        for (uint8_t b = a; b <= most; b++) {
            for (uint8_t c = b; c <= most; c++) {
                const uint8_t w[4] = {a, b, c, (uint8_t)most};
                uint64_t cost = tagged_cost(count, w);
                if (cost < least) {
                    least = cost;
                    memcpy(best, w, 4);
                }
            }
        }
    }
    return least;
}

static void put_values(const uint64_t *values, uint32_t n, uint8_t *out, struct qtr_column *c)
{
    uint8_t *tags = out;
    uint8_t *to = c->coding == QTR_TAGGED ? out + qtr_tag_bytes(n) : out;
    memset(tags, 0, (size_t)(to - tags));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t need = bytes_needed(values[i]), w = 0;
        if (c->coding == QTR_TAGGED) {
            while (c->width[w] < need)
                w++;
            tags[i >> 2] |= (uint8_t)(w << ((i & 3) * 2));
        }
        memcpy(to, &values[i], 8);
        to += c->width[w];
    }
    c->raw_bytes = (uint32_t)(to - out);
}

void qtr_encode(const uint64_t *values, uint32_t n, uint8_t *out, struct qtr_column *c)
{
    uint32_t count[9] = {0};
    uint32_t most = 0;
    for (uint32_t i = 0; i < n; i++)
        count[bytes_needed(values[i])]++;
    for (uint32_t b = 1; b <= 8; b++)
        most = count[b] ? b : most;
    memset(c->width, 0, sizeof c->width);
    c->raw_bytes = 0;
    c->coding = QTR_ZERO;
    if (most == 0)
        return;
    uint8_t tagged[4] = {0};
    uint64_t cost = best_widths(count, most, tagged) + qtr_tag_bytes(n);
    c->coding = cost < (uint64_t)n * most ? QTR_TAGGED : QTR_FIXED;
    if (c->coding == QTR_TAGGED)
        memcpy(c->width, tagged, 4);
    else
        c->width[0] = (uint8_t)most;
    put_values(values, n, out, c);
}

/* Sum of the widths of n tagged values; UINT64_MAX if a padding bit is set. */
static uint64_t tagged_bytes(const struct qtr_column *c, const uint8_t *tags, uint32_t n)
{
    uint64_t count[4] = {0};
    const uint64_t low = 0x5555555555555555ull;
    uint32_t n_tag_bytes = qtr_tag_bytes(n);
    if ((n & 3) && tags[n_tag_bytes - 1] >> ((n & 3) * 2))
        return UINT64_MAX;
    for (uint32_t i = 0; i < n_tag_bytes; i += 8) {
        uint64_t t = 0;
        memcpy(&t, tags + i, n_tag_bytes - i < 8 ? n_tag_bytes - i : 8);
        uint64_t a = t & low, b = (t >> 1) & low;
        count[1] += (uint64_t)__builtin_popcountll(a & ~b);
        count[2] += (uint64_t)__builtin_popcountll(b & ~a);
        count[3] += (uint64_t)__builtin_popcountll(a & b);
    }
    count[0] = n - count[1] - count[2] - count[3];
    uint64_t sum = 0;
    for (int w = 0; w < 4; w++)
        sum += count[w] * c->width[w];
    return sum;
}

bool qtr_column_fits(const struct qtr_column *c, const uint8_t *raw, uint32_t n)
{
    if (c->coding == QTR_ZERO)
        return c->raw_bytes == 0;
    if (c->coding == QTR_FIXED)
        return c->raw_bytes == (uint64_t)n * c->width[0];
    uint32_t tags = qtr_tag_bytes(n);
    return c->raw_bytes >= tags && tagged_bytes(c, raw, n) == c->raw_bytes - tags;
}

void qtr_cursor_start(struct qtr_cursor *k, const struct qtr_column *c, const uint8_t *raw, uint32_t n)
{
    *k = (struct qtr_cursor){.tags = raw, .value = raw, .coding = c->coding, .shift = c->shift};
    if (c->coding == QTR_TAGGED)
        k->value = raw + qtr_tag_bytes(n);
    for (int w = 0; w < 4; w++) {
        k->width[w] = c->width[w];
        k->mask[w] = qtr_mask(c->width[w]);
    }
}

/* SPDX-License-Identifier: MIT */
/* Inside sim/mrc: a time axis with one bit an instant, set where an id was last accessed, and the number of set bits
 * before any instant at hand. Every level stores, within one cache line, how many set bits lie before each of its
 * parts, so that a count is a few loads and taking a bit away is one vector subtraction a level. Instants are only ever
 * added at the end, so the parts beyond it need no upkeep: they are set when the end reaches them. */
#ifndef QUIRE_MRC_AXIS_H
#define QUIRE_MRC_AXIS_H

#include "sim/base/ckpt.h"

#include <stdint.h>

#define AXIS_LEAF_SHIFT  8  /* 256 bits, four words */
#define AXIS_GROUP_SHIFT 13 /* 32 leaves */
#define AXIS_SUPER_SHIFT 17 /* 16 groups */
#define AXIS_TOP_SHIFT   21 /* 16 supers */

typedef uint16_t axis_v16 __attribute__((vector_size(16), may_alias));
typedef uint32_t axis_v32 __attribute__((vector_size(16), may_alias));

struct axis {
    uint64_t *bits;
    uint16_t *leaf;  /* [leaf]: set bits of its group before it */
    uint32_t *group; /* [group]: set bits of its super before it */
    uint32_t *super; /* [super]: set bits of its top part before it */
    uint32_t *top;   /* [top part]: set bits before it */
    uint64_t n_top, n_bits;
    uint64_t end;   /* instants in use: [0, end) */
    uint64_t n_set; /* bits set */
};

/* An axis of at least n_bits instants whose first n_set are used and set. */
void axis_init(struct axis *a, uint64_t n_bits, uint64_t n_set);
void axis_free(struct axis *a);
/* Makes *to, which holds nothing, a copy of a. */
void axis_copy(struct axis *to, const struct axis *a);

/* Set bits before instant t < end. */
static inline __attribute__((always_inline)) uint64_t axis_rank(const struct axis *a, uint64_t t)
{
    static const uint64_t before[4][4] = {
        {0, 0, 0, 0}, {~0ull, 0, 0, 0}, {~0ull, ~0ull, 0, 0}, {~0ull, ~0ull, ~0ull, 0}};
    const uint64_t *leaf = a->bits + ((t >> AXIS_LEAF_SHIFT) << (AXIS_LEAF_SHIFT - 6));
    const uint64_t *mask = before[(t >> 6) & 3];
    uint64_t sum = (uint64_t)__builtin_popcountll(a->bits[t >> 6] & ((1ull << (t & 63)) - 1));
    for (int w = 0; w < 3; w++)
        sum += (uint64_t)__builtin_popcountll(leaf[w] & mask[w]);
    return sum + a->leaf[t >> AXIS_LEAF_SHIFT] + a->group[t >> AXIS_GROUP_SHIFT] + a->super[t >> AXIS_SUPER_SHIFT] +
           a->top[t >> AXIS_TOP_SHIFT];
}

/* Takes one from entries part + 1.. of a line of 32 counts. */
static inline __attribute__((always_inline)) void axis_line16(uint16_t *line, uint32_t part)
{
    static const axis_v16 lane[4] = {{0, 1, 2, 3, 4, 5, 6, 7},
                                     {8, 9, 10, 11, 12, 13, 14, 15},
                                     {16, 17, 18, 19, 20, 21, 22, 23},
                                     {24, 25, 26, 27, 28, 29, 30, 31}};
    for (int i = 0; i < 4; i++)
        ((axis_v16 *)line)[i] += (axis_v16)(lane[i] > (uint16_t)part);
}

/* The same for a line of 16 counts. */
static inline __attribute__((always_inline)) void axis_line32(uint32_t *line, uint32_t part)
{
    static const axis_v32 lane[4] = {{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}, {12, 13, 14, 15}};
    for (int i = 0; i < 4; i++)
        ((axis_v32 *)line)[i] += (axis_v32)(lane[i] > part);
}

/* Clears the set bit at t < end. */
static inline __attribute__((always_inline)) void axis_clear(struct axis *a, uint64_t t)
{
    a->bits[t >> 6] &= ~(1ull << (t & 63));
    axis_line16(a->leaf + ((t >> AXIS_GROUP_SHIFT) << 5), (uint32_t)(t >> AXIS_LEAF_SHIFT) & 31);
    axis_line32(a->group + ((t >> AXIS_SUPER_SHIFT) << 4), (uint32_t)(t >> AXIS_GROUP_SHIFT) & 15);
    axis_line32(a->super + ((t >> AXIS_TOP_SHIFT) << 4), (uint32_t)(t >> AXIS_SUPER_SHIFT) & 15);
    for (uint64_t i = (t >> AXIS_TOP_SHIFT) + 1; i < a->n_top; i++)
        a->top[i]--;
    a->n_set--;
}

/* The end has reached instant t, a multiple of the leaf's size: gives the parts that begin there their counts. */
void axis_enter(struct axis *a, uint64_t t);

/* Uses and sets the next instant; the axis must not be full (end < n_bits). */
static inline __attribute__((always_inline)) void axis_push(struct axis *a)
{
    uint64_t t = a->end++;
    if ((t & ((1u << AXIS_LEAF_SHIFT) - 1)) == 0)
        axis_enter(a, t);
    a->bits[t >> 6] |= 1ull << (t & 63);
    a->n_set++;
}

void axis_state(struct axis *a, struct ckpt *c);

#endif

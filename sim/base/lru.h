/* SPDX-License-Identifier: MIT */
/* Exact LRU order of n <= 16 ways in one word: nibble 0 names the most recently used way, nibble n-1 the least. What
 * is above means nothing. */
#ifndef QUIRE_BASE_LRU_H
#define QUIRE_BASE_LRU_H

#include <stdint.h>

#define LRU_INIT 0xfedcba9876543210ull /* way i at position i */

/* Position of way, times 4. The subtraction may also mark nibbles above a true zero, never below the first one. */
static inline uint32_t lru_shift(uint64_t order, uint32_t way)
{
    uint64_t x = order ^ (way * 0x1111111111111111ull);
    uint64_t zero = (x - 0x1111111111111111ull) & ~x & 0x8888888888888888ull;
    return (uint32_t)__builtin_ctzll(zero) & ~3u;
}

/* Moves way to the front. */
static inline uint64_t lru_touch(uint64_t order, uint32_t way)
{
    uint32_t at = lru_shift(order, way);
    uint64_t below = ((uint64_t)1 << at) - 1; /* nibbles in front of way */
    uint64_t keep = ~(below << 4 | 15);
    return (order & keep) | (order & below) << 4 | way;
}

/* Moves way to the back of n ways, so that it is the next victim. */
static inline uint64_t lru_retire(uint64_t order, uint32_t way, uint32_t n)
{
    uint32_t at = lru_shift(order, way), last = 4 * (n - 1);
    uint64_t upto = ((uint64_t)1 << at) - 1;
    uint64_t span = n == 16 ? ~0ull : ((uint64_t)1 << 4 * n) - 1;
    uint64_t behind = order & span & ~(upto << 4 | 15); /* nibbles behind way move one forward */
    return (order & ~span) | (order & upto) | behind >> 4 | (uint64_t)way << last;
}

static inline uint32_t lru_victim(uint64_t order, uint32_t n)
{
    return (uint32_t)(order >> 4 * (n - 1)) & 15;
}

/* Moves the victim of n ways to the front: the order of lru_touch(order, lru_victim(order, n)) in a few steps. */
static inline uint64_t lru_renew(uint64_t order, uint32_t n)
{
    return order << 4 | lru_victim(order, n);
}

#endif

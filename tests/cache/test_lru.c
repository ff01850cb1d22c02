/* SPDX-License-Identifier: MIT */
/* The LRU word against a plain list. */
#include "sim/base/lru.h"
#include "sim/base/rng.h"

#include <criterion/criterion.h>
#include <stdbool.h>

static void list_move(uint32_t *list, uint32_t n, uint32_t way, uint32_t to)
{
    uint32_t at = 0;
    while (list[at] != way)
        at++;
    for (; at > to; at--)
        list[at] = list[at - 1];
    for (; at < to && at + 1 < n; at++)
        list[at] = list[at + 1];
    list[to] = way;
}

static void step(uint64_t *order, uint32_t *list, uint32_t n, uint32_t way, bool retire)
{
    uint64_t span = ~0ull >> (64 - 4 * n);
    cr_assert_eq(lru_renew(*order, n) & span, lru_touch(*order, list[n - 1]) & span);
    *order = retire ? lru_retire(*order, way, n) : way == list[n - 1] ? lru_renew(*order, n) : lru_touch(*order, way);
    list_move(list, n, way, retire ? n - 1 : 0);
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(*order >> 4 * i & 15, list[i], "%u ways, position %u", n, i);
    cr_assert_eq(lru_victim(*order, n), list[n - 1]);
}

Test(lru, all_sequences_of_few_ways)
{
    for (uint32_t n = 1; n <= 4; n++) {
        uint32_t moves = 2 * n, total = moves * moves * moves * moves * moves;
        for (uint32_t code = 0; code < total; code++) {
            uint64_t order = LRU_INIT;
            uint32_t list[16], rest = code;
            for (uint32_t i = 0; i < n; i++)
                list[i] = i;
            for (int k = 0; k < 5; k++, rest /= moves)
                step(&order, list, n, rest % moves / 2, rest % 2);
        }
    }
}

Test(lru, random_sequences_of_many_ways)
{
    for (uint32_t n = 5; n <= 16; n++) {
        struct rng rng;
        uint64_t order = LRU_INIT;
        uint32_t list[16];
        rng_init(&rng, n, "lru");
        for (uint32_t i = 0; i < n; i++)
            list[i] = i;
        for (int k = 0; k < 20000; k++)
            step(&order, list, n, (uint32_t)rng_below(&rng, n), rng_below(&rng, 3) == 0);
    }
}

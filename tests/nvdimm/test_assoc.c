/* SPDX-License-Identifier: MIT */
/* The associative buffer against a plain array of what it should hold. */
#include "sim/base/rng.h"
#include "sim/nvdimm/assoc.h"

#include <criterion/criterion.h>

#define KEYS 64u

Test(assoc, holds_what_a_plain_array_holds)
{
    for (uint32_t cap = 1; cap <= 40; cap++) {
        struct assoc a;
        struct rng r;
        uint32_t slot_of[KEYS], n = 0;
        assoc_init(&a, cap);
        rng_init(&r, cap, "test");
        for (uint32_t i = 0; i < KEYS; i++)
            slot_of[i] = ASSOC_NONE;
        for (uint32_t step = 0; step < 20000; step++) {
            uint64_t key = rng_below(&r, KEYS);
            cr_assert_eq(assoc_find(&a, key << 20), slot_of[key]);
            if (slot_of[key] != ASSOC_NONE && rng_below(&r, 2)) {
                assoc_remove(&a, slot_of[key]);
                slot_of[key] = ASSOC_NONE;
                n--;
            } else if (slot_of[key] == ASSOC_NONE) {
                if (n == cap) {
                    uint32_t victim = assoc_victim(&a), held = 0;
                    cr_assert_eq(assoc_insert(&a, key << 20), ASSOC_NONE, "full");
                    for (uint32_t i = 0; i < KEYS; i++)
                        if (slot_of[i] == victim) {
                            slot_of[i] = ASSOC_NONE;
                            held++;
                        }
                    cr_assert_eq(held, 1, "a victim is a slot in use");
                    assoc_remove(&a, victim);
                    n--;
                }
                slot_of[key] = assoc_insert(&a, key << 20);
                cr_assert(slot_of[key] < cap);
                n++;
            }
            cr_assert_eq(a.n, n);
        }
        assoc_fini(&a);
    }
}

/* Random replacement: every slot is a victim as often as the others. */
Test(assoc, victims_are_spread_evenly)
{
    struct assoc a;
    uint32_t count[10] = {0};
    assoc_init(&a, 10);
    for (uint64_t key = 0; key < 10; key++)
        assoc_insert(&a, key);
    for (uint32_t i = 0; i < 100000; i++)
        count[assoc_victim(&a)]++;
    for (uint32_t i = 0; i < 10; i++)
        cr_assert(count[i] > 9500 && count[i] < 10500);
    assoc_fini(&a);
}

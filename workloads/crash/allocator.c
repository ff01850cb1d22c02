/* SPDX-License-Identifier: MIT */
/* Blocks from a bitmap, published in a table: a block may leak, but never belong to two owners
 * BROKEN: the owner is safe before the bit */
#include <quire/crash.h>

#include <stdio.h>
#include <string.h>

#define BLOCKS 6u
/* Line 0: the bitmap; line 1: owner i's block + 1, 0 for none. */

static void run(const struct quire_pm *pm)
{
    uint64_t bits = 0;
    for (uint64_t i = 0; i < BLOCKS; i++) {
        uint8_t block = (uint8_t)(i + 1);
        bits |= 1ull << i;
        PM_STORE(pm, 0, &bits, 8);
#ifndef BROKEN
        PM_FLUSH(pm, 0, 8);
        PM_FENCE(pm);
#endif
        PM_STORE(pm, 64 + i, &block, 1);
        PM_FLUSH(pm, 64 + i, 1);
        PM_FENCE(pm);
#ifdef BROKEN
        PM_FLUSH(pm, 0, 8);
        PM_FENCE(pm);
#endif
        PM_ACKNOWLEDGE(pm);
    }
}

static int check(const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    uint64_t bits, owners = 0;
    (void)bytes;
    memcpy(&bits, image, 8);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        uint8_t block = image[64 + i];
        owners += block != 0;
        if (block && !(bits >> (block - 1) & 1)) {
            snprintf(why, n, "block %u has an owner and counts as free: the next allocation takes it again", block - 1);
            return -1;
        }
    }
    if (owners >= acknowledged)
        return 0;
    snprintf(why, n, "%llu blocks have owners, %llu were acknowledged", (unsigned long long)owners,
             (unsigned long long)acknowledged);
    return -1;
}

const struct quire_crash_program quire_crash_program = {
    .abi = QUIRE_CRASH_ABI,
#ifdef BROKEN
    .name = "allocator-broken",
#else
    .name = "allocator",
#endif
    .about = "Blocks from a bitmap, published in a table",
    .bytes = 512,
    .run = run,
    .check = check,
};

/* SPDX-License-Identifier: MIT */
/* A counter by non-temporal stores, which go past the caches
 * BROKEN: nothing waits for the store before the acknowledgement */
#include <quire/crash.h>

#include <stdio.h>
#include <string.h>

static void run(const struct quire_pm *pm)
{
    for (uint64_t i = 1; i <= 6; i++) {
        PM_NTSTORE(pm, 0, &i, 8);
#ifndef BROKEN
        PM_FENCE(pm);
#endif
        PM_ACKNOWLEDGE(pm);
    }
}

static int check(const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    uint64_t count;
    (void)bytes;
    memcpy(&count, image, 8);
    if (count >= acknowledged && count <= acknowledged + 1)
        return 0;
    snprintf(why, n, "the counter is %llu, %llu were acknowledged", (unsigned long long)count,
             (unsigned long long)acknowledged);
    return -1;
}

const struct quire_crash_program quire_crash_program = {
    .abi = QUIRE_CRASH_ABI,
#ifdef BROKEN
    .name = "counter-broken",
#else
    .name = "counter",
#endif
    .about = "A counter by non-temporal stores, which go past the caches",
    .bytes = 64,
    .run = run,
    .check = check,
};

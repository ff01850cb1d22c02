/* SPDX-License-Identifier: MIT */
/* Two words that change together, under an undo log
 * BROKEN: the log entry is made safe after the data may have changed */
#include <quire/crash.h>

#include <stdio.h>
#include <string.h>

#define ROUNDS 4u
/* Line 0: the log {is_valid, old a, old b}; line 1: a; line 2: b. The sum of a and b is always 1000. */

static void run(const struct quire_pm *pm)
{
    uint64_t pair[2] = {600, 400}, one = 1, zero = 0;
    PM_STORE(pm, 64, &pair[0], 8);
    PM_STORE(pm, 128, &pair[1], 8);
    PM_FLUSH(pm, 64, 128);
    PM_FENCE(pm);
    PM_ACKNOWLEDGE(pm);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        PM_STORE(pm, 8, pair, 16);
        PM_FLUSH(pm, 8, 16);
#ifndef BROKEN
        PM_FENCE(pm);
#endif
        PM_STORE(pm, 0, &one, 8);
        PM_FLUSH(pm, 0, 8);
#ifndef BROKEN
        PM_FENCE(pm);
#endif
        pair[0] -= 10 * i + 1;
        pair[1] += 10 * i + 1;
        PM_STORE(pm, 64, &pair[0], 8);
        PM_STORE(pm, 128, &pair[1], 8);
        PM_FLUSH(pm, 64, 128);
        PM_FENCE(pm);
        PM_STORE(pm, 0, &zero, 8);
        PM_FLUSH(pm, 0, 8);
        PM_FENCE(pm);
        PM_ACKNOWLEDGE(pm);
    }
}

static int check(const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    uint64_t log[3], a, b;
    (void)bytes;
    memcpy(log, image, sizeof log);
    memcpy(&a, image + 64, 8);
    memcpy(&b, image + 128, 8);
    if (log[0]) { /* roll back */
        a = log[1];
        b = log[2];
    }
    if (!acknowledged || a + b == 1000)
        return 0;
    snprintf(why, n, "a is %llu and b %llu, their sum should be 1000", (unsigned long long)a, (unsigned long long)b);
    return -1;
}

const struct quire_crash_program quire_crash_program = {
    .abi = QUIRE_CRASH_ABI,
#ifdef BROKEN
    .name = "undo-log-broken",
#else
    .name = "undo-log",
#endif
    .about = "Two words that change together, under an undo log",
    .bytes = 512,
    .run = run,
    .check = check,
};

/* SPDX-License-Identifier: MIT */
/* Three words that change together, under a redo log
 * BROKEN: the log is truncated before what it says is safe in its place */
#include <quire/crash.h>

#include <stdio.h>
#include <string.h>

#define ROUNDS 3u
/* Line 0: the log's state; line 1: the log {x, y, z}; lines 2, 3, 4: x, y, z in their places. All are always equal. */

static void run(const struct quire_pm *pm)
{
    uint64_t one = 1, zero = 0;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        uint64_t value[3] = {i, i, i};
        PM_STORE(pm, 64, value, sizeof value);
        PM_FLUSH(pm, 64, sizeof value);
        PM_FENCE(pm);
        PM_STORE(pm, 0, &one, 8);
        PM_FLUSH(pm, 0, 8);
        PM_FENCE(pm);
        PM_ACKNOWLEDGE(pm); /* from here on it cannot be lost */
        for (uint64_t k = 0; k < 3; k++) {
            PM_STORE(pm, 128 + 64 * k, &value[k], 8);
            PM_FLUSH(pm, 128 + 64 * k, 8);
        }
#ifndef BROKEN
        PM_FENCE(pm);
#endif
        PM_STORE(pm, 0, &zero, 8);
        PM_FLUSH(pm, 0, 8);
        PM_FENCE(pm);
    }
}

static int check(const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    uint64_t is_valid, v[3];
    (void)bytes;
    memcpy(&is_valid, image, 8);
    for (uint64_t k = 0; k < 3; k++)
        memcpy(&v[k], image + (is_valid ? 64 + 8 * k : 128 + 64 * k), 8);
    if (v[0] == v[1] && v[1] == v[2] && v[0] >= acknowledged && v[0] <= acknowledged + 1)
        return 0;
    snprintf(why, n, "%s: %llu %llu %llu, acknowledged was %llu", is_valid ? "from the log" : "in their places",
             (unsigned long long)v[0], (unsigned long long)v[1], (unsigned long long)v[2],
             (unsigned long long)acknowledged);
    return -1;
}

const struct quire_crash_program quire_crash_program = {
    .abi = QUIRE_CRASH_ABI,
#ifdef BROKEN
    .name = "redo-log-broken",
#else
    .name = "redo-log",
#endif
    .about = "Three words that change together, under a redo log",
    .bytes = 512,
    .run = run,
    .check = check,
};

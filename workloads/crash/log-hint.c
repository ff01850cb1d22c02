/* SPDX-License-Identifier: MIT */
/* A log on memory whose ADR may fail: a flush hint after each record and after its count. Explore with --domain
 * adr-fails BROKEN: fences alone, as if ADR could be trusted */
#include <quire/crash.h>

#include <stdio.h>
#include <string.h>

#define RECORDS      4u
#define RECORD_BYTES 16u

struct head {
    uint64_t records;
};

static uint64_t place(uint64_t i)
{
    return 64 + i * RECORD_BYTES;
}
static uint8_t content(uint64_t i, uint32_t k)
{
    return (uint8_t)(i * 37 + k * 11 + 1);
}

static void run(const struct quire_pm *pm)
{
    for (uint64_t i = 0; i < RECORDS; i++) {
        uint8_t record[RECORD_BYTES];
        struct head h = {i + 1};
        for (uint32_t k = 0; k < RECORD_BYTES; k++)
            record[k] = content(i, k);
        PM_STORE(pm, place(i), record, sizeof record);
        PM_FLUSH(pm, place(i), sizeof record);
#ifdef BROKEN
        PM_FENCE(pm);
#else
        PM_HINT(pm);
#endif
        PM_STORE(pm, 0, &h, sizeof h);
        PM_FLUSH(pm, 0, sizeof h);
#ifdef BROKEN
        PM_FENCE(pm);
#else
        PM_HINT(pm);
#endif
        PM_ACKNOWLEDGE(pm);
    }
}

static int check(const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    struct head h;
    memcpy(&h, image, sizeof h);
    if (h.records > RECORDS || h.records < acknowledged || h.records > acknowledged + 1) {
        snprintf(why, n, "%llu records are published, %llu were acknowledged", (unsigned long long)h.records,
                 (unsigned long long)acknowledged);
        return -1;
    }
    for (uint64_t i = 0; i < h.records && place(i) + RECORD_BYTES <= bytes; i++)
        for (uint32_t k = 0; k < RECORD_BYTES; k++)
            if (image[place(i) + k] != content(i, k)) {
                snprintf(why, n, "record %llu is published, but its byte %u is not there", (unsigned long long)i, k);
                return -1;
            }
    return 0;
}

const struct quire_crash_program quire_crash_program = {
    .abi = QUIRE_CRASH_ABI,
#ifdef BROKEN
    .name = "log-hint-broken",
#else
    .name = "log-hint",
#endif
    .about = "A log on memory whose ADR may fail",
    .bytes = 4096,
    .run = run,
    .check = check,
};

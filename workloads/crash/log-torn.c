/* SPDX-License-Identifier: MIT */
/* Records without a count: each carries what tells a whole one from a torn one
 * BROKEN: a record is taken for whole when its length is there */
#include <quire/crash.h>

#include <stdio.h>
#include <string.h>

#define RECORDS 4u
struct record {
    uint64_t length;
    uint64_t value[4];
    uint64_t sum;
};

static struct record make(uint64_t i)
{
    struct record r = {.length = 32};
    r.sum = r.length * 31 + 7;
    for (uint64_t k = 0; k < 4; k++) {
        r.value[k] = (i + 1) * 1000 + k;
        r.sum = r.sum * 31 + r.value[k];
    }
    return r;
}

static void run(const struct quire_pm *pm)
{
    for (uint64_t i = 0; i < RECORDS; i++) {
        struct record r = make(i);
        PM_STORE(pm, i * sizeof r, &r, sizeof r);
        PM_FLUSH(pm, i * sizeof r, sizeof r);
        PM_FENCE(pm);
        PM_ACKNOWLEDGE(pm);
    }
}

static int is_whole(const struct record *r)
{
#ifdef BROKEN
    return r->length == 32;
#else
    uint64_t sum = r->length * 31 + 7;
    for (uint64_t k = 0; k < 4; k++)
        sum = sum * 31 + r->value[k];
    return r->length == 32 && r->sum == sum;
#endif
}

static int check(const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    uint64_t i = 0;
    (void)bytes;
    for (; i < RECORDS; i++) {
        struct record r, want = make(i);
        memcpy(&r, image + i * sizeof r, sizeof r);
        if (!is_whole(&r))
            break;
        if (memcmp(&r, &want, sizeof r) != 0) {
            snprintf(why, n, "record %llu is taken for whole, but is not", (unsigned long long)i);
            return -1;
        }
    }
    if (i >= acknowledged)
        return 0;
    snprintf(why, n, "%llu records are whole, %llu were acknowledged", (unsigned long long)i,
             (unsigned long long)acknowledged);
    return -1;
}

const struct quire_crash_program quire_crash_program = {
    .abi = QUIRE_CRASH_ABI,
#ifdef BROKEN
    .name = "log-torn-broken",
#else
    .name = "log-torn",
#endif
    .about = "Records without a count",
    .bytes = 4096,
    .run = run,
    .check = check,
};

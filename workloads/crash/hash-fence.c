/* SPDX-License-Identifier: MIT */
/* A hash table whose mark is on another line than the bucket
 * BROKEN: nothing orders the mark behind the bucket */
#include <quire/crash.h>

#include <stdio.h>
#include <string.h>

#define KEYS    6u
#define BUCKETS 16u
struct bucket {
    uint64_t key, value, pad[6]; /* a line */
    uint64_t is_used, pad2[7];   /* the next */
};

static uint64_t key_of(uint64_t i)
{
    return i * 2654435761u % 1000 + 1;
}

/* The first free bucket from the key's own place on. */
static uint64_t place(const uint8_t *mem, uint64_t key)
{
    for (uint64_t b = key % BUCKETS;; b = (b + 1) % BUCKETS) {
        struct bucket x;
        memcpy(&x, mem + b * sizeof x, sizeof x);
        if (!x.is_used || x.key == key)
            return b * sizeof x;
    }
}

static void run(const struct quire_pm *pm)
{
    for (uint64_t i = 0; i < KEYS; i++) {
        struct bucket b = {.key = key_of(i), .value = i + 100, .is_used = 1};
        uint64_t at = place(pm->mem, b.key);
        PM_STORE(pm, at, &b.key, 8);
        PM_STORE(pm, at + 8, &b.value, 8);
        PM_FLUSH(pm, at, 16);
#ifndef BROKEN
        PM_FENCE(pm);
#endif
        PM_STORE(pm, at + 64, &b.is_used, 8);
        PM_FLUSH(pm, at + 64, 8);
        PM_FENCE(pm);
        PM_ACKNOWLEDGE(pm);
    }
}

static int check(const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    uint64_t found = 0;
    for (uint64_t at = 0; at < BUCKETS * sizeof(struct bucket) && at < bytes; at += sizeof(struct bucket)) {
        struct bucket b;
        uint64_t i = 0;
        memcpy(&b, image + at, sizeof b);
        if (!b.is_used)
            continue;
        while (i < KEYS && key_of(i) != b.key)
            i++;
        if (i == KEYS || b.value != i + 100) {
            snprintf(why, n, "the bucket at %llu is in use with key %llu and value %llu", (unsigned long long)at,
                     (unsigned long long)b.key, (unsigned long long)b.value);
            return -1;
        }
        found++;
    }
    if (found >= acknowledged && found <= acknowledged + 1)
        return 0;
    snprintf(why, n, "%llu keys are there, %llu were acknowledged", (unsigned long long)found,
             (unsigned long long)acknowledged);
    return -1;
}

const struct quire_crash_program quire_crash_program = {
    .abi = QUIRE_CRASH_ABI,
#ifdef BROKEN
    .name = "hash-fence-broken",
#else
    .name = "hash-fence",
#endif
    .about = "A hash table whose mark is on another line than the bucket",
    .bytes = 4096,
    .run = run,
    .check = check,
};

/* SPDX-License-Identifier: MIT */
/* A tree of two leaves, changed by copying: new leaf, new root, then the pointer to the root
 * BROKEN: the pointer moves before the new root is flushed */
#include <quire/crash.h>

#include <stdio.h>
#include <string.h>

#define ROUNDS 4u
/* Line 0: offset of the root; then nodes of a line: a root {left, right}, a leaf {value}. */

static void run(const struct quire_pm *pm)
{
    uint64_t next = 64, leaf[2], root;
    for (uint64_t i = 0; i <= ROUNDS; i++) {
        for (uint64_t k = i ? i & 1 : 0; k < (i ? (i & 1) + 1 : 2); k++) {
            uint64_t value = 100 * i + k;
            leaf[k] = next;
            next += 64;
            PM_STORE(pm, leaf[k], &value, 8);
            PM_FLUSH(pm, leaf[k], 8);
        }
        root = next;
        next += 64;
        PM_STORE(pm, root, leaf, sizeof leaf);
#ifndef BROKEN
        PM_FLUSH(pm, root, sizeof leaf);
#endif
        PM_FENCE(pm);
        PM_STORE(pm, 0, &root, 8);
        PM_FLUSH(pm, 0, 8);
        PM_FENCE(pm);
#ifdef BROKEN
        PM_FLUSH(pm, root, sizeof leaf);
        PM_FENCE(pm);
#endif
        PM_ACKNOWLEDGE(pm);
    }
}

static int check(const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    uint64_t root, leaf[2], value[2];
    memcpy(&root, image, 8);
    if (root == 0 && acknowledged == 0)
        return 0;
    if (root == 0 || root + 64 > bytes) {
        snprintf(why, n, "the root is %llu", (unsigned long long)root);
        return -1;
    }
    memcpy(leaf, image + root, sizeof leaf);
    for (uint64_t k = 0; k < 2; k++) {
        if (leaf[k] < 64 || leaf[k] + 64 > bytes) {
            snprintf(why, n, "the root at %llu leads to %llu", (unsigned long long)root, (unsigned long long)leaf[k]);
            return -1;
        }
        memcpy(&value[k], image + leaf[k], 8);
    }
    uint64_t newest = value[0] / 100 > value[1] / 100 ? value[0] / 100 : value[1] / 100;
    if (value[0] % 100 == 0 && value[1] % 100 == 1 && newest + 1 >= acknowledged && newest <= acknowledged)
        return 0;
    snprintf(why, n, "the leaves are %llu and %llu, %llu changes were acknowledged", (unsigned long long)value[0],
             (unsigned long long)value[1], (unsigned long long)acknowledged);
    return -1;
}

const struct quire_crash_program quire_crash_program = {
    .abi = QUIRE_CRASH_ABI,
#ifdef BROKEN
    .name = "shadow-root-broken",
#else
    .name = "shadow-root",
#endif
    .about = "A tree of two leaves, changed by copying",
    .bytes = 4096,
    .run = run,
    .check = check,
};

/* SPDX-License-Identifier: MIT */
/* A linked list: a node is safe before the head points to it
 * BROKEN: head and node are flushed together */
#include <quire/crash.h>

#include <stdio.h>
#include <string.h>

#define NODES 5u
struct node {
    uint64_t value, next, pad[6]; /* next: offset, 0 ends */
};

static void run(const struct quire_pm *pm)
{
    uint64_t head = 0;
    for (uint64_t i = 0; i < NODES; i++) {
        uint64_t at = 64 + i * sizeof(struct node);
        struct node x = {.value = i + 1, .next = head};
        PM_STORE(pm, at, &x, 16);
#ifndef BROKEN
        PM_FLUSH(pm, at, 16);
        PM_FENCE(pm);
#endif
        head = at;
        PM_STORE(pm, 0, &head, 8);
#ifdef BROKEN
        PM_FLUSH(pm, at, 16);
#endif
        PM_FLUSH(pm, 0, 8);
        PM_FENCE(pm);
        PM_ACKNOWLEDGE(pm);
    }
}

static int check(const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    uint64_t at, want, length = 0;
    memcpy(&at, image, 8);
    want = at ? (at - 64) / sizeof(struct node) + 1 : 0;
    for (; at; length++) {
        struct node x;
        if (at + sizeof x > bytes || length > NODES) {
            snprintf(why, n, "the list leads to %llu", (unsigned long long)at);
            return -1;
        }
        memcpy(&x, image + at, sizeof x);
        if (x.value != want - length) {
            snprintf(why, n, "the node at %llu holds %llu, expected %llu", (unsigned long long)at,
                     (unsigned long long)x.value, (unsigned long long)(want - length));
            return -1;
        }
        at = x.next;
    }
    if (length >= acknowledged && length <= acknowledged + 1)
        return 0;
    snprintf(why, n, "the list has %llu nodes, %llu were acknowledged", (unsigned long long)length,
             (unsigned long long)acknowledged);
    return -1;
}

const struct quire_crash_program quire_crash_program = {
    .abi = QUIRE_CRASH_ABI,
#ifdef BROKEN
    .name = "list-push-broken",
#else
    .name = "list-push",
#endif
    .about = "A linked list",
    .bytes = 4096,
    .run = run,
    .check = check,
};

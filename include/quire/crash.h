/* SPDX-License-Identifier: MIT */
/* A program on persistent memory for `quire crash`: a shared object that exports
 *
 *     const struct quire_crash_program quire_crash_program = { .abi = QUIRE_CRASH_ABI, ... };
 *
 * quire runs it once, notes every store, flush and fence, and then shows its check() every image of the region that a
 * power failure could have left under x86's rules (docs/crash.md). The program is ordinary C; only what it does to the
 * region goes through the functions below. It must do the same at every run. */
#ifndef QUIRE_CRASH_H
#define QUIRE_CRASH_H

#include <stdint.h>

#define QUIRE_CRASH_ABI 1u

enum quire_flush { QUIRE_CLWB, QUIRE_CLFLUSHOPT, QUIRE_CLFLUSH };

/* What the program does to its region. at is a byte offset into it; where is "file:line", shown in reports: use the
 * macros below. Offsets outside of the region end the exploration with an error. */
struct quire_pm {
    uint32_t size; /* of this struct */
    void *ctx;
    const uint8_t *mem; /* the region as the program's loads see it; it begins as all zero bytes */
    uint64_t bytes;     /* of the region */
    /* Stores of at most 8 bytes, in ascending order, none crossing an 8-byte boundary. */
    void (*store)(void *ctx, uint64_t at, const void *bytes, uint64_t n, const char *where);
    /* The same past the caches: durable at the next fence. */
    void (*ntstore)(void *ctx, uint64_t at, const void *bytes, uint64_t n, const char *where);
    /* Every line of [at, at + n); how is an enum quire_flush. */
    void (*flush)(void *ctx, uint64_t at, uint64_t n, uint32_t how, const char *where);
    void (*fence)(void *ctx, const char *where); /* SFENCE, MFENCE or a locked instruction */
    void (*hint)(void *ctx, const char *where);  /* a fence, a store to a flush hint address, a fence */
    /* Another operation of the program is complete: whoever asked for it has been told so. */
    void (*acknowledge)(void *ctx, const char *where);
};

struct quire_crash_program {
    uint32_t abi;     /* QUIRE_CRASH_ABI */
    const char *name; /* [a-z0-9-]+ */
    const char *about;
    uint64_t bytes; /* of the region: 64..1 MiB, a multiple of 64 */
    void (*run)(const struct quire_pm *pm);
    /* Recovers from an image, without changing it, and judges: acknowledged operations have to be there whole, at most
     * one more may be, and nothing else. 0: legal. Else why (one line of at most n bytes with its end) says what is
     * wrong. */
    int (*check)(const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n);
};

#define QUIRE_WHERE_TEXT(x)      #x
#define QUIRE_WHERE_LINE(x)      QUIRE_WHERE_TEXT(x)
#define QUIRE_WHERE              __FILE__ ":" QUIRE_WHERE_LINE(__LINE__)
#define PM_STORE(pm, at, p, n)   ((pm)->store((pm)->ctx, (at), (p), (n), QUIRE_WHERE))
#define PM_NTSTORE(pm, at, p, n) ((pm)->ntstore((pm)->ctx, (at), (p), (n), QUIRE_WHERE))
#define PM_FLUSH(pm, at, n)      ((pm)->flush((pm)->ctx, (at), (n), QUIRE_CLWB, QUIRE_WHERE))
#define PM_CLFLUSH(pm, at, n)    ((pm)->flush((pm)->ctx, (at), (n), QUIRE_CLFLUSH, QUIRE_WHERE))
#define PM_FENCE(pm)             ((pm)->fence((pm)->ctx, QUIRE_WHERE))
#define PM_HINT(pm)              ((pm)->hint((pm)->ctx, QUIRE_WHERE))
#define PM_ACKNOWLEDGE(pm)       ((pm)->acknowledge((pm)->ctx, QUIRE_WHERE))

#endif

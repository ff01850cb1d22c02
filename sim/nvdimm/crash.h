/* SPDX-License-Identifier: MIT */
/* Which images of a persistent region a power failure may leave, by x86's persistency rules (Raad, Wickerson, Neiger
 * and Vafeiadis, "Persistency semantics of the Intel-x86 architecture", POPL 2020):
 *
 *   - Stores to one line reach persistence in their order: of each line a prefix of its stores is there.
 *   - Lines are independent: any may be evicted at any time, none has to be.
 *   - CLWB and CLFLUSHOPT promise what their line held then, once a fence follows; so do non-temporal stores. CLFLUSH
 * is ordered with all later stores: it promises as soon as it is done.
 *   - Under ADR a promise is kept by the WPQ. When ADR fails, only a flush hint drains it: until then promises are
 * none.
 *   - Under eADR every store that was executed is there.
 *
 * Between two promises images only become more, so all of them are found by looking at the last moment before each
 * promise, before and after each acknowledgement, and at the end. */
#ifndef QUIRE_NVDIMM_CRASH_H
#define QUIRE_NVDIMM_CRASH_H

#include "sim/base/diag.h"
#include "sim/base/map.h"
#include "sim/base/rng.h"
#include "sim/base/types.h"

enum crash_domain { CRASH_ADR, CRASH_ADR_FAILS, CRASH_EADR };

enum crash_kind {
    CRASH_STORE,
    CRASH_NTSTORE,
    CRASH_FLUSH, /* CLWB, CLFLUSHOPT */
    CRASH_CLFLUSH,
    CRASH_FENCE,
    CRASH_HINT,
    CRASH_ACKNOWLEDGE
};

struct crash_event {
    uint8_t kind;  /* enum crash_kind */
    uint8_t bytes; /* of a store: 1..8, within 8 aligned bytes */
    uint64_t at;   /* byte offset in the region */
    uint64_t value;
    const char *where; /* not owned */
};

struct crash_log {
    uint64_t bytes; /* of the region */
    uint64_t n, cap;
    struct crash_event *event;
};

void crash_log_fini(struct crash_log *l);
void crash_log_add(struct crash_log *l, const struct crash_event *e);
/* n bytes at an offset as stores of at most 8 bytes. */
void crash_log_store(struct crash_log *l, enum crash_kind kind, uint64_t at, const void *bytes, uint64_t n,
                     const char *where);

/* Judges one image. 0: legal; else why is filled. */
typedef int crash_check_fn(void *ctx, const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why,
                           uint64_t n);

struct crash_options {
    enum crash_domain domain;
    uint64_t max_images; /* of one moment; more are sampled */
    uint64_t seed;
    void (*progress)(void *ctx, uint64_t event, uint64_t n_events);
    void *progress_ctx;
};

/* A line of which a broken image has not every store. */
struct crash_loss {
    uint64_t line;      /* number in the region */
    uint32_t kept, all; /* stores that persisted, that were executed */
    uint64_t event;     /* the first one lost */
};
#define CRASH_MAX_LOSSES 64u

struct crash_report {
    uint64_t images;   /* shown to the check, each (image, acknowledged) once */
    uint64_t repeated; /* generated, but seen before */
    uint64_t moments;
    uint64_t sampled_moments; /* of them, with more images than max_images */
    bool is_broken;
    char why[256];
    uint64_t event; /* the failure comes when this many events have been executed */
    uint64_t acknowledged;
    uint32_t n_losses;
    struct crash_loss loss[CRASH_MAX_LOSSES];
};

/* Explores until an image is judged illegal or there are no more. Of the illegal image as few lines as possible are
 * held back. */
void crash_explore(const struct crash_log *l, const struct crash_options *o, crash_check_fn *check, void *ctx,
                   struct crash_report *out);

#endif

/* SPDX-License-Identifier: MIT */
/* The crash explorer beside an enumerator that shares nothing with it: a machine whose steps are "the next event" and
 * "one more store of some line persists", walked through every state. */
#include "sim/base/rng.h"
#include "sim/nvdimm/crash.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES     3u
#define REGION    (LINES * LINE_BYTES)
#define MAX_SET   4096u
#define MAX_EVENT 12u

struct image {
    uint8_t byte[REGION];
    uint64_t acknowledged;
};
struct set {
    uint32_t n;
    struct image image[MAX_SET];
};

static void put(struct set *s, const uint8_t *bytes, uint64_t acknowledged)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->image[i].acknowledged == acknowledged && memcmp(s->image[i].byte, bytes, REGION) == 0)
            return;
    cr_assert_lt(s->n, MAX_SET);
    memcpy(s->image[s->n].byte, bytes, REGION);
    s->image[s->n++].acknowledged = acknowledged;
}

/* ---- the walker ---- */

struct state {
    uint8_t at;                              /* events executed */
    uint8_t issued[LINES], persisted[LINES]; /* stores of each line */
    uint8_t flushed[LINES], accepted[LINES]; /* seen by a flush; promised by a fence */
};
struct walker {
    const struct crash_log *log;
    enum crash_domain domain;
    struct set *out;
    uint32_t n_seen;
    struct state seen[65536];
};

/* The image: of each line the stores that persisted, replayed from the log. */
static void crash_here(struct walker *w, const struct state *s)
{
    uint8_t bytes[REGION] = {0};
    uint8_t left[LINES];
    uint64_t acknowledged = 0;
    memcpy(left, w->domain == CRASH_EADR ? s->issued : s->persisted, sizeof left);
    for (uint32_t i = 0; i < s->at; i++) {
        const struct crash_event *e = &w->log->event[i];
        acknowledged += e->kind == CRASH_ACKNOWLEDGE;
        if (e->kind <= CRASH_NTSTORE && left[e->at / LINE_BYTES]) {
            left[e->at / LINE_BYTES]--;
            memcpy(bytes + e->at, &e->value, e->bytes);
        }
    }
    put(w->out, bytes, acknowledged);
}

static uint8_t larger(uint8_t a, uint8_t b)
{
    return a > b ? a : b;
}

/* Whether the next event can be executed now; s changes as it is. */
static bool next_event(const struct walker *w, struct state *s)
{
    const struct crash_event *e = &w->log->event[s->at++];
    uint64_t line = e->at / LINE_BYTES;
    switch (e->kind) {
    case CRASH_NTSTORE:
        s->flushed[line] = ++s->issued[line];
        return true;
    case CRASH_STORE:
        s->issued[line]++;
        return true;
    case CRASH_FLUSH:
        s->flushed[line] = s->issued[line];
        return true;
    case CRASH_CLFLUSH:
        s->flushed[line] = s->accepted[line] = s->issued[line];
        return w->domain != CRASH_ADR || s->persisted[line] == s->issued[line];
    case CRASH_FENCE:
    case CRASH_HINT:
        for (uint32_t i = 0; i < LINES; i++) {
            s->accepted[i] = larger(s->accepted[i], s->flushed[i]);
            if ((w->domain == CRASH_ADR || e->kind == CRASH_HINT) && s->persisted[i] < s->accepted[i])
                return false;
        }
        return true;
    default:
        return true;
    }
}

static void walk(struct walker *w, const struct state *s)
{
    for (uint32_t i = 0; i < w->n_seen; i++)
        if (memcmp(&w->seen[i], s, sizeof *s) == 0)
            return;
    cr_assert_lt(w->n_seen, N_ELEMS(w->seen));
    w->seen[w->n_seen++] = *s;
    crash_here(w, s);
    for (uint32_t i = 0; i < LINES; i++)
        if (s->persisted[i] < s->issued[i]) {
            struct state more = *s;
            more.persisted[i]++;
            walk(w, &more);
        }
    struct state more = *s;
    if (s->at < w->log->n && next_event(w, &more))
        walk(w, &more);
}

/* ---- the comparison ---- */

static int collect(void *ctx, const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    (void)why;
    (void)n;
    cr_assert_eq(bytes, REGION);
    put(ctx, image, acknowledged);
    return 0;
}

static void random_log(struct crash_log *l, struct rng *r)
{
    uint32_t n = 3 + (uint32_t)rng_below(r, MAX_EVENT - 3);
    *l = (struct crash_log){.bytes = REGION};
    while (l->n < n) {
        static const uint8_t kinds[] = {CRASH_STORE, CRASH_STORE, CRASH_STORE,      CRASH_NTSTORE,
                                        CRASH_FLUSH, CRASH_FLUSH, CRASH_CLFLUSH,    CRASH_FENCE,
                                        CRASH_FENCE, CRASH_HINT,  CRASH_ACKNOWLEDGE};
        struct crash_event e = {.kind = kinds[rng_below(r, N_ELEMS(kinds))],
                                .bytes = 8,
                                .at = rng_below(r, LINES) * LINE_BYTES + rng_below(r, 2) * 8,
                                .value = 1 + rng_below(r, 3),
                                .where = "test"};
        crash_log_add(l, &e);
    }
}

static bool has(const struct set *s, const struct image *i)
{
    for (uint32_t k = 0; k < s->n; k++)
        if (s->image[k].acknowledged == i->acknowledged && memcmp(s->image[k].byte, i->byte, REGION) == 0)
            return true;
    return false;
}

static void compare(enum crash_domain domain)
{
    static struct walker w;
    static struct set want, got;
    struct rng r;
    rng_init(&r, 17, "crash test");
    for (uint32_t round = 0; round < 700; round++) {
        struct crash_log l;
        struct state start = {0};
        struct crash_report report;
        const struct crash_options o = {.domain = domain, .max_images = UINT64_MAX / 64, .seed = 1};
        random_log(&l, &r);
        want.n = got.n = w.n_seen = 0;
        w.log = &l;
        w.domain = domain;
        w.out = &want;
        walk(&w, &start);
        crash_explore(&l, &o, collect, &got, &report);
        /* Before the first acknowledgement or promise the explorer looks once: at the end of that stretch. */
        for (uint32_t i = 0; i < want.n; i++)
            cr_assert(has(&got, &want.image[i]), "round %u: the explorer misses an image", round);
        for (uint32_t i = 0; i < got.n; i++)
            cr_assert(has(&want, &got.image[i]), "round %u: the explorer shows an image that cannot be", round);
        cr_assert_eq(report.images, got.n, "round %u: an image was shown twice", round);
        crash_log_fini(&l);
    }
}

Test(crash, adr_finds_exactly_the_images_of_the_walker)
{
    compare(CRASH_ADR);
}
Test(crash, without_adr_too)
{
    compare(CRASH_ADR_FAILS);
}
Test(crash, eadr_leaves_what_was_executed)
{
    compare(CRASH_EADR);
}

/* Twelve stores to twelve lines, unflushed: 2^12 images. */
static int count(void *ctx, const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    (void)image;
    (void)bytes;
    (void)acknowledged;
    (void)why;
    (void)n;
    ++*(uint64_t *)ctx;
    return 0;
}

Test(crash, twelve_stores_are_explored_exhaustively)
{
    struct crash_log l = {.bytes = 12 * LINE_BYTES};
    struct crash_report report;
    uint64_t n = 0, one = 1;
    for (uint32_t i = 0; i < 12; i++)
        crash_log_store(&l, CRASH_STORE, i * LINE_BYTES, &one, 8, "test");
    const struct crash_options o = {.domain = CRASH_ADR, .max_images = 65536, .seed = 1};
    crash_explore(&l, &o, count, &n, &report);
    cr_expect_eq(n, 4096);
    cr_expect_eq(report.sampled_moments, 0);
    /* With less room they are drawn, and the report says so. */
    const struct crash_options few = {.domain = CRASH_ADR, .max_images = 100, .seed = 1};
    n = 0;
    crash_explore(&l, &few, count, &n, &report);
    cr_expect_eq(report.sampled_moments, 1);
    cr_expect(n > 50 && n < 200);
    crash_log_fini(&l);
}

/* Fails whenever line 2 is older than line 0: the smallest such image lacks one store. */
static int order(void *ctx, const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    (void)ctx;
    (void)bytes;
    (void)acknowledged;
    if (image[2 * LINE_BYTES] >= image[0])
        return 0;
    snprintf(why, n, "%u after %u", image[2 * LINE_BYTES], image[0]);
    return -1;
}

Test(crash, a_broken_image_lacks_as_little_as_it_can)
{
    struct crash_log l = {.bytes = REGION};
    struct crash_report report;
    for (uint8_t i = 1; i <= 4; i++) {
        crash_log_store(&l, CRASH_STORE, 2 * LINE_BYTES, &i, 1, "first");
        crash_log_store(&l, CRASH_STORE, LINE_BYTES, &i, 1, "between");
        crash_log_store(&l, CRASH_STORE, 0, &i, 1, "second");
    }
    const struct crash_options o = {.domain = CRASH_ADR, .max_images = 65536, .seed = 1};
    crash_explore(&l, &o, order, NULL, &report);
    cr_assert(report.is_broken);
    cr_expect_eq(report.n_losses, 1);
    cr_expect_eq(report.loss[0].line, 2);
    cr_expect_eq(report.loss[0].kept, 3);
    cr_expect_eq(report.loss[0].event, 9);
    cr_expect_str_eq(report.why, "3 after 4");
    crash_log_fini(&l);
}

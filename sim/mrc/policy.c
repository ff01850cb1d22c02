/* SPDX-License-Identifier: MIT */
/* FIFO, CLOCK, OPT, S3-FIFO and ARC. Every function simulates one cache over dense ids. */
#include "sim/mrc/policy.h"

#include "sim/mrc/list.h"
#include "sim/mrc/policy_lirs.h"

#include <stdlib.h>
#include <string.h>

/* First in, first out: a ring of the ids in order of entry. */
static uint64_t fifo_misses(uint64_t size, const uint32_t *id, const uint64_t *next, uint64_t n, uint32_t n_ids)
{
    (void)next;
    uint32_t *ring = xmalloc(size * sizeof *ring);
    uint8_t *in = xcalloc(n_ids, 1);
    uint64_t misses = 0, used = 0, hand = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (in[id[i]])
            continue;
        misses++;
        if (used == size)
            in[ring[hand]] = 0;
        else
            used++;
        ring[hand] = id[i];
        in[id[i]] = 1;
        hand = hand + 1 == size ? 0 : hand + 1;
    }
    free(ring);
    free(in);
    return misses;
}

/* One reference bit, set on a hit; a new id has it clear; the hand clears bits until it finds a clear one. */
static uint64_t clock_misses(uint64_t size, const uint32_t *id, const uint64_t *next, uint64_t n, uint32_t n_ids)
{
    (void)next;
    enum { OUT = 0, IN = 1, REFERENCED = 2 };
    uint32_t *ring = xmalloc(size * sizeof *ring);
    uint8_t *state = xcalloc(n_ids, 1);
    uint64_t misses = 0, used = 0, hand = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (state[id[i]] != OUT) {
            state[id[i]] = REFERENCED;
            continue;
        }
        misses++;
        if (used < size) {
            ring[used++] = id[i];
        } else {
            for (; state[ring[hand]] == REFERENCED; hand = hand + 1 == size ? 0 : hand + 1)
                state[ring[hand]] = IN;
            state[ring[hand]] = OUT;
            ring[hand] = id[i];
            hand = hand + 1 == size ? 0 : hand + 1;
        }
        state[id[i]] = IN;
    }
    free(ring);
    free(state);
    return misses;
}

/* Belady's MIN with demand paging: a heap of the cached ids by their next access, the farthest on top. An entry whose
 * time has passed is stale and is dropped when it surfaces. */
struct heap {
    uint64_t *when;
    uint32_t *id;
    uint64_t n, cap;
};

static void heap_push(struct heap *h, uint64_t when, uint32_t id)
{
    if (h->n == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 1024;
        h->when = xrealloc(h->when, h->cap * sizeof *h->when);
        h->id = xrealloc(h->id, h->cap * sizeof *h->id);
    }
    uint64_t i = h->n++;
    for (; i > 0 && h->when[(i - 1) / 2] < when; i = (i - 1) / 2) {
        h->when[i] = h->when[(i - 1) / 2];
        h->id[i] = h->id[(i - 1) / 2];
    }
    h->when[i] = when;
    h->id[i] = id;
}

static void heap_pop(struct heap *h)
{
    uint64_t when = h->when[--h->n], i = 0;
    uint32_t id = h->id[h->n];
    for (;;) {
        uint64_t c = 2 * i + 1;
        if (c >= h->n)
            break;
        if (c + 1 < h->n && h->when[c + 1] > h->when[c])
            c++;
        if (h->when[c] <= when)
            break;
        h->when[i] = h->when[c];
        h->id[i] = h->id[c];
        i = c;
    }
    h->when[i] = when;
    h->id[i] = id;
}

static uint64_t opt_misses(uint64_t size, const uint32_t *id, const uint64_t *next, uint64_t n, uint32_t n_ids)
{
    uint64_t *due = xcalloc(n_ids, sizeof *due); /* next access of a cached id, 0 = not cached */
    struct heap h = {0};
    uint64_t misses = 0, used = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (!due[id[i]]) {
            misses++;
            if (used == size) {
                while (due[h.id[0]] != h.when[0])
                    heap_pop(&h);
                due[h.id[0]] = 0;
                heap_pop(&h);
            } else {
                used++;
            }
        }
        due[id[i]] = next[i];
        heap_push(&h, next[i], id[i]);
    }
    free(due);
    free(h.when);
    free(h.id);
    return misses;
}

/* S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023): a small queue
 * of a tenth, a main queue, a ghost queue of as many ids as the main one; two-bit counters. */
enum { S3_OUT, S3_SMALL, S3_MAIN, S3_GHOST };

struct s3 {
    struct mrc_list small, main, ghost;
    uint8_t *where, *count;
    uint64_t small_size, main_size, ghost_size;
};

static void s3_evict_main(struct s3 *s)
{
    for (;;) {
        uint32_t id = list_pop_tail(&s->main);
        if (s->count[id] == 0) {
            s->where[id] = S3_OUT;
            return;
        }
        s->count[id]--;
        list_push_head(&s->main, id);
    }
}

static void s3_evict_small(struct s3 *s)
{
    while (s->small.n > 0) {
        uint32_t id = list_pop_tail(&s->small);
        if (s->count[id] > 1) {
            s->where[id] = S3_MAIN;
            s->count[id] = 0;
            list_push_head(&s->main, id);
            if (s->main.n > s->main_size)
                s3_evict_main(s);
            continue;
        }
        s->where[id] = S3_GHOST;
        list_push_head(&s->ghost, id);
        if (s->ghost.n > s->ghost_size)
            s->where[list_pop_tail(&s->ghost)] = S3_OUT;
        return;
    }
}

static void s3_miss(struct s3 *s, uint32_t id)
{
    while (s->small.n + s->main.n >= s->small_size + s->main_size) {
        if (s->small.n >= s->small_size && s->small.n > 0)
            s3_evict_small(s);
        else
            s3_evict_main(s);
    }
    bool ghost = s->where[id] == S3_GHOST;
    if (ghost)
        list_remove(&s->ghost, id);
    s->count[id] = 0;
    s->where[id] = ghost ? S3_MAIN : S3_SMALL;
    list_push_head(ghost ? &s->main : &s->small, id);
}

static uint64_t s3_misses(uint64_t size, const uint32_t *id, const uint64_t *next, uint64_t n, uint32_t n_ids)
{
    (void)next;
    struct mrc_links *links = list_links_new(n_ids);
    struct s3 s = {list_new(links), list_new(links), list_new(links), xcalloc(n_ids, 1), xcalloc(n_ids, 1), 0, 0, 0};
    s.small_size = size / 10 ? size / 10 : 1;
    s.main_size = size - s.small_size;
    s.ghost_size = s.main_size ? s.main_size : 1;
    uint64_t misses = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (s.where[id[i]] == S3_SMALL || s.where[id[i]] == S3_MAIN) {
            s.count[id[i]] += s.count[id[i]] < 3;
            continue;
        }
        misses++;
        s3_miss(&s, id[i]);
    }
    free(s.where);
    free(s.count);
    free(links);
    return misses;
}

/* ARC (Megiddo, Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003), as in its figure 4. */
enum { ARC_OUT, ARC_T1, ARC_T2, ARC_B1, ARC_B2 };

struct arc {
    struct mrc_list list[5]; /* by where */
    uint8_t *where;
    uint64_t size, target; /* target = p, the size meant for T1 */
};

static void arc_move(struct arc *a, uint32_t id, uint8_t to)
{
    if (a->where[id] != ARC_OUT)
        list_remove(&a->list[a->where[id]], id);
    a->where[id] = to;
    if (to != ARC_OUT)
        list_push_head(&a->list[to], id);
}

static void arc_replace(struct arc *a, bool in_b2)
{
    uint64_t t1 = a->list[ARC_T1].n;
    if (t1 > 0 && (t1 > a->target || (in_b2 && t1 == a->target)))
        arc_move(a, list_tail(&a->list[ARC_T1]), ARC_B1);
    else
        arc_move(a, list_tail(&a->list[ARC_T2]), ARC_B2);
}

static void arc_ghost_hit(struct arc *a, uint32_t id)
{
    uint64_t b1 = a->list[ARC_B1].n, b2 = a->list[ARC_B2].n;
    bool in_b2 = a->where[id] == ARC_B2;
    if (!in_b2) {
        uint64_t step = b2 / b1 > 1 ? b2 / b1 : 1;
        a->target = a->target + step < a->size ? a->target + step : a->size;
    } else {
        uint64_t step = b1 / b2 > 1 ? b1 / b2 : 1;
        a->target = a->target > step ? a->target - step : 0;
    }
    arc_replace(a, in_b2);
    arc_move(a, id, ARC_T2);
}

static void arc_cold(struct arc *a, uint32_t id)
{
    uint64_t l1 = a->list[ARC_T1].n + a->list[ARC_B1].n, l2 = a->list[ARC_T2].n + a->list[ARC_B2].n;
    if (l1 == a->size) {
        if (a->list[ARC_T1].n < a->size) {
            arc_move(a, list_tail(&a->list[ARC_B1]), ARC_OUT);
            arc_replace(a, false);
        } else {
            arc_move(a, list_tail(&a->list[ARC_T1]), ARC_OUT);
        }
    } else if (l1 + l2 >= a->size) {
        if (l1 + l2 == 2 * a->size)
            arc_move(a, list_tail(&a->list[ARC_B2]), ARC_OUT);
        arc_replace(a, false);
    }
    arc_move(a, id, ARC_T1);
}

static uint64_t arc_misses(uint64_t size, const uint32_t *id, const uint64_t *next, uint64_t n, uint32_t n_ids)
{
    (void)next;
    struct mrc_links *links = list_links_new(n_ids);
    struct arc a = {.where = xcalloc(n_ids, 1), .size = size};
    for (int i = 0; i < 5; i++)
        a.list[i] = list_new(links);
    uint64_t misses = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint8_t where = a.where[id[i]];
        if (where == ARC_T1 || where == ARC_T2) {
            arc_move(&a, id[i], ARC_T2);
            continue;
        }
        misses++;
        if (where == ARC_OUT)
            arc_cold(&a, id[i]);
        else
            arc_ghost_hit(&a, id[i]);
    }
    free(a.where);
    free(links);
    return misses;
}

static const struct mrc_policy policies[] = {
    {"fifo", "first in, first out", fifo_misses, false},
    {"clock", "one reference bit, new ids unreferenced", clock_misses, false},
    {"opt", "Belady's optimum with demand paging", opt_misses, true},
    {"s3fifo", "S3-FIFO: small, main and ghost queue", s3_misses, false},
    {"arc", "adaptive replacement cache", arc_misses, false},
    {"lirs", "low inter-reference recency set", mrc_lirs_misses, false},
};

const struct mrc_policy *mrc_policy_at(uint32_t i)
{
    return i < sizeof policies / sizeof policies[0] ? &policies[i] : NULL;
}

const struct mrc_policy *mrc_policy_named(const char *name, struct diag *d)
{
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        if (strcmp(policies[i].name, name) == 0)
            return &policies[i];
    }
    fail(d, "unknown policy '%s', expected lru, fifo, clock, opt, s3fifo, arc or lirs", name);
    return NULL;
}

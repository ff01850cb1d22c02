/* SPDX-License-Identifier: MIT */
#include "sim/cache/prefetch.h"

#include "sim/cache/llc.h"

#include <stdlib.h>

#define PAGE_LINES 64

struct prefetcher *prefetcher_new(const struct cache_conf *conf)
{
    bool any = conf->prefetch_next || conf->prefetch_stride || conf->prefetch_adjacent || conf->prefetch_stream;
    return any ? xcalloc(1, sizeof(struct prefetcher)) : NULL;
}

void prefetcher_free(struct prefetcher *f)
{
    if (f)
        map_free(&f->unused);
    free(f);
}

void prefetch_gone(struct core_cache *p, uint64_t line)
{
    p->stats.prefetch_useless += map_del(&p->prefetch->unused, line);
}

/* ---- requests ---- */

struct ask {
    struct caches *c;
    struct core_cache *p;
    struct prefetcher *f;
    uint32_t core;
    ps_t t;
};

/* Whether one more request may be under way. */
static bool has_room(const struct ask *a)
{
    struct prefetcher *f = a->f;
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->n_queue; i++)
        if (f->queue_ps[i] > a->t)
            f->queue_ps[n++] = f->queue_ps[i];
    f->n_queue = n;
    if (n < a->c->conf.prefetch_queue)
        return true;
    a->p->stats.prefetch_dropped++;
    return false;
}

/* The line goes into the L2. Answers when its data is there; 0 if the request was dropped. */
static ps_t fetch(const struct ask *a, uint64_t line)
{
    if (core_holds(a->p, line)) {
        const uint64_t *ready = map_get(&a->f->unused, line);
        return max_u64(a->t + a->c->l2_ps, ready ? *ready : 0);
    }
    if (!has_room(a))
        return 0;
    ps_t ready = cache_bring(a->c, a->core, line, a->t);
    a->p->stats.prefetches++;
    a->f->queue_ps[a->f->n_queue++] = ready;
    *map_put(&a->f->unused, line) = ready;
    return ready;
}

static uint32_t near_find(const struct prefetcher *f, uint64_t line)
{
    uint32_t i = 0;
    while (i < PREFETCH_NEAR && f->near[i].line != line + 1)
        i++;
    return i;
}

/* The line goes into the L1, and into the L2 if it is not there. */
static void fetch_near(const struct ask *a, uint64_t line)
{
    struct prefetcher *f = a->f;
    if (near_find(f, line) < PREFETCH_NEAR || core_holds_l1(a->p, line))
        return;
    ps_t ready = fetch(a, line);
    if (!ready)
        return;
    uint32_t at = f->n_near++ % PREFETCH_NEAR;
    f->near[at].line = line + 1;
    f->near[at].ready_ps = ready;
    a->p->stats.l1_prefetches++;
}

/* ---- what they look at ---- */

/* The page's entry, the least recently used one made free for it if it has none. */
static struct prefetch_track *track_of(struct prefetcher *f, uint64_t page, bool *is_new)
{
    struct prefetch_track *oldest = &f->track[0], *found = NULL;
    for (uint32_t i = 0; i < PREFETCH_TRACKS && !found; i++) {
        struct prefetch_track *k = &f->track[i];
        if (k->page == page + 1)
            found = k;
        if (k->used < oldest->used)
            oldest = k;
    }
    *is_new = !found;
    if (!found) {
        found = oldest;
        *found = (struct prefetch_track){.page = page + 1};
    }
    found->used = ++f->clock;
    return found;
}

static bool in_page(int32_t offset)
{
    return offset >= 0 && offset < PAGE_LINES;
}

/* Up to so many requests a lookup, as far ahead of the access as it may be. */
static void stream(const struct ask *a, struct prefetch_track *k, int32_t offset)
{
    const struct cache_conf *conf = &a->c->conf;
    int32_t direction = offset > k->last ? 1 : offset < k->last ? -1 : k->direction;
    if (direction == 0)
        return;
    if (direction != k->direction || (k->next - offset) * direction <= 0)
        k->next = offset + direction;
    k->direction = direction;
    for (uint64_t n = 0; n < conf->prefetch_requests && in_page(k->next); n++) {
        if ((k->next - offset) * direction > (int32_t)conf->prefetch_ahead)
            return;
        if (!fetch(a, (k->page - 1) * PAGE_LINES + (uint64_t)k->next))
            return;
        k->next += direction;
    }
}

/* Two equal steps in a row ask for the third. */
static void stride(const struct ask *a, struct prefetch_track *k, int32_t offset)
{
    int32_t step = offset - k->last;
    if (step == 0)
        return;
    k->repeats = step == k->stride ? k->repeats + 1 : 0;
    k->stride = step;
    if (k->repeats && in_page(offset + step))
        fetch_near(a, (k->page - 1) * PAGE_LINES + (uint64_t)(offset + step));
}

/* An access to the line behind one just accessed asks for the next. */
static void next_line(const struct ask *a, uint64_t line)
{
    bool ascends = false;
    for (uint32_t i = 0; i < PREFETCH_RECENT; i++)
        ascends |= a->f->recent[i] + 1 == line;
    a->f->recent[a->f->n_recent++ % PREFETCH_RECENT] = line;
    if (ascends && (line + 1) % PAGE_LINES)
        fetch_near(a, line + 1);
}

static void look(const struct ask *a, uint64_t line, bool missed, bool is_data)
{
    const struct cache_conf *conf = &a->c->conf;
    bool is_new;
    struct prefetch_track *k = track_of(a->f, line / PAGE_LINES, &is_new);
    int32_t offset = (int32_t)(line % PAGE_LINES);
    if (conf->prefetch_adjacent && missed)
        fetch(a, line ^ 1);
    if (is_data && conf->prefetch_next)
        next_line(a, line);
    if (!is_new && is_data && conf->prefetch_stride)
        stride(a, k, offset);
    if (!is_new && conf->prefetch_stream)
        stream(a, k, offset);
    k->last = offset;
}

/* ---- an access ---- */

ps_t prefetch_access(struct caches *c, uint32_t core, uint64_t line, enum cache_op op, ps_t t)
{
    struct core_cache *p = &c->core[core];
    struct prefetcher *f = p->prefetch;
    bool holds = core_holds(p, line), is_data = op != CACHE_FETCH;
    uint32_t near = is_data ? near_find(f, line) : PREFETCH_NEAR;
    const uint64_t *unused = map_get(&f->unused, line);
    ps_t ready = unused ? *unused : 0, done;
    if (unused) {
        map_del(&f->unused, line);
        p->stats.prefetch_useful++;
    }
    done = cache_demand(c, core, line, op, t);
    if (near < PREFETCH_NEAR) {
        if (holds) { /* in fact it was in the L1 */
            p->stats.l1d_misses--;
            p->stats.l2_hits--;
            p->stats.l1d_hits++;
            p->stats.l1_prefetch_useful++;
            done = done - c->l2_ps + c->l1_ps;
            ready = max_u64(ready, f->near[near].ready_ps);
        }
        f->near[near].line = 0;
    }
    p->stats.prefetch_late += ready > done;
    const struct ask a = {c, p, f, core, t};
    look(&a, line, !holds, is_data);
    return max_u64(done, ready);
}

void prefetcher_state(struct prefetcher *f, struct ckpt *k)
{
    struct map unused = f->unused;
    f->unused = (struct map){0};
    CKPT(k, *f);
    f->unused = unused;
    ckpt_map(k, &f->unused);
}

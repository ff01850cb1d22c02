/* SPDX-License-Identifier: MIT */
/* The writing half of an Optane-class module: load/store queue, pipeline, XPBuffer, batches of media writes. */
#include "sim/nvdimm/nvdimm_int.h"

#include <stdlib.h>

/* ---- lists of groups ---- */

#define NIL UINT32_MAX

static void list_push(struct nvdimm *n, struct lsq_list *l, uint32_t g, int link)
{
    n->group[g].link[link].next = NIL;
    n->group[g].link[link].prev = l->tail;
    if (l->tail == NIL)
        l->head = g;
    else
        n->group[l->tail].link[link].next = g;
    l->tail = g;
}

static void list_drop(struct nvdimm *n, struct lsq_list *l, uint32_t g, int link)
{
    uint32_t next = n->group[g].link[link].next, prev = n->group[g].link[link].prev;
    *(prev == NIL ? &l->head : &n->group[prev].link[link].next) = next;
    *(next == NIL ? &l->tail : &n->group[next].link[link].prev) = prev;
}

void nvdimm_writes_init(struct nvdimm *n)
{
    uint32_t groups = (uint32_t)n->conf.queue_lines + 1;
    n->order = n->ready = n->unused = (struct lsq_list){NIL, NIL};
    n->group = xcalloc(groups, sizeof *n->group);
    for (uint32_t g = 0; g < groups; g++)
        list_push(n, &n->unused, g, LSQ_STATE);
    assoc_init(&n->gathering, groups);
    n->slot_group = xcalloc(groups, sizeof *n->slot_group);
    assoc_init(&n->write_buffer, (uint32_t)n->conf.write_buffer);
    n->write_mask = xcalloc(n->conf.write_buffer, sizeof *n->write_mask);
    n->writes.each_ps = n->door->each_ps = n->xpline_write_ps / 4;
    n->coming = (struct heap){.item = xcalloc(FRONT_LINES, sizeof(struct heap_item)), .cap = FRONT_LINES};
}

void nvdimm_writes_fini(struct nvdimm *n)
{
    assoc_fini(&n->gathering);
    assoc_fini(&n->write_buffer);
    heap_free(&n->coming);
    free(n->group);
    free(n->slot_group);
    free(n->write_mask);
}

/* ---- media ---- */

/* An XPLine goes to the media behind the pipeline's work that ends at t: into the batch that gathers, if it has room.
 */
static void media_write(struct nvdimm *n, ps_t write_ps, ps_t t)
{
    n->pipe_free_ps = t;
    if (n->batch_n == n->conf.write_batch) {
        n->is_blocked = true;
        n->blocked_write_ps = write_ps;
        return;
    }
    n->batch_ps += write_ps;
    if (++n->batch_n == n->conf.write_batch)
        n->batch_ready_ps = t;
}

/* A batch goes behind the one before and behind the reads that wait by then. */
static ps_t batch_start_ps(const struct nvdimm *n)
{
    return n->batch_n == n->conf.write_batch ? max_u64(n->batch_ready_ps, n->batch_end_ps) : NEVER;
}

static void start_batch(struct nvdimm *n)
{
    ps_t start = max_u64(batch_start_ps(n), n->media_free_ps), last = n->xpline_read_ps;
    n->batch_end_ps = start + n->batch_ps;
    /* While the last XPLine of a batch is programmed the media can read. */
    n->media_free_ps = n->batch_ps > last ? n->batch_end_ps - last : n->batch_end_ps;
    n->batch_n = 0;
    n->batch_ps = 0;
    if (n->is_blocked) {
        n->is_blocked = false;
        media_write(n, n->blocked_write_ps, max_u64(n->pipe_free_ps, start));
    }
}

/* ---- pipeline and XPBuffer ---- */

/* Counts an XPLine request; true if its block has to move. */
static bool wears(struct nvdimm *n, uint64_t xpline)
{
    uint64_t block = xpline >> (16 - XPLINE_SHIFT), now = n->stats.requests;
    struct wear_count *c = &n->wear[block % WEAR_COUNTS];
    if (c->block != block || now - c->since >= n->conf.wear_window)
        *c = (struct wear_count){.block = block, .since = now};
    if (++c->writes < n->conf.wear_writes || !n->conf.wear_writes)
        return false;
    *c = (struct wear_count){.block = block, .since = now};
    n->stats.wear_moves++;
    return true;
}

/* Media time to write an XPLine of which these lines are there: the missing ones are read first, and cost as much as
 * writing them would, unless the read buffer had them. */
static ps_t write_cost_ps(struct nvdimm *n, uint32_t mask)
{
    uint32_t missing = 4 - (uint32_t)__builtin_popcount(mask & XPLINE_WHOLE);
    ps_t cost = n->xpline_write_ps;
    n->stats.media_writes++;
    n->stats.partial_evictions += missing > 0;
    if (mask & XPLINE_READ)
        cost -= min_u64(cost, missing * n->xpline_read_ps / 4);
    else
        n->stats.media_reads += missing > 0;
    if (n->conf.wear_copy && ++n->copy_n >= n->conf.wear_copy) {
        n->copy_n = 0;
        n->stats.wear_copies++;
        n->stats.media_writes++;
        cost += n->xpline_write_ps;
    }
    return cost;
}

/* An XPLine request enters the XPBuffer. Answers the media time of the XPLine that leaves it; 0: none does. */
static ps_t write_buffer_put(struct nvdimm *n, uint64_t xpline, uint32_t mask)
{
    struct assoc *a = &n->write_buffer;
    uint32_t slot = assoc_find(a, xpline);
    ps_t cost = 0;
    if (slot != ASSOC_NONE) {
        n->stats.write_buffer_hits++;
        mask |= n->write_mask[slot];
    }
    /* Whole, or more waits behind it: it does not stay. */
    if ((mask & XPLINE_WHOLE) == XPLINE_WHOLE || n->is_pressed) {
        if (slot != ASSOC_NONE)
            assoc_remove(a, slot);
        return write_cost_ps(n, mask);
    }
    if (slot == ASSOC_NONE) {
        if (a->n == a->cap) {
            uint32_t victim = assoc_victim(a);
            cost = write_cost_ps(n, n->write_mask[victim]);
            assoc_remove(a, victim);
        }
        slot = assoc_insert(a, xpline);
    }
    n->write_mask[slot] = (uint8_t)mask;
    return cost;
}

/* ---- load/store queue ---- */

/* Lines in the ring, with the places that wait for older ones to go. */
static uint64_t occupancy(const struct nvdimm *n)
{
    return n->order.head == NIL ? 0 : n->n_lines - n->group[n->order.head].first;
}

/* The group no longer gathers. */
static void close_group(struct nvdimm *n, uint32_t slot, ps_t t)
{
    uint32_t g = n->slot_group[slot];
    assoc_remove(&n->gathering, slot);
    n->group[g].gathers = false;
    n->group[g].ready_ps = t;
    list_push(n, &n->ready, g, LSQ_STATE);
}

/* A line enters the queue, which has room. */
static void enter(struct nvdimm *n, uint64_t line, ps_t t)
{
    uint64_t xpline = line >> (XPLINE_SHIFT - LINE_SHIFT);
    uint32_t bit = 1u << (line & 3), slot = assoc_find(&n->gathering, xpline), g;
    if (slot != ASSOC_NONE && n->group[n->slot_group[slot]].mask & bit) {
        close_group(n, slot, t); /* written again: another request */
        slot = ASSOC_NONE;
    }
    if (slot == ASSOC_NONE) {
        g = n->unused.head;
        list_drop(n, &n->unused, g, LSQ_STATE);
        n->group[g] = (struct lsq_group){.xpline = xpline, .first = n->n_lines, .gathers = true};
        list_push(n, &n->order, g, LSQ_ORDER);
        slot = assoc_insert(&n->gathering, xpline);
        n->slot_group[slot] = g;
    }
    g = n->slot_group[slot];
    n->group[g].mask |= bit;
    n->n_lines++;
    n->stats.queue_peak = max_u64(n->stats.queue_peak, occupancy(n));
    if ((n->group[g].mask & XPLINE_WHOLE) == XPLINE_WHOLE)
        close_group(n, slot, t);
}

static bool has_room(const struct nvdimm *n)
{
    return occupancy(n) < n->conf.queue_lines;
}

/* ---- the door ---- */

/* A line waits inside for its module. */
static void inside(struct nvdimm *n, uint64_t line, ps_t t)
{
    struct front *f = &n->writes;
    if (!f->n)
        f->since_ps = t;
    f->line[(f->head + f->n++) % FRONT_LINES] = line;
    n->door->n_inside++;
}

/* Lines that wait outside are let in, as long as there is room. */
static void let_in(struct nvdimm_door *door, ps_t t)
{
    while (door->n && door->n_inside < door->room) {
        uint32_t at = nvdimm_draw(&door->random, door->n);
        struct nvdimm *n = door->module[door->to[at]];
        uint64_t line = door->line[at];
        door->line[at] = door->line[--door->n];
        door->to[at] = door->to[door->n];
        door->seq[at] = door->seq[door->n];
        mean_add(&door->each_ps, t - min_u64(t, door->last_ps), 4 * n->xpline_write_ps);
        door->last_ps = t;
        if (!n->writes.n && has_room(n))
            enter(n, line, t);
        else
            inside(n, line, t);
    }
}

/* Outside is full: the modules have to work ahead of the clock until it is not. */
static void force(struct nvdimm_door *door)
{
    ps_t first;
    struct nvdimm *n = nvdimm_first(door, nvdimm_write_event_ps, &first);
    CHECK(n);
    nvdimm_write_event(n);
}

/* When the pipeline takes its next request. */
static ps_t take_ps(const struct nvdimm *n)
{
    if (n->is_blocked)
        return NEVER;
    if (n->ready.head != NIL)
        return max_u64(n->pipe_free_ps, n->group[n->ready.head].ready_ps);
    return n->writes.n ? max_u64(n->pipe_free_ps, n->writes.since_ps) : NEVER;
}

/* The pipeline takes a request, and lines that wait take the places that become free. */
static void take(struct nvdimm *n)
{
    ps_t t = take_ps(n), done = t + n->conf.request_ps;
    uint32_t g = n->ready.head != NIL ? n->ready.head : n->order.head;
    n->is_pressed = n->writes.n && n->pipe_free_ps > n->writes.since_ps;
    const struct lsq_group *group = &n->group[g];
    if (group->gathers)
        close_group(n, assoc_find(&n->gathering, group->xpline), t);
    list_drop(n, &n->ready, g, LSQ_STATE);
    list_drop(n, &n->order, g, LSQ_ORDER);
    list_push(n, &n->unused, g, LSQ_STATE);
    n->stats.requests++;
    if (unlikely(wears(n, group->xpline)))
        done += n->conf.wear_stall_ps;
    uint32_t read = assoc_find(&n->read_buffer, group->xpline) == ASSOC_NONE ? 0 : XPLINE_READ;
    ps_t cost = write_buffer_put(n, group->xpline, group->mask | read);
    nvdimm_translated(n, group->xpline);
    if (cost)
        media_write(n, cost, done);
    else
        n->pipe_free_ps = done;
    while (n->writes.n && has_room(n)) {
        enter(n, front_first(&n->writes), t);
        mean_add(&n->writes.each_ps, t - min_u64(t, n->writes.last_ps), 4 * n->xpline_write_ps);
        n->writes.last_ps = n->writes.since_ps = t;
        n->door->n_inside--;
    }
    let_in(n->door, t);
}

ps_t nvdimm_write_event_ps(const struct nvdimm *n)
{
    return min_u64(batch_start_ps(n), take_ps(n));
}

void nvdimm_write_event(struct nvdimm *n)
{
    if (batch_start_ps(n) <= take_ps(n))
        start_batch(n);
    else
        take(n);
}

bool nvdimm_holds(const struct nvdimm *n, uint64_t xpline, uint32_t mask)
{
    uint32_t slot = assoc_find(&n->write_buffer, xpline), held = slot == ASSOC_NONE ? 0 : n->write_mask[slot];
    slot = assoc_find(&n->gathering, xpline);
    held |= slot == ASSOC_NONE ? 0 : n->group[n->slot_group[slot]].mask;
    return (held & mask) == mask;
}

bool nvdimm_arrive(struct nvdimm *n, uint64_t line, ps_t t)
{
    struct nvdimm_door *door = n->door;
    if (!door->n && !n->writes.n && has_room(n)) {
        enter(n, line, t);
        n->writes.last_ps = t;
        return true;
    }
    n->stats.queue_full++;
    if (door->n_inside < door->room) {
        inside(n, line, t);
        door->last_ps = t;
        return false;
    }
    while (door->n == FRONT_LINES)
        force(door);
    door->line[door->n] = line;
    door->seq[door->n] = door->n_ever++;
    door->to[door->n++] = (uint8_t)n->door_index;
    return false;
}

/* How many of the lines that are still to come will be there before t, as if they came evenly. */
static uint64_t earlier(const struct nvdimm *n, ps_t t)
{
    if (!n->coming.n || t >= n->coming_last_ps)
        return n->coming.n;
    ps_t first = n->coming.item[0].at_ps;
    return t <= first ? 0 : n->coming.n * (t - first) / (n->coming_last_ps - first);
}

/* When a line will have been taken that is there at t: behind all that waits now and all that comes before it, less
 * what the module takes until then. */
static ps_t promise(const struct nvdimm *n, ps_t now, ps_t t)
{
    const struct nvdimm_door *door = n->door;
    ps_t each = max_u64(n->writes.each_ps, 1), next = n->pipe_free_ps;
    uint64_t ahead = occupancy(n) + n->writes.n + earlier(n, t), room = n->conf.queue_lines + (t - now) / each;
    if (ahead < room && !door->n)
        return t;
    if (n->is_blocked)
        next = max_u64(batch_start_ps(n), n->media_free_ps);
    if (door->n)
        next = max_u64(next, door->last_ps);
    return t + max_u64(next, now) - now + (ahead > room ? ahead - room : 0) * each + door->n * door->each_ps;
}

ps_t nvdimm_write(struct nvdimm *n, uint64_t line, ps_t now, ps_t t)
{
    n->stats.writes++;
    nvdimm_run(n, min_u64(now, t));
    if (t <= now)
        return nvdimm_arrive(n, line, t) ? t : promise(n, t, t);
    if (n->coming.n == FRONT_LINES)
        nvdimm_run(n, n->coming.item[0].at_ps);
    ps_t taken = promise(n, now, t);
    n->coming_last_ps = n->coming.n ? max_u64(n->coming_last_ps, t) : t;
    heap_push(&n->coming, t, 0, line);
    return taken;
}

/* SPDX-License-Identifier: MIT */
/* LIRS (Jiang, Zhang, "LIRS: an efficient low inter-reference recency set replacement policy", SIGMETRICS 2002): most
 * of the cache holds ids of low inter-reference recency (LIR); 1 % of it, at least one entry, the other resident ones.
 */
#include "sim/mrc/policy_lirs.h"

#include "sim/mrc/list.h"

#include <stdlib.h>

enum { IS_LIR = 1, IS_RESIDENT = 2, IN_STACK = 4 };

struct lirs {
    struct mrc_list stack; /* S: recency, newest at the head; its tail is LIR */
    struct mrc_list queue; /* Q: resident ids that are not LIR, the next victim at the tail */
    uint8_t *state;
    uint64_t n_lir, most_lir;
};

/* Takes ids off the bottom of the stack until a LIR one is there. */
static void prune(struct lirs *s)
{
    while (s->stack.n > 0 && !(s->state[list_tail(&s->stack)] & IS_LIR))
        s->state[list_pop_tail(&s->stack)] &= (uint8_t)~IN_STACK;
}

static void to_top(struct lirs *s, uint32_t id)
{
    if (s->state[id] & IN_STACK)
        list_remove(&s->stack, id);
    list_push_head(&s->stack, id);
    s->state[id] |= IN_STACK;
}

/* The LIR id with the largest recency makes room for another one: it goes to the end of the queue. */
static void demote_bottom(struct lirs *s)
{
    uint32_t bottom = list_pop_tail(&s->stack);
    s->state[bottom] = IS_RESIDENT;
    s->n_lir--;
    list_push_head(&s->queue, bottom);
    prune(s);
}

static void make_lir(struct lirs *s, uint32_t id)
{
    to_top(s, id);
    s->state[id] |= IS_LIR | IS_RESIDENT;
    s->n_lir++;
    if (s->n_lir > s->most_lir)
        demote_bottom(s);
}

static void hit(struct lirs *s, uint32_t id)
{
    if (s->state[id] & IS_LIR) {
        to_top(s, id);
        prune(s);
        return;
    }
    list_remove(&s->queue, id);
    if (s->state[id] & IN_STACK) {
        make_lir(s, id);
        return;
    }
    list_push_head(&s->queue, id);
    if (s->most_lir > 0)
        to_top(s, id);
}

static void miss(struct lirs *s, uint32_t id, bool full)
{
    if (full)
        s->state[list_pop_tail(&s->queue)] &= (uint8_t)~IS_RESIDENT;
    if (s->n_lir < s->most_lir || (s->state[id] & IN_STACK)) {
        make_lir(s, id);
        return;
    }
    s->state[id] |= IS_RESIDENT;
    list_push_head(&s->queue, id);
    if (s->most_lir > 0)
        to_top(s, id);
}

uint64_t mrc_lirs_misses(uint64_t size, const uint32_t *id, const uint64_t *next, uint64_t n, uint32_t n_ids)
{
    (void)next;
    struct mrc_links *in_stack = list_links_new(n_ids), *in_queue = list_links_new(n_ids);
    uint64_t others = size / 100 ? size / 100 : 1, misses = 0;
    struct lirs s = {list_new(in_stack), list_new(in_queue), xcalloc(n_ids, 1), 0, size - others};
    for (uint64_t i = 0; i < n; i++) {
        if (s.state[id[i]] & IS_RESIDENT) {
            hit(&s, id[i]);
            continue;
        }
        miss(&s, id[i], s.n_lir + s.queue.n == size);
        misses++;
    }
    free(s.state);
    free(in_stack);
    free(in_queue);
    return misses;
}

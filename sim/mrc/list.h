/* SPDX-License-Identifier: MIT */
/* Inside sim/mrc: doubly linked lists of dense ids. Lists share one array of links, so an id is in one of them at most.
 */
#ifndef QUIRE_MRC_LIST_H
#define QUIRE_MRC_LIST_H

#include "sim/base/diag.h"

#include <stdint.h>

#define LIST_END UINT32_MAX

struct mrc_links {
    uint32_t newer, older;
};

struct mrc_list {
    struct mrc_links *link; /* [id] */
    uint32_t head, tail;    /* newest, oldest; LIST_END = none */
    uint64_t n;
};

/* Links for ids below n; freed with free(). */
static inline struct mrc_links *list_links_new(uint32_t n)
{
    return xcalloc(n, sizeof(struct mrc_links));
}

static inline struct mrc_list list_new(struct mrc_links *links)
{
    return (struct mrc_list){links, LIST_END, LIST_END, 0};
}

static inline void list_push_head(struct mrc_list *l, uint32_t id)
{
    l->link[id] = (struct mrc_links){LIST_END, l->head};
    if (l->head != LIST_END)
        l->link[l->head].newer = id;
    else
        l->tail = id;
    l->head = id;
    l->n++;
}

static inline void list_remove(struct mrc_list *l, uint32_t id)
{
    struct mrc_links k = l->link[id];
    if (k.newer != LIST_END)
        l->link[k.newer].older = k.older;
    else
        l->head = k.older;
    if (k.older != LIST_END)
        l->link[k.older].newer = k.newer;
    else
        l->tail = k.newer;
    l->n--;
}

static inline uint32_t list_tail(const struct mrc_list *l)
{
    CHECK(l->n > 0);
    return l->tail;
}

static inline uint32_t list_pop_tail(struct mrc_list *l)
{
    uint32_t id = list_tail(l);
    list_remove(l, id);
    return id;
}

#endif

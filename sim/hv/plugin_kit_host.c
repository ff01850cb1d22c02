/* SPDX-License-Identifier: MIT */
/* The conformance kit's host: what policies can ask of a machine of plain arrays. Everything is correct at once; only
 * moves and drains take time. */
#include "sim/hv/plugin_kit_int.h"

#define DRAIN_PS (300 * PS_PER_NS)

static ps_t k_now(void *m)
{
    return ((struct kit *)m)->now;
}
static void k_charge(void *m, uint32_t cpu, uint64_t cycles)
{
    (void)m, (void)cpu, (void)cycles;
}
static void k_timer_at(void *m, ps_t at, uint64_t id)
{
    struct kit *k = m;
    if (k->n_due == k->cap_due) {
        k->cap_due = k->cap_due ? 2 * k->cap_due : 64;
        k->due = xrealloc(k->due, k->cap_due * sizeof *k->due);
    }
    k->due[k->n_due++] = (struct kit_due){at, id};
}
static void k_series(void *m, const char *name, const char *label, const char *x_name, double x, double y)
{
    (void)name, (void)label, (void)x_name, (void)x, (void)y;
    ((struct kit *)m)->out->n_points++;
}
static void k_taint(void *m, const char *word)
{
    (void)word;
    ((struct kit *)m)->out->has_tainted = true;
}
static void k_release(void *m, uint64_t roles)
{
    struct kit *k = m;
    for (uint32_t i = 0; i < KIT_PAGES && roles & QUIRE_ROLE_TRACE; i++)
        k->page[i].trace = 0;
}
static uint64_t k_vm_bytes(void *m, uint32_t vm)
{
    (void)m, (void)vm;
    return (uint64_t)KIT_PAGES << PAGE_SHIFT;
}
static int32_t k_query(void *m, uint32_t cpu, uint32_t vm, uint64_t gpa, struct quire_leaf *out)
{
    const struct kit_page *p = &((struct kit *)m)->page[gpa >> PAGE_SHIFT];
    (void)cpu, (void)vm;
    if (!p->is_mapped)
        return QUIRE_E_NOENT;
    *out = (struct quire_leaf){.gpa = gpa & ~(uint64_t)(PAGE_BYTES - 1), .frame = gpa >> PAGE_SHIFT, .node = p->node};
    out->bits = (uint16_t)(QUIRE_LEAF_MAPPED | (p->is_accessed ? QUIRE_LEAF_ACCESSED : 0) |
                           (p->is_dirty ? QUIRE_LEAF_DIRTY : 0) | (p->trace ? QUIRE_LEAF_TRACED : 0) |
                           (p->is_pinned ? QUIRE_LEAF_PINNED : 0) | p->soft << QUIRE_LEAF_SOFT_SHIFT);
    return QUIRE_OK;
}
static int32_t k_scan(void *m, uint32_t cpu, uint32_t vm, uint64_t *cursor, uint32_t flags, struct quire_leaf *out,
                      uint32_t max)
{
    struct kit *k = m;
    uint32_t n = 0;
    for (; *cursor >> PAGE_SHIFT < KIT_PAGES && n < max; *cursor += PAGE_BYTES) {
        struct kit_page *p = &k->page[*cursor >> PAGE_SHIFT];
        if (k_query(m, cpu, vm, *cursor, &out[n]) < 0)
            continue;
        n++;
        p->is_accessed = p->is_accessed && !(flags & QUIRE_SCAN_CLEAR_A);
        p->is_dirty = p->is_dirty && !(flags & QUIRE_SCAN_CLEAR_D);
    }
    if (*cursor >> PAGE_SHIFT >= KIT_PAGES)
        *cursor = ~0ull;
    return (int32_t)n;
}
static int32_t k_trace(void *m, uint32_t cpu, uint32_t vm, const uint64_t *gpa, uint32_t n, uint32_t access)
{
    int32_t done = 0;
    (void)cpu, (void)vm;
    for (uint32_t i = 0; i < n; i++) {
        struct kit_page *p = &((struct kit *)m)->page[gpa[i] >> PAGE_SHIFT];
        if (p->is_mapped)
            p->trace = access;
        done += p->is_mapped;
    }
    return done;
}
static int32_t k_flush(void *m, uint32_t cpu, uint32_t vm)
{
    (void)m, (void)cpu, (void)vm;
    return QUIRE_OK;
}
static int32_t k_resize(void *m, uint32_t cpu, uint32_t vm, uint64_t gpa)
{
    (void)m, (void)cpu, (void)vm, (void)gpa;
    return QUIRE_E_ALREADY;
}
static int32_t k_soft_set(void *m, uint32_t cpu, uint32_t vm, uint64_t gpa, uint32_t bits)
{
    struct kit_page *p = &((struct kit *)m)->page[gpa >> PAGE_SHIFT];
    (void)cpu, (void)vm;
    p->soft = p->is_mapped ? bits : p->soft;
    return p->is_mapped ? QUIRE_OK : QUIRE_E_NOENT;
}
static int32_t k_pml(void *m, uint32_t cpu, uint32_t vm, uint32_t on)
{
    struct kit *k = m;
    (void)cpu, (void)vm;
    if (k->has_pml == (on != 0))
        return QUIRE_E_ALREADY;
    k->has_pml = on != 0;
    return QUIRE_OK;
}
static int32_t k_pml_drain(void *m, uint32_t cpu, uint32_t vm, uint64_t *gpa, uint32_t max)
{
    struct kit *k = m;
    uint32_t n = 0;
    (void)cpu, (void)vm;
    while (n < max && k->n_log > 0)
        gpa[n++] = k->log[--k->n_log];
    return (int32_t)n;
}
static uint64_t k_free_pages(void *m, uint32_t node)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < KIT_PAGES; i++)
        used += ((struct kit *)m)->page[i].is_mapped && ((struct kit *)m)->page[i].node == node;
    return KIT_PAGES - used;
}
static int32_t k_move(void *m, uint32_t cpu, uint32_t vm, const uint64_t *gpa, uint32_t n, uint32_t node, uint64_t rate)
{
    struct kit *k = m;
    uint32_t i = 0;
    (void)cpu, (void)vm, (void)rate;
    if (k->n_queue == 0)
        k->move_done = k->now + KIT_MOVE_PS;
    for (; i < n && k->n_queue < KIT_PAGES; i++) {
        k->queue[k->n_queue] = gpa[i];
        k->queue_node[k->n_queue++] = node;
    }
    return (int32_t)i;
}
static uint32_t k_moving(void *m)
{
    return ((struct kit *)m)->n_queue;
}
static int32_t k_pin(void *m, uint32_t vm, uint64_t gpa, uint32_t on)
{
    (void)vm;
    ((struct kit *)m)->page[gpa >> PAGE_SHIFT].is_pinned = on != 0;
    return QUIRE_OK;
}
static uint64_t k_hint_controllers(void *m)
{
    return ((struct kit *)m)->hints;
}
static uint32_t k_n_regions(void *m, uint32_t vm)
{
    (void)m, (void)vm;
    return KIT_REGIONS;
}
static uint64_t k_backing(void *m, uint32_t vm, uint32_t region)
{
    (void)vm;
    return ((struct kit *)m)->backing[region];
}
static int32_t k_hint_mode(void *m, uint32_t vm, uint32_t region, uint32_t mode)
{
    (void)vm;
    ((struct kit *)m)->mode[region] = mode;
    return QUIRE_OK;
}
static int32_t k_hint_write(void *m, uint32_t cpu, uint64_t mask, ps_t start, ps_t *done)
{
    struct kit *k = m;
    (void)cpu;
    k->out->n_hint_writes++;
    for (; mask != 0; mask &= mask - 1) {
        uint32_t c = (uint32_t)__builtin_ctzll(mask);
        k->drained[c] = max_u64(k->drained[c], start) + DRAIN_PS;
        *done = max_u64(*done, k->drained[c]);
    }
    return QUIRE_OK;
}
static ps_t k_drained(void *m, uint32_t controller)
{
    return ((struct kit *)m)->drained[controller];
}
static uint64_t k_retired(void *m, uint32_t cpu, uint32_t vm, uint32_t access)
{
    const struct kit *k = m;
    uint64_t sum = 0;
    (void)cpu, (void)vm;
    for (uint32_t i = 0; i < 3; i++)
        sum += access >> i & 1 ? k->retired[i] : 0;
    return sum;
}
static uint64_t k_accesses(void *m, uint32_t vm, uint64_t gpa)
{
    (void)vm;
    return ((struct kit *)m)->page[gpa >> PAGE_SHIFT].count;
}
static int32_t k_hottest(void *m, uint32_t vm, uint64_t *gpa, uint32_t max)
{
    const struct kit *k = m;
    bool is_taken[KIT_PAGES] = {false};
    uint32_t n = 0;
    (void)vm;
    for (; n < max; n++) {
        uint32_t best = KIT_PAGES;
        for (uint32_t i = 0; i < KIT_PAGES; i++)
            if (k->page[i].is_mapped && !is_taken[i] && (best == KIT_PAGES || k->page[i].count > k->page[best].count))
                best = i;
        if (best == KIT_PAGES)
            break;
        is_taken[best] = true;
        gpa[n] = (uint64_t)best << PAGE_SHIFT;
    }
    return (int32_t)n;
}

const struct plugin_ops kit_ops = {.now_ps = k_now,
                                   .charge = k_charge,
                                   .timer_at = k_timer_at,
                                   .series = k_series,
                                   .taint = k_taint,
                                   .release_roles = k_release,
                                   .vm_bytes = k_vm_bytes,
                                   .scan = k_scan,
                                   .query = k_query,
                                   .trace = k_trace,
                                   .flush = k_flush,
                                   .split = k_resize,
                                   .merge = k_resize,
                                   .soft_set = k_soft_set,
                                   .pml = k_pml,
                                   .pml_drain = k_pml_drain,
                                   .free_pages = k_free_pages,
                                   .move = k_move,
                                   .moving = k_moving,
                                   .pin = k_pin,
                                   .hint_controllers = k_hint_controllers,
                                   .n_regions = k_n_regions,
                                   .backing = k_backing,
                                   .hint_mode = k_hint_mode,
                                   .hint_write = k_hint_write,
                                   .drained_ps = k_drained,
                                   .retired = k_retired,
                                   .accesses = k_accesses,
                                   .hottest = k_hottest};

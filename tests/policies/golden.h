/* SPDX-License-Identifier: MIT */
/* The golden machine: a host for one policy over plain arrays, in which everything is instantly correct and free. A
 * test includes the policy's source and drives it access by access; it sees every decision in the arrays. */
#ifndef TESTS_POLICIES_GOLDEN_H
#define TESTS_POLICIES_GOLDEN_H

#include <quire/policy.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define G_PAGES  4096u
#define G_TIMERS 64u
#define G_LOG    65536u
#define G_VM     (7ull << 32) /* index 0, generation 7 */

struct g_page {
    bool mapped, accessed, dirty, pinned;
    uint32_t node, trace; /* QUIRE_ACCESS_* bits that fault */
    uint64_t count;
    uint64_t last_count; /* accesses before this moment, for windows */
};

struct g_timer {
    uint64_t at, period, cookie;
    bool on;
};

struct g_entry {
    char name[24], label[48];
    uint64_t a, b;
    double x, y;
    uint64_t now;
};

struct golden {
    const struct quire_policy *policy;
    const struct quire_hooks *hook;
    void *self;
    struct quire_core core;
    struct quire_ept ept;
    struct quire_frames frames;
    struct quire_pmem pmem;
    struct quire_pmu pmu;
    struct quire_oracle oracle;
    struct quire_host host;
    uint64_t option[32];
    uint64_t roles, roles_taken_by_others;
    bool oracle_used;

    uint64_t now, n_pages, random;
    struct g_page page[G_PAGES];
    struct g_timer timer[G_TIMERS];
    uint64_t free[8]; /* frames left on each node */
    uint64_t page_move_ps;
    uint64_t move_queue[G_PAGES], n_moves, n_moved; /* ring is never reused: a test moves fewer than G_PAGES pages */
    uint32_t move_node[G_PAGES];
    uint64_t move_next_ps;
    uint64_t n_faults, n_walk_faults, n_flushes, n_looks; /* looks: leaves read */
    bool pml;
    uint64_t log[G_PAGES], n_log; /* pages that became dirty while the log was on */
    uint64_t retired[3];          /* reads, writes, fetches */

    uint64_t hints, backing[4], controller_end[64], n_writes[64], write_start[64];
    uint32_t n_regions, mode[4];
    uint64_t drain_ps;

    struct g_entry mark[G_LOG / 16], point[G_LOG / 16], counter[64], sample[G_LOG / 16];
    uint32_t n_marks, n_points, n_counters, n_samples;
};

#define G_OF(ptr, member) ((struct golden *)(void *)((char *)(uintptr_t)(ptr)-offsetof(struct golden, member)))

/* ---- quire.core/1 ---- */
static uint64_t g_now(const struct quire_core *c)
{
    return G_OF(c, core)->now;
}
static uint64_t g_random(const struct quire_core *c, const char *stream, uint64_t n)
{
    struct golden *g = G_OF(c, core);
    (void)stream;
    g->random = g->random * 6364136223846793005ull + 1442695040888963407ull;
    return (g->random >> 11) % n;
}
static quire_timer g_timer_start(const struct quire_core *c, uint64_t delay, uint64_t period, uint32_t cpu,
                                 uint64_t cookie)
{
    struct golden *g = G_OF(c, core);
    (void)cpu;
    for (uint32_t i = 0; i < G_TIMERS; i++)
        if (!g->timer[i].on) {
            g->timer[i] = (struct g_timer){g->now + delay, period, cookie, true};
            return i + 1;
        }
    abort();
}
static int32_t g_timer_stop(const struct quire_core *c, quire_timer t)
{
    G_OF(c, core)->timer[t - 1].on = false;
    return QUIRE_OK;
}
static void g_charge(const struct quire_core *c, uint64_t cycles)
{
    (void)c, (void)cycles;
}
static void g_count(const struct quire_core *c, const char *name, uint64_t add)
{
    struct golden *g = G_OF(c, core);
    uint32_t i = 0;
    while (i < g->n_counters && strcmp(g->counter[i].name, name) != 0)
        i++;
    strncpy(g->counter[i].name, name, sizeof g->counter[i].name - 1);
    g->counter[i].a += add;
    g->n_counters += i == g->n_counters;
}
static struct g_entry *g_append(struct g_entry *log, uint32_t *n, const char *name)
{
    struct g_entry *e = &log[(*n)++];
    if (*n > G_LOG / 16)
        abort();
    strncpy(e->name, name, sizeof e->name - 1);
    return e;
}
static void g_sample(const struct quire_core *c, const char *name, uint64_t value)
{
    struct golden *g = G_OF(c, core);
    g_append(g->sample, &g->n_samples, name)->a = value;
}
static void g_series(const struct quire_core *c, const char *name, const char *label, const char *x_name, double x,
                     double y)
{
    struct golden *g = G_OF(c, core);
    struct g_entry *e = g_append(g->point, &g->n_points, name);
    (void)x_name;
    strncpy(e->label, label, sizeof e->label - 1);
    e->x = x;
    e->y = y;
}
static uint64_t g_option(const struct quire_core *c, const char *name)
{
    struct golden *g = G_OF(c, core);
    for (uint32_t i = 0; i < g->policy->n_options; i++)
        if (strcmp(g->policy->options[i].name, name) == 0)
            return g->option[i];
    abort();
}
static const char *g_vm_name(const struct quire_core *c, quire_vm vm)
{
    (void)c;
    return vm == G_VM ? "vm" : "";
}
static void g_mark(const struct quire_core *c, const char *what, uint64_t a, uint64_t b)
{
    struct golden *g = G_OF(c, core);
    struct g_entry *e = g_append(g->mark, &g->n_marks, what);
    e->a = a;
    e->b = b;
    e->now = g->now;
}

/* ---- quire.ept/1 ---- */
static struct g_page *g_page_at(struct golden *g, uint64_t gpa)
{
    return gpa >> 12 < g->n_pages && g->page[gpa >> 12].mapped ? &g->page[gpa >> 12] : NULL;
}
static uint64_t g_vm_bytes(const struct quire_ept *s, quire_vm vm)
{
    (void)vm;
    return G_OF(s, ept)->n_pages << 12;
}
static int32_t g_query(const struct quire_ept *s, quire_vm vm, uint64_t gpa, struct quire_leaf *out)
{
    struct g_page *p = g_page_at(G_OF(s, ept), gpa);
    (void)vm;
    G_OF(s, ept)->n_looks++;
    if (p == NULL)
        return QUIRE_E_NOENT;
    *out = (struct quire_leaf){.gpa = gpa & ~4095ull, .node = p->node};
    out->bits =
        (uint16_t)(QUIRE_LEAF_MAPPED | (p->accessed ? QUIRE_LEAF_ACCESSED : 0) | (p->dirty ? QUIRE_LEAF_DIRTY : 0) |
                   (p->trace ? QUIRE_LEAF_TRACED : 0) | (p->pinned ? QUIRE_LEAF_PINNED : 0));
    return QUIRE_OK;
}
static int32_t g_scan(const struct quire_ept *s, quire_vm vm, uint64_t *cursor, uint32_t flags, struct quire_leaf *out,
                      uint32_t max)
{
    struct golden *g = G_OF(s, ept);
    uint32_t n = 0;
    for (; *cursor >> 12 < g->n_pages && n < max; *cursor += 4096) {
        if (g_query(s, vm, *cursor, &out[n]) != QUIRE_OK)
            continue;
        n++;
        if (flags & QUIRE_SCAN_CLEAR_A)
            g->page[*cursor >> 12].accessed = false;
        if (flags & QUIRE_SCAN_CLEAR_D)
            g->page[*cursor >> 12].dirty = false;
    }
    if (*cursor >> 12 >= g->n_pages)
        *cursor = ~0ull;
    return (int32_t)n;
}
static int32_t g_trace(const struct quire_ept *s, quire_vm vm, const uint64_t *gpa, uint32_t n, uint32_t access)
{
    int32_t armed = 0;
    (void)vm;
    for (uint32_t i = 0; i < n; i++) {
        struct g_page *p = g_page_at(G_OF(s, ept), gpa[i]);
        if (p == NULL)
            continue;
        p->trace = access;
        armed++;
    }
    return armed;
}
static int32_t g_flush(const struct quire_ept *s, quire_vm vm)
{
    (void)vm;
    G_OF(s, ept)->n_flushes++;
    return QUIRE_OK;
}
static int32_t g_pml(const struct quire_ept *s, quire_vm vm, uint32_t on)
{
    (void)vm;
    G_OF(s, ept)->pml = on != 0;
    return QUIRE_OK;
}
static int32_t g_pml_drain(const struct quire_ept *s, quire_vm vm, uint64_t *gpa, uint32_t max)
{
    struct golden *g = G_OF(s, ept);
    uint32_t n = 0;
    (void)vm;
    while (n < max && g->n_log > 0)
        gpa[n++] = g->log[--g->n_log];
    return (int32_t)n;
}
static int32_t g_split(const struct quire_ept *s, quire_vm vm, uint64_t gpa)
{
    (void)s, (void)vm, (void)gpa;
    return QUIRE_E_ALREADY;
}

/* ---- quire.frame/1 ---- */
static uint64_t g_free_pages(const struct quire_frames *s, uint32_t node)
{
    return G_OF(s, frames)->free[node];
}
static int32_t g_move(const struct quire_frames *s, quire_vm vm, const uint64_t *gpa, uint32_t n, uint32_t node,
                      uint64_t rate)
{
    struct golden *g = G_OF(s, frames);
    uint64_t ps = rate ? 4096ull * 1000000000000ull / rate : 0;
    (void)vm;
    if (ps > g->page_move_ps)
        g->page_move_ps = ps;
    if (g->n_moved == g->n_moves)
        g->move_next_ps = g->now + g->page_move_ps;
    for (uint32_t i = 0; i < n; i++) {
        g->move_queue[g->n_moves] = gpa[i];
        g->move_node[g->n_moves++] = node;
    }
    return (int32_t)n;
}
static uint32_t g_moving(const struct quire_frames *s)
{
    return (uint32_t)(G_OF(s, frames)->n_moves - G_OF(s, frames)->n_moved);
}

/* ---- quire.pmem/1 ---- */
static uint64_t g_hint_controllers(const struct quire_pmem *s)
{
    return G_OF(s, pmem)->hints;
}
static uint32_t g_n_regions(const struct quire_pmem *s, quire_vm vm)
{
    (void)vm;
    return G_OF(s, pmem)->n_regions;
}
static uint64_t g_backing(const struct quire_pmem *s, quire_vm vm, uint32_t region)
{
    (void)vm;
    return G_OF(s, pmem)->backing[region];
}
static int32_t g_hint_mode(const struct quire_pmem *s, quire_vm vm, uint32_t region, uint32_t mode)
{
    (void)vm;
    G_OF(s, pmem)->mode[region] = mode;
    return QUIRE_OK;
}
static int32_t g_hint_write(const struct quire_pmem *s, uint64_t mask, uint64_t start, uint64_t *done)
{
    struct golden *g = G_OF(s, pmem);
    *done = start = start ? start : g->now;
    for (; mask; mask &= mask - 1) {
        uint32_t m = (uint32_t)__builtin_ctzll(mask);
        g->n_writes[m]++;
        g->write_start[m] = start;
        uint64_t end = (g->controller_end[m] > start ? g->controller_end[m] : start) + g->drain_ps;
        g->controller_end[m] = end;
        *done = end > *done ? end : *done;
    }
    return QUIRE_OK;
}
static uint64_t g_drained_ps(const struct quire_pmem *s, uint32_t controller)
{
    struct golden *g = G_OF(s, pmem);
    return g->controller_end[controller] > g->now ? g->controller_end[controller] : g->now;
}

/* ---- quire.pmu/1 ---- */
static uint64_t g_retired(const struct quire_pmu *s, quire_vm vm, uint32_t access)
{
    const struct golden *g = G_OF(s, pmu);
    uint64_t sum = 0;
    (void)vm;
    for (uint32_t i = 0; i < 3; i++)
        sum += access >> i & 1 ? g->retired[i] : 0;
    return sum;
}

/* ---- quire.oracle/1 and the host ---- */
static uint64_t g_accesses(const struct quire_oracle *s, quire_vm vm, uint64_t gpa)
{
    (void)vm;
    return G_OF(s, oracle)->page[gpa >> 12].count;
}
static int32_t g_hottest(const struct quire_oracle *s, quire_vm vm, uint64_t *gpa, uint32_t max)
{
    struct golden *g = G_OF(s, oracle);
    uint32_t n = 0;
    (void)vm;
    for (uint64_t i = 0; i < g->n_pages && n < max; i++)
        if (g->page[i].mapped)
            gpa[n++] = i << 12;
    for (uint32_t i = 1; i < n; i++) /* insertion sort: stable */
        for (uint32_t j = i; j > 0 && g->page[gpa[j] >> 12].count > g->page[gpa[j - 1] >> 12].count; j--) {
            uint64_t t = gpa[j];
            gpa[j] = gpa[j - 1];
            gpa[j - 1] = t;
        }
    return (int32_t)n;
}
static const void *g_service(const struct quire_host *h, const char *id)
{
    struct golden *g = G_OF(h, host);
    const void *const table[] = {&g->core, &g->ept, &g->frames, &g->pmem, &g->pmu, &g->oracle};
    const char *const name[] = {"quire.core/1", "quire.ept/1", "quire.frame/1",
                                "quire.pmem/1", "quire.pmu/1", "quire.oracle/1"};
    for (uint32_t i = 0; i < 6; i++)
        if (strcmp(id, name[i]) == 0) {
            g->oracle_used |= i == 5;
            return table[i];
        }
    return NULL;
}
static int32_t g_claim(const struct quire_host *h, uint64_t roles)
{
    struct golden *g = G_OF(h, host);
    if (roles & g->roles_taken_by_others)
        return QUIRE_E_BUSY;
    g->roles |= roles;
    return QUIRE_OK;
}

/* Reads a default as a configuration file would write it. */
static uint64_t g_number(const struct quire_option *o, const char *text)
{
    static const struct {
        const char *unit;
        double scale;
    } units[] = {{"ps", 1}, {"ns", 1e3}, {"us", 1e6}, {"ms", 1e9}, {"s", 1e12}, {"%", 1e4}, {"B/s", 1}, {"", 1}};
    char *end;
    if (o->type == QUIRE_OPT_BOOL)
        return strcmp(text, "true") == 0;
    for (uint64_t i = 0; o->type == QUIRE_OPT_WORD; i++)
        if (strcmp(o->words[i], text) == 0)
            return i;
    double v = strtod(text, &end);
    for (uint32_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(units[i].unit, end) == 0)
            return (uint64_t)(v * units[i].scale);
    abort();
}

static inline void golden_set(struct golden *g, const char *name, const char *text)
{
    for (uint32_t i = 0; i < g->policy->n_options; i++)
        if (strcmp(g->policy->options[i].name, name) == 0) {
            g->option[i] = g_number(&g->policy->options[i], text);
            return;
        }
    abort();
}

/* A machine whose VM has n_pages, with the policy's defaults; golden_set() and golden_start() follow. */
static inline struct golden *golden_new(const struct quire_policy *p, uint64_t n_pages)
{
    struct golden *g = calloc(1, sizeof *g);
    g->policy = p;
    g->hook = p->hooks;
    g->n_pages = n_pages;
    g->page_move_ps = 1000000;
    g->drain_ps = 500000;
    for (uint32_t i = 0; i < 8; i++)
        g->free[i] = G_PAGES;
    g->core = (struct quire_core){sizeof g->core, 2,        g_now,    g_random, g_timer_start, g_timer_stop, g_charge,
                                  g_count,        g_sample, g_series, g_option, g_vm_name,     g_mark};
    g->ept = (struct quire_ept){.size = sizeof g->ept,
                                .vm_bytes = g_vm_bytes,
                                .scan = g_scan,
                                .query = g_query,
                                .trace = g_trace,
                                .flush = g_flush,
                                .split = g_split,
                                .pml = g_pml,
                                .pml_drain = g_pml_drain};
    g->frames =
        (struct quire_frames){.size = sizeof g->frames, .free_pages = g_free_pages, .move = g_move, .moving = g_moving};
    g->pmem = (struct quire_pmem){sizeof g->pmem, 8,           g_hint_controllers, g_n_regions,
                                  g_backing,      g_hint_mode, g_hint_write,       g_drained_ps};
    g->pmu = (struct quire_pmu){.size = sizeof g->pmu, .retired = g_retired};
    g->oracle = (struct quire_oracle){sizeof g->oracle, 0, g_accesses, g_hottest};
    g->host = (struct quire_host){sizeof g->host, 1, 0, 0, g_service, g_claim};
    for (uint32_t i = 0; i < p->n_options; i++)
        g->option[i] = g_number(&p->options[i], p->options[i].def);
    return g;
}

static inline void golden_event(struct golden *g, struct quire_vm_event e)
{
    e.size = sizeof e;
    e.vm = G_VM;
    e.now_ps = g->now;
    g->hook->vm_event(g->self, &e);
}

static inline int32_t golden_start(struct golden *g)
{
    const char *why = NULL;
    int32_t r = g->policy->init(&g->host, &g->self, &why);
    if (r == QUIRE_OK)
        golden_event(g, (struct quire_vm_event){.what = QUIRE_VM_CREATED});
    return r;
}

static inline void golden_free(struct golden *g)
{
    g->hook->fini(g->self);
    free(g);
}

/* Lets time pass: timers and moves in the order of their times, timers first at equal times. */
static inline void golden_run(struct golden *g, uint64_t until)
{
    for (;;) {
        uint64_t at = until + 1;
        struct g_timer *t = NULL;
        for (uint32_t i = 0; i < G_TIMERS; i++)
            if (g->timer[i].on && g->timer[i].at < at)
                at = (t = &g->timer[i])->at;
        if (g->n_moved < g->n_moves && g->move_next_ps < at) {
            uint64_t gpa = g->move_queue[g->n_moved];
            struct g_page *p = &g->page[gpa >> 12];
            struct quire_done d = {.size = sizeof d, .vm = G_VM, .gpa = gpa, .from_node = p->node};
            g->now = g->move_next_ps;
            d.to_node = g->move_node[g->n_moved++];
            d.now_ps = g->now;
            d.result = p->pinned ? QUIRE_E_BUSY : g->free[d.to_node] == 0 ? QUIRE_E_NOMEM : QUIRE_OK;
            if (d.result == QUIRE_OK) {
                g->free[d.from_node]++;
                g->free[d.to_node]--;
                p->node = d.to_node;
            }
            g->move_next_ps = g->now + g->page_move_ps;
            g->hook->done(g->self, &d);
        } else if (t != NULL) {
            g->now = at;
            t->on = t->period != 0;
            t->at += t->period;
            g->hook->timer(g->self, (quire_timer)(t - g->timer) + 1, t->cookie, at);
        } else {
            break;
        }
    }
    g->now = until;
}

/* One access of the workload, with the verdict carried out. */
static inline void golden_access(struct golden *g, uint64_t page, uint32_t access)
{
    struct g_page *p = &g->page[page];
    if (!p->mapped) {
        p->mapped = true;
        golden_event(g, (struct quire_vm_event){.what = QUIRE_VM_MAPPED, .gpa = page << 12});
    }
    if (p->trace & access || (p->trace && access & QUIRE_ACCESS_WALK)) {
        struct quire_fault f = {.size = sizeof f, .why = QUIRE_FAULT_TRACE, .access = access, .vm = G_VM};
        struct quire_verdict v = {.size = sizeof v};
        f.gpa = page << 12 | 8;
        f.now_ps = g->now;
        g->n_faults++;
        g->hook->fault(g->self, &f, &v);
        if (v.what != QUIRE_VERDICT_EMULATE)
            p->trace = 0;
    }
    p->accessed = true;
    if (access & QUIRE_ACCESS_WRITE && !p->dirty) {
        p->dirty = true;
        if (g->pml)
            g->log[g->n_log++] = page << 12;
    }
    for (uint32_t i = 0; i < 3 && !(access & QUIRE_ACCESS_WALK); i++)
        g->retired[i] += access >> i & 1;
    p->count += !(access & QUIRE_ACCESS_WALK);
}

static inline uint64_t golden_counter(const struct golden *g, const char *name)
{
    for (uint32_t i = 0; i < g->n_counters; i++)
        if (strcmp(g->counter[i].name, name) == 0)
            return g->counter[i].a;
    return 0;
}

#endif

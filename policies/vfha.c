/* SPDX-License-Identifier: MIT */
/* vfha: virtual flush hint addresses (US10592425B2).
 *
 * Firmware may give each memory controller a flush hint address: a store to it drains the controller's write-pending
 * queue. A guest cannot have the physical ones (they differ by host and are shared between tenants), and it must not
 * have none, for it would take that as "ADR suffices" and never flush again, on any host.
 *
 * So every persistent region always has one virtual hint at a guest address that never changes. On a host with hints
 * the page behind it is write-protected: a store exits, and the hypervisor writes the hints of exactly those
 * controllers that back the region, in parallel. On a host without hints the same page is an ordinary writable page,
 * and the store costs a store. The set of controllers is read afresh at each flush, so it follows the backing.
 *
 * Combining: a flush that arrives while controller m is draining for somebody else shares the next drain of m with all
 * others that arrive meanwhile; never the current one, which may have begun before its lines were queued.
 *
 * Designs to compare with: always-trap (exits on hosts without hints too), hypercall (virtio-pmem), none (unsafe). */
#include <quire/policy.h>

#include <stdlib.h>

enum { VFHA, ALWAYS_TRAP, HYPERCALL, NONE };
#define MAX_CONTROLLERS 64

struct vfha {
    const struct quire_core *core;
    const struct quire_pmem *pmem;
    uint64_t design, combine, all;
    uint64_t end_ps[MAX_CONTROLLERS];  /* when the drain in flight ends */
    uint64_t next_ps[MAX_CONTROLLERS]; /* when the one shared after it ends; 0: none is planned */
};

/* Lists, opens or traps the hint of every region, as the design and this host want it. */
static void describe(struct vfha *s, quire_vm vm, uint64_t host_hints)
{
    const uint32_t mode_of[] = {host_hints ? QUIRE_HINT_TRAP : QUIRE_HINT_OPEN, QUIRE_HINT_TRAP, QUIRE_HINT_HYPERCALL,
                                QUIRE_HINT_NONE};
    uint32_t n = s->pmem->n_regions(s->pmem, vm), mode = mode_of[s->design];
    s->core->charge(s->core, 100 * (uint64_t)n);
    for (uint32_t r = 0; r < n; r++)
        s->pmem->hint_mode(s->pmem, vm, r, mode);
}

static void vm_event(void *self, const struct quire_vm_event *e)
{
    struct vfha *s = self;
    if (e->what == QUIRE_VM_CREATED)
        describe(s, e->vm, s->pmem->hint_controllers(s->pmem));
    else if (e->what == QUIRE_VM_HOST_CHANGED)
        describe(s, e->vm, e->value);
}

/* When controller m has drained what is queued now, sharing the next drain if one is in flight. */
static uint64_t combined(struct vfha *s, uint32_t m, uint64_t now)
{
    if (now >= s->end_ps[m]) { /* the drain in flight has ended: the planned one, if any, took its place */
        s->end_ps[m] = s->next_ps[m];
        s->next_ps[m] = 0;
    }
    if (now >= s->end_ps[m]) {
        s->pmem->hint_write(s->pmem, 1ull << m, now, &s->end_ps[m]);
        return s->end_ps[m];
    }
    uint64_t mine = s->pmem->drained_ps(s->pmem, m);
    if (s->next_ps[m] == 0)
        s->pmem->hint_write(s->pmem, 1ull << m, s->end_ps[m], &s->next_ps[m]);
    else
        s->core->count(s->core, "combined_writes", 1);
    if (s->next_ps[m] < mine)
        s->next_ps[m] = mine;
    return s->next_ps[m];
}

/* Drains every controller behind the region; the time when all have. */
static uint64_t drain(struct vfha *s, quire_vm vm, uint32_t region, uint64_t now)
{
    uint64_t set = s->pmem->hint_controllers(s->pmem), until = now;
    if (!s->all)
        set &= s->pmem->backing(s->pmem, vm, region);
    s->core->charge(s->core, 40); /* the table look-up */
    s->core->count(s->core, "flushes", 1);
    s->core->count(s->core, "controller_drains", (uint64_t)__builtin_popcountll(set));
    if (set != 0 && !s->combine)
        s->pmem->hint_write(s->pmem, set, now, &until);
    for (; set != 0 && s->combine; set &= set - 1) {
        uint64_t t = combined(s, (uint32_t)__builtin_ctzll(set), now);
        until = t > until ? t : until;
    }
    s->core->sample(s->core, "drain_ps", until - now);
    return until;
}

static void fault(void *self, const struct quire_fault *f, struct quire_verdict *out)
{
    if (f->why != QUIRE_FAULT_HINT)
        return;
    out->what = QUIRE_VERDICT_SKIP; /* any width, any value: only that it was written counts */
    out->until_ps = drain(self, f->vm, f->region, f->now_ps);
}

static uint64_t flush(void *self, const struct quire_flush *f)
{
    return drain(self, f->vm, f->region, f->now_ps);
}

static int32_t state(void *self, const struct quire_state *c)
{
    struct vfha *s = self;
    c->bytes(c, s->end_ps, sizeof s->end_ps);
    c->bytes(c, s->next_ps, sizeof s->next_ps);
    return QUIRE_OK;
}

static int32_t init(const struct quire_host *h, void **self, const char **why)
{
    struct vfha *s = calloc(1, sizeof *s);
    *self = s;
    if (s == NULL || h->claim(h, QUIRE_ROLE_PMEM) < 0) {
        *why = "another policy answers flush hints already";
        return QUIRE_E_DENIED;
    }
    s->core = h->service(h, "quire.core/1");
    s->pmem = h->service(h, "quire.pmem/1");
    s->design = s->core->option(s->core, "design");
    s->combine = s->core->option(s->core, "combine");
    s->all = s->core->option(s->core, "controllers");
    return QUIRE_OK;
}

static const char *const designs[] = {"vfha", "always-trap", "hypercall", "none", NULL};
static const char *const sets[] = {"backing", "all", NULL};
static const struct quire_option options[] = {
    QUIRE_OPTION(WORD, "design", "vfha", "how a guest's flush reaches the controllers", .words = designs),
    QUIRE_OPTION(BOOL, "combine", "false", "flushes that wait for a controller share its next drain"),
    QUIRE_OPTION(WORD, "controllers", "backing", "drain those that back the region, or all", .words = sets),
};
static const struct quire_hooks hooks = {
    .size = sizeof hooks, .fini = free, .vm_event = vm_event, .fault = fault, .flush = flush, .state = state};

QUIRE_POLICY(.name = "vfha", .roles = QUIRE_ROLE_PMEM, QUIRE_OPTIONS(options), .hooks = &hooks, .init = init,
             .help = "Virtual flush hints: one a persistent region, trapped where the host has hints, free where not.")

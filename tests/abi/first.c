/* SPDX-License-Identifier: MIT */
/* A policy built once against the first release of include/quire/policy.h and kept as first.so: it must load and run
 * in every later 1.x host. It uses something of every service, and nothing of libc. README.md says how it was built. */
#include <quire/policy.h>

struct first {
    const struct quire_core *core;
    const struct quire_ept *ept;
    const struct quire_frames *frames;
    const struct quire_pmem *pmem;
    uint64_t step, mode;
};

static struct first first;

static void vm_event(void *self, const struct quire_vm_event *e)
{
    struct first *s = self;
    uint64_t gpa = e->gpa;
    s->core->charge(s->core, 50);
    if (e->what == QUIRE_VM_CREATED) {
        s->core->timer_start(s->core, s->step, s->step, 0, e->vm);
        for (uint32_t r = 0; r < s->pmem->n_regions(s->pmem, e->vm); r++)
            s->pmem->hint_mode(s->pmem, e->vm, r, s->mode ? QUIRE_HINT_HYPERCALL : QUIRE_HINT_TRAP);
    } else if (e->what == QUIRE_VM_MAPPED) {
        s->ept->trace(s->ept, e->vm, &gpa, 1, QUIRE_ACCESS_READ | QUIRE_ACCESS_WRITE | QUIRE_ACCESS_EXEC);
    } else if (e->what == QUIRE_VM_DESTROYED) {
        s->core->series(s->core, "end", s->core->vm_name(s->core, e->vm), "time_us", (double)e->now_ps / 1e6, 1.0);
    }
}

static uint64_t drain(struct first *s, quire_vm vm, uint32_t region, uint64_t now)
{
    uint64_t set = s->pmem->hint_controllers(s->pmem) & s->pmem->backing(s->pmem, vm, region), done = now;
    s->core->charge(s->core, 50);
    if (set != 0)
        s->pmem->hint_write(s->pmem, set, 0, &done);
    s->core->sample(s->core, "drain_ps", done - now);
    return done;
}

static void fault(void *self, const struct quire_fault *f, struct quire_verdict *out)
{
    struct first *s = self;
    s->core->charge(s->core, 50);
    if (f->why == QUIRE_FAULT_TRACE) {
        out->what = QUIRE_VERDICT_RESUME;
        s->core->count(s->core, "trace_faults", 1);
    } else if (f->why == QUIRE_FAULT_HINT) {
        out->what = QUIRE_VERDICT_SKIP;
        out->until_ps = drain(s, f->vm, f->region, f->now_ps);
    }
}

/* Every step one random page is traced anew and one page goes to a random node. */
static void timer(void *self, quire_timer t, uint64_t cookie, uint64_t now_ps)
{
    struct first *s = self;
    struct quire_leaf leaf[8];
    uint64_t cursor = s->core->random(s->core, "page", s->ept->vm_bytes(s->ept, cookie));
    (void)t, (void)now_ps;
    s->core->charge(s->core, 200);
    int32_t n = s->ept->scan(s->ept, cookie, &cursor, QUIRE_SCAN_CLEAR_A, leaf, 8);
    if (n > 0) {
        uint32_t node = (uint32_t)s->core->random(s->core, "node", s->core->n_nodes);
        s->ept->trace(s->ept, cookie, &leaf[0].gpa, 1, QUIRE_ACCESS_WRITE);
        if (leaf[n - 1].node != node && s->frames->free_pages(s->frames, node) > 0)
            s->frames->move(s->frames, cookie, &leaf[n - 1].gpa, 1, node, 0);
    }
    s->ept->flush(s->ept, cookie);
}

static void done(void *self, const struct quire_done *d)
{
    struct first *s = self;
    s->core->charge(s->core, 20);
    s->core->mark(s->core, "moved", d->gpa, (uint64_t)(int64_t)d->result);
    s->core->count(s->core, "moves", d->result == QUIRE_OK);
}

static uint64_t flush(void *self, const struct quire_flush *f)
{
    return drain(self, f->vm, f->region, f->now_ps);
}

static int32_t init(const struct quire_host *h, void **self, const char **why)
{
    *self = &first;
    if (h->claim(h, QUIRE_ROLE_TRACE | QUIRE_ROLE_NUMA | QUIRE_ROLE_PMEM) < 0) {
        *why = "its roles are taken";
        return QUIRE_E_DENIED;
    }
    first.core = h->service(h, "quire.core/1");
    first.ept = h->service(h, "quire.ept/1");
    first.frames = h->service(h, "quire.frame/1");
    first.pmem = h->service(h, "quire.pmem/1");
    first.step = first.core->option(first.core, "step");
    first.mode = first.core->option(first.core, "flush_by");
    return QUIRE_OK;
}

static const char *const modes[] = {"store", "hypercall", 0};
static const struct quire_option options[] = {
    QUIRE_OPTION(TIME, "step", "1ms", "a page is traced and one is moved this often", .min = 1000000),
    QUIRE_OPTION(WORD, "flush_by", "store", "how the guest flushes", .words = modes),
};
static const struct quire_hooks hooks = {
    .size = sizeof hooks, .vm_event = vm_event, .fault = fault, .timer = timer, .done = done, .flush = flush};

QUIRE_POLICY(.name = "first", .roles = QUIRE_ROLE_TRACE | QUIRE_ROLE_NUMA | QUIRE_ROLE_PMEM, QUIRE_OPTIONS(options),
             .hooks = &hooks, .init = init, .help = "Uses something of every service of ABI 1.0.")

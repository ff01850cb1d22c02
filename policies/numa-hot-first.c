/* SPDX-License-Identifier: MIT */
/* numa-hot-first: a VM's memory follows its vCPUs to another node, most-used pages first (US8037280B2, US8307192B2).
 *
 * When most vCPUs of a VM run on a node that does not hold all its pages, a plan begins. Method 1, in rounds: find out
 * which of the remote pages are in use, move those. Method 2: move the rest in address order. Method 1 ends when
 * `rounds` are done, when a round finds fewer than `least` pages, after `limit`, when no remote page is left, or when
 * the vCPUs move away again, which begins another plan after `settle`.
 *
 * How a round finds pages (`heuristic`):
 *   h1  clear A bits, wait one period, collect: in use or not
 *   h2  the same `scans` times; most often in use first
 *   h3  trace a random `sample`; what is touched within the period moves at once, in the order of the touches
 *   h4  four activity states a page, kept over all rounds: up when in use, down when idle; hot ones first, then warm
 *
 * Orders to compare with: none, sequential (method 2 at once), random, oracle (true access counts). */
#include <quire/policy.h>

#include <stdlib.h>

enum { HOT, NEVER, SEQUENTIAL, RANDOM, ORACLE };   /* order */
enum { H1, H2, H3, H4 };                           /* heuristic */
enum { IDLE, LOOK, MOVE_HOT, MOVE_REST };          /* state of a plan */
enum { FULL = 1, ROUNDS, FEW, TIME, EMPTY, AWAY }; /* why a method ended */
enum { START, PERIOD };                            /* timers, in the low byte of the cookie */
#define MAX_VCPUS 256
#define BATCH     512

struct page {
    uint64_t gpa;
    uint16_t level, score;
    uint8_t queued, traced;
};

struct plan {
    quire_vm vm;
    uint32_t target, state, epoch, round, scan, split;
    uint32_t node_of[MAX_VCPUS]; /* 1 + node of each vCPU; 0: not placed */
    uint64_t began_ps;
    uint64_t bytes, local_bytes; /* mapped when the plan began; of these on the target */
    uint64_t n_pages, n_left;    /* remote pages, and those not yet queued */
    uint64_t n_queue, at, in_flight, found;
    struct page *page; /* by address */
    uint64_t *queue;   /* indices into page, in the order of their moves */
};

struct numa {
    const struct quire_core *core;
    const struct quire_ept *ept;
    const struct quire_frames *frames;
    const struct quire_oracle *oracle;
    uint64_t order, heuristic, rate, batch, period, scans, sample, rounds, least, limit, settle;
    uint32_t n_plans;
    struct plan **plan; /* by the VM's index */
};

/* ---- the remote pages -------------------------------------------------------------------------------------------- */

static int remote(const struct plan *p, const struct quire_leaf *l)
{
    return l->node != p->target && !(l->bits & (QUIRE_LEAF_PINNED | QUIRE_LEAF_PMEM));
}

static uint64_t leaf_bytes(uint32_t level)
{
    return 4096ull << 9 * level;
}

/* Lists the pages that are not on the target. */
static void collect(struct numa *s, struct plan *p)
{
    struct quire_leaf leaf[BATCH];
    uint64_t cursor = 0, cap = 0;
    int32_t n;
    p->n_pages = p->bytes = p->local_bytes = p->n_queue = p->at = 0;
    while ((n = s->ept->scan(s->ept, p->vm, &cursor, 0, leaf, BATCH)) > 0)
        for (int32_t i = 0; i < n; i++) {
            p->bytes += leaf_bytes(leaf[i].level);
            p->local_bytes += leaf[i].node == p->target ? leaf_bytes(leaf[i].level) : 0;
            if (!remote(p, &leaf[i]))
                continue;
            if (p->n_pages == cap) {
                cap = cap ? 2 * cap : 1024;
                p->page = realloc(p->page, cap * sizeof *p->page);
            }
            p->page[p->n_pages++] = (struct page){.gpa = leaf[i].gpa, .level = leaf[i].level};
        }
    s->core->charge(s->core, 200 + 10 * p->n_pages);
    p->n_left = p->n_pages;
    p->queue = realloc(p->queue, (p->n_pages + 1) * sizeof *p->queue);
}

static struct page *page_at(struct plan *p, uint64_t gpa)
{
    uint64_t lo = 0, hi = p->n_pages;
    while (lo < hi) {
        uint64_t mid = (lo + hi) / 2;
        if (p->page[mid].gpa + leaf_bytes(p->page[mid].level) <= gpa)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < p->n_pages && p->page[lo].gpa <= gpa ? &p->page[lo] : NULL;
}

static void enqueue(struct plan *p, struct page *pg)
{
    if (pg == NULL || pg->queued)
        return;
    pg->queued = 1;
    p->n_left--;
    p->queue[p->n_queue++] = (uint64_t)(pg - p->page);
}

/* ---- moving ------------------------------------------------------------------------------------------------------ */

static void look(struct numa *s, struct plan *p);
static void rest(struct numa *s, struct plan *p, uint64_t why);

static void show(struct numa *s, const struct plan *p, uint64_t now)
{
    s->core->series(s->core, "numa_local", s->core->vm_name(s->core, p->vm), "time_us",
                    (double)(now - p->began_ps) / 1e6, (double)p->local_bytes / (double)p->bytes);
}

static void stop(struct numa *s, struct plan *p, uint64_t why)
{
    s->core->mark(s->core, "plan_ends", (uint32_t)p->vm, why);
    p->n_queue = p->at;
    p->state = IDLE;
}

/* A round of method 1 has moved what it found. */
static void end_round(struct numa *s, struct plan *p)
{
    p->round++;
    if (p->n_left == 0)
        rest(s, p, EMPTY);
    else if (p->round >= s->rounds)
        rest(s, p, ROUNDS);
    else if (s->core->now_ps(s->core) - p->began_ps >= s->limit)
        rest(s, p, TIME);
    else
        look(s, p);
}

/* Keeps a batch on the move; goes on with the plan when the queue has been worked off. */
static void pump(struct numa *s, struct plan *p)
{
    uint64_t gpa[BATCH], n = 0;
    while (n < s->batch - p->in_flight && p->at + n < p->n_queue) {
        gpa[n] = p->page[p->queue[p->at + n]].gpa;
        n++;
    }
    int32_t took = n ? s->frames->move(s->frames, p->vm, gpa, (uint32_t)n, p->target, s->rate) : 0;
    if (took > 0) {
        p->at += (uint64_t)took;
        p->in_flight += (uint64_t)took;
        s->core->count(s->core, "moves", (uint64_t)took);
    }
    if (p->in_flight > 0)
        return;
    if (n > 0)
        stop(s, p, FULL); /* nothing moves any more */
    else if (p->state == MOVE_HOT)
        end_round(s, p);
    else if (p->state == MOVE_REST && p->split) {
        p->split = 0; /* large pages became small ones: list them anew */
        collect(s, p);
        rest(s, p, FULL);
    } else if (p->state == MOVE_REST)
        stop(s, p, EMPTY);
}

/* Method 2: whatever is left, by address (order random: shuffled). */
static void rest(struct numa *s, struct plan *p, uint64_t why)
{
    uint64_t first = p->n_queue;
    s->core->mark(s->core, "method_2", (uint32_t)p->vm, why);
    s->core->charge(s->core, 4 * p->n_pages);
    p->state = MOVE_REST;
    for (uint64_t i = 0; i < p->n_pages; i++)
        enqueue(p, &p->page[i]);
    for (uint64_t n = p->n_queue - first; s->order == RANDOM && n > 1; n--) {
        uint64_t *a = &p->queue[first + n - 1], *b = &p->queue[first + s->core->random(s->core, "order", n)], t = *a;
        *a = *b;
        *b = t;
    }
    pump(s, p);
}

static void done(void *self, const struct quire_done *d)
{
    struct numa *s = self;
    struct plan *p = s->plan[(uint32_t)d->vm];
    struct page *pg = page_at(p, d->gpa);
    s->core->charge(s->core, 100);
    p->in_flight--;
    if (p->state == IDLE || pg == NULL)
        return;
    if (d->result == QUIRE_OK) {
        p->local_bytes += leaf_bytes(pg->level);
    } else if (d->result == QUIRE_E_NOMEM && pg->level > 0 && s->frames->free_pages(s->frames, p->target) > 0) {
        s->ept->split(s->ept, p->vm, d->gpa); /* the target has frames, but not in one piece */
        p->split = 1;
    } else if (d->result == QUIRE_E_NOMEM) {
        stop(s, p, FULL);
    } else {
        s->core->count(s->core, "refused_moves", 1);
    }
    if (p->in_flight == 0)
        show(s, p, d->now_ps);
    if (p->state != IDLE && p->in_flight <= s->batch / 2)
        pump(s, p);
}

/* ---- method 1: looking ------------------------------------------------------------------------------------------- */

static uint64_t cookie(const struct plan *p, uint64_t kind)
{
    return kind | (uint64_t)p->epoch << 8 | (uint64_t)(uint32_t)p->vm << 40;
}

/* Reads and clears all A bits; scores the remote pages if told so. */
static void sweep(struct numa *s, struct plan *p, int score)
{
    struct quire_leaf leaf[BATCH];
    uint64_t cursor = 0, i = 0;
    int32_t n;
    while ((n = s->ept->scan(s->ept, p->vm, &cursor, QUIRE_SCAN_CLEAR_A, leaf, BATCH)) > 0) {
        s->core->charge(s->core, 6 * (uint64_t)n);
        for (int32_t k = 0; k < n && score; k++) {
            uint16_t used = (leaf[k].bits & QUIRE_LEAF_ACCESSED) != 0;
            while (i < p->n_pages && p->page[i].gpa < leaf[k].gpa)
                i++;
            if (i == p->n_pages || p->page[i].gpa != leaf[k].gpa)
                continue;
            uint16_t *sc = &p->page[i].score;
            if (s->heuristic == H4)
                *sc = used ? (*sc < 3 ? *sc + 1 : 3) : (*sc > 0 ? *sc - 1 : 0);
            else
                *sc += used;
        }
    }
    s->ept->flush(s->ept, p->vm);
}

/* Traces (on) or untraces a random sample of the pages that are left. */
static void trace_sample(struct numa *s, struct plan *p, int on)
{
    uint64_t gpa[BATCH];
    uint32_t n = 0;
    uint64_t left = p->n_left, want = s->sample < left ? s->sample : left;
    s->core->charge(s->core, 100 + 4 * p->n_pages);
    for (uint64_t i = 0; i < p->n_pages; i++) {
        struct page *pg = &p->page[i];
        if (on && !pg->queued && s->core->random(s->core, "sample", left--) < want) {
            pg->traced = 1; /* selection sampling: exactly `want` of those left */
            want--;
            gpa[n++] = pg->gpa;
        } else if (!on && pg->traced) {
            pg->traced = 0;
            gpa[n++] = pg->gpa;
        }
        if (n == BATCH || (i + 1 == p->n_pages && n > 0)) {
            s->ept->trace(s->ept, p->vm, gpa, n, on ? QUIRE_ACCESS_READ | QUIRE_ACCESS_WRITE | QUIRE_ACCESS_EXEC : 0);
            n = 0;
        }
    }
    s->ept->flush(s->ept, p->vm);
}

/* One round begins: from here on, what the VM uses shows. */
static void look(struct numa *s, struct plan *p)
{
    p->state = LOOK;
    p->scan = 0;
    p->found = p->n_queue;
    for (uint64_t i = 0; i < p->n_pages && s->heuristic != H4; i++)
        p->page[i].score = 0;
    if (s->heuristic == H3)
        trace_sample(s, p, 1);
    else
        sweep(s, p, 0);
    s->core->timer_start(s->core, s->period, 0, 0, cookie(p, PERIOD));
}

/* Queues the priority pages, best score first, by address among equals. */
static void rank(struct numa *s, struct plan *p)
{
    uint32_t least = s->heuristic == H4 ? 2 : 1;
    uint32_t best = s->heuristic == H1 ? 1 : s->heuristic == H4 ? 3 : (uint32_t)s->scans;
    for (uint32_t score = best; score >= least; score--)
        for (uint64_t i = 0; i < p->n_pages; i++)
            if (p->page[i].score == score)
                enqueue(p, &p->page[i]);
}

/* A period is over: look again, or move what was found. */
static void period(struct numa *s, struct plan *p)
{
    if (s->heuristic == H3) {
        trace_sample(s, p, 0);
    } else {
        sweep(s, p, 1);
        if (s->heuristic != H1 && ++p->scan < s->scans) {
            s->core->timer_start(s->core, s->period, 0, 0, cookie(p, PERIOD));
            return;
        }
        rank(s, p);
    }
    p->found = p->n_queue - p->found;
    s->core->mark(s->core, "priority_pages", (uint32_t)p->vm, p->found);
    if (p->found < s->least) {
        rest(s, p, FEW);
    } else {
        p->state = MOVE_HOT;
        pump(s, p);
    }
}

static void fault(void *self, const struct quire_fault *f, struct quire_verdict *out)
{
    struct numa *s = self;
    struct plan *p = s->plan[(uint32_t)f->vm];
    struct page *pg = page_at(p, f->gpa);
    if (f->why != QUIRE_FAULT_TRACE)
        return;
    out->what = QUIRE_VERDICT_RESUME;
    s->core->charge(s->core, 100);
    if (p->state != LOOK || pg == NULL || !pg->traced)
        return;
    pg->traced = 0;
    enqueue(p, pg);
    pump(s, p);
}

/* ---- plans begin ------------------------------------------------------------------------------------------------- */

/* The true order of use: what a perfect method 1 would find. */
static void enqueue_hottest(struct numa *s, struct plan *p)
{
    uint64_t n = s->ept->vm_bytes(s->ept, p->vm) >> 12;
    uint64_t *gpa = malloc(n * sizeof *gpa);
    int32_t got = s->oracle->hottest(s->oracle, p->vm, gpa, (uint32_t)n);
    for (int32_t i = 0; i < got; i++)
        enqueue(p, page_at(p, gpa[i]));
    free(gpa);
}

static void begin(struct numa *s, struct plan *p)
{
    if (p->in_flight > 0) { /* pages of the plan before are still on their way */
        s->core->timer_start(s->core, s->period, 0, 0, cookie(p, START));
        return;
    }
    collect(s, p);
    if (p->n_pages == 0 || s->order == NEVER)
        return;
    p->began_ps = s->core->now_ps(s->core);
    p->round = p->split = 0;
    s->core->mark(s->core, "plan_begins", (uint32_t)p->vm, p->n_pages);
    show(s, p, p->began_ps);
    if (s->order == HOT && s->rounds > 0)
        look(s, p);
    else {
        if (s->order == ORACLE)
            enqueue_hottest(s, p);
        rest(s, p, ROUNDS);
    }
}

/* A vCPU changed its node: most vCPUs decide where the memory belongs. */
static void follow(struct numa *s, struct plan *p, const struct quire_vm_event *e)
{
    uint32_t here = 0, there = 0;
    p->node_of[e->vcpu] = e->node + 1;
    for (uint32_t i = 0; i < MAX_VCPUS; i++) {
        here += p->node_of[i] == e->node + 1;
        there += p->node_of[i] != 0 && p->node_of[i] == p->target + 1;
    }
    if (e->node == p->target || here <= there)
        return;
    if (p->state != IDLE)
        stop(s, p, AWAY);
    p->target = e->node;
    p->epoch++;
    s->core->timer_start(s->core, s->settle, 0, e->cpu, cookie(p, START));
}

static void create(struct numa *s, quire_vm vm)
{
    uint32_t index = (uint32_t)vm;
    if (index >= s->n_plans) {
        s->plan = realloc(s->plan, (index + 1) * sizeof(struct plan *));
        while (s->n_plans <= index)
            s->plan[s->n_plans++] = NULL;
    }
    s->plan[index] = calloc(1, sizeof(struct plan));
    s->plan[index]->vm = vm;
    s->plan[index]->target = QUIRE_NODE_ANY;
}

static void destroy(struct numa *s, uint32_t index)
{
    if (s->plan[index] != NULL) {
        free(s->plan[index]->page);
        free(s->plan[index]->queue);
    }
    free(s->plan[index]);
    s->plan[index] = NULL;
}

static void vm_event(void *self, const struct quire_vm_event *e)
{
    struct numa *s = self;
    if (e->what == QUIRE_VM_CREATED)
        create(s, e->vm);
    else if (e->what == QUIRE_VM_DESTROYED)
        destroy(s, (uint32_t)e->vm);
    else if (e->what == QUIRE_VM_VCPU_MOVED && e->vcpu < MAX_VCPUS)
        follow(s, s->plan[(uint32_t)e->vm], e);
}

static void timer(void *self, quire_timer t, uint64_t cookie, uint64_t now_ps)
{
    struct numa *s = self;
    struct plan *p = s->plan[cookie >> 40];
    (void)t, (void)now_ps;
    if (p == NULL || (cookie >> 8 & 0xffffffff) != p->epoch)
        return; /* of an earlier plan */
    if ((cookie & 255) == START)
        begin(s, p);
    else if (p->state == LOOK)
        period(s, p);
}

static void fini(void *self)
{
    struct numa *s = self;
    for (uint32_t i = 0; i < s->n_plans; i++)
        destroy(s, i);
    free(s->plan);
    free(s);
}

static void plan_state(void *self, void *thing, const struct quire_state *c)
{
    (void)self;
    struct plan *p = thing;
    struct plan flat = *p;
    uint64_t n_queue;
    flat.page = NULL;
    flat.queue = NULL;
    c->bytes(c, &flat, sizeof flat);
    flat.n_pages = c->count(c, flat.n_pages, 1ull << 36);
    n_queue = c->count(c, p->queue ? flat.n_pages + 1 : 0, 1ull << 36);
    if (c->is_loading)
        *p = flat;
    quire_state_memory(c, &p->page, p->n_pages * sizeof *p->page);
    quire_state_memory(c, &p->queue, n_queue * sizeof *p->queue);
}

static int32_t state(void *self, const struct quire_state *c)
{
    struct numa *s = self;
    quire_state_things(c, &s->plan, &s->n_plans, sizeof(struct plan), s, plan_state);
    return QUIRE_OK;
}

static int32_t init(const struct quire_host *h, void **self, const char **why)
{
    struct numa *s = calloc(1, sizeof *s);
    *self = s;
    s->core = h->service(h, "quire.core/1");
    s->ept = h->service(h, "quire.ept/1");
    s->frames = h->service(h, "quire.frame/1");
    s->order = s->core->option(s->core, "order");
    s->heuristic = s->core->option(s->core, "heuristic");
    s->rate = s->core->option(s->core, "rate");
    s->batch = s->core->option(s->core, "batch");
    s->period = s->core->option(s->core, "period");
    s->scans = s->core->option(s->core, "scans");
    s->sample = s->core->option(s->core, "sample");
    s->rounds = s->core->option(s->core, "rounds");
    s->least = s->core->option(s->core, "least");
    s->limit = s->core->option(s->core, "limit");
    s->settle = s->core->option(s->core, "settle");
    uint64_t trace = s->order == HOT && s->heuristic == H3 ? QUIRE_ROLE_TRACE : 0;
    if (h->claim(h, QUIRE_ROLE_NUMA | trace) < 0)
        *why = "another policy moves pages between nodes, or sets traces, already";
    else if (s->order == ORACLE && (s->oracle = h->service(h, "quire.oracle/1")) == NULL)
        *why = "order = oracle needs the oracle";
    return *why ? QUIRE_E_DENIED : QUIRE_OK;
}

static const char *const orders[] = {"hot", "none", "sequential", "random", "oracle", NULL};
static const char *const heuristics[] = {"h1", "h2", "h3", "h4", NULL};
static const struct quire_option options[] = {
    QUIRE_OPTION(WORD, "order", "hot", "which pages first", .words = orders),
    QUIRE_OPTION(WORD, "heuristic", "h2", "how method 1 finds pages in use", .words = heuristics),
    QUIRE_OPTION(RATE, "rate", "0B/s", "most bytes copied a second; 0B/s: no limit"),
    QUIRE_OPTION(UINT, "batch", "64", "moves under way at once, and a shootdown's share", .min = 1, .max = BATCH),
    QUIRE_OPTION(TIME, "period", "10ms", "between two looks at the A bits; how long a sample is traced"),
    QUIRE_OPTION(UINT, "scans", "4", "looks a round (h2, h4)", .min = 1, .max = 64),
    QUIRE_OPTION(UINT, "sample", "4096", "pages traced a round (h3)", .min = 1),
    QUIRE_OPTION(UINT, "rounds", "8", "method 1 ends after so many rounds"),
    QUIRE_OPTION(UINT, "least", "16", "method 1 ends when a round finds fewer pages than this"),
    QUIRE_OPTION(TIME, "limit", "10s", "method 1 ends after this time"),
    QUIRE_OPTION(TIME, "settle", "1ms", "a plan begins so long after the vCPUs moved"),
};
static const struct quire_hooks hooks = {.size = sizeof hooks,
                                         .fini = fini,
                                         .vm_event = vm_event,
                                         .fault = fault,
                                         .timer = timer,
                                         .done = done,
                                         .state = state};

QUIRE_POLICY(.name = "numa-hot-first", .roles = QUIRE_ROLE_NUMA | QUIRE_ROLE_TRACE, .caps = QUIRE_CAP_ORACLE,
             QUIRE_OPTIONS(options), .hooks = &hooks, .init = init,
             .help = "Moves a VM's memory after its vCPUs, most-used pages first; the other orders to compare with.")

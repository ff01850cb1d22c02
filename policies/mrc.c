/* SPDX-License-Identifier: MIT */
/* mrc: the miss-rate curve of a running VM, observed through its nested page tables (US9223722B2).
 *
 * K random pages of the VM's M are traced: the next access of such a page faults. They stand in one list, most recently
 * used first, cut into groups; every page knows its group. A fault of a page in group g is an access at a stack
 * distance inside g: hits[g]++, the page goes to the front, and one page moves over each boundary below g. That is
 * O(groups) a fault, and exact for any group sizes. A page's first access is cold.
 *
 * Then the page is left untraced for `delay`, and accesses in that time are not seen: short distances are undercounted,
 * in exchange for an overhead as small as one likes. Retracing is batched: a wheel of nine slots of delay/8 each, one
 * trace() call and one shootdown a slot. With delay = 0 nothing is missed: the hypervisor emulates each access and the
 * trace stays armed; with all pages traced the curve then equals Mattson's integer for integer.
 *
 * counter = true reads each tick how many accesses the VM retired: the sample's share of them, K / M, less those that
 * were seen, went to pages that were untraced. They are spread over the distances 1 .. the number of untraced pages
 * (the mean over the ticks) in proportion to 1 / distance: every doubling of the memory catches as many, for want of
 * better knowledge. Without it the miss ratio is that of the accesses that were seen.
 *
 * Distance i among K pages stands for i * M / K pages of memory. The sample is {page : permute(page) < K} under a keyed
 * permutation of 0..M-1: exactly K pages, no table, a page's slot is its permuted number, and a new key is a new
 * sample. Accesses of the page walker are not the workload's and are not counted. */
#include <quire/policy.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHEEL     9
#define BATCH     512
#define GROUPS    4096
#define TRACE_ALL (QUIRE_ACCESS_READ | QUIRE_ACCESS_WRITE | QUIRE_ACCESS_EXEC)

enum { ABSENT, FRESH, LATE, LISTED }; /* FRESH: just mapped; LATE: joined after its first access; LISTED: in the list */

struct page {
    uint32_t prev, next; /* neighbours in the list; slot k is the head of the circle */
    uint32_t wait;       /* 1 + next page of the same wheel slot, 1 + k at its end; 0: in no slot */
    uint16_t group;
    uint16_t state;
};

struct group {
    uint64_t size, n, hits;
    uint32_t last; /* its least recently used page, if n > 0 */
};

struct vm {
    quire_vm id;
    quire_timer timer[2]; /* of retracing and of the epochs; 0: none */
    uint64_t m, key;
    uint32_t k, n_groups, hand, half_bits;
    uint64_t accesses, cold, late, walks, retraced, flushes, epochs;
    uint64_t curve_cold;                    /* cold, aged like the hits */
    double hidden;                          /* accesses that were not seen, aged too */
    uint64_t counter, counted;              /* retired and seen accesses at the last tick */
    uint64_t untraced, untraced_sum, ticks; /* pages on the wheel; at all ticks so far */
    uint32_t wheel[WHEEL];                  /* first page of each slot, k: empty */
    struct page *page;
    struct group *group;
};

struct mrc {
    const struct quire_core *core;
    const struct quire_ept *ept;
    const struct quire_pmu *pmu;
    uint64_t pages, delay, epoch, resample, group_pages, group_growth, use_counter;
    uint32_t n_vms;
    struct vm **vm; /* by the VM's index */
};

/* ---- the sample: a four-round Feistel network, walked until it lands below m ------------------------------------- */

static uint64_t round_of(const struct vm *v, uint64_t x, uint32_t i)
{
    x = (x + v->key + i) * 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull;
    return (x ^ x >> 32) & ((1ull << v->half_bits) - 1);
}

static uint64_t permute(const struct vm *v, uint64_t x, uint32_t inverse)
{
    uint64_t mask = (1ull << v->half_bits) - 1;
    if (v->k == v->m) /* all of them: neighbours stay neighbours */
        return x;
    do {
        uint64_t l = x >> v->half_bits, r = x & mask;
        for (uint32_t i = 0; i < 4; i++) {
            uint64_t t = inverse ? r ^ round_of(v, l, 3 - i) : l ^ round_of(v, r, i);
            if (inverse) {
                r = l;
                l = t;
            } else {
                l = r;
                r = t;
            }
        }
        x = l << v->half_bits | r;
    } while (x >= v->m);
    return x;
}

/* The page's slot; k or more if it is not in the sample. */
static uint64_t slot_of(const struct vm *v, uint64_t gpa)
{
    return gpa >> 12 < v->m ? permute(v, gpa >> 12, 0) : v->m;
}

/* ---- the list and its groups ------------------------------------------------------------------------------------- */

static void unlink_page(struct vm *v, uint32_t slot)
{
    struct page *p = &v->page[slot];
    struct group *g = &v->group[p->group];
    g->n--;
    if (g->last == slot)
        g->last = p->prev;
    v->page[p->prev].next = p->next;
    v->page[p->next].prev = p->prev;
}

/* To the front; then one page over each boundary whose group is over its size. Answers how many moved. */
static uint32_t push_front(struct vm *v, uint32_t slot)
{
    struct page *p = &v->page[slot], *head = &v->page[v->k];
    uint32_t i = 0, mover = slot;
    p->prev = v->k;
    p->next = head->next;
    v->page[head->next].prev = slot;
    head->next = slot;
    p->state = LISTED;
    for (;; i++) {
        struct group *g = &v->group[i];
        v->page[mover].group = (uint16_t)i;
        if (g->n++ == 0)
            g->last = mover;
        if (g->n <= g->size)
            return i;
        mover = g->last;
        g->last = v->page[mover].prev;
        g->n--;
    }
}

/* The page lost its frame: out of the list, and one page back over each boundary behind it. */
static void leave(struct vm *v, uint32_t slot)
{
    struct page *p = &v->page[slot];
    uint32_t mover = p->next;
    if (p->state == LISTED) {
        uint32_t i = p->group;
        if (v->group[i].last != slot)
            mover = v->page[v->group[i].last].next;
        unlink_page(v, slot);
        for (; mover != v->k; i++) {
            uint32_t next = v->page[v->group[i + 1].last].next;
            v->page[mover].group = (uint16_t)i;
            v->group[i].last = mover;
            v->group[i].n++;
            v->group[i + 1].n--;
            mover = next;
        }
    }
    p->state = ABSENT;
}

/* One detected access. */
static void touch(struct mrc *s, struct vm *v, uint32_t slot)
{
    struct page *p = &v->page[slot];
    v->accesses++;
    if (p->state == LISTED) {
        v->group[p->group].hits++;
        unlink_page(v, slot);
    } else if (p->state == FRESH) {
        v->cold++;
        v->curve_cold++;
    } else {
        v->late++;
    }
    s->core->charge(s->core, 20 + 20 * (uint64_t)push_front(v, slot));
}

/* ---- tracing ----------------------------------------------------------------------------------------------------- */

static void fault(void *self, const struct quire_fault *f, struct quire_verdict *out)
{
    struct mrc *s = self;
    struct vm *v = s->vm[(uint32_t)f->vm];
    uint64_t slot = slot_of(v, f->gpa);
    if (f->why != QUIRE_FAULT_TRACE || slot >= v->k || v->page[slot].state == ABSENT)
        return; /* a trace of an earlier sample */
    s->core->charge(s->core, 40);
    if (f->access & QUIRE_ACCESS_WALK)
        v->walks++;
    else
        touch(s, v, (uint32_t)slot);
    out->what = s->delay ? QUIRE_VERDICT_RESUME : QUIRE_VERDICT_EMULATE;
    if (s->delay && v->page[slot].wait == 0) {
        v->page[slot].wait = v->wheel[v->hand] + 1;
        v->wheel[v->hand] = (uint32_t)slot;
        v->untraced++;
    }
}

/* What was retired since the last tick and not seen. */
static void count_hidden(struct mrc *s, struct vm *v)
{
    uint64_t now = s->use_counter ? s->pmu->retired(s->pmu, v->id, TRACE_ALL) : 0;
    if (now <= v->counter)
        return;
    v->hidden += (double)(now - v->counter) * (double)v->k / (double)v->m - (double)(v->accesses - v->counted);
    v->counter = now;
    v->counted = v->accesses;
    v->untraced_sum += v->untraced;
    v->ticks++;
}

/* Traces the pages that have waited longest: eight to nine ticks. */
static void retrace(struct mrc *s, struct vm *v)
{
    uint64_t gpa[BATCH];
    uint32_t n = 0, next;
    count_hidden(s, v);
    v->hand = (v->hand + 1) % WHEEL;
    uint32_t slot = v->wheel[v->hand];
    v->wheel[v->hand] = v->k;
    s->core->charge(s->core, 20);
    if (slot == v->k)
        return;
    for (; slot != v->k; slot = next) {
        struct page *p = &v->page[slot];
        next = p->wait - 1;
        p->wait = 0;
        v->untraced--;
        if (p->state != ABSENT)
            gpa[n++] = permute(v, slot, 1) << 12;
        if (n == BATCH || next == v->k) {
            s->ept->trace(s->ept, v->id, gpa, n, TRACE_ALL);
            s->core->charge(s->core, 10 * (uint64_t)n);
            v->retraced += n;
            n = 0;
        }
    }
    s->ept->flush(s->ept, v->id);
    v->flushes++;
}

/* A sampled page comes under trace; a large leaf is split down to it first. */
static void join(struct mrc *s, struct vm *v, uint32_t slot, uint32_t level, uint16_t state)
{
    uint64_t gpa = permute(v, slot, 1) << 12;
    s->core->charge(s->core, 60);
    for (; level > 0; level--)
        s->ept->split(s->ept, v->id, gpa);
    v->page[slot].state = state;
    s->ept->trace(s->ept, v->id, &gpa, 1, TRACE_ALL);
}

static void empty(struct mrc *s, struct vm *v)
{
    v->key = s->core->random(s->core, "sample", 1ull << 62);
    v->page[v->k].prev = v->page[v->k].next = v->k;
    for (uint32_t i = 0; i < v->n_groups; i++)
        v->group[i].n = 0;
    for (uint32_t i = 0; i < WHEEL; i++)
        v->wheel[i] = v->k;
    v->untraced = 0;
}

/* A new sample: its pages join late. Traces of the old one fire once more, unheeded. */
static void resample(struct mrc *s, struct vm *v)
{
    struct quire_leaf leaf;
    memset(v->page, 0, v->k * sizeof *v->page);
    empty(s, v);
    for (uint32_t i = 0; i < v->k; i++)
        if (s->ept->query(s->ept, v->id, permute(v, i, 1) << 12, &leaf) == QUIRE_OK)
            join(s, v, i, leaf.level, LATE);
    s->ept->flush(s->ept, v->id);
}

/* ---- the curve --------------------------------------------------------------------------------------------------- */

/* The sum of 1 / d for d = from + 1 .. to. */
static double harmonic(uint64_t from, uint64_t to)
{
    double sum = 0;
    for (; to > from; to--)
        sum += 1 / (double)to;
    return sum;
}

static void emit(struct mrc *s, struct vm *v)
{
    uint64_t misses = v->curve_cold, reach = 0, near = 1;
    double hidden = v->ticks && v->hidden > 0 ? v->hidden : 0; /* of them, those beyond reach */
    char label[96];
    if (v->untraced_sum > v->ticks)
        near = (v->untraced_sum + v->ticks / 2) / v->ticks;
    for (uint32_t i = 0; i < v->n_groups; i++)
        misses += v->group[i].hits;
    double total = misses || hidden > 0 ? (double)misses + hidden : 1.0, each = hidden / harmonic(0, near);
    snprintf(label, sizeof label, s->epoch ? "%s observed epoch %u" : "%s observed", s->core->vm_name(s->core, v->id),
             (unsigned)v->epochs);
    for (uint32_t i = 0; i <= v->n_groups; i++) {
        double pages = (double)reach * (double)v->m / (double)v->k;
        double beyond = (double)misses + (reach < near ? hidden : 0);
        s->core->series(s->core, "miss_ratio", label, "pages", pages, beyond / total);
        s->core->series(s->core, "mrc_observed_misses", label, "pages", pages, beyond);
        if (i < v->n_groups) {
            uint64_t last = reach + v->group[i].size < v->k ? reach + v->group[i].size : v->k;
            misses -= v->group[i].hits;
            hidden -= each * harmonic(reach, last < near ? last : near);
            reach = last;
        }
    }
}

/* Halves the past, so that the curve follows a changing workload. */
static void end_epoch(struct mrc *s, struct vm *v)
{
    emit(s, v);
    v->epochs++;
    v->curve_cold /= 2;
    v->hidden /= 2;
    for (uint32_t i = 0; i < v->n_groups; i++)
        v->group[i].hits /= 2;
    if (s->resample && v->k < v->m)
        resample(s, v);
}

/* ---- a VM comes and goes ----------------------------------------------------------------------------------------- */

static void create(struct mrc *s, quire_vm id)
{
    uint32_t index = (uint32_t)id;
    struct vm *v = calloc(1, sizeof *v);
    v->id = id;
    v->m = s->ept->vm_bytes(s->ept, id) >> 12;
    v->k = (uint32_t)(s->pages && s->pages < v->m ? s->pages : v->m);
    while (1ull << 2 * v->half_bits < v->m)
        v->half_bits++;
    v->page = calloc(v->k + 1ull, sizeof *v->page);
    v->group = calloc(GROUPS, sizeof *v->group);
    for (uint64_t reach = 0, size = s->group_pages; reach < v->k; v->n_groups++) {
        v->group[v->n_groups].size = v->n_groups == GROUPS - 1 ? v->k : size;
        reach += v->group[v->n_groups].size;
        size += (size * s->group_growth + 999999) / 1000000;
    }
    if (index >= s->n_vms) {
        s->vm = realloc(s->vm, (index + 1) * sizeof(struct vm *));
        while (s->n_vms <= index)
            s->vm[s->n_vms++] = NULL;
    }
    s->vm[index] = v;
    empty(s, v);
    s->core->charge(s->core, 1000);
    if (s->delay)
        v->timer[0] = s->core->timer_start(s->core, s->delay / (WHEEL - 1) + 1, s->delay / (WHEEL - 1) + 1, 0, index);
    if (s->epoch)
        v->timer[1] = s->core->timer_start(s->core, s->epoch, s->epoch, 0, index | 1ull << 32);
}

static void destroy(struct mrc *s, struct vm *v)
{
    if (s->delay)
        count_hidden(s, v);
    emit(s, v);
    s->core->count(s->core, "faults", v->accesses + v->walks);
    s->core->count(s->core, "cold_accesses", v->cold);
    s->core->count(s->core, "late_accesses", v->late);
    s->core->count(s->core, "walker_faults", v->walks);
    s->core->count(s->core, "retraced_pages", v->retraced);
    s->core->count(s->core, "shootdowns", v->flushes);
    for (uint32_t i = 0; i < 2; i++)
        if (v->timer[i])
            s->core->timer_stop(s->core, v->timer[i]);
    s->vm[(uint32_t)v->id] = NULL;
    free(v->page);
    free(v->group);
    free(v);
}

/* Sampled pages of a new mapping join, those of a lost one leave; a large leaf without any stays whole. */
static void remapped(struct mrc *s, struct vm *v, const struct quire_vm_event *e)
{
    for (uint64_t i = 0; i < 1ull << 9 * e->level; i++) {
        uint64_t slot = slot_of(v, e->gpa + (i << 12));
        if (slot < v->k && e->what == QUIRE_VM_MAPPED)
            join(s, v, (uint32_t)slot, e->level, FRESH);
        else if (slot < v->k)
            leave(v, (uint32_t)slot);
    }
}

static void vm_event(void *self, const struct quire_vm_event *e)
{
    struct mrc *s = self;
    struct vm *v = (uint32_t)e->vm < s->n_vms ? s->vm[(uint32_t)e->vm] : NULL;
    if (e->what == QUIRE_VM_CREATED)
        create(s, e->vm);
    else if (e->what == QUIRE_VM_DESTROYED)
        destroy(s, v);
    else if (e->what == QUIRE_VM_MAPPED || e->what == QUIRE_VM_UNMAPPED)
        remapped(s, v, e);
}

static void timer(void *self, quire_timer t, uint64_t cookie, uint64_t now_ps)
{
    struct mrc *s = self;
    struct vm *v = s->vm[(uint32_t)cookie];
    (void)t, (void)now_ps;
    if (v == NULL)
        return;
    if (cookie >> 32)
        end_epoch(s, v);
    else
        retrace(s, v);
}

static void fini(void *self)
{
    struct mrc *s = self;
    for (uint32_t i = 0; i < s->n_vms; i++)
        if (s->vm[i] != NULL) {
            free(s->vm[i]->page);
            free(s->vm[i]->group);
            free(s->vm[i]);
        }
    free(s->vm);
    free(s);
}

static void vm_state(void *self, void *thing, const struct quire_state *c)
{
    (void)self;
    struct vm *v = thing;
    struct vm flat = *v;
    flat.page = NULL;
    flat.group = NULL;
    c->bytes(c, &flat, sizeof flat);
    flat.k = (uint32_t)c->count(c, flat.k, 1u << 31);
    if (c->is_loading)
        *v = flat;
    quire_state_memory(c, &v->page, (v->k + 1ull) * sizeof *v->page);
    quire_state_memory(c, &v->group, GROUPS * sizeof *v->group);
}

static int32_t state(void *self, const struct quire_state *c)
{
    struct mrc *s = self;
    quire_state_things(c, &s->vm, &s->n_vms, sizeof(struct vm), s, vm_state);
    return QUIRE_OK;
}

static int32_t init(const struct quire_host *h, void **self, const char **why)
{
    struct mrc *s = calloc(1, sizeof *s);
    *self = s;
    if (h->claim(h, QUIRE_ROLE_TRACE) < 0) {
        *why = "another policy sets traces already";
        return QUIRE_E_DENIED;
    }
    s->core = h->service(h, "quire.core/1");
    s->ept = h->service(h, "quire.ept/1");
    s->pages = s->core->option(s->core, "pages");
    s->delay = s->core->option(s->core, "delay");
    s->epoch = s->core->option(s->core, "epoch");
    s->resample = s->core->option(s->core, "resample");
    s->group_pages = s->core->option(s->core, "group_pages");
    s->group_growth = s->core->option(s->core, "group_growth");
    s->use_counter = s->core->option(s->core, "counter");
    s->pmu = h->service(h, "quire.pmu/1");
    if (s->use_counter && s->pmu == NULL) {
        *why = "the host has no quire.pmu/1, which counter = true needs";
        return QUIRE_E_NOENT;
    }
    return QUIRE_OK;
}

static const struct quire_option options[] = {
    QUIRE_OPTION(UINT, "pages", "0", "size of the random sample; 0: every page of the VM", .max = 1u << 31),
    QUIRE_OPTION(TIME, "delay", "10ms", "a page stays untraced this long after a fault; 0ms: no access is missed"),
    QUIRE_OPTION(UINT, "group_pages", "1", "size of the first group", .min = 1, .max = 1u << 31),
    QUIRE_OPTION(RATIO, "group_growth", "12.5%", "by how much each group is larger than the one before",
                 .max = 10000000),
    QUIRE_OPTION(BOOL, "counter", "true", "accesses that were not seen are counted by a performance counter"),
    QUIRE_OPTION(TIME, "epoch", "0s", "the curve is written and its past halved this often; 0s: once, at the end"),
    QUIRE_OPTION(BOOL, "resample", "false", "each epoch begins with a new sample"),
};
static const struct quire_hooks hooks = {
    .size = sizeof hooks, .fini = fini, .vm_event = vm_event, .fault = fault, .timer = timer, .state = state};

QUIRE_POLICY(.name = "mrc", .roles = QUIRE_ROLE_TRACE, QUIRE_OPTIONS(options), .hooks = &hooks, .init = init,
             .help = "The miss-rate curve of each VM, observed by tracing a sample of its pages.")

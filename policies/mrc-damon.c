/* SPDX-License-Identifier: MIT */
/* mrc-damon: the miss-rate curve of a running VM, observed by sampling regions of its memory, in the manner of Linux's
 * DAMON (design: Documentation/mm/damon/design.rst; constants: mm/damon/core.c).
 *
 * Regions partition the guest-physical addresses. Each sampling interval one random page stands for its region: its A
 * bit is cleared, and looked at one interval later. After n = samples intervals, neighbours whose counts differ by at
 * most a tenth of the largest count are merged, up to 1 / min_regions of the memory; the counts go into the curve and
 * begin anew; and each region is split in two at random, or three when their number stands still, as long as that keeps
 * to max_regions. The price is that of min..max regions, however large the VM.
 *
 * A region of u mapped pages that was seen in k intervals of n has p = k / n * pages / u, the chance that one of its
 * mapped pages is used in an interval. So n * u * p uses, of which f = u * (1 - (1 - p)^n) are a page's first in the
 * aggregation; and W(g), the sum of u * (1 - (1 - p)^g) over all regions, is how many pages are used in g intervals.
 *  - A first use comes after the time for which the region was idle. With A mapped pages in regions idle for less, B in
 *    those idle for as long, and C = the f of the others, its distance is in A + 1 .. A + B + C, evenly. Pages that
 *    were mapped since the last aggregation are cold instead.
 *  - The next uses: (n - g) * u * p^2 * (1 - p)^(g - 1) of them come g intervals after the one before, when between
 *    W(g - 1) + 1 and W(g + 1) pages were used, evenly.
 *  - counter: what the VM retired beyond these came more than once in an interval. Nothing tells more; it is spread
 * over 1 .. W(1) in proportion to 1 / distance, so that every doubling of the memory catches as many. */
#include <quire/policy.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MAX    4096u /* aggregations; longer is as long */
#define SAMPLES_MAX 1000u

struct region {
    uint64_t first, pages;  /* guest-physical pages */
    uint64_t mapped, fresh; /* of these; mapped since the last aggregation */
    uint64_t sample;        /* page under watch */
    double seen;            /* intervals of this aggregation in which it was used; merged regions have the mean */
    uint32_t idle;          /* aggregations since it was last seen */
};

struct vm {
    quire_vm id;
    quire_timer timer[2]; /* of the looks and of the epochs; 0: none */
    uint64_t m, key, counter;
    uint64_t *is_mapped, *is_fresh; /* bitmaps over pages */
    struct region *region, *spare;  /* [max_regions] each */
    uint32_t n_regions, last_n;     /* last_n: before the last split */
    uint32_t n_checks;              /* intervals of this aggregation so far */
    double again[IDLE_MAX + 1];     /* of one aggregation: first uses of pages that were used before, by idle time */
    double mass[IDLE_MAX + 1];      /* and mapped pages */
    double used[SAMPLES_MAX + 2];   /* W */
    double repeat[SAMPLES_MAX + 1]; /* next uses by interval */
    double *rise, *near; /* [reach + 2]: hits at distance d are the sum of rise[0..d], and that of near[0..d] / d */
    uint64_t reach;
    double total, uses; /* accesses of the curve; of this aggregation */
    uint64_t n_new;     /* leaves mapped since the last aggregation */
    uint64_t n_cold, n_checked, n_aggregations, n_flushes, n_epochs, n_splits, n_merges, n_peak;
};

struct damon {
    const struct quire_core *core;
    const struct quire_ept *ept;
    const struct quire_pmu *pmu;
    uint64_t sample, n, min, max, epoch, use_counter, flush;
    uint32_t n_vms;
    struct vm **vm; /* by the VM's index */
};

/* ---- the distances ----------------------------------------------------------------------------------------------- */

static void reach_to(struct vm *v, uint64_t distance)
{
    if (distance <= v->reach)
        return;
    uint64_t reach = distance + distance / 2;
    v->rise = realloc(v->rise, (reach + 2) * sizeof *v->rise);
    memset(&v->rise[v->reach + 2], 0, (reach - v->reach) * sizeof *v->rise);
    v->near = realloc(v->near, (reach + 2) * sizeof *v->near);
    memset(&v->near[v->reach + 2], 0, (reach - v->reach) * sizeof *v->near);
    v->reach = reach;
}

/* Hits at distances 1..last, in proportion to 1 / distance. */
static void spread_near(struct vm *v, double hits, uint64_t last)
{
    double sum = 0;
    for (uint64_t d = last; d > 0; d--)
        sum += 1 / (double)d;
    reach_to(v, last);
    v->near[1] += hits / sum;
    v->near[last + 1] -= hits / sum;
    v->total += hits;
}

/* Hits evenly over the distances above low, up to high. */
static void spread(struct vm *v, double hits, double low, double high)
{
    uint64_t first = (uint64_t)(low + 1e-9) + 1, last = (uint64_t)ceil(high - 1e-9);
    last = last < first ? first : last;
    double each = hits / (double)(last - first + 1);
    reach_to(v, last);
    v->rise[first] += each;
    v->rise[last + 1] -= each;
    v->total += hits;
    v->uses += hits;
}

/* ---- regions ----------------------------------------------------------------------------------------------------- */

/* Below n: splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t below(struct vm *v, uint64_t n)
{
    uint64_t x = v->key += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return (uint64_t)((unsigned __int128)(x ^ x >> 31) * n >> 64);
}

static void begin_regions(struct damon *s, struct vm *v)
{
    uint64_t n = s->min < v->m ? s->min : v->m;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t first = i * v->m / n;
        v->region[v->n_regions++] = (struct region){.first = first, .pages = (i + 1) * v->m / n - first};
    }
}

/* Takes b, which begins where a ends, into a. */
static void join(struct region *a, const struct region *b)
{
    uint64_t sum = a->pages + b->pages;
    a->seen = (a->seen * (double)a->pages + b->seen * (double)b->pages) / (double)sum;
    a->idle = (uint32_t)((a->idle * a->pages + b->idle * b->pages + sum / 2) / sum);
    a->pages = sum;
}

static void merge(struct damon *s, struct vm *v)
{
    double most = 0;
    uint64_t limit = v->m / s->min;
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_regions; i++)
        most = v->region[i].seen > most ? v->region[i].seen : most;
    for (uint32_t i = 1; i < v->n_regions; i++) {
        struct region *a = &v->region[n], *b = &v->region[i];
        if (fabs(a->seen - b->seen) <= floor(most / 10) && a->pages + b->pages <= limit) {
            join(a, b);
            v->n_merges++;
        } else {
            v->region[++n] = *b;
        }
    }
    v->n_regions = n + 1;
}

static void split(struct damon *s, struct vm *v)
{
    uint32_t n = 0, parts = v->last_n == v->n_regions && v->n_regions < s->max / 3 ? 3 : 2;
    v->last_n = v->n_regions;
    if (v->n_regions > s->max / 2)
        return;
    for (uint32_t i = 0; i < v->n_regions; i++) {
        struct region r = v->region[i];
        for (uint32_t k = 1; k < parts; k++) {
            uint64_t pages = r.pages * (1 + below(v, 9)) / 10;
            if (pages == 0 || pages == r.pages)
                continue;
            v->spare[n] = r;
            v->spare[n++].pages = pages;
            r.first += pages;
            r.pages -= pages;
            v->n_splits++;
        }
        v->spare[n++] = r;
    }
    struct region *t = v->region;
    v->region = v->spare;
    v->spare = t;
    v->n_regions = n;
    v->n_peak = n > v->n_peak ? n : v->n_peak;
}

/* ---- one aggregation --------------------------------------------------------------------------------------------- */

/* Bits set among n from first on. */
static uint64_t bits_in(const uint64_t *map, uint64_t first, uint64_t n)
{
    uint64_t sum = 0;
    while (n > 0) {
        uint64_t at = first & 63, take = 64 - at < n ? 64 - at : n;
        uint64_t mask = take == 64 ? ~0ull : ((1ull << take) - 1) << at;
        sum += (uint64_t)__builtin_popcountll(map[first >> 6] & mask);
        first += take;
        n -= take;
    }
    return sum;
}

/* What one region adds to the sums of the aggregation. */
static void add_up(struct vm *v, struct region *r)
{
    r->mapped = bits_in(v->is_mapped, r->first, r->pages);
    r->fresh = bits_in(v->is_fresh, r->first, r->pages);
    v->mass[r->idle] += (double)(r->mapped - r->fresh);
    if (r->seen <= 0 || r->mapped == 0)
        return;
    uint32_t n = v->n_checks;
    double u = (double)r->mapped, p = r->seen / n * (double)r->pages / u, left = 1;
    p = p < 1 ? p : 1;
    for (uint32_t g = 1; g <= n; g++) {
        v->repeat[g] += (n - g) * u * p * p * left;
        left *= 1 - p;
        v->used[g] += u * (1 - left);
    }
    v->used[n + 1] = v->used[n];
    double first_uses = u * (1 - left) - (double)r->fresh;
    v->again[r->idle] += first_uses > 0 ? first_uses : 0;
}

static void book(struct vm *v, double fresh)
{
    double newer = 0, older = fresh;
    for (uint32_t i = 0; i <= IDLE_MAX; i++)
        older += v->again[i];
    for (uint32_t i = 0; i <= IDLE_MAX; i++) {
        older -= v->again[i];
        if (v->again[i] > 0)
            spread(v, v->again[i], newer, newer + v->mass[i] + older);
        newer += v->mass[i];
    }
    for (uint32_t g = 1; g < v->n_checks; g++)
        if (v->repeat[g] > 0)
            spread(v, v->repeat[g], v->used[g - 1], v->used[g + 1]);
}

static void count_hidden(struct damon *s, struct vm *v)
{
    const uint32_t all = QUIRE_ACCESS_READ | QUIRE_ACCESS_WRITE | QUIRE_ACCESS_EXEC;
    uint64_t now = s->use_counter ? s->pmu->retired(s->pmu, v->id, all) : 0;
    if (now <= v->counter)
        return;
    double hidden = (double)(now - v->counter) - v->uses;
    if (hidden > 0)
        spread_near(v, hidden, v->used[1] > 1 ? (uint64_t)ceil(v->used[1]) : 1);
    v->counter = now;
}

static void account(struct damon *s, struct vm *v)
{
    double fresh = 0;
    memset(v->again, 0, sizeof v->again);
    memset(v->mass, 0, sizeof v->mass);
    memset(v->used, 0, (v->n_checks + 2) * sizeof v->used[0]);
    memset(v->repeat, 0, (v->n_checks + 1) * sizeof v->repeat[0]);
    v->uses = (double)v->n_new;
    v->total += (double)v->n_new;
    v->n_cold += v->n_new;
    v->n_new = 0;
    for (uint32_t i = 0; i < v->n_regions; i++) {
        add_up(v, &v->region[i]);
        fresh += (double)v->region[i].fresh;
    }
    book(v, fresh);
    count_hidden(s, v);
    memset(v->is_fresh, 0, (v->m / 64 + 1) * sizeof *v->is_fresh);
    v->n_aggregations++;
    s->core->charge(s->core, 200 + v->n_regions * (50 + 10 * (uint64_t)v->n_checks));
}

static void aggregate(struct damon *s, struct vm *v)
{
    merge(s, v);
    account(s, v);
    for (uint32_t i = 0; i < v->n_regions; i++) {
        struct region *r = &v->region[i];
        r->idle = r->seen > 0 || r->fresh ? 0 : r->idle + (r->idle < IDLE_MAX);
        r->seen = 0;
    }
    v->n_checks = 0;
    split(s, v);
}

/* ---- sampling ---------------------------------------------------------------------------------------------------- */

/* Was the page under watch used? */
static void check(struct damon *s, struct vm *v)
{
    struct quire_leaf leaf;
    for (uint32_t i = 0; i < v->n_regions; i++) {
        struct region *r = &v->region[i];
        int32_t answer = s->ept->query(s->ept, v->id, r->sample << 12, &leaf);
        if (answer == QUIRE_E_BUDGET)
            return;
        r->seen += answer == QUIRE_OK && leaf.bits & QUIRE_LEAF_ACCESSED;
    }
    v->n_checks++;
    v->n_checked += v->n_regions;
}

/* Puts a new page of each region under watch. */
static void prepare(struct damon *s, struct vm *v)
{
    struct quire_leaf leaf;
    bool was_cleared = false;
    for (uint32_t i = 0; i < v->n_regions; i++) {
        struct region *r = &v->region[i];
        r->sample = r->first + below(v, r->pages);
        int32_t answer = s->ept->query(s->ept, v->id, r->sample << 12, &leaf);
        if (answer == QUIRE_E_BUDGET)
            return;
        if (answer != QUIRE_OK || !(leaf.bits & QUIRE_LEAF_ACCESSED))
            continue;
        uint64_t cursor = leaf.gpa;
        was_cleared |= s->ept->scan(s->ept, v->id, &cursor, QUIRE_SCAN_CLEAR_A, &leaf, 1) == 1;
    }
    s->core->charge(s->core, 50 + 30 * (uint64_t)v->n_regions);
    if (!was_cleared || !s->flush)
        return;
    s->ept->flush(s->ept, v->id);
    v->n_flushes++;
}

/* ---- the curve --------------------------------------------------------------------------------------------------- */

static void emit(struct damon *s, struct vm *v)
{
    char label[96];
    double misses = v->total, at = 0, near = 0, total = v->total > 0 ? v->total : 1;
    uint64_t top = bits_in(v->is_mapped, 0, v->m), size = 0;
    snprintf(label, sizeof label, s->epoch ? "%s observed epoch %u" : "%s observed", s->core->vm_name(s->core, v->id),
             (unsigned)v->n_epochs);
    s->core->series(s->core, "mrc_observed_misses", label, "pages", 0, misses);
    s->core->series(s->core, "miss_ratio", label, "pages", 0, v->total > 0);
    while (size < top) {
        uint64_t next = size + 1 + size / 16;
        for (next = next < top ? next : top; size < next;) {
            if (++size > v->reach)
                continue;
            at += v->rise[size];
            near += v->near[size];
            misses -= at + near / (double)size;
        }
        double ratio = misses / total;
        s->core->series(s->core, "miss_ratio", label, "pages", (double)size, ratio > 0 ? ratio : 0);
    }
}

/* Halves the past, so that the curve follows a changing workload. */
static void end_epoch(struct damon *s, struct vm *v)
{
    emit(s, v);
    v->n_epochs++;
    v->total /= 2;
    for (uint64_t i = 0; i < v->reach + 2; i++)
        v->rise[i] /= 2, v->near[i] /= 2;
    s->core->charge(s->core, v->reach);
}

/* ---- a VM comes and goes ----------------------------------------------------------------------------------------- */

static void create(struct damon *s, const struct quire_vm_event *e)
{
    uint32_t index = (uint32_t)e->vm;
    struct vm *v = calloc(1, sizeof *v);
    v->id = e->vm;
    v->m = s->ept->vm_bytes(s->ept, e->vm) >> 12;
    v->key = s->core->random(s->core, "regions", 1ull << 62);
    v->is_mapped = calloc(v->m / 64 + 1, sizeof *v->is_mapped);
    v->is_fresh = calloc(v->m / 64 + 1, sizeof *v->is_fresh);
    v->region = calloc(s->max, sizeof *v->region);
    v->spare = calloc(s->max, sizeof *v->spare);
    v->rise = calloc(2, sizeof *v->rise);
    v->near = calloc(2, sizeof *v->near);
    if (index >= s->n_vms) {
        s->vm = realloc(s->vm, (index + 1) * sizeof(struct vm *));
        while (s->n_vms <= index)
            s->vm[s->n_vms++] = NULL;
    }
    s->vm[index] = v;
    s->core->charge(s->core, 1000);
    begin_regions(s, v);
    v->n_peak = v->n_regions;
    v->timer[0] = s->core->timer_start(s->core, s->sample, s->sample, e->cpu, index);
    if (s->epoch)
        v->timer[1] = s->core->timer_start(s->core, s->epoch, s->epoch, e->cpu, index | 1ull << 32);
    prepare(s, v);
}

static void release(struct vm *v)
{
    free(v->is_mapped);
    free(v->is_fresh);
    free(v->region);
    free(v->spare);
    free(v->rise);
    free(v->near);
    free(v);
}

static void destroy(struct damon *s, struct vm *v)
{
    if (v->n_checks > 0)
        aggregate(s, v);
    emit(s, v);
    s->core->count(s->core, "aggregations", v->n_aggregations);
    s->core->count(s->core, "checked_pages", v->n_checked);
    s->core->count(s->core, "peak_regions", v->n_peak);
    s->core->count(s->core, "region_splits", v->n_splits);
    s->core->count(s->core, "region_merges", v->n_merges);
    s->core->count(s->core, "cold_accesses", v->n_cold);
    s->core->count(s->core, "shootdowns", v->n_flushes);
    for (uint32_t i = 0; i < 2; i++)
        if (v->timer[i])
            s->core->timer_stop(s->core, v->timer[i]);
    s->vm[(uint32_t)v->id] = NULL;
    release(v);
}

static void remapped(struct damon *s, struct vm *v, const struct quire_vm_event *e)
{
    uint64_t end = (e->gpa >> 12) + (1ull << 9 * e->level);
    for (uint64_t i = e->gpa >> 12; i < end && i < v->m; i++) {
        uint64_t bit = 1ull << (i & 63), on = e->what == QUIRE_VM_MAPPED ? bit : 0;
        v->is_mapped[i >> 6] = (v->is_mapped[i >> 6] & ~bit) | on;
        v->is_fresh[i >> 6] = (v->is_fresh[i >> 6] & ~bit) | on;
    }
    v->n_new += e->what == QUIRE_VM_MAPPED;
    s->core->charge(s->core, 20);
}

static void vm_event(void *self, const struct quire_vm_event *e)
{
    struct damon *s = self;
    struct vm *v = (uint32_t)e->vm < s->n_vms ? s->vm[(uint32_t)e->vm] : NULL;
    if (e->what == QUIRE_VM_CREATED)
        create(s, e);
    else if (e->what == QUIRE_VM_DESTROYED)
        destroy(s, v);
    else if (e->what == QUIRE_VM_MAPPED || e->what == QUIRE_VM_UNMAPPED)
        remapped(s, v, e);
}

static void timer(void *self, quire_timer t, uint64_t cookie, uint64_t now_ps)
{
    struct damon *s = self;
    struct vm *v = s->vm[(uint32_t)cookie];
    (void)t, (void)now_ps;
    if (v == NULL)
        return;
    if (cookie >> 32) {
        end_epoch(s, v);
        return;
    }
    check(s, v);
    if (v->n_checks >= s->n)
        aggregate(s, v);
    prepare(s, v);
}

static void fini(void *self)
{
    struct damon *s = self;
    for (uint32_t i = 0; i < s->n_vms; i++)
        if (s->vm[i] != NULL)
            release(s->vm[i]);
    free(s->vm);
    free(s);
}

static void vm_state(void *self, void *thing, const struct quire_state *c)
{
    const struct damon *s = self;
    struct vm *v = thing;
    struct vm flat = *v;
    flat.is_mapped = flat.is_fresh = NULL;
    flat.region = flat.spare = NULL;
    flat.rise = flat.near = NULL;
    c->bytes(c, &flat, sizeof flat);
    flat.m = c->count(c, flat.m, 1ull << 36);
    flat.reach = c->count(c, flat.reach, 1ull << 36);
    if (c->is_loading)
        *v = flat;
    quire_state_memory(c, &v->is_mapped, (v->m / 64 + 1) * sizeof *v->is_mapped);
    quire_state_memory(c, &v->is_fresh, (v->m / 64 + 1) * sizeof *v->is_fresh);
    quire_state_memory(c, &v->region, s->max * sizeof *v->region);
    quire_state_memory(c, &v->spare, s->max * sizeof *v->spare);
    quire_state_memory(c, &v->rise, (v->reach + 2) * sizeof *v->rise);
    quire_state_memory(c, &v->near, (v->reach + 2) * sizeof *v->near);
}

static int32_t state(void *self, const struct quire_state *c)
{
    struct damon *s = self;
    quire_state_things(c, &s->vm, &s->n_vms, sizeof(struct vm), s, vm_state);
    return QUIRE_OK;
}

static int32_t init(const struct quire_host *h, void **self, const char **why)
{
    struct damon *s = calloc(1, sizeof *s);
    *self = s;
    if (h->claim(h, QUIRE_ROLE_TRACE) < 0) {
        *why = "another policy watches the nested page tables already";
        return QUIRE_E_DENIED;
    }
    s->core = h->service(h, "quire.core/1");
    s->ept = h->service(h, "quire.ept/1");
    s->pmu = h->service(h, "quire.pmu/1");
    s->sample = s->core->option(s->core, "sample");
    s->n = s->core->option(s->core, "samples");
    s->min = s->core->option(s->core, "min_regions");
    s->max = s->core->option(s->core, "max_regions");
    s->flush = s->core->option(s->core, "flush");
    s->epoch = s->core->option(s->core, "epoch");
    s->use_counter = s->core->option(s->core, "counter");
    if (s->min > s->max) {
        *why = "min_regions is above max_regions";
        return QUIRE_E_INVAL;
    }
    if (s->use_counter && s->pmu == NULL) {
        *why = "the host has no quire.pmu/1, which counter = true needs";
        return QUIRE_E_NOENT;
    }
    return QUIRE_OK;
}

/* Defaults are DAMON's: 5 ms, 100 ms, 10 to 1000 regions. */
static const struct quire_option options[] = {
    QUIRE_OPTION(TIME, "sample", "5ms", "sampling interval: one page of each region is looked at", .min = 1000000),
    QUIRE_OPTION(UINT, "samples", "20", "sampling intervals of an aggregation", .min = 1, .max = SAMPLES_MAX),
    QUIRE_OPTION(UINT, "min_regions", "10", "no region grows beyond that part of the memory", .min = 1,
                 .max = 1u << 16),
    QUIRE_OPTION(UINT, "max_regions", "1000", "regions are split until there are that many", .min = 1, .max = 1u << 16),
    QUIRE_OPTION(BOOL, "flush", "true", "translations are shot down after clearing; false: as Linux does"),
    QUIRE_OPTION(BOOL, "counter", "true", "accesses that were not seen are counted by a performance counter"),
    QUIRE_OPTION(TIME, "epoch", "0s", "the curve is written and its past halved this often; 0s: once, at the end"),
};
static const struct quire_hooks hooks = {
    .size = sizeof hooks, .fini = fini, .vm_event = vm_event, .timer = timer, .state = state};
QUIRE_POLICY(.name = "mrc-damon", .roles = QUIRE_ROLE_TRACE, QUIRE_OPTIONS(options), .hooks = &hooks, .init = init,
             .help = "The miss-rate curve of each VM, from the accessed bits of pages that stand for regions.")

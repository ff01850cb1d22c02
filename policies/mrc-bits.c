/* SPDX-License-Identifier: MIT */
/* mrc-bits: the miss-rate curve of a running VM, observed through the accessed or dirty bits of its nested page tables.
 *
 * At the end of each period the policy collects the pages that were used in it. see = accessed or dirty: it scans all
 * leaves and clears the bit. see = log: it drains the page-modification log and clears the D bits of the pages in it,
 * so that they are logged again. Then it shoots the translations down, for a CPU sets a bit only when it walks. dirty
 * and log see writes only: theirs is the curve of the writes.
 *
 * A page's generation is the period in which it was last seen. Let a page of generation g be seen again, A pages be of
 * newer generations, B of its own (itself among them), and let C of the pages seen now be of none of these. Between its
 * two uses all of the A were used and nothing but the A + B + C, so its stack distance is in A + 1 .. A + B + C; the
 * hit is spread evenly over these. With one access a period that is one number, and the curve is Mattson's. The first
 * use of a page is cold.
 *
 * A page is seen once a period, however often it is used. counter = true reads how many accesses the VM retired: of the
 * N of a period in which n pages were seen, the other N - n found their page among these n. Nothing tells more; they
 * are spread over the distances 1 .. n in proportion to 1 / distance, so that every doubling of the memory catches as
 * many. Without it they are missing, and the miss ratio is that of the accesses that were seen.
 *
 * bursts = b finds out more: after each long look of a period come short ones of period / 4^b, ..., period / 4. If
 * looks of N1 and N2 accesses see n1 and n2 pages in the mean, the miss ratio at (n1 + n2) / 2 pages is (n2 - n1) / (N2
 * - N1), as the working set grows by the misses (Denning, Schwartz 1972). What long looks have hidden is spread in that
 * shape, linear in the logarithm of the size between these points. A look shorter than the reading of the bits sees
 * nothing.
 *
 * The walker sets the bits of guest page-table pages as well (SDM volume 3, 29.3.5): they are seen like any others. */
#include <quire/policy.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH      512
#define BURSTS_MAX 8u
#define LEAST      1000000u /* ps between two looks */

enum { SEE_ACCESSED, SEE_DIRTY, SEE_LOG };

struct generation {
    uint32_t id;   /* number of its period, from 1 on */
    uint64_t size; /* 4 KiB pages in it */
    uint64_t seen; /* of those, seen again in the period that ends */
    uint64_t hits; /* leaves that these are */
};

/* All looks of one length. */
struct scale {
    double accesses, pages, looks; /* sums, aged */
};

struct vm {
    quire_vm id;
    uint32_t cpu;         /* on which looks run */
    quire_timer timer[2]; /* of the looks and of the epochs; 0: none */
    uint64_t m;           /* guest-physical pages */
    uint32_t *last;       /* [m]: generation of the leaf that begins there, 0: never seen */
    uint8_t *level;       /* [m]: level of the leaf that was seen there */
    uint32_t n_gens, cap_gens, period;
    struct generation *gen; /* that have pages; oldest first */
    uint64_t *seen;         /* first pages of the leaves seen in the period that ends */
    uint64_t n_seen, cap_seen;
    double *rise, *near; /* [reach + 2]: hits at distance d are the sum of rise[0..d], and that of near[0..d] / d */
    uint64_t reach;
    uint32_t step;                      /* of the bursts: 0 is the long look, then the shortest, up to the longest */
    struct scale scale[BURSTS_MAX + 1]; /* [0] the long look, [k] a look of period / 4^k */
    double hidden;                      /* accesses not seen in long looks that bursts explain, aged */
    double cold, total;                 /* aged like the hits */
    uint64_t counter;                   /* at the end of the last period */
    uint64_t n_cold, n_uses, n_leaves, n_flushes, n_epochs, n_counted;
};

struct bits {
    const struct quire_core *core;
    const struct quire_ept *ept;
    const struct quire_pmu *pmu;
    uint64_t see, period, epoch, use_counter, split, bursts;
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

/* Hits evenly over the distances first..last. */
static void spread(struct vm *v, double hits, uint64_t first, uint64_t last)
{
    double each = hits / (double)(last - first + 1);
    reach_to(v, last);
    v->rise[first] += each;
    v->rise[last + 1] -= each;
    v->total += hits;
}

/* ---- generations ------------------------------------------------------------------------------------------------- */

static struct generation *gen_of(const struct vm *v, uint32_t id)
{
    uint32_t low = 0, high = v->n_gens;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (v->gen[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return &v->gen[low];
}

/* The leaf was used in the period that ends. */
static void see(struct vm *v, const struct quire_leaf *leaf)
{
    uint64_t page = leaf->gpa >> 12;
    if (v->last[page] == v->period)
        return;
    if (v->n_seen == v->cap_seen)
        v->seen = realloc(v->seen, (v->cap_seen = v->cap_seen ? 2 * v->cap_seen : 256) * sizeof *v->seen);
    v->seen[v->n_seen++] = page;
    if (v->last[page]) {
        struct generation *g = gen_of(v, v->last[page]);
        g->seen += 1ull << 9 * v->level[page];
        g->hits++;
    } else {
        v->n_cold++;
        v->cold++;
        v->total++;
    }
    v->last[page] = v->period;
    v->level[page] = (uint8_t)leaf->level;
}

/* Books the hits of the period, then the pages seen make up the newest generation. Answers how many pages they are. */
static uint64_t turn_over(struct vm *v)
{
    uint64_t pages = 0, older = 0, newer = 0;
    uint32_t n = 0;
    for (uint64_t i = 0; i < v->n_seen; i++)
        pages += 1ull << 9 * v->level[v->seen[i]];
    for (uint32_t i = 0; i < v->n_gens; i++) {
        newer += v->gen[i].size;
        older += v->gen[i].seen;
    }
    older = pages > older ? pages - older : 0; /* seen for the first time; then also those of generations passed */
    for (uint32_t i = 0; i < v->n_gens; i++) {
        struct generation *g = &v->gen[i];
        newer -= g->size;
        if (g->hits)
            spread(v, (double)g->hits, newer + 1, newer + g->size + older);
        older += g->seen;
        g->size -= g->seen;
        g->seen = g->hits = 0;
        if (g->size)
            v->gen[n++] = *g;
    }
    v->n_gens = n;
    if (n == v->cap_gens)
        v->gen = realloc(v->gen, (v->cap_gens = n ? 2 * n : 64) * sizeof *v->gen);
    if (pages)
        v->gen[v->n_gens++] = (struct generation){.id = v->period, .size = pages};
    v->n_uses += v->n_seen;
    return pages;
}

/* The leaf lost its frame. */
static void forget(struct vm *v, uint64_t page, uint32_t level)
{
    for (uint64_t i = page; i < page + (1ull << 9 * level); i++)
        if (v->last[i]) {
            gen_of(v, v->last[i])->size -= 1ull << 9 * v->level[i];
            v->last[i] = 0;
        }
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

static void scan(struct bits *s, struct vm *v)
{
    struct quire_leaf leaf[BATCH];
    uint32_t bit = s->see == SEE_ACCESSED ? QUIRE_LEAF_ACCESSED : QUIRE_LEAF_DIRTY;
    uint32_t clear = s->see == SEE_ACCESSED ? QUIRE_SCAN_CLEAR_A : QUIRE_SCAN_CLEAR_D;
    uint64_t cursor = 0;
    for (int32_t n; (n = s->ept->scan(s->ept, v->id, &cursor, clear, leaf, BATCH)) > 0;) {
        for (int32_t i = 0; i < n; i++)
            if (leaf[i].bits & bit)
                see(v, &leaf[i]);
        v->n_leaves += (uint64_t)n;
    }
}

/* A page that was logged may have lost its frame since, and got another; bits of its neighbours must stay. */
static void drain(struct bits *s, struct vm *v)
{
    uint64_t gpa[BATCH];
    for (int32_t n; (n = s->ept->pml_drain(s->ept, v->id, gpa, BATCH)) > 0;) {
        for (int32_t i = 0; i < n; i++) {
            struct quire_leaf leaf;
            if (s->ept->query(s->ept, v->id, gpa[i], &leaf) != QUIRE_OK || !(leaf.bits & QUIRE_LEAF_DIRTY))
                continue;
            uint64_t cursor = leaf.gpa;
            if (s->ept->scan(s->ept, v->id, &cursor, QUIRE_SCAN_CLEAR_D, &leaf, 1) != 1)
                return;
            see(v, &leaf);
        }
        v->n_leaves += (uint64_t)n;
    }
}

/* Of that many accesses the pages seen account for one each; the others were hidden. */
static void hide(struct bits *s, struct vm *v, double accesses, uint64_t pages)
{
    struct scale *scale = &v->scale[v->step ? s->bursts + 1 - v->step : 0];
    scale->accesses += accesses;
    scale->pages += (double)pages;
    scale->looks++;
    if (s->bursts && v->step == 0) {
        v->hidden += accesses - (double)v->n_seen;
        v->total += accesses - (double)v->n_seen;
    } else {
        spread_near(v, accesses - (double)v->n_seen, pages);
    }
}

/* The end of a period. */
static void collect(struct bits *s, struct vm *v)
{
    uint32_t kinds = QUIRE_ACCESS_WRITE | (s->see == SEE_ACCESSED ? QUIRE_ACCESS_READ | QUIRE_ACCESS_EXEC : 0u);
    uint64_t leaves = v->n_leaves, now;
    v->period++;
    v->n_seen = 0;
    if (s->see == SEE_LOG)
        drain(s, v);
    else
        scan(s, v);
    uint64_t pages = turn_over(v);
    if (s->use_counter && (now = s->pmu->retired(s->pmu, v->id, kinds)) > v->counter) {
        if (pages && now - v->counter > v->n_seen)
            hide(s, v, (double)(now - v->counter), pages);
        v->n_counted += now - v->counter;
        v->counter = now;
    }
    s->core->charge(s->core, 100 + 5 * (v->n_leaves - leaves) + 30 * v->n_seen + 10 * (uint64_t)v->n_gens);
}

/* ---- the curve --------------------------------------------------------------------------------------------------- */

/* The shape of the hidden accesses: the miss ratio at x[i] pages is y[i], falling; answers how many points there are.
 */
static uint32_t shape(const struct bits *s, const struct vm *v, double *x, double *y)
{
    uint32_t n = 1;
    double pages = 0, accesses = 0;
    x[0] = 0;
    y[0] = 1;
    for (uint32_t k = (uint32_t)s->bursts + 1; k-- > 0;) {
        const struct scale *c = &v->scale[k];
        if (c->looks <= 0 || c->pages / c->looks <= pages || c->accesses / c->looks <= accesses)
            continue;
        double p = c->pages / c->looks, a = c->accesses / c->looks, slope = (p - pages) / (a - accesses);
        x[n] = (p + pages) / 2;
        y[n] = slope < y[n - 1] ? slope : y[n - 1];
        n++;
        pages = p;
        accesses = a;
    }
    x[n] = pages;
    y[n] = y[n - 1];
    return n + 1;
}

/* What long looks have hidden, in that shape: hits by distance, [reach + 2]. The caller frees. */
static double *explain(struct bits *s, struct vm *v)
{
    double x[BURSTS_MAX + 3], y[BURSTS_MAX + 3], last = 1;
    uint32_t n = shape(s, v, x, y), i = 1;
    uint64_t top = (uint64_t)ceil(x[n - 1]);
    reach_to(v, top);
    double *hits = calloc(v->reach + 2, sizeof *hits), end = y[n - 1];
    for (uint64_t d = 1; d <= top && v->hidden > 0 && end < 1; d++) {
        while (i + 1 < n && (double)d > x[i])
            i++;
        double span = log1p(x[i]) - log1p(x[i - 1]), share = span > 0 ? (log1p((double)d) - log1p(x[i - 1])) / span : 1;
        double here = y[i - 1] + (y[i] - y[i - 1]) * (share < 1 ? share : 1);
        hits[d] = v->hidden * (last - here) / (1 - end);
        last = here;
    }
    return hits;
}

static void emit(struct bits *s, struct vm *v)
{
    char label[96];
    double misses = v->total, at = 0, near = 0, total = v->total > 0 ? v->total : 1;
    uint64_t top = 0, size = 0;
    double *extra = explain(s, v);
    for (uint32_t i = 0; i < v->n_gens; i++)
        top += v->gen[i].size;
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
            misses -= at + near / (double)size + extra[size];
        }
        double ratio = misses / total;
        s->core->series(s->core, "miss_ratio", label, "pages", (double)size, ratio > 0 ? ratio : 0);
    }
    free(extra);
}

/* Halves the past, so that the curve follows a changing workload. */
static void end_epoch(struct bits *s, struct vm *v)
{
    emit(s, v);
    v->n_epochs++;
    v->cold /= 2;
    v->total /= 2;
    v->hidden /= 2;
    for (uint32_t k = 0; k <= BURSTS_MAX; k++)
        v->scale[k] = (struct scale){v->scale[k].accesses / 2, v->scale[k].pages / 2, v->scale[k].looks / 2};
    for (uint64_t i = 0; v->rise && i < v->reach + 2; i++)
        v->rise[i] /= 2, v->near[i] /= 2;
    s->core->charge(s->core, v->reach);
}

/* ---- a VM comes and goes ----------------------------------------------------------------------------------------- */

static void create(struct bits *s, const struct quire_vm_event *e)
{
    uint32_t index = (uint32_t)e->vm;
    struct vm *v = calloc(1, sizeof *v);
    v->id = e->vm;
    v->cpu = e->cpu;
    v->m = s->ept->vm_bytes(s->ept, e->vm) >> 12;
    v->last = calloc(v->m + 1, sizeof *v->last);
    v->level = calloc(v->m + 1, sizeof *v->level);
    v->rise = calloc(2, sizeof *v->rise);
    v->near = calloc(2, sizeof *v->near);
    if (index >= s->n_vms) {
        s->vm = realloc(s->vm, (index + 1) * sizeof(struct vm *));
        while (s->n_vms <= index)
            s->vm[s->n_vms++] = NULL;
    }
    s->vm[index] = v;
    s->core->charge(s->core, 1000);
    if (s->see == SEE_LOG)
        s->ept->pml(s->ept, e->vm, 1);
    v->timer[0] = s->core->timer_start(s->core, s->period, s->bursts ? 0 : s->period, e->cpu, index);
    if (s->epoch)
        v->timer[1] = s->core->timer_start(s->core, s->epoch, s->epoch, e->cpu, index | 1ull << 32);
}

static void release(struct vm *v)
{
    free(v->last);
    free(v->level);
    free(v->gen);
    free(v->seen);
    free(v->rise);
    free(v->near);
    free(v);
}

static void destroy(struct bits *s, struct vm *v)
{
    collect(s, v);
    emit(s, v);
    s->core->count(s->core, "periods", v->period);
    s->core->count(s->core, "leaves", v->n_leaves);
    s->core->count(s->core, "seen_pages", v->n_uses);
    s->core->count(s->core, "cold_accesses", v->n_cold);
    s->core->count(s->core, "counted_accesses", v->n_counted);
    s->core->count(s->core, "shootdowns", v->n_flushes);
    for (uint32_t i = 0; i < 2; i++)
        if (v->timer[i])
            s->core->timer_stop(s->core, v->timer[i]);
    s->vm[(uint32_t)v->id] = NULL;
    release(v);
}

/* Large leaves are split when they come, before they are used. */
static void mapped(struct bits *s, struct vm *v, const struct quire_vm_event *e)
{
    uint64_t step = 1ull << 21, end = e->gpa + (1ull << (12 + 9 * e->level));
    s->core->charge(s->core, 20);
    if (!s->split || e->level == 0)
        return;
    if (e->level == 2 && s->ept->split(s->ept, v->id, e->gpa) < 0)
        return;
    for (uint64_t gpa = e->gpa; gpa < end; gpa += step)
        if (s->ept->split(s->ept, v->id, gpa) < 0)
            return;
}

static void vm_event(void *self, const struct quire_vm_event *e)
{
    struct bits *s = self;
    struct vm *v = (uint32_t)e->vm < s->n_vms ? s->vm[(uint32_t)e->vm] : NULL;
    if (e->what == QUIRE_VM_CREATED)
        create(s, e);
    else if (e->what == QUIRE_VM_DESTROYED)
        destroy(s, v);
    else if (e->what == QUIRE_VM_MAPPED)
        mapped(s, v, e);
    else if (e->what == QUIRE_VM_UNMAPPED)
        forget(v, e->gpa >> 12, e->level);
}

/* After a long look the shortest follows, then each one four times as long. */
static void next_look(struct bits *s, struct vm *v)
{
    v->step = v->step == s->bursts ? 0 : v->step + 1;
    uint64_t length = v->step ? s->period >> 2 * (s->bursts + 1 - v->step) : s->period;
    v->timer[0] = s->core->timer_start(s->core, length > LEAST ? length : LEAST, 0, v->cpu, (uint32_t)v->id);
}

static void timer(void *self, quire_timer t, uint64_t cookie, uint64_t now_ps)
{
    struct bits *s = self;
    struct vm *v = s->vm[(uint32_t)cookie];
    (void)t, (void)now_ps;
    if (v == NULL)
        return;
    if (cookie >> 32) {
        end_epoch(s, v);
        return;
    }
    collect(s, v);
    if (v->n_seen) { /* bits were cleared */
        s->ept->flush(s->ept, v->id);
        v->n_flushes++;
    }
    if (s->bursts)
        next_look(s, v);
}

static void fini(void *self)
{
    struct bits *s = self;
    for (uint32_t i = 0; i < s->n_vms; i++)
        if (s->vm[i] != NULL)
            release(s->vm[i]);
    free(s->vm);
    free(s);
}

static void vm_state(void *self, void *thing, const struct quire_state *c)
{
    (void)self;
    struct vm *v = thing;
    struct vm flat = *v;
    flat.last = NULL;
    flat.level = NULL;
    flat.gen = NULL;
    flat.seen = NULL;
    flat.rise = flat.near = NULL;
    c->bytes(c, &flat, sizeof flat);
    flat.m = c->count(c, flat.m, 1ull << 36);
    flat.reach = c->count(c, flat.reach, 1ull << 36);
    flat.n_gens = (uint32_t)c->count(c, flat.n_gens, UINT32_MAX);
    flat.n_seen = c->count(c, flat.n_seen, 1ull << 36);
    if (c->is_loading) {
        flat.cap_gens = flat.n_gens;
        flat.cap_seen = flat.n_seen;
        *v = flat;
    }
    quire_state_memory(c, &v->last, (v->m + 1) * sizeof *v->last);
    quire_state_memory(c, &v->level, (v->m + 1) * sizeof *v->level);
    quire_state_memory(c, &v->gen, v->n_gens * sizeof *v->gen);
    quire_state_memory(c, &v->seen, v->n_seen * sizeof *v->seen);
    quire_state_memory(c, &v->rise, (v->reach + 2) * sizeof *v->rise);
    quire_state_memory(c, &v->near, (v->reach + 2) * sizeof *v->near);
}

static int32_t state(void *self, const struct quire_state *c)
{
    struct bits *s = self;
    quire_state_things(c, &s->vm, &s->n_vms, sizeof(struct vm), s, vm_state);
    return QUIRE_OK;
}

static int32_t init(const struct quire_host *h, void **self, const char **why)
{
    struct bits *s = calloc(1, sizeof *s);
    *self = s;
    if (h->claim(h, QUIRE_ROLE_TRACE) < 0) {
        *why = "another policy watches the nested page tables already";
        return QUIRE_E_DENIED;
    }
    s->core = h->service(h, "quire.core/1");
    s->ept = h->service(h, "quire.ept/1");
    s->pmu = h->service(h, "quire.pmu/1");
    s->see = s->core->option(s->core, "see");
    s->period = s->core->option(s->core, "period");
    s->epoch = s->core->option(s->core, "epoch");
    s->split = s->core->option(s->core, "split");
    s->use_counter = s->core->option(s->core, "counter");
    s->bursts = s->core->option(s->core, "bursts");
    if (s->use_counter && s->pmu == NULL) {
        *why = "the host has no quire.pmu/1, which counter = true needs";
        return QUIRE_E_NOENT;
    }
    return QUIRE_OK;
}

static const char *const sources[] = {"accessed", "dirty", "log", NULL};
static const struct quire_option options[] = {
    QUIRE_OPTION(WORD, "see", "accessed", "accessed bits, dirty bits or the page-modification log", .words = sources),
    QUIRE_OPTION(TIME, "period", "10ms", "the bits are read and cleared this often", .min = LEAST),
    QUIRE_OPTION(BOOL, "counter", "true", "accesses that were not seen are counted by a performance counter"),
    QUIRE_OPTION(UINT, "bursts", "0", "short looks after each long one: period / 4^bursts, ..., period / 4",
                 .max = BURSTS_MAX),
    QUIRE_OPTION(BOOL, "split", "true", "large nested pages are split, so that the bits are those of 4 KiB pages"),
    QUIRE_OPTION(TIME, "epoch", "0s", "the curve is written and its past halved this often; 0s: once, at the end"),
};
static const struct quire_hooks hooks = {
    .size = sizeof hooks, .fini = fini, .vm_event = vm_event, .timer = timer, .state = state};
QUIRE_POLICY(.name = "mrc-bits", .roles = QUIRE_ROLE_TRACE, QUIRE_OPTIONS(options), .hooks = &hooks, .init = init,
             .help = "The miss-rate curve of each VM, from the accessed or dirty bits of its nested page tables.")

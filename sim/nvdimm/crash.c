/* SPDX-License-Identifier: MIT */
#include "sim/nvdimm/crash.h"

#include <stdlib.h>
#include <string.h>

/* ---- the log ---- */

void crash_log_fini(struct crash_log *l)
{
    free(l->event);
    *l = (struct crash_log){0};
}

void crash_log_add(struct crash_log *l, const struct crash_event *e)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 256;
        l->event = xrealloc(l->event, l->cap * sizeof *l->event);
    }
    l->event[l->n++] = *e;
}

void crash_log_store(struct crash_log *l, enum crash_kind kind, uint64_t at, const void *bytes, uint64_t n,
                     const char *where)
{
    for (uint64_t done = 0; done < n;) {
        uint64_t part = min_u64(8 - ((at + done) & 7), n - done);
        struct crash_event e = {.kind = (uint8_t)kind, .bytes = (uint8_t)part, .at = at + done, .where = where};
        memcpy(&e.value, (const uint8_t *)bytes + done, part);
        crash_log_add(l, &e);
        done += part;
    }
}

/* ---- the state while the log is walked ---- */

/* One line: the stores that were executed and are not promised yet, and the line's bytes after each. */
struct open_line {
    uint64_t line;
    uint32_t n, cap;  /* stores that may or may not be there */
    uint32_t flushed; /* of them, those that a flush has seen: a fence promises them */
    uint32_t fenced;  /* of them, those that a fence has promised under ADR: a hint makes them safe without */
    uint32_t cut;     /* of the image being made: stores that are there */
    uint64_t *event;  /* [n] */
    uint8_t (*bytes)[LINE_BYTES]; /* [n + 1]: [0] what is surely there */
};

struct explorer {
    const struct crash_log *log;
    const struct crash_options *o;
    crash_check_fn *check;
    void *ctx;
    struct crash_report *out;
    uint8_t *image; /* what is surely there, with the cuts of the image being made */
    uint32_t n_open;
    struct open_line *open; /* in order of line */
    struct map seen;        /* hash of (image, acknowledged) */
    uint64_t sure_hash;     /* of the lines that are not open */
    uint64_t acknowledged;
    struct rng rng;
};

static uint64_t line_hash(uint64_t line, const uint8_t bytes[LINE_BYTES])
{
    uint64_t h = hash64(line + 1), w;
    for (uint32_t i = 0; i < LINE_BYTES; i += 8) {
        memcpy(&w, bytes + i, 8);
        h = hash64(h ^ w);
    }
    return h;
}

static struct open_line *find_line(struct explorer *x, uint64_t line)
{
    for (uint32_t i = 0; i < x->n_open; i++)
        if (x->open[i].line == line)
            return &x->open[i];
    return NULL;
}

static struct open_line *open_line(struct explorer *x, uint64_t line)
{
    struct open_line *l = find_line(x, line);
    if (l)
        return l;
    uint32_t at = x->n_open;
    x->open = xrealloc(x->open, (x->n_open + 1) * sizeof *x->open);
    while (at > 0 && x->open[at - 1].line > line)
        at--;
    memmove(&x->open[at + 1], &x->open[at], (x->n_open++ - at) * sizeof *x->open);
    l = &x->open[at];
    *l = (struct open_line){.line = line, .cap = 4};
    l->event = xmalloc(l->cap * sizeof *l->event);
    l->bytes = xmalloc((l->cap + 1) * sizeof *l->bytes);
    memcpy(l->bytes[0], x->image + line * LINE_BYTES, LINE_BYTES);
    x->sure_hash ^= line_hash(line, l->bytes[0]);
    return l;
}

static void add_store(struct explorer *x, const struct crash_event *e, uint64_t event)
{
    struct open_line *l = open_line(x, e->at / LINE_BYTES);
    if (l->n == l->cap) {
        l->cap *= 2;
        l->event = xrealloc(l->event, l->cap * sizeof *l->event);
        l->bytes = xrealloc(l->bytes, (l->cap + 1) * sizeof *l->bytes);
    }
    memcpy(l->bytes[l->n + 1], l->bytes[l->n], LINE_BYTES);
    memcpy(l->bytes[l->n + 1] + e->at % LINE_BYTES, &e->value, e->bytes);
    l->event[l->n++] = event;
}

/* The first n stores of a line are safe. A line without any others is closed. */
static void settle(struct explorer *x, struct open_line *l, uint32_t n)
{
    if (n == 0)
        return;
    memmove(l->bytes, l->bytes + n, (l->n + 1 - n) * sizeof *l->bytes);
    memmove(l->event, l->event + n, (l->n - n) * sizeof *l->event);
    l->n -= n;
    l->flushed -= l->flushed < n ? l->flushed : n;
    l->fenced -= l->fenced < n ? l->fenced : n;
    memcpy(x->image + l->line * LINE_BYTES, l->bytes[0], LINE_BYTES);
}

static void close_lines(struct explorer *x)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < x->n_open; i++) {
        struct open_line *l = &x->open[i];
        if (l->n) {
            x->open[kept++] = *l;
            continue;
        }
        x->sure_hash ^= line_hash(l->line, l->bytes[0]);
        free(l->event);
        free(l->bytes);
    }
    x->n_open = kept;
}

/* ---- images of one moment ---- */

static void set_cut(struct explorer *x, uint32_t i, uint32_t cut)
{
    struct open_line *l = &x->open[i];
    l->cut = cut;
    memcpy(x->image + l->line * LINE_BYTES, l->bytes[cut], LINE_BYTES);
}

/* Judges the image made of the cuts, unless it was judged before. */
static bool is_legal(struct explorer *x)
{
    uint64_t h = x->sure_hash ^ hash64(x->acknowledged);
    for (uint32_t i = 0; i < x->n_open; i++)
        h ^= line_hash(x->open[i].line, x->open[i].bytes[x->open[i].cut]);
    uint64_t *was = map_put(&x->seen, h == UINT64_MAX ? 0 : h);
    if ((*was)++) {
        x->out->repeated++;
        return true;
    }
    x->out->images++;
    return x->check(x->ctx, x->image, x->log->bytes, x->acknowledged, x->out->why, sizeof x->out->why) == 0;
}

static bool judge_again(struct explorer *x)
{
    return x->check(x->ctx, x->image, x->log->bytes, x->acknowledged, x->out->why, sizeof x->out->why) == 0;
}

/* As many stores as possible are given back to the illegal image. */
static void shrink(struct explorer *x, uint64_t event)
{
    struct crash_report *r = x->out;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < x->n_open; i++) {
            struct open_line *l = &x->open[i];
            uint32_t cut = l->cut;
            for (uint32_t more = l->n; more > cut; more--) {
                set_cut(x, i, more);
                if (!judge_again(x)) {
                    changed = true;
                    break;
                }
                set_cut(x, i, cut);
            }
        }
    }
    judge_again(x); /* the reason of this image */
    r->is_broken = true;
    r->event = event;
    r->acknowledged = x->acknowledged;
    for (uint32_t i = 0; i < x->n_open && r->n_losses < CRASH_MAX_LOSSES; i++) {
        const struct open_line *l = &x->open[i];
        if (l->cut < l->n)
            r->loss[r->n_losses++] = (struct crash_loss){l->line, l->cut, l->n, l->event[l->cut]};
    }
}

static bool all_images(struct explorer *x)
{
    for (;;) {
        if (!is_legal(x))
            return false;
        uint32_t i = 0;
        while (i < x->n_open && x->open[i].cut == x->open[i].n)
            set_cut(x, i++, 0);
        if (i == x->n_open)
            return true;
        set_cut(x, i, x->open[i].cut + 1);
    }
}

static void set_all(struct explorer *x, bool whole)
{
    for (uint32_t i = 0; i < x->n_open; i++)
        set_cut(x, i, whole ? x->open[i].n : 0);
}

/* One line apart from all others, which are whole or missing. */
static bool one_apart(struct explorer *x, bool whole)
{
    set_all(x, whole);
    for (uint32_t i = 0; i < x->n_open; i++) {
        for (uint32_t cut = 0; cut <= x->open[i].n; cut++) {
            set_cut(x, i, cut);
            if (!is_legal(x))
                return false;
        }
        set_cut(x, i, whole ? x->open[i].n : 0);
    }
    return true;
}

/* The corners, then at random: half of the lines whole or missing, the others anywhere. */
static bool some_images(struct explorer *x)
{
    if (!one_apart(x, true) || !one_apart(x, false))
        return false;
    for (uint64_t k = 0; k < x->o->max_images; k++) {
        for (uint32_t i = 0; i < x->n_open; i++) {
            uint64_t r = rng_next(&x->rng);
            uint32_t n = x->open[i].n;
            set_cut(x, i, r & 1 ? (r & 2 ? n : 0) : (uint32_t)((r >> 8) % (n + 1ull)));
        }
        if (!is_legal(x))
            return false;
    }
    return true;
}

/* The power fails when event events have been executed. */
static bool moment(struct explorer *x, uint64_t event)
{
    uint64_t product = 1;
    x->out->moments++;
    set_all(x, x->o->domain == CRASH_EADR);
    bool is_fine;
    if (x->o->domain == CRASH_EADR) {
        is_fine = is_legal(x);
    } else {
        for (uint32_t i = 0; i < x->n_open && product <= x->o->max_images; i++)
            product *= x->open[i].n + 1ull;
        x->out->sampled_moments += product > x->o->max_images;
        is_fine = product <= x->o->max_images ? all_images(x) : some_images(x);
    }
    if (!is_fine)
        shrink(x, event);
    set_all(x, false);
    return is_fine;
}

/* ---- the walk ---- */

static bool promises_something(const struct explorer *x, const struct crash_event *e)
{
    bool any = false;
    for (uint32_t i = 0; i < x->n_open; i++) {
        const struct open_line *l = &x->open[i];
        if (e->kind == CRASH_CLFLUSH)
            any |= l->line == e->at / LINE_BYTES;
        else
            any |= l->flushed || l->fenced;
    }
    return any;
}

/* What the fence or hint promises. Without ADR a fence only puts lines into the WPQ, which a hint drains. */
static void promise(struct explorer *x, bool drains)
{
    for (uint32_t i = 0; i < x->n_open; i++) {
        struct open_line *l = &x->open[i];
        l->fenced = l->flushed > l->fenced ? l->flushed : l->fenced;
        if (x->o->domain != CRASH_ADR_FAILS || drains)
            settle(x, l, l->fenced);
    }
    close_lines(x);
}

static void execute(struct explorer *x, const struct crash_event *e, uint64_t event)
{
    struct open_line *l = NULL;
    if (e->kind <= CRASH_CLFLUSH && e->kind != CRASH_STORE && e->kind != CRASH_NTSTORE)
        l = find_line(x, e->at / LINE_BYTES);
    switch (e->kind) {
    case CRASH_STORE:
        add_store(x, e, event);
        break;
    case CRASH_NTSTORE:
        add_store(x, e, event);
        l = find_line(x, e->at / LINE_BYTES);
        l->flushed = l->n;
        break;
    case CRASH_FLUSH:
        if (l)
            l->flushed = l->n;
        break;
    case CRASH_CLFLUSH:
        if (!l)
            break;
        l->flushed = l->fenced = l->n;
        if (x->o->domain != CRASH_ADR_FAILS)
            settle(x, l, l->n);
        close_lines(x);
        break;
    case CRASH_FENCE:
    case CRASH_HINT:
        promise(x, e->kind == CRASH_HINT);
        break;
    default:
        x->acknowledged++;
    }
}

/* Images are looked at just before they become fewer, or the check knows more. */
static bool is_moment(const struct explorer *x, const struct crash_event *e)
{
    if (x->o->domain == CRASH_EADR)
        return e->kind <= CRASH_NTSTORE || e->kind == CRASH_ACKNOWLEDGE;
    return e->kind == CRASH_ACKNOWLEDGE || (e->kind >= CRASH_CLFLUSH && promises_something(x, e));
}

void crash_explore(const struct crash_log *log, const struct crash_options *o, crash_check_fn *check, void *ctx,
                   struct crash_report *out)
{
    struct explorer x = {.log = log, .o = o, .check = check, .ctx = ctx, .out = out};
    *out = (struct crash_report){0};
    x.image = xcalloc(1, log->bytes + 1);
    for (uint64_t line = 0; line < log->bytes / LINE_BYTES; line++)
        x.sure_hash ^= line_hash(line, x.image + line * LINE_BYTES);
    rng_init(&x.rng, o->seed, "crash");
    bool is_fine = true;
    for (uint64_t i = 0; is_fine && i < log->n; i++) {
        const struct crash_event *e = &log->event[i];
        if (is_moment(&x, e))
            is_fine = moment(&x, i);
        if (is_fine)
            execute(&x, e, i);
        if (o->progress)
            o->progress(o->progress_ctx, i, log->n);
    }
    if (is_fine)
        moment(&x, log->n);
    for (uint32_t i = 0; i < x.n_open; i++) {
        free(x.open[i].event);
        free(x.open[i].bytes);
    }
    free(x.open);
    free(x.image);
    map_free(&x.seen);
}

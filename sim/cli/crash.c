/* SPDX-License-Identifier: MIT */
/* quire crash: every image that a power failure may leave of a program's persistent memory, judged by the program. */
#include <quire/crash.h>

#include "sim/cli/args.h"
#include "sim/cli/commands.h"
#include "sim/hv/shared_object.h"
#include "sim/nvdimm/crash.h"

#include <dlfcn.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_REGION (1u << 20)
#define MAX_EVENTS (1u << 22)
#define MAX_TRAIL  40u /* events shown before the failure */

/* ---- running the program: its events go to a log, its stores to the memory that it reads ---- */

struct recorder {
    struct crash_log log;
    uint8_t *mem;
    const char *path;
    struct diag *d;
};

/* The range is inside of the region, and the program has not run wild. */
static bool is_fine(struct recorder *r, uint64_t at, uint64_t n, const char *where)
{
    if (r->d->n_errors)
        return false;
    if (at > r->log.bytes || n > r->log.bytes - at)
        return fail(r->d, "%s: %s: bytes %llu..%llu, its region ends at %llu", r->path, where, (unsigned long long)at,
                    (unsigned long long)(at + n), (unsigned long long)r->log.bytes) == 0;
    if (r->log.n >= MAX_EVENTS)
        return fail(r->d, "%s: more than %u events", r->path, MAX_EVENTS) == 0;
    return true;
}

static void on_store(void *ctx, uint64_t at, const void *bytes, uint64_t n, const char *where)
{
    struct recorder *r = ctx;
    if (!is_fine(r, at, n, where))
        return;
    memcpy(r->mem + at, bytes, n);
    crash_log_store(&r->log, CRASH_STORE, at, bytes, n, where);
}

static void on_ntstore(void *ctx, uint64_t at, const void *bytes, uint64_t n, const char *where)
{
    struct recorder *r = ctx;
    if (!is_fine(r, at, n, where))
        return;
    memcpy(r->mem + at, bytes, n);
    crash_log_store(&r->log, CRASH_NTSTORE, at, bytes, n, where);
}

static void on_flush(void *ctx, uint64_t at, uint64_t n, uint32_t how, const char *where)
{
    struct recorder *r = ctx;
    if (!is_fine(r, at, n, where))
        return;
    for (uint64_t line = at & ~(uint64_t)(LINE_BYTES - 1); line < at + n; line += LINE_BYTES) {
        struct crash_event e = {.kind = how == QUIRE_CLFLUSH ? CRASH_CLFLUSH : CRASH_FLUSH, .at = line, .where = where};
        crash_log_add(&r->log, &e);
    }
}

static void add(struct recorder *r, enum crash_kind kind, const char *where)
{
    struct crash_event e = {.kind = (uint8_t)kind, .where = where};
    if (is_fine(r, 0, 0, where))
        crash_log_add(&r->log, &e);
}
static void on_fence(void *ctx, const char *where)
{
    add(ctx, CRASH_FENCE, where);
}
static void on_hint(void *ctx, const char *where)
{
    add(ctx, CRASH_HINT, where);
}
static void on_acknowledge(void *ctx, const char *where)
{
    add(ctx, CRASH_ACKNOWLEDGE, where);
}

/* ---- loading ---- */

static const struct quire_crash_program *open_program(const char *path, void **handle, struct diag *d)
{
    char *file = strchr(path, '/') ? xstrdup(path) : xasprintf("./%s", path);
    const struct quire_crash_program *p = NULL;
    bool is_whole = shared_object_check(file, "", d) == 0;
    *handle = is_whole ? dlopen(file, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!is_whole)
        ; /* said */
    else if (!*handle)
        fail(d, "%s: cannot be loaded: %s", path, dlerror());
    else if (!(p = dlsym(*handle, "quire_crash_program")))
        fail(d, "%s: found no `quire_crash_program`, expected a program written for quire/crash.h", path);
    else if (p->abi != QUIRE_CRASH_ABI)
        fail(d, "%s: found crash ABI %u, expected %u", path, p->abi, QUIRE_CRASH_ABI);
    else if (!p->name || !p->run || !p->check)
        fail(d, "%s: its program has no name, run or check", path);
    else if (p->bytes == 0 || p->bytes % LINE_BYTES || p->bytes > MAX_REGION)
        fail(d, "%s: found a region of %llu bytes, expected a multiple of 64 up to %u", path,
             (unsigned long long)p->bytes, MAX_REGION);
    free(file);
    return d->n_errors ? NULL : p;
}

static int record(const struct quire_crash_program *p, struct recorder *r)
{
    const struct quire_pm pm = {.size = sizeof pm,
                                .ctx = r,
                                .mem = r->mem,
                                .bytes = p->bytes,
                                .store = on_store,
                                .ntstore = on_ntstore,
                                .flush = on_flush,
                                .fence = on_fence,
                                .hint = on_hint,
                                .acknowledge = on_acknowledge};
    p->run(&pm);
    return r->d->n_errors ? -1 : 0;
}

static int on_check(void *ctx, const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    const struct quire_crash_program *p = ctx;
    why[0] = 0;
    return p->check(image, bytes, acknowledged, why, n);
}

/* ---- telling ---- */

static const char *const kinds[] = {"store", "ntstore", "flush", "clflush", "fence", "hint", "acknowledge"};
static const char *const domains[] = {"adr", "adr-fails", "eadr", NULL};

static void print_trail(const struct crash_log *l, uint64_t event)
{
    uint64_t first = event > MAX_TRAIL ? event - MAX_TRAIL : 0;
    printf("  executed before the power failed%s:\n", first ? " (the last of them)" : "");
    for (uint64_t i = first; i < event; i++) {
        const struct crash_event *e = &l->event[i];
        printf("    %6llu  %-11s", (unsigned long long)i, kinds[e->kind]);
        if (e->kind <= CRASH_NTSTORE)
            printf(" %5llu, %u bytes: %-18llx", (unsigned long long)e->at, e->bytes, (unsigned long long)e->value);
        else if (e->kind <= CRASH_CLFLUSH)
            printf(" line %llu %25s", (unsigned long long)(e->at / LINE_BYTES), "");
        else
            printf(" %31s", "");
        printf(" %s\n", e->where);
    }
}

static void print_report(const struct quire_crash_program *p, const struct crash_log *l, const struct crash_report *r,
                         double seconds)
{
    if (!r->is_broken) {
        printf("%s: holds in all %llu images of %llu moments%s; %.2f M images/s\n", p->name,
               (unsigned long long)r->images, (unsigned long long)r->moments,
               r->sampled_moments ? ", some of them sampled" : ", all there are",
               seconds > 0 ? (double)(r->images + r->repeated) / seconds * 1e-6 : 0);
        return;
    }
    printf(
        "%s: BROKEN: %s\n  the power fails after %llu of %llu events, %llu operations were acknowledged; image %llu\n",
        p->name, r->why, (unsigned long long)r->event, (unsigned long long)l->n, (unsigned long long)r->acknowledged,
        (unsigned long long)r->images);
    for (uint32_t i = 0; i < r->n_losses; i++) {
        const struct crash_loss *s = &r->loss[i];
        printf("  line %llu has %u of its %u pending stores; the first lost is event %llu, %s\n",
               (unsigned long long)s->line, s->kept, s->all, (unsigned long long)s->event, l->event[s->event].where);
    }
    print_trail(l, r->event);
}

static json_t *to_json(const struct quire_crash_program *p, const struct crash_log *l, const struct crash_report *r)
{
    json_t *lost = json_array();
    for (uint32_t i = 0; i < r->n_losses; i++)
        json_array_append_new(lost, json_pack("{s:I, s:i, s:i, s:I, s:s}", "line", (json_int_t)r->loss[i].line, "kept",
                                              (int)r->loss[i].kept, "all", (int)r->loss[i].all, "event",
                                              (json_int_t)r->loss[i].event, "where", l->event[r->loss[i].event].where));
    json_t *o = json_pack("{s:s, s:b, s:I, s:I, s:I, s:b, s:o}", "program", p->name, "broken", (int)r->is_broken,
                          "events", (json_int_t)l->n, "images", (json_int_t)r->images, "moments",
                          (json_int_t)r->moments, "exhaustive", r->sampled_moments == 0, "lost", lost);
    if (r->is_broken) {
        json_object_set_new(o, "why", json_string(r->why));
        json_object_set_new(o, "event", json_integer((json_int_t)r->event));
        json_object_set_new(o, "acknowledged", json_integer((json_int_t)r->acknowledged));
    }
    return o;
}

static void on_progress(void *ctx, uint64_t event, uint64_t n)
{
    meter_show(ctx, event, n);
}

static double user_s(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* 0: holds; 1: broken; -1: error. */
static int explore(const char *path, const struct crash_options *options, json_t *all, struct diag *d)
{
    void *handle = NULL;
    const struct quire_crash_program *p = open_program(path, &handle, d);
    struct recorder r = {.path = path, .d = d};
    struct crash_report report = {0};
    int bad = p ? 0 : -1;
    if (p) {
        r.log.bytes = p->bytes;
        r.mem = xcalloc(1, p->bytes);
        bad = record(p, &r);
    }
    if (!bad) {
        struct meter meter = {.what = "exploring"};
        struct crash_options o = *options;
        double start = user_s();
        o.progress_ctx = &meter;
        crash_explore(&r.log, &o, on_check, (void *)(uintptr_t)p, &report);
        meter_end(&meter);
        if (all)
            json_array_append_new(all, to_json(p, &r.log, &report));
        else
            print_report(p, &r.log, &report, user_s() - start);
    }
    crash_log_fini(&r.log);
    free(r.mem);
    if (handle)
        dlclose(handle);
    return bad ? -1 : report.is_broken;
}

int cmd_crash(int argc, char **argv)
{
    bool json = false;
    const char *domain = "adr";
    struct crash_options o = {.max_images = 65536, .seed = 1, .progress = on_progress};
    const struct arg table[] = {
        {"domain", 0, "NAME", ARG_STRING, &domain,
         "what survives: adr (caches are lost), adr-fails (the WPQ too), eadr (nothing is) [adr]"},
        {"max-images", 0, "N", ARG_UINT, &o.max_images, "images of one moment; of more, that many are drawn [65536]"},
        {"seed", 0, "N", ARG_UINT, &o.seed, "of the drawn ones [1]"},
        {"json", 0, NULL, ARG_FLAG, &json, "print JSON"},
        {0},
    };
    const struct args a = {
        "quire crash PROGRAM.so... [OPTION]...",
        "Runs each program once, then shows its check every image of its persistent memory that a power\n"
        "failure may leave by x86's rules. docs/crash.md says how to write one.",
        table,
        "Examples:\n"
        "  quire crash build/workloads/crash/log-fence.so build/workloads/crash/log-fence-broken.so\n"
        "  quire crash --domain adr-fails build/workloads/crash/log-hint.so",
        "0 all images are legal, 1 one is not, 2 bad usage or input, 3 fault in quire itself."};
    const char *word[64];
    struct diag d = {0};
    int n = args_parse(&a, argc, argv, word, 64, &d), broken = 0;
    if (n == ARGS_HELP)
        return EXIT_DONE;
    uint32_t which = 0;
    while (domains[which] && strcmp(domain, domains[which]) != 0)
        which++;
    if (n >= 0 && !domains[which])
        n = fail(&d, "--domain: found '%s', expected adr, adr-fails or eadr", domain);
    if (n >= 0 && o.max_images == 0)
        n = fail(&d, "--max-images: found 0, expected at least 1");
    if (n == 0)
        fail(&d, "crash: found no program, expected a shared object (quire crash --help)");
    if (n <= 0)
        return args_complain(&d);
    o.domain = (enum crash_domain)which;
    json_t *all = json ? json_array() : NULL;
    for (int i = 0; i < n && broken >= 0; i++) {
        int r = explore(word[i], &o, all, &d);
        broken = r < 0 ? r : broken | r;
    }
    if (all && broken >= 0) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(all);
    return broken < 0 ? args_complain(&d) : broken ? EXIT_JUDGED_FALSE : EXIT_DONE;
}

/* SPDX-License-Identifier: MIT */
/* quire mrc: miss-rate curves of a trace. */
#include "sim/base/outfile.h"
#include "sim/cli/args.h"
#include "sim/cli/commands.h"
#include "sim/cli/mrc.h"
#include "sim/mrc/job.h"
#include "sim/mrc/plot.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct mrc_args {
    const char *observe, *machine, *memory;
    const struct mrc_price *price; /* of an observed curve; else NULL */
    const char *format, *columns, *unit, *page_size, *method, *policy, *sizes, *out;
    const char *wss, *epochs, *heat, *clock;
    const char *by_node, *place, *by_tier, *tiers, *latencies;
    double rate;
    uint64_t seeds, skip, limit, window, grain, nodes;
    bool json, plot, dirty;
};

static const struct {
    const char *name;
    uint8_t shift;
} page_sizes[] = {{"4KiB", 12}, {"2MiB", 21}, {"1GiB", 30}};

static int page_shift(const char *name, uint8_t *shift, struct diag *d)
{
    for (size_t i = 0; i < sizeof page_sizes / sizeof page_sizes[0]; i++) {
        if (strcmp(page_sizes[i].name, name) == 0) {
            *shift = page_sizes[i].shift;
            return 0;
        }
    }
    return fail(d, "--page-size: found '%s', expected 4KiB, 2MiB or 1GiB", name);
}

static int method_named(const char *name, enum mrc_method *method, struct diag *d)
{
    if (strcmp(name, "exact") == 0)
        *method = MRC_EXACT;
    else if (strcmp(name, "sampled") == 0)
        *method = MRC_SAMPLED;
    else
        return fail(d, "--method: found '%s', expected exact, sampled or observed", name);
    return 0;
}

static int clock_named(const char *name, enum mrc_clock *clock, struct diag *d)
{
    static const char *const names[] = {
        [MRC_BY_RECORDS] = "records", [MRC_BY_INSTRUCTIONS] = "instructions", [MRC_BY_NS] = "ns"};
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            *clock = (enum mrc_clock)i;
            return 0;
        }
    }
    return fail(d, "--window-by: found '%s', expected records, instructions or ns", name);
}

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct meter *m = ctx;
    if (m->what && strcmp(m->what, what) != 0) {
        meter_end(m);
        *m = (struct meter){0};
    }
    m->what = what;
    meter_show(m, done, total);
}

static void print_json(const struct mrc_curve *c, const struct mrc_price *price, FILE *f)
{
    json_t *points = json_array();
    double accesses = c->accesses ? (double)c->accesses : 1;
    for (uint64_t i = 0; i < c->n; i++) {
        json_t *p = json_pack("{s:I, s:I, s:f}", "size", (json_int_t)c->size[i], "misses", (json_int_t)c->misses[i],
                              "miss_ratio", (double)c->misses[i] / accesses);
        if (c->writebacks)
            json_object_set_new(p, "writebacks", json_integer((json_int_t)c->writebacks[i]));
        if (c->error)
            json_object_set_new(p, "miss_ratio_error", json_real(c->error[i] / accesses));
        json_array_append_new(points, p);
    }
    json_t *top = json_pack("{s:I, s:I, s:o}", "accesses", (json_int_t)c->accesses, "distinct", (json_int_t)c->distinct,
                            "points", points);
    if (price)
        json_object_set_new(top, "observed", mrc_price_json(price));
    json_dumpf(top, f, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
    fputc('\n', f);
    json_decref(top);
}

static void print_curve(const struct mrc_args *a, const struct mrc_results *res, FILE *f)
{
    if (a->json)
        print_json(&res->curve, a->price, f);
    else if (a->plot)
        mrc_plot(&res->curve, f);
    else
        mrc_curve_print(&res->curve, f);
}

static void print_wss(const struct mrc_args *a, const struct mrc_results *res, FILE *f)
{
    (void)a;
    mrc_wss_print(res->wss, f);
}

static void print_epochs(const struct mrc_args *a, const struct mrc_results *res, FILE *f)
{
    (void)a;
    mrc_epochs_print(res, f);
}

static void print_heat(const struct mrc_args *a, const struct mrc_results *res, FILE *f)
{
    if (a->plot)
        mrc_heat_plot(res->heat, f);
    else
        mrc_heat_print(res->heat, f);
}

static void print_nodes(const struct mrc_args *a, const struct mrc_results *res, FILE *f)
{
    (void)a;
    mrc_results_print_nodes(res, f);
}

static void print_tiers(const struct mrc_args *a, const struct mrc_results *res, FILE *f)
{
    (void)a;
    mrc_tiers_print(&res->tiers, res->tier_misses, res->curve.accesses, res->curve.distinct, f);
}

typedef void print_fn(const struct mrc_args *a, const struct mrc_results *res, FILE *f);

/* Prints to the file at path, or to standard output for "-" and NULL. */
static int print_to(const char *path, print_fn *print, const struct mrc_args *a, const struct mrc_results *res,
                    struct diag *d)
{
    if (!path || strcmp(path, "-") == 0) {
        print(a, res, stdout);
        return fflush(stdout) == 0 ? 0 : fail(d, "standard output cannot be written");
    }
    struct outfile o;
    if (out_open(&o, path, d) != 0)
        return -1;
    print(a, res, o.f);
    return out_commit(&o, d);
}

static int check_names(const struct mrc_args *a, struct mrc_job *job, struct diag *d)
{
    if (mrc_unit_parse(a->unit, &job->unit, d) != 0 || page_shift(a->page_size, &job->shift, d) != 0 ||
        method_named(a->method, &job->method, d) != 0 || clock_named(a->clock, &job->clock, d) != 0)
        return -1;
    if (a->heat && a->grain == 0)
        return fail(d, "--heat-grain: found 0, expected a number of units above 0");
    if (!a->by_tier != !a->tiers)
        return fail(d, "--by-tier and --tiers go together: the table's file and the sizes of the tiers");
    if (a->by_node && mrc_placement_parse(a->place, a->nodes, &job->placement, d) != 0)
        return -1;
    const uint64_t unit_bytes[] = {[MRC_PAGE] = 1ull << job->shift, [MRC_BLOCK] = MRC_BLOCK_BYTES, [MRC_OBJECT] = 0};
    return mrc_tiers_parse(a->tiers, a->latencies, unit_bytes[job->unit], &job->tiers, d);
}

static int run(const struct mrc_args *a, const char *path, struct diag *d)
{
    struct meter meter = {0};
    struct mrc_job job = {.path = path,
                          .trace = {.format = a->format, .columns = a->columns, .skip = a->skip, .limit = a->limit},
                          .policy = a->policy,
                          .rate = a->rate,
                          .n_seeds = a->seeds > UINT32_MAX ? UINT32_MAX : (uint32_t)a->seeds,
                          .sizes = a->sizes,
                          .dirty = a->dirty,
                          .wss = a->wss,
                          .epochs = a->epochs,
                          .heat_grain = a->heat ? a->grain : 0,
                          .window = a->wss || a->epochs || a->heat ? a->window : 0,
                          .progress = on_progress,
                          .progress_ctx = &meter};
    struct mrc_results res = {0};
    int rc = check_names(a, &job, d);
    if (rc == 0)
        rc = mrc_job_run(&job, &res, d);
    meter_end(&meter);
    const struct {
        const char *path;
        print_fn *print;
    } tables[] = {{a->wss, print_wss},       {a->epochs, print_epochs}, {a->heat, print_heat},
                  {a->by_node, print_nodes}, {a->by_tier, print_tiers}, {a->out ? a->out : "-", print_curve}};
    for (size_t i = 0; rc == 0 && i < sizeof tables / sizeof tables[0]; i++)
        rc = tables[i].path ? print_to(tables[i].path, tables[i].print, a, &res, d) : 0;
    mrc_results_free(&res);
    return rc;
}

/* Options that have no meaning where a machine runs the trace. */
static int check_observed(const struct mrc_args *a, struct diag *d)
{
    const struct {
        const char *option;
        bool is_given;
    } others[] = {{"--unit", strcmp(a->unit, "page") != 0},
                  {"--page-size", strcmp(a->page_size, "4KiB") != 0},
                  {"--policy", strcmp(a->policy, "lru") != 0},
                  {"--columns", a->columns != NULL},
                  {"--dirty", a->dirty},
                  {"--wss", a->wss != NULL},
                  {"--epochs", a->epochs != NULL},
                  {"--heat", a->heat != NULL},
                  {"--by-node", a->by_node != NULL},
                  {"--by-tier", a->by_tier != NULL},
                  {"--skip", a->skip != 0},
                  {"--seeds", a->seeds != 1}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (others[i].is_given)
            return fail(d, "%s: found it with --method observed, expected it with exact or sampled", others[i].option);
    return 0;
}

static int run_observed(const struct mrc_args *a, const char *path, struct diag *d)
{
    const struct mrc_observe o = {.path = path,
                                  .format = a->format,
                                  .observe = a->observe ? a->observe : "trace",
                                  .machine = a->machine,
                                  .memory = a->memory,
                                  .sizes = a->sizes,
                                  .limit = a->limit};
    struct mrc_results res = {0};
    struct mrc_price price = {0};
    struct mrc_args priced = *a;
    priced.price = &price;
    int rc = check_observed(a, d);
    if (rc == 0)
        rc = mrc_observe(&o, &res.curve, &price, d);
    if (rc == 0)
        rc = print_to(a->out, print_curve, &priced, &res, d);
    if (rc == 0 && !a->json)
        mrc_price_print(&price, stderr);
    mrc_results_free(&res);
    return rc;
}

int cmd_mrc(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "draw") == 0)
        return cmd_mrc_draw(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "split") == 0)
        return cmd_mrc_split(argc - 1, argv + 1);
    struct mrc_args a = {.unit = "page",
                         .page_size = "4KiB",
                         .method = "exact",
                         .policy = "lru",
                         .sizes = "auto",
                         .clock = "records",
                         .window = 1000000,
                         .grain = 16,
                         .nodes = 2,
                         .place = "first-touch",
                         .rate = 0.01,
                         .seeds = 1};
    const struct arg table[] = {
        {"format", 'f', "F", ARG_STRING, &a.format, "format of the trace (default: by content; see quire trace)"},
        {"columns", 0, "C=N,..", ARG_STRING, &a.columns, "csv: id, addr or lba; bytes, op, time_s, ... = column"},
        {"unit", 'u', "U", ARG_STRING, &a.unit, "page, block (512 bytes) or object (default page)"},
        {"page-size", 0, "SIZE", ARG_STRING, &a.page_size, "4KiB, 2MiB or 1GiB (default 4KiB)"},
        {"method", 'm', "M", ARG_STRING, &a.method, "exact, sampled in at most 16 MiB, or observed (default exact)"},
        {"observe", 0, "W[:k=v,..]", ARG_STRING, &a.observe,
         "observed: as a hypervisor sees it by trace (default), ad, pml or damon"},
        {"machine", 0, "NAME", ARG_STRING, &a.machine, "observed: machine file, by name or path (default: built in)"},
        {"memory", 0, "SIZE", ARG_STRING, &a.memory, "observed: memory of the VM (default: what the trace needs)"},
        {"rate", 'r', "R", ARG_REAL, &a.rate, "sampled: share of the ids that is enough (default 0.01)"},
        {"seeds", 0, "N", ARG_UINT, &a.seeds, "sampled: mean and standard error of N samples (default 1)"},
        {"policy", 'p', "P", ARG_STRING, &a.policy, "lru, fifo, clock, opt, s3fifo, arc or lirs (default lru)"},
        {"sizes", 's', "N,..", ARG_STRING, &a.sizes, "cache sizes in units, or auto: 1..64, then 16 an octave"},
        {"dirty", 0, NULL, ARG_FLAG, &a.dirty, "a column with the write-backs of each size (exact lru)"},
        {"wss", 0, "FILE", ARG_STRING, &a.wss, "working set of each window: accesses, distinct, written"},
        {"epochs", 0, "FILE", ARG_STRING, &a.epochs, "the curve of each window (exact lru)"},
        {"heat", 0, "FILE", ARG_STRING, &a.heat, "accesses of each region in each window"},
        {"heat-grain", 0, "N", ARG_UINT, &a.grain, "units of a region (default 16)"},
        {"by-tier", 0, "FILE", ARG_STRING, &a.by_tier, "where accesses find their pages: share and demotions of tiers"},
        {"tiers", 0, "SIZE,..", ARG_STRING, &a.tiers, "their capacities, fastest first, in units or like 16GiB,64GiB"},
        {"latencies", 0, "NS,..", ARG_STRING, &a.latencies, "of an access to each tier, and to what is in none"},
        {"by-node", 0, "FILE", ARG_STRING, &a.by_node,
         "a curve for each NUMA node, and its remote accesses (exact lru)"},
        {"nodes", 0, "N", ARG_UINT, &a.nodes, "NUMA nodes; vCPU v runs on node v modulo N (default 2)"},
        {"place", 0, "P", ARG_STRING, &a.place, "first-touch (default), interleave, or where nodes 1.. begin: ADDR,.."},
        {"window", 0, "N", ARG_UINT, &a.window, "length of a window (default 1000000)"},
        {"window-by", 0, "C", ARG_STRING, &a.clock, "records, instructions or ns (default records)"},
        {"skip", 0, "N", ARG_UINT, &a.skip, "records to pass over first"},
        {"limit", 0, "N", ARG_UINT, &a.limit, "records to use (default: all)"},
        {"output", 'o', "FILE", ARG_STRING, &a.out, "write there; the file appears when it is complete"},
        {"json", 0, NULL, ARG_FLAG, &a.json, "JSON instead of CSV"},
        {"plot", 0, NULL, ARG_FLAG, &a.plot, "draw curve and heat with characters instead of CSV"},
        {0},
    };
    const struct args args = {
        "quire mrc TRACE [option]...",
        "Misses of caches of many sizes, from one pass over a trace (- = standard input).\n"
        "CSV: size,misses,accesses,miss_ratio; sizes are in units.",
        table,
        "An access that crosses a page counts on both pages, a disk request on every page or\n"
        "block it touches. exact holds for lru at every size; other policies are simulated,\n"
        "one cache a size.\n\n"
        "Examples:\n"
        "  quire mrc traces/redis-accesses.qtr --plot            the curve, on the terminal\n"
        "  quire mrc traces/redis-accesses.qtr --method sampled --seeds 5    a long trace, with error bars\n"
        "  quire mrc traces/redis-accesses.qtr --wss w.csv --window 50000 -o c.csv\n"
        "  quire mrc traces/redis-accesses.qtr --by-tier t.csv --tiers 256KiB,1MiB --latencies 80,250,10000\n"
        "  quire mrc traces/redis-accesses.qtr --by-node n.csv --nodes 2     curves of two nodes\n"
        "  quire mrc traces/redis-accesses.qtr --method observed --observe ad:period=1ms\n"
        "                      what a hypervisor sees of it through accessed bits, and the price\n\n"
        "quire mrc draw: pictures of these tables. quire mrc split: memory for several machines\n"
        "from their curves. Both have --help.",
        NULL};
    struct diag d = {0};
    const char *path = NULL;
    int n = args_parse(&args, argc, argv, &path, 1, &d);
    if (n == ARGS_HELP)
        return EXIT_DONE;
    if (n == 0)
        fail(&d, "no trace was named; usage: %s", args.usage);
    bool is_observed = strcmp(a.method, "observed") == 0;
    if (n == 1 && !is_observed && (a.observe || a.machine || a.memory))
        n = fail(&d, "--observe, --machine or --memory: found it with --method %s, expected --method observed",
                 a.method);
    if (n != 1 || (is_observed ? run_observed(&a, path, &d) : run(&a, path, &d)) != 0)
        return args_complain(&d);
    return EXIT_DONE;
}

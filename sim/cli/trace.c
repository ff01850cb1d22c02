/* SPDX-License-Identifier: MIT */
/* quire trace: what is in a trace, and traces from and to other formats. */
#include "sim/cli/args.h"
#include "sim/cli/commands.h"
#include "sim/trace/convert.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trace_args {
    const char *format, *columns, *to;
    uint64_t skip, limit;
    const char *pack;
    bool json;
};

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    meter_show(ctx, done, total);
}

/* The list of formats for help texts; the caller frees. */
static char *format_list(bool writable)
{
    char *text = xasprintf(writable ? "formats that can be written:" : "formats (* told by content):");
    for (uint32_t i = 0; trace_format_at(i); i++) {
        const struct trace_format_desc *f = trace_format_at(i);
        if (writable && !f->can_write)
            continue;
        char *more = xasprintf("%s\n  %-14s%s %s", text, f->name, f->has_signature && !writable ? "*" : " ", f->help);
        free(text);
        text = more;
    }
    return text;
}

static struct trace_reader *open_trace(const struct trace_args *a, const char *path, struct diag *d)
{
    const struct trace_options opt = {.format = a->format, .columns = a->columns, .skip = a->skip, .limit = a->limit};
    return trace_open(path, &opt, d);
}

static void info_json(const struct trace_info *i, const struct trace_summary *s, uint64_t bytes)
{
    json_t *kinds = json_object();
    for (uint32_t k = 0; k < TRACE_N_KINDS; k++) {
        if (s->n_kind[k])
            json_object_set_new(kinds, trace_kind_name((uint8_t)k), json_integer((json_int_t)s->n_kind[k]));
    }
    json_t *top = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:o}", "format", i->format, "compression",
                            i->compression, "file_bytes", (json_int_t)bytes, "records", (json_int_t)s->n_records,
                            "vcpus", (json_int_t)s->n_vcpus, "instructions", (json_int_t)s->n_instructions, "has_time",
                            i->has_time, "pages_only", i->pages_only, "kinds", kinds);
    if (i->has_time && s->n_records && s->last_ns >= s->first_ns)
        json_object_set_new(top, "duration_ns", json_integer((json_int_t)(s->last_ns - s->first_ns)));
    if (s->n_block_bytes)
        json_object_set_new(top, "block_bytes", json_integer((json_int_t)s->n_block_bytes));
    if (s->least_addr <= s->most_addr) {
        char text[32];
        snprintf(text, sizeof text, "0x%llx", (unsigned long long)s->least_addr);
        json_object_set_new(top, "least_addr", json_string(text));
        snprintf(text, sizeof text, "0x%llx", (unsigned long long)s->most_addr);
        json_object_set_new(top, "most_addr", json_string(text));
    }
    if (i->n_chunks)
        json_object_set_new(top, "chunks", json_integer((json_int_t)i->n_chunks));
    if (*i->meta)
        json_object_set_new(top, "meta", json_string(i->meta));
    json_dumpf(top, stdout, JSON_INDENT(1) | JSON_SORT_KEYS);
    putchar('\n');
    json_decref(top);
}

static void row(const char *name, const char *fmt, unsigned long long v)
{
    printf("%-14s ", name);
    printf(fmt, v);
    putchar('\n');
}

static void info_text(const struct trace_info *i, const struct trace_summary *s, uint64_t bytes)
{
    printf("%-14s %s%s%s\n", "format", i->format, strcmp(i->compression, "none") ? ", packed as " : "",
           strcmp(i->compression, "none") ? i->compression : "");
    if (bytes)
        row("bytes", "%llu", bytes);
    row("records", "%llu", s->n_records);
    for (uint32_t k = 0; k < TRACE_N_KINDS; k++) {
        char name[32];
        snprintf(name, sizeof name, "  %s", trace_kind_name((uint8_t)k));
        if (s->n_kind[k])
            row(name, "%llu", s->n_kind[k]);
    }
    if (s->n_instructions)
        row("instructions", "%llu", s->n_instructions);
    if (s->n_block_bytes)
        row("block bytes", "%llu", s->n_block_bytes);
    row("vcpus", "%llu", s->n_vcpus);
    if (s->least_addr <= s->most_addr)
        printf("%-14s 0x%llx to 0x%llx%s\n", "addresses", (unsigned long long)s->least_addr,
               (unsigned long long)s->most_addr, i->pages_only ? " (pages)" : "");
    if (i->has_time && s->n_records && s->last_ns >= s->first_ns)
        row("duration", "%llu ns", s->last_ns - s->first_ns);
    if (i->n_chunks)
        row("chunks", "%llu", i->n_chunks);
    if (*i->meta)
        printf("%-14s\n%s", "metadata", i->meta);
}

static int run_info(const struct trace_args *a, const char *const *path, struct diag *d)
{
    struct meter meter = {.what = "reading"};
    struct trace_summary s;
    struct trace_reader *r = open_trace(a, path[0], d);
    if (!r)
        return -1;
    int rc = trace_summarise(r, &s, on_progress, &meter, d);
    meter_end(&meter);
    if (rc == 0 && a->json)
        info_json(trace_info(r), &s, trace_bytes_total(r));
    else if (rc == 0)
        info_text(trace_info(r), &s, trace_bytes_total(r));
    trace_close(r);
    return rc == 0 && fflush(stdout) != 0 ? fail(d, "standard output cannot be written") : rc;
}

static int pack_named(const char *name, enum trace_pack *pack, struct diag *d)
{
    static const char *const names[] = {
        [TRACE_PACK_ZSTD] = "zstd", [TRACE_PACK_ZLIB] = "zlib", [TRACE_PACK_NONE] = "none"};
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            *pack = (enum trace_pack)i;
            return 0;
        }
    }
    return fail(d, "--pack: found '%s', expected zstd, zlib or none", name);
}

/* Copies path[0] to path[1] in a format; says on standard error what could not be kept. */
static int copy(const struct trace_args *a, const char *const *path, const char *format, struct diag *d)
{
    struct meter meter = {.what = "copying"};
    enum trace_pack pack = TRACE_PACK_ZSTD;
    uint64_t dropped = 0;
    if (a->pack && pack_named(a->pack, &pack, d) != 0)
        return -1;
    struct trace_reader *r = open_trace(a, path[0], d);
    if (!r)
        return -1;
    const struct trace_info *i = trace_info(r);
    bool native = strcmp(i->format, "qtr") == 0;
    char *meta = native ? xstrdup(i->meta) : xasprintf("source_format=%s\n", i->format);
    const struct trace_writer_options opt = {.format = format,
                                             .n_vcpus = native ? i->n_vcpus : 0,
                                             .has_time = i->has_time,
                                             .pages_only = i->pages_only,
                                             .pack = pack,
                                             .meta = meta};
    int rc = trace_convert(r, path[1], &opt, on_progress, &meter, &dropped, d);
    meter_end(&meter);
    if (rc == 0 && dropped)
        fprintf(stderr, "quire: %s: %llu records have no form in %s and were left out\n", path[0],
                (unsigned long long)dropped, format);
    free(meta);
    trace_close(r);
    return rc;
}

static int run_import(const struct trace_args *a, const char *const *path, struct diag *d)
{
    return copy(a, path, "qtr", d);
}

static int run_export(const struct trace_args *a, const char *const *path, struct diag *d)
{
    return a->to ? copy(a, path, a->to, d) : fail(d, "--to is missing: the format to write");
}

static int run_cut(const struct trace_args *a, const char *const *path, struct diag *d)
{
    return a->skip || a->limit ? copy(a, path, "qtr", d) : fail(d, "--skip or --limit is missing: what to keep");
}

struct verb {
    const char *name;
    int words;
    int (*run)(const struct trace_args *a, const char *const *path, struct diag *d);
    const char *usage, *about;
};

static const struct verb verbs[] = {
    {"info", 1, run_info, "quire trace info TRACE [option]...", "Reads a trace to its end and says what is in it."},
    {"import", 2, run_import, "quire trace import TRACE OUT.qtr [option]...",
     "Copies a trace of any format into quire's own, which is compact, checked and quick to read."},
    {"export", 2, run_export, "quire trace export TRACE OUT --to FORMAT [option]...",
     "Copies a trace into another format. Records it has no form for are left out and counted."},
    {"cut", 2, run_cut, "quire trace cut TRACE OUT.qtr [--skip N] [--limit N] [option]...",
     "Copies a part of a trace into quire's own format."},
};

static int run_verb(const struct verb *v, int argc, char **argv)
{
    struct trace_args a = {0};
    const struct arg table[] = {
        {"format", 'f', "F", ARG_STRING, &a.format, "format of TRACE (default: by content)"},
        {"columns", 0, "C=N,..", ARG_STRING, &a.columns, "csv: id, addr or lba; bytes, op, time_s, ... = column"},
        {"skip", 0, "N", ARG_UINT, &a.skip, "records to pass over first"},
        {"limit", 0, "N", ARG_UINT, &a.limit, "records to use (default: all)"},
        v->run == run_info     ? (struct arg){"json", 0, NULL, ARG_FLAG, &a.json, "JSON instead of text"}
        : v->run == run_export ? (struct arg){"to", 't', "F", ARG_STRING, &a.to, "format of OUT"}
                               : (struct arg){"pack", 0, "P", ARG_STRING, &a.pack,
                                              "zstd, zlib (read at half the speed) or none (largest) [zstd]"},
        {0},
    };
    char *formats = format_list(v->run == run_export);
    const struct args args = {v->usage, v->about, table, formats, NULL};
    struct diag d = {0};
    const char *word[2];
    int n = args_parse(&args, argc, argv, word, v->words, &d), code = EXIT_DONE;
    if (n >= 0 && n < v->words)
        fail(&d, "found %d of %d file names; usage: %s", n, v->words, v->usage);
    if (n != ARGS_HELP && (n != v->words || v->run(&a, word, &d) != 0))
        code = args_complain(&d);
    free(formats);
    return code;
}

int cmd_trace(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0)
            return run_verb(&verbs[i], argc - 1, argv + 1);
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        char *formats = format_list(false);
        puts("usage: quire trace info|import|export|cut TRACE ...\n\n"
             "Traces may be plain or packed with gzip, xz, zstd or zip; - is standard input or output.\n");
        for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
            printf("  %s\n      %s\n", verbs[i].usage, verbs[i].about);
        printf("\n%s\n\n%s\n", formats,
               "Examples:\n"
               "  quire trace info traces/redis-accesses.qtr\n"
               "  valgrind --tool=lackey --trace-mem=yes ls 2>&1 >/dev/null | quire trace import - ls.qtr\n"
               "  printf '0.5,W,2048,4096\\n' | quire trace import - disk.qtr -f csv --columns "
               "time_s=1,op=2,lba=3,bytes=4\n"
               "  quire trace cut traces/redis-accesses.qtr window.qtr --skip 100000 --limit 50000\n"
               "  quire trace export traces/redis-accesses.qtr redis.champsim --to champsim\n\n"
               "Exit code: 0 done, 2 bad usage or input, 3 fault in quire itself.");
        free(formats);
        return EXIT_DONE;
    }
    struct diag d = {0};
    if (argc > 1)
        fail(&d, "trace: unknown word '%s', expected info, import, export or cut", argv[1]);
    else
        fail(&d, "trace: expected info, import, export or cut; see quire trace --help");
    return args_complain(&d);
}

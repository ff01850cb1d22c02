/* SPDX-License-Identifier: MIT */
#include "sim/trace/bench.h"

#include "sim/base/zipf.h"
#include "sim/trace/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCESSES 25000000u
#define LINES    4000000u
#define BATCH    1024u

/* How a record of the benchmark's traces is made from a rank. */
typedef void make_fn(uint32_t rank, uint64_t i, struct trace_rec *rec);

static void make_page(uint32_t rank, uint64_t i, struct trace_rec *rec)
{
    *rec =
        (struct trace_rec){.addr = (hash64(rank) & 0xffffff) << 12, .arg = (uint32_t)(i * 7 % 97), .kind = TRACE_READ};
}

/* Fetches that walk through code, with loads and stores of skewed addresses among them. */
static void make_access(uint32_t rank, uint64_t i, struct trace_rec *rec)
{
    if (i % 3)
        *rec = (struct trace_rec){.addr = 0x400000 + i % 5000 * 4, .arg = 1, .size = 4, .kind = TRACE_EXEC};
    else
        *rec = (struct trace_rec){
            .addr = 0x7f0000000000 + rank * 64ull, .size = 8, .kind = rank & 1 ? TRACE_WRITE : TRACE_READ};
}

/* The same, an access every 1 to 19 ns. */
static void make_timed(uint32_t rank, uint64_t i, struct trace_rec *rec)
{
    make_access(rank, i, rec);
    rec->time_ns = 10 * i + hash64(i) % 10;
}

static int write_trace(const char *path, const char *format, enum trace_pack pack, uint64_t n, make_fn *make,
                       struct diag *d)
{
    const struct trace_writer_options opt = {.format = format, .pack = pack, .has_time = make == make_timed};
    struct trace_writer *w = trace_writer_new(path, &opt, d);
    struct zipf z;
    struct rng r;
    struct trace_rec rec[BATCH];
    int rc = w ? 0 : -1;
    zipf_init(&z, 1000000, 0.9);
    rng_init(&r, 1, "bench_trace");
    for (uint64_t i = 0; i < n && rc == 0; i += BATCH) {
        for (uint32_t k = 0; k < BATCH; k++)
            make((uint32_t)zipf_draw(&z, &r), i + k, &rec[k]);
        rc = trace_write(w, rec, BATCH, d);
    }
    if (rc == 0)
        return trace_writer_finish(w, d);
    trace_writer_abort(w);
    return -1;
}

/* Records a second of user time, reading from memory. */
static int measure(struct bench *b, const char *row, const char *path, const char *unit, const char *note,
                   struct diag *d)
{
    FILE *f = fopen(path, "rbe");
    if (!f)
        return fail(d, "%s: cannot be read back", path);
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = xmalloc(size);
    bool whole = fread(bytes, 1, size, f) == size;
    fclose(f);
    struct trace_rec rec[BATCH];
    uint64_t records = 0;
    int n = -1;
    double t = bench_user_s();
    struct trace_reader *r = whole ? trace_open_memory(bytes, size, row, NULL, d) : NULL;
    while (r && (n = trace_read(r, rec, BATCH, d)) > 0)
        records += (uint64_t)n;
    t = bench_user_s() - t;
    trace_close(r);
    free(bytes);
    if (n == 0)
        bench_add(b, row, (double)records / t / 1e6, unit, note);
    return n;
}

static int both(struct bench *b, const char *path, struct diag *d)
{
    static const struct {
        const char *row, *format, *unit, *note;
        uint64_t n;
        make_fn *make;
        enum trace_pack pack;
    } runs[] = {
        {"trace.native_pages", "qtr", "M records/s", "Zipf 0.9 over 1 M pages, 25 M records", ACCESSES, make_page,
         TRACE_PACK_ZSTD},
        {"trace.native_accesses", "qtr", "M records/s", "fetches, loads, stores, 25 M records", ACCESSES, make_access,
         TRACE_PACK_ZSTD},
        {"trace.native_timed", "qtr", "M records/s", "the same with times", ACCESSES, make_timed, TRACE_PACK_ZSTD},
        {"trace.native_plain", "qtr", "M records/s", "accesses, --pack none", ACCESSES, make_access, TRACE_PACK_NONE},
        {"trace.native_old_zlib", "qtr", "M records/s", "accesses, --pack zlib: not the default", ACCESSES, make_access,
         TRACE_PACK_ZLIB},
        {"trace.lackey", "lackey", "M lines/s", "text of 4 M lines", LINES, make_access, TRACE_PACK_NONE},
        {"trace.ramulator", "ramulator", "M lines/s", "text of 4 M lines", LINES, make_page, TRACE_PACK_NONE},
    };
    double scale = b->scale > 0 && b->scale < 1 ? b->scale : 1;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        uint64_t n = (uint64_t)((double)runs[i].n * scale);
        if (write_trace(path, runs[i].format, runs[i].pack, n, runs[i].make, d) != 0 ||
            measure(b, runs[i].row, path, runs[i].unit, runs[i].note, d) != 0)
            return -1;
    }
    return 0;
}

int bench_trace(struct bench *b)
{
    const char *tmp = getenv("TMPDIR");
    char *path = xasprintf("%s/quire-bench-XXXXXX", tmp ? tmp : "/tmp");
    struct diag d = {0};
    int fd = mkstemp(path);
    int rc = fd < 0 ? fail(&d, "%s: cannot be made", path) : both(b, path, &d);
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    if (rc != 0)
        bench_add(b, "trace", 0, "failed", d.text);
    free(path);
    return rc;
}

/* SPDX-License-Identifier: MIT */
/* What each foreign format means, on small inputs written by hand and on the public samples where they are at hand. */
#include "sim/trace/trace.h"

#include <criterion/criterion.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct trace_rec rec[64];
static struct diag d;

static int read_as(const char *format, const char *columns, const void *bytes, uint64_t n)
{
    const struct trace_options opt = {.format = format, .columns = columns};
    d = (struct diag){0};
    struct trace_reader *r = trace_open_memory(bytes, n, "mem", &opt, &d);
    if (!r)
        return -1;
    int got = 0, k;
    while (got < 60 && (k = trace_read(r, rec + got, got % 3 ? 1 : 3, &d)) > 0)
        got += k;
    trace_close(r);
    return d.n_errors ? -1 : got;
}

static int text(const char *format, const char *lines)
{
    return read_as(format, NULL, lines, strlen(lines));
}

static void expect(int i, uint8_t kind, uint64_t addr, uint32_t arg, uint16_t size, uint64_t time_ns)
{
    cr_assert_eq(rec[i].kind, kind, "record %d: kind %u", i, rec[i].kind);
    cr_assert_eq(rec[i].addr, addr, "record %d: addr %#lx", i, rec[i].addr);
    cr_assert_eq(rec[i].arg, arg, "record %d: arg %u", i, rec[i].arg);
    cr_assert_eq(rec[i].size, size, "record %d: size %u", i, rec[i].size);
    cr_assert_eq(rec[i].time_ns, time_ns, "record %d: time %lu", i, rec[i].time_ns);
}

/* Every line of bad must be refused as line 2 after the good first line. */
static void refuses(const char *format, const char *good, const char *const *bad)
{
    for (; *bad; bad++) {
        char lines[256];
        snprintf(lines, sizeof lines, "%s\n%s\n", good, *bad);
        cr_assert_eq(text(format, lines), -1, "%s took '%s'", format, *bad);
        cr_assert(strncmp(d.text, "mem:2: found '", 14) == 0, "%s", d.text);
    }
}

Test(importers, ls)
{
    cr_assert_eq(text(NULL, "s 0x1fffff50 1\nl 0xABC 4294967295\n"), 2, "%s", d.text);
    expect(0, TRACE_WRITE, 0x1fffff50, 1, 0, 0);
    expect(1, TRACE_READ, 0xabc, UINT32_MAX, 0, 0);
    refuses("ls", "l 0x1 2", (const char *[]){"x 0x1 2", "l 1 2", "l 0x1", "l 0x1 4294967296", "l 0x1 2 3", NULL});
}

Test(importers, ramulator)
{
    cr_assert_eq(text(NULL, "LD 0x40\nST 128\n0x1000 R\n\n77 W\n"), 4, "%s", d.text);
    expect(0, TRACE_READ, 64, 0, 0, 0);
    expect(1, TRACE_WRITE, 128, 0, 0, 0);
    expect(2, TRACE_READ, 4096, 0, 0, 0);
    expect(3, TRACE_WRITE, 77, 0, 0, 0);
    refuses("ramulator", "LD 1", (const char *[]){"LD", "LD x", "1", "1 X", "ST 1 2", NULL});
    cr_assert_eq(text("ramulator-cpu", "3 4096\n0 64 128\n"), 3, "%s", d.text);
    expect(0, TRACE_READ, 4096, 4, 0, 0);
    expect(1, TRACE_READ, 64, 1, 0, 0);
    expect(2, TRACE_WRITE, 128, 0, 0, 0);
    refuses("ramulator-cpu", "1 2", (const char *[]){"1", "1 2 3 4", "a 1", "1 0x10", "4294967295 1", NULL});
}

Test(importers, dramsim3)
{
    cr_assert_eq(text(NULL, "0x2000D5C0 READ  30\n0x1FF96FC0 WRITE   160\n"), 2, "%s", d.text);
    expect(0, TRACE_READ, 0x2000d5c0, 0, 0, 30);
    expect(1, TRACE_WRITE, 0x1ff96fc0, 0, 0, 160);
    refuses("dramsim3", "0x1 READ 1", (const char *[]){"0x1 REED 1", "1 READ 1", "0x1 READ", "0x1 READ 1 2", NULL});
}

Test(importers, disks)
{
    cr_assert_eq(text("lis", "8 2 0 0\n100 1 0 1\n"), 2, "%s", d.text);
    expect(0, TRACE_BLOCK_READ, 4096, 1024, 0, 0);
    refuses("lis", "1 1 0 0",
            (const char *[]){"1 0 0 0", "1 1 0", "x", "1 8388608 0 0", "36028797018963968 1 0 0", NULL});
    cr_assert_eq(text("mqsim", "938513000 4 264719034 16 0\n5 0 0 1 1\n"), 2, "%s", d.text);
    expect(0, TRACE_BLOCK_WRITE, 264719034ull * 512, 8192, 4, 938513000);
    expect(1, TRACE_BLOCK_READ, 0, 512, 0, 5);
    refuses("mqsim", "1 1 1 1 1", (const char *[]){"1 1 1 1 2", "1 65536 1 1 1", "1 1 1 1", "1 1 1 0 1", NULL});
}

Test(importers, ids)
{
    cr_assert_eq(text("ids", "7\n*\n\n 18446744073709551615 \n"), 2, "%s", d.text);
    expect(0, TRACE_OBJECT_READ, 7, 0, 0, 0);
    expect(1, TRACE_OBJECT_READ, UINT64_MAX, 0, 0, 0);
    refuses("ids", "1", (const char *[]){"18446744073709551616", "a", "1 2", "-1", NULL});
    const uint32_t small[] = {1, 0xffffffff};
    cr_assert_eq(read_as("u32", NULL, small, sizeof small), 2);
    expect(1, TRACE_OBJECT_READ, 0xffffffff, 0, 0, 0);
    const uint64_t big = 1ull << 63;
    cr_assert_eq(read_as("u64", NULL, &big, 8), 1);
    expect(0, TRACE_OBJECT_READ, big, 0, 0, 0);
}

Test(importers, csv)
{
    const char *named = "time_s;op;id;bytes\n1.5;get;9;100\n2;SET;0x10;200\n";
    cr_assert_eq(text("csv", named), 2, "%s", d.text);
    expect(0, TRACE_OBJECT_READ, 9, 100, 0, 1500000000);
    expect(1, TRACE_OBJECT_WRITE, 16, 200, 0, 2000000000);
    const char *bare = "77,w,5,4096,3\n78,r,6,512,3\n";
    cr_assert_eq(read_as("csv", "time_us=1,op=2,lba=3,bytes=4,disk=5", bare, strlen(bare)), 2, "%s", d.text);
    expect(0, TRACE_BLOCK_WRITE, 5 * 512, 4096, 3, 77000);
    const char *other = "\"when\"\tpage\n3\t0x7000\n";
    cr_assert_eq(read_as("csv", "addr=page,time_ns=when", other, strlen(other)), 1, "%s", d.text);
    expect(0, TRACE_READ, 0x7000, 0, 0, 3);
    cr_assert_eq(read_as("csv", "addr=nowhere", other, strlen(other)), -1);
    cr_assert_eq(read_as("csv", "what=1", other, strlen(other)), -1);
    cr_assert_eq(text("csv", "a,b\n1,2\n"), -1);
    refuses("csv", "id,bytes", (const char *[]){"1", "x,1", "1,4294967296", "1.2.3,4", NULL});
}

Test(importers, champsim)
{
    uint8_t b[64] = {0};
    const uint64_t ip = 0x401000, dst = 0x7000, src[2] = {0x8000, 0x9008};
    memcpy(b, &ip, 8);
    memcpy(b + 16, &dst, 8);
    memcpy(b + 32, &src[0], 8);
    memcpy(b + 56, &src[1], 8);
    cr_assert_eq(read_as("champsim", NULL, b, 64), 4, "%s", d.text);
    expect(0, TRACE_EXEC, ip, 1, 0, 0);
    expect(1, TRACE_READ, src[0], 0, 0, 0);
    expect(2, TRACE_READ, src[1], 0, 0, 0);
    expect(3, TRACE_WRITE, dst, 0, 0, 0);
    b[8] = 2;
    cr_assert_eq(read_as("champsim", NULL, b, 64), -1);
}

Test(importers, damon_text)
{
    const char *t = "# x\n  kdamond.0  4452 [000] 82820.952659: damon:damon_aggregated: target_id=5 nr_regions=2 "
                    "4096-12288: 0\n  kdamond.0  4452 [000] 82820.952663: damon:damon_aggregated: target_id=5 "
                    "nr_regions=2 12288-16384: 7\n";
    cr_assert_eq(text(NULL, t), 3, "%s", d.text);
    expect(0, TRACE_SPACE, 5, 0, 0, 82820952659000);
    expect(1, TRACE_REGION, 4096, 2, 0, 82820952659000);
    expect(2, TRACE_REGION, 12288, 1, 7, 82820952663000);
}

static bool shared(char *path, size_t n, const char *file)
{
    const char *src = getenv("SRCDIR");
    snprintf(path, n, "%s/../shared/traces/%s", src ? src : ".", file);
    return access(path, R_OK) == 0;
}

/* Counts of a public sample, known from an independent decoding. */
static void expect_counts(const char *file, const char *compression, uint64_t reads, uint64_t writes, uint64_t fetches)
{
    char path[512];
    if (!shared(path, sizeof path, file))
        cr_skip_test("%s is not here", path);
    d = (struct diag){0};
    struct trace_reader *r = trace_open(path, NULL, &d);
    cr_assert_not_null(r, "%s", d.text);
    cr_assert_str_eq(trace_info(r)->format, "drmemtrace");
    cr_assert_str_eq(trace_info(r)->compression, compression);
    uint64_t count[TRACE_N_KINDS] = {0};
    int k;
    while ((k = trace_read(r, rec, 64, &d)) > 0) {
        for (int i = 0; i < k; i++)
            count[rec[i].kind]++;
    }
    cr_assert_eq(k, 0, "%s", d.text);
    trace_close(r);
    cr_assert_eq(count[TRACE_READ], reads);
    cr_assert_eq(count[TRACE_WRITE], writes);
    cr_assert_eq(count[TRACE_EXEC], fetches);
}

Test(importers, drmemtrace_zip)
{
    expect_counts("mem/drio_simple_app.trace.zip", "zip", 31507, 12338, 106645 + 26297 + 1153 + 880 + 793 + 191 + 92);
}

Test(importers, drmemtrace_gzip)
{
    expect_counts("mem/drio_offline-legacy-trace.gz", "gzip", 26381, 16308,
                  62761 + 12377 + 1201 + 1094 + 903 + 320 + 97);
}

static char *unxz(const char *path)
{
    static uint8_t packed[1 << 20];
    FILE *f = fopen(path, "rb");
    size_t n = fread(packed, 1, sizeof packed, f), in = 0, out = 0, cap = 8 << 20;
    fclose(f);
    char *t = calloc(1, cap);
    uint64_t limit = 1 << 28;
    cr_assert_eq(lzma_stream_buffer_decode(&limit, 0, NULL, packed, &in, n, (uint8_t *)t, &out, cap - 1), LZMA_OK);
    return t;
}

/* The sample as damo wrote it: in the shared folder it has a layer of xz around its zlib. */
static struct trace_reader *open_damo(uint8_t **bytes)
{
    char path[512];
    shared(path, sizeof path, "damon/damo_damon.data.xz");
    static uint8_t packed[1 << 20];
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    size_t n = fread(packed, 1, sizeof packed, f), in = 0, out = 0;
    fclose(f);
    *bytes = malloc(1 << 20);
    uint64_t limit = 1 << 28;
    cr_assert_eq(lzma_stream_buffer_decode(&limit, 0, NULL, packed, &in, n, *bytes, &out, 1 << 20), LZMA_OK);
    d = (struct diag){0};
    struct trace_reader *r = trace_open_memory(*bytes, out, "damon.data", NULL, &d);
    cr_assert_not_null(r, "%s", d.text);
    cr_assert_str_eq(trace_info(r)->format, "damo");
    cr_assert_str_eq(trace_info(r)->compression, "zlib");
    return r;
}

/* damo's own report of the same record: region by region, "start-end ( length) nr_accesses age". */
Test(importers, damo_agrees_with_its_own_regions)
{
    char path[512];
    if (!shared(path, sizeof path, "damon/damo_expect_report-raw.xz"))
        cr_skip_test("%s is not here", path);
    char *report = unxz(path), *save = NULL;
    uint8_t *bytes;
    struct trace_reader *r = open_damo(&bytes);
    uint32_t regions = 0;
    int k;
    for (char *line = strtok_r(report, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned long start, end;
        unsigned accesses;
        if (sscanf(line, "%lx-%lx (%*[^)])%u", &start, &end, &accesses) != 3)
            continue;
        do
            k = trace_read(r, rec, 1, &d);
        while (k == 1 && rec[0].kind == TRACE_SPACE);
        cr_assert_eq(k, 1, "region %u: %s", regions, d.text);
        cr_assert(rec[0].addr == start && rec[0].arg == (end - start) >> 12 && rec[0].size == accesses, "region %u: %s",
                  regions, line);
        regions++;
    }
    cr_assert_gt(regions, 100);
    cr_assert_eq(trace_read(r, rec, 1, &d), 0, "%s", d.text);
    trace_close(r);
    free(bytes);
    free(report);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* damo's report of working set sizes: bytes of the regions with accesses, of each snapshot but the first twenty; the
 * average and a hundred percentiles. */
Test(importers, damo_agrees_with_its_own_working_sets)
{
    char path[512];
    if (!shared(path, sizeof path, "damon/damo_expect_report-wss.xz"))
        cr_skip_test("%s is not here", path);
    char *report = unxz(path), *save = NULL;
    uint8_t *bytes;
    struct trace_reader *r = open_damo(&bytes);
    static uint64_t wss[4096];
    uint64_t n = 0, now = 0, sum = 0;
    while (trace_read(r, rec, 1, &d) == 1) {
        if (rec[0].kind != TRACE_REGION)
            continue;
        if (n == 0 || rec[0].time_ns != now)
            wss[n++] = 0;
        now = rec[0].time_ns;
        wss[n - 1] += rec[0].size ? (uint64_t)rec[0].arg << 12 : 0;
    }
    cr_assert_eq(n, 543);
    const uint64_t *later = wss + 20;
    n -= 20;
    for (uint64_t i = 0; i < n; i++)
        sum += later[i];
    qsort(wss + 20, n, sizeof *wss, compare_u64);
    uint32_t rows = 0;
    for (char *line = strtok_r(report, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned long average, percentile, size;
        if (sscanf(line, "# avr:\t%lu", &average) == 1)
            cr_assert_eq(sum / n, average);
        if (sscanf(line, "%lu %lu |", &percentile, &size) != 2)
            continue;
        uint64_t at = percentile * n / 100;
        cr_assert_eq(later[at < n ? at : n - 1], size, "percentile %lu", percentile);
        rows++;
    }
    cr_assert_eq(rows, 100);
    trace_close(r);
    free(bytes);
    free(report);
}

/* SPDX-License-Identifier: MIT */
/* Exporters, read back by the importers or byte by byte; counting; copying with marks. */
#include "sim/trace/convert.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/quire-export-XXXXXX";
static struct diag d;
static struct trace_rec got[5000];

static void setup(void)
{
    close(mkstemp(path));
}
static void teardown(void)
{
    unlink(path);
}

static const struct trace_rec sample[] = {
    {.addr = 0x400000, .arg = 1, .size = 4, .kind = TRACE_EXEC, .time_ns = 10},
    {.addr = 0x1008, .size = 8, .kind = TRACE_READ, .time_ns = 11},
    {.addr = 0x2010, .size = 8, .kind = TRACE_WRITE, .time_ns = 12},
    {.kind = TRACE_SFENCE, .time_ns = 13},
    {.addr = 0x400004, .arg = 1, .size = 4, .kind = TRACE_EXEC, .time_ns = 14},
    {.addr = 0x3000, .size = 8, .kind = TRACE_MODIFY, .time_ns = 15},
    {.addr = 0x400008, .arg = 3, .size = 4, .kind = TRACE_EXEC, .time_ns = 16},
    {.addr = 0x1008, .size = 8, .kind = TRACE_READ, .time_ns = 17},
};
#define N_SAMPLE (sizeof sample / sizeof sample[0])

static uint64_t export_as(const char *format, const struct trace_rec *rec, uint32_t n)
{
    d = (struct diag){0};
    struct trace_writer *w =
        trace_writer_new(path, &(struct trace_writer_options){.format = format, .has_time = true}, &d);
    cr_assert_not_null(w, "%s", d.text);
    cr_assert_eq(trace_write(w, rec, n, &d), 0);
    uint64_t dropped = trace_writer_dropped(w);
    cr_assert_eq(trace_writer_finish(w, &d), 0, "%s", d.text);
    return dropped;
}

static int read_back(const char *format)
{
    struct trace_reader *r = trace_open(path, &(struct trace_options){.format = format}, &d);
    cr_assert_not_null(r, "%s", d.text);
    int n = 0, k;
    while ((k = trace_read(r, got + n, 100, &d)) > 0)
        n += k;
    cr_assert_eq(k, 0, "%s", d.text);
    trace_close(r);
    return n;
}

static void expect(int i, uint8_t kind, uint64_t addr, uint32_t arg)
{
    cr_assert(got[i].kind == kind && got[i].addr == addr && got[i].arg == arg, "record %d: kind %u addr %#lx arg %u", i,
              got[i].kind, got[i].addr, got[i].arg);
}

Test(export, dramsim3, .init = setup, .fini = teardown)
{
    cr_assert_eq(export_as("dramsim3", sample, N_SAMPLE), 4);
    cr_assert_eq(read_back(NULL), 4);
    expect(0, TRACE_READ, 0x1008, 0);
    expect(2, TRACE_WRITE, 0x3000, 0);
    cr_assert_eq(got[3].time_ns, 17);
}

Test(export, ramulator, .init = setup, .fini = teardown)
{
    cr_assert_eq(export_as("ramulator", sample, N_SAMPLE), 4);
    cr_assert_eq(read_back(NULL), 5);
    expect(1, TRACE_WRITE, 0x2010, 0);
    expect(2, TRACE_READ, 0x3000, 0);
    expect(3, TRACE_WRITE, 0x3000, 0);
    cr_assert_eq(export_as("ramulator-cpu", sample, N_SAMPLE), 4);
    cr_assert_eq(read_back("ramulator-cpu"), 5);
    expect(0, TRACE_READ, 0x1008, 1);
    expect(1, TRACE_WRITE, 0x2010, 0);
    expect(2, TRACE_READ, 0x3000, 1);
    expect(4, TRACE_READ, 0x1008, 3);
}

Test(export, champsim, .init = setup, .fini = teardown)
{
    cr_assert_eq(export_as("champsim", sample, N_SAMPLE), 1);
    cr_assert_eq(read_back("champsim"), 8);
    const uint8_t kinds[] = {TRACE_EXEC, TRACE_READ,  TRACE_WRITE, TRACE_EXEC,
                             TRACE_READ, TRACE_WRITE, TRACE_EXEC,  TRACE_READ};
    for (int i = 0; i < 8; i++)
        cr_assert_eq(got[i].kind, kinds[i], "record %d", i);
    cr_assert(got[3].addr == 0x400004 && got[5].addr == 0x3000 && got[7].addr == 0x1008);
    struct trace_rec many[9] = {{.addr = 0x10, .kind = TRACE_EXEC}};
    for (int i = 1; i < 9; i++)
        many[i] = (struct trace_rec){.addr = 0x1000u * (unsigned)i, .kind = i < 7 ? TRACE_READ : TRACE_WRITE};
    export_as("champsim", many, 9);
    cr_assert_eq(read_back("champsim"), 10); /* six loads do not fit one instruction: a second at the same address */
    cr_assert(got[5].kind == TRACE_EXEC && got[5].addr == 0x10);
}

Test(export, oracleGeneral_knows_the_next_access, .init = setup, .fini = teardown)
{
    enum { N = 10000 };
    static struct trace_rec rec[N];
    static uint8_t b[N * 24 + 1];
    for (uint32_t i = 0; i < N; i++)
        rec[i] = (struct trace_rec){.addr = (uint64_t)(i * 7919u % 613u) - 1,
                                    .arg = i,
                                    .kind = TRACE_OBJECT_READ,
                                    .time_ns = i * 1000000000ull};
    export_as("oracleGeneral", rec, N);
    FILE *f = fopen(path, "rb");
    cr_assert_eq(fread(b, 1, sizeof b, f), N * 24);
    fclose(f);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t time, bytes;
        uint64_t id;
        int64_t next, want = i + 1;
        memcpy(&time, b + 24 * i, 4);
        memcpy(&id, b + 24 * i + 4, 8);
        memcpy(&bytes, b + 24 * i + 12, 4);
        memcpy(&next, b + 24 * i + 16, 8);
        while (want < N && rec[want].addr != rec[i].addr)
            want++;
        cr_assert(time == i && id == rec[i].addr && bytes == i, "record %u", i);
        cr_assert_eq(next, want < N ? want : -1, "record %u: next %ld", i, next);
    }
}

Test(export, what_cannot_be_written, .init = setup, .fini = teardown)
{
    d = (struct diag){0};
    cr_assert_null(trace_writer_new(path, &(struct trace_writer_options){.format = "vscsi"}, &d));
    cr_assert(strstr(d.text, "trace format 'vscsi' cannot be written"), "%s", d.text);
    for (uint32_t i = 0; trace_format_at(i); i++) { /* the table tells the truth */
        d = (struct diag){0};
        struct trace_writer *w =
            trace_writer_new(path, &(struct trace_writer_options){.format = trace_format_at(i)->name}, &d);
        cr_assert_eq(w != NULL, trace_format_at(i)->can_write, "%s", trace_format_at(i)->name);
        trace_writer_abort(w);
    }
}

Test(convert, copies_marks_and_counts, .init = setup, .fini = teardown)
{
    char copy[64];
    snprintf(copy, sizeof copy, "%s.copy", path);
    d = (struct diag){0};
    struct trace_writer *w = trace_writer_new(path, &(struct trace_writer_options){.has_time = true}, &d);
    struct trace_rec other = {.addr = 512, .arg = 1024, .kind = TRACE_BLOCK_WRITE, .vcpu = 6, .time_ns = 20};
    cr_assert_eq(trace_writer_mark(w, 0, 5, "begin", &d), 0);
    cr_assert_eq(trace_write(w, sample, N_SAMPLE, &d), 0);
    cr_assert_eq(trace_writer_mark(w, 3, 19, "end", &d), 0);
    cr_assert_eq(trace_write(w, &other, 1, &d), 0);
    cr_assert_eq(trace_writer_finish(w, &d), 0);
    struct trace_reader *r = trace_open(path, NULL, &d);
    uint64_t dropped;
    cr_assert_eq(trace_info(r)->n_vcpus, 7); /* as many as the records show */
    cr_assert_eq(trace_convert(r, copy, &(struct trace_writer_options){.has_time = true, .pack = TRACE_PACK_NONE}, NULL,
                               NULL, &dropped, &d),
                 0, "%s", d.text);
    trace_close(r);
    r = trace_open(copy, NULL, &d);
    struct trace_summary s;
    cr_assert_eq(trace_summarise(r, &s, NULL, NULL, &d), 0, "%s", d.text);
    trace_close(r);
    cr_assert(s.n_records == N_SAMPLE + 3 && s.n_kind[TRACE_MARK] == 2 && s.n_kind[TRACE_EXEC] == 3 && s.n_vcpus == 7);
    cr_assert(s.n_instructions == 5 && s.n_block_bytes == 1024 && s.first_ns == 5 && s.last_ns == 20);
    cr_assert(s.least_addr == 0x1008 && s.most_addr == 0x400008);
    r = trace_open(copy, NULL, &d);
    cr_assert_eq(trace_read(r, got, 100, &d), (int)N_SAMPLE + 3);
    cr_assert_str_eq(trace_mark_text(r, &got[0]), "begin");
    cr_assert_str_eq(trace_mark_text(r, &got[N_SAMPLE + 1]), "end");
    trace_close(r);
    unlink(copy);
}

Test(convert, a_damaged_source_leaves_nothing, .init = setup, .fini = teardown)
{
    export_as("qtr", sample, N_SAMPLE);
    cr_assert_eq(truncate(path, 150), 0);
    char copy[64];
    snprintf(copy, sizeof copy, "%s.copy", path);
    struct trace_reader *r = trace_open(path, NULL, &d);
    uint64_t dropped;
    cr_assert_eq(trace_convert(r, copy, NULL, NULL, NULL, &dropped, &d), -1);
    trace_close(r);
    cr_assert_neq(access(copy, F_OK), 0);
    cr_assert_eq(d.n_errors, 1);
}

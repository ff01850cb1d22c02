/* SPDX-License-Identifier: MIT */
/* The native format: every kind of record there and back, the index, truncation at every byte, damage anywhere. */
#include "sim/base/rng.h"
#include "sim/trace/qtr.h"
#include "sim/trace/trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/quire-native-XXXXXX";
static char path[64];

static void setup(void)
{
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/t.qtr", dir);
}
static void teardown(void)
{
    unlink(path);
    cr_assert_eq(rmdir(dir), 0, "something was left behind");
}

static uint8_t *slurp(uint64_t *n)
{
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    struct stat st;
    fstat(fileno(f), &st);
    uint8_t *p = malloc((size_t)st.st_size + 1);
    *n = fread(p, 1, (size_t)st.st_size, f);
    fclose(f);
    return p;
}

static void write_all(const struct trace_rec *rec, uint32_t n, const struct trace_writer_options *opt)
{
    struct diag d = {0};
    struct trace_writer *w = trace_writer_new(path, opt, &d);
    cr_assert_not_null(w, "%s", d.text);
    for (uint32_t at = 0; at < n; at += 777)
        cr_assert_eq(trace_write(w, rec + at, n - at < 777 ? n - at : 777, &d), 0, "%s", d.text);
    cr_assert_eq(trace_writer_finish(w, &d), 0, "%s", d.text);
}

static void expect_records(const struct trace_options *opt, const struct trace_rec *want, uint64_t n, uint32_t batch)
{
    struct diag d = {0};
    struct trace_reader *r = trace_open(path, opt, &d);
    cr_assert_not_null(r, "%s", d.text);
    struct trace_rec got[5000];
    uint64_t at = 0;
    int k;
    while ((k = trace_read(r, got, batch, &d)) > 0) {
        cr_assert(at + (uint64_t)k <= n);
        for (int i = 0; i < k; i++)
            cr_assert_eq(memcmp(&got[i], &want[at + (uint64_t)i], sizeof got[i]), 0, "record %lu", at + (uint64_t)i);
        at += (uint64_t)k;
    }
    cr_assert_eq(k, 0, "%s", d.text);
    cr_assert_eq(at, n);
    trace_close(r);
}

/* Records of every kind but marks, with values of every length. */
static struct trace_rec *random_records(uint64_t seed, uint32_t n, uint32_t n_vcpus, bool time)
{
    struct trace_rec *rec = calloc(n, sizeof *rec);
    struct rng r;
    rng_init(&r, seed, "records");
    uint64_t now = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t kind = (uint8_t)rng_below(&r, TRACE_N_KINDS);
        now += rng_next(&r) >> (8 + rng_below(&r, 56));
        rec[i] = (struct trace_rec){.addr = rng_next(&r) >> rng_below(&r, 64),
                                    .time_ns = time ? now : 0,
                                    .arg = (uint32_t)rng_next(&r) >> rng_below(&r, 32),
                                    .size = (uint16_t)(rng_below(&r, 50) ? rng_below(&r, 8) : rng_next(&r)),
                                    .kind = kind == TRACE_MARK ? TRACE_READ : kind,
                                    .vcpu = (uint8_t)rng_below(&r, n_vcpus)};
    }
    return rec;
}

Test(native, every_kind_there_and_back, .init = setup, .fini = teardown)
{
    const struct {
        uint32_t n, n_vcpus;
        bool time;
    } cases[] = {{1, 1, false}, {2, 256, true}, {5, 3, true}, {65536, 1, false}, {65537, 2, true}, {300001, 256, true}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct trace_rec *rec = random_records(c, cases[c].n, cases[c].n_vcpus, cases[c].time);
        write_all(rec, cases[c].n,
                  &(struct trace_writer_options){
                      .n_vcpus = cases[c].n_vcpus, .has_time = cases[c].time, .pack = (enum trace_pack)(c % 3)});
        expect_records(NULL, rec, cases[c].n, 5000);
        expect_records(NULL, rec, cases[c].n, 1 + (uint32_t)c * 37);
        free(rec);
    }
}

/* Shapes that pick each coding: all zero, one width, tags, shifted, one class. */
Test(native, every_coding, .init = setup, .fini = teardown)
{
    const uint32_t n = 70000;
    struct trace_rec *rec = calloc(n, sizeof *rec);
    write_all(rec, n, NULL);
    expect_records(NULL, rec, n, 4096);
    for (uint32_t i = 0; i < n; i++)
        rec[i] = (struct trace_rec){.addr = (uint64_t)(i * 2654435761u) << 12, .arg = i & 0xff, .kind = TRACE_WRITE};
    write_all(rec, n, NULL);
    expect_records(NULL, rec, n, 4095);
    for (uint32_t i = 0; i < n; i++)
        rec[i].addr = i % 100 ? (uint64_t)i * 64 : ~(uint64_t)i << 40, rec[i].arg = i % 1000 ? 1 : UINT32_MAX;
    write_all(rec, n, NULL);
    expect_records(NULL, rec, n, 3);
    free(rec);
}

Test(native, an_empty_trace_and_its_header, .init = setup, .fini = teardown)
{
    write_all(NULL, 0,
              &(struct trace_writer_options){
                  .n_vcpus = 7, .has_time = true, .pages_only = true, .meta = "source=none\nseed=1\n"});
    struct diag d = {0};
    struct trace_reader *r = trace_open(path, NULL, &d);
    cr_assert_not_null(r, "%s", d.text);
    const struct trace_info *i = trace_info(r);
    cr_assert_str_eq(i->format, "qtr");
    cr_assert_str_eq(i->compression, "none");
    cr_assert_str_eq(i->meta, "source=none\nseed=1\n");
    cr_assert(i->n_vcpus == 7 && i->n_records == 0 && i->has_time && i->pages_only);
    struct trace_rec rec;
    cr_assert_eq(trace_read(r, &rec, 1, &d), 0);
    trace_close(r);
}

Test(native, marks_keep_their_text_and_place, .init = setup, .fini = teardown)
{
    struct diag d = {0};
    struct trace_writer *w = trace_writer_new(path, &(struct trace_writer_options){.has_time = true, .n_vcpus = 2}, &d);
    char *big = malloc(QTR_MAX_TEXT + 2);
    memset(big, 'x', QTR_MAX_TEXT + 1);
    big[QTR_MAX_TEXT] = 0;
    for (int i = 0; i < 40; i++) { /* 40 big ones pass the bound of a chunk's texts */
        char text[32];
        snprintf(text, sizeof text, "phase %d", i);
        const struct trace_rec rec = {.addr = 4096, .kind = TRACE_READ, .time_ns = 5};
        cr_assert_eq(trace_writer_mark(w, 1, (uint64_t)i, text, &d), 0);
        cr_assert_eq(trace_write(w, &rec, 1, &d), 0);
        cr_assert_eq(trace_writer_mark(w, 0, 0, big, &d), 0);
        cr_assert_eq(trace_writer_mark(w, 0, 0, "", &d), 0);
    }
    cr_assert_eq(trace_writer_finish(w, &d), 0, "%s", d.text);
    struct trace_reader *r = trace_open(path, NULL, &d);
    struct trace_rec rec[7];
    int k, at = 0;
    while ((k = trace_read(r, rec, 7, &d)) > 0) {
        for (int j = 0; j < k; j++, at++) {
            char text[32];
            snprintf(text, sizeof text, "phase %d", at / 4);
            cr_assert_eq(rec[j].kind, at % 4 == 1 ? TRACE_READ : TRACE_MARK);
            if (at % 4 != 1)
                cr_assert_str_eq(trace_mark_text(r, &rec[j]), at % 4 == 0 ? text : at % 4 == 2 ? big : "");
        }
    }
    cr_assert_eq(k, 0, "%s", d.text);
    cr_assert_eq(at, 160);
    trace_close(r);
    big[QTR_MAX_TEXT] = 'x';
    big[QTR_MAX_TEXT + 1] = 0;
    w = trace_writer_new(path, NULL, &d);
    cr_assert_eq(trace_writer_mark(w, 0, 0, big, &d), -1);
    trace_writer_abort(w);
    free(big);
}

Test(native, skip_and_limit_use_the_index, .init = setup, .fini = teardown)
{
    const uint32_t n = 400000;
    struct trace_rec *rec = random_records(11, n, 4, true);
    write_all(rec, n, &(struct trace_writer_options){.n_vcpus = 4, .has_time = true});
    const uint64_t skips[] = {0, 1, 65535, 65536, 65537, 300000, n - 1, n, n + 5ull};
    for (size_t i = 0; i < sizeof skips / sizeof skips[0]; i++) {
        uint64_t from = skips[i] < n ? skips[i] : n;
        expect_records(&(struct trace_options){.skip = skips[i]}, rec + from, n - from, 1000);
        uint64_t some = n - from < 70000 ? n - from : 70000;
        expect_records(&(struct trace_options){.skip = skips[i], .limit = 70000}, rec + from, some, 999);
    }
    free(rec);
}

/* Reads n bytes as a trace. Records delivered; *failed tells if it ended in an error, whose text must name the place.
 */
static uint64_t read_bytes(const uint8_t *p, uint64_t n, bool *failed)
{
    struct diag d = {0};
    const struct trace_options opt = {.format = "qtr"};
    struct trace_reader *r = trace_open_memory(p, n, "mem", &opt, &d);
    struct trace_rec rec[512];
    uint64_t got = 0;
    int k = r ? 0 : -1;
    while (r && (k = trace_read(r, rec, 512, &d)) > 0) {
        got += (uint64_t)k;
        for (int i = 0; i < k; i++)
            cr_assert_lt(rec[i].kind, TRACE_N_KINDS);
    }
    *failed = k < 0;
    cr_assert_eq(d.n_errors, *failed ? 1 : 0, "%s", d.text);
    if (*failed)
        cr_assert(strncmp(d.text, "mem: byte ", 10) == 0 && !strchr(d.text, '\n'), "%s", d.text);
    trace_close(r);
    return got;
}

static uint8_t *small_trace(uint64_t *n)
{
    struct trace_rec *rec = random_records(21, 900, 3, true);
    struct diag d = {0};
    struct trace_writer *w =
        trace_writer_new(path, &(struct trace_writer_options){.n_vcpus = 3, .has_time = true, .meta = "a=b\n"}, &d);
    trace_write(w, rec, 400, &d);
    trace_writer_mark(w, 0, 1, "middle", &d);
    trace_write(w, rec + 400, 500, &d);
    cr_assert_eq(trace_writer_finish(w, &d), 0);
    free(rec);
    return slurp(n);
}

Test(native, truncation_at_every_byte, .init = setup, .fini = teardown)
{
    uint64_t n;
    uint8_t *p = small_trace(&n);
    bool failed;
    cr_assert_eq(read_bytes(p, n, &failed), 901);
    cr_assert_not(failed);
    for (uint64_t cut = 0; cut < n; cut++) {
        uint8_t *copy = malloc(cut ? cut : 1); /* its own allocation, so that reading past it is seen */
        memcpy(copy, p, cut);
        read_bytes(copy, cut, &failed);
        cr_assert(failed, "cut at %lu of %lu was not noticed", cut, n);
        free(copy);
    }
    free(p);
}

Test(native, every_flipped_byte_is_noticed, .init = setup, .fini = teardown)
{
    uint64_t n;
    uint8_t *p = small_trace(&n);
    bool failed;
    for (uint64_t i = 0; i < n; i++) {
        p[i] ^= 0x41;
        read_bytes(p, n, &failed);
        cr_assert(failed, "byte %lu changed unnoticed", i);
        p[i] ^= 0x41;
    }
    free(p);
}

Test(native, a_writer_refuses_what_the_format_cannot_hold, .init = setup, .fini = teardown)
{
    const struct trace_rec bad[] = {{.kind = TRACE_N_KINDS}, {.kind = TRACE_MARK}, {.vcpu = 2}};
    for (int i = 0; i < 3; i++) {
        struct diag d = {0};
        struct trace_writer *w = trace_writer_new(path, &(struct trace_writer_options){.n_vcpus = 2}, &d);
        cr_assert_eq(trace_write(w, &bad[i], 1, &d), -1);
        cr_assert_eq(trace_writer_finish(w, &d), -1);
        cr_assert_neq(access(path, F_OK), 0);
    }
    struct diag d = {0};
    cr_assert_null(trace_writer_new("/nonexistent/x.qtr", NULL, &d));
    cr_assert_eq(d.n_errors, 1);
}

Test(native, a_killed_writer_leaves_the_old_file, .init = setup)
{
    const struct trace_rec rec = {.addr = 0x1000, .kind = TRACE_READ};
    write_all(&rec, 1, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct diag d = {0};
        struct trace_writer *w = trace_writer_new(path, NULL, &d);
        struct trace_rec *many = random_records(1, 200000, 1, false);
        trace_write(w, many, 200000, &d);
        _exit(0); /* as if killed: neither finish nor abort */
    }
    int status;
    waitpid(pid, &status, 0);
    expect_records(NULL, &rec, 1, 10);
    char rm[64];
    snprintf(rm, sizeof rm, "rm -r %s", dir);
    cr_assert_eq(system(rm), 0);
}

Test(columns, tag_widths_are_checked)
{
    static uint8_t raw[QTR_MAX_COLUMN + QTR_PAD];
    struct qtr_column c = {0};
    uint64_t v[1001];
    for (uint32_t i = 0; i < 1001; i++)
        v[i] = i % 50 ? i & 3 : ~0ull;
    qtr_encode(v, 1001, raw, &c);
    cr_assert_eq(c.coding, QTR_TAGGED);
    cr_assert(qtr_column_fits(&c, raw, 1001));
    cr_assert_not(qtr_column_fits(&c, raw, 1005));
    raw[250] ^= 0x80; /* a padding bit of the last tag byte */
    cr_assert_not(qtr_column_fits(&c, raw, 1001));
    raw[250] ^= 0x80;
    struct qtr_cursor k;
    qtr_cursor_start(&k, &c, raw, 1001);
    for (uint32_t i = 0; i < 1001; i++)
        cr_assert_eq(qtr_next(&k, i, QTR_TAGGED), v[i]);
}

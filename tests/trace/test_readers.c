/* SPDX-License-Identifier: MIT */
/* Foreign formats: what a record means, where damage is reported; compressed streams, pipes. */
#include "sim/trace/trace.h"

#include <criterion/criterion.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static struct trace_rec rec[4096];
static struct diag d;

/* Reads bytes as a trace of the format; records, or -1 with d filled. */
static int read_as(const char *format, const void *bytes, uint64_t n)
{
    const struct trace_options opt = {.format = format};
    d = (struct diag){0};
    struct trace_reader *r = trace_open_memory(bytes, n, "mem", &opt, &d);
    if (!r)
        return -1;
    int got = 0, k;
    while ((k = trace_read(r, rec + got, got < 4000 ? 7 : 1, &d)) > 0)
        got += k;
    trace_close(r);
    cr_assert_eq(d.n_errors, k < 0 ? 1 : 0);
    return k < 0 ? -1 : got;
}

static int read_text(const char *format, const char *text)
{
    return read_as(format, text, strlen(text));
}

Test(pw, fields)
{
    const uint64_t v[] = {0x123456789ull | 1ull << 36 | 5ull << 39, 1 | 1ull << 37, 2 | 1ull << 38 | 0x1ffffffull << 39,
                          3 | 3ull << 36};
    cr_assert_eq(read_as("pw", v, sizeof v), 4, "%s", d.text);
    cr_assert(rec[0].addr == 0x123456789000 && rec[0].kind == TRACE_WRITE && rec[0].arg == 5 && rec[0].size == 0);
    cr_assert(rec[1].kind == TRACE_READ && rec[1].arg == 0);
    cr_assert(rec[2].kind == TRACE_EXEC && rec[2].arg == 0x1ffffff);
    cr_assert(rec[3].kind == TRACE_MODIFY);
    cr_assert_eq(read_as("pw", v, 27), -1);
    cr_assert_str_eq(d.text, "mem: byte 24: truncated: found 3 bytes, expected a record of 8");
    const uint64_t bad[] = {1 | 1ull << 37, 5};
    cr_assert_eq(read_as("pw", bad, sizeof bad), -1);
    cr_assert(strstr(d.text, "mem: byte 8: found no kind"), "%s", d.text);
}

Test(raw, fields)
{
    const uint64_t v[] = {0x7fffffffffffull | 8ull << 48 | 1ull << 56, 0x1000 | 255ull << 48 | 3ull << 56,
                          0x2000 | 4ull << 48, 0x3000 | 2ull << 56 | 1ull << 48};
    cr_assert_eq(read_as("raw", v, sizeof v), 4, "%s", d.text);
    cr_assert(rec[0].addr == 0x7fffffffffff && rec[0].kind == TRACE_READ && rec[0].size == 8);
    cr_assert(rec[1].kind == TRACE_MODIFY && rec[1].size == 255);
    cr_assert(rec[2].kind == TRACE_EXEC && rec[3].kind == TRACE_WRITE);
    const uint64_t bad = 1ull << 58;
    cr_assert_eq(read_as("raw", &bad, 8), -1);
    cr_assert(strstr(d.text, "mem: byte 0: found bits above 57"), "%s", d.text);
}

Test(lackey, fields_and_mistakes)
{
    const char *good = "==123== Lackey\n\nI  04000a10,3\n L 1ffeffe7e,8\r\n S 1ffeffe7f,4\n M 0421c7cc,16";
    cr_assert_eq(read_text("lackey", good), 4, "%s", d.text);
    cr_assert_eq(read_text(NULL, good), 4, "not recognised: %s", d.text);
    cr_assert(rec[0].addr == 0x4000a10 && rec[0].kind == TRACE_EXEC && rec[0].size == 3);
    cr_assert(rec[1].addr == 0x1ffeffe7e && rec[1].kind == TRACE_READ && rec[1].size == 8);
    cr_assert(rec[2].kind == TRACE_WRITE && rec[3].kind == TRACE_MODIFY && rec[3].size == 16);
    const char *bad[] = {" L 10,0\n",  " L 10\n",    " L ,8\n",       " X 10,8\n",
                         "L 10,8\n",   " L 10,8 \n", " L 10,65536\n", " L 1ffffffffffffffff,8\n",
                         "\x01\x02\n", " L 10,,8\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[80];
        snprintf(text, sizeof text, " L 10,8\n== x\n%s", bad[i]);
        cr_assert_eq(read_text("lackey", text), -1, "'%s' was taken", bad[i]);
        cr_assert(strncmp(d.text, "mem:3: found '", 14) == 0, "%s", d.text);
    }
    char *longest = malloc(10001);
    memset(longest, '=', 10000);
    longest[10000] = 0;
    cr_assert_eq(read_text("lackey", longest), -1);
    free(longest);
}

static void put_vscsi(uint8_t *p, int version, uint16_t op, uint32_t bytes, uint64_t block, uint64_t us)
{
    memset(p, 0, 40);
    uint16_t ver = (uint16_t)(version << 8);
    memcpy(p + (version == 1 ? 12 : 0), &op, 2);
    memcpy(p + (version == 1 ? 14 : 2), &ver, 2);
    memcpy(p + (version == 1 ? 4 : 8), &bytes, 4);
    memcpy(p + 16, &block, 8);
    memcpy(p + 24, &us, 8);
}

Test(vscsi, both_versions)
{
    for (int version = 1; version <= 2; version++) {
        uint8_t b[160];
        int size = version == 1 ? 32 : 40;
        put_vscsi(b, version, 0x28, 4096, 77, 1000);
        put_vscsi(b + size, version, 0x2a, 512, 78, 2000);
        put_vscsi(b + 2 * size, version, 0x12, 36, 0, 2500); /* INQUIRY moves no blocks */
        put_vscsi(b + 3 * size, version, 0x35, 0, 0, 3000);
        cr_assert_eq(read_as(NULL, b, 4 * (uint64_t)size), 3, "version %d: %s", version, d.text);
        cr_assert(rec[0].kind == TRACE_BLOCK_READ && rec[0].addr == 77 * 512 && rec[0].arg == 4096);
        cr_assert_eq(rec[0].time_ns, 1000000);
        cr_assert(rec[1].kind == TRACE_BLOCK_WRITE && rec[2].kind == TRACE_BLOCK_FLUSH);
        b[3 * size + (version == 1 ? 15 : 3)] = 9;
        cr_assert_eq(read_as("vscsi", b, 4 * (uint64_t)size), -1);
        cr_assert(strstr(d.text, version == 1 ? "byte 96:" : "byte 120:"), "%s", d.text);
    }
}

/* A stream of records, compressed by each method; cut anywhere it must be noticed, whole it must be read. */
static uint64_t pw_stream[3000];

static void fill_stream(void)
{
    for (uint64_t i = 0; i < 3000; i++)
        pw_stream[i] = (i * i * 7919 & 0xfffffffff) | 1ull << 37;
}

static void check_compressed(const uint8_t *packed, uint64_t n, const char *name)
{
    cr_assert_eq(read_as("pw", packed, n), 3000, "%s: %s", name, d.text);
    cr_assert_eq(rec[2999].addr, (pw_stream[2999] & 0xfffffffff) << 12);
    const struct trace_options opt = {.format = "pw"};
    struct trace_reader *r = trace_open_memory(packed, n, "mem", &opt, &d);
    cr_assert_str_eq(trace_info(r)->compression, name);
    trace_close(r);
    for (uint64_t cut = 6; cut<n; cut += n - cut> 40 && cut > 40 ? 97 : 1) {
        uint8_t *copy = malloc(cut);
        memcpy(copy, packed, cut);
        cr_assert_eq(read_as("pw", copy, cut), -1, "%s cut at %lu was not noticed", name, cut);
        cr_assert(strstr(d.text, "of the decompressed stream"), "%s", d.text);
        free(copy);
    }
}

static uint64_t gzip_it(const void *from, uint64_t n, uint8_t *to, uint64_t cap)
{
    z_stream z = {0};
    deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (void *)(uintptr_t)from;
    z.avail_in = (uInt)n;
    z.next_out = to;
    z.avail_out = (uInt)cap;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    uint64_t made = z.total_out;
    deflateEnd(&z);
    return made;
}

Test(streams, gzip_one_member_and_two)
{
    static uint8_t packed[65536];
    fill_stream();
    uint64_t n = gzip_it(pw_stream, sizeof pw_stream, packed, sizeof packed);
    check_compressed(packed, n, "gzip");
    n = gzip_it(pw_stream, 8000, packed, sizeof packed);
    n += gzip_it(pw_stream + 1000, sizeof pw_stream - 8000, packed + n, sizeof packed - n);
    cr_assert_eq(read_as("pw", packed, n), 3000, "%s", d.text);
}

Test(streams, xz)
{
    static uint8_t packed[65536];
    size_t n = 0;
    fill_stream();
    cr_assert_eq(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL, (const uint8_t *)pw_stream, sizeof pw_stream,
                                         packed, &n, sizeof packed),
                 LZMA_OK);
    check_compressed(packed, n, "xz");
}

Test(streams, zstd)
{
    static uint8_t packed[65536];
    fill_stream();
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    size_t n = ZSTD_compress2(c, packed, sizeof packed, pw_stream, sizeof pw_stream);
    ZSTD_freeCCtx(c);
    check_compressed(packed, n, "zstd");
    packed[n / 2] ^= 0xff;
    cr_assert_eq(read_as("pw", packed, n), -1);
}

Test(streams, a_pipe_on_standard_input)
{
    int fd[2];
    fill_stream();
    cr_assert_eq(pipe(fd), 0);
    cr_assert_eq(write(fd[1], pw_stream, 8000), 8000);
    close(fd[1]);
    dup2(fd[0], STDIN_FILENO);
    const struct trace_options opt = {.format = "pw", .skip = 10, .limit = 900};
    d = (struct diag){0};
    struct trace_reader *r = trace_open("-", &opt, &d);
    cr_assert_not_null(r, "%s", d.text);
    int got = 0, k;
    while ((k = trace_read(r, rec + got, 64, &d)) > 0)
        got += k;
    cr_assert_eq(got, 900);
    cr_assert_eq(rec[0].addr, (pw_stream[10] & 0xfffffffff) << 12);
    cr_assert_eq(trace_bytes_total(r), 0);
    trace_close(r);
}

Test(open, mistakes)
{
    d = (struct diag){0};
    cr_assert_null(trace_open("/nonexistent/t", NULL, &d));
    cr_assert(strstr(d.text, "/nonexistent/t: cannot open"), "%s", d.text);
    d = (struct diag){0};
    cr_assert_null(trace_open("/", &(struct trace_options){.format = "pw"}, &d));
    cr_assert_eq(d.n_errors, 1);
    cr_assert_eq(read_text("nothing", "x"), -1);
    cr_assert(strstr(d.text, "unknown trace format 'nothing', expected one of: qtr, pw, raw"), "%s", d.text);
    cr_assert_eq(read_text(NULL, "who knows"), -1);
    cr_assert(strstr(d.text, "no known signature"), "%s", d.text);
    cr_assert_eq(read_text("pw", ""), 0);
}

Test(lackey, writing_and_reading_back)
{
    char path[] = "/tmp/quire-lackey-XXXXXX";
    close(mkstemp(path));
    const struct trace_rec out[] = {{.addr = 0x1000, .size = 8, .kind = TRACE_READ},
                                    {.addr = 0xfffffffffff0, .size = 3, .kind = TRACE_EXEC},
                                    {.addr = 0x20, .size = 32, .kind = TRACE_MODIFY},
                                    {.kind = TRACE_SFENCE},
                                    {.addr = 0x40, .size = 1, .kind = TRACE_WRITE}};
    d = (struct diag){0};
    struct trace_writer *w = trace_writer_new(path, &(struct trace_writer_options){.format = "lackey"}, &d);
    cr_assert_eq(trace_write(w, out, 5, &d), 0);
    cr_assert_eq(trace_writer_dropped(w), 1);
    cr_assert_eq(trace_writer_finish(w, &d), 0);
    struct trace_reader *r = trace_open(path, NULL, &d);
    cr_assert_not_null(r, "%s", d.text);
    cr_assert_eq(trace_read(r, rec, 100, &d), 4, "%s", d.text);
    cr_assert_eq(memcmp(rec, out, 3 * sizeof *rec), 0);
    cr_assert_eq(memcmp(rec + 3, out + 4, sizeof *rec), 0);
    trace_close(r);
    unlink(path);
}

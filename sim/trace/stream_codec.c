/* SPDX-License-Identifier: MIT */
/* gzip, zlib, xz and zstd as pull decoders, and how each is told. */
#include "sim/trace/stream.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define XZ_MEMORY_LIMIT (256ull << 20) /* xz -9 needs 65 MiB */

struct gz_codec {
    struct codec base;
    z_stream z;
    bool inside; /* a member has begun */
};

static int64_t gz_run(struct codec *c, const uint8_t *in, uint64_t *in_pos, uint64_t in_n, bool last, uint8_t *out,
                      uint64_t cap, bool *done, const char **why)
{
    struct gz_codec *g = (struct gz_codec *)c;
    if (*in_pos == in_n && last) {
        if (!g->inside) {
            *done = true;
            return 0;
        }
        *why = "the deflate stream is truncated";
        return -1;
    }
    g->inside = true;
    g->z.next_in = (uint8_t *)(uintptr_t)(in + *in_pos);
    g->z.avail_in = (uInt)(in_n - *in_pos);
    g->z.next_out = out;
    g->z.avail_out = (uInt)cap;
    int rc = inflate(&g->z, Z_NO_FLUSH);
    *in_pos = in_n - g->z.avail_in;
    if (rc == Z_STREAM_END) { /* another member may follow */
        g->inside = false;
        inflateReset(&g->z);
    } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
        *why = "the deflate stream is damaged";
        return -1;
    }
    return (int64_t)(cap - g->z.avail_out);
}

static void gz_free(struct codec *c)
{
    inflateEnd(&((struct gz_codec *)c)->z);
    free(c);
}

/* window_bits as zlib's inflateInit2 takes them: they also tell gzip from zlib. */
static struct codec *inflater_new(const char *name, int window_bits)
{
    struct gz_codec *g = xcalloc(1, sizeof *g);
    g->base = (struct codec){.name = name, .run = gz_run, .free = gz_free};
    CHECK(inflateInit2(&g->z, window_bits) == Z_OK);
    return &g->base;
}

static struct codec *gz_new(void)
{
    return inflater_new("gzip", 15 + 16);
}

static struct codec *zlib_new(void)
{
    return inflater_new("zlib", 15);
}

struct xz_codec {
    struct codec base;
    lzma_stream z;
};

static int64_t xz_run(struct codec *c, const uint8_t *in, uint64_t *in_pos, uint64_t in_n, bool last, uint8_t *out,
                      uint64_t cap, bool *done, const char **why)
{
    struct xz_codec *x = (struct xz_codec *)c;
    bool finish = last && *in_pos == in_n;
    x->z.next_in = in + *in_pos;
    x->z.avail_in = in_n - *in_pos;
    x->z.next_out = out;
    x->z.avail_out = cap;
    lzma_ret rc = lzma_code(&x->z, finish ? LZMA_FINISH : LZMA_RUN);
    *in_pos = in_n - x->z.avail_in;
    if (rc == LZMA_STREAM_END) {
        *done = true;
    } else if (rc == LZMA_BUF_ERROR && finish) {
        *why = "the xz stream is truncated";
        return -1;
    } else if (rc != LZMA_OK && rc != LZMA_BUF_ERROR) {
        *why = rc == LZMA_MEMLIMIT_ERROR ? "the xz stream asks for more than 256 MiB" : "the xz stream is damaged";
        return -1;
    }
    return (int64_t)(cap - x->z.avail_out);
}

static void xz_free(struct codec *c)
{
    lzma_end(&((struct xz_codec *)c)->z);
    free(c);
}

static struct codec *xz_new(void)
{
    struct xz_codec *x = xcalloc(1, sizeof *x);
    x->base = (struct codec){.name = "xz", .run = xz_run, .free = xz_free};
    x->z = (lzma_stream)LZMA_STREAM_INIT;
    CHECK(lzma_stream_decoder(&x->z, XZ_MEMORY_LIMIT, LZMA_CONCATENATED) == LZMA_OK);
    return &x->base;
}

struct zs_codec {
    struct codec base;
    ZSTD_DStream *z;
    bool inside;
};

static int64_t zs_run(struct codec *c, const uint8_t *in, uint64_t *in_pos, uint64_t in_n, bool last, uint8_t *out,
                      uint64_t cap, bool *done, const char **why)
{
    struct zs_codec *x = (struct zs_codec *)c;
    bool finish = last && *in_pos == in_n;
    if (finish && !x->inside) {
        *done = true;
        return 0;
    }
    ZSTD_inBuffer ib = {in, in_n, *in_pos};
    ZSTD_outBuffer ob = {out, cap, 0};
    size_t rc = ZSTD_decompressStream(x->z, &ob, &ib);
    *in_pos = ib.pos;
    if (ZSTD_isError(rc)) {
        *why = "the zstd stream is damaged";
        return -1;
    }
    x->inside = rc != 0;
    if (finish && ob.pos == 0 && x->inside) {
        *why = "the zstd stream is truncated";
        return -1;
    }
    return (int64_t)ob.pos;
}

static void zs_free(struct codec *c)
{
    ZSTD_freeDStream(((struct zs_codec *)c)->z);
    free(c);
}

static struct codec *zs_new(void)
{
    struct zs_codec *x = xcalloc(1, sizeof *x);
    x->base = (struct codec){.name = "zstd", .run = zs_run, .free = zs_free};
    x->z = ZSTD_createDStream();
    CHECK(x->z);
    ZSTD_initDStream(x->z);
    return &x->base;
}

/* One zlib stream of text, which is what damo writes. Two bytes are a weak signature, so what they begin must inflate
 * to the beginning of a JSON value. */
static bool is_zlib_json(const uint8_t *p, uint64_t n)
{
    if (n < 8 || p[0] != 0x78 || ((uint32_t)p[0] << 8 | p[1]) % 31 != 0)
        return false;
    uint8_t out[16] = {0};
    z_stream z = {
        .next_in = (uint8_t *)(uintptr_t)p, .avail_in = n < 512 ? (uInt)n : 512, .next_out = out, .avail_out = 16};
    if (inflateInit(&z) != Z_OK)
        return false;
    int rc = inflate(&z, Z_SYNC_FLUSH);
    inflateEnd(&z);
    return (rc == Z_OK || rc == Z_STREAM_END) && z.avail_out < 16 && (out[0] == '[' || out[0] == '{');
}

static bool is_gzip(const uint8_t *p, uint64_t n)
{
    return n >= 4 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8 && p[3] < 0x20;
}

static bool is_xz(const uint8_t *p, uint64_t n)
{
    return n >= 6 && memcmp(p,
                            "\xfd"
                            "7zXZ",
                            6) == 0;
}

static bool is_zstd(const uint8_t *p, uint64_t n)
{
    return n >= 4 && memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0;
}

static bool is_zip(const uint8_t *p, uint64_t n)
{
    return n >= 4 && memcmp(p, "PK\3\4", 4) == 0;
}

struct signature {
    bool (*is)(const uint8_t *p, uint64_t n);
    struct codec *(*make)(void);
};

static const struct signature signatures[] = {
    {is_gzip, gz_new}, {is_xz, xz_new}, {is_zstd, zs_new}, {is_zip, codec_zip_new}, {is_zlib_json, zlib_new},
};

struct codec *codec_for(const uint8_t *head, uint64_t n)
{
    for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++) {
        if (signatures[i].is(head, n))
            return signatures[i].make();
    }
    return NULL;
}

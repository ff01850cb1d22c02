/* SPDX-License-Identifier: MIT */
/* A .zip archive as one stream: its members one after the other, in the order of the file. Members are stored or
 * deflated; the central directory at the end is not needed. */
#include "sim/trace/stream.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LOCAL_BYTES = 30 };
enum zip_state { ZIP_HEADER, ZIP_SKIP, ZIP_STORED, ZIP_DEFLATED, ZIP_DESCRIPTOR, ZIP_DONE };

struct zip_codec {
    struct codec base;
    z_stream z;
    enum zip_state state;
    uint8_t head[LOCAL_BYTES];
    uint32_t n_head;
    uint64_t left; /* bytes still to skip, or to copy */
    bool deflated, has_descriptor;
};

static uint32_t at16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}
static uint32_t at32(const uint8_t *p)
{
    return at16(p) | at16(p + 2) << 16;
}

/* Collects bytes into head until it has n. */
static bool collect(struct zip_codec *x, const uint8_t *in, uint64_t *in_pos, uint64_t in_n, uint32_t n)
{
    while (x->n_head < n && *in_pos < in_n)
        x->head[x->n_head++] = in[(*in_pos)++];
    return x->n_head == n;
}

static int begin_member(struct zip_codec *x, const char **why)
{
    const uint8_t *h = x->head;
    uint32_t flags = at16(h + 6), method = at16(h + 8), packed = at32(h + 18);
    x->deflated = method == 8;
    x->has_descriptor = flags & 8;
    if ((flags & 1) || (method != 8 && (method != 0 || x->has_descriptor || packed == UINT32_MAX))) {
        *why = "a zip member is encrypted or packed by a method other than deflate";
        return -1;
    }
    x->left = at16(h + 26) + at16(h + 28);
    x->state = ZIP_SKIP;
    return 0;
}

/* Between members: a local header begins one, anything else of a zip file ends them. */
static int at_header(struct zip_codec *x, const uint8_t *in, uint64_t *in_pos, uint64_t in_n, const char **why)
{
    if (!collect(x, in, in_pos, in_n, 4) && x->n_head < 4)
        return 0;
    if (memcmp(x->head, "PK\1\2", 4) == 0 || memcmp(x->head, "PK\5\6", 4) == 0) {
        x->state = ZIP_DONE;
        return 0;
    }
    if (memcmp(x->head, "PK\3\4", 4) != 0) {
        *why = "found no header of a zip member";
        return -1;
    }
    return collect(x, in, in_pos, in_n, LOCAL_BYTES) ? begin_member(x, why) : 0;
}

static void end_member(struct zip_codec *x)
{
    x->state = x->has_descriptor ? ZIP_DESCRIPTOR : ZIP_HEADER;
    x->n_head = 0;
}

static int64_t inflate_some(struct zip_codec *x, const uint8_t *in, uint64_t *in_pos, uint64_t in_n, uint8_t *out,
                            uint64_t cap, const char **why)
{
    x->z.next_in = (uint8_t *)(uintptr_t)(in + *in_pos);
    x->z.avail_in = (uInt)(in_n - *in_pos);
    x->z.next_out = out;
    x->z.avail_out = (uInt)cap;
    int rc = inflate(&x->z, Z_NO_FLUSH);
    *in_pos = in_n - x->z.avail_in;
    if (rc == Z_STREAM_END) {
        inflateReset(&x->z);
        end_member(x);
    } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
        *why = "a zip member is damaged";
        return -1;
    }
    return (int64_t)(cap - x->z.avail_out);
}

/* After a member written as a stream: an optional signature, CRC, two sizes of 4 or 8 bytes, then the next header. */
static int at_descriptor(struct zip_codec *x, const uint8_t *in, uint64_t *in_pos, uint64_t in_n, const char **why)
{
    while (*in_pos < in_n) {
        memmove(x->head, x->head + 1, 3);
        x->head[3] = in[(*in_pos)++];
        if (++x->n_head > 28) {
            *why = "found no header after a zip member";
            return -1;
        }
        if (x->n_head > 12 && (memcmp(x->head, "PK\3\4", 4) == 0 || memcmp(x->head, "PK\1\2", 4) == 0)) {
            x->n_head = 4;
            x->state = ZIP_HEADER;
            break;
        }
    }
    return 0;
}

static int64_t zip_run(struct codec *c, const uint8_t *in, uint64_t *in_pos, uint64_t in_n, bool last, uint8_t *out,
                       uint64_t cap, bool *done, const char **why)
{
    struct zip_codec *x = (struct zip_codec *)c;
    if (x->state == ZIP_DONE) {
        *in_pos = in_n;
        *done = true;
        return 0;
    }
    if (*in_pos == in_n && last) {
        *why = "the zip archive is truncated";
        return -1;
    }
    uint64_t n = in_n - *in_pos;
    switch (x->state) {
    case ZIP_HEADER:
        return at_header(x, in, in_pos, in_n, why);
    case ZIP_SKIP: /* the member's name and extra field */
        n = n < x->left ? n : x->left;
        *in_pos += n;
        x->left -= n;
        if (x->left == 0) {
            x->state = x->deflated ? ZIP_DEFLATED : ZIP_STORED;
            x->left = at32(x->head + 18);
            if (!x->deflated && x->left == 0)
                end_member(x);
        }
        return 0;
    case ZIP_STORED:
        n = n < x->left ? n : x->left;
        n = n < cap ? n : cap;
        memcpy(out, in + *in_pos, n);
        *in_pos += n;
        x->left -= n;
        if (x->left == 0)
            end_member(x);
        return (int64_t)n;
    case ZIP_DEFLATED:
        return inflate_some(x, in, in_pos, in_n, out, cap, why);
    default:
        return at_descriptor(x, in, in_pos, in_n, why);
    }
}

static void zip_free(struct codec *c)
{
    inflateEnd(&((struct zip_codec *)c)->z);
    free(c);
}

struct codec *codec_zip_new(void)
{
    struct zip_codec *x = xcalloc(1, sizeof *x);
    x->base = (struct codec){.name = "zip", .run = zip_run, .free = zip_free};
    CHECK(inflateInit2(&x->z, -15) == Z_OK);
    return &x->base;
}

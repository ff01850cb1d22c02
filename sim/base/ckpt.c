/* SPDX-License-Identifier: MIT */
#include "sim/base/ckpt.h"

#include "sim/base/outfile.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#define MAGIC        "QUIRECKP"
#define HEAD_BYTES   16u
#define DIGEST_BYTES 16u
#define BUFFER       (1u << 17)
#define LEVEL        3 /* zstd: tables of tags and zeroes shrink as well as at higher levels */
#define MAX_NAME     64u
#define MAX_ARRAY    (1ull << 40) /* bytes: more than a host has */

struct ckpt {
    bool is_loading, is_failed;
    char why[300];
    char section[MAX_NAME];
    uint64_t shape; /* hash of the sizes in the section so far */
    bool in_section;
    struct outfile out;
    FILE *in;
    uint64_t left; /* compressed bytes that were not read yet */
    char *path;
    ZSTD_CStream *pack;
    ZSTD_DStream *unpack;
    XXH3_state_t *hash;
    uint8_t *raw, *packed; /* BUFFER bytes each */
    size_t raw_n;          /* writing: bytes in raw; reading: bytes there, */
    size_t raw_at;         /* of which so many were taken */
    ZSTD_inBuffer source;
    bool at_end; /* of the zstd stream */
};

static struct ckpt *new_ckpt(const char *path, bool is_loading)
{
    struct ckpt *c = xcalloc(1, sizeof *c);
    c->is_loading = is_loading;
    c->path = xstrdup(path);
    c->raw = xmalloc(BUFFER);
    c->packed = xmalloc(BUFFER);
    return c;
}

static void free_ckpt(struct ckpt *c)
{
    ZSTD_freeCStream(c->pack);
    ZSTD_freeDStream(c->unpack);
    XXH3_freeState(c->hash);
    if (c->in)
        fclose(c->in);
    free(c->path);
    free(c->raw);
    free(c->packed);
    free(c);
}

bool ckpt_is_loading(const struct ckpt *c)
{
    return c->is_loading;
}

bool ckpt_failed(const struct ckpt *c)
{
    return c->is_failed;
}

void ckpt_fail(struct ckpt *c, const char *fmt, ...)
{
    va_list ap;
    if (c->is_failed)
        return;
    c->is_failed = true;
    va_start(ap, fmt);
    vsnprintf(c->why, sizeof c->why, fmt, ap);
    va_end(ap);
}

/* ---- writing ---- */

static void put(struct ckpt *c, const void *p, size_t n)
{
    XXH3_128bits_update(c->hash, p, n);
    if (fwrite(p, 1, n, c->out.f) != n)
        ckpt_fail(c, "cannot be written: %s", strerror(errno));
}

static void pack(struct ckpt *c, ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = {c->raw, c->raw_n, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {c->packed, BUFFER, 0};
        left = ZSTD_compressStream2(c->pack, &out, &in, end);
        CHECK(!ZSTD_isError(left));
        put(c, c->packed, out.pos);
    } while (in.pos < in.size || (end == ZSTD_e_end && left));
    c->raw_n = 0;
}

static void write_bytes(struct ckpt *c, const void *p, size_t n)
{
    for (const uint8_t *from = p; n && !c->is_failed;) {
        size_t part = n < BUFFER - c->raw_n ? n : BUFFER - c->raw_n;
        memcpy(c->raw + c->raw_n, from, part);
        c->raw_n += part;
        from += part;
        n -= part;
        if (c->raw_n == BUFFER)
            pack(c, ZSTD_e_continue);
    }
}

struct ckpt *ckpt_create(const char *path, struct diag *d)
{
    struct ckpt *c = new_ckpt(path, false);
    uint32_t head[2] = {CKPT_VERSION, 0};
    if (out_open(&c->out, path, d)) {
        free_ckpt(c);
        return NULL;
    }
    c->pack = ZSTD_createCStream();
    c->hash = XXH3_createState();
    CHECK(c->pack && c->hash);
    ZSTD_CCtx_setParameter(c->pack, ZSTD_c_compressionLevel, LEVEL);
    XXH3_128bits_reset(c->hash);
    put(c, MAGIC, 8);
    put(c, head, sizeof head);
    return c;
}

/* ---- reading ---- */

static bool refill(struct ckpt *c)
{
    while (!c->at_end) {
        if (c->source.pos == c->source.size) {
            size_t n = c->left < BUFFER ? (size_t)c->left : BUFFER;
            if (n == 0 || fread(c->packed, 1, n, c->in) != n)
                return false;
            c->left -= n;
            c->source = (ZSTD_inBuffer){c->packed, n, 0};
        }
        ZSTD_outBuffer out = {c->raw, BUFFER, 0};
        size_t r = ZSTD_decompressStream(c->unpack, &out, &c->source);
        if (ZSTD_isError(r))
            return false;
        c->at_end = r == 0;
        c->raw_n = out.pos;
        c->raw_at = 0;
        if (out.pos)
            return true;
    }
    return false;
}

static void read_bytes(struct ckpt *c, void *p, size_t n)
{
    uint8_t *to = p;
    while (n && !c->is_failed) {
        if (c->raw_at == c->raw_n && !refill(c)) {
            ckpt_fail(c, "ends in section '%s', expected more", c->section);
            break;
        }
        size_t part = n < c->raw_n - c->raw_at ? n : c->raw_n - c->raw_at;
        memcpy(to, c->raw + c->raw_at, part);
        c->raw_at += part;
        to += part;
        n -= part;
    }
    if (n)
        memset(to, 0, n);
}

/* Digest of all but the last 16 bytes of f, which has so many, against these. */
static bool digest_holds(FILE *f, uint64_t bytes, uint8_t *buf)
{
    XXH128_canonical_t want, have;
    XXH3_state_t *h = XXH3_createState();
    CHECK(h);
    XXH3_128bits_reset(h);
    rewind(f);
    for (uint64_t left = bytes - DIGEST_BYTES, n; left; left -= n) {
        n = left < BUFFER ? left : BUFFER;
        if (fread(buf, 1, n, f) != n)
            break;
        XXH3_128bits_update(h, buf, n);
    }
    XXH128_canonicalFromHash(&have, XXH3_128bits_digest(h));
    XXH3_freeState(h);
    return fread(&want, 1, sizeof want, f) == sizeof want && memcmp(&want, &have, sizeof want) == 0;
}

static int check_file(struct ckpt *c, struct diag *d)
{
    uint8_t head[HEAD_BYTES];
    uint32_t version;
    off_t bytes = fseeko(c->in, 0, SEEK_END) ? -1 : ftello(c->in);
    rewind(c->in);
    if (bytes < (off_t)(HEAD_BYTES + DIGEST_BYTES) || fread(head, 1, sizeof head, c->in) != sizeof head ||
        memcmp(head, MAGIC, 8) != 0)
        return fail(d, "%s: found no checkpoint, expected a file that begins with " MAGIC, c->path);
    memcpy(&version, head + 8, sizeof version);
    if (version != CKPT_VERSION)
        return fail(d, "%s: a checkpoint of format %u, expected %u: it needs the quire that wrote it", c->path, version,
                    CKPT_VERSION);
    if (!digest_holds(c->in, (uint64_t)bytes, c->raw))
        return fail(d, "%s: damaged or cut off: its digest is not that of its %lld bytes", c->path, (long long)bytes);
    c->left = (uint64_t)bytes - HEAD_BYTES - DIGEST_BYTES;
    return fseeko(c->in, HEAD_BYTES, SEEK_SET) ? fail(d, "%s: %s", c->path, strerror(errno)) : 0;
}

struct ckpt *ckpt_open(const char *path, struct diag *d)
{
    struct ckpt *c = new_ckpt(path, true);
    c->in = fopen(path, "rb");
    if (!c->in)
        fail(d, "%s: cannot be opened: %s", path, strerror(errno));
    if (!c->in || check_file(c, d)) {
        free_ckpt(c);
        return NULL;
    }
    c->unpack = ZSTD_createDStream();
    CHECK(c->unpack);
    return c;
}

/* ---- the end ---- */

static void end_section(struct ckpt *c)
{
    uint64_t shape = c->shape;
    if (!c->in_section)
        return;
    c->in_section = false;
    if (!c->is_loading) {
        write_bytes(c, &shape, sizeof shape);
        return;
    }
    read_bytes(c, &shape, sizeof shape);
    if (shape != c->shape)
        ckpt_fail(c, "section '%s' is laid out otherwise: it needs the quire that wrote it", c->section);
}

int ckpt_close(struct ckpt *c, struct diag *d)
{
    int bad = 0;
    end_section(c);
    if (!c->is_loading && !c->is_failed) {
        XXH128_canonical_t digest;
        pack(c, ZSTD_e_end);
        XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(c->hash));
        put(c, &digest, sizeof digest);
    } else if (c->is_loading && !c->is_failed && (c->raw_at != c->raw_n || refill(c))) {
        ckpt_fail(c, "goes on behind section '%s', expected its end", c->section);
    }
    if (c->is_failed)
        bad = fail(d, "%s: %s", c->path, c->why);
    if (!c->is_loading) {
        if (bad)
            out_abort(&c->out);
        else
            bad = out_commit(&c->out, d);
    }
    free_ckpt(c);
    return bad;
}

void ckpt_abort(struct ckpt *c)
{
    if (!c->is_loading)
        out_abort(&c->out);
    free_ckpt(c);
}

/* ---- state ---- */

/* A part's size is in the shape of its section, unless it depends on the state itself. */
static void part(struct ckpt *c, void *p, size_t n)
{
    if (c->is_loading)
        read_bytes(c, p, n);
    else
        write_bytes(c, p, n);
}

static void shape(struct ckpt *c, uint64_t n)
{
    c->shape = (c->shape ^ n) * 0x9e3779b97f4a7c15ull; /* 2^64 over the golden ratio */
    c->shape ^= c->shape >> 29;
}

void ckpt_section(struct ckpt *c, const char *name)
{
    char found[MAX_NAME] = "";
    end_section(c);
    snprintf(found, sizeof found, "%s", name);
    part(c, found, sizeof found);
    found[MAX_NAME - 1] = 0;
    if (c->is_loading && !c->is_failed && strcmp(found, name) != 0)
        ckpt_fail(c, "found section '%.40s' behind '%s', expected '%s': it needs the quire that wrote it", found,
                  c->section, name);
    snprintf(c->section, sizeof c->section, "%s", name);
    c->in_section = true;
    c->shape = 0;
}

void ckpt_bytes(struct ckpt *c, void *p, size_t n)
{
    part(c, p, n);
    shape(c, n);
}

void ckpt_struct(struct ckpt *c, void *p, size_t size, const uint32_t *keep, uint32_t n_keep)
{
    uint8_t *copy = xmalloc(size);
    if (!c->is_loading)
        memcpy(copy, p, size);
    for (uint32_t i = 0; i < n_keep; i++)
        memset(copy + keep[i], 0, 8);
    ckpt_bytes(c, copy, size);
    for (uint32_t i = 0; i < n_keep; i++)
        memcpy(copy + keep[i], (uint8_t *)p + keep[i], 8);
    if (c->is_loading && !c->is_failed)
        memcpy(p, copy, size);
    free(copy);
}

uint64_t ckpt_count(struct ckpt *c, uint64_t n, uint64_t max)
{
    part(c, &n, sizeof n);
    if (n <= max)
        return n;
    ckpt_fail(c, "section '%s': found a count of %llu, expected at most %llu", c->section, (unsigned long long)n,
              (unsigned long long)max);
    return 0;
}

void ckpt_same(struct ckpt *c, uint64_t n, const char *what)
{
    uint64_t found = n;
    part(c, &found, sizeof found);
    if (found != n)
        ckpt_fail(c, "section '%s': found %llu %s, expected %llu", c->section, (unsigned long long)found, what,
                  (unsigned long long)n);
}

void ckpt_array(struct ckpt *c, void *pp, uint64_t *n, uint64_t *cap, size_t element, uint64_t max)
{
    void *p;
    memcpy(&p, pp, sizeof p);
    *n = ckpt_count(c, *n, max);
    if (*n > MAX_ARRAY / element) {
        ckpt_fail(c, "section '%s': an array of %llu elements", c->section, (unsigned long long)*n);
        *n = 0;
    }
    if (c->is_loading) {
        free(p);
        p = *n ? xcalloc(*n, element) : NULL;
        memcpy(pp, &p, sizeof p);
        if (cap)
            *cap = *n;
    }
    if (*n)
        part(c, p, *n * element);
}

void ckpt_text(struct ckpt *c, char **s)
{
    uint64_t n = *s ? strlen(*s) + 1 : 0;
    ckpt_array(c, s, &n, NULL, 1, 1u << 24);
    if (c->is_loading && *s)
        (*s)[n - 1] = 0;
}

void ckpt_map(struct ckpt *c, struct map *m)
{
    uint64_t slots = m->key ? m->mask + 1 : 0, same = slots, n = m->n;
    part(c, &n, sizeof n);
    ckpt_array(c, &m->key, &slots, NULL, sizeof *m->key, 1ull << 36);
    same = slots;
    ckpt_array(c, &m->val, &same, NULL, sizeof *m->val, 1ull << 36);
    if (!c->is_loading)
        return;
    if (same != slots || (slots & (slots - 1)) || (slots ? n >= slots : n)) {
        ckpt_fail(c, "section '%s': a table of %llu entries in %llu places", c->section, (unsigned long long)n,
                  (unsigned long long)slots);
        map_free(m);
        return;
    }
    m->n = n;
    m->mask = slots ? slots - 1 : 0;
}

void ckpt_heap(struct ckpt *c, struct heap *h)
{
    part(c, &h->next_order, sizeof h->next_order);
    ckpt_array(c, &h->item, &h->n, &h->cap, sizeof *h->item, 1ull << 32);
}

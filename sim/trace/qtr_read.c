/* SPDX-License-Identifier: MIT */
/* Reading the native format: a chunk is checked and decompressed as a whole, its records are decoded as they are asked
 * for. */
#include "sim/trace/qtr.h"
#include "sim/trace/reader.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

struct qtr_state {
    uint32_t n, at; /* records of the chunk in hand, and delivered from it */
    uint32_t n_classes;
    bool ended, has_marks;
    uint64_t n_records, n_chunks; /* read so far */
    uint64_t last_time_ns;
    struct qtr_cursor cursor[QTR_TEXT];
    uint32_t class_word[QTR_MAX_VCPUS]; /* size, kind, vcpu as they lie in struct trace_rec */
    uint64_t last_addr[QTR_MAX_VCPUS];  /* of each class */
    uint64_t text_at, text_bytes;       /* place in the text column */
    uint8_t *raw[QTR_N_COLUMNS];        /* QTR_MAX_COLUMN + QTR_PAD bytes each */
    char *text;                         /* the chunk's texts, 0-terminated each */
    uint64_t text_cap, text_used;
    z_stream z;
    ZSTD_DCtx *zstd;
};

static bool qtr_sniff(const uint8_t *p, uint64_t n)
{
    return n >= 8 && memcmp(p, QTR_MAGIC, 8) == 0;
}

/* n bytes in the window, or -1 with what was expected. */
static int need(struct trace_reader *r, uint64_t n, const char *what, struct diag *d)
{
    struct trace_place at;
    uint64_t have = stream_fill(r->s, n);
    if (have >= n)
        return 0;
    if (stream_status(r->s, d))
        return -1;
    return fail(d, "%s: truncated: found %llu bytes, expected %s of %llu", trace_at(r, r->s->offset, &at),
                (unsigned long long)have, what, (unsigned long long)n);
}

static int bad(struct trace_reader *r, uint64_t offset, const char *what, struct diag *d)
{
    struct trace_place at;
    return fail(d, "%s: %s", trace_at(r, offset, &at), what);
}

static uint32_t crc(const uint8_t *p, uint64_t n)
{
    return (uint32_t)crc32(0, p, (uInt)n);
}

/* The footer of a file that can be sought gives totals and the index; anything odd there is left to the reading. */
static void look_at_footer(struct trace_reader *r, struct diag *d)
{
    uint64_t size = stream_size(r->s), back = r->s->offset;
    if (size == UINT64_MAX || size < back + QTR_FOOT_BYTES || stream_seek(r->s, size - QTR_FOOT_BYTES, d) != 0)
        return;
    if (stream_fill(r->s, QTR_FOOT_BYTES) >= QTR_FOOT_BYTES) {
        const uint8_t *p = r->s->at;
        uint64_t end = le64(p), n_chunks = le32(p + 16);
        if (memcmp(p + 24, QTR_MAGIC_FOOT, 8) == 0 && le32(p + 20) == crc(p, 20) &&
            end + QTR_END_BYTES + n_chunks * QTR_ENTRY_BYTES + QTR_FOOT_BYTES == size) {
            r->info.n_records = le64(p + 8);
            r->info.n_chunks = n_chunks;
        }
    }
    stream_seek(r->s, back, d);
}

/* Jumps to the chunk that holds record r->to_skip. A chunk's own check finds an index that lies. */
static int skip_by_index(struct trace_reader *r, struct diag *d)
{
    struct qtr_state *q = r->state;
    uint64_t n = r->info.n_chunks, first = 0, offset = r->s->offset, chunk = 0;
    uint64_t index = stream_size(r->s) - QTR_FOOT_BYTES - n * QTR_ENTRY_BYTES;
    uint64_t low = 0, high = n; /* the last entry whose first record is <= to_skip is in [low, high) */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (stream_seek(r->s, index + middle * QTR_ENTRY_BYTES, d) != 0 ||
            need(r, QTR_ENTRY_BYTES, "an index entry", d) != 0)
            return -1;
        uint64_t at = le64(r->s->at), record = le64(r->s->at + 8);
        if (at >= index || record > r->info.n_records)
            return bad(r, r->s->offset, "the index entry points outside the file", d);
        if (record <= r->to_skip) {
            offset = at;
            first = record;
            chunk = middle;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    q->n_records = first;
    q->n_chunks = chunk;
    r->to_skip -= first;
    return stream_seek(r->s, offset, d);
}

static int read_header(struct trace_reader *r, struct diag *d)
{
    if (need(r, QTR_HEADER_BYTES, "a header", d) != 0)
        return -1;
    const uint8_t *p = r->s->at;
    if (!qtr_sniff(p, 8))
        return bad(r, 0, "found no signature of the native format", d);
    if (le32(p + 24) != crc(p, 24))
        return bad(r, 24, "the header's checksum does not match", d);
    struct trace_place at;
    if (le16(p + 8) != QTR_VERSION)
        return fail(d, "%s: found version %u, expected %u", trace_at(r, 8, &at), le16(p + 8), QTR_VERSION);
    uint32_t flags = le16(p + 10), n_vcpus = le32(p + 12), meta_bytes = le32(p + 16), meta_crc = le32(p + 20);
    if (flags & ~(QTR_HAS_TIME | QTR_PAGES))
        return bad(r, 10, "found unknown flags", d);
    if (n_vcpus == 0 || n_vcpus > QTR_MAX_VCPUS)
        return fail(d, "%s: found %u vCPUs, expected 1 to 256", trace_at(r, 12, &at), n_vcpus);
    if (meta_bytes > QTR_MAX_META)
        return fail(d, "%s: found %u bytes of metadata, expected at most 65536", trace_at(r, 16, &at), meta_bytes);
    stream_take(r->s, QTR_HEADER_BYTES);
    if (need(r, meta_bytes, "metadata", d) != 0)
        return -1;
    if (meta_crc != crc(r->s->at, meta_bytes) || memchr(r->s->at, 0, meta_bytes))
        return bad(r, QTR_HEADER_BYTES, "the metadata's checksum does not match", d);
    r->meta = xcalloc(1, meta_bytes + 1);
    memcpy(r->meta, r->s->at, meta_bytes);
    stream_take(r->s, meta_bytes);
    r->info.n_vcpus = n_vcpus;
    r->info.has_time = flags & QTR_HAS_TIME;
    r->info.pages_only = flags & QTR_PAGES;
    r->info.meta = r->meta;
    return 0;
}

static int qtr_open(struct trace_reader *r, struct diag *d)
{
    if (read_header(r, d) != 0)
        return -1;
    struct qtr_state *q = r->state = xcalloc(1, sizeof *q);
    for (int i = 0; i < QTR_N_COLUMNS; i++)
        q->raw[i] = xcalloc(1, QTR_MAX_COLUMN + QTR_PAD);
    CHECK(inflateInit(&q->z) == Z_OK);
    q->zstd = ZSTD_createDCtx();
    CHECK(q->zstd);
    look_at_footer(r, d);
    if (r->to_skip > 0 && r->info.n_chunks > 0)
        return skip_by_index(r, d);
    return 0;
}

static void qtr_close(struct trace_reader *r)
{
    struct qtr_state *q = r->state;
    if (!q)
        return;
    for (int i = 0; i < QTR_N_COLUMNS; i++)
        free(q->raw[i]);
    inflateEnd(&q->z);
    ZSTD_freeDCtx(q->zstd);
    free(q->text);
    free(q);
}

static int read_end(struct trace_reader *r, struct diag *d)
{
    struct qtr_state *q = r->state;
    uint64_t start = r->s->offset;
    if (need(r, QTR_END_BYTES, "an end record", d) != 0)
        return -1;
    const uint8_t *p = r->s->at;
    uint32_t n_chunks = le32(p + 4), index_crc = le32(p + 16);
    if (le32(p + 20) != crc(p, 20))
        return bad(r, start + 20, "the end record's checksum does not match", d);
    if (n_chunks != q->n_chunks || le64(p + 8) != q->n_records)
        return bad(r, start + 4, "the end record counts other chunks and records than there are", d);
    stream_take(r->s, QTR_END_BYTES);
    uint32_t sum = 0;
    for (uint32_t left = n_chunks; left > 0;) {
        uint32_t part = left < 4096 ? left : 4096;
        if (need(r, (uint64_t)part * QTR_ENTRY_BYTES, "index entries", d) != 0)
            return -1;
        sum = (uint32_t)crc32(sum, r->s->at, part * QTR_ENTRY_BYTES);
        stream_take(r->s, (uint64_t)part * QTR_ENTRY_BYTES);
        left -= part;
    }
    if (sum != index_crc)
        return bad(r, start + QTR_END_BYTES, "the index's checksum does not match", d);
    if (need(r, QTR_FOOT_BYTES, "a footer", d) != 0)
        return -1;
    p = r->s->at;
    if (memcmp(p + 24, QTR_MAGIC_FOOT, 8) != 0 || le32(p + 20) != crc(p, 20) || le64(p) != start ||
        le64(p + 8) != q->n_records || le32(p + 16) != n_chunks)
        return bad(r, r->s->offset, "the footer does not match the end record", d);
    stream_take(r->s, QTR_FOOT_BYTES);
    if (stream_fill(r->s, 1) > 0)
        return bad(r, r->s->offset, "found bytes after the footer", d);
    q->ended = true;
    return stream_status(r->s, d);
}

static bool classes_ok(struct trace_reader *r, const uint8_t *p, uint32_t n)
{
    struct qtr_state *q = r->state;
    q->has_marks = false;
    for (uint32_t i = 0; i < n; i++) {
        if (p[4 * i + 2] >= TRACE_N_KINDS || p[4 * i + 3] >= r->info.n_vcpus)
            return false;
        memcpy(&q->class_word[i], p + 4 * i, 4);
        q->has_marks |= p[4 * i + 2] == TRACE_MARK;
    }
    q->n_classes = n;
    return true;
}

static bool column_ok(const struct qtr_column *c, int which, bool has_time)
{
    if (c->storage > QTR_ZSTD || c->coding > QTR_TAGGED || c->shift > 63 || c->raw_bytes > QTR_MAX_COLUMN)
        return false;
    for (int w = 0; w < 4; w++) {
        if (c->width[w] > 8 || (w > 0 && c->coding != QTR_TAGGED && c->width[w]))
            return false;
    }
    if (c->storage == QTR_PLAIN && c->stored_bytes != c->raw_bytes)
        return false;
    if (which == QTR_CLASS)
        return c->coding == QTR_ZERO || (c->coding == QTR_FIXED && c->width[0] == 1);
    if (which == QTR_TIME && !has_time)
        return c->coding == QTR_ZERO;
    return which != QTR_TEXT || c->coding != QTR_TAGGED;
}

static int unpack_column(struct qtr_state *q, int which, const struct qtr_column *c, const uint8_t *stored)
{
    uint8_t *raw = q->raw[which];
    if (c->storage == QTR_PLAIN) {
        memcpy(raw, stored, c->raw_bytes);
        return 0;
    }
    if (c->storage == QTR_ZSTD)
        return ZSTD_decompressDCtx(q->zstd, raw, c->raw_bytes, stored, c->stored_bytes) == c->raw_bytes ? 0 : -1;
    inflateReset(&q->z);
    q->z.next_in = (uint8_t *)(uintptr_t)stored;
    q->z.avail_in = c->stored_bytes;
    q->z.next_out = raw;
    q->z.avail_out = c->raw_bytes;
    bool whole = inflate(&q->z, Z_FINISH) == Z_STREAM_END && q->z.avail_out == 0 && q->z.avail_in == 0;
    return whole ? 0 : -1;
}

/* The largest class number of the chunk. */
static uint32_t max_class(const uint8_t *p, uint32_t n)
{
    uint8_t most = 0;
    for (uint32_t i = 0; i < n; i++)
        most = p[i] > most ? p[i] : most;
    return most;
}

/* The payload at p: class table, directory, columns. NULL, or what is wrong with it. */
static const char *open_payload(struct trace_reader *r, const uint8_t *p, uint32_t bytes, uint32_t n)
{
    struct qtr_state *q = r->state;
    const uint32_t directory = QTR_N_COLUMNS * QTR_COLUMN_BYTES;
    if (bytes < 4 || le16(p) == 0 || le16(p) > QTR_MAX_VCPUS || bytes < 4 + 4u * le16(p) + directory)
        return "the class table does not fit its chunk";
    uint32_t n_classes = le16(p);
    if (!classes_ok(r, p + 4, n_classes))
        return "found a class with an unknown kind or vCPU";
    const uint8_t *dir = p + 4 + 4 * n_classes, *stored = dir + directory, *end = p + bytes;
    for (int i = 0; i < QTR_N_COLUMNS; i++, dir += QTR_COLUMN_BYTES) {
        struct qtr_column c = {.storage = dir[0], .coding = dir[1], .shift = dir[2]};
        memcpy(c.width, dir + 4, 4);
        c.raw_bytes = le32(dir + 8);
        c.stored_bytes = le32(dir + 12);
        if (!column_ok(&c, i, r->info.has_time) || c.stored_bytes > (uint64_t)(end - stored))
            return "found a column that breaks the format's rules";
        if (unpack_column(q, i, &c, stored) != 0)
            return "found a column that does not decompress to its size";
        if (i != QTR_TEXT && !qtr_column_fits(&c, q->raw[i], n))
            return "found a column whose length does not match the number of records";
        if (i != QTR_TEXT)
            qtr_cursor_start(&q->cursor[i], &c, q->raw[i], n);
        else
            q->text_bytes = c.raw_bytes;
        stored += c.stored_bytes;
    }
    if (stored != end)
        return "found bytes after the last column";
    if (q->cursor[QTR_CLASS].coding == QTR_FIXED && max_class(q->raw[QTR_CLASS], n) >= n_classes)
        return "found a class number outside the class table";
    return NULL;
}

/* Makes the next chunk the one in hand. 1, 0 at the end, -1 after fail(). */
static int next_chunk(struct trace_reader *r, struct diag *d)
{
    struct qtr_state *q = r->state;
    uint64_t start = r->s->offset;
    if (q->ended)
        return 0;
    if (need(r, QTR_CHUNK_BYTES, "a chunk or an end record", d) != 0)
        return -1;
    const uint8_t *p = r->s->at;
    if (memcmp(p, QTR_MAGIC_END, 4) == 0)
        return read_end(r, d);
    if (memcmp(p, QTR_MAGIC_CHUNK, 4) != 0)
        return bad(r, start, "found neither a chunk nor an end record", d);
    if (le32(p + 20) != crc(p, 20))
        return bad(r, start + 20, "the chunk header's checksum does not match", d);
    uint32_t n = le32(p + 4), bytes = le32(p + 8), sum = le32(p + 12);
    if (n == 0 || n > QTR_MAX_RECORDS || bytes == 0 || bytes > QTR_MAX_PAYLOAD)
        return bad(r, start + 4, "found a chunk of no records or beyond the format's limits", d);
    stream_take(r->s, QTR_CHUNK_BYTES);
    if (need(r, bytes, "a chunk's payload", d) != 0)
        return -1;
    if (sum != crc(r->s->at, bytes))
        return bad(r, start + 12, "the chunk's checksum does not match", d);
    const char *why = open_payload(r, r->s->at, bytes, n);
    if (why)
        return bad(r, start + QTR_CHUNK_BYTES, why, d);
    stream_take(r->s, bytes);
    q->n = n;
    q->at = 0;
    q->n_records += n;
    q->n_chunks++;
    q->last_time_ns = 0;
    q->text_at = 0;
    memset(q->last_addr, 0, q->n_classes * sizeof *q->last_addr);
    return 1;
}

static inline __attribute__((always_inline)) void decode_addr(struct qtr_state *q, struct trace_rec *out, uint32_t n,
                                                              uint8_t coding)
{
    struct qtr_cursor k = q->cursor[QTR_ADDR];
    const uint8_t *code = q->raw[QTR_CLASS] + q->at;
    if (q->cursor[QTR_CLASS].coding == QTR_ZERO) {
        uint64_t last = q->last_addr[0];
        for (uint32_t i = 0; i < n; i++) {
            last += qtr_unzigzag(qtr_next(&k, q->at + i, coding)) << k.shift;
            out[i].addr = last;
        }
        q->last_addr[0] = last;
    } else {
        for (uint32_t i = 0; i < n; i++) {
            uint64_t *last = &q->last_addr[code[i]];
            *last += qtr_unzigzag(qtr_next(&k, q->at + i, coding)) << k.shift;
            out[i].addr = *last;
        }
    }
    q->cursor[QTR_ADDR] = k;
}

static void decode_classes(struct qtr_state *q, struct trace_rec *out, uint32_t n)
{
    const uint8_t *code = q->raw[QTR_CLASS] + q->at;
    if (q->cursor[QTR_CLASS].coding == QTR_ZERO) {
        for (uint32_t i = 0; i < n; i++)
            memcpy(&out[i].size, &q->class_word[0], 4);
    } else {
        for (uint32_t i = 0; i < n; i++)
            memcpy(&out[i].size, &q->class_word[code[i]], 4);
    }
}

static inline __attribute__((always_inline)) void decode_arg(struct qtr_state *q, struct trace_rec *out, uint32_t n,
                                                             uint8_t coding)
{
    struct qtr_cursor k = q->cursor[QTR_ARG];
    for (uint32_t i = 0; i < n; i++)
        out[i].arg = (uint32_t)(qtr_next(&k, q->at + i, coding) << k.shift);
    q->cursor[QTR_ARG] = k;
}

static inline __attribute__((always_inline)) void decode_time(struct qtr_state *q, struct trace_rec *out, uint32_t n,
                                                              uint8_t coding)
{
    struct qtr_cursor k = q->cursor[QTR_TIME];
    uint64_t last = q->last_time_ns;
    for (uint32_t i = 0; i < n; i++) {
        last += qtr_unzigzag(qtr_next(&k, q->at + i, coding)) << k.shift;
        out[i].time_ns = last;
    }
    q->cursor[QTR_TIME] = k;
    q->last_time_ns = last;
}

static void decode(struct qtr_state *q, struct trace_rec *out, uint32_t n)
{
    decode_classes(q, out, n);
    switch (q->cursor[QTR_ADDR].coding) {
    case QTR_ZERO:
        decode_addr(q, out, n, QTR_ZERO);
        break;
    case QTR_FIXED:
        decode_addr(q, out, n, QTR_FIXED);
        break;
    default:
        decode_addr(q, out, n, QTR_TAGGED);
    }
    switch (q->cursor[QTR_ARG].coding) {
    case QTR_ZERO:
        decode_arg(q, out, n, QTR_ZERO);
        break;
    case QTR_FIXED:
        decode_arg(q, out, n, QTR_FIXED);
        break;
    default:
        decode_arg(q, out, n, QTR_TAGGED);
    }
    switch (q->cursor[QTR_TIME].coding) {
    case QTR_ZERO:
        for (uint32_t i = 0; i < n; i++)
            out[i].time_ns = q->last_time_ns;
        break;
    case QTR_FIXED:
        decode_time(q, out, n, QTR_FIXED);
        break;
    default:
        decode_time(q, out, n, QTR_TAGGED);
    }
}

/* Gives the marks among the records their texts. */
static int take_texts(struct trace_reader *r, struct trace_rec *out, uint32_t n, struct diag *d)
{
    struct qtr_state *q = r->state;
    q->text_used = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (out[i].kind != TRACE_MARK)
            continue;
        uint64_t len = out[i].arg;
        if (len > q->text_bytes - q->text_at)
            return bad(r, r->s->offset, "found a mark longer than the texts of the chunk before this byte", d);
        if (q->text_used + len + 1 > q->text_cap) {
            q->text_cap = 2 * (q->text_used + len + 1);
            q->text = xrealloc(q->text, q->text_cap);
        }
        memcpy(q->text + q->text_used, q->raw[QTR_TEXT] + q->text_at, len);
        q->text[q->text_used + len] = 0;
        out[i].addr = q->text_used;
        q->text_at += len;
        q->text_used += len + 1;
    }
    r->mark_text = q->text;
    return 0;
}

static int qtr_read(struct trace_reader *r, struct trace_rec *out, uint32_t max, struct diag *d)
{
    struct qtr_state *q = r->state;
    while (q->at == q->n) {
        int rc = next_chunk(r, d);
        if (rc <= 0)
            return rc;
    }
    uint32_t n = q->n - q->at < max ? q->n - q->at : max;
    decode(q, out, n);
    q->at += n;
    if (q->has_marks && take_texts(r, out, n, d) != 0)
        return -1;
    return (int)n;
}

const struct trace_format trace_format_qtr = {
    .desc = {"qtr", "quire's native format", true, true},
    .sniff = qtr_sniff,
    .open = qtr_open,
    .read = qtr_read,
    .close = qtr_close,
};

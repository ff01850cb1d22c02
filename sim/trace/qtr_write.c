/* SPDX-License-Identifier: MIT */
/* Writing the native format: records are collected into a chunk, coded column by column, and compressed where that
 * saves enough to be worth the time of reading it. */
#include "sim/trace/qtr.h"
#include "sim/trace/writer.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define ZLIB_LEVEL 6
#define ZSTD_LEVEL 9
#define ZSTD_MATCH 6    /* shorter matches save 5 % and cost 15 % of the speed of reading */
#define N_SLOTS    1024 /* of the class hash; four times the most classes */

struct qtr_sink {
    uint32_t n; /* records in the chunk */
    uint32_t n_classes, text_bytes;
    uint32_t class_word[QTR_MAX_VCPUS];
    uint16_t slot[N_SLOTS]; /* class + 1, or 0 */
    uint64_t last_addr[QTR_MAX_VCPUS];
    uint64_t last_time_ns;
    uint64_t *value[QTR_TEXT];      /* QTR_MAX_RECORDS each */
    uint8_t *raw[QTR_N_COLUMNS];    /* coded, QTR_MAX_COLUMN + QTR_PAD */
    uint8_t *stored[QTR_N_COLUMNS]; /* compressed */
    uint64_t *index;                /* pairs: offset, first record */
    uint64_t n_chunks, index_cap, n_records;
    ZSTD_CCtx *zstd;
};

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

static uint32_t crc(const void *p, uint64_t n)
{
    return (uint32_t)crc32(0, p, (uInt)n);
}

static void fill_header(const struct trace_writer *w, uint8_t *h, uint32_t n_vcpus)
{
    const char *meta = w->opt.meta ? w->opt.meta : "";
    uint32_t flags = (w->opt.has_time ? QTR_HAS_TIME : 0) | (w->opt.pages_only ? QTR_PAGES : 0);
    memcpy(h, QTR_MAGIC, 8);
    put32(h + 8, QTR_VERSION | flags << 16);
    put32(h + 12, n_vcpus);
    put32(h + 16, (uint32_t)strlen(meta));
    put32(h + 20, crc(meta, strlen(meta)));
    put32(h + 24, crc(h, 24));
}

static int sink_open(struct trace_writer *w, struct diag *d)
{
    const char *meta = w->opt.meta ? w->opt.meta : "";
    size_t meta_bytes = strlen(meta);
    if (meta_bytes > QTR_MAX_META)
        return fail(d, "%s: %zu bytes of metadata, expected at most %u", w->path, meta_bytes, QTR_MAX_META);
    struct qtr_sink *q = w->state = xcalloc(1, sizeof *q);
    for (int i = 0; i < QTR_N_COLUMNS; i++) {
        q->raw[i] = xmalloc(QTR_MAX_COLUMN + QTR_PAD);
        q->stored[i] = xmalloc(QTR_MAX_COLUMN);
        if (i < QTR_TEXT)
            q->value[i] = xmalloc(QTR_MAX_RECORDS * sizeof(uint64_t));
    }
    q->zstd = ZSTD_createCCtx();
    CHECK(q->zstd && !ZSTD_isError(ZSTD_CCtx_setParameter(q->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) &&
          !ZSTD_isError(ZSTD_CCtx_setParameter(q->zstd, ZSTD_c_minMatch, ZSTD_MATCH)));
    uint8_t h[QTR_HEADER_BYTES];
    fill_header(w, h, w->opt.n_vcpus ? w->opt.n_vcpus : QTR_MAX_VCPUS);
    return outstream_write(w->out, h, sizeof h, d) || outstream_write(w->out, meta, meta_bytes, d) ? -1 : 0;
}

static void sink_close(struct trace_writer *w)
{
    struct qtr_sink *q = w->state;
    if (!q)
        return;
    for (int i = 0; i < QTR_N_COLUMNS; i++) {
        free(q->raw[i]);
        free(q->stored[i]);
        if (i < QTR_TEXT)
            free(q->value[i]);
    }
    free(q->index);
    ZSTD_freeCCtx(q->zstd);
    free(q);
}

/* Shifts out the low bits that are zero in all values. */
static uint8_t common_shift(uint64_t *v, uint32_t n)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < n; i++)
        all |= v[i];
    uint8_t shift = all ? (uint8_t)__builtin_ctzll(all) : 0;
    return shift;
}

/* One byte a record, nothing at all with a single class. */
static void code_classes(struct qtr_sink *q, struct qtr_column *c)
{
    if (q->n_classes == 1)
        return;
    c->coding = QTR_FIXED;
    c->width[0] = 1;
    c->raw_bytes = q->n;
    for (uint32_t i = 0; i < q->n; i++)
        q->raw[QTR_CLASS][i] = (uint8_t)q->value[QTR_CLASS][i];
}

/* Codes column `which`. Differences are kept unzigzagged until their common shift is known. */
static void code_column(struct qtr_sink *q, int which, struct qtr_column *c)
{
    uint64_t *v = q->value[which];
    bool is_signed = which == QTR_ADDR || which == QTR_TIME;
    c->shift = common_shift(v, q->n);
    for (uint32_t i = 0; i < q->n; i++)
        v[i] = is_signed ? qtr_zigzag((uint64_t)((int64_t)v[i] >> c->shift)) : v[i] >> c->shift;
    qtr_encode(v, q->n, q->raw[which], c);
}

/* Compresses a column if that saves at least a quarter. Decompression costs more time than everything else in reading,
 * so one that barely shrinks is better left as it is. */
static void compress_column(struct qtr_sink *q, int which, enum trace_pack pack, struct qtr_column *c)
{
    uint32_t room = c->raw_bytes - c->raw_bytes / 4;
    c->stored_bytes = c->raw_bytes;
    if (pack == TRACE_PACK_NONE || c->raw_bytes < 64)
        return;
    if (pack == TRACE_PACK_ZSTD) {
        size_t n = ZSTD_compress2(q->zstd, q->stored[which], room, q->raw[which], c->raw_bytes);
        if (ZSTD_isError(n))
            return;
        c->storage = QTR_ZSTD;
        c->stored_bytes = (uint32_t)n;
        return;
    }
    uLongf n = room;
    if (compress2(q->stored[which], &n, q->raw[which], c->raw_bytes, ZLIB_LEVEL) != Z_OK)
        return;
    c->storage = QTR_ZLIB;
    c->stored_bytes = (uint32_t)n;
}

static uint32_t put_directory(const struct qtr_sink *q, const struct qtr_column *c, uint8_t *head)
{
    uint32_t at = 4 + 4 * q->n_classes;
    put32(head, q->n_classes);
    memcpy(head + 4, q->class_word, 4 * q->n_classes);
    memset(head + at, 0, QTR_N_COLUMNS * QTR_COLUMN_BYTES);
    for (int i = 0; i < QTR_N_COLUMNS; i++, at += QTR_COLUMN_BYTES) {
        head[at] = c[i].storage;
        head[at + 1] = c[i].coding;
        head[at + 2] = c[i].shift;
        memcpy(head + at + 4, c[i].width, 4);
        put32(head + at + 8, c[i].raw_bytes);
        put32(head + at + 12, c[i].stored_bytes);
    }
    return at;
}

static void note_chunk(struct qtr_sink *q, uint64_t offset)
{
    if (q->n_chunks == q->index_cap) {
        q->index_cap = q->index_cap ? 2 * q->index_cap : 64;
        q->index = xrealloc(q->index, q->index_cap * QTR_ENTRY_BYTES);
    }
    q->index[2 * q->n_chunks] = offset;
    q->index[2 * q->n_chunks + 1] = q->n_records;
    q->n_chunks++;
    q->n_records += q->n;
}

static void start_chunk(struct qtr_sink *q)
{
    q->n = q->n_classes = q->text_bytes = 0;
    q->last_time_ns = 0;
    memset(q->slot, 0, sizeof q->slot);
    memset(q->last_addr, 0, sizeof q->last_addr);
}

static int put_chunk(struct trace_writer *w, struct diag *d)
{
    struct qtr_sink *q = w->state;
    struct qtr_column c[QTR_N_COLUMNS] = {0};
    uint8_t head[4 + 4 * QTR_MAX_VCPUS + QTR_N_COLUMNS * QTR_COLUMN_BYTES];
    if (q->n == 0)
        return 0;
    code_classes(q, &c[QTR_CLASS]);
    for (int i = QTR_ADDR; i < QTR_TEXT; i++)
        code_column(q, i, &c[i]);
    c[QTR_TEXT].raw_bytes = q->text_bytes;
    c[QTR_TEXT].coding = q->text_bytes ? QTR_FIXED : QTR_ZERO;
    for (int i = 0; i < QTR_N_COLUMNS; i++)
        compress_column(q, i, w->opt.pack, &c[i]);
    uint32_t head_bytes = put_directory(q, c, head), payload = head_bytes;
    uint32_t sum = crc(head, head_bytes);
    for (int i = 0; i < QTR_N_COLUMNS; i++) {
        const uint8_t *p = c[i].storage != QTR_PLAIN ? q->stored[i] : q->raw[i];
        sum = (uint32_t)crc32(sum, p, c[i].stored_bytes);
        payload += c[i].stored_bytes;
    }
    uint8_t h[QTR_CHUNK_BYTES] = QTR_MAGIC_CHUNK;
    put32(h + 4, q->n);
    put32(h + 8, payload);
    put32(h + 12, sum);
    put32(h + 20, crc(h, 20));
    note_chunk(q, outstream_bytes(w->out));
    int rc = outstream_write(w->out, h, sizeof h, d) || outstream_write(w->out, head, head_bytes, d);
    for (int i = 0; i < QTR_N_COLUMNS && !rc; i++)
        rc = outstream_write(w->out, c[i].storage != QTR_PLAIN ? q->stored[i] : q->raw[i], c[i].stored_bytes, d);
    start_chunk(q);
    return rc ? -1 : 0;
}

/* The record's class, a new one if need be; -1 if the table is full. */
static int class_of(struct qtr_sink *q, const struct trace_rec *r)
{
    uint32_t word;
    memcpy(&word, &r->size, 4);
    uint32_t i = (word * 0x9e3779b1u) >> 22;
    while (q->slot[i] && q->class_word[q->slot[i] - 1] != word)
        i = (i + 1) % N_SLOTS;
    if (!q->slot[i]) {
        if (q->n_classes == QTR_MAX_VCPUS)
            return -1;
        q->class_word[q->n_classes++] = word;
        q->slot[i] = (uint16_t)q->n_classes;
    }
    return q->slot[i] - 1;
}

static int put_record(struct trace_writer *w, const struct trace_rec *r, struct diag *d)
{
    struct qtr_sink *q = w->state;
    if (q->n == QTR_MAX_RECORDS && put_chunk(w, d) != 0)
        return -1;
    int class = class_of(q, r);
    if (class < 0) {
        if (put_chunk(w, d) != 0)
            return -1;
        class = class_of(q, r);
    }
    q->value[QTR_CLASS][q->n] = (uint64_t) class;
    q->value[QTR_ADDR][q->n] = r->addr - q->last_addr[class];
    q->value[QTR_ARG][q->n] = r->arg;
    q->value[QTR_TIME][q->n] = w->opt.has_time ? r->time_ns - q->last_time_ns : 0;
    q->last_addr[class] = r->addr;
    q->last_time_ns = r->time_ns;
    q->n++;
    return 0;
}

static int sink_write(struct trace_writer *w, const struct trace_rec *recs, uint32_t n, struct diag *d)
{
    for (uint32_t i = 0; i < n; i++) {
        if (put_record(w, &recs[i], d) != 0)
            return -1;
    }
    return 0;
}

static int sink_mark(struct trace_writer *w, const struct trace_rec *rec, const char *text, struct diag *d)
{
    struct qtr_sink *q = w->state;
    if (q->text_bytes + rec->arg > QTR_MAX_COLUMN && put_chunk(w, d) != 0)
        return -1;
    if (put_record(w, rec, d) != 0)
        return -1;
    memcpy(q->raw[QTR_TEXT] + q->text_bytes, text, rec->arg); /* put_record may have begun a chunk: text_bytes is new */
    q->text_bytes += rec->arg;
    return 0;
}

static int sink_finish(struct trace_writer *w, struct diag *d)
{
    struct qtr_sink *q = w->state;
    if (put_chunk(w, d) != 0)
        return -1;
    if (q->n_chunks > UINT32_MAX)
        return fail(d, "%s: more than 2^32 chunks", w->path);
    uint64_t at = outstream_bytes(w->out), index_bytes = q->n_chunks * QTR_ENTRY_BYTES;
    uint8_t h[QTR_END_BYTES] = QTR_MAGIC_END, foot[QTR_FOOT_BYTES];
    uint32_t sum = 0;
    for (uint64_t i = 0; i < index_bytes; i += 1u << 30) {
        uint64_t part = index_bytes - i < (1u << 30) ? index_bytes - i : 1u << 30;
        sum = (uint32_t)crc32(sum, (const uint8_t *)q->index + i, (uInt)part);
    }
    put32(h + 4, (uint32_t)q->n_chunks);
    memcpy(h + 8, &q->n_records, 8);
    put32(h + 16, sum);
    put32(h + 20, crc(h, 20));
    memcpy(foot, &at, 8);
    memcpy(foot + 8, &q->n_records, 8);
    put32(foot + 16, (uint32_t)q->n_chunks);
    put32(foot + 20, crc(foot, 20));
    memcpy(foot + 24, QTR_MAGIC_FOOT, 8);
    int rc = outstream_write(w->out, h, sizeof h, d) || outstream_write(w->out, q->index, index_bytes, d) ||
             outstream_write(w->out, foot, sizeof foot, d);
    if (rc || w->opt.n_vcpus || outstream_is_standard(w->out))
        return rc ? -1 : 0;
    uint8_t header[QTR_HEADER_BYTES];
    fill_header(w, header, w->n_vcpus);
    return outstream_patch(w->out, 0, header, sizeof header, d);
}

const struct trace_sink trace_sink_qtr = {
    .name = "qtr",
    .open = sink_open,
    .write = sink_write,
    .mark = sink_mark,
    .finish = sink_finish,
    .close = sink_close,
};

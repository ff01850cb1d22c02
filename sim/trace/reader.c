/* SPDX-License-Identifier: MIT */
/* Opening a trace, the table of formats, and the drivers for fixed-size records and for lines. */
#include "sim/trace/reader.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SNIFF_BYTES 4096

static const struct trace_format *const formats[] = {
    &trace_format_qtr,     &trace_format_pw,       &trace_format_raw,        &trace_format_lackey,
    &trace_format_vscsi,   &trace_format_ls,       &trace_format_ramulator,  &trace_format_ramcpu,
    &trace_format_dramsim, &trace_format_champsim, &trace_format_drmemtrace, &trace_format_oracle,
    &trace_format_lis,     &trace_format_mqsim,    &trace_format_ids,        &trace_format_u32,
    &trace_format_u64,     &trace_format_csv,      &trace_format_damon,      &trace_format_damo,
};
#define N_FORMATS (sizeof formats / sizeof formats[0])

const struct trace_format_desc *trace_format_at(uint32_t i)
{
    return i < N_FORMATS ? &formats[i]->desc : NULL;
}

const char *trace_at(const struct trace_reader *r, uint64_t offset, struct trace_place *buf)
{
    /* cppcheck-suppress ctuuninitvar ; it is written here */
    snprintf(buf->text, sizeof buf->text, "%.400s: byte %llu%s", r->s->name, (unsigned long long)offset,
             r->s->codec ? " of the decompressed stream" : "");
    return buf->text;
}

static const struct trace_format *format_named(const char *name, struct diag *d)
{
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (strcmp(formats[i]->desc.name, name) == 0)
            return formats[i];
    }
    char list[512] = "";
    size_t len = 0;
    for (size_t i = 0; i < N_FORMATS && len < sizeof list - 1; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", formats[i]->desc.name);
    fail(d, "unknown trace format '%s', expected one of: %s", name, list);
    return NULL;
}

static const struct trace_format *format_sniffed(struct stream *s, struct diag *d)
{
    uint64_t n = stream_fill(s, SNIFF_BYTES);
    if (n == 0 && stream_status(s, d))
        return NULL;
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (formats[i]->sniff && formats[i]->sniff(s->at, n < SNIFF_BYTES ? n : SNIFF_BYTES))
            return formats[i];
    }
    fail(d,
         "%s: found no known signature in its first bytes, expected a trace that has one, or its format by name (quire "
         "trace --help lists them)",
         s->name);
    return NULL;
}

static struct trace_reader *reader_new(struct stream *s, const struct trace_options *opt, struct diag *d)
{
    if (!s)
        return NULL;
    struct trace_reader *r = xcalloc(1, sizeof *r);
    r->s = s;
    if (opt)
        r->opt = *opt;
    r->to_skip = r->opt.skip;
    r->to_deliver = r->opt.limit ? r->opt.limit : TRACE_UNKNOWN;
    r->f = r->opt.format ? format_named(r->opt.format, d) : format_sniffed(s, d);
    if (!r->f) {
        trace_close(r);
        return NULL;
    }
    r->info = (struct trace_info){.format = r->f->desc.name,
                                  .compression = s->compression,
                                  .n_vcpus = 1,
                                  .n_records = TRACE_UNKNOWN,
                                  .has_time = r->f->has_time,
                                  .pages_only = r->f->pages_only,
                                  .meta = ""};
    if (r->f->record_bytes && stream_size(s) != UINT64_MAX && r->f->convert)
        r->info.n_records = stream_size(s) / r->f->record_bytes;
    if (r->f->open && r->f->open(r, d) != 0) {
        trace_close(r);
        return NULL;
    }
    return r;
}

struct trace_reader *trace_open(const char *path, const struct trace_options *opt, struct diag *d)
{
    return reader_new(stream_open(path, d), opt, d);
}

struct trace_reader *trace_open_memory(const void *bytes, uint64_t n, const char *name, const struct trace_options *opt,
                                       struct diag *d)
{
    return reader_new(stream_open_memory(bytes, n, name, d), opt, d);
}

void trace_close(struct trace_reader *r)
{
    if (!r)
        return;
    if (r->f && r->f->close)
        r->f->close(r);
    else
        free(r->state);
    stream_close(r->s);
    free(r->meta);
    free(r);
}

static int format_read(struct trace_reader *r, struct trace_rec *out, uint32_t max, struct diag *d)
{
    if (r->f->read)
        return r->f->read(r, out, max, d);
    return r->f->record_bytes ? trace_read_binary(r, out, max, d) : trace_read_lines(r, out, max, d);
}

int trace_read(struct trace_reader *r, struct trace_rec *out, uint32_t max, struct diag *d)
{
    CHECK(max > 0);
    if (max > INT32_MAX)
        max = INT32_MAX;
    while (r->to_skip > 0) { /* what a format could not seek over */
        uint32_t want = r->to_skip < max ? (uint32_t)r->to_skip : max;
        int n = format_read(r, out, want, d);
        if (n <= 0)
            return n;
        r->to_skip -= (uint64_t)n;
    }
    if (r->to_deliver == 0)
        return 0;
    if (max > r->to_deliver)
        max = (uint32_t)r->to_deliver;
    int n = format_read(r, out, max, d);
    if (n > 0 && r->to_deliver != TRACE_UNKNOWN)
        r->to_deliver -= (uint64_t)n;
    return n;
}

const struct trace_info *trace_info(const struct trace_reader *r)
{
    return &r->info;
}

const char *trace_mark_text(const struct trace_reader *r, const struct trace_rec *mark)
{
    CHECK(mark->kind == TRACE_MARK);
    return r->mark_text ? r->mark_text + mark->addr : "";
}

uint64_t trace_bytes_done(const struct trace_reader *r)
{
    if (r->s->codec || !r->s->memory)
        return r->s->file_done - (r->s->codec ? 0 : stream_left(r->s));
    return r->s->offset;
}

uint64_t trace_bytes_total(const struct trace_reader *r)
{
    return r->s->file_total;
}

/* Records that a conversion made but the caller had no room for. */
static uint32_t drain_pending(struct trace_reader *r, struct trace_rec *out, uint32_t max)
{
    uint32_t n = 0;
    while (n < max && r->pending_at < r->n_pending)
        out[n++] = r->pending[r->pending_at++];
    return n;
}

/* Converts one unit into out if there is room for any expansion, else by way of pending. Records put to out, or -1. */
static int convert_one(struct trace_reader *r, const uint8_t *p, uint32_t len, struct trace_rec *out, uint32_t room,
                       const char **why)
{
    if (room >= TRACE_MAX_EXPANSION)
        return r->f->convert(r, p, len, out, why);
    int k = r->f->convert(r, p, len, r->pending, why);
    if (k < 0)
        return -1;
    r->n_pending = (uint32_t)k;
    r->pending_at = 0;
    return (int)drain_pending(r, out, room);
}

int trace_read_binary(struct trace_reader *r, struct trace_rec *out, uint32_t max, struct diag *d)
{
    struct stream *s = r->s;
    const uint32_t bytes = r->f->record_bytes;
    struct trace_place at;
    uint32_t n = drain_pending(r, out, max);
    while (n < max) {
        if (stream_left(s) < bytes) {
            if (n > 0)
                return (int)n; /* good records first; damage is reported by the next call */
            uint64_t have = stream_fill(s, bytes);
            if (have < bytes) {
                if (stream_status(s, d))
                    return -1;
                if (have > 0)
                    return fail(d, "%s: truncated: found %llu bytes, expected a record of %u",
                                trace_at(r, s->offset, &at), (unsigned long long)have, bytes);
                return 0;
            }
        }
        const char *why = NULL;
        int k = convert_one(r, s->at, bytes, out + n, max - n, &why);
        if (k < 0)
            return n ? (int)n : fail(d, "%s: %s", trace_at(r, s->offset, &at), why);
        stream_take(s, bytes);
        n += (uint32_t)k;
    }
    return (int)n;
}

/* The next line, without its end, in the window; false at the end of the stream. *whole counts its end too. */
static bool next_line(struct stream *s, const uint8_t **line, uint32_t *len, uint32_t *whole)
{
    const uint64_t left = stream_left(s);
    const uint8_t *nl = left ? memchr(s->at, '\n', left < TRACE_MAX_LINE ? left : TRACE_MAX_LINE) : NULL;
    if (!nl && left < TRACE_MAX_LINE) {
        uint64_t have = stream_fill(s, TRACE_MAX_LINE);
        if (have == 0)
            return false;
        nl = memchr(s->at, '\n', have < TRACE_MAX_LINE ? have : TRACE_MAX_LINE);
    }
    *line = s->at;
    uint64_t n = nl ? (uint64_t)(nl - s->at) : stream_left(s);
    if (n > TRACE_MAX_LINE)
        n = TRACE_MAX_LINE;
    *whole = (uint32_t)n + (nl != NULL);
    *len = (uint32_t)n;
    if (n > 0 && s->at[n - 1] == '\r')
        *len = (uint32_t)n - 1;
    return true;
}

/* A line shortened and made printable for a message. */
static const char *shown(const uint8_t *line, uint32_t len, char buf[64])
{
    uint32_t n = len < 48 ? len : 48;
    for (uint32_t i = 0; i < n; i++)
        buf[i] = isprint(line[i]) ? (char)line[i] : '?';
    snprintf(buf + n, 64 - n, "%s", len > n ? "..." : "");
    return buf;
}

int trace_read_lines(struct trace_reader *r, struct trace_rec *out, uint32_t max, struct diag *d)
{
    struct stream *s = r->s;
    uint32_t n = drain_pending(r, out, max);
    while (n < max) {
        const uint8_t *line;
        uint32_t len, whole;
        if (n > 0 && stream_left(s) == 0)
            return (int)n;
        if (!next_line(s, &line, &len, &whole))
            return n ? (int)n : stream_status(s, d);
        char buf[64];
        const char *why = NULL;
        int k = len >= TRACE_MAX_LINE ? -1 : convert_one(r, line, len, out + n, max - n, &why);
        if (k >= 0 && whole == (uint32_t)stream_left(s) && line[whole - 1] != '\n' && s->error.n_errors)
            k = -1; /* the line was cut by damage in the compressed stream */
        if (k < 0 && n > 0)
            return (int)n;
        if (k < 0 && s->error.n_errors)
            return stream_status(s, d);
        if (k < 0)
            return fail(d, "%s:%llu: found '%s', expected %s", s->name, (unsigned long long)(r->line + 1),
                        shown(line, len, buf), why ? why : "a line of less than 4096 bytes");
        stream_take(s, whole);
        r->line++;
        n += (uint32_t)k;
    }
    return (int)n;
}

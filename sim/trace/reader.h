/* SPDX-License-Identifier: MIT */
/* Inside sim/trace: what a format provides, and what the formats share. */
#ifndef QUIRE_TRACE_READER_H
#define QUIRE_TRACE_READER_H

#include "sim/trace/stream.h"
#include "sim/trace/trace.h"

#define TRACE_MAX_EXPANSION 8    /* most records that one record or line of a foreign format becomes */
#define TRACE_MAX_LINE      4096 /* bytes; a longer line is an error */

struct trace_format;

struct trace_reader {
    struct stream *s;
    const struct trace_format *f;
    struct trace_info info;
    struct trace_options opt;
    void *state;           /* the format's own; freed by its close, or by free() if it has none */
    uint64_t to_skip;      /* records still to pass over */
    uint64_t to_deliver;   /* records still wanted; TRACE_UNKNOWN = all */
    uint64_t line;         /* text formats: lines read so far */
    const char *mark_text; /* base of the texts of the chunk */
    char *meta;            /* what info.meta points to, or NULL */
    uint32_t n_pending, pending_at;
    struct trace_rec pending[TRACE_MAX_EXPANSION];
};

/* One record of a foreign binary format, or one line, as records. Returns how many (0..TRACE_MAX_EXPANSION), or -1 with
 * *why saying what was expected. */
typedef int trace_convert_fn(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out,
                             const char **why);

struct trace_format {
    struct trace_format_desc desc;
    bool (*sniff)(const uint8_t *p, uint64_t n); /* NULL = has no signature */
    /* Reads headers, sets r->info and r->state. NULL = nothing to do. */
    int (*open)(struct trace_reader *r, struct diag *d);
    /* As trace_read. NULL = the generic driver with convert. */
    int (*read)(struct trace_reader *r, struct trace_rec *out, uint32_t max, struct diag *d);
    void (*close)(struct trace_reader *r); /* NULL = free(state) */
    trace_convert_fn *convert;
    uint32_t record_bytes; /* of convert's input; 0 = one line of text */
    bool has_time, pages_only;
};

extern const struct trace_format trace_format_qtr;
extern const struct trace_format trace_format_pw, trace_format_raw, trace_format_vscsi;
extern const struct trace_format trace_format_lackey, trace_format_ls, trace_format_ramulator, trace_format_ramcpu;
extern const struct trace_format trace_format_dramsim, trace_format_lis, trace_format_mqsim, trace_format_ids;
extern const struct trace_format trace_format_champsim, trace_format_drmemtrace, trace_format_oracle;
extern const struct trace_format trace_format_u32, trace_format_u64, trace_format_csv, trace_format_damon;
extern const struct trace_format trace_format_damo;

/* The generic drivers. */
int trace_read_binary(struct trace_reader *r, struct trace_rec *out, uint32_t max, struct diag *d);
int trace_read_lines(struct trace_reader *r, struct trace_rec *out, uint32_t max, struct diag *d);

/* "NAME: byte 123 of the decompressed stream" (or "byte 123") for messages; buf holds it. */
struct trace_place {
    char text[512];
};
const char *trace_at(const struct trace_reader *r, uint64_t offset, struct trace_place *buf);

static inline uint16_t le16(const uint8_t *p)
{
    uint16_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t le32(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t le64(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

#endif

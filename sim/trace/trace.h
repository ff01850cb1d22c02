/* SPDX-License-Identifier: MIT */
/* Traces: one reader for every format, and the writers. Records are read in batches, in the order of the trace, with
 * memory bounded whatever the length of the input. */
#ifndef QUIRE_TRACE_TRACE_H
#define QUIRE_TRACE_TRACE_H

#include <quire/trace.h>

#include "sim/base/diag.h"

#include <stdbool.h>
#include <stdint.h>

struct trace_rec {
    uint64_t addr;    /* see enum trace_kind */
    uint64_t time_ns; /* absolute; 0 throughout when the trace has no time */
    uint32_t arg;     /* instructions since this vCPU's last record, or bytes, pages, number: see enum trace_kind */
    uint16_t size;    /* bytes of an access (0 = unknown), or the disk number */
    uint8_t kind;     /* enum trace_kind */
    uint8_t vcpu;
};
_Static_assert(sizeof(struct trace_rec) == 24, "a record is 24 bytes");

/* True for the kinds that touch guest memory: reads, writes, fetches, modifications and non-temporal stores. */
static inline bool trace_is_access(uint8_t kind)
{
    return kind <= TRACE_NTSTORE;
}
static inline bool trace_is_write(uint8_t kind)
{
    return kind == TRACE_WRITE || kind == TRACE_MODIFY || kind == TRACE_NTSTORE;
}

#define TRACE_UNKNOWN UINT64_MAX

/* What is known of a trace once it is open. */
struct trace_info {
    const char *format;      /* name in the table of formats */
    const char *compression; /* "none", "gzip", "xz", "zstd": of the byte stream */
    uint32_t n_vcpus;        /* 1..256; text formats that tell them apart only on reading say 1 until then */
    uint64_t n_records;      /* TRACE_UNKNOWN when only reading to the end can tell */
    uint64_t n_chunks;       /* native only, else 0 */
    bool has_time;           /* time_ns is meaningful */
    bool pages_only;         /* addresses name 4 KiB pages; size is 0 */
    const char *meta;        /* "key=value\n" lines, never NULL; owned by the reader */
};

struct trace_options {
    const char *format;  /* name, or NULL: by content. Formats without a signature must be named. */
    const char *columns; /* csv only: "addr=3,op=1,size=4,..." ; NULL otherwise */
    uint64_t skip;       /* records to skip at the start (seeks where the format can) */
    uint64_t limit;      /* most records to deliver; 0 = all */
};

struct trace_reader;

/* Opens path ("-" = standard input; a pipe will do). opt may be NULL. Compression and format are told from the first
 * bytes, not from the name. NULL after fail(). */
struct trace_reader *trace_open(const char *path, const struct trace_options *opt, struct diag *d);
/* As trace_open from n bytes in memory, which must live until trace_close; name is used in messages. */
struct trace_reader *trace_open_memory(const void *bytes, uint64_t n, const char *name, const struct trace_options *opt,
                                       struct diag *d);
void trace_close(struct trace_reader *r);

/* Next records, up to max (> 0). Number delivered, 0 at the end, -1 after fail(): a damaged or truncated trace names
 * the byte offset in the decompressed stream, or the text line. After -1 only trace_close is allowed. Records before
 * the damage are delivered first. Allocates nothing. */
int trace_read(struct trace_reader *r, struct trace_rec *out, uint32_t max, struct diag *d);
const struct trace_info *trace_info(const struct trace_reader *r);
/* Text of a TRACE_MARK that the last trace_read delivered, 0-terminated; valid until the next trace_read. */
const char *trace_mark_text(const struct trace_reader *r, const struct trace_rec *mark);
/* Bytes of the file consumed so far, and its size (0 = unknown, a pipe): for progress. */
uint64_t trace_bytes_done(const struct trace_reader *r);
uint64_t trace_bytes_total(const struct trace_reader *r);
/* 64-bit digest (XXH3) of the bytes of the file at path. -1 after fail(). */
int trace_digest(const char *path, uint64_t *digest, struct diag *d);

/* The table of formats, for help texts: entry i, or NULL past the end. */
struct trace_format_desc {
    const char *name;
    const char *help; /* one line */
    bool has_signature;
    bool can_write;
};
const struct trace_format_desc *trace_format_at(uint32_t i);

/* Writing. The file appears under its name only when trace_writer_finish succeeds; until then it has a temporary name
 * beside it. path "-" writes to standard output. */
/* How the columns of a native trace are compressed, where that saves a quarter. zstd is read three times as fast as
 * zlib and saves more; uncompressed columns are read fastest. */
enum trace_pack { TRACE_PACK_ZSTD, TRACE_PACK_ZLIB, TRACE_PACK_NONE };

struct trace_writer_options {
    const char *format; /* NULL = "qtr" */
    uint32_t n_vcpus;   /* 0 = as many as the records show (256 on standard output) */
    bool has_time, pages_only;
    enum trace_pack pack; /* qtr only */
    const char *meta;     /* "key=value\n" lines or NULL */
};
struct trace_writer;
struct trace_writer *trace_writer_new(const char *path, const struct trace_writer_options *opt, struct diag *d);
/* Appends n records. A TRACE_MARK is written with trace_writer_mark. -1 after fail(). */
int trace_write(struct trace_writer *w, const struct trace_rec *recs, uint32_t n, struct diag *d);
int trace_writer_mark(struct trace_writer *w, uint8_t vcpu, uint64_t time_ns, const char *text, struct diag *d);
/* Records so far that the format has no words for (a fence in a text of loads and stores, say). */
uint64_t trace_writer_dropped(const struct trace_writer *w);
/* Completes the file, fsync, rename; frees w either way. */
int trace_writer_finish(struct trace_writer *w, struct diag *d);
/* Gives up: the temporary file is removed, w freed. */
void trace_writer_abort(struct trace_writer *w);

#endif

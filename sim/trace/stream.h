/* SPDX-License-Identifier: MIT */
/* Inside sim/trace: a byte stream that decompresses as it goes. The kind of compression is told from the first bytes.
 * Memory: one window as large as the largest request, plus the decompressor's own state. */
#ifndef QUIRE_TRACE_STREAM_H
#define QUIRE_TRACE_STREAM_H

#include "sim/base/diag.h"

#include <stdbool.h>
#include <stdint.h>

#define STREAM_MAX_WINDOW (16u << 20) /* largest request of stream_fill */

struct codec;
struct stream {
    const uint8_t *at;  /* next unread byte; stream_left() of them are here */
    const uint8_t *end; /* one past the last byte of the window */
    uint64_t offset;    /* of *at in the decompressed stream */
    char *name;         /* for messages */
    const char *compression;
    /* below: private */
    uint8_t *window;
    uint64_t window_bytes;
    const uint8_t *memory; /* whole input, or NULL when read from fd */
    uint64_t memory_bytes;
    int fd;
    bool seekable; /* plain bytes of a regular file or of memory */
    bool at_end;   /* nothing more to come */
    uint64_t file_done, file_total;
    struct codec *codec; /* NULL = plain */
    struct diag error;   /* damage met while filling; reported once the good bytes are used up */
};

/* NULL after fail(). "-" is standard input. */
struct stream *stream_open(const char *path, struct diag *d);
struct stream *stream_open_memory(const void *bytes, uint64_t n, const char *name, struct diag *d);
void stream_close(struct stream *s);

static inline uint64_t stream_left(const struct stream *s)
{
    return (uint64_t)(s->end - s->at);
}
/* Tries to have n bytes (<= STREAM_MAX_WINDOW) in the window; returns how many there are: fewer only at the end of the
 * stream or before damage. */
uint64_t stream_fill(struct stream *s, uint64_t n);
static inline void stream_take(struct stream *s, uint64_t n)
{
    s->at += n;
    s->offset += n;
}
/* After stream_fill fell short: 0 if the stream ended properly, -1 after fail() if it is damaged. */
int stream_status(const struct stream *s, struct diag *d);
/* Moves to an offset of a seekable stream. -1 after fail(). */
int stream_seek(struct stream *s, uint64_t offset, struct diag *d);
/* Size in bytes of a seekable stream, else UINT64_MAX. */
uint64_t stream_size(const struct stream *s);

/* Inside sim/trace/stream*.c: a decompressor. */
struct codec {
    const char *name;
    /* Consumes from in[*in_pos..in_n), produces at most cap bytes; in_n == *in_pos with last set means that the input
     * has ended. Returns bytes produced, or -1 with *why set. *done is set when the compressed stream has ended. */
    int64_t (*run)(struct codec *c, const uint8_t *in, uint64_t *in_pos, uint64_t in_n, bool last, uint8_t *out,
                   uint64_t cap, bool *done, const char **why);
    void (*free)(struct codec *c);
    uint8_t *in; /* input buffer when reading from a descriptor */
    uint64_t in_pos, in_n;
    bool in_last;
};
/* A codec for a stream that begins with these bytes; NULL = plain. */
struct codec *codec_for(const uint8_t *head, uint64_t n);

struct codec *codec_zip_new(void);

#endif

/* SPDX-License-Identifier: MIT */
#include "sim/trace/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_BYTES     (256u << 10)
#define SIGNATURE_BYTES 512 /* looked at to tell the compression */
#define WINDOW_BYTES    (256u << 10)

/* Reads up to n bytes of the file itself. Bytes read, 0 at its end, -1 with s->error set. */
static int64_t raw_read(struct stream *s, uint8_t *to, uint64_t n)
{
    for (;;) {
        ssize_t got = read(s->fd, to, n);
        if (got >= 0) {
            s->file_done += (uint64_t)got;
            return got;
        }
        if (errno != EINTR)
            return fail(&s->error, "%s: cannot read at byte %llu: %s", s->name, (unsigned long long)s->file_done,
                        strerror(errno));
    }
}

static int64_t codec_read(struct stream *s, uint8_t *to, uint64_t n, uint64_t out_offset)
{
    struct codec *c = s->codec;
    for (;;) {
        if (c->in_pos == c->in_n && !c->in_last) {
            if (!s->memory) {
                int64_t got = raw_read(s, c->in, INPUT_BYTES);
                if (got < 0)
                    return -1;
                c->in_pos = 0;
                c->in_n = (uint64_t)got;
            }
            c->in_last = c->in_pos == c->in_n;
        }
        bool done = false;
        const char *why = NULL;
        int64_t made = c->run(c, c->in, &c->in_pos, c->in_n, c->in_last, to, n, &done, &why);
        if (s->memory)
            s->file_done = c->in_pos;
        if (made < 0)
            return fail(&s->error, "%s: %s at byte %llu of the decompressed stream", s->name, why,
                        (unsigned long long)out_offset);
        if (made > 0 || done)
            return made;
    }
}

uint64_t stream_fill(struct stream *s, uint64_t n)
{
    CHECK(n <= STREAM_MAX_WINDOW);
    if (stream_left(s) >= n || s->at_end)
        return stream_left(s);
    uint64_t left = stream_left(s);
    uint64_t want = n > WINDOW_BYTES ? n : WINDOW_BYTES;
    if (s->window_bytes < want) {
        uint8_t *w = xmalloc(want);
        if (left)
            memcpy(w, s->at, left);
        free(s->window);
        s->window = w;
        s->window_bytes = want;
    } else if (left) {
        memmove(s->window, s->at, left);
    }
    s->at = s->window;
    while (left < n) {
        uint8_t *to = s->window + left;
        uint64_t room = s->window_bytes - left;
        int64_t got = s->codec ? codec_read(s, to, room, s->offset + left) : raw_read(s, to, room);
        if (got <= 0) {
            s->at_end = true;
            break;
        }
        left += (uint64_t)got;
    }
    s->end = s->window + left;
    return left;
}

int stream_status(const struct stream *s, struct diag *d)
{
    return s->error.n_errors ? fail(d, "%s", s->error.text) : 0;
}

uint64_t stream_size(const struct stream *s)
{
    return s->seekable ? s->file_total : UINT64_MAX;
}

int stream_seek(struct stream *s, uint64_t offset, struct diag *d)
{
    CHECK(s->seekable);
    if (offset > s->file_total)
        return fail(d, "%s: byte %llu lies past the end of the file (%llu bytes)", s->name, (unsigned long long)offset,
                    (unsigned long long)s->file_total);
    s->offset = offset;
    if (s->memory) {
        s->at = s->memory + offset;
        return 0;
    }
    if (lseek(s->fd, (off_t)offset, SEEK_SET) < 0)
        return fail(d, "%s: cannot seek to byte %llu: %s", s->name, (unsigned long long)offset, strerror(errno));
    s->at = s->end = s->window;
    s->at_end = false;
    s->file_done = offset;
    return 0;
}

static void use_codec(struct stream *s, struct codec *c)
{
    s->codec = c;
    s->compression = c ? c->name : "none";
    if (!c)
        return;
    s->seekable = false;
    if (s->memory) {
        c->in = (uint8_t *)(uintptr_t)s->memory;
        c->in_n = s->memory_bytes;
    } else { /* what was read to look at the signature becomes the decompressor's first input */
        c->in = xmalloc(INPUT_BYTES);
        c->in_n = stream_left(s);
        memcpy(c->in, s->at, c->in_n);
    }
    s->at = s->end = s->window;
    s->at_end = false;
    s->file_done = c->in_n;
}

struct stream *stream_open(const char *path, struct diag *d)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail(d, "%s: cannot open: %s", path, strerror(errno));
        return NULL;
    }
    struct stream *s = xcalloc(1, sizeof *s);
    s->name = xstrdup(standard ? "standard input" : path);
    s->fd = fd;
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        s->file_total = (uint64_t)st.st_size;
        s->seekable = !standard;
    }
    stream_fill(s, SIGNATURE_BYTES);
    if (stream_status(s, d)) {
        stream_close(s);
        return NULL;
    }
    use_codec(s, codec_for(s->at, stream_left(s)));
    return s;
}

struct stream *stream_open_memory(const void *bytes, uint64_t n, const char *name, struct diag *d)
{
    (void)d;
    struct stream *s = xcalloc(1, sizeof *s);
    s->name = xstrdup(name);
    s->fd = -1;
    s->memory = bytes;
    s->memory_bytes = s->file_total = n;
    s->seekable = true;
    s->at_end = true;
    s->at = bytes;
    s->end = s->at + n;
    use_codec(s, codec_for(bytes, n));
    return s;
}

void stream_close(struct stream *s)
{
    if (!s)
        return;
    if (s->codec) {
        if (!s->memory)
            free(s->codec->in);
        s->codec->free(s->codec);
    }
    if (s->fd > STDIN_FILENO)
        close(s->fd);
    free(s->window);
    free(s->name);
    free(s);
}

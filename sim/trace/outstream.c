/* SPDX-License-Identifier: MIT */
#include "sim/trace/outstream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct outstream {
    struct outfile file; /* unused for standard output */
    FILE *f;
    bool standard;
    uint64_t n; /* bytes appended */
};

struct outstream *outstream_new(const char *path, struct diag *d)
{
    struct outstream *o = xcalloc(1, sizeof *o);
    o->standard = strcmp(path, "-") == 0;
    if (!o->standard && out_open(&o->file, path, d) != 0) {
        free(o);
        return NULL;
    }
    o->f = o->standard ? stdout : o->file.f;
    return o;
}

static int write_failed(const struct outstream *o, struct diag *d)
{
    return fail(d, "%s: cannot be written at byte %llu: %s", o->standard ? "standard output" : o->file.path,
                (unsigned long long)o->n, strerror(errno));
}

int outstream_write(struct outstream *o, const void *bytes, uint64_t n, struct diag *d)
{
    if (n > 0 && fwrite(bytes, 1, n, o->f) != n)
        return write_failed(o, d);
    o->n += n;
    return 0;
}

int outstream_patch(struct outstream *o, uint64_t offset, const void *bytes, uint64_t n, struct diag *d)
{
    CHECK(!o->standard && offset + n <= o->n);
    if (fflush(o->f) != 0 || pwrite(fileno(o->f), bytes, n, (off_t)offset) != (ssize_t)n)
        return write_failed(o, d);
    return 0;
}

int outstream_read(struct outstream *o, uint64_t offset, void *bytes, uint64_t n, struct diag *d)
{
    char self[64];
    CHECK(!o->standard && offset + n <= o->n);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fileno(o->f));
    int fd = fflush(o->f) == 0 ? open(self, O_RDONLY | O_CLOEXEC) : -1;
    bool ok = fd >= 0 && pread(fd, bytes, n, (off_t)offset) == (ssize_t)n;
    int err = errno;
    if (fd >= 0)
        close(fd);
    return ok ? 0 : fail(d, "%s: cannot be read back: %s", o->file.path, strerror(err));
}

uint64_t outstream_bytes(const struct outstream *o)
{
    return o->n;
}

bool outstream_is_standard(const struct outstream *o)
{
    return o->standard;
}

int outstream_finish(struct outstream *o, struct diag *d)
{
    int rc = 0;
    if (!o->standard)
        rc = out_commit(&o->file, d);
    else if (fflush(stdout) != 0)
        rc = write_failed(o, d);
    free(o);
    return rc;
}

void outstream_abort(struct outstream *o)
{
    if (!o->standard)
        out_abort(&o->file);
    free(o);
}

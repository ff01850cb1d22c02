/* SPDX-License-Identifier: MIT */
/* Descriptors, open files, pipes. */
#include "sim/guest/linux_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t pipe_key(const struct pipe *p)
{
    return p->key;
}

struct file *file_new(enum file_kind kind, int host, uint32_t flags, const char *path)
{
    struct file *f = xcalloc(1, sizeof *f);
    f->refs = 1;
    f->kind = kind;
    f->host = host;
    f->flags = flags;
    f->path = xstrdup(path);
    return f;
}

/* One end of a pipe is closed: who waits at the other finds out. */
static void pipe_drop(struct exec *x, struct file *f)
{
    struct pipe *p = f->pipe;
    if (f->kind == FILE_PIPE_READ)
        p->n_readers--;
    else
        p->n_writers--;
    exec_wake(x, pipe_key(p), UINT32_MAX);
    if (p->n_readers + p->n_writers == 0)
        free(p);
}

void file_drop(struct exec *x, struct file *f)
{
    if (--f->refs)
        return;
    if (f->pipe)
        pipe_drop(x, f);
    if (f->host > STDERR_FILENO)
        close(f->host);
    free(f->text);
    free(f->path);
    free(f);
}

struct file_table *files_new(bool console)
{
    struct file_table *t = xcalloc(1, sizeof *t);
    t->refs = 1;
    for (int i = 0; i < 3; i++) {
        t->file[i] =
            file_new(console || i ? FILE_HOST : FILE_NULL, console ? i : -1, i ? O_WRONLY : O_RDONLY, "/dev/tty");
        t->file[i]->is_console = true;
    }
    return t;
}

struct file_table *files_copy(const struct file_table *f)
{
    struct file_table *t = xmalloc(sizeof *t);
    *t = *f;
    t->refs = 1;
    for (uint32_t i = 0; i < MAX_FILES; i++)
        if (t->file[i])
            t->file[i]->refs++;
    return t;
}

void files_drop(struct exec *x, struct file_table *t)
{
    if (--t->refs)
        return;
    for (uint32_t i = 0; i < MAX_FILES; i++)
        if (t->file[i])
            file_drop(x, t->file[i]);
    free(t);
}

void files_close_by_exec(struct exec *x, struct file_table *t)
{
    for (uint32_t i = 0; i < MAX_FILES; i++)
        if (t->file[i] && t->is_closed_by_exec[i]) {
            struct file *f = t->file[i];
            t->file[i] = NULL;
            file_drop(x, f);
        }
}

struct file *file_of(const struct thread *t, uint64_t fd)
{
    return (uint32_t)fd < MAX_FILES ? os_of(t)->files->file[(uint32_t)fd] : NULL;
}

int64_t fd_install(struct thread *t, struct file *f, uint64_t first, bool closed_by_exec)
{
    struct file_table *files = os_of(t)->files;
    for (uint64_t i = first; i < MAX_FILES; i++)
        if (!files->file[i]) {
            files->file[i] = f;
            files->is_closed_by_exec[i] = closed_by_exec;
            return (int64_t)i;
        }
    file_drop(t->process->x, f);
    return -EMFILE;
}

/* ---- moving bytes ---- */

static int64_t pipe_read(struct thread *t, struct file *f, uint8_t *buf, uint64_t n)
{
    struct pipe *p = f->pipe;
    if (n == 0)
        return 0;
    if (p->n == 0) {
        if (p->n_writers == 0)
            return 0;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        thread_wait_retry(t, pipe_key(p), UINT64_MAX);
        return SYS_NONE;
    }
    uint32_t take = (uint32_t)min_u64(n, p->n);
    for (uint32_t i = 0; i < take; i++)
        buf[i] = p->byte[(p->head + i) % PIPE_BYTES];
    p->head = (p->head + take) % PIPE_BYTES;
    p->n -= take;
    exec_wake(t->process->x, pipe_key(p), UINT32_MAX);
    return take;
}

/* What fits now; a call that writes less goes on with the rest in the program's library, as for a socket. Only a call
 * of at most PIPE_BUF bytes has to be whole. */
static int64_t pipe_write(struct thread *t, struct file *f, const uint8_t *buf, uint64_t n)
{
    struct pipe *p = f->pipe;
    if (p->n_readers == 0) {
        signal_thread(t, 13); /* SIGPIPE */
        return -EPIPE;
    }
    uint64_t room = PIPE_BYTES - p->n;
    if (room == 0 || (n <= 4096 && room < n)) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        thread_wait_retry(t, pipe_key(p), UINT64_MAX);
        return SYS_NONE;
    }
    uint32_t take = (uint32_t)min_u64(n, room);
    for (uint32_t i = 0; i < take; i++)
        p->byte[(p->head + p->n + i) % PIPE_BYTES] = buf[i];
    p->n += take;
    exec_wake(t->process->x, pipe_key(p), UINT32_MAX);
    return take;
}

static int64_t text_read(struct file *f, uint8_t *buf, uint64_t n, uint64_t at)
{
    if (at >= f->bytes)
        return 0;
    n = min_u64(n, f->bytes - at);
    memcpy(buf, f->text + at, n);
    return (int64_t)n;
}

static int64_t counter_read(struct thread *t, struct file *f, uint8_t *buf, uint64_t n)
{
    if (n < 8)
        return -EINVAL;
    if (f->at == 0) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        thread_wait_retry(t, (uint64_t)(uintptr_t)f, UINT64_MAX);
        return SYS_NONE;
    }
    memcpy(buf, &f->at, 8);
    f->at = 0;
    return 8;
}

int64_t file_read(struct thread *t, struct file *f, void *buf, uint64_t n, int64_t at)
{
    struct linux_vm *vm = vm_of(t);
    ssize_t got;
    if ((f->flags & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    switch (f->kind) {
    case FILE_HOST:
        got = at < 0 ? read(f->host, buf, n) : pread(f->host, buf, n, at);
        return got < 0 ? -errno : got;
    case FILE_DIR:
        return -EISDIR;
    case FILE_PIPE_READ:
        return at < 0 ? pipe_read(t, f, buf, n) : -ESPIPE;
    case FILE_ZERO:
        memset(buf, 0, n);
        return (int64_t)n;
    case FILE_RANDOM:
        for (uint64_t i = 0; i < n; i++)
            ((uint8_t *)buf)[i] = (uint8_t)rng_next(&vm->random);
        return (int64_t)n;
    case FILE_TEXT: {
        int64_t r = text_read(f, buf, n, at < 0 ? f->at : (uint64_t)at);
        if (at < 0)
            f->at += (uint64_t)r;
        return r;
    }
    case FILE_COUNTER:
        return counter_read(t, f, buf, n);
    case FILE_NULL:
        return 0;
    default:
        return -EINVAL;
    }
}

int64_t file_write(struct thread *t, struct file *f, const void *buf, uint64_t n, int64_t at)
{
    ssize_t put;
    uint64_t add;
    if ((f->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    if (f->is_console)
        t->process->x->stats.output_bytes += n;
    switch (f->kind) {
    case FILE_HOST:
        if (f->host < 0)
            return (int64_t)n;
        put = at < 0 ? write(f->host, buf, n) : pwrite(f->host, buf, n, at);
        return put < 0 ? -errno : put;
    case FILE_PIPE_WRITE:
        return at < 0 ? pipe_write(t, f, buf, n) : -ESPIPE;
    case FILE_NULL:
    case FILE_ZERO:
    case FILE_RANDOM:
        return (int64_t)n;
    case FILE_COUNTER:
        if (n < 8)
            return -EINVAL;
        memcpy(&add, buf, 8);
        f->at += add;
        exec_wake(t->process->x, (uint64_t)(uintptr_t)f, UINT32_MAX);
        return 8;
    default:
        return -EINVAL;
    }
}

bool file_is_readable(const struct file *f)
{
    return f->kind == FILE_PIPE_READ ? f->pipe->n || !f->pipe->n_writers : f->kind != FILE_COUNTER || f->at;
}

bool file_is_writable(const struct file *f)
{
    return f->kind != FILE_PIPE_WRITE || f->pipe->n < PIPE_BYTES || !f->pipe->n_readers;
}

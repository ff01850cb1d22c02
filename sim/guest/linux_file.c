/* SPDX-License-Identifier: MIT */
/* System calls on descriptors. */
#include "sim/guest/linux_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#define MAX_IO  (4 * MIB) /* bytes of one call; longer ones are cut, as they may be */
#define MAX_IOV 1024u

/* ---- read and write ---- */

static int64_t read_at(struct thread *t, uint64_t fd, uint64_t gva, uint64_t n, int64_t at)
{
    struct file *f = file_of(t, fd);
    if (!f)
        return -EBADF;
    n = min_u64(n, MAX_IO);
    void *buf = xmalloc(n + 1);
    int64_t got = file_read(t, f, buf, n, at);
    if (got > 0 && exec_copy_out(t, gva, buf, (uint64_t)got))
        got = -EFAULT;
    free(buf);
    return got;
}

static int64_t write_at(struct thread *t, uint64_t fd, uint64_t gva, uint64_t n, int64_t at)
{
    struct file *f = file_of(t, fd);
    if (!f)
        return -EBADF;
    n = min_u64(n, MAX_IO);
    void *buf = xmalloc(n + 1);
    int64_t put = exec_copy_in(t, gva, buf, n) ? -EFAULT : file_write(t, f, buf, n, at);
    free(buf);
    return put;
}

static int64_t sys_read(struct thread *t, const uint64_t a[6])
{
    return read_at(t, a[0], a[1], a[2], -1);
}
static int64_t sys_write(struct thread *t, const uint64_t a[6])
{
    return write_at(t, a[0], a[1], a[2], -1);
}
static int64_t sys_pread(struct thread *t, const uint64_t a[6])
{
    return (int64_t)a[3] < 0 ? -EINVAL : read_at(t, a[0], a[1], a[2], (int64_t)a[3]);
}
static int64_t sys_pwrite(struct thread *t, const uint64_t a[6])
{
    return (int64_t)a[3] < 0 ? -EINVAL : write_at(t, a[0], a[1], a[2], (int64_t)a[3]);
}

/* One part after the other; a part that ends early ends the call. */
static int64_t vector(struct thread *t, const uint64_t a[6], int64_t at,
                      int64_t (*one)(struct thread *, uint64_t, uint64_t, uint64_t, int64_t))
{
    int64_t all = 0;
    if (a[2] > MAX_IOV)
        return -EINVAL;
    for (uint64_t i = 0; i < a[2]; i++) {
        uint64_t iov[2];
        if (exec_copy_in(t, a[1] + i * sizeof iov, iov, sizeof iov))
            return all ? all : -EFAULT;
        if (iov[1] == 0)
            continue;
        int64_t n = one(t, a[0], iov[0], iov[1], at < 0 ? at : at + all);
        if (n < 0)
            return all ? all : n;
        all += n;
        if ((uint64_t)n < iov[1] || file_of(t, a[0])->kind == FILE_PIPE_READ) /* the next part could wait */
            break;
    }
    return all;
}

/* To a pipe a vector goes as one write, so that a call which waits can be made again. */
static int64_t sys_writev(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_of(t, a[0]);
    if (!f)
        return -EBADF;
    if (f->kind != FILE_PIPE_WRITE)
        return vector(t, a, -1, write_at);
    uint8_t *buf = xmalloc(PIPE_BYTES);
    uint64_t n = 0;
    for (uint64_t i = 0; i < min_u64(a[2], MAX_IOV); i++) {
        uint64_t iov[2];
        if (exec_copy_in(t, a[1] + i * sizeof iov, iov, sizeof iov))
            break;
        uint64_t part = min_u64(iov[1], PIPE_BYTES - n);
        if (exec_copy_in(t, iov[0], buf + n, part))
            break;
        n += part;
    }
    int64_t put = file_write(t, f, buf, n, -1);
    free(buf);
    return put;
}
static int64_t sys_readv(struct thread *t, const uint64_t a[6])
{
    return file_of(t, a[0]) ? vector(t, a, -1, read_at) : -EBADF;
}
static int64_t sys_preadv(struct thread *t, const uint64_t a[6])
{
    return file_of(t, a[0]) ? vector(t, a, (int64_t)a[3], read_at) : -EBADF;
}
static int64_t sys_pwritev(struct thread *t, const uint64_t a[6])
{
    return file_of(t, a[0]) ? vector(t, a, (int64_t)a[3], write_at) : -EBADF;
}

static int64_t sys_sendfile(struct thread *t, const uint64_t a[6])
{
    struct file *out = file_of(t, a[0]), *in = file_of(t, a[1]);
    if (!out || !in)
        return -EBADF;
    if (a[2] || out->kind == FILE_PIPE_WRITE || in->kind == FILE_PIPE_READ)
        return -EINVAL; /* the program reads and writes instead */
    uint64_t n = min_u64(a[3], MAX_IO);
    void *buf = xmalloc(n + 1);
    int64_t got = file_read(t, in, buf, n, -1), put = got > 0 ? file_write(t, out, buf, (uint64_t)got, -1) : got;
    free(buf);
    return put;
}

/* ---- positions and sizes ---- */

static int64_t sys_lseek(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_of(t, a[0]);
    if (!f)
        return -EBADF;
    if (f->kind == FILE_HOST || f->kind == FILE_DIR) {
        off_t at = f->host < 0 ? -1 : lseek(f->host, (off_t)a[1], (int)a[2]);
        return at < 0 ? (f->host < 0 ? -ESPIPE : -errno) : at;
    }
    if (f->kind == FILE_PIPE_READ || f->kind == FILE_PIPE_WRITE || f->kind == FILE_COUNTER)
        return -ESPIPE;
    uint64_t from = a[2] == SEEK_SET ? 0 : a[2] == SEEK_CUR ? f->at : f->bytes;
    f->at = (int64_t)(from + a[1]) < 0 ? f->at : from + a[1];
    return (int64_t)f->at;
}

static int64_t sys_ftruncate(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_of(t, a[0]);
    if (!f)
        return -EBADF;
    if (f->kind != FILE_HOST || f->host < 0)
        return -EINVAL;
    return ftruncate(f->host, (off_t)a[1]) ? -errno : 0;
}

static int64_t sys_fallocate(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_of(t, a[0]);
    if (!f || f->kind != FILE_HOST)
        return -EBADF;
    return fallocate(f->host, (int)a[1], (off_t)a[2], (off_t)a[3]) ? -errno : 0;
}

/* What has been written is the host's to keep: there is no simulated disk below. */
static int64_t sys_fsync(struct thread *t, const uint64_t a[6])
{
    return file_of(t, a[0]) ? 0 : -EBADF;
}

/* ---- descriptors ---- */

static int64_t fd_close(struct thread *t, uint64_t fd)
{
    struct file *f = file_of(t, fd);
    if (!f)
        return -EBADF;
    os_of(t)->files->file[(uint32_t)fd] = NULL;
    file_drop(t->process->x, f);
    return 0;
}
static int64_t sys_close(struct thread *t, const uint64_t a[6])
{
    return fd_close(t, a[0]);
}

static int64_t sys_close_range(struct thread *t, const uint64_t a[6])
{
    if (a[0] > a[1])
        return -EINVAL;
    for (uint64_t i = a[0]; i <= min_u64(a[1], MAX_FILES - 1); i++)
        fd_close(t, i);
    return 0;
}

static int64_t dup_to(struct thread *t, uint64_t from, uint64_t to, bool closed_by_exec)
{
    struct file *f = file_of(t, from);
    if (!f || to >= MAX_FILES)
        return -EBADF;
    if (from == to)
        return (int64_t)to;
    f->refs++;
    fd_close(t, to);
    return fd_install(t, f, to, closed_by_exec);
}

static int64_t sys_dup(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_of(t, a[0]);
    if (!f)
        return -EBADF;
    f->refs++;
    return fd_install(t, f, 0, false);
}
static int64_t sys_dup2(struct thread *t, const uint64_t a[6])
{
    return dup_to(t, a[0], a[1], false);
}
static int64_t sys_dup3(struct thread *t, const uint64_t a[6])
{
    return a[0] == a[1] ? -EINVAL : dup_to(t, a[0], a[1], a[2] & O_CLOEXEC);
}

static int64_t make_pipe(struct thread *t, uint64_t gva, uint64_t flags)
{
    struct pipe *p = xcalloc(1, sizeof *p);
    struct file *r = file_new(FILE_PIPE_READ, -1, (uint32_t)(flags & O_NONBLOCK) | O_RDONLY, "pipe:");
    struct file *w = file_new(FILE_PIPE_WRITE, -1, (uint32_t)(flags & O_NONBLOCK) | O_WRONLY, "pipe:");
    p->key = ~(uint64_t)++vm_of(t)->n_pipes;
    r->pipe = w->pipe = p;
    p->n_readers = p->n_writers = 1;
    int64_t fd[2] = {fd_install(t, r, 0, flags & O_CLOEXEC), 0};
    if (fd[0] < 0) {
        file_drop(t->process->x, w);
        return fd[0];
    }
    fd[1] = fd_install(t, w, 0, flags & O_CLOEXEC);
    int32_t out[2] = {(int32_t)fd[0], (int32_t)fd[1]};
    return fd[1] < 0 ? fd[1] : exec_copy_out(t, gva, out, sizeof out) ? -EFAULT : 0;
}
static int64_t sys_pipe(struct thread *t, const uint64_t a[6])
{
    return make_pipe(t, a[0], 0);
}
static int64_t sys_pipe2(struct thread *t, const uint64_t a[6])
{
    return make_pipe(t, a[0], a[1]);
}

static int64_t sys_eventfd2(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_new(FILE_COUNTER, -1, (uint32_t)(a[1] & O_NONBLOCK) | O_RDWR, "eventfd:");
    f->at = a[0];
    return fd_install(t, f, 0, a[1] & O_CLOEXEC);
}

static int64_t sys_fcntl(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_of(t, a[0]);
    struct file_table *files = os_of(t)->files;
    if (!f)
        return -EBADF;
    switch (a[1]) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        if (a[2] >= MAX_FILES)
            return -EINVAL;
        f->refs++;
        return fd_install(t, f, a[2], a[1] == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return files->is_closed_by_exec[(uint32_t)a[0]] ? FD_CLOEXEC : 0;
    case F_SETFD:
        files->is_closed_by_exec[(uint32_t)a[0]] = a[2] & FD_CLOEXEC;
        return 0;
    case F_GETFL:
        return f->flags;
    case F_SETFL:
        f->flags = (f->flags & ~(uint32_t)(O_APPEND | O_NONBLOCK)) | (uint32_t)(a[2] & (O_APPEND | O_NONBLOCK));
        return 0;
    case F_SETLK:
    case F_SETLKW:
        return 0; /* nobody else is there who could hold one */
    case F_GETLK: {
        int16_t none = F_UNLCK;
        return exec_copy_out(t, a[2], &none, sizeof none) ? -EFAULT : 0;
    }
    default:
        return -EINVAL;
    }
}

static int64_t sys_flock(struct thread *t, const uint64_t a[6])
{
    return file_of(t, a[0]) ? 0 : -EBADF;
}

/* No terminal is simulated: what the streams are connected to is a pipe or a file for the program. */
static int64_t sys_ioctl(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_of(t, a[0]);
    if (!f)
        return -EBADF;
    if (a[1] == FIONREAD && f->kind == FILE_PIPE_READ) {
        int32_t n = (int32_t)f->pipe->n;
        return exec_copy_out(t, a[2], &n, sizeof n) ? -EFAULT : 0;
    }
    if (a[1] == FIONBIO || a[1] == FIOCLEX || a[1] == FIONCLEX)
        return 0;
    return -ENOTTY;
}

/* ---- metadata ---- */

/* struct stat of the kernel is the host's own: both are x86-64 Linux. What differs between hosts and moments is fixed.
 */
static void settle_stat(struct stat *st)
{
    st->st_dev = 1;
    st->st_blksize = PAGE_BYTES;
    st->st_uid = st->st_gid = 1000;
}

int64_t stat_out(struct thread *t, int host, uint64_t gva)
{
    struct stat st;
    if (fstatat(host, "", &st, AT_EMPTY_PATH))
        return -errno;
    settle_stat(&st);
    return exec_copy_out(t, gva, &st, sizeof st) ? -EFAULT : 0;
}

/* Files that the host does not have. */
static void made_stat(const struct file *f, struct stat *st)
{
    *st = (struct stat){.st_nlink = 1, .st_ino = 2};
    st->st_mode = f->kind == FILE_TEXT                                      ? S_IFREG | 0444
                  : f->kind == FILE_PIPE_READ || f->kind == FILE_PIPE_WRITE ? S_IFIFO | 0600
                                                                            : S_IFCHR | 0666;
    st->st_size = (off_t)f->bytes;
    settle_stat(st);
}

int64_t file_stat(struct thread *t, const struct file *f, uint64_t gva)
{
    struct stat st;
    if (f->host >= 0 && !f->is_console)
        return stat_out(t, f->host, gva);
    made_stat(f, &st);
    if (f->is_console) /* the same whatever the simulator's streams are */
        st.st_mode = S_IFIFO | 0600;
    return exec_copy_out(t, gva, &st, sizeof st) ? -EFAULT : 0;
}

static int64_t sys_fstat(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_of(t, a[0]);
    return f ? file_stat(t, f, a[1]) : -EBADF;
}

static int64_t sys_getdents64(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_of(t, a[0]);
    uint8_t buf[32768];
    if (!f)
        return -EBADF;
    if (f->kind != FILE_DIR)
        return -ENOTDIR;
    long n = syscall(SYS_getdents64, f->host, buf, min_u64(a[2], sizeof buf));
    if (n < 0)
        return -errno;
    return exec_copy_out(t, a[1], buf, (uint64_t)n) ? -EFAULT : n;
}

static int64_t sys_fchmod(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_of(t, a[0]);
    if (!f || f->host < 0)
        return -EBADF;
    return vm_of(t)->is_read_only ? -EROFS : fchmod(f->host, (mode_t)a[1]) ? -errno : 0;
}

/* ---- poll ---- */

static int16_t ready(const struct file *f, int16_t want)
{
    int16_t got = 0;
    if (!f)
        return POLLNVAL;
    if (want & POLLIN && file_is_readable(f))
        got |= POLLIN;
    if (want & POLLOUT && file_is_writable(f))
        got |= POLLOUT;
    if (f->kind == FILE_PIPE_READ && !f->pipe->n_writers)
        got |= POLLHUP;
    if (f->kind == FILE_PIPE_WRITE && !f->pipe->n_readers)
        got |= POLLERR;
    return got;
}

/* Nothing is ready: looked at again soon, or at the timeout. A thread that polls has many keys and waits for none. */
static int64_t poll_again(struct thread *t, ps_t until)
{
    struct linux_thread *os = t->os;
    ps_t now = thread_now_ps(t);
    if (!os->poll_until_ps)
        os->poll_until_ps = until;
    if (now >= os->poll_until_ps) {
        os->poll_until_ps = 0;
        return 0;
    }
    thread_wait_retry(t, 0, min_u64(os->poll_until_ps, now + 100 * PS_PER_US));
    return SYS_NONE;
}

static int64_t poll_list(struct thread *t, uint64_t gva, uint64_t n, ps_t until)
{
    struct pollfd p;
    int64_t n_ready = 0;
    if (n > MAX_FILES)
        return -EINVAL;
    for (uint64_t i = 0; i < n; i++) {
        if (exec_copy_in(t, gva + i * sizeof p, &p, sizeof p))
            return -EFAULT;
        p.revents = p.fd < 0 ? 0 : ready(file_of(t, (uint64_t)p.fd), p.events);
        n_ready += p.revents != 0;
        if (exec_copy_out(t, gva + i * sizeof p, &p, sizeof p))
            return -EFAULT;
    }
    if (n_ready == 0)
        return poll_again(t, until);
    ((struct linux_thread *)t->os)->poll_until_ps = 0;
    return n_ready;
}

static int64_t sys_poll(struct thread *t, const uint64_t a[6])
{
    int32_t ms = (int32_t)a[2];
    return poll_list(t, a[0], a[1], ms < 0 ? UINT64_MAX : thread_now_ps(t) + (uint64_t)ms * PS_PER_MS);
}

static int64_t sys_ppoll(struct thread *t, const uint64_t a[6])
{
    ps_t until = UINT64_MAX;
    int64_t bad = a[2] ? timespec_in(t, a[2], thread_now_ps(t), &until) : 0;
    return bad ? bad : poll_list(t, a[0], a[1], until);
}

static int64_t select_sets(struct thread *t, const uint64_t a[6], ps_t until)
{
    static const int16_t want[3] = {POLLIN, POLLOUT, POLLPRI};
    uint64_t set[3][MAX_FILES / 64] = {0}, out[3][MAX_FILES / 64] = {0};
    uint64_t n = min_u64(a[0], MAX_FILES), bytes = (n + 63) / 64 * 8;
    int64_t n_ready = 0;
    for (uint32_t k = 0; k < 3; k++)
        if (a[1 + k] && exec_copy_in(t, a[1 + k], set[k], bytes))
            return -EFAULT;
    for (uint64_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < 3; k++) {
            if (!(set[k][i / 64] >> (i % 64) & 1))
                continue;
            int16_t r = ready(file_of(t, i), want[k]);
            if (r & POLLNVAL)
                return -EBADF;
            if (r & (want[k] | (k == 0 ? POLLHUP : POLLERR))) {
                out[k][i / 64] |= 1ull << (i % 64);
                n_ready++;
            }
        }
    if (n_ready == 0 && thread_now_ps(t) < until) {
        int64_t r = poll_again(t, until);
        if (r)
            return r;
    }
    ((struct linux_thread *)t->os)->poll_until_ps = 0;
    for (uint32_t k = 0; k < 3; k++)
        if (a[1 + k] && exec_copy_out(t, a[1 + k], out[k], bytes))
            return -EFAULT;
    return n_ready;
}

static int64_t sys_select(struct thread *t, const uint64_t a[6])
{
    uint64_t tv[2];
    ps_t until = UINT64_MAX;
    if (a[4]) {
        if (exec_copy_in(t, a[4], tv, sizeof tv))
            return -EFAULT;
        until = thread_now_ps(t) + tv[0] * PS_PER_S + tv[1] * PS_PER_US;
    }
    return select_sets(t, a, until);
}
static int64_t sys_pselect6(struct thread *t, const uint64_t a[6])
{
    ps_t until = UINT64_MAX;
    int64_t bad = a[4] ? timespec_in(t, a[4], thread_now_ps(t), &until) : 0;
    return bad ? bad : select_sets(t, a, until);
}

const struct syscall linux_file_calls[] = {
    {0, "read", sys_read},
    {1, "write", sys_write},
    {3, "close", sys_close},
    {5, "fstat", sys_fstat},
    {7, "poll", sys_poll},
    {8, "lseek", sys_lseek},
    {16, "ioctl", sys_ioctl},
    {17, "pread64", sys_pread},
    {18, "pwrite64", sys_pwrite},
    {19, "readv", sys_readv},
    {20, "writev", sys_writev},
    {22, "pipe", sys_pipe},
    {23, "select", sys_select},
    {32, "dup", sys_dup},
    {33, "dup2", sys_dup2},
    {40, "sendfile", sys_sendfile},
    {72, "fcntl", sys_fcntl},
    {73, "flock", sys_flock},
    {74, "fsync", sys_fsync},
    {75, "fdatasync", sys_fsync},
    {77, "ftruncate", sys_ftruncate},
    {91, "fchmod", sys_fchmod},
    {217, "getdents64", sys_getdents64},
    {270, "pselect6", sys_pselect6},
    {271, "ppoll", sys_ppoll},
    {285, "fallocate", sys_fallocate},
    {290, "eventfd2", sys_eventfd2},
    {292, "dup3", sys_dup3},
    {293, "pipe2", sys_pipe2},
    {295, "preadv", sys_preadv},
    {296, "pwritev", sys_pwritev},
    {436, "close_range", sys_close_range},
    {0, NULL, NULL},
};

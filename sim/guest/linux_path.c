/* SPDX-License-Identifier: MIT */
/* System calls that look at paths and open them. The host's kernel resolves every one below the root folder (openat2
 * with RESOLVE_IN_ROOT), so neither ".." nor a symbolic link leads out of it. */
#include "sim/guest/linux_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int64_t path_in(struct thread *t, uint64_t gva, char path[4096])
{
    int64_t n = exec_str_in(t, gva, path, 4096);
    return n == -1 ? -EFAULT : n == -2 ? -ENAMETOOLONG : 0;
}

char *path_absolute(const struct thread *t, int64_t dirfd, const char *path)
{
    const char *base = os_of(t)->cwd;
    const struct file *f = (int32_t)dirfd == AT_FDCWD ? NULL : file_of(t, (uint64_t)dirfd);
    if (path[0] == '/')
        return xstrdup(path);
    if (f)
        base = f->path;
    return xasprintf("%s%s%s", base, base[strlen(base) - 1] == '/' ? "" : "/", path);
}

static int64_t check_dirfd(const struct thread *t, int64_t dirfd, const char *path)
{
    if (path[0] == '/' || (int32_t)dirfd == AT_FDCWD)
        return 0;
    const struct file *f = file_of(t, (uint64_t)dirfd);
    return !f ? -EBADF : f->kind != FILE_DIR ? -ENOTDIR : 0;
}

int path_open_root(const struct linux_vm *vm, const char *path, uint64_t flags, uint32_t mode)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .mode = flags & (O_CREAT | __O_TMPFILE) ? mode & 07777 : 0,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, vm->root, path, &how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
}

int path_open(struct thread *t, int64_t dirfd, const char *path, uint64_t flags, uint32_t mode)
{
    int64_t bad = check_dirfd(t, dirfd, path);
    if (bad || !*path)
        return bad ? (int)bad : -ENOENT;
    char *whole = path_absolute(t, dirfd, path);
    int fd = path_open_root(vm_of(t), whole, flags, mode);
    free(whole);
    return fd;
}

/* ---- open ---- */

static int64_t open_at(struct thread *t, int64_t dirfd, uint64_t gva, uint64_t flags, uint32_t mode)
{
    char path[4096];
    struct stat st;
    int64_t bad = path_in(t, gva, path);
    bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    if (bad)
        return bad;
    struct file *f = special_file(t, path, flags);
    if (f)
        return fd_install(t, f, 0, flags & O_CLOEXEC);
    if (vm_of(t)->is_read_only && writes)
        return -EROFS;
    /* O_NONBLOCK: the simulator does not wait for the other end of a host's pipe. */
    int host = path_open(t, dirfd, path, (flags & ~(uint64_t)FASYNC) | O_NONBLOCK, mode & ~os_of(t)->umask);
    if (host < 0)
        return host;
    if (fstat(host, &st) || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
        close(host); /* no device, socket or pipe of the host */
        return -EACCES;
    }
    char *name = path_absolute(t, dirfd, path);
    f = file_new(S_ISDIR(st.st_mode) ? FILE_DIR : FILE_HOST, host, (uint32_t)flags & (O_ACCMODE | O_APPEND), name);
    free(name);
    return fd_install(t, f, 0, flags & O_CLOEXEC);
}

static int64_t sys_open(struct thread *t, const uint64_t a[6])
{
    return open_at(t, AT_FDCWD, a[0], a[1], (uint32_t)a[2]);
}
static int64_t sys_openat(struct thread *t, const uint64_t a[6])
{
    return open_at(t, (int64_t)a[0], a[1], a[2], (uint32_t)a[3]);
}
static int64_t sys_creat(struct thread *t, const uint64_t a[6])
{
    return open_at(t, AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)a[1]);
}

/* ---- metadata ---- */

static int64_t stat_at(struct thread *t, int64_t dirfd, uint64_t gva, uint64_t out, uint64_t flags)
{
    char path[4096];
    int64_t bad = path_in(t, gva, path);
    if (bad)
        return bad;
    if (!*path && flags & AT_EMPTY_PATH) {
        struct file *f = file_of(t, (uint64_t)dirfd);
        return f ? file_stat(t, f, out) : -EBADF;
    }
    struct file *f = special_file(t, path, O_RDONLY);
    if (f) {
        bad = file_stat(t, f, out);
        file_drop(t->process->x, f);
        return bad;
    }
    int host = path_open(t, dirfd, path, O_PATH | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0), 0);
    if (host < 0)
        return host;
    bad = stat_out(t, host, out);
    close(host);
    return bad;
}

static int64_t sys_stat(struct thread *t, const uint64_t a[6])
{
    return stat_at(t, AT_FDCWD, a[0], a[1], 0);
}
static int64_t sys_lstat(struct thread *t, const uint64_t a[6])
{
    return stat_at(t, AT_FDCWD, a[0], a[1], AT_SYMLINK_NOFOLLOW);
}
static int64_t sys_newfstatat(struct thread *t, const uint64_t a[6])
{
    return stat_at(t, (int64_t)a[0], a[1], a[2], a[3]);
}

static int64_t access_at(struct thread *t, int64_t dirfd, uint64_t gva, uint64_t mode)
{
    char path[4096];
    struct stat st;
    int64_t bad = path_in(t, gva, path);
    struct file *f = bad ? NULL : special_file(t, path, O_RDONLY);
    if (bad)
        return bad;
    if (f) {
        file_drop(t->process->x, f);
        return 0;
    }
    int host = path_open(t, dirfd, path, O_PATH, 0);
    if (host < 0)
        return host;
    bad = fstat(host, &st) ? -errno : 0;
    close(host);
    if (!bad && mode & W_OK && vm_of(t)->is_read_only)
        return -EROFS;
    return bad ? bad : mode & X_OK && !(st.st_mode & 0111) ? -EACCES : 0;
}
static int64_t sys_access(struct thread *t, const uint64_t a[6])
{
    return access_at(t, AT_FDCWD, a[0], a[1]);
}
static int64_t sys_faccessat(struct thread *t, const uint64_t a[6])
{
    return access_at(t, (int64_t)a[0], a[1], a[2]);
}

static int64_t readlink_at(struct thread *t, int64_t dirfd, uint64_t gva, uint64_t out, uint64_t n)
{
    char path[4096], target[4096];
    int64_t bad = path_in(t, gva, path);
    if (bad)
        return bad;
    ssize_t got;
    if (strcmp(path, "/proc/self/exe") == 0) {
        got = snprintf(target, sizeof target, "%s", os_of(t)->exe);
    } else {
        int host = path_open(t, dirfd, path, O_PATH | O_NOFOLLOW, 0);
        if (host < 0)
            return host;
        got = readlinkat(host, "", target, sizeof target);
        got = got < 0 ? (errno == ENOENT ? -EINVAL : -errno) : got;
        close(host);
    }
    if (got > 0 && (uint64_t)got > n)
        got = (ssize_t)n;
    return got > 0 && exec_copy_out(t, out, target, (uint64_t)got) ? -EFAULT : got;
}
static int64_t sys_readlink(struct thread *t, const uint64_t a[6])
{
    return readlink_at(t, AT_FDCWD, a[0], a[1], a[2]);
}
static int64_t sys_readlinkat(struct thread *t, const uint64_t a[6])
{
    return readlink_at(t, (int64_t)a[0], a[1], a[2], a[3]);
}

static int64_t statfs_out(struct thread *t, uint64_t gva)
{
    /* struct statfs: a tmpfs (0x01021994) with room */
    uint64_t s[15] = {0x01021994, PAGE_BYTES, 1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 0, 255, PAGE_BYTES};
    return exec_copy_out(t, gva, s, sizeof s) ? -EFAULT : 0;
}
static int64_t sys_statfs(struct thread *t, const uint64_t a[6])
{
    return statfs_out(t, a[1]);
}

/* ---- the current folder ---- */

static int64_t sys_getcwd(struct thread *t, const uint64_t a[6])
{
    const char *cwd = os_of(t)->cwd;
    uint64_t n = strlen(cwd) + 1;
    return n > a[1] ? -ERANGE : exec_copy_out(t, a[0], cwd, n) ? -EFAULT : (int64_t)n;
}

/* The name of an open folder as the guest sees it, without "." and "..". */
static int64_t enter(struct thread *t, int host, const char *path)
{
    struct linux_process *os = os_of(t);
    char *clean = xcalloc(1, strlen(path) + 2), *to = clean;
    struct stat st;
    if (fstat(host, &st) || !S_ISDIR(st.st_mode)) {
        free(clean);
        return -ENOTDIR;
    }
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && memcmp(p, "..", 2) == 0) {
            while (to > clean && *--to != '/')
                ;
        } else if (n && !(n == 1 && *p == '.')) {
            *to++ = '/';
            memcpy(to, p, n);
            to += n;
        }
        *to = 0;
        p += n + (p[n] == '/');
    }
    if (to == clean)
        *to++ = '/';
    *to = 0;
    free(os->cwd);
    os->cwd = clean;
    return 0;
}

static int64_t sys_chdir(struct thread *t, const uint64_t a[6])
{
    char path[4096];
    int64_t bad = path_in(t, a[0], path);
    int host = bad ? (int)bad : path_open(t, AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
    if (host < 0)
        return host;
    char *whole = path_absolute(t, AT_FDCWD, path);
    bad = enter(t, host, whole);
    free(whole);
    close(host);
    return bad;
}

static int64_t sys_fchdir(struct thread *t, const uint64_t a[6])
{
    struct file *f = file_of(t, a[0]);
    return !f ? -EBADF : f->kind != FILE_DIR ? -ENOTDIR : enter(t, f->host, f->path);
}

static int64_t sys_umask(struct thread *t, const uint64_t a[6])
{
    uint32_t old = os_of(t)->umask;
    os_of(t)->umask = (uint32_t)a[0] & 0777;
    return old;
}

const struct syscall linux_path_calls[] = {
    {2, "open", sys_open},
    {4, "stat", sys_stat},
    {6, "lstat", sys_lstat},
    {21, "access", sys_access},
    {79, "getcwd", sys_getcwd},
    {80, "chdir", sys_chdir},
    {81, "fchdir", sys_fchdir},
    {85, "creat", sys_creat},
    {89, "readlink", sys_readlink},
    {95, "umask", sys_umask},
    {137, "statfs", sys_statfs},
    {138, "fstatfs", sys_statfs},
    {257, "openat", sys_openat},
    {262, "newfstatat", sys_newfstatat},
    {267, "readlinkat", sys_readlinkat},
    {269, "faccessat", sys_faccessat},
    {439, "faccessat2", sys_faccessat},
    {0, NULL, NULL},
};

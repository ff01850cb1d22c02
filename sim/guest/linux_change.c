/* SPDX-License-Identifier: MIT */
/* System calls that change what paths name: make, remove, rename, link; modes, sizes and times. All go through the
 * folder that holds the name, below the root as linux_path.c resolves it; none of a root that is read only. */
#include "sim/guest/linux_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder that holds path's last component, whose name goes to name. A host descriptor, or -errno. */
static int parent_open(struct thread *t, int64_t dirfd, const char *path, char name[256])
{
    char folder[4096];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t from = n;
    while (from && path[from - 1] != '/')
        from--;
    if (n == 0 || n - from > 255)
        return n ? -ENAMETOOLONG : -ENOENT;
    memcpy(name, path + from, n - from);
    name[n - from] = 0;
    if (strcmp(name, "..") == 0 || strcmp(name, "/") == 0)
        return -EBUSY;
    snprintf(folder, sizeof folder, "%.*s", from ? (int)from : 1, from ? path : ".");
    return path_open(t, dirfd, folder, O_PATH | O_DIRECTORY, 0);
}

/* Takes a path apart for a call that changes its folder. A host descriptor of the folder, or -errno. */
static int change(struct thread *t, int64_t dirfd, uint64_t gva, char name[256])
{
    char path[4096];
    int64_t bad = path_in(t, gva, path);
    return bad ? (int)bad : vm_of(t)->is_read_only ? -EROFS : parent_open(t, dirfd, path, name);
}

static int64_t done(int folder, int bad)
{
    int why = errno;
    close(folder);
    return bad ? -why : 0;
}

static int64_t unlink_at(struct thread *t, int64_t dirfd, uint64_t gva, uint64_t flags)
{
    char name[256];
    int folder = change(t, dirfd, gva, name);
    return folder < 0 ? folder : done(folder, unlinkat(folder, name, (int)flags & AT_REMOVEDIR));
}
static int64_t sys_unlink(struct thread *t, const uint64_t a[6])
{
    return unlink_at(t, AT_FDCWD, a[0], 0);
}
static int64_t sys_rmdir(struct thread *t, const uint64_t a[6])
{
    return unlink_at(t, AT_FDCWD, a[0], AT_REMOVEDIR);
}
static int64_t sys_unlinkat(struct thread *t, const uint64_t a[6])
{
    return unlink_at(t, (int64_t)a[0], a[1], a[2]);
}

static int64_t mkdir_at(struct thread *t, int64_t dirfd, uint64_t gva, uint64_t mode)
{
    char name[256];
    int folder = change(t, dirfd, gva, name);
    return folder < 0 ? folder : done(folder, mkdirat(folder, name, (mode_t)mode & ~os_of(t)->umask));
}
static int64_t sys_mkdir(struct thread *t, const uint64_t a[6])
{
    return mkdir_at(t, AT_FDCWD, a[0], a[1]);
}
static int64_t sys_mkdirat(struct thread *t, const uint64_t a[6])
{
    return mkdir_at(t, (int64_t)a[0], a[1], a[2]);
}

/* The folders of two names, as change() finds them: the first, or what is wrong; the second in *other. */
static int change_both(struct thread *t, int64_t from_fd, uint64_t from, int64_t to_fd, uint64_t to, char name[2][256],
                       int *other)
{
    int folder = change(t, from_fd, from, name[0]);
    if (folder < 0)
        return folder;
    *other = change(t, to_fd, to, name[1]);
    if (*other >= 0)
        return folder;
    close(folder);
    return *other;
}

static int64_t rename_at(struct thread *t, int64_t from_fd, uint64_t from, int64_t to_fd, uint64_t to, uint64_t flags)
{
    char name[2][256];
    int other, folder = change_both(t, from_fd, from, to_fd, to, name, &other);
    if (folder < 0)
        return folder;
    int bad = renameat2(folder, name[0], other, name[1], (unsigned)flags), why = errno;
    close(other);
    errno = why;
    return done(folder, bad);
}
static int64_t sys_rename(struct thread *t, const uint64_t a[6])
{
    return rename_at(t, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
}
static int64_t sys_renameat(struct thread *t, const uint64_t a[6])
{
    return rename_at(t, (int64_t)a[0], a[1], (int64_t)a[2], a[3], 0);
}
static int64_t sys_renameat2(struct thread *t, const uint64_t a[6])
{
    return rename_at(t, (int64_t)a[0], a[1], (int64_t)a[2], a[3], a[4]);
}

static int64_t link_at(struct thread *t, int64_t from_fd, uint64_t from, int64_t to_fd, uint64_t to)
{
    char name[2][256];
    int other, folder = change_both(t, from_fd, from, to_fd, to, name, &other);
    if (folder < 0)
        return folder;
    int bad = linkat(folder, name[0], other, name[1], 0), why = errno;
    close(other);
    errno = why;
    return done(folder, bad);
}
static int64_t sys_link(struct thread *t, const uint64_t a[6])
{
    return link_at(t, AT_FDCWD, a[0], AT_FDCWD, a[1]);
}
static int64_t sys_linkat(struct thread *t, const uint64_t a[6])
{
    return link_at(t, (int64_t)a[0], a[1], (int64_t)a[2], a[3]);
}

static int64_t symlink_at(struct thread *t, uint64_t target_gva, int64_t dirfd, uint64_t gva)
{
    char target[4096], name[256];
    int64_t bad = path_in(t, target_gva, target);
    int folder = bad ? (int)bad : change(t, dirfd, gva, name);
    return folder < 0 ? folder : done(folder, symlinkat(target, folder, name));
}
static int64_t sys_symlink(struct thread *t, const uint64_t a[6])
{
    return symlink_at(t, a[0], AT_FDCWD, a[1]);
}
static int64_t sys_symlinkat(struct thread *t, const uint64_t a[6])
{
    return symlink_at(t, a[0], (int64_t)a[1], a[2]);
}

static int64_t chmod_at(struct thread *t, int64_t dirfd, uint64_t gva, uint64_t mode)
{
    char name[256];
    int folder = change(t, dirfd, gva, name);
    if (folder < 0)
        return folder;
    struct stat st; /* a link's target may lie elsewhere: it is left alone */
    int bad = fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW);
    if (!bad && !S_ISLNK(st.st_mode))
        bad = fchmodat(folder, name, (mode_t)mode & 07777, 0);
    return done(folder, bad);
}
static int64_t sys_chmod(struct thread *t, const uint64_t a[6])
{
    return chmod_at(t, AT_FDCWD, a[0], a[1]);
}
static int64_t sys_fchmodat(struct thread *t, const uint64_t a[6])
{
    return chmod_at(t, (int64_t)a[0], a[1], a[2]);
}

static int64_t sys_truncate(struct thread *t, const uint64_t a[6])
{
    char path[4096];
    int64_t bad = path_in(t, a[0], path);
    int host = bad ? (int)bad : vm_of(t)->is_read_only ? -EROFS : path_open(t, AT_FDCWD, path, O_WRONLY, 0);
    return host < 0 ? host : done(host, ftruncate(host, (off_t)a[1]));
}

static int64_t sys_utimensat(struct thread *t, const uint64_t a[6])
{
    char name[256];
    struct timespec ts[2];
    if (!a[1]) {
        struct file *f = file_of(t, a[0]);
        return f ? 0 : -EBADF;
    }
    if (a[2] && exec_copy_in(t, a[2], ts, sizeof ts))
        return -EFAULT;
    int folder = change(t, (int64_t)a[0], a[1], name);
    return folder < 0 ? folder : done(folder, utimensat(folder, name, a[2] ? ts : NULL, AT_SYMLINK_NOFOLLOW));
}

/* Owners are not the guest's to give away. */
static int64_t sys_chown(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    return 0;
}

static int64_t sys_xattr(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    return -EOPNOTSUPP;
}

const struct syscall linux_change_calls[] = {
    {76, "truncate", sys_truncate},
    {82, "rename", sys_rename},
    {83, "mkdir", sys_mkdir},
    {84, "rmdir", sys_rmdir},
    {86, "link", sys_link},
    {87, "unlink", sys_unlink},
    {88, "symlink", sys_symlink},
    {90, "chmod", sys_chmod},
    {92, "chown", sys_chown},
    {93, "fchown", sys_chown},
    {94, "lchown", sys_chown},
    {188, "setxattr", sys_xattr},
    {189, "lsetxattr", sys_xattr},
    {191, "getxattr", sys_xattr},
    {192, "lgetxattr", sys_xattr},
    {193, "fgetxattr", sys_xattr},
    {194, "listxattr", sys_xattr},
    {195, "llistxattr", sys_xattr},
    {258, "mkdirat", sys_mkdirat},
    {260, "fchownat", sys_chown},
    {263, "unlinkat", sys_unlinkat},
    {264, "renameat", sys_renameat},
    {265, "linkat", sys_linkat},
    {266, "symlinkat", sys_symlinkat},
    {268, "fchmodat", sys_fchmodat},
    {280, "utimensat", sys_utimensat},
    {316, "renameat2", sys_renameat2},
    {0, NULL, NULL},
};

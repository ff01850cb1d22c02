/* SPDX-License-Identifier: MIT */
/* System calls on paths. The host's kernel resolves every one below the root folder (openat2 with RESOLVE_IN_ROOT), so
 * neither ".." nor a symbolic link leads out of it. */
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

/* ---- open ---- */

static struct file *made(enum file_kind kind, const char *path, uint64_t flags)
{
    return file_new(kind, -1, (uint32_t)flags & O_ACCMODE, path);
}

static struct file *text_file(const char *path, char *text)
{
    struct file *f = made(FILE_TEXT, path, O_RDONLY);
    f->text = text;
    f->bytes = strlen(text);
    return f;
}

static char *maps_text(struct thread *t)
{
    const struct space *s = &t->process->space;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    for (uint32_t i = 0; i < s->n_regions; i++) {
        const struct region *r = &s->region[i];
        static const char *const names[] = {"", "[heap]", "[stack]", "", "", "/dev/pmem0"};
        fprintf(f, "%llx-%llx %c%c%c%c %08llx 00:00 0 %s\n", (unsigned long long)r->start, (unsigned long long)r->end,
                r->prot & SPACE_READ ? 'r' : '-', r->prot & SPACE_WRITE ? 'w' : '-', r->prot & SPACE_EXEC ? 'x' : '-',
                r->is_shared ? 's' : 'p', (unsigned long long)r->offset, names[r->kind]);
    }
    fclose(f);
    return text;
}

static char *cpuinfo_text(struct thread *t)
{
    const struct exec *x = t->process->x;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++)
        fprintf(f, "processor\t: %u\nvendor_id\t: quire\ncpu MHz\t\t: %llu.000\n\n", i,
                (unsigned long long)(x->cpu[i].x86.tsc_hz / 1000000));
    fclose(f);
    return text;
}

static char *meminfo_text(struct thread *t)
{
    const struct exec *x = t->process->x;
    uint64_t used = 0;
    for (uint32_t i = 0; i < x->n_processes; i++)
        used += x->process[i]->space.n_pages * 4;
    unsigned long long all = x->vm->bytes / KIB, left = all - min_u64(used, all);
    return xasprintf("MemTotal:       %llu kB\nMemFree:        %llu kB\nMemAvailable:   %llu kB\n", all, left, left);
}

static char *status_text(struct thread *t)
{
    return xasprintf("Name:\t%s\nPid:\t%u\nVmRSS:\t%llu kB\nThreads:\t%u\n", os_of(t)->name, t->process->pid,
                     (unsigned long long)t->process->space.n_pages * 4, t->process->n_threads);
}

/* Files that the guest's kernel makes up. NULL: path is none of them. */
static struct file *special(struct thread *t, const char *path, uint64_t flags)
{
    static const struct {
        const char *path;
        enum file_kind kind;
    } devices[] = {{"/dev/null", FILE_NULL},
                   {"/dev/zero", FILE_ZERO},
                   {"/dev/urandom", FILE_RANDOM},
                   {"/dev/random", FILE_RANDOM}};
    static const struct {
        const char *path;
        char *(*text)(struct thread *t);
    } texts[] = {{"/proc/self/maps", maps_text},
                 {"/proc/self/status", status_text},
                 {"/proc/cpuinfo", cpuinfo_text},
                 {"/proc/meminfo", meminfo_text}};
    for (uint32_t i = 0; i < N_ELEMS(devices); i++)
        if (strcmp(path, devices[i].path) == 0)
            return made(devices[i].kind, path, flags);
    for (uint32_t i = 0; i < N_ELEMS(texts); i++)
        if (strcmp(path, texts[i].path) == 0)
            return text_file(path, texts[i].text(t));
    if (strcmp(path, "/dev/pmem0") == 0 && t->process->x->vm->n_regions) {
        struct file *f = made(FILE_PMEM, path, flags);
        f->bytes = t->process->x->vm->region[0].bytes;
        return f;
    }
    return NULL;
}

static int64_t open_at(struct thread *t, int64_t dirfd, uint64_t gva, uint64_t flags, uint32_t mode)
{
    char path[4096];
    struct stat st;
    int64_t bad = path_in(t, gva, path);
    bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    if (bad)
        return bad;
    struct file *f = special(t, path, flags);
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
    struct file *f = special(t, path, O_RDONLY);
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
    struct file *f = bad ? NULL : special(t, path, O_RDONLY);
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

/* ---- changes ---- */

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

static int64_t rename_at(struct thread *t, int64_t from_fd, uint64_t from, int64_t to_fd, uint64_t to, uint64_t flags)
{
    char name[2][256];
    int folder = change(t, from_fd, from, name[0]), other;
    if (folder < 0)
        return folder;
    other = change(t, to_fd, to, name[1]);
    if (other < 0) {
        close(folder);
        return other;
    }
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
    int folder = change(t, from_fd, from, name[0]), other;
    if (folder < 0)
        return folder;
    other = change(t, to_fd, to, name[1]);
    if (other < 0) {
        close(folder);
        return other;
    }
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
    {76, "truncate", sys_truncate},
    {79, "getcwd", sys_getcwd},
    {80, "chdir", sys_chdir},
    {81, "fchdir", sys_fchdir},
    {82, "rename", sys_rename},
    {83, "mkdir", sys_mkdir},
    {84, "rmdir", sys_rmdir},
    {85, "creat", sys_creat},
    {86, "link", sys_link},
    {87, "unlink", sys_unlink},
    {88, "symlink", sys_symlink},
    {89, "readlink", sys_readlink},
    {90, "chmod", sys_chmod},
    {92, "chown", sys_chown},
    {93, "fchown", sys_chown},
    {94, "lchown", sys_chown},
    {95, "umask", sys_umask},
    {137, "statfs", sys_statfs},
    {138, "fstatfs", sys_statfs},
    {188, "setxattr", sys_xattr},
    {189, "lsetxattr", sys_xattr},
    {191, "getxattr", sys_xattr},
    {192, "lgetxattr", sys_xattr},
    {193, "fgetxattr", sys_xattr},
    {194, "listxattr", sys_xattr},
    {195, "llistxattr", sys_xattr},
    {257, "openat", sys_openat},
    {258, "mkdirat", sys_mkdirat},
    {260, "fchownat", sys_chown},
    {262, "newfstatat", sys_newfstatat},
    {263, "unlinkat", sys_unlinkat},
    {264, "renameat", sys_renameat},
    {265, "linkat", sys_linkat},
    {266, "symlinkat", sys_symlinkat},
    {267, "readlinkat", sys_readlinkat},
    {268, "fchmodat", sys_fchmodat},
    {269, "faccessat", sys_faccessat},
    {280, "utimensat", sys_utimensat},
    {316, "renameat2", sys_renameat2},
    {439, "faccessat2", sys_faccessat},
    {0, NULL, NULL},
};

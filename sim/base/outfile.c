/* SPDX-License-Identifier: MIT */
#include "sim/base/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int out_open(struct outfile *o, const char *path, struct diag *d)
{
    struct stat st;
    bool exists = stat(path, &st) == 0, is_special = exists && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
    char *real = exists && !is_special ? realpath(path, NULL) : NULL; /* a link stays one: its file is replaced */
    o->f = NULL;
    o->path = real ? real : xstrdup(path);
    o->tmp = is_special ? NULL : xasprintf("%s.tmp-%ld", o->path, (long)getpid());
    if (exists && S_ISDIR(st.st_mode))
        errno = EISDIR;
    else
        o->f = fopen(is_special ? path : o->tmp, "we");
    if (o->f)
        return 0;
    fail(d, "%s: cannot be written: %s", path, strerror(errno));
    out_abort(o);
    return -1;
}

void out_abort(struct outfile *o)
{
    if (o->f)
        fclose(o->f);
    if (o->tmp)
        unlink(o->tmp);
    free(o->tmp);
    free(o->path);
    *o = (struct outfile){0};
}

int out_close_synced(FILE *f)
{
    int err = 0;
    errno = 0;
    if (ferror(f))
        err = errno ? errno : EIO;
    if (fflush(f) != 0 && (!err || err == EIO))
        err = errno;
    if (!err && fsync(fileno(f)) != 0 && errno != EINVAL && errno != EROFS)
        err = errno;
    if (fclose(f) != 0 && !err)
        err = errno;
    return err;
}

int out_sync_dir(const char *dir)
{
    int fd = open(*dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
    if (fd < 0)
        return errno;
    if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        err = errno;
    close(fd);
    return err;
}

int out_commit(struct outfile *o, struct diag *d)
{
    int err = out_close_synced(o->f), rc = 0;
    o->f = NULL;
    if (!err && o->tmp && rename(o->tmp, o->path) != 0)
        err = errno;
    if (err) {
        rc = fail(d, "%s: cannot be written: %s", o->path, strerror(err));
    } else if (o->tmp) {
        const char *slash = strrchr(o->path, '/');
        char *dir = xasprintf("%.*s", slash ? (int)(slash - o->path) + 1 : 0, o->path);
        out_sync_dir(dir);
        free(dir);
        free(o->tmp);
        o->tmp = NULL;
    }
    out_abort(o);
    return rc;
}

int out_mkdirs(const char *dir, struct diag *d)
{
    char *path = xstrdup(dir);
    struct stat st;
    int rc = 0;
    for (char *p = path + 1; rc == 0; p++) {
        if (*p && *p != '/')
            continue;
        char c = *p;
        *p = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            rc = fail(d, "%s: cannot be made: %s", path, strerror(errno));
        *p = c;
        if (!c)
            break;
    }
    if (rc == 0 && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        rc = fail(d, "%s: found a file, expected a folder", path);
    free(path);
    return rc;
}

/* SPDX-License-Identifier: MIT */
/* The Linux personality in a checkpoint. Images and pipes are in it with their bytes. An open file is found again by
 * its name below the root: one that the program may write to is made what it was, one that it only reads has to be what
 * it was. The standard streams are those of the command that goes on; a standard input that can seek goes on where it
 * was. */
#include "sim/guest/linux_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define MAX_THINGS     65536u
#define MAX_FILE_BYTES (1ull << 32) /* of one that is written */
#define MAX_MAPPINGS   65536u

/* Things that several others share, in the order in which they are met. */
struct things {
    void **p;
    uint64_t n;
};

static uint64_t thing(struct things *t, void *p)
{
    uint64_t i = 0;
    while (i < t->n && t->p[i] != p)
        i++;
    if (i == t->n) {
        t->p = xrealloc(t->p, (t->n + 1) * sizeof(void *));
        t->p[t->n++] = p;
    }
    return i;
}

/* Everything that processes share. */
struct shared {
    struct things images, tables, files, pipes;
};

static void find_shared(struct exec *x, struct shared *s)
{
    for (uint32_t i = 0; i < x->n_processes; i++) {
        struct linux_process *os = x->process[i]->os;
        if (!os)
            continue;
        if (os->image)
            thing(&s->images, os->image);
        thing(&s->tables, os->files);
        for (uint32_t k = 0; k < MAX_FILES; k++)
            if (os->files->file[k])
                thing(&s->files, os->files->file[k]);
        for (uint32_t k = 0; k < os->n_mappings; k++)
            thing(&s->files, os->mapping[k].file);
    }
    for (uint64_t i = 0; i < s->files.n; i++) {
        struct file *f = s->files.p[i];
        if (f->pipe)
            thing(&s->pipes, f->pipe);
    }
}

/* The list is as long as it was; its things are made, all zero. */
static void begin(struct things *t, size_t size, struct ckpt *c)
{
    uint64_t n = ckpt_count(c, t->n, MAX_THINGS);
    if (!ckpt_is_loading(c))
        return;
    t->p = xcalloc(n + 1, sizeof(void *));
    t->n = n;
    for (uint64_t i = 0; i < n; i++)
        t->p[i] = size ? xcalloc(1, size) : NULL;
}

/* One of the list, or none. */
static void *which(struct things *t, void *p, struct ckpt *c)
{
    uint64_t i = ckpt_is_loading(c) || !p ? t->n : thing(t, p);
    i = ckpt_count(c, i, t->n);
    return i < t->n ? t->p[i] : NULL;
}

/* ---- images ---- */

static void image_state(void **image, struct ckpt *c)
{
    struct elf *e = *image;
    struct diag d = {0};
    char *path = e ? xstrdup(e->path) : NULL;
    uint64_t base = e ? e->base : 0, n = e ? e->n_file : 0;
    uint32_t refs = e ? e->refs : 0;
    uint8_t *file = e ? e->file : NULL;
    ckpt_text(c, &path);
    CKPT(c, base);
    CKPT(c, refs);
    ckpt_array(c, &file, &n, NULL, 1, MAX_FILE_BYTES);
    if (ckpt_is_loading(c)) {
        e = path && !ckpt_failed(c) ? elf_from_memory(path, file, n, &d) : NULL;
        free(file);
        if (e) {
            e->base = base;
            e->refs = refs;
        } else {
            ckpt_fail(c, "an image is no program: %s", d.text);
        }
        *image = e;
    }
    free(path);
}

/* ---- files of the host ---- */

static XXH128_hash_t digest_of(int host)
{
    uint8_t *buf = xmalloc(1u << 16);
    XXH3_state_t *h = XXH3_createState();
    CHECK(h);
    XXH3_128bits_reset(h);
    off_t at = 0;
    for (ssize_t n; (n = pread(host, buf, 1u << 16, at)) > 0; at += n)
        XXH3_128bits_update(h, buf, (size_t)n);
    XXH128_hash_t d = XXH3_128bits_digest(h);
    XXH3_freeState(h);
    free(buf);
    return d;
}

/* The bytes of a file that the program may write to. */
static void content_state(struct file *f, struct ckpt *c)
{
    struct stat st = {0};
    uint8_t *bytes = NULL;
    uint64_t n = 0;
    if (!ckpt_is_loading(c) && fstat(f->host, &st) == 0 && (uint64_t)st.st_size <= MAX_FILE_BYTES) {
        n = (uint64_t)st.st_size;
        bytes = xmalloc(n + 1);
        if (pread(f->host, bytes, n, 0) != (ssize_t)n)
            ckpt_fail(c, "%s: it cannot be read: %s", f->path, strerror(errno));
    } else if (!ckpt_is_loading(c)) {
        ckpt_fail(c, "%s: found a file of %lld bytes open for writing, expected at most %llu", f->path,
                  (long long)st.st_size, (unsigned long long)MAX_FILE_BYTES);
    }
    ckpt_array(c, &bytes, &n, NULL, 1, MAX_FILE_BYTES);
    if (ckpt_is_loading(c) && !ckpt_failed(c) &&
        (ftruncate(f->host, (off_t)n) || (n && pwrite(f->host, bytes, n, 0) != (ssize_t)n)))
        ckpt_fail(c, "%s: it cannot be made what it was: %s", f->path, strerror(errno));
    free(bytes);
}

/* The descriptor that the file's path leads to; of one that has no name any more, a file in memory. */
static int reopen(const struct linux_vm *vm, const struct file *f, bool is_nameless)
{
    uint64_t flags = f->kind == FILE_DIR ? O_RDONLY | O_DIRECTORY : (f->flags & (O_ACCMODE | O_APPEND)) | O_NONBLOCK;
    if (is_nameless)
        return memfd_create("nameless", MFD_CLOEXEC);
    if ((f->flags & O_ACCMODE) != O_RDONLY && f->kind != FILE_DIR)
        flags = ((flags & ~(uint64_t)O_ACCMODE) | O_RDWR) | O_CREAT;
    return path_open_root(vm, f->path, flags, 0644);
}

/* The open file once more, to read it, whether or not it has a name or was opened for reading. */
static int readable(const struct file *f)
{
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", f->host);
    return open(name, O_RDONLY | O_CLOEXEC);
}

static void regular_state(struct file *f, bool is_nameless, struct ckpt *c)
{
    if ((f->flags & O_ACCMODE) != O_RDONLY || is_nameless) {
        int own = f->host;
        if (!ckpt_is_loading(c))
            f->host = readable(f);
        content_state(f, c);
        if (!ckpt_is_loading(c)) {
            if (f->host >= 0)
                close(f->host);
            f->host = own;
        }
        return;
    }
    XXH128_hash_t had = digest_of(f->host), has = had;
    CKPT(c, had);
    if (!XXH128_isEqual(had, has))
        ckpt_fail(c, "%s: found other content than when the checkpoint was made", f->path);
}

static void host_state(const struct linux_vm *vm, struct file *f, struct ckpt *c)
{
    struct stat st = {.st_nlink = 1};
    int64_t at = -1;
    if (!ckpt_is_loading(c)) {
        at = lseek(f->host, 0, SEEK_CUR);
        fstat(f->host, &st);
    }
    bool is_nameless = st.st_nlink == 0;
    CKPT(c, at);
    CKPT(c, is_nameless);
    if (ckpt_is_loading(c)) {
        f->host = reopen(vm, f, is_nameless);
        if (f->host < 0) {
            ckpt_fail(c, "%s: the program had it open: %s", f->path, strerror(is_nameless ? errno : -f->host));
            f->host = -1;
            return;
        }
    }
    if (f->kind == FILE_HOST)
        regular_state(f, is_nameless, c);
    if (ckpt_is_loading(c) && at >= 0)
        lseek(f->host, at, SEEK_SET);
}

/* The three that the simulator itself was given. */
static void console_state(struct file *f, struct ckpt *c)
{
    int32_t host = f->host;
    int64_t at = host == STDIN_FILENO && !ckpt_is_loading(c) ? lseek(host, 0, SEEK_CUR) : -1;
    CKPT(c, host);
    CKPT(c, at);
    if (!ckpt_is_loading(c))
        return;
    f->host = host >= 0 && host <= STDERR_FILENO ? host : -1;
    if (f->host == STDIN_FILENO && at > 0)
        lseek(f->host, at, SEEK_SET);
}

static void file_state(const struct linux_vm *vm, struct shared *s, struct file *f, struct ckpt *c)
{
    uint32_t kind = f->kind;
    uint64_t n = f->text ? f->bytes + 1 : 0;
    CKPT(c, f->refs);
    kind = (uint32_t)ckpt_count(c, kind, FILE_COUNTER);
    f->kind = (enum file_kind)kind;
    CKPT(c, f->flags);
    CKPT(c, f->is_console);
    CKPT(c, f->at);
    CKPT(c, f->bytes);
    ckpt_text(c, &f->path);
    ckpt_array(c, &f->text, &n, NULL, 1, 1u << 30);
    f->pipe = which(&s->pipes, f->pipe, c);
    bool is_pipe = kind == FILE_PIPE_READ || kind == FILE_PIPE_WRITE;
    if (ckpt_is_loading(c)) {
        f->host = -1;
        if (!f->path || is_pipe != (f->pipe != NULL) || (f->text && n <= f->bytes) || f->refs == 0) {
            f->kind = FILE_NULL;
            ckpt_fail(c, "an open file does not fit together");
        }
        if (ckpt_failed(c))
            return;
    }
    if (f->is_console)
        console_state(f, c);
    else if (kind == FILE_HOST || kind == FILE_DIR)
        host_state(vm, f, c);
}

/* ---- processes ---- */

static void table_state(struct shared *s, struct file_table *t, struct ckpt *c)
{
    CKPT(c, t->refs);
    CKPT(c, t->is_closed_by_exec);
    for (uint32_t i = 0; i < MAX_FILES; i++)
        t->file[i] = which(&s->files, t->file[i], c);
}

static void mappings_state(struct shared *s, struct linux_process *os, struct ckpt *c)
{
    uint64_t n = ckpt_count(c, os->n_mappings, MAX_MAPPINGS);
    if (ckpt_is_loading(c)) {
        os->mapping = xcalloc(n + 1, sizeof *os->mapping);
        os->n_mappings = (uint32_t)n;
    }
    for (uint32_t i = 0; i < os->n_mappings; i++) {
        struct file_mapping *m = &os->mapping[i];
        m->file = which(&s->files, m->file, c);
        CKPT(c, m->gva);
        CKPT(c, m->bytes);
        CKPT(c, m->offset);
        if (!m->file)
            ckpt_fail(c, "a mapping of no file");
    }
}

static void process_state(struct shared *s, struct process *p, struct ckpt *c)
{
    bool is_there = p->os != NULL;
    CKPT(c, is_there);
    if (!is_there)
        return;
    if (ckpt_is_loading(c))
        p->os = xcalloc(1, sizeof(struct linux_process));
    struct linux_process *os = p->os;
    os->files = which(&s->tables, os->files, c);
    os->image = which(&s->images, os->image, c);
    ckpt_text(c, &os->cwd);
    ckpt_text(c, &os->exe);
    CKPT(c, os->action);
    CKPT(c, os->umask);
    CKPT(c, os->is_vfork);
    CKPT(c, os->name);
    mappings_state(s, os, c);
    if (!os->files || !os->cwd || !os->exe)
        ckpt_fail(c, "process %u has no files", p->pid);
}

void linux_state(struct exec *x, struct ckpt *c)
{
    struct linux_vm *vm = x->os;
    struct shared s = {0};
    ckpt_section(c, "linux");
    CKPT(c, vm->random);
    CKPT(c, vm->unknown);
    CKPT(c, vm->n_pipes);
    if (!ckpt_is_loading(c))
        find_shared(x, &s);
    begin(&s.images, 0, c);
    begin(&s.pipes, sizeof(struct pipe), c);
    begin(&s.files, sizeof(struct file), c);
    begin(&s.tables, sizeof(struct file_table), c);
    for (uint64_t i = 0; i < s.images.n; i++)
        image_state(&s.images.p[i], c);
    for (uint64_t i = 0; i < s.pipes.n; i++)
        ckpt_bytes(c, s.pipes.p[i], sizeof(struct pipe));
    for (uint64_t i = 0; i < s.files.n; i++)
        file_state(vm, &s, s.files.p[i], c);
    for (uint64_t i = 0; i < s.tables.n; i++)
        table_state(&s, s.tables.p[i], c);
    for (uint32_t i = 0; i < x->n_processes; i++)
        process_state(&s, x->process[i], c);
    for (uint32_t i = 0; i < x->n_threads; i++)
        ckpt_bytes(c, x->thread[i]->os, sizeof(struct linux_thread));
    struct things *all[] = {&s.images, &s.tables, &s.files, &s.pipes};
    for (uint32_t i = 0; i < N_ELEMS(all); i++)
        free(all[i]->p);
}

void linux_forget(struct process *p)
{
    struct linux_process *os = p->os;
    if (os) {
        free(os->mapping);
        free(os->cwd);
        free(os->exe);
    }
    free(os);
    p->os = NULL;
}

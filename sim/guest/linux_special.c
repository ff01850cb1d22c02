/* SPDX-License-Identifier: MIT */
/* Files that a kernel makes up: devices, and what /proc says in text. */
#include "sim/guest/linux_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

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

struct file *special_file(struct thread *t, const char *path, uint64_t flags)
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

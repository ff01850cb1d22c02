/* SPDX-License-Identifier: MIT */
/* System calls on the address space. */
#include "sim/guest/linux_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define UP(n) (((n) + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1))

/* ---- files in memory ---- */

/* The bytes of a file mapping are read when it is made. */
static int64_t read_mapping(struct thread *t, struct file *f, uint64_t gva, uint64_t bytes, uint64_t offset)
{
    uint8_t buf[PAGE_BYTES];
    for (uint64_t at = 0; at < bytes; at += PAGE_BYTES) {
        int64_t n = file_read(t, f, buf, sizeof buf, (int64_t)(offset + at));
        if (n <= 0)
            return n;
        if (exec_fill(t->process, t->vcpu, gva + at, buf, (uint64_t)n, t->process->x->diag))
            return -ENOMEM;
    }
    return 0;
}

/* Bytes of a shared mapping go back to the file, up to its end. */
static void write_back(struct thread *t, const struct file_mapping *m, uint64_t start, uint64_t end)
{
    uint8_t buf[PAGE_BYTES];
    int64_t size = lseek(m->file->host, 0, SEEK_CUR), last = lseek(m->file->host, 0, SEEK_END);
    lseek(m->file->host, size, SEEK_SET);
    for (uint64_t at = start; at < end; at += PAGE_BYTES) {
        uint64_t offset = m->offset + (at - m->gva);
        if (last < 0 || offset >= (uint64_t)last)
            break;
        uint64_t n = min_u64(PAGE_BYTES, (uint64_t)last - offset);
        if (exec_copy_in(t, at, buf, n) == 0)
            file_write(t, m->file, buf, n, (int64_t)offset);
    }
}

void mappings_write_back(struct thread *t, uint64_t start, uint64_t end)
{
    struct linux_process *os = os_of(t);
    for (uint32_t i = 0; i < os->n_mappings; i++) {
        const struct file_mapping *m = &os->mapping[i];
        uint64_t from = m->gva > start ? m->gva : start, to = min_u64(end, m->gva + m->bytes);
        if (from < to)
            write_back(t, m, from, to);
    }
}

/* Mappings within the range are gone; those that reach out of it keep their ends. */
static void forget_mappings(struct thread *t, uint64_t start, uint64_t end)
{
    struct linux_process *os = os_of(t);
    for (uint32_t i = os->n_mappings; i-- > 0;) {
        struct file_mapping *m = &os->mapping[i];
        if (m->gva < start || m->gva + m->bytes > end)
            continue;
        file_drop(t->process->x, m->file);
        *m = os->mapping[--os->n_mappings];
    }
}

static void note_mapping(struct thread *t, struct file *f, uint64_t gva, uint64_t bytes, uint64_t offset)
{
    struct linux_process *os = os_of(t);
    os->mapping = xrealloc(os->mapping, (os->n_mappings + 1) * sizeof *os->mapping);
    os->mapping[os->n_mappings++] = (struct file_mapping){f, gva, bytes, offset};
    f->refs++;
}

/* ---- mmap and kin ---- */

static int64_t place(const struct space *s, uint64_t hint, uint64_t bytes, uint64_t flags)
{
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (hint & (PAGE_BYTES - 1) || hint < PAGE_BYTES || bytes > SPACE_TOP || hint > SPACE_TOP - bytes)
            return hint < PAGE_BYTES ? -EPERM : -ENOMEM;
        if (flags & MAP_FIXED_NOREPLACE && space_find(s, hint, bytes) != hint)
            return -EEXIST;
        return (int64_t)hint;
    }
    uint64_t at = space_find(s, hint, bytes);
    return at ? (int64_t)at : -ENOMEM;
}

static int64_t sys_mmap(struct thread *t, const uint64_t a[6])
{
    struct process *p = t->process;
    uint64_t bytes = UP(a[1]), flags = a[3];
    bool is_anonymous = flags & MAP_ANONYMOUS;
    struct file *f = is_anonymous ? NULL : file_of(t, a[4]);
    if (a[1] == 0 || bytes < a[1] || a[5] & (PAGE_BYTES - 1) || !(flags & (MAP_SHARED | MAP_PRIVATE)))
        return -EINVAL;
    if (!is_anonymous && !f)
        return -EBADF;
    if (f && f->kind != FILE_HOST && f->kind != FILE_PMEM && f->kind != FILE_ZERO)
        return f->kind == FILE_DIR ? -EACCES : -ENODEV;
    if (f && f->kind == FILE_PMEM && a[5] + bytes > UP(f->bytes))
        return -ENXIO;
    int64_t at = place(&p->space, a[0], bytes, flags);
    if (at < 0)
        return at;
    mappings_write_back(t, (uint64_t)at, (uint64_t)at + bytes);
    forget_mappings(t, (uint64_t)at, (uint64_t)at + bytes);
    struct region r = {.start = (uint64_t)at,
                       .end = (uint64_t)at + bytes,
                       .offset = a[5],
                       .prot = a[2] & 7,
                       .kind = !f || f->kind == FILE_ZERO ? REGION_ANON
                               : f->kind == FILE_PMEM     ? REGION_PMEM
                                                          : REGION_FILE,
                       .is_shared = (flags & MAP_TYPE) != MAP_PRIVATE};
    if (space_map(&p->space, t->vcpu, &r))
        return -ENOMEM;
    if (r.kind != REGION_FILE)
        return at;
    int64_t bad = read_mapping(t, f, r.start, bytes, a[5]);
    if (bad) {
        space_unmap(&p->space, t->vcpu, r.start, r.end);
        return bad;
    }
    if (r.is_shared && (f->flags & O_ACCMODE) == O_RDWR)
        note_mapping(t, f, r.start, bytes, a[5]);
    return at;
}

static int64_t sys_munmap(struct thread *t, const uint64_t a[6])
{
    uint64_t end = a[0] + UP(a[1]);
    if (a[0] & (PAGE_BYTES - 1) || a[1] == 0 || end < a[0] || end > SPACE_TOP)
        return -EINVAL;
    mappings_write_back(t, a[0], end);
    forget_mappings(t, a[0], end);
    space_unmap(&t->process->space, t->vcpu, a[0], end);
    return 0;
}

static int64_t sys_msync(struct thread *t, const uint64_t a[6])
{
    if (a[0] & (PAGE_BYTES - 1))
        return -EINVAL;
    mappings_write_back(t, a[0], a[0] + UP(a[1]));
    return 0;
}

static int64_t sys_mprotect(struct thread *t, const uint64_t a[6])
{
    uint64_t bytes = UP(a[1]);
    if (a[0] & (PAGE_BYTES - 1))
        return -EINVAL;
    if (bytes == 0)
        return 0;
    return space_protect(&t->process->space, t->vcpu, a[0], a[0] + bytes, a[2] & 7) ? -ENOMEM : 0;
}

/* The range is one region of the process. */
static const struct region *whole_region(const struct space *s, uint64_t start, uint64_t bytes)
{
    const struct region *r = start < SPACE_TOP ? space_at(s, start) : NULL;
    return r && r->end - start >= bytes ? r : NULL;
}

static int64_t sys_mremap(struct thread *t, const uint64_t a[6])
{
    struct space *s = &t->process->space;
    uint64_t from = a[0], old = UP(a[1]), new = UP(a[2]), to = a[4];
    const struct region *r = whole_region(s, from, old ? old : 1);
    if (from & (PAGE_BYTES - 1) || new == 0 || old == 0)
        return -EINVAL;
    if (!r)
        return -EFAULT;
    struct region more = *r;
    if (!(a[3] & MREMAP_FIXED)) {
        if (new <= old) {
            space_unmap(s, t->vcpu, from + new, from + old);
            return (int64_t)from;
        }
        more.start = from + old;
        more.end = from + new;
        more.offset = r->offset + (more.start - r->start);
        if (space_find(s, more.start, new - old) == more.start)
            return space_map(s, t->vcpu, &more) ? -ENOMEM : (int64_t)from;
        if (!(a[3] & MREMAP_MAYMOVE))
            return -ENOMEM;
        to = space_find(s, 0, new);
    }
    if (to == 0 || to & (PAGE_BYTES - 1) || (to < from + old && from < to + new))
        return to ? -EINVAL : -ENOMEM;
    space_unmap(s, t->vcpu, to, to + new);
    uint64_t kept = min_u64(old, new);
    if (space_move(s, t->vcpu, from, to, kept))
        return -ENOMEM;
    space_unmap(s, t->vcpu, from, from + old);
    more.start = to + kept;
    more.end = to + new;
    return new > old &&space_map(s, t->vcpu, &more) ? -ENOMEM : (int64_t)to;
}

static int64_t sys_brk(struct thread *t, const uint64_t a[6])
{
    struct space *s = &t->process->space;
    uint64_t old = UP(s->brk), new = UP(a[0]);
    if (a[0] < s->brk_start || a[0] >= SPACE_TOP - 4 * SPACE_STACK_BYTES)
        return (int64_t)s->brk;
    if (new > old) {
        struct region r = {.start = old, .end = new, .kind = REGION_HEAP, .prot = SPACE_READ | SPACE_WRITE};
        if (space_find(s, old, new - old) != old || space_map(s, t->vcpu, &r))
            return (int64_t)s->brk;
    } else if (new < old) {
        space_unmap(s, t->vcpu, new, old);
    }
    s->brk = a[0];
    return (int64_t)s->brk;
}

static int64_t sys_madvise(struct thread *t, const uint64_t a[6])
{
    struct space *s = &t->process->space;
    uint64_t end = a[0] + UP(a[1]);
    if (a[0] & (PAGE_BYTES - 1) || end < a[0] || end > SPACE_TOP)
        return -EINVAL;
    if (a[2] != MADV_DONTNEED)
        return 0;
    bool has_hole = false; /* is told at the end: what is mapped is dropped all the same */
    for (uint64_t at = a[0], to; at < end; at = to) {
        const struct region *r = space_at(s, at);
        to = r ? min_u64(r->end, end) : at + PAGE_BYTES;
        has_hole |= !r;
        if (!r || r->is_shared || (r->kind != REGION_ANON && r->kind != REGION_HEAP && r->kind != REGION_STACK))
            continue;
        struct region again = *r; /* pages of private memory come back as zero */
        again.start = at;
        again.end = to;
        if (space_map(s, t->vcpu, &again))
            return -ENOMEM;
    }
    return has_hole ? -ENOMEM : 0;
}

static int64_t sys_mincore(struct thread *t, const uint64_t a[6])
{
    const uint8_t one = 1;
    for (uint64_t at = 0; at < UP(a[1]); at += PAGE_BYTES) {
        if (!space_at(&t->process->space, a[0] + at))
            return -ENOMEM;
        if (exec_copy_out(t, a[2] + at / PAGE_BYTES, &one, 1))
            return -EFAULT;
    }
    return 0;
}

/* Nothing is paged out. */
static int64_t sys_mlock(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    return 0;
}

const struct syscall linux_mem_calls[] = {
    {9, "mmap", sys_mmap},
    {10, "mprotect", sys_mprotect},
    {11, "munmap", sys_munmap},
    {12, "brk", sys_brk},
    {25, "mremap", sys_mremap},
    {26, "msync", sys_msync},
    {27, "mincore", sys_mincore},
    {28, "madvise", sys_madvise},
    {149, "mlock", sys_mlock},
    {150, "munlock", sys_mlock},
    {151, "mlockall", sys_mlock},
    {152, "munlockall", sys_mlock},
    {0, NULL, NULL},
};

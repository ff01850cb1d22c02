/* SPDX-License-Identifier: MIT */
#include "sim/guest/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE  (1ull << 30)      /* bytes of a program that is read */
#define MAX_VADDR 0x7ff000000000ull /* user addresses, with room for the stack */

/* PVH's entry point (Xen's public header elfnote.h). */
#define NOTE_PVH_ENTRY 18u
/* How far a function without a size, as assembly has them, is taken to reach. */
#define NAMELESS_BYTES 256u

static int read_all(const char *path, uint8_t **bytes, uint64_t *n, struct diag *d)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        fail(d, "%s: cannot be opened: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > MAX_FILE) {
        close(fd);
        return fail(d, "%s: found %s, expected a program of at most %llu bytes", path,
                    S_ISREG(st.st_mode) ? "a larger file" : "no regular file", MAX_FILE);
    }
    *bytes = xmalloc((size_t)st.st_size + 1);
    *n = 0;
    ssize_t got;
    while (*n < (uint64_t)st.st_size && (got = read(fd, *bytes + *n, (size_t)st.st_size - *n)) > 0)
        *n += (uint64_t)got;
    close(fd);
    return 0;
}

static int check_header(const struct elf *e, const GElf_Ehdr *h, struct diag *d)
{
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
        return fail(d, "%s: found a %s-bit ELF file for machine %u, expected a 64-bit one for x86-64 (%u)", e->path,
                    h->e_ident[EI_CLASS] == ELFCLASS64 ? "64" : "32", h->e_machine, EM_X86_64);
    if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
        return fail(d, "%s: found ELF type %u, expected a program (2 or 3): is it linked?", e->path, h->e_type);
    if (h->e_phnum == 0 || h->e_phentsize != sizeof(Elf64_Phdr))
        return fail(d, "%s: byte 54: found %u program headers of %u bytes, expected some of %zu", e->path, h->e_phnum,
                    h->e_phentsize, sizeof(Elf64_Phdr));
    if (h->e_phoff > e->n_file || (uint64_t)h->e_phnum * sizeof(Elf64_Phdr) > e->n_file - h->e_phoff)
        return fail(d, "%s: byte 32: the program headers lie at %llu, the file ends at %llu", e->path,
                    (unsigned long long)h->e_phoff, (unsigned long long)e->n_file);
    return 0;
}

static int add_segment(struct elf *e, const GElf_Phdr *p, uint32_t i, struct diag *d)
{
    unsigned long long vaddr = p->p_vaddr, memsz = p->p_memsz;
    if (p->p_memsz == 0)
        return 0;
    if (p->p_offset > e->n_file || p->p_filesz > e->n_file - p->p_offset)
        return fail(d, "%s: segment %u: its bytes %llu..%llu lie outside the file of %llu bytes", e->path, i,
                    (unsigned long long)p->p_offset, (unsigned long long)(p->p_offset + p->p_filesz),
                    (unsigned long long)e->n_file);
    if (p->p_filesz > p->p_memsz)
        return fail(d, "%s: segment %u: found %llu bytes in the file for %llu in memory", e->path, i,
                    (unsigned long long)p->p_filesz, memsz);
    if (!e->pvh_entry && (memsz > MAX_VADDR || vaddr > MAX_VADDR - memsz))
        return fail(d, "%s: segment %u: found addresses %llx..%llx, expected them below %llx", e->path, i, vaddr,
                    vaddr + memsz, MAX_VADDR);
    if (e->n_segments == ELF_MAX_SEGMENTS)
        return fail(d, "%s: more than %u segments", e->path, ELF_MAX_SEGMENTS);
    const struct elf_segment *last = e->n_segments ? &e->segment[e->n_segments - 1] : NULL;
    if (!e->pvh_entry && last && p->p_vaddr < last->vaddr + last->mem_bytes)
        return fail(d, "%s: segment %u at %llx: found it below the end %llx of the one before", e->path, i, vaddr,
                    (unsigned long long)(last->vaddr + last->mem_bytes));
    e->segment[e->n_segments++] = (struct elf_segment){.vaddr = p->p_vaddr,
                                                       .paddr = p->p_paddr,
                                                       .mem_bytes = p->p_memsz,
                                                       .offset = p->p_offset,
                                                       .file_bytes = p->p_filesz,
                                                       .read = p->p_flags & PF_R,
                                                       .write = p->p_flags & PF_W,
                                                       .exec = p->p_flags & PF_X};
    return 0;
}

/* Notes of one segment: the PVH entry point, if it is there. */
static void read_notes(struct elf *e, const GElf_Phdr *p)
{
    if (p->p_offset > e->n_file || p->p_filesz > e->n_file - p->p_offset)
        return;
    const uint8_t *at = e->file + p->p_offset, *end = at + p->p_filesz;
    while ((size_t)(end - at) >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr n;
        memcpy(&n, at, sizeof n);
        uint64_t name = sizeof n, desc = name + (((uint64_t)n.n_namesz + 3) & ~3ull),
                 next = desc + (((uint64_t)n.n_descsz + 3) & ~3ull);
        if (next > (size_t)(end - at))
            return;
        if (n.n_type == NOTE_PVH_ENTRY && n.n_namesz == 4 && memcmp(at + name, "Xen", 4) == 0 && n.n_descsz >= 4) {
            e->pvh_entry = 0;
            memcpy(&e->pvh_entry, at + desc, n.n_descsz >= 8 ? 8 : 4);
        }
        at += next;
    }
}

static int read_segments(struct elf *e, Elf *f, const GElf_Ehdr *h, struct diag *d)
{
    bool is_dynamic = false;
    e->n_phdr = h->e_phnum;
    for (uint32_t i = 0; i < h->e_phnum; i++) { /* first: what kind of program it is */
        GElf_Phdr p;
        if (gelf_getphdr(f, (int)i, &p) && p.p_type == PT_NOTE)
            read_notes(e, &p);
    }
    for (uint32_t i = 0; i < h->e_phnum; i++) {
        GElf_Phdr p;
        if (!gelf_getphdr(f, (int)i, &p))
            return fail(d, "%s: program header %u: %s", e->path, i, elf_errmsg(-1));
        is_dynamic |= p.p_type == PT_INTERP;
        if (p.p_type == PT_LOAD && add_segment(e, &p, i, d))
            return -1;
    }
    if (is_dynamic)
        return fail(d, "%s: needs a dynamic linker, expected a static program: link it with -static", e->path);
    if (e->n_segments == 0)
        return fail(d, "%s: found nothing to load (no PT_LOAD segment)", e->path);
    bool is_inside = false;
    for (uint32_t i = 0; i < e->n_segments; i++) {
        const struct elf_segment *s = &e->segment[i];
        is_inside |= s->exec && e->entry - s->vaddr < s->mem_bytes;
        if (h->e_phoff >= s->offset && h->e_phoff - s->offset < s->file_bytes)
            e->phdr_vaddr = s->vaddr + (h->e_phoff - s->offset);
    }
    if (!is_inside && !e->pvh_entry)
        return fail(d, "%s: byte 24: its entry %llx is in no executable segment", e->path,
                    (unsigned long long)e->entry);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    const struct elf_symbol *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value ? -1 : 1) : x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* A program without symbols, or with broken ones, just has no names. */
static void read_symbols(struct elf *e, Elf *f)
{
    for (Elf_Scn *s = NULL; (s = elf_nextscn(f, s));) {
        GElf_Shdr h;
        if (!gelf_getshdr(s, &h) || h.sh_type != SHT_SYMTAB || h.sh_entsize != sizeof(Elf64_Sym))
            continue;
        Elf_Data *data = elf_getdata(s, NULL);
        if (!data)
            continue;
        uint64_t n = data->d_size / sizeof(Elf64_Sym);
        e->symbol = xrealloc(e->symbol, (e->n_symbols + n + 1) * sizeof *e->symbol);
        for (uint64_t i = 0; i < n; i++) {
            GElf_Sym sym;
            const char *name;
            if (!gelf_getsym(data, (int)i, &sym) || GELF_ST_TYPE(sym.st_info) != STT_FUNC || sym.st_shndx == SHN_UNDEF)
                continue;
            name = elf_strptr(f, h.sh_link, sym.st_name);
            if (name && *name)
                e->symbol[e->n_symbols++] = (struct elf_symbol){sym.st_value, sym.st_size, xstrdup(name)};
        }
    }
    if (e->n_symbols)
        qsort(e->symbol, e->n_symbols, sizeof *e->symbol, by_value);
}

static int parse(struct elf *e, struct diag *d)
{
    GElf_Ehdr h;
    elf_version(EV_CURRENT);
    if (e->n_file < 4 || memcmp(e->file, ELFMAG, SELFMAG) != 0)
        return fail(d, "%s: byte 0: found %s, expected a static program", e->path,
                    e->n_file > 2 && memcmp(e->file, "#!", 2) == 0 ? "a script" : "no ELF signature");
    Elf *f = elf_memory((char *)e->file, e->n_file);
    if (!f || elf_kind(f) != ELF_K_ELF || !gelf_getehdr(f, &h)) {
        fail(d, "%s: broken ELF header: %s", e->path, elf_errmsg(-1));
        elf_end(f);
        return -1;
    }
    e->entry = h.e_entry;
    e->is_pie = h.e_type == ET_DYN;
    int bad = check_header(e, &h, d) || read_segments(e, f, &h, d);
    if (!bad)
        read_symbols(e, f);
    elf_end(f);
    return bad ? -1 : 0;
}

static struct elf *finish(struct elf *e, struct diag *d)
{
    e->refs = 1;
    if (parse(e, d)) {
        elf_free(e);
        return NULL;
    }
    return e;
}

struct elf *elf_open(const char *path, struct diag *d)
{
    struct elf *e = xcalloc(1, sizeof *e);
    e->path = xstrdup(path);
    if (read_all(path, &e->file, &e->n_file, d)) {
        elf_free(e);
        return NULL;
    }
    return finish(e, d);
}

struct elf *elf_from_memory(const char *path, const void *bytes, uint64_t n, struct diag *d)
{
    struct elf *e = xcalloc(1, sizeof *e);
    e->path = xstrdup(path);
    e->file = xmalloc(n + 1);
    e->n_file = n;
    memcpy(e->file, bytes, n);
    return finish(e, d);
}

void elf_free(struct elf *e)
{
    if (!e || (e->refs && --e->refs))
        return;
    for (uint32_t i = 0; i < e->n_symbols; i++)
        free((char *)(uintptr_t)e->symbol[i].name);
    free(e->symbol);
    free(e->file);
    free(e->path);
    free(e);
}

const struct elf_symbol *elf_symbol_at(const struct elf *e, uint64_t address, uint64_t *offset)
{
    uint32_t lo = 0, hi = e->n_symbols;
    address -= e->base;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (e->symbol[mid].value <= address)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0)
        return NULL;
    const struct elf_symbol *s = &e->symbol[lo - 1];
    *offset = address - s->value;
    return *offset < (s->bytes ? s->bytes : NAMELESS_BYTES) ? s : NULL;
}

/* SPDX-License-Identifier: MIT */
#include "sim/hv/shared_object.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_SEGMENTS 128u

/* What is wrong with it, in the words of a message; NULL: nothing. */
static const char *fault_of(FILE *f, uint64_t size)
{
    Elf64_Ehdr h;
    Elf64_Phdr p;
    if (size < SELFMAG || fread(&h, 1, sizeof h, f) < SELFMAG || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0)
        return "found no ELF file, expected a shared object";
    if (size < sizeof h)
        return "cut off in its header, expected a shared object";
    if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_machine != EM_X86_64 || h.e_type != ET_DYN)
        return "found an ELF file of another kind, expected a shared object for x86-64";
    if (h.e_phentsize != sizeof p || h.e_phnum == 0 || h.e_phnum > MAX_SEGMENTS || fseek(f, (long)h.e_phoff, SEEK_SET))
        return "found no program headers, expected a shared object";
    for (uint32_t i = 0; i < h.e_phnum; i++) {
        if (fread(&p, sizeof p, 1, f) != 1)
            return "cut off in its program headers, expected a shared object";
        if (p.p_type == PT_LOAD && (p.p_filesz > size || p.p_offset > size - p.p_filesz))
            return "cut off: a segment lies outside the file";
    }
    return NULL;
}

int shared_object_check(const char *path, const char *where, struct diag *d)
{
    struct stat st;
    const char *colon = *where ? ": " : "";
    FILE *f = fopen(path, "rbe");
    if (!f || fstat(fileno(f), &st) != 0 || S_ISDIR(st.st_mode)) {
        int err = f ? EISDIR : errno;
        if (f)
            fclose(f);
        return fail(d, "%s%scannot open %s: %s", where, colon, path, strerror(err));
    }
    const char *fault = fault_of(f, (uint64_t)st.st_size);
    fclose(f);
    return fault ? fail(d, "%s%s%s: %s", where, colon, path, fault) : 0;
}

/* SPDX-License-Identifier: MIT */
/* Static x86-64 ELF files, read with libelf and checked before anything believes them. */
#ifndef QUIRE_GUEST_ELF_H
#define QUIRE_GUEST_ELF_H

#include "sim/base/diag.h"
#include "sim/base/types.h"

struct elf_segment {
    uint64_t vaddr, mem_bytes;   /* in memory */
    uint64_t paddr;              /* where a program for the bare machine wants it */
    uint64_t offset, file_bytes; /* in the file; the rest of mem_bytes is zero */
    bool read, write, exec;
};
struct elf_symbol {
    uint64_t value, bytes; /* bytes 0: up to the next */
    const char *name;
};

#define ELF_MAX_SEGMENTS 64u
struct elf {
    char *path;
    uint8_t *file; /* its bytes */
    uint64_t n_file;
    bool is_pie;                /* position-independent: addresses are relative to where it is loaded */
    uint64_t entry, phdr_vaddr; /* phdr_vaddr 0: the program headers are in no segment */
    uint32_t n_phdr;
    uint32_t n_segments;
    struct elf_segment
        segment[ELF_MAX_SEGMENTS]; /* in order of vaddr, not overlapping; as in the file with a PVH note */
    uint64_t pvh_entry; /* of a PVH note (Xen's XEN_ELFNOTE_PHYS32_ENTRY), 0: none: a kernel or bare-metal program */
    uint64_t base;      /* where it was loaded, set by who loads it; 0 unless is_pie */
    uint32_t n_symbols;
    struct elf_symbol *symbol; /* functions, by value */
    uint32_t refs;
};

/* NULL after fail(): not an ELF file, truncated, for another machine, dynamic, or with headers that make no sense. */
struct elf *elf_open(const char *path, struct diag *d);
/* The same from n bytes in memory, which are copied; path is for messages. */
struct elf *elf_from_memory(const char *path, const void *bytes, uint64_t n, struct diag *d);
void elf_free(struct elf *e);
/* The function that holds address (as loaded), or NULL; *offset is the distance from its start. */
const struct elf_symbol *elf_symbol_at(const struct elf *e, uint64_t address, uint64_t *offset);

#endif

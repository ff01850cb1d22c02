/* SPDX-License-Identifier: MIT */
/* The address space of a program: regions as the program asked for them, and real guest page tables under them, filled
 * when a page is first touched. Pages and tables come from the VM's guest-physical memory (without EPT: from the
 * host's) and go back to it. Every edit of a table is a store of the vCPU that makes it, followed by INVLPG. */
#ifndef QUIRE_GUEST_SPACE_H
#define QUIRE_GUEST_SPACE_H

#include "sim/base/diag.h"
#include "sim/base/types.h"
#include "sim/hv/hv.h"

#define SPACE_READ  1u
#define SPACE_WRITE 2u
#define SPACE_EXEC  4u

enum region_kind {
    REGION_ANON,  /* zero pages on first touch */
    REGION_HEAP,  /* below brk */
    REGION_STACK, /* grows down: a touch at most SPACE_STACK_BYTES below the top extends it */
    REGION_IMAGE, /* of the ELF file */
    REGION_FILE,  /* read from a file when it was made */
    REGION_PMEM   /* the VM's persistent region, as DAX maps it */
};

/* [start, end): multiples of a page; regions are sorted and do not overlap. */
struct region {
    uint64_t start, end;
    uint64_t offset; /* REGION_PMEM: byte of the VM's persistent region at start; REGION_FILE: of the file */
    uint64_t tag;    /* the personality's: which file */
    uint8_t prot;    /* SPACE_* */
    uint8_t kind;    /* enum region_kind */
    bool is_shared;  /* stays the same memory in a copied space */
};

#define SPACE_STACK_BYTES (8 * MIB)
#define SPACE_TOP         0x7ffffffff000ull /* end of user addresses with 4-level tables */

struct space;
/* Guest-physical pages of a VM and who uses them. */
struct page_pool {
    struct vm *vm;
    uint64_t next_gpa, table_gpa, table_end;
    uint64_t *free_gpa; /* stack of pages given back */
    uint64_t n_free, cap_free;
    struct map shared; /* page number -> users beyond the first */
    /* A translation of a space lost rights or went; a page's frame was given back. Either may be NULL. */
    void (*changed)(struct vm *vm, const struct space *s, uint64_t gva);
    void (*freed)(struct vm *vm, uint64_t hpa);
};

struct space {
    struct page_pool *pool;
    uint64_t cr3;
    uint32_t asid;
    uint32_t n_regions, cap_regions;
    struct region *region;
    uint64_t n_pages; /* mapped */
    uint64_t brk_start, brk;
};

int space_init(struct space *s, struct page_pool *pool, struct vcpu *v, uint32_t asid, struct diag *d);
/* Gives everything back. */
void space_fini(struct space *s, struct vcpu *v);
/* A copy for a forked process: pages are copied, shared regions shared. */
int space_copy(struct space *to, struct space *from, struct vcpu *v, uint32_t asid, struct diag *d);

/* Maps a region in place of whatever was there. start and bytes are multiples of a page within [4096, SPACE_TOP). -1:
 * the range is not. Nothing is touched yet. */
int space_map(struct space *s, struct vcpu *v, const struct region *what);
void space_unmap(struct space *s, struct vcpu *v, uint64_t start, uint64_t end);
/* -1: part of the range is not mapped (what lies before that has changed, as Linux does). */
int space_protect(struct space *s, struct vcpu *v, uint64_t start, uint64_t end, uint8_t prot);
/* Moves the pages of a region part to another place (mremap): table entries move, bytes stay. */
int space_move(struct space *s, struct vcpu *v, uint64_t from, uint64_t to, uint64_t bytes);
/* Lowest address of a free range of bytes: at hint if that is free, else the highest below the stack; 0: none. */
uint64_t space_find(const struct space *s, uint64_t hint, uint64_t bytes);
/* The region that holds gva, or NULL. */
struct region *space_at(const struct space *s, uint64_t gva);
/* The page of gva is needed for an access (EPT_R, EPT_W, EPT_X). 0: it is mapped now; 1: the program may not (a page
 * fault for it; *is_present says whether the page is mapped); -1: out of memory. */
int space_fault(struct space *s, struct vcpu *v, uint64_t gva, uint32_t access, bool *is_present, struct diag *d);
/* Guest-physical address behind gva, past the region's rights; a page is mapped if none is. -1: no region, or no
 * memory. */
int space_back(struct space *s, struct vcpu *v, uint64_t gva, uint64_t *gpa, struct diag *d);
/* The same without mapping anything: -1 if no page is there. */
int space_peek(const struct space *s, struct vcpu *v, uint64_t gva, uint64_t *gpa);

void pool_init(struct page_pool *p, struct vm *vm);
void pool_fini(struct page_pool *p);

#endif

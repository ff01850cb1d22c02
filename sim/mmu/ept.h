/* SPDX-License-Identifier: MIT */
/* Nested page tables (EPT) of one VM: real tables in host frames, edited by the hypervisor here, walked by
 * sim/mmu/mmu.h.
 *
 *    63..62  61..56   55..53      52      51..12   11..10   9   8   7   6..3  2  1  0
 *      -    software  saved XWR  traced    frame      -     D   A  leaf  type  X  W  R
 *
 * An entry with XWR = 0 is not present for the hardware. A traced leaf keeps its frame and its true rights in
 * bits 53..55. All edits here are free of charge; the caller books their cost and flushes the TLBs. */
#ifndef QUIRE_MMU_EPT_H
#define QUIRE_MMU_EPT_H

#include "sim/base/types.h"
#include "sim/mem/mem.h"

#define EPT_R           1ull
#define EPT_W           2ull
#define EPT_X           4ull
#define EPT_RWX         7ull
#define EPT_TYPE_WB     (6ull << 3)
#define EPT_LEAF        (1ull << 7)
#define EPT_A           (1ull << 8)
#define EPT_D           (1ull << 9)
#define EPT_FRAME       0x000ffffffffff000ull
#define EPT_TRACED      (1ull << 52)
#define EPT_SAVED_SHIFT 53
#define EPT_SOFT_SHIFT  56
#define EPT_SOFT        (63ull << EPT_SOFT_SHIFT)

struct ept {
    struct mem *mem;
    struct mem_region *tables; /* where table pages come from */
    uint64_t root;             /* host-physical address of the top table */
    uint32_t levels;           /* 4 or 5 */
    uint32_t vm;               /* owner of the frames */
    uint64_t n_tables;         /* table pages */
    uint64_t n_mapped[3];      /* leaves by level */
};

/* -1 if the node has no room for the root table. */
int ept_init(struct ept *e, struct mem *mem, struct mem_region *tables, uint32_t levels, uint32_t vm);
/* Frees the tables, not the frames they map. */
void ept_fini(struct ept *e);

/* A leaf that covers gpa. */
struct ept_leaf {
    uint64_t entry_hpa; /* where the entry is */
    uint64_t entry;     /* its value */
    uint64_t gpa;       /* first byte of the page */
    uint32_t level;
};

/* True and *out if a leaf with a frame (present or traced) covers gpa. */
bool ept_find(const struct ept *e, uint64_t gpa, struct ept_leaf *out);
/* First leaf at or behind gpa, below limit. */
bool ept_next(const struct ept *e, uint64_t gpa, uint64_t limit, struct ept_leaf *out);
/* Maps an aligned page. rights = EPT_R|W|X. -1 if something is mapped there or no table page is to be had. */
int ept_map(struct ept *e, uint64_t gpa, uint64_t mfn, uint32_t level, uint64_t rights);
/* Removes a leaf; returns the frame number it mapped. */
uint64_t ept_unmap(struct ept *e, const struct ept_leaf *leaf);
/* Writes a leaf back after its entry was changed. */
static inline void ept_write(struct ept *e, const struct ept_leaf *leaf)
{
    frame_store64(e->mem, leaf->entry_hpa, leaf->entry);
}
static inline uint64_t ept_mfn(uint64_t entry)
{
    return (entry & EPT_FRAME) >> PAGE_SHIFT;
}
/* Rights without regard to a trace. */
static inline uint64_t ept_true_rights(uint64_t entry)
{
    return entry & EPT_TRACED ? entry >> EPT_SAVED_SHIFT & EPT_RWX : entry & EPT_RWX;
}
/* The entry with a trace armed on the given rights, or disarmed. */
static inline uint64_t ept_arm(uint64_t entry, uint64_t rights)
{
    uint64_t has = ept_true_rights(entry);
    return (entry & ~(EPT_RWX | EPT_RWX << EPT_SAVED_SHIFT)) | EPT_TRACED | has << EPT_SAVED_SHIFT | (has & ~rights);
}
static inline uint64_t ept_disarm(uint64_t entry)
{
    uint64_t has = ept_true_rights(entry);
    return (entry & ~(EPT_TRACED | EPT_RWX | EPT_RWX << EPT_SAVED_SHIFT)) | has;
}
/* Replaces a 2 MiB or 1 GiB leaf by 512 smaller ones with the same bits. -1 if it is 4 KiB or no table page is to be
 * had. */
int ept_split(struct ept *e, uint64_t gpa);
/* Replaces 512 leaves by one, if they are contiguous, aligned and alike but for A and D. -1 if not. */
int ept_merge(struct ept *e, uint64_t gpa);

#endif

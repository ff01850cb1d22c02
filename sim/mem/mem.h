/* SPDX-License-Identifier: MIT */
/* Host physical memory: regions of DRAM and persistent memory on NUMA nodes, a frame allocator for each, and for every
 * frame in use 16 bytes of metadata: what its bytes are (content) and whose it is (owner). A frame that was never
 * allocated costs nothing.
 *
 * Content of a frame, by the low 3 bits of its word:
 *   0  all zero bytes                      (the word is 0)
 *   1  symbolic: bits 3..63 are an id that stands for 4096 bytes (frame_expand)
 *   2  bytes: pointer to 4096 bytes
 *   3  sparse bytes: pointer to the 64-byte lines that are not zero (page tables of a thinly touched address space)
 *   4  persistent: pointer to struct pmem_page: line versions, coherent and durable bytes
 */
#ifndef QUIRE_MEM_MEM_H
#define QUIRE_MEM_MEM_H

#include "sim/base/ckpt.h"
#include "sim/base/diag.h"
#include "sim/base/map.h"
#include "sim/base/types.h"

enum mem_kind { MEM_DRAM, MEM_PMEM };
enum frame_use { FRAME_FREE, FRAME_GUEST, FRAME_EPT, FRAME_HYPERVISOR };

struct frame {
    uint64_t content;
    uint64_t owner; /* bits 0..35 guest frame number, 36..47 VM, 48..51 enum frame_use, 52..63 generation */
};

#define FRAMES_A_CHUNK  512u /* metadata is allocated by the 2 MiB of memory it describes */
#define FRAMES_RESERVED 512u /* the lowest 2 MiB are never given out, so that frame number 0 means "none" in tables */
#define MEM_MAX_REGIONS 64u
#define SLAB_PAGES      512u
#define MFN_NONE        UINT64_MAX

/* A stretch of one kind of memory on one node, with its allocator. Addresses are multiples of 1 GiB. */
struct mem_region {
    uint64_t base; /* host-physical byte address */
    uint64_t bytes;
    uint32_t node;
    uint32_t kind;       /* enum mem_kind */
    uint64_t next_mfn;   /* frames from here to the end were never allocated */
    uint64_t free_pages; /* 4 KiB frames that are free */
    uint64_t *pool[3];   /* stacks of freed blocks, by level */
    uint64_t n_pool[3], cap_pool[3];
};

/* Persistent page: a store makes version n of its line in cur; the write-back carries it to the WPQ; leaving the WPQ
 * makes it durable. Byte images exist once a store carried bytes. */
struct pmem_page {
    uint32_t cur[64];     /* version of each line as the caches see it */
    uint32_t media[64];   /* version that survives a power failure without ADR */
    uint8_t *cur_bytes;   /* 4096 coherent bytes, or NULL: zero */
    uint8_t *media_bytes; /* 4096 durable bytes, or NULL: zero */
};

struct mem {
    uint32_t n_regions;
    struct mem_region region[MEM_MAX_REGIONS];
    uint8_t *region_of_gib; /* region of each GiB of host-physical address; 0xff: none */
    uint64_t n_gib;
    struct frame **chunk;   /* by host-physical address >> 21 */
    uint64_t n_chunks_used; /* chunks allocated */
    uint64_t content_bytes; /* host bytes held by contents */
    uint8_t **slab;         /* blocks of SLAB_PAGES pages for contents */
    uint64_t n_slabs, slab_left;
    void *page_free;       /* chain of pages given back */
    struct map extra_refs; /* frame number -> references beyond the first */
    struct map pins;       /* frame number -> pins */
};

struct mem *mem_new(void);
void mem_free(struct mem *m);
/* Appends a region behind the last one. -1 if bytes is no multiple of 1 GiB, or the address space of 2^46 bytes is
 * full. */
int mem_add_region(struct mem *m, uint32_t node, enum mem_kind kind, uint64_t bytes, struct diag *d);

static inline const struct mem_region *mem_region_at(const struct mem *m, uint64_t hpa)
{
    return &m->region[m->region_of_gib[hpa >> 30]];
}
/* First region of that node and kind, or NULL. */
struct mem_region *mem_find_region(struct mem *m, uint32_t node, enum mem_kind kind);

/* A free block of 4 KiB << 9*level, aligned to its size; MFN_NONE when the region has none. The frames are zero. */
uint64_t mem_alloc(struct mem *m, struct mem_region *r, uint32_t level, enum frame_use use, uint32_t vm, uint64_t gfn);
/* Drops one reference of each 4 KiB frame of the block; frames without references are freed. */
void mem_release(struct mem *m, uint64_t mfn, uint32_t level);

/* Metadata of a frame that was allocated. */
static inline struct frame *frame_at(const struct mem *m, uint64_t mfn)
{
    return &m->chunk[mfn >> 9][mfn & (FRAMES_A_CHUNK - 1)];
}
/* The same for any frame number: NULL if its chunk was never touched. */
struct frame *frame_peek(const struct mem *m, uint64_t mfn);

static inline uint64_t frame_owner(enum frame_use use, uint32_t vm, uint64_t gfn, uint64_t generation)
{
    return gfn | (uint64_t)vm << 36 | (uint64_t)use << 48 | generation << 52;
}
static inline uint64_t owner_gfn(uint64_t owner)
{
    return owner & ((1ull << 36) - 1);
}
static inline uint32_t owner_vm(uint64_t owner)
{
    return (uint32_t)(owner >> 36) & 0xfff;
}
static inline enum frame_use owner_use(uint64_t owner)
{
    return (enum frame_use)((owner >> 48) & 15);
}
static inline uint32_t owner_generation(uint64_t owner)
{
    return (uint32_t)(owner >> 52);
}

void frame_ref(struct mem *m, uint64_t mfn);
uint64_t frame_refs(const struct mem *m, uint64_t mfn); /* 1 for an allocated frame that is not shared */
void frame_pin(struct mem *m, uint64_t mfn);
int frame_unpin(struct mem *m, uint64_t mfn); /* -1 if it was not pinned */
bool frame_is_pinned(const struct mem *m, uint64_t mfn);

/* ---- content ---- */
#define CONTENT_ZERO   0u
#define CONTENT_SYMBOL 1u
#define CONTENT_BYTES  2u
#define CONTENT_SPARSE 3u
#define CONTENT_PMEM   4u

uint64_t frame_load64_slow(const struct mem *m, uint64_t hpa);
/* Aligned 64-bit word at hpa: how page walks read tables. */
static inline uint64_t frame_load64(const struct mem *m, uint64_t hpa)
{
    uint64_t c = frame_at(m, hpa >> PAGE_SHIFT)->content;
    if (likely((c & 7) == CONTENT_BYTES))
        return ((const uint64_t *)(uintptr_t)(c & ~7ull))[(hpa & (PAGE_BYTES - 1)) >> 3];
    return frame_load64_slow(m, hpa);
}
/* The word will soon be read: the host fetches it. */
static inline void frame_foresee64(const struct mem *m, uint64_t hpa)
{
    uint64_t c = frame_at(m, hpa >> PAGE_SHIFT)->content;
    if (likely((c & 7) == CONTENT_BYTES))
        host_prefetch((const char *)(uintptr_t)(c & ~7ull) + (hpa & (PAGE_BYTES - 1)));
}
void frame_store64(struct mem *m, uint64_t hpa, uint64_t value);
/* Any bytes within one frame. */
void frame_read(const struct mem *m, uint64_t hpa, void *buf, size_t len);
void frame_write(struct mem *m, uint64_t hpa, const void *buf, size_t len);
/* The 4096 bytes themselves of a frame of DRAM; they stay where they are until the frame is freed or becomes symbolic.
 */
uint8_t *frame_bytes(struct mem *m, uint64_t mfn);
/* Makes the frame the page that id stands for; id 0 is the zero page; ids are below 2^61. */
void frame_set_symbol(struct mem *m, uint64_t mfn, uint64_t id);
/* The 4096 bytes of a symbolic page: word i is hash64(id + i * an odd constant), so that ids differ everywhere. */
void frame_expand(uint64_t id, uint64_t words[512]);
/* dst becomes a copy of src, symbolic or not. */
void frame_copy(struct mem *m, uint64_t dst_mfn, uint64_t src_mfn);
bool frame_equal(const struct mem *m, uint64_t a_mfn, uint64_t b_mfn);

/* The persistent page of a frame in a MEM_PMEM region, made at its first use. */
struct pmem_page *frame_pmem(struct mem *m, uint64_t mfn);
/* Line version vers, with its 64 bytes or NULL, reaches the media. Older versions than the media's are ignored. */
void pmem_media_write(struct mem *m, uint64_t line, uint32_t version, const uint8_t *data);
/* The media loses a line: zero bytes, no version. True if it had one. */
bool pmem_media_lose(struct mem *m, uint64_t line);
/* First frame from mfn on, below end, that has a persistent page; end if none has. */
uint64_t pmem_next(const struct mem *m, uint64_t mfn, uint64_t end);
/* The power comes back: what the caches see of persistent memory is what its media have. */
void pmem_power_up(struct mem *m);

/* Every allocated frame is counted once: allocated + free = all, recomputed from scratch. 0, or -1 with what differs.
 */
int mem_verify(const struct mem *m, struct diag *d);

/* ---- checkpoints ---- */
/* The regions are those that the configuration gave; everything else is read. */
void mem_state(struct mem *m, struct ckpt *c);

#endif

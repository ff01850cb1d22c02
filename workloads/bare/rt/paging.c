/* SPDX-License-Identifier: MIT */
/* Page tables, and memory for whoever asks. */
#include "bare.h"

#define FRAME      0x000ffffffffff000ull
#define TWO_MIB    0x200000ull
#define N_EXEC     2u /* 2 MiB pages that hold code */
#define TYPE_RAM   1u
#define FIRST_FREE 0x1000000ull /* 16 MiB: above the image and what the loader put beside it */

extern uint64_t pml4[512], pd[4 * 512];
extern const uint8_t image_end[];
static uint64_t next_free;

void paging_init(void)
{
    for (uint64_t i = N_EXEC; i < N_ELEMS(pd); i++)
        pd[i] |= PTE_NX;
    write_cr3(read_cr3());
    EXPECT((uintptr_t)image_end <= FIRST_FREE);
    next_free = FIRST_FREE;
}

static uint64_t end_of_ram(void)
{
    for (uint32_t i = 0; i < n_memory_map; i++)
        if (memory_map[i].type == TYPE_RAM && memory_map[i].base <= FIRST_FREE &&
            memory_map[i].base + memory_map[i].bytes > FIRST_FREE)
            return memory_map[i].base + memory_map[i].bytes;
    return 0;
}

void *page_alloc(uint64_t bytes)
{
    uint64_t at = (next_free + bytes - 1) & ~(bytes - 1);
    if (at + bytes > end_of_ram()) {
        print("no memory for %lu bytes\n", bytes);
        bare_exit(124);
    }
    next_free = at + bytes;
    return memset((void *)at, 0, bytes);
}

volatile uint64_t *page_map(uint64_t gva, uint64_t gpa, uint32_t level, uint64_t flags)
{
    uint64_t *table = pml4;
    for (uint32_t l = 3; l > level; l--) {
        uint64_t *entry = &table[gva >> (12 + 9 * l) & 511];
        if (!(*entry & PTE_P))
            *entry = (uintptr_t)page_alloc(PAGE) | PTE_P | PTE_W;
        if (flags & PTE_U && !(*entry & PTE_U)) {
            *entry |= PTE_U;
            write_cr3(read_cr3()); /* the processor may remember that it was the kernel's (SDM volume 3, 4.10.4.3) */
        }
        table = (uint64_t *)(*entry & FRAME);
    }
    volatile uint64_t *entry = &table[gva >> (12 + 9 * level) & 511];
    *entry = gpa | flags | (level ? PTE_PS : 0);
    return entry;
}

volatile uint64_t *page_entry(uint64_t gva, uint32_t *level)
{
    uint64_t *table = pml4;
    for (uint32_t l = 3;; l--) {
        uint64_t *entry = &table[gva >> (12 + 9 * l) & 511];
        *level = l;
        if (l == 0 || *entry & PTE_PS)
            return entry;
        if (!(*entry & PTE_P))
            return NULL;
        table = (uint64_t *)(*entry & FRAME);
    }
}

/* SPDX-License-Identifier: MIT */
/* Persistent memory: stores past the caches, flushes, fences, the flush hint. */
#include "bare.h"

#define TYPE_PMEM 7u /* E820 and PVH's memory map */
#define TWO_MIB   0x200000ull
#define PMEM_AT   0x8000000000ull /* where it is mapped */
#define HINT_AT   0x9000000000ull

struct pmem pmem_find(uint64_t bytes)
{
    struct pmem p = {.bytes = bytes};
    for (uint32_t i = 0; i < n_memory_map && !p.is_real; i++) {
        const struct memory_range *m = &memory_map[i];
        if (m->type != TYPE_PMEM || m->bytes < bytes)
            continue;
        for (uint64_t at = 0; at < bytes; at += TWO_MIB)
            page_map(PMEM_AT + at, m->base + at, 1, PTE_P | PTE_W | PTE_NX);
        p.base = (uint8_t *)PMEM_AT;
        p.is_real = true;
    }
    if (!p.is_real)
        p.base = page_alloc(bytes);
    uint64_t hint = arg_number("pmem_hint", 0);
    if (hint) {
        page_map(HINT_AT, hint & ~0xfffull, 0, PTE_P | PTE_W | PTE_NX);
        p.hint = (volatile uint64_t *)(HINT_AT + (hint & 0xff8));
    }
    return p;
}

void pmem_ntstore(void *to, const void *from, uint64_t bytes)
{
    const uint64_t *src = from;
    for (uint64_t *dst = to; bytes; bytes -= 8, dst++, src++)
        __asm__ volatile("movnti %1, %0" : "=m"(*dst) : "r"(*src));
}

void pmem_clwb(const void *p, uint64_t bytes)
{
    uintptr_t end = (uintptr_t)p + bytes;
    for (uintptr_t line = (uintptr_t)p & ~63ull; line < end; line += 64)
        __asm__ volatile("clwb (%0)" ::"r"(line) : "memory");
}

void pmem_deep_flush(const struct pmem *p)
{
    pmem_fence();
    if (p->hint)
        *p->hint = 1;
    pmem_fence();
}

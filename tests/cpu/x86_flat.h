/* SPDX-License-Identifier: MIT */
/* A processor on flat memory for tests: FLAT_PAGES pages at FLAT_BASE, each with rights; everything else is not
 * present. Page i of the window shows frame flat.frame[i], so that two pages can show the same bytes. */
#ifndef QUIRE_TESTS_CPU_X86_FLAT_H
#define QUIRE_TESTS_CPU_X86_FLAT_H

#include "sim/cpu/x86.h"

#include <stdlib.h>
#include <string.h>

#define FLAT_BASE  0x10000000ull
#define FLAT_PAGES 64u
#define FLAT_SIZE  (FLAT_PAGES * PAGE_BYTES)

enum { FLAT_R = 1, FLAT_W = 2, FLAT_X = 4, FLAT_INDIRECT = 8 };

struct flat {
    struct x86_cpu cpu;
    struct x86_code *code;
    struct x86_bus bus;
    uint8_t *mem; /* FLAT_SIZE bytes */
    uint8_t rights[FLAT_PAGES];
    uint32_t frame[FLAT_PAGES];
    uint64_t n_pages, n_loads, n_stores, n_fences, n_flushes, n_fetches;
};

static inline int flat_page_of(uint64_t gva)
{
    return gva >= FLAT_BASE && gva < FLAT_BASE + FLAT_SIZE ? (int)((gva - FLAT_BASE) >> PAGE_SHIFT) : -1;
}

static inline enum x86_bus_status flat_check(struct x86_cpu *cpu, uint64_t gva, enum x86_access access, uint8_t **at)
{
    static const uint8_t need[] = {FLAT_R, FLAT_W, FLAT_X};
    struct flat *f = cpu->bus_ctx;
    int i = flat_page_of(gva);
    if (i < 0 || !f->rights[i])
        return x86_page_fault(cpu, gva, access, false);
    if (!(f->rights[i] & need[access]))
        return x86_page_fault(cpu, gva, access, true);
    *at = f->mem + (uint64_t)f->frame[i] * PAGE_BYTES + (gva & (PAGE_BYTES - 1));
    return X86_BUS_OK;
}

static inline enum x86_bus_status flat_page(struct x86_cpu *cpu, uint64_t gva, enum x86_access access,
                                            struct x86_page *out)
{
    struct flat *f = cpu->bus_ctx;
    uint8_t *at = NULL;
    f->n_pages++;
    if (flat_check(cpu, gva, access, &at))
        return X86_BUS_FAULT;
    uint32_t i = (uint32_t)flat_page_of(gva);
    bool direct = !(f->rights[i] & FLAT_INDIRECT);
    *out = (struct x86_page){.host = direct ? f->mem + (uint64_t)f->frame[i] * PAGE_BYTES : NULL,
                             .hpa = (uint64_t)(f->frame[i] + 1) * PAGE_BYTES,
                             .is_writable = direct && access == X86_WRITE};
    return X86_BUS_OK;
}

static inline enum x86_bus_status flat_load(struct x86_cpu *cpu, uint64_t gva, void *buf, uint32_t len, bool for_write)
{
    struct flat *f = cpu->bus_ctx;
    uint8_t *at = NULL;
    f->n_loads++;
    if (flat_check(cpu, gva, for_write ? X86_WRITE : X86_READ, &at))
        return X86_BUS_FAULT;
    memcpy(buf, at, len);
    return X86_BUS_OK;
}

static inline enum x86_bus_status flat_store(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len)
{
    struct flat *f = cpu->bus_ctx;
    uint8_t *at = NULL;
    f->n_stores++;
    if (flat_check(cpu, gva, X86_WRITE, &at))
        return X86_BUS_FAULT;
    memcpy(at, buf, len);
    return X86_BUS_OK;
}

static inline enum x86_bus_status flat_flush(struct x86_cpu *cpu, uint64_t gva, uint32_t op)
{
    struct flat *f = cpu->bus_ctx;
    uint8_t *at = NULL;
    (void)op;
    f->n_flushes++;
    return flat_check(cpu, gva, X86_READ, &at);
}

static inline void flat_fence(struct x86_cpu *cpu, bool loads_too)
{
    struct flat *f = cpu->bus_ctx;
    (void)loads_too;
    f->n_fences++;
}

/* All pages readable, writable, executable; page i shows frame i; RSP in the middle of the last page but one. */
static inline struct flat *flat_new(void)
{
    struct flat *f = calloc(1, sizeof *f);
    f->mem = aligned_alloc(PAGE_BYTES, FLAT_SIZE);
    memset(f->mem, 0, FLAT_SIZE);
    for (uint32_t i = 0; i < FLAT_PAGES; i++) {
        f->rights[i] = FLAT_R | FLAT_W | FLAT_X;
        f->frame[i] = i;
    }
    f->bus = (struct x86_bus){
        .page = flat_page, .load = flat_load, .store = flat_store, .flush = flat_flush, .fence = flat_fence};
    f->code = x86_code_new(0);
    x86_cpu_init(&f->cpu, f->code, &f->bus, f, NULL);
    f->cpu.state.rip = FLAT_BASE;
    f->cpu.state.gpr[X86_RSP] = FLAT_BASE + FLAT_SIZE - PAGE_BYTES - 2048;
    return f;
}

static inline void flat_free(struct flat *f)
{
    x86_cpu_fini(&f->cpu);
    x86_code_free(f->code);
    free(f->mem);
    free(f);
}

static inline void flat_put(struct flat *f, uint64_t gva, const void *bytes, size_t len)
{
    memcpy(f->mem + (gva - FLAT_BASE), bytes, len);
}

/* Code as a string literal at FLAT_BASE + offset. */
#define FLAT_CODE(f, offset, text) flat_put(f, FLAT_BASE + (offset), text, sizeof(text) - 1)

#endif

/* SPDX-License-Identifier: MIT */
/* A machine of one core with hand-built tables: guest page i of the VM lies in frame order, so that tests choose every
 * entry themselves. */
#ifndef QUIRE_TESTS_MMU_RIG_H
#define QUIRE_TESTS_MMU_RIG_H

#include "sim/machine/machine.h"

struct rig {
    struct mem *mem;
    struct numa numa;
    struct caches caches;
    struct mmu mmu;
    struct ept ept;
    struct mmu_space space;
    uint64_t next_gpa;
    uint32_t ept_level; /* backing of everything that rig_page hands out */
};

static inline void rig_init(struct rig *r, uint32_t guest_levels, uint32_t ept_levels, uint32_t ept_level, bool psc)
{
    struct machine_conf c;
    struct diag d = {0};
    *r = (struct rig){.ept_level = ept_level};
    CHECK(machine_bind(NULL, &c, &d) == 0);
    c.mmu.psc_on = psc;
    r->mem = mem_new();
    CHECK(numa_init(&r->numa, &c.numa, &c.imc, &c.pmem, &c.cxl, &c.cxl_imc, r->mem, &d) == 0);
    CHECK(caches_init(&r->caches, &c.cache, &r->numa, 1, c.core.hz, &d) == 0);
    CHECK(mmu_init(&r->mmu, &c.mmu, &r->caches, r->mem, 0, c.core.hz, &d) == 0);
    CHECK(ept_init(&r->ept, r->mem, &r->mem->region[0], ept_levels, 0) == 0);
    r->space = (struct mmu_space){.ept = &r->ept, .mem = r->mem, .levels = guest_levels, .asid = 0x100};
}

static inline void rig_fini(struct rig *r)
{
    ept_fini(&r->ept);
    mmu_fini(&r->mmu);
    caches_fini(&r->caches);
    numa_fini(&r->numa);
    mem_free(r->mem);
}

/* A guest-physical block of the given guest level, backed by the rig's EPT level. */
static inline uint64_t rig_page(struct rig *r, uint32_t level)
{
    uint64_t size = 1ull << LEVEL_SHIFT(level), back = 1ull << LEVEL_SHIFT(r->ept_level);
    uint64_t gpa = (r->next_gpa + size - 1) & ~(size - 1);
    r->next_gpa = gpa + size;
    for (uint64_t at = gpa & ~(back - 1); at < gpa + size; at += back) {
        struct ept_leaf leaf;
        if (ept_find(&r->ept, at, &leaf))
            continue;
        uint64_t mfn = mem_alloc(r->mem, &r->mem->region[0], r->ept_level, FRAME_GUEST, 0, at >> PAGE_SHIFT);
        CHECK(mfn != MFN_NONE && ept_map(&r->ept, at, mfn, r->ept_level, EPT_RWX) == 0);
    }
    return gpa;
}

static inline uint64_t rig_hpa(const struct rig *r, uint64_t gpa)
{
    struct ept_leaf leaf;
    CHECK(ept_find(&r->ept, gpa, &leaf));
    return (leaf.entry & EPT_FRAME) + (gpa - leaf.gpa);
}

/* The top table, before any other page. */
static inline void rig_top(struct rig *r)
{
    r->next_gpa = PAGE_BYTES;
    r->space.cr3 = rig_page(r, 0);
}

/* Maps gva to gpa at a guest level with the given low bits; returns the host address of the guest's leaf entry. */
static inline uint64_t rig_map(struct rig *r, uint64_t gva, uint64_t gpa, uint32_t level, uint64_t bits)
{
    uint64_t table = r->space.cr3;
    for (uint32_t l = r->space.levels - 1; l > level; l--) {
        uint64_t at = rig_hpa(r, table + (gva >> LEVEL_SHIFT(l) & 511) * 8), entry = frame_load64(r->mem, at);
        if (!entry)
            frame_store64(r->mem, at, entry = rig_page(r, 0) | PTE_P | PTE_W);
        table = entry & PTE_FRAME;
    }
    uint64_t at = rig_hpa(r, table + (gva >> LEVEL_SHIFT(level) & 511) * 8);
    frame_store64(r->mem, at, gpa | bits | (level ? PTE_PS : 0));
    return at;
}

#endif

/* SPDX-License-Identifier: MIT */
/* Page walks: references counted exactly, rights in all combinations against a small independent model, A and D bits,
 * page sizes, invalidation, the page-modification log. */
#include "rig.h"

#include <criterion/criterion.h>

#define GVA 0x7f1234567000ull

static uint64_t refs(struct rig *r, uint64_t gva, enum cache_op op)
{
    struct mmu_result out;
    uint64_t before = r->mmu.stats.walk_refs;
    cr_assert_eq(mmu_translate(&r->mmu, &r->space, gva, op, 0, &out), MMU_OK);
    return r->mmu.stats.walk_refs - before;
}

/* (g + 1)(h + 1) - 1 with g guest and h nested levels walked: Bhargava et al., ASPLOS'08. */
Test(walk, cold_references)
{
    static const struct {
        uint32_t guest_levels, ept_levels, guest_level, ept_level, expect;
    } cases[] = {
        {4, 4, LEVEL_4K, LEVEL_4K, 24}, {5, 5, LEVEL_4K, LEVEL_4K, 35}, {4, 4, LEVEL_4K, LEVEL_2M, 19},
        {4, 4, LEVEL_2M, LEVEL_2M, 15}, {4, 4, LEVEL_1G, LEVEL_1G, 8},  {4, 5, LEVEL_4K, LEVEL_4K, 29},
    };
    for (size_t i = 0; i < N_ELEMS(cases); i++)
        for (int psc = 0; psc < 2; psc++) {
            struct rig r;
            rig_init(&r, cases[i].guest_levels, cases[i].ept_levels, cases[i].ept_level, psc);
            rig_top(&r);
            uint64_t gpa = rig_page(&r, cases[i].guest_level);
            rig_map(&r, GVA >> LEVEL_SHIFT(cases[i].guest_level) << LEVEL_SHIFT(cases[i].guest_level), gpa,
                    cases[i].guest_level, PTE_P | PTE_W);
            cr_expect_eq(refs(&r, GVA, CACHE_READ), cases[i].expect, "case %zu, caches %d", i, psc);
            cr_expect_eq(refs(&r, GVA, CACHE_READ), 0, "a TLB hit walks nothing");
            rig_fini(&r);
        }
}

Test(walk, native_references)
{
    for (uint32_t levels = 4; levels <= 5; levels++) {
        struct rig r;
        rig_init(&r, levels, 4, LEVEL_4K, true);
        /* Without EPT guest-physical is host-physical: tables made by hand. */
        uint64_t table[6];
        for (uint32_t i = 0; i <= levels; i++)
            table[i] = mem_alloc(r.mem, &r.mem->region[0], 0, FRAME_GUEST, 0, 0) << PAGE_SHIFT;
        for (uint32_t i = 0; i < levels; i++)
            frame_store64(r.mem, table[i] + (GVA >> LEVEL_SHIFT(levels - 1 - i) & 511) * 8,
                          table[i + 1] | PTE_P | PTE_W);
        r.space.ept = NULL;
        r.space.cr3 = table[0];
        cr_expect_eq(refs(&r, GVA, CACHE_READ), levels);
        rig_fini(&r);
    }
}

/* With the caches on, a neighbour in the same 2 MiB starts at the last guest table (1 reference) and at the last nested
 * table (1); one in the next 2 MiB reads the directory entry, whose new table page needs its own nested reference. */
Test(walk, warm_references)
{
    struct rig r;
    rig_init(&r, 4, 4, LEVEL_4K, true);
    rig_top(&r);
    for (uint64_t i = 0; i < 1024; i++)
        rig_map(&r, 0x40000000 + i * PAGE_BYTES, rig_page(&r, 0), 0, PTE_P | PTE_W);
    cr_expect_eq(refs(&r, 0x40000000, CACHE_READ), 24);
    cr_expect_eq(refs(&r, 0x40001000, CACHE_READ), 2);
    cr_expect_eq(refs(&r, 0x40002000, CACHE_READ), 2);
    uint64_t next = refs(&r, 0x40200000, CACHE_READ);
    cr_expect(next >= 4 && next <= 6, "found %lu", (unsigned long)next);
    r.mmu.conf.psc_on = 0;
    cr_expect_eq(refs(&r, 0x40003000, CACHE_READ), 24, "without the caches every walk is a whole one");
    rig_fini(&r);
}

/* Every combination of guest P, W, NX and nested R, W, X for each kind of access. */
Test(walk, rights_in_all_combinations)
{
    static const enum cache_op ops[] = {CACHE_READ, CACHE_WRITE, CACHE_FETCH};
    for (uint32_t bits = 0; bits < 64; bits++)
        for (size_t k = 0; k < 3; k++) {
            struct rig r;
            struct mmu_result out;
            struct ept_leaf leaf;
            rig_init(&r, 4, 4, LEVEL_4K, bits & 1);
            rig_top(&r);
            uint64_t gpa = rig_page(&r, 0);
            bool p = bits & 1, w = bits & 2, nx = bits & 4;
            uint64_t nested = bits >> 3;
            uint64_t at = rig_map(&r, GVA, gpa, 0, (p ? PTE_P : 0) | (w ? PTE_W : 0) | (nx ? PTE_NX : 0));
            cr_assert(ept_find(&r.ept, gpa, &leaf));
            leaf.entry = (leaf.entry & ~EPT_RWX) | nested;
            ept_write(&r.ept, &leaf);
            enum mmu_status expect = MMU_OK;
            if (!p || (ops[k] == CACHE_WRITE && !w) || (ops[k] == CACHE_FETCH && nx))
                expect = MMU_GUEST_FAULT;
            else if ((ops[k] == CACHE_READ && !(nested & 1)) || (ops[k] == CACHE_WRITE && (nested & 3) != 3) ||
                     (ops[k] == CACHE_FETCH && !(nested & 4)))
                expect = MMU_EPT_VIOLATION;
            cr_assert_eq(mmu_translate(&r.mmu, &r.space, GVA, ops[k], 0, &out), expect, "bits %x access %zu", bits, k);
            if (expect == MMU_EPT_VIOLATION)
                cr_assert_eq(out.gpa & ~0xfffull, gpa);
            if (expect == MMU_OK) {
                cr_assert_eq(out.hpa, rig_hpa(&r, gpa) | (GVA & 0xfff));
                cr_assert(frame_load64(r.mem, at) & PTE_A);
                cr_assert_eq(!!(frame_load64(r.mem, at) & PTE_D), ops[k] == CACHE_WRITE);
                cr_assert(ept_find(&r.ept, gpa, &leaf));
                cr_assert(leaf.entry & EPT_A);
                cr_assert_eq(!!(leaf.entry & EPT_D), ops[k] == CACHE_WRITE);
            }
            rig_fini(&r);
        }
}

/* A read fills the TLB; the first write still has to set D, the second one hits. */
Test(walk, first_write_sets_dirty)
{
    struct rig r;
    rig_init(&r, 4, 4, LEVEL_4K, true);
    rig_top(&r);
    uint64_t at = rig_map(&r, GVA, rig_page(&r, 0), 0, PTE_P | PTE_W);
    refs(&r, GVA, CACHE_READ);
    cr_expect(!(frame_load64(r.mem, at) & PTE_D));
    cr_expect(refs(&r, GVA, CACHE_WRITE) > 0);
    cr_expect(frame_load64(r.mem, at) & PTE_D);
    cr_expect_eq(refs(&r, GVA, CACHE_WRITE), 0);
    rig_fini(&r);
}

/* The TLB holds the smaller page of the two sides: 512 walks for a 2 MiB guest page on 4 KiB frames, one on a 2 MiB
 * one. */
Test(walk, page_fracturing)
{
    for (uint32_t level = LEVEL_4K; level <= LEVEL_2M; level++) {
        struct rig r;
        rig_init(&r, 4, 4, level, true);
        rig_top(&r);
        rig_map(&r, 0x40000000, rig_page(&r, LEVEL_2M), LEVEL_2M, PTE_P | PTE_W);
        for (uint64_t i = 0; i < 512; i++)
            refs(&r, 0x40000000 + i * PAGE_BYTES, CACHE_READ);
        cr_expect_eq(r.mmu.stats.walks, level == LEVEL_4K ? 512 : 1);
        rig_fini(&r);
    }
}

Test(walk, invalidation_leaves_nothing_stale)
{
    struct rig r;
    struct mmu_result out;
    struct ept_leaf leaf;
    rig_init(&r, 4, 4, LEVEL_4K, true);
    rig_top(&r);
    uint64_t gpa = rig_page(&r, 0);
    rig_map(&r, GVA, gpa, 0, PTE_P | PTE_W);
    refs(&r, GVA, CACHE_WRITE);
    cr_assert(ept_find(&r.ept, gpa, &leaf));
    leaf.entry = ept_arm(leaf.entry, EPT_RWX);
    ept_write(&r.ept, &leaf);
    cr_expect_eq(mmu_translate(&r.mmu, &r.space, GVA, CACHE_READ, 0, &out), MMU_OK, "the TLB still has it");
    mmu_flush_vm(&r.mmu, 0);
    cr_expect_eq(mmu_translate(&r.mmu, &r.space, GVA, CACHE_READ, 0, &out), MMU_EPT_VIOLATION);
    cr_assert(ept_find(&r.ept, gpa, &leaf));
    leaf.entry = ept_disarm(leaf.entry);
    cr_expect_eq(leaf.entry & EPT_RWX, EPT_RWX);
    ept_write(&r.ept, &leaf);
    cr_expect_eq(mmu_translate(&r.mmu, &r.space, GVA, CACHE_READ, 0, &out), MMU_OK);
    mmu_flush_page(&r.mmu, r.space.asid, GVA);
    cr_expect(refs(&r, GVA, CACHE_READ) > 0, "INVLPG took the page out");
    rig_fini(&r);
}

Test(walk, page_modification_log)
{
    struct rig r;
    struct mmu_result out;
    struct pml pml = {0};
    rig_init(&r, 4, 4, LEVEL_4K, true);
    uint64_t gpa[PML_ENTRIES + 1];
    rig_top(&r);
    for (uint64_t i = 0; i <= PML_ENTRIES; i++) {
        rig_map(&r, 0x40000000 + i * PAGE_BYTES, gpa[i] = rig_page(&r, 0), 0, PTE_P | PTE_W);
        refs(&r, 0x40000000 + i * PAGE_BYTES, CACHE_READ); /* the tables are dirty before the log is on */
    }
    r.space.pml = &pml;
    for (uint64_t i = 0; i < PML_ENTRIES; i++) {
        refs(&r, 0x40000000 + i * PAGE_BYTES, CACHE_WRITE);
        refs(&r, 0x40000000 + i * PAGE_BYTES, CACHE_WRITE);
        cr_assert_eq(pml.gpa[i], gpa[i]);
    }
    cr_expect_eq(pml.n, PML_ENTRIES);
    cr_expect_eq(mmu_translate(&r.mmu, &r.space, 0x40000000 + PML_ENTRIES * PAGE_BYTES, CACHE_WRITE, 0, &out),
                 MMU_PML_FULL);
    pml.n = 0;
    cr_expect_eq(mmu_translate(&r.mmu, &r.space, 0x40000000 + PML_ENTRIES * PAGE_BYTES, CACHE_WRITE, 0, &out), MMU_OK);
    cr_expect_eq(pml.n, 1);
    rig_fini(&r);
}

Test(ept, split_and_merge_keep_every_address)
{
    struct rig r;
    rig_init(&r, 4, 4, LEVEL_2M, true);
    uint64_t gpa = rig_page(&r, LEVEL_2M), hpa = rig_hpa(&r, gpa);
    cr_assert_eq(ept_split(&r.ept, gpa), 0);
    for (uint64_t i = 0; i < 512; i++)
        cr_assert_eq(rig_hpa(&r, gpa + i * PAGE_BYTES), hpa + i * PAGE_BYTES);
    cr_expect_eq(r.ept.n_mapped[LEVEL_4K], 512);
    struct ept_leaf leaf;
    cr_assert(ept_find(&r.ept, gpa + 5 * PAGE_BYTES, &leaf));
    uint64_t kept = leaf.entry;
    leaf.entry &= ~EPT_W;
    ept_write(&r.ept, &leaf);
    cr_expect_eq(ept_merge(&r.ept, gpa), -1, "unlike rights do not merge");
    leaf.entry = kept | EPT_D;
    ept_write(&r.ept, &leaf);
    cr_assert_eq(ept_merge(&r.ept, gpa), 0);
    cr_assert(ept_find(&r.ept, gpa, &leaf));
    cr_expect_eq(leaf.level, LEVEL_2M);
    cr_expect(leaf.entry & EPT_D, "a dirty piece makes the whole dirty");
    cr_expect_eq(leaf.entry & EPT_FRAME, hpa);
    rig_fini(&r);
}

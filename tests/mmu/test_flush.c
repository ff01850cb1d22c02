/* SPDX-License-Identifier: MIT */
/* Invalidations: what INVLPG, INVVPID and INVEPT drop and what they leave, for whole pages and for pieces of large
 * ones. */
#include "rig.h"

#include <criterion/criterion.h>

#define BASE 0x40000000ull
#define N    16u

static bool walks(struct rig *r, const struct mmu_space *s, uint64_t gva)
{
    struct mmu_result out;
    uint64_t before = r->mmu.stats.walks;
    cr_assert_eq(mmu_translate(&r->mmu, s, gva, CACHE_READ, 0, &out), MMU_OK);
    return r->mmu.stats.walks != before;
}

static uint32_t n_walks(struct rig *r, const struct mmu_space *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < N; i++)
        n += walks(r, s, BASE + i * PAGE_BYTES);
    return n;
}

/* N pages of 4 KiB, two large pages behind them, or one large page around them. */
static void map_all(struct rig *r, uint32_t level, uint32_t ept_level)
{
    rig_init(r, 4, 4, ept_level, true);
    rig_top(r);
    for (uint32_t i = 0; i < (level ? 1 : N); i++)
        rig_map(r, BASE + i * PAGE_BYTES, rig_page(r, level), level, PTE_P | PTE_W);
    rig_map(r, BASE + GIB, rig_page(r, 0), 0, PTE_P | PTE_W);
}

/* One page goes; the others of its space, and the same ones of another space, stay unless a large page is in pieces. */
Test(flush, one_page)
{
    static const struct {
        uint32_t level, ept_level, lost;
    } cases[] = {{LEVEL_4K, LEVEL_4K, 1}, {LEVEL_4K, LEVEL_2M, 1}, {LEVEL_2M, LEVEL_2M, 1}, {LEVEL_2M, LEVEL_4K, N}};
    for (size_t i = 0; i < N_ELEMS(cases); i++) {
        struct rig r;
        map_all(&r, cases[i].level, cases[i].ept_level);
        struct mmu_space other = r.space;
        bool in_pieces = cases[i].level > cases[i].ept_level;
        other.asid++;
        n_walks(&r, &r.space);
        n_walks(&r, &other);
        cr_expect_eq(n_walks(&r, &r.space) + n_walks(&r, &other), 0);
        mmu_flush_page(&r.mmu, r.space.asid, BASE);
        cr_expect_eq(n_walks(&r, &r.space), cases[i].lost, "case %zu", i);
        cr_expect_eq(n_walks(&r, &other), in_pieces ? N : 0, "case %zu", i);
        cr_expect_eq(r.mmu.stats.fracture_flushes, in_pieces);
        rig_fini(&r);
    }
}

/* Any address does it, but only until everything was dropped. */
Test(flush, fractured_by_any_address)
{
    struct rig r;
    map_all(&r, LEVEL_2M, LEVEL_4K);
    cr_expect_eq(n_walks(&r, &r.space), N);
    mmu_flush_page(&r.mmu, r.space.asid, BASE + GIB);
    cr_expect_eq(r.mmu.stats.fracture_flushes, 1);
    cr_expect(walks(&r, &r.space, BASE + GIB));
    mmu_flush_page(&r.mmu, r.space.asid, BASE + GIB);
    cr_expect_eq(r.mmu.stats.fracture_flushes, 1, "no piece is left");
    cr_expect_eq(n_walks(&r, &r.space), N);
    mmu_flush_vm(&r.mmu, 0);
    mmu_flush_page(&r.mmu, r.space.asid, BASE);
    cr_expect_eq(r.mmu.stats.fracture_flushes, 1, "INVEPT has dropped them all");
    rig_fini(&r);
}

/* Switched off, INVLPG drops the pieces of its page, and the page elsewhere stays. */
Test(flush, pieces_without_fracturing)
{
    struct rig r;
    map_all(&r, LEVEL_2M, LEVEL_4K);
    r.mmu.conf.fracturing = 0;
    n_walks(&r, &r.space);
    walks(&r, &r.space, BASE + GIB);
    mmu_flush_page(&r.mmu, r.space.asid, BASE + 5 * PAGE_BYTES);
    cr_expect_not(walks(&r, &r.space, BASE + GIB));
    cr_expect_eq(n_walks(&r, &r.space), N);
    cr_expect_eq(r.mmu.stats.fracture_flushes, 0);
    rig_fini(&r);
}

/* INVVPID takes one space and leaves what is known of the nested tables; INVEPT takes all of it. */
Test(flush, space_and_vm)
{
    struct rig r;
    map_all(&r, LEVEL_4K, LEVEL_4K);
    struct mmu_space other = r.space;
    other.asid++;
    n_walks(&r, &r.space);
    n_walks(&r, &other);
    mmu_flush_space(&r.mmu, r.space.asid);
    cr_expect_eq(n_walks(&r, &other), 0);
    uint64_t refs = r.mmu.stats.walk_refs;
    cr_expect(walks(&r, &r.space, BASE));
    /* Four guest tables and the page, each through the nested table that is still known. */
    cr_expect_eq(r.mmu.stats.walk_refs - refs, 9);
    mmu_flush_vm(&r.mmu, 0);
    refs = r.mmu.stats.walk_refs;
    cr_expect(walks(&r, &r.space, BASE));
    cr_expect_eq(r.mmu.stats.walk_refs - refs, 24);
    cr_expect(walks(&r, &other, BASE));
    mmu_flush_vm(&r.mmu, 7);
    cr_expect_not(walks(&r, &other, BASE), "another VM's");
    mmu_flush_vm(&r.mmu, UINT32_MAX);
    cr_expect(walks(&r, &other, BASE));
    rig_fini(&r);
}

/* Fetches take a 1 GiB page in 2 MiB pieces; INVLPG anywhere in it drops all of them. */
Test(flush, fetches_from_a_large_page)
{
    struct rig r;
    struct mmu_result out;
    rig_init(&r, 4, 4, LEVEL_1G, true);
    rig_top(&r);
    rig_map(&r, BASE, rig_page(&r, LEVEL_1G), LEVEL_1G, PTE_P | PTE_W);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(mmu_translate(&r.mmu, &r.space, BASE + i * 2 * MIB, CACHE_FETCH, 0, &out), MMU_OK);
    cr_expect_eq(r.mmu.stats.walks, 1, "the second level holds all of it");
    mmu_flush_page(&r.mmu, r.space.asid, BASE);
    cr_assert_eq(mmu_translate(&r.mmu, &r.space, BASE + 4 * MIB, CACHE_FETCH, 0, &out), MMU_OK);
    cr_expect_eq(r.mmu.stats.walks, 2, "no piece is left");
    rig_fini(&r);
}

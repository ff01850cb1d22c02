/* SPDX-License-Identifier: MIT */
/* The host's look ahead: where it ends is where the walk ends, and the simulated machine does not notice. */
#include "rig.h"

#include <criterion/criterion.h>

#include <string.h>

#define GVA   0x40000000ull
#define PAGES 3000u /* twice the second-level TLB, six last tables */

/* Steps until the data; how many it took. */
static uint32_t look(const struct rig *r, struct mmu_foresight *l, uint32_t i, uint64_t gva)
{
    uint32_t steps = 1;
    mmu_foresee(&r->mmu, &r->space, l, i, gva);
    for (; l->sight[i % MMU_SIGHTS].state != SIGHT_DONE; steps++) {
        cr_assert_leq(steps, 3);
        mmu_foresee_on(&r->mmu, &r->space, l, i);
    }
    return steps;
}

static void map_pages(struct rig *r, uint32_t level, uint64_t pages)
{
    rig_top(r);
    for (uint64_t i = 0; i < pages; i++)
        rig_map(r, GVA + (i << LEVEL_SHIFT(level)), rig_page(r, level), level, PTE_P | PTE_W);
}

Test(foresee, ends_where_the_walk_does)
{
    static const struct {
        uint32_t guest, nested, pages, steps; /* steps: without the TLB */
    } cases[] = {{LEVEL_4K, LEVEL_4K, PAGES, 3}, {LEVEL_4K, LEVEL_2M, PAGES, 2}, {LEVEL_2M, LEVEL_2M, 20, 1}};
    for (size_t k = 0; k < N_ELEMS(cases); k++) {
        struct rig r;
        struct mmu_result out;
        struct mmu_foresight l;
        uint32_t n_far = 0;
        rig_init(&r, 4, 4, cases[k].nested, true);
        map_pages(&r, cases[k].guest, cases[k].pages);
        for (uint64_t n = 0; n < 4 * cases[k].pages; n++) {
            if (n % cases[k].pages == 0)
                mmu_foresight_reset(&l, n < 3 * cases[k].pages);
            uint64_t page = n * 1237 % cases[k].pages, gva = GVA + (page << LEVEL_SHIFT(cases[k].guest)) + n % 500 * 8;
            struct mmu_stats before = r.mmu.stats;
            struct core_cache_stats cache_before = r.caches.core[0].stats;
            uint32_t steps = look(&r, &l, (uint32_t)n, gva);
            cr_assert(memcmp(&before, &r.mmu.stats, sizeof before) == 0, "a look counts nothing");
            cr_assert(memcmp(&cache_before, &r.caches.core[0].stats, sizeof cache_before) == 0);
            cr_assert_eq(mmu_translate(&r.mmu, &r.space, gva, CACHE_READ, 0, &out), MMU_OK);
            if (n < cases[k].pages)
                continue; /* nothing is cached of tables that no walk has been to */
            cr_assert_eq(l.sight[n % MMU_SIGHTS].at, out.hpa, "case %zu, access %lu", k, (unsigned long)n);
            n_far += steps == cases[k].steps;
        }
        cr_expect_gt(n_far, cases[k].pages / 4, "case %zu: the TLB does not hold all", k);
        rig_fini(&r);
    }
}

/* Pages move, tables are freed and their frames hold anything, between two steps of a look. */
Test(foresee, may_meet_anything)
{
    struct rig r;
    struct mmu_result out;
    static struct mmu_foresight l;
    struct mmu_sight *f = &l.sight[0];
    rig_init(&r, 4, 4, LEVEL_4K, true);
    map_pages(&r, LEVEL_4K, PAGES);
    for (uint64_t i = 0; i < PAGES; i++)
        cr_assert_eq(mmu_translate(&r.mmu, &r.space, GVA + i * PAGE_BYTES, CACHE_READ, 0, &out), MMU_OK);
    uint64_t x = 1, n_on = 0;
    mmu_foresight_reset(&l, false);
    for (uint64_t i = 0; i < PAGES; i++) {
        mmu_foresee(&r.mmu, &r.space, &l, 0, GVA + i * PAGE_BYTES);
        for (uint32_t step = 0; f->state != SIGHT_DONE && step < 2; step++, n_on++) {
            x = x * 6364136223846793005ull + 1442695040888963407ull;
            frame_store64(r.mem, f->at, x ^ x >> 31);
            mmu_foresee_on(&r.mmu, &r.space, &l, 0);
        }
        *f = (struct mmu_sight){.gva = GVA, .state = SIGHT_ENTRY, .at = (x >> 3) & PTE_FRAME};
        mmu_foresee_on(&r.mmu, &r.space, &l, 0);
    }
    cr_expect_gt(n_on, PAGES / 4);
    rig_fini(&r);
}

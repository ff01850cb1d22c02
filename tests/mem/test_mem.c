/* SPDX-License-Identifier: MIT */
/* Frames: conservation under random allocation, and every representation of content against plain bytes. */
#include "sim/base/rng.h"
#include "sim/mem/mem.h"

#include <criterion/criterion.h>
#include <string.h>

Test(mem, allocation_conserves_and_never_overlaps)
{
    struct mem *m = mem_new();
    struct diag d = {0};
    struct rng rng;
    rng_init(&rng, 5, "mem");
    cr_assert_eq(mem_add_region(m, 0, MEM_DRAM, 2 * GIB, &d), 0);
    cr_assert_eq(mem_add_region(m, 1, MEM_DRAM, GIB, &d), 0);
    struct {
        uint64_t mfn;
        uint32_t level;
    } held[600];
    uint32_t n = 0;
    static uint8_t used[3 * 262144];
    for (uint32_t i = 0; i < 20000; i++) {
        if (n < 600 && rng_below(&rng, 2)) {
            struct mem_region *r = &m->region[rng_below(&rng, 2)];
            uint32_t level = rng_below(&rng, 8) == 0;
            uint64_t mfn = mem_alloc(m, r, level, FRAME_GUEST, 1, i);
            if (mfn == MFN_NONE)
                continue;
            cr_assert_eq(mfn % (1ull << 9 * level), 0);
            for (uint64_t k = 0; k < 1ull << 9 * level; k++) {
                cr_assert(!used[mfn + k], "frame %lu is given out twice", (unsigned long)(mfn + k));
                used[mfn + k] = 1;
                cr_assert_eq(frame_at(m, mfn + k)->content, 0, "a new frame is zero");
            }
            held[n].mfn = mfn;
            held[n++].level = level;
        } else if (n) {
            uint64_t k = rng_below(&rng, n);
            frame_set_symbol(m, held[k].mfn, 7);
            mem_release(m, held[k].mfn, held[k].level);
            memset(&used[held[k].mfn], 0, 1ull << 9 * held[k].level);
            held[k] = held[--n];
        }
        if (i % 1000 == 0)
            cr_assert_eq(mem_verify(m, &d), 0, "%s", d.text);
    }
    mem_free(m);
}

Test(mem, a_shared_frame_lives_until_its_last_reference)
{
    struct mem *m = mem_new();
    struct diag d = {0};
    cr_assert_eq(mem_add_region(m, 0, MEM_DRAM, GIB, &d), 0);
    uint64_t free_pages = m->region[0].free_pages, mfn = mem_alloc(m, &m->region[0], 0, FRAME_GUEST, 0, 0);
    uint32_t generation = owner_generation(frame_at(m, mfn)->owner);
    frame_ref(m, mfn);
    mem_release(m, mfn, 0);
    cr_expect_eq(frame_refs(m, mfn), 1);
    mem_release(m, mfn, 0);
    cr_expect_eq(frame_refs(m, mfn), 0);
    cr_expect_eq(m->region[0].free_pages, free_pages);
    cr_expect_eq(mem_alloc(m, &m->region[0], 0, FRAME_GUEST, 0, 0), mfn);
    cr_expect_eq(owner_generation(frame_at(m, mfn)->owner), generation + 1, "a handle of the old use is stale");
    mem_free(m);
}

/* 40 frames, some persistent, against 40 byte arrays. */
Test(mem, content_equals_plain_bytes)
{
    struct mem *m = mem_new();
    struct diag d = {0};
    struct rng rng;
    static uint8_t model[40][PAGE_BYTES];
    uint64_t mfn[40];
    rng_init(&rng, 6, "content");
    cr_assert_eq(mem_add_region(m, 0, MEM_DRAM, GIB, &d), 0);
    cr_assert_eq(mem_add_region(m, 0, MEM_PMEM, GIB, &d), 0);
    for (int i = 0; i < 40; i++)
        mfn[i] = mem_alloc(m, &m->region[i % 4 == 3], 0, FRAME_GUEST, 0, 0);
    for (uint32_t step = 0; step < 60000; step++) {
        uint64_t f = rng_below(&rng, 40), at = rng_below(&rng, 512) * 8, v = rng_next(&rng), g = rng_below(&rng, 40);
        bool is_pmem = f % 4 == 3;
        switch (rng_below(&rng, 6)) {
        case 0:
            frame_store64(m, mfn[f] * PAGE_BYTES + at, v);
            memcpy(&model[f][at], &v, 8);
            break;
        case 1: {
            uint64_t len = rng_below(&rng, PAGE_BYTES - at) + 1;
            uint8_t buf[PAGE_BYTES];
            memset(buf, (int)v, len);
            frame_write(m, mfn[f] * PAGE_BYTES + at, buf, len);
            memcpy(&model[f][at], buf, len);
            break;
        }
        case 2:
            if (!is_pmem) {
                frame_set_symbol(m, mfn[f], v % 3);
                frame_expand(v % 3, (uint64_t *)(void *)model[f]);
            }
            break;
        case 3:
            if (!is_pmem && g % 4 != 3 && f != g) {
                frame_copy(m, mfn[f], mfn[g]);
                memcpy(model[f], model[g], PAGE_BYTES);
            }
            break;
        case 4:
            cr_assert_eq(frame_equal(m, mfn[f], mfn[g]), memcmp(model[f], model[g], PAGE_BYTES) == 0);
            break;
        default:
            memcpy(&v, &model[f][at], 8);
            cr_assert_eq(frame_load64(m, mfn[f] * PAGE_BYTES + at), v, "step %u", step);
        }
    }
    mem_free(m);
}

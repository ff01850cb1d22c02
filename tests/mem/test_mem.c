/* SPDX-License-Identifier: MIT */
/* Frames are conserved; content, however it is represented, equals plain bytes. */
#include "sim/base/rng.h"
#include "sim/mem/mem.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 6

static struct mem *one_gib(void)
{
    struct mem *m = mem_new();
    struct diag d = {0};
    cr_assert_eq(mem_add_region(m, 0, MEM_DRAM, GIB, &d), 0, "%s", d.text);
    return m;
}

Test(mem, blocks_never_overlap_and_all_come_back)
{
    struct mem *m = one_gib();
    struct mem_region *r = &m->region[0];
    struct {
        uint64_t mfn;
        uint32_t level, refs;
    } held[400];
    uint32_t n = 0;
    uint64_t start = r->free_pages, held_pages = 0;
    uint8_t *used = xcalloc(GIB >> PAGE_SHIFT, 1);
    struct rng rng;
    struct diag d = {0};
    rng_init(&rng, 1, "mem");
    for (int k = 0; k < 20000; k++) {
        uint32_t level = rng_below(&rng, 8) == 0;
        if (n < N_ELEMS(held) && rng_below(&rng, 2)) {
            uint64_t mfn = mem_alloc(m, r, level, FRAME_GUEST, 3, 7);
            if (mfn == MFN_NONE)
                continue;
            cr_assert_eq(mfn & ((1ull << 9 * level) - 1), 0, "aligned");
            for (uint64_t i = 0; i < 1ull << 9 * level; i++)
                cr_assert_eq(used[mfn - (r->base >> PAGE_SHIFT) + i]++, 0, "given out twice");
            held[n].mfn = mfn, held[n].level = level, held[n++].refs = 1;
            held_pages += 1ull << 9 * level;
        } else if (n) {
            uint32_t i = (uint32_t)rng_below(&rng, n);
            if (held[i].level == 0 && held[i].refs < 4 && rng_below(&rng, 3) == 0) {
                frame_ref(m, held[i].mfn);
                cr_assert_eq(frame_refs(m, held[i].mfn), ++held[i].refs);
                continue;
            }
            mem_release(m, held[i].mfn, held[i].level);
            if (--held[i].refs)
                continue;
            for (uint64_t p = 0; p < 1ull << 9 * held[i].level; p++)
                used[held[i].mfn - (r->base >> PAGE_SHIFT) + p] = 0;
            held_pages -= 1ull << 9 * held[i].level;
            held[i] = held[--n];
        }
        cr_assert_eq(r->free_pages + held_pages, start);
    }
    cr_assert_eq(mem_verify(m, &d), 0, "%s", d.text);
    free(used);
    mem_free(m);
}

Test(mem, generation_counts_the_lives_of_a_frame)
{
    struct mem *m = one_gib();
    uint64_t mfn = mem_alloc(m, &m->region[0], 0, FRAME_GUEST, 1, 5);
    uint32_t first = owner_generation(frame_at(m, mfn)->owner);
    cr_expect_eq(owner_gfn(frame_at(m, mfn)->owner), 5);
    cr_expect_eq(owner_vm(frame_at(m, mfn)->owner), 1);
    mem_release(m, mfn, 0);
    cr_assert_eq(mem_alloc(m, &m->region[0], 0, FRAME_GUEST, 1, 6), mfn, "the frame freed last is taken first");
    cr_expect_neq(owner_generation(frame_at(m, mfn)->owner), first);
    mem_free(m);
}

Test(mem, pins_nest)
{
    struct mem *m = one_gib();
    uint64_t mfn = mem_alloc(m, &m->region[0], 0, FRAME_GUEST, 1, 5);
    cr_expect_eq(frame_unpin(m, mfn), -1);
    frame_pin(m, mfn);
    frame_pin(m, mfn);
    cr_expect_eq(frame_unpin(m, mfn), 0);
    cr_expect(frame_is_pinned(m, mfn));
    cr_expect_eq(frame_unpin(m, mfn), 0);
    cr_expect(!frame_is_pinned(m, mfn));
    mem_free(m);
}

static void random_op(struct mem *m, const uint64_t *mfn, uint8_t (*plain)[4096], struct rng *rng)
{
    uint32_t p = (uint32_t)rng_below(rng, PAGES), q = (uint32_t)rng_below(rng, PAGES);
    uint64_t value = rng_next(rng), at = rng_below(rng, 512) * 8, id = rng_below(rng, 4);
    uint8_t buf[4096];
    size_t len = 1 + rng_below(rng, 200), from = rng_below(rng, 4096 - len);
    switch (rng_below(rng, 5)) {
    case 0:
        value *= rng_below(rng, 2); /* zeroes too */
        frame_store64(m, (mfn[p] << PAGE_SHIFT) + at, value);
        memcpy(plain[p] + at, &value, 8);
        break;
    case 1:
        memset(buf, (int)(value & 255), len);
        frame_write(m, (mfn[p] << PAGE_SHIFT) + from, buf, len);
        memcpy(plain[p] + from, buf, len);
        break;
    case 2:
        if (value % 8 == 0) {
            frame_set_symbol(m, mfn[p], id);
            memset(plain[p], 0, 4096);
            if (id)
                frame_expand(id, (uint64_t *)(void *)plain[p]);
        }
        break;
    case 3:
        if (p != q && value % 4 == 0) {
            frame_copy(m, mfn[p], mfn[q]);
            memcpy(plain[p], plain[q], 4096);
        }
        break;
    default:
        frame_read(m, (mfn[p] << PAGE_SHIFT) + from, buf, len);
        cr_assert_eq(memcmp(buf, plain[p] + from, len), 0);
        memcpy(&value, plain[p] + at, 8);
        cr_assert_eq(frame_load64(m, (mfn[p] << PAGE_SHIFT) + at), value);
        cr_assert_eq(frame_equal(m, mfn[p], mfn[q]), memcmp(plain[p], plain[q], 4096) == 0);
    }
}

Test(content, equals_plain_bytes)
{
    static _Alignas(8) uint8_t plain[PAGES][4096];
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct mem *m = one_gib();
        uint64_t mfn[PAGES];
        struct rng rng;
        rng_init(&rng, seed, "content");
        memset(plain, 0, sizeof plain);
        for (int i = 0; i < PAGES; i++)
            mfn[i] = mem_alloc(m, &m->region[0], 0, FRAME_GUEST, 0, 0);
        for (int k = 0; k < 4000; k++)
            random_op(m, mfn, plain, &rng);
        mem_free(m);
    }
}

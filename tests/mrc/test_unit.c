/* SPDX-License-Identifier: MIT */
/* Records as ids: pages that are crossed, disk requests, address spaces, objects. */
#include "sim/mrc/unit.h"

#include <criterion/criterion.h>

static uint32_t ids_of(enum mrc_unit_kind kind, uint8_t shift, const struct trace_rec *rec, uint32_t n, uint64_t *ids,
                       uint32_t max)
{
    struct mrc_unit u = {.kind = kind, .shift = shift};
    uint32_t got = 0, part;
    mrc_unit_records(&u, rec, n);
    while ((part = mrc_unit_ids(&u, ids + got, NULL, max - got < 3 ? max - got : 3)) > 0)
        got += part;
    mrc_unit_free(&u);
    return got;
}

Test(unit, accesses_count_on_each_page_they_touch)
{
    const struct trace_rec rec[] = {
        {.addr = 0x1ffc, .size = 4, .kind = TRACE_READ},     {.addr = 0x1ffc, .size = 5, .kind = TRACE_WRITE},
        {.addr = 0x5000, .size = 0, .kind = TRACE_EXEC},     {.addr = 0x6000, .size = 8, .kind = TRACE_CLWB},
        {.addr = 0x3fffff, .size = 2, .kind = TRACE_MODIFY}, {.kind = TRACE_SFENCE},
    };
    uint64_t ids[16];
    cr_assert_eq(ids_of(MRC_PAGE, 12, rec, 6, ids, 16), 6);
    const uint64_t want[] = {1, 1, 2, 5, 0x3ff, 0x400};
    for (int i = 0; i < 6; i++)
        cr_assert_eq(ids[i], want[i]);
    cr_assert_eq(ids_of(MRC_PAGE, 21, rec, 6, ids, 16), 5);
    cr_assert(ids[3] == 1 && ids[4] == 2);
    cr_assert_eq(ids_of(MRC_OBJECT, 0, rec, 6, ids, 16), 4);
    cr_assert_eq(ids[0], 0x1ffc);
}

Test(unit, disk_requests)
{
    const struct trace_rec rec[] = {{.addr = 7 * 512, .arg = 1024, .kind = TRACE_BLOCK_READ},
                                    {.addr = 8 * 512, .arg = 512, .size = 3, .kind = TRACE_BLOCK_WRITE},
                                    {.addr = 99, .arg = 4096, .kind = TRACE_OBJECT_READ},
                                    {.kind = TRACE_BLOCK_FLUSH}};
    uint64_t ids[16];
    cr_assert_eq(ids_of(MRC_BLOCK, 0, rec, 4, ids, 16), 4);
    cr_assert(ids[0] == 7 && ids[1] == 8 && ids[2] == (8 | 3ull << 48) && ids[3] == 99);
    cr_assert_eq(ids_of(MRC_PAGE, 12, rec, 4, ids, 16), 4);
    cr_assert(ids[0] == 0 && ids[1] == 1 && ids[2] == (1 | 3ull << 48) && ids[3] == 99);
    cr_assert_eq(ids_of(MRC_OBJECT, 0, rec, 4, ids, 16), 3);
    cr_assert(ids[0] == 7 && ids[1] == (8 | 3ull << 48));
}

Test(unit, address_spaces_do_not_share_pages)
{
    const struct trace_rec rec[] = {
        {.addr = 0x1000, .kind = TRACE_READ},   {.addr = 0xaa000, .kind = TRACE_SPACE},
        {.addr = 0x1000, .kind = TRACE_READ},   {.addr = 0xbb000, .kind = TRACE_SPACE},
        {.addr = 0x1000, .kind = TRACE_READ},   {.addr = 0x1000, .kind = TRACE_READ, .vcpu = 1},
        {.addr = 0xaa000, .kind = TRACE_SPACE}, {.addr = 0x1000, .kind = TRACE_READ}};
    uint64_t ids[16];
    cr_assert_eq(ids_of(MRC_PAGE, 12, rec, 8, ids, 16), 5);
    cr_assert(ids[1] == ids[0] && ids[2] != ids[1] && ids[3] == ids[0] && ids[4] == ids[1]);
}

Test(unit, regions_and_the_end_of_the_address_space)
{
    const struct trace_rec rec[] = {{.addr = 0x10000, .arg = 3, .size = 2, .kind = TRACE_REGION},
                                    {.addr = 0x90000, .arg = 3, .size = 0, .kind = TRACE_REGION},
                                    {.addr = UINT64_MAX - 1, .size = 8, .kind = TRACE_READ}};
    uint64_t ids[16];
    cr_assert_eq(ids_of(MRC_PAGE, 12, rec, 3, ids, 16), 4);
    cr_assert(ids[0] == 16 && ids[2] == 18 && ids[3] == UINT64_MAX >> 12);
}

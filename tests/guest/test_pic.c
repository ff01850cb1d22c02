/* SPDX-License-Identifier: MIT */
/* The two 8259As beside a model of one list of fifteen lines in order of priority (0, 1, 8..15, 3..7), as a PC's
 * software uses them: edges, masks, specific and non-specific ends of interrupt. */
#include "sim/base/rng.h"
#include "sim/guest/pic.h"

#include <criterion/criterion.h>

static void start(struct pic *p)
{
    static const uint16_t ports[] = {0x20, 0x21, 0x21, 0x21, 0xa0, 0xa1, 0xa1, 0xa1};
    static const uint8_t words[] = {0x11, 0x20, 4, 1, 0x11, 0x28, 2, 1};
    pic_init(p);
    for (uint32_t i = 0; i < 8; i++)
        pic_write(p, ports[i], words[i]);
}

/* Lines in order of priority; 2 stands for the second chip on the first. */
static const uint8_t order[] = {0, 1, 8, 9, 10, 11, 12, 13, 14, 15, 3, 4, 5, 6, 7};

struct model {
    bool waits[16], served[16], masked[16], is_high[16];
};

/* The first chip takes nothing from the second while that serves: it is not in the special fully nested mode. */
static int model_pending(const struct model *m)
{
    bool second = false;
    for (uint32_t i = 8; i < 16; i++)
        second |= m->served[i];
    for (uint32_t i = 0; i < sizeof order; i++) {
        uint32_t line = order[i];
        if (m->served[line] || (line >= 8 && second))
            return -1;
        if (m->waits[line] && !m->masked[line])
            return (int)line;
    }
    return -1;
}

static void end(struct pic *p, struct model *m, uint32_t line)
{
    if (line >= 8)
        pic_write(p, 0xa0, (uint8_t)(0x60 | (line & 7)));
    pic_write(p, 0x20, (uint8_t)(0x60 | (line >= 8 ? 2 : line)));
    m->served[line] = false;
}

static void write_masks(struct pic *p, const struct model *m)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < 16; i++)
        mask |= (uint32_t)m->masked[i] << i;
    pic_write(p, 0x21, (uint8_t)mask);
    pic_write(p, 0xa1, (uint8_t)(mask >> 8));
    cr_assert(pic_read(p, 0x21) == (mask & 0xff) && pic_read(p, 0xa1) == mask >> 8);
}

static void one_step(struct pic *p, struct model *m, struct rng *r)
{
    uint32_t line = order[rng_below(r, sizeof order)];
    int pending = model_pending(m);
    switch (rng_below(r, 4)) {
    case 0:
        m->waits[line] = !m->is_high[line]; /* an edge, or gone before it was taken */
        m->is_high[line] = !m->is_high[line];
        pic_set(p, line, m->is_high[line]);
        break;
    case 1:
        if (pending < 0)
            break;
        cr_assert_eq(pic_acknowledge(p), 0x20 + pending);
        m->waits[pending] = false;
        m->served[pending] = true;
        break;
    case 2:
        for (uint32_t i = 0; i < sizeof order; i++)
            if (m->served[order[i]]) {
                end(p, m, order[i]);
                break;
            }
        break;
    default:
        m->masked[line] = !m->masked[line] && rng_below(r, 3) == 0;
        write_masks(p, m);
    }
}

Test(pic, priorities)
{
    struct rng r;
    rng_init(&r, 1, "pic");
    for (uint32_t round = 0; round < 50; round++) {
        struct pic p;
        struct model m = {.masked = {false}};
        start(&p);
        for (uint32_t i = 0; i < 2000; i++) {
            one_step(&p, &m, &r);
            cr_assert_eq(pic_pending(&p), model_pending(&m) >= 0, "round %u step %u: %d", round, i, model_pending(&m));
        }
    }
}

Test(pic, registers)
{
    struct pic p;
    pic_init(&p);
    pic_set(&p, 4, true);
    cr_assert(!pic_pending(&p), "not before it is initialised");
    pic_set(&p, 4, false);
    start(&p);
    pic_set(&p, 4, true);
    pic_set(&p, 9, true);
    pic_write(&p, 0x20, 0x0a);
    cr_assert_eq(pic_read(&p, 0x20), 0x14);
    cr_assert_eq(pic_acknowledge(&p), 0x29);
    pic_write(&p, 0x20, 0x0b);
    pic_write(&p, 0xa0, 0x0b);
    cr_assert(pic_read(&p, 0x20) == 0x04 && pic_read(&p, 0xa0) == 0x02);
    pic_write(&p, 0xa0, 0x20);
    pic_write(&p, 0x20, 0x20);
    cr_assert(pic_read(&p, 0x20) == 0 && pic_read(&p, 0xa0) == 0);
    cr_assert_eq(pic_acknowledge(&p), 0x24);
    pic_write(&p, 0x20, 0x20);
    cr_assert(!pic_pending(&p), "a level is no second edge");
    cr_assert_eq(pic_acknowledge(&p), 0x27, "nobody: line 7");
}

/* A level-triggered line asks again until it is low. */
Test(pic, levels)
{
    struct pic p;
    start(&p);
    pic_write(&p, 0x4d1, 0xff);
    cr_assert_eq(pic_read(&p, 0x4d1), 0xde);
    pic_set(&p, 11, true);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(pic_acknowledge(&p), 0x2b);
        pic_write(&p, 0xa0, 0x20);
        pic_write(&p, 0x20, 0x20);
        cr_assert(pic_pending(&p));
    }
    pic_set(&p, 11, false);
    cr_assert(!pic_pending(&p));
}

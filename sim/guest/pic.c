/* SPDX-License-Identifier: MIT */
#include "sim/guest/pic.h"

#define CASCADE  2u
#define SPURIOUS 7u

#define ICW1         0x10u
#define ICW1_ICW4    0x01u
#define ICW4_AUTO    0x02u
#define OCW3         0x08u
#define OCW3_READ    0x02u
#define OCW3_ISR     0x01u
#define OCW3_MASK    0x40u
#define OCW3_MASK_ON 0x20u

/* ---- priorities ---- */

/* The line of set that comes first, or -1. */
static int first_of(const struct pic_chip *c, uint8_t set)
{
    for (uint32_t i = 1; i <= 8; i++)
        if (set >> ((c->lowest + i) & 7) & 1)
            return (int)((c->lowest + i) & 7);
    return -1;
}

static uint32_t rank(const struct pic_chip *c, int line)
{
    return ((uint32_t)line - c->lowest - 1u) & 7;
}

/* The line that may interrupt now, or -1. */
static int pending_of(const struct pic_chip *c)
{
    int wants = first_of(c, c->irr & (uint8_t)~c->imr);
    int served = first_of(c, c->is_special_mask ? c->isr & (uint8_t)~c->imr : c->isr);
    if (wants < 0 || !c->is_ready)
        return -1;
    return served < 0 || rank(c, wants) < rank(c, served) ? wants : -1;
}

/* The second chip drives line 2 of the first. */
static void set_line(struct pic_chip *c, uint32_t line, bool is_high)
{
    uint8_t bit = (uint8_t)(1u << line);
    bool was = c->lines & bit;
    c->lines = (uint8_t)(is_high ? c->lines | bit : c->lines & ~bit);
    if (c->level & bit)
        c->irr = (uint8_t)(is_high ? c->irr | bit : c->irr & ~bit);
    else if (is_high && !was)
        c->irr |= bit;
    else if (!is_high)
        c->irr &= (uint8_t)~bit; /* an edge that is gone before it was taken: spurious */
}

static void cascade(struct pic *p)
{
    set_line(&p->chip[0], CASCADE, pending_of(&p->chip[1]) >= 0);
}

void pic_set(struct pic *p, uint32_t line, bool is_high)
{
    set_line(&p->chip[line >> 3], line & 7, is_high);
    cascade(p);
}

bool pic_pending(const struct pic *p)
{
    return pending_of(&p->chip[0]) >= 0;
}

static int take(struct pic_chip *c)
{
    int line = pending_of(c);
    if (line < 0)
        return -1;
    if (!(c->level >> line & 1))
        c->irr &= (uint8_t) ~(1u << line);
    if (!c->is_auto_eoi)
        c->isr |= (uint8_t)(1u << line);
    return line;
}

uint8_t pic_acknowledge(struct pic *p)
{
    int line = take(&p->chip[0]);
    if (line != (int)CASCADE)
        return (uint8_t)(p->chip[0].base + (line < 0 ? SPURIOUS : (uint32_t)line));
    line = take(&p->chip[1]);
    cascade(p);
    if (pending_of(&p->chip[1]) >= 0) /* the next one is a new edge */
        p->chip[0].irr |= 1u << CASCADE;
    return (uint8_t)(p->chip[1].base + (line < 0 ? SPURIOUS : (uint32_t)line));
}

/* ---- registers ---- */

static void command_eoi(struct pic_chip *c, uint8_t value)
{
    uint32_t what = value >> 5;
    int line = what & 2 ? value & 7 : first_of(c, c->isr);
    if (what & 1 && line >= 0)
        c->isr &= (uint8_t) ~(1u << line);
    if ((what == 5 || what == 7 || what == 6) && line >= 0) /* rotate, or set the priority */
        c->lowest = (uint8_t)line;
}

static void write_command(struct pic_chip *c, uint8_t value)
{
    if (value & ICW1) {
        uint8_t lines = c->lines, level = c->level;
        *c = (struct pic_chip){.lines = lines, .level = level, .lowest = 7, .step = 2, .wants_icw4 = value & ICW1_ICW4};
    } else if (value & OCW3) {
        if (value & OCW3_READ)
            c->reads_isr = value & OCW3_ISR;
        if (value & OCW3_MASK)
            c->is_special_mask = value & OCW3_MASK_ON;
    } else {
        command_eoi(c, value);
    }
}

static void write_data(struct pic_chip *c, uint8_t value)
{
    switch (c->step) {
    case 2:
        c->base = value & 0xf8;
        c->step = 3;
        break;
    case 3: /* where the other chip is: as in every PC */
        c->step = c->wants_icw4 ? 4 : 0;
        c->is_ready = !c->wants_icw4;
        break;
    case 4:
        c->is_auto_eoi = value & ICW4_AUTO;
        c->step = 0;
        c->is_ready = true;
        break;
    default:
        c->imr = value;
    }
}

bool pic_has_port(uint16_t port)
{
    return (port & ~0x81u) == 0x20 || port == 0x4d0 || port == 0x4d1;
}

uint8_t pic_read(const struct pic *p, uint16_t port)
{
    const struct pic_chip *c = &p->chip[port >= 0x4d0 ? port & 1 : port >> 7 & 1];
    if (port >= 0x4d0)
        return c->level;
    return port & 1 ? c->imr : c->reads_isr ? c->isr : c->irr;
}

void pic_write(struct pic *p, uint16_t port, uint8_t value)
{
    struct pic_chip *c = &p->chip[port >= 0x4d0 ? port & 1 : port >> 7 & 1];
    if (port >= 0x4d0)
        c->level = value & (port & 1 ? 0xde : 0xf8); /* lines 0, 1, 2, 8, 13 are edges */
    else if (port & 1)
        write_data(c, value);
    else
        write_command(c, value);
    cascade(p);
}

void pic_init(struct pic *p)
{
    *p = (struct pic){{{.lowest = 7}, {.lowest = 7}}};
}

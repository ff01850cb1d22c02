/* SPDX-License-Identifier: MIT */
#include "sim/guest/ioapic.h"

/* Offsets in its page, and registers behind the window. */
enum { SELECT = 0x00, WINDOW = 0x10, END = 0x40 };
enum { ID = 0, VERSION = 1, ARBITRATION = 2, TABLE = 0x10 };

#define VERSION_BITS ((IOAPIC_LINES - 1) << 16 | 0x20u)
#define ID_BITS      0x0f000000u

/* Of an entry. */
#define VECTOR(e)      ((uint8_t)(e))
#define DELIVERY(e)    ((uint8_t)((e) >> 8 & 7))
#define LOGICAL        (1u << 11)
#define LOW_ACTIVE     (1u << 13)
#define REMOTE_IRR     (1u << 14) /* sent, and not ended yet */
#define LEVEL          (1u << 15)
#define MASKED         (1u << 16)
#define WRITABLE       0xff0000000001afffull
#define DESTINATION(e) ((uint32_t)((e) >> 56))

void ioapic_init(struct ioapic *a, void (*send)(void *, const struct apic_ipi *), void *ctx)
{
    *a = (struct ioapic){.send = send, .ctx = ctx};
    for (uint32_t i = 0; i < IOAPIC_LINES; i++)
        a->entry[i] = MASKED;
}

static bool is_active(const struct ioapic *a, uint32_t line)
{
    return (a->lines >> line & 1) != ((a->entry[line] & LOW_ACTIVE) != 0);
}

static void send(struct ioapic *a, uint32_t line)
{
    uint64_t e = a->entry[line];
    bool is_level = e & LEVEL && (DELIVERY(e) == APIC_FIXED || DELIVERY(e) == APIC_LOWEST);
    struct apic_ipi ipi = {.vector = VECTOR(e),
                           .delivery = DELIVERY(e),
                           .shorthand = APIC_NO_SHORTHAND,
                           .is_logical = e & LOGICAL,
                           .is_level = is_level,
                           .to = DESTINATION(e)};
    if (is_level)
        a->entry[line] |= REMOTE_IRR;
    a->send(a->ctx, &ipi);
}

/* A level-triggered line that is active, and of which nobody has been told. */
static void look(struct ioapic *a, uint32_t line)
{
    uint64_t e = a->entry[line];
    if (e & LEVEL && !(e & (MASKED | REMOTE_IRR)) && is_active(a, line))
        send(a, line);
}

void ioapic_set(struct ioapic *a, uint32_t line, bool is_high)
{
    bool was_active = is_active(a, line);
    a->lines = (a->lines & ~(1u << line)) | (uint32_t)is_high << line;
    if (a->entry[line] & LEVEL)
        look(a, line);
    else if (is_active(a, line) && !was_active && !(a->entry[line] & MASKED)) /* masked edges are lost */
        send(a, line);
}

void ioapic_end(struct ioapic *a, uint8_t vector)
{
    for (uint32_t i = 0; i < IOAPIC_LINES; i++)
        if (a->entry[i] & REMOTE_IRR && VECTOR(a->entry[i]) == vector) {
            a->entry[i] &= ~(uint64_t)REMOTE_IRR;
            look(a, i);
        }
}

uint32_t ioapic_read(const struct ioapic *a, uint32_t offset)
{
    uint32_t line = (a->select - TABLE) / 2;
    if (offset == SELECT)
        return a->select;
    if (offset != WINDOW)
        return 0;
    if (a->select == ID || a->select == ARBITRATION)
        return a->id;
    if (a->select == VERSION)
        return VERSION_BITS;
    if (a->select < TABLE || line >= IOAPIC_LINES)
        return 0;
    return (uint32_t)(a->entry[line] >> 32 * (a->select & 1));
}

static void write_entry(struct ioapic *a, uint32_t line, bool is_upper, uint32_t value)
{
    uint64_t mask = (is_upper ? 0xffffffff00000000ull : 0xffffffffull) & WRITABLE;
    a->entry[line] = (a->entry[line] & ~mask) | ((is_upper ? (uint64_t)value << 32 : value) & mask);
    if (!(a->entry[line] & LEVEL)) /* an edge is not ended: software clears a stuck one so */
        a->entry[line] &= ~(uint64_t)REMOTE_IRR;
    look(a, line);
}

void ioapic_write(struct ioapic *a, uint32_t offset, uint32_t value)
{
    uint32_t line = (a->select - TABLE) / 2;
    if (offset == SELECT)
        a->select = value & 0xff;
    else if (offset == END)
        ioapic_end(a, (uint8_t)value);
    else if (offset == WINDOW && a->select == ID)
        a->id = value & ID_BITS;
    else if (offset == WINDOW && a->select >= TABLE && line < IOAPIC_LINES)
        write_entry(a, line, a->select & 1, value);
}

/* SPDX-License-Identifier: MIT */
/* The two 8259A interrupt controllers of a PC (Intel 231468, 8259A data sheet): the second on line 2 of the first.
 * Lines are edge-triggered, or level-triggered where the edge/level registers say so. Without buffered, polled and
 * special fully nested mode, and without the 8080's. */
#ifndef QUIRE_GUEST_PIC_H
#define QUIRE_GUEST_PIC_H

#include <stdbool.h>
#include <stdint.h>

struct pic_chip {
    uint8_t irr, isr, imr, lines, level; /* by line; level: level-triggered */
    uint8_t base;                        /* vector of line 0 */
    uint8_t lowest;                      /* line with the lowest priority */
    uint8_t step;                        /* which initialisation word comes next: 2, 3, 4; 0: none */
    bool wants_icw4, is_auto_eoi, reads_isr, is_special_mask, is_ready;
};
struct pic {
    struct pic_chip chip[2];
};

void pic_init(struct pic *p);
/* Ports 20, 21, a0, a1, 4d0, 4d1. */
bool pic_has_port(uint16_t port);
uint8_t pic_read(const struct pic *p, uint16_t port);
void pic_write(struct pic *p, uint16_t port, uint8_t value);
/* Line 0..15 (not 2) is high or low. */
void pic_set(struct pic *p, uint32_t line, bool is_high);
/* INTR: something waits that may interrupt. */
bool pic_pending(const struct pic *p);
/* INTA: the vector; that of line 7 if nothing waits any more. */
uint8_t pic_acknowledge(struct pic *p);

#endif

/* SPDX-License-Identifier: MIT */
/* An I/O APIC (Intel 290566, 82093AA data sheet; the EOI register is that of later ones, version 20): 24 lines to
 * interrupts of local APICs. Edge- and level-triggered. ExtINT and SMI are not delivered. */
#ifndef QUIRE_GUEST_IOAPIC_H
#define QUIRE_GUEST_IOAPIC_H

#include "sim/guest/apic.h"

#define IOAPIC_GPA   0xfec00000ull
#define IOAPIC_LINES 24u

struct ioapic {
    uint32_t id, select;
    uint32_t lines; /* which of them are high */
    uint64_t entry[IOAPIC_LINES];
    void (*send)(void *ctx, const struct apic_ipi *ipi);
    void *ctx; /* the owner's */
};

void ioapic_init(struct ioapic *a, void (*send)(void *, const struct apic_ipi *), void *ctx);
/* Registers in the page at IOAPIC_GPA. */
uint32_t ioapic_read(const struct ioapic *a, uint32_t offset);
void ioapic_write(struct ioapic *a, uint32_t offset, uint32_t value);
void ioapic_set(struct ioapic *a, uint32_t line, bool is_high);
/* A local APIC has ended a level-triggered interrupt of that vector. */
void ioapic_end(struct ioapic *a, uint8_t vector);

#endif

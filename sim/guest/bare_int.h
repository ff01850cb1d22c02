/* SPDX-License-Identifier: MIT */
/* Inside a bare machine: what the loader, the bus and the scheduler share. */
#ifndef QUIRE_GUEST_BARE_INT_H
#define QUIRE_GUEST_BARE_INT_H

#include "sim/guest/apic.h"
#include "sim/guest/bare.h"
#include "sim/guest/exec_int.h"
#include "sim/guest/ioapic.h"
#include "sim/guest/pic.h"
#include "sim/guest/uart.h"

#define BARE_CLOCK_PORT 0x70u
#define BARE_UART_LINE  4u /* COM1's, in every PC */

enum bare_state { BARE_RUNS, BARE_HALTS, BARE_WAITS_START };

#define BARE_SLOTS   256u       /* address-space tags of a VM */
#define BARE_NOWHERE UINT64_MAX /* no page */

struct bare_cpu {
    struct apic apic;
    enum bare_state state;
    bool is_init; /* INIT has come while it was running */
    /* Translations. */
    bool is_moved; /* the space is to be set anew */
    uint32_t slot; /* of its PCID: the low byte */
    uint16_t pcid[BARE_SLOTS];
    bool is_used[BARE_SLOTS];
    /* The last access was to a device: at which address. */
    bool is_device;
    uint64_t device_gpa;
    uint64_t device_page; /* page() has found one at that page, and load() or store() follows */
};

struct bare {
    struct exec *x;
    struct elf *image;
    uint64_t ram_bytes;
    struct bare_cpu *cpu; /* one a vCPU */
    struct uart uart;
    struct pic pic; /* to vCPU 0, by LINT0 of its APIC */
    struct ioapic ioapic;
    struct exec_cpu *acting; /* by whose doing a line changes */
    uint8_t clock_index;
    char line[4096]; /* of the console, not yet written */
    uint32_t n_line;
};

static inline struct bare_cpu *bare_cpu_of(const struct exec_cpu *c)
{
    return &c->x->bare->cpu[c->v->index];
}

/* bare_bus.c */
struct apic_clock bare_clock(const struct exec_cpu *c);
/* c leaves the guest for the hypervisor's kernel and comes back. */
void bare_leave(struct exec_cpu *c);
/* The processor's interrupt line follows its APIC. */
void bare_update(struct exec_cpu *c);

/* bare_run.c */
/* An interrupt command of vCPU c's APIC. */
void bare_send(void *c, const struct apic_ipi *ipi);
/* Of b's I/O APIC, by the doing of b->acting; and the end of one, at vCPU c's APIC. */
void bare_send_line(void *b, const struct apic_ipi *ipi);
void bare_ended(void *c, uint8_t vector);
/* Interrupt lines may have changed, by what c does: vCPU 0 may have something to take. */
void bare_lines(struct exec_cpu *c);
/* Ends the run. */
void bare_end(struct bare *b, int32_t status);

/* bare.c */
int bare_load(struct bare *b, struct vcpu *v, struct diag *d);
void bare_flush_console(struct bare *b);
void bare_put(void *b, char c);
/* Guest-physical address of gva by the guest's tables as they are. -1: not mapped. */
int bare_translate(const struct exec_cpu *c, uint64_t gva, uint64_t *gpa);

#endif

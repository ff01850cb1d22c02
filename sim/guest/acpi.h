/* SPDX-License-Identifier: MIT */
/* The ACPI tables of a bare machine (ACPI 6.4): RSDP, XSDT, FADT (hardware-reduced: there are no fixed PM registers),
 * MADT, DSDT, and NFIT where there is persistent memory. Without a FACS, which such hardware need not have. */
#ifndef QUIRE_GUEST_ACPI_H
#define QUIRE_GUEST_ACPI_H

#include <stdint.h>

#define ACPI_MAX_REGIONS 8u

/* Ports that the tables name: the reset register, and writing value to it; sleep control and status. */
#define ACPI_RESET_PORT  0xcf9u
#define ACPI_RESET_VALUE 6u
#define ACPI_SLEEP_PORT  0x600u
#define ACPI_STATUS_PORT 0x601u
/* What goes into sleep control: SLP_EN with the type of S5, as the DSDT's _S5 has it (4.8.3.7). */
#define ACPI_SLEEP_ENABLE  0x20u
#define ACPI_S5            5u
#define ACPI_SLEEP_TYPE(v) ((v) >> 2 & 7u)

struct acpi_conf {
    uint32_t n_cpus; /* local APIC ids from 0; at most 255 */
    uint32_t apic_gpa, io_apic_gpa;
    uint16_t uart_port;
    uint32_t uart_line;
    uint16_t clock_port;
    uint32_t n_regions; /* persistent; at most ACPI_MAX_REGIONS */
    struct {
        uint64_t gpa, bytes;
        uint64_t hint_gpa; /* of its flush hint; 0: it has none */
    } region[ACPI_MAX_REGIONS];
};

/* The tables for gpa on, the RSDP first; gpa is a multiple of 64, below 4 GiB. Allocated: free() it. */
uint8_t *acpi_build(const struct acpi_conf *conf, uint64_t gpa, uint32_t *n_bytes);

#endif

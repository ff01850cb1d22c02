/* SPDX-License-Identifier: MIT */
#include "sim/guest/acpi.h"

#include "sim/base/diag.h"
#include "sim/base/types.h"
#include "sim/nvdimm/nfit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN        64u
#define RSDP_BYTES   36u
#define HEADER_BYTES 36u
#define FADT_BYTES   276u

/* ---- bytes ---- */

struct buf {
    uint8_t *bytes;
    uint32_t n, cap;
};

static void put(struct buf *b, uint64_t value, uint32_t n)
{
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n);
        b->bytes = xrealloc(b->bytes, b->cap);
    }
    for (uint32_t i = 0; i < n; i++)
        b->bytes[b->n++] = (uint8_t)(value >> 8 * i);
}

static void put_bytes(struct buf *b, const void *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        put(b, ((const uint8_t *)bytes)[i], 1);
}

static void put_at(struct buf *b, uint32_t at, uint64_t value, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        b->bytes[at + i] = (uint8_t)(value >> 8 * i);
}

static void align(struct buf *b)
{
    while (b->n % ALIGN)
        put(b, 0, 1);
}

static uint8_t checksum(const uint8_t *bytes, uint32_t n)
{
    uint8_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)-sum;
}

/* ---- tables (5.2.6) ---- */

static uint32_t begin_table(struct buf *b, const char *signature, uint8_t revision)
{
    align(b);
    uint32_t at = b->n;
    put_bytes(b, signature, 4);
    put(b, 0, 4); /* length */
    put(b, revision, 1);
    put(b, 0, 1); /* checksum */
    put_bytes(b, "QUIRE MACHINE ", 14);
    put(b, 1, 4);
    put_bytes(b, "QUIR", 4);
    put(b, 1, 4);
    CHECK(b->n - at == HEADER_BYTES);
    return at;
}

static void end_table(struct buf *b, uint32_t at)
{
    put_at(b, at + 4, b->n - at, 4);
    put_at(b, at + 9, checksum(b->bytes + at, b->n - at), 1);
}

/* ---- AML (chapter 20) ---- */

enum {
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_DWORD = 0x0c,
    AML_STRING = 0x0d,
    AML_SCOPE = 0x10,
    AML_BUFFER = 0x11,
    AML_PACKAGE = 0x12,
    AML_EXT = 0x5b,
    AML_DEVICE = 0x82
};

/* A package whose length is not known yet: three bytes are kept for it (20.2.4). */
static uint32_t begin_package(struct buf *b)
{
    put(b, 0, 3);
    return b->n - 3;
}

static void end_package(struct buf *b, uint32_t at)
{
    uint32_t n = b->n - at;
    CHECK(n < 1u << 20);
    put_at(b, at, 2u << 6 | (n & 0xf), 1);
    put_at(b, at + 1, n >> 4, 2);
}

static void put_name(struct buf *b, const char *name)
{
    put(b, AML_NAME, 1);
    put_bytes(b, name, (uint32_t)strlen(name));
}

static void put_number(struct buf *b, const char *name, uint32_t value)
{
    put_name(b, name);
    put(b, AML_DWORD, 1);
    put(b, value, 4);
}

static void put_string(struct buf *b, const char *name, const char *text)
{
    put_name(b, name);
    put(b, AML_STRING, 1);
    put_bytes(b, text, (uint32_t)strlen(text) + 1);
}

static uint32_t begin_device(struct buf *b, const char *name)
{
    put(b, AML_EXT, 1);
    put(b, AML_DEVICE, 1);
    uint32_t at = begin_package(b);
    put_bytes(b, name, 4);
    return at;
}

/* The compressed id of a PNP device: three letters of five bits, four digits, big end first (19.3.4). */
static uint32_t pnp_id(uint32_t number)
{
    uint32_t id = ('P' - '@') << 26 | ('N' - '@') << 21 | ('P' - '@') << 16 | number;
    return __builtin_bswap32(id);
}

/* A device on the ISA bus with `ports` ports from port on, and an interrupt line, or none (resources: 6.4.2). */
struct isa_device {
    const char *name;
    uint32_t pnp; /* PNPxxxx */
    uint16_t port, ports;
    uint16_t lines; /* a bit each */
};

static void put_isa_device(struct buf *b, const struct isa_device *d)
{
    const uint8_t lo = (uint8_t)d->port, hi = (uint8_t)(d->port >> 8);
    const uint8_t io[] = {0x47, 1 /* 16-bit decode */, lo, hi, lo, hi, 1, (uint8_t)d->ports},
                  irq[] = {0x22, (uint8_t)d->lines, (uint8_t)(d->lines >> 8)}, end[] = {0x79, 0};
    uint32_t at = begin_device(b, d->name), n_irq = d->lines ? sizeof irq : 0;
    put_number(b, "_HID", pnp_id(d->pnp));
    put_number(b, "_UID", 1);
    put_name(b, "_CRS");
    put(b, AML_BUFFER, 1);
    uint32_t buffer = begin_package(b);
    put(b, AML_BYTE, 1);
    put(b, sizeof io + n_irq + sizeof end, 1);
    put_bytes(b, io, sizeof io);
    put_bytes(b, irq, n_irq);
    put_bytes(b, end, sizeof end);
    end_package(b, buffer);
    end_package(b, at);
}

static void put_cpu(struct buf *b, uint32_t i)
{
    char name[8];
    snprintf(name, sizeof name, "C%03X", i & 0xfff);
    uint32_t at = begin_device(b, name);
    put_string(b, "_HID", "ACPI0007");
    put_number(b, "_UID", i);
    end_package(b, at);
}

static uint32_t handle_of(uint32_t region)
{
    return nfit_handle((struct nfit_place){.slot = region});
}

/* The root of the modules, and each module below it by its handle (9.19). */
static void put_modules(struct buf *b, const struct acpi_conf *conf)
{
    char name[8];
    uint32_t at = begin_device(b, "NVDR");
    put_string(b, "_HID", "ACPI0012");
    for (uint32_t i = 0; i < conf->n_regions; i++) {
        snprintf(name, sizeof name, "NVD%X", i & 0xf);
        uint32_t module = begin_device(b, name);
        put_number(b, "_ADR", handle_of(i));
        end_package(b, module);
    }
    end_package(b, at);
}

static uint32_t put_dsdt(struct buf *b, const struct acpi_conf *conf)
{
    uint32_t at = begin_table(b, "DSDT", 2);
    put_name(b, "\\_S5_");
    put(b, AML_PACKAGE, 1);
    uint32_t package = begin_package(b);
    put(b, 4, 1); /* elements */
    put(b, AML_BYTE, 1);
    put(b, ACPI_S5, 1);
    put(b, 0, 3); /* zeros */
    end_package(b, package);
    put(b, AML_SCOPE, 1);
    uint32_t scope = begin_package(b);
    put_bytes(b, "\\_SB_", 5);
    put_isa_device(b, &(struct isa_device){"COM1", 0x0501, conf->uart_port, 8, (uint16_t)(1u << conf->uart_line)});
    put_isa_device(b, &(struct isa_device){"RTC_", 0x0b00, conf->clock_port, 2, 0});
    for (uint32_t i = 0; i < conf->n_cpus; i++)
        put_cpu(b, i);
    if (conf->n_regions)
        put_modules(b, conf);
    end_package(b, scope);
    end_table(b, at);
    return at;
}

/* ---- FADT (5.2.9) ---- */

enum {
    FADT_DSDT = 40,
    FADT_PROFILE = 45,
    FADT_P_LVL2_LAT = 96,
    FADT_P_LVL3_LAT = 98,
    FADT_CENTURY = 108,
    FADT_BOOT_ARCH = 109,
    FADT_FLAGS = 112,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_X_DSDT = 140,
    FADT_SLEEP_CONTROL = 244,
    FADT_SLEEP_STATUS = 256
};
#define PROFILE_SERVER 4u
#define NO_C2          101u  /* above 100: there is no C2 state */
#define NO_C3          1001u /* above 1000 */
#define CENTURY_INDEX  0x32u
#define BOOT_NO_VGA    (1u << 2)
#define FLAGS                                                                                                          \
    (1u << 0 | 1u << 2 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 10 | 1u << 12 |                                           \
     1u << 20) /* WBINVD, PROC_C1, no fixed power and sleep buttons, no wake by RTC, RESET_REG_SUP, HEADLESS,          \
                  HW_REDUCED_ACPI */

/* A register of one byte in port space (5.2.3.2). */
static void put_port(struct buf *b, uint32_t at, uint32_t port)
{
    const uint8_t how[] = {1 /* system I/O */, 8 /* bits */, 0, 1 /* access by byte */};
    memcpy(b->bytes + at, how, sizeof how);
    put_at(b, at + sizeof how, port, 8);
}

static uint32_t put_fadt(struct buf *b, uint64_t dsdt_gpa)
{
    uint32_t at = begin_table(b, "FACP", 6);
    while (b->n - at < FADT_BYTES)
        put(b, 0, 1);
    put_at(b, at + FADT_DSDT, dsdt_gpa, 4);
    put_at(b, at + FADT_X_DSDT, dsdt_gpa, 8);
    put_at(b, at + FADT_PROFILE, PROFILE_SERVER, 1);
    put_at(b, at + FADT_P_LVL2_LAT, NO_C2, 2);
    put_at(b, at + FADT_P_LVL3_LAT, NO_C3, 2);
    put_at(b, at + FADT_CENTURY, CENTURY_INDEX, 1);
    put_at(b, at + FADT_BOOT_ARCH, BOOT_NO_VGA, 2);
    put_at(b, at + FADT_FLAGS, FLAGS, 4);
    put_port(b, at + FADT_RESET_REG, ACPI_RESET_PORT);
    put_at(b, at + FADT_RESET_VALUE, ACPI_RESET_VALUE, 1);
    put_port(b, at + FADT_SLEEP_CONTROL, ACPI_SLEEP_PORT);
    put_port(b, at + FADT_SLEEP_STATUS, ACPI_STATUS_PORT);
    end_table(b, at);
    return at;
}

/* ---- MADT (5.2.12), NFIT ---- */

enum { MADT_LOCAL_APIC = 0, MADT_IO_APIC = 1, MADT_LOCAL_NMI = 4 };
#define MADT_HAS_8259 1u
#define CPU_ENABLED   1u
#define ALL_CPUS      0xffu

static uint32_t put_madt(struct buf *b, const struct acpi_conf *conf)
{
    uint32_t at = begin_table(b, "APIC", 5);
    put(b, conf->apic_gpa, 4);
    put(b, MADT_HAS_8259, 4);
    for (uint32_t i = 0; i < conf->n_cpus; i++) {
        put(b, MADT_LOCAL_APIC, 1);
        put(b, 8, 1);
        put(b, i, 1);
        put(b, i, 1);
        put(b, CPU_ENABLED, 4);
    }
    put(b, MADT_IO_APIC, 1);
    put(b, 12, 1);
    put(b, 0, 2); /* its id, reserved */
    put(b, conf->io_apic_gpa, 4);
    put(b, 0, 4); /* its first global interrupt */
    put(b, MADT_LOCAL_NMI, 1);
    put(b, 6, 1);
    put(b, ALL_CPUS, 1);
    put(b, 0, 2); /* polarity and trigger as the bus has them */
    put(b, 1, 1); /* LINT1 */
    end_table(b, at);
    return at;
}

/* One module a region. What reaches the controller's queue is saved, or is flushed by the hint. */
static uint32_t put_nfit(struct buf *b, const struct acpi_conf *conf)
{
    struct nfit t;
    align(b);
    uint32_t at = b->n;
    nfit_init(&t, "MACHINE");
    for (uint32_t i = 0; i < conf->n_regions; i++) {
        uint16_t number = (uint16_t)(i + 1);
        nfit_add_range(
            &t, &(struct nfit_range){.index = number, .base = conf->region[i].gpa, .bytes = conf->region[i].bytes});
        nfit_add_region(&t, &(struct nfit_region){.handle = handle_of(i),
                                                  .physical_id = number,
                                                  .range = number,
                                                  .control = number,
                                                  .ways = 1,
                                                  .bytes = conf->region[i].bytes});
        nfit_add_control(&t, number, NFIT_PERSISTENT, number);
        if (conf->region[i].hint_gpa)
            nfit_add_hint(&t, handle_of(i), conf->region[i].hint_gpa);
    }
    nfit_add_capabilities(&t, NFIT_SAVES_QUEUES);
    nfit_finish(&t);
    put_bytes(b, t.bytes, t.n);
    nfit_fini(&t);
    return at;
}

/* ---- the root ---- */

static void put_rsdp(struct buf *b, uint64_t xsdt_gpa)
{
    memcpy(b->bytes, "RSD PTR \0QUIRE ", 15);
    put_at(b, 15, 2, 1); /* revision; no RSDT */
    put_at(b, 20, RSDP_BYTES, 4);
    put_at(b, 24, xsdt_gpa, 8);
    put_at(b, 8, checksum(b->bytes, 20), 1);
    put_at(b, 32, checksum(b->bytes, RSDP_BYTES), 1);
}

uint8_t *acpi_build(const struct acpi_conf *conf, uint64_t gpa, uint32_t *n_bytes)
{
    struct buf b = {0};
    uint32_t table[3], n = 0;
    CHECK(gpa % ALIGN == 0 && conf->n_cpus <= 255 && conf->n_regions <= ACPI_MAX_REGIONS);
    while (b.n < RSDP_BYTES)
        put(&b, 0, 1);
    uint32_t dsdt = put_dsdt(&b, conf);
    table[n++] = put_fadt(&b, gpa + dsdt);
    table[n++] = put_madt(&b, conf);
    if (conf->n_regions)
        table[n++] = put_nfit(&b, conf);
    uint32_t xsdt = begin_table(&b, "XSDT", 1);
    for (uint32_t i = 0; i < n; i++)
        put(&b, gpa + table[i], 8);
    end_table(&b, xsdt);
    put_rsdp(&b, gpa + xsdt);
    *n_bytes = b.n;
    return b.bytes;
}

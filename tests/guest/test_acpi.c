/* SPDX-License-Identifier: MIT */
/* ACPI tables: sums, lengths and pointers for all numbers of processors. The I/O APIC beside a model of its lines. */
#include "sim/base/rng.h"
#include "sim/guest/acpi.h"
#include "sim/guest/ioapic.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define BASE 0xe0000u

static uint8_t sum_of(const uint8_t *p, uint32_t n)
{
    uint8_t sum = 0;
    while (n--)
        sum = (uint8_t)(sum + *p++);
    return sum;
}

static uint64_t load(const uint8_t *p, uint32_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

/* The table at gpa, which has to lie inside and to be sound. */
static const uint8_t *table_at(const uint8_t *all, uint32_t n, uint64_t gpa)
{
    cr_assert(gpa >= BASE && gpa % 4 == 0 && gpa - BASE + 36 <= n);
    const uint8_t *t = all + (gpa - BASE);
    uint64_t bytes = load(t + 4, 4);
    cr_assert(bytes <= n - (gpa - BASE) && sum_of(t, (uint32_t)bytes) == 0, "%.4s", (const char *)t);
    return t;
}

static uint32_t count_entries(const uint8_t *madt, uint32_t kind)
{
    uint32_t n = 0, bytes = (uint32_t)load(madt + 4, 4), at = 44;
    for (; at < bytes; at += madt[at + 1]) {
        cr_assert_geq(madt[at + 1], 2);
        n += madt[at] == kind;
    }
    cr_assert_eq(at, bytes);
    return n;
}

Test(acpi, tables)
{
    for (uint32_t cpus = 1; cpus <= 255; cpus++) {
        struct acpi_conf conf = {.n_cpus = cpus,
                                 .apic_gpa = 0xfee00000,
                                 .io_apic_gpa = 0xfec00000,
                                 .uart_port = 0x3f8,
                                 .uart_line = 4,
                                 .clock_port = 0x70,
                                 .n_regions = cpus % (ACPI_MAX_REGIONS + 1)};
        for (uint32_t i = 0; i < conf.n_regions; i++) {
            conf.region[i].gpa = (i + 1ull) << 32;
            conf.region[i].bytes = 1 << 21;
            conf.region[i].hint_gpa = i & 1 ? ((i + 1ull) << 32) + (1 << 21) : 0;
        }
        uint32_t n;
        uint8_t *all = acpi_build(&conf, BASE, &n);
        cr_assert(memcmp(all, "RSD PTR ", 8) == 0 && sum_of(all, 20) == 0 && sum_of(all, 36) == 0);
        const uint8_t *xsdt = table_at(all, n, load(all + 24, 8));
        uint32_t entries = ((uint32_t)load(xsdt + 4, 4) - 36) / 8;
        cr_assert_eq(entries, conf.n_regions ? 3 : 2);
        const uint8_t *fadt = table_at(all, n, load(xsdt + 36, 8)), *madt = table_at(all, n, load(xsdt + 44, 8));
        cr_assert(memcmp(fadt, "FACP", 4) == 0 && load(fadt + 4, 4) == 276 &&
                  load(fadt + 140, 8) == load(fadt + 40, 4));
        cr_assert(memcmp(table_at(all, n, load(fadt + 140, 8)), "DSDT", 4) == 0);
        cr_assert(memcmp(madt, "APIC", 4) == 0 && count_entries(madt, 0) == cpus && count_entries(madt, 1) == 1);
        if (conf.n_regions)
            cr_assert(memcmp(table_at(all, n, load(xsdt + 52, 8)), "NFIT", 4) == 0);
        free(all);
    }
}

/* ---- the I/O APIC ---- */

static struct apic_ipi sent[64];
static uint32_t n_sent;
static void on_send(void *ctx, const struct apic_ipi *ipi)
{
    (void)ctx;
    sent[n_sent++ % 64] = *ipi;
}

struct line {
    bool is_high, is_low_active, is_level, is_masked, is_waiting;
    uint8_t vector, to;
};

static bool is_active(const struct line *l)
{
    return l->is_high != l->is_low_active;
}

/* What the model sends. True: it does. */
static bool tell(struct line *l, bool is_edge)
{
    if (l->is_masked || !is_active(l) || (l->is_level ? l->is_waiting : !is_edge))
        return false;
    l->is_waiting = l->is_level;
    return true;
}

static void write_entry(struct ioapic *a, uint32_t i, const struct line *l)
{
    ioapic_write(a, 0, 0x11 + 2 * i);
    ioapic_write(a, 0x10, (uint32_t)l->to << 24);
    ioapic_write(a, 0, 0x10 + 2 * i);
    ioapic_write(a, 0x10,
                 l->vector | (uint32_t)l->is_low_active << 13 | (uint32_t)l->is_level << 15 |
                     (uint32_t)l->is_masked << 16);
}

/* As many as the model has sent, from the first on, each with a line's vector and destination. */
static void expect(const struct line *const *want, uint32_t n)
{
    cr_assert_eq(n_sent, n, "%u interrupts, expected %u", n_sent, n);
    for (uint32_t i = 0; i < n; i++)
        cr_assert(sent[i].vector == want[i]->vector && sent[i].to == want[i]->to &&
                  sent[i].is_level == want[i]->is_level && sent[i].delivery == APIC_FIXED && !sent[i].is_logical);
    n_sent = 0;
}

static void one_step(struct ioapic *a, struct line *line, struct rng *r)
{
    const struct line *want[IOAPIC_LINES];
    uint32_t i = (uint32_t)rng_below(r, IOAPIC_LINES), n = 0;
    struct line *l = &line[i];
    bool was_active = is_active(l);
    switch (rng_below(r, 4)) {
    case 0: /* masked first, as software does */
        l->is_masked = true;
        write_entry(a, i, l);
        l->is_level = rng_below(r, 2);
        l->is_low_active = rng_below(r, 2);
        l->vector = (uint8_t)(32 + i % 5);
        l->to = (uint8_t)rng_below(r, 256);
        l->is_waiting &= l->is_level;
        write_entry(a, i, l);
        l->is_masked = rng_below(r, 2);
        write_entry(a, i, l);
        if (tell(l, false))
            want[n++] = l;
        break;
    case 1:
    case 2:
        l->is_high = rng_below(r, 2);
        ioapic_set(a, i, l->is_high);
        if (tell(l, !was_active))
            want[n++] = l;
        break;
    default:
        ioapic_end(a, (uint8_t)(32 + i % 5));
        for (uint32_t k = 0; k < IOAPIC_LINES; k++)
            if (line[k].vector == 32 + i % 5 && line[k].is_waiting) {
                line[k].is_waiting = false;
                if (tell(&line[k], false))
                    want[n++] = &line[k];
            }
    }
    expect(want, n);
}

Test(ioapic, model)
{
    struct ioapic a;
    struct rng r;
    struct line line[IOAPIC_LINES];
    rng_init(&r, 1, "ioapic");
    ioapic_init(&a, on_send, NULL);
    for (uint32_t i = 0; i < IOAPIC_LINES; i++)
        line[i] = (struct line){.is_masked = true, .vector = (uint8_t)(32 + i % 5)};
    for (uint32_t i = 0; i < 200000; i++)
        one_step(&a, line, &r);
    for (uint32_t i = 0; i < IOAPIC_LINES; i++) {
        ioapic_write(&a, 0, 0x10 + 2 * i);
        cr_assert_eq(ioapic_read(&a, 0x10) >> 14 & 1, line[i].is_waiting);
    }
}

Test(ioapic, registers)
{
    struct ioapic a;
    ioapic_init(&a, on_send, NULL);
    ioapic_write(&a, 0, 1);
    cr_assert(ioapic_read(&a, 0) == 1 && ioapic_read(&a, 0x10) == 0x170020);
    ioapic_write(&a, 0x10, 0xffffffff);
    cr_assert_eq(ioapic_read(&a, 0x10), 0x170020, "the version stays");
    ioapic_write(&a, 0, 0);
    ioapic_write(&a, 0x10, 0xffffffff);
    cr_assert_eq(ioapic_read(&a, 0x10), 0x0f000000);
    ioapic_write(&a, 0, 0x3f);
    ioapic_write(&a, 0x10, 0xffffffff);
    cr_assert_eq(ioapic_read(&a, 0x10), 0xff000000);
    ioapic_write(&a, 0, 0x3e);
    ioapic_write(&a, 0x10, 0xfffeffff);
    cr_assert_eq(ioapic_read(&a, 0x10), 0xafff, "low-active, level, not delivered yet; status bits stay 0");
    ioapic_write(&a, 0, 0x40);
    cr_assert_eq(ioapic_read(&a, 0x10), 0);
    ioapic_write(&a, 0x10, 1);
}

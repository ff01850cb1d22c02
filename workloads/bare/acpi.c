/* SPDX-License-Identifier: MIT */
/* Shows the ACPI tables and the I/O APIC: sums and lengths of the tables, processors and controllers as the MADT has
 * them, and the serial port's line to every processor in turn, edge- and level-triggered. With `dump` the tables are
 * printed as acpidump does, for iasl. */
#include "rt/bare.h"

/* Headers (ACPI 6.4, 5.2.5 and 5.2.6). */
struct root {
    char signature[8];
    uint8_t sum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt, bytes;
    uint64_t xsdt;
    uint8_t sum_all, reserved[3];
} __attribute__((packed));
struct table {
    char signature[4];
    uint32_t bytes;
    uint8_t revision, sum;
    char oem[6], oem_table[8];
    uint32_t oem_revision, maker, maker_revision;
} __attribute__((packed));

static const struct table *table_at(uint64_t gpa)
{
    return (const void *)gpa;
}

static uint8_t sum_of(const void *p, uint32_t n)
{
    uint8_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += ((const uint8_t *)p)[i];
    return sum;
}

static uint64_t load(const void *p, uint32_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

static const struct root *root(void)
{
    return (const void *)acpi_root;
}

/* Table i of the root table; NULL behind the last. */
static const struct table *table(uint32_t i)
{
    bool is_x = root()->revision >= 2;
    uint32_t entry = is_x ? 8 : 4;
    const struct table *all = table_at(is_x ? root()->xsdt : root()->rsdt);
    if (sizeof *all + (i + 1) * entry > all->bytes)
        return NULL;
    return table_at(load((const uint8_t *)(all + 1) + i * entry, entry));
}

static const struct table *find(const char *signature)
{
    const struct table *t;
    for (uint32_t i = 0; (t = table(i)); i++)
        if (memcmp(t->signature, signature, 4) == 0)
            return t;
    return NULL;
}

static const struct table *dsdt(void)
{
    const uint8_t *fadt = (const void *)find("FACP");
    EXPECT(fadt);
    uint64_t x = table_at((uintptr_t)fadt)->bytes >= 148 ? load(fadt + 140, 8) : 0;
    return table_at(x ? x : load(fadt + 40, 4));
}

static void dump(const struct table *t)
{
    print("%c%c%c%c @ 0x%016lx\n", t->signature[0], t->signature[1], t->signature[2], t->signature[3], (uintptr_t)t);
    for (uint32_t i = 0; i < t->bytes; i += 16) {
        print("    %04x:", i);
        for (uint32_t k = i; k < i + 16 && k < t->bytes; k++)
            print(" %02x", ((const uint8_t *)t)[k]);
        print("\n");
    }
    print("\n");
}

static void check_tables(void)
{
    const struct table *t;
    EXPECT(memcmp(root()->signature, "RSD PTR ", 8) == 0);
    EXPECT(sum_of(root(), 20) == 0);
    EXPECT(root()->revision < 2 || sum_of(root(), root()->bytes) == 0);
    for (uint32_t i = 0; (t = table(i)); i++)
        EXPECT(sum_of(t, t->bytes) == 0);
    EXPECT(memcmp(dsdt()->signature, "DSDT", 4) == 0 && sum_of(dsdt(), dsdt()->bytes) == 0);
}

/* ---- MADT (5.2.12) ---- */

static volatile uint32_t *io_apic;

static void read_madt(void)
{
    const struct table *t = find("APIC");
    uint32_t n_usable = 0, n_io = 0;
    EXPECT(t);
    for (const uint8_t *p = (const uint8_t *)(t + 1) + 8; p < (const uint8_t *)t + t->bytes; p += p[1]) {
        EXPECT(p[1] >= 2);
        n_usable += p[0] == 0 && p[4] & 1;
        if (p[0] == 1 && n_io++ == 0)
            io_apic = (volatile uint32_t *)load(p + 4, 4);
    }
    print("processors: %u\n", n_usable);
    EXPECT(io_apic);
    print("local APICs at %lx, I/O APIC at %lx\n", load(t + 1, 4), (uintptr_t)io_apic);
}

/* ---- the I/O APIC ---- */

#define LINE      4u /* COM1's */
#define VECTOR    0x71u
#define IO_LEVEL  0x8000u
#define IO_MASKED 0x10000u

static uint32_t io_read(uint32_t index)
{
    io_apic[0] = index;
    return io_apic[4];
}

static void io_write(uint32_t index, uint32_t value)
{
    io_apic[0] = index;
    io_apic[4] = value;
}

static void route(uint32_t to, uint32_t flags)
{
    io_write(0x10 + 2 * LINE, IO_MASKED);
    io_write(0x11 + 2 * LINE, to << 24);
    io_write(0x10 + 2 * LINE, VECTOR | flags);
}

/* ---- the serial port's "ready to send" ---- */

#define COM1      0x3f8u
#define IER_THRE  2u
#define MCR_LINES 0xbu
#define IIR_NONE  1u

static volatile uint32_t n_taken[MAX_CPUS], n_kept;
static volatile uint32_t ids[MAX_CPUS];
static volatile bool is_over;

/* Of n_kept interrupts the reason stays: a level that is still there comes again. */
static void on_uart(struct trap *t)
{
    (void)t;
    n_taken[this_cpu()->index]++;
    if (n_kept)
        n_kept--;
    else
        in8(COM1 + 2);
    apic_eoi();
}

static uint32_t total(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < MAX_CPUS; i++)
        n += n_taken[i];
    return n;
}

/* The line goes up; as many interrupts come. */
static void raise(uint32_t n)
{
    uint32_t before = total();
    out8(COM1 + 1, 0);
    in8(COM1 + 2);
    out8(COM1 + 1, IER_THRE);
    for (uint64_t i = 0; i < 1000000 && total() - before < n; i++)
        cpu_pause();
    for (uint32_t i = 0; i < 1000; i++)
        cpu_pause();
}

static void rest(uint32_t index)
{
    ids[index] = apic_id();
    interrupts_on();
    while (!is_over)
        cpu_pause();
    interrupts_off();
}

static void show(const char *what)
{
    out8(COM1 + 1, 0);
    in8(COM1 + 2);
    print("%s:", what);
    for (uint32_t i = 0; i < n_cpus(); i++) {
        print(" %u", n_taken[i]);
        n_taken[i] = 0;
    }
    print("\n");
}

static void lines(void)
{
    route(ids[0], 0);
    print("lines: %u\n", (io_read(1) >> 16 & 0xff) + 1);
    print("entry: %x %x\n", io_read(0x10 + 2 * LINE), io_read(0x11 + 2 * LINE));
    for (uint32_t i = 0; i < n_cpus(); i++) {
        route(ids[i], 0);
        for (uint32_t k = 0; k <= i; k++)
            raise(1);
    }
    show("edges, one more to each processor");
    for (uint32_t i = 0; i < n_cpus(); i++) {
        route(ids[i], IO_LEVEL);
        n_kept = i;
        raise(i + 1);
    }
    show("a level that stays until it is looked at");
    route(ids[0], IO_MASKED);
    raise(0);
    route(ids[0], 0);
    show("masked");
    route(ids[0], IO_MASKED);
}

int bare_main(void)
{
    const struct table *t;
    EXPECT(acpi_root);
    check_tables();
    if (arg_is("dump")) {
        for (uint32_t i = 0; (t = table(i)); i++)
            dump(t);
        dump(dsdt());
        return 0;
    }
    print("tables are sound\n");
    read_madt();
    apic_init(arg_is("x2apic") ? APIC_X2 : APIC_X);
    trap_handle(VECTOR, on_uart);
    out8(COM1 + 4, MCR_LINES);
    ids[0] = apic_id();
    smp_start(rest);
    for (uint32_t i = 1; i < n_cpus(); i++)
        while (!n_taken[i] && !ids[i])
            cpu_pause();
    interrupts_on();
    lines();
    interrupts_off();
    is_over = true;
    return 0;
}

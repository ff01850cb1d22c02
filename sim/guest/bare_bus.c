/* SPDX-License-Identifier: MIT */
/* The bus of a processor in a bare machine. Memory is reached as by a program (exec_bus.c); around that come whose
 * access it is, address spaces, devices in memory, ports, MSRs and the interrupt line. */
#include "sim/guest/acpi.h"
#include "sim/guest/bare_int.h"

#include <string.h>

#define PORT_EXIT     0xf4u
#define PORT_KEYBOARD 0x64u
#define DEVICE_HPA    0u /* what a device's page has for a host address: no frame is there */

/* ---- address spaces ---- */

/* A tag of the TLBs for the PCID. Two PCIDs that share one take turns, and drop what the other left. */
static void enter_space(struct exec_cpu *c, struct bare_cpu *bc)
{
    struct mmu_space *s = &c->v->space;
    uint32_t pcid = x86_pcid(&c->x86), slot = pcid % BARE_SLOTS;
    bc->is_moved = false;
    bc->slot = slot;
    s->cr3 = x86_paging_root(&c->x86);
    s->levels = x86_paging_levels(&c->x86);
    s->asid = (c->x->vm->index + 1) << 8 | slot;
    if (bc->is_used[slot] && bc->pcid[slot] != pcid)
        hv_flush_space(c->v);
    bc->is_used[slot] = true;
    bc->pcid[slot] = (uint16_t)pcid;
}

static inline void before_access(struct exec_cpu *c)
{
    struct bare_cpu *bc = bare_cpu_of(c);
    c->v->space.rights = c->x86.paging;
    if (unlikely(bc->is_moved))
        enter_space(c, bc);
}

static void drop_slot(struct exec_cpu *c, uint32_t slot)
{
    mmu_flush_space(&vcpu_cpu(c->v)->mmu, (c->x->vm->index + 1) << 8 | slot);
}

/* The simulated TLBs know no global entries: those go with the others. */
static void tlb(struct x86_cpu *cpu, enum x86_tlb_drop what, uint64_t gva, uint32_t pcid)
{
    struct exec_cpu *c = cpu->bus_ctx;
    struct bare_cpu *bc = bare_cpu_of(c);
    struct mmu *mmu = &vcpu_cpu(c->v)->mmu;
    bc->device_page = BARE_NOWHERE;
    bc->is_moved = true;
    for (uint32_t i = 0; i < BARE_SLOTS; i++) {
        if (!bc->is_used[i])
            continue;
        if (what == X86_DROP_PAGE) /* of all: it may be global there */
            mmu_flush_page(mmu, (c->x->vm->index + 1) << 8 | i, gva);
        else if (what == X86_DROP_ALL || what == X86_DROP_NONGLOBAL || (what == X86_DROP_PCID && bc->pcid[i] == pcid))
            drop_slot(c, i);
    }
    if (what == X86_DROP_PAGE)
        vcpu_cpu(c->v)->core.now_ps += mmu->conf.invlpg_cycles * vcpu_cpu(c->v)->core.cycle_ps;
}

int bare_page_fault(struct exec_cpu *c, uint64_t gva)
{
    x86_page_fault_code(&c->x86, gva, vcpu_cpu(c->v)->mmu.fault_code);
    c->has_faulted = true;
    return 1;
}

/* ---- devices in memory ---- */

static bool is_ioapic(uint64_t gpa)
{
    return gpa >> PAGE_SHIFT == IOAPIC_GPA >> PAGE_SHIFT;
}

int bare_device(struct exec_cpu *c, uint64_t gpa, bool is_table, struct diag *d)
{
    struct bare_cpu *bc = bare_cpu_of(c);
    if (gpa < BARE_HOLE_GPA || gpa >= BARE_HOLE_END)
        return 0;
    bool is_there = is_ioapic(gpa) || (gpa >> PAGE_SHIFT == APIC_GPA >> PAGE_SHIFT && apic_is_page(&bc->apic));
    if (is_table || !is_there)
        return fail(d,
                    "vm %s: vCPU %u: access to guest-physical %llx at rip %llx, where there is neither memory nor a "
                    "device",
                    c->x->vm->name, c->v->index, (unsigned long long)gpa, (unsigned long long)c->x86.state.rip);
    bc->is_device = true;
    bc->device_gpa = gpa;
    return 1;
}

static bool take_device(struct bare_cpu *bc)
{
    bool is_device = bc->is_device;
    bc->is_device = false;
    return is_device;
}

struct apic_clock bare_clock(const struct exec_cpu *c)
{
    struct x86_cpu *cpu = (struct x86_cpu *)(uintptr_t)&c->x86;
    return (struct apic_clock){vcpu_cpu(c->v)->core.now_ps, x86_tsc(cpu), c->x86.tsc_hz};
}

/* The 8259s have something for this processor. */
static bool has_extint(const struct exec_cpu *c)
{
    return c->v->index == 0 && pic_pending(&c->x->bare->pic) && apic_passes_extint(&bare_cpu_of(c)->apic);
}

void bare_update(struct exec_cpu *c)
{
    struct apic *a = &bare_cpu_of(c)->apic;
    c->x86.state.cr8 = a->tpr >> 4;
    if (apic_pending(a) >= 0 || has_extint(c))
        x86_interrupt_raise(&c->x86);
    else
        x86_interrupt_lower(&c->x86);
}

/* After a register changed: the timer may be due earlier than the run goes on. */
static void changed(struct exec_cpu *c, ps_t due_before)
{
    bare_update(c);
    x86_time_moved(&c->x86);
    if (bare_cpu_of(c)->apic.due_ps != due_before)
        x86_stop_soon(&c->x86);
}

static void device_load(struct exec_cpu *c, uint64_t gva, void *buf, uint32_t len)
{
    struct apic *a = &bare_cpu_of(c)->apic;
    struct apic_clock t = bare_clock(c);
    uint32_t at = gva & 15, reg = gva & (PAGE_BYTES - 16);
    uint64_t value = at >= 4                                 ? 0
                     : is_ioapic(bare_cpu_of(c)->device_gpa) ? ioapic_read(&c->x->bare->ioapic, reg)
                                                             : apic_read(a, reg, &t);
    value >>= at % 4 * 8;
    memset(buf, 0, len);
    memcpy(buf, &value, min_u64(len, sizeof value));
    bare_update(c);
    x86_time_moved(&c->x86);
}

static void device_store(struct exec_cpu *c, uint64_t gva, const void *buf, uint32_t len)
{
    struct apic *a = &bare_cpu_of(c)->apic;
    struct apic_clock t = bare_clock(c);
    ps_t due = a->due_ps;
    uint32_t value = 0;
    memcpy(&value, buf, min_u64(len, sizeof value));
    uint32_t reg = gva & (PAGE_BYTES - 1);
    c->x->bare->acting = c;
    if (is_ioapic(bare_cpu_of(c)->device_gpa))
        ioapic_write(&c->x->bare->ioapic, reg, value);
    else if (!(reg & 15))
        apic_write(a, reg, value, &t);
    c->stored_page = gva & ~(uint64_t)(PAGE_BYTES - 1);
    c->stored_hpa = DEVICE_HPA;
    changed(c, due);
}

/* ---- what leaves the guest; nothing does natively ---- */

/* A port. */
static void leave_for(struct exec_cpu *c, enum hv_exit why)
{
    if (!c->x->conf.is_native)
        hv_exit(c->v, why);
    x86_time_moved(&c->x86);
}

/* What the hypervisor's kernel does at once: registers of the APIC, interrupts that it hands over. */
void bare_leave(struct exec_cpu *c)
{
    if (!c->x->conf.is_native)
        hv_leave_guest(c->v, vcpu_cpu(c->v)->core.now_ps, c->x->hv->conf.exit_cycles);
    x86_time_moved(&c->x86);
}

/* ---- memory ---- */

static enum x86_bus_status device_page(struct exec_cpu *c, uint64_t gva, enum x86_access access, struct x86_page *out)
{
    struct bare_cpu *bc = bare_cpu_of(c);
    if (access == X86_EXEC) {
        fail(c->x->diag, "vm %s: vCPU %u: found code at %llx, in the page of a device", c->x->vm->name, c->v->index,
             (unsigned long long)gva);
        return X86_BUS_STOP;
    }
    bc->device_page = gva & ~(uint64_t)(PAGE_BYTES - 1);
    *out = (struct x86_page){.hpa = DEVICE_HPA};
    return X86_BUS_OK;
}

static enum x86_bus_status page(struct x86_cpu *cpu, uint64_t gva, enum x86_access access, struct x86_page *out)
{
    struct exec_cpu *c = cpu->bus_ctx;
    before_access(c);
    enum x86_bus_status status = exec_bus.page(cpu, gva, access, out);
    x86_time_moved(cpu);
    return unlikely(take_device(bare_cpu_of(c))) ? device_page(c, gva, access, out) : status;
}

static enum x86_bus_status warm(struct x86_cpu *cpu, uint64_t gva, enum x86_access access, struct x86_page *out)
{
    struct exec_cpu *c = cpu->bus_ctx;
    before_access(c);
    enum x86_bus_status status = exec_bus.warm(cpu, gva, access, out);
    return unlikely(take_device(bare_cpu_of(c))) ? device_page(c, gva, access, out) : status;
}

/* Whether page() has just found a device there. */
static bool was_device(struct bare_cpu *bc, uint64_t gva)
{
    if (likely(bc->device_page != (gva & ~(uint64_t)(PAGE_BYTES - 1))))
        return false;
    bc->device_page = BARE_NOWHERE;
    return true;
}

static enum x86_bus_status load(struct x86_cpu *cpu, uint64_t gva, void *buf, uint32_t len, bool for_write)
{
    struct exec_cpu *c = cpu->bus_ctx;
    struct bare_cpu *bc = bare_cpu_of(c);
    enum x86_bus_status status = X86_BUS_OK;
    if (!was_device(bc, gva)) {
        before_access(c);
        status = exec_bus.load(cpu, gva, buf, len, for_write);
        if (likely(!take_device(bc)))
            return status;
    }
    device_load(c, gva, buf, len);
    return X86_BUS_OK;
}

static enum x86_bus_status store(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len)
{
    struct exec_cpu *c = cpu->bus_ctx;
    struct bare_cpu *bc = bare_cpu_of(c);
    enum x86_bus_status status = X86_BUS_OK;
    if (!was_device(bc, gva)) {
        before_access(c);
        status = exec_bus.store(cpu, gva, buf, len);
        if (likely(!take_device(bc)))
            return status;
    }
    device_store(c, gva, buf, len);
    return X86_BUS_OK;
}

static enum x86_bus_status fetch(struct x86_cpu *cpu, uint64_t gva)
{
    struct exec_cpu *c = cpu->bus_ctx;
    before_access(c);
    enum x86_bus_status status = exec_bus.fetch(cpu, gva);
    take_device(bare_cpu_of(c));
    return status;
}

static enum x86_bus_status flush(struct x86_cpu *cpu, uint64_t gva, uint32_t op)
{
    struct exec_cpu *c = cpu->bus_ctx;
    before_access(c);
    enum x86_bus_status status = exec_bus.flush(cpu, gva, op);
    take_device(bare_cpu_of(c));
    return status;
}

static enum x86_bus_status ntstore(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len)
{
    struct exec_cpu *c = cpu->bus_ctx;
    before_access(c);
    enum x86_bus_status status = exec_bus.ntstore(cpu, gva, buf, len);
    if (unlikely(take_device(bare_cpu_of(c))))
        device_store(c, gva, buf, len);
    return status;
}

static void fence(struct x86_cpu *cpu, bool loads_too)
{
    before_access(cpu->bus_ctx);
    exec_bus.fence(cpu, loads_too);
}

static void cpuid(struct x86_cpu *cpu)
{
    exec_bus.cpuid(cpu);
}

/* ---- the clock chip (Motorola MC146818): the time of the simulated clock, in BCD and 24 hours ---- */

static uint8_t bcd(uint64_t n)
{
    return (uint8_t)(n / 10 % 10 << 4 | n % 10);
}

/* Civil date of a day since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms", civil_from_days). */
static void date_of(uint64_t day, uint64_t *year, uint64_t *month, uint64_t *mday)
{
    uint64_t z = day + 719468, era = z / 146097, doe = z % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint64_t mp = (5 * doy + 2) / 153;
    *mday = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = yoe + era * 400 + (*month <= 2);
}

static uint8_t read_clock(const struct exec_cpu *c, uint32_t index)
{
    uint64_t s = EXEC_EPOCH_S + vcpu_cpu(c->v)->core.now_ps / PS_PER_S, year, month, mday;
    date_of(s / 86400, &year, &month, &mday);
    switch (index) {
    case 0:
        return bcd(s % 60);
    case 2:
        return bcd(s / 60 % 60);
    case 4:
        return bcd(s / 3600 % 24);
    case 6:
        return bcd((s / 86400 + 4) % 7 + 1); /* 1970-01-01 was a Thursday */
    case 7:
        return bcd(mday);
    case 8:
        return bcd(month);
    case 9:
        return bcd(year % 100);
    case 0xa:
        return 0x26; /* 32 kHz, 1 kHz; no update in progress */
    case 0xb:
        return 0x02; /* 24 hours */
    case 0xd:
        return 0x80; /* the battery is good */
    case 0x32:
        return bcd(year / 100);
    default:
        return 0;
    }
}

/* ---- ports ---- */

static enum x86_bus_status port_in(struct x86_cpu *cpu, uint16_t port, uint32_t size, uint32_t *value)
{
    struct exec_cpu *c = cpu->bus_ctx;
    struct bare *b = c->x->bare;
    bool is_pic = size == 1 && pic_has_port(port);
    leave_for(c, is_pic ? HV_EXIT_PORT_IN : HV_EXIT_USER);
    *value = size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;
    if (is_pic)
        *value = pic_read(&b->pic, port);
    else if (port >= UART_COM1 && port < UART_COM1 + UART_N && size == 1)
        *value = uart_read(&b->uart, port - UART_COM1);
    else if (port == BARE_CLOCK_PORT + 1 && size == 1)
        *value = read_clock(c, b->clock_index);
    else if (port == PORT_EXIT || port == ACPI_SLEEP_PORT || port == ACPI_STATUS_PORT)
        *value = 0;
    bare_lines(c);
    return X86_BUS_OK;
}

/* Status, resets, power-off. */
static bool is_end(uint16_t port, uint32_t value)
{
    switch (port) {
    case PORT_EXIT:
        return true;
    case PORT_KEYBOARD:
        return value == 0xfe;
    case ACPI_RESET_PORT:
        return (value & ACPI_RESET_VALUE) == ACPI_RESET_VALUE;
    case ACPI_SLEEP_PORT:
        return value & ACPI_SLEEP_ENABLE && ACPI_SLEEP_TYPE(value) == ACPI_S5;
    default:
        return false;
    }
}

static enum x86_bus_status port_out(struct x86_cpu *cpu, uint16_t port, uint32_t size, uint32_t value)
{
    struct exec_cpu *c = cpu->bus_ctx;
    struct bare *b = c->x->bare;
    bool is_pic = size == 1 && pic_has_port(port);
    leave_for(c, is_pic ? HV_EXIT_PORT_OUT : HV_EXIT_USER);
    if (is_pic)
        pic_write(&b->pic, port, (uint8_t)value);
    else if (port >= UART_COM1 && port < UART_COM1 + UART_N && size == 1)
        uart_write(&b->uart, port - UART_COM1, (uint8_t)value);
    else if (port == BARE_CLOCK_PORT)
        b->clock_index = value & 0x7f;
    else if (is_end(port, value)) {
        bare_end(b, port == PORT_EXIT ? (int32_t)(value & 0xff) : 0);
        return X86_BUS_STOP;
    }
    bare_lines(c);
    return X86_BUS_OK;
}

/* ---- MSRs, interrupts ---- */

static enum x86_bus_status msr_read(struct x86_cpu *cpu, uint32_t index, uint64_t *value)
{
    struct exec_cpu *c = cpu->bus_ctx;
    bare_leave(c);
    struct apic_clock t = bare_clock(c);
    return apic_msr_read(&bare_cpu_of(c)->apic, index, &t, value) ? X86_BUS_FAULT : X86_BUS_OK;
}

static enum x86_bus_status msr_write(struct x86_cpu *cpu, uint32_t index, uint64_t value)
{
    struct exec_cpu *c = cpu->bus_ctx;
    bare_leave(c);
    struct apic_clock t = bare_clock(c);
    struct apic *a = &bare_cpu_of(c)->apic;
    ps_t due = a->due_ps;
    bool was_page = apic_is_page(a);
    int bad =
        index == APIC_MSR_BASE || index == APIC_MSR_DEADLINE || (index >= APIC_MSR_X2 && index <= APIC_MSR_X2_LAST)
            ? apic_msr_write(a, index, value, &t)
            : -1;
    if (was_page != apic_is_page(a))
        bare_cpu_of(c)->device_page = BARE_NOWHERE;
    changed(c, due);
    return bad ? X86_BUS_FAULT : X86_BUS_OK;
}

/* An interrupt for a running processor makes it leave the guest once: to be given it. */
static int interrupt(struct x86_cpu *cpu)
{
    struct exec_cpu *c = cpu->bus_ctx;
    int vector = apic_acknowledge(&bare_cpu_of(c)->apic);
    if (vector < 0 && has_extint(c))
        vector = pic_acknowledge(&c->x->bare->pic);
    bare_leave(c);
    bare_update(c);
    return vector;
}

static void cr8(struct x86_cpu *cpu)
{
    struct exec_cpu *c = cpu->bus_ctx;
    apic_set_tpr(&bare_cpu_of(c)->apic, (uint32_t)cpu->state.cr8 << 4);
    bare_update(c);
}

const struct x86_bus bare_bus = {
    .page = page,
    .load = load,
    .store = store,
    .fetch = fetch,
    .flush = flush,
    .ntstore = ntstore,
    .fence = fence,
    .warm = warm,
    .cpuid = cpuid,
    .port_in = port_in,
    .port_out = port_out,
    .msr_read = msr_read,
    .msr_write = msr_write,
    .interrupt = interrupt,
    .cr8 = cr8,
    .tlb = tlb,
};

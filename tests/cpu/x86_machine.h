/* SPDX-License-Identifier: MIT */
/* A whole processor for tests: 2 MiB of memory from 0 behind the machine's own page walk, and a kernel's tables. Code
 * at CODE; every vector's handler is a HLT of its own, so that a test sees which was entered, and its stack. */
#ifndef QUIRE_TESTS_CPU_X86_MACHINE_H
#define QUIRE_TESTS_CPU_X86_MACHINE_H

#include "sim/cpu/x86.h"
#include "tests/mmu/rig.h"

#include <string.h>

#define SYS_BYTES 0x200000u
#define GDT       0x5000u
#define IDT       0x6000u
#define TSS       0x7000u
#define TABLES    0x10000u /* PML4, PDPT, PD, PT of the first 2 MiB, one to one */
#define HANDLERS  0x20000u /* 16 bytes a vector */
#define CODE      0x30000u
#define DATA      0x40000u
#define STACK     0x51000u /* the kernel's, downwards */
#define STACK_0   0x61000u /* RSP0 of the TSS */
#define STACK_IST 0x71000u /* IST1 */
#define USER      0x80000u /* code */
#define USER_DATA 0x90000u
#define USER_TOP  0xa1000u

enum { KCODE = 0x08, KDATA = 0x10, UCODE32 = 0x18, UDATA = 0x20, UCODE = 0x28, TR = 0x30, KCODE32 = 0x40 };

struct sys {
    struct rig rig;
    struct x86_cpu cpu;
    struct x86_code *code;
    struct x86_bus bus;
    uint32_t port, port_bytes, port_value, n_out, n_in;
    int vector; /* of the interrupt controller */
    uint32_t n_taken;
    uint32_t n_drops, last_drop, last_pcid;
    uint64_t msr, last_gva;
};

static inline uint8_t *sys_at(struct sys *s, uint64_t gpa)
{
    uint64_t hpa = rig_hpa(&s->rig, gpa), c = frame_at(s->rig.mem, hpa >> PAGE_SHIFT)->content;
    CHECK((c & 7) == CONTENT_BYTES);
    return (uint8_t *)(uintptr_t)(c & ~7ull) + (hpa & (PAGE_BYTES - 1));
}

static inline void sys_put(struct sys *s, uint64_t gpa, const void *bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        *sys_at(s, gpa + i) = ((const uint8_t *)bytes)[i];
}
static inline void sys_put64(struct sys *s, uint64_t gpa, uint64_t v)
{
    sys_put(s, gpa, &v, 8);
}
static inline uint64_t sys_get64(struct sys *s, uint64_t gpa)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < 8; i++)
        v |= (uint64_t)*sys_at(s, gpa + i) << 8 * i;
    return v;
}

/* ---- the bus ---- */

static inline enum x86_bus_status sys_translate(struct x86_cpu *cpu, uint64_t gva, enum x86_access access,
                                                uint64_t *hpa)
{
    static const enum cache_op ops[] = {CACHE_READ, CACHE_WRITE, CACHE_FETCH};
    struct sys *s = cpu->bus_ctx;
    struct mmu_space *space = &s->rig.space;
    struct mmu_result r;
    space->rights = cpu->paging;
    space->cr3 = x86_paging_root(cpu);
    space->levels = x86_paging_levels(cpu);
    switch (mmu_translate(&s->rig.mmu, space, gva, ops[access], 0, &r)) {
    case MMU_OK:
        *hpa = r.hpa;
        return X86_BUS_OK;
    case MMU_GUEST_FAULT:
        return x86_page_fault_code(cpu, gva, s->rig.mmu.fault_code);
    default:
        return X86_BUS_STOP;
    }
}

static inline enum x86_bus_status sys_page(struct x86_cpu *cpu, uint64_t gva, enum x86_access access,
                                           struct x86_page *out)
{
    struct sys *s = cpu->bus_ctx;
    uint64_t hpa = 0;
    enum x86_bus_status status = sys_translate(cpu, gva, access, &hpa);
    if (status != X86_BUS_OK)
        return status;
    uint64_t c = frame_at(s->rig.mem, hpa >> PAGE_SHIFT)->content;
    *out = (struct x86_page){.host = (uint8_t *)(uintptr_t)(c & ~7ull),
                             .hpa = hpa & ~(uint64_t)(PAGE_BYTES - 1),
                             .is_writable = access == X86_WRITE};
    return X86_BUS_OK;
}

static inline enum x86_bus_status sys_load(struct x86_cpu *cpu, uint64_t gva, void *buf, uint32_t len, bool w)
{
    struct sys *s = cpu->bus_ctx;
    uint64_t hpa = 0;
    enum x86_bus_status status = sys_translate(cpu, gva, w ? X86_WRITE : X86_READ, &hpa);
    if (status == X86_BUS_OK)
        frame_read(s->rig.mem, hpa, buf, len);
    return status;
}

static inline enum x86_bus_status sys_store(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len)
{
    struct sys *s = cpu->bus_ctx;
    uint64_t hpa = 0;
    enum x86_bus_status status = sys_translate(cpu, gva, X86_WRITE, &hpa);
    if (status == X86_BUS_OK)
        frame_write(s->rig.mem, hpa, buf, len);
    return status;
}

static inline enum x86_bus_status sys_port_in(struct x86_cpu *cpu, uint16_t port, uint32_t size, uint32_t *value)
{
    struct sys *s = cpu->bus_ctx;
    s->n_in++;
    s->port = port;
    s->port_bytes = size;
    *value = 0x11223344u + s->n_in;
    return X86_BUS_OK;
}
static inline enum x86_bus_status sys_port_out(struct x86_cpu *cpu, uint16_t port, uint32_t size, uint32_t value)
{
    struct sys *s = cpu->bus_ctx;
    s->n_out++;
    s->port = port;
    s->port_bytes = size;
    s->port_value = value;
    return X86_BUS_OK;
}
static inline enum x86_bus_status sys_msr_read(struct x86_cpu *cpu, uint32_t index, uint64_t *value)
{
    struct sys *s = cpu->bus_ctx;
    *value = s->msr;
    return index == 0x1b ? X86_BUS_OK : X86_BUS_FAULT;
}
static inline enum x86_bus_status sys_msr_write(struct x86_cpu *cpu, uint32_t index, uint64_t value)
{
    struct sys *s = cpu->bus_ctx;
    s->msr = value;
    return index == 0x1b ? X86_BUS_OK : X86_BUS_FAULT;
}
static inline int sys_interrupt(struct x86_cpu *cpu)
{
    struct sys *s = cpu->bus_ctx;
    s->n_taken++;
    x86_interrupt_lower(cpu);
    return s->vector;
}
static inline void sys_tlb(struct x86_cpu *cpu, enum x86_tlb_drop what, uint64_t gva, uint32_t pcid)
{
    struct sys *s = cpu->bus_ctx;
    s->n_drops++;
    s->last_drop = what;
    s->last_gva = gva;
    s->last_pcid = pcid;
    mmu_flush_vm(&s->rig.mmu, UINT32_MAX);
}

/* ---- a kernel's tables ---- */

static inline uint64_t sys_segment(uint32_t attributes, uint32_t limit)
{
    return (limit & 0xffff) | (uint64_t)attributes << 40 | (uint64_t)(limit >> 16 & 15) << 48;
}

/* type 14: interrupt, 15: trap. */
static inline void sys_gate(struct sys *s, uint32_t vector, uint32_t type, uint32_t dpl, uint32_t ist)
{
    uint64_t at = HANDLERS + vector * 16;
    sys_put64(s, IDT + vector * 16,
              (at & 0xffff) | KCODE << 16 | (uint64_t)ist << 32 | (uint64_t)(0x80 | dpl << 5 | type) << 40 |
                  (at >> 16) << 48);
    sys_put64(s, IDT + vector * 16 + 8, 0);
}

/* Rights of a page of the first 2 MiB, one to one. */
static inline void sys_map(struct sys *s, uint64_t gva, uint64_t bits)
{
    sys_put64(s, TABLES + 0x3000 + (gva >> PAGE_SHIFT) * 8, (gva & ~0xfffull) | bits);
}

static inline void sys_tables(struct sys *s)
{
    const uint64_t open = PTE_P | PTE_W | PTE_U;
    for (uint32_t i = 0; i < 3; i++)
        sys_put64(s, TABLES + i * 0x1000, (TABLES + (i + 1) * 0x1000) | open);
    for (uint64_t gva = 0; gva < SYS_BYTES; gva += PAGE_BYTES)
        sys_map(s, gva, PTE_P | PTE_W | (gva >= USER && gva < USER_TOP ? PTE_U : 0));
    const uint64_t gdt[] = {0,
                            sys_segment(0xa09b, 0xfffff),
                            sys_segment(0xc093, 0xfffff),
                            sys_segment(0xc0fb, 0xfffff),
                            sys_segment(0xc0f3, 0xfffff),
                            sys_segment(0xa0fb, 0xfffff),
                            sys_segment(0x0089, 0x67) | (uint64_t)TSS << 16,
                            0,
                            sys_segment(0xc09b, 0xfffff)};
    sys_put(s, GDT, gdt, sizeof gdt);
    sys_put64(s, TSS + 4, STACK_0);
    sys_put64(s, TSS + 36, STACK_IST);
    for (uint32_t v = 0; v < 256; v++) {
        sys_gate(s, v, 14, 0, 0);
        sys_put(s, HANDLERS + v * 16, "\xf4", 1);
    }
}

/* In 64-bit mode at level 0 with everything set up, at CODE. */
static inline struct sys *sys_new(void)
{
    struct sys *s = xcalloc(1, sizeof *s);
    rig_init(&s->rig, 4, 4, LEVEL_4K, true);
    for (uint64_t gpa = 0; gpa < SYS_BYTES; gpa += PAGE_BYTES) {
        uint64_t zero = 0, hpa;
        CHECK(rig_page(&s->rig, 0) == gpa);
        hpa = rig_hpa(&s->rig, gpa);
        frame_write(s->rig.mem, hpa, "\1", 1); /* bytes from now on */
        frame_write(s->rig.mem, hpa, &zero, 1);
    }
    s->bus = (struct x86_bus){.page = sys_page,
                              .load = sys_load,
                              .store = sys_store,
                              .port_in = sys_port_in,
                              .port_out = sys_port_out,
                              .msr_read = sys_msr_read,
                              .msr_write = sys_msr_write,
                              .interrupt = sys_interrupt,
                              .tlb = sys_tlb};
    s->code = x86_code_new(0);
    x86_cpu_init(&s->cpu, s->code, &s->bus, s, NULL);
    x86_system_init(&s->cpu);
    sys_tables(s);
    struct x86_state *c = &s->cpu.state;
    c->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_PG;
    c->cr3 = TABLES;
    c->cr4 = X86_CR4_PAE | X86_CR4_PGE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
    c->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
    c->gdt_base = GDT;
    c->gdt_limit = 0x47;
    c->idt_base = IDT;
    c->idt_limit = 0xfff;
    x86_set_segment(&s->cpu, X86_CS, (struct x86_segment){KCODE, 0xa09b, UINT32_MAX, 0});
    x86_set_segment(&s->cpu, X86_SS, (struct x86_segment){KDATA, 0xc093, UINT32_MAX, 0});
    c->tr = (struct x86_segment){TR, 0x8b, 0x67, TSS};
    c->rip = CODE;
    c->gpr[X86_RSP] = STACK;
    x86_changed(&s->cpu);
    return s;
}

/* To level 3 at USER. */
static inline void sys_user(struct sys *s)
{
    struct x86_state *c = &s->cpu.state;
    x86_set_segment(&s->cpu, X86_CS, (struct x86_segment){UCODE | 3, 0xa0fb, UINT32_MAX, 0});
    x86_set_segment(&s->cpu, X86_SS, (struct x86_segment){UDATA | 3, 0xc0f3, UINT32_MAX, 0});
    c->cpl = 3;
    c->rip = USER;
    c->gpr[X86_RSP] = USER_TOP;
    x86_changed(&s->cpu);
}

static inline void sys_free(struct sys *s)
{
    x86_cpu_fini(&s->cpu);
    x86_code_free(s->code);
    rig_fini(&s->rig);
    free(s);
}

#define SYS_CODE(s, at, text) sys_put(s, at, text, sizeof(text) - 1)
/* Vector whose handler a HLT has just ended, or -1. */
static inline int sys_handler(const struct sys *s)
{
    uint64_t rip = s->cpu.state.rip - 1;
    return s->cpu.stop == X86_STOP_HLT && rip >= HANDLERS && rip < HANDLERS + 4096 && !(rip & 15)
               ? (int)((rip - HANDLERS) / 16)
               : -1;
}
/* Value i of the handler's frame. */
static inline uint64_t sys_frame(struct sys *s, uint32_t i)
{
    return sys_get64(s, s->cpu.state.gpr[X86_RSP] + 8 * i);
}

#endif

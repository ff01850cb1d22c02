/* SPDX-License-Identifier: MIT */
/* Descriptor tables, traps, what runs before bare_main(). */
#include "bare.h"

struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};
#define GATE_INTERRUPT 0x8eu
#define GATE_PRESENT   0x80u
#define GATE_USER      0x60u

extern const uint8_t trap_stubs[], trap_recover[];
extern uint64_t boot_info_address;

static struct gate idt[256] __attribute__((aligned(16)));
static trap_fn *handlers[256];
static struct percpu cpus[MAX_CPUS];
struct memory_range memory_map[32];
uint32_t n_memory_map;
char command_line[1024];
uint64_t acpi_root;
const uint64_t user_tss_rsp0 = offsetof(struct percpu, tss) + 4;

/* start.S knows these. */
_Static_assert(offsetof(struct percpu, recover_rsp) == 8 && offsetof(struct percpu, user_rsp) == 16 &&
                   offsetof(struct percpu, kernel_rsp) == 24 && offsetof(struct percpu, fault) == 40,
               "struct percpu moved");

/* ---- traps ---- */

const char *trap_name(uint64_t vector)
{
    static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9",
                                        "#TS", "#NP", "#SS", "#GP", "#PF", "15",  "#MF", "#AC", "#MC", "#XM"};
    return vector < N_ELEMS(names) ? names[vector] : "interrupt";
}

void trap_handle(uint32_t vector, trap_fn *fn)
{
    handlers[vector] = fn;
}

void trap_stack(uint32_t vector, uint32_t ist)
{
    idt[vector].ist = (uint8_t)ist;
}

void trap_for_user(uint32_t vector)
{
    idt[vector].type |= GATE_USER;
}

void trap_absent(uint32_t vector, bool is_absent)
{
    idt[vector].type = (uint8_t)(is_absent ? idt[vector].type & ~GATE_PRESENT : idt[vector].type | GATE_PRESENT);
}

static _Noreturn void dump(const struct trap *t)
{
    print("%s (vector %lu) on processor %u, error code %lx, cr2 %lx\n", trap_name(t->vector), t->vector,
          this_cpu()->index, t->error, read_cr2());
    print("rip %lx:%016lx rsp %lx:%016lx rflags %lx\n", t->cs, t->rip, t->ss, t->rsp, t->rflags);
    print("rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", t->rax, t->rbx, t->rcx, t->rdx);
    print("rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", t->rsi, t->rdi, t->rbp, t->r8);
    print("r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", t->r9, t->r10, t->r11, t->r12);
    print("r13 %016lx r14 %016lx r15 %016lx cr3 %016lx\n", t->r13, t->r14, t->r15, read_cr3());
    bare_exit(125);
}

static uint64_t take_dr6(void)
{
    uint64_t value;
    __asm__ volatile("mov %%dr6, %0; mov %1, %%dr6" : "=&r"(value) : "r"(0xffff0ff0ull));
    return value;
}

void trap_dispatch(struct trap *t);
void trap_dispatch(struct trap *t)
{
    struct percpu *c = this_cpu();
    c->n_interrupts[t->vector]++;
    if (handlers[t->vector]) {
        handlers[t->vector](t);
        return;
    }
    if (!c->recover_rsp || t->vector >= 32)
        dump(t);
    c->fault->at = *t;
    c->fault->cr2 = read_cr2();
    c->fault->dr6 = t->vector == 1 ? take_dr6() : 0;
    t->rip = (uintptr_t)trap_recover;
    t->rsp = c->recover_rsp;
    t->cs = KERNEL_CS;
    t->ss = KERNEL_SS;
    t->rflags = 2;
}

static void init_idt(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint64_t at = (uintptr_t)trap_stubs + 16 * i;
        idt[i] = (struct gate){.offset_low = (uint16_t)at,
                               .selector = KERNEL_CS,
                               .type = GATE_INTERRUPT,
                               .offset_middle = (uint16_t)(at >> 16),
                               .offset_high = (uint32_t)(at >> 32)};
    }
    idt[8].ist = 1;
}

/* ---- a processor's own tables ---- */

static void load_tables(struct percpu *c)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdt = {sizeof c->gdt - 1, (uintptr_t)c->gdt}, idt_at = {sizeof idt - 1, (uintptr_t)idt};
    __asm__ volatile("lgdt %0\n\t"
                     "lidt %1\n\t"
                     "pushq $0x08\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1: mov %2, %%ds\n\t"
                     "mov %2, %%es\n\t"
                     "mov %2, %%ss\n\t"
                     "mov %3, %%fs\n\t"
                     "mov %3, %%gs\n\t"
                     "ltr %w4"
                     :
                     : "m"(gdt), "m"(idt_at), "r"(KERNEL_SS), "r"(0), "r"(TSS_SEL)
                     : "rax", "memory");
}

void cpu_init(uint32_t index)
{
    struct percpu *c = &cpus[index];
    uint64_t tss = (uintptr_t)&c->tss;
    c->self = c;
    c->index = index;
    const uint64_t gdt[] = {0,
                            0x00af9b000000ffff,
                            0x00cf93000000ffff,
                            0x00cff3000000ffff,
                            0x00affb000000ffff,
                            0x00cf13000000ffff,
                            0x00cf9b000000ffff,
                            (sizeof c->tss - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56,
                            tss >> 32};
    memcpy(c->gdt, gdt, sizeof gdt);
    c->tss.io_base = sizeof c->tss;
    c->tss.rsp[0] = (uintptr_t)c->stack + sizeof c->stack;
    for (uint32_t i = 0; i < 3; i++)
        c->tss.ist[i] = (uintptr_t)c->ist[i] + sizeof c->ist[i];
    load_tables(c);
    wrmsr(MSR_GS_BASE, (uintptr_t)c);
    wrmsr(MSR_KERNEL_GS, 0);
}

/* ---- start ---- */

static void copy_boot_info(void)
{
    const struct boot_info *b = (const void *)boot_info_address;
    if (b->magic != BOOT_MAGIC)
        return;
    acpi_root = b->rsdp;
    const char *line = (const void *)b->command_line;
    for (uint32_t i = 0; line && line[i] && i + 1 < sizeof command_line; i++)
        command_line[i] = line[i];
    if (b->version < 1)
        return;
    n_memory_map = b->n_memory_map < N_ELEMS(memory_map) ? b->n_memory_map : N_ELEMS(memory_map);
    memcpy(memory_map, (const void *)b->memory_map, n_memory_map * sizeof *memory_map);
}

/* The word's text behind name (and '=' if it has one), or NULL. */
static const char *find_word(const char *name)
{
    size_t n = strlen(name);
    for (const char *p = command_line; *p; p++)
        if ((p == command_line || p[-1] == ' ') && memcmp(p, name, n) == 0 && (p[n] == '=' || p[n] == ' ' || p[n] == 0))
            return p + n;
    return NULL;
}

bool arg_is(const char *word)
{
    return find_word(word) != NULL;
}

uint64_t arg_number(const char *name, uint64_t otherwise)
{
    const char *p = find_word(name);
    uint64_t value = 0, base = 10;
    if (!p || *p != '=')
        return otherwise;
    p++;
    if (p[0] == '0' && p[1] == 'x') {
        base = 16;
        p += 2;
    }
    for (;; p++) {
        uint64_t digit = *p >= '0' && *p <= '9' ? (uint64_t)(*p - '0') : (uint64_t)(*p | 32) - 'a' + 10;
        if (*p < '0' || digit >= base)
            return value;
        value = value * base + digit;
    }
}

_Noreturn void bare_start(void);
_Noreturn void bare_start(void)
{
    copy_boot_info();
    init_idt();
    cpu_init(0);
    paging_init();
    apic_init(arg_is("x2apic") ? APIC_X2 : APIC_X);
    bare_exit((uint32_t)bare_main());
}

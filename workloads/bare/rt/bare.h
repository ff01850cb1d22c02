/* SPDX-License-Identifier: MIT */
/* A small runtime for programs without a kernel: 64-bit mode, traps, pages, a console, a local APIC, several
 * processors, persistent memory. It starts by the PVH boot protocol (Xen, docs/misc/pvh.pandoc): flat 32-bit mode with
 * paging off, EBX = struct hvm_start_info.
 *
 * Memory is mapped one to one up to 4 GiB with 2 MiB pages: the first two (start-up code of other processors, code)
 * executable, the rest not. Nothing here is thread-safe but what says so. Programs define bare_main(). */
#ifndef BARE_H
#define BARE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define N_ELEMS(a) (sizeof(a) / sizeof *(a))
#define MAX_CPUS   64u
#define PAGE       4096u

/* ---- the program ---- */

/* Runs on the first processor; its result is the exit status. */
int bare_main(void);
/* Ends the run on all processors. */
_Noreturn void bare_exit(uint32_t status);
/* Word of the command line that begins with name and '='; its number, or otherwise. */
uint64_t arg_number(const char *name, uint64_t otherwise);
bool arg_is(const char *word);

/* ---- console: COM1, a 16550 at 3f8 ---- */

void put_char(char c);
/* %s %c %p %u %d %x with l, ll, zero padding and width. Whole calls do not mix. */
__attribute__((format(printf, 1, 2))) void print(const char *format, ...);
#define EXPECT(cond)                                                                                                   \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            print("%s:%u: %s does not hold\n", __FILE_NAME__, __LINE__, #cond);                                        \
            bare_exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
int strcmp(const char *a, const char *b);
size_t strlen(const char *s);

/* ---- the processor ---- */

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}
static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}
static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
static inline uint64_t rdmsr(uint32_t index)
{
    uint32_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index) : "memory");
    return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr" ::"c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return (uint64_t)hi << 32 | lo;
}
#define CONTROL_REGISTER(n)                                                                                            \
    static inline uint64_t read_cr##n(void)                                                                            \
    {                                                                                                                  \
        uint64_t value;                                                                                                \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(value)::"memory");                                                \
        return value;                                                                                                  \
    }                                                                                                                  \
    static inline void write_cr##n(uint64_t value)                                                                     \
    {                                                                                                                  \
        __asm__ volatile("mov %0, %%cr" #n ::"r"(value) : "memory");                                                   \
    }
CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)
CONTROL_REGISTER(8)

struct cpuid {
    uint32_t a, b, c, d;
};
static inline struct cpuid cpuid(uint32_t leaf, uint32_t sub)
{
    struct cpuid r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub));
    return r;
}
static inline void cpu_pause(void)
{
    __asm__ volatile("pause" ::: "memory");
}
static inline void interrupts_on(void)
{
    __asm__ volatile("sti" ::: "memory");
}
static inline void interrupts_off(void)
{
    __asm__ volatile("cli" ::: "memory");
}
/* Waits for an interrupt and takes it: none is lost between looking and waiting when they are off before. */
static inline void wait_interrupt(void)
{
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}
static inline void invlpg(const void *p)
{
    __asm__ volatile("invlpg (%0)" ::"r"(p) : "memory");
}

#define CR0_MP         (1u << 1)
#define CR0_EM         (1u << 2)
#define CR0_TS         (1u << 3)
#define CR0_NE         (1u << 5)
#define CR0_WP         (1u << 16)
#define CR0_AM         (1u << 18)
#define CR4_OSFXSR     (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_PCIDE      (1u << 17)
#define CR4_SMEP       (1u << 20)
#define CR4_SMAP       (1u << 21)
#define RFLAGS_TF      (1u << 8)
#define RFLAGS_IF      (1u << 9)
#define RFLAGS_DF      (1u << 10)
#define RFLAGS_AC      (1u << 18)

#define MSR_APIC_BASE    0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_EFER         0xc0000080u
#define MSR_STAR         0xc0000081u
#define MSR_LSTAR        0xc0000082u
#define MSR_SFMASK       0xc0000084u
#define MSR_GS_BASE      0xc0000101u
#define MSR_KERNEL_GS    0xc0000102u
#define EFER_SCE         1u

/* Selectors, in the order that SYSCALL and SYSRET want. */
#define KERNEL_CS   0x08u
#define KERNEL_SS   0x10u
#define USER_SS     0x1bu
#define USER_CS     0x23u
#define ABSENT_DS   0x28u /* a segment that is not present, to fault with */
#define KERNEL_CS32 0x30u
#define TSS_SEL     0x38u

/* Registers at a trap. */
struct trap {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error; /* error 0 where there is none */
    uint64_t rip, cs, rflags, rsp, ss;
};
/* Returns to where the trap came from. t may be changed. */
typedef void trap_fn(struct trap *t);
void trap_handle(uint32_t vector, trap_fn *fn);
/* Which of the three spare stacks of the TSS a vector switches to; 0: none. */
void trap_stack(uint32_t vector, uint32_t ist);
/* A gate that user code may call by INT n, and one that is not present. */
void trap_for_user(uint32_t vector);
void trap_absent(uint32_t vector, bool is_absent);
/* Calls fn(arg). True if it ended by an exception, which *out (its registers) and cr2 describe; then fn is left. The
 * calls do not nest. */
struct fault {
    struct trap at;
    uint64_t cr2, dr6;
};
bool trap_try(void (*fn)(void *), void *arg, struct fault *out);
/* The name of an exception, "#PF". */
const char *trap_name(uint64_t vector);

/* What a processor has for itself; GS points to it. */
struct percpu {
    struct percpu *self;
    uint64_t recover_rsp;          /* trap_try() is running */
    uint64_t user_rsp, kernel_rsp; /* of SYSCALL */
    uint32_t index, apic_id;
    struct fault *fault;
    uint64_t n_interrupts[256];
    struct {
        uint32_t reserved;
        uint64_t rsp[3], reserved2, ist[7], reserved3;
        uint16_t reserved4, io_base;
    } __attribute__((packed)) tss;
    uint64_t gdt[9] __attribute__((aligned(16)));
    uint8_t ist[3][8192] __attribute__((aligned(16)));
    uint8_t stack[32768] __attribute__((aligned(16)));
};
static inline struct percpu *this_cpu(void)
{
    struct percpu *p;
    __asm__ volatile("mov %%gs:0, %0" : "=r"(p));
    return p;
}
void cpu_init(uint32_t index);

/* ---- pages ---- */

#define PTE_P  1ull
#define PTE_W  2ull
#define PTE_U  4ull
#define PTE_A  0x20ull
#define PTE_D  0x40ull
#define PTE_PS 0x80ull
#define PTE_G  0x100ull
#define PTE_NX (1ull << 63)

/* Free zeroed memory of a size that is a power of two from 4096 on, aligned to it. Never given back. */
void *page_alloc(uint64_t bytes);
/* Maps gva to gpa by one page of a level (0: 4 KiB, 1: 2 MiB, 2: 1 GiB). Tables above are writable, and the user's if
 * flags have U. Returns its entry; INVLPG is the caller's. */
volatile uint64_t *page_map(uint64_t gva, uint64_t gpa, uint32_t level, uint64_t flags);
/* The entry that maps gva, and its level; NULL. */
volatile uint64_t *page_entry(uint64_t gva, uint32_t *level);
void paging_init(void);

/* ---- local APIC ---- */

enum apic_mode { APIC_X, APIC_X2 };
#define APIC_ID        0x020u
#define APIC_VERSION   0x030u
#define APIC_TPR       0x080u
#define APIC_PPR       0x0a0u
#define APIC_EOI       0x0b0u
#define APIC_SVR       0x0f0u
#define APIC_ISR       0x100u
#define APIC_IRR       0x200u
#define APIC_ESR       0x280u
#define APIC_ICR       0x300u
#define APIC_LVT_TIMER 0x320u
#define APIC_LVT_LINT0 0x350u
#define APIC_TIMER_N   0x380u
#define APIC_TIMER_NOW 0x390u
#define APIC_TIMER_DIV 0x3e0u

#define ICR_NMI        0x400u
#define ICR_INIT       0x500u
#define ICR_STARTUP    0x600u
#define ICR_ASSERT     0x4000u
#define ICR_SELF       0x40000u
#define ICR_ALL        0x80000u
#define ICR_OTHERS     0xc0000u
#define TIMER_PERIODIC 0x20000u
#define TIMER_DEADLINE 0x40000u

/* Switches this processor's APIC on: in the mode asked for, or in xAPIC mode if there is no other. All processors are
 * in the mode of the first. */
void apic_init(enum apic_mode want);
enum apic_mode apic_mode(void);
uint32_t apic_read(uint32_t reg);
void apic_write(uint32_t reg, uint32_t value);
void apic_eoi(void);
/* An interrupt to APIC id to: vector, or'ed with ICR_*. */
void apic_send(uint32_t to, uint32_t what);
uint32_t apic_id(void);
bool has_deadline(void);

/* ---- several processors ---- */

/* How many there are: of the command line (cpus=N), or as CPUID says. */
uint32_t n_cpus(void);
/* Starts all others; they call fn(index) and stop. Returns when all run. */
void smp_start(void (*fn)(uint32_t index));

/* Safe between processors. */
struct lock {
    uint32_t next, serving;
};
void lock_take(struct lock *l);
void lock_drop(struct lock *l);
struct barrier {
    uint32_t n, arrived, round;
};
void barrier_wait(struct barrier *b);

/* ---- user mode ---- */

/* Runs code at privilege level 3 until it asks for system call 0, whose argument is the result. */
uint64_t user_enter(uint64_t rip, uint64_t rsp, uint64_t arg);
/* System calls: number in RAX, arguments RDI, RSI, RDX. */
extern uint64_t (*user_call)(uint64_t number, uint64_t a, uint64_t b, uint64_t c);
void user_init(void);

/* ---- persistent memory ---- */

struct pmem {
    uint8_t *base; /* without an NVDIMM: ordinary memory */
    uint64_t bytes;
    volatile uint64_t *hint; /* flush hint address, or NULL: none */
    bool is_real;
};
/* The first persistent range of the memory map; bytes of ordinary memory if there is none. */
struct pmem pmem_find(uint64_t bytes);
void pmem_ntstore(void *to, const void *from, uint64_t bytes); /* multiples of 8 */
void pmem_clwb(const void *p, uint64_t bytes);
static inline void pmem_fence(void)
{
    __asm__ volatile("sfence" ::: "memory");
}
/* Everything flushed so far is on the media, not only in the write-pending queues. */
void pmem_deep_flush(const struct pmem *p);

/* ---- what the boot protocol told ---- */

struct memory_range {
    uint64_t base, bytes;
    uint32_t type, reserved; /* 1: RAM, 2: reserved, 7: persistent */
};
struct boot_info {
    uint32_t magic, version, flags, n_modules;
    uint64_t modules, command_line, rsdp, memory_map;
    uint32_t n_memory_map, reserved;
};
#define BOOT_MAGIC 0x336ec578u
extern struct memory_range memory_map[32];
extern uint32_t n_memory_map;
extern char command_line[1024];
extern uint64_t acpi_root; /* address of ACPI's RSDP; 0: none */

#endif

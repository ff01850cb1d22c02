/* SPDX-License-Identifier: MIT */
/* Shows who may do what to a page: all permutations of its rights, its size, WP, SMEP, SMAP, and of who asks how. Each
 * character is an access: '.' it happened, else the page fault's error code. Then accessed and dirty bits, and which
 * translations an INVLPG and a write of CR3 drop. */
#include "rt/bare.h"

#define AT     0x4000000000ull /* pages under test: one of each size */
#define CODE   0x5000000000ull /* .user as the user sees it */
#define STACK  0x5040000000ull
#define ERRORS "0123456789abcdefghijklmnopqrstuv"

extern uint8_t user_begin[], user_end[], user_read[], user_write[], user_jump[], user_nop[];
__asm__(".section .user, \"ax\"\n"
        "user_read: mov (%rdi), %rax\n"
        "user_nop: xor %eax, %eax\n\t"
        "syscall\n"
        "user_write: movl $0xc3c3c3c3, 8(%rdi)\n\t"
        "jmp user_nop\n"
        "user_jump: add $16, %rdi\n\t"
        "jmp *%rdi\n\t"
        ".text\n"
        "kernel_read: mov (%rdi), %rax\n\tret\n"
        "kernel_write: movl $0xc3c3c3c3, 8(%rdi)\n\tret\n"
        "kernel_call: jmp *%rdi\n");
void kernel_read(void *at);
void kernel_write(void *at);
void kernel_call(void *at);

/* RET for the kernel, at 16 a system call 0 for the user. */
static const uint8_t code[] = {0xc3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x31, 0xc0, 0x31, 0xf6, 0x0f, 0x05};
static uint8_t *frame;
static uint64_t at;

static void run_user(void *entry)
{
    user_enter(CODE + (uint64_t)((uint8_t *)entry - user_begin), STACK + PAGE, at);
}

static char outcome(void (*fn)(void *), void *arg)
{
    struct fault f;
    if (!trap_try(fn, arg, &f))
        return '.';
    return f.at.vector == 14 && f.cr2 - at < PAGE ? ERRORS[f.at.error & 31] : '!';
}

static void with_ac(bool on)
{
    if (on)
        __asm__ volatile("stac" ::: "memory");
    else
        __asm__ volatile("clac" ::: "memory");
}

static void kernel_read_ac(void *p)
{
    with_ac(true);
    kernel_read(p);
    with_ac(false);
}

static void kernel_write_ac(void *p)
{
    with_ac(true);
    kernel_write(p);
    with_ac(false);
}

static void one_page(volatile uint64_t *entry, uint64_t bits, bool smap)
{
    void *p = (void *)at;
    char text[10];
    *entry = (*entry & ~(PTE_P | PTE_W | PTE_U | PTE_NX)) | bits;
    invlpg(p);
    text[0] = outcome(kernel_read, p);
    text[1] = outcome(kernel_write, p);
    text[2] = outcome(kernel_call, p);
    text[3] = smap ? outcome(kernel_read_ac, p) : '-';
    text[4] = smap ? outcome(kernel_write_ac, p) : '-';
    text[5] = outcome(run_user, user_read);
    text[6] = outcome(run_user, user_write);
    text[7] = outcome(run_user, user_jump);
    text[8] = 0;
    print(" %s", text);
}

static volatile uint64_t *map_test(uint32_t level)
{
    uint64_t size = 1ull << (12 + 9 * level), gpa = (uintptr_t)frame;
    at = AT + (level << 30) * 4ull + (gpa & (size - 1));
    return page_map(at, gpa & ~(size - 1), level, PTE_P | PTE_W | PTE_U);
}

static void permutations(uint32_t level)
{
    volatile uint64_t *entry = map_test(level);
    uint32_t has = cpuid(7, 0).b;
    for (uint32_t mode = 0; mode < 8; mode++) {
        bool wp = mode & 1, smep = mode & 2, smap = mode & 4;
        EXPECT(has >> 7 & 1 && has >> 20 & 1);
        write_cr0((read_cr0() & ~(uint64_t)CR0_WP) | (wp ? CR0_WP : 0));
        write_cr4((read_cr4() & ~(uint64_t)(CR4_SMEP | CR4_SMAP)) | (smep ? CR4_SMEP : 0) | (smap ? CR4_SMAP : 0));
        print("%s%s%s%s:", level ? "2M" : "4K", wp ? " wp" : "", smep ? " smep" : "", smap ? " smap" : "");
        for (uint32_t i = 0; i < 16; i++)
            one_page(entry, (i & 1 ? PTE_P : 0) | (i & 2 ? PTE_W : 0) | (i & 4 ? PTE_U : 0) | (i & 8 ? PTE_NX : 0),
                     smap);
        print("\n");
    }
    write_cr0(read_cr0() | CR0_WP);
    write_cr4(read_cr4() & ~(uint64_t)(CR4_SMEP | CR4_SMAP));
    *entry = 0;
    invlpg((void *)at);
}

/* The rights of an entry above hold for all below. */
static void upper_levels(void)
{
    volatile uint64_t *entry = map_test(0);
    static const char *const names[] = {"PT", "PD", "PDPT", "PML4"};
    uint64_t *table = (uint64_t *)(read_cr3() & ~0xfffull);
    for (uint32_t l = 3; l > 0; l--) {
        uint64_t *upper = &table[at >> (12 + 9 * l) & 511], kept = *upper;
        static const uint64_t without[] = {PTE_W, PTE_U, PTE_NX, PTE_P};
        print("%s without W, U, X, P:", names[l]);
        for (uint32_t i = 0; i < N_ELEMS(without); i++) {
            *upper = kept ^ without[i];
            one_page(entry, PTE_P | PTE_W | PTE_U, false);
        }
        *upper = kept;
        invlpg((void *)at);
        print("\n");
        table = (uint64_t *)(kept & 0x000ffffffffff000ull);
    }
}

static void print_bits(const char *what, volatile uint64_t *entry)
{
    print(" %s:%s%s", what, *entry & PTE_A ? "A" : "-", *entry & PTE_D ? "D" : "-");
}

static void used_bits(uint32_t level)
{
    volatile uint64_t *entry = map_test(level);
    volatile uint8_t *p = (volatile uint8_t *)at;
    print("%s bits", level == 2 ? "1G" : level ? "2M" : "4K");
    *entry &= ~(PTE_A | PTE_D);
    invlpg((void *)at);
    print_bits("new", entry);
    (void)*p;
    print_bits("read", entry);
    p[100] = 1;
    print_bits("written", entry);
    *entry &= ~(PTE_A | PTE_D);
    invlpg((void *)at);
    (void)p[8];
    print_bits("read again", entry);
    *entry &= ~(PTE_A | PTE_D);
    invlpg((void *)at);
    ((void (*)(void))at)();
    print_bits("executed", entry);
    *entry &= ~(PTE_A | PTE_D);
    invlpg((void *)at);
    p[100] = 2;
    print_bits("only written", entry);
    print("\n");
}

/* A frame behind an address changes: the new one is seen after the address was dropped. */
static void drops(void)
{
    uint8_t *a = page_alloc(PAGE), *b = page_alloc(PAGE);
    uint64_t gva = AT + (1ull << 35);
    volatile uint8_t *p = (volatile uint8_t *)gva;
    a[0] = 'a';
    b[0] = 'b';
    volatile uint64_t *entry = page_map(gva, (uintptr_t)a, 0, PTE_P | PTE_W);
    char first = (char)*p;
    *entry = (uintptr_t)b | PTE_P | PTE_W;
    invlpg((void *)gva);
    char second = (char)*p;
    *entry = (uintptr_t)a | PTE_P | PTE_W;
    write_cr3(read_cr3());
    char third = (char)*p;
    page_map(gva + PAGE, (uintptr_t)b, 0, PTE_P | PTE_W | PTE_G);
    print("a page is %c, after INVLPG %c, after CR3 %c, its neighbour %c\n", first, second, third, (char)p[PAGE]);
}

/* Rights that a table above grants anew are seen, at the latest after the fault that came of not having seen them (SDM
 * volume 3, 4.10.4.3): nothing is invalidated here. */
static void added_rights(void)
{
    uint64_t gva = AT + (1ull << 36);
    uint32_t level, tries = 0;
    struct fault f;
    page_map(gva, (uintptr_t)page_alloc(PAGE), 0, PTE_P | PTE_W);
    volatile uint64_t *entry = page_entry(gva, &level);
    uint64_t *pd_entry = NULL, *table = (uint64_t *)(read_cr3() & ~0xfffull);
    for (uint32_t l = 3; l > 0; l--) {
        pd_entry = &table[gva >> (12 + 9 * l) & 511];
        table = (uint64_t *)(*pd_entry & 0x000ffffffffff000ull);
    }
    *pd_entry &= ~PTE_W;
    write_cr3(read_cr3());
    kernel_read((void *)gva);
    bool is_refused = trap_try(kernel_write, (void *)gva, &f);
    *pd_entry |= PTE_W;
    while (tries < 10 && trap_try(kernel_write, (void *)gva, &f))
        tries++;
    print("rights added above: refused before %u, %s, level %u, %s\n", is_refused,
          tries <= 1 ? "seen after" : "never seen", level, *entry & PTE_D ? "dirty" : "clean");
}

int bare_main(void)
{
    user_init();
    frame = page_alloc(PAGE);
    memcpy(frame, code, sizeof code);
    for (uint8_t *p = user_begin; p < user_end; p += PAGE)
        page_map(CODE + (uint64_t)(p - user_begin), (uintptr_t)p, 0, PTE_P | PTE_U);
    page_map(STACK, (uintptr_t)page_alloc(PAGE), 0, PTE_P | PTE_W | PTE_U | PTE_NX);
    print("kernel rwx, with AC rw, user rwx; for P, W, U, NX counted up\n");
    permutations(0);
    permutations(1);
    upper_levels();
    for (uint32_t level = 0; level < 3; level++)
        used_bits(level);
    drops();
    added_rights();
    return 0;
}

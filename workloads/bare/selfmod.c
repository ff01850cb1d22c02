/* SPDX-License-Identifier: MIT */
/* Shows that code which changes is run as it is: an operand written before each call, code made anew in fresh pages,
 * code written by another name of its page, by another processor, and the next instruction of a run. */
#include "rt/bare.h"

#define ALIAS 0x6000000000ull

static uint8_t *area; /* executable by ALIAS, writable by its own name */

static void serialise(void)
{
    cpuid(0, 0);
}

/* mov $value, %eax; ret */
static void emit(uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    memcpy(at + 1, &value, sizeof value);
    at[5] = 0xc3;
}

static uint32_t call(uint64_t offset)
{
    return ((uint32_t(*)(void))(ALIAS + offset))();
}

static void operands(void)
{
    uint64_t sum = 0, wanted = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        emit(area, i * 3 + 1);
        serialise();
        sum += call(0);
        wanted += i * 3 + 1;
    }
    print("1000 operands: %s\n", sum == wanted ? "each was seen" : "old ones were run");
}

static void fresh_pages(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 16; i++) {
        for (uint32_t k = 0; k < 64; k++)
            emit(area + i * PAGE + k * 64, i * 64 + k);
        serialise();
        for (uint32_t k = 0; k < 64; k++)
            sum += call(i * PAGE + k * 64);
    }
    print("1024 functions: sum %lu\n", sum);
}

/* A function across two pages, of which the second is exchanged. */
static void across_pages(void)
{
    uint64_t at = 2 * PAGE - 3;
    emit(area + at, 0x11223344);
    serialise();
    uint32_t first = call(at);
    area[2 * PAGE] = 0x55;
    serialise();
    uint32_t second = call(at);
    print("across pages: %x, then %x\n", first, second);
}

/* It writes the instruction that is next: INC EAX becomes DEC EAX. */
static void next_instruction(void)
{
    static const uint8_t code[] = {0xb8,
                                   10,
                                   0,
                                   0,
                                   0,
                                   0xc6,
                                   0x47,
                                   9,
                                   0xc8,
                                   /* at 9 + 8: */ 0x90,
                                   0x90,
                                   0x90,
                                   0x90,
                                   0x90,
                                   0xc3};
    /* mov $10, %eax; movb $0xc8, 9(%rdi) of the second copy; then that copy: inc %eax; ret */
    memcpy(area, code, sizeof code);
    const uint8_t second[] = {0xff, 0xc0, 0xc3};
    memcpy(area + 14, second, sizeof second);
    area[9] = 0xeb;
    area[10] = 3; /* jmp to 14 */
    area[7] = 15; /* the byte behind ff */
    serialise();
    uint32_t value = ((uint32_t(*)(uint8_t *))ALIAS)(area);
    print("the next instruction: %u\n", value);
}

static struct barrier all;
static volatile uint32_t wrong;

static void patched(uint32_t index)
{
    for (uint32_t round = 0; round < 50; round++) {
        barrier_wait(&all);
        if (round % all.n == index)
            emit(area + PAGE, round * 1000 + index);
        barrier_wait(&all);
        serialise();
        if (call(PAGE) != round * 1000 + round % all.n)
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    }
    barrier_wait(&all);
}

int bare_main(void)
{
    area = page_alloc(16 * PAGE);
    for (uint32_t i = 0; i < 16; i++)
        page_map(ALIAS + i * PAGE, (uintptr_t)area + i * PAGE, 0, PTE_P);
    operands();
    fresh_pages();
    across_pages();
    next_instruction();
    all.n = n_cpus();
    smp_start(patched);
    patched(0);
    print("patched by processors in turn: %u wrong\n", wrong);
    return 0;
}

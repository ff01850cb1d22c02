/* SPDX-License-Identifier: MIT */
/* Several processors: INIT and start-up IPIs (SDM volume 3, 9.4), locks, barriers. */
#include "bare.h"

#define START_PAGE 0x8000u
extern const uint8_t trampoline[], trampoline_end[];

uint64_t smp_stack;
static void (*smp_fn)(uint32_t index);
static volatile uint32_t n_started = 1;

uint32_t n_cpus(void)
{
    struct cpuid leaf = cpuid(1, 0);
    uint32_t n = leaf.d >> 28 & 1 ? leaf.b >> 16 & 0xff : 1;
    n = (uint32_t)arg_number("cpus", n);
    return n < MAX_CPUS ? n : MAX_CPUS;
}

_Noreturn void smp_entry(void);
_Noreturn void smp_entry(void)
{
    uint32_t index = n_started;
    cpu_init(index);
    apic_init(apic_mode());
    __atomic_store_n(&n_started, index + 1, __ATOMIC_RELEASE);
    smp_fn(index);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void smp_start(void (*fn)(uint32_t index))
{
    smp_fn = fn;
    memcpy((void *)START_PAGE, trampoline, (size_t)(trampoline_end - trampoline));
    for (uint32_t i = 1; i < n_cpus(); i++) {
        smp_stack = (uintptr_t)page_alloc(16384) + 16384;
        apic_send(i, ICR_INIT | ICR_ASSERT);
        apic_send(i, ICR_STARTUP | ICR_ASSERT | START_PAGE >> 12);
        while (__atomic_load_n(&n_started, __ATOMIC_ACQUIRE) <= i)
            cpu_pause();
    }
}

void lock_take(struct lock *l)
{
    uint32_t mine = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != mine)
        cpu_pause();
}

void lock_drop(struct lock *l)
{
    __atomic_store_n(&l->serving, l->serving + 1, __ATOMIC_RELEASE);
}

void barrier_wait(struct barrier *b)
{
    uint32_t round = __atomic_load_n(&b->round, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == b->n) {
        b->arrived = 0;
        __atomic_store_n(&b->round, round + 1, __ATOMIC_RELEASE);
        return;
    }
    while (__atomic_load_n(&b->round, __ATOMIC_ACQUIRE) == round)
        cpu_pause();
}

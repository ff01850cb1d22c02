/* SPDX-License-Identifier: MIT */
/* Shows that several processors share memory as they should: locks keep their promise, locked instructions lose no
 * count, barriers hold, stores are seen in order. */
#include "rt/bare.h"

#define ROUNDS 2000u

static struct barrier all;
static struct lock lock;
static uint64_t guarded, broken, added, exchanged, swapped, bits[4], at_barrier[4], out_of_order, reached;
static struct {
    volatile uint64_t data __attribute__((aligned(64)));
    volatile uint64_t flag __attribute__((aligned(64)));
} mail;

static void count(void)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        lock_take(&lock);
        uint64_t seen = guarded;
        cpu_pause();
        broken += *(volatile uint64_t *)&guarded != seen;
        guarded = seen + 1;
        lock_drop(&lock);
        __atomic_fetch_add(&added, 3, __ATOMIC_RELAXED);
        uint64_t old = __atomic_load_n(&exchanged, __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n(&exchanged, &old, old + 5, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            cpu_pause();
    }
}

/* Each bit is set by one processor alone, in words that all share. */
static void set_bits(uint32_t index)
{
    for (uint32_t i = 0; i < 256; i++)
        if (i % all.n == index)
            __asm__ volatile("lock btsq %1, %0" : "+m"(bits[i / 64]) : "r"((uint64_t)i % 64) : "memory", "cc");
    uint64_t token = index + 1;
    for (uint32_t i = 0; i < 100; i++)
        token = __atomic_exchange_n(&swapped, token, __ATOMIC_ACQ_REL);
    __atomic_fetch_add(&reached, token, __ATOMIC_RELAXED);
}

static void barriers(void)
{
    for (uint32_t i = 0; i < 4; i++) {
        __atomic_fetch_add(&at_barrier[i], 1, __ATOMIC_RELAXED);
        barrier_wait(&all);
        if (__atomic_load_n(&at_barrier[i], __ATOMIC_RELAXED) != all.n)
            __atomic_fetch_add(&out_of_order, 1, __ATOMIC_RELAXED);
        barrier_wait(&all);
    }
}

/* What one writes first, the others see first. */
static void messages(uint32_t index)
{
    for (uint64_t i = 1; i <= 200; i++) {
        if (index == 0) {
            mail.data = i * 7;
            mail.flag = i;
        }
        while (mail.flag < i)
            cpu_pause();
        if (mail.data < i * 7)
            __atomic_fetch_add(&out_of_order, 1, __ATOMIC_RELAXED);
    }
}

static void work(uint32_t index)
{
    barrier_wait(&all);
    count();
    barrier_wait(&all);
    set_bits(index);
    barrier_wait(&all);
    barriers();
    messages(index);
    barrier_wait(&all);
}

int bare_main(void)
{
    all.n = n_cpus();
    smp_start(work);
    work(0);
    uint64_t n = all.n, sum = reached + swapped, set = 0;
    for (uint32_t i = 0; i < 256; i++)
        set += bits[i / 64] >> i % 64 & 1;
    print("%lu processors\n", n);
    print("under the lock: %s, broken %lu times\n", guarded == n * ROUNDS ? "all counted" : "counts lost", broken);
    print("added: %s, by exchange: %s\n", added == 3 * n * ROUNDS ? "all" : "lost",
          exchanged == 5 * n * ROUNDS ? "all" : "lost");
    print("bits set: %lu of 256, tokens: %s\n", set, sum == n * (n + 1) / 2 ? "all there" : "lost");
    print("out of order: %lu\n", out_of_order);
    return 0;
}

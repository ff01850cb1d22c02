/* SPDX-License-Identifier: MIT */
/* Pages by their content and use by phases, as sharing, compression and reclaim meet them: pages of zeros, of one
 * pattern, of duplicates, of noise; then a working set that is large, small, elsewhere. Processors take phases in turn.
 * Shows what a policy makes of it (pages=N, phases=N); its sums show that no byte was lost. */
#include "rt/bare.h"

#define N_KINDS 4u

static uint64_t *area;
static uint64_t n_pages, n_phases, sums[64];
static struct barrier all;

static uint64_t noise(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
}

static uint64_t word_of(uint64_t page, uint64_t i)
{
    switch (page % N_KINDS) {
    case 0:
        return 0;
    case 1:
        return 0x5a5a5a5a5a5a5a5aull;
    case 2:
        return noise(page / N_KINDS % 8 * 512 + i); /* one of eight contents */
    default:
        return noise(page * 512 + i + (1ull << 40));
    }
}

static uint64_t fill(void)
{
    uint64_t sum = 0;
    for (uint64_t page = 0; page < n_pages; page++)
        for (uint64_t i = 0; i < 512; i++) {
            uint64_t word = word_of(page, i);
            area[page * 512 + i] = word;
            sum += word;
        }
    return sum;
}

/* One word a line of its working set, some of them written: word 7 of every third page. */
static uint64_t phase(uint64_t number)
{
    uint64_t size = number % 3 == 0 ? n_pages : n_pages / 8, first = number * n_pages / 5 % n_pages, sum = 0;
    for (uint64_t k = 0; k < size; k++) {
        uint64_t *page = area + (first + k) % n_pages * 512;
        for (uint64_t i = 0; i < 512; i += 8)
            sum += page[i];
        if (k % 3 == 0)
            page[7] += number;
    }
    return sum;
}

static void work(uint32_t index)
{
    for (uint64_t i = 0; i < n_phases; i++) {
        barrier_wait(&all);
        if (i % all.n == index)
            sums[i] = phase(i);
    }
    barrier_wait(&all);
}

int bare_main(void)
{
    n_pages = arg_number("pages", 512);
    n_phases = arg_number("phases", 12);
    if (n_phases > N_ELEMS(sums))
        n_phases = N_ELEMS(sums);
    uint64_t bytes = PAGE;
    while (bytes < n_pages * PAGE)
        bytes *= 2;
    area = page_alloc(bytes);
    print("%lu pages filled: %016lx\n", n_pages, fill());
    all.n = n_cpus();
    smp_start(work);
    work(0);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n_phases; i++)
        sum = (sum << 5 | sum >> 59) ^ sums[i];
    print("%lu phases: %016lx\n", n_phases, sum);
    sum = 0;
    for (uint64_t i = 0; i < n_pages * 512; i++)
        sum += area[i];
    print("at the end: %016lx\n", sum);
    return 0;
}

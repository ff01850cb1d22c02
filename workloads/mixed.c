/* SPDX-License-Identifier: MIT */
/* A mix of what compiled programs do: sorting, hashing, copying, byte counting, branches that depend on data, calls,
 * divisions. Shows how fast a simulator executes code that lives in the caches.      mixed [ROUNDS] */
#include "workload.h"

#define N 4096u

static int by_key(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint64_t fnv(const uint8_t *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3ull;
    return h;
}

static uint32_t collatz(uint32_t n)
{
    uint32_t steps = 0;
    for (uint64_t x = n; x > 1; steps++)
        x = x & 1 ? 3 * x + 1 : x / 2;
    return steps;
}

int main(int argc, char **argv)
{
    static uint32_t a[N], copy[N], count[256];
    uint64_t rounds = number(argc, argv, 1, 4), seed = 2, sum = 0;
    for (uint64_t r = 0; r < rounds; r++) {
        for (uint32_t i = 0; i < N; i++)
            a[i] = (uint32_t)draw(&seed);
        memcpy(copy, a, sizeof a);
        qsort(copy, N, sizeof *copy, by_key);
        sum += fnv((const uint8_t *)copy, sizeof copy);
        for (uint32_t i = 0; i < sizeof a; i++)
            count[((const uint8_t *)a)[i]]++;
        for (uint32_t i = 0; i < 300; i++)
            sum += collatz(a[i] % 1000 + 1) + a[i] / (a[i + 1] % 97 + 1);
        for (uint32_t i = 0; i < 256; i++)
            sum = sum * 31 + count[i];
    }
    printf("mixed %llx\n", (unsigned long long)sum);
    return 0;
}

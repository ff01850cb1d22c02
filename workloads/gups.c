/* SPDX-License-Identifier: MIT */
/* Random updates (RandomAccess of the HPC Challenge): read, xor, write at random places of a table. Shows TLB reach and
 * how many misses overlap.      gups [BYTES [UPDATES]] */
#include "workload.h"

int main(int argc, char **argv)
{
    uint64_t n = number(argc, argv, 1, 4 << 20) / 8, updates = number(argc, argv, 2, 1 << 18), seed = 7, sum = 0;
    uint64_t *table = pages(n * 8);
    for (uint64_t i = 0; i < n; i++)
        table[i] = i;
    uint64_t start = ticks();
    for (uint64_t i = 0; i < updates; i++) {
        uint64_t r = draw(&seed);
        table[r % n] ^= r;
    }
    uint64_t spent = ticks() - start;
    for (uint64_t i = 0; i < n; i++)
        sum = sum * 31 + table[i];
    printf("gups %llx\n", (unsigned long long)sum);
    fprintf(stderr, "gups: %.1f ticks an update\n", (double)spent / (double)updates);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* A working set that changes: each phase works on another part of the region, of another size. Shows how fast a policy
 * that watches (working-set estimation, tiering) notices.      phases [BYTES [PHASES [ACCESSES]]] */
#include "workload.h"

int main(int argc, char **argv)
{
    uint64_t bytes = number(argc, argv, 1, 8 << 20), phases = number(argc, argv, 2, 6),
             accesses = number(argc, argv, 3, 100000), seed = 9, sum = 0;
    uint8_t *p = pages(bytes);
    for (uint64_t i = 0; i < phases; i++) {
        uint64_t size = bytes >> (i % 4), from = draw(&seed) % (bytes - size + 1);
        uint64_t start = ticks();
        for (uint64_t k = 0; k < accesses; k++) {
            uint64_t at = from + draw(&seed) % size;
            p[at]++;
            sum += p[at];
        }
        fprintf(stderr, "phases: %llu: %llu bytes from %llu: %.1f ticks an access\n", (unsigned long long)i,
                (unsigned long long)size, (unsigned long long)from, (double)(ticks() - start) / (double)accesses);
    }
    printf("phases %llu\n", (unsigned long long)sum);
    return 0;
}

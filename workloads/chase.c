/* SPDX-License-Identifier: MIT */
/* Pointer chase: every load needs the one before. Shows the latency of the level that holds the region: a few cycles in
 * the L1, hundreds when each hop misses the caches and the TLB.      chase [REGION [HOPS]] */
#include "workload.h"

int main(int argc, char **argv)
{
    uint64_t region = number(argc, argv, 1, 1 << 20), hops = number(argc, argv, 2, 1 << 20), seed = 1;
    uint64_t n = region / LINE, *line = pages(region);
    uint32_t *order = malloc(n * sizeof *order);
    if (n < 2 || !order)
        return 1;
    for (uint64_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (uint64_t i = n - 1; i > 0; i--) { /* Sattolo: one cycle through all lines */
        uint64_t k = draw(&seed) % i;
        uint32_t t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    for (uint64_t i = 0; i < n; i++)
        line[order[i] * 8ul] = order[(i + 1) % n] * 8ul;
    uint64_t at = 0, start = ticks();
    for (uint64_t i = 0; i < hops; i++)
        at = line[at];
    uint64_t spent = ticks() - start;
    printf("chase %llx\n", (unsigned long long)at);
    fprintf(stderr, "chase: %.1f ticks a hop over %llu bytes\n", (double)spent / (double)hops,
            (unsigned long long)region);
    return 0;
}

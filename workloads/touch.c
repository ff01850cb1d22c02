/* SPDX-License-Identifier: MIT */
/* Each page touched twice. Shows that the first touch pays a page fault (and an EPT violation behind it) and the second
 * does not.      touch [PAGES] */
#include "workload.h"

int main(int argc, char **argv)
{
    uint64_t n = number(argc, argv, 1, 1000), spent[2];
    volatile uint8_t *p = pages(n * PAGE);
    for (int round = 0; round < 2; round++) {
        uint64_t start = ticks();
        for (uint64_t i = 0; i < n; i++)
            p[i * PAGE] = 1;
        spent[round] = ticks() - start;
    }
    printf("touch %llu pages\n", (unsigned long long)n);
    fprintf(stderr, "touch: %.0f ticks a page the first time, %.0f the second\n", (double)spent[0] / (double)n,
            (double)spent[1] / (double)n);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* A program that changes its timing model between stretches of the same work; time goes on through all of them. */
#include "../../workloads/workload.h"

static uint64_t work(uint64_t *seed, uint32_t n)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += draw(seed) >> 40;
    return sum;
}

int main(void)
{
    static const enum timing order[] = {TIMING_WINDOW, TIMING_WARM, TIMING_BLOCK, TIMING_FUNCTIONAL, TIMING_WINDOW};
    uint64_t seed = 5, sum = 0, last = ticks();
    int went_back = 0;
    for (uint32_t i = 0; i < sizeof order / sizeof *order; i++) {
        timing_mark(order[i]);
        for (uint32_t k = 0; k < 50; k++) {
            sum += work(&seed, 1000);
            uint64_t now = ticks();
            went_back |= now <= last;
            last = now;
        }
    }
    printf("marks %llu%s\n", (unsigned long long)sum, went_back ? ": time went back" : "");
    return went_back;
}

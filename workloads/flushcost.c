/* SPDX-License-Identifier: MIT */
/* What a flush costs alone and with a fence behind each, on a buffer that fits into the L1: a processor overlaps
 * flushes, but a fence waits for all of them. clwb + sfence takes 3 to 6 times as long as clwb alone on real machines.
 *      flushcost [BYTES [ROUNDS]] */
#include "workload.h"

static double measure(uint8_t *p, uint64_t bytes, uint64_t rounds, enum flush how, int fenced)
{
    uint64_t best = UINT64_MAX;
    for (uint64_t r = 0; r < rounds; r++) {
        for (uint64_t i = 0; i < bytes; i += LINE)
            p[i] = (uint8_t)r;
        _mm_mfence();
        uint64_t start = ticks();
        for (uint64_t i = 0; i < bytes; i += LINE) {
            flush_line(how, p + i);
            if (fenced)
                _mm_sfence();
        }
        _mm_sfence();
        uint64_t spent = ticks() - start;
        best = spent < best ? spent : best;
    }
    return (double)best / (double)(bytes / LINE);
}

int main(int argc, char **argv)
{
    uint64_t bytes = number(argc, argv, 1, 16384), rounds = number(argc, argv, 2, 20);
    static const char *const names[] = {"clflush", "clflushopt", "clwb"};
    uint8_t *p = pages(bytes);
    enum flush how = best_flush();
    double alone = measure(p, bytes, rounds, how, 0), fenced = measure(p, bytes, rounds, how, 1);
    printf("flushcost %llu lines\n", (unsigned long long)(bytes / LINE));
    fprintf(stderr, "flushcost: %s %.1f ticks a line, with sfence %.1f: %.2f times\n", names[how], alone, fenced,
            fenced / alone);
    return 0;
}

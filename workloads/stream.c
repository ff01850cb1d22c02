/* SPDX-License-Identifier: MIT */
/* The triad of STREAM (McCalpin 1995): two loads, a store, no dependence. Shows bandwidth: of the caches while the
 * arrays fit, of the controllers beyond.      stream [BYTES [ROUNDS]] */
#include "workload.h"

int main(int argc, char **argv)
{
    uint64_t n = number(argc, argv, 1, 3 << 20) / 24, rounds = number(argc, argv, 2, 4);
    double *a = pages(n * 8), *b = pages(n * 8), *c = pages(n * 8), sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        b[i] = (double)i;
        c[i] = 0.5;
    }
    uint64_t start = ticks();
    for (uint64_t r = 0; r < rounds; r++) {
        for (uint64_t i = 0; i < n; i++)
            a[i] = b[i] + 3.0 * c[i];
        double *t = a;
        a = b;
        b = t;
    }
    uint64_t spent = ticks() - start;
    for (uint64_t i = 0; i < n; i += 8)
        sum += b[i];
    printf("stream %.6e\n", sum);
    fprintf(stderr, "stream: %.3f bytes a tick\n", (double)(24 * n * rounds) / (double)spent);
    return 0;
}

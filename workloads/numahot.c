/* SPDX-License-Identifier: MIT */
/* Threads that each have a hot set of their own inside memory that the first one touched. Shows NUMA placement: on
 * several nodes all but one thread work on remote pages until a policy moves their hot sets. numahot [THREADS
 * [BYTES_EACH [ACCESSES]]] */
#include "workload.h"

#include <pthread.h>

struct work {
    uint8_t *p;
    uint64_t bytes, accesses, seed, sum, ticks;
};

static void *run(void *arg)
{
    struct work *w = arg;
    uint64_t start = ticks();
    for (uint64_t i = 0; i < w->accesses; i++) {
        uint64_t r = draw(&w->seed);
        /* nine of ten in the first tenth */
        uint64_t at = (r & 1023) < 922 ? (r >> 10) % (w->bytes / 10) : (r >> 10) % w->bytes;
        w->p[at]++;
        w->sum += w->p[at];
    }
    w->ticks = ticks() - start;
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t n = number(argc, argv, 1, 4), bytes = number(argc, argv, 2, 1 << 20),
             accesses = number(argc, argv, 3, 50000), sum = 0;
    pthread_t thread[64];
    struct work work[64];
    if (n < 1 || n > 64 || bytes < 10)
        return 1;
    uint8_t *p = pages(n * bytes);
    memset(p, 1, n * bytes);
    for (uint64_t i = 0; i < n; i++) {
        work[i] = (struct work){p + i * bytes, bytes, accesses, i + 1, 0, 0};
        if (pthread_create(&thread[i], NULL, run, &work[i]))
            return 1;
    }
    for (uint64_t i = 0; i < n; i++) {
        pthread_join(thread[i], NULL);
        sum += work[i].sum;
        fprintf(stderr, "numahot: thread %llu: %.1f ticks an access\n", (unsigned long long)i,
                (double)work[i].ticks / (double)accesses);
    }
    printf("numahot %llu\n", (unsigned long long)sum);
    return 0;
}

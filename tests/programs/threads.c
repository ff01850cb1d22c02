/* SPDX-License-Identifier: MIT */
/* Threads: a mutex, a condition variable between a producer and consumers, a barrier, atomic counters, thread-local
 * storage. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define THREADS 4
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER, less = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static int queue[16], head, n, is_over;
static long sum;
static atomic_long total;
static _Thread_local long mine;

static void *consume(void *arg)
{
    (void)arg;
    for (;;) {
        pthread_mutex_lock(&lock);
        while (n == 0 && !is_over)
            pthread_cond_wait(&more, &lock);
        if (n == 0) {
            pthread_mutex_unlock(&lock);
            break;
        }
        int item = queue[head];
        head = (head + 1) % 16;
        n--;
        sum += item;
        pthread_cond_signal(&less);
        pthread_mutex_unlock(&lock);
        mine += item;
    }
    atomic_fetch_add(&total, mine);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 1000; i++)
        atomic_fetch_add(&total, 1);
    return NULL;
}

int main(void)
{
    pthread_t t[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, consume, NULL);
    for (int i = 1; i <= 3000; i++) {
        pthread_mutex_lock(&lock);
        while (n == 16)
            pthread_cond_wait(&less, &lock);
        queue[(head + n++) % 16] = i;
        pthread_cond_signal(&more);
        pthread_mutex_unlock(&lock);
    }
    pthread_mutex_lock(&lock);
    is_over = 1;
    pthread_cond_broadcast(&more);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    printf("%ld %ld\n", sum, atomic_load(&total));
    return 0;
}

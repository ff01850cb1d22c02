/* SPDX-License-Identifier: MIT */
/* Mappings that come and go at random: mmap, munmap, mprotect, madvise, mremap, and what every page then says to loads
 * and stores; results and errors go into a hash. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define N 64
static sigjmp_buf back;
static volatile int code;
static void h(int s, siginfo_t *i, void *u)
{
    (void)u;
    code = s * 16 + i->si_code;
    siglongjmp(back, 1);
}
static uint64_t x = 88172645463325252ull;
static uint32_t rnd(uint32_t n)
{
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t)(x >> 33) % n;
}
static int tryr(volatile char *p)
{
    if (sigsetjmp(back, 1))
        return -code;
    return (unsigned char)*p;
}
static int tryw(volatile char *p, char v)
{
    if (sigsetjmp(back, 1))
        return -code;
    *p = v;
    return 0;
}

/* r runs over what each of n pages from at on says to a load, to a store. */
static int read_each(char *at, uint32_t n)
{
    int r = 0;
    for (uint32_t k = 0; k < n; k++)
        r = r * 31 + tryr(at + k * 4096);
    return r;
}
static int write_each(char *at, uint32_t n)
{
    int r = 0;
    for (uint32_t k = 0; k < n; k++)
        r = r * 31 + tryw(at + k * 4096 + 1, (char)k);
    return r;
}

static int map(char *at, size_t len, int prot, int flags)
{
    return mmap(at, len, prot, MAP_ANONYMOUS | flags, -1, 0) == at;
}

/* One of twelve things done to n pages from at on. */
static int change(uint32_t op, char *at, uint32_t n, int prot)
{
    size_t len = n * 4096;
    int r;
    switch (op) {
    case 0:
        return map(at, len, prot, MAP_PRIVATE | MAP_FIXED);
    case 1:
        return map(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED);
    case 2:
        return map(at, len, prot, MAP_SHARED | MAP_FIXED);
    case 3:
        return munmap(at, len);
    case 4:
    case 5:
        return mprotect(at, len, prot);
    case 6:
        return madvise(at, len, MADV_DONTNEED);
    case 7:
        r = map(at, len, prot, MAP_PRIVATE | MAP_FIXED_NOREPLACE);
        return !r && errno == 0 ? 5 : r;
    case 8:
        return tryw(at + rnd(4096), (char)rnd(256));
    case 9:
        return tryr(at + rnd(4096));
    case 10:
        return read_each(at, n);
    default:
        return write_each(at, n);
    }
}

static void churn(void)
{
    static const int prots[] = {
        PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC, PROT_WRITE};
    char *base = mmap(NULL, N * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t hash = 0;
    for (int it = 0; it < 6000; it++) {
        uint32_t p = rnd(N), n = 1 + rnd(N - p < 8 ? N - p : 8), op = rnd(12);
        int prot = prots[rnd(6)];
        errno = 0;
        int r = change(op, base + p * 4096, n, prot);
        hash = hash * 1000003 + (uint64_t)(int64_t)r * 131 + (uint64_t)errno + op;
        if (it % 500 == 499)
            printf("%d %016llx\n", it, (unsigned long long)hash);
    }
}

/* A mapping grows, shrinks and moves to a place of our choice. Returns where that is; a page lies before it. */
static char *remap(void)
{
    char *m = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 4; i++)
        m[i * 4096] = (char)(i + 1);
    char *m2 = mremap(m, 4 * 4096, 16 * 4096, MREMAP_MAYMOVE);
    int s = 0;
    for (int i = 0; i < 16; i++)
        s = s * 3 + m2[i * 4096];
    printf("grown %d\n", s);
    char *m3 = mremap(m2, 16 * 4096, 2 * 4096, 0);
    printf("shrunk same %d, beyond %d\n", m3 == m2, tryr(m2 + 3 * 4096));
    char *dst = mmap(NULL, 8 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *m4 = mremap(m3, 2 * 4096, 2 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, dst + 4096);
    printf("fixed %d %d old %d\n", m4 == dst + 4096, m4[4096], tryr(m3));
    return m4;
}

static void wrong_arguments(char *moved)
{
    char *before = moved - 4096;
    unsigned char vec[8];
    printf("mremap bad %d", mremap((void *)0x1000, 4096, 8192, 0) == MAP_FAILED);
    printf(" %d\n", errno);
    printf("msync %d", msync(before, 4096, MS_SYNC));
    printf(" mincore ");
    printf("%d\n", mincore(moved, 8192, vec));
    printf("unaligned %d", mprotect(before + 1, 4096, PROT_READ));
    printf(" %d\n", errno);
    printf("munmap 0 %d", munmap(before, 0));
    printf(" %d\n", errno);
}

static void move_break(void)
{
    void *brk0 = sbrk(0);
    char *b = sbrk(10000);
    b[9999] = 7;
    printf("brk %d %d\n", b == brk0, (int)((char *)sbrk(0) - (char *)brk0));
    sbrk(-10000);
    printf("after %d\n", tryr((char *)brk0 + 8192));
}

int main(void)
{
    struct sigaction a = {.sa_sigaction = h, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &a, NULL);
    sigaction(SIGBUS, &a, NULL);
    churn();
    wrong_arguments(remap());
    move_break();
    return 0;
}

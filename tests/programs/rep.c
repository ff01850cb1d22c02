/* SPDX-License-Identifier: MIT */
/* Repeated string instructions over pages that are missing: the handler sees how far they came, gives the page, and
 * they go on; forwards, backwards, overlapping. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
static char *base;
static size_t n = 8 * 4096;
static int faults;
static void h(int s, siginfo_t *i, void *u)
{
    ucontext_t *c = u;
    greg_t *g = c->uc_mcontext.gregs;
    faults++;
    printf(" fault %d at %ld rcx %lld rsi %lld rdi %lld df %lld\n", s, (long)((char *)i->si_addr - base),
           (long long)g[REG_RCX],
           (long long)g[REG_RSI] - (long long)base > 0 && g[REG_RSI] - (long long)base < (long long)n
               ? g[REG_RSI] - (long long)base
               : -1,
           g[REG_RDI] - (long long)base > 0 && g[REG_RDI] - (long long)base < (long long)n
               ? g[REG_RDI] - (long long)base
               : -1,
           (long long)(g[REG_EFL] >> 10 & 1));
    mprotect((void *)((uintptr_t)i->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE);
}
static void prep(void)
{
    mprotect(base, n, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < n; i++)
        base[i] = (char)(i * 7 + (i >> 8));
}
static unsigned sum(void)
{
    mprotect(base, n, PROT_READ | PROT_WRITE);
    unsigned s = 1;
    for (size_t i = 0; i < n; i++)
        s = s * 16777619u ^ (unsigned char)base[i];
    return s;
}
static long long where(uint64_t a)
{
    return a - (uint64_t)base <= n ? (long long)(a - (uint64_t)base) : -1;
}
/* The flags that go in are a comparison's of ax: what happens to be there may come from addresses, which differ. */
#define RUN(ins, di, si, cx, ax, back)                                                                                 \
    do {                                                                                                               \
        uint64_t D = (uint64_t)(di), S = (uint64_t)(si), C = (cx), A = (ax), F;                                        \
        __asm__ volatile("cmp $1, %3; " back ins "; pushfq; pop %4; cld"                                               \
                         : "+D"(D), "+S"(S), "+c"(C), "+a"(A), "=r"(F)::"memory", "cc");                               \
        printf("%s: rdi %lld rsi %lld rcx %llu rax %llx flags %llx faults %d sum %08x\n", ins, where(D), where(S),     \
               (unsigned long long)C, (unsigned long long)A, (unsigned long long)(F & 0x8d5), faults, sum());          \
        faults = 0;                                                                                                    \
    } while (0)

#define PAGE(k) (1u << (k))
/* Those pages are missing until they are touched. */
static void take(unsigned pages)
{
    for (unsigned k = 0; k < 8; k++)
        if (pages >> k & 1)
            mprotect(base + k * 4096, 4096, PROT_NONE);
}
static void prep_without(unsigned pages)
{
    prep();
    take(pages);
}
/* Bytes of 3 with one 9 among them. */
static void threes_without(size_t nine, unsigned pages)
{
    mprotect(base, n, PROT_READ | PROT_WRITE);
    memset(base, 3, n);
    base[nine] = 9;
    take(pages);
}

static void moves(void)
{
    prep_without(PAGE(2) | PAGE(3) | PAGE(6));
    RUN("rep movsb", base + 5 * 4096 + 77, base + 4096 + 33, 9000, 0, "");
    prep_without(PAGE(2) | PAGE(3) | PAGE(6));
    RUN("rep movsw", base + 5 * 4096 + 77, base + 4096 + 33, 3000, 0, "");
    prep_without(PAGE(2) | PAGE(5));
    RUN("rep movsl", base + 4 * 4096 + 2, base + 4096 + 1, 1500, 0, "");
    prep_without(PAGE(2) | PAGE(5));
    RUN("rep movsq", base + 4 * 4096 + 3, base + 4096 + 5, 1030, 0, "");
}

static void moves_backwards(void)
{
    prep_without(PAGE(2) | PAGE(5));
    RUN("rep movsq", base + 6 * 4096 + 3, base + 3 * 4096 + 5, 1030, 0, "std;");
    prep_without(PAGE(2) | PAGE(5));
    RUN("rep movsb", base + 6 * 4096 + 3, base + 3 * 4096 + 5, 7000, 0, "std;");
}

static void stores(void)
{
    prep_without(PAGE(2) | PAGE(3));
    RUN("rep stosb", base + 4096 + 9, 0, 9000, 0x5a, "");
    prep_without(PAGE(2) | PAGE(3));
    RUN("rep stosq", base + 4096 + 9, 0, 1100, 0x1122334455667788, "");
    prep_without(PAGE(2) | PAGE(1));
    RUN("rep stosl", base + 3 * 4096 + 9, 0, 2100, 0x11223344, "std;");
}

static void scans(void)
{
    prep_without(PAGE(2) | PAGE(3));
    memset(base + 4096, 3, 3 * 4096); /* faults, too */
    take(PAGE(2) | PAGE(3));
    base[4096] = 4;
    RUN("repe scasb", base + 4097, 0, 9000, 3, "");
    threes_without(3 * 4096 + 1000, PAGE(2) | PAGE(3));
    RUN("repe scasb", base + 4097, 0, 20000, 3, "");
    threes_without(3 * 4096 + 1000, PAGE(2) | PAGE(3));
    RUN("repne scasb", base + 4097, 0, 20000, 9, "");
}

static void comparisons(void)
{
    threes_without(6 * 4096 + 100, PAGE(2) | PAGE(6));
    RUN("repe cmpsb", base + 4 * 4096, base + 4096, 20000, 0, "");
    threes_without(6 * 4096 + 100, PAGE(2) | PAGE(6));
    RUN("repe cmpsq", base + 4 * 4096, base + 4096, 2000, 0, "");
}

static void loads(void)
{
    prep_without(PAGE(2) | PAGE(3) | PAGE(4));
    RUN("rep lodsq", 0, base + 4096 + 3, 1300, 0, "");
}

static void overlaps(void)
{
    prep_without(PAGE(3));
    RUN("rep movsb", base + 4096 + 1, base + 4096, 5000, 0, "");
    prep_without(PAGE(3));
    RUN("rep movsb", base + 2 * 4096, base + 2 * 4096 - 1, 6000, 0, "");
    prep_without(PAGE(3));
    RUN("rep movsq", base + 2 * 4096, base + 2 * 4096 - 3, 600, 0, "");
}

static void once_and_never(void)
{
    prep();
    RUN("movsb", base + 10, base + 20, 5, 0, "");
    prep();
    RUN("rep movsb", base, base + 9, 0, 0, "");
}

int main(void)
{
    base = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction a = {.sa_sigaction = h, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &a, NULL);
    moves();
    moves_backwards();
    stores();
    scans();
    comparisons();
    loads();
    overlaps();
    once_and_never();
    return 0;
}

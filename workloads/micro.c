/* SPDX-License-Identifier: MIT */
/* Micro-benchmarks of a processor, one line each: name and time-stamp ticks a step. Shows what a timing model has to
 * order as real processors do: chains against independent work, hits against misses, foreseen branches against
 * unforeseen ones, fences. The first line, a chain of additions, is one core cycle a step: it tells how ticks and
 * cycles compare.      micro [NAME] */
#include "workload.h"

/* A step repeated, so that the loop around it does not count. */
#define X4(x)  x x x x
#define X16(x) X4(x) X4(x) X4(x) X4(x)

static uint8_t *big; /* 32 MiB */
static uint64_t random_bits[512];
static uint64_t sink;
#define BIG (32ul << 20)

#define ASM_LOOP(name, steps, body)                                                                                    \
    static uint64_t name(uint64_t n)                                                                                   \
    {                                                                                                                  \
        __asm__ volatile("1:\n" body "dec %0\n jnz 1b"                                                                 \
                         : "+r"(n)                                                                                     \
                         : "r"(big)                                                                                    \
                         : "rax", "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2",        \
                           "xmm3", "xmm4", "memory", "cc");                                                            \
        return steps;                                                                                                  \
    }

ASM_LOOP(add_chain, 16, X16("add $1, %%rax\n"))
ASM_LOOP(add_apart, 16, X4("add $1, %%rax\n add $1, %%rbx\n add $1, %%rdx\n add $1, %%rsi\n"))
ASM_LOOP(imul_chain, 16, X16("imul %%rax, %%rax\n"))
ASM_LOOP(imul_apart, 16, X4("imul %%r8, %%rax\n imul %%r8, %%rbx\n imul %%r8, %%rdx\n imul %%r8, %%rsi\n"))
ASM_LOOP(fadd_chain, 16, X16("addsd %%xmm0, %%xmm1\n"))
ASM_LOOP(fadd_apart, 16,
         X4("addsd %%xmm0, %%xmm1\n addsd %%xmm0, %%xmm2\n addsd %%xmm0, %%xmm3\n addsd %%xmm0, %%xmm4\n"))
ASM_LOOP(sqrt_chain, 4, X4("sqrtsd %%xmm1, %%xmm1\n"))
ASM_LOOP(forward, 16, X16("mov %%rax, (%1)\n mov (%1), %%rax\n"))
ASM_LOOP(stores, 16, X4("mov %%rax, (%1)\n mov %%rax, 64(%1)\n mov %%rax, 128(%1)\n mov %%rax, 192(%1)\n"))
ASM_LOOP(loads, 16, X4("mov (%1), %%rax\n mov 64(%1), %%rbx\n mov 128(%1), %%rdx\n mov 192(%1), %%rsi\n"))
ASM_LOOP(lock_add, 16, X16("lock addq $1, (%1)\n"))
ASM_LOOP(memory_add, 16, X16("addq $1, (%1)\n"))
ASM_LOOP(nothing, 16, X16("nop\n"))

static uint64_t div_chain(uint64_t n)
{
    uint64_t a = ~0ull, d = 3;
    for (uint64_t i = 0; i < n; i++)
        for (int k = 0; k < 4; k++)
            __asm__ volatile("xor %%edx, %%edx\n div %1" : "+a"(a) : "r"(d) : "rdx", "cc");
    sink += a;
    return 4;
}

/* Chases over a region whose lines were linked in random order. */
static uint64_t *chased;
static uint64_t chase(uint64_t n)
{
    uint64_t *p = chased;
    for (uint64_t i = 0; i < n; i++)
        __asm__ volatile(X16("mov (%0), %0\n") : "+r"(p)::"memory");
    chased = p;
    return 16;
}

static void link_lines(uint64_t bytes)
{
    uint64_t lines = bytes / LINE, seed = 5;
    uint32_t *order = malloc(lines * sizeof *order);
    for (uint64_t i = 0; i < lines; i++)
        order[i] = (uint32_t)i;
    for (uint64_t i = lines - 1; i > 0; i--) {
        uint64_t k = draw(&seed) % i;
        uint32_t t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    for (uint64_t i = 0; i < lines; i++)
        *(void **)(big + order[i] * LINE) = big + order[(i + 1) % lines] * LINE;
    free(order);
    chased = (uint64_t *)big;
}

/* A branch on bits that repeat soon, or do not. */
static uint64_t branches(uint64_t n, const uint64_t *bits, uint64_t mask)
{
    uint64_t taken = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t w = bits[i & mask];
        for (int k = 0; k < 64; k++, w >>= 1)
            __asm__ volatile("test $1, %b1\n jz 1f\n add $1, %0\n1:" : "+r"(taken) : "r"(w) : "cc");
    }
    sink += taken;
    return 64;
}
static uint64_t branch_known(uint64_t n)
{
    static const uint64_t same[1] = {~0ull};
    return branches(n, same, 0);
}
static uint64_t branch_random(uint64_t n)
{
    return branches(n, random_bits, 511);
}

static __attribute__((noinline)) void f0(void)
{
    __asm__ volatile("");
}
static __attribute__((noinline)) void f1(void)
{
    __asm__ volatile("nop");
}
static __attribute__((noinline)) void f2(void)
{
    __asm__ volatile("nop\n nop");
}
static __attribute__((noinline)) void f3(void)
{
    __asm__ volatile("nop\n nop\n nop");
}
static void (*const callee[4])(void) = {f0, f1, f2, f3};

static uint64_t call_known(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        for (int k = 0; k < 16; k++)
            f0();
    return 16;
}
static uint64_t call_random(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t w = random_bits[i & 511];
        for (int k = 0; k < 16; k++, w >>= 2)
            callee[w & 3]();
    }
    return 16;
}

static uint64_t flushes(uint64_t n, int fenced)
{
    enum flush how = best_flush();
    for (uint64_t i = 0; i < n; i++) {
        for (uint64_t k = 0; k < 64; k++)
            big[k * LINE] = (uint8_t)i;
        for (uint64_t k = 0; k < 64; k++) {
            flush_line(how, big + k * LINE);
            if (fenced)
                _mm_sfence();
        }
        _mm_sfence();
    }
    return 64;
}
static uint64_t flush_apart(uint64_t n)
{
    return flushes(n, 0);
}
static uint64_t flush_fenced(uint64_t n)
{
    return flushes(n, 1);
}

static uint64_t touch(uint64_t n, int again)
{
    for (uint64_t i = 0; i < n; i++) {
        volatile uint8_t *p = pages(64 * PAGE);
        for (int round = 0; round <= again; round++)
            for (uint64_t k = 0; k < 64; k++)
                p[k * PAGE] = 1;
        munmap((void *)(uintptr_t)p, 64 * PAGE);
    }
    return 64;
}
static uint64_t touch_once(uint64_t n)
{
    return touch(n, 0);
}
static uint64_t touch_again(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t k = 0; k < 64; k++)
            ((volatile uint8_t *)big)[k * PAGE] = 1;
    return 64;
}

static const struct {
    const char *name;
    uint64_t (*run)(uint64_t n); /* returns steps a round */
    uint64_t rounds, region;     /* region: bytes whose lines are linked first; 0: none */
} tests[] = {
    {"add-chain", add_chain, 2000, 0},
    {"add-apart", add_apart, 2000, 0},
    {"imul-chain", imul_chain, 1000, 0},
    {"imul-apart", imul_apart, 1000, 0},
    {"div-chain", div_chain, 500, 0},
    {"fadd-chain", fadd_chain, 1000, 0},
    {"fadd-apart", fadd_apart, 1000, 0},
    {"sqrt-chain", sqrt_chain, 1000, 0},
    {"nop", nothing, 2000, 0},
    {"load-apart", loads, 1000, 0},
    {"store-apart", stores, 1000, 0},
    {"forward", forward, 1000, 0},
    {"memory-add", memory_add, 500, 0},
    {"lock-add", lock_add, 500, 0},
    {"chase-l1", chase, 1000, 16384},
    {"chase-l2", chase, 1000, 262144},
    {"chase-llc", chase, 2000, 4ul << 20},
    {"chase-memory", chase, 1000, BIG},
    {"branch-known", branch_known, 300, 0},
    {"branch-random", branch_random, 512, 0},
    {"call-known", call_known, 500, 0},
    {"call-random", call_random, 500, 0},
    {"flush-apart", flush_apart, 20, 0},
    {"flush-fenced", flush_fenced, 20, 0},
    {"touch-once", touch_once, 4, 0},
    {"touch-again", touch_again, 100, 0},
};

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    big = pages(BIG);
    for (uint64_t i = 0; i < 512; i++)
        random_bits[i] = draw(&seed);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (argc > 1 && strcmp(argv[1], tests[i].name) != 0)
            continue;
        if (tests[i].region)
            link_lines(tests[i].region);
        uint64_t best = UINT64_MAX, steps = 1;
        for (int k = 0; k < 3; k++) { /* the first warms up */
            uint64_t start = ticks();
            steps = tests[i].run(tests[i].rounds);
            uint64_t spent = ticks() - start;
            best = spent < best ? spent : best;
        }
        printf("%s %.3f\n", tests[i].name, (double)best / (double)(steps * tests[i].rounds));
    }
    return sink == 1;
}

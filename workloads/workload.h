/* SPDX-License-Identifier: MIT */
/* What the workloads share: numbers from the command line, a random stream, time-stamps, persistent memory. They are
 * ordinary static Linux programs: they run on any x86-64 host, and under `quire exec`, and print the same checksum on
 * standard output in both. Measurements go to standard error. */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <cpuid.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <x86intrin.h>

#define LINE 64ul
#define PAGE 4096ul

/* Argument i as a number, with K, M or G behind it for powers of 1024; def if it is not given. */
static inline uint64_t number(int argc, char **argv, int i, uint64_t def)
{
    if (i >= argc)
        return def;
    char *end;
    uint64_t n = strtoull(argv[i], &end, 10);
    const char *unit = "KMG", *u = *end ? strchr(unit, *end) : NULL;
    return u ? n << (10 * (u - unit + 1)) : n;
}

/* xorshift64* (Vigna 2014). */
static inline uint64_t draw(uint64_t *s)
{
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return *s * 0x2545f4914f6cdd1dull;
}

static inline uint64_t ticks(void)
{
    uint32_t aux;
    _mm_lfence();
    uint64_t t = __rdtscp(&aux);
    _mm_lfence();
    return t;
}

static inline void *pages(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return p;
}

/* The VM's persistent memory, or plain memory where there is none. */
static inline void *persistent(uint64_t bytes)
{
    int fd = open("/dev/pmem0", O_RDWR);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return p == MAP_FAILED ? pages(bytes) : p;
}

/* From here on quire runs the program under another timing model; a host's kernel refuses, which does no harm. In a
 * sampled run it has no effect. */
enum timing { TIMING_FUNCTIONAL, TIMING_BLOCK, TIMING_WINDOW, TIMING_WARM };
static inline void timing_mark(enum timing timing)
{
    prctl(0x51554952, (unsigned long)timing, 0ul, 0ul, 0ul); /* "QUIR" */
}

enum flush { CLFLUSH, CLFLUSHOPT, CLWB };

/* The best flush that the processor has (CPUID 7.0 EBX bits 24 and 23). */
static inline enum flush best_flush(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return CLFLUSH;
    return b >> 24 & 1 ? CLWB : b >> 23 & 1 ? CLFLUSHOPT : CLFLUSH;
}

static inline void flush_line(enum flush how, const void *p)
{
    switch (how) {
    case CLWB: /* by their bytes: the build asks for no extension */
        __asm__ volatile(".byte 0x66, 0x0f, 0xae, 0x30" ::"a"(p) : "memory");
        break;
    case CLFLUSHOPT:
        __asm__ volatile(".byte 0x66, 0x0f, 0xae, 0x38" ::"a"(p) : "memory");
        break;
    default:
        __asm__ volatile("clflush (%0)" ::"r"(p) : "memory");
    }
}

/* Everything in [p, p + n) is written back and, behind the fence, safe. */
static inline void persist(enum flush how, const void *p, uint64_t n)
{
    for (uintptr_t at = (uintptr_t)p & ~(LINE - 1); at < (uintptr_t)p + n; at += LINE)
        flush_line(how, (const void *)at);
    _mm_sfence();
}

#endif

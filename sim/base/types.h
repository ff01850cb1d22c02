/* SPDX-License-Identifier: MIT */
/* Addresses and time. An address space is a type of its own, so that mixing two of them does not compile. */
#ifndef QUIRE_BASE_TYPES_H
#define QUIRE_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t v;
} gva_t; /* guest-virtual byte address, up to 57 bits */
typedef struct {
    uint64_t v;
} gpa_t; /* guest-physical byte address, up to 48 bits */
typedef struct {
    uint64_t v;
} hpa_t; /* host-physical byte address, below 2^46 (MAXPHYADDR of Cascade Lake, CPUID 80000008h) */

typedef uint64_t ps_t; /* simulated time or duration in picoseconds */

#define PS_PER_NS 1000ull
#define PS_PER_US 1000000ull
#define PS_PER_MS 1000000000ull
#define PS_PER_S  1000000000000ull

#define LINE_SHIFT 6
#define LINE_BYTES 64u
#define PAGE_SHIFT 12
#define PAGE_BYTES 4096u
#define HPA_BITS   46

/* Page sizes of x86-64 as the level of the leaf entry: 0 = 4 KiB, 1 = 2 MiB, 2 = 1 GiB. */
#define LEVEL_4K           0
#define LEVEL_2M           1
#define LEVEL_1G           2
#define LEVEL_SHIFT(level) (PAGE_SHIFT + 9 * (level))

#define KIB 1024ull
#define MIB (KIB << 10)
#define GIB (MIB << 10)
#define TIB (GIB << 10)

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Asks the host's caches for a line. Not __builtin_prefetch: to gcc (12) a function that does nothing else has no
 * effect, and calls of it go. Any address will do. */
static inline void host_prefetch(const void *p)
{
    __asm__ volatile("prefetcht0 %0" : : "m"(*(const char *)p));
}
#define N_ELEMS(a) (sizeof(a) / sizeof((a)[0]))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif

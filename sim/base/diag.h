/* SPDX-License-Identifier: MIT */
/* Errors: how bad input is reported, and how a broken invariant stops the program. */
#ifndef QUIRE_BASE_DIAG_H
#define QUIRE_BASE_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Collects the errors of one operation. Zero-initialise it; it owns no memory. Every error is one line of text without
 * a trailing newline: what was read (file, line or byte offset), what was found, what was expected. */
struct diag {
    uint32_t n_errors; /* errors reported, also those that no longer fitted into text */
    uint32_t len;      /* bytes used of text, without the terminating 0 */
    char text[4096];   /* the lines, separated by '\n', always 0-terminated */
};

/* Adds one error line. Always returns -1, so that a function can end with `return fail(d, ...)`. d may be NULL. */
int fail(struct diag *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A broken invariant of quire itself: prints one line to standard error and ends the process with exit code 3. On in
 * all builds; cond must have no side effect. */
#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (__builtin_expect(!(cond), 0))                                                                              \
            check_failed(#cond, __FILE__, __LINE__, NULL);                                                             \
    } while (0)
#define CHECK_MSG(cond, ...)                                                                                           \
    do {                                                                                                               \
        if (__builtin_expect(!(cond), 0))                                                                              \
            check_failed(#cond, __FILE__, __LINE__, __VA_ARGS__);                                                      \
    } while (0)
_Noreturn void check_failed(const char *cond, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* malloc family that never returns NULL: out of memory ends the process with one line and exit code 3. xcalloc zeroes.
 */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
/* xcalloc aligned to align bytes, a power of two >= 16; released by free(). */
void *xaligned(size_t align, size_t size);
/* The same for large tables that are read at random: on 2 MiB boundaries, with huge pages where the kernel gives them.
 */
void *xhuge(size_t size);
/* printf into fresh memory; the caller frees. */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif

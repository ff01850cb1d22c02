/* SPDX-License-Identifier: MIT */
#include "sim/base/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int fail(struct diag *d, const char *fmt, ...)
{
    if (!d)
        return -1;
    d->n_errors++;
    size_t room = sizeof d->text - d->len;
    size_t sep = d->len != 0;
    if (room < sep + 2)
        return -1;
    if (sep)
        d->text[d->len] = '\n';
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(d->text + d->len + sep, room - sep, fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    size_t used = (size_t)n < room - sep ? (size_t)n : room - sep - 1;
    d->len += (uint32_t)(sep + used);
    return -1;
}

void check_failed(const char *cond, const char *file, int line, const char *fmt, ...)
{
    fflush(stdout);
    fprintf(stderr, "quire: internal fault at %s:%d: %s", file, line, cond);
    if (fmt) {
        va_list ap;
        va_start(ap, fmt);
        fputs(": ", stderr);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
    }
    fputc('\n', stderr);
    exit(3);
}

static void *need(void *p, size_t size)
{
    if (!p && size) {
        fprintf(stderr, "quire: out of memory (%zu bytes asked for)\n", size);
        exit(3);
    }
    return p;
}

void *xmalloc(size_t size)
{
    return need(malloc(size), size);
}

void *xcalloc(size_t n, size_t size)
{
    return need(calloc(n, size), n * size);
}

void *xrealloc(void *p, size_t size)
{
    return need(realloc(p, size), size);
}

char *xstrdup(const char *s)
{
    return need(strdup(s), strlen(s) + 1);
}

void *xaligned(size_t align, size_t size)
{
    void *p = NULL;
    if (posix_memalign(&p, align, size) != 0)
        p = NULL;
    return memset(need(p, size), 0, size);
}

void *xhuge(size_t size)
{
    size_t align = 2u << 20, whole = (size + align - 1) & ~(align - 1);
    void *p = NULL;
    if (size < align)
        return xaligned(64, size);
    if (posix_memalign(&p, align, whole) != 0)
        p = NULL;
    need(p, whole);
    madvise(p, whole, MADV_HUGEPAGE); /* advice only: without it the program is slower, not wrong */
    return memset(p, 0, size);
}

char *xasprintf(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return need(n < 0 ? NULL : s, 1);
}

/* SPDX-License-Identifier: MIT */
/* The console, and the words of the C library that the compiler itself asks for. */
#include "bare.h"

#define COM1      0x3f8u
#define LSR_THRE  0x20u
#define EXIT_PORT 0xf4u /* of quire, and of qemu's isa-debug-exit */

static struct lock console_lock;

void put_char(char c)
{
    if (c == '\n')
        put_char('\r');
    while (!(in8(COM1 + 5) & LSR_THRE))
        cpu_pause();
    out8(COM1, (uint8_t)c);
}

static void put_number(uint64_t value, uint32_t base, bool is_negative, int width, char pad)
{
    char text[24];
    int n = 0;
    do
        text[n++] = "0123456789abcdef"[value % base];
    while ((value /= base));
    int length = n + is_negative;
    if (is_negative && pad == '0')
        put_char('-');
    for (; length < width; length++)
        put_char(pad);
    if (is_negative && pad != '0')
        put_char('-');
    while (n)
        put_char(text[--n]);
}

static void put_text(const char *s, int width)
{
    for (int n = (int)strlen(s); n < width; n++)
        put_char(' ');
    while (*s)
        put_char(*s++);
}

/* One conversion, at its letters behind '%'. */
static const char *convert(const char *f, va_list *args)
{
    char pad = *f == '0' ? '0' : ' ';
    int width = 0, is_long = 0;
    while (*f >= '0' && *f <= '9')
        width = width * 10 + (*f++ - '0');
    while (*f == 'l' || *f == 'z') {
        is_long = 1;
        f++;
    }
    switch (*f) {
    case 's':
        put_text(va_arg(*args, const char *), width);
        break;
    case 'c':
        put_char((char)va_arg(*args, int));
        break;
    case 'd': {
        int64_t value = is_long ? va_arg(*args, int64_t) : va_arg(*args, int);
        put_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0, width, pad);
        break;
    }
    case 'p':
        put_number((uintptr_t)va_arg(*args, void *), 16, false, width, pad);
        break;
    case 'u':
    case 'x':
        put_number(is_long ? va_arg(*args, uint64_t) : va_arg(*args, uint32_t), *f == 'x' ? 16 : 10, false, width, pad);
        break;
    default:
        put_char(*f);
    }
    return f + 1;
}

void print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    lock_take(&console_lock);
    while (*format)
        if (*format == '%')
            format = convert(format + 1, &args);
        else
            put_char(*format++);
    lock_drop(&console_lock);
    va_end(args);
}

void bare_exit(uint32_t status)
{
    out32(EXIT_PORT, status);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void *memcpy(void *to, const void *from, size_t n)
{
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n)::"memory");
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(byte) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (uint8_t)*a - (uint8_t)*b;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

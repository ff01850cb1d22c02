/* SPDX-License-Identifier: MIT */
/* Programs that end badly, by number. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static __attribute__((noinline)) int overflow_stack(volatile int n)
{
    volatile char big[4096];
    big[0] = (char)n;
    return overflow_stack(n + 1) + big[0];
}

static __attribute__((noinline)) void wild_write(void)
{
    *(volatile int *)8 = 1;
}

int main(int argc, char **argv)
{
    switch (argc > 1 ? atoi(argv[1]) : 0) {
    case 1:
        wild_write();
        break;
    case 2: /* a wild jump */
        ((void (*)(void))0x123456789000)();
        break;
    case 3:
        return overflow_stack(0);
    case 4:
        abort();
    case 5:
        __asm__ volatile("ud2");
        break;
    case 6: /* privileged */
        __asm__ volatile("hlt");
        break;
    case 7: /* not canonical */
        *(volatile char *)0x8000000000000000 = 1;
        break;
    case 8: /* jump into data */
        ((void (*)(void))(void *)argv)();
        break;
    case 9: /* a system call that there is not, then one with wild pointers */
        syscall(500, 1, 2, 3);
        return write(1, (void *)16, 4096) < 0 ? 5 : 6;
    default:
        return 0;
    }
    return 0;
}

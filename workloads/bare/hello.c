/* SPDX-License-Identifier: MIT */
/* Shows that a program starts: by PVH into 64-bit mode, with a memory map and its command line. */
#include "rt/bare.h"

int bare_main(void)
{
    uint64_t ram = 0, flags;
    __asm__ volatile("pushfq; pop %0" : "=r"(flags));
    for (uint32_t i = 0; i < n_memory_map; i++)
        if (memory_map[i].type == 1)
            ram += memory_map[i].bytes;
    print("hello from bare metal\n");
    print("long mode %u, paging %u, interrupts %u\n", (uint32_t)(rdmsr(MSR_EFER) >> 10 & 1),
          (uint32_t)(read_cr0() >> 31), (uint32_t)(flags >> 9 & 1));
    print("memory map: %s\n", ram >= 16 << 20 ? "at least 16 MiB" : "too little");
    print("numbers: [%5u] [%05d] [%d] [%lx] [%8s]\n", 42u, -42, -7, 0x123456789abcdeful, "right");
    print("command line: %s\n", command_line);
    return (int)arg_number("status", 0);
}

/* SPDX-License-Identifier: MIT */
/* SYSCALL and SYSRET (SDM volume 3, 5.8.8). */
#include "bare.h"

extern const uint8_t user_syscall[];
uint64_t (*user_call)(uint64_t number, uint64_t a, uint64_t b, uint64_t c);

void user_init(void)
{
    wrmsr(MSR_STAR, (uint64_t)(KERNEL_SS | 3) << 48 | (uint64_t)KERNEL_CS << 32);
    wrmsr(MSR_LSTAR, (uintptr_t)user_syscall);
    wrmsr(MSR_SFMASK, RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_AC);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
}

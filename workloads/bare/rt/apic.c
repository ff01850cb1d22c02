/* SPDX-License-Identifier: MIT */
/* The local APIC (SDM volume 3, chapter 11), by its page or by MSRs. */
#include "bare.h"

#define APIC_PAGE   0xfee00000ull
#define BASE_ENABLE 0x800u
#define BASE_X2     0x400u
#define MSR_X2      0x800u
#define SPURIOUS    0xffu
#define LVT_MASKED  0x10000u

static enum apic_mode mode;

static void spurious(struct trap *t)
{
    (void)t;
}

uint32_t apic_read(uint32_t reg)
{
    if (mode == APIC_X2)
        return (uint32_t)rdmsr(MSR_X2 + (reg >> 4));
    return *(volatile uint32_t *)(APIC_PAGE + reg);
}

void apic_write(uint32_t reg, uint32_t value)
{
    if (mode == APIC_X2)
        wrmsr(MSR_X2 + (reg >> 4), value);
    else
        *(volatile uint32_t *)(APIC_PAGE + reg) = value;
}

void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

uint32_t apic_id(void)
{
    uint32_t id = apic_read(APIC_ID);
    return mode == APIC_X2 ? id : id >> 24;
}

enum apic_mode apic_mode(void)
{
    return mode;
}

bool has_deadline(void)
{
    return cpuid(1, 0).c >> 24 & 1;
}

void apic_send(uint32_t to, uint32_t what)
{
    if (mode == APIC_X2) {
        __asm__ volatile("mfence; lfence" ::: "memory"); /* these writes do not wait for earlier stores */
        wrmsr(MSR_X2 + (APIC_ICR >> 4), (uint64_t)to << 32 | what);
        return;
    }
    apic_write(APIC_ICR + 0x10, to << 24);
    apic_write(APIC_ICR, what);
    while (apic_read(APIC_ICR) & 0x1000)
        cpu_pause();
}

void apic_init(enum apic_mode want)
{
    bool is_first = this_cpu()->index == 0;
    if (is_first)
        mode = want == APIC_X2 && cpuid(1, 0).c >> 21 & 1 ? APIC_X2 : APIC_X;
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_ENABLE);
    if (mode == APIC_X2)
        wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_X2);
    trap_handle(SPURIOUS, spurious);
    apic_write(APIC_LVT_LINT0, LVT_MASKED);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_SVR, 0x100 | SPURIOUS);
    this_cpu()->apic_id = apic_id();
}

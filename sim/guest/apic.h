/* SPDX-License-Identifier: MIT */
/* A local APIC (SDM volume 3, chapter 11): registers by its page (xAPIC) and by MSRs (x2APIC), interrupts that wait and
 * that are served, priorities, the timer. It knows neither the processor nor the others: what it sends goes to its
 * owner, who asks it again after every call whether an interrupt is to be taken. Version 0x14: six local vectors, no
 * EOI broadcast, no extended space. */
#ifndef QUIRE_GUEST_APIC_H
#define QUIRE_GUEST_APIC_H

#include "sim/base/types.h"

#include <stdbool.h>

#define APIC_GPA 0xfee00000ull
/* The timer counts at 1 GHz, as KVM's does (APIC_BUS_CYCLE_NS of Linux, arch/x86/kvm/lapic.h). */
#define APIC_TICK_PS 1000u

#define APIC_MSR_BASE     0x1bu
#define APIC_MSR_DEADLINE 0x6e0u
#define APIC_MSR_X2       0x800u
#define APIC_MSR_X2_LAST  0x8ffu

/* IA32_APIC_BASE. */
#define APIC_BASE_BSP    (1u << 8)
#define APIC_BASE_X2     (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)

/* Offsets of registers. */
enum apic_register {
    APIC_ID = 0x20,
    APIC_VERSION = 0x30,
    APIC_TPR = 0x80,
    APIC_APR = 0x90,
    APIC_PPR = 0xa0,
    APIC_EOI = 0xb0,
    APIC_RRD = 0xc0,
    APIC_LDR = 0xd0,
    APIC_DFR = 0xe0,
    APIC_SVR = 0xf0,
    APIC_ISR = 0x100,
    APIC_TMR = 0x180,
    APIC_IRR = 0x200,
    APIC_ESR = 0x280,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_THERMAL = 0x330,
    APIC_LVT_COUNTER = 0x340,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
    APIC_SELF_IPI = 0x3f0
};

enum apic_delivery { APIC_FIXED, APIC_LOWEST, APIC_SMI, APIC_RESERVED, APIC_NMI, APIC_INIT, APIC_STARTUP, APIC_EXTINT };
enum apic_shorthand { APIC_NO_SHORTHAND, APIC_TO_SELF, APIC_TO_ALL, APIC_TO_OTHERS };

/* What an interrupt command register sends. */
struct apic_ipi {
    uint8_t vector;
    uint8_t delivery;  /* enum apic_delivery */
    uint8_t shorthand; /* enum apic_shorthand */
    bool is_logical;
    bool is_level; /* to be ended: of an I/O APIC */
    bool is_x2;    /* the sender's mode: how destination is to be read */
    uint32_t to;   /* destination, without a shorthand */
};

/* Times of the owner, at a call. */
struct apic_clock {
    ps_t now_ps;
    uint64_t tsc, tsc_hz;
};

enum { APIC_TIMER, APIC_THERMAL, APIC_COUNTER, APIC_LINT0, APIC_LINT1, APIC_ERROR, APIC_N_LVT };

struct apic {
    uint32_t id;
    bool is_boot;
    uint64_t base; /* IA32_APIC_BASE */
    uint32_t tpr, ldr, dfr, svr, esr, esr_next, icr_high, icr_low, divide;
    uint32_t lvt[APIC_N_LVT];
    uint32_t isr[8], irr[8], tmr[8];
    uint32_t initial;
    ps_t start_ps;     /* when initial was written */
    ps_t due_ps;       /* the timer fires; UINT64_MAX: it does not run */
    uint64_t deadline; /* IA32_TSC_DEADLINE; 0: not armed */
    void (*send)(void *ctx, const struct apic_ipi *ipi);
    void (*ended)(void *ctx, uint8_t vector); /* a level-triggered interrupt; may be NULL */
    void *ctx;                                /* the owner's */
};

/* RESET: enabled in xAPIC mode, disabled by software. */
void apic_init(struct apic *a, uint32_t id, bool is_boot, void (*send)(void *, const struct apic_ipi *), void *ctx);
/* INIT: as RESET, but IA32_APIC_BASE and the id stay. */
void apic_reset(struct apic *a);

/* Registers in the page at APIC_GPA; offset is a multiple of 16 for those that exist, others read 0 and count an error.
 * Only in xAPIC mode. */
uint32_t apic_read(struct apic *a, uint32_t offset, const struct apic_clock *t);
void apic_write(struct apic *a, uint32_t offset, uint32_t value, const struct apic_clock *t);
/* The MSRs above. -1: #GP(0). */
int apic_msr_read(struct apic *a, uint32_t index, const struct apic_clock *t, uint64_t *value);
int apic_msr_write(struct apic *a, uint32_t index, uint64_t value, const struct apic_clock *t);

static inline bool apic_is_x2(const struct apic *a)
{
    return a->base & APIC_BASE_X2;
}
static inline bool apic_is_page(const struct apic *a)
{
    return (a->base & (APIC_BASE_ENABLE | APIC_BASE_X2)) == APIC_BASE_ENABLE;
}

/* A fixed interrupt arrives; lost while the APIC is disabled. */
void apic_accept(struct apic *a, uint8_t vector);
/* The same, level-triggered: the owner is told when it ends. */
void apic_accept_level(struct apic *a, uint8_t vector);
/* The vector that the processor is to take now, as far as priorities go; -1: none. */
int apic_pending(const struct apic *a);
/* Interrupts of an 8259 reach the processor: by LINT0 as ExtINT, or past an APIC that is off. */
bool apic_passes_extint(const struct apic *a);
/* The processor takes it: it is in service from now on. -1: there was none. */
int apic_acknowledge(struct apic *a);
/* Processor priority: the higher class of task priority and what is in service. */
uint32_t apic_ppr(const struct apic *a);
/* MOV CR8: the task priority's class. */
void apic_set_tpr(struct apic *a, uint32_t tpr);

/* The timer is looked at: what was due up to now arrives. */
void apic_advance(struct apic *a, const struct apic_clock *t);

/* Whether a's address matches an IPI that carries no shorthand. */
bool apic_matches(const struct apic *a, const struct apic_ipi *ipi);

#endif

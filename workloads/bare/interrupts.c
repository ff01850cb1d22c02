/* SPDX-License-Identifier: MIT */
/* Shows the local APIC: timers of all kinds, interrupts between processors, priorities, nesting, NMIs, spurious
 * registers. By its page, or with `x2apic` by MSRs where there are any. */
#include "rt/bare.h"

#define V_TIMER 0x40u
#define V_LOW   0x51u
#define V_HIGH  0x91u
#define V_CALL  0x61u

static volatile uint64_t n_timer, n_call, n_nmi;
static char order[64];
static uint32_t n_order;

static void note(char c)
{
    order[n_order++] = c;
    order[n_order] = 0;
}

static void on_timer(struct trap *t)
{
    (void)t;
    n_timer++;
    apic_eoi();
}

static void on_low(struct trap *t)
{
    (void)t;
    note('l');
    apic_send(apic_id(), V_HIGH);
    interrupts_on();
    for (volatile int i = 0; i < 100; i++)
        ;
    interrupts_off();
    note('L');
    apic_eoi();
}

static void on_high(struct trap *t)
{
    (void)t;
    note('h');
    apic_send(apic_id(), V_LOW);
    interrupts_on();
    for (volatile int i = 0; i < 100; i++)
        ;
    interrupts_off();
    note('H');
    if (n_order > 12)
        trap_handle(V_LOW, on_timer);
    apic_eoi();
}

static void on_call(struct trap *t)
{
    (void)t;
    __atomic_fetch_add(&n_call, 1, __ATOMIC_RELAXED);
    apic_eoi();
}

static void on_nmi(struct trap *t)
{
    (void)t;
    __atomic_fetch_add(&n_nmi, 1, __ATOMIC_RELAXED);
}

/* ---- timers ---- */

static void one_shot(void)
{
    n_timer = 0;
    apic_write(APIC_TIMER_DIV, 0xb); /* by 1 */
    apic_write(APIC_LVT_TIMER, V_TIMER);
    for (uint32_t i = 0; i < 5; i++) {
        apic_write(APIC_TIMER_N, 20000);
        while (n_timer == i)
            wait_interrupt();
    }
    print("one-shot: %lu interrupts of 5 started, count at rest %u\n", n_timer, apic_read(APIC_TIMER_NOW));
}

static void periodic(void)
{
    n_timer = 0;
    apic_write(APIC_TIMER_DIV, 0x0); /* by 2 */
    apic_write(APIC_LVT_TIMER, V_TIMER | TIMER_PERIODIC);
    apic_write(APIC_TIMER_N, 200000);
    while (n_timer < 8)
        wait_interrupt();
    apic_write(APIC_TIMER_N, 0);
    uint64_t at_stop = n_timer;
    for (volatile int i = 0; i < 1000; i++)
        ;
    print("periodic: %s\n", at_stop == 8 && n_timer == 8 ? "8 interrupts, none after it was stopped" : "wrong count");
}

static void deadline(void)
{
    bool has = has_deadline();
    n_timer = 0;
    apic_write(APIC_LVT_TIMER, V_TIMER | (has ? TIMER_DEADLINE : 0));
    for (uint32_t i = 0; i < 5; i++) {
        uint64_t until = rdtsc() + 100000;
        if (has)
            wrmsr(MSR_TSC_DEADLINE, until);
        else
            apic_write(APIC_TIMER_N, 100000);
        while (n_timer == i)
            wait_interrupt();
        if (has) {
            EXPECT(rdtsc() >= until);
            EXPECT(rdmsr(MSR_TSC_DEADLINE) == 0);
        }
    }
    print("deadline (one-shot where there is none): %lu interrupts of 5\n", n_timer);
    if (has) {
        wrmsr(MSR_TSC_DEADLINE, 1); /* long over */
        while (n_timer == 5)
            wait_interrupt();
        wrmsr(MSR_TSC_DEADLINE, rdtsc() + 10000000000000ull);
        wrmsr(MSR_TSC_DEADLINE, 0);
        EXPECT(n_timer == 6);
    }
    apic_write(APIC_LVT_TIMER, V_TIMER | 0x10000); /* masked */
}

static void masked(void)
{
    n_timer = 0;
    apic_write(APIC_TIMER_N, 1000);
    interrupts_on();
    while (apic_read(APIC_TIMER_NOW))
        cpu_pause();
    interrupts_off();
    print("masked: %lu interrupts\n", n_timer);
}

/* ---- priorities ---- */

static uint32_t pending(uint32_t vector)
{
    return apic_read(APIC_IRR + (vector >> 5) * 0x10) >> (vector & 31) & 1;
}

static void priorities(void)
{
    trap_handle(V_LOW, on_low);
    trap_handle(V_HIGH, on_high);
    n_order = 0;
    apic_send(apic_id(), V_LOW);
    interrupts_on();
    while (n_order < 16)
        cpu_pause();
    interrupts_off();
    print("nesting: %s\n", order);
    trap_handle(V_LOW, on_timer);
    trap_handle(V_HIGH, on_timer);
    n_timer = 0;
    apic_write(APIC_TPR, 0x60);
    apic_send(apic_id(), V_LOW);
    apic_send(apic_id(), V_HIGH);
    interrupts_on();
    __asm__ volatile("nop; nop");
    interrupts_off();
    print("task priority 60: %lu taken, 51 pending %u, 91 pending %u, processor priority %x, CR8 %lx\n", n_timer,
          pending(V_LOW), pending(V_HIGH), apic_read(APIC_PPR), read_cr8());
    write_cr8(0);
    interrupts_on();
    __asm__ volatile("nop; nop");
    interrupts_off();
    print("task priority 0: %lu taken, 51 pending %u\n", n_timer, pending(V_LOW));
    apic_send(apic_id(), V_LOW);
    apic_send(apic_id(), V_LOW);
    print("sent twice: pending %u", pending(V_LOW));
    interrupts_on();
    __asm__ volatile("nop; nop");
    interrupts_off();
    print(", taken %lu\n", n_timer - 2);
}

/* ---- between processors ---- */

static struct barrier all;
static volatile uint32_t is_over;

static void wait_calls(uint32_t index)
{
    (void)index;
    barrier_wait(&all);
    while (!is_over)
        wait_interrupt();
    barrier_wait(&all);
}

static void send_and_wait(const char *what, uint32_t to, uint32_t how, uint64_t expect)
{
    uint64_t before = n_call;
    apic_send(to, V_CALL | how);
    interrupts_on();
    while (n_call != before + expect)
        cpu_pause();
    interrupts_off();
    print("%s: %lu\n", what, n_call - before);
}

static void calls(void)
{
    uint32_t n = n_cpus();
    all.n = n;
    smp_start(wait_calls);
    barrier_wait(&all);
    for (uint32_t i = 1; i < n; i++)
        send_and_wait("to one", i, ICR_ASSERT, 1);
    send_and_wait("to itself", 0, ICR_SELF | ICR_ASSERT, 1);
    send_and_wait("to all", 0, ICR_ALL | ICR_ASSERT, n);
    send_and_wait("to all others", 0, ICR_OTHERS | ICR_ASSERT, n - 1);
    for (uint32_t i = 0; i < 500; i++) {
        uint64_t before = n_call;
        apic_send(0, V_CALL | ICR_OTHERS | ICR_ASSERT);
        while (n_call != before + n - 1)
            cpu_pause();
    }
    print("500 calls of all others: %s\n", n_call == n + n + n - 1 + 500ull * (n - 1) ? "answered" : "lost");
    apic_send(0, ICR_NMI | ICR_OTHERS | ICR_ASSERT);
    while (n_nmi != n - 1)
        cpu_pause();
    print("NMIs: %lu\n", n_nmi);
    is_over = 1;
    apic_send(0, V_CALL | ICR_OTHERS | ICR_ASSERT);
    barrier_wait(&all);
}

int bare_main(void)
{
    trap_handle(V_TIMER, on_timer);
    trap_handle(V_CALL, on_call);
    trap_handle(2, on_nmi);
    if (arg_is("verbose"))
        print("%s, %s\n", apic_mode() == APIC_X2 ? "x2APIC" : "xAPIC", has_deadline() ? "TSC deadline" : "no deadline");
    print("APIC id %u, spurious vector register %x, task priority %x\n", apic_id(), apic_read(APIC_SVR),
          apic_read(APIC_TPR));
    one_shot();
    periodic();
    deadline();
    masked();
    priorities();
    calls();
    return 0;
}

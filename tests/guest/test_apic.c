/* SPDX-License-Identifier: MIT */
/* The local APIC beside models that know no sets, no clocks: priorities by looking at all 256 vectors, the timer by
 * counting nanoseconds one by one; addresses and forbidden MSRs by the manual's tables. */
#include "sim/base/rng.h"
#include "sim/guest/apic.h"

#include <criterion/criterion.h>
#include <string.h>

static struct apic_ipi sent;
static uint32_t n_sent;

static void on_send(void *ctx, const struct apic_ipi *ipi)
{
    (void)ctx;
    sent = *ipi;
    n_sent++;
}

static struct apic_clock at(ps_t ps)
{
    return (struct apic_clock){ps, ps * 12 / 5000, 2400000000ull};
}

static void make(struct apic *a, uint32_t id, bool is_x2)
{
    struct apic_clock t = at(0);
    apic_init(a, id, id == 0, on_send, NULL);
    if (is_x2)
        cr_assert_eq(apic_msr_write(a, APIC_MSR_BASE, a->base | APIC_BASE_X2, &t), 0);
}

static uint32_t get(struct apic *a, uint32_t offset, ps_t now)
{
    struct apic_clock t = at(now);
    uint64_t value = 0;
    if (!apic_is_x2(a))
        return apic_read(a, offset, &t);
    cr_assert_eq(apic_msr_read(a, APIC_MSR_X2 + (offset >> 4), &t, &value), 0, "%x", offset);
    return (uint32_t)value;
}

static void put(struct apic *a, uint32_t offset, uint32_t value, ps_t now)
{
    struct apic_clock t = at(now);
    if (!apic_is_x2(a))
        apic_write(a, offset, value, &t);
    else
        cr_assert_eq(apic_msr_write(a, APIC_MSR_X2 + (offset >> 4), value, &t), 0, "%x", offset);
}

/* ---- priorities ---- */

struct model {
    bool waits[256], served[256];
    uint32_t tpr;
};

static int top(const bool set[256])
{
    for (int v = 255; v >= 0; v--)
        if (set[v])
            return v;
    return -1;
}

static uint32_t model_ppr(const struct model *m)
{
    int served = top(m->served);
    if (served < 0 || m->tpr >> 4 >= (uint32_t)served >> 4)
        return m->tpr;
    return (uint32_t)served >> 4 << 4;
}

static int model_pending(const struct model *m)
{
    int v = top(m->waits);
    return v >= 0 && (uint32_t)v >> 4 > model_ppr(m) >> 4 ? v : -1;
}

static void same(struct apic *a, const struct model *m)
{
    cr_assert_eq(apic_pending(a), model_pending(m));
    cr_assert_eq(get(a, APIC_PPR, 0), model_ppr(m));
    cr_assert_eq(get(a, APIC_TPR, 0), m->tpr);
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t isr = 0, irr = 0;
        for (uint32_t k = 0; k < 32; k++) {
            isr |= (uint32_t)m->served[i * 32 + k] << k;
            irr |= (uint32_t)m->waits[i * 32 + k] << k;
        }
        cr_assert_eq(get(a, APIC_ISR + i * 16, 0), isr);
        cr_assert_eq(get(a, APIC_IRR + i * 16, 0), irr);
        cr_assert_eq(get(a, APIC_TMR + i * 16, 0), 0);
    }
}

static void one_step(struct apic *a, struct model *m, struct rng *r)
{
    uint32_t v = (uint32_t)rng_below(r, 256);
    int taken;
    switch (rng_below(r, 4)) {
    case 0:
        apic_accept(a, (uint8_t)v);
        m->waits[v] |= v >= 16;
        break;
    case 1:
        taken = model_pending(m);
        cr_assert_eq(apic_acknowledge(a), taken);
        if (taken >= 0) {
            m->waits[taken] = false;
            m->served[taken] = true;
        }
        break;
    case 2:
        put(a, APIC_EOI, 0, 0);
        if (top(m->served) >= 0)
            m->served[top(m->served)] = false;
        break;
    default:
        if (v & 1) {
            m->tpr = rng_below(r, 2) ? v : v & 0x1f;
            put(a, APIC_TPR, m->tpr, 0);
        }
        break;
    }
}

Test(apic, priorities)
{
    struct rng r;
    rng_init(&r, 1, "apic");
    for (uint32_t round = 0; round < 40; round++) {
        struct apic a;
        struct model m = {.tpr = 0};
        make(&a, 0, round & 1);
        put(&a, APIC_SVR, 0x1ff, 0);
        for (uint32_t i = 0; i < 2000; i++) {
            one_step(&a, &m, &r);
            same(&a, &m);
        }
    }
}

Test(apic, disabled_takes_nothing)
{
    struct apic a;
    make(&a, 0, false);
    cr_assert_eq(get(&a, APIC_SVR, 0), 0xff);
    apic_accept(&a, 0x50);
    cr_assert_eq(apic_pending(&a), -1);
    put(&a, APIC_LVT_TIMER, 0x20, 0);
    cr_assert_eq(get(&a, APIC_LVT_TIMER, 0), 0x10020, "a local vector stays masked");
    put(&a, APIC_SVR, 0x1ff, 0);
    put(&a, APIC_LVT_TIMER, 0x20, 0);
    cr_assert_eq(get(&a, APIC_LVT_TIMER, 0), 0x20);
    put(&a, APIC_SVR, 0xff, 0);
    cr_assert_eq(get(&a, APIC_LVT_TIMER, 0), 0x10020, "disabling masks it");
}

/* ---- the timer ---- */

struct timer_case {
    uint32_t initial, divide, by, lvt;
};

/* Counts down a nanosecond at a time. */
static void run_timer(const struct timer_case *c, uint32_t begin)
{
    struct apic a;
    uint32_t left = c->initial, phase = 0;
    make(&a, 0, false);
    put(&a, APIC_SVR, 0x1ff, 0);
    put(&a, APIC_TIMER_DIVIDE, c->divide, 0);
    put(&a, APIC_LVT_TIMER, c->lvt, 0);
    put(&a, APIC_TIMER_INITIAL, c->initial, begin * 1000);
    for (uint32_t ns = begin + 1; ns < begin + 4000; ns++) {
        bool fires = false;
        struct apic_clock t = at(ns * 1000ull);
        if (left && ++phase == c->by) {
            phase = 0;
            fires = --left == 0;
            if (fires && c->lvt & 0x20000)
                left = c->initial;
        }
        apic_advance(&a, &t);
        cr_assert_eq(apic_pending(&a) >= 0, fires && !(c->lvt & 0x10000), "%u ns, %x by %u", ns, c->lvt, c->by);
        cr_assert_eq(get(&a, APIC_TIMER_CURRENT, ns * 1000ull), left, "%u ns, initial %u by %u: %u", ns, c->initial,
                     c->by, left);
        if (apic_pending(&a) >= 0) {
            cr_assert_eq(apic_acknowledge(&a), (int)(c->lvt & 0xff));
            put(&a, APIC_EOI, 0, 0);
        }
    }
}

Test(apic, timer_counts)
{
    static const uint32_t divide[][2] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};
    static const uint32_t modes[] = {0x40, 0x20040, 0x10040, 0x30040}, initials[] = {1, 2, 7, 100};
    for (uint32_t i = 0; i < N_ELEMS(divide); i++)
        for (uint32_t k = 0; k < N_ELEMS(modes) * N_ELEMS(initials); k++)
            run_timer(&(struct timer_case){initials[k % 4], divide[i][0], divide[i][1], modes[k / 4]}, 13 * k);
}

Test(apic, timer_late)
{
    struct apic a;
    struct apic_clock t = at(1000000);
    make(&a, 0, false);
    put(&a, APIC_SVR, 0x1ff, 0);
    put(&a, APIC_TIMER_DIVIDE, 0xb, 0);
    put(&a, APIC_LVT_TIMER, 0x20033, 0);
    put(&a, APIC_TIMER_INITIAL, 300, 0);
    apic_advance(&a, &t); /* 3 periods late: one interrupt, and the fourth comes in time */
    cr_assert_eq(apic_acknowledge(&a), 0x33);
    cr_assert_eq(a.due_ps, 1200000);
    put(&a, APIC_TIMER_INITIAL, 0, 1000000);
    cr_assert_eq(a.due_ps, UINT64_MAX);
}

Test(apic, deadline)
{
    struct apic a;
    struct apic_clock t = at(1000);
    uint64_t value = 1;
    make(&a, 0, true);
    put(&a, APIC_SVR, 0x1ff, 0);
    cr_assert_eq(apic_msr_write(&a, APIC_MSR_DEADLINE, 500, &t), 0);
    cr_assert_eq(a.due_ps, UINT64_MAX, "not in this mode");
    put(&a, APIC_LVT_TIMER, 0x40041, 0);
    for (uint32_t deadline = 3; deadline < 400; deadline++) {
        bool was = false;
        cr_assert_eq(apic_msr_write(&a, APIC_MSR_DEADLINE, deadline, &t), 0);
        cr_assert(apic_msr_read(&a, APIC_MSR_DEADLINE, &t, &value) == 0 && value == deadline);
        for (ps_t ps = 1000; ps < 180000; ps += 100) {
            struct apic_clock now = at(ps);
            apic_advance(&a, &now);
            bool fires = apic_acknowledge(&a) == 0x41;
            cr_assert(!fires || (!was && now.tsc >= deadline), "deadline %u at %llu ps: too early, or again", deadline,
                      (unsigned long long)ps);
            if (fires)
                put(&a, APIC_EOI, 0, ps);
            was |= fires;
            cr_assert(was || now.tsc <= deadline, "deadline %u at %llu ps: more than a tick late", deadline,
                      (unsigned long long)ps);
        }
        cr_assert(apic_msr_read(&a, APIC_MSR_DEADLINE, &t, &value) == 0 && value == 0);
    }
    cr_assert_eq(apic_msr_write(&a, APIC_MSR_DEADLINE, 1000, &t), 0);
    put(&a, APIC_TIMER_INITIAL, 5, 1000);
    cr_assert_eq(get(&a, APIC_TIMER_INITIAL, 1000), 0, "the count is not used");
    put(&a, APIC_LVT_TIMER, 0x41, 1000);
    cr_assert_eq(a.due_ps, UINT64_MAX, "another mode disarms it");
}

/* ---- who is meant ---- */

Test(apic, addresses)
{
    struct apic a, x;
    make(&a, 5, false);
    make(&x, 0x25, true);
    const struct {
        uint32_t ldr, dfr, to;
        bool is_logical, expect;
    } cases[] = {
        {0, UINT32_MAX, 5, false, true},
        {0, UINT32_MAX, 4, false, false},
        {0, UINT32_MAX, 0xff, false, true},
        {0x04000000, UINT32_MAX, 0x04, true, true},
        {0x04000000, UINT32_MAX, 0x07, true, true},
        {0x04000000, UINT32_MAX, 0x08, true, false},
        {0x04000000, UINT32_MAX, 0xff, true, true},
        {0x24000000, 0x0fffffff, 0x24, true, true},
        {0x24000000, 0x0fffffff, 0x2f, true, true},
        {0x24000000, 0x0fffffff, 0x14, true, false},
        {0x24000000, 0x0fffffff, 0x28, true, false},
        {0, UINT32_MAX, 0x04, true, false},
    };
    for (uint32_t i = 0; i < N_ELEMS(cases); i++) {
        put(&a, APIC_LDR, cases[i].ldr, 0);
        put(&a, APIC_DFR, cases[i].dfr, 0);
        struct apic_ipi ipi = {.is_logical = cases[i].is_logical, .to = cases[i].to};
        cr_assert_eq(apic_matches(&a, &ipi), cases[i].expect, "case %u", i);
    }
    cr_assert_eq(get(&x, APIC_LDR, 0), 0x00020020);
    const uint32_t to[][3] = {{0x25, 0, 1},       {0x05, 0, 0},       {UINT32_MAX, 0, 1}, {0xff, 0, 0},
                              {0x00020020, 1, 1}, {0x000200ff, 1, 1}, {0x00010020, 1, 0}, {0x00020010, 1, 0}};
    for (uint32_t i = 0; i < N_ELEMS(to); i++) {
        struct apic_ipi ipi = {.is_x2 = true, .is_logical = to[i][1], .to = to[i][0]};
        cr_assert_eq(apic_matches(&x, &ipi), to[i][2], "x2 case %u", i);
    }
}

Test(apic, commands)
{
    struct apic a;
    make(&a, 0, false);
    put(&a, APIC_SVR, 0x1ff, 0);
    n_sent = 0;
    put(&a, APIC_ICR_HIGH, 0x03000000, 0);
    cr_assert_eq(n_sent, 0);
    put(&a, APIC_ICR, 0x4661, 0);
    cr_assert(n_sent == 1 && sent.to == 3 && sent.delivery == APIC_STARTUP && sent.vector == 0x61 && !sent.shorthand);
    cr_assert_eq(get(&a, APIC_ICR, 0), 0x4661);
    put(&a, APIC_ICR, 0xc4540, 0);
    cr_assert(n_sent == 2 && sent.shorthand == APIC_TO_OTHERS && sent.delivery == APIC_INIT);
    put(&a, APIC_ICR, 0x8500, 0); /* level de-assert */
    cr_assert_eq(n_sent, 2);
    put(&a, APIC_ICR, 0x400f, 0);
    cr_assert_eq(n_sent, 2, "vector 15 is illegal");
    put(&a, APIC_ESR, 0, 0);
    cr_assert_eq(get(&a, APIC_ESR, 0), 0x20);
    apic_accept(&a, 3);
    get(&a, 0x3d0, 0);
    put(&a, APIC_ESR, 0, 0);
    cr_assert_eq(get(&a, APIC_ESR, 0), 0xc0);
    put(&a, APIC_ESR, 0, 0);
    cr_assert_eq(get(&a, APIC_ESR, 0), 0);
    struct apic_clock t = at(0);
    make(&a, 1, true);
    put(&a, APIC_SVR, 0x1ff, 0);
    cr_assert_eq(apic_msr_write(&a, 0x830, 0x1234567800004051ull, &t), 0);
    cr_assert(n_sent == 3 && sent.to == 0x12345678 && sent.is_x2);
    put(&a, APIC_SELF_IPI, 0x77, 0);
    cr_assert(n_sent == 4 && sent.shorthand == APIC_TO_SELF && sent.vector == 0x77);
}

/* ---- MSRs ---- */

/* r and w of SDM volume 3, table 11-6; all else is #GP. */
static const char *x2_rights(uint32_t index)
{
    static const struct {
        uint32_t first, last;
        const char *rights;
    } table[] = {{0x802, 0x803, "r"},  {0x808, 0x808, "rw"}, {0x80a, 0x80a, "r"}, {0x80b, 0x80b, "w"},
                 {0x80d, 0x80d, "r"},  {0x80f, 0x80f, "rw"}, {0x810, 0x827, "r"}, {0x828, 0x828, "rw"},
                 {0x830, 0x830, "rw"}, {0x832, 0x838, "rw"}, {0x839, 0x839, "r"}, {0x83e, 0x83e, "rw"},
                 {0x83f, 0x83f, "w"}};
    for (uint32_t i = 0; i < N_ELEMS(table); i++)
        if (index >= table[i].first && index <= table[i].last)
            return table[i].rights;
    return "";
}

Test(apic, x2_rights)
{
    struct apic a, off;
    struct apic_clock t = at(0);
    uint64_t value;
    make(&a, 0, true);
    make(&off, 0, false);
    for (uint32_t index = 0x800; index < 0x900; index++) {
        cr_assert_eq(apic_msr_read(&a, index, &t, &value), strchr(x2_rights(index), 'r') ? 0 : -1, "read %x", index);
        uint64_t good = index == 0x830 || index == 0x83f ? 0x40 : 0;
        cr_assert_eq(apic_msr_write(&a, index, good, &t), strchr(x2_rights(index), 'w') ? 0 : -1, "write %x", index);
        if (index != 0x830)
            cr_assert_eq(apic_msr_write(&a, index, 1ull << 32, &t), -1, "reserved bits of %x", index);
        cr_assert_eq(apic_msr_read(&off, index, &t, &value), -1);
        cr_assert_eq(apic_msr_write(&off, index, 0, &t), -1);
    }
    cr_assert_eq(apic_msr_write(&a, 0x80b, 1, &t), -1, "EOI takes 0 alone");
}

/* Figure 11-27: which state leads to which. */
Test(apic, base_transitions)
{
    static const uint32_t states[] = {0, APIC_BASE_ENABLE, APIC_BASE_ENABLE | APIC_BASE_X2, APIC_BASE_X2};
    static const bool may[4][4] = {{1, 1, 0, 0}, {1, 1, 1, 0}, {1, 0, 1, 0}};
    struct apic_clock t = at(0);
    for (uint32_t from = 0; from < 3; from++)
        for (uint32_t to = 0; to < 4; to++) {
            struct apic a;
            make(&a, 0, from == 2);
            if (from == 0)
                cr_assert_eq(apic_msr_write(&a, APIC_MSR_BASE, APIC_GPA | APIC_BASE_BSP, &t), 0);
            cr_assert_eq(apic_msr_write(&a, APIC_MSR_BASE, APIC_GPA | APIC_BASE_BSP | states[to], &t),
                         may[from][to] ? 0 : -1, "%u to %u", from, to);
            cr_assert_eq(a.base & (APIC_BASE_ENABLE | APIC_BASE_X2), may[from][to] ? states[to] : states[from]);
        }
    struct apic a;
    make(&a, 0, false);
    cr_assert_eq(apic_msr_write(&a, APIC_MSR_BASE, 0xfec00000 | APIC_BASE_ENABLE, &t), -1, "the page stays");
}

Test(apic, init_keeps_identity)
{
    struct apic a;
    make(&a, 7, true);
    put(&a, APIC_SVR, 0x1ff, 0);
    put(&a, APIC_TPR, 0x40, 0);
    apic_accept(&a, 0x99);
    apic_reset(&a);
    cr_assert(apic_is_x2(&a) && get(&a, APIC_ID, 0) == 7 && get(&a, APIC_TPR, 0) == 0 && apic_pending(&a) == -1);
    cr_assert_eq(get(&a, APIC_SVR, 0), 0xff);
    cr_assert_eq(get(&a, APIC_LVT_ERROR, 0), 0x10000);
}

/* SPDX-License-Identifier: MIT */
#include "sim/guest/apic.h"

#include <string.h>

#define VERSION      0x00050014u
#define LVT_MASKED   (1u << 16)
#define LVT_MODE     (3u << 17) /* of the timer */
#define LVT_PERIODIC (1u << 17)
#define LVT_DEADLINE (2u << 17)
#define SVR_ENABLE   (1u << 8)
#define SVR_RESET    0xffu
#define ESR_SEND     (1u << 5) /* an illegal vector was sent */
#define ESR_RECEIVE  (1u << 6) /* arrived, or is in a local vector */
#define ESR_REGISTER (1u << 7) /* a register that does not exist */
#define BAD_VECTOR   16u       /* vectors below are illegal (SDM volume 3, 11.5.2) */
#define LOGICAL_FLAT 0xfu
#define ICR_LOGICAL  (1u << 11)
#define ICR_ASSERT   (1u << 14)
#define ICR_LEVEL    (1u << 15)
#define ICR_BITS     0x000ccfffu /* of the low half; delivery status is always idle */

/* Bits of each local vector that can be written. */
static const struct {
    uint16_t offset;
    uint32_t bits;
} lvts[APIC_N_LVT] = {
    [APIC_TIMER] = {APIC_LVT_TIMER, 0x700ff},     [APIC_THERMAL] = {APIC_LVT_THERMAL, 0x107ff},
    [APIC_COUNTER] = {APIC_LVT_COUNTER, 0x107ff}, [APIC_LINT0] = {APIC_LVT_LINT0, 0x1a7ff},
    [APIC_LINT1] = {APIC_LVT_LINT1, 0x1a7ff},     [APIC_ERROR] = {APIC_LVT_ERROR, 0x100ff},
};

/* ---- sets of vectors ---- */

static void set_vector(uint32_t set[8], uint32_t vector)
{
    set[vector >> 5] |= 1u << (vector & 31);
}

static void clear_vector(uint32_t set[8], uint32_t vector)
{
    set[vector >> 5] &= ~(1u << (vector & 31));
}

static int highest(const uint32_t set[8])
{
    for (uint32_t i = 8; i-- > 0;)
        if (set[i])
            return (int)(i * 32 + 31 - (uint32_t)__builtin_clz(set[i]));
    return -1;
}

/* ---- interrupts ---- */

static void error(struct apic *a, uint32_t bit)
{
    uint32_t lvt = a->lvt[APIC_ERROR];
    bool is_new = !(a->esr_next & bit);
    a->esr_next |= bit;
    if (is_new && !(lvt & LVT_MASKED) && (lvt & 0xff) >= BAD_VECTOR)
        apic_accept(a, (uint8_t)lvt);
}

static void accept(struct apic *a, uint8_t vector, bool is_level)
{
    if (!(a->base & APIC_BASE_ENABLE) || !(a->svr & SVR_ENABLE))
        return;
    if (vector < BAD_VECTOR) {
        error(a, ESR_RECEIVE);
        return;
    }
    set_vector(a->irr, vector);
    (is_level ? set_vector : clear_vector)(a->tmr, vector);
}

void apic_accept(struct apic *a, uint8_t vector)
{
    accept(a, vector, false);
}

void apic_accept_level(struct apic *a, uint8_t vector)
{
    accept(a, vector, true);
}

uint32_t apic_ppr(const struct apic *a)
{
    int served = highest(a->isr);
    uint32_t class_served = served < 0 ? 0 : (uint32_t)served & 0xf0;
    return (a->tpr & 0xf0) >= class_served ? a->tpr : class_served;
}

int apic_pending(const struct apic *a)
{
    int vector = highest(a->irr);
    return vector >= 0 && ((uint32_t)vector & 0xf0) > (apic_ppr(a) & 0xf0) ? vector : -1;
}

bool apic_passes_extint(const struct apic *a)
{
    uint32_t lint0 = a->lvt[APIC_LINT0];
    return !(a->base & APIC_BASE_ENABLE) || (!(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == APIC_EXTINT);
}

int apic_acknowledge(struct apic *a)
{
    int vector = apic_pending(a);
    if (vector < 0)
        return -1;
    clear_vector(a->irr, (uint32_t)vector);
    set_vector(a->isr, (uint32_t)vector);
    return vector;
}

void apic_set_tpr(struct apic *a, uint32_t tpr)
{
    a->tpr = tpr & 0xff;
}

static void end_of_interrupt(struct apic *a)
{
    int served = highest(a->isr);
    if (served < 0)
        return;
    clear_vector(a->isr, (uint32_t)served);
    if (a->tmr[served >> 5] >> (served & 31) & 1 && a->ended)
        a->ended(a->ctx, (uint8_t)served);
}

/* ---- interrupt commands ---- */

bool apic_matches(const struct apic *a, const struct apic_ipi *ipi)
{
    if (!(a->base & APIC_BASE_ENABLE))
        return false;
    if (ipi->is_x2 ? ipi->to == UINT32_MAX : ipi->to == 0xff)
        return true;
    if (!ipi->is_logical)
        return ipi->to == (apic_is_x2(a) ? a->id : a->id & 0xff);
    if (apic_is_x2(a)) {
        uint32_t ldr = a->id >> 4 << 16 | 1u << (a->id & 15);
        return ipi->to >> 16 == ldr >> 16 && ipi->to & ldr & 0xffff;
    }
    uint32_t mine = a->ldr >> 24;
    if (a->dfr >> 28 == LOGICAL_FLAT)
        return ipi->to & mine;
    return ipi->to >> 4 == mine >> 4 && ipi->to & mine & 0xf;
}

static void command(struct apic *a, uint32_t low, uint32_t to)
{
    struct apic_ipi ipi = {
        .vector = (uint8_t)low,
        .delivery = low >> 8 & 7,
        .shorthand = low >> 18 & 3,
        .is_logical = low & ICR_LOGICAL,
        .is_x2 = apic_is_x2(a),
        .to = to,
    };
    bool has_vector = ipi.delivery == APIC_FIXED || ipi.delivery == APIC_LOWEST;
    if (has_vector && ipi.vector < BAD_VECTOR) {
        error(a, ESR_SEND);
        return;
    }
    if (ipi.delivery == APIC_INIT && low & ICR_LEVEL && !(low & ICR_ASSERT))
        return; /* "INIT level de-assert" has had no effect since the Pentium 4 */
    a->send(a->ctx, &ipi);
}

/* ---- the timer ---- */

/* Ticks a count (SDM volume 3, figure 11-10). */
static uint64_t divisor(const struct apic *a)
{
    uint32_t code = (a->divide & 3) | (a->divide >> 1 & 4);
    return code == 7 ? 1 : 2ull << code;
}

static uint64_t count_ps(const struct apic *a)
{
    return divisor(a) * APIC_TICK_PS;
}

static void start_timer(struct apic *a, ps_t now)
{
    a->start_ps = now;
    a->due_ps = a->initial ? now + a->initial * count_ps(a) : UINT64_MAX;
}

static uint32_t current_count(const struct apic *a, ps_t now)
{
    uint64_t gone;
    if ((a->lvt[APIC_TIMER] & LVT_MODE) == LVT_DEADLINE || !a->initial || a->due_ps == UINT64_MAX)
        return 0;
    gone = (now - min_u64(now, a->start_ps)) / count_ps(a);
    return (uint32_t)(a->initial - min_u64(gone, a->initial));
}

static void arm_deadline(struct apic *a, uint64_t deadline, const struct apic_clock *t)
{
    a->deadline = deadline;
    a->due_ps = UINT64_MAX;
    if (!deadline)
        return;
    uint64_t left = deadline - min_u64(deadline, t->tsc);
    unsigned __int128 ps = ((unsigned __int128)left * PS_PER_S + t->tsc_hz - 1) / t->tsc_hz + t->now_ps;
    a->due_ps = ps < UINT64_MAX ? (ps_t)ps : UINT64_MAX - 1;
}

void apic_advance(struct apic *a, const struct apic_clock *t)
{
    uint32_t lvt = a->lvt[APIC_TIMER];
    if (t->now_ps < a->due_ps)
        return;
    if ((lvt & LVT_MODE) == LVT_PERIODIC) {
        ps_t period = a->initial * count_ps(a);
        a->start_ps += (t->now_ps - a->start_ps) / period * period; /* what was missed is one interrupt */
        a->due_ps = a->start_ps + period;
    } else {
        a->due_ps = UINT64_MAX;
        a->deadline = 0;
    }
    if (!(lvt & LVT_MASKED))
        apic_accept(a, (uint8_t)lvt);
}

/* ---- registers ---- */

static void write_lvt(struct apic *a, uint32_t i, uint32_t value)
{
    uint32_t before = a->lvt[i];
    a->lvt[i] = (value & lvts[i].bits) | (a->svr & SVR_ENABLE ? 0 : LVT_MASKED);
    if (i != APIC_TIMER || (before & LVT_MODE) == (a->lvt[i] & LVT_MODE))
        return;
    /* A change of mode to or from the deadline stops the timer (SDM volume 3, 11.5.4.1). */
    if ((before & LVT_MODE) == LVT_DEADLINE || (a->lvt[i] & LVT_MODE) == LVT_DEADLINE) {
        a->due_ps = UINT64_MAX;
        a->deadline = 0;
        a->initial = 0;
    }
}

static void write_svr(struct apic *a, uint32_t value)
{
    a->svr = value & 0x1ff;
    for (uint32_t i = 0; i < APIC_N_LVT && !(value & SVR_ENABLE); i++)
        a->lvt[i] |= LVT_MASKED;
}

static int lvt_at(uint32_t offset)
{
    for (uint32_t i = 0; i < APIC_N_LVT; i++)
        if (lvts[i].offset == offset)
            return (int)i;
    return -1;
}

static uint32_t logical_id(const struct apic *a)
{
    return apic_is_x2(a) ? a->id >> 4 << 16 | 1u << (a->id & 15) : a->ldr;
}

/* False: there is no such register to read. */
static bool read_register(struct apic *a, uint32_t offset, const struct apic_clock *t, uint32_t *value)
{
    int lvt = lvt_at(offset);
    if (lvt >= 0) {
        *value = a->lvt[lvt];
        return true;
    }
    if (offset >= APIC_ISR && offset < APIC_ESR) {
        const uint32_t *set = offset < APIC_TMR ? a->isr : offset < APIC_IRR ? a->tmr : a->irr;
        *value = set[offset >> 4 & 7];
        return true;
    }
    switch (offset) {
    case APIC_ID:
        *value = apic_is_x2(a) ? a->id : a->id << 24;
        return true;
    case APIC_VERSION:
        *value = VERSION;
        return true;
    case APIC_TPR:
        *value = a->tpr;
        return true;
    case APIC_PPR:
        *value = apic_ppr(a);
        return true;
    case APIC_LDR:
        *value = logical_id(a);
        return true;
    case APIC_SVR:
        *value = a->svr;
        return true;
    case APIC_ESR:
        *value = a->esr;
        return true;
    case APIC_ICR:
        *value = a->icr_low;
        return true;
    case APIC_TIMER_INITIAL:
        *value = a->initial;
        return true;
    case APIC_TIMER_CURRENT:
        *value = current_count(a, t->now_ps);
        return true;
    case APIC_TIMER_DIVIDE:
        *value = a->divide;
        return true;
    default:
        return false;
    }
}

uint32_t apic_read(struct apic *a, uint32_t offset, const struct apic_clock *t)
{
    uint32_t value = 0;
    switch (offset) { /* of the page alone */
    case APIC_APR:
    case APIC_RRD:
    case APIC_EOI:
        return 0;
    case APIC_DFR:
        return a->dfr;
    case APIC_ICR_HIGH:
        return a->icr_high;
    default:
        break;
    }
    if (!read_register(a, offset, t, &value))
        error(a, ESR_REGISTER);
    return value;
}

static void write_initial(struct apic *a, uint32_t value, ps_t now)
{
    if ((a->lvt[APIC_TIMER] & LVT_MODE) == LVT_DEADLINE)
        return;
    a->initial = value;
    start_timer(a, now);
}

/* A new divisor takes over what is left of the count. */
static void write_divide(struct apic *a, uint32_t value, ps_t now)
{
    uint32_t left = current_count(a, now);
    a->divide = value & 0xb;
    if (left && a->due_ps != UINT64_MAX) {
        a->due_ps = now + left * count_ps(a);
        a->start_ps = a->due_ps - min_u64(a->due_ps, a->initial * count_ps(a));
    }
}

/* False: there is no such register to write. */
static bool write_register(struct apic *a, uint32_t offset, uint32_t value, const struct apic_clock *t)
{
    int lvt = lvt_at(offset);
    if (lvt >= 0) {
        write_lvt(a, (uint32_t)lvt, value);
        return true;
    }
    switch (offset) {
    case APIC_TPR:
        apic_set_tpr(a, value);
        return true;
    case APIC_EOI:
        end_of_interrupt(a);
        return true;
    case APIC_SVR:
        write_svr(a, value);
        return true;
    case APIC_ESR: /* a write shows what has come together since the last */
        a->esr = a->esr_next;
        a->esr_next = 0;
        return true;
    case APIC_TIMER_INITIAL:
        write_initial(a, value, t->now_ps);
        return true;
    case APIC_TIMER_DIVIDE:
        write_divide(a, value, t->now_ps);
        return true;
    default:
        return false;
    }
}

void apic_write(struct apic *a, uint32_t offset, uint32_t value, const struct apic_clock *t)
{
    switch (offset) { /* of the page alone */
    case APIC_ID:
        return; /* not writable since the Pentium 4 */
    case APIC_LDR:
        a->ldr = value & 0xff000000;
        return;
    case APIC_DFR:
        a->dfr = value | 0x0fffffff;
        return;
    case APIC_ICR_HIGH:
        a->icr_high = value & 0xff000000;
        return;
    case APIC_ICR:
        a->icr_low = value & ICR_BITS;
        command(a, a->icr_low, a->icr_high >> 24);
        return;
    default:
        if (!write_register(a, offset, value, t))
            error(a, ESR_REGISTER);
    }
}

/* ---- MSRs ---- */

/* What IA32_APIC_BASE may become (SDM volume 3, figure 11-27); the page stays where it is. */
static int write_base(struct apic *a, uint64_t value)
{
    uint32_t was = (uint32_t)a->base & (APIC_BASE_ENABLE | APIC_BASE_X2),
             now = (uint32_t)value & (APIC_BASE_ENABLE | APIC_BASE_X2);
    if ((value & ~(uint64_t)(APIC_BASE_ENABLE | APIC_BASE_X2 | APIC_BASE_BSP)) != APIC_GPA)
        return -1;
    if (now == APIC_BASE_X2 || (was & APIC_BASE_X2 && now == APIC_BASE_ENABLE) ||
        (!was && now == (APIC_BASE_ENABLE | APIC_BASE_X2)))
        return -1;
    a->base = (value & ~(uint64_t)APIC_BASE_BSP) | (a->is_boot ? APIC_BASE_BSP : 0);
    if (was && !now) {
        uint64_t base = a->base;
        apic_reset(a);
        a->base = base;
    }
    return 0;
}

int apic_msr_read(struct apic *a, uint32_t index, const struct apic_clock *t, uint64_t *value)
{
    uint32_t offset = (index - APIC_MSR_X2) << 4, low = 0;
    if (index == APIC_MSR_BASE) {
        *value = a->base;
        return 0;
    }
    if (index == APIC_MSR_DEADLINE) {
        *value = (a->lvt[APIC_TIMER] & LVT_MODE) == LVT_DEADLINE ? a->deadline : 0;
        return 0;
    }
    if (!apic_is_x2(a) || index < APIC_MSR_X2 || index > APIC_MSR_X2_LAST || !read_register(a, offset, t, &low))
        return -1;
    *value = offset == APIC_ICR ? (uint64_t)a->icr_high << 32 | low : low;
    return 0;
}

/* Values that have reserved bits set are refused, register by register (SDM volume 3, table 11-6). */
static bool is_valid(uint32_t offset, uint64_t value)
{
    int lvt = lvt_at(offset);
    if (lvt >= 0)
        return !(value & ~(uint64_t)(lvts[lvt].bits | 1u << 12 | 1u << 14));
    switch (offset) {
    case APIC_TPR:
    case APIC_SELF_IPI:
        return value <= 0xff;
    case APIC_EOI:
    case APIC_ESR:
        return value == 0;
    case APIC_SVR:
        return value <= 0x1fff;
    case APIC_TIMER_DIVIDE:
        return value <= 0xf;
    case APIC_ICR:
        return !(value & 0xffffffff & ~(uint64_t)ICR_BITS);
    default:
        return value <= UINT32_MAX;
    }
}

int apic_msr_write(struct apic *a, uint32_t index, uint64_t value, const struct apic_clock *t)
{
    uint32_t offset = (index - APIC_MSR_X2) << 4;
    if (index == APIC_MSR_BASE)
        return write_base(a, value);
    if (index == APIC_MSR_DEADLINE) {
        if ((a->lvt[APIC_TIMER] & LVT_MODE) == LVT_DEADLINE)
            arm_deadline(a, value, t);
        return 0;
    }
    if (!apic_is_x2(a) || index < APIC_MSR_X2 || index > APIC_MSR_X2_LAST || !is_valid(offset, value))
        return -1;
    if (offset == APIC_ICR) {
        a->icr_low = (uint32_t)value;
        a->icr_high = (uint32_t)(value >> 32);
        command(a, a->icr_low, a->icr_high);
        return 0;
    }
    if (offset == APIC_SELF_IPI) {
        command(a, (uint32_t)value | APIC_TO_SELF << 18 | ICR_ASSERT, 0);
        return 0;
    }
    return write_register(a, offset, (uint32_t)value, t) ? 0 : -1;
}

/* ---- set-up ---- */

void apic_reset(struct apic *a)
{
    struct apic fresh = {
        .id = a->id,
        .is_boot = a->is_boot,
        .base = a->base,
        .dfr = UINT32_MAX,
        .svr = SVR_RESET,
        .due_ps = UINT64_MAX,
        .send = a->send,
        .ended = a->ended,
        .ctx = a->ctx,
    };
    for (uint32_t i = 0; i < APIC_N_LVT; i++)
        fresh.lvt[i] = LVT_MASKED;
    *a = fresh;
}

void apic_init(struct apic *a, uint32_t id, bool is_boot, void (*send)(void *, const struct apic_ipi *), void *ctx)
{
    *a = (struct apic){.id = id, .is_boot = is_boot, .send = send, .ctx = ctx};
    a->base = APIC_GPA | APIC_BASE_ENABLE | (is_boot ? APIC_BASE_BSP : 0);
    apic_reset(a);
}

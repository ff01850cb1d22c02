/* SPDX-License-Identifier: MIT */
/* System mode with whatever a guest may do to itself: random code at any level in any mode, over random control
 * registers, tables and descriptors. Nothing is expected but an end: the budget, or a stop that has a name. */
#include "sim/base/rng.h"
#include "tests/cpu/x86_machine.h"

#include <criterion/criterion.h>

#define CASES 300u /* or $QUIRE_HOSTILE_CASES */
#define INSNS 400u

/* Instructions of system mode, among which random bytes are strewn. */
static const struct {
    const char *code;
    uint8_t n;
} seeds[] = {
    {"\x0f\x22\xc0", 3},
    {"\x0f\x22\xd8", 3},
    {"\x0f\x22\xe0", 3},
    {"\x0f\x20\xc0", 3},
    {"\x0f\x23\xf8", 3},
    {"\x0f\x32", 2},
    {"\x0f\x30", 2},
    {"\x0f\x01\x13", 3},
    {"\x0f\x01\x1b", 3},
    {"\x0f\x00\xd8", 3},
    {"\x0f\x00\xd0", 3},
    {"\x8e\xd8", 2},
    {"\x8e\xd0", 2},
    {"\x8e\xe0", 2},
    {"\x0f\x01\x3b", 3},
    {"\x48\xcf", 2},
    {"\xcf", 1},
    {"\xcd\x21", 2},
    {"\xcc", 1},
    {"\xfb", 1},
    {"\xfa", 1},
    {"\x9d", 1},
    {"\x9c", 1},
    {"\x0f\x05", 2},
    {"\x48\x0f\x07", 3},
    {"\x0f\x01\xf8", 3},
    {"\xec", 1},
    {"\xf3\x6c", 2},
    {"\xff\x2b", 2},
    {"\xff\x1b", 2},
    {"\xcb", 1},
    {"\x0f\xae\x13", 3},
    {"\xf2\x0f\x5e\xc1", 4},
    {"\x0f\xae\x23", 3},
    {"\x0f\xae\x2b", 3},
    {"\x0f\x01\xcb", 3},
    {"\x0f\x02\xd0", 3},
    {"\x60", 1},
    {"\x61", 1},
    {"\xc8\x10\x00\x00", 4},
    {"\x66\xea\x00\x00\x03\x00\x40\x00", 8},
    {"\xe8\x10\x00\x00\x00", 5},
    {"\xc3", 1},
    {"\x75\xf0", 2},
    {"\xf3\xa4", 2},
    {"\xf3\xab", 2},
    {"\x67\x8b\x07", 3},
    {"\x0f\xb2\x03", 3},
    {"\x0f\x01\xd1", 3},
};

static uint64_t any(struct rng *r)
{
    static const uint64_t favourites[] = {0,     1,         3,    KCODE,  KDATA, UDATA | 3,     UCODE | 3,     TR, DATA,
                                          STACK, USER_DATA, CODE, TABLES, ~0ull, 0xffff0000000, 0x800000000000};
    uint64_t v = rng_next(r);
    return v & 1 ? favourites[v >> 1 & 15] : v & 2 ? rng_next(r) : v & 4 ? rng_next(r) & 0x1fffff : v >> 8 & 0xff;
}

static void random_code(struct sys *s, struct rng *r, uint64_t at)
{
    for (uint32_t i = 0; i < 256;) {
        uint64_t v = rng_next(r);
        if (v & 3) {
            uint32_t k = (uint32_t)(v >> 8) % N_ELEMS(seeds);
            sys_put(s, at + i, seeds[k].code, seeds[k].n);
            i += seeds[k].n;
        } else {
            sys_put(s, at + i, &v, 1 + (v >> 4 & 3));
            i += 1 + (v >> 4 & 3);
        }
    }
}

static void random_state(struct sys *s, struct rng *r)
{
    struct x86_state *c = &s->cpu.state;
    uint64_t v = rng_next(r);
    for (uint32_t i = 0; i < 16; i++)
        if (i != X86_RSP || v & 1)
            c->gpr[i] = any(r);
    for (uint32_t i = 0; i < 4; i++)
        sys_put64(s, GDT + (rng_next(r) & 7) * 8, rng_next(r) & 1 ? any(r) : rng_next(r) | 0x90ull << 40);
    for (uint32_t i = 0; i < 8; i++)
        sys_put64(s, IDT + (rng_next(r) & 255) * 16, rng_next(r));
    for (uint32_t i = 0; i < 4; i++) /* holes, and rights, in the pages */
        sys_map(s, (rng_next(r) & 511) << PAGE_SHIFT, rng_next(r) & (PTE_P | PTE_W | PTE_U | PTE_NX));
    if (v & 2)
        c->cr4 |= X86_CR4_SMAP | X86_CR4_SMEP | X86_CR4_PCIDE;
    if (v & 4)
        c->dr[7] |= rng_next(r) & 0xffff00ff;
    if (v & 8)
        x86_set_rflags(&s->cpu, rng_next(r) & 0x3f7fd7);
    if (v & 16)
        sys_user(s);
    if ((v & 0x60) == 0x20) { /* 32-bit or 16-bit code under a 64-bit kernel */
        c->seg[X86_CS].attributes = (uint16_t)((c->seg[X86_CS].attributes & ~0x2000u) | (v & 0x80 ? 0x4000 : 0));
        c->seg[X86_CS].base = v & 0x100 ? 0x100 : 0;
        c->seg[X86_SS].attributes &= (uint16_t)(v & 0x200 ? 0xffff : 0xbfff);
    }
    if ((v & 0x60) == 0x40) { /* paging off */
        c->cr0 = X86_CR0_ET | (v & 0x80 ? X86_CR0_PE : 0);
        c->cr4 = c->efer = 0;
        c->seg[X86_CS].attributes = (uint16_t)(v & 0x100 ? 0xc09b : 0x009b);
        c->cpl = 0;
    }
    x86_changed(&s->cpu);
}

static void one_case(uint64_t n, uint64_t *ends)
{
    struct sys *s = sys_new();
    struct rng r;
    rng_init(&r, n, "hostile");
    random_code(s, &r, CODE);
    random_code(s, &r, USER);
    for (uint32_t i = 0; i < 8; i++)
        random_code(s, &r, HANDLERS + (rng_next(&r) & 31) * 16);
    random_state(s, &r);
    if (n & 1)
        x86_set_timing(&s->cpu, n & 2 ? X86_BLOCK : X86_WARM);
    s->vector = (int)(rng_next(&r) & 0xff);
    for (uint32_t round = 0; round < 4; round++) {
        enum x86_stop why = x86_run(&s->cpu, INSNS, 0);
        ends[why]++;
        if (why == X86_STOP_SHUTDOWN || why == X86_STOP_UNSUPPORTED || why == X86_STOP_BUS)
            break;
        cr_assert(why == X86_STOP_BUDGET || why == X86_STOP_HLT, "case %lu: stop %d", (unsigned long)n, why);
        cr_assert_leq(s->cpu.instructions, (round + 1) * INSNS, "case %lu", (unsigned long)n);
        x86_interrupt_raise(&s->cpu);
        if (round == 2)
            x86_nmi(&s->cpu);
    }
    sys_free(s);
}

Test(x86_hostile, random_code_in_every_mode)
{
    const char *cases = getenv("QUIRE_HOSTILE_CASES");
    uint64_t ends[X86_STOP_SHUTDOWN + 1] = {0}, n_cases = cases ? strtoull(cases, NULL, 10) : CASES;
    for (uint64_t n = 0; n < n_cases; n++)
        one_case(n, ends);
    cr_assert_gt(ends[X86_STOP_BUDGET], 0);
    cr_assert_gt(ends[X86_STOP_HLT], 0);
    cr_assert_gt(ends[X86_STOP_SHUTDOWN], 0);
    if (cases)
        for (uint32_t i = 0; i <= X86_STOP_SHUTDOWN; i++)
            fprintf(stderr, "stop %u: %lu\n", i, (unsigned long)ends[i]);
}

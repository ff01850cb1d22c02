/* SPDX-License-Identifier: MIT */
/* The timing models on a whole memory system: what a real core orders, they order too. */
#include "tests/cpu/x86_rig.h"

#include <criterion/criterion.h>

#define DATA (RIG_BASE + 256 * PAGE_BYTES)

/* A ring of pointers, a line apart, over n_lines, in an order that no prefetcher would see. */
static void ring(struct x86_rig *r, uint64_t n_lines, uint64_t step)
{
    for (uint64_t i = 0, at = 0; i < n_lines; i++) {
        uint64_t to = (at + step) % n_lines, p = DATA + to * LINE_BYTES;
        x86_rig_put(r, DATA + at * LINE_BYTES, &p, 8);
        at = to;
    }
}
static void ring_l1(struct x86_rig *r)
{
    ring(r, 256, 77);
}
static void ring_l2(struct x86_rig *r)
{
    ring(r, 8192, 2049 + 32);
}
static void ring_memory(struct x86_rig *r)
{
    ring(r, 400000, 123457);
}

/* Runs code (ended by SYSCALL) with RCX iterations in RCX, warms up once, and returns cycles an iteration, times 100.
 */
static uint64_t cycles100(enum x86_timing timing, const char *code, size_t len, uint64_t n,
                          void (*set_up)(struct x86_rig *))
{
    struct x86_rig *r = x86_rig_new();
    x86_rig_put(r, RIG_BASE, code, len);
    if (set_up)
        set_up(r);
    x86_set_timing(&r->cpu, timing);
    ps_t start = 0;
    for (uint32_t round = 0; round < 2; round++) {
        start = r->core.now_ps;
        r->cpu.state.rip = RIG_BASE;
        r->cpu.state.gpr[X86_RCX] = n;
        if (round == 0 || set_up != ring_memory) /* else it goes on where nothing was touched yet */
            r->cpu.state.gpr[X86_RSI] = DATA;
        cr_assert_eq(x86_run(&r->cpu, 0, 0), X86_STOP_SYSCALL);
    }
    uint64_t c = (r->core.now_ps - start) * 100 / n / r->core.cycle_ps;
    x86_rig_free(r);
    return c;
}
#define CYCLES100(timing, code, n, set_up) cycles100(timing, code, sizeof(code) - 1, n, set_up)

/* dec rcx; jnz to the start of len bytes of body; syscall */
#define LOOP(body, back) body "\x48\xff\xc9\x75" back "\x0f\x05"

Test(x86_timing, chains_and_independent_work)
{
    /* eight times add rax, rbx against add of eight registers: the first waits for itself */
    uint64_t chain = CYCLES100(X86_WINDOW,
                               LOOP("\x48\x01\xd8\x48\x01\xd8\x48\x01\xd8\x48\x01\xd8\x48\x01\xd8\x48\x01\xd8"
                                    "\x48\x01\xd8\x48\x01\xd8",
                                    "\xe3"),
                               2000, NULL);
    uint64_t apart = CYCLES100(X86_WINDOW,
                               LOOP("\x48\x01\xd8\x48\x01\xda\x48\x01\xdf\x49\x01\xd8\x49\x01\xd9\x49\x01\xda"
                                    "\x49\x01\xdb\x49\x01\xdc",
                                    "\xe3"),
                               2000, NULL);
    cr_expect(chain >= 780 && chain <= 830, "a chain of 8 additions: %llu.%02llu cycles",
              (unsigned long long)chain / 100, (unsigned long long)chain % 100);
    cr_expect(apart >= 230 && apart <= 290, "8 independent additions, 4 a cycle: %llu.%02llu cycles",
              (unsigned long long)apart / 100, (unsigned long long)apart % 100);
    /* imul rax, rbx: three cycles each */
    uint64_t mul = CYCLES100(X86_WINDOW, LOOP("\x48\x0f\xaf\xc3\x48\x0f\xaf\xc3", "\xf3"), 2000, NULL);
    cr_expect(mul >= 590 && mul <= 630, "two dependent multiplications: %llu", (unsigned long long)mul);
}

Test(x86_timing, a_pointer_chase_pays_the_latency_of_where_it_hits)
{
    static const char code[] = LOOP("\x48\x8b\x36", "\xf8"); /* mov rsi, [rsi] */
    for (enum x86_timing t = X86_BLOCK; t <= X86_WINDOW; t++) {
        uint64_t l1 = cycles100(t, code, sizeof code - 1, 4000, ring_l1);
        uint64_t l2 = cycles100(t, code, sizeof code - 1, 8192, ring_l2);
        uint64_t mem = cycles100(t, code, sizeof code - 1, 4000, ring_memory);
        cr_expect(l1 >= 390 && l1 <= 620, "model %u: L1 %llu/100 cycles", t, (unsigned long long)l1);
        cr_expect(l2 >= 1350 && l2 <= 2600, "model %u: L2 %llu/100 cycles", t, (unsigned long long)l2);
        cr_expect(mem >= 15000 && mem <= 90000, "model %u: memory %llu/100 cycles", t, (unsigned long long)mem);
    }
}

Test(x86_timing, independent_misses_overlap)
{
    /* mov rax, [rsi]; add rsi, 8192+64 (other sets, pages): no load waits for another */
    static const char apart[] = LOOP("\x48\x8b\x06\x48\x81\xc6\x40\x10\x00\x00", "\xf1");
    static const char chase[] = LOOP("\x48\x8b\x36", "\xf8");
    for (enum x86_timing t = X86_BLOCK; t <= X86_WINDOW; t++) {
        uint64_t o = cycles100(t, apart, sizeof apart - 1, 4000, NULL);
        uint64_t c = cycles100(t, chase, sizeof chase - 1, 4000, ring_memory);
        cr_expect_gt(c, 3 * o, "model %u: chase %llu, independent %llu", t, (unsigned long long)c,
                     (unsigned long long)o);
    }
}

static void random_bits(struct x86_rig *r)
{
    uint64_t x = 88172645463325252ull; /* Marsaglia's xorshift */
    for (uint32_t i = 0; i < 4096; i++) {
        uint8_t bit;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        bit = (uint8_t)(x >> 40 & 1);
        x86_rig_put(r, DATA + i, &bit, 1);
    }
}

Test(x86_timing, mispredicted_branches_cost)
{
    /* l: cmp byte [rsi], 0; jz m; inc rax; m: inc rsi; dec rcx; jnz l; syscall. All zero against random. */
    static const char code[] = "\x80\x3e\x00\x74\x03\x48\xff\xc0\x48\xff\xc6\x48\xff\xc9\x75\xf0\x0f\x05";
    uint64_t same = cycles100(X86_WINDOW, code, sizeof code - 1, 4096, NULL);
    uint64_t random = cycles100(X86_WINDOW, code, sizeof code - 1, 4096, random_bits);
    cr_expect(same >= 100 && same <= 250, "predictable: %llu/100 cycles", (unsigned long long)same);
    /* every second one is wrong: 16 cycles and the load before it, halved */
    cr_expect(random >= same + 700 && random <= same + 1700, "random: %llu/100 cycles", (unsigned long long)random);
}

/* Runs code once in model window, in a core with other values; cycles an iteration, times 100. */
static uint64_t window_cycles100(const char *code, size_t len, uint64_t n, void (*set_up)(struct x86_rig *),
                                 size_t field, uint64_t value)
{
    struct x86_rig *r = x86_rig_new();
    *(uint64_t *)(void *)((char *)&r->core.conf + field) = value;
    x86_rig_put(r, RIG_BASE, code, len);
    if (set_up)
        set_up(r);
    x86_set_timing(&r->cpu, X86_WINDOW);
    r->cpu.state.gpr[X86_RCX] = n;
    r->cpu.state.gpr[X86_RSI] = DATA;
    cr_assert_eq(x86_run(&r->cpu, 0, 0), X86_STOP_SYSCALL);
    uint64_t c = r->core.now_ps * 100 / n / r->core.cycle_ps;
    x86_rig_free(r);
    return c;
}
#define WITH(code, n, set_up, field, value)                                                                            \
    window_cycles100(code, sizeof(code) - 1, n, set_up, offsetof(struct core_conf, field), value)

Test(x86_timing, the_keys_of_the_window_do_what_they_say)
{
    /* mov rax, [rsi]; add rsi, 8192+64; dec rcx; jnz: independent misses, four instructions apart */
    static const char apart[] = LOOP("\x48\x8b\x06\x48\x81\xc6\x40\x10\x00\x00", "\xf1");
    uint64_t rob8 = WITH(apart, 3000, NULL, rob, 8), rob32 = WITH(apart, 3000, NULL, rob, 32);
    uint64_t rob224 = WITH(apart, 3000, NULL, rob, 224), rob1024 = WITH(apart, 3000, NULL, rob, 1024);
    /* Two misses overlap in 8 entries, 8 in 32; 11 miss buffers bound what more can do. */
    cr_expect(rob8 > 2 * rob32 && rob32 > rob224 && rob1024 <= rob224, "rob 8, 32, 224, 1024: %llu %llu %llu %llu",
              (unsigned long long)rob8, (unsigned long long)rob32, (unsigned long long)rob224,
              (unsigned long long)rob1024);
    uint64_t loads2 = WITH(apart, 3000, NULL, load_queue, 2), loads8 = WITH(apart, 3000, NULL, load_queue, 8);
    cr_expect(loads2 > 2 * loads8 && loads8 > rob224, "load queue 2, 8: %llu %llu", (unsigned long long)loads2,
              (unsigned long long)loads8);
    /* eight independent additions, dec, jnz: ten instructions, as many at once as are dispatched */
    static const char adds[] = LOOP("\x48\x01\xd8\x48\x01\xda\x48\x01\xdf\x49\x01\xd8\x49\x01\xd9\x49\x01\xda"
                                    "\x49\x01\xdb\x49\x01\xdc",
                                    "\xe3");
    for (uint64_t width = 1; width <= 4; width *= 2) {
        uint64_t c = WITH(adds, 30000, NULL, width, width);
        cr_expect(c >= 1000 / width && c <= 1060 / width + 5, "width %llu: %llu/100 cycles", (unsigned long long)width,
                  (unsigned long long)c);
    }
    /* the branches of mispredicted_branches_cost: every second one is wrong */
    static const char code[] = "\x80\x3e\x00\x74\x03\x48\xff\xc0\x48\xff\xc6\x48\xff\xc9\x75\xf0\x0f\x05";
    uint64_t quick = WITH(code, 4096, random_bits, mispredict_cycles, 6);
    uint64_t slow = WITH(code, 4096, random_bits, mispredict_cycles, 26);
    cr_expect(slow >= quick + 800 && slow <= quick + 1200, "20 cycles more a misprediction: %llu, %llu",
              (unsigned long long)quick, (unsigned long long)slow);
}

Test(x86_timing, the_models_do_not_change_what_a_program_does)
{
    /* l: lea rax, [rax+rax*4+3]; mov [rsi], rax; xor rbx, [rsi]; add rsi, 8; dec rcx; jnz l; syscall */
    static const char code[] =
        "\x48\x8d\x44\x80\x03\x48\x89\x06\x48\x33\x1e\x48\x83\xc6\x08\x48\xff\xc9\x75\xec\x0f\x05";
    uint64_t rbx[3], n[3];
    for (enum x86_timing t = X86_FUNCTIONAL; t <= X86_WINDOW; t++) {
        struct x86_rig *r = x86_rig_new();
        x86_rig_put(r, RIG_BASE, code, sizeof code - 1);
        x86_set_timing(&r->cpu, t);
        r->cpu.state.gpr[X86_RCX] = 3000;
        r->cpu.state.gpr[X86_RSI] = DATA;
        while (x86_run(&r->cpu, 0, r->core.now_ps + 100 * PS_PER_NS) == X86_STOP_BUDGET)
            ;
        cr_assert_eq(r->cpu.stop, X86_STOP_SYSCALL);
        rbx[t] = r->cpu.state.gpr[X86_RBX];
        n[t] = r->core.stats.instructions;
        cr_assert_eq(n[t], r->cpu.instructions, "model %u: the core counts %llu, the processor %llu", t,
                     (unsigned long long)n[t], (unsigned long long)r->cpu.instructions);
        cr_assert_eq(n[t], 3000 * 6 + 1);
        if (t != X86_FUNCTIONAL)
            cr_assert_geq(r->n_accesses, 6000);
        x86_rig_free(r);
    }
    cr_assert(rbx[0] == rbx[1] && rbx[1] == rbx[2]);
}

static uint64_t flush_cost(enum x86_timing t, const char *code, size_t len)
{
    return cycles100(t, code, len, 256, NULL);
}

Test(x86_timing, a_fence_behind_a_flush_waits_for_it)
{
    /* mov [rsi], rax; clwb [rsi]; add rsi, 64, with and without sfence */
    static const char alone[] = LOOP("\x48\x89\x06\x66\x0f\xae\x36\x48\x83\xc6\x40", "\xf0");
    static const char fenced[] = LOOP("\x48\x89\x06\x66\x0f\xae\x36\x0f\xae\xf8\x48\x83\xc6\x40", "\xed");
    for (enum x86_timing t = X86_BLOCK; t <= X86_WINDOW; t++) {
        uint64_t a = flush_cost(t, alone, sizeof alone - 1), f = flush_cost(t, fenced, sizeof fenced - 1);
        cr_expect(f > 2 * a, "model %u: clwb %llu/100 cycles, clwb and sfence %llu/100", t, (unsigned long long)a,
                  (unsigned long long)f);
    }
}

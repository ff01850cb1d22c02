/* SPDX-License-Identifier: MIT */
/* System mode, an instruction at a time: hardware breakpoints, and SSE exceptions that are not masked. */
#include "tests/cpu/x86_machine.h"

#include <criterion/criterion.h>

#define RUN(s) x86_run(&(s)->cpu, 1000, 0)

/* ---- breakpoints ---- */

Test(x86_step, a_breakpoint_on_an_instruction_comes_before_it)
{
    struct sys *s = sys_new();
    SYS_CODE(s, CODE, "\x48\xff\xc0\x48\xff\xc3\x48\xff\xc0\xf4"); /* inc rax; inc rbx; inc rax; hlt */
    s->cpu.state.dr[1] = CODE + 3;
    s->cpu.state.dr[7] |= 1u << 2; /* L1, on execution */
    cr_assert_eq(RUN(s), X86_STOP_HLT);
    cr_assert_eq(sys_handler(s), X86_DB);
    cr_assert_eq(s->cpu.state.gpr[X86_RAX], 1);
    cr_assert_eq(s->cpu.state.gpr[X86_RBX], 0);
    cr_assert_eq(sys_frame(s, 0), CODE + 3);
    cr_assert_eq(sys_frame(s, 2), X86_RF | 2, "a fault: RF");
    cr_assert_eq(s->cpu.state.dr[6] & 0xf, 2);
    SYS_CODE(s, HANDLERS + 16, "\xf4\x48\xcf"); /* hlt; iretq */
    cr_assert_eq(RUN(s), X86_STOP_HLT);
    cr_assert_eq(s->cpu.state.rip, CODE + 10, "RF lets the instruction pass");
    cr_assert_eq(s->cpu.state.gpr[X86_RAX], 2);
    cr_assert_eq(s->cpu.state.gpr[X86_RBX], 1);
    sys_free(s);
}

Test(x86_step, a_breakpoint_on_data_comes_behind_the_access)
{
    static const struct {
        const char *code; /* three bytes; behind them inc rcx; hlt */
        uint32_t dr7;
        uint64_t at;
        bool hits;
    } cases[] = {
        {"\x48\x89\x03", 0xd0001, DATA, true},     /* mov [rbx], rax; writes of 4 bytes */
        {"\x48\x89\x03", 0xd0001, DATA + 4, true}, /* the second half */
        {"\x48\x89\x03", 0xd0001, DATA + 8, false}, {"\x48\x8b\x03", 0xd0001, DATA, false}, /* mov rax, [rbx] */
        {"\x48\x8b\x03", 0xf0001, DATA, true},                                              /* reads too */
        {"\x48\x89\x03", 0xd0000, DATA, false},                                             /* off */
    };
    for (uint32_t i = 0; i < N_ELEMS(cases); i++) {
        struct sys *s = sys_new();
        sys_put(s, CODE, cases[i].code, 3);
        SYS_CODE(s, CODE + 3, "\x48\xff\xc1\xf4");
        s->cpu.state.gpr[X86_RBX] = DATA;
        s->cpu.state.dr[0] = cases[i].at;
        s->cpu.state.dr[7] |= cases[i].dr7;
        cr_assert_eq(RUN(s), X86_STOP_HLT);
        cr_assert_eq(sys_handler(s), cases[i].hits ? X86_DB : -1, "case %u", i);
        cr_assert_eq(s->cpu.state.gpr[X86_RCX], !cases[i].hits, "case %u", i);
        if (cases[i].hits) {
            cr_assert_eq(sys_frame(s, 0), CODE + 3);
            cr_assert_eq(s->cpu.state.dr[6] & 0x400f, 1);
        }
        sys_free(s);
    }
}

/* ---- SSE ---- */

static struct sys *unmasked(const char *code, size_t n, uint32_t mxcsr)
{
    struct sys *s = sys_new();
    sys_put64(s, DATA, mxcsr);
    SYS_CODE(s, CODE, "\x0f\xae\x13"); /* ldmxcsr [rbx] */
    sys_put(s, CODE + 3, code, n);
    sys_put(s, CODE + 3 + n, "\xf4", 1);
    s->cpu.state.gpr[X86_RBX] = DATA;
    s->cpu.state.xmm[0].f64[0] = 1.0;
    s->cpu.state.xmm[1].f64[0] = 0.0;
    s->cpu.state.xmm[2].f64[0] = 3.0;
    return s;
}

Test(x86_step, unmasked_division_by_zero)
{
    /* addsd xmm2, xmm0; divsd xmm0, xmm1 */
    static const char code[] = "\xf2\x0f\x58\xd0\xf2\x0f\x5e\xc1";
    struct sys *s = unmasked(code, 8, 0x1f80 & ~0x200u);
    cr_assert_eq(RUN(s), X86_STOP_HLT);
    cr_assert_eq(sys_handler(s), X86_XM);
    cr_assert_eq(sys_frame(s, 0), CODE + 3 + 4);
    cr_assert_eq(s->cpu.state.xmm[0].f64[0], 1.0, "the result is not stored");
    cr_assert_eq(s->cpu.state.xmm[2].f64[0], 4.0, "what came before is");
    cr_assert_eq(s->cpu.state.mxcsr & 0x3f, 4, "ZE: %x", s->cpu.state.mxcsr);
    cr_assert_eq(s->cpu.instructions, 1 + 1 + 1 + 1);
    sys_free(s);
    s = unmasked(code, 8, 0x1f80 & ~0x200u);
    s->cpu.state.cr4 &= ~(uint64_t)X86_CR4_OSXMMEXCPT;
    x86_changed(&s->cpu);
    cr_assert_eq(RUN(s), X86_STOP_HLT);
    cr_assert_eq(sys_handler(s), X86_UD, "without OSXMMEXCPT");
    sys_free(s);
    s = unmasked(code, 8, 0x1f80);
    cr_assert_eq(RUN(s), X86_STOP_HLT);
    cr_assert_eq(s->cpu.state.rip, CODE + 12, "masked");
    cr_assert_eq(s->cpu.state.mxcsr & 0x3f, 4);
    sys_free(s);
}

/* Runs of any length see the same: the exception at the end of a budget, and a comparison that writes flags. */
Test(x86_step, unmasked_exceptions_at_any_budget)
{
    /* addsd xmm2, xmm0; stc; ucomisd xmm3, xmm0, where xmm3 is a signalling NaN */
    static const char code[] = "\xf2\x0f\x58\xd0\xf9\x66\x0f\x2e\xd8";
    for (uint64_t step = 1; step < 6; step++) {
        struct sys *s = unmasked(code, 9, 0x1f80 & ~0x80u);
        enum x86_stop why;
        s->cpu.state.xmm[3].u64[0] = 0x7ff0000000000001;
        while ((why = x86_run(&s->cpu, step, 0)) == X86_STOP_BUDGET)
            ;
        cr_assert_eq(why, X86_STOP_HLT);
        cr_assert_eq(sys_handler(s), X86_XM, "step %lu", (unsigned long)step);
        cr_assert_eq(sys_frame(s, 0), CODE + 3 + 5);
        cr_assert_eq(sys_frame(s, 2), X86_RF | X86_CF | 2, "flags are those before: %lx",
                     (unsigned long)sys_frame(s, 2));
        cr_assert_eq(s->cpu.instructions, 5, "%lu", (unsigned long)s->cpu.instructions);
        sys_free(s);
    }
}

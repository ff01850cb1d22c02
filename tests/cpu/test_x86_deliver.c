/* SPDX-License-Identifier: MIT */
/* System mode: exceptions, interrupts and the ways back. Handlers are single HLTs; what is judged is which was entered,
 * on which stack, with which frame. */
#include "tests/cpu/x86_machine.h"

#include <criterion/criterion.h>

#define RUN(s) x86_run(&(s)->cpu, 1000, 0)

static void expect(struct sys *s, int vector, const char *name)
{
    enum x86_stop why = RUN(s);
    cr_assert_eq(why, X86_STOP_HLT, "%s: stop %d", name, why);
    cr_assert_eq(sys_handler(s), vector, "%s: handler %d at %lx", name, sys_handler(s),
                 (unsigned long)s->cpu.state.rip);
}

/* ---- exceptions of the kernel ---- */

static void kernel_fault(const char *code, size_t len, int vector, int64_t error, const char *name)
{
    struct sys *s = sys_new();
    sys_put(s, CODE, code, len);
    s->cpu.state.gpr[X86_RBX] = 0x0000800000000000ull;
    s->cpu.state.gpr[X86_RDX] = 0x77; /* a selector outside the GDT */
    expect(s, vector, name);
    uint32_t i = error >= 0;
    if (i)
        cr_assert_eq(sys_frame(s, 0), (uint64_t)error, "%s: error code %lx", name, (unsigned long)sys_frame(s, 0));
    cr_assert_eq(sys_frame(s, i), CODE, "%s: RIP", name);
    cr_assert_eq(sys_frame(s, i + 1), KCODE, "%s: CS", name);
    cr_assert_eq(sys_frame(s, i + 2), X86_RF | 2, "%s: flags %lx", name, (unsigned long)sys_frame(s, i + 2));
    cr_assert_eq(sys_frame(s, i + 3), STACK, "%s: RSP", name);
    cr_assert_eq(sys_frame(s, i + 4), KDATA, "%s: SS", name);
    cr_assert_eq(s->cpu.state.gpr[X86_RSP], (STACK & ~15u) - 8 * (5 + i), "%s: stack", name);
    sys_free(s);
}
#define KERNEL_FAULT(code, vector, error) kernel_fault(code, sizeof(code) - 1, vector, error, #code)

Test(x86_deliver, exceptions_of_the_kernel)
{
    KERNEL_FAULT("\x0f\x0b", X86_UD, -1);                                  /* ud2 */
    KERNEL_FAULT("\x48\xf7\xf1", X86_DE, -1);                              /* div rcx by 0 */
    KERNEL_FAULT("\x48\x8b\x03", X86_GP, 0);                               /* mov rax, [rbx], not canonical */
    KERNEL_FAULT("\x8e\xda", X86_GP, 0x74);                                /* mov ds, edx: outside the GDT */
    KERNEL_FAULT("\x0f\x01\xc8", X86_UD, -1);                              /* monitor: absent */
    KERNEL_FAULT("\xc5\xf8\x77", X86_UD, -1);                              /* vzeroupper: absent */
    KERNEL_FAULT("\xa1\x00\x00\x00\x00\x01\x00\x00\x00", X86_PF_FAULT, 0); /* mov eax, [0x100000000] */
}

Test(x86_deliver, a_page_fault_tells_address_and_error)
{
    static const struct {
        uint64_t bits;
        const char *code;
        uint32_t error;
    } cases[] = {
        {0, "\x8b\x03", 0},                           /* mov eax, [rbx] */
        {0, "\x89\x03", X86_PFEC_W},                  /* mov [rbx], eax */
        {PTE_P, "\x89\x03", X86_PFEC_P | X86_PFEC_W}, /* WP */
        {PTE_P | PTE_W | 1ull << 51, "\x8b\x03", X86_PFEC_P | X86_PFEC_R},
    };
    for (uint32_t i = 0; i < N_ELEMS(cases); i++) {
        struct sys *s = sys_new();
        sys_put(s, CODE, cases[i].code, 2);
        sys_map(s, DATA, cases[i].bits);
        s->cpu.state.gpr[X86_RBX] = DATA + 8;
        expect(s, X86_PF_FAULT, "page fault");
        cr_assert_eq(sys_frame(s, 0), cases[i].error, "case %u: %lx", i, (unsigned long)sys_frame(s, 0));
        cr_assert_eq(s->cpu.state.cr2, DATA + 8);
        sys_free(s);
    }
}

/* The handler maps the page and returns: the instruction runs again, once. */
Test(x86_deliver, a_fault_is_handled_and_restarted)
{
    struct sys *s = sys_new();
    SYS_CODE(s, CODE, "\x48\x83\x03\x05\xf4"); /* add qword [rbx], 5; hlt */
    sys_map(s, DATA, 0);
    s->cpu.state.gpr[X86_RBX] = DATA;
    sys_put64(s, DATA, 37);
    /* add rsp, 8; mov [rdi], rsi; invlpg [rbx]; iretq */
    SYS_CODE(s, HANDLERS + 14 * 16, "\x48\x83\xc4\x08\x48\x89\x37\x0f\x01\x3b\x48\xcf");
    s->cpu.state.gpr[X86_RDI] = TABLES + 0x3000 + (DATA >> 12) * 8;
    s->cpu.state.gpr[X86_RSI] = DATA | PTE_P | PTE_W;
    cr_assert_eq(RUN(s), X86_STOP_HLT);
    cr_assert_eq(s->cpu.state.rip, CODE + 5);
    cr_assert_eq(sys_get64(s, DATA), 42);
    cr_assert_eq(s->cpu.state.gpr[X86_RSP], STACK);
    cr_assert_eq(s->last_drop, X86_DROP_PAGE);
    cr_assert_eq(s->last_gva, DATA);
    cr_assert_eq(s->cpu.instructions, 1 + 4 + 1 + 1, "the delivery counts as one: %lu",
                 (unsigned long)s->cpu.instructions);
    sys_free(s);
}

/* ---- from user to kernel and back ---- */

Test(x86_deliver, a_user_fault_changes_stacks)
{
    struct sys *s = sys_new();
    SYS_CODE(s, USER, "\x90\x8b\x04\x25\x00\x00\x04\x00"); /* nop; mov eax, [DATA], the kernel's */
    sys_user(s);
    x86_set_rflags(&s->cpu, X86_IF | X86_CF | X86_AC);
    expect(s, X86_PF_FAULT, "user");
    cr_assert_eq(sys_frame(s, 0), X86_PFEC_P | X86_PFEC_U);
    cr_assert_eq(sys_frame(s, 1), USER + 1);
    cr_assert_eq(sys_frame(s, 2), UCODE | 3);
    cr_assert_eq(sys_frame(s, 3), X86_IF | X86_CF | X86_AC | X86_RF | 2);
    cr_assert_eq(sys_frame(s, 4), USER_TOP);
    cr_assert_eq(sys_frame(s, 5), UDATA | 3);
    cr_assert_eq(s->cpu.state.gpr[X86_RSP], STACK_0 - 6 * 8 - (STACK_0 & 15));
    cr_assert_eq(s->cpu.state.cpl, 0);
    cr_assert_eq(s->cpu.state.seg[X86_SS].selector, 0);
    cr_assert_eq(x86_rflags(&s->cpu) & X86_IF, 0);
    sys_free(s);
}

Test(x86_deliver, an_interrupt_stack)
{
    struct sys *s = sys_new();
    sys_gate(s, X86_UD, 15, 0, 1);
    SYS_CODE(s, CODE, "\x0f\x0b");
    s->cpu.state.gpr[X86_RSP] = 0xdead000; /* nobody looks at it */
    x86_set_rflags(&s->cpu, X86_IF);
    expect(s, X86_UD, "ist");
    cr_assert_eq(s->cpu.state.gpr[X86_RSP], STACK_IST - 5 * 8 - (STACK_IST & 15));
    cr_assert_eq(sys_frame(s, 3), 0xdead000);
    cr_assert(x86_rflags(&s->cpu) & X86_IF, "a trap gate leaves IF");
    sys_free(s);
}

Test(x86_deliver, software_interrupts_need_the_gates_leave)
{
    struct sys *s = sys_new();
    SYS_CODE(s, USER, "\xcd\x80"); /* int 0x80 */
    sys_user(s);
    expect(s, X86_GP, "gate of level 0");
    cr_assert_eq(sys_frame(s, 0), 0x80 * 8 + 2);
    cr_assert_eq(sys_frame(s, 1), USER, "the instruction itself");
    sys_gate(s, 0x80, 14, 3, 0);
    sys_user(s);
    expect(s, 0x80, "gate of level 3");
    cr_assert_eq(sys_frame(s, 0), USER + 2, "behind it");
    cr_assert_eq(sys_frame(s, 2), 2, "no RF");
    sys_put64(s, IDT + 0x80 * 16, 0); /* not a gate */
    sys_user(s);
    expect(s, X86_GP, "no gate");
    sys_gate(s, 0x80, 14, 3, 0);
    sys_put64(s, IDT + 0x80 * 16, sys_get64(s, IDT + 0x80 * 16) & ~(0x80ull << 40));
    sys_user(s);
    expect(s, X86_NP, "a gate that is not present");
    cr_assert_eq(sys_frame(s, 0), 0x80 * 8 + 2);
    sys_free(s);
}

Test(x86_deliver, iret_to_user)
{
    struct sys *s = sys_new();
    const uint64_t frame[] = {USER, UCODE | 3, X86_IF | X86_ZF | 2, USER_TOP - 8, UDATA | 3};
    sys_put(s, STACK - 40, frame, sizeof frame);
    s->cpu.state.gpr[X86_RSP] = STACK - 40;
    SYS_CODE(s, CODE, "\x48\xcf");
    SYS_CODE(s, USER, "\x50\xf4"); /* push rax; hlt, which is the kernel's */
    sys_gate(s, X86_GP, 14, 0, 0);
    expect(s, X86_GP, "hlt at level 3");
    cr_assert_eq(sys_frame(s, 1), USER + 1);
    cr_assert_eq(sys_frame(s, 2), UCODE | 3);
    cr_assert_eq(sys_frame(s, 3), X86_IF | X86_ZF | X86_RF | 2);
    cr_assert_eq(sys_frame(s, 4), USER_TOP - 16);
    sys_free(s);
}

/* Every field of the frame that IRET must refuse. */
Test(x86_deliver, iret_refuses)
{
    static const struct {
        uint64_t rip, cs, ss;
        int vector;
        uint32_t error;
    } cases[] = {
        {USER, 3, UDATA | 3, X86_GP, 0},               /* null CS */
        {USER, UDATA | 3, UDATA | 3, X86_GP, UDATA},   /* data */
        {USER, KCODE | 3, UDATA | 3, X86_GP, KCODE},   /* DPL 0 at RPL 3 */
        {USER, 0x80 | 3, UDATA | 3, X86_GP, 0x80},     /* outside the GDT */
        {1ull << 47, UCODE | 3, UDATA | 3, X86_GP, 0}, /* not canonical */
        {USER, UCODE | 3, KDATA | 3, X86_GP, KDATA},   /* the kernel's stack */
        {USER, UCODE | 3, UDATA | 2, X86_GP, UDATA},   /* RPL */
        {USER, UCODE | 3, 3, X86_GP, 0},               /* null SS at level 3 */
    };
    for (uint32_t i = 0; i < N_ELEMS(cases); i++) {
        struct sys *s = sys_new();
        const uint64_t frame[] = {cases[i].rip, cases[i].cs, 2, USER_TOP, cases[i].ss};
        sys_put(s, STACK - 40, frame, sizeof frame);
        s->cpu.state.gpr[X86_RSP] = STACK - 40;
        SYS_CODE(s, CODE, "\x48\xcf");
        expect(s, cases[i].vector, "iret");
        cr_assert_eq(sys_frame(s, 0), cases[i].error, "case %u: %lx", i, (unsigned long)sys_frame(s, 0));
        cr_assert_eq(sys_frame(s, 1), CODE, "case %u", i);
        cr_assert_eq(s->cpu.state.cpl, 0);
        sys_free(s);
    }
}

Test(x86_deliver, syscall_and_sysret)
{
    struct sys *s = sys_new();
    struct x86_state *c = &s->cpu.state;
    c->star = (uint64_t)(UCODE32 | 3) << 48 | (uint64_t)KCODE << 32;
    c->lstar = CODE;
    c->sfmask = X86_IF | X86_TF | X86_AC;
    SYS_CODE(s, USER, "\x0f\x05\xf4");             /* syscall; hlt */
    SYS_CODE(s, CODE, "\x48\x89\xe3\x48\x0f\x07"); /* mov rbx, rsp; sysretq */
    sys_user(s);
    x86_set_rflags(&s->cpu, X86_IF | X86_CF | X86_AC);
    cr_assert_eq(x86_run(&s->cpu, 1, 0), X86_STOP_BUDGET);
    cr_assert_eq(c->cpl, 0);
    cr_assert_eq(c->rip, CODE);
    cr_assert_eq(c->gpr[X86_RCX], USER + 2);
    cr_assert_eq(c->gpr[X86_R11], X86_IF | X86_CF | X86_AC | 2);
    cr_assert_eq(x86_rflags(&s->cpu), X86_CF | 2);
    cr_assert_eq(c->seg[X86_CS].selector, KCODE);
    cr_assert_eq(c->seg[X86_SS].selector, KDATA);
    expect(s, X86_GP, "hlt at level 3 again");
    cr_assert_eq(sys_frame(s, 1), USER + 2);
    cr_assert_eq(sys_frame(s, 2), UCODE | 3);
    cr_assert_eq(sys_frame(s, 3), X86_IF | X86_CF | X86_AC | X86_RF | 2);
    cr_assert_eq(sys_frame(s, 5), UDATA | 3);
    cr_assert_eq(c->gpr[X86_RBX], USER_TOP, "SYSCALL leaves RSP");
    c->efer &= ~(uint64_t)X86_EFER_SCE;
    sys_user(s);
    expect(s, X86_UD, "without EFER.SCE");
    sys_free(s);
}

Test(x86_deliver, user_may_not_run_the_kernels_code)
{
    struct sys *s = sys_new();
    SYS_CODE(s, CODE, "\x90\x48\xc7\xc0\x07\x00\x00\x00\xf4"); /* nop; mov rax, 7; hlt */
    cr_assert_eq(RUN(s), X86_STOP_HLT);                        /* now it is decoded, linked and in the jump cache */
    SYS_CODE(s, USER, "\xb8\x00\x00\x03\x00\xff\xe0");         /* mov eax, CODE; jmp rax */
    sys_user(s);
    expect(s, X86_PF_FAULT, "jump into the kernel");
    cr_assert_eq(sys_frame(s, 0), X86_PFEC_P | X86_PFEC_U | X86_PFEC_I);
    cr_assert_eq(s->cpu.state.cr2, CODE);
    sys_free(s);
}

/* ---- SMEP, SMAP ---- */

Test(x86_deliver, smap_lifted_by_ac)
{
    struct sys *s = sys_new();
    s->cpu.state.cr4 |= X86_CR4_SMAP | X86_CR4_SMEP;
    x86_changed(&s->cpu);
    /* stac; mov [rbx], al; clac; mov [rbx], al */
    SYS_CODE(s, CODE, "\x0f\x01\xcb\x88\x03\x0f\x01\xca\x88\x03");
    s->cpu.state.gpr[X86_RBX] = USER_DATA;
    s->cpu.state.gpr[X86_RAX] = 0x5a;
    expect(s, X86_PF_FAULT, "smap");
    cr_assert_eq(sys_frame(s, 0), X86_PFEC_P | X86_PFEC_W);
    cr_assert_eq(sys_frame(s, 1), CODE + 8);
    cr_assert_eq(*sys_at(s, USER_DATA), 0x5a);
    SYS_CODE(s, CODE + 64, "\xb8\x00\x00\x08\x00\xff\xe0"); /* mov eax, USER; jmp rax */
    s->cpu.state.rip = CODE + 64;
    s->cpu.state.gpr[X86_RSP] = STACK;
    expect(s, X86_PF_FAULT, "smep");
    cr_assert_eq(sys_frame(s, 0), X86_PFEC_P | X86_PFEC_I);
    sys_free(s);
}

/* ---- double and triple faults ---- */

Test(x86_deliver, a_fault_while_delivering_is_a_double_fault)
{
    struct sys *s = sys_new();
    SYS_CODE(s, CODE, "\x8b\x04\x25\x00\x00\x04\x00"); /* mov eax, [DATA] */
    sys_map(s, DATA, 0);
    sys_map(s, STACK - PAGE_BYTES, PTE_P); /* the frame cannot be written */
    sys_gate(s, X86_DF_FAULT, 14, 0, 1);
    expect(s, X86_DF_FAULT, "double");
    cr_assert_eq(sys_frame(s, 0), 0);
    cr_assert_eq(sys_frame(s, 1), CODE);
    cr_assert_eq(s->cpu.state.cr2, STACK - 48 - (STACK & 15), "of the second fault");
    sys_free(s);
}

Test(x86_deliver, benign_then_contributory_is_not_double)
{
    struct sys *s = sys_new();
    SYS_CODE(s, CODE, "\x0f\x0b");
    sys_put64(s, IDT + X86_UD * 16, 0);
    expect(s, X86_GP, "no gate for #UD");
    cr_assert_eq(sys_frame(s, 0), X86_UD * 8 + 3, "EXT is set");
    sys_free(s);
}

Test(x86_deliver, triple_fault_shuts_down)
{
    struct sys *s = sys_new();
    SYS_CODE(s, CODE, "\x0f\x0b");
    s->cpu.state.idt_limit = 0;
    cr_assert_eq(RUN(s), X86_STOP_SHUTDOWN);
    cr_assert_eq(s->cpu.state.rip, CODE);
    sys_free(s);
}

/* A handler that faults for ever ends with the budget. */
Test(x86_deliver, endless_faults_end)
{
    struct sys *s = sys_new();
    SYS_CODE(s, CODE, "\x0f\x0b");
    for (uint32_t v = 0; v < 32; v++) {
        sys_gate(s, v, 14, 0, 1);
        SYS_CODE(s, HANDLERS + v * 16, "\x0f\x0b");
    }
    cr_assert_eq(x86_run(&s->cpu, 500, 0), X86_STOP_BUDGET);
    cr_assert_eq(s->cpu.instructions, 500);
    sys_free(s);
}

/* ---- interrupts ---- */

Test(x86_deliver, interrupts_wait_for_if_and_the_shadow)
{
    struct sys *s = sys_new();
    /* nop; sti; inc rax; inc rax; jmp -5 */
    SYS_CODE(s, CODE, "\x90\xfb\x48\xff\xc0\x48\xff\xc0\xeb\xf8");
    s->vector = 0x41;
    x86_interrupt_raise(&s->cpu);
    expect(s, 0x41, "interrupt");
    cr_assert_eq(s->n_taken, 1);
    cr_assert_eq(s->cpu.state.gpr[X86_RAX], 1, "exactly one instruction in the shadow of STI");
    cr_assert_eq(sys_frame(s, 0), CODE + 5);
    cr_assert_eq(sys_frame(s, 2), X86_IF | 2, "no RF");
    sys_free(s);
}

Test(x86_deliver, an_interrupt_comes_into_a_loop)
{
    static const enum x86_timing timings[] = {X86_FUNCTIONAL, X86_BLOCK, X86_WARM};
    for (uint32_t i = 0; i < N_ELEMS(timings); i++) {
        struct sys *s = sys_new();
        x86_set_timing(&s->cpu, timings[i]);
        SYS_CODE(s, CODE, "\x48\xff\xc0\xeb\xfb"); /* l: inc rax; jmp l */
        x86_set_rflags(&s->cpu, X86_IF);
        s->vector = 0xfe;
        cr_assert_eq(RUN(s), X86_STOP_BUDGET);
        cr_assert_eq(s->cpu.state.gpr[X86_RAX], 500);
        x86_interrupt_raise(&s->cpu);
        expect(s, 0xfe, "loop");
        cr_assert_eq(s->cpu.state.gpr[X86_RAX], 500, "at once, in model %u", i);
        sys_free(s);
    }
}

Test(x86_deliver, hlt_wakes)
{
    struct sys *s = sys_new();
    SYS_CODE(s, CODE, "\xfb\xf4\x90\xf4"); /* sti; hlt; nop; hlt */
    cr_assert_eq(RUN(s), X86_STOP_HLT);
    cr_assert_eq(s->cpu.state.rip, CODE + 2);
    s->vector = 0x30;
    x86_interrupt_raise(&s->cpu);
    expect(s, 0x30, "hlt");
    cr_assert_eq(sys_frame(s, 0), CODE + 2);
    /* With the line high before: HLT does not sleep. */
    s->cpu.state.rip = CODE;
    s->cpu.state.gpr[X86_RSP] = STACK;
    x86_set_rflags(&s->cpu, 0);
    x86_interrupt_raise(&s->cpu);
    expect(s, 0x30, "hlt in the shadow");
    cr_assert_eq(sys_frame(s, 0), CODE + 2);
    sys_free(s);
}

Test(x86_deliver, nmi_is_blocked_until_iret)
{
    struct sys *s = sys_new();
    SYS_CODE(s, CODE, "\x90\x90\xf4");
    x86_nmi(&s->cpu);
    expect(s, X86_NMI, "nmi");
    cr_assert_eq(sys_frame(s, 0), CODE);
    x86_nmi(&s->cpu);
    SYS_CODE(s, HANDLERS + 2 * 16, "\xf4\x48\xcf"); /* hlt; iretq */
    cr_assert_eq(RUN(s), X86_STOP_HLT);
    cr_assert_eq(sys_handler(s), X86_NMI, "the second comes behind IRET");
    cr_assert_eq(sys_frame(s, 0), CODE);
    sys_free(s);
}

/* ---- single steps ---- */

Test(x86_deliver, single_step)
{
    struct sys *s = sys_new();
    const uint64_t frame[] = {CODE + 16, KCODE, X86_TF | 2, STACK, KDATA};
    SYS_CODE(s, CODE, "\x48\xcf");
    SYS_CODE(s, CODE + 16, "\x48\xff\xc0\x48\xff\xc0\x90"); /* inc rax; inc rax; nop */
    sys_put(s, DATA - 40, frame, sizeof frame);
    s->cpu.state.gpr[X86_RSP] = DATA - 40;
    SYS_CODE(s, HANDLERS + 16, "\xf4\x48\xcf"); /* hlt; iretq */
    for (uint64_t i = 1; i <= 2; i++) {
        expect(s, X86_DB, "step");
        cr_assert_eq(s->cpu.state.gpr[X86_RAX], i);
        cr_assert_eq(sys_frame(s, 0), CODE + 16 + 3 * i);
        cr_assert_eq(sys_frame(s, 2), X86_TF | 2, "a trap has no RF: %lx", (unsigned long)sys_frame(s, 2));
        cr_assert(s->cpu.state.dr[6] & 1u << 14);
    }
    sys_free(s);
}

/* A handler that kept its frame at every round would use up the host's stack. */
Test(x86_deliver, long_loops_of_every_way)
{
    static const struct {
        const char *code;
        size_t n;
    } loops[] = {
        {"\xcd\x80\xeb\xfc", 4},                              /* int 0x80, whose handler is iretq */
        {"\x0f\x20\xd8\x0f\x22\xd8\xeb\xf8", 8},              /* mov rax, cr3; mov cr3, rax */
        {"\x0f\x01\x3b\xeb\xfb", 5},                          /* invlpg [rbx] */
        {"\x9c\x9d\xfa\xeb\xfb", 5},                          /* pushf; popf; cli */
        {"\xb9\x82\x00\x00\xc0\x0f\x32\x0f\x30\xeb\xf5", 11}, /* mov ecx, LSTAR; rdmsr; wrmsr */
        {"\xec\xee\xeb\xfc", 4},                              /* in al, dx; out dx, al */
        {"\xff\x1b\xeb\xfc", 4},                              /* lcall [rbx], whose target is lret */
        {"\x31\xc0\x8e\xd0\xeb\xfa", 6},                      /* xor eax, eax; mov ss, eax */
        {"\x0f\xae\x53\x40\xeb\xfa", 6},                      /* ldmxcsr [rbx + 64] */
        {"\x0f\x0b\xeb\xfc", 4},                              /* ud2, whose handler goes on behind it */
    };
    for (uint32_t i = 0; i < N_ELEMS(loops); i++) {
        struct sys *s = sys_new();
        sys_put(s, CODE, loops[i].code, loops[i].n);
        SYS_CODE(s, HANDLERS + 0x80 * 16, "\x48\xcf");
        SYS_CODE(s, HANDLERS + X86_UD * 16, "\x48\x83\x04\x24\x02\x48\xcf"); /* add qword [rsp], 2; iretq */
        SYS_CODE(s, CODE + 256, "\xcb");
        sys_put64(s, DATA, (CODE + 256) | (uint64_t)KCODE << 32);
        sys_put64(s, DATA + 64, 0x1f80);
        s->cpu.state.gpr[X86_RBX] = DATA;
        s->bus.tlb = NULL;
        cr_assert_eq(x86_run(&s->cpu, 300000, 0), X86_STOP_BUDGET, "loop %u", i);
        cr_assert_eq(s->cpu.instructions, 300000);
        cr_assert(s->cpu.state.rip >= HANDLERS && s->cpu.state.rip < CODE + 257, "loop %u: %lx", i,
                  (unsigned long)s->cpu.state.rip);
        sys_free(s);
    }
}

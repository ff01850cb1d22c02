/* SPDX-License-Identifier: MIT */
/* System mode below 64 bits: a processor is started by IPI in real mode and goes through protected mode into long mode;
 * 32-bit code at both levels; 16-bit addresses, segments and their limits. The guest's code is assembled with the test.
 */
#include "tests/cpu/x86_machine.h"

#include <criterion/criterion.h>

/* ---- start-up IPI to long mode, at 0x8000 ---- */

extern const uint8_t start_code[], start_end[];
__asm__(".section .rodata\n"
        "start_code:\n"
        ".code16\n"
        "cli\n"
        "mov %cs, %ax\n"
        "mov %ax, %ds\n"
        "mov %ax, %es\n"
        "mov %ax, %ss\n"
        "mov $0x400, %sp\n"
        "call 3f\n" /* a near call: IP on the stack */
        "movw $1f - start_code, %bx\n"
        "movw (%bx), %cx\n" /* DS:BX */
        "movw %cx, %gs:0x1000\n"
        "lgdtl 2f - start_code\n"
        "mov %cr0, %eax\n"
        "or $1, %al\n"
        "mov %eax, %cr0\n"
        "ljmpl $0x40, $4f - start_code + 0x8000\n"
        "1: .word 0x1234\n"
        "2: .word 0x47\n"
        ".long 0x5000\n"
        "3: inc %bp\n"
        "ret\n"
        ".code32\n"
        "4: mov $0x10, %eax\n"
        "mov %eax, %ds\n"
        "mov %eax, %ss\n"
        "mov %eax, %es\n"
        "mov $0x51000, %esp\n"
        "push $0x7788\n"
        "call 5f\n"
        "pop %esi\n"
        "mov %cr4, %eax\n"
        "or $0x220, %eax\n" /* PAE, OSFXSR */
        "mov %eax, %cr4\n"
        "mov $0x10000, %eax\n"
        "mov %eax, %cr3\n"
        "mov $0xc0000080, %ecx\n"
        "rdmsr\n"
        "or $0x901, %eax\n" /* NXE LME SCE */
        "wrmsr\n"
        "mov %cr0, %eax\n"
        "or $0x80010000, %eax\n"
        "mov %eax, %cr0\n"
        "ljmpl $8, $6f - start_code + 0x8000\n"
        "5: incl %ebp\n"
        "ret\n"
        ".code64\n"
        "6: mov $0x1122334455667788, %rdi\n"
        "movq %rdi, %xmm3\n"
        "pushq %rdi\n"
        "hlt\n"
        "start_end:\n"
        ".previous\n");

Test(x86_boot, start_up_ipi_to_long_mode)
{
    struct sys *s = sys_new();
    struct x86_state *c = &s->cpu.state;
    sys_put(s, 0x8000, start_code, (size_t)(start_end - start_code));
    x86_reset(&s->cpu);
    cr_assert_eq(c->rip, 0xfffffff0);
    cr_assert_eq(c->cr0 & ~(uint64_t)(X86_CR0_CD | X86_CR0_NW), X86_CR0_ET);
    x86_sipi(&s->cpu, 8);
    c->gpr[X86_RBP] = 0;
    enum x86_stop why = x86_run(&s->cpu, 1000, 0);
    cr_assert_eq(why, X86_STOP_HLT, "stop %d, vector %u, rip %lx", why, s->cpu.fault.vector, (unsigned long)c->rip);
    cr_assert_eq(c->rip, 0x8000 + (uint64_t)(start_end - start_code));
    cr_assert_eq(c->efer, X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE);
    cr_assert_eq(c->seg[X86_CS].selector, KCODE);
    cr_assert_eq(c->gpr[X86_RDI], 0x1122334455667788);
    cr_assert_eq(c->xmm[3].u64[0], 0x1122334455667788);
    cr_assert_eq(c->gpr[X86_RSI], 0x7788);
    cr_assert_eq(c->gpr[X86_RBP], 2, "both calls returned: %lx", (unsigned long)c->gpr[X86_RBP]);
    cr_assert_eq(c->gpr[X86_RSP], 0x51000 - 8);
    cr_assert_eq(*sys_at(s, 0x1000) | *sys_at(s, 0x1001) << 8, 0x1234);
    sys_free(s);
}

/* ---- a flat 32-bit kernel with paging off, as a PVH entry is ---- */

extern const uint8_t flat_code[], flat_end[], flat_user[], flat_user_end[];
__asm__(".section .rodata\n"
        "flat_code:\n"
        ".code32\n"
        "mov $0x40000, %edi\n"
        "mov $5, %ecx\n"
        "mov $0xa5, %al\n"
        "cld\n"
        "rep stosb\n"
        "pusha\n"
        "popa\n"
        "pushf\n"
        "pop %ebx\n"
        "enter $16, $0\n"
        "leave\n"
        "lea 1f - flat_code + 0x30000, %eax\n"
        "jmp *%eax\n"
        "ud2\n"
        "1: addr16 lea 0x10(%bx,%si), %edx\n"
        "push %ds\n"
        "pop %fs\n"
        "movl %fs:0x40001, %ebp\n"
        "int $0x30\n"
        /* down to level 3 */
        "push $0x23\n"
        "push $0xa1000\n"
        "push $0x2\n"
        "push $0x1b\n"
        "push $0x80000\n"
        "iret\n"
        "flat_end:\n"
        "flat_user:\n"
        "push $7\n"
        "incl (%esp)\n"
        "pop %ecx\n"
        "int $0x80\n"
        "flat_user_end:\n"
        ".code64\n"
        ".previous\n");

/* 32-bit gates: vector 0x30 returns at once, all others stop. */
static void gates_32(struct sys *s)
{
    for (uint32_t v = 0; v < 256; v++) {
        uint32_t at = HANDLERS + v * 16, dpl = v == 0x80 ? 3 : 0;
        sys_put64(s, IDT + v * 8,
                  (at & 0xffff) | KCODE32 << 16 | (uint64_t)(0x8e | dpl << 5) << 40 | (uint64_t)(at >> 16) << 48);
        sys_put(s, at, v == 0x30 ? "\xcf" : "\xf4", 1);
    }
    s->cpu.state.idt_limit = 0x7ff;
    /* ESP0, SS0 */
    sys_put64(s, TSS + 4, STACK_0 | (uint64_t)KDATA << 32);
}

static struct sys *flat_new(void)
{
    struct sys *s = sys_new();
    struct x86_state *c = &s->cpu.state;
    gates_32(s);
    c->cr0 = X86_CR0_PE | X86_CR0_ET;
    c->cr4 = c->efer = 0;
    x86_set_segment(&s->cpu, X86_CS, (struct x86_segment){KCODE32, 0xc09b, UINT32_MAX, 0});
    for (uint32_t i = 0; i < X86_N_SEGS; i++)
        if (i != X86_CS)
            x86_set_segment(&s->cpu, i, (struct x86_segment){KDATA, 0xc093, UINT32_MAX, 0});
    sys_put(s, CODE, flat_code, (size_t)(flat_end - flat_code));
    sys_put(s, USER, flat_user, (size_t)(flat_user_end - flat_user));
    x86_changed(&s->cpu);
    return s;
}

static uint32_t get32(struct sys *s, uint64_t gpa)
{
    return (uint32_t)sys_get64(s, gpa);
}

Test(x86_boot, flat_protected_mode_without_paging)
{
    struct sys *s = flat_new();
    struct x86_state *c = &s->cpu.state;
    c->gpr[X86_RSI] = 0xffff8;
    enum x86_stop why = x86_run(&s->cpu, 1000, 0);
    cr_assert_eq(why, X86_STOP_HLT, "stop %d, vector %u, rip %lx", why, s->cpu.fault.vector, (unsigned long)c->rip);
    cr_assert_eq(sys_handler(s), 0x80, "%lx", (unsigned long)c->rip);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(*sys_at(s, 0x40000 + i), i < 5 ? 0xa5 : 0);
    cr_assert_eq(c->gpr[X86_RBX], 2, "flags: %lx", (unsigned long)c->gpr[X86_RBX]);
    cr_assert_eq(c->gpr[X86_RDX], (2 + 0xfff8 + 0x10) & 0xffff, "a 16-bit address wraps: %lx",
                 (unsigned long)c->gpr[X86_RDX]);
    cr_assert_eq(c->gpr[X86_RBP], 0xa5a5a5a5, "%lx", (unsigned long)c->gpr[X86_RBP]);
    cr_assert_eq(c->gpr[X86_RCX], 8);
    /* The frame of a change of levels: EIP CS EFLAGS ESP SS. */
    uint64_t sp = c->gpr[X86_RSP];
    cr_assert_eq(sp, STACK_0 - 20);
    const uint32_t frame[] = {USER + (uint32_t)(flat_user_end - flat_user), UCODE32 | 3, 0, 0xa1000, UDATA | 3};
    for (uint32_t i = 0; i < 5; i++)
        if (i != 2)
            cr_assert_eq(get32(s, sp + 4 * i), frame[i], "%u: %x", i, get32(s, sp + 4 * i));
    cr_assert_eq(c->seg[X86_DS].attributes & 0x100, 0x100, "the kernel's DS is not left to level 3");
    sys_free(s);
}

/* ---- what only such code has ---- */

/* Runs code at CODE with AX; what AX is then. Adds of decimals must come out as decimals. */
static uint32_t with_ax(struct sys *s, const char *code, size_t n, uint32_t ax)
{
    sys_put(s, CODE, code, n);
    sys_put(s, CODE + n, "\xf4", 1);
    x86_code_reset(s->code);
    s->cpu.state.rip = CODE;
    s->cpu.state.gpr[X86_RAX] = ax;
    cr_assert_eq(x86_run(&s->cpu, 100, 0), X86_STOP_HLT);
    cr_assert_eq(s->cpu.state.rip, CODE + n + 1);
    return (uint32_t)s->cpu.state.gpr[X86_RAX] & 0xffff;
}

static uint32_t packed(uint32_t v)
{
    return v / 10 % 10 << 4 | v % 10;
}

Test(x86_boot, decimals)
{
    struct sys *s = flat_new();
    for (uint32_t a = 0; a < 100; a += 3)
        for (uint32_t b = 0; b < 100; b += 7) {
            char add[] = {0x04, (char)packed(b), 0x27}, sub[] = {0x2c, (char)packed(b), 0x2f};
            cr_assert_eq(with_ax(s, add, 3, packed(a)), packed(a + b), "%u + %u", a, b);
            cr_assert_eq(x86_rflags(&s->cpu) & X86_CF, a + b > 99);
            cr_assert_eq(with_ax(s, sub, 3, packed(a)), packed(a + 100 - b), "%u - %u", a, b);
            cr_assert_eq(x86_rflags(&s->cpu) & X86_CF, a < b);
        }
    for (uint32_t a = 0; a < 10; a++)
        for (uint32_t b = 0; b < 10; b++) {
            char add[] = {0x04, (char)b, 0x37}, sub[] = {0x2c, (char)b, 0x3f};
            cr_assert_eq(with_ax(s, add, 3, 0x100 | a), (a + b) / 10 * 256 + 0x100 + (a + b) % 10);
            cr_assert_eq(with_ax(s, sub, 3, 0x200 | a), 0x200 - (a < b) * 0x100 + (a + 10 - b) % 10);
        }
    cr_assert_eq(with_ax(s, "\xd4\x0a", 2, 87), 0x0807); /* aam */
    cr_assert_eq(with_ax(s, "\xd5\x0a", 2, 0x0807), 87); /* aad */
    cr_assert_eq(with_ax(s, "\xf9\xd6", 2, 0), 0xff);    /* stc; salc */
    sys_free(s);
}

/* Three levels of frames, as a compiler of nested procedures would make them. */
Test(x86_boot, enter_with_levels)
{
    struct sys *s = flat_new();
    uint64_t *g = s->cpu.state.gpr;
    const uint32_t display[] = {0x1111, 0x2222, 0x3333};
    g[X86_RSP] = DATA + 0x100;
    g[X86_RBP] = DATA + 0x200;
    sys_put(s, DATA + 0x200 - 8, display, 8); /* the two below EBP, from below: levels 2 and 1 */
    with_ax(s, "\xc8\x08\x00\x03", 4, 0);     /* enter 8, 3 */
    cr_assert_eq(g[X86_RBP], DATA + 0xfc);
    cr_assert_eq(g[X86_RSP], DATA + 0x100 - 4 * 4 - 8);
    cr_assert_eq(get32(s, DATA + 0xfc), DATA + 0x200);
    cr_assert_eq(get32(s, DATA + 0xf8), 0x2222);
    cr_assert_eq(get32(s, DATA + 0xf4), 0x1111);
    cr_assert_eq(get32(s, DATA + 0xf0), DATA + 0xfc);
    sys_free(s);
}

Test(x86_boot, bound)
{
    struct sys *s = flat_new();
    const int32_t bounds[] = {-5, 7};
    sys_put(s, DATA, bounds, sizeof bounds);
    for (int32_t v = -7; v < 10; v++) {
        SYS_CODE(s, CODE, "\x62\x03\xf4"); /* bound eax, [ebx]; hlt */
        s->cpu.state.rip = CODE;
        s->cpu.state.gpr[X86_RSP] = STACK;
        s->cpu.state.gpr[X86_RBX] = DATA;
        s->cpu.state.gpr[X86_RAX] = (uint32_t)v;
        cr_assert_eq(x86_run(&s->cpu, 100, 0), X86_STOP_HLT);
        cr_assert_eq(sys_handler(s), v < -5 || v > 7 ? X86_BR : -1, "%d", v);
    }
    sys_free(s);
}

/* ---- limits ---- */

Test(x86_boot, limits_of_segments)
{
    static const struct {
        uint32_t limit, at;
        const char *code;
        size_t n;
        int vector;
    } cases[] = {
        {0x0fff, 0x0ffc, "\x8b\x03\xf4", 3, -1}, /* mov eax, [ebx]; hlt */
        {0x0fff, 0x0ffd, "\x8b\x03\xf4", 3, X86_GP},
        {0x0fff, 0x0ffd, "\x36\x8b\x03\xf4", 4, X86_SS_FAULT}, /* through SS */
    };
    for (uint32_t i = 0; i < N_ELEMS(cases); i++) {
        struct sys *s = flat_new();
        struct x86_segment small = {KDATA, 0x4093, cases[i].limit, DATA};
        bool is_stack = cases[i].vector == X86_SS_FAULT;
        x86_set_segment(&s->cpu, is_stack ? X86_SS : X86_DS, small);
        s->cpu.state.gpr[X86_RSP] = 0x800;
        x86_changed(&s->cpu);
        sys_put(s, CODE, cases[i].code, cases[i].n);
        s->cpu.state.gpr[X86_RBX] = cases[i].at;
        sys_put64(s, DATA + 0xffc, 0x99887766);
        cr_assert_eq(x86_run(&s->cpu, 100, 0), X86_STOP_HLT);
        cr_assert_eq(sys_handler(s), cases[i].vector, "case %u: %d", i, sys_handler(s));
        if (cases[i].vector < 0)
            cr_assert_eq(s->cpu.state.gpr[X86_RAX], 0x99887766);
        sys_free(s);
    }
}

/* ---- 32-bit programs under a 64-bit kernel ---- */

Test(x86_boot, compatibility_mode)
{
    struct sys *s = sys_new();
    const uint64_t frame[] = {USER, UCODE32 | 3, 2, USER_TOP - 16, UDATA | 3};
    sys_put(s, STACK - 40, frame, sizeof frame);
    s->cpu.state.gpr[X86_RSP] = STACK - 40;
    sys_gate(s, 0x80, 14, 3, 0);
    SYS_CODE(s, CODE, "\x48\xcf");
    /* push eax (one byte, four on the stack); inc ecx (no REX); int 0x80; mov eax, [esp]; int 0x80 */
    SYS_CODE(s, USER, "\x50\x41\xcd\x80\x8b\x04\x24\xcd\x80");
    x86_set_segment(&s->cpu, X86_DS, (struct x86_segment){UDATA | 3, 0xc0f3, UINT32_MAX, 0});
    s->cpu.state.gpr[X86_RAX] = 0x12345678;
    cr_assert_eq(x86_run(&s->cpu, 100, 0), X86_STOP_HLT);
    cr_assert_eq(sys_handler(s), 0x80);
    cr_assert_eq(sys_frame(s, 0), USER + 4);
    cr_assert_eq(sys_frame(s, 1), UCODE32 | 3);
    cr_assert_eq(sys_frame(s, 3), USER_TOP - 20);
    cr_assert_eq(s->cpu.state.gpr[X86_RCX], 1);
    SYS_CODE(s, HANDLERS + 0x80 * 16, "\xf4\x48\xcf");
    cr_assert_eq(x86_run(&s->cpu, 100, 0), X86_STOP_HLT);
    cr_assert_eq(s->cpu.state.gpr[X86_RAX], 0x12345678);
    cr_assert_eq(sys_frame(s, 0), USER + 9);
    sys_free(s);
}

/* ---- real mode ---- */

Test(x86_boot, real_mode_interrupts)
{
    struct sys *s = sys_new();
    struct x86_state *c = &s->cpu.state;
    x86_reset(&s->cpu);
    x86_sipi(&s->cpu, 0x30);
    c->gpr[X86_RSP] = 0x500;
    SYS_CODE(s, CODE, "\xfb\xcd\x21\x40\xf4");       /* sti; int 0x21; inc ax; hlt */
    SYS_CODE(s, 0x2345, "\xbb\x34\x12\x9c\x59\xcf"); /* mov bx, 0x1234; pushf; pop cx; iret */
    sys_put(s, 0x21 * 4, "\x45\x03\x00\x02", 4);     /* 0200:0345 */
    cr_assert_eq(x86_run(&s->cpu, 100, 0), X86_STOP_HLT);
    cr_assert_eq(c->rip, CODE + 5);
    cr_assert_eq(c->gpr[X86_RAX], 1);
    cr_assert_eq(c->gpr[X86_RBX], 0x1234);
    cr_assert_eq(c->gpr[X86_RCX] & X86_IF, 0);
    cr_assert(x86_rflags(&s->cpu) & X86_IF);
    cr_assert_eq(c->gpr[X86_RSP], 0x500);
    sys_free(s);
}

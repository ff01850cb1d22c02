/* SPDX-License-Identifier: MIT */
/* System mode: what control registers, MSRs, ports, descriptors and the extended state take and refuse. */
#include "tests/cpu/x86_machine.h"

#include <criterion/criterion.h>

#define RUN(s) x86_run(&(s)->cpu, 1000, 0)

/* Runs one instruction at CODE with RAX = v, RCX, RDX; the vector it raised, or -1. */
static int try(struct sys *s, const char *code, size_t n, uint64_t rax, uint64_t rcx, uint64_t rdx)
{
    uint64_t *g = s->cpu.state.gpr;
    g[X86_RAX] = rax;
    g[X86_RCX] = rcx;
    g[X86_RDX] = rdx;
    g[X86_RBX] = DATA;
    g[X86_RSP] = STACK;
    s->cpu.state.rip = CODE;
    sys_put(s, CODE, code, n);
    sys_put(s, CODE + n, "\xf4", 1);
    x86_code_reset(s->code);
    x86_changed(&s->cpu);
    cr_assert_eq(RUN(s), X86_STOP_HLT, "stop %d", s->cpu.stop);
    return s->cpu.state.rip == CODE + n + 1 ? -1 : sys_handler(s);
}
#define TRY(s, code, rax, rcx, rdx) try(s, code, sizeof(code) - 1, rax, rcx, rdx)

/* The same at level 3, at USER: HLT is #GP there, so that success is "#GP behind it". */
static int try_user(struct sys *s, const char *code, size_t n, uint64_t rax, uint64_t rcx, uint64_t rdx)
{
    uint64_t *g = s->cpu.state.gpr;
    sys_user(s);
    g[X86_RAX] = rax;
    g[X86_RCX] = rcx;
    g[X86_RDX] = rdx;
    g[X86_RBX] = USER_DATA;
    sys_put(s, USER, code, n);
    sys_put(s, USER + n, "\xf4", 1);
    x86_code_reset(s->code);
    cr_assert_eq(RUN(s), X86_STOP_HLT);
    int vector = sys_handler(s);
    bool has_code = vector == X86_GP || vector == X86_PF_FAULT;
    return vector == X86_GP && sys_frame(s, has_code) == USER + n ? -1 : vector;
}
#define TRY_USER(s, code, rax, rcx, rdx) try_user(s, code, sizeof(code) - 1, rax, rcx, rdx)

#define MOV_CR0 "\x0f\x22\xc0"
#define MOV_CR3 "\x0f\x22\xd8"
#define MOV_CR4 "\x0f\x22\xe0"
#define MOV_CR8 "\x44\x0f\x22\xc0"
#define RDMSR   "\x0f\x32"
#define WRMSR   "\x0f\x30"

Test(x86_control, cr0)
{
    struct sys *s = sys_new();
    uint64_t now = s->cpu.state.cr0;
    uint32_t drops = s->n_drops;
    cr_assert_eq(TRY(s, MOV_CR0, now | X86_CR0_MP | X86_CR0_AM, 0, 0), -1);
    cr_assert_eq(s->cpu.state.cr0, now | X86_CR0_MP | X86_CR0_AM);
    cr_assert_eq(s->n_drops, drops, "MP and AM change no translation");
    cr_assert_eq(TRY(s, MOV_CR0, now & ~(uint64_t)X86_CR0_WP, 0, 0), -1);
    cr_assert_eq(s->n_drops, drops + 1);
    cr_assert_eq(s->last_drop, X86_DROP_ALL);
    cr_assert_eq(TRY(s, MOV_CR0, now & ~(uint64_t)X86_CR0_ET, 0, 0), -1);
    cr_assert_eq(s->cpu.state.cr0, now, "ET stays");
    cr_assert_eq(TRY(s, MOV_CR0, now & ~(uint64_t)X86_CR0_PE, 0, 0), X86_GP);
    cr_assert_eq(TRY(s, MOV_CR0, now & ~(uint64_t)X86_CR0_PG, 0, 0), X86_GP, "in 64-bit mode");
    cr_assert_eq(TRY(s, MOV_CR0, now | X86_CR0_NW, 0, 0), X86_GP);
    cr_assert_eq(TRY(s, MOV_CR0, now | 1ull << 32, 0, 0), X86_GP);
    cr_assert_eq(TRY_USER(s, MOV_CR0, now, 0, 0), X86_GP);
    cr_assert_eq(s->cpu.state.cr0, now);
    sys_free(s);
}

Test(x86_control, cr3_and_pcid)
{
    struct sys *s = sys_new();
    cr_assert_eq(TRY(s, MOV_CR3, TABLES, 0, 0), -1);
    cr_assert_eq(s->last_drop, X86_DROP_PCID);
    cr_assert_eq(TRY(s, MOV_CR3, TABLES | 1ull << 46, 0, 0), X86_GP);
    cr_assert_eq(TRY(s, MOV_CR3, TABLES | 1ull << 63, 0, 0), X86_GP, "without PCIDs bit 63 is reserved");
    uint64_t cr4 = s->cpu.state.cr4 | X86_CR4_PCIDE;
    s->cpu.state.cr3 = TABLES | 8;
    cr_assert_eq(TRY(s, MOV_CR4, cr4, 0, 0), X86_GP, "CR3 has a PCID already");
    s->cpu.state.cr3 = TABLES;
    cr_assert_eq(TRY(s, MOV_CR4, cr4, 0, 0), -1);
    cr_assert_eq(TRY(s, MOV_CR3, TABLES | 5, 0, 0), -1);
    cr_assert_eq(s->last_drop, X86_DROP_PCID);
    cr_assert_eq(s->last_pcid, 5);
    cr_assert_eq(TRY(s, MOV_CR3, TABLES | 6 | 1ull << 63, 0, 0), -1);
    cr_assert_eq(s->last_drop, X86_DROP_NOTHING);
    cr_assert_eq(s->cpu.state.cr3, TABLES | 6);
    cr_assert_eq(x86_paging_root(&s->cpu), TABLES);
    /* invpcid rax, [rbx]: type 1 of PCID 9; a reserved bit; type 4. */
    sys_put64(s, DATA, 9);
    sys_put64(s, DATA + 8, 0);
    cr_assert_eq(TRY(s, "\x66\x0f\x38\x82\x03", 1, 0, 0), -1);
    cr_assert_eq(s->last_drop, X86_DROP_PCID);
    cr_assert_eq(s->last_pcid, 9);
    cr_assert_eq(TRY(s, "\x66\x0f\x38\x82\x03", 4, 0, 0), X86_GP);
    sys_put64(s, DATA, 1 << 12);
    cr_assert_eq(TRY(s, "\x66\x0f\x38\x82\x03", 2, 0, 0), X86_GP);
    sys_free(s);
}

Test(x86_control, cr4_and_cr8)
{
    struct sys *s = sys_new();
    uint64_t now = s->cpu.state.cr4;
    for (uint32_t bit = 0; bit < 64; bit++) {
        const uint64_t good = X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_MCE | X86_CR4_PCE | X86_CR4_UMIP |
                              X86_CR4_FSGSBASE | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP;
        int expect = (good | now) >> bit & 1 ? -1 : X86_GP;
        cr_assert_eq(TRY(s, MOV_CR4, now | 1ull << bit, 0, 0), expect, "bit %u", bit);
        s->cpu.state.cr4 = now;
    }
    cr_assert_eq(TRY(s, MOV_CR4, now & ~(uint64_t)X86_CR4_PAE, 0, 0), X86_GP);
    cr_assert_eq(TRY(s, MOV_CR8, 9, 0, 0), -1);
    cr_assert_eq(s->cpu.state.cr8, 9);
    cr_assert_eq(TRY(s, MOV_CR8, 16, 0, 0), X86_GP);
    cr_assert_eq(TRY(s, "\x0f\x22\xc8", 0, 0, 0), X86_UD, "CR1");
    sys_free(s);
}

Test(x86_control, debug_registers)
{
    struct sys *s = sys_new();
    cr_assert_eq(TRY(s, "\x0f\x23\xd8", 0x1234567890, 0, 0), -1); /* mov dr3, rax */
    cr_assert_eq(s->cpu.state.dr[3], 0x1234567890);
    cr_assert_eq(TRY(s, "\x0f\x23\xf0", 0, 0, 0), -1); /* mov dr6, rax */
    cr_assert_eq(s->cpu.state.dr[6], 0xffff0ff0);
    cr_assert_eq(TRY(s, "\x0f\x23\xf8", 1ull << 32, 0, 0), X86_GP); /* dr7 */
    cr_assert_eq(TRY(s, "\x0f\x21\xe0", 0, 0, 0), -1, "dr4 is dr6");
    cr_assert_eq(s->cpu.state.gpr[X86_RAX], 0xffff0ff0);
    s->cpu.state.cr4 |= X86_CR4_DE;
    cr_assert_eq(TRY(s, "\x0f\x21\xe0", 0, 0, 0), X86_UD);
    cr_assert_eq(TRY(s, "\x0f\x23\xf8", 0x2000, 0, 0), -1); /* GD */
    cr_assert_eq(TRY(s, "\x0f\x21\xc0", 0, 0, 0), X86_DB);
    cr_assert(s->cpu.state.dr[6] >> 13 & 1);
    sys_free(s);
}

Test(x86_control, msrs)
{
    static const struct {
        uint32_t index;
        uint64_t good, bad;
    } cases[] = {
        {0xc0000081, ~0ull, 0},                           /* STAR */
        {0xc0000082, 0xffff800000000000, 0x800000000000}, /* LSTAR */
        {0xc0000084, 0xffffffff, 1ull << 32},             /* SFMASK */
        {0xc0000100, 0x7fff00000000, 1ull << 60},         /* FS */
        {0xc0000101, 0xffffffff80000000, 1ull << 47},     /* GS */
        {0xc0000102, 0x1000, 1ull << 63},                 /* kernel's GS */
        {0xc0000103, 7, 1ull << 33},                      /* TSC_AUX */
        {0x277, 0x0606060606060606, 0x02},                /* PAT */
    };
    struct sys *s = sys_new();
    for (uint32_t i = 0; i < N_ELEMS(cases); i++) {
        uint64_t v = cases[i].good;
        cr_assert_eq(TRY(s, WRMSR, (uint32_t)v, cases[i].index, v >> 32), -1, "%x", cases[i].index);
        cr_assert_eq(TRY(s, RDMSR, 0, cases[i].index, 0), -1);
        cr_assert_eq(s->cpu.state.gpr[X86_RAX] | s->cpu.state.gpr[X86_RDX] << 32, v, "%x", cases[i].index);
        v = cases[i].bad;
        if (v)
            cr_assert_eq(TRY(s, WRMSR, (uint32_t)v, cases[i].index, v >> 32), X86_GP, "%x", cases[i].index);
    }
    cr_assert_eq(TRY(s, RDMSR, 0, 0x1b, 0), -1, "the platform's");
    cr_assert_eq(TRY(s, WRMSR, 0xfee00900, 0x1b, 0), -1);
    cr_assert_eq(s->msr, 0xfee00900);
    cr_assert_eq(TRY(s, RDMSR, 0, 0x12345, 0), X86_GP, "nobody's");
    cr_assert_eq(TRY(s, WRMSR, 0, 0x12345, 0), X86_GP);
    cr_assert_eq(TRY_USER(s, RDMSR, 0, 0xc0000080, 0), X86_GP);
    cr_assert_eq(TRY(s, WRMSR, 0, 0xc0000080, 0), X86_GP, "LME under paging");
    cr_assert_eq(TRY(s, WRMSR, 0xd01 | 1 << 5, 0xc0000080, 0), X86_GP, "reserved in EFER");
    cr_assert_eq(TRY(s, "\x0f\x33", 0, 0, 0), X86_GP, "rdpmc");
    sys_free(s);
}

/* ---- ports ---- */

Test(x86_control, ports)
{
    struct sys *s = sys_new();
    cr_assert_eq(TRY(s, "\xe6\x80", 0x1234, 0, 0), -1); /* out 0x80, al */
    cr_assert_eq(s->port, 0x80);
    cr_assert_eq(s->port_bytes, 1);
    cr_assert_eq(s->port_value, 0x34);
    cr_assert_eq(TRY(s, "\x66\xef", 0x12345678, 0, 0xffff3f8), -1); /* out dx, ax */
    cr_assert_eq(s->port, 0xf3f8);
    cr_assert_eq(s->port_bytes, 2);
    cr_assert_eq(s->port_value, 0x5678);
    cr_assert_eq(TRY(s, "\xec", 0xffffffffffffff00, 0, 0x3f8), -1); /* in al, dx */
    cr_assert_eq(s->cpu.state.gpr[X86_RAX], 0xffffffffffffff45);
    cr_assert_eq(TRY(s, "\xe5\xf4", ~0ull, 0, 0), -1); /* in eax, 0xf4 */
    cr_assert_eq(s->port, 0xf4);
    cr_assert_eq(s->cpu.state.gpr[X86_RAX], 0x11223346);
    s->cpu.state.gpr[X86_RDI] = DATA;
    cr_assert_eq(TRY(s, "\xf3\x6d", 0, 3, 0x1f0), -1); /* rep insd */
    cr_assert_eq(sys_get64(s, DATA), 0x1122334811223347);
    cr_assert_eq(s->cpu.state.gpr[X86_RDI], DATA + 12);
    cr_assert_eq(s->cpu.state.gpr[X86_RCX], 0);
    s->cpu.state.gpr[X86_RSI] = DATA + 1;
    cr_assert_eq(TRY(s, "\x6e", 0, 3, 0x77), -1); /* outsb */
    cr_assert_eq(s->port_value, 0x33);
    cr_assert_eq(s->cpu.state.gpr[X86_RCX], 3);
    sys_free(s);
}

Test(x86_control, ports_of_user)
{
    struct sys *s = sys_new();
    cr_assert_eq(TRY_USER(s, "\xec", 0, 0, 0x3f8), X86_GP, "no permission map");
    /* A map for ports 0 to 0x3ff at 0x68 of the TSS, all ones but 0x3f8 and 0x3f9. */
    uint16_t at = 0x68;
    s->cpu.state.tr.limit = 0x68 + 0x80;
    sys_put(s, TSS + 102, &at, 2);
    for (uint32_t i = 0; i <= 0x80; i++)
        sys_put(s, TSS + 0x68 + i, "\xff", 1);
    sys_put(s, TSS + 0x68 + 0x3f8 / 8, "\xfc", 1);
    cr_assert_eq(TRY_USER(s, "\xec", 0, 0, 0x3f8), -1);
    cr_assert_eq(TRY_USER(s, "\x66\xed", 0, 0, 0x3f8), -1, "two bytes");
    cr_assert_eq(TRY_USER(s, "\xed", 0, 0, 0x3f8), X86_GP, "four");
    cr_assert_eq(TRY_USER(s, "\xec", 0, 0, 0x3fa), X86_GP);
    cr_assert_eq(TRY_USER(s, "\xec", 0, 0, 0x400), X86_GP, "behind the map");
    sys_free(s);
}

/* ---- descriptors ---- */

Test(x86_control, segment_loads)
{
    struct sys *s = sys_new();
    sys_put64(s, GDT + KCODE32, sys_segment(0xc099, 0xfffff)); /* execute only */
    cr_assert_eq(TRY(s, "\x8e\xd8", UDATA, 0, 0), -1, "mov ds, eax");
    cr_assert_eq(s->cpu.state.seg[X86_DS].selector, UDATA);
    cr_assert_eq(TRY(s, "\x8e\xd8", 3, 0, 0), -1, "null");
    cr_assert_eq(TRY(s, "\x8e\xd8", KCODE32, 0, 0), X86_GP, "not readable");
    cr_assert_eq(sys_frame(s, 0), KCODE32);
    cr_assert_eq(TRY(s, "\x8e\xd8", KDATA | 3, 0, 0), X86_GP, "RPL 3 for DPL 0");
    cr_assert_eq(TRY(s, "\x8e\xd8", TR, 0, 0), X86_GP, "a TSS");
    cr_assert_eq(TRY(s, "\x8e\xd8", 4, 0, 0), X86_GP, "no LDT");
    cr_assert_eq(TRY(s, "\x8e\xd0", UDATA, 0, 0), X86_GP, "mov ss: DPL 3");
    cr_assert_eq(TRY(s, "\x8e\xc8", KCODE, 0, 0), X86_UD, "mov cs");
    sys_put64(s, GDT + UDATA, sys_segment(0xc0f3 & ~0x80u, 0xfffff));
    cr_assert_eq(TRY(s, "\x8e\xd8", UDATA, 0, 0), X86_NP);
    cr_assert_eq(sys_frame(s, 0), UDATA);
    /* A load sets the accessed bit, and the base of FS. */
    sys_put64(s, GDT + UDATA, sys_segment(0xc0f2, 0xfffff) | 0x345678ull << 16);
    cr_assert_eq(TRY(s, "\x8e\xe0", UDATA, 0, 0), -1, "mov fs, eax");
    cr_assert_eq(s->cpu.state.gpr[X86_FS_BASE], 0x345678);
    cr_assert_eq(sys_get64(s, GDT + UDATA) >> 40 & 0xff, 0xf3);
    sys_free(s);
}

Test(x86_control, tables_and_questions)
{
    struct sys *s = sys_new();
    uint8_t image[10] = {0x67, 0x00, 0x00, 0x50, 0, 0, 0, 0, 0, 0}; /* the GDT at 5000 */
    sys_put(s, DATA, image, 10);
    cr_assert_eq(TRY(s, "\x0f\x01\x13", 0, 0, 0), -1, "lgdt [rbx]");
    cr_assert_eq(s->cpu.state.gdt_base, GDT);
    cr_assert_eq(s->cpu.state.gdt_limit, 0x67);
    image[9] = 0x80;
    sys_put(s, DATA, image, 10);
    cr_assert_eq(TRY(s, "\x0f\x01\x1b", 0, 0, 0), X86_GP, "lidt: not canonical");
    cr_assert_eq(TRY(s, "\x0f\x01\x0b", 0, 0, 0), -1, "sidt [rbx]");
    cr_assert_eq(sys_get64(s, DATA), 0x0000000060000fffull);
    cr_assert_eq(TRY_USER(s, "\x0f\x01\x0b", 0, 0, 0), -1, "sidt is for everybody");
    s->cpu.state.cr4 |= X86_CR4_UMIP;
    cr_assert_eq(TRY_USER(s, "\x0f\x01\x0b", 0, 0, 0), X86_GP, "but for UMIP");
    x86_set_segment(&s->cpu, X86_CS, (struct x86_segment){KCODE, 0xa09b, UINT32_MAX, 0});
    x86_set_segment(&s->cpu, X86_SS, (struct x86_segment){KDATA, 0xc093, UINT32_MAX, 0});
    s->cpu.state.cpl = 0;
    cr_assert_eq(TRY(s, "\x0f\x00\xd8", TR, 0, 0), -1, "ltr ax");
    cr_assert_eq(sys_get64(s, GDT + TR) >> 40 & 0xff, 0x8b, "busy");
    cr_assert_eq(TRY(s, "\x0f\x00\xd8", TR, 0, 0), X86_GP, "busy already");
    cr_assert_eq(TRY(s, "\x0f\x02\xd0", UCODE, 0, 0), -1, "lar edx, eax");
    cr_assert_eq(s->cpu.state.gpr[X86_RDX], 0xa0fb00);
    cr_assert(x86_rflags(&s->cpu) & X86_ZF);
    cr_assert_eq(TRY(s, "\x0f\x03\xd0", KDATA, 0, 0), -1, "lsl edx, eax");
    cr_assert_eq(s->cpu.state.gpr[X86_RDX], 0xffffffff);
    cr_assert_eq(TRY(s, "\x0f\x03\xd0", 0x1000, 0, 5), -1, "outside the GDT");
    cr_assert_eq(s->cpu.state.gpr[X86_RDX], 5);
    cr_assert_eq(x86_rflags(&s->cpu) & X86_ZF, 0);
    cr_assert_eq(TRY(s, "\x0f\x00\xe8", UDATA, 0, 0), -1, "verw ax");
    cr_assert(x86_rflags(&s->cpu) & X86_ZF);
    cr_assert_eq(TRY(s, "\x0f\x00\xe8", UCODE, 0, 0), -1, "verw of code");
    cr_assert_eq(x86_rflags(&s->cpu) & X86_ZF, 0);
    sys_free(s);
}

Test(x86_control, far_transfers_in_long_mode)
{
    struct sys *s = sys_new();
    /* lcall [rbx] with m16:32; at DATA + 64 code: lret */
    sys_put64(s, DATA, CODE + 256);
    sys_put(s, DATA + 4, "\x08\x00", 2);
    SYS_CODE(s, CODE + 256, "\x48\x89\xe7\xcb"); /* mov rdi, rsp; lret */
    cr_assert_eq(TRY(s, "\xff\x1b", 0, 0, 0), -1);
    cr_assert_eq(s->cpu.state.gpr[X86_RDI], STACK - 8, "two values of four bytes");
    cr_assert_eq(s->cpu.state.gpr[X86_RSP], STACK);
    /* rex.w ljmp [rbx]: m16:64; into 32-bit code, whose inc eax is no prefix. */
    sys_put64(s, DATA, CODE + 256);
    sys_put(s, DATA + 8, "\x40\x00", 2);
    SYS_CODE(s, CODE + 256, "\x40\xf4");
    s->cpu.state.gpr[X86_RAX] = 4;
    SYS_CODE(s, CODE, "\x48\xff\x2b");
    s->cpu.state.gpr[X86_RBX] = DATA;
    s->cpu.state.rip = CODE;
    x86_code_reset(s->code);
    cr_assert_eq(RUN(s), X86_STOP_HLT);
    cr_assert_eq(s->cpu.state.rip, CODE + 258);
    cr_assert_eq(s->cpu.state.gpr[X86_RAX], 5);
    sys_free(s);
}

/* ---- the floating-point units ---- */

Test(x86_control, device_not_available)
{
    struct sys *s = sys_new();
    uint64_t cr0 = s->cpu.state.cr0;
    s->cpu.state.cr0 = cr0 | X86_CR0_TS;
    cr_assert_eq(TRY(s, "\xd9\xe8", 0, 0, 0), X86_NM, "fld1");
    cr_assert_eq(TRY(s, "\x0f\x57\xc0", 0, 0, 0), X86_NM, "xorps");
    cr_assert_eq(TRY(s, "\x0f\xef\xc0", 0, 0, 0), X86_NM, "pxor mm0");
    cr_assert_eq(TRY(s, "\x9b", 0, 0, 0), -1, "fwait looks at TS with MP only");
    cr_assert_eq(TRY(s, "\x0f\x06", 0, 0, 0), -1, "clts");
    cr_assert_eq(s->cpu.state.cr0, cr0);
    cr_assert_eq(TRY(s, "\x0f\x57\xc0", 0, 0, 0), -1);
    s->cpu.state.cr0 = cr0 | X86_CR0_EM;
    cr_assert_eq(TRY(s, "\x0f\x57\xc0", 0, 0, 0), X86_UD);
    cr_assert_eq(TRY(s, "\xd9\xe8", 0, 0, 0), X86_NM);
    s->cpu.state.cr0 = cr0;
    s->cpu.state.cr4 &= ~(uint64_t)X86_CR4_OSFXSR;
    cr_assert_eq(TRY(s, "\x0f\x57\xc0", 0, 0, 0), X86_UD);
    sys_free(s);
}

Test(x86_control, xsave_and_xrstor)
{
    struct sys *s = sys_new();
    struct x86_state *c = &s->cpu.state;
    cr_assert_eq(TRY(s, "\x0f\x01\xd1", 3, 0, 0), -1, "xsetbv");
    cr_assert_eq(c->xcr0, 3);
    cr_assert_eq(TRY(s, "\x0f\x01\xd1", 2, 0, 0), X86_GP, "without x87");
    cr_assert_eq(TRY(s, "\x0f\x01\xd1", 7, 0, 0), X86_GP, "AVX");
    cr_assert_eq(TRY(s, "\x0f\x01\xd0", 0, 0, 0), -1, "xgetbv");
    cr_assert_eq(c->gpr[X86_RAX], 3);
    for (uint32_t i = 0; i < 16; i++)
        c->xmm[i].u64[0] = 0x1111 * i;
    c->x87.cw = 0x27f;
    c->mxcsr = 0x1fa0;
    cr_assert_eq(TRY(s, "\x48\x0f\xae\x23", 2, 0, 0), -1, "xsave64 [rbx] of SSE");
    cr_assert_eq(sys_get64(s, DATA), 0, "x87 was not asked for");
    cr_assert_eq(sys_get64(s, DATA + 160 + 48), 0x3333);
    cr_assert_eq(sys_get64(s, DATA + 512), 2);
    cr_assert_eq(TRY(s, "\x48\x0f\xae\x23", 3, 0, 0), -1);
    cr_assert_eq(sys_get64(s, DATA) & 0xffff, 0x27f);
    cr_assert_eq(sys_get64(s, DATA + 512), 3);
    memset(c->xmm, 0, sizeof c->xmm);
    sys_put64(s, DATA + 512, 2); /* x87 as after reset */
    cr_assert_eq(TRY(s, "\x48\x0f\xae\x2b", 3, 0, 0), -1, "xrstor64 [rbx]");
    cr_assert_eq(c->xmm[15].u64[0], 0xffff);
    cr_assert_eq(c->x87.cw, 0x37f | 0x40);
    cr_assert_eq(c->mxcsr, 0x1fa0);
    sys_put64(s, DATA + 512, 4);
    cr_assert_eq(TRY(s, "\x48\x0f\xae\x2b", 3, 0, 0), X86_GP, "a component that is not there");
    sys_put64(s, DATA + 512, 3);
    sys_put64(s, DATA + 520, 1ull << 63);
    cr_assert_eq(TRY(s, "\x48\x0f\xae\x2b", 3, 0, 0), X86_GP, "the compacted form");
    cr_assert_eq(TRY(s, "\x48\x0f\xae\x63\x08", 3, 0, 0), X86_GP, "not on 64 bytes");
    c->cr4 &= ~(uint64_t)X86_CR4_OSXSAVE;
    cr_assert_eq(TRY(s, "\x48\x0f\xae\x23", 3, 0, 0), X86_UD);
    sys_free(s);
}

/* ---- what levels may ---- */

Test(x86_control, privileged_instructions)
{
    static const struct {
        const char *code;
        size_t n;
        int vector; /* at level 3 */
    } cases[] = {
        {"\xfa", 1, X86_GP},         {"\xfb", 1, X86_GP},         {"\x0f\x06", 2, X86_GP},
        {"\x0f\x01\x3b", 3, X86_GP}, {"\x0f\x09", 2, X86_GP},     {"\x0f\x08", 2, X86_GP},
        {"\x0f\x01\x13", 3, X86_GP}, {"\x0f\x00\xd0", 3, X86_GP}, {"\x0f\x01\xf8", 3, X86_GP},
        {"\x0f\x01\xca", 3, X86_UD}, {"\x48\x0f\x07", 3, X86_GP}, {"\x0f\x20\xc0", 3, X86_GP},
        {"\x0f\x21\xc0", 3, X86_GP}, {"\x0f\x01\xf0", 3, X86_GP},
    };
    struct sys *s = sys_new();
    for (uint32_t i = 0; i < N_ELEMS(cases); i++) {
        sys_put(s, USER + 32, "\xf4", 1);
        int got = try_user(s, cases[i].code, cases[i].n, 0, 0, 0);
        cr_assert_eq(got, cases[i].vector, "case %u: %d", i, got);
    }
    /* POPF changes IF and IOPL by level without a fault: push imm; popf */
    cr_assert_eq(TRY_USER(s, "\x68\x02\x32\x00\x00\x9d", 0, 0, 0), -1);
    cr_assert_eq(sys_frame(s, 3) & (X86_IF | X86_IOPL), 0);
    sys_free(s);
}

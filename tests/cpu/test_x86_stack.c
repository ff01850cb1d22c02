/* SPDX-License-Identifier: MIT */
/* The stack: what the random instructions of test_x86_native.c leave out, because they cannot give RSP away. */
#include "tests/cpu/x86_flat.h"

#include <criterion/criterion.h>

#define TOP (FLAT_BASE + 40 * PAGE_BYTES)

static struct flat *run(const char *code, size_t len)
{
    struct flat *f = flat_new();
    flat_put(f, FLAT_BASE, code, len);
    f->cpu.state.gpr[X86_RSP] = TOP;
    f->cpu.state.gpr[X86_RBP] = TOP + 64;
    f->cpu.state.gpr[X86_RAX] = 0x1122334455667788ull;
    f->cpu.state.gpr[X86_RBX] = TOP + 128;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    return f;
}
#define RUN(code) run(code "\x0f\x05", sizeof(code) + 1)

static uint64_t word(const struct flat *f, uint64_t gva)
{
    uint64_t v;
    memcpy(&v, f->mem + (gva - FLAT_BASE), 8);
    return v;
}

Test(x86_stack, pushes)
{
    /* push -2; push 0x12345678; push rax; push rsp; push ax; push word 0x1234; push qword [rsp+4] */
    struct flat *f = RUN("\x6a\xfe\x68\x78\x56\x34\x12\x50\x54\x66\x50\x66\x68\x34\x12\xff\x74\x24\x04");
    cr_assert_eq(f->cpu.state.gpr[X86_RSP], TOP - 44);
    cr_assert_eq(word(f, TOP - 8), (uint64_t)-2);
    cr_assert_eq(word(f, TOP - 16), 0x12345678);
    cr_assert_eq(word(f, TOP - 24), 0x1122334455667788ull);
    cr_assert_eq(word(f, TOP - 32), TOP - 24, "PUSH RSP pushes what RSP was");
    cr_assert_eq(word(f, TOP - 36) & 0xffffffff, 0x77881234);
    cr_assert_eq(word(f, TOP - 44), TOP - 24);
    flat_free(f);
}

Test(x86_stack, pops)
{
    /* push rax; pop rcx; push rax; pop [rsp-8], whose address is that after the pop; push rax; pop rsp */
    struct flat *f = RUN("\x50\x59\x50\x8f\x44\x24\xf0");
    cr_assert_eq(f->cpu.state.gpr[X86_RCX], FLAT_BASE + 9); /* by SYSCALL */
    cr_assert_eq(f->cpu.state.gpr[X86_RSP], TOP);
    cr_assert_eq(word(f, TOP - 16), 0x1122334455667788ull);
    flat_free(f);
    f = RUN("\x53\x5c"); /* push rbx; pop rsp */
    cr_assert_eq(f->cpu.state.gpr[X86_RSP], TOP + 128);
    flat_free(f);
    f = RUN("\x50\x66\x5a"); /* push rax; pop dx */
    cr_assert_eq(f->cpu.state.gpr[X86_RSP], TOP - 6);
    cr_assert_eq(f->cpu.state.gpr[X86_RDX], 0x7788);
    flat_free(f);
}

Test(x86_stack, a_pop_that_faults_leaves_rsp)
{
    struct flat *f = flat_new();
    FLAT_CODE(f, 0, "\x8f\x00"); /* pop [rax] */
    f->cpu.state.gpr[X86_RSP] = TOP;
    f->cpu.state.gpr[X86_RAX] = 0x5000;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_FAULT);
    cr_assert_eq(f->cpu.fault.cr2, 0x5000);
    cr_assert_eq(f->cpu.state.gpr[X86_RSP], TOP);
    f->cpu.state.gpr[X86_RSP] = 1ull << 47;
    f->cpu.state.rip = FLAT_BASE;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_FAULT);
    cr_assert_eq(f->cpu.fault.vector, X86_SS_FAULT, "vector %u", f->cpu.fault.vector);
    flat_free(f);
}

Test(x86_stack, calls_and_returns)
{
    /* 0: call 7; 5: syscall; 7: mov ecx, 5; lea rdx, [rip+5] (19); 16: call rdx; 18: ret; 19: push 7; 21: ret 8 */
    struct flat *f = flat_new();
    FLAT_CODE(f, 0, "\xe8\x02\x00\x00\x00\x0f\x05\xb9\x05\x00\x00\x00\x48\x8d\x15\x03\x00\x00\x00\xff\xd2\xc3");
    FLAT_CODE(f, 22, "\x6a\x07\x48\x83\xc4\x08\xc2\x00\x00");
    f->cpu.state.gpr[X86_RSP] = TOP;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    cr_assert_eq(f->cpu.state.rip, FLAT_BASE + 7);
    cr_assert_eq(f->cpu.state.gpr[X86_RSP], TOP);
    cr_assert_eq(word(f, TOP - 8), FLAT_BASE + 5);
    cr_assert_eq(word(f, TOP - 16), FLAT_BASE + 21);
    cr_assert_eq(f->cpu.instructions, 9);
    flat_free(f);
    /* push of two words, then ret 8 over one of them: lea rdx, [rip+6]; push rax; push rdx; ret 8; target: syscall */
    f = RUN("\x48\x8d\x15\x05\x00\x00\x00\x50\x52\xc2\x08\x00");
    cr_assert_eq(f->cpu.state.gpr[X86_RSP], TOP);
    flat_free(f);
}

Test(x86_stack, frames)
{
    struct flat *f = RUN("\xc8\x20\x00\x00"); /* enter 32, 0 */
    cr_assert_eq(f->cpu.state.gpr[X86_RBP], TOP - 8);
    cr_assert_eq(f->cpu.state.gpr[X86_RSP], TOP - 40);
    cr_assert_eq(word(f, TOP - 8), TOP + 64);
    flat_free(f);
    f = RUN("\xc8\x20\x00\x00\xc9"); /* and leave */
    cr_assert_eq(f->cpu.state.gpr[X86_RBP], TOP + 64);
    cr_assert_eq(f->cpu.state.gpr[X86_RSP], TOP);
    flat_free(f);
    f = RUN("\xc8\x10\x00\x02"); /* enter 16, 2: the caller's frame pointer and its own */
    cr_assert_eq(f->cpu.state.gpr[X86_RBP], TOP - 8);
    cr_assert_eq(f->cpu.state.gpr[X86_RSP], TOP - 24 - 16);
    cr_assert_eq(word(f, TOP - 24), TOP - 8);
    flat_free(f);
}

Test(x86_stack, flags)
{
    /* push 0x3fed; popfq; pushfq; pop rdx: user mode changes neither IF nor IOPL */
    struct flat *f = RUN("\x68\xd5\x7c\x04\x00\x9d\x9c\x5a");
    cr_assert_eq(f->cpu.state.gpr[X86_RDX] & 0xffff, (0x7cd5 & ~0x3000) | X86_IF | 2);
    cr_assert(x86_rflags(&f->cpu) & X86_AC);
    cr_assert(x86_rflags(&f->cpu) & X86_DF);
    flat_free(f);
}

Test(x86_stack, counted_jumps)
{
    /* xor eax, eax; mov ecx, 7; l: add eax, ecx; loop l; jrcxz m; ud2; m: mov rbx, rax */
    struct flat *f = RUN("\x31\xc0\xb9\x07\x00\x00\x00\x01\xc8\xe2\xfc\xe3\x02\x0f\x0b\x48\x89\xc3");
    cr_assert_eq(f->cpu.state.gpr[X86_RBX], 28);
    flat_free(f);
}

/* SPDX-License-Identifier: MIT */
/* The machinery of the x86-64 processor: budgets, stops, faults and restart, pages, code that changes itself. */
#include "tests/cpu/x86_flat.h"

#include <criterion/criterion.h>

#define DATA (FLAT_BASE + 8 * PAGE_BYTES)

Test(x86_core, budget_is_exact)
{
    /* 0: inc rax; inc rbx; jmp 0 */
    for (uint64_t budget = 1; budget < 200; budget += 7) {
        struct flat *f = flat_new();
        FLAT_CODE(f, 0, "\x48\xff\xc0\x48\xff\xc3\xeb\xf8");
        cr_assert_eq(x86_run(&f->cpu, budget, 0), X86_STOP_BUDGET);
        cr_assert_eq(f->cpu.instructions, budget);
        cr_assert_eq(f->cpu.state.gpr[X86_RAX], (budget + 2) / 3);
        cr_assert_eq(f->cpu.state.gpr[X86_RBX], (budget + 1) / 3);
        cr_assert_eq(f->cpu.state.rip, FLAT_BASE + "\0\3\6"[budget % 3]);
        flat_free(f);
    }
}

Test(x86_core, runs_of_any_length_end_alike)
{
    /* mov ecx, 1000; l: lea rax, [rax+rax*4+3]; test al, 1; jz m; xor rax, rcx; m: dec rcx; jnz l; syscall */
    static const char code[] =
        "\xb9\xe8\x03\x00\x00\x48\x8d\x44\x80\x03\xa8\x01\x74\x03\x48\x31\xc8\x48\xff\xc9\x75\xef\x0f\x05";
    uint64_t rax = 0, instructions = 0;
    for (uint64_t step = 0; step < 12; step++) {
        struct flat *f = flat_new();
        flat_put(f, FLAT_BASE, code, sizeof code - 1);
        enum x86_stop why;
        while ((why = x86_run(&f->cpu, step, 0)) == X86_STOP_BUDGET)
            ;
        cr_assert_eq(why, X86_STOP_SYSCALL);
        cr_assert_eq(f->cpu.state.rip, FLAT_BASE + sizeof code - 1);
        if (step == 0) {
            for (uint64_t i = 1000; i; i--) {
                rax = rax * 5 + 3;
                if (rax & 1)
                    rax ^= i;
            }
            instructions = f->cpu.instructions;
        }
        cr_assert_eq(f->cpu.state.gpr[X86_RAX], rax);
        cr_assert_eq(f->cpu.instructions, instructions);
        flat_free(f);
    }
}

Test(x86_core, syscall_sets_rcx_and_r11)
{
    struct flat *f = flat_new();
    FLAT_CODE(f, 0, "\xf9\x0f\x05"); /* stc; syscall */
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    cr_assert_eq(f->cpu.state.gpr[X86_RCX], FLAT_BASE + 3);
    cr_assert_eq(f->cpu.state.gpr[X86_R11], X86_IF | 2 | X86_CF);
    cr_assert_eq(f->cpu.instructions, 2);
    flat_free(f);
}

Test(x86_core, a_fault_is_restartable)
{
    struct flat *f = flat_new();
    FLAT_CODE(f, 0, "\x48\xff\xc0\x48\x01\x03\x0f\x05"); /* inc rax; add [rbx], rax; syscall */
    f->cpu.state.gpr[X86_RBX] = DATA;
    f->rights[8] = FLAT_R;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_FAULT);
    cr_assert_eq(f->cpu.fault.vector, X86_PF_FAULT);
    cr_assert_eq(f->cpu.fault.error_code, X86_PFEC_P | X86_PFEC_W | X86_PFEC_U);
    cr_assert_eq(f->cpu.fault.cr2, DATA);
    cr_assert_eq(f->cpu.state.rip, FLAT_BASE + 3);
    cr_assert_eq(f->cpu.instructions, 1);
    f->rights[8] |= FLAT_W;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    cr_assert_eq(f->mem[DATA - FLAT_BASE], 1);
    cr_assert_eq(f->cpu.instructions, 3);
    flat_free(f);
}

static void expect_fault(const char *code, size_t len, enum x86_vector vector, uint32_t error, const char *name)
{
    struct flat *f = flat_new();
    flat_put(f, FLAT_BASE, code, len);
    f->cpu.state.gpr[X86_RBX] = 0x0000800000000000ull;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_FAULT, "%s", name);
    cr_assert_eq(f->cpu.fault.vector, vector, "%s: vector %u", name, f->cpu.fault.vector);
    cr_assert_eq(f->cpu.fault.error_code, error, "%s", name);
    cr_assert_eq(f->cpu.state.rip, FLAT_BASE, "%s", name);
    cr_assert_eq(f->cpu.instructions, 0, "%s", name);
    flat_free(f);
}
#define EXPECT_FAULT(code, vector, error) expect_fault(code, sizeof(code) - 1, vector, error, #code)

Test(x86_core, vectors)
{
    EXPECT_FAULT("\x0f\x0b", X86_UD, 0);     /* ud2 */
    EXPECT_FAULT("\x06", X86_UD, 0);         /* push es is no instruction in 64-bit mode */
    EXPECT_FAULT("\xf0\x89\xc3", X86_UD, 0); /* lock mov ebx, eax */
    EXPECT_FAULT("\x48\xf7\xf1", X86_DE, 0); /* div rcx by 0 */
    EXPECT_FAULT("\xf4", X86_GP, 0);         /* hlt */
    EXPECT_FAULT("\xfa", X86_GP, 0);         /* cli */
    EXPECT_FAULT("\x0f\x22\xd8", X86_GP, 0); /* mov cr3, rax */
    EXPECT_FAULT("\x48\x8b\x03", X86_GP, 0); /* mov rax, [rbx], not canonical */
    EXPECT_FAULT("\x48\x8b\x04\x25\x00\x10\x00\x00", X86_PF_FAULT, X86_PFEC_U); /* mov rax, [0x1000] */
    EXPECT_FAULT("\x48\x89\x04\x25\x00\x10\x00\x00", X86_PF_FAULT, X86_PFEC_U | X86_PFEC_W);
    EXPECT_FAULT("\xff\xe3", X86_GP, 0); /* jmp rbx, not canonical */
    EXPECT_FAULT("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90", X86_GP, 0); /* 16 bytes */
}

Test(x86_core, a_jump_to_nowhere_faults_there)
{
    struct flat *f = flat_new();
    FLAT_CODE(f, 0, "\x31\xc0\xff\xe0"); /* xor eax, eax; jmp rax */
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_FAULT);
    cr_assert_eq(f->cpu.fault.vector, X86_PF_FAULT);
    cr_assert_eq(f->cpu.fault.error_code, X86_PFEC_U | X86_PFEC_I);
    cr_assert_eq(f->cpu.fault.cr2, 0);
    cr_assert_eq(f->cpu.state.rip, 0);
    cr_assert_eq(f->cpu.instructions, 2);
    flat_free(f);
}

Test(x86_core, accesses_across_pages)
{
    /* mov [rbx], rax; mov rcx, [rbx]; add [rbx], rcx; syscall */
    for (uint32_t kind = 0; kind < 3; kind++) {
        struct flat *f = flat_new();
        FLAT_CODE(f, 0, "\x48\x89\x03\x48\x8b\x0b\x48\x01\x0b\x0f\x05");
        f->cpu.state.gpr[X86_RBX] = DATA + PAGE_BYTES - 3;
        f->cpu.state.gpr[X86_RAX] = 0x1122334455667788ull;
        f->rights[9] = (uint8_t)(kind == 1 ? FLAT_R : kind == 2 ? FLAT_R | FLAT_W | FLAT_INDIRECT : f->rights[9]);
        enum x86_stop why = x86_run(&f->cpu, 0, 0);
        uint64_t v;
        memcpy(&v, f->mem + (DATA - FLAT_BASE) + PAGE_BYTES - 3, 8);
        if (kind == 1) {
            cr_assert_eq(why, X86_STOP_FAULT);
            cr_assert_eq(f->cpu.fault.cr2, DATA + PAGE_BYTES);
            cr_assert_eq(v, 0, "half a store was done");
        } else {
            cr_assert_eq(why, X86_STOP_SYSCALL);
            cr_assert_eq(f->cpu.state.gpr[X86_RCX], FLAT_BASE + 11);
            cr_assert_eq(v, 2 * 0x1122334455667788ull);
        }
        flat_free(f);
    }
}

Test(x86_core, instructions_across_pages)
{
    struct flat *f = flat_new();
    /* mov eax, imm32 over the page border; inc eax; syscall; the second page may not be there */
    FLAT_CODE(f, PAGE_BYTES - 2, "\xb8\x78\x56\x34\x12\xff\xc0\x0f\x05");
    f->cpu.state.rip = FLAT_BASE + PAGE_BYTES - 2;
    f->rights[1] = 0;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_FAULT);
    cr_assert_eq(f->cpu.fault.cr2, FLAT_BASE + PAGE_BYTES);
    cr_assert_eq(f->cpu.state.rip, FLAT_BASE + PAGE_BYTES - 2);
    f->rights[1] = FLAT_R | FLAT_W | FLAT_X;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    cr_assert_eq(f->cpu.state.gpr[X86_RAX], 0x12345679);
    /* The second page shows another frame now. */
    f->frame[1] = 20;
    FLAT_CODE(f, 20 * PAGE_BYTES, "\x00\x00\x00\xff\xc0\x0f\x05");
    x86_tlb_flush_page(&f->cpu, FLAT_BASE + PAGE_BYTES);
    f->cpu.state.rip = FLAT_BASE + PAGE_BYTES - 2;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    cr_assert_eq(f->cpu.state.gpr[X86_RAX], 0x79);
    flat_free(f);
}

Test(x86_core, code_that_changes_itself)
{
    struct flat *f = flat_new();
    /* A store changes the immediate of the next instruction but one, in the same block, and back in a loop:
     * l: mov byte [rip+8], cl; nop; mov eax, 0 (imm at +9); add rbx, rax; dec ecx; jnz l; syscall */
    FLAT_CODE(f, 0, "\x88\x0d\x02\x00\x00\x00\x90\xb8\x00\x00\x00\x00\x48\x01\xc3\xff\xc9\x75\xed\x0f\x05");
    f->cpu.state.gpr[X86_RCX] = 100;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    cr_assert_eq(f->cpu.state.gpr[X86_RBX], 5050);
    cr_assert_eq(f->cpu.instructions, 601);
    flat_free(f);
}

Test(x86_core, code_written_through_another_page)
{
    struct flat *f = flat_new();
    /* Page 5 shows the frame of page 0, where the code is: inc [rbx] changes `add eax, imm8`. */
    f->frame[5] = 0;
    /* l: add eax, 1; inc byte [rbx]; dec ecx; jnz l; syscall */
    FLAT_CODE(f, 0, "\x83\xc0\x01\xfe\x03\xff\xc9\x75\xf7\x0f\x05");
    f->cpu.state.gpr[X86_RBX] = FLAT_BASE + 5 * PAGE_BYTES + 2;
    f->cpu.state.gpr[X86_RCX] = 10;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    cr_assert_eq(f->cpu.state.gpr[X86_RAX], 55);
    flat_free(f);
}

Test(x86_core, code_written_by_others)
{
    struct flat *f = flat_new();
    FLAT_CODE(f, 0, "\xb8\x01\x00\x00\x00\x0f\x05");
    for (uint32_t i = 0; i < 3; i++) {
        f->mem[1] = (uint8_t)i;
        x86_code_written(f->code, PAGE_BYTES + 1, 1); /* frame 0 is at host-physical 4096 */
        f->cpu.state.rip = FLAT_BASE;
        cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
        cr_assert_eq(f->cpu.state.gpr[X86_RAX], i);
    }
    flat_free(f);
}

Test(x86_core, two_processors_share_code)
{
    struct flat *f = flat_new();
    struct x86_cpu other;
    x86_cpu_init(&other, f->code, &f->bus, f, NULL);
    /* The first writes directly to page 2 before it holds code; then the second runs code there; then the first writes
     * again: mov [rbx], rax; syscall */
    FLAT_CODE(f, 0, "\x48\x89\x03\x0f\x05");
    f->cpu.state.gpr[X86_RBX] = FLAT_BASE + 2 * PAGE_BYTES;
    for (uint32_t i = 0; i < 3; i++) {
        static const uint8_t code[8] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0x90};
        uint64_t word;
        memcpy(&word, code, 8);
        f->cpu.state.gpr[X86_RAX] = word | (uint64_t)(i + 5) << 8;
        f->cpu.state.rip = FLAT_BASE;
        cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
        other.state.rip = FLAT_BASE + 2 * PAGE_BYTES;
        cr_assert_eq(x86_run(&other, 0, 0), X86_STOP_SYSCALL);
        cr_assert_eq(other.state.gpr[X86_RAX], i + 5);
    }
    x86_cpu_fini(&other);
    flat_free(f);
}

Test(x86_core, the_store_of_blocks_overflows)
{
    struct flat *f = flat_new();
    x86_cpu_fini(&f->cpu);
    x86_code_free(f->code);
    f->code = x86_code_new(1); /* the least there is */
    x86_cpu_init(&f->cpu, f->code, &f->bus, f, NULL);
    /* 4,000 jumps of two bytes, each to the next: inc eax in between */
    uint32_t n = 4000;
    for (uint32_t i = 0; i < n; i++)
        FLAT_CODE(f, 4 * i, "\xff\xc0\xeb\x00");
    FLAT_CODE(f, 4 * n, "\x0f\x05");
    for (uint32_t round = 0; round < 3; round++) {
        f->cpu.state.rip = FLAT_BASE;
        f->cpu.state.gpr[X86_RAX] = 0;
        cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
        cr_assert_eq(f->cpu.state.gpr[X86_RAX], n);
    }
    flat_free(f);
}

Test(x86_core, shootdown)
{
    struct flat *f = flat_new();
    FLAT_CODE(f, 0, "\x48\x8b\x03\x0f\x05"); /* mov rax, [rbx]; syscall */
    f->cpu.state.gpr[X86_RBX] = DATA;
    f->mem[DATA - FLAT_BASE] = 1;
    f->mem[30 * PAGE_BYTES] = 2;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    f->frame[8] = 30;
    for (uint32_t i = 0; i < 2; i++) {
        f->cpu.state.rip = FLAT_BASE;
        if (i == 0)
            x86_tlb_flush_page(&f->cpu, DATA);
        else
            f->frame[8] = 8, x86_tlb_flush_all(f->code);
        cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
        cr_assert_eq(f->cpu.state.gpr[X86_RAX], i ? 1 : 2);
    }
    flat_free(f);
}

Test(x86_core, breakpoints)
{
    struct flat *f = flat_new();
    /* l: inc eax; inc ebx; dec ecx; jnz l; syscall */
    FLAT_CODE(f, 0, "\xff\xc0\xff\xc3\xff\xc9\x75\xf8\x0f\x05");
    uint64_t at[] = {FLAT_BASE + 2, FLAT_BASE + 8};
    f->cpu.state.gpr[X86_RCX] = 5;
    f->cpu.breakpoints = at;
    f->cpu.n_breakpoints = 2;
    for (uint32_t i = 1; i <= 5; i++) {
        cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_BREAKPOINT);
        cr_assert_eq(f->cpu.state.rip, FLAT_BASE + 2);
        cr_assert_eq(f->cpu.state.gpr[X86_RAX], i);
        cr_assert_eq(f->cpu.state.gpr[X86_RBX], i - 1);
    }
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_BREAKPOINT);
    cr_assert_eq(f->cpu.state.rip, FLAT_BASE + 8);
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    cr_assert_eq(f->cpu.instructions, 21);
    flat_free(f);
}

Test(x86_core, strings_by_pages)
{
    /* rep movsb; rep stosd; syscall, with runs over pages, overlaps and a fault in the middle */
    struct flat *f = flat_new();
    FLAT_CODE(f, 0, "\xf3\xa4\x0f\x05");
    uint64_t *g = f->cpu.state.gpr;
    for (uint32_t i = 0; i < 3 * PAGE_BYTES; i++)
        f->mem[DATA - FLAT_BASE + i] = (uint8_t)(i * 7 + i / 256);
    f->rights[23] = FLAT_R;
    g[X86_RSI] = DATA + 11;
    g[X86_RDI] = FLAT_BASE + 20 * PAGE_BYTES + 1000;
    g[X86_RCX] = 3 * PAGE_BYTES - 11;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_FAULT);
    uint64_t done = 3 * PAGE_BYTES - 1000;
    cr_assert_eq(f->cpu.fault.cr2, FLAT_BASE + 23 * PAGE_BYTES);
    cr_assert_eq(g[X86_RCX], 3 * PAGE_BYTES - 11 - done);
    cr_assert_eq(g[X86_RSI], DATA + 11 + done);
    f->rights[23] |= FLAT_W;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    cr_assert_eq(memcmp(f->mem + 20 * PAGE_BYTES + 1000, f->mem + 8 * PAGE_BYTES + 11, 3 * PAGE_BYTES - 11), 0);
    /* A forward move onto itself, three bytes on, repeats a pattern of three. */
    f->cpu.state.rip = FLAT_BASE;
    g[X86_RSI] = DATA;
    g[X86_RDI] = DATA + 3;
    g[X86_RCX] = 5000;
    cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
    for (uint32_t i = 0; i < 5000; i++)
        cr_assert_eq(f->mem[DATA - FLAT_BASE + 3 + i], f->mem[DATA - FLAT_BASE + i % 3]);
    flat_free(f);
}

Test(x86_core, every_access_reaches_the_bus_of_a_timed_run)
{
    struct flat *f = flat_new();
    FLAT_CODE(f, 0, "\x48\x8b\x03\x48\x89\x43\x08\x0f\xae\x3b\x0f\xae\xf8\x0f\x05"); /* load store clflush sfence */
    f->cpu.state.gpr[X86_RBX] = DATA;
    x86_set_timing(&f->cpu, X86_BLOCK);
    for (uint32_t i = 1; i <= 3; i++) {
        f->cpu.state.rip = FLAT_BASE;
        cr_assert_eq(x86_run(&f->cpu, 0, 0), X86_STOP_SYSCALL);
        cr_assert_eq(f->n_loads, i);
        cr_assert_eq(f->n_stores, i);
        cr_assert_eq(f->n_flushes, i);
        cr_assert_eq(f->n_fences, i);
    }
    flat_free(f);
}

/* SPDX-License-Identifier: MIT */
/* Shows every exception that a program can provoke: vector, error code, address, where it happened (relative to the
 * instruction: fault or trap), also those on the way to a handler, and stacks of the interrupt-stack table. */
#include "rt/bare.h"

#define ABSENT_AT 0x7000000000ull       /* nothing is mapped there */
#define STRANGE   0x8000000000000000ull /* no canonical address */

static void report(const char *what, const struct fault *f, uint64_t from)
{
    const struct trap *t = &f->at;
    print("%s: %s error %lx", what, trap_name(t->vector), t->error);
    if (t->vector == 14)
        print(" at %lx", f->cr2);
    if (t->vector == 1)
        print(" dr6 %lx", f->dr6 & 0xe00f);
    if (from)
        print(" +%lu", t->rip - from);
    print("%s\n", t->rflags & RFLAGS_TF ? " TF" : "");
}

static void try(const char *what, void (*fn)(void *), void *arg, const void *from)
{
    struct fault f;
    if (trap_try(fn, arg, &f))
        report(what, &f, (uintptr_t)from);
    else
        print("%s: nothing happened\n", what);
}

/* A function of one instruction, whose address is known. */
#define ONE(name, text)                                                                                                \
    void name(void *arg);                                                                                              \
    __asm__(".text\n" #name ":\n\t" text "\n\tret\n")
ONE(divide, "xor %edx, %edx\n\txor %ecx, %ecx\n\tdiv %ecx");
ONE(divide_overflow, "mov $-1, %rdx\n\tmov $1, %ecx\n\tdiv %rcx");
ONE(breakpoint, "int3");
ONE(overflow, "int $4");
ONE(bound, "int $5");
ONE(undefined, "ud2");
ONE(lock_register, ".byte 0xf0, 0x90");
ONE(too_long, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
ONE(strange_read, "mov (%rdi), %rax");
ONE(strange_stack, "mov %rsp, %rcx\n\tmov %rdi, %rsp\n\tpop %rax\n\tmov %rcx, %rsp");
ONE(strange_jump, "jmp *%rdi");
ONE(write_it, "movl $1, (%rdi)");
ONE(call_it, "call *%rdi");
ONE(bad_msr, "mov $0x12345, %ecx\n\trdmsr");
ONE(bad_cr4, "mov %cr4, %rax\n\tbts $31, %rax\n\tmov %rax, %cr4");
ONE(bad_cr0, "mov %cr0, %rax\n\tbtr $0, %rax\n\tmov %rax, %cr0");
ONE(load_ds, "mov %edi, %ds");
ONE(load_ss, "mov %edi, %ss");
ONE(load_tr, "ltr %di");
ONE(far_return, "push %rdi\n\tlea 1f(%rip), %rax\n\tpush %rax\n\tlretq\n1:\tadd $0, %rax");
ONE(interrupt_128, "int $0x80");
ONE(fpu, "fninit");
ONE(sse, "xorps %xmm0, %xmm0");
ONE(fwait_it, "fldz\n\tfld1\n\tfdivp\n\tfldz\n\tfdivrp\n\tfwait");
ONE(single_step, "pushfq\n\torl $0x100, (%rsp)\n\tpopfq\n\tnop\n\tnop");
ONE(nothing, "nop");
ONE(sse_divide, "xorps %xmm0, %xmm0\n\tmov $0x3f800000, %eax\n\tmovd %eax, %xmm1\n\tdivss %xmm0, %xmm1");
ONE(aligned, "movaps 1(%rsp), %xmm0");
ONE(unaligned_exchange, "cmpxchg16b 8(%rdi)");

static void zero(void)
{
    struct fault f;
    try("div by zero", divide, NULL, divide);
    try("div too large", divide_overflow, NULL, divide_overflow);
    try("int3", breakpoint, NULL, breakpoint);
    try("int 4", overflow, NULL, overflow);
    try("int 5", bound, NULL, bound);
    try("ud2", undefined, NULL, undefined);
    try("lock nop", lock_register, NULL, lock_register);
    try("16 bytes", too_long, NULL, too_long);
    try("single step", single_step, NULL, single_step);
    if (trap_try(nothing, NULL, &f))
        print("nop: it did not end\n");
}

static void protection(void)
{
    try("read of no address", strange_read, (void *)STRANGE, strange_read);
    try("stack at no address", strange_stack, (void *)STRANGE, strange_stack);
    try("jump to no address", strange_jump, (void *)STRANGE, NULL);
    try("ds = beyond the table", load_ds, (void *)0x1000ull, load_ds);
    try("ds = a TSS", load_ds, (void *)(uintptr_t)TSS_SEL, load_ds);
    try("ds = not present", load_ds, (void *)(uintptr_t)ABSENT_DS, load_ds);
    try("ds = null", load_ds, NULL, load_ds);
    try("ss = not present", load_ss, (void *)(uintptr_t)ABSENT_DS, load_ss);
    try("ss = code", load_ss, (void *)(uintptr_t)KERNEL_CS, load_ss);
    try("ltr of data", load_tr, (void *)(uintptr_t)KERNEL_SS, load_tr);
    try("ltr of a busy TSS", load_tr, (void *)(uintptr_t)TSS_SEL, load_tr);
    try("far return to data", far_return, (void *)(uintptr_t)KERNEL_SS, NULL);
    try("far return to code", far_return, (void *)(uintptr_t)KERNEL_CS, NULL);
    try("movaps, unaligned", aligned, NULL, aligned);
    try("cmpxchg16b, unaligned", unaligned_exchange, command_line, unaligned_exchange);
}

/* Where qemu's TCG (7.2) does not do as the manual says: it lets pass reserved bits and unknown MSRs, counts gates in
 * 16 bytes in error codes, and leaves out P beside RSVD, and knows no unmasked SSE exceptions. */
static void strict(void)
{
    static uint8_t page[PAGE] __attribute__((aligned(4096)));
    void *at = (void *)(ABSENT_AT + 0x200000);
    page_map((uintptr_t)at, (uintptr_t)page | 1ull << 51, 0, PTE_P);
    try("read, reserved bit", strange_read, at, strange_read);
    trap_absent(0x80, true);
    try("int 0x80, no gate", interrupt_128, NULL, interrupt_128);
    trap_absent(0x80, false);
    trap_absent(6, true);
    try("#UD without a gate", undefined, NULL, undefined);
    trap_absent(6, false);
    uint32_t unmasked = 0x1d00, masked = 0x1f80; /* zero divide */
    __asm__ volatile("ldmxcsr %0" ::"m"(unmasked));
    try("sse divides by zero", sse_divide, NULL, sse_divide);
    __asm__ volatile("ldmxcsr %0" ::"m"(masked));
    try("sse divides by zero, masked", sse_divide, NULL, sse_divide);
    try("unknown msr", bad_msr, NULL, bad_msr);
    try("cr4 with a reserved bit", bad_cr4, NULL, NULL);
    try("cr0 without protection", bad_cr0, NULL, NULL);
}

static void pages(void)
{
    static uint8_t page[PAGE] __attribute__((aligned(4096)));
    uint64_t at = ABSENT_AT;
    try("read, absent", strange_read, (void *)at, strange_read);
    try("write, absent", write_it, (void *)(at + 5), write_it);
    try("call, absent", call_it, (void *)(at + 16), NULL);
    volatile uint64_t *pte = page_map(at, (uintptr_t)page, 0, PTE_P | PTE_NX);
    try("read, read-only", strange_read, (void *)at, strange_read);
    try("write, read-only", write_it, (void *)(at + 8), write_it);
    try("call, no-execute", call_it, (void *)(at + 24), NULL);
    *pte = 0;
    invlpg((void *)at);
    try("write across two pages", write_it, (void *)(at - 2), write_it);
}

static void units(void)
{
    write_cr0(read_cr0() | CR0_TS);
    try("x87 with TS", fpu, NULL, fpu);
    try("sse with TS", sse, NULL, sse);
    write_cr0((read_cr0() & ~(uint64_t)CR0_TS) | CR0_EM);
    try("x87 with EM", fpu, NULL, fpu);
    try("sse with EM", sse, NULL, sse);
    write_cr0(read_cr0() & ~(uint64_t)CR0_EM);
    write_cr4(read_cr4() & ~(uint64_t)CR4_OSFXSR);
    try("sse without OSFXSR", sse, NULL, sse);
    write_cr4(read_cr4() | CR4_OSFXSR);
    uint16_t unmasked = 0x33b, masked = 0x37f; /* zero divide */
    __asm__ volatile("fninit; fldcw %0" ::"m"(unmasked));
    try("x87 divides by zero", fwait_it, NULL, NULL);
    __asm__ volatile("fnclex; fninit; fldcw %0" ::"m"(masked));
    try("x87, masked", fwait_it, NULL, NULL);
}

static uint64_t watched;
static void touch_watched(void *arg)
{
    (void)arg;
    *(volatile uint64_t *)&watched = 1;
}

static void debug_registers(void)
{
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" ::"r"((uint64_t)(uintptr_t)&watched), "r"(0xd0402ull));
    try("write of a watched word", touch_watched, NULL, NULL);
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" ::"r"((uint64_t)(uintptr_t)nothing), "r"(0x402ull));
    try("a watched instruction", nothing, NULL, nothing);
    __asm__ volatile("mov %0, %%dr7" ::"r"(0x400ull));
    try("nothing watched", nothing, NULL, NULL);
}

/* ---- on the way to a handler ---- */

static uint64_t handler_rsp;
static void note_stack(struct trap *t)
{
    handler_rsp = (uintptr_t)t;
    t->rip += 2; /* of UD2 */
}

static uint32_t ist_of(uint64_t rsp)
{
    for (uint32_t i = 0; i < 3; i++)
        if (rsp - (uintptr_t)this_cpu()->ist[i] < sizeof this_cpu()->ist[i])
            return i + 1;
    return 0;
}

static void nested(void)
{
    trap_absent(14, true);
    try("#PF without a gate", strange_read, (void *)ABSENT_AT, strange_read);
    trap_absent(14, false);
    trap_absent(6, true);
    trap_absent(11, true);
    try("#UD and #NP without gates", undefined, NULL, undefined);
    trap_absent(11, false);
    trap_absent(6, false);
    trap_handle(6, note_stack);
    for (uint32_t ist = 0; ist <= 3; ist++) {
        trap_stack(6, ist);
        undefined(NULL);
        print("#UD by interrupt stack %u: handler ran on %u\n", ist, ist_of(handler_rsp));
    }
    trap_stack(6, 0);
    trap_handle(6, NULL);
    /* The stack is not there: the push of the frame faults, and only the double fault has a stack of its own. */
    try("push on no stack", strange_stack, (void *)(ABSENT_AT + 64), NULL);
}

int bare_main(void)
{
    zero();
    if (arg_is("strict"))
        strict();
    protection();
    pages();
    units();
    debug_registers();
    nested();
    print("#UD so far: %lu, #GP: %lu\n", this_cpu()->n_interrupts[6], this_cpu()->n_interrupts[13]);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* Shows the ways between kernel and user: SYSCALL and SYSRET with what they do to registers and flags, software
 * interrupts, interrupts and faults that come in user mode, what a user may not do. */
#include "rt/bare.h"

#define CODE  0x5000000000ull
#define STACK 0x5040000000ull
#define DATA  0x5080000000ull

extern uint8_t user_begin[], user_end[];
#define USER(name, text)                                                                                               \
    extern uint8_t name[];                                                                                             \
    __asm__(".section .user, \"ax\"\n" #name ":\n\t" text "\n\t.text\n")
#define LEAVE "xor %eax, %eax\n\tsyscall"
/* Sums what the calls give back. */
USER(sum_calls, "xor %ebx, %ebx\n\t"
                "mov $1000, %ebp\n"
                "1: mov $1, %eax\n\tmov %rbp, %rdi\n\tmov $3, %esi\n\tmov $5, %edx\n\tsyscall\n\t"
                "add %rax, %rbx\n\tdec %ebp\n\tjnz 1b\n\t"
                "mov %rbx, %rdi\n\t" LEAVE);
/* RCX is the address behind SYSCALL, R11 the flags, carry included; they and RSP are back after SYSRET. */
USER(check_registers,
     "mov %rsp, %r12\n\tstc\n\tmov $2, %eax\n\tsyscall\n"
     "1: setc %dil\n\tmovzbl %dil, %edi\n\t"
     "lea 1b(%rip), %rax\n\tcmp %rax, %rcx\n\tsete %al\n\tmovzbl %al, %eax\n\tlea (%rdi,%rax,2), %edi\n\t"
     "bt $0, %r11\n\tsetc %al\n\tmovzbl %al, %eax\n\tlea (%rdi,%rax,4), %edi\n\t"
     "cmp %rsp, %r12\n\tsete %al\n\tmovzbl %al, %eax\n\tlea (%rdi,%rax,8), %edi\n\t" LEAVE);
USER(by_interrupt, "mov $40, %eax\n\tint $0x80\n\tmov %rax, %rdi\n\t" LEAVE);
USER(wait_timer, "xor %eax, %eax\n1: inc %rax\n\tcmpl $0, (%rdi)\n\tje 1b\n\tmov %cs, %edi\n\t" LEAVE);
USER(do_hlt, "hlt");
USER(do_cli, "cli");
USER(do_in, "in $0x71, %al");
USER(do_out, "mov $0x3f8, %edx\n\tout %al, (%dx)");
USER(do_cr, "mov %cr3, %rax");
USER(do_msr, "mov $0xc0000080, %ecx\n\trdmsr");
USER(do_lgdt, "lgdt (%rdi)");
USER(do_swapgs, "swapgs");
USER(do_sysret, "sysretq");
USER(do_int, "int $0x81");
USER(do_undefined, "ud2");
USER(do_divide, "xor %ecx, %ecx\n\tdiv %ecx");
USER(read_kernel, "mov 0x200000, %eax");
USER(write_code, "lea write_code(%rip), %rax\n\tmovb $0x90, (%rax)");
USER(run_stack, "jmp *%rsp");
USER(read_strange, "mov $0x8000000000000000, %rax\n\tmov (%rax), %eax");
USER(load_kernel_ds, "mov $0x10, %eax\n\tmov %eax, %ss");
USER(change_flags, "pushq $0x3202\n\tpopfq\n\tpushfq\n\tpop %rdi\n\tand $0x3200, %edi\n\t" LEAVE);

static uint64_t n_calls, flags_in_call, n_ticks;
static volatile uint32_t *flag;

static uint64_t serve(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
    n_calls++;
    if (number == 2)
        __asm__ volatile("pushfq; pop %0" : "=r"(flags_in_call));
    return number == 1 ? a * b + c : 0;
}

static void on_call(struct trap *t)
{
    t->rax += 2;
}

static void on_timer(struct trap *t)
{
    n_ticks++;
    if (t->cs & 3)
        *flag = 1;
    else
        apic_write(APIC_TIMER_N, 50000);
    apic_eoi();
}

static uint64_t run(uint8_t *entry, uint64_t arg)
{
    return user_enter(CODE + (uint64_t)(entry - user_begin), STACK + PAGE, arg);
}

static void run_any(void *entry)
{
    run(entry, DATA);
}

static void refused(const char *what, uint8_t *entry)
{
    struct fault f;
    if (!trap_try(run_any, entry, &f)) {
        print("%s: allowed\n", what);
        return;
    }
    print("%s: %s", what, trap_name(f.at.vector));
    if (f.at.vector == 14)
        print(" error %lx", f.at.error);
    print(" in cs %lx ss %lx\n", f.at.cs, f.at.ss);
}

static void refusals(void)
{
    static const struct {
        const char *what;
        uint8_t *entry;
    } list[] = {{"hlt", do_hlt},
                {"cli", do_cli},
                {"in", do_in},
                {"out", do_out},
                {"mov from cr3", do_cr},
                {"rdmsr", do_msr},
                {"lgdt", do_lgdt},
                {"swapgs", do_swapgs},
                {"sysret", do_sysret},
                {"a kernel's gate", do_int},
                {"ud2", do_undefined},
                {"division by zero", do_divide},
                {"the kernel's memory", read_kernel},
                {"writing its code", write_code},
                {"running its stack", run_stack},
                {"no address", read_strange},
                {"the kernel's stack segment", load_kernel_ds}};
    for (uint32_t i = 0; i < N_ELEMS(list); i++)
        refused(list[i].what, list[i].entry);
}

int bare_main(void)
{
    user_call = serve;
    user_init();
    for (uint8_t *p = user_begin; p < user_end; p += PAGE)
        page_map(CODE + (uint64_t)(p - user_begin), (uintptr_t)p, 0, PTE_P | PTE_U);
    page_map(STACK, (uintptr_t)page_alloc(PAGE), 0, PTE_P | PTE_W | PTE_U | PTE_NX);
    uint64_t data = (uintptr_t)page_alloc(PAGE);
    page_map(DATA, data, 0, PTE_P | PTE_W | PTE_U | PTE_NX);
    flag = (volatile uint32_t *)data;
    trap_handle(0x80, on_call);
    trap_for_user(0x80);
    trap_handle(0x40, on_timer);
    print("1000 calls: sum %lu\n", run(sum_calls, 0));
    print("carry kept, RCX, R11, RSP as they should: %lx, interrupts in the call: %s\n", run(check_registers, 0),
          flags_in_call & RFLAGS_IF ? "on" : "off");
    print("by interrupt: %lu\n", run(by_interrupt, 0));
    apic_write(APIC_TIMER_DIV, 0xb);
    apic_write(APIC_LVT_TIMER, 0x40);
    apic_write(APIC_TIMER_N, 50000);
    uint64_t cs = run(wait_timer, DATA);
    print("a timer in user mode: cs %lx, %s\n", cs, n_ticks ? "ticked" : "never");
    print("flags that POPF changes: %lx\n", run(change_flags, 0));
    refusals();
    print("calls served: %lu\n", n_calls);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* From PVH's 32-bit entry to 64-bit C; the way of the other processors there; traps; SYSCALL and back. */
    .section .note.pvh, "a", @note
    .align 4
    .long 4, 4, 18          /* XEN_ELFNOTE_PHYS32_ENTRY, Xen's public/elfnote.h */
    .asciz "Xen"
    .long pvh_entry

    .section .text.entry, "ax"
    .code32
    .global pvh_entry
    .type pvh_entry, @function
pvh_entry:
    cli
    cld
    mov $boot_stack_end, %esp
    mov %ebx, boot_info_address
    lgdt boot_gdt_pointer
    ljmp $0x08, $1f
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    call first_tables
    mov $pml4, %eax
    call long_mode
    ljmp $0x18, $1f
    .code64
1:  xor %ebp, %ebp
    call bare_start
    ud2

    .code32
/* One to one, 4 GiB by 2 MiB pages; all writable and executable until paging_init(). */
    .type first_tables, @function
first_tables:
    movl $(pdpt + 3), pml4
    mov $pd, %eax
    mov $pdpt, %edi
    mov $4, %ecx
1:  lea 3(%eax), %edx
    mov %edx, (%edi)
    add $4096, %eax
    add $8, %edi
    loop 1b
    mov $0x83, %eax
    mov $pd, %edi
    mov $2048, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    ret

/* Paging with the tables at EAX, 64-bit mode as far as the next far jump. */
    .type long_mode, @function
long_mode:
    mov %eax, %cr3
    mov $0x620, %eax            /* PAE, OSFXSR, OSXMMEXCPT */
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x901, %eax             /* SCE, LME, NXE */
    wrmsr
    mov $0x80010033, %eax       /* PG, WP, NE, ET, MP, PE */
    mov %eax, %cr0
    ret

    .align 8
boot_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff    /* 08: flat 32-bit code */
    .quad 0x00cf93000000ffff    /* 10: flat data */
    .quad 0x00af9b000000ffff    /* 18: 64-bit code */
boot_gdt_end:
boot_gdt_pointer:
    .word boot_gdt_end - boot_gdt - 1
    .long boot_gdt

/* Other processors begin here, in real mode; copied to 8000. */
#define AT(label) (label - trampoline + 0x8000)
    .global trampoline, trampoline_end
    .code16
    .type trampoline, @function
trampoline:
    cli
    cld
    xor %ax, %ax
    mov %ax, %ds
    lgdtl AT(trampoline_gdt)
    mov $0x11, %eax
    mov %eax, %cr0
    ljmpl $0x08, $AT(1f)
    .code32
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $start_stack_end, %esp  /* one processor starts at a time */
    mov $long_mode, %edx
    mov $pml4, %eax
    call *%edx
    ljmp $0x18, $1f
trampoline_gdt:
    .word boot_gdt_end - boot_gdt - 1
    .long boot_gdt
trampoline_end:
    .code64
1:  mov smp_stack, %rsp
    xor %ebp, %ebp
    call smp_entry
    ud2

/* ---- traps ---- */
    .text
    .altmacro
    .macro stub n
    .align 16
    .if \n == 8 || (\n >= 10 && \n <= 14) || \n == 17 || \n == 21
    .else
    push $0
    .endif
    push $\n
    jmp trap_common
    .endm
    .global trap_stubs
    .align 16
    .type trap_stubs, @function
trap_stubs:
    .set n, 0
    .rept 256
    stub %n
    .set n, n + 1
    .endr

    .type trap_common, @function
trap_common:
    testb $3, 24(%rsp)
    jz 1f
    swapgs
1:  push %rax
    push %rbx
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %rbp
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    mov %rsp, %rbx
    and $-16, %rsp
    call trap_dispatch
    mov %rbx, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rbp
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rax
    add $16, %rsp
    testb $3, 8(%rsp)
    jz 1f
    swapgs
1:  iretq

/* bool trap_try(void (*fn)(void *), void *arg, struct fault *out); offsets of struct percpu. */
#define RECOVER    %gs:8
#define USER_RSP   %gs:16
#define KERNEL_RSP %gs:24
    .global trap_try, trap_recover
    .type trap_try, @function
trap_try:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %r15
    mov %rdx, %gs:40
    mov %rsp, RECOVER
    mov %rdi, %rax
    mov %rsi, %rdi
    call *%rax
    xor %eax, %eax
    jmp 1f
    .type trap_recover, @function
trap_recover:
    mov $1, %eax
1:  movq $0, RECOVER
    pop %r15
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

/* uint64_t user_enter(uint64_t rip, uint64_t rsp, uint64_t arg) */
    .global user_enter, user_syscall, user_leave
    .type user_enter, @function
user_enter:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, KERNEL_RSP
    mov %gs:0, %rax
    add user_tss_rsp0, %rax
    mov %rsp, (%rax)
    push $0x1b
    push %rsi
    push $0x202
    push $0x23
    push %rdi
    mov %rdx, %rdi
    xor %eax, %eax
    xor %ebx, %ebx
    xor %ecx, %ecx
    xor %edx, %edx
    xor %esi, %esi
    xor %ebp, %ebp
    swapgs
    iretq

    .type user_syscall, @function
user_syscall:
    swapgs
    mov %rsp, USER_RSP
    mov KERNEL_RSP, %rsp
    pushq USER_RSP
    push %rcx
    push %r11
    push %r8                    /* keeps the stack aligned */
    mov %rdx, %rcx
    mov %rsi, %rdx
    mov %rdi, %rsi
    mov %rax, %rdi
    test %rax, %rax
    jz user_leave
    call *user_call
    pop %r8
    pop %r11
    pop %rcx
    pop %rsp
    swapgs
    sysretq

/* System call 0: RSI is the result of user_enter(). */
    .type user_leave, @function
user_leave:
    mov %rsi, %rax
    mov KERNEL_RSP, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .bss
    .align 4096
    .global pml4, pdpt, pd
pml4: .skip 4096
pdpt: .skip 4096
pd:   .skip 4 * 4096
boot_stack: .skip 32768
boot_stack_end:
start_stack: .skip 256
start_stack_end:

    .data
    .align 8
    .global boot_info_address
boot_info_address: .quad 0
    .section .note.GNU-stack, "", @progbits

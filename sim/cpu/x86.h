/* SPDX-License-Identifier: MIT */
/* An x86-64 processor: state, memory bus, running it. Instructions are decoded once (Zydis) into 32-byte operations in
 * blocks; blocks are kept by host-physical page, address and mode, and are dropped when a store hits their bytes.
 *
 * Who embeds it supplies a struct x86_bus, and handles what ends x86_run(): faults, SYSCALL, software interrupts. The
 * processor runs 64-bit user code; privileged instructions are #GP at privilege level 3 and unsupported at 0.
 *
 * One struct x86_code is shared by all processors that run in the same host-physical memory; they take turns on one
 * host thread, and an instruction, locked or not, is never interrupted by another processor's. */
#ifndef QUIRE_CPU_X86_H
#define QUIRE_CPU_X86_H

#include "sim/base/diag.h"
#include "sim/base/types.h"
#include "sim/cpu/core.h"

#include <emmintrin.h>

/* Registers by their encoding. */
enum x86_reg {
    X86_RAX,
    X86_RCX,
    X86_RDX,
    X86_RBX,
    X86_RSP,
    X86_RBP,
    X86_RSI,
    X86_RDI,
    X86_R8,
    X86_R9,
    X86_R10,
    X86_R11,
    X86_R12,
    X86_R13,
    X86_R14,
    X86_R15,
    /* Not registers of the machine, but addends of an address; they live behind the sixteen. */
    X86_ZERO, /* always 0 */
    X86_FS_BASE,
    X86_GS_BASE,
    X86_N_GPR
};
enum x86_seg { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_N_SEGS };

/* RFLAGS (SDM volume 1, 3.4.3). */
#define X86_CF   (1u << 0)
#define X86_PF   (1u << 2)
#define X86_AF   (1u << 4)
#define X86_ZF   (1u << 6)
#define X86_SF   (1u << 7)
#define X86_TF   (1u << 8)
#define X86_IF   (1u << 9)
#define X86_DF   (1u << 10)
#define X86_OF   (1u << 11)
#define X86_IOPL (3u << 12)
#define X86_NT   (1u << 14)
#define X86_RF   (1u << 16)
#define X86_AC   (1u << 18)
#define X86_ID   (1u << 21)

/* Exception vectors (SDM volume 3, 6.15). */
enum x86_vector {
    X86_DE = 0,
    X86_DB = 1,
    X86_BP = 3,
    X86_BR = 5,
    X86_UD = 6,
    X86_NM = 7,
    X86_DF_FAULT = 8,
    X86_TS = 10,
    X86_NP = 11,
    X86_SS_FAULT = 12,
    X86_GP = 13,
    X86_PF_FAULT = 14,
    X86_MF = 16,
    X86_AC_FAULT = 17,
    X86_XM = 19,
};
/* Page-fault error code. */
#define X86_PFEC_P 1u
#define X86_PFEC_W 2u
#define X86_PFEC_U 4u
#define X86_PFEC_I 16u

union x86_xmm {
    __m128i i;
    __m128 ps;
    __m128d pd;
    uint8_t u8[16];
    uint16_t u16[8];
    uint32_t u32[4];
    uint64_t u64[2];
    int8_t s8[16];
    int16_t s16[8];
    int32_t s32[4];
    int64_t s64[2];
    float f32[4];
    double f64[2];
};

/* A physical x87 register R0..R7 (not ST(i)): 80 bits; MMi is the low 64 of Ri. */
union x86_fpr {
    long double f;
    uint64_t mm;
    uint16_t u16[8]; /* [4]: sign and exponent */
    uint8_t u8[16];
};
struct x86_x87 {
    union x86_fpr r[8];
    uint16_t cw, sw; /* sw holds TOP in bits 11..13 */
    uint16_t tw;     /* two bits a physical register: 0 in use, 3 empty */
    uint16_t fop;
    uint64_t fip, fdp;
    uint16_t fcs, fds;
};

struct x86_segment {
    uint16_t selector;
    uint16_t attributes; /* as in the descriptor's bits 40..55 */
    uint32_t limit;      /* in bytes */
    uint64_t base;       /* of FS and GS: gpr[X86_FS_BASE], gpr[X86_GS_BASE] instead */
};

/* What a program can see of a processor. */
struct x86_state {
    uint64_t gpr[X86_N_GPR]; /* first: operations hold byte offsets into it */
    uint64_t rip;            /* valid while x86_run() is not active */
    /* Arithmetic flags: bit 0 = OF, bits 8..15 = SF ZF 0 AF 0 PF 1 CF (as SETO AL and LAHF leave AX); the others as in
     * RFLAGS. Use x86_rflags() and x86_set_rflags(). */
    uint16_t ax_flags;
    uint32_t other_flags;
    union x86_xmm xmm[16];
    uint32_t mxcsr;
    struct x86_x87 x87;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, xcr0;
    uint64_t dr[8];
    struct x86_segment seg[X86_N_SEGS], ldtr, tr;
    uint64_t gdt_base, idt_base;
    uint16_t gdt_limit, idt_limit;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, pat, tsc_aux;
    uint64_t apic_base, misc_enable, mtrr_def_type, spec_ctrl;
    int64_t tsc_adjust; /* ticks added to the clock */
    uint8_t cpl;
};

struct x86_fault {
    uint8_t vector; /* enum x86_vector */
    bool has_error_code;
    uint32_t error_code;
    uint64_t cr2; /* page fault: the address */
    uint64_t rip; /* of the instruction that faulted */
};

/* ---- memory ---- */

enum x86_access { X86_READ, X86_WRITE, X86_EXEC };
enum x86_bus_status {
    X86_BUS_OK,
    X86_BUS_FAULT, /* the access faults: cpu->fault was filled by x86_page_fault() or by hand */
    X86_BUS_STOP   /* the run cannot go on: x86_run() returns X86_STOP_BUS with the instruction not executed */
};

struct x86_page {
    uint8_t *host; /* the page's 4096 bytes; NULL: bytes only through load and store (persistent, symbolic, traced) */
    uint64_t hpa;  /* host-physical address of the page: what decoded code is kept by */
    bool is_writable; /* stores may go to host directly from now on (dirty bits are set, nothing is traced) */
};

struct x86_cpu;

/* All members take the processor that asks; cpu->bus_ctx is the embedder's. Addresses are canonical. Used on the slow
 * path only: what page() allows is remembered until x86_tlb_flush() or x86_tlb_flush_page(). */
struct x86_bus {
    /* Functional translation of the page of gva for one access at cpu->state.cpl. Also asked behind store and ntstore,
     * for hpa alone. */
    enum x86_bus_status (*page)(struct x86_cpu *cpu, uint64_t gva, enum x86_access access, struct x86_page *out);
    /* Bytes of one access within one 64-byte line. Called for pages whose host is NULL, and in the timed models for
     * every access; then they also price it: start at cpu->core->now_ps, core_load() or core_store() with the end.
     * for_write: a load whose store follows (the fault, if any, is that of a write). */
    enum x86_bus_status (*load)(struct x86_cpu *cpu, uint64_t gva, void *buf, uint32_t len, bool for_write);
    enum x86_bus_status (*store)(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len);
    /* Timed models only; may be NULL: an instruction line is fetched. */
    enum x86_bus_status (*fetch)(struct x86_cpu *cpu, uint64_t gva);
    /* CLFLUSH, CLFLUSHOPT, CLWB of the line that holds gva (op is an enum flush_op of sim/cache/cache.h); may be NULL:
     * nothing to do. */
    enum x86_bus_status (*flush)(struct x86_cpu *cpu, uint64_t gva, uint32_t op);
    /* A non-temporal store within one line; NULL: as store. */
    enum x86_bus_status (*ntstore)(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len);
    /* SFENCE (loads_too false), MFENCE; may be NULL. */
    void (*fence)(struct x86_cpu *cpu, bool loads_too);
    /* CPUID, which leaves a guest every time: what that costs; may be NULL. */
    void (*cpuid)(struct x86_cpu *cpu);
};

/* ---- running ---- */

enum x86_timing { X86_FUNCTIONAL, X86_BLOCK, X86_WINDOW };

enum x86_stop {
    X86_STOP_BUDGET,      /* max_instructions done, or until_ps reached */
    X86_STOP_FAULT,       /* cpu->fault; rip is that of the instruction, and nothing of it has happened */
    X86_STOP_SYSCALL,     /* SYSCALL; rip is behind it, RCX and R11 are set */
    X86_STOP_INT,         /* INT3 or INT n; rip is behind it, fault.vector is n */
    X86_STOP_HLT,         /* rip is behind it */
    X86_STOP_PAUSE,       /* PAUSE with stop_at_pause; rip is behind it */
    X86_STOP_BREAKPOINT,  /* rip is in breakpoints; the instruction there has not run */
    X86_STOP_UNSUPPORTED, /* a valid instruction that is not implemented: bytes in cpu->unsupported */
    X86_STOP_BUS          /* a bus member said so */
};

/* Software TLB: host = gva + addend. Tags are page addresses; 1 never matches. */
#define X86_TLB_ENTRIES 1024u
struct x86_tlb_entry {
    uint64_t read, write, exec;
    uintptr_t addend;
};
/* Where a block starts, by address. */
#define X86_JUMP_ENTRIES 4096u
struct x86_op;
struct x86_block;
struct x86_code;
struct x86_jump {
    uint64_t rip;
    const struct x86_op *op;
};

struct x86_cpu {
    struct x86_state state; /* first */
    /* Used by every block. */
    int64_t budget;          /* instructions left before the slow entry; < 0 there */
    struct x86_block *block; /* that runs, or ran last */
    struct x86_tlb_entry *tlb;
    struct x86_jump *jump;
    /* How the run ends. */
    enum x86_stop stop;
    struct x86_fault fault;
    uint8_t unsupported[15];
    uint8_t n_unsupported;

    struct x86_code *code;
    const struct x86_bus *bus;
    void *bus_ctx;     /* the embedder's */
    struct core *core; /* clock and timing; may be NULL in tests: then a TSC tick is an instruction */
    enum x86_timing timing;
    bool stop_at_pause;
    const uint64_t *breakpoints;
    uint32_t n_breakpoints;
    uint64_t tsc_hz;       /* of RDTSC; x86_cpu_init sets 2.4 GHz */
    uint32_t id, n_cpus;   /* initial APIC id, and of how many: for CPUID and RDPID */
    uint64_t instructions; /* retired so far, exact while x86_run() is not active */

    /* Inside x86_run(). */
    uint32_t host_mxcsr; /* the simulator's own */
    int64_t granted;     /* instructions that x86_run() was given */
    int64_t bias;        /* taken off budget so that every block enters slowly */
    bool stop_wanted;
    int64_t n_clocked;        /* functional: instructions of this run that the core's clock has counted */
    uint64_t past_breakpoint; /* a run that begins at a breakpoint passes it */
    uint64_t until_ps;
    uint64_t code_epoch; /* of the struct x86_code when jump and tlb were last known good */
    uint64_t last_fetch; /* line of the last timed fetch */
    uint32_t n_issued;   /* timed: instructions of the block that the core model has, */
    uint32_t n_pending;  /* of so many, */
    uint64_t insn_fs;    /* one every so often */
    ps_t ready_ps[16];   /* timed: when a register's loaded value is there */
    uint64_t *hpa;       /* of each software TLB entry with an exec tag */
    struct x86_window *window;
};

/* Decoded code of one host-physical memory. max_bytes bounds its host memory (0: 64 MiB). */
struct x86_code *x86_code_new(uint64_t max_bytes);
void x86_code_free(struct x86_code *code);
/* Somebody else than a processor wrote bytes of memory: a system call, DMA, a page moved or freed. Cheap when the page
 * holds no decoded code. */
void x86_code_written(struct x86_code *code, uint64_t hpa, uint64_t len);

/* Forgets all decoded code: memory was moved. Not while a processor runs. */
void x86_code_reset(struct x86_code *code);

/* A processor in 64-bit user mode with all registers zero, SSE and x87 as after FNINIT. The pointers stay the caller's.
 */
void x86_cpu_init(struct x86_cpu *cpu, struct x86_code *code, const struct x86_bus *bus, void *bus_ctx,
                  struct core *core);
void x86_cpu_fini(struct x86_cpu *cpu);
/* May be called between runs. */
void x86_set_timing(struct x86_cpu *cpu, enum x86_timing timing);

/* Runs until something stops it: exactly max_instructions (0: no limit), or the first block end at or after until_ps of
 * the core's clock (0: no limit). Iterations of a REP do not count as instructions. */
enum x86_stop x86_run(struct x86_cpu *cpu, uint64_t max_instructions, ps_t until_ps);

/* For bus members: x86_run() returns X86_STOP_BUDGET at the end of the running block. */
void x86_stop_soon(struct x86_cpu *cpu);

/* Translations of the processor changed: all, or those of one page. May be called from a bus member. */
void x86_tlb_flush(struct x86_cpu *cpu);
void x86_tlb_flush_page(struct x86_cpu *cpu, uint64_t gva);
/* The same for all processors that share the code, at their next run. */
void x86_tlb_flush_all(struct x86_code *code);

uint64_t x86_rflags(const struct x86_cpu *cpu);
void x86_set_rflags(struct x86_cpu *cpu, uint64_t rflags);
/* The time-stamp counter now. */
uint64_t x86_tsc(struct x86_cpu *cpu);

/* The image that FXSAVE writes (SDM volume 1, 10.5.1), without its last 96 bytes, which are software's. is_64bit: as
 * FXSAVE64. x86_fx_load: -1, with nothing changed, if it has MXCSR bits that do not exist. */
#define X86_FX_BYTES 416u
void x86_fx_save(const struct x86_state *s, bool is_64bit, uint8_t image[X86_FX_BYTES]);
int x86_fx_load(struct x86_state *s, bool is_64bit, const uint8_t image[X86_FX_BYTES]);

/* EDX of CPUID leaf 1. */
uint32_t x86_cpuid_1_edx(void);

/* For bus members: the fault of an access at the processor's privilege. Returns X86_BUS_FAULT. */
enum x86_bus_status x86_page_fault(struct x86_cpu *cpu, uint64_t gva, enum x86_access access, bool is_present);

#endif

/* SPDX-License-Identifier: MIT */
/* An x86-64 processor: state, memory bus, running it. Instructions are decoded once (Zydis) into 32-byte operations in
 * blocks; blocks are kept by host-physical page, address and mode, and are dropped when a store hits their bytes.
 *
 * Who embeds it supplies a struct x86_bus. The processor has two lives:
 *   - of a user program: 64-bit code at privilege level 3; faults, SYSCALL and software interrupts end x86_run() and
 * are the embedder's; privileged instructions are #GP, and unsupported at level 0;
 *   - of a whole system (x86_system_init): control registers, descriptor tables, MSRs, ports, interrupts; exceptions,
 *     INT, SYSCALL are delivered inside the guest. "System mode" below.
 *
 * One struct x86_code is shared by all processors that run in the same host-physical memory; they take turns on one
 * host thread, and an instruction, locked or not, is never interrupted by another processor's. */
#ifndef QUIRE_CPU_X86_H
#define QUIRE_CPU_X86_H

#include "sim/base/ckpt.h"
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
    /* The other segments' bases as addends: 0 in 64-bit mode. In the order of enum x86_seg. */
    X86_ES_BASE,
    X86_CS_BASE,
    X86_SS_BASE,
    X86_DS_BASE,
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
#define X86_VM   (1u << 17)
#define X86_AC   (1u << 18)
#define X86_ID   (1u << 21)

/* Exception vectors (SDM volume 3, 6.15). */
enum x86_vector {
    X86_DE = 0,
    X86_DB = 1,
    X86_NMI = 2,
    X86_BP = 3,
    X86_OF_TRAP = 4,
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
#define X86_PFEC_R 8u /* a reserved bit is set in an entry */
#define X86_PFEC_I 16u

/* Control register bits (SDM volume 3, 2.5) and EFER. */
#define X86_CR0_PE         (1u << 0)
#define X86_CR0_MP         (1u << 1)
#define X86_CR0_EM         (1u << 2)
#define X86_CR0_TS         (1u << 3)
#define X86_CR0_ET         (1u << 4)
#define X86_CR0_NE         (1u << 5)
#define X86_CR0_WP         (1u << 16)
#define X86_CR0_AM         (1u << 18)
#define X86_CR0_NW         (1u << 29)
#define X86_CR0_CD         (1u << 30)
#define X86_CR0_PG         (1u << 31)
#define X86_CR4_TSD        (1u << 2)
#define X86_CR4_DE         (1u << 3)
#define X86_CR4_PSE        (1u << 4)
#define X86_CR4_PAE        (1u << 5)
#define X86_CR4_MCE        (1u << 6)
#define X86_CR4_PGE        (1u << 7)
#define X86_CR4_PCE        (1u << 8)
#define X86_CR4_OSFXSR     (1u << 9)
#define X86_CR4_OSXMMEXCPT (1u << 10)
#define X86_CR4_UMIP       (1u << 11)
#define X86_CR4_FSGSBASE   (1u << 16)
#define X86_CR4_PCIDE      (1u << 17)
#define X86_CR4_OSXSAVE    (1u << 18)
#define X86_CR4_SMEP       (1u << 20)
#define X86_CR4_SMAP       (1u << 21)
#define X86_EFER_SCE       (1u << 0)
#define X86_EFER_LME       (1u << 8)
#define X86_EFER_LMA       (1u << 10)
#define X86_EFER_NXE       (1u << 11)
#define X86_FAST_STRINGS   (1u << 0) /* IA32_MISC_ENABLE, as after RESET (SDM volume 4, table 2-2) */

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
    /* System mode. */
    bool is_nmi_pending, is_nmi_blocked;
    uint32_t trap_dr6;   /* #DB is due behind the last instruction: bits of DR6 */
    uint64_t shadow_rip; /* no interrupt before the instruction here: behind STI, MOV SS; ~0: none */
    uint64_t resume_rip; /* no instruction breakpoint here: IRET had RF; ~0: none */
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
    bool is_once;     /* warm(): later accesses to the line have to ask again */
    uint8_t kind;     /* warm(): the bus's own, below X86_WARM_KINDS; hits are counted by it (sim/cpu/x86_warm.h) */
};

struct x86_cpu;

/* What the guest dropped, or changed (system mode). */
enum x86_tlb_drop {
    X86_DROP_ALL,       /* everything, also global: the paging mode changed, INVPCID 2 */
    X86_DROP_NONGLOBAL, /* INVPCID 3 */
    X86_DROP_PCID,      /* of pcid, without global ones: MOV CR3; INVPCID 1. Space and levels are to be read again */
    X86_DROP_NOTHING,   /* MOV CR3 with bit 63: only the space changed */
    X86_DROP_PAGE       /* of gva in pcid, and global ones of gva: INVLPG, INVPCID 0 */
};

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
    /* Model warm: an access to the line of gva, or its fetch, is made without waiting; out as page() fills it, host
     * NULL if load(), store() and kin have to be called instead. NULL: they always have. */
    enum x86_bus_status (*warm)(struct x86_cpu *cpu, uint64_t gva, enum x86_access access, struct x86_page *out);
    /* CPUID, which leaves a guest every time: what that costs; may be NULL. */
    void (*cpuid)(struct x86_cpu *cpu);

    /* System mode only; each may be NULL. */
    /* A port, size 1, 2 or 4 bytes; NULL: reads give all ones, writes go nowhere. Only X86_BUS_OK or _STOP. */
    enum x86_bus_status (*port_in)(struct x86_cpu *cpu, uint16_t port, uint32_t size, uint32_t *value);
    enum x86_bus_status (*port_out)(struct x86_cpu *cpu, uint16_t port, uint32_t size, uint32_t value);
    /* An MSR that is not the processor's own: IA32_APIC_BASE (1b), IA32_TSC_DEADLINE (6e0), x2APIC (800..8ff) and
     * whatever else the platform has. X86_BUS_FAULT is #GP(0), cpu->fault need not be filled; NULL: always. */
    enum x86_bus_status (*msr_read)(struct x86_cpu *cpu, uint32_t index, uint64_t *value);
    enum x86_bus_status (*msr_write)(struct x86_cpu *cpu, uint32_t index, uint64_t value);
    /* The external interrupt that x86_interrupt_raise() announced is taken now: its vector, 0..255; -1: there is none
     * any more. The line stays as it is until the embedder changes it. */
    int (*interrupt)(struct x86_cpu *cpu);
    /* CR8 was written: state.cr8 is the new task priority, 0..15. (The APIC writes state.cr8 when its TPR changes.) */
    void (*cr8)(struct x86_cpu *cpu);
    /* Translations are to be dropped in the simulated TLBs; the processor's own ones are. Called with the new state. */
    void (*tlb)(struct x86_cpu *cpu, enum x86_tlb_drop what, uint64_t gva, uint32_t pcid);
};

/* ---- running ---- */

/* X86_WARM: sim/cpu/x86_warm.h. */
enum x86_timing { X86_FUNCTIONAL, X86_BLOCK, X86_WINDOW, X86_WARM, X86_N_TIMINGS };

enum x86_stop {
    X86_STOP_BUDGET,      /* max_instructions done, or until_ps reached */
    X86_STOP_FAULT,       /* cpu->fault; rip is that of the instruction, and nothing of it has happened */
    X86_STOP_SYSCALL,     /* SYSCALL; rip is behind it, RCX and R11 are set */
    X86_STOP_INT,         /* INT3 or INT n; rip is behind it, fault.vector is n */
    X86_STOP_HLT,         /* rip is behind it */
    X86_STOP_PAUSE,       /* PAUSE with stop_at_pause; rip is behind it */
    X86_STOP_BREAKPOINT,  /* rip is in breakpoints; the instruction there has not run */
    X86_STOP_UNSUPPORTED, /* a valid instruction that is not implemented: bytes in cpu->unsupported */
    X86_STOP_BUS,         /* a bus member said so */
    X86_STOP_SHUTDOWN     /* system mode: a fault on the way to the double-fault handler; fault is the last one */
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
/* What is remembered for one privilege. */
#define X86_USED 512u
struct x86_view {
    struct x86_tlb_entry tlb[X86_TLB_ENTRIES];
    struct x86_jump jump[X86_JUMP_ENTRIES];
    uint64_t hpa[X86_TLB_ENTRIES]; /* of each entry */
    uint64_t context;              /* that the jumps are of */
    /* Since it was emptied: slots that were filled, more than fit counted only; pages that blocks begin on, by their
     * low bits. */
    uint32_t n_tlb_used, n_jumps_used;
    uint16_t tlb_used[X86_USED], jumps_used[X86_USED];
    uint64_t jump_pages[64];
};

enum x86_privilege {
    X86_USER,
    X86_SUPERVISOR,
    X86_SUPERVISOR_AC, /* SMAP is lifted by RFLAGS.AC */
    X86_N_PRIVILEGES
};

#define X86_LONG_STRING 4096u
struct x86_cpu {
    struct x86_state state; /* first */
    /* Used by every block. */
    int64_t budget;            /* instructions left before the slow entry; < 0 there */
    struct x86_block *block;   /* that runs, or ran last */
    struct x86_tlb_entry *tlb; /* of view[privilege], as are jump and hpa */
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
    ps_t kernel_ps;        /* the embedder's: time in page faults that it handled behind an access */
    ps_t string_ps;        /* timed, warm: time of MOVS, STOS and kin of X86_LONG_STRING bytes and more */
    uint64_t forward_fs;   /* functional, warm: time of an instruction; 0: the core's own rate */

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
    struct x86_warm *warm;

    /* System mode. */
    bool is_system;
    bool is_interrupt; /* the external interrupt line */
    bool is_implicit; /* the access that runs is the processor's own: of a descriptor table, a TSS, an interrupt's stack
                       */
    bool is_event;    /* the run was left to deliver what waits */
    uint32_t paging;  /* rights of an access now, MMU_* of sim/mmu/mmu.h: goes into mmu_space.rights */
    uint32_t platform_ecx, platform_edx; /* what the platform adds to CPUID.1: x2APIC, TSC deadline, hypervisor; APIC */
    uint64_t context;                    /* how code decodes: X86_MODE_* of sim/cpu/x86_op.h, the base of CS << 8 */
    uint64_t linear;                     /* bits of a linear address */
    uint32_t privilege;                  /* which view is in use */
    struct x86_view *view[X86_N_PRIVILEGES];
    uint32_t kept_mxcsr;   /* the host's while an instruction runs whose SSE exceptions are unmasked, else 0 */
    struct x86_undo *undo; /* of the instruction that runs, where SSE exceptions are unmasked */
};

/* Decoded code of one host-physical memory. max_bytes bounds its host memory (0: 64 MiB). */
struct x86_code *x86_code_new(uint64_t max_bytes);
void x86_code_free(struct x86_code *code);
/* Somebody else than a processor wrote bytes of memory: a system call, DMA, a page moved or freed. Cheap when the page
 * holds no decoded code. */
void x86_code_written(struct x86_code *code, uint64_t hpa, uint64_t len);

/* Memory as checkpoints need it: the 4096 bytes of a frame that may be used directly, or NULL; any bytes within a
 * frame, false if there is none. */
struct x86_memory {
    void *ctx;
    uint8_t *(*page)(void *ctx, uint64_t hpa);
    bool (*read)(void *ctx, uint64_t hpa, void *buf, uint32_t n);
};
/* All processors that share the code, between runs, and the code, for a checkpoint. They have been made as they were;
 * memory has been read. */
void x86_state_all(struct x86_code *code, struct x86_cpu *const *cpu, uint32_t n_cpus, const struct x86_memory *m,
                   struct ckpt *c);

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

/* For bus members: the clock went on by more than instructions. Where it only counts them (functional, warm) the run
 * ends that much earlier. */
void x86_time_moved(struct x86_cpu *cpu);

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
/* The same with the error code that a page walk found (mmu.fault_code). */
enum x86_bus_status x86_page_fault_code(struct x86_cpu *cpu, uint64_t gva, uint32_t code);

/* ---- system mode ----
 *
 * What the embedder does: x86_cpu_init(), x86_system_init(), registers as the boot protocol says and x86_changed(), or
 * x86_sipi(); then x86_run() again and again. It ends with
 *   X86_STOP_BUDGET     as ever. A delivered exception or interrupt counts as one instruction;
 *   X86_STOP_HLT        the processor waits for x86_interrupt_raise() (if IF), x86_nmi(), x86_reset();
 *   X86_STOP_SHUTDOWN   triple fault: a PC resets;
 *   X86_STOP_BUS        a bus member stopped it;
 *   X86_STOP_PAUSE, X86_STOP_BREAKPOINT   where asked for;
 *   X86_STOP_UNSUPPORTED   a valid instruction, or paging mode (32-bit, PAE without long mode), that is not there.
 *
 * Translation is the bus's. Before every access that it makes for the processor it sets in its struct mmu_space:
 *   rights = cpu->paging   (MMU_*: cpl, CR0.WP, EFER.NXE, CR4.SMEP, CR4.SMAP with AC; accesses that the processor makes
 *                          for itself, of descriptor tables and TSS, are a supervisor's and come with is_implicit)
 * and, when x86_bus.tlb was called or x86_changed() was,
 *   cr3 = x86_paging_root(cpu), levels = x86_paging_levels(cpu)   (0: paging is off, addresses are physical)
 *   asid from x86_pcid(cpu).
 * A page fault of the walk has its exact error code in mmu.fault_code: return x86_page_fault_code(cpu, gva, code).
 * The rights of pages are kept by the processor's software TLB apart for each privilege, so a change of privilege costs
 * nothing and asks nobody.
 *
 * Devices in memory: page() answers with host NULL and hpa the page's, and the bytes come by load() and store(). */

/* Makes cpu, which x86_cpu_init() made, a whole processor in the state after RESET. Undone by x86_cpu_fini(). */
void x86_system_init(struct x86_cpu *cpu);
/* INIT: registers as SDM volume 3, table 9-1; x87, SSE, MSRs and the time-stamp counter stay. All translations go. */
void x86_reset(struct x86_cpu *cpu);
/* Start-up IPI: real mode at vector << 12. The processor was reset before. */
void x86_sipi(struct x86_cpu *cpu, uint8_t vector);
/* Somebody wrote control registers, EFER, segments or cpl of cpu->state: what follows from them is made anew, and the
 * software TLB emptied. */
void x86_changed(struct x86_cpu *cpu);
/* The external interrupt line, as the local APIC drives it: taken where a block ends, with IF, not in the shadow of STI
 * or MOV SS. From bus members or between runs. */
void x86_interrupt_raise(struct x86_cpu *cpu);
void x86_interrupt_lower(struct x86_cpu *cpu);
/* A non-maskable interrupt (vector 2), once. */
void x86_nmi(struct x86_cpu *cpu);
/* A segment register, or LDTR, TR, as a boot protocol wants it: attributes as in struct x86_segment. */
void x86_set_segment(struct x86_cpu *cpu, enum x86_seg seg, struct x86_segment value);

/* What the paging structures are: 0 levels where CR0.PG is 0; the top table; CR3's PCID, 0 without CR4.PCIDE. */
uint32_t x86_paging_levels(const struct x86_cpu *cpu);
uint64_t x86_paging_root(const struct x86_cpu *cpu);
uint32_t x86_pcid(const struct x86_cpu *cpu);

#endif

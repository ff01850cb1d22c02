/* SPDX-License-Identifier: MIT */
/* CPUID, the time-stamp counter, SYSCALL and software interrupts, FS and GS, flushes and fences, what is no
 * instruction. */
#include "sim/cpu/x86_sys.h"

#include "sim/cache/cache.h"
#include "sim/cpu/x86_window.h"

#include <Zydis/Mnemonic.h>

#define R(off, T) X86_REG(cpu, off, T)

/* ---- CPUID: what works, and no more ---- */

/* CPUID.1 ECX: SSE3 PCLMULQDQ SSSE3 CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES; EDX: FPU TSC CX8 PGE CMOV PAT CLFSH MMX FXSR
 * SSE SSE2. 7.0 EBX: FSGSBASE ERMS ADX CLFLUSHOPT CLWB; 80000001 ECX: LAHF LZCNT PREFETCHW; EDX: SYSCALL NX 1GB RDTSCP
 * LM (SDM volume 2, CPUID). */
#define CPUID_1_ECX (1u << 0 | 1u << 1 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 22 | 1u << 23 | 1u << 25)
#define CPUID_1_EDX                                                                                                    \
    (1u << 0 | 1u << 4 | 1u << 8 | 1u << 13 | 1u << 15 | 1u << 16 | 1u << 19 | 1u << 23 | 1u << 24 | 1u << 25 |        \
     1u << 26)
#define CPUID_7_EBX  (1u << 0 | 1u << 9 | 1u << 19 | 1u << 23 | 1u << 24)
#define CPUID_7_ECX  (1u << 22) /* RDPID */
#define CPUID_81_ECX (1u << 0 | 1u << 5 | 1u << 8)
#define CPUID_81_EDX ((CPUID_1_EDX & 0x0183f3ffu) | 1u << 11 | 1u << 20 | 1u << 26 | 1u << 27 | 1u << 29)

uint32_t x86_cpuid_1_edx(void)
{
    return CPUID_1_EDX;
}

struct cpuid {
    uint32_t a, b, c, d;
};

static struct cpuid text_leaf(const char *s)
{
    struct cpuid r;
    memcpy(&r, s, sizeof r);
    return r;
}

/* Leaf 4: the caches of the default machine (sim/cache/cache.c): type and level, ways, sets. */
static struct cpuid cache_leaf(uint32_t sub)
{
    static const struct {
        uint32_t type_level, ways, sets;
    } caches[] = {{1 | 1 << 5, 8, 64}, {2 | 1 << 5, 8, 64}, {3 | 2 << 5, 16, 1024}, {3 | 3 << 5, 11, 49152}};
    if (sub >= N_ELEMS(caches))
        return (struct cpuid){0};
    return (struct cpuid){caches[sub].type_level | 1u << 8, (caches[sub].ways - 1) << 22 | (LINE_BYTES - 1),
                          caches[sub].sets - 1, 0};
}

static struct cpuid cpuid(const struct x86_cpu *cpu, uint32_t leaf, uint32_t sub)
{
    static const char brand[49] = "quire simulated processor";
    uint32_t khz = (uint32_t)(cpu->tsc_hz / 1000);
    (void)sub;
    switch (leaf) {
    case 0: /* GenuineIntel, as the machine files are Intel's */
        return (struct cpuid){0x16, 0x756e6547, 0x6c65746e, 0x49656e69};
    case 1: /* family 6, model 85, stepping 7: Cascade Lake; CLFLUSH of 64 bytes, APIC id */
        return (struct cpuid){0x50657, cpu->id << 24 | (cpu->n_cpus & 0xff) << 16 | 8 << 8, CPUID_1_ECX, CPUID_1_EDX};
    case 2: /* caches and TLBs: see leaf 4; prefetch is 64 bytes */
        return (struct cpuid){0x00feff01, 0, 0, 0xf0};
    case 4:
        return cache_leaf(sub);
    case 7:
        if (sub)
            return (struct cpuid){0};
        return (struct cpuid){0, CPUID_7_EBX, CPUID_7_ECX, 0};
    case 0x15: /* a crystal of 1 kHz times so many */
        return (struct cpuid){1, khz, 1000, 0};
    case 0x16:
        return (struct cpuid){khz / 1000, khz / 1000, 100, 0};
    case 0x80000000:
        return (struct cpuid){0x80000008, 0, 0, 0};
    case 0x80000001:
        return (struct cpuid){0, 0, CPUID_81_ECX, CPUID_81_EDX};
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        return text_leaf(brand + 16 * (leaf - 0x80000002));
    case 0x80000007: /* invariant TSC */
        return (struct cpuid){0, 0, 0, 1u << 8};
    case 0x80000008: /* 46 physical, 48 virtual bits */
        return (struct cpuid){48 << 8 | HPA_BITS, 0, 0, 0};
    default:
        return (struct cpuid){0};
    }
}

/* What a kernel sees besides. CPUID.1 ECX: PCID XSAVE OSXSAVE; EDX: DE PSE MSR PAE HTT; 6 EAX: ARAT; 7.0 EBX: SMEP
 * INVPCID SMAP; ECX: UMIP; EDX: ARCH_CAPABILITIES. */
#define SYSTEM_1_ECX   (1u << 17 | 1u << 26)
#define SYSTEM_OSXSAVE (1u << 27)
#define SYSTEM_1_EDX   (1u << 2 | 1u << 3 | 1u << 5 | 1u << 6)
#define SYSTEM_HTT     (1u << 28)
#define SYSTEM_TSC_DL  (1u << 24) /* of the platform's ECX */
#define SYSTEM_7_EBX   (1u << 7 | 1u << 10 | 1u << 20)
#define SYSTEM_7_ECX   (1u << 2)
#define SYSTEM_7_EDX   (1u << 29)
#define XSAVE_BYTES    576u /* legacy region and header */

/* Leaf B: one thread a core, all cores in one package. */
static struct cpuid topology_leaf(const struct x86_cpu *cpu, uint32_t sub)
{
    uint32_t n = cpu->n_cpus ? cpu->n_cpus : 1, bits = n > 1 ? 32 - (uint32_t)__builtin_clz(n - 1) : 0;
    if (sub == 0)
        return (struct cpuid){0, 1, 1 << 8, cpu->id};
    if (sub == 1)
        return (struct cpuid){bits, n, 1 | 2 << 8, cpu->id};
    return (struct cpuid){0, 0, sub & 0xff, cpu->id};
}

static struct cpuid cpuid_system(const struct x86_cpu *cpu, uint32_t leaf, uint32_t sub)
{
    struct cpuid r = cpuid(cpu, leaf, sub);
    switch (leaf) {
    case 1:
        r.c |= SYSTEM_1_ECX | (cpu->state.cr4 & X86_CR4_OSXSAVE ? SYSTEM_OSXSAVE : 0) | cpu->platform_ecx;
        r.d |= SYSTEM_1_EDX | (cpu->n_cpus > 1 ? SYSTEM_HTT : 0) | cpu->platform_edx;
        return r;
    case 6: /* the APIC's timer never stops */
        r.a = cpu->platform_ecx & SYSTEM_TSC_DL ? 1u << 2 : 0;
        return r;
    case 7:
        if (sub)
            return r;
        r.b |= SYSTEM_7_EBX;
        r.c |= SYSTEM_7_ECX;
        r.d |= SYSTEM_7_EDX;
        return r;
    case 0xb:
        return topology_leaf(cpu, sub);
    case 0xd:
        if (sub)
            return (struct cpuid){0};
        return (struct cpuid){3, XSAVE_BYTES, XSAVE_BYTES, 0};
    default:
        return r;
    }
}

X86_OP(cpuid)
{
    uint64_t *g = cpu->state.gpr;
    uint32_t leaf = (uint32_t)g[X86_RAX], sub = (uint32_t)g[X86_RCX];
    struct cpuid r = cpu->is_system ? cpuid_system(cpu, leaf, sub) : cpuid(cpu, leaf, sub);
    g[X86_RAX] = r.a;
    g[X86_RBX] = r.b;
    g[X86_RCX] = r.c;
    g[X86_RDX] = r.d;
    if (cpu->bus->cpuid) {
        x86_clock(cpu, op);
        cpu->bus->cpuid(cpu);
        if (cpu->timing == X86_WINDOW)
            x86_window_resume(cpu);
    }
    return x86_next(op);
}

/* ---- time ---- */

static void put_tsc(struct x86_cpu *cpu, const struct x86_op *op)
{
    x86_clock(cpu, op);
    uint64_t t = x86_tsc(cpu);
    cpu->state.gpr[X86_RAX] = (uint32_t)t;
    cpu->state.gpr[X86_RDX] = t >> 32;
}
X86_OP(rdtsc)
{
    put_tsc(cpu, op);
    return x86_next(op);
}
X86_OP(rdtscp)
{
    if (cpu->timing != X86_FUNCTIONAL && cpu->core) {
        x86_issue(cpu, op);
        core_drain(cpu->core);
        if (cpu->timing == X86_WINDOW)
            x86_window_resume(cpu);
    }
    put_tsc(cpu, op);
    cpu->state.gpr[X86_RCX] = (uint32_t)cpu->state.tsc_aux;
    return x86_next(op);
}
X86_OP(rdpid)
{
    R(op->dst, uint64_t) = (uint32_t)cpu->state.tsc_aux;
    return x86_next(op);
}
/* In system mode the level may forbid reading the counter. */
static inline bool hides_time(const struct x86_cpu *cpu)
{
    return cpu->state.cr4 & X86_CR4_TSD && cpu->state.cpl;
}
X86_OP(rdtsc_system)
{
    return hides_time(cpu) ? x86_raise(cpu, op, X86_GP) : x86_op_rdtsc(cpu, op);
}
X86_OP(rdtscp_system)
{
    return hides_time(cpu) ? x86_raise(cpu, op, X86_GP) : x86_op_rdtscp(cpu, op);
}
X86_OP(pause)
{
    return cpu->stop_at_pause ? x86_leave_after(cpu, op, X86_STOP_PAUSE) : x86_go(cpu, op, 0);
}

/* ---- leaving user mode ---- */

X86_OP(syscall)
{
    uint64_t next = cpu->block->rip + op->at + op->len;
    cpu->state.gpr[X86_RCX] = next;
    cpu->state.gpr[X86_R11] = x86_rflags(cpu) & ~(uint64_t)X86_RF;
    return x86_leave_after(cpu, op, X86_STOP_SYSCALL);
}
static const struct x86_op *soft_interrupt(struct x86_cpu *cpu, const struct x86_op *op, uint32_t vector)
{
    cpu->fault = (struct x86_fault){.vector = (uint8_t)vector, .rip = cpu->block->rip + op->at + op->len};
    return x86_leave_after(cpu, op, X86_STOP_INT);
}
X86_OP(int3)
{
    return soft_interrupt(cpu, op, X86_BP);
}
X86_OP(int1)
{
    return soft_interrupt(cpu, op, X86_DB);
}
X86_OP(int_n)
{
    return soft_interrupt(cpu, op, (uint32_t)op->imm & 0xff);
}
X86_OP(hlt)
{
    if (cpu->state.cpl)
        return x86_raise(cpu, op, X86_GP);
    return x86_leave_after(cpu, op, X86_STOP_HLT);
}
/* Instructions that user mode may not have. */
X86_OP(privileged)
{
    if (cpu->state.cpl)
        return x86_raise(cpu, op, X86_GP);
    return x86_op_unsupported(cpu, op);
}
X86_OP(ud)
{
    return x86_raise(cpu, op, X86_UD);
}
X86_OP(too_long)
{
    return x86_raise(cpu, op, X86_GP);
}
X86_OP(unsupported)
{
    uint64_t rip = cpu->block->rip + op->at;
    cpu->n_unsupported = 0;
    for (uint32_t i = 0; i < op->len && i < sizeof cpu->unsupported; i++) {
        struct x86_page page;
        if (!x86_exec_page(cpu, rip + i, &page) || !page.host)
            break;
        cpu->unsupported[i] = page.host[(rip + i) & (PAGE_BYTES - 1)];
        cpu->n_unsupported++;
    }
    cpu->stop = X86_STOP_UNSUPPORTED;
    return x86_stop(cpu, op);
}

/* ---- segments, as far as user mode sees them ---- */

static const struct x86_op *put_base(struct x86_cpu *cpu, const struct x86_op *op, enum x86_reg which)
{
    uint64_t v = op->size == 8 ? R(op->dst, uint64_t) : R(op->dst, uint32_t);
    if ((uint64_t)((int64_t)(v << 16) >> 16) != v)
        return x86_raise(cpu, op, X86_GP);
    cpu->state.gpr[which] = v;
    return x86_next(op);
}
X86_OP(wrfsbase)
{
    return put_base(cpu, op, X86_FS_BASE);
}
X86_OP(wrgsbase)
{
    return put_base(cpu, op, X86_GS_BASE);
}
X86_OP(rdfsbase)
{
    x86_put_gpr(cpu, op->dst, op->size, cpu->state.gpr[X86_FS_BASE]);
    return x86_next(op);
}
X86_OP(rdgsbase)
{
    x86_put_gpr(cpu, op->dst, op->size, cpu->state.gpr[X86_GS_BASE]);
    return x86_next(op);
}
/* In system mode the kernel says whether there are such instructions. */
#define BASE_SYSTEM(name)                                                                                              \
    X86_OP(name##_system)                                                                                              \
    {                                                                                                                  \
        return cpu->state.cr4 & X86_CR4_FSGSBASE ? x86_op_##name(cpu, op) : x86_raise(cpu, op, X86_UD);                \
    }
BASE_SYSTEM(rdfsbase)
BASE_SYSTEM(rdgsbase)
BASE_SYSTEM(wrfsbase)
BASE_SYSTEM(wrgsbase)
/* MOV r/m, Sreg: a register gets the selector zero-extended, memory 16 bits. */
X86_OP(mov_from_seg)
{
    uint64_t v = cpu->state.seg[op->src].selector;
    if (op->flags & X86F_MEM) {
        if (!x86_store(cpu, op, x86_address(cpu, op), &v, 2))
            return x86_stop(cpu, op);
    } else {
        x86_put_gpr(cpu, op->dst, op->size, v);
    }
    return x86_next(op);
}

/* MOV Sreg, r/m in a flat user program: the null selector and the one it began with; all else is #GP. */
X86_OP(mov_to_seg)
{
    struct x86_value v = {0, 1};
    if (op->flags & X86F_MEM)
        v = x86_load_value(cpu, op, x86_address(cpu, op), 2, false);
    else
        v.v = R(op->src, uint16_t);
    if (!v.ok)
        return x86_stop(cpu, op);
    uint16_t selector = (uint16_t)v.v;
    if (op->dst == X86_CS)
        return x86_raise(cpu, op, X86_UD);
    if (selector != cpu->state.seg[X86_SS].selector && (selector > 3 || op->dst == X86_SS))
        return x86_raise_code(cpu, op, X86_GP, selector & ~3u);
    cpu->state.seg[op->dst].selector = selector;
    if (op->dst == X86_FS || op->dst == X86_GS)
        cpu->state.gpr[op->dst == X86_FS ? X86_FS_BASE : X86_GS_BASE] = 0;
    return x86_next(op);
}

/* ---- persistence ---- */

#define FLUSH(name, kind)                                                                                              \
    X86_OP(name)                                                                                                       \
    {                                                                                                                  \
        if (!x86_flush_line(cpu, op, x86_address(cpu, op), kind))                                                      \
            return x86_stop(cpu, op);                                                                                  \
        return x86_next(op);                                                                                           \
    }
FLUSH(clflush, FLUSH_CLFLUSH)
FLUSH(clflushopt, FLUSH_CLFLUSHOPT)
FLUSH(clwb, FLUSH_CLWB)
X86_OP(sfence)
{
    x86_fence(cpu, op, false);
    return x86_next(op);
}
X86_OP(mfence)
{
    x86_fence(cpu, op, true);
    return x86_next(op);
}
X86_OP(lfence)
{
    if (cpu->timing != X86_FUNCTIONAL && cpu->core) {
        x86_issue(cpu, op);
        if (cpu->timing == X86_BLOCK)
            core_wait(cpu->core, cpu->core->last_load_ps);
    }
    return x86_next(op);
}

#define F(name, fn, need)                                                                                              \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##name, x86_op_##fn, need                                                                       \
    }
const struct x86_form x86_guarded_forms[] = {
    F(LDMXCSR, ldmxcsr_system, X86N_END),
    F(FXRSTOR, fxrstor_system, X86N_END),
    F(FXRSTOR64, fxrstor_system, X86N_END),
    F(RDTSC, rdtsc_system, 0),
    F(RDTSCP, rdtscp_system, 0),
    F(RDFSBASE, rdfsbase_system, 0),
    F(RDGSBASE, rdgsbase_system, 0),
    F(WRFSBASE, wrfsbase_system, 0),
    F(WRGSBASE, wrgsbase_system, 0),
    F(POPF, popf_system, X86N_END),
    F(POPFD, popf_system, X86N_END),
    F(POPFQ, popf_system, X86N_END),
    {0, NULL, 0},
};
const struct x86_form x86_system_forms[] = {
    F(CPUID, cpuid, 0),
    F(RDTSC, rdtsc, 0),
    F(RDTSCP, rdtscp, 0),
    F(RDPID, rdpid, 0),
    F(PAUSE, pause, X86N_END),
    F(SYSCALL, syscall, X86N_END),
    F(INT3, int3, X86N_END),
    F(INT1, int1, X86N_END),
    F(INT, int_n, X86N_END),
    F(HLT, hlt, X86N_END),
    F(UD0, ud, X86N_END),
    F(UD1, ud, X86N_END),
    F(UD2, ud, X86N_END),
    F(RDFSBASE, rdfsbase, 0),
    F(RDGSBASE, rdgsbase, 0),
    F(WRFSBASE, wrfsbase, 0),
    F(WRGSBASE, wrgsbase, 0),
    F(CLFLUSH, clflush, 0),
    F(CLFLUSHOPT, clflushopt, 0),
    F(CLWB, clwb, 0),
    F(SFENCE, sfence, 0),
    F(MFENCE, mfence, 0),
    F(LFENCE, lfence, 0),
    F(CLI, privileged, X86N_END),
    F(STI, privileged, X86N_END),
    F(IN, privileged, X86N_END),
    F(OUT, privileged, X86N_END),
    F(INSB, privileged, X86N_END),
    F(INSW, privileged, X86N_END),
    F(INSD, privileged, X86N_END),
    F(OUTSB, privileged, X86N_END),
    F(OUTSW, privileged, X86N_END),
    F(OUTSD, privileged, X86N_END),
    F(RDMSR, privileged, X86N_END),
    F(WRMSR, privileged, X86N_END),
    F(LGDT, privileged, X86N_END),
    F(LIDT, privileged, X86N_END),
    F(LLDT, privileged, X86N_END),
    F(LTR, privileged, X86N_END),
    F(LMSW, privileged, X86N_END),
    F(CLTS, privileged, X86N_END),
    F(INVLPG, privileged, X86N_END),
    F(INVD, privileged, X86N_END),
    F(WBINVD, privileged, X86N_END),
    F(SYSRET, privileged, X86N_END),
    {0, NULL, 0},
};

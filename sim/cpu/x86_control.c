/* SPDX-License-Identifier: MIT */
/* System mode: control and debug registers, translations dropped, SYSCALL and SYSRET, SWAPGS, CLI and STI, HLT (SDM
 * volume 3, 2.5 and 2.8; volume 2 for each instruction). MONITOR and MWAIT are absent, and CPUID says so. */
#include "sim/cpu/x86_sys.h"
#include "sim/mmu/mmu.h"

#include <Zydis/Mnemonic.h>

#define R(off, T) X86_REG(cpu, off, T)

#define CR0_KEPT                                                                                                       \
    (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW |           \
     X86_CR0_CD | X86_CR0_PG)
#define CR4_KNOWN                                                                                                      \
    (X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | \
     X86_CR4_OSXMMEXCPT | X86_CR4_UMIP | X86_CR4_FSGSBASE | X86_CR4_PCIDE | X86_CR4_OSXSAVE | X86_CR4_SMEP |           \
     X86_CR4_SMAP)
/* A change of these makes what is cached of translations wrong (SDM volume 3, 4.10.4.1). */
#define CR0_PAGING  (X86_CR0_PE | X86_CR0_PG | X86_CR0_WP)
#define CR4_PAGING  (X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP)
#define CR3_NO_DROP (1ull << 63)

const struct x86_op *x86_done(struct x86_cpu *cpu, const struct x86_op *op)
{
    return x86_find(cpu, x86_behind(cpu, op));
}

/* True: the instruction is not for this level; leave with x86_op_privileged(). */
static inline bool is_denied(const struct x86_cpu *cpu)
{
    return !cpu->is_system || cpu->state.cpl;
}

/* ---- CR0 ---- */

static const struct x86_op *put_cr0(struct x86_cpu *cpu, const struct x86_op *op, uint64_t v)
{
    struct x86_state *s = &cpu->state;
    uint64_t old = s->cr0;
    bool pg = v & X86_CR0_PG, was_pg = old & X86_CR0_PG;
    if (v >> 32 || (pg && !(v & X86_CR0_PE)) || (v & X86_CR0_NW && !(v & X86_CR0_CD)))
        return x86_raise(cpu, op, X86_GP);
    v = (v & CR0_KEPT) | X86_CR0_ET;
    if (pg && !was_pg) {
        if (!(s->efer & X86_EFER_LME)) /* 32-bit and PAE paging */
            return x86_op_unsupported(cpu, op);
        if (!(s->cr4 & X86_CR4_PAE) || s->seg[X86_CS].attributes & X86_DESC_L)
            return x86_raise(cpu, op, X86_GP);
        s->efer |= X86_EFER_LMA;
    } else if (!pg && was_pg) {
        if (x86_is_64bit(cpu) || s->cr4 & X86_CR4_PCIDE)
            return x86_raise(cpu, op, X86_GP);
        s->efer &= ~(uint64_t)X86_EFER_LMA;
    }
    s->cr0 = v;
    x86_refresh(cpu);
    if ((old ^ v) & CR0_PAGING)
        x86_drop(cpu, X86_DROP_ALL, 0, 0);
    return x86_done(cpu, op);
}

static X86_OP(clts)
{
    if (is_denied(cpu))
        return x86_op_privileged(cpu, op);
    return put_cr0(cpu, op, cpu->state.cr0 & ~(uint64_t)X86_CR0_TS);
}

/* PE can be set, not cleared. */
static X86_OP(lmsw)
{
    const uint32_t those = X86_CR0_MP | X86_CR0_EM | X86_CR0_TS;
    uint64_t v;
    if (is_denied(cpu))
        return x86_op_privileged(cpu, op);
    if (!x86_get_rm(cpu, op, 2, false, &v))
        return x86_stop(cpu, op);
    return put_cr0(cpu, op, (cpu->state.cr0 & ~(uint64_t)those) | (v & (those | X86_CR0_PE)));
}

/* SGDT, SIDT, SLDT, STR, SMSW under CR4.UMIP. */
bool x86_is_hidden(const struct x86_cpu *cpu)
{
    return cpu->state.cpl && cpu->state.cr4 & X86_CR4_UMIP;
}

static X86_OP(smsw)
{
    if (!cpu->is_system)
        return x86_op_unsupported(cpu, op);
    if (x86_is_hidden(cpu))
        return x86_raise(cpu, op, X86_GP);
    if (!x86_put_rm(cpu, op, op->flags & X86F_MEM ? 2 : op->size, cpu->state.cr0))
        return x86_stop(cpu, op);
    return x86_next(op);
}

/* An SSE instruction where CR0 and CR4 forbid it. */
X86_OP(no_sse)
{
    bool is_absent = cpu->state.cr0 & X86_CR0_EM || !(cpu->state.cr4 & X86_CR4_OSFXSR);
    return x86_raise(cpu, op, is_absent ? X86_UD : X86_NM);
}

/* ---- CR2, CR3, CR4, CR8 ---- */

static const struct x86_op *put_cr3(struct x86_cpu *cpu, const struct x86_op *op, uint64_t v)
{
    struct x86_state *s = &cpu->state;
    bool has_pcid = s->cr4 & X86_CR4_PCIDE, keeps = has_pcid && v & CR3_NO_DROP;
    uint64_t reserved = ~(((uint64_t)1 << HPA_BITS) - 1) & ~(has_pcid ? CR3_NO_DROP : 0);
    if (v & reserved)
        return x86_raise(cpu, op, X86_GP);
    s->cr3 = v & ~CR3_NO_DROP;
    x86_drop(cpu, keeps ? X86_DROP_NOTHING : X86_DROP_PCID, 0, x86_pcid(cpu));
    return x86_done(cpu, op);
}

static const struct x86_op *put_cr4(struct x86_cpu *cpu, const struct x86_op *op, uint64_t v)
{
    struct x86_state *s = &cpu->state;
    uint64_t old = s->cr4, set = v & ~old;
    if (v & ~(uint64_t)CR4_KNOWN || (x86_is_long(cpu) && !(v & X86_CR4_PAE)) ||
        (set & X86_CR4_PCIDE && (!x86_is_long(cpu) || s->cr3 & 0xfff)))
        return x86_raise(cpu, op, X86_GP);
    s->cr4 = v;
    x86_refresh(cpu);
    if ((old ^ v) & CR4_PAGING)
        x86_drop(cpu, X86_DROP_ALL, 0, 0);
    return x86_done(cpu, op);
}

static const struct x86_op *put_cr8(struct x86_cpu *cpu, const struct x86_op *op, uint64_t v)
{
    if (v >> 4)
        return x86_raise(cpu, op, X86_GP);
    cpu->state.cr8 = v;
    if (cpu->bus->cr8)
        cpu->bus->cr8(cpu);
    return x86_done(cpu, op);
}

X86_OP(mov_to_cr)
{
    uint64_t v = x86_is_64bit(cpu) ? R(op->src, uint64_t) : R(op->src, uint32_t);
    if (is_denied(cpu))
        return x86_op_privileged(cpu, op);
    switch (op->dst) {
    case 0:
        return put_cr0(cpu, op, v);
    case 2:
        cpu->state.cr2 = v;
        return x86_done(cpu, op);
    case 3:
        return put_cr3(cpu, op, v);
    case 4:
        return put_cr4(cpu, op, v);
    case 8:
        return put_cr8(cpu, op, v);
    default:
        return x86_raise(cpu, op, X86_UD);
    }
}

X86_OP(mov_from_cr)
{
    const struct x86_state *s = &cpu->state;
    const uint64_t values[9] = {s->cr0, 0, s->cr2, s->cr3, s->cr4, 0, 0, 0, s->cr8};
    const uint32_t there = 1u << 0 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 8;
    if (is_denied(cpu))
        return x86_op_privileged(cpu, op);
    if (op->src > 8 || !(there >> op->src & 1))
        return x86_raise(cpu, op, X86_UD);
    x86_put_gpr(cpu, op->dst, x86_is_64bit(cpu) ? 8 : 4, values[op->src]);
    return x86_done(cpu, op);
}

/* ---- debug registers (SDM volume 3, 17.2) ---- */

#define DR6_ONES  0xffff0ff0u
#define DR6_FLAGS 0xe00fu
#define DR7_ONES  0x400u
#define DR7_ZEROS 0xd000u
#define DR7_GD    0x2000u

/* The register's number with 4 and 5 as 6 and 7. False: a fault, in *vector. */
static bool debug_register(struct x86_cpu *cpu, uint32_t *n, enum x86_vector *vector)
{
    if (*n > 7 || (*n >= 4 && *n <= 5 && cpu->state.cr4 & X86_CR4_DE)) {
        *vector = X86_UD;
        return false;
    }
    if (cpu->state.dr[7] & DR7_GD) {
        cpu->state.dr[6] |= 1u << 13; /* BD */
        cpu->state.dr[7] &= ~(uint64_t)DR7_GD;
        *vector = X86_DB;
        return false;
    }
    *n = *n == 4 || *n == 5 ? *n + 2 : *n;
    return true;
}

X86_OP(mov_to_dr)
{
    uint64_t v = x86_is_64bit(cpu) ? R(op->src, uint64_t) : R(op->src, uint32_t);
    uint32_t n = op->dst;
    enum x86_vector vector;
    if (is_denied(cpu))
        return x86_op_privileged(cpu, op);
    if (!debug_register(cpu, &n, &vector))
        return x86_raise(cpu, op, vector);
    if (n >= 6 && v >> 32)
        return x86_raise(cpu, op, X86_GP);
    cpu->state.dr[n] = n == 6   ? (v & DR6_FLAGS) | DR6_ONES
                       : n == 7 ? ((v & ~(uint64_t)DR7_ZEROS) | DR7_ONES) & UINT32_MAX
                                : v;
    x86_tlb_flush(cpu); /* watched pages are not in the software TLB */
    x86_watch_events(cpu);
    return x86_done(cpu, op);
}

X86_OP(mov_from_dr)
{
    uint32_t n = op->src;
    enum x86_vector vector;
    if (is_denied(cpu))
        return x86_op_privileged(cpu, op);
    if (!debug_register(cpu, &n, &vector))
        return x86_raise(cpu, op, vector);
    x86_put_gpr(cpu, op->dst, x86_is_64bit(cpu) ? 8 : 4, cpu->state.dr[n]);
    return x86_done(cpu, op);
}

/* ---- translations and caches ---- */

static X86_OP(invlpg)
{
    if (is_denied(cpu))
        return x86_op_privileged(cpu, op);
    uint64_t gva = x86_address(cpu, op);
    if (x86_is_canonical(gva))
        x86_drop(cpu, X86_DROP_PAGE, gva, x86_pcid(cpu));
    return x86_done(cpu, op);
}

static X86_OP(invpcid)
{
    static const uint8_t what[] = {X86_DROP_PAGE, X86_DROP_PCID, X86_DROP_ALL, X86_DROP_NONGLOBAL};
    uint64_t type = x86_is_64bit(cpu) ? R(op->dst, uint64_t) : R(op->dst, uint32_t), d[2];
    if (is_denied(cpu))
        return x86_op_privileged(cpu, op);
    if (!x86_load(cpu, op, x86_address(cpu, op), d, sizeof d))
        return x86_stop(cpu, op);
    bool has_pcid = cpu->state.cr4 & X86_CR4_PCIDE;
    if (type > 3 || d[0] >> 12 || (type <= 1 && !has_pcid && d[0]) || (type == 0 && !x86_is_canonical(d[1])))
        return x86_raise(cpu, op, X86_GP);
    x86_drop(cpu, what[type], d[1], (uint32_t)d[0]);
    return x86_done(cpu, op);
}

/* Caches hold no bytes of their own: nothing is lost by INVD, nothing left by WBINVD. */
static X86_OP(wbinvd)
{
    if (is_denied(cpu))
        return x86_op_privileged(cpu, op);
    return x86_done(cpu, op);
}

/* ---- SYSCALL ---- */

/* Flat segments, as SYSCALL and SYSRET make them without looking at a table. */
static struct x86_segment flat(uint32_t selector, uint32_t attributes)
{
    return (struct x86_segment){
        .selector = (uint16_t)selector, .attributes = (uint16_t)attributes, .limit = UINT32_MAX};
}
#define CODE_64 0xa09bu
#define CODE_32 0xc09bu
#define DATA_32 0xc093u
#define FOR_CPL 0x60u /* DPL 3 */

static X86_OP(syscall)
{
    struct x86_state *s = &cpu->state;
    uint64_t next = x86_behind(cpu, op), flags = x86_rflags(cpu);
    if (cpu->is_system && (!(s->efer & X86_EFER_SCE) || !x86_is_64bit(cpu)))
        return x86_raise(cpu, op, X86_UD);
    s->gpr[X86_RCX] = next;
    s->gpr[X86_R11] = flags & ~(uint64_t)X86_RF;
    if (!cpu->is_system)
        return x86_leave_after(cpu, op, X86_STOP_SYSCALL);
    uint32_t selector = (uint32_t)(s->star >> 32) & 0xfffc;
    x86_set_rflags(cpu, flags & ~s->sfmask & ~(uint64_t)X86_RF);
    s->seg[X86_SS] = flat(selector + 8, DATA_32);
    x86_put_code_segment(cpu, flat(selector, CODE_64), 0);
    return x86_find(cpu, s->lstar);
}

static X86_OP(sysret)
{
    struct x86_state *s = &cpu->state;
    bool to_64bit = op->flags & X86F_REXW;
    uint32_t selector = (uint32_t)(s->star >> 48) & 0xffff;
    if (is_denied(cpu))
        return x86_op_privileged(cpu, op);
    if (!(s->efer & X86_EFER_SCE) || !x86_is_64bit(cpu))
        return x86_raise(cpu, op, X86_UD);
    uint64_t rip = to_64bit ? s->gpr[X86_RCX] : (uint32_t)s->gpr[X86_RCX];
    if (!x86_is_canonical(rip))
        return x86_raise(cpu, op, X86_GP);
    x86_set_rflags(cpu, s->gpr[X86_R11] & 0x3c7fd7); /* SDM volume 2, SYSRET: not RF, VM */
    s->seg[X86_SS] = flat((selector + 8) | 3, DATA_32 | FOR_CPL);
    x86_put_code_segment(cpu, flat(selector + (to_64bit ? 16 : 0), (to_64bit ? CODE_64 : CODE_32) | FOR_CPL), 3);
    x86_watch_events(cpu);
    return x86_find(cpu, rip);
}

static X86_OP(swapgs)
{
    struct x86_state *s = &cpu->state;
    if (is_denied(cpu))
        return x86_op_privileged(cpu, op);
    uint64_t gs = s->gpr[X86_GS_BASE];
    s->gpr[X86_GS_BASE] = s->kernel_gs_base;
    s->kernel_gs_base = gs;
    return x86_next(op);
}

/* ---- flags ---- */

static bool may_mask(const struct x86_cpu *cpu)
{
    return cpu->is_system && cpu->state.cpl <= x86_iopl(cpu);
}

static X86_OP(cli)
{
    if (!may_mask(cpu))
        return x86_op_privileged(cpu, op);
    cpu->state.other_flags &= ~X86_IF;
    return x86_done(cpu, op);
}

static X86_OP(sti)
{
    if (!may_mask(cpu))
        return x86_op_privileged(cpu, op);
    if (!(cpu->state.other_flags & X86_IF))
        cpu->state.shadow_rip = x86_behind(cpu, op);
    cpu->state.other_flags |= X86_IF;
    x86_watch_events(cpu);
    return x86_done(cpu, op);
}

static const struct x86_op *put_ac(struct x86_cpu *cpu, const struct x86_op *op, bool is_set)
{
    if (!cpu->is_system)
        return x86_op_unsupported(cpu, op);
    if (cpu->state.cpl)
        return x86_raise(cpu, op, X86_UD);
    cpu->state.other_flags = (cpu->state.other_flags & ~X86_AC) | (is_set ? X86_AC : 0);
    x86_refresh_rights(cpu);
    return x86_next(op);
}
static X86_OP(stac)
{
    return put_ac(cpu, op, true);
}
static X86_OP(clac)
{
    return put_ac(cpu, op, false);
}

static X86_OP(hlt)
{
    if (cpu->state.cpl)
        return x86_raise(cpu, op, X86_GP);
    if (cpu->is_system && x86_has_event(cpu)) {
        cpu->state.shadow_rip = UINT64_MAX;
        x86_watch_events(cpu);
        return x86_done(cpu, op);
    }
    return x86_leave_after(cpu, op, X86_STOP_HLT);
}

#define F(name, fn, need)                                                                                              \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##name, x86_op_##fn, need                                                                       \
    }
const struct x86_form x86_control_forms[] = {
    F(CLTS, clts, X86N_END),
    F(LMSW, lmsw, X86N_END),
    F(SMSW, smsw, 0),
    F(INVLPG, invlpg, X86N_END),
    F(INVPCID, invpcid, X86N_END),
    F(INVD, wbinvd, X86N_END),
    F(WBINVD, wbinvd, X86N_END),
    F(SYSCALL, syscall, X86N_END),
    F(SYSRET, sysret, X86N_END),
    F(SWAPGS, swapgs, 0),
    F(CLI, cli, X86N_END),
    F(STI, sti, X86N_END),
    F(STAC, stac, 0),
    F(CLAC, clac, 0),
    F(HLT, hlt, X86N_END),
    {0, NULL, 0},
};

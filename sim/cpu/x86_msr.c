/* SPDX-License-Identifier: MIT */
/* RDMSR and WRMSR: the registers that the processor has itself (SDM volume 4, table 2-2); the platform is asked for
 * others. An index that nobody knows is #GP. */
#include "sim/cpu/x86_sys.h"

#include <Zydis/Mnemonic.h>

#include <stddef.h>

enum msr_index {
    MSR_TSC = 0x10,
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_TSC_ADJUST = 0x3b,
    MSR_BIOS_SIGN_ID = 0x8b,
    MSR_PLATFORM_INFO = 0xce,
    MSR_ARCH_CAPABILITIES = 0x10a,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_PAT = 0x277,
    MSR_EFER = 0xc0000080,
    MSR_STAR = 0xc0000081,
    MSR_LSTAR = 0xc0000082,
    MSR_CSTAR = 0xc0000083,
    MSR_SFMASK = 0xc0000084,
    MSR_FS_BASE = 0xc0000100,
    MSR_GS_BASE = 0xc0000101,
    MSR_KERNEL_GS_BASE = 0xc0000102,
    MSR_TSC_AUX = 0xc0000103,
};

/* Nothing is executed speculatively: RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO,
 * FBSDP_NO, PSDP_NO, PBRSB_NO, GDS_NO, RFDS_NO (SDM volume 4, table 2-2, IA32_ARCH_CAPABILITIES). */
#define NOT_VULNERABLE                                                                                                 \
    (1u << 0 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 8 | 1u << 13 | 1u << 14 | 1u << 15 | 1u << 24 |           \
     1u << 26 | 1u << 27)

/* What a write must satisfy. */
enum check { ANY, CANONICAL, LOW_32, PAT };

#define S(field) offsetof(struct x86_state, field)
static const struct {
    uint32_t index;
    uint16_t at; /* in struct x86_state */
    uint8_t check;
} kept[] = {
    {MSR_SYSENTER_CS, S(sysenter_cs), ANY},
    {MSR_SYSENTER_ESP, S(sysenter_esp), CANONICAL},
    {MSR_SYSENTER_EIP, S(sysenter_eip), CANONICAL},
    {MSR_PAT, S(pat), PAT},
    {MSR_MISC_ENABLE, S(misc_enable), ANY},
    {MSR_STAR, S(star), ANY},
    {MSR_LSTAR, S(lstar), CANONICAL},
    {MSR_CSTAR, S(cstar), CANONICAL},
    {MSR_SFMASK, S(sfmask), LOW_32},
    {MSR_FS_BASE, S(gpr[X86_FS_BASE]), CANONICAL},
    {MSR_GS_BASE, S(gpr[X86_GS_BASE]), CANONICAL},
    {MSR_KERNEL_GS_BASE, S(kernel_gs_base), CANONICAL},
    {MSR_TSC_AUX, S(tsc_aux), LOW_32},
};
#undef S

static uint64_t *find_kept(struct x86_cpu *cpu, uint32_t index, enum check *check)
{
    for (uint32_t i = 0; i < N_ELEMS(kept); i++)
        if (kept[i].index == index) {
            *check = kept[i].check;
            return (uint64_t *)(void *)((uint8_t *)&cpu->state + kept[i].at);
        }
    return NULL;
}

/* Memory types 0, 1, 4 to 7 (SDM volume 3, table 11-10). */
static bool is_pat(uint64_t v)
{
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t type = v >> 8 * i & 0xff;
        if (type > 7 || type == 2 || type == 3)
            return false;
    }
    return true;
}

static bool passes(enum check check, uint64_t v)
{
    switch (check) {
    case ANY:
        return true;
    case CANONICAL:
        return x86_is_canonical(v);
    case LOW_32:
        return !(v >> 32);
    case PAT:
        return is_pat(v);
    default:
        return false;
    }
}

static bool put_efer(struct x86_cpu *cpu, uint64_t v)
{
    struct x86_state *s = &cpu->state;
    const uint64_t known = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
    if (v & ~known || (s->cr0 & X86_CR0_PG && (v ^ s->efer) & X86_EFER_LME))
        return false;
    bool was_nxe = s->efer & X86_EFER_NXE;
    s->efer = (v & ~(uint64_t)X86_EFER_LMA) | (s->efer & X86_EFER_LMA);
    x86_refresh(cpu);
    if (was_nxe != !!(v & X86_EFER_NXE))
        x86_drop(cpu, X86_DROP_ALL, 0, 0);
    return true;
}

/* The counter is set by what it is off the clock. */
static void put_tsc(struct x86_cpu *cpu, uint64_t v)
{
    cpu->state.tsc_adjust += (int64_t)(v - x86_tsc(cpu));
}

static enum x86_bus_status read_msr(struct x86_cpu *cpu, uint32_t index, uint64_t *v)
{
    enum check check;
    const uint64_t *p = find_kept(cpu, index, &check);
    if (p) {
        *v = *p;
        return X86_BUS_OK;
    }
    switch (index) {
    case MSR_EFER:
        *v = cpu->state.efer;
        return X86_BUS_OK;
    case MSR_TSC:
        *v = x86_tsc(cpu);
        return X86_BUS_OK;
    case MSR_TSC_ADJUST:
        *v = (uint64_t)cpu->state.tsc_adjust;
        return X86_BUS_OK;
    case MSR_FEATURE_CONTROL: /* locked, without VMX */
        *v = 1;
        return X86_BUS_OK;
    case MSR_BIOS_SIGN_ID: /* no microcode update was loaded */
        *v = 0;
        return X86_BUS_OK;
    case MSR_PLATFORM_INFO: /* bits 15:8: the ratio of the TSC to 100 MHz */
        *v = (cpu->tsc_hz / 100000000 & 0xff) << 8;
        return X86_BUS_OK;
    case MSR_ARCH_CAPABILITIES:
        *v = NOT_VULNERABLE;
        return X86_BUS_OK;
    default:
        return cpu->bus->msr_read ? cpu->bus->msr_read(cpu, index, v) : X86_BUS_FAULT;
    }
}

static enum x86_bus_status write_msr(struct x86_cpu *cpu, uint32_t index, uint64_t v)
{
    enum check check;
    uint64_t *p = find_kept(cpu, index, &check);
    if (p) {
        if (!passes(check, v))
            return X86_BUS_FAULT;
        *p = v;
        return X86_BUS_OK;
    }
    switch (index) {
    case MSR_EFER:
        return put_efer(cpu, v) ? X86_BUS_OK : X86_BUS_FAULT;
    case MSR_TSC:
        put_tsc(cpu, v);
        return X86_BUS_OK;
    case MSR_TSC_ADJUST:
        cpu->state.tsc_adjust = (int64_t)v;
        return X86_BUS_OK;
    case MSR_BIOS_SIGN_ID: /* written with 0 before CPUID, to read the revision */
        return X86_BUS_OK;
    case MSR_FEATURE_CONTROL:
    case MSR_PLATFORM_INFO:
    case MSR_ARCH_CAPABILITIES:
        return X86_BUS_FAULT;
    default:
        return cpu->bus->msr_write ? cpu->bus->msr_write(cpu, index, v) : X86_BUS_FAULT;
    }
}

/* ---- the instructions ---- */

static const struct x86_op *stopped(struct x86_cpu *cpu, const struct x86_op *op, enum x86_bus_status status)
{
    if (status == X86_BUS_FAULT)
        return x86_raise(cpu, op, X86_GP);
    cpu->stop = X86_STOP_BUS;
    return x86_stop(cpu, op);
}

static X86_OP(rdmsr)
{
    uint64_t v = 0, *g = cpu->state.gpr;
    if (!cpu->is_system || cpu->state.cpl)
        return x86_op_privileged(cpu, op);
    x86_clock(cpu, op);
    enum x86_bus_status status = read_msr(cpu, (uint32_t)g[X86_RCX], &v);
    if (status != X86_BUS_OK)
        return stopped(cpu, op, status);
    g[X86_RAX] = (uint32_t)v;
    g[X86_RDX] = v >> 32;
    return x86_done(cpu, op);
}

static X86_OP(wrmsr)
{
    const uint64_t *g = cpu->state.gpr;
    if (!cpu->is_system || cpu->state.cpl)
        return x86_op_privileged(cpu, op);
    x86_clock(cpu, op);
    enum x86_bus_status status =
        write_msr(cpu, (uint32_t)g[X86_RCX], (uint64_t)(uint32_t)g[X86_RDX] << 32 | (uint32_t)g[X86_RAX]);
    if (status != X86_BUS_OK)
        return stopped(cpu, op, status);
    return x86_done(cpu, op);
}

/* There are no performance counters: whatever is asked for does not exist. */
static X86_OP(rdpmc)
{
    if (!cpu->is_system)
        return x86_op_unsupported(cpu, op);
    return x86_raise(cpu, op, X86_GP);
}

const struct x86_form x86_msr_forms[] = {
    {ZYDIS_MNEMONIC_RDMSR, x86_op_rdmsr, X86N_END},
    {ZYDIS_MNEMONIC_WRMSR, x86_op_wrmsr, X86N_END},
    {ZYDIS_MNEMONIC_RDPMC, x86_op_rdpmc, X86N_END},
    {0, NULL, 0},
};

/* SPDX-License-Identifier: MIT */
/* System mode: reset and start-up, what follows from control registers and CS, the interrupt line. */
#include "sim/base/diag.h"
#include "sim/cpu/x86_sys.h"
#include "sim/mmu/mmu.h"

#include <string.h>

/* ---- what follows from the state ---- */

uint32_t x86_paging_levels(const struct x86_cpu *cpu)
{
    return cpu->state.cr0 & X86_CR0_PG ? 4 : 0;
}

uint64_t x86_paging_root(const struct x86_cpu *cpu)
{
    return cpu->state.cr3 & PTE_FRAME;
}

uint32_t x86_pcid(const struct x86_cpu *cpu)
{
    return cpu->state.cr4 & X86_CR4_PCIDE ? cpu->state.cr3 & 0xfff : 0;
}

void x86_refresh_rights(struct x86_cpu *cpu)
{
    const struct x86_state *s = &cpu->state;
    bool is_user = s->cpl == 3 && !cpu->is_implicit, has_smap = s->cr4 & X86_CR4_SMAP;
    bool is_lifted = has_smap && s->other_flags & X86_AC && !cpu->is_implicit;
    uint32_t rights = MMU_PAGING;
    if (!cpu->is_system)
        return;
    rights |= (s->cr0 & X86_CR0_WP ? MMU_WP : 0) | (s->efer & X86_EFER_NXE ? MMU_NXE : 0);
    rights |= (s->cr4 & X86_CR4_SMEP ? MMU_SMEP : 0) | (is_user ? MMU_USER : 0);
    rights |= !is_user && has_smap && !is_lifted ? MMU_NO_USER : 0;
    cpu->paging = s->cr0 & X86_CR0_PG ? rights : 0;
    x86_view_enter(cpu, is_user ? X86_USER : is_lifted ? X86_SUPERVISOR_AC : X86_SUPERVISOR);
}

/* How the code at CS decodes (SDM volume 3, 3.4.5, and table 2-2 for SSE). */
static uint32_t mode_of(const struct x86_cpu *cpu)
{
    const struct x86_state *s = &cpu->state;
    uint32_t cs = s->seg[X86_CS].attributes, mode = X86_MODE_SYSTEM;
    if (s->cr0 & (X86_CR0_TS | X86_CR0_EM) || !(s->cr4 & X86_CR4_OSFXSR))
        mode |= X86_MODE_NO_SSE;
    if (s->efer & X86_EFER_LMA && cs & X86_DESC_L)
        return X86_MODE_64 | mode;
    return (cs & X86_DESC_DB ? X86_MODE_32 : X86_MODE_16) | mode |
           (s->seg[X86_SS].attributes & X86_DESC_DB ? X86_MODE_STACK : 0);
}

void x86_refresh(struct x86_cpu *cpu)
{
    struct x86_state *s = &cpu->state;
    if (!cpu->is_system)
        return;
    uint32_t mode = mode_of(cpu);
    bool is_64bit = (mode & X86_MODE_BITS) == X86_MODE_64;
    cpu->context = mode | (is_64bit ? 0 : s->seg[X86_CS].base << X86_MODE_SHIFT);
    cpu->linear = is_64bit ? UINT64_MAX : UINT32_MAX;
    for (uint32_t i = X86_ES; i <= X86_DS; i++)
        s->gpr[X86_ES_BASE + i] = is_64bit ? 0 : s->seg[i].base;
    x86_refresh_rights(cpu);
}

void x86_changed(struct x86_cpu *cpu)
{
    x86_refresh(cpu);
    x86_tlb_flush(cpu);
}

void x86_set_segment(struct x86_cpu *cpu, enum x86_seg seg, struct x86_segment value)
{
    cpu->state.seg[seg] = value;
    if (seg == X86_FS || seg == X86_GS)
        cpu->state.gpr[seg == X86_FS ? X86_FS_BASE : X86_GS_BASE] = value.base;
}

void x86_drop(struct x86_cpu *cpu, enum x86_tlb_drop what, uint64_t gva, uint32_t pcid)
{
    if (what == X86_DROP_PAGE && pcid == x86_pcid(cpu))
        x86_tlb_flush_page(cpu, gva);
    else if (what != X86_DROP_PAGE) /* also for X86_DROP_NOTHING: the software TLB knows no PCID */
        x86_tlb_flush(cpu);
    if (cpu->bus->tlb)
        cpu->bus->tlb(cpu, what, gva, pcid);
}

/* ---- the processor's own accesses ---- */

void x86_begin_implicit(struct x86_cpu *cpu)
{
    cpu->is_implicit = true;
    x86_refresh_rights(cpu);
}

void x86_end_implicit(struct x86_cpu *cpu)
{
    cpu->is_implicit = false;
    x86_refresh_rights(cpu);
}

bool x86_load_system(struct x86_cpu *cpu, uint64_t gva, void *buf, uint32_t len)
{
    x86_begin_implicit(cpu);
    bool ok = x86_load(cpu, NULL, gva & cpu->linear, buf, len);
    x86_end_implicit(cpu);
    return ok;
}

bool x86_store_system(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len)
{
    x86_begin_implicit(cpu);
    bool ok = x86_store(cpu, NULL, gva & cpu->linear, buf, len);
    x86_end_implicit(cpu);
    return ok;
}

/* ---- reset ---- */

void x86_reset(struct x86_cpu *cpu)
{
    struct x86_state *s = &cpu->state;
    const struct x86_segment data = {.attributes = 0x93, .limit = 0xffff};
    memset(s->gpr, 0, sizeof s->gpr);
    s->gpr[X86_RDX] = 0x50657; /* family, model, stepping, as CPUID.1 */
    s->cr0 = (s->cr0 & (X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;
    s->cr2 = s->cr3 = s->cr4 = s->cr8 = s->efer = 0;
    for (uint32_t i = 0; i < X86_N_SEGS; i++)
        x86_set_segment(cpu, i, data);
    x86_set_segment(cpu, X86_CS,
                    (struct x86_segment){.selector = 0xf000, .attributes = 0x9b, .limit = 0xffff, .base = 0xffff0000});
    s->ldtr = (struct x86_segment){.attributes = 0x82, .limit = 0xffff};
    s->tr = (struct x86_segment){.attributes = 0x8b, .limit = 0xffff};
    s->gdt_base = s->idt_base = 0;
    s->gdt_limit = s->idt_limit = 0xffff;
    memset(s->dr, 0, sizeof s->dr);
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
    s->cpl = 0;
    s->is_nmi_pending = s->is_nmi_blocked = false;
    s->trap_dr6 = 0;
    s->shadow_rip = s->resume_rip = UINT64_MAX;
    x86_set_rflags(cpu, 2);
    s->rip = 0xfffffff0;
    x86_changed(cpu);
    if (cpu->bus->tlb)
        cpu->bus->tlb(cpu, X86_DROP_ALL, 0, 0);
}

void x86_system_init(struct x86_cpu *cpu)
{
    struct x86_state *s = &cpu->state;
    cpu->is_system = true;
    for (uint32_t i = 0; i < X86_N_PRIVILEGES; i++)
        if (!cpu->view[i])
            cpu->view[i] = x86_view_new();
    if (!cpu->undo)
        cpu->undo = x86_undo_new();
    s->cr0 = X86_CR0_CD | X86_CR0_NW;
    s->xcr0 = 1;
    s->misc_enable = X86_FAST_STRINGS;
    x86_fp_reset(cpu);
    s->x87.cw = 0x40; /* as RESET leaves it, with every register in use; FNINIT makes it 37f */
    s->x87.tw = 0;
    x86_reset(cpu);
}

void x86_sipi(struct x86_cpu *cpu, uint8_t vector)
{
    x86_set_segment(
        cpu, X86_CS,
        (struct x86_segment){
            .selector = (uint16_t)(vector << 8), .attributes = 0x9b, .limit = 0xffff, .base = (uint64_t)vector << 12});
    cpu->state.rip = (uint64_t)vector << 12;
    x86_changed(cpu);
}

/* ---- what waits ---- */

static bool is_nmi_due(const struct x86_cpu *cpu)
{
    return cpu->state.is_nmi_pending && !cpu->state.is_nmi_blocked;
}

bool x86_has_event(const struct x86_cpu *cpu)
{
    return cpu->state.trap_dr6 || is_nmi_due(cpu) || (cpu->is_interrupt && cpu->state.other_flags & X86_IF);
}

void x86_watch_events(struct x86_cpu *cpu)
{
    if (cpu->is_system && (x86_has_event(cpu) || x86_steps(cpu)))
        x86_enter_slowly(cpu);
}

void x86_interrupt_raise(struct x86_cpu *cpu)
{
    cpu->is_interrupt = true;
    x86_watch_events(cpu);
}

void x86_interrupt_lower(struct x86_cpu *cpu)
{
    cpu->is_interrupt = false;
}

void x86_nmi(struct x86_cpu *cpu)
{
    cpu->state.is_nmi_pending = true;
    x86_watch_events(cpu);
}

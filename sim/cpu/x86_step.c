/* SPDX-License-Identifier: MIT */
/* System mode, an instruction at a time: single steps and hardware breakpoints (SDM volume 3, 17.2 and 17.3), and SSE
 * instructions with unmasked exceptions (volume 1, 11.5). Only where one of them is on do blocks enter this way. */
#include "sim/base/diag.h"
#include "sim/cpu/x86_sys.h"

#include <stdlib.h>
#include <xmmintrin.h>

#define MXCSR_FLAGS 0x3fu
#define MXCSR_MASKS 0x1f80u

/* What an SSE instruction may have written before its unmasked exception was seen. */
struct x86_undo {
    uint64_t rip, gpr[16];
    union x86_xmm xmm[16];
    uint16_t ax_flags;
    bool is_armed;
};

struct x86_undo *x86_undo_new(void)
{
    return xaligned(16, sizeof(struct x86_undo));
}

/* ---- breakpoints ---- */

enum { ON_FETCH, ON_WRITE, ON_PORT, ON_ACCESS };

static inline bool is_on(uint64_t dr7, uint32_t i)
{
    return dr7 >> 2 * i & 3;
}
static inline uint32_t kind_of(uint64_t dr7, uint32_t i)
{
    return dr7 >> (16 + 4 * i) & 3;
}

bool x86_watches_page(const struct x86_cpu *cpu, uint64_t gva)
{
    uint64_t dr7 = cpu->state.dr[7];
    for (uint32_t i = 0; i < 4; i++)
        if (is_on(dr7, i) && kind_of(dr7, i) & ON_WRITE && cpu->state.dr[i] >> PAGE_SHIFT == gva >> PAGE_SHIFT)
            return true;
    return false;
}

void x86_watched(struct x86_cpu *cpu, uint64_t gva, uint32_t len, bool is_write)
{
    static const uint8_t bytes[] = {1, 2, 8, 4}; /* by LEN */
    uint64_t dr7 = cpu->state.dr[7];
    if (cpu->is_implicit)
        return;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t n = bytes[dr7 >> (18 + 4 * i) & 3], at = cpu->state.dr[i] & ~(n - 1);
        bool wants = kind_of(dr7, i) == ON_ACCESS || (kind_of(dr7, i) == ON_WRITE && is_write);
        if (is_on(dr7, i) && wants && gva < at + n && at < gva + len)
            cpu->state.trap_dr6 |= 1u << i;
    }
}

/* Breakpoints on the instruction at rip, as bits of DR6. */
static uint32_t fetched(const struct x86_cpu *cpu, uint64_t rip)
{
    uint64_t dr7 = cpu->state.dr[7];
    uint32_t hit = 0;
    for (uint32_t i = 0; i < 4; i++)
        if (is_on(dr7, i) && kind_of(dr7, i) == ON_FETCH && cpu->state.dr[i] == rip)
            hit |= 1u << i;
    return hit;
}

/* ---- unmasked SSE exceptions ---- */

static inline bool is_unmasked(const struct x86_cpu *cpu)
{
    return (cpu->state.mxcsr & MXCSR_MASKS) != MXCSR_MASKS;
}

/* Before one instruction: its exceptions will be told from earlier ones. */
static void arm(struct x86_cpu *cpu, uint64_t rip)
{
    struct x86_undo *u = cpu->undo;
    struct x86_state *s = &cpu->state;
    s->mxcsr |= _mm_getcsr() & MXCSR_FLAGS;
    cpu->kept_mxcsr = (s->mxcsr & ~MXCSR_FLAGS) | MXCSR_MASKS;
    _mm_setcsr(cpu->kept_mxcsr);
    u->rip = rip;
    memcpy(u->gpr, s->gpr, sizeof u->gpr);
    memcpy(u->xmm, s->xmm, sizeof u->xmm);
    u->ax_flags = s->ax_flags;
    u->is_armed = true;
}

void x86_disarm(struct x86_cpu *cpu)
{
    cpu->undo->is_armed = false;
    cpu->kept_mxcsr = 0;
}

bool x86_sse_faulted(struct x86_cpu *cpu)
{
    struct x86_undo *u = cpu->undo;
    struct x86_state *s = &cpu->state;
    if (!u->is_armed)
        return false;
    x86_disarm(cpu);
    uint32_t flags = _mm_getcsr() & MXCSR_FLAGS;
    if (!(flags & ~(s->mxcsr >> 7)))
        return false;
    s->mxcsr |= flags;
    memcpy(s->gpr, u->gpr, sizeof u->gpr);
    memcpy(s->xmm, u->xmm, sizeof u->xmm);
    s->ax_flags = u->ax_flags;
    s->rip = u->rip;
    s->trap_dr6 = 0;
    cpu->budget++; /* it has not happened */
    x86_refuse_plain(cpu, s->cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD);
    return true;
}

/* ---- one at a time ---- */

bool x86_steps(const struct x86_cpu *cpu)
{
    return cpu->state.other_flags & X86_TF || is_unmasked(cpu) || cpu->undo->is_armed || cpu->state.dr[7] & 0xff;
}

bool x86_step(struct x86_cpu *cpu, const struct x86_block *b, uint32_t *take)
{
    struct x86_state *s = &cpu->state;
    if (!x86_steps(cpu))
        return true;
    if (s->dr[7] & 0xff && s->resume_rip != b->rip) {
        uint32_t hit = fetched(cpu, b->rip);
        if (hit) {
            s->dr[6] |= hit;
            s->rip = b->rip;
            return x86_refuse_plain(cpu, X86_DB);
        }
    }
    s->resume_rip = UINT64_MAX;
    s->trap_dr6 = s->other_flags & X86_TF ? X86_DR6_BS : 0;
    if (is_unmasked(cpu))
        arm(cpu, b->rip);
    *take = 1;
    return true;
}

/* ---- instructions behind which the flags or the masks are others: they end their blocks ---- */

static const struct x86_op *and_look(struct x86_cpu *cpu, const struct x86_op *op, x86_fn *fn)
{
    const struct x86_op *next = fn(cpu, op);
    if (next != op + 1)
        return next;
    x86_watch_events(cpu);
    return x86_done(cpu, op);
}
X86_OP(ldmxcsr_system)
{
    return and_look(cpu, op, x86_op_ldmxcsr);
}
X86_OP(fxrstor_system)
{
    return and_look(cpu, op, x86_op_fxrstor);
}
X86_OP(xrstor_system)
{
    return and_look(cpu, op, x86_op_xrstor);
}

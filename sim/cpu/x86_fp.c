/* SPDX-License-Identifier: MIT */
/* Floating-point state at the edges of a run. Inside a run the host's MXCSR has the guest's rounding, denormal modes
 * and sticky flags, with every exception masked, so that SSE handlers can use the host's instructions. */
#include "sim/cpu/x86_op.h"

#include <xmmintrin.h>

#define MXCSR_FLAGS 0x3fu
#define MXCSR_MASKS 0x1f80u

void x86_fp_reset(struct x86_cpu *cpu)
{
    cpu->state.mxcsr = MXCSR_MASKS;
    cpu->state.x87 = (struct x86_x87){.cw = 0x37f, .tw = 0xffff};
}

void x86_fp_enter(struct x86_cpu *cpu)
{
    cpu->host_mxcsr = _mm_getcsr();
    if (cpu->host_mxcsr != (cpu->state.mxcsr | MXCSR_MASKS))
        _mm_setcsr(cpu->state.mxcsr | MXCSR_MASKS);
}

void x86_fp_leave(struct x86_cpu *cpu)
{
    uint32_t now = _mm_getcsr();
    cpu->state.mxcsr |= now & MXCSR_FLAGS;
    if (now != cpu->host_mxcsr)
        _mm_setcsr(cpu->host_mxcsr);
}

/* SPDX-License-Identifier: MIT */
/* Inside the processor: what the SSE handlers share. */
#ifndef QUIRE_CPU_X86_SSE_H
#define QUIRE_CPU_X86_SSE_H

#include "sim/cpu/x86_op.h"

#include <Zydis/Mnemonic.h>
#include <smmintrin.h>
#include <stdlib.h>

#define X(n) (cpu->state.xmm[n].i)

/* Integer operations, moves, floating point, string comparison. */
extern const struct x86_form x86_sse_forms[], x86_sse_move_forms[], x86_sse_fp_forms[], x86_sse_string_forms[],
    x86_aes_forms[];

#endif

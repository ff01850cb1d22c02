/* SPDX-License-Identifier: MIT */
/* Every table of handlers by mnemonic, in the order in which they are searched. */
#include "sim/cpu/x86_fpu.h"
#include "sim/cpu/x86_int.h"
#include "sim/cpu/x86_sse.h"
#include "sim/cpu/x86_sys.h"

const struct x86_form *const x86_tables[] = {
    x86_int_forms,       x86_bits_forms,       x86_string_forms, x86_sse_move_forms, x86_sse_forms,
    x86_sse_fp_forms,    x86_sse_string_forms, x86_aes_forms,    x86_fpu_forms,      x86_fpu_move_forms,
    x86_fpu_state_forms, x86_fpu_math_forms,   x86_mmx_forms,    x86_system_forms,   NULL,
};

const struct x86_form *const x86_system_tables[] = {
    x86_control_forms, x86_msr_forms,   x86_far_forms,     x86_deliver_forms,
    x86_port_forms,    x86_xsave_forms, x86_guarded_forms, NULL,
};

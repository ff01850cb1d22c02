/* SPDX-License-Identifier: MIT */
/* Inside the processor: what the window model has to know of a decoded instruction. */
#ifndef QUIRE_CPU_X86_USE_H
#define QUIRE_CPU_X86_USE_H

#include "sim/cpu/x86_window.h"

#include <Zydis/Zydis.h>

void x86_use_of(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, struct x86_use *use);

#endif

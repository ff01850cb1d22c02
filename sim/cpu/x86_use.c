/* SPDX-License-Identifier: MIT */
#include "sim/cpu/x86_use.h"

/* Latency in cycles, register to register, where it is not 1: Skylake, by Fog's instruction tables (2022). */
static const uint8_t cycles[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#define L(name, n) [ZYDIS_MNEMONIC_##name] = n
    L(MUL, 4),         L(IMUL, 3),       L(DIV, 26),       L(IDIV, 26),      L(BSF, 3),       L(BSR, 3),
    L(TZCNT, 3),       L(LZCNT, 3),      L(POPCNT, 3),     L(CRC32, 3),      L(SHLD, 3),      L(SHRD, 3),
    L(RCL, 6),         L(RCR, 6),        L(XCHG, 2),       L(XADD, 2),       L(CMPXCHG, 5),   L(CMPXCHG8B, 8),
    L(CMPXCHG16B, 12), L(BSWAP, 2),      L(ADDSS, 4),      L(ADDSD, 4),      L(ADDPS, 4),     L(ADDPD, 4),
    L(SUBSS, 4),       L(SUBSD, 4),      L(SUBPS, 4),      L(SUBPD, 4),      L(MULSS, 4),     L(MULSD, 4),
    L(MULPS, 4),       L(MULPD, 4),      L(DIVSS, 11),     L(DIVSD, 13),     L(DIVPS, 11),    L(DIVPD, 13),
    L(SQRTSS, 12),     L(SQRTSD, 15),    L(SQRTPS, 12),    L(SQRTPD, 15),    L(MINSD, 4),     L(MAXSD, 4),
    L(MINSS, 4),       L(MAXSS, 4),      L(CVTSI2SD, 6),   L(CVTSI2SS, 6),   L(CVTTSD2SI, 6), L(CVTTSS2SI, 6),
    L(CVTSD2SS, 5),    L(CVTSS2SD, 5),   L(COMISD, 2),     L(UCOMISD, 2),    L(COMISS, 2),    L(UCOMISS, 2),
    L(PMULLW, 5),      L(PMULUDQ, 5),    L(PMADDWD, 5),    L(PMULLD, 10),    L(PSADBW, 3),    L(PMOVMSKB, 2),
    L(MOVD, 2),        L(PTEST, 3),      L(AESENC, 4),     L(AESENCLAST, 4), L(AESDEC, 4),    L(AESDECLAST, 4),
    L(PCLMULQDQ, 7),   L(PCMPISTRI, 10), L(PCMPISTRM, 10), L(PCMPESTRI, 16), L(FADD, 3),      L(FADDP, 3),
    L(FSUB, 3),        L(FSUBP, 3),      L(FMUL, 5),       L(FMULP, 5),      L(FDIV, 15),     L(FDIVP, 15),
    L(FSQRT, 20),      L(FSIN, 100),     L(FCOS, 100),     L(FPTAN, 120),    L(FPATAN, 120),  L(CPUID, 100),
    L(RDTSC, 25),      L(RDTSCP, 32),    L(PAUSE, 140),    L(SYSCALL, 50),
#undef L
};

static uint64_t bit_of(ZydisRegister r)
{
    uint32_t id =
        (uint32_t)(uint8_t)ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r));
    switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_GPR8:
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        return 1ull << (id & 15);
    case ZYDIS_REGCLASS_XMM:
        return 1ull << (X86_USE_XMM + ((uint32_t)ZydisRegisterGetId(r) & 15));
    case ZYDIS_REGCLASS_MMX:
    case ZYDIS_REGCLASS_X87:
        return 1ull << X86_USE_FPU;
    default:
        return 0;
    }
}

static uint8_t kind_of(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o)
{
    bool is_direct = in->operand_count_visible && o[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    switch (in->meta.category) {
    case ZYDIS_CATEGORY_COND_BR:
        return X86_USE_BRANCH;
    case ZYDIS_CATEGORY_UNCOND_BR:
        return is_direct ? X86_USE_JUMP : X86_USE_INDIRECT;
    case ZYDIS_CATEGORY_CALL:
        return is_direct ? X86_USE_CALL : X86_USE_INDIRECT_CALL;
    case ZYDIS_CATEGORY_RET:
        return X86_USE_RETURN;
    default:
        return X86_USE_PLAIN;
    }
}

/* A register that is set whatever it was: XOR, SUB, PXOR of one register with itself. */
static bool is_zeroing(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o)
{
    switch (in->mnemonic) {
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_PXOR:
    case ZYDIS_MNEMONIC_XORPS:
    case ZYDIS_MNEMONIC_XORPD:
        return o[0].type == ZYDIS_OPERAND_TYPE_REGISTER && o[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
               o[0].reg.value == o[1].reg.value;
    default:
        return false;
    }
}

/* Fog, instruction tables: LOCK ADD of Skylake. InstLatx64: LFENCE of Cascade Lake takes 4.25. */
#define LOCKED_CYCLES 18u
#define LFENCE_CYCLES 4u

static bool is_locked(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o)
{
    bool has_memory = o[0].type == ZYDIS_OPERAND_TYPE_MEMORY || o[1].type == ZYDIS_OPERAND_TYPE_MEMORY;
    return in->attributes & ZYDIS_ATTRIB_HAS_LOCK || (in->mnemonic == ZYDIS_MNEMONIC_XCHG && has_memory);
}

/* SDM volume 3, 8.3; MOV to CR8 is not one of them. */
static bool is_serialising(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o)
{
    ZydisRegisterClass c;
    switch (in->mnemonic) {
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_WRMSR:
    case ZYDIS_MNEMONIC_INVLPG:
    case ZYDIS_MNEMONIC_INVPCID:
    case ZYDIS_MNEMONIC_INVD:
    case ZYDIS_MNEMONIC_WBINVD:
    case ZYDIS_MNEMONIC_LGDT:
    case ZYDIS_MNEMONIC_LIDT:
    case ZYDIS_MNEMONIC_LLDT:
    case ZYDIS_MNEMONIC_LTR:
        return true;
    case ZYDIS_MNEMONIC_MOV:
        c = o[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? ZydisRegisterGetClass(o[0].reg.value) : ZYDIS_REGCLASS_INVALID;
        return (c == ZYDIS_REGCLASS_CONTROL && o[0].reg.value != ZYDIS_REGISTER_CR8) || c == ZYDIS_REGCLASS_DEBUG;
    default:
        return false;
    }
}

void x86_use_of(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *o, struct x86_use *use)
{
    *use = (struct x86_use){.cycles = cycles[in->mnemonic] ? cycles[in->mnemonic] : 1, .kind = kind_of(in, o)};
    for (uint32_t i = 0; i < in->operand_count; i++) {
        if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER) {
            uint64_t bit = bit_of(o[i].reg.value);
            if (o[i].actions & (ZYDIS_OPERAND_ACTION_READ | ZYDIS_OPERAND_ACTION_CONDREAD))
                use->reads |= bit;
            if (o[i].actions & (ZYDIS_OPERAND_ACTION_WRITE | ZYDIS_OPERAND_ACTION_CONDWRITE))
                use->writes |= bit;
            if (o[i].actions & ZYDIS_OPERAND_ACTION_CONDWRITE) /* it may keep its value */
                use->reads |= bit;
        } else if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
            use->address |= bit_of(o[i].mem.base) | bit_of(o[i].mem.index);
        }
    }
    use->reads |= use->address;
    /* The stack engine keeps RSP up without an operation (Intel's optimisation manual, 2.5). */
    if (in->meta.category == ZYDIS_CATEGORY_PUSH || in->meta.category == ZYDIS_CATEGORY_POP ||
        use->kind == X86_USE_CALL || use->kind == X86_USE_RETURN || use->kind == X86_USE_INDIRECT_CALL) {
        uint64_t rsp = 1ull << 4;
        use->reads &= ~rsp;
        use->address &= ~rsp;
        use->writes &= ~rsp;
    }
    if (is_zeroing(in, o))
        use->reads = 0;
    if (in->cpu_flags) {
        if (in->cpu_flags->tested)
            use->reads |= 1ull << X86_USE_FLAGS;
        if (in->cpu_flags->modified | in->cpu_flags->set_0 | in->cpu_flags->set_1 | in->cpu_flags->undefined)
            use->writes |= 1ull << X86_USE_FLAGS;
    }
    use->serialises = is_locked(in, o) || is_serialising(in, o) || in->mnemonic == ZYDIS_MNEMONIC_LFENCE ||
                      in->mnemonic == ZYDIS_MNEMONIC_RDTSCP || in->mnemonic == ZYDIS_MNEMONIC_MFENCE;
    if (is_locked(in, o))
        use->cycles = LOCKED_CYCLES;
    if (in->mnemonic == ZYDIS_MNEMONIC_LFENCE)
        use->cycles = LFENCE_CYCLES;
}

/* SPDX-License-Identifier: MIT */
/* Random integer and SSE instructions run on the host's processor and on the simulated one: registers, defined flags,
 * MXCSR, memory and faults have to be the same. QUIRE_NATIVE_CASES in the environment sets how many are tried. */
#include "sim/base/rng.h"
#include "tests/cpu/x86_flat.h"

#include <Zydis/Zydis.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>

#define DATA       (FLAT_BASE + 8 * PAGE_BYTES)
#define DATA_BYTES (2 * PAGE_BYTES)
#define AREA       (FLAT_BASE + FLAT_SIZE) /* where the native stub and its context live */
#define ALL_FLAGS  (X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_OF)

struct context {
    uint64_t in[16], out[16];
    uint64_t flags_in, flags_out;
    uint64_t trap; /* vector + 1; 0: none */
    uint64_t trap_address;
    union x86_xmm xmm_in[16], xmm_out[16];
    uint32_t mxcsr_in, mxcsr_out, mxcsr_host;
};

struct native {
    struct context *c;
    uint8_t *stub, *insn;
};

/* The handler has nothing but fixed addresses. */
static void on_signal(int sig, siginfo_t *info, void *p)
{
    ucontext_t *u = p;
    struct context *c = (struct context *)AREA;
    uint64_t rip = (uint64_t)u->uc_mcontext.gregs[REG_RIP];
    if (rip < AREA || rip >= AREA + 2 * PAGE_BYTES) { /* not the stub's: a bug of this program */
        signal(sig, SIG_DFL);
        return;
    }
    c->trap = (uint64_t)u->uc_mcontext.gregs[REG_TRAPNO] + 1;
    c->trap_address = (uint64_t)(uintptr_t)info->si_addr;
    u->uc_mcontext.gregs[REG_RIP] = (greg_t)(AREA + PAGE_BYTES + 1024); /* where the results are stored */
}

static uint8_t *emit(uint8_t *p, const void *bytes, size_t n)
{
    memcpy(p, bytes, n);
    return p + n;
}

/* MOV between register r and the absolute address a. */
static uint8_t *emit_mov(uint8_t *p, uint32_t r, uint64_t a, bool store)
{
    uint32_t a32 = (uint32_t)a;
    *p++ = (uint8_t)(0x48 | (r >= 8) << 2);
    *p++ = store ? 0x89 : 0x8b;
    *p++ = (uint8_t)((r & 7) << 3 | 4);
    *p++ = 0x25;
    return emit(p, &a32, 4);
}

static uint8_t *emit_absolute(uint8_t *p, const char *opcode, size_t n, uint64_t a)
{
    uint32_t a32 = (uint32_t)a;
    p = emit(p, opcode, n);
    return emit(p, &a32, 4);
}

/* MOVUPS between XMM register r and the absolute address a. */
static uint8_t *emit_movups(uint8_t *p, uint32_t r, uint64_t a, bool store)
{
    char opcode[5] = {(char)(0x40 | (r >= 8) << 2), 0x0f, (char)(0x10 + store), (char)((r & 7) << 3 | 4), 0x25};
    return emit_absolute(p, opcode, 5, a);
}

/* Loads everything but RSP, falls into the instruction at 512, stores everything at 1024. */
static void make_stub(struct native *n)
{
    static const uint8_t save[] = {0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0xff, 0x34, 0x25};
    static const uint8_t restore[] = {0xfc, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3};
    uint32_t flags_in = (uint32_t)(AREA + offsetof(struct context, flags_in));
    uint32_t flags_out = (uint32_t)(AREA + offsetof(struct context, flags_out));
    uint8_t *p = emit(n->stub, save, sizeof save);
    p = emit(p, &flags_in, 4);
    *p++ = 0x9d; /* popfq */
    p = emit_absolute(p, "\x0f\xae\x1c\x25", 4, AREA + offsetof(struct context, mxcsr_host));
    p = emit_absolute(p, "\x0f\xae\x14\x25", 4, AREA + offsetof(struct context, mxcsr_in));
    for (uint32_t r = 0; r < 16; r++)
        p = emit_movups(p, r, AREA + offsetof(struct context, xmm_in) + 16 * r, false);
    for (uint32_t r = 0; r < 16; r++)
        if (r != X86_RSP)
            p = emit_mov(p, r, AREA + offsetof(struct context, in) + 8 * r, false);
    memset(p, 0x90, (size_t)(n->stub + 512 - p));
    n->insn = n->stub + 512;
    p = n->stub + 1024;
    for (uint32_t r = 0; r < 16; r++)
        if (r != X86_RSP)
            p = emit_mov(p, r, AREA + offsetof(struct context, out) + 8 * r, true);
    p = emit(p, "\x9c\x8f\x04\x25", 4); /* pushfq; pop [flags_out] */
    p = emit(p, &flags_out, 4);
    for (uint32_t r = 0; r < 16; r++)
        p = emit_movups(p, r, AREA + offsetof(struct context, xmm_out) + 16 * r, true);
    p = emit_absolute(p, "\x0f\xae\x1c\x25", 4, AREA + offsetof(struct context, mxcsr_out));
    p = emit_absolute(p, "\x0f\xae\x14\x25", 4, AREA + offsetof(struct context, mxcsr_host));
    emit(p, restore, sizeof restore);
}

static bool native_open(struct native *n)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    void *area = mmap((void *)AREA, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0);
    void *data = mmap((void *)DATA, DATA_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (area == MAP_FAILED || data == MAP_FAILED)
        return false;
    n->c = area;
    n->stub = (uint8_t *)area + PAGE_BYTES;
    make_stub(n);
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
    static const int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGTRAP};
    for (uint32_t i = 0; i < N_ELEMS(signals); i++)
        sigaction(signals[i], &sa, NULL);
    return true;
}

static void native_run(struct native *n, const uint8_t *bytes, uint32_t len)
{
    memset(n->insn, 0x90, 512);
    memcpy(n->insn, bytes, len);
    n->c->trap = 0;
    void (*fn)(void);
    memcpy(&fn, &n->stub, sizeof fn);
    fn();
}

/* ---- instructions ---- */

struct instance {
    uint8_t bytes[16];
    ZydisDecodedInstruction in;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
};

/* x87 and MMX: test_x86_oracle.c. */
static bool is_of_stack(const struct instance *x)
{
    for (uint32_t i = 0; i < x->in.operand_count; i++) {
        ZydisRegister r = x->o[i].type == ZYDIS_OPERAND_TYPE_REGISTER ? x->o[i].reg.value : ZYDIS_REGISTER_NONE;
        if (ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_MMX)
            return true;
    }
    return (x->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (x->in.opcode & 0xf8) == 0xd8) ||
           x->in.mnemonic == ZYDIS_MNEMONIC_EMMS || x->in.mnemonic == ZYDIS_MNEMONIC_FWAIT ||
           x->in.mnemonic == ZYDIS_MNEMONIC_FXSAVE || x->in.mnemonic == ZYDIS_MNEMONIC_FXSAVE64 ||
           x->in.mnemonic == ZYDIS_MNEMONIC_FXRSTOR || x->in.mnemonic == ZYDIS_MNEMONIC_FXRSTOR64;
}

static bool is_excluded(const struct instance *x)
{
    if (is_of_stack(x))
        return true;
    switch (x->in.mnemonic) {
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT1:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_ENTER:
    case ZYDIS_MNEMONIC_LEAVE:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
    case ZYDIS_MNEMONIC_RDFSBASE:
    case ZYDIS_MNEMONIC_RDGSBASE:
    case ZYDIS_MNEMONIC_PUSHF:
    case ZYDIS_MNEMONIC_PUSHFQ:
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFQ:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_POP:
    case ZYDIS_MNEMONIC_STD:
    case ZYDIS_MNEMONIC_LDMXCSR: /* would let exceptions through */
    case ZYDIS_MNEMONIC_RCPPS:   /* approximations differ by maker */
    case ZYDIS_MNEMONIC_RCPSS:
    case ZYDIS_MNEMONIC_RSQRTPS:
    case ZYDIS_MNEMONIC_RSQRTSS:
        return true;
    case ZYDIS_MNEMONIC_NOP: /* 0F 0D of a register: a NOP of Intel's, #UD of AMD's */
        return x->in.opcode == 0x0d;
    default:
        if (x->in.meta.isa_ext == ZYDIS_ISA_EXT_X87 || x->in.meta.isa_ext == ZYDIS_ISA_EXT_MMX ||
            x->in.meta.category == ZYDIS_CATEGORY_X87_ALU || x->in.mnemonic == ZYDIS_MNEMONIC_FXSAVE ||
            x->in.mnemonic == ZYDIS_MNEMONIC_FXSAVE64 || x->in.mnemonic == ZYDIS_MNEMONIC_FXRSTOR ||
            x->in.mnemonic == ZYDIS_MNEMONIC_FXRSTOR64)
            return true;
        return x->in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
    }
}

/* Does it touch registers that the stub cannot give away? */
static bool is_awkward(const struct instance *x)
{
    for (uint32_t i = 0; i < x->in.operand_count; i++) {
        const ZydisDecodedOperand *o = &x->o[i];
        ZydisRegister r[3] = {ZYDIS_REGISTER_NONE, ZYDIS_REGISTER_NONE, ZYDIS_REGISTER_NONE};
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
            r[0] = o->reg.value;
        if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
            r[0] = o->mem.base;
            r[1] = o->mem.index;
            if (x->in.attributes & ZYDIS_ATTRIB_HAS_SIB && !x->in.raw.modrm.mod && x->in.raw.sib.base == 5 &&
                o->mem.base != ZYDIS_REGISTER_NONE)
                return true; /* Zydis 4.0 sees a base that is not there: inputs() would miss */
            if (o->mem.segment == ZYDIS_REGISTER_FS || o->mem.segment == ZYDIS_REGISTER_GS)
                return true;
        }
        for (uint32_t k = 0; k < 2; k++) {
            ZydisRegisterClass c = ZydisRegisterGetClass(r[k]);
            if (c == ZYDIS_REGCLASS_SEGMENT || c == ZYDIS_REGCLASS_CONTROL || c == ZYDIS_REGCLASS_DEBUG)
                return true;
            if (c == ZYDIS_REGCLASS_MMX || c == ZYDIS_REGCLASS_X87) /* tests/cpu/test_x86_oracle.c */
                return true;
            if (c == ZYDIS_REGCLASS_IP && o->type == ZYDIS_OPERAND_TYPE_MEMORY)
                return true;
            if (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r[k]) == ZYDIS_REGISTER_RSP)
                return true;
        }
    }
    return false;
}

static bool pick(struct rng *rng, const ZydisDecoder *decoder, struct instance *x)
{
    uint8_t *p = x->bytes;
    uint32_t prefix = (uint32_t)rng_below(rng, 12), map = (uint32_t)rng_below(rng, 10);
    memset(x, 0, sizeof *x);
    if (prefix < 3)
        *p++ = 0x66;
    else if (prefix < 5)
        *p++ = (uint8_t)(0xf2 + (prefix == 4));
    else if (prefix == 5)
        *p++ = 0x67;
    else if (prefix == 6)
        *p++ = 0xf0;
    if (rng_below(rng, 2))
        *p++ = (uint8_t)(0x40 | rng_below(rng, 16));
    if (map < 6)
        *p++ = 0x0f;
    if (map < 2)
        *p++ = map ? 0x38 : 0x3a;
    *p++ = (uint8_t)rng_next(rng);
    while (p < x->bytes + 15)
        *p++ = (uint8_t)rng_next(rng);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, x->bytes, 15, &x->in, x->o)))
        return false;
    return !is_excluded(x) && !is_awkward(x);
}

/* ---- inputs ---- */

static uint64_t value(struct rng *rng)
{
    static const uint64_t edges[] = {0,          1,          2,         0x7f,       0x80,
                                     0xff,       0x7fff,     0x8000,    0xffff,     0x7fffffff,
                                     0x80000000, 0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX};
    uint64_t v = rng_next(rng);
    switch (rng_below(rng, 4)) {
    case 0:
        return edges[rng_below(rng, N_ELEMS(edges))];
    case 1:
        return v >> rng_below(rng, 64);
    case 2:
        return v & 63;
    default:
        return v;
    }
}

/* Bits, small numbers, and the special values of floating point. */
static union x86_xmm vector(struct rng *rng)
{
    union x86_xmm v;
    static const float special[] = {0.0f,
                                    -0.0f,
                                    1.0f,
                                    -1.5f,
                                    0.5f,
                                    1e30f,
                                    -1e-30f,
                                    2147483648.0f,
                                    1e-40f,
                                    __builtin_inff(),
                                    -__builtin_inff(),
                                    __builtin_nanf("")};
    uint64_t kind = rng_below(rng, 4);
    for (uint32_t i = 0; i < 2; i++)
        v.u64[i] = value(rng);
    for (uint32_t i = 0; i < 4 && kind == 0; i++)
        v.f32[i] = special[rng_below(rng, N_ELEMS(special))];
    for (uint32_t i = 0; i < 2 && kind == 1; i++)
        v.f64[i] = rng_below(rng, 2) ? (double)special[rng_below(rng, N_ELEMS(special))]
                                     : (double)(int64_t)rng_next(rng) * 0x1p-40;
    return v;
}

static uint32_t number(ZydisRegister r)
{
    return (uint32_t)ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r));
}

/* Somewhere in the window, sometimes over its ends. */
static uint64_t address(struct rng *rng)
{
    switch (rng_below(rng, 8)) {
    case 0:
        return DATA + PAGE_BYTES - rng_below(rng, 16);
    case 1:
        return DATA + DATA_BYTES - rng_below(rng, 16);
    case 2:
        return DATA - rng_below(rng, 16);
    case 3:
        return (DATA + rng_below(rng, DATA_BYTES - 16)) & ~15ull;
    default:
        return DATA + rng_below(rng, DATA_BYTES - 16);
    }
}

/* Registers so that every memory operand lies about the window. */
static void inputs(struct rng *rng, const struct instance *x, uint64_t g[16])
{
    for (uint32_t r = 0; r < 16; r++)
        g[r] = value(rng);
    bool is_bit = x->in.mnemonic == ZYDIS_MNEMONIC_BT || x->in.mnemonic == ZYDIS_MNEMONIC_BTS ||
                  x->in.mnemonic == ZYDIS_MNEMONIC_BTR || x->in.mnemonic == ZYDIS_MNEMONIC_BTC;
    if (is_bit && x->o[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
        g[number(x->o[1].reg.value)] = (uint64_t)((int64_t)rng_below(rng, 65536) - 32768);
    if (x->in.meta.category == ZYDIS_CATEGORY_STRINGOP) {
        g[X86_RCX] = rng_below(rng, 300);
        if (rng_below(rng, 4))
            g[X86_RAX] &= 1;
    }
    for (uint32_t i = 0; i < x->in.operand_count; i++) {
        const ZydisDecodedOperand *o = &x->o[i];
        if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.base == ZYDIS_REGISTER_NONE)
            continue;
        if (o->mem.index != ZYDIS_REGISTER_NONE && o->mem.index != o->mem.base && rng_below(rng, 2))
            g[number(o->mem.index)] = rng_below(rng, 64);
        uint64_t index = o->mem.index == ZYDIS_REGISTER_NONE ? 0 : g[number(o->mem.index)] * o->mem.scale;
        if (o->mem.index == o->mem.base && o->mem.index != ZYDIS_REGISTER_NONE)
            index = 0;
        g[number(o->mem.base)] = address(rng) - (uint64_t)o->mem.disp.value - index;
    }
}

/* ---- comparing ---- */

static uint64_t shift_count(const struct instance *x, const uint64_t g[16])
{
    uint32_t at = x->in.mnemonic == ZYDIS_MNEMONIC_SHLD || x->in.mnemonic == ZYDIS_MNEMONIC_SHRD ? 2 : 1;
    uint64_t n = x->o[at].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? x->o[at].imm.value.u : g[X86_RCX];
    return n & (x->o[0].size == 64 ? 63 : 31);
}

/* Flags that the manuals define for this instance. */
static uint64_t defined_flags(const struct instance *x, const uint64_t g[16])
{
    uint64_t undefined = x->in.cpu_flags ? x->in.cpu_flags->undefined : 0;
    switch (x->in.mnemonic) {
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD: {
        uint64_t n = shift_count(x, g);
        bool rotates = x->in.mnemonic == ZYDIS_MNEMONIC_ROL || x->in.mnemonic == ZYDIS_MNEMONIC_ROR ||
                       x->in.mnemonic == ZYDIS_MNEMONIC_RCL || x->in.mnemonic == ZYDIS_MNEMONIC_RCR;
        undefined = n == 0 ? 0 : (rotates ? 0 : X86_AF) | (n == 1 ? 0 : X86_OF);
        if (!rotates && n >= x->o[0].size) /* the last bit shifted out is none */
            undefined |= X86_CF;
        if (n > x->o[0].size && (x->in.mnemonic == ZYDIS_MNEMONIC_SHLD || x->in.mnemonic == ZYDIS_MNEMONIC_SHRD))
            undefined = ALL_FLAGS;
        break;
    }
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV:
        undefined = ALL_FLAGS;
        break;
    case ZYDIS_MNEMONIC_MUL:
    case ZYDIS_MNEMONIC_IMUL:
        undefined = X86_SF | X86_ZF | X86_AF | X86_PF;
        break;
    case ZYDIS_MNEMONIC_BSF:
    case ZYDIS_MNEMONIC_BSR:
        undefined = X86_CF | X86_OF | X86_SF | X86_AF | X86_PF;
        break;
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
        undefined = X86_OF | X86_SF | X86_AF | X86_PF;
        break;
    case ZYDIS_MNEMONIC_TZCNT:
    case ZYDIS_MNEMONIC_LZCNT:
        undefined = X86_OF | X86_SF | X86_AF | X86_PF;
        break;
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_TEST:
        undefined = X86_AF;
        break;
    default:
        break;
    }
    return ALL_FLAGS & ~undefined;
}

/* Results that the manuals leave open. */
static bool is_undefined(const struct instance *x, const uint64_t g[16])
{
    if (x->in.mnemonic == ZYDIS_MNEMONIC_SHLD || x->in.mnemonic == ZYDIS_MNEMONIC_SHRD)
        return shift_count(x, g) > x->o[0].size;
    return x->in.mnemonic == ZYDIS_MNEMONIC_BSWAP && x->o[0].size == 16;
}

static void describe(const struct instance *x, const struct flat *f, const struct native *n, const uint64_t g[16],
                     const char *what)
{
    ZydisFormatter fmt;
    char text[96];
    ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
    ZydisFormatterFormatInstruction(&fmt, &x->in, x->o, x->in.operand_count_visible, text, sizeof text, FLAT_BASE,
                                    NULL);
    fprintf(stderr, "%s: %s [", what, text);
    for (uint32_t i = 0; i < x->in.length; i++)
        fprintf(stderr, "%02x", x->bytes[i]);
    fprintf(stderr, "]  native trap %d  quire stop %d vector %u cr2 %llx\n", (int)n->c->trap - 1, (int)f->cpu.stop,
            f->cpu.fault.vector, (unsigned long long)f->cpu.fault.cr2);
    for (uint32_t r = 0; r < 16; r++)
        if (r != X86_RSP && (g[r] != n->c->out[r] || g[r] != f->cpu.state.gpr[r]))
            fprintf(stderr, "  r%-2u in %016llx native %016llx quire %016llx\n", r, (unsigned long long)g[r],
                    (unsigned long long)n->c->out[r], (unsigned long long)f->cpu.state.gpr[r]);
    for (uint32_t r = 0; r < 16; r++)
        if (memcmp(&n->c->xmm_out[r], &f->cpu.state.xmm[r], 16))
            fprintf(stderr, "  x%-2u in %016llx%016llx native %016llx%016llx quire %016llx%016llx\n", r,
                    (unsigned long long)n->c->xmm_in[r].u64[1], (unsigned long long)n->c->xmm_in[r].u64[0],
                    (unsigned long long)n->c->xmm_out[r].u64[1], (unsigned long long)n->c->xmm_out[r].u64[0],
                    (unsigned long long)f->cpu.state.xmm[r].u64[1], (unsigned long long)f->cpu.state.xmm[r].u64[0]);
    fprintf(stderr, "  mxcsr in %x native %x quire %x\n", n->c->mxcsr_in, n->c->mxcsr_out, f->cpu.state.mxcsr);
    fprintf(stderr, "  flags in %03llx native %03llx quire %03llx defined %03llx\n",
            (unsigned long long)n->c->flags_in & ALL_FLAGS, (unsigned long long)n->c->flags_out & ALL_FLAGS,
            (unsigned long long)x86_rflags(&f->cpu) & ALL_FLAGS, (unsigned long long)defined_flags(x, g));
}

/* NULL: the same; else what differs. */
static const char *compare(const struct instance *x, struct flat *f, struct native *n, const uint64_t g[16])
{
    uint64_t trap = f->cpu.stop == X86_STOP_FAULT ? f->cpu.fault.vector + 1u : 0;
    if (trap != n->c->trap)
        return "fault";
    if (trap == X86_PF_FAULT + 1 && f->cpu.fault.cr2 != n->c->trap_address)
        return "fault address";
    if (is_undefined(x, g))
        return NULL;
    for (uint32_t r = 0; r < 16; r++)
        if (r != X86_RSP && n->c->out[r] != f->cpu.state.gpr[r])
            return "register";
    if (!trap && (n->c->flags_out ^ x86_rflags(&f->cpu)) & defined_flags(x, g))
        return "flags";
    if (trap && (n->c->flags_in ^ x86_rflags(&f->cpu)) & ALL_FLAGS && x->in.meta.category != ZYDIS_CATEGORY_STRINGOP)
        return "flags at a fault";
    if (memcmp(n->c->xmm_out, f->cpu.state.xmm, sizeof n->c->xmm_out))
        return "XMM register";
    if (n->c->mxcsr_out != f->cpu.state.mxcsr)
        return "MXCSR";
    return memcmp((void *)DATA, f->mem + (DATA - FLAT_BASE), DATA_BYTES) ? "memory" : NULL;
}

struct tally {
    uint32_t done[ZYDIS_MNEMONIC_MAX_VALUE + 1];
    uint64_t n_done, n_bad, n_unsupported;
};

static void one(struct rng *rng, const struct instance *x, struct flat *f, struct native *n, struct tally *t)
{
    uint64_t g[16], flags = rng_next(rng) & ALL_FLAGS;
    inputs(rng, x, g);
    if (x->in.meta.category == ZYDIS_CATEGORY_STRINGOP && rng_below(rng, 3) == 0)
        flags |= X86_DF;
    for (uint32_t i = 0; i < 64; i++) { /* a little of the window changes each time */
        uint64_t at = rng_below(rng, DATA_BYTES / 16) * 16;
        union x86_xmm v = vector(rng);
        memcpy((uint8_t *)DATA + at, &v, 16);
    }
    memcpy(f->mem + (DATA - FLAT_BASE), (void *)DATA, DATA_BYTES);
    flat_put(f, FLAT_BASE, x->bytes, 15);
    x86_code_written(f->code, PAGE_BYTES, 16);
    uint64_t rsp = f->cpu.state.gpr[X86_RSP];
    memcpy(f->cpu.state.gpr, g, sizeof g);
    f->cpu.state.gpr[X86_RSP] = rsp;
    f->cpu.state.rip = FLAT_BASE;
    x86_set_rflags(&f->cpu, flags | X86_IF);
    for (uint32_t r = 0; r < 16; r++)
        n->c->xmm_in[r] = f->cpu.state.xmm[r] = vector(rng);
    n->c->mxcsr_in = f->cpu.state.mxcsr = 0x1f80u | (uint32_t)rng_below(rng, 4) << 13 |
                                          (rng_below(rng, 4) ? 0 : (uint32_t)(rng_next(rng) & 0x8040)) |
                                          (uint32_t)(rng_below(rng, 2) ? rng_next(rng) & 0x3f : 0);
    enum x86_stop why = x86_run(&f->cpu, 1, 0);
    if (why == X86_STOP_UNSUPPORTED) {
        t->n_unsupported++;
        return;
    }
    if (why == X86_STOP_FAULT && f->cpu.fault.vector == X86_PF_FAULT &&
        f->cpu.fault.cr2 - (DATA - PAGE_BYTES) >= DATA_BYTES + 2 * PAGE_BYTES)
        return; /* somewhere where this process may have something */
    memcpy(n->c->in, g, sizeof g);
    n->c->flags_in = flags | X86_IF | 2;
    native_run(n, x->bytes, x->in.length);
    t->done[x->in.mnemonic]++;
    t->n_done++;
    const char *what = compare(x, f, n, g);
    if (what) {
        if (t->n_bad++ < 20)
            describe(x, f, n, g, what);
    }
}

Test(x86_native, random_instructions)
{
    struct native n;
    struct rng rng;
    ZydisDecoder decoder;
    static struct tally t;
    if (!native_open(&n))
        cr_skip_test("the addresses of the window are taken");
    const char *cases = getenv("QUIRE_NATIVE_CASES");
    uint64_t want = cases ? strtoull(cases, NULL, 10) : 100000;
    struct flat *f = flat_new();
    for (uint32_t i = 1; i < FLAT_PAGES - 2; i++)
        f->rights[i] = i == 8 || i == 9 ? FLAT_R | FLAT_W : 0;
    x86_tlb_flush(&f->cpu);
    rng_init(&rng, 1, "x86 native");
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (uint64_t i = 0; i < 20 * want && t.n_done < want; i++) {
        struct instance x;
        if (pick(&rng, &decoder, &x))
            one(&rng, &x, f, &n, &t);
    }
    uint32_t n_mnemonics = 0;
    for (uint32_t i = 0; i <= ZYDIS_MNEMONIC_MAX_VALUE; i++) {
        n_mnemonics += t.done[i] > 0;
        if (cases && t.done[i])
            fprintf(stderr, "%s %u\n", ZydisMnemonicGetString(i), t.done[i]);
    }
    cr_expect_eq(t.n_bad, 0, "%llu of %llu instances differ", (unsigned long long)t.n_bad,
                 (unsigned long long)t.n_done);
    cr_expect_gt(n_mnemonics, 250, "only %u mnemonics", n_mnemonics);
    flat_free(f);
}

/* SPDX-License-Identifier: MIT */
/* Random x87 and MMX instructions run on the host's processor and on the simulated one, from the same FXSAVE image:
 * registers, tags, control and status words, flags and memory have to be the same. Transcendental functions differ by
 * maker in the last bit: within one unit there. QUIRE_ORACLE_CASES sets how many are tried; with QUIRE_ORACLE_LIST the
 * covered mnemonics are listed. */
#include "sim/base/rng.h"
#include "tests/cpu/x86_flat.h"

#include <Zydis/Zydis.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>

#define DATA       (FLAT_BASE + 8 * PAGE_BYTES)
#define DATA_BYTES 256u
#define ALL_FLAGS  (X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_OF)

struct image {
    uint16_t cw, sw;
    uint8_t tags, reserved;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mask;
    uint8_t st[8][16];
    union x86_xmm xmm[16];
    uint8_t rest[96];
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct image) == 512, "as FXSAVE stores it");

struct machine_state {
    struct image fx;
    uint64_t rax, rcx, rdx, rdi, flags;
    uint8_t data[DATA_BYTES];
};

struct sample {
    uint8_t bytes[8];
    ZydisDecodedInstruction in;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
};

/* ---- instructions ---- */

static bool is_transcendental(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_F2XM1 || m == ZYDIS_MNEMONIC_FYL2X || m == ZYDIS_MNEMONIC_FYL2XP1 ||
           m == ZYDIS_MNEMONIC_FPATAN || m == ZYDIS_MNEMONIC_FSIN || m == ZYDIS_MNEMONIC_FCOS ||
           m == ZYDIS_MNEMONIC_FSINCOS || m == ZYDIS_MNEMONIC_FPTAN;
}

static bool has_mmx(const struct sample *x)
{
    for (uint32_t i = 0; i < x->in.operand_count; i++)
        if (x->o[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(x->o[i].reg.value) == ZYDIS_REGCLASS_MMX)
            return true;
    return x->in.mnemonic == ZYDIS_MNEMONIC_EMMS;
}

static bool is_wanted(const struct sample *x)
{
    switch (x->in.mnemonic) {
    case ZYDIS_MNEMONIC_FENI8087_NOP: /* no instructions any more */
    case ZYDIS_MNEMONIC_FDISI8087_NOP:
    case ZYDIS_MNEMONIC_FSETPM287_NOP:
        return false;
    default:
        break;
    }
    if (x->in.opcode_map == ZYDIS_OPCODE_MAP_0F0F) /* 3DNow!, not of x86-64-v2 */
        return false;
    for (uint32_t i = 0; i < x->in.operand_count; i++) {
        ZydisRegister r = x->o[i].type == ZYDIS_OPERAND_TYPE_REGISTER ? x->o[i].reg.value : ZYDIS_REGISTER_NONE;
        ZydisRegisterClass c = ZydisRegisterGetClass(r);
        if (x->o[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            (x->o[i].mem.base != ZYDIS_REGISTER_RDI || x->o[i].mem.index != ZYDIS_REGISTER_NONE ||
             x->o[i].mem.disp.value))
            return false;
        if ((c == ZYDIS_REGCLASS_GPR32 || c == ZYDIS_REGCLASS_GPR64) && ZydisRegisterGetId(r) > 2)
            return false; /* the stub gives away RAX, RCX, RDX only */
    }
    return (x->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (x->in.opcode & 0xf8) == 0xd8) || has_mmx(x);
}

/* D8..DF with any ModRM, or 0F with any opcode; memory is [RDI]. */
static bool pick(struct rng *rng, const ZydisDecoder *decoder, struct sample *x)
{
    uint8_t *p = x->bytes;
    bool is_x87 = rng_below(rng, 3) > 0;
    memset(x, 0, sizeof *x);
    if (!is_x87 && rng_below(rng, 6) == 0)
        *p++ = (uint8_t[]){0xf2, 0xf3, 0x66}[rng_below(rng, 3)];
    if (!is_x87 && rng_below(rng, 8) == 0)
        *p++ = 0x48;
    if (!is_x87)
        *p++ = 0x0f;
    if (!is_x87 && rng_below(rng, 3) == 0)
        *p++ = rng_below(rng, 4) ? 0x38 : 0x3a;
    *p++ = is_x87 ? (uint8_t)(0xd8 + rng_below(rng, 8)) : (uint8_t)rng_next(rng);
    *p++ = (uint8_t)(rng_below(rng, 3) ? 0xc0 | rng_below(rng, 64) : 0x07 | rng_below(rng, 8) << 3);
    *p++ = (uint8_t)rng_next(rng);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, x->bytes, sizeof x->bytes, &x->in, x->o)))
        return false;
    return is_wanted(x);
}

/* ---- inputs ---- */

static void extended(struct rng *rng, uint8_t v[16])
{
    static const uint16_t exponents[] = {0, 1, 0x3fff, 0x3ffe, 0x4000, 0x403e, 0x7ffe, 0x7fff, 0x3f80, 0x3c00};
    uint64_t m = rng_next(rng) | (rng_below(rng, 16) ? 1ull << 63 : 0);
    uint16_t e = rng_below(rng, 3) ? (uint16_t)(0x3fff - 12 + rng_below(rng, 24))
                                   : exponents[rng_below(rng, N_ELEMS(exponents))];
    if (rng_below(rng, 3) == 0)
        m = 1ull << 63 | (rng_below(rng, 2) ? rng_next(rng) << (40 + rng_below(rng, 24)) : 0);
    if (rng_below(rng, 12) == 0) {
        e = 0;
        m = 0;
    }
    e |= (uint16_t)(rng_below(rng, 2) << 15);
    memset(v, 0, 16);
    memcpy(v, &m, 8);
    memcpy(v + 8, &e, 2);
}

static void inputs(struct rng *rng, struct machine_state *s)
{
    static const uint16_t precision[] = {0, 0x200, 0x300, 0x300};
    memset(s, 0, sizeof *s);
    s->fx.cw = (uint16_t)(0x40 | (rng_below(rng, 4) ? 0x3f : rng_next(rng) & 0x3f) | precision[rng_below(rng, 4)] |
                          rng_below(rng, 4) << 10);
    s->fx.sw = (uint16_t)(rng_next(rng) & 0x7f7f & ~(uint32_t)(~s->fx.cw & 0x3f)); /* nothing is pending */
    s->fx.tags = (uint8_t)(rng_below(rng, 3) != 0 ? rng_next(rng) | rng_next(rng) : 0x3full << rng_below(rng, 8));
    s->fx.mxcsr = 0x1f80 | (uint32_t)rng_below(rng, 4) << 13;
    for (uint32_t i = 0; i < 8; i++)
        extended(rng, s->fx.st[i]);
    for (uint32_t i = 0; i < 16; i++)
        for (uint32_t k = 0; k < 4; k++)
            s->fx.xmm[i].f32[k] = (float)(int32_t)rng_next(rng) * 0x1p-12f;
    for (uint32_t i = 0; i < DATA_BYTES; i += 16) {
        extended(rng, s->data + i);
        if (rng_below(rng, 2))
            for (uint32_t k = 0; k < 10; k++) /* decimal digits, for FBLD; also floats and integers */
                s->data[i + k] = (uint8_t)(rng_below(rng, 10) << 4 | rng_below(rng, 10));
        double d = (double)(int64_t)rng_next(rng) * 0x1p-50;
        float f = (float)d;
        switch (rng_below(rng, 6)) {
        case 0:
            memcpy(s->data + i, &d, 8);
            break;
        case 1:
            memcpy(s->data + i, &f, 4);
            break;
        default:
            break;
        }
    }
    s->rax = rng_next(rng);
    s->rcx = rng_next(rng);
    s->rdx = rng_next(rng);
    s->rdi = DATA + 16 * rng_below(rng, 6);
    s->flags = (rng_next(rng) & ALL_FLAGS) | 2 | X86_IF;
}

/* ---- both processors ---- */

/* The instruction and a RET are at code; memory at DATA is s->data. */
static void run_native(const uint8_t *code, struct machine_state *s)
{
    struct image host;
    register const uint8_t *at __asm__("r12") = code;
    memcpy((void *)DATA, s->data, DATA_BYTES);
    __asm__ volatile("fxsave64 %[host]\n\t"
                     "mov %[s], %%rbx\n\t"
                     "fxrstor64 (%%rbx)\n\t"
                     "mov 512(%%rbx), %%rax\n\tmov 520(%%rbx), %%rcx\n\tmov 528(%%rbx), %%rdx\n\t"
                     "mov 536(%%rbx), %%rdi\n\t"
                     "sub $128, %%rsp\n\t"
                     "push 544(%%rbx)\n\tpopf\n\t"
                     "call *%%r12\n\t"
                     "pushf\n\tpop 544(%%rbx)\n\t"
                     "lea 128(%%rsp), %%rsp\n\t"
                     "mov %%rax, 512(%%rbx)\n\tmov %%rcx, 520(%%rbx)\n\tmov %%rdx, 528(%%rbx)\n\t"
                     "fxsave64 (%%rbx)\n\t"
                     "fnclex\n\tfxrstor64 %[host]\n\tcld"
                     : [host] "+m"(host)
                     : [s] "r"(s), "r"(at)
                     : "rax", "rbx", "rcx", "rdx", "rdi", "memory", "cc");
    memcpy(s->data, (void *)DATA, DATA_BYTES);
}

static enum x86_stop run_quire(struct flat *f, const struct sample *x, struct machine_state *s)
{
    struct x86_state *c = &f->cpu.state;
    flat_put(f, DATA, s->data, DATA_BYTES);
    flat_put(f, FLAT_BASE, x->bytes, sizeof x->bytes);
    x86_code_written(f->code, PAGE_BYTES, sizeof x->bytes);
    c->x87.cw = s->fx.cw;
    c->x87.sw = s->fx.sw;
    c->x87.tw = 0;
    for (uint32_t i = 0; i < 8; i++) {
        c->x87.tw |= (uint16_t)((s->fx.tags >> i & 1 ? 0 : 3u) << 2 * i);
        memcpy(&c->x87.r[((s->fx.sw >> 11) + i) & 7], s->fx.st[i], 16);
    }
    memcpy(c->xmm, s->fx.xmm, sizeof c->xmm);
    c->mxcsr = s->fx.mxcsr;
    c->gpr[X86_RAX] = s->rax;
    c->gpr[X86_RCX] = s->rcx;
    c->gpr[X86_RDX] = s->rdx;
    c->gpr[X86_RDI] = s->rdi;
    c->rip = FLAT_BASE;
    x86_set_rflags(&f->cpu, s->flags);
    enum x86_stop why = x86_run(&f->cpu, 1, 0);
    s->fx.cw = c->x87.cw;
    s->fx.sw = c->x87.sw;
    s->fx.tags = 0;
    for (uint32_t i = 0; i < 8; i++) {
        s->fx.tags |= (uint8_t)((c->x87.tw >> 2 * i & 3) == 3 ? 0 : 1 << i);
        memcpy(s->fx.st[i], &c->x87.r[((c->x87.sw >> 11) + i) & 7], 10);
    }
    memcpy(s->fx.xmm, c->xmm, sizeof c->xmm);
    s->fx.mxcsr = c->mxcsr;
    s->rax = c->gpr[X86_RAX];
    s->rcx = c->gpr[X86_RCX];
    s->rdx = c->gpr[X86_RDX];
    s->flags = x86_rflags(&f->cpu);
    memcpy(s->data, f->mem + (DATA - FLAT_BASE), DATA_BYTES);
    return why;
}

/* ---- comparing ---- */

/* Adjacent results: exponents and signs alike, or both next to a power of two. */
static bool is_near(const uint8_t a[16], const uint8_t b[16], uint64_t units)
{
    uint64_t ma, mb;
    uint16_t ea, eb;
    memcpy(&ma, a, 8);
    memcpy(&mb, b, 8);
    memcpy(&ea, a + 8, 2);
    memcpy(&eb, b + 8, 2);
    if (ea == eb)
        return (ma > mb ? ma - mb : mb - ma) <= units;
    return (ea + 1 == eb && ma == UINT64_MAX && mb == 1ull << 63) ||
           (eb + 1 == ea && mb == UINT64_MAX && ma == 1ull << 63);
}

/* The pointers to the last instruction are the host's own; UE, PE and C1 of an approximation may differ with its last
 * bit.
 */
static bool is_moderate(const uint8_t v[16])
{
    uint32_t e = (v[8] | (uint32_t)v[9] << 8) & 0x7fff;
    return e > 0x3fff - 40 && e < 0x3fff + 20 && v[7] >> 7;
}
static const char *compare(const struct sample *x, const struct machine_state *in, const struct machine_state *n,
                           const struct machine_state *q)
{
    bool is_close = is_transcendental(x->in.mnemonic);
    bool is_nearest = !(in->fx.cw & 0xc00);
    bool is_env = x->in.mnemonic == ZYDIS_MNEMONIC_FNSTENV || x->in.mnemonic == ZYDIS_MNEMONIC_FNSAVE;
    uint16_t sw_mask = is_close ? (uint16_t) ~(0x8000 | 0x80 | 0x200 | 0x20 | 0x10) : 0xffff;
    if (n->fx.cw != q->fx.cw)
        return "control word";
    if (is_close && (!is_moderate(in->fx.st[0]) || !is_moderate(in->fx.st[1])))
        return NULL; /* denormals and the like: makers differ in more */
    if (x->in.mnemonic == ZYDIS_MNEMONIC_FYL2XP1 && (in->fx.st[0][9] & 0x7f) == 0x3f && in->fx.st[0][8] >= 0xfd)
        return NULL; /* beyond 1 - sqrt(1/2) the result is undefined */
    if ((n->fx.sw ^ q->fx.sw) & sw_mask)
        return "status word";
    if (n->fx.tags != q->fx.tags)
        return "tags";
    for (uint32_t i = 0; i < 8; i++)
        if (memcmp(n->fx.st[i], q->fx.st[i], 10) &&
            !(is_close && is_near(n->fx.st[i], q->fx.st[i], is_nearest ? 1 : 2)))
            return "register";
    if (memcmp(n->fx.xmm, q->fx.xmm, sizeof n->fx.xmm) || n->fx.mxcsr != q->fx.mxcsr)
        return "XMM register or MXCSR";
    if (n->rax != q->rax || n->rcx != q->rcx || n->rdx != q->rdx)
        return "general register";
    if ((n->flags ^ q->flags) & ALL_FLAGS)
        return "flags";
    uint64_t at = n->rdi - DATA;
    for (uint64_t i = 0; i < DATA_BYTES; i++)
        if (n->data[i] != q->data[i] && !(is_env && i >= at + 12 && i < at + 28))
            return "memory";
    return NULL;
}

static void describe(const struct sample *x, const struct machine_state *in, const struct machine_state *n,
                     const struct machine_state *q, const char *what)
{
    ZydisFormatter fmt;
    char text[96];
    ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
    ZydisFormatterFormatInstruction(&fmt, &x->in, x->o, x->in.operand_count_visible, text, sizeof text, FLAT_BASE,
                                    NULL);
    fprintf(stderr, "%s: %s  cw %04x sw %04x tags %02x -> native %04x %04x %02x quire %04x %04x %02x\n", what, text,
            in->fx.cw, in->fx.sw, in->fx.tags, n->fx.cw, n->fx.sw, n->fx.tags, q->fx.cw, q->fx.sw, q->fx.tags);
    for (uint32_t i = 0; i < 8; i++) {
        const uint8_t *v[] = {in->fx.st[i], n->fx.st[i], q->fx.st[i]};
        static const char *const name[] = {"in", "native", "quire"};
        if (i > 1 && !memcmp(v[1], v[2], 10))
            continue;
        fprintf(stderr, "  st%u", i);
        for (uint32_t k = 0; k < 3; k++) {
            uint64_t m;
            memcpy(&m, v[k], 8);
            fprintf(stderr, " %s %02x%02x %016llx", name[k], v[k][9], v[k][8], (unsigned long long)m);
        }
        fprintf(stderr, "\n");
    }
    uint64_t at = in->rdi - DATA;
    for (uint32_t k = 0; k < 3; k++) {
        const uint8_t *d = (k == 0 ? in : k == 1 ? n : q)->data + at;
        fprintf(stderr, "  mem ");
        for (uint32_t i = 0; i < 16; i++)
            fprintf(stderr, "%02x", d[i]);
        fprintf(stderr, k == 2 ? "\n" : "");
    }
}

struct tally {
    uint32_t done[ZYDIS_MNEMONIC_MAX_VALUE + 1], bad[ZYDIS_MNEMONIC_MAX_VALUE + 1];
    uint64_t n_done, n_bad, n_unsupported;
};

static void one(struct rng *rng, const struct sample *x, struct flat *f, uint8_t *code, struct tally *t)
{
    struct machine_state in, n, q;
    inputs(rng, &in);
    n = q = in;
    if (run_quire(f, x, &q) == X86_STOP_UNSUPPORTED) {
        if (t->n_unsupported++ == 0)
            fprintf(stderr, "unsupported: %s\n", ZydisMnemonicGetString(x->in.mnemonic));
        return;
    }
    memcpy(code, x->bytes, x->in.length);
    code[x->in.length] = 0xc3;
    if (getenv("QUIRE_ORACLE_TRACE"))
        fprintf(stderr, "%s %02x%02x%02x%02x rip\n", ZydisMnemonicGetString(x->in.mnemonic), x->bytes[0], x->bytes[1],
                x->bytes[2], x->bytes[3]);
    run_native(code, &n);
    t->done[x->in.mnemonic]++;
    t->n_done++;
    const char *what = compare(x, &in, &n, &q);
    if (what) {
        t->n_bad++;
        if (t->bad[x->in.mnemonic]++ < 2 && t->n_bad < 200)
            describe(x, &in, &n, &q, what);
    }
}

Test(x86_oracle, x87_and_mmx)
{
    struct rng rng;
    ZydisDecoder decoder;
    static struct tally t;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    void *data = mmap((void *)DATA, PAGE_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    uint8_t *code = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED || code == MAP_FAILED)
        cr_skip_test("the addresses of the window are taken");
    const char *cases = getenv("QUIRE_ORACLE_CASES");
    uint64_t want = cases ? strtoull(cases, NULL, 10) : 100000;
    struct flat *f = flat_new();
    rng_init(&rng, 1, "x86 oracle");
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (uint64_t i = 0; i < 20 * want && t.n_done < want; i++) {
        struct sample x;
        if (pick(&rng, &decoder, &x))
            one(&rng, &x, f, code, &t);
    }
    uint32_t n_mnemonics = 0;
    for (uint32_t i = 0; i <= ZYDIS_MNEMONIC_MAX_VALUE; i++) {
        n_mnemonics += t.done[i] > 0;
        if (getenv("QUIRE_ORACLE_LIST") && t.done[i])
            fprintf(stderr, "%s %u differ %u\n", ZydisMnemonicGetString(i), t.done[i], t.bad[i]);
    }
    cr_expect_eq(t.n_bad, 0, "%llu of %llu instances differ", (unsigned long long)t.n_bad,
                 (unsigned long long)t.n_done);
    cr_expect_eq(t.n_unsupported, 0);
    cr_expect_gt(n_mnemonics, 150, "only %u mnemonics", n_mnemonics);
    flat_free(f);
    munmap(code, PAGE_BYTES);
    munmap(data, PAGE_BYTES);
}

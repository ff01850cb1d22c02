/* SPDX-License-Identifier: MIT */
/* MOVS, STOS, LODS, CMPS, SCAS, with and without repetition. A fault leaves the registers at the element that faulted,
 * so that the instruction goes on where it stopped. Long forward moves and fills go by pages, in the timed models by
 * lines. */
#include "sim/cpu/x86_int.h"
#include "sim/cpu/x86_window.h"

#include <Zydis/Mnemonic.h>

struct string {
    uint64_t mask; /* of addresses and count */
    int64_t step;  /* bytes an element, signed */
    uint32_t n;    /* bytes an element */
    bool is_repeated;
};

static struct string string_of(const struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    struct string s = {.mask = x86_address_mask(op), .n = n};
    s.step = cpu->state.other_flags & X86_DF ? -(int64_t)n : (int64_t)n;
    s.is_repeated = op->flags & (X86F_REP | X86F_REPNE);
    return s;
}

static inline uint64_t source(const struct x86_cpu *cpu, const struct x86_op *op, const struct string *s)
{
    return ((cpu->state.gpr[X86_RSI] & s->mask) + x86_seg_base(cpu, op)) & cpu->linear;
}
static inline uint64_t target(const struct x86_cpu *cpu, const struct string *s)
{
    return ((cpu->state.gpr[X86_RDI] & s->mask) + cpu->state.gpr[X86_ES_BASE]) & cpu->linear;
}
static inline uint64_t count(const struct x86_cpu *cpu, const struct string *s)
{
    return s->is_repeated ? cpu->state.gpr[X86_RCX] & s->mask : 1;
}

/* Moves a pointer by some bytes; a narrow one wraps. */
static inline void advance(struct x86_cpu *cpu, enum x86_reg r, const struct string *s, int64_t bytes)
{
    cpu->state.gpr[r] = x86_narrowed(cpu->state.gpr[r], cpu->state.gpr[r] + (uint64_t)bytes, s->mask);
}
static inline void counted(struct x86_cpu *cpu, const struct string *s, uint64_t elements)
{
    if (s->is_repeated)
        cpu->state.gpr[X86_RCX] = x86_narrowed(cpu->state.gpr[X86_RCX], cpu->state.gpr[X86_RCX] - elements, s->mask);
}

/* Bytes from gva to the end of its page, or of its line in the timed models. */
static inline uint64_t room(const struct x86_cpu *cpu, uint64_t gva)
{
    uint64_t unit = cpu->timing == X86_FUNCTIONAL ? PAGE_BYTES : LINE_BYTES;
    return unit - (gva & (unit - 1));
}

/* Bytes that can be moved at once: whole elements; 0 if only one element may go. */
static uint64_t run_of(const struct x86_cpu *cpu, const struct string *s, uint64_t left, uint64_t dst, uint64_t src)
{
    if (s->step < 0)
        return 0;
    uint64_t bytes = min_u64(room(cpu, dst), room(cpu, src));
    if (left < bytes / s->n)
        bytes = left * s->n;
    return bytes - bytes % s->n;
}

/* One run of a forward move. False after a fault. */
static bool move_run(struct x86_cpu *cpu, const struct x86_op *op, uint64_t dst, uint64_t src, uint64_t *bytes)
{
    uint8_t *to = x86_host(cpu, dst, (uint32_t)*bytes, true), buf[LINE_BYTES];
    const uint8_t *from = x86_host(cpu, src, (uint32_t)*bytes, false);
    if (to && from && (to >= from + *bytes || from >= to)) {
        memmove(to, from, *bytes);
        return true;
    }
    if (dst - src < *bytes && dst != src) { /* what is written is read again by a later element */
        *bytes = 0;
        return true;
    }
    *bytes = min_u64(*bytes, LINE_BYTES);
    return x86_load(cpu, op, src, buf, (uint32_t)*bytes) && x86_store(cpu, op, dst, buf, (uint32_t)*bytes);
}

static bool movs(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    struct string s = string_of(cpu, op, n);
    for (uint64_t left = count(cpu, &s); left; left = s.is_repeated ? count(cpu, &s) : 0) {
        uint64_t src = source(cpu, op, &s), dst = target(cpu, &s), v;
        uint64_t bytes = left > 1 ? run_of(cpu, &s, left, dst, src) : 0;
        bytes = bytes < LINE_BYTES ? bytes : bytes - bytes % n;
        if (bytes && !move_run(cpu, op, dst, src, &bytes))
            return false;
        if (bytes) {
            bytes -= bytes % n;
            advance(cpu, X86_RSI, &s, (int64_t)bytes);
            advance(cpu, X86_RDI, &s, (int64_t)bytes);
            counted(cpu, &s, bytes / n);
            continue;
        }
        if (!x86_load(cpu, op, src, &v, n) || !x86_store(cpu, op, dst, &v, n))
            return false;
        advance(cpu, X86_RSI, &s, s.step);
        advance(cpu, X86_RDI, &s, s.step);
        counted(cpu, &s, 1);
    }
    return true;
}

static void fill(uint8_t *to, const uint8_t pattern[LINE_BYTES], uint64_t bytes)
{
    for (; bytes > LINE_BYTES; bytes -= LINE_BYTES, to += LINE_BYTES)
        memcpy(to, pattern, LINE_BYTES);
    memcpy(to, pattern, bytes);
}

static bool stos(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    struct string s = string_of(cpu, op, n);
    uint8_t pattern[LINE_BYTES];
    for (uint32_t i = 0; i < LINE_BYTES; i += n)
        memcpy(pattern + i, &cpu->state.gpr[X86_RAX], n);
    for (uint64_t left = count(cpu, &s); left; left = s.is_repeated ? count(cpu, &s) : 0) {
        uint64_t dst = target(cpu, &s), bytes = left > 1 ? run_of(cpu, &s, left, dst, dst) : 0;
        uint8_t *to = bytes ? x86_host(cpu, dst, (uint32_t)bytes, true) : NULL;
        if (to) {
            fill(to, pattern, bytes);
        } else {
            bytes = bytes ? min_u64(bytes, LINE_BYTES) : n;
            if (!x86_store(cpu, op, dst, pattern, (uint32_t)bytes))
                return false;
        }
        advance(cpu, X86_RDI, &s, s.step < 0 ? s.step : (int64_t)bytes);
        counted(cpu, &s, bytes / n);
    }
    return true;
}

static bool lods(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    struct string s = string_of(cpu, op, n);
    for (uint64_t left = count(cpu, &s); left; left = s.is_repeated ? count(cpu, &s) : 0) {
        uint64_t v = 0;
        if (!x86_load(cpu, op, source(cpu, op, &s), &v, n))
            return false;
        x86_put_gpr(cpu, 0, n, v);
        advance(cpu, X86_RSI, &s, s.step);
        counted(cpu, &s, 1);
    }
    return true;
}

/* Flags of a - b. */
static uint16_t compared(uint64_t a, uint64_t b, uint32_t n)
{
    uint64_t r = x86_cut(a - b, n);
    uint32_t top = n * 8 - 1;
    uint32_t f = x86_szp(r, n) | (a < b ? FL_CF : 0) | ((a ^ b ^ r) & 16 ? FL_AF : 0);
    return (uint16_t)(f | (uint32_t)(((a ^ b) & (a ^ r)) >> top & 1));
}

/* Does the repetition end with these flags? */
static inline bool is_last(const struct x86_op *op, uint16_t f)
{
    return (op->flags & X86F_REP && !(f & FL_ZF)) || (op->flags & X86F_REPNE && f & FL_ZF);
}

static bool cmps(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    struct string s = string_of(cpu, op, n);
    for (uint64_t left = count(cpu, &s); left; left = s.is_repeated ? count(cpu, &s) : 0) {
        uint64_t a = 0, b = 0;
        if (!x86_load(cpu, op, source(cpu, op, &s), &a, n) || !x86_load(cpu, op, target(cpu, &s), &b, n))
            return false;
        uint16_t f = compared(a, b, n);
        cpu->state.ax_flags = f;
        advance(cpu, X86_RSI, &s, s.step);
        advance(cpu, X86_RDI, &s, s.step);
        counted(cpu, &s, 1);
        if (is_last(op, f))
            break;
    }
    return true;
}

static bool scas(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n)
{
    struct string s = string_of(cpu, op, n);
    uint64_t a = x86_cut(cpu->state.gpr[X86_RAX], n);
    for (uint64_t left = count(cpu, &s); left; left = s.is_repeated ? count(cpu, &s) : 0) {
        uint64_t b = 0;
        if (!x86_load(cpu, op, target(cpu, &s), &b, n))
            return false;
        uint16_t f = compared(a, b, n);
        cpu->state.ax_flags = f;
        advance(cpu, X86_RDI, &s, s.step);
        counted(cpu, &s, 1);
        if (is_last(op, f))
            break;
    }
    return true;
}

/* ---- long ones ---- */

/* The program's own time so far, as the core's clock or, in model window, the front end has it. */
static uint64_t own_ps(const struct x86_cpu *cpu)
{
    const struct x86_window *w = cpu->window;
    ps_t now = cpu->core->now_ps;
    if (cpu->timing == X86_WINDOW)
        now = max_u64(w->dispatch_fs / 1000, w->is_open ? w->open_done_ps : 0);
    return now - cpu->core->stats.exit_ps - cpu->kernel_ps;
}

typedef bool string_fn(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n);

/* One instruction as long as thousands: its time is kept apart, for who samples. Warming prices it like model block,
 * which is what a stream of lines through the core's buffers costs in either. */
static __attribute__((noinline)) bool run_long(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n, string_fn *fn)
{
    enum x86_timing timing = cpu->timing;
    x86_clock(cpu, op);
    uint64_t start = own_ps(cpu);
    if (timing == X86_WARM) {
        cpu->timing = X86_BLOCK;
        cpu->n_issued = UINT32_MAX; /* the clock has its instructions already */
    }
    bool ok = fn(cpu, op, n);
    cpu->string_ps += own_ps(cpu) - start;
    if (timing == X86_WARM) {
        cpu->timing = timing;
        cpu->n_issued = 0;
    }
    return ok;
}

static inline bool run_string(struct x86_cpu *cpu, const struct x86_op *op, uint32_t n, string_fn *fn)
{
    struct string s = string_of(cpu, op, n);
    if (likely(!s.is_repeated || count(cpu, &s) < X86_LONG_STRING / n || cpu->timing == X86_FUNCTIONAL || !cpu->core))
        return fn(cpu, op, n);
    return run_long(cpu, op, n, fn);
}

#define SIZES(name)                                                                                                    \
    static X86_OP(name##b)                                                                                             \
    {                                                                                                                  \
        return run_string(cpu, op, 1, name) ? x86_next(op) : x86_stop(cpu, op);                                        \
    }                                                                                                                  \
    static X86_OP(name##w)                                                                                             \
    {                                                                                                                  \
        return run_string(cpu, op, 2, name) ? x86_next(op) : x86_stop(cpu, op);                                        \
    }                                                                                                                  \
    static X86_OP(name##d)                                                                                             \
    {                                                                                                                  \
        return run_string(cpu, op, 4, name) ? x86_next(op) : x86_stop(cpu, op);                                        \
    }                                                                                                                  \
    static X86_OP(name##q)                                                                                             \
    {                                                                                                                  \
        return run_string(cpu, op, 8, name) ? x86_next(op) : x86_stop(cpu, op);                                        \
    }
SIZES(movs)
SIZES(stos)
SIZES(lods)
SIZES(cmps)
SIZES(scas)

#define ROWS(NAME, name)                                                                                               \
    {ZYDIS_MNEMONIC_##NAME##B, x86_op_##name##b, 0}, {ZYDIS_MNEMONIC_##NAME##W, x86_op_##name##w, 0},                  \
    {                                                                                                                  \
        ZYDIS_MNEMONIC_##NAME##Q, x86_op_##name##q, 0                                                                  \
    }
/* MOVSD and CMPSD are also SSE2 instructions: those have an XMM register. */
const struct x86_form x86_string_forms[] = {
    ROWS(MOVS, movs),
    ROWS(STOS, stos),
    ROWS(LODS, lods),
    ROWS(CMPS, cmps),
    ROWS(SCAS, scas),
    {ZYDIS_MNEMONIC_STOSD, x86_op_stosd, 0},
    {ZYDIS_MNEMONIC_LODSD, x86_op_lodsd, 0},
    {ZYDIS_MNEMONIC_SCASD, x86_op_scasd, 0},
    {ZYDIS_MNEMONIC_MOVSD, x86_op_movsd, X86N_NO_XMM},
    {ZYDIS_MNEMONIC_CMPSD, x86_op_cmpsd, X86N_NO_XMM},
    {0, NULL, 0},
};

/* SPDX-License-Identifier: MIT */
#include "sim/guest/exec_debug.h"

#include "sim/base/outfile.h"
#include "sim/guest/bare.h"
#include "sim/guest/linux_int.h"

#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>

/* Instructions between two samples of the profile: a prime, so that no loop keeps step with it. */
#define PROFILE_STRIDE 997u

struct function {
    char *name;
    uint64_t instructions;
    ps_t time_ps;
};

struct exec_debug {
    bool has_trace, has_profile;
    struct outfile trace_file, profile_file;
    FILE *trace, *profile; /* these, or standard error */
    ZydisDecoder decoder;
    ZydisFormatter formatter;
    struct x86_state before; /* the run that has begun */
    uint64_t instructions;
    ps_t start_ps;
    struct map index; /* hash of a name -> its function + 1 */
    uint32_t n_functions;
    struct function *function;
};

/* ---- memory and names ---- */

uint64_t exec_peek(struct exec_cpu *c, uint64_t gva, void *buf, uint64_t n)
{
    uint64_t done = 0;
    if (c->x->bare)
        return bare_peek(c, gva, buf, n);
    while (c->space && done < n) {
        uint64_t at = gva + done, part = min_u64(n - done, PAGE_BYTES - (at & (PAGE_BYTES - 1))), gpa = 0;
        if (at >= SPACE_TOP || !space_at(c->space, at))
            break;
        if (space_peek(c->space, c->v, at, &gpa)) { /* not touched yet */
            memset((uint8_t *)buf + done, 0, part);
            done += part;
            continue;
        }
        uint64_t hpa = hv_back(c->v, gpa, EPT_R);
        if (hpa == UINT64_MAX)
            break;
        frame_read(c->x->hv->mem, hpa, (uint8_t *)buf + done, part);
        done += part;
    }
    return done;
}

void exec_name_of(const struct exec_cpu *c, uint64_t address, char *out, size_t n)
{
    const struct linux_process *os = c->thread ? os_of(c->thread) : NULL;
    uint64_t offset = 0;
    const struct elf_symbol *s = c->x->bare        ? bare_symbol(c, address, &offset)
                                 : os && os->image ? elf_symbol_at(os->image, address, &offset)
                                                   : NULL;
    if (!s)
        snprintf(out, n, "%s", "");
    else if (offset)
        snprintf(out, n, "%s+0x%llx", s->name, (unsigned long long)offset);
    else
        snprintf(out, n, "%s", s->name);
}

/* ---- files ---- */

static int open_file(const char *path, bool *has, struct outfile *file, FILE **to, struct diag *d)
{
    *has = path[0] != 0;
    if (!*has || strcmp(path, "-") == 0) {
        *to = stderr;
        return 0;
    }
    if (out_open(file, path, d))
        return -1;
    *to = file->f;
    return 0;
}

int exec_debug_new(struct exec *x, struct exec_debug **out, struct diag *d)
{
    *out = NULL;
    if (!x->conf.trace_insn[0] && !x->conf.profile[0])
        return 0;
    struct exec_debug *g = *out = xcalloc(1, sizeof *g);
    ZydisFormatterInit(&g->formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    return open_file(x->conf.trace_insn, &g->has_trace, &g->trace_file, &g->trace, d) ||
                   open_file(x->conf.profile, &g->has_profile, &g->profile_file, &g->profile, d)
               ? -1
               : 0;
}

uint64_t exec_debug_stride(const struct exec_debug *g)
{
    return g->has_trace ? 1 : PROFILE_STRIDE;
}

/* ---- the trace of instructions ---- */

/* Bits of a code segment's attributes: 64-bit code; 32-bit code. */
#define CODE_LONG (1u << 13)
#define CODE_BIG  (1u << 14)

/* How the code at CS is to be read. */
static void set_mode(struct exec_debug *g, const struct exec_cpu *c)
{
    const struct x86_segment *cs = &c->x86.state.seg[X86_CS];
    bool is_long = !c->x86.is_system || (c->x86.state.efer & X86_EFER_LMA && cs->attributes & CODE_LONG);
    bool is_big = cs->attributes & CODE_BIG;
    ZydisDecoderInit(&g->decoder,
                     is_long  ? ZYDIS_MACHINE_MODE_LONG_64
                     : is_big ? ZYDIS_MACHINE_MODE_LEGACY_32
                              : ZYDIS_MACHINE_MODE_LEGACY_16,
                     is_long  ? ZYDIS_STACK_WIDTH_64
                     : is_big ? ZYDIS_STACK_WIDTH_32
                              : ZYDIS_STACK_WIDTH_16);
}

static void print_instruction(struct exec_debug *g, struct exec_cpu *c)
{
    const struct x86_state *s = &c->x86.state;
    set_mode(g, c);
    uint8_t bytes[15];
    char text[128] = "?", name[128];
    ZydisDecodedInstruction in;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t n = exec_peek(c, s->rip, bytes, sizeof bytes);
    if (n && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&g->decoder, bytes, n, &in, operand)))
        ZydisFormatterFormatInstruction(&g->formatter, &in, operand, in.operand_count_visible, text, sizeof text,
                                        s->rip, NULL);
    exec_name_of(c, s->rip, name, sizeof name);
    fprintf(g->trace, "%u %u %016llx %-24s %-40s", c->v->index, c->thread ? c->thread->tid : 0,
            (unsigned long long)s->rip, name, text);
}

static void print_changes(struct exec_debug *g, const struct x86_cpu *cpu)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    for (uint32_t i = 0; i < N_ELEMS(names); i++)
        if (cpu->state.gpr[i] != g->before.gpr[i])
            fprintf(g->trace, " %s=%llx", names[i], (unsigned long long)cpu->state.gpr[i]);
    for (uint32_t i = 0; i < N_ELEMS(cpu->state.xmm); i++)
        if (memcmp(&cpu->state.xmm[i], &g->before.xmm[i], sizeof cpu->state.xmm[i]) != 0)
            fprintf(g->trace, " xmm%u=%016llx%016llx", i, (unsigned long long)cpu->state.xmm[i].u64[1],
                    (unsigned long long)cpu->state.xmm[i].u64[0]);
    fputc('\n', g->trace);
}

/* ---- the profile ---- */

static struct function *function_of(struct exec_debug *g, const char *name)
{
    uint64_t h = 0;
    for (const char *p = name; *p; p++)
        h = hash64(h ^ (uint8_t)*p);
    uint64_t *at = map_put(&g->index, h >> 1);
    if (!*at) {
        g->function = xrealloc(g->function, (g->n_functions + 1) * sizeof *g->function);
        g->function[g->n_functions] = (struct function){.name = xstrdup(name)};
        *at = ++g->n_functions;
    }
    return &g->function[*at - 1];
}

static int by_time(const void *a, const void *b)
{
    const struct function *x = a, *y = b;
    if (x->time_ps != y->time_ps)
        return x->time_ps < y->time_ps ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void print_profile(struct exec_debug *g)
{
    uint64_t instructions = 0;
    ps_t time = 0;
    for (uint32_t i = 0; i < g->n_functions; i++) {
        instructions += g->function[i].instructions;
        time += g->function[i].time_ps;
    }
    if (g->n_functions)
        qsort(g->function, g->n_functions, sizeof *g->function, by_time);
    fprintf(g->profile, "  time %%  instructions %%  ps an instruction  function (sampled every %u instructions)\n",
            PROFILE_STRIDE);
    for (uint32_t i = 0; i < g->n_functions; i++) {
        const struct function *f = &g->function[i];
        fprintf(g->profile, "%8.2f  %14.2f  %17.1f  %s\n", time ? 100.0 * (double)f->time_ps / (double)time : 0,
                instructions ? 100.0 * (double)f->instructions / (double)instructions : 0,
                f->instructions ? (double)f->time_ps / (double)f->instructions : 0, f->name);
    }
}

/* ---- around a run ---- */

void exec_debug_runs(struct exec_debug *g, struct exec_cpu *c)
{
    if (g->has_trace)
        print_instruction(g, c);
    g->before = c->x86.state;
    g->instructions = c->x86.instructions;
    g->start_ps = vcpu_cpu(c->v)->core.now_ps;
}

void exec_debug_ran(struct exec_debug *g, struct exec_cpu *c)
{
    if (g->has_trace)
        print_changes(g, &c->x86);
    if (!g->has_profile)
        return;
    char name[128];
    exec_name_of(c, c->x86.state.rip, name, sizeof name);
    name[strcspn(name, "+")] = 0;
    struct function *f = function_of(g, *name ? name : "(no symbol)");
    f->instructions += c->x86.instructions - g->instructions;
    f->time_ps += vcpu_cpu(c->v)->core.now_ps - g->start_ps;
}

static void drop(struct exec_debug *g)
{
    for (uint32_t i = 0; i < g->n_functions; i++)
        free(g->function[i].name);
    free(g->function);
    map_free(&g->index);
    free(g);
}

int exec_debug_finish(struct exec_debug *g, struct diag *d)
{
    int bad = 0;
    if (g->has_profile)
        print_profile(g);
    if (g->trace_file.f)
        bad |= out_commit(&g->trace_file, d);
    if (g->profile_file.f)
        bad |= out_commit(&g->profile_file, d);
    drop(g);
    return bad;
}

void exec_debug_abort(struct exec_debug *g)
{
    out_abort(&g->trace_file);
    out_abort(&g->profile_file);
    drop(g);
}

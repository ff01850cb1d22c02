/* SPDX-License-Identifier: MIT */
/* Processors and their decoded code in a checkpoint. What the software TLB and the jump cache remember decides which
 * accesses a policy and the caches get to see, so both are kept to the entry. Blocks are decoded again from memory,
 * each in its old place; of dropped ones that something still leads to, only the address is needed. */
#include "sim/cpu/x86_code.h"
#include "sim/cpu/x86_warm.h"
#include "sim/cpu/x86_window.h"

#include <stdlib.h>
#include <string.h>

#define NO_BLOCK UINT32_MAX

/* A block as the file has it. */
struct kept_block {
    uint64_t at; /* byte of the arena */
    uint64_t rip, context, hpa, hpa2;
    uint16_t n_ops, n_insns, n_bytes;
    bool is_dead;
    uint32_t to[2]; /* blocks that its end leads to */
};

/* All blocks of the store, by their place. */
struct kept {
    uint32_t n;
    struct x86_block **block;
    struct kept_block *file;
};

static struct x86_block *block_at(const struct x86_code *code, uint64_t at)
{
    return (struct x86_block *)(void *)(code->arena + at);
}

static uint32_t index_of(const struct kept *k, const struct x86_op *op)
{
    if (!op)
        return NO_BLOCK;
    const struct x86_block *b = (const struct x86_block *)(uintptr_t)op->disp;
    uint32_t low = 0, high = k->n;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (k->block[mid] < b)
            low = mid + 1;
        else
            high = mid;
    }
    return low < k->n && k->block[low] == b ? low : NO_BLOCK;
}

static struct x86_link *link_of(struct x86_block *b)
{
    return (struct x86_link *)(void *)&b->op[b->n_ops];
}

static void collect(struct x86_code *code, struct kept *k)
{
    *k = (struct kept){0};
    for (uint64_t at = 0; at < code->arena_used; at += x86_block_bytes(block_at(code, at)))
        k->n++;
    k->block = xcalloc(k->n + 1ul, sizeof(struct x86_block *));
    k->file = xcalloc(k->n + 1ul, sizeof *k->file);
    uint32_t i = 0;
    for (uint64_t at = 0; at < code->arena_used; at += x86_block_bytes(block_at(code, at)), i++) {
        const struct x86_block *b = k->block[i] = block_at(code, at);
        struct kept_block *f = &k->file[i];
        f->at = at;
        f->rip = b->rip;
        f->context = b->context;
        f->hpa = b->hpa;
        f->hpa2 = b->hpa2;
        f->n_ops = b->n_ops;
        f->n_insns = b->n_insns;
        f->n_bytes = b->n_bytes;
        f->is_dead = b->is_dead;
    }
    for (i = 0; i < k->n; i++)
        for (uint32_t way = 0; way < 2; way++)
            k->file[i].to[way] = k->block[i]->is_dead ? NO_BLOCK : index_of(k, link_of(k->block[i])->to[way]);
}

static void free_kept(struct kept *k)
{
    free(k->block);
    free(k->file);
}

/* ---- making blocks again ---- */

static void fail_block(struct ckpt *c, const struct kept_block *f)
{
    ckpt_fail(c, "decoded code at %llx is not what is in memory", (unsigned long long)f->rip);
}

static void revive(struct x86_code *code, struct x86_block *b, const struct kept_block *f, const struct x86_memory *m,
                   struct ckpt *c)
{
    if (f->is_dead) {
        x86_block_tombstone(b, f->rip);
        b->n_ops = f->n_ops;
        b->n_insns = f->n_insns;
        return;
    }
    if (x86_block_again(code, b, m, f->rip, f->context, f->hpa, f->hpa2) || b->n_ops != f->n_ops ||
        b->n_insns != f->n_insns || b->n_bytes != f->n_bytes)
        fail_block(c, f);
}

static void blocks_in(struct x86_code *code, struct kept *k, const struct x86_memory *m, struct ckpt *c)
{
    uint64_t end = 0;
    k->block = xcalloc(k->n + 1ul, sizeof(struct x86_block *));
    for (uint32_t i = 0; i < k->n && !ckpt_failed(c); i++) {
        const struct kept_block *f = &k->file[i];
        if (f->at != end || f->at + X86_BLOCK_MAX > code->arena_bytes || f->n_insns > X86_BLOCK_INSNS ||
            f->n_ops > X86_BLOCK_OPS) {
            fail_block(c, f);
            return;
        }
        k->block[i] = block_at(code, f->at);
        revive(code, k->block[i], f, m, c);
        end = f->at + x86_block_bytes(k->block[i]);
    }
    if (end != code->arena_used)
        ckpt_fail(c, "decoded code takes %llu bytes, expected %llu", (unsigned long long)end,
                  (unsigned long long)code->arena_used);
    for (uint32_t i = 0; i < k->n && !ckpt_failed(c); i++)
        for (uint32_t way = 0; way < 2 && !k->file[i].is_dead; way++)
            if (k->file[i].to[way] < k->n)
                link_of(k->block[i])->to[way] = k->block[k->file[i].to[way]]->op;
}

/* ---- the store ---- */

static void pages_state(struct x86_code *code, struct ckpt *c)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < X86_PAGE_HASH; i++)
        for (const struct x86_code_page *p = code->pages[i]; p; p = p->next)
            n++;
    n = ckpt_count(c, n, 1ull << 32);
    if (ckpt_is_loading(c)) {
        for (; n && !ckpt_failed(c); n--) {
            uint64_t hpa = 0, lines = 0;
            CKPT(c, hpa);
            CKPT(c, lines);
            x86_code_watch(code, hpa)->lines = lines;
        }
        return;
    }
    for (uint32_t i = 0; i < X86_PAGE_HASH; i++)
        for (struct x86_code_page *p = code->pages[i]; p; p = p->next) {
            CKPT(c, p->hpa);
            CKPT(c, p->lines);
        }
}

static void jumps_state(struct x86_view *v, const struct kept *k, struct ckpt *c)
{
    for (uint32_t i = 0; i < X86_JUMP_ENTRIES; i++) {
        struct x86_jump *j = &v->jump[i];
        uint32_t to = ckpt_is_loading(c) ? 0 : index_of(k, j->op);
        CKPT(c, j->rip);
        CKPT(c, to);
        if (!ckpt_is_loading(c))
            continue;
        if (to < k->n)
            j->op = k->block[to]->op;
        else
            *j = (struct x86_jump){i == 0, NULL};
    }
}

static void tlb_state(struct x86_view *v, const struct x86_memory *m, struct ckpt *c)
{
    CKPT(c, v->hpa);
    for (uint32_t i = 0; i < X86_TLB_ENTRIES; i++) {
        struct x86_tlb_entry *e = &v->tlb[i];
        CKPT(c, e->read);
        CKPT(c, e->write);
        CKPT(c, e->exec);
        if (!ckpt_is_loading(c))
            continue;
        uint64_t tag = e->read != 1 ? e->read : e->write != 1 ? e->write : e->exec;
        const uint8_t *host = tag != 1 && !ckpt_failed(c) ? m->page(m->ctx, v->hpa[i]) : NULL;
        if (host)
            e->addend = (uintptr_t)host - tag;
        else
            *e = (struct x86_tlb_entry){1, 1, 1, 0};
    }
}

static void views_state(struct x86_cpu *cpu, const struct kept *k, const struct x86_memory *m, struct ckpt *c)
{
    for (uint32_t i = 0; i < X86_N_PRIVILEGES; i++) {
        struct x86_view *v = cpu->view[i];
        ckpt_same(c, v != NULL, "as a view");
        if (!v)
            continue;
        CKPT(c, v->context);
        CKPT(c, v->n_tlb_used);
        CKPT(c, v->n_jumps_used);
        CKPT(c, v->tlb_used);
        CKPT(c, v->jumps_used);
        CKPT(c, v->jump_pages);
        tlb_state(v, m, c);
        jumps_state(v, k, c);
    }
}

static void warm_line_state(struct x86_warm_line *l, const struct x86_memory *m, struct ckpt *c)
{
    CKPT_STRUCT(c, l, CKPT_KEEP(struct x86_warm_line, addend));
    if (!ckpt_is_loading(c) || l->line == UINT64_MAX)
        return;
    uint64_t hpa = l->tag >> 3 << LINE_SHIFT; /* as the L1's tags have it */
    const uint8_t *host = ckpt_failed(c) ? NULL : m->page(m->ctx, hpa & ~(uint64_t)(PAGE_BYTES - 1));
    l->addend = (uintptr_t)host - (l->line << LINE_SHIFT & ~(uint64_t)(PAGE_BYTES - 1));
    if (!host)
        l->line = UINT64_MAX;
}

static void warm_state(struct x86_cpu *cpu, const struct x86_memory *m, struct ckpt *c)
{
    bool is_there = cpu->warm != NULL;
    CKPT(c, is_there);
    if (!is_there)
        return;
    if (!cpu->warm)
        x86_warm_caches(cpu, NULL, NULL);
    CKPT(c, cpu->warm->hits);
    for (uint32_t i = 0; i < X86_WARM_LINES; i++) {
        warm_line_state(&cpu->warm->data[i], m, c);
        warm_line_state(&cpu->warm->code[i], m, c);
    }
}

#define KEEP(field) CKPT_KEEP(struct x86_cpu, field)
static void cpu_state(struct x86_cpu *cpu, const struct kept *k, const struct x86_memory *m, struct ckpt *c)
{
    uint32_t timing = cpu->timing, privilege = cpu->privilege;
    timing = (uint32_t)ckpt_count(c, timing, X86_N_TIMINGS - 1);
    privilege = (uint32_t)ckpt_count(c, privilege, X86_N_PRIVILEGES - 1);
    if (ckpt_is_loading(c))
        x86_set_timing(cpu, (enum x86_timing)timing);
    cpu->block = NULL;
    CKPT_STRUCT(c, cpu, KEEP(block), KEEP(tlb), KEEP(jump), KEEP(code), KEEP(bus), KEEP(bus_ctx), KEEP(core),
                KEEP(breakpoints), KEEP(hpa), KEEP(window), KEEP(warm), KEEP(undo), KEEP(view[0]), KEEP(view[1]),
                KEEP(view[2]));
    _Static_assert(X86_N_PRIVILEGES == 3, "the pointers above");
    views_state(cpu, k, m, c);
    cpu->privilege = privilege;
    if (cpu->view[privilege]) {
        cpu->tlb = cpu->view[privilege]->tlb;
        cpu->jump = cpu->view[privilege]->jump;
        cpu->hpa = cpu->view[privilege]->hpa;
    }
    bool has_window = cpu->window != NULL; /* once made, it stays when the timing changes */
    CKPT(c, has_window);
    if (has_window && !cpu->window)
        cpu->window = x86_window_new(&cpu->core->conf);
    if (has_window) {
        cpu->window->block = NULL;
        CKPT_STRUCT(c, cpu->window, CKPT_KEEP(struct x86_window, block));
    }
    warm_state(cpu, m, c);
}

void x86_state_all(struct x86_code *code, struct x86_cpu *const *cpu, uint32_t n_cpus, const struct x86_memory *m,
                   struct ckpt *c)
{
    struct kept k = {0};
    ckpt_section(c, "x86 code");
    if (ckpt_is_loading(c))
        x86_code_reset(code);
    else
        collect(code, &k);
    uint64_t n = k.n;
    ckpt_array(c, &k.file, &n, NULL, sizeof *k.file, UINT32_MAX - 1);
    k.n = (uint32_t)n;
    CKPT(c, code->arena_used);
    if (ckpt_is_loading(c))
        blocks_in(code, &k, m, c);
    pages_state(code, c);
    CKPT(c, code->epoch);
    CKPT(c, code->n_builds);
    CKPT(c, code->n_invalidations);
    CKPT(c, code->n_resets);
    ckpt_section(c, "x86");
    for (uint32_t i = 0; i < n_cpus; i++)
        cpu_state(cpu[i], &k, m, c);
    free_kept(&k);
}

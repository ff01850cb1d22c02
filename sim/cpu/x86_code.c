/* SPDX-License-Identifier: MIT */
/* Blocks of decoded code: kept by host-physical address and rip, dropped when their bytes are written. The memory of a
 * dropped block stays until the whole store is emptied, so that whoever still points to it finds operations that lead
 * out of it. */
#include "sim/cpu/x86_code.h"

#include "sim/cpu/x86_window.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_ARENA (64 * MIB)
#define IN_PAGE(a)    ((a) & (PAGE_BYTES - 1))
#define PAGE_OF(a)    ((a) & ~(uint64_t)(PAGE_BYTES - 1))

static inline uint32_t hash_of(uint64_t hpa, uint64_t rip)
{
    uint64_t x = (hpa ^ rip >> PAGE_SHIFT << 24) * 0x9e3779b97f4a7c15ull; /* 2^64 over the golden ratio */
    return (uint32_t)(x >> 48) & (X86_HASH - 1);
}

static inline uint32_t page_hash(uint64_t hpa)
{
    return (uint32_t)(hpa >> PAGE_SHIFT ^ hpa >> 24) & (X86_PAGE_HASH - 1);
}

struct x86_code *x86_code_new(uint64_t max_bytes)
{
    struct x86_code *c = xcalloc(1, sizeof *c);
    c->arena_bytes = max_u64(max_bytes ? max_bytes : DEFAULT_ARENA, 16 * X86_BLOCK_MAX);
    c->arena = xmalloc(c->arena_bytes);
    c->scratch = xcalloc(1, X86_BLOCK_MAX);
    c->scratch->is_dead = true;
    c->hash = xcalloc(X86_HASH, sizeof(struct x86_block *));
    c->pages = xcalloc(X86_PAGE_HASH, sizeof(struct x86_code_page *));
    return c;
}

static void free_pages(struct x86_code *c)
{
    for (uint32_t i = 0; i < X86_PAGE_HASH; i++) {
        for (struct x86_code_page *p = c->pages[i], *next; p; p = next) {
            next = p->next;
            free(p);
        }
        c->pages[i] = NULL;
    }
}

void x86_code_free(struct x86_code *c)
{
    if (!c)
        return;
    free_pages(c);
    free(c->pages);
    free(c->hash);
    free(c->scratch);
    free(c->arena);
    free(c);
}

struct x86_code_page *x86_code_page(const struct x86_code *c, uint64_t hpa)
{
    struct x86_code_page *p = c->pages[page_hash(hpa)];
    while (p && p->hpa != hpa)
        p = p->next;
    return p;
}

bool x86_code_on_page(const struct x86_code *c, uint64_t hpa)
{
    return x86_code_page(c, hpa) != NULL;
}

/* ---- dropping ---- */

/* From now on every operation of the block leads out of it. */
static void kill_block(struct x86_block *b)
{
    if (b->is_dead)
        return;
    b->is_dead = true;
    b->op[0].fn = x86_dead_enter;
    for (uint32_t i = 1; i < b->n_ops; i++)
        b->op[i].fn = x86_dead;
}

static void unhash(struct x86_code *c, struct x86_block *b)
{
    struct x86_block **p = &c->hash[hash_of(b->hpa, b->rip)];
    while (*p && *p != b)
        p = &(*p)->hash_next;
    if (*p)
        *p = b->hash_next;
}

/* Bytes of b that lie on the page, as offsets in it. */
static void span_on_page(const struct x86_block *b, uint64_t page, uint32_t *from, uint32_t *to)
{
    uint32_t start = (uint32_t)IN_PAGE(b->hpa), end = start + b->n_bytes;
    if (PAGE_OF(b->hpa) == page) {
        *from = start;
        *to = end < PAGE_BYTES ? end : PAGE_BYTES;
    } else {
        *from = 0;
        *to = end - PAGE_BYTES;
    }
}

static bool overlaps(const struct x86_block *b, uint64_t page, uint32_t from, uint32_t to)
{
    uint32_t b_from, b_to;
    span_on_page(b, page, &b_from, &b_to);
    return b_from < to && from < b_to;
}

static struct x86_block **next_on_page(struct x86_block *b, uint64_t page)
{
    return &b->page_next[PAGE_OF(b->hpa) != page];
}

static uint64_t lines_of(uint32_t from, uint32_t to)
{
    uint32_t first = from >> LINE_SHIFT, last = (to - 1) >> LINE_SHIFT;
    return (~0ull << first) & (~0ull >> (63 - last));
}

/* Bytes [from, to) of the page were written: the blocks that hold any of them go. */
static void page_written(struct x86_code *c, uint64_t hpa, uint32_t from, uint32_t to)
{
    struct x86_block *s = c->scratch;
    if (!s->is_dead && (PAGE_OF(s->hpa) == hpa || s->hpa2 == hpa) && overlaps(s, hpa, from, to))
        kill_block(s);
    struct x86_code_page *p = x86_code_page(c, hpa);
    if (!p || !(p->lines & lines_of(from, to)))
        return;
    uint64_t lines = 0;
    for (struct x86_block **at = &p->blocks; *at;) {
        struct x86_block *b = *at;
        uint32_t b_from, b_to;
        span_on_page(b, hpa, &b_from, &b_to);
        if (b->is_dead || overlaps(b, hpa, from, to)) {
            if (!b->is_dead) {
                unhash(c, b);
                kill_block(b);
                c->n_invalidations++;
            }
            *at = *next_on_page(b, hpa);
        } else {
            lines |= lines_of(b_from, b_to);
            at = next_on_page(b, hpa);
        }
    }
    p->lines = lines;
}

void x86_code_written(struct x86_code *c, uint64_t hpa, uint64_t len)
{
    for (uint64_t end = hpa + len; hpa < end;) {
        uint64_t page = PAGE_OF(hpa), stop = min_u64(end, page + PAGE_BYTES);
        page_written(c, page, (uint32_t)(hpa - page), (uint32_t)(stop - page));
        hpa = stop;
    }
}

void x86_code_reset(struct x86_code *c)
{
    memset(c->hash, 0, X86_HASH * sizeof(struct x86_block *));
    free_pages(c);
    c->arena_used = 0;
    c->n_resets++;
    c->epoch++;
}

/* No room: everything goes. No block is running. */
static void reset(struct x86_cpu *cpu)
{
    x86_code_reset(cpu->code);
    x86_tlb_flush(cpu);
    cpu->code_epoch = cpu->code->epoch;
}

/* ---- building ---- */

struct x86_code_page *x86_code_watch(struct x86_code *c, uint64_t hpa)
{
    struct x86_code_page *p = x86_code_page(c, hpa), **slot = &c->pages[page_hash(hpa)];
    if (p)
        return p;
    p = xcalloc(1, sizeof *p);
    p->hpa = hpa;
    p->next = *slot;
    *slot = p;
    return p;
}

/* Stores to the page are watched from now on. */
static struct x86_code_page *watch(struct x86_cpu *cpu, uint64_t page)
{
    struct x86_code *c = cpu->code;
    struct x86_code_page *p = x86_code_page(c, page);
    if (p)
        return p;
    p = x86_code_watch(c, page);
    /* Other processors may still write to it directly: they notice by the epoch. */
    x86_drop_write(cpu, page);
    if (cpu->code_epoch == c->epoch++)
        cpu->code_epoch = c->epoch;
    return p;
}

static void put_on(struct x86_code_page *p, struct x86_block *b)
{
    uint32_t from, to;
    span_on_page(b, p->hpa, &from, &to);
    p->lines |= lines_of(from, to);
    *next_on_page(b, p->hpa) = p->blocks;
    p->blocks = b;
}

static void hash_block(struct x86_code *c, struct x86_block *b)
{
    struct x86_block **slot = &c->hash[hash_of(b->hpa, b->rip)];
    b->hash_next = *slot;
    *slot = b;
}

/* Bytes of code at rip: as many as a block may take on the first page, and 15 past its end if the next page is there
 * and want_next. Returns how many, or 0 after a fault or stop. */
static uint32_t code_bytes(struct x86_cpu *cpu, uint64_t rip, bool want_next, uint8_t *buf, struct x86_page page[2])
{
    uint32_t here = PAGE_BYTES - (uint32_t)IN_PAGE(rip);
    here = here < X86_BLOCK_BYTES ? here : X86_BLOCK_BYTES;
    if (!x86_exec_page(cpu, rip, &page[0]))
        return 0;
    if (page[0].host)
        memcpy(buf, page[0].host + IN_PAGE(rip), here);
    else if (!x86_load_slow(cpu, NULL, rip, buf, here))
        return 0;
    if (!want_next)
        return here;
    if (!x86_exec_page(cpu, PAGE_OF(rip) + PAGE_BYTES, &page[1]))
        return 0;
    if (page[1].host)
        memcpy(buf + here, page[1].host, 15);
    else if (!x86_load_slow(cpu, NULL, PAGE_OF(rip) + PAGE_BYTES, buf + here, 15))
        return 0;
    return here + 15;
}

static const struct x86_op *no_code(struct x86_cpu *cpu, uint64_t rip)
{
    cpu->state.rip = rip;
    cpu->fault.rip = rip;
    return NULL;
}

static void finish(struct x86_block *b)
{
    b->op[0].disp = (int64_t)(uintptr_t)b;
    x86_block_cost(b);
}

/* Fills b with at most n instructions at rip. False after a fault or stop. */
static bool fill(struct x86_cpu *cpu, struct x86_block *b, uint64_t rip, uint32_t n)
{
    uint8_t buf[X86_BLOCK_BYTES + 16];
    struct x86_page page[2] = {{0}};
    uint32_t have = code_bytes(cpu, rip, false, buf, page), here = have;
    if (!have)
        return false;
    *b = (struct x86_block){.rip = rip, .context = cpu->context, .hpa = page[0].hpa + IN_PAGE(rip)};
    if (!x86_decode_block(b, buf, have, here, n)) {
        /* The first instruction crosses into the next page: a block of its own. */
        have = code_bytes(cpu, rip, true, buf, page);
        if (!have)
            return false;
        b->hpa2 = page[1].hpa;
        CHECK(x86_decode_block(b, buf, have, here, 1));
        if (b->n_bytes <= here)
            b->hpa2 = 0;
    }
    finish(b);
    cpu->code->n_builds++;
    return true;
}

/* Is the second page of a block still where it was? */
static bool same_pages(struct x86_cpu *cpu, const struct x86_block *b)
{
    struct x86_page page;
    return !b->hpa2 || (x86_exec_page(cpu, PAGE_OF(b->rip) + PAGE_BYTES, &page) && page.hpa == b->hpa2);
}

const struct x86_op *x86_find_slow(struct x86_cpu *cpu, uint64_t rip)
{
    struct x86_code *c = cpu->code;
    struct x86_page page;
    if (!x86_exec_page(cpu, rip, &page))
        return no_code(cpu, rip);
    uint64_t hpa = page.hpa + IN_PAGE(rip);
    for (struct x86_block *b = c->hash[hash_of(hpa, rip)]; b; b = b->hash_next)
        if (b->hpa == hpa && b->rip == rip && b->context == cpu->context && same_pages(cpu, b)) {
            x86_remember(cpu, b->rip, b->op);
            return b->op;
        }
    if (c->arena_used + X86_BLOCK_MAX > c->arena_bytes)
        reset(cpu);
    struct x86_block *b = (struct x86_block *)(void *)(c->arena + c->arena_used);
    if (!fill(cpu, b, rip, X86_BLOCK_INSNS))
        return no_code(cpu, rip);
    c->arena_used += x86_block_bytes(b);
    hash_block(c, b);
    put_on(watch(cpu, PAGE_OF(b->hpa)), b);
    if (b->hpa2 && b->hpa2 != PAGE_OF(b->hpa))
        put_on(watch(cpu, b->hpa2), b);
    x86_remember(cpu, b->rip, b->op);
    return b->op;
}

const struct x86_op *x86_find(struct x86_cpu *cpu, uint64_t rip)
{
    const struct x86_jump *j = &cpu->jump[x86_jump_slot(rip)];
    return likely(j->rip == rip) ? j->op : x86_find_slow(cpu, rip);
}

const struct x86_op *x86_find_short(struct x86_cpu *cpu, uint64_t rip, uint32_t n)
{
    struct x86_block *b = cpu->code->scratch;
    if (!fill(cpu, b, rip, n)) {
        b->is_dead = true;
        return no_code(cpu, rip);
    }
    watch(cpu, PAGE_OF(b->hpa));
    if (b->hpa2)
        watch(cpu, b->hpa2);
    return b->op;
}

/* ---- again, from a checkpoint ---- */

int x86_block_again(struct x86_code *c, struct x86_block *b, const struct x86_memory *m, uint64_t rip, uint64_t context,
                    uint64_t hpa, uint64_t hpa2)
{
    uint8_t buf[X86_BLOCK_BYTES + 16];
    uint32_t here = PAGE_BYTES - (uint32_t)IN_PAGE(rip);
    here = here < X86_BLOCK_BYTES ? here : X86_BLOCK_BYTES;
    if (!m->read(m->ctx, hpa, buf, here) || (hpa2 && !m->read(m->ctx, hpa2, buf + here, 15)))
        return -1;
    *b = (struct x86_block){.rip = rip, .context = context, .hpa = hpa, .hpa2 = hpa2};
    if (!x86_decode_block(b, buf, hpa2 ? here + 15 : here, here, hpa2 ? 1 : X86_BLOCK_INSNS))
        return -1;
    finish(b);
    hash_block(c, b);
    put_on(x86_code_watch(c, PAGE_OF(hpa)), b);
    if (hpa2 && hpa2 != PAGE_OF(hpa))
        put_on(x86_code_watch(c, hpa2), b);
    return 0;
}

void x86_block_tombstone(struct x86_block *b, uint64_t rip)
{
    *b = (struct x86_block){.rip = rip, .is_dead = true};
    b->op[0] = (struct x86_op){.fn = x86_dead_enter, .disp = (int64_t)(uintptr_t)b};
}

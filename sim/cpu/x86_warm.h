/* SPDX-License-Identifier: MIT */
/* Timing model `warm`: functional warming (Wunderlich et al., SMARTS, ISCA 2003). Every access and fetch reaches TLBs,
 * caches, directory and controllers, every branch the predictor; nothing waits for them, and the clock moves by
 * x86_cpu.forward_fs an instruction. It is what runs between the detailed intervals of a sampled run.
 *
 * Accesses that hit the L1 are made here, on the cache's own tags, if the line was reached before: found by address,
 * still there, in a state that allows the access. So what the caches see is exactly what they see in the timed models;
 * only the order of entries within a set of the TLBs knows less. */
#ifndef QUIRE_CPU_X86_WARM_H
#define QUIRE_CPU_X86_WARM_H

#include "sim/cache/cache.h"
#include "sim/cpu/x86_code.h"
#include "sim/cpu/x86_window.h"

#define X86_WARM_LINES 512u
#define X86_WARM_KINDS 2u

/* A line that was reached, and where the L1 has it. */
struct x86_warm_line {
    uint64_t line;    /* gva >> 6; UINT64_MAX: none */
    uintptr_t addend; /* host = gva + addend */
    uint64_t tag;     /* what the L1 says if the line is there, with state modified */
    uint32_t at;      /* where it says so */
    uint32_t set : 24, way : 5, is_writable : 1, kind : 1;
};

struct x86_warm_hits {
    uint64_t reads, writes, fetches;
};

struct x86_warm {
    struct pcache *l1d, *l1i;                  /* NULL: no access is made here */
    struct x86_warm_hits hits[X86_WARM_KINDS]; /* by struct x86_page.kind; the embedder reads and clears them */
    struct x86_warm_line data[X86_WARM_LINES], code[X86_WARM_LINES];
};

/* The caches of the core that the processor runs on; also after it moved to another core. */
void x86_warm_caches(struct x86_cpu *cpu, struct pcache *l1d, struct pcache *l1i);
void x86_warm_flush(struct x86_warm *w);

/* Arrays that lie a power of two apart do not meet. */
static inline uint32_t x86_warm_slot(uint64_t line)
{
    return (uint32_t)(line ^ line >> 9 ^ line >> 18) & (X86_WARM_LINES - 1);
}

/* Makes the line the last one used of its set, if the L1 has it. */
static inline bool x86_warm_touch(const struct x86_warm_line *e, struct pcache *l1, uint64_t state)
{
    if ((l1->tag[e->at] | state) != e->tag)
        return false;
    uint64_t order = l1->lru[e->set];
    if ((order & 15) != e->way)
        l1->lru[e->set] = lru_touch(order, e->way);
    return true;
}

/* Where the bytes of an L1 hit within one line are, or NULL. */
static inline uint8_t *x86_warm_host(struct x86_cpu *cpu, uint64_t gva, uint32_t len, bool write)
{
    struct x86_warm *w = cpu->warm;
    const struct x86_warm_line *e = &w->data[x86_warm_slot(gva >> LINE_SHIFT)];
    if (e->line != (gva + len - 1) >> LINE_SHIFT || write > e->is_writable)
        return NULL;
    if (!x86_warm_touch(e, w->l1d, write ? 0 : LINE_MODIFIED))
        return NULL;
    if (write)
        w->hits[e->kind].writes++;
    else
        w->hits[e->kind].reads++;
    return (uint8_t *)(gva + e->addend);
}

/* An access within one page. WARM_BUS: it has to go through the bus, which prices it. */
enum x86_warm_status { X86_WARM_DONE, X86_WARM_BUS, X86_WARM_FAULT, X86_WARM_STOP };
enum x86_warm_status x86_warm_load(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, void *buf, uint32_t len);
enum x86_warm_status x86_warm_store(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, const void *buf,
                                    uint32_t len);
/* The lines of block b are fetched. */
enum x86_bus_status x86_warm_fetch(struct x86_cpu *cpu, const struct x86_block *b);
/* Block b begins: its lines are fetched, the predictor learns. */
static inline enum x86_bus_status x86_warm_enter(struct x86_cpu *cpu, const struct x86_block *b)
{
    if (cpu->window)
        x86_block_foreseen(cpu, b);
    uint64_t last = (b->rip + b->n_bytes - 1) >> LINE_SHIFT;
    return b->rip >> LINE_SHIFT == last && last == cpu->last_fetch ? X86_BUS_OK : x86_warm_fetch(cpu, b);
}

#endif

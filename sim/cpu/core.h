/* SPDX-License-Identifier: MIT */
/* Timing of one core. Model `block`: instructions issue at a fixed rate; a load that misses the L1 goes on in the
 * background while a miss buffer is free and the reorder buffer has room; stores and flushes leave in order through a
 * store buffer; stores that miss and non-temporal stores hold miss buffers too. What it answers is when the next
 * instruction may issue. Model `window` (x86_window.h) has instructions of its own on the same buffers. */
#ifndef QUIRE_CPU_CORE_H
#define QUIRE_CPU_CORE_H

#include "sim/base/conf.h"
#include "sim/base/stats.h"
#include "sim/base/types.h"

#define CORE_MAX_MISSES 64u
#define CORE_MAX_STORES 128u
#define CORE_MAX_ROB    1024u
#define CORE_BUSY_STEP  4u /* miss buffers that are compared at once */
#define CORE_MISSED     64u

struct core_conf {
    uint64_t hz;             /* core clock */
    uint64_t ipc_milli;      /* instructions a cycle without misses, in thousandths */
    uint64_t miss_buffers;   /* lines that may be on their way to or from the L1: misses and non-temporal stores */
    uint64_t nt_buffers;     /* of these, non-temporal stores */
    uint64_t nt_posted;      /* non-temporal stores that no controller has taken yet */
    uint64_t flush_posted;   /* flushed lines that no controller has taken yet */
    uint64_t nt_fenced_ps;   /* from one non-temporal store to the next behind a fence */
    uint64_t nt_cached_ps;   /* from one non-temporal store to the next, to a line that the core has cached */
    uint64_t rob;            /* instructions that may wait behind the oldest outstanding load */
    uint64_t store_buffer;   /* stores that may wait for their line */
    uint64_t store_miss_ps;  /* a store that missed holds the head of the store buffer so long */
    uint64_t flush_miss_ps;  /* and the flush of its line so much longer than of a line that was there */
    uint64_t store_ahead_ps; /* a store that asked for its line ahead of a fence and has it: so long */
    uint64_t sfence_cycles, mfence_cycles; /* fences that have nothing to wait for */
    uint64_t flush_cycles;                 /* issue of a flush */
    /* How long one holds the head of the store buffer; CLWB only if its line is dirty; of
     * persistent memory longer, as its queue takes lines more slowly. */
    uint64_t clflush_ps, clflushopt_ps, clwb_ps, clwb_pmem_ps;
    /* Models of a processor that executes (sim/cpu/x86_window.h). */
    uint64_t mispredict_cycles; /* from the branch's execution to the first instruction of the right path */
    uint64_t branch_history;    /* global branches that the predictor's index mixes in */
    uint64_t width;             /* model window: instructions dispatched a cycle */
    uint64_t load_queue;        /* model window: loads between dispatch and retirement */
};
extern const struct conf_key core_keys[];

struct core_stats {
    uint64_t instructions, accesses, stall_ps, fence_ps, exit_ps;
};
extern const struct stat_desc core_stat_desc[];
#define CORE_N_STATS (sizeof(struct core_stats) / sizeof(uint64_t))

struct core_miss {
    ps_t done_ps;
    uint64_t instruction; /* its number */
};

/* Lines on their way to a controller, a ring. */
struct core_posted {
    ps_t done_ps[CORE_MAX_MISSES];
    uint32_t next;
};

struct core {
    struct core_conf conf;
    ps_t now_ps;         /* when the next instruction may issue */
    ps_t instruction_fs; /* femtoseconds an instruction */
    uint64_t carry_fs;
    ps_t cycle_ps;
    ps_t last_load_ps;   /* when the youngest load's data is there: for dependent loads */
    ps_t stores_done_ps; /* when the youngest store has left the buffer */
    /* The last non-temporal store; the first since a fence, if there was one; since a fence, none before. */
    ps_t nt_ps, nt_first_ps, nt_after_ps;
    bool has_nt;
    ps_t fence_ps; /* when the last fence began to wait */
    uint64_t fence_instruction;
    uint64_t ahead_n;     /* stores that asked for their lines ahead of that fence */
    ps_t flushes_done_ps; /* when all flushes and non-temporal stores so far are accepted by their controllers */
    uint32_t miss_head, miss_n, nt_head, nt_n, store_head, store_n;
    struct core_miss miss[CORE_MAX_MISSES]; /* loads that may hold up the reorder buffer, in order */
    ps_t nt_done_ps[CORE_MAX_MISSES];       /* non-temporal stores, in order */
    /* Until when miss buffers are in use, the first to be free first; behind the last one INT64_MAX. */
    int64_t busy_ps[CORE_MAX_MISSES + 2 * CORE_BUSY_STEP];
    struct core_posted nt_posted, flush_posted;
    uint64_t missed[CORE_MISSED]; /* lines that stores missed, by their low bits, plus 1; 0: none */
    ps_t store_ps[CORE_MAX_STORES];
    struct core_stats stats;
};

void core_init(struct core *c, const struct core_conf *conf);

static inline void core_wait(struct core *c, ps_t until_ps)
{
    if (until_ps > c->now_ps) {
        c->stats.stall_ps += until_ps - c->now_ps;
        c->now_ps = until_ps;
    }
}

/* n instructions issue, one every instruction_fs. */
static inline void core_issue_at(struct core *c, uint64_t n, uint64_t instruction_fs)
{
    uint64_t fs = n * instruction_fs + c->carry_fs;
    c->now_ps += fs / 1000;
    c->carry_fs = fs % 1000;
    c->stats.instructions += n;
}

static inline void core_issue(struct core *c, uint64_t n)
{
    core_issue_at(c, n, c->instruction_fs);
}

/* Called before an access issues: loads that are too far back in the reorder buffer have to be there. Those that are
 * there sooner stay until then, as nobody asks: mostly as many go as came, which the host's branch predictor likes. */
static inline void core_retire(struct core *c)
{
    while (c->miss_n && c->miss[c->miss_head].instruction + c->conf.rob <= c->stats.instructions) {
        core_wait(c, c->miss[c->miss_head].done_ps);
        c->miss_head = (c->miss_head + 1) & (CORE_MAX_MISSES - 1);
        c->miss_n--;
    }
}

static inline void core_pop_miss(struct core *c)
{
    core_wait(c, c->miss[c->miss_head].done_ps);
    c->miss_head = (c->miss_head + 1) & (CORE_MAX_MISSES - 1);
    c->miss_n--;
}

/* Called before a request that leaves the L1: waits until a miss buffer is free. */
static inline void core_need_buffer(struct core *c)
{
    core_wait(c, (ps_t)c->busy_ps[0]);
}

typedef int64_t core_vec __attribute__((vector_size(8 * CORE_BUSY_STEP), aligned(8), may_alias));

/* The request holds a miss buffer until done_ps: the one that is free first goes, done_ps takes its place in the order.
 * Steps of a fixed length, for where that place is nobody can foresee. */
static inline void core_hold_buffer(struct core *c, ps_t done_ps)
{
    const core_vec done = (core_vec){} + (int64_t)done_ps;
    core_need_buffer(c);
    for (uint32_t i = 0; i < c->conf.miss_buffers; i += CORE_BUSY_STEP) {
        core_vec *at = (core_vec *)(void *)&c->busy_ps[i];
        core_vec here = *at, next = *(core_vec *)(void *)&c->busy_ps[i + 1], is_less = here > done;
        here = (here & is_less) | (done & ~is_less);
        is_less = here < next;
        *at = (here & is_less) | (next & ~is_less);
    }
}

/* A load that started now is done at done_ps; l1_ps is what a hit would have taken. */
static inline void core_load(struct core *c, ps_t done_ps, ps_t l1_ps)
{
    c->last_load_ps = done_ps;
    if (done_ps <= c->now_ps + l1_ps)
        return;
    core_hold_buffer(c, done_ps);
    if (c->miss_n == CORE_MAX_MISSES)
        core_pop_miss(c);
    c->miss[(c->miss_head + c->miss_n++) & (CORE_MAX_MISSES - 1)] = (struct core_miss){done_ps, c->stats.instructions};
}

/* Called before a non-temporal store leaves: waits until one of its buffers is free. */
static inline void core_need_nt(struct core *c)
{
    core_need_buffer(c);
    if (c->nt_n >= c->conf.nt_buffers) {
        core_wait(c, c->nt_done_ps[c->nt_head]);
        c->nt_head = (c->nt_head + 1) & (CORE_MAX_MISSES - 1);
        c->nt_n--;
    }
}

/* A non-temporal store that began at start_ps has left its write-combining buffer at left_ps, and is done at done_ps.
 */
static inline void core_nt(struct core *c, ps_t start_ps, ps_t left_ps, ps_t done_ps)
{
    c->nt_ps = start_ps;
    c->nt_first_ps = c->has_nt ? c->nt_first_ps : start_ps;
    c->has_nt = true;
    core_hold_buffer(c, done_ps);
    c->nt_done_ps[(c->nt_head + c->nt_n++) & (CORE_MAX_MISSES - 1)] = left_ps;
}

/* An entry of the store buffer that leaves it behind the ones before: hold_ps after they have, and not before done_ps.
 */
static inline void core_store_held(struct core *c, ps_t done_ps, ps_t hold_ps)
{
    if (c->store_n == c->conf.store_buffer) { /* those that left long ago go one by one, whenever a place is needed */
        core_wait(c, c->store_ps[c->store_head]);
        c->store_head = (c->store_head + 1) & (CORE_MAX_STORES - 1);
        c->store_n--;
    }
    c->stores_done_ps = max_u64(c->stores_done_ps + hold_ps, done_ps);
    c->store_ps[(c->store_head + c->store_n++) & (CORE_MAX_STORES - 1)] = c->stores_done_ps;
}

/* When a line finds a place on the way to its controller. A flush takes one when it leaves the store buffer, not when
 * it issues. */
static inline ps_t core_posted_room_ps(const struct core_posted *p)
{
    return p->done_ps[p->next];
}

/* The line is with its controller at done_ps; n places. */
static inline void core_posted(struct core_posted *p, ps_t done_ps, uint64_t n)
{
    p->done_ps[p->next] = done_ps;
    p->next = p->next + 1 >= n ? 0 : p->next + 1;
}

/* How far ahead of a flush the core may run: a full store buffer in front of a controller that is not busy, 28 stores
 * and their CLWBs, 57 ns each. */
#define CORE_FLUSH_AHEAD_PS (2 * PS_PER_US)

/* A flush leaves the store buffer at start_ps. */
static inline void core_near_flush(struct core *c, ps_t start_ps)
{
    core_wait(c, start_ps - min_u64(start_ps, CORE_FLUSH_AHEAD_PS));
}

/* Stores ask for their lines ahead of time, also behind a fence, as long as there are miss buffers: when one that
 * misses now has asked. */
static inline ps_t core_asked_ps(struct core *c, ps_t t)
{
    if (c->stats.instructions - c->fence_instruction >= c->conf.rob || c->ahead_n >= c->conf.flush_posted)
        return t;
    c->ahead_n++;
    return min_u64(t, c->fence_ps);
}

/* A store whose line is writable at done_ps. */
static inline void core_store(struct core *c, ps_t done_ps)
{
    core_store_held(c, done_ps, c->cycle_ps);
}

/* A store of that line that missed the private caches, and asked for it at asked_ps. */
static inline void core_store_miss(struct core *c, uint64_t line, ps_t asked_ps, ps_t done_ps)
{
    bool is_ahead = asked_ps < c->now_ps, is_there = is_ahead && done_ps <= c->stores_done_ps;
    core_hold_buffer(c, done_ps);
    core_store_held(c, done_ps, is_there ? c->conf.store_ahead_ps : c->conf.store_miss_ps);
    if (!is_ahead)
        c->missed[line % CORE_MISSED] = line + 1;
}

/* The line is written back by a flush: how much longer that takes if its store missed. */
static inline ps_t core_flush_missed(struct core *c, uint64_t line)
{
    uint64_t *missed = &c->missed[line % CORE_MISSED];
    if (*missed != line + 1)
        return 0;
    *missed = 0;
    return c->conf.flush_miss_ps;
}

/* Everything outstanding has to be done: an exit, a serialising instruction. */
void core_drain(struct core *c);
/* SFENCE: stores have left the buffer, flushes and non-temporal stores are accepted. MFENCE waits for loads too. */
void core_sfence(struct core *c, bool loads_too);

#endif

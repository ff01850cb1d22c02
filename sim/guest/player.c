/* SPDX-License-Identifier: MIT */
/* Plays records on a vCPU. */
#include "sim/guest/guest.h"

#include <string.h>

/* A look costs about as much as it gains where one access in so many misses the L2. */
#define LOOK_WHERE_ONE_IN 4u

/* Will the batch be like the last one? */
static void plan_looks(struct vcpu *v, struct player *p)
{
    struct mmu *m = &vcpu_cpu(v)->mmu;
    uint64_t l2_misses = v->vm->hv->caches->core[v->cpu].stats.l2_misses;
    p->looks_ahead = (l2_misses - p->l2_misses) * LOOK_WHERE_ONE_IN >= p->n;
    if (p->looks_ahead)
        mmu_foresight_reset(&p->foresight, (m->stats.walks - p->walks) * 4 < p->n * 3ull);
    mmu_set_foreseen(m, p->looks_ahead);
    p->l2_misses = l2_misses;
    p->walks = m->stats.walks;
}

/* Fetches the next batch. */
static int refill(struct vcpu *v, struct player *p, struct diag *d)
{
    p->at = 0;
    do {
        int n = p->next(p->state, p->rec, PLAYER_BATCH, d);
        if (n <= 0) {
            p->n = 0;
            v->is_done = true;
            return n;
        }
        p->n = (uint32_t)n;
        p->n_fetched += p->n;
        if (p->only_vcpu != UINT32_MAX) {
            uint32_t kept = 0;
            for (uint32_t i = 0; i < p->n; i++)
                if (p->rec[i].vcpu == p->only_vcpu)
                    p->rec[kept++] = p->rec[i];
            p->n = kept;
        }
    } while (p->n == 0);
    plan_looks(v, p);
    return 0;
}

/* An access of any size and alignment, a line at a time. */
static int access_bytes(struct vcpu *v, const struct player *p, const struct trace_rec *r, uint64_t gva)
{
    static const uint8_t op_of[] = {[TRACE_READ] = CACHE_READ,
                                    [TRACE_WRITE] = CACHE_WRITE,
                                    [TRACE_EXEC] = CACHE_FETCH,
                                    [TRACE_MODIFY] = CACHE_READ};
    uint64_t last = gva + (r->size ? r->size - 1u : 0);
    enum cache_op op = op_of[r->kind];
    for (uint64_t at = gva; at <= last; at = (at | (LINE_BYTES - 1)) + 1)
        if (hv_access(v, at, op, p->is_dependent && op == CACHE_READ) ||
            (r->kind == TRACE_MODIFY && hv_access(v, at, CACHE_WRITE, false)))
            return -1;
    return 0;
}

/* The page takes a content: its bytes stand for an id from now on. */
static int set_content(struct vcpu *v, uint64_t gva, uint64_t id)
{
    struct mmu_result r;
    if (hv_access(v, gva, CACHE_WRITE, false))
        return -1;
    if (mmu_translate(&vcpu_cpu(v)->mmu, &v->space, gva, CACHE_READ, vcpu_cpu(v)->core.now_ps, &r) == MMU_OK &&
        !(r.value & TLB_PMEM))
        frame_set_symbol(v->vm->hv->mem, r.hpa >> PAGE_SHIFT, id);
    return 0;
}

static int flush_regions(struct vcpu *v, uint64_t gva)
{
    for (uint32_t i = 0; i < v->vm->n_regions; i++) {
        const struct vm_region *r = &v->vm->region[i];
        if ((gva == 0 || (gva >= GUEST_PMEM_GVA && gva - GUEST_PMEM_GVA < r->bytes)) && hv_guest_flush(v, i))
            return -1;
    }
    return 0;
}

static int play(struct vcpu *v, struct player *p, const struct trace_rec *r, struct diag *d)
{
    uint64_t gva = r->addr & ((1ull << LEVEL_SHIFT(v->space.levels)) - 1);
    switch (r->kind) {
    case TRACE_READ:
    case TRACE_WRITE:
    case TRACE_EXEC:
    case TRACE_MODIFY:
        return access_bytes(v, p, r, gva);
    case TRACE_NTSTORE:
        return hv_ntstore(v, gva, NULL);
    case TRACE_CLFLUSH:
        return hv_flush_line(v, gva, FLUSH_CLFLUSH);
    case TRACE_CLFLUSHOPT:
        return hv_flush_line(v, gva, FLUSH_CLFLUSHOPT);
    case TRACE_CLWB:
        return hv_flush_line(v, gva, FLUSH_CLWB);
    case TRACE_SFENCE:
        hv_fence(v, false);
        return 0;
    case TRACE_MFENCE:
        hv_fence(v, true);
        return 0;
    case TRACE_FLUSH_HINT:
        return flush_regions(v, gva);
    case TRACE_SPACE:
        return guest_space(v, r->addr, d);
    case TRACE_PAGE_ZERO:
        return set_content(v, gva, 0);
    case TRACE_PAGE_PATTERN:
        return set_content(v, gva, 2 * (uint64_t)r->arg + 1);
    case TRACE_PAGE_UNIQUE:
        return set_content(v, gva, 2 * (uint64_t)r->arg + 2);
    default:
        p->ignored_records++;
        return 0;
    }
}

static bool counts_instructions(uint8_t kind)
{
    return kind <= TRACE_FLUSH_HINT || kind == TRACE_SPACE;
}

/* ---- looking ahead ---- */

/* Records between a step of a look and the access: each step has that long to reach the host's caches. */
#define AHEAD_TABLE  5u
#define AHEAD_NESTED 3u
#define AHEAD_DATA   1u

static void look(struct vcpu *v, struct player *p, uint32_t at, uint32_t ahead)
{
    const struct mmu *m = &vcpu_cpu(v)->mmu;
    uint32_t i = at + ahead;
    if (i >= p->n)
        return;
    if (ahead != AHEAD_TABLE) {
        if (p->foresight.sight[i % MMU_SIGHTS].state != SIGHT_DONE)
            mmu_foresee_on(m, &v->space, &p->foresight, i);
    } else if (p->rec[i].kind <= TRACE_MODIFY)
        mmu_foresee(m, &v->space, &p->foresight, i, p->rec[i].addr & ((1ull << LEVEL_SHIFT(v->space.levels)) - 1));
    else
        p->foresight.sight[i % MMU_SIGHTS].state = SIGHT_DONE;
}

static int play_until(struct vcpu *v, ps_t until_ps, struct diag *d)
{
    struct player *p = v->guest;
    struct cpu *cpu = vcpu_cpu(v);
    const struct hv *hv = v->vm->hv;
    if (v->space.cr3 == 0 && guest_space(v, 0, d))
        return -1;
    while (cpu->core.now_ps < until_ps && !hv->is_down) {
        if (p->at == p->n) {
            if (refill(v, p, d))
                return -1;
            if (v->is_done)
                return 0;
        }
        if (p->looks_ahead) {
            look(v, p, p->at, AHEAD_TABLE);
            look(v, p, p->at, AHEAD_NESTED);
            look(v, p, p->at, AHEAD_DATA);
        }
        const struct trace_rec *r = &p->rec[p->at++];
        if (counts_instructions(r->kind))
            core_issue(&cpu->core, r->arg);
        if (play(v, p, r, d))
            return -1;
    }
    return 0;
}

int player_run(struct vcpu *v, ps_t until_ps, struct diag *d)
{
    struct mmu *m = &vcpu_cpu(v)->mmu;
    mmu_set_foreseen(m, ((const struct player *)v->guest)->looks_ahead);
    int bad = play_until(v, until_ps, d);
    mmu_set_foreseen(m, false); /* whoever runs next on the CPU may be no player */
    return bad;
}

/* ---- checkpoints ---- */

/* Records that were taken before the checkpoint, from the same trace. */
static void skip(struct vcpu *v, struct player *p, struct ckpt *c)
{
    static const uint64_t batch = PLAYER_BATCH;
    struct diag d = {0};
    struct trace_rec gone[PLAYER_BATCH];
    for (uint64_t left = p->n_fetched; left;) {
        int n = p->next(p->state, gone, (uint32_t)min_u64(left, batch), &d);
        if (n <= 0) {
            ckpt_fail(c, "vm %s: its trace ends %llu records before the place of the checkpoint", v->vm->name,
                      (unsigned long long)left);
            return;
        }
        left -= (uint64_t)n;
    }
}

void player_state(struct vcpu *v, struct ckpt *c)
{
    struct player *p = v->guest;
    CKPT(c, p->n_fetched);
    CKPT(c, p->ignored_records);
    p->n = (uint32_t)ckpt_count(c, p->n, PLAYER_BATCH);
    p->at = (uint32_t)ckpt_count(c, p->at, p->n);
    ckpt_bytes(c, p->rec, p->n * sizeof *p->rec);
    if (p->next == generator_next)
        generator_state(p->state, c);
    else if (ckpt_is_loading(c) && !ckpt_failed(c))
        skip(v, p, c);
}

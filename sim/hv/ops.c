/* SPDX-License-Identifier: MIT */
/* What the hypervisor does for plugins, each call booked on the CPU that runs the hook. Arguments were checked by the
 * plugin host (sim/hv/plugin.h). */
#include "sim/hv/hv.h"

#include <stdlib.h>
#include <string.h>

static ps_t op_now(void *m)
{
    return ((struct hv *)m)->now_ps;
}

static void op_charge(void *m, uint32_t cpu, uint64_t cycles)
{
    hv_charge(m, cpu, cycles);
}

static void op_timer_at(void *m, ps_t at_ps, uint64_t id)
{
    heap_push(&((struct hv *)m)->events, at_ps, EVENT_TIMER, id);
}

static ps_t op_cpu_ps(void *m, uint32_t cpu)
{
    return ((struct hv *)m)->cpu[cpu].core.now_ps;
}

static void op_series(void *m, const char *name, const char *label, const char *x_name, double x, double y)
{
    struct hv *hv = m;
    if (hv->series)
        hv->series(hv->out_ctx, name, label, x_name, x, y);
}

static void op_taint(void *m, const char *word)
{
    struct hv *hv = m;
    if (hv->taint)
        hv->taint(hv->out_ctx, word);
}

/* ---- EPT ---- */

static uint64_t op_vm_bytes(void *m, uint32_t vm)
{
    return ((struct hv *)m)->vm[vm]->top_gpa;
}

static bool is_hint(const struct vm *vm, uint64_t gpa)
{
    for (uint32_t i = 0; i < vm->n_regions; i++)
        if (gpa >> PAGE_SHIFT == vm->region[i].hint_gpa >> PAGE_SHIFT)
            return true;
    return false;
}

static struct quire_leaf describe(const struct hv *hv, const struct vm *vm, const struct ept_leaf *l)
{
    uint64_t mfn = ept_mfn(l->entry);
    const struct mem_region *r = mem_region_at(hv->mem, mfn << PAGE_SHIFT);
    bool pinned = frame_is_pinned(hv->mem, mfn) || is_hint(vm, l->gpa);
    return (struct quire_leaf){
        .gpa = l->gpa,
        .frame = mfn | (uint64_t)owner_generation(frame_at(hv->mem, mfn)->owner) << 40,
        .node = r->node,
        .level = (uint16_t)l->level,
        .bits = (uint16_t)(QUIRE_LEAF_MAPPED | (l->entry & EPT_A ? QUIRE_LEAF_ACCESSED : 0) |
                           (l->entry & EPT_D ? QUIRE_LEAF_DIRTY : 0) | (l->entry & EPT_TRACED ? QUIRE_LEAF_TRACED : 0) |
                           (pinned ? QUIRE_LEAF_PINNED : 0) | (r->kind == MEM_PMEM ? QUIRE_LEAF_PMEM : 0) |
                           (l->entry >> EPT_SOFT_SHIFT & 63) << QUIRE_LEAF_SOFT_SHIFT),
    };
}

static int32_t op_scan(void *m, uint32_t cpu, uint32_t vm_index, uint64_t *cursor, uint32_t flags,
                       struct quire_leaf *out, uint32_t max)
{
    struct hv *hv = m;
    struct vm *vm = hv->vm[vm_index];
    struct ept_leaf l;
    uint64_t drop = (flags & QUIRE_SCAN_CLEAR_A ? EPT_A : 0) | (flags & QUIRE_SCAN_CLEAR_D ? EPT_D : 0);
    uint64_t edits = 0;
    uint32_t n = 0;
    while (n < max && ept_next(&vm->ept, *cursor, vm->top_gpa, &l)) {
        out[n++] = describe(hv, vm, &l);
        if (l.entry & drop) {
            l.entry &= ~drop;
            ept_write(&vm->ept, &l);
            edits++;
        }
        *cursor = l.gpa + (1ull << LEVEL_SHIFT(l.level));
    }
    if (n < max)
        *cursor = UINT64_MAX;
    hv_charge(hv, cpu, n * hv->conf.leaf_read_cycles + edits * hv->conf.leaf_edit_cycles);
    return (int32_t)n;
}

static int32_t op_query(void *m, uint32_t cpu, uint32_t vm_index, uint64_t gpa, struct quire_leaf *out)
{
    struct hv *hv = m;
    struct ept_leaf l;
    hv_charge(hv, cpu, hv->conf.leaf_read_cycles);
    if (!ept_find(&hv->vm[vm_index]->ept, gpa, &l))
        return QUIRE_E_NOENT;
    *out = describe(hv, hv->vm[vm_index], &l);
    return QUIRE_OK;
}

static uint64_t ept_rights(uint32_t access)
{
    /* EPT cannot forbid reads and allow writes (SDM: a misconfiguration), so a read trace takes the write right too. */
    return (access & QUIRE_ACCESS_READ ? EPT_R | EPT_W : 0) | (access & QUIRE_ACCESS_WRITE ? EPT_W : 0) |
           (access & QUIRE_ACCESS_EXEC ? EPT_X : 0);
}

static int32_t op_trace(void *m, uint32_t cpu, uint32_t vm_index, const uint64_t *gpa, uint32_t n, uint32_t access)
{
    struct hv *hv = m;
    struct vm *vm = hv->vm[vm_index];
    uint64_t rights = ept_rights(access), edits = 0;
    int32_t as_asked = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct ept_leaf l;
        if (is_hint(vm, gpa[i]) || !ept_find(&vm->ept, gpa[i], &l))
            continue;
        uint64_t want = access ? ept_arm(l.entry, rights) : ept_disarm(l.entry);
        if (want != l.entry) {
            l.entry = want;
            ept_write(&vm->ept, &l);
            edits++;
        }
        as_asked++;
    }
    hv_charge(hv, cpu, n * hv->conf.leaf_read_cycles + edits * hv->conf.leaf_edit_cycles);
    return as_asked;
}

static int32_t op_flush(void *m, uint32_t cpu, uint32_t vm_index)
{
    struct hv *hv = m;
    hv_shootdown(hv, hv->vm[vm_index], cpu);
    return QUIRE_OK;
}

static int32_t op_split(void *m, uint32_t cpu, uint32_t vm_index, uint64_t gpa)
{
    struct hv *hv = m;
    struct ept_leaf l;
    if (!ept_find(&hv->vm[vm_index]->ept, gpa, &l))
        return QUIRE_E_NOENT;
    if (l.level == 0)
        return QUIRE_E_ALREADY;
    hv_charge(hv, cpu, 512 * hv->conf.leaf_read_cycles + hv->conf.leaf_edit_cycles);
    return ept_split(&hv->vm[vm_index]->ept, gpa) ? QUIRE_E_NOMEM : QUIRE_OK;
}

static int32_t op_merge(void *m, uint32_t cpu, uint32_t vm_index, uint64_t gpa)
{
    struct hv *hv = m;
    hv_charge(hv, cpu, 512 * hv->conf.leaf_read_cycles + hv->conf.leaf_edit_cycles);
    return ept_merge(&hv->vm[vm_index]->ept, gpa) ? QUIRE_E_INVAL : QUIRE_OK;
}

static int32_t op_soft_set(void *m, uint32_t cpu, uint32_t vm_index, uint64_t gpa, uint32_t bits)
{
    struct hv *hv = m;
    struct ept_leaf l;
    hv_charge(hv, cpu, hv->conf.leaf_edit_cycles);
    if (!ept_find(&hv->vm[vm_index]->ept, gpa, &l))
        return QUIRE_E_NOENT;
    l.entry = (l.entry & ~EPT_SOFT) | (uint64_t)bits << EPT_SOFT_SHIFT;
    ept_write(&hv->vm[vm_index]->ept, &l);
    return QUIRE_OK;
}

static int32_t op_pml(void *m, uint32_t cpu, uint32_t vm_index, uint32_t on)
{
    struct hv *hv = m;
    struct vm *vm = hv->vm[vm_index];
    hv_charge(hv, cpu, hv->conf.leaf_edit_cycles);
    if (on == (vm->pml != NULL))
        return QUIRE_E_ALREADY;
    if (on) {
        vm->pml = xcalloc(1, sizeof *vm->pml);
    } else {
        free(vm->pml);
        vm->pml = NULL;
    }
    for (uint32_t i = 0; i < vm->n_vcpus; i++)
        vm->vcpu[i].space.pml = vm->pml;
    return QUIRE_OK;
}

static int32_t op_pml_drain(void *m, uint32_t cpu, uint32_t vm_index, uint64_t *gpa, uint32_t max)
{
    struct hv *hv = m;
    struct vm *vm = hv->vm[vm_index];
    uint32_t n = (uint32_t)min_u64(max, vm->n_pml_log);
    if (n) {
        memcpy(gpa, vm->pml_log, n * sizeof *gpa);
        vm->n_pml_log -= n;
        memmove(vm->pml_log, vm->pml_log + n, vm->n_pml_log * sizeof *gpa);
    }
    while (n < max && vm->pml && vm->pml->n)
        gpa[n++] = vm->pml->gpa[--vm->pml->n];
    hv_charge(hv, cpu, n * hv->conf.leaf_read_cycles);
    return (int32_t)n;
}

/* ---- frames ---- */

static uint64_t op_free_pages(void *m, uint32_t node)
{
    return mem_find_region(((struct hv *)m)->mem, node, MEM_DRAM)->free_pages;
}

static int32_t op_move(void *m, uint32_t cpu, uint32_t vm, const uint64_t *gpa, uint32_t n, uint32_t node,
                       uint64_t rate)
{
    return move_queue(m, cpu, vm, gpa, n, node, rate);
}

static uint32_t op_moving(void *m)
{
    return move_pending(m);
}

static int32_t op_pin(void *m, uint32_t vm_index, uint64_t gpa, uint32_t on)
{
    struct hv *hv = m;
    struct ept_leaf l;
    if (!ept_find(&hv->vm[vm_index]->ept, gpa, &l))
        return QUIRE_E_NOENT;
    if (on)
        frame_pin(hv->mem, ept_mfn(l.entry));
    else if (frame_unpin(hv->mem, ept_mfn(l.entry)))
        return QUIRE_E_ALREADY;
    return QUIRE_OK;
}

/* ---- persistent memory ---- */

static uint64_t op_hint_controllers(void *m)
{
    const struct hv *hv = m;
    uint64_t mask = 0;
    for (uint32_t i = 0; i < hv->numa->n_nodes; i++) {
        const struct node_imc *n = &hv->numa->node[i];
        if (n->conf.hints && n->chan[0].wpq)
            mask |= ((1ull << n->conf.n_imcs) - 1) << (i * n->conf.n_imcs);
    }
    return mask;
}

static uint32_t op_n_regions(void *m, uint32_t vm)
{
    return ((struct hv *)m)->vm[vm]->n_regions;
}

static uint64_t op_backing(void *m, uint32_t vm, uint32_t region)
{
    return ((struct hv *)m)->vm[vm]->region[region].controllers;
}

/* The hint page is an ordinary frame, pinned: read-only to trap stores, writable to let them pass. */
int32_t hv_hint_mode(struct hv *hv, uint32_t cpu, struct vm *vm, uint32_t region, uint32_t mode)
{
    struct vm_region *r = &vm->region[region];
    struct ept_leaf l;
    bool listed = mode == QUIRE_HINT_TRAP || mode == QUIRE_HINT_OPEN;
    if (listed && !ept_find(&vm->ept, r->hint_gpa, &l)) {
        uint64_t mfn = mem_alloc(hv->mem, mem_find_region(hv->mem, vm->node, MEM_DRAM), LEVEL_4K, FRAME_GUEST,
                                 vm->index, r->hint_gpa >> PAGE_SHIFT);
        if (mfn == MFN_NONE || ept_map(&vm->ept, r->hint_gpa, mfn, LEVEL_4K, EPT_R))
            return QUIRE_E_NOMEM;
        ept_find(&vm->ept, r->hint_gpa, &l);
    }
    if (listed) {
        l.entry = (l.entry & ~EPT_RWX) | EPT_R | (mode == QUIRE_HINT_OPEN ? EPT_W : 0);
        ept_write(&vm->ept, &l);
        hv_shootdown(hv, vm, cpu);
    }
    hv_charge(hv, cpu, hv->conf.leaf_edit_cycles);
    r->hint_mode = mode;
    return QUIRE_OK;
}

static int32_t op_hint_mode(void *m, uint32_t vm, uint32_t region, uint32_t mode)
{
    struct vm *v = ((struct hv *)m)->vm[vm];
    return hv_hint_mode(m, v->vcpu[0].cpu, v, region, mode);
}

static int32_t op_hint_write(void *m, uint32_t cpu, uint64_t mask, ps_t start_ps, ps_t *done_ps)
{
    struct hv *hv = m;
    uint64_t imcs = hv->numa->node[0].conf.n_imcs, bits = mask;
    ps_t start = max_u64(start_ps, hv->now_ps);
    /* The writes are posted one after the other and drain in parallel, between two fences. */
    hv_charge(hv, cpu, 2 * hv->cpu[cpu].core.conf.sfence_cycles + (uint64_t)__builtin_popcountll(mask));
    *done_ps = start;
    for (; bits; bits &= bits - 1) {
        uint32_t c = (uint32_t)__builtin_ctzll(bits), node = (uint32_t)(c / imcs);
        ps_t there = start + hv->numa->hops[hv->cpu[cpu].node][node] * hv->numa->conf.hop_ps;
        *done_ps = max_u64(*done_ps, imc_hint_write(&hv->numa->node[node], (uint32_t)(c % imcs), there));
    }
    return QUIRE_OK;
}

static ps_t op_drained(void *m, uint32_t controller)
{
    struct hv *hv = m;
    uint64_t imcs = hv->numa->node[0].conf.n_imcs;
    return imc_drained_ps(&hv->numa->node[controller / imcs], (uint32_t)(controller % imcs));
}

/* A policy was ejected: what it had armed must not fire for ever. Hints stay as they are: the default answers them. */
static void op_release_roles(void *m, uint64_t roles)
{
    struct hv *hv = m;
    for (uint32_t i = 0; i < hv->n_vms; i++) {
        struct vm *vm = hv->vm[i];
        struct ept_leaf l;
        for (uint64_t at = 0; roles & QUIRE_ROLE_TRACE && ept_next(&vm->ept, at, vm->top_gpa, &l);
             at = l.gpa + (1ull << LEVEL_SHIFT(l.level)))
            if (l.entry & EPT_TRACED) {
                l.entry = ept_disarm(l.entry);
                ept_write(&vm->ept, &l);
            }
    }
}

/* ---- performance counters ---- */

static uint64_t op_retired(void *m, uint32_t cpu, uint32_t vm_index, uint32_t access)
{
    struct hv *hv = m;
    const struct vm *vm = hv->vm[vm_index];
    uint64_t reads = (uint64_t)__builtin_popcount(access) * vm->n_vcpus;
    hv_charge(hv, cpu, reads * hv->conf.counter_cycles);
    return (access & QUIRE_ACCESS_READ ? vm->stats.reads : 0) + (access & QUIRE_ACCESS_WRITE ? vm->stats.writes : 0) +
           (access & QUIRE_ACCESS_EXEC ? vm->stats.fetches : 0);
}

/* ---- the oracle ---- */

static uint64_t op_accesses(void *m, uint32_t vm_index, uint64_t gpa)
{
    const struct vm *vm = ((struct hv *)m)->vm[vm_index];
    uint64_t gpn = gpa >> PAGE_SHIFT;
    return vm->page_accesses && gpn < vm->n_page_accesses ? vm->page_accesses[gpn] : 0;
}

struct heat {
    uint64_t count, gpn;
};

static int hotter(const void *a, const void *b)
{
    const struct heat *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->gpn < y->gpn ? -1 : 1;
}

static int32_t op_hottest(void *m, uint32_t vm_index, uint64_t *gpa, uint32_t max)
{
    const struct vm *vm = ((struct hv *)m)->vm[vm_index];
    struct heat *heat = xcalloc(vm->n_page_accesses + 1, sizeof *heat);
    uint64_t n = 0;
    for (uint64_t i = 0; vm->page_accesses && i < vm->n_page_accesses; i++)
        if (vm->page_accesses[i])
            heat[n++] = (struct heat){vm->page_accesses[i], i};
    qsort(heat, n, sizeof *heat, hotter);
    n = min_u64(n, max);
    for (uint64_t i = 0; i < n; i++)
        gpa[i] = heat[i].gpn << PAGE_SHIFT;
    free(heat);
    return (int32_t)n;
}

const struct plugin_ops hv_plugin_ops = {
    .now_ps = op_now,
    .charge = op_charge,
    .timer_at = op_timer_at,
    .cpu_ps = op_cpu_ps,
    .series = op_series,
    .taint = op_taint,
    .release_roles = op_release_roles,
    .vm_bytes = op_vm_bytes,
    .scan = op_scan,
    .query = op_query,
    .trace = op_trace,
    .flush = op_flush,
    .split = op_split,
    .merge = op_merge,
    .soft_set = op_soft_set,
    .pml = op_pml,
    .pml_drain = op_pml_drain,
    .free_pages = op_free_pages,
    .move = op_move,
    .moving = op_moving,
    .pin = op_pin,
    .hint_controllers = op_hint_controllers,
    .n_regions = op_n_regions,
    .backing = op_backing,
    .hint_mode = op_hint_mode,
    .hint_write = op_hint_write,
    .drained_ps = op_drained,
    .retired = op_retired,
    .accesses = op_accesses,
    .hottest = op_hottest,
};

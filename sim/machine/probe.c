/* SPDX-License-Identifier: MIT */
#include "sim/machine/probe.h"

#include "sim/machine/conserve.h"

#include <stdlib.h>

/* ---- page tables ---- */

/* Where tables and the region lie: host-physical when native, guest-physical when nested. */
struct space {
    struct probe *p;
    uint64_t next_gpa; /* nested: next free guest-physical byte */
    uint32_t level;    /* of the region's pages */
    uint64_t *block;   /* the region's pages, by index */
    uint64_t n_blocks;
};

/* One page for the region or a table; ~0 without memory. */
static uint64_t take(struct space *s, uint32_t level, bool is_table)
{
    struct probe *p = s->p;
    uint64_t size = 1ull << LEVEL_SHIFT(level);
    if (p->setup.is_nested) {
        uint64_t at = (s->next_gpa + size - 1) & ~(size - 1);
        s->next_gpa = at + size;
        return at + size <= p->vm->bytes ? at : UINT64_MAX;
    }
    uint32_t node = is_table ? p->setup.cpu_node : p->setup.mem_node;
    struct mem_region *r = mem_find_region(p->m->mem, node, is_table ? MEM_DRAM : p->setup.kind);
    uint64_t mfn = r ? mem_alloc(p->m->mem, r, level, FRAME_HYPERVISOR, 0, 0) : MFN_NONE;
    return mfn == MFN_NONE ? UINT64_MAX : mfn << PAGE_SHIFT;
}

static uint64_t load(const struct space *s, uint64_t at)
{
    return s->p->setup.is_nested ? hv_phys_load64(s->p->vm, at) : frame_load64(s->p->m->mem, at);
}

static int store(const struct space *s, uint64_t at, uint64_t value)
{
    if (s->p->setup.is_nested)
        return hv_phys_store64(&s->p->vm->vcpu[0], at, value);
    frame_store64(s->p->m->mem, at, value);
    return 0;
}

/* Tables have their A and D bits set, as those of memory in use. */
static int map_block(struct space *s, uint64_t gva, uint64_t pa, struct diag *d)
{
    uint64_t table = s->p->cr3;
    for (uint32_t l = s->p->setup.levels - 1; l > s->level; l--) {
        uint64_t at = table + (gva >> LEVEL_SHIFT(l) & 511) * 8, entry = load(s, at);
        if (!(entry & PTE_P)) {
            if ((entry = take(s, LEVEL_4K, true)) == UINT64_MAX)
                return fail(d, "validate: no memory for page tables");
            if (store(s, at, entry |= PTE_P | PTE_W | PTE_U | PTE_A))
                return -1;
        }
        table = entry & PTE_FRAME;
    }
    return store(s, table + (gva >> LEVEL_SHIFT(s->level) & 511) * 8,
                 pa | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D | (s->level ? PTE_PS : 0));
}

static int build_space(struct probe *p, struct diag *d)
{
    uint64_t page = 1ull << LEVEL_SHIFT(p->setup.page_level);
    uint64_t pages = (p->setup.bytes + page - 1) / page, blocks = (p->setup.phys_bytes + page - 1) / page;
    struct space s = {.p = p, .next_gpa = 2 * MIB, .level = p->setup.page_level, .n_blocks = blocks};
    int bad = 0;
    s.block = xcalloc(blocks, sizeof *s.block);
    p->cr3 = take(&s, LEVEL_4K, true);
    if (p->setup.is_nested && hv_back(&p->vm->vcpu[0], p->cr3, EPT_W) == UINT64_MAX)
        bad = -1;
    for (uint64_t i = 0; i < blocks && !bad; i++)
        if ((s.block[i] = take(&s, s.level, false)) == UINT64_MAX)
            bad = fail(d, "validate: the machine has too little memory for %llu bytes",
                       (unsigned long long)p->setup.phys_bytes);
    for (uint64_t i = 0; i < pages && !bad; i++) {
        uint64_t pa = s.block[i % blocks];
        bad = map_block(&s, PROBE_GVA + i * page, pa, d);
        if (!bad && p->setup.is_nested && hv_back(&p->vm->vcpu[0], pa, EPT_R) == UINT64_MAX)
            bad = -1;
    }
    p->block = s.block;
    p->n_blocks = blocks;
    for (uint32_t i = 0; i < p->vm->n_vcpus; i++) {
        struct mmu_space *v = &p->vm->vcpu[i].space;
        v->levels = p->setup.levels;
        v->cr3 = p->cr3;
        if (!p->setup.is_nested)
            v->ept = NULL;
    }
    return bad;
}

/* ---- threads ---- */

static int run_thread(struct vcpu *v, ps_t until_ps, struct diag *d)
{
    struct probe_thread *t = v->guest;
    struct core *core = &vcpu_cpu(v)->core;
    (void)d;
    while (core->now_ps < until_ps) {
        if (t->i == t->end) {
            core_drain(core);
            v->is_done = true;
            return 0;
        }
        if (t->step(t, v))
            return -1;
        t->i++;
    }
    return 0;
}

static int no_page_fault(struct vcpu *v, uint64_t gva, uint32_t access, struct diag *d)
{
    (void)v;
    return fail(d, "validate: page fault (access %u) at %llx, which no benchmark maps", access,
                (unsigned long long)gva);
}

static const struct guest_ops probe_ops = {.page_fault = no_page_fault, .run = run_thread};

struct probe *probe_new(const struct machine_conf *conf, const struct probe_setup *s, struct diag *d)
{
    struct probe *p = xcalloc(1, sizeof *p);
    p->setup = *s;
    p->setup.n_threads = s->n_threads ? s->n_threads : 1;
    p->setup.levels = s->levels ? s->levels : 4;
    p->setup.phys_bytes = s->phys_bytes ? s->phys_bytes : s->bytes;
    p->m = machine_new(conf, d);
    if (!p->m) {
        free(p);
        return NULL;
    }
    struct guest *g = xcalloc(1, sizeof *g); /* without players: machine_free frees it as any other */
    uint64_t tables = (s->bytes >> (LEVEL_SHIFT(s->page_level) + 9)) * PAGE_BYTES * 2;
    struct vm_setup setup = {
        .name = "validate",
        .bytes = (p->setup.phys_bytes + tables + 8 * MIB + (2ull << LEVEL_SHIFT(s->page_level))) & ~(2 * MIB - 1),
        .n_vcpus = p->setup.n_threads,
        .node = s->cpu_node,
        .backing = s->is_nested ? s->ept_level : LEVEL_4K,
        .ops = &probe_ops,
        .guest = g,
    };
    if (s->is_nested && s->ept_level == LEVEL_1G)
        setup.bytes = (setup.bytes + GIB - 1) / GIB * GIB;
    p->vm = hv_vm_new(&p->m->hv, &setup, d);
    p->thread = xcalloc(p->setup.n_threads, sizeof *p->thread);
    if (!p->vm) {
        if (p->m->hv.n_vms == 0)
            free(g);
        probe_free(p);
        return NULL;
    }
    for (uint32_t i = 0; i < p->setup.n_threads; i++) {
        struct probe_thread *t = &p->thread[i];
        *t = (struct probe_thread){.p = p, .index = i, .bytes = s->bytes, .unit = LINE_BYTES};
        rng_init(&t->rng, i + 1, "validate");
        p->vm->vcpu[i].guest = t;
    }
    if (build_space(p, d)) {
        probe_free(p);
        return NULL;
    }
    return p;
}

struct probe *probe_streams(const struct machine_conf *conf, struct probe_setup setup, uint64_t thread_bytes,
                            ps_t quantum_ps, struct diag *d)
{
    struct machine_conf mc = *conf;
    uint32_t n = setup.n_threads;
    mc.hv.quantum_ps = quantum_ps;
    setup.bytes = (n * thread_bytes + GIB - 1) / GIB * GIB;
    setup.page_level = LEVEL_1G;
    struct probe *p = probe_new(&mc, &setup, d);
    for (uint32_t i = 0; p && i < n; i++) {
        p->thread[i].base = i * thread_bytes;
        p->thread[i].bytes = thread_bytes;
        p->thread[i].i = n > 1 ? rng_below(&p->thread[i].rng, thread_bytes) : 0; /* streams are not in step */
    }
    return p;
}

void probe_free(struct probe *p)
{
    struct diag fault = {0};
    if (!p)
        return;
    CHECK_MSG(machine_conserves(p->m, &fault) == 0, "%s", fault.text);
    machine_free(p->m);
    free(p->block);
    free(p->thread);
    free(p);
}

void probe_read_before(struct probe *p, uint64_t offset, uint64_t bytes)
{
    uint32_t shift = LEVEL_SHIFT(p->setup.page_level);
    for (uint64_t at = offset; at < offset + bytes; at += LINE_BYTES) {
        uint64_t hpa = p->block[(at >> shift) % p->n_blocks] + (at & ((1ull << shift) - 1));
        numa_kept(&p->m->numa, p->setup.cpu_node, hpa >> LINE_SHIFT);
    }
}

/* All CPUs' clocks to the latest of them, nothing outstanding. */
static ps_t align(struct probe *p)
{
    ps_t now = 0;
    for (uint32_t i = 0; i < p->setup.n_threads; i++) {
        core_drain(probe_core(p, i));
        now = max_u64(now, probe_core(p, i)->now_ps);
    }
    for (uint32_t i = 0; i < p->setup.n_threads; i++) {
        probe_core(p, i)->now_ps = now;
        p->vm->vcpu[i].is_done = false;
    }
    return now;
}

ps_t probe_run(struct probe *p, probe_step *step, uint64_t n, struct diag *d)
{
    ps_t start = align(p);
    for (uint32_t i = 0; i < p->setup.n_threads; i++) {
        p->thread[i].step = step;
        p->thread[i].end = p->thread[i].i + n;
    }
    if (hv_run(&p->m->hv, 0, d))
        return 0;
    return align(p) - start;
}

static uint64_t moved(const struct probe *p)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->setup.n_threads; i++)
        sum += p->thread[i].done_bytes;
    return sum;
}

double probe_bandwidth(struct probe *p, probe_step *step, ps_t warm_ps, ps_t window_ps, struct diag *d)
{
    ps_t start = align(p);
    for (uint32_t i = 0; i < p->setup.n_threads; i++) {
        p->thread[i].step = step;
        p->thread[i].end = UINT64_MAX;
    }
    if (hv_run(&p->m->hv, start + warm_ps, d))
        return 0;
    uint64_t before = moved(p);
    if (hv_run(&p->m->hv, start + warm_ps + window_ps, d))
        return 0;
    return (double)(moved(p) - before) / (double)window_ps * 1000;
}

void probe_forget_translations(struct probe *p)
{
    mmu_flush_vm(&vcpu_cpu(&p->vm->vcpu[0])->mmu, p->vm->index);
}

/* ---- steps ---- */

uint64_t probe_shuffled(const struct probe_thread *t, uint64_t i)
{
    uint64_t n = t->bytes / t->unit, mask = n - 1;
    uint32_t half = n > 2 ? (uint32_t)(64 - __builtin_clzll(mask)) / 2 : 1;
    i &= mask; /* odd factors and right shifts are bijections of the numbers below a power of two */
    for (int round = 0; round < 3; round++) {
        i = (i * 0x9e3779b97f4a7c15ull + 0x7f4a7c15) & mask;
        i ^= i >> half;
    }
    return t->base + (i & mask) * t->unit;
}

static int chase(struct vcpu *v, uint64_t offset)
{
    core_issue(&vcpu_cpu(v)->core, 1);
    return hv_access(v, PROBE_GVA + offset, CACHE_READ, true);
}

int step_chase_linear(struct probe_thread *t, struct vcpu *v)
{
    return chase(v, t->base + t->i % (t->bytes / t->unit) * t->unit);
}

int step_chase_shuffled(struct probe_thread *t, struct vcpu *v)
{
    return chase(v, probe_shuffled(t, t->i));
}

int probe_line(struct vcpu *v, uint64_t gva, enum probe_mode mode)
{
    core_issue(&vcpu_cpu(v)->core, 1);
    switch (mode) {
    case PROBE_LOAD:
        return hv_access(v, gva, CACHE_READ, false);
    case PROBE_NTSTORE:
        return hv_ntstore(v, gva, NULL);
    case PROBE_STORE:
        return hv_access(v, gva, CACHE_WRITE, false);
    default:
        return hv_access(v, gva, CACHE_WRITE, false) || hv_flush_line(v, gva, FLUSH_CLWB) ? -1 : 0;
    }
}

/* Line i of the thread: unit number, line in the unit. */
static uint64_t line_in_unit(const struct probe_thread *t)
{
    return t->i % (t->unit / LINE_BYTES) * LINE_BYTES;
}

static uint64_t stream_at(const struct probe_thread *t, uint64_t unit)
{
    return t->base + unit % (t->bytes / t->unit) * t->unit;
}

int step_stream(struct probe_thread *t, struct vcpu *v)
{
    t->done_bytes += LINE_BYTES;
    return probe_line(v, PROBE_GVA + stream_at(t, t->i / (t->unit / LINE_BYTES)) + line_in_unit(t), t->mode);
}

int step_random(struct probe_thread *t, struct vcpu *v)
{
    uint64_t line = line_in_unit(t);
    if (line == 0)
        t->at = t->base + rng_below(&t->rng, t->bytes / t->unit) * t->unit;
    t->done_bytes += LINE_BYTES;
    return probe_line(v, PROBE_GVA + t->at + line, t->mode);
}

int step_fenced(struct probe_thread *t, struct vcpu *v)
{
    if (step_stream(t, v))
        return -1;
    if (line_in_unit(t) + LINE_BYTES == t->unit)
        hv_fence(v, false);
    return 0;
}

int step_persist(struct probe_thread *t, struct vcpu *v)
{
    struct core *core = &vcpu_cpu(v)->core;
    ps_t start = core->now_ps;
    for (uint64_t at = 0; at < t->unit; at += LINE_BYTES)
        if (probe_line(v, PROBE_GVA + stream_at(t, t->i) + at, t->mode))
            return -1;
    hv_fence(v, false);
    t->took_ps += core->now_ps - start;
    if (t->log)
        t->log[t->n_log++] = core->now_ps - start;
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* What happens when a vCPU touches memory: the hot path. */
#include "sim/hv/hv.h"

/* A crash comes after all events so far, also those of a CPU whose clock is ahead: its time is the latest of them. */
void hv_pmem_event(struct hv *hv, ps_t t)
{
    hv->down_ps = max_u64(hv->down_ps, t);
    if (hv->n_pmem_events++ == hv->crash_at)
        hv->is_down = true;
}

/* A store to persistent memory has retired: its line has a new version, and bytes if it brought any. */
static void pmem_stored(struct vcpu *v, uint64_t hpa, const void *data, uint32_t len)
{
    struct hv *hv = v->vm->hv;
    frame_pmem(hv->mem, hpa >> PAGE_SHIFT)->cur[hpa >> LINE_SHIFT & 63]++;
    if (data)
        frame_write(hv->mem, hpa, data, len);
    hv_pmem_event(hv, vcpu_cpu(v)->core.now_ps);
}

static void golden(struct vcpu *v, uint64_t gpn)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    if (vm->page_accesses && gpn < vm->n_page_accesses)
        vm->page_accesses[gpn]++;
    if (!hv->tap)
        return;
    if (hv->n_tap == N_ELEMS(hv->tap_buf) || (hv->n_tap && hv->tap_vm != vm->index)) {
        hv->tap(hv->tap_ctx, hv->tap_vm, hv->tap_buf, hv->n_tap);
        hv->n_tap = 0;
    }
    hv->tap_vm = vm->index;
    hv->tap_buf[hv->n_tap++] = gpn;
}

/* load, data: bytes that the access carries, or NULL; at: where the host-physical address goes, or NULL. */
static inline __attribute__((always_inline)) int access_line(struct vcpu *v, uint64_t gva, enum cache_op op,
                                                             bool dependent, void *load, const void *data, uint32_t len,
                                                             uint64_t *at)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    struct cpu *cpu = &hv->cpu[v->cpu];
    struct core *core = &cpu->core;
    struct mmu_result r;
    core_retire(core);
    if (dependent)
        core_wait(core, core->last_load_ps);
    enum mmu_status status = mmu_translate(&cpu->mmu, &v->space, gva, op, core->now_ps, &r);
    if (unlikely(status != MMU_OK)) {
        int stop = hv_resolve(v, gva, op, status, &r);
        if (stop)
            return stop < 0 ? -1 : 0;
    }
    ps_t done, asked = r.done_ps;
    uint64_t line = r.hpa >> LINE_SHIFT;
    if (!cache_l1_hit(hv->caches, v->cpu, line, op, asked, &done)) {
        core_need_buffer(core);
        asked = max_u64(asked, core->now_ps);
        if (op == CACHE_WRITE)
            asked = core_asked_ps(core, asked);
        done = cache_l1_miss(hv->caches, v->cpu, line, op, asked);
    }
    core->stats.accesses++;
    vm->stats.accesses++;
    if (likely(mem_region_at(hv->mem, r.hpa)->node == cpu->node))
        vm->stats.local_accesses++;
    else
        vm->stats.remote_accesses++;
    if (op == CACHE_WRITE) {
        vm->stats.writes++;
        if (done > asked + hv->caches->l2_ps)
            core_store_miss(core, line, asked, done);
        else
            core_store(core, done);
        if (unlikely(r.value & TLB_PMEM))
            pmem_stored(v, r.hpa, data, len);
        else if (data)
            frame_write(hv->mem, r.hpa, data, len);
    } else {
        vm->stats.reads += op == CACHE_READ;
        vm->stats.fetches += op == CACHE_FETCH;
        core_load(core, done, hv->caches->l1_ps);
        if (load)
            frame_read(hv->mem, r.hpa, load, len);
    }
    if (at)
        *at = r.hpa;
    if (unlikely(hv->golden_counts))
        golden(v, owner_gfn(frame_at(hv->mem, r.hpa >> PAGE_SHIFT)->owner));
    return 0;
}

/* The host foresees at most one branch on what kind of access it is: each kind has its own code behind it. */
int hv_access(struct vcpu *v, uint64_t gva, enum cache_op op, bool dependent)
{
    return op == CACHE_READ    ? access_line(v, gva, CACHE_READ, dependent, NULL, NULL, 0, NULL)
           : op == CACHE_WRITE ? access_line(v, gva, CACHE_WRITE, false, NULL, NULL, 0, NULL)
                               : access_line(v, gva, CACHE_FETCH, false, NULL, NULL, 0, NULL);
}

int hv_touch(struct vcpu *v, uint64_t gva, enum cache_op op, uint64_t *hpa)
{
    return access_line(v, gva, op, false, NULL, NULL, 0, hpa);
}

int hv_warm(struct vcpu *v, uint64_t gva, enum cache_op op, uint64_t *hpa)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    struct cpu *cpu = &hv->cpu[v->cpu];
    struct mmu_result r;
    enum mmu_status status = mmu_translate(&cpu->mmu, &v->space, gva, op, cpu->core.now_ps, &r);
    if (unlikely(status != MMU_OK)) {
        int stop = hv_resolve(v, gva, op, status, &r);
        if (stop)
            return stop < 0 ? -1 : 0;
    }
    frame_foresee64(hv->mem, r.hpa);
    ps_t done = cache_access(hv->caches, v->cpu, r.hpa >> LINE_SHIFT, op, r.done_ps);
    if (unlikely(done > cpu->core.now_ps + PS_PER_US))
        core_wait(&cpu->core, done - PS_PER_US);
    bool is_local = mem_region_at(hv->mem, r.hpa)->node == cpu->node;
    hv_count(v, op, is_local, 1);
    *hpa = r.hpa;
    if (unlikely(hv->golden_counts))
        golden(v, owner_gfn(frame_at(hv->mem, r.hpa >> PAGE_SHIFT)->owner));
    return 0;
}

void hv_count(struct vcpu *v, enum cache_op op, bool is_local, uint64_t n)
{
    struct vm_stats *s = &v->vm->stats;
    vcpu_cpu(v)->core.stats.accesses += n;
    s->accesses += n;
    *(is_local ? &s->local_accesses : &s->remote_accesses) += n;
    *(op == CACHE_WRITE ? &s->writes : op == CACHE_FETCH ? &s->fetches : &s->reads) += n;
}

int hv_load(struct vcpu *v, uint64_t gva, void *buf, uint32_t len)
{
    return access_line(v, gva, CACHE_READ, false, buf, NULL, len, NULL);
}

int hv_store(struct vcpu *v, uint64_t gva, const void *data, uint32_t len)
{
    return access_line(v, gva, CACHE_WRITE, false, NULL, data, len, NULL);
}

int hv_store_at(struct vcpu *v, uint64_t gva, const void *data, uint32_t len, uint64_t *hpa)
{
    return access_line(v, gva, CACHE_WRITE, false, NULL, data, len, hpa);
}

/* ---- persistence ---- */

/* Host address of gva for an operation that needs the right to write only where it stores. 1: nothing to do. */
static int translate(struct vcpu *v, uint64_t gva, enum cache_op op, struct mmu_result *r)
{
    struct cpu *cpu = vcpu_cpu(v);
    core_retire(&cpu->core);
    enum mmu_status status = mmu_translate(&cpu->mmu, &v->space, gva, op, cpu->core.now_ps, r);
    return status == MMU_OK ? 0 : hv_resolve(v, gva, op, status, r);
}

/* How long a flush holds the head of the store buffer. */
static ps_t flush_hold(const struct core *core, enum flush_op op, bool was_dirty, bool is_pmem)
{
    if (op == FLUSH_CLFLUSH)
        return core->conf.clflush_ps;
    if (op == FLUSH_CLFLUSHOPT)
        return core->conf.clflushopt_ps;
    return !was_dirty ? 0 : is_pmem ? core->conf.clwb_pmem_ps : core->conf.clwb_ps;
}

int hv_flush_line(struct vcpu *v, uint64_t gva, enum flush_op op)
{
    struct hv *hv = v->vm->hv;
    struct core *core = &vcpu_cpu(v)->core;
    const uint64_t *write_backs = &hv->caches->core[v->cpu].stats.flush_writebacks, before = *write_backs;
    struct mmu_result r;
    int stop = translate(v, gva, CACHE_READ, &r);
    if (stop)
        return stop < 0 ? -1 : 0;
    core->now_ps += core->conf.flush_cycles * core->cycle_ps;
    /* A flush is ordered behind older stores to its line (SDM volume 1, 11.4.4). */
    ps_t start = max_u64(max_u64(r.done_ps, core->stores_done_ps), core_posted_room_ps(&core->flush_posted));
    core_near_flush(core, start);
    ps_t *asked_ps = &hv->numa->node[mem_region_at(hv->mem, r.hpa)->node].asked_ps;
    *asked_ps = core->now_ps;
    ps_t done = cache_flush(hv->caches, v->cpu, r.hpa >> LINE_SHIFT, op, start);
    *asked_ps = 0;
    core->flushes_done_ps = max_u64(core->flushes_done_ps, done);
    if (*write_backs != before)
        core_posted(&core->flush_posted, done, core->conf.flush_posted);
    ps_t hold = flush_hold(core, op, *write_backs != before, r.value & TLB_PMEM);
    if (*write_backs != before)
        hold += core_flush_missed(core, r.hpa >> LINE_SHIFT);
    if (hold)
        core_store_held(core, start + hold, hold);
    if (op == FLUSH_CLFLUSH) /* ordered with every other store and CLFLUSH */
        core_wait(core, max_u64(done, core->stores_done_ps));
    if (r.value & TLB_PMEM) {
        durable_flush(v, r.hpa >> LINE_SHIFT);
        hv_pmem_event(hv, core->now_ps);
    }
    return 0;
}

int hv_nt_bytes(struct vcpu *v, uint64_t gva, const void *data, uint32_t len, uint64_t *hpa)
{
    struct mmu_result r;
    int stop = translate(v, gva, CACHE_WRITE, &r);
    if (stop)
        return stop < 0 ? -1 : 0;
    frame_write(v->vm->hv->mem, r.hpa, data, len);
    *hpa = r.hpa;
    return 0;
}

int hv_ntstore(struct vcpu *v, uint64_t gva, const void *data)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    struct cpu *cpu = vcpu_cpu(v);
    struct mmu_result r;
    int stop = translate(v, gva, CACHE_WRITE, &r);
    if (stop)
        return stop < 0 ? -1 : 0;
    uint64_t line = r.hpa >> LINE_SHIFT;
    bool is_local = mem_region_at(hv->mem, r.hpa)->node == cpu->node, is_pmem = r.value & TLB_PMEM;
    cpu->core.stats.accesses++;
    vm->stats.accesses++;
    vm->stats.writes++;
    vm->stats.local_accesses += is_local;
    vm->stats.remote_accesses += !is_local;
    if (is_pmem)
        frame_pmem(hv->mem, r.hpa >> PAGE_SHIFT)->cur[line & 63]++;
    if (data)
        frame_write(hv->mem, r.hpa & ~(uint64_t)(LINE_BYTES - 1), data, LINE_BYTES);
    core_need_nt(&cpu->core);
    core_wait(&cpu->core, core_posted_room_ps(&cpu->core.nt_posted));
    r.done_ps = max_u64(max_u64(r.done_ps, cpu->core.now_ps), cpu->core.nt_after_ps);
    if (cache_holds(hv->caches, v->cpu, line))
        r.done_ps = max_u64(r.done_ps, cpu->core.nt_ps + cpu->core.conf.nt_cached_ps);
    ps_t done = cache_ntstore(hv->caches, v->cpu, line, r.done_ps);
    core_store(&cpu->core, r.done_ps);
    /* A line that waits for a write-pending queue does so outside of the core's write-combining buffers. */
    ps_t left = done - numa_answer_ps(hv->numa, cpu->node, line);
    if (is_pmem && is_local)
        left = min_u64(left, r.done_ps + hv->caches->llc_ps + hv->caches->conf.ntstore_back_ps);
    core_nt(&cpu->core, r.done_ps, left, done);
    core_posted(&cpu->core.nt_posted, done, cpu->core.conf.nt_posted);
    cpu->core.flushes_done_ps = max_u64(cpu->core.flushes_done_ps, done);
    if (unlikely(hv->golden_counts))
        golden(v, owner_gfn(frame_at(hv->mem, r.hpa >> PAGE_SHIFT)->owner));
    if (is_pmem) {
        durable_flush(v, line);
        hv_pmem_event(hv, cpu->core.now_ps);
    }
    return 0;
}

void hv_fence(struct vcpu *v, bool loads_too)
{
    struct hv *hv = v->vm->hv;
    struct core *core = &vcpu_cpu(v)->core;
    core_sfence(core, loads_too);
    if (v->vm->n_regions) {
        durable_fence(v);
        hv_pmem_event(hv, core->now_ps);
    }
}

static int hint_hypercall(struct vcpu *v, uint32_t region)
{
    struct hv *hv = v->vm->hv;
    struct core *core = &vcpu_cpu(v)->core;
    ps_t done = 0;
    hv_exit(v, HV_EXIT_HYPERCALL);
    if (hv->plugins &&
        plugin_host_flush(hv->plugins, v->vm->index,
                          (struct quire_flush){.vcpu = v->index, .cpu = v->cpu, .region = region}, &done))
        core_wait(core, done);
    else
        core_wait(core, hv_drain_region(v, region));
    return 0;
}

int hv_guest_flush(struct vcpu *v, uint32_t region)
{
    struct vm *vm = v->vm;
    struct hv *hv = vm->hv;
    struct core *core = &vcpu_cpu(v)->core;
    const struct vm_region *r = &vm->region[region];
    uint32_t mode = r->hint_mode;
    ps_t start = core->now_ps;
    uint64_t one = 1;
    vm->stats.flushes++;
    hv_fence(v, false);
    if (hv->is_down)
        return 0;
    if (mode == QUIRE_HINT_HYPERCALL) {
        hint_hypercall(v, region);
    } else if (mode == QUIRE_HINT_TRAP || mode == QUIRE_HINT_OPEN) {
        vm->stats.hint_stores++;
        if (hv_store(v, GUEST_HINT_GVA + region * PAGE_BYTES, &one, sizeof one))
            return -1;
    }
    core_sfence(core, false);
    hist_add(&vm->flush_ps, core->now_ps - start);
    if (mode != QUIRE_HINT_NONE && hv->numa->node[r->host_node].conf.hints)
        durable_hint(vm, region, core->now_ps);
    hv_pmem_event(hv, core->now_ps);
    return 0;
}

/* ---- the guest kernel's own accesses ---- */

uint64_t hv_phys_load64(const struct vm *vm, uint64_t gpa)
{
    struct ept_leaf leaf;
    if (vm->is_native)
        return frame_load64(vm->hv->mem, gpa);
    if (!ept_find(&vm->ept, gpa, &leaf))
        return 0;
    return frame_load64(vm->hv->mem, (leaf.entry & EPT_FRAME) + (gpa & ((1ull << LEVEL_SHIFT(leaf.level)) - 1)));
}

int hv_phys_store64(struct vcpu *v, uint64_t gpa, uint64_t value)
{
    struct hv *hv = v->vm->hv;
    struct core *core = &vcpu_cpu(v)->core;
    uint64_t hpa = hv_back(v, gpa, EPT_W);
    if (hpa == UINT64_MAX)
        return -1;
    core_store(core, cache_access(hv->caches, v->cpu, hpa >> LINE_SHIFT, CACHE_WRITE, core->now_ps));
    frame_store64(hv->mem, hpa, value);
    return 0;
}

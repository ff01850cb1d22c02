/* SPDX-License-Identifier: MIT */
/* The processor's way to memory: hv_load(), hv_store() and kin for what it cannot reach directly. In the functional
 * model a page that was reached once is used directly until its translation is dropped, so the path sees (and prices)
 * the first access to a page after each of its software TLB's misses, and stores to clean pages. */
#include "sim/cpu/x86_warm.h"
#include "sim/cpu/x86_window.h"
#include "sim/guest/bare.h"
#include "sim/guest/exec_int.h"

#include <string.h>

/* ---- the trace of what runs ---- */

/* Instructions so far, to the last whole block. */
static uint64_t instructions_of(const struct exec_cpu *c)
{
    return c->x86.instructions + (uint64_t)(c->x86.granted - c->x86.budget - c->x86.bias);
}

void exec_note(struct exec_cpu *c, uint32_t kind, uint64_t addr, uint32_t size)
{
    if (likely(!c->x->record))
        return;
    uint64_t now = instructions_of(c);
    struct trace_rec r = {
        .addr = addr,
        .arg = (uint32_t)min_u64(now - min_u64(now, c->recorded), UINT32_MAX),
        .size = (uint16_t)size,
        .kind = (uint8_t)kind,
        .vcpu = (uint8_t)c->v->index,
    };
    c->recorded = now;
    trace_write(c->x->record, &r, 1, c->x->diag);
}

/* The access has been made; if it happened (the VM counts it then), it goes into the trace: not what faults, nor what a
 * device or a policy answered. */
static inline void note_access(struct exec_cpu *c, uint64_t accesses_before, uint32_t kind, uint64_t addr,
                               uint32_t size)
{
    if (unlikely(c->x->record) && c->x->vm->stats.accesses != accesses_before)
        exec_note(c, kind, addr, size);
}

/* ---- faults ---- */

int exec_page_fault(struct vcpu *v, uint64_t gva, uint32_t access, struct diag *d)
{
    struct exec *x = v->vm->guest;
    struct exec_cpu *c = &x->cpu[v->index];
    struct core *core = &vcpu_cpu(v)->core;
    bool is_present;
    if (x->bare)
        return bare_page_fault(c, gva);
    ps_t start = core->now_ps - core->stats.exit_ps;
    core->now_ps += x->conf.fault_cycles * core->cycle_ps;
    x->stats.page_faults++;
    int bad = space_fault(c->space, v, gva, access, &is_present, d);
    if (c->x86.timing == X86_WINDOW)
        x86_window_resume(&c->x86); /* the kernel begins and ends with nothing under way */
    c->x86.kernel_ps += core->now_ps - core->stats.exit_ps - start;
    if (bad <= 0)
        return bad;
    x86_page_fault(&c->x86, gva, access & EPT_X ? X86_EXEC : access & EPT_W ? X86_WRITE : X86_READ, is_present);
    c->has_faulted = true;
    return 1;
}

/* What the processor is told of a call of sim/hv that returned bad. */
static inline enum x86_bus_status told(struct exec_cpu *c, int bad)
{
    if (unlikely(bad))
        return X86_BUS_STOP;
    if (unlikely(c->has_faulted)) {
        c->has_faulted = false;
        return X86_BUS_FAULT;
    }
    if (unlikely(c->x->hv->is_down))
        x86_stop_soon(&c->x86);
    return X86_BUS_OK;
}

/* ---- the bus ---- */

/* Every access to the page has to be seen: what is recorded, and stores to persistent memory, which have versions. */
static bool is_indirect(const struct exec_cpu *c, uint64_t gva)
{
    const struct region *r;
    return c->x->record || (c->space && c->x->vm->n_regions && gva < SPACE_TOP && (r = space_at(c->space, gva)) &&
                            r->kind == REGION_PMEM);
}

static enum x86_bus_status page(struct x86_cpu *cpu, uint64_t gva, enum x86_access access, struct x86_page *out)
{
    struct exec_cpu *c = cpu->bus_ctx;
    struct mem *mem = c->x->hv->mem;
    uint64_t hpa = UINT64_MAX, of = gva & ~(uint64_t)(PAGE_BYTES - 1);
    if (access == X86_WRITE && of == c->stored_page) { /* behind a store: only where it went is asked */
        c->stored_page = UINT64_MAX;
        out->hpa = c->stored_hpa;
        return X86_BUS_OK;
    }
    if (access != X86_EXEC && c->x86.timing == X86_FUNCTIONAL && is_indirect(c, gva))
        return X86_BUS_OK; /* load() and store() find out */
    enum cache_op op = access == X86_EXEC ? CACHE_FETCH : access == X86_WRITE ? CACHE_WRITE : CACHE_READ;
    uint64_t before = c->x->vm->stats.accesses;
    enum x86_bus_status status = told(c, hv_touch(c->v, gva, op, &hpa));
    note_access(c, before, access == X86_EXEC ? TRACE_EXEC : access == X86_WRITE ? TRACE_WRITE : TRACE_READ, gva, 1);
    if (status != X86_BUS_OK)
        return status;
    if (hpa == UINT64_MAX) /* a policy had the access skipped */
        return X86_BUS_STOP;
    out->hpa = hpa & ~(uint64_t)(PAGE_BYTES - 1);
    out->host = mem_region_at(mem, hpa)->kind != MEM_PMEM ? frame_bytes(mem, hpa >> PAGE_SHIFT) : NULL;
    out->is_writable = access == X86_WRITE;
    return X86_BUS_OK;
}

/* Lines of the CPU's own node and of others: what the hits of model warm are counted by. */
enum { WARM_LOCAL, WARM_REMOTE };

static enum x86_bus_status warm(struct x86_cpu *cpu, uint64_t gva, enum x86_access access, struct x86_page *out)
{
    static const uint8_t ops[] = {[X86_READ] = CACHE_READ, [X86_WRITE] = CACHE_WRITE, [X86_EXEC] = CACHE_FETCH};
    struct exec_cpu *c = cpu->bus_ctx;
    struct mem *mem = c->x->hv->mem;
    uint64_t hpa = UINT64_MAX;
    if (access != X86_EXEC && is_indirect(c, gva))
        return X86_BUS_OK;
    uint64_t before = c->x->vm->stats.accesses;
    enum x86_bus_status status = told(c, hv_warm(c->v, gva, (enum cache_op)ops[access], &hpa));
    if (access == X86_EXEC)
        note_access(c, before, TRACE_EXEC, gva, LINE_BYTES);
    if (status != X86_BUS_OK)
        return status;
    if (hpa == UINT64_MAX) /* a policy had the access skipped */
        return X86_BUS_STOP;
    const struct mem_region *r = mem_region_at(mem, hpa);
    out->hpa = hpa & ~(uint64_t)(PAGE_BYTES - 1);
    out->host = r->kind != MEM_PMEM ? frame_bytes(mem, hpa >> PAGE_SHIFT) : NULL;
    out->is_writable = access == X86_WRITE;
    out->is_once = c->x->hv->golden_counts || c->x->record;
    out->kind = r->node == vcpu_cpu(c->v)->node ? WARM_LOCAL : WARM_REMOTE;
    return X86_BUS_OK;
}

void exec_follow(struct exec_cpu *c)
{
    struct core_cache *caches = &c->x->hv->caches->core[c->v->cpu];
    c->x86.core = &vcpu_cpu(c->v)->core;
    if (c->x86.timing == X86_WARM)
        x86_warm_caches(&c->x86, &caches->l1d, &caches->l1i);
}

void exec_count_warm(struct exec_cpu *c)
{
    struct x86_warm *w = c->x86.warm;
    for (uint32_t k = 0; w && k < X86_WARM_KINDS; k++) {
        struct x86_warm_hits *h = &w->hits[k];
        struct core_cache_stats *s = &c->x->hv->caches->core[c->v->cpu].stats;
        hv_count(c->v, CACHE_READ, k == WARM_LOCAL, h->reads);
        hv_count(c->v, CACHE_WRITE, k == WARM_LOCAL, h->writes);
        hv_count(c->v, CACHE_FETCH, k == WARM_LOCAL, h->fetches);
        s->l1d_hits += h->reads + h->writes;
        s->l1i_hits += h->fetches;
        *h = (struct x86_warm_hits){0};
    }
}

static enum x86_bus_status load(struct x86_cpu *cpu, uint64_t gva, void *buf, uint32_t len, bool for_write)
{
    struct exec_cpu *c = cpu->bus_ctx;
    (void)for_write; /* the store behind it makes the line writable */
    uint64_t before = c->x->vm->stats.accesses;
    enum x86_bus_status status = told(c, hv_load(c->v, gva, buf, len));
    note_access(c, before, TRACE_READ, gva, len);
    return status;
}

static enum x86_bus_status store(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len)
{
    struct exec_cpu *c = cpu->bus_ctx;
    uint64_t hpa = UINT64_MAX, before = c->x->vm->stats.accesses;
    enum x86_bus_status status = told(c, hv_store_at(c->v, gva, buf, len, &hpa));
    note_access(c, before, TRACE_WRITE, gva, len);
    c->stored_page = gva & ~(uint64_t)(PAGE_BYTES - 1);
    c->stored_hpa = hpa & ~(uint64_t)(PAGE_BYTES - 1);
    return status;
}

static enum x86_bus_status fetch(struct x86_cpu *cpu, uint64_t gva)
{
    struct exec_cpu *c = cpu->bus_ctx;
    uint64_t before = c->x->vm->stats.accesses;
    enum x86_bus_status status = told(c, hv_access(c->v, gva, CACHE_FETCH, false));
    note_access(c, before, TRACE_EXEC, gva, LINE_BYTES);
    return status;
}

static enum x86_bus_status flush(struct x86_cpu *cpu, uint64_t gva, uint32_t op)
{
    static const uint8_t kinds[] = {
        [FLUSH_CLFLUSH] = TRACE_CLFLUSH, [FLUSH_CLFLUSHOPT] = TRACE_CLFLUSHOPT, [FLUSH_CLWB] = TRACE_CLWB};
    struct exec_cpu *c = cpu->bus_ctx;
    enum x86_bus_status status = told(c, hv_flush_line(c->v, gva, (enum flush_op)op));
    if (status == X86_BUS_OK)
        exec_note(c, kinds[op], gva, LINE_BYTES);
    return status;
}

/* ---- non-temporal stores ---- */

static enum x86_bus_status wc_leave(struct exec_cpu *c, struct exec_wc *w)
{
    uint64_t gva = w->line << LINE_SHIFT;
    if (w->line == UINT64_MAX)
        return X86_BUS_OK;
    w->line = UINT64_MAX;
    uint64_t before = c->x->vm->stats.accesses;
    enum x86_bus_status status = told(c, hv_ntstore(c->v, gva, NULL));
    note_access(c, before, TRACE_NTSTORE, gva, LINE_BYTES);
    return status;
}

void exec_drain_wc(struct exec_cpu *c)
{
    for (uint32_t i = 0; i < EXEC_WC; i++)
        wc_leave(c, &c->wc[(c->wc_next + i) % EXEC_WC]);
}

/* The bytes are memory's at once; their line leaves when it is full, when its buffer is needed, and at a fence. */
static enum x86_bus_status ntstore(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len)
{
    struct exec_cpu *c = cpu->bus_ctx;
    uint64_t line = gva >> LINE_SHIFT, hpa = UINT64_MAX;
    struct exec_wc *w = NULL;
    for (uint32_t i = 0; i < EXEC_WC && !w; i++)
        if (c->wc[i].line == line)
            w = &c->wc[i];
    if (!w) {
        w = &c->wc[c->wc_next++ % EXEC_WC];
        enum x86_bus_status status = wc_leave(c, w);
        if (status != X86_BUS_OK)
            return status;
    }
    enum x86_bus_status status = told(c, hv_nt_bytes(c->v, gva, buf, len, &hpa));
    if (status != X86_BUS_OK || hpa == UINT64_MAX) /* it faults, or is a device's */
        return status;
    if (w->line != line)
        *w = (struct exec_wc){line, 0};
    w->mask |= (len < LINE_BYTES ? (1ull << len) - 1 : ~0ull) << (gva & (LINE_BYTES - 1));
    c->stored_page = gva & ~(uint64_t)(PAGE_BYTES - 1);
    c->stored_hpa = hpa & ~(uint64_t)(PAGE_BYTES - 1);
    return w->mask == ~0ull ? wc_leave(c, w) : X86_BUS_OK;
}

static void fence(struct x86_cpu *cpu, bool loads_too)
{
    struct exec_cpu *c = cpu->bus_ctx;
    exec_drain_wc(c);
    exec_note(c, loads_too ? TRACE_MFENCE : TRACE_SFENCE, 0, 0);
    hv_fence(c->v, loads_too);
}

/* Intel's processors leave the guest at every CPUID (SDM volume 3, 26.1.2). */
static void cpuid(struct x86_cpu *cpu)
{
    struct exec_cpu *c = cpu->bus_ctx;
    if (!c->x->conf.is_native)
        hv_exit(c->v, HV_EXIT_CPUID);
}

const struct x86_bus exec_bus = {
    .page = page,
    .load = load,
    .store = store,
    .fetch = fetch,
    .flush = flush,
    .ntstore = ntstore,
    .fence = fence,
    .warm = warm,
    .cpuid = cpuid,
};

/* ---- the kernel's accesses ---- */

/* Part of one line for the kernel. Pages are mapped as by the program's own accesses. */
static enum x86_bus_status kernel_part(struct exec_cpu *c, uint64_t gva, void *in, const void *out, uint32_t len)
{
    enum x86_bus_status status = in ? load(&c->x86, gva, in, len, false) : store(&c->x86, gva, out, len);
    if (status == X86_BUS_OK && out)
        x86_code_written(c->x->code, c->stored_hpa + (gva & (PAGE_BYTES - 1)), len);
    return status;
}

/* Part of one page, directly. */
static enum x86_bus_status kernel_page(struct exec_cpu *c, uint64_t gva, void *in, const void *out, uint32_t len)
{
    struct x86_page p = {0};
    enum x86_bus_status status = page(&c->x86, gva, in ? X86_READ : X86_WRITE, &p);
    if (status != X86_BUS_OK)
        return status;
    uint64_t hpa = p.hpa + (gva & (PAGE_BYTES - 1));
    if (in) {
        frame_read(c->x->hv->mem, hpa, in, len);
        return status;
    }
    frame_write(c->x->hv->mem, hpa, out, len);
    x86_code_written(c->x->code, hpa, len);
    return status;
}

static int copy(struct thread *t, uint64_t gva, void *in, const void *out, uint64_t len)
{
    struct exec_cpu *c = thread_cpu(t);
    struct x86_fault kept = c->x86.fault;
    if (gva >= SPACE_TOP || len > SPACE_TOP - gva)
        return -1;
    for (uint64_t done = 0, n; done < len; done += n) {
        uint64_t at = gva + done;
        c->stored_page = UINT64_MAX;
        bool by_line = c->x86.timing != X86_FUNCTIONAL || is_indirect(c, at);
        uint64_t unit = by_line ? LINE_BYTES : PAGE_BYTES;
        n = min_u64(len - done, unit - (at & (unit - 1)));
        enum x86_bus_status status = (by_line ? kernel_part : kernel_page)(
            c, at, in ? (uint8_t *)in + done : NULL, out ? (const uint8_t *)out + done : NULL, (uint32_t)n);
        if (status != X86_BUS_OK) {
            c->x86.fault = kept;
            return -1;
        }
    }
    c->stored_page = UINT64_MAX;
    return 0;
}

int exec_copy_in(struct thread *t, uint64_t gva, void *buf, uint64_t len)
{
    return copy(t, gva, buf, NULL, len);
}

int exec_copy_out(struct thread *t, uint64_t gva, const void *buf, uint64_t len)
{
    return copy(t, gva, NULL, buf, len);
}

int64_t exec_str_in(struct thread *t, uint64_t gva, char *buf, uint64_t cap)
{
    for (uint64_t n = 0; n < cap;) {
        uint64_t part = min_u64(LINE_BYTES - ((gva + n) & (LINE_BYTES - 1)), cap - n);
        if (exec_copy_in(t, gva + n, buf + n, part))
            return -1;
        const char *end = memchr(buf + n, 0, part);
        if (end)
            return end - buf;
        n += part;
    }
    return -2;
}

int exec_fill(struct process *p, struct vcpu *v, uint64_t gva, const void *buf, uint64_t len, struct diag *d)
{
    struct exec *x = p->x;
    for (uint64_t done = 0, n; done < len; done += n) {
        uint64_t gpa = 0, at = gva + done;
        n = min_u64(len - done, PAGE_BYTES - (at & (PAGE_BYTES - 1)));
        if (space_back(&p->space, v, at, &gpa, d))
            return -1;
        uint64_t hpa = hv_back(v, gpa, EPT_W);
        if (hpa == UINT64_MAX)
            return -1;
        frame_write(x->hv->mem, hpa, (const uint8_t *)buf + done, n);
        x86_code_written(x->code, hpa, n);
    }
    return 0;
}

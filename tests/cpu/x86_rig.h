/* SPDX-License-Identifier: MIT */
/* A processor on a simulated machine of one core, natively paged: every access goes through mmu, caches and controllers
 * as it does in a VM. RIG_PAGES pages at RIG_BASE, readable, writable, executable. */
#ifndef QUIRE_TESTS_CPU_X86_RIG_H
#define QUIRE_TESTS_CPU_X86_RIG_H

#include "sim/cpu/x86.h"
#include "tests/mmu/rig.h"

#include <string.h>

#define RIG_BASE  0x10000000ull
#define RIG_PAGES 8192u

struct x86_rig {
    struct rig rig;
    struct core core;
    struct x86_cpu cpu;
    struct x86_code *code;
    struct x86_bus bus;
    uint64_t *hpa; /* of each page */
    uint64_t n_accesses;
};

static inline uint8_t *x86_rig_host(const struct x86_rig *r, uint64_t hpa)
{
    uint64_t c = frame_at(r->rig.mem, hpa >> PAGE_SHIFT)->content;
    CHECK((c & 7) == CONTENT_BYTES);
    return (uint8_t *)(uintptr_t)(c & ~7ull) + (hpa & (PAGE_BYTES - 1));
}

static inline enum x86_bus_status x86_rig_page(struct x86_cpu *cpu, uint64_t gva, enum x86_access access,
                                               struct x86_page *out)
{
    struct x86_rig *r = cpu->bus_ctx;
    uint64_t i = (gva - RIG_BASE) >> PAGE_SHIFT;
    if (i >= RIG_PAGES)
        return x86_page_fault(cpu, gva, access, false);
    *out = (struct x86_page){.host = x86_rig_host(r, r->hpa[i]), .hpa = r->hpa[i], .is_writable = true};
    return X86_BUS_OK;
}

/* One priced access; NULL after a fault. */
static inline uint8_t *x86_rig_access(struct x86_cpu *cpu, uint64_t gva, enum cache_op op)
{
    struct x86_rig *r = cpu->bus_ctx;
    struct mmu_result m;
    if ((gva - RIG_BASE) >> PAGE_SHIFT >= RIG_PAGES)
        return NULL;
    r->n_accesses++;
    core_retire(&r->core);
    CHECK(mmu_translate(&r->rig.mmu, &r->rig.space, gva, op, r->core.now_ps, &m) == MMU_OK);
    ps_t done, asked = m.done_ps;
    uint64_t line = m.hpa >> LINE_SHIFT;
    if (!cache_l1_hit(&r->rig.caches, 0, line, op, asked, &done)) {
        core_need_buffer(&r->core);
        asked = max_u64(asked, r->core.now_ps);
        done = cache_l1_miss(&r->rig.caches, 0, line, op, asked);
    }
    if (op == CACHE_WRITE && done > asked + r->rig.caches.l2_ps)
        core_store_miss(&r->core, line, r->core.now_ps, done);
    else if (op == CACHE_WRITE)
        core_store(&r->core, done);
    else
        core_load(&r->core, done, r->rig.caches.l1_ps);
    return x86_rig_host(r, m.hpa);
}

static inline enum x86_bus_status x86_rig_load(struct x86_cpu *cpu, uint64_t gva, void *buf, uint32_t len, bool w)
{
    const uint8_t *p = x86_rig_access(cpu, gva, CACHE_READ);
    if (!p)
        return x86_page_fault(cpu, gva, w ? X86_WRITE : X86_READ, false);
    memcpy(buf, p, len);
    return X86_BUS_OK;
}

static inline enum x86_bus_status x86_rig_store(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len)
{
    uint8_t *p = x86_rig_access(cpu, gva, CACHE_WRITE);
    if (!p)
        return x86_page_fault(cpu, gva, X86_WRITE, false);
    memcpy(p, buf, len);
    return X86_BUS_OK;
}

static inline enum x86_bus_status x86_rig_fetch(struct x86_cpu *cpu, uint64_t gva)
{
    return x86_rig_access(cpu, gva, CACHE_FETCH) ? X86_BUS_OK : x86_page_fault(cpu, gva, X86_EXEC, false);
}

static inline enum x86_bus_status x86_rig_flush(struct x86_cpu *cpu, uint64_t gva, uint32_t op)
{
    struct x86_rig *r = cpu->bus_ctx;
    struct core *c = &r->core;
    struct mmu_result m;
    CHECK(mmu_translate(&r->rig.mmu, &r->rig.space, gva, CACHE_READ, c->now_ps, &m) == MMU_OK);
    c->now_ps += c->conf.flush_cycles * c->cycle_ps;
    ps_t done =
        cache_flush(&r->rig.caches, 0, m.hpa >> LINE_SHIFT, (enum flush_op)op, max_u64(m.done_ps, c->stores_done_ps));
    c->flushes_done_ps = max_u64(c->flushes_done_ps, done);
    return X86_BUS_OK;
}

static inline void x86_rig_fence(struct x86_cpu *cpu, bool loads_too)
{
    core_sfence(cpu->core, loads_too);
}

static inline struct x86_rig *x86_rig_new(void)
{
    struct x86_rig *r = xcalloc(1, sizeof *r);
    struct machine_conf c;
    struct diag d = {0};
    rig_init(&r->rig, 4, 4, 0, true);
    CHECK(machine_bind(NULL, &c, &d) == 0);
    core_init(&r->core, &c.core);
    r->hpa = xcalloc(RIG_PAGES, sizeof *r->hpa);
    rig_top(&r->rig);
    for (uint32_t i = 0; i < RIG_PAGES; i++) {
        uint64_t gpa = rig_page(&r->rig, 0), zero = 0;
        rig_map(&r->rig, RIG_BASE + (uint64_t)i * PAGE_BYTES, gpa, 0, PTE_P | PTE_W | PTE_U | PTE_A | PTE_D);
        r->hpa[i] = rig_hpa(&r->rig, gpa);
        frame_write(r->rig.mem, r->hpa[i], "\1", 1); /* bytes from now on */
        frame_write(r->rig.mem, r->hpa[i], &zero, 1);
    }
    r->bus = (struct x86_bus){.page = x86_rig_page,
                              .load = x86_rig_load,
                              .store = x86_rig_store,
                              .fetch = x86_rig_fetch,
                              .flush = x86_rig_flush,
                              .fence = x86_rig_fence};
    r->code = x86_code_new(0);
    x86_cpu_init(&r->cpu, r->code, &r->bus, r, &r->core);
    r->cpu.state.rip = RIG_BASE;
    r->cpu.state.gpr[X86_RSP] = RIG_BASE + RIG_PAGES * PAGE_BYTES - 64;
    return r;
}

static inline void x86_rig_free(struct x86_rig *r)
{
    x86_cpu_fini(&r->cpu);
    x86_code_free(r->code);
    rig_fini(&r->rig);
    free(r->hpa);
    free(r);
}

static inline void x86_rig_put(struct x86_rig *r, uint64_t gva, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        *x86_rig_host(r, r->hpa[(gva + i - RIG_BASE) >> PAGE_SHIFT] + ((gva + i) & (PAGE_BYTES - 1))) =
            ((const uint8_t *)bytes)[i];
}

#endif

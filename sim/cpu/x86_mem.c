/* SPDX-License-Identifier: MIT */
/* Memory of the x86-64 processor, off the fast path: misses of the software TLB, accesses across pages and lines, pages
 * without direct access, stores into decoded code, and everything in the timed models. */
#include "sim/base/diag.h"
#include "sim/cpu/x86_sys.h"
#include "sim/cpu/x86_warm.h"
#include "sim/cpu/x86_window.h"

#include <string.h>

#define PAGE_OF(gva) ((gva) & ~(uint64_t)(PAGE_BYTES - 1))

static inline bool is_canonical(uint64_t gva)
{
    return (uint64_t)((int64_t)(gva << 16) >> 16) == gva;
}

static inline uint32_t tlb_slot(uint64_t gva)
{
    return gva >> PAGE_SHIFT & (X86_TLB_ENTRIES - 1);
}

/* ---- the software TLB ---- */

static void forget_jump(struct x86_view *v, uint32_t slot)
{
    v->jump[slot] = (struct x86_jump){slot == 0, NULL}; /* slot 0 is where 0 would be looked for, and not 1 */
}

static void forget_jumps(struct x86_view *v)
{
    bool is_known = v->n_jumps_used <= X86_USED;
    for (uint32_t i = 0; i < (is_known ? v->n_jumps_used : X86_JUMP_ENTRIES); i++)
        forget_jump(v, is_known ? v->jumps_used[i] : i);
    v->n_jumps_used = 0;
    memset(v->jump_pages, 0, sizeof v->jump_pages);
}

static void forget_pages(struct x86_view *v)
{
    bool is_known = v->n_tlb_used <= X86_USED;
    for (uint32_t i = 0; i < (is_known ? v->n_tlb_used : X86_TLB_ENTRIES); i++)
        v->tlb[is_known ? v->tlb_used[i] : i] = (struct x86_tlb_entry){1, 1, 1, 0};
    v->n_tlb_used = 0;
}

static inline uint64_t *page_word(struct x86_view *v, uint64_t gva)
{
    return &v->jump_pages[gva >> (PAGE_SHIFT + 6) & 63];
}
static inline bool may_begin_on(struct x86_view *v, uint64_t gva)
{
    return *page_word(v, gva) >> (gva >> PAGE_SHIFT & 63) & 1;
}

void x86_remember(struct x86_cpu *cpu, uint64_t rip, const struct x86_op *op)
{
    struct x86_view *v = cpu->view[cpu->privilege];
    uint32_t slot = x86_jump_slot(rip);
    if (v->n_jumps_used < X86_USED)
        v->jumps_used[v->n_jumps_used] = (uint16_t)slot;
    v->n_jumps_used += v->n_jumps_used <= X86_USED;
    *page_word(v, rip) |= 1ull << (rip >> PAGE_SHIFT & 63);
    v->jump[slot] = (struct x86_jump){rip, op};
}

struct x86_view *x86_view_new(void)
{
    struct x86_view *v = xaligned(64, sizeof *v);
    v->n_tlb_used = v->n_jumps_used = X86_USED + 1;
    forget_pages(v);
    forget_jumps(v);
    return v;
}

void x86_view_enter(struct x86_cpu *cpu, uint32_t privilege)
{
    struct x86_view *v = cpu->view[privilege];
    if (v->context != cpu->context && !cpu->is_implicit) {
        forget_jumps(v);
        v->context = cpu->context;
    }
    if (cpu->warm && cpu->privilege != privilege)
        x86_warm_flush(cpu->warm);
    cpu->privilege = privilege;
    cpu->tlb = v->tlb;
    cpu->jump = v->jump;
    cpu->hpa = v->hpa;
}

void x86_tlb_flush(struct x86_cpu *cpu)
{
    for (uint32_t k = 0; k < X86_N_PRIVILEGES; k++)
        if (cpu->view[k]) {
            forget_pages(cpu->view[k]);
            forget_jumps(cpu->view[k]);
        }
    if (cpu->warm)
        x86_warm_flush(cpu->warm);
    cpu->last_fetch = UINT64_MAX;
}

/* Jumps to the page of gva, and to the page before: a block that begins there may reach into it. */
static void forget_jumps_to(struct x86_view *v, uint64_t gva)
{
    uint64_t page = PAGE_OF(gva);
    if (!may_begin_on(v, page) && !may_begin_on(v, page - PAGE_BYTES))
        return;
    for (uint32_t i = 0; i < X86_JUMP_ENTRIES; i++) {
        const struct x86_jump *j = &v->jump[i];
        if (j->op && (PAGE_OF(j->rip) == page || PAGE_OF(j->rip) == page - PAGE_BYTES))
            forget_jump(v, i);
    }
}

void x86_tlb_flush_page(struct x86_cpu *cpu, uint64_t gva)
{
    if (cpu->warm)
        x86_warm_flush(cpu->warm);
    for (uint32_t k = 0; k < X86_N_PRIVILEGES; k++)
        if (cpu->view[k]) {
            cpu->view[k]->tlb[tlb_slot(gva)] = (struct x86_tlb_entry){1, 1, 1, 0};
            forget_jumps_to(cpu->view[k], gva);
        }
}

void x86_tlb_flush_all(struct x86_code *code)
{
    code->epoch++;
}

void x86_drop_write(struct x86_cpu *cpu, uint64_t hpa)
{
    for (uint32_t k = 0; k < X86_N_PRIVILEGES; k++) {
        struct x86_view *v = cpu->view[k];
        for (uint32_t i = 0; v && i < X86_TLB_ENTRIES; i++)
            if (v->hpa[i] == hpa)
                v->tlb[i].write = 1;
    }
    if (cpu->warm)
        x86_warm_flush(cpu->warm);
}

enum x86_bus_status x86_page_fault_code(struct x86_cpu *cpu, uint64_t gva, uint32_t code)
{
    cpu->fault = (struct x86_fault){
        .vector = X86_PF_FAULT, .has_error_code = true, .error_code = code, .cr2 = gva, .rip = cpu->state.rip};
    return X86_BUS_FAULT;
}

enum x86_bus_status x86_page_fault(struct x86_cpu *cpu, uint64_t gva, enum x86_access access, bool is_present)
{
    uint32_t code = is_present ? X86_PFEC_P : 0;
    if (access == X86_WRITE)
        code |= X86_PFEC_W;
    if (access == X86_EXEC)
        code |= X86_PFEC_I;
    if (cpu->state.cpl == 3 && !cpu->is_implicit)
        code |= X86_PFEC_U;
    return x86_page_fault_code(cpu, gva, code);
}

/* Why the bus did not answer, as the reason to stop. False, for the caller to return. */
static bool refused(struct x86_cpu *cpu, enum x86_bus_status status)
{
    cpu->stop = status == X86_BUS_FAULT ? X86_STOP_FAULT : X86_STOP_BUS;
    return false;
}

static bool bad_address(struct x86_cpu *cpu, const struct x86_op *op)
{
    cpu->fault =
        (struct x86_fault){.vector = op && op->flags & X86F_STACK ? X86_SS_FAULT : X86_GP, .has_error_code = true};
    return refused(cpu, X86_BUS_FAULT);
}

bool x86_unaligned(struct x86_cpu *cpu)
{
    cpu->fault = (struct x86_fault){.vector = X86_GP, .has_error_code = true};
    return refused(cpu, X86_BUS_FAULT);
}

/* Asks the bus for the page; what it allows goes into the software TLB, except what the timed models must see. */
static bool map_page(struct x86_cpu *cpu, uint64_t gva, enum x86_access access, struct x86_page *page)
{
    *page = (struct x86_page){0};
    uint32_t mxcsr = x86_fp_keep();
    enum x86_bus_status status = cpu->bus->page(cpu, gva, access, page);
    x86_fp_give(mxcsr);
    if (status != X86_BUS_OK)
        return refused(cpu, status);
    struct x86_tlb_entry *e = &cpu->tlb[tlb_slot(gva)];
    struct x86_view *v = cpu->view[cpu->privilege];
    uint64_t tag = PAGE_OF(gva);
    uintptr_t addend = (uintptr_t)page->host - tag;
    if (!page->host || (cpu->is_system && access != X86_EXEC && x86_watches_page(cpu, gva)))
        return true;
    if (cpu->hpa[tlb_slot(gva)] != page->hpa || e->addend != addend ||
        (e->read != tag && e->write != tag && e->exec != tag)) {
        *e = (struct x86_tlb_entry){1, 1, 1, addend};
        if (v->n_tlb_used < X86_USED)
            v->tlb_used[v->n_tlb_used] = (uint16_t)tlb_slot(gva);
        v->n_tlb_used += v->n_tlb_used <= X86_USED;
    }
    cpu->hpa[tlb_slot(gva)] = page->hpa;
    if (access == X86_EXEC)
        e->exec = tag;
    else if (cpu->timing == X86_FUNCTIONAL) {
        e->read = tag;
        if (page->is_writable && !x86_code_on_page(cpu->code, page->hpa))
            e->write = tag;
    }
    return true;
}

bool x86_exec_page(struct x86_cpu *cpu, uint64_t rip, struct x86_page *page)
{
    const struct x86_tlb_entry *e = &cpu->tlb[tlb_slot(rip)];
    if (e->exec == PAGE_OF(rip)) {
        *page = (struct x86_page){.host = (uint8_t *)(PAGE_OF(rip) + e->addend), .hpa = cpu->hpa[tlb_slot(rip)]};
        return true;
    }
    if (unlikely(!is_canonical(rip)))
        return bad_address(cpu, NULL);
    return map_page(cpu, rip, X86_EXEC, page);
}

/* ---- accesses ---- */

/* A store reached bytes that may have been decoded. */
static void stored(struct x86_cpu *cpu, uint64_t hpa, uint32_t len)
{
    if (unlikely(x86_code_on_page(cpu->code, PAGE_OF(hpa))))
        x86_code_written(cpu->code, hpa, len);
}

/* Timed and indirect stores go through the bus, which does not say where they went. */
static bool stored_by_bus(struct x86_cpu *cpu, uint64_t gva, uint32_t len)
{
    struct x86_page page = {0};
    enum x86_bus_status status = cpu->bus->page(cpu, gva, X86_WRITE, &page);
    if (status != X86_BUS_OK)
        return refused(cpu, status);
    stored(cpu, page.hpa + (gva & (PAGE_BYTES - 1)), len);
    return true;
}

/* Time that the address of a timed access is known: its registers may come from loads. */
static void wait_for_address(struct x86_cpu *cpu, const struct x86_op *op)
{
    if (!cpu->core || !op || !(op->flags & X86F_MEM) || cpu->timing != X86_BLOCK)
        return;
    if (op->base < 16)
        core_wait(cpu->core, cpu->ready_ps[op->base]);
    if (op->index < 16)
        core_wait(cpu->core, cpu->ready_ps[op->index]);
}

static bool bus_load(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, void *buf, uint32_t len, bool w)
{
    if (cpu->timing != X86_FUNCTIONAL) {
        x86_issue(cpu, op);
        wait_for_address(cpu, op);
    }
    for (uint32_t done = 0; done < len;) {
        uint32_t n = LINE_BYTES - ((gva + done) & (LINE_BYTES - 1));
        n = n < len - done ? n : len - done;
        enum x86_bus_status status = cpu->bus->load(cpu, gva + done, (uint8_t *)buf + done, n, w);
        x86_fp_give_armed(cpu);
        if (status != X86_BUS_OK)
            return refused(cpu, status);
        done += n;
    }
    if (cpu->timing == X86_WINDOW)
        x86_window_loaded(cpu);
    else if (cpu->core && op && op->flags & X86F_LOAD)
        cpu->ready_ps[op->dst >> 3 & 15] = cpu->core->last_load_ps;
    return true;
}

/* Model warm: true if the access is over, with *ok; false if the bus has to make it. */
static bool warmed(struct x86_cpu *cpu, enum x86_warm_status status, bool *ok)
{
    *ok = status == X86_WARM_DONE;
    if (status == X86_WARM_FAULT || status == X86_WARM_STOP)
        refused(cpu, status == X86_WARM_FAULT ? X86_BUS_FAULT : X86_BUS_STOP);
    return status != X86_WARM_BUS;
}

typedef enum x86_bus_status store_fn(struct x86_cpu *cpu, uint64_t gva, const void *buf, uint32_t len);
static bool bus_store(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, const void *buf, uint32_t len,
                      store_fn *fn)
{
    if (cpu->timing != X86_FUNCTIONAL) {
        x86_issue(cpu, op);
        wait_for_address(cpu, op);
    }
    for (uint32_t done = 0; done < len;) {
        uint32_t n = LINE_BYTES - ((gva + done) & (LINE_BYTES - 1));
        n = n < len - done ? n : len - done;
        enum x86_bus_status status = fn(cpu, gva + done, (const uint8_t *)buf + done, n);
        x86_fp_give_armed(cpu);
        if (status != X86_BUS_OK)
            return refused(cpu, status);
        if (cpu->timing == X86_WINDOW)
            x86_window_stored(cpu);
        if (!stored_by_bus(cpu, gva + done, n))
            return false;
        done += n;
    }
    return true;
}

/* The part of an access that lies on the page of gva. */
static inline uint32_t on_page(uint64_t gva, uint32_t len)
{
    uint32_t room = PAGE_BYTES - (uint32_t)(gva & (PAGE_BYTES - 1));
    return len < room ? len : room;
}

static bool load_page(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, void *buf, uint32_t len, bool w)
{
    struct x86_page page;
    const uint8_t *p = x86_host(cpu, gva, len, w);
    if (p) {
        memcpy(buf, p, len);
        return true;
    }
    if (unlikely(!is_canonical(gva) || !is_canonical(gva + len - 1)))
        return bad_address(cpu, op);
    if (unlikely(cpu->is_system && cpu->state.dr[7] & 0xff))
        x86_watched(cpu, gva, len, w);
    bool ok;
    if (cpu->timing == X86_WARM && warmed(cpu, x86_warm_load(cpu, op, gva, buf, len), &ok))
        return ok;
    if (cpu->timing != X86_FUNCTIONAL)
        return bus_load(cpu, op, gva, buf, len, w);
    if (!map_page(cpu, gva, w ? X86_WRITE : X86_READ, &page))
        return false;
    if (!page.host)
        return bus_load(cpu, op, gva, buf, len, w);
    memcpy(buf, page.host + (gva & (PAGE_BYTES - 1)), len);
    return true;
}

static bool store_page(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, const void *buf, uint32_t len)
{
    struct x86_page page;
    uint8_t *p = x86_host(cpu, gva, len, true);
    if (p) {
        memcpy(p, buf, len);
        return true;
    }
    if (unlikely(!is_canonical(gva) || !is_canonical(gva + len - 1)))
        return bad_address(cpu, op);
    if (unlikely(cpu->is_system && cpu->state.dr[7] & 0xff))
        x86_watched(cpu, gva, len, true);
    bool ok;
    if (cpu->timing == X86_WARM && warmed(cpu, x86_warm_store(cpu, op, gva, buf, len), &ok))
        return ok;
    if (cpu->timing != X86_FUNCTIONAL)
        return bus_store(cpu, op, gva, buf, len, cpu->bus->store);
    if (!map_page(cpu, gva, X86_WRITE, &page))
        return false;
    if (!page.host || !page.is_writable)
        return bus_store(cpu, op, gva, buf, len, cpu->bus->store);
    memcpy(page.host + (gva & (PAGE_BYTES - 1)), buf, len);
    stored(cpu, page.hpa + (gva & (PAGE_BYTES - 1)), len);
    return true;
}

bool x86_probe_write(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, uint32_t len)
{
    for (uint32_t done = 0; done < len;) {
        uint32_t n = on_page(gva + done, len - done);
        struct x86_page page;
        if (!x86_host(cpu, gva + done, n, true)) {
            if (!is_canonical(gva + done) || !is_canonical(gva + done + n - 1))
                return bad_address(cpu, op);
            if (!map_page(cpu, gva + done, X86_WRITE, &page))
                return false;
        }
        done += n;
    }
    return true;
}

/* Mostly an SSE operand. */
static inline void copy_part(void *to, const void *from, uint32_t len)
{
    if (len == 8)
        memcpy(to, from, 8);
    else if (len == 16)
        memcpy(to, from, 16);
    else
        memcpy(to, from, len);
}

bool x86_load_slow(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, void *buf, uint32_t len)
{
    const uint8_t *p = cpu->timing == X86_WARM ? x86_warm_host(cpu, gva, len, false) : NULL;
    if (p) {
        copy_part(buf, p, len);
        return true;
    }
    uint8_t first[512];
    uint32_t n = on_page(gva, len);
    if (n == len)
        return load_page(cpu, op, gva, buf, len, false);
    /* buf may be a register: it changes only when both parts are there. */
    if (!load_page(cpu, op, gva, first, n, false) || !load_page(cpu, op, gva + n, (uint8_t *)buf + n, len - n, false))
        return false;
    memcpy(buf, first, n);
    return true;
}

static bool store_parts(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, const void *buf, uint32_t len)
{
    uint32_t n = on_page(gva, len);
    if (likely(n == len))
        return store_page(cpu, op, gva, buf, len);
    return x86_probe_write(cpu, op, gva, len) && store_page(cpu, op, gva, buf, n) &&
           store_page(cpu, op, gva + n, (const uint8_t *)buf + n, len - n);
}

bool x86_store_slow(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, const void *buf, uint32_t len)
{
    uint8_t *p = cpu->timing == X86_WARM ? x86_warm_host(cpu, gva, len, true) : NULL;
    if (!p)
        return store_parts(cpu, op, gva, buf, len);
    copy_part(p, buf, len);
    return true;
}

static inline uint64_t small(const uint8_t *p, uint32_t n)
{
    uint64_t v = 0;
    switch (n) {
    case 1:
        return *p;
    case 2:
        memcpy(&v, p, 2);
        return v;
    case 4:
        memcpy(&v, p, 4);
        return v;
    default:
        memcpy(&v, p, 8);
        return v;
    }
}

struct x86_value x86_load_value(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, uint32_t n, bool for_write)
{
    struct x86_value r = {0, 0};
    const uint8_t *p = cpu->timing == X86_WARM ? x86_warm_host(cpu, gva, n, false) : NULL;
    if (p)
        return (struct x86_value){small(p, n), true};
    uint32_t here = on_page(gva, n);
    if (for_write && here < n && !x86_probe_write(cpu, op, gva, n))
        return r;
    r.ok = load_page(cpu, op, gva, &r.v, here, for_write) &&
           (here == n || load_page(cpu, op, gva + here, (uint8_t *)&r.v + here, n - here, for_write));
    return r;
}

bool x86_store_value(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, uint64_t v, uint32_t n)
{
    uint8_t *p = cpu->timing == X86_WARM ? x86_warm_host(cpu, gva, n, true) : NULL;
    if (p) {
        memcpy(p, &v, n);
        return true;
    }
    return store_parts(cpu, op, gva, &v, n);
}

bool x86_store_nt(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, const void *buf, uint32_t len)
{
    if (cpu->timing == X86_FUNCTIONAL || !cpu->bus->ntstore)
        return x86_store(cpu, op, gva, buf, len);
    if (!is_canonical(gva) || !is_canonical(gva + len - 1))
        return bad_address(cpu, op);
    return bus_store(cpu, op, gva, buf, len, cpu->bus->ntstore);
}

/* ---- flushes and fences ---- */

bool x86_flush_line(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, uint32_t flush_op)
{
    uint8_t byte;
    if (!cpu->bus->flush)
        return x86_load(cpu, op, gva, &byte, 1);
    if (!is_canonical(gva))
        return bad_address(cpu, op);
    if (cpu->timing != X86_FUNCTIONAL) {
        x86_issue(cpu, op);
        wait_for_address(cpu, op);
    }
    enum x86_bus_status status = cpu->bus->flush(cpu, gva, flush_op);
    x86_fp_give_armed(cpu);
    if (cpu->timing == X86_WINDOW)
        x86_window_stored(cpu);
    return status == X86_BUS_OK ? true : refused(cpu, status);
}

void x86_fence(struct x86_cpu *cpu, const struct x86_op *op, bool loads_too)
{
    if (cpu->timing != X86_FUNCTIONAL)
        x86_issue(cpu, op);
    if (cpu->bus->fence)
        cpu->bus->fence(cpu, loads_too);
    if (cpu->timing == X86_WINDOW)
        x86_window_resume(cpu);
}

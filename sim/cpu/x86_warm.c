/* SPDX-License-Identifier: MIT */
#include "sim/cpu/x86_warm.h"

#include <string.h>

void x86_warm_flush(struct x86_warm *w)
{
    for (uint32_t i = 0; i < X86_WARM_LINES; i++)
        w->data[i].line = w->code[i].line = UINT64_MAX;
}

void x86_warm_caches(struct x86_cpu *cpu, struct pcache *l1d, struct pcache *l1i)
{
    if (!cpu->warm)
        cpu->warm = xcalloc(1, sizeof *cpu->warm);
    if (cpu->warm->l1d != l1d)
        x86_warm_flush(cpu->warm);
    cpu->warm->l1d = l1d;
    cpu->warm->l1i = l1i;
}

/* The L1 has the line of gva now: from here on its hits are found. */
static void remember(struct x86_warm_line *e, const struct pcache *l1, uint64_t gva, const struct x86_page *page)
{
    uint64_t line = (page->hpa | (gva & (PAGE_BYTES - 1))) >> LINE_SHIFT, tag = line << 3 | 7;
    e->line = UINT64_MAX;
    if (!l1 || page->is_once)
        return;
    uint64_t set = line & l1->set_mask;
    uint32_t way = pcache_way(&l1->tag[set * l1->stride], l1->stride, tag);
    if (way == UINT32_MAX)
        return;
    *e = (struct x86_warm_line){.line = gva >> LINE_SHIFT,
                                .addend = (uintptr_t)page->host - (gva & ~(uint64_t)(PAGE_BYTES - 1)),
                                .tag = tag,
                                .at = (uint32_t)(set * l1->stride + way),
                                .set = (uint32_t)set,
                                .way = way,
                                .is_writable = page->is_writable,
                                .kind = page->kind};
}

/* A fault or an exit may have moved the clock past the end of the run. */
static inline void look_at_clock(struct x86_cpu *cpu)
{
    if (unlikely(cpu->until_ps && cpu->core && cpu->core->now_ps >= cpu->until_ps))
        x86_stop_soon(cpu);
}

/* The access is made. page->host stays NULL if only the bus can reach the bytes. */
static enum x86_bus_status reach(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, bool write,
                                 struct x86_page *page)
{
    struct x86_warm *w = cpu->warm;
    *page = (struct x86_page){0};
    if (!cpu->bus->warm)
        return X86_BUS_OK;
    if (op)
        x86_clock(cpu, op);
    uint32_t mxcsr = x86_fp_keep();
    enum x86_bus_status status = cpu->bus->warm(cpu, gva, write ? X86_WRITE : X86_READ, page);
    x86_fp_give(mxcsr);
    look_at_clock(cpu);
    if (status != X86_BUS_OK || !page->host)
        return status;
    page->is_writable &= !x86_code_on_page(cpu->code, page->hpa);
    page->is_once |= cpu->is_implicit; /* made with other rights than the program's */
    remember(&w->data[x86_warm_slot(gva >> LINE_SHIFT)], w->l1d, gva, page);
    return X86_BUS_OK;
}

static enum x86_warm_status unreached(enum x86_bus_status status)
{
    return status == X86_BUS_OK ? X86_WARM_BUS : status == X86_BUS_FAULT ? X86_WARM_FAULT : X86_WARM_STOP;
}

/* The part of an access that lies in the line of gva. */
static uint32_t in_line(uint64_t gva, uint32_t len)
{
    uint32_t room = LINE_BYTES - (uint32_t)(gva & (LINE_BYTES - 1));
    return len < room ? len : room;
}

enum x86_warm_status x86_warm_load(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, void *buf, uint32_t len)
{
    for (uint32_t done = 0, n; done < len; done += n) {
        n = in_line(gva + done, len - done);
        const uint8_t *host = x86_warm_host(cpu, gva + done, n, false);
        if (!host) {
            struct x86_page page;
            enum x86_bus_status status = reach(cpu, op, gva + done, false, &page);
            if (status != X86_BUS_OK || !page.host)
                return unreached(status);
            host = page.host + ((gva + done) & (PAGE_BYTES - 1));
        }
        memcpy((uint8_t *)buf + done, host, n);
    }
    return X86_WARM_DONE;
}

enum x86_warm_status x86_warm_store(struct x86_cpu *cpu, const struct x86_op *op, uint64_t gva, const void *buf,
                                    uint32_t len)
{
    for (uint32_t done = 0, n; done < len; done += n) {
        n = in_line(gva + done, len - done);
        uint8_t *host = x86_warm_host(cpu, gva + done, n, true);
        if (host) {
            memcpy(host, (const uint8_t *)buf + done, n);
            continue;
        }
        struct x86_page page;
        uint32_t at = (uint32_t)(gva + done) & (PAGE_BYTES - 1);
        enum x86_bus_status status = reach(cpu, op, gva + done, true, &page);
        if (status != X86_BUS_OK || !page.host)
            return unreached(status);
        memcpy(page.host + at, (const uint8_t *)buf + done, n);
        if (!page.is_writable)
            x86_code_written(cpu->code, page.hpa + at, n);
    }
    return X86_WARM_DONE;
}

static enum x86_bus_status fetch(struct x86_cpu *cpu, const struct x86_block *b, uint64_t line)
{
    struct x86_warm *w = cpu->warm;
    struct x86_warm_line *e = &w->code[x86_warm_slot(line)];
    struct x86_page page = {0};
    if (e->line == line && x86_warm_touch(e, w->l1i, LINE_MODIFIED)) {
        w->hits[e->kind].fetches++;
        return X86_BUS_OK;
    }
    if (!cpu->bus->warm)
        return X86_BUS_OK;
    x86_clock(cpu, b->op);
    uint32_t mxcsr = x86_fp_keep();
    enum x86_bus_status status = cpu->bus->warm(cpu, line << LINE_SHIFT, X86_EXEC, &page);
    x86_fp_give(mxcsr);
    look_at_clock(cpu);
    if (status == X86_BUS_OK)
        remember(e, w->l1i, line << LINE_SHIFT, &page);
    return status;
}

enum x86_bus_status x86_warm_fetch(struct x86_cpu *cpu, const struct x86_block *b)
{
    uint64_t last = (b->rip + b->n_bytes - 1) >> LINE_SHIFT;
    for (uint64_t line = b->rip >> LINE_SHIFT; line <= last; line++) {
        if (line == cpu->last_fetch)
            continue;
        enum x86_bus_status status = fetch(cpu, b, line);
        if (status != X86_BUS_OK)
            return status;
        cpu->last_fetch = line;
    }
    return X86_BUS_OK;
}

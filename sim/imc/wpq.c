/* SPDX-License-Identifier: MIT */
/* The write-pending queue of a channel with a persistent module: acceptance, drain, hints and power failure.
 */
#include "sim/imc/imc_int.h"

#include <string.h>

static void wpq_pop(struct node_imc *n, struct channel *c)
{
    const struct wpq_entry *e = wpq_at(n, c, 0);
    pmem_media_write(n->mem, e->line, e->version, e->has_data ? e->data : NULL);
    c->wpq_head = c->wpq_head + 1 == imc_wpq_ring(&n->conf) ? 0 : c->wpq_head + 1;
    c->wpq_n--;
}

static void wpq_settle(struct node_imc *n, struct channel *c, ps_t t)
{
    while (c->wpq_n && wpq_at(n, c, 0)->media_ps <= t)
        wpq_pop(n, c);
}

static void wpq_capture(struct node_imc *n, struct wpq_entry *e, uint64_t line)
{
    const struct pmem_page *p = frame_pmem(n->mem, line >> (PAGE_SHIFT - LINE_SHIFT));
    e->line = line;
    e->version = p->cur[line & 63];
    e->has_data = p->cur_bytes != NULL;
    if (e->has_data)
        memcpy(e->data, p->cur_bytes + (line & 63) * LINE_BYTES, LINE_BYTES);
}

/* A place for a line that comes at t, behind those that came before it; answers how many these are. Flushes are asked
 * for ahead of time, so that others may still come before them. */
static uint32_t wpq_place(struct node_imc *n, struct channel *c, ps_t t)
{
    uint32_t i = c->wpq_n++, ring = imc_wpq_ring(&n->conf), head = c->wpq_head;
    uint16_t slot = c->wpq_order[(head + i) % ring];
    for (; i && wpq_at(n, c, i - 1)->arrive_ps > t; i--)
        c->wpq_order[(head + i) % ring] = c->wpq_order[(head + i - 1) % ring];
    c->wpq_order[(head + i) % ring] = slot;
    return i;
}

/* A persistent line enters the WPQ, which drains in the order of arrival. A line that is already there gets an entry of
 * its own: what a module does with lines written over and over (row 61 of the measurements) shows through the queue. */
ps_t wpq_push(struct node_imc *n, struct channel *c, uint64_t line, ps_t t)
{
    ps_t asked = n->asked_ps ? n->asked_ps : t, before = 0;
    wpq_settle(n, c, asked);
    if (c->wpq_n == imc_wpq_ring(&n->conf))
        wpq_pop(n, c);
    uint32_t i = wpq_place(n, c, t);
    struct wpq_entry *e = wpq_at(n, c, i);
    wpq_capture(n, e, line);
    e->arrive_ps = t;
    e->accept_ps = t + n->conf.wpq_accept_ps;
    if (i >= n->conf.wpq_entries) /* it takes the place of the entry that is wpq_entries before it */
        e->accept_ps = max_u64(e->accept_ps, wpq_at(n, c, i - (uint32_t)n->conf.wpq_entries)->media_ps);
    c->stats.wpq_full += e->accept_ps > t + n->conf.wpq_accept_ps;
    if (i)
        before = wpq_at(n, c, i - 1)->media_ps;
    e->start_ps = max_u64(t, before);
    e->media_ps = e->start_ps + n->conf.wpq_transfer_ps;
    if (c->module.conf.kind == NVDIMM_OPTANE)
        e->media_ps = max_u64(e->media_ps, nvdimm_write(&c->module, line, asked, t));
    if (i + 1 < c->wpq_n)
        e->media_ps = min_u64(e->media_ps, wpq_at(n, c, i + 1)->media_ps);
    c->wpq_bus_free_ps = wpq_at(n, c, c->wpq_n - 1)->media_ps;
    c->stats.wpq_inserts++;
    c->stats.wpq_peak = max_u64(c->stats.wpq_peak, min_u64(c->wpq_n, n->conf.wpq_entries));
    return e->accept_ps;
}

ps_t imc_accepted_ps(const struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t)
{
    uint64_t chan_line, line = (r->base >> LINE_SHIFT) + offset_lines;
    const struct channel *c = &n->chan[imc_channel(n, r->kind, offset_lines, &chan_line)];
    for (uint32_t i = 0; i < c->wpq_n; i++) {
        const struct wpq_entry *e = wpq_at(n, c, i);
        if (e->line == line)
            t = max_u64(t, e->accept_ps);
    }
    return t;
}

ps_t imc_drained_ps(const struct node_imc *n, uint32_t imc)
{
    ps_t last = 0;
    for (uint32_t i = 0; i < n->conf.n_channels; i++) {
        const struct channel *c = &n->chan[imc * n->conf.n_channels + i];
        if (c->wpq_n)
            last = max_u64(last, wpq_at(n, c, c->wpq_n - 1)->media_ps);
    }
    return last;
}

ps_t imc_hint_write(struct node_imc *n, uint32_t imc, ps_t t)
{
    ps_t done = max_u64(t + n->conf.hint_ps, imc_drained_ps(n, imc));
    n->imc[imc].hint_writes++;
    n->imc[imc].hint_wait_ps += done - t;
    return done;
}

void imc_settle(struct node_imc *n, ps_t t)
{
    for (uint32_t c = 0; c < n->n_chans; c++)
        if (n->chan[c].wpq)
            wpq_settle(n, &n->chan[c], t);
}

ps_t imc_last_ps(const struct node_imc *n, ps_t t, bool adr)
{
    ps_t last = 0;
    for (uint32_t i = 0; i < n->n_chans; i++)
        for (uint32_t k = 0; k < n->chan[i].wpq_n; k++) {
            const struct wpq_entry *e = wpq_at(n, &n->chan[i], k);
            if ((adr ? e->accept_ps : e->media_ps) <= t)
                last = max_u64(last, e->media_ps);
        }
    return last;
}

uint64_t imc_power_fail(struct node_imc *n, ps_t t, bool adr)
{
    uint64_t lost = 0;
    imc_settle(n, t);
    for (uint32_t i = 0; i < n->n_chans; i++) {
        struct channel *c = &n->chan[i];
        while (adr && c->wpq_n && wpq_at(n, c, 0)->accept_ps <= t)
            wpq_pop(n, c);
        lost += c->wpq_n;
        c->wpq_n = 0;
    }
    return lost;
}

uint32_t imc_queued_version(const struct node_imc *n, const struct mem_region *r, uint64_t offset_lines, ps_t t,
                            bool adr)
{
    uint64_t chan_line, line = (r->base >> LINE_SHIFT) + offset_lines;
    const struct channel *c = &n->chan[imc_channel(n, r->kind, offset_lines, &chan_line)];
    uint32_t version = 0;
    for (uint32_t i = 0; c->wpq && i < c->wpq_n; i++) {
        const struct wpq_entry *e = wpq_at(n, c, i);
        if (e->line == line && (adr ? e->accept_ps : e->media_ps) <= t && e->version > version)
            version = e->version;
    }
    return version;
}

uint64_t imc_wpq_places(const struct node_imc *n)
{
    return imc_wpq_ring(&n->conf);
}

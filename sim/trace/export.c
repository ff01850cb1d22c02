/* SPDX-License-Identifier: MIT */
/* Writers of foreign formats. What a format has no words for is dropped and counted. */
#include "sim/base/map.h"
#include "sim/trace/text.h"
#include "sim/trace/writer.h"

#include <stdlib.h>
#include <string.h>

static bool drop(struct trace_writer *w)
{
    w->n_dropped++;
    return true;
}

/* True for the kinds that load; modifications and reads. */
static bool loads(uint8_t kind)
{
    return kind == TRACE_READ || kind == TRACE_MODIFY;
}

/* DRAMsim3: data accesses with their time in ns as the cycle; without time, the number of the record. */
static int dramsim_write(struct trace_writer *w, const struct trace_rec *recs, uint32_t n, struct diag *d)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct trace_rec *r = &recs[i];
        if (r->kind == TRACE_EXEC || !trace_is_access(r->kind)) {
            drop(w);
            continue;
        }
        char line[80], *p = stpcpy(line, "0x");
        p = text_put_hex(p, r->addr, 1);
        p = stpcpy(p, r->kind == TRACE_READ ? " READ " : " WRITE ");
        p = text_put_dec(p, w->opt.has_time ? r->time_ns : w->n_records + i);
        *p++ = '\n';
        if (outstream_write(w->out, line, (uint64_t)(p - line), d) != 0)
            return -1;
    }
    return 0;
}

const struct trace_sink trace_sink_dramsim = {.name = "dramsim3", .write = dramsim_write};

/* Ramulator loads and stores; a modification is both. */
static int ramulator_write(struct trace_writer *w, const struct trace_rec *recs, uint32_t n, struct diag *d)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct trace_rec *r = &recs[i];
        if (r->kind == TRACE_EXEC || !trace_is_access(r->kind)) {
            drop(w);
            continue;
        }
        char line[80], *p = line;
        if (loads(r->kind)) {
            p = text_put_hex(stpcpy(p, "LD 0x"), r->addr, 1);
            *p++ = '\n';
        }
        if (trace_is_write(r->kind)) {
            p = text_put_hex(stpcpy(p, "ST 0x"), r->addr, 1);
            *p++ = '\n';
        }
        if (outstream_write(w->out, line, (uint64_t)(p - line), d) != 0)
            return -1;
    }
    return 0;
}

const struct trace_sink trace_sink_ramulator = {.name = "ramulator", .write = ramulator_write};

/* Ramulator CPU traces: "instructions read [writeback]". A store right after a load becomes its write-back, a store
 * alone reads and writes back the same address. */
struct ramcpu {
    uint64_t instrs; /* since the last line */
    bool has_load;
    uint64_t load_instrs, load;
};

static int ramcpu_line(struct trace_writer *w, uint64_t instrs, uint64_t load, const uint64_t *back, struct diag *d)
{
    char line[80], *p = text_put_dec(line, instrs);
    *p++ = ' ';
    p = text_put_dec(p, load);
    if (back) {
        *p++ = ' ';
        p = text_put_dec(p, *back);
    }
    *p++ = '\n';
    return outstream_write(w->out, line, (uint64_t)(p - line), d);
}

static int ramcpu_open(struct trace_writer *w, struct diag *d)
{
    (void)d;
    w->state = xcalloc(1, sizeof(struct ramcpu));
    return 0;
}

static int ramcpu_finish(struct trace_writer *w, struct diag *d)
{
    struct ramcpu *s = w->state;
    bool pending = s->has_load;
    s->has_load = false;
    return pending ? ramcpu_line(w, s->load_instrs, s->load, NULL, d) : 0;
}

static int ramcpu_record(struct trace_writer *w, const struct trace_rec *r, struct diag *d)
{
    struct ramcpu *s = w->state;
    s->instrs += r->arg;
    if (r->kind == TRACE_WRITE && s->has_load && r->arg == 0) {
        s->has_load = false;
        return ramcpu_line(w, s->load_instrs, s->load, &r->addr, d);
    }
    if (ramcpu_finish(w, d) != 0)
        return -1;
    uint64_t others = s->instrs ? s->instrs - 1 : 0; /* this access is one of them */
    s->instrs = 0;
    if (trace_is_write(r->kind))
        return ramcpu_line(w, others, r->addr, &r->addr, d);
    s->has_load = true;
    s->load_instrs = others;
    s->load = r->addr;
    return 0;
}

static int ramcpu_write(struct trace_writer *w, const struct trace_rec *recs, uint32_t n, struct diag *d)
{
    struct ramcpu *s = w->state;
    for (uint32_t i = 0; i < n; i++) {
        if (recs[i].kind == TRACE_EXEC) { /* an instruction, but no data access */
            s->instrs += recs[i].arg;
            drop(w);
        } else if (!trace_is_access(recs[i].kind)) {
            drop(w);
        } else if (ramcpu_record(w, &recs[i], d) != 0) {
            return -1;
        }
    }
    return 0;
}

const struct trace_sink trace_sink_ramcpu = {
    .name = "ramulator-cpu", .open = ramcpu_open, .write = ramcpu_write, .finish = ramcpu_finish};

/* ChampSim: a fetch begins an instruction of 64 bytes, the data accesses after it are its memory operands; when it has
 * no room for one, another instruction at the same address takes it. */
struct champsim {
    bool open;
    uint64_t ip, dst[2], src[4];
    uint32_t n_dst, n_src;
};

static int champsim_open(struct trace_writer *w, struct diag *d)
{
    (void)d;
    w->state = xcalloc(1, sizeof(struct champsim));
    return 0;
}

static int champsim_finish(struct trace_writer *w, struct diag *d)
{
    struct champsim *s = w->state;
    uint8_t b[64] = {0};
    if (!s->open)
        return 0;
    memcpy(b, &s->ip, 8);
    memcpy(b + 16, s->dst, sizeof s->dst);
    memcpy(b + 32, s->src, sizeof s->src);
    *s = (struct champsim){.ip = s->ip};
    return outstream_write(w->out, b, sizeof b, d);
}

static int champsim_record(struct trace_writer *w, const struct trace_rec *r, struct diag *d)
{
    struct champsim *s = w->state;
    bool load = loads(r->kind), store = trace_is_write(r->kind), fetch = r->kind == TRACE_EXEC;
    if (fetch || (load && s->n_src == 4) || (store && s->n_dst == 2)) {
        if (champsim_finish(w, d) != 0)
            return -1;
    }
    s->open = true;
    if (fetch)
        s->ip = r->addr;
    if (load)
        s->src[s->n_src++] = r->addr;
    if (store)
        s->dst[s->n_dst++] = r->addr;
    return 0;
}

static int champsim_write(struct trace_writer *w, const struct trace_rec *recs, uint32_t n, struct diag *d)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!trace_is_access(recs[i].kind))
            drop(w);
        else if (champsim_record(w, &recs[i], d) != 0)
            return -1;
    }
    return 0;
}

const struct trace_sink trace_sink_champsim = {
    .name = "champsim", .open = champsim_open, .write = champsim_write, .finish = champsim_finish};

/* oracleGeneral: objects as they are, disk requests by their first 512-byte block, memory accesses by their first 4 KiB
 * page. The place of an object's next access is filled in from the end once everything is written; that takes memory
 * for the distinct objects only. */
enum { ORACLE_BYTES = 24, ORACLE_PART = 4096 };

static int oracle_open(struct trace_writer *w, struct diag *d)
{
    return outstream_is_standard(w->out)
               ? fail(d, "oracleGeneral is completed from its end and cannot go to standard output")
               : 0;
}

static int oracle_write(struct trace_writer *w, const struct trace_rec *recs, uint32_t n, struct diag *d)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct trace_rec *r = &recs[i];
        bool object = r->kind == TRACE_OBJECT_READ || r->kind == TRACE_OBJECT_WRITE;
        bool block = r->kind == TRACE_BLOCK_READ || r->kind == TRACE_BLOCK_WRITE;
        if (!object && !block && !trace_is_access(r->kind)) {
            drop(w);
            continue;
        }
        uint8_t b[ORACLE_BYTES] = {0};
        uint32_t seconds = (uint32_t)(r->time_ns / 1000000000u), bytes = object || block ? r->arg : r->size;
        uint64_t id = object ? r->addr : block ? r->addr / 512 : r->addr >> 12;
        memcpy(b, &seconds, 4);
        memcpy(b + 4, &id, 8);
        memcpy(b + 12, &bytes, 4);
        if (outstream_write(w->out, b, sizeof b, d) != 0)
            return -1;
    }
    return 0;
}

/* Sets the next access of every record of one part, the last record first. */
static void oracle_link(uint8_t *part, uint64_t first, uint64_t n, struct map *next, uint64_t *max_next)
{
    for (uint64_t i = n; i-- > 0;) {
        uint64_t id;
        memcpy(&id, part + i * ORACLE_BYTES + 4, 8);
        uint64_t *at = id == UINT64_MAX ? max_next : map_put(next, id); /* number of the next access + 1, 0 = none */
        int64_t where = *at ? (int64_t)*at - 1 : -1;
        memcpy(part + i * ORACLE_BYTES + 16, &where, 8);
        *at = first + i + 1;
    }
}

static int oracle_finish(struct trace_writer *w, struct diag *d)
{
    struct map next = {0};
    uint64_t left = outstream_bytes(w->out) / ORACLE_BYTES, max_next = 0;
    uint8_t *part = xmalloc(ORACLE_PART * ORACLE_BYTES);
    int rc = 0;
    while (left > 0 && rc == 0) {
        uint64_t n = left < ORACLE_PART ? left : ORACLE_PART, offset = (left - n) * ORACLE_BYTES;
        rc = outstream_read(w->out, offset, part, n * ORACLE_BYTES, d);
        if (rc == 0) {
            oracle_link(part, left - n, n, &next, &max_next);
            rc = outstream_patch(w->out, offset, part, n * ORACLE_BYTES, d);
        }
        left -= n;
    }
    free(part);
    map_free(&next);
    return rc;
}

const struct trace_sink trace_sink_oracle = {
    .name = "oracleGeneral", .open = oracle_open, .write = oracle_write, .finish = oracle_finish};

/* SPDX-License-Identifier: MIT */
/* Binary formats of whole instructions or of object ids: ChampSim, DynamoRIO drmemtrace, oracleGeneral, bare ids. */
#include "sim/base/map.h"
#include "sim/trace/reader.h"

#include <stdlib.h>

/* ChampSim: 64 bytes an instruction: u64 ip, u8 is_branch, u8 taken, u8 destination registers[2], u8 source
 * registers[4], u64 destination memory[2], u64 source memory[4]; address 0 = none. */
enum { CHAMPSIM_BYTES = 64, CHAMPSIM_DST = 16, CHAMPSIM_SRC = 32 };

static int champsim_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out,
                            const char **why)
{
    (void)r, (void)n;
    int k = 0;
    if (p[8] > 1 || p[9] > 1) {
        *why = "found a branch flag above 1, expected a ChampSim instruction of 64 bytes";
        return -1;
    }
    out[k++] = (struct trace_rec){.addr = le64(p), .arg = 1, .kind = TRACE_EXEC};
    for (int i = 0; i < 4; i++) {
        uint64_t addr = le64(p + CHAMPSIM_SRC + 8 * i);
        if (addr)
            out[k++] = (struct trace_rec){.addr = addr, .kind = TRACE_READ};
    }
    for (int i = 0; i < 2; i++) {
        uint64_t addr = le64(p + CHAMPSIM_DST + 8 * i);
        if (addr)
            out[k++] = (struct trace_rec){.addr = addr, .kind = TRACE_WRITE};
    }
    return k;
}

const struct trace_format trace_format_champsim = {
    .desc = {"champsim", "ChampSim instructions, 64 bytes each", false, true},
    .convert = champsim_convert,
    .record_bytes = CHAMPSIM_BYTES,
};

/* drmemtrace: 12 bytes: u16 type, u16 size, u64 address. The types that matter here; 10 to 16 and 30 are kinds of
 * instructions, 2 to 9 and 27 prefetches. */
enum {
    DR_READ = 0,
    DR_WRITE = 1,
    DR_INSTR_FIRST = 10,
    DR_INSTR_LAST = 16,
    DR_DATA_FLUSH = 20,
    DR_THREAD = 22,
    DR_HEADER = 25,
    DR_MARKER = 28,
    DR_NO_FETCH = 29, /* another iteration of a string instruction */
    DR_SYSENTER = 31,
    DR_TAKEN_JUMP = 48,
    DR_UNTAKEN_JUMP = 49,
    DR_N_TYPES = 64,
    DR_MARKER_TIMESTAMP = 2 /* address = microseconds since 1601 */
};

struct drmem_state {
    struct map threads; /* thread id -> vCPU in order of appearance */
    uint8_t vcpu;
    bool has_start;
    uint64_t start_us, time_ns;
};

static int drmem_open(struct trace_reader *r, struct diag *d)
{
    (void)d;
    r->state = xcalloc(1, sizeof(struct drmem_state));
    r->info.n_records = TRACE_UNKNOWN;
    return 0;
}

static void drmem_close(struct trace_reader *r)
{
    struct drmem_state *s = r->state;
    if (s)
        map_free(&s->threads);
    free(s);
}

static int drmem_thread(struct drmem_state *s, uint64_t tid, const char **why)
{
    uint64_t n = s->threads.n, *vcpu = map_put(&s->threads, tid & INT64_MAX);
    if (s->threads.n > n)
        *vcpu = n;
    if (*vcpu >= QTR_MAX_VCPUS) {
        *why = "found thread number 257, expected at most 256 threads";
        return -1;
    }
    s->vcpu = (uint8_t)*vcpu;
    return 0;
}

static void drmem_marker(struct drmem_state *s, uint32_t marker, uint64_t value)
{
    if (marker != DR_MARKER_TIMESTAMP)
        return;
    s->start_us = s->has_start ? s->start_us : value;
    s->has_start = true;
    s->time_ns = value >= s->start_us ? (value - s->start_us) * 1000 : s->time_ns;
}

static int drmem_access(struct drmem_state *s, uint8_t kind, uint16_t size, uint64_t addr, uint32_t instrs,
                        struct trace_rec *out)
{
    *out = (struct trace_rec){
        .addr = addr, .time_ns = s->time_ns, .arg = instrs, .size = size, .kind = kind, .vcpu = s->vcpu};
    return 1;
}

static int drmem_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    (void)n;
    struct drmem_state *s = r->state;
    uint32_t type = le16(p);
    uint16_t size = le16(p + 2);
    uint64_t addr = le64(p + 4);
    if (type >= DR_N_TYPES) {
        *why = "found a type above 63, expected a drmemtrace record of 12 bytes";
        return -1;
    }
    bool instr = (type >= DR_INSTR_FIRST && type <= DR_INSTR_LAST) || type == DR_SYSENTER || type == DR_TAKEN_JUMP ||
                 type == DR_UNTAKEN_JUMP;
    if (instr)
        return drmem_access(s, TRACE_EXEC, size, addr, 1, out);
    switch (type) {
    case DR_READ:
        return drmem_access(s, TRACE_READ, size, addr, 0, out);
    case DR_WRITE:
        return drmem_access(s, TRACE_WRITE, size, addr, 0, out);
    case DR_DATA_FLUSH:
        return drmem_access(s, TRACE_CLFLUSH, size, addr, 0, out);
    case DR_THREAD:
        return drmem_thread(s, addr, why);
    case DR_MARKER:
        drmem_marker(s, size, addr);
        return 0;
    default:
        return 0;
    }
}

/* A header record, then only types that exist. */
static bool drmem_sniff(const uint8_t *p, uint64_t n)
{
    if (n < 48 || le16(p) != DR_HEADER || le16(p + 2) != 0 || le64(p + 4) > 64)
        return false;
    for (int i = 12; i < 48; i += 12) {
        if (le16(p + i) >= DR_N_TYPES)
            return false;
    }
    return true;
}

const struct trace_format trace_format_drmemtrace = {
    .desc = {"drmemtrace", "DynamoRIO drmemtrace, also in its .zip", true, false},
    .sniff = drmem_sniff,
    .open = drmem_open,
    .close = drmem_close,
    .convert = drmem_convert,
    .record_bytes = 12,
    .has_time = true,
};

/* oracleGeneral: 24 bytes: u32 time in s, u64 object, u32 bytes, i64 next access or -1. */
static int oracle_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    (void)r, (void)n, (void)why;
    *out = (struct trace_rec){.addr = le64(p + 4),
                              .time_ns = (uint64_t)le32(p) * 1000000000u,
                              .arg = le32(p + 12),
                              .kind = TRACE_OBJECT_READ};
    return 1;
}

const struct trace_format trace_format_oracle = {
    .desc = {"oracleGeneral", "libCacheSim's binary object requests, 24 bytes each", false, true},
    .convert = oracle_convert,
    .record_bytes = 24,
    .has_time = true,
};

static int u32_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    (void)r, (void)n, (void)why;
    *out = (struct trace_rec){.addr = le32(p), .kind = TRACE_OBJECT_READ};
    return 1;
}

static int u64_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    (void)r, (void)n, (void)why;
    *out = (struct trace_rec){.addr = le64(p), .kind = TRACE_OBJECT_READ};
    return 1;
}

/* As trace_read: all whole ids in the window at once. At its end the generic driver takes one and fills it again. */
static int ids_read(struct trace_reader *r, struct trace_rec *out, uint32_t max, struct diag *d)
{
    const uint32_t bytes = r->f->record_bytes;
    const uint64_t whole = stream_left(r->s) / bytes;
    const uint32_t n = whole < max ? (uint32_t)whole : max;
    const uint8_t *p = r->s->at;
    if (n == 0)
        return trace_read_binary(r, out, max, d);
    for (uint32_t i = 0; i < n; i++, p += bytes)
        out[i] = (struct trace_rec){.addr = bytes == 8 ? le64(p) : le32(p), .kind = TRACE_OBJECT_READ};
    stream_take(r->s, (uint64_t)n * bytes);
    return (int)n;
}

const struct trace_format trace_format_u32 = {
    .desc = {"u32", "object ids of 4 bytes", false, false},
    .read = ids_read,
    .convert = u32_convert,
    .record_bytes = 4,
};

const struct trace_format trace_format_u64 = {
    .desc = {"u64", "object ids of 8 bytes", false, false},
    .read = ids_read,
    .convert = u64_convert,
    .record_bytes = 8,
};

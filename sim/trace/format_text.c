/* SPDX-License-Identifier: MIT */
/* Foreign formats of one request a line. */
#include "sim/trace/reader.h"
#include "sim/trace/text.h"

#include <string.h>

#define SECTOR_BYTES 512

/* Numbers and words separated by blanks. */
static bool next_dec(struct text *t, uint64_t *v)
{
    return text_blanks(t) && text_dec(t, v);
}

/* Nothing but blanks is left. */
static bool ended(struct text *t)
{
    text_blanks(t);
    return text_done(t);
}

/* A word of the form and its blank; false leaves the place where it was. */
static bool word(struct text *t, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, w, n) != 0)
        return false;
    t->at += n;
    return true;
}

static bool only_blanks(const uint8_t *p, uint32_t n)
{
    struct text t = {p, p + n};
    return ended(&t);
}

/* True if the first line of text is one record of the format. */
static bool sniff_line(trace_convert_fn *convert, const uint8_t *p, uint64_t n)
{
    const uint8_t *nl = memchr(p, '\n', n);
    struct trace_rec out[TRACE_MAX_EXPANSION];
    const char *why;
    uint32_t len = nl ? (uint32_t)(nl - p) : (uint32_t)n;
    if (len > 0 && p[len - 1] == '\r')
        len--;
    return len > 0 && convert(NULL, p, len, out, &why) > 0;
}

/* "l|s 0xADDR n": loads and stores of the SPEC2000 traces, n instructions since the last one. */
static int ls_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    (void)r;
    struct text t = {p, p + n};
    uint64_t addr, instrs;
    bool store = n > 0 && *p == 's';
    if (only_blanks(p, n))
        return 0;
    if (!(text_char(&t, 'l') || text_char(&t, 's')) || !text_blanks(&t) || !text_0x(&t, &addr) ||
        !next_dec(&t, &instrs) || instrs > UINT32_MAX || !ended(&t)) {
        *why = "'l 0xADDR N' or 's 0xADDR N' with N instructions";
        return -1;
    }
    *out = (struct trace_rec){.addr = addr, .arg = (uint32_t)instrs, .kind = store ? TRACE_WRITE : TRACE_READ};
    return 1;
}

static bool ls_sniff(const uint8_t *p, uint64_t n)
{
    return sniff_line(ls_convert, p, n);
}

const struct trace_format trace_format_ls = {
    .desc = {"ls", "lines 'l|s 0xADDR instructions' (the SPEC2000 address traces)", true, false},
    .sniff = ls_sniff,
    .convert = ls_convert,
};

/* Ramulator's load/store traces: "LD ADDR", "ST ADDR", or the older "0xADDR R|W"; decimal or 0x. */
static bool any_number(struct text *t, uint64_t *v)
{
    struct text from = *t;
    if (text_0x(t, v))
        return true;
    *t = from;
    return text_dec(t, v);
}

static int ramulator_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out,
                             const char **why)
{
    (void)r;
    struct text t = {p, p + n};
    uint64_t addr;
    if (only_blanks(p, n))
        return 0;
    bool load = word(&t, "LD "), ok = load || word(&t, "ST ");
    if (ok) {
        text_blanks(&t);
        ok = any_number(&t, &addr);
    } else {
        ok = any_number(&t, &addr) && text_blanks(&t);
        load = ok && text_char(&t, 'R');
        ok = load || (ok && text_char(&t, 'W'));
    }
    if (!ok || !ended(&t)) {
        *why = "'LD ADDR', 'ST ADDR' or '0xADDR R|W'";
        return -1;
    }
    *out = (struct trace_rec){.addr = addr, .kind = load ? TRACE_READ : TRACE_WRITE};
    return 1;
}

static bool ramulator_sniff(const uint8_t *p, uint64_t n)
{
    return sniff_line(ramulator_convert, p, n);
}

const struct trace_format trace_format_ramulator = {
    .desc = {"ramulator", "Ramulator loads and stores: 'LD ADDR', 'ST ADDR' or '0xADDR R|W'", true, true},
    .sniff = ramulator_sniff,
    .convert = ramulator_convert,
};

/* Ramulator's CPU traces: "N READ [WRITEBACK]": N other instructions, then a load, perhaps a write-back; decimal. */
static int ramcpu_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    (void)r;
    struct text t = {p, p + n};
    uint64_t instrs, addr, back;
    if (only_blanks(p, n))
        return 0;
    bool ok = text_dec(&t, &instrs) && instrs < UINT32_MAX && next_dec(&t, &addr), two = false;
    if (ok && !ended(&t)) {
        two = true;
        ok = text_dec(&t, &back) && ended(&t);
    }
    if (!ok) {
        *why = "'INSTRUCTIONS READ_ADDR [WRITEBACK_ADDR]', decimal";
        return -1;
    }
    out[0] = (struct trace_rec){.addr = addr, .arg = (uint32_t)instrs + 1, .kind = TRACE_READ};
    if (two)
        out[1] = (struct trace_rec){.addr = back, .kind = TRACE_WRITE};
    return 1 + two;
}

const struct trace_format trace_format_ramcpu = {
    .desc = {"ramulator-cpu", "Ramulator CPU traces: 'instructions read [writeback]' (SPEC2006)", false, true},
    .convert = ramcpu_convert,
};

/* DRAMsim3: "0xADDR READ|WRITE CYCLE". A cycle counts as one nanosecond. */
static int dramsim_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out,
                           const char **why)
{
    (void)r;
    struct text t = {p, p + n};
    uint64_t addr, cycle;
    if (only_blanks(p, n))
        return 0;
    bool ok = text_0x(&t, &addr) && text_blanks(&t), read = ok && word(&t, "READ");
    if (!(read || (ok && word(&t, "WRITE"))) || !next_dec(&t, &cycle) || !ended(&t)) {
        *why = "'0xADDR READ|WRITE CYCLE'";
        return -1;
    }
    *out = (struct trace_rec){.addr = addr, .time_ns = cycle, .kind = read ? TRACE_READ : TRACE_WRITE};
    return 1;
}

static bool dramsim_sniff(const uint8_t *p, uint64_t n)
{
    return sniff_line(dramsim_convert, p, n);
}

const struct trace_format trace_format_dramsim = {
    .desc = {"dramsim3", "DRAMsim3 '0xADDR READ|WRITE cycle'; a cycle counts as 1 ns", true, true},
    .sniff = dramsim_sniff,
    .convert = dramsim_convert,
    .has_time = true,
};

/* A disk request in 512-byte sectors, within what a record can hold. */
static bool disk_request(uint64_t sector, uint64_t sectors, struct trace_rec *out)
{
    if (sector >> 55 || sectors == 0 || sectors > UINT32_MAX / SECTOR_BYTES)
        return false;
    out->addr = sector * SECTOR_BYTES;
    out->arg = (uint32_t)sectors * SECTOR_BYTES;
    return true;
}

/* lis: "START COUNT IGNORED NUMBER" in 512-byte blocks: the traces of the ARC paper. */
static int lis_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    (void)r;
    struct text t = {p, p + n};
    uint64_t start, count, ignored, number;
    if (only_blanks(p, n))
        return 0;
    *out = (struct trace_rec){.kind = TRACE_BLOCK_READ};
    if (!text_dec(&t, &start) || !next_dec(&t, &count) || !next_dec(&t, &ignored) || !next_dec(&t, &number) ||
        !ended(&t) || !disk_request(start, count, out)) {
        *why = "'START COUNT IGNORED NUMBER' in blocks of 512 bytes";
        return -1;
    }
    return 1;
}

const struct trace_format trace_format_lis = {
    .desc = {"lis", "block requests of the ARC paper: 'start count 0 number'", false, false},
    .convert = lis_convert,
};

/* MQSim: "ARRIVAL_NS DEVICE SECTOR SECTORS TYPE", type 0 = write, 1 = read. */
static int mqsim_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    (void)r;
    struct text t = {p, p + n};
    uint64_t time, device, sector, sectors, type;
    if (only_blanks(p, n))
        return 0;
    *out = (struct trace_rec){0};
    if (!text_dec(&t, &time) || !next_dec(&t, &device) || device > UINT16_MAX || !next_dec(&t, &sector) ||
        !next_dec(&t, &sectors) || !next_dec(&t, &type) || type > 1 || !ended(&t) ||
        !disk_request(sector, sectors, out)) {
        *why = "'ARRIVAL_NS DEVICE SECTOR SECTORS 0|1'";
        return -1;
    }
    out->time_ns = time;
    out->size = (uint16_t)device;
    out->kind = type == 1 ? TRACE_BLOCK_READ : TRACE_BLOCK_WRITE;
    return 1;
}

const struct trace_format trace_format_mqsim = {
    .desc = {"mqsim", "MQSim disk requests: 'ns device sector sectors type'", false, false},
    .convert = mqsim_convert,
    .has_time = true,
};

/* ids: one decimal id a line; empty lines and lines "*" are ignored. */
static int ids_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    (void)r;
    struct text t = {p, p + n};
    uint64_t id;
    text_blanks(&t);
    if (text_done(&t) || *t.at == '*')
        return 0;
    if (!text_dec(&t, &id) || !ended(&t)) {
        *why = "one decimal id";
        return -1;
    }
    *out = (struct trace_rec){.addr = id, .kind = TRACE_OBJECT_READ};
    return 1;
}

const struct trace_format trace_format_ids = {
    .desc = {"ids", "one decimal object id a line", false, false},
    .convert = ids_convert,
};

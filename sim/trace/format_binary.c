/* SPDX-License-Identifier: MIT */
/* Foreign formats with records of a fixed size. */
#include "sim/trace/reader.h"

#include <stdlib.h>

/* pw: u64: bits 0-35 page number, 36 write, 37 data read, 38 instruction fetch, 39-63 instructions since the last. */
static int pw_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    static const int8_t kinds[8] = {-1, TRACE_WRITE, TRACE_READ, TRACE_MODIFY, TRACE_EXEC, -1, -1, -1};
    (void)r, (void)n;
    uint64_t v = le64(p);
    int kind = kinds[(v >> 36) & 7];
    if (kind < 0) {
        *why = "found no kind or a fetch that is also data, expected a page record (bits 36 write, 37 read, 38 fetch)";
        return -1;
    }
    *out =
        (struct trace_rec){.addr = (v & ((1ull << 36) - 1)) << 12, .arg = (uint32_t)(v >> 39), .kind = (uint8_t)kind};
    return 1;
}

const struct trace_format trace_format_pw = {
    .desc = {"pw", "pages and instruction distances, 8 bytes a record", false, false},
    .convert = pw_convert,
    .record_bytes = 8,
    .pages_only = true,
};

/* raw: u64: bits 0-47 address, 48-55 size, 56-57 kind. */
static int raw_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    static const uint8_t kinds[4] = {TRACE_EXEC, TRACE_READ, TRACE_WRITE, TRACE_MODIFY};
    (void)r, (void)n;
    uint64_t v = le64(p);
    if (v >> 58) {
        *why = "found bits above 57, expected an access record (48-bit address, size, kind)";
        return -1;
    }
    *out = (struct trace_rec){
        .addr = v & ((1ull << 48) - 1), .size = (uint16_t)((v >> 48) & 0xff), .kind = kinds[(v >> 56) & 3]};
    return 1;
}

const struct trace_format trace_format_raw = {
    .desc = {"raw", "addresses, sizes and kinds, 8 bytes a record", false, false},
    .convert = raw_convert,
    .record_bytes = 8,
};

/* vscsi: disk requests as VMware's tracer writes them. Version 1, 32 bytes: u32 number, u32 bytes, u32 segments, u16
 * SCSI operation, u16 version 0x01xx, u64 block, u64 time in us. Version 2, 40 bytes: u16 operation, u16 version
 * 0x02xx, u32 number, u32 bytes, u32 segments, u64 block, u64 time in us, u64 response time. */
enum { VSCSI1_BYTES = 32, VSCSI2_BYTES = 40 };

static bool is_vscsi1(const uint8_t *p)
{
    return le16(p + 14) >> 8 == 1;
}

static bool is_vscsi2(const uint8_t *p)
{
    return le16(p + 2) >> 8 == 2;
}

/* Two records in a row must have a version and a known operation, for little else in them is constant. */
static int vscsi_version(const uint8_t *p, uint64_t n)
{
    if (n >= 2 * VSCSI2_BYTES && is_vscsi2(p) && is_vscsi2(p + VSCSI2_BYTES) && p[1] == 0)
        return 2;
    if (n >= 2 * VSCSI1_BYTES && is_vscsi1(p) && is_vscsi1(p + VSCSI1_BYTES) && p[13] == 0)
        return 1;
    return 0;
}

static bool vscsi_sniff(const uint8_t *p, uint64_t n)
{
    return vscsi_version(p, n) != 0;
}

/* SCSI operation -> kind, or -1: reads and writes of 6, 10, 12 and 16 byte commands, and cache synchronisation. */
static int scsi_kind(uint32_t op)
{
    switch (op) {
    case 0x08:
    case 0x28:
    case 0xa8:
    case 0x88:
        return TRACE_BLOCK_READ;
    case 0x0a:
    case 0x2a:
    case 0xaa:
    case 0x8a:
        return TRACE_BLOCK_WRITE;
    case 0x35:
    case 0x91:
        return TRACE_BLOCK_FLUSH;
    default:
        return -1;
    }
}

static int vscsi_record(uint32_t op, uint32_t bytes, uint64_t block, uint64_t time_us, struct trace_rec *out,
                        const char **why)
{
    if (block >> 55 || time_us > UINT64_MAX / 1000) {
        *why = "found a block number of more than 55 bits or a time past 2^64 ns, expected a disk request";
        return -1;
    }
    int kind = scsi_kind(op);
    if (kind < 0)
        return 0; /* other commands move no data */
    *out = (struct trace_rec){.addr = block * 512, .time_ns = time_us * 1000, .arg = bytes, .kind = (uint8_t)kind};
    return 1;
}

static int vscsi1_convert(const uint8_t *p, struct trace_rec *out, const char **why)
{
    if (!is_vscsi1(p)) {
        *why = "found another version number, expected a record of version 1";
        return -1;
    }
    return vscsi_record(le16(p + 12), le32(p + 4), le64(p + 16), le64(p + 24), out, why);
}

static int vscsi2_convert(const uint8_t *p, struct trace_rec *out, const char **why)
{
    if (!is_vscsi2(p)) {
        *why = "found another version number, expected a record of version 2";
        return -1;
    }
    return vscsi_record(le16(p), le32(p + 8), le64(p + 16), le64(p + 24), out, why);
}

static int vscsi_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    (void)r;
    return n == VSCSI2_BYTES ? vscsi2_convert(p, out, why) : vscsi1_convert(p, out, why);
}

static const struct trace_format trace_format_vscsi2 = {
    .desc = {"vscsi", "VMware vSCSI disk requests, versions 1 and 2", true, false},
    .convert = vscsi_convert,
    .record_bytes = VSCSI2_BYTES,
    .has_time = true,
};

static int vscsi_open(struct trace_reader *r, struct diag *d)
{
    uint64_t n = stream_fill(r->s, 2 * VSCSI2_BYTES);
    if (n == 0)
        return stream_status(r->s, d);
    if (vscsi_version(r->s->at, n) == 2)
        r->f = &trace_format_vscsi2;
    r->info.n_records = TRACE_UNKNOWN; /* commands that move no data are passed over */
    return 0;
}

const struct trace_format trace_format_vscsi = {
    .desc = {"vscsi", "VMware vSCSI disk requests, versions 1 and 2", true, false},
    .sniff = vscsi_sniff,
    .open = vscsi_open,
    .convert = vscsi_convert,
    .record_bytes = VSCSI1_BYTES,
    .has_time = true,
};

/* SPDX-License-Identifier: MIT */
/* The native format behind its checksums: the input is a payload, to which a right header, chunk header and checksums
 * are added, so that damage reaches the columns. */
#include "sim/trace/qtr.h"
#include "sim/trace/trace.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag d = {0};
    struct trace_rec rec[61];
    if (size < 4 || size > 100000)
        return 0;
    uint32_t n_records = 1 + data[0] + (data[1] & 15) * 4096u, payload = (uint32_t)size - 2;
    uint8_t *b = calloc(1, QTR_HEADER_BYTES + QTR_CHUNK_BYTES + payload), *c = b + QTR_HEADER_BYTES;
    memcpy(b, QTR_MAGIC, 8);
    put32(b + 8, QTR_VERSION | (data[1] & 0x80 ? QTR_HAS_TIME << 16 : 0));
    put32(b + 12, 4);
    put32(b + 24, (uint32_t)crc32(0, b, 24));
    memcpy(c, QTR_MAGIC_CHUNK, 4);
    put32(c + 4, n_records);
    put32(c + 8, payload);
    put32(c + 12, (uint32_t)crc32(0, data + 2, payload));
    put32(c + 20, (uint32_t)crc32(0, c, 20));
    memcpy(c + QTR_CHUNK_BYTES, data + 2, payload);
    struct trace_reader *r = trace_open_memory(b, QTR_HEADER_BYTES + QTR_CHUNK_BYTES + payload, "fuzz", NULL, &d);
    int n = r ? 0 : -1;
    while (r && (n = trace_read(r, rec, 61, &d)) > 0) {
        for (int i = 0; i < n; i++) {
            if (rec[i].kind >= TRACE_N_KINDS || rec[i].vcpu >= 4)
                abort();
            if (rec[i].kind == TRACE_MARK && strlen(trace_mark_text(r, &rec[i])) > rec[i].arg)
                abort();
        }
    }
    if (n >= 0 || d.n_errors != 1) /* there is no end record, so an error must come */
        abort();
    trace_close(r);
    free(b);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* Every trace reader on arbitrary bytes. The first byte picks the format (0 = by content), unless QUIRE_FUZZ_FORMAT in
 * the environment names one; the rest is the trace. A
 * reader must end with 0, or with -1 and exactly one line; every record must be of a known kind and of a vCPU there can
 * be. */
#include "sim/trace/trace.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *format_number(uint8_t k)
{
    uint32_t n = 0;
    while (trace_format_at(n))
        n++;
    k = (uint8_t)(k % (n + 1));
    return k == 0 ? NULL : trace_format_at(k - 1u)->name;
}

static void require(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char columns[] = "addr=1,op=2,bytes=3,time_s=4,vcpu=5";
    struct diag d = {0};
    struct trace_rec rec[97];
    uint64_t total = 0;
    if (size == 0)
        return 0;
    const char *named = getenv("QUIRE_FUZZ_FORMAT");
    const struct trace_options opt = {.format = named ? named : format_number(data[0] & 0x7f),
                                      .columns = data[0] & 0x80 ? columns : NULL};
    struct trace_reader *r = trace_open_memory(data + 1, size - 1, "fuzz", &opt, &d);
    int n = r ? 0 : -1;
    while (r && (n = trace_read(r, rec, 97, &d)) > 0 && total < 1000000) {
        require(n <= 97);
        for (int i = 0; i < n; i++) {
            require(rec[i].kind < TRACE_N_KINDS);
            if (rec[i].kind == TRACE_MARK)
                require(strlen(trace_mark_text(r, &rec[i])) <= rec[i].arg);
        }
        total += (uint64_t)n;
    }
    require(n < 0 ? d.n_errors == 1 && d.len > 0 && !strchr(d.text, '\n') : d.n_errors == 0);
    trace_close(r);
    return 0;
}

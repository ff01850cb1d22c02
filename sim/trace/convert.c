/* SPDX-License-Identifier: MIT */
#include "sim/trace/convert.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 1024

const char *trace_kind_name(uint8_t kind)
{
    static const char *const names[TRACE_N_KINDS] = {
        [TRACE_READ] = "read",
        [TRACE_WRITE] = "write",
        [TRACE_EXEC] = "exec",
        [TRACE_MODIFY] = "modify",
        [TRACE_NTSTORE] = "ntstore",
        [TRACE_CLFLUSH] = "clflush",
        [TRACE_CLFLUSHOPT] = "clflushopt",
        [TRACE_CLWB] = "clwb",
        [TRACE_SFENCE] = "sfence",
        [TRACE_MFENCE] = "mfence",
        [TRACE_FLUSH_HINT] = "flush_hint",
        [TRACE_BLOCK_READ] = "block_read",
        [TRACE_BLOCK_WRITE] = "block_write",
        [TRACE_BLOCK_FLUSH] = "block_flush",
        [TRACE_SPACE] = "space",
        [TRACE_PAGE_ZERO] = "page_zero",
        [TRACE_PAGE_PATTERN] = "page_pattern",
        [TRACE_PAGE_UNIQUE] = "page_unique",
        [TRACE_MARK] = "mark",
        [TRACE_OBJECT_READ] = "object_read",
        [TRACE_OBJECT_WRITE] = "object_write",
        [TRACE_REGION] = "region",
    };
    CHECK(kind < TRACE_N_KINDS);
    return names[kind];
}

static void count(struct trace_summary *s, const struct trace_rec *r)
{
    s->n_kind[r->kind]++;
    if (s->n_records++ == 0)
        s->first_ns = r->time_ns;
    s->last_ns = r->time_ns;
    if (r->vcpu >= s->n_vcpus)
        s->n_vcpus = r->vcpu + 1u;
    if (r->kind <= TRACE_FLUSH_HINT)
        s->n_instructions += r->arg;
    if (r->kind == TRACE_BLOCK_READ || r->kind == TRACE_BLOCK_WRITE)
        s->n_block_bytes += r->arg;
    if (trace_is_access(r->kind)) {
        s->least_addr = r->addr < s->least_addr ? r->addr : s->least_addr;
        s->most_addr = r->addr > s->most_addr ? r->addr : s->most_addr;
    }
}

int trace_summarise(struct trace_reader *r, struct trace_summary *s, trace_progress_fn *progress, void *ctx,
                    struct diag *d)
{
    struct trace_rec rec[BATCH];
    uint32_t batches = 0;
    int n;
    *s = (struct trace_summary){.least_addr = UINT64_MAX};
    while ((n = trace_read(r, rec, BATCH, d)) > 0) {
        for (int i = 0; i < n; i++)
            count(s, &rec[i]);
        if (progress && (++batches & 1023) == 0)
            progress(ctx, trace_bytes_done(r), trace_bytes_total(r));
    }
    return n;
}

/* Writes a batch; marks go by their own way. */
static int write_batch(struct trace_writer *w, const struct trace_reader *r, const struct trace_rec *rec, uint32_t n,
                       struct diag *d)
{
    uint32_t from = 0;
    for (uint32_t i = 0; i <= n; i++) {
        if (i < n && rec[i].kind != TRACE_MARK)
            continue;
        if (trace_write(w, rec + from, i - from, d) != 0)
            return -1;
        if (i < n && trace_writer_mark(w, rec[i].vcpu, rec[i].time_ns, trace_mark_text(r, &rec[i]), d) != 0)
            return -1;
        from = i + 1;
    }
    return 0;
}

int trace_convert(struct trace_reader *r, const char *path, const struct trace_writer_options *opt,
                  trace_progress_fn *progress, void *ctx, uint64_t *dropped, struct diag *d)
{
    struct trace_writer *w = trace_writer_new(path, opt, d);
    struct trace_rec rec[BATCH];
    uint32_t batches = 0;
    int n;
    if (!w)
        return -1;
    while ((n = trace_read(r, rec, BATCH, d)) > 0) {
        if (write_batch(w, r, rec, (uint32_t)n, d) != 0)
            n = -1;
        if (n < 0)
            break;
        if (progress && (++batches & 1023) == 0)
            progress(ctx, trace_bytes_done(r), trace_bytes_total(r));
    }
    if (n < 0) {
        trace_writer_abort(w);
        return -1;
    }
    *dropped = trace_writer_dropped(w);
    return trace_writer_finish(w, d);
}

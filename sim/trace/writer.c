/* SPDX-License-Identifier: MIT */
#include "sim/trace/writer.h"

#include <stdlib.h>
#include <string.h>

static const struct trace_sink *const sinks[] = {&trace_sink_qtr,     &trace_sink_lackey,    &trace_sink_champsim,
                                                 &trace_sink_dramsim, &trace_sink_ramulator, &trace_sink_ramcpu,
                                                 &trace_sink_oracle};

static const struct trace_sink *sink_named(const char *name, struct diag *d)
{
    for (size_t i = 0; i < sizeof sinks / sizeof sinks[0]; i++) {
        if (strcmp(sinks[i]->name, name) == 0)
            return sinks[i];
    }
    fail(d, "trace format '%s' cannot be written", name);
    return NULL;
}

struct trace_writer *trace_writer_new(const char *path, const struct trace_writer_options *opt, struct diag *d)
{
    struct trace_writer_options o = opt ? *opt : (struct trace_writer_options){0};
    const struct trace_sink *sink = sink_named(o.format ? o.format : "qtr", d);
    if (!sink)
        return NULL;
    if (o.n_vcpus > QTR_MAX_VCPUS) {
        fail(d, "%s: a trace of %u vCPUs was asked for, expected at most %u", path, o.n_vcpus, QTR_MAX_VCPUS);
        return NULL;
    }
    struct outstream *out = outstream_new(path, d);
    if (!out)
        return NULL;
    struct trace_writer *w = xcalloc(1, sizeof *w);
    *w = (struct trace_writer){.out = out,
                               .sink = sink,
                               .opt = o,
                               .path = xstrdup(path),
                               .vcpu_limit = o.n_vcpus ? o.n_vcpus : QTR_MAX_VCPUS,
                               .n_vcpus = 1};
    if (sink->open && sink->open(w, d) != 0) {
        trace_writer_abort(w);
        return NULL;
    }
    return w;
}

int trace_write(struct trace_writer *w, const struct trace_rec *recs, uint32_t n, struct diag *d)
{
    for (uint32_t i = 0; i < n; i++) {
        if (recs[i].kind >= TRACE_N_KINDS || recs[i].kind == TRACE_MARK || recs[i].vcpu >= w->vcpu_limit) {
            w->failed = true;
            return fail(d, "%s: record %llu has kind %u and vCPU %u, expected a known kind and a vCPU below %u",
                        w->path, (unsigned long long)(w->n_records + i), recs[i].kind, recs[i].vcpu, w->vcpu_limit);
        }
        w->n_vcpus = recs[i].vcpu >= w->n_vcpus ? recs[i].vcpu + 1u : w->n_vcpus;
    }
    if (w->sink->write(w, recs, n, d) != 0) {
        w->failed = true;
        return -1;
    }
    w->n_records += n;
    return 0;
}

int trace_writer_mark(struct trace_writer *w, uint8_t vcpu, uint64_t time_ns, const char *text, struct diag *d)
{
    size_t len = strlen(text);
    if (len > QTR_MAX_TEXT || vcpu >= w->vcpu_limit) {
        w->failed = true;
        return fail(d, "%s: a mark of %zu bytes on vCPU %u, expected at most %u bytes and a vCPU below %u", w->path,
                    len, vcpu, QTR_MAX_TEXT, w->vcpu_limit);
    }
    w->n_vcpus = vcpu >= w->n_vcpus ? vcpu + 1u : w->n_vcpus;
    struct trace_rec rec = {.time_ns = time_ns, .arg = (uint32_t)len, .kind = TRACE_MARK, .vcpu = vcpu};
    w->n_records++;
    if (!w->sink->mark) {
        w->n_dropped++;
        return 0;
    }
    if (w->sink->mark(w, &rec, text, d) == 0)
        return 0;
    w->failed = true;
    return -1;
}

uint64_t trace_writer_dropped(const struct trace_writer *w)
{
    return w->n_dropped;
}

static void writer_free(struct trace_writer *w)
{
    if (w->sink->close)
        w->sink->close(w);
    else
        free(w->state);
    free(w->path);
    free(w);
}

int trace_writer_finish(struct trace_writer *w, struct diag *d)
{
    if (w->failed || (w->sink->finish && w->sink->finish(w, d) != 0)) {
        trace_writer_abort(w);
        return -1;
    }
    int rc = outstream_finish(w->out, d);
    writer_free(w);
    return rc;
}

void trace_writer_abort(struct trace_writer *w)
{
    if (!w)
        return;
    outstream_abort(w->out);
    writer_free(w);
}

/* SPDX-License-Identifier: MIT */
/* Inside sim/trace: what a format that can be written provides. */
#ifndef QUIRE_TRACE_WRITER_H
#define QUIRE_TRACE_WRITER_H

#include "sim/trace/outstream.h"
#include "sim/trace/trace.h"

struct trace_writer {
    struct outstream *out;
    const struct trace_sink *sink;
    struct trace_writer_options opt;
    uint32_t vcpu_limit; /* records' vCPUs are below this */
    uint32_t n_vcpus;    /* highest vCPU written + 1 */
    char *path;
    void *state;
    uint64_t n_records; /* taken */
    uint64_t n_dropped; /* that the format has no words for */
    bool failed;
};

struct trace_sink {
    const char *name;
    int (*open)(struct trace_writer *w, struct diag *d); /* NULL = nothing to write first */
    int (*write)(struct trace_writer *w, const struct trace_rec *recs, uint32_t n, struct diag *d);
    int (*mark)(struct trace_writer *w, const struct trace_rec *rec, const char *text,
                struct diag *d);                           /* NULL = drop */
    int (*finish)(struct trace_writer *w, struct diag *d); /* may be NULL */
    void (*close)(struct trace_writer *w);                 /* frees state; NULL = free(state) */
};

extern const struct trace_sink trace_sink_qtr, trace_sink_lackey, trace_sink_champsim, trace_sink_dramsim;
extern const struct trace_sink trace_sink_ramulator, trace_sink_ramcpu, trace_sink_oracle;

#endif

/* SPDX-License-Identifier: MIT */
/* Whole-trace operations: counting what is in one, and copying one into another format. */
#ifndef QUIRE_TRACE_CONVERT_H
#define QUIRE_TRACE_CONVERT_H

#include "sim/trace/trace.h"

/* Called now and then while reading; total_bytes is 0 for a pipe. */
typedef void trace_progress_fn(void *ctx, uint64_t done_bytes, uint64_t total_bytes);

struct trace_summary {
    uint64_t n_records;
    uint64_t n_kind[TRACE_N_KINDS];
    uint64_t n_instructions; /* sum of arg over CPU records */
    uint64_t n_block_bytes;  /* moved by block I/O */
    uint32_t n_vcpus;        /* highest vCPU seen + 1 */
    uint64_t first_ns, last_ns;
    uint64_t least_addr, most_addr; /* of memory accesses; least > most if there are none */
};

/* Name of a kind as `trace info` prints it: "read", "block_write". */
const char *trace_kind_name(uint8_t kind);

/* Reads r to its end. -1 after fail(). */
int trace_summarise(struct trace_reader *r, struct trace_summary *s, trace_progress_fn *progress, void *ctx,
                    struct diag *d);

/* Copies what r delivers, marks included, into the file at path. On failure nothing is left at path. *dropped counts
 * records that the target format has no words for. */
int trace_convert(struct trace_reader *r, const char *path, const struct trace_writer_options *opt,
                  trace_progress_fn *progress, void *ctx, uint64_t *dropped, struct diag *d);

#endif

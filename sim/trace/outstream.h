/* SPDX-License-Identifier: MIT */
/* Inside sim/trace: where writers put bytes: a file that appears whole (sim/base/outfile.h), or standard output. */
#ifndef QUIRE_TRACE_OUTSTREAM_H
#define QUIRE_TRACE_OUTSTREAM_H

#include "sim/base/outfile.h"

#include <stdint.h>

struct outstream;

/* path "-" is standard output. NULL after fail(). */
struct outstream *outstream_new(const char *path, struct diag *d);
/* Appends. -1 after fail(). */
int outstream_write(struct outstream *o, const void *bytes, uint64_t n, struct diag *d);
/* Overwrites n bytes at offset, all of them written before. Not for standard output. */
int outstream_patch(struct outstream *o, uint64_t offset, const void *bytes, uint64_t n, struct diag *d);
/* Reads back n bytes at offset, all of them written before. Not for standard output. */
int outstream_read(struct outstream *o, uint64_t offset, void *bytes, uint64_t n, struct diag *d);
/* Bytes appended so far. */
uint64_t outstream_bytes(const struct outstream *o);
bool outstream_is_standard(const struct outstream *o);
/* Makes the file appear and frees o, also after an error. */
int outstream_finish(struct outstream *o, struct diag *d);
/* Leaves what stood at path as it was, and frees o. */
void outstream_abort(struct outstream *o);

#endif

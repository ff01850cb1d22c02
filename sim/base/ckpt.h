/* SPDX-License-Identifier: MIT */
/* Checkpoints: the state of a simulation as one compressed stream. Every module has one function that both writes and
 * reads its state, so that the two cannot drift apart:
 *
 *     void wpq_state(struct wpq *q, struct ckpt *c)
 *     {
 *         ckpt_section(c, "wpq");
 *         CKPT_STRUCT(c, q, CKPT_KEEP(struct wpq, entry));      all of *q but the pointer
 *         ckpt_bytes(c, q->entry, q->cap * sizeof *q->entry);   what it points to
 *     }
 *
 * The reader has built the same machine from the same configuration before: arrays that the configuration sizes are
 * there and are overwritten. Errors are kept; until somebody asks ckpt_failed(), a reader gets zeroes.
 *
 * The file: "QUIRECKP", version (32 bits), 32 bits 0, a zstd stream, XXH3-128 of all that (16 bytes, canonical).
 * Numbers are little-endian. A section carries its name and a hash of the sizes in it, so that a file of another
 * version of quire is found out even if nobody counted the version up. */
#ifndef QUIRE_BASE_CKPT_H
#define QUIRE_BASE_CKPT_H

#include "sim/base/diag.h"
#include "sim/base/heap.h"
#include "sim/base/map.h"

#define CKPT_VERSION 1u

struct ckpt;

/* NULL with one error line. */
struct ckpt *ckpt_create(const char *path, struct diag *d);
/* Checks the whole file first: magic, version, digest. NULL with one error line. */
struct ckpt *ckpt_open(const char *path, struct diag *d);
/* Ends it: a written file is complete and renamed into place, unless something failed; a read one has to be at its end.
 * -1 with one error line. Frees c. */
int ckpt_close(struct ckpt *c, struct diag *d);
/* Gives up: nothing is left. */
void ckpt_abort(struct ckpt *c);

bool ckpt_is_loading(const struct ckpt *c);
bool ckpt_failed(const struct ckpt *c);
/* The state cannot be written, or what was read is nonsense; the first text stays. */
void ckpt_fail(struct ckpt *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* From here on the state is the named part's. */
void ckpt_section(struct ckpt *c, const char *name);
void ckpt_bytes(struct ckpt *c, void *p, size_t n);
#define CKPT(c, x) ckpt_bytes(c, &(x), sizeof(x))

/* A struct without the pointers in it, which stay what they are: fields of 8 bytes at the offsets in keep. */
void ckpt_struct(struct ckpt *c, void *p, size_t size, const uint32_t *keep, uint32_t n_keep);
#define CKPT_KEEP(type, field) (uint32_t) offsetof(type, field)
#define CKPT_STRUCT(c, p, ...)                                                                                         \
    ckpt_struct(c, p, sizeof *(p), (const uint32_t[]){__VA_ARGS__},                                                    \
                sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* A number that sizes something: reading, one above max is an error, and 0. */
uint64_t ckpt_count(struct ckpt *c, uint64_t n, uint64_t max);
/* A number that the configuration has fixed: reading, another one is an error. */
void ckpt_same(struct ckpt *c, uint64_t n, const char *what);
/* An array on the heap of n elements with room for cap (NULL: as many as there are); at most max. Reading, the old one
 * is freed. An empty one may be NULL. */
void ckpt_array(struct ckpt *c, void *pp, uint64_t *n, uint64_t *cap, size_t element, uint64_t max);
/* Text on the heap, or NULL. Reading, the old one is freed. */
void ckpt_text(struct ckpt *c, char **s);
void ckpt_map(struct ckpt *c, struct map *m);
void ckpt_heap(struct ckpt *c, struct heap *h);

#endif

/* SPDX-License-Identifier: MIT */
/* What the two halves of a module share; inside sim/nvdimm only. */
#ifndef QUIRE_NVDIMM_NVDIMM_INT_H
#define QUIRE_NVDIMM_NVDIMM_INT_H

#include "sim/base/diag.h"
#include "sim/nvdimm/nvdimm.h"

#define NEVER UINT64_MAX

/* A number below n, which is not 0, from the sequence of *random: the same requests, the same draws. */
static inline uint32_t nvdimm_draw(uint64_t *random, uint32_t n)
{
    *random = *random * 6364136223846793005ull + 1442695040888963407ull; /* Knuth's MMIX generator */
    return (uint32_t)((*random >> 32) * n >> 32);
}

/* Takes one of the reads that wait: the oldest of three that are drawn at random (reads age; calibrated on row 54). */
static inline uint64_t front_draw(struct nvdimm *n, struct front *f)
{
    uint32_t at = nvdimm_draw(&n->random, f->n);
    for (uint32_t i = 1; i < 3; i++) {
        uint32_t other = nvdimm_draw(&n->random, f->n);
        at = f->order[other] < f->order[at] ? other : at;
    }
    uint64_t line = f->line[at];
    f->line[at] = f->line[--f->n];
    f->order[at] = f->order[f->n];
    return line;
}

/* Takes the line that has waited longest. */
static inline uint64_t front_first(struct front *f)
{
    uint64_t line = f->line[f->head];
    f->head = (f->head + 1) % FRONT_LINES;
    f->n--;
    return line;
}

/* One more gap in a moving mean of some 64; outliers, such as stalls, count as most_ps. */
static inline void mean_add(ps_t *mean_ps, ps_t gap_ps, ps_t most_ps)
{
    *mean_ps += min_u64(gap_ps, most_ps) / 64 - *mean_ps / 64;
}

/* Looks the translation of an XPLine up and enters it; true if it was there. */
bool nvdimm_translated(struct nvdimm *n, uint64_t xpline);

/* write.c. All empty; afterwards nvdimm_writes_fini frees. */
void nvdimm_writes_init(struct nvdimm *n);
void nvdimm_writes_fini(struct nvdimm *n);
/* A write arrives at t: it enters the load/store queue, or waits in front of it. True if it entered. */
bool nvdimm_arrive(struct nvdimm *n, uint64_t line, ps_t t);
/* The next thing that the writing half does on its own: when; NEVER: nothing. */
ps_t nvdimm_write_event_ps(const struct nvdimm *n);
/* It does it. */
void nvdimm_write_event(struct nvdimm *n);
/* The module behind the door whose event_ps() is first, and when that is; NULL if none has any. */
static inline __attribute__((always_inline)) struct nvdimm *
nvdimm_first(const struct nvdimm_door *door, ps_t (*event_ps)(const struct nvdimm *n), ps_t *first)
{
    struct nvdimm *n = NULL;
    *first = NEVER;
    for (uint32_t i = 0; i < door->n_modules; i++) {
        ps_t at = event_ps(door->module[i]);
        n = at < *first ? door->module[i] : n;
        *first = min_u64(*first, at);
    }
    return n;
}
/* Whether all lines of mask wait to be written, in the load/store queue or the XPBuffer. */
bool nvdimm_holds(const struct nvdimm *n, uint64_t xpline, uint32_t mask);

/* nvdimm.c: everything that the module does on its own until t. */
void nvdimm_run(struct nvdimm *n, ps_t t);

#endif

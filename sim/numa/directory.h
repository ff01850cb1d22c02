/* SPDX-License-Identifier: MIT */
/* Memory directory of all nodes: one bit a line, which says that another socket than the line's home may hold it. The
 * home agents of Skylake-SP and later keep it in spare bits of the line's check code, so changing it writes the line
 * (Intel's optimisation manual, 248966, on persistent memory: "directory writes"; uncore performance monitoring guide
 * 336274, event DIR_UPDATE; J. McCalpin, "Memory directories in Intel processors", 2023):
 *
 *   a line that goes to another socket from memory comes exclusively, and sets its bit;
 *   a write-back to the home clears it, for its data are written anyway;
 *   a read by the home that finds it set asks the others, and clears it if none of them had the line.
 *
 * A home sets few bits at a time. A line that leaves for another socket and has no bit yet takes one of a few places
 * from the request on until the controller has taken the directory write; while all are taken, requests of other
 * sockets wait. Where many of them meet at one persistent module, which takes lines slowly, the others stand still with
 * them.
 *
 * Here the bits of a page are one word of a map that holds only pages with a bit set: 16 bytes, by the map's load up to
 * 32, for a page that another socket has touched, nothing for others. */
#ifndef QUIRE_NUMA_DIRECTORY_H
#define QUIRE_NUMA_DIRECTORY_H

#include "sim/base/ckpt.h"
#include "sim/base/map.h"
#include "sim/base/types.h"

struct mem_directory {
    struct map page;  /* number of a page -> bits of its lines */
    uint64_t n_lines; /* bits that are set */
};

#define DIRECTORY_MAX_PLACES 256u

/* The places of one home. */
struct directory_places {
    uint32_t next; /* a place that may be free */
    ps_t free_ps[DIRECTORY_MAX_PLACES];
};

/* A place for a request that comes at *t; if none of n is free, the first that becomes free, and *t is when. The caller
 * sets its free_ps. */
static inline ps_t *directory_place(struct directory_places *p, uint32_t n, ps_t *t)
{
    uint32_t at = p->next;
    for (uint32_t i = 0; p->free_ps[at] > *t && i < n; i++)
        at = p->free_ps[i] < p->free_ps[at] ? i : at;
    p->next = at + 1 < n ? at + 1 : 0;
    *t = max_u64(*t, p->free_ps[at]);
    return &p->free_ps[at];
}

void directory_fini(struct mem_directory *d);
/* Sets or clears the bit of a line; whether that changed it. */
bool directory_set(struct mem_directory *d, uint64_t line);
bool directory_clear(struct mem_directory *d, uint64_t line);
bool directory_has(const struct mem_directory *d, uint64_t line);
void directory_state(struct mem_directory *d, struct ckpt *c);

#endif

/* SPDX-License-Identifier: MIT */
/* Curve mode: instead of banks and buses, the memory of a node follows a measured curve of latency over bandwidth, as
 * the Mess simulator does (Esmaili-Dokht et al., MICRO'24): the bandwidth of the last window gives the latency of the
 * next. Beyond the curve's last bandwidth the latency grows by the excess until those who wait for it slow down. Reads
 * pay it, writes are posted. A result made so says so. */
#ifndef QUIRE_IMC_CURVE_H
#define QUIRE_IMC_CURVE_H

#include "sim/base/types.h"

#define CURVE_WINDOW_PS (5 * PS_PER_US) /* longer than the quantum by which cores are apart */

struct mem_point {
    uint32_t mb_s; /* lines read and written, MB/s */
    uint32_t ps;   /* latency of a load */
};

/* A measured curve: bandwidth rises from point to point. */
struct mem_curve {
    const char *name;
    const char *source;
    uint32_t read_percent; /* share of reads in the lines */
    uint32_t n;
    const struct mem_point *point;
};
/* Names for CONF_CHOICE; the first is "none", mem_curves[i] belongs to mem_curve_names[i + 1]. */
enum { MEM_CURVE_NONE, MEM_CURVE_SKYLAKE_DDR4, MEM_CURVE_CXL_EXPANDER };
extern const char *const mem_curve_names[];
extern const struct mem_curve mem_curves[];

struct curve_state {
    const struct mem_curve *curve; /* NULL: curve mode is off */
    ps_t offset_ps, latency_ps, window_ps;
    uint64_t lines;
};

/* which: index into mem_curve_names; offset_ps of the curve's latency is simulated elsewhere (caches, links). */
void curve_init(struct curve_state *s, uint64_t which, ps_t offset_ps);
/* Latency at that bandwidth, between the points by interpolation. */
ps_t curve_at(const struct mem_curve *c, uint64_t mb_s);
/* A line is read or written at t: when a read of it is done. */
ps_t curve_access(struct curve_state *s, ps_t t);

#endif

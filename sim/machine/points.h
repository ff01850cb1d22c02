/* SPDX-License-Identifier: MIT */
/* Tables of published points: measurements that somebody holds, one a line, which `quire validate --points` puts beside
 * what the simulated machine does. Format: docs/validate.md. */
#ifndef QUIRE_MACHINE_POINTS_H
#define QUIRE_MACHINE_POINTS_H

#include "sim/machine/validate.h"

enum point_medium { POINT_DRAM, POINT_PMEM, POINT_PMEM_ONE, POINT_CXL };
enum point_place { POINT_LOCAL, POINT_REMOTE };
enum point_op { POINT_LOAD, POINT_STORE, POINT_NTSTORE, POINT_CLWB, POINT_CLFLUSHOPT, POINT_CLFLUSH };
enum point_pattern { POINT_SEQUENTIAL, POINT_RANDOM };
enum point_quantity { POINT_GBPS, POINT_NS, POINT_EWR };

/* One line of a table; every field that a column fills is 8 bytes wide. */
struct published_point {
    uint64_t medium, place, op, pattern, quantity; /* the enums above */
    uint64_t threads;
    uint64_t access_bytes; /* accessed in a row */
    uint64_t stride_bytes; /* sequential: from one access's beginning to the next one's; 0: access_bytes */
    uint64_t flush_bytes;  /* store, then flush so many bytes; 0: each line behind its store */
    uint64_t fence_bytes;  /* bytes before an SFENCE; 0: none */
    uint64_t region_bytes; /* of a thread */
    uint64_t prefetch;     /* 0 or 1: all prefetchers */
    uint64_t reads_ppm;    /* loaded latency: share of reads of the lines that memory moves */
    uint64_t at_rate;      /* loaded latency: at so many bytes/s; 0: unloaded */
    uint64_t less_ps;      /* latency: of the way that the publication does not count */
    uint64_t band_ppm;     /* accepted deviation, both ways; 0: the point is not judged */
    double published;      /* GB/s, ns, or a ratio */
    double simulated;
    bool is_measured; /* a curve that does not get as far as at_rate leaves its point unmeasured */
    bool is_done;     /* points_run has come to it */
    uint32_t line;    /* of the file, from 1 */
};

/* What a table says. */
struct points {
    char *source;                 /* of the figures; NULL: none named */
    uint64_t median_ppm, p90_ppm; /* largest accepted median and 90th percentile of the deviations; 0: not judged */
    struct published_point *point;
    uint32_t n, room;
};

/* Reads a table; -1 after an error line "file:line: ...". The caller frees it in either case. */
int points_read(struct points *p, const char *path, struct diag *d);
void points_free(struct points *p);
/* Whether the machine can run every point; -1 after an error line. path is for the error. */
int points_fit(const struct points *p, const char *path, const struct machine_conf *conf, struct diag *d);
/* Simulates every point. v->progress hears of each. -1 after an error in v->d. */
int points_run(struct points *p, struct validate *v);

/* |simulated / published - 1|; 1 for a point that was not measured. */
double point_off(const struct published_point *t);
/* In its own band, or without one. */
bool point_ok(const struct published_point *t);

/* How the deviations of some points are distributed: shares. */
struct spread {
    uint32_t n;
    double median, p90; /* of the deviations, whichever way */
    double within[3];   /* share of the points within 10, 20 and 30 % */
    double ratio;       /* median of simulated / published: which way they lean */
};
/* Of the points for which `in` holds (NULL: all). */
struct spread points_spread(const struct points *p, bool (*in)(const struct published_point *t, const void *ctx),
                            const void *ctx);
/* Every point in its band, and the distribution within the table's limits. */
bool points_hold(const struct points *p);

/* The columns, by name; the help says what each holds. All but published, which is a number. */
extern const struct conf_key point_columns[];

#endif

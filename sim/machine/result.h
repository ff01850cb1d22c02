/* SPDX-License-Identifier: MIT */
/* The result of one run, built up by whoever has something to say, then written as a run directory:
 *   manifest.json  run id, config hash, build id, seed, digests of every input file, taints; no host, date or path
 *   config.conf    the fully resolved configuration; running it again gives the same run id
 *   result.json    every value under its key, keys sorted bytewise, integers exact, ratios with 9 decimals
 *   series.csv     series,label,x_name,x,value: one point a line, in the order in which they were added
 *   events.json    Chrome trace-event form (chrome://tracing, Perfetto), the first events only
 * The directory is renamed into place when all of it is on disk: a run directory that exists is complete.
 *
 * Keys are dotted paths of [A-Za-z0-9_-], at most 200 characters, whose last component ends with its unit:
 * "node0.imc1.ch2.wpq_inserts", "vm.log.flush_p99_ns", "policy.mrc.faults". A key given twice, or with another
 * character, is a broken invariant (CHECK). No function keeps a pointer that it is given; all text is copied. */
#ifndef QUIRE_MACHINE_RESULT_H
#define QUIRE_MACHINE_RESULT_H

#include "sim/base/ckpt.h"
#include "sim/base/diag.h"
#include "sim/base/hist.h"
#include "sim/base/stats.h"
#include "sim/base/types.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct result;

struct result *result_new(void);
void result_free(struct result *r);

/* ---- values ------------------------------------------------------------------------------------------------------ */
void result_set(struct result *r, const char *key, uint64_t value);
/* Adds to key, which begins at 0: for counters that come from many places. */
void result_add(struct result *r, const char *key, uint64_t value);
/* A word or a digest: "timing" = "block", "policy.vfha.ejected" = "budget exceeded in fault hook". Not for prose. */
void result_text(struct result *r, const char *key, const char *text);
/* A ratio whose two sides are sums of keys, evaluated when the result is written:
 *     result_ratio(r, "l1_hit_ratio", "cpu*.l1_hits", "cpu*.l1_hits + cpu*.l1_misses");
 * A '*' stands for any characters but '.'; an integer constant is allowed. A side that names no key counts as 0 (a
 * machine without that component); 0 below the line is written as null. */
void result_ratio(struct result *r, const char *key, const char *num, const char *den);
/* A ratio whose integers are known and are not results themselves. */
void result_quotient(struct result *r, const char *key, uint64_t num, uint64_t den);
/* A histogram under a name that ends with its unit: "vm.log.flush_ns" gives vm.log.flush_n, flush_mean_ns,
 * flush_min_ns, flush_p50_ns, flush_p90_ns, flush_p99_ns, flush_p999_ns and flush_max_ns. divisor converts, rounding to
 * nearest: a histogram of picoseconds shown in ns has 1000. Empty: only flush_n = 0. */
void result_hist(struct result *r, const char *key, const struct hist *h, uint64_t divisor);
/* A stats_visit_fn whose ctx is the struct result: stats_walk("node0.imc1", table, n, &stats, result_stat, r). An empty
 * path gives the bare leaf. */
void result_stat(void *r, const char *path, const struct stat_desc *desc, uint64_t value);

/* The value of an integer key: true if there is one. */
bool result_get(const struct result *r, const char *key, uint64_t *value);
/* The value of a key that result_quotient() has set: true if there is one and its den is not 0. */
bool result_get_ratio(const struct result *r, const char *key, double *value);

/* ---- curves ------------------------------------------------------------------------------------------------------ */
/* One point of a curve. series names the figure's quantity with its unit ("local_ratio", "miss_ratio"), label one line
 * of it ("h1", "observed"), x_name the axis with its unit ("time_us", "pages"). Numbers are written exactly where they
 * are integers below 2^53, else with 9 significant digits; they must be finite. */
void result_point(struct result *r, const char *series, const char *label, const char *x_name, double x, double value);

/* ---- events ------------------------------------------------------------------------------------------------------ */
/* At most this many events are kept; the rest is counted in the key "events_dropped". */
#define RESULT_MAX_EVENTS 100000u
/* Something that lasted from ts to ts + dur on a track (pid: 0 machine, 1.. VM; tid: CPU or unit). dur 0: an instant.
 * arg_name NULL: no argument. */
void result_event(struct result *r, const char *category, const char *name, uint32_t pid, uint32_t tid, ps_t ts,
                  ps_t dur, const char *arg_name, uint64_t arg);

/* ---- what the result must admit ---------------------------------------------------------------------------------- */
/* The run used something no real machine has, or gave up fidelity: "oracle", "functional". Idempotent. */
void result_taint(struct result *r, const char *word);

/* ---- writing ----------------------------------------------------------------------------------------------------- */
/* Files and plugins that determine the result, by content. Filled before the run, because the run id depends on it. */
struct run_input {
    char *kind;      /* "plugin", "trace", "kernel" */
    char *name;      /* its base name, no folder */
    char digest[33]; /* XXH3-128 of the content, 32 hex digits */
};
struct run_inputs {
    struct run_input *item;
    uint32_t n;
};
/* Digests the file at path and appends it. -1 after one error line naming where and the file if it cannot be read. */
int run_inputs_add(struct run_inputs *in, const char *kind, const char *path, const char *where, struct diag *d);
void run_inputs_free(struct run_inputs *in);

/* What manifest.json says beside the result itself. */
struct manifest {
    const char *run_id;   /* 32 hex digits */
    const char *build_id; /* content hash of the sources */
    const char *config;   /* canonical text of the configuration, as config.conf holds it */
    const struct run_inputs *inputs;
    uint64_t seed;
};

/* Writes dir/<run id>/, replacing nothing: a directory that already exists is left as it is. 0, or -1 after one error
 * line; then nothing is left behind. */
int result_write(const struct result *r, const struct manifest *m, const char *dir, struct diag *d);
/* result.json alone, onto a stream (quire replay without --out). */
void result_print(const struct result *r, FILE *f);

/* What has been gathered so far, for a checkpoint: curves, events and what the result must admit. Values are set at a
 * run's end. */
void result_state(struct result *r, struct ckpt *c);

#endif

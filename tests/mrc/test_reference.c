/* SPDX-License-Identifier: MIT */
/* Exact curves of real traces equal the published integers at every size, sampled ones stay within their bounds. The
 * traces are not part of the project: without them the test is skipped. */
#include "sim/mrc/curve.h"
#include "sim/mrc/lru.h"
#include "sim/mrc/sampled.h"
#include "sim/mrc/unit.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct row {
    char file[64], format[16], reference[32];
    enum mrc_unit_kind unit;
};

static const struct row rows[] = {
    {"gen/python.pw.xz", "pw", "gen_python.pw", MRC_PAGE},
    {"gen/redis.pw.xz", "pw", "gen_redis.pw", MRC_PAGE},
    {"gen/sqlite.pw.xz", "pw", "gen_sqlite.pw", MRC_PAGE},
    {"gen/xz.pw.xz", "pw", "gen_xz.pw", MRC_PAGE},
    {"gen/python.raw.xz", "raw", "gen_python.raw", MRC_PAGE},
    {"gen/redis.raw.xz", "raw", "gen_redis.raw", MRC_PAGE},
    {"gen/sqlite.raw.xz", "raw", "gen_sqlite.raw", MRC_PAGE},
    {"gen/sqlite_lackey.raw.xz", "raw", "gen_sqlite_lackey.raw", MRC_PAGE},
    {"gen/xz.raw.xz", "raw", "gen_xz.raw", MRC_PAGE},
    {"block/cloudPhysicsIO.vscsi.xz", "", "cloudPhysicsIO", MRC_OBJECT},
    {"block/cloudPhysicsIO.oracleGeneral.bin.xz", "oracleGeneral", "cloudPhysicsIO", MRC_OBJECT},
    {"block/arc_OLTP.lis.zst", "lis", "arc_OLTP_obj", MRC_BLOCK},
    {"block/arc_OLTP.lis.zst", "lis", "arc_OLTP_4k", MRC_PAGE},
    {"block/arc_P3.lis.zst", "lis", "arc_P3_obj", MRC_BLOCK},
    {"block/arc_P3.lis.zst", "lis", "arc_P3_4k", MRC_PAGE},
    {"block/arc_P6.lis.zst", "lis", "arc_P6_4k", MRC_PAGE},
    {"block/mqsim_tpcc-small.trace.xz", "mqsim", "mqsim_tpcc-small", MRC_PAGE},
    {"block/mqsim_wsrch-small.trace.xz", "mqsim", "mqsim_wsrch-small", MRC_PAGE},
    {"mem/dramsim3_example.trace.xz", "", "dramsim3_example", MRC_PAGE},
    {"mem/spec2000_gcc.trace.gz", "", "spec2000_gcc", MRC_PAGE},
    {"mem/spec2000_gzip.trace.gz", "", "spec2000_gzip", MRC_PAGE},
    {"mem/spec2000_mcf.trace.gz", "", "spec2000_mcf", MRC_PAGE},
    {"mem/spec2000_swim.trace.gz", "", "spec2000_swim", MRC_PAGE},
    {"mem/spec2000_twolf.trace.gz", "", "spec2000_twolf", MRC_PAGE},
    {"mem/spec2006_403.gcc.gz", "ramulator-cpu", "spec2006_gcc", MRC_PAGE},
    {"mem/spec2006_435.gromacs.gz", "ramulator-cpu", "spec2006_gromacs", MRC_PAGE},
    {"mem/spec2006_444.namd.gz", "ramulator-cpu", "spec2006_namd", MRC_PAGE},
    {"mem/spec2006_445.gobmk.gz", "ramulator-cpu", "spec2006_gobmk", MRC_PAGE},
    {"mem/spec2006_447.dealII.gz", "ramulator-cpu", "spec2006_dealII", MRC_PAGE},
    {"mem/spec2006_458.sjeng.gz", "ramulator-cpu", "spec2006_sjeng", MRC_PAGE},
    {"mem/spec2006_464.h264ref.gz", "ramulator-cpu", "spec2006_h264ref", MRC_PAGE},
    {"mem/spec2006_481.wrf.gz", "ramulator-cpu", "spec2006_wrf", MRC_PAGE},
    {"page/lirs_2_pools.trace.gz", "ids", "lirs_2_pools", MRC_OBJECT},
    {"page/lirs_backf.trace.gz", "ids", "lirs_backf", MRC_OBJECT},
    {"page/lirs_cpp.trace.gz", "ids", "lirs_cpp", MRC_OBJECT},
    {"page/lirs_cs.trace.gz", "ids", "lirs_cs", MRC_OBJECT},
    {"page/lirs_gli.trace.gz", "ids", "lirs_gli", MRC_OBJECT},
    {"page/lirs_loop.trace.gz", "ids", "lirs_loop", MRC_OBJECT},
    {"page/lirs_multi1.trace.gz", "ids", "lirs_multi1", MRC_OBJECT},
    {"page/lirs_multi2.trace.gz", "ids", "lirs_multi2", MRC_OBJECT},
    {"page/lirs_multi3.trace.gz", "ids", "lirs_multi3", MRC_OBJECT},
    {"page/lirs_ps.trace.gz", "ids", "lirs_ps", MRC_OBJECT},
    {"page/lirs_scan.trace.gz", "ids", "lirs_scan", MRC_OBJECT},
    {"page/lirs_sprite.trace.gz", "ids", "lirs_sprite", MRC_OBJECT},
    {"page/lirs_zigzag.trace.gz", "ids", "lirs_zigzag", MRC_OBJECT},
};

static void shared_path(char *path, size_t n, const char *folder, const char *file, const char *suffix)
{
    const char *src = getenv("SRCDIR");
    snprintf(path, n, "%s/../shared/traces/%s%s%s", src ? src : ".", folder, file, suffix);
}

static struct mrc_lru *curve_of(const char *path, const struct row *row, struct mrc_sampled *sampled)
{
    struct diag d = {0};
    struct trace_options opt = {.format = row->format[0] ? row->format : NULL};
    struct trace_reader *r = trace_open(path, &opt, &d);
    cr_assert_not_null(r, "%s", d.text);
    struct mrc_lru *m = mrc_lru_new();
    struct mrc_unit u = {.kind = row->unit, .shift = 12};
    struct trace_rec rec[1024];
    uint64_t ids[1024];
    int n;
    uint32_t k;
    while ((n = trace_read(r, rec, 1024, &d)) > 0) {
        mrc_unit_records(&u, rec, (uint32_t)n);
        while ((k = mrc_unit_ids(&u, ids, NULL, 1024)) > 0)
            mrc_lru_feed(m, ids, k), mrc_sampled_feed(sampled, ids, k);
    }
    cr_assert_eq(n, 0, "%s", d.text);
    mrc_unit_free(&u);
    trace_close(r);
    return m;
}

/* Compares every row of the reference, and that the sizes are those of `auto`. */
static void compare(struct mrc_lru *m, const char *reference)
{
    char path[512], line[256];
    shared_path(path, sizeof path, "reference/", reference, ".lru.csv");
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    uint64_t *sizes, n_sizes = mrc_sizes_auto(mrc_lru_distinct(m), &sizes), i = 0;
    while (fgets(line, sizeof line, f)) {
        unsigned long long size, misses, accesses, distinct;
        double ratio;
        if (sscanf(line, "# accesses=%llu distinct=%llu", &accesses, &distinct) == 2) {
            cr_assert_eq(mrc_lru_accesses(m), accesses);
            cr_assert_eq(mrc_lru_distinct(m), distinct);
        }
        if (sscanf(line, "%llu,%lf,%llu", &size, &ratio, &misses) != 3)
            continue;
        uint64_t one = size, got;
        mrc_lru_misses(m, &one, 1, &got);
        cr_assert_eq(got, misses, "%s: size %llu: %lu misses, expected %llu", reference, size, got, misses);
        cr_assert(i < n_sizes && sizes[i] == size, "%s: size %llu is not the next one of auto", reference, size);
        i++;
    }
    cr_assert(i > 50 && i == n_sizes, "%s: %lu sizes", reference, i);
    fclose(f);
    free(sizes);
}

static void compare_sampled(struct mrc_lru *m, struct mrc_sampled *sampled, const char *name)
{
    uint64_t *sizes, n = mrc_sizes_auto(mrc_lru_distinct(m), &sizes), *exact = malloc((n + 1) * sizeof *exact);
    double *got = malloc((n + 1) * sizeof *got), sum = 0, most = 0;
    mrc_lru_misses(m, sizes, n, exact);
    mrc_sampled_misses(sampled, sizes, n, got);
    for (uint64_t i = 0; i < n; i++) {
        double e = fabs(got[i] - (double)exact[i]) / (double)mrc_lru_accesses(m);
        sum += e;
        most = e > most ? e : most;
    }
    cr_assert(sum / (double)n < 0.005 && most < 0.05, "%s: mean error %f, largest %f", name, sum / (double)n, most);
    free(sizes);
    free(exact);
    free(got);
}

ParameterizedTestParameters(reference, exact_curves)
{
    return cr_make_param_array(const struct row, (void *)(uintptr_t)rows, sizeof rows / sizeof rows[0]);
}

ParameterizedTest(const struct row *row, reference, exact_curves)
{
    char path[512];
    shared_path(path, sizeof path, "", row->file, "");
    if (access(path, R_OK) != 0)
        cr_skip_test("%s is not here", path);
    struct mrc_sampled_options o = mrc_sampled_defaults(0.01, 1);
    struct mrc_sampled *sampled = mrc_sampled_new(&o);
    struct mrc_lru *m = curve_of(path, row, sampled);
    compare(m, row->reference);
    compare_sampled(m, sampled, row->reference);
    mrc_sampled_free(sampled);
    mrc_lru_free(m);
}

/* SPDX-License-Identifier: MIT */
/* Tables of published points: what is read, what is refused, how deviations are counted, and that a point is the same
 * measurement as a row. */
#include "sim/machine/points.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static int read_text(struct points *p, const char *text, struct diag *d)
{
    snprintf(path, sizeof path, "/tmp/quire-points-%ld.csv", (long)getpid());
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
    *d = (struct diag){0};
    int bad = points_read(p, path, d);
    unlink(path);
    return bad;
}

Test(points, a_line_is_a_point)
{
    struct points p;
    struct diag d;
    cr_assert_eq(read_text(&p,
                           "# a comment\n"
                           "source,\"Someone, 2020\"\n"
                           "median,12.5%\n"
                           "p90,40%\n"
                           "\n"
                           "op,medium,published,threads,access,fence,band\n"
                           "ntstore, pmem-one ,2.21,4,256B,1KiB,20%\r\n"
                           "load,dram,7.4,,,,\n",
                           &d),
                 0, "%s", d.text);
    cr_expect_str_eq(p.source, "Someone, 2020");
    cr_expect_eq(p.median_ppm, 125000);
    cr_expect_eq(p.p90_ppm, 400000);
    cr_assert_eq(p.n, 2);
    const struct published_point *t = &p.point[0];
    cr_expect(t->medium == POINT_PMEM_ONE && t->op == POINT_NTSTORE && t->pattern == POINT_SEQUENTIAL);
    cr_expect(t->threads == 4 && t->access_bytes == 256 && t->fence_bytes == 1024 && t->quantity == POINT_GBPS);
    cr_expect(t->published == 2.21 && t->band_ppm == 200000 && t->line == 7);
    cr_expect(p.point[1].threads == 1 && p.point[1].access_bytes == 64 && p.point[1].band_ppm == 0);
    points_free(&p);
}

/* One line each, with file and line, what was found and what was expected. */
Test(points, what_makes_no_sense_is_refused_where_it_stands)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"medium,op,published\npmen,load,1\n", "csv:2: medium: found \"pmen\", expected one of dram, pmem"},
        {"medium,op,publish\n", "csv:1: found the column \"publish\", expected a known one (nearest: published)"},
        {"medium,op,op,published\n", "csv:1: found the column \"op\" twice"},
        {"medium,published\n", "csv:1: found no column \"op\""},
        {"medium,op\n", "csv:1: found no column \"published\""},
        {"medium,op,published\ndram,load\n", "csv:2: found 2 fields, expected 3"},
        {"medium,op,published\n\ndram,load,fast\n", "csv:3: published: found \"fast\", expected a number above 0"},
        {"medium,op,published\ndram,load,-1\n", "expected a number above 0"},
        {"medium,op,published\ndram,load,nan\n", "expected a number above 0"},
        {"medium,op,access,published\ndram,load,100B,1\n", "csv:2: access: found 100B, expected whole lines"},
        {"medium,op,access,published\ndram,load,256,1\n", "access: found \"256\" without a unit"},
        {"medium,op,access,region,published\ndram,load,8KiB,4KiB,1\n", "larger than the region"},
        {"medium,op,flush,published\ndram,ntstore,64B,1\n", "flush: found one for op ntstore"},
        {"medium,op,pattern,stride,published\ndram,load,random,64B,1\n", "stride: found one for random"},
        {"medium,op,quantity,published\ndram,ntstore,ewr,1\n", "quantity: found ewr"},
        {"medium,op,quantity,threads,published\ndram,load,ns,2,1\n", "threads: found 2, expected 1 for a latency"},
        {"medium,op,at,published\ndram,load,1GB/s,1\n", "at: found a bandwidth"},
        {"medium,op,less,published\ndram,load,1ns,1\n", "less: found a time"},
        {"medium,op,quantity,reads,published\ndram,load,ns,40%,1\n", "reads: found less than half"},
        {"source,a,b\nmedium,op,published\n", "csv:1: source: found 2 fields"},
        {"median,ten\nmedium,op,published\n", "csv:1: median: found \"ten\""},
        {"# nothing\n", "found no point"},
    };
    for (size_t i = 0; i < N_ELEMS(cases); i++) {
        struct points p;
        struct diag d;
        cr_expect_eq(read_text(&p, cases[i].text, &d), -1, "%s", cases[i].text);
        cr_expect(strstr(d.text, cases[i].message) != NULL, "%s: %s", cases[i].text, d.text);
        cr_expect_eq(d.n_errors, 1, "%s", d.text);
        points_free(&p);
    }
}

Test(points, every_bad_line_is_told_at_once)
{
    struct points p;
    struct diag d;
    cr_expect_eq(read_text(&p, "medium,op,published\ndram,loda,1\ndram,load,1\ndram,load,x\n", &d), -1);
    cr_expect_eq(d.n_errors, 2);
    cr_expect(strstr(d.text, "csv:2: op:") && strstr(d.text, "csv:4: published:"), "%s", d.text);
    points_free(&p);
}

Test(points, the_machine_has_to_have_what_a_point_asks_for)
{
    struct machine_conf mc;
    struct points p;
    struct diag d = {0};
    cr_assert_eq(machine_bind(NULL, &mc, &d), 0);
    mc.hv.cores = 4;
    mc.numa.n_nodes = 1;
    cr_assert_eq(read_text(&p,
                           "medium,op,threads,place,published\ndram,load,5,local,1\ndram,load,1,remote,1\n"
                           "pmem,load,1,local,1\ncxl,load,1,local,1\ndram,load,4,local,1\n",
                           &d),
                 0);
    cr_expect_eq(points_fit(&p, "t.csv", &mc, &d), -1);
    cr_expect_eq(d.n_errors, 4, "%s", d.text);
    cr_expect(strstr(d.text, "t.csv:2: threads: found 5") && strstr(d.text, "t.csv:3: place") &&
                  strstr(d.text, "t.csv:4: medium: found pmem") && strstr(d.text, "t.csv:5: medium: found cxl"),
              "%s", d.text);
    points_free(&p);
}

/* Ten points, off by 0, 5, ... 45 %, half of them too low. */
Test(points, deviations_are_counted)
{
    struct published_point t[10];
    struct points p = {.point = t, .n = 10};
    for (uint32_t i = 0; i < 10; i++)
        t[i] = (struct published_point){
            .published = 8, .simulated = 8 * (1 + 0.05 * i * (i % 2 ? -1 : 1)), .is_measured = true};
    struct spread s = points_spread(&p, NULL, NULL);
    cr_expect_eq(s.n, 10);
    cr_expect_float_eq(s.median, 0.20, 1e-9); /* the fifth smallest of ten */
    cr_expect_float_eq(s.p90, 0.40, 1e-9);
    cr_expect_float_eq(s.within[1], 0.5, 1e-9);
    cr_expect(points_hold(&p));
    p.median_ppm = 200001;
    p.p90_ppm = 400001;
    cr_expect(points_hold(&p));
    p.p90_ppm = 399999;
    cr_expect_not(points_hold(&p));
    p.p90_ppm = 0;
    t[9].band_ppm = 440000; /* it is 45 % off */
    cr_expect_not(points_hold(&p));
    t[9].band_ppm = 460000;
    cr_expect(points_hold(&p));
    t[9].is_measured = false;
    cr_expect_not(points_hold(&p));
}

static double simulated(const char *line, const struct machine_conf *mc)
{
    struct points p;
    struct validate v;
    static struct diag d;
    char text[256];
    snprintf(text, sizeof text, "medium,op,pattern,access,stride,flush,fence,region,at,quantity,published\n%s,1\n",
             line);
    cr_assert_eq(read_text(&p, text, &d), 0, "%s", d.text);
    cr_assert_eq(points_fit(&p, "t.csv", mc, &d), 0, "%s", d.text);
    validate_init(&v, mc, &d);
    cr_assert_eq(points_run(&p, &v), 0, "%s", d.text);
    validate_free(&v);
    cr_assert(p.point[0].is_measured);
    double value = p.point[0].simulated;
    points_free(&p);
    return value;
}

Test(points, points_obey_what_the_configuration_says)
{
    struct machine_conf mc;
    struct diag d = {0};
    cr_assert_eq(machine_bind(NULL, &mc, &d), 0);
    mc.hv.cores = 2;
    mc.pmem.kind = NVDIMM_OPTANE;
    mc.imc.n_imcs = mc.imc.n_channels = 1;
    mc.imc.wpq_entries = 8; /* 512 B of the queue are one module's */
    /* Little's law: misses in flight over their latency. */
    double ns = simulated("dram,load,random,64B,,,,256MiB,,ns", &mc);
    double few = 3;
    mc.core.miss_buffers = 3;
    cr_expect_float_eq(simulated("dram,load,random,64B,,,,256MiB,,GB/s", &mc), few * 64 / ns, 0.07 * few * 64 / ns);
    mc.core.miss_buffers = 11;
    /* A module that takes 64 bytes where it writes 256, less its own copies; strides do the same as random lines. */
    double each = 1.0 / 4 * (double)mc.pmem.wear_copy / (double)(mc.pmem.wear_copy + 1);
    cr_expect_float_eq(simulated("pmem-one,ntstore,random,64B,,,,64MiB,,ewr", &mc), each, 0.01);
    cr_expect_float_eq(simulated("pmem-one,ntstore,sequential,64B,256B,,,64MiB,,ewr", &mc), each, 0.01);
    cr_expect_float_eq(simulated("pmem-one,ntstore,sequential,64B,,,,64MiB,,ewr", &mc), 4 * each, 0.02);
    /* A fence every line costs; flushes behind a whole access do what flushes behind each line do. */
    double free_running = simulated("dram,store+clwb,sequential,1KiB,,,,64MiB,,GB/s", &mc);
    cr_expect_lt(simulated("dram,store+clwb,sequential,1KiB,,,64B,64MiB,,GB/s", &mc), 0.8 * free_running);
    cr_expect_float_eq(simulated("dram,store+clwb,sequential,1KiB,,1KiB,,64MiB,,GB/s", &mc), free_running,
                       0.2 * free_running);
    /* Stores that miss leave the store buffer one by one, flushed ones with their flushes. */
    struct core_conf before = mc.core;
    mc.core.store_miss_ps = 40 * PS_PER_NS;
    mc.core.flush_miss_ps = 35 * PS_PER_NS;
    mc.core.clwb_ps = 25 * PS_PER_NS;
    cr_expect_float_eq(simulated("dram,store,sequential,64B,,,,64MiB,,GB/s", &mc), 64 / 40.0, 0.02);
    cr_expect_float_eq(simulated("dram,store+clwb,sequential,64B,,,,64MiB,,GB/s", &mc), 64 / (40.0 + 35 + 25), 0.02);
    mc.core = before;
    /* Persisting more takes longer; what a publication does not count is taken off. */
    double one = simulated("pmem,ntstore,sequential,64B,,,,64MiB,,ns", &mc);
    cr_expect_gt(simulated("pmem,ntstore,sequential,4KiB,,,,64MiB,,ns", &mc), 4 * one);
}

/* SPDX-License-Identifier: MIT */
/* The benchmarks of `quire validate`: what can be known without a measurement. */
#include "sim/machine/validate.h"

#include <criterion/criterion.h>
#include <string.h>

static struct machine_conf conf_of(void)
{
    struct machine_conf mc;
    struct diag d = {0};
    cr_assert_eq(machine_bind(NULL, &mc, &d), 0);
    mc.hv.cores = 2;
    return mc;
}

static double value_of(const struct validate *v, const char *key)
{
    uint32_t i = 0;
    while (i < validate_n_figures && strcmp(validate_figures[i].key, key) != 0)
        i++;
    cr_assert(i < validate_n_figures && v->has_value[i], "%s was not measured", key);
    return v->value[i];
}

static void measure(struct validate *v, const struct machine_conf *mc, validate_fn *fn)
{
    static struct diag d;
    validate_init(v, mc, &d);
    cr_assert_eq(fn(v), 0, "%s", d.text);
    cr_assert_eq(d.n_errors, 0, "%s", d.text);
}

Test(validate, every_key_is_unique_and_begins_with_its_row)
{
    for (uint32_t i = 0; i < validate_n_figures; i++) {
        const struct figure *f = &validate_figures[i];
        cr_expect_eq(strtoul(f->key, NULL, 10), f->row, "%s", f->key);
        cr_expect(f->low <= f->published && f->published <= f->high, "%s", f->key);
        cr_expect(strchr("ADSR", f->confidence) != NULL, "%s", f->key);
        for (uint32_t k = 0; k < i; k++)
            cr_expect_str_neq(f->key, validate_figures[k].key);
    }
}

Test(validate, architectural_walks_are_exact)
{
    struct machine_conf mc = conf_of();
    struct validate v;
    measure(&v, &mc, measure_walks);
    /* (g + 1)(h + 1) - 1 references for g guest and h nested levels */
    cr_expect_eq(value_of(&v, "22.4"), 4);
    cr_expect_eq(value_of(&v, "22.5"), 5);
    cr_expect_eq(value_of(&v, "23.4x4"), 5 * 5 - 1);
    cr_expect_eq(value_of(&v, "23.5x5"), 6 * 6 - 1);
    cr_expect_eq(value_of(&v, "23.4k2m"), 5 * 4 - 1);
    cr_expect_eq(value_of(&v, "23.2m2m"), 4 * 4 - 1);
    cr_expect_eq(value_of(&v, "23.1g1g"), 3 * 3 - 1);
    validate_free(&v);
}

Test(validate, geometry_is_found_by_touching_not_by_reading_the_configuration)
{
    struct machine_conf mc = conf_of();
    struct validate v;
    mc.cache.l1d_bytes = 16 * KIB;
    mc.cache.l1d_ways = 4;
    mc.cache.l2_bytes = 256 * KIB;
    mc.cache.l2_ways = 8;
    mc.cache.llc_slices = 4;
    measure(&v, &mc, measure_cache_geometry);
    cr_expect_eq(value_of(&v, "4.l1d"), 16);
    cr_expect_eq(value_of(&v, "4.l1d.ways"), 4);
    cr_expect_eq(value_of(&v, "4.l1i"), 32);
    cr_expect_eq(value_of(&v, "4.l2"), 256);
    cr_expect_eq(value_of(&v, "4.l2.ways"), 8);
    cr_expect_eq(value_of(&v, "4.llc"), 1408 * 4 / 2.0);
    validate_free(&v);
}

Test(validate, latencies_are_those_of_the_stages)
{
    struct machine_conf mc = conf_of();
    struct validate v;
    mc.cache.l1_cycles = 5;
    mc.cache.l2_cycles = 17;
    mc.cache.llc_cycles = 61;
    measure(&v, &mc, measure_cache_latency);
    cr_expect_float_eq(value_of(&v, "1.l1"), 5, 0.1);
    cr_expect_float_eq(value_of(&v, "2.l2"), 17, 0.2);
    cr_expect_float_eq(value_of(&v, "3.l3"), 61, 0.5);
    validate_free(&v);
    mc.mmu.stlb_cycles = 12;
    measure(&v, &mc, measure_tlb_latency);
    cr_expect_float_eq(value_of(&v, "8.stlb"), 12, 0.2);
    validate_free(&v);
}

Test(validate, flushes_take_what_they_are_said_to)
{
    struct machine_conf mc = conf_of();
    struct validate v;
    mc.core.clflush_ps = 50 * PS_PER_NS;
    mc.core.clflushopt_ps = 20 * PS_PER_NS;
    measure(&v, &mc, measure_flush);
    cr_expect_float_eq(value_of(&v, "37.clflush"), 50, 1);
    cr_expect_float_eq(value_of(&v, "38.clflushopt"), 20, 0.5);
    cr_expect_float_eq(value_of(&v, "39.clwb"), 1, 0.1);
    validate_free(&v);
    measure(&v, &mc, measure_fence);
    cr_expect_float_eq(value_of(&v, "40.sfence"), (double)mc.core.sfence_cycles, 0.1);
    cr_expect_float_eq(value_of(&v, "40.mfence"), (double)mc.core.mfence_cycles, 0.1);
    validate_free(&v);
}

/* Little's law: bandwidth of one thread is its buffers over the latency, whatever the latency. */
Test(validate, loads_of_one_thread_obey_littles_law)
{
    struct machine_conf mc = conf_of();
    struct diag d = {0};
    struct probe_setup s = {.bytes = GIB, .page_level = LEVEL_1G};
    double rate[2];
    for (uint32_t i = 0; i < 2; i++) {
        mc.core.miss_buffers = i ? 8 : 2;
        struct probe *p = probe_new(&mc, &s, &d);
        cr_assert(p, "%s", d.text);
        p->thread[0].bytes = 64 * MIB;
        rate[i] = probe_bandwidth(p, step_random, 10 * PS_PER_US, 50 * PS_PER_US, &d);
        probe_free(p);
    }
    cr_expect(rate[1] / rate[0] > 3.4 && rate[1] / rate[0] <= 4.01, "2 buffers %g GB/s, 8 buffers %g GB/s", rate[0],
              rate[1]);
}

Test(validate, shuffled_order_visits_every_unit_once)
{
    for (uint64_t n = 2; n <= 4096; n *= 2) {
        struct probe_thread t = {.bytes = n * 64, .unit = 64};
        uint8_t *seen = calloc(n, 1);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t at = probe_shuffled(&t, i);
            cr_assert(at < n * 64 && at % 64 == 0);
            cr_assert_eq(seen[at / 64]++, 0, "%llu units: twice", (unsigned long long)n);
        }
        free(seen);
    }
}

Test(validate, claims_and_names)
{
    struct figure f = {.row = 15, .key = "15.mess", .group = "dram"};
    cr_expect(validate_claims("1-9 15 20", &f));
    cr_expect(validate_claims("10-15", &f));
    cr_expect(validate_claims("1 15.mess", &f));
    cr_expect_not(validate_claims("1-14 15.read 16-20", &f));
    cr_expect_not(validate_claims("", &f));
    cr_expect(validate_names(&f, "15"));
    cr_expect(validate_names(&f, "dram"));
    cr_expect(validate_names(&f, "15.mess"));
    cr_expect_not(validate_names(&f, "1"));
    cr_expect_not(validate_names(&f, "15.m"));
}

Test(validate, how_far_off_in_bands)
{
    struct figure f = {.published = 100, .low = 90, .high = 120};
    cr_expect_float_eq(validate_off(&f, 100), 0, 1e-12);
    cr_expect_float_eq(validate_off(&f, 90), 1, 1e-12);
    cr_expect_float_eq(validate_off(&f, 140), 2, 1e-12);
    cr_expect_float_eq(validate_off(&f, 70), 3, 1e-12);
    f.low = f.high = 100;
    cr_expect(validate_off(&f, 101) > 2);
}

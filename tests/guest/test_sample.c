/* SPDX-License-Identifier: MIT */
/* Estimates from intervals: t against printed tables and a numeric integral, the ratio estimator against textbook sums,
 * coverage on drawn populations. */
#include "sim/guest/sample.h"

#include "sim/base/rng.h"

#include <criterion/criterion.h>
#include <math.h>

#define CYCLE_PS 500u

static const struct sample_rate cpi = {"cpi", SAMPLE_USER_PS, SAMPLE_INSTRUCTIONS, 1, true, ""};

/* Probability of [-t, t] by Simpson's rule over the density, which is written with the gamma function. */
static double integral(double t, double nu)
{
    const int n = 20000;
    double scale = exp(lgamma((nu + 1) / 2) - lgamma(nu / 2)) / sqrt(nu * M_PI), sum = 0, h = t / n;
    for (int i = 0; i <= n; i++) {
        double x = i * h, f = pow(1 + x * x / nu, -(nu + 1) / 2);
        sum += f * (i == 0 || i == n ? 1 : i % 2 ? 4 : 2);
    }
    return 2 * scale * sum * h / 3;
}

Test(sample, t_is_that_of_the_tables)
{
    /* Two-sided 95 % and 99 %, as every table of Student's distribution prints them. */
    static const struct {
        uint32_t freedom;
        double t95, t99;
    } row[] = {{1, 12.706, 63.657}, {2, 4.303, 9.925},  {3, 3.182, 5.841},  {4, 2.776, 4.604},  {5, 2.571, 4.032},
               {9, 2.262, 3.250},   {10, 2.228, 3.169}, {29, 2.045, 2.756}, {60, 2.000, 2.660}, {120, 1.980, 2.617}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        cr_expect_float_eq(sample_t(0.95, row[i].freedom), row[i].t95, 6e-4, "95 %%, %u: %g", row[i].freedom,
                           sample_t(0.95, row[i].freedom));
        cr_expect_float_eq(sample_t(0.99, row[i].freedom), row[i].t99, 6e-4, "99 %%, %u: %g", row[i].freedom,
                           sample_t(0.99, row[i].freedom));
    }
    cr_expect_float_eq(sample_t(0.95, 1000000), 1.959966, 1e-5); /* the normal distribution's 1.959964 */
}

Test(sample, t_inverts_the_integral)
{
    for (uint32_t freedom = 1; freedom < 400; freedom += 1 + freedom / 7)
        for (double p = 0.5; p < 0.999; p += 0.0831) {
            double t = sample_t(p, freedom);
            if (t < 60) /* beyond, Simpson's steps are too wide */
                cr_expect_float_eq(integral(t, freedom), p, 1e-6, "%u degrees, %g: %g", freedom, p,
                                   integral(t, freedom));
        }
}

static struct sample_estimate estimate(const struct sample_interval *s, uint32_t n, const struct sample_rate *r,
                                       double confidence)
{
    struct sample all = {.interval = s, .n_intervals = n, .cycle_ps = CYCLE_PS};
    return sample_estimate(&all, r, confidence);
}

static struct sample_interval interval(uint64_t instructions, uint64_t ps, uint64_t stands_for)
{
    struct sample_interval s = {.stands_for = stands_for};
    s.n[SAMPLE_INSTRUCTIONS] = instructions;
    s.n[SAMPLE_USER_PS] = ps;
    return s;
}

Test(sample, equal_intervals_give_the_plain_mean)
{
    static const double x[] = {2.0, 1.5, 4.0, 1.0, 2.5, 3.25, 1.75};
    const uint32_t n = sizeof x / sizeof *x;
    struct sample_interval s[sizeof x / sizeof *x];
    double mean = 0, variance = 0;
    for (uint32_t i = 0; i < n; i++) {
        s[i] = interval(1000, (uint64_t)(x[i] * 1000 * CYCLE_PS), 50000);
        mean += x[i] / n;
    }
    for (uint32_t i = 0; i < n; i++)
        variance += (x[i] - mean) * (x[i] - mean) / (n - 1);
    struct sample_estimate e = estimate(s, n, &cpi, 0.95);
    cr_expect_float_eq(e.mean, mean, 1e-12);
    cr_expect_float_eq(e.half, 2.4469 * sqrt(variance / n), 1e-4, "6 degrees of freedom: %g", e.half);
    cr_expect_float_eq(e.variation, sqrt(variance) / mean, 1e-12);
    /* (t V / e)^2 with an error of 5 % */
    double needed = pow(2.4469 * sqrt(variance) / mean / 0.05, 2);
    cr_expect(fabs((double)sample_needed(&e, 0.95, 0.05) - needed) <= 1, "needed %g", needed);
    cr_expect_lt(sample_needed(&e, 0.95, 0.1), sample_needed(&e, 0.95, 0.05));
    cr_expect_lt(sample_needed(&e, 0.90, 0.05), sample_needed(&e, 0.95, 0.05));
}

Test(sample, an_interval_counts_by_what_it_stands_for)
{
    /* 3 cycles for 10,000 instructions, 1 for 30,000: 1.5, whatever was measured of each */
    struct sample_interval s[] = {interval(500, 1500 * CYCLE_PS, 10000), interval(4000, 4000 * CYCLE_PS, 30000)};
    struct sample_estimate e = estimate(s, 2, &cpi, 0.95);
    cr_expect_float_eq(e.mean, 1.5, 1e-12);
    s[0].n[SAMPLE_BRANCHES] = 50, s[0].n[SAMPLE_MISPREDICTS] = 25;   /* 1,000 and 500 of all */
    s[1].n[SAMPLE_BRANCHES] = 1200, s[1].n[SAMPLE_MISPREDICTS] = 60; /* 9,000 and 450 */
    struct sample_rate wrong = {"", SAMPLE_MISPREDICTS, SAMPLE_BRANCHES, 1, false, ""};
    cr_expect_float_eq(estimate(s, 2, &wrong, 0.95).mean, 0.095, 1e-12);
}

Test(sample, the_head_is_a_stratum_without_error)
{
    /* 1,000 instructions of 20 cycles; then 9,000, of which four intervals say 1, 2, 3 and 2 */
    struct sample_interval s[] = {interval(100, 100 * CYCLE_PS, 2000), interval(100, 200 * CYCLE_PS, 2000),
                                  interval(100, 300 * CYCLE_PS, 2000), interval(100, 200 * CYCLE_PS, 2000)};
    struct sample all = {.head = interval(1000, 20000 * CYCLE_PS, 0),
                         .interval = s,
                         .n_intervals = 4,
                         .instructions = 10000,
                         .cycle_ps = CYCLE_PS};
    struct sample_estimate e = sample_estimate(&all, &cpi, 0.95);
    cr_expect_float_eq(e.mean, (20.0 * 1000 + 2.0 * 9000) / 10000, 1e-12);
    /* nine tenths of the half width of the four: t of 3 degrees of freedom, deviation sqrt(2 / 3) */
    cr_expect_float_eq(e.half, 0.9 * 3.1824 * sqrt(2.0 / 3) / 2, 1e-4);
    /* V of the whole: the rest's deviation, by its share, over the mean of all */
    cr_expect_float_eq(e.variation, 0.9 * sqrt(2.0 / 3) / 3.8, 1e-12);
    all.n_intervals = 0; /* the head alone */
    all.instructions = 1000;
    cr_expect_float_eq(sample_estimate(&all, &cpi, 0.95).mean, 20, 1e-12);
}

Test(sample, what_there_is_nothing_to_say_about)
{
    struct sample_interval one = interval(1000, 2000 * CYCLE_PS, 5000);
    struct sample_estimate none = estimate(NULL, 0, &cpi, 0.95);
    cr_expect(none.n == 0 && none.mean == 0 && none.half == 0 && sample_needed(&none, 0.95, 0.03) == 0);
    struct sample_estimate e = estimate(&one, 1, &cpi, 0.95);
    cr_expect(e.mean == 2 && e.half == 0 && sample_needed(&e, 0.95, 0.03) == 0);
    one.n[SAMPLE_USER_PS] = (uint64_t)-1000; /* work of before ended in it */
    cr_expect_lt(estimate(&one, 1, &cpi, 0.95).mean, 0);
    for (uint32_t i = 0; i < SAMPLE_N_RATES; i++)
        cr_expect(sample_rates[i].name && sample_rates[i].num < SAMPLE_N && sample_rates[i].den < SAMPLE_N);
}

/* Of many samples of a population, about the promised share of intervals holds its mean. */
static double coverage(uint32_t n, double confidence, bool is_skewed)
{
    const uint32_t trials = 4000;
    struct rng r;
    uint32_t hits = 0;
    rng_init(&r, 11, "coverage");
    for (uint32_t k = 0; k < trials; k++) {
        struct sample_interval s[64];
        for (uint32_t i = 0; i < n; i++) {
            double x = 0; /* mean 2: a sum of twelve uniforms, or an exponential */
            for (uint32_t j = 0; j < 12; j++)
                x += rng_unit(&r) / 3;
            s[i] = interval(1000, (uint64_t)((is_skewed ? -2 * log(1 - rng_unit(&r)) : x) * 1000 * CYCLE_PS), 20000);
        }
        struct sample_estimate e = estimate(s, n, &cpi, confidence);
        hits += fabs(e.mean - 2) <= e.half;
    }
    return (double)hits / trials;
}

Test(sample, intervals_hold_the_mean_as_often_as_promised)
{
    /* The standard error of a share of 4,000 is 0.35 % at 95 %. */
    cr_expect_float_eq(coverage(5, 0.95, false), 0.95, 0.012, "%g", coverage(5, 0.95, false));
    cr_expect_float_eq(coverage(30, 0.95, false), 0.95, 0.012, "%g", coverage(30, 0.95, false));
    cr_expect_float_eq(coverage(30, 0.80, false), 0.80, 0.022, "%g", coverage(30, 0.80, false));
    double skewed = coverage(30, 0.95, true); /* less, as is known of skewed populations */
    cr_expect(skewed > 0.90 && skewed < 0.95, "%g", skewed);
}

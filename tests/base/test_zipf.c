/* SPDX-License-Identifier: MIT */
/* Zipf draws against the probabilities of the definition. */
#include "sim/base/zipf.h"

#include <criterion/criterion.h>
#include <math.h>

/* Chi-square over the ranks, those after the 50th together: 50 degrees of freedom, mean 50, deviation 10. */
static double chi_square(uint64_t n, double skew, uint64_t draws)
{
    double p[51] = {0}, sum = 0, chi = 0;
    uint64_t count[51] = {0};
    struct zipf z;
    struct rng r;
    for (uint64_t k = 0; k < n; k++)
        sum += pow((double)k + 1, -skew);
    for (uint64_t k = 0; k < n; k++)
        p[k < 50 ? k : 50] += pow((double)k + 1, -skew) / sum;
    zipf_init(&z, n, skew);
    rng_init(&r, 1, "zipf");
    for (uint64_t i = 0; i < draws; i++) {
        uint64_t k = zipf_draw(&z, &r);
        cr_assert_lt(k, n);
        count[k < 50 ? k : 50]++;
    }
    for (int k = 0; k < 51; k++) {
        double want = p[k] * (double)draws, off = (double)count[k] - want;
        chi += want > 0 ? off * off / want : 0;
    }
    return chi;
}

Test(zipf, draws_have_their_probabilities)
{
    static const double skews[] = {0, 0.5, 0.9, 0.99, 1, 1.5, 3};
    static const uint64_t sizes[] = {1, 2, 30, 1000, 1000000};
    for (size_t s = 0; s < sizeof skews / sizeof skews[0]; s++) {
        for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
            double chi = chi_square(sizes[n], skews[s], 100000);
            cr_assert_lt(chi, 100, "skew %g over %lu: chi-square %g", skews[s], sizes[n], chi);
        }
    }
}

/* SPDX-License-Identifier: MIT */
#include "sim/guest/sample.h"

#include <math.h>

const char *const sample_count_names[SAMPLE_N] = {
    "instructions", "user_ps", "stall_ps", "fence_ps", "l1d_misses",  "llc_misses",
    "dtlb_misses",  "walks",   "walk_ps",  "branches", "mispredicts",
};

const struct sample_rate sample_rates[SAMPLE_N_RATES] = {
    [SAMPLE_CPI] = {"cpi", SAMPLE_USER_PS, SAMPLE_INSTRUCTIONS, 1, true, "cycles an instruction"},
    {"stall_ratio", SAMPLE_STALL_PS, SAMPLE_USER_PS, 1, false, "share of time that waits for buffers and fences"},
    {"fence_ratio", SAMPLE_FENCE_PS, SAMPLE_USER_PS, 1, false, "share of time in fences"},
    {"l1d_mpki", SAMPLE_L1D_MISSES, SAMPLE_INSTRUCTIONS, 1000, false, "L1 data misses in 1,000 instructions"},
    {"llc_mpki", SAMPLE_LLC_MISSES, SAMPLE_INSTRUCTIONS, 1000, false, "LLC misses in 1,000 instructions"},
    {"dtlb_mpki", SAMPLE_DTLB_MISSES, SAMPLE_INSTRUCTIONS, 1000, false, "L1 data TLB misses in 1,000 instructions"},
    {"walk_cycles", SAMPLE_WALK_PS, SAMPLE_WALKS, 1, true, "cycles a page walk"},
    {"mispredict_ratio", SAMPLE_MISPREDICTS, SAMPLE_BRANCHES, 1, false, "share of branches"},
};

/* ---- Student's t ---- */

/* Probability of [-t, t], by the finite series for whole degrees of freedom (Abramowitz and Stegun, 26.7.3, 26.7.4). */
static double within(double t, uint32_t freedom)
{
    double nu = freedom, cos2 = nu / (nu + t * t), sin1 = t / sqrt(nu + t * t), term = 1, sum = 1;
    bool is_odd = freedom & 1;
    for (uint32_t k = is_odd ? 3 : 2; k + 2 <= freedom + (is_odd ? 0 : 1) && term > 1e-18 * sum; k += 2) {
        term *= cos2 * (k - 1) / k;
        sum += term;
    }
    if (!is_odd)
        return sin1 * sum;
    double both = freedom == 1 ? 0 : sin1 * sqrt(cos2) * sum;
    return (atan(t / sqrt(nu)) + both) * M_2_PI;
}

double sample_t(double confidence, uint32_t freedom)
{
    double low = 0, high = 1;
    while (within(high, freedom) < confidence && high < 1e9)
        high *= 2;
    for (uint32_t i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (within(middle, freedom) < confidence)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* ---- ratios ---- */

/* What interval s says of all the instructions that it stands for. */
static double count(const struct sample_interval *s, enum sample_count k)
{
    return (double)(int64_t)s->n[k] * (double)s->stands_for / (double)s->n[SAMPLE_INSTRUCTIONS];
}

/* Sums of a rate's two sides over the intervals, and what the intervals stand for. */
struct sums {
    double a, b, stand_for;
};

static struct sums add_up(const struct sample *s, const struct sample_rate *r)
{
    struct sums sum = {0};
    for (uint32_t i = 0; i < s->n_intervals; i++) {
        sum.a += count(&s->interval[i], r->num);
        sum.b += count(&s->interval[i], r->den);
        sum.stand_for += (double)s->interval[i].stands_for;
    }
    return sum;
}

/* Standard deviation of the intervals around their own ratio. */
static double deviation(const struct sample *s, const struct sample_rate *r, double ratio)
{
    double squares = 0;
    for (uint32_t i = 0; i < s->n_intervals; i++) {
        double residue = count(&s->interval[i], r->num) - ratio * count(&s->interval[i], r->den);
        squares += residue * residue;
    }
    return sqrt(squares / (s->n_intervals - 1));
}

struct sample_estimate sample_estimate(const struct sample *s, const struct sample_rate *r, double confidence)
{
    struct sample_estimate e = {.n = s->n_intervals};
    struct sums sum = add_up(s, r);
    double head_a = (double)(int64_t)s->head.n[r->num], head_b = (double)(int64_t)s->head.n[r->den];
    double rest = (double)s->instructions - (double)s->head.n[SAMPLE_INSTRUCTIONS];
    double grow = s->instructions && sum.stand_for > 0 ? rest / sum.stand_for : 1;
    double b = head_b + grow * sum.b, scale = (double)r->times / (r->in_cycles ? (double)s->cycle_ps : 1);
    if (b <= 0)
        return e;
    e.mean = (head_a + grow * sum.a) / b * scale;
    if (s->n_intervals < 2 || sum.b <= 0)
        return e;
    double one = deviation(s, r, sum.a / sum.b) / (sum.b / s->n_intervals) * scale * (grow * sum.b / b);
    e.variation = e.mean > 0 ? one / e.mean : 0;
    e.half = sample_t(confidence, s->n_intervals - 1) * one / sqrt(s->n_intervals);
    return e;
}

uint64_t sample_needed(const struct sample_estimate *e, double confidence, double error)
{
    if (e->n < 2 || e->mean <= 0)
        return 0;
    double root = sample_t(confidence, e->n - 1) * e->variation / error;
    return (uint64_t)fmax(ceil(root * root), 2);
}

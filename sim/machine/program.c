/* SPDX-License-Identifier: MIT */
#include "sim/machine/program.h"

#include "sim/cpu/x86_window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BILLION 1000000000u

static void put(struct result *out, const char *path, const char *name, const char *end, double value)
{
    char *key = xasprintf("%s.%s%s", path, name, end);
    result_quotient(out, key, (uint64_t)llround(fmax(value, 0) * BILLION), BILLION);
    free(key);
}

static void put_count(struct result *out, const char *path, const char *name, uint64_t value)
{
    char *key = xasprintf("%s.%s", path, name);
    result_set(out, key, value);
    free(key);
}

/* Elapsed time if the clock had moved by the estimate all the time: warming moved it by what was known then. */
static void put_time(struct result *out, const struct exec *x, const char *path, const struct sample_estimate *cpi)
{
    const struct hv *hv = x->hv;
    const struct pace_stats *s = pace_stats(x->pace);
    ps_t end = 0, cycle = vcpu_cpu(&x->vm->vcpu[0])->core.cycle_ps;
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++)
        end = max_u64(end, hv->cpu[x->vm->vcpu[i].cpu].core.now_ps);
    double busy = (double)x->stats.instructions * (double)cycle / x->vm->n_vcpus;
    double sampled = (double)(s->user_ps - s->string_ps) / x->vm->n_vcpus;
    double estimate = (double)end - sampled + cpi->mean * busy;
    put_count(out, path, "sample.time_ps", (uint64_t)llround(fmax(estimate, 0)));
    put_count(out, path, "sample.time_half_ps", (uint64_t)llround(cpi->half * busy));
}

/* Long string instructions are too few and too different for intervals: their time is known exactly. */
static double string_cpi(const struct exec *x)
{
    ps_t cycle = vcpu_cpu(&x->vm->vcpu[0])->core.cycle_ps;
    return x->stats.instructions
               ? (double)pace_stats(x->pace)->string_ps / (double)cycle / (double)x->stats.instructions
               : 0;
}

static void put_rates(struct result *out, const struct exec *x, const char *path, double confidence)
{
    struct sample s = pace_sample(x->pace);
    char *sample = xasprintf("%s.sample", path);
    for (uint32_t i = 0; i < SAMPLE_N_RATES; i++) {
        struct sample_estimate e = sample_estimate(&s, &sample_rates[i], confidence);
        e.mean += i == SAMPLE_CPI ? string_cpi(x) : 0;
        put(out, sample, sample_rates[i].name, "", e.mean);
        put(out, sample, sample_rates[i].name, "_low", e.mean - e.half);
        put(out, sample, sample_rates[i].name, "_high", e.mean + e.half);
    }
    free(sample);
}

static void report_sample(struct result *out, const struct exec *x, const char *path)
{
    const struct pace_conf *c = &x->conf.pace;
    double confidence = (double)c->confidence_ppm / 1e6, error = (double)c->error_ppm / 1e6;
    struct sample s = pace_sample(x->pace), one = {.n_intervals = 1, .cycle_ps = s.cycle_ps};
    uint32_t n = s.n_intervals;
    struct sample_estimate cpi = sample_estimate(&s, &sample_rates[SAMPLE_CPI], confidence);
    double all = cpi.mean + string_cpi(x);
    cpi.variation *= all > 0 ? cpi.mean / all : 1;
    uint64_t needed = sample_needed(&cpi, confidence, error);
    put_rates(out, x, path, confidence);
    put_time(out, x, path, &cpi);
    cpi.mean = all;
    put(out, path, "cpi", "", cpi.mean);
    put(out, path, "sample.error", "_ratio", cpi.mean > 0 ? cpi.half / cpi.mean : 0);
    put_count(out, path, "sample.head_instructions", s.head.n[SAMPLE_INSTRUCTIONS]);
    put_count(out, path, "sample.intervals", n);
    put_count(out, path, "sample.intervals_needed", needed);
    put_count(out, path, "sample.period_needed", needed ? (uint64_t)((double)c->period * n / (double)needed) : 0);
    char *key = xasprintf("%s.sample.verdict", path);
    bool is_whole = s.head.n[SAMPLE_INSTRUCTIONS] == s.instructions;
    result_text(out, key,
                n < 2 && !is_whole                                ? "none"
                : is_whole || (needed && cpi.half <= error * all) ? "met"
                                                                  : "missed");
    free(key);
    for (uint32_t i = 0; i < n; i++) {
        one.interval = &s.interval[i];
        struct sample_estimate e = sample_estimate(&one, &sample_rates[SAMPLE_CPI], confidence);
        result_point(out, "interval_cpi", x->vm->name, "instructions", (double)s.interval[i].at, e.mean);
    }
    result_taint(out, "sampled");
}

void program_report(struct result *out, const struct exec *x, const char *path)
{
    const struct pace_stats *pace = pace_stats(x->pace);
    struct x86_window_stats window = {0};
    for (uint32_t i = 0; i < x->vm->n_vcpus; i++)
        if (x->cpu[i].x86.window)
            stats_add(x86_window_stat_desc, X86_WINDOW_N_STATS, &window, &x->cpu[i].x86.window->stats);
    stats_walk(path, exec_stat_desc, EXEC_N_STATS, &x->stats, result_stat, out);
    stats_walk(path, pace_stat_desc, PACE_N_STATS, pace, result_stat, out);
    stats_walk(path, x86_window_stat_desc, X86_WINDOW_N_STATS, &window, result_stat, out);
    put_count(out, path, "exit_status", (uint64_t)x->status);
    char *key = xasprintf("%s.timing", path);
    result_text(out, key, timing_name(x->conf.pace.timing));
    free(key);
    if (pace->functional)
        result_taint(out, "functional");
    if (pace->warm && !x->conf.pace.is_sampled)
        result_taint(out, "warm");
    if (x->conf.pace.is_sampled)
        report_sample(out, x, path);
    else if (x->stats.instructions)
        put(out, path, "cpi", "",
            (double)pace->user_ps / (double)vcpu_cpu(&x->vm->vcpu[0])->core.cycle_ps / (double)x->stats.instructions);
}

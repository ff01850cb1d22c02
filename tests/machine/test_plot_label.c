/* SPDX-License-Identifier: MIT */
#include "sim/machine/plot.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void expect_value(const char *value, const char *written)
{
    char *label = plot_value_label(value);
    cr_expect_str_eq(label, written, "%s: found \"%s\", expected \"%s\"", value, label, written);
    free(label);
}

Test(plot_label, values_with_units)
{
    expect_value("50us", "50 µs");
    expect_value("0.5ms", "0.5 ms");
    expect_value("550mJ", "550 mJ");
    expect_value("25uJ", "25 µJ");
    expect_value("4KiB", "4 KiB");
    expect_value("1GB/s", "1 GB/s");
}

Test(plot_label, everything_else_stays)
{
    expect_value("8", "8");
    expect_value("us", "us");
    expect_value("95%", "95%");
    expect_value("2x", "2x");
    expect_value("vfha, no hints on host", "vfha, no hints on host");
    expect_value("", "");
}

static void expect_time(const char *key, double largest_ps, const char *written, double per)
{
    double unit = 0;
    char *label = plot_time_label(key, largest_ps, &unit);
    cr_expect_str_eq(label, written, "%s: found \"%s\", expected \"%s\"", key, label, written);
    cr_expect_eq(unit, per);
    free(label);
}

Test(plot_label, times_get_the_unit_that_suits)
{
    expect_time("time_ps", 3.2e12, "time (s)", 1e12);
    expect_time("time_ps", 9.99e11, "time (ms)", 1e9);
    expect_time("vm.log.sample.time_half_ps", 1e6, "time half (µs)", 1e6);
    expect_time("cpu0.fence_ps", 999, "fence (ps)", 1);
    expect_time("cpu0.fence_ps", 0, "fence (ps)", 1);
    cr_expect(plot_key_is_ps("time_ps"));
    cr_expect(!plot_key_is_ps("caps") && !plot_key_is_ps("_ps") && !plot_key_is_ps("flush_p50_ns"));
}

Test(plot_label, keys)
{
    char *label = plot_key_label("vm.log.flush_p99_ns");
    cr_expect_str_eq(label, "flush p99 (ns)");
    free(label);
}

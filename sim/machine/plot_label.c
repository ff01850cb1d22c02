/* SPDX-License-Identifier: MIT */
/* What pictures write at axes, ticks and legends. */
#include "sim/base/types.h"
#include "sim/machine/plot.h"

#include <string.h>

/* The last word of a key, and how it is written on an axis; NULL: no word of its own, no unit. */
static const char *const units[][2] = {
    {"ps", "ps"},       {"ns", "ns"},         {"us", "µs"},     {"ms", "ms"},   {"s", "s"},
    {"bytes", "bytes"}, {"kib", "KiB"},       {"mib", "MiB"},   {"gib", "GiB"}, {"pages", "pages"},
    {"lines", "lines"}, {"cycles", "cycles"}, {"percent", "%"}, {"hz", "Hz"},   {"accesses", "accesses"},
    {"uj", "µJ"},
};

static const char *leaf_of(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

static void spaces_for_bars(char *label)
{
    for (char *p = label; *p; p++)
        if (*p == '_')
            *p = ' ';
}

char *plot_key_label(const char *key)
{
    const char *leaf = leaf_of(key), *last = strrchr(leaf, '_'), *unit = NULL;
    for (size_t i = 0; i < N_ELEMS(units); i++)
        if (strcmp(last ? last + 1 : leaf, units[i][0]) == 0)
            unit = units[i][1];
    char *label = last && unit ? xasprintf("%.*s (%s)", (int)(last - leaf), leaf, unit) : xstrdup(leaf);
    spaces_for_bars(label);
    return label;
}

bool plot_key_is_ps(const char *key)
{
    size_t n = strlen(key);
    return n > 3 && strcmp(key + n - 3, "_ps") == 0;
}

char *plot_time_label(const char *key, double largest_ps, double *unit_ps)
{
    static const struct {
        const char *name;
        double ps;
    } steps[] = {{"s", 1e12}, {"ms", 1e9}, {"µs", 1e6}, {"ns", 1e3}, {"ps", 1}};
    size_t i = 0;
    while (i + 1 < N_ELEMS(steps) && largest_ps < steps[i].ps)
        i++;
    const char *leaf = leaf_of(key);
    char *label = xasprintf("%.*s (%s)", (int)strlen(leaf) - 3, leaf, steps[i].name);
    spaces_for_bars(label);
    *unit_ps = steps[i].ps;
    return label;
}

char *plot_value_label(const char *value)
{
    static const char *const known[] = {"ps",  "ns",  "us",  "ms",  "s",  "B",   "kB",   "MB",   "GB",
                                        "KiB", "MiB", "GiB", "TiB", "Hz", "kHz", "MHz",  "GHz",  "uJ",
                                        "mJ",  "J",   "mW",  "W",   "kW", "B/s", "kB/s", "MB/s", "GB/s"};
    size_t digits = strspn(value, "0123456789.");
    const char *unit = value + digits;
    for (size_t i = 0; digits && i < N_ELEMS(known); i++)
        if (strcmp(unit, known[i]) == 0)
            return xasprintf("%.*s %s%s", (int)digits, value, *unit == 'u' ? "µ" : "", unit + (*unit == 'u'));
    return xstrdup(value);
}

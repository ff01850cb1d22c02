/* SPDX-License-Identifier: MIT */
#include "sim/mrc/tier.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t shift;
} suffixes[] = {{"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};

/* Units in a size that ends at the first comma; 0 if it is none. */
static uint64_t units_of(const char *p, uint64_t unit_bytes)
{
    char *end;
    errno = 0;
    uint64_t v = strtoull(p, &end, 10);
    size_t len = strcspn(end, ",");
    if (*p < '0' || *p > '9' || errno)
        return 0;
    if (len == 0)
        return v;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0] && unit_bytes > 0; i++) {
        if (strlen(suffixes[i].name) == len && memcmp(end, suffixes[i].name, len) == 0)
            return v > UINT64_MAX >> suffixes[i].shift ? 0 : (v << suffixes[i].shift) / unit_bytes;
    }
    return 0;
}

static int parse_latencies(const char *text, struct mrc_tiers *t, struct diag *d)
{
    uint32_t n = 0;
    for (const char *p = text;; p++) {
        char *end;
        double v = strtod(p, &end);
        if (end == p || (*end && *end != ',') || !isfinite(v) || v < 0 || n > t->n)
            return fail(d, "--latencies: found '%.40s', expected %u numbers of ns: one a tier and one for none", p,
                        t->n + 1);
        t->latency_ns[n++] = v;
        p = end;
        if (!*p)
            break;
    }
    if (n != t->n + 1)
        return fail(d, "--latencies: found %u numbers, expected %u: one a tier and one for none", n, t->n + 1);
    t->has_latency = true;
    return 0;
}

int mrc_tiers_parse(const char *sizes, const char *latencies, uint64_t unit_bytes, struct mrc_tiers *t, struct diag *d)
{
    *t = (struct mrc_tiers){0};
    if (!sizes)
        return latencies ? fail(d, "--latencies needs --tiers") : 0;
    for (const char *p = sizes;; p++) {
        uint64_t units = units_of(p, unit_bytes), depth = t->n ? t->depth[t->n - 1] : 0;
        if (t->n == MRC_MAX_TIERS || units == 0 || units > UINT64_MAX - depth)
            return fail(d, "--tiers: found '%.40s', expected at most %u sizes like 16GiB or numbers of units", p,
                        MRC_MAX_TIERS);
        t->units[t->n] = units;
        t->depth[t->n++] = depth + units;
        p += strcspn(p, ",");
        if (!*p)
            break;
    }
    return latencies ? parse_latencies(latencies, t, d) : 0;
}

static void print_row(const struct mrc_tiers *t, const char *name, const uint64_t number[3], uint64_t accesses,
                      double latency_ns, FILE *f)
{
    fprintf(f, "%s,%llu,%llu,%.9f,%llu", name, (unsigned long long)number[0], (unsigned long long)number[1],
            accesses ? (double)number[1] / (double)accesses : 0, (unsigned long long)number[2]);
    if (t->has_latency)
        fprintf(f, ",%.3f", latency_ns);
    fputc('\n', f);
}

void mrc_tiers_print(const struct mrc_tiers *t, const uint64_t *misses, uint64_t accesses, uint64_t distinct, FILE *f)
{
    uint64_t above = accesses, all_demoted = 0;
    double sum_ns = 0;
    fprintf(f, "tier,units,accesses,share,demoted%s\n", t->has_latency ? ",latency_ns" : "");
    for (uint32_t i = 0; i < t->n; i++) {
        /* Every access that goes deeper pushes a page out, but for those that filled the tiers so far. */
        uint64_t filled = distinct < t->depth[i] ? distinct : t->depth[i];
        uint64_t demoted = misses[i] > filled ? misses[i] - filled : 0;
        char name[16];
        snprintf(name, sizeof name, "%u", i + 1);
        print_row(t, name, (const uint64_t[]){t->units[i], above - misses[i], demoted}, accesses, t->latency_ns[i], f);
        sum_ns += t->latency_ns[i] * (double)(above - misses[i]);
        all_demoted += demoted;
        above = misses[i];
    }
    print_row(t, "none", (const uint64_t[]){0, above, 0}, accesses, t->latency_ns[t->n], f);
    sum_ns += t->latency_ns[t->n] * (double)above;
    print_row(t, "all", (const uint64_t[]){t->n ? t->depth[t->n - 1] : 0, accesses, all_demoted}, accesses,
              accesses ? sum_ns / (double)accesses : 0, f);
}

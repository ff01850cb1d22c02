/* SPDX-License-Identifier: MIT */
/* Reading tables of published points, and how far off the simulated ones are. */
#include "sim/machine/points.h"

#include "sim/machine/csv.h"
#include "sim/machine/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const media[] = {"dram", "pmem", "pmem-one", "cxl", NULL};
static const char *const places[] = {"local", "remote", NULL};
static const char *const ops[] = {"load", "store", "ntstore", "store+clwb", "store+clflushopt", "store+clflush", NULL};
static const char *const patterns[] = {"sequential", "random", NULL};
static const char *const quantities[] = {"GB/s", "ns", "ewr", NULL};

#define LARGEST_REGION (8 * GIB)

#define K(field) offsetof(struct published_point, field)
const struct conf_key point_columns[] = {
    {"medium", CONF_CHOICE, K(medium), NULL, 0, 0, media,
     "dram or pmem of a node, all channels; pmem-one: a module that is not interleaved; cxl: the expander"},
    {"place", CONF_CHOICE, K(place), "local", 0, 0, places, "the threads' own socket, or the other one"},
    {"op", CONF_CHOICE, K(op), NULL, 0, 0, ops, "what is done to each line"},
    {"pattern", CONF_CHOICE, K(pattern), "sequential", 0, 0, patterns,
     "where the next access goes; a thread's stream begins anywhere in its region"},
    {"threads", CONF_UINT, K(threads), "1", 1, 32, NULL, "threads, each on a core and with a region of its own"},
    {"access", CONF_SIZE, K(access_bytes), "64B", LINE_BYTES, 64 * MIB, NULL, "bytes accessed in a row"},
    {"stride", CONF_SIZE, K(stride_bytes), "0B", 0, 64 * MIB, NULL,
     "from one access's beginning to the next one's; 0B: the access's size"},
    {"flush", CONF_SIZE, K(flush_bytes), "0B", 0, MIB, NULL,
     "stores of so many bytes, then their flushes; 0B: each line behind its store"},
    {"fence", CONF_SIZE, K(fence_bytes), "0B", 0, 1024 * MIB, NULL, "an SFENCE behind so many bytes; 0B: none"},
    {"region", CONF_SIZE, K(region_bytes), "64MiB", 4096, LARGEST_REGION, NULL, "of each thread"},
    {"prefetch", CONF_BOOL, K(prefetch), "false", 0, 0, NULL, "whether all prefetchers are on"},
    {"reads", CONF_RATIO, K(reads_ppm), "100%", 0, 1000000, NULL,
     "loaded latency: share of reads of the lines that memory moves"},
    {"at", CONF_RATE, K(at_rate), "0B/s", 0, 0, NULL, "loaded latency: at this bandwidth; 0B/s: nothing else runs"},
    {"less", CONF_TIME, K(less_ps), "0ps", 0, PS_PER_US, NULL,
     "latency: of a part of the way that the publication does not count; the simulated one is shown without it"},
    {"quantity", CONF_CHOICE, K(quantity), "GB/s", 0, 0, quantities,
     "GB/s: bandwidth of all threads; ns: a dependent load, or a store with its fence; ewr: effective write ratio"},
    {"band", CONF_RATIO, K(band_ppm), "0%", 0, 0, NULL, "accepted deviation, both ways; 0%: not judged"},
    {0},
};
#undef K
#define PUBLISHED (N_ELEMS(point_columns) - 1) /* index of the column that is no key */

/* ---- lines ---- */

static bool is_blank(const char *line)
{
    size_t n = strspn(line, " \t\r");
    return line[n] == '#' || line[n] == '\n' || line[n] == 0;
}

static char *trim(char *s)
{
    s += strspn(s, " \t");
    size_t n = strlen(s);
    while (n && strchr(" \t\r", s[n - 1]))
        s[--n] = 0;
    return s;
}

static int find_column(const char *name, const char *where, uint32_t *at, struct diag *d)
{
    const char *known[N_ELEMS(point_columns)];
    for (uint32_t i = 0; i < PUBLISHED; i++)
        known[i] = point_columns[i].name;
    known[PUBLISHED] = "published";
    for (*at = 0; *at < N_ELEMS(known); ++*at)
        if (strcmp(name, known[*at]) == 0)
            return 0;
    const char *near = conf_nearest(name, known, N_ELEMS(known));
    return fail(d, "%s found the column \"%.60s\", expected a known one%s%s%s", where, name, near ? " (nearest: " : "",
                near ? near : "", near ? ")" : "");
}

struct columns {
    uint32_t key[2 * N_ELEMS(point_columns)], n;
};

static int read_header(struct columns *c, char **field, uint32_t n, const char *where, struct diag *d)
{
    bool has[N_ELEMS(point_columns)] = {false};
    if (n > N_ELEMS(c->key))
        return fail(d, "%s found %u columns, expected at most %zu", where, n, PUBLISHED + 1);
    for (c->n = 0; c->n < n; c->n++) {
        uint32_t *key = &c->key[c->n];
        if (find_column(field[c->n], where, key, d))
            return -1;
        if (has[*key])
            return fail(d, "%s found the column \"%s\" twice, expected it once", where, field[c->n]);
        has[*key] = true;
    }
    for (uint32_t i = 0; i <= PUBLISHED; i++)
        if (!has[i] && (i == PUBLISHED || !point_columns[i].def))
            return fail(d, "%s found no column \"%s\", expected one", where,
                        i == PUBLISHED ? "published" : point_columns[i].name);
    return 0;
}

static int read_published(const char *text, const char *where, double *value, struct diag *d)
{
    char *end;
    *value = strtod(text, &end);
    if (end == text || *end || !isfinite(*value) || *value <= 0)
        return fail(d, "%s published: found \"%.60s\", expected a number above 0", where, text);
    return 0;
}

/* What columns say together has to make sense. */
static int check_point(const struct published_point *t, const char *where, struct diag *d)
{
    const uint64_t sizes[] = {t->access_bytes, t->stride_bytes, t->flush_bytes, t->fence_bytes, t->region_bytes};
    static const char *const names[] = {"access", "stride", "flush", "fence", "region"};
    for (size_t i = 0; i < N_ELEMS(sizes); i++)
        if (sizes[i] % LINE_BYTES)
            return fail(d, "%s %s: found %lluB, expected whole lines of 64B", where, names[i],
                        (unsigned long long)sizes[i]);
    if (t->access_bytes > t->region_bytes || t->stride_bytes > t->region_bytes)
        return fail(d, "%s found an access or a stride larger than the region, expected it to fit", where);
    if (t->flush_bytes && t->op < POINT_CLWB)
        return fail(d, "%s flush: found one for op %s, expected it for flushed stores only", where, ops[t->op]);
    if (t->flush_bytes > t->access_bytes)
        return fail(d, "%s flush: found more than an access, expected at most as much", where);
    if (t->stride_bytes && t->pattern == POINT_RANDOM)
        return fail(d, "%s stride: found one for random accesses, expected none", where);
    if (t->quantity == POINT_EWR && (t->medium == POINT_DRAM || t->medium == POINT_CXL || t->op == POINT_LOAD))
        return fail(d, "%s quantity: found ewr, which only writes to pmem have", where);
    if (t->quantity == POINT_NS && t->threads > 1)
        return fail(d, "%s threads: found %llu, expected 1 for a latency", where, (unsigned long long)t->threads);
    if (t->less_ps && t->quantity != POINT_NS)
        return fail(d, "%s less: found a time, which only a latency has", where);
    if (t->at_rate && (t->quantity != POINT_NS || t->op != POINT_LOAD))
        return fail(d, "%s at: found a bandwidth, which only the latency of loads has", where);
    if (t->at_rate && (t->medium == POINT_PMEM || t->medium == POINT_PMEM_ONE))
        return fail(d, "%s at: found loaded latency of pmem, expected it of dram or cxl", where);
    if (t->reads_ppm < 500000)
        return fail(d, "%s reads: found less than half, but a store reads its line first", where);
    return 0;
}

static int read_point(struct points *p, const struct columns *c, char **field, uint32_t n, const char *where,
                      uint32_t line, struct diag *d)
{
    struct published_point t = {.line = line};
    if (n != c->n)
        return fail(d, "%s found %u fields, expected %u as in the table's first line", where, n, c->n);
    for (uint32_t i = 0; i < PUBLISHED; i++)
        if (point_columns[i].def &&
            conf_value(&point_columns[i], point_columns[i].def, where, (char *)&t + point_columns[i].offset, d))
            return -1;
    for (uint32_t i = 0; i < n; i++) {
        const struct conf_key *key = &point_columns[c->key[i]];
        const char *text = field[i];
        if (c->key[i] == PUBLISHED ? read_published(text, where, &t.published, d)
            : *text || !key->def   ? conf_value(key, text, where, (char *)&t + key->offset, d)
                                   : 0)
            return -1;
    }
    if (check_point(&t, where, d))
        return -1;
    if (p->n == p->room)
        p->point = xrealloc(p->point, (p->room = p->room ? 2 * p->room : 64) * sizeof *p->point);
    p->point[p->n++] = t;
    return 0;
}

/* "source,TEXT", "median,10%", "p90,30%": what the table says of itself, above its header. 0: no such line. */
static int read_setting(struct points *p, char **field, uint32_t n, const char *where, struct diag *d)
{
    static const struct conf_key limits[] = {
        {"median", CONF_RATIO, offsetof(struct points, median_ppm), NULL, 1, 0, NULL, NULL},
        {"p90", CONF_RATIO, offsetof(struct points, p90_ppm), NULL, 1, 0, NULL, NULL}};
    if (strcmp(field[0], "source") == 0) {
        if (n != 2)
            return fail(d, "%s source: found %u fields, expected one text, in quotes if it has commas", where, n - 1);
        free(p->source);
        p->source = xstrdup(field[1]);
        return 1;
    }
    for (size_t i = 0; i < N_ELEMS(limits); i++)
        if (n == 2 && strcmp(field[0], limits[i].name) == 0)
            return conf_value(&limits[i], field[1], where, (char *)p + limits[i].offset, d) ? -1 : 1;
    return 0;
}

static int read_line(struct points *p, struct columns *c, char **field, uint32_t n, const char *where, uint32_t line,
                     struct diag *d)
{
    if (c->n)
        return read_point(p, c, field, n, where, line, d);
    int setting = read_setting(p, field, n, where, d);
    return setting ? (setting < 0 ? -1 : 0) : read_header(c, field, n, where, d);
}

int points_read(struct points *p, const char *path, struct diag *d)
{
    size_t len;
    uint32_t line = 0, n;
    struct columns c = {.n = 0};
    *p = (struct points){0};
    char *text = read_whole(path, &len, d), *at = text;
    if (!text)
        return -1;
    if (memchr(text, 0, len) || strlen(text) != len)
        fail(d, "%s: byte %zu: found a zero, expected text", path, strlen(text));
    else
        while (*at) {
            line++;
            if (is_blank(at)) {
                at += strcspn(at, "\n");
                at += *at == '\n';
                continue;
            }
            char **field = csv_line(&at, &n), *where = xasprintf("%s:%u:", path, line);
            for (uint32_t i = 0; i < n; i++)
                field[i] = trim(field[i]);
            read_line(p, &c, field, n, where, line, d);
            bool has_header = c.n > 0;
            free(where);
            free(field);
            if (d->n_errors && !has_header)
                break;
        }
    free(text);
    if (!d->n_errors && !p->n)
        fail(d, "%s: found no point, expected a line of column names and one a point", path);
    return d->n_errors ? -1 : 0;
}

void points_free(struct points *p)
{
    free(p->source);
    free(p->point);
}

int points_fit(const struct points *p, const char *path, const struct machine_conf *conf, struct diag *d)
{
    uint64_t dimms = conf->imc.n_imcs * conf->imc.n_channels;
    for (uint32_t i = 0; i < p->n; i++) {
        const struct published_point *t = &p->point[i];
        bool is_pmem = t->medium == POINT_PMEM || t->medium == POINT_PMEM_ONE;
        uint64_t pmem = conf->pmem.size_bytes * (t->medium == POINT_PMEM ? dimms : 1),
                 bytes = t->threads * t->region_bytes;
        if (t->threads > conf->hv.cores)
            fail(d, "%s:%u: threads: found %llu, but a node of the machine has %llu cores", path, t->line,
                 (unsigned long long)t->threads, (unsigned long long)conf->hv.cores);
        if (t->place == POINT_REMOTE && (conf->numa.n_nodes < 2 || t->medium == POINT_CXL))
            fail(d, "%s:%u: place: found remote, which the machine does not have", path, t->line);
        if (is_pmem && conf->pmem.kind == NVDIMM_NONE)
            fail(d, "%s:%u: medium: found %s, but the machine has no persistent memory", path, t->line,
                 media[t->medium]);
        if (t->medium == POINT_CXL && !conf->cxl.devices)
            fail(d, "%s:%u: medium: found cxl, but the machine has no expander", path, t->line);
        if (is_pmem && conf->pmem.kind != NVDIMM_NONE && bytes > pmem)
            fail(d, "%s:%u: region: found more than the machine's modules hold", path, t->line);
    }
    return d->n_errors ? -1 : 0;
}

/* ---- how far off ---- */

double point_off(const struct published_point *t)
{
    return t->is_measured ? fabs(t->simulated / t->published - 1) : 1;
}

bool point_ok(const struct published_point *t)
{
    return !t->band_ppm || point_off(t) * 1e6 <= (double)t->band_ppm;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The smallest value that the share q of n sorted ones does not exceed. */
static double quantile(const double *sorted, uint32_t n, double q)
{
    uint32_t rank = (uint32_t)ceil(q * n);
    return sorted[rank ? rank - 1 : 0];
}

struct spread points_spread(const struct points *p, bool (*in)(const struct published_point *t, const void *ctx),
                            const void *ctx)
{
    struct spread s = {0};
    double *off = xcalloc(p->n + 1, sizeof *off), *ratio = xcalloc(p->n + 1, sizeof *ratio);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct published_point *t = &p->point[i];
        if (in && !in(t, ctx))
            continue;
        off[s.n] = point_off(t);
        ratio[s.n] = t->is_measured ? t->simulated / t->published : 0;
        for (uint32_t k = 0; k < N_ELEMS(s.within); k++)
            s.within[k] += off[s.n] <= 0.1 * (k + 1);
        s.n++;
    }
    if (s.n) {
        qsort(off, s.n, sizeof *off, by_size);
        qsort(ratio, s.n, sizeof *ratio, by_size);
        s.median = quantile(off, s.n, 0.5);
        s.p90 = quantile(off, s.n, 0.9);
        s.ratio = quantile(ratio, s.n, 0.5);
        for (uint32_t k = 0; k < N_ELEMS(s.within); k++)
            s.within[k] /= s.n;
    }
    free(off);
    free(ratio);
    return s;
}

bool points_hold(const struct points *p)
{
    struct spread s = points_spread(p, NULL, NULL);
    for (uint32_t i = 0; i < p->n; i++)
        if (!point_ok(&p->point[i]))
            return false;
    return (!p->median_ppm || s.median * 1e6 <= (double)p->median_ppm) &&
           (!p->p90_ppm || s.p90 * 1e6 <= (double)p->p90_ppm);
}

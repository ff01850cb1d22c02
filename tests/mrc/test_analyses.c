/* SPDX-License-Identifier: MIT */
/* Working sets and write-backs: against caches written down naively and the published working sets. */
#include "sim/base/rng.h"
#include "sim/mrc/dirty.h"
#include "sim/mrc/heat.h"
#include "sim/mrc/unit.h"
#include "sim/mrc/wss.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Write-backs of one LRU cache kept as an array, most recent first. */
static uint64_t naive_writebacks(const uint64_t *ids, const bool *write, uint32_t n, uint32_t size)
{
    uint64_t id[16], count = 0;
    bool dirty[16];
    uint32_t used = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = 0;
        while (at < used && id[at] != ids[i])
            at++;
        bool was_dirty = at < used && dirty[at];
        if (at == used && used == size)
            count += dirty[--at];
        else if (at == used)
            used++;
        memmove(id + 1, id, at * sizeof *id);
        memmove(dirty + 1, dirty, at * sizeof *dirty);
        id[0] = ids[i];
        dirty[0] = was_dirty || write[i];
    }
    return count;
}

Test(dirty, random_traces_equal_a_cache)
{
    struct rng r;
    rng_init(&r, 5, "dirty");
    for (int round = 0; round < 400; round++) {
        enum { N = 300 };
        uint64_t ids[N], share = 1 + rng_below(&r, 10), got[12], size[12];
        bool write[N];
        struct mrc_dirty *m = mrc_dirty_new();
        for (uint32_t i = 0; i < N; i++) {
            ids[i] = rng_below(&r, 14) - 4;
            write[i] = rng_below(&r, share) == 0;
            mrc_dirty_access(m, ids[i], write[i]);
        }
        for (uint64_t s = 0; s < 12; s++)
            size[s] = s + 1;
        mrc_dirty_writebacks(m, size, 12, got);
        for (uint32_t s = 0; s < 12; s++)
            cr_assert_eq(got[s], naive_writebacks(ids, write, N, s + 1), "round %d size %u: %lu", round, s + 1, got[s]);
        mrc_dirty_free(m);
    }
}

Test(heat, cells_hold_every_access_once)
{
    struct rng r;
    rng_init(&r, 6, "heat");
    static uint64_t want[9][40];
    struct mrc_heat *h = mrc_heat_new(10);
    for (uint64_t w = 0; w < 9; w++) {
        for (uint64_t i = rng_below(&r, 400); w != 4 && i > 0; i--) {
            uint64_t id = rng_below(&r, 390);
            mrc_heat_access(h, w, id);
            want[w][id / 10]++;
        }
    }
    const struct mrc_heat_cell *c;
    uint64_t n = mrc_heat_cells(h, &c);
    for (uint64_t i = 0; i < n; i++) {
        cr_assert(i == 0 || c[i].window > c[i - 1].window ||
                  (c[i].window == c[i - 1].window && c[i].region > c[i - 1].region));
        cr_assert_eq(c[i].region % 10, 0);
        cr_assert_gt(c[i].accesses, 0);
        cr_assert_eq(c[i].accesses, want[c[i].window][c[i].region / 10]);
        want[c[i].window][c[i].region / 10] = 0;
    }
    for (int w = 0; w < 9; w++)
        for (int i = 0; i < 40; i++)
            cr_assert_eq(want[w][i], 0);
    mrc_heat_free(h);
}

Test(wss, windows)
{
    struct mrc_wss *w = mrc_wss_new();
    const struct mrc_wss_window *k;
    mrc_wss_access(w, 0, 7, false);
    mrc_wss_access(w, 0, 7, true);
    mrc_wss_access(w, 0, UINT64_MAX, true);
    mrc_wss_access(w, 0, 7, true);
    mrc_wss_access(w, 3, 7, false);
    mrc_wss_access(w, 3, 8, true);
    cr_assert_eq(mrc_wss_windows(w, &k), 4);
    cr_assert(k[0].accesses == 4 && k[0].distinct == 2 && k[0].written == 2);
    cr_assert(k[1].accesses == 0 && k[2].distinct == 0);
    cr_assert(k[3].accesses == 2 && k[3].distinct == 2 && k[3].written == 1);
    mrc_wss_free(w);
}

static void shared_path(char *path, size_t n, const char *folder, const char *name, const char *suffix)
{
    const char *src = getenv("SRCDIR");
    snprintf(path, n, "%s/../shared/traces/%s%s%s", src ? src : ".", folder, name, suffix);
}

/* Windows of 50 M instructions. */
static struct mrc_wss *windows_of(const char *name)
{
    char path[512];
    shared_path(path, sizeof path, "gen/", name, ".pw.xz");
    struct diag d = {0};
    struct trace_reader *r = trace_open(path, &(struct trace_options){.format = "pw"}, &d);
    cr_assert_not_null(r, "%s", d.text);
    struct mrc_wss *w = mrc_wss_new();
    struct trace_rec rec[1024];
    uint64_t instrs = 0;
    int n;
    while ((n = trace_read(r, rec, 1024, &d)) > 0) {
        for (int i = 0; i < n; i++) {
            instrs += rec[i].arg;
            mrc_wss_access(w, instrs / 50000000, rec[i].addr >> 12, trace_is_write(rec[i].kind));
        }
    }
    cr_assert_eq(n, 0, "%s", d.text);
    trace_close(r);
    return w;
}

Test(wss, published_working_sets)
{
    static const char *const names[] = {"python", "redis", "sqlite", "xz"};
    for (int i = 0; i < 4; i++) {
        char path[512], line[256];
        shared_path(path, sizeof path, "reference/gen_", names[i], ".pw.wss.csv");
        FILE *f = fopen(path, "r");
        if (!f)
            cr_skip_test("%s is not here", path);
        struct mrc_wss *w = windows_of(names[i]);
        const struct mrc_wss_window *k;
        uint64_t n = mrc_wss_windows(w, &k), rows = 0;
        unsigned long window, records, distinct, written;
        while (fgets(line, sizeof line, f)) {
            if (sscanf(line, "%lu,%lu,%lu,%lu", &window, &records, &distinct, &written) != 4)
                continue;
            cr_assert_lt(window, n);
            cr_assert(k[window].accesses == records && k[window].distinct == distinct && k[window].written == written,
                      "%s window %lu: %lu %lu %lu, expected %s", names[i], window, k[window].accesses,
                      k[window].distinct, k[window].written, line);
            rows++;
        }
        cr_assert_eq(rows, n);
        fclose(f);
        mrc_wss_free(w);
    }
}

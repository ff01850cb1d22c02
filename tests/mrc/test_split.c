/* SPDX-License-Identifier: MIT */
/* Splits of memory: the optimum against every split there is, the others against it. */
#include "sim/base/rng.h"
#include "sim/mrc/split.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct mrc_curve random_curve(struct rng *r, uint32_t points, bool convex)
{
    struct mrc_curve c = {.accesses = 100000, .n = points};
    c.size = malloc(points * sizeof *c.size);
    c.misses = malloc(points * sizeof *c.misses);
    uint64_t misses = c.accesses, drop = 20000;
    for (uint32_t i = 0; i < points; i++) {
        c.size[i] = i + 1;
        drop = convex ? drop - rng_below(r, drop / 2 + 1) : rng_below(r, misses / 3 + 1) * (rng_below(r, 3) == 0);
        misses -= drop < misses ? drop : misses;
        c.misses[i] = misses;
    }
    return c;
}

static uint64_t total_misses(const struct mrc_curve *c, const uint64_t *grains, uint64_t grain)
{
    uint64_t sum = 0;
    for (int i = 0; i < 3; i++)
        sum += mrc_curve_misses_at(&c[i], grains[i] * grain);
    return sum;
}

Test(split, optimum_equals_every_split_tried)
{
    struct rng r;
    rng_init(&r, 8, "split");
    for (int round = 0; round < 300; round++) {
        struct mrc_curve c[3];
        struct diag d = {0};
        bool convex = round % 2;
        for (int i = 0; i < 3; i++)
            c[i] = random_curve(&r, 12, convex);
        uint64_t grain = 1 + rng_below(&r, 2), n = 1 + rng_below(&r, 14), best = UINT64_MAX, got[3][3];
        for (uint64_t a = 0; a <= n; a++) {
            for (uint64_t b = 0; a + b <= n; b++) {
                const uint64_t g[3] = {a, b, n - a - b};
                uint64_t m = total_misses(c, g, grain);
                best = m < best ? m : best;
            }
        }
        for (int m = 0; m < 3; m++) {
            cr_assert_eq(mrc_split(c, 3, grain, n, (enum mrc_split_method)m, got[m], &d), 0);
            cr_assert_eq(got[m][0] + got[m][1] + got[m][2], n);
            cr_assert_geq(total_misses(c, got[m], grain), best);
        }
        cr_assert_eq(total_misses(c, got[MRC_SPLIT_OPTIMUM], grain), best);
        if (convex) /* on convex curves, a grain a time is as good as anything */
            cr_assert_eq(total_misses(c, got[MRC_SPLIT_GREEDY], grain), best);
        for (int i = 0; i < 3; i++)
            mrc_curve_free(&c[i]);
    }
}

/* A plateau and then a cliff: greedy never crosses it, the hull does. */
Test(split, the_hull_sees_past_a_plateau)
{
    uint64_t size[] = {1, 10}, cliff[] = {1000, 0}, slope[] = {990, 900};
    struct mrc_curve c[2] = {{.accesses = 1000, .n = 2, .size = size, .misses = cliff},
                             {.accesses = 1000, .n = 2, .size = size, .misses = slope}};
    uint64_t grains[2];
    struct diag d = {0};
    cr_assert_eq(mrc_split(c, 2, 1, 10, MRC_SPLIT_HULL, grains, &d), 0);
    cr_assert_eq(grains[0], 10);
    cr_assert_eq(mrc_split(c, 2, 1, 10, MRC_SPLIT_GREEDY, grains, &d), 0);
    cr_assert_lt(grains[0], 10);
    cr_assert_eq(mrc_split(c, 2, 1, 1u << 20, MRC_SPLIT_OPTIMUM, grains, &d), -1);
}

Test(split, curves_are_read_with_care)
{
    char path[] = "/tmp/quire-split-XXXXXX";
    int fd = mkstemp(path);
    const char *good = "size,misses,accesses,miss_ratio\n1,90,100,0.9\n4,20,100,0.2\n";
    const char *bad[] = {"",
                         "size,miss\n",
                         "size,misses,accesses,miss_ratio\n",
                         "size,misses,accesses,miss_ratio\nx\n",
                         "size,misses,accesses,miss_ratio\n2,9,10,0\n1,8,10,0\n",
                         "size,misses,accesses,miss_ratio\n1,8,10,0\n2,9,10,0\n",
                         "size,misses,accesses,miss_ratio\n1,11,10,0\n",
                         "size,misses,accesses,miss_ratio\n1,8,10,0\n2,7,11,0\n"};
    struct mrc_curve c;
    struct diag d = {0};
    cr_assert_eq(write(fd, good, strlen(good)), (ssize_t)strlen(good));
    cr_assert_eq(mrc_curve_read(path, &c, &d), 0, "%s", d.text);
    cr_assert(mrc_curve_misses_at(&c, 0) == 100 && mrc_curve_misses_at(&c, 3) == 90 &&
              mrc_curve_misses_at(&c, 9) == 20);
    mrc_curve_free(&c);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        d = (struct diag){0};
        cr_assert_eq(ftruncate(fd, 0), 0);
        cr_assert_eq(pwrite(fd, bad[i], strlen(bad[i]), 0), (ssize_t)strlen(bad[i]));
        cr_assert_eq(mrc_curve_read(path, &c, &d), -1, "took %zu", i);
        cr_assert_eq(d.n_errors, 1);
    }
    close(fd);
    unlink(path);
}

/* SPDX-License-Identifier: MIT */
/* Any bytes as the table of a curve, which quire mrc split reads: refused with one line, or a curve whose misses fall
 * and which can be split. */
#include "sim/mrc/split.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_curve(const struct mrc_curve *c)
{
    struct diag d = {0};
    uint64_t grains[2] = {0};
    const struct mrc_curve two[2] = {*c, *c};
    for (uint64_t i = 1; i < c->n; i++)
        CHECK(c->size[i] > c->size[i - 1]);
    for (int m = MRC_SPLIT_GREEDY; m <= MRC_SPLIT_OPTIMUM; m++) {
        CHECK_MSG(mrc_split(two, 2, 3, 20, (enum mrc_split_method)m, grains, &d) == 0, "%s", d.text);
        CHECK(grains[0] + grains[1] <= 20);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag d = {0};
    struct mrc_curve c = {0};
    char path[64];
    int fd = memfd_create("curve", 0);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (mrc_curve_read(path, &c, &d) == 0) {
        CHECK(d.n_errors == 0);
        check_curve(&c);
        mrc_curve_free(&c);
    } else {
        CHECK(d.n_errors == 1 && d.len > 0 && !strchr(d.text, '\n'));
    }
    close(fd);
    return 0;
}

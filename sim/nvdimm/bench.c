/* SPDX-License-Identifier: MIT */
#include "sim/nvdimm/bench.h"

#include "sim/base/diag.h"
#include "sim/base/rng.h"
#include "sim/nvdimm/nvdimm.h"

#include <stdlib.h>

static const struct {
    const char *name, *note;
    uint64_t footprint;
    bool is_random, is_write;
} rows[] = {
    {"nvdimm.read.16KiB", "dependent random reads within the read buffer", 16 * KIB, true, false},
    {"nvdimm.read.16MiB", "the same within the translations that are buffered", 16 * MIB, true, false},
    {"nvdimm.read.256GiB", "the same over the whole module", 256 * GIB, true, false},
    {"nvdimm.read.sequential", "line after line", 256 * GIB, false, false},
    {"nvdimm.write.256GiB", "random writes as fast as they are taken", 256 * GIB, true, true},
    {"nvdimm.write.sequential", "line after line", 256 * GIB, false, true},
};

int bench_nvdimm(struct bench *b)
{
    struct nvdimm_conf conf;
    struct diag d = {0};
    if (conf_bind(NULL, nvdimm_keys, &conf, &d))
        return -1;
    conf.kind = NVDIMM_OPTANE;
    for (size_t i = 0; i < N_ELEMS(rows); i++) {
        struct nvdimm n;
        struct rng r;
        ps_t t = 0;
        uint64_t count = (uint64_t)(1e7 * b->scale), lines = rows[i].footprint / LINE_BYTES;
        struct nvdimm_door *door = nvdimm_door_new(8);
        nvdimm_init(&n, &conf, door);
        rng_init(&r, 1, "bench");
        double start = bench_user_s();
        for (uint64_t k = 0; k < count; k++) {
            uint64_t line = rows[i].is_random ? rng_below(&r, lines) : k;
            t = rows[i].is_write ? nvdimm_write(&n, line, t, t) : nvdimm_read(&n, line, t);
        }
        bench_add(b, rows[i].name, (double)count / (bench_user_s() - start) / 1e6, "M requests/s", rows[i].note);
        nvdimm_fini(&n);
        free(door);
    }
    return 0;
}

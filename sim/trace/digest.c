/* SPDX-License-Identifier: MIT */
#include "sim/trace/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define PART_BYTES (1u << 20)

int trace_digest(const char *path, uint64_t *digest, struct diag *d)
{
    FILE *f = fopen(path, "rbe");
    if (!f)
        return fail(d, "%s: cannot open: %s", path, strerror(errno));
    XXH3_state_t *x = XXH3_createState();
    CHECK(x);
    XXH3_64bits_reset(x);
    uint8_t *part = xmalloc(PART_BYTES);
    size_t n;
    while ((n = fread(part, 1, PART_BYTES, f)) > 0)
        XXH3_64bits_update(x, part, n);
    int rc = ferror(f) ? fail(d, "%s: cannot read: %s", path, strerror(errno)) : 0;
    *digest = XXH3_64bits_digest(x);
    XXH3_freeState(x);
    free(part);
    fclose(f);
    return rc;
}

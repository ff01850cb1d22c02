/* SPDX-License-Identifier: MIT */
#include "sim/cli/point.h"

#include "build_id.h"
#include "sim/machine/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void point_add_policy(FILE *f, const char *spec)
{
    size_t name = strcspn(spec, ":");
    fprintf(f, "policy \"%.*s\" {\n", (int)name, spec);
    for (const char *p = spec + name; *p;) {
        size_t len = strcspn(++p, ","), key = strcspn(p, "=,");
        fprintf(f, "  %.*s = \"%.*s\"\n", (int)key, p, (int)(len > key ? len - key - 1 : 0), p + key + (len > key));
        p += len;
    }
    fputs("}\n", f);
}

int point_write(const struct conf *conf, const struct result *r, const char *out, struct diag *d)
{
    const struct experiment e = {.ops = &run_ops};
    struct run_inputs in;
    struct manifest m;
    char id[33];
    if (mkdir(out, 0777) && errno != EEXIST)
        return fail(d, "--out: %s cannot be made: %s", out, strerror(errno));
    if (point_manifest(&e, conf, &m, &in, id, d))
        return -1;
    int bad = result_write(r, &m, out, d);
    if (!bad)
        fprintf(stderr, "%s/%s\n", out, id);
    free((char *)m.config);
    run_inputs_free(&in);
    return bad;
}

int point_set(struct conf *conf, const char *text, struct diag *d)
{
    const char *eq = strchr(text, '=');
    if (!eq)
        return fail(d, "--set: found '%s', expected KEY=VALUE", text);
    char *key = xasprintf("%.*s", (int)(eq - text), text);
    int bad = conf_set(conf, key, eq + 1, "--set", d);
    free(key);
    return bad;
}

int point_checkpoints(const struct sets *texts, bool stop, struct run_checkpoint *at, struct run_checkpoints *save,
                      struct diag *d)
{
    _Static_assert(sizeof texts->text / sizeof *texts->text <= RUN_MAX_CHECKPOINTS,
                   "as many as the command line takes");
    *save = (struct run_checkpoints){at, texts->n, stop};
    if (stop && !texts->n)
        return fail(d, "--stop: found no --checkpoint to stop at");
    for (uint32_t i = 0; i < texts->n; i++)
        if (run_checkpoint_read(texts->text[i], "--checkpoint", &at[i], d))
            return -1;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "sim/cli/point.h"

#include "build_id.h"
#include "sim/machine/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

void point_put_text(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', f);
        fputc(*text, f);
    }
}

int point_check_out(const char *out, struct diag *d)
{
    struct stat st;
    if (!*out)
        return 0;
    if (stat(out, &st) == 0 && !S_ISDIR(st.st_mode))
        return fail(d, "--out: found the file %s, expected a folder", out);
    char *parent = xstrdup(out), *slash;
    size_t n = strlen(parent);
    while (n > 1 && parent[n - 1] == '/')
        parent[--n] = 0;
    slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = 0;
    int bad = access(stat(out, &st) == 0 ? out : slash ? parent : ".", W_OK);
    if (bad)
        fail(d, "--out: %s cannot be made: %s", out, strerror(errno));
    free(parent);
    return bad;
}

/* Behind "NAME:LINE: " or "NAME:LINE " if text begins so, else text. */
static const char *behind_place(const char *text, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(text, name, n) != 0 || text[n] != ':' || text[n + 1] < '0' || text[n + 1] > '9')
        return text;
    text += n + 1;
    text += strspn(text, "0123456789");
    text += *text == ':';
    return text + (*text == ' ');
}

void point_plain(const char *name, struct diag *d)
{
    struct diag was = *d;
    *d = (struct diag){0};
    for (const char *line = was.text, *end; *line; line = end + (*end != 0)) {
        end = line + strcspn(line, "\n");
        const char *p = behind_place(line, name), *key = strncmp(p, "[vm.", 4) == 0 ? strstr(p, "] ") : NULL;
        bool is_option = p != line && key && key < end;
        p = is_option ? key + 2 : p;
        fail(d, "%s%.*s", is_option ? "--" : "", (int)(end - p), p);
        for (char *c = d->text + d->len - (end - p); is_option && *c && *c != ':'; c++)
            *c = *c == '_' ? '-' : *c;
    }
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

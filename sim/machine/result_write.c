/* SPDX-License-Identifier: MIT */
/* Writing a result: formulas evaluated, keys sorted, a run directory put in place whole. */
#include "sim/machine/result_int.h"

#include "sim/base/outfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* ---- formulas ---------------------------------------------------------------------------------------------------- */
/* '*' stands for any characters but '.'. */
static bool matches(const char *pattern, size_t len, const char *key)
{
    if (len == 0)
        return !*key;
    if (*pattern != '*')
        return *pattern == *key && matches(pattern + 1, len - 1, key + 1);
    for (;; key++) {
        if (matches(pattern + 1, len - 1, key))
            return true;
        if (!*key || *key == '.')
            return false;
    }
}

static unsigned __int128 term(const struct result *r, const char *p, size_t len)
{
    unsigned __int128 sum = 0;
    if (strspn(p, "0123456789") >= len)
        return strtoull(p, NULL, 10);
    for (uint32_t i = 0; i < r->n; i++)
        if (r->item[i].kind == ITEM_INT && matches(p, len, r->item[i].key))
            sum += r->item[i].value;
    return sum;
}

/* The sum of the terms between '+'. */
static unsigned __int128 evaluate(const struct result *r, const char *formula)
{
    unsigned __int128 sum = 0;
    for (const char *p = formula;; p++) {
        p += strspn(p, " ");
        size_t len = strcspn(p, " +");
        sum += len ? term(r, p, len) : 0;
        p += len + strspn(p + len, " ");
        if (!*p)
            return sum;
        CHECK_MSG(*p == '+', "formula \"%s\"", formula);
    }
}

static void text_ratio(struct text *t, unsigned __int128 num, unsigned __int128 den)
{
    const uint64_t scale = 1000000000;
    if (den == 0) {
        text_printf(t, "null");
        return;
    }
    unsigned __int128 whole = num / den, rest = num % den;
    uint64_t frac = (uint64_t)((rest * scale + den / 2) / den);
    whole += frac / scale;
    text_printf(t, "%llu.%09llu", (unsigned long long)whole, (unsigned long long)(frac % scale));
}

/* ---- files ------------------------------------------------------------------------------------------------------- */
static int compare_items(const void *a, const void *b)
{
    const struct item *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static void text_item(struct text *t, const struct result *r, const struct item *it)
{
    text_json(t, it->key);
    text_printf(t, ": ");
    if (it->kind == ITEM_INT)
        text_printf(t, "%llu", (unsigned long long)it->value);
    else if (it->kind == ITEM_TEXT)
        text_json(t, it->num_text);
    else if (it->kind == ITEM_QUOTIENT)
        text_ratio(t, it->value, it->den);
    else
        text_ratio(t, evaluate(r, it->num_text), evaluate(r, it->den_text));
}

static struct text result_json(const struct result *r)
{
    struct text t = {0}, taints = {0};
    struct item extra[2] = {{.key = "events_dropped", .value = r->n_dropped}, {.key = "taints", .kind = ITEM_TEXT}};
    const struct item **list = xmalloc((r->n + 2) * sizeof *list);
    text_printf(&taints, "%s", "");
    for (uint32_t i = 0; i < r->n_taints; i++)
        text_printf(&taints, "%s%s", i ? "," : "", r->taint[i]);
    extra[1].num_text = taints.p;
    for (uint32_t i = 0; i < r->n; i++)
        list[i] = &r->item[i];
    list[r->n] = &extra[0];
    list[r->n + 1] = &extra[1];
    qsort(list, r->n + 2, sizeof *list, compare_items);
    text_printf(&t, "{");
    for (uint32_t i = 0; i < r->n + 2; i++) {
        text_printf(&t, "%s\n  ", i ? "," : "");
        text_item(&t, r, list[i]);
    }
    text_printf(&t, "\n}\n");
    free(list);
    free(taints.p);
    return t;
}

void result_print(const struct result *r, FILE *f)
{
    struct text t = result_json(r);
    fwrite(t.p, 1, t.len, f);
    free(t.p);
}

static void digest_hex(const void *p, size_t len, char hex[33])
{
    XXH128_hash_t h = XXH3_128bits(p, len);
    snprintf(hex, 33, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

static struct text manifest_json(const struct result *r, const struct manifest *m)
{
    struct text t = {0};
    char hash[33];
    digest_hex(m->config, strlen(m->config), hash);
    text_printf(&t, "{\n  \"build_id\": ");
    text_json(&t, m->build_id);
    text_printf(&t, ",\n  \"config_hash\": \"%s\",\n  \"format\": 1,\n  \"inputs\": [", hash);
    for (uint32_t i = 0; i < m->inputs->n; i++) {
        const struct run_input *in = &m->inputs->item[i];
        text_printf(&t, "%s\n    {\"digest\": \"%s\", \"kind\": ", i ? "," : "", in->digest);
        text_json(&t, in->kind);
        text_printf(&t, ", \"name\": ");
        text_json(&t, in->name);
        text_printf(&t, "}");
    }
    text_printf(&t, "%s],\n  \"run_id\": \"%s\",\n  \"seed\": %llu,\n  \"taints\": [", m->inputs->n ? "\n  " : "",
                m->run_id, (unsigned long long)m->seed);
    for (uint32_t i = 0; i < r->n_taints; i++) {
        text_printf(&t, "%s", i ? ", " : "");
        text_json(&t, r->taint[i]);
    }
    text_printf(&t, "]\n}\n");
    return t;
}

static int write_file(const char *dir, const char *shown, const char *name, const char *p, size_t len, struct diag *d)
{
    char *path = xasprintf("%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    int err = f ? 0 : errno;
    if (f) {
        if (fwrite(p, 1, len, f) != len)
            err = errno;
        int close_err = out_close_synced(f);
        err = err ? err : close_err;
    }
    free(path);
    return err ? fail(d, "%s/%s: cannot be written: %s", shown, name, strerror(err)) : 0;
}

static const char *const file_names[] = {"manifest.json", "config.conf", "result.json", "series.csv", "events.json"};

static int write_files(const struct result *r, const struct manifest *m, const char *tmp, const char *shown,
                       struct diag *d)
{
    struct text t[5] = {manifest_json(r, m), {0}, result_json(r), {0}, {0}};
    text_printf(&t[1], "%s", m->config);
    text_printf(&t[3], "series,label,x_name,x,value\n%s", r->series.p ? r->series.p : "");
    text_printf(&t[4], "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n%s\n]}\n", r->events.p ? r->events.p : "");
    int rc = 0;
    for (int i = 0; i < 5; i++) {
        if (rc == 0)
            rc = write_file(tmp, shown, file_names[i], t[i].p, t[i].len, d);
        free(t[i].p);
    }
    return rc;
}

static void remove_tmp(const char *tmp)
{
    for (int i = 0; i < 5; i++) {
        char *path = xasprintf("%s/%s", tmp, file_names[i]);
        unlink(path);
        free(path);
    }
    rmdir(tmp);
}

int result_write(const struct result *r, const struct manifest *m, const char *dir, struct diag *d)
{
    char *tmp = xasprintf("%s/.tmp-%s-%ld", dir, m->run_id, (long)getpid());
    char *final = xasprintf("%s/%s", dir, m->run_id);
    int rc = 0;
    if (mkdir(tmp, 0777) != 0) {
        rc = fail(d, "%s: cannot be made: %s", final, strerror(errno));
    } else {
        rc = write_files(r, m, tmp, final, d);
        out_sync_dir(tmp);
        if (rc == 0 && rename(tmp, final) != 0 && errno != EEXIST && errno != ENOTEMPTY)
            rc = fail(d, "%s: cannot be made: %s", final, strerror(errno));
        remove_tmp(tmp);
        if (rc == 0)
            out_sync_dir(dir);
    }
    free(tmp);
    free(final);
    return rc;
}

/* ---- inputs ------------------------------------------------------------------------------------------------------ */
int run_inputs_add(struct run_inputs *in, const char *kind, const char *path, const char *where, struct diag *d)
{
    FILE *f = fopen(path, "re");
    struct stat st;
    if (!f)
        return fail(d, "%s %s %s: cannot be opened: %s", where, kind, path, strerror(errno));
    if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
        fclose(f);
        return fail(d, "%s %s %s: found no plain file, expected one", where, kind, path);
    }
    XXH3_state_t *state = XXH3_createState();
    CHECK(state && XXH3_128bits_reset(state) == XXH_OK);
    char *buf = xmalloc(1 << 18);
    for (size_t n; (n = fread(buf, 1, 1 << 18, f)) > 0;)
        XXH3_128bits_update(state, buf, n);
    int rc = ferror(f) ? fail(d, "%s %s %s: cannot be read: %s", where, kind, path, strerror(errno)) : 0;
    XXH128_hash_t h = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    free(buf);
    fclose(f);
    if (rc != 0)
        return rc;
    const char *slash = strrchr(path, '/');
    in->item = xrealloc(in->item, (in->n + 1) * sizeof *in->item);
    struct run_input *it = &in->item[in->n++];
    it->kind = xstrdup(kind);
    it->name = xstrdup(slash ? slash + 1 : path);
    snprintf(it->digest, sizeof it->digest, "%016llx%016llx", (unsigned long long)h.high64,
             (unsigned long long)h.low64);
    return 0;
}

void run_inputs_free(struct run_inputs *in)
{
    for (uint32_t i = 0; i < in->n; i++) {
        free(in->item[i].kind);
        free(in->item[i].name);
    }
    free(in->item);
    *in = (struct run_inputs){0};
}

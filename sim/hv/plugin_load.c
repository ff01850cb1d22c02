/* SPDX-License-Identifier: MIT */
/* Loading of policy plugins: finding the file, the handshake, the option table. Nothing that a plugin hands over is
 * used before it was checked. */
#include "sim/hv/plugin.h"
#include "sim/hv/shared_object.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#ifndef QUIRE_POLICY_DIR
#define QUIRE_POLICY_DIR "/usr/local/lib/quire/policies"
#endif

/* The 1.0 layout: what any plugin must have. */
#define POLICY_MIN_BYTES (offsetof(struct quire_policy, init) + sizeof(void *))
#define OPTION_MIN_BYTES (offsetof(struct quire_option, help) + sizeof(void *))
#define HOOKS_MIN_BYTES  (offsetof(struct quire_hooks, fini))
#define MAX_STRUCT_BYTES 4096u

/* ---- finding ----------------------------------------------------------------------------------------------------- */

char *plugin_search_path(const char *search)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    char *slash = strrchr(exe, '/');
    if (slash != NULL)
        *slash = 0;
    bool has = search != NULL && *search != 0;
    return xasprintf("%s%s%s/policies:%s", has ? search : "", has ? ":" : "", exe, QUIRE_POLICY_DIR);
}

/* The file that name stands for, or NULL. The caller frees. */
static char *find(const char *name, const char *folders)
{
    if (strchr(name, '/') != NULL)
        return xstrdup(name);
    for (const char *at = folders; *at != 0;) {
        size_t len = strcspn(at, ":");
        char *path = xasprintf("%.*s/%s.so", (int)len, at, name);
        if (access(path, F_OK) == 0)
            return path;
        free(path);
        at += len + (at[len] == ':');
    }
    return NULL;
}

static int digest_file(const char *path, char hex[PLUGIN_DIGEST_LEN], const char *where, struct diag *d)
{
    char buf[65536];
    size_t n;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return fail(d, "%s: cannot open %s: %s", where, path, strerror(errno));
    XXH3_state_t *x = XXH3_createState();
    CHECK(x != NULL);
    XXH3_128bits_reset(x);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        XXH3_128bits_update(x, buf, n);
    bool failed = ferror(f) != 0;
    XXH128_hash_t h = XXH3_128bits_digest(x);
    XXH3_freeState(x);
    fclose(f);
    if (failed)
        return fail(d, "%s: cannot read %s", where, path);
    snprintf(hex, PLUGIN_DIGEST_LEN, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
    return 0;
}

/* ---- the option table -------------------------------------------------------------------------------------------- */

static const enum conf_type conf_type_of[] = {
    [QUIRE_OPT_BOOL] = CONF_BOOL, [QUIRE_OPT_UINT] = CONF_UINT,   [QUIRE_OPT_SIZE] = CONF_SIZE,
    [QUIRE_OPT_TIME] = CONF_TIME, [QUIRE_OPT_RATIO] = CONF_RATIO, [QUIRE_OPT_WORD] = CONF_CHOICE,
    [QUIRE_OPT_RATE] = CONF_RATE,
};

/* [a-z][a-z0-9_-]*, at most 40 characters. */
static bool is_name(const char *s)
{
    size_t n = s == NULL ? 0 : strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return n > 0 && n <= 40 && s[n] == 0 && s[0] >= 'a' && s[0] <= 'z';
}

static int read_option(struct plugin *p, const struct quire_option *o, const char *where, struct diag *d)
{
    struct conf_key *key = &p->option[p->n_options];
    if (!is_name(o->name))
        return fail(d, "%s: %s: option %u: found no valid name, expected [a-z][a-z0-9_-]*", where, p->path,
                    p->n_options);
    for (uint32_t i = 0; i < p->n_options; i++)
        if (strcmp(p->option[i].name, o->name) == 0)
            return fail(d, "%s: %s: option %s is there twice", where, p->path, o->name);
    if (o->type == 0 || o->type >= N_ELEMS(conf_type_of))
        return fail(d, "%s: %s: option %s: found type %u, expected 1..%zu", where, p->path, o->name, o->type,
                    N_ELEMS(conf_type_of) - 1);
    if (o->def == NULL || o->help == NULL || (o->type == QUIRE_OPT_WORD) != (o->words != NULL))
        return fail(d, "%s: %s: option %s: default, help, or list of words is missing or one too many", where, p->path,
                    o->name);
    *key = (struct conf_key){.name = o->name, .type = conf_type_of[o->type], .offset = 8 * p->n_options};
    key->def = o->def;
    key->min = o->min;
    key->max = o->max;
    key->choices = o->words;
    key->help = o->help;
    uint64_t value;
    char *at = xasprintf("%s: %s: default of option", where, p->path);
    int r = conf_value(key, o->def, at, &value, d);
    free(at);
    p->n_options += r == 0;
    return r;
}

/* Options of a newer plugin are larger: the first one's size is the stride of all. */
static int read_options(struct plugin *p, const char *where, struct diag *d)
{
    const struct quire_policy *q = &p->policy;
    if (q->n_options > PLUGIN_MAX_OPTIONS || (q->n_options > 0 && q->options == NULL))
        return fail(d, "%s: %s: found %u options, expected a table of at most %u", where, p->path, q->n_options,
                    PLUGIN_MAX_OPTIONS);
    uint32_t stride = q->n_options ? q->options->size : 0;
    if (q->n_options && (stride < OPTION_MIN_BYTES || stride > MAX_STRUCT_BYTES || stride % 8 != 0))
        return fail(d, "%s: %s: struct quire_option: found %u bytes, expected at least %zu", where, p->path, stride,
                    OPTION_MIN_BYTES);
    for (uint32_t i = 0; i < q->n_options; i++) {
        const struct quire_option *o = (const void *)((const char *)q->options + (size_t)i * stride);
        if (o->size != stride)
            return fail(d, "%s: %s: option %u: found a struct of %u bytes, expected %u as before it", where, p->path, i,
                        o->size, stride);
        if (read_option(p, o, where, d) < 0)
            return -1;
    }
    return 0;
}

/* ---- the handshake ----------------------------------------------------------------------------------------------- */

static int read_hooks(struct plugin *p, const char *where, struct diag *d)
{
    const struct quire_hooks *h = p->policy.hooks;
    if (h == NULL)
        return fail(d, "%s: %s: found no hooks, expected a struct quire_hooks", where, p->path);
    if (h->size < HOOKS_MIN_BYTES || h->size > MAX_STRUCT_BYTES)
        return fail(d, "%s: %s: struct quire_hooks: found %u bytes, expected at least %zu", where, p->path, h->size,
                    HOOKS_MIN_BYTES);
    memcpy(&p->hooks, h, min_u64(h->size, sizeof p->hooks));
    return 0;
}

static int handshake(struct plugin *p, quire_policy_entry_fn *entry, const char *where, struct diag *d)
{
    const struct quire_policy *q = entry();
    if (q == NULL)
        return fail(d, "%s: %s: %s() answered NULL", where, p->path, QUIRE_POLICY_ENTRY);
    if (q->size >= offsetof(struct quire_policy, n_options) && q->abi_major != QUIRE_ABI_MAJOR)
        return fail(d, "%s: %s: found policy ABI %u.%u, expected %u.x", where, p->path, q->abi_major, q->abi_minor,
                    QUIRE_ABI_MAJOR);
    if (q->size < POLICY_MIN_BYTES || q->size > MAX_STRUCT_BYTES)
        return fail(d, "%s: %s: struct quire_policy: found %u bytes, expected at least %zu", where, p->path, q->size,
                    POLICY_MIN_BYTES);
    memcpy(&p->policy, q, min_u64(q->size, sizeof p->policy));
    if (!is_name(p->policy.name) || p->policy.help == NULL)
        return fail(d, "%s: %s: found no valid policy name or no help, expected [a-z][a-z0-9_-]* and a text", where,
                    p->path);
    if (p->policy.init == NULL)
        return fail(d, "%s: %s: found no init function", where, p->path);
    const char *id = p->policy.source_id;
    if (id != NULL && strspn(id, "0123456789abcdef") == PLUGIN_DIGEST_LEN - 1 && id[PLUGIN_DIGEST_LEN - 1] == 0)
        memcpy(p->digest, id, PLUGIN_DIGEST_LEN);
    else if (id != NULL)
        return fail(d, "%s: %s: found a malformed source_id, expected %u lower-case hex digits", where, p->path,
                    PLUGIN_DIGEST_LEN - 1);
    return read_hooks(p, where, d) < 0 ? -1 : read_options(p, where, d);
}

static int load(struct plugin *p, const char *where, struct diag *d)
{
    if (shared_object_check(p->path, where, d) < 0 || digest_file(p->path, p->digest, where, d) < 0)
        return -1;
    p->so = dlopen(p->path, RTLD_NOW | RTLD_LOCAL);
    if (p->so == NULL)
        return fail(d, "%s: cannot load: %s", where, dlerror());
    quire_policy_entry_fn *entry;
    *(void **)&entry = dlsym(p->so, QUIRE_POLICY_ENTRY);
    if (entry == NULL)
        return fail(d, "%s: %s: found no symbol %s, expected a quire policy", where, p->path, QUIRE_POLICY_ENTRY);
    return handshake(p, entry, where, d);
}

struct plugin *plugin_adopt(quire_policy_entry_fn *entry, const char *name, struct diag *d)
{
    struct plugin *p = xcalloc(1, sizeof *p);
    p->path = xstrdup(name);
    memset(p->digest, '0', sizeof p->digest - 1);
    if (handshake(p, entry, "built in", d) == 0)
        return p;
    plugin_close(p);
    return NULL;
}

struct plugin *plugin_open(const char *name, const char *search, const char *where, struct diag *d)
{
    char *folders = plugin_search_path(search);
    char *path = find(name, folders);
    if (path == NULL) {
        fail(d, "%s: found no %s.so in any of %s", where, name, folders);
        free(folders);
        return NULL;
    }
    free(folders);
    struct plugin *p = xcalloc(1, sizeof *p);
    p->path = path;
    if (load(p, where, d) == 0)
        return p;
    plugin_close(p);
    return NULL;
}

void plugin_close(struct plugin *p)
{
    if (p == NULL)
        return;
    if (p->so != NULL)
        dlclose(p->so);
    free(p->path);
    free(p);
}

/* ---- options of a run -------------------------------------------------------------------------------------------- */

int plugin_set(const struct plugin *p, const char *key, const char *text, const char *where, struct plugin_values *v,
               struct diag *d)
{
    const char *names[PLUGIN_MAX_OPTIONS];
    for (uint32_t i = 0; i < p->n_options; i++) {
        names[i] = p->option[i].name;
        if (strcmp(key, names[i]) == 0)
            return conf_value(&p->option[i], text, where, &v->value[i], d);
    }
    const char *near = conf_nearest(key, names, p->n_options);
    return fail(d, "%s %s: found no such option of policy %s%s%s%s", where, key, p->policy.name,
                near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static bool is_own(const struct conf_key *own, const char *key)
{
    for (; own != NULL && own->name != NULL; own++)
        if (strcmp(own->name, key) == 0)
            return true;
    return false;
}

int plugin_bind(const struct plugin *p, const struct conf_section *s, const struct conf_key *own,
                struct plugin_values *v, struct diag *d)
{
    const char *key, *text, *where;
    int r = conf_bind(NULL, p->option, v, d);
    for (uint32_t i = 0; s != NULL && conf_item(s, i, &key, &text, &where); i++) {
        if (is_own(own, key))
            continue;
        if (text == NULL)
            r = fail(d, "%s %s: found a list, expected one value", where, key);
        else if (plugin_set(p, key, text, where, v, d) < 0)
            r = -1;
    }
    return r;
}

const char *plugin_role_name(uint32_t bit)
{
    static const char *const names[] = {"placement", "trace", "numa", "pmem"};
    return bit < N_ELEMS(names) ? names[bit] : NULL;
}

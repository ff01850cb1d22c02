/* SPDX-License-Identifier: MIT */
/* quire policy: what plugins there are, what they offer, and whether they behave. */
#include "sim/base/types.h"
#include "sim/cli/args.h"
#include "sim/cli/commands.h"
#include "sim/hv/plugin_kit.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one plugin -------------------------------------------------------------------------------------------------- */

static const char *type_word(const struct conf_key *k)
{
    static const char *const words[] = {
        [CONF_BOOL] = "bool", [CONF_UINT] = "number", [CONF_SIZE] = "size",  [CONF_TIME] = "time",
        [CONF_RATE] = "rate", [CONF_RATIO] = "ratio", [CONF_CHOICE] = "word"};
    return words[k->type];
}

/* Roles as words separated by ", "; "none" for an observer. The caller frees. */
static char *roles_text(uint64_t roles)
{
    char *out = NULL;
    for (uint32_t bit = 0; bit < 64; bit++) {
        const char *name = roles >> bit & 1 ? plugin_role_name(bit) : NULL;
        if (name == NULL)
            continue;
        char *longer = xasprintf("%s%s%s", out ? out : "", out ? ", " : "", name);
        free(out);
        out = longer;
    }
    return out ? out : xstrdup("none");
}

static void print_plugin(const struct plugin *p)
{
    char *roles = roles_text(p->policy.roles);
    printf("%s  (roles: %s%s; ABI %u.%u)\n    %s\n", p->policy.name, roles,
           p->policy.caps & QUIRE_CAP_ORACLE ? "; may ask the oracle" : "", p->policy.abi_major, p->policy.abi_minor,
           p->policy.help);
    for (uint32_t i = 0; i < p->n_options; i++) {
        const struct conf_key *k = &p->option[i];
        char *setting = xasprintf("%s = %s", k->name, k->def);
        printf("    %-24s %s", setting, k->help);
        for (uint32_t w = 0; k->choices != NULL && k->choices[w] != NULL; w++)
            printf("%s%s", w ? ", " : ": ", k->choices[w]);
        putchar('\n');
        free(setting);
    }
    putchar('\n');
    free(roles);
}

static json_t *option_json(const struct conf_key *k)
{
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s}", "name", k->name, "type", type_word(k), "default", k->def, "help", k->help);
    if (k->choices != NULL) {
        json_t *words = json_array();
        for (uint32_t w = 0; k->choices[w] != NULL; w++)
            json_array_append_new(words, json_string(k->choices[w]));
        json_object_set_new(o, "words", words);
    }
    return o;
}

static json_t *plugin_json(const struct plugin *p)
{
    json_t *roles = json_array(), *options = json_array();
    for (uint32_t bit = 0; bit < 64; bit++)
        if (p->policy.roles >> bit & 1 && plugin_role_name(bit) != NULL)
            json_array_append_new(roles, json_string(plugin_role_name(bit)));
    for (uint32_t i = 0; i < p->n_options; i++)
        json_array_append_new(options, option_json(&p->option[i]));
    return json_pack("{s:s, s:s, s:s, s:[i,i], s:b, s:o, s:o, s:s}", "name", p->policy.name, "help", p->policy.help,
                     "digest", p->digest, "abi", (int)p->policy.abi_major, (int)p->policy.abi_minor, "oracle",
                     (int)(p->policy.caps & QUIRE_CAP_ORACLE), "roles", roles, "options", options, "path", p->path);
}

static void print_json(json_t *j)
{
    json_dumpf(j, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(j);
}

/* ---- list -------------------------------------------------------------------------------------------------------- */

static int is_so(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 3 && strcmp(e->d_name + n - 3, ".so") == 0;
}

static bool is_seen(char **seen, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(seen[i], name) == 0)
            return true;
    return false;
}

struct listing {
    json_t *rows; /* NULL: print text */
    char **seen;  /* file names met so far: the first folder that has one wins, as when a run looks for it */
    uint32_t n_seen;
    struct diag *diag;
};

static void list_folder(struct listing *l, const char *folder)
{
    struct dirent **entry;
    int n = scandir(folder, &entry, is_so, alphasort);
    for (int i = 0; i < n; i++) {
        char *path = xasprintf("%s/%s", folder, entry[i]->d_name);
        if (!is_seen(l->seen, l->n_seen, entry[i]->d_name)) {
            l->seen = xrealloc(l->seen, (l->n_seen + 1) * sizeof(char *));
            l->seen[l->n_seen++] = xstrdup(entry[i]->d_name);
            struct plugin *p = plugin_open(path, "", "policy list", l->diag);
            if (p != NULL && l->rows != NULL)
                json_array_append_new(l->rows, plugin_json(p));
            else if (p != NULL)
                print_plugin(p);
            plugin_close(p);
        }
        free(path);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
}

static int list(const char *search, bool json)
{
    struct diag d = {0};
    struct listing l = {.rows = json ? json_array() : NULL, .diag = &d};
    char *folders = plugin_search_path(search), *save = NULL;
    for (char *f = strtok_r(folders, ":", &save); f != NULL; f = strtok_r(NULL, ":", &save))
        list_folder(&l, f);
    if (json)
        print_json(l.rows);
    for (uint32_t i = 0; i < l.n_seen; i++)
        free(l.seen[i]);
    free(l.seen);
    free(folders);
    return d.n_errors ? args_complain(&d) : EXIT_DONE;
}

/* ---- check ------------------------------------------------------------------------------------------------------- */

static int check(const char *name, const char *search, bool json)
{
    struct diag d = {0};
    struct kit_line line[KIT_MAX_LINES];
    struct plugin *p = plugin_open(name, search, "policy check", &d);
    if (p == NULL)
        return args_complain(&d);
    uint32_t n = kit_check(p, line), n_failed = 0;
    json_t *rows = json_array();
    for (uint32_t i = 0; i < n; i++) {
        n_failed += !line[i].has_passed;
        json_array_append_new(rows, json_pack("{s:s, s:b, s:s}", "check", line[i].check, "passed",
                                              (int)line[i].has_passed, "detail", line[i].detail));
        if (!json)
            printf("%-6s %-36s %s\n", line[i].has_passed ? "ok" : "FAILED", line[i].check, line[i].detail);
    }
    if (json)
        print_json(json_pack("{s:s, s:s, s:b, s:O}", "name", p->policy.name, "digest", p->digest, "passed",
                             (int)(n_failed == 0), "checks", rows));
    json_decref(rows);
    plugin_close(p);
    return n_failed ? EXIT_JUDGED_FALSE : EXIT_DONE;
}

int cmd_policy(int argc, char **argv)
{
    const char *search = "", *word[2];
    bool json = false;
    struct diag d = {0};
    const struct arg table[] = {
        {"policy-path", 0, "DIR[:DIR]...", ARG_STRING, &search, "folders to look in first"},
        {"json", 0, NULL, ARG_FLAG, &json, "print JSON"},
        {0},
    };
    const struct args a = {
        "quire policy list | quire policy check PLUGIN",
        "list: the policy plugins that runs can name, with their roles, options and defaults.\n"
        "check: runs one, by name or path, on a small machine in which everything is correct, and judges it:\n"
        "options at their ends, refused roles, a short budget, uncharged work, repeated runs. docs/policies.md\n"
        "says how to write one.",
        table,
        "Examples:\n"
        "  quire policy list\n"
        "  quire policy check mrc",
        "0 done, 1 the plugin failed the check, 2 bad usage or input, 3 fault in quire itself."};
    int n = args_parse(&a, argc, argv, word, 2, &d);
    if (n == ARGS_HELP)
        return EXIT_DONE;
    if (n == 1 && strcmp(word[0], "list") == 0)
        return list(search, json);
    if (n == 2 && strcmp(word[0], "check") == 0)
        return check(word[1], search, json);
    if (n >= 0)
        fail(&d, "policy: expected `list` or `check PLUGIN` (quire policy --help)");
    return args_complain(&d);
}

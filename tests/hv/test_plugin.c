/* SPDX-License-Identifier: MIT */
/* Loading plugins: what they say of themselves, their options, what they refuse, and files that are no plugins. Each
 * mistake is answered with one clear line. */
#include "tests/hv/plugin_odd.h"

#include <link.h>
#include <stdlib.h>
#include <unistd.h>

static const struct quire_policy *entry_null(void)
{
    return NULL;
}

static void expect_refused(const char *text)
{
    struct diag d = {0};
    cr_assert_null(plugin_adopt(entry, "odd.so", &d));
    cr_assert_eq(d.n_errors, 1, "%s", d.text);
    cr_assert(strstr(d.text, text) != NULL, "found: %s, expected: %s", d.text, text);
    cr_assert(strchr(d.text, '\n') == NULL);
    reset();
}

/* ---- the handshake ----------------------------------------------------------------------------------------------- */

Test(plugin, a_good_one_runs, .init = reset)
{
    struct kit_run run = run_kit(0, 0);
    cr_assert_str_eq(run.ejected, "");
    cr_assert(!run.has_refused && odd.n_events > 100 && odd.n_faults > 100);
    cr_assert(fini_was_called);
    cr_assert_eq(run.refused_calls, 0);
    cr_assert_str_eq(run.uncharged, "vm_event", "it traced pages and never charged");
}

Test(plugin, bad_structs_are_refused_in_one_line, .init = reset)
{
    struct diag d = {0};
    cr_assert_null(plugin_adopt(entry_null, "odd.so", &d));
    cr_assert_str_eq(d.text, "built in: odd.so: quire_policy_entry() answered NULL");
    policy.abi_major = 2;
    expect_refused("found policy ABI 2.0, expected 1.x");
    policy.abi_major = 0;
    expect_refused("found policy ABI 0.0, expected 1.x");
    policy.size = 40;
    expect_refused("struct quire_policy: found 40 bytes, expected at least");
    policy.size = 1u << 20;
    expect_refused("struct quire_policy: found 1048576 bytes");
    policy.name = "No Name";
    expect_refused("no valid policy name");
    policy.name = NULL;
    expect_refused("no valid policy name");
    policy.init = NULL;
    expect_refused("found no init function");
    policy.hooks = NULL;
    expect_refused("found no hooks");
    hooks.size = 4;
    expect_refused("struct quire_hooks: found 4 bytes");
}

Test(plugin, bad_options_are_refused_in_one_line, .init = reset)
{
    policy.n_options = 1000;
    expect_refused("found 1000 options");
    policy.options = NULL;
    expect_refused("found 3 options, expected a table");
    options[0].size = 8;
    expect_refused("struct quire_option: found 8 bytes");
    options[1].size = 4000;
    expect_refused("option 1: found a struct of 4000 bytes");
    options[1].name = "Bad";
    expect_refused("option 1: found no valid name");
    options[2].name = "count";
    expect_refused("option count is there twice");
    options[0].type = 99;
    expect_refused("option count: found type 99");
    options[1].words = NULL;
    expect_refused("option word: default, help, or list of words");
    options[2].def = "10";
    expect_refused("default of option delay: ");
    options[0].def = "77";
    expect_refused("default of option count: ");
}

Test(plugin, the_digest_is_the_source_id_if_there_is_one, .init = reset)
{
    policy.source_id = "0123456789abcdef0123456789abcdef";
    struct plugin *p = adopt();
    cr_assert_str_eq(p->digest, policy.source_id);
    plugin_close(p);
    policy.source_id = "short";
    expect_refused("found a malformed source_id");
    policy.source_id = "0123456789ABCDEF0123456789abcdef";
    expect_refused("found a malformed source_id");
    policy.source_id = "0123456789abcdef0123456789abcdef0";
    expect_refused("found a malformed source_id");
}

/* A plugin of a later 1.x has larger structs and a higher minor; an earlier one had fewer hooks. */
Test(plugin, larger_and_smaller_structs_of_the_same_major_load, .init = reset)
{
    static struct {
        struct quire_option o;
        uint64_t more[3];
    } wide[3];
    static struct {
        struct quire_hooks h;
        void (*newer)(void *self);
    } wide_hooks;
    for (uint32_t i = 0; i < 3; i++) {
        wide[i].o = options[i];
        wide[i].o.size = sizeof wide[i];
    }
    wide_hooks.h = hooks;
    wide_hooks.h.size = sizeof wide_hooks;
    policy.options = &wide[0].o;
    policy.hooks = &wide_hooks.h;
    policy.abi_minor = 7;
    policy.size = sizeof policy + 64; /* nothing beyond the host's own struct is read */
    struct plugin *p = adopt();
    cr_assert_eq(p->n_options, 3);
    cr_assert_str_eq(p->option[2].name, "delay");
    plugin_close(p);
    reset();
    hooks.size = offsetof(struct quire_hooks, fault); /* only fini and vm_event: fault is not read */
    struct kit_run run = run_kit(0, 0);
    cr_assert(odd.n_events > 0 && odd.n_faults == 0);
    cr_assert_str_eq(run.ejected, "");
}

Test(plugin, all_hooks_may_be_null, .init = reset)
{
    hooks = (struct quire_hooks){.size = sizeof hooks};
    struct kit_run run = run_kit(0, 0);
    cr_assert_str_eq(run.ejected, "");
    cr_assert_eq(run.hook_calls, 1, "init");
}

/* ---- options of a run -------------------------------------------------------------------------------------------- */

Test(plugin, options_are_checked_like_config_keys, .init = reset)
{
    struct diag d = {0};
    struct plugin *p = adopt();
    struct plugin_values v;
    cr_assert_eq(plugin_bind(p, NULL, NULL, &v, &d), 0);
    cr_assert_eq(v.value[0], 3);
    cr_assert_eq(v.value[1], 1);
    cr_assert_eq(v.value[2], 10 * PS_PER_US);
    cr_assert_eq(plugin_set(p, "delay", "2ms", "--policy odd:", &v, &d), 0);
    cr_assert_eq(v.value[2], 2 * PS_PER_MS);
    cr_assert_eq(plugin_set(p, "delya", "2ms", "--policy odd:", &v, &d), -1);
    cr_assert_str_eq(d.text, "--policy odd: delya: found no such option of policy odd; did you mean delay?");
    cr_assert_eq(plugin_set(p, "delay", "2", "x", &v, &d), -1);
    cr_assert_eq(plugin_set(p, "count", "10", "x", &v, &d), -1);
    cr_assert_eq(plugin_set(p, "word", "c", "x", &v, &d), -1);
    cr_assert_eq(d.n_errors, 4);
    plugin_close(p);
}

static const struct conf_key policy_own[] = {{.name = "file", .type = CONF_STRING, .def = "", .help = "the plugin"},
                                             {0}};
static const struct conf_schema policy_root[] = {
    {.name = "policy", .keys = policy_own, .titled = true, .open = true, .help = "a policy"}, {0}};

Test(plugin, a_config_section_is_bound_and_every_error_reported, .init = reset)
{
    static const char good[] = "policy \"odd\" { file = \"x\" count = 5 word = \"a\" }\n";
    static const char bad[] = "policy \"odd\" {\n count = 50\n delay = 1\n wrod = \"a\"\n}\n";
    const struct conf_schema root = {.name = "", .subs = policy_root};
    struct diag d = {0};
    struct plugin *p = adopt();
    struct plugin_values v;
    struct conf *c = conf_parse(good, sizeof good - 1, "x.conf", ".", &root, &d);
    cr_assert_not_null(c, "%s", d.text);
    cr_assert_eq(plugin_bind(p, conf_find(conf_root(c), "policy", "odd"), policy_own, &v, &d), 0, "%s", d.text);
    cr_assert_eq(v.value[0], 5);
    cr_assert_eq(v.value[1], 0);
    cr_assert_eq(v.value[2], 10 * PS_PER_US);
    conf_free(c);
    c = conf_parse(bad, sizeof bad - 1, "x.conf", ".", &root, &d);
    cr_assert_not_null(c, "%s", d.text);
    cr_assert_eq(plugin_bind(p, conf_find(conf_root(c), "policy", "odd"), policy_own, &v, &d), -1);
    cr_assert_eq(d.n_errors, 3, "%s", d.text);
    cr_assert(strstr(d.text, "x.conf:2") && strstr(d.text, "x.conf:3") && strstr(d.text, "x.conf:4"), "%s", d.text);
    conf_free(c);
    plugin_close(p);
}

/* ---- refusal ----------------------------------------------------------------------------------------------------- */

static int32_t refusing_init(const struct quire_host *h, void **self, const char **why)
{
    (void)h;
    *self = &odd;
    odd.core = h->service(h, "quire.core/1");
    *why = "the moon is full";
    return QUIRE_E_INVAL;
}

Test(plugin, a_refusal_is_told_and_cleaned_up, .init = reset)
{
    policy.init = refusing_init;
    struct kit_run run = run_kit(0, 0);
    cr_assert(run.has_refused && fini_was_called);
    cr_assert_str_eq(run.refusal, "check: policy odd refuses: the moon is full");
}

Test(plugin, a_role_has_one_owner, .init = reset)
{
    for (uint32_t bit = 0; bit < 4; bit++) {
        reset();
        cr_assert(run_kit(1ull << bit, 0).has_refused, "%s", plugin_role_name(bit));
    }
    reset();
    policy.roles = QUIRE_ROLE_TRACE; /* it claims more than it declares */
    cr_assert(run_kit(0, 0).has_refused);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void expect_no_plugin(const char *name, const char *search, const char *text)
{
    struct diag d = {0};
    cr_assert_null(plugin_open(name, search, "x.conf:3: [policy.x]", &d));
    cr_assert_eq(d.n_errors, 1);
    cr_assert_eq(strncmp(d.text, "x.conf:3: [policy.x]: ", 22), 0, "%s", d.text);
    cr_assert(strstr(d.text, text) != NULL, "%s", d.text);
}

/* A shared object that is certainly there and certainly no policy. */
static int find_libc(struct dl_phdr_info *info, size_t size, void *out)
{
    (void)size;
    if (strstr(info->dlpi_name, "/libc.so") != NULL && *(char **)out == NULL)
        *(char **)out = xstrdup(info->dlpi_name);
    return 0;
}

Test(plugin, files_that_are_no_plugins_are_named)
{
    char dir[] = "/tmp/quire-plugin-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    char *text = xasprintf("%s/text.so", dir), *torn = xasprintf("%s/torn.so", dir);
    FILE *f = fopen(text, "w");
    fputs("not a plugin\n", f);
    fclose(f);
    f = fopen(torn, "w");
    fputs("\177ELF and no more", f);
    fclose(f);
    expect_no_plugin("nowhere", "", "found no nowhere.so in any of ");
    expect_no_plugin("/nowhere/x.so", "", "cannot open /nowhere/x.so");
    expect_no_plugin("text", dir, "found no ELF file, expected a shared object");
    expect_no_plugin("torn", dir, "cut off in its header");
    char *libc = NULL;
    dl_iterate_phdr(find_libc, &libc);
    cr_assert_not_null(libc);
    expect_no_plugin(libc, "", "found no symbol quire_policy_entry, expected a quire policy");
    free(libc);
    unlink(text);
    unlink(torn);
    rmdir(dir);
    free(text);
    free(torn);
}

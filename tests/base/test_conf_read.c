/* SPDX-License-Identifier: MIT */
/* Reading configurations: sections, every kind of mistake, includes, and whose fault a later mistake is. */
#include "tests/base/conf_top.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ----------------------------------------------------------------------------------------------------- */
struct bound {
    uint64_t seed, check, clock, rate, share, timing;
    const char *claim;
    const struct conf_list *values;
};
static const struct conf_key bound_keys[] = {
    {.name = "seed", .type = CONF_UINT, .offset = offsetof(struct bound, seed), .def = "1"},
    {.name = "check", .type = CONF_BOOL, .offset = offsetof(struct bound, check), .def = "false"},
    {.name = "clock", .type = CONF_FREQ, .offset = offsetof(struct bound, clock), .def = "2.4GHz"},
    {.name = "bandwidth", .type = CONF_RATE, .offset = offsetof(struct bound, rate), .def = "2.2GB/s"},
    {.name = "share", .type = CONF_RATIO, .offset = offsetof(struct bound, share), .def = "12.5%"},
    {.name = "claim", .type = CONF_STRING, .offset = offsetof(struct bound, claim), .def = "none"},
    {.name = "timing", .type = CONF_CHOICE, .offset = offsetof(struct bound, timing), .def = "block", .choices = words},
    {.name = "values", .type = CONF_LIST, .offset = offsetof(struct bound, values), .def = ""},
    {0},
};

Test(conf, binds_what_the_file_says_and_defaults_for_the_rest)
{
    struct bound b;
    struct diag d = {0};
    struct conf *c = must_parse("seed=7 # one\nclaim = \"a \\\"b\\\" \\\\ \\n\\tc\" // two\n/* three\n*/ share = 3%\n"
                                "values = {4, \"8 x\", 16}\ntiming = functional");
    cr_assert_eq(conf_bind(conf_root(c), bound_keys, &b, &d), 0, "%s", d.text);
    cr_assert_eq(b.seed, 7);
    cr_assert_eq(b.check, 0);
    cr_assert_eq(b.clock, 2400000000);
    cr_assert_eq(b.rate, 2200000000);
    cr_assert_eq(b.share, 30000);
    cr_assert_eq(b.timing, 2);
    cr_assert_str_eq(b.claim, "a \"b\" \\ \n\tc");
    cr_assert_eq(b.values->n, 3);
    cr_assert_str_eq(b.values->item[1], "8 x");
    conf_free(c);
    cr_assert_eq(conf_bind(NULL, bound_keys, &b, &d), 0);
    cr_assert_eq(b.seed, 1);
    cr_assert_str_eq(b.claim, "none");
    cr_assert_eq(b.values->n, 0);
}

Test(conf, sections_merge_nest_and_iterate)
{
    struct conf *c =
        must_parse("machine { imc { wpq_entries = 8 } node \"0\" { cores = 4 } }\n"
                   "vm \"a\" { memory = \"2GiB\" }\nvm \"b\" { }\n"
                   "machine { imc { drain = 5ns } }\nvm \"a\" { trace = t.qtr }\n"
                   "expect \"rank\" { of = x }\nexpect \"rank\" { of = y }\npolicy \"p\" { z = 1 a = {b} }");
    const struct conf_section *root = conf_root(c), *m = conf_find(root, "machine", NULL);
    cr_assert(m != NULL && conf_next(m) == NULL);
    const struct conf_section *imc = conf_find(m, "imc", NULL);
    const char *key, *value, *where;
    cr_assert(conf_item(imc, 0, &key, &value, &where));
    cr_assert_str_eq(key, "wpq_entries");
    cr_assert_str_eq(where, "x.conf:1: [machine.imc]");
    cr_assert(conf_item(imc, 1, &key, &value, NULL));
    cr_assert_str_eq(value, "5ns");
    cr_assert(!conf_item(imc, 2, &key, &value, NULL));
    const struct conf_section *a = conf_find(root, "vm", NULL), *b = conf_next(a);
    cr_assert_str_eq(conf_title(a), "a");
    cr_assert_str_eq(conf_where(b), "x.conf:3");
    cr_assert_str_eq(conf_title(b), "b");
    cr_assert_null(conf_next(b));
    cr_assert(conf_find(root, "vm", "c") == NULL);
    const struct conf_section *e = conf_find(root, "expect", "rank");
    cr_assert(conf_next(e) != NULL && conf_next(conf_next(e)) == NULL, "repeating sections stay apart");
    const struct conf_section *p = conf_find(root, "policy", "p");
    cr_assert(conf_item(p, 1, &key, &value, &where));
    cr_assert_null(value, "a list has no single value");
    conf_free(c);
}

Test(conf, every_mistake_is_one_line_that_names_place_found_and_expected)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"sede = 1", "x.conf:1: [top level] sede: found an unknown key, expected perhaps seed"},
        {"\n\nmachine { imc {\n wpq_entires = 4 } }",
         "x.conf:4: [machine.imc] wpq_entires: found an unknown key, expected perhaps wpq_entries"},
        {"machine { imc { qqqqqqqqq = 4 } }",
         "x.conf:1: [machine.imc] qqqqqqqqq: found an unknown key, expected one of wpq_entries, drain"},
        {"machin { }", "x.conf:1: [top level] machin: found an unknown section, expected perhaps machine"},
        {"vm \"a\" { memory = 4 }", "x.conf:1: [vm.a] memory: found \"4\" without a unit, expected a size with its "
                                    "unit (B, KiB, MiB, GiB, TiB), such "
                                    "as \"4GiB\""},
        {"machine { imc { wpq_entries = 0 } }", "x.conf:1: [machine.imc] wpq_entries: found 0, expected 1 to 4096"},
        {"machine { imc { wpq_entries = 4097 } }",
         "x.conf:1: [machine.imc] wpq_entries: found 4097, expected 1 to 4096"},
        {"seed = 1\nseed = 1", "x.conf:2: [top level] seed: found a second time, expected once (first at x.conf:1)"},
        {"machine { imc { drain = 1ns } }\nmachine { imc { drain = 2ns } }",
         "x.conf:2: [machine.imc] drain: found a second time, expected once (first at x.conf:1)"},
        {"policy \"p\" { a = 1\na = 2 }",
         "x.conf:2: [policy.p] a: found a second time, expected once (first at x.conf:1)"},
        {"machine {\nimc { ", "x.conf:2: found no end of section imc, expected }"},
        {"values = {1, 2", "x.conf:1: found an unclosed list, expected }"},
        {"values = {1, 2 = 3}", "x.conf:1: found '=' in a list, expected a value, ',' or }"},
        {"values = {1, , 3}", "x.conf:1: found ',' in a list, expected a value, ',' or }"},
        {"claim = \"abc\nseed = 2", "x.conf:1: found an unclosed string, expected \" on the same line"},
        {"claim = \"a\\qb\"", "x.conf:1: found an unknown escape in a string, expected \\\" \\\\ \\n or \\t"},
        {"claim = \"a\x01\"", "x.conf:1: found a control character (0x01) in a string, expected text"},
        {"/* never closed\n\n", "x.conf:1: found an unclosed comment, expected */"},
        {"seed = 1 }", "x.conf:1: found '}' that closes nothing, expected a key or a section"},
        {"seed = 1 garbage", "x.conf:1: found the end of the file after garbage, expected { or = and a value"},
        {"seed = 1 ; check = true", "x.conf:1: found ';', expected a name, a value or one of { } = ,"},
        {"seed = 1 \x80", "x.conf:1: found the byte 0x80, expected text"},
        {"seed 1", "x.conf:1: found \"1\" after seed, expected { or = and a value"},
        {"seed =", "x.conf:1: found the end of the file after seed =, expected a value"},
        {"seed = = 1", "x.conf:1: found '=' after seed =, expected a value"},
        {"= 1", "x.conf:1: found '=', expected a key or a section"},
        {"\"seed\" = 1", "x.conf:1: found \"seed\", expected a key or a section"},
        {"seed = {1, 2}", "x.conf:1: [top level] seed: found a list, expected one value"},
        {"seed { }", "x.conf:1: [top level] seed: found a section, expected a value: = ..."},
        {"machine = 3", "x.conf:1: [top level] machine: found a value, expected a section: { ... }"},
        {"machine \"a\" { }", "x.conf:1: [top level] machine: found a title, expected a section without one"},
        {"vm { }", "x.conf:1: [top level] vm: found no title, expected a section with one: \"name\" { ... }"},
        {"include \"a\"", "x.conf:1: found \"a\", expected include(\"file\")"},
        {"include(a)", "x.conf:1: found \"a\", expected include(\"file\")"},
        {"include(\"/nonexistent/a.conf\")",
         "x.conf:1: include: /nonexistent/a.conf: cannot be opened: No such file or directory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct diag d;
        struct conf *c = parse(cases[i].text, &d);
        cr_expect(c == NULL, "accepted: %s", cases[i].text);
        cr_expect_eq(d.n_errors, 1, "%s gave %u errors:\n%s", cases[i].text, d.n_errors, d.text);
        cr_expect_str_eq(d.text, cases[i].message);
        conf_free(c);
    }
}

Test(conf, all_mistakes_are_reported_not_just_the_first)
{
    struct diag d;
    struct conf *c =
        parse("sede = 1\nseed = x\nclaim = \"open\ncheck = maybe\nvm \"a\" { memory = 5 colour = red }\nzz { a { "
              "} b = } \n}\nvalues = {1 2}\nseed = 2\nseed = 3\n",
              &d);
    cr_assert_null(c);
    static const char *const expected[] = {"x.conf:1: [top level] sede:",
                                           "x.conf:2: [top level] seed:",
                                           "x.conf:3: found an unclosed string",
                                           "x.conf:4: [top level] check:",
                                           "x.conf:5: [vm.a] memory:",
                                           "x.conf:5: [vm.a] colour:",
                                           "x.conf:6: [top level] zz:",
                                           "x.conf:8: found \"2\" in a list",
                                           "x.conf:9: [top level] seed: found a second time",
                                           "x.conf:10: [top level] seed: found a second time"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_expect(strstr(d.text, expected[i]) != NULL, "missing: %s in\n%s", expected[i], d.text);
}

Test(conf, keys_without_a_default_are_asked_for)
{
    struct diag d;
    struct conf *c = parse("machine { node \"0\" { } node \"1\" { cores = 1 } }\nexpect \"rank\" { }", &d);
    cr_assert(c != NULL, "%s", d.text);
    cr_assert_eq(conf_check(c, &d), -1);
    cr_assert_eq(d.n_errors, 2);
    cr_assert(strstr(d.text, "x.conf:1: [machine.node.0] cores: found nothing, expected this key to be given"), "%s",
              d.text);
    cr_assert(strstr(d.text, "x.conf:2: [expect.rank] of: found nothing"), "%s", d.text);
    uint64_t cores;
    d = (struct diag){0};
    cr_assert_eq(conf_bind(conf_find(conf_find(conf_root(c), "machine", NULL), "node", "0"), node_keys, &cores, &d),
                 -1);
    cr_assert_eq(d.n_errors, 1);
    conf_free(c);
}

Test(conf, a_section_of_too_many_keys_ends_quickly)
{
    size_t n = 200000;
    char *text = malloc(n * 5 + 100), *p = text + sprintf(text, "policy \"p\" {\n");
    for (size_t i = 0; i < n; i++, p += 5)
        memcpy(p, "a=1 \n", 5);
    *p = 0;
    struct diag d;
    cr_assert_null(parse(text, &d));
    cr_assert(strstr(d.text, "found more than 4000 keys in one section") != NULL, "%s", d.text);
    free(text);
}

/* ---- includes ---------------------------------------------------------------------------------------------------- */
static char tmp[64];

static void enter_tmp(void)
{
    strcpy(tmp, "/tmp/quire-conf-XXXXXX");
    cr_assert(mkdtemp(tmp) != NULL);
    cr_assert_eq(chdir(tmp), 0);
    cr_assert_eq(mkdir("sub", 0700), 0);
}

static void leave_tmp(void)
{
    char cmd[100];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", tmp);
    cr_assert_eq(system(cmd), 0);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static uint64_t seed_of(const struct conf *c)
{
    struct bound b;
    struct diag d = {0};
    cr_assert_eq(conf_bind(conf_root(c), bound_keys, &b, &d), 0, "%s", d.text);
    return b.seed;
}

TestSuite(conf_include, .init = enter_tmp, .fini = leave_tmp);

Test(conf_include, the_including_file_wins_wherever_it_says_so)
{
    struct diag d = {0};
    put("low.conf", "seed = 1");
    put("mid.conf", "include(\"low.conf\") seed = 2");
    put("before.conf", "seed = 3 include(\"mid.conf\")");
    put("after.conf", "include(\"mid.conf\")\nseed = 4");
    put("none.conf", "include(\"mid.conf\")");
    struct conf *a = conf_read("before.conf", &top, &d), *b = conf_read("after.conf", &top, &d);
    struct conf *c = conf_read("none.conf", &top, &d);
    cr_assert(a && b && c, "%s", d.text);
    cr_assert_eq(seed_of(a), 3);
    cr_assert_eq(seed_of(b), 4);
    cr_assert_eq(seed_of(c), 2);
    conf_free(a);
    conf_free(b);
    conf_free(c);
}

Test(conf_include, siblings_may_not_both_give_a_key_unless_the_top_decides)
{
    struct diag d = {0};
    put("a.conf", "seed = 1");
    put("b.conf", "\nseed = 2");
    put("top.conf", "include(\"a.conf\") include(\"b.conf\")");
    cr_assert_null(conf_read("top.conf", &top, &d));
    cr_assert_str_eq(d.text, "b.conf:2: [top level] seed: found a second time, expected once (first at a.conf:1)");
    d = (struct diag){0};
    put("top.conf", "include(\"a.conf\") include(\"b.conf\") seed = 9");
    struct conf *c = conf_read("top.conf", &top, &d);
    cr_assert(c != NULL, "%s", d.text);
    cr_assert_eq(seed_of(c), 9);
    conf_free(c);
}

Test(conf_include, cycles_and_folders_and_bombs_are_refused)
{
    struct diag d = {0};
    put("a.conf", "include(\"sub/b.conf\")");
    put("sub/b.conf", "\n include(\"../a.conf\")");
    cr_assert_null(conf_read("a.conf", &top, &d));
    cr_assert_str_eq(d.text,
                     "sub/b.conf:2: include: sub/../a.conf: found a file that includes itself, expected no cycle");
    d = (struct diag){0};
    put("self.conf", "include(\"self.conf\")");
    cr_assert_null(conf_read("self.conf", &top, &d));
    cr_assert_eq(d.n_errors, 1);
    d = (struct diag){0};
    put("dir.conf", "include(\"sub\")");
    cr_assert_null(conf_read("dir.conf", &top, &d));
    cr_assert_str_eq(d.text, "dir.conf:1: include: sub: found a folder, expected a configuration file");
    d = (struct diag){0};
    put("l0.conf", "");
    for (int i = 1; i < 20; i++) {
        char name[32], text[100];
        snprintf(name, sizeof name, "l%d.conf", i);
        snprintf(text, sizeof text, "include(\"l%d.conf\") include(\"l%d.conf\")", i - 1, i - 1);
        put(name, text);
    }
    cr_assert_null(conf_read("l19.conf", &top, &d));
    cr_assert(strstr(d.text, "found more than 256 inclusions") != NULL, "%s", d.text);
    d = (struct diag){0};
    cr_assert_null(conf_read("absent.conf", &top, &d));
    cr_assert_str_eq(d.text, "absent.conf: cannot be opened: No such file or directory");
}

Test(conf_include, errors_name_the_included_file_and_its_line)
{
    struct diag d = {0};
    put("sub/m.conf", "imc {\n drain = 5\n}");
    put("top.conf", "machine { include(\"sub/m.conf\") }");
    cr_assert_null(conf_read("top.conf", &top, &d));
    cr_assert(strncmp(d.text, "sub/m.conf:2: [machine.imc] drain: found \"5\" without a unit", 59) == 0, "%s", d.text);
}

Test(conf_include, file_names_follow_the_file_that_says_them)
{
    struct diag d = {0};
    put("sub/vm.conf", "vm \"a\" { trace = \"t.qtr\" }");
    put("sub/top.conf", "include(\"vm.conf\") vm \"b\" { trace = u.qtr }");
    put("outer.conf", "include(\"sub/top.conf\") vm \"c\" { trace = \"/abs/v.qtr\" }");
    struct conf *c = conf_read("sub/top.conf", &top, &d), *o = conf_read("outer.conf", &top, &d);
    cr_assert(c && o, "%s", d.text);
    const char *key, *value;
    cr_assert(conf_item(conf_find(conf_root(c), "vm", "a"), 0, &key, &value, NULL));
    cr_assert_str_eq(value, "t.qtr");
    char *file = conf_file(c, value);
    cr_assert_str_eq(file, "sub/t.qtr");
    free(file);
    cr_assert(conf_item(conf_find(conf_root(o), "vm", "b"), 0, &key, &value, NULL));
    cr_assert_str_eq(value, "sub/u.qtr");
    cr_assert(conf_item(conf_find(conf_root(o), "vm", "c"), 0, &key, &value, NULL));
    file = conf_file(o, value);
    cr_assert_str_eq(file, "/abs/v.qtr");
    free(file);
    conf_free(c);
    conf_free(o);
}

/* ---- blame ------------------------------------------------------------------------------------------------------- */
Test(conf, mistakes_found_later_are_told_with_their_place)
{
    struct diag d = {0};
    const char *text = "seed = 1\nmachine {\n  imc { wpq_entries = 4\n  }\n}\n";
    struct conf *c = conf_parse(text, strlen(text), "x.conf", "", &top, &d);
    cr_assert(c != NULL, "%s", d.text);
    const struct conf_section *m = conf_find(conf_root(c), "machine", NULL);
    fail(&d, "earlier");
    uint32_t since = d.len;
    conf_blame(m, since, &d);
    cr_expect_str_eq(d.text, "earlier");
    fail(&d, "machine.imc.wpq_entries: 4 are too few");
    fail(&d, "machine.imc.other: odd");
    fail(&d, "x.conf:2: told already");
    conf_blame(m, since, &d);
    cr_expect_str_eq(d.text, "earlier\nx.conf:3: [machine.imc] wpq_entries: 4 are too few\n"
                             "x.conf:2: machine.imc.other: odd\nx.conf:2: told already");
    cr_expect_eq(d.n_errors, 4);
    conf_free(c);
}

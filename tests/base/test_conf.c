/* SPDX-License-Identifier: MIT */
/* The configuration language: every kind of value, every kind of mistake, includes, --set, printing. */
#include "sim/base/conf.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const words[] = {"block", "window", "functional", NULL};

static const struct conf_key imc_keys[] = {
    {.name = "wpq_entries", .type = CONF_UINT, .def = "64", .min = 1, .max = 4096, .help = "entries"},
    {.name = "drain", .type = CONF_TIME, .def = "10ns", .help = "time"},
    {0},
};
static const struct conf_key node_keys[] = {{.name = "cores", .type = CONF_UINT, .help = "cores"}, {0}};
static const struct conf_key cxl_keys[] = {{.name = "lanes", .type = CONF_UINT, .def = "16", .help = "lanes"}, {0}};
static const struct conf_schema machine_subs[] = {
    {.name = "imc", .keys = imc_keys},
    {.name = "cxl", .keys = cxl_keys, .optional = true},
    {.name = "node", .keys = node_keys, .titled = true},
    {0},
};
static const struct conf_key vm_keys[] = {
    {.name = "memory", .type = CONF_SIZE, .def = "1GiB", .min = 4096, .help = "size"},
    {.name = "trace", .type = CONF_PATH, .def = "", .help = "file"},
    {0},
};
static const struct conf_key expect_keys[] = {{.name = "of", .type = CONF_STRING, .help = "key"}, {0}};
static const struct conf_key top_keys[] = {
    {.name = "seed", .type = CONF_UINT, .def = "1", .help = "seed"},
    {.name = "check", .type = CONF_BOOL, .def = "false", .help = "check"},
    {.name = "clock", .type = CONF_FREQ, .def = "2.4GHz", .min = 1000000, .max = 10000000000, .help = "clock"},
    {.name = "bandwidth", .type = CONF_RATE, .def = "2.2GB/s", .help = "rate"},
    {.name = "share", .type = CONF_RATIO, .def = "12.5%", .max = 1000000, .help = "ratio"},
    {.name = "claim", .type = CONF_STRING, .def = "", .help = "text"},
    {.name = "timing", .type = CONF_CHOICE, .def = "block", .choices = words, .help = "model"},
    {.name = "values", .type = CONF_LIST, .def = "", .help = "list"},
    {0},
};
static const struct conf_schema top_subs[] = {
    {.name = "machine", .subs = machine_subs},
    {.name = "vm", .keys = vm_keys, .titled = true},
    {.name = "policy", .titled = true, .open = true},
    {.name = "expect", .keys = expect_keys, .titled = true, .repeats = true},
    {0},
};
static const struct conf_schema top = {.keys = top_keys, .subs = top_subs};

static struct conf *parse(const char *text, struct diag *d)
{
    *d = (struct diag){0};
    return conf_parse(text, strlen(text), "x.conf", "", &top, d);
}

static struct conf *must_parse(const char *text)
{
    struct diag d;
    struct conf *c = parse(text, &d);
    cr_assert(c != NULL, "%s", d.text);
    cr_assert_eq(d.n_errors, 0);
    return c;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */
struct value_case {
    enum conf_type type;
    const char *text;
    uint64_t value;
    const char *canonical;
};

Test(conf_value, every_type_reads_exactly_and_prints_canonically)
{
    static const struct value_case cases[] = {
        {CONF_BOOL, "true", 1, "true"},
        {CONF_BOOL, "false", 0, "false"},
        {CONF_UINT, "0", 0, "0"},
        {CONF_UINT, "0x4000000000", 274877906944, "274877906944"},
        {CONF_UINT, "0XfF", 255, "255"},
        {CONF_UINT, "18446744073709551615", UINT64_MAX, "18446744073709551615"},
        {CONF_UINT, "0xffffffffffffffff", UINT64_MAX, "18446744073709551615"},
        {CONF_UINT, "007", 7, "7"},
        {CONF_SIZE, "0B", 0, "0B"},
        {CONF_SIZE, "1B", 1, "1B"},
        {CONF_SIZE, "256GiB", 274877906944, "256GiB"},
        {CONF_SIZE, "1024MiB", 1073741824, "1GiB"},
        {CONF_SIZE, "1.5KiB", 1536, "1536B"},
        {CONF_SIZE, "0.5TiB", 549755813888, "512GiB"},
        {CONF_SIZE, "16777215TiB", 18446742974197923840u, "16777215TiB"},
        {CONF_TIME, "1ps", 1, "1ps"},
        {CONF_TIME, "0.001ns", 1, "1ps"},
        {CONF_TIME, "62ns", 62000, "62ns"},
        {CONF_TIME, "1.5us", 1500000, "1500ns"},
        {CONF_TIME, "10ms", 10000000000, "10ms"},
        {CONF_TIME, "3s", 3000000000000, "3s"},
        {CONF_FREQ, "2.4GHz", 2400000000, "2400MHz"},
        {CONF_FREQ, "1Hz", 1, "1Hz"},
        {CONF_FREQ, "32.768kHz", 32768, "32768Hz"},
        {CONF_RATE, "2.2GB/s", 2200000000, "2200MB/s"},
        {CONF_RATE, "1B/s", 1, "1B/s"},
        {CONF_ENERGY, "0.55J", 550000, "550mJ"},
        {CONF_ENERGY, "775uJ", 775, "775uJ"},
        {CONF_POWER, "305W", 305000, "305W"},
        {CONF_POWER, "1.5kW", 1500000, "1500W"},
        {CONF_RATIO, "12.5%", 125000, "12.5%"},
        {CONF_RATIO, "0.0001%", 1, "0.0001%"},
        {CONF_RATIO, "100%", 1000000, "100%"},
        {CONF_RATIO, "0%", 0, "0%"},
        {CONF_RATIO, "1.50000000000000000000000000%", 15000, "1.5%"},
        {CONF_CHOICE, "window", 1, "window"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conf_key k = {.name = "k", .type = cases[i].type, .choices = words};
        struct diag d = {0};
        uint64_t v = 77;
        cr_assert_eq(conf_value(&k, cases[i].text, "w", &v, &d), 0, "%s: %s", cases[i].text, d.text);
        cr_assert_eq(v, cases[i].value, "%s", cases[i].text);
        char *s = conf_number(&k, v);
        cr_assert_str_eq(s, cases[i].canonical);
        cr_assert_eq(conf_value(&k, s, "w", &v, &d), 0, "%s", d.text);
        cr_assert_eq(v, cases[i].value);
        free(s);
    }
}

Test(conf_value, whatever_is_not_exactly_a_value_is_refused)
{
    static const struct {
        enum conf_type type;
        const char *text, *message; /* what the message must hold */
    } cases[] = {
        {CONF_BOOL, "yes", "found \"yes\", expected true or false"},
        {CONF_BOOL, "1", "expected true or false"},
        {CONF_UINT, "", "expected a whole number without a unit"},
        {CONF_UINT, "-1", "expected a whole number without a unit"},
        {CONF_UINT, "+1", "expected a whole number without a unit"},
        {CONF_UINT, "64KiB", "expected a whole number without a unit"},
        {CONF_UINT, "1.5", "expected a whole number without a unit"},
        {CONF_UINT, "1e9", "expected a whole number without a unit"},
        {CONF_UINT, "0x", "expected a whole number without a unit"},
        {CONF_UINT, "0x1g", "expected a whole number without a unit"},
        {CONF_UINT, " 1", "expected a whole number without a unit"},
        {CONF_UINT, "18446744073709551616", "fits into 64 bits"},
        {CONF_UINT, "0x10000000000000000", "fits into 64 bits"},
        {CONF_UINT, "99999999999999999999999999999999999999999999999999", "fits into 64 bits"},
        {CONF_SIZE, "4", "found \"4\" without a unit, expected a size with its unit"},
        {CONF_SIZE, "4.5", "without a unit"},
        {CONF_SIZE, "4GB", "expected a size with its unit (B, KiB, MiB, GiB, TiB)"},
        {CONF_SIZE, "4G", "expected a size with its unit"},
        {CONF_SIZE, "4 GiB", "expected a size with its unit"},
        {CONF_SIZE, "4gib", "expected a size with its unit"},
        {CONF_SIZE, "GiB", "expected a size with its unit"},
        {CONF_SIZE, ".5GiB", "expected a size with its unit"},
        {CONF_SIZE, "1.GiB", "expected a size with its unit"},
        {CONF_SIZE, "0.5B", "whole number of the smallest unit"},
        {CONF_SIZE, "0.3KiB", "whole number of the smallest unit"},
        {CONF_SIZE, "1.0000000000000000001KiB", "whole number of the smallest unit"},
        {CONF_SIZE, "16777216TiB", "fits into 64 bits"},
        {CONF_SIZE, "99999999999999999999TiB", "fits into 64 bits"},
        {CONF_TIME, "80", "found \"80\" without a unit, expected a time"},
        {CONF_TIME, "1.5ps", "whole number of the smallest unit"},
        {CONF_TIME, "0.0001ns", "whole number of the smallest unit"},
        {CONF_TIME, "18446745s", "fits into 64 bits"},
        {CONF_TIME, "5min", "expected a time with its unit"},
        {CONF_FREQ, "2.4", "without a unit, expected a frequency"},
        {CONF_FREQ, "2.4Ghz", "expected a frequency"},
        {CONF_RATE, "2GB", "expected a rate"},
        {CONF_RATE, "2GiB/s", "expected a rate"},
        {CONF_ENERGY, "550", "without a unit, expected an energy"},
        {CONF_POWER, "305J", "expected a power"},
        {CONF_RATIO, "0.5", "found \"0.5\" without a unit, expected a ratio in percent"},
        {CONF_RATIO, "0.00001%", "whole number of the smallest unit"},
        {CONF_CHOICE, "blok", "found \"blok\", expected one of block, window, functional (nearest: block)"},
        {CONF_CHOICE, "zzz", "expected one of block, window, functional"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conf_key k = {.name = "key", .type = cases[i].type, .choices = words};
        struct diag d = {0};
        uint64_t v = 77;
        cr_expect_eq(conf_value(&k, cases[i].text, "x.conf:1: [s]", &v, &d), -1, "%s", cases[i].text);
        cr_expect_eq(d.n_errors, 1, "%s", cases[i].text);
        cr_expect_eq(v, 77, "a refused value was stored: %s", cases[i].text);
        cr_expect_eq(strncmp(d.text, "x.conf:1: [s] key: found ", 25), 0, "%s", d.text);
        cr_expect(strstr(d.text, cases[i].message) != NULL, "%s: %s", cases[i].text, d.text);
    }
}

Test(conf_value, ranges_are_named_in_the_units_of_the_key)
{
    struct conf_key k = {.name = "memory", .type = CONF_SIZE, .min = 4096, .max = 1ull << 40};
    struct diag d = {0};
    uint64_t v = 0;
    cr_assert_eq(conf_value(&k, "1KiB", "f:1:", &v, &d), -1);
    cr_assert_str_eq(d.text, "f:1: memory: found 1KiB, expected 4KiB to 1TiB");
    d = (struct diag){0};
    k.max = 0;
    cr_assert_eq(conf_value(&k, "4095B", "f:1:", &v, &d), -1);
    cr_assert_str_eq(d.text, "f:1: memory: found 4095B, expected at least 4KiB");
    cr_assert_eq(conf_value(&k, "4096B", "f:1", &v, &d), 0);
    k.max = 8192;
    cr_assert_eq(conf_value(&k, "8KiB", "f:1", &v, &d), 0);
}

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

/* ---- setting, copying, printing ---------------------------------------------------------------------------------- */
Test(conf, set_by_path)
{
    struct diag d = {0};
    struct conf *c = must_parse("vm \"log\" { memory = 1GiB } vm \"log.2\" { } policy \"p\" { a = 1 }");
    cr_assert_eq(conf_set(c, "seed", "9", "--set", &d), 0, "%s", d.text);
    cr_assert_eq(conf_set(c, "machine.imc.wpq_entries", "8", "--set", &d), 0, "%s", d.text);
    cr_assert_eq(conf_set(c, "vm.log.memory", "2GiB", "--set", &d), 0, "%s", d.text);
    cr_assert_eq(conf_set(c, "vm.log.2.memory", "3GiB", "--set", &d), 0, "%s", d.text);
    cr_assert_eq(conf_set(c, "policy.p.anything", "x", "--set", &d), 0, "%s", d.text);
    cr_assert_eq(conf_set(c, "values", "{4, 8 ,16}", "--set", &d), 0, "%s", d.text);
    char *text = conf_print(c);
    cr_assert(strstr(text, "wpq_entries = 8\n") && strstr(text, "vm \"log\" {\n    memory = \"2GiB\""), "%s", text);
    cr_assert(strstr(text, "vm \"log.2\" {\n    memory = \"3GiB\"") && strstr(text, "anything = \"x\""), "%s", text);
    cr_assert(strstr(text, "values = {\"4\", \"8\", \"16\"}\n"), "%s", text);
    free(text);
    static const char *const bad[][3] = {
        {"sede", "1", "--set: [top level] sede: found an unknown key, expected perhaps seed"},
        {"machine.imc.wpq_entries", "0", "--set: [machine.imc] wpq_entries: found 0, expected 1 to 4096"},
        {"machine.icm.wpq_entries", "1", "--set: [machine] icm: found an unknown section, expected perhaps imc"},
        {"vm.web.memory", "1GiB",
         "--set: vm.web.memory: found no section vm of that title, expected one of those in the file"},
        {"vm.log", "1", "--set: log: found no section vm of that title, expected one of those in the file"},
        {"policy.p.", "1", "--set: [policy.p] : found an unknown key, expected nothing here"},
        {"claim", "a\x02", "--set: found a control character, expected text"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        d = (struct diag){0};
        cr_expect_eq(conf_set(c, bad[i][0], bad[i][1], "--set", &d), -1, "%s", bad[i][0]);
        if (i != 4)
            cr_expect_str_eq(d.text, bad[i][2]);
    }
    conf_free(c);
}

Test(conf, printing_is_a_fixed_point_and_holds_every_default)
{
    static const char *const texts[] = {
        "",
        "seed = 0x10 share = 0.0001% clock = 2400MHz bandwidth = 2200000kB/s claim = \"q\\\"\\\\\\n\\t\" values = {}",
        "machine { cxl { } node \"1\" { cores = 3 } node \"0\" { cores = 2 } }",
        "vm \"b\" { memory = 4096KiB } vm \"a\" { trace = \"x y\" } policy \"p\" { z = 1 a = {1,2} m = \"x\\\"\" }",
        "expect \"rank\" { of = a } expect \"rank\" { of = b }",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct conf *a = must_parse(texts[i]);
        char *once = conf_print(a);
        struct conf *b = must_parse(once);
        char *twice = conf_print(b);
        cr_expect_str_eq(once, twice);
        struct conf *copy = conf_copy(a);
        conf_free(a);
        char *of_copy = conf_print(copy);
        cr_expect_str_eq(once, of_copy);
        conf_free(b);
        conf_free(copy);
        cr_expect(strstr(once, "wpq_entries = 64") && strstr(once, "timing = \"block\""), "%s", once);
        cr_expect_eq(strstr(once, "cxl") != NULL, i == 2, "%s", once);
        free(once);
        free(twice);
        free(of_copy);
    }
}

Test(conf, copies_are_independent_and_parts_can_be_dropped)
{
    struct diag d = {0};
    struct conf *a = must_parse("seed = 1 claim = c vm \"a\" { } vm \"b\" { } expect \"x\" { of = y }");
    char *before = conf_print(a);
    struct conf *b = conf_copy(a);
    cr_assert_eq(conf_set(b, "seed", "2", "sweep", &d), 0);
    conf_drop(b, "vm");
    conf_drop(b, "claim");
    char *after = conf_print(a), *other = conf_print(b);
    cr_assert_str_eq(before, after);
    cr_assert(strstr(other, "seed = 2") && !strstr(other, "vm") && strstr(other, "claim = \"\""), "%s", other);
    cr_assert(strstr(other, "expect \"x\"") != NULL);
    free(before);
    free(after);
    free(other);
    conf_free(a);
    conf_free(b);
}

Test(conf, a_subtree_inherits_what_the_file_shares)
{
    static const struct conf_schema study_subs[] = {
        {.name = "study", .keys = top_keys, .subs = top_subs, .titled = true},
        {.name = "machine", .subs = machine_subs},
        {.name = "vm", .keys = vm_keys, .titled = true},
        {0},
    };
    static const struct conf_schema file = {.keys = top_keys, .subs = study_subs};
    const char *text = "seed = 5 clock = 1GHz machine { imc { drain = 1ns wpq_entries = 2 } } vm \"all\" { }\n"
                       "study \"a\" { seed = 6 machine { imc { drain = 9ns } } vm \"own\" { } }\nstudy \"b\" { }";
    struct diag d = {0};
    struct conf *c = conf_parse(text, strlen(text), "x.conf", "", &file, &d);
    cr_assert(c != NULL, "%s", d.text);
    struct conf *a = conf_subtree(c, conf_find(conf_root(c), "study", "a"));
    struct conf *b = conf_subtree(c, conf_find(conf_root(c), "study", "b"));
    conf_free(c);
    char *ta = conf_print(a), *tb = conf_print(b);
    cr_assert(strstr(ta, "seed = 6") && strstr(ta, "clock = \"1GHz\"") && strstr(ta, "drain = \"9ns\"") &&
                  strstr(ta, "wpq_entries = 2") && strstr(ta, "vm \"own\"") && strstr(ta, "vm \"all\"") &&
                  !strstr(ta, "study"),
              "%s", ta);
    cr_assert(strstr(tb, "seed = 5") && strstr(tb, "drain = \"1ns\"") && !strstr(tb, "own"), "%s", tb);
    free(ta);
    free(tb);
    conf_free(a);
    conf_free(b);
}

Test(conf, help_says_units_range_default)
{
    char *h = conf_help(&top, "machine.imc");
    cr_assert(h && strstr(h, "wpq_entries: number, 1 to 4096, default 64\n"), "%s", h);
    cr_assert(strstr(h, "drain: time (ps ns us ms s), default 10ns\n"), "%s", h);
    free(h);
    h = conf_help(&top, "");
    cr_assert(strstr(h, "timing: block|window|functional, default block") && strstr(h, "policy \"title\" { } (open)"),
              "%s", h);
    cr_assert(strstr(h, "cores: number, must be given"), "%s", h);
    free(h);
    cr_assert_null(conf_help(&top, "machine.nothing"));
}

Test(conf, nearest_word)
{
    static const char *const names[] = {"alpha", "beta", "wpq_entries"};
    cr_assert_str_eq(conf_nearest("wpq_entires", names, 3), "wpq_entries");
    cr_assert_str_eq(conf_nearest("alhpa", names, 3), "alpha");
    cr_assert_null(conf_nearest("gamma", names, 3));
    cr_assert_null(conf_nearest("x", names, 0));
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

/* SPDX-License-Identifier: MIT */
/* The configuration language: every kind of value; --set, copying, printing, help. */
#include "tests/base/conf_top.h"

#include <stdlib.h>

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

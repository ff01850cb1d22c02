/* SPDX-License-Identifier: MIT */
/* Options of the command line: what is taken, what is refused, and in which words. */
#include "sim/cli/args.h"

#include <criterion/criterion.h>
#include <string.h>

struct given {
    bool flag;
    const char *format;
    uint64_t jobs;
    double rate;
    const char *word[2];
    struct diag d;
};

static int parse(struct given *g, int argc, const char *const *argv)
{
    const struct arg table[] = {
        {"json", 'J', NULL, ARG_FLAG, &g->flag, "a flag"},
        {"format", 0, "F", ARG_STRING, &g->format, "a text"},
        {"jobs", 'j', "N", ARG_UINT, &g->jobs, "a number"},
        {"rate", 0, "R", ARG_REAL, &g->rate, "a real number"},
        {0},
    };
    const struct args a = {"quire thing FILE", "A thing.", table, NULL, NULL};
    char *copy[8];
    for (int i = 0; i < argc; i++)
        copy[i] = (char *)argv[i];
    return args_parse(&a, argc, copy, g->word, 2, &g->d);
}

#define PARSE(g, ...)                                                                                                  \
    parse(&(g), (int)(sizeof((const char *[]){"thing", __VA_ARGS__}) / sizeof(char *)),                                \
          (const char *[]){"thing", __VA_ARGS__})

Test(args, values_in_every_spelling)
{
    struct given g = {0};
    cr_assert_eq(PARSE(g, "a", "--format=pw", "--jobs", "7", "b", "-J"), 2);
    cr_assert_str_eq(g.word[0], "a");
    cr_assert_str_eq(g.word[1], "b");
    cr_assert_str_eq(g.format, "pw");
    cr_assert_eq(g.jobs, 7);
    cr_assert(g.flag);
    cr_assert_eq(PARSE(g, "-j3", "--rate", "0.25", "--format="), 0);
    cr_assert_eq(g.jobs, 3);
    cr_assert_eq(g.rate, 0.25);
    cr_assert_str_eq(g.format, "");
}

Test(args, two_dashes_end_the_options_and_one_is_a_word)
{
    struct given g = {0};
    cr_assert_eq(PARSE(g, "-", "--", "--json"), 2);
    cr_assert_str_eq(g.word[0], "-");
    cr_assert_str_eq(g.word[1], "--json");
    cr_assert_not(g.flag);
}

Test(args, what_is_refused)
{
    static const struct {
        const char *argv[3], *says;
    } bad[] = {
        {{"thing", "--jobs", "x"}, "--jobs: found 'x'"},
        {{"thing", "--jobs", "-1"}, "--jobs: found '-1'"},
        {{"thing", "--jobs", "99999999999999999999"}, "expected a number"},
        {{"thing", "--rate", "inf"}, "--rate: found 'inf'"},
        {{"thing", "--rate", "nan"}, "--rate: found 'nan'"},
        {{"thing", "a", "--format"}, "--format needs a value"},
        {{"thing", "a", "--json=1"}, "takes no value"},
        {{"thing", "a", "-Z"}, "unknown option '-Z'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct given g = {0};
        cr_assert_eq(parse(&g, 3, bad[i].argv), -1, "%s", bad[i].says);
        cr_assert(strstr(g.d.text, bad[i].says), "'%s' lacks '%s'", g.d.text, bad[i].says);
    }
}

Test(args, the_nearest_name_is_of_the_name_alone)
{
    struct given g = {0};
    cr_assert_eq(PARSE(g, "--fromat=pw"), -1);
    cr_assert(strstr(g.d.text, "did you mean --format?"), "%s", g.d.text);
    struct given h = {0};
    cr_assert_eq(PARSE(h, "--xy"), -1);
    cr_assert_not(strstr(h.d.text, "did you mean"), "%s", h.d.text);
}

Test(args, too_many_words)
{
    struct given g = {0};
    cr_assert_eq(PARSE(g, "a", "b", "c"), -1);
    cr_assert(strstr(g.d.text, "found 'c'"), "%s", g.d.text);
}

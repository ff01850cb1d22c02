/* SPDX-License-Identifier: MIT */
/* The result builder and the files it writes, byte for byte. */
#include "sim/machine/result.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tmp[64];

static void enter_tmp(void)
{
    strcpy(tmp, "/tmp/quire-result-XXXXXX");
    cr_assert(mkdtemp(tmp) != NULL);
    cr_assert_eq(chdir(tmp), 0);
}

static void leave_tmp(void)
{
    char cmd[100];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", tmp);
    cr_assert_eq(system(cmd), 0);
}

TestSuite(result, .init = enter_tmp, .fini = leave_tmp);

static char *printed(const struct result *r)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    result_print(r, f);
    fclose(f);
    return text;
}

static char *slurp(const char *path)
{
    char *text = calloc(1, 1 << 16);
    FILE *f = fopen(path, "r");
    cr_assert(f != NULL, "%s", path);
    cr_assert(fread(text, 1, (1 << 16) - 1, f) < (1 << 16) - 1);
    fclose(f);
    return text;
}

static int count_entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = -2;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

Test(result, values_are_sorted_and_exact)
{
    struct result *r = result_new();
    result_set(r, "b.big", UINT64_MAX);
    result_set(r, "a-x", 1);
    result_add(r, "b.sum", 40);
    result_add(r, "b.sum", 2);
    result_text(r, "b.text", "q\"\\\n\x01");
    result_quotient(r, "third", 1, 3);
    result_quotient(r, "two_thirds", 2, 3);
    result_quotient(r, "nearly_one", UINT64_MAX - 1, UINT64_MAX);
    result_quotient(r, "none", 1, 0);
    result_taint(r, "oracle");
    result_taint(r, "functional");
    result_taint(r, "oracle");
    char *s = printed(r);
    cr_assert_str_eq(s, "{\n  \"a-x\": 1,\n  \"b.big\": 18446744073709551615,\n  \"b.sum\": 42,\n"
                        "  \"b.text\": \"q\\\"\\\\\\u000a\\u0001\",\n  \"events_dropped\": 0,\n"
                        "  \"nearly_one\": 1.000000000,\n  \"none\": null,\n  \"taints\": \"functional,oracle\",\n"
                        "  \"third\": 0.333333333,\n  \"two_thirds\": 0.666666667\n}\n");
    uint64_t v = 0;
    cr_assert(result_get(r, "b.sum", &v) && v == 42);
    cr_assert(!result_get(r, "third", &v) && !result_get(r, "absent", &v));
    free(s);
    result_free(r);
}

Test(result, ratios_are_formulas_over_the_final_values)
{
    struct result *r = result_new();
    result_ratio(r, "hit_ratio", "cpu*.hits", "cpu*.hits + cpu*.misses");
    result_ratio(r, "deep_ratio", "node*.imc*.hits+1", "10");
    result_ratio(r, "absent_ratio", "cpu0.hits", "no.such");
    result_set(r, "cpu0.hits", 1);
    result_set(r, "cpu10.hits", 2);
    result_set(r, "cpu0.misses", 9);
    result_set(r, "cpu0.l2.hits", 1000);
    result_set(r, "node0.imc1.hits", 3);
    result_add(r, "cpu0.misses", 0);
    char *s = printed(r);
    cr_assert(strstr(s, "\"hit_ratio\": 0.250000000,") != NULL, "%s", s);
    cr_assert(strstr(s, "\"deep_ratio\": 0.400000000,") != NULL, "%s", s);
    cr_assert(strstr(s, "\"absent_ratio\": null,") != NULL, "%s", s);
    free(s);
    result_free(r);
}

Test(result, many_keys_are_found_again)
{
    struct result *r = result_new();
    char key[32];
    uint64_t v;
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        result_set(r, key, (uint64_t)i * 3);
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        cr_assert(result_get(r, key, &v) && v == (uint64_t)i * 3);
    }
    result_free(r);
}

Test(result, a_key_given_twice_is_a_fault, .exit_code = 3)
{
    struct result *r = result_new();
    result_set(r, "a", 1);
    result_set(r, "a", 1);
}

Test(result, a_key_with_a_blank_is_a_fault, .exit_code = 3)
{
    result_set(result_new(), "a b", 1);
}

Test(result, histograms_carry_their_unit)
{
    struct hist h = {0};
    struct result *r = result_new();
    for (uint64_t v = 1; v <= 10; v++)
        hist_add(&h, v * 1000);
    result_hist(r, "vm.log.flush_ns", &h, 1000);
    result_hist(r, "idle_ps", &(struct hist){0}, 1);
    uint64_t v;
    cr_assert(result_get(r, "vm.log.flush_n", &v) && v == 10);
    cr_assert(result_get(r, "vm.log.flush_min_ns", &v) && v == 1);
    cr_assert(result_get(r, "vm.log.flush_max_ns", &v) && v == 10);
    cr_assert(result_get(r, "vm.log.flush_mean_ns", &v) && v == 6, "5.5 rounds up");
    cr_assert(result_get(r, "vm.log.flush_p50_ns", &v) && v == 5);
    cr_assert(result_get(r, "vm.log.flush_p99_ns", &v) && v == 10);
    cr_assert(result_get(r, "vm.log.flush_p999_ns", &v) && v == 10);
    cr_assert(result_get(r, "idle_n", &v) && v == 0);
    cr_assert(!result_get(r, "idle_max_ps", &v));
    result_free(r);
}

Test(result, stats_become_keys)
{
    static const struct stat_desc table[] = {{"hits", STAT_COUNT, "1", ""}, {"busy_ps", STAT_COUNT, "ps", ""}};
    const uint64_t values[] = {3, 4};
    struct result *r = result_new();
    uint64_t v;
    stats_walk("node0.imc1", table, 2, values, result_stat, r);
    stats_walk("", table, 1, values, result_stat, r);
    cr_assert(result_get(r, "node0.imc1.hits", &v) && v == 3);
    cr_assert(result_get(r, "node0.imc1.busy_ps", &v) && v == 4);
    cr_assert(result_get(r, "hits", &v) && v == 3);
    result_free(r);
}

static const struct run_inputs no_inputs;
static const struct manifest man = {"00112233445566778899aabbccddeeff", "build-1", "abc", &no_inputs, 5};

Test(result, a_run_directory_byte_for_byte)
{
    struct result *r = result_new();
    struct run_inputs in = {0};
    struct manifest m = man;
    struct diag d = {0};
    FILE *f = fopen("t.qtr", "w");
    fputs("abc", f);
    fclose(f);
    cr_assert_eq(run_inputs_add(&in, "trace", "./t.qtr", "x", &d), 0, "%s", d.text);
    m.inputs = &in;
    result_set(r, "n", 1);
    result_taint(r, "oracle");
    result_point(r, "local_ratio", "h1, \"hot\"", "time_us", 1.5, 0.1);
    result_point(r, "local_ratio", "h2", "time_us", 9007199254740991.0, -0.0);
    result_event(r, "hv", "exit", 1, 2, 1234567, 1000001, "gpa", 4096);
    result_event(r, "hv", "tick", 0, 0, 5, 0, NULL, 0);
    cr_assert_eq(result_write(r, &m, ".", &d), 0, "%s", d.text);
    static const char *const expected[][2] = {
        {"result.json", "{\n  \"events_dropped\": 0,\n  \"n\": 1,\n  \"taints\": \"oracle\"\n}\n"},
        {"config.conf", "abc"},
        {"series.csv", "series,label,x_name,x,value\nlocal_ratio,\"h1, \"\"hot\"\"\",time_us,1.5,0.1\n"
                       "local_ratio,h2,time_us,9007199254740991,0\n"},
        {"events.json",
         "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"
         "{\"cat\":\"hv\",\"name\":\"exit\",\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":1.234567,\"dur\":1.000001,"
         "\"args\":{\"gpa\":4096}},\n"
         "{\"cat\":\"hv\",\"name\":\"tick\",\"ph\":\"i\",\"s\":\"t\",\"pid\":0,\"tid\":0,\"ts\":0.000005}\n]}\n"},
        /* the published XXH3-128 of "abc", as trace and as configuration */
        {"manifest.json",
         "{\n  \"build_id\": \"build-1\",\n  \"config_hash\": \"06b05ab6733a618578af5f94892f3950\",\n  \"format\": 1,\n"
         "  \"inputs\": [\n    {\"digest\": \"06b05ab6733a618578af5f94892f3950\", \"kind\": \"trace\", "
         "\"name\": \"t.qtr\"}\n  ],\n  \"run_id\": \"00112233445566778899aabbccddeeff\",\n  \"seed\": 5,\n"
         "  \"taints\": [\"oracle\"]\n}\n"},
    };
    for (int i = 0; i < 5; i++) {
        char path[100];
        snprintf(path, sizeof path, "%s/%s", m.run_id, expected[i][0]);
        char *s = slurp(path);
        cr_expect_str_eq(s, expected[i][1]);
        free(s);
    }
    cr_assert_eq(count_entries("."), 2, "nothing temporary is left");
    struct result *other = result_new();
    cr_assert_eq(result_write(other, &m, ".", &d), 0, "an existing run is left alone");
    char path[100];
    snprintf(path, sizeof path, "%s/result.json", m.run_id);
    char *s = slurp(path);
    cr_assert_str_eq(s, expected[0][1]);
    free(s);
    cr_assert_eq(count_entries("."), 2);
    result_free(r);
    result_free(other);
    run_inputs_free(&in);
}

Test(result, events_are_capped_and_counted)
{
    struct result *r = result_new();
    for (uint32_t i = 0; i < RESULT_MAX_EVENTS + 7; i++)
        result_event(r, "c", "n", 0, 0, i, 0, NULL, 0);
    char *s = printed(r);
    cr_assert(strstr(s, "\"events_dropped\": 7,") != NULL, "%s", s);
    free(s);
    result_free(r);
}

Test(result, a_curve_holds_only_finite_numbers, .exit_code = 3)
{
    result_point(result_new(), "s", "l", "x", 0, (double)NAN);
}

Test(result, what_cannot_be_written_leaves_nothing)
{
    struct result *r = result_new();
    struct diag d = {0};
    cr_assert_eq(result_write(r, &man, "absent", &d), -1);
    cr_assert_str_eq(d.text, "absent/00112233445566778899aabbccddeeff: cannot be made: No such file or directory");
    d = (struct diag){0};
    char dir[100];
    snprintf(dir, sizeof dir, ".tmp-%s-%ld", man.run_id, (long)getpid());
    cr_assert_eq(mkdir(dir, 0700), 0);
    cr_assert_eq(result_write(r, &man, ".", &d), -1, "a temporary folder in the way is an error");
    cr_assert_eq(rmdir(dir), 0);
    cr_assert_eq(count_entries("."), 0);
    struct run_inputs in = {0};
    d = (struct diag){0};
    cr_assert_eq(run_inputs_add(&in, "trace", "no.qtr", "x.conf:3:", &d), -1);
    cr_assert_str_eq(d.text, "x.conf:3: trace no.qtr: cannot be opened: No such file or directory");
    d = (struct diag){0};
    cr_assert_eq(run_inputs_add(&in, "trace", ".", "x.conf:3:", &d), -1);
    cr_assert_eq(in.n, 0);
    result_free(r);
}

/* SPDX-License-Identifier: MIT */
/* Comparing results: every class of number on small files written by hand. */
#include "sim/machine/compare.h"

#include "tests/machine/fake.h"

#include <criterion/criterion.h>

TestSuite(compare, .init = fake_enter, .fini = fake_leave);

static char listed[4096];

static int compare(const char *a, const char *b, double tolerance, struct comparison *c)
{
    struct diag d = {0};
    memset(listed, 0, sizeof listed);
    *c = (struct comparison){.tolerance = tolerance, .max_shown = 3, .to = fmemopen(listed, sizeof listed - 1, "w")};
    int rc = compare_results(a, b, c, &d);
    fclose(c->to);
    return rc;
}

static void put_run(const char *dir, const char *result, const char *series)
{
    char path[100];
    snprintf(path, sizeof path, "mkdir -p %s", dir);
    cr_assert_eq(system(path), 0);
    snprintf(path, sizeof path, "%s/result.json", dir);
    fake_put(path, result);
    snprintf(path, sizeof path, "%s/series.csv", dir);
    fake_put(path, series);
}

#define HEAD "series,label,x_name,x,value\n"

Test(compare, runs_key_by_key)
{
    struct comparison c;
    put_run("a", "{\n  \"gone\": 1,\n  \"n\": 18446744073709551615,\n  \"r\": 0.500000000,\n  \"w\": \"x\"\n}\n",
            HEAD "s,l,t,0,1\ns,l,t,1,0.5\n");
    put_run("b", "{\n  \"n\": 18446744073709551614,\n  \"new\": 1,\n  \"r\": 0.510000000,\n  \"w\": \"y\"\n}\n",
            HEAD "s,l,t,0,1\ns,l,t,1,0.52\n");
    cr_assert_eq(compare("a", "a", 0, &c), 0);
    cr_assert_eq(compare_regressions(&c), 0);
    cr_assert_eq(c.n[COMPARE_EXACT].same, 3);
    cr_assert_eq(c.n[COMPARE_BAND].same, 3);
    cr_assert_eq(compare("a", "b", 0.03, &c), 0);
    cr_assert(c.n[COMPARE_EXACT].differ == 2 && c.n[COMPARE_EXACT].missing == 1 && c.n[COMPARE_EXACT].added == 1,
              "integers that differ in the last of 20 digits, and words, are never near: %s", listed);
    cr_assert(c.n[COMPARE_BAND].same == 2 && c.n[COMPARE_BAND].differ == 1, "%s", listed);
    cr_assert_str_eq(listed,
                     "gone (exact): is missing\nn (exact): 18446744073709551614, was 18446744073709551615 (+0%)\n"
                     "w (exact): \"y\", was \"x\"\n");
    cr_assert_eq(compare("a", "b", 0.05, &c), 0);
    cr_assert_eq(c.n[COMPARE_BAND].differ, 0);
}

Test(compare, a_shorter_or_shifted_curve_is_missing_points)
{
    struct comparison c;
    put_run("a", "{\n  \"n\": 1\n}\n", HEAD "s,l,t,0,1\ns,l,t,1,2\ns,l,t,2,3\n");
    put_run("b", "{\n  \"n\": 1\n}\n", HEAD "s,l,t,0,1\n");
    cr_assert_eq(compare("a", "b", 0.5, &c), 0);
    cr_assert(c.n[COMPARE_BAND].missing == 2 && c.n[COMPARE_BAND].same == 1);
    cr_assert_eq(compare("b", "a", 0.5, &c), 0);
    cr_assert(c.n[COMPARE_BAND].added == 2 && compare_regressions(&c) == 0);
    put_run("b", "{\n  \"n\": 1\n}\n", HEAD "s,l,t,0,1\ns,l,t,1.5,2\ns,l,t,2,3\n");
    cr_assert_eq(compare("a", "b", 0.5, &c), 0);
    cr_assert_eq(c.n[COMPARE_BAND].missing, 2);
}

Test(compare, sweeps_are_paired_by_their_values_not_by_run_or_order)
{
    struct comparison c;
    cr_assert_eq(system("mkdir a b"), 0);
    fake_put("a/results.csv", "wpq,seed,run,n,r\n4,1,aaaa,10,0.5\n4,2,bbbb,11,0.25\n8,1,cccc,12,\n");
    fake_put("b/results.csv", "seed,wpq,run,more,n,r\n2,4,dddd,0,11,0.25\n1,4,eeee,0,10,0.5\n1,8,ffff,0,13,\n");
    cr_assert_eq(compare("a", "b", 0, &c), 0);
    cr_assert(c.n[COMPARE_EXACT].same == 3 && c.n[COMPARE_EXACT].differ == 1 && c.n[COMPARE_EXACT].added == 1, "%s",
              listed);
    cr_assert_eq(c.n[COMPARE_BAND].same, 2);
    cr_assert_str_eq(listed, "wpq=8 seed=1: n (exact): 13, was 12 (+8.33%)\n");
    fake_put("b/results.csv", "seed,wpq,run,n\n2,4,dddd,11\n");
    cr_assert_eq(compare("a", "b", 0, &c), 0);
    cr_assert(c.n[COMPARE_EXACT].missing == 2 && c.n[COMPARE_BAND].missing == 1, "two runs and a ratio: %s", listed);
    fake_put("b/results.csv", "other,wpq,run,n\n2,4,dddd,11\n");
    cr_assert_eq(compare("a", "b", 0, &c), -1, "sweeps of other names cannot be paired");
    fake_put("a/two-results.csv", "run,n\naaaa,1\n");
    fake_put("b/results.csv", "wpq,seed,run,n,r\n4,1,aaaa,10,0.5\n4,2,bbbb,11,0.25\n8,1,cccc,12,\n");
    cr_assert_eq(compare("a", "b", 0, &c), 0);
    cr_assert_str_eq(listed, "two-results.csv (exact): is missing\n");
    cr_assert_eq(compare_regressions(&c), 1);
}

Test(compare, host_speed_counts_only_what_got_worse)
{
    struct comparison c;
    fake_put("a.json",
             "[{\"name\":\"fast\",\"value\":10,\"unit\":\"M accesses/s\"},{\"name\":\"big\",\"value\":50,\"unit\":"
             "\"bytes/page\"}]");
    fake_put("b.json",
             "[{\"name\":\"big\",\"value\":54,\"unit\":\"bytes/page\"},{\"name\":\"fast\",\"value\":9.1,\"unit\":"
             "\"M accesses/s\"}]");
    cr_assert_eq(compare("a.json", "b.json", 0.1, &c), 0);
    cr_assert(c.n[COMPARE_HOST].same == 2 && c.n[COMPARE_HOST].differ == 0);
    cr_assert_eq(compare("a.json", "b.json", 0.05, &c), 0);
    cr_assert_eq(c.n[COMPARE_HOST].differ, 2);
    cr_assert_eq(compare("b.json", "a.json", 0, &c), 0);
    cr_assert_eq(c.n[COMPARE_HOST].differ, 0);
    fake_put("b.json", "[]");
    cr_assert_eq(compare("a.json", "b.json", 0.1, &c), 0);
    cr_assert_eq(c.n[COMPARE_HOST].missing, 2);
    fake_put("b.json", "{\"name\":1}");
    cr_assert_eq(compare("a.json", "b.json", 0.1, &c), -1);
    fake_put("b.json", "[{]");
    cr_assert_eq(compare("a.json", "b.json", 0.1, &c), -1);
}

Test(compare, two_of_a_kind)
{
    struct comparison c;
    put_run("a", "{\n  \"n\": 1\n}\n", HEAD);
    fake_put("a.json", "[]");
    cr_assert_eq(system("mkdir empty"), 0);
    cr_assert_eq(compare("a", "a.json", 0, &c), -1);
    cr_assert_eq(compare("a", "empty", 0, &c), -1);
    cr_assert_eq(compare("empty", "empty", 0, &c), -1);
    cr_assert_eq(compare("a", "absent", 0, &c), -1);
    put_run("b", "not json", HEAD);
    cr_assert_eq(compare("a", "b", 0, &c), -1);
}

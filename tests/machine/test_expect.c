/* SPDX-License-Identifier: MIT */
/* Expectations: every kind once true and once false on numbers that were worked out by hand. */
#include "tests/machine/fake.h"

#include "sim/machine/expect.h"
#include "sim/machine/sweep.h"

#include <criterion/criterion.h>
#include <math.h>

TestSuite(expect, .init = fake_enter, .fini = fake_leave);

/* flush_p99_ns = 1000 / depth + 10 * design + seed % 3, so for hints, seeds 1 2 3: the median is 1000 / depth + 1. */
#define SWEEPS                                                                                                         \
    "sweep \"depth\" { key = machine.imc.depth values = {4, 8, 16, 32} }\n"                                            \
    "sweep \"design\" { key = design values = {hints, trap, none} }\nsweep \"seed\" { key = seed values = {1, 2, 3} "  \
    "}\n"

static void judge(const char *expects, struct verdicts *v)
{
    struct diag d;
    char *text = NULL;
    cr_assert(asprintf(&text, "%s%s", SWEEPS, expects) > 0);
    struct experiment *e = fake_load(text, &d);
    cr_assert(e != NULL, "%s", d.text);
    struct sweep_options opt = {.out = "out", .jobs = 2};
    struct sweep_progress p;
    cr_assert_eq(sweep_run(e, &opt, &p, &d), SWEEP_DONE, "%s", d.text);
    struct grid *g = grid_load(&e->study[0], "out", &d);
    cr_assert(g != NULL, "%s", d.text);
    *v = (struct verdicts){0};
    expect_judge(&e->study[0], g, "out", v);
    cr_assert_eq(verdicts_write(v, "c", "out/verdict.json", &d), 0);
    grid_free(g);
    experiment_free(e);
    free(text);
}

Test(expect, every_kind)
{
    static const struct {
        const char *text;
        enum verdict_word word;
        const char *detail; /* a part of it */
    } cases[] = {
        {"expect \"monotone\" { of = flush_p99_ns over = depth direction = down }", VERDICT_TRUE, ""},
        {"expect \"monotone\" { of = flush_p99_ns over = depth direction = up }", VERDICT_FALSE,
         "251 at 4, 126 at 8, design=hints"},
        {"expect \"monotone\" { of = flush_p99_ns over = depth direction = up tolerance = 60% }", VERDICT_TRUE, ""},
        {"expect \"monotone\" { of = flushes over = depth }", VERDICT_TRUE, "100 at 4, 100 at 8"},
        {"expect \"monotone\" { of = flushes over = depth strict = true }", VERDICT_FALSE, "100 at 4, 100 at 8"},
        {"expect \"monotone\" { of = flush_p99_ns over = seed where = {\"depth=4\"} }", VERDICT_FALSE,
         "252 at 2, 250 at 3"},
        {"expect \"rank\" { of = flush_p99_ns over = design order = {hints, trap, none} strict = true }", VERDICT_TRUE,
         ""},
        {"expect \"rank\" { of = flush_p99_ns over = design order = {none, trap} }", VERDICT_FALSE,
         "at none, 261 at trap"},
        {"expect \"rank\" { of = flush_p99_ns over = design order = {none, hints} direction = down }", VERDICT_TRUE,
         ""},
        {"expect \"ratio\" { of = flush_p99_ns over = depth at = 4 base = 8 where = {\"design=hints\"} min = 1.99 max "
         "= 2 }",
         VERDICT_TRUE, "ratio = 1.99206"},
        {"expect \"ratio\" { of = flush_p99_ns over = depth at = 4 base = 8 where = {\"design=hints\"} min = 2 }",
         VERDICT_FALSE, "ratio = 1.99206"},
        {"expect \"ratio\" { of = flushes to = local min = 3.125 max = 25 }", VERDICT_TRUE, ""},
        {"expect \"ratio\" { of = flushes to = local max = 24 }", VERDICT_FALSE, "ratio = 25 at depth=4"},
        {"expect \"range\" { of = flush_p99_ns min = 31 max = 272 }", VERDICT_TRUE, ""},
        {"expect \"range\" { of = flush_p99_ns max = 271 }", VERDICT_FALSE,
         "flush_p99_ns = 272 at depth=4 design=none seed=2"},
        {"expect \"range\" { of = flushes per = local min = 3.125 max = 25 }", VERDICT_TRUE, ""},
        {"expect \"band\" { of = flushes value = 110 within = 10% source = \"a paper\" }", VERDICT_TRUE,
         "100, published 110"},
        {"expect \"band\" { of = flushes value = 112 within = 10% source = \"a paper\" }", VERDICT_FALSE,
         "published 112"},
        {"expect \"equal\" { of = flushes over = depth }", VERDICT_TRUE, "100 at"},
        {"expect \"equal\" { of = timing over = design }", VERDICT_TRUE, "block at"},
        {"expect \"equal\" { of = local over = seed }", VERDICT_TRUE, ""},
        {"expect \"equal\" { of = local over = depth }", VERDICT_FALSE, "4 at 4, 8 at 8, design=hints seed=1"},
        {"expect \"knee\" { of = flush_p99_ns over = depth min = 16 max = 16 }", VERDICT_TRUE, "knee = 16"},
        {"expect \"knee\" { of = flush_p99_ns over = depth min = 17 }", VERDICT_FALSE, "knee = 16"},
        {"expect \"match\" { series = share of = observed to = true max = 0.041 }", VERDICT_TRUE, "apart by 0.04 at 7"},
        {"expect \"match\" { series = share of = observed to = true max = 0.03 }", VERDICT_FALSE, "apart by 0.04 at 7"},
        {"expect \"match\" { series = share of = observed to = golden max = 1 }", VERDICT_UNJUDGED, "no curves"},
        {"expect \"range\" { of = flush_p9_ns min = 0 }", VERDICT_UNJUDGED,
         "no run has the key flush_p9_ns, the nearest is flush_p99_ns"},
        {"expect \"range\" { of = timing min = 0 }", VERDICT_UNJUDGED, "no number under timing"},
        {"expect \"knee\" { of = flushes over = depth min = 1 where = {\"depth=4\"} }", VERDICT_UNJUDGED,
         "three values"},
        {"expect \"monotone\" { of = flushes over = depth where = {\"depth=4\"} }", VERDICT_UNJUDGED, "no two results"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct verdicts v;
        judge(cases[i].text, &v);
        cr_assert_eq(v.n, 1);
        cr_expect_eq(v.item[0].word, cases[i].word, "%s\n%s: %s", cases[i].text, v.item[0].what, v.item[0].detail);
        cr_expect(strstr(v.item[0].detail, cases[i].detail) != NULL, "%s\n%s", cases[i].text, v.item[0].detail);
        cr_expect_eq(v.n_false, cases[i].word == VERDICT_FALSE);
        cr_expect_eq(v.n_unjudged, cases[i].word == VERDICT_UNJUDGED);
        verdicts_free(&v);
    }
}

Test(expect, statements_read_as_sentences)
{
    static const char *const cases[][2] = {
        {"expect \"monotone\" { of = flushes over = depth direction = down strict = true where = {\"design=trap\"} }",
         "flushes strictly falls along depth where design=trap"},
        {"expect \"rank\" { of = flushes over = design order = {hints, none} }",
         "flushes ranks, lowest first: hints, none"},
        {"expect \"ratio\" { of = flushes over = depth at = 4 base = 8 max = 2 }",
         "flushes at 4 over flushes at 8, at most 2"},
        {"expect \"ratio\" { of = flushes to = local min = 1 }", "flushes has a ratio to local, at least 1"},
        {"expect \"range\" { of = flushes per = local min = 1 max = 2 }", "flushes per local is at least 1, at most 2"},
        {"expect \"band\" { of = flushes value = 100 source = \"paper, table 2\" }",
         "flushes is within 10% of 100 (paper, table 2)"},
        {"expect \"knee\" { of = flushes over = depth min = 8 }", "flushes bends along depth, at least 8"},
        {"expect \"match\" { series = share of = observed to = true max = 1 }",
         "observed matches true in share, at most 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct verdicts v;
        judge(cases[i][0], &v);
        cr_expect_str_eq(v.item[0].what, cases[i][1]);
        verdicts_free(&v);
    }
}

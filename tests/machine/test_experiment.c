/* SPDX-License-Identifier: MIT */
/* Experiment files: sweeps become points, points have ids that name their results, mistakes are found before a run. */
#include "tests/machine/fake.h"

#include <criterion/criterion.h>

TestSuite(experiment, .init = fake_enter, .fini = fake_leave);

static struct experiment *must_load(const char *text)
{
    struct diag d;
    struct experiment *e = fake_load(text, &d);
    cr_assert(e != NULL, "%s", d.text);
    return e;
}

Test(experiment, sweeps_are_a_product_with_the_last_one_fastest)
{
    struct experiment *e = must_load("sweep \"depth\" { key = machine.imc.depth values = {4, 8, 16} }\n"
                                     "sweep \"seed\" { key = seed values = {1, 2} }");
    static const char *const labels[] = {"depth=4 seed=1", "depth=4 seed=2",  "depth=8 seed=1",
                                         "depth=8 seed=2", "depth=16 seed=1", "depth=16 seed=2"};
    char buf[200];
    cr_assert_eq(e->n_studies, 1);
    cr_assert_eq(e->study[0].n_points, 6);
    for (uint32_t i = 0; i < 6; i++) {
        point_label(&e->study[0], &e->study[0].point[i], buf, sizeof buf);
        cr_expect_str_eq(buf, labels[i]);
        cr_expect_eq(strspn(e->study[0].point[i].id, "0123456789abcdef"), 32);
        for (uint32_t j = 0; j < i; j++)
            cr_expect(strcmp(e->study[0].point[i].id, e->study[0].point[j].id) != 0);
    }
    struct conf *c = study_point_conf(&e->study[0], &e->study[0].point[3], NULL);
    struct fake f;
    cr_assert_eq(fake_read(c, &f, NULL), 0);
    cr_assert(f.depth == 8 && f.seed == 2);
    conf_free(c);
    experiment_free(e);
}

Test(experiment, without_a_sweep_there_is_one_point)
{
    struct experiment *e = must_load("claim = \"c\"");
    char buf[20];
    cr_assert_eq(e->study[0].n_points, 1);
    point_label(&e->study[0], &e->study[0].point[0], buf, sizeof buf);
    cr_assert_str_eq(buf, "");
    cr_assert_str_eq(e->claim, "c");
    experiment_free(e);
}

Test(experiment, keys_may_move_together_under_a_label)
{
    struct experiment *e = must_load("sweep \"d\" { key = {design, machine.imc.depth}\n"
                                     "values = {\"trap | 4\", \"none|8\"} labels = {\"always trap\", none} }");
    struct fake f;
    char buf[100];
    cr_assert_eq(e->study[0].n_points, 2);
    struct conf *c = study_point_conf(&e->study[0], &e->study[0].point[1], NULL);
    cr_assert_eq(fake_read(c, &f, NULL), 0);
    cr_assert(f.design == 2 && f.depth == 8);
    point_label(&e->study[0], &e->study[0].point[0], buf, sizeof buf);
    cr_assert_str_eq(buf, "d=always trap");
    conf_free(c);
    experiment_free(e);
}

static void one_id(const char *text, char id[33])
{
    struct experiment *e = must_load(text);
    cr_assert_eq(e->study[0].n_points, 1, "%s", text);
    memcpy(id, e->study[0].point[0].id, 33);
    experiment_free(e);
}

Test(experiment, the_id_names_what_determines_the_result_and_nothing_else)
{
    static const char *const same[] = {
        "seed = 1",
        "",
        "claim = \"words\"",
        "# a comment\nseed = 0x1 expect \"range\" { of = flushes min = 1 } plot \"p\" { x = s y = flushes }\nsweep "
        "\"s\" { "
        "key = seed values = {1} }",
        "machine { imc { depth = 8 } } design = \"hints\"",
        "study \"only\" { seed = 1 }",
    };
    static const char *const other[] = {"seed = 2", "machine { imc { depth = 9 } }", "note = x", "trace = t",
                                        "trace = u"};
    char base[33], id[33], ids[5][33];
    fake_put("t", "one");
    fake_put("u", "one");
    one_id(same[0], base);
    for (size_t i = 1; i < sizeof same / sizeof *same; i++) {
        one_id(same[i], id);
        cr_expect_str_eq(id, base, "%s", same[i]);
    }
    for (size_t i = 0; i < 5; i++) {
        one_id(other[i], ids[i]);
        cr_expect(strcmp(ids[i], base) != 0, "%s", other[i]);
        for (size_t j = 0; j < i; j++)
            cr_expect(strcmp(ids[i], ids[j]) != 0, "%s", other[i]);
    }
    fake_put("t", "two");
    one_id("trace = t", id);
    cr_assert(strcmp(id, ids[3]) != 0, "the content of an input counts");
    struct experiment_ops newer = fake_ops;
    struct diag d = {0};
    newer.build_id = "build-2";
    fake_put("x.conf", "seed = 1");
    struct experiment *e = experiment_load("x.conf", NULL, NULL, 0, &newer, &d);
    cr_assert(strcmp(e->study[0].point[0].id, base) != 0, "the build counts");
    experiment_free(e);
}

Test(experiment, the_id_does_not_depend_on_where_the_file_is_seen_from)
{
    struct diag d = {0};
    cr_assert_eq(system("mkdir -p a/b && echo data > a/t && echo 'trace = \"../t\"' > a/b/x.conf"), 0);
    struct experiment *e = experiment_load("a/b/x.conf", NULL, NULL, 0, &fake_ops, &d);
    cr_assert(e != NULL, "%s", d.text);
    cr_assert_eq(chdir("a"), 0);
    struct experiment *f = experiment_load("b/x.conf", NULL, NULL, 0, &fake_ops, &d);
    cr_assert(f != NULL, "%s", d.text);
    cr_assert_str_eq(e->study[0].point[0].id, f->study[0].point[0].id);
    /* the resolved text, read elsewhere with the folder given, is the same run */
    char *text = experiment_print(e);
    cr_assert_eq(system("mkdir -p ../elsewhere"), 0);
    fake_put("../elsewhere/resolved.conf", text);
    struct experiment *g = experiment_load("../elsewhere/resolved.conf", "b", NULL, 0, &fake_ops, &d);
    cr_assert(g != NULL, "%s", d.text);
    cr_assert_str_eq(e->study[0].point[0].id, g->study[0].point[0].id);
    free(text);
    experiment_free(e);
    experiment_free(f);
    experiment_free(g);
}

Test(experiment, studies_share_what_stands_outside)
{
    const char *text = "claim = whole seed = 3 design = trap sweep \"seed\" { key = seed values = {5, 6} }\n"
                       "study \"a\" { claim = part design = none }\nstudy \"b\" { sweep \"depth\" { key = "
                       "machine.imc.depth values = {1, 2} } }";
    struct experiment *e = must_load(text);
    struct fake f;
    cr_assert_eq(e->n_studies, 2);
    cr_assert_str_eq(e->study[0].name, "a");
    cr_assert_eq(e->study[0].n_points, 2);
    cr_assert_eq(e->study[1].n_points, 4);
    struct conf *c = study_point_conf(&e->study[0], &e->study[0].point[1], NULL);
    cr_assert(fake_read(c, &f, NULL) == 0 && f.seed == 6 && f.design == 2);
    conf_free(c);
    c = study_point_conf(&e->study[1], &e->study[1].point[0], NULL);
    cr_assert(fake_read(c, &f, NULL) == 0 && f.design == 1);
    conf_free(c);
    /* written out and read again: the same runs */
    char *printed = experiment_print(e);
    struct experiment *again = must_load(printed);
    cr_assert_eq(again->n_studies, 2);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(again->study[i].n_points, e->study[i].n_points);
        for (uint32_t k = 0; k < e->study[i].n_points; k++)
            cr_expect_str_eq(again->study[i].point[k].id, e->study[i].point[k].id);
    }
    char *twice = experiment_print(again);
    cr_assert_str_eq(printed, twice);
    free(printed);
    free(twice);
    experiment_free(again);
    experiment_free(e);
}

Test(experiment, set_reaches_every_study_that_knows_the_key)
{
    static const char *const set[] = {"design=none", "study.a.seed=9", "sweep.depth.values=1,2,4"};
    struct diag d = {0};
    struct fake f;
    fake_put("x.conf",
             "study \"a\" { design = trap } study \"b\" { sweep \"depth\" { key = machine.imc.depth values = {3} } }");
    struct experiment *e = experiment_load("x.conf", NULL, set, 3, &fake_ops, &d);
    cr_assert(e != NULL, "%s", d.text);
    struct conf *c = study_point_conf(&e->study[0], &e->study[0].point[0], NULL);
    cr_assert(fake_read(c, &f, NULL) == 0 && f.design == 2 && f.seed == 9);
    cr_assert_eq(e->study[1].n_points, 3);
    conf_free(c);
    experiment_free(e);
    static const char *const bad[][2] = {
        {"nonsense", "--set: found \"nonsense\", expected KEY=VALUE"},
        {"sede=1", "--set: [top level] sede: found an unknown key, expected perhaps seed"},
        {"machine.imc.depth=0", "--set: [machine.imc] depth: found 0, expected 1 to 1024"},
    };
    for (size_t i = 0; i < 3; i++) {
        d = (struct diag){0};
        cr_expect_null(experiment_load("x.conf", NULL, &bad[i][0], 1, &fake_ops, &d));
        cr_expect_str_eq(d.text, bad[i][1]);
    }
}

Test(experiment, mistakes_are_found_before_anything_runs)
{
    static const char *const cases[][2] = {
        {"sweep \"s\" { key = sede values = {1} }",
         "x.conf:1: [sweep.s]: [top level] sede: found an unknown key, expected perhaps seed"},
        {"sweep \"s\" { key = seed values = {1, x} }", "x.conf:1: [sweep.s]: [top level] seed: found \"x\", expected a "
                                                       "whole number without a unit, such as 64 or 0x40"},
        {"sweep \"s\" { key = seed values = {} }",
         "x.conf:1: [sweep.s] values: found an empty list, expected at least one"},
        {"sweep \"s\" { key = seed }",
         "x.conf:1: [sweep.s] values: found nothing, expected this key to be given (what it is "
         "set to; for several keys \"a | b\")"},
        {"sweep \"s\" { key = seed values = {1, 1} }",
         "x.conf:1: [sweep.s]: found \"1\" twice, expected values (or labels) that differ"},
        {"sweep \"s\" { key = {seed, design} values = {\"1\"} }",
         "x.conf:1: [sweep.s] values: found \"1\", expected 2 values with | between them"},
        {"sweep \"s\" { key = {seed, design} values = {\"1|trap|2\"} }",
         "x.conf:1: [sweep.s] values: found \"1|trap|2\", expected 2 values with | between them"},
        {"sweep \"s\" { key = seed values = {1, 2} labels = {a} }",
         "x.conf:1: [sweep.s] labels: found 1, expected one a value: 2"},
        {"sweep \"run\" { key = seed values = {1} }",
         "x.conf:1: [sweep.run]: found the title \"run\", expected a word of letters, digits, - and _ (not run)"},
        {"sweep \"a,b\" { key = seed values = {1} }",
         "x.conf:1: [sweep] found the title \"a,b\", expected a word of letters, digits, - and _"},
        {"study \"../x\" { }",
         "x.conf:1: [study] found the title \"../x\", expected a word of letters, digits, - and _ (not runs)"},
        {"machine { imc { depth = 13 } }", "x.conf:1: [machine.imc] depth: found 13, expected a lucky number"},
        {"trace = absent", "x: trace absent: cannot be opened: No such file or directory"},
        {"expect \"monoton\" { of = a }",
         "x.conf:1: [expect.monoton]: found an unknown kind, expected monotone, rank, ratio, "
         "range, band, equal, knee or match"},
        {"expect \"monotone\" { of = a over = b }",
         "x.conf:1: [expect.monotone] over: found \"b\", expected the title of a sweep"},
        {"expect \"range\" { of = a }", "x.conf:1: [expect.range]: found neither min nor max, expected at least one"},
        {"expect \"range\" { of = a min = low }", "x.conf:1: [expect.range] min: found \"low\", expected a number"},
        {"expect \"band\" { of = a value = 3 }",
         "x.conf:1: [expect.band] source: found nothing, expected where the number was published"},
        {"expect \"range\" { of = a min = 1 where = {\"s=1\"} }",
         "x.conf:1: [expect.range] where: found \"s=1\", expected sweep=value"},
        {"plot \"p\" { x = q y = a }", "x.conf:1: [plot.p] x: found \"q\", expected the title of a sweep"},
        {"plot \"p\" { series = s group = q }", "x.conf:1: [plot.p] group: found \"q\", expected the title of a sweep"},
        {"plot \"p/q\" { series = s }",
         "x.conf:1: [plot] found the title \"p/q\", expected a word of letters, digits, - and _"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct diag d;
        struct experiment *e = fake_load(cases[i][0], &d);
        cr_expect(e == NULL, "accepted: %s", cases[i][0]);
        cr_expect_str_eq(d.text, cases[i][1]);
        experiment_free(e);
    }
    struct diag d;
    cr_assert_null(fake_load("sweep \"a\" { key = seed values = {1,2,3,4,5,6,7,8,9,10} }\n"
                             "sweep \"b\" { key = note values = {1,2,3,4,5,6,7,8,9,10} }\n"
                             "expect \"rank\" { of = x over = a order = {1, 11} } expect \"ratio\" { of = x min = 1 }",
                             &d));
    cr_assert_eq(d.n_errors, 2, "%s", d.text);
}

/* SPDX-License-Identifier: MIT */
/* A machine of a few lines that stands in for the real one where only the handling of experiments is tested: its
 * "flush time" is 1000 / depth + 10 * design ns plus a little that depends on the seed. */
#ifndef QUIRE_TESTS_MACHINE_FAKE_H
#define QUIRE_TESTS_MACHINE_FAKE_H

#include "sim/machine/experiment.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fake {
    uint64_t seed, depth, design, mode;
    const char *trace, *note;
};

static const char *const fake_designs[] = {"hints", "trap", "none", NULL};
static const char *const fake_modes[] = {"run", "refuse", "fault", "crash", "slow", NULL};

static const struct conf_key fake_imc_keys[] = {
    {.name = "depth", .type = CONF_UINT, .def = "8", .min = 1, .max = 1024, .help = "WPQ entries"},
    {0},
};
static const struct conf_schema fake_machine_subs[] = {{.name = "imc", .keys = fake_imc_keys}, {0}};
static const struct conf_key fake_keys[] = {
    EXPERIMENT_KEYS,
    {.name = "seed", .type = CONF_UINT, .offset = offsetof(struct fake, seed), .def = "1", .help = "seed"},
    {.name = "design",
     .type = CONF_CHOICE,
     .offset = offsetof(struct fake, design),
     .def = "hints",
     .choices = fake_designs,
     .help = "design"},
    {.name = "mode",
     .type = CONF_CHOICE,
     .offset = offsetof(struct fake, mode),
     .def = "run",
     .choices = fake_modes,
     .help = "how it ends"},
    {.name = "trace", .type = CONF_PATH, .offset = offsetof(struct fake, trace), .def = "", .help = "an input"},
    {.name = "note", .type = CONF_STRING, .offset = offsetof(struct fake, note), .def = "", .help = "text"},
    {0},
};
#define FAKE_SECTIONS {.name = "machine", .subs = fake_machine_subs}, EXPERIMENT_SECTIONS
static const struct conf_schema fake_study_subs[] = {FAKE_SECTIONS, {0}};
static const struct conf_schema fake_file_subs[] = {
    FAKE_SECTIONS,
    {.name = "study", .keys = fake_keys, .subs = fake_study_subs, .titled = true},
    {0},
};
static const struct conf_schema fake_schema = {.keys = fake_keys, .subs = fake_file_subs};

static int fake_read(const struct conf *c, struct fake *f, struct diag *d)
{
    /* the claim key has no field here: bind the rows after it */
    const struct conf_section *m = conf_find(conf_root(c), "machine", NULL);
    int rc = conf_bind(conf_root(c), fake_keys + 1, f, d);
    f->depth = 0;
    return rc | conf_bind(conf_find(m, "imc", NULL), fake_imc_keys, &f->depth, d);
}

static int fake_check(const struct conf *c, struct diag *d)
{
    struct fake f;
    if (fake_read(c, &f, d) != 0)
        return -1;
    return f.depth == 13
               ? fail(d, "%s: [machine.imc] depth: found 13, expected a lucky number", conf_where(conf_root(c)))
               : 0;
}

static int fake_inputs(const struct conf *c, struct run_inputs *in, struct diag *d)
{
    struct fake f;
    if (fake_read(c, &f, d) != 0)
        return -1;
    if (!*f.trace)
        return 0;
    char *path = conf_file(c, f.trace);
    int rc = run_inputs_add(in, "trace", path, "x:", d);
    free(path);
    return rc;
}

static int fake_run(const struct conf *c, struct result *r, struct diag *d)
{
    struct fake f;
    if (fake_read(c, &f, d) != 0)
        return -1;
    if (f.mode == 1)
        return fail(d, "refused on purpose");
    if (f.mode == 3)
        abort();
    if (f.mode == 4)
        sleep(60);
    CHECK_MSG(f.mode != 2, "a fault on purpose");
    result_set(r, "flush_p99_ns", 1000 / f.depth + 10 * f.design + f.seed % 3);
    result_set(r, "flushes", 100);
    result_set(r, "local", f.depth);
    result_quotient(r, "local_ratio", f.depth, 64);
    result_text(r, "timing", "block");
    for (int i = 0; i <= 10; i++) {
        result_point(r, "share", "true", "time_us", i, i / 10.0);
        result_point(r, "share", "observed", "time_us", i, i / 10.0 + (i == 7 ? 0.04 : 0.01));
    }
    return 0;
}

static const struct experiment_ops fake_ops = {&fake_schema, "build-1", fake_check, fake_inputs, fake_run};

/* Temporary folder as the current one, and back. */
static char fake_tmp[64];

static void fake_enter(void)
{
    strcpy(fake_tmp, "/tmp/quire-fake-XXXXXX");
    if (!mkdtemp(fake_tmp) || chdir(fake_tmp) != 0)
        abort();
}

static void fake_leave(void)
{
    char cmd[100];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", fake_tmp);
    if (chdir("/") != 0 || system(cmd) != 0)
        abort();
}

static void fake_put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
}

__attribute__((unused)) static struct experiment *fake_load(const char *text, struct diag *d)
{
    fake_put("x.conf", text);
    *d = (struct diag){0};
    return experiment_load("x.conf", NULL, NULL, 0, &fake_ops, d);
}

#endif

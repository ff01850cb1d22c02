/* SPDX-License-Identifier: MIT */
/* A small language for the tests of configurations: a key of every type, sections of every kind. */
#ifndef QUIRE_TESTS_BASE_CONF_TOP_H
#define QUIRE_TESTS_BASE_CONF_TOP_H

#include "sim/base/conf.h"

#include <criterion/criterion.h>
#include <string.h>

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

static inline struct conf *parse(const char *text, struct diag *d)
{
    *d = (struct diag){0};
    return conf_parse(text, strlen(text), "x.conf", "", &top, d);
}

static inline struct conf *must_parse(const char *text)
{
    struct diag d;
    struct conf *c = parse(text, &d);
    cr_assert(c != NULL, "%s", d.text);
    cr_assert_eq(d.n_errors, 0);
    return c;
}

#endif

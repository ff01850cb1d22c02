/* SPDX-License-Identifier: MIT */
/* Any bytes as a configuration: never a crash, an error line for what is refused, a fixed point for what is read. */
#include "sim/base/conf.h"

#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"one", "two", NULL};
static const struct conf_key keys[] = {
    {.name = "b", .type = CONF_BOOL, .def = "false", .help = ""},
    {.name = "u", .type = CONF_UINT, .def = "1", .max = 100, .help = ""},
    {.name = "s", .type = CONF_SIZE, .def = "1KiB", .help = ""},
    {.name = "t", .type = CONF_TIME, .def = "1ns", .help = ""},
    {.name = "f", .type = CONF_FREQ, .def = "1Hz", .help = ""},
    {.name = "r", .type = CONF_RATE, .def = "1B/s", .help = ""},
    {.name = "p", .type = CONF_RATIO, .def = "1%", .help = ""},
    {.name = "x", .type = CONF_STRING, .help = ""},
    {.name = "c", .type = CONF_CHOICE, .def = "one", .choices = words, .help = ""},
    {.name = "l", .type = CONF_LIST, .def = "", .help = ""},
    {.name = "n", .type = CONF_PATH, .def = "", .help = ""},
    {0},
};
static const struct conf_schema inner[] = {{.name = "deep", .keys = keys}, {0}};
static const struct conf_schema subs[] = {
    {.name = "plain", .keys = keys, .subs = inner, .optional = true},
    {.name = "many", .keys = keys, .titled = true},
    {.name = "again", .keys = keys, .titled = true, .repeats = true},
    {.name = "open", .titled = true, .open = true},
    {0},
};
static const struct conf_schema root = {.keys = keys, .subs = subs};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input is a file; what follows a zero byte, if there is one, is `path=value` for conf_set. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag d = {0};
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t len = zero ? (size_t)(zero - data) : size;
    if (len > 1 << 16 || memmem(data, len, "include", 7))
        return 0;
    struct conf *c = conf_parse((const char *)data, len, "fuzz", "/nonexistent", &root, &d);
    CHECK((c == NULL) == (d.n_errors != 0));
    if (!c)
        return 0;
    if (zero) {
        char *set = strndup((const char *)zero + 1, size - len - 1), *eq = strchr(set, '=');
        if (eq) {
            *eq = 0;
            struct conf *copy = conf_copy(c);
            if (conf_set(copy, set, eq + 1, "set", &d) == 0) {
                conf_free(c);
                c = copy;
            } else {
                conf_free(copy);
            }
        }
        free(set);
    }
    char *once = conf_print(c);
    d = (struct diag){0};
    struct conf *again = conf_parse(once, strlen(once), "printed", "", &root, &d);
    CHECK_MSG(again, "%s", d.text);
    char *twice = conf_print(again);
    CHECK(strcmp(once, twice) == 0);
    free(once);
    free(twice);
    conf_free(again);
    conf_free(c);
    return 0;
}

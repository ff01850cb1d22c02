/* SPDX-License-Identifier: MIT */
/* One value of the configuration language: text to number and back, in exact integer arithmetic. */
#include "sim/base/conf_int.h"

#include "sim/base/types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t scale; /* of the stored number */
};

/* Largest first, for the canonical form; NULL ends. */
static const struct unit size_units[] = {{"TiB", TIB}, {"GiB", GIB}, {"MiB", MIB}, {"KiB", KIB}, {"B", 1}, {NULL, 0}};
static const struct unit time_units[] = {{"s", PS_PER_S},   {"ms", PS_PER_MS}, {"us", PS_PER_US},
                                         {"ns", PS_PER_NS}, {"ps", 1},         {NULL, 0}};
static const struct unit freq_units[] = {{"GHz", 1000000000}, {"MHz", 1000000}, {"kHz", 1000}, {"Hz", 1}, {NULL, 0}};
static const struct unit rate_units[] = {
    {"GB/s", 1000000000}, {"MB/s", 1000000}, {"kB/s", 1000}, {"B/s", 1}, {NULL, 0}};
static const struct unit energy_units[] = {{"J", 1000000}, {"mJ", 1000}, {"uJ", 1}, {NULL, 0}};
static const struct unit power_units[] = {{"kW", 1000000}, {"W", 1000}, {"mW", 1}, {NULL, 0}};
static const struct unit ratio_units[] = {{"%", 10000}, {NULL, 0}};
static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};

struct type_info {
    const struct unit *units; /* NULL: not a number */
    const char *expected;
};

static const struct type_info types[] = {
    [CONF_BOOL] = {NULL, "true or false"},
    [CONF_UINT] = {plain_units, "a whole number without a unit, such as 64 or 0x40"},
    [CONF_SIZE] = {size_units, "a size with its unit (B, KiB, MiB, GiB, TiB), such as \"4GiB\""},
    [CONF_TIME] = {time_units, "a time with its unit (ps, ns, us, ms, s), such as \"80ns\""},
    [CONF_FREQ] = {freq_units, "a frequency with its unit (Hz, kHz, MHz, GHz), such as \"2.4GHz\""},
    [CONF_RATE] = {rate_units, "a rate with its unit (B/s, kB/s, MB/s, GB/s), such as \"2.2GB/s\""},
    [CONF_ENERGY] = {energy_units, "an energy with its unit (uJ, mJ, J), such as \"550mJ\""},
    [CONF_POWER] = {power_units, "a power with its unit (mW, W, kW), such as \"305W\""},
    [CONF_RATIO] = {ratio_units, "a ratio in percent, such as \"12.5%\""},
    [CONF_STRING] = {NULL, "a text"},
    [CONF_CHOICE] = {NULL, "one of the words"},
    [CONF_LIST] = {NULL, "a list"},
    [CONF_PATH] = {NULL, "a file name"},
};

enum number_error { NUM_OK, NUM_SYNTAX, NUM_NO_UNIT, NUM_TOO_BIG, NUM_FRACTION };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum number_error read_hex(const char *s, uint64_t *out)
{
    uint64_t v = 0;
    if (!*s)
        return NUM_SYNTAX;
    for (; *s; s++) {
        int digit = is_digit(*s)             ? *s - '0'
                    : *s >= 'a' && *s <= 'f' ? *s - 'a' + 10
                    : *s >= 'A' && *s <= 'F' ? *s - 'A' + 10
                                             : -1;
        if (digit < 0)
            return NUM_SYNTAX;
        if (v >> 60)
            return NUM_TOO_BIG;
        v = v << 4 | (uint64_t)digit;
    }
    *out = v;
    return NUM_OK;
}

/* Digits, optionally a point and digits, then a unit: exactly value * scale, or why not. */
static enum number_error read_number(const char *s, const struct unit *units, uint64_t *out)
{
    unsigned __int128 whole = 0, frac = 0, frac_scale = 1;
    if (units == plain_units && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
        return read_hex(s + 2, out);
    if (!is_digit(*s))
        return NUM_SYNTAX;
    for (; is_digit(*s); s++) {
        whole = whole * 10 + (unsigned)(*s - '0');
        if (whole > UINT64_MAX)
            return NUM_TOO_BIG;
    }
    if (*s == '.') {
        if (units == plain_units || !is_digit(s[1]))
            return NUM_SYNTAX;
        for (s++; is_digit(*s); s++) {
            if (frac_scale >= 1000000000000000000ull) {
                if (*s != '0')
                    return NUM_FRACTION;
                continue;
            }
            frac = frac * 10 + (unsigned)(*s - '0');
            frac_scale *= 10;
        }
    }
    const struct unit *u = units;
    while (u->name && strcmp(u->name, s) != 0)
        u++;
    if (!u->name)
        return *s || units == plain_units ? NUM_SYNTAX : NUM_NO_UNIT;
    if (frac * u->scale % frac_scale != 0)
        return NUM_FRACTION;
    unsigned __int128 v = whole * u->scale + frac * u->scale / frac_scale;
    if (v > UINT64_MAX)
        return NUM_TOO_BIG;
    *out = (uint64_t)v;
    return NUM_OK;
}

char *conf_number(const struct conf_key *key, uint64_t v)
{
    if (key->type == CONF_BOOL)
        return xstrdup(v ? "true" : "false");
    if (key->type == CONF_CHOICE)
        return xstrdup(key->choices[v]);
    const struct unit *u = types[key->type].units;
    CHECK(u);
    if (key->type == CONF_RATIO) {
        char buf[48];
        int n =
            snprintf(buf, sizeof buf, "%llu.%04llu", (unsigned long long)(v / 10000), (unsigned long long)(v % 10000));
        while (buf[n - 1] == '0')
            n--;
        if (buf[n - 1] == '.')
            n--;
        return xasprintf("%.*s%%", n, buf);
    }
    while (u[1].name && (v == 0 || v % u->scale != 0))
        u++;
    return xasprintf("%llu%s", (unsigned long long)(v / u->scale), u->name);
}

static int out_of_range(const struct conf_key *key, const char *text, const char *where, struct diag *d)
{
    char *lo = conf_number(key, key->min);
    char *hi = key->max ? conf_number(key, key->max) : NULL;
    int rc = hi ? fail(d, "%s %s: found %s, expected %s to %s", where, key->name, text, lo, hi)
                : fail(d, "%s %s: found %s, expected at least %s", where, key->name, text, lo);
    free(lo);
    free(hi);
    return rc;
}

static int read_choice(const struct conf_key *key, const char *text, const char *where, uint64_t *out, struct diag *d)
{
    char words[512] = "";
    size_t len = 0;
    uint32_t n = 0;
    for (; key->choices[n]; n++) {
        if (strcmp(key->choices[n], text) == 0) {
            *out = n;
            return 0;
        }
        if (len < sizeof words)
            len += (size_t)snprintf(words + len, sizeof words - len, "%s%s", n ? ", " : "", key->choices[n]);
    }
    const char *near = conf_nearest(text, key->choices, n);
    return fail(d, "%s %s: found \"%.100s\", expected one of %s%s%s%s", where, key->name, text, words,
                near ? " (nearest: " : "", near ? near : "", near ? ")" : "");
}

static int read_counted(const struct conf_key *key, const char *text, const char *where, uint64_t *out, struct diag *d)
{
    const struct type_info *t = &types[key->type];
    switch (read_number(text, t->units, out)) {
    case NUM_OK:
        break;
    case NUM_NO_UNIT:
        return fail(d, "%s %s: found \"%.100s\" without a unit, expected %s", where, key->name, text, t->expected);
    case NUM_TOO_BIG:
        return fail(d, "%s %s: found %.100s, expected a number that fits into 64 bits", where, key->name, text);
    case NUM_FRACTION:
        return fail(d, "%s %s: found %.100s, expected a whole number of the smallest unit", where, key->name, text);
    default:
        return fail(d, "%s %s: found \"%.100s\", expected %s", where, key->name, text, t->expected);
    }
    if (*out < key->min || (key->max && *out > key->max))
        return out_of_range(key, text, where, d);
    return 0;
}

int conf_value(const struct conf_key *key, const char *text, const char *where, void *field, struct diag *d)
{
    CHECK(key->type != CONF_LIST);
    uint64_t v = 0;
    if (key->type == CONF_STRING || key->type == CONF_PATH) {
        memcpy(field, &text, sizeof text);
        return 0;
    }
    if (key->type == CONF_CHOICE) {
        if (read_choice(key, text, where, &v, d) != 0)
            return -1;
    } else if (key->type == CONF_BOOL) {
        v = strcmp(text, "true") == 0;
        if (!v && strcmp(text, "false") != 0)
            return fail(d, "%s %s: found \"%.100s\", expected true or false", where, key->name, text);
    } else if (read_counted(key, text, where, &v, d) != 0) {
        return -1;
    }
    memcpy(field, &v, sizeof v);
    return 0;
}

/* Levenshtein distance with adjacent swaps counted once, for words of at most 63 characters. */
static uint32_t edit_distance(const char *a, const char *b)
{
    uint32_t row[3][64];
    size_t la = strlen(a), lb = strlen(b);
    if (la > 63 || lb > 63)
        return UINT32_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[0][j] = (uint32_t)j;
    for (size_t i = 1; i <= la; i++) {
        uint32_t *now = row[i % 3], *before = row[(i + 2) % 3], *before2 = row[(i + 1) % 3];
        now[0] = (uint32_t)i;
        for (size_t j = 1; j <= lb; j++) {
            uint32_t best = before[j - 1] + (a[i - 1] != b[j - 1]);
            best = best < before[j] + 1 ? best : before[j] + 1;
            best = best < now[j - 1] + 1 ? best : now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before2[j - 2] + 1 < best)
                best = before2[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[la % 3][lb];
}

const char *conf_nearest(const char *s, const char *const *words, uint32_t n)
{
    const char *best = NULL;
    uint32_t best_d = 1 + (uint32_t)strlen(s) / 3; /* a third of the letters wrong is no typo */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t dist = edit_distance(s, words[i]);
        if (dist < best_d || (dist == best_d && !best)) {
            best = words[i];
            best_d = dist;
        }
    }
    return best;
}

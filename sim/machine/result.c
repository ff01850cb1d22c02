/* SPDX-License-Identifier: MIT */
/* Building a result. Keys sit in an open-addressing table, so that a key given twice is noticed at once. */
#include "sim/machine/result_int.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- text -------------------------------------------------------------------------------------------------------- */
void text_printf(struct text *t, const char *fmt, ...)
{
    for (;;) {
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(t->p ? t->p + t->len : NULL, t->cap - t->len, fmt, ap);
        va_end(ap);
        CHECK(n >= 0);
        if ((size_t)n < t->cap - t->len) {
            t->len += (size_t)n;
            return;
        }
        t->cap = 2 * t->cap + (size_t)n + 256;
        t->p = xrealloc(t->p, t->cap);
    }
}

void text_json(struct text *t, const char *s)
{
    text_printf(t, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            text_printf(t, "\\%c", c);
        else if (c < 32)
            text_printf(t, "\\u%04x", c);
        else
            text_printf(t, "%c", c);
    }
    text_printf(t, "\"");
}

/* A field of a CSV file: quoted only if it must be. */
static void text_csv(struct text *t, const char *s)
{
    if (!s[strcspn(s, ",\"\n\r")]) {
        text_printf(t, "%s", s);
        return;
    }
    text_printf(t, "\"");
    for (; *s; s++)
        text_printf(t, *s == '"' ? "\"\"" : "%c", *s);
    text_printf(t, "\"");
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */
struct result *result_new(void)
{
    return xcalloc(1, sizeof(struct result));
}

void result_free(struct result *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->n; i++) {
        free(r->item[i].key);
        free(r->item[i].num_text);
        free(r->item[i].den_text);
    }
    for (uint32_t i = 0; i < r->n_taints; i++)
        free(r->taint[i]);
    free(r->taint);
    free(r->item);
    free(r->slot);
    free(r->series.p);
    free(r->events.p);
    free(r);
}

static uint32_t *find_slot(const struct result *r, const char *key)
{
    uint32_t mask = r->n_slots - 1, i = (uint32_t)XXH3_64bits(key, strlen(key)) & mask;
    while (r->slot[i] && strcmp(r->item[r->slot[i] - 1].key, key) != 0)
        i = (i + 1) & mask;
    return &r->slot[i];
}

static void grow(struct result *r)
{
    r->n_slots = r->n_slots ? 2 * r->n_slots : 256;
    free(r->slot);
    r->slot = xcalloc(r->n_slots, sizeof *r->slot);
    for (uint32_t i = 0; i < r->n; i++)
        *find_slot(r, r->item[i].key) = i + 1;
}

static bool is_key(const char *key)
{
    size_t n = strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    return n > 0 && n <= 200 && !key[n] && key[0] != '.' && key[n - 1] != '.';
}

/* The item of that key, made if it is new; *is_new says which. */
static struct item *put(struct result *r, const char *key, bool *is_new)
{
    CHECK_MSG(is_key(key), "result key \"%s\"", key);
    if (2 * (r->n + 1) > r->n_slots)
        grow(r);
    uint32_t *slot = find_slot(r, key);
    *is_new = !*slot;
    if (*slot)
        return &r->item[*slot - 1];
    if (r->n == r->cap)
        r->item = xrealloc(r->item, (r->cap = r->cap ? 2 * r->cap : 256) * sizeof *r->item);
    r->item[r->n] = (struct item){.key = xstrdup(key)};
    *slot = ++r->n;
    return &r->item[r->n - 1];
}

static struct item *put_new(struct result *r, const char *key, enum item_kind kind)
{
    bool is_new;
    struct item *it = put(r, key, &is_new);
    CHECK_MSG(is_new, "result key \"%s\" given twice", key);
    it->kind = kind;
    return it;
}

void result_set(struct result *r, const char *key, uint64_t value)
{
    put_new(r, key, ITEM_INT)->value = value;
}

void result_add(struct result *r, const char *key, uint64_t value)
{
    bool is_new;
    struct item *it = put(r, key, &is_new);
    CHECK_MSG(it->kind == ITEM_INT, "result key \"%s\" is no counter", key);
    it->value += value;
}

void result_text(struct result *r, const char *key, const char *text)
{
    put_new(r, key, ITEM_TEXT)->num_text = xstrdup(text);
}

void result_ratio(struct result *r, const char *key, const char *num, const char *den)
{
    struct item *it = put_new(r, key, ITEM_FORMULA);
    it->num_text = xstrdup(num);
    it->den_text = xstrdup(den);
}

void result_quotient(struct result *r, const char *key, uint64_t num, uint64_t den)
{
    struct item *it = put_new(r, key, ITEM_QUOTIENT);
    it->value = num;
    it->den = den;
}

bool result_get(const struct result *r, const char *key, uint64_t *value)
{
    uint32_t slot = r->n_slots ? *find_slot(r, key) : 0;
    if (!slot || r->item[slot - 1].kind != ITEM_INT)
        return false;
    *value = r->item[slot - 1].value;
    return true;
}

bool result_get_ratio(const struct result *r, const char *key, double *value)
{
    uint32_t slot = r->n_slots ? *find_slot(r, key) : 0;
    if (!slot || r->item[slot - 1].kind != ITEM_QUOTIENT || !r->item[slot - 1].den)
        return false;
    *value = (double)r->item[slot - 1].value / (double)r->item[slot - 1].den;
    return true;
}

void result_stat(void *ctx, const char *path, const struct stat_desc *desc, uint64_t value)
{
    char key[256];
    int n = snprintf(key, sizeof key, "%s%s%s", path, *path ? "." : "", desc->name);
    CHECK(n > 0 && (size_t)n < sizeof key);
    result_set(ctx, key, value);
}

/* ---- histograms -------------------------------------------------------------------------------------------------- */
static void hist_key(struct result *r, const char *key, size_t stem, const char *what, const char *unit, uint64_t value)
{
    char *full = xasprintf("%.*s_%s%s", (int)stem, key, what, unit);
    result_set(r, full, value);
    free(full);
}

void result_hist(struct result *r, const char *key, const struct hist *h, uint64_t divisor)
{
    static const struct {
        const char *name;
        uint32_t permille;
    } quantiles[] = {{"p50", 500}, {"p90", 900}, {"p99", 990}, {"p999", 999}};
    const char *unit = strrchr(key, '_');
    CHECK_MSG(unit && unit > key && unit[1], "histogram key \"%s\" does not end with a unit", key);
    CHECK(divisor > 0);
    size_t stem = (size_t)(unit - key);
    hist_key(r, key, stem, "n", "", h->n);
    if (!h->n)
        return;
    uint64_t half = divisor / 2;
    unsigned __int128 all = (unsigned __int128)h->n * divisor;
    hist_key(r, key, stem, "mean", unit, (uint64_t)(((unsigned __int128)h->sum + all / 2) / all));
    hist_key(r, key, stem, "min", unit, h->min / divisor + (h->min % divisor > half));
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        uint64_t q = hist_quantile(h, quantiles[i].permille);
        hist_key(r, key, stem, quantiles[i].name, unit, q / divisor + (q % divisor > half));
    }
    hist_key(r, key, stem, "max", unit, h->max / divisor + (h->max % divisor > half));
}

/* ---- curves, events, taints -------------------------------------------------------------------------------------- */
static void text_number(struct text *t, double x)
{
    CHECK_MSG(isfinite(x), "a curve's number is not finite");
    if (x == floor(x) && fabs(x) < 0x1p53)
        text_printf(t, "%.0f", x + 0.0); /* + 0.0: no negative zero */
    else
        text_printf(t, "%.9g", x);
}

void result_point(struct result *r, const char *series, const char *label, const char *x_name, double x, double value)
{
    struct text *t = &r->series;
    text_csv(t, series);
    text_printf(t, ",");
    text_csv(t, label);
    text_printf(t, ",");
    text_csv(t, x_name);
    text_printf(t, ",");
    text_number(t, x);
    text_printf(t, ",");
    text_number(t, value);
    text_printf(t, "\n");
}

/* Chrome counts in microseconds; six decimals keep every picosecond. */
static void text_us(struct text *t, const char *name, ps_t ps)
{
    text_printf(t, ",\"%s\":%llu.%06llu", name, (unsigned long long)(ps / PS_PER_US),
                (unsigned long long)(ps % PS_PER_US));
}

void result_event(struct result *r, const char *category, const char *name, uint32_t pid, uint32_t tid, ps_t ts,
                  ps_t dur, const char *arg_name, uint64_t arg)
{
    if (r->n_events == RESULT_MAX_EVENTS) {
        r->n_dropped++;
        return;
    }
    struct text *t = &r->events;
    text_printf(t, "%s{\"cat\":", r->n_events++ ? ",\n" : "");
    text_json(t, category);
    text_printf(t, ",\"name\":");
    text_json(t, name);
    text_printf(t, ",\"ph\":\"%s\",\"pid\":%u,\"tid\":%u", dur ? "X" : "i\",\"s\":\"t", pid, tid);
    text_us(t, "ts", ts);
    if (dur)
        text_us(t, "dur", dur);
    if (arg_name) {
        text_printf(t, ",\"args\":{");
        text_json(t, arg_name);
        text_printf(t, ":%llu}", (unsigned long long)arg);
    }
    text_printf(t, "}");
}

void result_taint(struct result *r, const char *word)
{
    uint32_t i = 0;
    while (i < r->n_taints && strcmp(r->taint[i], word) < 0)
        i++;
    if (i < r->n_taints && strcmp(r->taint[i], word) == 0)
        return;
    r->taint = xrealloc(r->taint, (r->n_taints + 1) * sizeof *r->taint);
    memmove(&r->taint[i + 1], &r->taint[i], (r->n_taints - i) * sizeof *r->taint);
    r->taint[i] = xstrdup(word);
    r->n_taints++;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

static void text_state(struct text *t, struct ckpt *c)
{
    uint64_t len = t->len, cap = t->cap;
    ckpt_array(c, &t->p, &len, &cap, 1, 1ull << 36);
    t->len = len;
    t->cap = cap;
}

void result_state(struct result *r, struct ckpt *c)
{
    ckpt_section(c, "result");
    ckpt_same(c, r->n, "values");
    text_state(&r->series, c);
    text_state(&r->events, c);
    CKPT(c, r->n_events);
    CKPT(c, r->n_dropped);
    uint64_t n = ckpt_count(c, r->n_taints, 256);
    for (uint64_t i = 0; i < n && !ckpt_failed(c); i++) {
        char *word = i < r->n_taints ? xstrdup(r->taint[i]) : NULL;
        ckpt_text(c, &word);
        if (word)
            result_taint(r, word);
        free(word);
    }
}

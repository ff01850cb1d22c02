/* SPDX-License-Identifier: MIT */
/* DAMON's access samples: the text of `perf script` with damon:damon_aggregated events, and damo's JSON of snapshots
 * (which damo compresses with zlib). Each region becomes a TRACE_REGION record; a change of target switches the address
 * space. */
#include "sim/trace/reader.h"
#include "sim/trace/text.h"

#include <stdlib.h>
#include <string.h>

struct damon_state {
    bool has_target;
    uint64_t target, space; /* as in the file; what the last TRACE_SPACE record said */
    uint64_t start, end, time_ns;
};

static int damon_open(struct trace_reader *r, struct diag *d)
{
    (void)d;
    r->state = xcalloc(1, sizeof(struct damon_state));
    return 0;
}

/* One region of target, with the switch of address space if there is one. */
static int region(struct damon_state *s, uint64_t target, uint64_t start, uint64_t end, uint64_t accesses,
                  uint64_t time_ns, struct trace_rec *out, const char **why)
{
    int k = 0;
    uint64_t pages = (end - start) >> 12;
    if (end < start || pages > UINT32_MAX || accesses > UINT16_MAX) {
        *why = "a region of at most 2^32 pages with at most 65535 accesses";
        return -1;
    }
    if (!s->has_target || s->space != target) {
        s->has_target = true;
        s->space = target;
        out[k++] = (struct trace_rec){.addr = target, .time_ns = time_ns, .kind = TRACE_SPACE};
    }
    out[k++] = (struct trace_rec){
        .addr = start, .time_ns = time_ns, .arg = (uint32_t)pages, .size = (uint16_t)accesses, .kind = TRACE_REGION};
    return k;
}

/* Moves past the first occurrence of w. */
static bool find(struct text *t, const char *w)
{
    const uint8_t *at = memmem(t->at, (size_t)(t->end - t->at), w, strlen(w));
    if (!at)
        return false;
    t->at = at + strlen(w);
    return true;
}

/* Blanks, then w. */
static bool field(struct text *t, const char *w)
{
    size_t n = strlen(w);
    text_blanks(t);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, w, n) != 0)
        return false;
    t->at += n;
    return true;
}

/* "SECONDS.FRACTION" before "damon:damon_aggregated:", as nanoseconds. */
static bool perf_time(const uint8_t *line, const uint8_t *event, uint64_t *time_ns)
{
    const uint8_t *p = event;
    while (p > line && p[-1] != ']')
        p--;
    struct text t = {p, event};
    uint64_t seconds, fraction;
    text_blanks(&t);
    if (!text_dec(&t, &seconds) || seconds > 1000000000 || !text_char(&t, '.'))
        return false;
    const uint8_t *digits = t.at;
    if (!text_dec(&t, &fraction) || t.at - digits > 9 || !text_char(&t, ':'))
        return false;
    for (long i = t.at - 1 - digits; i < 9; i++)
        fraction *= 10;
    *time_ns = seconds * 1000000000 + fraction;
    return true;
}

/* "COMM PID [CPU] TIME: damon:damon_aggregated: target_id=N nr_regions=N START-END: ACCESSES[ AGE]" */
static int perf_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    static const char event[] = "damon:damon_aggregated:";
    struct text t = {p, p + n};
    uint64_t time_ns, target, regions, start, end, accesses;
    if (n == 0 || *p == '#' || !find(&t, event))
        return 0; /* other events, comments */
    if (!perf_time(p, t.at - strlen(event), &time_ns) || !field(&t, "target_id=") || !text_dec(&t, &target) ||
        !field(&t, "nr_regions=") || !text_dec(&t, &regions) || !text_blanks(&t) || !text_dec(&t, &start) ||
        !text_char(&t, '-') || !text_dec(&t, &end) || !text_char(&t, ':') || !text_blanks(&t) ||
        !text_dec(&t, &accesses)) {
        *why = "'COMM PID [CPU] TIME: damon:damon_aggregated: target_id=N nr_regions=N START-END: ACCESSES'";
        return -1;
    }
    return region(r->state, target, start, end, accesses, time_ns, out, why);
}

static bool perf_sniff(const uint8_t *p, uint64_t n)
{
    return memmem(p, n, "damon:damon_aggregated: target_id=", 34) != NULL;
}

const struct trace_format trace_format_damon = {
    .desc = {"damon", "`perf script` text with damon:damon_aggregated events", true, false},
    .sniff = perf_sniff,
    .open = damon_open,
    .convert = perf_convert,
    .has_time = true,
};

/* damo's JSON, without building a tree: the members that matter are taken in the order damo writes them ("target_id",
 * then for each snapshot "start_time", "end_time", then for each region "start", "end", "samples"). Numbers may be
 * strings with commas. */
static bool json_number(struct text *t, uint64_t *v)
{
    uint64_t x = 0;
    text_blanks(t);
    bool quoted = text_char(t, '"'), any = false;
    for (; t->at < t->end; t->at++) {
        uint8_t digit = (uint8_t)(*t->at - '0');
        if (quoted && *t->at == ',')
            continue;
        if (digit > 9 || x > (UINT64_MAX - digit) / 10)
            break;
        x = x * 10 + digit;
        any = true;
    }
    *v = x;
    return any && (!quoted || text_char(t, '"'));
}

/* Takes one member; 0 or more records, or -1. */
static int json_member(struct damon_state *s, const char *key, uint32_t len, uint64_t v, struct trace_rec *out,
                       const char **why)
{
    static const struct {
        const char *key;
        size_t field;
    } fields[] = {{"target_id", offsetof(struct damon_state, target)},
                  {"end_time", offsetof(struct damon_state, time_ns)},
                  {"start", offsetof(struct damon_state, start)},
                  {"end", offsetof(struct damon_state, end)}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strlen(fields[i].key) == len && memcmp(key, fields[i].key, len) == 0)
            memcpy((char *)s + fields[i].field, &v, sizeof v);
    }
    if (len == 7 && memcmp(key, "samples", 7) == 0)
        return region(s, s->target, s->start, s->end, v, s->time_ns, out, why);
    return 0;
}

/* The next string that is followed by a colon and a number: t is moved past it. 1 if found, 0 if there is none in the
 * window, -1 if one begins with less than tail bytes after it (t stays at its beginning). */
static int next_member(struct text *t, long tail, const uint8_t **key, uint32_t *len, uint64_t *v)
{
    while (t->at < t->end) {
        const uint8_t *open = memchr(t->at, '"', (size_t)(t->end - t->at));
        if (!open)
            break;
        t->at = open;
        const uint8_t *close = memchr(open + 1, '"', (size_t)(t->end - open - 1));
        if (!close || t->end - close < tail)
            return -1;
        struct text value = {close + 1, t->end};
        t->at = close + 1;
        text_blanks(&value);
        if (!text_char(&value, ':') || !json_number(&value, v))
            continue;
        t->at = value.at;
        *key = open + 1;
        *len = (uint32_t)(close - open - 1);
        return 1;
    }
    t->at = t->end;
    return 0;
}

static bool json_sniff(const uint8_t *p, uint64_t n)
{
    return n > 0 && (*p == '[' || *p == '{') && memmem(p, n, "\"snapshots\"", 11) && memmem(p, n, "\"target_id\"", 11);
}

/* True if the last character that is no blank closes a list or an object. */
static bool json_closed(const uint8_t *p, uint64_t n)
{
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\n'))
        n--;
    return n == 0 || p[n - 1] == ']' || p[n - 1] == '}';
}

/* Reads members until out has room for no more, or the stream ends. */
static int json_read(struct trace_reader *r, struct trace_rec *out, uint32_t max, struct diag *d)
{
    enum { WINDOW = 65536, TAIL = 64 }; /* a number and what is around it fit the tail */
    struct trace_place at;
    uint32_t n = 0;
    while (r->pending_at < r->n_pending && n < max)
        out[n++] = r->pending[r->pending_at++];
    while (n < max) {
        uint64_t have = stream_fill(r->s, WINDOW);
        if (have < WINDOW && stream_status(r->s, d))
            return n ? (int)n : -1;
        if (have == 0)
            return (int)n;
        struct text t = {r->s->at, r->s->at + have};
        const uint8_t *key = NULL;
        uint32_t len = 0;
        uint64_t v = 0;
        int rc = next_member(&t, have < WINDOW ? 1 : TAIL, &key, &len, &v);
        if (rc < 0 && t.at == r->s->at)
            return n ? (int)n : fail(d, "%s: found a string without end", trace_at(r, r->s->offset, &at));
        if (rc == 0 && have < WINDOW && !json_closed(r->s->at, have))
            return n ? (int)n
                     : fail(d, "%s: truncated: expected ']' or '}' at the end", trace_at(r, r->s->offset + have, &at));
        const char *why = NULL;
        r->n_pending = r->pending_at = 0;
        int k = rc > 0 ? json_member(r->state, (const char *)key, len, v, r->pending, &why) : 0;
        if (k < 0)
            return n ? (int)n : fail(d, "%s: expected %s", trace_at(r, r->s->offset, &at), why);
        stream_take(r->s, (uint64_t)(t.at - r->s->at));
        r->n_pending = (uint32_t)k;
        while (r->pending_at < r->n_pending && n < max)
            out[n++] = r->pending[r->pending_at++];
    }
    return (int)n;
}

const struct trace_format trace_format_damo = {
    .desc = {"damo", "damo's recorded snapshots as JSON", true, false},
    .sniff = json_sniff,
    .open = damon_open,
    .read = json_read,
    .has_time = true,
};

/* SPDX-License-Identifier: MIT */
/* Comma-separated values with named columns. Which column is what comes from the option columns, "FIELD=COLUMN,...",
 * COLUMN a name in the first line or a number from 1; without the option the first line must use the fields' own names.
 * Separators are commas, semicolons or tabs, whichever the first line has. */
#include "sim/trace/reader.h"
#include "sim/trace/text.h"

#include <stdlib.h>
#include <string.h>

enum field {
    F_ID,
    F_ADDR,
    F_LBA,
    F_BYTES,
    F_OP,
    F_TIME_S,
    F_TIME_MS,
    F_TIME_US,
    F_TIME_NS,
    F_INSTRS,
    F_VCPU,
    F_DISK,
    N_FIELDS
};

static const char *const field_names[N_FIELDS] = {
    [F_ID] = "id",           [F_ADDR] = "addr",     [F_LBA] = "lba",         [F_BYTES] = "bytes",
    [F_OP] = "op",           [F_TIME_S] = "time_s", [F_TIME_MS] = "time_ms", [F_TIME_US] = "time_us",
    [F_TIME_NS] = "time_ns", [F_INSTRS] = "instrs", [F_VCPU] = "vcpu",       [F_DISK] = "disk",
};

struct csv_state {
    uint16_t column[N_FIELDS]; /* number from 1; 0 = absent */
    uint16_t most;             /* highest column in use */
    char separator;
};

static int field_of(const char *name, size_t n)
{
    for (int f = 0; f < N_FIELDS; f++) {
        if (strlen(field_names[f]) == n && memcmp(field_names[f], name, n) == 0)
            return f;
    }
    return -1;
}

/* The number of the column named so in the first line; 0 if there is none. */
static uint16_t column_named(const struct csv_state *s, const uint8_t *line, uint32_t len, const char *name, size_t n)
{
    uint16_t column = 1;
    const uint8_t *p = line, *end = line + len;
    while (p <= end) {
        const uint8_t *stop = memchr(p, s->separator, (size_t)(end - p));
        if (!stop)
            stop = end;
        size_t width = (size_t)(stop - p);
        if (width >= 2 && *p == '"' && stop[-1] == '"')
            p++, width -= 2;
        if (width == n && memcmp(p, name, n) == 0)
            return column;
        p = stop + 1;
        column++;
    }
    return 0;
}

static int use_column(struct csv_state *s, int f, uint64_t column)
{
    if (column == 0 || column > 1000 || s->column[f])
        return -1;
    s->column[f] = (uint16_t)column;
    if (column > s->most)
        s->most = (uint16_t)column;
    return 0;
}

/* One "FIELD=COLUMN". Sets *by_name if the first line was needed. */
static int parse_item(struct csv_state *s, const char *item, size_t n, const uint8_t *line, uint32_t len, bool *by_name)
{
    const char *eq = memchr(item, '=', n);
    int f = eq ? field_of(item, (size_t)(eq - item)) : -1;
    if (f < 0)
        return -1;
    struct text t = {(const uint8_t *)eq + 1, (const uint8_t *)item + n};
    uint64_t column;
    if (text_dec(&t, &column) && text_done(&t))
        return use_column(s, f, column);
    *by_name = true;
    return use_column(s, f, column_named(s, line, len, eq + 1, n - (size_t)(eq + 1 - item)));
}

static int parse_columns(struct trace_reader *r, const uint8_t *line, uint32_t len, bool *by_name, struct diag *d)
{
    struct csv_state *s = r->state;
    for (const char *p = r->opt.columns; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        size_t n = strcspn(p, ",");
        if (parse_item(s, p, n, line, len, by_name) != 0)
            return fail(
                d,
                "%s: columns: found '%.*s', expected FIELD=COLUMN with FIELD one of id, addr, lba, bytes, op, "
                "time_s, time_ms, time_us, time_ns, instrs, vcpu, disk and COLUMN in the first line or a number",
                r->s->name, (int)n, p);
    }
    return 0;
}

static char separator_of(const uint8_t *line, uint32_t len)
{
    static const char separators[] = ",;\t";
    for (int i = 0; i < 3; i++) {
        if (memchr(line, separators[i], len))
            return separators[i];
    }
    return ',';
}

static int csv_open(struct trace_reader *r, struct diag *d)
{
    struct csv_state *s = r->state = xcalloc(1, sizeof *s);
    uint64_t have = stream_fill(r->s, TRACE_MAX_LINE);
    if (have == 0)
        return stream_status(r->s, d);
    const uint8_t *nl = memchr(r->s->at, '\n', have);
    uint32_t len = (uint32_t)(nl ? (uint64_t)(nl - r->s->at) : have), text = len;
    if (text > 0 && r->s->at[text - 1] == '\r')
        text--;
    bool by_name = false;
    s->separator = separator_of(r->s->at, text);
    if (r->opt.columns && parse_columns(r, r->s->at, text, &by_name, d) != 0)
        return -1;
    for (int f = 0; f < N_FIELDS && !r->opt.columns; f++) {
        uint16_t c = column_named(s, r->s->at, text, field_names[f], strlen(field_names[f]));
        if (c)
            use_column(s, f, c);
        by_name = true;
    }
    if (!s->column[F_ID] && !s->column[F_ADDR] && !s->column[F_LBA])
        return fail(d, "%s:1: found no column for id, addr or lba; name one with columns, e.g. id=2,time_s=1",
                    r->s->name);
    r->info.has_time = s->column[F_TIME_S] || s->column[F_TIME_MS] || s->column[F_TIME_US] || s->column[F_TIME_NS];
    r->info.n_vcpus = s->column[F_VCPU] ? QTR_MAX_VCPUS : 1;
    if (by_name) {
        stream_take(r->s, len + (nl != NULL));
        r->line = 1;
    }
    return 0;
}

/* A number: decimal, 0x, or decimal with a fraction, of which scale's digits are kept. */
static bool number(const uint8_t *p, const uint8_t *end, uint64_t scale, uint64_t *v)
{
    struct text t = {p, end};
    uint64_t whole, unit = scale;
    text_blanks(&t);
    if (end - t.at > 2 && t.at[0] == '0' && (t.at[1] | 0x20) == 'x')
        return text_0x(&t, v) && (text_blanks(&t), text_done(&t));
    if (!text_dec(&t, &whole) || whole > UINT64_MAX / scale)
        return false;
    *v = whole * scale;
    if (text_char(&t, '.')) {
        for (; t.at < end && (uint8_t)(*t.at - '0') < 10; t.at++) {
            unit /= 10;
            *v += unit * (uint64_t)(*t.at - '0');
        }
    }
    text_blanks(&t);
    return text_done(&t);
}

/* Writes begin with w, s (set, store) or p (put); everything else reads. */
static bool is_write(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '"'))
        p++;
    uint8_t c = p < end ? *p | 0x20 : 0;
    return c == 'w' || c == 's' || c == 'p';
}

/* Finds where the first columns are: cell[c] .. cell[c + 1] - 1. Number of columns found. */
static uint32_t split(const struct csv_state *s, const uint8_t *p, uint32_t n, const uint8_t **cell)
{
    uint32_t k = 0;
    const uint8_t *end = p + n;
    while (k < s->most) {
        const uint8_t *stop = memchr(p, s->separator, (size_t)(end - p));
        cell[k++] = p;
        p = stop ? stop + 1 : end + 1;
        if (!stop)
            break;
    }
    cell[k] = p;
    return k;
}

/* Field f's value; true and 0 if there is no column for it. */
static bool get(const struct csv_state *s, const uint8_t **cell, int f, uint64_t scale, uint64_t most, uint64_t *v)
{
    uint16_t c = s->column[f];
    *v = 0;
    return c == 0 || (number(cell[c - 1], cell[c] - 1, scale, v) && *v <= most);
}

static bool get_time(const struct csv_state *s, const uint8_t **cell, uint64_t *time_ns)
{
    static const uint64_t scale[] = {1000000000, 1000000, 1000, 1};
    *time_ns = 0;
    for (int i = 0; i < 4; i++) {
        if (s->column[F_TIME_S + i])
            return get(s, cell, F_TIME_S + i, scale[i], UINT64_MAX, time_ns);
    }
    return true;
}

static int csv_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    const struct csv_state *s = r->state;
    const uint8_t *cell[1001];
    uint64_t addr, bytes, time_ns, instrs, vcpu, disk;
    if (n == 0 || *p == '#')
        return 0;
    int where = s->column[F_ID] ? F_ID : s->column[F_LBA] ? F_LBA : F_ADDR;
    if (split(s, p, n, cell) < s->most || !get(s, cell, where, 1, UINT64_MAX, &addr) ||
        !get(s, cell, F_BYTES, 1, UINT32_MAX, &bytes) || !get_time(s, cell, &time_ns) ||
        !get(s, cell, F_INSTRS, 1, UINT32_MAX, &instrs) || !get(s, cell, F_VCPU, 1, QTR_MAX_VCPUS - 1, &vcpu) ||
        !get(s, cell, F_DISK, 1, UINT16_MAX, &disk) || (where == F_LBA && addr >> 55)) {
        *why = "numbers in the columns named";
        return -1;
    }
    uint16_t op = s->column[F_OP];
    bool write = op && is_write(cell[op - 1], cell[op] - 1);
    *out = (struct trace_rec){.addr = addr, .time_ns = time_ns, .vcpu = (uint8_t)vcpu};
    if (where == F_ADDR) {
        out->kind = write ? TRACE_WRITE : TRACE_READ;
        out->size = bytes > UINT16_MAX ? UINT16_MAX : (uint16_t)bytes;
        out->arg = (uint32_t)instrs;
        return 1;
    }
    out->arg = (uint32_t)bytes;
    out->kind = where == F_ID ? (write ? TRACE_OBJECT_WRITE : TRACE_OBJECT_READ)
                              : (write ? TRACE_BLOCK_WRITE : TRACE_BLOCK_READ);
    if (where == F_LBA) {
        out->addr = addr * 512;
        out->size = (uint16_t)disk;
    }
    return 1;
}

const struct trace_format trace_format_csv = {
    .desc = {"csv", "comma-separated values; columns say which is what", false, false},
    .open = csv_open,
    .convert = csv_convert,
};

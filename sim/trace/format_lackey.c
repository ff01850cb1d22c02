/* SPDX-License-Identifier: MIT */
/* The text of `valgrind --tool=lackey --trace-mem=yes`: "I  addr,size", " L addr,size", " S addr,size", " M addr,size",
 * hexadecimal address, decimal size; lines of valgrind itself begin with "==". */
#include "sim/trace/reader.h"
#include "sim/trace/text.h"
#include "sim/trace/writer.h"

#include <string.h>

/* The kind that a line's first three characters name, or -1. */
static int kind_of(const uint8_t *p, uint32_t n)
{
    if (n < 4 || p[2] != ' ')
        return -1;
    if (p[0] == 'I' && p[1] == ' ')
        return TRACE_EXEC;
    if (p[0] != ' ')
        return -1;
    return p[1] == 'L' ? TRACE_READ : p[1] == 'S' ? TRACE_WRITE : p[1] == 'M' ? TRACE_MODIFY : -1;
}

static int lackey_convert(struct trace_reader *r, const uint8_t *p, uint32_t n, struct trace_rec *out, const char **why)
{
    (void)r;
    if (n == 0 || (n >= 2 && p[0] == '=' && p[1] == '='))
        return 0;
    struct text t = {p + 3, p + n};
    int kind = kind_of(p, n);
    uint64_t addr, size;
    if (kind < 0 || !text_hex(&t, &addr) || !text_char(&t, ',') || !text_dec(&t, &size) || !text_done(&t) ||
        size == 0 || size > UINT16_MAX) {
        *why = "'I  ADDR,SIZE' or ' L ', ' S ', ' M ' with hexadecimal ADDR and SIZE 1 to 65535";
        return -1;
    }
    *out = (struct trace_rec){.addr = addr, .size = (uint16_t)size, .kind = (uint8_t)kind};
    return 1;
}

/* The first line that is not valgrind's own must be an access. */
static bool lackey_sniff(const uint8_t *p, uint64_t n)
{
    const uint8_t *end = p + n;
    while (p < end) {
        const uint8_t *nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl)
            return false;
        uint32_t len = (uint32_t)(nl - p);
        struct trace_rec out;
        const char *why;
        int k = lackey_convert(NULL, p, len, &out, &why);
        if (k != 0)
            return k > 0;
        p = nl + 1;
    }
    return false;
}

const struct trace_format trace_format_lackey = {
    .desc = {"lackey", "text of valgrind's lackey with --trace-mem=yes", true, true},
    .sniff = lackey_sniff,
    .convert = lackey_convert,
};

static int lackey_write(struct trace_writer *w, const struct trace_rec *recs, uint32_t n, struct diag *d)
{
    static const char prefix[][4] = {[TRACE_READ] = " L ",
                                     [TRACE_WRITE] = " S ",
                                     [TRACE_EXEC] = "I  ",
                                     [TRACE_MODIFY] = " M ",
                                     [TRACE_NTSTORE] = " S "};
    for (uint32_t i = 0; i < n; i++) {
        if (!trace_is_access(recs[i].kind)) {
            w->n_dropped++;
            continue;
        }
        char line[48];
        char *p = stpcpy(line, prefix[recs[i].kind]);
        p = text_put_hex(p, recs[i].addr, 8);
        *p++ = ',';
        p = text_put_dec(p, recs[i].size ? recs[i].size : 1);
        *p++ = '\n';
        if (outstream_write(w->out, line, (uint64_t)(p - line), d) != 0)
            return -1;
    }
    return 0;
}

const struct trace_sink trace_sink_lackey = {.name = "lackey", .write = lackey_write};

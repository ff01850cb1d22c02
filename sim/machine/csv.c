/* SPDX-License-Identifier: MIT */
#include "sim/machine/csv.h"

#include "sim/base/diag.h"

#include <string.h>

void csv_put(FILE *f, const char *s, bool first)
{
    if (!first)
        fputc(',', f);
    if (!s[strcspn(s, ",\"\n\r")]) {
        fputs(s, f);
        return;
    }
    fputc('"', f);
    for (; *s; s++)
        fputs(*s == '"' ? "\"\"" : (char[]){*s, 0}, f);
    fputc('"', f);
}

/* The field at *p, unquoted in place; *p moves to the character after it (',', '\n' or 0), returned in *stop. */
static char *csv_field(char **p, char *stop)
{
    char *start = *p, *from = start, *to = start;
    if (*from == '"') {
        for (from++; *from && !(from[0] == '"' && from[1] != '"'); from++) {
            from += *from == '"';
            *to++ = *from;
        }
        from += *from == '"';
    } else {
        from += strcspn(from, ",\n");
        to = from;
    }
    *stop = *from;
    *to = 0;
    *p = from + (*stop != 0);
    return start;
}

char **csv_line(char **p, uint32_t *n)
{
    char **list = NULL, stop = ',';
    uint32_t cap = 0;
    for (*n = 0; stop == ',';) {
        if (*n == cap)
            list = xrealloc(list, (cap = cap ? 2 * cap : 64) * sizeof *list);
        list[(*n)++] = csv_field(p, &stop);
    }
    return list;
}

/* SPDX-License-Identifier: MIT */
/* Pictures of validation: simulated curves over published ones. */
#include "sim/machine/validate.h"

#include "sim/base/outfile.h"
#include "sim/machine/csv.h"
#include "sim/machine/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct picture {
    const char *name, *xlabel, *ylabel;
    bool logx, logy;
} pictures[] = {
    {"dram-threads", "threads", "bandwidth (GB/s)", false, false},
    {"dram-loaded", "bandwidth (GB/s)", "load latency (ns)", false, false},
    {"cxl-loaded", "bandwidth (GB/s)", "load latency (ns)", false, false},
    {"pmem-region-read", "region (bytes)", "chase after write (ns a line)", true, false},
    {"pmem-region-write", "region (bytes)", "ntstore and fence (ns a line)", true, false},
    {"pmem-amplification", "region (bytes)", "write amplification", true, false},
    {"pmem-threads-one", "threads", "bandwidth, one module (GB/s)", false, false},
    {"pmem-threads-six", "threads", "bandwidth, six modules (GB/s)", false, false},
    {"pmem-sizes-one", "access size (bytes)", "bandwidth, one module (GB/s)", true, false},
    {"pmem-sizes-six", "access size (bytes)", "bandwidth, six modules (GB/s)", true, false},
    {"persist-size", "size (bytes)", "latency (ns)", true, true},
    {"flush-bandwidth", "bytes between fences", "bandwidth, six modules (GB/s)", true, false},
    {"fence-interval", "bytes between fences", "bandwidth, one module (GB/s)", true, false},
    {"pmem-tail", "hot region (bytes)", "99.999 % write latency (µs)", true, true},
};

/* ---- published tables ---- */

static char *read_file(const char *path, struct diag *d)
{
    FILE *f = fopen(path, "r");
    char *text = xcalloc(1, 65536);
    size_t n = f ? fread(text, 1, 65535, f) : 0;
    if (!f || ferror(f) || !feof(f)) {
        fail(d, "%s: cannot be read: %s", path, f && !ferror(f) ? "larger than 64 KiB" : strerror(errno));
        free(text);
        text = NULL;
    }
    if (f)
        fclose(f);
    if (text)
        text[n] = 0;
    return text;
}

/* Writes column `line` of a published table as "x y" lines. -1 if the table has no such column. */
static int put_published(FILE *f, const char *text, const char *line)
{
    char *copy = xstrdup(text), *at = copy;
    int col = -1;
    while (*at) {
        uint32_t n;
        if (*at == '#') {
            at += strcspn(at, "\n");
            at += *at == '\n';
            continue;
        }
        char **field = csv_line(&at, &n);
        if (col < 0) {
            for (uint32_t i = 1; i < n && col < 0; i++)
                col = strcmp(field[i], line) == 0 ? (int)i : -1;
            if (col < 0)
                at += strlen(at);
        } else if ((uint32_t)col < n) {
            fprintf(f, "%s %s\n", field[0], field[col]);
        }
        free(field);
    }
    free(copy);
    return col < 0 ? -1 : 0;
}

/* ---- data and script ---- */

static void put_curve(FILE *f, const struct validate_curve *c)
{
    fprintf(f, "# %s, simulated\n", c->line);
    for (uint32_t i = 0; i < c->n; i++)
        fprintf(f, "%.9g %.9g\n", c->x[i], c->y[i]);
    fputs("\n\n", f);
}

static int write_data(const struct validate *v, const struct picture *p, const char *table, const char *path,
                      struct diag *d)
{
    struct outfile o;
    int bad = 0;
    if (out_open(&o, path, d))
        return -1;
    for (uint32_t i = 0; i < v->n_curves && !bad; i++) {
        const struct validate_curve *c = &v->curve[i];
        if (strcmp(c->plot, p->name) != 0)
            continue;
        put_curve(o.f, c);
        if (c->is_alone)
            continue;
        fprintf(o.f, "# %s, published\n", c->line);
        if (put_published(o.f, table, c->line))
            bad = fail(d, "results/hardware/%s.csv: no column \"%s\"", p->name, c->line);
        fputs("\n\n", o.f);
    }
    if (bad)
        out_abort(&o);
    return bad ? bad : out_commit(&o, d);
}

/* Colour and mark say which curve, dashes that it is the published one. */
static void put_lines(FILE *f, const struct validate *v, const struct picture *p)
{
    uint32_t n = 0, block = 0;
    fputs("plot ", f);
    for (uint32_t i = 0; i < v->n_curves; i++) {
        if (strcmp(v->curve[i].plot, p->name) != 0)
            continue;
        fprintf(f, "%s'%s.dat' index %u using 1:2 with linespoints ls %u dt solid title \"%s\" noenhanced",
                n ? ", \\\n     " : "", p->name, block++, n + 1, v->curve[i].line);
        if (!v->curve[i].is_alone)
            fprintf(f, ", \\\n     '%s.dat' index %u using 1:2 with lines lc rgb colour[%u] lw 1 dt (8,5) notitle",
                    p->name, block++, n + 1);
        n++;
    }
    fputs(", \\\n     NaN with lines lc rgb '#555555' lw 1 dt (8,5) title \"published\"\n", f);
}

static int write_script(const struct validate *v, const struct picture *p, const char *style, const char *path,
                        struct diag *d)
{
    struct outfile o;
    if (out_open(&o, path, d))
        return -1;
    fprintf(o.f, "# Draws %s.svg and %s.png from %s.dat.\n%s\n", p->name, p->name, p->name, style);
    fprintf(o.f, "set xlabel \"%s\" noenhanced\nset ylabel \"%s\" noenhanced\nset key maxcols 2\n", p->xlabel,
            p->ylabel);
    fputs(p->logx ? "set logscale x 2\nset format x \"2^{%L}\"\n" : "", o.f);
    fputs(p->logy ? "set logscale y\n" : "set yrange [0:*]\n", o.f);
    fputs("set terminal svg size 434,330 font 'DejaVu Sans,10' background rgb 'white'\n", o.f);
    fprintf(o.f, "set output '%s.svg'\n", p->name);
    put_lines(o.f, v, p);
    fprintf(o.f,
            "set terminal pngcairo size 1004,732 font 'DejaVu Sans,8' fontscale 2.4 linewidth 2 pointscale 2\n"
            "set output '%s.png'\nreplot\n",
            p->name);
    return out_commit(&o, d);
}

static bool was_measured(const struct validate *v, const char *plot)
{
    for (uint32_t i = 0; i < v->n_curves; i++)
        if (strcmp(v->curve[i].plot, plot) == 0)
            return true;
    return false;
}

static int draw_one(const struct validate *v, const struct picture *p, const char *table_dir, const char *style,
                    const char *dir, struct diag *d)
{
    char *path = xasprintf("%s/%s.csv", table_dir, p->name), *table = read_file(path, d);
    char *dat = xasprintf("%s/%s.dat", dir, p->name), *gp = xasprintf("%s/%s.gp", dir, p->name);
    char *script = xasprintf("%s.gp", p->name);
    int bad =
        !table || write_data(v, p, table, dat, d) || write_script(v, p, style, gp, d) || report_gnuplot(dir, script, d);
    free(path);
    free(table);
    free(dat);
    free(gp);
    free(script);
    return bad ? -1 : 0;
}

int validate_draw(const struct validate *v, const char *table_dir, const char *style_file, const char *dir,
                  struct diag *d)
{
    char *style = read_file(style_file, d);
    int bad = !style || out_mkdirs(dir, d);
    for (size_t i = 0; i < N_ELEMS(pictures) && !bad; i++)
        if (was_measured(v, pictures[i].name))
            bad = draw_one(v, &pictures[i], table_dir, style, dir, d);
    free(style);
    return bad ? -1 : 0;
}

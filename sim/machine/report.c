/* SPDX-License-Identifier: MIT */
#include "sim/machine/report.h"

#include "sim/base/outfile.h"
#include "sim/base/types.h"
#include "sim/machine/expect.h"
#include "sim/machine/plot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- files ---- */

static int write_file(const char *dir, const char *name, const char *text, struct diag *d)
{
    char *path = xasprintf("%s/%s", dir, name), *tmp = xasprintf("%s.tmp", path);
    FILE *f = fopen(tmp, "w");
    int bad = !f || fputs(text, f) < 0 || fflush(f) || fsync(fileno(f));
    if (f)
        bad |= fclose(f) != 0;
    if (bad || rename(tmp, path)) {
        bad = fail(d, "%s: cannot be written: %s", path, strerror(errno));
        unlink(tmp);
    }
    free(path);
    free(tmp);
    return bad ? -1 : 0;
}

int report_gnuplot(const char *dir, const char *script, struct diag *d)
{
    pid_t pid = fork();
    if (pid < 0)
        return fail(d, "gnuplot: cannot be started: %s", strerror(errno));
    if (pid == 0) {
        setenv("LC_ALL", "C.UTF-8", 1); /* labels hold UTF-8 */
        if (chdir(dir) == 0)
            execlp("gnuplot", "gnuplot", "-d", script, (char *)NULL); /* -d: no settings of the user's own */
        _exit(127);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return fail(d, "gnuplot not found (Debian package gnuplot-nox)");
    return status ? fail(d, "gnuplot failed on %s/%s", dir, script) : 0;
}

/* ---- pictures ---- */

/* A point on the level between its neighbours changes nothing that is drawn (but x = 0 is not on a logarithmic axis).
 */
static bool is_on_level(const struct plot_line *l, uint32_t k)
{
    if (l->n <= 24 || k == 0 || k + 1 == l->n)
        return false;
    const struct plot_point *p = &l->point[k];
    return p[-1].x > 0 && p[-1].mid == p->mid && p[1].mid == p->mid && p->low == p->mid && p->high == p->mid;
}

/* One block a line: x, median, smallest, largest. */
static char *data_text(const struct plot_data *p)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    for (uint32_t i = 0; i < p->n; i++) {
        fprintf(f, "# %s\n", p->line[i].name);
        for (uint32_t k = 0; k < p->line[i].n; k++) {
            const struct plot_point *x = &p->line[i].point[k];
            if (!is_on_level(&p->line[i], k))
                fprintf(f, "%.9g %.9g %.9g %.9g\n", x->x, x->mid, x->low, x->high);
        }
        fputs("\n\n", f);
    }
    fclose(f);
    return text;
}

/* A text inside gnuplot's double quotes, with its own escapes switched off by `noenhanced`. */
static void quoted(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fputc('\\', f);
        fputc(*s, f);
    }
    fputc('"', f);
}

static void label(FILE *f, const char *axis, const char *text)
{
    fprintf(f, "set %slabel ", axis);
    quoted(f, text);
    fputs(" noenhanced\n", f);
}

/* The sweep's values stand at 0, 1, 2, ... because they are words. */
static bool is_categories(const struct plot_data *p)
{
    for (uint32_t i = 0; i < p->n_ticks; i++)
        if (p->tick_at[i] != i)
            return false;
    return p->n_ticks > 0;
}

static void ticks(FILE *f, const struct plot *plot, const struct plot_data *p)
{
    if (!p->n_ticks)
        return;
    fputs("set xtics (", f);
    for (uint32_t i = 0; i < p->n_ticks; i++) {
        fputs(i ? ", " : "", f);
        quoted(f, p->tick[i]);
        fprintf(f, " %.17g", p->tick_at[i]);
    }
    fputs(") noenhanced\n", f);
    double last = p->tick_at[p->n_ticks - 1], first = p->tick_at[0], room = 0.06 * (last - first);
    if (plot->logx && first > 0)
        fprintf(f, "set xrange [%.9g:%.9g]\n", first / 1.2, last * 1.2);
    else if (plot->kind == PLOT_BARS || is_categories(p))
        fprintf(f, "set xrange [-0.5:%.9g]\n", last + 0.5);
    else
        fprintf(f, "set xrange [%.9g:%.9g]\n", first - room, last + room);
}

/* Bars of one value of the sweep stand side by side. Their error bars are vectors: gnuplot's own blank out what is
 * around a point. */
static void bars(FILE *f, const char *name, const struct plot_data *p)
{
    double width = 0.8 / p->n;
    fprintf(f, "set boxwidth %.6g\nset style fill solid 0.85 noborder\n", width * 0.92);
    for (uint32_t i = 0; i < p->n; i++) {
        double shift = (i + 0.5) * width - 0.4;
        fprintf(f, "%s '%s.dat' index %u using ($1+%.6g):2 with boxes lc rgb colour[%u] ", i ? ", \\\n    " : "plot ",
                name, i, shift, i % 8 + 1);
        fputs(p->n > 1 ? "title " : "no", f);
        if (p->n > 1)
            quoted(f, p->line[i].name);
        fputs(p->n > 1 ? " noenhanced" : "title", f);
        if (p->has_bars)
            fprintf(
                f,
                ", \\\n     '%s.dat' index %u using ($1+%.6g):3:(0):($4-$3) with vectors heads size screen 0.008,90 lc "
                "rgb '#333333' lw 1.2 notitle",
                name, i, shift);
    }
    fputc('\n', f);
}

static void curves(FILE *f, const char *name, const struct plot *plot, const struct plot_data *p)
{
    if (plot->kind == PLOT_BARS) {
        bars(f, name, p);
        return;
    }
    fputs("plot ", f);
    /* Arrows with flat heads: gnuplot's own error bars would leave a white ring round each point. */
    for (uint32_t i = 0; p->has_bars && i < p->n; i++)
        fprintf(f,
                "'%s.dat' index %u using 1:3:(0):($4-$3) with vectors heads size graph 0.008,90 ls %u dt solid "
                "notitle, \\\n    ",
                name, i, i % 8 + 1);
    for (uint32_t i = 0; i < p->n; i++) {
        bool dense = p->line[i].n > 24;
        const char *with = plot->kind == PLOT_SCATTER ? "points" : dense ? "lines" : "linespoints";
        fprintf(f, "%s'%s.dat' index %u using 1:2 with %s ls %u ", i ? ", \\\n    " : "", name, i, with, i % 8 + 1);
        if (p->line[i].name[0] && p->n > 1) {
            fputs("title ", f);
            quoted(f, p->line[i].name);
            fputs(" noenhanced", f);
        } else {
            fputs("notitle", f);
        }
    }
    fputc('\n', f);
}

/* As many names side by side as the width of a column of a paper surely holds. */
static void legend(FILE *f, const struct plot *plot, const struct plot_data *p)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        size_t n = strlen(p->line[i].name);
        longest = n > longest ? n : longest;
    }
    uint32_t cols = longest > 26 ? 1 : longest > 12 ? 2 : 3;
    /* gnuplot reserves more room for a long name than it needs, and would cut the last one. */
    fprintf(f, "set key maxcols %u maxrows %u width %d\n", plot->is_wide ? 2 * cols : cols, (p->n + cols - 1) / cols,
            longest > 16 ? -3 : 0);
}

static char *script_text(const char *name, const char *style, const struct plot *plot, const struct plot_data *p)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    double cm = plot->is_wide ? 17 : 8.5, high = plot->is_wide ? 7 : 6.2;
    fprintf(f, "# Draws %s.svg and %s.png from %s.dat.\n%s\n", name, name, name, style);
    label(f, "x", p->xlabel);
    label(f, "y", p->ylabel);
    ticks(f, plot, p);
    legend(f, plot, p);
    if (plot->logx)
        fputs("set logscale x\n", f);
    if (plot->logy)
        fputs("set logscale y\n", f);
    if (plot->xmax[0])
        fprintf(f, "set xrange [*:%s]\n", plot->xmax);
    fprintf(f, "set yrange [%s:%s]\n", plot->ymin[0] ? plot->ymin : "*", plot->ymax[0] ? plot->ymax : "*");
    fprintf(f, "set terminal svg size %.0f,%.0f font 'DejaVu Sans,10' background rgb 'white'\nset output '%s.svg'\n",
            cm * 96 / 2.54 * 1.35, high * 96 / 2.54 * 1.35, name);
    curves(f, name, plot, p);
    fprintf(f,
            "set terminal pngcairo size %.0f,%.0f font 'DejaVu Sans,8' fontscale 2.4 linewidth 2 pointscale 2\nset "
            "output '%s.png'\nreplot\n",
            cm * 300 / 2.54, high * 300 / 2.54, name);
    fclose(f);
    return text;
}

static int draw(const struct study *s, const struct grid *g, const struct conf_section *sec, const char *results,
                const char *out, const char *style, struct diag *d)
{
    struct plot plot;
    struct plot_data data = {0};
    plot_read(sec, &plot);
    if (plot_collect(&plot, s, g, results, &data, d))
        return -1;
    char *name = xasprintf("%s%s%s", s->name, s->name[0] ? "-" : "", plot.name);
    char *dat = xasprintf("%s.dat", name), *gp = xasprintf("%s.gp", name);
    char *rows = data_text(&data), *script = script_text(name, style, &plot, &data);
    int bad = write_file(out, dat, rows, d) || write_file(out, gp, script, d) || report_gnuplot(out, gp, d);
    free(rows);
    free(script);
    free(dat);
    free(gp);
    free(name);
    plot_data_free(&data);
    return bad;
}

/* ---- the page ---- */

static void escaped(FILE *f, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        default:
            fputc(*s, f);
        }
}

static void page_verdicts(FILE *f, const struct verdicts *v, const char *study)
{
    bool open = false;
    for (uint32_t i = 0; i < v->n; i++) {
        const struct verdict *x = &v->item[i];
        if (strcmp(x->study, study) != 0)
            continue;
        if (!open)
            fputs("<table><tr><th>verdict</th><th>expected</th><th>found</th></tr>\n", f);
        open = true;
        fprintf(f, "<tr><td class=\"%s\">%s</td><td>", verdict_words[x->word], verdict_words[x->word]);
        escaped(f, x->what);
        fputs("</td><td>", f);
        escaped(f, x->detail);
        fputs("</td></tr>\n", f);
    }
    if (open)
        fputs("</table>\n", f);
}

/* The picture itself, so that the page is one file. */
static void page_image(FILE *f, const char *out, const char *name, const char *alt)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *path = xasprintf("%s/%s.svg", out, name);
    size_t len = 0;
    unsigned char *svg = (unsigned char *)read_whole(path, &len, NULL);
    fputs("<img src=\"data:image/svg+xml;base64,", f);
    for (size_t i = 0; svg && i < len; i += 3) {
        uint32_t v =
            (uint32_t)svg[i] << 16 | (i + 1 < len ? (uint32_t)svg[i + 1] << 8 : 0) | (i + 2 < len ? svg[i + 2] : 0);
        fputc(digits[v >> 18], f);
        fputc(digits[v >> 12 & 63], f);
        fputc(i + 1 < len ? digits[v >> 6 & 63] : '=', f);
        fputc(i + 2 < len ? digits[v & 63] : '=', f);
    }
    fputs("\" alt=\"", f);
    escaped(f, alt);
    fputs("\">", f);
    free(svg);
    free(path);
}

static void page_plots(FILE *f, const struct study *s, const char *out)
{
    for (const struct conf_section *sec = conf_find(conf_root(s->conf), "plot", NULL); sec; sec = conf_next(sec)) {
        struct plot p;
        plot_read(sec, &p);
        char *name = xasprintf("%s%s%s", s->name, s->name[0] ? "-" : "", p.name);
        fputs("<figure>", f);
        page_image(f, out, name, p.caption);
        fputs("<figcaption>", f);
        if (p.title[0]) {
            fputs("<b>", f);
            escaped(f, p.title);
            fputs(".</b> ", f);
        }
        escaped(f, p.caption);
        fprintf(f, " <a href=\"%s.png\">png</a> <a href=\"%s.dat\">data</a> <a href=\"%s.gp\">script</a>", name, name,
                name);
        fputs("</figcaption></figure>\n", f);
        free(name);
    }
}

/* Marks the column of a key, if the results have it. */
static void mark(const struct grid *g, const char *key, bool *shown)
{
    int col = grid_col(g, key);
    if (col >= 0)
        shown[col] = true;
}

#define TABLE_MAX_ROWS 60u

/* The numbers that the study's plots and expectations speak of, a row a run. */
static void page_table(FILE *f, const struct study *s, const struct grid *g)
{
    static const struct conf_key of_key[] = {{.name = "of", .type = CONF_STRING, .def = ""}, {0}};
    bool *shown = xcalloc(g->n_cols + 1, sizeof *shown);
    const struct conf_section *root = conf_root(s->conf);
    for (const struct conf_section *sec = conf_find(root, "plot", NULL); sec; sec = conf_next(sec)) {
        struct plot p;
        plot_read(sec, &p);
        for (uint32_t i = 0; i < p.y->n; i++)
            mark(g, p.y->item[i], shown);
    }
    for (const struct conf_section *sec = conf_find(root, "expect", NULL); sec; sec = conf_next(sec)) {
        const char *of = "";
        if (conf_bind(sec, of_key, &of, NULL) == 0)
            mark(g, of, shown);
    }
    fputs("<details open><summary>results</summary><table><tr>", f);
    for (uint32_t i = 0; i < g->n_axes + g->n_cols; i++) {
        if (i >= g->n_axes && !shown[i - g->n_axes])
            continue;
        fputs("<th>", f);
        escaped(f, i < g->n_axes ? g->axis[i] : g->col[i - g->n_axes]);
        fputs("</th>", f);
    }
    for (uint32_t r = 0; r < g->n_rows && r < TABLE_MAX_ROWS; r++) {
        fputs("</tr>\n<tr>", f);
        for (uint32_t i = 0; i < g->n_axes + g->n_cols; i++) {
            if (i >= g->n_axes && !shown[i - g->n_axes])
                continue;
            fputs("<td>", f);
            escaped(f, i < g->n_axes ? g->row[r].label[i] : g->row[r].cell[i - g->n_axes]);
            fputs("</td>", f);
        }
    }
    fputs("</tr></table>", f);
    if (g->n_rows > TABLE_MAX_ROWS)
        fprintf(f, "<p>and %u more rows in the results' CSV file</p>", g->n_rows - TABLE_MAX_ROWS);
    fputs("</details>\n", f);
    free(shown);
}

static const char page_head[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>quire report</title><style>\n"
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\n"
    "h1{font-size:1.3em}h2{font-size:1.1em;margin-top:2em}figure{margin:1em 0;display:inline-block;max-width:28em}\n"
    "figcaption{font-size:.85em;color:#555}img{max-width:100%}table{border-collapse:collapse;font-size:.85em}\n"
    "td,th{text-align:left;padding:.2em .8em .2em 0;border-bottom:1px solid #ddd;vertical-align:top}\n"
    ".true{color:#00704f}.false{color:#b03a00;font-weight:bold}@media print{a{display:none}}\n</style></head><body>\n";

static char *page_text(const struct experiment *e, const struct verdicts *v, struct grid *const *g, const char *out)
{
    static const struct conf_key claim_key[] = {{.name = "claim", .type = CONF_STRING, .def = ""}, {0}};
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    fputs(page_head, f);
    fputs("<h1>", f);
    escaped(f, e->claim);
    fprintf(f, "</h1>\n<p>%u of %u expectations hold.</p>\n", v->n - v->n_false - v->n_unjudged, v->n);
    for (uint32_t i = 0; i < e->n_studies; i++) {
        const struct study *s = &e->study[i];
        const char *claim = "";
        struct diag ignored = {0};
        if (s->name[0] && conf_bind(conf_root(s->conf), claim_key, &claim, &ignored) == 0) {
            fputs("<h2>", f);
            escaped(f, claim);
            fputs("</h2>\n", f);
        }
        page_plots(f, s, out);
        page_verdicts(f, v, s->name);
        page_table(f, s, g[i]);
    }
    fputs("<h2>Again</h2><p>The configuration of all runs is <code>experiment.conf</code> beside the results. "
          "<code>quire run experiment.conf --base FOLDER --out AGAIN</code>, with the folder of the original file, "
          "makes the "
          "same bytes with the same build, traces and plugins, which each run's <code>manifest.json</code> names; "
          "<code>quire compare . AGAIN</code> says whether it did.</p></body></html>\n",
          f);
    fclose(f);
    return text;
}

/* ---- all ---- */

static char *read_text(const char *path, struct diag *d)
{
    FILE *f = fopen(path, "r");
    char buf[8192];
    size_t n = f ? fread(buf, 1, sizeof buf - 1, f) : 0;
    if (f)
        fclose(f);
    buf[n] = 0;
    if (n == 0) {
        fail(d, "%s: cannot be read", path);
        return NULL;
    }
    return xstrdup(buf);
}

int report_write(const struct experiment *e, const char *results, const char *out, const char *style_path,
                 struct diag *d)
{
    struct verdicts v = {0};
    char *style = read_text(style_path, d);
    int bad = !style || (mkdir(out, 0777) && errno != EEXIST);
    if (style && bad)
        fail(d, "%s: cannot be made: %s", out, strerror(errno));
    struct grid **grids = xcalloc(e->n_studies + 1, sizeof *grids);
    for (uint32_t i = 0; !bad && i < e->n_studies; i++) {
        const struct study *s = &e->study[i];
        char *table = xasprintf("%s/%s%sresults.csv", results, s->name, s->name[0] ? "-" : "");
        struct grid *g = grids[i] = grid_read(table, s->name, d);
        free(table);
        bad = !g;
        for (const struct conf_section *sec = conf_find(conf_root(s->conf), "plot", NULL); !bad && sec;
             sec = conf_next(sec))
            bad = draw(s, g, sec, results, out, style, d);
        if (!bad)
            expect_judge(s, g, results, &v);
    }
    if (!bad) {
        char *page = page_text(e, &v, grids, out);
        bad = write_file(out, "index.html", page, d);
        free(page);
    }
    for (uint32_t i = 0; i < e->n_studies; i++)
        grid_free(grids[i]);
    free(grids);
    verdicts_free(&v);
    free(style);
    return bad ? -1 : 0;
}

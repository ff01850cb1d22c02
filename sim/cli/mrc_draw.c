/* SPDX-License-Identifier: MIT */
/* quire mrc draw: pictures of the tables that quire mrc writes, by gnuplot. What a table is, its first line says. */
#include "sim/base/outfile.h"
#include "sim/base/types.h"
#include "sim/cli/args.h"
#include "sim/cli/mrc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_TABLES 12

enum table_kind { TABLE_CURVE, TABLE_WSS, TABLE_HEAT, TABLE_NODES };

static const struct {
    const char *head;
    const char *what;
} heads[] = {
    [TABLE_CURVE] = {"size,misses,accesses,miss_ratio", "curve"},
    [TABLE_WSS] = {"window,accesses,distinct,written", "working set"},
    [TABLE_HEAT] = {"window,region,accesses", "heat map"},
    [TABLE_NODES] = {"node,size,misses,accesses,miss_ratio", "curves of nodes"},
};

struct picture {
    FILE *gp; /* gnuplot's input */
    enum table_kind kind;
    bool band[MAX_TABLES]; /* the curve has errors; in its fifth or, after write-backs, sixth column */
    int error_column[MAX_TABLES];
    int n;
    size_t n_regions; /* of a heat map */
    const char *const *path;
    const char *unit;
};

/* The last part of a path without its suffix, for the legend; gnuplot's own characters are replaced. */
static void legend_of(const char *path, char *name, size_t cap)
{
    const char *slash = strrchr(path, '/');
    snprintf(name, cap, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot && dot != name)
        *dot = 0;
    for (char *p = name; *p; p++) {
        if (strchr("\"\\{}^@&~'", *p) || (unsigned char)*p < ' ')
            *p = '-';
    }
}

/* Numbers of regions, ascending and each once when sorted. */
struct regions {
    uint64_t *id;
    size_t n, cap;
};

static int compare_ids(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void regions_sort(struct regions *r)
{
    size_t kept = 0;
    if (r->n)
        qsort(r->id, r->n, sizeof *r->id, compare_ids);
    for (size_t i = 0; i < r->n; i++)
        if (kept == 0 || r->id[i] != r->id[kept - 1])
            r->id[kept++] = r->id[i];
    r->n = kept;
}

/* The next row below the heading: 1, 0 at the end, or -1 after fail(). Only digits, dots and commas pass. */
static int next_row(FILE *f, const char *path, char *line, size_t size, unsigned *number, struct diag *d)
{
    while (fgets(line, (int)size, f)) {
        line[strcspn(line, "\n")] = 0;
        if (++*number == 1)
            continue;
        if (line[strspn(line, "0123456789.,")] || !*line)
            return fail(d, "%s:%u: found '%.60s', expected numbers and commas", path, *number, line);
        return 1;
    }
    return *number < 2 ? fail(d, "%s:%u: found no rows below the heading", path, *number) : 0;
}

/* window,region,accesses */
static bool heat_row(const char *line, uint64_t *window, uint64_t *region, uint64_t *accesses)
{
    return sscanf(line, "%" SCNu64 ",%" SCNu64 ",%" SCNu64, window, region, accesses) == 3;
}

/* Sends a row; of a heat map with the rank of its region, for regions are drawn in order, without the gaps between
 * them (and gnuplot's numbers do not tell large ones apart). */
static int send_row(struct picture *p, const char *path, unsigned number, const char *line, const struct regions *r,
                    struct diag *d)
{
    uint64_t window, region, accesses;
    if (p->kind != TABLE_HEAT)
        return fprintf(p->gp, "%s\n", line) < 0 ? fail(d, "gnuplot ended early") : 0;
    if (!heat_row(line, &window, &region, &accesses))
        return fail(d, "%s:%u: found '%.60s', expected three whole numbers", path, number, line);
    const uint64_t *at = bsearch(&region, r->id, r->n, sizeof *r->id, compare_ids);
    CHECK(at);
    fprintf(p->gp, "%" PRIu64 ",%zu,%" PRIu64 "\n", window, (size_t)(at - r->id) + 1, accesses);
    return 0;
}

/* All regions of a heat map. */
static int read_regions(FILE *f, const char *path, struct regions *r, struct diag *d)
{
    char line[512];
    unsigned number = 0;
    int more;
    uint64_t window, region, accesses;
    while ((more = next_row(f, path, line, sizeof line, &number, d)) > 0) {
        if (!heat_row(line, &window, &region, &accesses))
            return fail(d, "%s:%u: found '%.60s', expected three whole numbers", path, number, line);
        if (r->n == r->cap)
            r->id = xrealloc(r->id, (r->cap = r->cap ? 2 * r->cap : 1024) * sizeof *r->id);
        r->id[r->n++] = region;
    }
    regions_sort(r);
    rewind(f);
    return more;
}

/* Copies a table into gnuplot's data block $tN. */
static int send_table(struct picture *p, int i, struct diag *d)
{
    char line[512];
    unsigned number = 0;
    struct regions r = {0};
    FILE *f = fopen(p->path[i], "re");
    if (!f)
        return fail(d, "%s: cannot open: %s", p->path[i], strerror(errno));
    int rc = p->kind == TABLE_HEAT ? read_regions(f, p->path[i], &r, d) : 0, more = 1;
    fprintf(p->gp, "$t%d << EOD\n", i);
    while (rc == 0 && (more = next_row(f, p->path[i], line, sizeof line, &number, d)) > 0)
        rc = send_row(p, p->path[i], number, line, &r, d);
    fclose(f);
    fputs("EOD\n", p->gp);
    p->n_regions = r.n;
    free(r.id);
    return rc ? rc : more;
}

/* Which table it is, from its first line. */
static int look(struct picture *p, int i, struct diag *d)
{
    char line[256] = "";
    FILE *f = fopen(p->path[i], "re");
    if (!f)
        return fail(d, "%s: cannot open: %s", p->path[i], strerror(errno));
    if (!fgets(line, sizeof line, f))
        line[0] = 0;
    fclose(f);
    for (size_t k = 0; k < sizeof heads / sizeof heads[0]; k++) {
        if (strncmp(line, heads[k].head, strlen(heads[k].head)) != 0)
            continue;
        if (i > 0 && (k != p->kind || k != TABLE_CURVE))
            return fail(d, "%s: found a %s after a %s, expected one table, or several curves", p->path[i],
                        heads[k].what, heads[p->kind].what);
        p->kind = (enum table_kind)k;
        p->band[i] = strstr(line, "miss_ratio_error") != NULL;
        p->error_column[i] = strstr(line, "writebacks") ? 6 : 5;
        return 0;
    }
    line[strcspn(line, "\n")] = 0;
    return fail(d, "%s:1: found '%.60s', expected the heading of a table that quire mrc writes", p->path[i], line);
}

static void send_curves(const struct picture *p)
{
    fprintf(p->gp,
            "set logscale x\nset xlabel 'cache size (%s)'\nset ylabel 'miss ratio'\nset yrange [0:1]\n"
            "set key above left horizontal Left reverse maxcols 2 samplen 2\n",
            p->unit);
    if (p->n == 1)
        fputs("unset key\n", p->gp);
    for (int i = 0; i < p->n; i++) {
        char name[80];
        legend_of(p->path[i], name, sizeof name);
        fputs(i ? ", " : "plot ", p->gp);
        if (p->band[i])
            fprintf(p->gp, "$t%d u 1:($4-2*$%d):($4+2*$%d) w filledcurves fc ls %d fs transparent solid 0.25 notitle, ",
                    i, p->error_column[i], p->error_column[i], i % 8 + 1);
        fprintf(p->gp, "$t%d u 1:4 w lines ls %d title \"%s\" noenhanced", i, i % 8 + 1, name);
    }
    fputc('\n', p->gp);
}

static void send_wss(const struct picture *p)
{
    fprintf(p->gp,
            "set xlabel 'window'\nset ylabel 'distinct (%s)'\nset yrange [0:*]\n"
            "set key above left horizontal Left reverse samplen 2\n"
            "plot $t0 u 1:3 w steps ls 1 title 'touched', $t0 u 1:4 w steps ls 2 title 'written'\n",
            p->unit);
}

static void send_heat(const struct picture *p)
{
    fprintf(p->gp,
            "set xlabel 'window'\nset ylabel 'touched region (in order of address)'\nset cblabel 'accesses'\n"
            "set rmargin at screen 0.76\nset logscale cb\nset yrange [0.5:%zu+0.5]\nset autoscale xfix\nunset key\n"
            "set palette defined (0 '#c6dbef', 0.3 '#85bcdb', 0.6 '#3182bd', 1 '#08306b')\n"
            "set style fill solid noborder\n"
            "plot $t0 u 1:2:(0.5):(0.5):3 w boxxyerror lc palette\n",
            p->n_regions);
}

/* One line a node: the rows of the others are left out by their number. */
static void send_nodes(const struct picture *p)
{
    fprintf(p->gp,
            "set logscale x\nset xlabel 'memory of the node (%s)'\nset ylabel 'miss ratio'\nset yrange [0:1]\n"
            "set key above left horizontal Left reverse maxcols 4 samplen 2\n"
            "stats $t0 u 1 nooutput\nnodes = int(STATS_max)\nset datafile missing NaN\n"
            "plot for [k=0:nodes] $t0 u 2:($1 == k ? $5 : NaN) w lines ls (k %% 8 + 1) title sprintf('node %%d', k)\n",
            p->unit);
}

static void send_style(const struct picture *p, const char *out, bool svg)
{
    /* Dashes let a curve be seen below another that is the same. */
    static const char *const lines[] = {
        "'#0072b2'",          "'#d55e00' dt (12,4)", "'#009e73' dt (4,3)", "'#cc79a7' dt (12,3,3,3)",
        "'#000000' dt (2,2)", "'#e69f00'",           "'#56b4e9' dt (8,3)", "'#999999' dt (3,3)"};
    if (svg)
        fputs("set terminal svg size 340,240 font 'DejaVu Sans,8' background 'white'\n", p->gp);
    else
        fputs("set terminal pngcairo size 1020,720 font 'DejaVu Sans,8' fontscale 2.4 linewidth 2.6\n", p->gp);
    fprintf(p->gp,
            "set output '%s'\nset datafile separator ','\nset border 3 lw 0.6\nset tics nomirror out scale 0.6\n", out);
    for (int i = 0; i < 8; i++)
        fprintf(p->gp, "set style line %d lc rgb %s lw 1.6\n", i + 1, lines[i]);
}

/* Starts gnuplot with a pipe to its input and nothing on its output. */
static pid_t start_gnuplot(FILE **to)
{
    int fd[2];
    if (pipe2(fd, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(fd[0], STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execlp("gnuplot", "gnuplot", "-", (char *)NULL);
        _exit(127);
    }
    close(fd[0]);
    *to = fdopen(fd[1], "w");
    return pid;
}

/* Copies the finished picture to its place. */
static int draw_take(const char *from, const char *out, struct diag *d)
{
    char part[65536];
    size_t n;
    struct outfile o;
    FILE *f = fopen(from, "rbe");
    if (!f || out_open(&o, out, d) != 0) {
        if (f)
            fclose(f);
        return -1;
    }
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        fwrite(part, 1, n, o.f);
    fclose(f);
    return out_commit(&o, d);
}

static int draw(struct picture *p, const char *out, bool svg, struct diag *d)
{
    static void (*const send[])(const struct picture *) = {send_curves, send_wss, send_heat, send_nodes};
    char tmp[] = "/tmp/quire-draw-XXXXXX";
    int fd = mkstemp(tmp), status = -1, rc = 0;
    pid_t pid = fd < 0 ? -1 : start_gnuplot(&p->gp);
    if (pid < 0)
        rc = fail(d, "gnuplot cannot be started: %s", strerror(errno));
    if (pid > 0) {
        signal(SIGPIPE, SIG_IGN); /* a gnuplot that ends early is seen by its exit code */
        send_style(p, tmp, svg);
        for (int i = 0; i < p->n && rc == 0; i++)
            rc = send_table(p, i, d);
        if (rc == 0)
            send[p->kind](p);
        fclose(p->gp);
        waitpid(pid, &status, 0);
    }
    if (rc == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
        rc = fail(d, "gnuplot not found (Debian package gnuplot-nox)");
    else if (rc == 0 && status != 0)
        rc = fail(d, "%s: gnuplot could not draw it", out);
    if (rc == 0)
        rc = draw_take(tmp, out, d);
    if (fd >= 0) {
        close(fd);
        unlink(tmp);
    }
    return rc;
}

int cmd_mrc_draw(int argc, char **argv)
{
    const char *out = NULL, *unit = "pages";
    const struct arg table[] = {
        {"output", 'o', "FILE", ARG_STRING, &out, "a name that ends in .svg or .png"},
        {"unit", 'u', "WORD", ARG_STRING, &unit, "what the axes call a unit (default pages)"},
        {0},
    };
    const struct args args = {
        "quire mrc draw TABLE.csv... -o PICTURE",
        "Draws curves (several in one picture, with a band of two standard errors where there are any),\n"
        "a working set, a heat map, or the curves of nodes.",
        table,
        "Examples:\n"
        "  quire mrc traces/redis-accesses.qtr --heat heat.csv --window 20000 -o curve.csv\n"
        "  quire mrc draw curve.csv -o curve.svg\n"
        "  quire mrc draw heat.csv -o heat.png",
        NULL};
    struct diag d = {0};
    const char *path[MAX_TABLES];
    int n = args_parse(&args, argc, argv, path, MAX_TABLES, &d), rc = 0;
    if (n == ARGS_HELP)
        return EXIT_DONE;
    const char *dot = out ? strrchr(out, '.') : NULL;
    bool svg = dot && strcmp(dot, ".svg") == 0, png = dot && strcmp(dot, ".png") == 0;
    struct picture p = {.n = n, .path = path, .unit = unit};
    if (n == 0)
        rc = fail(&d, "no table was named; usage: %s", args.usage);
    else if (n > 0 && !svg && !png)
        rc = fail(&d, "--output: found '%s', expected a name that ends in .svg or .png", out ? out : "");
    else if (n > 0 && unit[strcspn(unit, "'\"\\\n")])
        rc = fail(&d, "--unit: found '%s', expected a word", unit);
    for (int i = 0; rc == 0 && i < n; i++)
        rc = look(&p, i, &d);
    if (n > 0 && rc == 0)
        rc = draw(&p, out, svg, &d);
    return n > 0 && rc == 0 ? EXIT_DONE : args_complain(&d);
}

/* SPDX-License-Identifier: MIT */
/* quire report: pictures and one page. */
#include "sim/machine/report.h"

#include "sim/cli/args.h"
#include "sim/cli/commands.h"
#include "sim/cli/find.h"
#include "sim/machine/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int cmd_report(int argc, char **argv)
{
    const char *out = "";
    const struct arg table[] = {
        {"out", 'o', "DIR", ARG_STRING, &out, "where the page goes [DIR/report]"},
        {0},
    };
    const struct args about = {
        "quire report DIR [OPTION]...",
        "Draws the plots of an experiment whose results are in DIR (quire run --out DIR) as SVG and PNG,\n"
        "and writes one page that shows them with the verdicts.",
        table,
        "Example:\n"
        "  quire run experiments/hold-up.conf && quire report out/hold-up",
        NULL};
    const char *word[1];
    struct diag d = {0};
    int n = args_parse(&about, argc, argv, word, 1, &d);
    if (n == ARGS_HELP)
        return EXIT_DONE;
    if (n == 0)
        fail(&d, "report: found no results, expected the folder that quire run wrote");
    if (n <= 0)
        return args_complain(&d);
    struct stat st;
    bool is_file = stat(word[0], &st) == 0 && !S_ISDIR(st.st_mode);
    char *probe = xasprintf("%s/experiment.conf", word[0]);
    bool has_plan = !is_file && access(probe, R_OK) == 0;
    free(probe);
    if (!has_plan) {
        fail(&d, "report: found %s %s, expected a folder that quire run wrote (it has an experiment.conf)",
             is_file ? "the file" : "no results in", word[0]);
        return args_complain(&d);
    }
    char *plan = xasprintf("%s/experiment.conf", word[0]),
         *to = out[0] ? xstrdup(out) : xasprintf("%s/report", word[0]);
    char *style = find_file("tools/report/style.gp", "report/style.gp", &d);
    struct experiment *e = style ? experiment_load_plan(plan, &run_ops, &d) : NULL;
    int bad = !e || report_write(e, word[0], to, style, &d);
    if (!bad)
        printf("%s/index.html\n", to);
    experiment_free(e);
    free(plan);
    free(to);
    free(style);
    return bad ? args_complain(&d) : EXIT_DONE;
}

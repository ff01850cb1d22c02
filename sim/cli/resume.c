/* SPDX-License-Identifier: MIT */
/* quire resume: goes on from a checkpoint. */
#include "build_id.h"
#include "sim/cli/args.h"
#include "sim/cli/commands.h"
#include "sim/cli/point.h"
#include "sim/machine/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resume_args {
    const char *out, *dir;
    struct sets checkpoint;
    bool stats, info, stop;
};

static int show(const struct run_resume *r)
{
    printf("time       %llu.%03llu us\nbuild      %s%s\nrelative   %s\n", (unsigned long long)(r->at_ps / PS_PER_US),
           (unsigned long long)(r->at_ps / PS_PER_NS % 1000), r->build_id,
           strcmp(r->build_id, QUIRE_BUILD_ID) == 0 ? " (this one)" : "", r->dir[0] ? r->dir : ".");
    for (uint32_t i = 0; i < r->inputs.n; i++)
        printf("%-10s %s  %s\n", r->inputs.item[i].kind, r->inputs.item[i].digest, r->inputs.item[i].name);
    printf("\n%s", r->config);
    return 0;
}

/* The exit status: that of a program which `quire exec` began. */
static int status_of(const struct conf *conf, const struct result *r)
{
    uint64_t status = 0;
    bool is_exec = conf_find(conf_root(conf), "vm", "exec") != NULL;
    return is_exec && result_get(r, "vm.exec.exit_status", &status) ? (int)status : 0;
}

static int go_on(const struct resume_args *a, struct run_resume *from, struct diag *d)
{
    struct run_checkpoint at[RUN_MAX_CHECKPOINTS];
    struct run_checkpoints save;
    if (point_checkpoints(&a->checkpoint, a->stop, at, &save, d))
        return -1;
    struct conf *conf = conf_parse(from->config, strlen(from->config), "checkpoint", a->dir[0] ? a->dir : from->dir,
                                   &experiment_schema, d);
    struct result *r = result_new();
    int bad = conf && point_check_out(a->out, d) == 0 ? run_resume_point(conf, from, &save, r, d) : -1;
    if (!bad && a->out[0])
        bad = point_write(conf, r, a->out, d);
    if (!bad && a->stats)
        result_print(r, stderr);
    int status = bad < 0 ? -1 : bad ? 0 : status_of(conf, r);
    point_plain("checkpoint", d);
    result_free(r);
    conf_free(conf);
    return status;
}

int cmd_resume(int argc, char **argv)
{
    struct resume_args a = {.out = "", .dir = ""};
    const struct arg table[] = {
        {"out", 'o', "DIR", ARG_STRING, &a.out, "write a run directory below DIR"},
        {"stats", 0, NULL, ARG_FLAG, &a.stats, "print what the machine counted to standard error at the end"},
        {"checkpoint", 0, "TIME:FILE", ARG_SETS, &a.checkpoint, "write another one then; may be given many times"},
        {"stop", 0, NULL, ARG_FLAG, &a.stop, "end with the last checkpoint"},
        {"dir", 0, "DIR", ARG_STRING, &a.dir, "what relative names of its files are relative to [as when it was made]"},
        {"info", 0, NULL, ARG_FLAG, &a.info, "say what the checkpoint holds, run nothing"},
        {0},
    };
    const struct args about = {
        "quire resume CHECKPOINT [OPTION]...",
        "Goes on from a checkpoint (--checkpoint of exec, replay and run) and ends as the run that was not\n"
        "stopped ends. Traces, programs and policies have to be the files that they were.",
        table,
        "Example:\n"
        "  quire exec --checkpoint 100us:half.ckpt build/workloads/mixed 1 && quire resume half.ckpt --stats",
        "that of the run that was not stopped; 2 bad usage or input, 3 fault in quire itself."};
    struct diag d = {0};
    struct run_resume from = {0};
    const char *word[1];
    int n = args_parse(&about, argc, argv, word, 1, &d), status = -1;
    if (n == ARGS_HELP)
        return EXIT_DONE;
    if (n == 0)
        fail(&d, "resume: found no checkpoint, expected a file (quire resume --help)");
    if (n > 0 && run_resume_open(word[0], &from, &d) == 0)
        status = a.info ? show(&from) : go_on(&a, &from, &d);
    run_resume_close(&from);
    return status < 0 ? args_complain(&d) : status;
}

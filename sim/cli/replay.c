/* SPDX-License-Identifier: MIT */
/* quire replay: one run from the command line. Its options become an experiment file of one point. */
#include "sim/cli/args.h"
#include "sim/cli/commands.h"
#include "sim/cli/find.h"
#include "sim/guest/guest.h"
#include "sim/cli/point.h"
#include "sim/machine/run.h"

#include <stdlib.h>
#include <string.h>

struct replay_args {
    const char *machine, *memory, *pmem, *backing, *format, *policy, *out, *footprint;
    uint64_t vcpus, accesses, seed;
    struct sets set, checkpoint;
    bool check, true_curve, stop;
};

static char *experiment_text(const struct replay_args *a, const char *what, const char *machine)
{
    bool made = strncmp(what, "generator:", 10) == 0;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    if (machine)
        fprintf(f, "include(\"%s\")\n", machine);
    fprintf(f, "seed = %llu\ncheck = %s\ntrue_curve = %s\n", (unsigned long long)a->seed, a->check ? "true" : "false",
            a->true_curve ? "true" : "false");
    fprintf(f, "vm \"vm0\" {\n  %s = \"", made ? "generator" : "trace");
    point_put_text(f, made ? what + 10 : what);
    fprintf(f, "\"\n  memory = \"%s\"\n  pmem = \"%s\"\n  backing = \"%s\"\n", a->memory, a->pmem, a->backing);
    fprintf(f, "  vcpus = %llu\n  accesses = %llu\n  format = \"%s\"\n  footprint = \"%s\"\n}\n",
            (unsigned long long)a->vcpus, (unsigned long long)a->accesses, a->format, a->footprint);
    if (a->policy[0])
        point_add_policy(f, a->policy);
    fclose(f);
    return text;
}

static int replay(const struct replay_args *a, const char *what, struct diag *d)
{
    size_t n = strlen(what);
    if (n > 5 && strcmp(what + n - 5, ".conf") == 0)
        return fail(d, "%s: found an experiment file, expected a trace; quire run runs an experiment", what);
    char *machine = a->machine[0] ? find_machine(a->machine, d) : NULL;
    if (a->machine[0] && !machine)
        return -1;
    char *text = experiment_text(a, what, machine);
    struct conf *conf = conf_parse(text, strlen(text), "replay", ".", &experiment_schema, d);
    struct result *r = result_new();
    struct run_checkpoint at[RUN_MAX_CHECKPOINTS];
    struct run_checkpoints save;
    int bad = !conf || point_check_out(a->out, d) ? -1 : point_checkpoints(&a->checkpoint, a->stop, at, &save, d);
    for (uint32_t i = 0; !bad && i < a->set.n; i++)
        bad = point_set(conf, a->set.text[i], d);
    if (!bad)
        bad = run_point_saving(conf, &save, r, d);
    if (!bad && a->out[0])
        bad = point_write(conf, r, a->out, d);
    else if (!bad)
        result_print(r, stdout);
    point_plain("replay", d);
    result_free(r);
    conf_free(conf);
    free(text);
    free(machine);
    return bad < 0 ? -1 : 0;
}

/* A line each; the caller frees. */
static char *generator_list(void)
{
    char *text = xstrdup("");
    for (uint32_t i = 0; generator_name(i); i++) {
        char *longer = xasprintf("%s  %-12s %s\n", text, generator_name(i), generator_help(i));
        free(text);
        text = longer;
    }
    return text;
}

int cmd_replay(int argc, char **argv)
{
    struct replay_args a = {.machine = "",
                            .memory = "4GiB",
                            .pmem = "0B",
                            .backing = "2MiB",
                            .format = "",
                            .policy = "",
                            .out = "",
                            .footprint = "64MiB",
                            .vcpus = 1,
                            .seed = 1};
    const struct arg table[] = {
        {"machine", 'm', "NAME", ARG_STRING, &a.machine, "machine file, by name or path [the defaults]"},
        {"policy", 'p', "NAME[:k=v,...]", ARG_STRING, &a.policy, "policy plugin with its options (quire policy list)"},
        {"memory", 0, "SIZE", ARG_STRING, &a.memory, "guest-physical memory [4GiB]"},
        {"pmem", 0, "SIZE", ARG_STRING, &a.pmem, "virtual NVDIMM [0B]"},
        {"backing", 0, "SIZE", ARG_STRING, &a.backing, "largest nested page: 4KiB, 2MiB or 1GiB [2MiB]"},
        {"vcpus", 0, "N", ARG_UINT, &a.vcpus, "virtual CPUs [1]"},
        {"format", 'f', "NAME", ARG_STRING, &a.format, "format of a trace without a signature (pw, raw, ...)"},
        {"accesses", 'n', "N", ARG_UINT, &a.accesses, "stop after that many records [all]"},
        {"footprint", 0, "SIZE", ARG_STRING, &a.footprint, "bytes that a generator touches [64MiB]"},
        {"seed", 0, "N", ARG_UINT, &a.seed, "seed of all random streams [1]"},
        {"check", 0, NULL, ARG_FLAG, &a.check, "golden models on"},
        {"true-curve", 0, NULL, ARG_FLAG, &a.true_curve, "also the exact miss-ratio curve"},
        {"checkpoint", 0, "TIME:FILE", ARG_SETS, &a.checkpoint,
         "write the whole state then (2ms:half.ckpt), for quire resume; may be given many times"},
        {"stop", 0, NULL, ARG_FLAG, &a.stop, "end with the last checkpoint"},
        {"set", 0, "KEY=VALUE", ARG_SETS, &a.set,
         "any key of an experiment file (machine.imc.wpq_entries=4); may be given many times"},
        {"out", 'o', "DIR", ARG_STRING, &a.out, "write a run directory below DIR [result.json on standard output]"},
        {0},
    };
    char *generators = generator_list();
    char *after = xasprintf("generators:\n%s\n"
                            "Examples:\n"
                            "  quire replay traces/redis-accesses.qtr -m cascade-lake-2s\n"
                            "  quire replay traces/redis-accesses.qtr -p mrc:delay=1ms --backing 4KiB -o out/redis\n"
                            "  quire replay generator:zipf -n 1000000 --footprint 256MiB -m cascade-lake-2s",
                            generators);
    free(generators);
    const struct args about = {
        "quire replay TRACE|generator:NAME [OPTION]...",
        "Runs one VM on a simulated machine and prints what the machine counted, as JSON. docs/traces.md says how\n"
        "to make a trace.",
        table, after, NULL};
    const char *word[1];
    struct diag d = {0};
    int n = args_parse(&about, argc, argv, word, 1, &d);
    free(after);
    if (n == ARGS_HELP)
        return EXIT_DONE;
    if (n == 0)
        fail(&d, "replay: found no trace, expected a file or generator:NAME (quire replay --help)");
    if (n <= 0 || replay(&a, word[0], &d))
        return args_complain(&d);
    return EXIT_DONE;
}

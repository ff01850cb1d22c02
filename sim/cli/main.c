/* SPDX-License-Identifier: MIT */
#include "build_id.h"
#include "sim/base/conf.h"
#include "sim/base/types.h"
#include "sim/cli/args.h"
#include "sim/cli/commands.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", cmd_run, "run an experiment file: its sweeps, its verdicts"},
    {"crash", cmd_crash, "every image that a power failure may leave, judged by the program"},
    {"exec", cmd_exec, "a static x86-64 Linux program on a simulated machine"},
    {"replay", cmd_replay, "one run without an experiment file: a trace or a generator on a machine"},
    {"resume", cmd_resume, "go on from a checkpoint of one of these"},
    {"mrc", cmd_mrc, "miss-ratio curves of a trace"},
    {"trace", cmd_trace, "look at traces, convert and cut them"},
    {"policy", cmd_policy, "policy plugins: what there is, and whether one behaves"},
    {"report", cmd_report, "pictures and one page from an experiment's results"},
    {"compare", cmd_compare, "whether two sets of results say the same"},
    {"machine", cmd_machine, "what a machine file builds: memory map, NFIT"},
    {"validate", cmd_validate, "a machine's memory system beside published measurements"},
    {"bench", cmd_bench, "how fast the simulator itself runs here"},
};

static void usage(FILE *f)
{
    fputs("usage: quire COMMAND [ARGUMENT]...\n\n"
          "A full-system simulator for hypervisor memory management.\n\n",
          f);
    for (size_t i = 0; i < N_ELEMS(commands); i++)
        fprintf(f, "  %-9s %s\n", commands[i].name, commands[i].help);
    fputs("\n`quire COMMAND --help` explains each; `quire --version` names the build.\n"
          "Exit codes: 0 done, 1 judged false, 2 bad usage or input, 3 fault in quire itself.\n"
          "Start with: quire run experiments/quickstart.conf --out out/quickstart\n",
          f);
}

static int unknown(const char *name)
{
    const char *names[N_ELEMS(commands)], *near;
    for (size_t i = 0; i < N_ELEMS(commands); i++)
        names[i] = commands[i].name;
    near = conf_nearest(name, names, N_ELEMS(names));
    fprintf(stderr, "quire: no command '%s'", name);
    if (near)
        fprintf(stderr, ", did you mean '%s'?", near);
    fputs(" (quire --help lists them)\n", stderr);
    return EXIT_BAD_INPUT;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return EXIT_BAD_INPUT;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "help") == 0) { /* quire help run */
        char *words[] = {argv[0], argc > 2 ? argv[2] : (char *)"--help", (char *)"--help"};
        return dispatch(argc > 2 ? 3 : 2, words);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("quire %s (build %s)\n", QUIRE_VERSION, QUIRE_BUILD_ID);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < N_ELEMS(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return unknown(argv[1]);
}

/* What was printed must have arrived: a full disk behind a redirection is not "done". */
int main(int argc, char **argv)
{
    int code = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code < EXIT_BAD_INPUT) {
        fputs("quire: standard output cannot be written\n", stderr);
        code = EXIT_BAD_INPUT;
    }
    return code;
}

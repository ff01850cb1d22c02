/* SPDX-License-Identifier: MIT */
/* quire exec: one real program on a simulated machine. Its options become an experiment file of one point. */
#include "sim/cli/args.h"
#include "sim/cli/commands.h"
#include "sim/cli/find.h"
#include "sim/cli/point.h"
#include "sim/guest/sample.h"
#include "sim/machine/run.h"

#include <stdlib.h>
#include <string.h>

struct exec_args {
    const char *machine, *memory, *pmem, *backing, *timing, *policy, *out, *root, *env, *record, *trace_insn, *profile,
        *gdb, *initrd, *timing_at;
    uint64_t vcpus, seed, max_instructions;
    struct sets set, checkpoint;
    bool native, stats, check, sample, stop;
};

/* A word of the program's arguments inside a string of a configuration inside a list of words. */
static void put_word(FILE *f, const char *word)
{
    for (; *word; word++) {
        if (*word == ' ' || *word == '\\')
            fputs("\\\\", f);
        if (*word == '"' || *word == '\\')
            fputc('\\', f);
        if (*word == '\n' || *word == '\t')
            fputs(*word == '\n' ? "\\n" : "\\t", f);
        else
            fputc(*word, f);
    }
}

static char *experiment_text(const struct exec_args *a, char **word, int n, const char *machine)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    if (machine)
        fprintf(f, "include(\"%s\")\n", machine);
    fprintf(f, "seed = %llu\ncheck = %s\nvm \"exec\" {\n", (unsigned long long)a->seed, a->check ? "true" : "false");
    fprintf(f, "  memory = \"%s\"\n  pmem = \"%s\"\n  backing = \"%s\"\n  vcpus = %llu\n", a->memory, a->pmem,
            a->backing, (unsigned long long)a->vcpus);
    fprintf(f, "  timing = \"%s\"\n  native = %s\n  console = true\n  max_instructions = %llu\n", a->timing,
            a->native ? "true" : "false", (unsigned long long)a->max_instructions);
    fprintf(f, "  sample = %s\n", a->sample ? "true" : "false");
    const char *const text_of[][2] = {
        {"program", word[0]},          {"root", a->root},       {"record", a->record}, {"env", a->env},
        {"trace_insn", a->trace_insn}, {"profile", a->profile}, {"gdb", a->gdb},       {"initrd", a->initrd},
        {"timing_at", a->timing_at}};
    for (uint32_t i = 0; i < sizeof text_of / sizeof *text_of; i++) {
        fprintf(f, "  %s = \"", text_of[i][0]);
        for (const char *p = text_of[i][1]; *p; p++)
            fprintf(f, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
        fputs("\"\n", f);
    }
    fputs("  args = \"", f);
    for (int i = 1; i < n; i++) {
        if (i > 1)
            fputc(' ', f);
        put_word(f, word[i]);
    }
    fputs("\"\n}\n", f);
    if (a->policy[0])
        point_add_policy(f, a->policy);
    fclose(f);
    return text;
}

/* A sampled run says when its intervals do not tell what was asked. */
static void warn_of_sample(const struct result *r)
{
    uint64_t n, needed, head = 0, all = 0, period = 0;
    double error = 0;
    if (!result_get(r, "vm.exec.sample.intervals", &n) || !result_get(r, "vm.exec.sample.intervals_needed", &needed))
        return;
    result_get_ratio(r, "vm.exec.sample.error_ratio", &error);
    result_get(r, "vm.exec.sample.head_instructions", &head);
    result_get(r, "vm.exec.instructions", &all);
    result_get(r, "vm.exec.sample.period_needed", &period);
    if (head == all)
        return; /* all of it was measured */
    if (n < 2)
        fprintf(stderr, "quire: sample: %llu intervals, too few for any estimate; expected a smaller sample_period\n",
                (unsigned long long)n);
    else if (n < needed)
        fprintf(stderr,
                "quire: sample: cpi is known to %.1f %% only; %llu intervals were measured, %llu are needed: expected "
                "sample_period = %llu, or a longer run\n",
                100 * error, (unsigned long long)n, (unsigned long long)needed, (unsigned long long)period);
    else if (n < SAMPLE_FEW)
        fprintf(stderr, "quire: sample: %llu intervals are few: their variance is known badly, expected at least %u\n",
                (unsigned long long)n, SAMPLE_FEW);
}

/* -1: failed; else the program's exit status. */
static int exec(const struct exec_args *a, char **word, int n, struct diag *d)
{
    uint64_t status = 0;
    char *machine = a->machine[0] ? find_machine(a->machine, d) : NULL;
    if (a->machine[0] && !machine)
        return -1;
    char *text = experiment_text(a, word, n, machine);
    struct conf *conf = conf_parse(text, strlen(text), "exec", "", &experiment_schema, d);
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
    if (!bad && a->stats)
        result_print(r, stderr);
    if (!bad)
        warn_of_sample(r);
    if (!bad && !result_get(r, "vm.exec.exit_status", &status))
        bad = fail(d, "exec: --set vm.exec.* took the program away");
    point_plain("exec", d);
    result_free(r);
    conf_free(conf);
    free(text);
    free(machine);
    return bad < 0 ? -1 : (int)status;
}

int cmd_exec(int argc, char **argv)
{
    struct exec_args a = {.machine = "",
                          .memory = "4GiB",
                          .pmem = "0B",
                          .backing = "2MiB",
                          .timing = "block",
                          .policy = "",
                          .out = "",
                          .root = "",
                          .env = "",
                          .record = "",
                          .initrd = "",
                          .trace_insn = "",
                          .profile = "",
                          .gdb = "",
                          .timing_at = "",
                          .vcpus = 1,
                          .seed = 1};
    const struct arg table[] = {
        {"timing", 't', "MODEL", ARG_STRING, &a.timing, "functional, warm, block or window [block]"},
        {"timing-at", 0, "N:MODEL ...", ARG_STRING, &a.timing_at, "other models from the Nth instruction on"},
        {"sample", 0, NULL, ARG_FLAG, &a.sample,
         "run MODEL in intervals only and estimate the rest (--set vm.exec.sample_period=... and kin)"},
        {"machine", 'm', "NAME", ARG_STRING, &a.machine, "machine file, by name or path [the defaults]"},
        {"policy", 'p', "NAME[:k=v,...]", ARG_STRING, &a.policy, "policy plugin with its options (quire policy list)"},
        {"native", 0, NULL, ARG_FLAG, &a.native, "on the host itself: no nested tables"},
        {"root", 0, "DIR", ARG_STRING, &a.root, "what it sees as /, and may write to [the current folder, read only]"},
        {"env", 0, "WORDS", ARG_STRING, &a.env, "its environment: NAME=VALUE NAME=VALUE ..."},
        {"initrd", 0, "FILE", ARG_STRING, &a.initrd, "a kernel's initial file system"},
        {"memory", 0, "SIZE", ARG_STRING, &a.memory, "guest-physical memory [4GiB]"},
        {"pmem", 0, "SIZE", ARG_STRING, &a.pmem, "virtual NVDIMM, seen as /dev/pmem0 [0B]"},
        {"backing", 0, "SIZE", ARG_STRING, &a.backing, "largest nested page: 4KiB, 2MiB or 1GiB [2MiB]"},
        {"vcpus", 0, "N", ARG_UINT, &a.vcpus, "virtual CPUs [1]"},
        {"seed", 0, "N", ARG_UINT, &a.seed, "seed of all random streams [1]"},
        {"max-instructions", 0, "N", ARG_UINT, &a.max_instructions, "end after that many, with status 124 [no limit]"},
        {"record", 0, "FILE", ARG_STRING, &a.record, "write a trace of all its accesses"},
        {"gdb", 0, "PORT|unix:PATH", ARG_STRING, &a.gdb, "wait there for gdb's `target remote`"},
        {"profile", 0, "FILE", ARG_STRING, &a.profile, "instructions and time by function; -: standard error"},
        {"trace-insn", 0, "FILE", ARG_STRING, &a.trace_insn, "a line an instruction; -: standard error"},
        {"check", 0, NULL, ARG_FLAG, &a.check, "golden models on"},
        {"checkpoint", 0, "TIME:FILE", ARG_SETS, &a.checkpoint,
         "write the whole state then (2ms:half.ckpt), for quire resume; may be given many times"},
        {"stop", 0, NULL, ARG_FLAG, &a.stop, "end with the last checkpoint"},
        {"set", 0, "KEY=VALUE", ARG_SETS, &a.set,
         "any key of an experiment file (machine.imc.wpq_entries=4); may be given many times"},
        {"stats", 0, NULL, ARG_FLAG, &a.stats, "print what the machine counted to standard error at the end"},
        {"out", 'o', "DIR", ARG_STRING, &a.out, "write a run directory below DIR"},
        {0},
    };
    const struct args about = {
        "quire exec [OPTION]... PROGRAM [ARGUMENT]...",
        "Runs a static x86-64 Linux program in a VM of a simulated machine. Its standard streams are\n"
        "quire's, its exit status is quire's (128 + N after signal N). An ELF file with a PVH note runs\n"
        "without a kernel, on processors in system mode: a program for the bare machine (docs/bare.md).",
        table,
        "Examples:\n"
        "  quire exec --timing window -m cascade-lake-2s --stats build/workloads/chase 64K\n"
        "  quire exec --profile - build/workloads/btree 2000\n"
        "  quire exec --vcpus 2 build/workloads/bare/smp",
        "the program's own; 124 after --max-instructions; 2 bad usage or input, 3 fault in quire itself."};
    const char *word[256];
    struct diag d = {0};
    int n = args_parse_program(&about, argc, argv, word, 256, &d);
    if (n == ARGS_HELP)
        return EXIT_DONE;
    if (n == 0)
        fail(&d, "exec: found no program, expected a file (quire exec --help)");
    int status = n > 0 ? exec(&a, (char **)word, n, &d) : -1;
    return status < 0 ? args_complain(&d) : status;
}

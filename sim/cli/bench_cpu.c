/* SPDX-License-Identifier: MIT */
/* quire bench cpu: how fast programs run. */
#include "sim/cli/bench_cpu.h"

#include "sim/cli/args.h"
#include "sim/machine/run.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Work in units that take about 0.3 s in each model. */
static const struct {
    const char *name, *args; /* %llu: units */
    uint64_t units[5];       /* in the order of models */
} programs[] = {
    {"mixed", "%llu", {64, 12, 6, 20, 40}},
    {"gups", "1M %llu", {8000000, 500000, 300000, 1000000, 2000000}},
    {"btree", "%llu", {60000, 10000, 6000, 20000, 40000}},
    {"stream", "768K %llu", {150, 12, 8, 30, 60}},
};
enum { FUNCTIONAL, BLOCK, WINDOW, WARM, SAMPLED };
static const struct {
    const char *name, *keys;
} models[] = {
    [FUNCTIONAL] = {"functional", "timing = functional"},
    [BLOCK] = {"block", "timing = block"},
    [WINDOW] = {"window", "timing = window"},
    [WARM] = {"warm", "timing = warm"},
    [SAMPLED] = {"sampled", "timing = window sample = true sample_period = 200000"},
};

char *bench_program_path(const char *name)
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    char *path = xasprintf("%s/workloads/%s", dirname(exe), name);
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    path = xasprintf("%s/workloads/%s", QUIRE_DATA_DIR, name);
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

/* One run in this process; model as keys. Seconds of user time, with the instructions; below 0: failed. */
static double run_here(const char *path, const char *args, const char *model, uint64_t *instructions)
{
    struct diag d = {0};
    char *text = xasprintf("vm \"exec\" { program = \"%s\" args = \"%s\" %s }", path, args, model);
    struct conf *conf = conf_parse(text, strlen(text), "bench", "", &experiment_schema, &d);
    struct result *r = result_new();
    double start = bench_user_s();
    int bad = !conf || run_point(conf, r, &d) || !result_get(r, "vm.exec.instructions", instructions);
    double spent = bench_user_s() - start;
    if (bad)
        args_complain(&d);
    result_free(r);
    conf_free(conf);
    free(text);
    return bad ? -1 : spent;
}

/* The same under qemu-x86_64; below 0: it is not there. */
static double run_qemu(const char *path, const char *args)
{
    char copy[128], *word[8] = {(char *)"qemu-x86_64", (char *)(uintptr_t)path}, *save = NULL;
    int n = 2, status;
    struct rusage u;
    snprintf(copy, sizeof copy, "%s", args);
    for (char *w = strtok_r(copy, " ", &save); w && n < 7; w = strtok_r(NULL, " ", &save))
        word[n++] = w;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execvp(word[0], word);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &u) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
        return -1;
    return (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec * 1e-6;
}

static int bench_program(struct bench *b, uint32_t i, const char *path)
{
    char name[64], args[64], note[96];
    double window = 0;
    for (uint32_t t = 0; t < N_ELEMS(models); t++) {
        uint64_t units = (uint64_t)((double)programs[i].units[t] * b->scale) + 1, instructions = 0;
        _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wformat-nonliteral\"")
            snprintf(args, sizeof args, programs[i].args, (unsigned long long)units);
        _Pragma("GCC diagnostic pop") double best = 1e9, qemu = 1e9;
        for (uint32_t k = 0; k < 3; k++) { /* interleaved, the best of three */
            double s = run_here(path, args, models[t].keys, &instructions);
            if (s < 0)
                return -1;
            best = s < best ? s : best;
            double q = t == FUNCTIONAL ? run_qemu(path, args) : -1;
            qemu = q > 0 && q < qemu ? q : qemu;
        }
        snprintf(name, sizeof name, "cpu.%s.%s", programs[i].name, models[t].name);
        snprintf(note, sizeof note, "%s %s, %llu M instructions", programs[i].name, args,
                 (unsigned long long)(instructions / 1000000));
        bench_add(b, name, (double)instructions / best * 1e-6, "MIPS", note);
        window = t == WINDOW ? (double)instructions / best : window;
        if (t == SAMPLED) {
            snprintf(name, sizeof name, "cpu.%s.sampled_ratio", programs[i].name);
            bench_add(b, name, (double)instructions / best / window, "1", "sampled over window");
        }
        if (t || qemu == 1e9)
            continue;
        snprintf(name, sizeof name, "cpu.%s.qemu", programs[i].name);
        bench_add(b, name, (double)instructions / qemu * 1e-6, "MIPS", "qemu-x86_64, in turns with it");
        snprintf(name, sizeof name, "cpu.%s.ratio", programs[i].name);
        bench_add(b, name, qemu / best, "1", "functional over qemu-x86_64");
    }
    return 0;
}

int bench_cpu(struct bench *b)
{
    for (uint32_t i = 0; i < N_ELEMS(programs); i++) {
        char *path = bench_program_path(programs[i].name);
        if (!path) {
            fprintf(stderr, "quire: bench cpu: workloads/%s is not beside quire, expected `make` to have built it\n",
                    programs[i].name);
            return -1;
        }
        int bad = bench_program(b, i, path);
        free(path);
        if (bad)
            return -1;
    }
    return 0;
}

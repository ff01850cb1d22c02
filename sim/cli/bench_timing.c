/* SPDX-License-Identifier: MIT */
/* quire bench timing: the micro-benchmarks of workloads/micro.c on this host's processor, and under the two timing
 * models: the same program, three times. Absolute cycles differ from processor to processor; what costs more than what
 * should not. */
#include "sim/cli/bench_cpu.h"

#include "sim/base/types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_STEPS 64u
enum { NATIVE, BLOCK, WINDOW, N_WAYS };
static const char *const ways[N_WAYS] = {"native", "block", "window"};

/* What takes longer than what. */
static const struct {
    const char *slow, *fast;
} pairs[] = {
    {"add-chain", "add-apart"},    {"imul-chain", "imul-apart"},    {"fadd-chain", "fadd-apart"},
    {"imul-chain", "add-chain"},   {"div-chain", "imul-chain"},     {"sqrt-chain", "fadd-chain"},
    {"chase-l1", "load-apart"},    {"chase-l2", "chase-l1"},        {"chase-llc", "chase-l2"},
    {"chase-memory", "chase-llc"}, {"lock-add", "memory-add"},      {"branch-random", "branch-known"},
    {"call-random", "call-known"}, {"flush-fenced", "flush-apart"}, {"touch-once", "touch-again"},
};
/* Closer than that the host does not say which is longer. */
#define CLEAR 1.2

struct steps {
    uint32_t n;
    char name[MAX_STEPS][32];
    double cycles[MAX_STEPS];
};

/* Runs argv and reads its lines "name ticks". */
static int run(char *const argv[], struct steps *s)
{
    int fd[2], status;
    if (pipe(fd))
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], STDOUT_FILENO);
        close(fd[0]);
        close(fd[1]);
        execv(argv[0], argv);
        _exit(127);
    }
    close(fd[1]);
    FILE *f = fdopen(fd[0], "r");
    for (s->n = 0; s->n < MAX_STEPS && fscanf(f, "%31s %lf", s->name[s->n], &s->cycles[s->n]) == 2; s->n++)
        ;
    fclose(f);
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
        return -1;
    /* The first is a chain of additions: one cycle each. */
    for (uint32_t i = s->n; i-- > 0;)
        s->cycles[i] /= s->cycles[0];
    return s->n ? 0 : -1;
}

static double cycles_of(const struct steps *s, const char *name)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (strcmp(s->name[i], name) == 0)
            return s->cycles[i];
    return 0;
}

static void add_pair(struct bench *b, uint32_t i, const struct steps all[N_WAYS])
{
    double ratio[N_WAYS];
    char name[64], note[96];
    for (uint32_t w = 0; w < N_WAYS; w++)
        ratio[w] = cycles_of(&all[w], pairs[i].slow) / cycles_of(&all[w], pairs[i].fast);
    for (uint32_t w = 0; w < N_WAYS; w++) {
        const char *verdict = w == NATIVE             ? ""
                              : ratio[NATIVE] < CLEAR ? "the host does not tell them apart"
                              : ratio[w] > 1.05       ? "as on the host"
                                                      : "NOT AS ON THE HOST";
        snprintf(name, sizeof name, "order.%s.%s.%s", pairs[i].slow, pairs[i].fast, ways[w]);
        snprintf(note, sizeof note, "over %s%s%s", pairs[i].fast, *verdict ? ": " : "", verdict);
        bench_add(b, name, ratio[w], "times", note);
    }
}

int bench_timing(struct bench *b)
{
    static struct steps all[N_WAYS];
    char *micro = bench_program_path("micro");
    int bad = 0;
    for (uint32_t w = 0; w < N_WAYS && !bad; w++) {
        char *native[] = {micro, NULL};
        char *model[] = {(char *)"/proc/self/exe",   (char *)"exec", (char *)"-t",
                         (char *)(uintptr_t)ways[w], micro,          NULL};
        bad = !micro || run(w == NATIVE ? native : model, &all[w]);
    }
    if (bad)
        fprintf(stderr, "quire: bench timing: workloads/micro is not beside quire or does not run\n");
    for (uint32_t i = 0; i < all[NATIVE].n && !bad; i++)
        for (uint32_t w = 0; w < N_WAYS; w++) {
            char name[64];
            snprintf(name, sizeof name, "cycles.%s.%s", all[w].name[i], ways[w]);
            bench_add(b, name, all[w].cycles[i], "cycles", "a step, by a chain of additions");
        }
    for (uint32_t i = 0; i < N_ELEMS(pairs) && !bad; i++)
        add_pair(b, i, all);
    free(micro);
    return bad;
}

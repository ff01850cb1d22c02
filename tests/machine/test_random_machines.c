/* SPDX-License-Identifier: MIT */
/* Machines at random: every numeric and choice key of a machine file drawn from its range, extremes included. Such a
 * machine is refused with one line, or a small VM runs on it to its end, with everything conserved. And what stands
 * still is found. */
#include "sim/base/rng.h"
#include "sim/machine/conserve.h"
#include "sim/machine/machine.h"
#include "sim/machine/run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys whose largest values only need memory of the host; drawn up to so many times their default. */
#define MOST_TIMES 8u

/* Unit of a value in its text form: what the configuration prints for a key's default. */
static const char *unit_of(const struct conf_key *k)
{
    const char *p = k->def;
    while (*p && (strchr("0123456789.", *p)))
        p++;
    return p;
}

/* A number as a multiple of the default's, between nothing and MOST_TIMES of it, or an extreme. */
static void draw_number(const struct conf_key *k, struct rng *r, char *out, size_t n)
{
    double def = strtod(k->def, NULL);
    static const double factors[] = {0, 0.01, 0.25, 0.5, 1, 1, 1, 2, MOST_TIMES};
    double v = def * factors[rng_below(r, N_ELEMS(factors))];
    uint32_t kind = (uint32_t)rng_below(r, 16);
    if (kind == 0)
        v = floor(def * rng_unit(r) * 3);
    if ((kind == 1 || kind == 2) && k->type == CONF_UINT && k->max) /* the ends of its range */
        v = (double)(kind == 1 ? k->min : k->max);
    bool is_whole = k->type == CONF_UINT || k->type == CONF_SIZE || v == floor(v);
    snprintf(out, n, is_whole ? "%.0f%s" : "%.3f%s", v, unit_of(k));
    uint64_t parsed[4];
    struct diag d = {0};
    if (conf_value(k, out, "", parsed, &d) && rng_below(r, 16)) /* mostly what the key allows */
        snprintf(out, n, "%s", k->def);
}

static void draw_key(const struct conf_key *k, struct rng *r, FILE *f)
{
    char value[64];
    uint32_t n = 0;
    switch (k->type) {
    case CONF_BOOL:
        fprintf(f, " %s = %s", k->name, rng_below(r, 2) ? "true" : "false");
        return;
    case CONF_CHOICE:
        while (k->choices[n])
            n++;
        fprintf(f, " %s = \"%s\"", k->name, k->choices[rng_below(r, n)]);
        return;
    case CONF_UINT:
    case CONF_SIZE:
    case CONF_TIME:
    case CONF_FREQ:
    case CONF_RATE:
    case CONF_ENERGY:
    case CONF_POWER:
    case CONF_RATIO:
        draw_number(k, r, value, sizeof value);
        fprintf(f, " %s = \"%s\"", k->name, value);
        return;
    default:
        return;
    }
}

/* Keys that every machine names, so that it can be afforded and used. */
static bool is_given(const char *section, const char *key)
{
    static const char *const given[][2] = {
        {"numa", "nodes"},       {"numa", "dram"}, {"pmem", "kind"}, {"pmem", "supercap"}, {"hypervisor", "power_fail"},
        {"hypervisor", "holdup"}};
    for (uint32_t i = 0; i < N_ELEMS(given); i++)
        if (strcmp(section, given[i][0]) == 0 && strcmp(key, given[i][1]) == 0)
            return true;
    return false;
}

static char *draw_machine(struct rng *r)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    static const char *const outcomes[] = {"adr", "adr-fails", "eadr"}, *const holdups[] = {"unlimited", "energy",
                                                                                            "time"};
    fprintf(f, "seed = %llu\ncheck = true\nmachine {\n", (unsigned long long)rng_below(r, 1000));
    for (const struct conf_schema *s = machine_sections; s->name; s++) {
        if (strcmp(s->name, "pmem") == 0)
            fprintf(f, "  pmem { kind = \"%s\" supercap = \"%s\"", rng_below(r, 3) ? "optane" : "nvdimm-n",
                    rng_below(r, 2) ? "enough" : "time");
        else if (strcmp(s->name, "hypervisor") == 0)
            fprintf(f, "  hypervisor { power_fail = \"%s\" holdup = \"%s\"", outcomes[rng_below(r, 3)],
                    holdups[rng_below(r, 3)]);
        else if (strcmp(s->name, "numa") == 0)
            fprintf(f, "  numa { nodes = %u dram = \"%uGiB\"", 1 + (unsigned)rng_below(r, 3),
                    1 + (unsigned)rng_below(r, 3));
        else
            fprintf(f, "  %s {", s->name);
        for (const struct conf_key *k = s->keys; k->name; k++)
            if (!is_given(s->name, k->name) && rng_below(r, 10) == 0) /* the others are the default's */
                draw_key(k, r, f);
        fprintf(f, " }\n");
    }
    fprintf(f, "}\nvm \"a\" { generator = \"%s\" accesses = 1500 footprint = \"4MiB\" memory = \"64MiB\" vcpus = %llu",
            rng_below(r, 2) ? "zipf" : "random", 1 + (unsigned long long)rng_below(r, 3));
    fprintf(f, " backing = \"%s\" }\n", rng_below(r, 2) ? "4KiB" : "2MiB");
    if (rng_below(r, 2)) {
        if (rng_below(r, 2)) /* the power fails in its midst; every promise is judged */
            fprintf(f, "crash_at = %llu\n", 1 + (unsigned long long)rng_below(r, 400));
        fputs("vm \"log\" { generator = \"log-append\" accesses = 200 memory = \"64MiB\" pmem = \"4MiB\" footprint = "
              "\"2MiB\" }\n",
              f);
    }
    fclose(f);
    return text;
}

static void one(uint64_t seed, uint32_t *n_ran, uint32_t *n_refused)
{
    struct rng r;
    struct diag d = {0};
    rng_init(&r, seed, "machines");
    char *text = draw_machine(&r);
    struct conf *conf = conf_parse(text, strlen(text), "random", "", &experiment_schema, &d);
    struct result *out = result_new();
    /* run_point() itself checks conservation, and the golden models with check = true. */
    if (conf && run_point(conf, out, &d) == 0) {
        ++*n_ran;
        cr_expect_eq(d.n_errors, 0, "seed %llu: %s", (unsigned long long)seed, d.text);
    } else {
        ++*n_refused;
        if (getenv("RANDOM_MACHINES_VERBOSE"))
            fprintf(stderr, "%s\n", d.text);
        cr_expect(d.n_errors > 0 && d.len > 0, "seed %llu failed without a word\n%s", (unsigned long long)seed, text);
        cr_expect(!strstr(d.text, "golden") && !strstr(d.text, "watchdog"), "seed %llu: %s\n%s",
                  (unsigned long long)seed, d.text, text);
    }
    result_free(out);
    conf_free(conf);
    free(text);
}

/* RANDOM_MACHINES in the environment: how many; check-long has a thousand. */
Test(machines, at_random)
{
    const char *env = getenv("RANDOM_MACHINES");
    uint64_t n = env ? strtoull(env, NULL, 10) : 60;
    uint32_t n_ran = 0, n_refused = 0;
    for (uint64_t seed = 1; seed <= n; seed++)
        one(seed, &n_ran, &n_refused);
    if (env)
        fprintf(stderr, "%u machines ran, %u were refused\n", n_ran, n_refused);
    cr_expect_gt(n_ran, n / 4, "only %u of %llu machines ran", n_ran, (unsigned long long)n);
}

/* ---- faults on purpose ---- */

static int stand_still(struct vcpu *v, ps_t until_ps, struct diag *d)
{
    (void)v;
    (void)until_ps;
    (void)d;
    return 0;
}
static const struct guest_ops lazy = {.run = stand_still};

static struct machine *small_machine(struct diag *d)
{
    static const char text[] = "machine { hypervisor { cores = 1 } numa { nodes = 2 dram = \"1GiB\" } }";
    struct machine_conf mc;
    struct conf *conf = conf_parse(text, strlen(text), "test", "", &experiment_schema, d);
    cr_assert(conf && machine_bind(conf_find(conf_root(conf), "machine", NULL), &mc, d) == 0, "%s", d->text);
    struct machine *m = machine_new(&mc, d);
    cr_assert(m, "%s", d->text);
    conf_free(conf);
    return m;
}

/* Its VMs have no guest that machine_free() could free. */
static void machine_drop(struct machine *m)
{
    hv_fini(&m->hv);
    caches_fini(&m->caches);
    numa_fini(&m->numa);
    mem_free(m->mem);
    free(m);
}

Test(machines, one_that_stands_still_is_found)
{
    struct diag d = {0};
    struct machine *m = small_machine(&d);
    struct vm_setup s = {.name = "still", .bytes = 16 * MIB, .n_vcpus = 1, .ops = &lazy};
    cr_assert(hv_vm_new(&m->hv, &s, &d), "%s", d.text);
    cr_expect_eq(hv_run(&m->hv, 0, &d), -1);
    cr_expect(strstr(d.text, "watchdog: vm still, vCPU 0 stands still"), "%s", d.text);
    struct core *core = &m->hv.cpu[0].core;
    core->store_n = (uint32_t)core->conf.store_buffer; /* whether the last one has left long ago or not */
    struct diag left = {0};
    cr_expect_eq(hv_run(&m->hv, 0, &left), -1);
    cr_expect(strstr(left.text, "does nothing"), "%s", left.text);
    core->store_ps[core->store_head] = core->now_ps + 1;
    struct diag again = {0};
    cr_expect_eq(hv_run(&m->hv, 0, &again), -1);
    cr_expect(strstr(again.text, "store buffer is full"), "%s", again.text);
    machine_drop(m);
}

Test(machines, a_lost_request_is_found)
{
    struct diag d = {0};
    struct machine *m = small_machine(&d);
    cr_expect_eq(machine_conserves(m, &d), 0, "%s", d.text);
    struct chan_stats *chan = &m->numa.node[0].chan[0].stats;
    static const char *const names[] = {"writes over links", "DRAM write queue", "requests to the L2",
                                        "reads over links",  "accesses by kind", "outstanding loads",
                                        "lines on links",    "messages on links"};
    for (uint32_t i = 0; i < N_ELEMS(names); i++) {
        struct diag found = {0};
        struct vm_setup s = {.name = "a", .bytes = 16 * MIB, .n_vcpus = 1, .ops = &lazy};
        struct vm *vm = i == 0 ? hv_vm_new(&m->hv, &s, &d) : m->hv.vm[0];
        uint64_t *counter[] = {&m->numa.stats[0].local_writes,
                               &m->numa.node[0].chan[0].dram.stats.drained,
                               &m->caches.core[0].stats.l1d_misses,
                               &chan->reads,
                               &vm->stats.writes,
                               NULL,
                               &m->numa.sent[0][1].writes,
                               &m->numa.link[0][1].stats.messages};
        if (counter[i])
            ++*counter[i];
        else
            m->hv.cpu[0].core.miss_n = CORE_MAX_MISSES + 1;
        cr_expect_eq(machine_conserves(m, &found), -1, "%s", names[i]);
        cr_expect(strstr(found.text, names[i]), "found '%s', expected %s", found.text, names[i]);
        if (counter[i])
            --*counter[i];
        m->hv.cpu[0].core.miss_n = 0;
    }
    machine_drop(m);
}

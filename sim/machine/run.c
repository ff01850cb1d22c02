/* SPDX-License-Identifier: MIT */
#include "sim/machine/run.h"

#include "build_id.h"
#include "sim/guest/exec.h"
#include "sim/machine/conserve.h"
#include "sim/machine/curve.h"
#include "sim/machine/machine.h"
#include "sim/machine/run_int.h"
#include "sim/mrc/lru.h"

#include <stdlib.h>
#include <string.h>

#define K(field) offsetof(struct run_conf, field)
#define RUN_KEYS                                                                                                        \
    {"seed", CONF_UINT, K(seed), "1", 0, 0, NULL, "seed of all random streams"},                                        \
        {"check", CONF_BOOL, K(check), "false", 0, 0, NULL, "golden models on: every promise is judged as it is made"}, \
        {"duration", CONF_TIME, K(duration_ps), "0us",                                                                  \
         0,          0,         NULL,           "simulated time after which the run ends; 0us: when all work is done"}, \
        {"sample", CONF_TIME, K(sample_ps), "0us",                                                                      \
         0,        0,         NULL,         "period of the curve of local accesses over time; 0us: off"},               \
        {"true_curve",                                                                                                  \
         CONF_BOOL,                                                                                                     \
         K(true_curve),                                                                                                 \
         "false",                                                                                                       \
         0,                                                                                                             \
         0,                                                                                                             \
         NULL,                                                                                                          \
         "also the exact miss-ratio curve of each VM's pages, and how far the policies' are from it"},                  \
        {"baseline", CONF_BOOL, K(baseline), "false", 0, 0, NULL, "run without policies first, for slowdown_percent"},  \
        {"crash_at", CONF_UINT, K(crash_at), "0",                                                                       \
         0,          0,         NULL,        "power fails at that persistence event, from 1 on; 0: never"},             \
    {                                                                                                                   \
        "policy_path", CONF_STRING, K(policy_path), "", 0, 0, NULL,                                                     \
            "folders searched for policies first, separated by ':'"                                                     \
    }
static const struct conf_key run_keys[] = {RUN_KEYS, {0}};
static const struct conf_key root_keys[] = {EXPERIMENT_KEYS, RUN_KEYS, {0}};
#undef K

/* Keys of a policy section that are not options of the policy. */
struct policy_conf {
    uint64_t is_on;
};
static const struct conf_key policy_keys[] = {
    {"on", CONF_BOOL, offsetof(struct policy_conf, is_on), "true", 0, 0, NULL, "false: the run is without this policy"},
    {0},
};

#define RUN_SECTIONS                                                                                                   \
    {.name = "machine", .keys = machine_keys, .subs = machine_sections, .help = "the host"},                           \
        {.name = "vm", .keys = vm_keys, .titled = true, .help = "a virtual machine and what runs in it"},              \
    {                                                                                                                  \
        .name = "policy", .keys = policy_keys, .titled = true, .open = true, .help = "a policy plugin and its options" \
    }
static const struct conf_schema study_sections[] = {RUN_SECTIONS, EXPERIMENT_SECTIONS, {0}};
static const struct conf_schema root_sections[] = {
    RUN_SECTIONS,
    EXPERIMENT_SECTIONS,
    {.name = "study",
     .keys = root_keys,
     .subs = study_sections,
     .titled = true,
     .help = "one of several experiments in a file"},
    {0},
};
const struct conf_schema experiment_schema = {.name = "", .keys = root_keys, .subs = root_sections};

/* ---- a run in progress ---- */

static void on_series(void *ctx, const char *name, const char *label, const char *x_name, double x, double y)
{
    struct run *r = ctx;
    result_point(r->out, name, label, x_name, x, y);
    for (uint32_t i = 0; r->seen && i < r->n_vms && strcmp(name, "miss_ratio") == 0; i++) {
        const char *vm = r->m->hv.vm[i]->name;
        size_t n = strlen(vm);
        if (strncmp(label, vm, n) == 0 && strcmp(label + n, " observed") == 0)
            curve_line_add(&r->seen[i], x, y);
    }
}

static void on_event(void *ctx, const char *category, const char *name, uint32_t pid, uint32_t tid, ps_t ts, ps_t dur)
{
    result_event(((struct run *)ctx)->out, category, name, pid, tid, ts, dur, NULL, 0);
}

static void on_taint(void *ctx, const char *word)
{
    result_taint(((struct run *)ctx)->out, word);
}

static void on_accesses(void *ctx, uint32_t vm, const uint64_t *gpn, uint32_t n)
{
    mrc_lru_feed(((struct run *)ctx)->curve[vm], gpn, n);
}

static int add_policies(struct run *r, const struct conf *conf, struct diag *d)
{
    struct hv *hv = &r->m->hv;
    struct plugin_host_conf host = {
        .n_nodes = hv->numa->n_nodes,
        .n_cpus = hv->n_cpus,
        .n_controllers = (uint32_t)(hv->numa->n_cpu_nodes * r->m->conf.imc.n_imcs),
        .seed = r->conf.seed,
    };
    int bad = 0;
    hv->plugins = plugin_host_new(&host, &hv_plugin_ops, hv);
    for (const struct conf_section *s = conf_find(conf_root(conf), "policy", NULL); s; s = conf_next(s)) {
        struct plugin_values values;
        struct policy_conf pc;
        if (conf_bind(s, policy_keys, &pc, d))
            return -1;
        if (!pc.is_on || r->is_baseline)
            continue;
        if (r->n_plugins == MAX_POLICIES)
            return fail(d, "%s: more than %u policies", conf_where(s), MAX_POLICIES);
        struct plugin *p = plugin_open(conf_title(s), r->conf.policy_path, conf_where(s), d);
        if (!p) {
            bad = -1;
            continue;
        }
        r->plugin[r->n_plugins++] = p;
        if (plugin_bind(p, s, policy_keys, &values, d) || plugin_host_add(hv->plugins, p, &values, conf_where(s), d))
            bad = -1;
    }
    return bad;
}

static struct vm *add_vm(struct run *r, const struct conf *conf, const struct conf_section *s, struct vm_conf *v,
                         struct diag *d)
{
    const char **path[] = {&v->trace, &v->program, &v->root, &v->record, &v->initrd, &v->sample_file};
    char *file[N_ELEMS(path)];
    for (uint32_t i = 0; i < N_ELEMS(path); i++) {
        file[i] = **path[i] ? conf_file(conf, *path[i]) : xstrdup("");
        *path[i] = file[i];
    }
    uint32_t since = d->len;
    struct vm *vm = guest_new(&r->m->hv, conf_title(s), v, conf_where(s), d);
    conf_blame(s, since, d);
    for (uint32_t i = 0; i < N_ELEMS(path); i++)
        free(file[i]);
    return vm;
}

static int add_vms(struct run *r, const struct conf *conf, struct diag *d)
{
    struct hv *hv = &r->m->hv;
    for (const struct conf_section *s = conf_find(conf_root(conf), "vm", NULL); s; s = conf_next(s)) {
        struct vm_conf v;
        if (conf_bind(s, vm_keys, &v, d))
            return -1;
        struct vm *vm = add_vm(r, conf, s, &v, d);
        if (!vm)
            return -1;
        if (hv->golden_counts) {
            vm->n_page_accesses = vm->top_gpa >> PAGE_SHIFT;
            vm->page_accesses = xcalloc(vm->n_page_accesses, sizeof *vm->page_accesses);
        }
    }
    r->n_vms = hv->n_vms;
    return hv->n_vms ? 0 : fail(d, "no vm section: expected at least one");
}

static void set_outputs(struct run *r)
{
    struct hv *hv = &r->m->hv;
    hv->seed = r->conf.seed;
    hv->check = r->conf.check;
    hv->sample_ps = r->conf.sample_ps;
    if (r->conf.crash_at)
        hv->crash_at = r->conf.crash_at - 1;
    bool wants_oracle = false;
    for (uint32_t i = 0; i < r->n_plugins; i++)
        wants_oracle |= r->plugin[i]->policy.caps & QUIRE_CAP_ORACLE;
    hv->golden_counts = r->conf.true_curve || wants_oracle;
}

/* ---- checkpoints ---- */

int run_checkpoint_read(const char *text, const char *origin, struct run_checkpoint *to, struct diag *d)
{
    static const struct conf_key key = {.name = "time", .type = CONF_TIME};
    const char *colon = strchr(text, ':');
    if (!colon || !colon[1])
        return fail(d, "%s: found '%s', expected TIME:FILE (2ms:half.ckpt)", origin, text);
    char *time = xasprintf("%.*s", (int)(colon - text), text);
    int bad = conf_value(&key, time, origin, &to->at_ps, d);
    free(time);
    to->path = colon + 1;
    return bad;
}

/* Everything that moves while a run runs. */
static void run_state(struct run *r, struct ckpt *c)
{
    ckpt_section(c, "run");
    CKPT(c, r->baseline_ps);
    hv_state(&r->m->hv, c);
    ckpt_section(c, "curves");
    for (uint32_t i = 0; r->curve && i < r->n_vms; i++) {
        mrc_lru_state(r->curve[i], c);
        curve_line_state(&r->seen[i], c);
    }
    result_state(r->out, c);
}

static void inputs_state(struct run_inputs *in, struct ckpt *c)
{
    uint64_t n = ckpt_count(c, in->n, 1u << 16);
    if (ckpt_is_loading(c))
        *in = (struct run_inputs){xcalloc(n + 1, sizeof *in->item), (uint32_t)n};
    for (uint32_t i = 0; i < in->n; i++) {
        ckpt_text(c, &in->item[i].kind);
        ckpt_text(c, &in->item[i].name);
        CKPT(c, in->item[i].digest);
        in->item[i].digest[sizeof in->item[i].digest - 1] = 0;
    }
}

static int save_one(struct run *r, const struct run_checkpoint *to, struct diag *d)
{
    struct run_resume head = {.build_id = xstrdup(QUIRE_BUILD_ID), .at_ps = r->m->hv.save_at};
    struct ckpt *c = NULL;
    if (run_ops.inputs(r->point, &head.inputs, d) == 0)
        c = ckpt_create(to->path, d);
    head.config = conf_print(r->point);
    head.dir = xstrdup(conf_dir(r->point));
    if (c) {
        ckpt_section(c, "about");
        ckpt_text(c, &head.build_id);
        ckpt_text(c, &head.config);
        ckpt_text(c, &head.dir);
        CKPT(c, head.at_ps);
        inputs_state(&head.inputs, c);
        run_state(r, c);
    }
    int bad = c ? ckpt_close(c, d) : -1;
    run_resume_close(&head);
    return bad;
}

static int on_save(void *ctx, struct diag *d)
{
    struct run *r = ctx;
    struct hv *hv = &r->m->hv;
    if (save_one(r, r->save_at[0], d))
        return -1;
    r->save_at++;
    r->n_saves--;
    hv->save_at = r->n_saves ? r->save_at[0]->at_ps : UINT64_MAX;
    return r->n_saves || !r->stop_saved ? 0 : RUN_STOPPED;
}

int run_resume_open(const char *path, struct run_resume *r, struct diag *d)
{
    *r = (struct run_resume){.ckpt = ckpt_open(path, d)};
    if (!r->ckpt)
        return -1;
    ckpt_section(r->ckpt, "about");
    ckpt_text(r->ckpt, &r->build_id);
    ckpt_text(r->ckpt, &r->config);
    ckpt_text(r->ckpt, &r->dir);
    CKPT(r->ckpt, r->at_ps);
    inputs_state(&r->inputs, r->ckpt);
    if (!r->build_id || !r->config || !r->dir)
        ckpt_fail(r->ckpt, "found no configuration in it");
    if (!ckpt_failed(r->ckpt))
        return 0;
    ckpt_close(r->ckpt, d);
    r->ckpt = NULL;
    run_resume_close(r);
    return -1;
}

void run_resume_close(struct run_resume *r)
{
    if (r->ckpt)
        ckpt_abort(r->ckpt);
    free(r->build_id);
    free(r->config);
    free(r->dir);
    run_inputs_free(&r->inputs);
    *r = (struct run_resume){0};
}

/* The files that the run reads are those of the checkpoint. */
static int same_inputs(const struct conf *conf, const struct run_inputs *had, struct diag *d)
{
    struct run_inputs has = {0};
    int bad = run_ops.inputs(conf, &has, d);
    for (uint32_t i = 0; !bad && i < had->n; i++)
        if (i >= has.n || strcmp(has.item[i].digest, had->item[i].digest) != 0)
            bad = fail(d, "%s %s: found other content than when the checkpoint was made, expected digest %s",
                       had->item[i].kind, had->item[i].name, had->item[i].digest);
    run_inputs_free(&has);
    return bad;
}

/* ---- start to end ---- */

static int prepare(struct run *r, const struct conf *conf, struct diag *d)
{
    struct machine_conf mc;
    if (conf_bind(conf_root(conf), run_keys, &r->conf, d) ||
        machine_bind(conf_find(conf_root(conf), "machine", NULL), &mc, d))
        return -1;
    if (r->conf.baseline && (r->conf.duration_ps || r->conf.crash_at))
        return fail(d, "baseline: found true with duration or crash_at, expected a run that ends with its work");
    if (r->is_baseline)
        r->conf.check = r->conf.true_curve = r->conf.sample_ps = 0;
    const struct conf_section *host = conf_find(conf_root(conf), "machine", NULL);
    uint32_t since = d->len;
    r->m = machine_new(&mc, d);
    if (!r->m) {
        conf_blame(host ? host : conf_root(conf), since, d);
        return -1;
    }
    r->m->hv.series = on_series;
    r->m->hv.taint = on_taint;
    r->m->hv.event = on_event;
    r->m->hv.out_ctx = r;
    if (add_policies(r, conf, d))
        return -1;
    set_outputs(r);
    return add_vms(r, conf, d);
}

static int execute(struct run *r, struct diag *d)
{
    struct hv *hv = &r->m->hv;
    if (r->conf.true_curve) {
        r->curve = xcalloc(r->n_vms, sizeof *r->curve);
        r->seen = xcalloc(r->n_vms, sizeof *r->seen);
        for (uint32_t i = 0; i < r->n_vms; i++)
            r->curve[i] = mrc_lru_new();
        hv->tap = on_accesses;
        hv->tap_ctx = r;
    }
    hv->diag = d;
    for (uint32_t i = 0; i < hv->n_vms && !r->from; i++)
        hv_vm_start(hv->vm[i]);
    if (r->from) {
        struct ckpt *c = r->from;
        run_state(r, c);
        r->from = NULL;
        if (ckpt_close(c, d))
            return -1;
    }
    hv->save = on_save;
    hv->save_ctx = r;
    hv->save_at = r->n_saves ? r->save_at[0]->at_ps : UINT64_MAX;
    int end = hv_run(hv, r->conf.duration_ps, d);
    if (end)
        return end;
    if (r->n_saves)
        return fail(d, "checkpoint: %s is for %llu ns, the run has ended at %llu ns", r->save_at[0]->path,
                    (unsigned long long)(r->save_at[0]->at_ps / PS_PER_NS),
                    (unsigned long long)(run_end(hv) / PS_PER_NS));
    bool crashed = hv->is_down;
    if (r->conf.crash_at && !crashed)
        return fail(d, "crash_at: %llu, the run has only %llu persistence events", (unsigned long long)r->conf.crash_at,
                    (unsigned long long)hv->n_pmem_events);
    if (crashed && hv_power_fail(hv, hv->down_ps, (enum power_outcome)hv->conf.power_fail, d))
        return -1;
    if (crashed)
        hv_power_up(hv);
    hv_finish(hv);
    struct diag fault = {0};
    CHECK_MSG(machine_conserves(r->m, &fault) == 0, "%s", fault.text);
    for (uint32_t i = 0; i < hv->n_vms; i++)
        if (guest_exec(hv->vm[i]) && exec_finish(guest_exec(hv->vm[i]), d))
            return -1;
    return d->n_errors || (r->conf.check && hv_verify(hv, d)) ? -1 : 0;
}

static void finish(struct run *r)
{
    for (uint32_t i = 0; r->curve && i < r->n_vms; i++)
        mrc_lru_free(r->curve[i]);
    for (uint32_t i = 0; r->seen && i < r->n_vms; i++)
        curve_line_free(&r->seen[i]);
    free(r->curve);
    free(r->seen);
    if (r->m)
        plugin_host_free(r->m->hv.plugins);
    machine_free(r->m);
    for (uint32_t i = 0; i < r->n_plugins; i++)
        plugin_close(r->plugin[i]);
}

/* How long the run takes without policies. */
static int run_baseline(const struct conf *conf, ps_t *time_ps, struct diag *d)
{
    struct run r = {.out = result_new(), .is_baseline = true, .point = conf};
    int bad = prepare(&r, conf, d) || execute(&r, d);
    *time_ps = bad ? 0 : run_end(&r.m->hv);
    finish(&r);
    result_free(r.out);
    return bad;
}

static int by_time(const void *a, const void *b)
{
    const struct run_checkpoint *x = *(const struct run_checkpoint *const *)a,
                                *y = *(const struct run_checkpoint *const *)b;
    return x->at_ps < y->at_ps ? -1 : x->at_ps > y->at_ps;
}

/* from: where it goes on, or NULL. */
static int run_whole(const struct conf *conf, struct run_resume *from, const struct run_checkpoints *save,
                     struct result *out, struct diag *d)
{
    const struct run_checkpoint *order[RUN_MAX_CHECKPOINTS] = {0};
    struct run r = {.out = out, .point = conf, .save_at = order, .n_saves = save->n, .stop_saved = save->stop};
    uint32_t before = d->n_errors;
    CHECK(save->n <= RUN_MAX_CHECKPOINTS);
    for (uint32_t i = 0; i < save->n; i++)
        order[i] = &save->at[i];
    qsort(order, save->n, sizeof(const struct run_checkpoint *), by_time);
    int bad = prepare(&r, conf, d);
    if (!bad && from) {
        r.from = from->ckpt;
        from->ckpt = NULL;
    } else if (!bad && r.conf.baseline) {
        bad = run_baseline(conf, &r.baseline_ps, d);
    }
    if (!bad)
        bad = execute(&r, d);
    if (!bad)
        run_report(&r);
    finish(&r);
    return d->n_errors != before ? -1 : bad;
}

int run_point(const struct conf *conf, struct result *out, struct diag *d)
{
    return run_whole(conf, NULL, &(struct run_checkpoints){0}, out, d);
}

int run_point_saving(const struct conf *conf, const struct run_checkpoints *save, struct result *out, struct diag *d)
{
    return run_whole(conf, NULL, save, out, d);
}

int run_resume_point(const struct conf *conf, struct run_resume *r, const struct run_checkpoints *save,
                     struct result *out, struct diag *d)
{
    return same_inputs(conf, &r->inputs, d) ? -1 : run_whole(conf, r, save, out, d);
}

/* Everything that can be found wrong without running: a machine is built and thrown away. */
static int check_point(const struct conf *conf, struct diag *d)
{
    struct run r = {.out = result_new()};
    int bad = prepare(&r, conf, d);
    finish(&r);
    result_free(r.out);
    return bad;
}

static void add_plugin(struct run_inputs *in, const struct plugin *p)
{
    in->item = xrealloc(in->item, (in->n + 1) * sizeof *in->item);
    struct run_input *i = &in->item[in->n++];
    *i = (struct run_input){.kind = xstrdup("plugin"), .name = xasprintf("%s.so", p->policy.name)};
    memcpy(i->digest, p->digest, sizeof i->digest);
}

static int point_inputs(const struct conf *conf, struct run_inputs *in, struct diag *d)
{
    struct run_conf rc;
    if (conf_bind(conf_root(conf), run_keys, &rc, d))
        return -1;
    for (const struct conf_section *s = conf_find(conf_root(conf), "vm", NULL); s; s = conf_next(s)) {
        struct vm_conf v;
        if (conf_bind(s, vm_keys, &v, d))
            return -1;
        const char *of = v.trace[0] ? v.trace : v.program;
        char *file = of[0] ? conf_file(conf, of) : NULL;
        int bad = file ? run_inputs_add(in, of == v.trace ? "trace" : "program", file, conf_where(s), d) : 0;
        free(file);
        file = !bad && v.initrd[0] ? conf_file(conf, v.initrd) : NULL;
        bad = bad || (file && run_inputs_add(in, "initrd", file, conf_where(s), d));
        free(file);
        if (bad)
            return -1;
    }
    for (const struct conf_section *s = conf_find(conf_root(conf), "policy", NULL); s; s = conf_next(s)) {
        struct policy_conf pc;
        if (conf_bind(s, policy_keys, &pc, d))
            return -1;
        if (!pc.is_on)
            continue;
        struct plugin *p = plugin_open(conf_title(s), rc.policy_path, conf_where(s), d);
        if (!p)
            return -1;
        add_plugin(in, p);
        plugin_close(p);
    }
    return 0;
}

const struct experiment_ops run_ops = {
    .schema = &experiment_schema,
    .build_id = QUIRE_BUILD_ID,
    .check = check_point,
    .inputs = point_inputs,
    .run = run_point,
};

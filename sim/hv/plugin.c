/* SPDX-License-Identifier: MIT */
/* The plugin host: instances, roles, hook calls, ejection, the chain of decisions. */
#include "sim/hv/plugin_int.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BUDGET (1ull << 20)

static const char *const hook_names[N_HOOKS] = {"init", "vm_event", "fault", "timer", "done", "flush", "power"};

/* ---- the host ---------------------------------------------------------------------------------------------------- */

struct plugin_host *plugin_host_new(const struct plugin_host_conf *conf, const struct plugin_ops *ops, void *machine)
{
    struct plugin_host *h = xcalloc(1, sizeof *h);
    h->conf = *conf;
    h->conf.budget = conf->budget ? conf->budget : DEFAULT_BUDGET;
    h->ops = ops;
    h->machine = machine;
    return h;
}

static void policy_free(struct policy *p)
{
    if (p->self != NULL && QUIRE_HAS(&p->plugin->hooks, fini) && p->plugin->hooks.fini != NULL)
        p->plugin->hooks.fini(p->self);
    for (uint32_t i = 0; i < p->n_hists; i++)
        free(p->hist[i]);
    free(p);
}

void plugin_host_free(struct plugin_host *h)
{
    if (h == NULL)
        return;
    for (uint32_t i = 0; i < h->n_policies; i++)
        policy_free(h->policy[i]);
    for (uint32_t i = 0; i < h->n_vms; i++)
        free(h->vm[i].name);
    free(h->policy);
    free(h->vm);
    free(h->timer);
    free(h);
}

uint32_t plugin_host_n(const struct plugin_host *h)
{
    return h->n_policies;
}

/* ---- decisions and ejection -------------------------------------------------------------------------------------- */

int32_t plugin_decide(struct policy *p, const char *what, uint64_t a, uint64_t b, int32_t result)
{
    struct plugin_host *h = p->host;
    struct {
        XXH128_hash_t before;
        uint64_t now, a, b;
        uint32_t policy, hook;
        int64_t result;
        char what[PLUGIN_NAME_LEN + 7];
    } record;
    memset(&record, 0, sizeof record);
    record.before = h->chain;
    record.now = h->ops->now_ps(h->machine);
    record.a = a;
    record.b = b;
    record.policy = p->index;
    record.hook = h->hook;
    record.result = result;
    memcpy(record.what, what, strnlen(what, PLUGIN_NAME_LEN - 1));
    h->chain = XXH3_128bits(&record, sizeof record);
    if (h->conf.log != NULL)
        fprintf(h->conf.log, "%llu %llu %s %s %s %llu %llu %d %016llx%016llx\n", (unsigned long long)h->n_decisions,
                (unsigned long long)record.now, p->plugin->policy.name, hook_names[h->hook], record.what,
                (unsigned long long)a, (unsigned long long)b, result, (unsigned long long)h->chain.high64,
                (unsigned long long)h->chain.low64);
    h->n_decisions++;
    return result;
}

void plugin_eject(struct policy *p, const char *fmt, ...)
{
    struct plugin_host *h = p->host;
    va_list ap;
    if (p->is_ejected)
        return;
    int n = snprintf(p->reason, sizeof p->reason, "%s hook: ", hook_names[h->hook]);
    va_start(ap, fmt);
    vsnprintf(p->reason + n, sizeof p->reason - (size_t)n, fmt, ap);
    va_end(ap);
    p->is_ejected = true;
    plugin_decide(p, "ejected", 0, 0, 0);
    for (uint32_t i = 0; i < h->n_timers; i++)
        if (h->timer[i].owner == p)
            h->timer[i].owner = NULL;
    if (p->roles != 0)
        h->ops->release_roles(h->machine, p->roles);
    p->roles = 0;
}

void plugin_host_chain(const struct plugin_host *h, char hex[PLUGIN_DIGEST_LEN])
{
    snprintf(hex, PLUGIN_DIGEST_LEN, "%016llx%016llx", (unsigned long long)h->chain.high64,
             (unsigned long long)h->chain.low64);
}

uint64_t plugin_host_decisions(const struct plugin_host *h)
{
    return h->n_decisions;
}

/* ---- hook calls -------------------------------------------------------------------------------------------------- */

/* Arguments of any hook. */
struct call {
    struct policy *policy;
    enum plugin_hook hook;
    uint32_t cpu;
    const void *in;
    void *out;
    quire_timer timer;
    uint64_t cookie, now_ps;
    int32_t result;
};

static void dispatch(struct call *c)
{
    const struct quire_hooks *k = &c->policy->plugin->hooks;
    void *self = c->policy->self;
    if (c->hook == HOOK_INIT)
        c->result = c->policy->plugin->policy.init(&c->policy->quire_host, &c->policy->self, c->out);
    else if (c->hook == HOOK_EVENT)
        k->vm_event(self, c->in);
    else if (c->hook == HOOK_FAULT)
        k->fault(self, c->in, c->out);
    else if (c->hook == HOOK_TIMER)
        k->timer(self, c->timer, c->cookie, c->now_ps);
    else if (c->hook == HOOK_DONE)
        k->done(self, c->in);
    else if (c->hook == HOOK_FLUSH)
        *(uint64_t *)c->out = k->flush(self, c->in);
    else
        k->power(self, c->in);
}

/* Calls one hook; services know from the host who calls them. A hook that must be abandoned comes back through out. */
static void call(struct plugin_host *h, struct call *c)
{
    struct policy *p = c->policy;
    CHECK_MSG(h->current == NULL, "a policy hook within a policy hook");
    h->current = p;
    h->hook = c->hook;
    h->cpu = c->cpu;
    h->calls = 0;
    h->has_worked = h->has_charged = false;
    p->hook_calls++;
    if (setjmp(h->out) == 0)
        dispatch(c);
    p = h->current;
    p->service_calls += h->calls;
    p->uncharged_hooks += h->has_worked && !h->has_charged;
    p->worked |= (uint32_t)h->has_worked << h->hook;
    p->charged |= (uint32_t)h->has_charged << h->hook;
    h->current = NULL;
}

static bool has_hook(const struct policy *p, enum plugin_hook hook)
{
    const struct quire_hooks *k = &p->plugin->hooks;
    const bool has[N_HOOKS] = {
        [HOOK_EVENT] = k->vm_event != NULL, [HOOK_FAULT] = k->fault != NULL, [HOOK_TIMER] = k->timer != NULL,
        [HOOK_DONE] = k->done != NULL,      [HOOK_FLUSH] = k->flush != NULL, [HOOK_POWER] = k->power != NULL,
    };
    return !p->is_ejected && has[hook];
}

static struct policy *owner_of(const struct plugin_host *h, uint64_t role)
{
    for (uint32_t i = 0; i < h->n_policies; i++)
        if (h->policy[i]->roles & role)
            return h->policy[i];
    return NULL;
}

const char *plugin_host_owner(const struct plugin_host *h, uint64_t role)
{
    const struct policy *p = owner_of(h, role);
    return p == NULL ? NULL : p->plugin->policy.name;
}

int plugin_host_add(struct plugin_host *h, const struct plugin *p, const struct plugin_values *v, const char *where,
                    struct diag *d)
{
    const char *why = NULL;
    for (uint32_t i = 0; i < h->n_policies; i++)
        if (strcmp(h->policy[i]->plugin->policy.name, p->policy.name) == 0)
            return fail(d, "%s: policy %s is there twice", where, p->policy.name);
    struct policy *q = xcalloc(1, sizeof *q);
    q->host = h;
    q->plugin = p;
    q->values = *v;
    q->index = h->n_policies;
    plugin_services_init(q);
    struct call c = {.policy = q, .hook = HOOK_INIT, .out = &why};
    call(h, &c);
    if (c.result == QUIRE_OK && !q->is_ejected) {
        h->policy = xrealloc(h->policy, (h->n_policies + 1) * sizeof(struct policy *));
        h->policy[h->n_policies++] = q;
        return 0;
    }
    if (q->is_ejected)
        fail(d, "%s: policy %s broke a rule: %s", where, p->policy.name, q->reason);
    else
        fail(d, "%s: policy %s refuses: %s", where, p->policy.name, why ? why : "it does not say why");
    policy_free(q);
    return -1;
}

/* ---- VMs --------------------------------------------------------------------------------------------------------- */

quire_vm plugin_vm_handle(const struct plugin_host *h, uint32_t vm)
{
    CHECK(vm < h->n_vms && h->vm[vm].is_alive);
    return vm | (quire_vm)h->vm[vm].generation << 32;
}

int64_t plugin_vm_index(const struct plugin_host *h, quire_vm vm)
{
    uint32_t i = (uint32_t)vm;
    return i < h->n_vms && h->vm[i].is_alive && h->vm[i].generation == vm >> 32 ? (int64_t)i : -1;
}

quire_vm plugin_host_vm_new(struct plugin_host *h, uint32_t vm, const char *name)
{
    if (vm >= h->n_vms) {
        h->vm = xrealloc(h->vm, (vm + 1) * sizeof *h->vm);
        memset(&h->vm[h->n_vms], 0, (vm + 1 - h->n_vms) * sizeof *h->vm);
        h->n_vms = vm + 1;
    }
    struct plugin_vm *v = &h->vm[vm];
    CHECK(!v->is_alive);
    free(v->name);
    *v = (struct plugin_vm){.is_alive = true, .generation = v->generation + 1, .name = xstrdup(name)};
    return plugin_vm_handle(h, vm);
}

void plugin_host_vm_gone(struct plugin_host *h, uint32_t vm)
{
    plugin_host_event(h, vm, 0, (struct quire_vm_event){.what = QUIRE_VM_DESTROYED});
    h->vm[vm].is_alive = false;
}

/* ---- hooks ------------------------------------------------------------------------------------------------------- */

void plugin_host_event(struct plugin_host *h, uint32_t vm, uint32_t cpu, struct quire_vm_event e)
{
    e.size = sizeof e;
    e.vm = plugin_vm_handle(h, vm);
    e.now_ps = h->ops->now_ps(h->machine);
    for (uint32_t i = 0; i < h->n_policies; i++)
        if (has_hook(h->policy[i], HOOK_EVENT))
            call(h, &(struct call){.policy = h->policy[i], .hook = HOOK_EVENT, .cpu = cpu, .in = &e});
}

/* True if the verdict makes sense; if not, the policy is ejected. */
static bool check_verdict(struct policy *p, const struct quire_fault *f, const struct quire_verdict *v)
{
    uint32_t what = v->what;
    if (what > QUIRE_VERDICT_EMULATE)
        plugin_eject(p, "verdict %u is none of QUIRE_VERDICT_*", what);
    else if (what == QUIRE_VERDICT_SKIP && f->why != QUIRE_FAULT_HINT)
        plugin_eject(p, "verdict SKIP on a fault that is no store to a flush hint");
    else if (what == QUIRE_VERDICT_EMULATE && f->why != QUIRE_FAULT_TRACE)
        plugin_eject(p, "verdict EMULATE on a fault that is no trace");
    else if (what == QUIRE_VERDICT_RESUME && f->why == QUIRE_FAULT_HINT)
        plugin_eject(p, "verdict RESUME on a store to a flush hint would fault for ever");
    else if (f->why == QUIRE_FAULT_MISSING && v->node != QUIRE_NODE_ANY && v->node >= p->host->conf.n_nodes)
        plugin_eject(p, "node %u of a host with %u", v->node, p->host->conf.n_nodes);
    else if (v->until_ps != 0 && (v->until_ps < f->now_ps || v->until_ps - f->now_ps > PLUGIN_MAX_TIME))
        plugin_eject(p, "until_ps %llu is not after now %llu", (unsigned long long)v->until_ps,
                     (unsigned long long)f->now_ps);
    return !p->is_ejected;
}

bool plugin_host_fault(struct plugin_host *h, uint32_t vm, struct quire_fault f, struct quire_verdict *out)
{
    static const uint64_t role_of[] = {[QUIRE_FAULT_TRACE] = QUIRE_ROLE_TRACE,
                                       [QUIRE_FAULT_HINT] = QUIRE_ROLE_PMEM,
                                       [QUIRE_FAULT_MISSING] = QUIRE_ROLE_PLACEMENT};
    CHECK(f.why >= QUIRE_FAULT_TRACE && f.why <= QUIRE_FAULT_MISSING);
    struct policy *p = owner_of(h, role_of[f.why]);
    if (p == NULL || !has_hook(p, HOOK_FAULT))
        return false;
    f.size = sizeof f;
    f.vm = plugin_vm_handle(h, vm);
    f.now_ps = h->ops->now_ps(h->machine);
    *out = (struct quire_verdict){.size = sizeof *out, .node = QUIRE_NODE_ANY};
    call(h, &(struct call){.policy = p, .hook = HOOK_FAULT, .cpu = f.cpu, .in = &f, .out = out});
    if (p->is_ejected || !check_verdict(p, &f, out))
        return false;
    plugin_decide(p, "verdict", f.gpa, out->until_ps, (int32_t)out->what);
    return out->what != QUIRE_VERDICT_DEFAULT;
}

bool plugin_host_flush(struct plugin_host *h, uint32_t vm, struct quire_flush f, ps_t *done_ps)
{
    struct policy *p = owner_of(h, QUIRE_ROLE_PMEM);
    uint64_t done = 0;
    if (p == NULL || !has_hook(p, HOOK_FLUSH))
        return false;
    f.size = sizeof f;
    f.vm = plugin_vm_handle(h, vm);
    f.now_ps = h->ops->now_ps(h->machine);
    call(h, &(struct call){.policy = p, .hook = HOOK_FLUSH, .cpu = f.cpu, .in = &f, .out = &done});
    if (!p->is_ejected && (done < f.now_ps || done - f.now_ps > PLUGIN_MAX_TIME))
        plugin_eject(p, "answer %llu is not after now %llu", (unsigned long long)done, (unsigned long long)f.now_ps);
    if (p->is_ejected)
        return false;
    plugin_decide(p, "flushed", f.region, done, 0);
    *done_ps = done;
    return true;
}

/* The hook took longer than the period of its timer: what was missed is not made up for, or the vCPUs of that CPU would
 * never run again. */
static void skip_missed(struct plugin_host *h, uint64_t id)
{
    struct plugin_timer *t = &h->timer[(uint32_t)id];
    if (t->owner == NULL || t->generation != id >> 32 || t->period_ps == 0 || h->ops->cpu_ps == NULL)
        return;
    ps_t clock = h->ops->cpu_ps(h->machine, t->cpu);
    if (t->at_ps > clock)
        return;
    t->at_ps += ((clock - t->at_ps) / t->period_ps + 1) * t->period_ps;
    h->ops->timer_at(h->machine, t->at_ps, id);
}

/* The same of timers that the hook has started to fire once: one whose time passed while the hook worked counts its
 * delay from the hook's end. */
static void begin_fresh(struct plugin_host *h)
{
    for (uint32_t i = 0; i < h->n_timers && h->n_fresh; i++) {
        struct plugin_timer *t = &h->timer[i];
        if (!t->delay_ps)
            continue;
        ps_t clock = h->ops->cpu_ps && t->owner ? h->ops->cpu_ps(h->machine, t->cpu) : 0;
        if (t->at_ps <= clock) {
            t->at_ps = clock + t->delay_ps;
            h->ops->timer_at(h->machine, t->at_ps, i | (uint64_t)t->generation << 32);
        }
        t->delay_ps = 0;
        h->n_fresh--;
    }
    h->n_fresh = 0;
}

void plugin_host_timer(struct plugin_host *h, uint64_t id)
{
    uint32_t i = (uint32_t)id;
    if (i >= h->n_timers || h->timer[i].generation != id >> 32 || h->timer[i].owner == NULL)
        return; /* stopped meanwhile */
    struct plugin_timer *t = &h->timer[i];
    struct call c = {.policy = t->owner, .hook = HOOK_TIMER, .cpu = t->cpu, .timer = id, .cookie = t->cookie};
    c.now_ps = h->ops->now_ps(h->machine);
    if (c.now_ps < t->at_ps)
        return; /* announced more than once */
    if (t->period_ps != 0) {
        t->at_ps += t->period_ps;
        h->ops->timer_at(h->machine, t->at_ps, id);
    } else {
        t->owner = NULL;
    }
    if (has_hook(c.policy, HOOK_TIMER))
        call(h, &c);
    skip_missed(h, id);
    begin_fresh(h);
}

void plugin_host_done(struct plugin_host *h, uint32_t vm, uint32_t cpu, struct quire_done d)
{
    struct policy *p = owner_of(h, QUIRE_ROLE_NUMA);
    d.size = sizeof d;
    d.vm = plugin_vm_handle(h, vm);
    d.now_ps = h->ops->now_ps(h->machine);
    if (p != NULL && has_hook(p, HOOK_DONE))
        call(h, &(struct call){.policy = p, .hook = HOOK_DONE, .cpu = cpu, .in = &d});
}

void plugin_host_power(struct plugin_host *h, uint32_t what)
{
    struct quire_power e = {.size = sizeof e, .what = what, .now_ps = h->ops->now_ps(h->machine)};
    for (uint32_t i = 0; i < h->n_policies; i++)
        if (has_hook(h->policy[i], HOOK_POWER))
            call(h, &(struct call){.policy = h->policy[i], .hook = HOOK_POWER, .in = &e});
}

/* ---- what is left behind ----------------------------------------------------------------------------------------- */

static void visit_count(const struct policy *p, const struct plugin_visitor *v, const char *name, uint64_t value)
{
    char key[128];
    snprintf(key, sizeof key, "policy.%s.%s", p->plugin->policy.name, name);
    v->count(v->ctx, key, value);
}

static void visit_policy(const struct policy *p, const struct plugin_visitor *v)
{
    char key[128];
    visit_count(p, v, "hook_calls", p->hook_calls);
    visit_count(p, v, "service_calls", p->service_calls);
    visit_count(p, v, "refused_calls", p->refused_calls);
    visit_count(p, v, "charged_cycles", p->charged_cycles);
    visit_count(p, v, "uncharged_hooks", p->uncharged_hooks);
    for (uint32_t i = 0; i < p->n_counters; i++)
        visit_count(p, v, p->counter_name[i].name, p->counter[i]);
    for (uint32_t i = 0; i < p->n_hists; i++) {
        snprintf(key, sizeof key, "policy.%s.%s", p->plugin->policy.name, p->hist_name[i].name);
        v->hist(v->ctx, key, p->hist[i]);
    }
    if (p->is_ejected) {
        snprintf(key, sizeof key, "policy.%s.ejected", p->plugin->policy.name);
        v->text(v->ctx, key, p->reason);
    }
}

void plugin_host_visit(const struct plugin_host *h, const struct plugin_visitor *v)
{
    for (uint32_t i = 0; i < h->n_policies; i++)
        visit_policy(h->policy[i], v);
}

char *plugin_host_uncharged(const struct plugin_host *h, uint32_t policy)
{
    char *out = xstrdup("");
    uint32_t hooks = h->policy[policy]->worked & ~h->policy[policy]->charged;
    for (uint32_t i = 0; i < N_HOOKS; i++)
        if (hooks >> i & 1 && i != HOOK_INIT) {
            char *longer = xasprintf("%s%s%s", out, *out ? " " : "", hook_names[i]);
            free(out);
            out = longer;
        }
    return out;
}

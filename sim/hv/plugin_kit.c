/* SPDX-License-Identifier: MIT */
/* The conformance kit's workload: a VM's life on a small machine, with the policy under test in charge of it. */
#include "sim/hv/plugin_kit_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES      2u
#define CPUS       4u
#define STEP_PS    (20 * PS_PER_US)
#define STEPS      10000u
#define MAX_EVENTS 200000u

/* ---- the workload ------------------------------------------------------------------------------------------------ */

/* Ends the oldest move. */
static void end_move(struct kit *k)
{
    struct quire_done d = {.gpa = k->queue[0], .to_node = k->queue_node[0]};
    struct kit_page *p = &k->page[d.gpa >> PAGE_SHIFT];
    d.from_node = p->node;
    d.result = !p->is_mapped ? QUIRE_E_NOENT : p->is_pinned ? QUIRE_E_BUSY : QUIRE_OK;
    if (d.result == QUIRE_OK)
        p->node = d.to_node;
    k->n_queue--;
    memmove(k->queue, k->queue + 1, k->n_queue * sizeof k->queue[0]);
    memmove(k->queue_node, k->queue_node + 1, k->n_queue * sizeof k->queue_node[0]);
    k->now = k->move_done;
    k->move_done += KIT_MOVE_PS;
    k->out->n_moves++;
    plugin_host_done(k->host, 0, 0, d);
}

/* Lets time pass; a run has at most MAX_EVENTS, so that a policy whose timers breed cannot hold it up. */
static void run_until(struct kit *k, ps_t until)
{
    for (; k->n_events < MAX_EVENTS; k->n_events++) {
        uint32_t first = k->n_due;
        for (uint32_t i = 0; i < k->n_due; i++)
            if (k->due[i].at <= until && (first == k->n_due || k->due[i].at < k->due[first].at))
                first = i;
        if (k->n_queue > 0 && k->move_done <= until && (first == k->n_due || k->move_done <= k->due[first].at)) {
            end_move(k);
        } else if (first < k->n_due) {
            uint64_t id = k->due[first].id;
            k->now = k->due[first].at;
            memmove(&k->due[first], &k->due[first + 1], (--k->n_due - first) * sizeof k->due[0]);
            plugin_host_timer(k->host, id);
        } else {
            break;
        }
    }
    k->now = max_u64(k->now, until);
}

static void touch(struct kit *k, uint32_t vcpu, uint32_t page, uint32_t access)
{
    struct kit_page *p = &k->page[page];
    struct quire_verdict v;
    struct quire_fault f = {.access = access, .vcpu = vcpu, .cpu = vcpu, .gpa = (uint64_t)page << PAGE_SHIFT | 16};
    if (!p->is_mapped) {
        f.why = QUIRE_FAULT_MISSING;
        bool is_placed = plugin_host_fault(k->host, 0, f, &v) && v.node != QUIRE_NODE_ANY;
        *p = (struct kit_page){.is_mapped = true, .node = is_placed ? v.node : k->node_of_vcpu[vcpu]};
        plugin_host_event(k->host, 0, vcpu, (struct quire_vm_event){.what = QUIRE_VM_MAPPED, .gpa = f.gpa & ~4095ull});
    }
    if (p->trace & access || (p->trace != 0 && access & QUIRE_ACCESS_WALK)) {
        f.why = QUIRE_FAULT_TRACE;
        k->out->n_faults++;
        if (!plugin_host_fault(k->host, 0, f, &v) || v.what != QUIRE_VERDICT_EMULATE)
            p->trace = 0;
    }
    p->is_accessed = true;
    if (access == QUIRE_ACCESS_WRITE && !p->is_dirty && k->has_pml && k->n_log < KIT_PAGES)
        k->log[k->n_log++] = (uint64_t)page << PAGE_SHIFT;
    p->is_dirty |= access == QUIRE_ACCESS_WRITE;
    p->count++;
    for (uint32_t i = 0; i < 3 && !(access & QUIRE_ACCESS_WALK); i++)
        k->retired[i] += access >> i & 1;
}

/* One flush of a region, as the guest would do it. */
static void flush(struct kit *k, uint32_t vcpu, uint32_t region)
{
    struct quire_verdict v;
    ps_t done;
    if (k->mode[region] == QUIRE_HINT_TRAP)
        plugin_host_fault(k->host, 0,
                          (struct quire_fault){.why = QUIRE_FAULT_HINT,
                                               .access = QUIRE_ACCESS_WRITE,
                                               .vcpu = vcpu,
                                               .cpu = vcpu,
                                               .gpa = 1ull << 40,
                                               .region = region},
                          &v);
    else if (k->mode[region] == QUIRE_HINT_HYPERCALL)
        plugin_host_flush(k->host, 0, (struct quire_flush){.vcpu = vcpu, .cpu = vcpu, .region = region}, &done);
}

static void move_vcpus(struct kit *k, uint32_t node)
{
    for (uint32_t i = 0; i < 2; i++) {
        k->node_of_vcpu[i] = node;
        plugin_host_event(
            k->host, 0, 2 * node + i,
            (struct quire_vm_event){.what = QUIRE_VM_VCPU_MOVED, .vcpu = i, .cpu = 2 * node + i, .node = node});
    }
}

static void change_host(struct kit *k, uint64_t hints)
{
    k->hints = hints;
    plugin_host_event(k->host, 0, 0, (struct quire_vm_event){.what = QUIRE_VM_HOST_CHANGED, .value = hints});
}

static void unmap(struct kit *k, uint32_t page)
{
    if (!k->page[page].is_mapped || k->page[page].is_pinned)
        return;
    k->page[page] = (struct kit_page){0};
    plugin_host_event(k->host, 0, 0,
                      (struct quire_vm_event){.what = QUIRE_VM_UNMAPPED, .gpa = (uint64_t)page << PAGE_SHIFT});
}

/* The state of policies as bytes of a file in a folder of its own. -1: why is in d. */
static int through_checkpoint(struct kit *k, struct plugin_host *from, struct plugin_host *to, struct diag *d)
{
    char dir[] = "/tmp/quire-kit-XXXXXX";
    if (!mkdtemp(dir))
        return fail(d, "no folder for a checkpoint: %s", strerror(errno));
    char *path = xasprintf("%s/policy.ckpt", dir);
    struct ckpt *c = ckpt_create(path, d);
    if (c)
        plugin_host_state(from, c);
    int bad = c ? ckpt_close(c, d) : -1;
    c = bad ? NULL : ckpt_open(path, d);
    if (c)
        plugin_host_state(to, c);
    bad = c ? ckpt_close(c, d) : -1;
    unlink(path);
    rmdir(dir);
    free(path);
    (void)k;
    return bad;
}

/* A new host and instance take the old ones' place. What init asks of the machine is not asked again. */
static void restart(struct kit *k)
{
    struct diag d = {0};
    struct plugin_host *fresh = plugin_host_new(k->conf, &kit_ops, k);
    struct kit before = *k;
    before.due = xcalloc(k->cap_due + 1ul, sizeof *k->due);
    if (k->n_due)
        memcpy(before.due, k->due, k->n_due * sizeof *k->due);
    int bad = plugin_host_add(fresh, k->plugin, k->values, "check", &d);
    free(k->due);
    *k = before;
    bad = bad || through_checkpoint(k, k->host, fresh, &d);
    if (bad && !k->out->has_refused) {
        k->out->has_refused = true;
        snprintf(k->out->refusal, sizeof k->out->refusal, "%.299s", d.text);
    }
    if (bad) {
        plugin_host_free(fresh);
        k->restart_every = 0;
        return;
    }
    plugin_host_free(k->host);
    k->host = fresh;
}

static void workload(struct kit *k)
{
    plugin_host_vm_new(k->host, 0, "kit");
    plugin_host_event(k->host, 0, 0, (struct quire_vm_event){.what = QUIRE_VM_CREATED});
    move_vcpus(k, 0);
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t page = (uint32_t)rng_below(&k->rng, 1 + rng_below(&k->rng, KIT_PAGES)), vcpu = i & 1;
        run_until(k, (i + 1) * STEP_PS);
        touch(k, vcpu, page, i % 3 == 0 ? QUIRE_ACCESS_WRITE : QUIRE_ACCESS_READ);
        if (i % 7 == 0)
            touch(k, vcpu, page / 8, QUIRE_ACCESS_READ | QUIRE_ACCESS_WALK);
        if (i % 5 == 0)
            flush(k, vcpu, page % KIT_REGIONS);
        if (i % 101 == 100)
            unmap(k, page);
        if (i == STEPS / 4 || i == STEPS * 3 / 4)
            move_vcpus(k, i == STEPS / 4);
        if (i == STEPS / 3 || i == STEPS / 2)
            change_host(k, i == STEPS / 3 ? 0 : 15);
        if (i == STEPS / 2)
            plugin_host_event(k->host, 0, 0, (struct quire_vm_event){.what = QUIRE_VM_PHASE, .value = 1});
        k->backing[1] = i < STEPS * 2 / 3 ? 3 : 12;
        if (k->restart_every && i % k->restart_every == k->restart_every - 1)
            restart(k);
    }
    plugin_host_power(k->host, QUIRE_POWER_FAIL);
    plugin_host_vm_gone(k->host, 0);
}

/* ---- one run ----------------------------------------------------------------------------------------------------- */

static void see_count(void *ctx, const char *key, uint64_t value)
{
    struct kit_run *out = ctx;
    const char *name = strrchr(key, '.') + 1;
    if (strcmp(name, "hook_calls") == 0)
        out->hook_calls += value;
    else if (strcmp(name, "refused_calls") == 0)
        out->refused_calls += value;
}
static void see_hist(void *ctx, const char *key, const struct hist *h)
{
    (void)ctx, (void)key, (void)h;
}
static void see_text(void *ctx, const char *key, const char *text)
{
    struct kit_run *out = ctx;
    (void)key;
    snprintf(out->ejected, sizeof out->ejected, "%s", text);
}

/* Owns roles and does nothing, so that the policy under test finds them taken. */
static int32_t squatter_init(const struct quire_host *h, void **self, const char **why)
{
    const struct quire_core *core = h->service(h, "quire.core/1");
    (void)self, (void)why;
    return h->claim(h, core->option(core, "roles"));
}
static const struct quire_option squatter_options[] = {QUIRE_OPTION(UINT, "roles", "0", "roles to own")};
static const struct quire_hooks squatter_hooks = {.size = sizeof squatter_hooks};
static const struct quire_policy squatter_policy = {.size = sizeof squatter_policy,
                                                    .abi_major = QUIRE_ABI_MAJOR,
                                                    .abi_minor = QUIRE_ABI_MINOR,
                                                    .name = "kit-owner-of-roles",
                                                    .help = "",
                                                    .roles = ~0ull,
                                                    QUIRE_OPTIONS(squatter_options),
                                                    .hooks = &squatter_hooks,
                                                    .init = squatter_init};
static const struct quire_policy *squatter_entry(void)
{
    return &squatter_policy;
}

void kit_run(const struct plugin *p, const struct plugin_values *v, uint64_t claimed, uint64_t budget,
             struct kit_run *out)
{
    kit_run_restarted(p, v, claimed, budget, 0, out);
}

void kit_run_restarted(const struct plugin *p, const struct plugin_values *v, uint64_t claimed, uint64_t budget,
                       uint32_t restart_every, struct kit_run *out)
{
    struct diag d = {0};
    struct plugin *squatter = plugin_adopt(squatter_entry, "the kit", &d);
    struct plugin_values roles = {{claimed}};
    struct kit *k = xcalloc(1, sizeof *k);
    const struct plugin_host_conf conf = {
        .n_nodes = NODES, .n_cpus = CPUS, .n_controllers = KIT_CONTROLLERS, .budget = budget, .seed = 1};
    *out = (struct kit_run){0};
    CHECK(squatter != NULL);
    k->out = out;
    k->conf = &conf;
    k->plugin = p;
    k->values = v;
    k->restart_every = restart_every;
    k->hints = 15;
    k->backing[0] = 15;
    k->backing[1] = 3;
    rng_init(&k->rng, 1, "kit");
    k->host = plugin_host_new(&conf, &kit_ops, k);
    int r = claimed ? plugin_host_add(k->host, squatter, &roles, "the kit", &d) : 0;
    CHECK_MSG(r == 0, "%s", d.text);
    if (plugin_host_add(k->host, p, v, "check", &d) == 0) {
        workload(k);
        char *uncharged = plugin_host_uncharged(k->host, plugin_host_n(k->host) - 1);
        snprintf(out->uncharged, sizeof out->uncharged, "%s", uncharged);
        free(uncharged);
    } else {
        out->has_refused = true;
        snprintf(out->refusal, sizeof out->refusal, "%.299s", d.text);
    }
    plugin_host_visit(k->host, &(struct plugin_visitor){out, see_count, see_hist, see_text});
    plugin_host_chain(k->host, out->chain);
    out->n_decisions = plugin_host_decisions(k->host);
    plugin_host_free(k->host);
    plugin_close(squatter);
    free(k->due);
    free(k);
}

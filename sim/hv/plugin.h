/* SPDX-License-Identifier: MIT */
/* The policy plugin host. Loads shared objects that speak include/quire/policy.h, checks everything they say, calls
 * their hooks and lets the hypervisor do what they ask (struct plugin_ops). A policy that breaks a rule is ejected: the
 * built-in default goes on in its place and the result says why.
 *
 *   plugin_open()  ->  plugin_bind() options  ->  plugin_host_add()  ->  plugin_host_*() hooks  -> plugin_host_finish()
 */
#ifndef QUIRE_HV_PLUGIN_H
#define QUIRE_HV_PLUGIN_H

#include "sim/base/ckpt.h"
#include "sim/base/conf.h"
#include "sim/base/hist.h"
#include "sim/base/types.h"

#include <quire/policy.h>
#include <stdio.h>

/* ---- loading ----------------------------------------------------------------------------------------------------- */
#define PLUGIN_MAX_OPTIONS 64u
#define PLUGIN_DIGEST_LEN  33u

/* A loaded shared object. Everything in it was checked; strings and tables belong to the object. */
struct plugin {
    void *so;
    char *path;
    char digest[PLUGIN_DIGEST_LEN]; /* its source_id, or else XXH3-128 of the file: 32 hex digits */
    struct quire_policy policy; /* as far as the plugin's own struct goes; the rest is 0. hooks is not to be used: */
    struct quire_hooks hooks;   /* the same for its hooks */
    uint32_t n_options;
    struct conf_key option[PLUGIN_MAX_OPTIONS + 1]; /* ends with name == NULL; offset is 8 * index */
};

/* Values of the options, in the order of plugin.option: what conf_bind fills. */
struct plugin_values {
    uint64_t value[PLUGIN_MAX_OPTIONS];
};

/* Loads by path (a name with a '/') or by name: NAME.so in the folders of search, separated by ':' (NULL or "": none),
 * then in `policies` beside the running program, then in the installed folder. where begins the messages:
 * "x.conf:12: [policy.mrc]" or "--policy mrc". NULL after one error line. */
struct plugin *plugin_open(const char *name, const char *search, const char *where, struct diag *d);
/* A policy that is linked into the program; name stands for its file. NULL after one error line. */
struct plugin *plugin_adopt(quire_policy_entry_fn *entry, const char *name, struct diag *d);
void plugin_close(struct plugin *p);
/* Options from the open config section (NULL: defaults only), checked like any config key; own: the keys of the section
 * that are no options, ending with name == NULL (NULL: none). Reports every error. */
int plugin_bind(const struct plugin *p, const struct conf_section *s, const struct conf_key *own,
                struct plugin_values *v, struct diag *d);
/* One more `key = text` on top of the bound values; where as above. */
int plugin_set(const struct plugin *p, const char *key, const char *text, const char *where, struct plugin_values *v,
               struct diag *d);
/* The folders that plugin_open searches, separated by ':'. The caller frees. */
char *plugin_search_path(const char *search);
/* Name of a role or capability bit; NULL for an unknown one. */
const char *plugin_role_name(uint32_t bit);

/* ---- what the hypervisor does for policies ----------------------------------------------------------------------- */
/* Arguments arrive checked: vm is the index of a VM that exists, every gpa is below its vm_bytes and in a page, node
 * exists, access and flags have known bits only. Each call books its own cost on cpu, the CPU that runs the hook.
 * Answers are those of policy.h. All pointers must be set but the ones marked optional. */
struct plugin_ops {
    ps_t (*now_ps)(void *m);
    void (*charge)(void *m, uint32_t cpu, uint64_t cycles);
    /* The host wants plugin_host_timer(id) at that time; ids may be announced more than once. */
    void (*timer_at)(void *m, ps_t at_ps, uint64_t id);
    /* The clock of a CPU, with what was charged to it; NULL: hooks take no time (optional). */
    ps_t (*cpu_ps)(void *m, uint32_t cpu);
    /* A point of series.csv. label is printable; x and y are finite. */
    void (*series)(void *m, const char *name, const char *label, const char *x_name, double x, double y);
    void (*taint)(void *m, const char *word); /* a result that must say so: "oracle" */
    /* A policy was ejected: undo what it had set up under these roles (traces, hints, queued moves). */
    void (*release_roles)(void *m, uint64_t roles);

    uint64_t (*vm_bytes)(void *m, uint32_t vm);
    int32_t (*scan)(void *m, uint32_t cpu, uint32_t vm, uint64_t *cursor, uint32_t flags, struct quire_leaf *out,
                    uint32_t max);
    int32_t (*query)(void *m, uint32_t cpu, uint32_t vm, uint64_t gpa, struct quire_leaf *out);
    int32_t (*trace)(void *m, uint32_t cpu, uint32_t vm, const uint64_t *gpa, uint32_t n, uint32_t access);
    int32_t (*flush)(void *m, uint32_t cpu, uint32_t vm);
    int32_t (*split)(void *m, uint32_t cpu, uint32_t vm, uint64_t gpa);
    int32_t (*merge)(void *m, uint32_t cpu, uint32_t vm, uint64_t gpa);
    int32_t (*soft_set)(void *m, uint32_t cpu, uint32_t vm, uint64_t gpa, uint32_t bits);
    int32_t (*pml)(void *m, uint32_t cpu, uint32_t vm, uint32_t on);
    int32_t (*pml_drain)(void *m, uint32_t cpu, uint32_t vm, uint64_t *gpa, uint32_t max);

    uint64_t (*free_pages)(void *m, uint32_t node);
    int32_t (*move)(void *m, uint32_t cpu, uint32_t vm, const uint64_t *gpa, uint32_t n, uint32_t node,
                    uint64_t rate_bytes_per_s);
    uint32_t (*moving)(void *m);
    int32_t (*pin)(void *m, uint32_t vm, uint64_t gpa, uint32_t on);

    uint64_t (*hint_controllers)(void *m);
    uint32_t (*n_regions)(void *m, uint32_t vm);
    uint64_t (*backing)(void *m, uint32_t vm, uint32_t region);
    int32_t (*hint_mode)(void *m, uint32_t vm, uint32_t region, uint32_t mode);
    int32_t (*hint_write)(void *m, uint32_t cpu, uint64_t mask, ps_t start_ps, ps_t *done_ps);
    ps_t (*drained_ps)(void *m, uint32_t controller);

    uint64_t (*retired)(void *m, uint32_t cpu, uint32_t vm, uint32_t access);

    /* The oracle; NULL if the run keeps no golden log (optional). */
    uint64_t (*accesses)(void *m, uint32_t vm, uint64_t gpa);
    int32_t (*hottest)(void *m, uint32_t vm, uint64_t *gpa, uint32_t max);
};

/* ---- the host ---------------------------------------------------------------------------------------------------- */
struct plugin_host_conf {
    uint32_t n_nodes, n_cpus, n_controllers;
    uint64_t budget; /* service calls a hook call; 0: the default, 2^20. Twice as many eject. */
    uint64_t seed;
    FILE *log; /* one line a decision; NULL: only the hash chain is kept */
};

struct plugin_host;

struct plugin_host *plugin_host_new(const struct plugin_host_conf *conf, const struct plugin_ops *ops, void *machine);
void plugin_host_free(struct plugin_host *h);
/* Makes one instance of the plugin. The plugin must live as long as the host. -1 after one error line: it refused, or
 * another policy owns a role that it claims. */
int plugin_host_add(struct plugin_host *h, const struct plugin *p, const struct plugin_values *v, const char *where,
                    struct diag *d);
uint32_t plugin_host_n(const struct plugin_host *h);

/* VMs as the host knows them. The handle is valid until plugin_host_vm_gone(), which sends QUIRE_VM_DESTROYED. */
quire_vm plugin_host_vm_new(struct plugin_host *h, uint32_t vm, const char *name);
void plugin_host_vm_gone(struct plugin_host *h, uint32_t vm);

/* Hooks. size, vm (as a handle) and now_ps are filled in; cpu is the CPU that the work is charged to.
 * An event goes to every policy, in the order in which they were added. */
void plugin_host_event(struct plugin_host *h, uint32_t vm, uint32_t cpu, struct quire_vm_event e);
/* True if the owner of the role that the fault belongs to (TRACE, PMEM, PLACEMENT) decided; *out is then a valid
 * verdict other than DEFAULT. */
bool plugin_host_fault(struct plugin_host *h, uint32_t vm, struct quire_fault f, struct quire_verdict *out);
/* A flush hypercall: true if the owner of PMEM answered; *done_ps is never before now. */
bool plugin_host_flush(struct plugin_host *h, uint32_t vm, struct quire_flush f, ps_t *done_ps);
/* The time asked for by ops->timer_at has come. */
void plugin_host_timer(struct plugin_host *h, uint64_t id);
/* A move that ops->move took has ended. */
void plugin_host_done(struct plugin_host *h, uint32_t vm, uint32_t cpu, struct quire_done d);
void plugin_host_power(struct plugin_host *h, uint32_t what);

/* Who owns a role now; NULL: the built-in default. */
const char *plugin_host_owner(const struct plugin_host *h, uint64_t role);

/* ---- what is left behind ----------------------------------------------------------------------------------------- */
/* Hash over all decisions of all policies, in order: 32 hex digits and a 0. */
void plugin_host_chain(const struct plugin_host *h, char hex[PLUGIN_DIGEST_LEN]);
uint64_t plugin_host_decisions(const struct plugin_host *h);

/* Reports keys "policy.NAME.<counter>": the policy's own counters and histograms, and hook_calls, service_calls,
 * charged_cycles, uncharged_hooks (calls of hooks that used services without charge()), refused_calls (services that
 * answered an error). text is called with "policy.NAME.ejected" and the reason. */
struct plugin_visitor {
    void *ctx;
    void (*count)(void *ctx, const char *key, uint64_t value);
    void (*hist)(void *ctx, const char *key, const struct hist *h);
    void (*text)(void *ctx, const char *key, const char *text);
};
void plugin_host_visit(const struct plugin_host *h, const struct plugin_visitor *v);
/* Hooks of one policy that used services without ever charging, as words separated by ' '; "" if none. The caller
 * frees. For the conformance kit. */
char *plugin_host_uncharged(const struct plugin_host *h, uint32_t policy);

/* What the host keeps of its policies, and what they keep themselves, for a checkpoint. The same policies have been
 * added with the same options. */
void plugin_host_state(struct plugin_host *h, struct ckpt *c);

#endif

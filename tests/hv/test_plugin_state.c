/* SPDX-License-Identifier: MIT */
/* The kit's check of hooks.state tells policies that keep their state from those that lose some of it. */
#include "sim/hv/plugin_kit.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Marks each event with how many there were, and with a list of them that grows. */
struct counter {
    const struct quire_core *core;
    uint64_t n, n_seen;
    uint64_t *seen;
};

static void vm_event(void *self, const struct quire_vm_event *e)
{
    struct counter *s = self;
    s->core->charge(s->core, 10);
    s->seen = realloc(s->seen, (s->n_seen + 1) * sizeof *s->seen);
    s->seen[s->n_seen++] = e->what;
    s->core->mark(s->core, "event", ++s->n, s->seen[s->n_seen / 2]);
}

static void fini(void *self)
{
    struct counter *s = self;
    if (s)
        free(s->seen);
    free(s);
}

static int32_t init(const struct quire_host *h, void **self, const char **why)
{
    struct counter *s = calloc(1, sizeof *s);
    (void)why;
    *self = s;
    s->core = h->service(h, "quire.core/1");
    return QUIRE_OK;
}

static int32_t whole(void *self, const struct quire_state *c)
{
    struct counter *s = self;
    c->bytes(c, &s->n, sizeof s->n);
    s->n_seen = c->count(c, s->n_seen, 1u << 20);
    quire_state_memory(c, &s->seen, s->n_seen * sizeof *s->seen);
    return QUIRE_OK;
}
static int32_t forgets_the_count(void *self, const struct quire_state *c)
{
    struct counter *s = self;
    s->n_seen = c->count(c, s->n_seen, 1u << 20);
    quire_state_memory(c, &s->seen, s->n_seen * sizeof *s->seen);
    return QUIRE_OK;
}
static int32_t forgets_to_load(void *self, const struct quire_state *c)
{
    struct counter kept = *(struct counter *)self;
    c->bytes(c, &kept.n, sizeof kept.n);
    return QUIRE_OK;
}
static int32_t saves_less_than_it_loads(void *self, const struct quire_state *c)
{
    struct counter *s = self;
    uint64_t more = 0;
    if (c->is_loading)
        c->bytes(c, &more, sizeof more);
    c->bytes(c, &s->n, sizeof s->n);
    return QUIRE_OK;
}
static int32_t refuses(void *self, const struct quire_state *c)
{
    (void)self, (void)c;
    return QUIRE_E_NOENT;
}

static struct quire_hooks hooks = {.size = sizeof hooks, .fini = fini, .vm_event = vm_event};
static const struct quire_policy policy = {.size = sizeof policy,
                                           .abi_major = QUIRE_ABI_MAJOR,
                                           .abi_minor = QUIRE_ABI_MINOR,
                                           .name = "counter",
                                           .help = "",
                                           .hooks = &hooks,
                                           .init = init};
static const struct quire_policy *entry(void)
{
    return &policy;
}

/* The kit's line about checkpoints for a policy with that hook. */
static struct kit_line verdict(int32_t (*state)(void *, const struct quire_state *), uint32_t size)
{
    struct diag d = {0};
    struct kit_line lines[KIT_MAX_LINES], found = {.check = NULL};
    hooks.size = size;
    hooks.state = state;
    struct plugin *p = plugin_adopt(entry, "counter", &d);
    cr_assert_not_null(p, "%s", d.text);
    uint32_t n = kit_check(p, lines);
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(lines[i].check, "goes on from a checkpoint") == 0)
            found = lines[i];
    plugin_close(p);
    cr_assert_not_null(found.check);
    return found;
}

Test(plugin_state, what_is_kept_and_what_is_lost)
{
    struct kit_line l = verdict(whole, sizeof hooks);
    cr_assert(l.has_passed, "%s", l.detail);
    cr_assert_not(verdict(forgets_the_count, sizeof hooks).has_passed);
    cr_assert_not(verdict(forgets_to_load, sizeof hooks).has_passed);
    l = verdict(saves_less_than_it_loads, sizeof hooks);
    cr_assert_not(l.has_passed);
    l = verdict(refuses, sizeof hooks);
    cr_assert_not(l.has_passed);
    cr_assert_not_null(strstr(l.detail, "hook `state` answered -3"), "%s", l.detail);
}

Test(plugin_state, a_policy_of_abi_1_1_has_no_such_hook)
{
    struct kit_line l = verdict(NULL, (uint32_t)offsetof(struct quire_hooks, state));
    cr_assert(l.has_passed);
    cr_assert_not_null(strstr(l.detail, "cannot be checkpointed"));
}

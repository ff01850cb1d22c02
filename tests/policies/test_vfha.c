/* SPDX-License-Identifier: MIT */
/* Policy vfha on the golden machine: what is listed, who is drained, and that no flush ends too early. */
#define quire_policy_entry vfha_entry
#include "policies/vfha.c"

#include "tests/policies/golden.h"

#include <criterion/criterion.h>

static struct golden *vfha_on(const char *name, const char *combine, const char *set, uint64_t hints)
{
    struct golden *g = golden_new(vfha_entry(), 16);
    golden_set(g, "design", name);
    golden_set(g, "combine", combine);
    golden_set(g, "controllers", set);
    g->hints = hints;
    g->n_regions = 2;
    g->backing[0] = 0x3f;
    g->backing[1] = 0x05;
    cr_assert_eq(golden_start(g), QUIRE_OK);
    return g;
}

static uint64_t store_to_hint(struct golden *g, uint32_t region)
{
    struct quire_fault f = {.size = sizeof f, .why = QUIRE_FAULT_HINT, .access = QUIRE_ACCESS_WRITE, .vm = G_VM};
    struct quire_verdict v = {.size = sizeof v};
    f.region = region;
    f.now_ps = g->now;
    g->hook->fault(g->self, &f, &v);
    cr_assert_eq(v.what, QUIRE_VERDICT_SKIP);
    cr_assert_geq(v.until_ps, g->now);
    return v.until_ps;
}

Test(policy_vfha, the_mode_follows_design_and_host_in_both_directions)
{
    static const struct {
        const char *name;
        uint32_t with_hints, without;
    } rows[] = {{"vfha", QUIRE_HINT_TRAP, QUIRE_HINT_OPEN},
                {"always-trap", QUIRE_HINT_TRAP, QUIRE_HINT_TRAP},
                {"hypercall", QUIRE_HINT_HYPERCALL, QUIRE_HINT_HYPERCALL},
                {"none", QUIRE_HINT_NONE, QUIRE_HINT_NONE}};
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t first = 0; first < 2; first++) {
            struct golden *g = vfha_on(rows[i].name, "false", "backing", first ? 0xff : 0);
            for (uint32_t move = 0; move < 4; move++) {
                for (uint32_t r = 0; r < 2; r++)
                    cr_assert_eq(g->mode[r], g->hints ? rows[i].with_hints : rows[i].without, "%s", rows[i].name);
                g->hints ^= 0xff;
                golden_event(g, (struct quire_vm_event){.what = QUIRE_VM_HOST_CHANGED, .value = g->hints});
            }
            golden_free(g);
        }
}

Test(policy_vfha, a_trap_writes_each_backing_controller_once_and_no_other)
{
    struct golden *g = vfha_on("vfha", "false", "backing", 0xff);
    for (uint64_t hints = 0; hints < 256; hints++)
        for (uint64_t backing = 1; backing < 256; backing++) {
            memset(g->n_writes, 0, sizeof g->n_writes);
            g->hints = hints;
            g->backing[1] = backing; /* moved: seen at the very next flush */
            store_to_hint(g, 1);
            for (uint32_t m = 0; m < 64; m++)
                cr_assert_eq(g->n_writes[m], (hints & backing) >> m & 1);
            g->n_samples = 0;
        }
    golden_free(g);
}

Test(policy_vfha, option_all_writes_every_controller_with_a_hint)
{
    struct golden *g = vfha_on("always-trap", "false", "all", 0x0f);
    store_to_hint(g, 1);
    for (uint32_t m = 0; m < 64; m++)
        cr_assert_eq(g->n_writes[m], m < 4);
    golden_free(g);
}

Test(policy_vfha, a_hypercall_drains_like_a_store)
{
    struct golden *g = vfha_on("hypercall", "false", "backing", 0xff);
    struct quire_flush f = {.size = sizeof f, .vm = G_VM, .region = 1, .now_ps = 0};
    cr_assert_eq(g->hook->flush(g->self, &f), g->drain_ps);
    cr_assert_eq(g->n_writes[0], 1);
    cr_assert_eq(g->n_writes[1], 0);
    cr_assert_eq(g->n_writes[2], 1);
    golden_free(g);
}

/* A flush at t may end at u only if each of its controllers began a drain at or after t that ended by u. */
static void check_covered(const struct golden *g, uint64_t t, uint64_t u, uint64_t set)
{
    for (uint32_t m = 0; m < 8; m++)
        if (set >> m & 1)
            cr_assert(g->write_start[m] >= t && g->controller_end[m] <= u,
                      "controller %u: flush %lu..%lu, drain from %lu to %lu", m, t, u, g->write_start[m],
                      g->controller_end[m]);
}

Test(policy_vfha, combined_flushes_share_the_next_drain_never_the_current_one)
{
    uint64_t writes[2], rand = 9;
    for (uint32_t combine = 0; combine < 2; combine++) {
        struct golden *g = vfha_on("vfha", combine ? "true" : "false", "backing", 0xff);
        for (uint32_t i = 0; i < 3000; i++) {
            rand = rand * 6364136223846793005ull + 1;
            g->now += (rand >> 40) % 3 ? (rand >> 44) % 40000 : (rand >> 44) % 2000000;
            uint32_t region = rand >> 63;
            uint64_t until = store_to_hint(g, region);
            check_covered(g, g->now, until, g->backing[region]);
            if (combine)
                cr_assert_leq(until, g->now + 2 * g->drain_ps, "at most the drain in flight and the next");
        }
        writes[combine] = g->n_writes[0];
        golden_free(g);
    }
    cr_assert_eq(writes[0], 3000);
    cr_assert_lt(writes[1], 2000);
}

Test(policy_vfha, four_flushes_at_once_take_two_drains)
{
    struct golden *g = vfha_on("vfha", "true", "backing", 0xff);
    const uint64_t want[] = {500000, 1000000, 1000000, 1000000};
    for (uint32_t i = 0; i < 4; i++, g->now += 1000)
        cr_assert_eq(store_to_hint(g, 0), want[i]);
    for (uint32_t m = 0; m < 6; m++)
        cr_assert_eq(g->n_writes[m], 2);
    cr_assert_eq(golden_counter(g, "combined_writes"), 12);
    golden_free(g);
}

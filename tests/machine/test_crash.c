/* SPDX-License-Identifier: MIT */
/* The simulated machine beside the crash explorer: whatever its caches and queues leave when the power fails at any
 * event of a random program is one of the images that the explorer calls possible. */
#include "sim/base/rng.h"
#include "sim/machine/machine.h"
#include "sim/machine/run.h"
#include "sim/nvdimm/crash.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define LINES  4u
#define REGION (LINES * LINE_BYTES)

struct hunt {
    uint8_t image[REGION];
    uint64_t acknowledged;
    bool was_found;
};

static int look(void *ctx, const uint8_t *image, uint64_t bytes, uint64_t acknowledged, char *why, uint64_t n)
{
    struct hunt *h = ctx;
    (void)why;
    (void)n;
    h->was_found |= acknowledged == h->acknowledged && memcmp(image, h->image, bytes) == 0;
    return 0;
}

static void random_log(struct crash_log *l, struct rng *r)
{
    static const uint8_t kinds[] = {CRASH_STORE, CRASH_STORE,   CRASH_STORE, CRASH_FLUSH,
                                    CRASH_FLUSH, CRASH_CLFLUSH, CRASH_FENCE, CRASH_HINT};
    *l = (struct crash_log){.bytes = REGION};
    for (uint32_t i = 0; i < 14; i++) {
        struct crash_event e = {.kind = kinds[rng_below(r, N_ELEMS(kinds))],
                                .bytes = 8,
                                .at = rng_below(r, LINES) * LINE_BYTES + rng_below(r, 8) * 8,
                                .value = rng_next(r),
                                .where = "test"};
        crash_log_add(l, &e);
    }
}

/* Runs the first n events and takes the power away; the image of the region. */
static void run_machine(const struct machine_conf *mc, const struct crash_log *l, uint64_t n,
                        enum power_outcome outcome, uint8_t image[REGION])
{
    struct diag d = {0};
    struct machine *m = machine_new(mc, &d);
    cr_assert(m, "%s", d.text);
    m->hv.check = true;
    m->hv.diag = &d;
    const struct vm_conf v = {.memory_bytes = 16 * MIB,
                              .pmem_bytes = 4 * MIB,
                              .vcpus = 1,
                              .guest_levels = 4,
                              .trace = "",
                              .program = "",
                              .generator = "log-append",
                              .format = "",
                              .accesses = 1,
                              .footprint_bytes = MIB,
                              .append_bytes = 64};
    struct vm *vm = guest_new(&m->hv, "log", &v, "test", &d);
    cr_assert(vm, "%s", d.text);
    hv_vm_start(vm);
    cr_assert_eq(hv_hint_mode(&m->hv, 0, vm, 0, QUIRE_HINT_OPEN), 0);
    struct vcpu *c = &vm->vcpu[0];
    cr_assert_eq(guest_space(c, 0, &d), 0, "%s", d.text);
    for (uint64_t i = 0; i < n; i++) {
        const struct crash_event *e = &l->event[i];
        uint64_t gva = GUEST_PMEM_GVA + e->at;
        int bad = 0;
        if (e->kind == CRASH_STORE)
            bad = hv_store(c, gva, &e->value, e->bytes);
        else if (e->kind == CRASH_FLUSH || e->kind == CRASH_CLFLUSH)
            bad = hv_flush_line(c, gva, e->kind == CRASH_FLUSH ? FLUSH_CLWB : FLUSH_CLFLUSH);
        else if (e->kind == CRASH_FENCE)
            hv_fence(c, false);
        else
            bad = hv_guest_flush(c, 0);
        cr_assert_eq(bad, 0, "%s", d.text);
    }
    cr_assert_eq(hv_power_fail(&m->hv, vcpu_cpu(c)->core.now_ps, outcome, &d), 0, "%s", d.text);
    uint64_t hpa = hv_back(c, vm->region[0].gpa, EPT_R);
    const struct pmem_page *page = frame_pmem(m->mem, hpa >> PAGE_SHIFT);
    memset(image, 0, REGION);
    if (page->media_bytes)
        memcpy(image, page->media_bytes, REGION);
    machine_free(m);
}

static void compare(enum power_outcome outcome, enum crash_domain domain)
{
    static const char text[] =
        "machine { imc { controllers = 1 channels = 1 } pmem { kind = \"optane\" size = \"1GiB\" } "
        "numa { dram = \"1GiB\" } hypervisor { cores = 1 } }";
    struct machine_conf mc;
    struct diag d = {0};
    struct rng r;
    struct conf *conf = conf_parse(text, strlen(text), "test", ".", &experiment_schema, &d);
    cr_assert(conf && machine_bind(conf_find(conf_root(conf), "machine", NULL), &mc, &d) == 0, "%s", d.text);
    rng_init(&r, 3, "crash machine");
    for (uint32_t round = 0; round < 12; round++) {
        struct crash_log l;
        random_log(&l, &r);
        for (uint64_t n = 0; n <= l.n; n++) {
            struct hunt h = {0};
            struct crash_report report;
            struct crash_log prefix = l;
            const struct crash_options o = {.domain = domain, .max_images = UINT64_MAX / 64, .seed = 1};
            prefix.n = n;
            run_machine(&mc, &l, n, outcome, h.image);
            crash_explore(&prefix, &o, look, &h, &report);
            cr_assert(h.was_found, "round %u: after %llu events the machine leaves an image that cannot be", round,
                      (unsigned long long)n);
        }
        crash_log_fini(&l);
    }
    conf_free(conf);
}

Test(crash_machine, adr)
{
    compare(POWER_ADR, CRASH_ADR);
}
Test(crash_machine, adr_fails)
{
    compare(POWER_ADR_FAILS, CRASH_ADR_FAILS);
}
Test(crash_machine, eadr)
{
    compare(POWER_EADR, CRASH_EADR);
}

/* SPDX-License-Identifier: MIT */
/* All services but quire.core/1. Each call is counted against the hook's budget, its arguments are
 * checked, the hypervisor does the work, and what changed the machine goes into the chain of decisions. */
#include "sim/hv/plugin_int.h"

#include <string.h>

#define OWNER(s, member) ((struct policy *)(void *)((char *)(uintptr_t)(s)-offsetof(struct policy, member)))
#define OPS(p)           ((p)->host->ops)
#define MACHINE(p)       ((p)->host->machine)
#define ANY_ROLE         (~0ull)
#define ACCESS_KINDS     (QUIRE_ACCESS_READ | QUIRE_ACCESS_WRITE | QUIRE_ACCESS_EXEC)

/* ---- what the calls begin with ---- */

static int32_t need_role(struct policy *p, uint64_t role)
{
    return p->roles & role ? QUIRE_OK : plugin_refuse(p, QUIRE_E_DENIED);
}

/* plugin_enter(), and the index of a VM that exists. */
static int32_t enter_vm(struct policy *p, quire_vm vm, uint32_t *index)
{
    int32_t r = plugin_enter(p, true);
    int64_t i = plugin_vm_index(p->host, vm);
    *index = 0;
    if (r < 0)
        return r;
    if (i < 0)
        return plugin_refuse(p, QUIRE_E_STALE);
    *index = (uint32_t)i;
    return QUIRE_OK;
}

/* The same, and n pages that are all below the VM's end. */
static int32_t enter_pages(struct policy *p, quire_vm vm, const uint64_t *gpa, uint32_t n, uint32_t *index)
{
    int32_t r = enter_vm(p, vm, index);
    if (r < 0)
        return r;
    if (n > PLUGIN_MAX_BATCH || (n > 0 && gpa == NULL))
        return plugin_refuse(p, QUIRE_E_INVAL);
    uint64_t bytes = OPS(p)->vm_bytes(MACHINE(p), *index);
    for (uint32_t i = 0; i < n; i++)
        if (gpa[i] >= bytes)
            return plugin_refuse(p, QUIRE_E_INVAL);
    return QUIRE_OK;
}

/* ---- quire.ept/1 ------------------------------------------------------------------------------------------------- */

static uint64_t ept_vm_bytes(const struct quire_ept *s, quire_vm vm)
{
    struct policy *p = OWNER(s, ept);
    uint32_t v;
    return enter_vm(p, vm, &v) < 0 ? 0 : OPS(p)->vm_bytes(MACHINE(p), v);
}

static int32_t ept_scan(const struct quire_ept *s, quire_vm vm, uint64_t *cursor, uint32_t flags,
                        struct quire_leaf *out, uint32_t max)
{
    struct policy *p = OWNER(s, ept);
    uint32_t v;
    int32_t r = enter_vm(p, vm, &v);
    if (r < 0)
        return r;
    if (cursor == NULL || out == NULL || max == 0 || max > PLUGIN_MAX_BATCH ||
        flags & ~(QUIRE_SCAN_CLEAR_A | QUIRE_SCAN_CLEAR_D))
        return plugin_refuse(p, QUIRE_E_INVAL);
    if (flags != 0 && need_role(p, ANY_ROLE) < 0)
        return QUIRE_E_DENIED;
    if (*cursor >= OPS(p)->vm_bytes(MACHINE(p), v)) {
        *cursor = ~0ull;
        return 0;
    }
    uint64_t from = *cursor;
    r = OPS(p)->scan(MACHINE(p), p->host->cpu, v, cursor, flags, out, max);
    return flags ? plugin_decide(p, "scan", from, flags, r) : r;
}

static int32_t ept_query(const struct quire_ept *s, quire_vm vm, uint64_t gpa, struct quire_leaf *out)
{
    struct policy *p = OWNER(s, ept);
    uint32_t v;
    int32_t r = enter_pages(p, vm, &gpa, 1, &v);
    if (r < 0)
        return r;
    return out == NULL ? plugin_refuse(p, QUIRE_E_INVAL) : OPS(p)->query(MACHINE(p), p->host->cpu, v, gpa, out);
}

static int32_t ept_trace(const struct quire_ept *s, quire_vm vm, const uint64_t *gpa, uint32_t n, uint32_t access)
{
    struct policy *p = OWNER(s, ept);
    uint32_t v;
    int32_t r = enter_pages(p, vm, gpa, n, &v);
    if (r == QUIRE_OK)
        r = need_role(p, QUIRE_ROLE_TRACE);
    if (r < 0)
        return r;
    if (access & ~ACCESS_KINDS)
        return plugin_refuse(p, QUIRE_E_INVAL);
    r = n ? OPS(p)->trace(MACHINE(p), p->host->cpu, v, gpa, n, access) : 0;
    return plugin_decide(p, "trace", n ? XXH3_64bits(gpa, n * sizeof *gpa) : 0, access, r);
}

static int32_t ept_flush(const struct quire_ept *s, quire_vm vm)
{
    struct policy *p = OWNER(s, ept);
    uint32_t v;
    int32_t r = enter_vm(p, vm, &v);
    if (r == QUIRE_OK)
        r = need_role(p, ANY_ROLE);
    return r < 0 ? r : plugin_decide(p, "flush", v, 0, OPS(p)->flush(MACHINE(p), p->host->cpu, v));
}

typedef int32_t page_op(void *m, uint32_t cpu, uint32_t vm, uint64_t gpa);

/* An edit of one leaf, by any policy that owns a role. */
static int32_t edit(struct policy *p, quire_vm vm, uint64_t gpa, const char *what, page_op *op)
{
    uint32_t v;
    int32_t r = enter_pages(p, vm, &gpa, 1, &v);
    if (r == QUIRE_OK)
        r = need_role(p, ANY_ROLE);
    return r < 0 ? r : plugin_decide(p, what, gpa, v, op(MACHINE(p), p->host->cpu, v, gpa));
}

static int32_t ept_split(const struct quire_ept *s, quire_vm vm, uint64_t gpa)
{
    struct policy *p = OWNER(s, ept);
    return edit(p, vm, gpa, "split", OPS(p)->split);
}

static int32_t ept_merge(const struct quire_ept *s, quire_vm vm, uint64_t gpa)
{
    struct policy *p = OWNER(s, ept);
    return edit(p, vm, gpa, "merge", OPS(p)->merge);
}

static int32_t ept_soft_set(const struct quire_ept *s, quire_vm vm, uint64_t gpa, uint32_t bits)
{
    struct policy *p = OWNER(s, ept);
    uint32_t v;
    int32_t r = enter_pages(p, vm, &gpa, 1, &v);
    if (r == QUIRE_OK)
        r = need_role(p, ANY_ROLE);
    if (r == QUIRE_OK && bits > 63)
        r = plugin_refuse(p, QUIRE_E_INVAL);
    return r < 0 ? r
                 : plugin_decide(p, "soft_set", gpa, bits, OPS(p)->soft_set(MACHINE(p), p->host->cpu, v, gpa, bits));
}

static int32_t ept_pml(const struct quire_ept *s, quire_vm vm, uint32_t on)
{
    struct policy *p = OWNER(s, ept);
    uint32_t v;
    int32_t r = enter_vm(p, vm, &v);
    if (r == QUIRE_OK)
        r = need_role(p, ANY_ROLE);
    return r < 0 ? r : plugin_decide(p, "pml", v, on != 0, OPS(p)->pml(MACHINE(p), p->host->cpu, v, on != 0));
}

static int32_t ept_pml_drain(const struct quire_ept *s, quire_vm vm, uint64_t *gpa, uint32_t max)
{
    struct policy *p = OWNER(s, ept);
    uint32_t v;
    int32_t r = enter_vm(p, vm, &v);
    if (r == QUIRE_OK)
        r = need_role(p, ANY_ROLE);
    if (r == QUIRE_OK && (gpa == NULL || max == 0 || max > PLUGIN_MAX_BATCH))
        r = plugin_refuse(p, QUIRE_E_INVAL);
    return r < 0 ? r : plugin_decide(p, "pml_drain", v, 0, OPS(p)->pml_drain(MACHINE(p), p->host->cpu, v, gpa, max));
}

/* ---- quire.frame/1 ----------------------------------------------------------------------------------------------- */

static uint64_t frames_free_pages(const struct quire_frames *s, uint32_t node)
{
    struct policy *p = OWNER(s, frames);
    return plugin_enter(p, true) < 0 || node >= p->host->conf.n_nodes ? 0 : OPS(p)->free_pages(MACHINE(p), node);
}

static int32_t frames_move(const struct quire_frames *s, quire_vm vm, const uint64_t *gpa, uint32_t n, uint32_t node,
                           uint64_t rate)
{
    struct policy *p = OWNER(s, frames);
    uint32_t v;
    int32_t r = enter_pages(p, vm, gpa, n, &v);
    if (r == QUIRE_OK)
        r = need_role(p, QUIRE_ROLE_NUMA);
    if (r == QUIRE_OK && node >= p->host->conf.n_nodes)
        r = plugin_refuse(p, QUIRE_E_INVAL);
    if (r < 0 || n == 0)
        return r;
    r = OPS(p)->move(MACHINE(p), p->host->cpu, v, gpa, n, node, rate);
    return plugin_decide(p, "move", XXH3_64bits(gpa, n * sizeof *gpa), node, r);
}

static uint32_t frames_moving(const struct quire_frames *s)
{
    struct policy *p = OWNER(s, frames);
    return plugin_enter(p, true) < 0 ? 0 : OPS(p)->moving(MACHINE(p));
}

static int32_t pin(struct policy *p, quire_vm vm, uint64_t gpa, uint32_t on)
{
    uint32_t v;
    int32_t r = enter_pages(p, vm, &gpa, 1, &v);
    if (r == QUIRE_OK)
        r = need_role(p, ANY_ROLE);
    return r < 0 ? r : plugin_decide(p, on ? "pin" : "unpin", gpa, v, OPS(p)->pin(MACHINE(p), v, gpa, on));
}

static int32_t frames_pin(const struct quire_frames *s, quire_vm vm, uint64_t gpa)
{
    return pin(OWNER(s, frames), vm, gpa, 1);
}

static int32_t frames_unpin(const struct quire_frames *s, quire_vm vm, uint64_t gpa)
{
    return pin(OWNER(s, frames), vm, gpa, 0);
}

/* ---- quire.pmem/1 ------------------------------------------------------------------------------------------------ */

static uint64_t pmem_hint_controllers(const struct quire_pmem *s)
{
    struct policy *p = OWNER(s, pmem);
    return plugin_enter(p, true) < 0 ? 0 : OPS(p)->hint_controllers(MACHINE(p));
}

static uint32_t pmem_n_regions(const struct quire_pmem *s, quire_vm vm)
{
    struct policy *p = OWNER(s, pmem);
    uint32_t v;
    return enter_vm(p, vm, &v) < 0 ? 0 : OPS(p)->n_regions(MACHINE(p), v);
}

static uint64_t pmem_backing(const struct quire_pmem *s, quire_vm vm, uint32_t region)
{
    struct policy *p = OWNER(s, pmem);
    uint32_t v;
    if (enter_vm(p, vm, &v) < 0 || region >= OPS(p)->n_regions(MACHINE(p), v))
        return 0;
    return OPS(p)->backing(MACHINE(p), v, region);
}

static int32_t pmem_hint_mode(const struct quire_pmem *s, quire_vm vm, uint32_t region, uint32_t mode)
{
    struct policy *p = OWNER(s, pmem);
    uint32_t v;
    int32_t r = enter_vm(p, vm, &v);
    if (r == QUIRE_OK)
        r = need_role(p, QUIRE_ROLE_PMEM);
    if (r < 0)
        return r;
    if (region >= OPS(p)->n_regions(MACHINE(p), v) || mode < QUIRE_HINT_TRAP || mode > QUIRE_HINT_HYPERCALL)
        return plugin_refuse(p, QUIRE_E_INVAL);
    return plugin_decide(p, "hint_mode", region, mode, OPS(p)->hint_mode(MACHINE(p), v, region, mode));
}

static int32_t pmem_hint_write(const struct quire_pmem *s, uint64_t mask, uint64_t start_ps, uint64_t *done_ps)
{
    struct policy *p = OWNER(s, pmem);
    int32_t r = plugin_enter(p, true);
    if (r == QUIRE_OK)
        r = need_role(p, QUIRE_ROLE_PMEM);
    if (r < 0)
        return r;
    uint64_t now = OPS(p)->now_ps(MACHINE(p)), start = start_ps ? start_ps : now;
    if (done_ps == NULL || mask & ~OPS(p)->hint_controllers(MACHINE(p)) || start < now || start - now > PLUGIN_MAX_TIME)
        return plugin_refuse(p, QUIRE_E_INVAL);
    *done_ps = start;
    r = mask ? OPS(p)->hint_write(MACHINE(p), p->host->cpu, mask, start, done_ps) : QUIRE_OK;
    return plugin_decide(p, "hint_write", mask, *done_ps, r);
}

static uint64_t pmem_drained_ps(const struct quire_pmem *s, uint32_t controller)
{
    struct policy *p = OWNER(s, pmem);
    uint64_t now = OPS(p)->now_ps(MACHINE(p));
    if (plugin_enter(p, true) < 0 || controller >= p->host->conf.n_controllers)
        return now;
    return max_u64(now, OPS(p)->drained_ps(MACHINE(p), controller));
}

/* ---- quire.pmu/1 ------------------------------------------------------------------------------------------------- */

static uint64_t pmu_retired(const struct quire_pmu *s, quire_vm vm, uint32_t access)
{
    struct policy *p = OWNER(s, pmu);
    uint32_t v;
    return enter_vm(p, vm, &v) < 0 ? 0 : OPS(p)->retired(MACHINE(p), p->host->cpu, v, access & ACCESS_KINDS);
}

/* ---- quire.oracle/1 ---------------------------------------------------------------------------------------------- */

static uint64_t oracle_accesses(const struct quire_oracle *s, quire_vm vm, uint64_t gpa)
{
    struct policy *p = OWNER(s, oracle);
    uint32_t v;
    return enter_pages(p, vm, &gpa, 1, &v) < 0 ? 0 : OPS(p)->accesses(MACHINE(p), v, gpa);
}

static int32_t oracle_hottest(const struct quire_oracle *s, quire_vm vm, uint64_t *gpa, uint32_t max)
{
    struct policy *p = OWNER(s, oracle);
    uint32_t v;
    int32_t r = enter_vm(p, vm, &v);
    if (r == QUIRE_OK && (gpa == NULL || max == 0))
        r = plugin_refuse(p, QUIRE_E_INVAL);
    return r < 0 ? r : OPS(p)->hottest(MACHINE(p), v, gpa, max);
}

/* ---- what init gets ---------------------------------------------------------------------------------------------- */

static const void *host_service(const struct quire_host *q, const char *id)
{
    struct policy *p = OWNER(q, quire_host);
    const struct {
        const char *id;
        const void *table;
    } services[] = {{"quire.core/1", &p->core},
                    {"quire.ept/1", &p->ept},
                    {"quire.frame/1", &p->frames},
                    {"quire.pmem/1", &p->pmem},
                    {"quire.pmu/1", &p->pmu}};
    if (id == NULL)
        return NULL;
    for (uint32_t i = 0; i < N_ELEMS(services); i++)
        if (strcmp(id, services[i].id) == 0)
            return services[i].table;
    if (strcmp(id, "quire.oracle/1") != 0 || !(p->plugin->policy.caps & QUIRE_CAP_ORACLE) || OPS(p)->hottest == NULL)
        return NULL;
    OPS(p)->taint(MACHINE(p), "oracle");
    return &p->oracle;
}

static int32_t host_claim(const struct quire_host *q, uint64_t roles)
{
    struct policy *p = OWNER(q, quire_host);
    if (p->host->current != p || p->host->hook != HOOK_INIT)
        return plugin_refuse(p, QUIRE_E_DENIED);
    if (roles & ~p->plugin->policy.roles ||
        roles & ~(QUIRE_ROLE_PLACEMENT | QUIRE_ROLE_TRACE | QUIRE_ROLE_NUMA | QUIRE_ROLE_PMEM))
        return plugin_refuse(p, QUIRE_E_INVAL);
    for (uint32_t bit = 0; bit < 64; bit++)
        if (roles >> bit & 1 && plugin_host_owner(p->host, 1ull << bit) != NULL)
            return plugin_refuse(p, QUIRE_E_BUSY);
    p->roles |= roles;
    return QUIRE_OK;
}

void plugin_services_init(struct policy *p)
{
    plugin_core_init(p);
    p->ept = (struct quire_ept){.size = sizeof p->ept,
                                .vm_bytes = ept_vm_bytes,
                                .scan = ept_scan,
                                .query = ept_query,
                                .trace = ept_trace,
                                .flush = ept_flush,
                                .split = ept_split,
                                .merge = ept_merge,
                                .soft_set = ept_soft_set,
                                .pml = ept_pml,
                                .pml_drain = ept_pml_drain};
    p->frames = (struct quire_frames){.size = sizeof p->frames,
                                      .free_pages = frames_free_pages,
                                      .move = frames_move,
                                      .moving = frames_moving,
                                      .pin = frames_pin,
                                      .unpin = frames_unpin};
    p->pmem = (struct quire_pmem){.size = sizeof p->pmem,
                                  .n_controllers = p->host->conf.n_controllers,
                                  .hint_controllers = pmem_hint_controllers,
                                  .n_regions = pmem_n_regions,
                                  .backing = pmem_backing,
                                  .hint_mode = pmem_hint_mode,
                                  .hint_write = pmem_hint_write,
                                  .drained_ps = pmem_drained_ps};
    p->pmu = (struct quire_pmu){.size = sizeof p->pmu, .retired = pmu_retired};
    p->oracle = (struct quire_oracle){.size = sizeof p->oracle, .accesses = oracle_accesses, .hottest = oracle_hottest};
    p->quire_host = (struct quire_host){.size = sizeof p->quire_host,
                                        .abi_major = QUIRE_ABI_MAJOR,
                                        .abi_minor = QUIRE_ABI_MINOR,
                                        .service = host_service,
                                        .claim = host_claim};
}

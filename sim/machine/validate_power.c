/* SPDX-License-Identifier: MIT */
/* What a failing power supply has to hold up for. */
#include "sim/machine/validate.h"

/* All caches of a socket full of lines of its modules, every second XPLine of them dirty. */
static ps_t fill_caches(struct machine *m)
{
    const struct caches *c = &m->caches;
    const struct llc *llc = &c->llc[0];
    uint64_t l2_lines = c->conf.l2_bytes / LINE_BYTES, lines = c->cores_a_socket * l2_lines;
    lines += ((uint64_t)llc->slices << llc->slice_set_bits) * llc->ways;
    uint64_t blocks = (lines * LINE_BYTES + 2 * MIB - 1) / (2 * MIB), first = UINT64_MAX;
    struct mem_region *r = mem_find_region(m->mem, 0, MEM_PMEM);
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t mfn = mem_alloc(m->mem, r, LEVEL_2M, FRAME_HYPERVISOR, 0, 0);
        CHECK(mfn != MFN_NONE);
        first = min_u64(first, mfn);
    }
    first <<= PAGE_SHIFT - LINE_SHIFT;
    ps_t t = 0;
    for (uint64_t i = 0; i < lines; i++) {
        uint64_t line = first + i;
        bool is_dirty = line >> (XPLINE_SHIFT - LINE_SHIFT) & 1;
        frame_pmem(m->mem, line >> (PAGE_SHIFT - LINE_SHIFT))->cur[line & 63] += is_dirty;
        t = cache_access(&m->caches, (uint32_t)(i / l2_lines % c->cores_a_socket), line,
                         is_dirty ? CACHE_WRITE : CACHE_READ, t);
    }
    return t;
}

/* Eight GiB of an NVDIMM-N. */
int measure_backup(struct validate *v)
{
    struct machine_conf conf = v->conf;
    conf.pmem.kind = NVDIMM_N;
    conf.pmem.size_bytes = 8 * GIB;
    conf.pmem.supercap = SUPERCAP_ENOUGH;
    struct machine *m = machine_new(&conf, v->d);
    if (!m)
        return -1;
    int bad = hv_power_fail(&m->hv, 0, POWER_ADR, v->d);
    validate_put(v, "68.save", (double)m->hv.power.save_ps / PS_PER_S);
    validate_put(v, "68.restore", (double)m->hv.power.restore_ps / (double)m->hv.power.save_ps);
    machine_free(m);
    return bad;
}

int measure_holdup(struct validate *v)
{
    struct machine_conf conf = v->conf;
    if (conf.pmem.kind == NVDIMM_NONE)
        return fail(v->d, "validate: the machine claims rows of persistent memory and has none");
    conf.hv.holdup = HOLDUP_UNLIMITED;
    struct machine *m = machine_new(&conf, v->d);
    if (!m)
        return -1;
    int bad = hv_power_fail(&m->hv, fill_caches(m), POWER_EADR, v->d);
    validate_put(v, "71.time", (double)m->hv.power.flush_ps / PS_PER_MS);
    machine_free(m);
    return bad;
}

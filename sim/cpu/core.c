/* SPDX-License-Identifier: MIT */
#include "sim/cpu/core.h"

#define K(field) offsetof(struct core_conf, field)
const struct conf_key core_keys[] = {
    {"clock", CONF_FREQ, K(hz), "2.4GHz", 100000000, 10000000000, NULL, "core clock"},
    {"ipc_milli", CONF_UINT, K(ipc_milli), "2000", 1, 16000, NULL,
     "instructions a cycle without misses, in thousandths (a trace does not tell dependences)"},
    {"miss_buffers", CONF_UINT, K(miss_buffers), "12", 1, CORE_MAX_MISSES, NULL, "line fill buffers (Skylake: 12)"},
    {"rob", CONF_UINT, K(rob), "224", 1, 4096, NULL, "reorder buffer (Skylake: 224)"},
    {"store_buffer", CONF_UINT, K(store_buffer), "56", 1, CORE_MAX_STORES, NULL, "store buffer (Skylake: 56)"},
    {"sfence_cycles", CONF_UINT, K(sfence_cycles), "6", 0, 10000, NULL, "SFENCE with nothing to wait for (InstLatx64)"},
    {"flush_cycles", CONF_UINT, K(flush_cycles), "1", 0, 10000, NULL, "issue of CLWB or CLFLUSHOPT (InstLatx64)"},
    {0},
};
#undef K

const struct stat_desc core_stat_desc[] = {
    {"instructions", STAT_COUNT, "instructions", "instructions of all vCPUs (INST_RETIRED)"},
    {"accesses", STAT_COUNT, "1", "memory accesses of all vCPUs"},
    {"stall_ps", STAT_COUNT, "ps", "time that the next instruction waited for memory"},
    {"fence_ps", STAT_COUNT, "ps", "of that, in fences"},
    {"exit_ps", STAT_COUNT, "ps", "time outside the guest: exits and the hypervisor's work"},
};
STATS_COMPLETE(struct core_stats, core_stat_desc);

void core_init(struct core *c, const struct core_conf *conf)
{
    *c = (struct core){.conf = *conf};
    c->cycle_ps = PS_PER_S / conf->hz;
    c->instruction_fs = PS_PER_S / conf->hz * 1000 * 1000 / conf->ipc_milli;
}

void core_drain(struct core *c)
{
    for (; c->miss_n; c->miss_n--) {
        core_wait(c, c->miss[c->miss_head].done_ps);
        c->miss_head = (c->miss_head + 1) & (CORE_MAX_MISSES - 1);
    }
    core_wait(c, c->stores_done_ps);
    c->store_n = 0;
}

void core_sfence(struct core *c, bool loads_too)
{
    ps_t start = c->now_ps;
    if (loads_too)
        core_drain(c);
    core_wait(c, max_u64(c->stores_done_ps, c->flushes_done_ps));
    c->now_ps += c->conf.sfence_cycles * c->cycle_ps;
    c->stats.fence_ps += c->now_ps - start;
}

/* SPDX-License-Identifier: MIT */
#include "sim/cpu/core.h"

#define K(field) offsetof(struct core_conf, field)
const struct conf_key core_keys[] = {
    {"clock", CONF_FREQ, K(hz), "2.4GHz", 100000000, 10000000000, NULL, "core clock"},
    {"ipc_milli", CONF_UINT, K(ipc_milli), "2000", 1, 16000, NULL,
     "instructions a cycle without misses, in thousandths (a trace does not tell dependences)"},
    {"miss_buffers", CONF_UINT, K(miss_buffers), "11", 1, CORE_MAX_MISSES, NULL,
     "lines on their way to or from the L1 (Skylake has 12 line fill buffers; 7.38 GB/s of reads: OptaneStudy)"},
    {"nt_buffers", CONF_UINT, K(nt_buffers), "6", 1, CORE_MAX_MISSES, NULL,
     "of these, non-temporal stores (4.31 GB/s at 86.9 ns are 5.9: OptaneStudy)"},
    {"ntstore_posted", CONF_UINT, K(nt_posted), "10", 1, CORE_MAX_MISSES, NULL,
     "non-temporal stores that no controller has taken yet (calibrated: bandwidth of one module over threads)"},
    {"flush_posted", CONF_UINT, K(flush_posted), "9", 1, CORE_MAX_MISSES, NULL,
     "flushed lines that no controller has taken yet (calibrated: the same)"},
    {"ntstore_fenced", CONF_TIME, K(nt_fenced_ps), "191ns", 0, PS_PER_US, NULL,
     "from the first non-temporal store before a fence to the first behind it (64 B and a fence: 187 ns, LENS; 190 ns "
     "of one thread, 210 ns of six, OptaneStudy)"},
    {"ntstore_cached", CONF_TIME, K(nt_cached_ps), "20ns", 0, PS_PER_US, NULL,
     "from one non-temporal store to the next if its line is in the core's caches and has to leave them (22 ns a line "
     "of 512 B and more: OptaneStudy's latencies; of lines not cached 15.5 ns: its bandwidth of one thread)"},
    {"rob", CONF_UINT, K(rob), "224", 1, CORE_MAX_ROB, NULL, "reorder buffer (Skylake: 224)"},
    {"store_buffer", CONF_UINT, K(store_buffer), "56", 1, CORE_MAX_STORES, NULL, "store buffer (Skylake: 56)"},
    {"store_miss", CONF_TIME, K(store_miss_ps), "12.5ns", 0, PS_PER_US, NULL,
     "between two stores that miss (one thread stores 3.7 to 5.1 GB/s to DRAM: OptaneStudy)"},
    {"flush_miss", CONF_TIME, K(flush_miss_ps), "14.5ns", 0, PS_PER_US, NULL,
     "longer for the flush of a line that its store missed (1.44 GB/s of store and CLWB less both: OptaneStudy)"},
    {"store_ahead", CONF_TIME, K(store_ahead_ps), "7.5ns", 0, PS_PER_US, NULL,
     "the same if its line was asked for ahead of a fence and is there (1.29 GB/s of CLWB with a fence every 256 B: "
     "OptaneStudy)"},
    {"sfence_cycles", CONF_UINT, K(sfence_cycles), "6", 0, 10000, NULL, "SFENCE with nothing to wait for (InstLatx64)"},
    {"mfence_cycles", CONF_UINT, K(mfence_cycles), "33", 0, 10000, NULL,
     "MFENCE with nothing to wait for (InstLatx64)"},
    {"flush_cycles", CONF_UINT, K(flush_cycles), "1", 0, 10000, NULL,
     "issue of a flush: CLWB, clean line (InstLatx64)"},
    {"clflush", CONF_TIME, K(clflush_ps), "39.6ns", 0, PS_PER_US, NULL, "between two CLFLUSHes (InstLatx64)"},
    {"clwb", CONF_TIME, K(clwb_ps), "14.5ns", 0, PS_PER_US, NULL,
     "between two CLWBs of dirty lines: a quarter of the 57.3 ns that one with its fence takes (OptaneStudy)"},
    {"clwb_pmem", CONF_TIME, K(clwb_pmem_ps), "28ns", 0, PS_PER_US, NULL,
     "the same of persistent lines (24 to 34 ns a line from 128 B to 4 KiB: OptaneStudy)"},
    {"clflushopt", CONF_TIME, K(clflushopt_ps), "25.5ns", 0, PS_PER_US, NULL, "between two CLFLUSHOPTs (InstLatx64)"},
    /* Intel's optimisation manual 2.5 (width, buffers); Fog, microarchitecture 11.1 (misprediction). */
    {"mispredict_cycles", CONF_UINT, K(mispredict_cycles), "16", 0, 1000, NULL,
     "program: from a branch's execution to the right path (Skylake: 15 to 20)"},
    {"branch_history", CONF_UINT, K(branch_history), "12", 0, 14, NULL,
     "program: global branches in the index of the predictor's 16,384 counters (a knob)"},
    {"width", CONF_UINT, K(width), "4", 1, 16, NULL, "model window: instructions dispatched a cycle (Skylake: 4)"},
    {"load_queue", CONF_UINT, K(load_queue), "72", 1, CORE_MAX_ROB, NULL,
     "model window: loads between dispatch and retirement (Skylake: 72)"},
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
    for (uint64_t i = conf->miss_buffers; i < N_ELEMS(c->busy_ps); i++)
        c->busy_ps[i] = INT64_MAX;
    c->cycle_ps = PS_PER_S / conf->hz;
    c->instruction_fs = PS_PER_S / conf->hz * 1000 * 1000 / conf->ipc_milli;
}

void core_drain(struct core *c)
{
    while (c->miss_n)
        core_pop_miss(c);
    core_wait(c, (ps_t)c->busy_ps[c->conf.miss_buffers - 1]);
    core_wait(c, c->stores_done_ps);
    c->nt_n = c->store_n = 0;
}

void core_sfence(struct core *c, bool loads_too)
{
    ps_t start = c->now_ps;
    if (loads_too)
        core_drain(c);
    core_wait(c, max_u64(c->stores_done_ps, c->flushes_done_ps));
    c->now_ps += (loads_too ? c->conf.mfence_cycles : c->conf.sfence_cycles) * c->cycle_ps;
    c->stats.fence_ps += c->now_ps - start;
    if (c->has_nt)
        c->nt_after_ps = c->nt_first_ps + c->conf.nt_fenced_ps;
    c->has_nt = false;
    c->ahead_n = 0;
    c->fence_instruction = c->stats.instructions;
    /* A stall of that length fills the reorder buffer; what came before the fence is as far back as asking goes. */
    c->fence_ps = loads_too ? c->now_ps : max_u64(start, c->now_ps - min_u64(c->now_ps, PS_PER_US));
}

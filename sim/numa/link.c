/* SPDX-License-Identifier: MIT */
#include "sim/numa/link.h"

const struct stat_desc link_stat_desc[] = {
    {"lines", STAT_COUNT, "lines", "64-byte transfers over the link"},
    {"messages", STAT_COUNT, "1", "requests and answers without data"},
    {"wait_ps", STAT_COUNT, "ps", "time that lines waited for the link"},
};
STATS_COMPLETE(struct link_stats, link_stat_desc);

void link_init(struct numa_link *l, uint64_t bytes_s, uint64_t header_bytes)
{
    *l = (struct numa_link){.line_ps = PS_PER_S * (LINE_BYTES + header_bytes) / bytes_s,
                            .message_ps = PS_PER_S * header_bytes / bytes_s,
                            .newest = LINK_SLICES - 1};
    l->slice_ps = LINK_SLICE_LINES * l->line_ps;
    l->per_ps = UINT64_MAX / l->slice_ps;
}

/* Makes slice s valid, and all before it that the ring holds. */
static void reach(struct numa_link *l, uint64_t s)
{
    if (s - l->newest > LINK_SLICES)
        l->newest = s - LINK_SLICES;
    while (l->newest < s)
        l->used_ps[++l->newest % LINK_SLICES] = 0;
}

/* Takes up to need of slice s behind its first skip_ps; how much. */
static inline ps_t take(struct numa_link *l, uint64_t s, ps_t skip_ps, ps_t need)
{
    if (s > l->newest)
        reach(l, s);
    uint32_t *used = &l->used_ps[s % LINK_SLICES];
    ps_t took = min_u64(need, min_u64(l->slice_ps - *used, l->slice_ps - skip_ps));
    *used += (uint32_t)took;
    return took;
}

/* Slice s has no room: the next one that may have some. */
static inline uint64_t behind(struct numa_link *l, uint64_t s)
{
    if (s < l->full_from || s > l->full_to)
        l->full_from = l->full_to = s;
    if (s == l->full_to)
        l->full_to++;
    return l->full_to;
}

ps_t link_send(struct numa_link *l, bool is_line, ps_t t)
{
    ps_t takes = is_line ? l->line_ps : l->message_ps, need = takes;
    /* In integers: a guest's floating-point flags are the host's while it runs. */
    uint64_t s = (uint64_t)((unsigned __int128)t * l->per_ps >> 64);
    s += t - s * l->slice_ps >= l->slice_ps;
    l->stats.lines += is_line;
    l->stats.messages += !is_line;
    if (unlikely(s + LINK_SLICES <= l->newest)) /* beyond the ring's memory: as over an idle link */
        return t + takes;
    need -= take(l, s, t - s * l->slice_ps, need);
    while (need) {
        s = s <= l->newest && l->used_ps[s % LINK_SLICES] == l->slice_ps ? behind(l, s) : s + 1;
        need -= take(l, s, 0, need);
    }
    ps_t end = t + takes;
    if (is_line)
        end = max_u64(end, s * l->slice_ps + l->used_ps[s % LINK_SLICES]);
    l->stats.wait_ps += end - takes - t;
    return end;
}

/* SPDX-License-Identifier: MIT */
#include "sim/numa/link.h"

const struct stat_desc link_stat_desc[] = {
    {"lines", STAT_COUNT, "lines", "64-byte transfers over the link"},
    {"messages", STAT_COUNT, "1", "requests and answers without data"},
    {"wait_ps", STAT_COUNT, "ps", "time that transfers waited for the link"},
};
STATS_COMPLETE(struct link_stats, link_stat_desc);

void link_init(struct numa_link *l, uint64_t bytes_s, uint64_t header_bytes)
{
    *l = (struct numa_link){.line_ps = PS_PER_S * (LINE_BYTES + header_bytes) / bytes_s,
                            .message_ps = PS_PER_S * header_bytes / bytes_s,
                            .newest = LINK_SLICES - 1};
    l->slice_ps = LINK_SLICE_LINES * l->line_ps;
    l->per_ps = 1.0 / (double)l->slice_ps;
}

/* Makes slice s valid, and all before it that the ring holds. */
static void reach(struct numa_link *l, uint64_t s)
{
    if (s - l->newest > LINK_SLICES)
        l->newest = s - LINK_SLICES;
    while (l->newest < s)
        l->used_ps[++l->newest % LINK_SLICES] = 0;
}

ps_t link_send(struct numa_link *l, bool is_line, ps_t t)
{
    ps_t takes = is_line ? l->line_ps : l->message_ps, start = t;
    uint64_t s = (uint64_t)((double)t * l->per_ps);
    s -= s * l->slice_ps > t;
    l->stats.lines += is_line;
    l->stats.messages += !is_line;
    if (unlikely(s + LINK_SLICES <= l->newest)) /* beyond the ring's memory: as over an idle link */
        return t + takes;
    for (;; s++) {
        if (s > l->newest)
            reach(l, s);
        ps_t *used = &l->used_ps[s % LINK_SLICES];
        if (*used + takes > l->slice_ps)
            continue;
        start = max_u64(t, s * l->slice_ps + *used);
        *used += takes;
        break;
    }
    l->stats.wait_ps += start - t;
    return start + takes;
}

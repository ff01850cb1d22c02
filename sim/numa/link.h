/* SPDX-License-Identifier: MIT */
/* One direction of a link with bandwidth and queueing. Time is cut into slices; a transfer goes into the first slice
 * from its arrival on that has room, and what does not fit into the next ones, so that one which comes late in program
 * order but early in time (cores run a quantum apart) uses what others left. Within a slice, of no more than two lines,
 * transfers queue behind what the slice already carries.
 *
 * Messages have virtual channels of their own (UPI and CXL.mem both tell requests from data): they take room, but do
 * not wait behind lines. Else the requests of a few cores and their data take turns in convoys, and the link idles
 * between. */
#ifndef QUIRE_NUMA_LINK_H
#define QUIRE_NUMA_LINK_H

#include "sim/base/stats.h"
#include "sim/base/types.h"

#define LINK_SLICES      1024u /* 3.8 us over two links of UPI: more than cores are apart */
#define LINK_SLICE_LINES 2u    /* lines that a slice carries */

struct link_stats {
    uint64_t lines; /* 64-byte transfers */
    uint64_t messages;
    uint64_t wait_ps;
};
extern const struct stat_desc link_stat_desc[];
#define LINK_N_STATS (sizeof(struct link_stats) / sizeof(uint64_t))

struct numa_link {
    ps_t line_ps, message_ps; /* time on the link of a line with its header, of a message without data */
    ps_t slice_ps;
    uint64_t per_ps;             /* slices a picosecond, times 2^64, rounded down */
    uint64_t newest;             /* last slice that is valid */
    uint64_t full_from, full_to; /* slices known to be full: a queue is looked through once */
    uint32_t used_ps[LINK_SLICES];
    struct link_stats stats;
};

/* bytes_s: raw rate of one direction; a line takes 64 + header_bytes of it, a message header_bytes. */
void link_init(struct numa_link *l, uint64_t bytes_s, uint64_t header_bytes);
/* A line, or a message, that is ready at t: when its last byte has left. Cost: constant, but for the slices that a line
 * fills. */
ps_t link_send(struct numa_link *l, bool is_line, ps_t t);

#endif

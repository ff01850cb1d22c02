/* SPDX-License-Identifier: MIT */
/* A CXL.mem expander: memory behind a port of a host node, as a NUMA node without CPUs. A request crosses the host's
 * port and the link, waits for a slot of the device's queue, and is served by the device's own DDR controller (section
 * machine.cxl_imc). */
#ifndef QUIRE_NUMA_CXL_H
#define QUIRE_NUMA_CXL_H

#include "sim/base/conf.h"
#include "sim/base/types.h"

#define CXL_MAX_DEVICES 4u
#define CXL_MAX_QUEUE   512u

struct cxl_conf {
    uint64_t devices;
    uint64_t size_bytes;   /* of each device */
    uint64_t host;         /* node of the port */
    uint64_t port_ps;      /* host port, link and device port, one way */
    uint64_t rate;         /* bytes/s of the link, one direction */
    uint64_t header_bytes; /* of the link, a message; a line has them too */
    uint64_t queue;        /* requests that the device takes before the first is answered */
};
extern const struct conf_key cxl_keys[];

/* Requests in the device, in the order in which they came. */
struct cxl_queue {
    uint64_t slots, n;
    ps_t came_ps[CXL_MAX_QUEUE], done_ps[CXL_MAX_QUEUE];
};

/* When a request that reaches the device at t gets a slot. */
static inline ps_t cxl_slot(const struct cxl_queue *q, ps_t t)
{
    uint64_t i = q->n % q->slots;
    return q->n >= q->slots && q->came_ps[i] <= t ? max_u64(t, q->done_ps[i]) : t;
}
/* The request that came at came_ps is answered at done_ps. */
static inline void cxl_done(struct cxl_queue *q, ps_t came_ps, ps_t done_ps)
{
    uint64_t i = q->n++ % q->slots;
    q->came_ps[i] = came_ps;
    q->done_ps[i] = done_ps;
}

#endif

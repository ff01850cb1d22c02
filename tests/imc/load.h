/* SPDX-License-Identifier: MIT */
/* A closed loop on the controllers of one node, without cores and caches: requesters with a bounded number of reads
 * outstanding and a time between issues, and one that chases pointers and whose latency is measured. */
#ifndef QUIRE_TESTS_IMC_LOAD_H
#define QUIRE_TESTS_IMC_LOAD_H

#include "sim/base/rng.h"
#include "sim/imc/imc.h"

#include <string.h>

#define LOAD_MAX 64u

struct load {
    uint32_t requesters, outstanding; /* outstanding: at most LOAD_MAX, each */
    ps_t think_ps;                    /* between two issues of a requester */
    uint32_t writes_a_thousand;       /* share of writes in all lines */
    bool random;                      /* lines at random, else a stream each */
    ps_t quantum_ps;                  /* requesters run so far ahead of each other, in turn; 0: in order of time */
    ps_t path_ps;                     /* between core and controller, both ways */
    ps_t duration_ps;
};

struct load_result {
    double gb_s, latency_ns, busy_latency_ns; /* all lines; the chaser's reads; the others' reads */
    uint64_t reads, writes;
};

struct requester {
    ps_t now_ps, slot_ps[LOAD_MAX];
    uint64_t line;
    uint32_t next;
};

static uint64_t load_line(struct requester *q, const struct load *l, struct rng *rng)
{
    if (l->random || (q->line & 4095) == 0)
        q->line = rng_below(rng, 1ull << 28);
    return q->line++;
}

/* One read, perhaps a write; the requester's slots are used in turn. */
static void load_step(struct node_imc *n, const struct mem_region *r, const struct load *l, struct requester *q,
                      bool is_chaser, struct rng *rng, struct load_result *out, double sum_ps[2], uint64_t count[2])
{
    ps_t t = max_u64(q->now_ps, q->slot_ps[q->next]);
    if (!is_chaser && rng_below(rng, 1000) < l->writes_a_thousand) {
        q->now_ps =
            max_u64(t, imc_write(n, r, rng_below(rng, 16) ? q->line ^ 1 << 20 : load_line(q, l, rng), t)) + l->think_ps;
        out->writes++;
        return;
    }
    uint64_t line = is_chaser ? rng_below(rng, 1ull << 28) : load_line(q, l, rng);
    ps_t done = imc_read(n, r, line, t + l->path_ps / 2) + l->path_ps - l->path_ps / 2;
    q->slot_ps[q->next] = done;
    q->next = is_chaser ? 0 : (q->next + 1) % l->outstanding;
    q->now_ps = is_chaser ? done : t + l->think_ps;
    sum_ps[is_chaser] += (double)(done - t);
    count[is_chaser]++;
    out->reads++;
}

static ps_t load_next(const struct requester *q)
{
    return max_u64(q->now_ps, q->slot_ps[q->next]);
}

/* Requester 0 is the chaser. */
static struct load_result load_run(struct node_imc *n, const struct mem_region *r, const struct load *l)
{
    static const struct requester zero;
    struct requester q[LOAD_MAX + 1];
    struct load_result out = {0};
    struct rng rng;
    double sum_ps[2] = {0};
    uint64_t count[2] = {0};
    rng_init(&rng, 1, "load");
    for (uint32_t i = 0; i <= l->requesters; i++) {
        q[i] = zero;
        q[i].now_ps = PS_PER_US + i * 777; /* not in step */
    }
    for (ps_t end = PS_PER_US; end < PS_PER_US + l->duration_ps;) {
        if (l->quantum_ps) {
            end += l->quantum_ps;
            for (uint32_t i = 0; i <= l->requesters; i++)
                while (load_next(&q[i]) < end)
                    load_step(n, r, l, &q[i], i == 0, &rng, &out, sum_ps, count);
            continue;
        }
        uint32_t first = 0;
        for (uint32_t i = 1; i <= l->requesters; i++)
            first = load_next(&q[i]) < load_next(&q[first]) ? i : first;
        end = load_next(&q[first]);
        load_step(n, r, l, &q[first], first == 0, &rng, &out, sum_ps, count);
    }
    out.gb_s = (double)(out.reads + out.writes) * LINE_BYTES / (double)l->duration_ps * 1000;
    out.latency_ns = count[1] ? sum_ps[1] / (double)count[1] / 1000 : 0;
    out.busy_latency_ns = count[0] ? sum_ps[0] / (double)count[0] / 1000 : 0;
    return out;
}

#endif

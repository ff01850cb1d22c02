/* SPDX-License-Identifier: MIT */
/* What a channel does with one request; inside sim/imc only. */
#ifndef QUIRE_IMC_IMC_INT_H
#define QUIRE_IMC_IMC_INT_H

#include "sim/imc/imc.h"

/* Places in the ring of a WPQ: its entries, and lines that wait for one. They are kept until time has really come to
 * them, so that a power failure at any instant finds what is accepted by then. */
#define WPQ_WAITING 1024u
static inline uint32_t imc_wpq_ring(const struct imc_conf *c)
{
    return (uint32_t)c->wpq_entries + WPQ_WAITING;
}

/* Entry i of a WPQ, 0 the oldest. */
static inline struct wpq_entry *wpq_at(const struct node_imc *n, const struct channel *c, uint32_t i)
{
    return &c->wpq[c->wpq_order[(c->wpq_head + i) % imc_wpq_ring(&n->conf)]];
}

/* sim/imc/wpq.c: a persistent line (host line number) enters the queue: when it is accepted. */
ps_t wpq_push(struct node_imc *n, struct channel *c, uint64_t line, ps_t t);

#endif

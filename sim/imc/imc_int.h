/* SPDX-License-Identifier: MIT */
/* What a channel does with one request; inside sim/imc only. */
#ifndef QUIRE_IMC_IMC_INT_H
#define QUIRE_IMC_IMC_INT_H

#include "sim/imc/imc.h"

/* sim/imc/wpq.c: a persistent line (host line number) enters the queue: when it is accepted. */
ps_t wpq_push(struct node_imc *n, struct channel *c, uint64_t line, ps_t t);

#endif

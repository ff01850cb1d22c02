/* SPDX-License-Identifier: MIT */
/* Inside of address spaces: what space_pool.c offers space.c. A page is named by its guest-physical address, a multiple
 * of 4 KiB (without EPT: the host's). */
#ifndef QUIRE_GUEST_SPACE_INT_H
#define QUIRE_GUEST_SPACE_INT_H

#include "sim/guest/space.h"

/* A page that is all zero, with one user. -1: no memory, as d says. */
int pool_take(struct page_pool *p, uint64_t *gpa, struct diag *d);
/* The same for a page table. */
int pool_take_table(struct page_pool *p, uint64_t *gpa, struct diag *d);
/* One user less. After the last one its bytes are forgotten; its frame stays the VM's. */
void pool_give(struct page_pool *p, struct vcpu *v, uint64_t gpa);
/* It has more than one user. */
bool pool_is_shared(const struct page_pool *p, uint64_t gpa);

#endif

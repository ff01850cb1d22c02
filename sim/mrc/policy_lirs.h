/* SPDX-License-Identifier: MIT */
/* Inside sim/mrc: LIRS for the table of policies. */
#ifndef QUIRE_MRC_POLICY_LIRS_H
#define QUIRE_MRC_POLICY_LIRS_H

#include <stdint.h>

/* As misses in struct mrc_policy. */
uint64_t mrc_lirs_misses(uint64_t size, const uint32_t *id, const uint64_t *next, uint64_t n, uint32_t n_ids);

#endif

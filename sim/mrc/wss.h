/* SPDX-License-Identifier: MIT */
/* Working sets: what is touched and what is written in each window of a trace. */
#ifndef QUIRE_MRC_WSS_H
#define QUIRE_MRC_WSS_H

#include <stdbool.h>
#include <stdint.h>

struct mrc_wss_window {
    uint64_t accesses, distinct, written; /* written = distinct ids that were written */
};

struct mrc_wss;
struct mrc_wss *mrc_wss_new(void);
void mrc_wss_free(struct mrc_wss *w);
/* One access in window number window, which must not fall from call to call (below 2^31). */
void mrc_wss_access(struct mrc_wss *w, uint64_t window, uint64_t id, bool write);
/* Windows seen so far, those without accesses included; *list is owned by w. */
uint64_t mrc_wss_windows(const struct mrc_wss *w, const struct mrc_wss_window **list);

#endif

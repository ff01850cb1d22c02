/* SPDX-License-Identifier: MIT */
/* Inside sim/mem only: how a frame's content is let go. */
#ifndef QUIRE_MEM_CONTENT_H
#define QUIRE_MEM_CONTENT_H

#include "sim/mem/mem.h"

/* Frees what the content word points to; the frame is all zero afterwards. */
void content_drop(struct mem *m, struct frame *f);

/* Reads or writes it for a checkpoint; reading, the frame has none before. */
void content_state(struct mem *m, struct frame *f, struct ckpt *c);

#endif

/* SPDX-License-Identifier: MIT */
/* Conservation: what goes into a queue or a level comes out of it or is still there. */
#ifndef QUIRE_MACHINE_CONSERVE_H
#define QUIRE_MACHINE_CONSERVE_H

#include "sim/machine/machine.h"

/* At the end of a run or between two steps of it: every counter that has a counterpart agrees with it, and no queue
 * holds more than it has places. 0, or -1 with the queue named in d: a fault of the simulator. */
int machine_conserves(const struct machine *m, struct diag *d);

#endif

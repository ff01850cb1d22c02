/* SPDX-License-Identifier: MIT */
/* What a VM's program leaves in the result: counters, how long it took, and of a sampled run what that is worth. */
#ifndef QUIRE_MACHINE_PROGRAM_H
#define QUIRE_MACHINE_PROGRAM_H

#include "sim/guest/exec.h"
#include "sim/machine/result.h"

/* path is that of the VM: "vm.NAME". After exec_finish(). */
void program_report(struct result *out, const struct exec *x, const char *path);

#endif

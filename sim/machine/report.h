/* SPDX-License-Identifier: MIT */
/* Pictures and one page from the results of an experiment. */
#ifndef QUIRE_MACHINE_REPORT_H
#define QUIRE_MACHINE_REPORT_H

#include "sim/machine/experiment.h"

/* Draws every plot of the experiment whose results are in results, as SVG and PNG (gnuplot), and writes index.html, all
 * into out. style: the file tools/report/style.gp. 0, or -1 after fail(). */
int report_write(const struct experiment *e, const char *results, const char *out, const char *style, struct diag *d);
/* Runs gnuplot on a script in dir, with dir as its folder. 0, or -1 after fail(). */
int report_gnuplot(const char *dir, const char *script, struct diag *d);

#endif

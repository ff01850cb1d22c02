/* SPDX-License-Identifier: MIT */
/* Inside sim/cli: the further verbs of quire mrc. */
#ifndef QUIRE_CLI_MRC_H
#define QUIRE_CLI_MRC_H

int cmd_mrc_draw(int argc, char **argv);
int cmd_mrc_split(int argc, char **argv);

#endif

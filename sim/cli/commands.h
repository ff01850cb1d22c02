/* SPDX-License-Identifier: MIT */
/* The subcommands: one file each, listed in main.c. Each takes its own argv (argv[0] = its name) and answers with an
 * exit code of sim/cli/args.h. */
#ifndef QUIRE_CLI_COMMANDS_H
#define QUIRE_CLI_COMMANDS_H

int cmd_bench(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_crash(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_machine(int argc, char **argv);
int cmd_mrc(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_validate(int argc, char **argv);

#endif

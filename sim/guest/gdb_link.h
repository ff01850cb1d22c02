/* SPDX-License-Identifier: MIT */
/* Packets of gdb's remote protocol ("Debugging with GDB", appendix E) over a socket. */
#ifndef QUIRE_GUEST_GDB_LINK_H
#define QUIRE_GUEST_GDB_LINK_H

#include "sim/base/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_PACKET 4096u

struct gdb_link {
    int fd;                   /* -1: gdb is gone */
    char in[GDB_PACKET];      /* the packet received, with a 0 behind it */
    char out[2 * GDB_PACKET]; /* room for an answer */
};

/* A socket that listens at where: a port of 127.0.0.1, or "unix:PATH". -1 with d set. */
int gdb_listen(const char *where, struct diag *d);
void gdb_hang_up(struct gdb_link *l);

/* One byte; -1: the connection has ended, and is closed. */
int gdb_byte(struct gdb_link *l);
/* The next packet's text into l->in. False: the connection has ended. */
bool gdb_receive(struct gdb_link *l);
void gdb_reply(struct gdb_link *l, const char *text);

/* Bytes as hexadecimal digits with a 0 behind them: the end. */
char *gdb_put_hex(char *to, const void *bytes, size_t n);
/* And back: how many there were, at most max. */
size_t gdb_take_hex(const char *p, uint8_t *to, size_t max);

#endif

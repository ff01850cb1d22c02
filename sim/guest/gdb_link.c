/* SPDX-License-Identifier: MIT */
#include "sim/guest/gdb_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void gdb_hang_up(struct gdb_link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

int gdb_byte(struct gdb_link *l)
{
    uint8_t c;
    ssize_t n = l->fd < 0 ? 0 : read(l->fd, &c, 1);
    if (n == 1)
        return c;
    gdb_hang_up(l);
    return -1;
}

static void write_all(struct gdb_link *l, const char *p, size_t n)
{
    while (n && l->fd >= 0) {
        ssize_t put = send(l->fd, p, n, MSG_NOSIGNAL);
        if (put <= 0) {
            gdb_hang_up(l);
            return;
        }
        p += put;
        n -= (size_t)put;
    }
}

/* The next packet's text into l->in. False: the connection has ended. */
bool gdb_receive(struct gdb_link *l)
{
    for (;;) {
        int c = gdb_byte(l);
        if (c < 0)
            return false;
        if (c == 3) { /* interrupt: gdb has control already */
            continue;
        }
        if (c != '$')
            continue;
        size_t n = 0;
        while ((c = gdb_byte(l)) >= 0 && c != '#')
            if (n + 1 < sizeof l->in)
                l->in[n++] = (char)c;
        l->in[n] = 0;
        if (gdb_byte(l) < 0 || gdb_byte(l) < 0) /* the sum: the transport does not lose bytes */
            return false;
        write_all(l, "+", 1);
        return true;
    }
}

void gdb_reply(struct gdb_link *l, const char *text)
{
    uint8_t sum = 0;
    char tail[4];
    for (const char *p = text; *p; p++)
        sum = (uint8_t)(sum + (uint8_t)*p);
    snprintf(tail, sizeof tail, "#%02x", sum);
    write_all(l, "$", 1);
    write_all(l, text, strlen(text));
    write_all(l, tail, 3);
}

char *gdb_put_hex(char *to, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to += sprintf(to, "%02x", ((const uint8_t *)bytes)[i]);
    return to;
}

size_t gdb_take_hex(const char *p, uint8_t *to, size_t max)
{
    size_t n = 0;
    unsigned byte;
    while (n < max && sscanf(p + 2 * n, "%2x", &byte) == 1 && p[2 * n + 1])
        to[n++] = (uint8_t)byte;
    return n;
}

/* ---- the connection ---- */

int gdb_listen(const char *where, struct diag *d)
{
    int fd, one = 1, bad;
    if (strncmp(where, "unix:", 5) == 0) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        if (strlen(where + 5) >= sizeof a.sun_path)
            return fail(d, "--gdb: %s is too long for a socket", where);
        memcpy(a.sun_path, where + 5, strlen(where + 5));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bad = fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof a);
    } else {
        char *end;
        unsigned long port = strtoul(where, &end, 10);
        if (*end || port == 0 || port > 65535)
            return fail(d, "--gdb: found '%s', expected a port or unix:PATH", where);
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0)
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        bad = fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof a);
    }
    if (!bad && listen(fd, 1) == 0)
        return fd;
    fail(d, "--gdb: %s: %s", where, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

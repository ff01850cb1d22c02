/* SPDX-License-Identifier: MIT */
#include "sim/guest/uart.h"

#include <string.h>

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };
#define LCR_DLAB     0x80u
#define MCR_LOOP     0x10u
#define MCR_OUT2     0x08u
#define IER_RECEIVE  0x01u
#define IER_TRANSMIT 0x02u
#define IER_BITS     0x0fu
#define FCR_ENABLE   0x01u
#define FCR_CLEAR_RX 0x02u
#define LSR_DATA     0x01u
#define LSR_EMPTY    0x60u /* holding register and shifter */
#define MSR_LINES    0xb0u /* CTS, DSR, DCD: somebody listens */
#define IIR_NONE     0x01u
#define IIR_TRANSMIT 0x02u
#define IIR_RECEIVE  0x04u
#define IIR_FIFO     0xc0u

void uart_init(struct uart *u, void (*put)(void *ctx, char c), void *ctx)
{
    *u = (struct uart){.divisor = 12, .put = put, .ctx = ctx}; /* 9600 baud, as a BIOS leaves it */
}

static uint8_t receive(struct uart *u)
{
    uint8_t c = u->fifo[0];
    if (!u->n_fifo)
        return 0;
    memmove(u->fifo, u->fifo + 1, --u->n_fifo);
    return c;
}

static void send(struct uart *u, uint8_t c)
{
    u->thr_pending = true;
    if (!(u->mcr & MCR_LOOP)) {
        u->put(u->ctx, (char)c);
        return;
    }
    uint32_t room = u->fcr & FCR_ENABLE ? sizeof u->fifo : 1;
    if (u->n_fifo < room)
        u->fifo[u->n_fifo++] = c;
    else
        u->fifo[room - 1] = c; /* overrun: the last is lost */
}

static uint8_t identify(const struct uart *u)
{
    uint8_t fifo = u->fcr & FCR_ENABLE ? IIR_FIFO : 0;
    if (u->ier & IER_RECEIVE && u->n_fifo)
        return fifo | IIR_RECEIVE;
    return fifo | (u->ier & IER_TRANSMIT && u->thr_pending ? IIR_TRANSMIT : IIR_NONE);
}

bool uart_interrupts(const struct uart *u)
{
    return u->mcr & MCR_OUT2 && !(identify(u) & IIR_NONE);
}

/* In loop-back the modem outputs come back as inputs: RTS as CTS, DTR as DSR, OUT1 as RI, OUT2 as DCD. */
static uint8_t modem(const struct uart *u)
{
    if (!(u->mcr & MCR_LOOP))
        return MSR_LINES;
    return (uint8_t)((u->mcr & 2) << 3 | (u->mcr & 1) << 5 | (u->mcr & 4) << 4 | (u->mcr & 8) << 4);
}

uint8_t uart_read(struct uart *u, uint32_t reg)
{
    bool is_latch = u->lcr & LCR_DLAB;
    uint8_t value;
    switch (reg) {
    case REG_DATA:
        return is_latch ? (uint8_t)u->divisor : receive(u);
    case REG_IER:
        return is_latch ? (uint8_t)(u->divisor >> 8) : u->ier;
    case REG_IIR:
        value = identify(u);
        if ((value & 0xf) == IIR_TRANSMIT)
            u->thr_pending = false;
        return value;
    case REG_LCR:
        return u->lcr;
    case REG_MCR:
        return u->mcr;
    case REG_LSR:
        return LSR_EMPTY | (u->n_fifo ? LSR_DATA : 0);
    case REG_MSR:
        return modem(u);
    default:
        return u->scratch;
    }
}

static void write_fcr(struct uart *u, uint8_t value)
{
    if (value & FCR_CLEAR_RX || (value ^ u->fcr) & FCR_ENABLE)
        u->n_fifo = 0;
    u->fcr = value & 0xc9;
}

void uart_write(struct uart *u, uint32_t reg, uint8_t value)
{
    bool is_latch = u->lcr & LCR_DLAB;
    switch (reg) {
    case REG_DATA:
        if (is_latch)
            u->divisor = (uint16_t)((u->divisor & 0xff00) | value);
        else
            send(u, value);
        break;
    case REG_IER:
        if (is_latch) {
            u->divisor = (uint16_t)((u->divisor & 0xff) | value << 8);
            break;
        }
        if (value & ~u->ier & IER_TRANSMIT)
            u->thr_pending = true;
        u->ier = value & IER_BITS;
        break;
    case REG_IIR:
        write_fcr(u, value);
        break;
    case REG_LCR:
        u->lcr = value;
        break;
    case REG_MCR:
        u->mcr = value & 0x1f;
        break;
    case REG_SCRATCH:
        u->scratch = value;
        break;
    default: /* LSR and MSR are read only */
        break;
    }
}

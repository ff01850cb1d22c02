/* SPDX-License-Identifier: MIT */
/* A 16550A serial port (National Semiconductor PC16550D data sheet) that sends at once and never receives. Registers
 * are all there and keep what was written, as drivers probe for; loop-back works. */
#ifndef QUIRE_GUEST_UART_H
#define QUIRE_GUEST_UART_H

#include <stdbool.h>
#include <stdint.h>

#define UART_COM1 0x3f8u
#define UART_N    8u /* ports */

struct uart {
    uint8_t ier, fcr, lcr, mcr, scratch;
    uint16_t divisor;
    bool thr_pending; /* "transmitter holding register empty" has not been reported */
    uint8_t fifo[16]; /* received in loop-back */
    uint32_t n_fifo;
    void (*put)(void *ctx, char c);
    void *ctx; /* the owner's */
};

void uart_init(struct uart *u, void (*put)(void *ctx, char c), void *ctx);
/* reg 0..7 */
uint8_t uart_read(struct uart *u, uint32_t reg);
void uart_write(struct uart *u, uint32_t reg, uint8_t value);
/* Its interrupt line. */
bool uart_interrupts(const struct uart *u);

#endif

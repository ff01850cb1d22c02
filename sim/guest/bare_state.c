/* SPDX-License-Identifier: MIT */
/* The platform of a bare machine in a checkpoint. */
#include "sim/guest/bare_int.h"

void bare_state(struct bare *b, struct ckpt *c)
{
    ckpt_section(c, "platform");
    ckpt_same(c, b->ram_bytes, "bytes of RAM");
    for (uint32_t i = 0; i < b->x->vm->n_vcpus; i++)
        CKPT_STRUCT(c, &b->cpu[i], CKPT_KEEP(struct bare_cpu, apic.send), CKPT_KEEP(struct bare_cpu, apic.ended),
                    CKPT_KEEP(struct bare_cpu, apic.ctx));
    CKPT_STRUCT(c, &b->uart, CKPT_KEEP(struct uart, put), CKPT_KEEP(struct uart, ctx));
    CKPT(c, b->pic);
    CKPT_STRUCT(c, &b->ioapic, CKPT_KEEP(struct ioapic, send), CKPT_KEEP(struct ioapic, ctx));
    CKPT(c, b->clock_index);
    CKPT(c, b->line);
    b->n_line = (uint32_t)ckpt_count(c, b->n_line, sizeof b->line);
    if (b->uart.n_fifo > sizeof b->uart.fifo) {
        b->uart.n_fifo = 0;
        ckpt_fail(c, "section 'platform': a serial port with too many bytes");
    }
}

/* SPDX-License-Identifier: MIT */
/* A DDR4 channel, timing "bank": a row and two instants a bank, one instant for the bus. */
#include "sim/imc/dram.h"

const char *const dram_level_names[] = {"bank", "command", NULL};
const char *const dram_refresh_names[] = {"rank", "same-bank", NULL};

ps_t dram_bank_read(struct dram *d, uint64_t line, ps_t t)
{
    const struct dram_timing *k = &d->t;
    struct dram_simple *s = &d->simple;
    struct dram_place p = dram_locate(d, line, NULL);
    uint64_t start = max_u64(dram_clock(d, t), s->bank[p.bank].free), column = start;
    if (s->bank[p.bank].row == p.row + 1) {
        d->stats.row_hits++;
    } else {
        uint64_t activate = start;
        d->stats.row_misses++;
        if (s->bank[p.bank].row) {
            d->stats.row_conflicts++;
            activate = max_u64(start, s->bank[p.bank].precharge) + k->rp;
        }
        s->bank[p.bank].precharge = activate + k->ras;
        s->bank[p.bank].row = p.row + 1;
        column = activate + k->rcd;
    }
    uint64_t data = max_u64(column + k->cl, s->bus_free);
    s->bus_free = data + k->burst;
    s->bank[p.bank].free = column + k->burst;
    return dram_time(d, data + k->burst);
}

/* Writes are taken at once while the queue has room; a batch holds the bus from the high down to the low watermark, and
 * for one turn-around: of the strobe, and tWTR. */
ps_t dram_bank_write(struct dram *d, ps_t t)
{
    const struct dram_timing *k = &d->t;
    struct dram_simple *s = &d->simple;
    if (++s->n_writes < k->write_high)
        return t;
    uint32_t batch = s->n_writes - k->write_low;
    uint64_t taken = max_u64(dram_clock(d, t), s->drained); /* a batch that still runs has used the spare slots up */
    s->bus_free = max_u64(s->bus_free, taken) + batch * k->burst + k->wtr + k->cl - k->cwl;
    s->drained = s->bus_free;
    s->n_writes = k->write_low;
    d->stats.write_drains++;
    d->stats.drained += batch;
    return max_u64(t, dram_time(d, taken));
}

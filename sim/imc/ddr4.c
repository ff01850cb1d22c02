/* SPDX-License-Identifier: MIT */
/* A DDR4 channel: banks, rows, the data bus, and the write queue with its watermarks. */
#include "sim/imc/imc_int.h"

/* One line of DRAM: bank and bus, first come first served within the row state. Rows are spread over the banks by the
 * low row bits (permutation-based interleaving, Zhang et al., MICRO'00). */
ps_t dram_line(struct node_imc *n, struct channel *c, uint64_t chan_line, ps_t t)
{
    const struct imc_conf *k = &n->conf;
    uint64_t above = chan_line >> n->row_shift;
    uint32_t row = (uint32_t)(above >> n->bank_shift);
    uint32_t bank = (uint32_t)(above ^ row) & n->bank_mask;
    ps_t start = max_u64(t, c->bank_free_ps[bank]), cas = start;
    if (c->open_row[bank] == row) {
        c->stats.row_hits++;
    } else {
        c->stats.row_misses++;
        ps_t activate = start;
        if (c->open_row[bank] != UINT32_MAX)
            activate = max_u64(start, c->bank_ras_ps[bank]) + k->t_rp_ps;
        c->bank_ras_ps[bank] = activate + k->t_ras_ps;
        c->open_row[bank] = row;
        cas = activate + k->t_rcd_ps;
    }
    ps_t data = max_u64(cas + k->t_cl_ps, c->bus_free_ps);
    c->bus_free_ps = data + k->t_burst_ps;
    c->bank_free_ps[bank] = cas + k->t_burst_ps;
    return data + k->t_burst_ps;
}

/* DRAM writes: taken at once while the queue has room; a batch holds the bus from the high down to the low watermark.
 */
ps_t dram_write(struct node_imc *n, struct channel *c, ps_t t)
{
    const struct imc_conf *k = &n->conf;
    ps_t taken = t;
    if (++c->n_writes >= k->write_high) {
        uint64_t batch = c->n_writes - k->write_low;
        if (c->drained_ps > t) /* the batch before still runs: the queue's spare slots are used up */
            taken = c->drained_ps;
        c->bus_free_ps = max_u64(c->bus_free_ps, taken) + batch * k->t_burst_ps + k->t_turn_ps;
        c->drained_ps = c->bus_free_ps;
        c->n_writes = (uint32_t)k->write_low;
        c->stats.write_drains++;
    }
    return taken;
}

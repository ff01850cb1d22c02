/* SPDX-License-Identifier: MIT */
/* One channel of DDR4: ranks, bank groups, banks, rows, the data bus, refresh, and the queue of writes.
 *
 * A request is placed at the earliest instants that every rule of JESD79-4 allows, given all that was placed before it;
 * nothing is stepped through cycle by cycle. Activates and column commands are bits in a calendar of memory clocks, so
 * a request that arrives late in program order but early in time (cores run a quantum apart) takes a gap that others
 * left, and a row hit may go before older requests, as FR-FCFS lets it. A bank remembers its last openings (rows, when
 * activated, when they may be precharged), between which a further one may fit.
 *
 * Writes wait in a queue; from the high watermark on, a batch down to the low one takes a stretch of the bus, rank by
 * rank, with the turn-arounds before (read to write) and after (tWTR) it. Reads do not look into the queue.
 *
 * Refresh: every tREFI a rank is busy for tRFC, ranks and controllers in turn; rows are closed for it. The channels of
 * a controller refresh together: a stream over all of them then waits once, not once a channel. Or same-bank (DDR5,
 * JESD79-5 REFsb): a quarter of a rank's banks at a time, each every tREFI, and the others go on.
 *
 * All this is timing "command". Timing "bank" is several times as fast to simulate and knows less: a bank's row and
 * when it is next free, the bus, and write batches as a stretch of the bus; requests are served in the order of the
 * calls.
 *
 * Times inside are memory clocks, counted from DRAM_ORIGIN at time 0. Cost of a request: constant, but for the gaps
 * that it has to look through. */
#ifndef QUIRE_IMC_DRAM_H
#define QUIRE_IMC_DRAM_H

#include "sim/base/types.h"

#define DRAM_MAX_BANKS  64u /* a channel, all ranks */
#define DRAM_MAX_RANKS  4u
#define DRAM_MAX_GROUPS 4u /* bank groups a rank: DDR4 x4 and x8 */
#define DRAM_MAX_WRITES 256u
#define DRAM_WORDS      64u /* of 64 clocks: how far back and ahead the calendar reaches, 3 us at 750 ps */
#define DRAM_OPENINGS   8u
#define DRAM_ORIGIN     (1u << 20)

enum dram_level { DRAM_BANK, DRAM_COMMAND };
extern const char *const dram_level_names[];

enum dram_refresh { DRAM_REFRESH_ALL, DRAM_REFRESH_SAME_BANK };
extern const char *const dram_refresh_names[];
#define DRAM_QUARTERS 4u /* of a rank's banks, which refresh at different times */

/* What a channel is built from; times as in the data sheet. */
struct dram_conf {
    uint64_t level; /* enum dram_level */
    uint64_t ranks;
    uint64_t banks;     /* a channel, all ranks; a power of two, at least one a rank */
    uint64_t row_bytes; /* row buffer of a bank over all chips of a rank */
    uint64_t t_ck_ps, t_cl_ps, t_cwl_ps, t_rcd_ps, t_rp_ps, t_ras_ps, t_rtp_ps, t_wr_ps, t_wtr_ps;
    uint64_t t_ccd_l_ps, t_rrd_s_ps, t_rrd_l_ps, t_faw_ps, t_rank_ps, t_refi_ps, t_rfc_ps;
    uint64_t refresh; /* enum dram_refresh */
    uint64_t page_ps; /* a row that was not used for so long is closed; 0: at once */
    uint64_t write_queue, write_high, write_low;
};

/* The same in clocks. */
struct dram_timing {
    ps_t ck_ps;
    uint64_t per_ps; /* clocks a picosecond, times 2^64, rounded down */
    uint32_t burst, cl, cwl, rcd, rp, ras, rtp, wr, wtr, ccd_l, rrd_s, rrd_l, faw, rank_gap;
    uint32_t act_reach; /* no rule between two activates of a rank reaches farther */
    uint64_t refi, rfc, page;
    uint32_t write_queue, write_high, write_low;
};

struct dram_stats {
    uint64_t row_hits, row_misses, row_conflicts, write_drains, drained, late;
};

/* A row of a bank, from its activate on. */
struct dram_opening {
    uint64_t act;
    uint32_t row;
    uint32_t keep; /* clocks after act: earliest precharge */
    uint32_t used; /* clocks after act: last column command */
};

struct dram_bank {
    uint32_t head, n; /* opening[head & 7] is the newest */
    struct dram_opening opening[DRAM_OPENINGS];
};

/* 64 clocks of one rank: a bit where a row is activated, and where a burst begins on the data bus. */
struct dram_word {
    uint64_t act[DRAM_MAX_GROUPS], burst[DRAM_MAX_GROUPS];
};

struct dram_place {
    uint32_t bank, rank, group, row;
};

/* State of a bank under timing "bank", in clocks. */
struct dram_simple {
    uint64_t bus_free, drained;
    uint32_t n_writes;
    struct {
        uint64_t free, precharge; /* next column command; earliest precharge of the open row */
        uint32_t row;             /* number + 1; 0: closed */
    } bank[DRAM_MAX_BANKS];
};

/* What a test sees of every command: the instant in clocks from DRAM_ORIGIN on, when it is known. */
enum dram_command { DRAM_ACT, DRAM_READ, DRAM_WRITE };
typedef void dram_log_fn(void *ctx, enum dram_command c, struct dram_place at, uint64_t clock);

struct dram {
    struct dram_timing t;
    bool is_simple;
    struct dram_simple simple;
    uint32_t n_ranks, n_banks, near_bits, low_bits, column_bits, bank_bits, rank_shift, group_mask;
    uint64_t newest;                               /* last word of the calendar that is valid */
    uint64_t last_burst, last_act[DRAM_MAX_RANKS]; /* latest of all: nothing lies beyond */
    uint64_t span_end;                             /* end of the last stretch of writes, and of its turn-around */
    /* By rank and quarter: of refreshes of the whole rank, the first quarter's. refresh: begin of the period looked at
     * last. */
    uint64_t phase[DRAM_MAX_RANKS * DRAM_QUARTERS], refresh[DRAM_MAX_RANKS * DRAM_QUARTERS];
    bool has_quarters;
    uint64_t n_in, n_out; /* writes taken and drained */
    uint32_t n_queued;
    struct dram_place queue[DRAM_MAX_WRITES];
    uint64_t arrival[DRAM_MAX_WRITES]; /* when they came */
    uint64_t came[DRAM_MAX_WRITES],
        left[DRAM_MAX_WRITES]; /* when write number i came and left, at i % DRAM_MAX_WRITES */
    struct dram_stats stats;
    dram_log_fn *log; /* NULL outside tests */
    void *log_ctx;
    uint64_t span[DRAM_WORDS][DRAM_MAX_RANKS]; /* clocks in which no read may have data on the bus */
    struct dram_word word[DRAM_WORDS][DRAM_MAX_RANKS] __attribute__((aligned(64)));
    struct dram_bank bank[DRAM_MAX_BANKS] __attribute__((aligned(64)));
};

/* What is wrong with the parameters, or NULL. */
const char *dram_conf_error(const struct dram_conf *c);
/* index of n_controllers: their refreshes take turns. The parameters are sound. */
void dram_init(struct dram *d, const struct dram_conf *c, uint32_t index, uint32_t n_controllers);

/* Bank and row of a line of the channel; column: its place in the row, or NULL. A bijection. */
struct dram_place dram_locate(const struct dram *d, uint64_t line, uint32_t *column);

/* Index into phase and refresh. */
static inline uint32_t dram_quarter(const struct dram *d, uint32_t bank)
{
    uint32_t in_rank = bank & ((1u << d->rank_shift) - 1);
    return (bank >> d->rank_shift) * DRAM_QUARTERS + (d->has_quarters ? in_rank * DRAM_QUARTERS >> d->rank_shift : 0);
}

/* A read of a line that arrives at t: when its data has crossed the bus. */
ps_t dram_read(struct dram *d, uint64_t line, ps_t t);
/* A write: when the queue has taken it. */
ps_t dram_write(struct dram *d, uint64_t line, ps_t t);

/* ---- inside sim/imc ---- */

/* sim/imc/dram_bank.c: the same under timing "bank". */
ps_t dram_bank_read(struct dram *d, uint64_t line, ps_t t);
ps_t dram_bank_write(struct dram *d, ps_t t);

/* Places a read or a write that arrives at clock a, with its data on the bus in [from, to). The first clock of its
 * data, or 0 if there is no such place; then nothing has changed. */
uint64_t dram_place(struct dram *d, struct dram_place p, bool is_write, uint64_t a, uint64_t from, uint64_t to);
/* Makes the calendar valid up to that clock. */
void dram_reach(struct dram *d, uint64_t clock);

static inline uint64_t dram_clock(const struct dram *d, ps_t t)
{
    /* In integers: a guest's floating-point flags are the host's while it runs. */
    uint64_t c = (uint64_t)((unsigned __int128)t * d->t.per_ps >> 64), over = t - c * d->t.ck_ps;
    return c + (over > 0) + (over > d->t.ck_ps) + DRAM_ORIGIN;
}
static inline ps_t dram_time(const struct dram *d, uint64_t clock)
{
    return (clock - DRAM_ORIGIN) * d->t.ck_ps;
}
/* First clock that the calendar still knows. */
static inline uint64_t dram_oldest(const struct dram *d)
{
    return (d->newest + 1 - DRAM_WORDS) << 6;
}

/* Line writes that are in the write queue. */
static inline uint64_t dram_waiting(const struct dram *d)
{
    return d->is_simple ? d->simple.n_writes : d->n_queued;
}

#endif

/* SPDX-License-Identifier: MIT */
/* The queue of writes of a DDR4 channel: batches between two watermarks, each a stretch of the bus. */
#include "sim/imc/dram.h"

#include "sim/base/diag.h"

/* Clocks between the last read data and the first write data: the data strobe turns round (JESD79-4: RD to WR is
 * CL + BL/2 + 2 - CWL). */
#define READ_TO_WRITE 2u
/* Clocks that the writes of a rank may take beyond their own bursts, for banks that are not ready. */
#define SLACK 8u

/* Bursts that begin in [at, at + 63] on any rank. */
static uint64_t bursts_from(const struct dram *d, uint64_t at)
{
    uint32_t w = (uint32_t)(at >> 6) % DRAM_WORDS, shift = (uint32_t)at & 63;
    uint64_t low = 0, high = 0;
    for (uint32_t r = 0; r < d->n_ranks; r++)
        for (uint32_t g = 0; g < DRAM_MAX_GROUPS; g++) {
            low |= d->word[w][r].burst[g];
            high |= d->word[(w + 1) % DRAM_WORDS][r].burst[g];
        }
    return low >> shift | high << 1 << (63 - shift);
}

/* First clock from at on that begins a stretch of n clocks in which no burst begins or goes on. */
static uint64_t find_stretch(struct dram *d, uint64_t at, uint32_t n)
{
    uint32_t before = d->t.burst + READ_TO_WRITE - 1;
    for (uint64_t seen = 0; seen < n + before;) {
        uint64_t from = at - before + seen;
        dram_reach(d, from + 128);
        uint64_t bursts = bursts_from(d, from), rest = n + before - seen;
        if (rest < 64)
            bursts &= (1ull << rest) - 1;
        if (bursts) {
            at = from + 64 - (uint32_t)__builtin_clzll(bursts) + before;
            seen = 0;
        } else {
            seen += 64;
        }
    }
    return at;
}

/* Reads of the rank have no data on the bus in [from, to). */
static void block_reads(struct dram *d, uint32_t rank, uint64_t from, uint64_t to)
{
    dram_reach(d, to + 64);
    while (from < to) {
        uint64_t end = min_u64(to, (from | 63) + 1), n = end - from;
        d->span[(from >> 6) % DRAM_WORDS][rank] |= (n == 64 ? ~0ull : (1ull << n) - 1) << (from & 63);
        from = end;
    }
    d->span_end = max_u64(d->span_end, to);
}

static void leave(struct dram *d, uint32_t i, uint64_t clock)
{
    d->left[d->n_out % DRAM_MAX_WRITES] = clock;
    d->came[d->n_out++ % DRAM_MAX_WRITES] = d->arrival[i];
    d->queue[i].row = UINT32_MAX; /* gone; rows are far below that */
}

/* Writes of one rank go out in the stretch [from, to) in the order of the queue, as far as their banks are ready;
 * answers when the last data ends, from if there is none. */
static uint64_t drain_rank(struct dram *d, uint32_t rank, uint64_t now, uint64_t from, uint64_t to, uint32_t *n)
{
    uint64_t end = from;
    for (uint32_t i = 0; i < d->n_queued && *n; i++) {
        struct dram_place p = d->queue[i];
        if (p.rank != rank || p.row == UINT32_MAX)
            continue;
        uint64_t data = dram_place(d, p, true, now, from, to + 1 - d->t.burst);
        if (!data)
            continue;
        leave(d, i, data + d->t.burst);
        end = max_u64(end, data + d->t.burst);
        --*n;
    }
    return end;
}

static uint32_t queued_of(const struct dram *d, uint32_t rank)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_queued; i++)
        n += d->queue[i].rank == rank && d->queue[i].row != UINT32_MAX;
    return n;
}

static void close_gaps(struct dram *d)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < d->n_queued; i++)
        if (d->queue[i].row != UINT32_MAX) {
            d->arrival[k] = d->arrival[i];
            d->queue[k++] = d->queue[i];
        }
    d->n_queued = k;
}

/* A batch that begins its commands at clock now. The turn-around after it is kept free for the rank that wrote last. */
static void drain(struct dram *d, uint64_t now)
{
    const struct dram_timing *t = &d->t;
    uint32_t want = d->n_queued - t->write_low, left = want;
    uint32_t tail = t->wtr + t->cl;
    uint32_t body = want * t->burst + (t->rank_gap + t->burst) * d->n_ranks + t->ccd_l;
    while (left == want) {
        uint64_t first = find_stretch(d, now + t->rcd + t->cwl, body + tail), to = first + body, end[DRAM_MAX_RANKS];
        uint64_t from = first, last = first;
        now = max_u64(now, dram_oldest(d) + 64);
        for (uint32_t r = 0; r < d->n_ranks; r++) {
            uint64_t share = from + queued_of(d, r) * t->burst + SLACK;
            end[r] = drain_rank(d, r, now, from, min_u64(share, to), &left);
            from = last = max_u64(last, end[r]);
        }
        for (uint32_t r = 0; r < d->n_ranks && left < want; r++)
            block_reads(d, r, first - READ_TO_WRITE,
                        max_u64(last + t->rank_gap, end[r] > (r ? end[r - 1] : first) ? end[r] + tail : 0));
        now = left == want ? to : now;
        if (left == want && d->n_queued < t->write_queue)
            return; /* their ranks are in refresh; there is room to wait */
    }
    d->stats.write_drains++;
    d->stats.drained += want - left;
    close_gaps(d);
}

ps_t dram_write(struct dram *d, uint64_t line, ps_t t)
{
    if (d->is_simple)
        return dram_bank_write(d, t);
    uint64_t a = dram_clock(d, t);
    dram_reach(d, a + 64);
    a = max_u64(a, dram_oldest(d) + 64);
    d->arrival[d->n_queued] = a;
    /* A slot is free when the write that came a queue's length earlier has left, unless that one came from a core whose
     * clock is ahead. */
    if (d->n_in++ >= d->t.write_queue) {
        uint64_t i = (d->n_in - 1 - d->t.write_queue) % DRAM_MAX_WRITES;
        if (d->left[i] > a && d->came[i] <= a) {
            a = d->left[i];
            t = dram_time(d, a);
        }
    }
    d->queue[d->n_queued++] = dram_locate(d, line, NULL);
    if (d->n_queued >= d->t.write_high)
        drain(d, a);
    CHECK(d->n_queued <= d->t.write_queue && d->n_in == d->n_out + d->n_queued);
    return t;
}

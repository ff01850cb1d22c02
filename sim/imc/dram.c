/* SPDX-License-Identifier: MIT */
/* Placing one command pair (activate, column) in a DDR4 channel. */
#include "sim/imc/dram.h"

#include "sim/base/diag.h"

#include <string.h>

/* Bits that a window of the calendar shows before its first candidate, and candidates it offers. */
#define BEFORE     16u
#define CANDIDATES 40u
#define MAX_REACH  8u /* no rule between two commands on the bus reaches farther */

static uint32_t clocks(ps_t t, ps_t ck)
{
    return (uint32_t)((t + ck - 1) / ck);
}

static bool is_pow2(uint64_t v)
{
    return v && (v & (v - 1)) == 0;
}

const char *dram_conf_error(const struct dram_conf *c)
{
    if (!is_pow2(c->banks) || !is_pow2(c->ranks) || !is_pow2(c->row_bytes))
        return "banks, ranks and row have to be powers of two";
    if (c->banks < c->ranks || c->banks > DRAM_MAX_BANKS)
        return "expected at least one bank a rank and at most 64 in all";
    if (clocks(c->t_ccd_l_ps, c->t_ck_ps) > MAX_REACH + 1 || clocks(c->t_rrd_l_ps, c->t_ck_ps) > MAX_REACH + 1 ||
        clocks(c->t_rank_ps, c->t_ck_ps) > MAX_REACH - 3)
        return "t_ccd_l and t_rrd_l may be at most 9 clocks, t_rank at most 5";
    if (clocks(c->t_faw_ps, c->t_ck_ps) > 64)
        return "t_faw may be at most 64 clocks";
    if (c->t_refi_ps && (c->t_refi_ps < 4 * c->t_rfc_ps || c->t_refi_ps / c->t_ck_ps > DRAM_ORIGIN / 2))
        return "t_refi has to be at least four times t_rfc";
    if (c->t_cwl_ps > c->t_cl_ps)
        return "t_cwl may not be above t_cl";
    if (c->write_low >= c->write_high || c->write_high > c->write_queue)
        return "expected write_low < write_high <= write_queue";
    return NULL;
}

static void set_timing(struct dram_timing *t, const struct dram_conf *c)
{
    ps_t ck = c->t_ck_ps;
    *t = (struct dram_timing){
        .ck_ps = ck,
        .per_ps = UINT64_MAX / ck,
        .burst = 4, /* eight beats, two a clock */
        .cl = clocks(c->t_cl_ps, ck),
        .cwl = clocks(c->t_cwl_ps, ck),
        .rcd = clocks(c->t_rcd_ps, ck),
        .rp = clocks(c->t_rp_ps, ck),
        .ras = clocks(c->t_ras_ps, ck),
        .rtp = clocks(c->t_rtp_ps, ck),
        .wr = clocks(c->t_wr_ps, ck),
        .wtr = clocks(c->t_wtr_ps, ck),
        .ccd_l = clocks(c->t_ccd_l_ps, ck),
        .rrd_s = clocks(c->t_rrd_s_ps, ck),
        .rrd_l = clocks(c->t_rrd_l_ps, ck),
        .faw = clocks(c->t_faw_ps, ck),
        .rank_gap = clocks(c->t_rank_ps, ck),
        .refi = c->t_refi_ps / ck,
        .rfc = clocks(c->t_rfc_ps, ck),
        .page = c->page_ps / ck,
        .write_queue = (uint32_t)c->write_queue,
        .write_high = (uint32_t)c->write_high,
        .write_low = (uint32_t)c->write_low,
    };
    /* Between two bursts of a group there is room for one of another: two groups fill the bus in turn. */
    t->ccd_l = t->ccd_l <= t->burst ? t->burst : t->ccd_l < 2 * t->burst ? 2 * t->burst : t->ccd_l;
    t->rrd_l = t->rrd_l < t->rrd_s ? t->rrd_s : t->rrd_l;
    t->act_reach = t->faw > t->rrd_l ? t->faw : t->rrd_l;
}

void dram_init(struct dram *d, const struct dram_conf *c, uint32_t index, uint32_t n_controllers)
{
    memset(d, 0, sizeof *d);
    set_timing(&d->t, c);
    d->is_simple = c->level == DRAM_BANK;
    d->n_ranks = (uint32_t)c->ranks;
    d->n_banks = (uint32_t)c->banks;
    uint32_t a_rank = d->n_banks / d->n_ranks;
    d->bank_bits = (uint32_t)__builtin_ctz(d->n_banks);
    d->rank_shift = (uint32_t)__builtin_ctz(a_rank);
    d->group_mask = (a_rank < DRAM_MAX_GROUPS ? a_rank : DRAM_MAX_GROUPS) - 1;
    d->low_bits = a_rank > 1;
    d->column_bits = (uint32_t)__builtin_ctzll(c->row_bytes) - LINE_SHIFT;
    d->near_bits = d->column_bits < 2 ? d->column_bits : 2;
    d->newest = (DRAM_ORIGIN >> 6) + DRAM_WORDS - 3; /* time 0 is not late */
    d->has_quarters = c->refresh == DRAM_REFRESH_SAME_BANK;
    uint32_t n = d->has_quarters ? DRAM_QUARTERS : 1, turns = d->n_ranks * n * n_controllers;
    for (uint32_t i = 0; i < d->n_ranks * n; i++) {
        uint32_t at = i / n * DRAM_QUARTERS + i % n;
        d->phase[at] = d->refresh[at] = d->t.refi * (i * n_controllers + index) / turns;
    }
}

/* From the lowest bit on: four lines of a row, so that a visit to a row is worth its activate; one bit of the bank
 * group, so that a stream alternates between two groups and keeps the bus busy in spite of tCCD_L; the other columns;
 * the other bits of the bank; the row. The bank is permuted by the row's low bits (Zhang et al., MICRO'00). */
struct dram_place dram_locate(const struct dram *d, uint64_t line, uint32_t *column)
{
    uint32_t near = (uint32_t)line & ((1u << d->near_bits) - 1);
    uint64_t rest = line >> d->near_bits;
    uint32_t low = (uint32_t)rest & ((1u << d->low_bits) - 1), far_bits = d->column_bits - d->near_bits;
    rest >>= d->low_bits;
    uint32_t high_bits = d->bank_bits - d->low_bits, high = (uint32_t)(rest >> far_bits) & ((1u << high_bits) - 1);
    struct dram_place p = {.row = (uint32_t)(rest >> (far_bits + high_bits))};
    p.bank = ((low | high << d->low_bits) ^ p.row) & (d->n_banks - 1);
    p.rank = p.bank >> d->rank_shift;
    p.group = p.bank & d->group_mask;
    if (column)
        *column = near | ((uint32_t)rest & ((1u << far_bits) - 1)) << d->near_bits;
    return p;
}

/* ---- the calendar ---- */

void dram_reach(struct dram *d, uint64_t clock)
{
    uint64_t word = clock >> 6;
    if (likely(word <= d->newest))
        return;
    uint64_t first = d->newest + 1;
    if (word - d->newest > DRAM_WORDS)
        first = word + 1 - DRAM_WORDS;
    for (uint64_t w = first; w <= word; w++) {
        memset(d->word[w % DRAM_WORDS], 0, d->n_ranks * sizeof(struct dram_word));
        memset(d->span[w % DRAM_WORDS], 0, sizeof d->span[0]);
    }
    d->newest = word;
}

/* Bits from..from+63 of two neighbouring words. */
static inline uint64_t join(uint64_t a, uint64_t b, uint32_t shift)
{
    return a >> shift | b << 1 << (63 - shift);
}

/* Every bit spreads over the r bits below and above it. */
static inline uint64_t spread(uint64_t x, uint32_t r)
{
    if (!x || !r)
        return x;
    uint64_t down = x, up = x;
    uint32_t width = 1, want = r + 1;
    for (; 2 * width <= want; width *= 2) {
        up |= up << width;
        down |= down >> width;
    }
    return up | up << (want - width) | down | down >> (want - width);
}

/* Clocks at which no burst of that rank and group may begin; bit 0 stands for clock at. */
static uint64_t bus_taken(const struct dram *d, const struct dram_place *p, bool is_write, uint64_t at)
{
    const struct dram_timing *t = &d->t;
    uint64_t from = at - BEFORE, taken = 0;
    uint32_t w = (uint32_t)(from >> 6) % DRAM_WORDS, shift = (uint32_t)from & 63;
    for (uint32_t r = 0; r < d->n_ranks; r++) {
        const struct dram_word *a = &d->word[w][r], *b = &d->word[(w + 1) % DRAM_WORDS][r];
        uint64_t all = join(a->burst[0] | a->burst[1] | a->burst[2] | a->burst[3],
                            b->burst[0] | b->burst[1] | b->burst[2] | b->burst[3], shift);
        if (!all)
            continue;
        if (r != p->rank) {
            taken |= spread(all, t->burst + t->rank_gap - 1);
        } else {
            taken |= spread(all, t->burst - 1);
            taken |= spread(join(a->burst[p->group], b->burst[p->group], shift), t->ccd_l - 1);
        }
    }
    if (!is_write && at <= d->span_end) {
        uint64_t s = join(d->span[w][p->rank], d->span[(w + 1) % DRAM_WORDS][p->rank], shift);
        taken |= s | s >> 1 | s >> 2 | s >> 3;
    }
    return taken >> BEFORE;
}

/* First clock from at on where a burst may begin. */
static uint64_t bus_find(struct dram *d, const struct dram_place *p, bool is_write, uint64_t at)
{
    if (likely(at > d->last_burst + BEFORE && at > d->span_end)) {
        dram_reach(d, at + 64);
        return at;
    }
    for (;; at += CANDIDATES) {
        dram_reach(d, at + 64);
        uint64_t free = ~bus_taken(d, p, is_write, at) & ((1ull << CANDIDATES) - 1);
        if (likely(free != 0))
            return at + (uint32_t)__builtin_ctzll(free);
    }
}

/* The activates of a rank in from .. from + 63. */
static inline uint64_t acts_from(const struct dram *d, uint32_t rank, uint64_t from)
{
    uint32_t w = (uint32_t)(from >> 6) % DRAM_WORDS;
    const struct dram_word *a = &d->word[w][rank], *b = &d->word[(w + 1) % DRAM_WORDS][rank];
    return join(a->act[0] | a->act[1] | a->act[2] | a->act[3], b->act[0] | b->act[1] | b->act[2] | b->act[3],
                (uint32_t)from & 63);
}

/* Would a further activate at clock at be one of five within tFAW, k of them after it? */
static bool breaks_faw(const struct dram *d, uint32_t rank, uint64_t at)
{
    uint32_t faw = d->t.faw;
    uint64_t past = acts_from(d, rank, at - 64), next = acts_from(d, rank, at);
    past = faw > 1 ? past >> (65 - faw) << (65 - faw) : 0; /* nearer than tFAW */
    next &= faw < 64 ? (1ull << faw) - 1 : ~0ull;
    if (likely(__builtin_popcountll(past) + __builtin_popcountll(next) < 4))
        return false;
    uint32_t before[5] = {0}, after[5] = {0}, n_past = 0, n_next = 0;
    for (; past && n_past < 4; past &= ~(1ull << (63 - __builtin_clzll(past))))
        before[++n_past] = 1 + (uint32_t)__builtin_clzll(past);
    for (; next && n_next < 4; next &= next - 1)
        after[++n_next] = (uint32_t)__builtin_ctzll(next);
    for (uint32_t k = 0; k <= 4; k++)
        if (k <= n_next && 4 - k <= n_past && before[4 - k] + after[k] < faw)
            return true;
    return false;
}

static uint64_t act_find(struct dram *d, const struct dram_place *p, uint64_t at)
{
    const struct dram_timing *t = &d->t;
    if (likely(at >= d->last_act[p->rank] + t->act_reach)) {
        dram_reach(d, at + 128);
        return at;
    }
    for (;;) {
        dram_reach(d, at + 128);
        uint64_t from = at - BEFORE;
        uint32_t w = (uint32_t)(from >> 6) % DRAM_WORDS, shift = (uint32_t)from & 63;
        const struct dram_word *a = &d->word[w][p->rank], *b = &d->word[(w + 1) % DRAM_WORDS][p->rank];
        uint64_t all =
            join(a->act[0] | a->act[1] | a->act[2] | a->act[3], b->act[0] | b->act[1] | b->act[2] | b->act[3], shift);
        uint64_t taken =
            spread(all, t->rrd_s - 1) | spread(join(a->act[p->group], b->act[p->group], shift), t->rrd_l - 1);
        uint64_t free = ~(taken >> BEFORE) & ((1ull << CANDIDATES) - 1);
        if (unlikely(!free)) {
            at += CANDIDATES;
            continue;
        }
        at += (uint32_t)__builtin_ctzll(free);
        if (likely(t->faw <= 4 * t->rrd_s) || !breaks_faw(d, p->rank, at))
            return at;
        at++;
    }
}

/* ---- banks ---- */

/* The opening that is i younger ones away from the newest. */
static inline struct dram_opening *opening(struct dram_bank *b, uint32_t i)
{
    return &b->opening[(b->head - i) % DRAM_OPENINGS];
}

/* Makes room for one after i younger ones. */
static struct dram_opening *insert(struct dram_bank *b, uint32_t i)
{
    b->head++;
    if (b->n < DRAM_OPENINGS)
        b->n++;
    for (uint32_t k = 0; k < i; k++)
        *opening(b, k) = *opening(b, k + 1);
    return opening(b, i);
}

/* Moves a out of the bank's refresh; the period it lies in is [begin, end): rows do not stay open over its begin. */
static uint64_t out_of_refresh(struct dram *d, uint32_t bank, uint64_t a, uint64_t *begin, uint64_t *end)
{
    const struct dram_timing *t = &d->t;
    if (!t->refi) {
        *begin = 0;
        *end = UINT64_MAX;
        return a;
    }
    uint32_t at = dram_quarter(d, bank);
    if (unlikely(a - d->refresh[at] >= t->refi))
        d->refresh[at] = (a - d->phase[at]) / t->refi * t->refi + d->phase[at];
    *begin = d->refresh[at];
    *end = *begin + t->refi;
    return max_u64(a, *begin + t->rfc);
}

/* Clock of the earliest precharge after a burst that begins at data. */
static inline uint64_t precharge_after(const struct dram_timing *t, bool is_write, uint64_t data)
{
    return is_write ? data + t->burst + t->wr : data - t->cl + t->rtp;
}

static void mark(struct dram *d, const struct dram_place *p, bool is_write, uint64_t data)
{
    d->word[(data >> 6) % DRAM_WORDS][p->rank].burst[p->group] |= 1ull << (data & 63);
    d->last_burst = max_u64(d->last_burst, data);
    if (unlikely(d->log != NULL))
        d->log(d->log_ctx, is_write ? DRAM_WRITE : DRAM_READ, *p, data - (is_write ? d->t.cwl : d->t.cl));
}

struct
try {
    const struct dram_place *p;
    bool is_write;
    uint64_t a, from, to; /* arrival; where the data may begin */
    uint64_t begin, end;  /* refresh period */
};

/* The row is open in o: a column command, if its precharge still comes before next. */
static uint64_t try_hit(struct dram *d, const struct try *y, struct dram_opening *o, uint64_t next)
{
    const struct dram_timing *t = &d->t;
    uint32_t lat = y->is_write ? t->cwl : t->cl;
    uint64_t column = max_u64(max_u64(y->a, dram_oldest(d) + 64), o->act + t->rcd);
    if (o->row != y->p->row || o->act < y->begin || column > o->act + o->used + t->page)
        return 0;
    uint64_t data = bus_find(d, y->p, y->is_write, max_u64(column + lat, y->from));
    uint64_t keep = max_u64(o->act + o->keep, precharge_after(t, y->is_write, data));
    if (data >= y->to || keep + t->rp > min_u64(next, y->end))
        return 0;
    o->keep = (uint32_t)(keep - o->act);
    o->used = (uint32_t)(max_u64(o->act + o->used, data - lat) - o->act);
    d->stats.row_hits++;
    mark(d, y->p, y->is_write, data);
    return data;
}

/* A new opening after i younger ones, before next. */
static uint64_t try_open(struct dram *d, const struct try *y, uint32_t i, uint64_t next)
{
    const struct dram_timing *t = &d->t;
    struct dram_bank *b = &d->bank[y->p->bank];
    uint64_t at = max_u64(y->a, dram_oldest(d) + 64);
    uint32_t lat = y->is_write ? t->cwl : t->cl;
    bool conflict = false;
    if (i < b->n) {
        const struct dram_opening *o = opening(b, i);
        if (o->act >= y->begin) {
            uint64_t keep = o->act + o->keep, idle = max_u64(keep, o->act + o->used + t->page);
            conflict = idle + t->rp > at;
            at = conflict ? min_u64(idle, max_u64(keep, at)) + t->rp : at;
        }
    }
    uint64_t act = act_find(d, y->p, at);
    uint64_t data = bus_find(d, y->p, y->is_write, max_u64(act + t->rcd + lat, y->from));
    if (unlikely(act < dram_oldest(d))) { /* the search for the bus went past what the calendar can hold */
        act = act_find(d, y->p, dram_oldest(d) + 64);
        data = bus_find(d, y->p, y->is_write, max_u64(act + t->rcd + lat, data));
    }
    uint64_t keep = max_u64(act + t->ras, precharge_after(t, y->is_write, data));
    if (data >= y->to || keep + t->rp > min_u64(next, y->end))
        return 0;
    *insert(b, i) = (struct dram_opening){
        .act = act, .row = y->p->row, .keep = (uint32_t)(keep - act), .used = (uint32_t)(data - lat - act)};
    d->word[(act >> 6) % DRAM_WORDS][y->p->rank].act[y->p->group] |= 1ull << (act & 63);
    d->last_act[y->p->rank] = max_u64(d->last_act[y->p->rank], act);
    d->stats.row_misses++;
    d->stats.row_conflicts += conflict;
    if (unlikely(d->log != NULL))
        d->log(d->log_ctx, DRAM_ACT, *y->p, act);
    mark(d, y->p, y->is_write, data);
    return data;
}

uint64_t dram_place(struct dram *d, struct dram_place p, bool is_write, uint64_t a, uint64_t from, uint64_t to)
{
    struct dram_bank *b = &d->bank[p.bank];
    struct try y = {.p = &p, .is_write = is_write, .from = from, .to = to};
    for (;;) {
        y.a = a = out_of_refresh(d, p.bank, a, &y.begin, &y.end);
        if (a >= to)
            return 0;
        uint32_t i = 0;
        while (i < b->n && opening(b, i)->act > a)
            i++;
        if (i == DRAM_OPENINGS) /* what came before is forgotten */
            i--;
        for (;; i--) {
            uint64_t next = i ? opening(b, i - 1)->act : UINT64_MAX, data = 0;
            if (i < b->n)
                data = try_hit(d, &y, opening(b, i), next);
            if (!data)
                data = try_open(d, &y, i, next);
            if (data)
                return data;
            if (i == 0)
                break;
        }
        if (y.end == UINT64_MAX)
            return 0; /* past to */
        a = y.end;
    }
}

ps_t dram_read(struct dram *d, uint64_t line, ps_t t)
{
    if (d->is_simple)
        return dram_bank_read(d, line, t);
    struct dram_place p = dram_locate(d, line, NULL);
    uint64_t a = dram_clock(d, t), data;
    dram_reach(d, a + 64);
    if (unlikely(a < dram_oldest(d) + 64)) { /* beyond the calendar's memory: an idle channel answers */
        d->stats.late++;
        data = a + d->t.rcd + d->t.cl;
    } else {
        data = dram_place(d, p, false, a, 0, UINT64_MAX);
    }
    return dram_time(d, data + d->t.burst);
}

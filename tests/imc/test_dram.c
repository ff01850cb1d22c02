/* SPDX-License-Identifier: MIT */
/* The DDR4 channel: every command that it implies for a stream of requests, judged pair by pair against the rules of
 * JESD79-4B, written down here once more from the standard and in its terms. */
#include "sim/base/conf.h"
#include "sim/base/diag.h"
#include "sim/base/rng.h"
#include "sim/imc/imc.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct command {
    enum dram_command kind;
    struct dram_place at;
    int64_t clock;
};

struct tape {
    struct command *c;
    uint32_t n, cap;
};

static void record(void *ctx, enum dram_command kind, struct dram_place at, uint64_t clock)
{
    struct tape *t = ctx;
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 1024;
        t->c = realloc(t->c, t->cap * sizeof *t->c);
    }
    t->c[t->n++] = (struct command){kind, at, (int64_t)clock};
}

static int by_clock(const void *a, const void *b)
{
    const struct command *x = a, *y = b;
    if (x->clock != y->clock)
        return x->clock < y->clock ? -1 : 1;
    return (int)x->kind - (int)y->kind;
}

/* ---- the rules; what is broken, or NULL ---- */

/* Data-sheet figures in clocks, from nanoseconds (DDR4-2666 where nothing else is said). */
struct rules {
    int64_t cl, cwl, rcd, rp, ras, rtp, wr, wtr_s, wtr_l, ccd_l, rrd_s, rrd_l, faw, rank, refi, rfc;
    int64_t phase[64]; /* of each bank's refreshes */
};

static int64_t whole(double ns, double ck)
{
    return (int64_t)((ns + ck - 0.001) / ck);
}

static struct rules rules_of(const struct dram_conf *c)
{
    double ck = (double)c->t_ck_ps / 1000;
#define W(field) whole((double)c->field / 1000, ck)
    struct rules r = {.cl = W(t_cl_ps),
                      .cwl = W(t_cwl_ps),
                      .rcd = W(t_rcd_ps),
                      .rp = W(t_rp_ps),
                      .ras = W(t_ras_ps),
                      .rtp = W(t_rtp_ps),
                      .wr = W(t_wr_ps),
                      .wtr_s = whole(2.5, ck),
                      .wtr_l = W(t_wtr_ps),
                      .ccd_l = W(t_ccd_l_ps),
                      .rrd_s = W(t_rrd_s_ps),
                      .rrd_l = W(t_rrd_l_ps),
                      .faw = W(t_faw_ps),
                      .rank = W(t_rank_ps),
                      .refi = (int64_t)(c->t_refi_ps / c->t_ck_ps),
                      .rfc = W(t_rfc_ps)};
#undef W
    /* Ranks take turns, or with same-bank refresh the quarters of all ranks, in the order of their banks. */
    uint64_t quarters = c->refresh == DRAM_REFRESH_SAME_BANK ? 4 : 1, a_rank = c->banks / c->ranks;
    for (uint64_t i = 0; i < c->banks; i++) {
        uint64_t turn = i / a_rank * quarters + i % a_rank * quarters / a_rank;
        r.phase[i] = (int64_t)((uint64_t)r.refi * turn / (c->ranks * quarters));
    }
    return r;
}

static bool is_column(const struct command *c)
{
    return c->kind != DRAM_ACT;
}
static int64_t data_of(const struct rules *r, const struct command *c)
{
    return c->clock + (c->kind == DRAM_READ ? r->cl : r->cwl);
}

/* Two commands, a not after b. */
static const char *judge_pair(const struct rules *r, const struct command *a, const struct command *b)
{
    int64_t gap = b->clock - a->clock;
    bool same_rank = a->at.rank == b->at.rank, same_group = same_rank && a->at.group == b->at.group;
    if (a->kind == DRAM_ACT && b->kind == DRAM_ACT && same_rank && gap < (same_group ? r->rrd_l : r->rrd_s))
        return same_group ? "tRRD_L" : "tRRD_S";
    if (!is_column(a) || !is_column(b))
        return NULL;
    if (a->kind == b->kind && same_rank && gap < (same_group ? r->ccd_l : 4))
        return same_group ? "tCCD_L" : "tCCD_S";
    if (a->kind == DRAM_WRITE && b->kind == DRAM_READ && same_rank &&
        b->clock < data_of(r, a) + 4 + (same_group ? r->wtr_l : r->wtr_s))
        return "tWTR";
    int64_t x = data_of(r, a), y = data_of(r, b);
    if (a->kind == DRAM_READ && b->kind == DRAM_WRITE && y < x + 4 + 2 && (same_rank || y > x))
        return "read to write";
    int64_t clear = 4 + (same_rank ? 0 : r->rank);
    if (x - y < clear && y - x < clear)
        return "data bus";
    return NULL;
}

/* The commands of one bank in order: a row is activated, used, precharged. */
static const char *judge_bank(const struct rules *r, const struct command *c, uint32_t n, uint32_t bank, int64_t last)
{
    int64_t act = -1, precharge = 0, phase = 0;
    uint32_t row = 0;
    for (uint32_t i = 0; i <= n; i++) {
        if (i < n && c[i].at.bank != bank)
            continue;
        bool end = i == n;
        if (end || c[i].kind == DRAM_ACT) {
            int64_t at = end ? last : c[i].clock;
            if (!end)
                phase = r->phase[c[i].at.bank];
            if (act >= 0 && r->refi) { /* the refresh that follows the activate finds the bank precharged */
                int64_t refresh = phase + ((act - phase) / r->refi + 1) * r->refi;
                if (at > refresh && precharge + r->rp > refresh)
                    return "a bank open at its refresh";
            }
            if (end)
                return NULL;
            if (act >= 0 && precharge + r->rp > at)
                return "tRAS, tRTP, tWR or tRP";
            if (r->refi && (at - phase) % r->refi < r->rfc)
                return "activate in a refresh";
            act = at;
            row = c[i].at.row;
            precharge = act + r->ras;
            continue;
        }
        if (act < 0 || row != c[i].at.row)
            return "column command to a row that is not open";
        if (c[i].clock < act + r->rcd)
            return "tRCD";
        if (r->refi && (c[i].clock - phase) / r->refi != (act - phase) / r->refi)
            return "a row that stayed open over a refresh";
        int64_t keep = c[i].kind == DRAM_READ ? c[i].clock + r->rtp : data_of(r, &c[i]) + 4 + r->wr;
        precharge = keep > precharge ? keep : precharge;
    }
    return NULL;
}

static const char *judge(const struct rules *r, struct tape *t, uint32_t banks)
{
    qsort(t->c, t->n, sizeof *t->c, by_clock);
    for (uint32_t i = 0; i < t->n; i++)
        for (uint32_t k = i + 1; k < t->n && t->c[k].clock < t->c[i].clock + 200; k++) {
            const char *wrong = judge_pair(r, &t->c[i], &t->c[k]);
            if (wrong)
                return wrong;
        }
    for (uint32_t rank = 0; rank < 4; rank++) {
        int64_t act[4] = {-1000, -1000, -1000, -1000};
        for (uint32_t i = 0; i < t->n; i++)
            if (t->c[i].kind == DRAM_ACT && t->c[i].at.rank == rank) {
                if (t->c[i].clock - act[0] < r->faw)
                    return "tFAW";
                memmove(act, act + 1, sizeof act - sizeof act[0]);
                act[3] = t->c[i].clock;
            }
    }
    for (uint32_t b = 0; b < banks; b++) {
        const char *wrong = judge_bank(r, t->c, t->n, b, t->n ? t->c[t->n - 1].clock : 0);
        if (wrong)
            return wrong;
    }
    return NULL;
}

/* ---- streams ---- */

struct stream {
    uint64_t requests, mean_ps, skew_ps, lines, writes; /* writes: of 16 */
    bool runs;                                          /* neighbours follow each other */
};

static void conf_of(struct imc_conf *c)
{
    struct diag d = {0};
    cr_assert_eq(conf_bind(NULL, imc_keys, c, &d), 0);
    c->dram.level = DRAM_COMMAND;
}

static void play(struct dram *d, const struct stream *s, uint64_t seed, uint64_t *n_reads, uint64_t *n_writes)
{
    struct rng rng;
    uint64_t now = 0, line = 0;
    rng_init(&rng, seed, "dram");
    for (uint64_t i = 0; i < s->requests; i++) {
        now += rng_below(&rng, 2 * s->mean_ps + 1);
        uint64_t t = now + (s->skew_ps ? rng_below(&rng, s->skew_ps) : 0);
        line = s->runs && rng_below(&rng, 8) ? line + 1 : rng_below(&rng, s->lines);
        if (rng_below(&rng, 16) < s->writes) {
            cr_assert(dram_write(d, line, t) >= t);
            ++*n_writes;
        } else {
            ps_t done = dram_read(d, line, t);
            cr_assert(done >= t + (d->t.cl + d->t.burst) * d->t.ck_ps, "no read is faster than a row hit");
            ++*n_reads;
        }
    }
}

static void judge_stream(const struct dram_conf *c, const struct stream *s, uint64_t seed)
{
    struct dram *d = xaligned(64, sizeof *d);
    struct tape tape = {0};
    uint64_t n_reads = 0, n_writes = 0, seen[3] = {0};
    cr_assert_null(dram_conf_error(c));
    dram_init(d, c, 0, 1);
    d->log = record;
    d->log_ctx = &tape;
    play(d, s, seed, &n_reads, &n_writes);
    for (uint32_t i = 0; i < tape.n; i++)
        seen[tape.c[i].kind]++;
    struct rules r = rules_of(c);
    const char *wrong = judge(&r, &tape, (uint32_t)c->banks);
    cr_assert_null(wrong, "%s: seed %lu, mean %lu ps, skew %lu ps, %lu lines", wrong, (unsigned long)seed,
                   (unsigned long)s->mean_ps, (unsigned long)s->skew_ps, (unsigned long)s->lines);
    cr_assert_eq(seen[DRAM_READ] + d->stats.late, n_reads, "every read is one column command");
    cr_assert_eq(seen[DRAM_WRITE], d->stats.drained);
    cr_assert_eq(n_writes, d->stats.drained + d->n_queued, "writes in = out + queued");
    cr_assert(d->n_queued < c->write_queue);
    cr_assert_eq(seen[DRAM_ACT], d->stats.row_misses);
    cr_assert_eq(seen[DRAM_READ] + seen[DRAM_WRITE], d->stats.row_misses + d->stats.row_hits);
    free(tape.c);
    free(d);
}

static const struct stream streams[] = {
    {.requests = 1500, .mean_ps = 60000, .lines = 1 << 20},
    {.requests = 1500, .mean_ps = 4000, .lines = 1 << 20},
    {.requests = 1500, .mean_ps = 4000, .lines = 1 << 20, .writes = 5},
    {.requests = 1500, .mean_ps = 3000, .lines = 1 << 20, .writes = 16},
    {.requests = 1500, .mean_ps = 3500, .lines = 1 << 20, .writes = 4, .runs = true},
    {.requests = 1500, .mean_ps = 4500, .skew_ps = 1000000, .lines = 1 << 20, .writes = 4},
    {.requests = 1500, .mean_ps = 4500, .skew_ps = 1000000, .lines = 1 << 13, .writes = 4, .runs = true},
    {.requests = 1500, .mean_ps = 100, .lines = 1 << 20, .writes = 4},
    {.requests = 1500, .mean_ps = 4500, .skew_ps = 6000000, .lines = 1 << 20, .writes = 4},
    {.requests = 600, .mean_ps = 20000, .lines = 1 << 9, .writes = 8},
    {.requests = 600, .mean_ps = 300000, .skew_ps = 500000, .lines = 1 << 12, .writes = 8},
};

Test(dram, keeps_every_rule_of_the_standard)
{
    struct imc_conf c;
    conf_of(&c);
    for (uint32_t i = 0; i < N_ELEMS(streams); i++)
        for (uint64_t seed = 1; seed <= 4; seed++)
            judge_stream(&c.dram, &streams[i], seed);
}

/* Other parts: timings, ranks, banks, policies and watermarks drawn at random. */
Test(dram, keeps_the_rules_with_other_parts)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct imc_conf c;
        struct rng rng;
        conf_of(&c);
        rng_init(&rng, seed, "parts");
        struct dram_conf *k = &c.dram;
        k->ranks = 1u << rng_below(&rng, 3);
        k->banks = k->ranks << rng_below(&rng, 5);
        k->row_bytes = 64u << rng_below(&rng, 9);
        k->page_ps = rng_below(&rng, 3) * 150000;
        k->t_ck_ps = 600 + rng_below(&rng, 400);
        k->t_cl_ps = 8000 + rng_below(&rng, 12000);
        k->t_cwl_ps = 6000 + rng_below(&rng, k->t_cl_ps - 6000);
        k->t_rcd_ps = 8000 + rng_below(&rng, 12000);
        k->t_rp_ps = 8000 + rng_below(&rng, 12000);
        k->t_ras_ps = 10000 + rng_below(&rng, 40000);
        k->t_wr_ps = rng_below(&rng, 20000);
        k->t_wtr_ps = 2500 + rng_below(&rng, 8000);
        k->t_ccd_l_ps = rng_below(&rng, 5300);
        k->t_rrd_l_ps = 3000 + rng_below(&rng, 2300);
        k->t_faw_ps = rng_below(&rng, 38000);
        k->t_rank_ps = rng_below(&rng, 3000);
        k->t_refi_ps = rng_below(&rng, 3) * 3900000;
        k->refresh = rng_below(&rng, 2);
        k->t_rfc_ps = 100000 + rng_below(&rng, 500000);
        k->write_queue = 2 + rng_below(&rng, 60);
        k->write_high = 1 + rng_below(&rng, k->write_queue);
        k->write_low = rng_below(&rng, k->write_high);
        for (uint32_t i = 0; i < N_ELEMS(streams); i += 2) {
            struct stream s = streams[i];
            s.requests = 400;
            judge_stream(k, &s, seed);
        }
    }
}

/* The judge can say no: a column command a clock too early after its activate, or on top of another one. */
Test(dram, the_judge_sees_a_moved_command)
{
    struct imc_conf c;
    conf_of(&c);
    struct dram *d = xaligned(64, sizeof *d);
    struct tape tape = {0};
    uint64_t reads = 0, writes = 0;
    uint32_t tried = 0, caught = 0;
    dram_init(d, &c.dram, 0, 1);
    d->log = record;
    d->log_ctx = &tape;
    play(d, &streams[2], 7, &reads, &writes);
    struct rules r = rules_of(&c.dram);
    cr_assert_null(judge(&r, &tape, (uint32_t)c.dram.banks));
    struct tape bent = {.c = malloc(tape.n * sizeof *tape.c), .n = tape.n};
    for (uint32_t i = 100; i < 300; i++) {
        const struct command *now = &tape.c[i], *before = now - 1;
        while (before->at.bank != now->at.bank && before > tape.c)
            before--;
        int64_t to = now->clock - 1;
        if (!is_column(now) || before->kind != DRAM_ACT || now->clock != before->clock + r.rcd) {
            if (!is_column(now) || !is_column(now - 1))
                continue;
            to = now[-1].clock;
        }
        memcpy(bent.c, tape.c, tape.n * sizeof *tape.c);
        bent.c[i].clock = to;
        tried++;
        caught += judge(&r, &bent, (uint32_t)c.dram.banks) != NULL;
    }
    cr_assert(tried > 50 && caught == tried, "%u of %u", caught, tried);
    free(bent.c);
    free(tape.c);
    free(d);
}

Test(dram, location_is_a_bijection)
{
    struct imc_conf c;
    conf_of(&c);
    struct dram *d = xaligned(64, sizeof *d);
    static const struct {
        uint64_t ranks, banks, row;
    } shape[] = {{1, 1, 64}, {1, 16, 8192}, {2, 32, 8192}, {4, 64, 1024}, {2, 2, 128}};
    for (uint32_t s = 0; s < N_ELEMS(shape); s++) {
        c.dram.ranks = shape[s].ranks;
        c.dram.banks = shape[s].banks;
        c.dram.row_bytes = shape[s].row;
        dram_init(d, &c.dram, 0, 1);
        uint64_t columns = shape[s].row / LINE_BYTES, rows = 64, all = rows * shape[s].banks * columns;
        uint8_t *seen = xcalloc(all, 1);
        for (uint64_t line = 0; line < all; line++) {
            uint32_t column;
            struct dram_place p = dram_locate(d, line, &column);
            cr_assert(p.row < rows && p.bank < shape[s].banks && column < columns && p.rank < shape[s].ranks);
            uint64_t at = (p.row * shape[s].banks + p.bank) * columns + column;
            cr_assert_eq(seen[at], 0);
            seen[at] = 1;
        }
        free(seen);
    }
    free(d);
}

/* An idle channel: a closed row, an open one, one that the timeout closed, and one that another row is in the way of.
 */
Test(dram, idle_latencies)
{
    struct imc_conf c;
    conf_of(&c);
    struct dram *d = xaligned(64, sizeof *d);
    c.dram.t_refi_ps = 0;
    c.dram.page_ps = 200 * PS_PER_NS;
    dram_init(d, &c.dram, 0, 1);
    ps_t ck = 750, t = ck * 100000;
    uint64_t other = c.dram.row_bytes / LINE_BYTES * c.dram.banks, line = 0; /* another row; the bank is permuted */
    while (dram_locate(d, line += other, NULL).bank != dram_locate(d, 0, NULL).bank)
        ;
    cr_expect_eq(dram_read(d, 0, t) - t, (19 + 19 + 4) * ck);
    cr_expect_eq(dram_read(d, 2, t + 100 * ck) - t, (100 + 19 + 4) * ck);
    cr_expect_eq(dram_read(d, line, t + 200 * ck) - t, (200 + 19 + 19 + 19 + 4) * ck);
    cr_expect_eq(dram_read(d, line + 2, t + 10000 * ck) - t, (10000 + 19 + 19 + 4) * ck, "closed by then");
    free(d);
}

/* A stream of neighbours fills the bus: a line every four clocks. */
Test(dram, a_stream_runs_at_the_peak)
{
    struct imc_conf c;
    conf_of(&c);
    c.dram.t_refi_ps = 0;
    struct dram *d = xaligned(64, sizeof *d);
    dram_init(d, &c.dram, 0, 1);
    ps_t first = dram_read(d, 0, 0), last = 0;
    for (uint64_t i = 1; i < 200; i++)
        last = dram_read(d, i, 0);
    cr_expect_eq(last - first, 199 * 3000);
    free(d);
}
